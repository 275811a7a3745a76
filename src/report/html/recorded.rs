//! What the server found beside what was possible.

use maud::{Markup, html};

use super::parts::{count, figure, mark, rate, scrolling, table};
use super::price;
use crate::report::cells::Number;
use crate::report::numbers::{grouped, moment};
use crate::report::recorded::{numbers, sentences};
use crate::stats::{Comparison, Cost, RecordedFigures, Report};

/// The comparison, where records say what the server found and have ids too.
pub(super) fn section(report: &Report) -> Markup {
    let Some(recorded) = &report.recorded else { return Markup::default() };
    let Some(compared) = &recorded.compared else { return Markup::default() };
    let mark = mark(report.possible);
    html! {
        section {
            h2 { "Recorded by the server, and possible" }
            @for sentence in sentences(report) { p.quiet { (sentence) } }
            (scrolling("Recorded and possible", false, &summary(report, recorded, compared, mark)))
            @if recorded.hours.len() > 1 {
                details {
                    summary { "By hour" }
                    (scrolling("By hour", true, &hours(recorded)))
                }
            }
        }
    }
}

fn summary(report: &Report, recorded: &RecordedFigures, compared: &Comparison, mark: &str) -> Markup {
    let cost_columns = if report.price.is_some() { price::COLUMNS.len() } else { 0 };
    let row = |name: &str, mark: &str, tokens: u128, cost: Option<Cost>| {
        html! {
            tr {
                th scope="row" { (name) }
                td { (mark) (count(tokens)) }
                td { (mark) (rate(compared.share(tokens))) }
                @if cost.is_some() { (price::cells(cost, report.possible)) }
                @else { @for _ in 0..cost_columns { td { "–" } } }
            }
        }
    };
    let above = if mark.is_empty() { "" } else { "≤ " };
    let body = html! {
        (row("All prompt tokens", "", compared.input_tokens, None))
        (row("Found by the server", "", compared.found_tokens, None))
        (row("Possible by the ids", mark, compared.possible_tokens, None))
        (row("Evicted, expired or elsewhere", mark, compared.evicted_tokens, None))
        (row("Lost to block rules", mark, compared.rules_tokens, None))
        (row("Found above possible", above, compared.above_possible_tokens, None))
        @for cache in &recorded.caches { (row(&format!("By {}", cache.cache), mark, cache.hit_tokens, cache.cost)) }
    };
    let names = ["Requests with recorded hits", "Tokens", "Rate"].into_iter();
    table(&names.chain(report.price.iter().flat_map(|_| price::COLUMNS)).collect::<Vec<_>>(), &body)
}

fn hours(recorded: &RecordedFigures) -> Markup {
    let text = |value: &Number| match value {
        Number::Count(n) => grouped(*n),
        Number::Real(_) => value.to_string(),
    };
    let body = html! {
        @for hour in &recorded.hours {
            tr {
                th scope="row" { (figure(&format!("{:?}", hour.start_ms), &moment(hour.start_ms))) }
                @for (_, value) in numbers(&hour.compared) { td { (figure(&value.to_string(), &text(&value))) } }
            }
        }
    };
    let names = [
        "From",
        "Requests",
        "Tokens",
        "Found",
        "Possible",
        "Evicted",
        "Block rules",
        "Requests above",
        "Above",
        "Beyond a block",
        "Requests below",
        "Below",
    ];
    table(&names, &body)
}
