//! Hit rates of finite caches: LRU at every capacity, caches with a time to live, and other policies
//! at chosen capacities, all in the one pass.

mod arc;
mod clock;
mod distances;
mod fates;
mod fifo;
mod figures;
mod fleet_figures;
mod fleets;
mod gdsf;
mod lfu;
mod lifetime;
mod lists;
mod lmcache;
mod load;
mod lru;
mod misses;
mod opt;
mod options;
mod per_second;
mod policy;
mod priority;
mod ranked;
mod s3fifo;
mod served;
mod sglang;
mod sieve;
mod simulated;
mod sized_hits;
mod sketch;
mod slru;
mod stack;
mod tier_curve;
mod tier_figures;
mod tiers;
mod ttl;
mod vllm;
mod work;
mod wtinylfu;

pub use fates::{DepthRow, Fates, KnownTokens, LastUse, MissFigures, MissRow, SessionSources};
pub use figures::{CacheFigures, CapacityRow, Hits, PrefillWork, TargetRow, TtlRow};
pub use fleet_figures::{FleetCapacity, FleetCompute, FleetRow, FleetTarget, FleetTtl};
pub use lifetime::Ttl;
pub use load::{Load, LoadFigures, Service};
pub use options::{CacheOptions, RequestUse};
pub use policy::Policy;
pub(super) use stack::{LruStack, StackRun};
pub use tier_figures::{BlockFlow, TierCurveRow, TierFigures, TierMode, TierPoint, TierRow, TierSizes};

use std::collections::HashMap;

use arc::Arc;
use clock::Clock;
use fifo::Fifo;
use fleets::FleetStudy;
use gdsf::Gdsf;
use lfu::Lfu;
use lmcache::Lmcache;
use lru::Lru;
use misses::Misses;
use opt::History;
use policy::{Eviction, Point, Study};
use priority::Priority;
use s3fifo::S3Fifo;
use served::{ServedInTurn, Server};
use sglang::Sglang;
use sieve::Sieve;
use simulated::Simulated;
use slru::Slru;
use ttl::TimesToLive;
use vllm::{Sequential, Together};
use wtinylfu::WTinyLfu;

use crate::blocks::NumberRun;
use crate::error::Invalid;
use crate::stats::accuracy::Accuracy;
use crate::stats::hit_check::{HitCheck, HitChecks};
use crate::stats::hit_count::{HitCount, HitRule, Tally};
use crate::stats::piece_end::PieceEnd;
use crate::stats::recency::Kept;
use crate::stats::requests::{RequestHits, RequestReport, Requests};
use crate::stats::seen::{Cached, Seen};
use crate::stats::statistic::{Bytes, Known, Statistic};
use crate::stats::{Bound, RecordedCache, Report};

/// The caches asked for. The LRU stack is always among them: targets and times to live come from it.
pub(super) struct Caches {
    options: CacheOptions,
    count: HitCount,
    /// Whether blocks are those of engines: full ones, with those of answers.
    names_blocks: bool,
    /// Measured requests in an infinite cache.
    infinite: Tally,
    /// Measured requests without a cache.
    all: Tally,
    /// What LRU caches of the capacities asked for, and last one without limit, serve to those of the measured
    /// requests whose server recorded its own hits.
    recorded_hits: Vec<u128>,
    lru: Lru,
    /// How many blocks have been forgotten: one that comes back is a new one.
    forgotten: u64,
    ttls: TimesToLive,
    /// What becomes of each token, if wanted.
    misses: Option<Misses>,
    /// Replicas behind routers, if any are asked for.
    fleets: Option<FleetStudy>,
    /// One per policy; none for LRU.
    studies: Vec<Option<Box<dyn Study>>>,
    /// The hits of each request, if wanted.
    requests: Option<Requests>,
    /// The same beside what servers recorded, if wanted.
    checks: Option<HitChecks>,
}

