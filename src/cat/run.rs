//! What `trace-cat` does, from its inputs to its output.

use std::path::PathBuf;

use super::check::Checker;
use super::clock;
use super::ids::{IdChange, IdsScope, ReadOptions};
use super::records::{Order, Records};
use super::transform::{Flow, Plan, Transformer};
use crate::error::{Error, Result};
use crate::io::{Compression, Input, InputOptions, Observer, Output, Pacer};

/// All that a run needs to know.
#[non_exhaustive]
pub struct Task {
    /// The inputs in order; none is standard input.
    pub files: Vec<PathBuf>,
    /// How they are read.
    pub read: ReadOptions,
    /// Threads that work on it, at least one. The output does not depend on it.
    pub jobs: usize,
    /// Where the output goes; standard output if absent.
    pub output: Option<PathBuf>,
    /// What is done with the records.
    pub action: Action,
}

impl Task {
    /// Does `action` with the records of `files`, and writes to standard output.
    pub fn new(files: Vec<PathBuf>, action: Action) -> Self {
        Self { files, read: ReadOptions::default(), jobs: 1, output: None, action }
    }
}

/// What is done with records.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// They are written, changed as asked.
    Convert {
        /// In which order.
        order: Order,
        /// How they change. If ids are to be kept and cannot be, they are renumbered.
        plan: Box<Plan>,
        /// Whether each one is written at its time.
        pace: bool,
        /// How the output is compressed.
        compress: Option<Compression>,
    },
    /// They are validated only.
    Check {
        /// Bytes of memory for the comparison of blocks.
        max_memory: usize,
    },
}

/// Reads the records of `task` and does with them what it asks for.
///
/// # Errors
/// Those of reading and writing, a signal, records that cannot be changed as asked, and a trace that is
/// found not to be valid.
pub fn run(task: Task, observer: &mut dyn Observer) -> Result<()> {
    match &task.action {
        Action::Convert { order, plan, pace, compress } => {
            convert(&task, order, plan, *pace, *compress, observer)
        }
        Action::Check { max_memory } => check(&task, *max_memory, observer),
    }
}

fn convert(
    task: &Task,
    order: &Order,
    plan: &Plan,
    pace: bool,
    compress: Option<Compression>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let Task { files, read, jobs, .. } = task;
    let mut records = Records::new(files, order, read, *jobs)?;
    observer.begin(Input::new(files, read.input.clone())?.total_size());
    let mut output = Output::create(task.output.as_deref())?.compressed(compress, *jobs)?;
    let mut plan = plan.clone();
    let must_renumber = records.must_renumber(files, read)?;
    if must_renumber && matches!(plan.ids, IdChange::Keep) {
        plan.ids = IdChange::Dense;
    }
    let origin = match order {
        Order::Files => clock::earliest(files, read, &plan.times)?,
        // The first record is the earliest.
        Order::Merge(_) | Order::Sort(_) => None,
    };
    let mut transformer = Transformer::new(plan, origin)?;
    let ended = transform(&mut records, &mut transformer, &mut output, pace, observer);
    observer.end();
    match ended.and_then(|()| records.notes()) {
        Ok(notes) => {
            output.finish()?;
            note(task, &notes, &records, &transformer, observer);
            Ok(())
        }
        Err(error) => {
            // The records before it are good; only a file must be complete or not appear.
            output.abandon();
            Err(error)
        }
    }
}

/// Reads and writes all records.
fn transform(
    records: &mut Records,
    transformer: &mut Transformer,
    output: &mut Output,
    pace: bool,
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut pacer = pace.then(Pacer::default);
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
    records.prepare(|status| {
        observer.progress(status);
        Ok(())
    })?;
    while !transformer.is_satisfied()
        && records.advance(|status| {
            observer.progress(status);
            output.flush()
        })?
    {
        let block_size = records.block_size();
        if records.goes_on() {
            transformer.mix_groups();
        }
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

fn note(
    task: &Task,
    notes: &[String],
    records: &Records,
    transformer: &Transformer,
    observer: &mut dyn Observer,
) {
    for message in notes.iter().chain(&transformer.notes()) {
        observer.note(message);
    }
    let files = task.files.len();
    if files > 1 && task.read.scope == IdsScope::Auto {
        let (apart, later) = (records.kept_apart(), files - 1);
        observer.note(&if apart == 0 {
            "no later file numbers its blocks by itself: equal ids taken as equal blocks (see `ids_scope`)".into()
        } else {
            format!(
                "{apart} of {later} later files number their blocks by themselves: ids kept apart and renumbered (see `ids_scope`)"
            )
        });
    }
}

fn check(task: &Task, max_memory: usize, observer: &mut dyn Observer) -> Result<()> {
    // A line that is too long to be read is a finding as any other.
    let input = Input::new(&task.files, InputOptions { skip_invalid: true, ..task.read.input.clone() })?;
    observer.begin(input.total_size());
    let mut reader = task.read.reader(input).with_jobs(task.jobs);
    let mut output = Output::named(task.output.as_deref(), task.jobs)?;
    let mut checker = Checker::new(max_memory);
    while let Some(record) = reader.step(|status| {
        observer.progress(status);
        Ok(())
    })? {
        checker.skipped(reader.input().skipped_so_far(), &*observer);
        let place = reader.input().place();
        match record {
            Ok(()) => checker
                .record(reader.record(), reader.block_size(), place)
                .map_err(|message| reader.input().error(message))?,
            Err(invalid) => checker.invalid(invalid.kind, place, || observer.wording(&invalid.message)),
        }
    }
    checker.skipped(reader.input().skipped_so_far(), &*observer);
    observer.end();
    reader.remarks().iter().for_each(|message| observer.note(message));
    checker.write(reader.block_size(), output.buffer());
    output.finish()?;
    if checker.is_valid() { Ok(()) } else { Err(Error::Failed("not a valid trace".into())) }
}
