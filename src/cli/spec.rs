//! What a filter's command line looks like, as plain constant data.
//!
//! One table per filter is read four times: by the parser, by `--help`, by the manual page and by
//! the completions. They cannot disagree, and an option is added in one place.

use super::value::Value;

/// The command line and the manual of one filter, whose options end up in an `O`.
pub struct Spec<O: 'static> {
    /// Name of the program.
    pub name: &'static str,
    /// What it does, in one line without a full stop.
    pub about: &'static str,
    /// DESCRIPTION of the manual page.
    pub description: &'static [Block],
    /// The filter's own options, in the order in which help and manual list them.
    pub options: &'static [Opt<O>],
    /// Options shared by all filters: [`CommonOptions::TABLE`](super::CommonOptions::TABLE).
    pub common: &'static [Opt<O>],
    /// Further sections of the manual page; OPTIONS and EXIT STATUS are generated. `--help` shows
    /// the first examples of the section titled EXAMPLES.
    pub sections: &'static [Section],
}

impl<O> Spec<O> {
    /// All options, the filter's own first.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Opt<O>> {
        self.options.iter().chain(self.common)
    }
}

/// One option.
pub struct Opt<O: 'static> {
    /// Long name without the dashes.
    pub long: &'static str,
    /// One-letter name.
    pub short: Option<char>,
    /// What follows the name.
    pub arg: Arg,
    /// One line for `--help` and the completions, without a full stop.
    pub help: &'static str,
    /// Paragraphs of the manual page, separated by blank lines; empty: the same as `help`.
    pub doc: &'static str,
    /// Stores the value; the parser puts the option's name before the text of an error. Called
    /// once per occurrence, so that the last one wins or all are collected, as it chooses. Values
    /// of [`Arg::Choice`] and [`Arg::List`] have been checked against the table before.
    pub set: fn(&mut O, &Value) -> Result<(), String>,
}

/// The value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// None: the option is a flag.
    None,
    /// Free text, shown as this placeholder.
    Value(&'static str),
    /// A file name, shown as this placeholder and completed by the shell.
    File(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Nothing, or one of these words behind an equals sign; nothing is stored as an empty text.
    Maybe(&'static [&'static str]),
    /// Some of these words, separated by commas, shown as this placeholder; any words if empty.
    List(&'static str, &'static [&'static str]),
}

impl Arg {
    /// How help and manual show the value: `FILE`, or `auto|always|never`.
    pub(super) fn placeholder(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Value(name) | Self::File(name) | Self::List(name, _) => Some(name.to_owned()),
            Self::Choice(choices) | Self::Maybe(choices) => Some(choices.join("|")),
        }
    }
}

/// A section of the manual page.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Title in capitals. The conventional ones (ENVIRONMENT, FILES, EXAMPLES, SEE ALSO, ...) go
    /// last and in the order of mdoc(7).
    pub title: &'static str,
    /// Its contents.
    pub body: &'static [Block],
}

/// A piece of a manual page. Line breaks inside are spaces; a blank line starts a paragraph.
#[derive(Debug, Clone, Copy)]
pub enum Block {
    /// Prose.
    Text(&'static str),
    /// A term and its explanation.
    Item(&'static str, &'static str),
    /// A command to try; its line breaks are kept.
    Example {
        /// What the command does, without a full stop.
        what: &'static str,
        /// What to type.
        command: &'static str,
    },
}
