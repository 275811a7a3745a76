//! Dynamo's agentic Mooncake, version 2.
//!
//! Source: the crate dynamo-data-gen 1.6.1, `src/mooncake.rs`. The first line is a header with `schema`
//! `dynamo.agentic_mooncake`, `version` and `block_size`; each further line is a request with
//! `play_id`, `input_length`, `output_length`, `hash_ids` (whose scope is the play) and
//! `not_before_ms`, which becomes the timestamp. The other fields stay.

use super::base::{DecodeObject, FileFacts};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::line::TraceLine;
use crate::record::surrogate::surrogate_id;
use crate::record::time::Unit;

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let file = file.index as u64;
    let mut block_size = None;
    Box::new(move |object, out| {
        if object.has("schema") {
            let version = object.text("version").unwrap_or_default();
            if version != "2" {
                let message = format!("expected version 2 of dynamo.agentic_mooncake, found {version}");
                return Err(Invalid::value(message));
            }
            block_size = object.block_size("block_size")?;
            return Ok(());
        }
        let play = object.required_text("play_id")?;
        // Every play has a range of ids of its own.
        let first = surrogate_id(&[b"play", &file.to_le_bytes(), play.as_bytes()]);
        let ids = |name: &str| -> Result<Option<_>, Invalid> {
            let ids = object.get(name).map(|_| object.ids(name)).transpose()?;
            Ok(ids.map(|ids| ids.into_iter().map(|id| first.wrapping_add(id)).collect()))
        };
        let name = |long, short| if object.has(short) { short } else { long };
        let request = TraceLine {
            time: object.time("not_before_ms", Unit::Milliseconds)?,
            input_length: object.length(name("input_length", "input_tokens"))?,
            output_length: object.optional_length(name("output_length", "output_tokens"))?,
            ids: ids("hash_ids")?,
            output_ids: ids("output_hash_ids")?,
            block_size,
            rest: object.rest(&["not_before_ms"]),
            ..TraceLine::default()
        };
        out.push(&request, true);
        Ok(())
    })
}

/// Whether the header is the first line, or a request of a piece without its header.
pub(super) fn is_first(object: &RawObject) -> bool {
    object.get("schema").is_some_and(|schema| schema.get().contains("agentic_mooncake"))
        || (object.has("play_id") && object.has("not_before_ms"))
}
