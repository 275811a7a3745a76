//! The order of sessions: when they begin, and which of several candidates begins.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use fastrand::Rng;

use super::arrivals::Arrivals;
use super::balance::{Balance, Counted, Sums};
use super::model::SessionsModel;
use super::random::shuffle;
use super::reuse::{Course, Together, Use};
use super::spawn::{Drawn, Node, Spawner};
use crate::error::Invalid;

/// In a pass of at most so many sessions each is chosen of so many candidates. Of more sessions the sums are nearly
/// those of the model anyway, and choosing has a price: where all sums are met, long sessions with long prompts,
/// which are far from all means at once, become rare.
pub(super) const FEW_SESSIONS: usize = 1000;
const CANDIDATES: usize = 6;

/// Candidates that are drawn beforehand, to learn how much sums vary.
const TRIALS: usize = 400;

/// Requests of these, after which there are enough.
pub(super) const MOST_TRIED: usize = 20_000;

/// The few sessions are exchanged for better ones: so often each, until so many requests were drawn.
const EXCHANGES: usize = 80;
const MOST_EXCHANGED: usize = 1_600_000;

/// Seconds per output token of a session that ends, where the trace does not tell.
const SECONDS_PER_TOKEN: f64 = 0.02;

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
    /// So many sessions at a time, the next when one ends.
    pub(super) lanes: Option<u32>,
    /// Whether few sessions are chosen so that their sums are those of the trace.
    pub(super) chooses: bool,
}

impl Plan {
    /// Whether a pass is all that is drawn, so that its sums are those of the trace.
    fn is_whole(&self) -> bool {
        self.is_one_pass() && self.share == 1.0
    }

    /// Whether what is drawn is a pass like the trace or a part of it.
    pub(super) fn is_one_pass(&self) -> bool {
        self.one_pass && self.lanes.is_none() && self.turns == 0.0
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self { users: 1.0, share: 1.0, one_pass: true, turns: 0.0, lanes: None, chooses: true }
    }
}

/// A session as it uses a cache.
fn course(drawn: &Drawn, block_size: u64) -> Course {
    let nodes = &drawn.nodes;
    Course::new(
        nodes.iter().map(|node| Use::new(&node.state, &nodes[node.before as usize].state, block_size)),
    )
}

/// Draws sessions in the order of their beginnings, a piece of the trace at a time.
pub(super) struct Engine {
    model: SessionsModel,
    block_size: u64,
    plan: Plan,
    spawner: Spawner,
    arrivals: Arrivals,
    /// Requests of earlier sessions in this piece and those after it, where sessions fill in the rest.
    due: VecDeque<u32>,
    /// Requests too many so far.
    debt: u64,
    /// End of the last piece, in seconds.
    end: f64,
    /// When each lane is free, as bits, which have the order of times.
    lanes: BinaryHeap<Reverse<u64>>,
    times: Vec<f64>,
    candidates: Vec<Drawn>,
    sums: Vec<Counted>,
}

impl Engine {
    /// # Errors
    /// When parts of the model are missing.
    pub(super) fn new(model: SessionsModel, block_size: u64, plan: Plan) -> Result<Self, Invalid> {
        let users = plan.users * Self::shorter(&model, block_size, plan.turns);
        let arrivals = Arrivals::new(&model.parts.rate, users, plan.share);
        let pass = arrivals.pass_seconds();
        let spawner = Spawner::new(&model.core, &model.ends, &model.parts, block_size, pass)
            .ok_or_else(|| Invalid::malformed("the model is not complete"))?
            .with_turns(plan.turns);
        Ok(Self {
            block_size,
            plan,
            spawner,
            arrivals,
            due: VecDeque::new(),
            debt: 0,
            end: 0.0,
            lanes: (0..plan.lanes.unwrap_or(0)).map(|_| Reverse(0)).collect(),
            times: Vec::new(),
            candidates: vec![Drawn::default(); CANDIDATES],
            sums: vec![Counted::default(); CANDIDATES],
            model,
        })
    }

    /// Seconds of a pass.
    pub(super) fn pass_seconds(&self) -> f64 {
        self.arrivals.pass_seconds()
    }

    /// Draws the sessions of a pass.
    pub(super) fn next_pass(&mut self, rng: &mut Rng, each: &mut dyn FnMut(&Drawn)) {
        loop {
            self.next_piece(rng, each);
            if self.arrivals.at_start_of_pass() {
                break;
            }
        }
    }

