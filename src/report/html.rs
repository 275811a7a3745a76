//! The report as one page that needs nothing else: no network, no script, light and dark, for wide
//! windows and phones; every chart with its data as a table.

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use crate::error::printable;
use crate::report::axis::{grouped, percent, short, time_unit};
use crate::report::cells;
use crate::report::curve::Curve;
use crate::report::svg::{self, Size, Values};
use crate::stats::{Accuracy, ArrivalFigures, GroupReport, HitRule, Report, Summary, TimelineFigures};

const WIDE: Size = (720.0, 320.0);
const NARROW: Size = (344.0, 300.0);
const WIDE_TIME: Size = (720.0, 220.0);
const NARROW_TIME: Size = (344.0, 200.0);
const SMALL: Size = (344.0, 210.0);

/// The look of the page; that of the charts is [`svg::STYLE`].
const STYLE: &str = "\
:root{color-scheme:light dark}*{box-sizing:border-box}\
body{margin:0;font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;color:#1f2328;background:#fff}\
main{max-width:72rem;margin:0 auto;padding:20px 16px 40px}\
h1{font-size:1.6rem;line-height:1.2;margin:0 0 4px}h2{font-size:1.25rem;margin:40px 0 4px}\
h3{font-size:1rem;margin:0}p{margin:4px 0 12px;max-width:46rem}h1,h2,h3,p,summary,td,th{overflow-wrap:anywhere}\
.quiet,small,footer{color:#57606a}small{display:block;font-size:.8125rem;font-weight:400;line-height:1.35}\
.note{border-left:4px solid #b25600;padding:8px 12px;background:#fff4e5}\
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:12px;margin:16px 0;padding:0}\
.tiles div{border:1px solid #e4e7eb;border-radius:8px;padding:10px 12px}\
.tiles dt{font-size:.8125rem;color:#57606a}.tiles dd{margin:0;font-size:1.125rem;font-weight:600;overflow-wrap:anywhere}\
figure{margin:0 0 8px;min-width:0}figure svg{display:block;width:100%;height:auto;margin:8px 0}\
.wide{display:none!important}.wide{max-width:940px}.narrow{max-width:540px}\
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:8px 24px}\
.grid figure{display:grid;grid-template-rows:subgrid;grid-row:span 3;align-content:start}\
.scroll{overflow-x:auto;max-width:100%}.tall{max-height:24rem;overflow-y:auto}\
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;white-space:nowrap}\
td,th{padding:5px 10px;text-align:right;border-bottom:1px solid #e4e7eb}\
th{font-weight:600}th:first-child,td:first-child{text-align:left;padding-left:0}\
.explained th small{white-space:normal;min-width:11rem;max-width:20rem}\
summary{cursor:pointer;color:#1a5bb0;font-size:.875rem;padding:4px 0}\
.group{border-top:1px solid #e4e7eb;padding:6px 0}.group>summary{font-size:1.0625rem;font-weight:600}\
footer{margin-top:40px;font-size:.8125rem}\
@media(min-width:760px){.wide{display:block!important}.narrow{display:none!important}}\
@media(prefers-color-scheme:dark){body{color:#e8ebf0;background:#16191e}\
.quiet,small,footer,.tiles dt{color:#a3adba}.note{background:#2e2415;border-color:#f0a04b}\
.tiles div,td,th,.group{border-color:#2c323b}summary{color:#8cc2ff}}";

/// Appends the page; `by` has the field and the reports on its values.
pub(super) fn write(report: &Report, input: &str, by: Option<(&str, &[GroupReport])>, out: &mut Vec<u8>) {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Request trace report: " (input) }
                // An empty icon, so that none is asked for.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) (PreEscaped(svg::STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { "Request trace report" }
                        p.quiet { (input) }
                    }
                    (sections(report))
                    @if let Some((field, groups)) = by {
                        (grouped_by(field, groups))
                    }
                    footer { "Made by trace-stats of kvtrace " (env!("CARGO_PKG_VERSION")) "." }
                }
            }
        }
    };
    out.extend_from_slice(page.into_string().as_bytes());
    out.push(b'\n');
}

/// Everything about one trace or group.
fn sections(report: &Report) -> Markup {
    html! {
        @for note in notes(report) {
            p.note role="note" { (note) }
        }
        (tiles(report))
        (statistics(report))
        (capacity(report))
        (lengths(report))
        (over_time(report))
    }
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
    notes
}

/// A figure as it is in JSON, and as people read it.
fn figure(exact: &str, text: &str) -> Markup {
    html! { data value=(exact) { (text) } }
}

