//! Hit rates of finite caches: LRU at every capacity, caches with a time to live, and other policies
//! at chosen capacities, all in the one pass.

use std::collections::BTreeMap;

use crate::blocks::BlockNumber;
use crate::stats::optimal::History;
use crate::stats::policy::{Ladder, Policy, Simulation};
use crate::stats::recency::{Kept, reserve};
use crate::stats::stack::{LruStack, Run};

/// Which blocks of a request count as hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HitRule {
    /// Every cached block, as in the reference.
    #[default]
    Reference,
    /// As serving engines count: full blocks only, and at least one token is always computed.
    Engine,
}

impl HitRule {
    /// How many of the blocks of a request of `length` tokens may count.
    pub(super) fn limit(self, length: u64, block_size: u64) -> u64 {
        match self {
            Self::Reference => u64::MAX,
            Self::Engine => length.saturating_sub(1) / block_size,
        }
    }
}

/// Which finite caches are studied.
#[derive(Clone, Debug, Default)]
pub struct CacheOptions {
    /// Policies to report at each capacity; LRU if empty.
    pub policies: Vec<Policy>,
    /// Capacities to report, in blocks.
    pub capacities: Vec<u64>,
    /// Whether to report about 60 capacities up to the working set.
    pub curve: bool,
    /// Whether to report the same apart from what else is asked for, as [`CacheFigures::curve`].
    pub picture: bool,
    /// Shares of the infinite cache's hits to find the smallest LRU cache for.
    pub targets: Vec<f64>,
    /// Times to live of otherwise unbounded caches, in milliseconds.
    pub ttls: Vec<u64>,
    /// Requests that fill the caches before the measure begins.
    pub warmup: u64,
    /// Bytes of KV cache per token, to give capacities in bytes.
    pub kv_bytes_per_token: Option<u64>,
}

impl CacheOptions {
    /// Whether any finite cache is asked for.
    pub(super) fn is_asked_for(&self) -> bool {
        self.picture || self.has_rows()
    }

    /// Whether there is more than a picture.
    fn has_rows(&self) -> bool {
        self.curve || !self.capacities.is_empty() || !self.targets.is_empty() || !self.ttls.is_empty()
    }

    /// The capacities asked for and those of the curve, rising.
    pub(super) fn all_capacities(&self, working_set: u64) -> Vec<u64> {
        let mut capacities = self.capacities.clone();
        if self.curve || self.picture {
            capacities.extend(log_spaced(working_set));
        }
        capacities.sort_unstable();
        capacities.dedup();
        capacities
    }

    /// Sorts rows into those asked for and those of the picture, of which a row may be either or both.
    /// `capacity` gets the infinite cache at its end.
    pub(super) fn sort(&self, rows: Vec<CapacityRow>, infinite: CapacityRow) -> CacheFigures {
        let curve = if self.picture { rows.clone() } else { Vec::new() };
        let named = |row: &CapacityRow| self.curve || self.capacities.contains(&row.capacity_blocks);
        let mut capacity: Vec<_> = rows.into_iter().filter(named).collect();
        if self.has_rows() {
            capacity.push(infinite);
        }
        CacheFigures { capacity, curve, infinite, targets: Vec::new(), ttls: Vec::new() }
    }

    /// A row of the report.
    pub(super) fn row(&self, policy: &'static str, blocks: u64, block_size: u64, hits: Hits) -> CapacityRow {
        let bytes = |token: u64| u128::from(blocks) * u128::from(block_size) * u128::from(token);
        CapacityRow {
            policy,
            capacity_blocks: blocks,
            capacity_bytes: self.kv_bytes_per_token.map(bytes),
            hits,
            hit_tokens_error: None,
        }
    }
}

/// Hits of a cache over the measured requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Prompt tokens served from the cache.
    pub hit_tokens: u128,
    /// All prompt tokens.
    pub tokens: u128,
}

impl Hits {
    /// Share of the prompt tokens that are served, or `None` without any.
    pub fn rate(self) -> Option<f64> {
        (self.tokens > 0).then(|| self.hit_tokens as f64 / self.tokens as f64)
    }

    /// How many times the prefill work without a cache is that with it: 1 / (1 - hit rate).
    pub fn prefill_saving(self) -> Option<f64> {
        let rest = self.tokens - self.hit_tokens.min(self.tokens);
        (rest > 0).then(|| self.tokens as f64 / rest as f64)
    }
}

