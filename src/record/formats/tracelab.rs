//! Rounds of coding agents as published by `TraceLab`.
//!
//! Source: the loader of aiperf 0.13 (`_tracelab_convert.py`, for the corpus of uw-syfi). One round per
//! line: `session_id`, `input_tokens_total` = `prefix_tokens` + `newly_append_tokens`, `output_tokens`,
//! and `timing_events` with times of a clock. There are no hashes: a round keeps the blocks of its
//! session's previous round that lie wholly in its prefix, and all its other blocks are new. So blocks
//! shared by two sessions (a system prompt) count as different, and a round must follow the one before
//! it. The request was sent with its last input event. Blocks have 64 tokens unless the user says
//! otherwise. The other fields stay.

use std::collections::HashMap;

use serde::Deserialize;

use super::base::{DecodeObject, FileFacts, PartialBlocks};
use crate::error::Invalid;
use crate::record::json::{RawObject, implausible};
use crate::record::line::TraceLine;
use crate::record::time::{Millis, Unit};
use crate::record::trace_record::MAX_NEW_BLOCKS;

/// Tokens per block where the user does not say.
const BLOCK_SIZE: u64 = 64;

/// Events of a round that come before its request.
const INPUT_EVENTS: [&str; 2] = ["user_message", "tool_result"];

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let block_size = file.block_size.unwrap_or(BLOCK_SIZE);
    let mut partial = PartialBlocks::new(file);
    // Ids of the full blocks of each session's last round.
    let mut sessions: HashMap<String, Vec<u64>> = HashMap::new();
    Box::new(move |object, out| {
        let session = object.required_text("session_id")?;
        let input_length = object.length("input_tokens_total")?;
        let prefix = object.length("prefix_tokens")?.min(input_length);
        let time = submitted(object)?;
        let output_length = object.optional_length("output_tokens")?;
        if input_length / block_size > MAX_NEW_BLOCKS {
            return Err(implausible("input_tokens_total", &input_length.to_string(), "tokens"));
        }
        let full = sessions.entry(session).or_default();
        full.truncate((prefix / block_size) as usize);
        while (full.len() as u64) < input_length / block_size {
            full.push(partial.fresh());
        }
        let mut ids = full.clone();
        partial.complete(&mut ids, input_length, block_size);
        let request = TraceLine {
            time,
            input_length,
            output_length,
            ids: Some(ids.into()),
            block_size: Some(block_size),
            rest: object.rest(&["input_tokens_total", "timing_events"]),
            ..TraceLine::default()
        };
        out.push(&request, true);
        Ok(())
    })
}

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("prefix_tokens") && object.has("input_tokens_total")
}

/// When the request was sent: with the last of its inputs, or with the first event at all.
fn submitted(object: &RawObject) -> Result<Option<Millis>, Invalid> {
    #[derive(Deserialize)]
    struct TimingEvent {
        event_type: Option<String>,
        timestamp: Option<serde_json::Value>,
    }
    let Some(raw) = object.get("timing_events") else { return Ok(None) };
    let wrong = || Invalid::value("timing_events: expected a list of events with their times");
    let events: Vec<TimingEvent> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let mut inputs = Vec::new();
    let mut others = Vec::new();
    for event in events {
        let time = match &event.timestamp {
            None | Some(serde_json::Value::Null) => continue,
            Some(serde_json::Value::String(date)) => Millis::parse_date(date),
            Some(number) => Millis::parse(&number.to_string(), Unit::Seconds),
        };
        let time = time.ok_or_else(wrong)?;
        let is_input = event.event_type.is_some_and(|kind| INPUT_EVENTS.contains(&kind.as_str()));
        if is_input { inputs.push(time) } else { others.push(time) }
    }
    Ok(inputs.into_iter().max().or(others.into_iter().min()))
}
