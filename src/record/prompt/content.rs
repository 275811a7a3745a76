//! What a line of prompts is read into, and how it is to be read.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::record::time::{PRESENT, TimeForm, Unit};

/// How prompts are found in lines.
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PromptOptions {
    /// The path of the field that holds the prompt (see `Path`); otherwise it is found by
    /// its name.
    pub field: Option<String>,
    /// Each line is a prompt as it stands, not JSON.
    pub text: bool,
    /// Which requests a chat stands for.
    pub turns: Turns,
    /// Names of the fields to hand on unchanged.
    pub keep: Vec<String>,
    /// Path of the arrival time, in place of the names known.
    pub timestamp_field: Option<String>,
    /// Path of the output's length or text, in place of the names known.
    pub output_field: Option<String>,
    /// Whether the fields that an engine keys its blocks by, beside the tokens, are ignored.
    pub ignore_keys: bool,
    /// Whether answers that stand beside prompts are read, and not only their lengths.
    pub answers: bool,
    /// Whether it is said where in the record the parts of a prompt stand ([`PromptRecord::places`]).
    pub places: bool,
}

/// Which requests a chat stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turns {
    /// One of the others for all chats that a reader reads, as the first looks for which it makes a
    /// difference: [`Turns::Last`] if it is a request as it was sent, [`Turns::Each`] if it is a chat of a data
    /// set.
    #[default]
    Auto,
    /// One for each assistant turn: the prompt is everything before that turn, and the output is the
    /// turn. A chat without assistant turns is one request, whose prompt is the whole chat.
    Each,
    /// One for the whole chat. Where it ends with an assistant turn, that turn is the output and
    /// everything before it the prompt.
    Last,
}

/// What one input line holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PromptRecord {
    /// The prompts of one or several requests.
    pub content: Content,
    /// What the record says about the length of the output.
    pub output: OutputLength,
    /// The answer that stands beside the prompt, if [`PromptOptions::answers`] asks for it; the answer within
    /// a chat is [`Chat::answer`].
    pub answer: Option<Answer>,
    /// The arrival time.
    pub timestamp: Option<Timestamp>,
    /// Where there is none, what may be one.
    pub unread_time: Option<String>,
    /// Prompt tokens that the server found in its cache.
    pub cached_tokens: Option<u64>,
    /// Prompt tokens that it wrote there.
    pub cache_write_tokens: Option<u64>,
    /// Prompt tokens that the server counted.
    pub recorded_input_length: Option<u64>,
    /// What an engine keys blocks by beside their tokens.
    pub keys: Keys,
    /// What in a prompt of token ids is no text, in the order of the offsets.
    pub features: Vec<Feature>,
    /// The fields asked for by [`PromptOptions::keep`]: name, and JSON text as it stood. Fields that
    /// the record lacks are left out.
    pub kept: Vec<(String, String)>,
    /// What the user should know about the way in which it was read.
    pub remarks: Remarks,
    /// Where its parts stand, if [`PromptOptions::places`] asks for it.
    pub places: Places,
}

/// Where the parts of a prompt stand in its record, as JSON Pointers (RFC 6901). A pointer may lead into a string
/// that holds JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Places {
    /// The field with the messages, the text, the list of texts or the token ids.
    pub prompt: String,
    /// The instructions beside the messages.
    pub instructions: Option<String>,
    /// The tools.
    pub tools: Option<String>,
    /// Of each message of a chat the item of the list that it is from; none for the instructions.
    pub items: Vec<Option<usize>>,
    /// The model, the salt and the adapter.
    pub keys: [Option<String>; 3],
}

/// What a record was read with; [`Default`] where nothing was out of the ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remarks {
    /// Parts of messages whose text is unknown, such as images.
    pub stand_ins: u64,
    /// How a chat with answers in it was taken, where that was not said.
    pub turns: Option<Turns>,
    /// By itself it would have been taken otherwise.
    pub looks_otherwise: bool,
    /// A chat's last question has not become a request.
    pub unanswered: bool,
    /// Answers without a message before them, which have not become requests.
    pub unasked: u64,
    /// 1 if there are images whose places are known in the engine's tokens, while the prompt is a text.
    pub unplaced: u64,
    /// The request goes on from an earlier response, or from a stored prompt, whose turns only the server has.
    pub continued: bool,
    /// 1 if the call has failed: it may stand in the log again.
    pub failed: u64,
}

/// A moment as a record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timestamp {
    /// A JSON number, or a date.
    pub text: String,
    /// What that is; `None` for a number in the unit that the user says, by default milliseconds.
    pub form: Option<TimeForm>,
}

impl Timestamp {
    /// The date and time in UTC, if it counts from 1970 and lies between 2001 and 2096. A number whose unit
    /// is not known has the unit in which it does.
    pub fn date(&self) -> Option<DateTime> {
        let unit = || Unit::of_the_present(&self.text).unwrap_or(Unit::Milliseconds);
        let form = self.form.unwrap_or_else(|| TimeForm::Number(unit()));
        let milliseconds = form.parse(&self.text).ok()?.as_f64();
        let moment = jiff::Timestamp::from_millisecond(milliseconds as i64).ok()?;
        PRESENT.contains(&milliseconds).then(|| Offset::UTC.to_datetime(moment))
    }
}

