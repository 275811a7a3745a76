//! Tokenizer files: `tokenizer.json` of Hugging Face.
//!
//! Most models that are served have a byte-level BPE with one of a few split patterns. These are read
//! here: only what encoding needs, in a tenth of a second for a vocabulary of 128,000 tokens, and run
//! at several times the speed of a general engine. Every other file, or one with a setting that is
//! not understood here, goes to the crate `tokenizers`, which also is what the ids are those of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineTokenizer};
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::added::{Added, Piece};
use super::bpe::{Bpe, Vocabulary, Words};
use super::split::{Cuts, Grammar, Splitter};
use crate::error::{Error, Result};

/// A tokenizer that was read from a file.
pub(super) enum FileTokenizer {
    Fast(Box<ByteLevel>),
    General(Box<PipelineTokenizer>),
}

/// Byte-level BPE behind one of the known split patterns.
pub(super) struct ByteLevel {
    grammar: Grammar,
    bpe: Bpe,
    compose: bool,
    /// Added tokens of the text as it is, and of the text in normal form.
    raw: Option<Added>,
    normal: Option<Added>,
    /// Special tokens around a prompt: before it and after it.
    around: (Vec<u32>, Vec<u32>),
    /// Whether an added token has white space in it, so that a cut could go through it.
    cuttable: bool,
}

/// A thread's working memory.
#[derive(Default)]
pub(super) struct Scratch {
    words: Words,
    splitter: Splitter,
}

impl FileTokenizer {
    /// Reads `path`; the text names its content. With `around` the special tokens around a prompt are
    /// known.
    pub(super) fn load(path: &Path, around: bool) -> Result<(Self, String)> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::io(&name, e))?;
        Self::from_json(&name, bytes, around)
    }

    /// The same of a file with these bytes.
    pub(super) fn from_json(name: &str, bytes: Vec<u8>, around: bool) -> Result<(Self, String)> {
        let identity = blake3::hash(&bytes).to_hex().to_string();
        let fail = |reason: String| Error::Failed(format!("{name}: not a usable tokenizer file: {reason}"));
        let text = String::from_utf8(bytes).map_err(|e| fail(e.utf8_error().to_string()))?;
        match serde_json::from_str::<File<'_>>(&text) {
            Ok(file) => {
                if let Some(fast) = ByteLevel::new(file, around) {
                    return Ok((Self::Fast(Box::new(fast)), identity));
                }
            }
            Err(error) if error.is_data() => {}
            Err(error) => return Err(fail(error.to_string())),
        }
        let canonical = tokenizers::canonicalize_str(&text).map_err(|e| fail(e.to_string()))?;
        let general = tokenizers::from_json(&canonical).map_err(|e| fail(e.to_string()))?;
        Ok((Self::General(Box::new(general)), identity))
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<u32>) -> Result<(), String> {
        match self {
            Self::Fast(fast) => fast.encode(text, scratch, out),
            Self::General(general) => general_encode(general, text, false, out)?,
        }
        Ok(())
    }

    /// The special tokens that stand before and after a prompt.
    pub(super) fn around(&self, text: &str) -> Result<(Vec<u32>, Vec<u32>), String> {
        match self {
            Self::Fast(fast) => Ok(fast.around.clone()),
            Self::General(general) => {
                // The engine puts them itself; they are what it gives more.
                let (mut with, mut without) = (Vec::new(), Vec::new());
                general_encode(general, text, true, &mut with)?;
                general_encode(general, text, false, &mut without)?;
                let more = with.len().saturating_sub(without.len());
                let before = (0..=more).find(|&n| with[n..].starts_with(&without));
                let before = before.ok_or("special tokens that change the others are not supported")?;
                let after = with.split_off(before + without.len());
                with.truncate(before);
                Ok((with, after))
            }
        }
    }

    /// Where texts may be cut, if that is known.
    pub(super) fn cuts(&self) -> Option<Cuts> {
        match self {
            Self::Fast(fast) if fast.cuttable => Some(fast.grammar.cuts()),
            _ => None,
        }
    }
}

