//! Words of a tokenizer of which little is known: by trial.
//!
//! Each candidate is tried alone, then all of them in random order within what stands around a text, until no
//! text has other tokens than its words. That proves nothing about texts that were not tried: whoever writes
//! texts checks each.

use std::collections::HashSet;

use fastrand::Rng;

use super::decoder::Decoder;
use super::encoder::Encoder;
use super::frame::Frame;
use super::words::Words;
use crate::error::Invalid;

/// Words, at most.
const MOST_WORDS: usize = 1 << 13;

/// Letters of a word, at most.
const LONGEST: usize = 16;

/// So many words are enough; with fewer, single characters are tried too.
const ENOUGH: usize = 64;

/// Characters, at most: each is tried beside each.
const MOST_CHARACTERS: usize = 100;

/// Words of a text that is tried, and rounds without a bad word after which they are good.
const TRIED: usize = 256;
const GOOD_ROUNDS: usize = 3;
const MANY: usize = 4096;
const MOST_ROUNDS: usize = 60;

/// What stands before all words where the first one would be another token.
const STARTER: &str = "a";

impl Words {
    /// Words of any tokenizer, of which `decoder` knows the vocabulary, for texts within `frame`.
    ///
    /// # Errors
    /// When there are none, or the tokenizer fails.
    pub fn find(encoder: &mut Encoder, decoder: &Decoder, frame: &Frame) -> Result<Self, Invalid> {
        let words = alone(encoder, words(decoder))?;
        let mut best = Trial::best(encoder, frame, &words, true)?;
        if best.words.len() < ENOUGH {
            let single = alone(encoder, characters(decoder))?;
            let characters = beside_each_other(encoder, single)?;
            let other = Trial::best(encoder, frame, &characters, false)?;
            if other.words.len() > best.words.len() {
                best = other;
            }
        }
        if best.words.len() < 2 {
            return Err(Invalid::value(
                "no words are found that this tokenizer cuts into one token each (`prompts`=tokens needs none)",
            ));
        }
        Ok(best.into_words())
    }
}

/// Words of small Latin letters in a vocabulary, each behind a space.
fn words(decoder: &Decoder) -> Vec<String> {
    let mut seen = HashSet::new();
    let of_token = |id: u32| {
        let token = std::str::from_utf8(decoder.bytes(id)).ok()?;
        let token = token.strip_suffix("</w>").unwrap_or(token).trim_start();
        let is_word = (1..=LONGEST).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_lowercase());
        is_word.then(|| format!(" {token}"))
    };
    let all = (0..decoder.len() as u32).filter_map(of_token);
    all.filter(|word| seen.insert(word.clone())).take(MOST_WORDS).collect()
}

/// Tokens of one character that needs no escape in JSON, and no space before it.
fn characters(decoder: &Decoder) -> Vec<String> {
    let mut seen = HashSet::new();
    let of_token = |id: u32| {
        let token = std::str::from_utf8(decoder.bytes(id)).ok()?.trim();
        let mut characters = token.chars();
        let (character, None) = (characters.next()?, characters.next()) else { return None };
        let is_plain = character.is_alphanumeric() || character.is_ascii_punctuation();
        (is_plain && !matches!(character, '"' | '\\')).then(|| token.to_owned())
    };
    let all = (0..decoder.len() as u32).filter_map(of_token);
    all.filter(|word| seen.insert(word.clone())).take(MOST_CHARACTERS).collect()
}

/// The candidates that are one token when they are repeated, with that token.
fn alone(encoder: &mut Encoder, candidates: Vec<String>) -> Result<Vec<(String, u32)>, Invalid> {
    let (mut tokens, mut seen) = (Vec::new(), HashSet::new());
    let mut found = Vec::with_capacity(candidates.len());
    for word in candidates {
        tokens.clear();
        encoder.encode(&word.repeat(3), &mut tokens)?;
        // A space at the beginning may be a token of its own.
        if let [.., before, last] = tokens[..]
            && before == last
            && tokens.len() <= 4
            && seen.insert(last)
        {
            found.push((word, last));
        }
    }
    Ok(found)
}

/// Those of the words that keep their tokens beside all others of them.
fn beside_each_other(
    encoder: &mut Encoder,
    candidates: Vec<(String, u32)>,
) -> Result<Vec<(String, u32)>, Invalid> {
    let mut tokens = Vec::new();
    let mut chosen: Vec<(String, u32)> = Vec::new();
    'candidates: for (word, token) in candidates {
        for (other, its) in &chosen {
            tokens.clear();
            encoder.encode(&[other, &*word, other, other, &word, &word].concat(), &mut tokens)?;
            if !tokens.ends_with(&[token, *its, *its, token, token]) {
                continue 'candidates;
            }
        }
        chosen.push((word, token));
    }
    Ok(chosen)
}

/// Words with a way to begin a text.
#[derive(Default)]
struct Trial {
    words: Vec<(String, u32)>,
    frame: Frame,
    bare: bool,
    around: (usize, usize),
}