/// What finds out the hits of a policy, if that is not the stack.
fn study(policy: Policy, options: &CacheOptions, count: HitCount) -> Option<Box<dyn Study>> {
    let (load, has_hits) = (options.load, options.wants_requests());
    Some(match policy {
        Policy::Lru => return None,
        Policy::Fifo => simulated::<Fifo>(policy, options, count),
        Policy::Lfu => simulated::<Lfu>(policy, options, count),
        Policy::Arc => simulated::<Arc>(policy, options, count),
        Policy::Slru => simulated::<Slru>(policy, options, count),
        Policy::Clock => simulated::<Clock>(policy, options, count),
        Policy::Gdsf => simulated::<Gdsf>(policy, options, count),
        Policy::S3Fifo => simulated::<S3Fifo>(policy, options, count),
        Policy::Sieve => simulated::<Sieve>(policy, options, count),
        Policy::WTinyLfu => simulated::<WTinyLfu>(policy, options, count),
        Policy::Priority => simulated::<Priority>(policy, options, count),
        Policy::Opt => Box::new(History::new(count)),
        Policy::Vllm if load.is_sequential() => served::<Sequential>(options, count),
        Policy::Vllm => Box::new(Together::new(&options.capacities, count, load, has_hits)),
        Policy::Sglang => served::<Sglang>(options, count),
        Policy::Lmcache => served::<Lmcache>(options, count),
    })
}

/// Caches of blocks known by id.
fn simulated<E: Eviction>(policy: Policy, options: &CacheOptions, count: HitCount) -> Box<dyn Study> {
    let has_curve = (options.curve || options.picture) && !policy.is_of_one_size();
    Box::new(Simulated::<E>::new(&options.capacities, has_curve, options.wants_requests(), count))
}

/// The caches of an engine that serves one request after the other.
fn served<S: Server>(options: &CacheOptions, count: HitCount) -> Box<dyn Study> {
    Box::new(ServedInTurn::<S>::new(&options.capacities, count, options.wants_requests()))
}

/// Notes how far each cache is below the best one of its size, where that is known.
fn compare_with_opt(rows: &mut [CapacityRow]) {
    let is_best = |row: &&CapacityRow| row.policy == Policy::Opt.name();
    let best: HashMap<u64, f64> =
        rows.iter().filter(is_best).filter_map(|row| Some((row.capacity_blocks, row.hits.rate()?))).collect();
    for row in rows {
        row.below_opt = best.get(&row.capacity_blocks).zip(row.hits.rate()).map(|(best, rate)| best - rate);
    }
}

/// The names of the caches whose hits in each request are told, the infinite one last.
fn columns(options: &CacheOptions) -> Vec<String> {
    let of_policy = |policy: &Policy| {
        let name = policy.name();
        options.capacities.iter().map(move |capacity| format!("{name}:{capacity}"))
    };
    options.policies.iter().flat_map(of_policy).chain(["infinite".to_owned()]).collect()
}

impl Caches {
    /// Empty caches; `None` if no finite cache is asked for.
    pub(super) fn new(options: &CacheOptions, count: HitCount) -> Option<Self> {
        if !options.is_asked_for() {
            return None;
        }
        let mut options = options.clone();
        if options.policies.is_empty() {
            options.policies.push(Policy::Lru);
        }
        options.capacities.sort_unstable();
        options.capacities.dedup();
        Some(Self {
            studies: options.policies.iter().map(|&policy| study(policy, &options, count)).collect(),
            count,
            names_blocks: count.rule == HitRule::Engine,
            infinite: Tally::default(),
            all: Tally::default(),
            recorded_hits: vec![0; options.capacities.len() + 1],
            lru: Lru::new(count),
            forgotten: 0,
            checks: options.requests.checked.then(HitChecks::default),
            requests: options.wants_requests().then(|| Requests::new(columns(&options))),
            ttls: TimesToLive::new(&options, count),
            misses: options.misses.then(|| Misses::new(&options, count)),
            fleets: FleetStudy::new(&options, count),
            options,
        })
    }

