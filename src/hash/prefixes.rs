//! The blocks with which chats begin, by their messages: most requests of an agent begin with all that was
//! sent before, and what was hashed for it then.

use std::collections::HashMap;

use crate::blocks::BlockHash;
use crate::record::prompt::Keys;
use crate::record::recent::Recent;

/// Keys of requests that are told apart; with more of them all is forgotten.
const MOST_KEYS: usize = 1024;

/// Lists of messages that chats have begun with, each by its number.
pub(super) struct Prefixes {
    lists: Recent<List>,
    /// The numbers of the empty lists, for requests with these keys.
    empty: HashMap<Keys, u64>,
    next: u64,
}

/// A list, as a shorter one and a message.
struct List {
    number: u64,
    before: u64,
    message: u64,
    /// The full blocks that end in the message.
    hashes: Box<[BlockHash]>,
}

impl Prefixes {
    /// Remembers up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { lists: Recent::new(limit), empty: HashMap::new(), next: 0 }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The list without messages.
    pub(super) fn empty(&mut self, keys: &Keys) -> u64 {
        if let Some(&number) = self.empty.get(keys) {
            return number;
        }
        if self.empty.len() >= MOST_KEYS {
            self.empty.clear();
        }
        let number = self.number();
        self.empty.insert(keys.clone(), number);
        number
    }

    /// The list `before` and then `message`, and the blocks that end in it.
    pub(super) fn longer(&mut self, before: u64, message: u64) -> Option<(u64, &[BlockHash])> {
        let list = self.lists.get(key(before, message))?;
        let same = list.before == before && list.message == message;
        same.then_some((list.number, &*list.hashes))
    }

    /// Keeps the blocks that end in `message` after the list `before`; returns the longer list.
    pub(super) fn insert(&mut self, before: u64, message: u64, hashes: &[BlockHash]) -> u64 {
        let number = self.number();
        let bytes = size_of_val(hashes) + size_of::<List>() + 64;
        let list = List { number, before, message, hashes: hashes.into() };
        self.lists.insert(key(before, message), list, bytes);
        number
    }
}

/// Where a list is kept. That two have the same place is no harm.
fn key(before: u64, message: u64) -> u64 {
    before.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32) ^ message
}
