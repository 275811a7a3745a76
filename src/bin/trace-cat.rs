//! `trace-cat`: many traces to one valid trace.

use std::process::ExitCode;

use kvtrace::cat::{Checker, IdsScope, Joiner};
use kvtrace::cli::{self, Progress, cat};
use kvtrace::error::{Error, Result};
use kvtrace::io::{Input, InputOptions, Output};
use kvtrace::record::{BlockSize, TraceReader};

fn main() -> ExitCode {
    cli::run(&cat::SPEC, filter)
}

fn filter(options: cat::Options) -> Result<()> {
    let common = &options.common;
    let input = Input::new(&common.files, InputOptions::from(common))?;
    let progress = Progress::new(cat::SPEC.name, common.progress, common.quiet, input.total_size());
    let reader = TraceReader::new(input, BlockSize::new(options.block_size));
    let output = Output::create(common.output.as_deref())?;
    if options.check { check(reader, output, progress) } else { join(&options, reader, output, progress) }
}

fn join(
    options: &cat::Options,
    mut reader: TraceReader,
    mut output: Output,
    mut progress: Progress,
) -> Result<()> {
    let common = &options.common;
    let note = |message: &str| cli::note(cat::SPEC.name, common.quiet, message);
    let mut joiner = Joiner::new(options.ids_scope, options.renumber);
    joiner.look_ahead(&common.files, &InputOptions::from(common))?;
    let ended = loop {
        let more = reader.advance(|status| {
            progress.update(status)?;
            output.flush()
        });
        match more {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        let file = reader.input().file_index();
        joiner
            .write(file, reader.line(), reader.record(), output.buffer())
            .map_err(|message| reader.input().error(message))?;
        output.end_record()?;
    };
    progress.finish();
    if let Err(error) = ended {
        // The records before it are good; only a FILE must be complete or not appear.
        output.abandon();
        return Err(error);
    }
    output.finish()?;
    if let Some(message) = reader.skipped()? {
        note(&message);
    }
    if common.files.len() > 1 && options.ids_scope == IdsScope::Auto {
        let (apart, later) = (joiner.kept_apart(), common.files.len() - 1);
        note(&if apart == 0 {
            "no later file numbers its blocks from zero: equal ids taken as equal blocks (see --ids-scope)"
                .into()
        } else {
            format!(
                "{apart} of {later} later files number their blocks from zero: ids kept apart and renumbered (see --ids-scope)"
            )
        });
    }
    Ok(())
}

fn check(mut reader: TraceReader, mut output: Output, mut progress: Progress) -> Result<()> {
    let mut checker = Checker::default();
    while let Some(record) = reader.step(|status| progress.update(status))? {
        let place = reader.input().place();
        match record {
            Ok(()) => checker
                .record(reader.record(), reader.block_size(), place)
                .map_err(|message| reader.input().error(message))?,
            Err(invalid) => checker.invalid(&invalid, place),
        }
    }
    progress.finish();
    checker.write(reader.block_size(), output.buffer());
    output.finish()?;
    if checker.is_valid() { Ok(()) } else { Err(Error::Failed("not a valid trace".into())) }
}
