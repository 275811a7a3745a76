//! The core: the blocks that stay the same however many requests are drawn.
//!
//! A core is a tree of *runs*: chains of blocks that are only ever passed as a whole, because nothing
//! branches off, hangs on, or ends within them. A run therefore has one number, one length and a
//! range of ids, and "this prefix is three times as long" changes a single number.

use super::learn::{Forest, ROOT};

/// Number of a run; [`TOP`] is the place above all runs.
pub(super) type RunIndex = u32;

/// The empty prefix.
pub(super) const TOP: RunIndex = RunIndex::MAX;

/// A chain of core blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The run above it, with a smaller index, or [`TOP`].
    pub(super) parent: RunIndex,
    /// Its blocks, at least 1.
    pub(super) len: u32,
    /// Tokens in its last block. Only a run that nothing continues may end with a partial block.
    pub(super) tail: u32,
}

/// A tree of runs; parents stand before their children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) runs: Vec<Run>,
}

impl Core {
    /// Blocks from the top to the end of each run.
    pub(super) fn depths(&self) -> Vec<u64> {
        let mut depths: Vec<u64> = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let above = depths.get(run.parent as usize).copied().unwrap_or(0);
            depths.push(above + u64::from(run.len));
        }
        depths
    }
}

/// A core, and how the blocks of a forest lie in it.
pub(super) struct CoreMap {
    pub(super) core: Core,
    /// Number of the last block of each run, rising.
    ends: Vec<u32>,
    /// Depth of the last block of each run.
    depths: Vec<u32>,
}

impl CoreMap {
    /// Cuts the core into runs. Of each request's new blocks the first `shared` are core; whatever a
    /// core block hangs on must be core too.
    pub(super) fn new(forest: &Forest, shared: &[u32]) -> Self {
        let mut map = Self { core: Core::default(), ends: Vec::new(), depths: Vec::new() };
        let is_core = |block: u32| {
            let owner = forest.owner(block);
            block - forest.rows[owner].first_new < shared[owner]
        };
        for (row, &shared) in forest.rows.iter().zip(shared) {
            if row.hang != ROOT && (shared > 0 || is_core(row.hang)) {
                map.ends.push(row.hang);
            }
            if shared > 0 {
                map.ends.push(row.first_new + shared - 1);
            }
        }
        map.ends.sort_unstable();
        map.ends.dedup();
        let mut start = None;
        for i in 0..map.ends.len() {
            let end = map.ends[i];
            let owner = forest.owner(end);
            let row = &forest.rows[owner];
            // The run begins after the one before it if that is of the same request.
            let before = i.checked_sub(1).filter(|_| start == Some(owner));
            let (parent, above) = match before {
                Some(before) => (before as RunIndex, map.ends[before] + 1 - row.first_new + row.known),
                None => (map.run_at(row.hang), row.known),
            };
            start = Some(owner);
            let depth = row.known + end + 1 - row.first_new;
            let whole = end + 1 - row.first_new < row.new;
            let tail = if whole { forest.block_size as u32 } else { row.tail };
            map.core.runs.push(Run { parent, len: depth - above, tail });
            map.depths.push(depth);
        }
        map
    }

    /// The run that ends with `block`, which must be an end of a run, or [`ROOT`].
    pub(super) fn run_at(&self, block: u32) -> RunIndex {
        self.ends.binary_search(&block).map_or(TOP, |index| index as RunIndex)
    }

    /// Depth of the last block of a run.
    pub(super) fn depth(&self, run: RunIndex) -> u32 {
        self.depths.get(run as usize).copied().unwrap_or(0)
    }
}
