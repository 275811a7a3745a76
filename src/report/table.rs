//! The text report: the answer in sentences, totals, then the reference's table of five rows.

use crate::error::printable;
use crate::report::answer;
use crate::report::cells::{self, Cells, Digits};
use crate::report::numbers::{rounded, time_unit};
use crate::report::{fleets, groups, reuse, tiers};
use crate::stats::{
    Accuracy, ArrivalFigures, Figure, GroupReport, HitRule, Report, SessionSources, Thrashing,
};

/// Columns that a table for people takes at most, and those that it takes in any case.
const COLUMNS: (usize, usize) = (100, 60);

/// How tables are written.
#[derive(Clone, Copy)]
pub(super) struct Look {
    digits: Digits,
    /// Columns that a table may take.
    width: usize,
}

impl Look {
    /// As wide as there is room, if that is known.
    pub(super) fn new(digits: Digits, room: Option<usize>) -> Self {
        let (most, least) = COLUMNS;
        Self { digits, width: room.map_or(most, |room| room.clamp(least, most)) }
    }
}

/// Appends the report as text.
pub(super) fn write(report: &Report, look: Look, out: &mut Vec<u8>) {
    let digits = look.digits;
    if let Some(title) = &report.title {
        out.extend_from_slice(format!("{}\n\n", printable(title)).as_bytes());
    }
    let sentences = answer::sentences(report);
    sentences.iter().for_each(|sentence| wrap(sentence, look.width, out));
    if !sentences.is_empty() {
        out.push(b'\n');
    }
    for (name, value) in totals(report, digits) {
        out.extend_from_slice(format!("{:<17}{value}\n", format!("{name}:")).as_bytes());
    }
    let lengths = [cells::lengths(report, digits)].into_iter();
    let caches = lengths.chain(cells::caches(report, digits)).chain(fleets::tables(report, digits));
    let tiers = tiers::tables(report, digits).into_iter().map(|(_, table)| table);
    let reuse = reuse::tables(report, digits, printable);
    for table in caches.chain(reuse).chain(tiers).chain(cells::prefixes(report, digits)) {
        out.push(b'\n');
        draw(&table, look, out);
    }
}

/// Appends what is to be said of the groups by the value of `field`, a row for each.
pub(super) fn write_groups(all: &Report, field: &str, groups: &[GroupReport], look: Look, out: &mut Vec<u8>) {
    for (title, table) in groups::tables(field, all, groups, look.digits, printable) {
        out.extend_from_slice(format!("\n{}:\n", printable(&title)).as_bytes());
        draw(&table, look, out);
    }
}

/// A sentence in lines of at most so many columns.
fn wrap(sentence: &str, columns: usize, out: &mut Vec<u8>) {
    let mut column = 0;
    for word in sentence.split(' ') {
        let width = word.chars().count();
        let fits = column + 1 + width <= columns;
        let separator = if column == 0 {
            ""
        } else if fits {
            " "
        } else {
            "\n  "
        };
        column = if fits { column + separator.len() + width } else { 2 + width };
        out.extend_from_slice(separator.as_bytes());
        out.extend_from_slice(word.as_bytes());
    }
    out.push(b'\n');
}

fn draw(table: &Cells, look: Look, out: &mut Vec<u8>) {
    match look.digits {
        Digits::All => grid(table, out),
        Digits::Few => plain(table, look.width, out),
    }
}

