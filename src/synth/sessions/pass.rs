//! Trial passes: what a model makes of a trace, and which of several passes is most like it.

use fastrand::Rng;

use super::balance::{Counted, SUMS};
use super::engine::{Engine, FEW_SESSIONS, MOST_TRIED, Plan};
use super::model::SessionsModel;
use super::state::{Kind, State, TURNS, turn_class};
use crate::error::Invalid;

/// Passes of which one is taken, or as many as have so many requests.
const PASSES: u64 = 32;
const MOST_PASSED: u64 = 400_000;

/// A pass over less of the trace ends too many of its sessions to be compared.
const LEAST_SHARE: f64 = 0.5;

/// What requests are like, so far as chances have factors for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    kinds: [f64; Kind::ALL.len()],
    /// Requests by the class of their turn, and those that are next turns by that of the turn before.
    turns: [f64; TURNS],
    next: [f64; TURNS],
}

impl Tally {
    pub(super) fn add(&mut self, state: &State) {
        self.kinds[state.kind as usize] += 1.0;
        self.turns[turn_class(state.turn)] += 1.0;
        if state.kind.continues() {
            self.next[turn_class(state.turn - 1)] += 1.0;
        }
    }

    /// The share of requests that are of a kind.
    pub(super) fn share(&self, of: impl Fn(Kind) -> bool) -> f64 {
        let sum = |of: &dyn Fn(Kind) -> bool| {
            let kinds = Kind::ALL.into_iter().filter(|kind| of(*kind));
            kinds.map(|kind| self.kinds[kind as usize]).sum::<f64>()
        };
        sum(&of) / sum(&|_| true).max(1.0)
    }

    /// The share of the turns of a class that are continued.
    pub(super) fn continued(&self, class: usize) -> f64 {
        self.next[class] / self.turns[class].max(1.0)
    }
}

/// Counts the requests of a pass over a trace of so many, or, if they are many, those of a part of its sessions.
pub(super) fn tally(model: &SessionsModel, block_size: u64, requests: usize, rng: &mut Rng) -> Tally {
    let users = (MOST_TRIED as f64 / requests as f64).min(1.0);
    let plan = Plan { chooses: false, users, ..Plan::default() };
    let mut tally = Tally::default();
    let Ok(mut engine) = Engine::new(model.clone(), block_size, plan) else { return tally };
    let pass = engine.pass_seconds();
    engine.next_pass(rng, &mut |drawn| {
        let nodes = drawn.nodes.iter().filter(|node| node.state.time < pass);
        nodes.for_each(|node| tally.add(&node.state));
    });
    tally
}

/// Random numbers of a pass over a trace of so many requests. Of many sessions it is that of several passes whose
/// sums are nearest to those of the trace: what each session is like, and what it has to do with others, is left to
/// chance, and only the luck of the pass as a whole is chosen.
///
/// # Errors
/// When the model is not complete.
pub(super) fn best_pass(
    model: &SessionsModel,
    block_size: u64,
    plan: Plan,
    requests: u64,
    rng: &mut Rng,
) -> Result<Rng, Invalid> {
    let mut best = (f64::INFINITY, rng.fork());
    if plan.share < LEAST_SHARE || !plan.is_one_pass() {
        return Ok(best.1);
    }
    for _ in 0..PASSES.min(MOST_PASSED / requests.max(1)) {
        let numbers = rng.fork();
        let Some(distance) = distance(model, block_size, plan, numbers.clone())? else { break };
        if distance < best.0 {
            best = (distance, numbers);
        }
    }
    Ok(best.1)
}

