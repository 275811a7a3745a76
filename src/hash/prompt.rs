//! What is kept of a prompt where it is to be explained why it is not like earlier ones.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::record::prompt::{Content, Feature, Keys, Message, Places};
use crate::tokens::chat;

/// What the prompts of a record are made of, and where in the record that stands.
pub(super) struct Source {
    pub(super) keys: Keys,
    pub(super) places: Places,
    pub(super) messages: Vec<Message>,
    pub(super) tools: Option<Message>,
}

impl Source {
    pub(super) fn new(keys: Keys, places: Places, content: &Content) -> Self {
        let (messages, tools) = match content {
            Content::Chat(chat) => (chat.messages.clone(), chat.tools.clone()),
            Content::Texts(_) | Content::Tokens(_) => (Vec::new(), None),
        };
        Self { keys, places, messages, tools }
    }
}

/// A request's prompt.
pub(super) struct Prompt {
    pub(super) tokens: Vec<u32>,
    pub(super) layout: Layout,
}

impl Prompt {
    /// Where the last message ends, in tokens, given the bytes of tokens: what follows asks for an answer.
    pub(super) fn content_end(&self, source: &Source, bytes: impl Fn(&[u32]) -> usize) -> usize {
        let all = self.tokens.len();
        match &self.layout {
            Layout::Turns(parts) => {
                let said = parts.iter().rev().find(|(_, part)| *part != Turn::Invitation);
                said.map_or(0, |(end, _)| *end)
            }
            Layout::Chat { text, messages } => {
                let last = messages.checked_sub(1).and_then(|last| source.messages.get(last));
                let said = last.and_then(end_of_text);
                let end = said.and_then(|said| Some(text.rfind(&said)? + said.len()));
                let behind = end.map_or(0, |end| text.len() - end);
                let mut end = all;
                while end > 0 && bytes(&self.tokens[end - 1..]) <= behind {
                    end -= 1;
                }
                end
            }
            Layout::Text { .. } | Layout::Ids => all,
        }
    }
}

/// The lowest of the numbers that stand for tokens of features: no vocabulary is as large.
const OF_FEATURES: u32 = 1 << 31;

/// The tokens of a prompt; for those of a feature, which are the same whatever it shows, stand numbers of its own.
pub(super) fn told_apart(tokens: &[u32], features: &[Feature]) -> Vec<u32> {
    let mut tokens = tokens.to_vec();
    for feature in features {
        for (i, token) in (0..).zip(&mut tokens[feature.offset..feature.end()]) {
            *token = xxh3_64_with_seed(feature.identifier.as_bytes(), i) as u32 | OF_FEATURES;
        }
    }
    tokens
}

/// Whether [`told_apart`] has put it in the place of a feature's token.
pub(super) fn is_of_feature(token: u32) -> bool {
    token >= OF_FEATURES
}

/// The last words of a message.
fn end_of_text(message: &Message) -> Option<String> {
    const ENOUGH: usize = 64;
    let turn = chat::Turn::of_message(message).ok()?;
    let text = turn.text.trim();
    let least = text.len().saturating_sub(ENOUGH);
    let start = (least..=text.len()).find(|&at| text.is_char_boundary(at))?;
    Some(text[start..].trim_start().to_owned()).filter(|end| !end.is_empty())
}

/// What the tokens of a prompt are of.
#[derive(Clone)]
pub(super) enum Layout {
    /// Turns one after the other, each with the number of tokens up to its end.
    Turns(Vec<(usize, Turn)>),
    /// This text of so many messages of the record.
    Chat { text: String, messages: usize },
    /// This text, number `item` of its record.
    Text { text: String, item: usize },
    /// The token ids of the record itself.
    Ids,
}

/// What a turn in the default template is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Tools,
    Message(usize),
    /// What asks the assistant to answer.
    Invitation,
}
