//! Sorts records by time in bounded memory.
//!
//! Records are collected in memory until the budget is used up, then sorted and written to a temporary file
//! as a run; at the end the runs are merged. If there are more runs than buffers, neighbouring runs are
//! merged into longer ones first. Records with equal times keep their order. The file never has a name, so
//! nothing is left behind however the process ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cat::entry::{Clocks, Moment, SourceRecord};
use crate::cat::ids::{Group, Scopes};
use crate::cat::merge::UNSORTED;
use crate::error::{Error, Result};
use crate::io::{Status, lift, signals};
use crate::record::{self, Record, TraceReader};

/// Memory that the process needs besides the records: its code, buffers for reading and writing.
const FIXED: usize = 5 << 20;

/// The least memory that sorting uses, even if the user allows less.
const LEAST: usize = 1 << 20;

/// The smallest and the largest buffer of a run that is being merged.
const RUN_BUFFER: usize = 16 << 10;
const LARGE_RUN_BUFFER: usize = 1 << 20;

/// How many records are returned from memory before the next check for a signal.
const CHECK_SIGNALS: usize = 4096;

/// How sorting is done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SortOptions {
    /// Bytes of memory for the whole process.
    pub max_memory: usize,
    /// The folder for the temporary file; the system's own if absent.
    pub folder: Option<PathBuf>,
}

/// Length of [`RunHeader`] in a run.
const HEAD: usize = 8 + 8 + 4 + 1;

/// What precedes a line in memory and in a run.
#[derive(Clone, Copy, Default)]
struct RunHeader {
    time: f64,
    len: u64,
    group: Group,
    flags: u8,
}

const CLOCK_TIME: u8 = 1;
const SURROGATE_IDS: u8 = 2;
const FIXED_UNIT: u8 = 4;

impl RunHeader {
    fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&self.time.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.group.to_le_bytes());
        bytes[20] = self.flags;
        bytes
    }

    /// The header at the start of `bytes` and the line after it; `None` if there are too few bytes.
    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (group, rest) = rest.split_first_chunk()?;
        let (&flags, rest) = rest.split_first()?;
        let (time, len) = (f64::from_le_bytes(*time), u64::from_le_bytes(*len));
        let header = Self { time, len, group: u32::from_le_bytes(*group), flags };
        Some((header, rest.get(..len as usize).unwrap_or_default()))
    }
}

/// Records that are being sorted.
pub(super) struct FileSort {
    reader: TraceReader,
    /// Whether each file is in order, which is checked; and the file and the time of the last record.
    sorted_files: bool,
    clocks: Clocks,
    before: Option<(usize, Moment)>,
    folder: PathBuf,
    budget: usize,
    /// Headers and lines in the order of reading.
    arena: Vec<u8>,
    /// Where each record begins.
    index: Vec<(Moment, usize)>,
    /// Position in `index` of the next record, if all fit into memory.
    next: usize,
    runs: Runs,
    merging: Option<Merging>,
    /// The current record.
    head: RunHeader,
    line: Vec<u8>,
    record: Record,
}

