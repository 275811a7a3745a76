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
//! * In a class, `--` and `~~` are characters, and so is a `]` at its beginning.
//! * Options in the middle, as in `a(?i)b|c`, hold for all that follows in the group: `a(?i:b|c)`.
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
        flags: Flags::default(),
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

/// Options that hold up to the end of a group.
#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    /// Whether blanks and comments between the parts of the pattern are left out.
    extended: bool,
}

/// A group that is open.
struct Group {
    /// Where it begins in what is written.
    start: usize,
    /// The options that hold after it.
    outer: Flags,
    /// Options in the middle of a group, as in `(a(?i)b|c)`, begin one that ends with it: `(a(?i:b|c))`.
    inner: bool,
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    /// Where the last atom begins in `out`, which a repetition would repeat.
    atom: Option<usize>,
    /// The groups that are open.
    groups: Vec<Group>,
    flags: Flags,
    /// The last literals, where case does not matter.
    letters: String,
}

impl Translator<'_> {
    fn pattern(&mut self) -> Result<(), String> {
        loop {
            self.skip_blanks();
            let Some(c) = self.rest.next() else { break };
            if !c.is_ascii_alphabetic() {
                self.letters.clear();
            }
            let start = self.out.len();
            match c {
                '(' => self.open()?,
                ')' => {
                    self.close_inner();
                    let group = self.groups.pop().ok_or("a group is closed twice")?;
                    self.out.push(')');
                    (self.atom, self.flags) = (Some(group.start), group.outer);
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
        self.close_inner();
        if self.groups.is_empty() { Ok(()) } else { Err("a group is not closed".into()) }
    }

    /// Closes the groups that options have begun.
    fn close_inner(&mut self) {
        while self.groups.pop_if(|group| group.inner).is_some() {
            self.out.push(')');
        }
    }

    /// Where blanks do not count, leaves them and comments behind.
    fn skip_blanks(&mut self) {
        while self.flags.extended
            && let Some(c) = self.rest.next_if(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}' | '#'))
        {
            if c == '#' {
                self.rest.find(|&c| c == '\n');
            }
        }
    }

    fn literal(&mut self, c: char) -> Result<(), String> {
        if self.flags.ignore_case {
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
        self.skip_blanks();
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
        let (start, outer) = (self.out.len(), self.flags);
        let mut head = String::new();
        match self.rest.peek() {
            Some('*') => return Err("a call".into()),
            Some('?') => {
                head.extend(self.rest.next());
                if self.head(&mut head)? {
                    return Ok(());
                }
            }
            _ => {}
        }
        let inner = head.ends_with(')');
        let head = if inner { head.replace(')', ":") } else { head };
        self.out.push('(');
        self.out.push_str(&head);
        self.groups.push(Group { start, outer, inner });
        self.atom = None;
        Ok(())
    }

    /// After `(?`: adds what the group is to `head`, which ends in `)` where that is options alone; whether it
    /// was a comment.
    fn head(&mut self, head: &mut String) -> Result<bool, String> {
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
            Some(mut c @ ('i' | 'm' | 'x' | '-')) => {
                let mut on = true;
                loop {
                    match c {
                        'i' => self.flags.ignore_case = on,
                        'x' => self.flags.extended = on,
                        'm' => {}
                        '-' => on = false,
                        ':' | ')' => break,
                        _ => return unknown(Some(c)),
                    }
                    match c {
                        'm' => head.push('s'),
                        'x' => {}
                        _ => head.push(c),
                    }
                    c = self.rest.next().ok_or("a group is not closed")?;
                }
                if head.ends_with('-') {
                    head.pop();
                }
                head.push(c);
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
            'R' => self.out.push_str(r"(?>\r\n|[\n-\r\u{85}\u{2028}\u{2029}])"),
            'N' => self.out.push_str(r"[^\n]"),
            'O' => self.out.push_str(r"[\s\S]"),
            'X' => return Err("\\X, a character as it is seen".into()),
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
            'c' => self.control()?,
            'C' if self.rest.next_if_eq(&'-').is_some() => self.control()?,
            _ if c.is_alphanumeric() => return Err(format!("\\{c}")),
            _ => c,
        })
    }

    /// After `\c` or `\C-`: a control character.
    fn control(&mut self) -> Result<char, String> {
        match self.rest.next() {
            Some('?') => Ok('\u{7f}'),
            Some(c) if c.is_ascii() && c != '\\' => Ok(char::from(c as u8 & 0x1f)),
            c => Err(format!("\\c{}", c.map_or(String::new(), String::from))),
        }
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
        // A bracket at the beginning is a character if there is another that can close the class.
        if self.rest.peek() == Some(&']') && !self.closes_later() {
            return Err("an empty class".into());
        }
        let mut first = true;
        loop {
            let unclosed = "a class is not closed";
            match self.rest.next().ok_or(unclosed)? {
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') => self.bracket()?,
                '[' => self.class(depth + 1)?,
                '&' if self.rest.next_if_eq(&'&').is_some() => self.out.push_str("&&"),
                c => match self.member(c)? {
                    None => {
                        if self.flags.ignore_case && !negated {
                            return Err("a class of many letters without regard to case".into());
                        }
                    }
                    Some(first) => {
                        let last = self.range_end(first)?;
                        if self.flags.ignore_case && !(first.is_ascii() && last.is_ascii()) {
                            return Err("letters beyond ASCII without regard to case".into());
                        }
                        self.range(first, last)?;
                    }
                },
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    /// Whether a bracket follows that is not escaped, after the one that comes next.
    fn closes_later(&self) -> bool {
        let mut ahead = self.rest.clone().skip(1);
        while let Some(c) = ahead.next() {
            match c {
                ']' => return true,
                '\\' => drop(ahead.next()),
                _ => {}
            }
        }
        false
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
            (Some(members), Some(']')) if !self.flags.ignore_case => {
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
