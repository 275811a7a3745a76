//! The trace of the optimizer of Tair's KV cache manager.
//!
//! Source: github.com/alibaba/tair-kvcache, `kv_cache_manager/optimizer` (the schema of its traces). One
//! access per line: `timestamp_ns` (older: `timestamp_us`) of a clock, `keys` (one signed 64-bit id per
//! full block) and `input_len`, or the list of `tokens`. Writes are passed over: the read before them
//! is the request. The block size is in the optimizer's configuration: give it with --block-size.
//! There is no output length. `instance_id`, `trace_id` and all else stay.

use super::base::{DecodeObject, FileFacts};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::line::TraceLine;
use crate::record::time::Unit;

pub(super) fn decoder(_: &FileFacts) -> DecodeObject {
    Box::new(move |object, out| {
        let kind = object.text("type").unwrap_or_default().to_ascii_lowercase();
        if kind.contains("write") || kind.contains("finish") {
            return Ok(());
        }
        let tokens = object.get("tokens").map(|_| object.list("tokens")).transpose()?;
        let stated = object.optional_length("input_len")?;
        let counted = tokens.map(|tokens| tokens.len() as u64).filter(|&n| n > 0);
        let input_length = stated
            .or(counted)
            .ok_or_else(|| Invalid::value("expected \"input_len\" or \"tokens\", found neither"))?;
        let nanoseconds = object.time("timestamp_ns", Unit::Nanoseconds)?;
        let request = TraceLine {
            time: nanoseconds.or(object.time("timestamp_us", Unit::Microseconds)?),
            input_length,
            output_length: object.optional_length("output_len")?,
            ids: Some(object.ids("keys")?.into()),
            rest: object.rest(&["timestamp_ns", "timestamp_us", "keys", "input_len", "output_len", "tokens"]),
            ..TraceLine::default()
        };
        out.push(&request, false);
        Ok(())
    })
}

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("keys") && ["timestamp_ns", "timestamp_us", "instance_id"].iter().any(|name| object.has(name))
}
