//! JSON text that is known to be valid, which can be cut without being parsed again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The text of one JSON value. It is valid, so its end and its parts can be found by strings and brackets
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Json<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|value| Self(value.get()))
    }
}

impl<'a> Json<'a> {
    /// The value that `text` is, if it is one and nothing else but white space.
    pub(crate) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The same without a look at `text`, of which it must be known.
    pub(crate) fn known(text: &'a str) -> Self {
        Self(text)
    }

    /// The text.
    pub(crate) fn get(self) -> &'a str {
        self.0
    }

    /// The items of a list.
    pub(crate) fn items(self) -> Option<Vec<Self>> {
        let mut rest = Cursor::of(self.0);
        rest.take(b'[')?;
        let mut items = Vec::new();
        while rest.peek() != b']' {
            items.push(Self(rest.value()));
            rest.take(b',');
        }
        Some(items)
    }

    /// The fields of an object: the text of the name, with its quotes, and the value.
    pub(crate) fn members(self) -> Option<Vec<(&'a str, Self)>> {
        let mut rest = Cursor::of(self.0);
        rest.take(b'{')?;
        let mut members = Vec::new();
        while rest.peek() != b'}' {
            let name = rest.value();
            rest.take(b':');
            members.push((name, Self(rest.value())));
            rest.take(b',');
        }
        Some(members)
    }
}

/// A value that was found: part of the record, or of the JSON that a string in the record holds.
#[derive(Clone)]
pub(crate) struct Found<'a>(Cow<'a, str>);

impl<'a> Found<'a> {
    /// A part of what is kept elsewhere.
    pub(crate) fn part(value: Json<'a>) -> Self {
        Self(Cow::Borrowed(value.0))
    }

    /// A copy.
    pub(crate) fn copy(value: Json<'_>) -> Found<'static> {
        Found(Cow::Owned(value.0.to_owned()))
    }

    /// Its text.
    pub(crate) fn into_text(self) -> Cow<'a, str> {
        self.0
    }

    /// The value.
    pub(crate) fn json(&self) -> Json<'_> {
        Json(&self.0)
    }
}

/// A place in JSON text. In what is not valid it finds something or other, but no end beyond the text.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of `text`.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What follows.
    pub(crate) fn rest(self) -> &'a str {
        &self.text[self.at..]
    }

    /// Goes `length` bytes ahead.
    pub(crate) fn skip(&mut self, length: usize) {
        self.at += length;
    }

    /// The next byte after white space, which is left behind; 0 at the end of the text.
    pub(crate) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or_default()
    }

    /// Goes past the byte `wanted` if it is the next one after white space.
    pub(crate) fn take(&mut self, wanted: u8) -> Option<()> {
        let found = self.peek() == wanted;
        self.at += usize::from(found);
        found.then_some(())
    }

    /// Goes past the next value, and returns its text.
    pub(crate) fn value(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        let bytes = self.text.as_bytes();
        match bytes.get(start) {
            Some(b'"') => self.at = string_end(bytes, start),
            Some(b'{' | b'[') => self.at = bracket_end(bytes, start),
            _ => {
                let end =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\n' | b'\t' | b'\r');
                self.at = bytes[start..].iter().position(end).map_or(bytes.len(), |length| start + length);
            }
        }
        &self.text[start..self.at]
    }
}

/// The end of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    // The closing quote is the first that is not escaped.
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// The end of the list or object that begins at `start`.
fn bracket_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_objects_are_cut_where_the_library_cuts_them() {
        let parts = [
            r#""a\"]\\""#,
            r#"{"b": ["]", "}"]}"#,
            "[1, [2]]",
            "-1.5e3",
            "null",
            r#""\\\\""#,
            r#"",""#,
            "{}",
            "[]",
        ];
        let mut rng = fastrand::Rng::with_seed(12);
        for _ in 0..5_000 {
            let items: Vec<&str> = (0..rng.usize(0..6)).map(|_| parts[rng.usize(..parts.len())]).collect();
            let json = format!("[ {} ]", items.join(" ,\t"));
            let found = Json::parse(&json).unwrap().items().unwrap();
            assert_eq!(found.into_iter().map(Json::get).collect::<Vec<_>>(), items, "{json}");

            let members: Vec<String> = items.iter().map(|item| format!(" \"a\\\":,}}\" :\t{item}")).collect();
            let json = format!("{{{}\n}}", members.join(","));
            let found: Vec<_> = Json::parse(&json).unwrap().members().unwrap();
            let found: Vec<_> = found.into_iter().map(|(name, value)| (name, value.get())).collect();
            let expected: Vec<_> = items.iter().map(|&item| ("\"a\\\":,}\"", item)).collect();
            assert_eq!(found, expected, "{json}");
        }
    }
}
