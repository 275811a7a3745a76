//! Characters that Python's libraries classify differently from the scanner of words.
//!
//! Python's tiktoken (0.14) and tokenizers (0.23) have the character tables of Unicode 16, the scanner
//! those of Unicode 17: the libraries take a letter that is new in version 17 for a symbol. And they
//! take `'ſ` for the contraction `'s` where a pattern ignores case. To find the same words, the scanner
//! is given a text in which these characters are replaced by others of the same length, which it
//! classifies as the libraries classify the originals.
//!
//! The list comes from comparing the classes that both give to every code point.

use std::cmp::Ordering;

/// Letters, marks and digits of Unicode 17 that were not assigned before: first and last.
pub(super) const NEW: [(u32, u32); 27] = [
    (0x88f, 0x88f),
    (0xc5c, 0xc5c),
    (0xcdc, 0xcdc),
    (0x1acf, 0x1add),
    (0x1ae0, 0x1aeb),
    (0xa7ce, 0xa7cf),
    (0xa7d2, 0xa7d2),
    (0xa7d4, 0xa7d4),
    (0xa7f1, 0xa7f1),
    (0x10940, 0x10959),
    (0x10ec5, 0x10ec7),
    (0x10efa, 0x10efb),
    (0x11b60, 0x11b67),
    (0x11db0, 0x11ddb),
    (0x11de0, 0x11de9),
    (0x16ea0, 0x16eb8),
    (0x16ebb, 0x16ed3),
    (0x16ff2, 0x16ff6),
    (0x187f8, 0x187ff),
    (0x18d09, 0x18d1e),
    (0x18d80, 0x18df2),
    (0x1e6c0, 0x1e6de),
    (0x1e6e0, 0x1e6f5),
    (0x1e6fe, 0x1e6ff),
    (0x2b73a, 0x2b73f),
    (0x2cea2, 0x2cead),
    (0x323b0, 0x33479),
];

/// The same of symbols and punctuation, which few patterns tell from what is not assigned.
const NEW_SYMBOLS: [(u32, u32); 20] = [
    (0x20c1, 0x20c1),
    (0x2b96, 0x2b96),
    (0xfbc3, 0xfbd2),
    (0xfd90, 0xfd91),
    (0xfdc8, 0xfdce),
    (0x10ed0, 0x10ed8),
    (0x1ccfa, 0x1ccfc),
    (0x1ceba, 0x1ced0),
    (0x1cee0, 0x1cef0),
    (0x1f6d8, 0x1f6d8),
    (0x1f777, 0x1f77a),
    (0x1f8d0, 0x1f8d8),
    (0x1fa54, 0x1fa57),
    (0x1fa8a, 0x1fa8a),
    (0x1fa8e, 0x1fa8e),
    (0x1fac8, 0x1fac8),
    (0x1facd, 0x1facd),
    (0x1faea, 0x1faea),
    (0x1faef, 0x1faef),
    (0x1fbfa, 0x1fbfa),
];

/// The text to scan in place of `text` to get the words of the libraries; `None` if that is `text` itself.
/// With `long_s` the pattern takes `'ſ` for a contraction, with `symbols` it tells symbols from what is
/// not assigned.
pub(super) fn as_python_sees(text: &str, long_s: bool, symbols: bool) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if bytes.is_ascii() {
        return None;
    }
    let pairs = bytes.iter().zip(&bytes[1..]);
    let differs = if symbols {
        pairs.fold(false, |any, (&a, &b)| any | may_differ(a, b) | may_be_new_symbol(a, b))
    } else {
        pairs.fold(false, |any, (&a, &b)| any | may_differ(a, b))
    };
    if !differs {
        return None;
    }
    let mut seen = Vec::new();
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
        let (at, other) = match c {
            'ſ' if long_s && text[..at].ends_with('\'') => (at - 1, "'re"),
            // A lowercase letter up to Unicode 16, and one without case since.
            'ʕ' => (at, "ß"),
            _ if is_in(&NEW, c) || symbols && is_in(&NEW_SYMBOLS, c) => {
                (at, if c.len_utf8() == 3 { "\u{ffff}" } else { "\u{10ffff}" })
            }
            _ => continue,
        };
        if seen.is_empty() {
            seen.extend_from_slice(bytes);
        }
        seen[at..at + other.len()].copy_from_slice(other.as_bytes());
    }
    (!seen.is_empty()).then_some(seen)
}

/// Whether two bytes may be the first of a character that is classified differently.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the loop is vectorised")]
#[inline(always)]
fn may_differ(a: u8, b: u8) -> bool {
    (a == 0xc5) & (b == 0xbf)
        | (a == 0xca) & (b == 0x95)
        | (a == 0xe0) & ((b == 0xa2) | (b == 0xb1) | (b == 0xb3))
        | (a == 0xe1) & (b == 0xab)
        | (a == 0xea) & (b == 0x9f)
        // The supplementary planes, except for the block of emoji, which are frequent.
        | (a == 0xf0) & (b != 0x9f)
}

/// The same for [`NEW_SYMBOLS`].
#[expect(clippy::needless_bitwise_bool, reason = "without branches the loop is vectorised")]
#[inline(always)]
fn may_be_new_symbol(a: u8, b: u8) -> bool {
    (a == 0xe2) & ((b == 0x83) | (b == 0xae))
        | (a == 0xef) & ((b == 0xaf) | (b == 0xb6) | (b == 0xb7))
        | (a == 0xf0) & (b == 0x9f)
}

fn is_in(ranges: &[(u32, u32)], c: char) -> bool {
    let c = u32::from(c);
    let place = |&(first, last): &(u32, u32)| match () {
        () if last < c => Ordering::Less,
        () if c < first => Ordering::Greater,
        () => Ordering::Equal,
    };
    ranges.binary_search_by(place).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_differs_is_noticed_and_replaced() {
        for c in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let new = NEW.iter().any(|&(first, last)| (first..=last).contains(&u32::from(c)));
            let text = format!("x{c}'sx");
            let expected = match c {
                'ʕ' => Some("xß'sx".to_owned()),
                _ if new && u32::from(c) < 0x10000 => Some("x\u{ffff}'sx".to_owned()),
                _ if new => Some("x\u{10ffff}'sx".to_owned()),
                _ => None,
            };
            assert_eq!(
                as_python_sees(&text, true, false),
                expected.clone().map(String::into_bytes),
                "{text:?}"
            );
            let symbol = NEW_SYMBOLS.iter().any(|&(first, last)| (first..=last).contains(&u32::from(c)));
            let seen = as_python_sees(&text, true, true);
            let other = if u32::from(c) < 0x10000 { "\u{ffff}" } else { "\u{10ffff}" };
            let expected = if symbol { Some(format!("x{other}'sx")) } else { expected };
            assert_eq!(seen, expected.map(String::into_bytes), "{text:?}");
        }
    }

    #[test]
    fn a_long_s_is_replaced_after_an_apostrophe_only() {
        assert_eq!(as_python_sees("aſ ſ'ſ'ſx 'S", true, false).unwrap(), "aſ ſ're'rex 'S".as_bytes());
        assert_eq!(as_python_sees("aſ ſ'ſ'ſx 'S", false, true), None);
        for text in ["aſ ſ", "ſ", "", "aſ ſ 's"] {
            assert_eq!(as_python_sees(text, true, true), None);
        }
    }
}
