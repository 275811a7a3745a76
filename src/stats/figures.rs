//! Everything that is said of a trace, as plain data that writes itself as JSON. The names and the order
//! of the fields are those of the JSON report.

use serde::Serialize;

use crate::stats::accuracy::{Accuracy, Figure};
use crate::stats::cache::{
    CacheFigures, CapacityRow, FleetRow, MissFigures, TargetRow, TierCurveRow, TierRow, TtlRow,
};
use crate::stats::correlation::Correlations;
use crate::stats::hit_check::HitCheck;
use crate::stats::hit_count::HitRule;
use crate::stats::origins::{ReuseFigures, SharedByFigures};
use crate::stats::price::PriceFigures;
use crate::stats::recorded_figures::RecordedFigures;
use crate::stats::server::ServerHits;
use crate::stats::summary::Summary;

/// Every figure of a trace.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The percentiles that every [`Summary`] holds, in percent.
    #[serde(skip)]
    pub percentiles: Vec<f64>,
    /// What the report is called, if it is given a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Records read.
    pub requests: u64,
    /// Records without `hash_ids`: they count in input and output length only.
    pub requests_without_ids: u64,
    /// Bad records that were skipped: they are in no figure. Groups have none, since what is bad has no value.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_records: u64,
    /// Tokens per block.
    pub block_size: u64,
    /// Which cached blocks count as hits.
    #[serde(rename = "hits")]
    pub hit_rule: HitRule,
    /// Block references: the sum of the lengths of all id lists.
    pub blocks: u64,
    /// Distinct blocks.
    pub unique_blocks: Figure<u64>,
    /// Distinct blocks that occur more than once.
    pub shared_blocks: Figure<u64>,
    /// First blocks that start two or more requests.
    pub prefix_groups: Figure<u64>,
    /// Sum of the input lengths, in tokens.
    pub input_tokens: u128,
    /// Sum of the output lengths, in tokens.
    pub output_tokens: u128,
    /// Input tokens of the requests with ids.
    #[serde(skip)]
    pub tokens_with_ids: u128,
    /// Prompt tokens that an infinite cache would have served.
    pub cached_tokens: Figure<u128>,
    /// `cached_tokens` over the input tokens of the requests with ids.
    pub token_hit_rate: Figure<Option<f64>>,
    /// Blocks found in the infinite cache over all block references.
    pub block_hit_rate: Figure<Option<f64>>,
    /// In what hits are counted and what that leaves out; absent where it is in blocks.
    #[serde(skip_serializing_if = "Figure::is_none")]
    pub hit_unit: Figure<Option<HitUnitFigures>>,
    /// What the server's own cache served, as the records say; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedFigures>,
    /// What is said there to be possible is worth.
    #[serde(skip)]
    pub possible: Accuracy,
    /// Requests whose answers are inferred from prompts that quote them, if that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inferred_answers: Option<u64>,
    /// Prices, and what requests cost without a cache, if prices are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceFigures>,
    /// When requests arrive; absent in a trace without timestamps.
    pub arrivals: Option<ArrivalFigures>,
    /// Prompt length, in tokens.
    pub input_length: Figure<Option<Summary>>,
    /// Tokens in blocks that occur more than once in the whole trace.
    pub context_length: Figure<Option<Summary>>,
    /// Input length less context length.
    pub unique_prompt_length: Figure<Option<Summary>>,
    /// Generated length, in tokens.
    pub output_length: Figure<Option<Summary>>,
    /// Share of a request's blocks that an infinite cache holds when it arrives.
    pub hit_rate: Figure<Option<Summary>>,
    /// Prompt tokens that an infinite cache holds when the request arrives.
    pub cached_length: Figure<Option<Summary>>,
    /// Pearson correlations of the lengths of a request.
    #[serde(rename = "correlation")]
    pub correlations: Figure<Correlations>,
    /// Finite caches, if any was asked for.
    #[serde(flatten)]
    pub caches: Option<CacheFigures>,
    /// The smallest caches that reach a share of the infinite cache's hits, one row per share asked for.
    #[serde(rename = "target", skip_serializing_if = "Figure::is_empty")]
    pub targets: Figure<Vec<TargetRow>>,
    /// The smallest cache with the share of the infinite cache's hits that an answer in words names, if that
    /// is asked for.
    #[serde(skip)]
    pub enough: Figure<Option<TargetRow>>,
    /// One row per time to live asked for.
    #[serde(rename = "ttl", skip_serializing_if = "Figure::is_empty")]
    pub ttls: Figure<Vec<TtlRow>>,
    /// What became of the prompt tokens in LRU caches, if asked for. A lower bound in all but what is cold.
    #[serde(flatten)]
    pub misses: Figure<Option<MissFigures>>,
    /// Where the hits of a cache without limit come from, if asked for.
    #[serde(skip_serializing_if = "Figure::is_none")]
    pub reuse: Figure<Option<ReuseFigures>>,
    /// Whose requests had brought the blocks of these hits, if asked for.
    #[serde(skip_serializing_if = "Figure::is_none")]
    pub shared_by: Figure<Option<SharedByFigures>>,
    /// Replicas behind routers, one row for each number and route asked for.
    #[serde(rename = "fleet", skip_serializing_if = "Vec::is_empty")]
    pub fleets: Vec<FleetRow>,
    /// Caches in tiers, one row for each number and route and list of sizes asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierRow>,
    /// Caches in tiers of which one is of many sizes, one row for each number and route and list asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tier_curves: Vec<TierCurveRow>,
    /// What servers counted since they were started, if that is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerHits>,
    /// What servers recorded beside what is predicted for each cache, if asked for.
    #[serde(rename = "checked_hits", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HitCheck>,
    /// The shared prefixes that save most, if asked for.
    #[serde(flatten)]
    pub prefixes: Figure<Option<PrefixFigures>>,
    /// Requests by time, if charts are asked for.
    #[serde(skip)]
    pub timeline: Option<TimelineFigures>,
    /// What the figures of hits are worth, if they come from a sample. Those of lengths are exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<SampleFigures>,
    /// What the figures are worth, if blocks have been forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl<T> Figure<Vec<T>> {
    fn is_empty(&self) -> bool {
        self.value.is_empty()
    }
}

