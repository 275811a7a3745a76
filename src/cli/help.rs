//! `-h` and `--help`: the options in short.

use super::manual::Manual;
use super::spec::{Arg, Opt, Spec};

/// Width of a terminal that help fits into.
const WIDTH: usize = 80;

/// Where the explanations of options begin.
const COLUMN: usize = 26;

/// The text of `--help`.
pub(super) fn help<O>(spec: &Spec<O>) -> String {
    let manual = Manual::of(spec);
    let mut out = format!("Usage: {} [OPTION]... [FILE]...\n\n", spec.name);
    wrap(&sentence(manual.about), 0, &mut out);
    wrap("With no FILE, or when FILE is -, read standard input.", 0, &mut out);
    for (heading, options) in spec.headed() {
        out.push_str(&format!("\n{heading}:\n"));
        for option in options {
            let text = manual.option(option.long);
            describe(option, option.placeholder(text.placeholder), text.help, &mut out);
        }
    }
    if let Some((what, command)) = manual.examples().next() {
        out.push_str("\nExample:\n");
        wrap(&format!("{what}:"), 2, &mut out);
        command.lines().for_each(|line| out.push_str(&format!("    {line}\n")));
    }
    out.push_str("\nExit status: 0 success, 1 bad data or I/O error, 2 usage error.\n");
    out.push_str(&format!("The manual page has the details: {} --man | man -l -\n", spec.name));
    out
}

/// The text of `-h`: what people use every day, on one screen.
pub(super) fn summary<O>(spec: &Spec<O>) -> String {
    let manual = Manual::of(spec);
    let mut out = sentence(manual.about) + "\n";
    out.push_str(&format!(
        "Usage: {} [OPTION]... [FILE]...   (no FILE, or -: standard input)\n\n",
        spec.name
    ));
    for option in spec.headed().into_iter().flat_map(|(_, options)| options) {
        if option.is_daily {
            let text = manual.option(option.long);
            describe(option, option.short_placeholder(text.placeholder), text.help, &mut out);
        }
    }
    if let Some((_, command)) = manual.examples().next() {
        let command = command.lines().collect::<Vec<_>>().join("\n         ");
        out.push_str(&format!("\nExample: {command}\n"));
    }
    out.push_str("All options: --help. The manual page: --man | man -l -\n");
    out
}

/// A line without a full stop as a sentence.
fn sentence(line: &str) -> String {
    format!("{}{}.", line[..1].to_uppercase(), &line[1..])
}

fn describe<O>(option: &Opt<O>, placeholder: Option<String>, help: &str, out: &mut String) {
    let short = option.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    let mut names = format!("  {short}--{}", option.long);
    if let Some(placeholder) = placeholder {
        names.push_str(&match option.arg {
            Arg::Maybe(_) => format!("[={placeholder}]"),
            _ => format!(" {placeholder}"),
        });
    }
    out.push_str(&names);
    if names.len() + 2 > COLUMN {
        out.push('\n');
    } else {
        out.push_str(&" ".repeat(COLUMN - names.len()));
    }
    let mut explanation = String::new();
    wrap(help, COLUMN, &mut explanation);
    out.push_str(if names.len() + 2 > COLUMN { &explanation } else { explanation.trim_start() });
}

/// Appends `text` in lines of at most [`WIDTH`] columns, each indented by `indent`.
fn wrap(text: &str, indent: usize, out: &mut String) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::spec::testing::SPEC;
    use super::super::{cat, hash, stats, synth};
    use super::*;

    #[test]
    fn help_lists_every_option_within_the_width_of_a_terminal() {
        let (text, manual) = (help(&SPEC), Manual::of(&SPEC));
        for option in SPEC.all() {
            assert!(text.contains(&format!("--{}", option.long)), "{text}");
            assert!(text.contains(manual.option(option.long).help.split(' ').next().unwrap()), "{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn the_summary_is_one_screen_with_the_options_of_every_day() {
        let text = summary(&SPEC);
        assert!(text.contains("--block-size N") && text.contains("--output FILE"), "{text}");
        assert!(!text.contains("--keep"), "{text}");
        for text in [summary(&cat::SPEC), summary(&hash::SPEC), summary(&stats::SPEC), summary(&synth::SPEC)]
        {
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            assert!((15..=24).contains(&text.lines().count()), "{} lines:\n{text}", text.lines().count());
        }
    }

    #[test]
    fn long_words_do_not_end_the_wrapping() {
        let mut out = String::new();
        wrap(&format!("a {} b", "x".repeat(200)), 4, &mut out);
        assert_eq!(out.lines().count(), 3);
    }
}