    /// The setting that needs every block that there ever was, if one does.
    pub(super) fn needs_all_blocks(&self) -> Option<String> {
        if self.fleets.is_some() {
            return Some(if self.options.fleets.is_empty() { "`tiers`" } else { "`replicas`" }.into());
        }
        let needs_all = |study: &Option<Box<dyn Study>>| study.as_ref().is_some_and(|s| s.needs_all_blocks());
        let at = self.studies.iter().position(needs_all)?;
        Some(format!("`policy` {}", self.options.policies.get(at)?.name()))
    }

    /// Whether the stack holds blocks by the names that engines give them, not by number.
    pub(super) fn names_blocks(&self) -> bool {
        self.names_blocks
    }

    /// There are no more requests.
    pub(super) fn finish(&mut self) {
        self.studies.iter_mut().flatten().for_each(|study| study.finish());
        self.note_hits();
    }

    /// The hits of the next request, once they are known and those of all before it have been taken.
    pub(super) fn take_request(&mut self, bound: Option<&Bound>) -> Option<RequestReport> {
        let mut request = self.requests.as_mut()?.take()?;
        let is_bound = |column: usize| self.accuracy_of_column(column, bound) == Accuracy::AtLeast;
        let names = request.hits.iter().enumerate().filter(|(column, _)| is_bound(*column));
        request.at_least = names.map(|(_, (name, _))| name.clone()).collect();
        self.checks.iter_mut().for_each(|checks| checks.add(&request));
        Some(request)
    }

    /// Notes what LRU caches serve to a request whose server recorded its own hits.
    fn count_recorded(&mut self, seen: &Seen, cached: &Cached) {
        let capacities = self.options.capacities.iter();
        let hits = capacities.map(|&capacity| self.lru.last_hit(capacity, seen.input_length));
        for (sum, tokens) in self.recorded_hits.iter_mut().zip(hits.chain([cached.tokens])) {
            *sum += u128::from(tokens);
        }
    }

    /// What each cache asked for would have served where servers recorded their own hits, the infinite one last.
    fn recorded_caches(&self) -> Vec<RecordedCache> {
        let of_policy = |(policy, study): (&Policy, &Option<Box<dyn Study>>)| {
            let lru = || self.options.capacities.iter().copied().zip(self.recorded_hits.iter().copied());
            let hits = study.as_ref().map_or_else(|| lru().collect(), |study| study.recorded_hits());
            let name = policy.name();
            hits.into_iter().map(move |(capacity, tokens)| (format!("{name}:{capacity}"), tokens))
        };
        let sized = self.options.policies.iter().zip(&self.studies).flat_map(of_policy);
        let expiring = self.ttls.recorded_hits().map(|(ttl, tokens)| (format!("ttl:{ttl}ms"), tokens));
        let infinite = self.recorded_hits.last().map(|&tokens| ("infinite".to_owned(), tokens));
        let all = sized.chain(expiring).chain(infinite);
        all.map(|(cache, hit_tokens)| RecordedCache { cache, hit_tokens, cost: None }).collect()
    }

    /// What hits in the cache of a column are worth: each policy has the capacities, and the one without limit is
    /// the last.
    fn accuracy_of_column(&self, column: usize, bound: Option<&Bound>) -> Accuracy {
        let capacities = &self.options.capacities;
        let study = column.checked_div(capacities.len()).and_then(|place| self.studies.get(place));
        match study {
            // The other policies know blocks by themselves.
            Some(Some(_)) => Accuracy::Exact,
            Some(None) => Bound::lru(bound, capacities[column % capacities.len()]),
            None => Bound::lru(bound, u64::MAX),
        }
    }

