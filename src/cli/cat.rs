//! Options and manual of `trace-cat`.

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec, Value};
use crate::cat::{IdsScope, SampleBy, Selection, TimeChange, Turns};
use crate::io::Compression;
use crate::record::formats::{Format, Target};
use crate::record::time::Millis;

/// Values of the options.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "one per flag of the command line")]
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// Format of the input, if the user says.
    pub from_format: Option<Format>,
    /// Format of the output.
    pub to_format: Target,
    /// What rows of a session shall hold.
    pub turns: Option<Turns>,
    /// Tokens per block, if the user says.
    pub block_size: Option<u64>,
    /// Whether equal ids in different files are the same block.
    pub ids_scope: IdsScope,
    /// Whether ids are made dense.
    pub renumber: bool,
    /// Whether ids are hashed.
    pub anonymize: bool,
    /// The secret of those hashes.
    pub salt: Option<String>,
    /// Block size of the output.
    pub reblock: Option<u64>,
    /// Whether sorted files are interleaved.
    pub merge: bool,
    /// Whether records are sorted.
    pub sort: bool,
    /// Bytes of memory, if the user says.
    pub max_memory: Option<u64>,
    /// Where temporary files are.
    pub temp_dir: Option<std::path::PathBuf>,
    /// How timestamps change.
    pub times: TimeChange,
    /// Which records are kept, without the sample.
    pub selection: Selection,
    /// The share of a sample.
    pub sample: Option<f64>,
    /// What a sample keeps together.
    pub sample_by: Option<SampleBy>,
    /// How many blocks the prefixes of a sample have.
    pub prefix_blocks: Option<usize>,
    /// Seed of the sample.
    pub seed: Option<u64>,
    /// Whether to validate only.
    pub check: bool,
    /// Whether lines appear at their timestamps.
    pub pace: bool,
    /// How output is compressed.
    pub compress: Option<Compression>,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

impl Options {
    /// Refuses options that contradict each other, or have no effect together.
    ///
    /// # Errors
    /// Which ones do.
    pub fn check(&self) -> Result<(), String> {
        let ordered = self.merge || self.sort;
        let Selection { from, to, input, output, .. } = &self.selection;
        let message = if self.check && self.changes() {
            "--check only validates: it goes with --from-format, --block-size and --max-memory alone"
        } else if self.merge && self.sort {
            "--merge needs sorted files and --sort any: give one of the two"
        } else if self.times.shift && ordered {
            "--shift keeps the order of the files: it goes neither with --merge nor with --sort"
        } else if self.renumber && self.anonymize {
            "--renumber gives dense ids and --anonymize hashes: give one of the two"
        } else if self.anonymize != self.salt.is_some() {
            "--anonymize needs --salt, and --salt goes with --anonymize alone"
        } else if self.anonymize && self.to_format.needs_dense() {
            "ids of this --to-format have 32 bits: --anonymize does not go with it"
        } else if self.sample.is_none() && (self.sample_by.is_some() || self.seed.is_some()) {
            "--sample-by and --seed go with --sample"
        } else if self.prefix_blocks.is_some() && self.sample_by != Some(SampleBy::Prefix) {
            "--prefix-blocks goes with --sample-by=prefix"
        } else if self.pace && self.compress.is_some() {
            "--pace writes lines at their times and --compress in blocks: give one of the two"
        } else if from.zip(*to).is_some_and(|(from, to)| from >= to) {
            "--from is not before --to: no record can be between them"
        } else if !input.is_possible() {
            "--min-isl is above --max-isl"
        } else if !output.is_possible() {
            "--min-osl is above --max-osl"
        } else if self.temp_dir.is_some() && !self.sort {
            "--temp-dir is for the temporary file of --sort"
        } else {
            return Ok(());
        };
        Err(message.into())
    }

    /// Whether anything is asked for beside the plain records.
    fn changes(&self) -> bool {
        self.merge
            || self.sort
            || self.renumber
            || self.anonymize
            || self.reblock.is_some()
            || self.turns.is_some()
            || self.sample.is_some()
            || self.pace
            || self.compress.is_some()
            || !self.times.is_none()
            || !self.selection.is_all()
            || self.to_format != Target::Mooncake
    }
}

