//! Costs as text.

use crate::report::digits::{Digits, Number, Total, limit, mark};
use crate::report::numbers::{grouped, percent, rounded};
use crate::stats::{Accuracy, Cost, PriceFigures, RecordedFigures, Report};

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
    let mark = limit(report.cached_tokens.accuracy.reversed(), "at least ", "at most ");
    let infinite = figures.infinite.and_then(less);
    let infinite = infinite.map_or_else(String::new, |cost| format!(", {mark}{cost} with one without limit"));
    let recorded = report.recorded.as_ref().and_then(|recorded| as_recorded(recorded, &figures));
    let recorded = recorded.unwrap_or_default();
    Some(format!("Cost: {} without a cache{infinite}{recorded}.", rounded(figures.cost_without_cache)))
}

/// A cost, and how much less than without a cache it is.
fn less(cost: Cost) -> Option<String> {
    let rate = cost.saving_rate?;
    let (share, word) = if rate < 0.0 { (-rate, "more") } else { (rate, "less") };
    Some(format!("{} ({} {word})", rounded(cost.cost), percent(share)))
}

/// What the requests cost whose hits were recorded. They may be fewer than all, so it says what they would cost
/// without a cache; and that what was written is not known, where it has a price of its own.
fn as_recorded(recorded: &RecordedFigures, figures: &PriceFigures) -> Option<String> {
    let (of, cost) = (recorded.cost?, less(recorded.cost?)?);
    let without = of.cost + of.saving;
    let is_part = rounded(without) != rounded(figures.cost_without_cache);
    let base = if is_part {
        format!(" than the {} of these {} requests", rounded(without), grouped(recorded.requests.into()))
    } else {
        String::new()
    };
    let cost = cost.strip_suffix(')').map_or_else(|| cost.clone(), |cost| format!("{cost}{base})"));
    let assumed = if recorded.assumes_writes(&figures.price) {
        ", if it wrote to its cache all that it did not find there"
    } else {
        ""
    };
    Some(format!("; as the server recorded its hits, {cost}{assumed}"))
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
