//! The distribution of a length: exact sums, exact percentiles in the usual range.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use hdrhistogram::Histogram;

use crate::record::MAX_LENGTH;
use crate::stats::summary::{Bin, Summary, interpolate, length_edges};

/// Values below this are counted one by one, so their percentiles are exact.
pub const EXACT_BELOW: u64 = 1 << 18;

/// Different values that a [`Distribution::small`] one always counts in a table, and bytes for each.
const FEW: usize = 1024;
const FEW_BYTES: usize = 40;

/// Counts of whole numbers up to [`MAX_LENGTH`].
///
/// Count, sum, sum of squares, minimum and maximum are exact. Order statistics are exact for values
/// below [`EXACT_BELOW`], which have a counter each (only the pages that are used become resident)
/// and nothing else: sums are taken over the counters when they are asked for. Larger values go into
/// an `HdrHistogram` of five significant digits.
#[derive(Clone)]
pub struct Distribution {
    max: u64,
    exact: Vec<u32>,
    /// How often a counter has passed the end of 32 bits, by its value.
    carried: BTreeMap<u64, u64>,
    beyond: Option<Beyond>,
    /// All values, while there are no counters.
    few: Option<HashMap<u64, u64, RandomState>>,
}

/// Values that have no counter of their own.
#[derive(Clone)]
struct Beyond {
    histogram: Histogram<u64>,
    totals: Totals,
}

/// Exact sums over values.
#[derive(Clone, Copy)]
struct Totals {
    count: u64,
    sum: u128,
    squares: u128,
    min: u64,
}

impl Totals {
    const NONE: Self = Self { count: 0, sum: 0, squares: 0, min: u64::MAX };

    fn add(&mut self, value: u64, count: u64) {
        let sum = u128::from(value) * u128::from(count);
        self.count += count;
        self.sum += sum;
        self.squares += u128::from(value) * sum;
        self.min = self.min.min(value);
    }

    /// Population standard deviation from exact sums: n * sum of squares - square of the sum.
    fn deviation(&self) -> f64 {
        let n = u128::from(self.count);
        let exact = n.checked_mul(self.squares).zip(self.sum.checked_mul(self.sum));
        match exact {
            Some((a, b)) => (a - b) as f64 / self.count as f64 / self.count as f64,
            None => {
                // Only beyond 10^18 tokens in all: there the mean's square is close enough.
                let mean = self.sum as f64 / self.count as f64;
                (self.squares as f64 / self.count as f64 - mean * mean).max(0.0)
            }
        }
        .sqrt()
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            max: 0,
            // Zeroed memory comes from the system untouched: 1 MiB of address space, not of memory.
            exact: vec![0; EXACT_BELOW as usize],
            carried: BTreeMap::new(),
            beyond: None,
            few: None,
        }
    }
}

impl Distribution {
    /// One of many: it takes little memory as long as it has few different values.
    pub(super) fn small() -> Self {
        let few = Some(HashMap::default());
        Self { max: 0, exact: Vec::new(), carried: BTreeMap::new(), beyond: None, few }
    }

    /// Bytes in use, if all counters up to the largest value are.
    pub(super) fn bytes(&self) -> usize {
        let counters = if self.few.is_some() { 0 } else { self.counter_bytes() };
        let beyond =
            self.beyond.as_ref().map_or(0, |beyond| beyond.histogram.distinct_values() * size_of::<u64>());
        counters + beyond + self.few.as_ref().map_or(0, |few| FEW_BYTES * few.len())
    }

    fn counter_bytes(&self) -> usize {
        (self.max + 1).min(EXACT_BELOW) as usize * size_of::<u32>()
    }

    /// The same with counters.
    fn grown(&self) -> Self {
        let mut grown = Self { max: self.max, ..Self::default() };
        for (&value, &count) in self.few.iter().flatten() {
            match grown.exact.get_mut(value as usize) {
                Some(counter) => {
                    *counter = count as u32;
                    if count >> 32 > 0 {
                        grown.carried.insert(value, count >> 32);
                    }
                }
                None => grown.add_beyond(value, count),
            }
        }
        grown
    }

    /// Counts one value of at most [`MAX_LENGTH`].
    #[inline]
    pub fn record(&mut self, value: u64) {
        debug_assert!(value <= MAX_LENGTH);
        self.max = self.max.max(value);
        match self.exact.get_mut(value as usize) {
            Some(counter) => {
                *counter = counter.wrapping_add(1);
                if *counter == 0 {
                    self.carry(value);
                }
            }
            None => self.record_beyond(value),
        }
    }

