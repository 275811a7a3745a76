//! The best that a cache of a given size could do, knowing what comes.
//!
//! After each request the cache keeps, of the blocks it held and those of the request, the ones that
//! are used again soonest (Belady: A study of replacement algorithms for a virtual-storage computer,
//! IBM Systems Journal 5(2), 1966); a block that is used later than all it would have to displace is
//! not kept at all (bypass). A parent is used no later than its children, and of blocks used by the
//! same request the deepest leaves first: so only leaves are evicted, the cache stays closed under
//! prefixes, and the rule, which is optimal for single blocks, is optimal for prefixes.
//!
//! What is optimal is the number of blocks served. A last, partial block counts for fewer tokens.
//! During warm-up hits are worth nothing, so a block whose next use is in it can leave at no cost.

use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use crate::blocks::BlockNumber;
use crate::error::Invalid;
use crate::stats::cache::policy::{Point, Study};
use crate::stats::hit_count::{HitCount, Tally};
use crate::stats::seen::Seen;
use crate::stats::statistic::Bytes;

/// Stands for "never" among the numbers of requests.
const NEVER: u32 = u32::MAX;

/// The whole sequence of uses: 4 bytes per block reference and 16 per request, and 4 more per
/// reference while it is evaluated.
pub(super) struct History {
    count: HitCount,
    blocks: Vec<BlockNumber>,
    requests: Vec<PastRequest>,
    /// Requests that only fill the cache.
    warmup: u32,
}

/// A request in the history: where its blocks end, and its length.
struct PastRequest {
    end: usize,
    length: u64,
}

impl Study for History {
    fn access(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if self.requests.len() as u64 >= u64::from(NEVER) {
            return Err(Invalid::over_limit("more than 4294967295 requests are too many for `policy` opt"));
        }
        let runs = seen.cached.map_or(&[][..], |cached| cached.lookup.runs);
        self.blocks.extend(runs.iter().flat_map(|run| run.blocks()));
        self.requests.push(PastRequest { end: self.blocks.len(), length: seen.input_length });
        self.warmup += u32::from(!seen.is_measured);
        Ok(())
    }

    /// Now and while the history is evaluated.
    fn bytes(&self) -> Bytes {
        Bytes { blocks: 8 * self.blocks.len() + 16 * self.requests.len(), ..Bytes::default() }
    }

    fn needs_all_blocks(&self) -> bool {
        true
    }

    fn points(&self, capacities: &[u64], _: u64) -> BTreeMap<u64, Point> {
        let next = self.next_uses();
        capacities.iter().map(|&capacity| (capacity, self.simulate(&next, capacity).into())).collect()
    }
}

impl History {
    /// An empty history.
    pub(super) fn new(count: HitCount) -> Self {
        Self { count, blocks: Vec::new(), requests: Vec::new(), warmup: 0 }
    }

    /// Where the blocks of a request are in `self.blocks`.
    fn range(&self, request: usize) -> Range<usize> {
        let start = request.checked_sub(1).map_or(0, |before| self.requests[before].end);
        start..self.requests[request].end
    }

    fn distinct(&self) -> usize {
        self.blocks.iter().max().map_or(0, |&last| last as usize + 1)
    }

    /// For each reference the next request that uses the block and is measured, if no other uses it
    /// in between.
    fn next_uses(&self) -> Vec<u32> {
        let mut next = vec![NEVER; self.blocks.len()];
        let mut upcoming = vec![NEVER; self.distinct()];
        for request in (0..self.requests.len()).rev() {
            let range = self.range(request);
            for at in range.clone() {
                next[at] = upcoming[self.blocks[at] as usize];
            }
            let worth = if (request as u32) < self.warmup { NEVER } else { request as u32 };
            for at in range {
                upcoming[self.blocks[at] as usize] = worth;
            }
        }
        next
    }

    fn simulate(&self, next: &[u32], capacity: u64) -> Tally {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        // The request for which each block is held.
        let mut held_for = vec![NEVER; self.distinct()];
        let mut held = 0;
        // What is held, used last on top; entries that have been used or evicted stay behind.
        let mut order: BinaryHeap<(u32, u32, BlockNumber)> = BinaryHeap::new();
        let mut total = Tally::default();
        for (index, request) in self.requests.iter().enumerate() {
            let (number, range) = (index as u32, self.range(index));
            let path = &self.blocks[range.clone()];
            if number >= self.warmup {
                let hit = path.iter().take_while(|&&block| held_for[block as usize] == number).count();
                total.add(self.count.tokens(hit as u64, request.length), self.count);
            }
            for (depth, (&block, &next)) in path.iter().zip(&next[range]).enumerate() {
                let used = &mut held_for[block as usize];
                if *used == number {
                    held -= 1;
                } else if *used != NEVER {
                    // The block stands twice in the request.
                    continue;
                }
                *used = next;
                if next != NEVER {
                    held += 1;
                    order.push((next, depth as u32, block));
                }
            }
            while held > capacity
                && let Some((until, _, block)) = order.pop()
            {
                if held_for[block as usize] == until {
                    held_for[block as usize] = NEVER;
                    held -= 1;
                }
            }
            if order.len() > 2 * held + 1024 {
                order.retain(|&(until, _, block)| held_for[block as usize] == until);
            }
        }
        total
    }
}
