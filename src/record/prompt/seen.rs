//! What a reader remembers of the lines before: messages, since in a log of agents' requests nearly every one
//! has been sent many times, and the way in which chats are taken.
//!
//! A text is looked up by a hash and compared, so a hit is exact. The first time only a fingerprint of it is
//! kept, the second time what it was read into. Under a limit of memory the older half is forgotten as a
//! whole.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::content::{Message, Turns};

/// Fingerprints that are kept, a power of two.
const FINGERPRINTS: usize = 1 << 16;

/// What JSON texts were read into, and how chats are taken.
pub(super) struct Seen {
    hasher: RandomState,
    fingerprints: Vec<u32>,
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    young_bytes: usize,
    limit: usize,
    next_id: u64,
    /// How chats are taken, once one of them has decided it.
    taken: Option<Turns>,
    decide: Box<dyn Fn(Turns) -> Turns + Send>,
}

struct Entry {
    hash: u64,
    known: Known,
}

/// What is known of a text.
#[derive(Clone)]
pub(super) struct Known {
    /// The text itself.
    json: Arc<str>,
    /// What it was read into.
    pub(super) message: Message,
    /// Whether the message says anything.
    pub(super) filled: bool,
    /// Parts of it whose text is unknown.
    pub(super) stand_ins: u64,
}

impl Seen {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            fingerprints: if limit > 0 { vec![0; FINGERPRINTS] } else { Vec::new() },
            young: HashTable::new(),
            old: HashTable::new(),
            young_bytes: 0,
            limit,
            next_id: 1,
            taken: None,
            decide: Box::new(|looks| looks),
        }
    }

    /// The first chat for which it makes a difference asks `decide` how all are taken.
    pub(super) fn decide_by(&mut self, decide: impl Fn(Turns) -> Turns + Send + 'static) {
        self.decide = Box::new(decide);
    }

    /// How a chat is taken that looks like `looks`.
    pub(super) fn taken(&mut self, looks: Turns) -> Turns {
        *self.taken.get_or_insert_with(|| (self.decide)(looks))
    }

    /// What `json` was read into, or whether it is worth being kept: then its hash.
    pub(super) fn look(&mut self, json: &str) -> Result<&Known, Option<u64>> {
        if self.limit == 0 {
            return Err(None);
        }
        let hash = self.hasher.hash_one(json.as_bytes());
        let print = &mut self.fingerprints[hash as usize % FINGERPRINTS];
        let before = *print == (hash >> 32) as u32 | 1;
        *print = (hash >> 32) as u32 | 1;
        if !before {
            return Err(None);
        }
        let same = |entry: &Entry| entry.hash == hash && *entry.known.json == *json;
        if let Ok(found) = self.old.find_entry(hash, same) {
            let (entry, _) = found.remove();
            self.keep(entry);
        }
        self.young.find(hash, same).map(|entry| &entry.known).ok_or(Some(hash))
    }

    /// Keeps what the text with this hash was read into, which gets an id.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        json: &str,
        message: &mut Message,
        filled: bool,
        stand_ins: u64,
    ) {
        message.id = Some(self.next_id);
        self.next_id += 1;
        let json = if *message.json == *json { message.json.clone() } else { json.into() };
        self.keep(Entry { hash, known: Known { json, message: message.clone(), filled, stand_ins } });
    }

    fn keep(&mut self, entry: Entry) {
        let bytes = entry.known.json.len() + entry.known.message.json.len() + 192;
        if self.young_bytes + bytes > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert_unique(entry.hash, entry, |entry| entry.hash);
    }
}
