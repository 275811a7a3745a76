//! `trace-cat`: many traces of many formats to one valid trace.

use std::process::ExitCode;

use kvtrace::cli::{self, cat::SPEC};

fn main() -> ExitCode {
    cli::run(&SPEC, |options, console| kvtrace::cat::run(options.task(), console))
}
