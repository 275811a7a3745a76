//! Comma-separated values: one figure per row, under the names of the JSON report.

use crate::error::printable;
use crate::report::cells::{self, Number, Served};
use crate::report::groups::ALL_NAMES;
use crate::report::{fleets, misses, price, recorded, reuse, tiers};
use crate::stats::{Accuracy, GroupReport, Hits, OTHERS, Report, SeparateCaches, Summary, WindowReport};

const HEADER: &[u8] = b"section,item,figure,value\n";

/// What the group of all requests is called.
const ALL: &str = "(all)";

/// Appends a header and the rows `section,item,figure,value`.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    out.extend_from_slice(HEADER);
    rows(report, "", |_| true, out);
}

/// The same of all requests and of each group, whose name is in a column before the others.
pub(super) fn write_groups(all: &Report, groups: &[GroupReport], out: &mut Vec<u8>) {
    out.extend_from_slice(b"group,");
    out.extend_from_slice(HEADER);
    rows(all, &format!("{ALL},"), |_| true, out);
    for (label, report) in groups {
        rows(report, &format!("{},", quoted(label.as_deref().unwrap_or(OTHERS))), |_| true, out);
    }
    if let Some(separate) = SeparateCaches::of(groups) {
        let [separately, _] = ALL_NAMES;
        // Nothing else is summed over groups.
        let summed = ["requests", "block_size", "input_tokens", "cached_tokens", "token_hit_rate"];
        rows(&separate.report(), &format!("{},", quoted(separately)), |name| summed.contains(&name), out);
    }
}

