//! Hits of caches of many capacities: in tokens and, where a model is known, in what computing them takes.

use crate::stats::cache::distances::HitsByDistance;
use crate::stats::cache::work::WorkByDistance;
use crate::stats::hit_count::{HitCount, Tally};

/// Hits by capacity. Memory: 8 bytes per stack distance that occurs, 24 if a model is known, or as many for each
/// listed capacity.
pub(super) struct SizedHits {
    count: HitCount,
    tokens: HitsByDistance,
    /// What computing them takes, if a model is known.
    flops: Option<WorkByDistance>,
}

impl SizedHits {
    /// None yet: at these capacities, or at all of them.
    pub(super) fn new(count: HitCount, capacities: &[u64], at_all: bool) -> Self {
        Self {
            count,
            tokens: HitsByDistance::new(capacities, at_all),
            flops: count.prefill.map(|_| WorkByDistance::new(capacities, at_all)),
        }
    }

    /// Counts the hits of a request of `length` tokens: `tokens` in its first `blocks` blocks, of which `runs` say how
    /// many have consecutive distances, and the first of these.
    #[inline]
    pub(super) fn measure(
        &mut self,
        runs: impl Iterator<Item = (u32, u32)> + Clone,
        blocks: u32,
        tokens: u64,
        length: u64,
    ) {
        // It is large, and not to be copied where it is not asked.
        let count = &self.count;
        let hit = |blocks| count.tokens(blocks, length);
        if let Some(flops) = &mut self.flops {
            flops.measure(runs.clone(), |blocks| count.flops(hit(blocks)));
        }
        match count.unit {
            None => self.tokens.measure(runs, blocks, tokens, count.block_size),
            Some(_) => self.tokens.measure_in_steps(runs, hit),
        }
    }

    /// Those at rising capacities, which are known.
    pub(super) fn at(&self, capacities: &[u64]) -> Vec<Tally> {
        let tokens = self.tokens.at(capacities).into_iter();
        match &self.flops {
            None => tokens.map(|tokens| Tally { tokens, flops: 0 }).collect(),
            Some(flops) => {
                tokens.zip(flops.at(capacities)).map(|(tokens, flops)| Tally { tokens, flops }).collect()
            }
        }
    }

    /// The smallest capacity that serves at least so many tokens, and what it serves.
    pub(super) fn smallest(&self, wanted: f64) -> Option<(u64, Tally)> {
        let (capacity, _) = self.tokens.smallest(wanted)?;
        self.at(&[capacity]).pop().map(|hits| (capacity, hits))
    }

    /// How many distances have occurred, or could have below the largest one.
    pub(super) fn distances(&self) -> u64 {
        self.tokens.distances()
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.tokens.bytes() + self.flops.as_ref().map_or(0, WorkByDistance::bytes)
    }
}
