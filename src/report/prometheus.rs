//! The text exposition format of Prometheus, for `node_exporter`'s textfile collector.

use crate::report::cells;
use crate::stats::Report;

/// Appends every figure as a gauge whose name begins with `kvtrace_`.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    for (name, value) in cells::totals(report) {
        family(name, "Figure of that name in the JSON report of trace-stats.", out);
        sample(name, &[], &value.to_string(), out);
    }
    for (name, summary) in cells::summaries(report) {
        let Some(summary) = summary else { continue };
        family(name, "Distribution over the requests of the trace.", out);
        for (statistic, value) in cells::named(&report.percentiles, summary) {
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
    if let Some(bound) = report.bound {
        family("bound", "Figures that are bounds, since blocks have been forgotten.", out);
        for (bound, figures) in cells::bounds(bound) {
            for figure in figures {
                sample("bound", &[("figure", figure), ("bound", bound)], "1", out);
            }
        }
    }
    let prefixes = cells::prefix_rows(report);
    if !prefixes.is_empty() {
        family("prefix", "Shared prefix, by the id of its last block.", out);
        for (id, figures) in prefixes {
            for (name, value) in figures {
                sample("prefix", &[("id", &id.to_string()), ("figure", name)], &value.to_string(), out);
            }
        }
    }
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
