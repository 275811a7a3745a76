//! Hit rates of finite caches as lines to draw.

use crate::stats::{Accuracy, CapacityRow, Report};

/// What the infinite cache is called.
pub(super) const INFINITE: &str = "infinite cache";

/// A measured cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Its capacity in blocks.
    pub(super) blocks: f64,
    /// Share of the prompt tokens that it serves.
    pub(super) rate: f64,
    /// Standard error of the rate, if that is an estimate.
    pub(super) error: Option<f64>,
    /// Whether the rate is a lower bound.
    pub(super) at_least: bool,
}

/// The caches of one policy.
#[derive(Clone, Debug)]
pub(super) struct PolicyLine {
    /// Its name.
    pub(super) policy: &'static str,
    /// At rising capacities, at least one.
    pub(super) points: Vec<Point>,
}

/// Hit rate against capacity.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// One for each policy.
    pub(super) lines: Vec<PolicyLine>,
    /// The cache without limit: as large as the working set.
    pub(super) infinite: Point,
    /// Caches of `--capacity` and `--target`, on the lines: the policy and the point.
    pub(super) named: Vec<(&'static str, Point)>,
    /// GiB that a block takes, if known.
    pub(super) block_gib: Option<f64>,
}

impl Curve {
    /// The curve of a report, if it has one and anything was measured.
    pub(super) fn of(report: &Report) -> Option<Self> {
        let caches = report.caches.as_ref()?;
        let point = |row: &CapacityRow| {
            Some(Point {
                blocks: row.capacity_blocks as f64,
                rate: row.hits.rate()?,
                error: row.accuracy.standard_error(),
                at_least: row.accuracy == Accuracy::AtLeast,
            })
        };
        let mut lines: Vec<PolicyLine> = Vec::new();
        // No axis by ratio has a place for a cache without blocks.
        for row in caches.curve.iter().filter(|row| row.capacity_blocks > 0) {
            let Some(point) = point(row) else { continue };
            match lines.last_mut() {
                Some(line) if line.policy == row.policy => line.points.push(point),
                _ => lines.push(PolicyLine { policy: row.policy, points: vec![point] }),
            }
        }
        if lines.is_empty() {
            return None;
        }
        let asked = caches.capacity.iter().filter(|row| row.policy != "infinite");
        let named = asked.chain(report.targets.value.iter().map(|target| &target.row));
        let gib = |row: &CapacityRow| Some(row.capacity_bytes? as f64 / f64::from(1 << 30));
        let first = caches.curve.iter().find(|row| row.capacity_blocks > 0);
        Some(Self {
            lines,
            infinite: point(&caches.infinite)?,
            named: named
                .filter(|row| row.capacity_blocks > 0)
                .filter_map(|row| Some((row.policy, point(row)?)))
                .collect(),
            block_gib: first.and_then(|row| Some(gib(row)? / row.capacity_blocks as f64)),
        })
    }

    /// The largest capacity that is drawn.
    pub(super) fn largest(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.map(|point| point.blocks).fold(self.infinite.blocks, f64::max)
    }

    /// The largest hit rate.
    pub(super) fn highest(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points).chain([&self.infinite]);
        points.map(|point| point.rate + point.error.unwrap_or(0.0)).fold(0.0, f64::max)
    }

    /// Whether the rates are estimates.
    pub(super) fn is_estimate(&self) -> bool {
        self.infinite.error.is_some()
    }

    /// Whether some rate is a lower bound.
    pub(super) fn has_bounds(&self) -> bool {
        self.infinite.at_least || self.lines.iter().any(|line| line.points.iter().any(|point| point.at_least))
    }
}

impl PolicyLine {
    /// The rate at a capacity, between the points by ratio of capacities; beyond the ends that of the end.
    pub(super) fn at(&self, blocks: f64) -> f64 {
        let after = self.points.partition_point(|point| point.blocks <= blocks);
        match (after.checked_sub(1).map(|i| self.points[i]), self.points.get(after)) {
            (Some(a), Some(b)) => {
                a.rate + (b.rate - a.rate) * (blocks / a.blocks).ln() / (b.blocks / a.blocks).ln()
            }
            (Some(end), None) => end.rate,
            (None, Some(end)) => end.rate,
            (None, None) => 0.0,
        }
    }
}
