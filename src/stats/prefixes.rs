//! The shared prefixes that are worth most.
//!
//! A request introduces one range of block numbers, and later requests that share some of it use its
//! first blocks (ids form a forest). So the blocks that are used equally often along a path are one
//! *segment* of consecutive numbers, and a request touches as many segments as it shares prefixes
//! with different sets of others: few. A segment comes into being at the second use of its blocks
//! and is split where a request leaves it. Saved tokens are counted for a segment's own blocks, so
//! that the sum over all segments is what an infinite cache serves.
//!
//! There are never more than [`MAX_SEGMENTS`]: when there would be, the half that saved least is
//! dropped, in the manner of lossy counting (Manku, Motwani: Approximate frequency counts over data
//! streams, VLDB 2002). What the dropped ones had saved, at most, is the error of every figure.

use std::collections::BTreeMap;

use crate::blocks::{BlockNumber, NumberRun, Numbering, reserve};
use crate::error::Invalid;
use crate::stats::accuracy::Accuracy;
use crate::stats::figures::{Bound, PrefixFigures, PrefixRow, Report};
use crate::stats::recency::Kept;
use crate::stats::seen::Seen;
use crate::stats::statistic::{Bytes, Forgetting, Known, Statistic};

/// Segments at any time, at some 120 bytes each.
pub(super) const MAX_SEGMENTS: usize = 200_000;

/// A use of blocks by a request.
#[derive(Clone, Copy)]
struct Use {
    line: u64,
    /// Arrival, as the running maximum, in milliseconds.
    now: f64,
}

/// Consecutive blocks of a path that were used equally often, at least twice.
#[derive(Clone, Copy)]
struct Segment {
    len: u32,
    /// Blocks before it on the path.
    depth: u32,
    /// Tokens in it.
    tokens: u64,
    uses: u64,
    first_line: u64,
    last: Use,
    longest_pause: f64,
}

impl Segment {
    fn saved(&self) -> u128 {
        u128::from(self.uses - 1) * u128::from(self.tokens)
    }

    fn add(&mut self, by: Use) {
        self.uses += 1;
        self.longest_pause = self.longest_pause.max(by.now - self.last.now);
        self.last = by;
    }

    /// Cuts off everything behind the first `len` blocks.
    fn split(&mut self, len: u32, block_size: u64) -> Self {
        let tokens = u64::from(len) * block_size;
        let (depth, rest) = (self.depth + len, self.tokens.saturating_sub(tokens));
        let tail = Self { len: self.len - len, depth, tokens: rest, ..*self };
        (self.len, self.tokens) = (len, tokens);
        tail
    }

    fn row(&self, id: u64, block_size: u64) -> PrefixRow {
        PrefixRow {
            id,
            blocks: u64::from(self.depth + self.len),
            tokens: u64::from(self.depth) * block_size + self.tokens,
            requests: self.uses,
            saved_tokens: self.saved(),
            first_line: self.first_line,
            last_line: self.last.line,
            longest_pause_ms: self.longest_pause,
        }
    }
}

/// A request that introduced blocks.
struct Origin {
    first: BlockNumber,
    by: Use,
}

/// Running list of shared prefixes. 24 bytes per request that introduces blocks, and the segments.
pub(super) struct Prefixes {
    top: usize,
    block_size: u64,
    max_segments: usize,
    /// By the number of the first block.
    segments: BTreeMap<BlockNumber, Segment>,
    origins: Vec<Origin>,
    error_tokens: u128,
    /// The best of those whose blocks have been forgotten.
    forgotten: Vec<PrefixRow>,
}

impl Prefixes {
    /// Looks for the `top` prefixes that save most.
    pub(super) fn new(top: usize, block_size: u64) -> Self {
        Self {
            top,
            block_size,
            max_segments: MAX_SEGMENTS,
            segments: BTreeMap::new(),
            origins: Vec::new(),
            error_tokens: 0,
            forgotten: Vec::new(),
        }
    }

