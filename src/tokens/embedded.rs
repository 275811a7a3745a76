//! The vocabulary `o200k_base`, compiled into the program.
//!
//! It is kept as what encoding needs (`build.rs` says how it comes about): the bytes of the first 256
//! tokens, and of every later one the two tokens that it is merged from. tiktoken merges by the id of
//! the result, so ids are also ranks. A word that is a token as a whole needs no look-up of its own:
//! the merges make each token of its bytes.

use std::sync::OnceLock;

use super::bpe::{Alphabet, Bpe};
use super::file::FastBpe;
use super::scanner::Grammar;

const TOKENS: usize = 199_998;

/// A byte for each of the first 256 tokens, and two ids of three bytes for each later one.
static PACKED: &[u8; 256 + 6 * (TOKENS - 256)] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k_base"));

/// The tokenizer of that vocabulary, made by the first call in a few milliseconds.
pub(super) fn o200k_base() -> &'static FastBpe {
    static MADE: OnceLock<FastBpe> = OnceLock::new();
    MADE.get_or_init(|| FastBpe::plain(Grammar::O200k, bpe()))
}

/// Calls `each` with the bytes of every token, in the order of their ids.
pub(super) fn each_token(mut each: impl FnMut(&[u8])) {
    let (bytes, merges) = PACKED.split_at(256);
    let mut bytes = bytes.to_vec();
    let mut ends: Vec<usize> = (0..=bytes.len()).collect();
    for sides in merges.chunks_exact(6) {
        for id in sides.chunks_exact(3).map(|packed| side(packed) as usize) {
            bytes.extend_from_within(ends[id]..ends[id + 1]);
        }
        ends.push(bytes.len());
    }
    ends.windows(2).for_each(|ends| each(&bytes[ends[0]..ends[1]]));
}

fn bpe() -> Bpe {
    let (bytes, merges) = PACKED.split_at(256);
    let mut byte_ids = Box::new([0; 256]);
    for (id, &byte) in (0..).zip(bytes) {
        byte_ids[usize::from(byte)] = id;
    }
    let merges = merges.chunks_exact(6).zip(256..TOKENS as u32);
    Bpe::new(Alphabet::Bytes(byte_ids), merges.map(|(sides, id)| [side(&sides[..3]), side(&sides[3..]), id]))
}

fn side(packed: &[u8]) -> u32 {
    u32::from_le_bytes([packed[0], packed[1], packed[2], 0])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::bpe::WordCache;
    use super::*;

    #[test]
    fn the_bytes_of_each_token_are_merged_to_it() {
        let (bpe, mut words, mut out) = (bpe(), WordCache::default(), Vec::new());
        let mut tokens = HashSet::new();
        each_token(|token| {
            bpe.encode_word(token, 0..token.len(), &mut words, &mut out);
            tokens.insert(token.to_vec());
        });
        assert_eq!(tokens.len(), TOKENS);
        assert!(out.into_iter().eq(0..TOKENS as u32));
    }
}
