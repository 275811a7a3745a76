//! Traces of kvcache-simulator, and Mooncake lines whose ids are strings.
//!
//! Source: the package kvcache-simulator 0.1.3 on `PyPI`, `trace.py`. The Mooncake format, but an id may
//! be a string; a string of digits is the same id as that number. Everything else stays.

use super::lmcache::id_of;
use super::object::Object;
use super::{Decode, Invalid, Row, Rows, is_from_zero};
use crate::record::time::Unit;

pub(super) struct Decoder;

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let object = Object::parse(line)?;
        let mut ids = None;
        if object.get("hash_ids").is_some() {
            let list = object.list("hash_ids")?;
            ids = Some(list.into_iter().map(|id| id_of("hash_ids", id)).collect::<Result<Vec<_>, _>>()?);
        }
        rows.push(&Row {
            timestamp: object.time("timestamp", Unit::Milliseconds)?,
            input_length: object.length("input_length")?,
            output_length: object.optional_length("output_length")?,
            from_zero: ids.as_deref().is_some_and(is_from_zero),
            ids,
            block_size: object.block_size("block_size")?,
            rest: object.rest(&[]),
        });
        Ok(())
    }
}
