//! Where hits come from.

use maud::{Markup, html};

use super::parts::{count, mark, plain, rate, scrolling, table};
use crate::report::reuse::{by_age, value};
use crate::stats::{Report, ReuseFigures, SharedByFigures};

/// The ages of hits and the blocks that make most of them, and whose requests had brought them, if asked for.
pub(super) fn section(report: &Report) -> Markup {
    let (reuse, shared_by) = (&report.reuse, &report.shared_by);
    html! {
        @if let Some(figures) = &reuse.value {
            section {
                h2 { "Where hits come from" }
                @if !figures.by_age.is_empty() {
                    p.quiet { "Prompt tokens that a cache without limit serves, by the time since they were used last." }
                    (scrolling("Hits by age", false, &ages(report, figures)))
                }
                @if !figures.concentration.is_empty() {
                    h3.table { "The blocks that are used most" }
                    (scrolling("Concentration of hits", false, &concentration(figures)))
                }
                @if let Some(figures) = &shared_by.value {
                    h3.table { "Hits by " (figures.field) }
                    p.quiet { "Own: a request with the same value had brought the block into the shared cache." }
                    (scrolling("Hits by value", true, &sharers(report, figures)))
                    @if figures.matrix.len() > 1 {
                        details {
                            summary { "Who uses whose blocks" }
                            (scrolling("Who uses whose blocks", true, &matrix(report, figures)))
                        }
                    }
                }
            }
        }
    }
}

fn ages(report: &Report, figures: &ReuseFigures) -> Markup {
    let (all, mark) = (report.tokens_with_ids, mark(report.reuse.accuracy));
    let share = |tokens: u128| (all > 0).then(|| tokens as f64 / all as f64);
    let body = html! {
        @for (name, tokens, sum) in by_age(figures) {
            tr {
                th scope="row" { (name) }
                td { (mark) (count(tokens)) }
                td { (mark) (rate(share(tokens))) }
                td { (mark) (rate(share(sum))) }
            }
        }
    };
    table(&["Used before within", "Hit tokens", "Share of tokens", "Up to there"], &body)
}

fn concentration(figures: &ReuseFigures) -> Markup {
    let body = html! {
        @for row in &figures.concentration {
            tr {
                th scope="row" { (plain(row.block_share * 100.0)) " %" }
                td { (count(row.blocks)) }
                td { (rate(row.hit_share)) }
            }
        }
    };
    table(&["Most used blocks", "Blocks", "Share of hits"], &body)
}

fn sharers(report: &Report, figures: &SharedByFigures) -> Markup {
    let mark = mark(report.shared_by.accuracy);
    let kinds = if figures.has_answers { 3 } else { 2 };
    let body = html! {
        @for row in &figures.values {
            @let share = |tokens: u128| (row.tokens > 0).then(|| tokens as f64 / row.tokens as f64);
            tr {
                th scope="row" { (value(row)) }
                td { (count(row.requests)) }
                td { (count(row.tokens)) }
                @for &tokens in [row.own_tokens, row.others_tokens, row.answer_tokens].iter().take(kinds) {
                    td { (mark) (count(tokens)) }
                    td { (mark) (rate(share(tokens))) }
                }
            }
        }
    };
    let header = ["Value", "Requests", "Tokens", "Hits in own", "Share", "Hits in others'", "Share"];
    let answers = ["Hits in answers", "Share"];
    let header: Vec<_> = header.into_iter().chain(answers.into_iter().filter(|_| kinds == 3)).collect();
    table(&header, &body)
}

fn matrix(report: &Report, figures: &SharedByFigures) -> Markup {
    let mark = mark(report.shared_by.accuracy);
    let names: Vec<_> = figures.values.iter().map(|row| format!("Of {}", value(row))).collect();
    let names: Vec<_> = ["Hits of".to_owned()].into_iter().chain(names).collect();
    let body = html! {
        @for (row, tokens) in figures.values.iter().zip(&figures.matrix) {
            tr {
                th scope="row" { (value(row)) }
                @for &tokens in tokens { td { (mark) (count(tokens)) } }
            }
        }
    };
    table(&names, &body)
}
