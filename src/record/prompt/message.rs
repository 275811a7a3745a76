//! Messages of every API, written in the shape of `OpenAI`'s chat completions API.
//!
//! A message that has that shape stays as it stood. The parts of others (see [`part`](super::part)) are
//! put where that API has them: text in `content`, reasoning in `reasoning_content`, calls of tools in
//! `tool_calls`, and results of tools in messages of their own with the role `tool`.

use std::cell::RefCell;

use super::content::Message;
use super::fields::{
    is_empty, is_string, json, list, mismatch, object_at, string, string_at, without_halves,
};
use super::part::{Call, Held, Part, ToolResult, answer_of, calls_of, parts_of, read_part, used_tool};
use super::seen::{Known, Seen};
use super::shown::{Shown, stand_in};
use crate::record::json::RawObject;
use crate::record::raw::Json;

/// Fields that a message which is written anew has in other places.
const REWRITTEN: [&str; 24] = [
    "role",
    "from",
    "content",
    "value",
    "parts",
    "type",
    "id",
    "status",
    "tool_calls",
    "function_call",
    "reasoning",
    "reasoning_content",
    "thinking",
    "thinking_blocks",
    "reasoning_details",
    "refusal",
    "audio",
    "images",
    "attachments",
    "experimental_attachments",
    "name",
    "tool_call_id",
    "metadata",
    "toolInvocations",
];

/// Where a message has what is no text beside its content (Ollama, the AI SDK), and what that is.
const ATTACHED: [(&str, &str); 3] =
    [("images", "image"), ("attachments", "file"), ("experimental_attachments", "file")];

/// The role of results of tools. A tool may have nothing to say, and has answered all the same.
const RESULT: &str = "tool";

/// The messages of a chat as they are read.
pub(super) struct Messages<'s> {
    seen: &'s RefCell<Seen>,
    pub(super) list: Vec<Message>,
    /// Parts whose text is unknown.
    pub(super) stand_ins: u64,
    /// Whether any message says anything, or is the result of a tool.
    pub(super) filled: bool,
    /// A message of the assistant that the next item may add to.
    open: Option<Draft>,
    /// The item that is read, and the one that began the open message; none for what is no item.
    item: Option<usize>,
    open_from: Option<usize>,
    /// Whether that item is the last of its list.
    is_last: bool,
    /// Of each message the item that it is from, where that has been noted yet.
    from: Vec<Option<usize>>,
}

/// A message that is being put together.
#[derive(Default)]
struct Draft {
    role: String,
    /// Whether the content is a list of parts, in which case each text is one.
    parted: bool,
    texts: Vec<String>,
    reasoning: String,
    calls: Vec<Call>,
    /// Names and JSON texts of further fields.
    others: Vec<(String, String)>,
}

impl Draft {
    fn of(role: &str) -> Self {
        Self { role: role.to_owned(), ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.reasoning.is_empty() && self.calls.is_empty()
    }

    fn reason(&mut self, text: &str) {
        if !self.reasoning.is_empty() && !text.is_empty() {
            self.reasoning.push('\n');
        }
        self.reasoning.push_str(text);
    }

    fn message(mut self) -> Message {
        let texts = || self.texts.iter().map(|text| format!("{{\"type\":\"text\",\"text\":{}}}", json(text)));
        let content = match &self.texts[..] {
            [] => "null".to_owned(),
            [text] if !self.parted => json(text),
            _ => format!("[{}]", texts().collect::<Vec<_>>().join(",")),
        };
        let mut text = format!("{{\"role\":{},\"content\":{content}", json(&self.role));
        if !self.reasoning.is_empty() {
            text.push_str(&format!(",\"reasoning_content\":{}", json(&self.reasoning)));
        }
        if !self.calls.is_empty() {
            let calls: Vec<String> = self.calls.iter().map(Call::json).collect();
            text.push_str(&format!(",\"tool_calls\":[{}]", calls.join(",")));
        }
        for (name, value) in &self.others {
            text.push_str(&format!(",{}:{value}", json(name)));
        }
        text.push('}');
        let only = match &mut self.texts[..] {
            [text]
                if !self.parted
                    && self.reasoning.is_empty()
                    && self.calls.is_empty()
                    && self.others.is_empty() =>
            {
                Some(std::mem::take(text).into())
            }
            _ => None,
        };
        Message { role: self.role.into(), json: without_halves(&text).into(), text: only, id: None }
    }
}

/// The JSON string of a message that has nothing else but a role, as in data sets of chats.
fn only_text<'a>(item: &RawObject<'a>) -> Option<Json<'a>> {
    let mut text = None;
    for (name, value) in item.fields() {
        match name {
            "role" | "from" => {}
            "content" | "value" if text.is_none() && is_string(value) => text = Some(value),
            _ => return None,
        }
    }
    text
}

