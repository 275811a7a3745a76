//! The parts that messages are made of, whatever API they were sent to.
//!
//! The kinds of the APIs hardly overlap, so one table of them serves all: a part is told by its `type`, or
//! by the name of its only field where the API has no types (Gemini, Bedrock).

use super::fields::{decoded, is_string, json, list, mismatch, object_at, string, string_at};
use super::shown::{HIDDEN, MARKS, MEDIA_TYPES, Shown, data_stand_in, stand_in};
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
    /// Where a step of the assistant ends in a message of the AI SDK's interface.
    StepEnd,
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
    pub(super) held: Held,
}

/// What else of its message comes before a result: the AI SDK's interface has each beside its call, and sends all
/// results behind all calls of the step.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Held {
    #[default]
    None,
    /// Further calls (version 4).
    Calls,
    /// All until the step ends (version 5).
    Step,
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
const UNKNOWN: [&str; 21] = [
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
    "computer_screenshot",
];

/// Text whose form the model's maker keeps to himself: its JSON stands for it.
const SHOWN_AS_JSON: [&str; 9] = [
    "search_result",
    "executableCode",
    "executable_code",
    "codeExecutionResult",
    "code_execution_result",
    "json",
    "guardContent",
    "web_search_result",
    "tool_reference",
];

/// Fields of any part that the model does not see.
const OF_ANY_PART: [&str; 9] = [
    "type",
    "id",
    "index",
    "cache_control",
    "cacheControl",
    "providerOptions",
    "providerMetadata",
    "_meta",
    "extras",
];
/// Fields of a part that is text.
const OF_TEXT: [&str; 4] = ["text", "annotations", "citations", "logprobs"];
/// Fields of a part that is no text, beside the one with the name of its kind.
const OF_MEDIA: [&str; 18] = [
    "source",
    "source_type",
    "image_url",
    "url",
    "uri",
    "data",
    "base64",
    "detail",
    "format",
    "file_id",
    "file_data",
    "file_url",
    "filename",
    "name",
    "mimeType",
    "mime_type",
    "mediaType",
    "media_type",
];
/// Those of a document that may be beside its source.
const OF_DOCUMENT: [&str; 4] = ["source", "title", "context", "citations"];

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
        "functionResponse" | "function_response" => one(Part::Result(function_response(place, fields)?)),
        "tool_result" | "tool_call_response" | "tool-result" | "toolResult" | "tool" => {
            one(Part::Result(result_of(place, fields)?))
        }
        "document" | "file" => document(place, &kind, raw, fields),
        kind if UNKNOWN.contains(&kind) => {
            if part.fields().all(|(name, _)| name == "type") {
                return Err(format!("{place} ({kind}) is empty"));
            }
            one(Part::Unknown(stand_in(kind, raw)))
        }
        "json" if part.get("json").is_some() => one(shown(Shown::of(part.get("json").unwrap_or(raw)))),
        kind if SHOWN_AS_JSON.contains(&kind) => one(shown(Shown::without(&part, &MARKS))),
        // What servers and user interfaces need.
        "cachePoint" | "cache_point" | "source" | "source-url" | "source-document" => Ok(Vec::new()),
        "step-start" => one(Part::StepEnd),
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
    let Some(source) = part.get("source").and_then(RawObject::in_value) else {
        // Cohere has the text of a document, or its fields, in its data.
        let is_inner = kind == "document" && RawObject::of_value(raw).is_some_and(|whole| whole.has(kind));
        let data = part.get("data").filter(|_| is_inner && part.first(&MEDIA_TYPES).is_none());
        return data.map_or_else(unknown, |data| Ok(vec![answer_text(data)?]));
    };
    let head = ["title", "context"].iter().filter_map(|name| part.string(name)).map(Part::Text);
    let text = |name| source.string(name).map(|text| vec![Part::Text(text)]);
    let parts = match source.string("type").as_deref() {
        Some("text") => text("data"),
        Some("content") => source.get("content").map(|content| parts_in(place, content)).transpose()?,
        _ => text("text"),
    };
    let Some(parts) = parts else { return unknown() };
    Ok(head.chain(parts).collect())
}

