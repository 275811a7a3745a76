//! Which finite caches are studied, and how their figures are put together.

use crate::fleet::{Fleet, Route};
use crate::record::kv_size::PrefillCost;
use crate::stats::cache::figures::{CacheFigures, CapacityRow};
use crate::stats::cache::lifetime::Ttl;
use crate::stats::cache::load::Load;
use crate::stats::cache::policy::Policy;
use crate::stats::cache::tier_figures::{TierMode, TierSizes};
use crate::stats::engine::Answers;

/// What the hits of single requests are wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestUse {
    /// To be listed.
    pub listed: bool,
    /// To be compared with those that servers recorded.
    pub checked: bool,
}

/// Which finite caches are studied.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "one per thing that may be asked for")]
pub struct CacheOptions {
    /// Policies to report at each capacity; LRU if empty.
    pub policies: Vec<Policy>,
    /// The field that states the priority of a request, for [`Policy::Priority`].
    pub priority_field: Option<String>,
    /// Capacities to report, in blocks.
    pub capacities: Vec<u64>,
    /// Whether to give them in tokens, too.
    pub in_tokens: bool,
    /// Whether to report about 60 capacities up to the working set.
    pub curve: bool,
    /// Whether to report the same apart from what else is asked for, as [`CacheFigures::curve`].
    pub picture: bool,
    /// Shares of the infinite cache's hits to find the smallest LRU cache for.
    pub targets: Vec<f64>,
    /// A share of the same for [`Report::enough`](crate::stats::Report::enough), apart from the targets.
    pub enough: Option<f64>,
    /// Times to live, of caches without limit and of those of all capacities.
    pub ttls: Vec<Ttl>,
    /// Whether to report what becomes of every token in LRU caches of the capacities and times to live.
    pub misses: bool,
    /// The field that names the sessions of requests for that, if it is none of the usual ones.
    pub session_field: Option<String>,
    /// Replicas behind routers, each with a cache of every capacity.
    pub fleets: Vec<Fleet>,
    /// The tiers of each replica's cache, or of the one cache; several to compare.
    pub tiers: Vec<TierSizes>,
    /// What each tier holds beside the one above it.
    pub tier_mode: TierMode,
    /// Blocks of a pool below the tiers, one for all replicas.
    pub shared: Option<u64>,
    /// Requests that fill the caches before the measure begins.
    pub warmup: u64,
    /// Bytes of KV cache per token, to give capacities in bytes.
    pub kv_bytes_per_token: Option<u64>,
    /// What computing a prompt takes, to give savings in compute too.
    pub prefill: Option<PrefillCost>,
    /// How requests come to the engines of policies that serve several together.
    pub load: Load,
    /// What engines know of answers.
    pub answers: Answers,
    /// What the hits of single requests are wanted for.
    pub requests: RequestUse,
}

impl CacheOptions {
    /// Whether any finite cache is asked for.
    pub(in crate::stats) fn is_asked_for(&self) -> bool {
        self.picture
            || self.misses
            || self.enough.is_some()
            || self.wants_requests()
            || self.has_rows()
            || !self.fleets.is_empty()
            || !self.tiers.is_empty()
    }

    /// Whether the hits of single requests are of use.
    pub(in crate::stats) fn wants_requests(&self) -> bool {
        self.requests.listed || self.requests.checked
    }

    /// Whether there is an engine among the policies.
    pub(in crate::stats) fn has_engine(&self) -> bool {
        self.policies.iter().any(|policy| policy.is_engine())
    }

    /// Whether some router asks for the session of a request.
    pub(in crate::stats) fn wants_affinity(&self) -> bool {
        self.fleets.iter().any(|fleet| fleet.route == Route::Session)
    }

    /// Whether there is more than a picture.
    fn has_rows(&self) -> bool {
        self.curve || !self.capacities.is_empty() || !self.targets.is_empty() || !self.ttls.is_empty()
    }

    /// The sizes of a curve up to the working set, rising.
    pub(in crate::stats) fn curve_sizes(working_set: u64) -> Vec<u64> {
        log_spaced(working_set)
    }

    /// The capacities asked for and those of the curve, rising, without those of a picture.
    pub(in crate::stats) fn listed_capacities(&self, working_set: u64) -> Vec<u64> {
        Self { picture: false, ..self.clone() }.all_capacities(working_set)
    }

    /// The capacities asked for and those of the curve or the picture, rising.
    pub(in crate::stats) fn all_capacities(&self, working_set: u64) -> Vec<u64> {
        let mut capacities = self.capacities.clone();
        if self.curve || self.picture {
            capacities.extend(log_spaced(working_set));
        }
        capacities.sort_unstable();
        capacities.dedup();
        capacities
    }

    /// Sorts rows into those asked for and those of the picture, of which a row may be either or both.
    /// `capacity` gets the infinite cache at its end.
    pub(in crate::stats) fn sort(&self, rows: Vec<CapacityRow>, infinite: &CapacityRow) -> CacheFigures {
        let curve = if self.picture { rows.clone() } else { Vec::new() };
        let named = |row: &CapacityRow| self.curve || self.capacities.contains(&row.capacity_blocks);
        let mut capacity: Vec<_> = rows.into_iter().filter(named).collect();
        if self.has_rows() {
            capacity.push(*infinite);
        }
        let mut named = self.capacities.clone();
        named.sort_unstable();
        CacheFigures { named, capacity, curve, infinite: *infinite }
    }

    /// Tokens of a cache of so many blocks, where they are wanted.
    pub(in crate::stats) fn tokens(&self, blocks: u64, block_size: u64) -> Option<u64> {
        self.in_tokens.then(|| blocks.saturating_mul(block_size))
    }

    /// Bytes of a cache of so many blocks, where the size of a token is known.
    pub(in crate::stats) fn bytes(&self, blocks: u64, block_size: u64) -> Option<u128> {
        self.kv_bytes_per_token.map(|token| u128::from(blocks) * u128::from(block_size) * u128::from(token))
    }
}

/// About 60 capacities from 1 to `largest`, evenly spaced by ratio.
fn log_spaced(largest: u64) -> Vec<u64> {
    let points = 60;
    let mut list: Vec<u64> = (0..points)
        .map(|i| (largest as f64).powf(f64::from(i) / f64::from(points - 1)).round() as u64)
        .collect();
    list.push(largest);
    list.dedup();
    list.retain(|&capacity| capacity > 0 && capacity <= largest);
    list
}
