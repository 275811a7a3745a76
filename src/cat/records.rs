//! The records of all files in the order in which they are written.

use std::path::PathBuf;

use crate::cat::entry::SourceRecord;
use crate::cat::ids::{ReadOptions, Scopes};
use crate::cat::merge::{FileMerge, SESSIONS_END};
use crate::cat::sort::{FileSort, SortOptions};
use crate::error::{Error, Result};
use crate::io::{Input, Status, files_at_once};
use crate::record::TraceReader;

/// The order of records.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Order {
    /// File after file.
    #[default]
    Files,
    /// By time, out of files that are sorted. Where there are more than may be open at once, they are read
    /// one after the other, as for a sort.
    Merge(SortOptions),
    /// By time.
    Sort(SortOptions),
}

enum RecordSource {
    Files(Box<TraceReader>),
    Merge(Box<FileMerge>),
    Sort(Box<FileSort>),
}

/// Goes through the records of several files.
pub(super) struct Records {
    source: RecordSource,
    scopes: Scopes,
}

impl Records {
    /// The records of `files`, which so many threads read unless they are merged.
    ///
    /// # Errors
    /// When a file does not exist.
    pub(super) fn new(files: &[PathBuf], order: &Order, options: &ReadOptions, jobs: usize) -> Result<Self> {
        let reader = || -> Result<TraceReader> {
            let input = Input::new(files, options.input.clone())?;
            Ok(options.reader(input).with_jobs(jobs))
        };
        let source = match order {
            Order::Files => RecordSource::Files(Box::new(reader()?)),
            Order::Merge(sort) if files.len() > files_at_once() => {
                let reader = reader()?.with_files_apart(true);
                RecordSource::Sort(Box::new(FileSort::new(reader, sort)?.of_sorted_files()))
            }
            Order::Merge(_) => RecordSource::Merge(Box::new(FileMerge::new(files, options)?)),
            Order::Sort(sort) => RecordSource::Sort(Box::new(FileSort::new(reader()?, sort)?)),
        };
        Ok(Self { source, scopes: Scopes::new(files, options)? })
    }

    /// Reads what must be read before the first record can be given: the first record of each file to
    /// merge, or everything that is sorted.
    ///
    /// # Errors
    /// Those of [`Records::advance`].
    pub(super) fn prepare(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<()> {
        match &mut self.source {
            RecordSource::Files(_) => Ok(()),
            RecordSource::Merge(merge) => merge.prepare(&mut self.scopes, idle),
            RecordSource::Sort(sort) => sort.prepare(&mut self.scopes, idle),
        }
    }

    /// Goes on to the next record; false after the last.
    ///
    /// # Errors
    /// A bad record (unless those are skipped), records out of order, and those of reading.
    #[inline]
    pub(super) fn advance(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        match &mut self.source {
            RecordSource::Files(reader) => reader.advance(idle),
            RecordSource::Merge(merge) => merge.advance(idle),
            RecordSource::Sort(sort) => sort.advance(),
        }
    }

    /// The current record.
    #[inline]
    pub(super) fn entry(&mut self) -> SourceRecord<'_> {
        match &mut self.source {
            RecordSource::Files(reader) => SourceRecord::of(reader, self.scopes.group(reader)),
            RecordSource::Merge(merge) => merge.entry(),
            RecordSource::Sort(sort) => sort.entry(),
        }
    }

    /// The reader of the current record.
    fn reader(&self) -> &TraceReader {
        match &self.source {
            RecordSource::Files(reader) => reader,
            RecordSource::Merge(merge) => merge.reader(),
            RecordSource::Sort(sort) => sort.reader(),
        }
    }

    /// Whether the current file goes on with the sessions of the one before it, and with their ids.
    pub(super) fn goes_on(&self) -> bool {
        matches!(&self.source, RecordSource::Files(reader) if reader.goes_on())
    }

    /// Tokens per block; final once there is a record.
    pub(super) fn block_size(&self) -> u64 {
        self.reader().block_size()
    }

    /// Whether ids must be renumbered to keep `files` apart.
    ///
    /// # Errors
    /// When a file cannot be opened or read.
    pub(super) fn must_renumber(&self, files: &[PathBuf], options: &ReadOptions) -> Result<bool> {
        self.scopes.must_renumber(files, options)
    }

    /// How many later files have ids of their own, as far as known.
    pub(super) fn kept_apart(&self) -> u32 {
        self.scopes.kept_apart()
    }

    /// The error that says `message` of the current record.
    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        match &self.source {
            // Where it stood is not known any more.
            RecordSource::Sort(_) => Error::Failed(message.into()),
            _ => self.reader().input().error(message),
        }
    }

    /// What to say at the end about the formats that were found out, and about skipped records.
    ///
    /// # Errors
    /// When records were skipped and none was good.
    pub(super) fn notes(&self) -> Result<Vec<String>> {
        match &self.source {
            RecordSource::Merge(merge) => merge.notes(),
            _ => {
                let mut notes = self.reader().remarks();
                let ends_sessions =
                    matches!(&self.source, RecordSource::Sort(sort) if sort.has_sorted_files());
                if ends_sessions && self.reader().follows_sessions() {
                    notes.push(SESSIONS_END.into());
                }
                notes.extend(self.reader().skipped()?);
                Ok(notes)
            }
        }
    }
}
