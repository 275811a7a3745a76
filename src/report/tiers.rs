//! Caches in tiers: what is found in each, and what moves between them; and what the size of one of them makes of it.

use crate::fleet::Route;
use crate::report::cells::{Cells, Digits, Number, hit_cells};
use crate::report::numbers::bytes;
use crate::stats::{Accuracy, BlockFlow, Hits, Report, TierCurveRow, TierFigures, TierPoint, TierRow};

/// The title of the table of tiers of every size.
pub(super) const EVERY_SIZE: &str = "Sizes of a tier";

/// The tables of all lists of tiers, each with a title, if there are any.
pub(super) fn tables(report: &Report, digits: Digits) -> Vec<(&'static str, Cells)> {
    let sized = if report.tiers.is_empty() { Vec::new() } else { of_sizes(report, digits) };
    sized.into_iter().chain(curves(report, digits)).collect()
}

fn of_sizes(report: &Report, digits: Digits) -> Vec<(&'static str, Cells)> {
    let tiers = || report.tiers.iter().flat_map(|row| row.tiers.iter().map(move |tier| (row, tier)));
    let in_bytes = tiers().any(|(_, tier)| tier.size_bytes.is_some());
    let header = |names: &[&'static str], sizes: &[&'static str]| -> Vec<String> {
        let with_size = |&name: &&'static str| {
            let size = (in_bytes && sizes.contains(&name)).then_some("Size");
            [Some(name), size]
        };
        names.iter().flat_map(with_size).flatten().map(str::to_owned).collect()
    };
    let hits = tiers().map(|(row, tier)| hits(row, tier, digits));
    let flows = tiers().flat_map(|(row, tier)| {
        let flows = flows(tier).into_iter();
        flows.map(move |(name, flow)| {
            [vec![row.name(), tier.name.clone(), name.into()], moved(flow, digits)].concat()
        })
    });
    let found =
        header(&["Replicas", "Tier", "Blocks Each", "Hit Tokens", "Token Hit Rate"], &["Blocks Each"]);
    let unit = if in_bytes { "Bytes / s" } else { "Blocks / s" };
    let moves = ["Replicas", "Tier", "Move", "Blocks", unit, "Peak / s", "Peak of One / s"];
    let moves = header(&moves, &moves[3..4]);
    vec![
        ("Caches in tiers", [found].into_iter().chain(hits).collect()),
        ("Blocks that move between tiers", [moves].into_iter().chain(flows).collect()),
    ]
}

/// The table of tiers of many sizes, if there are any.
fn curves(report: &Report, digits: Digits) -> Option<(&'static str, Cells)> {
    let points = || report.tier_curves.iter().flat_map(|row| row.sizes.iter().map(move |point| (row, point)));
    let in_bytes = points().next()?.1.tier.size_bytes.is_some();
    let header = ["Replicas", "Tier", "Blocks"].into_iter().chain(in_bytes.then_some("Size"));
    let moves = if in_bytes { ["Up / s", "Down / s"] } else { ["Blocks Up / s", "Blocks Down / s"] };
    let header = header.chain(["Hit Tokens", "Token Hit Rate", "All Tiers"]).chain(moves).map(str::to_owned);
    let rows = points().map(|(row, point)| curve_cells(row, point, digits));
    Some((EVERY_SIZE, [header.collect()].into_iter().chain(rows).collect()))
}

fn curve_cells(row: &TierCurveRow, point: &TierPoint, digits: Digits) -> Vec<String> {
    let tier = &point.tier;
    let hits = |hit_tokens| hit_cells(Hits { hit_tokens, ..row.nothing() }, Accuracy::Exact, digits);
    let ([tokens, rate, _], [_, all, _]) = (hits(tier.hit_tokens), hits(point.all_hit_tokens));
    let flow = |flow: Option<BlockFlow>| {
        flow.map_or_else(|| "-".into(), |flow| per_second(flow.mean_per_s, flow, digits))
    };
    let blocks = size(digits.count(tier.size_blocks), tier.size_bytes.map(|size| size as f64), digits);
    let rest = vec![tokens, rate, all, flow(tier.promoted), flow(tier.demoted.or(tier.written))];
    [vec![row.name(), row.tier.clone()], blocks, rest].concat()
}

/// A number of blocks, and their size if that is known.
fn size(blocks: String, size: Option<f64>, digits: Digits) -> Vec<String> {
    [blocks].into_iter().chain(size.map(|size| in_bytes(size, digits))).collect()
}

fn in_bytes(size: f64, digits: Digits) -> String {
    if digits == Digits::All { format!("{size:?}") } else { bytes(size as u128) }
}

