//! `trace-stats`: statistics of a request trace.

use std::process::ExitCode;

use kvtrace::cli::{self, Progress, stats};
use kvtrace::error::{Error, Result};
use kvtrace::io::{Input, InputOptions, Output};
use kvtrace::record::{BlockSize, TraceReader};
use kvtrace::report;
use kvtrace::stats::Analysis;

fn main() -> ExitCode {
    cli::run(&stats::SPEC, filter)
}

fn filter(options: stats::Options) -> Result<()> {
    let common = &options.common;
    let name = stats::SPEC.name;
    let input = Input::new(&common.files, InputOptions::from(common))?;
    let mut progress = Progress::new(name, common.progress, common.quiet, input.total_size());
    let mut reader = TraceReader::new(input, BlockSize::new(options.block_size));
    let mut output = Output::create(common.output.as_deref())?;

    let mut analysis = None;
    let ended = loop {
        match reader.advance(|status| progress.update(status)) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            // The report of what has been read is still owed.
            Err(signal @ Error::Signal(_)) => break Err(signal),
            Err(error) => return Err(error),
        }
        let analysis = analysis.get_or_insert_with(|| Analysis::new(reader.block_size()));
        analysis.add(reader.record()).map_err(|message| reader.input().error(message))?;
    };
    progress.finish();

    let percentiles = match &options.percentiles[..] {
        [] => options.format.default_percentiles(),
        chosen => chosen,
    };
    let analysis = analysis.unwrap_or_else(|| Analysis::new(reader.block_size()));
    let figures = analysis.report(percentiles);
    report::write(options.format, &figures, output.buffer());
    output.finish()?;

    let note = |message: &str| cli::note(name, common.quiet, message);
    if let Some(message) = reader.skipped()? {
        note(&message);
    }
    if figures.requests == 0 {
        note("no requests in the input");
    } else if figures.requests_without_ids > 0 {
        let (n, all) = (figures.requests_without_ids, figures.requests);
        note(&format!(
            "{n} of {all} requests are missing field \"hash_ids\": they count in input and output length only"
        ));
    }
    ended
}
