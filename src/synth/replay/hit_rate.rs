//! More or less reuse than in the original, with all else unchanged.
//!
//! Requests keep their lengths, their outputs and their places; what changes is how many of their blocks
//! are shared. For less reuse, some turns no longer continue another but bring all their blocks, and some
//! sessions bring a core of their own. For more, some requests continue another one behind the same core:
//! of those that came as long before as requests of the original wait to be continued, the one that has
//! the most blocks in common with it. Each turn and each session draws one number; those whose number is
//! below the *share* are changed. So the hit rate changes steadily with the share, and the share for a
//! rate is found by bisection. The rate of a share is measured on the very requests that will be written.

use fastrand::Rng;

use super::generator::ReplayGenerator;
use super::model::{ReplayModel, Session, SessionTurn};
use crate::error::Invalid;
use crate::stats::InfiniteCache;
use crate::synth::core::TOP;
use crate::synth::draw::MOST_SCALED;
use crate::synth::knobs::Knobs;
use crate::synth::request::SyntheticRequest;

/// How close to the target a rate must be.
const TOLERANCE: f64 = 0.01;

/// Requests that are measured, at most, and steps of the bisection.
const SAMPLE: u64 = 200_000;
const STEPS: u32 = 14;

/// Requests among which the one to continue is chosen.
const CHOICE: usize = 64;

/// Seed of the numbers that turns and sessions draw.
const SHARE_SEED: u64 = 2;

/// How a model is to be drawn from.
pub(in crate::synth) struct Drawing<'a> {
    pub(in crate::synth) knobs: &'a Knobs,
    pub(in crate::synth) block_size: u64,
    pub(in crate::synth) seed: u64,
    /// Requests that will be written, if known.
    pub(in crate::synth) count: Option<u64>,
}

impl Drawing<'_> {
    /// Changes `model` until the token hit rate of an infinite cache over its requests is `target`.
    ///
    /// # Errors
    /// When it cannot be, with the rates that can.
    pub(in crate::synth) fn reach(&self, model: &mut ReplayModel, target: f64) -> Result<(), Invalid> {
        let plain = self.rate(model)?;
        if (plain - target).abs() <= TOLERANCE / 4.0 {
            return Ok(());
        }
        let more = target > plain;
        let at = |more: bool, share: f64| {
            let mut changed = model.clone();
            if more {
                share_more(&mut changed, share, self.block_size);
            } else {
                share_less(&mut changed, share);
            }
            let rate = self.rate(&changed)?;
            Ok::<_, Invalid>((changed, rate))
        };
        let (extreme, limit) = at(more, 1.0)?;
        if (target - plain).abs() > (limit - plain).abs() + TOLERANCE {
            let (_, other) = at(!more, 1.0)?;
            let (low, high) = (limit.min(other), limit.max(other));
            return Err(Invalid::value(format!(
                "a hit rate of {target} is out of reach: from {low:.4} to {high:.4} can be had"
            )));
        }
        let mut best = (extreme, limit);
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..STEPS {
            let share = f64::midpoint(low, high);
            let tried = at(more, share)?;
            if (more && tried.1 > target) || (!more && tried.1 < target) {
                high = share;
            } else {
                low = share;
            }
            if (tried.1 - target).abs() < (best.1 - target).abs() {
                best = tried;
            }
        }
        if (best.1 - target).abs() > TOLERANCE {
            let nearest = best.1;
            return Err(Invalid::value(format!(
                "a hit rate of {target} cannot be had with so few requests: the nearest is {nearest:.4}"
            )));
        }
        *model = best.0;
        Ok(())
    }

    /// Share of the prompt tokens that an infinite cache serves.
    fn rate(&self, model: &ReplayModel) -> Result<f64, Invalid> {
        let count = self.count.unwrap_or(model.turns.len() as u64).min(SAMPLE);
        let mut rng = Rng::with_seed(self.seed);
        let mut generator = ReplayGenerator::new(model.clone(), self.block_size, self.knobs.prefix_root);
        let mut request = SyntheticRequest::default();
        let (mut cache, mut ids) = (InfiniteCache::default(), Vec::new());
        let (mut cached, mut tokens) = (0, 0);
        for i in 0..count {
            if i > 0 && !model.gaps.is_empty() {
                generator.draw_gap(&mut rng);
            }
            generator.draw(&mut rng, self.knobs.input, &mut request)?;
            request.check_length(self.block_size)?;
            tokens += request.input_length;
            ids.clear();
            ids.extend(request.ids());
            let known = u64::from(cache.request(&ids)?.known);
            cached += (known * self.block_size).min(request.input_length);
        }
        Ok(if tokens == 0 { 0.0 } else { cached as f64 / tokens as f64 })
    }
}

/// Lets a share of the turns continue nothing, and a share of the sessions use no core.
fn share_less(model: &mut ReplayModel, share: f64) {
    let mut rng = Rng::with_seed(SHARE_SEED);
    let depths = model.core.depths();
    for index in 0..model.sessions.len() {
        let session = model.sessions[index];
        let range = model.range(index);
        let turns = &mut model.turns[range];
        let depth = depths.get(session.run as usize).copied().unwrap_or(0).min(MOST_SCALED.into()) as u32;
        let private = rng.f64() < share;
        for (i, turn) in turns.iter_mut().enumerate() {
            if rng.f64() < share {
                turn.new += turn.shared;
                turn.shared = 0;
            }
            if private && (turn.shared > 0) {
                turn.shared += depth;
            } else if private {
                turn.new += depth;
            }
            if i == 0 || turn.shared == 0 {
                turn.parent = 0;
            }
        }
        if private {
            model.sessions[index].run = TOP;
        }
    }
}

