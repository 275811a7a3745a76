//! `trace-hash`: prompts to trace lines with prefix-block ids.

use std::process::ExitCode;

use kvtrace::cli::{self, Progress, hash};
use kvtrace::error::Result;
use kvtrace::hash::PromptHasher;
use kvtrace::io::{Input, InputOptions, Output};

fn main() -> ExitCode {
    cli::run(&hash::SPEC, filter)
}

fn filter(options: hash::Options) -> Result<()> {
    let common = &options.common;
    let name = hash::SPEC.name;
    let mut input = Input::new(&common.files, InputOptions::from(common))?;
    let mut progress = Progress::new(name, common.progress, common.quiet, input.total_size());
    let mut output = Output::create(common.output.as_deref())?;
    let mut hasher = PromptHasher::new(options.hash);

    let ended = loop {
        let more = input.advance(|status| {
            progress.update(status)?;
            output.flush()
        });
        match more {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        match hasher.line(input.line(), output.buffer()) {
            Ok(()) => output.end_record()?,
            Err(message) => {
                if let Err(error) = input.reject(message) {
                    break Err(error);
                }
            }
        }
    };
    progress.finish();
    if let Err(error) = ended {
        output.abandon();
        return Err(error);
    }
    output.finish()?;
    if let Some(message) = input.skipped(hasher.requests())? {
        cli::note(name, common.quiet, &message);
    }
    Ok(())
}
