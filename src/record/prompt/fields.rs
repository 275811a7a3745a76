//! The values that the fields of prompts are read into.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::Visitor;

use crate::record::MAX_LENGTH;
use crate::record::json::RawObject;
use crate::record::raw::{Found, Json};

impl<'a> RawObject<'a> {
    /// The object that `value` is: one of JSON, or a list of attributes as OpenTelemetry's exporters write
    /// it, `[{"key": "model", "value": {"stringValue": "m"}}]`.
    pub(crate) fn in_value(value: Json<'a>) -> Option<Self> {
        match value.get().as_bytes().first()? {
            b'{' => Self::of_value(value),
            b'[' if !is_empty(value) => {
                list(value).ok()?.into_iter().map(attribute).collect::<Option<_>>().map(Self::of_fields)
            }
            _ => None,
        }
    }

    /// The first of `names` that is present, and its value.
    pub(crate) fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, Json<'a>)> {
        names.iter().find_map(|&name| Some((name, self.get(name)?)))
    }

    /// The first of `names` that is present and holds something.
    pub(crate) fn first_filled<'n>(&self, names: &[&'n str]) -> Option<(&'n str, Json<'a>)> {
        names.iter().find_map(|&name| Some((name, self.get(name).filter(|&value| !is_empty(value))?)))
    }

    /// The text of the field `name`, if it is a string.
    pub(crate) fn string(&self, name: &str) -> Option<String> {
        self.get(name).filter(|&value| is_string(value)).and_then(|value| string(value).ok())
    }
}

/// Name and value of an OpenTelemetry attribute.
fn attribute(item: Json<'_>) -> Option<(Cow<'_, str>, Json<'_>)> {
    let item = RawObject::of_value(item)?;
    let name = item.string("key")?;
    let value = RawObject::of_value(item.get("value")?)?;
    let (kind, value) = value.fields().next()?;
    // Whole numbers are written in quotes, since JavaScript has none of 64 bits.
    let number = (kind == "intValue").then(|| value.get().trim_matches('"'));
    Some((name.into(), number.and_then(|digits| serde_json::from_str(digits).ok()).unwrap_or(value)))
}

/// Whether `value` is a string, a list or an object without anything in it.
pub(crate) fn is_empty(value: Json<'_>) -> bool {
    let inner = || value.get()[1..value.get().len() - 1].trim_ascii();
    match value.get().as_bytes().first() {
        Some(b'"') => value.get().len() == 2,
        Some(b'[' | b'{') => inner().is_empty(),
        _ => false,
    }
}

/// Whether `value` is a string.
pub(crate) fn is_string(value: Json<'_>) -> bool {
    value.get().starts_with('"')
}

