//! The memory limit: when blocks are forgotten, and which ones.

use crate::blocks::BlockNumber;
use crate::error::Invalid;
use crate::record::Record;
use crate::stats::cache::Caches;
use crate::stats::engine::EngineBlocks;
use crate::stats::recency::{Kept, Recency};
use crate::stats::seen::{Cached, Intake, Served};
use crate::stats::statistic::{Bytes, Forgetting};
use crate::stats::statistics::Statistics;
use crate::stats::{Bound, Report};

/// So many blocks and requests take little of any budget, and to count bytes takes time.
const FEW: u32 = 256;

/// What is known of a trace, within a limit of memory.
pub(super) struct State {
    pub(super) intake: Intake,
    pub(super) statistics: Statistics,
    /// Bytes for what grows with the trace.
    budget: Option<usize>,
    /// Last uses, if the stack of the caches does not know them and memory runs short.
    recency: Option<Recency>,
    /// Blocks and requests since the bytes in use were counted last.
    uncounted: u32,
    /// Whether they were not far below the budget by then.
    is_near: bool,
    /// What is left of exactness, once something has been settled or forgotten.
    pub(super) bound: Option<Bound>,
}

impl State {
    /// Nothing has been seen and nothing is short yet.
    pub(super) fn new(intake: Intake, statistics: Statistics, budget: Option<usize>) -> Self {
        Self { intake, statistics, budget, recency: None, uncounted: 0, is_near: false, bound: None }
    }

    /// Takes the next request, and forgets at the limit.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, or more of anything than can be kept.
    #[inline(always)]
    pub(super) fn add(&mut self, record: &Record) -> Result<Served, Invalid> {
        let seen = self.intake.record(record)?;
        if let (Some(recency), Some(cached)) = (&mut self.recency, &seen.cached) {
            recency.touch(cached.lookup.runs, cached.lookup.end);
        }
        self.statistics.add(&seen)?;
        let served = seen.cached.as_ref().map_or_else(Served::default, Cached::served);
        self.uncounted = self.uncounted.saturating_add(1 + seen.blocks.unwrap_or(0));
        if let Some(budget) = self.budget
            && (self.is_near || self.uncounted >= FEW)
        {
            self.stay_below(budget)?;
        }
        Ok(served)
    }

    /// Distinct blocks so far; forgotten ones that came back count again.
    pub(super) fn unique_blocks(&self) -> u64 {
        u64::from(self.intake.len()) + self.bound.as_ref().map_or(0, |bound| bound.forgotten_blocks)
    }

    /// Bytes in use.
    #[inline]
    pub(super) fn bytes(&self) -> Bytes {
        let mut bytes = self.statistics.bytes();
        bytes.blocks += self.intake.cache.numbering().bytes();
        bytes.blocks += self.intake.engine.as_ref().map_or(0, EngineBlocks::bytes);
        bytes.blocks += self.recency.as_ref().map_or(0, |_| Recency::bytes_for(self.intake.len()));
        bytes
    }

    /// Bytes that one of many analyses cannot give back.
    pub(super) fn fixed_bytes(&self) -> usize {
        self.bytes().curve + self.statistics.distribution_bytes()
    }

    /// The same as [`State::bytes`] once last uses are noted, whether they are yet or not: of a dense trace there is but a
    /// bit for each block before.
    #[inline]
    pub(super) fn bytes_with_recency(&self) -> Bytes {
        let mut bytes = self.bytes();
        if !self.caches_know_uses() && self.recency.is_none() {
            bytes.blocks += Recency::bytes_for(self.intake.len());
        }
        bytes
    }

    fn stay_below(&mut self, budget: usize) -> Result<(), Invalid> {
        let bytes = self.bytes_with_recency();
        (self.uncounted, self.is_near) = (0, bytes.total() > budget / 4);
        if bytes.total() > budget / 2 {
            self.note_recency();
        }
        if bytes.total() > budget {
            self.can_forget(budget, bytes.simulated)?;
            self.forget(budget);
        }
        Ok(())
    }

    /// Whether forgetting can help if simulated caches take so many bytes.
    ///
    /// # Errors
    /// When it cannot.
    pub(super) fn can_forget(&self, budget: usize, simulated: usize) -> Result<(), Invalid> {
        if let Some(setting) = self.statistics.caches.as_ref().and_then(Caches::needs_all_blocks) {
            let message = format!("{setting} needs all of the trace, which is more than `max_memory`");
            return Err(Invalid::over_limit(message));
        }
        if simulated > budget / 2 {
            return Err(Invalid::over_limit("the caches of `policy` hold more than `max_memory`"));
        }
        Ok(())
    }

    /// Whether the stack of the caches knows when each block was used last, by its number.
    fn caches_know_uses(&self) -> bool {
        self.statistics.caches.as_ref().is_some_and(|caches| !caches.names_blocks())
    }