impl FileSort {
    pub(super) fn new(reader: TraceReader, options: &SortOptions) -> Result<Self> {
        let budget = options.max_memory.saturating_sub(FIXED).clamp(LEAST, 1 << 40);
        let folder = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        if !folder.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(Error::io(folder.display().to_string(), error));
        }
        let index = budget / 8 / size_of::<(Moment, usize)>();
        Ok(Self {
            reader,
            sorted_files: false,
            clocks: Clocks::default(),
            before: None,
            folder,
            budget,
            arena: reserved(budget - budget / 8),
            index: reserved(index),
            next: 0,
            runs: Runs::default(),
            merging: None,
            head: RunHeader::default(),
            line: Vec::new(),
            record: Record::default(),
        })
    }

    /// The same for files each of which must be in order by itself.
    pub(super) fn of_sorted_files(self) -> Self {
        Self { sorted_files: true, ..self }
    }

    /// Whether the files are merged, in the way of a sort.
    pub(super) fn has_sorted_files(&self) -> bool {
        self.sorted_files
    }

    /// The time of the record that the reader has reached.
    fn time(&mut self) -> Result<Moment> {
        let time = Moment::of(&self.reader, if self.sorted_files { "merge" } else { "sort" })?;
        self.clocks.add(&self.reader)?;
        if !self.sorted_files {
            return Ok(time);
        }
        let file = self.reader.file_index();
        if self.before.is_some_and(|(before, latest)| before == file && time < latest) {
            return Err(self.reader.input().error(UNSORTED));
        }
        self.before = Some((file, time));
        Ok(time)
    }

    /// Reads everything.
    pub(super) fn prepare(
        &mut self,
        scopes: &mut Scopes,
        mut idle: impl FnMut(Status) -> Result<()>,
    ) -> Result<()> {
        while self.reader.advance(&mut idle)? {
            let time = self.time()?;
            let len = self.reader.line().len();
            let full = self.arena.len() + HEAD + len > self.arena.capacity()
                || self.index.len() == self.index.capacity();
            if full && !self.index.is_empty() {
                self.spill()?;
            }
            let head = RunHeader {
                time: self.reader.record().timestamp.unwrap_or_default(),
                len: len as u64,
                group: scopes.group(&self.reader),
                flags: if self.reader.has_clock_times() { CLOCK_TIME } else { 0 }
                    | if self.reader.has_surrogate_ids() { SURROGATE_IDS } else { 0 }
                    | if self.reader.has_fixed_unit() { FIXED_UNIT } else { 0 },
            };
            self.index.push((time, self.arena.len()));
            self.arena.extend_from_slice(&head.bytes());
            self.arena.extend_from_slice(self.reader.line());
        }
        if self.runs.ranges.is_empty() {
            self.index.sort_unstable();
            return Ok(());
        }
        if !self.index.is_empty() {
            self.spill()?;
        }
        (self.arena, self.index) = (Vec::new(), Vec::new());
        while self.runs.ranges.len() > at_once(self.budget) {
            self.runs = self.runs.merged(self.budget, &self.folder)?;
        }
        let merging = self.runs.merge(&self.runs.ranges, self.budget);
        self.merging = Some(merging.map_err(|e| failed(&self.folder, e))?);
        Ok(())
    }

    /// Sorts what is in memory and writes it as a run.
    fn spill(&mut self) -> Result<()> {
        signals::check()?;
        let Self { runs, folder, arena, index, .. } = self;
        // Equal times are ordered by position in the arena, which keeps the sort stable.
        index.sort_unstable();
        runs.append(folder, |out| {
            let records = index.iter().filter_map(|&(_, at)| RunHeader::split(&arena[at..]));
            for (head, line) in records {
                out.write_all(&head.bytes())?;
                out.write_all(line)?;
            }
            Ok(())
        })?;
        arena.clear();
        index.clear();
        Ok(())
    }

    pub(super) fn advance(&mut self) -> Result<bool> {
        let found = match &mut self.merging {
            Some(merging) => merging.next(&mut self.line).map_err(|e| failed(&self.folder, e))?,
            None => self.next_in_memory()?,
        };
        let Some(head) = found else { return Ok(false) };
        self.head = head;
        // The line has been parsed before, so this cannot fail.
        record::parse(&self.line, &mut self.record)?;
        Ok(true)
    }

    fn next_in_memory(&mut self) -> Result<Option<RunHeader>> {
        if self.next.is_multiple_of(CHECK_SIGNALS) {
            signals::check()?;
        }
        let place = self.index.get(self.next);
        self.next += 1;
        let found = place.and_then(|&(_, at)| RunHeader::split(&self.arena[at..]));
        Ok(found.map(|(head, line)| {
            self.line.clear();
            self.line.extend_from_slice(line);
            head
        }))
    }

    pub(super) fn entry(&self) -> SourceRecord<'_> {
        SourceRecord {
            line: &self.line,
            record: &self.record,
            file: 0,
            group: self.head.group,
            clock_time: self.head.flags & CLOCK_TIME != 0,
            fixed_unit: self.head.flags & FIXED_UNIT != 0,
            surrogate_ids: self.head.flags & SURROGATE_IDS != 0,
        }
    }

    /// The reader of all records.
    pub(super) fn reader(&self) -> &TraceReader {
        &self.reader
    }
}

