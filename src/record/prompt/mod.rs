//! Prompts: one line of JSON, in any of the shapes that serving tools and data sets write.
//!
//! Chats are handed on in the shape of `OpenAI`'s chat completions API, whatever API they were sent to,
//! and nothing that the model sees is left out (`message`, `part`, `tools`). What a server reports beside
//! them is read by the names that servers have for it (`usage`, `times`, `answer`, `beside`).
//!
//! A line is split once into the raw text of its fields; only the fields in use are parsed further.
//! That leaves numbers and kept fields exactly as they stood, and nothing is said about the rest of
//! a record that may hold anything. Of a field that occurs twice the last one counts, as in Python
//! and jq, and a field that is `null` counts as absent.
//!
//! An escaped lone surrogate (`"\ud83d"`, half of a character that was cut in two) becomes the
//! replacement character U+FFFD, as Python's tiktoken does it: the record is usable and its length
//! hardly changes.

mod answer;
mod beside;
mod chat;
mod content;
mod features;
mod fields;
mod find;
mod message;
mod part;
mod path;
mod report;
mod scope;
mod seen;
mod shown;
mod times;
mod tools;
mod usage;

pub use chat::VARIABLES;
pub use content::{
    Answer, Chat, Content, Feature, Generated, Keys, Message, OutputLength, Places, PromptOptions,
    PromptRecord, Remarks, Timestamp, Turns,
};

pub(crate) use fields::{is_string, list, string, whole};
pub(crate) use part::is_stand_in;
pub(crate) use path::{escaped, value_at, value_in};
pub(crate) use report::{Reported, keys_of, reported, unread_time};
pub(crate) use shown::{data_stand_in, stand_in};
pub(crate) use usage::{Usage, langfuse_details};

use std::cell::RefCell;

use seen::Seen;

use crate::error::Invalid;
use crate::record::json::text_of;

/// Reads lines of prompts, and remembers what they have in common.
pub struct PromptReader {
    options: PromptOptions,
    seen: RefCell<Seen>,
}

impl PromptReader {
    /// Reads lines by `options`, and remembers up to `memory` bytes of messages.
    pub fn new(options: PromptOptions, memory: usize) -> Self {
        Self { options, seen: RefCell::new(Seen::new(memory)) }
    }

    /// With [`Turns::Auto`], the first chat for which it makes a difference asks `decide` how all of them are
    /// taken, and says how it looks itself. Without this, it decides.
    #[must_use]
    pub fn deciding_by(self, decide: impl Fn(Turns) -> Turns + Send + 'static) -> Self {
        self.seen.borrow_mut().decide_by(decide);
        self
    }

    /// Reads one line, which comes without its newline.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the line, without naming file and line number: bytes that are not
    /// UTF-8 or not JSON, no field known to hold a prompt, or a field of the wrong type.
    pub fn read(&self, line: &[u8]) -> Result<PromptRecord, Invalid> {
        if !self.options.text {
            return find::read_record(line, &self.options, &self.seen);
        }
        Ok(PromptRecord {
            content: Content::Texts(vec![text_of(line)?.to_owned()]),
            output: OutputLength::Unknown,
            answer: None,
            timestamp: None,
            unread_time: None,
            cached_tokens: None,
            cache_write_tokens: None,
            recorded_input_length: None,
            keys: Keys::default(),
            features: Vec::new(),
            kept: Vec::new(),
            remarks: Remarks::default(),
            places: Places::default(),
        })
    }
}

impl PromptRecord {
    /// Reads one line by itself.
    ///
    /// # Errors
    ///
    /// As [`PromptReader::read`].
    pub fn parse(line: &[u8], options: &PromptOptions) -> Result<Self, Invalid> {
        PromptReader::new(options.clone(), 0).read(line)
    }
}
