//! The model `tree`: the reference's algorithm.
//!
//! The core consists of the blocks that occur more than once. A request walks down the core by the
//! frequencies of the original until it ends there or leaves it for a prompt of its own. The chance
//! that a walk ends at a place is the product of the chances of its steps, which is the share of the
//! original's requests that ended there: so the walk is drawn in one step, by drawing the place.
//! Everything else (length of the own part, its last block, output, arrivals) is drawn independently.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::core::{BlockIds, Core, CoreMap, RunIndex, TOP, none_is_max};
use super::draw::{Observed, scaled_blocks};
use super::forest::Forest;
use super::knobs::unreachable;
use super::request::{NO_OUTPUT, SyntheticRequest};
use crate::error::Invalid;
use crate::record::LengthRange;

/// How many requests in a row may be drawn whose length is not wanted.
const MAX_TRIES: u32 = 10_000;

/// Where requests stop in the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    /// After this run.
    #[serde(rename = "core", default = "none_is_max::none", with = "none_is_max")]
    pub(super) run: RunIndex,
    /// Requests that end there.
    pub(super) ends: u32,
    /// Requests that go on with blocks of their own.
    pub(super) leaves: u32,
}

/// The model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TreeModel {
    pub(super) core: Core,
    pub(super) stops: Vec<Stop>,
    /// Lengths of the own parts, in blocks.
    pub(super) own: Observed<u32>,
    /// Tokens in the last block.
    pub(super) tails: Observed<u32>,
    pub(super) outputs: Observed<u32>,
    /// How many requests arrive at once.
    pub(super) batches: Observed<u32>,
    /// Milliseconds from one batch to the next.
    pub(super) gaps: Observed<f64>,
}

impl TreeModel {
    /// The model of a trace.
    pub(super) fn new(forest: &Forest) -> Self {
        let mut shared = vec![0; forest.requests.len()];
        forest.requests.iter().for_each(|request| forest.share(request.parent, &mut shared));
        let map = CoreMap::new(forest, &shared);
        let mut stops: Vec<Stop> = (0..map.core.runs.len() as u32)
            .chain([TOP])
            .map(|run| Stop { run, ends: 0, leaves: 0 })
            .collect();
        let mut own = Vec::new();
        for (request, &shared) in forest.requests.iter().zip(&shared) {
            let run = map.run_at(request.block_after(shared));
            let index = (run as usize).min(stops.len() - 1);
            if request.new > shared {
                stops[index].leaves += 1;
                own.push(request.new - shared);
            } else {
                stops[index].ends += 1;
            }
        }
        stops.retain(|stop| stop.ends + stop.leaves > 0);
        let (batches, gaps) = batches(&forest.gaps);
        let tails = forest.requests.iter().map(|request| request.tail);
        Self {
            core: map.core,
            stops,
            own: Observed::new(own),
            // A request without blocks has no last block, and none is drawn for it.
            tails: Observed::new(tails.filter(|&tail| tail > 0).collect()),
            outputs: Observed::new(forest.requests.iter().map(|request| request.output).collect()),
            batches,
            gaps,
        }
    }

    /// Scales the core and the own parts.
    pub(super) fn scale(&mut self, prefix: f64, prompt: f64) {
        self.core.scale(prefix);
        self.own.map(|len| scaled_blocks(len, prompt));
    }

    /// Sorts what was observed, once all of it has been added.
    pub(super) fn sort(&mut self) {
        [&mut self.own, &mut self.tails, &mut self.outputs, &mut self.batches]
            .into_iter()
            .for_each(Observed::sort);
        self.gaps.sort();
    }
}

/// Sizes of the groups of requests that arrive together, and the times between them.
fn batches(gaps: &[f64]) -> (Observed<u32>, Observed<f64>) {
    let mut sizes = Vec::new();
    for (i, &gap) in gaps.iter().enumerate() {
        match sizes.last_mut() {
            Some(size) if gap == 0.0 && i > 0 => *size += 1,
            _ => sizes.push(1),
        }
    }
    (Observed::new(sizes), Observed::new(gaps.iter().copied().filter(|&gap| gap > 0.0).collect()))
}

/// Draws requests of the model.
pub(super) struct TreeGenerator {
    model: TreeModel,
    block_size: u64,
    /// Blocks from the top to each stop.
    depths: Vec<u64>,
    /// One entry per request of the original: twice the index of its stop, plus one if it leaves.
    walks: Vec<u32>,
    ids: BlockIds,
    /// Requests still to come in the current batch.
    batch: u32,
}

impl TreeGenerator {
    pub(super) fn new(model: TreeModel, block_size: u64, copies: u32) -> Self {
        let mut walks = Vec::new();
        for (stop, i) in model.stops.iter().zip(0..) {
            walks.extend(std::iter::repeat_n(2 * i, stop.ends as usize));
            walks.extend(std::iter::repeat_n(2 * i + 1, stop.leaves as usize));
        }
        let depths = model.core.depths();
        let depths = model.stops.iter().map(|stop| depths.get(stop.run as usize).copied().unwrap_or(0));
        let depths = depths.collect();
        let ids = BlockIds::new(&model.core, copies);
        Self { model, block_size, depths, walks, ids, batch: 0 }
    }

    /// Milliseconds from the request before to the next one.
    pub(super) fn draw_gap(&mut self, rng: &mut Rng) -> f64 {
        if self.batch > 0 {
            self.batch -= 1;
            return 0.0;
        }
        self.batch = self.model.batches.draw(rng).unwrap_or(1) - 1;
        self.model.gaps.draw(rng).unwrap_or(0.0)
    }

    /// Draws a request, without its arrival, until its length is within the limits.
    pub(super) fn draw(
        &mut self,
        rng: &mut Rng,
        limits: LengthRange,
        request: &mut SyntheticRequest,
    ) -> Result<(), Invalid> {
        for _ in 0..MAX_TRIES {
            let walk = self.walks[rng.usize(..self.walks.len())];
            let stop = walk as usize / 2;
            let depth = self.depths[stop];
            let run = self.model.stops[stop].run;
            let (own, tail) = if walk % 2 == 1 {
                (self.model.own.draw(rng).unwrap_or(1), self.model.tails.draw(rng).unwrap_or(1))
            } else {
                (0, self.model.core.runs.get(run as usize).map_or(0, |run| run.tail))
            };
            let output = self.model.outputs.draw(rng).unwrap_or(NO_OUTPUT);
            request.start(depth, own, tail, output, self.block_size);
            if limits.contains(request.input_length) {
                let copy = self.ids.draw_copy(rng);
                self.ids.core_path(&self.model.core, run, copy, request);
                self.ids.fresh(own, request);
                return Ok(());
            }
        }
        Err(unreachable(limits, MAX_TRIES))
    }
}
