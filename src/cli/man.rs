//! The manual page, in the mdoc language of mandoc and groff.

use super::manual::{Block, Manual, Section, command_lines};
use super::spec::{Arg, Opt, Spec};

/// Date of the pages: when the command line last changed. A clock would make builds differ.
const DATE: &str = "November 27, 2026";

/// The page of a filter.
pub(super) fn page<O>(spec: &Spec<O>) -> String {
    let manual = Manual::of(spec);
    let mut page = Page::default();
    let upper = spec.name.to_uppercase();
    page.line(".\\\" Generated from src/cli: change the option table and its text there, not this file.");
    page.line(&format!(".Dd {DATE}\n.Dt {upper} 1\n.Os"));
    page.line(&format!(".Sh NAME\n.Nm {}", spec.name));
    page.line(&format!(".Nd {}", escape(manual.about)));
    page.line(".Sh SYNOPSIS\n.Nm\n.Op Ar OPTION ...\n.Op Ar");
    let (description, others): (Vec<&Section>, Vec<&Section>) =
        manual.sections.iter().partition(|section| section.title == "DESCRIPTION");
    page.sections(&description);
    page.line(".Sh OPTIONS");
    for (heading, options) in spec.headed() {
        page.line(&format!(".Ss {heading}\n.Bl -tag -width Ds"));
        options.into_iter().for_each(|option| page.option(option, &manual));
        page.line(".El");
    }
    let (late, early): (Vec<&Section>, Vec<&Section>) = others
        .into_iter()
        .partition(|section| matches!(section.title, "EXAMPLES" | "SEE ALSO" | "FILES" | "ENVIRONMENT"));
    page.sections(&early);
    page.line(".Sh EXIT STATUS");
    page.blocks(EXIT_STATUS);
    page.sections(&late);
    page.out
}

const EXIT_STATUS: &[Block] = &[
    Block::Item("0", "Success, also when the reader of the output has closed its pipe."),
    Block::Item("1", "Bad data, an error of reading or writing, or too little memory."),
    Block::Item("2", "A wrong command line."),
    Block::Item("128 + signal", "Ended by SIGINT (130) or SIGTERM (143), at the end of a record."),
];

#[derive(Default)]
struct Page {
    out: String,
}

impl Page {
    fn sections(&mut self, sections: &[&Section]) {
        for section in sections {
            self.line(&format!(".Sh {}", section.title));
            if section.title == "SEE ALSO" {
                self.references(&section.body);
            } else {
                self.blocks(&section.body);
            }
        }
    }

    fn option<O>(&mut self, option: &Opt<O>, manual: &Manual) {
        let text = manual.option(option.long);
        let argument = match option.arg {
            Arg::None => String::new(),
            Arg::Value | Arg::File | Arg::List(_) => format!(" Ar {}", text.placeholder),
            Arg::Choice(names) => format!(" Cm {}", names().join(" | ")),
            Arg::Maybe(names) => format!(" Ns Op = Ns Cm {}", names().join(" | ")),
        };
        let short = option.short.map_or_else(String::new, |short| format!("Fl {short} , "));
        self.line(&format!(".It {short}Fl Fl {}{argument}", option.long.replace('-', "\\-")));
        let sentence = || format!("{}{}.", text.help[..1].to_uppercase(), &text.help[1..]);
        self.text(&if text.doc.is_empty() { sentence() } else { text.doc.to_owned() });
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// Paragraphs of prose, one sentence per line as mdoc wants it.
    fn text(&mut self, text: &str) {
        for (i, paragraph) in text.split("\n\n").enumerate() {
            if i > 0 {
                self.line(".Pp");
            }
            let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            words.replace(". ", ".\n").lines().for_each(|sentence| self.fill(sentence));
        }
    }

    /// A sentence in lines of fewer than 80 characters.
    fn fill(&mut self, sentence: &str) {
        let mut line = String::new();
        for word in sentence.split(' ') {
            if !line.is_empty() && line.len() + 1 + word.len() > 72 {
                self.line(&escape(&line));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&escape(&line));
    }

    fn blocks(&mut self, blocks: &[Block]) {
        let mut in_list = false;
        let mut first = true;
        for block in blocks {
            let is_item = matches!(block, Block::Item(..));
            if in_list && !is_item {
                self.line(".El");
            }
            if !first && !is_item {
                self.line(".Pp");
            }
            if is_item && !in_list {
                self.line(".Bl -tag -width Ds");
            }
            in_list = is_item;
            first = false;
            match block {
                Block::Text(text) => self.text(text),
                Block::Item(term, text) => {
                    self.line(&format!(".It {}", quote(term)));
                    self.text(text);
                }
                Block::Example { what, command } => {
                    self.text(&format!("{what}:"));
                    self.line(".Bd -literal -offset indent");
                    command_lines(command).for_each(|line| self.line(&escape(line)));
                    self.line(".Ed");
                }
            }
        }
        if in_list {
            self.line(".El");
        }
    }

    /// `trace-cat(1), jq(1)` as cross references.
    fn references(&mut self, blocks: &[Block]) {
        for block in blocks {
            let Block::Text(text) = block else { continue };
            let mut pages: Vec<&str> = text.split(", ").collect();
            pages.sort_unstable();
            for (i, page) in pages.iter().enumerate() {
                let (name, section) = page.trim_end_matches(')').split_once('(').unwrap_or((page, "1"));
                let comma = if i + 1 < pages.len() { " ," } else { "" };
                self.line(&format!(".Xr {name} {section}{comma}"));
            }
        }
    }
}

/// Escapes a line of text: backslashes, hyphens, and control characters at the start.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('~', "\\(ti").replace('^', "\\(ha");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

/// Quotes a term as one macro argument, so that no word in it is taken for a macro.
fn quote(text: &str) -> String {
    let words: Vec<String> =
        escape(text).replace('"', "\\(dq").split(' ').map(|w| format!("\\&{w}")).collect();
    format!("\"{}\"", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::spec::testing::SPEC;
    use super::*;

    #[test]
    fn the_page_has_the_conventional_sections_in_order() {
        let page = page(&SPEC);
        let mut at = 0;
        for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES"] {
            let found = page[at..].find(&format!(".Sh {title}\n"));
            at += found.unwrap_or_else(|| panic!("{title} is missing or out of order"));
        }
        for option in SPEC.all() {
            assert!(page.contains(&format!("Fl Fl {}", option.long.replace('-', "\\-"))));
        }
    }

    #[test]
    fn text_cannot_become_a_macro() {
        assert_eq!(escape(".Sh x"), "\\&.Sh x");
        assert_eq!(escape("a\\n --b"), "a\\en \\-\\-b");
        assert_eq!(quote("Op \"x\""), "\"\\&Op \\&\\(dqx\\(dq\"");
    }
}
