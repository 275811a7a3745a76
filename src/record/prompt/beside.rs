//! What stands beside a prompt: the length of the output, what blocks are keyed by, fields to keep.

use std::cell::RefCell;

use super::answer;
use super::content::{
    Chat, Content, Generated, Keys, OutputLength, Places, PromptOptions, PromptRecord, Remarks,
};
use super::features::{features, has_unplaced};
use super::fields::{decoded, is_string, mismatch, string, unquoted, whole};
use super::scope::Scope;
use super::seen::Seen;
use super::times::{timestamp, unread};
use super::usage::{Usage, usage};
use crate::record::json::RawObject;
use crate::record::raw::{Found, Json};

/// Fields that hold the output's length in tokens.
const OUTPUT_LENGTHS: [&str; 2] = ["output_length", "output_tokens"];
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
/// What `SGLang` puts behind the salt.
const EXTRA_KEYS: [&str; 2] = ["extra_key", "extra_body.extra_key"];
const LORAS: [&str; 6] =
    ["lora_name", "lora_request.lora_name", "lora_request.name", "lora", "adapter_id", "lora_path"];
const LORA_PATHS: [&str; 2] = ["lora_request.lora_path", "lora_path"];

/// The record whose prompts are `content`.
pub(super) fn record_of(
    mut content: Content,
    mut remarks: Remarks,
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
    let body = response.as_ref().and_then(|response| response.get("body")).map(decoded_or_part);
    let body = body.as_ref().map(Found::json).and_then(RawObject::in_value);
    let response = body.as_ref().or(response.as_ref());
    // What is reported of several requests says nothing about each of them.
    let usage = if requests == 1 { usage(scope, response) } else { Usage::default() };
    // Nor does one of several answers.
    let one_answer = requests == 1 || matches!(content, Content::Chat(_));
    let output = output_length(scope, options, usage.output, &|| {
        if one_answer { answer::said(scope, response, seen) } else { Ok(None) }
    })?;
    let answer =
        if options.answers && requests == 1 { answer::beside(scope, response, options, seen)? } else { None };
    if let Content::Chat(chat) = &mut content
        && (matches!(output, OutputLength::Answer(_)) || has_answer(scope, response))
    {
        answered_elsewhere(chat);
    }
    let keys = if options.ignore_keys { Keys::default() } else { keys(scope) };
    let features = match &content {
        Content::Tokens(prompts) if !options.ignore_keys => features(scope, prompts)?,
        _ => Vec::new(),
    };
    let timestamp = timestamp(scope, options)?;
    let unread_time = if timestamp.is_none() { unread(scope) } else { None };
    remarks.failed = u64::from(failed(scope, response));
    remarks.unplaced = u64::from(!options.ignore_keys && has_unplaced(scope, &content));
    Ok(PromptRecord {
        content,
        output,
        answer,
        timestamp,
        unread_time,
        cached_tokens: usage.cached,
        cache_write_tokens: usage.written,
        recorded_input_length: usage.input,
        keys,
        features,
        kept: kept(scope, &options.keep),
        remarks,
        places: Places { keys: key_places(scope, options), ..Places::default() },
    })
}

/// The response of the server, if the record has it.
fn response<'a>(scope: &Scope<'a>) -> Option<Found<'a>> {
    scope.first(&["response", "response_json", "response_body"]).map(|(_, value)| decoded_or_part(value))
}

/// The JSON that a string holds, or the value as it is.
fn decoded_or_part(value: Json<'_>) -> Found<'_> {
    decoded(value).unwrap_or_else(|| Found::part(value))
}

/// Whether the record says that the call has failed.
fn failed(scope: &Scope<'_>, response: Option<&RawObject<'_>>) -> bool {
    const STATUS: [&str; 5] = ["status", "status_code", "statusCode", "http_status", "response_status"];
    let other = response.is_none().then(|| scope.first(&["resp", "result"])).flatten();
    let other = other.and_then(|(_, value)| RawObject::in_value(value));
    let response = response.or(other.as_ref());
    let is_failure = |value: Json<'_>| match string(value) {
        Ok(text) => {
            let is_code = text.parse().is_ok_and(|code: u32| code >= 400);
            is_code || ["error", "failed", "failure"].iter().any(|word| text.eq_ignore_ascii_case(word))
        }
        Err(_) => whole(value).is_some_and(|code| code >= 400),
    };
    let has_error = |value: Json<'_>| !matches!(value.get(), "null" | "false" | "{}" | "\"\"" | "0" | "[]");
    scope.first(&STATUS).is_some_and(|(_, value)| is_failure(value))
        || scope.first(&["error"]).is_some_and(|(_, value)| has_error(value))
        || response.and_then(|response| response.first(&STATUS)).is_some_and(|(_, value)| is_failure(value))
        || response.and_then(|response| response.get("error")).is_some_and(has_error)
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
    options: &PromptOptions,
    reported: Option<u64>,
    said: &dyn Fn() -> Result<Option<Generated>, String>,
) -> Result<OutputLength, String> {
    if let Some(path) = &options.output_field {
        let value = scope.named(path, "output_field")?;
        let value = value.json();
        // A figure may be in quotes; the answer to a sum may be one, too.
        let is_count = ["token", "length", "count"].iter().any(|word| path.to_lowercase().contains(word));
        let value = if is_count { unquoted(value) } else { value };
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
    match said()? {
        Some(Generated::Text(text)) => return Ok(OutputLength::Text(text)),
        Some(Generated::Messages(messages)) => return Ok(OutputLength::Answer(messages)),
        Some(Generated::Tokens(_)) | None => {}
    }
    if let Some((name, value)) = scope.first(&OUTPUT_LIMITS) {
        return whole_number(name, value).map(OutputLength::Limit);
    }
    let limit = scope.at(&OTHER_LIMITS).and_then(|(_, value)| whole(value.json()));
    Ok(limit.map_or(OutputLength::Unknown, OutputLength::Limit))
}

/// A number of tokens. Tables written by pandas say `52.0`.
fn whole_number(name: &str, value: Json<'_>) -> Result<u64, String> {
    let expected = "a whole number of tokens, at most 2^40";
    let number = Some(value).filter(|&value| !is_string(value)).and_then(whole);
    number.ok_or_else(|| mismatch(&format!("\"{name}\""), expected, value))
}

/// What an engine keys blocks by beside their tokens.
pub(super) fn keys(scope: &Scope<'_>) -> Keys {
    let text = |paths: &[&str]| {
        let (_, value) = scope.at(paths).filter(|(_, value)| is_string(value.json()))?;
        string(value.json()).ok().filter(|text| !text.is_empty())
    };
    let salt: String = [text(&SALTS), text(&EXTRA_KEYS)].into_iter().flatten().collect();
    let cache_salt = Some(salt).filter(|salt| !salt.is_empty());
    Keys { cache_salt, model: text(&MODELS), lora: text(&LORAS), lora_path: text(&LORA_PATHS) }
}

/// Where model, salt and adapter stand.
fn key_places(scope: &Scope<'_>, options: &PromptOptions) -> [Option<String>; 3] {
    if !options.places || options.ignore_keys {
        return Default::default();
    }
    [&MODELS[..], &[SALTS, EXTRA_KEYS].concat(), &LORAS].map(|paths| scope.pointer_at(paths))
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
