//! Chat templates: Jinja as in Hugging Face's `chat_template.jinja` or `tokenizer_config.json`.
//!
//! A rendering is that of `apply_chat_template` in transformers 5.24 for a chat that vLLM hands to it:
//!
//! * `files` finds templates and the special tokens that they name;
//! * `answer` is about what the assistant generates, as a template writes it;
//! * `feed` says what becomes of the messages before the template sees them, and `content_format`
//!   whether it wants their content as parts or as one string;
//! * `program` compiles and runs a template with what is in `environment` and `methods`, where values
//!   are written as Python writes them (`python`).

mod answer;
mod content_format;
mod environment;
mod feed;
mod files;
mod filters;
mod iterators;
mod json;
mod letters;
mod methods;
mod program;
mod python;
mod source;
mod variables;

use std::path::Path;

use jiff::civil::DateTime;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Value};

use crate::error::{Error, Invalid, Result};
use crate::record::prompt::{Chat, Message};
use crate::record::recent::Recent;
pub use answer::AnswerForm;
use feed::field;
pub(super) use json::plain_json;
use program::Program;
use variables::Variables;

/// The day on which templates are rendered where the record does not say when it was made: the one that
/// Llama's template has as its default.
pub const TODAY: DateTime = DateTime::constant(2024, 7, 26, 12, 0, 0, 0);

/// What marks the place where a message is to be continued, as in transformers.
const CONTINUED: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// How the content of messages is given to a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentFormat {
    /// As the template works with it.
    #[default]
    Auto,
    /// As one string.
    String,
    /// As a list of parts.
    Parts,
}

/// A compiled template, or several that are chosen from, and the special tokens that they may name.
pub struct Template {
    environment: Environment<'static>,
    programs: Vec<(String, Program)>,
    special_tokens: Vec<(String, Value)>,
    format: ContentFormat,
    identity: String,
}

/// A chat as the template sees it, ready to be rendered.
pub struct Conversation {
    /// The place of the template among those to choose from.
    program: usize,
    messages: Vec<Value>,
    tools: Option<Value>,
    variables: Variables,
}

/// Messages and lists of tools that templates were given before, by their ids: in a log of requests most of
/// them come again and again.
pub struct SeenMessages(Recent<Option<Value>>);

impl SeenMessages {
    /// Remembers up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Recent::new(limit))
    }

    /// What is made of a message, for a template that wants parts or for one that does not.
    fn read(
        &mut self,
        message: &Message,
        parts: bool,
        read: impl FnOnce(&str) -> Result<Option<Value>, String>,
    ) -> Result<Option<Value>, String> {
        let key = message.id.map(|id| id << 1 | u64::from(parts));
        if let Some(known) = key.and_then(|key| self.0.get(key)) {
            return Ok(known.clone());
        }
        let value = read(&message.json)?;
        if let Some(key) = key {
            // Values take several times the bytes of their text.
            self.0.insert(key, value.clone(), 8 * message.json.len() + 256);
        }
        Ok(value)
    }
}

impl Template {
    /// Reads the template in `path`: a Jinja file, a `tokenizer_config.json`, or a folder with either. The
    /// special tokens are those of the folder `model`, or else of the template's own folder.
    ///
    /// # Errors
    /// When there is none, or it is not valid; the message names the line.
    pub fn load(path: &Path, model: Option<&Path>) -> Result<Self> {
        let found = files::named(path)?;
        let own = if path.is_dir() { Some(path) } else { path.parent() };
        let mut tokens = model.map(files::special_tokens).transpose()?.unwrap_or_default();
        if tokens.is_empty() {
            // A file without a folder in its path lies in the working directory.
            let own = own.filter(|own| !own.as_os_str().is_empty()).unwrap_or(Path::new("."));
            tokens = files::special_tokens(own)?;
        }
        Self::new(found, tokens)
    }

    /// The template that is the text of a Jinja file, which errors call `name`.
    ///
    /// # Errors
    /// When it is not valid; the message names the line.
    pub fn parse(name: &str, text: String) -> Result<Self> {
        let templates = vec![(files::MAIN.to_owned(), text)];
        Self::new(files::Found { place: name.to_owned(), templates }, Vec::new())
    }