/// Hits of a cache of one policy and capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CapacityRow {
    /// `lru`, `fifo`, `lfu`, `opt`, or `infinite`.
    pub policy: &'static str,
    /// Blocks that the cache holds.
    pub capacity_blocks: u64,
    /// The same in bytes, where the size of a token is known.
    pub capacity_bytes: Option<u128>,
    /// What it served.
    pub hits: Hits,
    /// Standard error of the hit tokens, if they are an estimate.
    pub hit_tokens_error: Option<f64>,
}

impl CapacityRow {
    /// Standard error of the hit rate, if it is an estimate.
    pub fn rate_error(&self) -> Option<f64> {
        self.hit_tokens_error.filter(|_| self.hits.tokens > 0).map(|error| error / self.hits.tokens as f64)
    }
}

/// The smallest LRU cache that reaches a share of the infinite cache's hits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetRow {
    /// The share asked for.
    pub share: f64,
    /// The cache that reaches it.
    pub row: CapacityRow,
}

/// Hits of a cache without limit whose blocks expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlRow {
    /// Time since its last use after which a block is gone, in milliseconds.
    pub ttl_ms: u64,
    /// What it served.
    pub hits: Hits,
}

/// Figures of finite caches.
#[derive(Clone, Debug)]
pub struct CacheFigures {
    /// One row per policy and capacity; the last one is the infinite cache. Empty if only a picture is
    /// asked for.
    pub capacity: Vec<CapacityRow>,
    /// The rows to draw, if asked for: per policy with rising capacity.
    pub curve: Vec<CapacityRow>,
    /// The cache without limit, of the size of the working set.
    pub infinite: CapacityRow,
    /// One row per target.
    pub targets: Vec<TargetRow>,
    /// One row per time to live.
    pub ttls: Vec<TtlRow>,
}

/// A request as the caches see it.
pub(super) struct Access<'a> {
    /// Its blocks, first block first.
    pub(super) blocks: &'a [BlockNumber],
    /// Their ids.
    pub(super) ids: &'a [u64],
    /// Blocks from this number on are new.
    pub(super) first_new: BlockNumber,
    /// Length of its longest prefix of known blocks.
    pub(super) hit: usize,
    /// Prompt tokens.
    pub(super) length: u64,
    /// Arrival, as the running maximum, in milliseconds.
    pub(super) now: f64,
    /// Whether warm-up is over.
    pub(super) measured: bool,
}

/// Running simulation of the caches asked for. Memory: 8 bytes per distinct block and 4 per request
/// for the stack, 8 per stack distance that occurs, 8 per request for times to live, what the
/// simulated caches hold, and the [`History`] if the best policy is asked for.
pub(super) struct Caches {
    options: CacheOptions,
    block_size: u64,
    rule: HitRule,
    stack: LruStack,
    /// Change of the hit tokens from one stack distance to the next.
    steps: Vec<i64>,
    infinite: Hits,
    /// Arrival of each request in the stack's numbering.
    times: Vec<f64>,
    ttl_hits: Vec<u128>,
    simulations: Vec<Simulation>,
    /// For the curve.
    ladders: Vec<Ladder>,
    history: Option<History>,
    runs: Vec<Run>,
}