impl<T> Figure<Option<T>> {
    fn is_none(&self) -> bool {
        self.value.is_none()
    }
}

impl Report {
    /// The names of the figures of an accuracy, of those that memory limits.
    pub(super) fn names_of(&self, accuracy: Accuracy) -> Vec<&'static str> {
        let all = [
            ("context_length.std", self.context_length.accuracy.loosely()),
            ("unique_prompt_length.std", self.unique_prompt_length.accuracy.loosely()),
            ("hit_rate.std", self.hit_rate.accuracy.loosely()),
            ("cached_length.std", self.cached_length.accuracy.loosely()),
            ("context_length", self.context_length.accuracy),
            ("unique_prompt_length", self.unique_prompt_length.accuracy),
            ("correlation", self.correlations.accuracy),
            ("unique_blocks", self.unique_blocks.accuracy),
            ("shared_blocks", self.shared_blocks.accuracy),
            ("prefix_groups", self.prefix_groups.accuracy),
            ("cached_tokens", self.cached_tokens.accuracy),
            ("token_hit_rate", self.token_hit_rate.accuracy),
            ("block_hit_rate", self.block_hit_rate.accuracy),
            ("hit_unit", self.hit_unit.accuracy),
            ("hit_rate", self.hit_rate.accuracy),
            ("cached_length", self.cached_length.accuracy),
            ("recorded.possible_tokens", self.possible),
            ("recorded.evicted_tokens", self.possible),
            ("recorded.rules_tokens", self.possible.loosely()),
            ("recorded.above_possible_tokens", self.possible.reversed()),
            ("recorded.above_possible_requests", self.possible.reversed()),
            ("recorded.beyond_block_requests", self.possible.reversed()),
            ("recorded.first_beyond_line", self.possible.loosely()),
            ("recorded.below_possible_requests", self.possible),
            ("recorded.below_possible_tokens", self.possible),
            ("recorded.caches.hit_tokens", self.possible),
            ("recorded.caches.saving", self.possible),
            ("recorded.caches.saving_rate", self.possible),
            ("recorded.caches.cost", self.possible.reversed()),
            ("price.cost", self.cached_tokens.accuracy.reversed()),
            ("price.saving", self.cached_tokens.accuracy),
            ("price.saving_rate", self.cached_tokens.accuracy),
            ("ttl", self.ttls.accuracy),
            ("ttl.cost", self.ttls.accuracy.reversed()),
            ("ttl.prefill_flops", self.ttls.accuracy.reversed()),
            ("misses.hit", self.misses.accuracy),
            ("misses.evicted", self.misses.accuracy),
            ("misses.expired", self.misses.accuracy),
            ("misses.rules", self.misses.accuracy.loosely()),
            ("misses.cold", self.misses.accuracy.reversed()),
            ("misses.same_session", self.misses.accuracy.loosely()),
            ("misses.other_sessions", self.misses.accuracy.loosely()),
            ("misses.evicted_last_use", self.misses.accuracy.loosely()),
            ("misses.expired_last_use", self.misses.accuracy.loosely()),
            ("miss_sessions.continued_requests", self.misses.accuracy.loosely()),
            ("miss_sessions.new_requests", self.misses.accuracy.loosely()),
            ("reuse", self.reuse.accuracy),
            ("shared_by", self.shared_by.accuracy),
            ("target", self.targets.accuracy),
            ("top", self.prefixes.accuracy),
        ];
        all.into_iter().filter(|&(_, of)| of == accuracy).map(|(name, _)| name).collect()
    }
}

