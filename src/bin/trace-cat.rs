//! `trace-cat`: many traces of many formats to one valid trace.

use std::process::ExitCode;

use kvtrace::cat::{
    Checker, DEFAULT_CHECK_MEMORY, DEFAULT_MEMORY, Flow, IdChange, IdsScope, Order, Plan, ReadOptions,
    Records, Sample, Scopes, SortOptions, Transformer, Turns,
};
use kvtrace::cli::cat::{Options, SPEC};
use kvtrace::cli::{self, Progress};
use kvtrace::error::{Error, Result};
use kvtrace::io::{Input, InputOptions, Output, Pacer};
use kvtrace::record::TraceReader;
use kvtrace::record::formats::Format;

fn main() -> ExitCode {
    cli::run(&SPEC, filter)
}

fn filter(options: Options) -> Result<()> {
    options.check().map_err(Error::Usage)?;
    if options.check { check(&options) } else { convert(&options) }
}

fn plan(options: &Options, renumber: bool) -> Plan {
    let mut selection = options.selection.clone();
    selection.sample = options.sample.map(|share| Sample {
        share,
        by: options.sample_by.unwrap_or_default(),
        seed: options.seed.unwrap_or(0),
        prefix_blocks: options.prefix_blocks.unwrap_or(1),
    });
    let ids = match &options.salt {
        Some(salt) => IdChange::keyed(salt),
        None if options.renumber || renumber => IdChange::Dense,
        None => IdChange::Keep,
    };
    // Rows of aiperf's sessions are incremental, all others cumulative.
    let turns = match (options.from_format, options.turns) {
        (Some(Format::Aiperf), None) => Some(Turns::Cumulative),
        (Some(Format::Aiperf), Some(Turns::Incremental)) => None,
        (_, turns) => turns,
    };
    Plan {
        times: options.times.clone(),
        selection,
        turns,
        reblock: options.reblock,
        ids,
        mixed: options.merge || options.sort,
        target: options.to_format,
        max_memory: max_memory(options, DEFAULT_MEMORY),
        max_ids_memory: max_memory(options, u64::MAX),
    }
}

/// What the user allows, or the default, which is less where the system allows less.
fn max_memory(options: &Options, default: u64) -> usize {
    let allowed = || default.min(cli::default_max_memory().unwrap_or(default));
    // More than the address space holds is no limit.
    usize::try_from(options.max_memory.unwrap_or_else(allowed)).unwrap_or(usize::MAX)
}

fn order(options: &Options) -> Order {
    if options.merge {
        Order::Merge
    } else if options.sort {
        Order::Sort(SortOptions {
            max_memory: max_memory(options, DEFAULT_MEMORY),
            folder: options.temp_dir.clone(),
        })
    } else {
        Order::Files
    }
}

fn convert(options: &Options) -> Result<()> {
    let common = &options.common;
    let read = ReadOptions {
        format: options.from_format,
        block_size: options.block_size,
        scope: options.ids_scope,
        input: InputOptions::from(common),
    };
    let mut records = Records::new(&common.files, &order(options), &read)?;
    let mut progress = progress(options)?;
    let mut output = Output::create(common.output.as_deref())?.compressed(options.compress)?;
    let renumber = Scopes::must_renumber(options.ids_scope, &common.files, &read.input, options.from_format)?;
    let mut transformer = Transformer::new(plan(options, renumber));
    let ended = transform(&mut records, &mut transformer, &mut output, &mut progress, options.pace);
    progress.finish();
    if let Err(error) = ended {
        // The records before it are good; only a FILE must be complete or not appear.
        output.abandon();
        return Err(error);
    }
    output.finish()?;
    notes(options, &records, &transformer)
}

/// Reads and writes all records.
fn transform(
    records: &mut Records,
    transformer: &mut Transformer,
    output: &mut Output,
    progress: &mut Progress,
    pace: bool,
) -> Result<()> {
    let mut pacer = pace.then(|| Pacer::new(1.0));
    let mut wait = |time: Option<f64>, output: &mut Output| -> Result<()> {
        if let (Some(pacer), Some(time)) = (&mut pacer, time) {
            if let Err(error) = pacer.wait(time) {
                // Its time has not come, and all before it are written.
                output.buffer().clear();
                return Err(error);
            }
            output.flush()?;
        }
        output.end_record()
    };
    records.prepare(|status| progress.update(status))?;
    while !transformer.is_satisfied()
        && records.advance(|status| {
            progress.update(status)?;
            output.flush()
        })?
    {
        let block_size = records.block_size();
        let before = transformer.written();
        let flow = transformer.add(&records.entry(), block_size, output.buffer());
        let flow = flow.map_err(|message| records.error(message))?;
        if transformer.written() > before {
            wait(transformer.last_time(), output)?;
        }
        if flow == Flow::Enough {
            break;
        }
    }
    while transformer.drain(records.block_size(), output.buffer()).map_err(Error::from)? {
        wait(transformer.last_time(), output)?;
    }
    Ok(())
}

fn notes(options: &Options, records: &Records, transformer: &Transformer) -> Result<()> {
    let note = |message: &str| cli::note(SPEC.name, options.common.quiet, message);
    for message in records.skipped()?.iter().chain(&transformer.notes()) {
        note(message);
    }
    let files = options.common.files.len();
    if files > 1 && options.ids_scope == IdsScope::Auto {
        let (apart, later) = (records.kept_apart(), files - 1);
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

fn progress(options: &Options) -> Result<Progress> {
    let common = &options.common;
    let size = Input::new(&common.files, InputOptions::from(common))?.total_size();
    Ok(Progress::new(SPEC.name, common.progress, common.quiet, size))
}

fn check(options: &Options) -> Result<()> {
    let common = &options.common;
    let input = Input::new(&common.files, InputOptions::from(common))?;
    let mut reader = TraceReader::new(input, options.from_format, options.block_size);
    let mut progress = progress(options)?;
    let mut output = Output::create(common.output.as_deref())?;
    let mut checker = Checker::new(max_memory(options, DEFAULT_CHECK_MEMORY));
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
