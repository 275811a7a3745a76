//! What a record says of a call beside its prompt, for traces of calls whose prompts are not known.

use super::beside::keys;
use super::content::{Keys, PromptOptions};
use super::path::value_at;
use super::scope::Scope;
use super::times::{timestamp, unread};
use super::usage::{self, Usage};
use crate::record::json::RawObject;
use crate::record::time::{Millis, TimeForm, Unit};

/// What is known of a call.
#[derive(Default)]
pub(crate) struct Reported {
    /// Tokens of the prompt, those of it that were in the cache and that were written there, and tokens of the answer.
    pub(crate) input: Option<u64>,
    pub(crate) cached: Option<u64>,
    pub(crate) written: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) time: Option<Millis>,
}

/// What a record reports, by any of the names that servers and gateways have for it.
pub(crate) fn reported(object: &RawObject) -> Reported {
    let scope = Scope { object, outer: None, pointer: String::new() };
    let response = object.get("response").and_then(RawObject::in_value);
    let usage = usage::of_record(&scope, response.as_ref());
    let time = timestamp(&scope, &PromptOptions::default()).ok().flatten();
    let time = time.and_then(|time| {
        let unit = || TimeForm::Number(Unit::of_the_present(&time.text).unwrap_or(Unit::Milliseconds));
        time.form.unwrap_or_else(unit).parse(&time.text).ok()
    });
    let Usage { input, cached, written, output } = usage;
    Reported { input, cached, written, output, time }
}

/// What an engine keys the blocks of a request by beside their tokens.
pub(crate) fn keys_of(object: &RawObject) -> Keys {
    keys(&Scope { object, outer: None, pointer: String::new() })
}

/// Of a record without a time, what may be one; see [`unread`].
pub(crate) fn unread_time(object: &RawObject) -> Option<String> {
    unread(&Scope { object, outer: None, pointer: String::new() })
}

impl RawObject<'_> {
    /// The text at a path.
    pub(crate) fn text_at(&self, path: &str) -> Option<String> {
        let found = value_at(self, path)?;
        let raw = found.json().get();
        Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
    }
}
