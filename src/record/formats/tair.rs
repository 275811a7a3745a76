//! The trace of the optimizer of Tair's KV cache manager.
//!
//! Source: github.com/alibaba/tair-kvcache, `kv_cache_manager/optimizer` (the schema of its traces). One
//! access per line: `timestamp_ns` (older: `timestamp_us`) of a clock, `keys` (one signed 64-bit id per
//! full block) and `input_len`, or the list of `tokens`. Writes are passed over: the read before them
//! is the request. The block size is in the optimizer's configuration: give it with --block-size.
//! There is no output length. `instance_id`, `trace_id` and all else stay.

use super::object::Object;
use super::{Decode, FileFacts, Invalid, Row, Rows, Tails, invalid};
use crate::record::DEFAULT_BLOCK_SIZE;
use crate::record::time::Unit;

pub(super) struct Decoder {
    block_size: u64,
    tails: Tails,
}

impl Decoder {
    pub(super) fn new(file: &FileFacts) -> Self {
        Self { block_size: file.block_size.unwrap_or(DEFAULT_BLOCK_SIZE), tails: Tails::new(file) }
    }
}

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let object = Object::parse(line)?;
        let kind = object.text("type").unwrap_or_default().to_ascii_lowercase();
        if kind.contains("write") {
            return Ok(());
        }
        let tokens = object.get("tokens").map(|_| object.list("tokens")).transpose()?;
        let stated = object.optional_length("input_len")?;
        let counted = tokens.map(|tokens| tokens.len() as u64).filter(|&n| n > 0);
        let input_length = stated
            .or(counted)
            .ok_or_else(|| invalid("expected \"input_len\" or \"tokens\", found neither"))?;
        let nanoseconds = object.time("timestamp_ns", Unit::Nanoseconds)?;
        let mut ids = object.ids("keys")?;
        self.tails.complete(&mut ids, input_length, self.block_size);
        rows.push(&Row {
            timestamp: nanoseconds.or(object.time("timestamp_us", Unit::Microseconds)?),
            input_length,
            ids: Some(ids),
            rest: object.rest(&["timestamp_ns", "timestamp_us", "keys", "input_len", "tokens"]),
            ..Row::default()
        });
        Ok(())
    }
}
