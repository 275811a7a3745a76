//! The text exposition format of Prometheus, for `node_exporter`'s textfile collector.

use crate::report::cells::{self, Number};
use crate::stats::Report;

/// Appends every figure as a gauge whose name begins with `kvtrace_`.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    for (name, value) in cells::totals(report) {
        let (gauge, value) = base_unit(name, &value);
        family(&gauge, &format!("What is {name} in the JSON report of trace-stats."), out);
        sample(&gauge, &[], &value, out);
    }
    for (name, summary) in cells::summaries(report) {
        let Some(summary) = &summary.value else { continue };
        family(name, "Distribution over the requests of the trace.", out);
        for (statistic, value) in summary.statistics() {
            sample(name, &[("stat", &statistic)], &format!("{value:?}"), out);
        }
    }
    let correlations = cells::correlations(report);
    if !correlations.is_empty() {
        family("correlation", "Pearson correlation of two lengths.", out);
        for (pair, value) in correlations {
            sample("correlation", &[("pair", pair)], &format!("{value:?}"), out);
        }
    }
    let served = cells::served(report);
    if !served.is_empty() {
        family("cache_token_hit_rate", "Share of the prompt tokens that a finite cache serves.", out);
        for (section, item, hits, _) in &served {
            if let Some(rate) = hits.rate() {
                let labels = [("kind", *section), ("cache", item)];
                sample("cache_token_hit_rate", &labels, &format!("{rate:?}"), out);
            }
        }
    }
    if let Some(bound) = &report.bound {
        family("bound", "Figures that are bounds, since blocks have been forgotten.", out);
        for (bound, figures) in bound.figures() {
            for figure in figures {
                sample("bound", &[("figure", figure), ("bound", bound)], "1", out);
            }
        }
    }
    // A family has one unit, and its samples stand together.
    let prefixes = cells::prefix_rows(report);
    for place in 0..prefixes.first().map_or(0, |(_, figures)| figures.len()) {
        for (row, (id, figures)) in prefixes.iter().enumerate() {
            let (name, value) = &figures[place];
            let (gauge, value) = base_unit(&format!("prefix_{name}"), value);
            if row == 0 {
                family(&gauge, "Of a shared prefix, by the id of its last block.", out);
            }
            sample(&gauge, &[("id", &id.to_string())], &value, out);
        }
    }
}

/// Name and value of a figure in the base unit that Prometheus asks for: times are in seconds.
fn base_unit(name: &str, value: &Number) -> (String, String) {
    if let Some(stem) = name.strip_suffix("_ms") {
        let milliseconds = match value {
            Number::Count(count) => *count as f64,
            Number::Real(real) => *real,
            Number::Text(_) => return (name.to_owned(), value.to_string()),
        };
        return (format!("{stem}_seconds"), format!("{:?}", milliseconds / 1000.0));
    }
    let stem = name.strip_suffix("_s").map(|stem| format!("{stem}_seconds"));
    (stem.unwrap_or_else(|| name.to_owned()), value.to_string())
}

fn family(name: &str, help: &str, out: &mut Vec<u8>) {
    let text = format!("# HELP kvtrace_{name} {help}\n# TYPE kvtrace_{name} gauge\n");
    out.extend_from_slice(text.as_bytes());
}

/// One line; the values of labels hold nothing that would need escaping.
fn sample(name: &str, labels: &[(&str, &str)], value: &str, out: &mut Vec<u8>) {
    let labels: Vec<String> = labels.iter().map(|(key, label)| format!("{key}=\"{label}\"")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    out.extend_from_slice(format!("kvtrace_{name}{labels} {value}\n").as_bytes());
}
