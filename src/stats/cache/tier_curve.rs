//! What the size of one tier of a cache makes of it, at every size at once.
//!
//! Tiers are cut from LRU stacks, so hits up to any cut are those of one cache of that size, and what crosses a cut
//! is counted by the depth of each use. Only a shared pool below the tiers has a stack of its own: of each request,
//! what it holds is there whatever the tiers are, and the rest counts by the stack of the replica.

use crate::fleet::{Fleet, Run};
use crate::stats::cache::distances::HitsByDistance;
use crate::stats::cache::figures::Hits;
use crate::stats::cache::options::CacheOptions;
use crate::stats::cache::sized_hits::SizedHits;
use crate::stats::cache::tier_figures::{
    BlockFlow, TierCurveRow, TierFigures, TierMode, TierPoint, TierSizes,
};
use crate::stats::cache::tiers::{InStack, TieredRequest};
use crate::stats::hit_count::HitCount;

/// One tier of a fleet, of every size. Memory: 8 bytes for each distance that occurs, for what moves up and what
/// moves down each, and as many with a shared pool.
pub(super) struct TierCurve {
    fleet: Fleet,
    /// Which of the fleets that are simulated it is.
    pub(super) place: usize,
    mode: TierMode,
    sizes: TierSizes,
    /// Which of the tiers is of every size.
    varied: usize,
    /// Blocks of prefixes that are found, by distance.
    found: HitsByDistance,
    /// Blocks that are used, by how many are above them in the stack; those that are in no tier when they are used
    /// are not among them.
    used: HitsByDistance,
    /// All blocks that are used.
    uses: u128,
    pool: Option<Pool>,
}

/// A pool below the tiers.
struct Pool {
    blocks: u64,
    /// Tokens found in it or in a tier: in it, and beyond that by distance.
    inside: u128,
    beyond: HitsByDistance,
}

impl TierCurve {
    /// No request yet, of this fleet with all tiers that are asked for at every size.
    pub(super) fn all(options: &CacheOptions, fleet: Fleet, place: usize) -> Vec<Self> {
        let every = || HitsByDistance::new(&[], true);
        let pool = || options.shared.map(|blocks| Pool { blocks, inside: 0, beyond: every() });
        let curve = |sizes: &TierSizes| {
            Some(Self {
                fleet,
                place,
                mode: options.tier_mode,
                varied: sizes.varied()?,
                sizes: sizes.clone(),
                found: every(),
                used: every(),
                uses: 0,
                pool: pool(),
            })
        };
        options.tiers.iter().filter_map(curve).collect()
    }

