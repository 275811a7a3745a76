//! Drawing from what was observed, and scaling what was drawn.

use fastrand::Rng;

/// Observed values: each is drawn as often as it occurred.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Observed<T> {
    /// Values in rising order, equal ones next to each other; in any order until sorted.
    values: Vec<T>,
}

impl<T: Copy + PartialOrd> Observed<T> {
    /// What was observed, in any order.
    pub(super) fn new(values: Vec<T>) -> Self {
        let mut observed = Self { values };
        observed.sort();
        observed
    }

    pub(super) fn sort(&mut self) {
        self.values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    }

    /// Appends a value that occurred so often; [`Observed::sort`] must follow.
    pub(super) fn extend(&mut self, value: T, count: usize) {
        self.values.extend(std::iter::repeat_n(value, count));
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The distinct values and how often each occurred.
    pub(super) fn counts(&self) -> Vec<(T, u64)> {
        let groups = self.values.chunk_by(|a, b| a == b);
        groups.filter_map(|group| Some((*group.first()?, group.len() as u64))).collect()
    }

    pub(super) fn map(&mut self, change: impl Fn(T) -> T) {
        self.values.iter_mut().for_each(|value| *value = change(*value));
    }

    /// One of them, or `None` if nothing was observed.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<T> {
        (!self.is_empty()).then(|| self.values[rng.usize(..self.values.len())])
    }
}

impl<T: Copy + PartialOrd + Into<f64>> Observed<T> {
    /// Their mean, or `None` if nothing was observed.
    pub(super) fn mean(&self) -> Option<f64> {
        let sum: f64 = self.values.iter().map(|&value| value.into()).sum();
        (!self.is_empty()).then(|| sum / self.values.len() as f64)
    }
}

/// More blocks than any request that can be written has, and few enough for sums not to overflow.
pub(super) const MOST_SCALED: u32 = 1 << 29;

/// `count` blocks times `factor`, to the nearest whole number and at least one; none stay none.
pub(super) fn scaled_blocks(count: u32, factor: f64) -> u32 {
    if factor == 1.0 || count == 0 {
        return count;
    }
    (f64::from(count) * factor).round_ties_even().clamp(1.0, f64::from(MOST_SCALED)) as u32
}

/// A draw from the exponential distribution.
pub(super) fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    // 1 - [0, 1) is never 0.
    -mean * (1.0 - rng.f64()).ln()
}
