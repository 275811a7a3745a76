//! The core: the blocks that stay the same however many requests are drawn.
//!
//! A core is a tree of *runs*: chains of blocks that only ever occur as a whole, because no request
//! branches off or ends within them. A run therefore has one number, one length and a range of ids, and
//! "this prefix is three times as long" changes a single number.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::draw::scaled_blocks;
use super::forest::{Forest, ROOT};
use super::request::{Span, SyntheticRequest};

/// Number of a run; [`TOP`] is the place above all runs.
pub(super) type RunIndex = u32;

/// The empty prefix.
pub(super) const TOP: RunIndex = RunIndex::MAX;

/// A chain of core blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CoreRun {
    /// The run above it, with a smaller index, or [`TOP`].
    #[serde(default = "none_is_max::none", with = "none_is_max")]
    pub(super) parent: RunIndex,
    /// Its blocks, at least 1.
    #[serde(rename = "blocks")]
    pub(super) len: u32,
    /// Tokens in its last block. Only a run that nothing continues may end with a partial block.
    #[serde(rename = "last_block_tokens")]
    pub(super) tail: u32,
}

/// A tree of runs; parents stand before their children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) runs: Vec<CoreRun>,
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

    /// Multiplies the length of each run.
    pub(super) fn scale(&mut self, factor: f64) {
        for run in &mut self.runs {
            run.len = scaled_blocks(run.len, factor);
        }
    }
}

/// `u32::MAX`, which stands for none, is `null` in JSON.
pub(super) mod none_is_max {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::synth) fn none() -> u32 {
        u32::MAX
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(in crate::synth) fn serialize<S: Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
        (*value != none()).then_some(*value).serialize(to)
    }

    pub(in crate::synth) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        Ok(Option::deserialize(from)?.unwrap_or(none()))
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
    /// Cuts the core into runs. Of each request's new blocks the first `shared` are core; the parent of a
    /// core block must be core too.
    pub(super) fn new(forest: &Forest, shared: &[u32]) -> Self {
        let mut map = Self { core: Core::default(), ends: Vec::new(), depths: Vec::new() };
        let is_core = |block: u32| {
            let owner = forest.owner(block);
            block - forest.requests[owner].first_new < shared[owner]
        };
        for (request, &shared) in forest.requests.iter().zip(shared) {
            if request.parent != ROOT && (shared > 0 || is_core(request.parent)) {
                map.ends.push(request.parent);
            }
            if shared > 0 {
                map.ends.push(request.block_after(shared));
            }
        }
        map.ends.sort_unstable();
        map.ends.dedup();
        let mut start = None;
        for i in 0..map.ends.len() {
            let end = map.ends[i];
            let owner = forest.owner(end);
            let request = &forest.requests[owner];
            let added = end + 1 - request.first_new;
            // The run begins after the one before it if that is of the same request.
            let before = i.checked_sub(1).filter(|_| start == Some(owner));
            let (parent, above) = match before {
                Some(before) => (before as RunIndex, map.depths[before]),
                None => (map.run_at(request.parent), request.known),
            };
            start = Some(owner);
            let depth = request.known + added;
            let tail = if added < request.new { forest.block_size as u32 } else { request.tail };
            map.core.runs.push(CoreRun { parent, len: depth - above, tail });
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

/// Gives ids in the order of first appearance, so that a synthetic trace is dense.
///
/// Memory: 8 bytes per run of the core and copy.
pub(super) struct BlockIds {
    next: u64,
    /// First id of each run of each copy, plus one; 0 while it has none.
    core: Vec<u64>,
    runs: usize,
    copies: u32,
    path: Vec<RunIndex>,
}

impl BlockIds {
    /// Ids for `copies` disjoint copies of `core`.
    pub(super) fn new(core: &Core, copies: u32) -> Self {
        let runs = core.runs.len();
        Self { next: 0, core: vec![0; runs * copies as usize], runs, copies, path: Vec::new() }
    }

    /// One of the copies.
    pub(super) fn draw_copy(&self, rng: &mut Rng) -> u32 {
        if self.copies > 1 { rng.u32(..self.copies) } else { 0 }
    }

    /// Appends to `request` the blocks from the top of a copy of the core to the end of `run`.
    pub(super) fn core_path(
        &mut self,
        core: &Core,
        run: RunIndex,
        copy: u32,
        request: &mut SyntheticRequest,
    ) {
        self.path.clear();
        let mut at = run;
        while let Some(run) = core.runs.get(at as usize) {
            self.path.push(at);
            at = run.parent;
        }
        for &index in self.path.iter().rev() {
            let len = core.runs[index as usize].len;
            let first = &mut self.core[copy as usize * self.runs + index as usize];
            if *first == 0 {
                *first = self.next + 1;
                self.next += u64::from(len);
            }
            request.push(Span { start: *first - 1, len });
        }
    }

    /// Appends to `request` so many blocks that never occurred; returns the first id.
    pub(super) fn fresh(&mut self, len: u32, request: &mut SyntheticRequest) -> u64 {
        let start = self.next;
        self.next += u64::from(len);
        request.push(Span { start, len });
        start
    }
}
