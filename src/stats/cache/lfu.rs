//! Least frequently used: the block leaves that was used least often since it entered, of several the one
//! used least recently. A parent may leave before its children.

use crate::stats::cache::policy::BlockPolicy;
use crate::stats::cache::ranked::Ranked;

/// An LFU cache: blocks by how often they were used.
#[derive(Clone, Default)]
pub(super) struct Lfu(Ranked<u32>);

impl BlockPolicy for Lfu {
    fn holds(&self, id: u64) -> bool {
        self.0.holds(id)
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        if self.0.renew(id, |uses| uses.saturating_add(1)) {
            return;
        }
        if self.0.len() >= capacity {
            self.0.evict();
        }
        self.0.insert(id, 1);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
