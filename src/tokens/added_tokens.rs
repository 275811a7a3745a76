//! Added tokens: texts such as `<|im_end|>` that are found in a prompt before it is split.

use aho_corasick::{AhoCorasick, MatchKind};

/// Finds the added tokens in a text: the leftmost first, and of those that begin together the longest.
pub(super) struct Added {
    automaton: AhoCorasick,
    ids: Vec<u32>,
}

impl Added {
    /// `None` if there are no tokens to find.
    pub(super) fn new(tokens: &[(String, u32)]) -> Option<Self> {
        if tokens.is_empty() {
            return None;
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(text, _)| text))
            .ok()?;
        Some(Self { automaton, ids: tokens.iter().map(|&(_, id)| id).collect() })
    }

    /// Cuts `text` at its added tokens: calls `each` with every piece, a text between them or a
    /// token's id.
    pub(super) fn cut<'a>(&self, text: &'a str, mut each: impl FnMut(Piece<'a>)) {
        let mut done = 0;
        for found in self.automaton.find_iter(text) {
            if done < found.start() {
                each(Piece::Text(&text[done..found.start()]));
            }
            each(Piece::Token(self.ids[found.pattern().as_usize()]));
            done = found.end();
        }
        if done < text.len() {
            each(Piece::Text(&text[done..]));
        }
    }
}

/// A part of a text.
pub(super) enum Piece<'a> {
    Text(&'a str),
    Token(u32),
}