/// The parts of a string or of a list.
fn parts_in(place: &str, value: Json<'_>) -> Result<Vec<Part>, String> {
    let parts = value.items().unwrap_or_else(|| vec![value]);
    let parts = parts.into_iter().map(|part| read_part(place, part)).collect::<Result<Vec<_>, _>>()?;
    Ok(parts.into_iter().flatten().collect())
}

fn result_of(place: &str, part: &RawObject<'_>) -> Result<ToolResult, String> {
    let answer = part.first(&RESULTS).map(|(_, value)| answer_of(place, value)).transpose()?;
    let (id, name) = (first_text(part, &RESULT_IDS), first_text(part, &TOOL_NAMES));
    Ok(ToolResult { id, name, ..answer.unwrap_or_default() })
}

/// What a function answered, as Gemini has it: any JSON, and parts that it shows beside.
fn function_response(place: &str, part: &RawObject<'_>) -> Result<ToolResult, String> {
    let (id, name) = (first_text(part, &RESULT_IDS), first_text(part, &TOOL_NAMES));
    let mut answer = ToolResult { id, name, ..ToolResult::default() };
    if let Some((_, response)) = part.first(&RESULTS) {
        answer.add(answer_text(response)?);
    }
    for beside in part.get("parts").map(list).transpose()?.unwrap_or_default() {
        answer.parted = true;
        read_part(place, beside)?.into_iter().for_each(|part| answer.add(part));
    }
    Ok(answer)
}

impl ToolResult {
    fn add(&mut self, part: Part) {
        self.stand_ins += u64::from(matches!(part, Part::Unknown(_) | Part::HiddenReasoning(_)));
        self.texts.push(match part {
            Part::Text(text) | Part::Reasoning(text) | Part::Unknown(text) | Part::HiddenReasoning(text) => {
                text
            }
            Part::Call(call) => call.json(),
            Part::Result(result) => result.texts.concat(),
            Part::StepEnd => return,
        });
    }
}

/// The part that JSON is which is shown as text. Where something in it has a stand-in, not all of it is known.
fn shown(shown: Shown) -> Part {
    if shown.stand_ins > 0 { Part::Unknown(shown.text) } else { Part::Text(shown.text) }
}

/// What a tool answered, as one text: a string, or any JSON, whatever it looks like.
fn answer_text(value: Json<'_>) -> Result<Part, String> {
    match data_stand_in(None, value) {
        Some(data) => Ok(Part::Unknown(data)),
        None if is_string(value) => string(value).map(Part::Text),
        None => Ok(shown(Shown::of(value))),
    }
}

