//! Prompts: one line of JSON, in any of the shapes that serving tools and data sets write.
//!
//! A line is split once into the raw text of its fields; only the fields in use are parsed further.
//! That leaves numbers and kept fields exactly as they stood, and nothing is said about the rest of
//! a record that may hold anything. Of a field that occurs twice the last one counts, as in Python
//! and jq, and a field that is `null` counts as absent.
//!
//! An escaped lone surrogate (`"\ud83d"`, half of a character that was cut in two) becomes the
//! replacement character U+FFFD, as Python's tiktoken does it: the record is usable and its length
//! hardly changes.

mod chat;
mod content;
mod fields;
mod find;
mod numbers;
mod scope;
#[cfg(test)]
mod tests;

pub use content::{Chat, ChatSource, Content, OutputLength, PromptOptions, Turn, Turns};

use fields::object_at;
use find::{any_content, content_of, conversation_of, nothing_found, parse_object};
use numbers::{kept, output_length, timestamp};
use scope::{Scope, follow};

use crate::record::json::text_of;

/// What one input line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptRecord {
    /// The prompts of one or several requests.
    pub content: Content,
    /// The output length of every request that does not have its own (see [`Chat::answer`]).
    pub output: OutputLength,
    /// The arrival time: the number's text as it stood (milliseconds, if the user says no other).
    pub timestamp: Option<String>,
    /// The fields asked for by [`PromptOptions::keep`]: name, and JSON text as it stood. Fields that
    /// the record lacks are left out.
    pub kept: Vec<(String, String)>,
}

impl PromptRecord {
    /// Reads one line, which comes without its newline.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the line, without naming file and line number: bytes that are not
    /// UTF-8 or not JSON, no field known to hold a prompt, or a field of the wrong type.
    pub fn parse(line: &[u8], options: &PromptOptions) -> Result<Self, String> {
        if options.text {
            return Ok(Self {
                content: Content::Texts(vec![text_of(line)?.to_owned()]),
                output: OutputLength::Unknown,
                timestamp: None,
                kept: Vec::new(),
            });
        }
        let record = parse_object(line)?;
        let mut scope = Scope { record: &record, inner: None };
        let body;
        let content = if let Some(path) = &options.field {
            let (parent, value) = follow(&record, path)?;
            body = parent;
            scope.inner = body.as_ref();
            any_content(path, value, &scope, options)?
        } else if let Some(content) = content_of(&scope, options)? {
            content
        } else if let Some(value) = record.get("body") {
            body = Some(object_at("\"body\"", value)?);
            scope.inner = body.as_ref();
            match (content_of(&scope, options)?, conversation_of(&scope, options)?) {
                (Some(content), _) | (None, Some(content)) => content,
                (None, None) => return Err(nothing_found("\"body\"", &record)),
            }
        } else if let Some(content) = conversation_of(&scope, options)? {
            content
        } else {
            return Err(nothing_found("the record", &record));
        };
        Ok(Self {
            content,
            output: output_length(&scope, options)?,
            timestamp: timestamp(&scope, options)?,
            kept: kept(&scope, &options.keep),
        })
    }
}
