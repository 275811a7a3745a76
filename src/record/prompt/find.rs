//! Where in a record the prompt is.

use std::cell::RefCell;

use serde::de::IgnoredAny;

use super::beside::record_of;
use super::chat::{Notes, chat_content, text_chat};
use super::content::{Content, Places, PromptOptions, PromptRecord, Remarks};
use super::fields::{decoded, is_empty, is_string, list, mismatch, string, string_at};
use super::path::{escaped, place, step, taken, up_to_next};
use super::scope::Scope;
use super::seen::Seen;
use crate::error::{Invalid, InvalidKind};
use crate::record::json::{RawObject, json_reason, text_of};
use crate::record::raw::Json;

/// Fields that hold token ids, in the order in which they are looked for.
pub(super) const IDS: [&str; 4] = ["prompt_token_ids", "token_ids", "input_ids", "input_tok_ids"];
/// Fields that hold a text, or a list of texts, token ids or messages.
pub(super) const TEXTS: [&str; 4] = ["prompt", "text_input", "text", "input"];
/// Fields that hold a list of messages.
pub(super) const CHATS: [&str; 6] = [
    "messages",
    "contents",
    "input_messages",
    "gen_ai.input.messages",
    "ai.prompt.messages",
    "gen_ai.prompt",
];
/// Fields that hold a chat in the form of `ShareGPT`.
pub(super) const CONVERSATIONS: [&str; 3] = ["conversations", "conversation", "items"];
/// Fields that hold the request around a prompt: an object, or a string with one.
const WRAPPERS: [&str; 11] = [
    "body",
    "request",
    "payload",
    "request_body",
    "request_json",
    "raw_request",
    "inputBodyJson",
    "attributes",
    "proxy_server_request",
    "ai.prompt",
    "span",
];
/// Fields of a request to `OpenAI`'s Responses API, whose `input` is what the user says in a chat.
const OF_RESPONSES: [&str; 5] =
    ["instructions", "previous_response_id", "reasoning", "max_output_tokens", "tools"];

/// Fields that hold what a server has answered, and so no prompt.
const ANSWERS: [&str; 8] =
    ["out", "output", "outputs", "response", "response_body", "completion", "choices", "result"];

/// How deep a prompt is looked for that has not been found.
const LEVELS: u32 = 3;

/// Reads a line that is JSON.
pub(super) fn read_record(
    line: &[u8],
    options: &PromptOptions,
    seen: &RefCell<Seen>,
) -> Result<PromptRecord, Invalid> {
    let text = text_of(line)?;
    let known = seen.borrow().object(text);
    let record = known.map_or_else(|| parse_object(text).map_err(Invalid::malformed), Ok)?;
    let places = RefCell::default();
    let finder = Finder { options, seen, places: &places, remarks: Remarks::default() };
    let scope = Scope { object: &record, outer: None, pointer: String::new() };
    if let Some(path) = &options.field {
        return finder.at_path(&scope, path, path).map_err(Invalid::value);
    }
    let found = finder.in_object(&scope).map_err(Invalid::value)?;
    found.ok_or_else(|| Invalid::new(InvalidKind::MissingField, nothing_found(&record)))
}

/// The line as an object; if it is none, says why in the reader's terms.
fn parse_object(text: &str) -> Result<RawObject<'_>, String> {
    match text.trim_start().chars().next() {
        Some('{') => serde_json::from_str(text).map_err(|error| json_reason(&error)),
        Some('[') if begins_list(text) => {
            Err("a JSON object is expected, found a list; write one object per \
             line (jq -c '.[]' does), or use `text` to take each line as a prompt"
                .to_owned())
        }
        Some(_) if is_header(text) => {
            Err("a JSON object is expected, found names of columns; write the rows of a \
             table as JSON (duckdb -c \"COPY (FROM 'FILE.csv') TO '/dev/stdout' (FORMAT json)\" does)"
                .to_owned())
        }
        Some(other) => Err(format!(
            "a JSON object is expected, but the line begins with {other:?}; use `text` to take each line \
             as a prompt, or grep '^{{' to pick the JSON out of a log"
        )),
        None => Err("a JSON object is expected, found an empty line".to_owned()),
    }
}

