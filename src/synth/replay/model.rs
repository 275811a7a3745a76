//! The sessions of a trace, and what their requests share.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::synth::core::{Core, RunIndex, none_is_max};
use crate::synth::draw::{MOST_SCALED, scaled_blocks};

/// A request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::synth) struct SessionTurn {
    /// Requests of the trace from the session's previous turn to this one; 0 for the first.
    pub(in crate::synth) wait: u32,
    /// The turn that it continues, counted within the session; 0 for the first.
    pub(in crate::synth) parent: u32,
    /// Blocks below the core that it has in common with its parent.
    pub(in crate::synth) shared: u32,
    /// Blocks that it adds.
    pub(in crate::synth) new: u32,
    /// Tokens in its last block.
    #[serde(rename = "last_block_tokens")]
    pub(in crate::synth) tail: u32,
    /// Tokens generated, or [`NO_OUTPUT`](crate::synth::request::NO_OUTPUT).
    #[serde(default = "none_is_max::none", with = "none_is_max")]
    pub(in crate::synth) output: u32,
}

/// A tree of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::synth) struct Session {
    /// Requests of the trace from the start of the session before to the start of this one.
    pub(in crate::synth) wait: u32,
    /// The core run that its first request continues.
    pub(in crate::synth) run: RunIndex,
    /// Index of its first turn; its turns end where those of the one after it begin.
    pub(in crate::synth) first: u32,
}

/// The model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::synth) struct ReplayModel {
    pub(in crate::synth) core: Core,
    pub(in crate::synth) sessions: Vec<Session>,
    pub(in crate::synth) turns: Vec<SessionTurn>,
    /// Milliseconds between consecutive requests, one fewer than requests; none without times.
    pub(in crate::synth) gaps: Vec<f64>,
    /// How many places a session may move.
    pub(in crate::synth) window: f64,
}

impl ReplayModel {
    /// The turns of a session.
    pub(in crate::synth) fn turns_of(&self, session: usize) -> &[SessionTurn] {
        &self.turns[self.range(session)]
    }

    /// Where the turns of a session are.
    pub(in crate::synth) fn range(&self, session: usize) -> Range<usize> {
        let end = self.sessions.get(session + 1).map_or(self.turns.len(), |next| next.first as usize);
        self.sessions[session].first as usize..end
    }

    /// Scales the core by one factor and the blocks of the sessions by another.
    pub(in crate::synth) fn scale(&mut self, prefix: f64, prompt: f64, block_size: u64) {
        self.core.scale(prefix);
        if prompt == 1.0 {
            return;
        }
        for session in 0..self.sessions.len() {
            let range = self.range(session);
            scale_turns(&mut self.turns[range], prompt, block_size);
        }
    }
}

/// Scales the chains of blocks of a session: what each turn adds, and how much of that a later turn
/// has in common with it.
fn scale_turns(turns: &mut [SessionTurn], factor: f64, block_size: u64) {
    let old: Vec<SessionTurn> = turns.to_vec();
    for (i, turn) in old.iter().enumerate() {
        let mut new = scaled_blocks(turn.new, factor);
        let mut shared = 0;
        if i > 0 {
            let (parent, scaled) = (&old[turn.parent as usize], &turns[turn.parent as usize]);
            let common = turn.shared - parent.shared;
            shared = scaled.shared
                + if common == parent.new {
                    scaled.new
                } else {
                    // The last block of the parent may be partial, and then it ends there.
                    let most = scaled.new - u32::from(u64::from(scaled.tail) < block_size);
                    scaled_blocks(common, factor).min(most)
                };
            // Scaled down to nothing: such a turn keeps a block.
            if shared == 0 && new == 0 {
                new = 1;
            }
        }
        turns[i].shared = shared.min(MOST_SCALED);
        turns[i].new = new;
    }
}
