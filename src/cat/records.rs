//! The records of all files in the order in which they are written.

use std::path::PathBuf;

use crate::cat::ids::{Group, IdsScope, Scopes};
use crate::cat::merge::Merge;
use crate::cat::sort::{Sort, SortOptions};
use crate::error::{Error, Result};
use crate::io::{Input, InputOptions, Status};
use crate::record::Record;
use crate::record::formats::{Format, FormatReader};

/// A record with its line and what is known of its file.
pub struct Entry<'a> {
    /// The line, in the Mooncake format.
    pub line: &'a [u8],
    /// What stands in it.
    pub record: &'a Record,
    /// Which operand it is from.
    pub file: usize,
    /// Which files share their ids with this one.
    pub group: Group,
    /// Whether its time is that of a clock.
    pub absolute: bool,
    /// Whether its ids are to be renumbered.
    pub minted: bool,
}

/// The order of records.
#[derive(Clone, Debug, Default)]
pub enum Order {
    /// File after file.
    #[default]
    Files,
    /// By time, out of files that are sorted.
    Merge,
    /// By time.
    Sort(SortOptions),
}

/// How files are read.
pub struct ReadOptions {
    /// The format of all files, if the user says.
    pub format: Option<Format>,
    /// Tokens per block, if the user says.
    pub block_size: Option<u64>,
    /// Whether equal ids in different files are the same block.
    pub scope: IdsScope,
    /// How lines are read.
    pub input: InputOptions,
}

enum Source {
    Files(Box<FormatReader>, Scopes),
    Merge(Merge),
    Sort(Box<Sort>),
}

/// Goes through the records of several files.
pub struct Records {
    source: Source,
}

impl Records {
    /// The records of `files`.
    ///
    /// # Errors
    /// When a file does not exist.
    pub fn new(files: &[PathBuf], order: &Order, options: &ReadOptions) -> Result<Self> {
        let reader = || -> Result<FormatReader> {
            let input = Input::new(files, options.input.clone())?;
            Ok(FormatReader::new(input, options.format, options.block_size))
        };
        let source = match order {
            Order::Files => Source::Files(Box::new(reader()?), Scopes::new(options.scope)),
            Order::Merge => Source::Merge(Merge::new(files, options)?),
            Order::Sort(sort) => Source::Sort(Box::new(Sort::new(reader()?, options.scope, sort)?)),
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
            Source::Files(..) => Ok(()),
            Source::Merge(merge) => merge.prepare(idle),
            Source::Sort(sort) => sort.prepare(idle),
        }
    }

    /// Goes on to the next record; false after the last.
    ///
    /// # Errors
    /// A bad record (unless those are skipped), records out of order, and those of reading.
    #[inline]
    pub fn advance(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        match &mut self.source {
            Source::Files(reader, _) => reader.advance(idle),
            Source::Merge(merge) => merge.advance(idle),
            Source::Sort(sort) => sort.advance(),
        }
    }

    /// The current record.
    #[inline]
    pub fn entry(&mut self) -> Entry<'_> {
        match &mut self.source {
            Source::Files(reader, scopes) => entry(reader, scopes.group(reader)),
            Source::Merge(merge) => merge.entry(),
            Source::Sort(sort) => sort.entry(),
        }
    }

    /// Tokens per block; final once there is a record.
    pub fn block_size(&self) -> u64 {
        match &self.source {
            Source::Files(reader, _) => reader.block_size(),
            Source::Merge(merge) => merge.block_size(),
            Source::Sort(sort) => sort.block_size(),
        }
    }

    /// How many later files have ids of their own, as far as known.
    pub fn kept_apart(&self) -> u32 {
        match &self.source {
            Source::Files(_, scopes) => scopes.kept_apart(),
            Source::Merge(merge) => merge.kept_apart(),
            Source::Sort(sort) => sort.kept_apart(),
        }
    }

    /// The error that says `message` of the current record.
    pub fn error(&self, message: impl Into<String>) -> Error {
        match &self.source {
            Source::Files(reader, _) => reader.input().error(message),
            Source::Merge(merge) => merge.error(message),
            // Its place is not known any more.
            Source::Sort(_) => Error::Failed(message.into()),
        }
    }

    /// What to say at the end about skipped records.
    ///
    /// # Errors
    /// When records were skipped and none was good.
    pub fn skipped(&self) -> Result<Vec<String>> {
        match &self.source {
            Source::Files(reader, _) => Ok(reader.skipped()?.into_iter().collect()),
            Source::Merge(merge) => merge.skipped(),
            Source::Sort(sort) => Ok(sort.skipped()?.into_iter().collect()),
        }
    }
}

/// The current record of a reader.
#[inline]
pub(super) fn entry(reader: &FormatReader, group: Group) -> Entry<'_> {
    Entry {
        line: reader.line(),
        record: reader.record(),
        file: reader.file_index(),
        group,
        absolute: reader.is_absolute(),
        minted: reader.mints(),
    }
}
