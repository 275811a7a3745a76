//! Caches in tiers, of each replica and shared by all.
//!
//! Exclusive tiers are one LRU stack that is cut at the sums of their sizes, and inclusive ones are LRU stacks of
//! their own, so what they hold and what crosses their borders follows from the distances of one stack.

use crate::fleet::{Fleet, Run, Use};
use crate::stats::cache::figures::Hits;
use crate::stats::cache::options::CacheOptions;
use crate::stats::cache::per_second::PerSecond;
use crate::stats::cache::tier_figures::{BlockFlow, TierFigures, TierMode, TierRow};
use crate::stats::hit_count::HitCount;

/// Blocks that move, of all replicas and of each.
struct Moves {
    all: PerSecond,
    of: Vec<PerSecond>,
}

impl Moves {
    fn new(replicas: u32) -> Self {
        Self { all: PerSecond::default(), of: vec![PerSecond::default(); replicas as usize] }
    }

    fn add(&mut self, blocks: u64, replica: u32, second: u64) {
        if blocks > 0 {
            self.all.add(blocks, second);
            self.of[replica as usize].add(blocks, second);
        }
    }
}

/// One tier of all replicas, or the pool.
struct Tier {
    /// Blocks that are in it or in a faster one; of an inclusive one or the pool, blocks in it.
    end: u64,
    hit_tokens: u128,
    up: Moves,
    down: Moves,
}

impl Tier {
    fn new(end: u64, replicas: u32) -> Self {
        Self { end, hit_tokens: 0, up: Moves::new(replicas), down: Moves::new(replicas) }
    }
}

/// A request as one stack sees it.
#[derive(Clone, Copy)]
pub(super) struct InStack<'a> {
    pub(super) runs: &'a [Run],
    pub(super) uses: &'a [Use],
}

impl InStack<'_> {
    /// How many of the first blocks are within so many of the stack.
    pub(super) fn held(self, size: u64) -> u64 {
        let (mut blocks, mut distance) = (0, 0);
        for run in self.runs {
            // A block behind one that is gone is no hit.
            distance = u64::from(run.distance).max(distance);
            let held = size.saturating_sub(distance).min(run.len.into());
            blocks += held;
            if held < u64::from(run.len) {
                break;
            }
            distance += u64::from(run.len) - 1;
        }
        blocks
    }

    /// How many blocks cross the end of so many of the stack on their way down, while blocks are used one by one.
    fn pushed_out(self, size: u64) -> u64 {
        let pushed = |one: &Use| {
            let (len, depth) = (u64::from(one.len), u64::from(one.depth));
            // Of new ones, each finds one block more than the one before.
            let staying = size.saturating_sub(depth).min(len);
            match (one.is_new, depth >= size) {
                (true, _) => len - staying,
                (false, true) => len,
                (false, false) => 0,
            }
        };
        self.uses.iter().map(pushed).sum()
    }

    /// How many blocks are not within so many of the stack when they are used.
    fn written(self, size: u64) -> u64 {
        let absent = self.uses.iter().filter(|one| one.is_new || u64::from(one.depth) >= size);
        absent.map(|one| u64::from(one.len)).sum()
    }
}

/// What is known of a request in the fleet that the tiers are of.
pub(super) struct TieredRequest<'a> {
    pub(super) replica: u32,
    pub(super) stack: InStack<'a>,
    /// In one stack for all replicas.
    pub(super) one: InStack<'a>,
    pub(super) length: u64,
    pub(super) second: u64,
}

/// The tiers of one fleet.
pub(super) struct TierStudy {
    fleet: Fleet,
    /// Which of the fleets that are simulated it is.
    pub(super) place: usize,
    mode: TierMode,
    /// Names and sizes in blocks, that of the pool last.
    sizes: Vec<(String, u64)>,
    tiers: Vec<Tier>,
    pool: Option<Tier>,
}

