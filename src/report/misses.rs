//! What became of prompt tokens, as cells of text and as single figures.

use crate::report::digits::{Cells, Digits, Number, mark, tokens_or_share as tokens};
use crate::report::numbers::bytes;
use crate::stats::{Accuracy, DepthRow, Fates, KnownTokens, LastUse, MissFigures, MissRow, Report};

/// The tables of the fates of tokens, if they are asked for.
pub(super) fn tables(report: &Report, digits: Digits) -> Vec<Cells> {
    let Some(figures) = &report.misses.value else { return Vec::new() };
    let Some(first) = figures.rows.first().filter(|row| row.fates.tokens > 0) else { return Vec::new() };
    let accuracy = report.misses.accuracy;
    [Some(fates(figures, accuracy, digits)), last_uses(figures, accuracy, digits)]
        .into_iter()
        .flatten()
        .chain([sessions(figures, accuracy, digits), depths(figures, first, accuracy, digits)])
        .collect()
}

/// What a cache of a row is called.
pub(super) fn cache(row: &MissRow, digits: Digits) -> String {
    let blocks = row.capacity_blocks.map_or_else(
        || "infinite".to_owned(),
        |blocks| match (row.capacity_bytes, digits) {
            (Some(size), Digits::Few) => bytes(size),
            _ => digits.count(blocks),
        },
    );
    row.ttl_ms.map_or_else(|| blocks.clone(), |ttl| format!("{blocks}, {} s", ttl as f64 / 1000.0))
}

/// The fates that occur, with the accuracy of each; those that need an option that is not given are left out.
fn columns(figures: &MissFigures, accuracy: Accuracy) -> Vec<(&'static str, &'static str, Accuracy)> {
    let occurs = |name: &str| {
        let mut parts = figures.rows.iter().flat_map(|row| row.fates.parts());
        parts.any(|(of, tokens)| of == name && tokens > 0)
    };
    [
        ("hit", "Hit", accuracy),
        ("evicted", "Evicted", accuracy),
        ("expired", "Expired", accuracy),
        ("elsewhere", "Elsewhere", accuracy),
        ("rules", "Rules", accuracy.loosely()),
        ("cold", "Cold", accuracy.reversed()),
    ]
    .into_iter()
    .filter(|(name, ..)| !matches!(*name, "expired" | "elsewhere" | "rules") || occurs(name))
    .collect()
}

fn part(fates: &Fates, name: &str) -> u128 {
    fates.parts().into_iter().find(|(of, _)| *of == name).map_or(0, |(_, tokens)| tokens)
}

fn fates(figures: &MissFigures, accuracy: Accuracy, digits: Digits) -> Cells {
    let columns = columns(figures, accuracy);
    let names = columns.iter().map(|&(_, title, _)| title.to_owned());
    let header = ["Fate of Tokens".to_owned()].into_iter().chain(names).chain(["Tokens".to_owned()]);
    let row = |row: &MissRow| {
        let parts = columns
            .iter()
            .map(|&(name, _, accuracy)| tokens(part(&row.fates, name), row.fates.tokens, accuracy, digits));
        let parts = [cache(row, digits)].into_iter().chain(parts);
        parts.chain([digits.count(row.fates.tokens)]).collect()
    };
    [header.collect()].into_iter().chain(figures.rows.iter().map(row)).collect()
}

/// How long ago what is gone had been used, where something is.
fn last_uses(figures: &MissFigures, accuracy: Accuracy, digits: Digits) -> Option<Cells> {
    let mark = mark(accuracy.loosely());
    let seconds = |s: Option<f64>| s.map_or_else(|| "-".into(), |s| format!("{mark}{}", digits.real(s)));
    let blocks = |n: u64| format!("{mark}{}", digits.count(n));
    let cells = |name: &str, row: &MissRow, last: &LastUse| {
        vec![
            format!("{name}, {}", cache(row, digits)),
            seconds(last.median_s),
            seconds(last.p90_s),
            blocks(last.median_blocks),
            blocks(last.p90_blocks),
        ]
    };
    let gone = |row: &MissRow| {
        let evicted = row.evicted_last_use.map(|last| cells("Evicted", row, &last));
        evicted.into_iter().chain(row.expired_last_use.map(|last| cells("Expired", row, &last)))
    };
    let rows: Vec<_> = figures.rows.iter().flat_map(gone).collect();
    let header = ["Last Used", "Seconds Ago", "90 %", "Blocks Ago", "90 %"];
    (!rows.is_empty()).then(|| [header.map(str::to_owned).to_vec()].into_iter().chain(rows).collect())
}

/// Who used last what was known.
fn sessions(figures: &MissFigures, accuracy: Accuracy, digits: Digits) -> Cells {
    let has_ttls = figures.rows.iter().any(|row| row.ttl_ms.is_some());
    let gone = ["Evicted", "Expired"].into_iter().take(if has_ttls { 2 } else { 1 });
    let names = ["Hit"].into_iter().chain(gone);
    let header = ["Same Session", "Other Session"]
        .into_iter()
        .flat_map(|of| names.clone().map(move |name| format!("{of} {name}")));
    let cells = |row: &MissRow| {
        let of = |known: &KnownTokens| {
            let parts = [known.hit, known.evicted, known.expired];
            let parts = parts.into_iter().take(if has_ttls { 3 } else { 2 });
            parts.map(|part| tokens(part, row.fates.tokens, accuracy.loosely(), digits)).collect::<Vec<_>>()
        };
        let parts = [of(&row.same_session), of(&row.other_sessions)];
        [cache(row, digits)].into_iter().chain(parts.into_iter().flatten()).collect()
    };
    let title = "Last Used By".to_owned();
    [[title].into_iter().chain(header).collect()].into_iter().chain(figures.rows.iter().map(cells)).collect()
}

