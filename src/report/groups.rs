//! The groups of `--by` side by side, a row for each, as cells of text.

use crate::report::cells::{Cells, Digits, limit};
use crate::report::numbers::bytes;
use crate::stats::{Accuracy, CapacityRow, GroupReport, Report};

/// Characters of a value that a table has room for.
const LONGEST: usize = 40;

/// Tables with titles: what matters of each group, and the hit rates of the caches asked for. `text` makes
/// a value harmless.
pub(super) fn tables(
    field: &str,
    groups: &[GroupReport],
    digits: Digits,
    text: fn(&str) -> String,
) -> Vec<(String, Cells)> {
    let names: Vec<String> = groups.iter().map(|(value, _)| name(value.as_deref(), text)).collect();
    let with = |header: Vec<String>, row: &dyn Fn(&Report) -> Vec<String>| -> Cells {
        let rows =
            names.iter().zip(groups).map(|(name, (_, report))| [vec![name.clone()], row(report)].concat());
        [[vec![text(field)], header].concat()].into_iter().chain(rows).collect()
    };
    let has_size = groups.iter().any(|(_, report)| report.enough.value.is_some());
    let has_bytes =
        groups.iter().any(|(_, report)| enough(report).is_some_and(|row| row.capacity_bytes.is_some()));
    let has_recorded = groups.iter().any(|(_, report)| report.recorded.is_some());
    let mut header = vec!["Requests", "Input Tokens", "Mean Input", "Mean Output", "Token Hit Rate"];
    header.extend(has_size.then_some("90 % at Blocks"));
    header.extend(has_bytes.then_some("Size"));
    header.extend(has_recorded.then_some("Recorded"));
    let main = with(header.into_iter().map(str::to_owned).collect(), &|report| {
        let mut cells = main_cells(report, digits);
        let missing = || "-".to_owned();
        if has_size {
            cells.push(enough(report).map_or_else(missing, |row| digits.count(row.capacity_blocks)));
        }
        if has_bytes {
            cells.push(enough(report).and_then(|row| row.capacity_bytes).map_or_else(missing, bytes));
        }
        if has_recorded {
            let rate = report.recorded.and_then(|recorded| recorded.token_hit_rate);
            cells.push(rate.map_or_else(missing, |rate| digits.real(rate)));
        }
        cells
    });
    let mut tables = vec![(format!("By {field}, each value as a trace of its own"), main)];
    let caches = cache_names(groups);
    if !caches.is_empty() {
        let header = caches.iter().map(|(policy, blocks)| format!("{policy} {}", digits.count(*blocks)));
        let rates = with(header.collect(), &|report| {
            caches.iter().map(|&cache| rate_at(report, cache, digits)).collect()
        });
        tables.push((format!("By {field}, token hit rates of caches"), rates));
    }
    tables
}

/// The cache that is large enough, where it is asked for and there is something to serve.
pub(super) fn enough(report: &Report) -> Option<&CapacityRow> {
    let row = report.enough.value.as_ref().map(|target| &target.row)?;
    (row.hits.hit_tokens > 0).then_some(row)
}

fn name(value: Option<&str>, text: fn(&str) -> String) -> String {
    let Some(value) = value else { return "(other)".into() };
    if value.chars().count() <= LONGEST {
        return text(value);
    }
    let start: String = value.chars().take(LONGEST - 3).collect();
    text(&start) + "..."
}

fn main_cells(report: &Report, digits: Digits) -> Vec<String> {
    let mean = |summary: &Option<crate::stats::Summary>| {
        summary.as_ref().map_or_else(|| "-".to_owned(), |summary| digits.real(summary.mean))
    };
    let hits = &report.token_hit_rate;
    vec![
        digits.count(report.requests),
        digits.count(report.input_tokens),
        mean(&report.input_length.value),
        mean(&report.output_length.value),
        marked(hits.value, hits.accuracy, digits),
    ]
}

fn marked(rate: Option<f64>, accuracy: Accuracy, digits: Digits) -> String {
    let mark = limit(accuracy, ">= ", "<= ");
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{mark}{}", digits.real(rate)))
}

/// Every finite cache that some group has: its policy and its blocks.
fn cache_names(groups: &[GroupReport]) -> Vec<(&'static str, u64)> {
    let mut names = Vec::new();
    for row in groups.iter().flat_map(|(_, report)| &report.caches).flat_map(|caches| &caches.capacity) {
        if row.policy != "infinite" && !names.contains(&(row.policy, row.capacity_blocks)) {
            names.push((row.policy, row.capacity_blocks));
        }
    }
    names.sort_unstable();
    names
}

fn rate_at(report: &Report, (policy, blocks): (&str, u64), digits: Digits) -> String {
    let rows = report.caches.iter().flat_map(|caches| &caches.capacity);
    let row = rows.into_iter().find(|row| row.policy == policy && row.capacity_blocks == blocks);
    row.map_or_else(|| "-".to_owned(), |row| marked(row.hits.rate(), row.accuracy, digits))
}
