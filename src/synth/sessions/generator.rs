//! Sessions as requests in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::bend::{Bend, Drawing};
use super::draws::Deck;
use super::engine::{Engine, Plan};
use super::model::SessionsModel;
use super::quantiles::Quantiles;
use super::scale::{Scale, Turn};
use super::spawn::{Drawn, Node};
use super::state::log;
use crate::error::Invalid;
use crate::synth::core::{BlockIds, Core, RunIndex, TOP};
use crate::synth::knobs::unreachable;
use crate::synth::request::{Place, Span, SyntheticRequest};
use crate::synth::shown::Shown;

/// Requests in a row that may be left out for their length, beside those of two passes.
const MOST_LEFT_OUT: u64 = 10_000;

/// Chance to exchange two requests, by how much less alike neighbours are than by chance.
const REPULSION: f32 = 12.0;

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

/// Time, a random number, session, request: time as its bits, which have the order of times.
type Waiting = Reverse<(u64, u32, u32, u32)>;

/// Draws requests.
///
/// Memory: some 200 bytes for each request of the sessions that are open at one time, which includes those of
/// a pass over the trace if sessions have a rate of their own.
pub(in crate::synth) struct SessionsGenerator {
    engine: Engine,
    scale: Scale,
    core: Core,
    /// Run and depth of each prefix, and its depth as changed.
    prefixes: Vec<(RunIndex, u64, u64)>,
    /// Share of the sessions whose prefix is their own.
    private: f64,
    ids: BlockIds,
    conversations: u64,
    waiting: BinaryHeap<Waiting>,
    open: Vec<Open>,
    free: Vec<u32>,
    /// All requests before this moment are waiting.
    drawn_until: f64,
    tick: Option<Tick>,
    /// How often, of two requests that come at once, the one goes first whose output is less like the last
    /// ones; and those, as logarithms.
    repulsion: f32,
    last_outputs: [f32; 3],
    whole_milliseconds: bool,
    has_outputs: bool,
    most_left_out: u64,
    /// Requests, and the blocks of their own that the current request has.
    reversed: Vec<(u32, u64)>,
    drawn: Vec<Drawn>,
}

/// By how much requests come after their tick: all of one tick by the same time.
struct Tick {
    seconds: f64,
    after: Quantiles,
    deck: Deck,
    last: (u64, f64),
}

impl Tick {
    fn after(&mut self, time: f64, rng: &mut Rng) -> f64 {
        let number = (time / self.seconds).round() as u64;
        if self.last.0 != number {
            self.last = (number, f64::from(self.after.value(self.deck.draw(rng))));
        }
        (time + self.last.1).max(0.0)
    }
}

impl SessionsGenerator {
    /// A generator of requests, changed as `knobs` say and as `bend` says.
    ///
    /// # Errors
    /// When the model is not complete.
    pub(super) fn new(
        model: SessionsModel,
        drawing: &Drawing<'_>,
        bend: Bend,
        rng: &mut Rng,
    ) -> Result<Self, Invalid> {
        let Drawing { knobs, block_size, count, requests } = *drawing;
        let passes = count.map(|count| count as f64 / (requests as f64 * knobs.users));
        let plan = Plan {
            users: knobs.users,
            share: passes.unwrap_or(1.0).clamp(1e-6, 1.0),
            one_pass: passes.is_some_and(|passes| passes <= 1.0),
            turns: bend.turns(),
            lanes: knobs.lanes,
            ..Plan::default()
        };
        let clock = &model.parts.clock;
        let tick = clock.after_tick.as_ref().filter(|_| clock.delays.tick > 0.0).map(|groups| Tick {
            seconds: clock.delays.tick,
            after: Quantiles::new(groups),
            deck: Deck::default(),
            last: (u64::MAX, 0.0),
        });
        let scale =
            Scale { knobs: knobs.clone(), block_size, per_output_token: clock.delays.per_output_token };
        let mut core = model.core.clone();
        core.scale(knobs.prefix_len * bend.prefixes());
        let depths = [model.core.depths(), core.depths()];
        let depth = |which: usize, run: RunIndex| depths[which].get(run as usize).copied().unwrap_or(0);
        let prefixes = model.ends.iter().map(|end| (end.run, depth(0, end.run), depth(1, end.run)));
        Ok(Self {
            scale,
            prefixes: prefixes.collect(),
            private: bend.private(),
            ids: BlockIds::new(&core, knobs.prefix_root),
            core,
            conversations: 0,
            waiting: BinaryHeap::new(),
            open: Vec::new(),
            free: Vec::new(),
            drawn_until: 0.0,
            tick,
            repulsion: (REPULSION * clock.repulsion).min(1.0),
            last_outputs: [0.0; 3],
            whole_milliseconds: clock.whole_milliseconds,
            has_outputs: clock.has_outputs,
            most_left_out: MOST_LEFT_OUT + 2 * requests,
            reversed: Vec::new(),
            drawn: Vec::new(),
            engine: Engine::new(model, block_size, plan, rng)?,
        })
    }

