//! Answers that stand beside prompts: a text, messages, token ids, and whether a stop token ended them.

use std::cell::RefCell;

use super::content::{Answer, Generated, Message, PromptOptions};
use super::fields::{decoded, is_string, list, string};
use super::message::Messages;
use super::path::value_at;
use super::scope::Scope;
use super::seen::Seen;
use crate::record::json::RawObject;
use crate::record::raw::{Found, Json};

/// Fields that hold the output itself.
const OUTPUT_TEXTS: [&str; 6] =
    ["completion", "response", "output", "gen_ai.completion", "ai.response.text", "output_text"];
/// Where an API has the output beside the prompt: a message, a list of parts, or a list of messages.
const ANSWERS: [&str; 7] = [
    "/choices/0/message",
    "/candidates/0/content",
    "/gen_ai.output.messages",
    "/output/outputBodyJson/output/message",
    "/output/outputBodyJson/content",
    "/output",
    "/completion",
];
/// The same in the response of a server.
const ANSWERS_IN_RESPONSE: [&str; 6] =
    ["/choices/0/message", "/candidates/0/content", "/output/message", "/output", "/content", "/message"];
/// Where APIs have all answers to a request that asked for several.
const CHOICES: [&str; 2] = ["choices", "candidates"];
/// Where an API has the output as a text.
const ANSWER_TEXT: &str = "/choices/0/text";
/// Where the ids of generated tokens are.
const IDS: [&str; 7] = [
    "output_token_ids",
    "output_ids",
    "completion_token_ids",
    "/choices/0/token_ids",
    "/outputs/0/token_ids",
    "/out/output_ids",
    "/meta_info/output_ids",
];
/// Where it is said why an answer ended.
const ENDS: [&str; 13] = [
    "/choices/0/finish_reason",
    "/candidates/0/finishReason",
    "/outputs/0/finish_reason",
    "meta_info.finish_reason.type",
    "meta_info.finish_reason",
    "finish_reason",
    "stop_reason",
    "stopReason",
    "output.outputBodyJson.stopReason",
    "output.outputBodyJson.stop_reason",
    "/gen_ai.response.finish_reasons",
    "/gen_ai.output.messages/0/finish_reason",
    "ai.response.finishReason",
];
/// What is said there where a stop token was generated.
const STOPS: [&str; 8] =
    ["stop", "STOP", "end_turn", "tool_use", "tool_calls", "tool-calls", "tool_call", "function_call"];
/// Where an engine has what it stopped at, if it is not its usual stop token: a text is none.
const STOPPED_AT: [&str; 4] = [
    "/choices/0/stop_reason",
    "/choices/0/matched_stop",
    "/outputs/0/stop_reason",
    "meta_info.finish_reason.matched",
];

/// The answer beside a prompt, if the record has it.
pub(super) fn beside(
    scope: &Scope<'_>,
    response: Option<&RawObject<'_>>,
    options: &PromptOptions,
    seen: &RefCell<Seen>,
) -> Result<Option<Answer>, String> {
    let answer = |generated, stopped| Ok(Some(Answer { generated, stopped }));
    if let Some(path) = &options.output_field {
        let value = scope.named(path, "output_field")?;
        if !is_string(value.json()) {
            return Ok(None);
        }
        return answer(Generated::Text(string(value.json())?), stopped(scope, response));
    }
    // The stop token is among the ids.
    let ids = IDS.iter().find_map(|path| serde_json::from_str(at(scope, response, path)?.json().get()).ok());
    if let Some(ids) = ids {
        return answer(Generated::Tokens(ids), false);
    }
    match said(scope, response, seen)? {
        Some(generated) => answer(generated, stopped(scope, response)),
        None => Ok(None),
    }
}

