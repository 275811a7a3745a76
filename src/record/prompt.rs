//! Prompts: one line of JSON, in any of the shapes that serving tools and data sets write.
//!
//! A line is split once into the raw text of its fields; only the fields in use are parsed further.
//! That leaves numbers and kept fields exactly as they stood, and nothing is said about the rest of
//! a record that may hold anything. Of a field that occurs twice the last one counts, as in Python
//! and jq, and a field that is `null` counts as absent.
//!
//! An escaped lone surrogate (`"\ud83d"`, half of a character that was cut in two) becomes the
//! replacement character U+FFFD, as Python's tiktoken does it: the record is usable and its length
//! hardly changes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{MAX_LENGTH, MAX_TIME, json_reason, text_of};

/// Fields that hold token ids, in the order in which they are looked for.
const IDS: [&str; 3] = ["prompt_token_ids", "token_ids", "input_ids"];
/// Fields that hold a text, or a list of texts, token ids or messages.
const TEXTS: [&str; 4] = ["prompt", "text_input", "text", "input"];
/// Fields that hold a chat in the form of `ShareGPT`.
const CONVERSATIONS: [&str; 3] = ["conversations", "conversation", "items"];
/// Fields that hold the output's length in tokens.
const OUTPUT_LENGTHS: [&str; 2] = ["output_length", "output_tokens"];
/// Fields that hold the output itself.
const OUTPUT_TEXTS: [&str; 3] = ["completion", "response", "output"];
/// Fields that hold the greatest length that the output may have, in tokens.
const OUTPUT_LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// How prompts are found in lines.
#[derive(Clone, Debug, Default)]
pub struct PromptOptions {
    /// The field that holds the prompt, as a dotted path (`payload.messages`); otherwise it is found
    /// by its name.
    pub field: Option<String>,
    /// Each line is a prompt as it stands, not JSON.
    pub text: bool,
    /// Which requests a chat stands for.
    pub turns: Turns,
    /// Names of the fields to hand on unchanged.
    pub keep: Vec<String>,
    /// Whether chats are kept as they stood, for a template that may use all of a message.
    pub raw_chats: bool,
    /// Where the arrival time is, as a dotted path, in place of `timestamp`.
    pub timestamp_field: Option<String>,
    /// Where the output's length or text is, as a dotted path, in place of the usual names.
    pub output_field: Option<String>,
}

/// Which requests a chat stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turns {
    /// One for each assistant turn: the prompt is everything before that turn, and the output is the
    /// turn. A chat without assistant turns is one request, whose prompt is the whole chat.
    #[default]
    Each,
    /// One for the whole chat. Where it ends with an assistant turn, that turn is the output and
    /// everything before it the prompt.
    Last,
}

/// What one input line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptRecord {
    /// The prompts of one or several requests.
    pub content: Content,
    /// The output length of every request that does not have its own (see [`Chat::answer`]).
    pub output: OutputLength,
    /// The arrival time: the number's text as it stood (milliseconds, if the user says no other).
    pub timestamp: Option<String>,
    /// The fields asked for by [`PromptOptions::keep`]: name, and JSON text as it stood. Fields that
    /// the record lacks are left out.
    pub kept: Vec<(String, String)>,
}

/// The prompts of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One request per text.
    Texts(Vec<String>),
    /// One request per list of token ids.
    Tokens(Vec<Vec<u32>>),
    /// The requests of a chat.
    Chat(Chat),
}

/// A chat and the places in it where the assistant was asked to speak.
///
/// The turns are kept apart and stand here once, although each request's prompt begins with the
/// prompt of the one before: the growing past can so be rendered and tokenised a turn at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// All turns, the oldest first.
    pub turns: Vec<Turn>,
    /// One request per entry: its prompt is the turns before this index (and the template's
    /// invitation to answer). Rising; at most `turns.len()`.
    pub requests: Vec<usize>,
    /// The chat as it stood, if that was asked for.
    pub source: Option<Box<ChatSource>>,
}

/// A chat as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatSource {
    /// An object for each turn, with at least `role` and `content`.
    pub messages: Vec<String>,
    /// The list of tools that the model may call.
    pub tools: Option<String>,
    /// Further arguments for the template, an object (`chat_template_kwargs`).
    pub arguments: Option<String>,
}

impl Chat {
    /// The recorded output of the request that starts before turn `request` (an entry of
    /// [`Chat::requests`]), or nothing where the chat ends there unanswered.
    pub fn answer(&self, request: usize) -> Option<&str> {
        self.turns.get(request).map(|turn| turn.text.as_str())
    }

    /// Whether the chat ends with a question, which is no request though earlier answers are: as
    /// the bodies of a log of requests do.
    pub fn ends_unanswered(&self) -> bool {
        self.requests.last().is_some_and(|&last| last + 1 < self.turns.len())
    }

