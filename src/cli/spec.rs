//! The command line of a filter, as constant data.
//!
//! One table per filter is read by the parser, by `--help`, by the manual page and by the completions, so
//! that they cannot disagree. The prose is in a text file, see [`Manual`](super::Manual). An option is one
//! line of the table and one entry of the text.

use super::choice::{Choice, Names, names};
use super::value::Value;

/// The command line and the manual of one filter, whose options are stored in an `O`.
pub struct Spec<O: 'static> {
    /// Name of the program.
    pub name: &'static str,
    /// The text of its manual and of its options, see [`Manual`](super::Manual).
    pub text: &'static str,
    /// The filter's own options, in the order in which help and manual list them.
    pub options: &'static [Group<O>],
    /// Options shared by all filters: [`CommonOptions::TABLE`](super::CommonOptions::TABLE).
    pub common: &'static [Group<O>],
    /// Combinations of options that are refused. The message of the first one that applies is shown.
    pub rules: &'static [Rule<O>],
}

/// Options with the heading over them. The common ones under a heading of the filter join its own.
pub type Group<O> = (&'static str, &'static [Opt<O>]);

/// A test for options that contradict each other or have no effect together, and the message for the user.
pub type Rule<O> = (fn(&O) -> bool, &'static str);

/// Stores the value of an option; the error says what is wrong with it. Called once per occurrence: the
/// last one wins, except that lists add up and that some are refused.
pub type Set<O> = fn(&mut O, &Value) -> Result<(), String>;

impl<O> Spec<O> {
    /// All options, the filter's own first.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Opt<O>> {
        self.options.iter().chain(self.common).flat_map(|(_, options)| *options)
    }

    /// All options under their headings.
    pub(super) fn headed(&self) -> Vec<(&'static str, Vec<&'static Opt<O>>)> {
        let mut headed: Vec<(&str, Vec<_>)> = Vec::new();
        for &(heading, options) in self.options.iter().chain(self.common) {
            match headed.iter_mut().find(|(known, _)| *known == heading) {
                Some((_, list)) => list.extend(options),
                None => headed.push((heading, options.iter().collect())),
            }
        }
        headed
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
    /// Stores the value.
    pub set: Action<O>,
    /// The options that it cannot be combined with, and why.
    pub not_with: &'static [(&'static str, &'static str)],
    /// Whether `-h` has it: one of the few that people use every day.
    pub is_daily: bool,
    /// Whether a second one is refused: the first would go unnoticed.
    pub is_once: bool,
}

/// What an option does.
pub enum Action<O> {
    /// A flag, which has no value.
    Flag(fn(&mut O)),
    /// Any other option.
    Value(Set<O>),
}

/// The value of an option.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// None: the option is a flag.
    None,
    /// Free text.
    Value,
    /// A file name, completed by the shell.
    File,
    /// One of these words.
    Choice(Names),
    /// Optionally one of these words after an equals sign; without it an empty text is stored.
    Maybe(Names),
    /// Some of these words, separated by commas.
    List(Names),
}

/// Begins a line of a table: an option by its long name. The rest of the line says what it does.
pub const fn opt(long: &'static str) -> Name {
    Name { long, short: None, not_with: &[], is_daily: false, is_once: false }
}

/// An option whose action is still to be specified.
#[derive(Clone, Copy)]
pub struct Name {
    long: &'static str,
    short: Option<char>,
    not_with: &'static [(&'static str, &'static str)],
    is_daily: bool,
    is_once: bool,
}

impl Name {
    /// Adds a one-letter name.
    #[must_use]
    pub const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    /// Lists the options that it cannot be combined with, and why.
    #[must_use]
    pub const fn not_with(self, others: &'static [(&'static str, &'static str)]) -> Self {
        Self { not_with: others, ..self }
    }

    /// Shows it in `-h` too.
    #[must_use]
    pub const fn daily(self) -> Self {
        Self { is_daily: true, ..self }
    }

    /// Refuses a second one.
    #[must_use]
    pub const fn once(self) -> Self {
        Self { is_once: true, ..self }
    }

    /// Makes it a flag.
    pub const fn flag<O>(self, set: fn(&mut O)) -> Opt<O> {
        self.option(Arg::None, Action::Flag(set))
    }

    /// Its value is any text.
    pub const fn value<O>(self, set: Set<O>) -> Opt<O> {
        self.option(Arg::Value, Action::Value(set))
    }

    /// Its value is the name of a file.
    pub const fn file<O>(self, set: Set<O>) -> Opt<O> {
        self.option(Arg::File, Action::Value(set))
    }

