//! `trace-synth`: a trace to a synthetic one like it.

use std::io::Write;
use std::process::ExitCode;

use kvtrace::cli::{self, synth::SPEC};

fn main() -> ExitCode {
    cli::run(&SPEC, |options, console| {
        if let Some(comparison) = kvtrace::synth::run(options.task()?, console)? {
            // Where standard error is closed there is nobody to tell.
            std::io::stderr().write_all(comparison.as_bytes()).ok();
        }
        Ok(())
    })
}
