//! Regression trees.
//!
//! Grown as CART is (Breiman and others, 1984), best split first. A split may only separate what differs by a
//! step of [`GRID`], and both sides have to hold values of `min_count` sessions; so a threshold tells nothing
//! about one of them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::quantiles::sessions_up_to;

/// Thresholds are multiples of this: of a logarithm it is three per cent of the value.
const GRID: f32 = 1.0 / 32.0;

/// Thresholds that are tried per feature, at most.
const BINS: usize = 64;

/// Rows from which thresholds are taken, at most.
const SAMPLED: usize = 1 << 14;

/// What is summed is a multiple of this, so that sums are exact, in whatever order: the sums of a part of the rows can
/// be subtracted from those of all.
const UNIT: f64 = 1.0 / (1 << 28) as f64;

/// A place of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum TreeNode {
    /// A feature, its threshold, and the place to go on below or at the threshold; above it is the one after.
    Split(u8, f32, u32),
    /// Number of a leaf.
    Leaf(u32),
}

/// A tree; the first place is its root.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Tree {
    nodes: Vec<TreeNode>,
}

impl Tree {
    /// The leaf of a state.
    #[inline]
    pub(super) fn leaf(&self, features: &[f32]) -> usize {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                TreeNode::Leaf(leaf) => return leaf as usize,
                TreeNode::Split(feature, threshold, left) => {
                    at = left as usize + usize::from(features[usize::from(feature)] > threshold);
                }
            }
        }
    }

    /// Whether every way through it ends at one of so many leaves.
    pub(super) fn is_valid(&self, leaves: usize, features: usize) -> bool {
        let fits = |(at, node): (usize, &TreeNode)| match *node {
            TreeNode::Leaf(leaf) => (leaf as usize) < leaves,
            TreeNode::Split(feature, threshold, left) => {
                usize::from(feature) < features
                    && threshold.is_finite()
                    && left as usize > at
                    && (left as usize) < self.nodes.len() - 1
            }
        };
        !self.nodes.is_empty() && self.nodes.iter().enumerate().all(fits)
    }
}

/// Rows of features, cut into bins.
pub(super) struct Bins {
    width: usize,
    /// Thresholds of each feature, rising.
    edges: Vec<Vec<f32>>,
    /// Row by row.
    bins: Vec<u8>,
}

impl Bins {
    /// Of so many features a row.
    pub(super) fn new(features: &[f32], width: usize) -> Self {
        let count = features.len() / width;
        let sampled = || (0..count).step_by(count.div_ceil(SAMPLED).max(1));
        let sample = |feature: usize| sampled().map(|row| features[row * width + feature]).collect();
        let edges: Vec<Vec<f32>> = (0..width).map(|feature| edges(sample(feature))).collect();
        let bin = |(edges, &value): (&Vec<f32>, &f32)| edges.partition_point(|&edge| edge < value) as u8;
        let bins = features.chunks_exact(width).flat_map(|row| edges.iter().zip(row).map(bin)).collect();
        Self { width, edges, bins }
    }
}

/// What a tree is grown from: rows of features, and for each of them a value, a weight and a session.
pub(super) struct Rows<'a> {
    pub(super) bins: &'a Bins,
    /// Which of the features the tree is given.
    pub(super) columns: &'a [usize],
    pub(super) values: &'a [f32],
    pub(super) weights: &'a [f32],
    pub(super) sessions: &'a [u32],
}

/// How far a tree grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Rows of a leaf, at least; and the sessions that they are of.
    pub(super) min_rows: usize,
    pub(super) min_count: usize,
    /// Leaves, at most.
    pub(super) max_leaves: usize,
}

/// A leaf that may be split, and what that would gain.
struct Candidate {
    node: usize,
    rows: Range<usize>,
    histogram: Histogram,
    split: Split,
}

#[derive(Clone, Copy)]
struct Split {
    gain: f64,
    feature: usize,
    bin: u8,
}

/// The bins of each feature.
type Histogram = Vec<[Bin; BINS]>;

