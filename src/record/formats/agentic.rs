//! Dynamo's agentic Mooncake, version 2.
//!
//! Source: the crate dynamo-data-gen 1.6.1, `src/mooncake.rs`. The first line is a header with `schema`
//! `dynamo.agentic_mooncake`, `version` and `block_size`; each further line is a request with
//! `play_id`, `input_length`, `output_length`, `hash_ids` (whose scope is the play) and
//! `not_before_ms`, which becomes the timestamp. The other fields stay.

use super::object::Object;
use super::{Decode, FileFacts, Invalid, Row, Rows, invalid, mint};
use crate::record::time::Unit;

pub(super) struct Decoder {
    file: u64,
    block_size: Option<u64>,
}

impl Decoder {
    pub(super) fn new(file: &FileFacts) -> Self {
        Self { file: file.index as u64, block_size: None }
    }
}

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let object = Object::parse(line)?;
        if object.get("schema").is_some() {
            let version = object.text("version").unwrap_or_default();
            if version != "2" {
                return Err(invalid(format!(
                    "expected version 2 of dynamo.agentic_mooncake, found {version}"
                )));
            }
            self.block_size = object.block_size("block_size")?;
            return Ok(());
        }
        let ids = object.get("hash_ids").map(|_| object.ids("hash_ids")).transpose()?;
        let play = object.text("play_id").ok_or_else(|| invalid("missing field \"play_id\""))?;
        let scope = [&self.file.to_le_bytes(), play.as_bytes()];
        let minted = |ids: Vec<u64>| {
            ids.iter().map(|id| mint(&[b"play", scope[0], scope[1], &id.to_le_bytes()])).collect()
        };
        rows.push(&Row {
            timestamp: object.time("not_before_ms", Unit::Milliseconds)?,
            input_length: object.length(input_name(&object))?,
            output_length: object.optional_length(output_name(&object))?,
            ids: ids.map(minted),
            block_size: self.block_size,
            from_zero: true,
            rest: object.rest(&["not_before_ms"]),
        });
        Ok(())
    }
}

/// The name in use of the two that the format has.
fn input_name(object: &Object) -> &'static str {
    if object.get("input_tokens").is_some() { "input_tokens" } else { "input_length" }
}

fn output_name(object: &Object) -> &'static str {
    if object.get("output_tokens").is_some() { "output_tokens" } else { "output_length" }
}
