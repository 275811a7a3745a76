//! Chats as text: the template that is used where the user gives no other, `ChatML` with tools as Hermes
//! and Qwen have them.
//!
//! A turn is written as `<|im_start|>ROLE\nTEXT<|im_end|>\n`, and a prompt ends with the invitation
//! `<|im_start|>assistant\n`. Nothing is put before the first turn, and texts are taken as they are,
//! without trimming. The parts of a content are joined by line ends; a `name` follows the role after a
//! blank; reasoning comes before the text as `<think>\n...\n</think>\n\n`, each call of a tool after it as
//! `\n<tool_call>\n{"name": ..., "arguments": ...}\n</tool_call>`. Tools are the text of a first turn, whose
//! role is `tools`. JSON is spaced as Python writes it, whatever the log has. Ids of calls are left out: they differ from run to run.
//!
//! Both parts are ordinary text to the embedded tokenizers, and each part begins with `<`
//! after a line end that belongs to a run of punctuation. Every tokenizer whose
//! split pattern is known cuts there, or knows the markers as added tokens,
//! so the tokens of a chat are the tokens of its turns, one after the other, then those of the
//! invitation: the past of a growing chat need not be tokenised again for each request.

use std::borrow::Cow;

use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::prompt::{Message, is_string, list, string};
use crate::record::raw::Json;
use crate::tokens::template::plain_json;

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// Who speaks: `system`, `user`, `assistant`, `tools`, or any other name.
    pub role: Cow<'a, str>,
    /// What is said.
    pub text: Cow<'a, str>,
}

/// What asks the assistant for the next turn, at the end of a prompt.
pub const INVITATION: &str = "<|im_start|>assistant\n";

/// What ends a turn.
pub const END: &str = "<|im_end|>\n";

impl<'a> Turn<'a> {
    /// The tools that a chat offers.
    pub fn of_tools(tools: &'a Message) -> Self {
        Self { role: "tools".into(), text: plain_json(&tools.json) }
    }

    /// A message.
    ///
    /// # Errors
    /// When it has not the shape that [`Message`] promises.
    pub fn of_message(message: &'a Message) -> Result<Self, Invalid> {
        if let Some(text) = &message.text {
            return Ok(Self { role: (&*message.role).into(), text: (&**text).into() });
        }
        let wrong = || Invalid::value(format!("a message of {} cannot be read", message.role));
        let json = Json::parse(&message.json).map_err(|_| wrong())?;
        let fields = RawObject::of_value(json).ok_or_else(wrong)?;
        let mut text = String::new();
        if let Some((_, reasoning)) = fields.first_filled(&["reasoning_content", "reasoning", "thinking"]) {
            text = format!("<think>\n{}\n</think>\n\n", string(reasoning).map_err(Invalid::value)?);
        }
        if let Some(content) = fields.get("content") {
            text.push_str(&content_text(content).ok_or_else(wrong)?.map_err(Invalid::value)?);
        }
        for call in
            fields.get("tool_calls").map(list).transpose().map_err(Invalid::value)?.unwrap_or_default()
        {
            let call = RawObject::in_value(call).ok_or_else(wrong)?;
            let function = call.get("function").and_then(RawObject::in_value).ok_or_else(wrong)?;
            let arguments = match function.get("arguments") {
                Some(text) if is_string(text) => string(text).map_err(Invalid::value)?,
                Some(value) => value.get().to_owned(),
                None => "{}".to_owned(),
            };
            let arguments = plain_json(&arguments);
            let name = function.get("name").map_or("null", Json::get);
            text.push_str(&format!(
                "\n<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>"
            ));
        }
        let role = match fields.string("name") {
            Some(name) => format!("{} {name}", message.role).into(),
            None => (&*message.role).into(),
        };
        Ok(Self { role, text: text.into() })
    }
}

/// The text of a content, a string or a list of parts that are texts.
fn content_text(content: Json<'_>) -> Option<Result<String, String>> {
    if is_string(content) {
        return Some(string(content));
    }
    let part = |part: Json<'_>| Some(string(RawObject::in_value(part)?.get("text")?));
    let parts: Vec<Result<String, String>> =
        list(content).ok()?.into_iter().map(part).collect::<Option<_>>()?;
    Some(parts.into_iter().collect::<Result<Vec<_>, _>>().map(|texts| texts.join("\n")))
}

/// Appends one turn to `out`.
pub fn render_turn(turn: &Turn<'_>, out: &mut String) {
    out.reserve(turn.role.len() + turn.text.len() + 24);
    open_turn(&turn.role, out);
    out.push_str(&turn.text);
    close_turn(out);
}

/// Appends what stands before the text of a turn.
pub fn open_turn(role: &str, out: &mut String) {
    for part in ["<|im_start|>", role, "\n"] {
        out.push_str(part);
    }
}

/// Appends what stands after the text of a turn.
pub fn close_turn(out: &mut String) {
    out.push_str(END);
}

/// Appends to `out` the prompt that consists of `turns` and the invitation to answer. For the prompt
/// before turn `i` of a chat, give `&turns[..i]`.
pub fn render(turns: &[Turn<'_>], out: &mut String) {
    for turn in turns {
        render_turn(turn, out);
    }
    out.push_str(INVITATION);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::{Encoder, Tokenizer};

    fn turn<'a>(role: &'a str, text: &'a str) -> Turn<'a> {
        Turn { role: role.into(), text: text.into() }
    }

    #[test]
    fn turns_are_rendered_as_chatml_and_followed_by_the_invitation() {
        let turns = [turn("system", "Be brief."), turn("user", " Hi\n"), turn("assistant", "")];
        let mut out = String::new();
        render(&turns, &mut out);
        assert_eq!(
            out,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi\n<|im_end|>\n\
             <|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn the_prompt_before_a_turn_is_a_prefix_but_for_the_invitation() {
        let turns = [turn("user", "a"), turn("assistant", "b"), turn("user", "c")];
        let (mut early, mut whole) = (String::new(), String::new());
        render(&turns[..1], &mut early);
        render(&turns, &mut whole);
        assert_eq!(early, "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n");
        assert!(whole.starts_with(early.strip_suffix(INVITATION).unwrap()));
    }

    #[test]
    fn a_chat_without_turns_is_the_invitation() {
        let mut out = "kept ".to_owned();
        render(&[], &mut out);
        assert_eq!(out, "kept <|im_start|>assistant\n");
    }

    #[test]
    fn the_tokens_of_a_chat_are_those_of_its_turns() {
        let texts = [
            "",
            "a",
            " ",
            "\n",
            "\n\n  ",
            "/",
            "\r\n/",
            "<",
            "|>\n",
            "<|im_end|>",
            "it'",
            "123",
            "é",
            "中",
            "\u{301}",
            "\u{a0}",
            "</a>\n//",
        ];
        for name in ["o200k_base", "bytes"] {
            let mut tokenizer = Encoder::new(Tokenizer::named(name).unwrap().into(), 0);
            for first in texts {
                for second in texts {
                    let turns = [turn("user", first), turn(second, second), turn("", first)];
                    let (mut whole, mut text) = (Vec::new(), String::new());
                    render(&turns, &mut text);
                    tokenizer.encode(&text, &mut whole).unwrap();

                    let mut pieces = Vec::new();
                    for turn in &turns {
                        text.clear();
                        render_turn(turn, &mut text);
                        tokenizer.encode(&text, &mut pieces).unwrap();
                    }
                    tokenizer.encode(INVITATION, &mut pieces).unwrap();
                    assert_eq!(pieces, whole, "{first:?} {second:?}");
                }
            }
        }
    }
}