    #[cold]
    fn carry(&mut self, value: u64) {
        *self.carried.entry(value).or_default() += 1;
    }

    #[cold]
    fn record_beyond(&mut self, value: u64) {
        let Some(few) = &mut self.few else { return self.add_beyond(value, 1) };
        *few.entry(value).or_default() += 1;
        let different = few.len();
        if different > FEW && different * FEW_BYTES > self.counter_bytes() {
            *self = self.grown();
        }
    }

    fn add_beyond(&mut self, value: u64, count: u64) {
        if self.beyond.is_none() {
            // Five digits are within the library's limits, so this cannot fail.
            let histogram = Histogram::new(5).ok();
            self.beyond = histogram.map(|histogram| Beyond { histogram, totals: Totals::NONE });
        }
        if let Some(beyond) = &mut self.beyond {
            // The histogram grows with its values, so none is out of range.
            beyond.histogram.record_n(value, count).ok();
            beyond.totals.add(value, count);
        }
    }

    /// The values with a counter that occurred, rising, and how often.
    fn counted(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let end = self.max.saturating_add(1).min(EXACT_BELOW) as usize;
        let carried = |value: u64| self.carried.get(&value).map_or(0, |carries| carries << 32);
        // Looked up only where there is one.
        let any = !self.carried.is_empty();
        let counters = (0..).zip(&self.exact[..end]);
        let counted = counters
            .map(move |(value, &counter)| (value, u64::from(counter) + if any { carried(value) } else { 0 }));
        counted.filter(|&(_, count)| count > 0)
    }

    fn totals(&self) -> Totals {
        if self.few.is_some() {
            return self.grown().totals();
        }
        let mut totals = self.beyond.as_ref().map_or(Totals::NONE, |beyond| beyond.totals);
        self.counted().for_each(|(value, count)| totals.add(value, count));
        totals
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.totals().count
    }

    /// Sum of all values.
    pub fn sum(&self) -> u128 {
        self.totals().sum
    }

    /// The summary, or `None` without values. `percentiles` are in percent.
    pub fn summary(&self, percentiles: &[f64]) -> Option<Summary> {
        if self.few.is_some() {
            return self.grown().summary(percentiles);
        }
        let totals = self.totals();
        if totals.count == 0 {
            return None;
        }
        let percentile = |&p: &f64| interpolate(p, totals.count, self.values(totals.min));
        Some(Summary {
            mean: totals.sum as f64 / totals.count as f64,
            std: totals.deviation(),
            min: totals.min as f64,
            max: self.max as f64,
            percentiles: percentiles.iter().map(percentile).collect(),
            percents: percentiles.to_vec(),
            bins: Vec::new(),
        })
    }

    /// How many values there are in each bin of lengths, from that of the smallest to that of the largest.
    pub(super) fn bins(&self) -> Vec<Bin> {
        if self.few.is_some() {
            return self.grown().bins();
        }
        let edges = length_edges(self.max);
        let mut bins: Vec<Bin> = edges
            .windows(2)
            .map(|edge| {
                let (from, to) = (edge[0], edge[1]);
                let exact = &self.exact[from.min(EXACT_BELOW) as usize..to.min(EXACT_BELOW) as usize];
                let carries: u64 = self.carried.range(from..to).map(|(_, carries)| carries << 32).sum();
                let count = exact.iter().map(|&count| u64::from(count)).sum::<u64>() + carries;
                Bin { from: from as f64, to: to as f64, count }
            })
            .collect();
        for step in self.beyond.iter().flat_map(|beyond| beyond.histogram.iter_recorded()) {
            let value = step.value_iterated_to().clamp(EXACT_BELOW, self.max);
            let bin = edges.partition_point(|&edge| edge <= value).saturating_sub(1);
            if let Some(bin) = bins.get_mut(bin) {
                bin.count += step.count_since_last_iteration();
            }
        }
        let first = bins.iter().position(|bin| bin.count > 0).unwrap_or(bins.len());
        bins.split_off(first)
    }