impl TierStudy {
    /// No request yet, of this fleet with all tiers that are asked for at chosen sizes.
    pub(super) fn all(options: &CacheOptions, fleet: Fleet, place: usize) -> Vec<Self> {
        let study = |sizes: Vec<(String, u64)>| {
            let (mut end, mode) = (0, options.tier_mode);
            let tier = |(_, size): &(String, u64)| {
                end = if mode == TierMode::Exclusive { u64::saturating_add(end, *size) } else { *size };
                Tier::new(end, fleet.replicas)
            };
            let pool = options.shared.map(|size| ("shared".to_owned(), size));
            Self {
                fleet,
                place,
                mode,
                tiers: sizes.iter().map(tier).collect(),
                pool: options.shared.map(|size| Tier::new(size, fleet.replicas)),
                sizes: sizes.into_iter().chain(pool).collect(),
            }
        };
        let chosen = options.tiers.iter().filter_map(|sizes| {
            sizes.tiers.iter().map(|(name, size)| Some((name.clone(), (*size)?))).collect()
        });
        chosen.map(study).collect()
    }

    /// Counts a request.
    pub(super) fn measure(&mut self, request: &TieredRequest, count: HitCount) {
        let TieredRequest { replica, stack, one, length, second } = *request;
        let tokens = |blocks| count.tokens(blocks, length);
        let limit = count.limit(length);
        let mut above = 0;
        for tier in &mut self.tiers {
            let held = stack.held(tier.end).min(limit).max(above);
            tier.hit_tokens += u128::from(tokens(held) - tokens(above));
            tier.up.add(held - above, replica, second);
            let down = match self.mode {
                TierMode::Exclusive => stack.pushed_out(tier.end),
                TierMode::Inclusive => stack.written(tier.end),
            };
            tier.down.add(down, replica, second);
            above = held;
        }
        if let Some(pool) = &mut self.pool {
            let held = one.held(pool.end).min(limit).max(above);
            pool.hit_tokens += u128::from(tokens(held) - tokens(above));
            pool.up.add(held - above, replica, second);
            pool.down.add(one.written(pool.end), replica, second);
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let tiers = self.tiers.len() + usize::from(self.pool.is_some());
        2 * tiers * self.fleet.replicas as usize * size_of::<PerSecond>()
    }

    /// The figures so far, of `tokens` in all and so many seconds, which are none without times. `bytes` is the size of
    /// blocks.
    pub(super) fn row(
        &self,
        tokens: u128,
        seconds: Option<f64>,
        bytes: impl Fn(u64) -> Option<u128>,
    ) -> TierRow {
        let flow = |moves: &Moves| BlockFlow {
            peak_per_s: seconds.map(|_| moves.all.peak),
            replica_peak_per_s: seconds.map(|_| moves.of.iter().map(|moves| moves.peak).max().unwrap_or(0)),
            ..BlockFlow::new(moves.all.total, bytes(1), seconds)
        };
        let all = self.tiers.iter().chain(&self.pool).zip(&self.sizes).enumerate();
        let figures = |(place, (tier, (name, size))): (usize, (&Tier, &(String, u64)))| {
            let shared = place == self.tiers.len();
            let is_exclusive = self.mode == TierMode::Exclusive && !shared;
            TierFigures {
                name: name.clone(),
                shared,
                size_blocks: *size,
                size_bytes: bytes(*size),
                hit_tokens: tier.hit_tokens,
                token_hit_rate: Hits { hit_tokens: tier.hit_tokens, tokens }.rate(),
                promoted: (place > 0).then(|| flow(&tier.up)),
                demoted: is_exclusive.then(|| flow(&tier.down)),
                written: (!is_exclusive).then(|| flow(&tier.down)),
            }
        };
        let Fleet { replicas, route } = self.fleet;
        TierRow { replicas, route, mode: self.mode, tokens, tiers: all.map(figures).collect() }
    }
}