/// Hits in units, from a minimum on, or without the last unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HitUnitFigures {
    /// The least hit, in tokens.
    pub min_tokens: u64,
    /// Tokens of a unit, by which hits grow.
    pub tokens: u64,
    /// Whether the last unit that is found is computed again.
    pub is_last_dropped: bool,
    /// Prompt tokens that an infinite cache holds and that count by the rule of hits, in a unit or not.
    pub shared_tokens: u128,
    /// Share of these that is not served, since it is below the minimum, no whole unit or the last one.
    pub below_share: Option<f64>,
}

/// Figures of the arrivals of a trace.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ArrivalFigures {
    /// Requests that have a timestamp.
    pub requests: u64,
    /// Last less first timestamp, in seconds.
    pub duration_s: f64,
    /// Requests per second over the duration, or `None` if that is zero.
    pub mean_rate: Option<f64>,
    /// Most requests in one whole second [k, k + 1) of trace time.
    pub peak_rate: u64,
    /// Where times come in steps of more than a second: most requests of a step over its length, per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_step_rate: Option<f64>,
    /// The least time between two different timestamps, in milliseconds, where many timestamps occur several times:
    /// then time goes in steps, and figures of less than a step say nothing.
    #[serde(skip)]
    pub step_ms: Option<f64>,
    /// Mean gap between consecutive requests, in milliseconds.
    pub interarrival_mean_ms: Option<f64>,
    /// Standard deviation of the gaps over their mean (1 for a Poisson process).
    pub interarrival_cv: Option<f64>,
    /// Variance over mean of the number of requests in each ten seconds of trace time, idle ones
    /// included (1 for a Poisson process).
    pub dispersion_10s: Option<f64>,
    /// Records stamped earlier than one before them.
    pub late: u64,
    /// A record whose clock was wrong, so that all later ones count at its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong_clock: Option<WrongClock>,
    /// The first timestamp, in milliseconds.
    pub first_ms: f64,
    /// The latest timestamp, in milliseconds.
    pub last_ms: f64,
}

