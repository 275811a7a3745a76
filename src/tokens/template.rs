//! Chat templates: Jinja as in Hugging Face's `tokenizer_config.json` or `chat_template.jinja`.
//!
//! A rendering is that of `apply_chat_template` in Python's `transformers` with
//! `add_generation_prompt=True`: blocks are trimmed, `raise_exception` ends the record with the
//! template's own message, and `tojson` writes as Python's `json.dumps` does. There is no clock:
//! `strftime_now` always tells the same day, [`TODAY`].

use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result};
use crate::record::prompt::Chat;

/// The day on which templates think they are rendered: the one that Llama's has as its default.
pub const TODAY: DateTime = DateTime::constant(2024, 7, 26, 12, 0, 0, 0);

/// Steps that a rendering may take: some seconds, a thousand times what a long chat takes. A template is
/// a program, and may be one without end.
const MOST_STEPS: u64 = 1 << 28;

/// Widest indentation that `tojson` writes.
const MOST_INDENT: usize = 100;

const MAIN: &str = "default";
const WITH_TOOLS: &str = "tool_use";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A compiled template and the special tokens that it may name.
pub struct Template {
    environment: Environment<'static>,
    globals: Vec<(String, Value)>,
    identity: String,
}

/// The messages of a chat, ready to be rendered.
pub struct Messages {
    messages: Vec<Value>,
    tools: Option<Value>,
    arguments: Vec<(Value, Value)>,
}

impl Template {
    /// The template in `path`: a Jinja file, a `tokenizer_config.json`, or a folder with either.
    ///
    /// # Errors
    /// When there is none, or it is not valid; the message names the line.
    pub fn load(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let missing = || Error::Failed(format!("{}: no chat template in this folder", path.display()));
            return Self::in_folder(path)?.ok_or_else(missing);
        }
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(&name, e))?;
        let config = path.with_file_name(CONFIG);
        if !text.trim_start().starts_with('{') || serde_json::from_str::<IgnoredAny>(&text).is_err() {
            let config = if config.is_file() { read_config(&config)? } else { Value::UNDEFINED };
            return Self::new(&name, vec![(MAIN.to_owned(), text)], &config);
        }
        let config = read_config(path)?;
        let templates = templates(&config);
        if templates.is_empty() {
            return Err(Error::Failed(format!("{name}: no field \"chat_template\"")));
        }
        Self::new(&name, templates, &config)
    }

    /// The template that is the text of a Jinja file, which errors call `name`.
    ///
    /// # Errors
    /// When it is not valid; the message names the line.
    pub fn parse(name: &str, text: String) -> Result<Self> {
        Self::new(name, vec![(MAIN.to_owned(), text)], &Value::UNDEFINED)
    }

    /// The template of a model's folder, if it has one.
    ///
    /// # Errors
    /// As [`Template::load`].
    pub fn in_folder(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join("chat_template.jinja");
        if file.is_file() {
            return Self::load(&file).map(Some);
        }
        let file: PathBuf = folder.join(CONFIG);
        if !file.is_file() {
            return Ok(None);
        }
        let config = read_config(&file)?;
        let templates = templates(&config);
        if templates.is_empty() {
            return Ok(None);
        }
        Self::new(&file.display().to_string(), templates, &config).map(Some)
    }

    fn new(name: &str, templates: Vec<(String, String)>, config: &Value) -> Result<Self> {
        let fail = |error: minijinja::Error| {
            let line = error.line().map_or_else(String::new, |line| format!("{line}: "));
            Error::Failed(format!("{name}:{line}chat template: {}", reason(&error)))
        };
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(fail)?);
        environment.set_fuel(Some(MOST_STEPS));
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_formatter(write_value);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        let mut all = blake3::Hasher::new();
        for (title, source) in templates {
            all.update(source.as_bytes());
            environment.add_template_owned(title, source).map_err(fail)?;
        }
        let special = |name: &&str| {
            let token = config.get_attr(name).ok()?;
            let text = if token.kind() == ValueKind::Map { token.get_attr("content").ok()? } else { token };
            text.as_str().is_some().then_some(((*name).to_owned(), text))
        };
        let globals = SPECIAL_TOKENS.iter().filter_map(special).collect();
        Ok(Self { environment, globals, identity: all.finalize().to_hex().to_string() })
    }

    /// What tells this template from others.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Appends to `out` the prompt of the request before message `end`.
    ///
    /// # Errors
    /// What the template says, or what is wrong with it, and its line.
    pub fn render(&self, chat: &Messages, end: usize, out: &mut String) -> Result<(), String> {
        let tools = chat.tools.as_ref().filter(|_| self.environment.get_template(WITH_TOOLS).is_ok());
        let template = self.environment.get_template(if tools.is_some() { WITH_TOOLS } else { MAIN });
        let messages = Value::from(chat.messages[..end.min(chat.messages.len())].to_vec());
        let mut context: Vec<(Value, Value)> = self
            .globals
            .iter()
            .map(|(name, value)| (Value::from(&**name), value.clone()))
            .chain([
                (Value::from("messages"), messages),
                (Value::from("tools"), chat.tools.clone().unwrap_or_else(|| Value::from(()))),
                (Value::from("documents"), Value::from(())),
                (Value::from("add_generation_prompt"), Value::from(true)),
            ])
            .collect();
        context.extend(chat.arguments.iter().cloned());
        let context = Value::from_pairs(context);
        let text = template.and_then(|template| template.render(context)).map_err(|error| {
            let line = error.line().map_or_else(String::new, |line| format!(" line {line}"));
            format!("chat template{line}: {}", reason(&error))
        })?;
        out.push_str(&text);
        Ok(())
    }
}

