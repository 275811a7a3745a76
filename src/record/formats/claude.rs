//! Transcripts of Claude Code, `~/.claude/projects/*/*.jsonl`.
//!
//! Source: the transcripts themselves, and how `TraceLab` and ccusage read them. Lines of the assistant have
//! `message.usage`: the prompt is `input_tokens` + `cache_creation_input_tokens` + `cache_read_input_tokens`,
//! the last of which were read from the cache. An answer is written as several lines with one `message.id`,
//! of which the last ones say how long it is, and again where a session is resumed: it is one call. A `isSidechain` is a sub-agent, a session of its own.
//! All other lines are passed over, and nothing of what was said is kept.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::base::{DecodeObject, DecodedLines, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use crate::error::Invalid;
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
    // The last call, of which more lines may come.
    let mut last: Option<LastCall> = None;
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
        let output_length = usage.optional_length("output_tokens")?;
        let id = message.text("id").map(|id| first_bits(blake3::hash(id.as_bytes()).as_bytes()));
        if let Some(call) = last.as_mut().filter(|call| id == Some(call.id)) {
            // Where its file has ended, it has been given.
            if output_length > call.call.output_length && out.is_holding() {
                call.call.output_length = output_length;
                out.hold(|out| call.push(&prefixes, out))?;
            }
            return Ok(());
        }
        if id.is_some_and(|id| !counted.insert(id)) {
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
            output_length,
            cached: Some(cached),
            parent: agent.as_ref().map(|_| session.clone()),
            session: Some(agent.map_or_else(|| session.clone(), |agent| format!("{session}:{agent}"))),
            ..Call::default()
        };
        out.release();
        let model = message.get("model").map(|model| model.get().to_owned());
        let call = LastCall { id: id.unwrap_or_default(), call, model };
        out.hold(|out| call.push(&prefixes, out))?;
        last = id.is_some().then_some(call);
        Ok(())
    })
}

/// A call and the hash of its id.
#[derive(Clone)]
struct LastCall {
    id: u64,
    call: Call<'static>,
    model: Option<String>,
}

impl LastCall {
    fn push(&self, prefixes: &CachedPrefixes, out: &mut DecodedLines) -> Result<(), Invalid> {
        let rest = self.model.iter().map(|model| ("model", model.as_str())).collect();
        prefixes.push(&Call { rest, ..self.call.clone() }, out)
    }
}
