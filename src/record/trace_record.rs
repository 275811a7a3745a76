//! What a line of a trace says, and the limits of what is plausible.

use std::ops::Range;

/// Block size of the Mooncake traces, in tokens.
pub const DEFAULT_BLOCK_SIZE: u64 = 512;

/// The largest length that is taken for a number of tokens. It keeps every sum of squares in 128 bits.
pub const MAX_LENGTH: u64 = 1 << 40;

/// Timestamps are at most this many milliseconds from zero: no clock counts further, in whatever unit, and
/// no difference or sum of squares of such times exceeds what a double holds.
pub const MAX_TIME: f64 = 1e24;

/// The largest number of tokens per block.
pub const MAX_BLOCK_SIZE: u64 = 1 << 24;

/// The most blocks that are invented for one prompt: a typo in a length must not fill memory.
pub const MAX_NEW_BLOCKS: u64 = 1 << 20;

/// One request of a trace. The vector of ids is reused from line to line. Further fields may come: build one
/// with `..Record::default()`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The number of its line in the input, from 1, over all files; 0 if it did not come from an input.
    pub line: u64,
    /// Arrival in milliseconds.
    pub timestamp: Option<f64>,
    /// Prompt length in tokens.
    pub input_length: u64,
    /// Generated length in tokens.
    pub output_length: Option<u64>,
    /// Prompt tokens as the server counted them, where that is not the input length.
    pub recorded_input_length: Option<u64>,
    /// Tokens per block, where the line states it.
    pub block_size: Option<u64>,
    /// Prompt tokens that the server found in its cache, where the line says so.
    pub cached_tokens: Option<u64>,
    /// Prompt tokens that the server wrote to its cache, where the line says so.
    pub cache_write_tokens: Option<u64>,
    /// Whether the line has a list of ids at all.
    pub has_ids: bool,
    /// One id per prefix block, first block first.
    pub hash_ids: Vec<u64>,
    /// Whether the line has the ids of its answer.
    pub has_output_ids: bool,
    /// One id per block that becomes full with the answer: of the chain over prompt and answer, stop token
    /// included, the blocks after the last full one of the prompt. The token that is sampled last is never
    /// computed, so of a prompt of L tokens and an answer of O these are the blocks floor(L / B) to
    /// floor((L + O - 1) / B) - 1.
    pub output_hash_ids: Vec<u64>,
    /// The session that it belongs to, as a number, where the reader was asked for it.
    pub session: Option<u64>,
    /// How long it is worth to keep its blocks, where the reader was asked for a field that says so.
    pub priority: Option<f64>,
    /// What a router may keep in one place, as a number, where the reader was asked for it: the value of the first
    /// of `session_id`, `conversation_id` and `chat_id` that the line has.
    pub affinity: Option<u64>,
    /// Whether known fields have other names in the line than those that are written.
    pub has_synonyms: bool,
    /// Where in the line the list of ids stands, brackets included.
    pub ids_span: Range<usize>,
    /// Where the list of the answer's ids stands; empty if there is none.
    pub output_ids_span: Range<usize>,
    /// Where the value of the timestamp stands; empty if there is none.
    pub time_span: Range<usize>,
    /// Where the value of the input length stands.
    pub input_span: Range<usize>,
    /// Where the value of the block size stands; empty if there is none.
    pub block_size_span: Range<usize>,
}

impl Record {
    /// Empties the record for the next line and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.hash_ids.clear();
        self.output_hash_ids.clear();
        self.clear_but_ids();
    }

    /// Empties all but the lists of ids.
    #[inline]
    pub(super) fn clear_but_ids(&mut self) {
        let hash_ids = std::mem::take(&mut self.hash_ids);
        let output_hash_ids = std::mem::take(&mut self.output_hash_ids);
        *self = Self { hash_ids, output_hash_ids, ..Self::default() };
    }

    /// What the server recorded of its cache, if the line says what it found there.
    #[inline]
    pub fn recorded(&self) -> Option<RecordedUse> {
        Some(RecordedUse {
            input: self.recorded_input_length.unwrap_or(self.input_length),
            cached: self.cached_tokens?,
            written: self.cache_write_tokens,
        })
    }

    /// The ids, unless the line has none (a trace of lengths only).
    pub fn ids(&self) -> Option<&[u64]> {
        self.has_ids.then_some(&self.hash_ids)
    }

    /// The ids of the blocks that become full with the answer, if they are known.
    pub fn output_ids(&self) -> Option<&[u64]> {
        self.has_output_ids.then_some(&self.output_hash_ids)
    }

    /// Tokens that are computed for it: the prompt, and the answer but its last token. An answer of unknown
    /// length, or of none, is taken for one token.
    pub fn computed_tokens(&self) -> u64 {
        self.input_length + self.output_length.unwrap_or(1).max(1) - 1
    }

    /// How many blocks of `block_size` tokens become full with the answer.
    pub fn output_blocks(&self, block_size: u64) -> u64 {
        self.computed_tokens() / block_size - self.input_length / block_size
    }
}

/// What a server recorded of a prompt and its cache, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedUse {
    /// Of the prompt, by the server's count.
    pub input: u64,
    /// Found in the cache.
    pub cached: u64,
    /// Written to the cache, where that is known.
    pub written: Option<u64>,
}

/// A range of lengths in tokens, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LengthRange {
    /// The shortest, if there is one.
    pub min: Option<u64>,
    /// The longest, if there is one.
    pub max: Option<u64>,
}

impl LengthRange {
    /// Whether there is any length within.
    pub fn is_possible(self) -> bool {
        self.min.zip(self.max).is_none_or(|(min, max)| min <= max)
    }

    /// Whether `length` is within.
    pub fn contains(self, length: u64) -> bool {
        self.min.is_none_or(|min| min <= length) && self.max.is_none_or(|max| length <= max)
    }

    /// The same of a length that may be unknown, which fits only where any does.
    pub fn may_contain(self, length: Option<u64>) -> bool {
        length.map_or(self == Self::default(), |length| self.contains(length))
    }
}

/// The first 64 bits of a hash as a number.
pub(crate) fn first_bits(hash: &[u8; 32]) -> u64 {
    hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}
