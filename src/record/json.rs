//! A JSON object as its raw fields, and the values that traces have in them.
//!
//! Only the fields in use are parsed further, so numbers and fields that are handed on stay exactly as
//! they stood. Of a field that stands twice the last one counts, as in Python and jq, and a field that is
//! `null` counts as absent.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::error::Invalid;
use crate::record::raw::Json;
use crate::record::time::{Millis, Unit};
use crate::record::trace_record::MAX_LENGTH;

/// The raw fields of an object, in their order.
pub(crate) struct RawObject<'a> {
    fields: Vec<(FieldName<'a>, Json<'a>)>,
    /// A bit for each name (see [`bit`]): most names that are asked for are not there.
    names: u64,
}

/// One of 64 bits for a name.
fn bit(name: &str) -> u64 {
    let ends = name.bytes().next().zip(name.bytes().last());
    let ends = ends.map_or(0, |(first, last)| usize::from(first) * 5 + usize::from(last) * 11);
    1 << ((ends + name.len()) % 64)
}

/// A field's name; borrowed unless it contains escapes.
#[derive(Deserialize)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(FieldName<'de>, Json<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(RawObject::new)
    }
}

impl<'a> RawObject<'a> {
    /// The object that a line is.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, Invalid> {
        serde_json::from_str(text_of(line)?).map_err(|e| Invalid::malformed(json_reason(&e)))
    }

    fn new(fields: Vec<(FieldName<'a>, Json<'a>)>) -> Self {
        let names = fields.iter().fold(0, |names, (name, _)| names | bit(&name.0));
        Self { fields, names }
    }

    /// The object that `value` is.
    pub(crate) fn of_value(value: Json<'a>) -> Option<Self> {
        Self::of_members(value.members()?)
    }

    /// An object of these fields, each with the text of its name.
    pub(crate) fn of_members(members: Vec<(&'a str, Json<'a>)>) -> Option<Self> {
        let name = |text: &'a str| match text.get(1..text.len() - 1).filter(|inner| !inner.contains('\\')) {
            Some(inner) => Some(Cow::Borrowed(inner)),
            None => serde_json::from_str(text).ok().map(Cow::Owned),
        };
        let fields = members.into_iter().map(|(text, value)| Some((FieldName(name(text)?), value)));
        fields.collect::<Option<_>>().map(Self::new)
    }

    /// An object of these fields.
    pub(crate) fn of_fields(fields: Vec<(Cow<'a, str>, Json<'a>)>) -> Self {
        Self::new(fields.into_iter().map(|(name, value)| (FieldName(name), value)).collect())
    }

    /// The object that is the value of the field `name`.
    pub(crate) fn of(name: &str, value: Json<'a>) -> Result<Self, Invalid> {
        serde_json::from_str(value.get())
            .map_err(|_| Invalid::value(format!("{name}: expected a JSON object")))
    }

    /// All fields in their order, `null` and repeated ones included.
    pub(crate) fn fields(&self) -> impl DoubleEndedIterator<Item = (&str, Json<'a>)> {
        self.fields.iter().map(|(name, value)| (&*name.0, *value))
    }

    /// The value of a field, even if it is `null`.
    pub(crate) fn raw(&self, name: &str) -> Option<Json<'a>> {
        if self.names & bit(name) == 0 {
            return None;
        }
        self.fields().rev().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The value of a field that is present and not `null`.
    pub(crate) fn get(&self, name: &str) -> Option<Json<'a>> {
        self.raw(name).filter(|value| value.get() != "null")
    }

    /// Whether a field is present and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn required(&self, name: &str) -> Result<Json<'a>, Invalid> {
        self.get(name).ok_or_else(|| Invalid::missing(name))
    }

    /// A number of tokens that must be there.
    pub(crate) fn length(&self, name: &str) -> Result<u64, Invalid> {
        whole_tokens(name, self.required(name)?.get())
    }

    /// A number of tokens, if it is there.
    pub(crate) fn optional_length(&self, name: &str) -> Result<Option<u64>, Invalid> {
        self.get(name).map(|value| whole_tokens(name, value.get())).transpose()
    }

    /// Tokens per block, if they are stated.
    pub(crate) fn block_size(&self, name: &str) -> Result<Option<u64>, Invalid> {
        match self.optional_length(name)? {
            Some(0) => Err(expected(name, "a number of tokens", "0")),
            size => Ok(size),
        }
    }

    /// A time, if it is there.
    pub(crate) fn time(&self, name: &str, unit: Unit) -> Result<Option<Millis>, Invalid> {
        let time = |text: &str| Millis::parse(text, unit).ok_or_else(|| expected(name, "a number", text));
        self.get(name).map(|value| time(value.get())).transpose()
    }

    /// A date, if it is there.
    pub(crate) fn date(&self, name: &str) -> Result<Option<Millis>, Invalid> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let date = Millis::parse_date(&text).ok_or_else(|| expected(name, "a date and time", &text))?;
        Ok(Some(date))
    }

    /// The text of a string, or the JSON of anything else.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let raw = self.get(name)?.get();
        Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
    }

    /// The same of a field that must be there.
    pub(crate) fn required_text(&self, name: &str) -> Result<String, Invalid> {
        self.text(name).ok_or_else(|| Invalid::missing(name))
    }

    /// A list that must be there.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<Json<'a>>, Invalid> {
        serde_json::from_str(self.required(name)?.get())
            .map_err(|_| Invalid::value(format!("{name}: expected a list")))
    }

    /// A list of whole numbers that must be there; negative ones as their 64 bits.
    pub(crate) fn ids(&self, name: &str) -> Result<Vec<u64>, Invalid> {
        if let Ok(ids) = serde_json::from_str(self.required(name)?.get()) {
            return Ok(ids);
        }
        let id = |value: Json<'_>| {
            id_bits(value.get()).ok_or_else(|| expected(name, "64-bit integers", value.get()))
        };
        self.list(name)?.into_iter().map(id).collect()
    }

    /// All fields but those named, as they stood.
    pub(crate) fn rest(&self, used: &[&str]) -> Vec<(&str, &'a str)> {
        let unused = self.fields().filter(|(name, _)| !used.contains(name));
        unused.map(|(name, value)| (name, value.get())).collect()
    }
}