    /// The chat of `turns` and the requests that it stands for.
    fn new(turns: Vec<Turn>, choice: Turns, source: Option<Box<ChatSource>>) -> Self {
        let mut requests: Vec<usize> = (0..turns.len()).filter(|&i| turns[i].role == "assistant").collect();
        match (choice, requests.last()) {
            (Turns::Each, Some(_)) => {}
            (Turns::Last, Some(&last)) if last + 1 == turns.len() => requests = vec![last],
            _ => requests = vec![turns.len()],
        }
        Self { turns, requests, source }
    }
}

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks: `system`, `user`, `assistant`, or any other name as it stood.
    pub role: String,
    /// What is said.
    pub text: String,
}

/// The length of a request's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputLength {
    /// In tokens.
    Known(u64),
    /// As long as this text, whose tokens are to be counted.
    Text(String),
    /// The record does not say.
    Unknown,
}

impl PromptRecord {
    /// Reads one line, which comes without its newline.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the line, without naming file and line number: bytes that are not
    /// UTF-8 or not JSON, no field known to hold a prompt, or a field of the wrong type.
    pub fn parse(line: &[u8], options: &PromptOptions) -> Result<Self, String> {
        if options.text {
            return Ok(Self {
                content: Content::Texts(vec![text_of(line)?.to_owned()]),
                output: OutputLength::Unknown,
                timestamp: None,
                kept: Vec::new(),
            });
        }
        let record = parse_object(line)?;
        let mut scope = Scope { record: &record, inner: None };
        let body;
        let content = if let Some(path) = &options.field {
            let (parent, value) = follow(&record, path)?;
            body = parent;
            scope.inner = body.as_ref();
            any_content(path, value, &scope, options)?
        } else if let Some(content) = content_of(&scope, options)? {
            content
        } else if let Some(value) = record.get("body") {
            body = Some(object_at("\"body\"", value)?);
            scope.inner = body.as_ref();
            match (content_of(&scope, options)?, conversation_of(&scope, options)?) {
                (Some(content), _) | (None, Some(content)) => content,
                (None, None) => return Err(nothing_found("\"body\"", &record)),
            }
        } else if let Some(content) = conversation_of(&scope, options)? {
            content
        } else {
            return Err(nothing_found("the record", &record));
        };
        Ok(Self {
            content,
            output: output_length(&scope, options)?,
            timestamp: timestamp(&scope, options)?,
            kept: kept(&scope, &options.keep),
        })
    }
}

/// The raw fields of an object, in their order.
struct Object<'a>(Vec<(Key<'a>, &'a RawValue)>);

/// A field's name; borrowed unless it contains escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    /// The field `name`, the last if there are several, nothing if it is `null`.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.raw(name).filter(|value| value.get() != "null")
    }

    /// The field `name`, the last if there are several, even if it is `null`.
    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key.0 == name).map(|&(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(Key<'de>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(Object)
    }
}

/// Where the fields beside a prompt are looked for: first in the record itself, which is what a
/// logger adds to a request, then in the object inside it that holds the prompt.
struct Scope<'s, 'a> {
    record: &'s Object<'a>,
    inner: Option<&'s Object<'a>>,
}

impl<'s, 'a> Scope<'s, 'a> {
    fn innermost(&self) -> &'s Object<'a> {
        self.inner.unwrap_or(self.record)
    }

    fn objects(&self) -> impl Iterator<Item = &'s Object<'a>> + use<'s, 'a> {
        std::iter::once(self.record).chain(self.inner)
    }

    /// The first of `names` that is present, and its value.
    fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &'a RawValue)> {
        self.objects().find_map(|object| names.iter().find_map(|&name| Some((name, object.get(name)?))))
    }
}

/// The line as an object; if it is none, says why in the reader's terms.
fn parse_object(line: &[u8]) -> Result<Object<'_>, String> {
    let text = text_of(line)?;
    match text.trim_start().chars().next() {
        Some('{') => serde_json::from_str(text).map_err(|error| json_reason(&error)),
        Some('[') if begins_list(text) => {
            Err("a JSON object is expected, found a list; write one object per \
             line (jq -c '.[]' does), or use --text to take each line as a prompt"
                .to_owned())
        }
        Some(other) => Err(format!(
            "a JSON object is expected, but the line begins with {other:?}; use --text to take each line \
             as a prompt, or grep '^{{' to pick the JSON out of a log"
        )),
        None => Err("a JSON object is expected, found an empty line".to_owned()),
    }
}

/// Whether this may be a list's first line: logs have times in brackets.
fn begins_list(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).map_or_else(|error| error.is_eof(), |_| true)
}

/// How deep a prompt is looked for that has not been found.
const LEVELS: u32 = 3;

fn nothing_found(place: &str, record: &Object<'_>) -> String {
    if let Some(path) = prompt_path(record, LEVELS) {
        return format!("no prompt in {place} itself, but in \"{path}\": use --field {path}");
    }
    format!(
        "no prompt in {place}: looked for {}, {}, messages, body, {}; use --field to name another",
        IDS.join(", "),
        TEXTS.join(", "),
        CONVERSATIONS.join(", ")
    )
}

/// Where a prompt seems to be in an object or the objects inside it, as a value of --field.
fn prompt_path(object: &Object<'_>, levels: u32) -> Option<String> {
    let names = [&IDS[..], &TEXTS, &["messages"], &CONVERSATIONS].concat();
    if let Some((name, _)) = present(object, &names) {
        return Some(name.to_owned());
    }
    object.0.iter().filter(|(key, _)| levels > 0 && !key.0.contains('.')).find_map(|(key, value)| {
        let inner = serde_json::from_str(value.get()).ok()?;
        Some(format!("{}.{}", key.0, prompt_path(&inner, levels - 1)?))
    })
}

