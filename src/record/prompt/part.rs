//! The parts that messages are made of, whatever API they were sent to.
//!
//! The kinds of the APIs hardly overlap, so one table of them serves all: a part is told by its `type`, or
//! by the name of its only field where the API has no types (Gemini, Bedrock).

use serde_json::Value;

use super::fields::{decoded, is_string, json, list, mismatch, object_at, spaced, string, string_at};
use crate::record::json::RawObject;
use crate::record::raw::Json;

/// What a part is.
pub(super) enum Part {
    Text(String),
    /// A stand-in for what is shown to the model and is no text, such as an image.
    Unknown(String),
    Reasoning(String),
    /// A stand-in for reasoning that is encrypted.
    HiddenReasoning(String),
    Call(Call),
    Result(ToolResult),
}

/// A call of a tool.
pub(super) struct Call {
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// JSON text: an object, or a string that holds one.
    pub(super) arguments: String,
}

/// What a tool answered.
#[derive(Default)]
pub(super) struct ToolResult {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) texts: Vec<String>,
    /// Whether the texts are a list of parts.
    pub(super) parted: bool,
    /// How many of them stand for something else.
    pub(super) stand_ins: u64,
}

/// Names of the field in which an API without types has a part.
const UNTYPED: [&str; 22] = [
    "text",
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
    "toolUse",
    "toolResult",
    "reasoningContent",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
    "image",
    "document",
    "video",
    "audio",
    "cachePoint",
    "guardContent",
    "executableCode",
    "codeExecutionResult",
    "json",
    "thinking",
];

/// Kinds of parts that are no text.
const UNKNOWN: [&str; 20] = [
    "image",
    "image_url",
    "input_image",
    "image_file",
    "input_audio",
    "audio",
    "audio_url",
    "video",
    "video_url",
    "input_video",
    "input_file",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
    "blob",
    "uri",
    "media",
    "image_embeds",
    "container_upload",
];

/// Names under which APIs have the same thing.
const CALL_IDS: [&str; 5] = ["id", "call_id", "toolCallId", "toolUseId", "tool_call_id"];
const RESULT_IDS: [&str; 6] = ["tool_use_id", "toolCallId", "toolUseId", "tool_call_id", "call_id", "id"];
const TOOL_NAMES: [&str; 3] = ["name", "toolName", "tool_name"];
const ARGUMENTS: [&str; 4] = ["arguments", "input", "args", "parameters"];
const RESULTS: [&str; 5] = ["content", "output", "result", "response", "errorText"];

impl Call {
    /// The call that an object describes.
    pub(super) fn of(object: &RawObject<'_>) -> Option<Self> {
        if let Some(function) =
            object.first(&["function", "custom"]).and_then(|(_, value)| RawObject::in_value(value))
        {
            let id = first_text(object, &CALL_IDS);
            return Self::of(&function).map(|call| Self { id: call.id.or(id), ..call });
        }
        let arguments = match object.first(&ARGUMENTS) {
            // The input of a custom tool is any text.
            Some(("input", value)) if is_string(value) && decoded(value).is_none() => {
                format!("{{\"input\":{}}}", value.get())
            }
            Some((_, value)) => value.get().to_owned(),
            None => "{}".to_owned(),
        };
        let name = first_text(object, &TOOL_NAMES)?;
        Some(Self { id: first_text(object, &CALL_IDS), name, arguments })
    }

    /// The call as an entry of `tool_calls`.
    pub(super) fn json(&self) -> String {
        let id = self.id.as_ref().map_or_else(String::new, |id| format!("\"id\":{},", json(id)));
        let (name, arguments) = (json(&self.name), &self.arguments);
        format!("{{{id}\"type\":\"function\",\"function\":{{\"name\":{name},\"arguments\":{arguments}}}}}")
    }
}