impl Caches {
    pub(super) fn new(mut options: CacheOptions, block_size: u64, rule: HitRule) -> Self {
        if options.policies.is_empty() {
            options.policies.push(Policy::Lru);
        }
        options.capacities.sort_unstable();
        options.capacities.dedup();
        let simulated = options.policies.iter().flat_map(|&policy| {
            options.capacities.iter().filter_map(move |&capacity| Simulation::new(policy, capacity))
        });
        let climbed: &[Policy] = if options.curve || options.picture { &options.policies } else { &[] };
        Self {
            simulations: simulated.collect(),
            ladders: climbed.iter().filter_map(|&policy| Ladder::new(policy)).collect(),
            history: options.policies.contains(&Policy::Opt).then(History::default),
            ttl_hits: vec![0; options.ttls.len()],
            options,
            block_size,
            rule,
            stack: LruStack::default(),
            steps: Vec::new(),
            infinite: Hits::default(),
            times: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Takes the next request.
    ///
    /// # Errors
    /// When there are too many of them for what is asked for.
    pub(super) fn access(&mut self, access: &Access) -> Result<(), String> {
        if self.stack.is_full() {
            return Err(
                "more than 4294967295 requests are too many for finite caches (see --max-memory)".into()
            );
        }
        let mut runs = std::mem::take(&mut self.runs);
        self.stack.touch(access.blocks, access.first_new, access.hit, &mut runs);
        if access.measured {
            self.infinite.tokens += u128::from(access.length);
            self.measure(access, &runs);
        }
        if !self.options.ttls.is_empty() {
            self.times.push(access.now);
        }
        self.runs = runs;
        let count = |cache: &mut Simulation, hit: usize| {
            if access.measured {
                let tokens = served(hit as u64, access.length, self.block_size, self.rule);
                cache.hit_tokens += u128::from(tokens);
            }
        };
        for cache in &mut self.simulations {
            let hit = cache.access(access.ids);
            count(cache, hit);
        }
        self.ladders.iter_mut().for_each(|ladder| ladder.access(access.ids, count));
        match &mut self.history {
            Some(history) => history.push(access.blocks, access.length, access.measured),
            None => Ok(()),
        }
    }

    /// Whether what is asked for needs every block that there ever was.
    pub(super) fn needs_all_blocks(&self) -> bool {
        self.history.is_some()
    }

    fn measure(&mut self, access: &Access, runs: &[Run]) {
        let limit = self.rule.limit(access.length, self.block_size);
        let size = self.block_size as i64;
        let mut position = 0_u64;
        let mut distance = 0;
        for run in runs {
            let len = u64::from(run.len).min(limit.saturating_sub(position));
            if len == 0 {
                break;
            }
            // A block behind one that is gone is no hit, so it counts at the largest distance so far.
            distance = run.distance.max(distance);
            self.step(distance, size);
            self.step(distance + len as u32, -size);
            position += len;
            distance += len as u32 - 1;
        }
        let tokens = (position * self.block_size).min(access.length);
        self.infinite.hit_tokens += u128::from(tokens);
        if position > 0 && tokens < position * self.block_size {
            // The last block is partial.
            let missing = (position * self.block_size - tokens) as i64;
            self.step(distance, -missing);
            self.step(distance + 1, missing);
        }
        for (&ttl, hits) in self.options.ttls.iter().zip(&mut self.ttl_hits) {
            let alive = |run: &&Run| access.now - self.times[run.request as usize] <= ttl as f64;
            let blocks: u64 = runs.iter().take_while(alive).map(|run| u64::from(run.len)).sum();
            *hits += u128::from(served(blocks, access.length, self.block_size, self.rule));
        }
    }

    /// Forgets all but the `keep` blocks used last.
    pub(super) fn retain(&mut self, keep: usize) -> Kept {
        let retained = self.stack.retain(keep);
        if !self.options.ttls.is_empty() {
            retained.requests.compact(&mut self.times);
        }
        retained.blocks
    }

    /// Bytes in use for blocks.
    pub(super) fn block_bytes(&self) -> usize {
        self.stack.block_bytes() + self.curve_bytes()
    }

    /// The part of them that is the curve of hits, which forgetting does not reduce.
    pub(super) fn curve_bytes(&self) -> usize {
        size_of::<i64>() * self.steps.len()
    }

    /// Bytes in use for requests.
    pub(super) fn request_bytes(&self) -> usize {
        self.stack.request_bytes() + 8 * self.times.len() + self.history.as_ref().map_or(0, History::bytes)
    }

    /// Bytes in use for simulated caches, which forgetting does not reduce.
    pub(super) fn simulation_bytes(&self) -> usize {
        let ladders: usize = self.ladders.iter().map(Ladder::bytes).sum();
        ladders + self.simulations.iter().map(Simulation::bytes).sum::<usize>()
    }

    fn step(&mut self, distance: u32, change: i64) {
        let index = distance as usize;
        let more = (index + 1).saturating_sub(self.steps.len());
        if more > 0 {
            reserve(&mut self.steps, more);
            self.steps.resize(index + 1, 0);
        }
        self.steps[index] += change;
    }

    /// The figures so far, with `working_set` distinct blocks seen.
    pub(super) fn figures(&self, working_set: u64) -> CacheFigures {
        let capacities = self.options.all_capacities(working_set);
        let lru = LruCurve::of(&self.steps, self.infinite);
        let row = |policy, capacity, hits| self.options.row(policy, capacity, self.block_size, hits);
        let mut rows = Vec::new();
        for &policy in &self.options.policies {
            match policy {
                Policy::Lru => {
                    let hits = lru.at(&capacities).into_iter().zip(&capacities);
                    rows.extend(hits.map(|(hits, &capacity)| row("lru", capacity, hits)));
                }
                Policy::Opt => {
                    let tokens = |hit, length| served(hit, length, self.block_size, self.rule);
                    let hits = self.history.as_ref().map(|h| h.hit_tokens(&capacities, tokens));
                    let hits = hits.into_iter().flatten().zip(&capacities);
                    rows.extend(hits.map(|(tokens, &capacity)| row("opt", capacity, self.hits(tokens))));
                }
                Policy::Fifo | Policy::Lfu => {
                    let points = self.simulated(policy, working_set).into_iter();
                    rows.extend(points.map(|(c, tokens)| row(policy.name(), c, self.hits(tokens))));
                }
            }
        }
        let figures = self.options.sort(rows, row("infinite", working_set, self.infinite));
        let targets = self.options.targets.iter().map(|&share| {
            let (capacity, hits) = lru.smallest(share);
            TargetRow { share, row: row("lru", capacity, hits) }
        });
        let ttls = self
            .options
            .ttls
            .iter()
            .zip(&self.ttl_hits)
            .map(|(&ttl_ms, &hit_tokens)| TtlRow { ttl_ms, hits: self.hits(hit_tokens) });
        CacheFigures { targets: targets.collect(), ttls: ttls.collect(), ..figures }
    }

    /// Capacities at which a policy is simulated, rising, and the tokens served.
    fn simulated(&self, policy: Policy, working_set: u64) -> BTreeMap<u64, u128> {
        let climbed = self.ladders.iter().filter(|ladder| ladder.policy() == Some(policy));
        let chosen = self.simulations.iter().filter(|cache| cache.policy == policy);
        let chosen = chosen.map(|cache| (cache.capacity, cache.hit_tokens));
        climbed.flat_map(|ladder| ladder.points(working_set)).chain(chosen).collect()
    }

    fn hits(&self, hit_tokens: u128) -> Hits {
        Hits { hit_tokens, ..self.infinite }
    }
}

/// Tokens that a hit of `hit` blocks serves to a request of `length` tokens.
fn served(hit: u64, length: u64, block_size: u64, rule: HitRule) -> u64 {
    hit.min(rule.limit(length, block_size)).saturating_mul(block_size).min(length)
}

/// About 60 capacities from 1 to `largest`, evenly spaced by ratio.
fn log_spaced(largest: u64) -> Vec<u64> {
    let points = 60;
    let mut list: Vec<u64> = (0..points)
        .map(|i| (largest as f64).powf(f64::from(i) / f64::from(points - 1)).round() as u64)
        .collect();
    list.push(largest);
    list.dedup();
    list.retain(|&capacity| capacity > 0 && capacity <= largest);
    list
}

/// Hit tokens of LRU as a function of capacity.
struct LruCurve<'a> {
    steps: &'a [i64],
    infinite: Hits,
}

impl<'a> LruCurve<'a> {
    fn of(steps: &'a [i64], infinite: Hits) -> Self {
        Self { steps, infinite }
    }