/// The prompt of an object that has it in a field for ids, texts or messages.
fn content_of(scope: &Scope<'_, '_>, options: &PromptOptions) -> Result<Option<Content>, String> {
    let object = scope.innermost();
    if let Some((name, value)) = present(object, &IDS) {
        return ids_content(name, value).map(Some);
    }
    if let Some((name, value)) = present(object, &TEXTS) {
        return any_content(name, value, scope, options).map(Some);
    }
    match object.get("messages") {
        Some(value) => chat_content("messages", value, scope, options).map(Some),
        None => Ok(None),
    }
}

/// The prompt of an object that has it in the form of `ShareGPT`.
fn conversation_of(scope: &Scope<'_, '_>, options: &PromptOptions) -> Result<Option<Content>, String> {
    match present(scope.innermost(), &CONVERSATIONS) {
        Some((name, value)) => chat_content(name, value, scope, options).map(Some),
        None => Ok(None),
    }
}

/// The first of `names` that `object` has, and its value.
fn present<'a, 'n>(object: &Object<'a>, names: &[&'n str]) -> Option<(&'n str, &'a RawValue)> {
    Scope { record: object, inner: None }.first(names)
}

/// The value at the dotted `path`, and the object that holds it if that is not the record itself.
fn follow<'a>(record: &Object<'a>, path: &str) -> Result<(Option<Object<'a>>, &'a RawValue), String> {
    let mut parent: Option<Object<'a>> = None;
    let mut done = 0;
    loop {
        let rest = &path[done..];
        let name = rest.split('.').next().unwrap_or_default();
        let value = parent
            .as_ref()
            .unwrap_or(record)
            .get(name)
            .ok_or_else(|| format!("no field \"{}\" (from --field)", &path[..done + name.len()]))?;
        if rest.len() == name.len() {
            return Ok((parent, value));
        }
        parent = Some(object_at(&format!("\"{}\"", &path[..done + name.len()]), value)?);
        done += name.len() + 1;
    }
}

/// The prompt in a field of the innermost object that may hold any form of it.
fn any_content(
    name: &str,
    value: &RawValue,
    scope: &Scope<'_, '_>,
    options: &PromptOptions,
) -> Result<Content, String> {
    let expected = "a string, or a list of token ids, strings or messages";
    let text = value.get();
    if text.starts_with('"') {
        return Ok(Content::Texts(vec![string(value)?]));
    }
    if !text.starts_with('[') {
        let inside = serde_json::from_str(text).ok().and_then(|object| prompt_path(&object, LEVELS));
        let hint = inside.map_or_else(String::new, |path| format!("; use --field {name}.{path}"));
        return Err(mismatch(&format!("\"{name}\""), expected, value) + &hint);
    }
    match text[1..].trim_start().chars().next() {
        Some('"') => list(value)?
            .into_iter()
            .enumerate()
            .map(|(i, item)| string_at(&format!("item {} of \"{name}\"", i + 1), item))
            .collect::<Result<_, _>>()
            .map(Content::Texts),
        Some('{') => chat_content(name, value, scope, options),
        Some('[' | ']' | '-' | '0'..='9') => ids_content(name, value),
        _ => {
            let items = list(value)?;
            let first = items.first().copied().unwrap_or(value);
            Err(mismatch(&format!("item 1 of \"{name}\""), expected, first))
        }
    }
}

