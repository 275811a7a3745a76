//! Vocabularies of characters, as `SentencePiece` makes them: Gemma's.
//!
//! A word begins as one token per character; a character that is not a token begins as those of its
//! bytes. A space is written as U+2581. There is no split pattern: the whole text is one word.
//!
//! **Where a text may be cut.** A merge joins the last character of its left side to the first of its
//! right side. Two neighbouring characters that no merge of the file joins are never in one token,
//! and what is merged on one side of them does not depend on the other side. So the text is cut between
//! any two such neighbours ([`Joins`]), and the pieces are words that repeat.

use std::collections::HashMap;
use std::ops::Range;

/// The character that stands for a space.
pub(super) const SPACE: char = '\u{2581}';

/// The tokens of characters.
pub(super) struct Characters {
    ascii: [Option<u32>; 128],
    others: HashMap<char, u32>,
    /// The tokens of bytes, which stand for every other character.
    bytes: [u32; 256],
}

impl Characters {
    /// `tokens` are those of one character.
    pub(super) fn new(tokens: impl IntoIterator<Item = (char, u32)>, bytes: &[u32; 256]) -> Self {
        let others: HashMap<char, u32> = tokens.into_iter().collect();
        let mut ascii = [None; 128];
        for (c, id) in ('\0'..).zip(&mut ascii) {
            *id = others.get(&written(c)).copied();
        }
        Self { ascii, others, bytes: *bytes }
    }

    /// Appends the tokens that `word` begins as.
    pub(super) fn ids(&self, word: &[u8], ids: &mut Vec<u32>) {
        // A word is valid UTF-8: texts are cut between characters only.
        for c in std::str::from_utf8(word).unwrap_or_default().chars() {
            let known = match self.ascii.get(c as usize) {
                Some(known) => *known,
                None => self.others.get(&c).copied(),
            };
            match known {
                Some(id) => ids.push(id),
                None => {
                    let mut buffer = [0; 4];
                    let bytes = written(c).encode_utf8(&mut buffer).bytes();
                    ids.extend(bytes.map(|byte| self.bytes[usize::from(byte)]));
                }
            }
        }
    }
}

/// A character as it is written in tokens.
fn written(c: char) -> char {
    if c == ' ' { SPACE } else { c }
}

/// Binary logarithm of the bits in the set of other pairs: about 3 % of look-ups are false positives.
const BITS: u32 = 20;

/// The pairs of characters that some merge joins.
pub(super) struct Joins {
    /// Pairs of ASCII characters; U+2581 counts as the space.
    ascii: [u128; 128],
    /// All other pairs, by a hash. A false positive only makes a word longer.
    others: Vec<u64>,
    /// Whether some merge joins a newline to another character after it.
    newline: bool,
}

impl Default for Joins {
    fn default() -> Self {
        Self { ascii: [0; 128], others: vec![0; 1 << (BITS - 6)], newline: false }
    }
}

impl Joins {
    pub(super) fn insert(&mut self, left: char, right: char) {
        let (left, right) = (spoken(left), spoken(right));
        self.newline |= left == '\n' && right != '\n';
        if left.is_ascii() && right.is_ascii() {
            self.ascii[left as usize] |= 1 << right as u32;
        } else {
            let bit = place(left, right);
            self.others[bit >> 6] |= 1 << (bit & 63);
        }
    }

    /// Whether a token may have `left` before `right` in it.
    #[inline]
    pub(super) fn contain(&self, left: char, right: char) -> bool {
        let (left, right) = (spoken(left), spoken(right));
        if left.is_ascii() && right.is_ascii() {
            return self.ascii[left as usize] >> right as u32 & 1 != 0;
        }
        let bit = place(left, right);
        self.others[bit >> 6] >> (bit & 63) & 1 != 0
    }

    /// Calls `each` with the pieces of `text` that can be merged apart.
    #[inline]
    pub(super) fn words(&self, text: &str, mut each: impl FnMut(Range<usize>)) {
        let mut start = 0;
        let mut before = None;
        for (at, c) in text.char_indices() {
            if before.is_some_and(|before| !self.contain(before, c)) {
                each(start..at);
                start = at;
            }
            before = Some(c);
        }
        if start < text.len() {
            each(start..text.len());
        }
    }

    /// Whether texts may be cut at the places of [`Cuts::DEFAULT`](super::split::Cuts::DEFAULT): before
    /// white space that follows an ASCII letter or digit, and between a newline and anything else.
    pub(super) fn allow_default_cuts(&self) -> bool {
        let mut letters = (0..128u8).filter(u8::is_ascii_alphanumeric).map(char::from);
        !self.newline && letters.all(|c| !self.contain(c, ' ') && !self.contain(c, '\n'))
    }
}

fn spoken(c: char) -> char {
    if c == SPACE { ' ' } else { c }
}

fn place(left: char, right: char) -> usize {
    let key = u64::from(u32::from(left)) << 32 | u64::from(u32::from(right));
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_where_no_merge_joins() {
        let mut joins = Joins::default();
        for (left, right) in [(SPACE, 'a'), ('a', 'b'), ('中', '文'), ('é', 'a')] {
            joins.insert(left, right);
        }
        let words = |text: &str| -> Vec<String> {
            let mut words = Vec::new();
            joins.words(text, |word| words.push(text[word].to_owned()));
            words
        };
        assert_eq!(words("ab ab\u{2581}ab\nb中文éab"), ["ab", " ab", "\u{2581}ab", "\n", "b", "中文", "éab"]);
        assert!(words("").is_empty());
        assert!(joins.allow_default_cuts());
        joins.insert('\n', '\n');
        assert!(joins.allow_default_cuts());
        for (left, right) in [('\n', '<'), ('z', SPACE), ('7', '\n'), ('\n', '中')] {
            let mut joins = Joins::default();
            joins.insert(left, right);
            assert!(!joins.allow_default_cuts(), "{left:?} {right:?}");
        }
    }

    #[test]
    fn characters_that_are_no_tokens_begin_as_bytes() {
        let mut bytes = [0; 256];
        (1000..).zip(&mut bytes).for_each(|(id, byte)| *byte = id);
        let characters = Characters::new([('a', 1), (SPACE, 2), ('é', 3)], &bytes);
        let mut ids = Vec::new();
        characters.ids("a é\u{2581}bü".as_bytes(), &mut ids);
        assert_eq!(ids, [1, 2, 3, 2, 1000 + 0x62, 1000 + 0xc3, 1000 + 0xbc]);
    }
}