    /// Begins the row of a request, with what is known of it at once.
    fn begin_request(&mut self, seen: &Seen) {
        let Some(requests) = &mut self.requests else { return };
        requests.begin(seen);
        let capacities = &self.options.capacities;
        let all = self.options.policies.len() * capacities.len();
        let hits = |capacity, tokens| RequestHits { request: seen.index, capacity, tokens };
        let Some(cached) = &seen.cached else {
            (0..=all).for_each(|column| requests.note(column, hits(0, None)));
            return;
        };
        requests.note(all, hits(0, Some(cached.tokens)));
        for (place, _) in self.studies.iter().enumerate().filter(|(_, study)| study.is_none()) {
            for (column, &capacity) in (place * capacities.len()..).zip(capacities) {
                let tokens = self.lru.last_hit(capacity, seen.input_length);
                requests.note(column, hits(capacity, Some(tokens)));
            }
        }
    }

    /// Notes the hits that studies have found since.
    fn note_hits(&mut self) {
        let Some(requests) = &mut self.requests else { return };
        let capacities = &self.options.capacities;
        let mut hits = Vec::new();
        for (place, study) in self.studies.iter_mut().enumerate() {
            study.iter_mut().for_each(|study| study.take_hits(&mut hits));
            for hits in hits.drain(..) {
                if let Ok(column) = capacities.binary_search(&hits.capacity) {
                    requests.note(place * capacities.len() + column, hits);
                }
            }
        }
    }

    /// Ends a piece of the trace, whose blocks have these numbers.
    ///
    /// # Errors
    /// When the end contradicts the rows.
    pub(super) fn end_piece(&mut self, numbers: &[NumberRun], end: &PieceEnd) -> Result<(), Invalid> {
        self.lru.end_piece(numbers, end)
    }

    /// Forgets all but the `keep` blocks used last.
    pub(super) fn retain(&mut self, keep: usize) -> Kept {
        let before = self.lru.blocks();
        let retained = self.lru.retain(keep);
        self.forgotten += before - self.lru.blocks();
        self.ttls.retain(&retained);
        self.misses.iter_mut().for_each(|misses| misses.retain(&retained));
        retained.blocks
    }

    fn row(&self, policy: &'static str, capacity: u64, point: Point, accuracy: Accuracy) -> CapacityRow {
        let Point { hits, all, refused, load } = point;
        let all = all.unwrap_or(self.all);
        CapacityRow {
            policy,
            capacity_blocks: capacity,
            capacity_tokens: self.options.tokens(capacity, self.count.block_size),
            capacity_bytes: self.options.bytes(capacity, self.count.block_size),
            hits: Hits { hit_tokens: hits.tokens, tokens: all.tokens },
            work: self.count.prefill.map(|_| PrefillWork::new(all.flops, hits.flops)),
            below_opt: None,
            refused_requests: refused.map(|refused| refused.requests),
            refused_output_tokens: refused.map_or(0, |refused| refused.output_tokens),
            cost: None,
            load,
            accuracy,
        }
    }

    /// How many blocks a cache without limit holds, where so many distinct ones are in prompts.
    fn working_set(&self, unique_blocks: u64) -> u64 {
        // Those of answers take room too.
        unique_blocks.max(if self.names_blocks { self.lru.blocks() + self.forgotten } else { 0 })
    }

    /// The figures so far, with `unique_blocks` distinct blocks of prompts seen.
    pub(super) fn figures(&self, unique_blocks: u64, bound: Option<&Bound>) -> CacheFigures {
        let working_set = self.working_set(unique_blocks);
        let capacities = self.options.all_capacities(working_set);
        let mut rows = Vec::new();
        for (policy, study) in self.options.policies.iter().zip(&self.studies) {
            let of_study = study.as_ref().map_or(&self.lru as &dyn Study, |study| &**study);
            let points = of_study.points(&capacities, working_set).into_iter();
            rows.extend(points.map(|(capacity, point)| {
                // The other policies know blocks by themselves, so nothing is forgotten there.
                let lru = if study.is_none() { bound } else { None };
                self.row(policy.name(), capacity, point, Bound::lru(lru, capacity))
            }));
        }
        compare_with_opt(&mut rows);
        let accuracy = Bound::lru(bound, working_set);
        self.options.sort(rows, &self.row("infinite", working_set, self.infinite.into(), accuracy))
    }