/// An integer of 64 bits; a negative one as its bits.
pub(crate) fn id_bits(text: &str) -> Option<u64> {
    text.parse().or_else(|_| text.parse().map(i64::cast_unsigned)).ok()
}

/// A whole number; also `52.0`, as pandas writes those of a column that has gaps.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    let whole = |value: &f64| *value >= 0.0 && *value <= MAX_LENGTH as f64 && value.fract() == 0.0;
    // Below 2^53 a double without a fraction is exact.
    let from_float = || text.parse().ok().filter(whole).map(|value| value as u64);
    text.parse().ok().or_else(from_float)
}

/// A number of tokens.
pub(crate) fn whole_tokens(name: &str, text: &str) -> Result<u64, Invalid> {
    match whole_number(text) {
        Some(n) if n <= MAX_LENGTH => Ok(n),
        Some(_) => Err(implausible(name, text, "tokens")),
        None => Err(expected(name, "a whole number of tokens", text)),
    }
}

/// "NAME: expected WHAT, found FOUND".
pub(crate) fn expected(name: &str, what: &str, found: &str) -> Invalid {
    Invalid::value(format!("{name}: expected {what}, found {}", cut(found)))
}

/// "NAME: FOUND is not a plausible number of UNITS".
pub(crate) fn implausible(name: &str, found: &str, units: &str) -> Invalid {
    Invalid::value(format!("{name}: {} is not a plausible number of {units}", cut(found)))
}

/// Text for a message, cut to a readable length.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// The line as text.
pub(crate) fn text_of(line: &[u8]) -> Result<&str, Invalid> {
    let invalid = |e: std::str::Utf8Error| format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1);
    std::str::from_utf8(line).map_err(|e| Invalid::malformed(invalid(e)))
}

/// The parser's reason with the column; the reader knows the line by its own number.
pub(crate) fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    let kind = if error.is_data() { "" } else { "not valid JSON: " };
    let place = if error.column() == 0 { String::new() } else { format!(" at column {}", error.column()) };
    format!("{kind}{reason}{place}")
}
