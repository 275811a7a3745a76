//! Prompts to trace lines.
//!
//! Lines go in batches to worker threads, which do what takes time and depends on one line alone:
//! parsing, rendering, tokens, chained hashes (`worker`). One thread writes the results in the
//! order of the lines and does what depends on that order: dense numbers, arrival times (`write`).
//! The same bytes come out for any number of workers (`pipeline`).

mod pipeline;
mod run;
mod worker;
mod write;

use std::sync::Arc;

pub use run::{IdSource, Outcome, Task, run};
pub use write::{IdForm, Ids, TraceWriter, WriteOptions};

use crate::blocks::{Partial, Scheme};
use crate::record::prompt::PromptOptions;
use crate::tokens::Tokenizer;
use crate::tokens::template::Template;

/// Output length of a request whose record says nothing about it, as in the reference.
pub const DEFAULT_OUTPUT_LENGTH: u64 = 500;

/// How prompts become blocks.
#[derive(Clone)]
pub struct HashOptions {
    /// Where the prompts are in a line.
    pub prompts: PromptOptions,
    /// What cuts them into tokens.
    pub tokenizer: Arc<Tokenizer>,
    /// Whether the tokenizer's special tokens are put around texts.
    pub special_tokens: bool,
    /// What makes texts of chats; `ChatML` if absent.
    pub template: Option<Arc<Template>>,
    /// Tokens per block, at least 1.
    pub block_size: usize,
    /// What happens to the tokens after the last full block.
    pub partial: Partial,
    /// How blocks are hashed.
    pub scheme: Scheme,
    /// Output length where the record says nothing.
    pub output_length: u64,
    /// Bytes of text and tokens to remember, over all workers.
    pub reuse: usize,
}
