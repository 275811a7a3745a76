//! The reference's metrics, exactly, in one pass and little memory.
//!
//! Blocks are known by number, in the order of first appearance (see [`Numbering`]). Hence a block
//! is new exactly when its number is the next one, and the blocks that a request introduces are
//! one range of numbers. That makes most metrics final when the request arrives. Only
//! `context_length` looks ahead: it counts the request's blocks that occur more than once in the
//! whole trace. Of these, the blocks that were old on arrival are counted at once; for its own range
//! of new blocks it is enough to know, at the end, which occurred again: one bit per block, set at
//! any later occurrence. So the state is that bit, and per request its length and the size of its
//! range (with its output length, 4 to 6 bytes), from which the ranges follow by addition.
//!
//! This holds for any ids: nothing assumes that they form a forest. (In a forest the repeated part
//! of a range is a prefix of it, so its length would do in place of the bits. That takes as much
//! memory as the bits, some two bytes per request, and a search for the range at every hit.)
//!
//! `unique_prompt_length` cannot be negative here: if not all n blocks of a request are repeated, at
//! most n - 1 are, and (n - 1) x `block_size` < `input_length` because n = ceil(length / size).

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::blocks::{BlockNumber, NumberRun, Numbering};
use crate::record::Record;
use crate::stats::arrivals::Arrivals;
use crate::stats::bitmap::Bitmap;
use crate::stats::capacity::{Access, CacheOptions, Caches, HitRule};
use crate::stats::correlation::Moments;
use crate::stats::distribution::Distribution;
use crate::stats::pictures::{Pictures, Timeline};
use crate::stats::prefixes::{Prefixes, Use};
use crate::stats::rates::RateDistribution;
use crate::stats::recency::{Kept, Recency};
use crate::stats::row::Row;
use crate::stats::sample::{Estimate, Sample};
use crate::stats::window::{Counted, Window, WindowFigures, WindowSize};
use crate::stats::{Bound, Report, Summary, WindowReport};

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
    block_size: u64,
    hit_rule: HitRule,
    warmup: u64,
    /// A sample and the caches to estimate from it, in place of all that is kept by block.
    sample: Option<(Sample, CacheOptions)>,
    caches: Option<Caches>,
    prefixes: Option<Prefixes>,
    window: Option<Window>,
    window_percentiles: Vec<f64>,
    /// Arrivals by time, if there are to be charts.
    timeline: Option<Timeline>,
    requests: u64,
    requests_without_ids: u64,
    blocks: u64,
    hit_blocks: u64,
    tokens_with_ids: u128,
    cached_tokens: u128,
    numbering: Numbering,
    /// Blocks that have occurred more than once.
    repeated: Bitmap,
    log: RequestLog,
    /// Number of the first block that a request in the log introduced.
    log_start: BlockNumber,
    /// What has been settled of requests that are no longer in the log.
    settled: Settled,
    budget: Option<usize>,
    /// Last uses, if the stack of the caches does not know them and memory runs short.
    recency: Option<Recency>,
    bound: Option<Bound>,
    /// How often an old block has started a request, once or more: once is enough for a block that
    /// started the request which introduced it.
    restarts: HashMap<BlockNumber, Restarts, RandomState>,
    input_length: Distribution,
    output_length: Distribution,
    cached_length: Distribution,
    hit_rate: RateDistribution,
    arrivals: Arrivals,
    /// Numbers of the current request, reused; as runs in a row of a piece.
    numbers: Vec<BlockNumber>,
    runs: Vec<NumberRun>,
}

/// The blocks of a request as far as they count.
struct Path {
    n: u32,
    /// Length of the longest prefix of blocks that occurred in earlier requests.
    hit: u32,
    /// The first block, unless it is counted elsewhere.
    first: Option<BlockNumber>,
    /// Blocks from this number on are new.
    first_new: BlockNumber,
}

/// How often a block started a request that did not introduce it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Restarts {
    Once,
    More,
}