    /// From now on, remembers which blocks are used.
    pub(super) fn note_recency(&mut self) {
        if !self.caches_know_uses() {
            let blocks = self.intake.len();
            self.recency.get_or_insert_with(|| Recency::new(blocks));
        }
    }

    /// Settles all requests so far, and forgets the half of the blocks that was used least recently
    /// unless this leaves a quarter of the budget free. So after any forgetting, some time goes by to the
    /// next: it takes time in proportion to the blocks.
    pub(super) fn forget(&mut self, budget: usize) {
        let all = self.intake.len();
        let bytes = self.bytes_with_recency();
        let too_many = bytes.total() - bytes.log > budget / 4 * 3;
        let kept = self.keep(if too_many { all / 2 } else { all } as usize, too_many);
        let blocks = kept.as_ref().map_or(all, Kept::len);
        let named = self.keep_names(too_many);
        let numbering = self.intake.cache.numbering();
        self.statistics.forget(&Forgetting { kept: kept.as_ref(), blocks, numbering });
        if let Some(kept) = &kept {
            self.intake.cache.retain(kept.numbers());
        }
        let bound = self.bound.get_or_insert_default();
        bound.settled_requests = self.statistics.totals.requests;
        if too_many {
            let exact = bound.exact_capacity_blocks.unwrap_or(u64::MAX);
            let held = named.map_or(blocks, |named| named.min(blocks));
            bound.exact_capacity_blocks = Some(exact.min(u64::from(held)));
            bound.forgotten_blocks += u64::from(all - blocks);
        }
        let mut marked = Report::default();
        Statistics::mark(bound, &mut marked);
        bound.name_figures(&marked);
    }

    /// Keeps the `keep` blocks used most recently. `None` if all stay as they are.
    fn keep(&mut self, keep: usize, too_many: bool) -> Option<Kept> {
        let by_number = self.statistics.caches.as_mut().filter(|caches| !caches.names_blocks());
        match (by_number, &mut self.recency) {
            // Even if no block goes, requests that used none last need no place in the stack.
            (Some(caches), _) => Some(caches.retain(keep)),
            (None, Some(recency)) if too_many => Some(recency.retain(keep)),
            _ => None,
        }
    }

    /// The same for the names of blocks; how many are kept, if there are names.
    fn keep_names(&mut self, too_many: bool) -> Option<BlockNumber> {
        let engine = self.intake.engine.as_mut()?;
        let all = engine.len();
        let keep = if too_many { all / 2 } else { all };
        let kept = match self.statistics.caches.as_mut().filter(|caches| caches.names_blocks()) {
            Some(caches) => caches.retain(keep as usize),
            // Without a stack nobody knows the last uses: the oldest blocks go.
            None => Kept::of(all - keep..all, all as usize),
        };
        engine.retain(&kept);
        Some(kept.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Analysis, AnalysisOptions, CacheOptions, Ttl};

    #[test]
    fn forgetting_makes_room_for_a_while_whatever_takes_the_memory() {
        let caches =
            CacheOptions { capacities: vec![100], ttls: vec![Ttl::Sliding(1000)], ..CacheOptions::default() };
        let budget = 1 << 20;
        let options = AnalysisOptions { caches, budget: Some(budget), ..AnalysisOptions::default() };
        let mut analysis = Analysis::new(1, options);
        let mut times = std::collections::BTreeSet::new();
        // Requests of one new block each: as much memory for requests as for blocks.
        for id in 1..300_000 {
            let record = Record {
                input_length: 2,
                has_ids: true,
                hash_ids: vec![0, id],
                timestamp: Some(0.0),
                ..Record::default()
            };
            analysis.add(&record).unwrap();
            times.extend(analysis.state.bound.as_ref().map(|bound| bound.settled_requests));
            assert!(analysis.state.bytes().total() <= budget);
        }
        assert!((1..50).contains(&times.len()), "{}", times.len());
    }

    #[test]
    fn uses_are_noted_before_that_takes_more_than_the_budget() {
        let budget = 1 << 20;
        let mut analysis = Analysis::new(1, AnalysisOptions { budget: Some(budget), ..Default::default() });
        for first in (0..5_000_000).step_by(10_000) {
            let hash_ids = (first..first + 10_000).collect();
            let record = Record { input_length: 10_000, has_ids: true, hash_ids, ..Record::default() };
            analysis.add(&record).unwrap();
            let blocks = analysis.state.intake.len();
            assert!(analysis.state.recency.is_some() || Recency::bytes_for(blocks) <= budget / 2, "{blocks}");
            assert!(analysis.state.bytes().total() <= budget);
        }
        assert!(analysis.state.bound.is_some());
    }
}
