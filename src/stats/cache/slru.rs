//! Segmented LRU (Karedla, Love and Wherry: Caching strategies to improve disk system performance, IEEE Computer
//! 27(3), 1994): a block enters on probation and is protected from its second use on. Protected blocks have four
//! fifths of the cache; the one used least recently goes back on probation, from where blocks leave.

use crate::stats::cache::lists::Lists;
use crate::stats::cache::policy::BlockPolicy;

const PROBATION: usize = 0;
const PROTECTED: usize = 1;

/// A segmented LRU cache.
#[derive(Clone, Default)]
pub(super) struct Slru(Lists<(), 2>);

impl Slru {
    /// Uses a block that is held in a cache of `capacity` blocks.
    pub(super) fn renew(&mut self, id: u64, capacity: usize) {
        self.0.renew(PROTECTED, id);
        if self.0.len(PROTECTED) > capacity.saturating_mul(4) / 5
            && let Some(oldest) = self.0.oldest(PROTECTED)
        {
            self.0.renew(PROBATION, oldest);
        }
    }

    /// Takes in a block that is not held.
    pub(super) fn insert(&mut self, id: u64) {
        self.0.push(PROBATION, id, ());
    }

    /// The block that leaves next.
    pub(super) fn victim(&self) -> Option<u64> {
        self.0.oldest(PROBATION).or_else(|| self.0.oldest(PROTECTED))
    }

    /// Lets a block go.
    pub(super) fn remove(&mut self, id: u64) {
        self.0.remove(id);
    }
}

impl BlockPolicy for Slru {
    fn holds(&self, id: u64) -> bool {
        self.0.list_of(id).is_some()
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        if self.holds(id) {
            return self.renew(id, capacity);
        }
        if self.len() >= capacity
            && let Some(victim) = self.victim()
        {
            self.remove(victim);
        }
        self.insert(id);
    }

    fn len(&self) -> usize {
        self.0.len(PROBATION) + self.0.len(PROTECTED)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
