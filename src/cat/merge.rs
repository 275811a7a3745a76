//! `--merge`: files that are sorted by time, interleaved.
//!
//! A heap holds the next record of each file. Equal times come in the order of the files, so the
//! result is the same on every run. Memory: a read buffer per file, with its longest line.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use crate::cat::entry::{Moment, SourceRecord};
use crate::cat::ids::{Group, ReadOptions, Scopes};
use crate::error::{Error, Result};
use crate::io::{Input, Status};
use crate::record::{DEFAULT_BLOCK_SIZE, TraceReader};

/// Files that are being merged.
pub(super) struct FileMerge {
    readers: Vec<TraceReader>,
    /// How far each reader is.
    read: Vec<Status>,
    groups: Vec<Group>,
    kept_apart: u32,
    /// The next record of each file but the current one.
    waiting: BinaryHeap<Reverse<(Moment, usize)>>,
    current: Option<(Moment, usize)>,
    block_size: u64,
    scopes: Scopes,
}

impl FileMerge {
    pub(super) fn new(files: &[PathBuf], options: &ReadOptions) -> Result<Self> {
        let stdin = [PathBuf::from("-")];
        let files = if files.is_empty() { &stdin[..] } else { files };
        let reader = |(index, file): (usize, &PathBuf)| -> Result<TraceReader> {
            let input = Input::new([file], options.input.clone())?;
            Ok(TraceReader::new(input, options.format, options.block_size).starting_at(index))
        };
        let readers: Vec<_> = files.iter().enumerate().map(reader).collect::<Result<_>>()?;
        Ok(Self {
            read: vec![Status { bytes: 0, lines: 0 }; readers.len()],
            groups: vec![0; readers.len()],
            kept_apart: 0,
            waiting: BinaryHeap::with_capacity(readers.len()),
            current: None,
            block_size: options.block_size.unwrap_or(DEFAULT_BLOCK_SIZE),
            scopes: Scopes::new(options.scope),
            readers,
        })
    }

    /// Reads the first record of each file.
    pub(super) fn prepare(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<()> {
        let mut settled = None;
        for index in 0..self.readers.len() {
            if let Some(moment) = self.read(index, &mut idle)? {
                self.waiting.push(Reverse((moment, index)));
                let size = self.readers[index].block_size();
                if size != *settled.get_or_insert(size) {
                    let message = format!("block size {size} differs from {}", self.block_size);
                    return Err(self.readers[index].input().error(message));
                }
                self.block_size = size;
            }
            self.groups[index] = self.scopes.group(&self.readers[index]);
        }
        self.kept_apart = self.scopes.kept_apart();
        Ok(())
    }

    pub(super) fn advance(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        if let Some((before, index)) = self.current.take()
            && let Some(moment) = self.read(index, &mut idle)?
        {
            if moment < before {
                let message =
                    "a timestamp before that of the record before: --merge needs sorted files (see --sort)";
                return Err(self.readers[index].input().error(message));
            }
            self.waiting.push(Reverse((moment, index)));
        }
        self.current = self.waiting.pop().map(|Reverse(next)| next);
        Ok(self.current.is_some())
    }

    /// Goes on in one file; the time of the record reached.
    fn read(&mut self, index: usize, idle: &mut impl FnMut(Status) -> Result<()>) -> Result<Option<Moment>> {
        let Self { readers, read, .. } = self;
        let more = readers[index].advance(|status| {
            read[index] = status;
            let bytes = read.iter().map(|status| status.bytes).sum();
            idle(Status { bytes, lines: read.iter().map(|status| status.lines).sum() })
        })?;
        more.then(|| Moment::of(&readers[index], "--merge")).transpose()
    }

    pub(super) fn entry(&self) -> SourceRecord<'_> {
        let index = self.current.map_or(0, |(_, index)| index);
        SourceRecord::of(&self.readers[index], self.groups[index])
    }

    pub(super) fn block_size(&self) -> u64 {
        self.block_size
    }

    pub(super) fn kept_apart(&self) -> u32 {
        self.kept_apart
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        let index = self.current.map_or(0, |(_, index)| index);
        self.readers[index].input().error(message)
    }

    pub(super) fn skipped(&self) -> Result<Vec<String>> {
        let valid = self.readers.iter().map(TraceReader::valid).sum();
        let messages = self.readers.iter().map(|reader| reader.input().skipped(valid));
        messages.filter_map(Result::transpose).collect()
    }
}