    /// Counts a request.
    pub(super) fn measure(&mut self, request: &TieredRequest, count: HitCount) {
        let TieredRequest { stack, one, length, .. } = *request;
        let distances = stack.runs.iter().map(|run| (run.len, run.distance));
        let known: u64 = stack.runs.iter().map(|run| u64::from(run.len)).sum();
        let known = known.min(count.limit(length));
        self.found.measure(distances, known as u32, known, 1);
        for one in stack.uses {
            self.uses += u128::from(one.len);
            match (one.is_new, self.mode) {
                (false, _) => self.used.add(one.depth, 1, i64::from(one.len)),
                // Each finds one block more than the one before, and has no place in a full tier.
                (true, TierMode::Exclusive) => self.used.add(one.depth, one.len, 1),
                (true, TierMode::Inclusive) => (),
            }
        }
        if let Some(pool) = &mut self.pool {
            pool.measure(stack, one, known, length, count);
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let pool = self.pool.as_ref().map_or(0, |pool| pool.beyond.bytes());
        self.found.bytes() + self.used.bytes() + pool
    }

    /// The figures so far at rising sizes. `hits` are those of one cache of each size for each replica, of `tokens` in
    /// all. `seconds` and `bytes` are as in [`TierStudy::row`](super::tiers::TierStudy::row).
    pub(super) fn row(
        &self,
        at: &[u64],
        hits: &SizedHits,
        tokens: u128,
        seconds: Option<f64>,
        bytes: impl Fn(u64) -> Option<u128>,
    ) -> TierCurveRow {
        let size = |(_, size): &(String, Option<u64>)| size.unwrap_or(0);
        let others = |tiers: &[(String, Option<u64>)]| match self.mode {
            TierMode::Exclusive => tiers.iter().map(size).fold(0, u64::saturating_add),
            TierMode::Inclusive => tiers.iter().map(size).max().unwrap_or(0),
        };
        // So many blocks are in both together.
        let with = |a: u64, b: u64| match self.mode {
            TierMode::Exclusive => a.saturating_add(b),
            TierMode::Inclusive => a.max(b),
        };
        let tiers = &self.sizes.tiers;
        let (above, below) = (others(&tiers[..self.varied]), others(&tiers[self.varied + 1..]));
        let to_here: Vec<u64> = at.iter().map(|&size| with(above, size)).collect();
        let to_end: Vec<u64> = to_here.iter().map(|&end| with(end, below)).collect();
        let within = |ends: &[u64]| hits.at(ends).into_iter().map(|hits| hits.tokens).collect::<Vec<_>>();
        let (faster, here) = (within(&[above])[0], within(&to_here));
        let all = self.pool.as_ref().map_or_else(|| within(&to_end), |pool| pool.at(&to_end));
        let faster_blocks = self.found.at(&[above])[0];
        let found = self.found.at(&to_here);
        let own: &[u64] = if self.mode == TierMode::Exclusive { &to_here } else { at };
        let used = self.used.at(own);
        let is_exclusive = self.mode == TierMode::Exclusive;
        let name = &tiers[self.varied].0;
        let point = |place: usize| {
            let flow = |blocks| BlockFlow::new(blocks, bytes(1), seconds);
            let down = flow(self.uses - used[place]);
            let hit_tokens = here[place] - faster;
            TierPoint {
                tier: TierFigures {
                    name: name.clone(),
                    shared: false,
                    size_blocks: at[place],
                    size_bytes: bytes(at[place]),
                    hit_tokens,
                    token_hit_rate: Hits { hit_tokens, tokens }.rate(),
                    promoted: (self.varied > 0).then(|| flow(found[place] - faster_blocks)),
                    demoted: is_exclusive.then_some(down),
                    written: (!is_exclusive).then_some(down),
                },
                all_hit_tokens: all[place],
                all_token_hit_rate: Hits { hit_tokens: all[place], tokens }.rate(),
            }
        };
        let Fleet { replicas, route } = self.fleet;
        TierCurveRow {
            replicas,
            route,
            mode: self.mode,
            tokens,
            tier: name.clone(),
            tiers: self.sizes.clone(),
            sizes: (0..at.len()).map(point).collect(),
        }
    }
}

impl Pool {
    /// Counts a request of which a replica knows so many blocks that count.
    fn measure(&mut self, stack: InStack, one: InStack, known: u64, length: u64, count: HitCount) {
        let inside = one.held(self.blocks).min(count.limit(length));
        let tokens = |blocks| count.tokens(blocks, length);
        self.inside += u128::from(tokens(inside));
        if let Some(beyond) = known.checked_sub(inside).filter(|&beyond| beyond > 0) {
            let runs = behind(stack.runs, inside);
            self.beyond.measure(runs, beyond as u32, tokens(known) - tokens(inside), count.block_size);
        }
    }

    /// Tokens found in it or in tiers of so many blocks.
    fn at(&self, ends: &[u64]) -> Vec<u128> {
        self.beyond.at(ends).into_iter().map(|tokens| tokens + self.inside).collect()
    }
}

/// Lengths and distances of runs without their first blocks.
fn behind(runs: &[Run], mut blocks: u64) -> impl Iterator<Item = (u32, u32)> {
    let mut distance = 0;
    runs.iter().filter_map(move |run| {
        // A block behind one that is gone is no hit.
        let first = run.distance.max(distance);
        let skipped = blocks.min(run.len.into()) as u32;
        blocks -= u64::from(skipped);
        distance = first + run.len.saturating_sub(1);
        (skipped < run.len).then(|| (run.len - skipped, first + skipped))
    })
}