/// What an engine keys blocks by beside their tokens. Requests that differ in any of it share no block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Keys {
    /// The salt of the request.
    pub cache_salt: Option<String>,
    /// The model's name.
    pub model: Option<String>,
    /// The name of a `LoRA` adapter.
    pub lora: Option<String>,
    /// Where the adapter is.
    pub lora_path: Option<String>,
}

/// A part of a prompt of token ids that is no text, such as an image. Its tokens are the same whatever it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Feature {
    /// What tells it from others, such as a hash of the image.
    pub identifier: String,
    /// Its first token, from 0.
    pub offset: usize,
    /// How many tokens it has.
    pub length: usize,
}

impl Feature {
    /// One of `length` tokens from token `offset` on.
    pub fn new(identifier: &str, offset: usize, length: usize) -> Self {
        Self { identifier: identifier.to_owned(), offset, length }
    }

    /// The first token behind it.
    pub fn end(&self) -> usize {
        self.offset.saturating_add(self.length)
    }
}

/// The prompts of a record.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// One request per text.
    Texts(Vec<String>),
    /// One request per list of token ids.
    Tokens(Vec<Vec<u32>>),
    /// The requests of a chat.
    Chat(Chat),
}

/// A chat in the shape of `OpenAI`'s chat completions API, whatever shape it was logged in, and the places
/// in it where the assistant was asked to speak.
///
/// The messages stand here once, although each request's prompt begins with the prompt of the one before:
/// the growing past can so be rendered and tokenised a message at a time.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Chat {
    /// All messages, the oldest first.
    pub messages: Vec<Message>,
    /// One request per entry: its prompt is the messages before this index (and the template's
    /// invitation to answer). Rising; at most `messages.len()`.
    pub requests: Vec<usize>,
    /// The tools that the model may call: `json` is the text of a list, which is never empty.
    pub tools: Option<Message>,
    /// JSON text of an object, `chat_template_kwargs`: further variables for the template.
    pub arguments: Option<String>,
    /// Those of the [`VARIABLES`](super::VARIABLES) for the template that the record has: name and JSON text.
    pub fields: Vec<(String, String)>,
}

/// A message of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or any other name as it stood.
    pub role: Arc<str>,
    /// JSON text of the whole message, an object. As it stood where it had `OpenAI`'s shape: `role`;
    /// `content`, a string or a list of parts with a `type`; `name`; `tool_calls`; `tool_call_id`;
    /// `reasoning_content`; and whatever else.
    pub json: Arc<str>,
    /// What is said, where the message is nothing but a role and a text.
    pub text: Option<Arc<str>>,
    /// Tells this message from all others of the same reader, where it has been read several times.
    pub id: Option<u64>,
}

impl Message {
    /// A message of `role`, from its JSON text.
    pub fn new(role: &str, json: &str) -> Self {
        Self { role: role.into(), json: json.into(), text: None, id: None }
    }
}

impl Chat {
    /// The message that answered the request before message `request` (an entry of [`Chat::requests`]),
    /// or nothing where the chat ends there unanswered.
    pub fn answer(&self, request: usize) -> Option<&Message> {
        self.messages.get(request)
    }

    /// Whether a prompt ends with what asks the assistant to answer.
    pub fn invites(&self) -> bool {
        !self.continues() && !self.says("add_generation_prompt", "false")
    }

    /// Whether the last message of a prompt is to be continued, and so has no end.
    pub fn continues(&self) -> bool {
        self.says("continue_final_message", "true")
    }

    /// Whether documents stand beside the messages, for the template to show.
    pub fn has_documents(&self) -> bool {
        let is_filled = |json: &str| !matches!(json.trim_ascii(), "null" | "[]" | "{}" | "\"\"");
        self.fields.iter().any(|(name, json)| name == "documents" && is_filled(json))
    }

    fn says(&self, name: &str, value: &str) -> bool {
        self.fields.iter().any(|(field, json)| field == name && json == value)
    }
}

/// What was answered to a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// What was generated.
    pub generated: Generated,
    /// Whether the record says that a stop token came after it.
    pub stopped: bool,
}

/// What was generated, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Generated {
    /// Token ids, the stop token among them where there was one.
    Tokens(Vec<u32>),
    /// A text.
    Text(String),
    /// Messages of the assistant.
    Messages(Vec<Message>),
}

/// The length of a request's output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputLength {
    /// In tokens, as the record says.
    Known(u64),
    /// As long as this text, whose tokens are to be counted.
    Text(String),
    /// As long as these messages of the assistant.
    Answer(Vec<Message>),
    /// At most so many tokens.
    Limit(u64),
    /// The record does not say.
    Unknown,
}
