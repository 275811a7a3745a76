//! The analysis of a trace: each record is numbered and timed once, and then every statistic takes it.

use crate::error::Invalid;
use crate::record::Record;
use crate::stats::cache::CacheOptions;
use crate::stats::distribution::Distribution;
use crate::stats::infinite::Lookup;
use crate::stats::memory::Memory;
use crate::stats::piece_row::PieceRow;
use crate::stats::repeats::Repeats;
use crate::stats::seen::{Cached, HitCount, HitRule, Intake, Served};
use crate::stats::statistic::Known;
use crate::stats::statistics::{Purpose, Statistics};
use crate::stats::window::{WindowFigures, WindowSize};
use crate::stats::{Report, RunningFigures, WindowReport};

/// What is to be analysed.
#[derive(Clone, Debug, Default)]
pub struct AnalysisOptions {
    /// Which cached blocks count as hits.
    pub hit_rule: HitRule,
    /// Which finite caches to study.
    pub caches: CacheOptions,
    /// Estimate hits from a sample of at most this many blocks in place of keeping them all.
    pub approx: Option<usize>,
    /// Report this many shared prefixes, those that save most.
    pub top: usize,
    /// Count what charts need.
    pub pictures: bool,
    /// Report on windows of this size. Then the context length, which looks ahead over the whole
    /// trace, is not kept, and no memory grows with the number of requests.
    pub window: Option<WindowSize>,
    /// The percentiles in the reports on windows, in percent.
    pub window_percentiles: Vec<f64>,
    /// Bytes that may be used for blocks and requests before half of the blocks, those used least
    /// recently, are forgotten.
    pub budget: Option<usize>,
}

/// Running analysis of a trace.
pub struct Analysis {
    options: AnalysisOptions,
    pub(super) intake: Intake,
    pub(super) statistics: Statistics,
    pub(super) memory: Memory,
}

impl Analysis {
    /// An analysis of nothing yet. `block_size` is in tokens.
    pub fn new(block_size: u64, options: AnalysisOptions) -> Self {
        let budget = options.budget;
        Self::made_of(block_size, options, budget, Distribution::default)
    }

    /// The same as one of many, which forgets only what it is told to. All of them have `budget` together.
    pub(super) fn of_group(block_size: u64, options: AnalysisOptions, budget: Option<usize>) -> Self {
        let options = AnalysisOptions { budget: None, ..options };
        Self::made_of(block_size, options, budget.map(|budget| budget / 8), Distribution::small)
    }

    fn made_of(
        block_size: u64,
        options: AnalysisOptions,
        budget: Option<usize>,
        distribution: fn() -> Distribution,
    ) -> Self {
        let count = HitCount { block_size, rule: options.hit_rule };
        let statistics = Statistics::new(&Purpose { options: &options, count, distribution, budget });
        let is_sampled = statistics.sample.is_some();
        Self {
            intake: Intake::new(count, options.caches.warmup, is_sampled, statistics.caches.is_some()),
            statistics,
            memory: Memory::new(options.budget),
            options,
        }
    }

    /// Takes the next request, which must have ceil(length / `block_size`) ids if it has ids. Gives what an
    /// infinite cache serves of it.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, or more of anything than can be kept.
    pub fn add(&mut self, record: &Record) -> Result<Served, Invalid> {
        let seen = self.intake.record(record)?;
        if let Some(cached) = &seen.cached {
            self.memory.touch(cached.lookup.runs, cached.lookup.end);
        }
        self.statistics.add(&seen)?;
        let served = seen.cached.as_ref().map_or_else(Served::default, Cached::served);
        self.stay_below_limit()?;
        Ok(served)
    }

    /// Takes a request of a piece of the trace: all its blocks but those in `row.new` have occurred in
    /// the piece before. Gives the numbers of these.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, and when the row contradicts those
    /// before it.
    pub(super) fn add_row(&mut self, row: &PieceRow) -> Result<Lookup<'_>, Invalid> {
        let seen = self.intake.row(row)?;
        self.statistics.add(&seen)?;
        Ok(seen.cached.map_or_else(Lookup::default, |cached| cached.lookup))
    }

    /// Which blocks occurred again, to which a piece of the trace adds at its end.
    pub(super) fn repeats(&mut self) -> &mut Repeats {
        &mut self.statistics.sharing.repeats
    }

    /// The report on the open window if `next`, a record that is about to be added, is beyond it.
    pub fn close_window(&mut self, next: &Record) -> Option<WindowReport> {
        let closed = self.statistics.window.as_mut()?.close_before(self.intake.time_of(next))?;
        Some(self.window_report(closed))
    }

    /// The report on the open window, unless it is empty.
    pub fn last_window(&self) -> Option<WindowReport> {
        Some(self.window_report(self.statistics.window.as_ref()?.rest()?))
    }

    /// Whether any record had a timestamp.
    pub fn has_times(&self) -> bool {
        self.intake.has_times()
    }

    fn window_report(&self, window: WindowFigures) -> WindowReport {
        let (unique_blocks, bound) = (self.unique_blocks(), self.memory.bound.as_ref());
        let caches = self.statistics.caches.as_ref();
        let running = RunningFigures {
            requests: self.statistics.totals.requests,
            unique_blocks,
            token_hit_rate: self.statistics.totals.token_hit_rate(),
            capacity: caches.map(|caches| caches.figures(unique_blocks, bound).capacity),
            bound: bound.cloned(),
        };
        WindowReport { window, running }
    }

    /// Distinct blocks so far; forgotten ones that came back count again.
    fn unique_blocks(&self) -> u64 {
        u64::from(self.intake.len()) + self.memory.forgotten_blocks()
    }

    /// All figures of what has been read so far. `percentiles` are in percent.
    pub fn report(&self, percentiles: &[f64]) -> Report {
        let mut report = Report {
            percentiles: percentiles.to_vec(),
            block_size: self.intake.count.block_size,
            hit_rule: self.options.hit_rule,
            bound: self.memory.bound.clone(),
            ..Report::default()
        };
        let known = Known {
            percentiles,
            has_charts: self.options.pictures,
            unique_blocks: self.unique_blocks(),
            numbering: self.intake.cache.numbering(),
            bound: self.memory.bound.as_ref(),
        };
        if let Some(bound) = known.bound {
            Statistics::mark(bound, &mut report);
        }
        self.statistics.report(&known, &mut report);
        report
    }
}
