//! What an engine makes of a request's messages before the template sees them.
//!
//! The rules are those of vLLM 0.33 (`vllm/renderers`) and of `apply_chat_template` in transformers 5.24:
//!
//! * Content is a list of parts or one string, whichever the template works with (see
//!   [`content_format`](super::content_format)); a string has the texts of the parts joined by a newline.
//!   Content that is missing or null is empty. A tool's result is always a string.
//! * Arguments of tool calls, which are JSON in a string, become an object; anything else becomes `{}`. An
//!   empty list of tool calls is left out.
//! * `reasoning` (or `reasoning_content`, `thinking`) of the assistant is given under all three names.
//! * `name` and a tool's `tool_call_id` are handed over; other keys of a message, and keys that are null,
//!   are not.
//! * Claude Code's billing header is cut off from system texts: its value differs in every request.
//! * Where the template does not know the role `developer`, these messages become system messages, and all
//!   system messages become one at the start, joined by an empty line.
//!
//! Parts that are no text have been replaced before, when the record was read.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::json;
use super::python;

/// How the line begins that Claude Code puts before its system prompt.
const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// The fields of content parts that are not handed on to the template.
const PART_FIELDS: [&str; 17] = [
    "type",
    "text",
    "refusal",
    "thinking",
    "closed",
    "name",
    "image_url",
    "input_audio",
    "audio_url",
    "video_url",
    "image_embeds",
    "audio_embeds",
    "video_embeds",
    "image_pil",
    "data",
    "uuid",
    "file",
];

/// A field of a map that is there and not null.
pub(super) fn field(map: &Value, name: &str) -> Option<Value> {
    map.get_attr(name).ok().filter(|value| !value.is_undefined() && !value.is_none())
}

/// The role of a message.
pub(super) fn role(message: &Value) -> String {
    field(message, "role").and_then(|role| role.as_str().map(str::to_owned)).unwrap_or_default()
}

/// One message as the template sees it; with `parts` its content is a list.
pub(super) fn message(message: &Value, parts: bool) -> Result<Value, String> {
    let role = role(message);
    let mut content = content(&role, field(message, "content"), parts)?;
    let mut out = Fields::default();
    if role == "tool" && content.kind() == ValueKind::Seq && only_text(&content) {
        content = Value::from(joined(&content));
    }
    out.push("role", Value::from(&role));
    out.push("content", content);
    if role == "assistant" {
        out.push_some("tool_calls", tool_calls(message)?);
        let reasoning = ["reasoning", "reasoning_content", "thinking"];
        if let Some(reasoning) = reasoning.iter().find_map(|name| field(message, name)) {
            out.0.insert(0, (Value::from("thinking"), reasoning.clone()));
            out.push("reasoning", reasoning.clone());
            out.push("reasoning_content", reasoning);
        }
    } else if role == "tool" {
        out.push_some("tool_call_id", field(message, "tool_call_id"));
    }
    for name in ["name", "task"] {
        out.push_some(name, field(message, name).filter(|name| name.as_str().is_some()));
    }
    if role == "developer" {
        out.push_some("tools", field(message, "tools"));
    }
    Ok(out.map())
}

#[derive(Default)]
struct Fields(Vec<(Value, Value)>);

impl Fields {
    fn push(&mut self, name: &str, value: Value) {
        self.0.push((Value::from(name), value));
    }

