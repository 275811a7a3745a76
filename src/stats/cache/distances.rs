//! Hit tokens at many capacities, from the stack distances of the blocks that are asked for again.

use std::iter::Peekable;

use crate::blocks::reserve;

/// Hit tokens by capacity. A cache of C blocks serves the blocks with a distance below C, up to the first
/// one that is not.
pub(super) enum HitsByDistance {
    /// At every capacity. 8 bytes per distance up to the largest that has occurred.
    Every(Steps),
    /// At rising capacities: of each the tokens that it serves beyond those of the one before.
    At(Vec<(u64, i128)>),
}

/// The change of the hit tokens from one distance to the next.
///
/// Distances are all over the list, and where there are lists of many caches, each access waits for memory. So changes
/// are put down first, and made many at a time: then they wait together.
#[derive(Default)]
pub(super) struct Steps {
    steps: Vec<i64>,
    /// Changes that are yet to be made.
    waiting: Vec<Change>,
}

/// So many blocks, the first one at a distance and each further one at one more, count so many tokens each.
#[derive(Clone, Copy)]
struct Change {
    distance: u32,
    len: u32,
    tokens: i64,
}

/// So many changes are made at a time.
const TOGETHER: usize = 256;

impl Steps {
    #[inline]
    fn add(&mut self, change: Change) {
        let end = change.distance as usize + change.len as usize;
        let more = (end + 1).saturating_sub(self.steps.len());
        if more > 0 {
            reserve(&mut self.steps, more);
            self.steps.resize(end + 1, 0);
        }
        if self.waiting.len() == TOGETHER {
            for change in self.waiting.drain(..) {
                let start = change.distance as usize;
                self.steps[start] += change.tokens;
                self.steps[start + change.len as usize] -= change.tokens;
            }
        }
        self.waiting.push(change);
    }

    /// The changes that are yet to be made, as steps with their distances, which rise.
    fn waiting(&self) -> Vec<(usize, i64)> {
        let ends = |change: &Change| {
            let start = change.distance as usize;
            [(start, change.tokens), (start + change.len as usize, -change.tokens)]
        };
        let mut steps: Vec<_> = self.waiting.iter().flat_map(ends).collect();
        steps.sort_unstable();
        steps
    }
}

impl HitsByDistance {
    /// None yet: at these capacities, or at all of them.
    pub(super) fn new(capacities: &[u64], at_all: bool) -> Self {
        if at_all {
            return Self::Every(Steps::default());
        }
        let mut at: Vec<_> = capacities.iter().map(|&capacity| (capacity, 0)).collect();
        at.sort_unstable();
        at.dedup();
        Self::At(at)
    }

    /// Counts the hits of a request: `tokens` in its first `blocks` blocks, of which `runs` say how many have
    /// consecutive distances, and the first of these.
    #[inline]
    pub(super) fn measure(
        &mut self,
        runs: impl Iterator<Item = (u32, u32)>,
        blocks: u32,
        tokens: u64,
        block_size: u64,
    ) {
        let (mut rest, mut distance) = (blocks, 0);
        for (len, first) in runs {
            let len = len.min(rest);
            if len == 0 {
                break;
            }
            // A block behind one that is gone is no hit, so it counts at the largest distance so far.
            distance = first.max(distance);
            self.add(distance, len, block_size as i64);
            rest -= len;
            distance += len - 1;
        }
        // The last block may be partial.
        let missing = u64::from(blocks) * block_size - tokens;
        if missing > 0 {
            self.add(distance, 1, -(missing as i64));
        }
    }

    /// The same where hits are not counted in blocks: `hit` says how many tokens the first so many of them serve.
    #[cold]
    pub(super) fn measure_in_steps(
        &mut self,
        runs: impl Iterator<Item = (u32, u32)>,
        hit: impl Fn(u64) -> u64,
    ) {
        let (mut before, mut served, mut distance) = (0, 0, 0);
        for (len, first) in runs {
            distance = first.max(distance);
            for place in 0..len {
                let tokens = hit(before + u64::from(place) + 1);
                if tokens > served {
                    self.add(distance + place, 1, (tokens - served) as i64);
                    served = tokens;
                }
            }
            before += u64::from(len);
            distance += len.saturating_sub(1);
        }
    }

    /// Adds so many tokens for each of `len` blocks, the first one at `distance`.
    #[inline]
    pub(super) fn add(&mut self, distance: u32, len: u32, tokens: i64) {
        match self {
            Self::Every(steps) => steps.add(Change { distance, len, tokens }),
            Self::At(at) => {
                let (mut start, end) = (u64::from(distance), u64::from(distance) + u64::from(len));
                let first = at.partition_point(|&(capacity, _)| capacity <= start);
                for (capacity, sum) in &mut at[first..] {
                    if start >= end {
                        break;
                    }
                    *sum += i128::from(tokens) * i128::from((*capacity).min(end) - start);
                    start = *capacity;
                }
            }
        }
    }