/// A list of token ids, or a list of such lists.
fn ids_content(name: &str, value: &RawValue) -> Result<Content, String> {
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

fn ids(name: &str, value: &RawValue) -> Result<Vec<u32>, String> {
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
    let place = format!("item {} of \"{name}\"", i + 1);
    Err(mismatch(&place, "a token id, a whole number below 4294967296", wrong))
}

/// A list of messages in the field `name` of the innermost object.
fn chat_content(
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
        let message: Object<'_> =
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

fn output_length(scope: &Scope<'_, '_>, options: &PromptOptions) -> Result<OutputLength, String> {
    if let Some(path) = &options.output_field {
        let value = named(scope, path, "--output-field")?;
        let text = value.get().starts_with('"');
        return if text {
            string(value).map(OutputLength::Text)
        } else {
            whole_number(path, value).map(OutputLength::Known)
        };
    }
    if let Some((name, value)) = scope.first(&OUTPUT_LENGTHS) {
        return whole_number(name, value).map(OutputLength::Known);
    }
    // These names also carry things other than the text: whole answers of servers, settings.
    let text = scope.objects().find_map(|object| {
        OUTPUT_TEXTS.iter().find_map(|name| object.get(name).filter(|v| v.get().starts_with('"')))
    });
    if let Some(text) = text {
        return string(text).map(OutputLength::Text);
    }
    match scope.first(&OUTPUT_LIMITS) {
        Some((name, value)) => whole_number(name, value).map(OutputLength::Known),
        None => Ok(OutputLength::Unknown),
    }
}

/// A number of tokens. Tables written by pandas say `52.0`.
fn whole_number(name: &str, value: &RawValue) -> Result<u64, String> {
    let number = value.get().parse().ok().or_else(|| {
        let number: f64 = serde_json::from_str(value.get()).ok()?;
        let whole = number.fract() == 0.0 && (0.0..=MAX_LENGTH as f64).contains(&number);
        whole.then_some(number as u64)
    });
    number
        .filter(|&number| number <= MAX_LENGTH)
        .ok_or_else(|| mismatch(&format!("\"{name}\""), "a whole number of tokens, at most 2^40", value))
}

/// The text of the time field: a number, or the characters of a string where a field was named.
fn timestamp(scope: &Scope<'_, '_>, options: &PromptOptions) -> Result<Option<String>, String> {
    let number = |value: &RawValue| value.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if let Some(path) = &options.timestamp_field {
        let value = named(scope, path, "--timestamp-field")?;
        return match value.get().starts_with('"') {
            true => string(value).map(Some),
            false if number(value) => Ok(Some(value.get().to_owned())),
            false => Err(mismatch(&format!("\"{path}\""), "a number or a time", value)),
        };
    }
    let Some((name, value)) = scope.first(&["timestamp"]) else {
        return Ok(None);
    };
    let plausible = |text: &str| text.parse().is_ok_and(|time: f64| time.abs() <= MAX_TIME);
    if !number(value) || !plausible(value.get()) {
        let hint =
            if value.get().starts_with('"') { "; for a date use --timestamp-unit rfc3339" } else { "" };
        return Err(mismatch(&format!("\"{name}\""), "a number", value) + hint);
    }
    Ok(Some(value.get().to_owned()))
}

/// The field at a path that `option` names.
fn named<'a>(scope: &Scope<'_, 'a>, path: &str, option: &str) -> Result<&'a RawValue, String> {
    let found = scope.objects().find_map(|object| follow(object, path).ok());
    found.map(|(_, value)| value).ok_or_else(|| format!("no field \"{path}\" (from {option})"))
}

fn kept(scope: &Scope<'_, '_>, names: &[String]) -> Vec<(String, String)> {
    let find = |name: &String| scope.objects().find_map(|object| object.raw(name));
    names.iter().filter_map(|name| find(name).map(|value| (name.clone(), value.get().to_owned()))).collect()
}

fn list(value: &RawValue) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(value.get()).map_err(|_| mismatch("the value", "a list", value))
}

fn object_at<'a>(place: &str, value: &'a RawValue) -> Result<Object<'a>, String> {
    serde_json::from_str(value.get()).map_err(|_| mismatch(place, "an object", value))
}

fn string_at(place: &str, value: &RawValue) -> Result<String, String> {
    if value.get().starts_with('"') { string(value) } else { Err(mismatch(place, "a string", value)) }
}

/// The text of a JSON string.
fn string(value: &RawValue) -> Result<String, String> {
    if let Some(text) = unescape(value.get()) {
        return Ok(text);
    }
    if let Ok(text) = serde_json::from_str(value.get()) {
        return Ok(text);
    }
    // What was read as JSON and is no text contains lone surrogates. As bytes they are let through,
    // in the three bytes that U+FFFD takes as well.
    let mut bytes = serde_json::from_str::<Wtf8>(value.get()).map_err(|e| e.to_string())?.0;
    for i in 0..bytes.len().saturating_sub(2) {
        if bytes[i] == 0xED && bytes[i + 1] >= 0xA0 {
            bytes[i..i + 3].copy_from_slice("\u{FFFD}".as_bytes());
        }
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// The text of a JSON string that is known to be one, unless it has surrogates in it. Quicker than the
/// library where escapes are few.
fn unescape(value: &str) -> Option<String> {
    let mut rest = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        let mut length = 2;
        text.push_str(plain);
        text.push(match escape.as_bytes().get(1)? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                length = 6;
                char::from_u32(u32::from_str_radix(escape.get(2..length)?, 16).ok()?)?
            }
            &other => char::from(other),
        });
        rest = escape.get(length..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// The bytes of a JSON string, which are UTF-8 except for lone surrogates.
struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes).map(Wtf8)
    }
}

