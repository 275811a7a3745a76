//! The kinds of models.

use serde::{Deserialize, Serialize};

/// How a trace is modelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelKind {
    /// New sessions, drawn from distributions.
    #[default]
    Sessions,
    /// The sessions of the trace itself, moved in time: copies in all but their ids.
    Replay,
    /// No model: the trace itself, request by request.
    None,
    /// The prefix tree of NVIDIA Dynamo's `datagen`.
    Tree,
}
