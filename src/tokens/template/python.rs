//! Values as Python writes them: `str()`, `repr()` and `json.dumps()`.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::iterators::{self, Group};

/// An integer that needs more than 128 bits, by its digits.
#[derive(Debug)]
pub(super) struct BigInteger(pub(super) String);

impl Object for BigInteger {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value as a floating-point number, if it is one.
pub(super) fn as_float(value: &Value) -> Option<f64> {
    let is_float = value.kind() == ValueKind::Number && !value.is_integer();
    f64::try_from(value.clone()).ok().filter(|_| is_float)
}

/// A floating-point number as `repr()` writes it: the shortest digits that read back as the same number,
/// with an exponent below 1e-4 and from 1e16 on.
pub(super) fn float(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() { "nan".to_owned() } else { format!("{number}") };
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// `str(value)`.
///
/// # Errors
/// For functions and the like, for which Python writes where they are in memory.
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::new();
    if !value.is_undefined() {
        repr(value, &mut out)?;
    }
    Ok(Cow::Owned(out))
}

/// `str(value)` of what JSON may hold.
pub(super) fn json_text(value: &Value) -> String {
    text(value).map(Cow::into_owned).unwrap_or_default()
}

/// `repr(value)`.
pub(super) fn repr_of(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    repr(value, &mut out)?;
    Ok(out)
}

/// Appends `repr(value)`.
fn repr(value: &Value, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String if value.is_safe() => {
            out.push_str("Markup(");
            quoted(value.as_str().unwrap_or_default(), out);
            out.push(')');
        }
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        _ if iterators::is_list(value) => {
            let is_tuple = value.is_tuple() || value.downcast_object_ref::<Group>().is_some();
            let (open, close) = if is_tuple { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let items = value.try_iter().into_iter().flatten();
            for (index, item) in items.enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                repr(&item, out)?;
            }
            out.push_str(if is_tuple && value.len() == Some(1) { "," } else { "" });
            out.push(close);
        }
        ValueKind::Map => {
            if let Some(name) = object_of_engine(value) {
                return Err(fail(format!("the text of a {name} is not known here")));
            }
            out.push('{');
            for (index, (key, item)) in pairs(value).enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                repr(&key, out)?;
                out.push_str(": ");
                repr(&item, out)?;
            }
            out.push('}');
        }
        ValueKind::Iterable => {
            let (name, items) = iterators::written(value).ok_or_else(|| {
                fail(
                    "what filters like map, select and reverse give is no text before it is a list"
                        .to_owned(),
                )
            })?;
            out.push_str(&name);
            if let Some(items) = items {
                out.push('(');
                repr(&items, out)?;
                out.push(')');
            }
        }
        ValueKind::Plain if value.downcast_object_ref::<BigInteger>().is_none() => {
            return Err(fail("the text of a function or method is not known here".to_owned()));
        }
        _ => match as_float(value) {
            Some(number) => out.push_str(&float(number)),
            // A string takes whatever is written to it.
            None => write!(out, "{value}").unwrap_or_default(),
        },
    }
    Ok(())
}

/// What the engine makes and has the fields of a map, and is none.
pub(super) fn object_of_engine(value: &Value) -> Option<&'static str> {
    let name = value.as_object()?.type_name().rsplit("::").next()?;
    [("Namespace", "namespace"), ("Macro", "macro"), ("Loop", "loop")]
        .into_iter()
        .find_map(|(of_engine, word)| (of_engine == name).then_some(word))
}

/// The fields of a map.
pub(super) fn pairs(map: &Value) -> impl Iterator<Item = (Value, Value)> {
    let keys = map.try_iter().into_iter().flatten();
    keys.filter_map(|key| map.get_item(&key).ok().map(|value| (key, value)))
}

/// `repr()` of a string.
fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => out.extend(['\\', c]),
            _ if is_printable(c) => out.push(c),
            _ => {
                let code = u32::from(c);
                let escape = match code {
                    0..0x100 => format!("\\x{code:02x}"),
                    0x100..0x1_0000 => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                };
                out.push_str(&escape);
            }
        }
    }
    out.push(quote);
}

/// `str.isprintable()` of one character.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // Behind another character, a combining one is not escaped.
    let mut escaped = [c.len_utf8() as u8; 8];
    escaped[0] = b'a';
    c.encode_utf8(&mut escaped[1..]);
    let pair = std::str::from_utf8(&escaped[..=c.len_utf8()]).unwrap_or_default();
    pair.escape_debug().eq(pair.chars())
}

/// How `json.dumps` writes.
pub(super) struct JsonStyle {
    pub(super) ensure_ascii: bool,
    pub(super) indent: Option<String>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
    pub(super) sort_keys: bool,
}