/// The value that the AI SDK of Vercel has in an object that says what kind of value it is.
fn vercel_value(value: Json<'_>) -> Option<Json<'_>> {
    const KINDS: [&str; 5] = ["text", "json", "error-text", "error-json", "content"];
    let object = RawObject::in_value(value).filter(|_| value.get().starts_with('{'))?;
    let is_one = |name: &str| matches!(name, "type" | "value" | "providerOptions");
    let is_typed = object.string("type").is_some_and(|kind| KINDS.contains(&kind.as_str()));
    object.get("value").filter(|_| is_typed && object.fields().all(|(name, _)| is_one(name)))
}

/// Whether a value in what a tool answered is a part, of which nothing is lost, and not JSON that has a `type` of
/// its own. Where an API has no types, the part is the only field.
fn is_part_of_answer(value: Json<'_>) -> bool {
    if is_string(value) {
        return true;
    }
    let Some(object) = RawObject::of_value(value) else { return false };
    let mut fields = object.fields().map(|(name, _)| name).filter(|name| !MARKS.contains(name));
    let Some(kind) = object.string("type") else {
        let only = fields.next().filter(|_| fields.next().is_none());
        let may_be_part = |name| name == "text" || is_stand_in(name) || SHOWN_AS_JSON.contains(&name);
        return only.is_some_and(may_be_part);
    };
    let known: &[&str] = match &*kind {
        "text" | "input_text" | "output_text" => &OF_TEXT,
        "document" if object.has("source") => &OF_DOCUMENT,
        kind if is_stand_in(kind) => &OF_MEDIA,
        kind => return SHOWN_AS_JSON.contains(&kind),
    };
    fields.all(|name| name == kind || known.contains(&name) || OF_ANY_PART.contains(&name))
}

/// What a tool answered, without saying which.
pub(super) fn answer_of(place: &str, value: Json<'_>) -> Result<ToolResult, String> {
    let mut answer = ToolResult::default();
    if let Some(inner) = vercel_value(value) {
        return answer_of(place, inner);
    }
    let is_typed = RawObject::of_value(value).is_some_and(|object| object.has("type"));
    let parts = if is_typed { vec![value] } else { value.items().unwrap_or_default() };
    let parts = Some(parts).filter(|parts| !parts.is_empty() && parts.iter().copied().all(is_part_of_answer));
    let read = |part| read_part(place, part).ok();
    match parts.and_then(|parts| parts.into_iter().map(read).collect::<Option<Vec<_>>>()) {
        Some(parts) => {
            answer.parted = true;
            parts.into_iter().flatten().for_each(|part| answer.add(part));
        }
        None => answer.add(answer_text(value)?),
    }
    Ok(answer)
}

/// The texts of a string or of a list of parts.
pub(super) fn parts_of(place: &str, value: Json<'_>) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for part in parts_in(place, value)? {
        match part {
            Part::Text(text) | Part::Unknown(text) | Part::Reasoning(text) | Part::HiddenReasoning(text) => {
                texts.push(text);
            }
            Part::StepEnd => {}
            Part::Call(_) | Part::Result(_) => return Err(format!("{place} must be text")),
        }
    }
    Ok(texts)
}

/// A tool in a message of Vercel's user interface: the call and, once it is there, its result. Version 4 has them
/// in an object of their own.
pub(super) fn used_tool(place: &str, kind: &str, part: &RawObject<'_>) -> Result<Vec<Part>, String> {
    if let Some(inner) = part.get("toolInvocation").and_then(RawObject::in_value) {
        return used_tool(place, "toolInvocation", &inner);
    }
    let state = part.string("state").unwrap_or_default();
    if state == "input-streaming" {
        // The SDK does not send what is not complete.
        return Ok(Vec::new());
    }
    let name = first_text(part, &TOOL_NAMES).or_else(|| kind.strip_prefix("tool-").map(str::to_owned));
    let name = name.ok_or_else(|| format!("{place} ({kind}) has no name"))?;
    let id = part.string("toolCallId");
    let arguments = part.first(&["input", "args", "rawInput"]);
    let arguments = arguments.map_or("{}", |(_, input)| input.get()).to_owned();
    let mut parts = vec![Part::Call(Call { id: id.clone(), name: name.clone(), arguments })];
    let held = if kind == "toolInvocation" { Held::Calls } else { Held::Step };
    let mut result = ToolResult { id, name: Some(name), held, ..ToolResult::default() };
    if state == "output-denied" {
        let approval = part.get("approval").and_then(RawObject::in_value);
        let reason = approval.and_then(|approval| approval.string("reason"));
        result.add(Part::Text(reason.unwrap_or_else(|| "Tool execution denied.".to_owned())));
        parts.push(Part::Result(result));
    } else if let Some((_, output)) = part.first(&["output", "result", "errorText"]) {
        result.add(answer_text(output)?);
        parts.push(Part::Result(result));
    }
    Ok(parts)
}
