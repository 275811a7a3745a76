//! JSON that a model is shown as text, such as what a tool has answered, and what in it is no text.

use serde_json::Value;

use super::fields::{is_string, json, string};
use crate::record::json::RawObject;
use crate::record::raw::Json;

/// Where APIs say what kind of thing some data is.
pub(super) const MEDIA_TYPES: [&str; 5] = ["media_type", "mimeType", "mime_type", "mediaType", "format"];

/// JSON as Python writes it, however a log has spaced and escaped it; numbers stay as they stand.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) text: String,
    /// How many strings in it have stand-ins.
    pub(super) stand_ins: u64,
    is_sorted: bool,
}

impl Shown {
    /// A value as it is.
    pub(super) fn of(value: Json<'_>) -> Self {
        let mut shown = Self::default();
        shown.value(None, value);
        shown
    }

    /// An object without the fields `left_out`.
    pub(super) fn without(object: &RawObject<'_>, left_out: &[&str]) -> Self {
        let mut shown = Self::default();
        shown.object(object, left_out);
        shown
    }

    /// The same where clients write the fields in any order, and those that are `null` or not.
    pub(super) fn sorted(object: &RawObject<'_>, left_out: &[&str]) -> Self {
        let mut shown = Self { is_sorted: true, ..Self::default() };
        shown.object(object, left_out);
        shown
    }

    fn object(&mut self, object: &RawObject<'_>, left_out: &[&str]) {
        let is_shown = |(name, value): &(&str, Json<'_>)| {
            !(left_out.contains(name) || self.is_sorted && value.get() == "null")
        };
        let mut fields: Vec<_> = object.fields().filter(is_shown).collect();
        if self.is_sorted {
            fields.sort_by_key(|(name, _)| *name);
        }
        self.text.push('{');
        for (i, (name, value)) in fields.into_iter().enumerate() {
            self.text.push_str(if i > 0 { ", " } else { "" });
            self.text.push_str(&json(name));
            self.text.push_str(": ");
            self.value(Some((object, name)), value);
        }
        self.text.push('}');
    }

    fn value(&mut self, around: Option<(&RawObject<'_>, &str)>, value: Json<'_>) {
        if let Some(items) = value.items() {
            self.text.push('[');
            for (i, item) in items.into_iter().enumerate() {
                self.text.push_str(if i > 0 { ", " } else { "" });
                self.value(None, item);
            }
            self.text.push(']');
        } else if let Some(object) = RawObject::of_value(value) {
            self.object(&object, &[]);
        } else if let Some(stand_in) = data_stand_in(around, value) {
            self.stand_ins += 1;
            self.text.push_str(&json(&stand_in));
        } else if let Some(text) = Some(value).filter(|&value| is_string(value)).map(string) {
            self.text.push_str(&text.map_or_else(|_| value.get().to_owned(), |text| json(&text)));
        } else {
            self.text.push_str(value.get());
        }
    }
}

/// Marks of what to cache, which an agent moves from message to message: no part of what they stand in.
pub(super) const MARKS: [&str; 2] = ["cache_control", "cacheControl"];

/// Where reasoning is that cannot be read.
pub(super) const HIDDEN: [&str; 4] = ["redactedContent", "encrypted_content", "data", "signature"];

/// A text that stands for what is no text: equal for equal things only. Where reasoning is hidden, all else about it
/// may be there or not.
pub(crate) fn stand_in(kind: &str, raw: Json<'_>) -> String {
    let mut thing: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    if let Some(fields) = thing.as_object_mut() {
        let is_hidden = kind.starts_with("reasoning") && HIDDEN.iter().any(|name| fields.contains_key(*name));
        fields.retain(|name, value| {
            let name = name.as_str();
            !value.is_null() && !MARKS.contains(&name) && (!is_hidden || HIDDEN.contains(&name))
        });
    }
    let hash = blake3::hash(thing.to_string().as_bytes()).to_hex();
    format!("<|{kind} {}|>", &hash[..16])
}

/// What stands for a string that is an image, a PDF or the like in base64, equal for equal ones; none where the
/// string is text. `around` is the object that it is in, and its name there.
pub(crate) fn data_stand_in(around: Option<(&RawObject<'_>, &str)>, value: Json<'_>) -> Option<String> {
    /// Bytes in which a URL says what it holds.
    const HEAD: usize = 128;
    let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
    let head = &text.as_bytes()[..text.len().min(HEAD)];
    let is_url = text.starts_with("data:") && memchr::memmem::find(head, b";base64,").is_some();
    let is_data = is_url || around.is_some_and(|(object, name)| is_base64(object, name, text));
    is_data.then(|| stand_in("data", value))
}

/// Whether `text`, in the field `name` of an object, is base64: where the object says so, or where it is too long
/// for anything else.
fn is_base64(object: &RawObject<'_>, name: &str, text: &str) -> bool {
    const LONG: usize = 64;
    let is_type = |wanted| object.string("type").is_some_and(|kind| kind == wanted);
    let is_binary = || {
        let kind = object.first(&MEDIA_TYPES);
        kind.and_then(|(name, _)| object.string(name)).is_some_and(|kind| {
            let binary =
                ["image/", "audio/", "video/", "application/pdf", "png", "jpeg", "wav", "mp3", "pdf"];
            binary.iter().any(|binary| kind.starts_with(binary))
        })
    };
    let may_be = match name {
        "bytes" | "blob" | "b64_json" | "file_data" => text.len() >= LONG,
        "data" => text.len() >= LONG || is_type("base64") || is_binary(),
        "result" => is_type("image_generation_call"),
        _ => false,
    };
    // A slash may be escaped.
    may_be && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_\\".contains(&byte))
}
