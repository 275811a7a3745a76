//! Least recently used: the hits of every capacity at once, from the stack.

use std::collections::BTreeMap;

use crate::blocks::NumberRun;
use crate::error::Invalid;
use crate::stats::cache::policy::{Point, Study};
use crate::stats::cache::sized_hits::SizedHits;
use crate::stats::cache::stack::{LruStack, Retained, StackRun};
use crate::stats::engine::EngineRequest;
use crate::stats::hit_count::{HitCount, HitRule, Tally};
use crate::stats::piece_end::PieceEnd;
use crate::stats::seen::{Cached, Seen};
use crate::stats::statistic::Bytes;

/// LRU caches of all capacities. Memory: that of the stack and of the hits.
pub(super) struct Lru {
    count: HitCount,
    stack: LruStack,
    hits: SizedHits,
    /// The blocks of the last request by the names that engines give them, if that is how they are known.
    named: Vec<NumberRun>,
    /// Where the known prefix of the last request is in the stack.
    runs: Vec<StackRun>,
}

impl Lru {
    /// No request yet.
    pub(super) fn new(count: HitCount) -> Self {
        let hits = SizedHits::new(count, &[], true);
        Self { count, stack: LruStack::default(), hits, named: Vec::new(), runs: Vec::new() }
    }

    /// Where the known prefix of the last request was in the stack.
    pub(super) fn last_runs(&self) -> &[StackRun] {
        &self.runs
    }

    /// Ends a piece of the trace, whose blocks have these numbers.
    ///
    /// # Errors
    /// When the end contradicts the rows.
    pub(super) fn end_piece(&mut self, numbers: &[NumberRun], end: &PieceEnd) -> Result<(), Invalid> {
        self.stack.end_piece(numbers, end)
    }

    /// Forgets all but the `keep` blocks used last.
    pub(super) fn retain(&mut self, keep: usize) -> Retained {
        self.stack.retain(keep)
    }

    /// What an engine computes for a request, if blocks are those of engines: full blocks alone, and those of the
    /// answer.
    fn engine_of<'a>(&self, seen: &'a Seen) -> Option<&'a EngineRequest<'a>> {
        seen.engine.as_ref().filter(|_| self.count.rule == HitRule::Engine)
    }

    /// The blocks of the last request in the numbering of the stack.
    pub(super) fn blocks_of<'a>(&'a self, cached: &'a Cached) -> &'a [NumberRun] {
        if self.count.rule == HitRule::Engine { &self.named } else { cached.lookup.runs }
    }

    /// Hits at rising capacities.
    pub(super) fn hits_at(&self, capacities: &[u64]) -> Vec<Tally> {
        self.hits.at(capacities)
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

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> u64 {
        self.stack.blocks()
    }

    /// How many stack distances have occurred, or could have below the largest one.
    pub(super) fn distances(&self) -> u64 {
        self.hits.distances()
    }

    /// The smallest capacity that serves at least so many tokens, and what it serves.
    pub(super) fn smallest(&self, wanted: f64) -> Option<(u64, Tally)> {
        self.hits.smallest(wanted)
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
        let (first_new, known) = match self.engine_of(seen) {
            Some(engine) => {
                self.named.clear();
                engine.append_runs(&mut self.named);
                (engine.first_new, engine.known)
            }
            None => (cached.lookup.first_new, cached.lookup.known),
        };
        match (seen.row, self.count.rule) {
            (Some(row), _) => self.stack.touch_row(row, cached.lookup.runs, first_new, &mut runs)?,
            (None, HitRule::Engine) => self.stack.touch(&self.named, first_new, &mut runs),
            (None, _) => self.stack.touch(cached.lookup.runs, first_new, &mut runs),
        }
        StackRun::limit(&mut runs, known);
        if seen.is_measured {
            let distances = runs.iter().map(|run| (run.len, run.distance));
            self.hits.measure(distances, cached.blocks, cached.tokens, seen.input_length);
        }
        self.runs = runs;
        Ok(())
    }

    fn bytes(&self) -> Bytes {
        Bytes {
            blocks: self.stack.block_bytes() + self.stack.request_bytes(),
            curve: self.hits.bytes(),
            ..Bytes::default()
        }
    }

    fn points(&self, capacities: &[u64], _: u64) -> BTreeMap<u64, Point> {
        let hits = self.hits.at(capacities).into_iter().map(Point::from);
        capacities.iter().copied().zip(hits).collect()
    }
}
