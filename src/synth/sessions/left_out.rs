//! What a model does not have, since too few sessions of the trace tell of it.

use super::bend::{Bend, Drawing};
use super::links::Links;
use super::model::SessionsModel;
use super::state::Kind;
use crate::synth::forest::Forest;
use crate::synth::knobs::Knobs;

/// Of more requests than these it is not drawn to see how well the trace is met: enough sessions tell of it.
const FEW: usize = 200;

/// Hit rates that differ by more than this are worth a remark.
const TOLERANCE: f64 = 0.05;

/// Fewer requests than this part of all are not missed.
const SMALL_PART: f64 = 0.02;

/// Remarks on what of a trace is not in its model, with what helps.
pub(super) fn remarks(
    model: &SessionsModel,
    links: &Links,
    forest: &Forest,
    min_count: usize,
) -> Vec<String> {
    let (kinds, missing) = missing_kinds(model, links, min_count);
    let rates = hit_rates(model, forest).map(|(trace, drawn)| {
        format!("the token hit rate of what is drawn is {drawn:.2}, and that of the trace {trace:.2}")
    });
    let all = forest.requests.len();
    let beyond = (links.beyond > 0).then(|| {
        format!(
            "left out, as fewer than {min_count} sessions are nearly as long: {} further requests of the longest \
             ({all} requests in all; `model` replay copies them)",
            links.beyond
        )
    });
    let matters = rates.is_some() || missing as f64 > SMALL_PART * all as f64;
    let remarks: Vec<String> = kinds.into_iter().chain(beyond).chain(rates).collect();
    if !matters {
        return remarks;
    }
    let sessions = links.sessions();
    let smaller = if min_count > 1 { ", a smaller `min_count`" } else { "" };
    let help = format!(
        "a trace of few sessions tells little (requests: {all}, sessions: {sessions}, least number of sessions for \
         a value: {min_count}): give a longer one{smaller}, or take `model` replay, which copies"
    );
    remarks.into_iter().chain([help]).collect()
}

/// The kinds of requests that are not drawn, and how many there were.
fn missing_kinds(model: &SessionsModel, links: &Links, min_count: usize) -> (Option<String>, usize) {
    let drawn =
        |kind: Kind| kind == Kind::Start || model.parts.chances.iter().any(|chance| chance.of == kind);
    let (mut parts, mut missing) = (Vec::new(), 0);
    for kind in Kind::ALL.into_iter().filter(|&kind| !drawn(kind)) {
        let count = links.requests.iter().filter(|request| request.state.kind == kind).count();
        if count > 0 {
            parts.push(format!("{count} {}", name(kind)));
            missing += count;
        }
    }
    let all = links.requests.len();
    let remark = format!(
        "left out, as fewer than {min_count} sessions have such: {} ({all} requests in all)",
        parts.join(", ")
    );
    ((missing > 0).then_some(remark), missing)
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Start => "first requests",
        Kind::Next => "next turns",
        Kind::Repeat => "repeated prompts",
        Kind::Document => "further uses of a document",
        Kind::Fork => "forks of earlier prompts",
    }
}

/// The token hit rates of a small trace, and of what its model draws, if they are far from each other.
fn hit_rates(model: &SessionsModel, forest: &Forest) -> Option<(f64, f64)> {
    if forest.requests.len() > FEW || !forest.has_ids() {
        return None;
    }
    let (mut cached, mut tokens) = (0, 0);
    for request in &forest.requests {
        let input = request.input(forest.block_size);
        tokens += input;
        cached += (u64::from(request.known) * forest.block_size).min(input);
    }
    let of_trace = cached as f64 / (tokens as f64).max(1.0);
    let requests = forest.requests.len() as u64;
    // As it is drawn, sessions exchanged for better ones included: one pass, since that takes as long as drawing.
    let drawing =
        Drawing { knobs: &Knobs::default(), block_size: forest.block_size, count: Some(requests), requests };
    let drawn = drawing.rate(model, 0, Bend::default()).ok()?;
    ((of_trace - drawn).abs() > TOLERANCE).then_some((of_trace, drawn))
}