    fn target(&self, share: f64, bound: Option<&Bound>) -> TargetRow {
        let found = self.lru.smallest(share * self.infinite.tokens as f64);
        let (capacity, hits) = found.unwrap_or((self.lru.distances(), self.infinite));
        TargetRow { share, row: self.row("lru", capacity, hits.into(), Bound::lru(bound, capacity)) }
    }
}

impl Statistic for Caches {
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if let Some(fleets) = &mut self.fleets {
            fleets.access(seen);
        }
        let Some(cached) = &seen.cached else {
            self.begin_request(seen);
            return Ok(());
        };
        self.lru.access(seen)?;
        self.ttls.access(seen, self.lru.blocks_of(cached), self.lru.last_runs(), self.lru.blocks());
        if let Some(misses) = &mut self.misses {
            misses.access(seen, cached, self.lru.last_runs());
        }
        if seen.is_measured {
            self.all.add(seen.input_length, self.count);
            self.infinite.add(cached.tokens, self.count);
            if seen.recorded.is_some() {
                self.count_recorded(seen, cached);
            }
        }
        self.studies.iter_mut().flatten().try_for_each(|study| study.access(seen))?;
        if self.requests.is_some() {
            self.begin_request(seen);
            self.note_hits();
        }
        Ok(())
    }

    fn bytes(&self) -> Bytes {
        let mut bytes = self.lru.bytes();
        bytes.blocks += self.ttls.bytes();
        bytes += self.misses.as_ref().map_or_else(Bytes::default, Misses::bytes);
        bytes.curve += self.ttls.curve_bytes();
        if let Some(fleets) = &self.fleets {
            bytes += fleets.bytes();
        }
        bytes.simulated += self.requests.as_ref().map_or(0, Requests::bytes);
        self.studies.iter().flatten().for_each(|study| bytes += study.bytes());
        bytes
    }

    // Blocks are forgotten by `retain`, since the stack says which ones are kept.

    fn mark(bound: &Bound, report: &mut Report) {
        if bound.has_forgotten() {
            report.targets.accuracy = Accuracy::Neither;
            report.enough.accuracy = Accuracy::Neither;
            report.ttls.accuracy = Accuracy::AtLeast;
            report.misses.accuracy = Accuracy::AtLeast;
        }
    }

    fn report(&self, known: &Known, report: &mut Report) {
        report.caches = Some(self.figures(known.unique_blocks, known.bound));
        report.targets.value =
            self.options.targets.iter().map(|&share| self.target(share, known.bound)).collect();
        let checks = self.checks.iter().flat_map(HitChecks::rows).cloned().enumerate();
        let marked =
            |(column, check)| HitCheck { accuracy: self.accuracy_of_column(column, known.bound), ..check };
        report.checks = checks.map(marked).collect();
        report.enough.value = self.options.enough.map(|share| self.target(share, known.bound));
        let listed = self.options.listed_capacities(self.working_set(known.unique_blocks));
        let size = |capacity| self.options.bytes(capacity, self.count.block_size);
        report.ttls.value = self.ttls.rows(self.all, &listed, size);
        if let Some(recorded) = report.recorded.as_mut().filter(|recorded| recorded.compared.is_some()) {
            recorded.caches = self.recorded_caches();
        }
        report.misses.value = self.misses.as_ref().map(|misses| misses.figures(&self.options));
        if let Some(fleets) = &self.fleets {
            let working_set = self.working_set(known.unique_blocks);
            report.fleets =
                fleets.rows(&self.options, working_set, |capacities| self.lru.hits_at(capacities));
            report.tiers = fleets.tier_rows(&self.options);
            report.tier_curves = fleets.tier_curves(&self.options, working_set);
        }
    }
}
