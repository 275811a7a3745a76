//! Caches without a limit whose blocks expire when they have not been used for some time.

use crate::stats::cache::figures::{Hits, TtlRow};
use crate::stats::cache::stack::{Retained, StackRun};
use crate::stats::seen::{HitCount, Seen};

/// Hits by time to live. Memory: 8 bytes per request.
pub(super) struct TimesToLive {
    count: HitCount,
    /// In milliseconds.
    ttls: Vec<u64>,
    hit_tokens: Vec<u128>,
    /// Those of requests whose server recorded its own hits.
    recorded_hits: Vec<u128>,
    /// Arrival of each request in the numbering of the LRU stack.
    times: Vec<f64>,
}

impl TimesToLive {
    /// No request yet.
    pub(super) fn new(ttls: &[u64], count: HitCount) -> Self {
        let zeros = vec![0; ttls.len()];
        Self {
            count,
            ttls: ttls.to_vec(),
            hit_tokens: zeros.clone(),
            recorded_hits: zeros,
            times: Vec::new(),
        }
    }

    /// Takes the next request, whose known prefix falls into `runs`.
    pub(super) fn access(&mut self, seen: &Seen, runs: &[StackRun]) {
        if self.ttls.is_empty() {
            return;
        }
        if seen.is_measured {
            for (place, &ttl) in self.ttls.iter().enumerate() {
                let alive = |run: &&StackRun| seen.now - self.times[run.request as usize] <= ttl as f64;
                let blocks: u64 = runs.iter().take_while(alive).map(|run| u64::from(run.len)).sum();
                let tokens = u128::from(self.count.tokens(blocks, seen.input_length));
                self.hit_tokens[place] += tokens;
                if seen.recorded.is_some() {
                    self.recorded_hits[place] += tokens;
                }
            }
        }
        self.times.push(seen.now);
    }

    /// Goes on with the requests that are kept.
    pub(super) fn retain(&mut self, retained: &Retained) {
        if !self.ttls.is_empty() {
            retained.requests.compact(&mut self.times);
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        8 * self.times.len()
    }

    /// The hits so far of requests whose server recorded its own, by time to live in milliseconds.
    pub(super) fn recorded_hits(&self) -> impl Iterator<Item = (u64, u128)> + '_ {
        self.ttls.iter().copied().zip(self.recorded_hits.iter().copied())
    }

    /// The hits so far, of `tokens` in all.
    pub(super) fn rows(&self, tokens: u128) -> Vec<TtlRow> {
        let hits = self.ttls.iter().zip(&self.hit_tokens);
        hits.map(|(&ttl_ms, &hit_tokens)| TtlRow { ttl_ms, hits: Hits { hit_tokens, tokens }, cost: None })
            .collect()
    }
}