/// Draws columns side by side under a line, the first aligned left and the others right. What is too wide
/// goes on below, with the first column again.
fn plain(rows: &Cells, most: usize, out: &mut Vec<u8>) {
    let columns = rows.first().map_or(0, Vec::len);
    let length = |text: &str| text.chars().count();
    let width = |c: usize| rows.iter().map(|row| length(&row[c])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut from = 1;
    loop {
        let mut to = from;
        let mut total = widths.first().copied().unwrap_or(0);
        while to < columns && (to == from || total + 2 + widths[to] <= most) {
            total += 2 + widths[to];
            to += 1;
        }
        for (index, row) in rows.iter().enumerate() {
            let mut line = format!("{:<1$}", row[0], widths[0]);
            (from..to).for_each(|c| line.push_str(&format!("  {:>1$}", row[c], widths[c])));
            out.extend_from_slice(line.trim_end().as_bytes());
            out.push(b'\n');
            if index == 0 {
                out.extend_from_slice("-".repeat(total).as_bytes());
                out.push(b'\n');
            }
        }
        if to >= columns {
            return;
        }
        out.push(b'\n');
        from = to;
    }
}

fn totals(report: &Report, digits: Digits) -> Vec<(&'static str, String)> {
    let mark = cells::mark;
    let count = |value: u128, accuracy: Accuracy| {
        let error = |error: f64| format!(" +- {}", digits.count(error.round() as u128));
        let error = accuracy.standard_error().map_or_else(String::new, error);
        format!("{}{}{error}", mark(accuracy), digits.count(value))
    };
    let blocks = |figure: &Figure<u64>| count(figure.value.into(), figure.accuracy);
    let rate = |figure: &Figure<Option<f64>>| {
        let text = match (figure.value, figure.accuracy.standard_error()) {
            (Some(rate), Some(error)) => format!("{rate:.6} +- {error:.6}"),
            (Some(rate), None) => digits.real(rate),
            (None, _) => "-".into(),
        };
        format!("{}{text}", mark(figure.accuracy))
    };
    let mut lines = vec![("Requests", digits.count(report.requests))];
    if report.requests_without_ids > 0 {
        let n = digits.count(report.requests_without_ids);
        lines.push(("Without ids", format!("{n} (counted in input and output length only)")));
    }
    if report.skipped_records > 0 {
        let n = digits.count(report.skipped_records);
        lines.push(("Skipped", format!("{n} bad records, which are in no figure")));
    }
    lines.extend([
        ("Block size", format!("{} tokens", digits.count(report.block_size))),
        ("Blocks", digits.count(report.blocks)),
        ("Unique blocks", blocks(&report.unique_blocks)),
        ("Shared blocks", blocks(&report.shared_blocks)),
        ("Prefix groups", blocks(&report.prefix_groups)),
        ("Input tokens", digits.count(report.input_tokens)),
        ("Output tokens", digits.count(report.output_tokens)),
        ("Reusable tokens", count(report.cached_tokens.value, report.cached_tokens.accuracy)),
        ("Token hit rate", rate(&report.token_hit_rate)),
        ("Block hit rate", rate(&report.block_hit_rate)),
    ]);
    if let Some(recorded) = &report.recorded {
        let (tokens, requests) = (digits.count(recorded.cached_tokens), digits.count(recorded.requests));
        lines.push(("Recorded", format!("{tokens} cached tokens in {requests} requests")));
    }
    if let Some(estimate) = &report.estimate {
        let n = digits.count(estimate.sampled_blocks);
        lines.push(("Estimated", format!("from {n} blocks, with standard errors")));
    }
    if let Some(bound) = &report.bound {
        lines.push((
            "Forgotten",
            format!(
                "{} blocks, used least recently, for want of memory",
                digits.count(bound.forgotten_blocks)
            ),
        ));
        if let Some(exact) = bound.exact_capacity_blocks {
            lines.push(("Still exact", format!("LRU caches of at most {} blocks", digits.count(exact))));
        }
    }
    if let Some(error) = report.prefixes.value.as_ref().map(|p| p.error_tokens).filter(|&error| error > 0) {
        lines.push(("Prefixes", format!("saved tokens may be {} more", digits.count(error))));
    }
    lines.extend(cache_lines(report, digits));
    lines.extend(Thrashing::all(report).map(|thrashing| ("Thrashing", thrashing.to_string())));
    if let Some(arrivals) = &report.arrivals {
        lines.extend(arrival_lines(arrivals, digits));
    }
    lines
}

/// How hits are counted, and what is known of the requests besides.
fn cache_lines(report: &Report, digits: Digits) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if report.hit_rule == HitRule::Engine {
        lines.push(("Hits", "full blocks only, the last token always computed".into()));
    }
    if let Some(unit) = report.hit_unit.value {
        let last = if unit.is_last_dropped { ", and the last one found is computed again" } else { "" };
        let plural = if unit.tokens == 1 { "" } else { "s" };
        let from = match unit.min_tokens {
            0 => String::new(),
            min => format!(", from {} on", digits.count(min)),
        };
        lines.push(("Hit unit", format!("{} token{plural}{from}{last}", digits.count(unit.tokens))));
        let share = unit.below_share.map_or_else(|| "-".into(), |share| format!("{:.1} %", share * 100.0));
        let mark = cells::mark(report.hit_unit.accuracy);
        lines.push(("Below one unit", format!("{mark}{share} of what is shared")));
    }
    if let Some(misses) = &report.misses.value {
        let count = |n: u64| digits.count(n);
        let about = cells::mark(report.misses.accuracy.loosely());
        let SessionSources { named_requests, continued_requests, new_requests, .. } = misses.sessions;
        lines.push((
            "Sessions",
            format!(
                "named by {} requests; by prefixes {about}{} continue one and {about}{} begin one",
                count(named_requests),
                count(continued_requests),
                count(new_requests)
            ),
        ));
    }
    if let Some(inferred) = report.inferred_answers {
        lines.push(("Answers", format!("of {inferred} requests inferred from prompts that quote them")));
    }
    if let Some(caches) = report.caches.as_ref().filter(|caches| !caches.capacity.is_empty()) {
        let work = caches.infinite.work;
        let counted =
            if work.is_some() { "in tokens, and in compute (FLOPs of the model)" } else { "in tokens" };
        lines.push(("Prefill saving", counted.into()));
    }
    let mut caches = report.caches.iter().flat_map(|caches| &caches.capacity);
    if caches.any(|row| row.below_opt.is_some()) {
        lines.push((
            "Opt",
            "serves the most blocks; in tokens, about the most (last blocks may be partial)".into(),
        ));
    }
    lines
}

