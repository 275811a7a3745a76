//! Rollouts of the Codex CLI, `~/.codex/sessions/**/rollout-*.jsonl`.
//!
//! Source: the rollouts themselves, and how `TraceLab` and ccusage read them. After each call there is an
//! `event_msg` with a payload `token_count`: `info.last_token_usage` has `input_tokens` (all),
//! `cached_input_tokens` and `output_tokens`. It is repeated without a call, and then
//! `info.total_token_usage` has not changed. `session_meta` names the session, `turn_context` the model. All
//! other lines are passed over, and nothing of what was said is kept.

use super::base::{DecodeObject, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use crate::record::json::RawObject;
use crate::record::prompt::whole;

/// Kinds of lines.
const KINDS: [&str; 5] = ["session_meta", "event_msg", "response_item", "turn_context", "compacted"];

/// The sums in `total_token_usage`.
const SUMS: [&str; 5] =
    ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens"];

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("payload") && object.text("type").is_some_and(|kind| KINDS.contains(&kind.as_str()))
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    let (mut session, mut model, mut total) = (String::new(), None, None);
    let mut file = None;
    Box::new(move |object, out| {
        // A rollout is a session: only one that names it goes on with another.
        if file.replace(out.file()) != Some(out.file()) {
            session = unnamed(out.file());
            (model, total) = (None, None);
        }
        let Some(payload) = object.get("payload").and_then(RawObject::in_value) else { return Ok(()) };
        match object.text("type").as_deref() {
            Some("session_meta") => {
                session = payload.text("id").unwrap_or_else(|| unnamed(out.file()));
                total = None;
            }
            Some("turn_context") => model = payload.get("model").map(|model| model.get().to_owned()),
            _ => {}
        }
        if payload.text("type").as_deref() != Some("token_count") {
            return Ok(());
        }
        let Some(info) = payload.get("info").and_then(RawObject::in_value) else { return Ok(()) };
        let now = info.get("total_token_usage").and_then(RawObject::in_value);
        let now = now.map(|sums| SUMS.map(|name| sums.get(name).and_then(whole)));
        if now.is_some() && now == total {
            return Ok(());
        }
        total = now;
        let Some(usage) = info.get("last_token_usage").and_then(RawObject::in_value) else { return Ok(()) };
        let call = Call {
            session: Some(session.clone()),
            time: object.date("timestamp")?,
            input_length: usage.length("input_tokens")?,
            output_length: usage.optional_length("output_tokens")?,
            cached: Some(usage.optional_length("cached_input_tokens")?.unwrap_or(0)),
            rest: model.iter().map(|model| ("model", model.as_str())).collect(),
            ..Call::default()
        };
        prefixes.push(&call, out)
    })
}

/// The session of a rollout that does not name it.
fn unnamed(file: usize) -> String {
    if file == 0 { "codex".to_owned() } else { format!("codex {}", file + 1) }
}
