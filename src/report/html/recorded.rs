//! What the server found beside what was possible.

use maud::{Markup, html};

use super::parts::{count, figure, rate, scrolling, table};
use crate::report::cells::{Number, limit};
use crate::report::numbers::{grouped, moment};
use crate::report::recorded::{numbers, sentences};
use crate::stats::{Comparison, RecordedFigures, Report};

/// The comparison, where records say what the server found and have ids too.
pub(super) fn section(report: &Report) -> Markup {
    let Some(recorded) = &report.recorded else { return Markup::default() };
    let Some(compared) = &recorded.compared else { return Markup::default() };
    let mark = limit(report.possible, "≥ ", "≤ ");
    html! {
        section {
            h2 { "Recorded by the server, and possible" }
            @for sentence in sentences(report) { p.quiet { (sentence) } }
            (scrolling("Recorded and possible", false, &summary(recorded, compared, mark)))
            @if recorded.hours.len() > 1 {
                details {
                    summary { "By hour" }
                    (scrolling("By hour", true, &hours(recorded)))
                }
            }
        }
    }
}

fn summary(recorded: &RecordedFigures, compared: &Comparison, mark: &str) -> Markup {
    let row = |name: &str, mark: &str, tokens: u128| {
        html! {
            tr {
                th scope="row" { (name) }
                td { (mark) (count(tokens)) }
                td { (mark) (rate(compared.share(tokens))) }
            }
        }
    };
    let above = if mark.is_empty() { "" } else { "≤ " };
    let body = html! {
        (row("All prompt tokens", "", compared.input_tokens))
        (row("Found by the server", "", compared.found_tokens))
        (row("Possible by the ids", mark, compared.possible_tokens))
        (row("Evicted, expired or elsewhere", mark, compared.evicted_tokens))
        (row("Lost to block rules", mark, compared.rules_tokens))
        (row("Found above possible", above, compared.above_possible_tokens))
        @for cache in &recorded.caches { (row(&format!("By {}", cache.cache), mark, cache.hit_tokens)) }
    };
    table(&["Requests with recorded hits", "Tokens", "Rate"], &body)
}

fn hours(recorded: &RecordedFigures) -> Markup {
    let text = |value: &Number| match value {
        Number::Count(n) => grouped(*n),
        other => other.to_string(),
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
