//! When requests arrive: duration, rates, gaps.
//!
//! Trace time is the running maximum of the timestamps. A late record (stamped before one that was
//! read earlier) counts at the time that is open when it is read.

use crate::error::Invalid;
use crate::stats::figures::{ArrivalFigures, Report, WrongClock};
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};

/// Peak rates are counted over whole seconds of trace time.
const PEAK_WINDOW_MS: f64 = 1000.0;

/// Dispersion is that of the counts in windows of ten seconds.
const DISPERSION_WINDOW_MS: f64 = 10_000.0;

/// A clock is taken to be wrong if a record is dated by more than this after those before it, and one behind it is
/// dated as these are.
const WRONG_MS: f64 = 3_600_000.0;

/// With fewer different times, requests that come together may have done so.
const ENOUGH_TIMES: u64 = 10;

/// Running state of the arrivals, in constant memory.
#[derive(Default)]
pub(super) struct Arrivals {
    requests: u64,
    late: u64,
    first: f64,
    earliest: f64,
    now: f64,
    /// Welford's running mean and sum of squared differences of the gaps.
    gap_mean: f64,
    gap_squares: f64,
    /// The smallest gap above zero, and how many there are above zero.
    least_gap: Option<f64>,
    steps: u64,
    second: OpenSpan,
    peak: u64,
    ten_seconds: OpenSpan,
    /// The last record whose time is long after those before it: its line, and the latest time of these.
    jump: Option<(u64, f64)>,
    wrong: Option<WrongClock>,
    /// Sum of squares of the counts of the windows of ten seconds that are closed.
    squares: u128,
    first_window: f64,
}

/// Requests in the open window of trace time [index * length, (index + 1) * length).
#[derive(Clone, Copy, Default)]
struct OpenSpan {
    index: f64,
    /// Where the window ends.
    end: f64,
    requests: u64,
}

impl OpenSpan {
    /// The window of that length around `now`, without requests.
    fn around(now: f64, length: f64) -> Self {
        let index = (now / length).floor();
        Self { index, end: (index + 1.0) * length, requests: 0 }
    }

    /// Counts a request at `now`; returns the count of the window that this closes, if any.
    #[inline]
    fn count(&mut self, now: f64, length: f64) -> Option<u64> {
        let mut closed = None;
        // Compared before divided: most requests are in the open window.
        if now >= self.end {
            let next = Self::around(now, length);
            if next.index > self.index {
                closed = Some(self.requests);
                *self = next;
            }
        }
        self.requests += 1;
        closed
    }
}

impl Arrivals {
    /// Takes the next timestamp, in milliseconds, of a record on a line, which is 0 if that is not known.
    #[inline]
    pub(super) fn record(&mut self, timestamp: f64, line: u64) {
        if self.requests == 0 {
            (self.first, self.earliest, self.now) = (timestamp, timestamp, timestamp);
            self.second = OpenSpan::around(timestamp, PEAK_WINDOW_MS);
            self.ten_seconds = OpenSpan::around(timestamp, DISPERSION_WINDOW_MS);
            self.first_window = self.ten_seconds.index;
        } else {
            self.earliest = self.earliest.min(timestamp);
            if timestamp < self.now {
                self.late += 1;
                self.look_for_wrong_clock(timestamp);
            }
            let gap = (timestamp - self.now).max(0.0);
            if gap > WRONG_MS {
                self.jump = Some((line, self.now));
            }
            self.now = self.now.max(timestamp);
            if gap > 0.0 {
                self.least_gap = Some(self.least_gap.map_or(gap, |least| least.min(gap)));
                self.steps += 1;
            }
            let delta = gap - self.gap_mean;
            self.gap_mean += delta / self.requests as f64;
            self.gap_squares += delta * (gap - self.gap_mean);
        }
        self.requests += 1;
        self.second.count(self.now, PEAK_WINDOW_MS);
        self.peak = self.peak.max(self.second.requests);
        if let Some(requests) = self.ten_seconds.count(self.now, DISPERSION_WINDOW_MS) {
            self.squares += u128::from(requests) * u128::from(requests);
        }
    }

    /// A late record tells whether the time that it is late for was a jump of one clock.
    fn look_for_wrong_clock(&mut self, timestamp: f64) {
        if let Some((line, before)) = self.jump
            && self.wrong.is_none()
            && self.now - timestamp > WRONG_MS
            && timestamp > before - WRONG_MS
        {
            self.wrong = Some(WrongClock { line, ahead_s: (self.now - before) / 1000.0 });
        }
    }

