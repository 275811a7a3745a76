//! What servers recorded beside what was possible, as sentences, cells and single figures.

use crate::report::digits::{Cells, Digits, Number, mark};
use crate::report::numbers::{grouped, moment, percent, rounded};
use crate::report::price;
use crate::stats::{Accuracy, Comparison, Cost, RecordedFigures, RecordedHour, Report};

/// Hours that a table for people has at most.
const MOST_HOURS: usize = 24;

/// What a server found, what was possible, and why it was not found.
pub(super) fn line(recorded: &RecordedFigures, accuracy: Accuracy) -> Option<String> {
    let compared = recorded.compared.as_ref()?;
    let share = |tokens: u128| compared.share(tokens).map(|share| format!("{share:.3}"));
    let (mark, about) = (mark(accuracy), mark(accuracy.loosely()));
    let above = match compared.above_possible_tokens {
        0 => String::new(),
        tokens => format!(", above possible {}", share(tokens)?),
    };
    Some(format!(
        "found {}, possible {mark}{}, gone or elsewhere {mark}{}, block rules {about}{}{above}",
        share(compared.found_tokens)?,
        share(compared.possible_tokens)?,
        share(compared.evicted_tokens)?,
        share(compared.rules_tokens)?,
    ))
}

/// Sentences on what the server found against what its ids allow.
pub(super) fn sentences(report: &Report) -> Vec<String> {
    let Some(recorded) = &report.recorded else { return Vec::new() };
    let Some(compared) = &recorded.compared else { return Vec::new() };
    let (least, most) = (mark(report.possible), mark(report.possible.reversed()));
    let requests = |n: u64| {
        let share = percent(n as f64 / compared.requests.max(1) as f64);
        format!("{} of {} requests ({share})", grouped(n.into()), grouped(compared.requests.into()))
    };
    let mut list: Vec<_> = line(recorded, report.possible)
        .map(|line| format!("Of the prompt tokens: {line}."))
        .into_iter()
        .collect();
    if compared.below_possible_requests > 0 {
        list.push(format!(
            "In {least}{} the server found fewer tokens than possible, by {least}{}.",
            requests(compared.below_possible_requests),
            grouped(compared.below_possible_tokens),
        ));
    }
    if compared.above_possible_requests > 0 {
        list.push(format!(
            "In {most}{} the server found more than is possible by these ids, by {most}{} tokens{}",
            requests(compared.above_possible_requests),
            grouped(compared.above_possible_tokens),
            why_above(
                recorded,
                compared,
                report.possible,
                report.arrivals.as_ref().map_or(0, |arrivals| arrivals.late)
            ),
        ));
    }
    list
}

/// Why more may have been found than is possible. So many records are `late`.
fn why_above(recorded: &RecordedFigures, compared: &Comparison, possible: Accuracy, late: u64) -> String {
    if compared.beyond_block_requests == 0 {
        return ", each time less than a block: its blocks are smaller than those of the trace.".to_owned();
    }
    let (most, about) = (mark(possible.reversed()), mark(possible.loosely()));
    let first = recorded.first_beyond_line;
    let line = first.map_or_else(String::new, |line| format!(", first in {about}line {line}"));
    let late = match late {
        0 => String::new(),
        1 => "a record is not in the order of times, which trace-cat can sort, ".to_owned(),
        _ => format!(
            "{} records are not in the order of times, which trace-cat can sort, ",
            grouped(late.into())
        ),
    };
    format!(
        " ({most}{} of them by a block or more{line}): {late}ids, template or tokenizer are not the server's, or it had \
         prompts or answers that the trace does not show.",
        grouped(compared.beyond_block_requests.into()),
    )
}

/// The tables, where ids were compared.
pub(super) fn tables(report: &Report, digits: Digits) -> Vec<Cells> {
    let Some(recorded) = &report.recorded else { return Vec::new() };
    let Some(compared) = &recorded.compared else { return Vec::new() };
    let accuracy = report.possible;
    let cost = report.price.iter().flat_map(|_| price::COLUMNS);
    let header = ["Requests With Recorded Hits", "Tokens", "Rate"].into_iter().chain(cost);
    let header: Vec<String> = header.map(str::to_owned).collect();
    let columns = header.len();
    let row = |(name, tokens, accuracy, cost): (String, u128, Accuracy, Option<Cost>)| {
        let mark = mark(accuracy);
        let rate =
            compared.share(tokens).map_or_else(|| "-".into(), |rate| format!("{mark}{}", digits.real(rate)));
        let mut cells = vec![name, format!("{mark}{}", digits.count(tokens)), rate];
        cells.extend(price::cells(cost, accuracy, digits));
        cells.resize(columns, "-".into());
        cells
    };
    let rows = parts(compared, accuracy).into_iter().map(|(name, tokens, accuracy)| {
        // The server's own bill is that of all requests whose hits it recorded.
        let is_whole = name == "found" && compared.requests == recorded.requests;
        (name.to_owned(), tokens, accuracy, recorded.cost.filter(|_| is_whole))
    });
    let caches = recorded
        .caches
        .iter()
        .map(|cache| (format!("by {}", cache.cache), cache.hit_tokens, accuracy, cache.cost));
    let summary = [header].into_iter().chain(rows.chain(caches).map(row)).collect();
    [summary].into_iter().chain(hours(recorded, accuracy, digits)).collect()
}

