//! Sieve (Zhang et al.: SIEVE is simpler than LRU, NSDI 2024): as in a clock, a block that has been used is
//! spared once, but it keeps its place in the queue, and the hand goes on from where it stopped. So new blocks
//! are looked at last, and those that are used again stay behind the hand.

use crate::stats::cache::lists::Lists;
use crate::stats::cache::policy::BlockPolicy;

/// A sieve: blocks, and whether they have been used.
#[derive(Clone, Default)]
pub(super) struct Sieve {
    blocks: Lists<bool, 1>,
    /// The block that is looked at next; the oldest if none.
    hand: Option<u64>,
}

impl Sieve {
    fn evict(&mut self) {
        while let Some(id) = self.hand.or_else(|| self.blocks.oldest(0)) {
            self.hand = self.blocks.newer(id);
            match self.blocks.value(id) {
                Some(is_used) if *is_used => *is_used = false,
                _ => return self.blocks.remove(id),
            }
        }
    }
}

impl BlockPolicy for Sieve {
    fn holds(&self, id: u64) -> bool {
        self.blocks.list_of(id).is_some()
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        if let Some(is_used) = self.blocks.value(id) {
            *is_used = true;
            return;
        }
        if self.blocks.len(0) >= capacity {
            self.evict();
        }
        self.blocks.push(0, id, false);
    }

    fn len(&self) -> usize {
        self.blocks.len(0)
    }

    fn bytes(&self) -> usize {
        self.blocks.bytes()
    }
}
