//! Finite caches: their curve, and the tables of those asked for.

use maud::{Markup, html};

use super::parts::{self, both, count, data, flops, mark, plain, rate, scrolling, size, table};
use super::price;
use crate::report::curve::Curve;
use crate::report::curve_chart::{self, Scale, height_of_axes};
use crate::report::numbers::short;
use crate::report::svg::Size;
use crate::stats::{Accuracy, CapacityRow, PrefillWork, Report};

const WIDE: Size = (720.0, 278.0);
const NARROW: Size = (344.0, 258.0);

/// Columns of what a cache leaves to compute.
pub(super) const WORK: [&str; 2] = ["Saving in compute", "Prefill FLOPs"];

/// More rows than these are folded.
const MOST: usize = 24;

/// Hit rate against capacity.
pub(super) fn section(report: &Report) -> Markup {
    let tables = asked_for(report);
    html! {
        @if let Some(curve) = Curve::of(report) {
            section {
                h2 { "Hit rate against cache capacity" }
                p.quiet { "Share of the prompt tokens that a prefix cache of each size serves." }
                (chart(&curve, "capacity", "Hit rate against cache capacity", &curve_table(report)))
                (tables)
            }
        } @else if !tables.0.is_empty() {
            section { h2 { "Caches" } (tables) }
        }
    }
}

/// Hit rate against capacity as a figure, by ratio and evenly, with its data.
pub(super) fn chart(curve: &Curve, name: &str, title: &str, table: &Markup) -> Markup {
    let axes = height_of_axes(curve);
    let sizes = ((WIDE.0, WIDE.1 + axes), (NARROW.0, NARROW.1 + axes));
    let label = format!("{title}. {}", curve_chart::summary(curve));
    let drawn = |scale, class| {
        let (wide, narrow) =
            (curve_chart::chart(curve, sizes.0, scale), curve_chart::chart(curve, sizes.1, scale));
        both(&label, class, &wide, &narrow, sizes)
    };
    html! {
        figure data-chart=(name) {
            (drawn(Scale::Log, "log-scale"))
            (drawn(Scale::Linear, "even-scale"))
            (data(title, table))
        }
    }
}

/// The tables of the caches asked for, each under its heading.
fn asked_for(report: &Report) -> Markup {
    let capacity = report.caches.iter().flat_map(|caches| &caches.capacity);
    let capacity: Vec<_> = capacity.map(|row| (None, row)).collect();
    let share = |share: f64| format!("{} %", short(share * 100.0));
    let targets: Vec<_> = report.targets.value.iter().map(|t| (Some(share(t.share)), &t.row)).collect();
    html! {
        @if !capacity.is_empty() { (titled("Caches asked for", &rows_table(report, None, &capacity), capacity.len())) }
        @if !targets.is_empty() {
            (titled("Smallest caches for a share of all hits", &rows_table(report, Some("Share"), &targets), targets.len()))
        }
        @if !report.ttls.value.is_empty() {
            (titled("Caches whose blocks expire", &ttl_table(report), report.ttls.value.len()))
        }
    }
}

fn titled(title: &str, table: &Markup, rows: usize) -> Markup {
    let table = scrolling(title, rows > MOST, table);
    html! {
        h3.table { (title) }
        @if rows > MOST { details { summary { (rows) " caches" } (table) } } @else { (table) }
    }
}

fn curve_table(report: &Report) -> Markup {
    let Some(caches) = &report.caches else { return Markup::default() };
    let rows: Vec<_> = caches.curve.iter().chain([&caches.infinite]).map(|row| (None, row)).collect();
    rows_table(report, None, &rows)
}

