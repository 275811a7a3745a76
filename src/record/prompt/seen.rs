//! What has been read before: in a log of agents' requests nearly every message has been sent many times.
//!
//! A text is looked up by a hash and compared, so a hit is exact. The first time only a fingerprint of it is
//! kept, the second time what it was read into; at once where most texts were known lately. Under a limit of memory the older half is forgotten as a
//! whole.
//!
//! Messages are sent again in their order, so each one knows the one that came after it: where that one's text
//! stands again, its end is known without a look for it, since no list or object of JSON is the beginning
//! of another; and JSON that was valid once need not be checked again.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::content::Message;
use crate::record::json::RawObject;
use crate::record::raw::{Cursor, Json};

/// Fingerprints that are kept, a power of two.
const FINGERPRINTS: usize = 1 << 16;

/// How deep known lists are looked for in the objects of a record.
const LEVELS: u32 = 3;

/// What JSON texts were read into.
pub(super) struct Seen {
    hasher: RandomState,
    fingerprints: Vec<u32>,
    young: HashTable<Entry>,
    old: HashTable<Entry>,
    young_bytes: usize,
    limit: usize,
    next_id: u64,
    /// The hash of what began a list last, of the last list of tools, and of the last item.
    first: u64,
    tools: u64,
    last: Option<u64>,
    /// Bytes of JSON that were known, and of those that were not; the more recent ones weigh more.
    known: usize,
    unknown: usize,
}

