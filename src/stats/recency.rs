//! When each block was used last, for forgetting the ones used least recently where no LRU cache is
//! studied: 4 bytes per distinct block, and only once memory runs short.

use std::cmp::Reverse;

use crate::blocks::BlockNumber;

/// Stands for a forgotten block among new numbers.
pub(super) const GONE: BlockNumber = BlockNumber::MAX;

/// Times of last use, counted in requests since the count began.
pub(super) struct Recency {
    /// 0 for blocks not used since then: all older than any that was.
    last: Vec<u32>,
    clock: u32,
}

/// What is left after old blocks have been forgotten.
pub(super) struct Kept {
    /// The new number of each old block, or [`GONE`].
    pub(super) new_numbers: Vec<BlockNumber>,
    /// The old numbers of the blocks that stay, rising.
    pub(super) blocks: Vec<BlockNumber>,
}

impl Kept {
    /// Keeps the first `keep` of the blocks in `by_recency`, out of `all`.
    pub(super) fn first(by_recency: &[BlockNumber], keep: usize, all: usize) -> Self {
        let mut new_numbers = vec![GONE; all];
        for &block in by_recency.iter().take(keep) {
            new_numbers[block as usize] = 0;
        }
        let mut blocks = Vec::with_capacity(keep.min(all));
        for (block, number) in new_numbers.iter_mut().enumerate().filter(|(_, number)| **number == 0) {
            *number = blocks.len() as u32;
            blocks.push(block as BlockNumber);
        }
        Self { new_numbers, blocks }
    }

    /// The new number of a block that stays.
    pub(super) fn new_number(&self, block: BlockNumber) -> Option<BlockNumber> {
        self.new_numbers.get(block as usize).copied().filter(|&number| number != GONE)
    }
}

impl Recency {
    /// Bytes for so many blocks.
    pub(super) fn bytes_for(blocks: BlockNumber) -> usize {
        size_of::<u32>() * blocks as usize
    }

    /// Begins to count when there are `blocks` blocks.
    pub(super) fn new(blocks: BlockNumber) -> Self {
        Self { last: vec![0; blocks as usize], clock: 0 }
    }

    /// Notes that a request uses `blocks`; there are `all` by now.
    pub(super) fn touch(&mut self, blocks: &[BlockNumber], all: BlockNumber) {
        if self.clock == u32::MAX {
            // Coarser, but in the same order.
            self.last.iter_mut().for_each(|last| *last = last.div_ceil(2));
            self.clock /= 2;
        }
        self.clock += 1;
        self.last.resize(self.last.len().max(all as usize), 0);
        for &block in blocks {
            self.last[block as usize] = self.clock;
        }
    }

    /// Keeps the `keep` most recent blocks, fewer if fewer have been used since the count began.
    pub(super) fn retain(&mut self, keep: usize) -> Kept {
        let used = |&block: &BlockNumber| self.last[block as usize] > 0;
        let mut order: Vec<BlockNumber> = (0..self.last.len() as u32).filter(used).collect();
        // Along a path numbers rise, so a parent stays if one of its children does.
        order.sort_unstable_by_key(|&block| (Reverse(self.last[block as usize]), block));
        let kept = Kept::first(&order, keep, self.last.len());
        self.last = kept.blocks.iter().map(|&block| self.last[block as usize]).collect();
        kept
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        4 * self.last.len()
    }
}
