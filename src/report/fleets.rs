//! Replicas behind routers: their tables, their single figures, and their lines in charts.

use crate::report::cells::{Cells, Digits, Number, hit_cells, prefill_figures, prefill_work, work_columns};
use crate::report::numbers::{bytes, flops, rounded};
use crate::stats::{Accuracy, FleetCapacity, FleetCompute, FleetRow, Hits, PrefillWork, Report};

/// The tables of all fleets, if there are any.
pub(super) fn tables(report: &Report, digits: Digits) -> Vec<Cells> {
    if report.fleets.is_empty() {
        return Vec::new();
    }
    let rows = || report.fleets.iter();
    let mut tables = vec![table(SUMMARY, rows().map(|fleet| summary(fleet, digits)))];
    let computes = rows().filter_map(|fleet| Some(compute(fleet, fleet.compute?, digits)));
    let in_compute = work_columns(rows().any(|fleet| fleet.compute.is_some()), digits);
    let in_bytes = rows().flat_map(every_size).any(|row| row.capacity_bytes.is_some());
    let header = |first: &[&'static str]| -> Vec<&'static str> {
        let size = in_bytes.then_some("Size Each");
        let sized = SIZED.into_iter().chain(in_compute.iter().copied());
        first.iter().copied().chain(["Blocks Each"]).chain(size).chain(sized).collect()
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
            [first, hit_cells(ttl.hits, Accuracy::Exact, digits)[..2].to_vec(), work(ttl.work, digits)]
                .concat()
        })
    });
    let expiring = ["Replicas", "Time to Live", "Blocks Each", "Hit Tokens", "Token Hit Rate"];
    let more = [
        table(COMPUTE, computes),
        table(&header(&["Replicas"]), capacities),
        table(&header(&["Replicas", "Target"]), targets),
        table(&[&expiring, in_compute].concat(), ttls),
    ];
    tables.extend(more.into_iter().filter(|table| table.len() > 1));
    tables
}

const SUMMARY: &[&str] = &[
    "Replicas",
    "Hit Tokens",
    "Token Hit Rate",
    "Requests / Mean",
    "Work / Mean",
    "Peak Second",
    "Highest Peak",
];

/// Columns of what caches without a limit leave to compute, and how it is spread.
const COMPUTE: &[&str] =
    &["Replicas", "In Compute", "Prefill FLOPs", "Most FLOPs", "FLOPs / Mean", "Peak Second", "Highest Peak"];

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
    let peak = |tokens: Option<u128>| tokens.map_or_else(|| "-".into(), |tokens| digits.count(tokens));
    vec![
        fleet.name(),
        tokens,
        rate,
        digits.real(fleet.request_imbalance),
        digits.real(fleet.work_imbalance),
        peak(fleet.peak_second_tokens),
        peak(fleet.highest_peak_second_tokens),
    ]
}

/// The same in compute.
fn compute(fleet: &FleetRow, compute: FleetCompute, digits: Digits) -> Vec<String> {
    let flops = |value: u128| match digits {
        Digits::All => value.to_string(),
        Digits::Few => flops(value),
    };
    let saving = compute.infinite_prefill_saving_compute;
    vec![
        fleet.name(),
        saving.map_or_else(|| "-".into(), |saving| digits.real(saving)),
        flops(compute.infinite_prefill_flops),
        flops(compute.work_max_flops),
        digits.real(compute.work_imbalance_compute),
        compute.peak_second_flops.map_or_else(|| "-".into(), flops),
        compute.highest_peak_second_flops.map_or_else(|| "-".into(), flops),
    ]
}

/// What is left to compute, where that is known.
fn work(work: Option<PrefillWork>, digits: Digits) -> Vec<String> {
    work.iter().flat_map(|work| prefill_work(work, Accuracy::Exact, digits)).collect()
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
    let one = one.map_or_else(|| "-".into(), |rate| digits.real(rate));
    first.chain(last).chain([one]).chain(work(row.work, digits)).collect()
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
        ("highest_peak_second_tokens", fleet.highest_peak_second_tokens.map(Number::Count)),
    ];
    let in_compute = fleet.compute.iter().flat_map(|compute| {
        [
            ("infinite_prefill_flops", Some(Number::Count(compute.infinite_prefill_flops))),
            ("infinite_prefill_saving_compute", real(compute.infinite_prefill_saving_compute)),
            ("work_max_flops", Some(Number::Count(compute.work_max_flops))),
            ("work_imbalance_compute", Some(Number::Real(compute.work_imbalance_compute))),
            ("peak_second_flops", compute.peak_second_flops.map(Number::Count)),
            ("highest_peak_second_flops", compute.highest_peak_second_flops.map(Number::Count)),
        ]
    });
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
    let served = |hits: Hits, work: Option<PrefillWork>| {
        let tokens = [
            ("hit_tokens", Some(Number::Count(hits.hit_tokens))),
            ("tokens", Some(Number::Count(hits.tokens))),
            ("token_hit_rate", real(hits.rate())),
            ("prefill_saving", real(hits.prefill_saving())),
        ];
        let compute = prefill_figures(work.as_ref()).map(|(name, value)| (name, Some(value)));
        joined(tokens.into(), compute)
    };
    add("fleet", None, joined(whole.into(), in_compute));
    for row in &fleet.capacity {
        let shared = [
            ("shared_token_hit_rate", real(row.shared_token_hit_rate)),
            ("shared_prefill_saving_compute", real(row.shared_prefill_saving_compute)),
        ];
        let cache = row.capacity_blocks.to_string();
        add("fleet_capacity", Some(cache), joined(served(row.hits, row.work), shared));
    }
    for target in &fleet.targets {
        let blocks = vec![("capacity_blocks", Some(Number::Count(target.row.capacity_blocks.into())))];
        let hits = served(target.row.hits, target.row.work);
        add("fleet_target", Some(target.share.to_string()), joined(blocks, hits));
    }
    for ttl in &fleet.ttls {
        let capacity = ttl.capacity_blocks.map_or_else(String::new, |blocks| format!(":{blocks}"));
        add("fleet_ttl", Some(format!("{}ms{capacity}", ttl.ttl_ms)), served(ttl.hits, ttl.work));
    }
    figures
}

fn joined<T>(first: Vec<T>, then: impl IntoIterator<Item = T>) -> Vec<T> {
    first.into_iter().chain(then).collect()
}
