//! The order of sessions: when they begin, and which of several candidates begins.

use std::collections::VecDeque;

use fastrand::Rng;

use super::arrivals::Arrivals;
use super::balance::Balance;
use super::model::SessionsModel;
use super::random::shuffle;
use super::spawn::{Drawn, Spawner, no_sums};
use crate::error::Invalid;

/// Candidates of which one session is chosen.
const CANDIDATES: usize = 6;

/// Candidates that are drawn beforehand, to learn how much sums vary.
const TRIALS: usize = 400;

/// Pieces of the future of which the requests that are due are counted.
const MOST_DUE: usize = 1 << 20;

/// How a model is to be drawn from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Times as many sessions as in the trace.
    pub(super) users: f64,
    /// Part of the trace that a pass lasts; below 1 a pass is a sample of the whole.
    pub(super) share: f64,
    /// Whether one pass is all there is.
    pub(super) one_pass: bool,
    /// How much longer conversations are made, from -1 to 1.
    pub(super) turns: f64,
    pub(super) candidates: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { users: 1.0, share: 1.0, one_pass: true, turns: 0.0, candidates: CANDIDATES }
    }
}

/// Draws sessions in the order of their beginnings, a piece of the trace at a time.
pub(super) struct Engine {
    model: SessionsModel,
    block_size: u64,
    plan: Plan,
    spawner: Spawner,
    arrivals: Arrivals,
    balance: Balance,
    /// Requests of earlier sessions in this piece and those after it, where sessions fill in the rest.
    due: VecDeque<u32>,
    /// Requests too many so far.
    debt: u64,
    /// End of the last piece, in seconds.
    end: f64,
    times: Vec<f64>,
    candidates: Vec<Drawn>,
    sums: Vec<Vec<f32>>,
}

impl Engine {
    /// # Errors
    /// When parts of the model are missing.
    pub(super) fn new(model: SessionsModel, block_size: u64, plan: Plan, rng: &mut Rng) -> Result<Self, Invalid> {
        let arrivals = Arrivals::new(&model.parts.rate, plan.users, plan.share);
        let pass = arrivals.pass_seconds();
        let spawner = Spawner::new(&model.core, &model.ends, &model.parts, block_size, pass)
            .ok_or_else(|| Invalid::malformed("the model is not complete"))?
            .with_turns(plan.turns);
        let mut engine = Self {
            block_size,
            plan,
            spawner,
            arrivals,
            balance: Balance::new(None, &[]),
            due: VecDeque::new(),
            debt: 0,
            end: 0.0,
            times: Vec::new(),
            candidates: vec![Drawn::default(); plan.candidates.max(1)],
            sums: vec![no_sums(); plan.candidates.max(1)],
            model,
        };
        if plan.candidates > 1 {
            let mut trials = Vec::with_capacity(TRIALS);
            for trial in 0..TRIALS {
                let time = pass * (trial as f64 + rng.f64()) / TRIALS as f64;
                engine.draw_candidate(0, time, engine.horizon(), rng);
                trials.push(engine.sums[0].clone());
            }
            // One pass is cut off as the trace was, so its sums are those of the trace.
            let whole = plan.one_pass && plan.share == 1.0 && plan.turns == 0.0 && !engine.fills_in();
            let of_trace = whole.then_some(&engine.model.parts.sums.per_session[..]);
            engine.balance = Balance::new(of_trace, &trials);
        }
        Ok(engine)
    }

    /// The shares of the kinds of requests in a pass over the trace.
    pub(super) fn shares_of_kinds(model: &SessionsModel, block_size: u64, rng: &mut Rng) -> [f64; 5] {
        let plan = Plan { candidates: 1, ..Plan::default() };
        let mut counts = [0.0; 5];
        let Ok(mut engine) = Self::new(model.clone(), block_size, plan, rng) else { return counts };
        let pass = engine.arrivals.pass_seconds();
        loop {
            engine.next_piece(rng, &mut |drawn| {
                for node in drawn.nodes.iter().filter(|node| node.state.time < pass) {
                    counts[node.state.kind as usize] += 1.0;
                }
            });
            if engine.arrivals.at_start_of_pass() {
                break;
            }
        }
        let all: f64 = counts.iter().sum();
        counts.map(|count| count / all.max(1.0))
    }

