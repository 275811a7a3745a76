//! Caches in tiers: what is found in each, and what moves between them.

use crate::report::cells::{Cells, Digits, Number, hit_cells};
use crate::report::numbers::bytes;
use crate::stats::{Accuracy, BlockFlow, Hits, Report, TierFigures, TierRow};

/// The tables of all lists of tiers, each with a title, if there are any.
pub(super) fn tables(report: &Report, digits: Digits) -> Vec<(&'static str, Cells)> {
    if report.tiers.is_empty() {
        return Vec::new();
    }
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

/// All blocks that move, and rates: in bytes if the size of a block is known.
fn moved(flow: BlockFlow, digits: Digits) -> Vec<String> {
    let rate = |blocks: Option<f64>| match (blocks, flow.block_bytes) {
        (None, _) => "-".into(),
        (Some(blocks), None) => digits.real(blocks),
        (Some(blocks), Some(block)) => in_bytes(blocks * block as f64, digits),
    };
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
    pub(super) row: &'a TierRow,
    /// Which of the lists of tiers it is from, from 1.
    pub(super) list: usize,
    pub(super) tier: &'a TierFigures,
    pub(super) name: String,
    pub(super) value: Number,
}

/// All single figures of tiers.
pub(super) fn figures(report: &Report) -> Vec<TierFigure<'_>> {
    let mut figures = Vec::new();
    for (place, row) in report.tiers.iter().enumerate() {
        let same = |other: &&TierRow| (other.replicas, other.route) == (row.replicas, row.route);
        let list = report.tiers[..=place].iter().filter(same).count();
        for tier in &row.tiers {
            let mut add = |name: String, value: Option<Number>| {
                figures.extend(value.map(|value| TierFigure { row, list, tier, name, value }));
            };
            add("size_blocks".into(), Some(Number::Count(tier.size_blocks.into())));
            add("hit_tokens".into(), Some(Number::Count(tier.hit_tokens)));
            add("token_hit_rate".into(), tier.token_hit_rate.map(Number::Real));
            for (name, flow) in flows(tier) {
                add(format!("{name}_blocks"), Some(Number::Count(flow.blocks)));
                add(format!("{name}_bytes"), flow.bytes.map(Number::Count));
                add(format!("{name}_blocks_mean_per_s"), flow.mean_per_s.map(Number::Real));
                add(format!("{name}_blocks_peak_per_s"), flow.peak_per_s.map(Number::Count));
                add(format!("{name}_blocks_replica_peak_per_s"), flow.replica_peak_per_s.map(Number::Count));
            }
        }
    }
    figures
}
