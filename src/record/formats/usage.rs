//! Logs of gateways and servers that report the tokens of each call.
//!
//! Sources: the APIs of `OpenAI`, Anthropic and Gemini (see `record::prompt::usage` for their names);
//! `LiteLLM`'s documentation of its logs (`StandardLoggingPayload`) and its spend logs; the model invocation
//! logs of Amazon Bedrock, whose `inputTokenCount` leaves out what was read from the cache or written to it.
//! The time is that of the call, by any of the names that logs have for it. Where a session and the cached
//! tokens are known, blocks follow from them (see `prefixes`). Nothing of what was said is kept.

use super::base::{DecodeObject, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use crate::error::Invalid;
use crate::record::general::holds_prompt;
use crate::record::json::RawObject;
use crate::record::prompt::{Reported, reported, unread_time};

/// Where logs have the session.
const SESSIONS: [&str; 11] = [
    "session_id",
    "sessionId",
    "conversation_id",
    "conversationId",
    "metadata.session_id",
    "metadata.conversation_id",
    "requestMetadata.session_id",
    "requestMetadata.sessionId",
    "prompt_cache_key",
    "thread_id",
    "trace_id",
];

/// Fields that stay.
const KEPT: [&str; 6] = ["model", "modelId", "request_id", "requestId", "user", "status"];

/// Fields that have a part in a call; what tells the kind of a record is none of it.
const USED: [&[&str]; 3] =
    [&SESSIONS, &KEPT, &["schemaType", "schemaVersion", "call_type", "object", "type"]];

/// Names of tokens beside `input_tokens`, which alone is a trace's own.
const CACHE_NAMES: [&str; 5] = [
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cached_input_tokens",
    "cached_tokens",
    "input_tokens_details",
];

/// A log of calls, without what was said.
pub(super) fn is_usage(object: &RawObject) -> bool {
    let is_trace = object.has("input_length") || object.has("hash_ids");
    let is_flat = object.has("input_tokens") && !CACHE_NAMES.iter().any(|name| object.has(name));
    !is_trace && !is_flat && !holds_prompt(object) && reported(object).input.is_some()
}

pub(super) fn is_litellm(object: &RawObject) -> bool {
    object.has("call_type") && object.has("startTime") && object.has("prompt_tokens")
}

pub(super) fn is_bedrock(object: &RawObject) -> bool {
    object.text("schemaType").as_deref() == Some("ModelInvocationLog")
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    Box::new(move |object, out| {
        let found = reported(object);
        let input_length = found.input.ok_or_else(|| Invalid::missing("prompt_tokens"))?;
        if found.time.is_none() {
            out.set_unread_time(unread_time(object));
        }
        let kept = prefixes.kept(object, &KEPT);
        prefixes.tell_left_out(object, &USED.concat(), out);
        check_cached(input_length, found.cached)?;
        prefixes.push(&call(object, found, input_length, &kept), out)
    })
}

pub(super) fn bedrock_decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    Box::new(move |object, out| {
        let mut found = reported(object);
        let input = object.get("input").ok_or_else(|| Invalid::missing("input"))?;
        let input = RawObject::of("input", input)?;
        let uncached = input.optional_length("inputTokenCount")?;
        found.cached = input.optional_length("cacheReadInputTokenCount")?.or(found.cached);
        found.written = input.optional_length("cacheWriteInputTokenCount")?.or(found.written);
        let whole = uncached.map(|tokens| tokens + found.cached.unwrap_or(0) + found.written.unwrap_or(0));
        // Some entries have tokens in the response alone. A call that failed has none.
        let Some(length) = whole.or(found.input) else {
            out.pass_over();
            return Ok(());
        };
        if found.time.is_none() {
            out.set_unread_time(unread_time(object));
        }
        let kept = prefixes.kept(object, &KEPT);
        prefixes.tell_left_out(object, &USED.concat(), out);
        prefixes.push(&call(object, found, length, &kept), out)
    })
}

/// Refuses a prompt that is shorter than what of it was in the cache: Anthropic and Bedrock count prompts without
/// that, but their names say so. Records of such a log with fewer cached tokens are as wrong, and look right.
pub(super) fn check_cached(input_length: u64, cached: Option<u64>) -> Result<(), Invalid> {
    match cached.filter(|&cached| cached > input_length) {
        None => Ok(()),
        Some(cached) => Err(Invalid::value(format!(
            "{cached} cached tokens in a prompt of {input_length}: the log seems to count prompts without what was in \
             the cache, add that to them"
        ))),
    }
}

/// The call that a record reports.
fn call<'a>(
    object: &RawObject,
    found: Reported,
    input_length: u64,
    kept: &'a [(String, String)],
) -> Call<'a> {
    Call {
        session: SESSIONS.iter().find_map(|name| object.text_at(name)),
        time: found.time,
        input_length,
        output_length: found.output,
        cached: found.cached,
        written: found.written,
        rest: kept.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        ..Call::default()
    }
}
