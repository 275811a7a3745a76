//! The tokens of chunks of text that have been seen before.
//!
//! Logs repeat themselves: the same system prompt in every line, the past of a chat in each of its
//! requests. A text is cut into chunks where that cannot change its tokens (see
//! [`split`](super::split)), so a chunk has the same tokens wherever it stands. Chunks are cut from
//! the start of the text by length, so texts that begin alike are cut alike. The first time a chunk
//! is seen, only a mark of it is kept; the second time, its text and tokens. A hit compares the text,
//! so it is exact. Under a limit of memory the chunks that were used least recently are forgotten, and
//! where nothing repeats, the cache is bypassed for a while.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::recent::Recent;

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

struct Chunk {
    text: Box<str>,
    tokens: Box<[u32]>,
}

impl Chunk {
    /// Bytes of memory, including an estimate for the allocator and the table.
    fn size(&self) -> usize {
        self.text.len() + 4 * self.tokens.len() + 128
    }
}

/// The chunks that one thread remembers.
pub(super) struct ChunkCache {
    hasher: RandomState,
    marks: Vec<u32>,
    chunks: Recent<Chunk>,
    trial: u32,
    hits: u32,
    pause: u32,
}

/// What is known of a chunk.
pub(super) enum Seen<'a> {
    /// Its tokens.
    Tokens(&'a [u32]),
    /// It was seen before: its tokens are worth keeping, under this hash.
    Before(u64),
    /// It is new.
    Never,
}

impl ChunkCache {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            marks: vec![0; MARKS],
            chunks: Recent::new(limit),
            trial: 0,
            hits: 0,
            pause: 0,
        }
    }

    /// Whether chunks are worth looking up at the moment.
    pub(super) fn pays(&mut self, chunks: usize) -> bool {
        let pays = self.pause == 0;
        self.pause = self.pause.saturating_sub(chunks as u32);
        pays
    }

    /// Looks `text` up.
    pub(super) fn look(&mut self, text: &str) -> Seen<'_> {
        let hash = self.hasher.hash_one(text);
        self.trial += 1;
        if self.trial == TRIAL {
            self.pause = if self.hits < TRIAL / WORTHWHILE { PAUSE } else { 0 };
            (self.trial, self.hits) = (0, 0);
        }
        // The marks are small, so most new chunks are recognised without touching the tables.
        let mark = &mut self.marks[hash as usize % MARKS];
        let before = *mark == (hash >> 32) as u32 | 1;
        *mark = (hash >> 32) as u32 | 1;
        if !before {
            return Seen::Never;
        }
        match self.chunks.get(hash).filter(|chunk| *chunk.text == *text) {
            Some(chunk) => {
                self.hits += 1;
                Seen::Tokens(&chunk.tokens)
            }
            None => Seen::Before(hash),
        }
    }

    /// Keeps the tokens of a chunk that was looked up before.
    pub(super) fn insert(&mut self, hash: u64, text: &str, tokens: &[u32]) {
        let chunk = Chunk { text: text.into(), tokens: tokens.into() };
        let size = chunk.size();
        self.chunks.insert(hash, chunk, size);
    }
}
