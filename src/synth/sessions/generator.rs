//! Sessions as requests in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::draws::Deck;
use super::engine::{Engine, Plan};
use super::model::SessionsModel;
use super::quantiles::Quantiles;
use super::scale::{Scale, Turn};
use super::spawn::Drawn;
use crate::error::Invalid;
use crate::synth::core::{BlockIds, Core, RunIndex};
use crate::synth::knobs::{Knobs, unreachable};
use crate::synth::request::{Span, SyntheticRequest};

/// Requests in a row that may be left out for their length, beside those of two passes.
const MOST_LEFT_OUT: u64 = 10_000;

/// A session that has requests to come.
#[derive(Default)]
struct Open {
    turns: Vec<Turn>,
    run: RunIndex,
    core: u64,
    copy: u32,
    /// Requests to come.
    left: usize,
    /// The first blocks that each request has added, as far as any request that was written had them.
    shown: Vec<Span>,
    /// Further ones, where more were had later.
    more: Vec<(u32, Span)>,
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
    ids: BlockIds,
    waiting: BinaryHeap<Waiting>,
    open: Vec<Open>,
    free: Vec<u32>,
    /// All requests before this moment are waiting.
    drawn_until: f64,
    tick: Option<Tick>,
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
    /// A generator of `count` requests, if that is known; the model was learnt from `requests`.
    ///
    /// # Errors
    /// When the model is not complete.
    pub(in crate::synth) fn new(
        model: SessionsModel,
        block_size: u64,
        knobs: &Knobs,
        count: Option<u64>,
        requests: u64,
        rng: &mut Rng,
    ) -> Result<Self, Invalid> {
        let passes = count.map(|count| count as f64 / (requests as f64 * knobs.users));
        let plan = Plan {
            users: knobs.users,
            share: passes.unwrap_or(1.0).clamp(1e-6, 1.0),
            one_pass: passes.is_some_and(|passes| passes <= 1.0),
            ..Plan::default()
        };
        let clock = &model.parts.clock;
        let tick = clock.after_tick.as_ref().filter(|_| clock.delays.tick > 0.0).map(|groups| Tick {
            seconds: clock.delays.tick,
            after: Quantiles::new(groups),
            deck: Deck::default(),
            last: (u64::MAX, 0.0),
        });
        let scale = Scale {
            knobs: knobs.clone(),
            block_size,
            per_output_token: clock.delays.per_output_token,
        };
        let mut core = model.core.clone();
        core.scale(knobs.prefix_len);
        let depths = [model.core.depths(), core.depths()];
        let depth = |which: usize, run: RunIndex| depths[which].get(run as usize).copied().unwrap_or(0);
        let prefixes = model.ends.iter().map(|end| (end.run, depth(0, end.run), depth(1, end.run)));
        Ok(Self {
            scale,
            prefixes: prefixes.collect(),
            ids: BlockIds::new(&core, knobs.prefix_root),
            core,
            waiting: BinaryHeap::new(),
            open: Vec::new(),
            free: Vec::new(),
            drawn_until: 0.0,
            tick,
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
    pub(in crate::synth) fn draw(&mut self, rng: &mut Rng, request: &mut SyntheticRequest) -> Result<f64, Invalid> {
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
                return (f64::from_bits(time), session, turn);
            }
            let mut drawn = std::mem::take(&mut self.drawn);
            drawn.clear();
            self.drawn_until = self.engine.next_piece(rng, &mut |session| drawn.push(session.clone()));
            drawn.iter().for_each(|session| self.admit(session, rng));
            self.drawn = drawn;
        }
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
        open.left = open.turns.len();
        open.shown.clear();
        open.shown.resize(open.turns.len(), Span { start: 0, len: 0 });
        open.more.clear();
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
            open.push_shown(at, len as u32, &mut self.ids, request);
        }
    }
}

impl Open {
    /// Appends the first `len` blocks that a request has added, with new ids as far as none were given.
    fn push_shown(&mut self, turn: u32, len: u32, ids: &mut BlockIds, request: &mut SyntheticRequest) {
        let mut left = len;
        let more = self.more.iter().filter(|(of, _)| *of == turn).map(|(_, span)| *span);
        for span in [self.shown[turn as usize]].into_iter().chain(more) {
            let len = span.len.min(left);
            request.push(Span { len, ..span });
            left -= len;
        }
        if left > 0 {
            let span = Span { start: ids.fresh(left, request), len: left };
            match &mut self.shown[turn as usize] {
                shown if shown.len == 0 => *shown = span,
                _ => self.more.push((turn, span)),
            }
        }
    }
}
