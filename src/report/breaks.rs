//! Where prompts part from earlier ones, and what it costs: for people, for programs, for wiki pages.

use super::markdown;
use super::numbers::{grouped, percent};
use crate::error::printable;
use crate::hash::{Break, BreakReport, Difference};

/// Appends a table for people.
pub fn table(report: &BreakReport, out: &mut Vec<u8>) {
    let mut lines = summary(report);
    for (number, row) in report.breaks.iter().enumerate() {
        lines.push(String::new());
        lines.push(format!(
            "{}. {}: {} lost tokens ({}) in {}",
            number + 1,
            printable(&title(row)),
            grouped(row.lost_tokens.into()),
            percent(row.share),
            count(row.requests, "request", "requests"),
        ));
        lines
            .extend(example(row).into_iter().map(|(name, text)| format!("   {name:<9}{}", printable(&text))));
        lines.extend(wrapped(advice(row), 90).into_iter().map(|line| format!("   {line}")));
    }
    lines.iter().for_each(|line| out.extend_from_slice(format!("{line}\n").as_bytes()));
}

/// Appends a JSON object.
pub fn json(report: &BreakReport, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let mut value = serde_json::to_value(report).unwrap_or_default();
    let rows = value.get_mut("breaks").and_then(|rows| rows.as_array_mut()).into_iter().flatten();
    for (value, row) in rows.zip(&report.breaks) {
        value["advice"] = advice(row).into();
    }
    out.extend_from_slice(format!("{value:#}\n").as_bytes());
}

/// Appends a table for a wiki page.
pub fn markdown(report: &BreakReport, out: &mut Vec<u8>) {
    let mut lines = summary(report);
    lines.push(String::new());
    lines.push("| Place | What differs | Requests | Lost tokens | Share | Example | What to do |".to_owned());
    lines.push("|---|---|---:|---:|---:|---|---|".to_owned());
    for row in &report.breaks {
        let example: Vec<String> =
            example(row).into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
        let cells = [place(row), what(row).to_owned()];
        let [place, words] = cells.map(|text| markdown::text(&printable(&text)));
        lines.push(format!(
            "| {place} | {words} | {} | {} | {} | {} | {} |",
            row.requests,
            row.lost_tokens,
            percent(row.share),
            markdown::text(&printable(&example.join(" / "))),
            advice(row),
        ));
    }
    lines.iter().for_each(|line| out.extend_from_slice(format!("{line}\n").as_bytes()));
}

/// What is to be said of all requests.
fn summary(report: &BreakReport) -> Vec<String> {
    let share = |tokens: u64| percent(tokens as f64 / report.prompt_tokens.max(1) as f64);
    let row = |name: &str, tokens: u64, what: &str| {
        format!("{name:<7}{:>16} tokens {:>7}  {what}", grouped(tokens.into()), share(tokens))
    };
    let mut lines = vec![
        format!(
            "{}, {} prompt tokens",
            count(report.requests, "request", "requests"),
            grouped(report.prompt_tokens.into())
        ),
        String::new(),
        row(
            "shared",
            report.shared_tokens,
            "with the beginning of an earlier prompt: what a cache can serve",
        ),
        row("lost", report.lost_tokens, "sent before too, but behind a place where the prompt has changed"),
        row("new", report.new_tokens, "found in none of the earlier prompts that were looked at"),
        String::new(),
        format!(
            "Of the shared ones, {} ({}) do not fill a block.",
            grouped(report.block_lost_tokens.into()),
            share(report.block_lost_tokens)
        ),
    ];
    if report.forgotten_requests > 0 {
        lines.push(format!(
            "{} had an earlier prompt that was forgotten: more may be lost than is said here (memory ran short).",
            count(report.forgotten_requests, "request", "requests")
        ));
    }
    if report.error > 0 {
        lines.push(format!(
            "There were too many places to count: each figure below may be too high by up to {}.",
            grouped(report.error.into())
        ));
    }
    if report.breaks.is_empty() {
        lines.push("No prompt has changed before something that was sent again.".to_owned());
    } else if report.other_lost_tokens > 0 {
        lines.push(format!(
            "{} of the lost ones are lost at other places than these.",
            grouped(report.other_lost_tokens.into())
        ));
    }
    lines
}

fn count(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(number.into()), if number == 1 { one } else { several })
}

/// What differs, and where.
fn title(row: &Break) -> String {
    format!("{} in {}", what(row), place(row))
}

