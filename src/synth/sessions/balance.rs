//! Keeping sums near those of the trace.
//!
//! The sums count requests by length, output, kind, turn, growth, delay, prefix, number in their session and time,
//! tokens by delay and time, and sessions that are active at a time: how many of them share a cache. Of passes of many
//! sessions the one with the nearest sums is taken. Where a pass has few, of several candidates for each the one is
//! taken after which the sums of what has been drawn are nearest to as many mean sessions (herding, Welling 2009);
//! as there is not enough choice for that, sessions are exchanged for better ones afterwards.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::reuse::Reuse;
use super::state::{Kind, State, TURNS, turn_class};

/// Groups of sums: by input length, output length, kind, turn, growth less output; cached tokens and requests
/// by delay; all tokens and new tokens; requests by number in their session; requests, tokens and active sessions
/// by place in the pass; next turns by turn and delay; tokens that one of several replicas would find; requests by
/// prefix.
const SIZES: [usize; 16] =
    [12, 8, 5, TURNS, 8, DELAYS, DELAYS, 1, 1, 5, PLACES, PLACES, PLACES, LATER_TURNS * DELAYS, 1, PREFIXES];
const DELAYS: usize = 12;
const PLACES: usize = 20;
/// Classes of turns by which delays are told apart: the second turn, the third, ..., and all later ones.
const LATER_TURNS: usize = 4;
/// Replicas of which each request meets one by chance.
const REPLICAS: f32 = 8.0;
/// Sums by kind, which are all requests.
const KINDS: std::ops::Range<usize> = 20..25;
/// The sums of input lengths and of new tokens, in blocks.
const INPUT: usize = STARTS[7];
const NEW: usize = STARTS[8];
/// Sums of what others count already, in less detail, and what they count for.
const IN_DETAIL: Range<usize> = STARTS[13]..STARTS[15];
const DETAIL_WEIGHT: f64 = 0.25;
/// What a request too many or too few counts for, in standard deviations of other sums.
const REQUEST_WEIGHT: f64 = 0.3;
const PREFIXES: usize = 64;
pub(super) const SUMS: usize = STARTS[15] + PREFIXES;
/// They are counted by a byte.
const _: () = assert!(SUMS <= 256);

/// Numbers in the session at which groups begin.
const NUMBERS: [usize; 4] = [16, 32, 64, 128];

/// What is kept of the sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::synth) struct Sums {
    /// Bounds of the groups by input, output, delay, growth less output, as logarithms, and by place.
    pub(super) bounds: [Vec<f32>; 5],
    /// The sums of the trace per session; 0 where they would tell of few sessions.
    pub(super) per_session: Vec<f32>,
    /// What caches find that few sessions share; nothing of many.
    #[serde(default, skip_serializing_if = "Reuse::is_empty")]
    pub(super) reuse: Reuse,
}

impl Sums {
    /// Mean input length of a request in tokens, where many sessions tell it.
    pub(in crate::synth) fn mean_input(&self, block_size: u64) -> Option<f64> {
        let requests: f32 = self.per_session.get(KINDS)?.iter().sum();
        let blocks = *self.per_session.get(INPUT)?;
        (blocks > 0.0 && requests > 0.0).then(|| f64::from(blocks / requests) * block_size as f64)
    }

    /// How far a pass with these sums is from the trace: by how much the share of tokens that requests find again
    /// is off, after delays of any length or in all; two thirds of that for replicas; a third of how much the mean
    /// prompt is; and the mean distance of the delays of each turn. `None` where the trace is not known.
    pub(super) fn distance(&self, pass: &[f64]) -> Option<f64> {
        let trace: Vec<f64> = self.per_session.iter().map(|&sum| f64::from(sum)).collect();
        let requests = |sums: &[f64]| sums[KINDS].iter().sum::<f64>();
        if [pass, &trace].iter().any(|sums| sums.len() != SUMS || sums[INPUT] <= 0.0 || requests(sums) <= 0.0)
        {
            return None;
        }
        let off = |sum: usize| pass[sum] / pass[INPUT] - trace[sum] / trace[INPUT];
        let mut ahead = 0.0;
        let found = (STARTS[5]..STARTS[6]).map(|delay| {
            ahead += off(delay);
            f64::abs(ahead)
        });
        let found = found.fold(off(NEW).abs(), f64::max);
        let mean = (pass[INPUT] / requests(pass)) / (trace[INPUT] / requests(&trace)) - 1.0;
        let turns = (STARTS[13]..STARTS[14]).step_by(DELAYS);
        let delays: f64 = turns.map(|turn| apart(pass, &trace, turn..turn + DELAYS)).sum();
        Some(found + (2.0 * off(STARTS[14]).abs() + mean.abs()) / 3.0 + delays / LATER_TURNS as f64)
    }

