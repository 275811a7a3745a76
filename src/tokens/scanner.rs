//! The scanner that splits text by the patterns of common models, 64 bytes at a time and without a
//! regular expression: the crate `bitcannon`, which the next major version of Hugging Face's `tokenizers`
//! has too. It is a pre-release, and no other file of the library names it, so a new release is a change
//! here.

use bitcannon::{
    bitcannon_byte_level, bitcannon_cl100k, bitcannon_deepseek, bitcannon_kimi, bitcannon_o200k,
    bitcannon_qwen, bitcannon_tekken, classify::classify,
};

pub(super) use bitcannon::{Span, regexes};

/// A split pattern that the scanner runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Gpt2,
    Cl100k,
    /// `cl100k_base` with single digits.
    Qwen,
    /// The same with marks as letters.
    QwenMarks,
    O200k,
    DeepSeek,
    Tekken,
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
    pub(super) fn split(&mut self, pattern: Pattern, text: &[u8]) -> &[Span] {
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
        if pattern == Pattern::QwenMarks {
            // A mark is in the same words as a letter in its place would be: where it could be the sign
            // before a word, it is the word's first letter as well.
            tags.iter_mut().filter(|tag| **tag == MARK).for_each(|tag| *tag = LETTER);
        }
        let found = match pattern {
            Pattern::Gpt2 => bitcannon_byte_level(text, tags, starts, flags, words),
            Pattern::Cl100k => bitcannon_cl100k(text, tags, starts, flags, words),
            Pattern::Qwen | Pattern::QwenMarks => bitcannon_qwen(text, tags, starts, flags, words),
            Pattern::O200k => bitcannon_o200k(text, tags, starts, flags, later, words),
            Pattern::Tekken => bitcannon_tekken(text, tags, starts, flags, later, words),
            Pattern::Kimi => bitcannon_kimi(text, tags, starts, flags, later, words),
            Pattern::DeepSeek => bitcannon_deepseek(text, tags, starts, words),
        };
        &words[..found]
    }
}
