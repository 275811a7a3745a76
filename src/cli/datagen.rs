//! Command lines of NVIDIA Dynamo's `datagen`, pasted behind one of the filters: which command is meant.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::terminal::quoted;

/// Its commands, and the filters that do the same.
const COMMANDS: [(&str, &str); 2] = [("analyze", "trace-stats"), ("synthesize", "trace-synth")];

const INPUT: &str = "--input-file";
const OUTPUT: &str = "--output-file";

/// What to type instead of `args` behind the filter `program`, if they are those of `datagen`.
pub(super) fn translated(program: &str, args: &[OsString]) -> Option<String> {
    let command = args.first().and_then(|word| command(word));
    let is_foreign = |arg: &OsString| [INPUT, OUTPUT].iter().any(|name| is_option(arg, name));
    if command.is_none() && !args.iter().any(is_foreign) {
        return None;
    }
    let mut words = vec![command.unwrap_or(program).to_owned()];
    let mut files = Vec::new();
    let mut rest = args.iter().skip(usize::from(command.is_some()));
    while let Some(arg) = rest.next() {
        let mut value = |name: &str| {
            let text = arg.to_string_lossy();
            let behind = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).map(str::to_owned);
            behind.or_else(|| rest.next().map(|next| next.to_string_lossy().into_owned()))
        };
        if is_option(arg, INPUT) {
            files.push(quoted(&value(INPUT).unwrap_or("FILE".into())));
        } else if is_option(arg, OUTPUT) {
            words.extend(["-o".to_owned(), quoted(&value(OUTPUT).unwrap_or("FILE".into()))]);
        } else {
            words.push(quoted(&arg.to_string_lossy()));
        }
    }
    words.append(&mut files);
    Some(format!("this is a command line of datagen; here it is: {}", words.join(" ")))
}

/// The filter that does what the command `word` does, unless there is a file of that name.
fn command(word: &OsStr) -> Option<&'static str> {
    let known = COMMANDS.iter().find(|(name, _)| word == *name)?;
    (!Path::new(word).exists()).then_some(known.1)
}

/// Whether `arg` is the option `name`, perhaps with its value behind an equals sign.
fn is_option(arg: &OsStr, name: &str) -> bool {
    let rest = arg.to_str().and_then(|arg| arg.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(program: &str, line: &[&str]) -> Option<String> {
        let args: Vec<OsString> = line.iter().map(OsString::from).collect();
        let hint = translated(program, &args)?;
        Some(hint.split_once("here it is: ").unwrap().1.to_owned())
    }

    #[test]
    fn command_lines_of_datagen_are_translated() {
        let analyze = ["analyze", "--input-file", "a b.jsonl", "--block-size", "512"];
        let expected = "trace-stats --block-size 512 'a b.jsonl'";
        for program in ["trace-stats", "trace-synth", "trace-hash"] {
            assert_eq!(of(program, &analyze).as_deref(), Some(expected));
        }
        assert_eq!(of("trace-stats", &analyze[1..]).as_deref(), Some(expected));
        let synthesize = ["synthesize", "--input-file=t", "--speedup-ratio", "2", "--output-file", "o"];
        assert_eq!(of("trace-stats", &synthesize).as_deref(), Some("trace-synth --speedup-ratio 2 -o o t"));
        assert_eq!(
            of("trace-synth", &["-n", "5", "--output-file"]).as_deref(),
            Some("trace-synth -n 5 -o FILE")
        );
    }

    #[test]
    fn other_command_lines_are_left_alone() {
        for line in
            [&["-b", "16", "trace.jsonl"][..], &[], &["trace.jsonl", "analyze"], &["--input-files", "a"]]
        {
            assert_eq!(of("trace-stats", line), None, "{line:?}");
        }
    }
}
