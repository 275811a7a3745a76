//! Blocks by rank: what policies are made of in which the block of the least rank leaves.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::RandomState;

/// Blocks with a rank each; of blocks of the same rank the one used least recently leaves first. The rank of
/// a block may only rise while it is held.
#[derive(Clone)]
pub(super) struct Ranked<R> {
    ranks: HashMap<u64, (R, u64), RandomState>,
    /// One entry per held block, which may be older than the block's last use.
    order: BinaryHeap<Reverse<((R, u64), u64)>>,
    /// Uses so far.
    clock: u64,
}

impl<R: Ord> Default for Ranked<R> {
    fn default() -> Self {
        Self { ranks: HashMap::default(), order: BinaryHeap::new(), clock: 0 }
    }
}

impl<R: Ord + Copy> Ranked<R> {
    /// Whether a block is held.
    pub(super) fn holds(&self, id: u64) -> bool {
        self.ranks.contains_key(&id)
    }

    /// How many blocks are held.
    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// Uses a block that is held, and ranks it anew; false if it is not held.
    pub(super) fn renew(&mut self, id: u64, rank: impl FnOnce(R) -> R) -> bool {
        let Some(held) = self.ranks.get_mut(&id) else { return false };
        self.clock += 1;
        *held = (rank(held.0), self.clock);
        true
    }

    /// Takes in a block that is not held.
    pub(super) fn insert(&mut self, id: u64, rank: R) {
        self.clock += 1;
        self.ranks.insert(id, (rank, self.clock));
        self.order.push(Reverse(((rank, self.clock), id)));
    }

    /// Lets the block of the least rank go; gives its rank.
    pub(super) fn evict(&mut self) -> Option<R> {
        // Ranks only rise, so the least entry that is up to date is the least of all.
        while let Some(Reverse((noted, id))) = self.order.pop() {
            match self.ranks.get(&id) {
                Some(&now) if now == noted => {
                    self.ranks.remove(&id);
                    return Some(noted.0);
                }
                Some(&now) => self.order.push(Reverse((now, id))),
                None => {}
            }
        }
        None
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        // Tables are at most 7/8 full, and have a byte of control beside each entry.
        let (entry, ordered) = (size_of::<(u64, (R, u64))>() + 1, size_of::<((R, u64), u64)>());
        self.ranks.capacity() * 8 / 7 * entry + self.order.capacity() * ordered
    }
}