    /// Reads the template of a model's folder, if it has one.
    ///
    /// # Errors
    /// As [`Template::load`].
    pub fn in_folder(folder: &Path) -> Result<Option<Self>> {
        let Some(found) = files::in_folder(folder)? else { return Ok(None) };
        Self::new(found, files::special_tokens(folder)?).map(Some)
    }

    fn new(found: files::Found, special_tokens: Vec<(String, Value)>) -> Result<Self> {
        let mut all = blake3::Hasher::new();
        let mut programs = Vec::new();
        for (name, source) in found.templates {
            all.update(source.as_bytes());
            let program = Program::compile(&source).map_err(|error| {
                let line = error.line().map_or_else(String::new, |line| format!("{line}: "));
                Error::Failed(format!("{}:{line}chat template: {}", found.place, reason(&error)))
            })?;
            programs.push((name, program));
        }
        let environment = environment::environment();
        let (format, identity) = (ContentFormat::default(), all.finalize().to_hex().to_string());
        Ok(Self { environment, programs, special_tokens, format, identity })
    }

    /// Gives content in this format, whatever the template works with.
    #[must_use]
    pub fn with_content_format(mut self, format: ContentFormat) -> Self {
        self.format = format;
        self
    }

    /// Identifies this template: equal for equal templates only.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Reads the messages of `chat`. Those in `seen` are not read again.
    ///
    /// # Errors
    /// When the chat holds something that no template could be given.
    pub fn conversation(&self, chat: &Chat, seen: &mut SeenMessages) -> Result<Conversation, Invalid> {
        self.read(chat, seen).map_err(Invalid::value)
    }

    fn read(&self, chat: &Chat, seen: &mut SeenMessages) -> Result<Conversation, String> {
        let tools = match &chat.tools {
            Some(text) => seen.read(text, false, tools)?,
            None => None,
        };
        let kwargs = chat.arguments.as_deref().map(json::parse).transpose()?;
        let variables = Variables::new(kwargs.as_ref(), &chat.fields)?;
        let place = |name: &str| self.programs.iter().position(|(other, _)| other == name);
        let for_tools = tools.as_ref().and_then(|_| place(files::WITH_TOOLS));
        let program = for_tools.or_else(|| place(files::MAIN)).ok_or_else(|| {
            let names: Vec<&str> = self.programs.iter().map(|(name, _)| name.as_str()).collect();
            format!("no chat template is named \"default\", only \"{}\"", names.join("\", \""))
        })?;
        let parts = match self.format {
            ContentFormat::Auto => self.programs[program].1.wants_parts,
            ContentFormat::String => false,
            ContentFormat::Parts => true,
        };
        let mut messages = Vec::with_capacity(chat.messages.len());
        for message in &chat.messages {
            let read = |text: &str| feed::message(&json::parse(text)?, parts).map(Some);
            messages.extend(seen.read(message, parts, read)?);
        }
        Ok(Conversation { program, messages, tools, variables })
    }

    /// Appends to `out` the prompt of the request before message `end`, made at the time `now`.
    ///
    /// # Errors
    /// What the template says, or what is wrong with it, and its line.
    pub fn render(
        &self,
        chat: &Conversation,
        end: usize,
        now: DateTime,
        out: &mut String,
    ) -> Result<(), Invalid> {
        self.write(chat, end, now, chat.variables.add_generation_prompt, out).map_err(Invalid::conflict)
    }

    fn write(
        &self,
        chat: &Conversation,
        end: usize,
        now: DateTime,
        invites: bool,
        out: &mut String,
    ) -> Result<(), String> {
        let program = &self.programs[chat.program].1;
        let mut messages = chat.messages[..end.min(chat.messages.len())].to_vec();
        if !program.knows_developer {
            messages = feed::without_developers(messages);
        }
        // Only the request for the whole chat continues its last message.
        let continued = chat.variables.continued.as_deref().filter(|_| end >= chat.messages.len());
        let ending = continued.map(|field| mark_end(&mut messages, field, program.source)).transpose()?;
        let text = program.run(&self.environment, self.variables(chat, messages, now, invites)).map_err(
            |error| {
                let line = error.line().map_or_else(String::new, |line| format!(" line {line}"));
                format!("chat template{line}: {}", reason(&error))
            },
        )?;
        match ending {
            Some(ending) => out.push_str(cut_at_mark(&text, &ending)?),
            None => out.push_str(&text),
        }
        Ok(())
    }

