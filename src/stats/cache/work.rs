//! What computing the hits takes, at many capacities, from the stack distances of the blocks that are asked for
//! again.

use crate::blocks::reserve;

/// FLOPs of the hits by capacity, counted as [`HitsByDistance`](super::distances::HitsByDistance) counts tokens.
/// A block takes more the further behind it is in its prompt, so each one is counted by itself.
pub(super) enum WorkByDistance {
    /// At every capacity: of the blocks at each distance. 16 bytes per distance up to the largest.
    Every(Vec<u128>),
    /// At rising capacities: of each what it saves beyond the one before.
    At(Vec<(u64, u128)>),
}

impl WorkByDistance {
    /// None yet: at these capacities, or at all of them.
    pub(super) fn new(capacities: &[u64], at_all: bool) -> Self {
        if at_all {
            return Self::Every(Vec::new());
        }
        let mut at: Vec<_> = capacities.iter().map(|&capacity| (capacity, 0)).collect();
        at.sort_unstable();
        at.dedup();
        Self::At(at)
    }

    /// Counts the hits of a request, of whose first blocks `runs` say how many have consecutive distances, and the
    /// first of these. `flops` says what the tokens take that a hit of so many blocks serves.
    pub(super) fn measure(&mut self, runs: impl Iterator<Item = (u32, u32)>, flops: impl Fn(u64) -> u128) {
        let (mut blocks, mut distance, mut before) = (0, 0_u32, 0);
        for (len, first) in runs {
            // A block behind one that is gone is no hit, so it counts at the largest distance so far.
            distance = first.max(distance);
            for at in distance..distance + len {
                blocks += 1;
                let after = flops(blocks);
                if after > before {
                    self.add(at, after - before);
                    before = after;
                }
            }
            distance += len.saturating_sub(1);
        }
    }

    fn add(&mut self, distance: u32, flops: u128) {
        match self {
            Self::Every(sums) => {
                let more = (distance as usize + 1).saturating_sub(sums.len());
                if more > 0 {
                    reserve(sums, more);
                    sums.resize(distance as usize + 1, 0);
                }
                sums[distance as usize] += flops;
            }
            Self::At(at) => {
                let first = at.partition_point(|&(capacity, _)| capacity <= u64::from(distance));
                if let Some((_, sum)) = at.get_mut(first) {
                    *sum += flops;
                }
            }
        }
    }

    /// FLOPs of the hits at rising capacities, which are known.
    pub(super) fn at(&self, capacities: &[u64]) -> Vec<u128> {
        let sums: Box<dyn Iterator<Item = (u64, u128)>> = match self {
            Self::Every(sums) => Box::new((1..).zip(sums.iter().copied())),
            Self::At(at) => Box::new(at.iter().copied()),
        };
        let mut sums = sums.peekable();
        let mut total = 0;
        let mut at = |capacity: u64| {
            while let Some((_, flops)) = sums.next_if(|&(known, _)| known <= capacity) {
                total += flops;
            }
            total
        };
        capacities.iter().map(|&capacity| at(capacity)).collect()
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Every(sums) => size_of::<u128>() * sums.len(),
            Self::At(at) => size_of::<(u64, u128)>() * at.len(),
        }
    }
}
