//! What a request is like, as far as it matters for what follows it.

use serde::{Deserialize, Serialize};

/// How a request continues an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Not at all: it begins a session.
    #[default]
    Start,
    /// It contains all full blocks of the one before: a next turn.
    Next,
    /// It is the same prompt again.
    Repeat,
    /// It shares exactly the beginning that its predecessor had not made either, such as a document.
    Document,
    /// It shares another part: an edited or a forked history.
    Fork,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Start, Self::Next, Self::Repeat, Self::Document, Self::Fork];

    /// Whether the conversation goes on.
    pub(super) fn continues(self) -> bool {
        matches!(self, Self::Next | Self::Repeat)
    }
}

/// Turns at which classes of turns begin, after the first.
const TURN_CLASSES: [u32; 6] = [2, 3, 4, 7, 12, 24];
pub(super) const TURNS: usize = TURN_CLASSES.len() + 1;

/// The class of a turn.
pub(super) fn turn_class(turn: u32) -> usize {
    TURN_CLASSES.partition_point(|&first| first <= turn)
}

/// Number of features of a state.
pub(super) const FEATURES: usize = 15;
/// Which of them is the place in the trace.
pub(super) const PHASE: usize = 14;

/// Tokens, blocks and seconds of a request, and what is remembered of its session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) kind: Kind,
    /// Turns since the conversation, or its branch, began; 1 for the first.
    pub(super) turn: u32,
    /// Branches on the way to it.
    pub(super) branches: u32,
    pub(super) input: u64,
    pub(super) output: u64,
    /// Blocks that it shares with its predecessor, or with the core.
    pub(super) shared: u32,
    /// Logarithm of the delay after its predecessor, as [`Delays`] counts it.
    pub(super) log_delay: f32,
    /// Blocks of the core, and of the core with the document of the session.
    pub(super) core: u32,
    pub(super) base: u32,
    mean_output: f32,
    mean_growth: f32,
    mean_delay: f32,
    /// Seconds since the trace began.
    pub(super) time: f64,
    pub(super) logs: Logs,
}

/// Logarithms of what the state counts, each of which is needed several times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Logs {
    pub(super) input: f32,
    pub(super) output: f32,
    /// Tokens that it does not share, and those that began the conversation or the branch.
    pub(super) new: f32,
    base_new: f32,
    /// Growth of the prompt since the turn before, less the output of that.
    pub(super) growth_less_output: f32,
}

/// What is drawn of a request that follows another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) shared: u32,
    pub(super) log_delay: f32,
    pub(super) time: f64,
}

impl State {
    /// Of a request that begins a session behind so many blocks of the core.
    pub(super) fn start(input: u64, output: u64, core: u32, block_size: u64, time: f64) -> Self {
        let new = less(input, u64::from(core) * block_size);
        let (log_new, log_output) = (signed_log(new), log(output));
        let logs = Logs {
            input: log(input),
            output: log_output,
            new: log_new,
            base_new: log_new,
            growth_less_output: 0.0,
        };
        Self {
            turn: 1,
            input,
            output,
            shared: core,
            core,
            base: core,
            mean_output: log_output,
            time,
            logs,
            ..Self::default()
        }
    }

    /// Whether it is nothing but a prefix whose last block is partial, from which nothing goes on.
    pub(super) fn is_whole_prefix(&self, block_size: u64) -> bool {
        self.input < u64::from(self.core) * block_size
    }

