//! What is kept of a trace: distributions.

use serde::{Deserialize, Serialize};

use super::arrivals::Rate;
use super::balance::Sums;
use super::draws::{Chances, Conditional};
use super::quantiles::Groups;
use super::state::{Delays, FEATURES, Kind, TURNS};
use crate::synth::core::{Core, RunIndex};

/// The model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::synth) struct SessionsModel {
    pub(in crate::synth) core: Core,
    /// Where sessions leave the core, and how many do at each place; the first place is before it.
    pub(in crate::synth) ends: Vec<PrefixEnd>,
    pub(in crate::synth) parts: Parts,
}

/// How many sessions leave the core after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::synth) struct PrefixEnd {
    #[serde(with = "crate::synth::core::none_is_max")]
    pub(in crate::synth) run: RunIndex,
    pub(in crate::synth) sessions: u64,
}

/// All but the core.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::synth) struct Parts {
    pub(in crate::synth) clock: Clock,
    pub(in crate::synth) rate: Rate,
    pub(in crate::synth) sums: Sums,
    pub(in crate::synth) numbers: Vec<Number>,
    pub(in crate::synth) chances: Vec<Chance>,
}

/// How time passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::synth) struct Clock {
    /// Sessions of which anything that is kept tells, at least.
    pub(super) min_count: u64,
    /// Seconds that the trace lasts.
    pub(super) span: f64,
    /// Whether all times are whole milliseconds.
    pub(super) whole_milliseconds: bool,
    pub(super) delays: Delays,
    /// Seconds by which requests come after their tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after_tick: Option<Groups>,
    /// Whether a next turn's growth is drawn whole, and not what exceeds the output before it.
    pub(super) whole_growth: bool,
    /// Input tokens above which nothing follows.
    pub(super) longest: f32,
    /// Requests of a long session; none has twice as many.
    pub(super) most_requests: f32,
    pub(super) has_outputs: bool,
    /// The share of the requests that have one, if some have.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub(super) with_output: f32,
    /// By how much outputs of neighbours are less alike than by chance, where requests come at ticks.
    pub(super) repulsion: f32,
}

fn all() -> f32 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_all(share: &f32) -> bool {
    *share == all()
}

/// What is drawn as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Quantity {
    /// Seconds since the request before, as logarithm.
    Delay,
    /// Tokens that a start, a document's or a fork's prompt adds, or by which a next turn's grows.
    Tokens,
    /// Output tokens.
    Output,
    /// Where a fork leaves the prompt before it, as logarithm of the odds.
    Depth,
}

/// A number of requests of a kind, given the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::synth) struct Number {
    pub(super) what: Quantity,
    pub(super) of: Kind,
    pub(super) given: Conditional,
}

/// Whether a request is followed by one of a kind, given the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::synth) struct Chance {
    pub(super) of: Kind,
    /// Factor for the chance, with which the kinds are as frequent as in the trace.
    pub(super) factor: f32,
    /// Factors for the classes of turns, with which conversations of each length go on as often as in the trace; none
    /// where few sessions tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) by_turn: Vec<f32>,
    /// How many more such requests follow, on average, if one does.
    pub(super) more: f32,
    pub(super) given: Chances,
}

/// How many numbers a draw is given: the features of the state, and what has been drawn before.
pub(super) fn width(what: Quantity, of: Kind) -> usize {
    let fork = if of == Kind::Fork { 2 } else { 0 };
    match (what, of) {
        (Quantity::Output, Kind::Start) => 3,
        (_, Kind::Start) => 2,
        (Quantity::Delay | Quantity::Depth, _) => FEATURES + 1,
        (Quantity::Tokens, _) => FEATURES + 1 + fork,
        (Quantity::Output, _) => FEATURES + 3 + fork,
    }
}

/// How many numbers a chance is given.
pub(super) fn chance_width(of: Kind) -> usize {
    if matches!(of, Kind::Next | Kind::Document) { FEATURES + 1 } else { FEATURES }
}

/// A part of the model, as a line of its file holds it.
#[derive(Debug)]
pub(in crate::synth) enum Part {
    /// How time passes.
    Clock(Clock),
    /// When sessions arrive.
    Rate(Rate),
    /// Sums that are kept to.
    Sums(Sums),
    /// A conditional distribution.
    Number(Number),
    /// A conditional chance.
    Chance(Chance),
}

impl Parts {
    /// Takes a part that was read; says what is wrong with it.
    pub(in crate::synth) fn take(&mut self, part: Part) -> Result<(), &'static str> {
        match part {
            Part::Clock(clock) => {
                let Delays { tick, unit, per_output_token } = clock.delays;
                let fine = |value: f64, most: f64| value.is_finite() && (0.0..=most).contains(&value);
                if !(fine(clock.span, 1e12)
                    && fine(tick, 1e6)
                    && fine(unit, 1e6)
                    && fine(per_output_token, 1e6)
                    && fine(clock.with_output.into(), 1.0))
                {
                    return Err("no times");
                }
                if clock.after_tick.as_ref().is_some_and(|groups| !groups.is_valid()) {
                    return Err("no distribution");
                }
                self.clock = clock;
            }
            Part::Rate(rate) => {
                if !rate.is_valid() {
                    return Err("no rate of arrivals");
                }
                self.rate = rate;
            }
            Part::Sums(sums) => {
                if !sums.is_valid() {
                    return Err("no sums");
                }
                self.sums = sums;
            }
            Part::Number(number) => {
                if !number.given.is_valid(width(number.what, number.of)) {
                    return Err("no distribution given a state");
                }
                self.numbers.push(number);
            }
            Part::Chance(chance) => {
                let fine = |value: f32| value.is_finite() && (0.0..=100.0).contains(&value);
                if !(fine(chance.factor)
                    && fine(chance.more)
                    && matches!(chance.by_turn.len(), 0 | TURNS)
                    && chance.by_turn.iter().all(|&factor| fine(factor))
                    && chance.given.is_valid(chance_width(chance.of)))
                {
                    return Err("no chance given a state");
                }
                self.chances.push(chance);
            }
        }
        Ok(())
    }

    /// What is missing after all parts have been read.
    pub(in crate::synth) fn missing(&self) -> Option<&'static str> {
        let has = |what| self.number(what, Kind::Start).is_some();
        if self.rate.pieces.is_empty() {
            Some("the rate of arrivals is missing")
        } else if !has(Quantity::Tokens) || !has(Quantity::Output) {
            Some("the lengths of first requests are missing")
        } else if !self.sums.is_valid() {
            Some("the sums are missing")
        } else {
            None
        }
    }

    /// The distribution of a quantity.
    pub(super) fn number(&self, what: Quantity, of: Kind) -> Option<&Conditional> {
        self.numbers.iter().find(|number| number.what == what && number.of == of).map(|number| &number.given)
    }

    /// Seconds that the trace lasts.
    pub(in crate::synth) fn span(&self) -> f64 {
        self.clock.span
    }
}
