//! What the server found beside what was possible.

use maud::{Markup, html};

use super::parts::{count, figure, mark, rate, scrolling, table};
use super::price;
use crate::report::cells::Number;
use crate::report::numbers::{grouped, moment};
use crate::report::recorded::{numbers, sentences, worth};
use crate::stats::{Accuracy, Comparison, Cost, RecordedFigures, Report};

/// The comparison, where records say what the server found and have ids too.
pub(super) fn section(report: &Report) -> Markup {
    let Some(recorded) = &report.recorded else { return Markup::default() };
    let Some(compared) = &recorded.compared else { return Markup::default() };
    html! {
        section {
            h2 { "Recorded by the server, and possible" }
            @for sentence in sentences(report) { p.quiet { (sentence) } }
            (scrolling("Recorded and possible", false, &summary(report, recorded, compared)))
            @if recorded.hours.len() > 1 {
                details {
                    summary { "By hour" }
                    (scrolling("By hour", true, &hours(recorded, report.possible)))
                }
            }
        }
    }
}

fn summary(report: &Report, recorded: &RecordedFigures, compared: &Comparison) -> Markup {
    let possible = report.possible;
    let (least, most, about) = (mark(possible), mark(possible.reversed()), mark(possible.loosely()));
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
    let body = html! {
        (row("All prompt tokens", "", compared.input_tokens, None))
        (row("Found by the server", "", compared.found_tokens, None))
        (row("Possible by the ids", least, compared.possible_tokens, None))
        (row("Evicted, expired or elsewhere", least, compared.evicted_tokens, None))
        (row("Lost to block rules", about, compared.rules_tokens, None))
        (row("Found above possible", most, compared.above_possible_tokens, None))
        @for cache in &recorded.caches { (row(&format!("By {}", cache.cache), least, cache.hit_tokens, cache.cost)) }
    };
    let names = ["Requests with recorded hits", "Tokens", "Rate"].into_iter();
    table(&names.chain(report.price.iter().flat_map(|_| price::COLUMNS)).collect::<Vec<_>>(), &body)
}

fn hours(recorded: &RecordedFigures, possible: Accuracy) -> Markup {
    let text = |value: &Number| match value {
        Number::Count(n) => grouped(*n),
        Number::Real(_) => value.to_string(),
    };
    let body = html! {
        @for hour in &recorded.hours {
            tr {
                th scope="row" { (figure(&format!("{:?}", hour.start_ms), &moment(hour.start_ms))) }
                @for (name, value) in numbers(&hour.compared) { td { (mark(worth(name, possible))) (figure(&value.to_string(), &text(&value))) } }
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