    /// Of a request that follows this one.
    pub(super) fn next(&self, step: Step, block_size: u64) -> Self {
        let Step { kind, input, output, shared, log_delay, time } = step;
        let goes_on = kind.continues();
        let turn = if goes_on { self.turn + 1 } else { 1 };
        let growth = less(input, self.input);
        // Means over the last turns.
        let mean = |mean: f32, value: f32| {
            if turn <= 2 { value } else { mean + (value - mean) / (turn - 1).min(6) as f32 }
        };
        let new = less(input, u64::from(shared) * block_size);
        let growth_less_output = if goes_on { growth - self.output as i64 } else { 0 };
        let (log_new, log_output) = (signed_log(new), log(output));
        let logs = Logs {
            input: log(input),
            output: log_output,
            new: log_new,
            base_new: if goes_on { self.logs.base_new } else { log_new },
            growth_less_output: signed_log(growth_less_output),
        };
        Self {
            kind,
            turn,
            branches: self.branches + u32::from(!goes_on),
            input,
            output,
            shared,
            log_delay,
            core: self.core,
            base: if kind == Kind::Fork { shared } else { self.base },
            mean_output: self.mean_output + (log_output - self.mean_output) / turn.clamp(2, 6) as f32,
            mean_growth: if goes_on { mean(self.mean_growth, signed_log(growth)) } else { 0.0 },
            mean_delay: if goes_on { mean(self.mean_delay, log_delay) } else { log_delay },
            time,
            logs,
        }
    }

    /// The state as trees see it. `phase` is the place in the trace, from 0 to 1.
    pub(super) fn features(&self, phase: f32) -> [f32; FEATURES] {
        [
            f32::from(self.kind as u8),
            self.turn as f32,
            self.branches as f32,
            self.logs.input,
            self.logs.output,
            self.logs.new,
            self.log_delay,
            self.core as f32,
            self.base.saturating_sub(self.core) as f32,
            self.logs.base_new,
            self.mean_output,
            self.mean_growth,
            self.mean_delay,
            self.logs.growth_less_output,
            phase,
        ]
    }

    /// Tokens that it does not share.
    pub(super) fn new_tokens(&self, block_size: u64) -> i64 {
        less(self.input, u64::from(self.shared) * block_size)
    }
}

/// The difference of two counts.
pub(super) fn less(a: u64, b: u64) -> i64 {
    a as i64 - b as i64
}

/// Logarithm of a count plus one.
pub(super) fn log(count: u64) -> f32 {
    (count as f64 + 1.0).ln() as f32
}

/// A logarithm of the distance from zero, with its sign.
pub(super) fn signed_log(value: i64) -> f32 {
    let log = log(value.unsigned_abs());
    if value < 0 { -log } else { log }
}

/// The nearest whole number with this [`signed_log`].
pub(super) fn signed_exp(log: f32) -> i64 {
    let value = (f64::from(log.abs()).exp() - 1.0).min(1e12).round() as i64;
    if log < 0.0 { -value } else { value }
}

/// How delays become numbers to learn and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delays {
    /// Seconds between the ticks at which all requests arrive, or 0.
    pub(super) tick: f64,
    /// Seconds of which all delays are multiples, or 0.
    pub(super) unit: f64,
    /// Seconds per token of the predecessor's output that a next turn waits at least.
    pub(super) per_output_token: f64,
}

impl Delays {
    /// Seconds that are too short to tell apart.
    fn least(&self) -> f64 {
        if self.tick > 0.0 {
            self.tick / 2.0
        } else if self.unit > 0.0 {
            self.unit / 2.0
        } else {
            0.01
        }
    }

    /// The logarithm of a delay after a request with so many output tokens.
    pub(super) fn log(&self, seconds: f64, output: u64) -> f32 {
        let beyond = (seconds - self.per_output_token * output as f64).max(0.0);
        (beyond + self.least()).ln() as f32
    }

    /// The delay with this logarithm.
    pub(super) fn seconds(&self, log: f32, output: u64) -> f64 {
        let beyond = (f64::from(log.min(30.0)).exp() - self.least()).max(0.0);
        let seconds = beyond + self.per_output_token * output as f64;
        if self.tick > 0.0 {
            (seconds / self.tick).round().max(1.0) * self.tick
        } else if self.unit > 0.0 {
            (seconds / self.unit).round() * self.unit
        } else {
            seconds
        }
    }
}
