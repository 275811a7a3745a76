//! Replicas behind routers: a chart with a line for each, and their tables.

use maud::{Markup, html};

use super::capacity::{self, WORK, work_cells};
use super::parts::{count, flops, plain, rate, scrolling, size, table};
use crate::report::cells::{Cells, Digits};
use crate::report::curve::{Curve, varied_tier};
use crate::report::numbers::short;
use crate::report::tiers;
use crate::stats::{Accuracy, FleetCapacity, FleetRow, Report};

/// More rows than these scroll.
const MOST: usize = 24;

/// All fleets.
pub(super) fn section(report: &Report) -> Markup {
    if report.fleets.is_empty() {
        return Markup::default();
    }
    let capacities = |fleet: &FleetRow| fleet.capacity.iter().map(|row| (None, *row)).collect();
    let share = |share: f64| format!("{} %", short(share * 100.0));
    let targets = |fleet: &FleetRow| fleet.targets.iter().map(|t| (Some(share(t.share)), t.row)).collect();
    html! {
        section {
            h2 { "Replicas" }
            p.quiet { "Each with a cache of its own, behind a router." }
            (scrolling("Replicas", report.fleets.len() > MOST, &summary(report)))
            (compute(report))
            @if let Some((curve, left_out)) = Curve::of_fleets(report) {
                h3.table { "Hit rate against cache capacity of each replica" }
                (left_out_of(&curve, left_out))
                (capacity::chart(&curve, "fleets", "Hit rate against cache capacity of each replica", &drawn(report)))
            }
            (sizes("Caches asked for, one for each replica", report, None, capacities))
            (sizes("Smallest caches for a share of all hits", report, Some("Share"), targets))
            (ttls(report))
        }
    }
}

fn summary(report: &Report) -> Markup {
    let names = [
        "Replicas",
        "Hit tokens, no limit",
        "Token hit rate",
        "Most requests",
        "Requests of the busiest / mean",
        "Work of the busiest / mean",
        "Its peak second",
        "Highest peak of any",
    ];
    let rows = html! {
        @for fleet in &report.fleets {
            tr data-fleet=(fleet.name()) {
                th scope="row" { (fleet.name()) }
                td { (count(fleet.infinite_hit_tokens)) }
                td { (rate(fleet.infinite_token_hit_rate)) }
                td { (count(fleet.requests_max)) }
                td { (plain(fleet.request_imbalance)) }
                td { (plain(fleet.work_imbalance)) }
                @for peak in [fleet.peak_second_tokens, fleet.highest_peak_second_tokens] {
                    td { (peak.map_or_else(|| html! { "–" }, |tokens| html! { (count(tokens)) " tokens" })) }
                }
            }
        }
    };
    table(&names, &rows)
}

/// What caches without limit leave to compute, and how that is spread, where a model is known.
fn compute(report: &Report) -> Markup {
    let rows: Vec<_> =
        report.fleets.iter().filter_map(|fleet| Some((fleet.name(), fleet.compute?))).collect();
    if rows.is_empty() {
        return Markup::default();
    }
    let body = html! {
        @for (name, compute) in &rows {
            tr {
                th scope="row" { (name) }
                td { (compute.infinite_prefill_saving_compute.map_or_else(|| html! { "–" }, plain)) }
                td { (flops(compute.infinite_prefill_flops)) }
                td { (flops(compute.work_max_flops)) }
                td { (plain(compute.work_imbalance_compute)) }
                @for peak in [compute.peak_second_flops, compute.highest_peak_second_flops] {
                    td { (peak.map_or_else(|| html! { "–" }, flops)) }
                }
            }
        }
    };
    let peaks = ["Its peak second, FLOPs", "Highest peak of any, FLOPs"];
    let names = ["Replicas", WORK[0], WORK[1], "FLOPs of the busiest", "The same / mean", peaks[0], peaks[1]];
    let title = "The same in compute";
    html! { h3.table { (title) } (scrolling(title, rows.len() > MOST, &table(&names, &body))) }
}

/// Caches of a fleet, each perhaps with what it was asked for as.
type Asked = Vec<(Option<String>, FleetCapacity)>;

/// A table of caches of some sizes, unless there are none.
fn sizes(
    title: &str,
    report: &Report,
    first: Option<&'static str>,
    of: impl Fn(&FleetRow) -> Asked,
) -> Markup {
    let rows: Vec<_> = report.fleets.iter().map(|fleet| (fleet, of(fleet))).collect();
    let many = rows.iter().map(|(_, rows)| rows.len()).sum::<usize>();
    if many == 0 {
        return Markup::default();
    }
    let table = scrolling(title, many > MOST, &size_table(&rows, first));
    html! {
        h3.table { (title) }
        @if many > MOST { details { summary { (many) " caches" } (table) } } @else { (table) }
    }
}

