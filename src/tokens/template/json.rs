//! JSON text to values for templates, as Python's `json.loads` reads it: integers keep all their digits,
//! and of a key that occurs twice the last value counts.
//!
//! serde would turn integers above 64 bits into floating-point numbers, which print differently.

use std::borrow::Cow;

use minijinja::Value;

use super::python::{BigInteger, JsonStyle};

/// Lists and objects inside each other that are read; deeper ones are an error, as they are to Python.
const MOST_DEPTH: usize = 500;

/// The value of a JSON text.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() { Err(reader.expected("the end")) } else { Ok(value) }
}

/// A JSON text as `json.dumps(json.loads(text), ensure_ascii=False)` gives it, which is what templates write
/// with `tojson`: however a log has spaced and escaped it, the model saw this. A text that is no JSON stays
/// as it is.
pub(in crate::tokens) fn plain_json(text: &str) -> Cow<'_, str> {
    let style = JsonStyle {
        ensure_ascii: false,
        indent: None,
        item_separator: ", ".into(),
        key_separator: ": ".into(),
        sort_keys: false,
    };
    let plain = parse(text).ok().and_then(|value| style.dumps(&value).ok());
    plain.map_or(Cow::Borrowed(text), Cow::Owned)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> String {
        format!("not valid JSON: {what} is expected at byte {}", self.at + 1)
    }

    fn skip_space(&mut self) {
        let space = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.at += self.rest().bytes().take_while(|&byte| space(byte)).count();
    }

    /// Passes `token` if it comes next.
    fn pass(&mut self, token: &str) -> bool {
        let passed = self.rest().starts_with(token);
        self.at += if passed { token.len() } else { 0 };
        passed
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MOST_DEPTH {
            return Err("JSON with too many lists and objects inside each other".to_owned());
        }
        self.skip_space();
        match self.rest().bytes().next() {
            Some(b'"') => self.string().map(Value::from),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'-' | b'0'..=b'9') if !self.rest().starts_with("-I") => self.number(),
            _ => {
                let words = [
                    ("true", Value::from(true)),
                    ("false", Value::from(false)),
                    ("null", Value::from(())),
                    ("NaN", Value::from(f64::NAN)),
                    ("Infinity", Value::from(f64::INFINITY)),
                    ("-Infinity", Value::from(f64::NEG_INFINITY)),
                ];
                let word = words.into_iter().find(|(word, _)| self.pass(word));
                word.map(|(_, value)| value).ok_or_else(|| self.expected("a value"))
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.pass("]") {
            return Ok(Value::from(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.pass("]") {
                return Ok(Value::from(items));
            }
            if !self.pass(",") {
                return Err(self.expected("',' or ']'"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut fields: Vec<(Value, Value)> = Vec::new();
        self.skip_space();
        if self.pass("}") {
            return Ok(Value::from_pairs(fields));
        }
        loop {
            self.skip_space();
            if !self.rest().starts_with('"') {
                return Err(self.expected("a key"));
            }
            let key = Value::from(self.string()?);
            self.skip_space();
            if !self.pass(":") {
                return Err(self.expected("':'"));
            }
            fields.push((key, self.value(depth + 1)?));
            self.skip_space();
            if self.pass("}") {
                return Ok(Value::from_pairs(fields));
            }
            if !self.pass(",") {
                return Err(self.expected("',' or '}'"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        let sign = usize::from(rest.starts_with('-'));
        let whole = digits(sign);
        if whole == 0 {
            return Err(self.expected("a digit"));
        }
        // A leading zero stands alone.
        let mut end = sign + if rest[sign..].starts_with('0') { 1 } else { whole };
        let integer = end;
        if rest[end..].starts_with('.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + sign);
            end += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
        let text = &rest[..end];
        self.at += end;
        if end > integer {
            return text.parse().map(|number: f64| Value::from(number)).map_err(|error| error.to_string());
        }
        let small = text.parse().map(|number: i64| Value::from(number));
        let wide = || text.parse().map(|number: i128| Value::from(number));
        let big = |_| Value::from_object(BigInteger(text.to_owned()));
        Ok(small.or_else(|_| wide()).unwrap_or_else(big))
    }

    /// The text of a string. Half of a surrogate pair becomes U+FFFD.
    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let plain =
                rest.bytes().take_while(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\').count();
            out.push_str(&rest[..plain]);
            self.at += plain;
            if self.pass("\"") {
                return Ok(out);
            }
            if !self.pass("\\") {
                return Err(self.expected("'\"'"));
            }
            let escape = self.rest().chars().next().ok_or_else(|| self.expected("an escape"))?;
            self.at += escape.len_utf8();
            out.push(match escape {
                '"' | '\\' | '/' => escape,
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => self.character()?,
                _ => return Err(self.expected("an escape")),
            });
        }
    }

    /// The character of one `\uXXXX`, or of two that are a surrogate pair.
    fn character(&mut self) -> Result<char, String> {
        let first = self.unit()?;
        let low = |unit: u32| (0xDC00..0xE000).contains(&unit);
        if (0xD800..0xDC00).contains(&first) && self.rest().starts_with("\\u") {
            let here = self.at;
            self.at += 2;
            let second = self.unit()?;
            if low(second) {
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = here;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn unit(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::python;
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_their_kind() {
        for (text, expected) in [
            ("1", "1"),
            ("-0", "0"),
            ("1.0", "1.0"),
            ("1e5", "100000.0"),
            ("1E-5", "1e-05"),
            ("18446744073709551616", "18446744073709551616"),
            ("-170141183460469231731687303715884105729", "-170141183460469231731687303715884105729"),
            ("99999999999999999999999999999999999999999999", "99999999999999999999999999999999999999999999"),
            ("1e999", "inf"),
            ("[-Infinity, NaN]", "[-inf, nan]"),
        ] {
            assert_eq!(python::json_text(&parse(text).unwrap()), expected);
        }
    }

    #[test]
    fn texts_and_objects_are_those_of_json() {
        let value = parse(r#" {"a": "\u00e9\ud83d\ude00\ud83dx\udc00\n\/", "b": {}, "a": [ ] } "#).unwrap();
        assert_eq!(python::json_text(&value), "{'a': [], 'b': {}}");
        let text = parse(r#""\u00e9\ud83d\ude00\ud83d\ud83d\ude00\udc00\n\/""#).unwrap();
        assert_eq!(text.as_str(), Some("é\u{1f600}\u{fffd}\u{1f600}\u{fffd}\n/"));
        for wrong in [
            "",
            "{",
            "[1,]",
            "01",
            "1.",
            "{\"a\" 1}",
            "{a: 1}",
            "\"\t\"",
            "\"\\x\"",
            "nul",
            "1 2",
            "\"\\u12g4\"",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