    /// Takes a request of `length` tokens that finds `hit`, the first of its blocks in runs as long as can
    /// be, and introduces
    /// blocks from number `first_new` on, if `introduces`.
    fn touch(
        &mut self,
        hit: impl Iterator<Item = NumberRun>,
        length: u64,
        first_new: Option<BlockNumber>,
        by: Use,
    ) {
        let mut depth = 0;
        for run in hit {
            self.touch_run(run.start, run.len, depth, length, by);
            depth += run.len;
        }
        if let Some(first) = first_new {
            reserve(&mut self.origins, 1);
            self.origins.push(Origin { first, by });
        }
        if self.segments.len() > self.max_segments {
            self.prune();
        }
    }

    fn touch_run(&mut self, start: BlockNumber, len: u32, depth: u32, length: u64, by: Use) {
        let end = start + len;
        let mut at = start;
        while at < end {
            let found = self.segments.range_mut(..=at).next_back();
            match found.filter(|(first, segment)| at - **first < segment.len) {
                Some((&first, segment)) if first < at => {
                    // Only where ids are no forest.
                    let tail = segment.split(at - first, self.block_size);
                    self.segments.insert(at, tail);
                }
                Some((_, segment)) => {
                    let tail = (segment.len > end - at).then(|| segment.split(end - at, self.block_size));
                    segment.add(by);
                    at += segment.len;
                    if let Some(tail) = tail {
                        self.segments.insert(at, tail);
                    }
                }
                None => {
                    let after = self.origins.partition_point(|origin| origin.first <= at);
                    let next_origin = self.origins.get(after).map_or(end, |origin| origin.first);
                    let next_segment = self.segments.range(at..).next().map_or(end, |(&first, _)| first);
                    let stop = end.min(next_origin).min(next_segment);
                    let depth = depth + (at - start);
                    let origin = after.checked_sub(1).map_or(by, |index| self.origins[index].by);
                    let before = u64::from(depth) * self.block_size;
                    let through = (u64::from(depth + (stop - at)) * self.block_size).min(length);
                    let mut segment = Segment {
                        len: stop - at,
                        depth,
                        tokens: through.saturating_sub(before),
                        uses: 1,
                        first_line: origin.line,
                        last: origin,
                        longest_pause: 0.0,
                    };
                    segment.add(by);
                    self.segments.insert(at, segment);
                    at = stop;
                }
            }
        }
    }

    fn prune(&mut self) {
        let mut saved: Vec<u128> = self.segments.values().map(Segment::saved).collect();
        let middle = saved.len() / 2;
        let (_, &mut limit, _) = saved.select_nth_unstable(middle);
        self.error_tokens += limit;
        self.segments.retain(|_, segment| segment.saved() > limit);
    }

    /// Goes on with the blocks that are kept of those in `numbering`.
    fn retain(&mut self, kept: &Kept, numbering: &Numbering) {
        let mut gone: Vec<(BlockNumber, Segment)> = Vec::new();
        let mut segments = BTreeMap::new();
        for (first, mut segment) in std::mem::take(&mut self.segments) {
            let end = first + segment.len;
            let start = kept.rank(first);
            let len = kept.rank(end) - start;
            if len < segment.len {
                // A parent stays if its children do, so what stays comes first.
                gone.push((end - 1, segment.split(len, self.block_size)));
            }
            if len > 0 {
                segments.insert(start, segment);
            }
        }
        self.segments = segments;
        let ends: Vec<u32> = self.origins.iter().skip(1).map(|o| o.first).chain([BlockNumber::MAX]).collect();
        let mut ends = ends.into_iter().map(|end| kept.rank(end));
        self.origins.retain_mut(|origin| {
            origin.first = kept.rank(origin.first);
            ends.next().is_some_and(|end| end > origin.first)
        });
        self.forgotten = self.best(gone, numbering);
    }

