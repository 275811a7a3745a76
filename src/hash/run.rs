//! What `trace-hash` does, from its inputs to its output.

use std::path::PathBuf;

use super::counts::Counts;
use super::explain::{ExplainOptions, Explainer};
use super::options::HashOptions;
use super::pipeline::{Ended, hash_lines};
use super::write::{IdForm, Ids, TraceWriter, WriteOptions};
use crate::blocks::{KeyTable, StateFile, StateHeader};
use crate::error::Result;
use crate::io::{Input, InputOptions, Observer, Output};
use crate::record::time::Unit;

/// All that a run needs to know.
#[derive(Clone)]
#[non_exhaustive]
pub struct Task {
    /// The inputs in order; none is standard input.
    pub files: Vec<PathBuf>,
    /// How they are read.
    pub input: InputOptions,
    /// Where the output goes; standard output if absent.
    pub output: Option<PathBuf>,
    /// How prompts become blocks.
    pub hash: HashOptions,
    /// Which ids blocks get.
    pub ids: IdSource,
    /// How trace lines are written.
    pub write: WriteOptions,
    /// Threads that hash.
    pub workers: usize,
    /// How requests are explained, in place of trace lines.
    pub explain: Option<ExplainOptions>,
}

impl Task {
    /// Hashes the prompts of `files` on one thread, numbers their blocks, and writes to standard output.
    pub fn new(files: Vec<PathBuf>, hash: HashOptions) -> Self {
        Self {
            files,
            input: InputOptions::default(),
            output: None,
            hash,
            ids: IdSource::Numbers,
            write: WriteOptions::default(),
            workers: 1,
            explain: None,
        }
    }
}

/// Where the ids of blocks come from.
#[derive(Clone)]
#[non_exhaustive]
pub enum IdSource {
    /// Numbers in the order of first appearance.
    Numbers,
    /// The same, going on from the numbers in a file, which gets the new ones too.
    State(PathBuf, StateHeader),
    /// The hashes of the blocks.
    Hashes(IdForm),
}

/// What a run has found out about its input.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// Requests written.
    pub requests: u64,
    /// What was remarkable about the records.
    pub counts: Counts,
    /// The unit that the times are likely to have.
    pub likely_unit: Option<Unit>,
    /// The first record without a time that has something like one: its place, and what that is.
    pub unread_time: Option<String>,
    /// What to say about records that were skipped.
    pub skipped: Option<String>,
}

/// Reads the prompts of `task` and writes a trace line for each, or why it is not like earlier ones.
///
/// # Errors
/// Those of reading and writing, a signal, a damaged state file and a lack of memory for numbers.
pub fn run(task: Task, observer: &mut dyn Observer) -> Result<Outcome> {
    let mut input = Input::new(&task.files, task.input.clone())?;
    observer.begin(input.total_size());
    let output = Output::named(task.output.as_deref(), task.workers)?;
    if let Some(options) = &task.explain {
        return explain(&task, options, input, output, observer);
    }
    let mut state = None;
    let ids = match &task.ids {
        IdSource::Numbers => Ids::Dense(KeyTable::default()),
        IdSource::State(path, header) => {
            let (file, table) = StateFile::open(path, header.clone())?;
            state = Some(file);
            Ids::Dense(table)
        }
        IdSource::Hashes(form) => Ids::Hash(*form),
    };
    let writer = TraceWriter::new(output, ids, task.hash.scheme.clone(), task.write.clone());
    let Ended { writer, result } = hash_lines(&mut input, &task.hash, task.workers, writer, |status| {
        observer.progress(status);
        Ok(())
    });
    observer.end();
    let requests = writer.requests();
    let (counts, likely_unit) = (writer.counts(), writer.likely_unit());
    let unread_time = writer.unread_time().map(str::to_owned);
    let (output, ids) = writer.into_parts();
    // Lines may have been read by others already, so their numbers must not be given again. But nobody
    // has read from a file that does not appear.
    let is_unread = result.is_err() && task.output.is_some();
    let saved = match (&state, &ids) {
        (Some(file), Ids::Dense(table)) if !is_unread => file.save(table),
        _ => Ok(()),
    };
    // A file that is there is worth more than one without a record.
    match result.and(saved).and_then(|()| input.skipped(requests)) {
        Ok(skipped) => {
            output.finish()?;
            Ok(Outcome { requests, counts, likely_unit, unread_time, skipped })
        }
        Err(error) => {
            output.abandon();
            Err(error)
        }
    }
}

/// Writes why prompts are not like earlier ones.
fn explain(
    task: &Task,
    options: &ExplainOptions,
    mut input: Input,
    output: Output,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let mut hash = task.hash.clone();
    hash.prompts.places = true;
    let explainer = Explainer::new(output, options.clone(), hash.block_size, task.files.len());
    let Ended { writer, result } = hash_lines(&mut input, &hash, task.workers, explainer, |status| {
        observer.progress(status);
        Ok(())
    });
    observer.end();
    let (requests, counts) = (writer.requests(), writer.counts());
    match result.and_then(|()| input.skipped(requests)) {
        Ok(skipped) => {
            writer.finish()?;
            Ok(Outcome { requests, counts, skipped, ..Outcome::default() })
        }
        Err(error) => {
            writer.into_output().abandon();
            Err(error)
        }
    }
}
