//! Tokenizer files: Hugging Face's `tokenizer.json`.
//!
//! Most models that are served have a byte-level BPE with one of a few split patterns, or one of
//! characters (see [`characters`](super::characters)). These are read here: only what encoding needs,
//! in less than a tenth of a second, and run at several times the speed of the general engine. Every
//! other file, and any with a setting that is not understood here, is run by the general engine (see
//! [`general`](super::general)), whose ids are the reference for both.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::added_tokens::{Added, Piece};
use super::bpe::{Alphabet, Bpe, Vocabulary, WordCache};
use super::characters::{Characters, Joins, SPACE};
use super::general::General;
use super::scanner::Grammar;
use super::split::{Cuts, Splitter};
use super::vocabulary::{Lists, Vocab, both, text_of};
use crate::error::{Error, Invalid, Result};
use crate::io::read_whole;

/// A tokenizer that was read from a file.
pub(super) enum FileTokenizer {
    Fast(Box<FastBpe>),
    General(Box<General>),
}

/// Byte-pair merging of the words of a text.
pub(super) struct FastBpe {
    split: Split,
    bpe: Bpe,
    compose: bool,
    /// Whether a text is given a space before it.
    prefix: bool,
    /// Added tokens of the text as it is, and of the text in normal form.
    raw: Option<Added>,
    normal: Option<Added>,
    /// Special tokens around a prompt: before it and after it.
    around: (Vec<u32>, Vec<u32>),
    /// Where texts may be cut, if no added token has such a place in it.
    cuts: Option<Cuts>,
}

/// What the words of a text are.
enum Split {
    Pattern(Grammar),
    Joins(Box<Joins>),
}

/// A thread's working memory.
#[derive(Default)]
pub(super) struct Scratch {
    words: WordCache,
    splitter: Splitter,
}

impl FileTokenizer {
    /// Reads `path`; the returned text identifies its content. With `around` the special tokens around a
    /// prompt are read, too.
    pub(super) fn load(path: &Path, around: bool) -> Result<(Self, String)> {
        let name = path.display().to_string();
        let bytes = read_whole(path).map_err(|e| Error::io(&name, e))?;
        Self::from_json(&name, bytes, around)
    }

    /// Reads a file from its bytes; error messages call it `name`.
    pub(super) fn from_json(name: &str, bytes: Vec<u8>, around: bool) -> Result<(Self, String)> {
        let fail = |reason: String| Error::Failed(format!("{name}: not a usable tokenizer file: {reason}"));
        let beside = || (std::str::from_utf8(&bytes), blake3::hash(&bytes).to_hex().to_string());
        let (lists, (text, identity)) = Lists::read(&bytes, beside);
        let text = text.map_err(|e| fail(e.to_string()))?;
        let tokenizer = match lists.and_then(|lists| FastBpe::new(&bytes, &lists, around)) {
            Some(fast) => Self::Fast(Box::new(fast)),
            None => Self::General(Box::new(General::read(text).map_err(fail)?)),
        };
        Ok((tokenizer, identity))
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(
        &self,
        text: &str,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) -> Result<(), Invalid> {
        match self {
            Self::Fast(fast) => fast.encode(text, scratch, out),
            Self::General(general) => general.encode(text, false, out).map_err(Invalid::value)?,
        }
        Ok(())
    }

    /// The special tokens that stand before and after a prompt.
    pub(super) fn around(&self, text: &str) -> Result<(Vec<u32>, Vec<u32>), Invalid> {
        match self {
            Self::Fast(fast) => Ok(fast.around.clone()),
            Self::General(general) => {
                // The engine adds them itself, so they are what it gives in addition.
                let (mut with, mut without) = (Vec::new(), Vec::new());
                general.encode(text, true, &mut with).map_err(Invalid::value)?;
                general.encode(text, false, &mut without).map_err(Invalid::value)?;
                let more = with.len().saturating_sub(without.len());
                let before = (0..=more).find(|&n| with[n..].starts_with(&without));
                let before = before.ok_or_else(|| {
                    Invalid::value("special tokens that change the others are not supported")
                })?;
                let after = with.split_off(before + without.len());
                with.truncate(before);
                Ok((with, after))
            }
        }
    }

    /// Where texts may be cut, if that is known.
    pub(super) fn cuts(&self) -> Option<Cuts> {
        match self {
            Self::Fast(fast) => fast.cuts,
            Self::General(_) => None,
        }
    }
}

impl FastBpe {
    /// A tokenizer without added or special tokens.
    pub(super) fn plain(grammar: Grammar, bpe: Bpe) -> Self {
        let (split, cuts) = (Split::Pattern(grammar), Some(grammar.cuts()));
        Self {
            split,
            bpe,
            compose: false,
            prefix: false,
            raw: None,
            normal: None,
            around: Default::default(),
            cuts,
        }
    }

