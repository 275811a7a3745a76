//! What differs where two prompts part, told by the text on both sides.

use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::Serialize;

use super::common::{LEAST, Run};

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Difference {
    /// No earlier prompt begins alike or has a run of tokens that this one has.
    New,
    /// Nothing: all of the prompt has come before.
    Repeat,
    /// The earlier prompt ends, and this one goes on.
    End,
    /// A time of day, or seconds since 1970.
    Time,
    /// A date.
    Date,
    /// A number.
    Counter,
    /// A UUID, a hash or another random text.
    Hash,
    /// The order of the same things.
    Order,
    /// White space.
    WhiteSpace,
    /// Something has come in.
    Insertion,
    /// Something has been taken out.
    Removal,
    /// An image or another part that is no text.
    Part,
    /// Any other text.
    Text,
    /// Other token ids, whose text is not known.
    Tokens,
    /// Not known: what the earlier prompt says behind the place is forgotten.
    Forgotten,
    /// The model.
    Model,
    /// The salt.
    Salt,
    /// The adapter.
    Adapter,
}

/// The texts of two prompts around the place where they part.
pub(super) struct Sides<'t> {
    /// What both have before it.
    pub(super) before: &'t str,
    /// What each has behind it.
    pub(super) earlier: &'t str,
    pub(super) later: &'t str,
}

/// Bytes that are equal again where a difference ends.
const AGAIN: usize = 24;

/// Bytes of a text that is more than a time and what is said around it.
const MORE: usize = 120;

/// Tokens of a run that may be elsewhere by chance where it follows at once.
const SLACK: usize = 4;

