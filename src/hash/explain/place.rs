//! Where in its record a prompt's token is from.

use std::borrow::Cow;

use super::leaves::{Alignment, Leaf, Spot, add_leaves};
use crate::hash::prompt::{Layout, Prompt, Source, Turn as Part};
use crate::record::json::RawObject;
use crate::record::prompt::{list, value_in};
use crate::record::raw::Found;
use crate::tokens::Decoder;
use crate::tokens::chat::{Turn, open_turn, render_turn};

/// A place in a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The field, or what all around the place is in, as a JSON Pointer; empty for the record itself.
    pub(super) pointer: String,
    /// How many characters of the field are before the place.
    pub(super) character: Option<usize>,
    /// Whether it is in a template's own text beside the fields.
    pub(super) in_template: bool,
    /// Who says it: the role of the message, or `tools`.
    pub(super) role: Option<String>,
    /// Whether the tokenizer changes texts, so that the character is that of the nearest equal text.
    pub(super) is_approximate: bool,
}

/// A token of a prompt, and so many bytes of text behind its beginning.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) token: usize,
    pub(super) ahead: usize,
    /// Whether at the end of a text what follows it is meant.
    pub(super) following: bool,
}

/// Finds the place of a position in the prompt of a record, whose text is `record`.
pub(super) fn locate(
    record: &str,
    source: &Source,
    prompt: &Prompt,
    decoder: &Decoder,
    at: Position,
) -> Place {
    let locator = Locator { record, source, decoder };
    match &prompt.layout {
        Layout::Ids => Place { pointer: source.places.prompt.clone(), ..Place::default() },
        Layout::Text { text, item } => locator.in_text(text, *item, &prompt.tokens, at),
        Layout::Turns(parts) => locator.in_turns(parts, &prompt.tokens, at),
        Layout::Chat { text, messages } => locator.in_chat(text, *messages, &prompt.tokens, at),
    }
}

struct Locator<'a> {
    record: &'a str,
    source: &'a Source,
    decoder: &'a Decoder,
}

impl<'a> Locator<'a> {
    fn in_text(&self, text: &str, item: usize, tokens: &[u32], at: Position) -> Place {
        let pointer = &self.source.places.prompt;
        let (offset, is_approximate) = offset(self.decoder, text, tokens, at);
        let character = text.get(..offset).map(|before| before.chars().count());
        let mut leaves = Vec::new();
        if let Some(value) = value_in(self.record, pointer) {
            add_leaves(value.json(), pointer, false, &mut leaves);
            if let Some(leaf) = leaves.get(item) {
                return Place {
                    pointer: leaf.pointer.clone(),
                    character,
                    is_approximate,
                    ..Place::default()
                };
            }
        }
        Place { pointer: pointer.clone(), character, is_approximate, ..Place::default() }
    }

    fn in_turns(&self, parts: &[(usize, Part)], tokens: &[u32], mut at: Position) -> Place {
        let mut index = parts.partition_point(|(end, _)| *end <= at.token);
        let mut start = index.checked_sub(1).map_or(0, |before| parts[before].0);
        while let Some((end, part)) = parts.get(index) {
            let bytes = self.decoder.length(&tokens[start..*end]);
            let before = self.decoder.length(&tokens[start..at.token.max(start)]);
            if before + at.ahead < bytes || index + 1 == parts.len() {
                at.token = at.token.max(start) - start;
                return self.in_turn(*part, &tokens[start..*end], at);
            }
            // What is shared behind the token goes beyond the turn.
            at.ahead = before + at.ahead - bytes;
            (start, at.token) = (*end, *end);
            index += 1;
        }
        Place { in_template: true, pointer: self.source.places.prompt.clone(), ..Place::default() }
    }

    fn in_turn(&self, part: Part, tokens: &[u32], at: Position) -> Place {
        let turn = match part {
            Part::Invitation => None,
            Part::Tools => self.source.tools.as_ref().map(Turn::of_tools),
            Part::Message(i) => Turn::of_message(&self.source.messages[i]).ok(),
        };
        let Some(turn) = turn else {
            let pointer = self.source.places.prompt.clone();
            return Place { pointer, in_template: true, ..Place::default() };
        };
        let mut text = String::new();
        render_turn(&turn, &mut text);
        let (offset, is_approximate) = offset(self.decoder, &text, tokens, at);
        let mut leaves = Vec::new();
        let mut roles = Vec::new();
        let value = value_in(self.record, &self.pointer(part));
        self.add_part(part, value.as_ref(), &mut leaves, &mut roles);
        let role = roles.first().cloned();
        let mut header = String::new();
        open_turn(&turn.role, &mut header);
        let base = self.pointer(part);
        if offset + 1 < header.len() && part != Part::Tools {
            let message = value.as_ref().and_then(|value| RawObject::of_value(value.json()));
            let has_role = message.is_some_and(|message| message.get("role").is_some());
            let pointer = if has_role { format!("{base}/role") } else { base.into_owned() };
            return Place { pointer, in_template: !has_role, role, ..Place::default() };
        }
        Place { is_approximate, ..place(&leaves, &roles, &text, offset, at.following, &base) }
    }