/// A record that is dated long after those around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WrongClock {
    /// Line of the record over all files; 0 if that is not known, as in pieces.
    pub line: u64,
    /// By how many seconds it is later than all before it.
    pub ahead_s: f64,
}

impl ArrivalFigures {
    /// The length of a step of time in seconds, where that is more than one.
    pub fn long_step_s(&self) -> Option<f64> {
        self.step_ms.map(|step| step / 1000.0).filter(|&step| step > 1.0)
    }
}

/// The shared prefixes that saved most.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PrefixFigures {
    /// Most saved tokens first.
    #[serde(rename = "top")]
    pub rows: Vec<PrefixRow>,
    /// Saved tokens of a row may be too few by this many, never too many.
    #[serde(rename = "top_error_tokens")]
    pub error_tokens: u128,
}

/// A prefix that several requests share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PrefixRow {
    /// Id of its last block.
    pub id: u64,
    /// Its length in blocks.
    pub blocks: u64,
    /// Its length in tokens.
    pub tokens: u64,
    /// Requests that begin with it.
    pub requests: u64,
    /// Tokens that an infinite cache serves from those of its blocks that no shorter prefix in this
    /// table would account for: the ones that just as many requests use as its last.
    pub saved_tokens: u128,
    /// Line of the first request that begins with it, over all files.
    pub first_line: u64,
    /// Line of the last one.
    pub last_line: u64,
    /// Longest time between consecutive ones, in milliseconds of trace time.
    pub longest_pause_ms: f64,
}

/// Requests by trace time.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TimelineFigures {
    /// Length of a bucket, in seconds.
    pub length_s: f64,
    /// Buckets from the first request on, at most `TIME_BUCKETS`; none without timestamps.
    pub buckets: Vec<Bucket>,
}

/// Requests that arrive in one stretch of trace time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// How many.
    pub requests: u64,
    /// Prompt tokens of those that have ids.
    pub tokens: u128,
    /// Of these, what an infinite cache of everything before would have served.
    pub cached_tokens: u128,
}

impl Bucket {
    /// Share of the prompt tokens that are cached, or `None` without any.
    pub fn token_hit_rate(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.cached_tokens as f64 / self.tokens as f64)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.tokens += other.tokens;
        self.cached_tokens += other.cached_tokens;
    }
}

/// What a sample is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SampleFigures {
    /// Blocks in the sample.
    pub sampled_blocks: u64,
    /// Share of the first blocks that are in it.
    pub first_block_share: f64,
    /// Share of the other blocks that are in it.
    pub other_block_share: f64,
    /// Those of the figures that are estimates.
    pub standard_errors: StandardErrors,
}

/// Standard errors of figures, by the names of these.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StandardErrors {
    /// Of the number of distinct blocks.
    pub unique_blocks: Option<f64>,
    /// Of the number of blocks that occur more than once.
    pub shared_blocks: Option<f64>,
    /// Of the number of blocks that start two or more requests.
    pub prefix_groups: Option<f64>,
    /// Of the tokens that an infinite cache serves.
    pub cached_tokens: Option<f64>,
    /// Of its token hit rate.
    pub token_hit_rate: Option<f64>,
    /// Of its block hit rate.
    pub block_hit_rate: Option<f64>,
}

