//! Chats: the messages, and what stands beside them that is part of the prompt.

use std::borrow::Cow;
use std::cell::RefCell;

use super::content::{Chat, Content, Places, PromptOptions, Remarks, Turns};
use super::fields::{decoded, is_empty, is_string, mismatch, without_halves};
use super::message::Messages;
use super::scope::Scope;
use super::seen::Seen;
use super::tools::{TOOLS, tools_of};
use crate::record::json::RawObject;
use crate::record::raw::{Found, Json};

/// Fields beside the messages that are variables of the template.
pub const VARIABLES: [&str; 4] =
    ["documents", "reasoning_effort", "continue_final_message", "add_generation_prompt"];

/// Those that say whether the last message is to be continued.
const CONTINUED: [&str; 2] = ["continue_final_message", "add_generation_prompt"];

/// The fields of a last message that say so, too.
const PREFIX: [&str; 2] = ["prefix", "partial"];

/// Where the instructions beside the messages are. A `system` further outside may be anything.
const SYSTEM: [&str; 2] = ["system", "system_prompt"];
const INSTRUCTIONS: [&str; 5] = [
    "instructions",
    "systemInstruction",
    "system_instruction",
    "gen_ai.system_instructions",
    "config.systemInstruction",
];

/// Fields that a request has and a chat of a data set has not.
const OF_REQUESTS: [&str; 16] = [
    "model",
    "modelId",
    "tools",
    "functions",
    "usage",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "stream",
    "temperature",
    "response",
    "choices",
    "request_id",
    "usageMetadata",
    "generationConfig",
    "gen_ai.request.model",
];

/// What is to be said of a chat beside its messages.
pub(super) struct Notes {
    pub(super) remarks: Remarks,
    pub(super) places: Places,
}

/// A list of messages in the field `name` of the innermost object.
pub(super) fn chat_content(
    name: &str,
    value: Json<'_>,
    scope: &Scope<'_>,
    options: &PromptOptions,
    seen: &RefCell<Seen>,
    notes: &mut Notes,
) -> Result<Content, String> {
    seen.borrow_mut().begin();
    let items = seen
        .borrow()
        .items(value)
        .ok_or_else(|| mismatch(&format!("\"{name}\""), "a list of messages", value))?;
    if let Some(at) = items.iter().position(|item| !item.get().starts_with('{')) {
        let place = format!("item {} of \"{name}\"", at + 1);
        return Err(mismatch(&place, "a message, an object", items[at]));
    }
    let mut messages = Messages::new(seen);
    instructions(scope, &mut messages)?;
    for (i, &item) in items.iter().enumerate() {
        messages.begin_item(i, i + 1 == items.len());
        messages.add(&|| format!("message {} of \"{name}\"", i + 1), item)?;
    }
    messages.close();
    if !messages.filled {
        let none = if items.is_empty() { "is an empty list" } else { "holds no text, call or result" };
        return Err(format!("\"{name}\" {none}"));
    }
    // ShareGPT's names are those of a data set.
    let from = |item: &&Json<'_>| memchr::memmem::find(item.get().as_bytes(), b"\"from\"").is_some();
    let first = items.first().filter(from).copied().and_then(RawObject::of_value);
    let of_data_set = first.is_some_and(|message| message.has("from"));
    finish(messages, scope, options, of_data_set, notes)
}

/// A text that is sent to the chat template as the message of the user, after the questions and answers of
/// `history`.
pub(super) fn text_chat(
    text: &str,
    history: &[String],
    scope: &Scope<'_>,
    options: &PromptOptions,
    seen: &RefCell<Seen>,
    notes: &mut Notes,
) -> Result<Content, String> {
    let mut messages = Messages::new(seen);
    instructions(scope, &mut messages)?;
    for (said, role) in history.iter().zip(["user", "assistant"].into_iter().cycle()) {
        messages.add_text(role, said);
    }
    messages.add_text("user", text);
    finish(messages, scope, options, false, notes)
}

/// What the system says, as the first message.
fn instructions(scope: &Scope<'_>, messages: &mut Messages<'_>) -> Result<(), String> {
    let found = scope.object.first_filled(&SYSTEM).map(|(name, value)| (name, Found::part(value)));
    let beside = || scope.at(&INSTRUCTIONS);
    let Some((name, value)) = found.or_else(beside).filter(|(_, value)| !is_empty(value.json())) else {
        return Ok(());
    };
    // An attribute of a span is a string even where it holds a list of parts.
    let is_attribute = name == "gen_ai.system_instructions";
    let text = decoded(value.json()).filter(|text| is_attribute && text.json().get().starts_with('['));
    messages.add_content(&format!("\"{name}\""), "system", text.unwrap_or(value).json())
}

