//! The lookup log of `LMCache`.
//!
//! Source: `LMCache`'s documentation of its lookup hash log. One lookup per line: `timestamp` (Unix
//! seconds), `seq_len` (tokens), `chunk_size` (256 by default) and `chunk_hashes`, one per full chunk,
//! as hexadecimal strings (newer versions: of any length) or numbers. There is no output length.
//! `request_id`, `model_name` and all else stay.

use serde_json::value::RawValue;

use super::object::Object;
use super::{Decode, FileFacts, Invalid, Row, Rows, Tails, invalid, mint};
use crate::record::time::Unit;

/// Tokens per chunk where neither the row nor the user says.
const CHUNK_SIZE: u64 = 256;

pub(super) struct Decoder {
    block_size: u64,
    tails: Tails,
}

impl Decoder {
    pub(super) fn new(file: &FileFacts) -> Self {
        Self { block_size: file.block_size.unwrap_or(CHUNK_SIZE), tails: Tails::new(file) }
    }
}

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let object = Object::parse(line)?;
        let input_length = object.length("seq_len")?;
        let block_size = object.block_size("chunk_size")?.unwrap_or(self.block_size);
        let mut ids: Vec<u64> = object
            .list("chunk_hashes")?
            .into_iter()
            .map(|hash| id_of("chunk_hashes", hash))
            .collect::<Result<_, _>>()?;
        self.tails.complete(&mut ids, input_length, block_size);
        rows.push(&Row {
            timestamp: object.time("timestamp", Unit::Seconds)?,
            input_length,
            output_length: object.optional_length("output_length")?,
            ids: Some(ids),
            block_size: Some(block_size),
            from_zero: false,
            rest: object.rest(&["seq_len", "chunk_size", "chunk_hashes"]),
        });
        Ok(())
    }
}

/// The id of a block that a number or a string names; a string that is a number is that number.
pub(super) fn id_of(name: &str, value: &RawValue) -> Result<u64, Invalid> {
    let raw = value.get();
    let wrong = || invalid(format!("{name}: expected ids as numbers or strings, found {raw}"));
    if !raw.starts_with('"') {
        let signed = || raw.parse::<i64>().map(i64::cast_unsigned);
        return raw.parse().or_else(|_| signed()).map_err(|_| wrong());
    }
    let text: String = serde_json::from_str(raw).map_err(|_| wrong())?;
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    Ok(number.unwrap_or_else(|| mint(&[b"id", text.as_bytes()])))
}