    pub(super) fn fills_in(&self) -> bool {
        self.model.parts.rate.of_all_requests
    }

    fn has_ticks(&self) -> bool {
        self.model.parts.clock.delays.tick > 0.0
    }

    /// The moment after which nothing is drawn.
    fn horizon(&self) -> f64 {
        let cut = self.plan.one_pass && self.plan.lanes.is_none() && !self.fills_in();
        if cut { self.end + self.arrivals.pass_seconds() } else { f64::INFINITY }
    }

    fn draw_session(&mut self, time: f64, horizon: f64, rng: &mut Rng) -> &Drawn {
        let drawn = &mut self.candidates[0];
        self.spawner.draw(time, horizon, rng, drawn);
        drawn
    }

    fn draw_candidate(&mut self, number: usize, time: f64, horizon: f64, rng: &mut Rng) {
        self.spawner.draw(time, horizon, rng, &mut self.candidates[number]);
        self.measure(number);
    }

    /// Sums what a candidate has.
    fn measure(&mut self, number: usize) {
        let Self { spawner, candidates, sums, model, .. } = self;
        let (drawn, sums) = (&candidates[number], &mut sums[number]);
        sums.clear();
        let pass = self.arrivals.pass_seconds();
        let rank = spawner.rank(drawn.prefix);
        for (before, node) in drawn.nodes.iter().enumerate() {
            let place = (node.state.time / pass).fract();
            model.parts.sums.add(&node.state, self.block_size, before, place, sums);
        }
        Sums::add_prefix(rank, drawn.nodes.len(), sums);
    }

    /// Learns from trial sessions how much sums vary.
    fn balance(&mut self, horizon: f64, rng: &mut Rng) -> Balance {
        let pass = self.arrivals.pass_seconds();
        let (mut trials, mut requests) = (Vec::with_capacity(TRIALS), 0);
        for trial in 0..TRIALS {
            if requests > MOST_TRIED {
                break;
            }
            let time = pass * (trial as f64 + rng.f64()) / TRIALS as f64;
            self.draw_candidate(0, time, horizon, rng);
            requests += self.candidates[0].nodes.len();
            trials.push(self.sums[0].clone());
        }
        Balance::new(&self.model.parts.sums.per_session, &trials)
    }

    /// Draws the few sessions of a pass, and exchanges them while that makes their sums better, and what a cache
    /// finds that they share.
    fn draw_few(&mut self, times: &[f64], horizon: f64, rng: &mut Rng) -> Vec<Drawn> {
        let mut balance = self.balance(horizon, rng);
        let mut sessions = Vec::with_capacity(times.len());
        let mut sums = Vec::with_capacity(times.len());
        for &time in times {
            (0..CANDIDATES).for_each(|number| self.draw_candidate(number, time, horizon, rng));
            let chosen = balance.choose(&self.sums);
            sessions.push(self.candidates[chosen].clone());
            sums.push(self.sums[chosen].clone());
        }
        let courses = sessions.iter().map(|session| course(session, self.block_size)).collect();
        let mut together = Together::new(self.model.parts.sums.reuse.clone(), courses);
        let mut requests = 0;
        for _ in 0..EXCHANGES * times.len() {
            if requests > MOST_EXCHANGED {
                break;
            }
            let at = rng.usize(..times.len());
            requests += self.draw_instead(&sessions[at], times[at], horizon, rng);
            let courses = self.candidates.iter().map(|candidate| course(candidate, self.block_size));
            let before = together.without(at, courses);
            let better = balance.exchange(&sums[at], &self.sums, before, |number| together.with(number));
            together.put(at, better);
            if let Some(better) = better {
                sessions[at].clone_from(&self.candidates[better]);
                sums[at].clone_from(&self.sums[better]);
            }
        }
        sessions
    }

    /// Draws candidates that might take the place of a session: others, and the same as far as some request;
    /// returns how many requests they have.
    fn draw_instead(&mut self, session: &Drawn, time: f64, horizon: f64, rng: &mut Rng) -> usize {
        for number in 0..self.candidates.len() {
            if number % 2 == 0 {
                self.draw_candidate(number, time, horizon, rng);
            } else {
                self.candidates[number].clone_from(session);
                let from = rng.usize(..session.nodes.len());
                self.spawner.go_on(from, horizon, rng, &mut self.candidates[number]);
                self.measure(number);
            }
        }
        self.candidates.iter().map(|candidate| candidate.nodes.len()).sum()
    }

