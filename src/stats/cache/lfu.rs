//! Least frequently used: a request uses its blocks from last to first; the block leaves that was used
//! least often since it entered, of several the one used least recently. A parent may leave before its
//! children.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::RandomState;

use crate::stats::cache::policy::Eviction;
use crate::stats::seen::Seen;

/// How often a block was used since it entered, and when last. Ordered by what leaves first.
type Uses = (u32, u64);

/// An LFU cache.
#[derive(Clone, Default)]
pub(super) struct Lfu {
    uses: HashMap<u64, Uses, RandomState>,
    /// One entry per held block, which may be older than the block's last use.
    order: BinaryHeap<Reverse<(Uses, u64)>>,
    /// Uses so far.
    clock: u64,
}

impl Lfu {
    /// An entry's key only grows, so the least entry that is up to date is the least of all.
    fn evict(&mut self) {
        while let Some(Reverse((noted, id))) = self.order.pop() {
            match self.uses.get(&id) {
                Some(&now) if now == noted => {
                    self.uses.remove(&id);
                    return;
                }
                Some(&now) => self.order.push(Reverse((now, id))),
                None => {}
            }
        }
    }
}

impl Eviction for Lfu {
    fn access(&mut self, seen: &Seen, capacity: usize) -> usize {
        let ids = seen.ids;
        let hit = ids.iter().take_while(|id| self.uses.contains_key(id)).count();
        if capacity == 0 {
            return hit;
        }
        for &id in ids.iter().rev() {
            self.clock += 1;
            if let Some((count, last)) = self.uses.get_mut(&id) {
                *count = count.saturating_add(1);
                *last = self.clock;
                continue;
            }
            if self.uses.len() >= capacity {
                self.evict();
            }
            self.uses.insert(id, (1, self.clock));
            self.order.push(Reverse(((1, self.clock), id)));
        }
        hit
    }

    fn len(&self) -> usize {
        self.uses.len()
    }

    fn bytes(&self) -> usize {
        80 * self.uses.len()
    }
}
