//! The texts of a record, and where they stand in the text that a template has made of them.
//!
//! A template may put texts in any order, trim them and leave some out. Long ones are looked for first: what is
//! found is theirs. Short ones, which may stand anywhere by chance, count only between their neighbours and close
//! to what comes before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use memchr::memmem;

use crate::record::json::RawObject;
use crate::record::prompt::{data_stand_in, escaped, is_stand_in, is_string, list, stand_in, string};
use crate::record::raw::Json;

/// Bytes of a text that is not likely to occur elsewhere.
const LONG: usize = 24;

/// Bytes of a template's own between two texts that are short.
const GAP: usize = 96;

/// Fields of a message that no template shows as they are.
const HIDDEN: [&str; 8] =
    ["role", "from", "type", "id", "tool_call_id", "tool_use_id", "cache_control", "signature"];

/// Fields whose objects are shown as JSON, names included.
const SHOWN_AS_JSON: [&str; 5] = ["arguments", "input", "args", "parameters", "input_schema"];

/// A text of a record: a string, or in what is shown as JSON also a number or a name.
pub(super) struct Leaf<'a> {
    /// Where it stands; of a name, where its object stands.
    pub(super) pointer: String,
    /// As a template shows it, and as the record has it where that is something else.
    forms: [Option<Cow<'a, str>>; 2],
    is_string: bool,
}

impl<'a> Leaf<'a> {
    fn of_string(pointer: &str, value: Json<'a>) -> Option<Self> {
        let raw = &value.get()[1..value.get().len() - 1];
        let text = string(value).ok()?;
        let raw = (raw != text).then_some(Cow::Borrowed(raw));
        Some(Self { pointer: pointer.to_owned(), forms: [Some(text.into()), raw], is_string: true })
    }

    fn plain(pointer: &str, text: &'a str) -> Self {
        Self { pointer: pointer.to_owned(), forms: [Some(text.into()), None], is_string: false }
    }

    /// The same, in memory of its own.
    pub(super) fn into_owned(self) -> Leaf<'static> {
        let forms = self.forms.map(|form| form.map(|text| Cow::Owned(text.into_owned())));
        Leaf { pointer: self.pointer, forms, is_string: self.is_string }
    }

    fn length(&self) -> usize {
        self.forms[0].as_ref().map_or(0, |text| text.len())
    }
}

/// Appends the texts of `value`, which stands at `pointer`; all of them where it `is_json` to the template.
pub(super) fn add_leaves<'a>(value: Json<'a>, pointer: &str, is_json: bool, out: &mut Vec<Leaf<'a>>) {
    match value.get().as_bytes().first() {
        Some(b'"') => out.extend(Leaf::of_string(pointer, value)),
        Some(b'[') => {
            for (i, item) in list(value).unwrap_or_default().into_iter().enumerate() {
                add_leaves(item, &format!("{pointer}/{i}"), is_json, out);
            }
        }
        Some(b'{') => {
            let object = if is_json { None } else { RawObject::of_value(value) };
            out.extend(object.as_ref().and_then(|object| stand_in_of(object, value, pointer)));
            for (name, field) in value.members().unwrap_or_default() {
                let plain = name.trim_matches('"');
                if !is_json && HIDDEN.contains(&plain) {
                    continue;
                }
                if is_json {
                    out.push(Leaf::plain(pointer, name));
                }
                if let Some(text) =
                    object.as_ref().and_then(|object| data_stand_in(Some((object, plain)), field))
                {
                    let pointer = format!("{pointer}/{}", escaped(plain));
                    // Where it is all of a message, it is text.
                    let raw = Cow::Borrowed(field.get().trim_matches('"'));
                    out.push(Leaf { pointer, forms: [Some(text.into()), Some(raw)], is_string: false });
                    continue;
                }
                let is_json = is_json || SHOWN_AS_JSON.contains(&plain) && !is_string(field);
                add_leaves(field, &format!("{pointer}/{}", escaped(plain)), is_json, out);
            }
        }
        Some(b'n') | None => {}
        Some(_) if is_json => out.push(Leaf::plain(pointer, value.get())),
        Some(_) => {}
    }
}

