//! What depends on the order of the requests: their numbers, their times, their lines.

use super::counts::Counts;
use super::hashed::{Fields, Hashed, Request};
use super::pipeline::{Batch, Refusal, Sink};
use crate::blocks::{BlockHash, BlockKey, KeyTable, Scheme};
use crate::error::{Error, Invalid, Result};
use crate::io::Output;
use crate::record::MAX_TIME;
use crate::record::line::{self, LineWriter};
use crate::record::prompt::Timestamp;
use crate::record::time::{self, Millis, TimeForm, Unit};

/// Which ids the blocks get.
#[non_exhaustive]
pub enum Ids {
    /// Numbers in the order of first appearance, with the numbers given before.
    Dense(KeyTable<BlockKey>),
    /// The hashes themselves.
    Hash(IdForm),
}

impl Ids {
    /// Appends the id of a block to a list.
    fn write(
        &mut self,
        hash: &BlockHash,
        scheme: &Scheme,
        max_memory: Option<usize>,
        text: &mut Vec<u8>,
    ) -> Result<()> {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        let mut number = itoa::Buffer::new();
        match self {
            Self::Dense(table) => {
                let id = dense(table, hash.key(), max_memory)?;
                text.extend_from_slice(number.format(id).as_bytes());
            }
            Self::Hash(IdForm::Number(bits)) => {
                let id = scheme.number(hash) & (u64::MAX >> (64 - *bits));
                text.extend_from_slice(number.format(id).as_bytes());
            }
            Self::Hash(IdForm::Hex) => {
                let digits = match scheme.digest(hash) {
                    Some(digest) => digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                    None => format!("{:016x}", scheme.number(hash)),
                };
                text.push(b'"');
                text.extend_from_slice(digits.as_bytes());
                text.push(b'"');
            }
        }
        Ok(())
    }
}

/// How a hash is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdForm {
    /// A number of this many bits, its lowest.
    Number(u32),
    /// Hexadecimal digits in quotes: all of the hash.
    Hex,
}

/// How trace lines are written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    /// How the records' times are given.
    pub times: TimeForm,
    /// Whether times count from the first request.
    pub rebase: bool,
    /// Requests per second of arrivals that are drawn in place of the records' times.
    pub rate: Option<f64>,
    /// Seed of that draw; 0 if absent.
    pub seed: Option<u64>,
    /// Tokens per block, if each line is to say it.
    pub block_size: Option<usize>,
    /// Most bytes of memory for the numbers of blocks.
    pub max_memory: Option<usize>,
}

/// Writes trace lines.
pub struct TraceWriter {
    output: Output,
    ids: Ids,
    scheme: Scheme,
    options: WriteOptions,
    first_time: Option<Millis>,
    random: fastrand::Rng,
    /// The arrival drawn last, in milliseconds.
    clock: Option<f64>,
    requests: u64,
    counts: Counts,
    likely_unit: Option<Unit>,
    unread_time: Option<String>,
    /// The ids of the request written last as text, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// The ids of an answer as text.
    answer: Vec<u8>,
}

impl TraceWriter {
    /// A writer to `output`.
    pub fn new(output: Output, ids: Ids, scheme: Scheme, options: WriteOptions) -> Self {
        let random = fastrand::Rng::with_seed(options.seed.unwrap_or(0));
        Self {
            output,
            ids,
            scheme,
            options,
            first_time: None,
            random,
            clock: None,
            requests: 0,
            counts: Counts::default(),
            likely_unit: None,
            unread_time: None,
            text: Vec::new(),
            ends: Vec::new(),
            answer: Vec::new(),
        }
    }

    /// Number of requests written so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// What was remarkable about the records read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The unit that the first time taken for milliseconds seems to have.
    pub fn likely_unit(&self) -> Option<Unit> {
        self.likely_unit
    }

    /// The first record without a time that has something like one: its place, and what that is.
    pub fn unread_time(&self) -> Option<&str> {
        self.unread_time.as_deref()
    }

    /// The output and the ids, at the end.
    pub fn into_parts(self) -> (Output, Ids) {
        (self.output, self.ids)
    }

    fn requests_from(&mut self, hashed: &Hashed, from: usize) -> Result<(), Refusal> {
        if from == 0 {
            self.counts.add_all(&hashed.counts);
        }
        let mut start = from.checked_sub(1).map_or(0, |before| hashed.requests[before].end());
        for request in &hashed.requests[from..] {
            let blocks = &hashed.hashes[start..request.hashes_end];
            let answer = request.answer_end.map(|end| &hashed.hashes[request.hashes_end..end]);
            start = request.end();
            let before = self.output.buffer().len();
            if let Err(refusal) = self.request(request, &hashed.records[request.record], blocks, answer) {
                self.output.buffer().truncate(before);
                return Err(refusal);
            }
            self.output.end_record().map_err(Refusal::Run)?;
        }
        Ok(())
    }

