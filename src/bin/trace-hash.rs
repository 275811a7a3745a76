//! `trace-hash`: prompts to trace lines with prefix-block ids.

use std::process::ExitCode;

use kvtrace::cli::{self, hash::SPEC};
use kvtrace::io::Observer;

fn main() -> ExitCode {
    cli::run(&SPEC, |options, console| {
        let outcome = kvtrace::hash::run(options.task()?, console)?;
        let warnings = options.warnings(&outcome);
        warnings.iter().chain(&outcome.skipped).for_each(|message| console.note(message));
        Ok(())
    })
}