fn place(row: &Break) -> String {
    let name = match &*row.place {
        "" => "the prompt",
        place => place,
    };
    let role = row
        .role
        .as_ref()
        .filter(|role| *role != "tools")
        .map_or_else(String::new, |role| format!(" ({role})"));
    let around = if row.in_template { "between the parts of " } else { "" };
    format!("{around}{name}{role}")
}

/// Lines about the example, each with its name.
fn example(row: &Break) -> Vec<(&'static str, String)> {
    let example = &row.example;
    let at = |file: &Option<String>, line: u64| match file {
        Some(file) => format!("{file}:{line}"),
        None => format!("line {line}"),
    };
    let mut where_it_is = at(&example.file, example.line);
    if let Some(place) = &example.place {
        where_it_is += &format!(", {}", if place.is_empty() { "the record" } else { place });
    }
    if let Some(character) = example.character {
        where_it_is += &format!(", character {character}{}", if example.approximate { " or so" } else { "" });
    }
    let mut lines = vec![("example", where_it_is)];
    let line = example.earlier_line.map(|line| at(&example.earlier_file, line));
    match (&example.earlier_excerpt, &example.excerpt, line) {
        (Some(before), Some(after), Some(line)) => {
            lines.push(("before", format!("{} ({line})", quoted(before))));
            lines.push(("now", quoted(after)));
        }
        (_, _, Some(line)) => lines.push(("before", line)),
        _ => {}
    }
    lines
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// What differs in all requests that part there.
fn what(row: &Break) -> &'static str {
    if row.also.is_some() { "something that comes and goes" } else { words(row.difference) }
}

/// What differs, in words.
fn words(difference: Difference) -> &'static str {
    match difference {
        Difference::New => "a new prompt",
        Difference::Repeat => "nothing",
        Difference::End => "what follows an earlier prompt",
        Difference::Time => "a time",
        Difference::Date => "a date",
        Difference::Counter => "a number",
        Difference::Hash => "an id or hash",
        Difference::Order => "another order",
        Difference::WhiteSpace => "white space",
        Difference::Insertion => "something inserted",
        Difference::Removal => "something removed",
        Difference::Part => "another image or file",
        Difference::Text => "another text",
        Difference::Tokens => "other tokens",
        Difference::Model => "another model",
        Difference::Salt => "another cache salt",
        Difference::Adapter => "another adapter",
        Difference::Forgotten => "something forgotten",
    }
}

/// What to do about it.
fn advice(row: &Break) -> &'static str {
    let role = row.role.as_deref();
    let in_tools = role == Some("tools");
    match row.difference {
        Difference::Time => "Move the time behind the text that stays the same, or round it to the day.",
        Difference::Date => {
            "Once a day is cheap; if it changes more often, move the date behind the text that stays the same."
        }
        Difference::Counter => "Move the number behind the text that stays the same, or leave it out.",
        Difference::Hash => {
            "An id that is new for each request tells the model nothing: leave it out, or move it to the end."
        }
        Difference::Order if in_tools => {
            "Send the tools, and the keys of their JSON, in one order: sort them by name."
        }
        Difference::Order => "Send the same things in one order: sort them, and the keys of JSON.",
        Difference::WhiteSpace => "Render the text by the same code each time: white space counts.",
        Difference::Insertion if in_tools => {
            "Send the same tools with each request of a session, new ones at the end."
        }
        Difference::Insertion | Difference::Removal if row.also.is_some() => {
            "Send it always, or never, or put it behind the text that stays the same."
        }
        Difference::Removal if matches!(role, Some("system" | "developer")) => {
            "Put what is at times left out behind the text that stays the same, or send it always."
        }
        Difference::Insertion => {
            "Put what is added behind the text that stays the same, best at the end of the prompt."
        }
        Difference::Removal if in_tools => "Send the same tools with each request of a session, used or not.",
        Difference::Removal => {
            "Cut a history seldom and by much, not a little each time: what follows the cut is computed anew."
        }
        Difference::Part => {
            "Put images and files behind the text that stays the same, and send the same bytes again."
        }
        Difference::Text | Difference::Tokens => {
            "Put what changes from request to request (names, results of a search) behind what stays the same."
        }
        Difference::Model => "Caches are per model: send requests that share text to one model.",
        Difference::Salt => "A salt keeps caches apart, and should change per tenant, not per request.",
        Difference::Adapter => "Caches are per adapter: send requests that share text to one adapter.",
        Difference::End => {
            "The text behind the place was sent earlier further in front: keep it at one place."
        }
        Difference::New | Difference::Repeat | Difference::Forgotten => "",
    }
}

/// The lines of a text, broken at blanks.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.len() + 1 + word.len() <= width) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