struct Entry {
    hash: u64,
    /// The hash of what came after it last.
    next: u64,
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
            first: 0,
            tools: 0,
            last: None,
            known: 0,
            unknown: 0,
        }
    }

    /// From here on, messages of another chat are looked up.
    pub(super) fn begin(&mut self) {
        self.last = None;
        (self.known, self.unknown) = (self.known / 2, self.unknown / 2);
    }

    /// What the message `json`, which comes after the one looked up last, was read into; or whether it is worth
    /// being kept: then its hash.
    pub(super) fn message(&mut self, json: &str) -> Result<Known, Option<u64>> {
        if self.limit == 0 {
            return Err(None);
        }
        let expected = self.following(self.last);
        let same = self.entry(expected).filter(|entry| *entry.known.json == *json);
        let hash = if same.is_some() { expected } else { self.hash(json) };
        match self.last.and_then(|last| self.entry_mut(last)) {
            Some(last) => last.next = hash,
            None => self.first = hash,
        }
        self.last = Some(hash);
        let found = self.look(hash, json);
        *(if found.is_ok() { &mut self.known } else { &mut self.unknown }) += json.len();
        found
    }

    /// The same for a list of tools.
    pub(super) fn tools(&mut self, json: &str) -> Result<Known, Option<u64>> {
        if self.limit == 0 {
            return Err(None);
        }
        let same = self.entry(self.tools).filter(|entry| *entry.known.json == *json);
        let hash = if same.is_some() { self.tools } else { self.hash(json) };
        self.tools = hash;
        self.look(hash, json)
    }

    fn hash(&self, json: &str) -> u64 {
        self.hasher.hash_one(json.as_bytes())
    }

    fn look(&mut self, hash: u64, json: &str) -> Result<Known, Option<u64>> {
        let same = |entry: &Entry| entry.hash == hash && *entry.known.json == *json;
        if let Ok(found) = self.old.find_entry(hash, same) {
            let (entry, _) = found.remove();
            self.keep(entry);
        }
        if let Some(entry) = self.young.find(hash, same) {
            return Ok(entry.known.clone());
        }
        let print = &mut self.fingerprints[hash as usize % FINGERPRINTS];
        let before = *print == (hash >> 32) as u32 | 1;
        *print = (hash >> 32) as u32 | 1;
        // Where most is sent again, so will be what is new.
        Err(Some(hash).filter(|_| before || self.repeats()))
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
        let known = Known { json, message: message.clone(), filled, stand_ins };
        self.keep(Entry { hash, next: 0, known });
    }

    fn keep(&mut self, entry: Entry) {
        let message = &entry.known.message;
        let text = message.text.as_ref().map_or(0, |text| text.len());
        let bytes = entry.known.json.len() + message.json.len() + text + 200;
        if self.young_bytes + bytes > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    /// An entry with this hash.
    fn entry(&self, hash: u64) -> Option<&Entry> {
        let same = |entry: &Entry| entry.hash == hash;
        self.young.find(hash, same).or_else(|| self.old.find(hash, same))
    }

    fn entry_mut(&mut self, hash: u64) -> Option<&mut Entry> {
        let same = |entry: &Entry| entry.hash == hash;
        self.young.find_mut(hash, same).or_else(|| self.old.find_mut(hash, same))
    }

    /// The hash of the message that came after the one with the hash `last`, or first in its list.
    fn following(&self, last: Option<u64>) -> u64 {
        last.map_or(self.first, |last| self.entry(last).map_or(0, |entry| entry.next))
    }

    /// Whether most of what was read lately was known.
    fn repeats(&self) -> bool {
        self.known > self.unknown
    }

    /// The object that `text` is, if much of it is likely to be known; that is not checked again. `None`
    /// says nothing about the text.
    pub(super) fn object<'a>(&self, text: &'a str) -> Option<RawObject<'a>> {
        if !self.repeats() {
            return None;
        }
        let mut rest = Cursor::of(text);
        let members = self.members(&mut rest, LEVELS)?;
        rest.peek();
        rest.rest().is_empty().then(|| RawObject::of_members(members))?
    }

    fn members<'a>(&self, rest: &mut Cursor<'a>, levels: u32) -> Option<Vec<(&'a str, Json<'a>)>> {
        rest.take(b'{')?;
        let mut members = Vec::new();
        if rest.take(b'}').is_some() {
            return Some(members);
        }
        loop {
            let name = rest.value();
            if !name.starts_with('"') {
                return None;
            }
            Json::parse(name).ok()?;
            rest.take(b':')?;
            members.push((name, self.value(rest, levels)?));
            if rest.take(b',').is_none() {
                return rest.take(b'}').map(|()| members);
            }
        }
    }

    fn value<'a>(&self, rest: &mut Cursor<'a>, levels: u32) -> Option<Json<'a>> {
        let next = rest.peek();
        let before = rest.rest();
        match next {
            b'[' => match self.entry(self.tools).filter(|tools| before.starts_with(&*tools.known.json)) {
                Some(tools) => rest.skip(tools.known.json.len()),
                None => self.list(rest)?,
            },
            b'{' if levels > 1 => drop(self.members(rest, levels - 1)?),
            _ => return Json::parse(rest.value()).ok(),
        }
        Some(Json::known(&before[..before.len() - rest.rest().len()]))
    }

    fn list(&self, rest: &mut Cursor<'_>) -> Option<()> {
        rest.take(b'[')?;
        if rest.take(b']').is_some() {
            return Some(());
        }
        let mut last = None;
        loop {
            last = match self.next_known(last, rest) {
                Some(known) => Some(known),
                None => {
                    let item = rest.value();
                    let hash = self.hash(item);
                    let known = self.entry(hash).filter(|entry| *entry.known.json == *item);
                    if known.is_none() {
                        Json::parse(item).ok()?;
                    }
                    known.map(|_| hash)
                }
            };
            if rest.take(b',').is_none() {
                return rest.take(b']');
            }
        }
    }

    /// Goes past the next item if it is the one that is known to follow; returns its hash.
    fn next_known(&self, last: Option<u64>, rest: &mut Cursor<'_>) -> Option<u64> {
        rest.peek();
        let next = self.entry(self.following(last))?;
        // Of another value than these, what is known could be the beginning.
        let known = next.known.json.starts_with('{') && rest.rest().starts_with(&*next.known.json);
        known.then(|| {
            rest.skip(next.known.json.len());
            next.hash
        })
    }

    /// The items of a list of messages.
    pub(super) fn items<'a>(&self, list: Json<'a>) -> Option<Vec<Json<'a>>> {
        if !self.repeats() {
            return list.items();
        }
        let mut rest = Cursor::of(list.get());
        rest.take(b'[')?;
        let (mut items, mut before) = (Vec::new(), None);
        while rest.peek() != b']' {
            let text = rest.rest();
            before = self.next_known(before, &mut rest);
            if before.is_none() {
                let item = rest.value();
                before = Some(self.hash(item)).filter(|&hash| self.entry(hash).is_some());
            }
            items.push(Json::known(&text[..text.len() - rest.rest().len()]));
            rest.take(b',');
        }
        Some(items)
    }
}