/// A moment of the trace.
fn moment(value: &Value) -> Result<Option<Millis>, String> {
    Ok(Some(Millis::whole(value.duration_ms()?)))
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-cat",
    about: "convert, join, order, slice, renumber and check request traces",
    description: &[Block::Text(
        "Writes the records of all FILEs as one valid trace. Every record is checked by itself \
         (--check looks at how they fit together too): \
             input_length must be there, values must have their types, and hash_ids must hold one id \
             per block, the last one perhaps partial. gzip and zstd input is recognised by its first \
             bytes; blank lines, carriage returns and byte-order marks are dropped. All else stays as it \
             was, byte for byte, unknown fields included, unless an option changes it.\n\n\
             Other formats of traces are recognised by the first line of each FILE and converted. See \
             FORMATS.\n\n\
             Files that were numbered separately use the same ids for different blocks. --ids-scope says \
             whether that is so; by default it is found out.\n\n\
             Options work in this order, however they are given: format, --shift, --merge or --sort; \
             --from, --to, lengths and --sample; --head, then --tail; --turns, --reblock, --renumber or \
             --anonymize; --rebase, --speedup-ratio; --to-format, --pace, --compress.",
    )],
    options: &[
        Opt {
            long: "from-format",
            short: Some('f'),
            arg: Arg::List(
                "FORMAT",
                &[
                    "auto",
                    "mooncake",
                    "aiperf",
                    "bailian",
                    "dynamo",
                    "agentic",
                    "weka",
                    "tracelab",
                    "lmcache",
                    "tair",
                    "kvcache-simulator",
                    "burstgpt",
                    "azure",
                    "vidur",
                    "csv",
                    "guidellm",
                    "vllm",
                ],
            ),
            help: "format of the input (default auto)",
            doc: "Read all FILEs as this format instead of looking at the first line of each. See FORMATS.",
            set: |options, value| {
                options.from_format =
                    if value.text()? == "auto" { None } else { Some(value.pick(Format::ALL)?) };
                Ok(())
            },
        },
        Opt {
            long: "to-format",
            short: Some('t'),
            arg: Arg::List(
                "FORMAT",
                &["mooncake", "aiperf", "bailian", "kvcache-simulator", "guidellm", "vllm", "csv"],
            ),
            help: "format of the output (default mooncake)",
            doc: "Write this format, in its own names and units. See FORMATS for what it cannot hold.",
            set: |options, value| {
                options.to_format = value.pick(Target::ALL)?;
                Ok(())
            },
        },
        Opt {
            long: "turns",
            short: None,
            arg: Arg::Choice(&["cumulative", "incremental"]),
            help: "what rows of a session shall hold: the whole prompt, or what is new",
            doc: "Convert the rows of sessions. cumulative: the rows that are read hold only what is new \
                  (as in aiperf), those that are written the whole prompt: all earlier prompts and \
                  outputs of the session, then what is new. incremental: the other way round. A session \
                  is known by session_id or conversation_id, or by chat_id and parent_chat_id; other \
                  records stay as they are. With --from-format=aiperf, cumulative is the default and \
                  incremental leaves rows as they are.\n\n\
                  A whole prompt keeps the full blocks of the one before it; all further blocks are new, \
                  since text that follows an answer lies at other places in blocks: so blocks that two \
                  sessions share beyond their first prompts are not known any more, and ids are \
                  renumbered. A row of what is new keeps as many of its last ids as its length needs. A \
                  prompt that is not longer than the one before it with its output does not continue \
                  the session: it becomes the first of a session named ID.2, and so on.",
            set: |options, value| {
                options.turns = Some(
                    value.pick(&[("cumulative", Turns::Cumulative), ("incremental", Turns::Incremental)])?,
                );
                Ok(())
            },
        },
        Opt {
            long: "ids-scope",
            short: None,
            arg: Arg::Choice(&["auto", "file", "shared"]),
            help: "whether ids of different FILEs mean the same (default auto)",
            doc: "With file, every FILE has ids of its own: ids of different FILEs are kept apart, and \
                  all are renumbered densely. With shared, equal ids are equal blocks, as in the pieces \
                  of one trace. The default, auto, takes a FILE after the first as separately numbered \
                  when its first record numbers its blocks 0, 1, 2, ... from zero, and says on standard \
                  error what it decided; a FILE that does not continues the FILE before it. \
                  Use shared for pieces of a trace whose first prompts may be repeated: a piece that begins with \
                  the ids [0] or [0, 1] looks like a trace of its own.",
            set: |options, value| {
                options.ids_scope = value.pick(&[
                    ("auto", IdsScope::Auto),
                    ("file", IdsScope::File),
                    ("shared", IdsScope::Shared),
                ])?;
                Ok(())
            },
        },
        Opt {
            long: "renumber",
            short: None,
            arg: Arg::None,
            help: "number blocks 0, 1, 2, ... in the order of first appearance",
            doc: "Replace ids by 0, 1, 2, ... in the order of first appearance, also where they need \
                  not be changed. Later filters then need the least memory.",
            set: |options, _| {
                options.renumber = true;
                Ok(())
            },
        },
        Opt {
            long: "anonymize",
            short: None,
            arg: Arg::None,
            help: "replace ids by hashes under --salt",
            doc: "Replace ids by 53-bit hashes that depend on --salt: the same salt gives the same ids on \
                  every machine, and without it nobody can tell which id was which. Among 10^7 different \
                  blocks two get the same hash with a chance of 0.6 %. Fields other than hash_ids stay as \
                  they are.",
            set: |options, _| {
                options.anonymize = true;
                Ok(())
            },
        },
        Opt {
            long: "salt",
            short: None,
            arg: Arg::Value("TEXT"),
            help: "secret for --anonymize",
            doc: "The secret that --anonymize needs. Other users of the machine can see it in the list of \
                  processes.",
            set: |options, value| {
                let salt = value.text()?;
                if salt.is_empty() {
                    return Err("an empty text is no salt".into());
                }
                options.salt = Some(salt.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "reblock",
            short: None,
            arg: Arg::Value("N"),
            help: "make blocks of N tokens, a multiple of the block size",
            doc: "Join neighbouring blocks to blocks of N tokens. An id stands for all tokens up to its \
                  block's end, so the id of the last of the joined blocks is the new id; an incomplete \
                  group at the end stays a block. Later filters need --block-size N unless N is 512 or \
                  the records state block_size, which is changed.",
            set: |options, value| {
                options.reblock = Some(value.block_size()?);
                Ok(())
            },
        },
        Opt {
            long: "shift",
            short: None,
            arg: Arg::None,
            help: "let each FILE start where the one before it ended",
            doc: "Move the timestamps of each FILE after the first: its first record comes at the latest \
                  time of the FILEs before it.",
            set: |options, _| {
                options.times.shift = true;
                Ok(())
            },
        },
        Opt {
            long: "merge",
            short: Some('m'),
            arg: Arg::None,
            help: "interleave FILEs that are sorted by time",
            doc: "Interleave the records of all FILEs by timestamp. Each FILE must be sorted, which is \
                  checked. Equal times come in the order of the FILEs.",
            set: |options, _| {
                options.merge = true;
                Ok(())
            },
        },
        Opt {
            long: "sort",
            short: Some('s'),
            arg: Arg::None,
            help: "sort all records by time",
            doc: "Sort the records of all FILEs by timestamp; equal times keep their order. What does not \
                  fit into --max-memory goes to a temporary file.",
            set: |options, _| {
                options.sort = true;
                Ok(())
            },
        },
        Opt {
            long: "max-memory",
            short: None,
            arg: Arg::Value("SIZE"),
            help: "memory for --sort, --tail, --turns (256Mi) and --check (1Gi)",
            doc: "Stay below SIZE bytes of memory; the default is 256Mi, and 1Gi for --check, or half of the \
                  memory of the machine, of the control group or of the process (ulimit -v) if that is \
                  less. --sort then \
                  uses a temporary file, --check no longer compares blocks and says so; --tail, --turns and \
                  --sample-by=session end with an error, as does renumbering, which without this option \
                  has that half. Some 6Mi are used in any case, and lines of megabytes come on top.",
            set: |options, value| {
                options.max_memory = Some(value.positive_size()?);
                Ok(())
            },
        },
        Opt {
            long: "temp-dir",
            short: None,
            arg: Arg::File("DIR"),
            help: "folder for temporary files of --sort",
            doc: "Put temporary files into DIR; the default is TMPDIR or /tmp. They have no names, so that \
                  none can be left behind.",
            set: |options, value| {
                options.temp_dir = Some(value.path());
                Ok(())
            },
        },
        Opt {
            long: "from",
            short: None,
            arg: Arg::Value("TIME"),
            help: "drop records before TIME, as 90s, 1h30m or milliseconds",
            doc: "Keep records whose timestamp is TIME or later: a number of milliseconds, or with units \
                  (90s, 1h30m, 250ms). Times of a clock count from the first record.",
            set: |options, value| {
                options.selection.from = moment(value)?;
                Ok(())
            },
        },
        Opt {
            long: "to",
            short: None,
            arg: Arg::Value("TIME"),
            help: "drop records at TIME and later",
            doc: "Keep records whose timestamp is before TIME.",
            set: |options, value| {
                options.selection.to = moment(value)?;
                Ok(())
            },
        },
        Opt {
            long: "head",
            short: Some('n'),
            arg: Arg::Value("N"),
            help: "keep only the first N records",
            doc: "Keep only the first N records that are left by the other choices, and read no further.",
            set: |options, value| {
                options.selection.head = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "tail",
            short: None,
            arg: Arg::Value("N"),
            help: "keep only the last N records",
            doc: "Keep only the last N records, with --head those of its N. They are held in memory.",
            set: |options, value| {
                options.selection.tail = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "min-isl",
            short: None,
            arg: Arg::Value("N"),
            help: "drop records with prompts of fewer than N tokens",
            doc: "",
            set: |options, value| {
                options.selection.input.min = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "max-isl",
            short: None,
            arg: Arg::Value("N"),
            help: "drop records with prompts of more than N tokens",
            doc: "",
            set: |options, value| {
                options.selection.input.max = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "min-osl",
            short: None,
            arg: Arg::Value("N"),
            help: "drop records with outputs of fewer than N tokens",
            doc: "Drop records with outputs of fewer than N tokens, or of unknown length.",
            set: |options, value| {
                options.selection.output.min = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "max-osl",
            short: None,
            arg: Arg::Value("N"),
            help: "drop records with outputs of more than N tokens",
            doc: "Drop records with outputs of more than N tokens, or of unknown length.",
            set: |options, value| {
                options.selection.output.max = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "sample",
            short: None,
            arg: Arg::Value("P"),
            help: "keep a share P of the records, by chance",
            doc: "Keep a share P of the records, as 0.1 or 10%. See SAMPLING for what that does to hit rates.",
            set: |options, value| {
                options.sample = Some(value.share()?);
                Ok(())
            },
        },
        Opt {
            long: "sample-by",
            short: None,
            arg: Arg::Choice(&["request", "session", "prefix"]),
            help: "what a sample keeps or drops together (default request)",
            doc: "Draw each request by itself; or each session, known as for --turns; or each group of \
                  requests that begin with the same block (or blocks: \
                  --prefix-blocks). Sessions and prefixes are drawn by a hash, so \
                  the same --seed keeps the same ones on every machine and in every piece of a trace. \
                  Records with neither session nor blocks are drawn one by one.",
            set: |options, value| {
                options.sample_by = Some(value.pick(&[
                    ("request", SampleBy::Request),
                    ("session", SampleBy::Session),
                    ("prefix", SampleBy::Prefix),
                ])?);
                Ok(())
            },
        },
        Opt {
            long: "prefix-blocks",
            short: None,
            arg: Arg::Value("N"),
            help: "blocks of a prefix for --sample-by=prefix (default 1)",
            doc: "Take requests together that begin with the same N blocks. Where all requests begin with \
                  one system prompt, more than its blocks are needed for a choice. Requests of fewer blocks \
                  are drawn by their last one.",
            set: |options, value| {
                options.prefix_blocks = Some(usize::try_from(value.positive()?).unwrap_or(usize::MAX));
                Ok(())
            },
        },
        Opt {
            long: "seed",
            short: None,
            arg: Arg::Value("N"),
            help: "another seed gives another sample (default 0)",
            doc: "",
            set: |options, value| {
                options.seed = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "rebase",
            short: None,
            arg: Arg::None,
            help: "let the first record that is written be at time 0",
            doc: "Subtract the timestamp of the first record that is written from all.",
            set: |options, _| {
                options.times.rebase = true;
                Ok(())
            },
        },
        Opt {
            long: "speedup-ratio",
            short: None,
            arg: Arg::Value("R"),
            help: "divide timestamps by R",
            doc: "Divide timestamps by R, from 1e-9 to 1e9: with 2 requests come twice as fast. Other fields that hold times, as \
                  delay, stay as they are.",
            set: |options, value| {
                options.times.speedup = value.pace()?;
                Ok(())
            },
        },
        Opt {
            long: "check",
            short: None,
            arg: Arg::None,
            help: "only validate, and write a JSON summary of what is wrong",
            doc: "Write no records but one JSON object: the number of records and, for each kind of \
                  problem, how often it occurs and where first. The exit status is 1 if the input is \
                  no valid trace. See CHECKS.",
            set: |options, _| {
                options.check = true;
                Ok(())
            },
        },
        Opt {
            long: "pace",
            short: None,
            arg: Arg::None,
            help: "write each line at the moment of its timestamp",
            doc: "Write the first line at once and each later one when its time has come, by the \
                  timestamps that are written (--speedup-ratio applies). A line that is late comes at once; \
                  delays do not add up. Records without a timestamp do not wait.",
            set: |options, _| {
                options.pace = true;
                Ok(())
            },
        },
        Opt {
            long: "compress",
            short: Some('z'),
            arg: Arg::Choice(&["gzip", "zstd"]),
            help: "compress the output",
            doc: "Compress the output. Records then come out in blocks, not as soon as they can.",
            set: |options, value| {
                options.compress =
                    Some(value.pick(&[("gzip", Compression::Gzip), ("zstd", Compression::Zstd)])?);
                Ok(())
            },
        },
        Opt {
            long: "block-size",
            short: Some('b'),
            arg: Arg::Value("N"),
            help: "tokens per block (default 512, or as the trace states)",
            doc: "Tokens per block. The default is what the records state in block_size, else 512. A \
                  record that states another size is an error.",
            set: |options, value| {
                options.block_size = Some(value.block_size()?);
                Ok(())
            },
        },
    ],
    common: CommonOptions::<Options>::TABLE,
    sections: &[
        Section {
            title: "CHECKS",
            body: &[
                Block::Text("These make a trace invalid; they are listed under errors:"),
                Block::Item("malformed", "A line that is not a JSON object in UTF-8."),
                Block::Item("missing_field", "A record without input_length."),
                Block::Item("bad_value", "A known field of the wrong type or out of range."),
                Block::Item("length_mismatch", "Too many or too few ids for the length."),
                Block::Item("block_size_mismatch", "Records that state different block sizes."),
                Block::Item("two_parents", "An id that follows different ids in different requests."),
                Block::Item(
                    "two_token_counts",
                    "An id that is a partial block in one request and a longer one in another.",
                ),
                Block::Item("repeated_in_request", "An id that stands twice in one request."),
                Block::Text("These are worth knowing; they are listed under notes:"),
                Block::Item("time_backwards", "A timestamp smaller than the one before it."),
                Block::Item(
                    "not_dense",
                    "Ids that are not numbered 0, 1, 2, ... in the order of first appearance.",
                ),
                Block::Item(
                    "no_timestamp, no_output_length, no_hash_ids",
                    "Records that lack an optional field.",
                ),
                Block::Text(
                    "With --check all FILEs are one trace, as with --ids-scope=shared. Other formats are \
                     converted before. Where --max-memory is reached, compared_records says how many \
                     records had been read: unique_blocks, dense, two_parents and two_token_counts are \
                     those of these records.",
                ),
            ],
        },
        Section {
            title: "FORMATS",
            body: &[
                Block::Text(
                    "Read; --from-format has the names. Fields that are not named here stay as they stood. \
                     Times become milliseconds with all their digits (billionths of a millisecond at most); \
                     those of a clock count from the first record that comes out. Ids that are strings, or \
                     mean something else in every conversation, are renumbered; before that they are hashed \
                     to 64 bits, so among 10^8 blocks two are taken for one with a chance of 3 in 10,000. \
                     Formats that list full blocks only get an id of its own for each partial block, which \
                     no other request shares. Prompts are refused: they are for trace-hash(1).",
                ),
                Block::Item(
                    "mooncake",
                    "The format of this program, with all extensions (those of Dynamo and aiperf too).",
                ),
                Block::Item(
                    "aiperf",
                    "The same, but rows of one session_id hold only what is new: see --turns. Not found out.",
                ),
                Block::Item(
                    "bailian",
                    "Alibaba's Bailian (Qwen) traces: seconds, blocks of 16 tokens unless --block-size or \
                     the file's name (blksz_N) says otherwise. A block is known by its id and those before \
                     it.",
                ),
                Block::Item(
                    "dynamo",
                    "Dynamo's request trace (dynamo.request.trace.v1): request_end events, perhaps wrapped in event.",
                ),
                Block::Item(
                    "agentic",
                    "Dynamo's agentic Mooncake, version 2: not_before_ms is the timestamp; ids are local to a play.",
                ),
                Block::Item(
                    "weka",
                    "Conversations of SemiAnalysis and Weka (cc-traces), one per line, subagents included. \
                     Each starts at time 0: use --sort to have them side by side.",
                ),
                Block::Item(
                    "tracelab",
                    "Rounds of TraceLab, without ids: a round keeps the blocks of the round before it in \
                     its session that lie in its prefix_tokens. Blocks of 64 tokens, or --block-size.",
                ),
                Block::Item("lmcache", "LMCache's lookup log: chunk_hashes; no output length."),
                Block::Item(
                    "tair",
                    "The trace of Tair's optimizer: reads with keys and input_len; give --block-size.",
                ),
                Block::Item("kvcache-simulator", "Mooncake lines whose ids may be strings."),
                Block::Item("burstgpt, azure, vidur", "CSV of lengths, without ids."),
                Block::Item("csv", "The CSV that --to-format=csv writes."),
                Block::Item(
                    "guidellm, vllm",
                    "Mooncake lines whose timestamps are in seconds. Not found out: nothing in a line says so.",
                ),
                Block::Text("Written; --to-format has the names. What each cannot hold is lost:"),
                Block::Item("mooncake", "Everything that was read."),
                Block::Item(
                    "aiperf",
                    "Milliseconds. Lost: all fields but timestamp, lengths and ids, and the session: aiperf \
                     would count whole prompts twice. With --turns=incremental session_id is written.",
                ),
                Block::Item(
                    "bailian",
                    "Seconds. Records without a chat_id are numbered, and chained by session_id. Lost: the \
                     block size, which is in the file's name there.",
                ),
                Block::Item(
                    "kvcache-simulator",
                    "Milliseconds, block_size in each row. Lost: all other fields. Records need ids.",
                ),
                Block::Item(
                    "guidellm",
                    "Seconds; ids are renumbered, since they have 32 bits there. Give guidellm the block \
                     size (hash_id_block_size, default 512). Lost: all other fields. Records need all four.",
                ),
                Block::Item(
                    "vllm",
                    "Seconds, for vllm bench serve --dataset-name timed_trace, which must be told the block \
                     size (--timed-trace-chunk-hash-size, default 16). Lost: all other fields. Records need \
                     all four.",
                ),
                Block::Item(
                    "csv",
                    "Milliseconds; the columns timestamp, input_length, output_length, hash_ids. Lost: all other fields.",
                ),
            ],
        },
        Section {
            title: "SAMPLING",
            body: &[Block::Text(
                "A sample keeps whole requests with all their blocks, but not its hit rates: what a \
                 request would have found may have been left out. On the public Mooncake conversation \
                 trace (12,031 requests; token hit rate 0.374, in an LRU cache of 10,000 blocks 0.216) \
                 a tenth by request has a token hit rate of 0.10 to 0.12 (seeds 0 to 4), a half 0.27 to \
                 0.28: too low. By prefix, with --prefix-blocks=2 since all requests share the first \
                 block, a tenth has 0.34 to 0.45 and a half 0.36 to 0.39: about right, as whole groups \
                 are kept. A cache must shrink with the share: in 1,000 blocks that tenth has 0.15 to \
                 0.26. By session a request finds its own session whole and what sessions share thinned \
                 out. So sample by prefix, shrink caches by the same share, and try several seeds.",
            )],
        },
        Section {
            title: "MEMORY",
            body: &[Block::Text(
                "Constant, with --merge a buffer of 256Ki per FILE. Renumbering takes memory only for ids \
                 that are not already dense: some 21 bytes for each distinct block of a file, or 16 bytes \
                 for each gap in a numbering that rises; 4 bytes more where separately numbered FILEs are \
                 merged. --check takes 8 bytes for each distinct block beside that, --sort what it is \
                 given, --tail its lines, --turns 8 bytes for each block of every session's last prompt, as \
                 does the format tracelab; sessions that are known by chat_id take some 40 bytes per record.",
            )],
        },
        Section {
            title: "EXAMPLES",
            body: &[
                Block::Example {
                    what: "Join two separately hashed sets of prompts, the first one compressed",
                    command: "trace-hash prompts.jsonl | gzip > a.jsonl.gz\n\
                              trace-hash prompts.jsonl > b.jsonl\n\
                              trace-cat a.jsonl.gz b.jsonl | trace-stats",
                },
                Block::Example {
                    what: "Is this a valid trace?",
                    command: "trace-hash prompts.jsonl | trace-cat --check",
                },
                Block::Example {
                    what: "Interleave two services' traces by time, from zero",
                    command: "trace-hash prompts.jsonl | trace-cat --sort > a.jsonl\n\
                              trace-hash prompts.jsonl | trace-cat --sort > b.jsonl\n\
                              trace-cat --merge --rebase a.jsonl b.jsonl > both.jsonl",
                },
                Block::Example {
                    what: "The second ten seconds, twice as fast, at blocks of 1024 tokens",
                    command: "trace-hash prompts.jsonl | trace-cat --from 10s --to 20s --rebase \\\n\
                              --speedup-ratio 2 --reblock 1024 > slice.jsonl",
                },
                Block::Example {
                    what: "A tenth of the shared prefixes, published without their ids",
                    command: "trace-hash prompts.jsonl | trace-cat --sample 0.1 --sample-by prefix \\\n\
                              --anonymize --salt 'a secret' -z zstd > public.jsonl.zst",
                },
                Block::Example {
                    what: "A table of Azure's trace as a Mooncake trace",
                    command: "(echo TIMESTAMP,ContextTokens,GeneratedTokens; \\\n\
                              echo 2023-11-16 18:15:46.6805900,374,44) | trace-cat",
                },
                Block::Example {
                    what: "For vLLM's benchmark",
                    command: "trace-hash -b 16 prompts.jsonl | trace-cat -b 16 --to-format vllm > timed.jsonl",
                },
                Block::Example {
                    what: "Keep what is valid of a damaged file",
                    command: "(trace-hash prompts.jsonl; echo '{\"input_le') | trace-cat --skip-invalid > good.jsonl",
                },
            ],
        },
        Section { title: "SEE ALSO", body: &[Block::Text("trace-hash(1), trace-stats(1), jq(1), sort(1)")] },
    ],
};
