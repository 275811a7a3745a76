//! Tokens to prefix blocks: cutting, and a hash per block that covers everything before it.

/// Names this use of the hash function: other uses of BLAKE3 never give the same hashes.
const CONTEXT: &str = "kvtrace 2026-11-24 prefix block chain";

/// The first 96 bits of a block's chained hash: equal for equal prefixes, and among 10^9 blocks two
/// different ones are equal with a chance of 6 in 10^12.
pub type BlockKey = [u32; 3];

/// What happens to the tokens after the last full block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partial {
    /// They are a block of their own, as in the reference.
    #[default]
    Keep,
    /// They are left out, as serving engines do.
    Drop,
}

/// Cuts prompts into blocks and hashes them in chains.
///
/// A block's hash is BLAKE3 in key-derivation mode over the hash of the block before it (32 bytes;
/// zeros for the first) and its tokens as 32-bit little-endian numbers. BLAKE3 is collision
/// resistant, so nobody can write prompts whose different blocks pass for equal.
pub struct BlockChain {
    block_size: usize,
    partial: Partial,
    base: blake3::Hasher,
    bytes: Vec<u8>,
}

impl BlockChain {
    /// Cuts into blocks of `block_size` tokens, at least 1.
    pub fn new(block_size: usize, partial: Partial) -> Self {
        let base = blake3::Hasher::new_derive_key(CONTEXT);
        Self { block_size: block_size.max(1), partial, base, bytes: Vec::new() }
    }

    /// Number of the `tokens` that are in blocks: all, or those in full blocks.
    pub fn kept(&self, tokens: usize) -> usize {
        match self.partial {
            Partial::Keep => tokens,
            Partial::Drop => tokens - tokens % self.block_size,
        }
    }

    /// Calls `each` with the key of every block of `tokens`, first block first.
    pub fn keys(&mut self, tokens: &[u32], mut each: impl FnMut(BlockKey)) {
        let mut parent = [0; 32];
        for block in tokens[..self.kept(tokens.len())].chunks(self.block_size) {
            self.bytes.clear();
            self.bytes.extend_from_slice(&parent);
            self.bytes.extend(block.iter().flat_map(|token| token.to_le_bytes()));
            let mut hasher = self.base.clone();
            hasher.update(&self.bytes);
            parent = *hasher.finalize().as_bytes();
            let word =
                |i: usize| u32::from_le_bytes([parent[i], parent[i + 1], parent[i + 2], parent[i + 3]]);
            each([word(0), word(4), word(8)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn keys(tokens: &[u32], size: usize, partial: Partial) -> Vec<BlockKey> {
        let mut out = Vec::new();
        BlockChain::new(size, partial).keys(tokens, |key| out.push(key));
        out
    }

    proptest! {
        #[test]
        fn keys_are_equal_exactly_when_all_tokens_up_to_the_end_are(
            prompts in prop::collection::vec(prop::collection::vec(0..3u32, 0..12), 1..12),
            size in 1..5usize,
        ) {
            let mut prefix_of: HashMap<BlockKey, Vec<u32>> = HashMap::new();
            let mut key_of: HashMap<Vec<u32>, BlockKey> = HashMap::new();
            for tokens in &prompts {
                for (i, key) in keys(tokens, size, Partial::Keep).into_iter().enumerate() {
                    let prefix = tokens[..((i + 1) * size).min(tokens.len())].to_vec();
                    prop_assert_eq!(prefix_of.entry(key).or_insert_with(|| prefix.clone()), &prefix);
                    prop_assert_eq!(key_of.entry(prefix).or_insert(key), &key);
                }
            }
        }
    }

    #[test]
    fn the_partial_block_is_kept_or_dropped() {
        let tokens = [1, 2, 3, 4, 5];
        assert_eq!(keys(&tokens, 2, Partial::Keep).len(), 3);
        assert_eq!(keys(&tokens, 2, Partial::Drop), keys(&tokens[..4], 2, Partial::Keep));
        assert_eq!(BlockChain::new(2, Partial::Drop).kept(5), 4);
        assert!(keys(&[], 2, Partial::Keep).is_empty());
    }

    /// Computed with the blake3 package of Python.
    #[test]
    fn hashes_are_those_of_another_implementation() {
        let found = keys(&[1, 2, 3, 4], 2, Partial::Keep);
        let expected = [[0x1f37_4290, 0xf409_cd0b, 0xcd71_c5b7], [0x9267_25ff, 0x660a_d9e0, 0xa729_f600]];
        assert_eq!(found, expected);
    }
}
