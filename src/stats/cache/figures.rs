//! What is said of finite caches.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::stats::accuracy::Accuracy;
use crate::stats::cache::lifetime::Ttl;
use crate::stats::cache::load::LoadFigures;
use crate::stats::price::Cost;

/// Hits of a cache over the measured requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hits {
    /// Prompt tokens served from the cache.
    pub hit_tokens: u128,
    /// All prompt tokens.
    pub tokens: u128,
}

impl Hits {
    /// Those of two caches.
    #[must_use]
    pub(in crate::stats) fn plus(self, other: Self) -> Self {
        Self { hit_tokens: self.hit_tokens + other.hit_tokens, tokens: self.tokens + other.tokens }
    }

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

/// With the figures that follow from them.
impl Serialize for Hits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut served = serializer.serialize_struct("Hits", 4)?;
        served.serialize_field("hit_tokens", &self.hit_tokens)?;
        served.serialize_field("tokens", &self.tokens)?;
        served.serialize_field("token_hit_rate", &self.rate())?;
        served.serialize_field("prefill_saving", &self.prefill_saving())?;
        served.end()
    }
}

/// The prefill that a cache leaves, as arithmetic of a model. A token behind a long prompt takes more of it than
/// one at the beginning, so savings in tokens are larger.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PrefillWork {
    /// FLOPs of what is not served from the cache.
    pub prefill_flops: u128,
    /// How many times the FLOPs of the prefill without a cache are that.
    pub prefill_saving_compute: Option<f64>,
    /// The FLOPs of the prefill without a cache.
    #[serde(skip)]
    pub flops: u128,
}

impl PrefillWork {
    /// What is left of `all` FLOPs if those of the hits are saved.
    pub(in crate::stats) fn new(all: u128, hit: u128) -> Self {
        let rest = all - hit.min(all);
        let saving = (rest > 0).then(|| all as f64 / rest as f64);
        Self { prefill_flops: rest, prefill_saving_compute: saving, flops: all }
    }

    /// That of both.
    pub(in crate::stats) fn plus(self, other: Self) -> Self {
        let (all, rest) = (self.flops + other.flops, self.prefill_flops + other.prefill_flops);
        Self::new(all, all - rest)
    }
}

/// Hits of a cache of one policy and capacity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CapacityRow {
    /// The name of the policy, or `infinite`.
    pub policy: &'static str,
    /// Blocks that the cache holds.
    pub capacity_blocks: u64,
    /// The same in tokens, where blocks of several sizes are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_tokens: Option<u64>,
    /// The same in bytes, where the size of a token is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u128>,
    /// What it served.
    #[serde(flatten)]
    pub hits: Hits,
    /// What it leaves to compute, where the model is known.
    #[serde(flatten)]
    pub work: Option<PrefillWork>,
    /// Token hit rate of the policy `opt` at this capacity, less that of this cache, where `opt` is among the
    /// policies: what a better policy could gain. It serves the most blocks possible, and in tokens nearly the
    /// most, since last blocks may be partial; so this may be below zero by as much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below_opt: Option<f64>,
    /// Requests that do not fit into the cache of an engine; they are in no other figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_requests: Option<u64>,
    /// Tokens that they would have generated, which are not billed.
    #[serde(skip)]
    pub(crate) refused_output_tokens: u128,
    /// What the requests cost with it, if prices are given.
    #[serde(flatten)]
    pub cost: Option<Cost>,
    /// What else happened, where an engine serves requests together.
    #[serde(flatten)]
    pub load: Option<LoadFigures>,
    /// What its hits are worth; a standard error is that of the hit rate.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

impl CapacityRow {
    /// Its name: the policy and the blocks that it holds, or `infinite`.
    pub fn name(&self) -> String {
        match self.policy {
            "infinite" => self.policy.to_owned(),
            policy => format!("{policy}:{}", self.capacity_blocks),
        }
    }

    /// Whether requests evict each other's blocks before they are asked for again: together they find less
    /// than half of what they find one after the other.
    pub fn is_thrashing(&self) -> bool {
        self.load.is_some_and(|load| 2 * self.hits.hit_tokens < load.sequential_hit_tokens)
    }
}

/// The smallest LRU cache that reaches a share of the infinite cache's hits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TargetRow {
    /// The share asked for.
    pub share: f64,
    /// The cache that reaches it.
    #[serde(flatten)]
    pub row: CapacityRow,
}

/// Hits of a cache whose blocks expire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TtlRow {
    /// Time after which a block is gone, in milliseconds: since its last use, or since its write.
    pub ttl_ms: u64,
    /// Whether that is since its write.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
    /// Blocks that the cache holds; `None` without a limit.
    pub capacity_blocks: Option<u64>,
    /// The same in bytes, where the size of a token is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u128>,
    /// What it served.
    #[serde(flatten)]
    pub hits: Hits,
    /// What it leaves to compute, where the model is known.
    #[serde(flatten)]
    pub work: Option<PrefillWork>,
    /// What the requests cost with it, if prices are given.
    #[serde(flatten)]
    pub cost: Option<Cost>,
}

impl TtlRow {
    /// The time to live that was asked for.
    pub fn ttl(&self) -> Ttl {
        if self.fixed { Ttl::Fixed(self.ttl_ms) } else { Ttl::Sliding(self.ttl_ms) }
    }
}

/// Figures of finite caches.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CacheFigures {
    /// Capacities that were asked for one by one, in blocks, rising.
    #[serde(skip)]
    pub named: Vec<u64>,
    /// One row per policy and capacity; the last one is the infinite cache. Empty if only a picture is
    /// asked for.
    pub capacity: Vec<CapacityRow>,
    /// The rows to draw, if asked for: per policy with rising capacity.
    #[serde(skip)]
    pub curve: Vec<CapacityRow>,
    /// The cache without limit, of the size of the working set.
    #[serde(skip)]
    pub infinite: CapacityRow,
}
