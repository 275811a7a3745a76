//! Where in a record the prompt is.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::chat::chat_content;
use super::content::{Content, PromptOptions};
use super::fields::{list, mismatch, string, string_at};
use super::scope::{Scope, present};
use crate::record::json::{RawObject, json_reason, text_of};

/// Fields that hold token ids, in the order in which they are looked for.
pub(super) const IDS: [&str; 3] = ["prompt_token_ids", "token_ids", "input_ids"];
/// Fields that hold a text, or a list of texts, token ids or messages.
pub(super) const TEXTS: [&str; 4] = ["prompt", "text_input", "text", "input"];
/// Fields that hold a chat in the form of `ShareGPT`.
pub(super) const CONVERSATIONS: [&str; 3] = ["conversations", "conversation", "items"];

/// The line as an object; if it is none, says why in the reader's terms.
pub(super) fn parse_object(line: &[u8]) -> Result<RawObject<'_>, String> {
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

pub(super) fn nothing_found(place: &str, record: &RawObject<'_>) -> String {
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
fn prompt_path(object: &RawObject<'_>, levels: u32) -> Option<String> {
    let names = [&IDS[..], &TEXTS, &["messages"], &CONVERSATIONS].concat();
    if let Some((name, _)) = present(object, &names) {
        return Some(name.to_owned());
    }
    object.fields().filter(|(key, _)| levels > 0 && !key.contains('.')).find_map(|(key, value)| {
        let inner = serde_json::from_str(value.get()).ok()?;
        Some(format!("{key}.{}", prompt_path(&inner, levels - 1)?))
    })
}

/// The prompt of an object that has it in a field for ids, texts or messages.
pub(super) fn content_of(scope: &Scope<'_, '_>, options: &PromptOptions) -> Result<Option<Content>, String> {
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
pub(super) fn conversation_of(
    scope: &Scope<'_, '_>,
    options: &PromptOptions,
) -> Result<Option<Content>, String> {
    match present(scope.innermost(), &CONVERSATIONS) {
        Some((name, value)) => chat_content(name, value, scope, options).map(Some),
        None => Ok(None),
    }
}

/// The prompt in a field of the innermost object that may hold any form of it.
pub(super) fn any_content(
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
