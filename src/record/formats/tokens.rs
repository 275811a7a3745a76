//! Prompts whose tokens are known: their blocks.
//!
//! Equal tokens after equal tokens are an equal block. Its id is a hash that stands for all of them, and is
//! renumbered later. Only full blocks have ids.

use xxhash_rust::xxh3::xxh3_64;

use super::base::FileFacts;
use crate::record::surrogate::surrogate_child;

/// Tokens per block where the user does not say: vLLM's own.
const BLOCK_SIZE: u64 = 16;

/// Cuts prompts into blocks.
#[derive(Clone)]
pub(super) struct TokenBlocks {
    pub(super) block_size: u64,
    bytes: Vec<u8>,
}

impl TokenBlocks {
    pub(super) fn new(file: &FileFacts) -> Self {
        Self { block_size: file.block_size.unwrap_or(BLOCK_SIZE), bytes: Vec::new() }
    }

    /// The ids of the full blocks of `tokens`.
    pub(super) fn ids(&mut self, tokens: &[u64]) -> Vec<u64> {
        let mut parent = 0;
        let block = |tokens: &[u64]| {
            self.bytes.clear();
            self.bytes.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
            parent = surrogate_child(parent, xxh3_64(&self.bytes));
            parent
        };
        // A block is smaller than the address space.
        tokens.chunks_exact(self.block_size as usize).map(block).collect()
    }
}