fn finish(
    mut messages: Messages<'_>,
    scope: &Scope<'_>,
    options: &PromptOptions,
    of_data_set: bool,
    notes: &mut Notes,
) -> Result<Content, String> {
    let Notes { remarks, places } = notes;
    if options.places {
        places.items = messages.items();
        let of_object = SYSTEM.iter().find(|name| scope.object.first_filled(&[name]).is_some());
        let beside = || scope.pointer_at(&INSTRUCTIONS);
        places.instructions = of_object.map(|name| format!("{}/{name}", scope.pointer)).or_else(beside);
        places.tools = scope.pointer_at(&TOOLS);
    }
    remarks.stand_ins += messages.stand_ins;
    let is_stored = |(_, id): (&str, Found<'_>)| id.json().get().starts_with("\"pmpt_");
    remarks.continued |= scope.first(&["previous_response_id", "cachedContent"]).is_some()
        || scope.at(&["prompt.id"]).is_some_and(is_stored);
    let seen = messages.seen();
    let arguments = scope.at(&["chat_template_kwargs", "extra_body.chat_template_kwargs"]);
    let mut chat = Chat {
        tools: tools_of(scope, seen)?,
        messages: messages.list,
        requests: Vec::new(),
        arguments: arguments.map(|(_, value)| decoded(value.json()).unwrap_or(value).json().get().to_owned()),
        fields: fields(scope),
    };
    if chat.fields.iter().all(|(name, _)| !CONTINUED.contains(&name.as_str())) && ends_with_prefix(&chat) {
        chat.fields.extend(
            CONTINUED.iter().zip(["true", "false"]).map(|(name, json)| ((*name).to_owned(), json.to_owned())),
        );
    }
    for json in chat.arguments.iter_mut().chain(chat.fields.iter_mut().map(|(_, json)| json)) {
        if let Cow::Owned(sound) = without_halves(json) {
            *json = sound;
        }
    }
    let answers: Vec<usize> = (0..chat.messages.len()).filter(|&i| is_answer(&chat, i)).collect();
    let ends_with_answer = answers.last().is_some_and(|&last| last + 1 == chat.messages.len());
    let as_sent = || {
        !of_data_set
            && (!ends_with_answer
                || scope.first(&OF_REQUESTS).is_some()
                || chat.arguments.is_some()
                || !chat.fields.is_empty())
    };
    let turns = match options.turns {
        Turns::Auto if answers.is_empty() => Turns::Last,
        // The same in both ways, so it decides nothing.
        Turns::Auto if answers.len() == 1 && ends_with_answer && !chat.continues() => Turns::Last,
        Turns::Auto => {
            let looks = if as_sent() { Turns::Last } else { Turns::Each };
            let taken = seen.borrow_mut().taken(looks);
            (remarks.turns, remarks.looks_otherwise) = (Some(taken), taken != looks);
            taken
        }
        said => said,
    };
    chat.requests = match answers.last() {
        Some(_) if turns == Turns::Each => answers.clone(),
        Some(&last) if ends_with_answer && !chat.continues() => vec![last],
        _ => vec![chat.messages.len()],
    };
    // No engine answers a list of no messages: such a request would be the template's marks alone, and equal to
    // all others of its kind.
    let answered = chat.requests.len();
    chat.requests.retain(|&end| end > 0);
    if chat.requests.is_empty() {
        return Err("the chat begins with its answer: there is no prompt before it".into());
    }
    remarks.unasked += (answered - chat.requests.len()) as u64;
    remarks.unanswered |= chat.requests.last().is_some_and(|&last| last + 1 < chat.messages.len());
    Ok(Content::Chat(chat))
}

fn is_answer(chat: &Chat, message: usize) -> bool {
    &*chat.messages[message].role == "assistant"
}

/// Whether the last message is one that the assistant is to go on with: `prefix` to `DeepSeek` and Mistral,
/// `partial` to Kimi and Qwen.
fn ends_with_prefix(chat: &Chat) -> bool {
    let Some(last) = chat.messages.len().checked_sub(1).filter(|&last| is_answer(chat, last)) else {
        return false;
    };
    let json = &*chat.messages[last].json;
    let is_said = |message: &RawObject<'_>, name| message.get(name).is_some_and(|said| said.get() == "true");
    // Most messages have neither word, and need not be read for it.
    PREFIX.iter().any(|name| json.contains(name))
        && RawObject::parse(json.as_bytes())
            .is_ok_and(|message| PREFIX.iter().any(|name| is_said(&message, name)))
}

/// The further variables of the template that stand beside the messages.
fn fields(scope: &Scope<'_>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for name in VARIABLES {
        let inner = format!("extra_body.{name}");
        let mut found = scope.at(&[name, &inner]);
        if found.is_none() && name == "reasoning_effort" {
            found = scope.at(&["reasoning.effort"]).filter(|(_, value)| is_string(value.json()));
        }
        fields.extend(found.map(|(_, value)| (name.to_owned(), value.json().get().to_owned())));
    }
    fields
}
