//! Caches of a policy without a stack, simulated at chosen capacities as requests come.

use std::collections::BTreeMap;

use crate::error::Invalid;
use crate::stats::cache::policy::{Eviction, Point, Study};
use crate::stats::hit_count::{HitCount, Tally};
use crate::stats::requests::RequestHits;
use crate::stats::seen::Seen;
use crate::stats::statistic::Bytes;

/// A cache of one capacity.
#[derive(Clone)]
struct Simulation<E> {
    capacity: u64,
    /// Prompt tokens served to measured requests.
    hits: Tally,
    /// Those of requests whose server recorded its own hits.
    recorded_hits: u128,
    cache: E,
}

impl<E: Eviction> Simulation<E> {
    fn new(capacity: u64) -> Self {
        Self { capacity, hits: Tally::default(), recorded_hits: 0, cache: E::default() }
    }

    /// Takes the next request, and gives its hits.
    fn access(&mut self, seen: &Seen, count: HitCount) -> u64 {
        let hit = self.cache.access(seen, usize::try_from(self.capacity).unwrap_or(usize::MAX));
        let tokens = count.tokens(hit as u64, seen.input_length);
        if seen.is_measured {
            self.hits.add(tokens, count);
            self.recorded_hits += if seen.recorded.is_some() { u128::from(tokens) } else { 0 };
        }
        tokens
    }
}

/// Caches of one policy: at capacities that are known from the start, and for a curve at the powers of
/// two, as far as they differ.
///
/// As long as nothing has left a cache, it is the same as any larger one. So only the last cache of the
/// curve may still grow, and where it is about to lose a block, a copy of it begins the next one:
/// together they hold at most three times the distinct blocks.
pub(super) struct Simulated<E> {
    count: HitCount,
    chosen: Vec<Simulation<E>>,
    /// The powers of two, rising; empty if no curve is asked for.
    ladder: Vec<Simulation<E>>,
    /// The hits of each request, if wanted.
    hits: Option<Vec<RequestHits>>,
}

impl<E: Eviction> Simulated<E> {
    /// Empty caches of these capacities, and those of a curve if wanted.
    pub(super) fn new(capacities: &[u64], has_curve: bool, has_hits: bool, count: HitCount) -> Self {
        let chosen = capacities.iter().map(|&capacity| Simulation::new(capacity)).collect();
        let ladder = Vec::from_iter(has_curve.then(|| Simulation::new(1)));
        Self { count, chosen, ladder, hits: has_hits.then(Vec::new) }
    }

    fn all(&self) -> impl Iterator<Item = &Simulation<E>> {
        self.ladder.iter().chain(&self.chosen)
    }
}

impl<E: Eviction> Study for Simulated<E> {
    fn access(&mut self, seen: &Seen) -> Result<(), Invalid> {
        while let Some(last) = self.ladder.last()
            && (last.capacity as usize) < last.cache.len() + seen.ids.len()
        {
            let mut next = last.clone();
            next.capacity *= 2;
            self.ladder.push(next);
        }
        for cache in &mut self.ladder {
            cache.access(seen, self.count);
        }
        for cache in &mut self.chosen {
            let tokens = Some(cache.access(seen, self.count));
            if let Some(hits) = &mut self.hits {
                hits.push(RequestHits { request: seen.index, capacity: cache.capacity, tokens });
            }
        }
        Ok(())
    }

    fn recorded_hits(&self) -> Vec<(u64, u128)> {
        self.chosen.iter().map(|cache| (cache.capacity, cache.recorded_hits)).collect()
    }

    fn take_hits(&mut self, out: &mut Vec<RequestHits>) {
        out.extend(self.hits.iter_mut().flat_map(|hits| hits.drain(..)));
    }

    fn bytes(&self) -> Bytes {
        Bytes { simulated: self.all().map(|simulation| simulation.cache.bytes()).sum(), ..Bytes::default() }
    }

    fn points(&self, _: &[u64], working_set: u64) -> BTreeMap<u64, Point> {
        let smaller = self.ladder.iter().filter(|cache| cache.capacity < working_set);
        let points = smaller.map(|cache| (cache.capacity, cache.hits.into()));
        let whole = self.ladder.last().map(|last| (working_set, last.hits.into()));
        let chosen = self.chosen.iter().map(|cache| (cache.capacity, cache.hits.into()));
        points.chain(whole.filter(|_| working_set > 0)).chain(chosen).collect()
    }
}
