//! Lists of messages.

use serde_json::value::RawValue;

use super::content::{Chat, ChatSource, Content, PromptOptions, Turn};
use super::fields::{list, mismatch, object_at, string, string_at};
use super::scope::{Scope, present};
use crate::record::json::RawObject;

/// A list of messages in the field `name` of the innermost object.
pub(super) fn chat_content(
    name: &str,
    value: &RawValue,
    scope: &Scope<'_, '_>,
    options: &PromptOptions,
) -> Result<Content, String> {
    let (mut turns, mut messages) = (Vec::new(), Vec::new());
    if name.rsplit('.').next() == Some("messages")
        && let Some(system) = scope.innermost().get("system")
    {
        turns.push(Turn { role: "system".to_owned(), text: message_text("\"system\"", system)? });
        messages.push(None);
    }
    let objects: Vec<&RawValue> = list(value).map_err(|_| not_messages(name, value))?;
    for (i, object) in objects.into_iter().enumerate() {
        let message: RawObject<'_> =
            serde_json::from_str(object.get()).map_err(|_| not_messages(name, value))?;
        let place = format!("message {} of \"{name}\"", i + 1);
        let (role_name, role) = present(&message, &["role", "from"])
            .ok_or_else(|| format!("{place} has no \"role\" (or \"from\")"))?;
        let given = string_at(&format!("the role of {place}"), role)?;
        let role = match given.as_str() {
            "human" => "user",
            "gpt" | "chatgpt" | "bing" | "bard" => "assistant",
            other => other,
        };
        let usual = role_name == "role" && role == given && message.get("value").is_none();
        let role = role.to_owned();
        let text = match present(&message, &["content", "value"]) {
            Some((_, content)) => message_text(&place, content)?,
            None => String::new(),
        };
        turns.push(Turn { role, text });
        messages.push((usual && options.raw_chats).then(|| object.get().to_owned()));
    }
    let source = options.raw_chats.then(|| Box::new(chat_source(&turns, messages, scope)));
    Ok(Content::Chat(Chat::new(turns, options.turns, source)))
}

/// What a template may use: the messages, as they stood if they have the usual names, and what
/// stands beside them.
fn chat_source(turns: &[Turn], messages: Vec<Option<String>>, scope: &Scope<'_, '_>) -> ChatSource {
    let written = |turn: &Turn| serde_json::json!({"role": turn.role, "content": turn.text}).to_string();
    let messages = messages.into_iter().zip(turns).map(|(raw, turn)| raw.unwrap_or_else(|| written(turn)));
    let text = |name: &str| scope.first(&[name]).map(|(_, value)| value.get().to_owned());
    ChatSource { messages: messages.collect(), tools: text("tools"), arguments: text("chat_template_kwargs") }
}

/// Why `value` is not a list of objects.
fn not_messages(name: &str, value: &RawValue) -> String {
    match list(value) {
        Ok(items) => items.iter().enumerate().find(|(_, item)| !item.get().starts_with('{')).map_or_else(
            || format!("\"{name}\" cannot be read as a list of messages"),
            |(i, item)| {
                let place = format!("item {} of \"{name}\"", i + 1);
                mismatch(&place, "a message, an object", item)
            },
        ),
        Err(_) => mismatch(&format!("\"{name}\""), "a list of messages", value),
    }
}

/// The text of a message: a string, or the texts of a list of parts one after the other.
fn message_text(place: &str, value: &RawValue) -> Result<String, String> {
    if value.get().starts_with('"') {
        return string(value);
    }
    if !value.get().starts_with('[') {
        let place = format!("the content of {place}");
        return Err(mismatch(&place, "a string or a list of text parts", value));
    }
    let mut text = String::new();
    for (i, part) in list(value)?.into_iter().enumerate() {
        if part.get().starts_with('"') {
            text += &string(part)?;
            continue;
        }
        let part_place = format!("part {} of {place}", i + 1);
        let part = object_at(&part_place, part)?;
        let kind = match part.get("type") {
            Some(kind) => string_at(&format!("the type of {part_place}"), kind)?,
            None => "text".to_owned(),
        };
        if !matches!(kind.as_str(), "text" | "input_text" | "output_text") {
            return Err(format!("{part_place} is of type \"{kind}\"; only text is supported"));
        }
        let Some(part) = part.get("text") else {
            return Err(format!("{part_place} has no \"text\""));
        };
        text += &string_at(&format!("the text of {part_place}"), part)?;
    }
    Ok(text)
}