fn real(value: f64, text: &str) -> Markup {
    figure(&format!("{value:?}"), text)
}

fn count(value: impl Into<u128>) -> Markup {
    let value = value.into();
    figure(&value.to_string(), &grouped(value))
}

/// A count where there is little room.
fn many(value: u128) -> Markup {
    let text = if value < 10_000_000 { grouped(value) } else { short(value as f64) };
    figure(&value.to_string(), &text)
}

fn rate(value: Option<f64>) -> Markup {
    value.map_or_else(|| html! { "–" }, |value| real(value, &percent(value)))
}

/// The figures that one looks at first.
fn tiles(report: &Report) -> Markup {
    let hits = &report.token_hit_rate;
    let mark = |accuracy| cells::limit(accuracy, "≥ ", "≤ ");
    html! {
        dl.tiles {
            div { dt { "Requests" } dd { (count(report.requests)) } }
            div {
                dt { "Token hit rate, infinite cache" }
                dd {
                    (mark(hits.accuracy)) (rate(hits.value))
                    @if let Some(error) = hits.accuracy.standard_error() { " ± " (format!("{:.1}", error * 100.0)) }
                }
            }
            div { dt { "Input tokens" } dd { (many(report.input_tokens)) } }
            div { dt { "Output tokens" } dd { (many(report.output_tokens)) } }
            div { dt { "Distinct blocks" } dd { (mark(report.unique_blocks.accuracy)) (count(report.unique_blocks.value)) } }
            @if let Some(arrivals) = &report.arrivals {
                div { dt { "Duration" } dd { (duration(arrivals)) } }
                @if let Some(mean) = arrivals.mean_rate {
                    div {
                        dt { "Requests per second, mean / peak" }
                        dd { (real(mean, &short(mean))) " / " (count(arrivals.peak_rate)) }
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

/// A table with names over its columns.
fn table(names: &[impl Render], rows: &Markup) -> Markup {
    html! {
        table {
            thead { tr { @for name in names { th scope="col" { (name) } } } }
            tbody { (rows) }
        }
    }
}

/// What a chart shows, as a table that is folded.
fn data(label: &str, table: &Markup) -> Markup {
    html! { details { summary { "Data as a table" } (scrolling(label, true, table)) } }
}

/// A table that scrolls by itself where it is too wide, by keyboard too.
fn scrolling(label: &str, tall: bool, table: &Markup) -> Markup {
    html! {
        div class=(if tall { "scroll tall" } else { "scroll" }) role="group" tabindex="0" aria-label=(label) {
            (table)
        }
    }
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
                            @for value in statistics_row(name, summary) { td { (value) } }
                        }
                    }
                }
            }
        }
    };
    let totals = html! {
        @for (name, value) in cells::totals(report) {
            tr data-total=(name) { th scope="row" { (name) } td { (figure(&value.to_string(), &value.to_string())) } }
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
            @if let Some(prefixes) = cells::prefixes(report) {
                h2 { "Shared prefixes that save most" }
                (scrolling("Shared prefixes", false, &plain(&prefixes)))
            }
        }
    }
}

fn statistics_row(name: &str, summary: &Summary) -> Vec<Markup> {
    let text = |value: f64| match name {
        "hit_rate" => percent(value),
        _ => tenths(value),
    };
    summary.statistics().into_iter().map(|(_, value)| real(value, &text(value))).collect()
}

/// A length, with one decimal where it is no whole number.
fn tenths(value: f64) -> String {
    if value.fract() == 0.0 && value >= 0.0 {
        return grouped(value as u128);
    }
    format!("{}.{}", grouped(value as u128), ((value.fract() * 10.0) as u8).min(9))
}

/// What a quantity is called, and what it is.
fn explained(name: &str) -> (&'static str, &'static str) {
    match name {
        "input_length" => ("Input length", "tokens of the prompt"),
        "context_length" => ("Context length", "tokens in blocks that occur more than once in the trace"),
        "unique_prompt_length" => ("Unique prompt length", "tokens that no other request has"),
        "output_length" => ("Output length", "tokens generated"),
        "hit_rate" => ("Theoretical hit rate", "share of the blocks that an infinite cache holds on arrival"),
        _ => ("Cached length", "prompt tokens that an infinite cache holds on arrival"),
    }
}

/// Cells of text, header first.
fn plain(cells: &cells::Cells) -> Markup {
    let (header, rows) = cells.split_first().map_or((&[][..], &[][..]), |(header, rows)| (&header[..], rows));
    table(header, &html! { @for row in rows { tr { @for cell in row { td { (cell) } } } } })
}

