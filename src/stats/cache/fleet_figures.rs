//! What is said of replicas behind a router.

use serde::{Serialize, Serializer};

use crate::fleet::{Fleet, Route};
use crate::stats::cache::figures::{Hits, PrefillWork};

/// Replicas behind a router.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetRow {
    /// How many replicas there are.
    pub replicas: u32,
    /// Which of them gets a request.
    #[serde(serialize_with = "as_text")]
    pub route: Route,
    /// Prompt tokens of the measured requests that have blocks.
    pub tokens: u128,
    /// Those that replicas with caches without limit serve.
    pub infinite_hit_tokens: u128,
    /// The same as a share.
    pub infinite_token_hit_rate: Option<f64>,
    /// Most requests that one replica got.
    pub requests_max: u64,
    /// Requests of the busiest replica over the mean. The busiest is the one that computes most prompt tokens where
    /// caches have no limit.
    pub request_imbalance: f64,
    /// Prompt tokens that the busiest replica computes.
    pub work_max_tokens: u128,
    /// The same over the mean of all replicas; 0 if there is nothing to compute.
    pub work_imbalance: f64,
    /// The most of them that come to it in one second of trace time, from one whole second to the next; `None`
    /// without times.
    pub peak_second_tokens: Option<u128>,
    /// The same of the replica where it is highest, which need not be the busiest.
    pub highest_peak_second_tokens: Option<u128>,
    /// The same in compute, where the model is known.
    #[serde(flatten)]
    pub compute: Option<FleetCompute>,
    /// Caches of all capacities asked for.
    pub capacity: Vec<FleetCapacity>,
    /// The smallest caches that reach a share of the hits of caches without limit, one row per share asked for.
    #[serde(rename = "target", skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<FleetTarget>,
    /// Caches whose blocks expire, without a limit and of each capacity.
    #[serde(rename = "ttl", skip_serializing_if = "Vec::is_empty")]
    pub ttls: Vec<FleetTtl>,
    /// The rows to draw, if that is asked for.
    #[serde(skip)]
    pub curve: Vec<FleetCapacity>,
}

impl FleetRow {
    /// The row of a fleet without any figure.
    pub(super) fn of(fleet: Fleet) -> Self {
        Self {
            replicas: fleet.replicas,
            route: fleet.route,
            tokens: 0,
            infinite_hit_tokens: 0,
            infinite_token_hit_rate: None,
            requests_max: 0,
            request_imbalance: 0.0,
            work_max_tokens: 0,
            work_imbalance: 0.0,
            peak_second_tokens: None,
            highest_peak_second_tokens: None,
            compute: None,
            capacity: Vec::new(),
            targets: Vec::new(),
            ttls: Vec::new(),
            curve: Vec::new(),
        }
    }

    /// What caches without limit serve.
    pub fn infinite(&self) -> Hits {
        Hits { hit_tokens: self.infinite_hit_tokens, tokens: self.tokens }
    }

    /// The number of replicas and the route, in short.
    pub fn name(&self) -> String {
        format!("{} {}", self.replicas, self.route)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is that of serde")]
fn as_text<S: Serializer>(route: &Route, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(route)
}

/// What replicas with caches without limit leave to compute, and how that is spread. The busiest one in compute need
/// not be the busiest in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetCompute {
    /// FLOPs of what is not served from the caches, of requests that have blocks.
    pub infinite_prefill_flops: u128,
    /// How many times the FLOPs of the prefill without a cache are that.
    pub infinite_prefill_saving_compute: Option<f64>,
    /// The most FLOPs of one replica.
    pub work_max_flops: u128,
    /// The same over the mean of all replicas; 0 if there is nothing to compute.
    pub work_imbalance_compute: f64,
    /// The most of them that come to it in one second of trace time; `None` without times.
    pub peak_second_flops: Option<u128>,
    /// The same of the replica where it is highest.
    pub highest_peak_second_flops: Option<u128>,
}

/// LRU caches of one size, one for each replica.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetCapacity {
    /// Blocks that the cache of each replica holds.
    pub capacity_blocks: u64,
    /// The same in bytes, where the size of a token is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u128>,
    /// Blocks of all replicas together.
    pub total_blocks: u64,
    /// The same in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u128>,
    /// What the caches served.
    #[serde(flatten)]
    pub hits: Hits,
    /// What they leave to compute, where the model is known.
    #[serde(flatten)]
    pub work: Option<PrefillWork>,
    /// What one cache of as many blocks as all of them, shared by all, serves.
    pub shared_hit_tokens: u128,
    /// The same as a share.
    pub shared_token_hit_rate: Option<f64>,
    /// How many times the FLOPs of the prefill without a cache are those with that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_prefill_saving_compute: Option<f64>,
}

/// The smallest caches that reach a share of the hits that caches without limit have in the same fleet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetTarget {
    /// The share asked for.
    pub share: f64,
    /// The caches that reach it.
    #[serde(flatten)]
    pub row: FleetCapacity,
}

/// Caches of one size whose blocks expire some time after their last use, one for each replica.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetTtl {
    /// Time since its last use after which a block is gone, in milliseconds.
    pub ttl_ms: u64,
    /// Blocks that the cache of each replica holds; `None` without a limit.
    pub capacity_blocks: Option<u64>,
    /// What the caches served.
    #[serde(flatten)]
    pub hits: Hits,
    /// What they leave to compute, where the model is known.
    #[serde(flatten)]
    pub work: Option<PrefillWork>,
}
