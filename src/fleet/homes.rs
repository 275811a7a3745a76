//! Where sessions or prefixes stay.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::blocks::{BlockNumber, reserve};
use crate::fleet::by_block::ByBlock;
use crate::fleet::router::{NOWHERE, Route};

/// What requests are kept together by.
#[derive(Clone, Copy)]
pub(super) enum Key {
    /// Their session.
    Session(u64),
    /// The block that their prefix ends with.
    Block(BlockNumber),
}

/// Where the sessions or prefixes of one route stay, in each of the fleets behind it: one look-up serves them all.
pub(super) struct Homes {
    route: Route,
    fleets: usize,
    /// Which of the rows below is that of each session, if the route is by session.
    sessions: HashMap<u64, u32, RandomState>,
    /// Which is that of each prefix, else.
    prefixes: ByBlock,
    /// In each row, the replica of each fleet.
    homes: Vec<u32>,
    /// The row of the current request, if it has a session or blocks.
    row: Option<usize>,
}

impl Homes {
    /// None yet, for no fleet.
    pub(super) fn new(route: Route) -> Self {
        let (sessions, prefixes) = (HashMap::default(), ByBlock::default());
        Self { route, fleets: 0, sessions, prefixes, homes: Vec::new(), row: None }
    }

    /// One more fleet, and its number; only before the first request.
    pub(super) fn add_fleet(&mut self) -> usize {
        self.fleets += 1;
        self.fleets - 1
    }

    /// The route whose homes they are.
    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// Finds the row of the next request, by what keeps it together with others, if anything does.
    pub(super) fn take(&mut self, key: Option<Key>) {
        self.row = key.map(|key| {
            let new = (self.homes.len() / self.fleets) as u32;
            let row = match key {
                Key::Session(session) => *self.sessions.entry(session).or_insert(new),
                Key::Block(block) => self.prefixes.find(block).unwrap_or_else(|| {
                    self.prefixes.push(block);
                    new
                }),
            };
            if row == new {
                reserve(&mut self.homes, self.fleets);
                self.homes.resize(self.homes.len() + self.fleets, NOWHERE);
            }
            row as usize * self.fleets
        });
    }

    /// The home of that request in a fleet, if there is one for it.
    pub(super) fn of(&mut self, fleet: usize) -> Option<&mut u32> {
        self.homes.get_mut(self.row? + fleet)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        17 * self.sessions.capacity() * 8 / 7 + self.prefixes.bytes() + 4 * self.homes.len()
    }
}