/// What stands for a part that is no text.
fn stand_in_of<'a>(object: &RawObject<'a>, value: Json<'a>, pointer: &str) -> Option<Leaf<'a>> {
    let kind = match object.string("type") {
        Some(kind) => kind,
        None => object.fields().next()?.0.to_owned(),
    };
    is_stand_in(&kind).then(|| {
        let forms = [Some(stand_in(&kind, value).into()), None];
        Leaf { pointer: pointer.to_owned(), forms, is_string: false }
    })
}

/// A text where it was found.
struct Span {
    end: usize,
    leaf: usize,
    /// Which of its forms it has there, and how many bytes of that are missing at its beginning.
    form: usize,
    trimmed: usize,
}

/// Where texts of a record stand in a text.
pub(super) struct Alignment<'l, 'a> {
    leaves: &'l [Leaf<'a>],
    spans: BTreeMap<usize, Span>,
}

/// A place among the texts of a record.
pub(super) enum Spot {
    /// In this text, before this character.
    In(usize, Option<usize>),
    /// Between these.
    Between(Option<usize>, Option<usize>),
}

impl<'l, 'a> Alignment<'l, 'a> {
    /// Looks for `leaves` in `text`.
    pub(super) fn new(leaves: &'l [Leaf<'a>], text: &str) -> Self {
        let mut aligned = Self { leaves, spans: BTreeMap::new() };
        let mut after = 0;
        for (leaf, _) in leaves.iter().enumerate().filter(|(_, leaf)| leaf.length() >= LONG) {
            let all = 0..text.len();
            let found = aligned.find(leaf, text, after..text.len()).or_else(|| aligned.find(leaf, text, all));
            after = found.unwrap_or(after);
        }
        let longs: BTreeMap<usize, usize> =
            aligned.spans.iter().map(|(start, span)| (span.leaf, *start)).collect();
        let mut after = 0;
        for (leaf, _) in leaves.iter().enumerate().filter(|(_, leaf)| leaf.length() > 0) {
            if let Some(start) = longs.get(&leaf) {
                after = aligned.spans[start].end;
                continue;
            }
            if leaves[leaf].length() >= LONG {
                continue;
            }
            let next = aligned.spans.range(after..).next().map_or(text.len(), |(start, _)| *start);
            let end = next.min(after + GAP + leaves[leaf].length());
            after = aligned.find(leaf, text, after..end).unwrap_or(after);
        }
        aligned
    }

    /// Looks for a text in a part of the whole; returns its end.
    fn find(&mut self, leaf: usize, text: &str, part: Range<usize>) -> Option<usize> {
        let bytes = text.as_bytes().get(part.clone())?;
        for (form, wanted) in self.leaves[leaf].forms.iter().enumerate() {
            let Some(whole) = wanted else { continue };
            let wanted = whole.trim();
            let trimmed = whole.len() - whole.trim_start().len();
            let mut from = 0;
            while let Some(at) = first(&bytes[from..], wanted.as_bytes()).filter(|_| !wanted.is_empty()) {
                let start = part.start + from + at;
                let end = start + wanted.len();
                if let Some(taken) = self.overlap(start, end) {
                    from = taken.saturating_sub(part.start).min(bytes.len());
                    continue;
                }
                // What the template has kept of the blanks at the ends is the text's, too.
                let kept_before = same_at_end(&text[..start], &whole[..trimmed]);
                let kept_behind = same_at_start(&text[end..], &whole[trimmed + wanted.len()..]);
                let (mut start, mut end, mut trimmed) = (start, end, trimmed);
                if self.overlap(start - kept_before, end + kept_behind).is_none() {
                    (start, end, trimmed) = (start - kept_before, end + kept_behind, trimmed - kept_before);
                }
                self.spans.insert(start, Span { end, leaf, form, trimmed });
                return Some(end);
            }
        }
        None
    }

    /// The end of a text that stands between these places.
    fn overlap(&self, start: usize, end: usize) -> Option<usize> {
        let (_, span) = self.spans.range(..end).next_back()?;
        (span.end > start).then_some(span.end)
    }

    /// What stands at `offset`. Where a text ends there, what follows it counts only if `following`.
    pub(super) fn at(&self, offset: usize, following: bool) -> Spot {
        let before = self.spans.range(..=offset).next_back();
        let ended = self.spans.range(..offset).next_back().filter(|(_, span)| span.end == offset);
        let found = match ended {
            Some(ended) if !following => Some(ended),
            _ => before.filter(|(_, span)| offset < span.end),
        };
        if let Some((start, span)) = found {
            let leaf = &self.leaves[span.leaf];
            let inside = offset - start + span.trimmed;
            let text = leaf.forms[span.form].as_deref().and_then(|text| text.get(..inside));
            let escapes = span.form == 1;
            let character = text.filter(|_| leaf.is_string).map(|text| characters(text, escapes));
            return Spot::In(span.leaf, character);
        }
        let after = self.spans.range(offset..).next().map(|(_, span)| span.leaf);
        Spot::Between(before.map(|(_, span)| span.leaf), after)
    }
}

