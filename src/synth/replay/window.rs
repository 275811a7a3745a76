//! How far sessions may move: found by trying.
//!
//! The wider the window of the shuffle, the less a synthetic trace repeats the original. But a window
//! wider than the time over which traffic changes blurs what a cache sees: a document that is asked
//! about fifty times within a minute is not one that is asked about fifty times a day. How long that
//! time is, the trace itself tells: synthetic traces are drawn with windows from wide to narrow, and
//! the widest one is taken with which hit rates and reuse times cannot be told from the original's.
//!
//! The measures are quick to compute. For a cache: how many blocks were new between two uses of a
//! block, the main part of its stack distance, weighted by tokens; its distribution is nearly the
//! curve of the hit rate over the capacity. For time: the milliseconds since the deepest known block
//! was last used.

use fastrand::Rng;

use super::generator::ReplayGenerator;
use super::model::ReplayModel;
use crate::record::LengthRange;
use crate::synth::forest::Forest;
use crate::synth::request::{Span, SyntheticRequest};

/// Windows to try, as shares of the requests, and then in requests.
const SHARES: [f64; 5] = [0.03, 0.015, 0.007, 0.003, 0.001];
const PLACES: [f64; 3] = [8.0, 3.0, 1.0];

/// Differences up to these do not count: of the hit rate at any capacity, of the distribution of times.
const CACHE_TOLERANCE: f64 = 0.006;
const TIME_TOLERANCE: f64 = 0.015;

/// A window is nearly as good as the best if its differences are at most so many times as large.
const NEARLY: f64 = 1.15;

/// Caches that hold fewer requests than this, of the mean length, are ignored.
const LEAST_CACHE: f64 = 8.0;

/// Bins of the distributions per doubling.
const CACHE_BINS: f64 = 4.0;
const TIME_BINS: f64 = 8.0;

/// Requests that are compared.
const SAMPLE: usize = 100_000;

/// Seed of the trials: a model depends on the trace alone.
const TRIAL_SEED: u64 = 1;

/// The widest window, in places, whose traces cannot be told from the original; if there is none, the
/// widest that is nearly as good as the best.
pub(super) fn find(model: &ReplayModel, forest: &Forest) -> f64 {
    let requests = model.turns.len() as f64;
    if !forest.has_ids() {
        return SHARES[0] * requests;
    }
    let original = Profile::of_original(forest);
    let shares = SHARES.iter().map(|share| share * requests).filter(|&window| window > PLACES[0]);
    let mut tried = Vec::new();
    for window in shares.chain(PLACES) {
        let mut trial = model.clone();
        trial.window = window;
        let (cache, time) = original.distance(&Profile::of_synthetic(trial, forest));
        let badness = (cache / CACHE_TOLERANCE).max(time / TIME_TOLERANCE);
        if badness <= 1.0 {
            return window;
        }
        tried.push((window, badness));
    }
    let best = tried.iter().fold(f64::INFINITY, |best, &(_, badness)| best.min(badness));
    tried.iter().find(|&&(_, badness)| badness <= NEARLY * best).map_or(0.0, |&(window, _)| window)
}

/// What a cache sees of a trace.
#[derive(Default)]
struct Profile {
    /// Tokens of known blocks by the number of new blocks since their last use.
    cached: Vec<u64>,
    tokens: u64,
    blocks: u64,
    /// Requests by the time since the last use of their deepest known block.
    reused: Vec<u64>,
    /// Request that used each block last.
    last: Vec<u32>,
    /// Distinct blocks before each request, and its arrival.
    before: Vec<(u32, f64)>,
}

impl Profile {
    fn of_original(forest: &Forest) -> Self {
        let mut profile = Self::default();
        let mut spans = Vec::new();
        let mut now = 0.0;
        for (request, i) in forest.requests.iter().zip(0..).take(SAMPLE) {
            forest.path(request, &mut spans);
            now += forest.gaps.get(i).copied().unwrap_or(1.0);
            profile.add(&spans, forest.block_size, request.tail, now);
        }
        profile
    }

