//! The general path of the trace reader: any valid JSON object, and every error message.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Invalid, InvalidKind};
use crate::record::{MAX_BLOCK_SIZE, MAX_LENGTH, MAX_TIME, Record, json_reason, text_of};

/// The known fields as they stand in the line; unknown ones are passed over.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, alias = "created_time")]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, alias = "input_tokens")]
    input_length: Option<&'a RawValue>,
    #[serde(borrow, alias = "output_tokens")]
    output_length: Option<&'a RawValue>,
    #[serde(borrow)]
    hash_ids: Option<&'a RawValue>,
    #[serde(borrow)]
    block_size: Option<&'a RawValue>,
}

/// Fields that hold prompts: a line with one of them, and without a length, is for `trace-hash`.
const PROMPTS: [&str; 9] = [
    "prompt",
    "messages",
    "text_input",
    "conversations",
    "body",
    "payload",
    "prompt_token_ids",
    "text",
    "input",
];

/// Reads one line into `record`: decides what is valid.
///
/// A field that is `null` counts as absent. A known field given twice is an error, also when one of
/// the two is a synonym.
///
/// # Errors
/// What was found and what was expected, without the line's place.
pub fn parse(line: &[u8], record: &mut Record) -> Result<(), Invalid> {
    record.clear();
    let malformed = |message: String| Invalid::malformed(message);
    let text = text_of(line)?;
    if !text.trim_start().starts_with('{') {
        return Err(malformed(format!("expected a JSON object, found {}", kind(text))));
    }
    let fields: Fields = serde_json::from_str(text)
        .map_err(|e| malformed(given_twice(text, &e).unwrap_or_else(|| json_reason(&e))))?;
    let Some(input_length) = fields.input_length else {
        return Err(Invalid::new(InvalidKind::MissingField, no_length(line)));
    };
    read_fields(&fields, input_length, record).map_err(Invalid::value)?;
    // A value borrows from `text`, so the difference of addresses is its place in the line.
    let span = |raw: Option<&RawValue>| {
        let start = raw.map_or(0, |raw| raw.get().as_ptr().addr() - text.as_ptr().addr());
        start..start + raw.map_or(0, |raw| raw.get().len())
    };
    record.ids_span = span(fields.hash_ids);
    record.time_span = span(fields.timestamp);
    record.input_span = span(Some(input_length));
    record.block_size_span = span(fields.block_size);
    Ok(())
}

/// What to say of a line without a length: of a prompt, where it belongs.
#[cold]
fn no_length(line: &[u8]) -> String {
    match PROMPTS.iter().find(|name| field(line, name).is_some()) {
        Some(name) => {
            format!("a prompt (\"{name}\") and no \"input_length\": make it a trace with trace-hash first")
        }
        None => "missing field \"input_length\"".to_owned(),
    }
}

/// What to say of a field that is given twice: the names that the line has for it, not the main one.
fn given_twice(text: &str, error: &serde_json::Error) -> Option<String> {
    const NAMES: [&[&str]; 5] = [
        &["timestamp", "created_time"],
        &["input_length", "input_tokens"],
        &["output_length", "output_tokens"],
        &["hash_ids"],
        &["block_size"],
    ];
    if !error.is_data() || !error.to_string().starts_with("duplicate field") {
        return None;
    }
    let mut given: [Option<String>; NAMES.len()] = Default::default();
    let mut message = None;
    last_field(text.as_bytes(), |key| {
        let Some(field) = NAMES.iter().position(|names| names.contains(&key)) else { return false };
        match &given[field] {
            None => given[field] = Some(key.to_owned()),
            Some(_) if message.is_some() => {}
            Some(before) if before == key => message = Some(format!("duplicate field \"{key}\"")),
            Some(before) => {
                message = Some(format!("\"{before}\" and \"{key}\" are the same field: give one of the two"));
            }
        }
        false
    });
    message
}

fn read_fields(fields: &Fields, input_length: &RawValue, record: &mut Record) -> Result<(), String> {
    record.input_length = length("input_length", input_length)?;
    record.output_length = fields.output_length.map(|v| length("output_length", v)).transpose()?;
    record.timestamp = fields.timestamp.map(timestamp).transpose()?;
    record.block_size = fields.block_size.map(block_size).transpose()?;
    record.has_ids = fields.hash_ids.is_some();
    fields.hash_ids.map_or(Ok(()), |raw| hash_ids(raw, &mut record.hash_ids))
}

