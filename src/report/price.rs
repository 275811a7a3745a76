//! Costs as text.

use crate::report::digits::{Digits, Number, limit, mark};
use crate::report::numbers::{percent, rounded};
use crate::stats::{Accuracy, Cost, Report};

/// The headers of the columns of costs in a table of caches.
pub(super) const COLUMNS: [&str; 3] = ["Cost", "Saving", "Saving Rate"];

/// The cells beneath [`COLUMNS`], for hits that are worth so much: more hits cost less.
pub(super) fn cells(cost: Option<Cost>, accuracy: Accuracy, digits: Digits) -> Vec<String> {
    let Some(Cost { cost, saving, saving_rate }) = cost else { return Vec::new() };
    let (above, below) = (mark(accuracy), mark(accuracy.reversed()));
    let rate = saving_rate.map(|rate| match digits {
        Digits::All => digits.real(rate),
        Digits::Few => percent(rate),
    });
    vec![
        format!("{below}{}", digits.real(cost)),
        format!("{above}{}", digits.real(saving)),
        rate.map_or_else(|| "-".into(), |rate| format!("{above}{rate}")),
    ]
}

/// What everything costs without a cache, with one without limit, and with that of the server.
pub(super) fn sentence(report: &Report) -> Option<String> {
    let figures = report.price?;
    let less = |cost: Cost| {
        let rate = cost.saving_rate?;
        let (share, word) = if rate < 0.0 { (-rate, "more") } else { (rate, "less") };
        Some(format!("{} ({} {word})", rounded(cost.cost), percent(share)))
    };
    let mark = limit(report.cached_tokens.accuracy.reversed(), "at least ", "at most ");
    let infinite = figures.infinite.and_then(less);
    let infinite = infinite.map_or_else(String::new, |cost| format!(", {mark}{cost} with one without limit"));
    let recorded = report.recorded.as_ref().and_then(|recorded| less(recorded.cost?));
    let recorded =
        recorded.map_or_else(String::new, |cost| format!("; as the server recorded its hits, {cost}"));
    Some(format!("Cost: {} without a cache{infinite}{recorded}.", rounded(figures.cost_without_cache)))
}

/// Prices and single costs by their names in JSON.
pub(super) fn totals(report: &Report) -> Vec<(&'static str, Number)> {
    let Some(figures) = &report.price else { return Vec::new() };
    let mut list = vec![
        ("price_input", Number::Real(figures.price.input)),
        ("price_cached", Number::Real(figures.price.cached)),
        ("price_write", Number::Real(figures.price.write)),
        ("price_output", Number::Real(figures.price.output)),
        ("cost_without_cache", Number::Real(figures.cost_without_cache)),
    ];
    if let Some(cost) = figures.infinite {
        list.push(("cost_infinite", Number::Real(cost.cost)));
        list.push(("saving_infinite", Number::Real(cost.saving)));
    }
    if let Some(cost) = report.recorded.as_ref().and_then(|recorded| recorded.cost) {
        list.push(("recorded_cost", Number::Real(cost.cost)));
        list.push(("recorded_saving", Number::Real(cost.saving)));
    }
    list
}

/// A cost by the names of its figures in JSON.
pub(super) fn numbers(cost: Cost) -> Vec<(&'static str, Number)> {
    let rate = cost.saving_rate.map(|rate| ("saving_rate", Number::Real(rate)));
    let figures = [("cost", Number::Real(cost.cost)), ("saving", Number::Real(cost.saving))];
    figures.into_iter().chain(rate).collect()
}
