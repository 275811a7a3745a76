//! First in, first out: a request's absent blocks enter from first to last; the oldest entry leaves.
//! A parent may leave before its children.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::RandomState;

use crate::stats::cache::policy::Eviction;
use crate::stats::seen::Seen;

/// A FIFO cache.
#[derive(Clone, Default)]
pub(super) struct Fifo {
    held: HashSet<u64, RandomState>,
    queue: VecDeque<u64>,
}

impl Eviction for Fifo {
    fn access(&mut self, seen: &Seen, capacity: usize) -> usize {
        let ids = seen.ids;
        let hit = ids.iter().take_while(|id| self.held.contains(id)).count();
        for &id in &ids[hit..] {
            if !self.held.insert(id) {
                continue;
            }
            self.queue.push_back(id);
            if self.queue.len() > capacity
                && let Some(oldest) = self.queue.pop_front()
            {
                self.held.remove(&oldest);
            }
        }
        hit
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    /// An id and a byte of control in a table that is at least 7/16 full, and the id in the queue.
    fn bytes(&self) -> usize {
        32 * self.queue.len()
    }
}
