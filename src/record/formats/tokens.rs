//! Prompts whose tokens are known: their blocks.
//!
//! Equal tokens after equal tokens are an equal block, unless the requests have another salt, model or adapter:
//! engines keep their caches apart, and so does trace-hash. Its id is a hash that stands for all of them, and is
//! renumbered later. Only full blocks have ids.

use xxhash_rust::xxh3::xxh3_64;

use super::base::FileFacts;
use crate::record::prompt::Keys;
use crate::record::surrogate::{surrogate_child, surrogate_id};

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
        self.keyed_ids(tokens, &Keys::default())
    }

    /// The same of a request with these keys.
    pub(super) fn keyed_ids(&mut self, tokens: &[u64], keys: &Keys) -> Vec<u64> {
        let mut parent = root(keys);
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

/// What stands before the first block of a request with these keys.
fn root(keys: &Keys) -> u64 {
    if *keys == Keys::default() {
        return 0;
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let texts = [&keys.cache_salt, &keys.model, &keys.lora].map(text);
    surrogate_id(&[b"keys", texts[0].as_bytes(), texts[1].as_bytes(), texts[2].as_bytes()])
}
