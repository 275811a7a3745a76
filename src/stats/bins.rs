//! Counts of values by range, for charts.

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
