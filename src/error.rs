//! Why a filter ends ([`Error`], which knows its text and its exit code), and why something from outside
//! cannot be used ([`Invalid`], which knows its kind but not its place).

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a filter ends early.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The command line is wrong (exit code 2).
    Usage(String),
    /// The input is wrong at a known place (exit code 1).
    Data {
        /// Name of the input as the user wrote it; `-` is standard input.
        file: String,
        /// Line number, from 1.
        line: u64,
        /// What was found, what was expected, and the setting that helps.
        message: String,
    },
    /// The operating system refused something (exit code 1).
    Io {
        /// The file or stream concerned.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Anything else that makes the result wrong or impossible (exit code 1).
    Failed(String),
    /// Nobody reads our output any more: a quiet end (exit code 0).
    ClosedPipe,
    /// SIGINT or SIGTERM ended the run at a record boundary (exit code 128 + signal).
    Signal(i32),
}

/// Result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An I/O error on `path`.
    pub fn io(path: impl Into<String>, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// The system gives no thread.
    pub fn no_thread() -> Self {
        Self::io("threads", io::Error::other("the system has none to give (see `jobs`)"))
    }

    /// The exit code of the process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Data { .. } | Self::Io { .. } | Self::Failed(_) => 1,
            Self::ClosedPipe => 0,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
        }
    }

    /// Whether the process ends without a word on standard error.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::ClosedPipe | Self::Signal(_))
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Failed(invalid.message)
    }
}

/// Why something that came from outside cannot be used: its kind, for programs, and a message for people.
/// Where it stood is added by whoever knows (see [`Error::Data`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// What kind of thing is wrong.
    pub kind: InvalidKind,
    /// What was found and what was expected. A setting that helps has its name in backticks, such as
    /// `` `max_memory` ``; the programs write it as the option `--max-memory`.
    pub message: String,
}

/// What can be wrong with something from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InvalidKind {
    /// It cannot be parsed: not a JSON object, not UTF-8, a table without its columns.
    Malformed,
    /// A field that is needed is missing.
    MissingField,
    /// A field has a value of the wrong type or out of range.
    BadValue,
    /// The number of ids does not fit the length.
    LengthMismatch,
    /// The block size differs from that of the records before, or from the one that was given.
    BlockSizeMismatch,
    /// It would take more memory, or more ids, than are allowed.
    OverLimit,
    /// It is valid, but not together with what came before it or with what is asked for.
    Conflict,
}

impl Invalid {
    /// The kind and the message together.
    pub fn new(kind: InvalidKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Something that cannot be parsed.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(InvalidKind::Malformed, message)
    }

    /// The field `name` is missing.
    pub fn missing(name: &str) -> Self {
        Self::new(InvalidKind::MissingField, format!("missing field \"{name}\""))
    }

    /// A field with a value of the wrong type or out of range.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(InvalidKind::BadValue, message)
    }

    /// More memory or more ids than are allowed.
    pub fn over_limit(message: impl Into<String>) -> Self {
        Self::new(InvalidKind::OverLimit, message)
    }

    /// A contradiction to what came before or to what is asked for.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(InvalidKind::Conflict, message)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

/// The message alone, for places that add where it stood.
impl From<Invalid> for String {
    fn from(invalid: Invalid) -> Self {
        invalid.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Usage(message) | Self::Failed(message) => shortened(message),
            Self::Data { file, line, message } => {
                format!("{}:{line}: {}", printable(file), shortened(message))
            }
            Self::Io { path, source } => format!("{}: {}", printable(path), printable(&describe(source))),
            Self::ClosedPipe => "closed pipe".to_owned(),
            Self::Signal(signal) => format!("ended by signal {signal}"),
        };
        f.write_str(&text)
    }
}

impl std::error::Error for Error {}

/// The system's message without Rust's `(os error N)`.
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Characters of a message; what it quotes of the input may be as long as a line.
const MOST_CHARACTERS: usize = 2000;

/// `message` printable, and cut where it would fill the screen.
fn shortened(message: &str) -> String {
    // Escapes only make it longer.
    let end = message.char_indices().nth(MOST_CHARACTERS).map_or(message.len(), |(end, _)| end);
    let mut text = printable(&message[..end]);
    let cut = text.char_indices().nth(MOST_CHARACTERS).map(|(at, _)| at);
    text.truncate(cut.unwrap_or(text.len()));
    if cut.is_some() || end < message.len() {
        text.push_str("...");
    }
    text
}

/// Whether a character changes the order in which a terminal shows its neighbours, or breaks the line.
fn is_layout(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with control characters escaped: input quoted in a message must neither drive a terminal nor
/// show itself as something else.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_layout(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The JSON text `json` with the same characters as [`printable`] escaped, and the same values.
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Below U+0080 only the line ends between values are not escaped yet.
        if c > '\u{7e}' && (c.is_control() || is_layout(c)) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs other people's code that may panic on what a user's file says; `None` if it did.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.ok()
}

/// Whether a panic of this thread would end in [`guarded`], so that it is not a crash.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_in_messages() {
        let error = Error::Data { file: "a\u{1b}[31m".into(), line: 3, message: "bad\r\n".into() };
        assert_eq!(error.to_string(), "a\\u{1b}[31m:3: bad\\r\\n");
        let error = Error::Failed("abc\u{202e}fed\u{9b}1m\u{2066}".into());
        assert_eq!(error.to_string(), "abc\\u{202e}fed\\u{9b}1m\\u{2066}");
    }

    #[test]
    fn control_characters_in_json_are_escaped_as_json_does() {
        let text = "a\u{7f}\u{9b}\u{202e}\u{e4}\n\u{1b}";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let printable = printable_json(&json);
        assert_eq!(printable, "[\n  \"a\\u007f\\u009b\\u202e\u{e4}\\n\\u001b\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&printable).unwrap()[0], text);
    }

    #[test]
    fn a_message_that_quotes_a_whole_line_is_cut() {
        let data = |message: String| Error::Data { file: "f".into(), line: 1, message }.to_string();
        assert_eq!(data("x".repeat(1 << 20)), format!("f:1: {}...", "x".repeat(2000)));
        assert_eq!(data("\u{1}".repeat(2000)).chars().count(), 5 + 2000 + 3);
        assert_eq!(data("\u{e9}".repeat(2000)), format!("f:1: {}", "\u{e9}".repeat(2000)));
    }

    #[test]
    fn a_guarded_panic_is_no_result() {
        assert_eq!(guarded(|| guarded(is_guarded)), Some(Some(true)));
        assert_eq!(guarded(|| -> u8 { [][usize::from(is_guarded())] }), None);
        assert!(!is_guarded());
    }

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::Failed(String::new()).exit_code(), 1);
        assert_eq!(Error::ClosedPipe.exit_code(), 0);
        assert_eq!(Error::Signal(15).exit_code(), 143);
    }
}
