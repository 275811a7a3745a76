//! What is learnt of a trace: a forest.
//!
//! The ids of a valid trace are a forest: each block has one parent. A request then is a path down
//! known blocks, followed by new ones. So it is kept as its deepest known block, the *parent* of what
//! it adds, and the number of blocks that it adds. Blocks are numbered in the order of first
//! appearance, which makes the added ones a range.

use super::request::{NO_OUTPUT, Span, SyntheticRequest, tokens};
use crate::error::Invalid;

/// Stands for no block: the place above all first blocks. There are fewer blocks and requests than this.
pub(super) const ROOT: u32 = (1 << 31) - 1;

/// One request of the forest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LearntRequest {
    /// Its deepest known block, or [`ROOT`].
    pub(super) parent: u32,
    /// Depth of that block: how many blocks it shares with earlier requests.
    pub(super) known: u32,
    /// Blocks that it adds.
    pub(super) new: u32,
    /// Number of the first block that it adds.
    pub(super) first_new: u32,
    /// Tokens in its last block; 0 if it has no block.
    pub(super) tail: u32,
    /// Tokens generated, or [`NO_OUTPUT`].
    pub(super) output: u32,
}

impl LearntRequest {
    /// Tokens of its prompt.
    pub(super) fn input(&self, block_size: u64) -> u64 {
        tokens(u64::from(self.known) + u64::from(self.new), self.tail, block_size)
    }

    /// The last of the first `added` blocks that it adds, or their parent if `added` is 0.
    pub(super) fn block_after(&self, added: u32) -> u32 {
        if added > 0 { self.first_new + added - 1 } else { self.parent }
    }
}

/// What has been learnt of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forest {
    /// Tokens per block.
    pub(super) block_size: u64,
    /// Whether the records state the block size.
    pub(super) states_block_size: bool,
    /// The requests in their order.
    pub(super) requests: Vec<LearntRequest>,
    /// When the first request arrives, in milliseconds.
    pub(super) start: f64,
    /// Milliseconds between each request and the one before it, 0 for the first.
    pub(super) gaps: Vec<f64>,
    /// Requests without a list of ids.
    pub(super) without_ids: u64,
    /// Requests that end with a partial block, with an id for it and without.
    pub(super) partial_listed: u64,
    pub(super) partial_unlisted: u64,
}

impl Forest {
    /// The mean time in milliseconds between the first `count` requests, if it is above zero.
    pub(super) fn mean_gap(&self, count: u64) -> Option<f64> {
        let gaps = self.gaps.iter().take(usize::try_from(count).unwrap_or(usize::MAX)).skip(1);
        let mean = gaps.clone().sum::<f64>() / gaps.len() as f64;
        Some(mean).filter(|mean| mean.is_finite() && *mean > 0.0)
    }

    /// Writes a request of the trace to `request`; returns the milliseconds since the one before.
    pub(super) fn request(&self, index: usize, request: &mut SyntheticRequest) -> f64 {
        let learnt = &self.requests[index];
        request.input_length = learnt.input(self.block_size);
        request.output_length = (learnt.output != NO_OUTPUT).then_some(u64::from(learnt.output));
        request.context_length = (u64::from(learnt.known) * self.block_size).min(request.input_length);
        self.path(learnt, &mut request.spans);
        self.gaps.get(index).copied().unwrap_or(0.0)
    }

    /// Gives `each` the requests that have been learnt, in their order.
    ///
    /// # Errors
    /// Those of `each`.
    pub(super) fn each(
        &self,
        mut each: impl FnMut(&SyntheticRequest) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let mut request = SyntheticRequest::default();
        let mut now = self.start;
        for index in 0..self.requests.len() {
            now += self.request(index, &mut request);
            request.timestamp = (!self.gaps.is_empty()).then_some(now);
            each(&request)?;
        }
        Ok(())
    }

    /// Gives numbers of their own to the blocks of requests without ids too.
    pub(super) fn number_all(&mut self) -> Result<(), Invalid> {
        let mut before = Vec::with_capacity(self.requests.len());
        let mut sum = 0_u64;
        for (i, request) in self.requests.iter().enumerate() {
            before.push(sum as u32);
            sum += if self.is_unnumbered(i) { u64::from(request.new) } else { 0 };
        }
        let last = self.requests.last().map_or(0, |last| u64::from(last.first_new) + u64::from(last.new));
        if last + sum >= u64::from(ROOT) {
            return Err(Invalid::over_limit("too many distinct blocks to learn"));
        }
        let renumbered = |request: &LearntRequest| match request.parent {
            ROOT => ROOT,
            parent => parent + before[self.owner(parent)],
        };
        let parents: Vec<u32> = self.requests.iter().map(renumbered).collect();
        for ((request, parent), before) in self.requests.iter_mut().zip(parents).zip(before) {
            request.first_new += before;
            request.parent = parent;
        }
        Ok(())
    }

    /// Whether the blocks of a request have no numbers: the next request's begin where they do.
    fn is_unnumbered(&self, index: usize) -> bool {
        let request = &self.requests[index];
        request.new > 0
            && self.requests.get(index + 1).is_some_and(|next| next.first_new == request.first_new)
    }

    /// Whether ids are those of full blocks: no partial block has one.
    pub(super) fn lists_full_blocks_only(&self) -> bool {
        self.partial_unlisted > 0 && self.partial_listed == 0
    }

    /// Whether any request has a list of ids.
    pub(super) fn has_ids(&self) -> bool {
        self.without_ids < self.requests.len() as u64
    }

    /// Writes the blocks of a request into `spans`; none if no request has ids.
    pub(super) fn path(&self, request: &LearntRequest, spans: &mut Vec<Span>) {
        spans.clear();
        if !self.has_ids() {
            return;
        }
        if request.new > 0 {
            spans.push(Span { start: u64::from(request.first_new), len: request.new });
        }
        let mut parent = request.parent;
        while parent != ROOT {
            let owner = &self.requests[self.owner(parent)];
            spans.push(Span { start: u64::from(owner.first_new), len: parent + 1 - owner.first_new });
            parent = owner.parent;
        }
        spans.reverse();
    }

    /// Index of the request that added `block`.
    pub(super) fn owner(&self, block: u32) -> usize {
        // Requests that add nothing share their first number with the next that adds something.
        self.requests.partition_point(|request| request.first_new <= block) - 1
    }

    /// Counts `block`, and what its owner added above it, as shared: `shared` says of each request how
    /// many of the blocks that it adds are. Nothing happens for [`ROOT`].
    pub(super) fn share(&self, block: u32, shared: &mut [u32]) {
        if block != ROOT {
            let owner = self.owner(block);
            shared[owner] = shared[owner].max(block - self.requests[owner].first_new + 1);
        }
    }
}
