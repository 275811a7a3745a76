//! Transcripts of Claude Code, `~/.claude/projects/*/*.jsonl`.
//!
//! Source: the transcripts themselves, and how `TraceLab` and ccusage read them. Lines of the assistant have
//! `message.usage`: the prompt is `input_tokens` + `cache_creation_input_tokens` + `cache_read_input_tokens`,
//! the last of which were read from the cache. An answer is written as several lines with one `message.id`,
//! and again where a session is resumed: it is one call. A `isSidechain` is a sub-agent, a session of its own.
//! All other lines are passed over, and nothing of what was said is kept.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::base::{DecodeObject, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use crate::record::json::RawObject;
use crate::record::trace_record::first_bits;

pub(super) fn is_first(object: &RawObject) -> bool {
    let kind = || object.text("type").unwrap_or_default();
    object.has("sessionId") && (object.has("message") || object.has("uuid") || object.has("operation"))
        || (object.has("leafUuid") && kind() == "summary")
        || (object.has("messageId") && kind() == "file-history-snapshot")
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    let mut counted: HashSet<u64, RandomState> = HashSet::default();
    Box::new(move |object, out| {
        let Some(message) = object.get("message").and_then(RawObject::in_value) else { return Ok(()) };
        let is_call = object.text("type").is_none_or(|kind| kind == "assistant");
        let Some(usage) = message.get("usage").and_then(RawObject::in_value).filter(|_| is_call) else {
            return Ok(());
        };
        // What Claude Code says by itself, such as that a limit is reached.
        if message.text("model").as_deref() == Some("<synthetic>") {
            return Ok(());
        }
        if let Some(id) = message.text("id")
            && !counted.insert(first_bits(blake3::hash(id.as_bytes()).as_bytes()))
        {
            return Ok(());
        }
        let tokens = |name| usage.optional_length(name).map(Option::unwrap_or_default);
        let cached = tokens("cache_read_input_tokens")?;
        let session = object.required_text("sessionId")?;
        let is_agent = object.get("isSidechain").is_some_and(|value| value.get() == "true");
        let agent = is_agent.then(|| object.text("agentId").unwrap_or_else(|| "side".to_owned()));
        let call = Call {
            time: object.date("timestamp")?,
            input_length: tokens("input_tokens")? + tokens("cache_creation_input_tokens")? + cached,
            output_length: usage.optional_length("output_tokens")?,
            cached: Some(cached),
            rest: message.get("model").map(|model| ("model", model.get())).into_iter().collect(),
            parent: agent.as_ref().map(|_| session.clone()),
            session: Some(agent.map_or_else(|| session.clone(), |agent| format!("{session}:{agent}"))),
            ..Call::default()
        };
        prefixes.push(&call, out)
    })
}
