//! What has been learnt, by either of the two models.

use serde::{Deserialize, Serialize};

use super::core::Core;
use super::fidelity::Figures;
use super::forest::Forest;
use super::kind::ModelKind;
use super::replay::ReplayModel;
use super::sessions::{self, SessionsModel};
use super::tree::TreeModel;
use super::write::WriteOptions;
use crate::error::Invalid;
use crate::record::DEFAULT_BLOCK_SIZE;

/// How a trace is to be modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelOptions {
    /// Which model.
    pub kind: ModelKind,
    /// The model `sessions` keeps nothing that tells of fewer sessions than this.
    pub min_count: u64,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { kind: ModelKind::default(), min_count: 5 }
    }
}

impl From<ModelKind> for ModelOptions {
    fn from(kind: ModelKind) -> Self {
        Self { kind, ..Self::default() }
    }
}

/// What has been learnt of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(super) header: ModelHeader,
    pub(super) body: Body,
}

/// What holds for the whole model: the first line of its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "one per property of the records")]
pub(super) struct ModelHeader {
    #[serde(rename = "kvtrace_model")]
    pub(super) kind: ModelKind,
    pub(super) version: u32,
    pub(super) block_size: u64,
    /// Whether records state the block size.
    pub(super) states_block_size: bool,
    /// Whether records have lists of ids.
    pub(super) has_ids: bool,
    /// Whether records have timestamps.
    pub(super) has_times: bool,
    pub(super) requests: u64,
    /// Whether partial blocks have no ids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) full_blocks_only: bool,
    /// How many places a session may move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<f64>,
}

/// Version of the file format that is written and read.
pub(super) const VERSION: u32 = 3;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Sessions(Box<SessionsModel>),
    Replay(ReplayModel),
    Trace(Forest),
    Tree(TreeModel),
}

/// The core where there is none.
static NO_CORE: Core = Core { runs: Vec::new() };

impl Body {
    pub(super) fn core(&self) -> &Core {
        match self {
            Self::Sessions(model) => &model.core,
            Self::Replay(model) => &model.core,
            Self::Trace(_) => &NO_CORE,
            Self::Tree(model) => &model.core,
        }
    }
}

impl Model {
    /// The model of what has been learnt.
    ///
    /// # Errors
    /// When there are fewer sessions than anything that is kept must tell of.
    pub fn new(options: impl Into<ModelOptions>, forest: &Forest) -> Result<Self, Invalid> {
        Self::learn(options, forest).map(|learnt| learnt.0)
    }

    /// The model of what has been learnt, and remarks on what of the trace is not in it.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn learn(options: impl Into<ModelOptions>, forest: &Forest) -> Result<(Self, Vec<String>), Invalid> {
        let ModelOptions { kind, min_count } = options.into();
        let mut remarks = Vec::new();
        let body = match kind {
            ModelKind::Sessions => {
                let min_count = usize::try_from(min_count.max(1)).unwrap_or(usize::MAX);
                let (model, left_out) = sessions::learn(forest, min_count)?;
                remarks = left_out;
                Body::Sessions(Box::new(model))
            }
            ModelKind::Replay => Body::Replay(ReplayModel::new(forest)),
            ModelKind::None => {
                let mut forest = forest.clone();
                // Prompts are made of blocks, whether the trace names them or not.
                if !forest.has_ids() {
                    forest.number_all()?;
                    forest.without_ids = 0;
                }
                Body::Trace(forest)
            }
            ModelKind::Tree => Body::Tree(TreeModel::new(forest)),
        };
        let window = match &body {
            Body::Replay(model) => Some(model.window),
            Body::Sessions(_) | Body::Trace(_) | Body::Tree(_) => None,
        };
        let header = ModelHeader {
            kind,
            version: VERSION,
            block_size: forest.block_size,
            states_block_size: forest.states_block_size,
            has_ids: forest.has_ids(),
            has_times: !forest.gaps.is_empty(),
            requests: forest.requests.len() as u64,
            full_blocks_only: forest.lists_full_blocks_only(),
            window,
        };
        Ok((Self { header, body }, remarks))
    }

    /// How many requests it was learnt from.
    pub fn requests(&self) -> u64 {
        self.header.requests
    }

    /// Tokens per block.
    pub fn block_size(&self) -> u64 {
        self.header.block_size
    }

    /// Whether its requests have lists of ids.
    pub fn has_ids(&self) -> bool {
        self.header.has_ids
    }

    /// Whether time passes from one of its requests to the next.
    pub fn has_time(&self) -> bool {
        self.mean_gap().is_some()
    }

    /// Figures of requests of it, none of which has been drawn yet.
    pub(super) fn figures(&self) -> Figures {
        Figures::new(self.header.block_size, self.header.has_ids, self.header.full_blocks_only)
    }

    /// How its requests are written: like those that it was learnt from.
    pub fn write_options(&self) -> WriteOptions {
        WriteOptions {
            has_ids: self.header.has_ids,
            block_size: self.header.block_size,
            full_blocks_only: self.header.full_blocks_only,
            states_block_size: self.header.states_block_size || self.header.block_size != DEFAULT_BLOCK_SIZE,
            ..WriteOptions::default()
        }
    }

    /// What somebody who reads the saved model learns of the trace beyond distributions, if anything.
    pub fn disclosure(&self) -> Option<&'static str> {
        match &self.body {
            Body::Sessions(_) | Body::Trace(_) => None,
            Body::Replay(_) => Some(
                "a saved replay model is the trace itself: lengths, times and shared prefixes of every request can \
                 be rebuilt from it",
            ),
            Body::Tree(_) => Some(
                "a saved tree model holds every length and every pause with its count, and all prefixes that two \
                 requests share",
            ),
        }
    }

    /// Which of the models it is.
    pub fn kind(&self) -> ModelKind {
        self.header.kind
    }

    /// Mean tokens of a prompt in the trace, if the model tells it.
    pub(super) fn mean_input(&self) -> Option<f64> {
        let Body::Sessions(model) = &self.body else { return None };
        model.parts.sums.mean_input(self.header.block_size)
    }

    /// Mean milliseconds between requests, if it knows about time and time passed.
    pub(super) fn mean_gap(&self) -> Option<f64> {
        let mean = match &self.body {
            Body::Sessions(model) => model.parts.span() * 1000.0 / self.header.requests as f64,
            Body::Trace(forest) => forest.mean_gap(u64::MAX)?,
            Body::Replay(model) => model.gaps.iter().sum::<f64>() / model.gaps.len() as f64,
            Body::Tree(model) => model.gaps.mean()? / model.batches.mean()?,
        };
        (self.header.has_times && mean.is_finite() && mean > 0.0).then_some(mean)
    }
}
