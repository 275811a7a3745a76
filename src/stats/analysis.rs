//! The analysis of a trace: each record is numbered and timed once, and then every statistic takes it.

use crate::blocks::NumberRun;
use crate::error::Invalid;
use crate::record::Record;
use crate::stats::distribution::Distribution;
use crate::stats::engine::{Answers, EngineBlocks};
use crate::stats::figures::{Bound, Report, RunningFigures, WindowBound, WindowFigures, WindowReport};
use crate::stats::hit_count::{HitCount, HitRule};
use crate::stats::memory::State;
use crate::stats::piece_end::PieceEnd;
use crate::stats::piece_row::PieceRow;
use crate::stats::requests::RequestReport;
use crate::stats::seen::{Intake, Served};
use crate::stats::statistic::Known;
use crate::stats::statistics::{AnalysisOptions, Purpose, Statistics};

/// Running analysis of a trace.
pub struct Analysis {
    options: AnalysisOptions,
    pub(super) state: State,
}

/// What makes of records what the statistics ask for.
fn intake(options: &AnalysisOptions, count: HitCount, statistics: &Statistics) -> Intake {
    let caches = &options.caches;
    let intake = Intake::new(count, caches.warmup, caches.answers);
    if statistics.sample.is_some() {
        return intake.sampled();
    }
    let is_engine = count.rule == HitRule::Engine;
    let has_limits = caches.is_asked_for() && (is_engine || caches.has_engine());
    let infers = is_engine && caches.answers == Answers::Inferred;
    let has_sessions = caches.load.sessions;
    if has_limits || infers { intake.with_engine(has_limits, has_sessions) } else { intake }
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
        let count = HitCount::new(block_size, options.hit_rule, options.hit_unit)
            .with_prefill(options.caches.prefill);
        let statistics = Statistics::new(&Purpose { options: &options, count, distribution, budget });
        let intake = intake(&options, count, &statistics);
        Self { state: State::new(intake, statistics, options.budget), options }
    }

    /// Says which value the next request has in the field by which hits are told apart, if they are.
    pub fn set_sharer(&mut self, value: &str) {
        if let Some(reuse) = &mut self.state.statistics.reuse {
            reuse.begin(value);
        }
    }

    /// Takes the next request, which must have one id per block if it has ids, or one per full block. Gives what an
    /// infinite cache serves of it.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, or more of anything than can be kept.
    pub fn add(&mut self, record: &Record) -> Result<Served, Invalid> {
        self.state.add(record)
    }

    /// Takes a request of a piece of the trace: all its blocks but those in `row.new` have occurred in
    /// the piece before. Gives the numbers of the new ones.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, and when the row contradicts those
    /// before it.
    pub(super) fn add_row(&mut self, row: &PieceRow) -> Result<&[NumberRun], Invalid> {
        let seen = self.state.intake.row(row)?;
        self.state.statistics.add(&seen)?;
        Ok(if row.n.is_some() { self.state.intake.cache.last_runs() } else { &[] })
    }

    /// Ends a piece of the trace, whose blocks have these numbers in the order in which it introduced them.
    ///
    /// # Errors
    /// When the end contradicts the rows.
    pub(super) fn end_piece(&mut self, numbers: &[NumberRun], end: &PieceEnd) -> Result<(), Invalid> {
        let statistics = &mut self.state.statistics;
        end.note_repeats(numbers, &mut statistics.sharing.repeats)?;
        statistics.caches.as_mut().map_or(Ok(()), |caches| caches.end_piece(numbers, end))
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.state.statistics.totals.requests
    }

    /// Whether finite caches are studied.
    pub(super) fn has_caches(&self) -> bool {
        self.state.statistics.caches.is_some()
    }

    /// The report on the open window if `next`, a record that is about to be added, is beyond it.
    pub fn close_window(&mut self, next: &Record) -> Option<WindowReport> {
        self.close_window_before(next.timestamp)
    }

    /// The same for a request with this timestamp.
    pub(super) fn close_window_before(&mut self, next: Option<f64>) -> Option<WindowReport> {
        let closed = self.state.statistics.window.as_mut()?.close_before(next)?;
        Some(self.window_report(closed))
    }

    /// The report on the open window, unless it is empty.
    pub fn last_window(&self) -> Option<WindowReport> {
        Some(self.window_report(self.state.statistics.window.as_ref()?.rest()?))
    }

    /// Whether any record had a timestamp.
    pub fn has_times(&self) -> bool {
        self.state.intake.has_times()
    }

    fn window_report(&self, window: WindowFigures) -> WindowReport {
        let (unique_blocks, bound) = (self.state.unique_blocks(), self.state.bound.as_ref());
        let caches = self.state.statistics.caches.as_ref();
        let running = RunningFigures {
            requests: self.state.statistics.totals.requests,
            skipped_records: 0,
            unique_blocks,
            token_hit_rate: self.state.statistics.totals.token_hit_rate(),
            capacity: caches.map(|caches| caches.figures(unique_blocks, bound).capacity),
            bound: bound.cloned(),
        };
        let has_forgotten = bound.is_some_and(Bound::has_forgotten);
        WindowReport { window, bound: has_forgotten.then_some(WindowBound::FORGOTTEN), running }
    }

    /// There are no more requests: what is under way comes to its end.
    pub fn finish(&mut self) {
        if let Some(caches) = &mut self.state.statistics.caches {
            caches.finish();
        }
    }

    /// The hits of the next request in each cache, if asked for: once they are known, and those of all
    /// requests before it have been taken.
    pub fn take_request(&mut self) -> Option<RequestReport> {
        self.state.statistics.caches.as_mut()?.take_request(self.state.bound.as_ref())
    }

    /// All figures of what has been read so far. `percentiles` are in percent.
    pub fn report(&self, percentiles: &[f64]) -> Report {
        let mut report = Report {
            percentiles: percentiles.to_vec(),
            block_size: self.state.intake.count.block_size,
            hit_rule: self.options.hit_rule,
            bound: self.state.bound.clone(),
            servers: self.options.servers.clone(),
            inferred_answers: self.state.intake.engine.as_ref().and_then(EngineBlocks::inferred),
            ..Report::default()
        };
        let known = Known {
            percentiles,
            has_charts: self.options.pictures,
            unique_blocks: self.state.unique_blocks(),
            numbering: self.state.intake.cache.numbering(),
            bound: self.state.bound.as_ref(),
        };
        if let Some(bound) = known.bound {
            Statistics::mark(bound, &mut report);
        }
        self.state.statistics.report(&known, &mut report);
        report
    }
}