/// Bytes at the end of both texts that are the same.
fn same_at_end(a: &str, b: &str) -> usize {
    let same = a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// The same at their beginning.
fn same_at_start(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum()
}

/// Where `wanted` stands first. To look for how it begins finds it as a rule, and takes less to prepare than to look
/// for a long text.
fn first(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let start = memmem::find(bytes, &wanted[..wanted.len().min(64)])?;
    if bytes[start..].starts_with(wanted) {
        return Some(start);
    }
    memmem::find(&bytes[start..], wanted).map(|further| start + further)
}

/// The number of characters of a text, whose escapes are those of JSON.
fn characters(text: &str, escapes: bool) -> usize {
    let (mut count, mut rest) = (0, text.chars());
    while let Some(c) = rest.next() {
        count += 1;
        if escapes && c == '\\' && rest.next() == Some('u') {
            rest.by_ref().take(4).for_each(drop);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(json: &str, is_json: bool, text: &str, at: &str) -> String {
        let mut leaves = Vec::new();
        add_leaves(Json::parse(json).unwrap(), "", is_json, &mut leaves);
        let aligned = Alignment::new(&leaves, text);
        match aligned.at(text.find(at).unwrap(), true) {
            Spot::In(leaf, character) => format!("{} {character:?}", leaves[leaf].pointer),
            Spot::Between(before, after) => {
                let pointer = |leaf: Option<usize>| leaf.map_or("-", |leaf| &leaves[leaf].pointer).to_owned();
                format!("{} | {}", pointer(before), pointer(after))
            }
        }
    }

    #[test]
    fn a_place_in_a_text_is_one_in_the_record() {
        let chat = r#"[{"role": "user", "content": "say\nrole"}, {"role": "assistant", "reasoning": "a long thought about it all", "content": [{"type": "text", "text": " ok "}]}]"#;
        let text = "<user>say\nrole<assistant>a long thought about it all</think>ok<end>";
        assert_eq!(spot(chat, false, text, "role<"), "/0/content Some(4)");
        assert_eq!(spot(chat, false, text, "thought"), "/1/reasoning Some(7)");
        assert_eq!(spot(chat, false, text, "ok<"), "/1/content/0/text Some(1)");
        assert_eq!(spot(chat, false, text, "assistant"), "/0/content | /1/reasoning");
        assert_eq!(spot(chat, false, text, "<end"), "/1/content/0/text | -");
    }

    #[test]
    fn what_is_shown_as_json_has_places_too() {
        let tools = r#"[{"name": "a", "input_schema": {"x~y": {"enum": [1, 22], "description": "line\nbreak \u00e9, and more of it"}}}]"#;
        let text = r#"[{"type": "function", "function": {"name": "a", "parameters": {"x~y": {"enum": [1, 22], "description": "line\nbreak \u00e9, and more of it"}}}}]"#;
        assert_eq!(spot(tools, true, text, "22"), "/0/input_schema/x~0y/enum/1 None");
        assert_eq!(spot(tools, true, text, "and more"), "/0/input_schema/x~0y/description Some(14)");
        assert_eq!(spot(tools, true, text, "\"description"), "/0/input_schema/x~0y None");
        assert_eq!(spot(tools, true, text, "}}}}]"), "/0/input_schema/x~0y/description | -");
    }
}
