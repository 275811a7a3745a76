//! Synthetic requests as lines: of a trace, or of prompts.

use std::io::Write;
use std::sync::Arc;

use super::prompts::{PromptForm, PromptWriter, ShortBlocks, Vocabulary};
use super::request::SyntheticRequest;
use crate::error::{Error, Invalid};
use crate::io::Workers;
use crate::record::line::{self, LineWriter, join_runs};

/// How the requests of a conversation are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// Each at its own time.
    Open,
    /// The first at its time, and each further one a while after the answer to the one before.
    Closed,
}

/// How requests are written.
#[derive(Clone, Default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "one per property of the lines")]
pub struct WriteOptions {
    /// Whether lines have a list of ids.
    pub has_ids: bool,
    /// Whether only full blocks are listed.
    pub full_blocks_only: bool,
    /// Tokens per block.
    pub block_size: u64,
    /// Whether lines state it.
    pub states_block_size: bool,
    /// Whether lines have the reference's `context_len` and `unique_user_prompt_len`.
    pub annotate: bool,
    /// Whether lines say which conversation they belong to, and how it is timed.
    pub schedule: Option<Schedule>,
    /// Write prompts of these tokens instead of trace lines.
    pub prompts: Option<Arc<Vocabulary>>,
}

/// Writes requests as lines, by other threads if there may be some.
///
/// What a line holds depends on no other, but for the contents of a few blocks ([`ShortBlocks`]).
pub struct RequestWriter {
    short: Option<ShortBlocks>,
    by: By,
}

/// Who writes.
enum By {
    This(Box<Lines>, Vec<u64>),
    Others(Workers<Batch, Written>, Batch),
}

/// Tokens of a batch, at least: then handing it on costs nothing.
const BATCH: u64 = 1 << 15;

/// Requests that one thread writes, and the contents of their short blocks.
#[derive(Default)]
struct Batch {
    requests: Vec<SyntheticRequest>,
    contents: Vec<u64>,
    tokens: u64,
}

/// Lines up to one that cannot be written.
type Written = (Vec<u8>, Result<(), Invalid>);

/// Writes lines.
struct Lines {
    options: WriteOptions,
    prompts: Option<PromptWriter>,
}

impl RequestWriter {
    /// A writer of lines.
    pub fn new(options: WriteOptions) -> Self {
        let (form, options) = options.split();
        Self {
            short: form.clone().map(ShortBlocks::new),
            by: By::This(Box::new(Lines::new(options, form)), Vec::new()),
        }
    }

    /// The same, of which so many threads write the prompts if there are prompts to write. The lines are the same.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn with_jobs(options: WriteOptions, jobs: usize) -> Result<Self, Error> {
        if jobs < 2 || options.prompts.is_none() {
            return Ok(Self::new(options));
        }
        let (form, options) = options.split();
        let workers = Workers::start("prompts", jobs, "the library of the tokenizer failed", || {
            let mut lines = Lines::new(options.clone(), form.clone());
            Ok(move |batch: Batch| lines.batch(&batch))
        });
        let workers = workers.map_err(|_| Error::no_thread())?;
        Ok(Self { short: form.map(ShortBlocks::new), by: By::Others(workers, Batch::default()) })
    }

    /// What is to be said about the lines that were written.
    pub fn remarks(&self) -> Vec<String> {
        self.short.as_ref().map_or_else(Vec::new, ShortBlocks::remarks)
    }

    /// Appends the line of a request, or those of some requests before it where other threads write.
    ///
    /// # Errors
    /// When a request cannot be written as a prompt; all before it have been appended, and nothing of it.
    pub fn write(&mut self, request: &SyntheticRequest, out: &mut Vec<u8>) -> Result<(), Error> {
        let contents = match &mut self.by {
            By::This(_, contents) => {
                contents.clear();
                contents
            }
            By::Others(_, batch) => &mut batch.contents,
        };
        let numbered = self.short.as_mut().map_or(Ok(()), |short| short.add(request, contents));
        if let Err(invalid) = numbered {
            self.finish(out)?;
            return Err(invalid.into());
        }
        match &mut self.by {
            By::This(lines, contents) => Ok(lines.write(request, &mut contents.drain(..), out)?),
            By::Others(_, batch) => {
                batch.tokens += request.input_length;
                batch.requests.push(request.clone());
                if batch.tokens >= BATCH { self.send(false, out) } else { Ok(()) }
            }
        }
    }

    /// Appends the lines of all requests that are still under way.
    ///
    /// # Errors
    /// Those of [`RequestWriter::write`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.send(true, out)
    }

    /// Hands the batch to the other threads, and appends what is ready; all of it if that is wanted.
    fn send(&mut self, all: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        let By::Others(workers, batch) = &mut self.by else { return Ok(()) };
        let failed = |error| Error::io("prompts", error);
        if !batch.requests.is_empty() {
            workers.send(std::mem::take(batch)).map_err(failed)?;
        }
        while let Some(written) = workers.take(all) {
            let (lines, result) = written.map_err(failed)?;
            out.extend_from_slice(&lines);
            if result.is_err() {
                // Nothing comes after it.
                while workers.take(true).is_some() {}
            }
            result?;
        }
        Ok(())
    }
}

