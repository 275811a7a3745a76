//! The scanner that splits text by the patterns of common models, 64 bytes at a time and without a
//! regular expression: the crate `bitcannon`, which the next major version of Hugging Face's `tokenizers`
//! has too. It is a pre-release, and no other file of the library names it, so a new release is a change
//! here.

use bitcannon::{
    bitcannon_byte_level, bitcannon_cl100k, bitcannon_deepseek, bitcannon_kimi, bitcannon_o200k,
    bitcannon_qwen, bitcannon_tekken, classify::classify,
};

pub(super) use bitcannon::{Span, regexes};

/// A pattern that cuts text into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// GPT-2 and the many models after it.
    Gpt2,
    /// `cl100k_base`, Llama 3, GLM 4.
    Cl100k,
    /// The same with single digits: Qwen 2 and 3.
    Qwen,
    /// The same with marks as letters: Qwen 3.5 and later.
    QwenMarks,
    /// `o200k_base`, gpt-oss, Llama 4.
    O200k,
    /// `DeepSeek` V3.
    DeepSeek,
    /// Mistral.
    Tekken,
    /// Kimi K2.
    Kimi,
}

/// The tags of a letter without case, and of a character of category M and no other.
const LETTER: u8 = 0;
const MARK: u8 = 6;

/// Working memory of the scanner, reused.
#[derive(Default)]
pub(super) struct Scanner {
    tags: Vec<u8>,
    starts: Vec<u64>,
    flags: Vec<u64>,
    later: Vec<u64>,
    words: Vec<Span>,
}

impl Scanner {
    /// The words of `text`, which is shorter than 4 GiB.
    pub(super) fn split(&mut self, grammar: Grammar, text: &[u8]) -> &[Span] {
        let blocks = text.len().div_ceil(64);
        if self.tags.len() < text.len() {
            self.tags.resize(text.len(), 0);
            self.words.resize(text.len(), Span::default());
            for bits in [&mut self.starts, &mut self.flags] {
                bits.resize(blocks, 0);
            }
            self.later.resize(2 * blocks, 0);
        }
        let Self { tags, starts, flags, later, words } = self;
        let tags = &mut tags[..text.len()];
        classify(text, tags);
        if grammar == Grammar::QwenMarks {
            // A mark is in the same words as a letter in its place would be: where it could be the sign
            // before a word, it is the word's first letter as well.
            tags.iter_mut().filter(|tag| **tag == MARK).for_each(|tag| *tag = LETTER);
        }
        let found = match grammar {
            Grammar::Gpt2 => bitcannon_byte_level(text, tags, starts, flags, words),
            Grammar::Cl100k => bitcannon_cl100k(text, tags, starts, flags, words),
            Grammar::Qwen | Grammar::QwenMarks => bitcannon_qwen(text, tags, starts, flags, words),
            Grammar::O200k => bitcannon_o200k(text, tags, starts, flags, later, words),
            Grammar::Tekken => bitcannon_tekken(text, tags, starts, flags, later, words),
            Grammar::Kimi => bitcannon_kimi(text, tags, starts, flags, later, words),
            Grammar::DeepSeek => bitcannon_deepseek(text, tags, starts, words),
        };
        &words[..found]
    }
}
