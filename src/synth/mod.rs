//! Synthetic traces: learn one trace, write another that is like it.
//!
//! [`Learner`] reads requests in one pass, [`Model`] is what remains of them, and [`Generator`] draws
//! new requests, one at a time and without end. There are two models: [`tree`](ModelKind::Tree) is
//! the algorithm of NVIDIA Dynamo's `datagen`, which draws every part of a request independently;
//! [`sessions`](ModelKind::Sessions) keeps what belongs together and when prefixes come back.

mod core;
mod draw;
mod fidelity;
mod file;
mod generate;
mod knobs;
mod learn;
mod prompts;
mod request;
mod sessions;
mod shuffle;
mod siblings;
mod target;
mod tree;
mod window;
mod write;

pub use fidelity::Figures;
pub use file::ModelReader;
pub use generate::Generator;
pub use knobs::{Knobs, Limits, MAX_FACTOR};
pub use learn::{Forest, Learner};
pub use prompts::Vocabulary;
pub use request::{Request, Span};
pub use write::{RequestWriter, WriteOptions};

use sessions::SessionsModel;
use tree::TreeModel;

/// How a trace is modelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelKind {
    /// Whole sessions, drawn anew.
    #[default]
    Sessions,
    /// The reference's prefix tree.
    Tree,
}

/// What has been learnt of a trace. It holds no ids and no points in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    block_size: u64,
    /// Whether records state the block size.
    states_block_size: bool,
    /// Whether records have lists of ids.
    has_ids: bool,
    /// Whether records have timestamps.
    has_times: bool,
    requests: u64,
    body: Body,
}

#[derive(Clone, Debug, PartialEq)]
enum Body {
    Sessions(SessionsModel),
    Tree(TreeModel),
}

impl Model {
    /// The model of what has been learnt.
    pub fn new(kind: ModelKind, forest: &Forest) -> Self {
        let body = match kind {
            ModelKind::Sessions => Body::Sessions(SessionsModel::new(forest)),
            ModelKind::Tree => Body::Tree(TreeModel::new(forest)),
        };
        Self {
            block_size: forest.block_size,
            states_block_size: forest.states_block_size,
            has_ids: forest.has_ids(),
            has_times: !forest.gaps.is_empty(),
            requests: forest.rows.len() as u64,
            body,
        }
    }

    /// How many requests it was learnt from.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Tokens per block.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Whether its requests have lists of ids.
    pub fn has_ids(&self) -> bool {
        self.has_ids
    }

    /// Whether time passes from one of its requests to the next.
    pub fn has_time(&self) -> bool {
        self.mean_gap().is_some()
    }

    /// How its requests are written: as those that it was learnt from.
    pub fn write_options(&self) -> WriteOptions {
        WriteOptions {
            has_ids: self.has_ids,
            block_size: self.block_size,
            states_block_size: self.states_block_size,
            ..WriteOptions::default()
        }
    }

    /// Mean milliseconds between requests, if it knows about time and time passed.
    fn mean_gap(&self) -> Option<f64> {
        let mean = match &self.body {
            Body::Sessions(model) => model.gaps.iter().sum::<f64>() / model.gaps.len() as f64,
            Body::Tree(model) => model.gaps.mean()? / model.batches.mean()?,
        };
        (self.has_times && mean.is_finite() && mean > 0.0).then_some(mean)
    }
}