    /// `None` where the file asks for anything that is not implemented here.
    fn new(file: &[u8], lists: &Lists<'_>, around: bool) -> Option<Self> {
        let rest: File<'_> = serde_json::from_slice(&lists.rest).ok()?;
        let model = &rest.model;
        let plain = model.kind.as_deref() == Some("BPE")
            && model.dropout.is_none_or(|dropout| dropout == 0.0)
            && [&model.continuing_subword_prefix, &model.end_of_word_suffix]
                .iter()
                .all(|affix| affix.as_ref().is_none_or(String::is_empty));
        if !plain {
            return None;
        }
        let around = if around { specials(&rest.post_processor)? } else { Default::default() };
        let vocab = &lists.vocab;
        let (split, alphabet, cuts) = match Grammar::of(&rest.pre_tokenizer) {
            Some(grammar) => byte_level(grammar, &rest, vocab),
            None => characters(file, &rest, lists),
        }?;
        let compose = composes(&rest.normalizer) == Some(true);
        let (mut bpe, (added, words)) = both(
            || Bpe::new(alphabet, lists.resolved.iter().copied()),
            || {
                let words = model.ignore_merges.then(|| whole_words(vocab));
                (AddedTokens::new(&rest, vocab, compose, cuts), words)
            },
        );
        bpe.take_whole(words);
        let AddedTokens { raw, normal, cut } = added?;
        if matches!(split, Split::Joins(_)) && normal.is_some() {
            return None;
        }
        // A part of a text must not be tokenised as if it had the space.
        let prefix = matches!(split, Split::Joins(_)) && !replaces_spaces(&rest.normalizer, false);
        let cuts = cuts.filter(|_| !cut && !prefix);
        Some(Self { split, bpe, compose, prefix, raw, normal, around, cuts })
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
        let text = match () {
            () if self.compose => composed(text),
            () if self.prefix => Cow::Owned(format!("{SPACE}{text}")),
            () => Cow::Borrowed(text),
        };
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
        let grammar = match &self.split {
            Split::Pattern(grammar) => *grammar,
            Split::Joins(joins) => {
                let bytes = text.as_bytes();
                return joins.words(text, |word| self.bpe.encode_word(bytes, word, words, out));
            }
        };
        grammar.cuts().windows(text, |window| {
            let bytes = window.as_bytes();
            let found = splitter.split(grammar, window);
            out.reserve(found.len());
            for word in found {
                self.bpe.encode_word(bytes, word.range(), words, out);
            }
        });
    }
}

/// The parts of an engine for byte-level BPE.
fn byte_level(
    grammar: Grammar,
    rest: &File<'_>,
    vocab: &Vocab<'_>,
) -> Option<(Split, Alphabet, Option<Cuts>)> {
    composes(&rest.normalizer)?;
    if rest.model.byte_fallback || !rest.model.unk_token.is_null() {
        return None;
    }
    let mut ids = [None; 256];
    let mut bytes = Vec::new();
    // The longest spelling of a character is six letters.
    for token in vocab.tokens.iter().filter(|token| token.spelling.len() <= 6) {
        bytes.clear();
        if to_bytes(&token.text()?, &mut bytes)
            && let [byte] = bytes[..]
        {
            ids[usize::from(byte)] = Some(token.id);
        }
    }
    let mut byte_ids = Box::new([0; 256]);
    for (id, found) in byte_ids.iter_mut().zip(ids) {
        *id = found?;
    }
    Some((Split::Pattern(grammar), Alphabet::Bytes(byte_ids), Some(grammar.cuts())))
}

/// The tokens that are texts of bytes, by these.
fn whole_words(vocab: &Vocab<'_>) -> Vocabulary {
    let mut words = Vocabulary::with_capacity(vocab.tokens.len());
    let mut bytes = Vec::new();
    for token in &vocab.tokens {
        bytes.clear();
        if token.text().is_some_and(|text| to_bytes(&text, &mut bytes)) {
            words.insert(&bytes, token.id);
        }
    }
    words
}

/// The parts of an engine for a vocabulary of characters.
fn characters(file: &[u8], rest: &File<'_>, lists: &Lists<'_>) -> Option<(Split, Alphabet, Option<Cuts>)> {
    let Lists { vocab, merges, resolved, .. } = lists;
    if !rest.model.byte_fallback || rest.model.ignore_merges {
        return None;
    }
    // The spaces that the pre-tokenizer of Gemma splits at have been replaced before.
    let space = serde_json::json!({"String": " "});
    let split = |behavior: &Value| serde_json::json!({"type": "Split", "pattern": space, "behavior": behavior, "invert": false});
    let pre_tokenizer = &rest.pre_tokenizer;
    let whole = pre_tokenizer.is_null()
        || pre_tokenizer.get("behavior").is_some_and(|behavior| *pre_tokenizer == split(behavior));
    let known = [false, true].iter().any(|&prefix| replaces_spaces(&rest.normalizer, prefix));
    if !known || !whole {
        return None;
    }
    let mut bytes = [None; 256];
    for (byte, id) in (0..=u8::MAX).zip(&mut bytes) {
        *id = vocab.id_of(&format!("<0x{byte:02X}>"));
        // Gemma 1 and 2 have no token for the byte of a tab, which is a token itself; and some bytes
        // occur in no text.
        let itself = byte < 0x80 && vocab.id_of(&char::from(byte).to_string()).is_some();
        if id.is_none() && !itself && !matches!(byte, 0xC0 | 0xC1 | 0xF5..) {
            return None;
        }
    }
    let of_bytes: HashSet<u32> = bytes.into_iter().flatten().collect();
    let bytes = bytes.map(Option::unwrap_or_default);
    if resolved.iter().any(|[left, right, _]| of_bytes.contains(left) || of_bytes.contains(right)) {
        return None;
    }
    let mut joins = Joins::default();
    for merge in merges {
        let [left, right] = merge.sides(file).map(text_of);
        joins.insert(left?.chars().next_back()?, right?.chars().next()?);
    }
    // The longest spelling of a character is two escapes.
    let single = vocab.tokens.iter().filter(|token| token.spelling.len() <= 12).filter_map(|token| {
        let text = token.text()?;
        let mut chars = text.chars();
        Some((chars.next()?, token.id)).filter(|_| chars.next().is_none())
    });
    let alphabet = Alphabet::Characters(Box::new(Characters::new(single, &bytes)));
    let cuts = joins.allow_default_cuts().then_some(Cuts::DEFAULT);
    Some((Split::Joins(Box::new(joins)), alphabet, cuts))
}

/// Whether a normalizer writes each space as U+2581, and with `prefix` puts one before the text first.
fn replaces_spaces(normalizer: &Value, prefix: bool) -> bool {
    let replace =
        serde_json::json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE.to_string()});
    let prepend = serde_json::json!({"type": "Prepend", "prepend": SPACE.to_string()});
    let steps = match normalizer.get("normalizers").and_then(Value::as_array) {
        Some(steps) if normalizer["type"] == "Sequence" => &steps[..],
        _ => std::slice::from_ref(normalizer),
    };
    match steps {
        [only] => !prefix && *only == replace,
        [first, second] => prefix && *first == prepend && *second == replace,
        _ => false,
    }
}