/// The JSON in a string that holds an object or a list.
pub(crate) fn decoded(value: Json<'_>) -> Option<Found<'static>> {
    let inner = value.get().strip_prefix('"')?;
    // An escaped blank before the bracket is a line end or a tab.
    let start = inner.trim_start_matches(|c: char| c.is_ascii_whitespace());
    if !start.starts_with(['{', '[', '\\']) {
        return None;
    }
    let text = string(value).ok()?;
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    Json::parse(&text).ok().map(Found::copy)
}

/// The number in a string that holds nothing else, or the value as it is.
pub(super) fn unquoted(value: Json<'_>) -> Json<'_> {
    let inner = value.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    inner.filter(is_number).and_then(|text| Json::parse(text).ok()).unwrap_or(value)
}

/// A whole number of tokens, which tables written by pandas have as `52.0`.
pub(crate) fn whole(value: Json<'_>) -> Option<u64> {
    let number = value.get().parse().ok().or_else(|| {
        let number: f64 = serde_json::from_str(value.get()).ok()?;
        let whole = number.fract() == 0.0 && (0.0..=MAX_LENGTH as f64).contains(&number);
        whole.then_some(number as u64)
    });
    number.filter(|&number| number <= MAX_LENGTH)
}

/// `text` as a JSON string.
pub(super) fn json(text: &str) -> String {
    // A string written into memory cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// The items of a list.
pub(crate) fn list(value: Json<'_>) -> Result<Vec<Json<'_>>, String> {
    value.items().ok_or_else(|| mismatch("the value", "a list", value))
}

/// The object that `value` must be; `place` says where it stands.
pub(crate) fn object_at<'a>(place: &str, value: Json<'a>) -> Result<RawObject<'a>, String> {
    RawObject::of_value(value).ok_or_else(|| mismatch(place, "an object", value))
}

/// The text that `value` must be; `place` says where it stands.
pub(crate) fn string_at(place: &str, value: Json<'_>) -> Result<String, String> {
    if value.get().starts_with('"') { string(value) } else { Err(mismatch(place, "a string", value)) }
}

/// JSON text with the replacement character for each half of an escaped pair of surrogates: what reads it
/// further on may be strict.
pub(crate) fn without_halves(json: &str) -> Cow<'_, str> {
    let escaped = memchr::memmem::find(json.as_bytes(), b"\\u").map(|at| &json[at..]);
    if !escaped.is_some_and(|rest| rest.contains("\\ud") || rest.contains("\\uD")) {
        return Cow::Borrowed(json);
    }
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut out, mut done, mut at) = (String::with_capacity(json.len()), 0, 0);
    while let Some(found) = memchr::memchr(b'\\', &json.as_bytes()[at..]) {
        let start = at + found;
        let pair = |next: Option<u16>| next.is_some_and(|next| (0xDC00..0xE000).contains(&next));
        at = match unit(start) {
            Some(0xD800..0xDC00) if pair(unit(start + 6)) => start + 12,
            Some(0xD800..0xE000) => {
                out.push_str(&json[done..start]);
                out.push_str("\\ufffd");
                done = start + 6;
                done
            }
            _ => start + 2,
        };
    }
    out.push_str(&json[done..]);
    Cow::Owned(out)
}

/// The text of a JSON string.
pub(crate) fn string(value: Json<'_>) -> Result<String, String> {
    if let Some(text) = unescape(value.get()) {
        return Ok(text);
    }
    if let Ok(text) = serde_json::from_str(value.get()) {
        return Ok(text);
    }
    // What was read as JSON and is no text contains lone surrogates. As bytes they are let through,
    // in the three bytes that U+FFFD takes as well.
    let mut bytes = serde_json::from_str::<Wtf8>(value.get()).map_err(|e| e.to_string())?.0;
    for i in 0..bytes.len().saturating_sub(2) {
        if bytes[i] == 0xED && bytes[i + 1] >= 0xA0 {
            bytes[i..i + 3].copy_from_slice("\u{FFFD}".as_bytes());
        }
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// The text of a JSON string that is known to be one, unless it has surrogates in it. Quicker than the
/// library where escapes are few.
pub(crate) fn unescape(value: &str) -> Option<String> {
    let mut rest = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        let mut length = 2;
        text.push_str(plain);
        text.push(match escape.as_bytes().get(1)? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                length = 6;
                char::from_u32(u32::from_str_radix(escape.get(2..length)?, 16).ok()?)?
            }
            &other => char::from(other),
        });
        rest = escape.get(length..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// The bytes of a JSON string, which are UTF-8 except for lone surrogates.
pub(crate) struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes).map(Wtf8)
    }
}

/// "PLACE must be EXPECTED, found WHAT".
pub(crate) fn mismatch(place: &str, expected: &str, found: Json<'_>) -> String {
    const SHOWN: usize = 40;
    let text = found.get();
    let found = match text.as_bytes().first() {
        Some(b'"') => "a string".to_owned(),
        Some(b'[') => "a list".to_owned(),
        Some(b'{') => "an object".to_owned(),
        _ if text.len() > SHOWN => "a number".to_owned(),
        _ => text.to_owned(),
    };
    format!("{place} must be {expected}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_as_the_library_reads_them() {
        let parts = [
            r"\n", r"\t", r"\r", r"\b", r"\f", r"\/", r"\\", r#"\""#, r"\u0041", r"\u00e9", r"\uFFFD",
            r"\u4e2d", "é", "中", "😀", "a", "n", "u0041", " ",
        ];
        let mut rng = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let inner: String = (0..rng.usize(0..9)).map(|_| parts[rng.usize(..parts.len())]).collect();
            let value = format!("\"{inner}\"");
            assert_eq!(unescape(&value), serde_json::from_str(&value).unwrap(), "{value}");
        }
        assert_eq!(unescape(r#""\ud83d\ude00""#), None);
    }
}
