//! Caches whose blocks expire, without a limit or with one.
//!
//! Where the time to live counts from the last use, blocks expire from the bottom of the LRU stack: a cache of C
//! blocks has those with a distance below C whose last use is not too long ago. So all capacities come from one
//! pass, for each time to live.
//!
//! Where it counts from the write, a block lives no longer however often it is used: a prefix is found as far as
//! its blocks are there and none has expired; the rest is computed and written anew. When a block was written
//! depends on what was found before, so each time and capacity has times of its own for all blocks.

use crate::blocks::{BlockNumber, NumberRun, reserve};
use crate::fleet::Run;
use crate::stats::cache::figures::{Hits, PrefillWork, TtlRow};
use crate::stats::cache::lifetime::Ttl;
use crate::stats::cache::options::CacheOptions;
use crate::stats::cache::sized_hits::SizedHits;
use crate::stats::cache::stack::{Retained, StackRun};
use crate::stats::hit_count::{HitCount, Tally};
use crate::stats::seen::Seen;

/// Hits of caches of all sizes whose blocks expire some time after their last use.
pub(super) struct Expiring {
    ttl: u64,
    /// Without a limit.
    hits: Tally,
    /// With one, if any is asked for.
    sized: Option<SizedHits>,
}

impl Expiring {
    /// No request yet. Only times to live that count from the last use are of this kind.
    pub(super) fn all(options: &CacheOptions, count: HitCount) -> Vec<Self> {
        let has_sizes = options.curve || !options.capacities.is_empty();
        let sized = || has_sizes.then(|| SizedHits::new(count, &options.capacities, options.curve));
        let new = |ttl: &Ttl| Self { ttl: ttl.ms(), hits: Tally::default(), sized: sized() };
        options.ttls.iter().filter(|ttl| !ttl.is_fixed()).map(new).collect()
    }

    /// Counts the hits of a request of `length` tokens at `now`, whose known prefix falls into `runs`; gives those of
    /// a cache without limit.
    pub(super) fn measure(
        &mut self,
        runs: impl Iterator<Item = Run> + Clone,
        now: f64,
        length: u64,
        count: HitCount,
    ) -> u64 {
        let alive = runs.take_while(|run| now - run.used <= self.ttl as f64);
        let blocks: u64 = alive.clone().map(|run| u64::from(run.len)).sum();
        let tokens = count.tokens(blocks, length);
        self.hits.add(tokens, count);
        if let Some(sized) = &mut self.sized {
            let distances = alive.map(|run| (run.len, run.distance));
            sized.measure(distances, blocks.min(count.limit(length)) as u32, tokens, length);
        }
        tokens
    }

    /// Bytes of hits by distance.
    pub(super) fn bytes(&self) -> usize {
        self.sized.as_ref().map_or(0, SizedHits::bytes)
    }

    /// What a cache without a limit served, and then those of the capacities.
    pub(super) fn rows(&self, capacities: &[u64]) -> impl Iterator<Item = (Option<u64>, Tally)> {
        let limited = self.sized.as_ref().map_or_else(Vec::new, |hits| hits.at(capacities));
        let limited = capacities.iter().copied().map(Some).zip(limited).collect::<Vec<_>>();
        std::iter::once((None, self.hits)).chain(limited)
    }
}

/// A cache whose blocks expire some time after their write.
struct Written {
    ttl: u64,
    capacity: Option<u64>,
    hits: Tally,
    /// When each block was written.
    times: Vec<f64>,
}

impl Written {
    /// How many of the first blocks are found, of which `distances` are known. All others are written.
    fn access(
        &mut self,
        blocks: impl Iterator<Item = BlockNumber> + Clone,
        distances: impl Iterator<Item = u32>,
        now: f64,
    ) -> u64 {
        let is_there = |&(block, distance): &(BlockNumber, u32)| {
            let is_held = self.capacity.is_none_or(|capacity| u64::from(distance) < capacity);
            is_held && now - self.times[block as usize] <= self.ttl as f64
        };
        let found = blocks.clone().zip(distances).take_while(is_there).count();
        for block in blocks.skip(found) {
            self.times[block as usize] = now;
        }
        found as u64
    }
}

/// Hits by time to live. Memory: 8 bytes per request, and 8 per block for each time to live from the write and
/// each capacity with it.
pub(super) struct TimesToLive {
    count: HitCount,
    /// As asked for.
    ttls: Vec<Ttl>,
    expiring: Vec<Expiring>,
    /// The hits of each of these without a limit in requests whose server recorded its own hits.
    recorded_hits: Vec<u128>,
    /// By time to live, then by capacity.
    written: Vec<Written>,
    /// Arrival of each request in the numbering of the LRU stack.
    times: Vec<f64>,
}