/// How far the pass with these random numbers is from the trace, if its sessions are so many that they are not
/// chosen one by one.
fn distance(
    model: &SessionsModel,
    block_size: u64,
    plan: Plan,
    mut numbers: Rng,
) -> Result<Option<f64>, Invalid> {
    let mut engine = Engine::new(model.clone(), block_size, Plan { chooses: false, ..plan })?;
    let (pass, kept) = (engine.pass_seconds(), &model.parts.sums);
    let (mut sums, mut one, mut sessions) = (vec![0.0; SUMS], Counted::default(), 0);
    engine.next_pass(&mut numbers, &mut |drawn| {
        one.clear();
        let nodes = drawn.nodes.iter().filter(|node| node.state.time < pass);
        for (before, node) in nodes.enumerate() {
            kept.add(&node.state, block_size, before, node.state.time / pass, &mut one);
        }
        one.iter().for_each(|(sum, value)| sums[sum] += value);
        sessions += 1;
    });
    let are_few = sessions <= FEW_SESSIONS && !engine.fills_in();
    Ok(if are_few { None } else { kept.distance(&sums) })
}

#[cfg(test)]
mod tests {
    use super::super::learn::learn;
    use super::super::links::link;
    use super::*;
    use crate::record::Record;
    use crate::synth::forest::Forest;
    use crate::synth::learn::Learner;

    /// The forest of sessions of as many turns as is said, of different lengths.
    fn forest(sessions: u64, turns: impl Fn(&mut Rng) -> u64) -> Forest {
        let (mut learner, mut rng) = (Learner::default(), Rng::with_seed(11));
        let mut requests = Vec::new();
        for session in 0..sessions {
            let mut blocks = rng.u64(2..40);
            for turn in 0..turns(&mut rng) {
                requests.push((1000 * (session + 30 * turn) + rng.u64(..1000), session, blocks));
                blocks += rng.u64(1..20);
            }
        }
        requests.sort_unstable();
        for (time, session, blocks) in requests {
            let hash_ids: Vec<u64> = (1000 * session..1000 * session + blocks).collect();
            let record = Record {
                timestamp: Some(time as f64),
                input_length: 16 * blocks,
                has_ids: true,
                hash_ids,
                ..Record::default()
            };
            learner.add(&record, 16).unwrap();
        }
        learner.finish().unwrap()
    }

    fn model(sessions: u64) -> SessionsModel {
        learn(&forest(sessions, |rng| rng.u64(1..5)), 5).unwrap().0
    }

    #[test]
    fn conversations_go_on_after_each_turn_as_often_as_in_the_trace() {
        // Few users go on for long, which no single request tells.
        let turns = |rng: &mut Rng| {
            let ends = if rng.u32(..10) == 0 { 0.1 } else { 0.6 };
            (1..100).find(|_| rng.f64() < ends).unwrap_or(100)
        };
        let forest = forest(800, turns);
        let mut wanted = Tally::default();
        link(&forest, 5).requests.iter().for_each(|request| wanted.add(&request.state));
        let model = learn(&forest, 5).unwrap().0;
        let mut found = Tally::default();
        for seed in 0..8 {
            let one = tally(&model, 16, forest.requests.len(), &mut Rng::with_seed(seed));
            let add = |sum: &mut [f64; TURNS], more: [f64; TURNS]| (0..TURNS).for_each(|i| sum[i] += more[i]);
            add(&mut found.turns, one.turns);
            add(&mut found.next, one.next);
        }
        for class in 0..TURNS - 1 {
            let (wanted, found) = (wanted.continued(class), found.continued(class));
            assert!((found - wanted).abs() < 0.025, "{class}: {found} of {wanted}");
        }
    }

    #[test]
    fn of_many_sessions_the_pass_nearest_to_the_trace_is_taken() {
        let (model, plan) = (model(1500), Plan::default());
        let mut rng = Rng::with_seed(3);
        let mut forks = rng.clone();
        let _first = forks.fork();
        let all: Vec<Rng> = (0..PASSES).map(|_| forks.fork()).collect();
        let far = |numbers: &Rng| distance(&model, 16, plan, numbers.clone()).unwrap().unwrap();
        let nearest = all.iter().map(far).fold(f64::INFINITY, f64::min);
        assert!(all.iter().any(|numbers| far(numbers) > nearest));
        let taken = best_pass(&model, 16, plan, 4000, &mut rng).unwrap();
        assert_eq!(far(&taken), nearest);
    }

    #[test]
    fn few_sessions_are_chosen_one_by_one() {
        let model = model(200);
        assert!(distance(&model, 16, Plan::default(), Rng::with_seed(3)).unwrap().is_none());
    }
}