/// Weight, weighted sum and number of rows of a bin.
#[derive(Clone, Copy, Default)]
struct Bin {
    weight: f64,
    sum: f64,
    rows: u32,
}

impl Bin {
    fn add(self, other: Self) -> Self {
        Self { weight: self.weight + other.weight, sum: self.sum + other.sum, rows: self.rows + other.rows }
    }

    fn without(self, other: Self) -> Self {
        Self { weight: self.weight - other.weight, sum: self.sum - other.sum, rows: self.rows - other.rows }
    }

    /// What its mean explains.
    fn explained(self) -> f64 {
        if self.weight > 0.0 { self.sum * self.sum / self.weight } else { 0.0 }
    }
}

/// Grows a tree that explains `targets`, one for each row; returns it with the rows of each leaf.
pub(super) fn grow(rows: &Rows<'_>, targets: &[f32], growth: Growth) -> (Tree, Vec<Vec<u32>>) {
    let mut grower = Grower::new(rows, targets, growth);
    let all = 0..rows.values.len();
    let mut tree = Tree { nodes: vec![TreeNode::Leaf(0)] };
    let mut leaves = vec![(0, all.clone())];
    let histogram = grower.histogram(all.clone());
    let mut open: Vec<Candidate> = grower.candidate(0, all, histogram).into_iter().collect();
    while leaves.len() < growth.max_leaves {
        let best = open.iter().enumerate().max_by(|a, b| a.1.split.gain.total_cmp(&b.1.split.gain));
        let Some((best, _)) = best else { break };
        let Candidate { node, rows, histogram, split } = open.swap_remove(best);
        let middle = grower.partition(rows.clone(), split);
        let left = tree.nodes.len();
        let threshold = grower.edges(split.feature)[usize::from(split.bin)];
        tree.nodes[node] = TreeNode::Split(split.feature as u8, threshold, left as u32);
        tree.nodes.extend([TreeNode::Leaf(0); 2]);
        leaves.retain(|leaf| leaf.0 != node);
        let sides = [rows.start..middle, middle..rows.end];
        let histograms = grower.halves(histogram, &sides);
        for ((node, rows), histogram) in (left..).zip(sides).zip(histograms) {
            leaves.push((node, rows.clone()));
            open.extend(grower.candidate(node, rows, histogram));
        }
    }
    let mut members = Vec::with_capacity(leaves.len());
    for (number, (node, rows)) in leaves.into_iter().enumerate() {
        tree.nodes[node] = TreeNode::Leaf(number as u32);
        members.push(grower.order[rows].to_vec());
    }
    (tree, members)
}

struct Grower<'a> {
    rows: &'a Rows<'a>,
    growth: Growth,
    /// What each row adds to its bins.
    parts: Vec<Bin>,
    order: Vec<u32>,
    moved: Vec<u32>,
}

impl<'a> Grower<'a> {
    fn new(rows: &'a Rows<'a>, targets: &[f32], growth: Growth) -> Self {
        let part = |(&weight, &target): (&f32, &f32)| {
            let exact = |value: f64| (value / UNIT).round() * UNIT;
            let weight = f64::from(weight);
            Bin { weight: exact(weight), sum: exact(weight * f64::from(target)), rows: 1 }
        };
        Self {
            rows,
            growth,
            parts: rows.weights.iter().zip(targets).map(part).collect(),
            order: (0..rows.values.len() as u32).collect(),
            moved: Vec::new(),
        }
    }

    /// The sums of rows.
    fn histogram(&self, range: Range<usize>) -> Histogram {
        let mut histogram = vec![[Bin::default(); BINS]; self.rows.columns.len()];
        let stride = self.rows.bins.width;
        for &row in &self.order[range] {
            let row = row as usize;
            let part = self.parts[row];
            let bins = &self.rows.bins.bins[row * stride..(row + 1) * stride];
            for (histogram, &column) in histogram.iter_mut().zip(self.rows.columns) {
                let bin = &mut histogram[usize::from(bins[column]) % BINS];
                *bin = bin.add(part);
            }
        }
        histogram
    }

