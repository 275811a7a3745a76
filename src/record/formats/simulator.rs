//! Traces of kvcache-simulator, and Mooncake lines whose ids are strings.
//!
//! Source: the package kvcache-simulator 0.1.3 on `PyPI`, `trace.py`. The Mooncake format, but an id may
//! be a string; a string of digits is the same id as that number. Everything else stays.

use super::base::{DecodeObject, FileFacts, mooncake_fields, named_ids};
use crate::record::json::RawObject;
use crate::record::time::Unit;

pub(super) fn decoder(_: &FileFacts) -> DecodeObject {
    Box::new(|object, out| {
        out.push_numbered(&mooncake_fields(object, Unit::Milliseconds, named_ids)?);
        Ok(())
    })
}

pub(super) fn is_first(object: &RawObject) -> bool {
    object.get("hash_ids").is_some_and(|ids| ids.get().starts_with('[') && ids.get().contains('"'))
}
