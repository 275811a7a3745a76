//! `--merge`: files that are sorted by time, interleaved.
//!
//! A heap holds the next record of each file. Equal times come in the order of the files, so the
//! result is the same on every run. Memory: a read buffer per file, with its longest line.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use crate::cat::entry::{Clocks, Moment, SourceRecord};
use crate::cat::ids::{Group, ReadOptions, Scopes, counts_from_zero};
use crate::error::Result;
use crate::io::{Input, Status};
use crate::record::TraceReader;

/// What to say of a file that is not in order.
pub(super) const UNSORTED: &str =
    "a timestamp before that of the record before: `merge` needs sorted files (see `sort`)";

/// What to say where sessions go on in other files.
pub(super) const SESSIONS_END: &str = "with `merge` sessions end with their files: what a call found in the cache is looked for in its own file alone (see \
     `sort`, which goes on with the sessions of the file before)";

/// Files that are being merged.
pub(super) struct FileMerge {
    files: Vec<PathBuf>,
    options: ReadOptions,
    readers: Vec<TraceReader>,
    /// How far each reader is.
    read: Vec<Status>,
    groups: Vec<Group>,
    /// The next record of each file but the current one.
    waiting: BinaryHeap<Reverse<(Moment, usize)>>,
    /// The file of the current record.
    current: usize,
    /// The time of the current record, if there is one.
    time: Option<Moment>,
}

impl FileMerge {
    pub(super) fn new(files: &[PathBuf], options: &ReadOptions) -> Result<Self> {
        let stdin = [PathBuf::from("-")];
        let files = if files.is_empty() { &stdin[..] } else { files };
        let reader = |(index, file): (usize, &PathBuf)| -> Result<TraceReader> {
            let input = Input::new([file], options.input.clone())?;
            Ok(options.reader(input).starting_at(index))
        };
        let readers: Vec<_> = files.iter().enumerate().map(reader).collect::<Result<_>>()?;
        let read = vec![Status { bytes: 0, lines: 0 }; readers.len()];
        let groups = vec![0; readers.len()];
        let (files, options) = (files.to_vec(), options.clone());
        Ok(Self { files, options, readers, read, groups, waiting: BinaryHeap::new(), current: 0, time: None })
    }

    /// Reads the first record of each file.
    pub(super) fn prepare(
        &mut self,
        scopes: &mut Scopes,
        mut idle: impl FnMut(Status) -> Result<()>,
    ) -> Result<()> {
        let (mut settled, mut clocks) = (None, Clocks::default());
        for index in 0..self.readers.len() {
            if let Some(moment) = self.read(index, &mut idle)? {
                self.waiting.push(Reverse((moment, index)));
                clocks.add(&self.readers[index])?;
                let size = self.readers[index].block_size();
                let first = *settled.get_or_insert(size);
                if size != first {
                    let message = format!("block size {size} differs from {first}");
                    return Err(self.readers[index].input().error(message));
                }
            }
            // Records of other files come before one that may tell.
            let file = &self.files[index];
            let ahead = || counts_from_zero(file, &self.options);
            self.groups[index] = scopes.group_ahead(&self.readers[index], index, ahead)?;
        }
        Ok(())
    }

    pub(super) fn advance(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        if let Some(before) = self.time.take()
            && let Some(moment) = self.read(self.current, &mut idle)?
        {
            if moment < before {
                return Err(self.reader().input().error(UNSORTED));
            }
            self.waiting.push(Reverse((moment, self.current)));
        }
        let Some(Reverse((time, index))) = self.waiting.pop() else { return Ok(false) };
        (self.time, self.current) = (Some(time), index);
        Ok(true)
    }

    /// Goes on in one file; the time of the record reached.
    fn read(&mut self, index: usize, idle: &mut impl FnMut(Status) -> Result<()>) -> Result<Option<Moment>> {
        let Self { readers, read, .. } = self;
        let more = readers[index].advance(|status| {
            read[index] = status;
            let bytes = read.iter().map(|status| status.bytes).sum();
            idle(Status { bytes, lines: read.iter().map(|status| status.lines).sum() })
        })?;
        more.then(|| Moment::of(&readers[index], "merge")).transpose()
    }

    pub(super) fn entry(&self) -> SourceRecord<'_> {
        SourceRecord::of(self.reader(), self.groups[self.current])
    }

    /// The reader of the current record; after the last one, that of the last.
    pub(super) fn reader(&self) -> &TraceReader {
        &self.readers[self.current]
    }

    /// What to say at the end about the formats that were found out, and about skipped records.
    pub(super) fn notes(&self) -> Result<Vec<String>> {
        let valid = self.readers.iter().map(TraceReader::valid).sum();
        let mut notes: Vec<String> = self.readers.iter().flat_map(TraceReader::remarks).collect();
        if self.readers.len() > 1 && self.readers.iter().any(TraceReader::follows_sessions) {
            notes.push(SESSIONS_END.into());
        }
        for reader in &self.readers {
            notes.extend(reader.input().skipped(valid)?);
        }
        Ok(notes)
    }
}
