//! `trace-stats`: statistics of a request trace.

use std::process::ExitCode;

use kvtrace::cli::stats::{Capacity, Options, SPEC, Warmup};
use kvtrace::cli::{self, Progress};
use kvtrace::error::{Error, Result};
use kvtrace::io::{Input, InputOptions, Output};
use kvtrace::record::{BlockSize, TraceReader};
use kvtrace::report;
use kvtrace::stats::{Analysis, AnalysisOptions, CacheOptions, Report};

fn main() -> ExitCode {
    cli::run(&SPEC, filter)
}

fn filter(options: Options) -> Result<()> {
    let common = &options.common;
    let warmup = warmup(&options)?;
    let mut reader = open(&options)?;
    let mut progress = Progress::new(SPEC.name, common.progress, common.quiet, reader.input().total_size());
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
        let analysis = match &mut analysis {
            Some(analysis) => analysis,
            None => analysis.insert(start(&options, reader.block_size(), warmup)?),
        };
        analysis.add(reader.record()).map_err(|message| reader.input().error(message))?;
    };
    progress.finish();

    let percentiles = match &options.percentiles[..] {
        [] => options.format.default_percentiles(),
        chosen => chosen,
    };
    let analysis = match analysis {
        Some(analysis) => analysis,
        None => start(&options, reader.block_size(), warmup)?,
    };
    let figures = analysis.report(percentiles);
    report::write(options.format, &figures, output.buffer());
    output.finish()?;
    if let Some(message) = reader.skipped()? {
        cli::note(SPEC.name, common.quiet, &message);
    }
    notes(&options, &figures);
    ended
}

fn open(options: &Options) -> Result<TraceReader> {
    let input = Input::new(&options.common.files, InputOptions::from(&options.common))?;
    Ok(TraceReader::new(input, BlockSize::new(options.block_size)))
}

/// The number of requests that only fill the caches; counts all of them if a share is asked for.
fn warmup(options: &Options) -> Result<u64> {
    let share = match options.warmup {
        Warmup::Requests(n) => return Ok(n),
        Warmup::Fraction(share) => share,
    };
    let files = &options.common.files;
    let regular = |file: &std::path::PathBuf| std::fs::metadata(file).is_ok_and(|m| m.is_file());
    if files.is_empty() || !files.iter().all(regular) {
        let message =
            "--warmup with a fraction reads its input twice: give it as FILE, or a number of requests";
        return Err(Error::Usage(message.into()));
    }
    let mut reader = open(options)?;
    while reader.advance(|_| Ok(()))? {}
    Ok((reader.valid() as f64 * share) as u64)
}

/// An analysis with capacities in blocks, now that their size is known.
fn start(options: &Options, block_size: u64, warmup: u64) -> Result<Analysis> {
    let blocks = |&capacity: &Capacity| match (capacity, options.kv_bytes_per_token) {
        (Capacity::Blocks(blocks), _) => Ok(blocks),
        (Capacity::Bytes(bytes), Some(token)) => Ok(bytes / token.saturating_mul(block_size)),
        (Capacity::Bytes(_), None) => {
            Err(Error::Usage("a --capacity in bytes needs --kv-bytes-per-token".into()))
        }
    };
    let caches = CacheOptions {
        capacities: options.capacities.iter().map(blocks).collect::<Result<_>>()?,
        curve: options.curve,
        targets: options.targets.clone(),
        ttls: options.ttls.clone(),
        warmup,
        kv_bytes_per_token: options.kv_bytes_per_token,
    };
    Ok(Analysis::new(block_size, AnalysisOptions { hit_rule: options.hit_rule, caches }))
}

/// What the reader of the report should know.
fn notes(options: &Options, figures: &Report) {
    let note = |message: &str| cli::note(SPEC.name, options.common.quiet, message);
    if figures.requests == 0 {
        note("no requests in the input");
    } else if figures.requests_without_ids > 0 {
        let (n, all) = (figures.requests_without_ids, figures.requests);
        note(&format!(
            "{n} of {all} requests are missing field \"hash_ids\": they count in input and output length only"
        ));
    }
    if !options.ttls.is_empty() && figures.arrivals.as_ref().is_none_or(|a| a.requests < figures.requests) {
        note("--ttl counts requests without a timestamp at the time of the one before");
    }
}