    pub(super) fn is_valid(&self) -> bool {
        let most = [12, 8, 12, 8, PLACES];
        self.bounds.iter().zip(most).all(|(bounds, most)| bounds.len() < most)
            && self.per_session.len() == SUMS
            && self.per_session.iter().all(|sum| sum.is_finite() && *sum >= 0.0)
            && self.reuse.is_valid()
    }

    /// Adds a request to the sums of its session. It has so many before it in the session, and `place` is the part
    /// of the pass in which it comes, from 0 to 1.
    pub(super) fn add(
        &self,
        state: &State,
        block_size: u64,
        before: usize,
        place: f64,
        session: &mut Counted,
    ) {
        let group = |bounds: &[f32], value: f32| bounds.partition_point(|&bound| bound < value);
        let [inputs, outputs, delays, growths, places] = &self.bounds;
        let blocks = block_size as f32;
        let cached = (u64::from(state.shared) * block_size).min(state.input) as f32 / blocks;
        session.add(STARTS[0] + group(inputs, state.logs.input), 1.0);
        session.add(STARTS[1] + group(outputs, state.logs.output), 1.0);
        session.add(STARTS[2] + state.kind as usize, 1.0);
        if !matches!(state.kind, Kind::Document | Kind::Fork) {
            session.add(STARTS[3] + turn_class(state.turn), 1.0);
        }
        if state.kind == Kind::Next {
            session.add(STARTS[4] + group(growths, state.logs.growth_less_output), 1.0);
        }
        if state.kind != Kind::Start {
            let delay = group(delays, state.log_delay);
            session.add(STARTS[5] + delay, cached);
            session.add(STARTS[6] + delay, 1.0);
            if state.kind == Kind::Next {
                let later = (turn_class(state.turn) - 1).min(LATER_TURNS - 1);
                session.add(STARTS[13] + later * DELAYS + delay, 1.0);
            }
            let meets = 1.0 - (1.0 - 1.0 / REPLICAS).powi(state.turn as i32 - 1);
            session.add(STARTS[14], cached * meets);
        }
        session.add(STARTS[7], state.input as f32 / blocks);
        session.add(STARTS[8], state.new_tokens(block_size).max(0) as f32 / blocks);
        session.add(STARTS[9] + NUMBERS.partition_point(|&number| number <= before), 1.0);
        let place = group(places, place as f32);
        session.add(STARTS[10] + place, 1.0);
        session.add(STARTS[11] + place, state.input as f32 / blocks);
        session.set(STARTS[12] + place, 1.0);
    }

    /// Adds requests with a prefix of this rank.
    pub(super) fn add_prefix(prefix: usize, requests: usize, session: &mut Counted) {
        if prefix < PREFIXES {
            session.add(STARTS[15] + prefix, requests as f32);
        }
    }
}

/// The largest distance of two distributions, as far as the second is known.
fn apart(one: &[f64], other: &[f64], sums: Range<usize>) -> f64 {
    let known = || sums.clone().filter(|&sum| other[sum] > 0.0);
    let all = |of: &[f64]| known().map(|sum| of[sum]).sum::<f64>().max(f64::MIN_POSITIVE);
    let (all_one, all_other) = (all(one), all(other));
    let mut ahead = 0.0;
    let apart = known().map(|sum| {
        ahead += one[sum] / all_one - other[sum] / all_other;
        f64::abs(ahead)
    });
    apart.fold(0.0, f64::max)
}

