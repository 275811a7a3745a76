//! Finite caches: their curve, and the tables of those asked for.

use maud::{Markup, html};

use super::parts::{both, count, data, plain, rate, scrolling, size, table};
use super::price;
use crate::report::cells;
use crate::report::curve::Curve;
use crate::report::curve_chart::{self, Scale, height_of_axes};
use crate::report::numbers::short;
use crate::report::svg::Size;
use crate::stats::{CapacityRow, Report};

const WIDE: Size = (720.0, 278.0);
const NARROW: Size = (344.0, 258.0);

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
    let names = names.chain(report.price.iter().flat_map(|_| price::COLUMNS));
    let names = names.chain(estimated.then_some("Standard error"));
    let body = html! {
        @for (asked, row) in rows {
            @let mark = cells::limit(row.accuracy, "≥ ", "≤ ");
            tr {
                @if let Some(asked) = asked { th scope="row" { (asked) } td { (row.policy) } }
                @else { th scope="row" { (row.policy) } }
                td { (count(row.capacity_blocks)) }
                @if let Some(bytes) = row.capacity_bytes { td { (size(bytes)) } }
                td { (mark) (count(row.hits.hit_tokens)) }
                td { (mark) (rate(row.hits.rate())) }
                td { (mark) (row.hits.prefill_saving().map_or_else(|| html! { "–" }, plain)) }
                (price::cells(row.cost, row.accuracy))
                @if estimated { td { (rate(row.accuracy.standard_error())) } }
            }
        }
    };
    table(&names.collect::<Vec<_>>(), &body)
}

fn ttl_table(report: &Report) -> Markup {
    let mark = cells::limit(report.ttls.accuracy, "≥ ", "≤ ");
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
                (price::cells(ttl.cost, report.ttls.accuracy))
            }
        }
    };
    let names = ["Time to live"].into_iter().chain(has_sizes.then_some("Blocks"));
    let names = names.chain(["Hit tokens", "Token hit rate", "Prefill saving"]);
    table(&names.chain(report.price.iter().flat_map(|_| price::COLUMNS)).collect::<Vec<_>>(), &body)
}
