//! Rounds of coding agents as published by `TraceLab`.
//!
//! Source: the loader of aiperf 0.13 (`_tracelab_convert.py`, for the corpus of uw-syfi). One round per
//! line: `session_id`, `input_tokens_total` = `prefix_tokens` + `newly_append_tokens`, `output_tokens`,
//! and `timing_events` with times of a clock. There are no hashes (see [`CachedPrefixes`]). The request was
//! sent with its last input event. Blocks have 64 tokens unless the user says otherwise. The other fields stay.
//! A table of the same rounds, for replay, is read too.

use std::collections::HashMap;

use serde::Deserialize;

use super::base::{DecodeLine, DecodeObject, FileFacts};
use super::csv;
use super::prefixes::{CachedPrefixes, Call};
use crate::error::Invalid;
use crate::record::json::{RawObject, expected, whole_tokens};
use crate::record::time::{Millis, Unit};

/// Events of a round that come before its request.
const INPUT_EVENTS: [&str; 2] = ["user_message", "tool_result"];

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    Box::new(move |object, out| {
        let call = Call {
            session: Some(object.required_text("session_id")?),
            time: submitted(object)?,
            input_length: object.length("input_tokens_total")?,
            output_length: object.optional_length("output_tokens")?,
            cached: Some(object.length("prefix_tokens")?),
            rest: object.rest(&["input_tokens_total", "output_tokens", "timing_events", "session_id"]),
            ..Call::default()
        };
        prefixes.push(&call, out)
    })
}

/// The columns of its table for replay, without that of times, which newer tables do not have.
pub(super) const REPLAY: [&str; 4] = ["round_idx", "prefix_len", "input_len", "output_len"];

/// Reads the table: `prefix_len` tokens of a prompt are kept and `input_len` are new. `arrival_time` (ms) is that
/// of the session; a later round is sent `tool_wait_after_ms` after the answer to the one before.
pub(super) fn replay_decoder(file: &FileFacts) -> DecodeLine {
    let prefixes = CachedPrefixes::new(file);
    // How long each session waits before its next round.
    let mut waits: HashMap<String, Option<Millis>> = HashMap::new();
    csv::decoder(&REPLAY, Vec::new(), move |row, out| {
        let session = row.get("session_id").or_else(|| row.get("id"));
        let session = session.ok_or_else(|| Invalid::missing("session_id"))?.to_owned();
        let tokens =
            |name: &'static str| whole_tokens(name, row.get(name).ok_or_else(|| Invalid::missing(name))?);
        let time = |name: &str| {
            let parse = |text| {
                let number = Millis::parse(text, Unit::Milliseconds);
                number.ok_or_else(|| expected(name, "a number of milliseconds", text))
            };
            row.get(name).map(parse).transpose()
        };
        let wait = waits.insert(session.clone(), time("tool_wait_after_ms")?);
        let cached = tokens("prefix_len")?;
        let call = Call {
            time: if wait.is_none() { time("arrival_time")? } else { None },
            delay: wait.flatten(),
            session: Some(session),
            input_length: cached + tokens("input_len")?,
            output_length: Some(tokens("output_len")?),
            cached: Some(cached),
            ..Call::default()
        };
        prefixes.push(&call, out)
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
