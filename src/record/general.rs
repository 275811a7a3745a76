//! The general path of the trace reader: any valid JSON object, and every error message.

use std::ops::Range;

use crate::error::{Invalid, InvalidKind};
use crate::record::json::{RawObject, cut, expected, implausible, text_of, whole_tokens};
use crate::record::line::FieldKey;
use crate::record::raw::Json;
use crate::record::scan::scan;
use crate::record::trace_record::{MAX_BLOCK_SIZE, MAX_TIME, Record};

/// The known fields, each with the names it may have; the places in this list are used below.
const NAMES: [&[&str]; 9] = [
    &["timestamp", "created_time"],
    &["input_length", "input_tokens"],
    &["output_length", "output_tokens"],
    &["hash_ids"],
    &["block_size"],
    &["cached_tokens"],
    &["recorded_input_length"],
    &["output_hash_ids"],
    &["cache_write_tokens"],
];

/// Fields that hold prompts: a line with one of them, and without a length, is for `trace-hash`.
const PROMPTS: [&str; 14] = [
    "prompt",
    "messages",
    "text_input",
    "conversations",
    "body",
    "payload",
    "prompt_token_ids",
    "text",
    "input",
    "contents",
    "conversation",
    "instruction",
    "request_json",
    "captureData",
];

/// What to say of `input_tokens` alone, which results of benchmarks and of `trace-stats` have too.
const NO_RECORD: &str = "\"input_tokens\" without \"hash_ids\" or a time: figures of a run, no record of a trace \
                         (a trace of lengths alone has \"input_length\")";

/// Reads one line into `record`, in the fast way where that is possible.
///
/// # Errors
/// Those of [`parse`].
pub(super) fn parse_any(line: &[u8], record: &mut Record) -> Result<(), Invalid> {
    if scan(line, record) { Ok(()) } else { parse(line, record) }
}

/// Reads one line into `record`: decides what is valid.
///
/// A field that is `null` counts as absent. A known field given twice is an error, also when one of
/// the two is a synonym.
///
/// # Errors
/// What was found and what was expected, without the line's place.
pub fn parse(line: &[u8], record: &mut Record) -> Result<(), Invalid> {
    record.clear();
    let text = text_of(line)?;
    if !text.trim_start().starts_with('{') {
        return Err(Invalid::malformed(format!("expected a JSON object, found {}", kind(text))));
    }
    let object = RawObject::parse(line)?;
    let [time, input, output, ids, size, cached, recorded, output_ids, written] = known_fields(&object)?;
    if !object.has("input_length") && input.is_some() && time.is_none() && ids.is_none() {
        return Err(Invalid::new(InvalidKind::MissingField, NO_RECORD));
    }
    let Some(input) = input else {
        return Err(Invalid::new(InvalidKind::MissingField, no_length(&object)));
    };
    record.input_length = whole_tokens("input_length", input.get())?;
    record.output_length = output.map(|v| whole_tokens("output_length", v.get())).transpose()?;
    record.timestamp = time.map(|v| timestamp(v.get())).transpose()?;
    record.block_size = size.map(|v| block_size(v.get())).transpose()?;
    let length = |name, raw: Option<Json<'_>>| raw.map(|v| whole_tokens(name, v.get())).transpose();
    record.cached_tokens = length("cached_tokens", cached)?;
    record.cache_write_tokens = length("cache_write_tokens", written)?;
    record.recorded_input_length = length("recorded_input_length", recorded)?;
    record.has_synonyms =
        object.fields().any(|(name, _)| NAMES.iter().any(|names| names[1..].contains(&name)));
    record.has_ids = ids.is_some();
    if let Some(ids) = ids {
        hash_ids("hash_ids", ids.get(), &mut record.hash_ids)?;
    }
    record.has_output_ids = output_ids.is_some();
    if let Some(ids) = output_ids {
        hash_ids("output_hash_ids", ids.get(), &mut record.output_hash_ids)?;
    }
    let span = |raw: Option<Json<'_>>| raw.map_or(0..0, |raw| span_in(line, raw));
    // A list that is given as null stands there all the same.
    record.ids_span = span(ids.or_else(|| object.raw("hash_ids")));
    record.output_ids_span = span(output_ids);
    record.time_span = span(time);
    record.input_span = span(Some(input));
    record.block_size_span = span(size);
    Ok(())
}

