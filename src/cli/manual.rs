//! The prose of help, manual pages and completions, read from one text file per filter.
//!
//! A file has sections, `# TITLE`. NAME says what the filter does, in one line without a full stop.
//! OPTIONS has an entry for each option, `## --name VALUE`, where VALUE is the placeholder of its value
//! (none for flags, and for choices, whose names stand in the code): first one line for help and
//! completions, without a full stop, then paragraphs for the manual page, or none where that line says
//! all. In other sections `## TERM` is followed by the explanation of the term, or by a command to try if
//! that is indented, and `##` alone ends such a list. Line breaks in prose are spaces, a blank line
//! starts a paragraph.

use super::spec::Spec;

/// The options of all filters.
const COMMON: &str = include_str!("text/common.txt");

/// What is said about a filter and its options.
#[derive(Debug)]
pub struct Manual {
    /// What the filter does, in one line without a full stop.
    pub about: &'static str,
    /// Sections of the manual page, except NAME and OPTIONS.
    pub sections: Vec<Section>,
    options: Vec<OptionText>,
}

/// A section of the manual page.
#[derive(Debug)]
pub struct Section {
    /// Title in capitals. The conventional ones (EXAMPLES, SEE ALSO, ...) go last on the page.
    pub title: &'static str,
    /// Its contents.
    pub body: Vec<Block>,
}

/// A piece of a manual page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Prose.
    Text(&'static str),
    /// A term and its explanation.
    Item(&'static str, &'static str),
    /// A command to try.
    Example {
        /// What the command does, without a full stop.
        what: &'static str,
        /// The lines to type, indented as in the file: see `command_lines`.
        command: &'static str,
    },
}

/// What is said about an option.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OptionText {
    pub(super) name: &'static str,
    /// What the value is called; empty for flags and choices.
    pub(super) placeholder: &'static str,
    /// One line without a full stop.
    pub(super) help: &'static str,
    /// Paragraphs of the manual page; empty where `help` says all.
    pub(super) doc: &'static str,
}

impl Manual {
    /// The prose of a filter, that of the common options included.
    pub fn of<O>(spec: &Spec<O>) -> Self {
        let mut manual = Self { about: "", sections: Vec::new(), options: Vec::new() };
        for (title, body) in split(spec.text, "#").into_iter().chain(split(COMMON, "#")) {
            match title {
                "" => {}
                "NAME" => manual.about = body.trim(),
                "OPTIONS" => manual.options.extend(split(body, "##").into_iter().skip(1).map(option)),
                _ => {
                    let body = split(body, "##").into_iter().filter_map(block).collect();
                    manual.sections.push(Section { title, body });
                }
            }
        }
        manual
    }

    /// What is said about the option `long`; nothing if the file has forgotten it, which a test finds.
    pub(super) fn option(&self, long: &str) -> OptionText {
        self.options.iter().find(|option| option.name == long).copied().unwrap_or_default()
    }

    /// The commands to try in the section EXAMPLES: what each does, and its lines.
    pub fn examples(&self) -> impl Iterator<Item = (&'static str, String)> {
        let examples = self.sections.iter().filter(|section| section.title == "EXAMPLES");
        examples.flat_map(|section| &section.body).filter_map(|block| match *block {
            Block::Example { what, command } => {
                Some((what, command_lines(command).collect::<Vec<_>>().join("\n")))
            }
            _ => None,
        })
    }
}

/// The lines of a command without their indentation.
pub(super) fn command_lines(command: &str) -> impl Iterator<Item = &str> {
    command.lines().map(|line| line.strip_prefix(INDENT).unwrap_or(line))
}

const INDENT: &str = "    ";

/// The parts of `text` under headings that begin with `mark`. The first part stands above all headings
/// and has an empty one.
fn split(text: &'static str, mark: &str) -> Vec<(&'static str, &'static str)> {
    let mut parts = Vec::new();
    let (mut heading, mut start, mut at) = ("", 0, 0);
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        if let Some(title) = line.strip_prefix(mark).filter(|title| title.starts_with(char::is_whitespace)) {
            parts.push((heading, &text[start..at]));
            (heading, start) = (title.trim(), next);
        }
        at = next;
    }
    parts.push((heading, &text[start..]));
    parts
}

fn option((heading, body): (&'static str, &'static str)) -> OptionText {
    let (name, placeholder) = heading.split_once(' ').unwrap_or((heading, ""));
    let (help, doc) = body.trim().split_once('\n').unwrap_or((body.trim(), ""));
    OptionText { name: name.trim_start_matches('-'), placeholder, help, doc: doc.trim() }
}

fn block((heading, body): (&'static str, &'static str)) -> Option<Block> {
    if body.starts_with(INDENT) {
        return Some(Block::Example { what: heading, command: body.trim_end() });
    }
    let body = body.trim();
    match heading {
        "" if body.is_empty() => None,
        "" => Some(Block::Text(body)),
        term => Some(Block::Item(term, body)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Arg;
    use super::super::spec::testing::SPEC;
    use super::super::{cat, hash, stats, synth};
    use super::*;

    #[test]
    fn sections_entries_and_examples_are_told_apart() {
        let manual = Manual::of(&SPEC);
        assert_eq!(manual.about, "try the tables");
        let titles: Vec<&str> = manual.sections.iter().map(|section| section.title).collect();
        assert_eq!(titles, ["DESCRIPTION", "FIGURES", "EXAMPLES"]);
        assert_eq!(manual.sections[1].body, [Block::Item("a b", "An item."), Block::Text("Text.")]);
        let examples: Vec<_> = manual.examples().collect();
        assert_eq!(examples, [("Try it", "trace-test -b 16 |\n  jq .x".to_owned())]);
        let option = manual.option("block-size");
        assert_eq!((option.placeholder, option.help), ("N", "tokens per block"));
        assert_eq!(option.doc, "Tokens per block. The\ndefault is 512.");
        assert_eq!(manual.option("keep").doc, "");
    }

    /// Every option has its text, every text its option, and both agree on whether it has a value.
    fn assert_joined<O>(spec: &Spec<O>) {
        let manual = Manual::of(spec);
        let mut names: Vec<&str> = spec.all().map(|option| option.long).collect();
        let mut told: Vec<&str> = manual.options.iter().map(|option| option.name).collect();
        names.sort_unstable();
        told.sort_unstable();
        assert_eq!(names, told, "{}", spec.name);
        for option in spec.all() {
            let text = manual.option(option.long);
            let has_placeholder = matches!(option.arg, Arg::Value | Arg::File | Arg::List(_));
            assert_eq!(!text.placeholder.is_empty(), has_placeholder, "{} --{}", spec.name, option.long);
            assert!(!text.help.is_empty() && !text.help.ends_with('.'), "{} --{}", spec.name, option.long);
        }
        for required in ["DESCRIPTION", "EXAMPLES"] {
            assert!(manual.sections.iter().any(|section| section.title == required), "{}", spec.name);
        }
    }

    #[test]
    fn options_and_texts_belong_together() {
        assert_joined(&SPEC);
        assert_joined(&cat::SPEC);
        assert_joined(&hash::SPEC);
        assert_joined(&stats::SPEC);
        assert_joined(&synth::SPEC);
    }
}
