//! What aiperf exports of a run: `profile_export.jsonl` and `profile_export_raw.jsonl`.
//!
//! Source: aiperf 0.13, `common/models/record_models.py` (`MetricRecordInfo`, `RawRecordInfo`). A request per
//! line: `metadata` (`conversation_id`, `turn_index`, `request_start_ns` of a clock), and `metrics` with
//! `input_sequence_length` and `output_sequence_length`, or in the raw export the `responses`, of which the
//! last reports its usage where the server was asked for it. A request that failed has no lengths and is
//! passed over.

use super::base::{DecodeObject, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::prompt::{Reported, reported, whole};
use crate::record::raw::Json;
use crate::record::time::Unit;

pub(super) fn is_first(object: &RawObject) -> bool {
    object.get("metadata").is_some_and(|data| data.get().contains("\"request_start_ns\""))
        && (object.has("metrics") || object.has("responses"))
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    Box::new(move |object, out| {
        let metadata = object.get("metadata").ok_or_else(|| Invalid::missing("metadata"))?;
        let metadata = RawObject::of("metadata", metadata)?;
        let found = match object.get("metrics") {
            Some(metrics) => of_metrics(&RawObject::of("metrics", metrics)?),
            None => of_responses(object)?,
        };
        let Some(input_length) = found.input else {
            if object.has("error") || object.has("metrics") {
                out.pass_over();
                return Ok(());
            }
            return Err(Invalid::value(
                "the server has not reported the length of the prompt: make it a trace with trace-hash first",
            ));
        };
        let turn = metadata.get("turn_index").map(|turn| ("turn", turn.get()));
        let call = Call {
            session: metadata.text("conversation_id"),
            time: metadata.time("request_start_ns", Unit::Nanoseconds)?,
            input_length,
            output_length: found.output,
            cached: found.cached,
            rest: turn.into_iter().collect(),
            ..Call::default()
        };
        prefixes.push(&call, out)
    })
}

fn of_metrics(metrics: &RawObject) -> Reported {
    let value = |name: &str| {
        let metric = RawObject::in_value(metrics.get(name)?)?;
        whole(metric.get("value")?)
    };
    Reported {
        input: value("input_sequence_length").or_else(|| value("usage_prompt_tokens")),
        output: value("output_sequence_length").or_else(|| value("usage_completion_tokens")),
        cached: value("usage_prompt_cache_read_tokens"),
        written: value("usage_prompt_cache_write_tokens"),
        time: None,
    }
}

/// What the last response reports that reports anything: the text of one, or its events.
fn of_responses(object: &RawObject) -> Result<Reported, Invalid> {
    let responses = object.list("responses")?;
    let texts = |response: &Json<'_>| -> Vec<String> {
        let Some(response) = RawObject::in_value(*response) else { return Vec::new() };
        let packets = response.get("packets").map(|_| response.list("packets").unwrap_or_default());
        let packets = packets.unwrap_or_default().into_iter().filter_map(RawObject::in_value);
        response.text("text").into_iter().chain(packets.filter_map(|packet| packet.text("value"))).collect()
    };
    let found = responses.iter().rev().flat_map(texts).find_map(|text| {
        let report = RawObject::parse(text.as_bytes()).ok().map(|object| reported(&object));
        report.filter(|report| report.input.is_some())
    });
    Ok(found.unwrap_or_default())
}