/// Whether this may be a list's first line: logs have times in brackets.
fn begins_list(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).map_or_else(|error| error.is_eof(), |_| true)
}

/// Whether this may be a table's first line: names between commas, and no sentence.
fn is_header(text: &str) -> bool {
    let is_name = |cell: &str| {
        let name = cell.trim().trim_matches('"');
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let mut cells = text.split([',', ';', '\t']);
    cells.clone().count() > 1 && cells.all(is_name)
}

fn nothing_found(record: &RawObject<'_>) -> String {
    if record.has("resourceSpans") {
        return "a line of spans: write one span per line (jq -c '.resourceSpans[].scopeSpans[].spans[]' does)".into();
    }
    if let Some(path) = prompt_path(record, LEVELS) {
        return format!("no prompt in the record itself, but in \"{path}\": use `field` {path}");
    }
    format!(
        "no prompt in the record: looked for {}, {}, messages, contents, body, {}; use `field` to name another",
        IDS.join(", "),
        TEXTS.join(", "),
        CONVERSATIONS.join(", ")
    )
}

/// Where a prompt seems to be in an object or the objects inside it, as a path.
/// Lists of messages come first: a conversation may as well be a name.
fn prompt_path(object: &RawObject<'_>, levels: u32) -> Option<String> {
    let is_list = |value: Json<'_>| value.get().starts_with('[');
    let chats = [&CHATS[..], &CONVERSATIONS].concat();
    let names = [&IDS[..], &TEXTS, &CHATS, &CONVERSATIONS].concat();
    path_to(object, levels, &chats, &is_list).or_else(|| path_to(object, levels, &names, &|_| true))
}

/// The path to a field with one of these names whose value is suitable.
fn path_to(
    object: &RawObject<'_>,
    levels: u32,
    names: &[&str],
    suits: &dyn Fn(Json<'_>) -> bool,
) -> Option<String> {
    if let Some((name, _)) = object.first(names).filter(|(_, value)| suits(*value)) {
        return Some(name.to_owned());
    }
    let may_hold = |key: &str| levels > 0 && !key.contains('.') && !ANSWERS.contains(&key);
    object.fields().filter(|(key, _)| may_hold(key)).find_map(|(key, value)| {
        let inner = RawObject::of_value(value)?;
        Some(format!("{key}.{}", path_to(&inner, levels - 1, names, suits)?))
    })
}

/// The chat beside a text that is its first question: data sets of chats have that as the prompt.
fn repeated_in<'a>(object: &RawObject<'a>, prompt: Json<'_>) -> Option<(&'static str, Json<'a>)> {
    let (name, chat) = object.first_filled(&CHATS).filter(|_| is_string(prompt))?;
    let question = chat.items()?.into_iter().filter_map(RawObject::of_value).find_map(|message| {
        let (_, role) = message.first(&["role", "from"])?;
        matches!(role.get(), "\"user\"" | "\"human\"").then(|| message.string("content"))
    })??;
    (string(prompt).ok()? == question).then_some((name, chat))
}

/// Whether the object is a request to `OpenAI`'s Responses API.
fn is_of_responses(scope: &Scope<'_>) -> bool {
    let is_object = |value: Json<'_>| value.get().starts_with('{');
    scope.first(&OF_RESPONSES).is_some()
        || ["text", "prompt"].iter().any(|name| scope.object.get(name).is_some_and(is_object))
}

/// How a prompt is looked for, and what was remarkable on the way.
#[derive(Clone, Copy)]
struct Finder<'o> {
    options: &'o PromptOptions,
    seen: &'o RefCell<Seen>,
    places: &'o RefCell<Places>,
    remarks: Remarks,
}

impl Finder<'_> {
    /// The prompt at `rest`, the end of the path that the user names.
    fn at_path(self, scope: &Scope<'_>, path: &str, rest: &str) -> Result<PromptRecord, String> {
        let found = step(scope.object, rest);
        let (value, after) =
            found.ok_or_else(|| format!("no field \"{}\" (from `field`)", up_to_next(path, rest)))?;
        self.in_path(scope, path, value, after, scope.pointer.clone() + &taken(rest, after))
    }

    /// The prompt at `rest` in `value`, which stands at `pointer`.
    fn in_path(
        self,
        scope: &Scope<'_>,
        path: &str,
        value: Json<'_>,
        rest: Option<&str>,
        pointer: String,
    ) -> Result<PromptRecord, String> {
        let Some(rest) = rest else { return self.in_value(path, value, scope, pointer) };
        if let Some(text) = decoded(value) {
            return self.in_path(scope, path, text.json(), Some(rest), pointer);
        }
        if let Some(object) = RawObject::in_value(value) {
            return self.at_path(&Scope { object: &object, outer: Some(scope), pointer }, path, rest);
        }
        let done = path[..path.len() - rest.len()].trim_end_matches(['.', '/']);
        let items = list(value).map_err(|_| mismatch(&format!("\"{done}\""), "an object", value))?;
        let missing = || format!("no field \"{}\" (from `field`)", up_to_next(path, rest));
        let (item, after) = place(&items, rest).ok_or_else(missing)?;
        let pointer = pointer + &taken(rest, after);
        self.in_path(scope, path, item, after, pointer)
    }

    /// The prompt of an object, by the names of its fields. An empty field counts where there is no other.
    fn in_object(self, scope: &Scope<'_>) -> Result<Option<PromptRecord>, String> {
        let object = scope.object;
        let at = |name: &str| scope.pointer.clone() + "/" + &escaped(name);
        if let Some((name, value)) = object.first_filled(&IDS) {
            return self.record_at(at(name), ids_content(name, value)?, scope).map(Some);
        }
        let instruction = object.string("instruction").filter(|text| !text.is_empty());
        // In Alpaca, `text` is all of it in a template, the answer included.
        let texts: &[&str] = match &instruction {
            Some(_) if object.has("output") => &TEXTS[..2],
            Some(_) => &TEXTS[..3],
            None => &TEXTS,
        };
        for &name in texts {
            let Some(value) = object.get(name).filter(|&value| !is_empty(value)) else { continue };
            if let Some((chat, messages)) = repeated_in(object, value) {
                return self.in_value(chat, messages, scope, at(chat)).map(Some);
            }
            if !value.get().starts_with('{') {
                return self.in_value(name, value, scope, at(name)).map(Some);
            }
            // In OpenAI's Responses API, `prompt` names a stored one, and `text` is a setting.
            if let Some(found) = self.in_wrapper(value, scope, at(name))? {
                return Ok(Some(found));
            }
        }
        if let Some(instruction) = instruction {
            self.places.borrow_mut().prompt = at("instruction");
            return self.alpaca(&instruction, scope).map(Some);
        }
        if let Some((name, value)) = object.first_filled(&CHATS) {
            return self.in_value(name, value, scope, at(name)).map(Some);
        }
        for name in WRAPPERS {
            let Some(value) = object.get(name) else { continue };
            if name == "body" && RawObject::in_value(value).is_none() && decoded(value).is_none() {
                return Err(mismatch("\"body\"", "an object", value));
            }
            if let Some(found) = self.in_wrapper(value, scope, at(name))? {
                return Ok(Some(found));
            }
        }
        if let Some((name, value)) = object.first_filled(&CONVERSATIONS) {
            return self.in_value(name, value, scope, at(name)).map(Some);
        }
        let names = [&CHATS[..], &CONVERSATIONS, &IDS, &TEXTS].concat();
        match object.first(&names) {
            Some((name, value)) if IDS.contains(&name) => {
                self.record_at(at(name), ids_content(name, value)?, scope).map(Some)
            }
            Some((name, value)) => self.in_value(name, value, scope, at(name)).map(Some),
            None => Ok(None),
        }
    }

    /// The prompt of the object that `value` is, or that it holds as a text.
    fn in_wrapper(
        self,
        value: Json<'_>,
        scope: &Scope<'_>,
        pointer: String,
    ) -> Result<Option<PromptRecord>, String> {
        if let Some(text) = decoded(value) {
            return self.in_wrapper(text.json(), scope, pointer);
        }
        match RawObject::in_value(value) {
            Some(object) => self.in_object(&Scope { object: &object, outer: Some(scope), pointer }),
            None => Ok(None),
        }
    }

    /// The prompt in a field that may hold any form of it.
    fn in_value(
        self,
        name: &str,
        value: Json<'_>,
        scope: &Scope<'_>,
        pointer: String,
    ) -> Result<PromptRecord, String> {
        let expected = "a string, or a list of token ids, strings or messages";
        let field = name.rsplit(['.', '/']).next().unwrap_or(name);
        if is_string(value) {
            if let Some(text) = decoded(value).filter(|text| self.holds_chat(text.json(), name)) {
                return self.in_value(name, text.json(), scope, pointer);
            }
            let asked = field == "contents"
                || field == "input" && is_of_responses(scope)
                // Ollama renders both by the model's template.
                || field == "prompt" && scope.object.string("system").is_some_and(|system| !system.is_empty());
            if asked && !is_empty(value) {
                self.places.borrow_mut().prompt = pointer;
                return self.text_chat(&string(value)?, &[], scope);
            }
            if !matches!(field, "messages" | "contents") {
                return self.record_at(pointer, Content::Texts(vec![string(value)?]), scope);
            }
        }
        if value.get().starts_with('{') {
            let inner = self.in_wrapper(value, scope, pointer)?;
            let hint = || {
                let path = RawObject::in_value(value).and_then(|object| prompt_path(&object, LEVELS));
                path.map_or_else(String::new, |path| format!("; use `field` {name}.{path}"))
            };
            return inner.ok_or_else(|| mismatch(&format!("\"{name}\""), expected, value) + &hint());
        }
        if CHATS.contains(&field) || CONVERSATIONS.contains(&field) {
            return self.chat(name, value, scope, pointer);
        }
        if !value.get().starts_with('[') {
            return Err(mismatch(&format!("\"{name}\""), expected, value));
        }
        match value.get()[1..].trim_start().chars().next() {
            Some('"') => {
                let item = |(i, item)| string_at(&format!("item {} of \"{name}\"", i + 1), item);
                let texts = list(value)?.into_iter().enumerate().map(item).collect::<Result<_, _>>()?;
                self.record_at(pointer, Content::Texts(texts), scope)
            }
            Some('{') => self.chat(name, value, scope, pointer),
            Some('[' | ']' | '-' | '0'..='9') => self.record_at(pointer, ids_content(name, value)?, scope),
            _ => {
                let items = list(value)?;
                let first = items.first().copied().unwrap_or(value);
                Err(mismatch(&format!("item 1 of \"{name}\""), expected, first))
            }
        }
    }

    /// Whether the JSON in the string field `name` is a chat: the fields that a request has its messages in
    /// hold nothing else, and a field that the user names holds what looks like one.
    fn holds_chat(self, value: Json<'_>, name: &str) -> bool {
        if value.get().starts_with('{') {
            let object = RawObject::in_value(value);
            let found = |names: &[&str]| object.as_ref().is_some_and(|o| o.first_filled(names).is_some());
            return found(&CHATS)
                || self.options.field.is_some() && found(&[&IDS[..], &TEXTS, &WRAPPERS].concat());
        }
        let is_message = |item: Json<'_>| {
            RawObject::in_value(item).is_some_and(|item| item.first(&["role", "from", "parts"]).is_some())
        };
        let items = list(value).unwrap_or_default();
        CHATS.contains(&name) && items.is_empty() || items.first().copied().is_some_and(is_message)
    }

    /// A list of messages.
    fn chat(
        self,
        name: &str,
        value: Json<'_>,
        scope: &Scope<'_>,
        pointer: String,
    ) -> Result<PromptRecord, String> {
        let mut notes =
            Notes { remarks: self.remarks, places: Places { prompt: pointer, ..Places::default() } };
        let content = chat_content(name, value, scope, self.options, self.seen, &mut notes)?;
        self.noted(notes).record(content, scope)
    }

    /// An instruction, and an input for it, as Alpaca and the data sets after it have them: one message of
    /// the user, after those of `history`.
    fn alpaca(self, instruction: &str, scope: &Scope<'_>) -> Result<PromptRecord, String> {
        // Alpaca has an input, Dolly a context.
        let beside = ["input", "context"].into_iter().filter_map(|name| scope.object.string(name));
        let texts = std::iter::once(instruction.to_owned()).chain(beside.filter(|text| !text.is_empty()));
        let text = texts.collect::<Vec<_>>().join("\n");
        let history = scope.object.get("history").map(list).transpose()?.unwrap_or_default();
        let pair = |pair: Json<'_>| -> Result<Vec<String>, String> {
            list(pair)?.into_iter().map(|text| string_at("a text of \"history\"", text)).collect()
        };
        let history = history.into_iter().map(pair).collect::<Result<Vec<_>, _>>()?.concat();
        self.text_chat(&text, &history, scope)
    }

    /// A text that is the message of a user, after those of `history`.
    fn text_chat(self, text: &str, history: &[String], scope: &Scope<'_>) -> Result<PromptRecord, String> {
        let mut notes = Notes { remarks: self.remarks, places: self.places.take() };
        let content = text_chat(text, history, scope, self.options, self.seen, &mut notes)?;
        self.noted(notes).record(content, scope)
    }

    fn noted(self, notes: Notes) -> Self {
        *self.places.borrow_mut() = notes.places;
        Self { remarks: notes.remarks, ..self }
    }

    /// The record whose prompts are `content`, which stands at `pointer`.
    fn record_at(self, pointer: String, content: Content, scope: &Scope<'_>) -> Result<PromptRecord, String> {
        self.places.borrow_mut().prompt = pointer;
        self.record(content, scope)
    }

    /// The record whose prompts are `content`.
    fn record(self, content: Content, scope: &Scope<'_>) -> Result<PromptRecord, String> {
        let mut record = record_of(content, self.remarks, scope, self.options, self.seen)?;
        let keys = std::mem::take(&mut record.places.keys);
        record.places = Places { keys, ..self.places.take() };
        Ok(record)
    }
}

