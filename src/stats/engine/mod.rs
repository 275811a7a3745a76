//! What a serving engine computes for a request: the full blocks of its prompt and its answer.

mod blocks;
mod followers;

pub use blocks::Answers;
pub(super) use blocks::{EngineBlocks, EngineRequest};
