//! The distributions that are final when a request arrives.

use crate::error::Invalid;
use crate::stats::accuracy::Accuracy;
use crate::stats::distribution::Distribution;
use crate::stats::rates::RateDistribution;
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};
use crate::stats::{Bound, Report};

/// Lengths and hit rates of requests.
pub(super) struct Lengths {
    input: Distribution,
    output: Distribution,
    cached: Distribution,
    hit_rate: RateDistribution,
}

impl Lengths {
    /// No request yet. `distribution` makes those of lengths; that of rates stays within a part of `budget`.
    pub(super) fn new(distribution: fn() -> Distribution, budget: Option<usize>) -> Self {
        let [input, output, cached] = [(); 3].map(|()| distribution());
        Self { input, output, cached, hit_rate: RateDistribution::within(budget) }
    }
}

impl Statistic for Lengths {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        self.input.record(seen.input_length);
        if let Some(length) = seen.output_length {
            self.output.record(length);
        }
        if let (Some(cached), Some(blocks)) = (&seen.cached, seen.blocks) {
            self.cached.record(cached.tokens);
            if blocks > 0 {
                self.hit_rate.record(cached.blocks, blocks);
            }
        }
        Ok(())
    }

    fn distribution_bytes(&self) -> usize {
        self.input.bytes() + self.output.bytes() + self.cached.bytes() + self.hit_rate.bytes()
    }

    fn mark(bound: &Bound, report: &mut Report) {
        if bound.has_forgotten() {
            report.hit_rate.accuracy = Accuracy::AtLeast;
            report.cached_length.accuracy = Accuracy::AtLeast;
        }
    }

    fn report(&self, known: &Known, report: &mut Report) {
        report.input_tokens = self.input.sum();
        report.output_tokens = self.output.sum();
        report.input_length.value = known.summary(&self.input);
        report.output_length.value = known.summary(&self.output);
        report.cached_length.value = known.summary(&self.cached);
        let hit_rate = self.hit_rate.summary(known.percentiles);
        report.hit_rate.value = known.charted(hit_rate, || self.hit_rate.bins());
    }
}
