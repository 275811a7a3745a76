//! What stands before and after a text that is sent to a model: nothing, or a chat template with one message.

use crate::error::Invalid;
use crate::record::prompt::{Chat, Message};
use crate::tokens::chat::{self, Turn};
use crate::tokens::template::{SeenMessages, TODAY, Template};

/// The texts before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What stands before the text.
    pub open: String,
    /// What the text itself begins with.
    pub start: String,
    /// What stands after it.
    pub close: String,
    /// Whether spaces at its beginning are lost.
    pub trims: bool,
}

/// Texts that no template has in it.
const MARKS: [&str; 2] = [" one kvtrace message", " and another one"];

impl Frame {
    /// What a template puts around the message of a user and asks for an answer with; without one, the default
    /// template.
    ///
    /// # Errors
    /// When the template fails, or does not write a message as it is.
    pub fn of_chat(template: Option<&Template>) -> Result<Self, Invalid> {
        let [first, second] = MARKS.map(|mark| Self::around(template, mark));
        let (first, second) = (first?, second?);
        if first != second {
            return Err(Invalid::value("the chat template does not take messages as they are"));
        }
        Ok(first)
    }

    fn around(template: Option<&Template>, text: &str) -> Result<Self, Invalid> {
        let mut whole = String::new();
        match template {
            None => chat::render(&[Turn { role: "user".into(), text: text.into() }], &mut whole),
            Some(template) => {
                let json = format!("{{\"role\": \"user\", \"content\": \"{text}\"}}");
                let chat = Chat {
                    messages: vec![Message::new("user", &json)],
                    requests: vec![1],
                    tools: None,
                    arguments: None,
                    fields: Vec::new(),
                };
                let conversation = template.conversation(&chat, &mut SeenMessages::new(0))?;
                template.render(&conversation, 1, TODAY, &mut whole)?;
            }
        }
        let trims = !whole.contains(text);
        let mut parts = whole.split(if trims { text.trim_start() } else { text });
        match (parts.next(), parts.next(), parts.next()) {
            (Some(open), Some(close), None) => {
                Ok(Self { open: open.to_owned(), start: String::new(), close: close.to_owned(), trims })
            }
            _ => Err(Invalid::value("the chat template does not write a message once and as it is")),
        }
    }
}
