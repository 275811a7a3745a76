//! The command line: options, help, manual pages, completions, progress, exit codes.
//!
//! Each filter has one constant table, [`Spec`], and one text file, [`Manual`]; [`run`] does with them
//! what all filters do alike. What the user has typed is stored in the filter's `Options`; when that has
//! been found consistent, the filter's `task` makes the value of it that says what the run will do.

pub mod cat;
mod check;
mod choice;
mod common;
mod completions;
mod console;
mod datagen;
mod elsewhere;
mod explain;
mod fleet;
pub mod hash;
mod help;
mod load;
mod man;
mod manual;
mod memory;
mod model;
mod modes;
mod parse;
mod quantities;
mod spec;
pub mod stats;
mod stats_request;
mod suggest;
pub mod synth;
mod terminal;
mod tokenizer;
mod value;

use std::io::{self, Write};
use std::process::ExitCode;

pub use choice::{Choice, NamedValues, Names, names};
pub use common::{Common, CommonOptions, HasCommon, Request, When};
pub use completions::Shell;
pub use console::Console;
pub use manual::{Block, Manual, Section};
pub use parse::parse;
pub use spec::{Action, Arg, Group, Name, Opt, Rule, Set, Spec, opt};
pub use value::Value;

use console::{say, worded};

use crate::error::{Error, Result};
use crate::io::{Output, signals, standard};

/// Runs before the runtime puts `/dev/null` in the place of streams that are closed.
#[ctor::ctor]
fn look_at_streams() {
    standard::look();
}

/// The whole life of a filter: reads the command line, answers `--help` and its like, else runs
/// `filter`; says on standard error what went wrong, and returns the exit code it means.
pub fn run<O: Default + HasCommon>(
    spec: &'static Spec<O>,
    filter: fn(&O, &mut Console) -> Result<()>,
) -> ExitCode {
    take_stack(STACK);
    let Err(error) = try_run(spec, filter) else { return ExitCode::SUCCESS };
    if !error.is_silent() {
        say(spec.name, &worded(&error));
        if matches!(error, Error::Usage(_)) {
            writeln!(io::stderr(), "Try '{} --help' for more information.", spec.name).ok();
        }
    }
    ExitCode::from(error.exit_code())
}

/// Bytes of stack that a filter takes when it begins.
const STACK: usize = 256 << 10;

/// Takes so many bytes of the first thread's stack. The system gives them where they are used, and ends the program if
/// memory has run out by then; what needs memory later gets an error in place of that.
#[inline(never)]
fn take_stack(bytes: usize) {
    let mut page = [0_u8; 4096];
    std::hint::black_box(&mut page);
    if bytes > page.len() {
        take_stack(bytes - page.len());
    }
    std::hint::black_box(&mut page);
}

fn try_run<O: Default + HasCommon>(
    spec: &'static Spec<O>,
    filter: fn(&O, &mut Console) -> Result<()>,
) -> Result<()> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(hint) = datagen::translated(spec.name, &args) {
        return Err(Error::Usage(hint));
    }
    let mut options = parse(spec, &args)?;
    options.common().arguments = terminal::line(&args);
    if let Some(request) = options.common().request {
        return answer(&text(spec, request));
    }
    options.common().refuse_kind(spec.name)?;
    elsewhere::refuse(spec.name, &options.common().files)?;
    signals::install().map_err(|e| Error::io("signals", e))?;
    let mut console = Console::new(spec.name, options.common());
    filter(&options, &mut console)
}

fn text<O>(spec: &Spec<O>, request: Request) -> String {
    match request {
        Request::Summary => help::summary(spec),
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
