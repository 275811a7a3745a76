//! The core: shared prefixes that many sessions begin with.
//!
//! Kept are the tree of the prefixes at which at least `min_count` sessions leave the core, and how many do. A
//! session that leaves it above counts for the nearest such prefix above, or for none.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::synth::core::{Core, CoreRun, TOP};
use crate::synth::forest::{Forest, ROOT};

/// The prefixes of a trace. Number 0 is the empty one.
#[derive(Default)]
pub(super) struct Prefixes {
    /// The runs of the core.
    pub(super) core: Core,
    /// Run at which each prefix ends, and how many sessions leave there.
    pub(super) ends: Vec<(u32, u64)>,
    depths: Vec<u32>,
    /// Prefix that ends with a block.
    by_block: HashMap<u32, u32, RandomState>,
    /// All blocks of the core.
    blocks: HashMap<u32, u32, RandomState>,
}

/// The block before, or [`ROOT`].
fn above(forest: &Forest, block: u32) -> u32 {
    let owner = &forest.requests[forest.owner(block)];
    if block > owner.first_new { block - 1 } else { owner.parent }
}

/// Tokens of a block: only the last one of the request that added it may be partial.
fn tokens_of(forest: &Forest, block: u32) -> u32 {
    let owner = &forest.requests[forest.owner(block)];
    if block + 1 == owner.first_new + owner.new { owner.tail } else { forest.block_size as u32 }
}

impl Prefixes {
    /// The prefixes of sessions that leave the core after these blocks.
    pub(super) fn new(forest: &Forest, ends: impl Iterator<Item = u32>, min_count: usize) -> Self {
        let mut counts: HashMap<u32, u64, RandomState> = HashMap::default();
        ends.for_each(|block| *counts.entry(block).or_default() += 1);
        // Upwards what is too rare, deepest first: the block before has a smaller number.
        let mut blocks: Vec<u32> = counts.keys().copied().filter(|&block| block != ROOT).collect();
        blocks.sort_unstable();
        let mut kept: Vec<(u32, u64)> = Vec::new();
        for block in blocks.into_iter().rev() {
            let count = counts[&block];
            if count >= min_count as u64 {
                kept.push((block, count));
                continue;
            }
            let mut at = above(forest, block);
            while at != ROOT && !counts.contains_key(&at) {
                at = above(forest, at);
            }
            *counts.entry(at).or_default() += count;
        }
        kept.reverse();
        let alone = counts.get(&ROOT).copied().unwrap_or(0);
        let mut prefixes =
            Self { ends: vec![(TOP, if alone >= min_count as u64 { alone } else { 0 })], ..Self::default() };
        prefixes.depths.push(0);
        prefixes.cut(forest, &kept);
        prefixes
    }

    /// Cuts the core into runs: they end where sessions leave, and where two prefixes part.
    fn cut(&mut self, forest: &Forest, kept: &[(u32, u64)]) {
        // Of each block of the core, how many follow it.
        for &(block, _) in kept {
            let (mut at, mut is_new) = (block, !self.blocks.contains_key(&block));
            self.blocks.entry(block).or_insert(0);
            while is_new {
                at = above(forest, at);
                if at == ROOT {
                    break;
                }
                is_new = !self.blocks.contains_key(&at);
                *self.blocks.entry(at).or_insert(0) += 1;
            }
        }
        let mut ends: Vec<u32> = kept.iter().map(|end| end.0).collect();
        ends.extend(self.blocks.iter().filter(|&(_, &next)| next > 1).map(|(&block, _)| block));
        ends.sort_unstable();
        ends.dedup();
        let mut runs: HashMap<u32, u32, RandomState> = HashMap::default();
        let mut depths: Vec<u32> = Vec::new();
        for &end in &ends {
            let (mut len, mut at) = (1, above(forest, end));
            while at != ROOT && !runs.contains_key(&at) {
                len += 1;
                at = above(forest, at);
            }
            let parent = if at == ROOT { TOP } else { runs[&at] };
            depths.push(len + depths.get(parent as usize).copied().unwrap_or(0));
            runs.insert(end, self.core.runs.len() as u32);
            self.core.runs.push(CoreRun { parent, len, tail: tokens_of(forest, end) });
        }
        for &(block, count) in kept {
            let run = runs[&block];
            self.by_block.insert(block, self.ends.len() as u32);
            self.ends.push((run, count));
            self.depths.push(depths[run as usize]);
        }
    }

    /// Whether a block belongs to the core.
    pub(super) fn contains(&self, block: u32) -> bool {
        self.blocks.contains_key(&block)
    }

    /// The prefix of a session that leaves the core after a block.
    pub(super) fn of_block(&self, forest: &Forest, mut block: u32) -> u32 {
        while block != ROOT {
            if let Some(&prefix) = self.by_block.get(&block) {
                return prefix;
            }
            block = above(forest, block);
        }
        0
    }

    /// Blocks of a prefix.
    pub(super) fn depth(&self, prefix: u32) -> u32 {
        self.depths[prefix as usize]
    }
}
