//! A JSON object as its fields, each with its text as it stood.

use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Invalid;
use crate::record::time::{Millis, Unit};
use crate::record::{general, json_reason, text_of};

use super::invalid;

/// The fields of a line in their order.
pub(super) struct Object<'a> {
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Invalid> {
        Self::of_text(text_of(line)?).map_err(|e| Invalid::malformed(json_reason(&e)))
    }

    /// The object that is the value of a field.
    pub(super) fn of(name: &str, value: &'a RawValue) -> Result<Self, Invalid> {
        Self::of_text(value.get()).map_err(|_| invalid(format!("{name}: expected a JSON object")))
    }

    fn of_text(text: &'a str) -> serde_json::Result<Self> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        let mut parser = serde_json::Deserializer::from_str(text);
        let fields = serde::Deserializer::deserialize_map(&mut parser, Fields)?;
        parser.end()?;
        Ok(Self { fields })
    }

    /// The value of a field; `null` counts as absent, and of equal names the last one.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let field = self.fields.iter().rev().find(|(field, _)| field == name);
        field.map(|&(_, value)| value).filter(|value| value.get() != "null")
    }

    fn required(&self, name: &str) -> Result<&'a RawValue, Invalid> {
        self.get(name).ok_or_else(|| Invalid::missing(name))
    }

    /// A number of tokens that must be there.
    pub(super) fn length(&self, name: &str) -> Result<u64, Invalid> {
        general::length(name, self.required(name)?).map_err(invalid)
    }

    /// A number of tokens, if it is there.
    pub(super) fn optional_length(&self, name: &str) -> Result<Option<u64>, Invalid> {
        self.get(name).map(|value| general::length(name, value).map_err(invalid)).transpose()
    }

    /// Tokens per block, if they are stated.
    pub(super) fn block_size(&self, name: &str) -> Result<Option<u64>, Invalid> {
        match self.optional_length(name)? {
            Some(0) => Err(invalid(format!("{name}: expected a number of tokens, found 0"))),
            size => Ok(size),
        }
    }

    /// A time, if it is there.
    pub(super) fn time(&self, name: &str, unit: Unit) -> Result<Option<Millis>, Invalid> {
        let time = |value: &RawValue| {
            let wrong = || invalid(format!("{name}: expected a number, found {}", value.get()));
            Millis::parse(value.get(), unit).ok_or_else(wrong)
        };
        self.get(name).map(time).transpose()
    }

    /// The text of a string, or the JSON of anything else.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let raw = self.get(name)?.get();
        Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
    }

    /// A list that must be there.
    pub(super) fn list(&self, name: &str) -> Result<Vec<&'a RawValue>, Invalid> {
        let value = self.required(name)?;
        serde_json::from_str(value.get()).map_err(|_| invalid(format!("{name}: expected a list")))
    }

    /// A list of whole numbers that must be there; negative ones as their 64 bits.
    pub(super) fn ids(&self, name: &str) -> Result<Vec<u64>, Invalid> {
        if let Ok(ids) = serde_json::from_str(self.required(name)?.get()) {
            return Ok(ids);
        }
        let number = |value: &RawValue| {
            let text = value.get();
            let signed = || text.parse::<i64>().map(i64::cast_unsigned);
            text.parse::<u64>()
                .or_else(|_| signed())
                .map_err(|_| invalid(format!("{name}: expected 64-bit integers, found {text}")))
        };
        self.list(name)?.into_iter().map(number).collect()
    }

    /// All fields but those named, as they stood.
    pub(super) fn rest(&self, used: &[&str]) -> Vec<(&str, &'a str)> {
        let unused = self.fields.iter().filter(|(name, _)| !used.contains(&name.as_str()));
        unused.map(|(name, value)| (name.as_str(), value.get())).collect()
    }
}
