//! What the workers make of lines.

use super::counts::Counts;
use super::prompt::{Prompt, Source};
use crate::blocks::BlockHash;
use crate::record::prompt::Timestamp;

/// The requests of a batch of lines.
#[derive(Default)]
pub(super) struct Hashed {
    pub(super) records: Vec<Fields>,
    pub(super) requests: Vec<Request>,
    pub(super) hashes: Vec<BlockHash>,
    /// Bad lines: which of the batch, and why.
    pub(super) rejected: Vec<(usize, String)>,
    /// The first record without a time that has something like one: its line of the batch, and what that is.
    pub(super) unread_time: Option<(usize, String)>,
    /// What was remarkable about the records.
    pub(super) counts: Counts,
}

/// The fields of a record that each of its requests gets.
pub(super) struct Fields {
    pub(super) timestamp: Option<Timestamp>,
    pub(super) cached_tokens: Option<u64>,
    pub(super) cache_write_tokens: Option<u64>,
    pub(super) recorded_input_length: Option<u64>,
    pub(super) kept: Vec<(String, String)>,
    /// What its prompts are made of, where that is asked for.
    pub(super) source: Option<Source>,
}

/// One request: its record, how many of its first hashes are those of the request before, where the
/// others end in [`Hashed::hashes`], and those of its answer, if that is known.
pub(super) struct Request {
    pub(super) record: usize,
    pub(super) line: usize,
    pub(super) input_length: u64,
    pub(super) output_length: Option<u64>,
    pub(super) shared: usize,
    pub(super) hashes_end: usize,
    pub(super) answer_end: Option<usize>,
    /// The prompt itself, where that is asked for.
    pub(super) prompt: Option<Prompt>,
}

impl Request {
    /// Where its last hash is.
    pub(super) fn end(&self) -> usize {
        self.answer_end.unwrap_or(self.hashes_end)
    }
}
