//! Whether two prompts part within JSON that is the same but for the order of its keys and items.

use serde_json::{Deserializer, Value};

use super::common::common_bytes;
use crate::tokens::Decoder;

/// Tokens before the place in which the beginning of the JSON is looked for.
const BEFORE: usize = 1024;

/// Bytes behind the place in which its end is.
const BEHIND: usize = 1 << 16;

/// Beginnings that are tried, from the innermost one outwards.
const MOST: usize = 8;

/// Whether the prompt `tokens`, which parts at `token` from another one that goes on with `rest`, parts from it
/// within JSON that has the same keys and values in another order.
pub(super) fn is_reordered(decoder: &Decoder, tokens: &[u32], token: usize, rest: &[u32]) -> bool {
    let before = decoder.text(&tokens[token.saturating_sub(BEFORE)..token], usize::MAX);
    if !before.iter().any(|byte| matches!(byte, b'{' | b'[')) {
        return false;
    }
    let [earlier, later] = [rest, &tokens[token..]].map(|tokens| decoder.text(tokens, BEHIND));
    let ahead = common_bytes(&earlier, &later);
    let text = |behind: &[u8]| String::from_utf8_lossy(&[&before, behind].concat()).into_owned();
    same_json(
        &text(&earlier),
        &text(&later),
        String::from_utf8_lossy(&[&before, &later[..ahead]].concat()).len(),
    )
}

/// Whether the texts, which part at byte `place`, part within the same JSON in another order.
fn same_json(earlier: &str, later: &str, place: usize) -> bool {
    let Some(before) = later.get(..place) else { return false };
    let beginnings = before.rmatch_indices(['{', '[']).map(|(at, _)| at).take(MOST);
    beginnings.into_iter().any(|at| {
        let value = |text: &str| text.get(at..).and_then(|text| first_value(text, place - at));
        value(later).is_some_and(|(later, bytes)| {
            value(earlier).is_some_and(|(earlier, others)| bytes == others && later == earlier)
        })
    })
}

/// The JSON with which a text begins, in the order of its names, if it ends behind byte `place`; and how often it
/// has each byte but white space, since what is written in another way is not in another order.
fn first_value(text: &str, place: usize) -> Option<(Value, [u32; 256])> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let end = values.byte_offset();
    let mut bytes = [0; 256];
    let shown = text.bytes().take(end).filter(|byte| !byte.is_ascii_whitespace());
    shown.for_each(|byte| bytes[usize::from(byte)] += 1);
    (end > place).then(|| (sorted(value), bytes))
}

/// The same with the items of lists in an order of their own; those of objects are in that of their names.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
            items.sort_by_cached_key(Value::to_string);
            items.into()
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, sorted(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(earlier: &str, later: &str) -> bool {
        let place = common_bytes(earlier.as_bytes(), later.as_bytes());
        same_json(earlier, later, place)
    }

    #[test]
    fn the_same_json_in_another_order_is_told_from_other_json() {
        for (a, b, same) in [
            (r#"x [{"a": 1, "b": {"c": 2}}] y"#, r#"x [{"b": {"c": 2}, "a": 1}] z"#, true),
            (r#"[{"a": 1, "b": 2}, {"c": 3}]"#, r#"[{"c": 3}, {"b": 2, "a": 1}]"#, true),
            (r#"{"a": "{", "e": ["x", "yy"], "f": 0}"#, r#"{"a": "{", "f": 0, "e": ["yy", "x"]}"#, true),
            (r#"{"a": 1, "b": 2}"#, r#"{"b": 1, "a": 2}"#, false),
            (r#"{"a": 1, "b": 2}"#, r#"{"b": 2}"#, false),
            (r#"{"a": "é"}"#, r#"{"a": "\u00e9"}"#, false),
            (r#"{"a": 1} tea"#, r#"{"a": 1} eat"#, false),
            (r#"{"a": 1, "b": "#, r#"{"b": 2, "a": "#, false),
            ("{tea}", "{eat}", false),
        ] {
            assert_eq!((is_same(a, b), is_same(b, a)), (same, same), "{a} {b}");
        }
    }
}
