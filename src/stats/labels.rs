//! The names of groups: the values of a field.

use std::collections::HashMap;
use std::hash::BuildHasher;

use serde::de::IgnoredAny;
use serde_json::Value;

/// Values that are told apart; the requests with all others are one group.
pub const MAX_GROUPS: usize = 100;

/// The label of the requests that do not have the field.
pub const NO_VALUE: &str = "(none)";

/// The label of the requests that have no group.
pub const OTHERS: &str = "(other)";

/// The name of the group of a value, given as JSON: equal for equal values, however they are written, and
/// different for all others. It is the value in JSON, without the quotes of a text that cannot be taken for
/// something else; `null` is as good as no value.
pub fn label(json: Option<&str>) -> String {
    let Some(json) = json else { return NO_VALUE.to_owned() };
    match serde_json::from_str(json) {
        Ok(Value::Null) => NO_VALUE.to_owned(),
        Ok(Value::String(text)) if is_plain(&text) => text,
        Ok(value) => uniform(value).to_string(),
        // A number beyond all doubles.
        Err(_) => json.to_owned(),
    }
}

/// The value of a [`label`].
pub fn value_of(label: &str) -> Value {
    match serde_json::from_str(label) {
        _ if label == NO_VALUE => Value::Null,
        Ok(value) => value,
        Err(_) => Value::from(label),
    }
}

/// Whether there is no room for a group of one more label. The group without a value is not one of the most that
/// there may be.
pub(super) fn is_full<N, S: BuildHasher>(label: &str, groups: &HashMap<String, N, S>) -> bool {
    label != NO_VALUE && groups.len() - usize::from(groups.contains_key(NO_VALUE)) == MAX_GROUPS
}

/// Whether a text is nothing else's label.
fn is_plain(text: &str) -> bool {
    // Of a label that begins otherwise nothing else is valid JSON.
    let may_be_json = text.trim_start().starts_with(|c: char| "-\"[{ntf".contains(c) || c.is_ascii_digit());
    let is_json = may_be_json && serde_json::from_str::<IgnoredAny>(text).is_ok();
    text != NO_VALUE && text != OTHERS && !is_json
}

/// The same value with every number that is whole written as such.
fn uniform(value: Value) -> Value {
    const MOST: f64 = (1_u64 << 53) as f64;
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= MOST => {
                Value::from(float as i64)
            }
            _ => Value::Number(number),
        },
        Value::Array(values) => values.into_iter().map(uniform).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, uniform(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_label_and_others_another() {
        let classes: [&[&str]; 10] = [
            &["1", "1.0", "1e0", "10E-1"],
            &["\"1\""],
            &["\"1.0\""],
            &["\"a\"", "\"\\u0061\""],
            &["null"],
            &["\"(none)\""],
            &["\"null\""],
            &["true"],
            &["{\"a\":[1,\"b\"], \"c\":2}", "{ \"c\": 2.0, \"a\": [1, \"b\"] }"],
            &["\"{\\\"a\\\":1}\""],
        ];
        let mut labels = std::collections::BTreeSet::new();
        for class in classes {
            let first = label(Some(class[0]));
            assert!(class.iter().all(|json| label(Some(json)) == first), "{class:?}");
            let value: Value = serde_json::from_str(class[0]).unwrap();
            assert_eq!(value_of(&first), value);
            assert!(labels.insert(first.clone()), "{first}");
        }
        assert_eq!((label(None), label(Some("\"text\""))), (NO_VALUE.into(), "text".into()));
    }
}