    /// Its value is one of the names of `T`.
    pub const fn choice<O, T: Choice>(self, set: Set<O>) -> Opt<O> {
        self.option(Arg::Choice(names::<T>), Action::Value(set))
    }

    /// Its value is one of the names of `T`, or is left out.
    pub const fn maybe<O, T: Choice>(self, set: Set<O>) -> Opt<O> {
        self.option(Arg::Maybe(names::<T>), Action::Value(set))
    }

    /// Its value is a list of names of `T`.
    pub const fn list<O, T: Choice>(self, set: Set<O>) -> Opt<O> {
        self.option(Arg::List(names::<T>), Action::Value(set))
    }

    const fn option<O>(self, arg: Arg, set: Action<O>) -> Opt<O> {
        let Self { long, short, not_with, is_daily, is_once } = self;
        Opt { long, short, arg, set, not_with, is_daily, is_once }
    }
}

impl<O> Opt<O> {
    /// How help and manual show the value, `FILE` or `auto|always|never`, given the placeholder of the
    /// text; none for a flag.
    pub(super) fn placeholder(&self, placeholder: &str) -> Option<String> {
        match self.arg {
            Arg::None => None,
            Arg::Value | Arg::File | Arg::List(_) => Some(placeholder.to_owned()),
            Arg::Choice(names) | Arg::Maybe(names) => Some(names().join("|")),
        }
    }

    /// The same where there is little room: of many choices only the first.
    pub(super) fn short_placeholder(&self, placeholder: &str) -> Option<String> {
        match self.arg {
            Arg::Choice(names) | Arg::Maybe(names) => names().first().map(|first| format!("{first}|...")),
            _ => self.placeholder(placeholder),
        }
    }
}

/// A small table for the tests of this folder.
#[cfg(test)]
pub(super) mod testing {
    use super::super::choice::{Choice, NamedValues};
    use super::super::common::{Common, CommonOptions, HasCommon};
    use super::super::value::Value;
    use super::{Group, Opt, Spec, opt};

    #[derive(Debug, Default, PartialEq, Eq)]
    pub(in crate::cli) struct Test {
        pub(in crate::cli) common: Common,
        pub(in crate::cli) block_size: u64,
        pub(in crate::cli) keep: Vec<Kept>,
        pub(in crate::cli) format: Format,
        pub(in crate::cli) draw: Option<Format>,
        pub(in crate::cli) text: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::cli) enum Kept {
        Id,
        Kind,
    }

    impl Choice for Kept {
        const NAMES: NamedValues<Self> = &[("id", Self::Id), ("kind", Self::Kind)];
    }

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(in crate::cli) enum Format {
        #[default]
        Table,
        Json,
    }

    impl Choice for Format {
        const NAMES: NamedValues<Self> = &[("table", Self::Table), ("json", Self::Json)];
    }

    impl HasCommon for Test {
        fn common(&mut self) -> &mut Common {
            &mut self.common
        }
    }

    const OPTIONS: &[Group<Test>] = &[("Blocks", BLOCKS), ("Output", OUTPUT)];

    const BLOCKS: &[Opt<Test>] = &[
        opt("block-size").short('b').daily().value(|o, v| v.positive().map(|n| o.block_size = n)),
        opt("keep").list::<_, Kept>(|o, v| v.add_to(&mut o.keep, Value::pick)),
    ];

    const OUTPUT: &[Opt<Test>] = &[
        opt("format")
            .not_with(&[("text", "plain text has no format")])
            .choice::<_, Format>(|o, v| v.pick().map(|f| o.format = f)),
        opt("draw").maybe::<_, Format>(|o, v| v.pick_or_first().map(|f| o.draw = Some(f))),
        opt("text").flag(|o| o.text = true),
    ];

    pub(in crate::cli) static SPEC: Spec<Test> = Spec {
        name: "trace-test",
        text: "# NAME
try the tables

# DESCRIPTION
Does nothing. .Sh is text here.

A second paragraph.

# OPTIONS

## --block-size N
tokens per block

Tokens per block. The
default is 512.

## --keep FIELDS
fields to keep

## --format
format of the output

## --draw
a chart below it

## --text
plain text

# FIGURES
## a b
An item.

##
Text.

# EXAMPLES
## Try it
    trace-test -b 16 |
      jq .x
",
        options: OPTIONS,
        common: CommonOptions::<Test>::TABLE,
        rules: &[(|o| o.block_size == 13, "blocks of 13 tokens bring bad luck")],
    };
}
