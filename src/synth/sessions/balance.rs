//! Keeping sums near those of the model.
//!
//! Of several candidates for a session, the one is taken after which the sums of what has been drawn are
//! nearest to as many mean sessions (herding, Welling 2009). The sums count requests by length, output, kind,
//! turn, growth, delay, prefix, number in their session and time, tokens by delay and time, and sessions that are
//! active at a time: how many of them share a cache. Where a pass has few sessions, there is not enough choice
//! for that, so sessions are exchanged for better ones afterwards.

use serde::{Deserialize, Serialize};

use super::reuse::Reuse;
use super::state::{Kind, State, log, signed_log};

/// Groups of sums: by input length, output length, kind, turn, growth less output; cached tokens and requests
/// by delay; all tokens and new tokens; requests by number in their session; requests, tokens and active sessions
/// by place in the pass; requests by prefix.
const SIZES: [usize; 13] = [12, 8, 5, 6, 8, 12, 12, 1, 1, 5, PLACES, PLACES, PLACES];
const PLACES: usize = 20;
/// Sums by kind, which are all requests.
const KINDS: std::ops::Range<usize> = 20..25;
/// What a request too many or too few counts for, in standard deviations of other sums.
const REQUEST_WEIGHT: f64 = 0.3;
const PREFIXES: usize = 64;
/// Sums without those by place, and all of them.
const UNTIMED_END: usize = 70;
const TIMED_END: usize = UNTIMED_END + 3 * PLACES;
pub(super) const SUMS: usize = TIMED_END + PREFIXES;

/// Turns at which groups of turns begin.
const TURNS: [u32; 5] = [2, 3, 4, 7, 16];

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
    pub(super) fn is_valid(&self) -> bool {
        let most = [12, 8, 12, 8, PLACES];
        self.bounds.iter().zip(most).all(|(bounds, most)| bounds.len() < most)
            && self.per_session.len() == SUMS
            && self.per_session.iter().all(|sum| sum.is_finite() && *sum >= 0.0)
            && self.reuse.is_valid()
    }

    /// Adds a request to the sums of its session. It has so many before it in the session, and `place` is the part
    /// of the pass in which it comes, from 0 to 1.
    pub(super) fn add(&self, state: &State, block_size: u64, before: usize, place: f64, sums: &mut [f32]) {
        let group = |bounds: &[f32], value: f32| bounds.partition_point(|&bound| bound < value);
        let [inputs, outputs, delays, growths, places] = &self.bounds;
        let mut start = 0;
        let mut next = |size: usize| {
            start += size;
            start - size
        };
        let starts: [usize; 13] = std::array::from_fn(|i| next(SIZES[i]));
        let blocks = block_size as f32;
        let cached = (u64::from(state.shared) * block_size).min(state.input) as f32 / blocks;
        sums[starts[0] + group(inputs, log(state.input))] += 1.0;
        sums[starts[1] + group(outputs, log(state.output))] += 1.0;
        sums[starts[2] + state.kind as usize] += 1.0;
        if !matches!(state.kind, Kind::Document | Kind::Fork) {
            sums[starts[3] + TURNS.partition_point(|&turn| turn <= state.turn)] += 1.0;
        }
        if state.kind == Kind::Next {
            sums[starts[4] + group(growths, signed_log(state.growth_less_output))] += 1.0;
        }
        if state.kind != Kind::Start {
            let delay = group(delays, state.log_delay);
            sums[starts[5] + delay] += cached;
            sums[starts[6] + delay] += 1.0;
        }
        sums[starts[7]] += state.input as f32 / blocks;
        sums[starts[8]] += state.new_tokens(block_size).max(0) as f32 / blocks;
        sums[starts[9] + NUMBERS.partition_point(|&number| number <= before)] += 1.0;
        let place = group(places, place as f32);
        sums[starts[10] + place] += 1.0;
        sums[starts[11] + place] += state.input as f32 / blocks;
        sums[starts[12] + place] = 1.0;
    }

    /// Adds requests with a prefix of this rank.
    pub(super) fn add_prefix(prefix: usize, requests: usize, sums: &mut [f32]) {
        if prefix < PREFIXES {
            sums[TIMED_END + prefix] += requests as f32;
        }
    }
}

/// Chooses among candidates.
pub(super) struct Balance {
    /// Mean sums per session: those of the trace, or of all candidates so far.
    mean: Vec<f64>,
    /// One over the standard deviation of each sum.
    scale: Vec<f64>,
    /// Sums of what was chosen less as many means.
    ahead: Vec<f64>,
    chosen: f64,
    /// Sums of all candidates, and their number, where they tell the mean.
    seen: Option<(Vec<f64>, f64)>,
}