impl<'s> Messages<'s> {
    pub(super) fn new(seen: &'s RefCell<Seen>) -> Self {
        Self {
            seen,
            list: Vec::new(),
            stand_ins: 0,
            filled: false,
            open: None,
            item: None,
            open_from: None,
            is_last: false,
            from: Vec::new(),
        }
    }

    /// What is read next is item `item` of the list.
    pub(super) fn begin_item(&mut self, item: usize, is_last: bool) {
        self.note_items();
        (self.item, self.is_last) = (Some(item), is_last);
    }

    /// Notes the item of each new message.
    fn note_items(&mut self) {
        let new = self.list.len() - self.from.len();
        let (item, began) = (self.item, self.open_from.take());
        // The message that was open when the item came is the first to be complete.
        self.from.extend((0..new).map(|i| began.filter(|_| i == 0).or(item)));
        self.open_from = self.open.as_ref().and(if new == 0 { began.or(item) } else { item });
    }

    /// The item that each message is from.
    pub(super) fn items(&mut self) -> Vec<Option<usize>> {
        self.note_items();
        std::mem::take(&mut self.from)
    }

    /// What was read before.
    pub(super) fn seen(&self) -> &'s RefCell<Seen> {
        self.seen
    }

    /// Reads an item of a list of messages, which the words `place` name, unless it is known.
    pub(super) fn add(&mut self, place: &dyn Fn() -> String, item: Json<'_>) -> Result<(), String> {
        // What an item becomes after one of the assistant's depends on that one.
        let alone = self.open.is_none();
        let look = || self.seen.borrow_mut().message(item.get());
        let hash = match if alone { look() } else { Err(None) } {
            Ok(Known { message, filled, stand_ins, .. }) => {
                self.filled |= filled;
                self.stand_ins += stand_ins;
                self.list.push(message);
                return Ok(());
            }
            Err(hash) => hash,
        };
        let before = self.list.len();
        let (filled, stand_ins) = (std::mem::take(&mut self.filled), std::mem::take(&mut self.stand_ins));
        let place = place();
        self.read(&place, item, &object_at(&place, item)?)?;
        if let (Some(hash), true, [message]) = (hash, self.open.is_none(), &mut self.list[before..]) {
            let (filled, stand_ins) = (self.filled, self.stand_ins);
            self.seen.borrow_mut().insert(hash, item.get(), message, filled, stand_ins);
        }
        self.filled |= filled;
        self.stand_ins += stand_ins;
        Ok(())
    }

    /// Reads an item of a list of messages, which the words `place` name.
    fn read(&mut self, place: &str, raw: Json<'_>, item: &RawObject<'_>) -> Result<(), String> {
        let Some((role_name, role)) = item.first(&["role", "from"]) else {
            if let Some(kind) = item.string("type") {
                return self.item(place, &kind, raw, item);
            }
            if item.get("parts").is_some() {
                // Gemini: who else would ask.
                return self.message(place, "user", item);
            }
            return Err(format!("{place} has no \"role\" (or \"from\")"));
        };
        let given = string_at(&format!("the role of {place}"), role)?;
        let role = match &*given {
            "human" => "user",
            "gpt" | "chatgpt" | "bing" | "bard" | "ai" | "model" => "assistant",
            "function" => RESULT,
            other => other,
        };
        if role_name == "role" && role == given && self.has_our_shape(item) {
            self.close();
            self.filled |= role == RESULT;
            let text = only_text(item).map(string).transpose()?.map(Into::into);
            let json = without_halves(raw.get()).into();
            self.list.push(Message { role: given.into(), json, text, id: None });
            return Ok(());
        }
        if let Some(text) = only_text(item).filter(|_| self.open.is_none()) {
            // The string need not be decoded to stand under another name.
            self.filled |= role == RESULT || text.get().len() > 2;
            let json = format!("{{\"role\":{},\"content\":{}}}", json(role), text.get());
            let json = without_halves(&json).into();
            self.list.push(Message { role: role.into(), json, text: Some(string(text)?.into()), id: None });
            return Ok(());
        }
        self.message(place, role, item)
    }

    /// A message of `text`.
    pub(super) fn add_text(&mut self, role: &str, text: &str) {
        self.close();
        self.filled |= !text.is_empty();
        let draft = Draft { texts: vec![text.to_owned()], ..Draft::of(role) };
        self.list.push(draft.message());
    }

    /// What `value` holds, a string or a list of parts, as a message.
    pub(super) fn add_content(&mut self, place: &str, role: &str, value: Json<'_>) -> Result<(), String> {
        let mut draft = Draft::of(role);
        let mut results = Vec::new();
        self.content(place, value, &mut draft, &mut results)?;
        self.finish(draft, results);
        Ok(())
    }

    /// Ends the list.
    pub(super) fn close(&mut self) {
        if let Some(draft) = self.open.take() {
            self.push(draft);
        }
    }

    fn push(&mut self, draft: Draft) {
        self.filled |= draft.texts.iter().any(|text| !text.is_empty())
            || !draft.reasoning.is_empty()
            || !draft.calls.is_empty()
            || draft.role == RESULT;
        self.list.push(draft.message());
    }

    /// Whether a message has the shape in which it is handed on; takes note of what it holds.
    fn has_our_shape(&mut self, item: &RawObject<'_>) -> bool {
        let (mut content, mut filled) = (false, false);
        for (name, field) in item.fields() {
            let value = field.get();
            match name {
                "content" => {
                    content = true;
                    let texts = || list_of_texts(value);
                    match value.as_bytes()[0] {
                        b'"' => filled |= value.len() > 2,
                        b'n' => {}
                        b'[' if texts() => filled |= value.len() > 2,
                        _ => return false,
                    }
                }
                "tool_calls" if value != "null" => {
                    if !list_of_calls(value) {
                        return false;
                    }
                    let some = value[1..].trim_start() != "]";
                    (content, filled) = (content | some, filled | some);
                }
                "reasoning" | "reasoning_content" | "thinking" if value != "null" => {
                    if !value.starts_with('"') {
                        return false;
                    }
                    (content, filled) = (true, filled || value.len() > 2);
                }
                "from" | "value" | "parts" | "function_call" | "thinking_blocks" | "reasoning_details"
                | "refusal" | "audio"
                    if value != "null" =>
                {
                    return false;
                }
                "toolInvocations" if !is_empty(field) => return false,
                _ if ATTACHED.iter().any(|(attached, _)| *attached == name) && !is_empty(field) => {
                    return false;
                }
                _ => {}
            }
        }
        self.filled |= filled;
        content
    }

    /// A message in another shape.
    fn message(&mut self, place: &str, role: &str, item: &RawObject<'_>) -> Result<(), String> {
        let mut results = Vec::new();
        // What the assistant thought before it spoke.
        let thought = self.open.take_if(|open| role == "assistant" && open.calls.is_empty());
        let mut draft = thought.unwrap_or_else(|| Draft::of(role));
        if let Some(value) = item.first(&["reasoning_content", "reasoning", "thinking"]) {
            draft.reason(&string_at(&format!("the {} of {place}", value.0), value.1)?);
        } else if let Some((_, blocks)) = item.first(&["thinking_blocks", "reasoning_details"]) {
            for block in list(blocks).unwrap_or_default() {
                self.part(place, block, &mut draft, &mut results)?;
            }
        }
        // The interface of the AI SDK repeats in the content the texts among the parts, and nothing else.
        let bodies = ["parts", "content", "value"];
        let invocations = item.get("toolInvocations").filter(|_| item.get("parts").is_none());
        // The AI SDK puts the text behind them, except in the last message.
        if !self.is_last {
            self.invocations(place, invocations, &mut draft, &mut results)?;
        }
        if let Some((_, content)) = item.first_filled(&bodies).or_else(|| item.first(&bodies)) {
            self.content(place, content, &mut draft, &mut results)?;
        }
        if self.is_last {
            self.invocations(place, invocations, &mut draft, &mut results)?;
        }
        for name in ["refusal", "audio"] {
            let Some(value) = item.get(name) else { continue };
            let spoken = RawObject::in_value(value).and_then(|audio| audio.string("transcript"));
            let text = if is_string(value) { Some(string(value)?) } else { spoken };
            draft.texts.extend(text.filter(|_| draft.texts.is_empty()));
        }
        for (name, kind) in ATTACHED {
            for thing in item.get(name).and_then(Json::items).unwrap_or_default() {
                draft.parted = true;
                draft.texts.push(stand_in(kind, thing));
                self.stand_ins += 1;
            }
        }
        if let Some(calls) = item.get("tool_calls") {
            draft.calls.extend(calls_of(&format!("\"tool_calls\" of {place}"), calls)?);
        }
        if let Some(call) = item.get("function_call") {
            let call = RawObject::in_value(call).and_then(|call| Call::of(&call));
            draft.calls.push(call.ok_or_else(|| format!("\"function_call\" of {place} has no \"name\""))?);
        }
        let null = bodies.iter().any(|name| item.raw(name).is_some());
        if draft.is_empty() && results.is_empty() && !null {
            return Err(format!("{place} has neither content nor tool calls"));
        }
        for (name, value) in item.fields() {
            let named = matches!(name, "name" | "tool_call_id");
            if named && value.get() != "null" || !REWRITTEN.contains(&name) {
                draft.others.push((name.to_owned(), value.get().to_owned()));
            }
        }
        if role == "assistant" && results.is_empty() && item.string("type").is_some() {
            self.close();
            self.open = Some(draft);
        } else {
            self.finish(draft, results);
        }
        Ok(())
    }

    /// Appends a message and the results of tools in it. Those in a message of the user come first: they
    /// answer the calls before it.
    fn finish(&mut self, draft: Draft, results: Vec<ToolResult>) {
        self.close();
        let assistant = draft.role == "assistant";
        let alone = draft.is_empty() && !results.is_empty();
        let mut draft = Some(draft).filter(|_| !alone);
        if assistant && let Some(draft) = draft.take() {
            self.push(draft);
        }
        for result in results {
            let others = [("tool_call_id", result.id), ("name", result.name)];
            let others = others.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json(&text?))));
            let (texts, parted) = (result.texts, result.parted);
            self.push(Draft { texts, parted, others: others.collect(), ..Draft::of(RESULT) });
        }
        if let Some(draft) = draft {
            self.push(draft);
        }
    }

    /// The content of a message: a string, a part, or a list of parts.
    fn content(
        &mut self,
        place: &str,
        value: Json<'_>,
        draft: &mut Draft,
        results: &mut Vec<ToolResult>,
    ) -> Result<(), String> {
        match value.get().as_bytes().first() {
            Some(b'"') if is_empty(value) && !results.is_empty() => {}
            Some(b'"') => self.put(Part::Text(string(value)?), draft, results),
            Some(b'[') => {
                draft.parted = true;
                for (i, part) in list(value)?.into_iter().enumerate() {
                    self.part(&format!("part {} of {place}", i + 1), part, draft, results)?;
                }
            }
            Some(b'{') => match RawObject::in_value(value).and_then(|object| object.get("parts")) {
                Some(parts) => self.content(place, parts, draft, results)?,
                None => self.part(&format!("the content of {place}"), value, draft, results)?,
            },
            _ => {
                let place = format!("the content of {place}");
                return Err(mismatch(&place, "a string or a list of parts", value));
            }
        }
        Ok(())
    }

    /// A part of a message of any role.
    fn part(
        &mut self,
        place: &str,
        raw: Json<'_>,
        draft: &mut Draft,
        results: &mut Vec<ToolResult>,
    ) -> Result<(), String> {
        read_part(place, raw)?.into_iter().for_each(|part| self.put(part, draft, results));
        Ok(())
    }

    /// The tools that a message of the AI SDK's interface, version 4, has beside its text.
    fn invocations(
        &mut self,
        place: &str,
        value: Option<Json<'_>>,
        draft: &mut Draft,
        results: &mut Vec<ToolResult>,
    ) -> Result<(), String> {
        let mut step = None;
        for item in value.and_then(Json::items).unwrap_or_default() {
            let place = format!("an item of \"toolInvocations\" of {place}");
            let item = object_at(&place, item)?;
            let before = step.replace(item.get("step").map_or("0", Json::get).to_owned());
            if before.is_some() && before != step {
                self.put(Part::StepEnd, draft, results);
            }
            used_tool(&place, "toolInvocation", &item)?
                .into_iter()
                .for_each(|part| self.put(part, draft, results));
        }
        Ok(())
    }

    fn put(&mut self, part: Part, draft: &mut Draft, results: &mut Vec<ToolResult>) {
        // What the assistant says after a result of a tool is its next message.
        let held = results.last().map_or(Held::None, |result| result.held);
        let goes_on = match part {
            Part::Result(_) => false,
            Part::StepEnd => !draft.is_empty(),
            Part::Call(_) => held == Held::None && !results.is_empty(),
            _ => held != Held::Step && !results.is_empty(),
        };
        if goes_on && draft.role == "assistant" {
            let said = std::mem::replace(draft, Draft { parted: true, ..Draft::of("assistant") });
            self.finish(said, std::mem::take(results));
        }
        match part {
            Part::Text(text) => draft.texts.push(text),
            Part::Unknown(text) => {
                self.stand_ins += 1;
                draft.texts.push(text);
            }
            Part::Reasoning(text) => draft.reason(&text),
            Part::HiddenReasoning(text) => {
                self.stand_ins += 1;
                draft.reason(&text);
            }
            Part::Call(call) => draft.calls.push(call),
            Part::Result(result) => {
                self.stand_ins += result.stand_ins;
                results.push(result);
            }
            Part::StepEnd => {}
        }
    }

    /// An item of `OpenAI`'s Responses API that is no message. Items of the assistant that follow each other
    /// are one message, as an engine makes of them, until one says something after a call.
    fn item(&mut self, place: &str, kind: &str, raw: Json<'_>, item: &RawObject<'_>) -> Result<(), String> {
        if kind.ends_with("_output") {
            let (_, output) = item
                .first(&["output", "result"])
                .ok_or_else(|| format!("{place} ({kind}) has no \"output\""))?;
            let answer = answer_of(&format!("the output of {place}"), output)?;
            self.stand_ins += answer.stand_ins;
            self.close();
            self.finish(Draft::of(RESULT), vec![ToolResult { id: item.string("call_id"), ..answer }]);
            return Ok(());
        }
        let mut draft = self.open.take().unwrap_or_else(|| Draft::of("assistant"));
        if kind == "reasoning" {
            if !draft.calls.is_empty() {
                self.push(std::mem::replace(&mut draft, Draft::of("assistant")));
            }
            let mut texts = String::new();
            if let Some((_, value)) = item.first_filled(&["content", "summary", "text"]) {
                texts = parts_of(&format!("the content of {place}"), value)?.concat();
            }
            if texts.is_empty() && item.get("encrypted_content").is_some() {
                self.stand_ins += 1;
                texts = stand_in(kind, raw);
            }
            draft.reason(&texts);
        } else if matches!(kind, "function_call" | "custom_tool_call") {
            let call = Call::of(item).ok_or_else(|| format!("{place} ({kind}) has no \"name\""))?;
            draft.calls.push(call);
        } else if let Some(name) = kind.strip_suffix("_call") {
            // A tool of the server: the item holds both what was asked and what was found.
            let shown = Shown::sorted(item, &["type", "id", "call_id", "status"]);
            self.stand_ins += shown.stand_ins;
            let id = item.string("call_id").or_else(|| item.string("id"));
            draft.calls.push(Call { id, name: name.to_owned(), arguments: shown.text });
        } else if kind == "item_reference" {
            self.stand_ins += 1;
            draft.texts.push(stand_in(kind, raw));
        } else {
            return Err(format!("{place} is of the unknown type \"{kind}\""));
        }
        self.open = Some(draft).filter(|draft| !draft.is_empty());
        Ok(())
    }
}

/// Whether the JSON `value` is a list of `{"type": "text", "text": "..."}`.
fn list_of_texts(value: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct TextPart<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        text: Json<'a>,
    }
    serde_json::from_str::<Vec<TextPart<'_>>>(value)
        .is_ok_and(|parts| parts.iter().all(|part| part.kind == "text" && part.text.get().starts_with('"')))
}

/// Whether the JSON `value` is a list of `{"function": {...}}`.
fn list_of_calls(value: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct FunctionCall<'a> {
        #[serde(borrow)]
        function: Json<'a>,
    }
    serde_json::from_str::<Vec<FunctionCall<'_>>>(value)
        .is_ok_and(|calls| calls.iter().all(|call| call.function.get().starts_with('{')))
}
