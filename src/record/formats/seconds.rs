//! Mooncake lines whose times are in seconds: traces for guidellm and for vLLM.
//!
//! Sources: guidellm 0.8, `data/deserializers/trace_common.py`; vLLM, `vllm bench serve --dataset-name
//! timed_trace`. Nothing in a line says so, so these formats are never found out. The block size is an
//! option of those programs. Everything but the timestamp stays.

use super::object::Object;
use super::{Decode, Invalid, Row, Rows, is_from_zero};
use crate::record::time::Unit;

pub(super) struct Decoder;

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let object = Object::parse(line)?;
        let ids = object.get("hash_ids").map(|_| object.ids("hash_ids")).transpose()?;
        rows.push(&Row {
            timestamp: object.time("timestamp", Unit::Seconds)?,
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