/// A turn on its way to another session.
#[derive(Clone, Copy, Default)]
struct Placed {
    place: u64,
    /// Index among all turns; that of its parent; of its session.
    index: u32,
    parent: u32,
    session: u32,
}

/// Lets a share of the requests continue another one behind the same core, one that came about as long
/// before as requests of the original wait to be continued.
fn share_more(model: &mut ReplayModel, share: f64, block_size: u64) {
    let mut rng = Rng::with_seed(SHARE_SEED);
    let mut placed = places(model);
    let mut groups = DisjointSets::new(model.sessions.len());
    let mut turns = vec![Placed::default(); placed.len()];
    for turn in &placed {
        turns[turn.index as usize] = *turn;
    }
    let continuing = placed.iter().filter(|turn| turn.parent != turn.index);
    let ages: Vec<u64> = continuing.map(|turn| turn.place - turns[turn.parent as usize].place).collect();
    placed.sort_by_key(|turn| (turn.place, turn.index));
    // Requests so far behind each run of the core, and behind none.
    let mut earlier: Vec<Vec<u32>> = vec![Vec::new(); model.core.runs.len() + 1];
    for at in &placed {
        let index = at.index as usize;
        let run = model.sessions[at.session as usize].run;
        let earlier = &mut earlier[(run as usize).min(model.core.runs.len())];
        let turn = model.turns[index];
        let depth = turn.shared + turn.new;
        if rng.f64() < share {
            let age = if ages.is_empty() { 0 } else { ages[rng.usize(..ages.len())] };
            // The last block of a request stays its own, if it has one of its own.
            let most = if turn.new > 0 { depth - 1 } else { turn.shared };
            let usable = |&other: &u32| {
                let other = &model.turns[other as usize];
                let partial = u64::from(other.tail) < block_size;
                (other.shared + other.new).saturating_sub(u32::from(partial)).min(most)
            };
            let end = earlier.partition_point(|&other| turns[other as usize].place + age <= at.place);
            let end = end.max(earlier.len().min(CHOICE));
            // Of several best ones the latest.
            let best = earlier[end.saturating_sub(CHOICE)..end].iter().max_by_key(|other| usable(other));
            if let Some(&other) = best
                && usable(&other) > turn.shared
            {
                let shared = usable(&other);
                (model.turns[index].shared, model.turns[index].new) = (shared, depth - shared);
                turns[index].parent = other;
                groups.join(at.session, turns[other as usize].session);
            }
        }
        earlier.push(at.index);
    }
    regroup(model, &placed, &turns, &mut groups);
}

/// All turns, with their places in the original.
fn places(model: &ReplayModel) -> Vec<Placed> {
    let mut placed = Vec::with_capacity(model.turns.len());
    let mut start = 0;
    for (session, i) in model.sessions.iter().zip(0..) {
        start += u64::from(session.wait);
        let mut place = start;
        for (turn, index) in model.turns_of(i as usize).iter().zip(session.first..) {
            place += u64::from(turn.wait);
            placed.push(Placed { place, index, parent: session.first + turn.parent, session: i });
        }
    }
    placed
}

/// Makes one session of all that continue one another. `placed` is in the order of places, `turns` in
/// that of the model.
fn regroup(model: &mut ReplayModel, placed: &[Placed], turns: &[Placed], groups: &mut DisjointSets) {
    // Members of each group, in order; groups in the order of their first members.
    let mut members: Vec<Vec<u32>> = Vec::new();
    let mut number: Vec<Option<u32>> = vec![None; model.sessions.len()];
    for (at, i) in placed.iter().zip(0..) {
        let root = groups.root(at.session) as usize;
        let group = *number[root].get_or_insert_with(|| {
            members.push(Vec::new());
            members.len() as u32 - 1
        });
        members[group as usize].push(i);
    }
    let mut regrouped: Vec<SessionTurn> = Vec::with_capacity(placed.len());
    let mut sessions: Vec<Session> = Vec::with_capacity(members.len());
    // Number of each turn within its new session.
    let mut within: Vec<u32> = vec![0; placed.len()];
    let mut last_start = 0;
    for group in &members {
        let first = placed[group[0] as usize];
        let run = model.sessions[first.session as usize].run;
        let wait = (first.place - last_start) as u32;
        sessions.push(Session { wait, run, first: regrouped.len() as u32 });
        last_start = first.place;
        let mut before = first.place;
        for (&member, number) in group.iter().zip(0..) {
            let at = placed[member as usize];
            within[at.index as usize] = number;
            let mut turn = model.turns[at.index as usize];
            turn.wait = (at.place - before) as u32;
            turn.parent = if turn.shared == 0 { 0 } else { within[turns[at.index as usize].parent as usize] };
            before = at.place;
            regrouped.push(turn);
        }
    }
    (model.sessions, model.turns) = (sessions, regrouped);
}

/// Which sessions have become one.
struct DisjointSets {
    above: Vec<u32>,
}

impl DisjointSets {
    fn new(count: usize) -> Self {
        Self { above: (0..count as u32).collect() }
    }

    fn root(&mut self, mut session: u32) -> u32 {
        while self.above[session as usize] != session {
            let next = self.above[session as usize];
            self.above[session as usize] = self.above[next as usize];
            session = next;
        }
        session
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.above[a.max(b) as usize] = a.min(b);
    }
}