    /// Draws requests until one has a length that is wanted; returns its time in milliseconds. Those that are
    /// left out take their places in their sessions, and no ids.
    ///
    /// # Errors
    /// When no request of a wanted length comes.
    pub(in crate::synth) fn draw(
        &mut self,
        rng: &mut Rng,
        request: &mut SyntheticRequest,
    ) -> Result<f64, Invalid> {
        let limits = self.scale.knobs.input;
        for _ in 0..self.most_left_out {
            let (time, session, turn) = self.next(rng);
            let wanted = limits.contains(self.open[session as usize].turns[turn as usize].input);
            if wanted {
                self.emit(session, turn, request);
            }
            let open = &mut self.open[session as usize];
            open.left -= 1;
            if open.left == 0 {
                self.free.push(session);
            }
            if wanted {
                return Ok(self.milliseconds(time, rng));
            }
        }
        Err(unreachable(limits, self.most_left_out as u32))
    }

    /// The next request in time.
    fn next(&mut self, rng: &mut Rng) -> (f64, u32, u32) {
        loop {
            if let Some(&Reverse((time, _, session, turn))) = self.waiting.peek()
                && f64::from_bits(time) < self.drawn_until
            {
                self.waiting.pop();
                let (session, turn) = self.less_alike(time, (session, turn), rng);
                return (f64::from_bits(time), session, turn);
            }
            let mut drawn = std::mem::take(&mut self.drawn);
            drawn.clear();
            self.drawn_until = self.engine.next_piece(rng, &mut |session| drawn.push(session.clone()));
            drawn.iter().for_each(|session| self.admit(session, rng));
            self.drawn = drawn;
        }
    }

    /// This request, or the next one of the same moment, if its output is less like the last ones.
    fn less_alike(&mut self, time: u64, here: (u32, u32), rng: &mut Rng) -> (u32, u32) {
        if self.repulsion == 0.0 {
            return here;
        }
        let output =
            |(session, turn): (u32, u32)| log(self.open[session as usize].turns[turn as usize].output);
        let mean = self.last_outputs.iter().sum::<f32>() / 3.0;
        let mut chosen = here;
        if let Some(&Reverse((next_time, _, session, turn))) = self.waiting.peek()
            && next_time == time
            && rng.f32() < self.repulsion
            && (output((session, turn)) - mean).abs() > (output(here) - mean).abs()
        {
            chosen = (session, turn);
            self.waiting.pop();
            self.waiting.push(Reverse((time, 0, here.0, here.1)));
        }
        self.last_outputs.rotate_left(1);
        self.last_outputs[2] = output(chosen);
        chosen
    }

    /// Takes a session whose requests will come.
    fn admit(&mut self, drawn: &Drawn, rng: &mut Rng) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.open.push(Open::default());
            self.open.len() as u32 - 1
        });
        let open = &mut self.open[slot as usize];
        let (run, depth, changed_depth) = self.prefixes[drawn.prefix];
        self.scale.apply(&drawn.nodes, depth, changed_depth, &mut open.turns);
        (open.run, open.core, open.copy) = (run, changed_depth, self.ids.draw_copy(rng));
        if self.private > 0.0 && rng.f64() < self.private {
            (open.run, open.core, open.turns[0].shared) = (TOP, 0, 0);
        }
        open.find_conversations(&drawn.nodes);
        open.left = open.turns.len();
        open.shown.clear();
        open.turns.iter().for_each(|_| open.shown.add(Span { start: 0, len: 0 }));
        for (turn, number) in open.turns.iter().zip(0..) {
            self.waiting.push(Reverse((turn.time.to_bits(), rng.u32(..), slot, number)));
        }
    }

    fn milliseconds(&mut self, time: f64, rng: &mut Rng) -> f64 {
        let time = self.tick.as_mut().map_or(time, |tick| tick.after(time, rng));
        let milliseconds = time * 1000.0;
        if self.whole_milliseconds { milliseconds.round() } else { (milliseconds * 1000.0).round() / 1000.0 }
    }

    /// Writes a request with its blocks.
    fn emit(&mut self, session: u32, number: u32, request: &mut SyntheticRequest) {
        let block_size = self.scale.block_size;
        let open = &mut self.open[session as usize];
        let turn = open.turns[number as usize];
        request.timestamp = None;
        request.input_length = turn.input;
        request.output_length = self.has_outputs.then_some(turn.output);
        request.context_length = (turn.shared * block_size).min(turn.input);
        request.place = Some(open.place(number, self.scale.per_output_token, &mut self.conversations));
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
    fn find_conversations(&mut self, nodes: &[Node]) {
        self.conversation_of.clear();
        self.conversations.clear();
        let mut goes_on = vec![false; nodes.len()];
        for (node, number) in nodes.iter().zip(0..) {
            let before = node.before as usize;
            let is_first = node.before == number;
            let left = if is_first { 0 } else { self.conversation_of[before] };
            if !is_first && node.state.kind.continues() && !std::mem::replace(&mut goes_on[before], true) {
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
