//! Hit rates estimated from a sample of blocks, in memory that does not grow.
//!
//! A block is in the sample if the hash of its id is below a threshold; when there are too many, the
//! threshold sinks and those above it are dropped (fixed-size SHARDS: Waldspurger, Park, Garthwaite,
//! Ahmad: Efficient MRC construction with SHARDS, FAST 2015). A block that is in the sample has been
//! in it since its first use, so its hits are known exactly, and so is its place in the LRU stack
//! relative to other sampled blocks; what lies between them is scaled by the sampling rate.
//!
//! Three things are known of prefix blocks that SHARDS does not use. First blocks are few and hot: they
//! are a stratum of their own, which is kept whole (*pinned*) as long as it fits. So are blocks that
//! were used often before the sample was full for the first time, when it held every block: long
//! system prompts are not subject to chance. And of the blocks that are more recent than a block,
//! those before it on its path are known, so only the others are estimated.
//!
//! Estimates are ratios: hits over uses in the sample, times the uses in the trace, which are counted.
//! Their standard errors come from sixteen independent parts of the sample (random groups; Wolter:
//! Introduction to variance estimation, 2007). Distances are numbers of sampled blocks, scaled, so blocks that are used
//! together share what is wrong with theirs, which the parts do not show. A second stack of half of the sampled blocks
//! does: by how much its estimates of finite caches differ from those of the whole sample is added to the error.

use std::collections::{HashMap, HashSet};

use crate::error::Invalid;
use crate::stats::accuracy::{Accuracy, Figure};
use crate::stats::cache::{CacheFigures, CacheOptions, CapacityRow, Hits, TargetRow};
use crate::stats::fenwick::Fenwick;
use crate::stats::figures::{Report, SampleFigures, StandardErrors};
use crate::stats::hit_count::HitCount;
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};
use crate::stats::totals::ratio;
use foldhash::fast::RandomState;

/// Parts of the sample from whose differences errors are estimated.
const PARTS: usize = 16;

/// Strata of the sample: first blocks; those that are pinned for being used often; all others.
const FIRST: usize = 0;
const OFTEN: usize = 1;
const OTHER: usize = 2;

/// Uses that pin a block when the sample is full for the first time.
const OFTEN_USES: u32 = 8;

/// A number with its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Estimate {
    value: f64,
    error: f64,
}

impl Estimate {
    fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, error: self.error.hypot(other.error) }
    }

    /// As a whole number.
    fn count(self) -> Figure<u64> {
        Figure::new(self.value.round() as u64, Accuracy::within(self.error))
    }

    /// As a share of `all`, whose error is known unless the share is 0.
    fn share(self, all: f64) -> Figure<Option<f64>> {
        let rate = ratio(self.value, all);
        let error = rate.filter(|&rate| rate > 0.0).map(|rate| rate * self.error / self.value);
        Figure::new(rate, Accuracy::Estimate { standard_error: error })
    }
}

/// A block of the sample.
struct Entry {
    hash: u64,
    place: u32,
    uses: u32,
    stratum: usize,
}

/// A block of the current request that is in the sample.
struct Found {
    id: u64,
    hash: u64,
    stratum: usize,
    position: u64,
}

/// Counts of one part of a stratum. A use counts as one over the sampling rate at its time.
#[derive(Clone, Default)]
struct Part {
    uses: f64,
    tokens: f64,
    hits: f64,
    hit_tokens: f64,
    /// Tokens after the warm-up.
    measured: f64,
    /// Hit tokens after the warm-up by distance in each stack.
    by_distance: [Vec<f64>; 2],
}

impl Part {
    /// Hit tokens of distances below that one.
    fn hit_tokens_below(&self, stack: usize, distance: f64) -> f64 {
        let below = |(bin, tokens): (usize, &f64)| {
            let (low, high) = (lower_edge(bin), lower_edge(bin + 1));
            tokens * ((distance - low) / (high - low)).clamp(0.0, 1.0)
        };
        self.by_distance[stack].iter().enumerate().map(below).sum()
    }
}

struct Stratum {
    threshold: u64,
    /// Blocks of it in the sample.
    len: usize,
    parts: Vec<Part>,
    /// Uses and tokens in the whole trace, and tokens after the warm-up.
    uses: u64,
    tokens: u128,
    measured: u128,
}