impl Messages {
    /// The messages of `chat`, which was read with
    /// [`PromptOptions::raw_chats`](crate::record::prompt::PromptOptions::raw_chats).
    ///
    /// # Errors
    /// When a message cannot be read.
    pub fn new(chat: &Chat) -> Result<Self, String> {
        let source = chat.source.as_deref().ok_or("the messages were not kept")?;
        let parse = |text: &String| -> Result<Value, String> {
            serde_json::from_str(text).map_err(|error| error.to_string())
        };
        let mut messages = Vec::with_capacity(source.messages.len());
        for (text, turn) in source.messages.iter().zip(&chat.turns) {
            let message = parse(text)?;
            let parts = message.get_attr("content").is_ok_and(|content| content.kind() == ValueKind::Seq);
            messages.push(if parts { with_content(&message, &turn.text) } else { message });
        }
        let tools = source.tools.as_ref().map(parse).transpose()?;
        let arguments = match source.arguments.as_ref().map(parse).transpose()? {
            Some(map) if map.kind() == ValueKind::Map => pairs(&map),
            _ => Vec::new(),
        };
        Ok(Self { messages, tools: tools.filter(|tools| tools.len() != Some(0)), arguments })
    }
}

fn pairs(map: &Value) -> Vec<(Value, Value)> {
    let keys = map.try_iter().into_iter().flatten();
    keys.filter_map(|key| map.get_item(&key).ok().map(|value| (key, value))).collect()
}

/// The message with its text in place of a list of parts.
fn with_content(message: &Value, text: &str) -> Value {
    let content = |(key, value): (Value, Value)| {
        let value = if key.as_str() == Some("content") { Value::from(text) } else { value };
        (key, value)
    };
    Value::from_pairs(pairs(message).into_iter().map(content))
}

fn read_config(path: &Path) -> Result<Value> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(&name, e))?;
    serde_json::from_str(&text).map_err(|e| Error::Failed(format!("{name}: not valid JSON: {e}")))
}

/// The templates of a configuration by name: one, or a list of them.
fn templates(config: &Value) -> Vec<(String, String)> {
    let Ok(field) = config.get_attr("chat_template") else { return Vec::new() };
    if let Some(text) = field.as_str() {
        return vec![(MAIN.to_owned(), text.to_owned())];
    }
    let entry = |entry: Value| {
        let text = |name: &str| Some(entry.get_attr(name).ok()?.as_str()?.to_owned());
        Some((text("name")?, text("template")?))
    };
    match field.kind() {
        ValueKind::Seq => field.try_iter().into_iter().flatten().filter_map(entry).collect(),
        _ => Vec::new(),
    }
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

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: String) -> Result<String, minijinja::Error> {
    let fail = |error: jiff::Error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string());
    jiff::fmt::strtime::format(format, TODAY).map_err(fail)
}

/// Values in a text as Python writes them.
fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::None => out.write_str("None").map_err(Into::into),
        ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" }).map_err(Into::into),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// `tojson` of `transformers`: `json.dumps` without escapes of what is not ASCII.
fn to_json(value: &Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    // What else Python's function takes does not change the text of usual calls.
    for other in ["ensure_ascii", "separators", "sort_keys"] {
        options.get::<Option<Value>>(other)?;
    }
    options.assert_all_used()?;
    if indent.is_some_and(|width| width > MOST_INDENT) {
        let message = format!("tojson: an indent above {MOST_INDENT}");
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, message));
    }
    let mut out = Vec::new();
    let done = match indent {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
        Some(width) => {
            let indent = " ".repeat(width);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        }
    };
    let fail = |text: String| minijinja::Error::new(ErrorKind::InvalidOperation, text);
    done.map_err(|error| fail(error.to_string()))?;
    String::from_utf8(out).map_err(|error| fail(error.to_string()))
}

/// Python's separators, `", "` and `": "`.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}