/// "PLACE must be EXPECTED, found WHAT".
fn mismatch(place: &str, expected: &str, found: &RawValue) -> String {
    const SHOWN: usize = 40;
    let text = found.get();
    let found = match text.as_bytes().first() {
        Some(b'"') => "a string".to_owned(),
        Some(b'[') => "a list".to_owned(),
        Some(b'{') => "an object".to_owned(),
        _ if text.len() > SHOWN => "a number".to_owned(),
        _ => text.to_owned(),
    };
    format!("{place} must be {expected}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> PromptRecord {
        parse_with(line, &PromptOptions::default())
    }

    fn parse_with(line: &str, options: &PromptOptions) -> PromptRecord {
        PromptRecord::parse(line.as_bytes(), options).unwrap()
    }

    fn error(line: &str) -> String {
        PromptRecord::parse(line.as_bytes(), &PromptOptions::default()).unwrap_err()
    }

    fn field(path: &str) -> PromptOptions {
        PromptOptions { field: Some(path.to_owned()), ..PromptOptions::default() }
    }

    fn texts(texts: &[&str]) -> Content {
        Content::Texts(texts.iter().map(|&text| text.to_owned()).collect())
    }

    fn tokens(lists: &[&[u32]]) -> Content {
        Content::Tokens(lists.iter().map(|list| list.to_vec()).collect())
    }

    fn chat(turns: &[(&str, &str)], requests: &[usize]) -> Content {
        let turns =
            turns.iter().map(|&(role, text)| Turn { role: role.to_owned(), text: text.to_owned() }).collect();
        Content::Chat(Chat { turns, requests: requests.to_vec(), source: None })
    }

    #[test]
    fn token_ids_are_found_under_their_three_names() {
        for name in IDS {
            let line = format!("{{\"prompt\": \"no\", \"{name}\": [0, 17, 4294967295]}}");
            assert_eq!(parse(&line).content, tokens(&[&[0, 17, 4_294_967_295]]));
        }
    }

    #[test]
    fn a_prompt_is_a_string_ids_strings_or_lists_of_ids() {
        assert_eq!(parse(r#"{"prompt": "a\n\u00e9"}"#).content, texts(&["a\n\u{e9}"]));
        assert_eq!(parse(r#"{"prompt": [ 1, 2 ]}"#).content, tokens(&[&[1, 2]]));
        assert_eq!(parse(r#"{"prompt": ["a", ""]}"#).content, texts(&["a", ""]));
        assert_eq!(parse(r#"{"prompt": [[1], [], [2, 3]]}"#).content, tokens(&[&[1], &[], &[2, 3]]));
    }

    #[test]
    fn empty_prompts_are_requests_too() {
        assert_eq!(parse(r#"{"prompt": ""}"#).content, texts(&[""]));
        assert_eq!(parse(r#"{"prompt": []}"#).content, tokens(&[&[]]));
        assert_eq!(parse(r#"{"messages": []}"#).content, chat(&[], &[0]));
    }

    #[test]
    fn a_text_is_found_under_its_names() {
        for name in TEXTS {
            assert_eq!(parse(&format!("{{\"{name}\": \"x\"}}")).content, texts(&["x"]));
        }
    }

    #[test]
    fn the_first_shape_wins_and_null_counts_as_absent() {
        let line = r#"{"messages": [], "text": "t", "prompt": null, "token_ids": null}"#;
        assert_eq!(parse(line).content, texts(&["t"]));
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        assert_eq!(parse(r#"{"prompt": "a", "\u0070rompt": "b"}"#).content, texts(&["b"]));
    }

    #[test]
    fn a_chat_is_one_request_per_assistant_turn() {
        let line = r#"{"messages": [{"role": "system", "content": "s"},
            {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"},
            {"role": "tool", "content": "r"}, {"role": "assistant", "content": null},
            {"content": "v", "role": "user"}]}"#;
        let turns = [
            ("system", "s"),
            ("user", "u"),
            ("assistant", "a"),
            ("tool", "r"),
            ("assistant", ""),
            ("user", "v"),
        ];
        let record = parse(line);
        assert_eq!(record.content, chat(&turns, &[2, 4]));
        let last = PromptOptions { turns: Turns::Last, ..PromptOptions::default() };
        assert_eq!(parse_with(line, &last).content, chat(&turns, &[6]));
    }

    #[test]
    fn a_chat_without_assistant_turns_is_one_unanswered_request() {
        let record = parse(r#"{"messages": [{"role": "user", "content": "u"}], "max_tokens": 7}"#);
        assert_eq!(record.content, chat(&[("user", "u")], &[1]));
        assert_eq!(record.output, OutputLength::Known(7));
        let Content::Chat(chat) = record.content else { panic!() };
        assert_eq!(chat.answer(1), None);
    }

    #[test]
    fn the_last_answer_is_the_output_of_the_whole_chat() {
        let last = PromptOptions { turns: Turns::Last, ..PromptOptions::default() };
        let line = r#"{"conversations": [{"from": "human", "value": "q"},
            {"from": "gpt", "value": "a"}, {"from": "human", "value": "r"},
            {"from": "gpt", "value": "b"}]}"#;
        let Content::Chat(chat) = parse_with(line, &last).content else { panic!() };
        assert_eq!(chat.requests, [3]);
        assert_eq!(chat.answer(3), Some("b"));
    }

    #[test]
    fn roles_of_sharegpt_get_their_usual_names() {
        let line = r#"{"conversations": [{"from": "system", "value": "s"},
            {"from": "human", "value": "1"}, {"from": "gpt", "value": "2"},
            {"from": "user", "value": "3"}, {"from": "chatgpt", "value": "4"},
            {"from": "bing", "value": "5"}, {"from": "bard", "value": "6"},
            {"from": "assistant", "value": "7"}, {"from": "Critic", "value": "8"}]}"#;
        let turns = [
            ("system", "s"),
            ("user", "1"),
            ("assistant", "2"),
            ("user", "3"),
            ("assistant", "4"),
            ("assistant", "5"),
            ("assistant", "6"),
            ("assistant", "7"),
            ("Critic", "8"),
        ];
        assert_eq!(parse(line).content, chat(&turns, &[2, 4, 5, 6, 7]));
    }

    #[test]
    fn forks_of_sharegpt_name_the_list_and_the_fields_otherwise() {
        for name in CONVERSATIONS {
            let line = format!(r#"{{"{name}": [{{"role": "human", "content": "q"}}]}}"#);
            assert_eq!(parse(&line).content, chat(&[("user", "q")], &[1]));
        }
    }

    #[test]
    fn an_input_may_be_a_list_of_messages() {
        let line = r#"{"input": [{"type": "message", "role": "user", "content":
            [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}]}]}"#;
        assert_eq!(parse(line).content, chat(&[("user", "ab")], &[1]));
    }

    #[test]
    fn the_parts_of_a_message_are_joined() {
        let line = r#"{"messages": [{"role": "user", "content":
            [{"type": "text", "text": "a"}, "b", {"text": "c"}]}]}"#;
        assert_eq!(parse(line).content, chat(&[("user", "abc")], &[1]));
    }

    #[test]
    fn a_system_prompt_beside_the_messages_is_the_first_turn() {
        let line = r#"{"system": "s", "messages": [{"role": "user", "content": "u"}]}"#;
        assert_eq!(parse(line).content, chat(&[("system", "s"), ("user", "u")], &[2]));
        let line = r#"{"body": {"system": [{"type": "text", "text": "s"}], "messages": []}}"#;
        assert_eq!(parse(line).content, chat(&[("system", "s")], &[1]));
    }

    #[test]
    fn tool_calls_and_tools_are_passed_over() {
        let line = r#"{"tools": [{"x": 1}], "messages": [{"role": "user", "content": "u"},
            {"role": "assistant", "tool_calls": [{"id": "1"}]}]}"#;
        assert_eq!(parse(line).content, chat(&[("user", "u"), ("assistant", "")], &[1]));
    }

    #[test]
    fn a_batch_line_has_its_prompt_in_the_body() {
        let line = r#"{"custom_id": "r1", "timestamp": 12.50, "body":
            {"prompt": "x", "max_tokens": 9, "timestamp": 3, "model": "m"}}"#;
        let keep = vec!["model".to_owned(), "custom_id".to_owned(), "none".to_owned()];
        let record = parse_with(line, &PromptOptions { keep, ..PromptOptions::default() });
        assert_eq!(record.content, texts(&["x"]));
        assert_eq!(record.output, OutputLength::Known(9));
        assert_eq!(record.timestamp.as_deref(), Some("12.50"));
        let kept = [("model", "\"m\""), ("custom_id", "\"r1\"")];
        assert_eq!(record.kept, kept.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let line = r#"{"body": {"conversations": [{"from": "human", "value": "q"}]}}"#;
        assert_eq!(parse(line).content, chat(&[("user", "q")], &[1]));
    }

    #[test]
    fn kept_fields_stay_byte_for_byte() {
        let line = r#"{"prompt": "", "a": { "n" : 1.0e+02, "s": "\u00e9" }, "b": null}"#;
        let keep = vec!["a".to_owned(), "b".to_owned()];
        let record = parse_with(line, &PromptOptions { keep, ..PromptOptions::default() });
        assert_eq!(record.kept[0].1, r#"{ "n" : 1.0e+02, "s": "\u00e9" }"#);
        assert_eq!(record.kept[1].1, "null");
    }

    #[test]
    fn a_named_field_is_taken_instead_of_the_known_ones() {
        let line = r#"{"prompt": "no", "a": {"b": {"c": "yes", "max_tokens": 3}, "ids": [1],
            "list": ["x", "y"], "chat": [{"role": "user", "content": "u"}]}}"#;
        let record = parse_with(line, &field("a.b.c"));
        assert_eq!(record.content, texts(&["yes"]));
        assert_eq!(record.output, OutputLength::Known(3));
        assert_eq!(parse_with(line, &field("a.ids")).content, tokens(&[&[1]]));
        assert_eq!(parse_with(line, &field("a.list")).content, texts(&["x", "y"]));
        assert_eq!(parse_with(line, &field("a.chat")).content, chat(&[("user", "u")], &[1]));
        assert_eq!(parse_with(line, &field("prompt")).content, texts(&["no"]));
    }

    #[test]
    fn a_named_field_that_leads_nowhere_is_an_error() {
        let error = |line: &str, path: &str| PromptRecord::parse(line.as_bytes(), &field(path)).unwrap_err();
        assert_eq!(error(r#"{"a": {}}"#, "a.b.c"), "no field \"a.b\" (from --field)");
        assert_eq!(error(r#"{"a": null}"#, "a"), "no field \"a\" (from --field)");
        assert_eq!(error(r#"{"a": 3}"#, "a.b"), "\"a\" must be an object, found 3");
        assert!(error(r#"{"a": 3}"#, "a").starts_with("\"a\" must be a string, or a list"));
        for path in ["", ".", "a.", ".a", "a..b"] {
            assert!(error(r#"{"a": {}}"#, path).contains("(from --field)"), "{path}");
        }
    }

    #[test]
    fn a_prompt_further_inside_is_pointed_at() {
        let line = r#"{"a.b": {"text": "x"}, "n": [1], "request": {"model": "m", "messages": []}}"#;
        let found =
            "no prompt in the record itself, but in \"request.messages\": use --field request.messages";
        assert_eq!(error(line), found);
        assert!(error(r#"{"obj": {"text": null, "input_ids": [1]}}"#).ends_with("--field obj.input_ids"));
        assert!(error(r#"{"body": {"a": {"prompt": ""}}}"#).ends_with("--field body.a.prompt"));
        let error = PromptRecord::parse(line.as_bytes(), &field("request")).unwrap_err();
        assert!(error.ends_with("found an object; use --field request.messages"), "{error}");
        let deep = "{\"a\": ".repeat(5) + "{\"prompt\": \"\"}" + &"}".repeat(5);
        assert!(PromptRecord::parse(deep.as_bytes(), &field("b")).is_err());
        assert!(self::error(&deep).starts_with("no prompt in the record: looked for"));
    }

    #[test]
    fn the_output_may_have_a_field_of_its_own() {
        let path = Some("response.usage.completion_tokens".to_owned());
        let options = PromptOptions { output_field: path, ..PromptOptions::default() };
        let line =
            r#"{"prompt": "", "output_length": 1, "response": {"usage": {"completion_tokens": USED}}}"#;
        let read = |used: &str| PromptRecord::parse(line.replace("USED", used).as_bytes(), &options);
        assert_eq!(read("7").unwrap().output, OutputLength::Known(7));
        assert_eq!(read("\"seven\"").unwrap().output, OutputLength::Text("seven".to_owned()));
        let missing = "no field \"response.usage.completion_tokens\" (from --output-field)";
        assert_eq!(read("null").unwrap_err(), missing);
        assert!(read("-1").unwrap_err().contains("a whole number of tokens"));
    }

    #[test]
    fn a_text_line_is_the_prompt_as_it_stands() {
        let options = PromptOptions { text: true, ..PromptOptions::default() };
        let record = parse_with(r#" {"prompt": "x"} "#, &options);
        assert_eq!(record.content, texts(&[r#" {"prompt": "x"} "#]));
        assert_eq!(record.output, OutputLength::Unknown);
        let error = PromptRecord::parse(b"ab\xff", &options).unwrap_err();
        assert_eq!(error, "invalid UTF-8 at byte 3");
    }

    #[test]
    fn the_output_length_is_known_counted_or_limited_in_this_order() {
        let output = |fields: &str| parse(&format!("{{\"prompt\": \"\", {fields}}}")).output;
        let text = |text: &str| OutputLength::Text(text.to_owned());
        let all = r#""max_tokens": 4, "output": "o", "response": "r", "completion": "c""#;
        assert_eq!(output(&format!(r#"{all}, "output_length": 3"#)), OutputLength::Known(3));
        assert_eq!(output(&format!(r#"{all}, "output_tokens": 2.0"#)), OutputLength::Known(2));
        assert_eq!(output(all), text("c"));
        assert_eq!(output(r#""response": "r", "output": "o""#), text("r"));
        assert_eq!(output(r#""response": {}, "output": "o""#), text("o"));
        assert_eq!(output(r#""max_tokens": 4"#), OutputLength::Known(4));
        assert_eq!(output(r#""max_completion_tokens": 5"#), OutputLength::Known(5));
        assert_eq!(output(r#""max_tokens": null"#), OutputLength::Unknown);
    }

    #[test]
    fn an_output_length_that_is_no_number_of_tokens_is_an_error() {
        for wrong in ["-1", "1.5", "1e300", "true", "1099511627777"] {
            assert_eq!(
                error(&format!(r#"{{"prompt": "", "output_length": {wrong}}}"#)),
                format!("\"output_length\" must be a whole number of tokens, at most 2^40, found {wrong}")
            );
        }
        assert!(error(r#"{"prompt": "", "max_tokens": "9"}"#).ends_with("found a string"));
    }

    #[test]
    fn a_timestamp_keeps_its_digits() {
        let line = r#"{"prompt": "", "timestamp": -1712345678901234567.120}"#;
        assert_eq!(parse(line).timestamp.as_deref(), Some("-1712345678901234567.120"));
        assert_eq!(parse(r#"{"prompt": "", "timestamp": null}"#).timestamp, None);
        assert_eq!(
            error(r#"{"prompt": "", "timestamp": "2026-01-01"}"#),
            "\"timestamp\" must be a number, found a string; for a date use --timestamp-unit rfc3339"
        );
    }

    #[test]
    fn escapes_are_read_as_the_library_reads_them() {
        let parts = [
            r"\n", r"\t", r"\r", r"\b", r"\f", r"\/", r"\\", r#"\""#, r"\u0041", r"\u00e9", r"\uFFFD",
            r"\u4e2d", "é", "中", "😀", "a", "n", "u0041", " ",
        ];
        let mut rng = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let inner: String = (0..rng.usize(0..9)).map(|_| parts[rng.usize(..parts.len())]).collect();
            let value = format!("\"{inner}\"");
            assert_eq!(unescape(&value), serde_json::from_str(&value).unwrap(), "{value}");
        }
        assert_eq!(unescape(r#""\ud83d\ude00""#), None);
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        let line = r#"{"prompt": "a\ud83d\ud83d\ude00\udc00\u00edz", "\u0061": 1}"#;
        assert_eq!(parse(line).content, texts(&["a\u{fffd}\u{1f600}\u{fffd}\u{ed}z"]));
    }

    #[test]
    fn a_line_that_is_no_object_is_an_error_that_names_the_way_out() {
        for line in ["Hello", "\"quoted\"", "[1]", "12", "\u{301}"] {
            assert!(error(line).contains("--text"), "{line}");
        }
        assert!(error("[{").contains("jq -c '.[]'"));
        assert!(error(r#"[{"prompt": "a"},"#).contains("jq -c '.[]'"));
        assert!(error("[2026-11-25 10:00:00] Prefill batch").contains("the line begins with '['"));
        assert_eq!(error("  "), "a JSON object is expected, found an empty line");
    }

    #[test]
    fn malformed_json_is_named_with_its_column() {
        assert_eq!(error(r#"{"prompt": "a" "b": 1}"#), "not valid JSON: expected `,` or `}` at column 16");
        assert_eq!(error(r#"{"prompt": "#), "not valid JSON: EOF while parsing a value at column 11");
        assert!(error(r#"{"prompt": ""} x"#).contains("trailing characters at column 16"));
        assert!(error("{\"prompt\": \"a\tb\"}").contains("control character"));
        let bytes = PromptRecord::parse(b"{\"a\": \"\xff\"}", &PromptOptions::default());
        assert_eq!(bytes.unwrap_err(), "invalid UTF-8 at byte 8");
    }

    #[test]
    fn a_record_without_a_prompt_names_the_fields_looked_for() {
        for line in [r#"{"question": "x"}"#, r#"{"body": {"question": "x"}}"#, "{}"] {
            let error = error(line);
            for name in ["input_ids", "prompt", "messages", "body", "conversations", "--field"] {
                assert!(error.contains(name), "{error}");
            }
        }
    }

    #[test]
    fn fields_of_the_wrong_type_are_named_with_what_was_found() {
        let ids = "a token id, a whole number below 4294967296";
        let any = "a string, or a list of token ids, strings or messages";
        for (line, expected) in [
            (r#"{"input_ids": "x"}"#, r#""input_ids" must be a list of token ids, found a string"#),
            (r#"{"input_ids": [1, -2]}"#, &format!(r#"item 2 of "input_ids" must be {ids}, found -2"#)),
            (r#"{"prompt": [1.5]}"#, &format!(r#"item 1 of "prompt" must be {ids}, found 1.5"#)),
            (
                r#"{"prompt": [4294967296]}"#,
                &format!(r#"item 1 of "prompt" must be {ids}, found 4294967296"#),
            ),
            (r#"{"prompt": [[1], 2]}"#, r#"an item of "prompt" must be a list of token ids, found 2"#),
            (r#"{"prompt": ["a", 2]}"#, r#"item 2 of "prompt" must be a string, found 2"#),
            (r#"{"prompt": {"a": 1}}"#, &format!(r#""prompt" must be {any}, found an object"#)),
            (r#"{"text": [true]}"#, &format!(r#"item 1 of "text" must be {any}, found true"#)),
            (r#"{"messages": "x"}"#, r#""messages" must be a list of messages, found a string"#),
            (
                r#"{"messages": [{"role": "user"}, 7]}"#,
                r#"item 2 of "messages" must be a message, an object, found 7"#,
            ),
            (r#"{"messages": [{"content": "x"}]}"#, r#"message 1 of "messages" has no "role" (or "from")"#),
            (
                r#"{"messages": [{"role": 1}]}"#,
                r#"the role of message 1 of "messages" must be a string, found 1"#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": 1}]}"#,
                r#"the content of message 1 of "messages" must be a string or a list of text parts, found 1"#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#,
                r#"part 1 of message 1 of "messages" is of type "image_url"; only text is supported"#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#,
                r#"part 1 of message 1 of "messages" has no "text""#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"text": 3}]}]}"#,
                r#"the text of part 1 of message 1 of "messages" must be a string, found 3"#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": 3}]}]}"#,
                r#"the type of part 1 of message 1 of "messages" must be a string, found 3"#,
            ),
            (
                r#"{"messages": [{"role": "user", "content": [3]}]}"#,
                r#"part 1 of message 1 of "messages" must be an object, found 3"#,
            ),
            (
                r#"{"system": 1, "messages": []}"#,
                r#"the content of "system" must be a string or a list of text parts, found 1"#,
            ),
            (r#"{"body": []}"#, r#""body" must be an object, found a list"#),
        ] {
            assert_eq!(error(line), expected, "{line}");
        }
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(parse(&format!(r#"{{"x": {deep}, "prompt": "a"}}"#)).content, texts(&["a"]));
        assert!(error(&format!(r#"{{"prompt": {deep}}}"#)).contains("must be a token id"));
    }
}