    fn in_chat(&self, text: &str, messages: usize, tokens: &[u32], at: Position) -> Place {
        let (offset, is_approximate) = offset(self.decoder, text, tokens, at);
        let (mut leaves, mut roles) = (Vec::new(), Vec::new());
        let value = |part: Part| value_in(self.record, &self.pointer(part));
        self.add_part(Part::Tools, value(Part::Tools).as_ref(), &mut leaves, &mut roles);
        let places = &self.source.places;
        let chat = value_in(self.record, &places.prompt);
        let list = chat.as_ref().and_then(|chat| list(chat.json()).ok()).unwrap_or_default();
        for i in 0..messages.min(self.source.messages.len()) {
            // Several messages may be from one item.
            let item = places.items.get(i).copied().flatten();
            if i > 0 && item.is_some() && places.items[i - 1] == item {
                continue;
            }
            let part = Part::Message(i);
            let known = item.and_then(|item| list.get(item)).map(|&item| Found::part(item));
            let value = known.or_else(|| value(part));
            self.add_part(part, value.as_ref(), &mut leaves, &mut roles);
        }
        Place { is_approximate, ..place(&leaves, &roles, text, offset, at.following, "") }
    }

    /// Where a part of the prompt stands.
    fn pointer(&self, part: Part) -> Cow<'a, str> {
        let places = &self.source.places;
        let pointer = match part {
            Part::Tools => places.tools.as_ref(),
            Part::Message(i) => match places.items.get(i) {
                Some(Some(item)) => return format!("{}/{item}", places.prompt).into(),
                _ if i == 0 => places.instructions.as_ref(),
                _ => None,
            },
            Part::Invitation => None,
        };
        pointer.unwrap_or(&places.prompt).into()
    }

    /// Appends the texts of a part, which is `value`, and for each who says it.
    fn add_part(
        &self,
        part: Part,
        value: Option<&Found<'_>>,
        leaves: &mut Vec<Leaf<'static>>,
        roles: &mut Vec<String>,
    ) {
        let role = match part {
            Part::Tools if self.source.tools.is_none() => return,
            Part::Message(i) => &*self.source.messages[i].role,
            Part::Tools | Part::Invitation => "tools",
        };
        if let Some(value) = value {
            let mut found = Vec::new();
            add_leaves(value.json(), &self.pointer(part), part == Part::Tools, &mut found);
            leaves.extend(found.into_iter().map(Leaf::into_owned));
        }
        roles.resize(leaves.len().max(1), role.to_owned());
    }
}

/// The place of a byte of `text`, in which `leaves` stand; `base` is what all of them are in.
fn place(
    leaves: &[Leaf<'_>],
    roles: &[String],
    text: &str,
    offset: usize,
    following: bool,
    base: &str,
) -> Place {
    let role = |leaf: Option<usize>| roles.get(leaf.unwrap_or(0)).cloned();
    match Alignment::new(leaves, text).at(offset, following) {
        Spot::In(leaf, character) => {
            let pointer = leaves[leaf].pointer.clone();
            Place { pointer, character, role: role(Some(leaf)), ..Place::default() }
        }
        Spot::Between(before, after) => {
            let pointer = match (before, after) {
                (Some(before), Some(after)) => ancestor(&leaves[before].pointer, &leaves[after].pointer),
                _ => base,
            };
            let role =
                role(before.or(after)).filter(|_| before.is_none() || after.is_none() || !base.is_empty());
            Place { pointer: pointer.to_owned(), in_template: true, role, ..Place::default() }
        }
    }
}

/// What both places are in.
fn ancestor<'p>(a: &'p str, b: &str) -> &'p str {
    let mut end = 0;
    for (part, other) in a.split_inclusive('/').zip(b.split_inclusive('/')) {
        if part.trim_end_matches('/') != other.trim_end_matches('/') {
            break;
        }
        end += part.len();
    }
    a[..end].trim_end_matches('/')
}

/// The byte of `text` at a position in its tokens, and whether that is a guess: where the bytes of the tokens are
/// not the text, what stands before the position is looked for where it should be.
fn offset(decoder: &Decoder, text: &str, tokens: &[u32], at: Position) -> (usize, bool) {
    let before = decoder.length(&tokens[..at.token]);
    let all = before + decoder.length(&tokens[at.token..]);
    let floor = |offset: usize| (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    let whole = floor(before + at.ahead).unwrap_or(0);
    if all == text.len() {
        return (whole, false);
    }
    let guess = text.len() * before / all.max(1);
    let known = decoder.text(&tokens[at.token.saturating_sub(8)..at.token], usize::MAX);
    let places = memchr::memmem::find_iter(text.as_bytes(), &known).map(|start| start + known.len());
    let nearest = places.min_by_key(|place| place.abs_diff(guess)).unwrap_or(guess);
    (floor(nearest + at.ahead).unwrap_or(0), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_places_are_in_what_their_pointers_have_in_common() {
        assert_eq!(ancestor("/tools/2/name", "/tools/3/name"), "/tools");
        assert_eq!(ancestor("/tools/2/name", "/tools/2"), "/tools/2");
        assert_eq!(ancestor("/tools/1", "/tools/12"), "/tools");
        assert_eq!(ancestor("/system", "/messages/0/content"), "");
    }
}
