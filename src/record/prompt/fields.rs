//! Values of the raw fields of a prompt.

use std::fmt;

use serde::Deserialize;
use serde::de::Visitor;
use serde_json::value::RawValue;

use crate::record::json::RawObject;

pub(super) fn list(value: &RawValue) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(value.get()).map_err(|_| mismatch("the value", "a list", value))
}

pub(super) fn object_at<'a>(place: &str, value: &'a RawValue) -> Result<RawObject<'a>, String> {
    serde_json::from_str(value.get()).map_err(|_| mismatch(place, "an object", value))
}

pub(super) fn string_at(place: &str, value: &RawValue) -> Result<String, String> {
    if value.get().starts_with('"') { string(value) } else { Err(mismatch(place, "a string", value)) }
}

/// The text of a JSON string.
pub(super) fn string(value: &RawValue) -> Result<String, String> {
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
pub(super) fn unescape(value: &str) -> Option<String> {
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
pub(super) struct Wtf8(Vec<u8>);

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
pub(super) fn mismatch(place: &str, expected: &str, found: &RawValue) -> String {
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