/// A chart for wide windows and one for phones.
fn both(label: &str, wide: &Markup, narrow: &Markup, sizes: (Size, Size)) -> Markup {
    html! {
        (svg::embedded(label, "wide", sizes.0, wide))
        (svg::embedded(label, "narrow", sizes.1, narrow))
    }
}

/// Hit rate against capacity.
fn capacity(report: &Report) -> Markup {
    let tables = cells::caches(report);
    html! {
        @if let Some(curve) = Curve::of(report) {
            // Room for the second axis.
            @let taller = if curve.block_gib.is_some() { 42.0 } else { 0.0 };
            @let sizes = ((WIDE.0, WIDE.1 + taller), (NARROW.0, NARROW.1 + taller));
            section {
                h2 { "Hit rate against cache capacity" }
                p.quiet { "Share of the prompt tokens that a prefix cache of each size serves." }
                figure data-chart="capacity" {
                    (both(
                        &format!("Hit rate against cache capacity. {}", svg::curve_summary(&curve)),
                        &svg::curve_chart(&curve, sizes.0),
                        &svg::curve_chart(&curve, sizes.1),
                        sizes,
                    ))
                    (data("Hit rate against cache capacity", &curve_table(report)))
                }
                @if !tables.is_empty() { h3 { "Caches asked for" } }
                @for table in &tables { (asked_for(table)) }
            }
        } @else if !tables.is_empty() {
            section {
                h2 { "Caches" }
                @for table in &tables { (asked_for(table)) }
            }
        }
    }
}

/// A table of finite caches, folded where it has the many of a curve.
fn asked_for(table: &cells::Cells) -> Markup {
    const MOST: usize = 24;
    let rows = table.len().saturating_sub(1);
    let markup = scrolling("Caches asked for", rows > MOST, &plain(table));
    html! {
        @if rows > MOST {
            details { summary { (rows) " caches" } (markup) }
        } @else {
            (markup)
        }
    }
}

fn curve_table(report: &Report) -> Markup {
    let Some(caches) = &report.caches else { return Markup::default() };
    let rows = || caches.curve.iter().chain([&caches.infinite]);
    let in_bytes = rows().any(|row| row.capacity_bytes.is_some());
    let estimated = report.estimate.is_some();
    let gib = |bytes: u128| figure(&bytes.to_string(), &short(bytes as f64 / f64::from(1 << 30)));
    let names = ["Policy", "Blocks"].into_iter().chain(in_bytes.then_some("GiB"));
    let names = names.chain(["Hit tokens", "Token hit rate"]).chain(estimated.then_some("Standard error"));
    let rows = html! {
        @for row in rows() {
            @let mark = cells::limit(row.accuracy, "≥ ", "≤ ");
            tr {
                th scope="row" { (row.policy) }
                td { (count(row.capacity_blocks)) }
                @if let Some(bytes) = row.capacity_bytes { td { (gib(bytes)) } }
                td { (mark) (count(row.hits.hit_tokens)) }
                td { (mark) (rate(row.hits.rate())) }
                @if estimated { td { (rate(row.accuracy.standard_error())) } }
            }
        }
    };
    table(&names.collect::<Vec<_>>(), &rows)
}

/// The distributions.
fn lengths(report: &Report) -> Markup {
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
fn over_time(report: &Report) -> Markup {
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

/// The values of a field side by side, and each one as a report of its own.
fn grouped_by(field: &str, groups: &[GroupReport]) -> Markup {
    let name = |value: &Option<String>| match value {
        Some(value) => html! { (printable(value)) },
        None => html! { i { "other values" } },
    };
    let rows = html! {
        @for (value, report) in groups {
            tr {
                th scope="row" { (name(value)) }
                td { (count(report.requests)) }
                td { (count(report.input_tokens)) }
                td { @if let Some(s) = &report.input_length.value { (real(s.mean, &tenths(s.mean))) } }
                td {
                    (cells::limit(report.token_hit_rate.accuracy, "≥ ", "≤ "))
                    (rate(report.token_hit_rate.value))
                }
            }
        }
    };
    let names = [field, "Requests", "Input tokens", "Mean input length", "Token hit rate"];
    html! {
        section {
            h2 { "By " (field) }
            p.quiet { "Each value as a trace of its own, with caches of its own." }
            (scrolling("Groups", false, &table(&names, &rows)))
        }
        @for (value, report) in groups {
            details.group data-group=[value.as_deref().map(printable)] {
                summary { (field) " = " (name(value)) }
                (sections(report))
            }
        }
    }
}
