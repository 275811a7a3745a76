//! Where hits come from, as cells of text and as single figures.

use crate::error::printable;
use crate::report::digits::{Cells, Digits, Number, mark, share_of};
use crate::report::numbers::rounded;
use crate::stats::{AgeRow, OTHERS, Report, ReuseFigures, SharedByFigures, SharerRow};

/// A time in words.
fn age(row: &AgeRow) -> String {
    let Some(seconds) = row.within_s else { return "longer".to_owned() };
    let units = [("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)];
    let (unit, size) = units.into_iter().find(|(_, size)| seconds >= *size).unwrap_or(("s", 1.0));
    format!("{} {unit}", rounded(seconds / size))
}

/// The value of a row as it is shown.
pub(super) fn value(row: &SharerRow) -> String {
    row.value.as_deref().map_or_else(|| OTHERS.to_owned(), printable)
}

/// The tables, if they are asked for. `text` makes of a value what a cell may hold.
pub(super) fn tables(report: &Report, digits: Digits, text: impl Fn(&str) -> String) -> Vec<Cells> {
    let reuse = report.reuse.value.iter().flat_map(|figures| {
        let ages = (!figures.by_age.is_empty()).then(|| ages(report, figures, digits));
        let blocks = figures.concentration.iter().map(|row| {
            let share = row.hit_share.map_or_else(|| "-".into(), |share| digits.real(share));
            vec![format!("{} %", rounded(row.block_share * 100.0)), digits.count(row.blocks), share]
        });
        let header = ["Most Used Blocks", "Blocks", "Share of Hits"].map(str::to_owned).to_vec();
        let blocks: Cells = [header].into_iter().chain(blocks).collect();
        ages.into_iter().chain((blocks.len() > 1).then_some(blocks))
    });
    let sharers = report.shared_by.value.iter().flat_map(|figures| sharers(report, figures, digits, &text));
    reuse.chain(sharers).collect()
}

/// The rows up to the last one with a hit.
fn occurring(rows: &[AgeRow]) -> &[AgeRow] {
    &rows[..rows.iter().rposition(|row| row.tokens > 0).map_or(0, |last| last + 1)]
}

/// Hit tokens by age, and those in answers, which have none; after each row the sum so far.
pub(super) fn by_age(figures: &ReuseFigures) -> Vec<(String, u128, u128)> {
    let rows = occurring(&figures.by_age).iter().map(|row| (age(row), row.tokens));
    let answers = (figures.answer_tokens > 0).then(|| ("in answers".to_owned(), figures.answer_tokens));
    let summed = rows.chain(answers).scan(0, |sum, (name, tokens)| {
        *sum += tokens;
        Some((name, tokens, *sum))
    });
    summed.collect()
}

fn ages(report: &Report, figures: &ReuseFigures, digits: Digits) -> Cells {
    let (all, accuracy) = (report.tokens_with_ids, report.reuse.accuracy);
    let header = ["Used Before Within", "Hit Tokens", "Share of Tokens", "Up to There"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(by_age(figures).into_iter().map(|(name, tokens, sum)| {
        let share = |tokens| share_of(tokens, all, accuracy, digits);
        vec![name, format!("{}{}", mark(accuracy), digits.count(tokens)), share(tokens), share(sum)]
    }));
    cells
}

fn sharers(
    report: &Report,
    figures: &SharedByFigures,
    digits: Digits,
    text: &impl Fn(&str) -> String,
) -> Vec<Cells> {
    let accuracy = report.shared_by.accuracy;
    let value = |row: &SharerRow| text(row.value.as_deref().unwrap_or(OTHERS));
    let has_answers = figures.has_answers;
    let header = ["Requests", "Tokens", "Hits in Own", "Share", "Hits in Others'", "Share"];
    let answers = ["Hits in Answers", "Share"].into_iter().filter(|_| has_answers);
    let header = header.into_iter().chain(answers).map(str::to_owned);
    let header = [text(&figures.field)].into_iter().chain(header).collect();
    let rows = figures.values.iter().map(|row| {
        let count = |tokens| format!("{}{}", mark(accuracy), digits.count(tokens));
        let share = |tokens| share_of(tokens, row.tokens, accuracy, digits);
        let (own, others) = (row.own_tokens, row.others_tokens);
        let all = [digits.count(row.requests), digits.count(row.tokens)];
        let hits = [count(own), share(own), count(others), share(others)];
        let answers = [count(row.answer_tokens), share(row.answer_tokens)];
        let answers = answers.into_iter().filter(|_| has_answers);
        [value(row)].into_iter().chain(all).chain(hits).chain(answers).collect()
    });
    let values = [header].into_iter().chain(rows).collect();
    if figures.matrix.len() < 2 {
        return vec![values];
    }
    let names = figures.values.iter().map(|row| format!("Of {}", value(row)));
    let header = ["Hit Tokens".to_owned()].into_iter().chain(names).collect();
    let rows = figures.values.iter().zip(&figures.matrix).map(|(row, tokens)| {
        let cells = tokens.iter().map(|&tokens| format!("{}{}", mark(accuracy), digits.count(tokens)));
        [value(row)].into_iter().chain(cells).collect()
    });
    vec![values, [header].into_iter().chain(rows).collect()]
}

/// A figure with the section that it belongs to and the item there: an age, a share of blocks, a value.
pub(super) struct Figure {
    pub(super) section: &'static str,
    /// What the item is.
    pub(super) of: &'static str,
    pub(super) item: String,
    pub(super) name: &'static str,
    pub(super) value: Number,
}

/// Every figure by itself; the matrix is left to JSON.
pub(super) fn figures(report: &Report) -> Vec<Figure> {
    let mut list = Vec::new();
    let mut add = |section, of, item: &str, name, value| {
        list.push(Figure { section, of, item: item.to_owned(), name, value });
    };
    if let Some(figures) = &report.reuse.value {
        for row in &figures.by_age {
            let item = row.within_s.map_or_else(|| "longer".to_owned(), |seconds| seconds.to_string());
            add("reuse", "within", &item, "tokens", Number::Count(row.tokens));
        }
        if figures.answer_tokens > 0 {
            add("reuse", "within", "answers", "tokens", Number::Count(figures.answer_tokens));
        }
        for row in &figures.concentration {
            let item = row.block_share.to_string();
            add("most_used", "share", &item, "blocks", Number::Count(row.blocks.into()));
            if let Some(share) = row.hit_share {
                add("most_used", "share", &item, "hit_share", Number::Real(share));
            }
        }
    }
    for (figures, row) in
        report.shared_by.value.iter().flat_map(|all| all.values.iter().map(move |row| (all, row)))
    {
        let item = value(row);
        let counts = [
            ("requests", u128::from(row.requests)),
            ("tokens", row.tokens),
            ("own_tokens", row.own_tokens),
            ("others_tokens", row.others_tokens),
        ];
        let answers = figures.has_answers.then_some(("answer_tokens", row.answer_tokens));
        for (name, count) in counts.into_iter().chain(answers) {
            add("shared_by", "value", &item, name, Number::Count(count));
        }
    }
    list
}
