//! What `trace-stats` does, from its inputs to its output.

use super::analysis::Analysis;
use super::labels::label;
use super::piece_groups::{GroupMerger, GroupWriter};
use super::piece_header::{Header, Piece};
use super::pieces::Merger;
use super::running::{Running, value_in};
use super::task::{Mode, Render, Task, Warmup};
use crate::error::{Error, Invalid, Result};
use crate::io::{Observer, Output, Status};
use crate::record::NumberedApart;

/// Reads the inputs of `task` and writes what it asks for, in the style given.
///
/// # Errors
/// Those of reading and writing; a signal, after which the report of what has been read is still
/// written; and figures that mean nothing for this trace.
pub fn run(task: Task, style: &dyn Render, observer: &mut dyn Observer) -> Result<()> {
    match &task.mode {
        Mode::Piece { .. } if task.merges => join(&task, observer),
        Mode::Piece { place, by } => write_piece(&task, *place, by.as_deref(), observer),
        _ if task.merges => merge(&task, style, observer),
        _ => analyse(&task, style, observer),
    }
}

fn analyse(task: &Task, style: &dyn Render, observer: &mut dyn Observer) -> Result<()> {
    let warmup = task.warmup_requests()?;
    let mut reader = task.open()?;
    observer.begin(reader.input().total_size());
    let mut output = Output::named(task.output.as_deref(), task.jobs)?;
    let mut running = Running::new(task, warmup);
    let mut apart = NumberedApart::new(task.files.len());
    let ended = loop {
        let more = reader.advance(|status| {
            observer.progress(status);
            output.flush()
        });
        match more {
            Ok(true) => {
                apart.look(&reader);
                running.add(&reader, style, output.buffer())?;
                if task.replaces && !output.buffer().is_empty() {
                    std::mem::replace(&mut output, Output::named(task.output.as_deref(), task.jobs)?)
                        .finish()?;
                }
            }
            Ok(false) => break Ok(()),
            // The report of what has been read is still owed.
            Err(signal @ Error::Signal(_)) => break Err(signal),
            Err(error) => return Err(error),
        }
        output.end_record()?;
    };
    observer.end();
    let skipped = reader.skipped()?;
    running.skipped = reader.input().skipped_so_far().0;
    if task.replaces && task.output.is_some() && ended.is_err() {
        // A monitor would take the figures of a part for those of the whole.
        output.abandon();
        return ended;
    }
    running.finish(style, output, observer)?;
    let remarks = reader.remarks();
    remarks.iter().chain(&skipped).chain(&apart.note()).for_each(|message| observer.note(message));
    running.note_missing_fields(observer);
    ended
}

fn write_piece(
    task: &Task,
    place: Option<Piece>,
    by: Option<&str>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut reader = task.open()?;
    observer.begin(reader.input().total_size());
    let mut output = Output::named(task.output.as_deref(), task.jobs)?;
    let new = |block_size, out: &mut Vec<u8>| {
        let header = Header::new(block_size, place).with_groups(by);
        GroupWriter::new(header, task.analysis.budget, out)
    };
    let (mut writer, mut has_answers) = (None, false);
    let mut apart = NumberedApart::new(task.files.len());
    // A piece without its end cannot be merged, so an error or a signal needs no care here.
    while reader.advance(|status| {
        observer.progress(status);
        Ok(())
    })? {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(new(Some(reader.block_size()), output.buffer())),
        };
        apart.look(&reader);
        has_answers |= reader.record().has_output_ids;
        let label = by.map(|field| label(value_in(reader.line(), field).as_deref()));
        let added = writer.add(label.as_deref(), reader.record(), output.buffer());
        added.map_err(|message| reader.input().error(message))?;
        output.end_record()?;
    }
    observer.end();
    let writer = writer.unwrap_or_else(|| new(task.block_size, output.buffer()));
    let skipped = reader.skipped()?;
    writer.finish(output.buffer());
    output.finish()?;
    if has_answers {
        observer
            .note("pieces do not hold \"output_hash_ids\": hits of engines will be those without answers");
    }
    let remarks = reader.remarks();
    remarks.iter().chain(&skipped).chain(&apart.note()).for_each(|message| observer.note(message));
    Ok(())
}

/// Reports on the trace whose pieces are read.
fn merge(task: &Task, style: &dyn Render, observer: &mut dyn Observer) -> Result<()> {
    let Warmup::Requests(warmup) = task.warmup else {
        return Err(Error::Usage(
            "`warmup`: pieces do not say how many requests there are: give a number".into(),
        ));
    };
    task.analysis.check_pieces().map_err(|invalid| Error::Usage(invalid.to_string()))?;
    let mut input = task.open_pieces()?;
    observer.begin(input.total_size());
    let mut output = Output::named(task.output.as_deref(), task.jobs)?;
    let mut merger = GroupMerger::new(|is_group| {
        let options = move |block_size| {
            task.check_capacities(block_size).map_err(|error| Invalid::value(error.to_string()))?;
            Ok(task.analysis_options(block_size, warmup))
        };
        let merger = Merger::into_report(task.analysis.budget, options).of_part(task.pieces);
        if is_group { merger.of_group() } else { merger }
    });
    loop {
        let window = |analysis: &mut Analysis, time| {
            if let Some(window) = analysis.close_window_before(time) {
                style.window(&window, output.buffer());
            }
        };
        let more = merger.advance(
            &mut input,
            |status| {
                observer.progress(status);
                Ok(())
            },
            window,
        )?;
        if !more {
            break;
        }
        output.end_record()?;
    }
    observer.end();
    let by = if let Mode::Report { by, .. } = &task.mode { by.as_deref() } else { None };
    let notes = merger.notes();
    let (analysis, groups) = merger.finish(by)?;
    Running::after(task, analysis, groups).finish(style, output, observer)?;
    notes.iter().for_each(|message| observer.note(message));
    Ok(())
}

/// Makes one piece of those that are read.
fn join(task: &Task, observer: &mut dyn Observer) -> Result<()> {
    let mut input = task.open_pieces()?;
    observer.begin(input.total_size());
    let mut output = Output::named(task.output.as_deref(), task.jobs)?;
    let mut merger = GroupMerger::new(|is_group| {
        let merger = Merger::into_piece(task.analysis.budget);
        if is_group { merger.of_group() } else { merger }
    });
    let mut idle = |status: Status| {
        observer.progress(status);
        Ok(())
    };
    while merger.advance(&mut input, &mut idle, |_, _| {})? {
        output.buffer().append(merger.written());
        output.end_record()?;
    }
    observer.end();
    let notes = merger.notes();
    output.buffer().append(&mut merger.finish_piece()?);
    output.finish()?;
    notes.iter().for_each(|message| observer.note(message));
    Ok(())
}