/// Where each group of sums begins.
const STARTS: [usize; 16] = {
    let mut starts = [0; 16];
    let mut i = 1;
    while i < starts.len() {
        starts[i] = starts[i - 1] + SIZES[i - 1];
        i += 1;
    }
    starts
};

/// The sums of a session, of which few are not 0.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    sums: [f32; SUMS],
    /// Which are not 0.
    used: Vec<u8>,
}

impl Default for Counted {
    fn default() -> Self {
        Self { sums: [0.0; SUMS], used: Vec::new() }
    }
}

impl Counted {
    pub(super) fn clear(&mut self) {
        for i in self.used.drain(..) {
            self.sums[usize::from(i)] = 0.0;
        }
    }

    fn add(&mut self, sum: usize, value: f32) {
        self.set(sum, self.sums[sum] + value);
    }

    fn set(&mut self, sum: usize, value: f32) {
        if self.sums[sum] == 0.0 && value != 0.0 {
            self.used.push(sum as u8);
        }
        self.sums[sum] = value;
    }

    /// The sums that are not 0. Each is there once.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, f64)> {
        self.used.iter().map(|&i| (usize::from(i), f64::from(self.sums[usize::from(i)])))
    }

    /// How many requests there are.
    fn requests(&self) -> f64 {
        self.sums[KINDS].iter().map(|&sum| f64::from(sum)).sum()
    }
}

/// Chooses among candidates.
pub(super) struct Balance {
    /// Mean sums per session.
    mean: Vec<f64>,
    /// The weight of each sum over its variance.
    scale: Vec<f64>,
    /// Sums of what was chosen, and of how many sessions.
    sums: Vec<f64>,
    chosen: f64,
}

impl Balance {
    /// Meets the sums of the trace `per_session`; learns from trial candidates how much each varies.
    pub(super) fn new(per_session: &[f32], trials: &[Counted]) -> Self {
        let count = trials.len().max(1) as f64;
        let (mut seen, mut squares) = (vec![0.0; SUMS], vec![0.0; SUMS]);
        for (sum, value) in trials.iter().flat_map(Counted::iter) {
            seen[sum] += value;
            squares[sum] += value * value;
        }
        let scale = (0..SUMS).map(|i| {
            let variance = squares[i] / count - (seen[i] / count).powi(2);
            let weight = if IN_DETAIL.contains(&i) { DETAIL_WEIGHT } else { 1.0 };
            if per_session[i] > 0.0 && variance > 1e-9 { weight / variance } else { 0.0 }
        });
        Self {
            scale: scale.collect(),
            mean: per_session.iter().map(|&sum| f64::from(sum)).collect(),
            sums: vec![0.0; SUMS],
            chosen: 0.0,
        }
    }

    /// By how much a sum is ahead of that of as many mean sessions.
    fn ahead(&self, sum: usize) -> f64 {
        self.sums[sum] - self.chosen * self.mean[sum]
    }

