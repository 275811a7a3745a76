//! What a reader remembers of the lines before: messages, since in a log of agents' requests nearly every one
//! has been sent many times, and the way in which chats are taken.

use std::sync::Arc;

use super::content::{Message, Turns};
use crate::record::recent::Repeated;

/// Marks of messages that are kept, a power of two.
const MARKS: usize = 1 << 16;

/// What JSON texts were read into, and how chats are taken.
pub(super) struct Seen {
    messages: Repeated<Known>,
    next_id: u64,
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
}

impl Seen {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            messages: Repeated::new(limit, MARKS),
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

    /// What `json` was read into; or else, if it has come before and so is worth being kept, its hash.
    pub(super) fn look(&mut self, json: &str) -> Result<&Known, Option<u64>> {
        self.messages.look(json)
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
        let bytes = json.len() + message.json.len() + 192;
        self.messages.insert(hash, json, Known { message: message.clone(), filled, stand_ins }, bytes);
    }
}
