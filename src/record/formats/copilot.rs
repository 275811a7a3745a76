//! GitHub Copilot's coding agent data set of 2026.
//!
//! Source: github.com/Azure/AzurePublicDataset, `GitHubCopilotCodingAgentDataset2026.md`. A session per line:
//! `session_id`, and `turns` with `llm_calls`, each with `timestamp`, `model` and `tokens` (`prompt`,
//! `completion`, `cached`). Any value may be null; a call without the length of its prompt is passed
//! over.

use super::base::{DecodeObject, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use crate::record::json::RawObject;

/// Fields of a call that stay.
const KEPT: [&str; 4] = ["message_id", "model", "duration_ms", "result"];

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("session_id") && object.get("turns").is_some_and(|turns| turns.get().contains("\"llm_calls\""))
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    Box::new(move |object, out| {
        let session = object.required_text("session_id")?;
        for turn in object.list("turns")? {
            let turn = RawObject::of("turns", turn)?;
            if !turn.has("llm_calls") {
                continue;
            }
            for call in turn.list("llm_calls")? {
                let call = RawObject::of("llm_calls", call)?;
                let Some(tokens) = call.get("tokens") else {
                    out.pass_over();
                    continue;
                };
                let tokens = RawObject::of("tokens", tokens)?;
                let Some(input_length) = tokens.optional_length("prompt")? else {
                    out.pass_over();
                    continue;
                };
                let kept = KEPT.iter().filter_map(|&name| Some((name, call.get(name)?.get())));
                let call = Call {
                    session: Some(session.clone()),
                    time: call.date("timestamp")?,
                    input_length,
                    output_length: tokens.optional_length("completion")?,
                    cached: tokens.optional_length("cached")?,
                    rest: kept.collect(),
                    ..Call::default()
                };
                prefixes.push(&call, out)?;
            }
        }
        Ok(())
    })
}
