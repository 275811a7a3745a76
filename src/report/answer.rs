//! The answer in words: how much is reusable, how large a cache gives most of it, what the server had.

use crate::report::cells::limit;
use crate::report::groups;
use crate::report::numbers::{bytes, grouped, percent, short};
use crate::report::price;
use crate::report::recorded;
use crate::stats::{Accuracy, CapacityRow, Figure, RecordedFigures, Report};

/// The share of what is reusable that a cache must give to be called large enough.
pub const ENOUGH: f64 = 0.9;

/// More tokens than these are rounded: nobody reads the digits.
const MANY: u128 = 10_000_000;

/// Sentences, the most important first; none about an empty trace.
pub(super) fn sentences(report: &Report) -> Vec<String> {
    if report.requests == 0 {
        return Vec::new();
    }
    [
        Some(reusable(report)),
        order(report),
        enough(report),
        report.recorded.as_ref().map(|recorded| server(recorded, report.requests)),
    ]
    .into_iter()
    .flatten()
    .chain(recorded::sentences(report))
    .chain(price::sentence(report))
    .collect()
}

/// That the records come in another order than their times, where many do.
fn order(report: &Report) -> Option<String> {
    let arrivals = report.arrivals.as_ref().filter(|arrivals| arrivals.late > arrivals.requests / 10)?;
    Some(format!(
        "{} of {} records are earlier than one before them: the figures are those of this order, and sorted (trace-cat) \
         there may be others.",
        grouped(arrivals.late.into()),
        grouped(arrivals.requests.into()),
    ))
}

fn reusable(report: &Report) -> String {
    let Figure { value, accuracy, .. } = report.token_hit_rate;
    let Some(rate) = value else {
        return "Nothing is known of reuse: no request has block ids and tokens.".into();
    };
    if rate == 0.0 && accuracy == Accuracy::Exact {
        return nothing(report);
    }
    let of = if report.requests_without_ids > 0 { ", of requests with block ids," } else { "" };
    format!(
        "Reusable: {}{} of the prompt tokens{of} ({}), by a cache without limit.",
        worth(accuracy),
        percent(rate),
        grouped(report.cached_tokens.value),
    )
}

/// That nothing is reusable, and whether that may be due to long blocks.
fn nothing(report: &Report) -> String {
    let mean = report.input_length.value.as_ref().map_or(0.0, |lengths| lengths.mean);
    let served = report.recorded.as_ref().is_some_and(|recorded| recorded.cached_tokens > 0);
    let (size, why) = match report.block_size {
        size if served => (size, "and the server did find some".to_owned()),
        size if mean < 2.0 * size as f64 => (size, format!("and a prompt has {mean:.0} on average")),
        _ => return "Nothing is reusable: no request begins with blocks of an earlier one.".into(),
    };
    format!(
        "Nothing is reusable in whole blocks of {size} tokens, {why}: smaller blocks may show more (-b of trace-hash)."
    )
}

/// How large a cache is enough.
fn enough(report: &Report) -> Option<String> {
    let (about, row) = groups::enough(report)?;
    Some(format!(
        "Large enough: an LRU cache of {about}{}, which gives {:.0} % of that.",
        size(row, report.block_size),
        ENOUGH * 100.0,
    ))
}

/// A cache in blocks and tokens, and in bytes where these are known.
fn size(row: &CapacityRow, block_size: u64) -> String {
    let plural = if row.capacity_blocks == 1 { "" } else { "s" };
    let in_bytes = row.capacity_bytes.map_or_else(String::new, |size| format!(", {}", bytes(size)));
    let blocks = grouped(row.capacity_blocks.into());
    format!("{blocks} block{plural} ({} tokens{in_bytes})", tokens(row, block_size))
}

/// How many tokens a cache holds.
pub(super) fn tokens(row: &CapacityRow, block_size: u64) -> String {
    let tokens = u128::from(row.capacity_blocks) * u128::from(block_size);
    if tokens < MANY { grouped(tokens) } else { short(tokens as f64) }
}

fn server(recorded: &RecordedFigures, requests: u64) -> String {
    let RecordedFigures { requests: told, input_tokens, cached_tokens, token_hit_rate, .. } = *recorded;
    let of = match requests - told {
        0 => String::new(),
        _ => format!(" in the {} of {} requests that say so", grouped(told.into()), grouped(requests.into())),
    };
    let rate = token_hit_rate.map_or_else(|| "nothing".into(), percent);
    format!(
        "Recorded: the server had {rate} of the prompt tokens in its cache, {} of {} by its own count{of}.",
        grouped(cached_tokens),
        grouped(input_tokens),
    )
}

/// What stands before a figure that is no exact one.
fn worth(accuracy: Accuracy) -> &'static str {
    match accuracy {
        Accuracy::Neither | Accuracy::Estimate { .. } => "about ",
        _ => limit(accuracy, "at least ", "at most "),
    }
}
