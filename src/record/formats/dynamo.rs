//! Dynamo's request trace, `dynamo.request.trace.v1`.
//!
//! Source: the crate dynamo-data-gen 1.6.1, `src/request_trace/load.rs`. One event per line, perhaps
//! wrapped as `{"event": {...}}`; `request_end` events are requests, all others are passed over.
//! `request.replay` holds the block size, the prompt's length and one 64-bit sequence hash per block,
//! the last one perhaps partial; a request without it is known by its lengths only. Times are those of
//! a clock, in milliseconds. The fields of `request` stay, and the `session_id` of `agent_context`.

use super::object::Object;
use super::{Decode, Invalid, Row, Rows};
use crate::record::time::Unit;

pub(super) struct Decoder;

/// Fields of `request` that become fields of the record.
const USED: [&str; 4] = ["replay", "input_tokens", "output_tokens", "request_received_ms"];

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let mut event = Object::parse(line)?;
        if let Some(inner) = event.get("event") {
            event = Object::of("event", inner)?;
        }
        if event.text("event_type").as_deref() != Some("request_end") {
            return Ok(());
        }
        let wanted = event.get("request").ok_or_else(|| super::invalid("request_end without a request"))?;
        let request = Object::of("request", wanted)?;
        let context = event.get("agent_context").map(|raw| Object::of("agent_context", raw)).transpose()?;
        let received = request.time("request_received_ms", Unit::Milliseconds)?;
        let mut row = Row {
            timestamp: received.or(event.time("event_time_unix_ms", Unit::Milliseconds)?),
            output_length: request.optional_length("output_tokens")?,
            rest: request.rest(&USED),
            ..Row::default()
        };
        if let Some(session) = context.as_ref().and_then(|context| context.get("session_id")) {
            row.rest.push(("session_id", session.get()));
        }
        match request.get("replay") {
            Some(replay) => {
                let replay = Object::of("replay", replay)?;
                row.input_length = replay.length("input_length")?;
                row.block_size = replay.block_size("trace_block_size")?;
                row.ids = Some(replay.ids("input_sequence_hashes")?);
            }
            None => row.input_length = request.length("input_tokens")?,
        }
        rows.push(&row);
        Ok(())
    }
}
