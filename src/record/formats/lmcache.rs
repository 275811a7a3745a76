//! The lookup log of `LMCache`.
//!
//! Source: `LMCache`'s documentation of its lookup hash log. One lookup per line: `timestamp` (Unix
//! seconds), `seq_len` (tokens), `chunk_size` (256 by default) and `chunk_hashes`, one per full chunk,
//! as hexadecimal strings (newer versions: of any length) or numbers. Hashes are of tokens alone, so those of
//! another `model_name` are of other blocks. There is no output length. `request_id`, `model_name` and all else
//! stay.

use super::base::{DecodeObject, FileFacts, named_ids};
use crate::record::json::RawObject;
use crate::record::line::TraceLine;
use crate::record::surrogate::{surrogate_child, surrogate_id};
use crate::record::time::Unit;

/// Tokens per chunk where neither the row nor the user says.
const CHUNK_SIZE: u64 = 256;

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let default = file.block_size.unwrap_or(CHUNK_SIZE);
    Box::new(move |object, out| {
        let input_length = object.length("seq_len")?;
        let block_size = object.block_size("chunk_size")?.unwrap_or(default);
        let mut ids = named_ids(object, "chunk_hashes")?;
        if let Some(model) = object.text("model_name") {
            let model = surrogate_id(&[b"model", model.as_bytes()]);
            ids.iter_mut().for_each(|id| *id = surrogate_child(model, *id));
        }
        let request = TraceLine {
            time: object.time("timestamp", Unit::Seconds)?,
            input_length,
            output_length: object.optional_length("output_length")?,
            ids: Some(ids.into()),
            block_size: Some(block_size),
            rest: object.rest(&["seq_len", "chunk_size", "chunk_hashes"]),
            ..TraceLine::default()
        };
        out.push(&request, false);
        Ok(())
    })
}

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("chunk_hashes")
}
