//! The model `tree`: the reference's algorithm.
//!
//! The core are the blocks that occur more than once. A request walks down the core by the
//! frequencies of the original until it ends there or leaves it for a prompt of its own. The chance
//! that a walk ends at a place is the product of the chances of its steps, which is the share of the
//! original's requests that ended there: so the walk is drawn in one step, by drawing the place.
//! Everything else (length of the own part, its last block, output, arrivals) is drawn independently.

use fastrand::Rng;

use super::core::{Core, CoreMap, Run, RunIndex, TOP};
use super::draw::{Observed, scaled_blocks};
use super::knobs::{Limits, MAX_TRIES};
use super::learn::{Forest, NO_OUTPUT, ROOT};
use super::request::{Ids, Request, Span, push};

/// Where requests stop in the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// After this run.
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
        let shared = shared_blocks(forest);
        let map = CoreMap::new(forest, &shared);
        let mut stops: Vec<Stop> = (0..map.core.runs.len() as u32)
            .chain([TOP])
            .map(|run| Stop { run, ends: 0, leaves: 0 })
            .collect();
        let mut own = Vec::new();
        for (row, &shared) in forest.rows.iter().zip(&shared) {
            let last = if shared > 0 { row.first_new + shared - 1 } else { row.hang };
            let run = map.run_at(last);
            let index = (run as usize).min(stops.len() - 1);
            if row.new > shared {
                stops[index].leaves += 1;
                own.push(row.new - shared);
            } else {
                stops[index].ends += 1;
            }
        }
        stops.retain(|stop| stop.ends + stop.leaves > 0);
        let (batches, gaps) = batches(&forest.gaps);
        Self {
            core: map.core,
            stops,
            own: Observed::new(own),
            // A request without blocks has no last block; it is never asked for one.
            tails: Observed::new(forest.rows.iter().map(|row| row.tail).filter(|&tail| tail > 0).collect()),
            outputs: Observed::new(forest.rows.iter().map(|row| row.output).collect()),
            batches,
            gaps,
        }
    }

    /// Scales the core and the own parts.
    pub(super) fn scale(&mut self, prefix: f64, prompt: f64) {
        for Run { len, .. } in &mut self.core.runs {
            *len = scaled_blocks(*len, prefix);
        }
        self.own.map(|len| scaled_blocks(len, prompt));
    }
}

/// Of the new blocks of each request, how many occur again.
fn shared_blocks(forest: &Forest) -> Vec<u32> {
    let mut shared = vec![0; forest.rows.len()];
    for row in forest.rows.iter().filter(|row| row.hang != ROOT) {
        let owner = forest.owner(row.hang);
        shared[owner] = shared[owner].max(row.hang - forest.rows[owner].first_new + 1);
    }
    shared
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
    ids: Ids,
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
        let ids = Ids::new(&model.core, copies);
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
        limits: &Limits,
        request: &mut Request,
    ) -> Result<(), String> {
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
            let blocks = depth + u64::from(own);
            let length = blocks.saturating_sub(1) * self.block_size + u64::from(tail);
            let output = self.model.outputs.draw(rng).unwrap_or(NO_OUTPUT);
            if !limits.contain(length) {
                continue;
            }
            request.clear();
            request.input_length = length;
            request.context_length = (depth * self.block_size).min(length);
            request.output_length = (output != NO_OUTPUT).then_some(u64::from(output));
            let copy = self.ids.draw_copy(rng);
            self.ids.core_path(&self.model.core, run, copy, &mut request.spans);
            push(&mut request.spans, Span { start: self.ids.fresh(own), len: own });
            return Ok(());
        }
        Err(limits.unreachable(MAX_TRIES))
    }
}
