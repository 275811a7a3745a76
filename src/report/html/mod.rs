//! The report as one page that needs nothing else: no network, light and dark, for wide windows and phones;
//! every chart with its data as a table. A small script makes tables sort and charts tell their values, and
//! the page can do without it.

mod capacity;
mod charts;
mod fleets;
mod groups;
mod misses;
mod parts;
mod price;
mod recorded;
mod reuse;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use charts::explained;
use parts::{count, figure, mark, rate, real, scrolling, size, table};

use crate::report::answer;
use crate::report::cells::{self, Number};
use crate::report::groups::enough;
use crate::report::numbers::{grouped, moment, percent, rounded, short, time_unit};
use crate::report::svg;
use crate::stats::{Accuracy, ArrivalFigures, GroupReport, HitRule, Report, Summary};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a page was made of.
pub(super) struct Origin<'a> {
    /// What the input is called.
    pub(super) input: &'a str,
    /// The command line.
    pub(super) command: &'a str,
}

/// Appends the page; `by` has the field and the reports on its values.
pub(super) fn write(report: &Report, origin: &Origin, by: Option<(&str, &[GroupReport])>, out: &mut Vec<u8>) {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (report.title.as_deref().unwrap_or("Request trace report")) ": " (origin.input) }
                // An empty icon, so that none is asked for.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) (PreEscaped(svg::STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { (report.title.as_deref().unwrap_or("Request trace report")) }
                        p.quiet { (origin.input) }
                    }
                    @for note in notes(report) {
                        p.note role="note" { (note) }
                    }
                    (answer_tiles(report))
                    (tiles(report))
                    (capacity::section(report))
                    (recorded::section(report))
                    (misses::section(report))
                    (reuse::section(report))
                    (fleets::section(report))
                    (fleets::tiers(report))
                    @if let Some((field, groups)) = by {
                        (groups::section(report, field, groups))
                    }
                    (prefixes(report))
                    (statistics(report))
                    (charts::lengths(report))
                    (charts::over_time(report))
                    (footer(report, origin))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    out.extend_from_slice(page.into_string().as_bytes());
    out.push(b'\n');
}

/// What the figures are worth, where they are not exact or cover not all requests.
fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if report.requests == 0 {
        notes.push("No requests in the input.".to_owned());
    }
    if report.requests_without_ids > 0 {
        let n = grouped(report.requests_without_ids.into());
        notes.push(format!("{n} requests have no block ids: they count in input and output length only."));
    }
    if report.skipped_records > 0 {
        let n = grouped(report.skipped_records.into());
        notes.push(format!("{n} bad records were skipped: they are in no figure."));
    }
    if let Some(estimate) = &report.estimate {
        let n = grouped(estimate.sampled_blocks.into());
        notes.push(format!(
            "Figures of hits are estimates from a sample of {n} blocks, with standard errors; those \
             that need every block are left out. Lengths and arrivals are exact."
        ));
    }
    if let Some(bound) = &report.bound {
        let n = grouped(bound.forgotten_blocks.into());
        let exact = bound.exact_capacity_blocks.map_or_else(String::new, |blocks| {
            format!(" LRU caches of at most {} blocks are exact.", grouped(blocks.into()))
        });
        notes.push(format!(
            "Memory ran short: {n} blocks were forgotten. Figures marked ≥ or \"at least\" are \
             lower bounds, those marked ≤ or \"at most\" upper bounds.{exact}"
        ));
    }
    if report.hit_rule == HitRule::Engine {
        notes.push(
            "Hits are counted as engines do: full blocks only, the last token always computed.".to_owned(),
        );
    }
    if let Some(unit) = report.hit_unit.value {
        let last = if unit.is_last_dropped { ", and the last one found is computed again" } else { "" };
        let share = unit.below_share.map_or_else(String::new, |share| {
            let mark = mark(report.hit_unit.accuracy);
            format!(" Below one unit: {mark}{:.1} % of what is shared.", share * 100.0)
        });
        let (min, tokens) = (grouped(unit.min_tokens.into()), grouped(unit.tokens.into()));
        notes.push(match (unit.min_tokens, unit.tokens) {
            (0, _) => format!("Prefixes are found in multiples of {tokens} tokens{last}.{share}"),
            (_, 1) => format!("Hits are counted from {min} tokens on.{share}"),
            _ => format!("Hits are counted from {min} tokens on, in steps of {tokens}.{share}"),
        });
    }
    notes
}

/// What one came to know.
fn answer_tiles(report: &Report) -> Markup {
    let hits = &report.token_hit_rate;
    html! {
        dl.tiles.answer {
            div {
                dt { "Reusable, with a cache without limit" }
                dd {
                    (mark(hits.accuracy)) (rate(hits.value))
                    @if let Some(error) = hits.accuracy.standard_error() { " ± " (format!("{:.1}", error * 100.0)) }
                    small { (mark(report.cached_tokens.accuracy)) (count(report.cached_tokens.value)) " of the prompt tokens" }
                }
            }
            @if let Some((about, row)) = enough(report) {
                div {
                    dt { "Cache for 90 % of that (LRU)" }
                    dd {
                        (about)
                        @if let Some(bytes) = row.capacity_bytes { (size(bytes)) }
                        @else { (count(row.capacity_blocks)) " blocks" }
                        small {
                            @if row.capacity_bytes.is_some() { (about) (count(row.capacity_blocks)) " blocks, " }
                            (about) (answer::tokens(row, report.block_size)) " tokens"
                        }
                    }
                }
            }
            @if let Some(recorded) = &report.recorded {
                div {
                    dt { "Recorded by the server" }
                    dd {
                        (rate(recorded.token_hit_rate))
                        small { (count(recorded.cached_tokens)) " tokens from its cache, in " (count(recorded.requests)) " requests" }
                        @if let Some(line) = crate::report::recorded::line(recorded, report.possible) { small { (line) } }
                    }
                }
            }
            (price::tile(report))
        }
    }
}

