//! Regular expressions of tokenizer files.
//!
//! Python's `tokenizers` runs them with Oniguruma 6.9, here `fancy-regex` does. Both read nearly the
//! same language, and both know the characters of Unicode 16. [`translated`] writes a pattern anew so
//! that the second takes it as the first one takes the original; what it does not know to mean the
//! same is an error, so that a file is refused instead of read in another way.
//!
//! What differs:
//! * `^` and `$` stand at every line in Oniguruma, and `(?m)` is what others call `(?s)`.
//! * `X{n,m}+` repeats the repetition, and `X{n}?` makes it optional.
//! * Words (`\w`, `\b`) have no joiners in them, and names such as `[:punct:]` hold for all of Unicode.
//! * In a class, `--` and `~~` are characters.
//! * Without regard to case, `ß` is `ss`: patterns in which that could matter are refused.
//!
//! A pattern comes from a stranger's file, so what it may take is bounded: a search that goes back
//! more than [`STEPS`] times ends with an error.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

use fancy_regex::RegexBuilder;

/// How often a search for one match may go back: a fraction of a second.
const STEPS: usize = 1_000_000;

/// How deep classes may be nested.
const DEEPEST: usize = 16;

/// A compiled pattern.
pub(super) struct Regex(fancy_regex::Regex);

impl Regex {
    /// Compiles a pattern in Oniguruma's language.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let failed = |reason: String| format!("the pattern {pattern:?} is not supported: {reason}");
        let translated = translated(pattern).map_err(failed)?;
        let mut builder = RegexBuilder::new(&translated);
        let regex = builder.oniguruma_mode(true).backtrack_limit(STEPS).build();
        regex.map(Self).map_err(|e| failed(e.to_string()))
    }

    /// The pieces of a text that match and those between, in order, each with whether it matches.
    pub(super) fn pieces(&self, text: &str) -> Result<Vec<(Range<usize>, bool)>, String> {
        let mut pieces = Vec::new();
        let mut done = 0;
        for found in self.0.find_iter(text) {
            let found = found.map_err(|e| format!("the pattern {:?}: {e}", self.0.as_str()))?;
            if done < found.start() {
                pieces.push((done..found.start(), false));
            }
            pieces.push((found.range(), true));
            done = found.end();
        }
        if done < text.len() {
            pieces.push((done..text.len(), false));
        }
        Ok(pieces)
    }
}

/// The pattern in the language of `fancy-regex`.
fn translated(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        rest: pattern.chars().peekable(),
        out: String::new(),
        atom: None,
        groups: Vec::new(),
        ignore_case: false,
        letters: String::new(),
    };
    translator.pattern()?;
    Ok(translator.out)
}

/// A word's characters in a class.
const WORD: &str = r"[\w--[\u{200C}\u{200D}]]";

/// The same outside of a class, and beside a boundary: there, Oniguruma takes the small digits and the
/// fractions of Latin-1 for a word's characters too.
const WORD_ALONE: &str = r"[[\w--[\u{200C}\u{200D}]]\u{B2}\u{B3}\u{B9}\u{BC}-\u{BE}]";

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    /// Where the last atom begins in `out`, which a repetition would repeat.
    atom: Option<usize>,
    /// The groups that are open: where each begins, and whether case mattered before it.
    groups: Vec<(usize, bool)>,
    ignore_case: bool,
    /// The last literals, where case does not matter.
    letters: String,
}

