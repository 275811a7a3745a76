//! The command line: options, help, manual pages, completions, progress, exit codes.
//!
//! Each filter has one constant table, [`Spec`]; [`run`] does with it what all filters do alike.

pub mod cat;
mod common;
mod completions;
pub mod hash;
mod help;
mod man;
mod memory;
mod parse;
mod progress;
mod spec;
pub mod stats;
mod suggest;
pub mod synth;
mod terminal;
#[cfg(test)]
mod testing;
mod value;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub use common::{Common, CommonOptions, HasCommon, Request};
pub use completions::Shell;
pub use memory::default_max_memory;
pub use parse::parse;
pub use progress::{Progress, When};
pub use spec::{Arg, Block, Opt, Section, Spec};
pub use terminal::{columns, locale_is_unicode};
pub use value::Value;

use crate::error::{Error, Result, printable};
use crate::io::{InputOptions, Output, signals};

impl From<&Common> for InputOptions {
    fn from(common: &Common) -> Self {
        Self { max_line: common.max_line, skip_invalid: common.skip_invalid, ..Self::default() }
    }
}

/// The whole life of a filter: reads the command line, answers `--help` and its like, else runs
/// `filter`; says on standard error what went wrong, and returns the exit code it means.
pub fn run<O: Default + HasCommon>(spec: &'static Spec<O>, filter: fn(O) -> Result<()>) -> ExitCode {
    let result =
        parse(spec, std::env::args_os().skip(1)).and_then(|mut options| match options.common().request {
            Some(request) => answer(&text(spec, request)),
            None => {
                signals::install().map_err(|e| Error::io("signals", e))?;
                filter(options)
            }
        });
    let Err(error) = result else { return ExitCode::SUCCESS };
    if !error.is_silent() {
        say(spec.name, &error.to_string());
        if matches!(error, Error::Usage(_)) {
            writeln!(io::stderr(), "Try '{} --help' for more information.", spec.name).ok();
        }
    }
    ExitCode::from(error.exit_code())
}

/// Refuses one file under two options, of which one would replace what the other has written.
///
/// # Errors
/// When both are given and name the same file.
pub fn refuse_same_file(a: &str, file: Option<&Path>, b: &str, other: Option<&Path>) -> Result<()> {
    let (Some(file), Some(other)) = (file, other) else { return Ok(()) };
    let place = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok();
    if file == other || place(file).is_some_and(|place_of| place(other) == Some(place_of)) {
        return Err(Error::Usage(format!("{a} and {b} are the same file, {}", file.display())));
    }
    Ok(())
}

fn text<O>(spec: &Spec<O>, request: Request) -> String {
    match request {
        Request::Help => help::help(spec),
        Request::Version => format!("{} (kvtrace) {}\n", spec.name, env!("CARGO_PKG_VERSION")),
        Request::Completions(shell) => completions::script(spec, shell),
        Request::Man => man::page(spec),
    }
}

fn answer(text: &str) -> Result<()> {
    let mut output = Output::create(None)?;
    output.buffer().extend_from_slice(text.as_bytes());
    output.finish()
}

/// Says something on standard error that is worth knowing but no error, unless told to be quiet.
pub fn note(program: &str, quiet: bool, message: &str) {
    if !quiet {
        say(program, &printable(message));
    }
}

/// One line on standard error. Where that is closed there is nobody to tell.
fn say(program: &str, message: &str) {
    writeln!(io::stderr(), "{program}: {message}").ok();
}
