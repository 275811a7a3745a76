//! Workloads of `AIBrix`.
//!
//! Source: github.com/vllm-project/aibrix, benchmarks/generator/workload-generator (README). A line per moment:
//! `timestamp` (milliseconds) and the `requests` sent then, each with `prompt_length` (older: `Prompt Length`),
//! `output_length` and `session_id`. Nothing of what was said is kept: with it, trace-hash makes a trace.

use super::base::{DecodeObject, FileFacts};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::line::TraceLine;
use crate::record::time::Unit;

pub(super) fn is_first(object: &RawObject) -> bool {
    let names = ["prompt_length\"", "Prompt Length\""];
    object.has("timestamp")
        && object.get("requests").is_some_and(|list| names.iter().any(|name| list.get().contains(name)))
}

pub(super) fn decoder(_: &FileFacts) -> DecodeObject {
    Box::new(|object, out| {
        let time = object.time("timestamp", Unit::Milliseconds)?;
        for value in object.list("requests")? {
            let inner = RawObject::of("requests", value)?;
            let name = |new, old| if inner.has(old) { old } else { new };
            let session = inner.text("session_id");
            let model = inner.get("model").map(|model| ("model", model.get()));
            let request = TraceLine {
                time,
                input_length: inner.optional_length(name("prompt_length", "Prompt Length"))?.ok_or_else(
                    || Invalid::value("a prompt without its length: make it a trace with trace-hash first"),
                )?,
                output_length: inner.optional_length(name("output_length", "Output Length"))?,
                session: session.as_deref(),
                rest: model.into_iter().collect(),
                ..TraceLine::default()
            };
            out.push(&request, false);
        }
        Ok(())
    })
}
