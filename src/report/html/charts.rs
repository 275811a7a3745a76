//! Distributions, and what happens over time.

use maud::{Markup, html};

use super::parts::{both, count, data, rate, table};
use crate::report::cells;
use crate::report::numbers::{percent, short};
use crate::report::svg::{self, Size, Values};
use crate::stats::{Accuracy, Report, Summary, TimelineFigures};

const WIDE_TIME: Size = (720.0, 220.0);
const NARROW_TIME: Size = (344.0, 200.0);
const SMALL: Size = (344.0, 210.0);

/// What a quantity is called, and what it is.
pub(super) fn explained(name: &str) -> (&'static str, &'static str) {
    match name {
        "input_length" => ("Input length", "tokens of the prompt"),
        "context_length" => ("Context length", "tokens in blocks that occur more than once in the trace"),
        "unique_prompt_length" => ("Unique prompt length", "tokens that no other request has"),
        "output_length" => ("Output length", "tokens generated"),
        "hit_rate" => ("Theoretical hit rate", "share of the blocks that an infinite cache holds on arrival"),
        _ => ("Cached length", "prompt tokens that an infinite cache holds on arrival"),
    }
}

/// The distributions.
pub(super) fn lengths(report: &Report) -> Markup {
    let [input, context, unique, output, hit_rate, cached] = cells::summaries(report);
    let charts: Vec<_> = [input, output, context, unique, cached, hit_rate]
        .into_iter()
        .filter_map(|(name, figure)| Some((name, figure.value.as_ref()?, figure.accuracy)))
        .filter(|(_, summary, _)| !summary.bins.is_empty())
        .collect();
    html! {
        @if !charts.is_empty() {
            section {
                h2 { "Distributions" }
                p.quiet { "How many requests have how many tokens." }
                div.grid {
                    @for (name, summary, accuracy) in charts {
                        (distribution(name, summary, accuracy))
                    }
                }
            }
        }
    }
}

fn distribution(name: &str, summary: &Summary, accuracy: Accuracy) -> Markup {
    let bins = &summary.bins[..];
    let (title, explanation) = explained(name);
    let mark = cells::limit(accuracy, " (lower bounds)", " (upper bounds)");
    let values = if name == "hit_rate" { Values::Rates } else { Values::Tokens };
    let span = match values {
        Values::Tokens => {
            let [min, max, mean] = [summary.min, summary.max, summary.mean].map(short);
            format!(" From {min} to {max} tokens, mean {mean}.")
        }
        Values::Rates => format!(" Mean {}.", percent(summary.mean)),
    };
    let unit = if values == Values::Rates { "Share" } else { "Tokens" };
    let rows = html! {
        @for bin in bins.iter().filter(|bin| bin.count > 0) {
            tr { th scope="row" { (svg::bin_text(bin, values)) } td { (count(bin.count)) } }
        }
    };
    html! {
        figure data-chart=(name) {
            figcaption { h3 { (title) (mark) } small { (explanation) } }
            (svg::embedded(
                &format!("Distribution of {}{mark}.{span}", title.to_lowercase()),
                "small",
                SMALL,
                &svg::histogram(bins, values, SMALL),
            ))
            (data(title, &table(&[unit, "Requests"], &rows)))
        }
    }
}

/// Arrivals and hits by trace time.
pub(super) fn over_time(report: &Report) -> Markup {
    let Some(timeline) = report.timeline.as_ref().filter(|timeline| !timeline.buckets.is_empty()) else {
        return Markup::default();
    };
    let TimelineFigures { length_s, ref buckets } = *timeline;
    let sizes = (WIDE_TIME, NARROW_TIME);
    let arrivals = |size, hover| svg::arrivals(timeline, size, hover);
    let at_least = report.token_hit_rate.accuracy == Accuracy::AtLeast;
    let hits = |size, hover| svg::hits_over_time(timeline, at_least, size, hover);
    let peak = buckets.iter().map(|bucket| bucket.requests).max().unwrap_or(0) as f64 / length_s;
    html! {
        section {
            h2 { "Over time" }
            p.quiet { "By " (length_s) " s of trace time since the first request; the last one may be cut short by the end of the trace." }
            figure data-chart="arrivals" {
                figcaption { h3 { "Arrivals" } }
                (both(
                    &format!("Requests per second over trace time, at most {} per second.", short(peak)),
                    "",
                    &arrivals(sizes.0, true),
                    &arrivals(sizes.1, false),
                    sizes,
                ))
                (data("Arrivals over time", &time_table(timeline)))
            }
            @if buckets.iter().any(|bucket| bucket.tokens > 0) {
                figure data-chart="hits" {
                    figcaption { h3 { "Hit rate of the infinite cache" } }
                    (both(
                        &format!(
                            "Token hit rate of an infinite cache over trace time, {}{} in the end.",
                            if at_least { "at least " } else { "" },
                            svg::running(buckets).last().copied().flatten().map_or_else(String::new, percent),
                        ),
                        "",
                        &hits(sizes.0, true),
                        &hits(sizes.1, false),
                        sizes,
                    ))
                    (data("Hit rate over time", &hits_table(timeline, at_least)))
                }
            }
        }
    }
}

fn time_table(timeline: &TimelineFigures) -> Markup {
    let TimelineFigures { length_s, ref buckets } = *timeline;
    let rows = html! {
        @for (index, bucket) in buckets.iter().enumerate() {
            tr { th scope="row" { (svg::span(index, length_s)) } td { (count(bucket.requests)) } }
        }
    };
    table(&["Time", "Requests"], &rows)
}

fn hits_table(timeline: &TimelineFigures, at_least: bool) -> Markup {
    let TimelineFigures { length_s, ref buckets } = *timeline;
    let mark = if at_least { "≥ " } else { "" };
    let rows = html! {
        @for ((index, bucket), running) in buckets.iter().enumerate().zip(svg::running(buckets)) {
            tr {
                th scope="row" { (svg::span(index, length_s)) }
                td { (count(bucket.tokens)) }
                td { (mark) (count(bucket.cached_tokens)) }
                td { (mark) (rate(bucket.token_hit_rate())) }
                td { (mark) (rate(running)) }
            }
        }
    };
    table(&["Time", "Prompt tokens", "Cached", "Hit rate", "Since the beginning"], &rows)
}