impl JsonStyle {
    /// `json.dumps(value)`.
    pub(super) fn dumps(&self, value: &Value) -> Result<String, Error> {
        let mut out = String::new();
        self.write(value, 0, &mut out)?;
        Ok(out)
    }

    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::String => self.string(value.as_str().unwrap_or_default(), out),
            ValueKind::Number => out.push_str(&number(value)),
            _ if iterators::is_list(value) => {
                let items = value.try_iter()?.map(|item| Ok((None, item)));
                self.container(['[', ']'], items, depth, out)?;
            }
            ValueKind::Map => {
                let mut fields: Vec<_> = pairs(value).collect();
                if self.sort_keys {
                    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                let fields = fields.into_iter().map(|(key, item)| Ok((Some(key_text(&key)?), item)));
                self.container(['{', '}'], fields, depth, out)?;
            }
            _ if value.downcast_object_ref::<BigInteger>().is_some() => out.push_str(&value.to_string()),
            kind => {
                let name =
                    if kind == ValueKind::Undefined { "Undefined".to_owned() } else { kind.to_string() };
                return Err(fail(format!("Object of type {name} is not JSON serializable")));
            }
        }
        Ok(())
    }

    fn container(
        &self,
        [open, close]: [char; 2],
        items: impl Iterator<Item = Result<(Option<String>, Value), Error>>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Error> {
        if depth > MOST_DEPTH {
            return Err(fail("maximum recursion depth exceeded".to_owned()));
        }
        out.push(open);
        let mut empty = true;
        for item in items {
            let (key, item) = item?;
            out.push_str(if empty { "" } else { &self.item_separator });
            empty = false;
            self.line(depth + 1, out);
            if let Some(key) = key {
                self.string(&key, out);
                out.push_str(&self.key_separator);
            }
            self.write(&item, depth + 1, out)?;
        }
        if !empty {
            self.line(depth, out);
        }
        out.push(close);
        Ok(())
    }

    fn line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            let escape = match c {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\u{8}' => "\\b",
                '\u{c}' => "\\f",
                '\0'..='\u{1f}' => "",
                '\u{7f}'.. if self.ensure_ascii => "",
                _ => continue,
            };
            out.push_str(&text[plain..at]);
            plain = at + c.len_utf8();
            out.push_str(escape);
            if escape.is_empty() {
                let mut units = [0; 2];
                out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        out.push_str(&text[plain..]);
        out.push('"');
    }
}

/// Lists and objects inside each other that are written; Python's limit is of this order.
const MOST_DEPTH: usize = 500;

/// A number in JSON.
fn number(value: &Value) -> String {
    match as_float(value) {
        Some(number) if number.is_nan() => "NaN".to_owned(),
        Some(number) if number.is_infinite() => {
            if number > 0.0 {
                "Infinity".to_owned()
            } else {
                "-Infinity".to_owned()
            }
        }
        Some(number) => float(number),
        None => value.to_string(),
    }
}

/// The key of an object: other scalars than strings become strings.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => Ok(number(key)),
        _ => Err(fail("keys must be str, int, float, bool or None".to_owned())),
    }
}

/// An error with this text.
pub(super) fn fail(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

#[cfg(test)]
mod tests {
    use minijinja::value::Tuple;

    use super::*;

    /// The right sides are the output of Python 3.11.
    #[test]
    fn floats_are_written_as_python_does() {
        for (number, expected) in [
            (1e-5, "1e-05"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (-0.0, "-0.0"),
            (1e22, "1e+22"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (2.5, "2.5"),
            (3.0, "3.0"),
            (0.1, "0.1"),
            (-1.25e-10, "-1.25e-10"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float(number), expected);
        }
    }

    #[test]
    fn containers_and_strings_are_written_as_python_does() {
        let texts = ["it's", "say \"x\"", "\n\t\\\u{7f}\u{200b}é\u{301}\u{e000}"].map(Value::from);
        let scalars = [Value::from(1), Value::from(2.0), Value::from(()), Value::from(true)];
        let value = Value::from_pairs([("a'b", scalars.into_iter().chain(texts).collect::<Value>())]);
        assert_eq!(
            text(&value).unwrap(),
            r#"{"a'b": [1, 2.0, None, True, "it's", 'say "x"', '\n\t\\\x7f\u200bé"#.to_owned()
                + "\u{301}"
                + r"\ue000']}"
        );
        let tuple = |values: &[i32]| {
            text(&Value::from(Tuple::new(values.iter().map(Value::from).collect()))).unwrap().into_owned()
        };
        assert_eq!([tuple(&[]), tuple(&[1]), tuple(&[1, 2])], ["()", "(1,)", "(1, 2)"]);
        assert_eq!(text(&Value::UNDEFINED).unwrap(), "");
    }

    #[test]
    fn json_is_written_as_python_does() {
        let inner = Value::from_pairs([("x", Value::from(1e-5)), ("é", Value::from("\u{1f600}\u{7f}\u{1}"))]);
        let list = Value::from(vec![Value::from(1), Value::from_pairs(Vec::<(&str, Value)>::new())]);
        let value = Value::from_pairs([("b", Value::from(Vec::<Value>::new())), ("a", inner), ("c", list)]);
        let mut style = JsonStyle {
            ensure_ascii: false,
            indent: None,
            item_separator: ", ".to_owned(),
            key_separator: ": ".to_owned(),
            sort_keys: false,
        };
        assert_eq!(
            style.dumps(&value).unwrap(),
            "{\"b\": [], \"a\": {\"x\": 1e-05, \"é\": \"\u{1f600}\u{7f}\\u0001\"}, \"c\": [1, {}]}"
        );
        style = JsonStyle { ensure_ascii: true, sort_keys: true, indent: Some(" ".to_owned()), ..style };
        style.item_separator = ",".to_owned();
        assert_eq!(
            style.dumps(&value).unwrap(),
            "{\n \"a\": {\n  \"x\": 1e-05,\n  \"\\u00e9\": \"\\ud83d\\ude00\\u007f\\u0001\"\n },\n \"b\": [],\n \
             \"c\": [\n  1,\n  {}\n ]\n}"
        );
        assert!(style.dumps(&Value::UNDEFINED).is_err());
    }
}
