//! Token ids back to text, for showing what a prompt says at some place.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::characters::SPACE;
use super::embedded;
use super::file::to_bytes;
use super::tokenizer::{FILE_NAME, Kind, Tokenizer};
use crate::error::{Error, Result};
use crate::io::read_whole;

/// The bytes of each token of a vocabulary.
///
/// The bytes of a text's tokens are the text, except with tokenizers that change the text first: by lower case,
/// normal forms, a space put before it.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where the bytes of each token end.
    ends: Vec<u32>,
}

impl Decoder {
    /// That of an embedded tokenizer; of one from a file nothing is known (see [`Decoder::load`]).
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let mut decoder = Self::default();
        match tokenizer.kind {
            Kind::O200kBase => embedded::each_token(|token| decoder.push(token)),
            Kind::Bytes => (0..=u8::MAX).for_each(|byte| decoder.push(&[byte])),
            Kind::File(_) => {}
        }
        decoder
    }

    /// That of the tokenizer file at `path`, or in the folder `path`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        let name = path.display().to_string();
        let bytes = read_whole(&path).map_err(|e| Error::io(&name, e))?;
        let file: File<'_> = serde_json::from_slice(&bytes)
            .map_err(|e| Error::Failed(format!("{name}: not a usable tokenizer file: {e}")))?;
        let mut tokens: Vec<(usize, Vec<u8>)> = match file.model.vocab {
            Vocab::Ids(ids) => of_vocabulary(ids.into_iter().map(|(token, id)| (id, token)).collect()),
            Vocab::Scores(list) => {
                of_vocabulary(list.into_iter().enumerate().map(|(id, (token, _))| (id, token)).collect())
            }
        };
        tokens
            .extend(file.added_tokens.into_iter().map(|token| (token.id, token.content.into_owned().into())));
        tokens.sort_by_key(|(id, _)| *id);
        let mut decoder = Self::default();
        for (id, token) in tokens {
            // Ids without a token stay empty, up to the most that a vocabulary may have.
            while decoder.ends.len() < id.min(1 << 24) {
                decoder.push(b"");
            }
            if decoder.ends.len() == id {
                decoder.push(&token);
            }
        }
        Ok(decoder)
    }

    fn push(&mut self, token: &[u8]) {
        self.bytes.extend_from_slice(token);
        self.ends.push(self.bytes.len() as u32);
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether each token is a byte.
    pub fn is_of_bytes(&self) -> bool {
        self.ends.len() == 256
    }

    /// The bytes of a token; none of an unknown one.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let Some(&end) = self.ends.get(id as usize) else { return &[] };
        let start = (id as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..end as usize]
    }

    /// How many bytes these tokens have.
    pub fn length(&self, tokens: &[u32]) -> usize {
        tokens.iter().map(|&id| self.bytes(id).len()).sum()
    }

    /// The bytes of the first of these tokens, up to about `most`.
    pub fn text(&self, tokens: &[u32], most: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for &id in tokens {
            if text.len() >= most {
                break;
            }
            text.extend_from_slice(self.bytes(id));
        }
        text
    }
}

/// The bytes of tokens by their spelling: a character for each byte, or text in which U+2581 is a space.
fn of_vocabulary(tokens: Vec<(usize, Cow<'_, str>)>) -> Vec<(usize, Vec<u8>)> {
    let mut bytes = Vec::new();
    let of_bytes = tokens.iter().filter(|(_, token)| {
        bytes.clear();
        to_bytes(token, &mut bytes)
    });
    let is_of_bytes = of_bytes.count() * 10 > tokens.len() * 9
        && !tokens.iter().any(|(_, token)| token.starts_with(SPACE) || token.starts_with("##"));
    let decode = |token: &str| {
        let mut bytes = Vec::new();
        if is_of_bytes && to_bytes(token, &mut bytes) {
            return bytes;
        }
        let byte = token.strip_prefix("<0x").and_then(|hex| hex.strip_suffix('>'));
        if let Some(byte) = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            return vec![byte];
        }
        token.strip_prefix("##").unwrap_or(token).replace(SPACE, " ").into_bytes()
    };
    tokens.iter().map(|(id, token)| (*id, decode(token))).collect()
}

/// The fields of a tokenizer file that are used.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, default)]
    added_tokens: Vec<AddedToken<'a>>,
    #[serde(borrow)]
    model: Model<'a>,
}

#[derive(Deserialize)]
struct AddedToken<'a> {
    id: usize,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    vocab: Vocab<'a>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vocab<'a> {
    #[serde(borrow)]
    Ids(HashMap<Cow<'a, str>, usize>),
    #[serde(borrow)]
    Scores(Vec<(Cow<'a, str>, Value)>),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Encoder;
    use super::*;

    #[test]
    fn the_bytes_of_the_tokens_of_a_text_are_the_text() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/model");
        let file = (Tokenizer::load(&model, false).unwrap(), Decoder::load(&model).unwrap());
        let named = ["o200k_base", "bytes"].map(|name| {
            let tokenizer = Tokenizer::named(name).unwrap();
            let decoder = Decoder::of(&tokenizer);
            (tokenizer, decoder)
        });
        for (tokenizer, decoder) in named.into_iter().chain([file]) {
            let mut encoder = Encoder::new(Arc::new(tokenizer), 0);
            for text in ["", "Hello, world!", "<|im_start|>user\n 12:30 é 中文 😀\t\u{0}", "  \n\n{\"a\": 1}"]
            {
                let mut tokens = Vec::new();
                encoder.encode(text, &mut tokens).unwrap();
                assert_eq!(decoder.text(&tokens, usize::MAX), text.as_bytes());
                assert_eq!(decoder.length(&tokens), text.len());
            }
        }
    }

    #[test]
    fn tokens_of_words_have_spaces_for_their_marks() {
        let tokens = [(0, "\u{2581}the"), (1, "<0x0A>"), (2, "ing")].map(|(id, text)| (id, text.into()));
        let decoded = of_vocabulary(tokens.into());
        assert_eq!(decoded, [(0, b" the".to_vec()), (1, b"\n".to_vec()), (2, b"ing".to_vec())]);
        assert_eq!(Decoder::default().bytes(7), b"");
    }
}
