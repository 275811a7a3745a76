//! The cache of `LMCache`'s own simulator: least recently used, of the full blocks of prompts alone.
//!
//! It uses blocks from first to last, so a parent leaves before its children, and lets a prompt be served
//! as a whole. (`LMCache` itself uses them from last to first.)

use crate::blocks::{BlockNumber, reserve};
use crate::stats::cache::served::Server;
use crate::stats::engine::EngineRequest;

/// No block.
const NONE: BlockNumber = BlockNumber::MAX;

/// Neighbours of a block that is held, in the order of last use.
#[derive(Clone, Copy)]
struct Place {
    before: BlockNumber,
    after: BlockNumber,
}

/// A cache. Memory: 12 bytes per name.
pub(super) struct Lmcache {
    capacity: u64,
    block_size: u64,
    places: Vec<Option<Place>>,
    first: BlockNumber,
    last: BlockNumber,
    held: u64,
}

impl Server for Lmcache {
    fn new(capacity: u64, block_size: u64) -> Self {
        Self { capacity, block_size, places: Vec::new(), first: NONE, last: NONE, held: 0 }
    }

    fn fits(&self, _: &EngineRequest) -> bool {
        true
    }

    fn serve(&mut self, request: &EngineRequest) -> u64 {
        let full = (request.prompt / self.block_size) as usize;
        let names = &request.names[..full.min(request.names.len())];
        let hit = names.iter().take_while(|&&name| self.place(name).is_some()).count();
        for &name in names {
            self.touch(name);
        }
        hit as u64
    }

    fn bytes(&self) -> usize {
        size_of::<Option<Place>>() * self.places.len()
    }
}

impl Lmcache {
    fn place(&self, name: BlockNumber) -> Option<Place> {
        self.places.get(name as usize).copied().flatten()
    }

    /// Makes a block the one used last; if it was not held, the one used first may have to go.
    fn touch(&mut self, name: BlockNumber) {
        if self.place(name).is_some() {
            self.unlink(name);
        } else if self.held >= self.capacity {
            self.unlink(self.first);
        }
        let wanted = name as usize + 1;
        let more = wanted.saturating_sub(self.places.len());
        if more > 0 {
            reserve(&mut self.places, more);
            self.places.resize(wanted, None);
        }
        self.places[name as usize] = Some(Place { before: self.last, after: NONE });
        match self.place_mut(self.last) {
            Some(last) => last.after = name,
            None => self.first = name,
        }
        self.last = name;
        self.held += 1;
    }

    fn unlink(&mut self, name: BlockNumber) {
        let Some(Place { before, after }) = self.places[name as usize].take() else { return };
        match self.place_mut(before) {
            Some(place) => place.after = after,
            None => self.first = after,
        }
        match self.place_mut(after) {
            Some(place) => place.before = before,
            None => self.last = before,
        }
        self.held -= 1;
    }

    fn place_mut(&mut self, name: BlockNumber) -> Option<&mut Place> {
        self.places.get_mut(name as usize)?.as_mut()
    }
}
