//! How prompts become blocks.

use std::sync::Arc;

use crate::blocks::{Partial, Scheme};
use crate::record::prompt::PromptOptions;
use crate::tokens::Tokenizer;
use crate::tokens::template::Template;

/// Bytes of text and tokens that are remembered, unless the user says otherwise.
pub const DEFAULT_REUSE: usize = 64 << 20;

/// How prompts become blocks.
#[derive(Clone)]
#[non_exhaustive]
pub struct HashOptions {
    /// Where the prompts are in a line.
    pub prompts: PromptOptions,
    /// What cuts them into tokens.
    pub tokenizer: Arc<Tokenizer>,
    /// Whether the tokenizer's special tokens are put around texts.
    pub special_tokens: bool,
    /// What makes texts of chats; that of [`chat`](crate::tokens::chat) if absent.
    pub template: Option<Arc<Template>>,
    /// Tokens per block, at least 1.
    pub block_size: usize,
    /// What happens to the tokens after the last full block.
    pub partial: Partial,
    /// How blocks are hashed.
    pub scheme: Scheme,
    /// Output length where the record says nothing; it is left out if absent.
    pub output_length: Option<u64>,
    /// Bytes of text and tokens to remember, over all workers.
    pub reuse: usize,
}

impl HashOptions {
    /// Blocks of `block_size` tokens of this tokenizer, as `trace-hash` makes them by default.
    pub fn new(tokenizer: Arc<Tokenizer>, block_size: usize) -> Self {
        Self {
            prompts: PromptOptions::default(),
            tokenizer,
            special_tokens: false,
            template: None,
            block_size,
            partial: Partial::default(),
            scheme: Scheme::Kvtrace { salt: None },
            output_length: None,
            reuse: DEFAULT_REUSE,
        }
    }
}
