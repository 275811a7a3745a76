//! Splitting text into words, as the pre-tokenizers of common models do it.
//!
//! The patterns are recognised by their text and run by the [`scanner`](super::scanner). A file with
//! another pattern is left to the [`general`](super::general) engine.
//!
//! **Where a text may be cut.** All these patterns begin a new word at a space or newline after an
//! ASCII letter or digit: no alternative has the two characters in one word, and none looks back.
//! All but GPT-2's also begin one at an ASCII letter or digit or a common CJK ideograph after a
//! newline: the white space before it ends in a newline, so that it is one word whatever follows.
//! (GPT-2's splits off the last newline of several, but only where something follows.) Cutting there
//! first and tokenising the pieces separately gives the same tokens as the whole. Normal form C does not
//! reach across either, since no character on the right side ever composes with one before it.
//! [`Cuts`] finds these places.

use std::ops::Range;

use serde_json::Value;

use super::scanner::{Grammar, Scanner, Span, regexes};
use super::unicode_patch;

/// Bytes that are split at once: the working memory is nine times as much.
const WINDOW: usize = 16 << 10;

impl Grammar {
    /// The grammar of a tokenizer file's `pre_tokenizer`, if it is one of these.
    pub(super) fn of(pre_tokenizer: &Value) -> Option<Self> {
        if is_byte_level(pre_tokenizer, true) {
            return Some(Self::Gpt2);
        }
        let steps = pre_tokenizer.get("pretokenizers")?.as_array()?;
        let (last, splits) = steps.split_last()?;
        if pre_tokenizer.get("type")? != "Sequence" || !is_byte_level(last, false) {
            return None;
        }
        let patterns = splits.iter().map(pattern).collect::<Option<Vec<&str>>>()?;
        if patterns.len() > 1 && splits.iter().any(|split| split.get("behavior") != Some(&"Isolated".into()))
        {
            return None;
        }
        match patterns[..] {
            [regexes::GPT2] => Some(Self::Gpt2),
            [regexes::CL100K] => Some(Self::Cl100k),
            [regexes::O200K] => Some(Self::O200k),
            [regexes::TEKKEN] => Some(Self::Tekken),
            [regexes::KIMI_K2] => Some(Self::Kimi),
            [one] if one == qwen() => Some(Self::Qwen),
            [one] if one == qwen_marks() => Some(Self::QwenMarks),
            [regexes::DEEPSEEK_NUM, regexes::DEEPSEEK_CJK, big]
                // The file has the line ends themselves where the constant has escapes.
                if big.replace('\r', r"\r").replace('\n', r"\n") == regexes::DEEPSEEK_BIG =>
            {
                Some(Self::DeepSeek)
            }
            _ => None,
        }
    }

    /// Where texts may be cut before they are split.
    pub(super) fn cuts(self) -> Cuts {
        Cuts { after_newlines: self != Self::Gpt2 }
    }
}

/// The pattern of Qwen 2 and 3.
fn qwen() -> String {
    regexes::CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
}

/// The pattern of Qwen 3.5 and later.
fn qwen_marks() -> String {
    qwen().replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
}

/// Whether a step is the byte-level one, with its own pattern or without, and adds no space.
fn is_byte_level(step: &Value, with_pattern: bool) -> bool {
    let is = |name: &str, default: bool| step.get(name).map_or(default, |v| *v == Value::Bool(true));
    step.get("type") == Some(&"ByteLevel".into())
        && !is("add_prefix_space", true)
        && is("use_regex", true) == with_pattern
}

/// The pattern of a `Split` that keeps all of the text. One that removes what is not matched keeps all
/// of it, too, since these patterns match every character.
fn pattern(split: &Value) -> Option<&str> {
    let inverted = split.get("invert").is_some_and(|v| *v == Value::Bool(true));
    let behavior = split.get("behavior")?.as_str()?;
    let whole = matches!((behavior, inverted), ("Isolated", _) | ("Removed", true));
    if split.get("type")? != "Split" || !whole {
        return None;
    }
    split.get("pattern")?.get("Regex")?.as_str()
}

/// Working memory of the scanner, reused.
#[derive(Default)]
pub(super) struct Splitter(Scanner);

impl Splitter {
    /// The words of `text`, which is shorter than 4 GiB.
    pub(super) fn split(&mut self, grammar: Grammar, text: &str) -> &[Span] {
        // The other patterns have contractions of any case.
        let long_s = !matches!(grammar, Grammar::Gpt2 | Grammar::DeepSeek | Grammar::Tekken);
        let patched = unicode_patch::as_python_sees(text, long_s, grammar == Grammar::DeepSeek);
        self.0.split(grammar, patched.as_deref().unwrap_or(text.as_bytes()))
    }
}