    fn push_some(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    fn map(self) -> Value {
        Value::from_pairs(self.0)
    }
}

/// The content of a message: the list of its parts, or their texts in one string.
fn content(role: &str, content: Option<Value>, parts: bool) -> Result<Value, String> {
    let mut list = Vec::new();
    match content {
        None => {}
        Some(content) if content.as_str().is_some() => add_text(role, content, &[], &mut list),
        Some(content) if content.kind() == ValueKind::Seq => {
            for part in content.try_iter().into_iter().flatten() {
                add_part(role, &part, &mut list)?;
            }
        }
        Some(content) => return Err(format!("the content of a message is {}", content.kind())),
    }
    if parts {
        return Ok(Value::from(list));
    }
    list.retain(|part| field(part, "text").is_some_and(|text| text.is_true()));
    Ok(Value::from(joined(&Value::from(list))))
}

fn add_part(role: &str, part: &Value, list: &mut Vec<Value>) -> Result<(), String> {
    if part.as_str().is_some() {
        add_text(role, part.clone(), &[], list);
        return Ok(());
    }
    let kind = field(part, "type").map_or_else(|| "text".to_owned(), |kind| python::json_text(&kind));
    let text = match kind.as_str() {
        "text" | "input_text" | "output_text" => field(part, "text"),
        "refusal" | "thinking" => field(part, &kind),
        _ => return Err(format!("a content part is of type \"{kind}\", which is no text")),
    };
    // A part without its text is left out.
    if let Some(text) = text {
        let extra: Vec<_> = python::pairs(part)
            .filter(|(key, _)| key.as_str().is_none_or(|key| !PART_FIELDS.contains(&key)))
            .collect();
        add_text(if kind == "text" { role } else { "" }, text, &extra, list);
    }
    Ok(())
}

/// Appends a part that is text.
fn add_text(role: &str, text: Value, extra: &[(Value, Value)], list: &mut Vec<Value>) {
    let mut text = text;
    let header = text.as_str().filter(|text| role == "system" && text.starts_with(BILLING_HEADER));
    if let Some(header) = header {
        let Some((_, rest)) = header.split_once('\n').filter(|(_, rest)| !rest.is_empty()) else { return };
        text = Value::from(rest);
    }
    let mut fields = Fields::default();
    fields.push("type", Value::from("text"));
    fields.push("text", text);
    fields.0.extend_from_slice(extra);
    list.push(fields.map());
}

fn only_text(parts: &Value) -> bool {
    let mut parts = parts.try_iter().into_iter().flatten();
    parts.all(|part| part.get_attr("type").is_ok_and(|kind| kind.as_str() == Some("text")))
}

/// The texts of a list of parts, joined by a newline.
fn joined(parts: &Value) -> String {
    let texts = parts.try_iter().into_iter().flatten().filter_map(|part| field(&part, "text"));
    let texts: Vec<String> = texts.map(|text| python::json_text(&text)).collect();
    texts.join("\n")
}

/// The tool calls of an assistant's message, their arguments as objects.
fn tool_calls(message: &Value) -> Result<Option<Value>, String> {
    let Some(calls) = field(message, "tool_calls") else { return Ok(None) };
    if calls.kind() != ValueKind::Seq {
        return Err(format!("\"tool_calls\" of a message is {}, not a list", calls.kind()));
    }
    let calls: Vec<Value> =
        calls.try_iter().into_iter().flatten().map(|call| decoded(&call)).collect::<Result<_, _>>()?;
    Ok((!calls.is_empty()).then(|| Value::from(calls)))
}

fn decoded(call: &Value) -> Result<Value, String> {
    let function = field(call, "function").filter(|function| function.kind() == ValueKind::Map);
    let function = function.ok_or("a tool call has no object \"function\"")?;
    let arguments = field(&function, "arguments").and_then(|arguments| match arguments.as_str() {
        Some(text) => json::parse(text).ok(),
        None => Some(arguments),
    });
    let arguments = arguments.filter(|arguments| arguments.kind() == ValueKind::Map);
    let arguments = arguments.unwrap_or_else(|| Fields::default().map());
    let function = with(&function, "arguments", arguments);
    Ok(with(call, "function", function))
}

/// The map with another value for `name`, which keeps its place.
pub(super) fn with(map: &Value, name: &str, value: Value) -> Value {
    Value::from_pairs(python::pairs(map).chain([(Value::from(name), value)]))
}

/// The messages for a template that does not know the role `developer`.
pub(super) fn without_developers(messages: Vec<Value>) -> Vec<Value> {
    if messages.iter().all(|message| role(message) != "developer") {
        return messages;
    }
    let is_system = |message: &Value| matches!(role(message).as_str(), "developer" | "system");
    let systems: Vec<&Value> = messages.iter().filter(|message| is_system(message)).collect();
    if let [only] = systems[..]
        && messages.first().is_some_and(is_system)
    {
        let fields = python::pairs(only).filter(|(key, _)| key.as_str() != Some("tools"));
        let first = with(&Value::from_pairs(fields), "role", Value::from("system"));
        return std::iter::once(first).chain(messages.into_iter().skip(1)).collect();
    }
    let texts = systems.iter().filter_map(|message| {
        let content = field(message, "content")?;
        let text =
            if content.kind() == ValueKind::Seq { joined(&content) } else { python::json_text(&content) };
        (!text.is_empty()).then_some(text)
    });
    let mut merged = Fields::default();
    merged.push("role", Value::from("system"));
    merged.push("content", Value::from(texts.collect::<Vec<_>>().join("\n\n")));
    let rest = messages.iter().filter(|message| !is_system(message)).cloned();
    std::iter::once(merged.map()).chain(rest).collect()
}
