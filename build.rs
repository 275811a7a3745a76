//! Writes down the vocabulary `o200k_base` in the form that the program embeds (`src/tokens/embedded.rs`).
//!
//! The crate `tiktoken` carries the vocabulary, but only as an engine that decodes all of it at its
//! first use. What encoding needs is less: of each token, the two that it is merged from. tiktoken
//! merges, of all neighbours whose bytes together are a token, those with the lowest id; so within the
//! bytes of a token the merges are always the same, whatever stands around them, and the last of them
//! is the only one that makes the token. It is found here by merging every token's bytes with the
//! tokens of lower ids.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "hash")]
    vocabulary::write()?;
    Ok(())
}

#[cfg(feature = "hash")]
mod vocabulary {
    use std::collections::HashMap;
    use std::error::Error;
    use std::path::Path;

    type Ids = HashMap<Vec<u8>, u32>;

    /// Writes the vocabulary into the folder of the build.
    pub(crate) fn write() -> Result<(), Box<dyn Error>> {
        let engine = tiktoken::get_encoding("o200k_base").ok_or("no such vocabulary in tiktoken")?;
        let tokens = (0..).map(|id| engine.decode(&[id])).take_while(|token| !token.is_empty());
        let tokens: Vec<Vec<u8>> = tokens.collect();
        let ids: Ids = tokens.iter().cloned().zip(0..).collect();
        let mut packed = Vec::new();
        for (id, token) in (0..).zip(&tokens) {
            match token[..] {
                [byte] if id < 256 => packed.push(byte),
                _ => {
                    let sides = last_merge(token, id, &ids).ok_or(format!("nothing merges to token {id}"))?;
                    packed.extend(sides.iter().flat_map(|side| side.to_le_bytes()[..3].to_owned()));
                }
            }
        }
        let folder = std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?;
        Ok(std::fs::write(Path::new(&folder).join("o200k_base"), packed)?)
    }

    /// The two tokens from which the one of `id` is merged.
    fn last_merge(token: &[u8], id: u32, ids: &Ids) -> Option<[u32; 2]> {
        // The pieces of what is merged so far.
        let mut pieces: Vec<&[u8]> = token.chunks(1).collect();
        while pieces.len() > 2 {
            let mut start = 0;
            let neighbours = pieces.windows(2).enumerate().map(|(at, pair)| {
                let bytes = &token[start..][..pair[0].len() + pair[1].len()];
                start += pair[0].len();
                (ids.get(bytes).copied().unwrap_or(u32::MAX), at, bytes)
            });
            let (rank, at, bytes) = neighbours.min()?;
            if rank >= id {
                return None;
            }
            pieces.splice(at..at + 2, [bytes]);
        }
        Some([*ids.get(*pieces.first()?)?, *ids.get(*pieces.get(1)?)?])
    }
}