    fn fills_in(&self) -> bool {
        self.model.parts.rate.of_all_requests
    }

    fn has_ticks(&self) -> bool {
        self.model.parts.clock.delays.tick > 0.0
    }

    /// The moment after which nothing is drawn.
    fn horizon(&self) -> f64 {
        let cut = self.plan.one_pass && !self.fills_in();
        if cut { self.end + self.arrivals.pass_seconds() } else { f64::INFINITY }
    }

    fn draw_candidate(&mut self, number: usize, time: f64, horizon: f64, rng: &mut Rng) {
        let Self { spawner, candidates, sums, model, .. } = self;
        let (drawn, sums) = (&mut candidates[number], &mut sums[number]);
        spawner.draw(time, horizon, rng, drawn);
        sums.fill(0.0);
        let pass = self.arrivals.pass_seconds();
        let rank = spawner.rank(drawn.prefix);
        for node in &drawn.nodes {
            let place = (node.state.time / pass).fract();
            model.parts.sums.add(&node.state, self.block_size, place, rank, sums);
        }
    }

    /// Draws candidates for a session; returns the number of the one that is chosen.
    fn draw_session(&mut self, time: f64, horizon: f64, rng: &mut Rng) -> usize {
        if self.candidates.len() == 1 {
            self.spawner.draw(time, horizon, rng, &mut self.candidates[0]);
            return 0;
        }
        for number in 0..self.candidates.len() {
            self.draw_candidate(number, time, horizon, rng);
        }
        self.balance.choose(&self.sums)
    }

    /// Draws the sessions that begin in the next piece, or the next pass where sessions have a rate of their
    /// own; returns the moment before which all has been drawn.
    pub(super) fn next_piece(&mut self, rng: &mut Rng, each: &mut dyn FnMut(&Drawn)) -> f64 {
        let mut times = std::mem::take(&mut self.times);
        times.clear();
        let has_ticks = self.has_ticks();
        if self.fills_in() {
            self.end = self.arrivals.next_piece(rng, &mut times, has_ticks);
            self.fill_in(&mut times, rng, each);
        } else {
            let horizon = self.horizon();
            loop {
                self.end = self.arrivals.next_piece(rng, &mut times, has_ticks);
                if self.arrivals.at_start_of_pass() {
                    break;
                }
            }
            // In random order, so that the sums of the pass as a whole are kept to everywhere.
            shuffle(rng, &mut times);
            for &time in &times {
                let chosen = self.draw_session(time, horizon, rng);
                each(&self.candidates[chosen]);
            }
        }
        self.times = times;
        self.end
    }

    /// Lets sessions begin at some of the arrivals of a piece: as many as requests of earlier sessions leave.
    fn fill_in(&mut self, times: &mut [f64], rng: &mut Rng, each: &mut dyn FnMut(&Drawn)) {
        let due = u64::from(self.due.pop_front().unwrap_or(0)) + self.debt;
        let free = (times.len() as u64).saturating_sub(due);
        self.debt = due.saturating_sub(times.len() as u64);
        shuffle(rng, times);
        for &time in &times[..free as usize] {
            let chosen = self.draw_session(time, f64::INFINITY, rng);
            let Self { candidates, arrivals, debt, due, .. } = self;
            for node in &candidates[chosen].nodes[1..] {
                let Some(piece) = arrivals.pieces_before(node.state.time).checked_sub(arrivals.pieces()) else {
                    *debt += 1;
                    continue;
                };
                let piece = piece as usize;
                if piece < MOST_DUE {
                    if due.len() <= piece {
                        due.resize(piece + 1, 0);
                    }
                    due[piece] += 1;
                }
            }
            each(&candidates[chosen]);
        }
    }
}
