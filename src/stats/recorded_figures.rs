//! The figures of what servers recorded of their own caches.

use serde::Serialize;

use crate::stats::price::{Cost, Price};

/// What the server recorded of its own cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecordedFigures {
    /// Requests whose record says what was cached.
    pub requests: u64,
    /// Prompt tokens of these, as the server counted them.
    pub input_tokens: u128,
    /// Those that the server found in its cache.
    pub cached_tokens: u128,
    /// Cached over input tokens.
    pub token_hit_rate: Option<f64>,
    /// Requests of these whose record says what was written to the cache, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_requests: Option<u64>,
    /// Prompt tokens that were written there for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_tokens: Option<u128>,
    /// What these requests cost, if prices are given. Where it is not known what was written, it is taken to be
    /// all that was not found and that the cache can hold.
    #[serde(flatten)]
    pub cost: Option<Cost>,
    /// What the ids of measured requests allow, where any has ids too.
    #[serde(flatten)]
    pub compared: Option<Comparison>,
    /// The line of the first request of which the server found more than the ids allow, and a partial block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_beyond_line: Option<u64>,
    /// What the caches asked for would have served to the compared requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<RecordedCache>,
    /// The comparison by hour of trace time, where requests have times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<RecordedHour>,
}

impl RecordedFigures {
    /// Whether its cost takes for written what may not have been, at a price that is not that of input.
    pub fn assumes_writes(&self, price: &Price) -> bool {
        price.write != price.input && self.write_requests.unwrap_or(0) < self.requests
    }
}

/// What a server found beside what could have been found by the ids, over requests that have both. Found tokens
/// are possible ones less those evicted and lost to rules, and those above what is possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// How many requests.
    #[serde(rename = "compared_requests")]
    pub requests: u64,
    /// Their prompt tokens, as the server counted them.
    #[serde(rename = "compared_tokens")]
    pub input_tokens: u128,
    /// Those that the server found in its cache.
    pub found_tokens: u128,
    /// Those that a cache without limit has, in blocks of whatever length.
    pub possible_tokens: u128,
    /// Not found though full blocks of them had been there, and they were not the last token: evicted, expired
    /// or on another replica.
    pub evicted_tokens: u128,
    /// Not found, and by the rules of engines not to be found: in a partial block, or the last token.
    pub rules_tokens: u128,
    /// Requests of which more was found than is possible.
    pub above_possible_requests: u64,
    /// By how many tokens.
    pub above_possible_tokens: u128,
    /// Those of them of which more was found than a part of the next block explains.
    pub beyond_block_requests: u64,
    /// Requests of which less was found than is possible.
    pub below_possible_requests: u64,
    /// By how many tokens.
    pub below_possible_tokens: u128,
}

impl Comparison {
    /// The share of some of the tokens in all; `None` of nothing.
    pub fn share(&self, tokens: u128) -> Option<f64> {
        (self.input_tokens > 0).then(|| tokens as f64 / self.input_tokens as f64)
    }
}

/// What a cache would have served to the requests whose records say what the server found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecordedCache {
    /// Its name: `lru:1000`, `ttl:300000ms` or `infinite`.
    pub cache: String,
    /// Prompt tokens that it would have served.
    pub hit_tokens: u128,
    /// What the requests would have cost with it, if prices are given.
    #[serde(flatten)]
    pub cost: Option<Cost>,
}

/// A comparison over a stretch of trace time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecordedHour {
    /// When it begins, in milliseconds.
    pub start_ms: f64,
    /// How long it is: an hour, or more where there are more than 1,024 with requests.
    pub length_s: f64,
    /// What was found in it.
    #[serde(flatten)]
    pub compared: Comparison,
}
