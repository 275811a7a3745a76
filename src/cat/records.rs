//! The records of all files in the order in which they are written.

use std::path::PathBuf;

use crate::cat::entry::SourceRecord;
use crate::cat::ids::{ReadOptions, Scopes};
use crate::cat::merge::FileMerge;
use crate::cat::sort::{FileSort, SortOptions};
use crate::error::{Error, Result};
use crate::io::{Input, Status};
use crate::record::TraceReader;

/// The order of records.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Order {
    /// File after file.
    #[default]
    Files,
    /// By time, out of files that are sorted.
    Merge,
    /// By time.
    Sort(SortOptions),
}

enum RecordSource {
    Files(Box<TraceReader>, Scopes),
    Merge(FileMerge),
    Sort(Box<FileSort>),
}

/// Goes through the records of several files.
pub struct Records {
    source: RecordSource,
}

impl Records {
    /// The records of `files`.
    ///
    /// # Errors
    /// When a file does not exist.
    pub fn new(files: &[PathBuf], order: &Order, options: &ReadOptions) -> Result<Self> {
        let reader = || -> Result<TraceReader> {
            let input = Input::new(files, options.input.clone())?;
            Ok(TraceReader::new(input, options.format, options.block_size))
        };
        let source = match order {
            Order::Files => RecordSource::Files(Box::new(reader()?), Scopes::new(options.scope)),
            Order::Merge => RecordSource::Merge(FileMerge::new(files, options)?),
            Order::Sort(sort) => RecordSource::Sort(Box::new(FileSort::new(reader()?, options.scope, sort)?)),
        };
        Ok(Self { source })
    }

    /// Reads what must be read before the first record can be given: the first record of each file to
    /// merge, or everything that is sorted.
    ///
    /// # Errors
    /// Those of [`Records::advance`].
    pub fn prepare(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<()> {
        match &mut self.source {
            RecordSource::Files(..) => Ok(()),
            RecordSource::Merge(merge) => merge.prepare(idle),
            RecordSource::Sort(sort) => sort.prepare(idle),
        }
    }

    /// Goes on to the next record; false after the last.
    ///
    /// # Errors
    /// A bad record (unless those are skipped), records out of order, and those of reading.
    #[inline]
    pub fn advance(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        match &mut self.source {
            RecordSource::Files(reader, _) => reader.advance(idle),
            RecordSource::Merge(merge) => merge.advance(idle),
            RecordSource::Sort(sort) => sort.advance(),
        }
    }

    /// The current record.
    #[inline]
    pub fn entry(&mut self) -> SourceRecord<'_> {
        match &mut self.source {
            RecordSource::Files(reader, scopes) => SourceRecord::of(reader, scopes.group(reader)),
            RecordSource::Merge(merge) => merge.entry(),
            RecordSource::Sort(sort) => sort.entry(),
        }
    }

    /// Tokens per block; final once there is a record.
    pub fn block_size(&self) -> u64 {
        match &self.source {
            RecordSource::Files(reader, _) => reader.block_size(),
            RecordSource::Merge(merge) => merge.block_size(),
            RecordSource::Sort(sort) => sort.block_size(),
        }
    }

    /// How many later files have ids of their own, as far as known.
    pub fn kept_apart(&self) -> u32 {
        match &self.source {
            RecordSource::Files(_, scopes) => scopes.kept_apart(),
            RecordSource::Merge(merge) => merge.kept_apart(),
            RecordSource::Sort(sort) => sort.kept_apart(),
        }
    }

    /// The error that says `message` of the current record.
    pub fn error(&self, message: impl Into<String>) -> Error {
        match &self.source {
            RecordSource::Files(reader, _) => reader.input().error(message),
            RecordSource::Merge(merge) => merge.error(message),
            // Its place is not known any more.
            RecordSource::Sort(_) => Error::Failed(message.into()),
        }
    }

    /// What to say at the end about skipped records.
    ///
    /// # Errors
    /// When records were skipped and none was good.
    pub fn skipped(&self) -> Result<Vec<String>> {
        match &self.source {
            RecordSource::Files(reader, _) => Ok(reader.skipped()?.into_iter().collect()),
            RecordSource::Merge(merge) => merge.skipped(),
            RecordSource::Sort(sort) => Ok(sort.skipped()?.into_iter().collect()),
        }
    }
}
