//! What is said of finite caches.

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