    /// The hit tokens at rising capacities, which are known.
    pub(super) fn at(&self, capacities: &[u64]) -> Vec<u128> {
        let mut totals = self.totals();
        capacities.iter().map(|&capacity| totals.at(capacity)).collect()
    }

    /// The smallest capacity that serves at least so many tokens, and what it serves.
    pub(super) fn smallest(&self, wanted: f64) -> Option<(u64, u128)> {
        let mut totals = self.totals();
        (0..=self.distances())
            .map(|capacity| (capacity, totals.at(capacity)))
            .find(|(_, t)| *t as f64 >= wanted)
    }

    fn totals(&self) -> Totals<'_> {
        let waiting = if let Self::Every(steps) = self { steps.waiting() } else { Vec::new() };
        Totals { hits: self, waiting: waiting.into_iter().peekable(), next: 0, at_distance: 0, total: 0 }
    }

    /// How many distances have occurred, or could have below the largest one.
    pub(super) fn distances(&self) -> u64 {
        match self {
            Self::Every(steps) => steps.steps.len() as u64,
            Self::At(_) => 0,
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Every(steps) => {
                size_of::<i64>() * steps.steps.len() + size_of::<Change>() * steps.waiting.capacity()
            }
            Self::At(at) => size_of::<(u64, i128)>() * at.len(),
        }
    }
}

/// Hit tokens at rising capacities.
struct Totals<'a> {
    hits: &'a HitsByDistance,
    /// Steps that are not in the list yet.
    waiting: Peekable<std::vec::IntoIter<(usize, i64)>>,
    /// How many distances, or listed capacities, are in `total`.
    next: usize,
    /// Tokens of the blocks at the last of these distances.
    at_distance: i128,
    total: i128,
}

impl Totals<'_> {
    /// Those of a capacity that is not below the one before.
    fn at(&mut self, capacity: u64) -> u128 {
        match self.hits {
            HitsByDistance::Every(Steps { steps, .. }) => {
                let end = steps.len().min(usize::try_from(capacity).unwrap_or(usize::MAX)).max(self.next);
                for (place, &step) in (self.next..end).zip(&steps[self.next..end]) {
                    self.at_distance += i128::from(step);
                    while let Some((_, step)) = self.waiting.next_if(|&(at, _)| at == place) {
                        self.at_distance += i128::from(step);
                    }
                    self.total += self.at_distance;
                }
                self.next = end;
            }
            HitsByDistance::At(at) => {
                while let Some((_, tokens)) = at.get(self.next).filter(|(known, _)| *known <= capacity) {
                    self.total += tokens;
                    self.next += 1;
                }
            }
        }
        u128::try_from(self.total).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lengths and distances of runs as the stack gives them: they rise, or each is one block.
    fn runs() -> impl Strategy<Value = Vec<(u32, u32)>> {
        let rising = prop::collection::vec((1..5_u32, 0..8_u32), 0..5).prop_map(|runs| {
            let mut next = 0;
            let run = |(len, gap): (u32, u32)| {
                let first = next + gap;
                next = first + len;
                (len, first)
            };
            runs.into_iter().map(run).collect()
        });
        prop_oneof![rising, prop::collection::vec((Just(1), 0..40_u32), 0..8)]
    }

    proptest! {
        #[test]
        fn listed_capacities_have_what_all_of_them_have(
            requests in prop::collection::vec((runs(), 0..4_u64), 0..30),
            mut capacities in prop::collection::vec(0..60_u64, 0..7),
        ) {
            let (mut every, mut listed) = (HitsByDistance::new(&[], true), HitsByDistance::new(&capacities, false));
            let mut naive = vec![0_u128; 100];
            for (runs, cut) in requests {
                let blocks: u32 = runs.iter().map(|(len, _)| len).sum();
                let tokens = (u64::from(blocks) * 4).saturating_sub(cut);
                every.measure(runs.iter().copied(), blocks, tokens, 4);
                listed.measure(runs.iter().copied(), blocks, tokens, 4);
                let distances: Vec<u32> = runs.iter().flat_map(|&(len, first)| first..first + len).collect();
                for (capacity, sum) in naive.iter_mut().enumerate() {
                    let held = distances.iter().take_while(|&&distance| (distance as usize) < capacity).count();
                    *sum += u128::from((held as u64 * 4).min(tokens));
                }
            }
            capacities.sort_unstable();
            let expected: Vec<u128> = capacities.iter().map(|&capacity| naive[capacity as usize]).collect();
            prop_assert_eq!(&every.at(&capacities), &expected);
            prop_assert_eq!(&listed.at(&capacities), &expected);
        }
    }
}