/// The figures of a comparison that are tokens, by their names for people.
fn parts(compared: &Comparison, accuracy: Accuracy) -> Vec<(&'static str, u128, Accuracy)> {
    vec![
        ("all", compared.input_tokens, Accuracy::Exact),
        ("found", compared.found_tokens, Accuracy::Exact),
        ("possible", compared.possible_tokens, accuracy),
        ("gone or elsewhere", compared.evicted_tokens, accuracy),
        ("block rules", compared.rules_tokens, accuracy.loosely()),
        ("above possible", compared.above_possible_tokens, accuracy.reversed()),
    ]
}

/// The comparison by hour, unless there is but one; joined until there are few enough for people.
fn hours(recorded: &RecordedFigures, accuracy: Accuracy, digits: Digits) -> Option<Cells> {
    let mut rows = recorded.hours.clone();
    while digits == Digits::Few && rows.len() > MOST_HOURS {
        rows = joined(&rows);
    }
    let length = rows.first().filter(|_| rows.len() > 1)?.length_s / 3600.0;
    let title = format!("From, by {} h", rounded(length));
    let names = ["Requests", "Tokens", "Found", "Possible", "Evicted", "Block Rules", "Above Possible"];
    let header = [title].into_iter().chain(names.map(str::to_owned)).collect();
    let row = |hour: &RecordedHour| {
        let all = hour.compared.input_tokens;
        let tokens = parts(&hour.compared, accuracy).into_iter().skip(1).map(|(_, tokens, accuracy)| {
            let mark = mark(accuracy);
            match digits {
                Digits::All => format!("{mark}{tokens}"),
                Digits::Few if all == 0 => "-".to_owned(),
                Digits::Few => format!("{mark}{}", percent(tokens as f64 / all as f64)),
            }
        });
        let start = match digits {
            Digits::All => digits.real(hour.start_ms),
            Digits::Few => moment(hour.start_ms),
        };
        [start, digits.count(hour.compared.requests), digits.count(all)].into_iter().chain(tokens).collect()
    };
    Some([header].into_iter().chain(rows.iter().map(row)).collect())
}

/// Two stretches of time at a time as one.
fn joined(rows: &[RecordedHour]) -> Vec<RecordedHour> {
    let mut all: Vec<RecordedHour> = Vec::new();
    for row in rows {
        let length_s = 2.0 * row.length_s;
        let start_ms = (row.start_ms / (length_s * 1000.0)).floor() * length_s * 1000.0;
        match all.last_mut() {
            Some(last) if last.start_ms == start_ms => last.compared += row.compared,
            _ => {
                let mut row = *row;
                (row.start_ms, row.length_s) = (start_ms, length_s);
                all.push(row);
            }
        }
    }
    all
}

/// What a figure of a comparison is worth, by its name in JSON, where those that are possible are worth this.
pub(super) fn worth(name: &str, possible: Accuracy) -> Accuracy {
    match name {
        "possible_tokens" | "evicted_tokens" | "below_possible_requests" | "below_possible_tokens" => {
            possible
        }
        "rules_tokens" => possible.loosely(),
        "above_possible_requests" | "above_possible_tokens" | "beyond_block_requests" => possible.reversed(),
        _ => Accuracy::Exact,
    }
}

/// Every figure of a comparison by its name in JSON.
pub(super) fn numbers(compared: &Comparison) -> [(&'static str, Number); 11] {
    let count = |n: u64| Number::Count(n.into());
    [
        ("compared_requests", count(compared.requests)),
        ("compared_tokens", Number::Count(compared.input_tokens)),
        ("found_tokens", Number::Count(compared.found_tokens)),
        ("possible_tokens", Number::Count(compared.possible_tokens)),
        ("evicted_tokens", Number::Count(compared.evicted_tokens)),
        ("rules_tokens", Number::Count(compared.rules_tokens)),
        ("above_possible_requests", count(compared.above_possible_requests)),
        ("above_possible_tokens", Number::Count(compared.above_possible_tokens)),
        ("beyond_block_requests", count(compared.beyond_block_requests)),
        ("below_possible_requests", count(compared.below_possible_requests)),
        ("below_possible_tokens", Number::Count(compared.below_possible_tokens)),
    ]
}
