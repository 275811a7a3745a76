//! Turns command-line arguments into options.
//!
//! lexopt cuts the arguments as getopt does (`-xVALUE`, `-abc`, `--name=VALUE`, `--`); the table
//! says what they mean. Abbreviated names are refused: a script that uses one would break, or
//! change its meaning, with the next option added.

use std::ffi::OsString;
use std::path::Path;

use lexopt::Parser;

use super::check::check;
use super::common::{HasCommon, Request};
use super::manual::Manual;
use super::spec::{Action, Arg, Opt, Spec};
use super::suggest::closest;
use super::value::Value;
use crate::error::{Error, Result};

/// Reads `args`, which do not include the program's name. Operands become
/// [`Common::files`](super::Common::files). Reading stops at the first option that asks for a text
/// about the filter itself, such as `--help`; without it the options are also checked against each other.
///
/// # Errors
/// [`Error::Usage`] with the option and what is wrong with it.
pub fn parse<O, A>(spec: &Spec<O>, args: A) -> Result<O>
where
    O: Default + HasCommon,
    A: IntoIterator,
    A::Item: Into<OsString>,
{
    let mut options = O::default();
    let mut parser = Parser::from_args(args);
    // The previous option, if it may have a value and was given without one.
    let mut bare: Option<&Opt<O>> = None;
    while let Some(argument) = parser.next().map_err(unreadable)? {
        let (name, found) = match argument {
            lexopt::Arg::Value(file) => {
                refuse_apart(bare.take(), &file)?;
                options.common().files.push(file.into());
                continue;
            }
            lexopt::Arg::Long(long) => (format!("--{long}"), spec.all().find(|option| option.long == long)),
            lexopt::Arg::Short(short) => {
                (format!("-{short}"), spec.all().find(|option| option.short == Some(short)))
            }
        };
        let option = found.ok_or_else(|| unknown(spec, &name))?;
        if option.is_once && options.common().given.contains(&option.long) {
            return Err(Error::Usage(format!("{name} is given twice: one run takes one")));
        }
        let value = value(spec, &mut parser, &name, option)?;
        match option.set {
            Action::Flag(set) => set(&mut options),
            Action::Value(set) => {
                set(&mut options, &value).map_err(|message| Error::Usage(format!("{name}: {message}")))?;
            }
        }
        options.common().given.push(option.long);
        // As with ripgrep, the short name gives the short help.
        if options.common().request == Some(Request::Help) && !name.starts_with("--") {
            options.common().request = Some(Request::Summary);
        }
        if options.common().request.is_some() {
            break;
        }
        bare = (matches!(option.arg, Arg::Maybe(_)) && value == Value::default()).then_some(option);
    }
    if options.common().request.is_none() {
        check(spec, &mut options)?;
    }
    Ok(options)
}

/// Refuses a word that was meant as the value of the option before it but would be taken for a file.
fn refuse_apart<O>(before: Option<&Opt<O>>, file: &OsString) -> Result<()> {
    let Some(Opt { long, arg: Arg::Maybe(names), .. }) = before else { return Ok(()) };
    match names().into_iter().find(|name| file == *name && !Path::new(file).exists()) {
        Some(choice) => Err(Error::Usage(format!("--{long} takes its value after a =: --{long}={choice}"))),
        None => Ok(()),
    }
}

/// The value of the option just read; empty for a flag.
fn value<O>(spec: &Spec<O>, parser: &mut Parser, name: &str, option: &Opt<O>) -> Result<Value> {
    if matches!(option.arg, Arg::None) {
        // What follows a one-letter flag are further flags, not its value.
        return match name.starts_with("--").then(|| parser.optional_value()) {
            Some(Some(value)) => Err(needless(name, &value)),
            _ => Ok(Value::default()),
        };
    }
    if let Arg::Maybe(_) = option.arg {
        return Ok(parser.optional_value().map_or_else(Value::default, Value::new));
    }
    match parser.value() {
        Ok(value) => Ok(Value::new(value)),
        Err(_) => {
            let text = Manual::of(spec).option(option.long);
            let expected = option.placeholder(text.placeholder).unwrap_or_default();
            Err(Error::Usage(format!("{name} needs a value: {expected}")))
        }
    }
}

/// Options of engines, as vLLM calls them, and what says the same here.
const OF_ENGINES: [(&str, &str); 5] = [
    ("kv-cache-dtype", "kv-dtype"),
    ("max-num-batched-tokens", "step-tokens"),
    ("max-num-seqs", "concurrency"),
    ("num-gpu-blocks-override", "capacity"),
    ("tensor-parallel-size", "capacity"),
];

fn unknown<O>(spec: &Spec<O>, name: &str) -> Error {
    let of_engine = |long: &str| {
        let (_, ours) = OF_ENGINES.into_iter().find(|(theirs, _)| *theirs == long)?;
        spec.all().map(|option| option.long).find(|known| *known == ours)
    };
    let hint = name
        .strip_prefix("--")
        .and_then(|long| of_engine(long).or_else(|| closest(long, spec.all().map(|option| option.long))))
        .map_or_else(String::new, |long| format!("; did you mean --{long}?"));
    Error::Usage(format!("unknown option {name}{hint}"))
}

fn needless(name: &str, value: &OsString) -> Error {
    Error::Usage(format!("{name} takes no value, found '{}'", value.display()))
}