    /// Variance over mean of the counts per ten seconds, from the first window to the open one.
    fn dispersion(&self) -> Option<f64> {
        let windows = self.ten_seconds.index - self.first_window + 1.0;
        let open = u128::from(self.ten_seconds.requests);
        let mean = self.requests as f64 / windows;
        let variance = (self.squares + open * open) as f64 / windows - mean * mean;
        (windows > 1.0).then(|| variance / mean)
    }

    /// The figures so far, or `None` without any timestamp.
    pub(super) fn figures(&self) -> Option<ArrivalFigures> {
        if self.requests == 0 {
            return None;
        }
        let duration_s = (self.now - self.earliest) / 1000.0;
        let gaps = self.requests - 1;
        let mean = (gaps > 0).then(|| (self.now - self.first) / gaps as f64);
        let deviation = (self.gap_squares / gaps.max(1) as f64).sqrt();
        let in_steps = self.steps + 1 >= ENOUGH_TIMES && self.requests > 2 * (self.steps + 1);
        let step_ms = self.least_gap.filter(|_| in_steps);
        Some(ArrivalFigures {
            requests: self.requests,
            duration_s,
            mean_rate: (duration_s > 0.0).then(|| self.requests as f64 / duration_s),
            peak_rate: self.peak,
            // Two steps are never in the same second.
            peak_step_rate: step_ms
                .filter(|&step| step > 1000.0)
                .map(|step| self.peak as f64 / step * 1000.0),
            step_ms,
            interarrival_mean_ms: mean,
            interarrival_cv: mean.filter(|&m| m > 0.0).map(|m| deviation / m),
            dispersion_10s: self.dispersion(),
            late: self.late,
            wrong_clock: self.wrong,
            first_ms: self.first,
            last_ms: self.now,
        })
    }
}

impl Statistic for Arrivals {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if let Some(timestamp) = seen.timestamp {
            self.record(timestamp, seen.line);
        }
        Ok(())
    }

    fn report(&self, _: &Known, report: &mut Report) {
        report.arrivals = self.figures();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(timestamps: &[f64]) -> ArrivalFigures {
        let mut arrivals = Arrivals::default();
        timestamps.iter().zip(1..).for_each(|(&t, line)| arrivals.record(t, line));
        arrivals.figures().unwrap()
    }

    #[test]
    fn a_regular_arrival_has_no_variation() {
        let figures = of(&[0.0, 500.0, 1000.0, 1500.0, 2000.0]);
        assert_eq!((figures.duration_s, figures.mean_rate), (2.0, Some(2.5)));
        assert_eq!((figures.interarrival_mean_ms, figures.interarrival_cv), (Some(500.0), Some(0.0)));
        assert_eq!((figures.peak_rate, figures.late), (2, 0));
    }

    #[test]
    fn one_clock_that_is_hours_ahead_is_found() {
        let hour = 3_600_000.0;
        let wrong = |times: &[f64]| of(times).wrong_clock.map(|wrong| (wrong.line, wrong.ahead_s));
        assert_eq!(wrong(&[0.0, 5.0, 48.0 * hour, 10.0, 20.0]), Some((3, 172_799.995)));
        // A night without requests, and files in the wrong order.
        assert_eq!(wrong(&[0.0, 8.0 * hour, 8.0 * hour - 5.0, 8.0 * hour + 5.0]), None);
        assert_eq!(wrong(&[24.0 * hour, 25.5 * hour, 0.0, hour]), None);
    }

    #[test]
    fn a_late_record_counts_in_the_open_second() {
        let figures = of(&[0.0, 5000.0, 100.0, 5100.0]);
        assert_eq!((figures.late, figures.peak_rate, figures.duration_s), (1, 3, 5.1));
    }

    #[test]
    fn the_peak_of_a_long_step_is_spread_over_it() {
        let times = |n: u32, step: u32, each: u32| -> ArrivalFigures {
            of(&(0..n).map(|i| f64::from(i / each * step)).collect::<Vec<_>>())
        };
        let figures = times(66, 3000, 6);
        assert_eq!((figures.peak_rate, figures.peak_step_rate), (6, Some(2.0)));
        // Steps of a second need nothing, times that differ are no steps, and a few may be bursts.
        assert_eq!(times(66, 1000, 6).peak_step_rate, None);
        assert_eq!(times(66, 3000, 2).peak_step_rate, None);
        assert_eq!(times(54, 3000, 6).peak_step_rate, None);
    }

    #[test]
    fn one_request_or_equal_times_have_no_rate() {
        assert_eq!(of(&[7.0]).interarrival_mean_ms, None);
        let figures = of(&[7.0, 7.0]);
        assert_eq!((figures.mean_rate, figures.interarrival_cv, figures.peak_rate), (None, None, 2));
    }
}