impl Trial {
    /// The way to begin a text that keeps most words.
    fn best(
        encoder: &mut Encoder,
        frame: &Frame,
        words: &[(String, u32)],
        spaced: bool,
    ) -> Result<Self, Invalid> {
        let mut best = Self::default();
        for (starter, bare) in [("", false), ("", true), (STARTER, false)] {
            let loses_space = spaced && frame.trims && !bare && starter.is_empty();
            if loses_space || (!spaced && (bare || !starter.is_empty())) {
                continue;
            }
            let mut frame = frame.clone();
            frame.start.push_str(starter);
            let mut trial = Self { words: words.to_vec(), frame, bare, around: (0, 0) };
            trial.keep_good(encoder)?;
            if trial.words.len() > best.words.len() {
                best = trial;
            }
            if best.words.len() * 10 >= words.len() * 9 {
                break;
            }
        }
        Ok(best)
    }

    fn into_words(self) -> Words {
        let mut words = Words::default();
        (words.frame, words.around, words.bare) = (self.frame, self.around, self.bare);
        for (word, token) in self.words {
            words.add(&word);
            words.tokens.push(token);
        }
        words
    }

    /// Leaves out words until texts of them have their tokens.
    fn keep_good(&mut self, encoder: &mut Encoder) -> Result<(), Invalid> {
        let mut rng = Rng::with_seed(7);
        let mut good_rounds = 0;
        for _ in 0..MOST_ROUNDS {
            let Some(around) = self.measured(encoder, &mut rng)? else { break };
            self.around = around;
            let mut bad = HashSet::new();
            if good_rounds == 0 {
                self.try_short(encoder, &mut bad)?;
            }
            let count = self.words.len();
            let mut order: Vec<usize> = (0..count).collect();
            rng.shuffle(&mut order);
            // Of few words, which come in all orders, as many as of many.
            order.extend((count..MANY).map(|_| rng.usize(..count)));
            for text in order.chunks(TRIED) {
                self.try_text(encoder, text.to_vec(), &mut bad)?;
            }
            if bad.is_empty() {
                good_rounds += 1;
                if good_rounds == GOOD_ROUNDS {
                    return Ok(());
                }
                continue;
            }
            good_rounds = 0;
            let mut number = 0;
            self.words.retain(|_| {
                number += 1;
                !bad.contains(&(number - 1))
            });
        }
        self.words.clear();
        Ok(())
    }

    /// Tokens before and after the words of a text, as most texts have them.
    fn measured(&self, encoder: &mut Encoder, rng: &mut Rng) -> Result<Option<(usize, usize)>, Invalid> {
        let count = self.words.len();
        if count < 2 {
            return Ok(None);
        }
        let mut found: Vec<(usize, usize)> = Vec::new();
        for _ in 0..32 {
            let (first, second) = (rng.usize(..count), rng.usize(..count));
            let [mut one, mut two] = [Vec::new(), Vec::new()];
            encoder.encode(&self.text(&[first, second]), &mut one)?;
            encoder.encode(&self.text(&[second, first]), &mut two)?;
            let equal = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
            let words = [self.words[first].1, self.words[second].1];
            if first != second && one.get(equal..equal + 2) == Some(&words[..]) {
                found.push((equal, one.len() - equal - 2));
            }
        }
        let times = |around: &(usize, usize)| found.iter().filter(|other| *other == around).count();
        Ok(found.iter().copied().max_by_key(times))
    }

    /// Encodes texts of each word alone, and, where they are few, of each beside each.
    fn try_short(&self, encoder: &mut Encoder, bad: &mut HashSet<usize>) -> Result<(), Invalid> {
        let count = self.words.len();
        for first in 0..count {
            self.try_text(encoder, vec![first], bad)?;
            for second in (0..count).filter(|_| count <= MOST_CHARACTERS) {
                if !bad.contains(&first) && !bad.contains(&second) {
                    self.try_text(encoder, vec![first, second, first, first], bad)?;
                }
            }
        }
        Ok(())
    }

    /// Encodes a text of words, and again without each word that is not its token.
    fn try_text(
        &self,
        encoder: &mut Encoder,
        mut text: Vec<usize>,
        bad: &mut HashSet<usize>,
    ) -> Result<(), Invalid> {
        let mut tokens = Vec::new();
        while !text.is_empty() {
            tokens.clear();
            encoder.encode(&self.text(&text), &mut tokens)?;
            let after = tokens.get(self.around.0..).unwrap_or_default();
            let is_its = |&(&word, &token): &(&usize, &u32)| self.words[word].1 == token;
            let equal = text.iter().zip(after).take_while(is_its).count();
            if equal == text.len() && after.len() == equal + self.around.1 {
                break;
            }
            let word = text[equal.min(text.len() - 1)];
            bad.insert(word);
            text.retain(|&other| other != word);
        }
        Ok(())
    }

    fn text(&self, words: &[usize]) -> String {
        let Frame { open, start, close, .. } = &self.frame;
        let mut text = [&**open, start].concat();
        for (i, &word) in words.iter().enumerate() {
            let word = &*self.words[word].0;
            text.push_str(if i == 0 && self.bare { word.trim_start() } else { word });
        }
        text + close
    }
}
