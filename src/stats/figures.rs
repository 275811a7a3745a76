//! Everything that is said of a trace, as plain data.

use crate::stats::arrivals::ArrivalFigures;
use crate::stats::bins::Bin;
use crate::stats::cache::{CacheFigures, CapacityRow};
use crate::stats::correlation::Correlations;
use crate::stats::distribution::Summary;
use crate::stats::prefixes::PrefixFigures;
use crate::stats::sample::SampleFigures;
use crate::stats::seen::HitRule;
use crate::stats::timeline::TimelineFigures;
use crate::stats::window::WindowFigures;

/// Every figure of a trace, as plain data.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The percentiles that every [`Summary`] holds, in percent.
    pub percentiles: Vec<f64>,
    /// Records read.
    pub requests: u64,
    /// Records without `hash_ids`: they count in input and output length only.
    pub requests_without_ids: u64,
    /// Tokens per block.
    pub block_size: u64,
    /// Which cached blocks count as hits.
    pub hit_rule: HitRule,
    /// Block references: the sum of the lengths of all id lists.
    pub blocks: u64,
    /// Distinct blocks.
    pub unique_blocks: u64,
    /// Distinct blocks that occur more than once.
    pub shared_blocks: u64,
    /// First blocks that start two or more requests.
    pub prefix_groups: u64,
    /// Sum of the input lengths, in tokens.
    pub input_tokens: u128,
    /// Sum of the output lengths, in tokens.
    pub output_tokens: u128,
    /// Prompt tokens that an infinite cache would have served.
    pub cached_tokens: u128,
    /// `cached_tokens` over the input tokens of the requests with ids.
    pub token_hit_rate: Option<f64>,
    /// Blocks found in the infinite cache over all block references.
    pub block_hit_rate: Option<f64>,
    /// When requests arrive; absent in a trace without timestamps.
    pub arrivals: Option<ArrivalFigures>,
    /// Prompt length, in tokens.
    pub input_length: Option<Summary>,
    /// Tokens in blocks that occur more than once in the whole trace.
    pub context_length: Option<Summary>,
    /// Input length less context length.
    pub unique_prompt_length: Option<Summary>,
    /// Generated length, in tokens.
    pub output_length: Option<Summary>,
    /// Share of a request's blocks that an infinite cache holds when it arrives.
    pub hit_rate: Option<Summary>,
    /// Prompt tokens that an infinite cache holds when the request arrives.
    pub cached_length: Option<Summary>,
    /// Pearson correlations of the lengths of a request.
    pub correlations: Correlations,
    /// Finite caches, if any was asked for.
    pub caches: Option<CacheFigures>,
    /// The shared prefixes that save most, if asked for.
    pub prefixes: Option<PrefixFigures>,
    /// Counts for charts, if asked for.
    pub pictures: Option<Pictures>,
    /// What the figures of hits are worth, if they come from a sample. Those of lengths are exact.
    pub estimate: Option<SampleFigures>,
    /// What the figures are worth, if blocks have been forgotten.
    pub bound: Option<Bound>,
}

/// What is left of exactness when memory ran out.
///
/// A forgotten block that comes back counts as new. So figures of hits and of context length are lower
/// bounds, unique blocks and unique prompt lengths are upper bounds, and shared blocks and prefix
/// groups are neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// How many blocks have been forgotten.
    pub forgotten_blocks: u64,
    /// LRU caches of at most this many blocks are still exact; all are if no block was forgotten.
    pub exact_capacity_blocks: Option<u64>,
    /// Requests whose context length was settled before the end: later ones can only add to it.
    pub settled_requests: u64,
}

impl Bound {
    /// Whether the hits of a finite cache are a lower bound. Caches that are simulated apart are not
    /// affected.
    pub fn of_row(bound: Option<Self>, row: &CapacityRow) -> bool {
        let exact = bound.and_then(|bound| bound.exact_capacity_blocks);
        matches!(row.policy, "lru" | "infinite") && exact.is_some_and(|exact| row.capacity_blocks > exact)
    }

    /// Whether hits are lower bounds: blocks have been forgotten.
    pub fn of_hits(bound: Option<Self>) -> bool {
        bound.is_some_and(|bound| bound.forgotten_blocks > 0)
    }
}

/// What a stream says after each window.
#[derive(Clone, Debug)]
pub struct WindowReport {
    /// The percentiles that every [`Summary`] holds, in percent.
    pub percentiles: Vec<f64>,
    /// The window itself.
    pub window: WindowFigures,
    /// Requests since the beginning.
    pub requests: u64,
    /// Distinct blocks since the beginning.
    pub unique_blocks: u64,
    /// Token hit rate of an infinite cache since the beginning.
    pub token_hit_rate: Option<f64>,
    /// Finite caches since the beginning, if any was asked for.
    pub caches: Option<CacheFigures>,
    /// What the figures are worth, if blocks have been forgotten.
    pub bound: Option<Bound>,
}

/// Counts over the whole trace, for charts.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// Prompt lengths. Bins of lengths rise by a quarter of a doubling, 0 has its own; none without values.
    pub input_length: Vec<Bin>,
    /// Context lengths.
    pub context_length: Vec<Bin>,
    /// Unique prompt lengths.
    pub unique_prompt_length: Vec<Bin>,
    /// Generated lengths.
    pub output_length: Vec<Bin>,
    /// Cached lengths.
    pub cached_length: Vec<Bin>,
    /// Hit rates of requests, in twentieths; a rate of 1 is in the last bin.
    pub hit_rate: Vec<Bin>,
    /// Arrivals by time.
    pub timeline: TimelineFigures,
}