impl Restarts {
    /// Counts one more.
    pub(super) fn count(restarts: &mut HashMap<BlockNumber, Self, RandomState>, block: BlockNumber) {
        restarts.entry(block).and_modify(|r| *r = Self::More).or_insert(Self::Once);
    }
}

impl Analysis {
    /// An analysis of nothing yet. `block_size` is in tokens.
    pub fn new(block_size: u64, options: AnalysisOptions) -> Self {
        let AnalysisOptions { hit_rule, caches, approx, top, pictures, window, window_percentiles, budget } =
            options;
        let exact = approx.is_none();
        Self {
            block_size,
            hit_rule,
            warmup: caches.warmup,
            sample: approx.map(|size| (Sample::new(size, block_size, hit_rule), caches.clone())),
            caches: (exact && caches.is_asked_for()).then(|| Caches::new(caches, block_size, hit_rule)),
            prefixes: (top > 0).then(|| Prefixes::new(top, block_size)),
            window: window.map(|size| Window::new(size, &window_percentiles)),
            window_percentiles,
            timeline: pictures.then(Timeline::default),
            requests: 0,
            requests_without_ids: 0,
            blocks: 0,
            hit_blocks: 0,
            tokens_with_ids: 0,
            cached_tokens: 0,
            numbering: Numbering::default(),
            repeated: Bitmap::default(),
            log: RequestLog::default(),
            log_start: 0,
            settled: Settled::default(),
            budget,
            recency: None,
            bound: None,
            restarts: HashMap::default(),
            input_length: Distribution::default(),
            output_length: Distribution::default(),
            cached_length: Distribution::default(),
            hit_rate: RateDistribution::within(budget),
            arrivals: Arrivals::default(),
            numbers: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// The same as one of many, which forgets only what it is told to. All of them have `budget` together.
    pub(super) fn of_group(block_size: u64, options: AnalysisOptions, budget: Option<usize>) -> Self {
        Self {
            input_length: Distribution::small(),
            output_length: Distribution::small(),
            cached_length: Distribution::small(),
            hit_rate: RateDistribution::within(budget.map(|budget| budget / 8)),
            settled: Settled {
                context: Distribution::small(),
                unique: Distribution::small(),
                ..Settled::default()
            },
            ..Self::new(block_size, AnalysisOptions { budget: None, ..options })
        }
    }

    /// Bytes of the distributions and the curve, which forgetting does not reduce.
    pub(super) fn fixed_bytes(&self) -> usize {
        let Settled { context, unique, .. } = &self.settled;
        let lengths = [&self.input_length, &self.output_length, &self.cached_length, context, unique];
        let lengths: usize = lengths.into_iter().map(Distribution::bytes).sum();
        lengths + self.hit_rate.bytes() + self.curve_bytes()
    }

    /// Bytes for what grows with the trace, once last uses are noted, without those of the curve.
    pub(super) fn growing_bytes(&self) -> usize {
        self.bytes_with_recency() - self.curve_bytes()
    }

    fn curve_bytes(&self) -> usize {
        self.caches.as_ref().map_or(0, Caches::curve_bytes)
    }

    /// Takes the next request, which must have ceil(length / `block_size`) ids if it has ids.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered.
    pub fn add(&mut self, record: &Record) -> Result<(), String> {
        self.add_lengths(record.input_length, record.output_length, record.timestamp);
        let counted = match record.ids() {
            Some(ids) if self.sample.is_some() => {
                self.add_to_sample(ids, record.input_length);
                Counted::default()
            }
            Some(ids) => self.add_blocks(ids, record)?,
            None => {
                self.requests_without_ids += 1;
                Counted::default()
            }
        };
        if let Some(window) = &mut self.window {
            window.add(record, counted);
        }
        if record.timestamp.is_some() {
            // A sample knows no hits of single requests.
            let known = record.has_ids && self.sample.is_none();
            let tokens = if known { record.input_length } else { 0 };
            self.add_time(tokens, counted.cached);
        }
        self.budget.map_or(Ok(()), |budget| self.stay_below(budget))
    }

    /// Bytes in use that grow with the trace.
    pub(super) fn bytes(&self) -> usize {
        let requests = self.caches.as_ref().map_or(0, Caches::request_bytes);
        self.block_bytes() + self.log.bytes.len() + requests + self.simulation_bytes()
    }

    /// The same once last uses are noted, whether they are yet or not: of a dense trace there is but a
    /// bit for each block before.
    pub(super) fn bytes_with_recency(&self) -> usize {
        let noted = self.caches.is_some() || self.recency.is_some();
        self.bytes() + if noted { 0 } else { Recency::bytes_for(self.numbering.len()) }
    }

    /// The part that grows with the distinct blocks.
    fn block_bytes(&self) -> usize {
        let caches = self.caches.as_ref().map_or(0, Caches::block_bytes);
        let recency = self.recency.as_ref().map_or(0, |_| Recency::bytes_for(self.numbering.len()));
        let prefixes = self.prefixes.as_ref().map_or(0, Prefixes::bytes);
        self.numbering.bytes()
            + self.repeated.bytes()
            + 16 * self.restarts.len()
            + caches
            + recency
            + prefixes
    }

    fn stay_below(&mut self, budget: usize) -> Result<(), String> {
        let bytes = self.bytes_with_recency();
        if bytes > budget / 2 {
            self.note_recency();
        }
        if bytes <= budget {
            return Ok(());
        }
        self.can_forget(budget, self.simulation_bytes())?;
        self.forget(budget);
        Ok(())
    }

    /// Bytes of simulated caches, which forgetting does not reduce.
    pub(super) fn simulation_bytes(&self) -> usize {
        self.caches.as_ref().map_or(0, Caches::simulation_bytes)
    }

    /// Whether forgetting can help if simulated caches take so many bytes.
    ///
    /// # Errors
    /// When it cannot.
    pub(super) fn can_forget(&self, budget: usize, simulated: usize) -> Result<(), String> {
        if self.caches.as_ref().is_some_and(Caches::needs_all_blocks) {
            return Err("--policy opt needs all of the trace, which is more than --max-memory".into());
        }
        if simulated > budget / 2 {
            return Err("the caches of --policy hold more than --max-memory".into());
        }
        Ok(())
    }

    /// From now on, remembers which blocks are used.
    pub(super) fn note_recency(&mut self) {
        if self.caches.is_none() {
            let blocks = self.numbering.len();
            self.recency.get_or_insert_with(|| Recency::new(blocks));
        }
    }

    /// Settles all requests so far, and forgets the half of the blocks that was used least recently
    /// unless this leaves a quarter of the budget free. So after any forgetting, some time goes by to the
    /// next: it takes time in proportion to the blocks.
    pub(super) fn forget(&mut self, budget: usize) {
        let all = self.numbering.len();
        let too_many = self.bytes_with_recency() - self.log.bytes.len() > budget / 4 * 3;
        let keep = if too_many { all / 2 } else { all };
        let mut settled = std::mem::take(&mut self.settled);
        self.settle(&mut settled);
        // Starts so far, by first block: those of the requests that introduced it too.
        for first in std::mem::take(&mut settled.roots) {
            let again = self.restarts.contains_key(&first);
            self.restarts.insert(first, if again { Restarts::More } else { Restarts::Once });
        }
        self.log = RequestLog::default();
        if let Some(kept) = self.retain(keep as usize, too_many) {
            let before = self.repeated.count_all();
            self.repeated = self.repeated.select(kept.numbers());
            settled.shared_blocks += before - self.repeated.count_all();
            if let Some(prefixes) = &mut self.prefixes {
                prefixes.retain(&kept, |blocks| self.numbering.ids(blocks));
            }
            self.numbering.retain(kept.numbers());
            self.restarts = std::mem::take(&mut self.restarts)
                .into_iter()
                .filter_map(|(block, restarts)| {
                    let number = kept.new_number(block);
                    settled.prefix_groups += u64::from(number.is_none() && restarts == Restarts::More);
                    Some((number?, restarts))
                })
                .collect();
        }
        self.log_start = self.numbering.len();
        self.settled = settled;
        let bound = self.bound.get_or_insert_default();
        bound.settled_requests = self.requests;
        if too_many {
            let keep = self.numbering.len();
            let exact = bound.exact_capacity_blocks.unwrap_or(u64::MAX);
            bound.exact_capacity_blocks = Some(exact.min(u64::from(keep)));
            bound.forgotten_blocks += u64::from(all - keep);
        }
    }

    /// Keeps the `keep` blocks used most recently. `None` if all stay as they are.
    fn retain(&mut self, keep: usize, too_many: bool) -> Option<Kept> {
        match (&mut self.caches, &mut self.recency) {
            // Even if no block goes, requests that used none last need no place in the stack.
            (Some(caches), _) => Some(caches.retain(keep)),
            (None, Some(recency)) if too_many => Some(recency.retain(keep)),
            _ => None,
        }
    }

    /// Counts the requests of the log, as far as the trace is known.
    fn settle(&self, settled: &mut Settled) {
        let mut first_new = self.log_start;
        for request in self.log.iter() {
            let n = request.length.div_ceil(self.block_size);
            let old = n - u64::from(request.new_blocks);
            let repeated = old + u64::from(self.repeated.count(first_new, request.new_blocks));
            let context = if repeated == n { request.length } else { repeated * self.block_size };
            settled.count(context, request.length, request.output);
            if request.starts_new {
                settled.roots.push(first_new);
            }
            first_new += request.new_blocks;
        }
    }

    /// The report on the open window if `next`, a record that is about to be added, is beyond it.
    pub fn close_window(&mut self, next: &Record) -> Option<WindowReport> {
        let window = self.window.as_mut()?;
        let now = next.timestamp.map(|t| if self.requests == 0 { t } else { t.max(self.arrivals.now()) });
        let closed = window.close_before(now)?;
        Some(self.window_report(closed))
    }

    /// The report on the open window, unless it is empty.
    pub fn last_window(&self) -> Option<WindowReport> {
        Some(self.window_report(self.window.as_ref()?.rest()?))
    }

    /// Whether any record had a timestamp.
    pub fn has_times(&self) -> bool {
        self.arrivals.figures().is_some()
    }

    fn window_report(&self, window: WindowFigures) -> WindowReport {
        let unique_blocks = self.unique_blocks();
        let tokens = self.tokens_with_ids as f64;
        WindowReport {
            percentiles: self.window_percentiles.clone(),
            window,
            requests: self.requests,
            unique_blocks,
            token_hit_rate: (tokens > 0.0).then(|| self.cached_tokens as f64 / tokens),
            caches: self.caches.as_ref().map(|c| c.figures(unique_blocks)),
            bound: self.bound,
        }
    }

    fn add_lengths(&mut self, input: u64, output: Option<u64>, timestamp: Option<f64>) {
        self.requests += 1;
        self.input_length.record(input);
        if let Some(length) = output {
            self.output_length.record(length);
        }
        if let Some(timestamp) = timestamp {
            self.arrivals.record(timestamp);
        }
    }

    fn add_blocks(&mut self, ids: &[u64], record: &Record) -> Result<Counted, String> {
        let length = record.input_length;
        let first_new = self.numbering.len();
        let by_block = self.caches.is_some() || self.prefixes.is_some() || self.recency.is_some();
        if !by_block
            && let Some((hit, first)) =
                self.numbering.extend(ids, |run| self.repeated.set_run(run.start, run.len))
        {
            self.repeated.grow(self.numbering.len());
            let path = Path { n: ids.len() as u32, hit: hit as u32, first, first_new };
            return Ok(self.count_path(&path, length, record.output_length));
        }
        let (mut first, mut hit, mut any_new) = (None, 0, false);
        self.numbers.clear();
        self.numbering.runs(ids, |run, new| {
            first = first.or(Some(run.start));
            any_new |= new;
            if !new {
                self.repeated.grow(run.end());
                self.repeated.set_run(run.start, run.len);
            }
            hit += if any_new { 0 } else { run.len };
            if by_block {
                self.numbers.extend(run.blocks());
            }
        })?;
        let after_new = self.numbering.len();
        self.repeated.grow(after_new);
        let numbers = &self.numbers;
        if let Some(prefixes) = &mut self.prefixes {
            let by = Use { line: record.line, now: self.arrivals.now() };
            let introduces = (after_new > first_new).then_some(first_new);
            let limit = self.hit_rule.limit(length, self.block_size);
            let counted = u64::from(hit).min(limit) as usize;
            prefixes.touch(&numbers[..counted], length, introduces, by);
        }
        if let Some(recency) = &mut self.recency {
            recency.touch(numbers, after_new);
        }
        if let Some(caches) = &mut self.caches {
            caches.access(&Access {
                blocks: numbers,
                ids,
                first_new,
                hit: hit as usize,
                length,
                now: self.arrivals.now(),
                measured: self.requests > self.warmup,
            })?;
        }
        let path = Path { n: ids.len() as u32, hit, first, first_new };
        Ok(self.count_path(&path, length, record.output_length))
    }

    fn add_to_sample(&mut self, ids: &[u64], length: u64) {
        self.blocks += ids.len() as u64;
        self.tokens_with_ids += u128::from(length);
        if let Some((sample, _)) = &mut self.sample {
            sample.add(ids, length, self.requests > self.warmup);
        }
    }

    /// Takes a request of a piece of the trace: all its blocks but those in `row.new` have occurred in
    /// the piece before.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, and when the row contradicts those
    /// before it.
    pub(super) fn add_row(&mut self, row: &Row) -> Result<(), String> {
        self.add_lengths(row.input_length, row.output_length, row.timestamp);
        self.runs.clear();
        let Some(n) = row.n else {
            self.requests_without_ids += 1;
            row.timestamp.inspect(|_| self.add_time(0, 0));
            return Ok(());
        };
        let first_new = self.numbering.len();
        let ids = row.new.iter().map(|run| (run.0, run.1));
        self.numbering.number_runs(ids, first_new, &mut self.runs)?;
        self.repeated.grow(self.numbering.len());
        // What is old in the piece is old in the trace; so a request's hit ends with its first block
        // that is new in both. A run of numbers is old or new as a whole.
        let (mut index, mut hit) = (0, n);
        for run in &self.runs {
            if run.start < first_new {
                self.repeated.set_run(run.start, run.len);
            } else {
                hit = hit.min(row.position(index, n));
            }
            index += run.len;
        }
        // Starts with other blocks are counted at the end of the piece.
        let first = self.runs.first().filter(|_| row.position(0, n) == 0).map(|run| run.start);
        let path = Path { n, hit, first, first_new };
        let counted = self.count_path(&path, row.input_length, row.output_length);
        row.timestamp.inspect(|_| self.add_time(row.input_length, counted.cached));
        Ok(())
    }

    /// Counts a request with a timestamp: its prompt tokens if it has ids, and the cached ones.
    fn add_time(&mut self, tokens: u64, cached: u64) {
        if let Some(timeline) = &mut self.timeline {
            timeline.count(self.arrivals.now(), tokens, cached);
        }
    }

    /// The numbers that the blocks of the last request of [`Analysis::add_row`] have, in the order of
    /// its `new` ones.
    pub(super) fn last_runs(&self) -> &[NumberRun] {
        &self.runs
    }

    /// Notes that a block started requests of its piece that did not introduce it.
    pub(super) fn restart(&mut self, block: BlockNumber, times: Restarts) {
        Restarts::count(&mut self.restarts, block);
        if times == Restarts::More {
            Restarts::count(&mut self.restarts, block);
        }
    }

    /// Notes that blocks occur again in their piece.
    pub(super) fn repeat(&mut self, run: NumberRun) {
        self.repeated.set_run(run.start, run.len);
    }

    /// Counts a request whose blocks have been numbered.
    fn count_path(&mut self, path: &Path, length: u64, output: Option<u64>) -> Counted {
        let limit = self.hit_rule.limit(length, self.block_size);
        let hit = u32::try_from(limit).map_or(path.hit, |limit| path.hit.min(limit));
        let cached = (u64::from(hit) * self.block_size).min(length);
        let new_blocks = self.numbering.len() - path.first_new;
        self.blocks += u64::from(path.n);
        self.hit_blocks += u64::from(hit);
        self.tokens_with_ids += u128::from(length);
        self.cached_tokens += u128::from(cached);
        self.cached_length.record(cached);
        let starts_new = path.first == Some(path.first_new);
        if self.window.is_none() {
            self.log.push(length, new_blocks, starts_new, output);
        }
        if path.n > 0 {
            self.hit_rate.record(hit, path.n);
        }
        if let Some(first) = path.first.filter(|_| !starts_new) {
            Restarts::count(&mut self.restarts, first);
        }
        Counted { cached, new_blocks, hit: (path.n > 0).then_some((hit, path.n)) }
    }

    /// Distinct blocks so far; forgotten ones that came back count again.
    fn unique_blocks(&self) -> u64 {
        u64::from(self.numbering.len()) + self.bound.map_or(0, |bound| bound.forgotten_blocks)
    }

    /// All figures of what has been read so far. `percentiles` are in percent.
    pub fn report(&self, percentiles: &[f64]) -> Report {
        let report = self.exact_report(percentiles);
        let Some((sample, caches)) = &self.sample else { return report };
        let estimate = sample.figures();
        let whole = |estimate: Estimate| estimate.value.round() as u64;
        let ratio = |value: f64, all: f64| (all > 0.0).then(|| value / all);
        Report {
            unique_blocks: whole(estimate.unique_blocks),
            shared_blocks: whole(estimate.shared_blocks),
            prefix_groups: whole(estimate.prefix_groups),
            cached_tokens: u128::from(whole(estimate.cached_tokens)),
            token_hit_rate: ratio(estimate.cached_tokens.value, self.tokens_with_ids as f64),
            block_hit_rate: ratio(estimate.hit_blocks.value, self.blocks as f64),
            caches: caches.is_asked_for().then(|| sample.caches(caches)),
            estimate: Some(estimate),
            ..report
        }
    }

    /// The report but for what is estimated.
    fn exact_report(&self, percentiles: &[f64]) -> Report {
        // Without a bound nothing has been settled, and a copy of nothing would still take memory.
        let mut settled = if self.bound.is_some() { self.settled.clone() } else { Settled::default() };
        self.settle(&mut settled);
        let twice = |first: &&BlockNumber| self.restarts.get(first) == Some(&Restarts::Once);
        let prefix_groups = settled.prefix_groups
            + self.restarts.values().filter(|&&restarts| restarts == Restarts::More).count() as u64
            + settled.roots.iter().filter(twice).count() as u64;
        let summary = |d: &Distribution| -> Option<Summary> { d.summary(percentiles) };
        let ratio = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        Report {
            percentiles: percentiles.to_vec(),
            requests: self.requests,
            requests_without_ids: self.requests_without_ids,
            block_size: self.block_size,
            hit_rule: self.hit_rule,
            blocks: self.blocks,
            unique_blocks: self.unique_blocks(),
            shared_blocks: settled.shared_blocks + self.repeated.count_all(),
            prefix_groups,
            input_tokens: self.input_length.sum(),
            output_tokens: self.output_length.sum(),
            cached_tokens: self.cached_tokens,
            token_hit_rate: ratio(self.cached_tokens as f64, self.tokens_with_ids as f64),
            block_hit_rate: ratio(self.hit_blocks as f64, self.blocks as f64),
            arrivals: self.arrivals.figures(),
            input_length: summary(&self.input_length),
            context_length: summary(&settled.context),
            unique_prompt_length: summary(&settled.unique),
            output_length: summary(&self.output_length),
            hit_rate: self.hit_rate.summary(percentiles),
            cached_length: summary(&self.cached_length),
            correlations: settled.moments.correlations(),
            caches: self.caches.as_ref().map(|c| c.figures(self.unique_blocks())),
            prefixes: self.prefixes.as_ref().map(|p| p.figures(|blocks| self.numbering.ids(blocks))),
            pictures: self.timeline.as_ref().map(|timeline| self.pictures(timeline, &settled)),
            estimate: None,
            bound: self.bound,
        }
    }

    fn pictures(&self, timeline: &Timeline, settled: &Settled) -> Pictures {
        Pictures {
            input_length: self.input_length.bins(),
            context_length: settled.context.bins(),
            unique_prompt_length: settled.unique.bins(),
            output_length: self.output_length.bins(),
            cached_length: self.cached_length.bins(),
            hit_rate: self.hit_rate.bins(),
            timeline: timeline.figures(),
        }
    }
}

/// Figures of requests whose blocks are looked at no more.
#[derive(Clone, Default)]
struct Settled {
    context: Distribution,
    unique: Distribution,
    moments: Moments,
    /// Shared blocks and prefix groups among forgotten blocks.
    shared_blocks: u64,
    prefix_groups: u64,
    /// First blocks that are new with their request, of the requests just settled.
    roots: Vec<BlockNumber>,
}

impl Settled {
    fn count(&mut self, context: u64, input: u64, output: Option<u64>) {
        let unique = input - context;
        self.context.record(context);
        self.unique.record(unique);
        self.moments.record(context, unique, output);
    }
}

/// What must be remembered of each request with ids, 4 to 6 bytes in most traces.
#[derive(Default)]
struct RequestLog {
    /// Per request three variable-length numbers: the length; twice the number of new blocks plus
    /// whether the first is new; and one more than the output length, 0 if that is unknown.
    bytes: Vec<u8>,
}

struct LoggedRequest {
    length: u64,
    new_blocks: u32,
    starts_new: bool,
    output: Option<u64>,
}

impl RequestLog {
    #[inline]
    fn push(&mut self, length: u64, new_blocks: u32, starts_new: bool, output: Option<u64>) {
        self.push_number(length);
        self.push_number(u64::from(new_blocks) << 1 | u64::from(starts_new));
        self.push_number(output.map_or(0, |output| output + 1));
    }

    /// Seven bits per byte, lowest first; the top bit says that more follow.
    #[inline]
    fn push_number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn iter(&self) -> impl Iterator<Item = LoggedRequest> + '_ {
        let mut bytes = self.bytes.iter();
        let mut number = move || {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let byte = bytes.next()?;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            Some(value)
        };
        std::iter::from_fn(move || {
            let (length, new, output) = (number()?, number()?, number()?);
            Some(LoggedRequest {
                length,
                new_blocks: (new >> 1) as u32,
                starts_new: new & 1 == 1,
                output: output.checked_sub(1),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_makes_room_for_a_while_whatever_takes_the_memory() {
        let caches = CacheOptions { capacities: vec![100], ttls: vec![1000], ..CacheOptions::default() };
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
            times.extend(analysis.bound.map(|bound| bound.settled_requests));
            assert!(analysis.bytes() <= budget);
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
            let blocks = analysis.numbering.len();
            assert!(analysis.recency.is_some() || Recency::bytes_for(blocks) <= budget / 2, "{blocks}");
            assert!(analysis.bytes() <= budget);
        }
        assert!(analysis.bound.is_some());
    }
}
