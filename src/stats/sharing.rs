//! What requests share with any other request of the trace, earlier or later.
//!
//! Blocks are known by number, in the order of first appearance (see [`Numbering`]). Hence a block
//! is new exactly when its number is the next one, and the blocks that a request introduces are
//! one range of numbers. That makes most metrics final when the request arrives. Only
//! `context_length` looks ahead: it counts the request's blocks that occur more than once in the
//! whole trace. Of these, the blocks that were old on arrival are counted at once; for its own range
//! of new blocks it is enough to know, at the end, which occurred again: one bit per block, set at
//! any later occurrence. So the state is that bit, and per request its length and the size of its
//! range (with its output length, 4 to 6 bytes), from which the ranges follow by addition.
//!
//! This holds for any ids: nothing assumes that they form a forest. (In a forest the repeated part
//! of a range is a prefix of it, so its length would do in place of the bits. That takes as much
//! memory as the bits, some two bytes per request, and a search for the range at every hit.)
//!
//! A list of full blocks only says nothing about the rest of its prompt, which counts as not shared.
//!
//! `unique_prompt_length` cannot be negative here: if not all n blocks of a request are repeated, at
//! most n - 1 are, and (n - 1) x `block_size` < `input_length` because n = ceil(length / size).
//!
//! [`Numbering`]: crate::blocks::Numbering

use crate::blocks::BlockNumber;
use crate::error::Invalid;
use crate::stats::accuracy::Accuracy;
use crate::stats::correlation::Moments;
use crate::stats::distribution::Distribution;
use crate::stats::repeats::{Repeats, Restarts};
use crate::stats::request_log::{LoggedRequest, RequestLog};
use crate::stats::seen::Seen;
use crate::stats::statistic::{Bytes, Forgetting, Known, Statistic};
use crate::stats::{Bound, Report};

/// Context lengths, shared blocks, prefix groups.
pub(super) struct Sharing {
    block_size: u64,
    /// Which blocks occurred again.
    pub(super) repeats: Repeats,
    /// Whether there is to be a log. Without it there are no context lengths.
    is_logged: bool,
    log: RequestLog,
    /// Number of the first block that a request in the log introduced.
    log_start: BlockNumber,
    /// What has been settled of requests that are no longer in the log.
    settled: Settled,
}

/// Figures of requests whose blocks are looked at no more.
#[derive(Clone)]
struct Settled {
    context: Distribution,
    unique: Distribution,
    moments: Moments,
    /// Shared blocks and prefix groups among forgotten blocks.
    shared_blocks: u64,
    prefix_groups: u64,
    /// First blocks that are new with their request, of the requests just settled.
    roots: Vec<BlockNumber>,
}

impl Settled {
    fn new(distribution: fn() -> Distribution) -> Self {
        Self {
            context: distribution(),
            unique: distribution(),
            moments: Moments::default(),
            shared_blocks: 0,
            prefix_groups: 0,
            roots: Vec::new(),
        }
    }

    fn count(&mut self, context: u64, input: u64, output: Option<u64>) {
        let unique = input - context;
        self.context.record(context);
        self.unique.record(unique);
        self.moments.record(context, unique, output);
    }
}

impl Sharing {
    /// Nothing has been seen yet. With `is_logged` there will be context lengths, in distributions that
    /// `distribution` makes.
    pub(super) fn new(block_size: u64, is_logged: bool, distribution: fn() -> Distribution) -> Self {
        Self {
            block_size,
            repeats: Repeats::default(),
            is_logged,
            log: RequestLog::default(),
            log_start: 0,
            settled: Settled::new(distribution),
        }
    }

    /// Counts the requests of the log, as far as the trace is known.
    fn settle(&self, settled: &mut Settled) {
        let mut first_new = self.log_start;
        for request in self.log.iter() {
            let all = request.length.div_ceil(self.block_size);
            let n = all - u64::from(request.is_full);
            let old = n - u64::from(request.new_blocks);
            let again = self.repeats.repeated().count(first_new, request.new_blocks);
            let repeated = old + u64::from(again);
            let context = if repeated == all { request.length } else { repeated * self.block_size };
            settled.count(context, request.length, request.output);
            if request.starts_new {
                settled.roots.push(first_new);
            }
            first_new += request.new_blocks;
        }
    }
}

impl Statistic for Sharing {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        let Some(cached) = &seen.cached else { return Ok(()) };
        let lookup = &cached.lookup;
        self.repeats.add(lookup);
        if self.is_logged {
            self.log.push(&LoggedRequest {
                length: seen.input_length,
                new_blocks: lookup.new_blocks(),
                starts_new: lookup.starts_new(),
                output: seen.output_length,
                is_full: seen.blocks.is_some_and(|n| u64::from(n) * self.block_size < seen.input_length),
            });
        }
        Ok(())
    }

    #[inline]
    fn bytes(&self) -> Bytes {
        Bytes { blocks: self.repeats.bytes(), log: self.log.bytes(), ..Bytes::default() }
    }

    fn distribution_bytes(&self) -> usize {
        self.settled.context.bytes() + self.settled.unique.bytes()
    }

    /// Settles all requests so far.
    fn forget(&mut self, forgetting: &Forgetting) {
        let mut settled = std::mem::replace(&mut self.settled, Settled::new(Distribution::small));
        self.settle(&mut settled);
        // From now on they are among the starts by old blocks.
        for first in std::mem::take(&mut settled.roots) {
            self.repeats.start(first);
        }
        self.log = RequestLog::default();
        if let Some(kept) = forgetting.kept {
            let (shared_blocks, prefix_groups) = self.repeats.retain(kept);
            settled.shared_blocks += shared_blocks;
            settled.prefix_groups += prefix_groups;
        }
        self.log_start = forgetting.blocks;
        self.settled = settled;
    }

    fn mark(bound: &Bound, report: &mut Report) {
        report.context_length.accuracy = Accuracy::AtLeast;
        report.unique_prompt_length.accuracy = Accuracy::AtMost;
        report.correlations.accuracy = Accuracy::Neither;
        if bound.has_forgotten() {
            report.shared_blocks.accuracy = Accuracy::Neither;
            report.prefix_groups.accuracy = Accuracy::Neither;
        }
    }

    fn report(&self, known: &Known, report: &mut Report) {
        // Without a bound nothing has been settled, and a copy of nothing would still take memory.
        let mut settled =
            if known.bound.is_some() { self.settled.clone() } else { Settled::new(Distribution::default) };
        self.settle(&mut settled);
        let twice = |first: &&BlockNumber| self.repeats.restarts(**first) == Some(Restarts::Once);
        let more = self.repeats.all_restarts().filter(|&(_, restarts)| restarts == Restarts::More);
        report.shared_blocks.value = settled.shared_blocks + self.repeats.repeated().count_all();
        report.prefix_groups.value =
            settled.prefix_groups + more.count() as u64 + settled.roots.iter().filter(twice).count() as u64;
        report.context_length.value = known.summary(&settled.context);
        report.unique_prompt_length.value = known.summary(&settled.unique);
        report.correlations.value = settled.moments.correlations();
    }
}