/// The values of the fields in [`NAMES`].
///
/// # Errors
/// When one of them is given twice; the message has the names that the line uses.
fn known_fields<'a>(object: &RawObject<'a>) -> Result<[Option<Json<'a>>; NAMES.len()], Invalid> {
    let mut values: [Option<(&str, Json<'_>)>; NAMES.len()] = [None; NAMES.len()];
    for (name, value) in object.fields() {
        let Some(field) = NAMES.iter().position(|names| names.contains(&name)) else { continue };
        match values[field].replace((name, value)) {
            None => {}
            Some((before, _)) if before == name => {
                return Err(Invalid::malformed(format!("duplicate field \"{name}\"")));
            }
            Some((before, _)) => {
                let both = format!("\"{before}\" and \"{name}\" are the same field");
                return Err(Invalid::malformed(format!("{both}: give one of the two")));
            }
        }
    }
    Ok(values.map(|field| field.map(|(_, value)| value).filter(|value| value.get() != "null")))
}

/// Where in `line` a value stands that borrows from it.
fn span_in(line: &[u8], raw: Json<'_>) -> Range<usize> {
    let start = raw.get().as_ptr().addr() - line.as_ptr().addr();
    start..start + raw.get().len()
}

/// Whether a record says what was asked, not only how long it was.
pub(super) fn holds_prompt(object: &RawObject) -> bool {
    let is_filled = |name: &&str| object.get(name).is_some_and(|value| value.get().len() > 2);
    PROMPTS.iter().any(is_filled)
}

/// What to say of a line without a length; where the line is a prompt, it says what to do with it.
#[cold]
fn no_length(object: &RawObject) -> String {
    match PROMPTS.iter().find(|name| object.has(name)) {
        Some(name) => {
            format!("a prompt (\"{name}\") and no \"input_length\": make it a trace with trace-hash first")
        }
        None => match list_of_objects(object) {
            Some(name) => format!(
                "missing field \"input_length\"; if \"{name}\" holds the records, make lines of them: jq -c '.{name}[]'"
            ),
            None => "missing field \"input_length\"".to_owned(),
        },
    }
}

/// The names in a line, read into `record`, that only stand for others: where each one is, and the other.
pub(crate) fn synonyms(line: &[u8], record: &Record) -> Vec<(Range<usize>, &'static str)> {
    if !record.has_synonyms {
        return Vec::new();
    }
    let Ok(object) = RawObject::parse(line) else { return Vec::new() };
    let found = object.fields().filter_map(|(name, value)| {
        let names = NAMES.iter().find(|names| names[1..].contains(&name))?;
        // Behind the name come its quote and a colon, perhaps among blanks.
        let before = &line[..span_in(line, value).start];
        let colon = memchr::memrchr(b':', before)?;
        let end = memchr::memrchr(b'"', &before[..colon])?;
        let start = end.checked_sub(name.len()).filter(|&start| &line[start..end] == name.as_bytes())?;
        Some((start..end, names[0]))
    });
    found.collect()
}

/// The first field that is a list of objects.
fn list_of_objects<'a>(object: &'a RawObject) -> Option<&'a str> {
    let is_list = |text: &str| text[1..].trim_start().starts_with('{') && text.starts_with('[');
    object.fields().find(|(_, value)| is_list(value.get())).map(|(name, _)| name)
}

/// The value of a field of a line that is a valid record: the text of a string, else its JSON. `None`
/// if the field is absent or `null`. Of a field that stands twice the last one counts.
pub fn field(line: &[u8], name: &str) -> Option<String> {
    RawObject::parse(line).ok()?.text(name)
}

/// Where in a line that is a valid record the value of a field stands.
pub fn field_span(line: &[u8], name: &str) -> Option<Range<usize>> {
    Some(span_in(line, RawObject::parse(line).ok()?.raw(name)?))
}

/// The names of the fields of a line that is a valid record, but for those that are `known` or `null`.
pub(crate) fn other_fields(line: &[u8], known: &[&str]) -> Vec<String> {
    let Ok(object) = RawObject::parse(line) else { return Vec::new() };
    let others = object.fields().filter(|(name, value)| !known.contains(name) && value.get() != "null");
    others.map(|(name, _)| name.to_owned()).collect()
}

/// Gives the line that stands at the end of `out`, from `start` on, a number: in place of a field of that name,
/// or as its last one.
pub(crate) fn set_number(key: FieldKey, number: u64, start: usize, out: &mut Vec<u8>) {
    let line = out[start..].trim_ascii_end();
    // Only a line that has the field already has to be looked through.
    let name = key.name();
    let has_name = memchr::memmem::find(line, name.as_bytes()).is_some();
    let (place, text) = match has_name.then(|| field_span(line, name)).flatten() {
        Some(place) => (start + place.start..start + place.end, number.to_string()),
        None => {
            let end = start + line.len() - 1;
            (end..end, format!("{}{number}", key.separated()))
        }
    };
    out.splice(place, text.into_bytes());
}

/// The number in a field of a line that is a valid record; `None` if the field is absent or `null`.
///
/// # Errors
/// When the field is anything but a number.
pub fn number(line: &[u8], name: &str) -> Result<Option<f64>, Invalid> {
    let Some(place) = field_span(line, name) else { return Ok(None) };
    let text = String::from_utf8_lossy(&line[place]);
    match serde_json::from_str::<Option<f64>>(&text) {
        Ok(number) => Ok(number),
        Err(_) => Err(expected(name, "a number", &text)),
    }
}

/// What a line is that is no object.
fn kind(text: &str) -> std::borrow::Cow<'_, str> {
    match text.trim_start().bytes().next() {
        Some(b'[') => "an array".into(),
        Some(b'"') => "a string".into(),
        Some(b'0'..=b'9' | b'-') => "a number".into(),
        _ => cut(text.trim()),
    }
}

fn timestamp(text: &str) -> Result<f64, Invalid> {
    match text.parse::<f64>() {
        Ok(value) if value.abs() <= MAX_TIME => Ok(value),
        Ok(_) => Err(implausible("timestamp", text, "milliseconds")),
        Err(_) => Err(expected("timestamp", "a number of milliseconds", text)),
    }
}

fn block_size(text: &str) -> Result<u64, Invalid> {
    let size = text.parse().ok().filter(|size| (1..=MAX_BLOCK_SIZE).contains(size));
    size.ok_or_else(|| expected("block_size", "a number of tokens", text))
}

fn hash_ids(name: &str, text: &str, ids: &mut Vec<u64>) -> Result<(), Invalid> {
    if let Ok(parsed) = serde_json::from_str::<Vec<u64>>(text) {
        *ids = parsed;
        return Ok(());
    }
    let Ok(elements) = serde_json::from_str::<Vec<Json<'_>>>(text) else {
        return Err(expected(name, "a list of ids", text));
    };
    for element in elements.into_iter().map(Json::get) {
        let id = element.parse().map_err(|_| expected(name, "unsigned 64-bit integers", element))?;
        ids.push(id);
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