    /// The number of the candidate with the best sums.
    pub(super) fn choose(&mut self, candidates: &[Counted]) -> usize {
        self.chosen += 1.0;
        let distances = candidates.iter().map(|candidate| self.farther(candidate)).zip(0..);
        let chosen = distances.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, chosen)| chosen);
        self.add(&candidates[chosen], 1.0);
        chosen
    }

    /// Takes one of the candidates in place of a session that was chosen, if the sums become better, those of all
    /// sessions; returns its number. To the distances are added `more_before` and, of each candidate that might be
    /// better, `more_after`.
    pub(super) fn exchange(
        &mut self,
        chosen: &Counted,
        candidates: &[Counted],
        more_before: f64,
        more_after: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        self.add(chosen, -1.0);
        let requests: f64 = KINDS.map(|kind| self.ahead(kind)).sum();
        let distance = |counted: &Counted| {
            self.farther(counted) + ((requests + counted.requests()) * REQUEST_WEIGHT).powi(2)
        };
        let mut nearest = (distance(chosen) + more_before, None);
        // The nearest first: of what is too far already nothing more has to be known.
        let mut order: Vec<(f64, usize)> = candidates.iter().map(distance).zip(0..).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (distance, number) in order {
            if distance >= nearest.0 {
                break;
            }
            let distance = distance + more_after(number);
            if distance < nearest.0 {
                nearest = (distance, Some(number));
            }
        }
        self.add(nearest.1.map_or(chosen, |better| &candidates[better]), 1.0);
        nearest.1
    }

    /// How much farther from the mean the sums are with a session than without.
    fn farther(&self, session: &Counted) -> f64 {
        session.iter().map(|(sum, value)| value * (2.0 * self.ahead(sum) + value) * self.scale[sum]).sum()
    }

    fn add(&mut self, session: &Counted, sign: f64) {
        session.iter().for_each(|(sum, value)| self.sums[sum] += sign * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn session(rng: &mut Rng) -> Counted {
        let mut session = Counted::default();
        for _ in 0..rng.usize(1..30) {
            session.add(rng.usize(..SUMS), rng.u32(..4) as f32);
        }
        session
    }

    /// Squared distance of the sums of sessions from as many means, sum by sum.
    fn distance(sessions: &[&Counted], mean: &[f64], scale: &[f64]) -> f64 {
        let off = |i: usize| {
            let sum: f64 = sessions.iter().map(|session| f64::from(session.sums[i])).sum();
            (sum - sessions.len() as f64 * mean[i]).powi(2) * scale[i]
        };
        (0..SUMS).map(off).sum()
    }

    #[test]
    fn the_candidate_nearest_to_the_mean_of_all_is_chosen() {
        let rng = &mut Rng::with_seed(5);
        let trials: Vec<Counted> = (0..100).map(|_| session(rng)).collect();
        let mean = vec![0.4_f32; SUMS];
        let mut balance = Balance::new(&mean, &trials);
        let mean = vec![f64::from(0.4_f32); SUMS];
        let mut chosen: Vec<Counted> = Vec::new();
        for _ in 0..200 {
            let candidates: Vec<Counted> = (0..6).map(|_| session(rng)).collect();
            let with = |candidate| {
                let all: Vec<&Counted> = chosen.iter().chain([candidate]).collect();
                distance(&all, &mean, &balance.scale)
            };
            let distances: Vec<f64> = candidates.iter().map(with).collect();
            let best = balance.choose(&candidates);
            assert!(distances.iter().all(|&distance| distances[best] <= distance * (1.0 + 1e-9)));
            chosen.push(candidates[best].clone());
        }
    }

    #[test]
    fn sessions_are_exchanged_where_that_comes_nearer_to_the_trace() {
        let rng = &mut Rng::with_seed(6);
        let trials: Vec<Counted> = (0..100).map(|_| session(rng)).collect();
        let mean = vec![0.4_f32; SUMS];
        let mut balance = Balance::new(&mean, &trials);
        let mut chosen: Vec<Counted> = trials[..20].to_vec();
        chosen.iter().for_each(|session| balance.add(session, 1.0));
        balance.chosen = 20.0;
        let mean = vec![f64::from(0.4_f32); SUMS];
        let all = |sessions: &[Counted], scale: &[f64]| {
            let requests: f64 = sessions.iter().map(Counted::requests).sum();
            let wanted = KINDS.len() as f64 * mean[0] * sessions.len() as f64;
            distance(&sessions.iter().collect::<Vec<_>>(), &mean, scale)
                + ((requests - wanted) * REQUEST_WEIGHT).powi(2)
        };
        let mut exchanged = 0;
        for _ in 0..300 {
            let at = rng.usize(..chosen.len());
            let candidates: Vec<Counted> = (0..3).map(|_| session(rng)).collect();
            let before = all(&chosen, &balance.scale);
            let better = balance.exchange(&chosen[at], &candidates, 0.0, |_| 0.0);
            let with = |candidate: &Counted| {
                let mut chosen = chosen.clone();
                chosen[at] = candidate.clone();
                all(&chosen, &balance.scale)
            };
            let best = candidates.iter().map(with).fold(f64::INFINITY, f64::min);
            assert_eq!(better.is_some(), best < before);
            if let Some(better) = better {
                assert!(with(&candidates[better]) <= best + 1e-9);
                chosen[at] = candidates[better].clone();
                exchanged += 1;
            }
        }
        assert!((1..300).contains(&exchanged));
    }
}