impl Balance {
    /// Learns from trial candidates how much each sum varies. The mean is that of `per_session`, or, without,
    /// that of the candidates; then sums by place do not matter.
    pub(super) fn new(per_session: Option<&[f32]>, trials: &[Vec<f32>]) -> Self {
        let count = trials.len().max(1) as f64;
        let mut sums = vec![0.0; SUMS];
        let mut squares = vec![0.0; SUMS];
        for trial in trials {
            for ((sum, square), &value) in sums.iter_mut().zip(&mut squares).zip(trial) {
                *sum += f64::from(value);
                *square += f64::from(value) * f64::from(value);
            }
        }
        let own_mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let mean =
            per_session.map_or_else(|| own_mean.clone(), |sums| sums.iter().map(|&s| f64::from(s)).collect());
        let mut scale: Vec<f64> = squares
            .iter()
            .zip(&own_mean)
            .map(|(square, mean)| {
                let variance = square / count - mean * mean;
                if variance > 1e-9 { 1.0 / variance.sqrt() } else { 0.0 }
            })
            .collect();
        for (i, scale) in scale.iter_mut().enumerate() {
            let timed = (UNTIMED_END..TIMED_END).contains(&i);
            if per_session.is_some_and(|sums| sums[i] <= 0.0) || (timed && per_session.is_none()) {
                *scale = 0.0;
            }
        }
        let seen = per_session.is_none().then_some((sums, count));
        Self { mean, scale, ahead: vec![0.0; SUMS], chosen: 0.0, seen }
    }

    /// The number of the candidate with the best sums.
    pub(super) fn choose(&mut self, candidates: &[Vec<f32>]) -> usize {
        if let Some((sums, count)) = &mut self.seen {
            for candidate in candidates {
                sums.iter_mut().zip(candidate).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            *count += candidates.len() as f64;
            for ((mean, sum), ahead) in self.mean.iter_mut().zip(sums).zip(&mut self.ahead) {
                let new = *sum / *count;
                *ahead += (*mean - new) * self.chosen;
                *mean = new;
            }
        }
        self.ahead.iter_mut().zip(&self.mean).for_each(|(ahead, mean)| *ahead -= mean);
        let (chosen, _) = self.nearest(candidates, |_, _| 0.0);
        self.add(&candidates[chosen]);
        self.chosen += 1.0;
        chosen
    }

    /// Takes one of the candidates in place of a session that was chosen, if the sums become better, those of all
    /// sessions; returns its number. To the distances are added that of `more_before` and, of each candidate,
    /// `more_after`.
    pub(super) fn exchange(
        &mut self,
        chosen: &[f32],
        candidates: &[Vec<f32>],
        more_before: f64,
        more_after: &[f64],
    ) -> Option<usize> {
        let distance = |ahead: &[f64], scale: &[f64]| -> f64 {
            ahead.iter().zip(scale).map(|(ahead, scale)| (ahead * scale).powi(2)).sum()
        };
        let all = |ahead: &[f64]| (ahead[KINDS].iter().sum::<f64>() * REQUEST_WEIGHT).powi(2);
        let before = distance(&self.ahead, &self.scale) + all(&self.ahead) + more_before;
        self.ahead.iter_mut().zip(chosen).for_each(|(ahead, &value)| *ahead -= f64::from(value));
        let requests: f64 = self.ahead[KINDS].iter().sum();
        let (best, after) = self.nearest(candidates, |number, candidate| {
            let more: f64 = candidate[KINDS].iter().map(|&value| f64::from(value)).sum();
            ((requests + more) * REQUEST_WEIGHT).powi(2) + more_after[number]
        });
        let is_better = after < before;
        self.add(if is_better { &candidates[best] } else { chosen });
        is_better.then_some(best)
    }

    /// The candidate with the smallest distance, which `more` is added to.
    fn nearest(&self, candidates: &[Vec<f32>], more: impl Fn(usize, &[f32]) -> f64) -> (usize, f64) {
        let mut best = (0, f64::INFINITY);
        for (i, candidate) in candidates.iter().enumerate() {
            let parts = self.ahead.iter().zip(candidate).zip(&self.scale);
            let off =
                |((ahead, &value), scale): ((&f64, &f32), &f64)| ((ahead + f64::from(value)) * scale).powi(2);
            let distance = parts.map(off).sum::<f64>() + more(i, candidate);
            if distance < best.1 {
                best = (i, distance);
            }
        }
        best
    }

    fn add(&mut self, sums: &[f32]) {
        self.ahead.iter_mut().zip(sums).for_each(|(ahead, &value)| *ahead += f64::from(value));
    }
}