    /// The segments, given with their last blocks, and the forgotten ones that saved most.
    fn best(&self, mut segments: Vec<(BlockNumber, Segment)>, numbering: &Numbering) -> Vec<PrefixRow> {
        segments.sort_unstable_by_key(|(last, segment)| (std::cmp::Reverse(segment.saved()), *last));
        segments.truncate(self.top);
        let last: Vec<BlockNumber> = segments.iter().map(|(last, _)| *last).collect();
        let named = numbering.ids(&last).into_iter().zip(&segments);
        let mut rows = self.forgotten.clone();
        rows.extend(named.map(|(id, (_, segment))| segment.row(id, self.block_size)));
        rows.sort_by_key(|row| std::cmp::Reverse(row.saved_tokens));
        rows.truncate(self.top);
        rows
    }

    /// The prefixes so far.
    fn figures(&self, numbering: &Numbering) -> PrefixFigures {
        let last = |(&first, segment): (&BlockNumber, &Segment)| (first + segment.len - 1, *segment);
        let segments = self.segments.iter().map(last).collect();
        PrefixFigures { rows: self.best(segments, numbering), error_tokens: self.error_tokens }
    }
}

impl Statistic for Prefixes {
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if let Some(cached) = &seen.cached {
            let lookup = &cached.lookup;
            let introduces = (lookup.new_blocks() > 0).then_some(lookup.first_new);
            let by = Use { line: seen.line, now: seen.now };
            self.touch(lookup.prefix(cached.blocks), seen.input_length, introduces, by);
        }
        Ok(())
    }

    fn bytes(&self) -> Bytes {
        Bytes { blocks: 24 * self.origins.len() + 120 * self.segments.len(), ..Bytes::default() }
    }

    fn forget(&mut self, forgetting: &Forgetting) {
        if let Some(kept) = forgetting.kept {
            self.retain(kept, forgetting.numbering);
        }
    }

    /// A prefix that is forgotten and comes back begins anew, and is cut elsewhere.
    fn mark(bound: &Bound, report: &mut Report) {
        if bound.has_forgotten() {
            report.prefixes.accuracy = Accuracy::Neither;
        }
    }

    fn report(&self, known: &Known, report: &mut Report) {
        report.prefixes.value = Some(self.figures(known.numbering));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_segment_is_within_the_stated_error() {
        let mut exact = Prefixes::new(1000, 10);
        let mut few = Prefixes { max_segments: 20, ..Prefixes::new(1000, 10) };
        let mut rng = fastrand::Rng::with_seed(5);
        let mut next = 0;
        let mut paths: Vec<Vec<BlockNumber>> = Vec::new();
        for line in 1..3000 {
            let hit: Vec<BlockNumber> = match paths.len() {
                0 => Vec::new(),
                // Some paths come back often, most do not.
                n => {
                    let path = &paths[if rng.bool() { rng.usize(..n.min(5)) } else { rng.usize(..n) }];
                    path[..rng.usize(..=path.len())].to_vec()
                }
            };
            let new = rng.u32(1..6);
            let by = Use { line, now: line as f64 };
            let length = 10 * (hit.len() as u64 + u64::from(new));
            for prefixes in [&mut exact, &mut few] {
                let runs = hit.chunk_by(|a, b| a + 1 == *b);
                let runs = runs.map(|run| NumberRun { start: run[0], len: run.len() as u32 });
                prefixes.touch(runs, length, Some(next), by);
            }
            paths.push(hit.into_iter().chain(next..next + new).collect());
            next += new;
        }
        let mut numbering = Numbering::default();
        numbering.number(&(0..next.into()).collect::<Vec<u64>>(), &mut Vec::new()).unwrap();
        let (exact, few) = (exact.figures(&numbering), few.figures(&numbering));
        assert!(few.error_tokens > 0 && exact.error_tokens == 0);
        let best = &exact.rows[0];
        assert_eq!(best.id, few.rows[0].id);
        for row in &few.rows {
            let true_row = exact.rows.iter().find(|other| other.id == row.id);
            if let Some(other) = true_row {
                let missing = other.saved_tokens.saturating_sub(row.saved_tokens);
                assert!(missing <= few.error_tokens, "{row:?} {other:?} {}", few.error_tokens);
            }
        }
    }
}
