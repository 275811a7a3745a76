//! Figures of the latest part of a stream, window by window.
//!
//! A window is a number of requests or a span of trace time, which is the running maximum of the
//! timestamps until ten requests in a row say that it is wrong. A late record counts in the window that is open.

use crate::error::Invalid;
use crate::stats::figures::{Report, WindowFigures};
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};
use crate::stats::summary::Summary;
use hdrhistogram::Histogram;

/// Where a window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowSize {
    /// After this many requests, at least 1.
    Requests(u64),
    /// At every multiple of this many milliseconds of trace time, at least 1.
    Time(u64),
}

/// Requests in a row that come more than a window before the open one, and are believed in its place.
const BELIEVED: u32 = 10;

/// Trace time. One wrong clock among many must not end the windows of a stream that is watched for years.
#[derive(Clone, Copy, Default)]
struct Clock {
    latest: Option<f64>,
    /// Requests in a row that come long before.
    earlier: u32,
}

impl Clock {
    /// Trace time at the arrival of a request; `early` is the time before which one comes long before.
    fn time_of(&mut self, next: Option<f64>, early: Option<f64>) -> Option<f64> {
        let next = next?;
        self.earlier = if early.is_some_and(|early| next < early) { self.earlier + 1 } else { 0 };
        if self.earlier == BELIEVED {
            *self = Self::default();
        }
        self.latest = Some(self.latest.map_or(next, |latest| latest.max(next)));
        self.latest
    }
}

/// The open window of a stream, in constant memory.
pub(super) struct Window {
    size: WindowSize,
    clock: Clock,
    percentiles: Vec<f64>,
    number: u64,
    start: Option<f64>,
    requests: u64,
    late: u64,
    tokens_with_ids: u128,
    cached: u128,
    new_blocks: u64,
    rate_sum: f64,
    rates: u64,
    input: WindowLengths,
    output: WindowLengths,
}

impl Window {
    pub(super) fn new(size: WindowSize, percentiles: &[f64]) -> Self {
        Self {
            size,
            clock: Clock::default(),
            percentiles: percentiles.to_vec(),
            number: 0,
            start: None,
            requests: 0,
            late: 0,
            tokens_with_ids: 0,
            cached: 0,
            new_blocks: 0,
            rate_sum: 0.0,
            rates: 0,
            input: WindowLengths::default(),
            output: WindowLengths::default(),
        }
    }

    /// Closes the window if a request with this timestamp is not in it.
    pub(super) fn close_before(&mut self, next: Option<f64>) -> Option<WindowFigures> {
        let (begun, is_over) = match self.size {
            WindowSize::Requests(n) => (self.clock.time_of(next, None), self.requests >= n),
            WindowSize::Time(length) => {
                let length = length as f64;
                let now = self.clock.time_of(next, self.start.map(|start| start - length));
                let begun = now.map(|now| (now / length).floor() * length);
                (begun, self.start.zip(begun).is_some_and(|(start, begun)| begun != start))
            }
        };
        if !is_over && self.start.is_some() {
            return None;
        }
        let start = std::mem::replace(&mut self.start, begun);
        (is_over && self.requests > 0).then(|| self.close(start))
    }

    /// The figures of the window, which begins again.
    fn close(&mut self, start_ms: Option<f64>) -> WindowFigures {
        let figures = self.figures(start_ms);
        let next = Self::new(self.size, &self.percentiles);
        *self = Self { number: self.number + 1, start: self.start, clock: self.clock, ..next };
        figures
    }

    /// The figures of the open window, unless it is empty.
    pub(super) fn rest(&self) -> Option<WindowFigures> {
        (self.requests > 0).then(|| self.figures(self.start))
    }

    fn figures(&self, start_ms: Option<f64>) -> WindowFigures {
        let tokens = self.tokens_with_ids as f64;
        WindowFigures {
            window: self.number,
            start_ms,
            requests: self.requests,
            late: self.late,
            input_tokens: self.input.sum,
            output_tokens: self.output.sum,
            cached_tokens: self.cached,
            new_blocks: self.new_blocks,
            hit_rate: (self.rates > 0).then(|| self.rate_sum / self.rates as f64),
            token_hit_rate: (tokens > 0.0).then(|| self.cached as f64 / tokens),
            input_length: self.input.summary(&self.percentiles),
            output_length: self.output.summary(&self.percentiles),
        }
    }
}

impl Statistic for Window {
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        self.requests += 1;
        self.late += u64::from(seen.timestamp.zip(self.start).is_some_and(|(t, start)| t < start));
        self.input.record(seen.input_length);
        if let Some(length) = seen.output_length {
            self.output.record(length);
        }
        if seen.blocks.is_some() {
            self.tokens_with_ids += u128::from(seen.input_length);
        }
        if let (Some(cached), Some(blocks)) = (&seen.cached, seen.blocks) {
            self.cached += u128::from(cached.tokens);
            self.new_blocks += u64::from(cached.lookup.new_blocks());
            if blocks > 0 {
                self.rates += 1;
                self.rate_sum += f64::from(cached.blocks) / f64::from(blocks);
            }
        }
        Ok(())
    }

    /// Windows are reported as they close.
    fn report(&self, _: &Known, _: &mut Report) {}
}

/// A distribution that begins anew with each window: exact sums and extremes, percentiles from an
/// `HdrHistogram` of three digits.
#[derive(Default)]
struct WindowLengths {
    sum: u128,
    squares: f64,
    histogram: Option<Histogram<u64>>,
    min: u64,
    max: u64,
}

impl WindowLengths {
    fn record(&mut self, value: u64) {
        if self.histogram.is_none() {
            // Three digits are within the library's limits, so this cannot fail.
            self.histogram = Histogram::new(3).ok();
            self.min = value;
        }
        if let Some(histogram) = &mut self.histogram {
            // It grows with its values, so none is out of range.
            histogram.record(value).ok();
        }
        self.sum += u128::from(value);
        self.squares += value as f64 * value as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn summary(&self, percentiles: &[f64]) -> Option<Summary> {
        let histogram = self.histogram.as_ref()?;
        let n = histogram.len() as f64;
        let mean = self.sum as f64 / n;
        let at = |&p: &f64| histogram.value_at_percentile(p).clamp(self.min, self.max) as f64;
        Some(Summary {
            mean,
            std: (self.squares / n - mean * mean).max(0.0).sqrt(),
            min: self.min as f64,
            max: self.max as f64,
            percentiles: percentiles.iter().map(at).collect(),
            percents: percentiles.to_vec(),
            bins: Vec::new(),
        })
    }
}
