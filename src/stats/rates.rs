//! The distribution of hit rates: exact, because each is a fraction of small whole numbers.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::stats::summary::{Bin, Summary, interpolate};

/// The most distinct fractions that are counted exactly; far more than real traces have.
const EXACT_FRACTIONS: usize = 1 << 20;

/// The least, however little memory there is.
const ALWAYS_EXACT: usize = 1 << 12;

/// Counts of the fractions k / n.
pub struct RateDistribution {
    /// So many distinct fractions are counted exactly; beyond that, they are rounded to this denominator.
    limit: usize,
    /// By k and n in the two halves of one word.
    counts: HashMap<u64, u64, RandomState>,
    count: u64,
}

impl Default for RateDistribution {
    fn default() -> Self {
        Self { limit: EXACT_FRACTIONS, counts: HashMap::default(), count: 0 }
    }
}

impl RateDistribution {
    /// One that takes at most a small part of a budget of bytes.
    pub(super) fn within(budget: Option<usize>) -> Self {
        // At most twice as many as the limit, at some 40 bytes each.
        let limit = budget.map_or(EXACT_FRACTIONS, |budget| 1 << (budget / 256).max(1).ilog2());
        Self { limit: limit.clamp(ALWAYS_EXACT, EXACT_FRACTIONS), ..Self::default() }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        40 * self.counts.len()
    }

    /// Counts the fraction `k / n`; n is not 0.
    #[inline]
    pub fn record(&mut self, k: u32, n: u32) {
        self.count += 1;
        let exact = u64::from(k) << 32 | u64::from(n);
        if let Some(counter) = self.counts.get_mut(&exact) {
            *counter += 1;
            return;
        }
        let fraction = if self.counts.len() < self.limit {
            exact
        } else {
            let whole = self.limit as u64;
            (f64::from(k) / f64::from(n) * whole as f64).round() as u64 * (1 << 32) + whole
        };
        *self.counts.entry(fraction).or_default() += 1;
    }

    /// How many fractions there are in each twentieth, 1 in the last one; nothing without fractions.
    pub(super) fn bins(&self) -> Vec<Bin> {
        const BINS: u64 = 20;
        if self.count == 0 {
            return Vec::new();
        }
        let edge = |bin: u64| bin as f64 / BINS as f64;
        let mut bins: Vec<Bin> =
            (0..BINS).map(|bin| Bin { from: edge(bin), to: edge(bin + 1), count: 0 }).collect();
        for (&kn, &count) in &self.counts {
            let (k, n) = (kn >> 32, kn & 0xffff_ffff);
            bins[(k * BINS / n).min(BINS - 1) as usize].count += count;
        }
        bins
    }

    /// The summary, or `None` without values. `percentiles` are in percent.
    pub fn summary(&self, percentiles: &[f64]) -> Option<Summary> {
        let quotient = |kn: u64| (kn >> 32) as f64 / (kn & 0xffff_ffff) as f64;
        let mut values: Vec<(f64, u64)> =
            self.counts.iter().map(|(&kn, &count)| (quotient(kn), count)).collect();
        // Equal fractions give equal quotients, so their order among themselves does not matter.
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (&(min, _), &(max, _)) = values.first().zip(values.last())?;
        let n = self.count as f64;
        let mean = values.iter().map(|&(value, count)| value * count as f64).sum::<f64>() / n;
        let square = |value: f64| (value - mean) * (value - mean);
        let variance = values.iter().map(|&(value, count)| square(value) * count as f64).sum::<f64>() / n;
        let percentile = |&p: &f64| interpolate(p, self.count, values.iter().copied());
        Some(Summary {
            mean,
            std: variance.sqrt(),
            min,
            max,
            percentiles: percentiles.iter().map(percentile).collect(),
            percents: percentiles.to_vec(),
            bins: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_fractions_of_different_terms_are_one_value() {
        let mut rates = RateDistribution::default();
        for (k, n) in [(1, 2), (2, 4), (3, 6), (0, 5), (7, 7)] {
            rates.record(k, n);
        }
        let summary = rates.summary(&[25.0, 50.0, 75.0]).unwrap();
        assert_eq!(summary.percentiles, [0.5, 0.5, 0.5]);
        assert_eq!((summary.min, summary.max, summary.mean), (0.0, 1.0, 0.5));
        let counts: Vec<u64> = rates.bins().iter().map(|bin| bin.count).collect();
        assert_eq!((counts[0], counts[10], counts[19], counts.iter().sum()), (1, 3, 1, 5));
    }

    #[test]
    fn too_many_fractions_are_rounded_and_still_counted() {
        for budget in [None, Some(14 << 20), Some(0)] {
            let mut rates = RateDistribution::within(budget);
            for n in 1..=1500 {
                for k in 0..n {
                    rates.record(k, n);
                }
            }
            let summary = rates.summary(&[50.0]).unwrap();
            assert!(rates.counts.len() <= 2 * rates.limit + 1);
            assert!(budget.is_none_or(|budget| rates.bytes() <= (budget / 2).max(400_000)));
            assert!((summary.percentiles[0] - 0.4995).abs() < 1e-3);
        }
    }
}
