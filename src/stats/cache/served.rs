//! Caches of engines that serve one request after the other, at chosen capacities.

use std::collections::BTreeMap;

use crate::error::Invalid;
use crate::stats::cache::policy::{Point, Refused, Study};
use crate::stats::engine::EngineRequest;
use crate::stats::hit_count::{HitCount, Tally};
use crate::stats::requests::RequestHits;
use crate::stats::seen::Seen;
use crate::stats::statistic::Bytes;

/// The cache of an engine. To add one, write one of these, and name it in
/// [`Policy`](super::policy::Policy) and in [`study`](super::study).
pub(super) trait Server: 'static {
    /// An empty cache of so many blocks of `block_size` tokens.
    fn new(capacity: u64, block_size: u64) -> Self;

    /// Whether the engine can serve a request at all.
    fn fits(&self, request: &EngineRequest) -> bool;

    /// Serves a request that fits; how many blocks of its prompt were there.
    fn serve(&mut self, request: &EngineRequest) -> u64;

    /// Bytes in use.
    fn bytes(&self) -> usize;
}

/// A cache of one capacity, and what it has served to measured requests.
struct OneCache<S> {
    capacity: u64,
    server: S,
    all: Tally,
    hits: Tally,
    /// Those of requests whose server recorded its own hits.
    recorded_hits: u128,
    refused: Refused,
}

/// Caches of one engine.
pub(super) struct ServedInTurn<S> {
    count: HitCount,
    caches: Vec<OneCache<S>>,
    /// The hits of each request, if wanted.
    hits: Option<Vec<RequestHits>>,
}

impl<S: Server> ServedInTurn<S> {
    /// Empty caches of these capacities. `has_hits` tells whether the hits of each request are wanted.
    pub(super) fn new(capacities: &[u64], count: HitCount, has_hits: bool) -> Self {
        let cache = |&capacity: &u64| {
            let server = S::new(capacity, count.block_size);
            let (all, hits) = (Tally::default(), Tally::default());
            OneCache { capacity, server, all, hits, recorded_hits: 0, refused: Refused::default() }
        };
        let caches = capacities.iter().map(cache).collect();
        Self { count, caches, hits: has_hits.then(Vec::new) }
    }
}

impl<S: Server> Study for ServedInTurn<S> {
    fn access(&mut self, seen: &Seen) -> Result<(), Invalid> {
        let Some(request) = &seen.engine else { return Ok(()) };
        for cache in &mut self.caches {
            let fits = cache.server.fits(request);
            let tokens = fits.then(|| cache.server.serve(request) * self.count.block_size);
            match tokens.filter(|_| seen.is_measured) {
                Some(tokens) => {
                    cache.all.add(request.prompt, self.count);
                    cache.hits.add(tokens, self.count);
                    cache.recorded_hits += if seen.recorded.is_some() { u128::from(tokens) } else { 0 };
                }
                None => cache.refused.add(seen),
            }
            if let Some(hits) = &mut self.hits {
                hits.push(RequestHits { request: seen.index, capacity: cache.capacity, tokens });
            }
        }
        Ok(())
    }

    fn bytes(&self) -> Bytes {
        let simulated = self.caches.iter().map(|cache| cache.server.bytes()).sum();
        Bytes { simulated, ..Bytes::default() }
    }

    fn needs_all_blocks(&self) -> bool {
        true
    }

    fn recorded_hits(&self) -> Vec<(u64, u128)> {
        self.caches.iter().map(|cache| (cache.capacity, cache.recorded_hits)).collect()
    }

    fn take_hits(&mut self, out: &mut Vec<RequestHits>) {
        out.extend(self.hits.iter_mut().flat_map(|hits| hits.drain(..)));
    }

    fn points(&self, _: &[u64], _: u64) -> BTreeMap<u64, Point> {
        let point = |cache: &OneCache<S>| Point {
            hits: cache.hits,
            all: Some(cache.all),
            refused: Some(cache.refused),
            load: None,
        };
        self.caches.iter().map(|cache| (cache.capacity, point(cache))).collect()
    }
}
