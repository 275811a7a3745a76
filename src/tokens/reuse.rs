//! Tokens of text that has been seen before.
//!
//! Logs repeat themselves: the same system prompt in every line, the past of a chat in each of its
//! requests. A text is cut into chunks where that cannot change its tokens (see
//! [`split`](super::split)), so a chunk has the same tokens wherever it stands. Chunks are cut from
//! the start of the text by length, so texts that begin alike are cut alike. The first time a chunk
//! is seen only a mark of it is kept, the second time its text and tokens; a hit compares the text
//! and is exact. What has not been asked for longest is forgotten under a limit of memory, and where
//! nothing repeats the whole is left out for a while.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Least length of a chunk in bytes.
pub(super) const CHUNK: usize = 512;

/// Number of marks of chunks seen: one for each 512 bytes of the last 128 MiB of text or so.
const MARKS: usize = 1 << 18;

/// One in so many chunks must be a hit for the others to be worth their look.
const WORTHWHILE: u32 = 16;

/// Chunks that are looked up before it is decided whether that pays.
const TRIAL: u32 = 4096;

/// Chunks that pass without being looked up after a trial that did not pay.
const PAUSE: u32 = 16 * TRIAL;

struct Chunk {
    hash: u64,
    text: Box<str>,
    tokens: Box<[u32]>,
}

impl Chunk {
    /// Bytes of memory, with the allocator's and the table's part.
    fn size(&self) -> usize {
        self.text.len() + 4 * self.tokens.len() + 128
    }
}

/// The chunks that one thread remembers.
pub(super) struct Chunks {
    hasher: RandomState,
    marks: Vec<u32>,
    /// What was used lately and what before; the older half is forgotten as a whole.
    young: HashTable<Chunk>,
    old: HashTable<Chunk>,
    young_size: usize,
    limit: usize,
    trial: u32,
    hits: u32,
    pause: u32,
}

/// What is known of a chunk.
pub(super) enum Seen<'a> {
    /// Its tokens.
    Tokens(&'a [u32]),
    /// It was there before: its tokens are worth keeping, under this hash.
    Before(u64),
    /// It is new.
    Never,
}

impl Chunks {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            marks: vec![0; MARKS],
            young: HashTable::new(),
            old: HashTable::new(),
            young_size: 0,
            limit,
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
        // The marks are small: what is new is mostly known to be so without a look at the tables.
        let mark = &mut self.marks[hash as usize % MARKS];
        let before = *mark == (hash >> 32) as u32 | 1;
        *mark = (hash >> 32) as u32 | 1;
        if !before {
            return Seen::Never;
        }
        let same = |chunk: &Chunk| chunk.hash == hash && *chunk.text == *text;
        if let Ok(entry) = self.old.find_entry(hash, same) {
            let (chunk, _) = entry.remove();
            self.keep(chunk);
        }
        match self.young.find(hash, same) {
            Some(chunk) => {
                self.hits += 1;
                Seen::Tokens(&chunk.tokens)
            }
            None => Seen::Before(hash),
        }
    }

    /// Keeps the tokens of a chunk that was looked up before.
    pub(super) fn insert(&mut self, hash: u64, text: &str, tokens: &[u32]) {
        self.keep(Chunk { hash, text: text.into(), tokens: tokens.into() });
    }

    fn keep(&mut self, chunk: Chunk) {
        if self.young_size + chunk.size() > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_size = 0;
        }
        self.young_size += chunk.size();
        self.young.insert_unique(chunk.hash, chunk, |chunk| chunk.hash);
    }
}