    /// All values, rising, and how often they occur; `min` is the smallest.
    fn values(&self, min: u64) -> impl Iterator<Item = (f64, u64)> + '_ {
        let beyond = self.beyond.iter().flat_map(|beyond| beyond.histogram.iter_recorded());
        let value = move |value: u64| value.clamp(min, self.max) as f64;
        let beyond =
            beyond.map(move |step| (value(step.value_iterated_to()), step.count_since_last_iteration()));
        self.counted().map(|(value, count)| (value as f64, count)).chain(beyond)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(values: &[u64], p: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        interpolate(p, sorted.len() as u64, sorted.iter().map(|&value| (value as f64, 1)))
    }

    fn of(values: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        values.iter().for_each(|&v| distribution.record(v));
        distribution
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn below_the_limit_every_percentile_is_exact(
            values in prop::collection::vec(0..EXACT_BELOW, 1..200), p in 0.0..=100.0f64
        ) {
            let summary = of(&values).summary(&[p]).unwrap();
            prop_assert_eq!(summary.percentiles[0], naive(&values, p));
            let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
            prop_assert_eq!(summary.mean, mean);
        }

        #[test]
        fn beyond_the_limit_percentiles_have_five_digits(
            values in prop::collection::vec(0..MAX_LENGTH, 1..200), p in 0.0..=100.0f64
        ) {
            let summary = of(&values).summary(&[p]).unwrap();
            let exact = naive(&values, p);
            let found = summary.percentiles[0];
            prop_assert!((found - exact).abs() <= exact * 1e-5, "{} {}", found, exact);
            prop_assert_eq!(summary.max, *values.iter().max().unwrap() as f64);
        }
    }

    #[test]
    fn bins_hold_every_value_on_both_sides_of_the_limit() {
        let values = [0, 3, 3, 700, EXACT_BELOW - 1, EXACT_BELOW, 5_000_000, 5_000_001];
        let bins = of(&values).bins();
        let holds = |bin: &Bin, value: u64| bin.from <= value as f64 && (value as f64) < bin.to;
        for bin in &bins {
            let expected = values.iter().filter(|&&value| holds(bin, value)).count() as u64;
            assert_eq!(bin.count, expected, "{bin:?}");
        }
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), values.len() as u64);
        assert!(bins.windows(2).all(|two| two[0].to == two[1].from));
        assert_eq!((of(&[]).bins(), of(&[9]).bins().len()), (Vec::new(), 1));
    }

    #[test]
    fn a_small_one_is_the_same_whatever_it_grows_to() {
        let mut rng = fastrand::Rng::with_seed(1);
        for different in [0, 1, FEW, FEW + 1, 100 * FEW] {
            let (mut small, mut large) = (Distribution::small(), Distribution::default());
            let values: Vec<u64> = (0..different).map(|_| rng.u64(..1 << 40) >> rng.u64(..40)).collect();
            for &value in values.iter().chain(&values) {
                small.record(value);
                large.record(value);
            }
            let facts = |d: &Distribution| {
                let percentiles: Vec<f64> = (0..=100).map(f64::from).collect();
                (d.count(), d.sum(), d.bins(), d.summary(&percentiles).map(|s| format!("{s:?}")))
            };
            assert_eq!(facts(&small), facts(&large), "{different}");
            assert_eq!(small.few.is_some(), different <= FEW + 1, "{different}");
        }
    }

    #[test]
    fn the_limit_itself_is_where_exactness_ends() {
        let values = [EXACT_BELOW - 1, EXACT_BELOW, EXACT_BELOW + 1];
        let summary = of(&values).summary(&[0.0, 50.0, 100.0]).unwrap();
        assert_eq!(summary.percentiles[0], (EXACT_BELOW - 1) as f64);
        assert!((summary.percentiles[1] - EXACT_BELOW as f64).abs() < 3.0);
        assert_eq!(summary.max, (EXACT_BELOW + 1) as f64);
    }

    #[test]
    fn a_counter_passes_the_end_of_its_bits() {
        let mut distribution = of(&[3, 5]);
        distribution.exact[3] = u32::MAX;
        distribution.record(3);
        // 2^32 times 3, then a 5.
        assert_eq!(distribution.count(), (1 << 32) + 1);
        assert_eq!(distribution.values(3).collect::<Vec<_>>(), [(3.0, 1 << 32), (5.0, 1)]);
    }

    #[test]
    fn no_value_no_summary() {
        assert!(of(&[]).summary(&[50.0]).is_none());
    }

    #[test]
    fn the_largest_lengths_do_not_overflow() {
        let summary = of(&[MAX_LENGTH; 1000]).summary(&[]).unwrap();
        assert_eq!((summary.mean, summary.std), (MAX_LENGTH as f64, 0.0));
    }
}