    /// The sums of both sides of a split: only the rows of the smaller one are added up.
    fn halves(&self, mut whole: Histogram, sides: &[Range<usize>; 2]) -> [Histogram; 2] {
        let smaller = usize::from(sides[1].len() < sides[0].len());
        let part = self.histogram(sides[smaller].clone());
        for (whole, part) in whole.iter_mut().flatten().zip(part.iter().flatten()) {
            *whole = whole.without(*part);
        }
        if smaller == 0 { [part, whole] } else { [whole, part] }
    }

    /// The best split of a leaf, if there is one.
    fn candidate(&self, node: usize, range: Range<usize>, histogram: Histogram) -> Option<Candidate> {
        let min_rows = self.growth.min_rows;
        if range.len() < 2 * min_rows {
            return None;
        }
        let all = histogram.first()?.iter().fold(Bin::default(), |all, bin| all.add(*bin));
        let mut splits: Vec<Split> = Vec::with_capacity(histogram.len());
        for (feature, bins) in histogram.iter().enumerate() {
            let (mut left, mut best) = (Bin::default(), Split { gain: 0.0, feature, bin: 0 });
            for (bin, part) in bins.iter().enumerate().take(self.edges(feature).len()) {
                left = left.add(*part);
                let right = all.without(left);
                if part.rows == 0 || (left.rows as usize) < min_rows {
                    continue;
                }
                if (right.rows as usize) < min_rows {
                    break;
                }
                let gain = left.explained() + right.explained() - all.explained();
                if gain > best.gain * (1.0 + 1e-12) {
                    best = Split { gain, feature, bin: bin as u8 };
                }
            }
            if best.gain > 1e-9 {
                splits.push(best);
            }
        }
        splits.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        let split = splits.into_iter().find(|split| self.tells_nothing_of_few(range.clone(), *split))?;
        Some(Candidate { node, rows: range, histogram, split })
    }

    /// Whether both sides of a split are of enough sessions.
    fn tells_nothing_of_few(&self, range: Range<usize>, split: Split) -> bool {
        let side = |below: bool| {
            let rows =
                self.order[range.clone()].iter().filter(move |&&row| self.is_below(row, split) == below);
            sessions_up_to(self.growth.min_count, rows.map(|&row| self.rows.sessions[row as usize]))
        };
        [true, false].into_iter().all(|below| side(below) >= self.growth.min_count)
    }

    fn is_below(&self, row: u32, split: Split) -> bool {
        let Bins { width, bins, .. } = self.rows.bins;
        bins[row as usize * width + self.rows.columns[split.feature]] <= split.bin
    }

    /// Thresholds of a feature that the tree is given.
    fn edges(&self, feature: usize) -> &[f32] {
        &self.rows.bins.edges[self.rows.columns[feature]]
    }

    /// Puts the rows below the threshold before the others, and says where those begin.
    fn partition(&mut self, range: Range<usize>, split: Split) -> usize {
        let mut moved = std::mem::take(&mut self.moved);
        moved.clear();
        let mut end = range.start;
        for at in range.clone() {
            let row = self.order[at];
            if self.is_below(row, split) {
                self.order[end] = row;
                end += 1;
            } else {
                moved.push(row);
            }
        }
        self.order[end..range.end].copy_from_slice(&moved);
        self.moved = moved;
        end
    }
}

/// At most `BINS - 1` thresholds on the grid that cut the values into parts of about the same size.
fn edges(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let on_grid = |value: f32| ((value / GRID).floor() + 0.5) * GRID;
    let Some((first, last)) = values.first().zip(values.last()) else { return Vec::new() };
    let (first, last) = (on_grid(*first), on_grid(*last));
    let mut edges: Vec<f32> =
        (0..BINS - 1).map(|i| on_grid(values[(i + 1) * (values.len() - 1) / BINS])).collect();
    // The ends of a feature with few values lie between quantiles.
    edges.push(first);
    edges.sort_unstable_by(f32::total_cmp);
    edges.dedup();
    edges.retain(|&edge| edge < last);
    edges.truncate(BINS - 1);
    edges
}
