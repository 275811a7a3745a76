//! A distribution in a few numbers.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Mean, deviation and order statistics of one quantity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// The percentiles asked for, in that order, with linear interpolation between closest ranks.
    pub percentiles: Vec<f64>,
    /// Which ones these are, in percent.
    pub percents: Vec<f64>,
    /// How many values there are by range, if charts are asked for: lengths rise by a quarter of a doubling,
    /// 0 has its own bin; rates are in twentieths, a rate of 1 is in the last one.
    pub bins: Vec<Bin>,
}

impl Summary {
    /// The statistics in order, by their names in JSON.
    pub fn statistics(&self) -> Vec<(String, f64)> {
        let mut list = vec![("mean".into(), self.mean), ("std".into(), self.std), ("min".into(), self.min)];
        let names = self.percents.iter().map(|&percent| percentile_name(percent));
        list.extend(names.zip(self.percentiles.iter().copied()));
        list.push(("max".into(), self.max));
        list
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let statistics = self.statistics();
        let mut map = serializer.serialize_map(Some(statistics.len()))?;
        for (name, value) in &statistics {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Bins of lengths for each doubling.
const BINS_PER_DOUBLING: i32 = 4;

/// Values from `from` up to but not including `to`, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Least value.
    pub from: f64,
    /// The least value of the next bin.
    pub to: f64,
    /// Requests whose value is in between.
    pub count: u64,
}

/// Edges of bins of lengths, rising: 0, 1, 2, and so on, up to the first one beyond `largest`.
pub(super) fn length_edges(largest: u64) -> Vec<u64> {
    let mut edges = vec![0];
    let mut exponent = 0;
    while edges.last().is_some_and(|&last| last <= largest) {
        let edge = 2_f64.powf(f64::from(exponent) / f64::from(BINS_PER_DOUBLING)).round() as u64;
        exponent += 1;
        if edges.last() != Some(&edge) {
            edges.push(edge);
        }
    }
    edges
}

/// `p25` for 25, `median` for 50, `p99.9` for 99.9.
pub fn percentile_name(percent: f64) -> String {
    if (percent - 50.0).abs() < f64::EPSILON { "median".into() } else { format!("p{percent}") }
}

/// Percentile `p` of `count` values, which rise and come with how often they occur: linear interpolation
/// between closest ranks, as numpy does by default and in the same order of operations. No values, no
/// number.
pub(super) fn interpolate(p: f64, count: u64, mut values: impl Iterator<Item = (f64, u64)>) -> f64 {
    let position = p / 100.0 * (count - 1) as f64;
    let low = position.floor();
    let ranks = (low as u64, (low as u64 + 1).min(count - 1));
    let (mut below, mut at_low) = (0, None);
    let between = values.find_map(|(value, times)| {
        below += times;
        if ranks.0 >= below {
            return None;
        }
        let a = *at_low.get_or_insert(value);
        (ranks.1 < below).then_some(a + (value - a) * (position - low))
    });
    between.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_distinct_whole_numbers() {
        assert_eq!(length_edges(12), [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13]);
        assert_eq!(length_edges(0), [0, 1]);
        let edges = length_edges(1 << 40);
        assert!(edges.is_sorted_by(|a, b| a < b) && edges.len() < 200);
    }
}
