//! What a reader remembers of the lines before: messages, since in a log of agents' requests nearly every one
//! has been sent many times, and the way in which chats are taken.
//!
//! Messages are sent again in their order, so each one knows the one that came after it: where that one's text
//! stands again, its end is known without a look for it, since no list or object of JSON is the beginning
//! of another; and JSON that was valid once need not be checked again.

use std::sync::Arc;

use super::content::{Message, Turns};
use crate::record::json::RawObject;
use crate::record::raw::{Cursor, Json};
use crate::record::recent::Repeated;

/// Marks of messages that are kept, a power of two.
const MARKS: usize = 1 << 16;

/// How deep known lists are looked for in the objects of a record.
const LEVELS: u32 = 3;

/// What JSON texts were read into, and how chats are taken.
pub(super) struct Seen {
    messages: Repeated<Known>,
    next_id: u64,
    /// The hash of what began a list last, of the last list of tools, and of the last item.
    first: u64,
    tools: u64,
    last: Option<u64>,
    /// Bytes of JSON that were known, and of those that were not; the more recent ones weigh more.
    known: usize,
    unknown: usize,
    /// How chats are taken, once one of them has decided it.
    taken: Option<Turns>,
    decide: Box<dyn Fn(Turns) -> Turns + Send>,
}

/// What is known of a text.
#[derive(Clone)]
pub(super) struct Known {
    /// What it was read into.
    pub(super) message: Message,
    /// Whether the message says anything.
    pub(super) filled: bool,
    /// Parts of it whose text is unknown.
    pub(super) stand_ins: u64,
    /// The hash of what came after it last.
    next: u64,
}

impl Seen {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            messages: Repeated::new(limit, MARKS),
            next_id: 1,
            first: 0,
            tools: 0,
            last: None,
            known: 0,
            unknown: 0,
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

    /// From here on, messages of another chat are looked up.
    pub(super) fn begin(&mut self) {
        self.last = None;
        (self.known, self.unknown) = (self.known / 2, self.unknown / 2);
    }

    /// What the message `json`, which comes after the one looked up last, was read into; or whether it is worth
    /// being kept: then its hash.
    pub(super) fn message(&mut self, json: &str) -> Result<Known, Option<u64>> {
        let hash = self.hash(self.following(self.last), json);
        match self.last.and_then(|last| self.messages.known_mut(last)) {
            Some(last) => last.next = hash,
            None => self.first = hash,
        }
        self.last = Some(hash);
        let found = self.messages.look_by(hash, json).cloned();
        *(if found.is_ok() { &mut self.known } else { &mut self.unknown }) += json.len();
        // Where most is sent again, so will be what is new.
        found.map_err(|worth| worth.or(Some(hash).filter(|_| self.repeats())))
    }

    /// The same for a list of tools.
    pub(super) fn tools(&mut self, json: &str) -> Result<Known, Option<u64>> {
        self.tools = self.hash(self.tools, json);
        self.messages.look_by(self.tools, json).cloned()
    }

    /// The hash of `json`, which is likely to be `expected`.
    fn hash(&self, expected: u64, json: &str) -> u64 {
        let same = self.messages.known(expected).is_some_and(|(known, _)| **known == *json);
        if same { expected } else { self.messages.hash(json) }
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
        let json: Arc<str> = if *message.json == *json { message.json.clone() } else { json.into() };
        let text = message.text.as_ref().map_or(0, |text| text.len());
        let bytes = json.len() + message.json.len() + text + 200;
        let known = Known { message: message.clone(), filled, stand_ins, next: 0 };
        self.messages.insert(hash, json, known, bytes);
    }

    /// The hash of the message that came after the one with the hash `last`, or first in its list.
    fn following(&self, last: Option<u64>) -> u64 {
        last.map_or(self.first, |last| self.messages.known(last).map_or(0, |(_, known)| known.next))
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
            b'[' => match self.messages.known(self.tools).filter(|(json, _)| before.starts_with(&***json)) {
                Some((json, _)) => rest.skip(json.len()),
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
                    let hash = self.messages.hash(item);
                    let known = self.messages.known(hash).is_some_and(|(json, _)| **json == *item);
                    if !known {
                        Json::parse(item).ok()?;
                    }
                    known.then_some(hash)
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
        let next = self.following(last);
        let (json, _) = self.messages.known(next)?;
        // Of another value than these, what is known could be the beginning.
        let known = json.starts_with('{') && rest.rest().starts_with(&**json);
        known.then(|| {
            rest.skip(json.len());
            next
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
                before = Some(self.messages.hash(item)).filter(|&hash| self.messages.known(hash).is_some());
            }
            items.push(Json::known(&text[..text.len() - rest.rest().len()]));
            rest.take(b',');
        }
        Some(items)
    }
}