impl Sides<'_> {
    /// What differs; `runs` are what both have in common behind the place, in tokens.
    pub(super) fn difference(&self, runs: &[Run]) -> Difference {
        if self.is_in_part() {
            return Difference::Part;
        }
        if self.is_white_space() {
            return Difference::WhiteSpace;
        }
        // Where a tool is missing, the name of the next one may differ from its own by a digit alone.
        if let Some(found) = by_runs(runs) {
            return found;
        }
        let ends = self.near_end();
        if let Some((a, b)) = &ends {
            let close = |range: &Range<usize>| range.len() <= 200;
            if close(a)
                && close(b)
                && let Some(found) = self.word(a, b)
            {
                return found;
            }
            let (a, b) = (&self.earlier[a.clone()], &self.later[b.clone()]);
            if same_words(a, b) || self.has_moved(a, b) {
                return Difference::Order;
            }
        }
        match ends {
            Some((a, _)) if is_nothing(&self.earlier[a.clone()]) => Difference::Insertion,
            Some((_, b)) if is_nothing(&self.later[b.clone()]) => Difference::Removal,
            _ => Difference::Text,
        }
    }

    /// The form of what one side has more, where it is short and has a time or a date: a clock that is not in all
    /// prompts.
    pub(super) fn form_of_more(&self) -> Option<Difference> {
        let (a, b) = self.near_end()?;
        let (a, b) = (&self.earlier[a], &self.later[b]);
        let more = if a.len() < b.len() { b } else { a };
        match more.len() {
            MORE.. => None,
            _ if has_time(more) || is_epoch(more) => Some(Difference::Time),
            _ => has_date(more).then_some(Difference::Date),
        }
    }

    /// Whether the place is in what stands for an image or the like, `<|image_url 0123456789abcdef|>`.
    fn is_in_part(&self) -> bool {
        let Some((_, inner)) = self.before.rsplit_once("<|") else { return false };
        let Some((kind, hash)) = inner.split_once(' ') else { return false };
        let is_hex = |c: char| c.is_ascii_hexdigit();
        let rest = 16_usize.saturating_sub(hash.len());
        let ends = |text: &str| {
            text.get(..rest).is_some_and(|t| t.chars().all(is_hex)) && text[rest..].starts_with("|>")
        };
        let is_name = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name && hash.chars().all(is_hex) && ends(self.earlier) && ends(self.later)
    }

    /// Whether nothing but white space differs for a while.
    fn is_white_space(&self) -> bool {
        let begins = |text: &str| text.starts_with(char::is_whitespace);
        if !begins(self.earlier) && !begins(self.later) {
            return false;
        }
        let mut a = self.earlier.chars().filter(|c| !c.is_whitespace());
        let mut b = self.later.chars().filter(|c| !c.is_whitespace());
        let mut same = 0;
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b => same += 1,
                _ => return false,
            }
            if same >= 2 * AGAIN {
                return true;
            }
        }
    }

    /// The parts on both sides up to where the texts are equal again: the shortest ones.
    fn near_end(&self) -> Option<(Range<usize>, Range<usize>)> {
        let (a, b) = (self.earlier.as_bytes(), self.later.as_bytes());
        // Most differences are short, and what is found in the first so many bytes may be the shortest of all.
        let mut most = 8 * AGAIN;
        let (mut i, mut j) = loop {
            let found = equal_again(&a[..most.min(a.len())], &b[..most.min(b.len())]);
            match found {
                Some((i, j)) if i + j + AGAIN <= most => break (i, j),
                _ if most >= a.len().max(b.len()) => break found?,
                _ => most *= 8,
            }
        };
        while !self.earlier.is_char_boundary(i) || !self.later.is_char_boundary(j) {
            (i, j) = (i + 1, j + 1);
        }
        Some((0..i, 0..j))
    }

    /// What differs where it is a word of a known form.
    fn word(&self, a: &Range<usize>, b: &Range<usize>) -> Option<Difference> {
        let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | ':' | '.' | '_' | '/' | '+' | '=');
        let before = tail(self.before, 64, is_inner);
        let words = [(self.earlier, a), (self.later, b)].map(|(text, range)| {
            let rest = &text[range.end..];
            let after = rest.find(|c: char| !is_inner(c)).unwrap_or(rest.len()).min(64);
            let after = (0..=after).rev().find(|&end| rest.is_char_boundary(end)).unwrap_or(0);
            format!("{before}{}{}", &text[range.clone()], &rest[..after])
        });
        let [a_word, b_word] = &words;
        let both = |test: &dyn Fn(&str) -> bool| test(a_word) && test(b_word);
        if both(&has_time) || both(&is_epoch) {
            return Some(Difference::Time);
        }
        if both(&has_date) || both(&has_date_name) {
            return Some(Difference::Date);
        }
        let pieces = |word: &str| -> Vec<String> {
            word.split(|c: char| !(c.is_alphanumeric() || c == '-')).map(str::to_owned).collect()
        };
        let (pieces_a, pieces_b) = (pieces(a_word), pieces(b_word));
        let (x, y) = pieces_a.iter().zip(&pieces_b).find(|(x, y)| x != y)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits(x) && digits(y) && x.len().max(y.len()) <= 12 {
            let of_date = has_date_name(tail(self.before, 24, |_| true))
                || has_date_name(head(&self.later[b.end..], 16));
            return Some(if of_date { Difference::Date } else { Difference::Counter });
        }
        (is_random(x, y) && pieces_a.len() == pieces_b.len()).then_some(Difference::Hash)
    }

    /// Whether what one side has more is on the other one further on.
    fn has_moved(&self, a: &str, b: &str) -> bool {
        let moved = |more: &str, there: &str, here: &str| {
            let more = more.trim_matches(|c: char| c.is_whitespace() || c == ',');
            more.len() >= 8 && there.contains(more) && !here.contains(more)
        };
        is_nothing(a) && moved(b, &self.earlier[a.len()..], &self.later[b.len()..])
            || is_nothing(b) && moved(a, &self.later[b.len()..], &self.earlier[a.len()..])
    }
}

/// Where both texts go on with equal bytes, the least of either skipped.
fn equal_again(a: &[u8], b: &[u8]) -> Option<(usize, usize)> {
    let mut places: HashMap<&[u8], usize, RandomState> = HashMap::default();
    for (at, window) in a.windows(AGAIN).enumerate() {
        places.entry(window).or_insert(at);
    }
    let mut best: Option<(usize, usize)> = None;
    for (at, window) in b.windows(AGAIN).enumerate() {
        if best.is_some_and(|(i, j)| at >= i + j) {
            break;
        }
        if let Some(&place) = places.get(window)
            && best.is_none_or(|(i, j)| place + at < i + j)
        {
            best = Some((place, at));
        }
    }
    best
}

/// What the runs that both have say about what is between them.
fn by_runs(runs: &[Run]) -> Option<Difference> {
    let first = runs.first()?;
    let crosses = |run: &&Run| run.earlier + run.length <= first.earlier + SLACK;
    if first.earlier >= LEAST && runs.iter().skip(1).take(8).any(|run| crosses(&run)) {
        return Some(Difference::Order);
    }
    match (first.earlier, first.later) {
        (..=SLACK, LEAST..) => Some(Difference::Insertion),
        (LEAST.., ..=SLACK) => Some(Difference::Removal),
        _ => None,
    }
}