/// A list of calls, which may itself be a string that holds JSON.
pub(super) fn calls_of(place: &str, value: Json<'_>) -> Result<Vec<Call>, String> {
    if let Some(text) = decoded(value) {
        return calls_of(place, text.json());
    }
    let no_call = |i: usize| format!("item {} of {place} is not a call of a tool with a name", i + 1);
    let items = list(value).map_err(|_| mismatch(place, "a list of calls", value))?;
    let call = |(i, item): (usize, Json<'_>)| {
        RawObject::in_value(item).and_then(|item| Call::of(&item)).ok_or_else(|| no_call(i))
    };
    items.into_iter().enumerate().map(call).collect()
}

fn first_text(object: &RawObject<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| object.string(name))
}

/// Marks of what to cache, which an agent moves from message to message: no part of what they stand in.
const MARKS: [&str; 2] = ["cache_control", "cacheControl"];

/// Where reasoning is that cannot be read.
const HIDDEN: [&str; 4] = ["redactedContent", "encrypted_content", "data", "signature"];

/// A text that stands for what is no text: equal for equal things only. Where reasoning is hidden, all else about it
/// may be there or not.
pub(crate) fn stand_in(kind: &str, raw: Json<'_>) -> String {
    let mut thing: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    if let Some(fields) = thing.as_object_mut() {
        let is_hidden = kind.starts_with("reasoning") && HIDDEN.iter().any(|name| fields.contains_key(*name));
        fields.retain(|name, value| {
            let name = name.as_str();
            !value.is_null() && !MARKS.contains(&name) && (!is_hidden || HIDDEN.contains(&name))
        });
    }
    let hash = blake3::hash(thing.to_string().as_bytes()).to_hex();
    format!("<|{kind} {}|>", &hash[..16])
}

/// Whether a part of this kind may have a [`stand_in`].
pub(crate) fn is_stand_in(kind: &str) -> bool {
    UNKNOWN.contains(&kind) || matches!(kind, "document" | "file" | "redacted_thinking")
}

/// What the part `raw` is: mostly one thing, nothing where the model does not see it.
pub(super) fn read_part(place: &str, raw: Json<'_>) -> Result<Vec<Part>, String> {
    if is_string(raw) {
        return Ok(vec![Part::Text(string(raw)?)]);
    }
    let part = object_at(place, raw)?;
    let kind = match part.get("type") {
        Some(kind) => string_at(&format!("the type of {place}"), kind)?,
        None => part.first(&UNTYPED).map_or("text", |(name, _)| name).to_owned(),
    };
    // The object that holds the rest: APIs without types put it into the field.
    let inner = part.get(&kind).and_then(RawObject::in_value);
    let fields = inner.as_ref().unwrap_or(&part);
    let one = |part: Part| Ok(vec![part]);
    match &*kind {
        "text" | "input_text" | "output_text" | "summary_text" | "reasoning_text" => {
            let text = text_field(place, &part, "text")?;
            let thought = part.get("thought").is_some_and(|value| value.get() == "true");
            one(if thought { Part::Reasoning(text) } else { Part::Text(text) })
        }
        "refusal" => one(Part::Text(text_field(place, &part, "refusal")?)),
        "thinking" => one(Part::Reasoning(text_field(place, &part, "thinking")?)),
        "reasoning" | "reasoningContent" => reasoning(place, &kind, raw, fields),
        "redacted_thinking" => one(Part::HiddenReasoning(stand_in(&kind, raw))),
        "tool_use" | "server_tool_use" | "mcp_tool_use" | "tool_call" | "tool-call" | "functionCall"
        | "function_call" | "function" | "toolUse" | "mcp_call" => {
            one(Part::Call(Call::of(fields).ok_or_else(|| format!("{place} ({kind}) has no name"))?))
        }
        "tool_result" | "tool_call_response" | "tool-result" | "functionResponse" | "function_response"
        | "toolResult" | "tool" => one(Part::Result(result_of(place, fields)?)),
        "document" | "file" => document(place, &kind, raw, fields),
        kind if UNKNOWN.contains(&kind) => {
            if part.fields().all(|(name, _)| name == "type") {
                return Err(format!("{place} ({kind}) is empty"));
            }
            one(Part::Unknown(stand_in(kind, raw)))
        }
        // Text whose form the model's maker keeps to himself: its JSON stands for it.
        "search_result"
        | "executableCode"
        | "executable_code"
        | "codeExecutionResult"
        | "code_execution_result"
        | "json"
        | "guardContent"
        | "web_search_result"
        | "tool_reference" => one(Part::Text(as_json(&part))),
        // What servers and user interfaces need.
        "cachePoint" | "cache_point" | "step-start" | "source" | "source-url" | "source-document" => {
            Ok(Vec::new())
        }
        other if other.starts_with("data-") => Ok(Vec::new()),
        other if other.starts_with("tool-") || other == "dynamic-tool" => used_tool(place, other, &part),
        other if other.ends_with("_tool_result") => one(Part::Result(result_of(place, fields)?)),
        other => Err(format!(
            "{place} is of the unknown type \"{other}\", and what the model sees of it is not known"
        )),
    }
}

