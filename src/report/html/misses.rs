//! What became of prompt tokens.

use maud::{Markup, html};

use super::parts::{count, mark, plain, rate, scrolling, table};
use crate::report::cells::Digits;
use crate::report::misses::cache;
use crate::stats::{KnownTokens, LastUse, MissFigures, MissRow, Report};

/// The fates of tokens, if they are asked for.
pub(super) fn section(report: &Report) -> Markup {
    let Some(figures) = report.misses.value.as_ref().filter(|figures| !figures.rows.is_empty()) else {
        return Markup::default();
    };
    let accuracy = report.misses.accuracy;
    let (known, about) = (mark(accuracy), mark(accuracy.loosely()));
    let marks = [known, mark(accuracy.reversed()), about];
    let sessions = figures.sessions;
    html! {
        section {
            h2 { "Why tokens were not served" }
            p.quiet {
                "Every prompt token has one fate in each LRU cache. Evicted: a larger cache would have served it. "
                "Expired: a longer time to live would have. Rules: known, but not in a full block that counts. "
                "Cold: never there before."
            }
            (scrolling("Fates of tokens", false, &fates(figures, marks)))
            h3.table { "When tokens that are gone had been used last" }
            (scrolling("Last uses", false, &last_uses(figures, about)))
            h3.table { "Which session had used known tokens last" }
            p.quiet {
                (count(sessions.named_requests)) " requests name their session; by their prefixes "
                (about) (count(sessions.continued_requests)) " continue one and " (about) (count(sessions.new_requests)) " begin one."
            }
            (scrolling("Last uses by session", false, &by_session(figures, about)))
            details {
                summary { "By depth in the prompt" }
                (scrolling("Fates by depth", true, &by_depth(figures, marks)))
            }
        }
    }
}

fn name(row: &MissRow) -> String {
    cache(row, Digits::Few)
}

/// The mark of a fate, of those of what is known, cold and neither.
fn mark_of<'a>(fate: &str, [known, cold, about]: [&'a str; 3]) -> &'a str {
    match fate {
        "cold" => cold,
        "rules" => about,
        _ => known,
    }
}

fn fates(figures: &MissFigures, marks: [&str; 3]) -> Markup {
    let body = html! {
        @for row in &figures.rows {
            tr {
                th scope="row" { (name(row)) }
                @for (fate, tokens) in row.fates.parts() {
                    td { (mark_of(fate, marks)) (count(tokens)) small { " " (rate(row.fates.share(tokens))) } }
                }
                td { (count(row.fates.tokens)) }
            }
        }
    };
    table(&["Cache", "Hit", "Cold", "Evicted", "Expired", "Rules", "Elsewhere", "All tokens"], &body)
}

fn last_uses(figures: &MissFigures, about: &str) -> Markup {
    let row = |fate: &str, row: &MissRow, last: &LastUse| {
        html! {
            tr {
                th scope="row" { (fate) ", " (name(row)) }
                @for seconds in [last.median_s, last.p90_s] {
                    td { @if let Some(seconds) = seconds { (about) (plain(seconds)) " s" } @else { "–" } }
                }
                @for blocks in [last.median_blocks, last.p90_blocks] { td { (about) (count(blocks)) } }
            }
        }
    };
    let body = html! {
        @for of in &figures.rows {
            @if let Some(last) = &of.evicted_last_use { (row("Evicted", of, last)) }
            @if let Some(last) = &of.expired_last_use { (row("Expired", of, last)) }
        }
    };
    table(&["Fate and cache", "Median time", "90 %", "Median distance in blocks", "90 %"], &body)
}

fn by_session(figures: &MissFigures, mark: &str) -> Markup {
    let cells = |known: &KnownTokens| {
        html! { @for tokens in [known.hit, known.evicted, known.expired] { td { (mark) (count(tokens)) } } }
    };
    let body = html! {
        @for row in &figures.rows {
            tr { th scope="row" { (name(row)) } (cells(&row.same_session)) (cells(&row.other_sessions)) }
        }
    };
    let names =
        ["Cache", "Same session: hit", "Evicted", "Expired", "Other session: hit", "Evicted", "Expired"];
    table(&names, &body)
}

fn by_depth(figures: &MissFigures, marks: [&str; 3]) -> Markup {
    let body = html! {
        @for row in &figures.rows {
            @for depth in &row.depth {
                tr {
                    th scope="row" { (name(row)) }
                    td { (count(depth.from_tokens)) " – " (count(depth.to_tokens)) }
                    @for (fate, tokens) in depth.fates.parts() {
                        td { (mark_of(fate, marks)) (count(tokens)) }
                    }
                    td { (count(depth.fates.tokens)) }
                }
            }
        }
    };
    let names =
        ["Cache", "Depth in tokens", "Hit", "Cold", "Evicted", "Expired", "Rules", "Elsewhere", "All tokens"];
    table(&names, &body)
}
