//! Hit rates of finite caches: LRU at every capacity, caches with a time to live, and other policies
//! at chosen capacities, all in the one pass.

mod fifo;
mod figures;
mod lfu;
mod lru;
mod opt;
mod options;
mod policy;
mod simulated;
mod stack;
mod ttl;

pub use figures::{CacheFigures, CapacityRow, Hits, TargetRow, TtlRow};
pub use options::CacheOptions;
pub use policy::Policy;

use fifo::Fifo;
use lfu::Lfu;
use lru::Lru;
use opt::History;
use policy::Study;
use simulated::Simulated;
use ttl::TimesToLive;

use crate::error::Invalid;
use crate::stats::accuracy::Accuracy;
use crate::stats::recency::Kept;
use crate::stats::seen::{HitCount, Seen};
use crate::stats::statistic::{Bytes, Known, Statistic};
use crate::stats::{Bound, Report};

/// The caches asked for. The LRU stack is always among them: targets and times to live come from it.
pub(super) struct Caches {
    options: CacheOptions,
    block_size: u64,
    /// Measured requests in an infinite cache.
    infinite: Hits,
    lru: Lru,
    ttls: TimesToLive,
    /// One per policy; none for LRU.
    studies: Vec<Option<Box<dyn Study>>>,
}

/// What finds out the hits of a policy, if that is not the stack.
fn study(policy: Policy, options: &CacheOptions, count: HitCount) -> Option<Box<dyn Study>> {
    let (capacities, has_curve) = (&options.capacities, options.curve || options.picture);
    match policy {
        Policy::Lru => None,
        Policy::Fifo => Some(Box::new(Simulated::<Fifo>::new(capacities, has_curve, count))),
        Policy::Lfu => Some(Box::new(Simulated::<Lfu>::new(capacities, has_curve, count))),
        Policy::Opt => Some(Box::new(History::new(count))),
    }
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
            block_size: count.block_size,
            infinite: Hits::default(),
            lru: Lru::new(count),
            ttls: TimesToLive::new(&options.ttls, count),
            options,
        })
    }

    /// Whether what is asked for needs every block that there ever was.
    pub(super) fn needs_all_blocks(&self) -> bool {
        self.studies.iter().flatten().any(|study| study.needs_all_blocks())
    }

    /// Forgets all but the `keep` blocks used last.
    pub(super) fn retain(&mut self, keep: usize) -> Kept {
        let retained = self.lru.retain(keep);
        self.ttls.retain(&retained);
        retained.blocks
    }

    fn row(&self, policy: &'static str, capacity: u64, tokens: u128, accuracy: Accuracy) -> CapacityRow {
        CapacityRow {
            policy,
            capacity_blocks: capacity,
            capacity_bytes: self.options.bytes(capacity, self.block_size),
            hits: Hits { hit_tokens: tokens, ..self.infinite },
            accuracy,
        }
    }

    /// The figures so far, with `working_set` distinct blocks seen.
    pub(super) fn figures(&self, working_set: u64, bound: Option<&Bound>) -> CacheFigures {
        let capacities = self.options.all_capacities(working_set);
        let mut rows = Vec::new();
        for (policy, study) in self.options.policies.iter().zip(&self.studies) {
            let of_study = study.as_ref().map_or(&self.lru as &dyn Study, |study| &**study);
            let points = of_study.hit_tokens(&capacities, working_set).into_iter();
            rows.extend(points.map(|(capacity, tokens)| {
                // The other policies know blocks by themselves, so nothing is forgotten there.
                let lru = if study.is_none() { bound } else { None };
                self.row(policy.name(), capacity, tokens, Bound::lru(lru, capacity))
            }));
        }
        let accuracy = Bound::lru(bound, working_set);
        self.options.sort(rows, self.row("infinite", working_set, self.infinite.hit_tokens, accuracy))
    }

    fn target(&self, share: f64, bound: Option<&Bound>) -> TargetRow {
        let found = self.lru.smallest(share * self.infinite.hit_tokens as f64);
        let (capacity, tokens) = found.unwrap_or((self.lru.distances(), self.infinite.hit_tokens));
        TargetRow { share, row: self.row("lru", capacity, tokens, Bound::lru(bound, capacity)) }
    }
}

impl Statistic for Caches {
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        let Some(cached) = &seen.cached else { return Ok(()) };
        self.lru.access(seen)?;
        self.ttls.access(seen, self.lru.last_runs());
        if seen.is_measured {
            self.infinite.tokens += u128::from(seen.input_length);
            self.infinite.hit_tokens += u128::from(cached.tokens);
        }
        self.studies.iter_mut().flatten().try_for_each(|study| study.access(seen))
    }

    fn bytes(&self) -> Bytes {
        let mut bytes = self.lru.bytes();
        bytes.blocks += self.ttls.bytes();
        self.studies.iter().flatten().for_each(|study| bytes += study.bytes());
        bytes
    }

    // Blocks are forgotten by `retain`, since the stack says which ones are kept.

    fn mark(bound: &Bound, report: &mut Report) {
        if bound.has_forgotten() {
            report.targets.accuracy = Accuracy::Neither;
            report.enough.accuracy = Accuracy::Neither;
            report.ttls.accuracy = Accuracy::AtLeast;
        }
    }

    fn report(&self, known: &Known, report: &mut Report) {
        report.caches = Some(self.figures(known.unique_blocks, known.bound));
        report.targets.value =
            self.options.targets.iter().map(|&share| self.target(share, known.bound)).collect();
        report.enough.value = self.options.enough.map(|share| self.target(share, known.bound));
        report.ttls.value = self.ttls.rows(self.infinite.tokens);
    }
}