impl TimesToLive {
    /// No request yet.
    pub(super) fn new(options: &CacheOptions, count: HitCount) -> Self {
        let capacities: Vec<_> =
            std::iter::once(None).chain(options.capacities.iter().copied().map(Some)).collect();
        let written = |ttl: &Ttl| {
            let cache =
                |&capacity| Written { ttl: ttl.ms(), capacity, hits: Tally::default(), times: Vec::new() };
            capacities.iter().map(cache).collect::<Vec<_>>()
        };
        let expiring = Expiring::all(options, count);
        Self {
            count,
            ttls: options.ttls.clone(),
            recorded_hits: vec![0; expiring.len()],
            expiring,
            written: options.ttls.iter().filter(|ttl| ttl.is_fixed()).flat_map(written).collect(),
            times: Vec::new(),
        }
    }

    /// Takes the next request, whose blocks are these and whose known prefix falls into `runs`; there are `all`
    /// blocks by now.
    pub(super) fn access(&mut self, seen: &Seen, blocks: &[NumberRun], runs: &[StackRun], all: u64) {
        if self.ttls.is_empty() {
            return;
        }
        // Trace time never is less than zero, as for routers.
        let now = seen.now.max(0.0);
        if seen.is_measured {
            let runs =
                runs.iter().map(|run| Run::new(run.len, run.distance, self.times[run.request as usize]));
            for (expiring, recorded) in self.expiring.iter_mut().zip(&mut self.recorded_hits) {
                let tokens = expiring.measure(runs.clone(), now, seen.input_length, self.count);
                *recorded += if seen.recorded.is_some() { u128::from(tokens) } else { 0 };
            }
        }
        for cache in &mut self.written {
            let distances = runs.iter().flat_map(|run| run.distance..run.distance + run.len);
            // A block behind one that is gone is no hit.
            let distances = distances.scan(0, |most, distance| {
                *most = distance.max(*most);
                Some(*most)
            });
            let more = (all as usize).saturating_sub(cache.times.len());
            reserve(&mut cache.times, more);
            cache.times.resize(all as usize, 0.0);
            let found = cache.access(blocks.iter().flat_map(|run| run.blocks()), distances, now);
            if seen.is_measured {
                cache.hits.add(self.count.tokens(found, seen.input_length), self.count);
            }
        }
        self.times.push(now);
    }

    /// Goes on with the blocks and requests that are kept.
    pub(super) fn retain(&mut self, retained: &Retained) {
        if !self.ttls.is_empty() {
            retained.requests.compact(&mut self.times);
        }
        self.written.iter_mut().for_each(|cache| retained.blocks.compact(&mut cache.times));
    }

    /// Bytes in use for blocks and requests.
    pub(super) fn bytes(&self) -> usize {
        8 * (self.times.len() + self.written.iter().map(|cache| cache.times.len()).sum::<usize>())
    }

    /// Bytes of hits by distance.
    pub(super) fn curve_bytes(&self) -> usize {
        self.expiring.iter().map(Expiring::bytes).sum()
    }

    /// The hits so far of requests whose server recorded its own, without a limit, by time to live since the last use
    /// in milliseconds.
    pub(super) fn recorded_hits(&self) -> impl Iterator<Item = (u64, u128)> + '_ {
        let ttls = self.ttls.iter().filter(|ttl| !ttl.is_fixed()).map(|ttl| ttl.ms());
        ttls.zip(self.recorded_hits.iter().copied())
    }

    /// The hits so far, of `all` prompts: for each time to live those of a cache without limit, and then at rising
    /// capacities.
    pub(super) fn rows(
        &self,
        all: Tally,
        capacities: &[u64],
        bytes: impl Fn(u64) -> Option<u128>,
    ) -> Vec<TtlRow> {
        let (mut expiring, mut written) = (self.expiring.iter(), self.written.iter().peekable());
        let mut rows = Vec::new();
        for &ttl in &self.ttls {
            let mut row = |capacity: Option<u64>, hits: Tally| {
                rows.push(TtlRow {
                    ttl_ms: ttl.ms(),
                    fixed: ttl.is_fixed(),
                    capacity_blocks: capacity,
                    capacity_bytes: capacity.and_then(&bytes),
                    hits: Hits { hit_tokens: hits.tokens, tokens: all.tokens },
                    work: self.count.prefill.map(|_| PrefillWork::new(all.flops, hits.flops)),
                    cost: None,
                });
            };
            if ttl.is_fixed() {
                let mut is_first = true;
                while let Some(cache) = written.next_if(|c| is_first || c.capacity.is_some()) {
                    row(cache.capacity, cache.hits);
                    is_first = false;
                }
            } else if let Some(expiring) = expiring.next() {
                expiring.rows(capacities).for_each(|(capacity, hits)| row(capacity, hits));
            }
        }
        rows
    }
}
