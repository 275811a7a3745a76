//! `trace-stats`: statistics of a request trace.

use std::path::PathBuf;
use std::process::ExitCode;

use kvtrace::cli::stats::{Capacity, Letters, Options, SPEC, Warmup};
use kvtrace::cli::{self, Progress};
use kvtrace::error::{Error, Result, printable};
use kvtrace::io::{Input, InputOptions, Output};
use kvtrace::record::time::late_note;
use kvtrace::record::{BlockSize, DEFAULT_BLOCK_SIZE, TraceReader, general};
use kvtrace::report::{self, Canvas, Style};
use kvtrace::stats::{
    Analysis, AnalysisOptions, CacheOptions, Groups, Merger, PartialWriter, PieceReader, Report, WindowSize,
};

fn main() -> ExitCode {
    cli::run(&SPEC, filter)
}

fn filter(options: Options) -> Result<()> {
    options.check().map_err(Error::Usage)?;
    if options.partial {
        partial(&options)
    } else if options.merge {
        merge(&options)
    } else {
        analyse(&options)
    }
}

fn analyse(options: &Options) -> Result<()> {
    let warmup = warmup(options)?;
    let mut reader = open(options)?;
    let mut progress = progress(options, reader.input());
    let mut output = Output::create(options.common.output.as_deref())?;
    let (mut analysis, mut groups) = (None, None);
    let mut requests = 0_u64;
    let mut has_field = false;
    let ended = loop {
        let more = reader.advance(|status| {
            progress.update(status)?;
            output.flush()
        });
        match more {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            // The report of what has been read is still owed.
            Err(signal @ Error::Signal(_)) => break Err(signal),
            Err(error) => return Err(error),
        }
        requests += 1;
        let (record, block_size) = (reader.record(), reader.block_size());
        let analysis = match &mut analysis {
            Some(analysis) => analysis,
            None => {
                check_capacities(options, block_size)?;
                analysis.insert(start(options, block_size, warmup))
            }
        };
        if let Some(window) = analysis.close_window(record) {
            report::write_window(options.format(), &window, output.buffer());
        }
        analysis.add(record).map_err(|message| reader.input().error(message))?;
        if let Some(field) = &options.by {
            let value = general::field(reader.line(), field);
            has_field |= value.is_some();
            let groups = groups.get_or_insert_with(|| groups_of(options, block_size, warmup));
            let added = groups.add(value.as_deref().unwrap_or("(none)"), record);
            added.map_err(|message| reader.input().error(message))?;
        }
        if options.every.is_some_and(|every| requests.is_multiple_of(every)) {
            report::write(&style(options), &analysis.report(percentiles(options)), output.buffer());
        }
        output.end_record()?;
    };
    progress.finish();
    let analysis = analysis.unwrap_or_else(|| start(options, empty_block_size(options), warmup));
    let skips = reader.skipped()?;
    if requests > 0 && !analysis.has_times() {
        refuse_spans_of_time(options)?;
    }
    if let Some(window) = analysis.last_window() {
        report::write_window(options.format(), &window, output.buffer());
    }
    let reported = options.every.is_some_and(|every| requests > 0 && requests.is_multiple_of(every));
    if options.window.is_some() || reported {
        output.finish()?;
    } else {
        report(options, &analysis, groups.as_ref(), output)?;
    }
    skipped(options, skips);
    if let Some(field) = options.by.as_ref().filter(|_| requests > 0 && !has_field) {
        cli::note(SPEC.name, options.common.quiet, &format!("no record has the field \"{field}\" of --by"));
    }
    ended
}

/// Refuses figures that would mean nothing for a trace without any timestamp.
fn refuse_spans_of_time(options: &Options) -> Result<()> {
    let needs = |what: &str| Err(Error::Failed(format!("{what}, and no record has a timestamp")));
    match options.window {
        Some(WindowSize::Time(_)) => {
            needs("--window of a span needs times (of requests, as 1000, it needs none)")
        }
        _ if !options.ttls.is_empty() => needs("--ttl needs times"),
        _ => Ok(()),
    }
}

fn partial(options: &Options) -> Result<()> {
    let mut reader = open(options)?;
    let mut progress = progress(options, reader.input());
    let mut output = Output::create(options.common.output.as_deref())?;
    let new =
        |block_size, out: &mut Vec<u8>| PartialWriter::new(block_size, options.piece, budget(options), out);
    let mut writer = None;
    // A piece without its end is refused by --merge, so an error or a signal needs no care here.
    while reader.advance(|status| progress.update(status))? {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(new(reader.block_size(), output.buffer())),
        };
        writer.add(reader.record(), output.buffer()).map_err(|message| reader.input().error(message))?;
        output.end_record()?;
    }
    progress.finish();
    let writer = writer.unwrap_or_else(|| new(empty_block_size(options), output.buffer()));
    let skips = reader.skipped()?;
    writer.finish(output.buffer());
    output.finish()?;
    skipped(options, skips);
    Ok(())
}

/// The block size of a trace without records.
fn empty_block_size(options: &Options) -> u64 {
    options.block_size.unwrap_or(DEFAULT_BLOCK_SIZE)
}