/// A text in the field `name`, or `content` as OpenTelemetry has it.
fn text_field(place: &str, part: &RawObject<'_>, name: &str) -> Result<String, String> {
    let Some((_, text)) = part.first(&[name, "content", "text"]) else {
        return Err(format!("{place} has no \"{name}\""));
    };
    let value = RawObject::in_value(text).and_then(|text| text.string("value"));
    value.map_or_else(|| string_at(&format!("the {name} of {place}"), text), Ok)
}

fn reasoning(place: &str, kind: &str, raw: Json<'_>, part: &RawObject<'_>) -> Result<Vec<Part>, String> {
    let text = match part.first_filled(&["reasoningText", "text", "content", "summary", "reasoning"]) {
        Some((_, value)) if is_string(value) => string(value)?,
        Some((_, value)) => parts_of(place, value)?.concat(),
        None if part.first(&HIDDEN).is_some() => {
            return Ok(vec![Part::HiddenReasoning(stand_in(kind, raw))]);
        }
        None => String::new(),
    };
    Ok(vec![Part::Reasoning(text)])
}

/// A document: its text where the request has it.
fn document(place: &str, kind: &str, raw: Json<'_>, part: &RawObject<'_>) -> Result<Vec<Part>, String> {
    let unknown = || Ok(vec![Part::Unknown(stand_in(kind, raw))]);
    let Some(source) = part.get("source").and_then(RawObject::in_value) else { return unknown() };
    let head = ["title", "context"].iter().filter_map(|name| part.string(name));
    let texts = match source.string("type").as_deref() {
        Some("text") => source.string("data").map(|text| vec![text]),
        Some("content") => source.get("content").map(|content| parts_of(place, content)).transpose()?,
        _ => source.string("text").map(|text| vec![text]),
    };
    let Some(texts) = texts else { return unknown() };
    Ok(head.chain(texts).map(Part::Text).collect())
}

fn result_of(place: &str, part: &RawObject<'_>) -> Result<ToolResult, String> {
    let answer = part.first(&RESULTS).map(|(_, value)| answer_of(place, value)).transpose()?;
    let (id, name) = (first_text(part, &RESULT_IDS), first_text(part, &TOOL_NAMES));
    Ok(ToolResult { id, name, ..answer.unwrap_or_default() })
}

/// The part as JSON, without marks.
fn as_json(part: &RawObject<'_>) -> String {
    let mut text = String::from("{");
    for (name, value) in part.fields().filter(|(name, _)| !MARKS.contains(name)) {
        text.push_str(if text.len() > 1 { ", " } else { "" });
        text.push_str(&json(name));
        text.push_str(": ");
        spaced(value, &mut text);
    }
    text + "}"
}

