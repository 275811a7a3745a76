//! `trace-stats`: statistics of a request trace.

use std::process::ExitCode;

use kvtrace::cli::{self, stats::SPEC};
use kvtrace::io::Observer;

fn main() -> ExitCode {
    cli::run(&SPEC, |options, console| {
        let (task, style) = options.task()?;
        kvtrace::stats::run(task, &style, console)?;
        options.model_notes().iter().for_each(|message| console.note(message));
        Ok(())
    })
}
