//! Caches without a limit whose blocks expire when they have not been used for some time.

use crate::stats::cache::figures::{Hits, PrefillWork, TtlRow};
use crate::stats::cache::stack::{Retained, StackRun};
use crate::stats::seen::{HitCount, Seen, Tally};

/// Hits by time to live. Memory: 8 bytes per request.
pub(super) struct TimesToLive {
    count: HitCount,
    /// In milliseconds.
    ttls: Vec<u64>,
    hits: Vec<Tally>,
    /// Arrival of each request in the numbering of the LRU stack.
    times: Vec<f64>,
}

impl TimesToLive {
    /// No request yet.
    pub(super) fn new(ttls: &[u64], count: HitCount) -> Self {
        Self { count, ttls: ttls.to_vec(), hits: vec![Tally::default(); ttls.len()], times: Vec::new() }
    }

    /// Takes the next request, whose known prefix falls into `runs`.
    pub(super) fn access(&mut self, seen: &Seen, runs: &[StackRun]) {
        if self.ttls.is_empty() {
            return;
        }
        if seen.is_measured {
            for (&ttl, hits) in self.ttls.iter().zip(&mut self.hits) {
                let alive = |run: &&StackRun| seen.now - self.times[run.request as usize] <= ttl as f64;
                let blocks: u64 = runs.iter().take_while(alive).map(|run| u64::from(run.len)).sum();
                hits.add(self.count.tokens(blocks, seen.input_length), self.count);
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

    /// The hits so far, of `all` prompts.
    pub(super) fn rows(&self, all: Tally) -> Vec<TtlRow> {
        let row = |(&ttl_ms, &hits): (&u64, &Tally)| TtlRow {
            ttl_ms,
            hits: Hits { hit_tokens: hits.tokens, tokens: all.tokens },
            work: self.count.prefill.map(|_| PrefillWork::new(all.flops, hits.flops)),
        };
        self.ttls.iter().zip(&self.hits).map(row).collect()
    }
}
