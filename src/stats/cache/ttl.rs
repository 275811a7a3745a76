//! Caches without a limit whose blocks expire when they have not been used for some time.

use crate::stats::cache::figures::{Hits, TtlRow};
use crate::stats::cache::stack::{Retained, StackRun};
use crate::stats::hit_count::HitCount;
use crate::stats::seen::Seen;

/// Hits by time to live. Memory: 8 bytes per request.
pub(super) struct TimesToLive {
    count: HitCount,
    /// In milliseconds.
    ttls: Vec<u64>,
    hit_tokens: Vec<u128>,
    /// Arrival of each request in the numbering of the LRU stack.
    times: Vec<f64>,
}

impl TimesToLive {
    /// No request yet.
    pub(super) fn new(ttls: &[u64], count: HitCount) -> Self {
        Self { count, ttls: ttls.to_vec(), hit_tokens: vec![0; ttls.len()], times: Vec::new() }
    }

    /// Takes the next request, whose known prefix falls into `runs`.
    pub(super) fn access(&mut self, seen: &Seen, runs: &[StackRun]) {
        if self.ttls.is_empty() {
            return;
        }
        if seen.is_measured {
            for (&ttl, hits) in self.ttls.iter().zip(&mut self.hit_tokens) {
                let alive = |run: &&StackRun| seen.now - self.times[run.request as usize] <= ttl as f64;
                let blocks: u64 = runs.iter().take_while(alive).map(|run| u64::from(run.len)).sum();
                *hits += u128::from(self.count.tokens(blocks, seen.input_length));
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

    /// The hits so far, of `tokens` in all.
    pub(super) fn rows(&self, tokens: u128) -> Vec<TtlRow> {
        let hits = self.ttls.iter().zip(&self.hit_tokens);
        hits.map(|(&ttl_ms, &hit_tokens)| TtlRow { ttl_ms, hits: Hits { hit_tokens, tokens } }).collect()
    }
}