/// Whether a message of this role tells the model what it is to do.
pub(super) fn is_of_system(role: Option<&str>) -> bool {
    matches!(role, Some("system" | "developer"))
}

/// Whether a text is nothing, or what stands between the items of a list.
fn is_nothing(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c == ',')
}

/// Whether both texts have the same words, two at least, and no others.
fn same_words(a: &str, b: &str) -> bool {
    let words = |text: &str| {
        let mut words: Vec<String> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let words_a = words(a);
    words_a.len() > 1 && words_a == words(b)
}

/// The end of `text` that consists of such characters, at most `most` bytes.
fn tail(text: &str, most: usize, is_inner: impl Fn(char) -> bool) -> &str {
    let inner = text.char_indices().rev().take_while(|(at, c)| text.len() - at <= most && is_inner(*c));
    &text[inner.last().map_or(text.len(), |(at, _)| at)..]
}

fn head(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// Whether `text` has digits in groups of these lengths, with one of `between` after each but the last.
fn has_digits(text: &str, groups: &[Range<usize>], between: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    (0..bytes.len()).filter(|&start| is_digit(start) && (start == 0 || !is_digit(start - 1))).any(|start| {
        let mut at = start;
        for (i, group) in groups.iter().enumerate() {
            let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !group.contains(&length) {
                return false;
            }
            at += length;
            if i + 1 < groups.len() {
                if !bytes.get(at).is_some_and(|byte| between.contains(byte)) {
                    return false;
                }
                at += 1;
            }
        }
        true
    })
}

fn has_time(text: &str) -> bool {
    has_digits(text, &[1..3, 2..3], b":")
}

fn has_date(text: &str) -> bool {
    let separators = b"-/.";
    has_digits(text, &[4..5, 1..3, 1..3], separators) || has_digits(text, &[1..3, 1..3, 4..5], separators)
}

/// Whether a text names a month or a day of the week.
fn has_date_name(text: &str) -> bool {
    const NAMES: [&str; 19] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mon", "tue",
        "wed", "thu", "fri", "sat", "sun",
    ];
    const ENDS: [&str; 20] = [
        "", "uary", "ruary", "ch", "il", "e", "y", "ust", "t", "tember", "ober", "ember", "day", "s", "sday",
        "nes", "nesday", "rs", "rsday", "urday",
    ];
    text.to_lowercase()
        .split(|c: char| !c.is_alphabetic())
        .any(|word| NAMES.iter().any(|name| word.strip_prefix(name).is_some_and(|rest| ENDS.contains(&rest))))
}

/// Whether a text ends in seconds, milliseconds, microseconds or nanoseconds since 1970, of our days.
fn is_epoch(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| {
        matches!(digits.len(), 10 | 13 | 16 | 19) && matches!(digits.as_bytes()[0], b'1' | b'2')
    })
}