    fn variables(&self, chat: &Conversation, messages: Vec<Value>, now: DateTime, invites: bool) -> Value {
        let special = self.special_tokens.iter().map(|(name, token)| (Value::from(name), token.clone()));
        let given = [
            (Value::from("messages"), Value::from(messages)),
            (Value::from("tools"), chat.tools.clone().unwrap_or_else(|| Value::from(()))),
            (Value::from("documents"), Value::from(())),
            (Value::from("add_generation_prompt"), Value::from(invites)),
            (Value::from("strftime_now"), environment::strftime_now(now)),
        ];
        Value::from_pairs(special.chain(given).chain(chat.variables.list.iter().cloned()))
    }
}

/// The tools of a request: a list that is not empty, which gateways also log as JSON in a string.
fn tools(text: &str) -> Result<Option<Value>, String> {
    let mut tools = json::parse(text)?;
    if let Some(inner) = tools.as_str() {
        tools = json::parse(inner).map_err(|error| format!("\"tools\" is a text: {error}"))?;
    }
    match tools.kind() {
        ValueKind::Seq => Ok(Some(tools).filter(|tools| tools.len() != Some(0))),
        ValueKind::None => Ok(None),
        kind => Err(format!("\"tools\" must be a list of objects, found {kind}")),
    }
}

/// Marks the end of what the last message says, and returns that text.
fn mark_end(messages: &mut [Value], name: &str, template: &str) -> Result<String, String> {
    let last = messages.last_mut().ok_or("there is no message to continue")?;
    let text = field(last, name).ok_or_else(|| format!("the last message has no \"{name}\" to continue"))?;
    let reasoning = ["reasoning_content", "thinking", "reasoning"];
    // Reasoning is given under several names.
    let names: Vec<&str> = if reasoning.contains(&name) {
        reasoning.into_iter().filter(|other| field(last, other).is_some_and(|other| other == text)).collect()
    } else {
        vec![name]
    };
    if !names.iter().any(|name| template.contains(name)) {
        return Err(format!("the chat template does not use the \"{name}\" that is to be continued"));
    }
    let marked = |text: &Value| Value::from(python::json_text(text) + CONTINUED);
    if text.kind() != ValueKind::Seq {
        for name in names {
            *last = feed::with(last, name, marked(&text));
        }
        return Ok(python::json_text(&text));
    }
    let mut parts: Vec<Value> = text.try_iter().into_iter().flatten().collect();
    let part =
        parts.iter_mut().rev().find(|part| part.get_attr("text").is_ok_and(|text| !text.is_undefined()));
    let part = part.ok_or("the last message has no text to continue")?;
    let text = part.get_attr("text").map_err(|error| error.to_string())?;
    *part = feed::with(part, "text", marked(&text));
    *last = feed::with(last, name, Value::from(parts));
    Ok(python::json_text(&text))
}

/// The rendered text up to the mark. Where the template has trimmed the message, its end is trimmed, too.
fn cut_at_mark<'t>(text: &'t str, ending: &str) -> Result<&'t str, String> {
    let mark = CONTINUED.trim_end();
    let at = text.rfind(mark).filter(|_| text.contains(ending.trim_matches(letters::is_space)));
    let at = at.ok_or("the chat template leaves out the message that is to be continued")?;
    let before = &text[..at];
    Ok(if text[at..].starts_with(CONTINUED) { before } else { before.trim_end_matches(letters::is_space) })
}

/// The error's own words and those of what caused it.
fn reason(error: &minijinja::Error) -> String {
    let mut text = match error.kind() {
        ErrorKind::InvalidOperation if error.detail().is_some() => String::new(),
        kind => kind.to_string(),
    };
    if let Some(detail) = error.detail() {
        text = if text.is_empty() { detail.to_owned() } else { format!("{text}: {detail}") };
    }
    if let Some(cause) = std::error::Error::source(error) {
        text.push_str(&format!(" ({cause})"));
    }
    text
}