/// A vector with room for `items`, or for as many as the system allows. Memory that is never written costs
/// nothing.
fn reserved<T>(mut items: usize) -> Vec<T> {
    let mut vector = Vec::new();
    while vector.try_reserve_exact(items).is_err() {
        items /= 2;
    }
    vector
}

/// How many runs can be merged at once.
fn at_once(budget: usize) -> usize {
    (budget / RUN_BUFFER).max(2)
}

/// An error of the temporary file, or the signal that interrupted the work.
fn failed(folder: &Path, error: io::Error) -> Error {
    lift(&format!("temporary file in {}", folder.display()), error)
}

/// Sorted runs, one after the other in one temporary file.
#[derive(Default)]
struct Runs {
    file: Option<Rc<File>>,
    ranges: Vec<Range<u64>>,
}

impl Runs {
    /// Adds the run that `write` writes.
    fn append(
        &mut self,
        folder: &Path,
        write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    ) -> Result<()> {
        let failed = |e| failed(folder, e);
        let file = match &self.file {
            Some(file) => Rc::clone(file),
            None => Rc::new(tempfile::tempfile_in(folder).map_err(failed)?),
        };
        let mut out = BufWriter::with_capacity(64 << 10, &*file);
        write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
        drop(out);
        // Runs are appended, so the file ends where the run does.
        let end = file.metadata().map_err(failed)?.len();
        let start = self.ranges.last().map_or(0, |range| range.end);
        self.ranges.push(start..end);
        self.file = Some(file);
        Ok(())
    }

    /// The same records in fewer runs, in a new file.
    fn merged(&self, budget: usize, folder: &Path) -> Result<Self> {
        let mut merged = Self::default();
        let mut line = Vec::new();
        for part in self.ranges.chunks(at_once(budget)) {
            merged.append(folder, |out| {
                let mut merging = self.merge(part, budget)?;
                while let Some(head) = merging.next(&mut line)? {
                    out.write_all(&head.bytes())?;
                    out.write_all(&line)?;
                }
                Ok(())
            })?;
        }
        Ok(merged)
    }

    /// Begins to merge some of the runs.
    fn merge(&self, ranges: &[Range<u64>], budget: usize) -> io::Result<Merging> {
        let size = (budget / ranges.len().max(1)).clamp(RUN_BUFFER, LARGE_RUN_BUFFER);
        let mut merging = Merging::default();
        for (file, range) in self.file.iter().flat_map(|file| ranges.iter().map(move |range| (file, range))) {
            let bytes = RunBytes { file: Rc::clone(file), left: range.clone() };
            merging.runs.push((RunHeader::default(), BufReader::with_capacity(size, bytes)));
            merging.read_header(merging.runs.len() - 1)?;
        }
        Ok(merging)
    }
}

/// Runs that are being merged.
#[derive(Default)]
struct Merging {
    /// For each run the header of its next record, and the bytes after that header.
    runs: Vec<(RunHeader, BufReader<RunBytes>)>,
    /// The time of the next record of each run.
    waiting: BinaryHeap<Reverse<(Moment, usize)>>,
}

impl Merging {
    fn read_header(&mut self, index: usize) -> io::Result<()> {
        let (next, bytes) = &mut self.runs[index];
        let mut head = [0; HEAD];
        if bytes.fill_buf()?.is_empty() {
            return Ok(());
        }
        bytes.read_exact(&mut head)?;
        if let Some((head, _)) = RunHeader::split(&head) {
            *next = head;
            self.waiting.push(Reverse((Moment::new(head.time), index)));
        }
        Ok(())
    }

    /// The next record; its line replaces `line`.
    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<RunHeader>> {
        let Some(Reverse((_, index))) = self.waiting.pop() else { return Ok(None) };
        let (head, bytes) = &mut self.runs[index];
        let head = *head;
        line.resize(head.len as usize, 0);
        bytes.read_exact(line)?;
        self.read_header(index)?;
        Ok(Some(head))
    }
}

/// The bytes of a run that have not been read yet.
struct RunBytes {
    file: Rc<File>,
    left: Range<u64>,
}

impl Read for RunBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        signals::check().map_err(io::Error::other)?;
        let left = self.left.end - self.left.start;
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.file.read_exact_at(&mut buffer[..len], self.left.start)?;
        self.left.start += len as u64;
        Ok(len)
    }
}