fn drawn(report: &Report) -> Markup {
    let rows = |fleet| (fleet, FleetRow::clone(fleet).curve.into_iter().map(|row| (None, row)).collect());
    size_table(&report.fleets.iter().map(rows).collect::<Vec<_>>(), None)
}

fn size_table(fleets: &[(&FleetRow, Asked)], first: Option<&'static str>) -> Markup {
    let in_bytes = fleets.iter().flat_map(|(_, rows)| rows).any(|(_, row)| row.capacity_bytes.is_some());
    let names =
        ["Replicas"].into_iter().chain(first).chain(["Blocks each"]).chain(in_bytes.then_some("Size"));
    let has_work = fleets.iter().any(|(fleet, _)| fleet.compute.is_some());
    let names = names.chain(["Blocks in all", "Hit tokens", "Token hit rate", "One cache of that size"]);
    let names = names.chain(has_work.then_some(WORK).into_iter().flatten());
    let body = html! {
        @for (fleet, rows) in fleets {
            @for (asked, row) in rows {
                tr {
                    th scope="row" { (fleet.name()) }
                    @if let Some(asked) = asked { td { (asked) } }
                    td { (count(row.capacity_blocks)) }
                    @if let Some(bytes) = row.capacity_bytes { td { (size(bytes)) } }
                    td { (count(row.total_blocks)) }
                    td { (count(row.hits.hit_tokens)) }
                    td { (rate(row.hits.rate())) }
                    td { (rate(row.shared_token_hit_rate)) }
                    (work_cells(row.work.as_ref(), Accuracy::Exact, has_work))
                }
            }
        }
    };
    table(&names.collect::<Vec<_>>(), &body)
}

/// Caches in tiers.
pub(super) fn tiers(report: &Report) -> Markup {
    let tables = tiers::tables(report, Digits::Few);
    if tables.is_empty() {
        return Markup::default();
    }
    let by_tier = format!("Hit rate of all tiers against the size of {}", varied_tier(report));
    html! {
        section {
            h2 { "Tiers" }
            @for (title, cells) in &tables {
                h3.table { (title) }
                @match Curve::of_tiers(report).filter(|_| *title == tiers::EVERY_SIZE) {
                    Some((curve, left_out)) => {
                        (left_out_of(&curve, left_out))
                        (capacity::chart(&curve, "tiers", &by_tier, &plain_table(cells)))
                    }
                    None => (scrolling(title, cells.len() > MOST, &plain_table(cells))),
                }
            }
        }
    }
}

/// How many lines there would be, if they are not all drawn.
fn left_out_of(curve: &Curve, left_out: usize) -> Markup {
    html! {
        @if left_out > 0 {
            p.quiet { "The first " (curve.lines.len()) " of " (curve.lines.len() + left_out) "." }
        }
    }
}

/// Cells as they are, under their header.
fn plain_table(cells: &Cells) -> Markup {
    let Some((header, rows)) = cells.split_first() else { return Markup::default() };
    let body = html! {
        @for row in rows {
            tr {
                @for (place, cell) in row.iter().enumerate() {
                    @if place == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                }
            }
        }
    };
    table(header, &body)
}

fn ttls(report: &Report) -> Markup {
    if report.fleets.iter().all(|fleet| fleet.ttls.is_empty()) {
        return Markup::default();
    }
    let has_work = report.fleets.iter().any(|fleet| fleet.compute.is_some());
    let body = html! {
        @for fleet in &report.fleets {
            @for ttl in &fleet.ttls {
                tr {
                    th scope="row" { (fleet.name()) }
                    td { (plain(ttl.ttl_ms as f64 / 1000.0)) " s" }
                    td { (ttl.capacity_blocks.map_or_else(|| html! { "no limit" }, count)) }
                    td { (count(ttl.hits.hit_tokens)) }
                    td { (rate(ttl.hits.rate())) }
                    (work_cells(ttl.work.as_ref(), Accuracy::Exact, has_work))
                }
            }
        }
    };
    let names = ["Replicas", "Time to live", "Blocks each", "Hit tokens", "Token hit rate"].into_iter();
    let names: Vec<_> = names.chain(has_work.then_some(WORK).into_iter().flatten()).collect();
    let title = "Replicas whose blocks expire";
    html! { h3.table { (title) } (scrolling(title, true, &table(&names, &body))) }
}
