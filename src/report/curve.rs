//! Hit rates of finite caches as lines to draw.

use crate::error::printable;
use crate::report::numbers::{bytes, short};
use crate::stats::{
    Accuracy, CapacityRow, FleetCapacity, FleetRow, GroupReport, Report, TierCurveRow, TierPoint,
};

/// What the infinite cache is called.
pub(super) const INFINITE: &str = "infinite cache";

/// The classes of the lines of groups.
const GROUP_CLASSES: [&str; 8] = ["g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8"];

/// The classes of the lines of fleets and tiers: the same colours twice, with other strokes.
const FLEET_CLASSES: [&str; 16] =
    ["g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "g10", "g11", "g12", "g13", "g14", "g15", "g16"];

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

/// A cache that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Its policy.
    pub(super) policy: &'static str,
    /// Where it is.
    pub(super) point: Point,
    /// What it was asked for as, in short.
    pub(super) label: String,
}

/// The caches of one policy, or those of one group.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The class of its colour and stroke: the policy, or the place of the group.
    pub(super) class: &'static str,
    /// What it is called.
    pub(super) name: String,
    /// At rising capacities, at least one.
    pub(super) points: Vec<Point>,
    /// Whether nothing is known between the points, so that each of them shows.
    pub(super) has_dots: bool,
}

