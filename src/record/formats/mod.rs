//! Other formats of traces, read into lines of the Mooncake format.
//!
//! A decoder per file turns a line into rows, and a row is written as a Mooncake line in the words
//! of every later stage: so a conversion is read by the same reader as any trace, and its errors are
//! the same. What a format has beside the known fields follows them as it stood.
//!
//! Ids that are no numbers, or that mean something else in every conversation, are replaced by 64-bit
//! hashes (`mint`) which later become dense numbers. Formats that hash only full blocks leave out
//! the last partial one; it gets an id of its own, which no other request has.

mod agentic;
mod azure;
mod bailian;
mod burstgpt;
mod csv;
mod dynamo;
mod lmcache;
mod object;
mod reader;
mod seconds;
mod simulator;
mod tair;
mod target;
mod tracelab;
mod vidur;
mod weka;

pub use reader::FormatReader;
pub use target::{Target, TargetRow, TargetWriter};

use crate::error::Invalid;
use crate::record::time::{Millis, Unit};

/// A format of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own, with all extensions whose rows are complete requests.
    Mooncake,
    /// The same, but rows of one session hold only what is new.
    Aiperf,
    /// Alibaba's Bailian (Qwen) traces.
    Bailian,
    /// Dynamo's request trace.
    Dynamo,
    /// Dynamo's agentic Mooncake.
    Agentic,
    /// Conversations of the KV cache tester of Weka and `SemiAnalysis`.
    Weka,
    /// Rounds of `TraceLab`.
    Tracelab,
    /// The lookup log of `LMCache`.
    Lmcache,
    /// The trace of Tair's KV cache optimizer.
    Tair,
    /// kvcache-simulator, whose ids may be strings.
    KvcacheSimulator,
    /// The CSV of `BurstGPT`.
    Burstgpt,
    /// The CSV of Azure's LLM inference traces.
    Azure,
    /// The CSV of Vidur.
    Vidur,
    /// The CSV that this program writes.
    Csv,
    /// Mooncake lines in seconds, for guidellm.
    Guidellm,
    /// Mooncake lines in seconds, for vLLM.
    Vllm,
}

impl Format {
    /// All formats with their names on the command line.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("mooncake", Self::Mooncake),
        ("aiperf", Self::Aiperf),
        ("bailian", Self::Bailian),
        ("dynamo", Self::Dynamo),
        ("agentic", Self::Agentic),
        ("weka", Self::Weka),
        ("tracelab", Self::Tracelab),
        ("lmcache", Self::Lmcache),
        ("tair", Self::Tair),
        ("kvcache-simulator", Self::KvcacheSimulator),
        ("burstgpt", Self::Burstgpt),
        ("azure", Self::Azure),
        ("vidur", Self::Vidur),
        ("csv", Self::Csv),
        ("guidellm", Self::Guidellm),
        ("vllm", Self::Vllm),
    ];

    /// The format that begins with this line; what fits no other is taken for Mooncake.
    pub fn detect(line: &[u8]) -> Self {
        if !line.trim_ascii_start().starts_with(b"{") {
            return csv::detect(line).unwrap_or(Self::Mooncake);
        }
        let Ok(object) = object::Object::parse(line) else { return Self::Mooncake };
        let has = |name: &str| object.get(name).is_some();
        if object.get("schema").is_some_and(|schema| schema.get().contains("agentic_mooncake")) {
            Self::Agentic
        } else if has("play_id") && has("not_before_ms") {
            // A piece without the header.
            Self::Agentic
        } else if has("event_time_unix_ms")
            || object.get("event").is_some_and(|e| e.get().contains("event_time_unix_ms"))
        {
            Self::Dynamo
        } else if has("requests") && has("block_size") {
            Self::Weka
        } else if has("prefix_tokens") && has("input_tokens_total") {
            Self::Tracelab
        } else if has("chunk_hashes") {
            Self::Lmcache
        } else if has("keys") && (has("timestamp_ns") || has("timestamp_us") || has("instance_id")) {
            Self::Tair
        } else if has("chat_id") && has("parent_chat_id") && !has("block_size") {
            // With a block size it has been converted already.
            Self::Bailian
        } else if object.get("hash_ids").is_some_and(|ids| ids.get().contains('"')) {
            Self::KvcacheSimulator
        } else {
            Self::Mooncake
        }
    }

    /// Whether times are those of a clock, not of the trace.
    fn is_absolute(self) -> bool {
        matches!(self, Self::Dynamo | Self::Lmcache | Self::Tair | Self::Azure | Self::Tracelab)
    }

    /// Whether ids are hashes of ours, fit only for renumbering.
    fn mints(self) -> bool {
        matches!(
            self,
            Self::Bailian
                | Self::Agentic
                | Self::Weka
                | Self::Tracelab
                | Self::Lmcache
                | Self::KvcacheSimulator
        )
    }

    /// A decoder for one file; `None` where lines are read as they are.
    fn decoder(self, file: &FileFacts) -> Option<Box<dyn Decode>> {
        match self {
            Self::Mooncake | Self::Aiperf => None,
            Self::Bailian => Some(Box::new(bailian::Decoder::new(file))),
            Self::Dynamo => Some(Box::new(dynamo::Decoder)),
            Self::Agentic => Some(Box::new(agentic::Decoder::new(file))),
            Self::Weka => Some(Box::new(weka::Decoder::new(file))),
            Self::Tracelab => Some(Box::new(tracelab::Decoder::new(file))),
            Self::Lmcache => Some(Box::new(lmcache::Decoder::new(file))),
            Self::Tair => Some(Box::new(tair::Decoder::new(file))),
            Self::KvcacheSimulator => Some(Box::new(simulator::Decoder)),
            Self::Burstgpt => Some(Box::new(csv::Decoder::new(&burstgpt::COLUMNS))),
            Self::Azure => Some(Box::new(csv::Decoder::new(&azure::COLUMNS))),
            Self::Vidur => Some(Box::new(csv::Decoder::new(&vidur::COLUMNS))),
            Self::Csv => Some(Box::new(csv::Decoder::new(&csv::COLUMNS))),
            Self::Guidellm | Self::Vllm => Some(Box::new(seconds::Decoder)),
        }
    }
}