    fn request(
        &mut self,
        request: &Request,
        fields: &Fields,
        hashes: &[BlockHash],
        answer: Option<&[BlockHash]>,
    ) -> Result<(), Refusal> {
        let time = self.time(fields).map_err(|reason| Refusal::Record(request.line, reason.message))?;
        self.find_ids(request.shared, hashes).map_err(Refusal::Run)?;
        self.find_answer_ids(answer.unwrap_or_default()).map_err(Refusal::Run)?;
        let Self { output, options, text, answer: answer_text, counts, .. } = self;
        let out = output.buffer();
        let mut line = LineWriter::new(out);
        match time {
            Some(Arrival::AsWritten(number)) => line.json(line::TIMESTAMP, number),
            Some(Arrival::At(time)) => line.time(line::TIMESTAMP, time, Unit::Milliseconds),
            None => counts.without_time += 1,
        }
        line.number(line::INPUT_LENGTH, request.input_length);
        line.optional(line::OUTPUT_LENGTH, request.output_length);
        line.optional(line::BLOCK_SIZE, options.block_size.map(|size| size as u64));
        line.list(line::HASH_IDS, |out| out.extend_from_slice(text));
        if answer.is_some() {
            line.list(line::OUTPUT_HASH_IDS, |out| out.extend_from_slice(answer_text));
        }
        line.optional(line::CACHED_TOKENS, fields.cached_tokens);
        line.optional(line::CACHE_WRITE_TOKENS, fields.cache_write_tokens);
        if let Some(recorded) = fields.recorded_input_length {
            counts.compare(recorded, request.input_length);
        }
        let recorded = fields.recorded_input_length.filter(|&length| length != request.input_length);
        line.optional(line::RECORDED_INPUT_LENGTH, recorded);
        for (name, value) in &fields.kept {
            line.further(name, value);
        }
        line.end();
        self.requests += 1;
        Ok(())
    }

    /// Makes the text of a request's ids: the first `shared` are those of the request before, then come
    /// those of `hashes`.
    fn find_ids(&mut self, shared: usize, hashes: &[BlockHash]) -> Result<()> {
        let Self { ids, scheme, options, text, ends, .. } = self;
        ends.truncate(shared);
        text.truncate(ends.last().copied().unwrap_or_default());
        for hash in hashes {
            ids.write(hash, scheme, options.max_memory, text)?;
            ends.push(text.len());
        }
        Ok(())
    }

    /// Makes the text of the ids of an answer's blocks.
    fn find_answer_ids(&mut self, hashes: &[BlockHash]) -> Result<()> {
        let Self { ids, scheme, options, answer, .. } = self;
        answer.clear();
        hashes.iter().try_for_each(|hash| ids.write(hash, scheme, options.max_memory, answer))
    }

    /// The request's arrival.
    fn time<'f>(&mut self, fields: &'f Fields) -> Result<Option<Arrival<'f>>, Invalid> {
        if let Some(rate) = self.options.rate {
            // The gaps of a Poisson process. The first request comes at once.
            let gap = |random: &mut fastrand::Rng| -(1.0 - random.f64()).ln() / rate * 1000.0;
            let clock = self.clock.map_or(0.0, |clock| clock + gap(&mut self.random));
            time::check_clock(clock)?;
            self.clock = Some(clock);
            return Ok(Some(Arrival::At(Millis::micros((clock * 1000.0).round() as u64))));
        }
        let Some(Timestamp { text, form }) = &fields.timestamp else { return Ok(None) };
        if self.requests == 0 && self.options.times == TimeForm::default() && form.is_none() {
            self.likely_unit = Unit::of_the_present(text);
        }
        let form = form.unwrap_or(self.options.times);
        // What is copied is a number, whatever the field held.
        if form == TimeForm::default() && !self.options.rebase && is_time(text) {
            return Ok(Some(Arrival::AsWritten(text)));
        }
        let time = form.parse(text)?;
        if !self.options.rebase {
            return Ok(Some(Arrival::At(time)));
        }
        let first = *self.first_time.get_or_insert(time);
        Ok(Some(Arrival::At(time - first)))
    }
}

impl Sink for TraceWriter {
    fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    fn write(&mut self, batch: &Batch, hashed: &Hashed, from: usize) -> Result<(), Refusal> {
        if let Some((line, what)) = hashed.unread_time.as_ref().filter(|_| self.unread_time.is_none()) {
            self.unread_time = Some(format!("{}:{}: {what}", batch.file, batch.line(*line).0.number));
        }
        self.requests_from(hashed, from)
    }
}

/// When a request arrived.
enum Arrival<'f> {
    /// At this number of milliseconds, in the record's own digits.
    AsWritten(&'f str),
    At(Millis),
}

/// Whether `text` is a JSON number that can be a time.
fn is_time(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    begins
        && serde_json::from_str::<f64>(text).is_ok_and(|time| time.abs() <= MAX_TIME)
        && text.trim_end() == text
}

/// The number of a block.
fn dense(table: &mut KeyTable<BlockKey>, key: BlockKey, max_memory: Option<usize>) -> Result<u32> {
    if let Some(id) = table.get(key) {
        return Ok(id);
    }
    let id = table.len();
    let limit = max_memory.filter(|&limit| table.bytes_with_one_more() > limit);
    if limit.is_some() || id >= u32::MAX as usize {
        let reason = limit.map_or("there are no more numbers".to_owned(), |limit| {
            format!("one more would take more than `max_memory` ({limit} bytes)")
        });
        return Err(Error::Failed(format!(
            "{id} distinct blocks are numbered, and {reason}; `ids` hash needs no memory for them"
        )));
    }
    table.insert_new(key);
    Ok(id as u32)
}
