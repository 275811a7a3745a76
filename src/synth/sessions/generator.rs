//! Sessions as requests in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::ahead::{Batches, Drawer, ENOUGH};
use super::bend::{Bend, Drawing};
use super::draws::Deck;
use super::engine::{Engine, Plan};
use super::model::SessionsModel;
use super::open::{OpenSessions, Waiting};
use super::pass::best_pass;
use super::quantiles::Quantiles;
use super::scale::Scale;
use super::state::log;
use crate::error::Invalid;
use crate::record::LengthRange;
use crate::synth::knobs::unreachable;
use crate::synth::request::SyntheticRequest;

/// Requests in a row that may be left out for their length, beside those of two passes.
const MOST_LEFT_OUT: u64 = 10_000;

/// Chance to exchange two requests, by how much less alike neighbours are than by chance.
const REPULSION: f32 = 12.0;

/// Draws requests.
///
/// Memory: some 200 bytes for each request of the sessions that are open at one time, which includes those of
/// a pass over the trace if sessions have a rate of their own; then another 50 for those of the next pass, which
/// is drawn ahead.
pub(in crate::synth) struct SessionsGenerator {
    batches: Batches,
    sessions: OpenSessions,
    /// Requests before the moment up to which all sessions have been drawn, the last one first; and later ones.
    due: Vec<Waiting>,
    later: BinaryHeap<Reverse<Waiting>>,
    /// Lengths that are wanted.
    limits: LengthRange,
    tick: Option<Tick>,
    /// How often, of two requests that come at once, the one goes first whose output is less like the last
    /// ones; and those, as logarithms.
    repulsion: f32,
    last_outputs: [f32; 3],
    whole_milliseconds: bool,
    /// The share of the requests that have an output.
    with_output: f32,
    most_left_out: u64,
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
        let (whole_milliseconds, with_output) = (clock.whole_milliseconds, clock.with_output);
        let repulsion = (REPULSION * clock.repulsion).min(1.0);
        let sessions = OpenSessions::new(&model, &scale, bend);
        let drawer = Drawer {
            rng: best_pass(&model, block_size, plan, requests, rng)?,
            depths: sessions.depths(),
            least: if plan.one_pass { 0 } else { ENOUGH },
            scale,
            engine: Engine::new(model, block_size, plan)?,
        };
        Ok(Self {
            limits: knobs.input,
            batches: if plan.one_pass { Batches::here(drawer) } else { Batches::ahead(drawer) },
            sessions,
            due: Vec::new(),
            later: BinaryHeap::new(),
            tick,
            repulsion,
            last_outputs: [0.0; 3],
            whole_milliseconds,
            with_output,
            most_left_out: MOST_LEFT_OUT + 2 * requests,
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
        for _ in 0..self.most_left_out {
            let (time, session, turn) = self.next(rng)?;
            let wanted = self.limits.contains(self.sessions.turn(session, turn).input);
            if wanted {
                self.sessions.emit(session, turn, request);
                if self.with_output < 1.0 && rng.f32() >= self.with_output {
                    request.output_length = None;
                }
            }
            self.sessions.done(session);
            if wanted {
                return Ok(self.milliseconds(time, rng));
            }
        }
        Err(unreachable(self.limits, self.most_left_out as u32))
    }

    /// The next request in time.
    fn next(&mut self, rng: &mut Rng) -> Result<(f64, u32, u32), Invalid> {
        loop {
            if let Some((time, _, session, turn)) = self.due.pop() {
                let (session, turn) = self.less_alike(time, (session, turn), rng);
                return Ok((f64::from_bits(time), session, turn));
            }
            self.take_batch(rng)?;
        }
    }

    /// Takes the next sessions.
    fn take_batch(&mut self, rng: &mut Rng) -> Result<(), Invalid> {
        let Self { batches, sessions, due, later, .. } = self;
        let batch = batches.next().ok_or_else(|| Invalid::value("no more sessions are drawn"))?;
        batch.sessions().for_each(|(prefix, turns)| sessions.admit(prefix, turns, rng, due));
        let is_due = |waiting: &Waiting| f64::from_bits(waiting.0) < batch.end;
        due.retain(|&waiting| {
            if !is_due(&waiting) {
                later.push(Reverse(waiting));
            }
            is_due(&waiting)
        });
        while let Some(Reverse(waiting)) = later.peek()
            && is_due(waiting)
        {
            due.extend(later.pop().map(|waiting| waiting.0));
        }
        due.sort_unstable_by(|a, b| b.cmp(a));
        Ok(())
    }

    /// This request, or the next one of the same moment, if its output is less like the last ones.
    fn less_alike(&mut self, time: u64, here: (u32, u32), rng: &mut Rng) -> (u32, u32) {
        if self.repulsion == 0.0 {
            return here;
        }
        let output = |(session, turn): (u32, u32)| log(self.sessions.turn(session, turn).output);
        let mean = self.last_outputs.iter().sum::<f32>() / 3.0;
        let mut chosen = here;
        if let Some((next_time, _, session, turn)) = self.due.last_mut()
            && *next_time == time
            && *session != here.0
            && rng.f32() < self.repulsion
            && (output((*session, *turn)) - mean).abs() > (output(here) - mean).abs()
        {
            chosen = (*session, *turn);
            (*session, *turn) = here;
        }
        self.last_outputs.rotate_left(1);
        self.last_outputs[2] = output(chosen);
        chosen
    }

    fn milliseconds(&mut self, time: f64, rng: &mut Rng) -> f64 {
        let time = self.tick.as_mut().map_or(time, |tick| tick.after(time, rng));
        let milliseconds = time * 1000.0;
        if self.whole_milliseconds { milliseconds.round() } else { (milliseconds * 1000.0).round() / 1000.0 }
    }
}
