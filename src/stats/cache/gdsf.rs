//! Greedy dual size with frequency (Cherkasova: Improving WWW proxies performance with
//! greedy-dual-size-frequency caching policy, HP Laboratories HPL-98-69, 1998).
//!
//! A block's rank is the cache's age when it was last used plus how often it was used since it entered, times
//! its cost over its size; the block of the least rank leaves, and its rank becomes the age of the cache. All
//! blocks have the same size, and cost is taken for the same too: this is LFU that forgets.

use std::cmp::Ordering;

use crate::stats::cache::policy::BlockPolicy;
use crate::stats::cache::ranked::Ranked;

/// A block's rank, and how often it was used: of equal ranks, uses do not decide.
#[derive(Clone, Copy)]
struct Rank {
    value: u64,
    uses: u32,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

/// A GDSF cache.
#[derive(Clone, Default)]
pub(super) struct Gdsf {
    blocks: Ranked<Rank>,
    /// The rank of the block that left last.
    age: u64,
}

impl BlockPolicy for Gdsf {
    fn holds(&self, id: u64) -> bool {
        self.blocks.holds(id)
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        let of = |age: u64, uses: u32| Rank { value: age + u64::from(uses), uses };
        let age = self.age;
        if self.blocks.renew(id, |rank| of(age, rank.uses.saturating_add(1))) {
            return;
        }
        if self.blocks.len() >= capacity
            && let Some(rank) = self.blocks.evict()
        {
            self.age = rank.value;
        }
        self.blocks.insert(id, of(self.age, 1));
    }

    fn len(&self) -> usize {
        self.blocks.len()
    }

    fn bytes(&self) -> usize {
        self.blocks.bytes()
    }
}