fn arrival_lines(arrivals: &ArrivalFigures, digits: Digits) -> Vec<(&'static str, String)> {
    let seconds = arrivals.duration_s;
    let duration = match (digits, time_unit(seconds)) {
        (Digits::All, _) => format!("{seconds:?} s"),
        (Digits::Few, (_, 1.0)) => format!("{} s", rounded(seconds)),
        (Digits::Few, (name, unit)) => format!("{} s ({:.1} {name})", rounded(seconds), seconds / unit),
    };
    let mut lines = vec![("Duration", duration)];
    if let Some(mean) = arrivals.mean_rate {
        let whole = || digits.count(arrivals.peak_rate);
        let peak = arrivals.peak_step_rate.map_or_else(whole, |peak| format!("{peak:.3}"));
        lines.push(("Request rate", format!("{mean:.3}/s mean, {peak}/s peak")));
    }
    if let (Some(mean), Some(cv)) = (arrivals.interarrival_mean_ms, arrivals.interarrival_cv) {
        lines.push(("Inter-arrival", format!("{mean:.3} ms mean, {cv:.3} coefficient of variation")));
    }
    if let Some(dispersion) = arrivals.dispersion_10s {
        lines.push(("Dispersion", format!("{dispersion:.3} of the counts per 10 s")));
    }
    if arrivals.late > 0 {
        lines.push(("Late records", digits.count(arrivals.late)));
    }
    lines
}

/// Draws centred cells between lines of `+---+`; the first row is the header.
fn grid(rows: &[Vec<String>], out: &mut Vec<u8>) {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect();
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
            let space = width + 2 - cell.chars().count();
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
