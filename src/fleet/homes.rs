//! Where sessions or prefixes stay.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::blocks::reserve;
use crate::fleet::router::{NOWHERE, Route};

/// Where the sessions or prefixes of one route stay, in each of the fleets behind it: one look-up serves them all.
pub(super) struct Homes {
    route: Route,
    fleets: usize,
    /// Which of the rows below is that of each session or prefix.
    rows: HashMap<u64, u32, RandomState>,
    /// In each row, the replica of each fleet.
    homes: Vec<u32>,
    /// The row of the current request, if it has a session or blocks.
    row: Option<usize>,
}

impl Homes {
    /// None yet, for no fleet.
    pub(super) fn new(route: Route) -> Self {
        Self { route, fleets: 0, rows: HashMap::default(), homes: Vec::new(), row: None }
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

    /// Finds the row of the next request, by its session or the block that its prefix ends with.
    pub(super) fn take(&mut self, key: Option<u64>) {
        self.row = key.map(|key| {
            let new = self.rows.len() as u32;
            let row = *self.rows.entry(key).or_insert(new);
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
        17 * self.rows.capacity() * 8 / 7 + 4 * self.homes.len()
    }
}