/// A list of token ids, or a list of such lists.
fn ids_content(name: &str, value: Json<'_>) -> Result<Content, String> {
    if !value.get().starts_with('[') {
        return Err(mismatch(&format!("\"{name}\""), "a list of token ids", value));
    }
    if !value.get()[1..].trim_start().starts_with('[') {
        return Ok(Content::Tokens(vec![ids(name, value)?]));
    }
    let lists = list(value)?;
    let lists = lists.into_iter().map(|item| ids(name, item)).collect::<Result<_, _>>()?;
    Ok(Content::Tokens(lists))
}

fn ids(name: &str, value: Json<'_>) -> Result<Vec<u32>, String> {
    if let Ok(ids) = serde_json::from_str(value.get()) {
        return Ok(ids);
    }
    if !value.get().starts_with('[') {
        return Err(mismatch(&format!("an item of \"{name}\""), "a list of token ids", value));
    }
    let items = list(value)?;
    let (i, wrong) = items
        .iter()
        .enumerate()
        .find(|(_, item)| serde_json::from_str::<u32>(item.get()).is_err())
        .unwrap_or((0, &value));
    let wrong = *wrong;
    let place = format!("item {} of \"{name}\"", i + 1);
    Err(mismatch(&place, "a token id, a whole number below 4294967296", wrong))
}
