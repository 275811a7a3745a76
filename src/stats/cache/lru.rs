//! Least recently used: the hits of every capacity at once, from the stack.

use std::collections::BTreeMap;

use crate::error::Invalid;
use crate::stats::cache::policy::{Point, Study};
use crate::stats::cache::stack::{LruStack, Retained, StackRun};
use crate::stats::hit_count::{HitCount, HitRule, Unit};
use crate::stats::recency::reserve;
use crate::stats::seen::{Cached, Seen};
use crate::stats::statistic::Bytes;

/// LRU caches of all capacities. Memory: that of the stack, and 8 bytes per stack distance that occurs.
pub(super) struct Lru {
    count: HitCount,
    stack: LruStack,
    /// Change of the hit tokens from one stack distance to the next.
    steps: Vec<i64>,
    /// Where the known prefix of the last request is in the stack.
    runs: Vec<StackRun>,
}

impl Lru {
    /// No request yet.
    pub(super) fn new(count: HitCount) -> Self {
        Self { count, stack: LruStack::default(), steps: Vec::new(), runs: Vec::new() }
    }

    /// Where the known prefix of the last request was in the stack.
    pub(super) fn last_runs(&self) -> &[StackRun] {
        &self.runs
    }

    /// Forgets all but the `keep` blocks used last.
    pub(super) fn retain(&mut self, keep: usize) -> Retained {
        self.stack.retain(keep)
    }

    fn measure(&mut self, cached: &Cached, length: u64, runs: &[StackRun]) {
        if let Some(unit) = self.count.unit {
            return self.measure_units(unit, length, runs);
        }
        let (mut rest, mut distance) = (cached.blocks, 0);
        for run in runs {
            let len = run.len.min(rest);
            if len == 0 {
                break;
            }
            // A block behind one that is gone is no hit, so it counts at the largest distance so far.
            distance = run.distance.max(distance);
            self.step(distance, self.count.block_size as i64);
            self.step(distance + len, -(self.count.block_size as i64));
            rest -= len;
            distance += len - 1;
        }
        // The last block may be partial.
        let missing = u64::from(cached.blocks) * self.count.block_size - cached.tokens;
        if missing > 0 {
            self.step(distance, -(missing as i64));
            self.step(distance + 1, missing as i64);
        }
    }

    /// The same where hits are counted in units of several blocks: one counts where its last block, and so all
    /// before it, is there. Where the last unit that is found is dropped, the others count one unit later.
    fn measure_units(&mut self, unit: Unit, length: u64, runs: &[StackRun]) {
        let per_unit = (unit.tokens / self.count.block_size).max(1);
        let known = runs.iter().map(|run| u64::from(run.len)).sum();
        let last = self.count.units(known, length) * per_unit;
        let mut end = per_unit * (1 + unit.dropped());
        let (mut before, mut distance) = (0, 0);
        for run in runs {
            distance = run.distance.max(distance);
            while end <= last.min(before + u64::from(run.len)) {
                let at = distance + (end - before - 1) as u32;
                self.step(at, unit.tokens as i64);
                self.step(at + 1, -(unit.tokens as i64));
                end += per_unit;
            }
            before += u64::from(run.len);
            distance += run.len - 1;
        }
    }

    /// Tokens that the last request finds in a cache of so many blocks.
    pub(super) fn last_hit(&self, capacity: u64, length: u64) -> u64 {
        let (mut blocks, mut distance) = (0, 0);
        for run in &self.runs {
            distance = run.distance.max(distance);
            let held = capacity.saturating_sub(u64::from(distance)).min(u64::from(run.len));
            blocks += held;
            if held < u64::from(run.len) {
                break;
            }
            distance += run.len - 1;
        }
        self.count.tokens(blocks, length)
    }

    fn step(&mut self, distance: u32, change: i64) {
        let index = distance as usize;
        let more = (index + 1).saturating_sub(self.steps.len());
        if more > 0 {
            reserve(&mut self.steps, more);
            self.steps.resize(index + 1, 0);
        }
        self.steps[index] += change;
    }

    /// Hit tokens at capacities 1, 2, 3, ...
    fn totals(&self) -> impl Iterator<Item = u128> + '_ {
        self.steps
            .iter()
            .scan((0_i128, 0_i128), |(at_distance, total), &step| {
                *at_distance += i128::from(step);
                *total += *at_distance;
                Some(*total)
            })
            .map(|total| u128::try_from(total).unwrap_or(0))
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> u64 {
        self.stack.blocks()
    }

    /// How many stack distances have occurred, or could have below the largest one.
    pub(super) fn distances(&self) -> u64 {
        self.steps.len() as u64
    }

    /// The smallest capacity that serves at least so many tokens, and what it serves.
    pub(super) fn smallest(&self, wanted: f64) -> Option<(u64, u128)> {
        let from_none = std::iter::once(0).chain(self.totals());
        (0..).zip(from_none).find(|&(_, tokens)| tokens as f64 >= wanted)
    }
}

impl Study for Lru {
    fn access(&mut self, seen: &Seen) -> Result<(), Invalid> {
        let Some(cached) = &seen.cached else { return Ok(()) };
        if self.stack.is_full() {
            return Err(Invalid::over_limit(
                "more than 4294967295 requests are too many for finite caches (see `max_memory`)",
            ));
        }
        let mut runs = std::mem::take(&mut self.runs);
        match &seen.engine {
            // Full blocks alone, and those of the answer.
            Some(engine) if self.count.rule == HitRule::Engine => {
                self.stack.touch(engine.names, engine.first_new, engine.known as usize, &mut runs);
            }
            _ => {
                let lookup = &cached.lookup;
                self.stack.touch(seen.numbers, lookup.first_new, lookup.known as usize, &mut runs);
            }
        }
        if seen.is_measured {
            self.measure(cached, seen.input_length, &runs);
        }
        self.runs = runs;
        Ok(())
    }

    fn bytes(&self) -> Bytes {
        Bytes {
            blocks: self.stack.block_bytes() + self.stack.request_bytes(),
            curve: size_of::<i64>() * self.steps.len(),
            ..Bytes::default()
        }
    }

    fn points(&self, capacities: &[u64], _: u64) -> BTreeMap<u64, Point> {
        let mut totals = self.totals();
        let (mut reached, mut tokens) = (0, 0);
        let mut at = |capacity: u64| {
            while reached < capacity {
                let Some(next) = totals.next() else { break };
                tokens = next;
                reached += 1;
            }
            (capacity, tokens.into())
        };
        capacities.iter().map(|&capacity| at(capacity)).collect()
    }
}
