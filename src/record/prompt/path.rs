//! Paths to fields: names with dots between them, or a JSON Pointer.
//!
//! A name may have dots itself, as those of OpenTelemetry do: at each object the longest name is taken
//! that is there. A number is a place in a list, from 0. A string that holds JSON is gone into like the
//! JSON itself. A path that begins with `/` is a JSON Pointer (RFC 6901), in which nothing is ambiguous.

use std::borrow::Cow;

use memchr::memrchr_iter;

use super::fields::{decoded, list};
use crate::record::json::RawObject;
use crate::record::raw::{Cursor, Found, Json};

/// The value at `path` in `object`, unless there is none or it is `null`.
pub(crate) fn value_at<'a>(object: &RawObject<'a>, path: &str) -> Option<Found<'a>> {
    let (value, rest) = step(object, path)?;
    rest.map_or(Some(Found::part(value)), |rest| inside(value, rest))
}

/// The value at the JSON Pointer `path` in a record that has been read before. What stands behind the value is not
/// looked at, so this takes less than to read the object first.
pub(crate) fn value_in<'a>(record: &'a str, path: &str) -> Option<Found<'a>> {
    let read = || value_at(&RawObject::of_value(Json::known(record.trim()))?, path);
    walk(record, path).map(Found::part).or_else(read)
}

/// The same as long as names are written plainly, none comes twice, and no JSON is in strings.
fn walk<'a>(record: &'a str, path: &str) -> Option<Json<'a>> {
    let mut rest = Cursor::of(record);
    let mut left = Some(path);
    while let Some(path) = left {
        let (name, behind) = pointer(path)?;
        if rest.take(b'{').is_some() {
            loop {
                let field = rest.value().strip_prefix('"')?.strip_suffix('"')?;
                rest.take(b':')?;
                if field == name {
                    break;
                }
                rest.value();
                rest.take(b',')?;
            }
        } else {
            rest.take(b'[')?;
            for _ in 0..name.parse::<usize>().ok()? {
                rest.value();
                rest.take(b',')?;
            }
        }
        left = behind;
    }
    let value = rest.value();
    (!value.is_empty() && value != "null").then(|| Json::known(value))
}

/// The JSON Pointer from `object` to the value at `path`, unless there is none or it is `null`.
pub(super) fn pointer_to(object: &RawObject<'_>, path: &str) -> Option<String> {
    value_at(object, path)?;
    let (value, rest) = step(object, path)?;
    let name = taken(path, rest);
    let Some(rest) = rest else { return Some(name) };
    let rest = match RawObject::in_value(value) {
        Some(inner) => pointer_to(&inner, rest),
        // A list, or JSON in a string, whose steps are their own names.
        None if rest.starts_with('/') => Some(rest.to_owned()),
        None => Some(rest.split('.').map(|name| format!("/{}", escaped(name))).collect()),
    };
    rest.map(|rest| name + &rest)
}

/// The step of a path that leads to where `rest` goes on, as a JSON Pointer.
pub(super) fn taken(path: &str, rest: Option<&str>) -> String {
    let end = path.len() - rest.map_or(0, str::len);
    if path.starts_with('/') {
        return path[..end].to_owned();
    }
    let name = &path[..end];
    format!("/{}", escaped(if rest.is_some() { name.strip_suffix('.').unwrap_or(name) } else { name }))
}

/// A name as JSON Pointers have it.
pub(crate) fn escaped(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) { name.replace('~', "~0").replace('/', "~1").into() } else { name.into() }
}

/// The value at `path` in `value`.
fn inside<'a>(value: Json<'a>, path: &str) -> Option<Found<'a>> {
    if let Some(text) = decoded(value) {
        return inside(text.json(), path).map(|found| Found::copy(found.json()));
    }
    if let Some(object) = RawObject::in_value(value) {
        return value_at(&object, path);
    }
    let (item, rest) = place(&list(value).ok()?, path)?;
    rest.map_or(Some(Found::part(item)), |rest| inside(item, rest))
}

/// The field of `object` with which `path` begins, and the rest of the path if there is more of it.
pub(super) fn step<'a, 'p>(object: &RawObject<'a>, path: &'p str) -> Option<(Json<'a>, Option<&'p str>)> {
    if let Some((name, rest)) = pointer(path) {
        return Some((object.get(&name)?, rest));
    }
    let whole = object.get(path).map(|value| (value, None));
    whole.or_else(|| {
        memrchr_iter(b'.', path.as_bytes())
            .find_map(|end| Some((object.get(&path[..end])?, Some(&path[end + 1..]))))
    })
}

/// The item of a list with which `path` begins, and the rest of the path if there is more of it.
pub(super) fn place<'a, 'p>(list: &[Json<'a>], path: &'p str) -> Option<(Json<'a>, Option<&'p str>)> {
    let (index, rest) = match pointer(path) {
        Some((name, rest)) => (name.parse::<usize>().ok()?, rest),
        None => match path.split_once('.') {
            Some((index, rest)) => (index.parse().ok()?, Some(rest)),
            None => (path.parse().ok()?, None),
        },
    };
    list.get(index).filter(|item| item.get() != "null").map(|&item| (item, rest))
}

/// The first name of a JSON Pointer, and the rest of the pointer.
fn pointer(path: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let path = path.strip_prefix('/')?;
    let end = path.find('/').unwrap_or(path.len());
    let rest = Some(&path[end..]).filter(|rest| !rest.is_empty());
    let name = &path[..end];
    let escaped = || Cow::Owned(name.replace("~1", "/").replace("~0", "~"));
    Some((if name.contains('~') { escaped() } else { Cow::Borrowed(name) }, rest))
}

/// The part of `path` up to and with its next name, for messages: `rest` is what has not been found.
pub(super) fn up_to_next<'p>(path: &'p str, rest: &str) -> &'p str {
    let done = path.len() - rest.len();
    let separator = if path.starts_with('/') { '/' } else { '.' };
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let length = rest[first..].find(separator).map_or(rest.len(), |at| at + first);
    path.get(..done + length).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_record_is_that_of_its_object() {
        let record = r#" {"tools": [{"a": "]}\"", "b": [1, [2], {}]}], "m/n": {"x": null, "y~": " t "}, "e\u0061": {"b": 7},
            "inner": "{\"k\": [3, 4]}", "messages" : [ {"role": "user", "content": [{"text": "h,i"}]}, {"role":"a"} , 5 ]} "#;
        let object = RawObject::of_value(Json::parse(record.trim()).unwrap()).unwrap();
        let mut found = 0;
        for path in [
            "/tools",
            "/tools/0",
            "/tools/1",
            "/tools/0/a",
            "/tools/0/b",
            "/tools/0/b/1/0",
            "/tools/0/b/2",
            "/tools/0/c",
            "/m~1n/x",
            "/m~1n/y~0",
            "/ea/b",
            "/inner/k/1",
            "/inner",
            "/messages",
            "/messages/0/content/0/text",
            "/messages/1",
            "/messages/1/role",
            "/messages/2",
            "/messages/3",
            "/messages/x",
            "/none",
            "/none/0",
        ] {
            let [there, expected] = [value_in(record, path), value_at(&object, path)];
            let text = |found: &Option<Found<'_>>| found.as_ref().map(|found| found.json().get().to_owned());
            assert_eq!(text(&there), text(&expected), "{path}");
            found += usize::from(there.is_some());
        }
        assert_eq!(found, 15);
    }
}
