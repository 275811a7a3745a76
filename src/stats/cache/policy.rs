//! What an eviction policy is.

use std::collections::BTreeMap;

use crate::error::Invalid;
use crate::stats::cache::load::LoadFigures;
use crate::stats::hit_count::Tally;
use crate::stats::requests::RequestHits;
use crate::stats::seen::Seen;
use crate::stats::statistic::Bytes;

/// Which block leaves a full cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The one used least recently.
    Lru,
    /// The one that entered first.
    Fifo,
    /// The one used least often since it entered.
    Lfu,
    /// The one used again last, if at all: the best that any policy can do.
    Opt,
    /// As vLLM's block pool.
    Vllm,
    /// As `SGLang`'s radix cache.
    Sglang,
    /// As `LMCache`'s simulator.
    Lmcache,
    /// Used once or more often: adapts how much room each has.
    Arc,
    /// The one used least recently of those on probation.
    Slru,
    /// The one that entered first and has not been used since it was looked at.
    Clock,
    /// The one used least often, where uses age with the cache.
    Gdsf,
    /// The first of a small queue that has not been used twice there.
    S3Fifo,
    /// The first that has not been used since the hand passed it.
    Sieve,
    /// The one that leaves a small window, unless it was used more often than what it would displace.
    WTinyLfu,
    /// The one of least priority, as requests state it.
    Priority,
}

impl Policy {
    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Fifo => "fifo",
            Self::Lfu => "lfu",
            Self::Opt => "opt",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::Lmcache => "lmcache",
            Self::Arc => "arc",
            Self::Slru => "slru",
            Self::Clock => "clock",
            Self::Gdsf => "gdsf",
            Self::S3Fifo => "s3fifo",
            Self::Sieve => "sieve",
            Self::WTinyLfu => "wtinylfu",
            Self::Priority => "priority",
        }
    }

    /// Whether it is that of a serving engine, which counts and keeps full blocks only.
    pub const fn is_engine(self) -> bool {
        matches!(self, Self::Vllm | Self::Sglang | Self::Lmcache)
    }

    /// Whether a cache differs from a larger one even before anything has left it: then only the capacities
    /// that are named can be simulated, and no curve.
    pub const fn is_of_one_size(self) -> bool {
        self.is_engine() || matches!(self, Self::Slru | Self::WTinyLfu)
    }
}

/// Measured requests that do not fit into a cache.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refused {
    pub(super) requests: u64,
    pub(super) output_tokens: u128,
}

impl Refused {
    /// Takes a request, unless it is of the warm-up.
    pub(super) fn add(&mut self, seen: &Seen) {
        if seen.is_measured {
            self.requests += 1;
            self.output_tokens += u128::from(seen.output_length.unwrap_or(0));
        }
    }
}

/// What a cache served.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    /// Prompt tokens from the cache.
    pub(super) hits: Tally,
    /// All prompt tokens, where some requests were refused.
    pub(super) all: Option<Tally>,
    /// Requests that do not fit, where that makes a difference.
    pub(super) refused: Option<Refused>,
    /// What happened besides, where requests are served together.
    pub(super) load: Option<LoadFigures>,
}

impl From<Tally> for Point {
    fn from(hits: Tally) -> Self {
        Self { hits, ..Self::default() }
    }
}

/// Caches of one policy, at whatever capacities will be asked for. One pass over the trace may give all
/// of them (a stack), or each may have to be simulated (see [`Simulated`](super::simulated::Simulated)).
pub(super) trait Study {
    /// Takes the next request with ids.
    ///
    /// # Errors
    /// When there are too many requests for it.
    fn access(&mut self, seen: &Seen) -> Result<(), Invalid>;

    /// Memory in use.
    fn bytes(&self) -> Bytes;

    /// Whether it needs every block that there ever was.
    fn needs_all_blocks(&self) -> bool {
        false
    }

    /// There are no more requests.
    fn finish(&mut self) {}

    /// The hits at each capacity asked for of measured requests whose server recorded its own; none where that is
    /// not counted apart.
    fn recorded_hits(&self) -> Vec<(u64, u128)> {
        Vec::new()
    }

    /// Hands over the hits that have become known, if they are kept.
    fn take_hits(&mut self, _: &mut Vec<RequestHits>) {}

    /// Capacities, and what caches of them serve to measured requests: the rising
    /// `capacities` asked for as far as they are known, or others up to `working_set`, all distinct blocks.
    fn points(&self, capacities: &[u64], working_set: u64) -> BTreeMap<u64, Point>;
}

/// A cache that evicts by some rule. To add a policy that has to be simulated, write one of these, and
/// name it in [`Policy`] and in [`study`](super::study).
///
/// It knows blocks by id, so it goes on exactly where the analysis forgets old blocks, and takes memory
/// for the blocks that it holds, not for all there are. A hit is a request's longest prefix that is held:
/// blocks behind a missing one are of no use.
pub(super) trait Eviction: Clone + Default + 'static {
    /// Uses the blocks of a request in a cache of `capacity` blocks; returns how many of the first ones
    /// were held. The capacity may only rise from call to call, and only while nothing has been evicted.
    fn access(&mut self, seen: &Seen, capacity: usize) -> usize;

    /// Blocks that it holds.
    fn len(&self) -> usize;

    /// Bytes in use, at most.
    fn bytes(&self) -> usize;
}

/// A policy that takes blocks one after the other, each request's from last to first.
pub(super) trait BlockPolicy: Clone + Default + 'static {
    /// Whether it holds a block.
    fn holds(&self, id: u64) -> bool;

    /// Uses a block in a cache of `capacity` blocks, at least one.
    fn touch(&mut self, id: u64, capacity: usize);

    /// Blocks that it holds.
    fn len(&self) -> usize;

    /// Bytes in use, at most.
    fn bytes(&self) -> usize;
}

impl<P: BlockPolicy> Eviction for P {
    fn access(&mut self, seen: &Seen, capacity: usize) -> usize {
        let hit = seen.ids.iter().take_while(|&&id| self.holds(id)).count();
        if capacity > 0 {
            seen.ids.iter().rev().for_each(|&id| self.touch(id, capacity));
        }
        hit
    }

    fn len(&self) -> usize {
        BlockPolicy::len(self)
    }

    fn bytes(&self) -> usize {
        BlockPolicy::bytes(self)
    }
}
