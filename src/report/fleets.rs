//! Replicas behind routers: their tables, their single figures, and their lines in charts.

use crate::report::cells::{Cells, Digits, Number, hit_cells};
use crate::report::numbers::{bytes, rounded};
use crate::stats::{Accuracy, FleetCapacity, FleetRow, Hits, Report};

/// The tables of all fleets, if there are any.
pub(super) fn tables(report: &Report, digits: Digits) -> Vec<Cells> {
    if report.fleets.is_empty() {
        return Vec::new();
    }
    let rows = || report.fleets.iter();
    let mut tables = vec![table(SUMMARY, rows().map(|fleet| summary(fleet, digits)))];
    let in_bytes = rows().flat_map(every_size).any(|row| row.capacity_bytes.is_some());
    let header = |first: &[&'static str]| -> Vec<&'static str> {
        let size = in_bytes.then_some("Size Each");
        first.iter().copied().chain(["Blocks Each"]).chain(size).chain(SIZED).collect()
    };
    let capacities = rows()
        .flat_map(|fleet| fleet.capacity.iter().map(|row| [vec![fleet.name()], sized(row, digits)].concat()));
    let targets = rows().flat_map(|fleet| {
        let row = |share: f64, row| [vec![fleet.name(), percent(share)], sized(row, digits)].concat();
        fleet.targets.iter().map(move |target| row(target.share, &target.row))
    });
    let ttls = rows().flat_map(|fleet| {
        fleet.ttls.iter().map(|ttl| {
            let blocks = ttl.capacity_blocks.map_or_else(|| "no limit".into(), |blocks| digits.count(blocks));
            let first = vec![fleet.name(), format!("{} s", rounded(ttl.ttl_ms as f64 / 1000.0)), blocks];
            [first, hit_cells(ttl.hits, Accuracy::Exact, digits)[..2].to_vec()].concat()
        })
    });
    let more = [
        table(&header(&["Replicas"]), capacities),
        table(&header(&["Replicas", "Target"]), targets),
        table(&["Replicas", "Time to Live", "Blocks Each", "Hit Tokens", "Token Hit Rate"], ttls),
    ];
    tables.extend(more.into_iter().filter(|table| table.len() > 1));
    tables
}

const SUMMARY: &[&str] = &[
    "Replicas",
    "Hit Tokens",
    "Token Hit Rate",
    "Most Requests",
    "Requests / Mean",
    "Work / Mean",
    "Peak Second",
];

/// Columns of caches of a size, after that of each replica.
const SIZED: [&str; 4] = ["Blocks in All", "Hit Tokens", "Token Hit Rate", "One Cache"];

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Cells {
    [header.iter().map(|&name| name.to_owned()).collect()].into_iter().chain(rows).collect()
}

fn percent(share: f64) -> String {
    format!("{} %", share * 100.0)
}

/// Caches without a limit, and how the work is spread.
fn summary(fleet: &FleetRow, digits: Digits) -> Vec<String> {
    let [tokens, rate, _] = hit_cells(fleet.infinite(), Accuracy::Exact, digits);
    vec![
        fleet.name(),
        tokens,
        rate,
        digits.count(fleet.requests_max),
        digits.real(fleet.request_imbalance),
        digits.real(fleet.work_imbalance),
        fleet.peak_second_tokens.map_or_else(|| "-".into(), |tokens| digits.count(tokens)),
    ]
}

/// Caches of a size, beside one of the size of all.
fn sized(row: &FleetCapacity, digits: Digits) -> Vec<String> {
    let [tokens, rate, _] = hit_cells(row.hits, Accuracy::Exact, digits);
    let one = row.shared_token_hit_rate;
    let size = row.capacity_bytes.map(|size| match digits {
        Digits::All => size.to_string(),
        Digits::Few => bytes(size),
    });
    let first = [digits.count(row.capacity_blocks)].into_iter().chain(size);
    let last = [digits.count(row.total_blocks), tokens, rate];
    let one = one.map_or_else(|| "-".into(), |rate| digits.decimals(rate, 6));
    first.chain(last).chain([one]).collect()
}

fn every_size(fleet: &FleetRow) -> impl Iterator<Item = &FleetCapacity> {
    fleet.capacity.iter().chain(fleet.targets.iter().map(|target| &target.row))
}

/// One figure of a fleet, by the name in JSON of the list that it stands in and its own.
pub(super) struct FleetFigure<'a> {
    pub(super) fleet: &'a FleetRow,
    /// `fleet`, or `fleet_` with the name of the list.
    pub(super) section: &'static str,
    /// Which cache, if the fleet has several: a capacity, a share, a time to live with or without a capacity.
    pub(super) cache: Option<String>,
    pub(super) name: &'static str,
    pub(super) value: Number,
}

/// All single figures of fleets.
pub(super) fn figures(report: &Report) -> Vec<FleetFigure<'_>> {
    report.fleets.iter().flat_map(of_fleet).collect()
}

fn of_fleet(fleet: &FleetRow) -> Vec<FleetFigure<'_>> {
    let real = |value: Option<f64>| value.map(Number::Real);
    let whole = [
        ("infinite_hit_tokens", Some(Number::Count(fleet.infinite_hit_tokens))),
        ("infinite_token_hit_rate", real(fleet.infinite_token_hit_rate)),
        ("requests_max", Some(Number::Count(fleet.requests_max.into()))),
        ("request_imbalance", Some(Number::Real(fleet.request_imbalance))),
        ("work_max_tokens", Some(Number::Count(fleet.work_max_tokens))),
        ("work_imbalance", Some(Number::Real(fleet.work_imbalance))),
        ("peak_second_tokens", fleet.peak_second_tokens.map(Number::Count)),
    ];
    let mut figures = Vec::new();
    let mut add = |section, cache: Option<String>, list: Vec<(&'static str, Option<Number>)>| {
        let given = list.into_iter().filter_map(|(name, value)| Some((name, value?)));
        figures.extend(given.map(|(name, value)| FleetFigure {
            fleet,
            section,
            cache: cache.clone(),
            name,
            value,
        }));
    };
    let hits = |hits: Hits| {
        vec![
            ("hit_tokens", Some(Number::Count(hits.hit_tokens))),
            ("tokens", Some(Number::Count(hits.tokens))),
            ("token_hit_rate", real(hits.rate())),
            ("prefill_saving", real(hits.prefill_saving())),
        ]
    };
    add("fleet", None, whole.into());
    for row in &fleet.capacity {
        let shared = [("shared_token_hit_rate", real(row.shared_token_hit_rate))];
        add("fleet_capacity", Some(row.capacity_blocks.to_string()), joined(hits(row.hits), shared));
    }
    for target in &fleet.targets {
        let blocks = vec![("capacity_blocks", Some(Number::Count(target.row.capacity_blocks.into())))];
        add("fleet_target", Some(target.share.to_string()), joined(blocks, hits(target.row.hits)));
    }
    for ttl in &fleet.ttls {
        let capacity = ttl.capacity_blocks.map_or_else(String::new, |blocks| format!(":{blocks}"));
        add("fleet_ttl", Some(format!("{}ms{capacity}", ttl.ttl_ms)), hits(ttl.hits));
    }
    figures
}

fn joined<T>(first: Vec<T>, then: impl IntoIterator<Item = T>) -> Vec<T> {
    first.into_iter().chain(then).collect()
}