fn unreadable(error: lexopt::Error) -> Error {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => needless(&option, &value),
        other => Error::Usage(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shell;
    use super::super::common::When;
    use super::super::spec::testing::{Format, Kept, SPEC, Test};
    use super::*;

    fn read(args: &[&str]) -> Test {
        parse(&SPEC, args).unwrap()
    }

    fn refusal(args: &[&str]) -> String {
        match parse(&SPEC, args) {
            Err(Error::Usage(message)) => message,
            Err(other) => panic!("{other:?}"),
            Ok(options) => panic!("accepted as {options:?}"),
        }
    }

    #[test]
    fn no_arguments_give_the_defaults() {
        let options = read(&[]);
        assert_eq!(options, Test::default());
        assert_eq!(options.common.max_line, 67_108_864);
    }

    #[test]
    fn values_stand_behind_a_space_or_an_equals_sign() {
        assert_eq!(read(&["--block-size", "1k"]).block_size, 1000);
        assert_eq!(read(&["--block-size=1Ki"]).block_size, 1024);
        assert_eq!(read(&["-b16"]).block_size, 16);
        assert_eq!(read(&["-b", "16"]).block_size, 16);
        assert_eq!(read(&["-qb16"]).block_size, 16);
    }

    #[test]
    fn all_common_options_are_stored() {
        let options =
            read(&["-o", "out", "-q", "--progress=always", "--max-line", "1Mi", "--skip-invalid", "a"]);
        assert_eq!(options.common.output, Some("out".into()));
        assert!(options.common.quiet && options.common.skip_invalid);
        assert_eq!(options.common.progress, When::Always);
        assert_eq!(options.common.max_line, 1 << 20);
        assert_eq!(options.common.files, ["a"].map(std::path::PathBuf::from));
    }

    #[test]
    fn operands_mix_with_options_until_a_double_dash() {
        let options = read(&["a", "-q", "-", "--", "--quiet", "-x"]);
        let files = ["a", "-", "--quiet", "-x"].map(std::path::PathBuf::from);
        assert_eq!(options.common.files, files);
    }

    #[test]
    fn the_last_of_a_repeated_option_wins() {
        assert_eq!(read(&["-b1", "--block-size=2"]).block_size, 2);
    }

    #[test]
    fn repeated_lists_add_up() {
        assert_eq!(read(&["--keep", "id", "--keep=kind"]).keep, [Kept::Id, Kept::Kind]);
    }

    #[test]
    fn a_value_that_may_be_left_out_stands_behind_an_equals_sign() {
        assert_eq!(read(&["--draw"]).draw, Some(Format::Table));
        assert_eq!(read(&["--draw=json"]).draw, Some(Format::Json));
        assert_eq!(refusal(&["--draw", "json"]), "--draw takes its value after a =: --draw=json");
        assert_eq!(refusal(&["--draw=x"]), "--draw: 'x' is not one of table, json");
    }

    #[test]
    fn lists_and_choices_take_the_names_of_the_table_only() {
        assert_eq!(read(&["--keep", "id,kind"]).keep, [Kept::Id, Kept::Kind]);
        assert_eq!(
            refusal(&["--keep", "id,knd"]),
            "--keep: 'knd' is not one of id, kind; did you mean kind?"
        );
        assert_eq!(
            refusal(&["--format=jsno"]),
            "--format: 'jsno' is not one of table, json; did you mean json?"
        );
    }

    #[test]
    fn an_unknown_option_suggests_the_closest() {
        assert_eq!(refusal(&["--blok-size=3"]), "unknown option --blok-size; did you mean --block-size?");
        assert_eq!(refusal(&["--block", "3"]), "unknown option --block; did you mean --block-size?");
        assert_eq!(refusal(&["--verbose"]), "unknown option --verbose");
        assert_eq!(refusal(&["-x"]), "unknown option -x");
        assert_eq!(refusal(&["-qx"]), "unknown option -x");
    }

    #[test]
    fn a_missing_value_is_named() {
        assert_eq!(refusal(&["--output"]), "--output needs a value: FILE");
        assert_eq!(refusal(&["-o"]), "-o needs a value: FILE");
        assert_eq!(refusal(&["--progress"]), "--progress needs a value: auto|always|never");
    }

    #[test]
    fn a_flag_takes_no_value() {
        assert_eq!(refusal(&["--quiet=yes"]), "--quiet takes no value, found 'yes'");
        assert_eq!(refusal(&["-q=yes"]), "-q takes no value, found 'yes'");
        assert_eq!(refusal(&["--help="]), "--help takes no value, found ''");
    }

    #[test]
    fn a_bad_value_names_the_option_as_written() {
        assert!(refusal(&["-b", "0"]).starts_with("-b: '0' is not allowed"));
        assert!(refusal(&["--block-size="]).starts_with("--block-size: '' is not a count"));
        assert!(refusal(&["--max-line=0"]).starts_with("--max-line: '0' is not allowed"));
    }

    #[test]
    fn a_request_ends_the_reading() {
        for (args, request) in [
            (["-h", "--bogus"], Request::Summary),
            (["--help", "--bogus"], Request::Help),
            (["--version", "--bogus"], Request::Version),
            (["--man", "--bogus"], Request::Man),
            (["--completions", "zsh"], Request::Completions(Shell::Zsh)),
        ] {
            assert_eq!(read(&args).common.request, Some(request));
        }
        assert_eq!(refusal(&["--bogus", "-h"]), "unknown option --bogus");
    }

    #[cfg(unix)]
    #[test]
    fn file_names_may_be_any_bytes() {
        use std::os::unix::ffi::OsStringExt;
        let name = OsString::from_vec(b"a\xff".to_vec());
        let options = parse(&SPEC, [name.clone(), "-o".into(), name.clone()]).unwrap();
        assert_eq!(options.common.files[0].as_os_str(), name);
        assert_eq!(options.common.output, Some(name.into()));
    }
}
