//! What stands beside a prompt: the length of the output, what blocks are keyed by, fields to keep.

use std::cell::RefCell;

use super::content::{Chat, Content, Keys, Message, OutputLength, PromptOptions, PromptRecord, Remarks};
use super::fields::{decoded, is_string, list, mismatch, string, whole};
use super::message::Messages;
use super::path::value_at;
use super::scope::Scope;
use super::seen::Seen;
use super::times::timestamp;
use super::usage::{Usage, usage};
use crate::record::json::RawObject;
use crate::record::raw::{Found, Json};

/// Fields that hold the output's length in tokens.
const OUTPUT_LENGTHS: [&str; 2] = ["output_length", "output_tokens"];
/// Fields that hold the output itself.
const OUTPUT_TEXTS: [&str; 6] =
    ["completion", "response", "output", "gen_ai.completion", "ai.response.text", "output_text"];
/// Where an API has the output beside the prompt: a message, a list of parts, or a list of messages.
const ANSWERS: [&str; 6] = [
    "/choices/0/message",
    "/candidates/0/content",
    "/gen_ai.output.messages",
    "/output/outputBodyJson/output/message",
    "/output/outputBodyJson/content",
    "/output",
];
/// The same in the response of a server.
const ANSWERS_IN_RESPONSE: [&str; 5] =
    ["/choices/0/message", "/candidates/0/content", "/output", "/content", "/message"];
/// Where an API has the output as a text.
const ANSWER_TEXT: &str = "/choices/0/text";
/// Fields that hold the greatest length that the output may have, in tokens.
const OUTPUT_LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];
/// The same in other APIs.
const OTHER_LIMITS: [&str; 6] = [
    "model_parameters.max_tokens",
    "max_output_tokens",
    "generationConfig.maxOutputTokens",
    "inferenceConfig.maxTokens",
    "gen_ai.request.max_tokens",
    "ai.settings.maxOutputTokens",
];

const MODELS: [&str; 4] = ["model", "modelId", "gen_ai.request.model", "ai.model.id"];
const SALTS: [&str; 2] = ["cache_salt", "extra_body.cache_salt"];
const LORAS: [&str; 6] =
    ["lora_name", "lora_request.lora_name", "lora_request.name", "lora", "adapter_id", "lora_path"];
const LORA_PATHS: [&str; 2] = ["lora_request.lora_path", "lora_path"];

/// The record whose prompts are `content`.
pub(super) fn record_of(
    mut content: Content,
    remarks: Remarks,
    scope: &Scope<'_>,
    options: &PromptOptions,
    seen: &RefCell<Seen>,
) -> Result<PromptRecord, String> {
    let requests = match &content {
        Content::Texts(texts) => texts.len(),
        Content::Tokens(lists) => lists.len(),
        Content::Chat(chat) => chat.requests.len(),
    };
    let response = response(scope);
    let response = response.as_ref().map(Found::json).and_then(RawObject::in_value);
    // OpenAI's batches have the response in a response.
    let body = response.as_ref().and_then(|response| response.get("body")).and_then(RawObject::in_value);
    let response = body.as_ref().or(response.as_ref());
    // What is reported of several requests says nothing about each of them.
    let usage = if requests == 1 { usage(scope, response) } else { Usage::default() };
    let output = output_length(scope, response, options, seen, usage.output)?;
    if let Content::Chat(chat) = &mut content
        && (matches!(output, OutputLength::Answer(_)) || has_answer(scope, response))
    {
        answered_elsewhere(chat);
    }
    let keys = if options.ignore_keys { Keys::default() } else { keys(scope) };
    Ok(PromptRecord {
        content,
        output,
        timestamp: timestamp(scope, options)?,
        cached_tokens: usage.cached,
        recorded_input_length: usage.input,
        keys,
        kept: kept(scope, &options.keep),
        remarks,
    })
}

/// The response of the server, if the record has it.
fn response<'a>(scope: &Scope<'a>) -> Option<Found<'a>> {
    let (_, value) = scope.first(&["response", "response_json", "response_body"])?;
    match decoded(value) {
        Some(text) => Some(text),
        None => Some(Found::part(value)),
    }
}

/// Whether the record has the answer of the request, wherever its length is from.
fn has_answer(scope: &Scope<'_>, response: Option<&RawObject<'_>>) -> bool {
    let in_response = |response: &RawObject<'_>| {
        response.first_filled(&["choices", "candidates", "output", "content"]).is_some()
    };
    response.is_some_and(in_response) || scope.first(&["choices", "candidates"]).is_some()
}

/// The answer of a request is beside it: an assistant's turn at its end is part of what was sent.
fn answered_elsewhere(chat: &mut Chat) {
    if let [last] = &mut chat.requests[..] {
        *last = chat.messages.len();
    }
}

