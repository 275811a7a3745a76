//! Text of a known number of tokens: words that are single tokens, and stay so beside each other.
//!
//! In the embedded vocabulary these are a space and small Latin letters. The split pattern that the
//! vocabulary is used with begins a new piece at a space before a letter, and a piece that is a
//! token as a whole is always encoded as this token: so a text of n such words has n tokens, in
//! any order, and its first n words are its first n tokens. Those of other tokenizers are found by trial
//! ([`find_words`](super::find_words)).

use super::embedded;
use super::frame::Frame;
use super::tokenizer::{BYTES, DEFAULT};
use crate::error::Invalid;

/// Words that are one token each, all different.
#[derive(Debug, Default)]
pub struct Words {
    text: String,
    /// End of each word in the text.
    ends: Vec<u32>,
    /// The token of each word, where a text has to be checked.
    pub(super) tokens: Vec<u32>,
    /// What stands around the words of a text, with as many tokens before and after them.
    pub(super) frame: Frame,
    pub(super) around: (usize, usize),
    /// Whether the first word of a text goes without its space.
    pub(super) bare: bool,
}

impl Words {
    /// The words of the tokenizer of this name.
    ///
    /// # Errors
    /// When there is no such tokenizer.
    pub fn of(tokenizer: &str) -> Result<Self, Invalid> {
        let mut words = Self::default();
        match tokenizer {
            DEFAULT => words.add_vocabulary(),
            BYTES => ('!'..='~').filter(|c| !matches!(c, '"' | '\\')).for_each(|c| {
                words.add(c.encode_utf8(&mut [0; 4]));
            }),
            _ => return Err(Invalid::value(format!("no words are known for the tokenizer \"{tokenizer}\""))),
        }
        Ok(words)
    }

    fn add_vocabulary(&mut self) {
        embedded::each_token(|token| {
            if let Some((b' ', letters)) = token.split_first()
                && !letters.is_empty()
                && letters.iter().all(u8::is_ascii_lowercase)
                && let Ok(word) = std::str::from_utf8(token)
            {
                self.add(word);
            }
        });
    }

    pub(super) fn add(&mut self, word: &str) {
        self.text.push_str(word);
        self.ends.push(self.text.len() as u32);
    }

    /// What stands around the words of a text.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// How many tokens stand before the words of a text, and after them.
    pub fn around(&self) -> (usize, usize) {
        self.around
    }

    /// The token of a word, where texts have to be checked.
    pub fn token(&self, number: usize) -> Option<u32> {
        self.tokens.get(number).copied()
    }

    /// A word as it stands at the beginning of a text.
    pub fn first(&self, number: usize) -> &str {
        let word = self.get(number);
        if self.bare { word.trim_start() } else { word }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The word of this number, counted from 0. It needs no escapes in JSON.
    pub fn get(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[number] as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Encoder, Tokenizer};
    use super::*;

    #[test]
    fn every_word_is_one_token_alone_and_beside_any_other() {
        let mut rng = fastrand::Rng::with_seed(7);
        let words = Words::of(DEFAULT).unwrap();
        let mut encoder = Encoder::new(Arc::new(Tokenizer::default()), 0);
        let mut encode = |text: &str| {
            let mut tokens = Vec::new();
            encoder.encode(text, &mut tokens).unwrap();
            tokens
        };
        let mut seen = std::collections::HashSet::new();
        for number in 0..words.len() {
            let tokens = encode(words.get(number));
            assert_eq!(tokens.len(), 1, "{:?}", words.get(number));
            assert!(seen.insert(tokens[0]));
        }
        for _ in 0..200 {
            let chosen: Vec<usize> = (0..300).map(|_| rng.usize(..words.len())).collect();
            let text: String = chosen.iter().map(|&number| words.get(number)).collect();
            let alone: Vec<u32> = chosen.iter().flat_map(|&number| encode(words.get(number))).collect();
            assert!(encode(&text) == alone, "{text}");
        }
        let bytes = Words::of(BYTES).unwrap();
        assert!(bytes.len() > 80 && (0..bytes.len()).all(|number| bytes.get(number).len() == 1));
    }

    #[test]
    fn the_vocabulary_has_enough_words_to_tell_blocks_apart() {
        assert!(Words::of("o200k_base").unwrap().len() > 30_000);
        assert!(Words::of("other").is_err());
    }
}
