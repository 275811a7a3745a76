//! Exports of Langfuse: observations, or traces with their observations.
//!
//! Source: Langfuse's documentation of its data model and API. An observation of the type `GENERATION` is a
//! call: `startTime`, `model`, and `usageDetails` (see [`langfuse_details`]). Older exports have `usage` with `input`
//! and `output`, or with the names of an API, or these figures beside the rest (`promptTokens`, `inputUsage`). The
//! session is `sessionId`, else the trace. Nothing of what was
//! said is kept.

use super::base::{DecodeObject, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use super::usage::check_cached;
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::prompt::{Reported, Usage, langfuse_details, reported};

pub(super) fn is_first(object: &RawObject) -> bool {
    let is_observation = object.has("type") && object.has("startTime") && object.has("traceId");
    let holds_some = object.get("observations").is_some_and(|list| list.get().contains("\"startTime\""));
    is_observation && !object.has("attributes") || holds_some
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    Box::new(move |object, out| {
        let Some(list) = object.get("observations") else {
            return observation(object, None, &prefixes, out);
        };
        // An export of one trace may have the trace beside its observations.
        let trace = object.get("trace").and_then(RawObject::in_value);
        let trace = trace.as_ref().unwrap_or(object);
        let session = trace.text("sessionId").or_else(|| trace.text("id"));
        let mut calls = Vec::new();
        for value in list.items().unwrap_or_default() {
            let call = RawObject::of("observations", value)?;
            calls.push((call.date("startTime")?, call));
        }
        calls.sort_by_key(|(time, _)| *time);
        calls.iter().try_for_each(|(_, call)| observation(call, session.as_deref(), &prefixes, out))
    })
}

fn observation(
    object: &RawObject,
    session: Option<&str>,
    prefixes: &CachedPrefixes,
    out: &mut super::base::DecodedLines,
) -> Result<(), Invalid> {
    if object.text("type").is_some_and(|kind| !kind.eq_ignore_ascii_case("generation")) {
        return Ok(());
    }
    let usage = tokens(object)?;
    let Some(input_length) = usage.input else {
        out.pass_over();
        return Ok(());
    };
    let of_trace = || object.text("sessionId").or_else(|| object.text("traceId"));
    check_cached(input_length, usage.cached)?;
    let kept = prefixes.kept(object, &["model"]);
    prefixes.tell_left_out(object, &["model", "sessionId", "traceId", "type"], out);
    let call = Call {
        session: session.map(str::to_owned).or_else(of_trace),
        time: object.date("startTime")?,
        input_length,
        output_length: usage.output,
        cached: usage.cached,
        written: usage.written,
        rest: kept.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        ..Call::default()
    };
    prefixes.push(&call, out)
}

fn tokens(object: &RawObject) -> Result<Usage, Invalid> {
    if let Some(details) =
        object.first(&["usageDetails", "usage_details"]).and_then(|(_, details)| RawObject::in_value(details))
        && let Some(usage) = langfuse_details(&details)?
    {
        return Ok(usage);
    }
    if let Some(older) = object.get("usage").and_then(RawObject::in_value)
        && let Some(input) = older.optional_length("input")?
    {
        return Ok(Usage {
            input: Some(input),
            output: older.optional_length("output")?,
            ..Usage::default()
        });
    }
    let Reported { input, cached, written, output, .. } = reported(object);
    Ok(Usage { input, cached, written, output })
}
