//! Costs as text.

use crate::report::digits::{Digits, Number, Total, limit, mark};
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

/// Prices and single costs.
pub(super) fn totals(report: &Report) -> Vec<Total> {
    let Some(figures) = &report.price else { return Vec::new() };
    let total = |name, value, accuracy| Total { name, value: Number::Real(value), accuracy };
    let exact = |name, value| total(name, value, Accuracy::Exact);
    let mut list = vec![
        exact("price_input", figures.price.input),
        exact("price_cached", figures.price.cached),
        exact("price_write", figures.price.write),
        exact("price_output", figures.price.output),
        exact("cost_without_cache", figures.cost_without_cache),
    ];
    if let Some(cost) = figures.infinite {
        let accuracy = report.cached_tokens.accuracy;
        list.push(total("cost_infinite", cost.cost, accuracy.reversed()));
        list.push(total("saving_infinite", cost.saving, accuracy));
    }
    if let Some(cost) = report.recorded.as_ref().and_then(|recorded| recorded.cost) {
        list.push(exact("recorded_cost", cost.cost));
        list.push(exact("recorded_saving", cost.saving));
    }
    list
}

/// A cost by the names of its figures in JSON.
pub(super) fn numbers(cost: Cost) -> Vec<(&'static str, Number)> {
    let rate = cost.saving_rate.map(|rate| ("saving_rate", Number::Real(rate)));
    let figures = [("cost", Number::Real(cost.cost)), ("saving", Number::Real(cost.saving))];
    figures.into_iter().chain(rate).collect()
}
