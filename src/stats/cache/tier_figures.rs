//! What is said of caches in tiers.

use serde::{Serialize, Serializer};

use crate::fleet::Route;
use crate::stats::cache::figures::Hits;

/// Which blocks a tier holds beside the one above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TierMode {
    /// Others: what leaves a tier enters the next.
    #[default]
    Exclusive,
    /// The same and more: every block is written into every tier, and leaves each by itself.
    Inclusive,
}

/// The tiers of each replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierSizes {
    /// The names and sizes in blocks, the fastest tier first. One of them may be without a size: then it is studied at
    /// all sizes.
    pub tiers: Vec<(String, Option<u64>)>,
}

impl TierSizes {
    /// The place of the tier that has no size.
    pub(super) fn varied(&self) -> Option<usize> {
        self.tiers.iter().position(|(_, size)| size.is_none())
    }
}

/// Replicas whose caches have tiers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TierRow {
    /// How many replicas there are.
    pub replicas: u32,
    /// Which of them gets a request.
    #[serde(serialize_with = "as_text")]
    pub route: Route,
    /// What a tier holds beside the one above it.
    pub mode: TierMode,
    /// Prompt tokens of the measured requests that have blocks.
    pub tokens: u128,
    /// The tiers of each replica, the fastest one first, and last the pool that all share, if there is one.
    pub tiers: Vec<TierFigures>,
}

impl TierRow {
    /// No hits in these prompts.
    pub fn nothing(&self) -> Hits {
        Hits { hit_tokens: 0, tokens: self.tokens }
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

/// One tier of all replicas, or the pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TierFigures {
    /// Its name.
    pub name: String,
    /// Whether all replicas share it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// Blocks that it holds, of each replica.
    pub size_blocks: u64,
    /// The same in bytes, where the size of a token is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u128>,
    /// Prompt tokens found in it and not in a faster one.
    pub hit_tokens: u128,
    /// The same as a share of all prompt tokens.
    pub token_hit_rate: Option<f64>,
    /// Blocks found in it and moved up, unless it is the fastest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted: Option<BlockFlow>,
    /// Blocks that leave it for the next one, or altogether if it is the last, where tiers are exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demoted: Option<BlockFlow>,
    /// Blocks written into it because it does not hold them, where tiers are inclusive, and of a pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<BlockFlow>,
}

/// Replicas whose caches have tiers, one of which is of many sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TierCurveRow {
    /// How many replicas there are.
    pub replicas: u32,
    /// Which of them gets a request.
    #[serde(serialize_with = "as_text")]
    pub route: Route,
    /// What a tier holds beside the one above it.
    pub mode: TierMode,
    /// Prompt tokens of the measured requests that have blocks.
    pub tokens: u128,
    /// The name of the tier that is of many sizes.
    pub tier: String,
    /// All tiers.
    #[serde(skip)]
    pub tiers: TierSizes,
    /// What each size makes of it.
    pub sizes: Vec<TierPoint>,
}

impl TierCurveRow {
    /// No hits in these prompts.
    pub fn nothing(&self) -> Hits {
        Hits { hit_tokens: 0, tokens: self.tokens }
    }

    /// The number of replicas and the route, in short.
    pub fn name(&self) -> String {
        format!("{} {}", self.replicas, self.route)
    }
}

/// What a size of a tier makes of caches.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TierPoint {
    /// The tier of this size. Most blocks in one second are not known of it.
    #[serde(flatten)]
    pub tier: TierFigures,
    /// Prompt tokens found in any tier, or in the pool.
    pub all_hit_tokens: u128,
    /// The same as a share.
    pub all_token_hit_rate: Option<f64>,
}

/// Blocks that move, of all replicas together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BlockFlow {
    /// How many.
    pub blocks: u128,
    /// Their size, where that of a token is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u128>,
    /// The size of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_bytes: Option<u128>,
    /// Blocks per second, over the time from the first measured request to the last.
    pub mean_per_s: Option<f64>,
    /// The most blocks in one second of trace time, from one whole second to the next; `None` without times, and of a
    /// tier of many sizes.
    pub peak_per_s: Option<u128>,
    /// The most of one replica.
    pub replica_peak_per_s: Option<u128>,
}

impl BlockFlow {
    /// So many blocks of this size, where that is known, in so many seconds, if there are times.
    pub(super) fn new(blocks: u128, block_bytes: Option<u128>, seconds: Option<f64>) -> Self {
        Self {
            blocks,
            bytes: block_bytes.map(|block| block * blocks),
            block_bytes,
            mean_per_s: seconds.filter(|&seconds| seconds > 0.0).map(|seconds| blocks as f64 / seconds),
            peak_per_s: None,
            replica_peak_per_s: None,
        }
    }
}