fn hits(row: &TierRow, tier: &TierFigures, digits: Digits) -> Vec<String> {
    let hits = Hits { hit_tokens: tier.hit_tokens, ..row.nothing() };
    let [tokens, rate, _] = hit_cells(hits, Accuracy::Exact, digits);
    let first = vec![row.name(), tier.name.clone()];
    let blocks = size(digits.count(tier.size_blocks), tier.size_bytes.map(|size| size as f64), digits);
    [first, blocks, vec![tokens, rate]].concat()
}

/// Blocks per second, in bytes if their size is known.
fn per_second(blocks: Option<f64>, flow: BlockFlow, digits: Digits) -> String {
    match (blocks, flow.block_bytes) {
        (None, _) => "-".into(),
        (Some(blocks), None) => digits.real(blocks),
        (Some(blocks), Some(block)) => in_bytes(blocks * block as f64, digits),
    }
}

/// All blocks that move, and rates: in bytes if the size of a block is known.
fn moved(flow: BlockFlow, digits: Digits) -> Vec<String> {
    let rate = |blocks| per_second(blocks, flow, digits);
    let whole = |blocks: Option<u128>| rate(blocks.map(|blocks| blocks as f64));
    let all = size(digits.count(flow.blocks), flow.bytes.map(|size| size as f64), digits);
    let rates = vec![rate(flow.mean_per_s), whole(flow.peak_per_s), whole(flow.replica_peak_per_s)];
    [all, rates].concat()
}

/// What moves into or out of a tier, by its name in JSON.
fn flows(tier: &TierFigures) -> Vec<(&'static str, BlockFlow)> {
    let all = [("promoted", tier.promoted), ("demoted", tier.demoted), ("written", tier.written)];
    all.into_iter().filter_map(|(name, flow)| Some((name, flow?))).collect()
}

/// One figure of a tier.
pub(super) struct TierFigure<'a> {
    pub(super) replicas: u32,
    pub(super) route: Route,
    /// Which of the lists of tiers it is from, from 1.
    pub(super) list: usize,
    pub(super) tier: &'a str,
    /// Which of its sizes it is of, in blocks, if it has many.
    pub(super) size: Option<u64>,
    pub(super) name: String,
    pub(super) value: Number,
}

/// All single figures of tiers.
pub(super) fn figures(report: &Report) -> Vec<TierFigure<'_>> {
    let mut figures = Vec::new();
    let fleets: Vec<_> = report.tiers.iter().map(|row| (row.replicas, row.route)).collect();
    for (row, list) in report.tiers.iter().zip(numbered(&fleets)) {
        for tier in &row.tiers {
            let size = ("size_blocks".to_owned(), Number::Count(tier.size_blocks.into()));
            let named = [size].into_iter().chain(of_tier(tier));
            figures.extend(named.map(|(name, value)| TierFigure {
                replicas: row.replicas,
                route: row.route,
                list,
                tier: &tier.name,
                size: None,
                name,
                value,
            }));
        }
    }
    let fleets: Vec<_> = report.tier_curves.iter().map(|row| (row.replicas, row.route)).collect();
    for (row, list) in report.tier_curves.iter().zip(numbered(&fleets)) {
        for point in &row.sizes {
            let rate =
                point.all_token_hit_rate.map(|rate| ("all_token_hit_rate".to_owned(), Number::Real(rate)));
            let all = [("all_hit_tokens".to_owned(), Number::Count(point.all_hit_tokens))];
            let named = of_tier(&point.tier).into_iter().chain(all).chain(rate);
            figures.extend(named.map(|(name, value)| TierFigure {
                replicas: row.replicas,
                route: row.route,
                list,
                tier: &row.tier,
                size: Some(point.tier.size_blocks),
                name,
                value,
            }));
        }
    }
    figures
}

/// Which of the lists of its fleet each row is of, from 1.
fn numbered(fleets: &[(u32, Route)]) -> impl Iterator<Item = usize> {
    (0..fleets.len()).map(|place| fleets[..=place].iter().filter(|fleet| **fleet == fleets[place]).count())
}

/// What is found in a tier and moves.
fn of_tier(tier: &TierFigures) -> Vec<(String, Number)> {
    let mut figures = vec![("hit_tokens".to_owned(), Number::Count(tier.hit_tokens))];
    let mut add = |name: String, value: Option<Number>| figures.extend(value.map(|value| (name, value)));
    add("token_hit_rate".into(), tier.token_hit_rate.map(Number::Real));
    for (name, flow) in flows(tier) {
        add(format!("{name}_blocks"), Some(Number::Count(flow.blocks)));
        add(format!("{name}_bytes"), flow.bytes.map(Number::Count));
        add(format!("{name}_blocks_mean_per_s"), flow.mean_per_s.map(Number::Real));
        add(format!("{name}_blocks_peak_per_s"), flow.peak_per_s.map(Number::Count));
        add(format!("{name}_blocks_replica_peak_per_s"), flow.replica_peak_per_s.map(Number::Count));
    }
    figures
}
