//! Longer and shorter prompts, prefixes and outputs, with what follows from them.
//!
//! A session is drawn as the trace has it, and then changed: what a prompt adds is made longer or shorter,
//! the outputs that it contains as outputs are, and its beginning stays all of the prompt before.

use super::spawn::Node;
use super::state::{Kind, less};
use crate::synth::knobs::Knobs;

/// Blocks of a prompt, at most.
const MOST_BLOCKS: u64 = 1 << 28;

/// A request of a session as it will be written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Turn {
    /// Seconds.
    pub(super) time: f64,
    /// The request that it follows; its own number for the first.
    pub(super) before: u32,
    pub(super) input: u64,
    pub(super) output: u64,
    /// Blocks that it shares with the request before, or with the core.
    pub(super) shared: u64,
    /// Blocks of the core with the document of the session.
    base: u64,
    /// Whether it continues the conversation of the request before.
    pub(super) continues: bool,
}

/// What changes.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) knobs: Knobs,
    pub(super) block_size: u64,
    /// Seconds that a next turn waits for each token of the output before it.
    pub(super) per_output_token: f64,
}

impl Scale {
    /// Appends the requests of a session behind so many blocks of the core, as drawn and as changed, to `turns`.
    pub(super) fn apply(&self, nodes: &[Node], core: u64, changed_core: u64, turns: &mut Vec<Turn>) {
        let first = turns.len();
        for node in nodes {
            let state = &node.state;
            let output = self.knobs.output(state.output);
            let new = state.new_tokens(self.block_size);
            // What is missing in the last block of a prefix does not grow with what is new.
            let new = if new < 0 { new } else { self.tokens(new) };
            if state.kind == Kind::Start {
                let input = self.limited(changed_core * self.block_size, new);
                let (shared, base) = (changed_core, changed_core);
                let (time, before) = (state.time, node.before);
                turns.push(Turn { time, before, input, output, shared, base, continues: false });
                continue;
            }
            let before = &nodes[node.before as usize].state;
            let changed = turns[first + node.before as usize];
            let full = changed.input / self.block_size;
            let wait = self.per_output_token * (changed.output as f64 - before.output as f64);
            let mut turn = Turn {
                time: (changed.time + (state.time - before.time) + wait).max(changed.time),
                before: node.before,
                output,
                base: changed.base,
                continues: state.kind.continues(),
                ..Turn::default()
            };
            match state.kind {
                Kind::Repeat => {
                    turn.input = changed.input;
                    turn.shared = changed.input.div_ceil(self.block_size);
                }
                Kind::Document => {
                    turn.shared = changed.base.min(full);
                    turn.input = self.limited(turn.shared * self.block_size, new);
                }
                Kind::Fork => {
                    let all = before.input / self.block_size;
                    turn.shared = place(u64::from(state.shared), core, all, changed_core, full);
                    turn.base = turn.shared;
                    turn.input = self.limited(turn.shared * self.block_size, new);
                }
                Kind::Start | Kind::Next => {
                    turn.shared = full;
                    let growth = self.growth(less(state.input, before.input), before.output, changed.output);
                    let least = (changed.input.saturating_sub(1) / self.block_size * self.block_size + 1)
                        .min(changed.input)
                        .max(full * self.block_size);
                    turn.input = self.limited(changed.input, growth).max(least);
                }
            }
            turns.push(turn);
        }
    }

    /// Growth of a prompt: the part of it that is the output before scales as that did.
    fn growth(&self, growth: i64, output: u64, changed_output: u64) -> i64 {
        let contained = growth.clamp(0, output as i64);
        let output_part = if contained == output as i64 {
            changed_output as i64
        } else {
            (contained as f64 * changed_output as f64 / output as f64).round() as i64
        };
        self.tokens(growth - contained) + output_part
    }

    fn tokens(&self, tokens: i64) -> i64 {
        if self.knobs.prompt_len == 1.0 {
            tokens
        } else {
            (tokens as f64 * self.knobs.prompt_len).round() as i64
        }
    }

    fn limited(&self, from: u64, tokens: i64) -> u64 {
        from.saturating_add_signed(tokens).min(MOST_BLOCKS * self.block_size)
    }
}

/// A place between the core and the end of a prompt, in the prompt as changed.
fn place(shared: u64, core: u64, all: u64, changed_core: u64, changed_all: u64) -> u64 {
    if (core, all) == (changed_core, changed_all) {
        return shared;
    }
    if shared <= core || all <= core {
        return changed_core.min(changed_all);
    }
    let part = (shared - core) as f64 / (all - core) as f64;
    let own = changed_all.saturating_sub(changed_core);
    (changed_core + ((part * own as f64).round() as u64).clamp(1, own.max(1)))
        .min(changed_all.max(changed_core))
}
