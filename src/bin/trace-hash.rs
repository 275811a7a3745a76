//! `trace-hash`: prompts to trace lines with prefix-block ids.

use std::process::ExitCode;

use kvtrace::blocks::{KeyTable, StateFile};
use kvtrace::cli::{self, Progress, hash};
use kvtrace::error::{Error, Result};
use kvtrace::hash::{Ended, Ids, TraceWriter, run};
use kvtrace::io::{Input, InputOptions, Output};

fn main() -> ExitCode {
    cli::run(&hash::SPEC, filter)
}

fn filter(options: hash::Options) -> Result<()> {
    let common = &options.common;
    let name = hash::SPEC.name;
    options.check().map_err(Error::Usage)?;
    cli::refuse_same_file("--output", common.output.as_deref(), "--state", options.state.as_deref())?;
    let mut input = Input::new(&common.files, InputOptions::from(common))?;
    let mut progress = Progress::new(name, common.progress, common.quiet, input.total_size());
    let hash_options = options.hash_options()?;
    let output = Output::create(common.output.as_deref())?;
    let mut state = None;
    let ids = match (options.ids, &options.state) {
        (hash::IdKind::Dense, None) => Ids::Dense(KeyTable::default()),
        (hash::IdKind::Dense, Some(path)) => {
            let (file, table) = StateFile::open(path, options.state_header(&hash_options))?;
            state = Some(file);
            Ids::Dense(table)
        }
        _ => Ids::Hash(options.id_form()),
    };
    let writer = TraceWriter::new(output, ids, hash_options.scheme.clone(), options.write_options());

    let workers = options.workers();
    let Ended { writer, result } =
        run(&mut input, &hash_options, workers, writer, |status| progress.update(status));
    progress.finish();
    let requests = writer.requests();
    let doubts = options.doubts(writer.unanswered(), writer.likely_unit());
    let (output, ids) = writer.into_parts();
    // Lines may have been read by others already: their numbers are never given again. A FILE that does
    // not appear has been read by nobody.
    let unread = result.is_err() && common.output.is_some();
    let saved = match (&state, &ids) {
        (Some(file), Ids::Dense(table)) if !unread => file.save(table),
        _ => Ok(()),
    };
    if let Err(error) = result.and(saved) {
        output.abandon();
        return Err(error);
    }
    output.finish()?;
    for message in doubts.into_iter().chain(input.skipped(requests)?) {
        cli::note(name, common.quiet, &message);
    }
    Ok(())
}
