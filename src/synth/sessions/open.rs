//! The sessions that have requests to come, and their blocks.

use fastrand::Rng;

use super::bend::Bend;
use super::model::SessionsModel;
use super::scale::{Scale, Turn};
use crate::synth::core::{BlockIds, Core, RunIndex, TOP};
use crate::synth::request::{Place, Span, SyntheticRequest};
use crate::synth::shown::Shown;

/// A session that has requests to come.
#[derive(Default)]
struct Open {
    turns: Vec<Turn>,
    run: RunIndex,
    core: u64,
    copy: u32,
    /// Requests to come.
    left: usize,
    /// The blocks that each request has added.
    shown: Shown,
    /// The conversation of each request, and those of the session.
    conversation_of: Vec<u32>,
    conversations: Vec<Conversation>,
}

/// Requests that go on from each other, one after the other.
#[derive(Clone, Copy, Default)]
struct Conversation {
    /// Its number, once it has one.
    number: Option<u64>,
    /// The conversation of the session that it left; itself for the first.
    left: u32,
    /// Requests written so far, and when the answer to the last one ended, in seconds.
    turns: u32,
    answered: f64,
}

/// Time, a random number of the session, session, request: time as its bits, which have the order of times.
pub(super) type Waiting = (u64, u32, u32, u32);

/// The sessions that are open at one time.
pub(super) struct OpenSessions {
    block_size: u64,
    /// Seconds that a next turn waits for each token of the output before it.
    per_output_token: f64,
    core: Core,
    /// Run and depth of each prefix, and its depth as changed.
    prefixes: Vec<(RunIndex, u64, u64)>,
    /// Share of the sessions whose prefix is their own.
    private: f64,
    ids: BlockIds,
    conversations: u64,
    has_outputs: bool,
    open: Vec<Open>,
    free: Vec<u32>,
    /// Requests, and the blocks of their own that the current request has.
    reversed: Vec<(u32, u64)>,
    /// Which requests of a session are continued.
    goes_on: Vec<bool>,
}

impl OpenSessions {
    /// None yet. They will be of a model, changed as `scale` and `bend` say.
    pub(super) fn new(model: &SessionsModel, scale: &Scale, bend: Bend) -> Self {
        let mut core = model.core.clone();
        core.scale(scale.knobs.prefix_len * bend.prefixes());
        let depths = [model.core.depths(), core.depths()];
        let depth = |which: usize, run: RunIndex| depths[which].get(run as usize).copied().unwrap_or(0);
        let prefixes = model.ends.iter().map(|end| (end.run, depth(0, end.run), depth(1, end.run)));
        Self {
            prefixes: prefixes.collect(),
            private: bend.private(),
            ids: BlockIds::new(&core, scale.knobs.prefix_root),
            core,
            conversations: 0,
            has_outputs: model.parts.clock.has_outputs,
            open: Vec::new(),
            free: Vec::new(),
            reversed: Vec::new(),
            goes_on: Vec::new(),
            block_size: scale.block_size,
            per_output_token: scale.per_output_token,
        }
    }

    /// Blocks of each prefix, and as changed.
    pub(super) fn depths(&self) -> Vec<(u64, u64)> {
        self.prefixes.iter().map(|&(_, depth, changed)| (depth, changed)).collect()
    }

    /// A request of a session.
    pub(super) fn turn(&self, session: u32, turn: u32) -> &Turn {
        &self.open[session as usize].turns[turn as usize]
    }

    /// Counts a request of a session as done; the last one closes it.
    pub(super) fn done(&mut self, session: u32) {
        let open = &mut self.open[session as usize];
        open.left -= 1;
        if open.left == 0 {
            self.free.push(session);
        }
    }

    /// Takes a session whose requests will come.
    pub(super) fn admit(&mut self, prefix: usize, turns: &[Turn], rng: &mut Rng, waiting: &mut Vec<Waiting>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.open.push(Open::default());
            self.open.len() as u32 - 1
        });
        let open = &mut self.open[slot as usize];
        let (run, _, depth) = self.prefixes[prefix];
        open.turns.clear();
        open.turns.extend_from_slice(turns);
        (open.run, open.core, open.copy) = (run, depth, self.ids.draw_copy(rng));
        if self.private > 0.0 && rng.f64() < self.private {
            (open.run, open.core, open.turns[0].shared) = (TOP, 0, 0);
        }
        open.find_conversations(&mut self.goes_on);
        open.left = open.turns.len();
        open.shown.clear();
        open.turns.iter().for_each(|_| open.shown.add(Span { start: 0, len: 0 }));
        // Of requests at one time those of a session stay in order.
        let order = rng.u32(..);
        waiting.extend(
            open.turns.iter().zip(0..).map(|(turn, number)| (turn.time.to_bits(), order, slot, number)),
        );
    }

    /// Writes a request with its blocks.
    pub(super) fn emit(&mut self, session: u32, number: u32, request: &mut SyntheticRequest) {
        let block_size = self.block_size;
        let open = &mut self.open[session as usize];
        let turn = open.turns[number as usize];
        request.timestamp = None;
        request.input_length = turn.input;
        request.output_length = self.has_outputs.then_some(turn.output);
        request.context_length = (turn.shared * block_size).min(turn.input);
        request.place = Some(open.place(number, self.per_output_token, &mut self.conversations));
        request.spans.clear();
        self.ids.core_path(&self.core, open.run, open.copy, request);
        // Up the requests before, each of which has added a part of what is shared.
        let mut left = turn.input.div_ceil(block_size);
        let mut at = number;
        while left > open.core {
            let here = open.turns[at as usize];
            if left > here.shared {
                self.reversed.push((at, left - here.shared));
                left = here.shared;
            }
            if here.before == at {
                break;
            }
            at = here.before;
        }
        for (at, len) in self.reversed.drain(..).rev() {
            open.shown.append(at, len as u32, &mut self.ids, request);
        }
    }
}

impl Open {
    /// Tells the conversations of a session apart: a branch is one of its own, and so is a second next turn.
    fn find_conversations(&mut self, goes_on: &mut Vec<bool>) {
        self.conversation_of.clear();
        self.conversations.clear();
        goes_on.clear();
        goes_on.resize(self.turns.len(), false);
        for (turn, number) in self.turns.iter().zip(0..) {
            let before = turn.before as usize;
            let is_first = turn.before == number;
            let left = if is_first { 0 } else { self.conversation_of[before] };
            if turn.continues && !std::mem::replace(&mut goes_on[before], true) {
                self.conversation_of.push(left);
            } else {
                self.conversation_of.push(self.conversations.len() as u32);
                self.conversations.push(Conversation { left, ..Conversation::default() });
            }
        }
    }

    /// The place of a request that is written.
    fn place(&mut self, number: u32, per_output_token: f64, numbers: &mut u64) -> Place {
        let turn = self.turns[number as usize];
        let index = self.conversation_of[number as usize];
        let mut number_of = |conversation: &mut Conversation| {
            *conversation.number.get_or_insert_with(|| {
                *numbers += 1;
                *numbers - 1
            })
        };
        let left = self.conversations[index as usize].left;
        let parent = (left != index).then(|| number_of(&mut self.conversations[left as usize]));
        let here = &mut self.conversations[index as usize];
        let conversation = number_of(here);
        let delay = (here.turns > 0).then(|| (turn.time - here.answered).max(0.0) * 1000.0);
        here.turns += 1;
        here.answered = turn.time + per_output_token * turn.output as f64;
        Place {
            conversation,
            parent,
            turn: here.turns,
            delay: delay.map(|delay| (delay * 1000.0).round() / 1000.0),
        }
    }
}