/// The fates by depth: what is the same in all caches, and what each one serves.
fn depths(figures: &MissFigures, first: &MissRow, accuracy: Accuracy, digits: Digits) -> Cells {
    let hits = figures.rows.iter().map(|row| format!("Hit {}", cache(row, digits)));
    let header = ["Depth in Tokens", "Tokens", "Cold", "Rules"].map(str::to_owned);
    let row = |(place, depth): (usize, &DepthRow)| {
        let all = depth.fates.tokens;
        let hit = |row: &MissRow| {
            let hit = row.depth.get(place).map_or(0, |depth| depth.fates.hit);
            tokens(hit, all, accuracy, digits)
        };
        let same = [
            format!("{} - {}", digits.count(depth.from_tokens), digits.count(depth.to_tokens)),
            digits.count(all),
            tokens(depth.fates.cold, all, accuracy.reversed(), digits),
            tokens(depth.fates.rules, all, accuracy.loosely(), digits),
        ];
        same.into_iter().chain(figures.rows.iter().map(hit)).collect()
    };
    let header = header.into_iter().chain(hits).collect();
    [header].into_iter().chain(first.depth.iter().enumerate().map(row)).collect()
}

/// Figures by their names.
type Named = Vec<(&'static str, Number)>;

/// Every figure of each cache by its name: the cache, what part of its tokens, the figure. A part is empty for
/// all tokens, else a stretch of depth (`0-256`).
pub(super) fn numbers(report: &Report) -> Vec<(String, String, Named)> {
    let Some(figures) = &report.misses.value else { return Vec::new() };
    let counts = |fates: &Fates| {
        let parts = fates.parts().map(|(name, tokens)| (name, Number::Count(tokens)));
        parts.into_iter().chain([("tokens", Number::Count(fates.tokens))]).collect::<Named>()
    };
    let mut list = Vec::new();
    for row in &figures.rows {
        let mut all = counts(&row.fates);
        all.extend(known(&row.same_session, SAME_SESSION));
        all.extend(known(&row.other_sessions, OTHER_SESSIONS));
        all.extend(row.evicted_last_use.iter().flat_map(|last| last_use(last, EVICTED)));
        all.extend(row.expired_last_use.iter().flat_map(|last| last_use(last, EXPIRED)));
        list.push((row.name(), String::new(), all));
        for depth in &row.depth {
            let stretch = format!("{}-{}", depth.from_tokens, depth.to_tokens);
            list.push((row.name(), stretch, counts(&depth.fates)));
        }
    }
    list
}

const SAME_SESSION: [&str; 3] = ["same_session_hit", "same_session_evicted", "same_session_expired"];
const OTHER_SESSIONS: [&str; 3] = ["other_sessions_hit", "other_sessions_evicted", "other_sessions_expired"];
const EVICTED: [&str; 4] =
    ["evicted_median_s", "evicted_p90_s", "evicted_median_blocks", "evicted_p90_blocks"];
const EXPIRED: [&str; 4] =
    ["expired_median_s", "expired_p90_s", "expired_median_blocks", "expired_p90_blocks"];

fn known(known: &KnownTokens, names: [&'static str; 3]) -> Vec<(&'static str, Number)> {
    let values = [known.hit, known.evicted, known.expired].map(Number::Count);
    names.into_iter().zip(values).collect()
}

fn last_use(last: &LastUse, names: [&'static str; 4]) -> Vec<(&'static str, Number)> {
    let count = |n: u64| Some(Number::Count(n.into()));
    let seconds = |s: Option<f64>| s.map(Number::Real);
    let values =
        [seconds(last.median_s), seconds(last.p90_s), count(last.median_blocks), count(last.p90_blocks)];
    names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The columns of a table of groups: what is cold, and what each cache has evicted, as shares.
pub(super) fn group_shares(report: &Report, digits: Digits) -> Vec<(String, Option<String>)> {
    let Some(figures) = &report.misses.value else { return Vec::new() };
    let accuracy = report.misses.accuracy;
    let share = |row: &MissRow, part: u128, accuracy: Accuracy| {
        let share = row.fates.share(part)?;
        Some(format!("{}{}", mark(accuracy), digits.real(share)))
    };
    let cold =
        figures.rows.first().map(|row| ("Cold".to_owned(), share(row, row.fates.cold, accuracy.reversed())));
    let gone = figures.rows.iter().filter(|row| row.capacity_blocks.is_some() || row.ttl_ms.is_some());
    let gone = gone.map(|row| {
        let lost = row.fates.evicted + row.fates.expired;
        (format!("Gone from {}", cache(row, digits)), share(row, lost, accuracy))
    });
    cold.into_iter().chain(gone).collect()
}