/// The figures that one looks at next.
fn tiles(report: &Report) -> Markup {
    html! {
        dl.tiles {
            div { dt { "Requests" } dd { (count(report.requests)) } }
            div { dt { "Input tokens" } dd { (count(report.input_tokens)) } }
            div { dt { "Output tokens" } dd { (count(report.output_tokens)) } }
            div { dt { "Distinct blocks" } dd { (mark(report.unique_blocks.accuracy)) (count(report.unique_blocks.value)) } }
            @if let Some(arrivals) = &report.arrivals {
                div { dt { "Duration" } dd { (duration(arrivals)) } }
                @if let Some(mean) = arrivals.mean_rate {
                    div {
                        dt { "Requests per second, mean / peak" }
                        dd {
                            (real(mean, &short(mean))) " / "
                            @match arrivals.peak_step_rate {
                                Some(peak) => (real(peak, &short(peak))),
                                None => (count(arrivals.peak_rate)),
                            }
                        }
                    }
                }
            }
        }
    }
}

fn duration(arrivals: &ArrivalFigures) -> Markup {
    let (name, unit) = time_unit(arrivals.duration_s);
    real(arrivals.duration_s, &format!("{} {name}", short(arrivals.duration_s / unit)))
}

/// The statistics table, and every single figure.
fn statistics(report: &Report) -> Markup {
    let header = cells::summaries(report).into_iter().find_map(|(_, summary)| summary.value.as_ref());
    let per_request = html! {
        table.explained {
            thead {
                tr {
                    th scope="col" { "Per request" }
                    @for (name, _) in header.map_or_else(Vec::new, Summary::statistics) {
                        th scope="col" { (name) }
                    }
                }
            }
            tbody {
                @for (name, figure) in cells::summaries(report) {
                    @if let Some(summary) = &figure.value {
                        @let (title, explanation) = explained(name);
                        tr data-figure=(name) {
                            th scope="row" { (title) (cells::limit(figure.accuracy, ", at least", ", at most")) small { (explanation) } }
                            @for value in statistics_row(name, summary, figure.accuracy) { td { (value) } }
                        }
                    }
                }
            }
        }
    };
    let totals = html! {
        @for figure in cells::totals(report) {
            tr data-total=(figure.name) {
                th scope="row" { (figure.name) }
                td { (mark(figure.accuracy)) (total(&figure.value)) }
            }
        }
    };
    html! {
        section {
            h2 { "Statistics" }
            (scrolling("Statistics per request", false, &per_request))
            details {
                summary { "All totals" }
                (scrolling("Totals", false, &table(&["Figure", "Value"], &totals)))
            }
        }
    }
}

fn statistics_row(name: &str, summary: &Summary, accuracy: Accuracy) -> Vec<Markup> {
    let text = |value: f64| match name {
        "hit_rate" => percent(value),
        _ => rounded(value),
    };
    let cell = |(statistic, value): (String, f64)| {
        let mark = mark(cells::statistic_accuracy(&statistic, accuracy));
        html! { (mark) (real(value, &text(value))) }
    };
    summary.statistics().into_iter().map(cell).collect()
}

/// One figure among the totals.
fn total(value: &Number) -> Markup {
    let text = match value {
        Number::Count(n) => grouped(*n),
        Number::Real(x) => rounded(*x),
    };
    figure(&value.to_string(), &text)
}

fn prefixes(report: &Report) -> Markup {
    let rows = cells::prefix_rows(report);
    if rows.is_empty() {
        return Markup::default();
    }
    let names = [
        "Last id",
        "Blocks",
        "Tokens",
        "Requests",
        "Saved tokens",
        "First line",
        "Last line",
        "Longest pause",
    ];
    let body = html! {
        @for (id, figures) in &rows {
            tr {
                th scope="row" { (figure(&id.to_string(), &id.to_string())) }
                @for (name, value) in figures {
                    td {
                        (mark(report.prefixes.accuracy))
                        @match value {
                            Number::Real(ms) if *name == "longest_pause_ms" => { (real(*ms, &rounded(ms / 1000.0))) " s" }
                            _ => { (total(value)) }
                        }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Shared prefixes that save most" }
            (scrolling("Shared prefixes", rows.len() > 24, &table(&names, &body)))
        }
    }
}

/// What the page was made of, and how.
fn footer(report: &Report, origin: &Origin) -> Markup {
    let rule = match report.hit_rule {
        HitRule::Reference => "every cached block",
        HitRule::Engine => "as engines count",
    };
    html! {
        footer {
            p { "Made by trace-stats of kvtrace " (env!("CARGO_PKG_VERSION")) ": " code { (origin.command) } }
            p { "Blocks of " (grouped(report.block_size.into())) " tokens; hits: " (rule) "." }
            @if let Some(arrivals) = &report.arrivals {
                p { "Requests from " (moment(arrivals.last_ms - arrivals.duration_s * 1000.0)) " to " (moment(arrivals.last_ms)) "." }
            }
        }
    }
}
