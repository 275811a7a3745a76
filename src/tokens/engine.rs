//! The pre-release crates that tokenizers rest on. No other file of the library names them, so a new
//! release of either is a change here.
//!
//! * `tokenizers`, Hugging Face's own engine, runs any tokenizer file ([`General`]).
//! * `bitcannon`, the scanner of that engine, splits text by the patterns of common models, 64 bytes
//!   at a time and without a regular expression ([`Scanner`]).

use bitcannon::{
    bitcannon_byte_level, bitcannon_cl100k, bitcannon_deepseek, bitcannon_kimi, bitcannon_o200k,
    bitcannon_qwen, bitcannon_tekken, classify::classify,
};
use serde::de::IgnoredAny;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineTokenizer};

pub(super) use bitcannon::{Span, regexes};

/// A tokenizer of any kind, run by the crate `tokenizers`.
pub(super) struct General(Box<PipelineTokenizer>);

impl General {
    /// Reads the text of a tokenizer file.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        // A file that is not JSON gets the clearest message from serde.
        serde_json::from_str::<IgnoredAny>(text).map_err(|e| e.to_string())?;
        let canonical = tokenizers::canonicalize_str(text).map_err(|e| e.to_string())?;
        tokenizers::from_json(&canonical).map(|engine| Self(Box::new(engine))).map_err(|e| e.to_string())
    }

    /// Appends the tokens of `text`, with the special tokens around it if `specials`.
    pub(super) fn encode(&self, text: &str, specials: bool, out: &mut Vec<u32>) -> Result<(), String> {
        let options = EncodeOptions {
            add_special_tokens: specials,
            padding: Override::Off,
            truncation: Override::Off,
            ..EncodeOptions::default()
        };
        let mut tokens = Vec::new();
        self.0.encode_into(text, &options, &mut tokens).map_err(|error| error.to_string())?;
        out.extend(tokens.iter().map(|token| token.id()));
        Ok(())
    }
}

/// A split pattern that the scanner runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Gpt2,
    Cl100k,
    /// `cl100k_base` with single digits.
    Qwen,
    O200k,
    DeepSeek,
    Tekken,
    Kimi,
}

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
        let found = match pattern {
            Pattern::Gpt2 => bitcannon_byte_level(text, tags, starts, flags, words),
            Pattern::Cl100k => bitcannon_cl100k(text, tags, starts, flags, words),
            Pattern::Qwen => bitcannon_qwen(text, tags, starts, flags, words),
            Pattern::O200k => bitcannon_o200k(text, tags, starts, flags, later, words),
            Pattern::Tekken => bitcannon_tekken(text, tags, starts, flags, later, words),
            Pattern::Kimi => bitcannon_kimi(text, tags, starts, flags, later, words),
            Pattern::DeepSeek => bitcannon_deepseek(text, tags, starts, words),
        };
        &words[..found]
    }
}