fn general_encode(
    engine: &PipelineTokenizer,
    text: &str,
    add_special_tokens: bool,
    out: &mut Vec<u32>,
) -> Result<(), String> {
    let options = EncodeOptions {
        add_special_tokens,
        padding: Override::Off,
        truncation: Override::Off,
        ..EncodeOptions::default()
    };
    let mut tokens = Vec::new();
    engine.encode_into(text, &options, &mut tokens).map_err(|error| error.to_string())?;
    out.extend(tokens.iter().map(|token| token.id()));
    Ok(())
}

impl ByteLevel {
    /// One without added tokens and special ones.
    pub(super) fn plain(grammar: Grammar, bpe: Bpe) -> Self {
        let around = Default::default();
        Self { grammar, bpe, compose: false, raw: None, normal: None, around, cuttable: true }
    }

    /// `None` where the file asks for anything that is not known here.
    fn new(file: File<'_>, around: bool) -> Option<Self> {
        let File { added_tokens, normalizer, pre_tokenizer, post_processor, model, .. } = file;
        let grammar = Grammar::of(&pre_tokenizer)?;
        let compose = composes(&normalizer)?;
        let around = if around { specials(&post_processor)? } else { Default::default() };
        let plain = model.kind.as_deref() == Some("BPE")
            && model.dropout.is_none_or(|dropout| dropout == 0.0)
            && model.unk_token.is_null()
            && !model.byte_fallback
            && [&model.continuing_subword_prefix, &model.end_of_word_suffix]
                .iter()
                .all(|affix| affix.as_ref().is_none_or(String::is_empty));
        if !plain {
            return None;
        }
        let merges = model.merges.resolve(&model.vocab)?;
        let mut tokens = (Vec::new(), Vec::new());
        let mut cuttable = true;
        let mut next_id = None;
        for token in added_tokens {
            if token.content.is_empty() {
                continue;
            }
            let known = model.vocab.id_of(&token.content);
            let id = known.or(next_id).unwrap_or(model.vocab.len);
            if id != token.id || token.single_word || token.lstrip || token.rstrip {
                return None;
            }
            if compose && token.normalized && !token.content.is_ascii() {
                return None;
            }
            next_id = Some((id + 1).max(next_id.unwrap_or(model.vocab.len)));
            cuttable &= !token.content.contains(char::is_whitespace);
            let list = if token.normalized { &mut tokens.1 } else { &mut tokens.0 };
            list.push((token.content.into_owned(), id));
        }
        let words = model.vocab.words;
        let byte_ids = words.byte_ids()?;
        let bpe = Bpe::new(&byte_ids, merges.into_iter(), model.ignore_merges.then_some(words));
        let (raw, normal) = (Added::new(&tokens.0), Added::new(&tokens.1));
        Some(Self { grammar, bpe, compose, raw, normal, around, cuttable })
    }

    pub(super) fn encode(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let Some(added) = &self.raw else {
            return self.encode_normal(text, scratch, out);
        };
        added.cut(text, |piece| match piece {
            Piece::Token(id) => out.push(id),
            Piece::Text(text) => self.encode_normal(text, scratch, out),
        });
    }

    fn encode_normal(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let text = if self.compose { composed(text) } else { Cow::Borrowed(text) };
        let Some(added) = &self.normal else {
            return self.encode_words(&text, scratch, out);
        };
        added.cut(&text, |piece| match piece {
            Piece::Token(id) => out.push(id),
            Piece::Text(text) => self.encode_words(text, scratch, out),
        });
    }

    fn encode_words(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let Scratch { words, splitter } = scratch;
        self.grammar.cuts().windows(text, |window| {
            let bytes = window.as_bytes();
            let found = splitter.split(self.grammar, window);
            out.reserve(found.len());
            for word in found {
                self.bpe.encode_word(bytes, word.range(), words, out);
            }
        });
    }
}

/// `text` in normal form C, with the tables of the library whose ids these are.
fn composed(text: &str) -> Cow<'_, str> {
    if is_composed(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().map(|(c, _)| c).collect()) }
}