/// A text as a cell, on one line.
fn quoted(text: &str) -> String {
    let text = printable(text);
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Appends the rows of a report, each behind `start`, of the totals those that it `has`.
fn rows(report: &Report, start: &str, has: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    let mut row = |section: &str, item: &str, figure: &str, value: Number| {
        out.extend_from_slice(format!("{start}{section},{item},{figure},{value}\n").as_bytes());
    };
    for total in cells::totals(report).into_iter().filter(|total| has(total.name)) {
        row("total", "", total.name, total.value);
    }
    for (name, summary) in cells::summaries(report) {
        for (statistic, value) in summary.value.iter().flat_map(Summary::statistics) {
            row("distribution", name, &statistic, Number::Real(value));
        }
    }
    for (name, value) in cells::correlations(report) {
        row("correlation", "", name, Number::Real(value));
    }
    for Served { kind: section, name: item, hits, figures } in cells::served(report) {
        let Hits { hit_tokens, tokens } = hits;
        row(section, &item, "hit_tokens", Number::Count(hit_tokens));
        row(section, &item, "tokens", Number::Count(tokens));
        if let Some(rate) = hits.rate() {
            row(section, &item, "token_hit_rate", Number::Real(rate));
        }
        if let Some(saving) = hits.prefill_saving() {
            row(section, &item, "prefill_saving", Number::Real(saving));
        }
        for (name, value) in figures {
            row(section, &item, name, value);
        }
    }
    if let Some(recorded) = &report.recorded {
        for (name, value) in recorded.compared.iter().flat_map(recorded::numbers) {
            row("recorded", "", name, value);
        }
        for cache in &recorded.caches {
            row("recorded", &cache.cache, "hit_tokens", Number::Count(cache.hit_tokens));
            let cost = cache.cost.into_iter().flat_map(price::numbers);
            cost.for_each(|(name, value)| row("recorded", &cache.cache, name, value));
        }
        for hour in &recorded.hours {
            let start = format!("{:?}", hour.start_ms);
            row("recorded_hour", &start, "length_s", Number::Real(hour.length_s));
            for (name, value) in recorded::numbers(&hour.compared) {
                row("recorded_hour", &start, name, value);
            }
        }
    }
    for (cache, stretch, figures) in misses::numbers(report) {
        let (section, item) = if stretch.is_empty() {
            ("misses", cache)
        } else {
            ("misses_depth", format!("{cache}:{stretch}"))
        };
        figures.into_iter().for_each(|(name, value)| row(section, &item, name, value));
    }
    for figure in reuse::figures(report) {
        row(figure.section, &quoted(&figure.item), figure.name, figure.value);
    }
    for figure in fleets::figures(report) {
        let cache = figure.cache.map_or_else(String::new, |cache| format!(":{cache}"));
        let item = format!("{}:{}{cache}", figure.fleet.replicas, figure.fleet.route);
        row(figure.section, &item, figure.name, figure.value);
    }
    for figure in tiers::figures(report) {
        let size = figure.size.map_or_else(String::new, |blocks| format!(":{blocks}"));
        let section = if size.is_empty() { "tier" } else { "tier_curve" };
        let item = format!("{}:{}:{}:{}{size}", figure.replicas, figure.route, figure.list, figure.tier);
        row(section, &item, &figure.name, figure.value);
    }
    for (bound, figure) in cells::bounds(report, cells::cache_name) {
        row("bound", &figure, bound, Number::Count(1));
    }
    for (id, figures) in cells::prefix_rows(report) {
        for (name, value) in figures {
            row("top", &id.to_string(), name, value);
        }
    }
}

/// Appends what a stream says of a window as one row, before the first one a header.
pub(super) fn write_window(report: &WindowReport, out: &mut Vec<u8>) {
    let (w, running) = (&report.window, &report.running);
    let real = |x: Option<f64>| x.map_or_else(String::new, |x| format!("{x:?}"));
    let mut row: Vec<(String, String)> = vec![
        ("window".into(), w.window.to_string()),
        ("start_ms".into(), real(w.start_ms)),
        ("requests".into(), w.requests.to_string()),
        ("late".into(), w.late.to_string()),
        ("input_tokens".into(), w.input_tokens.to_string()),
        ("output_tokens".into(), w.output_tokens.to_string()),
        ("cached_tokens".into(), w.cached_tokens.to_string()),
        ("new_blocks".into(), w.new_blocks.to_string()),
        ("hit_rate".into(), real(w.hit_rate)),
        ("token_hit_rate".into(), real(w.token_hit_rate)),
        ("running_requests".into(), running.requests.to_string()),
        ("running_unique_blocks".into(), running.unique_blocks.to_string()),
        ("running_token_hit_rate".into(), real(running.token_hit_rate)),
    ];
    let caches = running.capacity.iter().flatten();
    // The working set grows, so the infinite cache is not named by its size.
    row.extend(caches.filter(|cache| cache.policy != "infinite").map(|cache| {
        (format!("running_{}_{}", cache.policy, cache.capacity_blocks), real(cache.hits.rate()))
    }));
    let (at_least, at_most) = bounds(report);
    row.extend([("at_least".into(), at_least.join(" ")), ("at_most".into(), at_most.join(" "))]);
    let line = |cells: Vec<&str>| cells.join(",") + "\n";
    if w.window == 0 {
        out.extend_from_slice(line(row.iter().map(|(name, _)| &**name).collect()).as_bytes());
    }
    out.extend_from_slice(line(row.iter().map(|(_, value)| &**value).collect()).as_bytes());
}

/// The columns of a window whose values are lower bounds, and those whose values are upper ones.
fn bounds(report: &WindowReport) -> (Vec<String>, Vec<String>) {
    let Some(bound) = report.bound else { return (Vec::new(), Vec::new()) };
    let mut at_least: Vec<String> = bound.at_least.iter().map(|&name| name.to_owned()).collect();
    at_least.push("running_token_hit_rate".into());
    let caches = report.running.capacity.iter().flatten();
    let limited = caches.filter(|cache| cache.policy != "infinite" && cache.accuracy == Accuracy::AtLeast);
    at_least.extend(limited.map(|cache| format!("running_{}_{}", cache.policy, cache.capacity_blocks)));
    let at_most = bound.at_most.iter().copied().chain(["running_unique_blocks"]);
    (at_least, at_most.map(str::to_owned).collect())
}