impl Translator<'_> {
    fn pattern(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            if !c.is_ascii_alphabetic() {
                self.letters.clear();
            }
            let start = self.out.len();
            match c {
                '(' => self.open()?,
                ')' => {
                    let (start, ignore_case) = self.groups.pop().ok_or("a group is closed twice")?;
                    self.out.push(')');
                    (self.atom, self.ignore_case) = (Some(start), ignore_case);
                }
                '|' => {
                    self.out.push('|');
                    self.atom = None;
                }
                '*' | '+' | '?' => {
                    self.out.push(c);
                    // Lazy or possessive.
                    self.out.extend(self.rest.next_if(|&next| matches!(next, '?' | '+')));
                    self.repeated()?;
                }
                '{' => self.counted()?,
                _ => {
                    match c {
                        '\\' => self.escape()?,
                        '[' => self.class(0)?,
                        '^' => self.out.push_str("(?m:^)"),
                        '$' => self.out.push_str("(?m:$)"),
                        '.' => self.out.push('.'),
                        _ => self.literal(c)?,
                    }
                    self.atom = Some(start);
                }
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err("a group is not closed".into()) }
    }

    fn literal(&mut self, c: char) -> Result<(), String> {
        if self.ignore_case {
            self.letters.push(c.to_ascii_lowercase());
            let ligature = ["ss", "ff", "fi", "fl", "st"].iter().any(|two| self.letters.ends_with(two));
            if ligature || !c.is_ascii() {
                return Err("without regard to case, some of its letters are equal to several others".into());
            }
        }
        if r"\.+*?()|[]{}^$".contains(c) {
            self.out.push('\\');
        }
        self.out.push(c);
        Ok(())
    }

    /// A repetition has been written: there is no second one.
    fn repeated(&mut self) -> Result<(), String> {
        self.letters.clear();
        if self.atom.take().is_none() {
            return Err("nothing to repeat".into());
        }
        match self.rest.peek() {
            Some('*' | '+' | '?' | '{') => Err("a repetition of a repetition".into()),
            _ => Ok(()),
        }
    }

    /// After `{`: a repetition or the character.
    fn counted(&mut self) -> Result<(), String> {
        let text: String = self.rest.clone().take_while(|&c| c != '}').collect();
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.len() < 6;
        let (least, most) = text.split_once(',').unwrap_or((&text, &text));
        let known = number(least) && number(most) && text.len() > usize::from(text.contains(','));
        if !known || !self.rest.clone().any(|c| c == '}') {
            self.atom = Some(self.out.len());
            return self.literal('{');
        }
        let start = self.atom.ok_or("nothing to repeat")?;
        self.rest.nth(text.len());
        let least = if least.is_empty() { "0" } else { least };
        let count = if text.contains(',') { format!("{{{least},{most}}}") } else { format!("{{{least}}}") };
        let lazy = text.contains(',') && self.rest.next_if_eq(&'?').is_some();
        self.out.push_str(&count);
        if lazy {
            self.out.push('?');
        } else if let Some(again) = self.rest.next_if(|&next| matches!(next, '+' | '?')) {
            self.out.insert_str(start, "(?:");
            self.out.push(')');
            self.out.push(again);
        }
        self.repeated()
    }

    /// After `(`.
    fn open(&mut self) -> Result<(), String> {
        let start = self.out.len();
        let ignore_case = self.ignore_case;
        let mut head = String::new();
        match self.rest.peek() {
            Some('*') => return Err("a call".into()),
            Some('?') => {
                head.extend(self.rest.next());
                if self.flags_or_comment(&mut head)? {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.out.push('(');
        self.out.push_str(&head);
        self.groups.push((start, ignore_case));
        self.atom = None;
        Ok(())
    }

    /// After `(?`: adds what the group is to `head`; whether that was all of it.
    fn flags_or_comment(&mut self, head: &mut String) -> Result<bool, String> {
        let unknown = |c: Option<char>| Err(format!("a group (?{}", c.map_or(String::new(), String::from)));
        match self.rest.next() {
            Some(c @ (':' | '=' | '!' | '>')) => head.push(c),
            Some('<') => {
                head.push('<');
                match self.rest.peek() {
                    Some('=' | '!') => head.extend(self.rest.next()),
                    // Its name.
                    _ => loop {
                        let c = self.rest.next().ok_or("a group is not closed")?;
                        head.push(c);
                        if c == '>' {
                            break;
                        }
                    },
                }
            }
            Some('#') => {
                return self.rest.find(|&c| c == ')').map(|_| true).ok_or("a comment is not closed".into());
            }
            Some(mut c @ ('i' | 'm' | '-')) => {
                let mut on = true;
                loop {
                    match c {
                        'i' => self.ignore_case = on,
                        'm' => {}
                        '-' => on = false,
                        ':' => break,
                        ')' if self.out.is_empty() && self.groups.is_empty() => {
                            let _ = write!(self.out, "({head})");
                            return Ok(true);
                        }
                        _ => return unknown(Some(c)),
                    }
                    head.push(if c == 'm' { 's' } else { c });
                    c = self.rest.next().ok_or("a group is not closed")?;
                }
                head.push(':');
            }
            other => return unknown(other),
        }
        Ok(false)
    }

    /// After a backslash outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        let c = self.rest.next().ok_or("it ends in a backslash")?;
        match c {
            'd' | 'D' | 's' | 'S' | 'h' | 'H' | 'A' | 'z' | 'G' | 'K' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'Z' => self.out.push_str(r"(?=\n?\z)"),
            'w' => self.out.push_str(WORD_ALONE),
            'W' => self.out.push_str(&format!("[^{WORD_ALONE}]")),
            'b' => self.out.push_str(&format!(
                "(?:(?<={WORD_ALONE})(?!{WORD_ALONE})|(?<!{WORD_ALONE})(?={WORD_ALONE}))"
            )),
            'B' => self.out.push_str(&format!(
                "(?:(?<={WORD_ALONE})(?={WORD_ALONE})|(?<!{WORD_ALONE})(?!{WORD_ALONE}))"
            )),
            'p' | 'P' => {
                let property = self.property(c == 'P')?;
                self.out.push_str(&property);
            }
            '1'..='9' if !self.rest.peek().is_some_and(char::is_ascii_digit) => {
                self.out.push('\\');
                self.out.push(c);
            }
            _ => {
                let c = self.character(c)?;
                self.letters.clear();
                self.literal(c)?;
            }
        }
        Ok(())
    }

    /// The character that `c` is after a backslash.
    fn character(&mut self, c: char) -> Result<char, String> {
        Ok(match c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            'x' if self.rest.next_if_eq(&'{').is_some() => {
                let digits: String = self.rest.by_ref().take_while(|&c| c != '}').collect();
                of_hex(&digits)?
            }
            'x' => {
                let digits: String =
                    std::iter::from_fn(|| self.rest.next_if(char::is_ascii_hexdigit)).take(2).collect();
                Some(of_hex(&digits)?).filter(char::is_ascii).ok_or("a byte that is no character")?
            }
            'u' => {
                let digits: String = self.rest.by_ref().take(4).collect();
                if digits.len() < 4 {
                    return Err(format!("\\u{digits}"));
                }
                of_hex(&digits)?
            }
            _ if c.is_alphanumeric() => return Err(format!("\\{c}")),
            _ => c,
        })
    }

    /// After `\p` or `\P`.
    fn property(&mut self, negative: bool) -> Result<String, String> {
        if self.rest.next() != Some('{') {
            return Err("\\p without a name".into());
        }
        let inverse = self.rest.next_if_eq(&'^').is_some();
        let name: String = self.rest.by_ref().take_while(|&c| c != '}').collect();
        let negative = negative != inverse;
        let plain: String = name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect();
        Ok(match posix(&plain.to_ascii_lowercase()).filter(|_| !plain.eq_ignore_ascii_case("punct")) {
            Some(members) => format!("[{}{members}]", if negative { "^" } else { "" }),
            None => format!("\\{}{{{name}}}", if negative { 'P' } else { 'p' }),
        })
    }

    /// After `[`.
    fn class(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("its classes are nested too deep".into());
        }
        self.out.push('[');
        let negated = self.rest.next_if_eq(&'^').is_some();
        if negated {
            self.out.push('^');
        }
        if self.rest.peek() == Some(&']') {
            return Err("an empty class".into());
        }
        loop {
            let unclosed = "a class is not closed";
            match self.rest.next().ok_or(unclosed)? {
                ']' => break,
                '[' if self.rest.peek() == Some(&':') => self.bracket()?,
                '[' => self.class(depth + 1)?,
                '&' if self.rest.next_if_eq(&'&').is_some() => self.out.push_str("&&"),
                c => match self.member(c)? {
                    None => {
                        if self.ignore_case && !negated {
                            return Err("a class of many letters without regard to case".into());
                        }
                    }
                    Some(first) => {
                        let last = self.range_end(first)?;
                        if self.ignore_case && !(first.is_ascii() && last.is_ascii()) {
                            return Err("letters beyond ASCII without regard to case".into());
                        }
                        self.range(first, last)?;
                    }
                },
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// A member of a class that begins with `c`: one character, or several, which are written.
    fn member(&mut self, c: char) -> Result<Option<char>, String> {
        if c != '\\' {
            return Ok(Some(c));
        }
        let c = self.rest.next().ok_or("it ends in a backslash")?;
        match c {
            'd' | 'D' | 's' | 'S' | 'h' | 'H' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'w' => self.out.push_str(WORD),
            'W' => self.out.push_str(&format!("[^{WORD}]")),
            'p' | 'P' => {
                let property = self.property(c == 'P')?;
                self.out.push_str(&property);
            }
            'b' => return Ok(Some('\u{8}')),
            _ => return self.character(c).map(Some),
        }
        Ok(None)
    }

    /// The last character of the range that begins with `first`, itself if there is none.
    fn range_end(&mut self, first: char) -> Result<char, String> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.peek(), None | Some(']' | '[')) {
            return Ok(first);
        }
        self.rest.next();
        let c = self.rest.next().ok_or("a class is not closed")?;
        self.member(c)?.ok_or_else(|| "a range that ends in a class".to_owned())
    }

    /// Writes a range of characters. A minus, an ampersand and a tilde would be operators anywhere but
    /// in a class of their own.
    fn range(&mut self, first: char, last: char) -> Result<(), String> {
        if first > last {
            return Err("a range that ends before it begins".into());
        }
        let mut from = first;
        for operator in ['&', '-', '~'].into_iter().filter(|c| (first..=last).contains(c)) {
            let below = char::from(operator as u8 - 1);
            if from <= below {
                self.plain_range(from, below);
            }
            let _ = write!(self.out, "[{operator}]");
            from = char::from(operator as u8 + 1);
        }
        if from <= last {
            self.plain_range(from, last);
        }
        Ok(())
    }

    fn plain_range(&mut self, first: char, last: char) {
        let _ = write!(self.out, "\\x{{{:X}}}", u32::from(first));
        if first < last {
            let _ = write!(self.out, "-\\x{{{:X}}}", u32::from(last));
        }
    }

    /// After `[` where `:` follows: a bracket such as `[:alpha:]` in a class.
    fn bracket(&mut self) -> Result<(), String> {
        self.rest.next();
        let negative = if self.rest.next_if_eq(&'^').is_some() { "^" } else { "" };
        let name: String = self.rest.by_ref().take_while(|&c| c != ':').collect();
        match (posix(&name), self.rest.next()) {
            (Some(members), Some(']')) if !self.ignore_case => {
                let _ = write!(self.out, "[{negative}{members}]");
                Ok(())
            }
            _ => Err(format!("[:{name}:]")),
        }
    }
}

fn of_hex(digits: &str) -> Result<char, String> {
    let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    code.ok_or_else(|| format!("\"{digits}\" is no character's number"))
}

/// The members of a class that POSIX has a name for, as Oniguruma knows it.
fn posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "alpha" => r"\p{Alphabetic}",
        "ascii" => r"\x{0}-\x{7F}",
        "blank" => r"\p{Zs}\t",
        "cntrl" => r"\p{Cc}",
        "digit" => r"\p{Nd}",
        "graph" => r"[^\s\p{Cc}\p{Cn}]",
        "lower" => r"\p{Lowercase}",
        "print" => r"[^\s\p{Cc}\p{Cn}]\p{Zs}",
        "punct" => r"\p{P}\p{S}",
        "space" => r"\s",
        "upper" => r"\p{Uppercase}",
        "word" => WORD,
        "xdigit" => "0-9A-Fa-f",
        _ => return None,
    })
}