/// Hit rate against capacity.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// One for each policy.
    pub(super) lines: Vec<Line>,
    /// The cache without limit: as large as the working set. Groups have no common one.
    pub(super) infinite: Option<Point>,
    /// Caches of `--capacity` and `--target`, on the lines.
    pub(super) named: Vec<Named>,
    /// Bytes that a block takes, if known.
    pub(super) block_bytes: Option<f64>,
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
        let mut lines: Vec<Line> = Vec::new();
        // No axis by ratio has a place for a cache without blocks.
        for row in caches.curve.iter().filter(|row| row.capacity_blocks > 0) {
            let Some(point) = point(row) else { continue };
            match lines.last_mut() {
                Some(line) if line.class == row.policy => line.points.push(point),
                _ => lines.push(Line {
                    class: row.policy,
                    name: row.policy.into(),
                    points: vec![point],
                    has_dots: !matches!(row.policy, "lru" | "opt"),
                }),
            }
        }
        if lines.is_empty() {
            return None;
        }
        // The capacities of a curve are not asked for one by one.
        let listed = if caches.capacity.len() > MOST_NAMED { &[][..] } else { &caches.capacity[..] };
        let asked = listed.iter().filter(|row| row.policy != "infinite").map(|row| (row, size_label(row)));
        let targets = report.targets.value.iter().chain(&report.enough.value);
        let targets = targets.map(|target| (&target.row, format!("{} %", short(target.share * 100.0))));
        let mut named: Vec<Named> = Vec::new();
        for (row, label) in asked.chain(targets).filter(|(row, _)| row.capacity_blocks > 0) {
            let Some(point) = point(row) else { continue };
            let same = named.iter().any(|n| n.policy == row.policy && n.point.blocks == point.blocks);
            if !same {
                named.push(Named { policy: row.policy, point, label });
            }
        }
        let first = caches.curve.iter().find(|row| row.capacity_blocks > 0);
        Some(Self {
            lines,
            infinite: Some(point(&caches.infinite)?),
            named,
            block_bytes: first.and_then(|row| Some(row.capacity_bytes? as f64 / row.capacity_blocks as f64)),
        })
    }

    /// The LRU caches of the groups with most prompt tokens, a line for each; how many are left out.
    pub(super) fn of_groups(groups: &[GroupReport]) -> Option<(Self, usize)> {
        // Where groups have blocks of different sizes, capacities are in those of the smallest.
        let size = groups.iter().map(|(_, report)| report.block_size).min()?;
        let curve = |(value, report): &GroupReport| {
            let name = value.as_deref().map_or_else(|| "other values".into(), printable);
            let mut curve = Self::of(report)?;
            let scale = report.block_size as f64 / size as f64;
            curve.lines.iter_mut().flat_map(|line| &mut line.points).for_each(|point| point.blocks *= scale);
            curve.block_bytes = curve.block_bytes.map(|bytes| bytes / scale);
            Some((report.input_tokens, name, curve))
        };
        let mut curves: Vec<_> = groups.iter().filter_map(curve).collect();
        // Equal ones stay in the order in which they appeared.
        curves.sort_by_key(|(tokens, ..)| std::cmp::Reverse(*tokens));
        let left_out = curves.len().saturating_sub(GROUP_CLASSES.len());
        let block_bytes = curves.first()?.2.block_bytes;
        let line = |(class, (_, name, curve)): (&&'static str, (u128, String, Self))| {
            Some(Line { class, name, points: curve.lines.into_iter().next()?.points, has_dots: false })
        };
        let lines = GROUP_CLASSES.iter().zip(curves).filter_map(line).collect();
        Some((Self { lines, infinite: None, named: Vec::new(), block_bytes }, left_out))
    }

    /// The caches of each fleet, by the capacity of each replica: a line for each, and one for all fleets of one
    /// replica; how many are left out. The ceiling is one cache without limit for all.
    pub(super) fn of_fleets(report: &Report) -> Option<(Self, usize)> {
        let infinite = Self::of(report)?.infinite;
        let mut fleets: Vec<&FleetRow> = Vec::new();
        for fleet in &report.fleets {
            // Of one replica, all routes are the same.
            if fleet.replicas > 1 || fleets.iter().all(|known| known.replicas > 1) {
                fleets.push(fleet);
            }
        }
        let line = |(class, fleet): (&&'static str, &&FleetRow)| {
            let rows = fleet.curve.iter().filter(|row| row.capacity_blocks > 0);
            let point = |row: &FleetCapacity| {
                let blocks = row.capacity_blocks as f64;
                Some(Point { blocks, rate: row.hits.rate()?, error: None, at_least: false })
            };
            let points: Vec<_> = rows.filter_map(point).collect();
            let name = if fleet.replicas == 1 { "1 replica".to_owned() } else { fleet.name() };
            (!points.is_empty()).then_some(Line { class, name, points, has_dots: false })
        };
        let lines: Vec<_> = FLEET_CLASSES.iter().zip(&fleets).filter_map(line).collect();
        let first =
            report.fleets.iter().flat_map(|fleet| &fleet.curve).find(|row| row.capacity_blocks > 0)?;
        let block_bytes = first.capacity_bytes.map(|size| size as f64 / first.capacity_blocks as f64);
        let left_out = fleets.len().saturating_sub(FLEET_CLASSES.len());
        (!lines.is_empty()).then_some((Self { lines, infinite, named: Vec::new(), block_bytes }, left_out))
    }

    /// What tiers serve together, by the size of the one that is of every size: a line for each list of tiers of each
    /// fleet; how many are left out. The ceiling is one cache without limit for all.
    pub(super) fn of_tiers(report: &Report) -> Option<(Self, usize)> {
        let infinite = Self::of(report)?.infinite;
        let rows = &report.tier_curves;
        let line = |(class, row): (&&'static str, &TierCurveRow)| {
            let point = |point: &TierPoint| {
                let blocks = point.tier.size_blocks as f64;
                Some(Point { blocks, rate: point.all_token_hit_rate?, error: None, at_least: false })
            };
            let points: Vec<_> = row.sizes.iter().filter_map(point).collect();
            let is_alone = rows.iter().all(|other| other.tiers == row.tiers);
            let name = if is_alone { row.name() } else { format!("{}, {}", row.name(), tier_list(row)) };
            (!points.is_empty()).then_some(Line { class, name, points, has_dots: false })
        };
        let lines: Vec<_> = FLEET_CLASSES.iter().zip(rows).filter_map(line).collect();
        let first = &rows.first()?.sizes.first()?.tier;
        let block_bytes = first.size_bytes.map(|size| size as f64 / first.size_blocks as f64);
        let left_out = rows.len().saturating_sub(FLEET_CLASSES.len());
        (!lines.is_empty()).then_some((Self { lines, infinite, named: Vec::new(), block_bytes }, left_out))
    }

    /// The largest capacity that is drawn.
    pub(super) fn largest(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.chain(&self.infinite).map(|point| point.blocks).fold(0.0, f64::max)
    }

    /// The largest hit rate.
    pub(super) fn highest(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points).chain(&self.infinite);
        points.map(|point| point.rate + point.error.unwrap_or(0.0)).fold(0.0, f64::max)
    }

    /// Whether the rates are estimates.
    pub(super) fn is_estimate(&self) -> bool {
        self.lines.iter().any(|line| line.points.iter().any(|point| point.error.is_some()))
    }

    /// Whether some rate is a lower bound.
    pub(super) fn has_bounds(&self) -> bool {
        let points = self.lines.iter().flat_map(|line| &line.points).chain(&self.infinite);
        points.into_iter().any(|point| point.at_least)
    }
}

/// More rows than that are those of a curve.
const MOST_NAMED: usize = 40;

/// A list of tiers, as they are asked for, in blocks.
fn tier_list(row: &TierCurveRow) -> String {
    let tier = |(name, size): &(String, Option<u64>)| match size {
        Some(size) => format!("{name}={size}"),
        None => name.clone(),
    };
    row.tiers.tiers.iter().map(tier).collect::<Vec<_>>().join(",")
}

/// The tier that lists of tiers have at every size, if it is the same in all.
pub(super) fn varied_tier(report: &Report) -> &str {
    let mut names = report.tier_curves.iter().map(|row| row.tier.as_str());
    names.next().filter(|first| names.all(|name| name == *first)).unwrap_or("one")
}

/// A capacity in the unit in which people think of it.
fn size_label(row: &CapacityRow) -> String {
    row.capacity_bytes.map_or_else(|| short(row.capacity_blocks as f64), bytes)
}

impl Line {
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
