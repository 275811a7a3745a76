//! Letters, digits and their cases as Python's `str` has them.

use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::{Error, Value};

use super::python::{self, fail};

/// Characters that are digits to Python and none of the ten of a script.
const OTHER_DIGITS: &str = r"²³¹፩-፱᧚⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒\x{10a40}-\x{10a43}\x{10e60}-\x{10e68}\x{11052}-\x{1105a}\x{1f100}-\x{1f10a}";

/// Ideographs that are numbers to Python.
const IDEOGRAPHS: &str = r"㐅㒃㠪㭍一七万三九二五亖亿-什仟仨伍佰億兆兩八六十千-卅卌叁-叄四壱壹幺廾-廿弌-弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零\x{f96b}\x{f973}\x{f978}\x{f9b2}\x{f9d1}\x{f9d3}\x{f9fd}\x{20001}\x{20064}\x{200e2}\x{20121}\x{2092a}\x{20983}\x{2098c}\x{2099c}\x{20aea}\x{20afd}\x{20b19}\x{22390}\x{22998}\x{23b1b}\x{2626d}\x{2f890}";

/// The methods that ask what all characters of a text are, and what those are.
static CLASSES: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let classes = [
        ("isalpha", r"\p{L}".to_owned()),
        ("isdecimal", r"\p{Nd}".to_owned()),
        ("isdigit", format!(r"\p{{Nd}}{OTHER_DIGITS}")),
        ("isnumeric", format!(r"\p{{N}}{IDEOGRAPHS}")),
        ("isalnum", r"\p{L}\p{N}".to_owned()),
    ];
    let regex = |pattern: &str| Regex::new(pattern).ok();
    let all = classes.into_iter().filter_map(|(name, of)| Some((name, regex(&format!(r"\A[{of}]+\z"))?)));
    let identifier = regex(r"\A[_\p{XID_Start}]\p{XID_Continue}*\z").map(|regex| ("isidentifier", regex));
    all.chain(identifier).collect()
});

/// `str.isspace()` of one character.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The methods without arguments.
pub(super) fn method(text: &str, name: &str) -> Result<Option<Value>, Error> {
    if let Some((_, regex)) = CLASSES.iter().find(|(class, _)| *class == name) {
        return regex.is_match(text).map(|is| Some(Value::from(is))).map_err(|error| fail(error.to_string()));
    }
    Ok(Some(match name {
        "capitalize" => Value::from(capitalized(text)),
        "title" => Value::from(title(text)),
        "swapcase" => Value::from(swapped(text)),
        "casefold" => Value::from(text.chars().map(folded).collect::<String>()),
        "isspace" => Value::from(!text.is_empty() && text.chars().all(is_space)),
        "isprintable" => Value::from(text.chars().all(python::is_printable)),
        "istitle" => {
            let mut inside = false;
            let mut right = text.chars().any(is_cased);
            for c in text.chars() {
                right &= !(if inside { c.is_uppercase() || is_title(c) } else { c.is_lowercase() });
                inside = is_cased(c);
            }
            Value::from(right)
        }
        _ => return Ok(None),
    }))
}

/// Whether a character is a capital letter before a small one in one.
fn is_title(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

/// The characters of a text with what they become in small letters, which for a sigma depends on where it stands.
fn with_lower<'t>(text: &str, lower: &'t str) -> impl Iterator<Item = (char, &'t str)> {
    let mut at = 0;
    text.chars().map(move |c| {
        let start = at;
        at += c.to_lowercase().map(char::len_utf8).sum::<usize>();
        (c, &lower[start..at])
    })
}

/// `str.capitalize()`.
pub(super) fn capitalized(text: &str) -> String {
    let lower = text.to_lowercase();
    let parts = with_lower(text, &lower).enumerate();
    parts.map(|(at, (c, lower))| if at == 0 { title_case(c) } else { lower.to_owned() }).collect()
}

/// `str.title()`.
fn title(text: &str) -> String {
    let mut inside = false;
    let turn = |(c, lower): (char, &str)| {
        let out = if inside { lower.to_owned() } else { title_case(c) };
        inside = is_cased(c);
        out
    };
    with_lower(text, &text.to_lowercase()).map(turn).collect()
}

/// The filter `title`, to which words begin behind blanks, hyphens and opening brackets.
pub(super) fn title_of_words(text: &str) -> String {
    let ends = |c: char| is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    let word = |word: &str| {
        let mut chars = word.chars();
        let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
        first + &chars.as_str().to_lowercase()
    };
    text.split_inclusive(ends).map(word).collect()
}

/// `str.swapcase()`.
fn swapped(text: &str) -> String {
    let swap = |(c, lower): (char, &str)| match c {
        _ if c.is_uppercase() => lower.to_owned(),
        _ if c.is_lowercase() => c.to_uppercase().collect(),
        _ => c.to_string(),
    };
    with_lower(text, &text.to_lowercase()).map(swap).collect()
}

/// `str.title()` of one character.
fn title_case(c: char) -> String {
    let single = match c {
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        // Georgian has capitals for whole words only.
        '\u{10d0}'..='\u{10ff}' => c,
        '\u{1f80}'..='\u{1faf}' => char::from_u32(u32::from(c) | 8).unwrap_or(c),
        '\u{1fb3}' | '\u{1fbc}' => '\u{1fbc}',
        '\u{1fc3}' | '\u{1fcc}' => '\u{1fcc}',
        '\u{1ff3}' | '\u{1ffc}' => '\u{1ffc}',
        'ŉ' => return "ʼN".to_owned(),
        _ => {
            let mut upper = c.to_uppercase();
            let first = upper.next().unwrap_or(c);
            // An iota below a vowel stays there.
            let below = ('\u{1fb0}'..'\u{2000}').contains(&c);
            let rest = upper.flat_map(|c| if below && c == 'Ι' { '\u{345}' } else { c }.to_lowercase());
            return std::iter::once(first).chain(rest).collect();
        }
    };
    single.to_string()
}

/// `str.casefold()` of one character.
fn folded(c: char) -> String {
    match c {
        'ı' => "ı".to_owned(),
        'ẞ' => "ss".to_owned(),
        // Cherokee is folded to capitals.
        '\u{13a0}'..='\u{13fd}' | '\u{ab70}'..='\u{abbf}' => c.to_uppercase().collect(),
        _ => c.to_uppercase().flat_map(char::to_lowercase).collect(),
    }
}
