//! Transcripts of Claude Code, `~/.claude/projects/*/*.jsonl`.
//!
//! Source: the transcripts themselves, and how `TraceLab` and ccusage read them. Lines of the assistant have
//! `message.usage`: the prompt is `input_tokens` + `cache_creation_input_tokens` + `cache_read_input_tokens`,
//! the last of which were read from the cache. An answer is written as several lines with one `message.id`,
//! of which the last ones say how long it is, and again where a session is resumed: it is one call. Lines of
//! sub-agents that run at the same time stand between each other, so the last calls may all go on. A
//! `isSidechain` is a sub-agent, a session of its own. All other lines are passed over, and nothing of what was
//! said is kept. Notes about a session (`custom-title`, `permission-mode`, `last-prompt`, `cost-state`, ...;
//! newer versions add others) have a `type` and `sessionId`, or the `messageId` of a snapshot.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::RandomState;

use super::base::{DecodeObject, DecodedLines, FileFacts};
use super::prefixes::{CachedPrefixes, Call};
use crate::error::Invalid;
use crate::record::general::holds_prompt;
use crate::record::json::RawObject;
use crate::record::prompt::reported;
use crate::record::trace_record::first_bits;

/// So many calls may go on at the same time.
const OPEN_CALLS: usize = 64;

pub(super) fn is_first(object: &RawObject) -> bool {
    let Some(kind) = object.text("type") else {
        return object.has("sessionId") && object.has("message");
    };
    let is_line = ["message", "uuid", "operation"].iter().any(|name| object.has(name));
    object.has("sessionId") && (is_line || is_note(object, &kind))
        || (object.has("leafUuid") && kind == "summary")
        || (object.has("messageId") && kind.ends_with("-snapshot"))
}

/// Whether an object says something of a session, and is neither a request nor an observation of one.
fn is_note(object: &RawObject, kind: &str) -> bool {
    let is_name = kind.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_'));
    let is_of_others = ["startTime", "traceId", "input_length"].iter().any(|name| object.has(name));
    is_name && !is_of_others && !holds_prompt(object) && reported(object).input.is_none()
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let prefixes = CachedPrefixes::new(file);
    let mut counted: HashSet<u64, RandomState> = HashSet::default();
    // The calls that are held, of which more lines may come.
    let mut open: VecDeque<OpenCall> = VecDeque::new();
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
        // Where their file has ended, all have been given.
        if !out.is_holding() {
            open.clear();
        }
        let output_length = usage.optional_length("output_tokens")?;
        let id = message.text("id").map(|id| first_bits(blake3::hash(id.as_bytes()).as_bytes()));
        if let Some(place) = open.iter().position(|call| id.is_some() && id == call.id) {
            let call = &mut open[place];
            if output_length > call.call.output_length {
                call.call.output_length = output_length;
                out.hold(place, |out| call.push(&prefixes, out))?;
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
        let model = message.get("model").map(|model| model.get().to_owned());
        let call = OpenCall { id, call, model };
        out.hold(open.len(), |out| call.push(&prefixes, out))?;
        open.push_back(call);
        if open.len() > OPEN_CALLS {
            open.pop_front();
            out.release_first();
        }
        Ok(())
    })
}

/// A call of which more may come, and the hash of its id.
#[derive(Clone)]
struct OpenCall {
    id: Option<u64>,
    call: Call<'static>,
    model: Option<String>,
}

impl OpenCall {
    fn push(&self, prefixes: &CachedPrefixes, out: &mut DecodedLines) -> Result<(), Invalid> {
        let rest = self.model.iter().map(|model| ("model", model.as_str())).collect();
        prefixes.push(&Call { rest, ..self.call.clone() }, out)
    }
}
