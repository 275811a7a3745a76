//! Dynamo's request trace, `dynamo.request.trace.v1`.
//!
//! Source: the crate dynamo-data-gen 1.6.1, `src/request_trace/load.rs`. One event per line, perhaps
//! wrapped as `{"event": {...}}`; `request_end` events are requests, all others are passed over.
//! `request.replay` holds the block size, the prompt's length and one 64-bit sequence hash per block,
//! the last one perhaps partial; a request without it is known by its lengths only. Times are those of
//! a clock, in milliseconds. The fields of `request` stay, and the `session_id` of `agent_context`.

use super::base::{DecodeObject, FileFacts};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::line::TraceLine;
use crate::record::time::Unit;

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("event_time_unix_ms")
        || object.get("event").is_some_and(|event| event.get().contains("event_time_unix_ms"))
}

/// Fields of `request` that become fields of the record.
const USED: [&str; 4] = ["replay", "input_tokens", "output_tokens", "request_received_ms"];

pub(super) fn decoder(_: &FileFacts) -> DecodeObject {
    Box::new(|object, out| {
        let inner = object.get("event").map(|inner| RawObject::of("event", inner)).transpose()?;
        let event = inner.as_ref().unwrap_or(object);
        if event.text("event_type").as_deref() != Some("request_end") {
            return Ok(());
        }
        let wanted = event.get("request").ok_or_else(|| Invalid::value("request_end without a request"))?;
        let request = RawObject::of("request", wanted)?;
        let context =
            event.get("agent_context").map(|raw| RawObject::of("agent_context", raw)).transpose()?;
        let received = request.time("request_received_ms", Unit::Milliseconds)?;
        let mut line = TraceLine {
            time: received.or(event.time("event_time_unix_ms", Unit::Milliseconds)?),
            output_length: request.optional_length("output_tokens")?,
            rest: request.rest(&USED),
            ..TraceLine::default()
        };
        if let Some(session) = context.as_ref().and_then(|context| context.get("session_id")) {
            line.rest.push(("session_id", session.get()));
        }
        match request.get("replay") {
            Some(replay) => {
                let replay = RawObject::of("replay", replay)?;
                line.input_length = replay.length("input_length")?;
                line.block_size = replay.block_size("trace_block_size")?;
                line.ids = Some(replay.ids("input_sequence_hashes")?.into());
            }
            None => line.input_length = request.length("input_tokens")?,
        }
        out.push(&line, false);
        Ok(())
    })
}