impl Stratum {
    fn new() -> Self {
        let parts = vec![Part::default(); PARTS];
        Self { threshold: u64::MAX, len: 0, parts, uses: 0, tokens: 0, measured: 0 }
    }

    /// Share of the blocks that are in the sample.
    fn share(&self) -> f64 {
        (self.threshold as f64 + 1.0) / (u64::MAX as f64 + 1.0)
    }

    /// Scales what the sample has of a quantity by what the trace has of `uses`.
    fn ratio(&self, total: f64, of: impl Fn(&Part) -> f64, uses: impl Fn(&Part) -> f64) -> Estimate {
        let sampled: f64 = self.parts.iter().map(&uses).sum();
        if sampled == 0.0 {
            return Estimate::default();
        }
        let ratio = self.parts.iter().map(&of).sum::<f64>() / sampled;
        let square = |part: &Part| (of(part) - ratio * uses(part)).powi(2);
        let n = PARTS as f64;
        let variance = self.parts.iter().map(square).sum::<f64>() * n / (n - 1.0) / (sampled * sampled);
        // A stratum that is in the sample as a whole has no error.
        let error = total * (variance * (1.0 - self.share())).sqrt();
        Estimate { value: total * ratio, error }
    }

    /// Scales a number of blocks in the sample.
    fn count(&self, blocks: usize) -> Estimate {
        let (n, share) = (blocks as f64, self.share());
        Estimate { value: n / share, error: (n * (1.0 - share)).sqrt() / share }
    }

    fn hit_tokens(&self) -> Estimate {
        self.ratio(self.tokens as f64, |part| part.hit_tokens, |part| part.tokens)
    }

    /// Hit tokens of an LRU cache of that many blocks.
    fn hit_tokens_at(&self, capacity: f64) -> Estimate {
        self.ratio(self.measured as f64, |part| part.hit_tokens_below(WHOLE, capacity), |part| part.measured)
    }

    /// The same by the second stack, with every so many of the parts.
    fn hit_tokens_by_half(&self, capacity: f64, step: usize) -> f64 {
        let parts = || self.parts.iter().step_by(step);
        let sampled: f64 = parts().map(|part| part.measured).sum();
        let hits: f64 = parts().map(|part| part.hit_tokens_below(HALF, capacity)).sum();
        ratio(self.measured as f64 * hits, sampled).unwrap_or(0.0)
    }
}

/// Bins of stack distances: single ones below 64, then 32 for each power of two.
fn bin(distance: f64) -> usize {
    if distance < 64.0 {
        return distance as usize;
    }
    let octave = (distance / 64.0).log2();
    64 + (octave * 32.0) as usize
}

/// The least distance in a bin.
fn lower_edge(bin: usize) -> f64 {
    if bin <= 64 { bin as f64 } else { 64.0 * 2_f64.powf((bin - 64) as f64 / 32.0) }
}

/// Stacks: of the whole sample, and of half of it.
const WHOLE: usize = 0;
const HALF: usize = 1;

/// Whether a block is in the second stack too. First blocks, a few of which may have most hits, and those that are
/// pinned all are.
fn is_in_half(hash: u64, stratum: usize) -> bool {
    stratum != OTHER || hash.is_multiple_of(2)
}

/// An LRU stack of sampled blocks, by stratum.
#[derive(Default)]
struct Stack {
    /// Which places hold a block of each stratum.
    places: [Fenwick; 3],
    len: [u32; 3],
}

impl Stack {
    /// Adds a place, and a block of `stratum` there if it is in this stack.
    fn push(&mut self, stratum: usize, is_in: bool) {
        for (of, places) in self.places.iter_mut().enumerate() {
            places.push(u32::from(is_in && of == stratum));
        }
        self.len[stratum] += u32::from(is_in);
    }

    /// Takes a block from its place.
    fn leave(&mut self, stratum: usize, place: u32) {
        self.places[stratum].subtract(place, 1);
        self.len[stratum] -= 1;
    }