/// Which places of a text may be cut without changing its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cuts {
    after_newlines: bool,
}

impl Cuts {
    /// Where most tokenizers allow a cut.
    pub(super) const DEFAULT: Self = Self { after_newlines: true };

    /// Calls `each` with pieces of `text` of a size that suits the scanner.
    pub(super) fn windows<'a>(self, mut text: &'a str, mut each: impl FnMut(&'a str)) {
        while text.len() > 2 * WINDOW {
            let Some(cut) = self.next(text, WINDOW) else { break };
            let (window, rest) = text.split_at(cut);
            each(window);
            text = rest;
        }
        if !text.is_empty() {
            each(text);
        }
    }

    /// The part of `text`, which stands at a start or after a newline, between the first and the last
    /// such place.
    pub(super) fn middle(self, text: &str) -> Option<Range<usize>> {
        let at_start = self.after_newlines && begins_word(text.as_bytes());
        let first = if at_start { 0 } else { self.next(text, 1)? };
        let mut last = first;
        // The last place is looked for from further and further back.
        for tail in [64, 1 << 10, usize::MAX] {
            let mut from = text.len().saturating_sub(tail).max(first);
            while let Some(cut) = self.next(text, from) {
                (last, from) = (cut, cut + 1);
            }
            if last > first {
                break;
            }
        }
        Some(first..last)
    }

    /// The first place at or after `from`, at least 1, where `text` may be cut; nothing at its end.
    pub(super) fn next(self, text: &str, from: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut at = from.max(1);
        while at < bytes.len() {
            // The byte before `found` is white space: cut before it, or after a newline.
            let found = at + memchr::memchr2(b' ', b'\n', &bytes[at - 1..])?;
            if found > from.max(1) && bytes[found - 2].is_ascii_alphanumeric() {
                return Some(found - 1);
            }
            if self.after_newlines && bytes[found - 1] == b'\n' && begins_word(&bytes[found..]) {
                return Some(found);
            }
            at = found + 1;
        }
        None
    }
}

/// Whether a text begins with an ASCII letter or digit, or an ideograph of U+4E00 to U+9FA5.
fn begins_word(rest: &[u8]) -> bool {
    match *rest {
        [first, ..] if first.is_ascii_alphanumeric() => true,
        [0xE4, second, ..] => second >= 0xB8,
        [0xE5..=0xE8, ..] => true,
        [0xE9, second, third, ..] => (second, third) <= (0xBE, 0xA5),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_stand_between_words_and_white_space() {
        let cuts = |text: &str| -> Vec<usize> {
            let mut cuts = Vec::new();
            let mut from = 1;
            while let Some(cut) = Grammar::Qwen.cuts().next(text, from) {
                cuts.push(cut);
                from = cut + 1;
            }
            cuts
        };
        assert_eq!(cuts("ab cd  ef\ngh"), [2, 5, 9, 10]);
        assert!(cuts("a. b").is_empty());
        assert_eq!(cuts("。\n中文\n\n7"), [4, 12]);
        assert!(cuts(" a").is_empty());
        assert!(cuts("\n\u{9fa6}").is_empty());
        assert_eq!(cuts("\n\u{9fa5}"), [1]);
        assert_eq!(cuts("\n\u{4e00}"), [1]);
        assert!(cuts("\n\u{4dff}").is_empty());
        assert_eq!(cuts("a "), [1]);
        assert_eq!(cuts("a\n"), [1]);
        assert!(cuts("").is_empty());
        assert_eq!(Grammar::Gpt2.cuts().next("\n\na b", 1), Some(3));
    }

    #[test]
    fn the_middle_is_between_the_first_and_the_last_cut() {
        let middle = |text: &str| Grammar::Cl100k.cuts().middle(text);
        assert_eq!(middle("ab cd ef"), Some(0..5));
        assert_eq!(middle("\"ab cd ef"), Some(3..6));
        assert_eq!(middle("\"ab cd"), Some(3..3));
        assert_eq!(middle("\"abcd"), None);
        let long = format!("(a b{}", "。".repeat(2000));
        assert_eq!(middle(&long), Some(2..2));
        assert_eq!(middle(&format!("{long} c d。")), Some(2..6006));
        assert_eq!(Grammar::Gpt2.cuts().middle("ab cd ef"), Some(2..5));
    }

    #[test]
    fn windows_are_the_text() {
        let text = "word and another\n".repeat(10_000) + &"x".repeat(100_000) + " end";
        let (mut joined, mut count) = (String::new(), 0);
        Grammar::O200k.cuts().windows(&text, |window| {
            joined.push_str(window);
            count += 1;
        });
        assert!(joined == text && count > 8);
    }
}