/// Whether `text` is known to be in normal form C. ASCII characters neither compose with anything
/// before them nor stand out of order, so it is enough to look at what is between them.
fn is_composed(text: &str) -> bool {
    let mut rest = text;
    while let Some(start) = rest.bytes().position(|byte| byte >= 0x80) {
        let run = &rest[start..];
        let end = run.bytes().position(|byte| byte < 0x80).unwrap_or(run.len());
        // What is below U+0300 and the unified ideographs never change.
        let unchanged = |c: char| c < '\u{300}' || ('\u{4e00}'..='\u{9fa5}').contains(&c);
        if !run[..end].chars().all(unchanged) && is_nfc_quick(run[..end].chars()) != IsNormalized::Yes {
            return false;
        }
        rest = &run[end..];
    }
    true
}

/// Whether a normalizer is normal form C; `None` if it is anything else than that or nothing.
fn composes(normalizer: &Value) -> Option<bool> {
    if normalizer.is_null() {
        return Some(false);
    }
    match normalizer.get("type")?.as_str()? {
        "NFC" => Some(true),
        "Sequence" if normalizer.get("normalizers")?.as_array()?.is_empty() => Some(false),
        _ => None,
    }
}

/// The special tokens that a post-processor puts before and after a single text.
fn specials(processor: &Value) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut around = (Vec::new(), Vec::new());
    if processor.is_null() {
        return Some(around);
    }
    match processor.get("type")?.as_str()? {
        "ByteLevel" => {}
        "Sequence" => {
            for step in processor.get("processors")?.as_array()? {
                let (before, after) = specials(step)?;
                around.0.splice(0..0, before);
                around.1.extend(after);
            }
        }
        "TemplateProcessing" => {
            let mut list = &mut around.0;
            for item in processor.get("single")?.as_array()? {
                if item.get("Sequence").is_some() {
                    list = &mut around.1;
                    continue;
                }
                let name = item.get("SpecialToken")?.get("id")?.as_str()?;
                let ids = processor.get("special_tokens")?.get(name)?.get("ids")?.as_array()?;
                for id in ids {
                    list.push(u32::try_from(id.as_u64()?).ok()?);
                }
            }
        }
        _ => return None,
    }
    Some(around)
}

/// What is read of a file.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, default)]
    added_tokens: Vec<AddedToken<'a>>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(borrow)]
    model: Model<'a>,
}

#[allow(clippy::struct_excessive_bools, reason = "the file's own fields")]
#[derive(Deserialize)]
struct AddedToken<'a> {
    id: u32,
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    unk_token: Value,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: Vocab,
    merges: Merges,
}

/// The vocabulary, its texts translated back to bytes.
struct Vocab {
    words: Vocabulary,
    /// Tokens that are no bytes, such as added ones that are listed here too.
    others: HashMap<String, u32>,
    len: u32,
}

impl Vocab {
    fn id_of(&self, content: &str) -> Option<u32> {
        let mut bytes = Vec::new();
        if to_bytes(content, &mut bytes) { self.words.get(&bytes) } else { self.others.get(content).copied() }
    }
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tokens;
        impl<'de> Visitor<'de> for Tokens {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tokens and their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let words = Vocabulary::with_capacity(1 << 17);
                let mut vocab = Vocab { words, others: HashMap::new(), len: 0 };
                let mut bytes = Vec::new();
                while let Some((Text(text), id)) = map.next_entry::<Text<'_>, u32>()? {
                    bytes.clear();
                    if to_bytes(&text, &mut bytes) {
                        vocab.words.insert(&bytes, id);
                    } else {
                        vocab.others.insert(text.into_owned(), id);
                    }
                    vocab.len += 1;
                }
                Ok(vocab)
            }
        }
        deserializer.deserialize_map(Tokens)
    }
}

/// A text, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The merges in order: the bytes of both sides, one merge after the other.
#[derive(Default)]
struct Merges {
    bytes: Vec<u8>,
    /// Of each merge, the end of its left side and the end of its right side.
    ends: Vec<(u32, u32)>,
    /// Whether a side was no text of bytes, or a merge no pair.
    strange: bool,
}

impl Merges {
    fn push(&mut self, left: &str, right: &str) {
        self.strange |= !to_bytes(left, &mut self.bytes);
        let middle = self.bytes.len() as u32;
        self.strange |= !to_bytes(right, &mut self.bytes);
        self.ends.push((middle, self.bytes.len() as u32));
    }

