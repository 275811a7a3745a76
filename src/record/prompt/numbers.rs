//! What stands beside a prompt: the time, the length of the output, fields to keep.

use serde_json::value::RawValue;

use super::content::{OutputLength, PromptOptions};
use super::fields::{mismatch, string};
use super::scope::{Scope, named};
use crate::record::json;
use crate::record::{MAX_LENGTH, MAX_TIME};

/// Fields that hold the output's length in tokens.
const OUTPUT_LENGTHS: [&str; 2] = ["output_length", "output_tokens"];
/// Fields that hold the output itself.
const OUTPUT_TEXTS: [&str; 3] = ["completion", "response", "output"];
/// Fields that hold the greatest length that the output may have, in tokens.
const OUTPUT_LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

pub(super) fn output_length(scope: &Scope<'_, '_>, options: &PromptOptions) -> Result<OutputLength, String> {
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

/// A number of tokens.
fn whole_number(name: &str, value: &RawValue) -> Result<u64, String> {
    json::whole_number(value.get())
        .filter(|&number| number <= MAX_LENGTH)
        .ok_or_else(|| mismatch(&format!("\"{name}\""), "a whole number of tokens, at most 2^40", value))
}

/// The text of the time field: a number, or the characters of a string where a field was named.
pub(super) fn timestamp(scope: &Scope<'_, '_>, options: &PromptOptions) -> Result<Option<String>, String> {
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

pub(super) fn kept(scope: &Scope<'_, '_>, names: &[String]) -> Vec<(String, String)> {
    let find = |name: &String| scope.objects().find_map(|object| object.raw(name));
    names.iter().filter_map(|name| find(name).map(|value| (name.clone(), value.get().to_owned()))).collect()
}