    fn of_synthetic(model: ReplayModel, forest: &Forest) -> Self {
        let mut profile = Self::default();
        let mut rng = Rng::with_seed(TRIAL_SEED);
        let (mut request, limits) = (SyntheticRequest::default(), LengthRange::default());
        let mut now = 0.0;
        let timed = !model.gaps.is_empty();
        let mut generator = ReplayGenerator::new(model, forest.block_size, 1);
        for _ in 0..forest.requests.len().min(SAMPLE) {
            now += if timed { generator.draw_gap(&mut rng) } else { 1.0 };
            // Without limits there is always a request.
            if generator.draw(&mut rng, limits, &mut request).is_err() {
                break;
            }
            let tail = request.input_length - request.blocks().saturating_sub(1) * forest.block_size;
            profile.add(&request.spans, forest.block_size, tail as u32, now);
        }
        profile
    }

    /// Takes a request whose blocks are numbered in the order of first appearance.
    fn add(&mut self, spans: &[Span], block_size: u64, tail: u32, now: f64) {
        let index = self.before.len() as u32;
        let known = self.last.len();
        let total: u64 = spans.iter().map(|span| u64::from(span.len)).sum();
        self.before.push((known as u32, now));
        self.blocks += total;
        self.tokens += total.saturating_sub(1) * block_size + u64::from(tail);
        let (mut left, mut deepest) = (total, None);
        let (mut from, mut bin) = (u32::MAX, 0);
        for span in spans {
            let (start, end) = (span.start as usize, span.start as usize + span.len as usize);
            for last in &mut self.last[start.min(known)..end.min(known)] {
                // Neighbouring blocks were mostly last used together.
                if *last != from {
                    from = *last;
                    bin = scale(f64::from(known as u32 - self.before[from as usize].0), CACHE_BINS);
                }
                left -= 1;
                count(&mut self.cached, bin, if left == 0 { u64::from(tail) } else { block_size });
                *last = index;
                deepest = Some(from);
            }
            self.last.resize(self.last.len().max(end), index);
        }
        if let Some(deepest) = deepest {
            count(&mut self.reused, scale(now - self.before[deepest as usize].1, TIME_BINS), 1);
        }
    }

    /// Largest differences of the two distributions.
    fn distance(&self, other: &Self) -> (f64, f64) {
        let all = |bins: &[u64]| bins.iter().sum::<u64>();
        let mean = self.blocks as f64 / (self.before.len() as f64).max(1.0);
        let least = scale(LEAST_CACHE * mean, CACHE_BINS);
        (
            gap(&self.cached, self.tokens, &other.cached, other.tokens, least),
            gap(&self.reused, all(&self.reused), &other.reused, all(&other.reused), 0),
        )
    }
}

fn count(bins: &mut Vec<u64>, bin: usize, weight: u64) {
    if bins.len() <= bin {
        bins.resize(bin + 1, 0);
    }
    bins[bin] += weight;
}

/// Bin of a value on a logarithmic scale.
fn scale(value: f64, bins_per_octave: f64) -> usize {
    ((value.max(0.0) + 1.0).log2() * bins_per_octave) as usize
}

/// Largest difference of two cumulated shares, from `first_bin` on.
fn gap(a: &[u64], a_total: u64, b: &[u64], b_total: u64, first_bin: usize) -> f64 {
    let (mut worst, mut a_sum, mut b_sum) = (0.0_f64, 0, 0);
    for bin in 0..a.len().max(b.len()) {
        a_sum += a.get(bin).copied().unwrap_or(0);
        b_sum += b.get(bin).copied().unwrap_or(0);
        let share = |sum: u64, total: u64| sum as f64 / total.max(1) as f64;
        if bin >= first_bin {
            worst = worst.max((share(a_sum, a_total) - share(b_sum, b_total)).abs());
        }
    }
    worst
}