/// Whether these are random: hexadecimal digits, or letters mixed with digits.
fn is_random(a: &str, b: &str) -> bool {
    let letters = |text: &str| text.bytes().any(|b| b.is_ascii_alphabetic());
    let digits = |text: &str| text.bytes().any(|b| b.is_ascii_digit());
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let mixed = |text: &str| text.len() >= 12 && letters(text) && digits(text);
    let long = a.len() >= 5 && a.len() == b.len();
    long && hex(a) && hex(b) && (digits(a) || digits(b)) && (letters(a) || letters(b)) || mixed(a) && mixed(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::explain::common::common;

    fn difference(earlier: &str, later: &str) -> Difference {
        let same = earlier.bytes().zip(later.bytes()).take_while(|(a, b)| a == b).count();
        let (a, b) = (&earlier[same..], &later[same..]);
        // Each byte is a token.
        let tokens = |text: &str| text.bytes().map(u32::from).collect::<Vec<_>>();
        let runs = common(&tokens(a), &tokens(b), LEAST).runs;
        Sides { before: &earlier[..same], earlier: a, later: b }.difference(&runs)
    }

    const REST: &str = ". You are a helpful assistant, and so on and so forth.";

    #[test]
    fn the_kind_of_a_word_is_told_by_its_form() {
        use Difference::*;
        for (a, b, kind) in [
            ("It is 12:30:01", "It is 12:31:59", Time),
            ("Now: 2026-11-27T12:30:01Z", "Now: 2026-11-28T00:00:00Z", Time),
            ("now 1764000000", "now 1764000317", Time),
            ("It is 2:35 PM", "It is 11:05 AM", Time),
            ("Today is 2026-11-27", "Today is 2026-11-28", Date),
            ("Today is November 27, 2026", "Today is November 28, 2026", Date),
            ("Today is Friday", "Today is Saturday", Date),
            ("Today is 9 May 2026", "Today is 30 April 2026", Date),
            ("Request 17 of", "Request 18 of", Counter),
            ("id 123e4567-e89b-12d3-a456-426614174000", "id 9f3e4567-e89b-12d3-a456-426614174999", Hash),
            ("cch=4f2e1;", "cch=90ab3;", Hash),
            ("chatcmpl-8Wxq7Yt0LmZa", "chatcmpl-9Bxq7Yt0Lm11", Hash),
            ("You help Alice", "You help Bob", Text),
            ("{\"b\": 1, \"a\": 2}", "{\"a\": 2, \"b\": 1}", Order),
            ("see <|image_url 0123456789abcdef|>", "see <|image_url 012aaaaaaaaaaaaa|>", Part),
            ("a decade", "a facade", Text),
        ] {
            assert_eq!(difference(&(a.to_owned() + REST), &(b.to_owned() + REST)), kind, "{a} {b}");
            assert_eq!(difference(&(b.to_owned() + REST), &(a.to_owned() + REST)), kind, "{b} {a}");
        }
    }

    #[test]
    fn a_clock_that_comes_and_goes_is_a_time() {
        let form = |more: &str| {
            Sides { before: "You help.", earlier: REST, later: &(more.to_owned() + REST) }.form_of_more()
        };
        assert_eq!(form(" Current time: 2026-11-23 09:33:53\n"), Some(Difference::Time));
        assert_eq!(form(" Today is 2026-11-23"), Some(Difference::Date));
        assert_eq!(form(" You are on host B"), None);
        assert_eq!(form(&format!(" At 12:30, {}", "they said. ".repeat(20))), None);
    }

    #[test]
    fn what_comes_in_is_told_from_what_moves() {
        let item = |name: &str| {
            format!("{{\"name\": \"{name}\", \"description\": \"what {name} does is {name}\"}}, ")
        };
        let (a, b, c) = (item("alpha"), item("beta"), item("gamma"));
        let list = |items: &[&String]| items.iter().map(|item| item.as_str()).collect::<String>() + REST;
        assert_eq!(difference(&list(&[&a, &c]), &list(&[&a, &b, &c])), Difference::Insertion);
        assert_eq!(difference(&list(&[&a, &b, &c]), &list(&[&a, &c])), Difference::Removal);
        assert_eq!(difference(&list(&[&a, &b, &c]), &list(&[&a, &c, &b])), Difference::Order);
        assert_eq!(difference(&list(&[&a, &b, &c]), &list(&[&b, &c, &a])), Difference::Order);
        let spaced = REST.replace(", ", ",  ");
        assert_eq!(difference(REST, &spaced), Difference::WhiteSpace);
    }

    #[test]
    fn where_texts_are_equal_again_is_found_in_parts_of_them_as_in_all() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut found = 0;
        for _ in 0..2000 {
            let mut text = |most: usize| {
                let letters = if random.bool() { 2 } else { 8 };
                (0..random.usize(..most)).map(|_| char::from(b'a' + random.u8(..letters))).collect::<String>()
            };
            let (common, again) = (text(300), text(60));
            let [a, b] = [(); 2].map(|()| text(800) + &common + &text(50) + &again);
            let sides = Sides { before: "", earlier: &a, later: &b };
            let whole = equal_again(a.as_bytes(), b.as_bytes());
            assert_eq!(sides.near_end(), whole.map(|(i, j)| (0..i, 0..j)), "{a} {b}");
            found += usize::from(whole.is_some());
        }
        assert!((500..1990).contains(&found), "{found}");
    }

    #[test]
    fn any_texts_have_some_difference() {
        let mut random = fastrand::Rng::with_seed(6);
        let parts = ["é", "12", ":", "<|", "x ", "|>", "-", "中", "\u{301}", " ", "a1b2", "mon", "\n", "00"];
        for _ in 0..3000 {
            let mut text =
                || (0..random.usize(0..40)).map(|_| parts[random.usize(..parts.len())]).collect::<String>();
            let (before, earlier, later) = (text(), text(), text());
            Sides { before: &before, earlier: &earlier, later: &later }.difference(&[]);
        }
    }
}