/// The value of a field of a line that is a valid record: the text of a string, else its JSON. `None`
/// if the field is absent or `null`. Of a field that stands twice the last one counts.
pub fn field(line: &[u8], name: &str) -> Option<String> {
    let raw = raw_field(line, name)?.get();
    match serde_json::from_str::<String>(raw) {
        Ok(text) => Some(text),
        Err(_) => (raw != "null").then(|| raw.to_owned()),
    }
}

/// Where in a line that is a valid record the value of a field stands.
pub fn field_span(line: &[u8], name: &str) -> Option<Range<usize>> {
    let raw = raw_field(line, name)?.get();
    let start = raw.as_ptr().addr() - line.as_ptr().addr();
    Some(start..start + raw.len())
}

fn raw_field<'a>(line: &'a [u8], name: &str) -> Option<&'a RawValue> {
    last_field(line, |key| key == name)
}

/// The value of the last field of an object whose name is wanted. All names are asked for, in their
/// order, up to where the line is no valid JSON.
fn last_field(line: &[u8], wanted: impl FnMut(&str) -> bool) -> Option<&RawValue> {
    struct Walk<F>(F);
    impl<'de, F: FnMut(&str) -> bool> serde::de::Visitor<'de> for Walk<F> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<String>()? {
                if (self.0)(&key) {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut parser = serde_json::Deserializer::from_slice(line);
    serde::Deserializer::deserialize_map(&mut parser, Walk(wanted)).ok()?
}

/// What a line is that is no object.
fn kind(text: &str) -> String {
    match text.trim_start().bytes().next() {
        Some(b'[') => "an array".into(),
        Some(b'"') => "a string".into(),
        Some(b'0'..=b'9' | b'-') => "a number".into(),
        _ => cut(text.trim()),
    }
}

/// Text for a message, cut to a readable length.
fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value for a message.
fn found(raw: &RawValue) -> String {
    cut(raw.get())
}

pub(super) fn length(name: &str, raw: &RawValue) -> Result<u64, String> {
    let text = raw.get();
    let value = text.parse::<u64>().ok().or_else(|| whole_float(text));
    match value {
        Some(n) if n <= MAX_LENGTH => Ok(n),
        Some(_) => Err(format!("{name}: {} is not a plausible number of tokens", found(raw))),
        None => Err(format!("{name}: expected a whole number of tokens, found {}", found(raw))),
    }
}

/// `52.0` as pandas writes whole numbers of a column that has gaps.
fn whole_float(text: &str) -> Option<u64> {
    let value: f64 = text.parse().ok()?;
    // Exact: below 2^53 and without a fraction.
    (value >= 0.0 && value <= MAX_LENGTH as f64 && value.fract() == 0.0).then_some(value as u64)
}

fn timestamp(raw: &RawValue) -> Result<f64, String> {
    match raw.get().parse::<f64>() {
        Ok(value) if value.abs() <= MAX_TIME => Ok(value),
        Ok(_) => Err(format!("timestamp: {} is not a plausible number of milliseconds", found(raw))),
        Err(_) => Err(format!("timestamp: expected a number of milliseconds, found {}", found(raw))),
    }
}

fn block_size(raw: &RawValue) -> Result<u64, String> {
    let value: Option<u64> = raw.get().parse().ok();
    value
        .filter(|v| (1..=MAX_BLOCK_SIZE).contains(v))
        .ok_or_else(|| format!("block_size: expected a number of tokens, found {}", found(raw)))
}

fn hash_ids(raw: &RawValue, ids: &mut Vec<u64>) -> Result<(), String> {
    if let Ok(parsed) = serde_json::from_str::<Vec<u64>>(raw.get()) {
        *ids = parsed;
        return Ok(());
    }
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Err(format!("hash_ids: expected a list of ids, found {}", found(raw)));
    };
    for element in elements {
        ids.push(
            element.get().parse().map_err(|_| {
                format!("hash_ids: expected unsigned 64-bit integers, found {}", found(element))
            })?,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_whatever_its_type() {
        let line =
            br#"{"input_length": 5, "type": "te\u0078t", "n": 7, "x": {"type": 1}, "none": null, "n": 8}"#;
        assert_eq!(field(line, "type").as_deref(), Some("text"));
        assert_eq!(field(line, "n").as_deref(), Some("8"));
        assert_eq!(field(line, "x").as_deref(), Some("{\"type\": 1}"));
        assert_eq!(field(line, "none"), None);
        assert_eq!(field(line, "absent"), None);
    }
}