/// Caches with what they serve; the first column, if it has a name, is what was asked for.
fn rows_table(
    report: &Report,
    first: Option<&'static str>,
    rows: &[(Option<String>, &CapacityRow)],
) -> Markup {
    let in_bytes = rows.iter().any(|(_, row)| row.capacity_bytes.is_some());
    let estimated = report.estimate.is_some();
    let names = first.into_iter().chain(["Policy", "Blocks"]).chain(in_bytes.then_some("Size"));
    let names = names.chain(["Hit tokens", "Token hit rate", "Prefill saving"]);
    let has_work = rows.iter().any(|(_, row)| row.work.is_some());
    let names = names.chain(has_work.then_some(WORK).into_iter().flatten());
    let names = names.chain(report.price.iter().flat_map(|_| price::COLUMNS));
    let has_opt = rows.iter().any(|(_, row)| row.below_opt.is_some());
    let names = names.chain(has_opt.then_some("Below opt"));
    let names = names.chain(estimated.then_some("Standard error"));
    let body = html! {
        @for (asked, row) in rows {
            @let (worth, size_worth) = worth(report, asked.is_some(), row);
            @let mark = mark(worth);
            tr {
                @if let Some(asked) = asked { th scope="row" { (asked) } td { (row.policy) } }
                @else { th scope="row" { (row.policy) } }
                td { (parts::mark(size_worth)) (count(row.capacity_blocks)) }
                @if let Some(bytes) = row.capacity_bytes { td { (size(bytes)) } }
                td { (mark) (count(row.hits.hit_tokens)) }
                td { (mark) (rate(row.hits.rate())) }
                td { (mark) (row.hits.prefill_saving().map_or_else(|| html! { "–" }, plain)) }
                (work_cells(row.work.as_ref(), worth, has_work))
                (price::cells(row.cost, worth))
                @if has_opt { td { (rate(row.below_opt)) } }
                @if estimated { td { (rate(row.accuracy.standard_error())) } }
            }
        }
    };
    table(&names.collect::<Vec<_>>(), &body)
}

/// What the hits and the size of a cache are worth.
fn worth(report: &Report, is_target: bool, row: &CapacityRow) -> (Accuracy, Accuracy) {
    match row.policy {
        _ if is_target && report.targets.accuracy == Accuracy::Neither => {
            (Accuracy::Neither, Accuracy::Neither)
        }
        "infinite" => (row.accuracy, report.unique_blocks.accuracy),
        _ => (row.accuracy, Accuracy::Exact),
    }
}

/// What a cache leaves to compute, where that is told of any.
pub(super) fn work_cells(work: Option<&PrefillWork>, accuracy: Accuracy, has_work: bool) -> Markup {
    let (at_least, at_most) = (mark(accuracy), mark(accuracy.reversed()));
    let saving = work.and_then(|work| work.prefill_saving_compute);
    html! {
        @if has_work {
            td { (at_least) (saving.map_or_else(|| html! { "–" }, plain)) }
            td { (at_most) (work.map_or_else(|| html! { "–" }, |work| flops(work.prefill_flops))) }
        }
    }
}

fn ttl_table(report: &Report) -> Markup {
    let mark = mark(report.ttls.accuracy);
    let has_work = report.ttls.value.iter().any(|ttl| ttl.work.is_some());
    let has_sizes = report.ttls.value.iter().any(|ttl| ttl.capacity_blocks.is_some());
    let body = html! {
        @for ttl in &report.ttls.value {
            tr {
                th scope="row" {
                    @if ttl.fixed { "fixed " }
                    (plain(ttl.ttl_ms as f64 / 1000.0)) " s"
                }
                @if has_sizes { td { (ttl.capacity_blocks.map_or_else(|| html! { "no limit" }, count)) } }
                td { (mark) (count(ttl.hits.hit_tokens)) }
                td { (mark) (rate(ttl.hits.rate())) }
                td { (mark) (ttl.hits.prefill_saving().map_or_else(|| html! { "–" }, plain)) }
                (work_cells(ttl.work.as_ref(), report.ttls.accuracy, has_work))
                (price::cells(ttl.cost, report.ttls.accuracy))
            }
        }
    };
    let names = ["Time to live"].into_iter().chain(has_sizes.then_some("Blocks"));
    let names = names.chain(["Hit tokens", "Token hit rate", "Prefill saving"]);
    let names = names.chain(has_work.then_some(WORK).into_iter().flatten());
    table(&names.chain(report.price.iter().flat_map(|_| price::COLUMNS)).collect::<Vec<_>>(), &body)
}