/// What a decoder may need to know of its file.
struct FileFacts {
    /// Its name as the user wrote it.
    name: String,
    /// Its index among the operands.
    index: usize,
    /// Tokens per block, if the user says.
    block_size: Option<u64>,
}

/// One file of a format, line by line.
trait Decode {
    /// Adds the requests that `line` holds to `rows`: none for a header or another kind of event.
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid>;
}

/// One request, on its way to a line.
#[derive(Default)]
struct Row<'a> {
    timestamp: Option<Millis>,
    input_length: u64,
    output_length: Option<u64>,
    ids: Option<Vec<u64>>,
    /// Tokens per block, where it is not for the user to say.
    block_size: Option<u64>,
    /// Whether the file numbers the blocks of this request 0, 1, 2, ...
    from_zero: bool,
    /// Further fields: name, and JSON as it stood.
    rest: Vec<(&'a str, &'a str)>,
}

/// Names that a further field must not have: it would stand twice.
const TAKEN: [&str; 8] = [
    "timestamp",
    "created_time",
    "input_length",
    "input_tokens",
    "output_length",
    "output_tokens",
    "hash_ids",
    "block_size",
];

/// Rows of one line as Mooncake lines.
#[derive(Default)]
struct Rows {
    text: Vec<u8>,
    /// Where each line ends, and whether it numbers its blocks from zero.
    ends: Vec<(usize, bool)>,
    next: usize,
}

impl Rows {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.next = 0;
    }

    fn push(&mut self, row: &Row) {
        let out = &mut self.text;
        let mut number = itoa::Buffer::new();
        out.push(b'{');
        if let Some(time) = row.timestamp {
            out.extend_from_slice(b"\"timestamp\": ");
            time.write(Unit::Milliseconds, out);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"\"input_length\": ");
        out.extend_from_slice(number.format(row.input_length).as_bytes());
        if let Some(length) = row.output_length {
            out.extend_from_slice(b", \"output_length\": ");
            out.extend_from_slice(number.format(length).as_bytes());
        }
        if let Some(ids) = &row.ids {
            out.extend_from_slice(b", \"hash_ids\": ");
            write_ids(ids, b", ", out);
        }
        if let Some(size) = row.block_size {
            out.extend_from_slice(b", \"block_size\": ");
            out.extend_from_slice(number.format(size).as_bytes());
        }
        for (name, value) in row.rest.iter().filter(|(name, _)| !TAKEN.contains(name)) {
            out.extend_from_slice(b", ");
            // A string written into memory cannot fail.
            serde_json::to_writer(&mut *out, name).ok();
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
        self.ends.push((out.len(), row.from_zero));
    }

    /// The next line and whether it numbers its blocks from zero.
    fn take(&mut self) -> Option<(std::ops::Range<usize>, bool)> {
        let &(end, from_zero) = self.ends.get(self.next)?;
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before].0);
        self.next += 1;
        Some((start..end, from_zero))
    }
}

/// Appends a JSON list of ids.
pub fn write_ids(ids: &[u64], separator: &[u8], out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    out.push(b'[');
    for (i, &id) in ids.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(number.format(id).as_bytes());
    }
    out.push(b']');
}

/// A 64-bit id for what `parts` name together: equal for equal parts. Among 10^8 names two get the
/// same id with a chance of 3 in 10,000.
fn mint(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The same for an `id` behind a `parent` that has been minted, faster.
fn mint_child(parent: u64, id: u64) -> u64 {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&parent.to_le_bytes());
    name[8..].copy_from_slice(&id.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(&name).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Gives partial blocks that a format leaves out ids that are nowhere else.
struct Tails {
    scope: u64,
    given: u64,
}

impl Tails {
    fn new(file: &FileFacts) -> Self {
        Self { scope: file.index as u64, given: 0 }
    }

    fn fresh(&mut self) -> u64 {
        self.given += 1;
        mint(&[b"tail", &self.scope.to_le_bytes(), &self.given.to_le_bytes()])
    }

    /// Completes the ids of the full blocks of a prompt.
    fn complete(&mut self, ids: &mut Vec<u64>, input_length: u64, block_size: u64) {
        let full = input_length / block_size;
        if ids.len() as u64 == full && !input_length.is_multiple_of(block_size) {
            ids.push(self.fresh());
        }
    }
}

fn invalid(message: impl Into<String>) -> Invalid {
    Invalid::value(message)
}

fn is_from_zero(ids: &[u64]) -> bool {
    !ids.is_empty() && ids.iter().copied().eq(0..ids.len() as u64)
}