impl WriteOptions {
    /// What all prompts have in common, if they are prompts, and all else.
    fn split(mut self) -> (Option<PromptForm>, Self) {
        let form = self.prompts.take().map(|vocabulary| PromptForm::new(vocabulary, self.block_size));
        (form, self)
    }
}

impl Lines {
    fn new(options: WriteOptions, form: Option<PromptForm>) -> Self {
        Self { options, prompts: form.map(PromptWriter::new) }
    }

    fn batch(&mut self, batch: &Batch) -> Written {
        let mut out = Vec::new();
        let mut contents = batch.contents.iter().copied();
        let written =
            batch.requests.iter().try_for_each(|request| self.write(request, &mut contents, &mut out));
        (out, written)
    }

    /// Appends the line of a request, or nothing if it cannot be written.
    fn write(
        &mut self,
        request: &SyntheticRequest,
        contents: &mut impl Iterator<Item = u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        let before = out.len();
        let written = self.line(request, contents, out);
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    fn line(
        &mut self,
        request: &SyntheticRequest,
        contents: &mut impl Iterator<Item = u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        let length = request.input_length;
        let mut line = LineWriter::new(out);
        let place = request.place.filter(|_| self.options.schedule.is_some());
        let delay = place.and_then(|place| place.delay);
        let delay = delay.filter(|_| self.options.schedule == Some(Schedule::Closed));
        if let Some(timestamp) = request.timestamp.filter(|_| delay.is_none()) {
            write_time(timestamp, line.value(line::TIMESTAMP));
        }
        match &mut self.prompts {
            Some(prompts) => prompts.write(request, contents, line.member())?,
            None => line.number(line::INPUT_LENGTH, length),
        }
        if let Some(output) = request.output_length {
            line.number(line::OUTPUT_LENGTH, output);
            if self.prompts.is_some() {
                line.number(line::MAX_TOKENS, output);
            }
        }
        if self.options.states_block_size && self.prompts.is_none() {
            line.number(line::BLOCK_SIZE, self.options.block_size);
        }
        if self.options.annotate {
            line.number(line::CONTEXT_LEN, request.context_length);
            line.number(line::UNIQUE_USER_PROMPT_LEN, length - request.context_length);
        }
        if self.options.has_ids && self.prompts.is_none() {
            let only_full = self.options.full_blocks_only;
            let most = if only_full { length / self.options.block_size } else { u64::MAX };
            let runs = request.listed(most).map(|span| span.ids());
            line.list(line::HASH_IDS, |out| join_runs(runs, *b", ", out));
        }
        if let Some(place) = place {
            write!(line.value(line::SESSION_ID), "\"{}\"", place.conversation).ok();
            if let Some(parent) = place.parent {
                write!(line.value(line::PARENT_SESSION_ID), "\"{parent}\"").ok();
            }
            line.number(line::TURN, u64::from(place.turn));
        }
        if let Some(delay) = delay {
            write_time(delay, line.value(line::DELAY));
        }
        line.end();
        Ok(())
    }
}

/// From here on a double in milliseconds knows no microseconds.
const NO_MICROSECONDS: f64 = (1_u64 << 43) as f64;

/// Appends a time in milliseconds, to the microsecond, without needless zeros.
pub(super) fn write_time(milliseconds: f64, out: &mut Vec<u8>) {
    if milliseconds.abs() >= NO_MICROSECONDS {
        return out.extend_from_slice(milliseconds.to_string().as_bytes());
    }
    let micros = (milliseconds.abs() * 1000.0).round() as u64;
    if milliseconds < 0.0 && micros > 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
    let mut rest = micros % 1000;
    if rest > 0 {
        out.push(b'.');
        for unit in [100, 10, 1] {
            if rest > 0 {
                out.push(b'0' + (rest / unit) as u8);
                rest %= unit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_no_needless_digits() {
        for (time, expected) in [
            (0.0, "0"),
            (27_482.0, "27482"),
            (0.5, "0.5"),
            (1.0625, "1.063"),
            (7.05, "7.05"),
            (0.0004, "0"),
            (-0.0004, "0"),
            (-0.25, "-0.25"),
            (-5.0, "-5"),
            (8_796_093_022_207.5, "8796093022207.5"),
            (8_796_093_022_208.25, "8796093022208.25"),
            (1e20, "100000000000000000000"),
        ] {
            let mut out = Vec::new();
            write_time(time, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
