//! The tokens of chunks of text that have been seen before.
//!
//! Logs repeat themselves: the same system prompt in every line, the past of a chat in each of its
//! requests. A text is cut into chunks where that cannot change its tokens (see
//! [`split`](super::split)), so a chunk has the same tokens wherever it stands. Chunks are cut from
//! the start of the text by length, so texts that begin alike are cut alike. The first time a chunk
//! is seen, only a mark of it is kept; the second time, its text and tokens. A hit compares the text,
//! so it is exact. Under a limit of memory the chunks that were used least recently are forgotten, and
//! where nothing repeats, the cache is bypassed for a while.

use crate::record::recent::Repeated;

/// Least length of a chunk in bytes.
pub(super) const CHUNK: usize = 512;

/// Number of marks: enough for about the last 128 MiB of text.
const MARKS: usize = 1 << 18;

/// At least one in this many chunks must be a hit for the look-ups to pay.
const WORTHWHILE: u32 = 16;

/// Number of chunks that are looked up before it is decided whether that pays.
const TRIAL: u32 = 4096;

/// Number of chunks that bypass the cache after a trial that did not pay.
const PAUSE: u32 = 16 * TRIAL;

/// The chunks that one thread remembers.
pub(super) struct ChunkCache {
    chunks: Repeated<Box<[u32]>>,
    trial: u32,
    hits: u32,
    pause: u32,
}

impl ChunkCache {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { chunks: Repeated::new(limit, MARKS), trial: 0, hits: 0, pause: 0 }
    }

    /// Whether chunks are worth looking up at the moment.
    pub(super) fn pays(&mut self, chunks: usize) -> bool {
        let pays = self.pause == 0;
        self.pause = self.pause.saturating_sub(chunks as u32);
        pays
    }

    /// The tokens of `text`; or else, if it has come before and so is worth being kept, its hash.
    pub(super) fn look(&mut self, text: &str) -> Result<&[u32], Option<u64>> {
        self.trial += 1;
        if self.trial == TRIAL {
            self.pause = if self.hits < TRIAL / WORTHWHILE { PAUSE } else { 0 };
            (self.trial, self.hits) = (0, 0);
        }
        let tokens = self.chunks.look(text)?;
        self.hits += 1;
        Ok(tokens)
    }

    /// Keeps the tokens of a chunk that was looked up before.
    pub(super) fn insert(&mut self, hash: u64, text: &str, tokens: &[u32]) {
        // With an estimate for the allocator and the table.
        let bytes = text.len() + 4 * tokens.len() + 128;
        self.chunks.insert(hash, text.into(), tokens.into(), bytes);
    }
}