fn merge(options: &Options) -> Result<()> {
    // Half a piece would give wrong figures.
    let input_options = InputOptions { skip_invalid: false, ..InputOptions::from(&options.common) };
    let input = Input::new(&options.common.files, input_options)?;
    let mut progress = progress(options, &input);
    let mut pieces = PieceReader::new(input);
    let output = Output::create(options.common.output.as_deref())?;
    let mut merger = Merger::new(AnalysisOptions {
        hit_rule: options.hit_rule,
        pictures: options.has_charts(),
        budget: budget(options),
        ..AnalysisOptions::default()
    });
    while pieces.advance(|status| progress.update(status))? {
        let added = merger.add(pieces.line());
        added.map_err(|message| pieces.error(message))?;
    }
    progress.finish();
    let analysis = merger.finish()?;
    report(options, &analysis, None, output)
}

fn progress(options: &Options, input: &Input) -> Progress {
    Progress::new(SPEC.name, options.common.progress, options.common.quiet, input.total_size())
}

fn report(options: &Options, analysis: &Analysis, groups: Option<&Groups>, mut output: Output) -> Result<()> {
    let figures = analysis.report(percentiles(options));
    match options.by.as_ref() {
        None => report::write(&style(options), &figures, output.buffer()),
        Some(field) => {
            let report = |(value, group): (Option<&str>, &Analysis)| {
                (value.map(str::to_owned), group.report(percentiles(options)))
            };
            let groups: Vec<_> = groups.iter().flat_map(|groups| groups.iter()).map(report).collect();
            report::write_groups(&style(options), &figures, field, &groups, output.buffer());
        }
    }
    output.finish()?;
    notes(options, &figures);
    Ok(())
}

fn style(options: &Options) -> Style {
    let plot = options.plot.map(|letters| {
        let unicode = match letters {
            Letters::Auto => cli::locale_is_unicode(),
            Letters::Ascii => false,
            Letters::Unicode => true,
        };
        Canvas { columns: cli::columns(options.common.output.is_some()), unicode }
    });
    Style { format: options.format(), plot, input: input_name(&options.common.files) }
}

/// The input in a few words.
fn input_name(files: &[PathBuf]) -> String {
    let name = |file: &PathBuf| match file.to_str() {
        Some("-") => "standard input".into(),
        _ => printable(&file.display().to_string()),
    };
    match files {
        [] => "standard input".into(),
        [one] => name(one),
        [first, .., last] => format!("{} files, {} to {}", files.len(), name(first), name(last)),
    }
}

fn percentiles(options: &Options) -> &[f64] {
    match &options.percentiles[..] {
        [] => options.format().default_percentiles(),
        chosen => chosen,
    }
}

fn skipped(options: &Options, message: Option<String>) {
    if let Some(message) = message {
        cli::note(SPEC.name, options.common.quiet, &message);
    }
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
fn start(options: &Options, block_size: u64, warmup: u64) -> Analysis {
    Analysis::new(block_size, analysis_options(options, block_size, warmup))
}

fn groups_of(options: &Options, block_size: u64, warmup: u64) -> Groups {
    Groups::new(block_size, analysis_options(options, block_size, warmup))
}

/// Bytes of KV cache that a block takes.
fn block_bytes(options: &Options, block_size: u64) -> u64 {
    options.kv_bytes_per_token().unwrap_or(1).saturating_mul(block_size)
}

/// Refuses caches that cannot hold a block, now that the size of one is known.
fn check_capacities(options: &Options, block_size: u64) -> Result<()> {
    let block = block_bytes(options, block_size);
    let small = |capacity: &&Capacity| matches!(capacity, Capacity::Bytes(bytes) if *bytes < block);
    match options.capacities.iter().find(small) {
        Some(Capacity::Bytes(bytes)) => Err(Error::Usage(format!(
            "--capacity: {bytes} bytes hold no block of {block_size} tokens, which is {block} bytes"
        ))),
        _ => Ok(()),
    }
}

fn analysis_options(options: &Options, block_size: u64, warmup: u64) -> AnalysisOptions {
    let block_bytes = block_bytes(options, block_size);
    let blocks = |&capacity: &Capacity| match capacity {
        Capacity::Blocks(blocks) => blocks,
        Capacity::Bytes(bytes) => bytes / block_bytes,
    };
    let caches = CacheOptions {
        policies: options.policies.clone(),
        capacities: options.capacities.iter().map(blocks).collect(),
        curve: options.curve,
        picture: options.has_picture(),
        targets: options.targets.clone(),
        ttls: options.ttls.clone(),
        warmup,
        kv_bytes_per_token: options.kv_bytes_per_token(),
    };
    AnalysisOptions {
        hit_rule: options.hit_rule,
        caches,
        approx: options.approx,
        top: options.top,
        pictures: options.has_charts(),
        window: options.window,
        window_percentiles: percentiles(options).to_vec(),
        budget: budget(options),
    }
}

/// Bytes for what grows with the trace: what the limit leaves above the fixed part, with room for
/// tables that double.
fn budget(options: &Options) -> Option<usize> {
    let limit = options.max_memory.or_else(cli::default_max_memory)?;
    let budget = limit.saturating_sub(24 << 20) / 3;
    // The whole trace and its groups have half each.
    Some((budget / if options.by.is_some() { 2 } else { 1 }) as usize)
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
    if let Some(late) = figures.arrivals.as_ref().and_then(|a| late_note(a.late, a.requests)) {
        note(&format!("{late}: figures of arrivals and hits are those of this order (see trace-cat --sort)"));
    }
    if !options.ttls.is_empty() && figures.arrivals.as_ref().is_none_or(|a| a.requests < figures.requests) {
        note("--ttl counts requests without a timestamp at the time of the one before");
    }
}
