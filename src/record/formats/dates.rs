//! Mooncake lines whose timestamps are dates: a trace that has been through a database or a data frame, which write
//! times as texts. Everything else stays.

use super::base::{DecodeObject, FileFacts, mooncake_fields_at};
use crate::record::json::RawObject;
use crate::record::time::Millis;

pub(super) fn decoder(_: &FileFacts) -> DecodeObject {
    Box::new(|object, out| {
        out.push_numbered(&mooncake_fields_at(object, object.date("timestamp")?, RawObject::ids)?);
        Ok(())
    })
}

pub(super) fn is_first(object: &RawObject) -> bool {
    let is_text =
        |object: &RawObject| object.get("timestamp").is_some_and(|time| time.get().starts_with('"'));
    let is_date = |text: String| Millis::parse_date(&text).is_some();
    object.has("input_length") && is_text(object) && object.text("timestamp").is_some_and(is_date)
}
