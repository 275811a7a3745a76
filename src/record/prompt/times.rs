//! When a request arrived.

use super::content::{PromptOptions, Timestamp};
use super::fields::{is_string, mismatch, string};
use super::path::value_at;
use super::scope::Scope;
use crate::record::MAX_TIME;
use crate::record::json::{RawObject, cut};
use crate::record::raw::Json;
use crate::record::time::{Millis, TimeForm, Unit};

/// Fields that hold a moment in a unit that they do not name; a number that is no moment of our days is
/// something else, such as how long the request took.
const MOMENTS: [&str; 23] = [
    "ts",
    "time",
    "startTime",
    "start_time",
    "created",
    "created_at",
    "createdAt",
    "request_time",
    "arrival_time",
    "arrived_at",
    "start_timestamp",
    "eventMetadata.inferenceTime",
    "response.created",
    "response.created_at",
    "@timestamp",
    "datetime",
    "asctime",
    "time_local",
    "time_iso8601",
    "received_at",
    "logged_at",
    "event_time",
    "date",
];

/// Fields that name their unit.
const COUNTS: [(&str, Unit); 8] = [
    ("startTimeUnixNano", Unit::Nanoseconds),
    ("start_time_unix_nano", Unit::Nanoseconds),
    ("arrival_time_ns", Unit::Nanoseconds),
    ("timestamp_ns", Unit::Nanoseconds),
    ("trigger_time_us", Unit::Microseconds),
    ("timestamp_ms", Unit::Milliseconds),
    ("request_received_ms", Unit::Milliseconds),
    ("timestamp_start_unix_ms", Unit::Milliseconds),
];

/// The arrival time, if the record has one.
pub(super) fn timestamp(scope: &Scope<'_>, options: &PromptOptions) -> Result<Option<Timestamp>, String> {
    if let Some(path) = &options.timestamp_field {
        let value = scope.named(path, "timestamp_field")?;
        let value = value.json();
        if !is_string(value) && !is_number(value) {
            return Err(mismatch(&format!("\"{path}\""), "a number or a time", value));
        }
        let text = if is_string(value) { string(value)? } else { value.get().to_owned() };
        let form = Millis::parse_date(&text).map(|_| TimeForm::Date);
        return Ok(Some(Timestamp { text, form }));
    }
    if let Some((name, value)) = scope.first(&["timestamp"]) {
        let plausible = |text: &str| text.parse().is_ok_and(|time: f64| time.abs() <= MAX_TIME);
        if is_number(value) && plausible(value.get()) {
            return Ok(Some(Timestamp { text: value.get().to_owned(), form: None }));
        }
        let expected = "must be a number, or a date such as 2026-11-24T12:00:00Z";
        let wrong = || format!("\"{name}\" {expected}, found {}", cut(value.get()));
        return date(value).map(Some).ok_or_else(wrong);
    }
    let in_object = &mut |object| {
        let moment = MOMENTS.iter().find_map(|path| moment(value_at(object, path)?.json()));
        let count = || COUNTS.iter().find_map(|&(name, unit)| count(object.get(name)?, unit));
        moment.or_else(count)
    };
    Ok(scope.find(in_object))
}

/// Of a record without a time, what is one by its name and cannot be read, or what is one by its form alone.
pub(super) fn unread(scope: &Scope<'_>) -> Option<String> {
    let by_name = |object| {
        let names = ["timestamp"].iter().chain(&MOMENTS).chain(COUNTS.iter().map(|(name, _)| name));
        let values = names.filter_map(|path| Some((*path, value_at(object, path)?)));
        let mut said = values.map(|(path, value)| (path, cut(value.json().get()).into_owned()));
        said.find(|(_, text)| !matches!(&**text, "null" | "\"\""))
    };
    if let Some((path, text)) = scope.find(&mut { by_name }) {
        return Some(format!("no time is read from \"{path}\": {text}"));
    }
    let is_date = |value: Json<'_>| value.get().len() <= LONGEST_DATE && date(value).is_some();
    let by_form = |object: &RawObject<'_>| {
        let (name, value) = object.fields().find(|(_, value)| is_date(*value))?;
        Some(format!("no time is read, though \"{name}\": {} may be one", value.get()))
    };
    scope.find(&mut { by_form })
}

/// Bytes of the longest text that is looked at for a date, in quotes.
const LONGEST_DATE: usize = 66;

fn is_number(value: Json<'_>) -> bool {
    value.get().starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn date(value: Json<'_>) -> Option<Timestamp> {
    let text = if is_string(value) { string(value).ok()? } else { return None };
    Millis::parse_date(&text)?;
    Some(Timestamp { text, form: Some(TimeForm::Date) })
}

/// The moment that a number or a text is.
fn moment(value: Json<'_>) -> Option<Timestamp> {
    if let Some(date) = date(value) {
        return Some(date);
    }
    let text = value.get().trim_matches('"');
    let number: f64 = text.parse().ok()?;
    let milliseconds = (1e12..4e12).contains(&number).then_some(Unit::Milliseconds);
    let unit = milliseconds.or_else(|| Unit::of_the_present(text))?;
    count(value, unit)
}

/// The number `value`, which may stand in quotes.
fn count(value: Json<'_>, unit: Unit) -> Option<Timestamp> {
    let text = value.get().trim_matches('"');
    Millis::parse(text, unit)?;
    Some(Timestamp { text: text.to_owned(), form: Some(TimeForm::Number(unit)) })
}