/// What is left of exactness when memory ran out.
///
/// A forgotten block that comes back counts as new. So figures of hits and of context length are lower
/// bounds, unique blocks and unique prompt lengths are upper bounds, and shared blocks and prefix
/// groups are neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Bound {
    /// How many blocks have been forgotten.
    pub forgotten_blocks: u64,
    /// LRU caches of at most this many blocks are still exact; all are if no block was forgotten.
    pub exact_capacity_blocks: Option<u64>,
    /// Requests whose context length was settled before the end: later ones can only add to it.
    pub settled_requests: u64,
    /// The figures that are lower bounds, by their names in JSON.
    pub at_least: Vec<&'static str>,
    /// Those that are upper bounds.
    pub at_most: Vec<&'static str>,
    /// Those that are neither exact nor a bound.
    pub neither: Vec<&'static str>,
}

impl Bound {
    /// Whether blocks have been forgotten, so that hits are lower bounds.
    pub(super) fn has_forgotten(&self) -> bool {
        self.forgotten_blocks > 0
    }

    /// What the hits of an LRU cache of so many blocks are worth.
    pub(super) fn lru(bound: Option<&Self>, capacity_blocks: u64) -> Accuracy {
        match bound.and_then(|bound| bound.exact_capacity_blocks) {
            Some(exact) if capacity_blocks > exact => Accuracy::AtLeast,
            _ => Accuracy::Exact,
        }
    }

    /// Names the figures of a report that has been marked.
    pub(super) fn name_figures(&mut self, report: &Report) {
        self.at_least = report.names_of(Accuracy::AtLeast);
        self.at_most = report.names_of(Accuracy::AtMost);
        self.neither = report.names_of(Accuracy::Neither);
    }

    /// The names of the figures by what they are.
    pub fn figures(&self) -> [(&'static str, &[&'static str]); 3] {
        [("at_least", &self.at_least), ("at_most", &self.at_most), ("neither", &self.neither)]
    }
}

/// Figures of one window.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct WindowFigures {
    /// Number of the window, from 0. Windows of time without a request are passed over.
    pub window: u64,
    /// Where the window begins, in milliseconds: of requests, the trace time of the first that has one.
    pub start_ms: Option<f64>,
    /// Requests in it.
    pub requests: u64,
    /// Of these, records stamped before the window began.
    pub late: u64,
    /// Sum of the input lengths, in tokens.
    pub input_tokens: u128,
    /// Sum of the output lengths, in tokens.
    pub output_tokens: u128,
    /// Prompt tokens that an infinite cache of everything before would have served.
    pub cached_tokens: u128,
    /// Blocks that occurred for the first time.
    pub new_blocks: u64,
    /// Mean over the requests of the share of blocks that were cached.
    pub hit_rate: Option<f64>,
    /// Cached over input tokens.
    pub token_hit_rate: Option<f64>,
    /// Prompt length; percentiles have three digits.
    pub input_length: Option<Summary>,
    /// Generated length; percentiles have three digits.
    pub output_length: Option<Summary>,
}

/// The figures of a window that are bounds because blocks have been forgotten, by their names in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WindowBound {
    /// Those that are lower bounds.
    pub at_least: [&'static str; 3],
    /// Those that are upper bounds.
    pub at_most: [&'static str; 1],
}

impl WindowBound {
    /// A block that comes back after it has been forgotten counts as new.
    pub(super) const FORGOTTEN: Self =
        Self { at_least: ["cached_tokens", "hit_rate", "token_hit_rate"], at_most: ["new_blocks"] };
}

/// What a stream says after each window.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct WindowReport {
    /// The window itself.
    #[serde(flatten)]
    pub window: WindowFigures,
    /// What its figures are worth, if blocks have been forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<WindowBound>,
    /// The stream up to its end.
    pub running: RunningFigures,
}

/// Figures since the beginning of a stream.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RunningFigures {
    /// Requests.
    pub requests: u64,
    /// Bad records that were skipped.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_records: u64,
    /// Distinct blocks.
    pub unique_blocks: u64,
    /// Token hit rate of an infinite cache.
    pub token_hit_rate: Option<f64>,
    /// Finite caches, if any was asked for; the last one is the infinite cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Vec<CapacityRow>>,
    /// What the figures are worth, if blocks have been forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}