/// The text or the messages of the answer, if the record has them.
pub(super) fn said(
    scope: &Scope<'_>,
    response: Option<&RawObject<'_>>,
    seen: &RefCell<Seen>,
) -> Result<Option<Generated>, String> {
    // These names also carry things other than the text: whole answers of servers, settings.
    let text = |object: &RawObject<'_>| {
        let text = |value: &Json<'_>| is_string(*value) && !is_response(*value);
        OUTPUT_TEXTS.iter().find_map(|name| object.get(name).filter(text)).map(string)
    };
    if let Some(text) = scope.find(&mut |object| text(object)) {
        return text.map(Generated::Text).map(Some);
    }
    let mut several = CHOICES.iter().filter_map(|path| choices(at(scope, response, path)?.json(), seen));
    if let Some(messages) = several.next() {
        return Ok(Some(Generated::Messages(messages)));
    }
    if let Some(text) = at(scope, response, ANSWER_TEXT).filter(|value| is_string(value.json())) {
        return string(text.json()).map(Generated::Text).map(Some);
    }
    let beside = ANSWERS.iter().filter_map(|path| scope.at(&[path]).map(|(_, value)| value));
    let in_response = |path: &str| response.and_then(|response| value_at(response, path));
    let inside = ANSWERS_IN_RESPONSE.iter().filter_map(|path| in_response(path));
    let all = scope.first(&["response"]).map(|(_, value)| Found::part(value));
    let messages = beside.chain(inside).chain(all).find_map(|value| answer(value.json(), seen));
    Ok(messages.map(Generated::Messages))
}

/// What is at `path` beside the prompt, or in the response of the server.
fn at<'a>(scope: &Scope<'a>, response: Option<&RawObject<'a>>, path: &str) -> Option<Found<'a>> {
    let beside = scope.at(&[path]).map(|(_, value)| value);
    beside.or_else(|| response.and_then(|response| value_at(response, path)))
}

/// Whether a stop token was generated, as far as the record says.
fn stopped(scope: &Scope<'_>, response: Option<&RawObject<'_>>) -> bool {
    let by_text = |path: &str| at(scope, response, path).is_some_and(|value| is_string(value.json()));
    if STOPPED_AT.iter().any(|path| by_text(path)) {
        return false;
    }
    let reason = |value: Json<'_>| -> Option<String> {
        let value = if value.get().starts_with('[') { *list(value).ok()?.first()? } else { value };
        string(value).ok().filter(|_| is_string(value))
    };
    let said = ENDS.iter().find_map(|path| reason(at(scope, response, path)?.json()));
    // OpenAI's Responses API says only that the response is whole.
    let status = || response.filter(|response| response.has("output"))?.string("status");
    match said {
        Some(said) => STOPS.contains(&&*said),
        None => status().is_some_and(|status| status == "completed"),
    }
}

/// Whether a string holds the whole response of a server, perhaps as a stream of events, or a message.
fn is_response(value: Json<'_>) -> bool {
    let holds = |text: &Found<'_>| {
        let items = text.json().items().unwrap_or_default();
        let object = RawObject::of_value(items.first().copied().unwrap_or(text.json()));
        let fields = ["choices", "candidates", "usage", "usageMetadata", "stop_reason", "role"];
        object.is_some_and(|object| object.first(&fields).is_some())
    };
    let is_stream = || {
        let text = value.get()[1..].trim_start();
        ["data: {", "data:{", "event: "].iter().any(|begin| text.starts_with(begin))
    };
    decoded(value).as_ref().is_some_and(holds) || is_stream()
}

/// The messages of all choices, if there are several: the tokens of each have been generated.
fn choices(value: Json<'_>, seen: &RefCell<Seen>) -> Option<Vec<Message>> {
    let choices = value.items().filter(|choices| choices.len() > 1)?;
    let said = |choice| {
        let choice = RawObject::of_value(choice)?;
        match choice.string("text") {
            Some(text) => {
                let mut messages = Messages::new(seen);
                messages.add_text("assistant", &text);
                Some(messages.list)
            }
            None => answer(choice.first(&["message", "content"])?.1, seen),
        }
    };
    let messages: Vec<Message> = choices.into_iter().filter_map(said).flatten().collect();
    (!messages.is_empty()).then_some(messages)
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
