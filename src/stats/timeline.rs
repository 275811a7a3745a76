//! Requests by trace time, for charts, in constant memory.

use crate::error::Invalid;
use crate::stats::figures::{Bucket, Report, TimelineFigures};
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};

/// Buckets of time that are kept. When the trace outgrows them, each two become one.
pub const TIME_BUCKETS: usize = 256;

/// Buckets are joined for the figures while there are more than this and they hold fewer requests than
/// [`FULL`] each: of single requests there is no rate to see.
const FEW_BUCKETS: usize = 32;

/// Requests in a bucket, on average, that say something.
const FULL: u64 = 4;

/// Length of a bucket at first, in milliseconds.
const FIRST_LENGTH_MS: f64 = 125.0;

/// Arrivals by time, in [`TIME_BUCKETS`] buckets at most.
#[derive(Clone)]
pub(super) struct Timeline {
    /// Length of a bucket.
    length_ms: f64,
    start: f64,
    buckets: Vec<Bucket>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { length_ms: FIRST_LENGTH_MS, start: 0.0, buckets: Vec::new() }
    }
}

impl Timeline {
    /// Counts a request that arrives at `now`, the running maximum of the timestamps, with its prompt
    /// tokens if it has ids, and the cached ones of them.
    pub(super) fn count(&mut self, now: f64, tokens: u64, cached: u64) {
        if self.buckets.is_empty() {
            self.start = now;
        }
        while (now - self.start) / self.length_ms >= TIME_BUCKETS as f64 && self.length_ms.is_finite() {
            self.halve();
        }
        let index = ((now - self.start) / self.length_ms) as usize;
        if index >= self.buckets.len() {
            self.buckets.resize(index.min(TIME_BUCKETS - 1) + 1, Bucket::default());
        }
        let request = Bucket { requests: 1, tokens: tokens.into(), cached_tokens: cached.into() };
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.add(request);
        }
    }

    /// Makes one bucket of each two.
    fn halve(&mut self) {
        for pair in 0..self.buckets.len().div_ceil(2) {
            let mut sum = self.buckets[2 * pair];
            sum.add(self.buckets.get(2 * pair + 1).copied().unwrap_or_default());
            self.buckets[pair] = sum;
        }
        self.buckets.truncate(self.buckets.len().div_ceil(2));
        self.length_ms *= 2.0;
    }

    /// The buckets so far.
    pub(super) fn figures(&self) -> TimelineFigures {
        let mut joined = self.clone();
        let requests: u64 = self.buckets.iter().map(|bucket| bucket.requests).sum();
        while joined.buckets.len() > FEW_BUCKETS && requests < FULL * joined.buckets.len() as u64 {
            joined.halve();
        }
        TimelineFigures { length_s: joined.length_ms / 1000.0, buckets: joined.buckets }
    }
}

impl Statistic for Timeline {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if seen.timestamp.is_some() {
            let (tokens, cached) = seen.cached.map_or((0, 0), |cached| (seen.input_length, cached.tokens));
            self.count(seen.now, tokens, cached);
        }
        Ok(())
    }

    fn report(&self, _: &Known, report: &mut Report) {
        report.timeline = Some(self.figures());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_hold_what_arrived_in_their_time(
            gaps in prop::collection::vec((0..20_000_u64, 1..1000_u64), 1..200)
        ) {
            let mut timeline = Timeline::default();
            let mut now = 12_345.0;
            let mut arrivals = Vec::new();
            for (gap, tokens) in gaps {
                now += gap as f64;
                timeline.count(now, tokens, tokens / 2);
                arrivals.push((now, tokens));
            }
            let TimelineFigures { length_s, buckets } = timeline.figures();
            prop_assert!(buckets.len() <= TIME_BUCKETS);
            for (index, bucket) in buckets.iter().enumerate() {
                let of = |time: f64| ((time - arrivals[0].0) / 1000.0 / length_s) as usize == index;
                let inside: Vec<u64> = arrivals.iter().filter(|(t, _)| of(*t)).map(|&(_, n)| n).collect();
                prop_assert_eq!(bucket.requests, inside.len() as u64);
                prop_assert_eq!(bucket.tokens, u128::from(inside.iter().sum::<u64>()));
            }
        }
    }

    #[test]
    fn a_jump_over_ages_still_ends() {
        let mut timeline = Timeline::default();
        for now in [0.0, 1.0, 1e300, 1.1e300] {
            timeline.count(now, 1, 1);
        }
        let TimelineFigures { buckets, .. } = timeline.figures();
        assert!(buckets.len() <= TIME_BUCKETS);
        assert_eq!(buckets.iter().map(|bucket| bucket.requests).sum::<u64>(), 4);
    }
}