    /// How many blocks of a stratum are more recent than a place.
    fn above(&self, stratum: usize, place: u32) -> f64 {
        f64::from(self.len[stratum]) - f64::from(self.places[stratum].sum_through(place))
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
/// OOPSLA 2014): the same sample on every machine.
fn hash(id: u64) -> u64 {
    let x = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Running sample of the blocks of a trace: at most some 100 bytes for each block in it.
pub(super) struct Sample {
    size: usize,
    count: HitCount,
    /// Caches to estimate.
    options: CacheOptions,
    /// References and tokens of requests with ids.
    blocks: u64,
    tokens: u128,
    /// Tokens of those after the warm-up.
    measured: u128,
    entries: HashMap<u64, Entry, RandomState>,
    strata: [Stratum; 3],
    /// The blocks of [`OFTEN`].
    often: HashSet<u64, RandomState>,
    stacks: [Stack; 2],
    places: u32,
    found: Vec<Found>,
}

impl Sample {
    /// An empty sample of at most `size` blocks.
    pub(super) fn new(size: usize, count: HitCount, options: &CacheOptions) -> Self {
        Self {
            size,
            count,
            options: options.clone(),
            blocks: 0,
            tokens: 0,
            measured: 0,
            entries: HashMap::default(),
            strata: [FIRST, OFTEN, OTHER].map(|_| Stratum::new()),
            often: HashSet::default(),
            stacks: Default::default(),
            places: 0,
            found: Vec::new(),
        }
    }

    /// Takes the next request of `length` tokens.
    fn request(&mut self, ids: &[u64], length: u64, measured: bool) {
        self.blocks += ids.len() as u64;
        self.tokens += u128::from(length);
        self.measured += if measured { u128::from(length) } else { 0 };
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        for (position, &id) in ids.iter().enumerate() {
            let (hash, position) = (hash(id), position as u64);
            let stratum = match position {
                0 => FIRST,
                _ if !self.often.is_empty() && self.often.contains(&id) => OFTEN,
                _ => OTHER,
            };
            let of = &mut self.strata[stratum];
            let tokens = (length - position * self.count.block_size).min(self.count.block_size);
            of.uses += 1;
            of.tokens += u128::from(tokens);
            of.measured += if measured { u128::from(tokens) } else { 0 };
            if hash <= of.threshold {
                found.push(Found { id, hash, stratum, position });
            }
        }
        self.measure(&found, length, measured);
        found.iter().rev().for_each(|found| self.touch(found));
        self.found = found;
        if self.entries.len() > self.size {
            self.make_room();
        }
        if self.places as usize > 2 * self.entries.len() + 1024 {
            self.compact();
        }
    }

    /// Counts the hits of a request before its blocks are used.
    fn measure(&mut self, found: &[Found], length: u64, measured: bool) {
        let limit = self.count.limit(length);
        let shares = [FIRST, OFTEN, OTHER].map(|stratum| self.strata[stratum].share());
        // Sampled blocks before this one on the path, in each stack.
        let mut before = [[0.0; 3]; 2];
        for block in found {
            let stratum = block.stratum;
            let start = block.position * self.count.block_size;
            let weight = 1.0 / shares[stratum];
            let tokens = (length - start).min(self.count.block_size) as f64 * weight;
            let part = &mut self.strata[stratum].parts[(block.hash % PARTS as u64) as usize];
            part.uses += weight;
            part.tokens += tokens;
            part.measured += if measured { tokens } else { 0.0 };
            if let Some(entry) = self.entries.get(&block.id)
                && block.position < limit
            {
                part.hits += weight;
                part.hit_tokens += tokens;
                let stacks = self.stacks.iter().enumerate().filter(|_| measured);
                for (which, stack) in stacks.take(1 + usize::from(is_in_half(block.hash, stratum))) {
                    let more_recent = |s: usize| {
                        let share = if which == HALF && s == OTHER { shares[s] / 2.0 } else { shares[s] };
                        (stack.above(s, entry.place) - before[which][s]).max(0.0) / share
                    };
                    let others: f64 = [FIRST, OFTEN, OTHER].map(more_recent).iter().sum();
                    let bin = bin(block.position as f64 + others);
                    let by_distance = &mut part.by_distance[which];
                    if bin >= by_distance.len() {
                        by_distance.resize(bin + 1, 0.0);
                    }
                    by_distance[bin] += tokens;
                }
            }
            before[WHOLE][stratum] += 1.0;
            before[HALF][stratum] += f64::from(u8::from(is_in_half(block.hash, stratum)));
        }
    }

    /// Makes a block the most recent one.
    fn touch(&mut self, block: &Found) {
        let place = self.places;
        let entry = self.entries.entry(block.id).or_insert_with(|| {
            self.strata[block.stratum].len += 1;
            Entry { hash: block.hash, place: u32::MAX, uses: 0, stratum: block.stratum }
        });
        let stratum = entry.stratum;
        for (which, stack) in self.stacks.iter_mut().enumerate() {
            let is_in = which == WHOLE || is_in_half(entry.hash, stratum);
            if is_in && entry.place != u32::MAX {
                stack.leave(stratum, entry.place);
            }
            stack.push(stratum, is_in);
        }
        entry.place = place;
        entry.uses = entry.uses.saturating_add(1);
        self.places += 1;
    }

    /// Drops an eighth of the stratum that has more than its share: half of the sample for first
    /// blocks, what is left for the others.
    fn make_room(&mut self) {
        if self.strata[OTHER].threshold == u64::MAX && self.often.is_empty() {
            self.pin();
        }
        let of = if self.strata[FIRST].len > self.size / 2 { FIRST } else { OTHER };
        let mut hashes: Vec<u64> =
            self.entries.values().filter(|e| e.stratum == of).map(|e| e.hash).collect();
        let keep = hashes.len() * 7 / 8;
        if keep == hashes.len() {
            return;
        }
        let (_, &mut threshold, _) = hashes.select_nth_unstable(keep);
        let [whole, half] = &mut self.stacks;
        let mut gone = 0;
        self.entries.retain(|_, entry| {
            let stays = entry.stratum != of || entry.hash < threshold;
            if !stays {
                whole.leave(of, entry.place);
                if is_in_half(entry.hash, of) {
                    half.leave(of, entry.place);
                }
                gone += 1;
            }
            stays
        });
        self.strata[of].len -= gone;
        self.strata[of].threshold = threshold.saturating_sub(1);
    }

    /// Pins the blocks that were used most, up to a quarter of the sample.
    fn pin(&mut self) {
        let others = self.entries.iter_mut().filter(|(_, entry)| entry.stratum == OTHER);
        let mut often: Vec<(&u64, &mut Entry)> = others.filter(|(_, e)| e.uses >= OFTEN_USES).collect();
        often.sort_unstable_by_key(|(id, entry)| (std::cmp::Reverse(entry.uses), **id));
        for (&id, entry) in often.into_iter().take(self.size / 4) {
            entry.stratum = OFTEN;
            self.often.insert(id);
            self.strata[OTHER].len -= 1;
            self.strata[OFTEN].len += 1;
        }
        self.compact();
    }

    /// Drops the places that have been left.
    fn compact(&mut self) {
        let mut order: Vec<&mut Entry> = self.entries.values_mut().collect();
        order.sort_unstable_by_key(|entry| entry.place);
        self.stacks = Default::default();
        for (place, entry) in order.iter_mut().enumerate() {
            entry.place = place as u32;
            for (which, stack) in self.stacks.iter_mut().enumerate() {
                stack.push(entry.stratum, which == WHOLE || is_in_half(entry.hash, entry.stratum));
            }
        }
        self.places = order.len() as u32;
    }

    /// The sum over the strata of an estimate for each.
    fn sum(&self, of: impl Fn(&Stratum) -> Estimate) -> Estimate {
        self.strata.iter().map(of).fold(Estimate::default(), Estimate::plus)
    }

    /// Hit tokens of an LRU cache of `capacity` blocks.
    fn hit_tokens_at(&self, capacity: u64) -> Estimate {
        let estimate = self.sum(|stratum| stratum.hit_tokens_at(capacity as f64));
        if self.strata.iter().all(|stratum| stratum.share() == 1.0) {
            return estimate;
        }
        // Only how hits are spread over distances is compared: how many there are, the parts know.
        let by_half = |capacity: f64| -> f64 {
            let strata = self.strata.iter().zip([1, 1, 2]);
            strata.map(|(stratum, step)| stratum.hit_tokens_by_half(capacity, step)).sum()
        };
        let all = self.sum(|stratum| stratum.hit_tokens_at(f64::MAX)).value;
        let share = ratio(by_half(capacity as f64), by_half(f64::MAX)).unwrap_or(0.0);
        estimate.plus(Estimate { value: 0.0, error: (share * all - estimate.value).abs() })
    }

    /// Distinct blocks.
    fn unique_blocks(&self) -> Estimate {
        self.sum(|stratum| stratum.count(stratum.len))
    }

    /// Blocks of each stratum that occur more than once.
    fn shared_blocks(&self) -> [Estimate; 3] {
        let mut repeated = [0; 3];
        for entry in self.entries.values().filter(|entry| entry.uses > 1) {
            repeated[entry.stratum] += 1;
        }
        [FIRST, OFTEN, OTHER].map(|stratum| self.strata[stratum].count(repeated[stratum]))
    }

    fn row(&self, policy: &'static str, capacity: u64, hits: Estimate) -> CapacityRow {
        let tokens = self.measured;
        // A ratio may come out a little above one.
        let in_blocks = self.strata.iter().map(|stratum| stratum.measured).sum();
        let hits_of_all = Hits { hit_tokens: (hits.value.round() as u128).min(in_blocks), tokens };
        CapacityRow {
            work: None,
            below_opt: None,
            refused_requests: None,
            refused_output_tokens: 0,
            cost: None,
            load: None,
            policy,
            capacity_blocks: capacity,
            capacity_tokens: self.options.tokens(capacity, self.count.block_size),
            capacity_bytes: self.options.bytes(capacity, self.count.block_size),
            hits: hits_of_all,
            accuracy: Accuracy::Estimate { standard_error: ratio(hits.error, tokens as f64) },
        }
    }

    /// The LRU caches asked for, and the infinite one.
    fn caches(&self) -> CacheFigures {
        let working_set = self.unique_blocks().value.round() as u64;
        let capacities = self.options.all_capacities(working_set);
        let rows = capacities.into_iter().map(|c| self.row("lru", c, self.hit_tokens_at(c))).collect();
        self.options.sort(rows, &self.row("infinite", working_set, self.hit_tokens_at(u64::MAX)))
    }

    /// The smallest LRU cache with `share` of the hits of an infinite one.
    fn target(&self, share: f64) -> TargetRow {
        // Sums of weights are not exact.
        let wanted = share * self.hit_tokens_at(u64::MAX).value * (1.0 - 1e-9);
        let (mut low, mut high) = (0, 1);
        while self.hit_tokens_at(high).value < wanted && high < 1 << 62 {
            (low, high) = (high, high * 2);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let enough = self.hit_tokens_at(middle).value >= wanted;
            (low, high) = if enough { (low, middle) } else { (middle, high) };
        }
        TargetRow { share, row: self.row("lru", high, self.hit_tokens_at(high)) }
    }
}

impl Statistic for Sample {
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if seen.blocks.is_some() {
            self.request(seen.ids, seen.input_length, seen.is_measured);
        }
        Ok(())
    }

    fn report(&self, _: &Known, report: &mut Report) {
        let shared = self.shared_blocks();
        let hits = |stratum: &Stratum| stratum.ratio(stratum.uses as f64, |p| p.hits, |p| p.uses);
        let cached = self.sum(Stratum::hit_tokens);
        report.unique_blocks = self.unique_blocks().count();
        report.shared_blocks = shared.into_iter().fold(Estimate::default(), Estimate::plus).count();
        report.prefix_groups = shared[FIRST].count();
        report.cached_tokens = Figure::new(u128::from(cached.count().value), Accuracy::within(cached.error));
        report.token_hit_rate = cached.share(self.tokens as f64);
        report.block_hit_rate = self.sum(hits).share(self.blocks as f64);
        if self.options.is_asked_for() {
            report.caches = Some(self.caches());
            report.targets.value = self.options.targets.iter().map(|&share| self.target(share)).collect();
            report.enough.value = self.options.enough.map(|share| self.target(share));
        }
        report.estimate = Some(SampleFigures {
            sampled_blocks: self.entries.len() as u64,
            first_block_share: self.strata[FIRST].share(),
            other_block_share: self.strata[OTHER].share(),
            standard_errors: StandardErrors {
                unique_blocks: report.unique_blocks.accuracy.standard_error(),
                shared_blocks: report.shared_blocks.accuracy.standard_error(),
                prefix_groups: report.prefix_groups.accuracy.standard_error(),
                cached_tokens: report.cached_tokens.accuracy.standard_error(),
                token_hit_rate: report.token_hit_rate.accuracy.standard_error(),
                block_hit_rate: report.block_hit_rate.accuracy.standard_error(),
            },
        });
    }
}
