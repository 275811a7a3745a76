//! Which blocks occur more than once, and which of them start requests more than once.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::blocks::{BlockNumber, NumberRun};
use crate::stats::bitmap::Bitmap;
use crate::stats::infinite::Lookup;
use crate::stats::recency::Kept;

/// How often a block started a request that did not introduce it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Restarts {
    Once,
    More,
}

/// One bit per distinct block, and some 16 bytes for each block that started a request before.
#[derive(Default)]
pub(super) struct Repeats {
    /// Blocks that have occurred more than once.
    repeated: Bitmap,
    /// How often an old block has started a request, once or more: once is enough for a block that
    /// started the request which introduced it.
    restarts: HashMap<BlockNumber, Restarts, RandomState>,
}

impl Repeats {
    /// Takes the next request.
    #[inline(always)]
    pub(super) fn add(&mut self, lookup: &Lookup) {
        self.repeated.grow(lookup.end);
        for (run, is_new) in lookup.runs_by_age() {
            if !is_new {
                self.repeat(run);
            }
        }
        if let Some(first) = lookup.first.filter(|_| !lookup.starts_new()) {
            self.restart(first, Restarts::Once);
        }
    }

    /// Notes that known blocks occur again.
    #[inline(always)]
    pub(super) fn repeat(&mut self, run: NumberRun) {
        self.repeated.set_run(run.start, run.len);
    }

    /// Notes that a block started requests that did not introduce it.
    pub(super) fn restart(&mut self, block: BlockNumber, times: Restarts) {
        self.restarts.entry(block).and_modify(|restarts| *restarts = Restarts::More).or_insert(times);
    }

    /// Notes that a block started the request that introduced it.
    pub(super) fn start(&mut self, block: BlockNumber) {
        let again = self.restarts.contains_key(&block);
        self.restarts.insert(block, if again { Restarts::More } else { Restarts::Once });
    }

    /// Which blocks occurred again.
    pub(super) fn repeated(&self) -> &Bitmap {
        &self.repeated
    }

    /// How often a block started requests that did not introduce it, if it ever did.
    pub(super) fn restarts(&self, block: BlockNumber) -> Option<Restarts> {
        self.restarts.get(&block).copied()
    }

    /// All blocks that did, in no order.
    pub(super) fn all_restarts(&self) -> impl Iterator<Item = (BlockNumber, Restarts)> + '_ {
        self.restarts.iter().map(|(&block, &restarts)| (block, restarts))
    }

    /// Bytes in use.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.repeated.bytes() + 16 * self.restarts.len()
    }

    /// Forgets all blocks but those that are kept. Gives how many of the others occurred more than once,
    /// and how many started more than one request.
    pub(super) fn retain(&mut self, kept: &Kept) -> (u64, u64) {
        let before = self.repeated.count_all();
        self.repeated = self.repeated.select(kept.numbers());
        let mut groups = 0;
        let restarts = std::mem::take(&mut self.restarts).into_iter();
        let stays = restarts.filter_map(|(block, restarts)| {
            let number = kept.new_number(block);
            groups += u64::from(number.is_none() && restarts == Restarts::More);
            Some((number?, restarts))
        });
        self.restarts = stays.collect();
        (before - self.repeated.count_all(), groups)
    }
}