    /// The ids of left, right and both together; by two threads, since most of it is waiting for
    /// memory.
    fn resolve(&self, vocab: &Vocab) -> Option<Vec<[u32; 3]>> {
        if self.strange {
            return None;
        }
        let half = self.ends.len() / 2;
        let part = |range: std::ops::Range<usize>| {
            let mut start = range.start.checked_sub(1).map_or(0, |before| self.ends[before].1 as usize);
            let resolve = |&(middle, end): &(u32, u32)| {
                let (middle, end) = (middle as usize, end as usize);
                let get = |range: std::ops::Range<usize>| vocab.words.get(&self.bytes[range]);
                let ids = Some([get(start..middle)?, get(middle..end)?, get(start..end)?]);
                start = end;
                ids
            };
            self.ends[range].iter().map(resolve).collect::<Option<Vec<_>>>()
        };
        std::thread::scope(|scope| {
            let rest = || part(half..self.ends.len());
            let second = std::thread::Builder::new().spawn_scoped(scope, rest);
            let mut merges = part(0..half)?;
            // Where the system has no thread to give, this one does it all.
            merges.extend(match second {
                Ok(second) => second.join().ok()??,
                Err(_) => rest()?,
            });
            Some(merges)
        })
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Merges;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merges, A::Error> {
                let mut merges = Merges::default();
                while let Some(merge) = list.next_element::<MergeText<'_>>()? {
                    match merge {
                        MergeText::Joined(text) => match text.split_once(' ') {
                            Some((left, right)) => merges.push(left, right),
                            None => merges.strange = true,
                        },
                        MergeText::Pair(left, right) => merges.push(&left, &right),
                    }
                }
                Ok(merges)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// A merge in either spelling, `"a b"` or `["a", "b"]`.
enum MergeText<'a> {
    Joined(Cow<'a, str>),
    Pair(Cow<'a, str>, Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for MergeText<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spelling;
        impl<'de> Visitor<'de> for Spelling {
            type Value = MergeText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two tokens to merge")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(MergeText::Joined(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(MergeText::Joined(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut next = || list.next_element::<Text<'de>>();
                match (next()?, next()?, next()?) {
                    (Some(Text(left)), Some(Text(right)), None) => Ok(MergeText::Pair(left, right)),
                    _ => Err(serde::de::Error::custom("a merge is of two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Spelling)
    }
}

/// Appends the bytes that a token's text stands for: each byte has a visible character, its own if it
/// is visible in Latin-1, else one from U+0100 on. False if it has other characters.
fn to_bytes(text: &str, out: &mut Vec<u8>) -> bool {
    for c in text.chars() {
        let byte = match c {
            '!'..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}' => c as u8,
            '\u{100}'..='\u{120}' => (c as u32 - 0x100) as u8,
            '\u{121}'..='\u{142}' => (c as u32 - 0x121 + 0x7f) as u8,
            '\u{143}' => 0xad,
            _ => return false,
        };
        out.push(byte);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        // The alphabet as GPT-2 defined it.
        let visible = (33..=126).chain(161..=172).chain(174..=255);
        let hidden =
            (0..=255).filter(|b: &u32| !(33..=126).chain(161..=172).chain(174..=255).any(|v| v == *b));
        let pairs = visible.map(|b| (b, b)).chain(hidden.enumerate().map(|(n, b)| (b, 256 + n as u32)));
        let mut count = 0;
        for (byte, character) in pairs {
            let mut out = Vec::new();
            assert!(to_bytes(&char::from_u32(character).unwrap().to_string(), &mut out));
            assert_eq!(out, [byte as u8]);
            count += 1;
        }
        assert_eq!(count, 256);
        for other in [" ", "\u{a0}", "\u{ad}", "\u{144}", "\u{7f}", "｜"] {
            assert!(!to_bytes(other, &mut Vec::new()), "{other:?}");
        }
    }

    #[test]
    fn composing_looks_only_where_it_must() {
        for text in
            ["", "abc", "é", "e\u{301}", "中文 e\u{301}x", "\u{1100}\u{1161}", "가", "a\u{323}\u{307}"]
        {
            let expected: String = text.nfc().map(|(c, _)| c).collect();
            assert_eq!(composed(text), expected, "{text:?}");
        }
    }
}
