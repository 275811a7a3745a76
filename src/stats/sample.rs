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
//! Introduction to variance estimation, 2007). To those of a finite cache comes what it would serve if it were
//! larger or smaller by as much as distances of that length scatter.

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
    /// Hit tokens after the warm-up by stack distance.
    by_distance: Vec<f64>,
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
        let below = |part: &Part| {
            let full = |(bin, tokens): (usize, &f64)| {
                let (low, high) = (lower_edge(bin), lower_edge(bin + 1));
                tokens * ((capacity - low) / (high - low)).clamp(0.0, 1.0)
            };
            part.by_distance.iter().enumerate().map(full).sum()
        };
        self.ratio(self.measured as f64, below, |part| part.measured)
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

/// How far estimated distances are from the true ones. They are numbers of blocks in the sample, scaled, and
/// blocks that are used together share what is wrong with them, which the parts of a sample do not show.
#[derive(Default)]
struct Scatter {
    /// For each bin of distances the sum of their variances, and of their weights.
    bins: Vec<(f64, f64)>,
}

impl Scatter {
    /// Bins on each side of a distance that tell of it: half as much and half as much again.
    const NEAR: usize = 16;

    fn add(&mut self, bin: usize, weight: f64, variance: f64) {
        if bin >= self.bins.len() {
            self.bins.resize(bin + 1, (0.0, 0.0));
        }
        self.bins[bin].0 += weight * variance;
        self.bins[bin].1 += weight;
    }

    /// The standard deviation of distances near that one; 0 if there are none.
    fn spread(&self, distance: f64) -> f64 {
        let middle = bin(distance);
        let near = self.bins.iter().take(middle + Self::NEAR + 1).skip(middle.saturating_sub(Self::NEAR));
        let (sum, weight) = near.fold((0.0, 0.0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1));
        if weight > 0.0 { (sum / weight).sqrt() } else { 0.0 }
    }
}

/// Adds a place that a block of `stratum` holds.
fn push(stacks: &mut [Fenwick; 3], stratum: usize) {
    for (of, stack) in stacks.iter_mut().enumerate() {
        stack.push(u32::from(of == stratum));
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
    entries: HashMap<u64, Entry, RandomState>,
    strata: [Stratum; 3],
    /// The blocks of [`OFTEN`].
    often: HashSet<u64, RandomState>,
    /// Which places of the stack hold a block of each stratum.
    stacks: [Fenwick; 3],
    places: u32,
    found: Vec<Found>,
    scatter: Scatter,
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
            entries: HashMap::default(),
            strata: [FIRST, OFTEN, OTHER].map(|_| Stratum::new()),
            often: HashSet::default(),
            stacks: Default::default(),
            places: 0,
            found: Vec::new(),
            scatter: Scatter::default(),
        }
    }

    /// Takes the next request of `length` tokens.
    fn request(&mut self, ids: &[u64], length: u64, measured: bool) {
        self.blocks += ids.len() as u64;
        self.tokens += u128::from(length);
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
        let in_stack = [FIRST, OFTEN, OTHER].map(|stratum| self.strata[stratum].len as f64);
        // Sampled blocks before this one on the path.
        let mut before = [0.0; 3];
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
                if measured {
                    let more_recent = |s: usize| {
                        let after = in_stack[s] - f64::from(self.stacks[s].sum_through(entry.place));
                        (after - before[s]).max(0.0) / shares[s]
                    };
                    let others = [FIRST, OFTEN, OTHER].map(more_recent);
                    let variance = |(n, share): (&f64, f64)| n * (1.0 - share) / share;
                    let variance = others.iter().zip(shares).map(variance).sum();
                    let others: f64 = others.iter().sum();
                    let distance = block.position as f64 + others;
                    let bin = bin(distance);
                    self.scatter.add(bin, tokens, variance);
                    if bin >= part.by_distance.len() {
                        part.by_distance.resize(bin + 1, 0.0);
                    }
                    part.by_distance[bin] += tokens;
                }
            }
            before[stratum] += 1.0;
        }
    }

    /// Makes a block the most recent one.
    fn touch(&mut self, block: &Found) {
        let place = self.places;
        let entry = self.entries.entry(block.id).or_insert_with(|| {
            self.strata[block.stratum].len += 1;
            Entry { hash: block.hash, place: u32::MAX, uses: 0, stratum: block.stratum }
        });
        if entry.place != u32::MAX {
            self.stacks[entry.stratum].subtract(entry.place, 1);
        }
        entry.place = place;
        entry.uses = entry.uses.saturating_add(1);
        push(&mut self.stacks, entry.stratum);
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
        let stack = &mut self.stacks[of];
        let mut gone = 0;
        self.entries.retain(|_, entry| {
            let stays = entry.stratum != of || entry.hash < threshold;
            if !stays {
                stack.subtract(entry.place, 1);
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
            push(&mut self.stacks, entry.stratum);
        }
        self.places = order.len() as u32;
    }

    /// The sum over the strata of an estimate for each.
    fn sum(&self, of: impl Fn(&Stratum) -> Estimate) -> Estimate {
        self.strata.iter().map(of).fold(Estimate::default(), Estimate::plus)
    }

    /// Hit tokens of an LRU cache of `capacity` blocks.
    fn hit_tokens_at(&self, capacity: u64) -> Estimate {
        let at = |capacity: f64| self.sum(|stratum| stratum.hit_tokens_at(capacity));
        let (capacity, estimate) = (capacity as f64, at(capacity as f64));
        let spread = self.scatter.spread(capacity);
        let (less, more) = (at((capacity - spread).max(0.0)), at(capacity + spread));
        estimate.plus(Estimate { value: 0.0, error: (more.value - less.value) / 2.0 })
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
        let tokens = self.strata.iter().map(|stratum| stratum.measured).sum();
        // A ratio may come out a little above one.
        let hits_of_all = Hits { hit_tokens: (hits.value.round() as u128).min(tokens), tokens };
        CapacityRow {
            work: None,
            below_opt: None,
            refused_requests: None,
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
