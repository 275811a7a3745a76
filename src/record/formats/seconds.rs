//! Mooncake lines whose times are in seconds: traces for guidellm and for vLLM.
//!
//! Sources: guidellm 0.8, `data/deserializers/trace_common.py`; vLLM, `vllm bench serve --dataset-name
//! timed_trace`. Nothing in a line says so, so these formats are not detected automatically. The block size
//! is an option of those programs. Everything but the timestamp stays.

use super::base::{DecodeObject, FileFacts, mooncake_fields};
use crate::record::json::RawObject;
use crate::record::time::Unit;

pub(super) fn decoder(_: &FileFacts) -> DecodeObject {
    Box::new(|object, out| {
        out.push_numbered(&mooncake_fields(object, Unit::Seconds, RawObject::ids)?);
        Ok(())
    })
}