/// The tokens that are found before a text is split.
struct AddedTokens {
    raw: Option<Added>,
    normal: Option<Added>,
    /// Whether a token contains a place where texts may be cut.
    cut: bool,
}

impl AddedTokens {
    /// `None` if a token has options that need more than a search for its text.
    fn new(rest: &File<'_>, vocab: &Vocab<'_>, compose: bool, cuts: Option<Cuts>) -> Option<Self> {
        let mut lists = (Vec::new(), Vec::new());
        let (mut cut, mut next_id) = (false, None);
        let len = vocab.tokens.len() as u32;
        for token in &rest.added_tokens {
            let content = &*token.content;
            if content.is_empty() {
                continue;
            }
            let id = vocab.id_of(content).or(next_id).unwrap_or(len);
            if id != token.id || token.single_word || token.lstrip || token.rstrip {
                return None;
            }
            if compose && token.normalized && !content.is_ascii() {
                return None;
            }
            next_id = Some((id + 1).max(next_id.unwrap_or(len)));
            // "\n<" is where two turns of a chat in the default template meet.
            cut |= cuts.is_some_and(|cuts| cuts.next(content, 1).is_some()) || content.contains("\n<");
            let list = if token.normalized { &mut lists.1 } else { &mut lists.0 };
            list.push((content.to_owned(), id));
        }
        Some(Self { raw: Added::new(&lists.0), normal: Added::new(&lists.1), cut })
    }
}

/// `text` in normal form C, with the character tables of the reference library.
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
        // Characters below U+0300 and the unified ideographs never change.
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

/// The fields of a file that are used.
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
    /// The two lists have been read before and are `null` here.
    #[serde(rename = "vocab")]
    _vocab: (),
    #[serde(rename = "merges")]
    _merges: (),
}

/// Appends the bytes that a token's text stands for: each byte has a visible character, its own if it
/// is visible in Latin-1, else one from U+0100 on. False if it has other characters.
pub(super) fn to_bytes(text: &str, out: &mut Vec<u8>) -> bool {
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