/// The value that the AI SDK of Vercel has in an object that says what kind of value it is.
fn vercel_value(value: Json<'_>) -> Option<Json<'_>> {
    const KINDS: [&str; 5] = ["text", "json", "error-text", "error-json", "content"];
    let object = RawObject::in_value(value).filter(|_| value.get().starts_with('{'))?;
    let is_one = |name: &str| matches!(name, "type" | "value" | "providerOptions");
    let is_typed = object.string("type").is_some_and(|kind| KINDS.contains(&kind.as_str()));
    object.get("value").filter(|_| is_typed && object.fields().all(|(name, _)| is_one(name)))
}

/// Whether an object may be a part: where an API has no types, the part is its only field.
fn may_be_part(value: Json<'_>) -> bool {
    let of = |object: RawObject<'_>| {
        object.get("type").is_some() || object.fields().filter(|(name, _)| !MARKS.contains(name)).count() == 1
    };
    is_string(value) || RawObject::in_value(value).is_some_and(of)
}

/// What a tool answered, without saying which.
pub(super) fn answer_of(place: &str, value: Json<'_>) -> Result<ToolResult, String> {
    let whole = |text: String| ToolResult { texts: vec![text], ..ToolResult::default() };
    if is_string(value) {
        return string(value).map(whole);
    }
    if let Some(inner) = vercel_value(value) {
        return answer_of(place, inner);
    }
    let typed = RawObject::in_value(value).is_some_and(|object| object.get("type").is_some());
    let parts = if typed { Ok(vec![value]) } else { list(value) };
    let parts = parts
        .ok()
        .filter(|parts| !parts.is_empty() && parts.iter().copied().all(may_be_part))
        .map(|parts| parts.into_iter().map(|part| read_part(place, part)).collect::<Result<Vec<_>, _>>());
    let Some(Ok(parts)) = parts else {
        // Any JSON may be an answer.
        let mut text = String::new();
        spaced(value, &mut text);
        return Ok(whole(text));
    };
    let mut answer = ToolResult { parted: true, ..ToolResult::default() };
    for part in parts.into_iter().flatten() {
        answer.stand_ins += u64::from(matches!(part, Part::Unknown(_) | Part::HiddenReasoning(_)));
        answer.texts.push(match part {
            Part::Text(text) | Part::Reasoning(text) | Part::Unknown(text) | Part::HiddenReasoning(text) => {
                text
            }
            Part::Call(call) => call.json(),
            Part::Result(result) => result.texts.concat(),
        });
    }
    Ok(answer)
}

/// The texts of a string or of a list of parts.
pub(super) fn parts_of(place: &str, value: Json<'_>) -> Result<Vec<String>, String> {
    let whole = [value];
    let parts = if value.get().starts_with('[') { list(value)? } else { whole.to_vec() };
    let mut texts = Vec::new();
    for part in parts {
        for part in read_part(place, part)? {
            match part {
                Part::Text(text)
                | Part::Unknown(text)
                | Part::Reasoning(text)
                | Part::HiddenReasoning(text) => {
                    texts.push(text);
                }
                Part::Call(_) | Part::Result(_) => return Err(format!("{place} must be text")),
            }
        }
    }
    Ok(texts)
}

/// A tool in a message of Vercel's user interface: the call and, once it is there, its result. Version 4 has them
/// in an object of their own.
fn used_tool(place: &str, kind: &str, part: &RawObject<'_>) -> Result<Vec<Part>, String> {
    if let Some(inner) = part.get("toolInvocation").and_then(RawObject::in_value) {
        return used_tool(place, "toolInvocation", &inner);
    }
    let name = first_text(part, &TOOL_NAMES).or_else(|| kind.strip_prefix("tool-").map(str::to_owned));
    let name = name.ok_or_else(|| format!("{place} ({kind}) has no name"))?;
    let id = part.string("toolCallId");
    let arguments = part.first(&["input", "args"]).map_or("{}", |(_, input)| input.get()).to_owned();
    let mut parts = vec![Part::Call(Call { id: id.clone(), name: name.clone(), arguments })];
    if let Some((_, output)) = part.first(&["output", "result", "errorText"]) {
        parts.push(Part::Result(ToolResult { id, name: Some(name), ..answer_of(place, output)? }));
    }
    Ok(parts)
}
