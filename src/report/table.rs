//! The text report: totals, then the reference's table of five rows.

use crate::report::cells;
use crate::stats::{Accuracy, Figure, HitRule, Report};

/// Appends the report as text.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    for (name, value) in totals(report) {
        out.extend_from_slice(format!("{:<17}{value}\n", format!("{name}:")).as_bytes());
    }
    out.push(b'\n');
    grid(&cells::lengths(report), out);
    for table in cells::caches(report).into_iter().chain(cells::prefixes(report)) {
        out.push(b'\n');
        grid(&table, out);
    }
}

fn totals(report: &Report) -> Vec<(&'static str, String)> {
    let mark = |accuracy| match accuracy {
        Accuracy::Neither => "about ",
        _ => cells::limit(accuracy, ">= ", "<= "),
    };
    let count = |value: u128, accuracy: Accuracy| {
        let error = accuracy.standard_error().map_or_else(String::new, |error| format!(" +- {error:.0}"));
        format!("{}{value}{error}", mark(accuracy))
    };
    let blocks = |figure: &Figure<u64>| count(figure.value.into(), figure.accuracy);
    let rate = |figure: &Figure<Option<f64>>| {
        let text = match (figure.value, figure.accuracy.standard_error()) {
            (Some(rate), Some(error)) => format!("{rate:.6} +- {error:.6}"),
            (Some(rate), None) => format!("{rate:?}"),
            (None, _) => "-".into(),
        };
        format!("{}{text}", mark(figure.accuracy))
    };
    let mut lines = vec![("Requests", report.requests.to_string())];
    if report.requests_without_ids > 0 {
        let n = report.requests_without_ids;
        lines.push(("Without ids", format!("{n} (counted in input and output length only)")));
    }
    lines.extend([
        ("Block size", format!("{} tokens", report.block_size)),
        ("Blocks", report.blocks.to_string()),
        ("Unique blocks", blocks(&report.unique_blocks)),
        ("Shared blocks", blocks(&report.shared_blocks)),
        ("Prefix groups", blocks(&report.prefix_groups)),
        ("Input tokens", report.input_tokens.to_string()),
        ("Output tokens", report.output_tokens.to_string()),
        ("Cached tokens", count(report.cached_tokens.value, report.cached_tokens.accuracy)),
        ("Token hit rate", rate(&report.token_hit_rate)),
        ("Block hit rate", rate(&report.block_hit_rate)),
    ]);
    if let Some(estimate) = &report.estimate {
        let n = estimate.sampled_blocks;
        lines.push(("Estimated", format!("from {n} blocks, with standard errors")));
    }
    if let Some(bound) = &report.bound {
        lines.push((
            "Forgotten",
            format!("{} blocks, used least recently, for want of memory", bound.forgotten_blocks),
        ));
        if let Some(exact) = bound.exact_capacity_blocks {
            lines.push(("Still exact", format!("LRU caches of at most {exact} blocks")));
        }
    }
    if let Some(error) = report.prefixes.as_ref().map(|p| p.error_tokens).filter(|&error| error > 0) {
        lines.push(("Prefixes", format!("saved tokens may be {error} more")));
    }
    if report.hit_rule == HitRule::Engine {
        lines.push(("Hits", "full blocks only, the last token always computed".into()));
    }
    if let Some(arrivals) = &report.arrivals {
        lines.push(("Duration", format!("{:?} s", arrivals.duration_s)));
        if let Some(mean) = arrivals.mean_rate {
            let peak = arrivals.peak_rate;
            lines.push(("Request rate", format!("{mean:.3}/s mean, {peak}/s peak")));
        }
        if let (Some(mean), Some(cv)) = (arrivals.interarrival_mean_ms, arrivals.interarrival_cv) {
            lines.push(("Inter-arrival", format!("{mean:.3} ms mean, {cv:.3} coefficient of variation")));
        }
        if let Some(dispersion) = arrivals.dispersion_10s {
            lines.push(("Dispersion", format!("{dispersion:.3} of the counts per 10 s")));
        }
        if arrivals.late > 0 {
            lines.push(("Late records", arrivals.late.to_string()));
        }
    }
    lines
}

/// Draws centred cells between lines of `+---+`; the first row is the header.
fn grid(rows: &[Vec<String>], out: &mut Vec<u8>) {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().map(|row| row[c].len()).max().unwrap_or(0)).collect();
    let rule = |out: &mut Vec<u8>| {
        for width in &widths {
            out.push(b'+');
            out.extend(std::iter::repeat_n(b'-', width + 2));
        }
        out.extend_from_slice(b"+\n");
    };
    rule(out);
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let space = width + 2 - cell.len();
            out.push(b'|');
            out.extend(std::iter::repeat_n(b' ', space / 2));
            out.extend_from_slice(cell.as_bytes());
            out.extend(std::iter::repeat_n(b' ', space - space / 2));
        }
        out.extend_from_slice(b"|\n");
        if index == 0 {
            rule(out);
        }
    }
    rule(out);
}