    /// Draws the sessions that begin in the next piece, or the next pass where sessions have a rate of their
    /// own; returns the moment before which all has been drawn.
    pub(super) fn next_piece(&mut self, rng: &mut Rng, each: &mut dyn FnMut(&Drawn)) -> f64 {
        if let Some(Reverse(time)) = self.lanes.pop() {
            return self.next_in_lane(f64::from_bits(time), rng, each);
        }
        let mut times = std::mem::take(&mut self.times);
        times.clear();
        let has_ticks = self.has_ticks();
        if self.fills_in() {
            self.end = self.arrivals.next_piece(rng, &mut times, has_ticks);
            self.fill_in(&mut times, rng, each);
        } else {
            // Few requests at most are those of further passes.
            let (horizon, is_first) = (self.horizon(), self.end == 0.0);
            loop {
                self.end = self.arrivals.next_piece(rng, &mut times, has_ticks);
                if self.arrivals.at_start_of_pass() {
                    break;
                }
            }
            // In random order, so that the sums of the pass as a whole are kept to everywhere.
            shuffle(rng, &mut times);
            if is_first && self.plan.chooses && self.plan.is_whole() && times.len() <= FEW_SESSIONS {
                self.draw_few(&times, horizon, rng).iter().for_each(each);
            } else {
                times.iter().for_each(|&time| each(self.draw_session(time, horizon, rng)));
            }
        }
        self.times = times;
        self.end
    }

    /// Draws the next session of the lane that is free first; returns when the next lane is free.
    fn next_in_lane(&mut self, time: f64, rng: &mut Rng, each: &mut dyn FnMut(&Drawn)) -> f64 {
        let per_token = self.model.parts.clock.delays.per_output_token;
        let per_token = if per_token > 0.0 { per_token } else { SECONDS_PER_TOKEN };
        let drawn = self.draw_session(time, f64::INFINITY, rng);
        let end = |node: &Node| node.state.time + per_token * node.state.output as f64;
        let end = drawn.nodes.iter().map(end).fold(time, f64::max);
        each(drawn);
        self.lanes.push(Reverse(end.max(time + SECONDS_PER_TOKEN).to_bits()));
        self.lanes.peek().map_or(end, |lane| f64::from_bits(lane.0))
    }

    /// Fewer sessions that make as many requests as in the trace, if they are `turns` longer and begin at a rate
    /// of their own.
    fn shorter(model: &SessionsModel, block_size: u64, turns: f64) -> f64 {
        if turns == 0.0 || model.parts.rate.of_all_requests {
            return 1.0;
        }
        let span = model.parts.span();
        let requests = |turns: f64| {
            let spawner = Spawner::new(&model.core, &model.ends, &model.parts, block_size, span)?;
            let (mut spawner, mut rng) = (spawner.with_turns(turns), Rng::with_seed(TRIALS as u64));
            let (mut drawn, mut count) = (Drawn::default(), 0);
            for trial in 0..TRIALS {
                spawner.draw(span * trial as f64 / TRIALS as f64, span, &mut rng, &mut drawn);
                count += drawn.nodes.len();
                if count > MOST_TRIED {
                    return Some(count as f64 * TRIALS as f64 / (trial + 1) as f64);
                }
            }
            Some(count as f64)
        };
        requests(0.0).zip(requests(turns)).map_or(1.0, |(plain, bent)| plain / bent)
    }

    /// Lets sessions begin at some of the arrivals of a piece: as many as requests of earlier sessions leave.
    fn fill_in(&mut self, times: &mut [f64], rng: &mut Rng, each: &mut dyn FnMut(&Drawn)) {
        let due = u64::from(self.due.pop_front().unwrap_or(0)) + self.debt;
        let free = (times.len() as u64).saturating_sub(due);
        self.debt = due.saturating_sub(times.len() as u64);
        shuffle(rng, times);
        for &time in &times[..free as usize] {
            let Self { spawner, candidates, arrivals, debt, due, .. } = self;
            let drawn = &mut candidates[0];
            spawner.draw(time, f64::INFINITY, rng, drawn);
            for node in &drawn.nodes[1..] {
                let Some(piece) = arrivals.pieces_before(node.state.time).checked_sub(arrivals.pieces())
                else {
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
            each(drawn);
        }
    }
}
