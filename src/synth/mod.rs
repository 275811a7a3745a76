//! Synthetic traces: learn one trace, write another that is like it.
//!
//! [`Learner`] reads requests in one pass, [`Model`] is what remains of them, and [`Generator`] draws
//! new requests, one at a time and without end. There are three models: [`sessions`](ModelKind::Sessions)
//! draws new sessions, in which prefixes come back when they do in the trace; [`replay`](ModelKind::Replay)
//! plays the sessions of the trace again, near the times that they had; [`tree`](ModelKind::Tree) is the
//! algorithm of NVIDIA Dynamo's `datagen`, which draws every part of a request independently.

mod core;
mod draw;
mod fidelity;
mod forest;
mod generator;
mod kind;
mod knobs;
mod learn;
mod model;
mod model_file;
mod prompts;
mod replay;
mod request;
mod run;
mod sessions;
mod shown;
mod shuffle;
mod tree;
mod write;

pub use forest::Forest;
pub use generator::Generator;
pub use kind::ModelKind;
pub use knobs::{Knobs, MAX_FACTOR};
pub use learn::Learner;
pub use model::{Model, ModelOptions};
pub use model_file::ModelReader;
pub use prompts::Vocabulary;
pub use request::{Place, Span, SyntheticRequest};
pub use run::{End, Source, Task, run};
pub use write::{RequestWriter, Schedule, WriteOptions};
