//! The groups of `--by`: one table, and one chart of those with most prompt tokens.

use maud::{Markup, html};

use super::capacity;
use super::parts::{count, mark, plain, rate, scrolling, size, table};
use crate::error::printable;
use crate::report::curve::Curve;
use crate::report::groups::{enough, with_all};
use crate::report::numbers::grouped;
use crate::stats::{CapacityRow, GroupReport, Report, Summary};

/// The values of a field side by side.
pub(super) fn section(report: &Report, field: &str, groups: &[GroupReport]) -> Markup {
    html! {
        section {
            h2 { "By " (field) }
            p.quiet { "Each value as a trace of its own, with caches of its own." }
            (scrolling("Groups", groups.len() > 24, &group_table(field, &with_all(report, groups))))
            @if let Some((curve, left_out)) = Curve::of_groups(groups).filter(|(curve, _)| !curve.lines.is_empty()) {
                h3.table { "Hit rate against cache capacity, by " (field) }
                @if left_out > 0 {
                    p.quiet { "The " (curve.lines.len()) " values with most prompt tokens of " (curve.lines.len() + left_out) "." }
                }
                @if groups.windows(2).any(|two| two[0].1.block_size != two[1].1.block_size) {
                    p.quiet { "Capacities are in blocks of the smallest size." }
                }
                (capacity::chart(&curve, "groups", &format!("Hit rate against cache capacity by {field}"), &curve_table(&curve)))
            }
        }
    }
}

fn group_table(field: &str, groups: &[GroupReport]) -> Markup {
    let some_has = |has: fn(&CapacityRow) -> bool| {
        groups.iter().any(|(_, report)| enough(report).is_some_and(|(_, row)| has(row)))
    };
    let has_tokens = some_has(|row| row.capacity_tokens.is_some());
    let has_bytes = some_has(|row| row.capacity_bytes.is_some());
    let has_recorded = groups.iter().any(|(_, r)| r.recorded.is_some());
    let has_size = some_has(|_| true);
    let names =
        [field, "Requests", "Input tokens", "Mean input length", "Mean output length", "Token hit rate"];
    let names = names.into_iter().chain(has_size.then_some("Blocks for 90 % of it"));
    let names = names.chain(has_tokens.then_some("In tokens"));
    let names = names.chain(has_bytes.then_some("Size")).chain(has_recorded.then_some("Recorded"));
    let mean = |summary: &Option<Summary>| summary.as_ref().map_or_else(|| html! { "–" }, |s| plain(s.mean));
    let rows = html! {
        @for (value, report) in groups {
            @let enough = enough(report);
            tr data-group=[value.as_deref().map(printable)] {
                th scope="row" {
                    @match value {
                        Some(value) => { (printable(value)) }
                        None => { i { "other values" } }
                    }
                }
                td { (count(report.requests)) }
                td { (count(report.input_tokens)) }
                td { (mean(&report.input_length.value)) }
                td { (mean(&report.output_length.value)) }
                td {
                    (mark(report.token_hit_rate.accuracy))
                    (rate(report.token_hit_rate.value))
                }
                @if has_size { td { (enough.map_or_else(|| html! { "–" }, |(about, row)| html! { (about) (count(row.capacity_blocks)) })) } }
                @if has_tokens { td { (enough.and_then(|(_, row)| row.capacity_tokens).map_or_else(|| html! { "–" }, count)) } }
                @if has_bytes { td { (enough.and_then(|(_, row)| row.capacity_bytes).map_or_else(|| html! { "–" }, size)) } }
                @if has_recorded { td { (rate(report.recorded.as_ref().and_then(|recorded| recorded.token_hit_rate))) } }
            }
        }
    };
    table(&names.collect::<Vec<_>>(), &rows)
}

fn curve_table(curve: &Curve) -> Markup {
    let rows = html! {
        @for line in &curve.lines {
            @for point in &line.points {
                tr { th scope="row" { (line.name) } td { (grouped(point.blocks as u128)) } td { @if point.at_least { "≥ " } (rate(Some(point.rate))) } }
            }
        }
    };
    table(&["Value", "Blocks", "Token hit rate"], &rows)
}