fn output_length(
    scope: &Scope<'_>,
    response: Option<&RawObject<'_>>,
    options: &PromptOptions,
    seen: &RefCell<Seen>,
    reported: Option<u64>,
) -> Result<OutputLength, String> {
    if let Some(path) = &options.output_field {
        let value = scope.named(path, "output_field")?;
        let value = value.json();
        return if is_string(value) {
            string(value).map(OutputLength::Text)
        } else {
            whole_number(path, value).map(OutputLength::Known)
        };
    }
    if let Some((name, value)) = scope.first(&OUTPUT_LENGTHS) {
        return whole_number(name, value).map(OutputLength::Known);
    }
    if let Some(tokens) = reported {
        return Ok(OutputLength::Known(tokens));
    }
    // These names also carry things other than the text: whole answers of servers, settings.
    let text = |object: &RawObject<'_>| {
        let text = |value: &Json<'_>| is_string(*value) && !is_response(*value);
        OUTPUT_TEXTS.iter().find_map(|name| object.get(name).filter(text)).map(string)
    };
    if let Some(text) = scope.find(&mut |object| text(object)) {
        return text.map(OutputLength::Text);
    }
    let at = |path: &str| scope.at(&[path]).map(|(_, value)| value);
    let in_response = |path: &str| response.and_then(|response| value_at(response, path));
    let text = at(ANSWER_TEXT).or_else(|| in_response(ANSWER_TEXT)).filter(|value| is_string(value.json()));
    if let Some(text) = text {
        return string(text.json()).map(OutputLength::Text);
    }
    let beside = ANSWERS.iter().filter_map(|path| at(path));
    let inside = ANSWERS_IN_RESPONSE.iter().filter_map(|path| in_response(path));
    let all = scope.first(&["response"]).map(|(_, value)| Found::part(value));
    if let Some(answer) = beside.chain(inside).chain(all).find_map(|value| answer(value.json(), seen)) {
        return Ok(OutputLength::Answer(answer));
    }
    if let Some((name, value)) = scope.first(&OUTPUT_LIMITS) {
        return whole_number(name, value).map(OutputLength::Limit);
    }
    let limit = scope.at(&OTHER_LIMITS).and_then(|(_, value)| whole(value.json()));
    Ok(limit.map_or(OutputLength::Unknown, OutputLength::Limit))
}

/// Whether a string holds the whole response of a server.
fn is_response(value: Json<'_>) -> bool {
    let holds = |text: &Found<'_>| {
        let object = RawObject::of_value(text.json());
        let fields = ["choices", "candidates", "usage", "usageMetadata", "stop_reason"];
        object.is_some_and(|object| object.first(&fields).is_some())
    };
    decoded(value).as_ref().is_some_and(holds)
}

/// The messages that `value` holds, if that is what it is: a message, messages, or parts of one.
fn answer(value: Json<'_>, seen: &RefCell<Seen>) -> Option<Vec<Message>> {
    if let Some(text) = decoded(value) {
        return answer(text.json(), seen);
    }
    let mut messages = Messages::new(seen);
    let items = if value.get().starts_with('[') { list(value).ok()? } else { vec![value] };
    let first = RawObject::in_value(*items.first()?)?;
    let spoken = first.first(&["role", "from"]).is_some();
    let parts = first.first(&["text", "thinking", "parts", "tool_use_id"]).is_some();
    let called = first.string("type").is_some_and(|kind| kind == "tool_use" || kind == "thinking");
    if !spoken && (parts || called) {
        messages.add_content("the answer", "assistant", value).ok()?;
    } else {
        for item in items {
            messages.add(&|| "the answer".to_owned(), item).ok()?;
        }
    }
    messages.close();
    let answers: Vec<_> = messages.list.into_iter().filter(|message| &*message.role == "assistant").collect();
    (messages.filled && !answers.is_empty()).then_some(answers)
}

/// A number of tokens. Tables written by pandas say `52.0`.
fn whole_number(name: &str, value: Json<'_>) -> Result<u64, String> {
    let expected = "a whole number of tokens, at most 2^40";
    let number = Some(value).filter(|&value| !is_string(value)).and_then(whole);
    number.ok_or_else(|| mismatch(&format!("\"{name}\""), expected, value))
}

/// What an engine keys blocks by beside their tokens.
fn keys(scope: &Scope<'_>) -> Keys {
    let text = |paths: &[&str]| {
        let (_, value) = scope.at(paths).filter(|(_, value)| is_string(value.json()))?;
        string(value.json()).ok().filter(|text| !text.is_empty())
    };
    Keys { cache_salt: text(&SALTS), model: text(&MODELS), lora: text(&LORAS), lora_path: text(&LORA_PATHS) }
}

/// The fields to keep, each on one line: within JSON, control characters are blanks between values.
fn kept(scope: &Scope<'_>, names: &[String]) -> Vec<(String, String)> {
    let find = |name: &String| {
        let raw = scope.find(&mut |object| object.raw(name));
        raw.map(|value| value.get().to_owned()).or_else(|| Some(scope.at(&[name])?.1.json().get().to_owned()))
    };
    let line = |text: String| text.replace(|c: char| c.is_ascii_control(), " ");
    names.iter().filter_map(|name| find(name).map(|value| (name.clone(), line(value)))).collect()
}
