//! The library by itself: what lines of prompts are read as, and what chat templates make of chats.

mod chat_templates;
mod prompt_apis;
mod prompt_lines;
mod prompt_reports;
mod prompt_tools;

use kvtrace::record::prompt::{Chat, Content, PromptOptions, PromptRecord};
use serde_json::Value;

/// The default options, but for what `set` changes.
fn options(set: impl FnOnce(&mut PromptOptions)) -> PromptOptions {
    let mut options = PromptOptions::default();
    set(&mut options);
    options
}

/// A line as it is read by default.
fn read(record: &Value) -> PromptRecord {
    PromptRecord::parse(record.to_string().as_bytes(), &PromptOptions::default()).unwrap()
}

/// The chat that a line is.
fn chat(record: &Value) -> Chat {
    match read(record).content {
        Content::Chat(chat) => chat,
        other => panic!("{record}: {other:?}"),
    }
}

/// The messages of a chat as JSON.
fn messages(chat: &Chat) -> Value {
    chat.messages.iter().map(|message| serde_json::from_str::<Value>(&message.json).unwrap()).collect()
}
