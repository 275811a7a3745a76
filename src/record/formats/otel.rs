//! Spans of OpenTelemetry's conventions for generative AI.
//!
//! Sources: OpenTelemetry's semantic conventions (`gen_ai.*`) and its JSON encoding of OTLP (64-bit numbers
//! are strings), as the collector's file exporter writes it, an object with `resourceSpans` per line; the
//! flat spans of aiperf 0.13 (`exgentic.py`), Phoenix and Langfuse, one per line; `OpenInference`
//! (`llm.token_count.*`) and the AI SDK of Vercel (`ai.usage.*`). A span is a call if it reports the tokens of a
//! prompt and is no sum over others: those of agents, chains and the AI SDK's outer spans are passed over. The
//! session is the conversation, else the trace. Nothing of what was said is kept.

use std::borrow::Cow;

use super::base::{DecodeObject, DecodedLines, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use super::usage::check_cached;
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::prompt::{reported, whole};
use crate::record::raw::Json;

/// Attributes that name the session, in the order of how well.
const SESSIONS: [&str; 5] =
    ["gen_ai.conversation.id", "session.id", "langfuse.session.id", "gen_ai.session.id", "conversation.id"];

/// Names of a span's trace.
const TRACES: [&str; 3] = ["traceId", "trace_id", "context.trace_id"];

const MODELS: [&str; 4] = ["gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "ai.model.id"];

/// Attributes that tell what a span is: of the AI SDK, OpenTelemetry, `OpenInference`.
const OPERATIONS: [&str; 3] = ["ai.operationId", "gen_ai.operation.name", "openinference.span.kind"];

/// What a span is that calls a model.
const CALLS: [&str; 4] = ["chat", "text_completion", "completion", "generate_content"];

/// Tokens by the names of `OpenInference`: of the prompt, of the answer, from the cache.
const OPEN_INFERENCE: [&str; 3] =
    ["llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.prompt_details.cache_read"];

pub(super) fn is_first(object: &RawObject) -> bool {
    let is_span = object.has("attributes")
        && ["span_id", "spanId", "trace_id", "traceId", "context"].iter().any(|name| object.has(name));
    is_span || object.has("resourceSpans") || object.has("spans")
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    Box::new(move |object, out| {
        if !object.has("resourceSpans") && !object.has("spans") {
            return span(object, &prefixes, out);
        }
        let mut spans = Vec::new();
        collect(object, &mut spans)?;
        // A collector writes spans in the order of their ends.
        spans.sort_by_cached_key(|span| reported(span).time);
        spans.iter().try_for_each(|object| span(object, &prefixes, out))
    })
}

/// The spans in an object, whatever lists they are in.
fn collect<'a>(object: &RawObject<'a>, spans: &mut Vec<RawObject<'a>>) -> Result<(), Invalid> {
    for name in ["resourceSpans", "scopeSpans", "instrumentationLibrarySpans", "spans"] {
        if !object.has(name) {
            continue;
        }
        for value in object.list(name)? {
            let inner = RawObject::of(name, value)?;
            if name == "spans" { spans.push(inner) } else { collect(&inner, spans)? }
        }
    }
    Ok(())
}

fn span(object: &RawObject, prefixes: &CachedPrefixes, out: &mut DecodedLines) -> Result<(), Invalid> {
    let Some(attributes) = object.get("attributes").and_then(attributes) else { return Ok(()) };
    let text = |name: &str| attributes.text(name);
    let [ai_sdk, gen_ai, open_inference] = OPERATIONS.map(text);
    let is_sum = ai_sdk.is_some_and(|name| !name.contains(".do"))
        || gen_ai.is_some_and(|name| !CALLS.contains(&name.as_str()))
        || open_inference.is_some_and(|kind| !kind.eq_ignore_ascii_case("llm"));
    let found = reported(&attributes);
    let [input, output, cached] = OPEN_INFERENCE.map(|name| attributes.get(name).and_then(whole));
    let Some(input_length) = found.input.or(input).filter(|_| !is_sum) else {
        if !is_sum && OPERATIONS.iter().any(|name| attributes.has(name)) {
            out.pass_over();
        }
        return Ok(());
    };
    let cached = found.cached.or(cached);
    check_cached(input_length, cached)?;
    let session = SESSIONS.iter().find_map(|name| text(name));
    let call = Call {
        session: session.or_else(|| TRACES.iter().find_map(|name| object.text_at(name))),
        time: reported(object).time.or(found.time),
        input_length,
        output_length: found.output.or(output),
        cached,
        written: found.written,
        rest: MODELS
            .iter()
            .find_map(|name| Some(("model", attributes.get(name)?.get())))
            .into_iter()
            .collect(),
        ..Call::default()
    };
    prefixes.push(&call, out)
}

/// Attributes as an object: they are one already, or OTLP's list of keys and values.
fn attributes(value: Json<'_>) -> Option<RawObject<'_>> {
    if let Some(object) = RawObject::in_value(value) {
        return Some(object);
    }
    // `{"intValue": "12"}` is 12.
    let attribute = |item| {
        let item = RawObject::in_value(item)?;
        let value = RawObject::in_value(item.get("value")?)?;
        let found = value.fields().next()?.1;
        Some((Cow::Owned(item.text("key")?), found))
    };
    Some(RawObject::of_fields(value.items()?.into_iter().filter_map(attribute).collect()))
}