    /// Hit tokens at capacities 1, 2, 3, ...
    fn points(&self) -> impl Iterator<Item = u128> + 'a {
        let steps = self.steps.iter();
        steps
            .scan((0_i128, 0_i128), |(at_distance, total), &step| {
                *at_distance += i128::from(step);
                *total += *at_distance;
                Some(*total)
            })
            .map(|total| u128::try_from(total).unwrap_or(0))
    }

    /// Hits at each of the rising `capacities`.
    fn at(&self, capacities: &[u64]) -> Vec<Hits> {
        let hits = |hit_tokens| Hits { hit_tokens, ..self.infinite };
        let mut points = self.points();
        let (mut reached, mut tokens) = (0, 0);
        let mut rows = Vec::with_capacity(capacities.len());
        for &capacity in capacities {
            while reached < capacity {
                let Some(next) = points.next() else { break };
                tokens = next;
                reached += 1;
            }
            rows.push(hits(tokens));
        }
        rows
    }

    /// The smallest capacity that has `share` of the hits of the infinite cache.
    fn smallest(&self, share: f64) -> (u64, Hits) {
        let wanted = share * self.infinite.hit_tokens as f64;
        let enough = |(_, tokens): &(u64, u128)| *tokens as f64 >= wanted;
        let found =
            std::iter::once(0).chain(self.points()).enumerate().map(|(c, t)| (c as u64, t)).find(enough);
        let (capacity, hit_tokens) = found.unwrap_or((self.steps.len() as u64, self.infinite.hit_tokens));
        (capacity, Hits { hit_tokens, ..self.infinite })
    }
}
