//! `--sort`: records in the order of their times, in little memory.
//!
//! Records gather in memory until the budget is used, are sorted and written to a temporary file as a
//! run; in the end the runs are merged. Where there are more runs than buffers, neighbouring runs are
//! merged into longer ones first. Equal times keep their order. The file has no name from the start on,
//! so nothing can be left behind, however the process ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::cat::entry::{Moment, SourceRecord};
use crate::cat::ids::{Group, IdsScope, Scopes};
use crate::error::{Error, Result};
use crate::io::{Status, signals};
use crate::record::{self, Record, TraceReader};

/// Memory that the process takes beside what is sorted: its code, read and write buffers.
const FIXED: usize = 5 << 20;

/// The least that is used for sorting, whatever the user says.
const LEAST: usize = 1 << 20;

/// The smallest buffer of a run that is being merged.
const RUN_BUFFER: usize = 16 << 10;

/// Records from memory that are given between two looks for a signal.
const CHECK_SIGNALS: usize = 4096;

/// How sorting is done.
#[derive(Clone, Debug)]
pub struct SortOptions {
    /// Bytes of memory for the whole process.
    pub max_memory: usize,
    /// Where temporary files are; the system's folder for them if absent.
    pub folder: Option<PathBuf>,
}

/// Length of [`RunHeader`] in a run.
const HEAD: usize = 8 + 8 + 4 + 1;

/// What stands before a line in memory and in a run.
#[derive(Clone, Copy)]
struct RunHeader {
    time: f64,
    len: u64,
    group: Group,
    flags: u8,
}

const CLOCK_TIME: u8 = 1;
const SURROGATE_IDS: u8 = 2;

impl RunHeader {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        out.push(self.flags);
    }

    /// `None` if there are fewer bytes than a head has.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (group, rest) = rest.split_first_chunk()?;
        Some(Self {
            time: f64::from_le_bytes(*time),
            len: u64::from_le_bytes(*len),
            group: u32::from_le_bytes(*group),
            flags: *rest.first()?,
        })
    }
}

/// Records that are being sorted.
pub(super) struct FileSort {
    reader: TraceReader,
    scopes: Scopes,
    folder: PathBuf,
    budget: usize,
    /// Heads and lines in the order of reading.
    arena: Vec<u8>,
    /// Where each record begins.
    index: Vec<(Moment, usize)>,
    /// The next record of `index` where all are in memory.
    next: usize,
    runs: Runs,
    merging: Option<Merging>,
    head: RunHeader,
    record: Record,
}

impl FileSort {
    pub(super) fn new(reader: TraceReader, scope: IdsScope, options: &SortOptions) -> Result<Self> {
        let budget = options.max_memory.saturating_sub(FIXED).clamp(LEAST, 1 << 40);
        let folder = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        if !folder.is_dir() {
            let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(Error::io(folder.display().to_string(), error));
        }
        let index = budget / 8 / size_of::<(Moment, usize)>();
        Ok(Self {
            reader,
            scopes: Scopes::new(scope),
            folder,
            budget,
            arena: reserved(budget - budget / 8),
            index: reserved(index),
            next: 0,
            runs: Runs::default(),
            merging: None,
            head: RunHeader { time: 0.0, len: 0, group: 0, flags: 0 },
            record: Record::default(),
        })
    }

    /// Reads everything.
    pub(super) fn prepare(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<()> {
        while self.reader.advance(&mut idle)? {
            let time = Moment::of(&self.reader, "--sort")?;
            let line = self.reader.line();
            let full = self.arena.len() + HEAD + line.len() > self.arena.capacity()
                || self.index.len() == self.index.capacity();
            if full && !self.index.is_empty() {
                spill(&mut self.arena, &mut self.index, &mut self.runs, &self.folder)?;
            }
            let head = RunHeader {
                time: self.reader.record().timestamp.unwrap_or_default(),
                len: line.len() as u64,
                group: self.scopes.group(&self.reader),
                flags: if self.reader.has_clock_times() { CLOCK_TIME } else { 0 }
                    | if self.reader.has_surrogate_ids() { SURROGATE_IDS } else { 0 },
            };
            self.index.push((time, self.arena.len()));
            head.write(&mut self.arena);
            self.arena.extend_from_slice(line);
        }
        if self.runs.is_empty() {
            self.index.sort_unstable();
            return Ok(());
        }
        if !self.index.is_empty() {
            spill(&mut self.arena, &mut self.index, &mut self.runs, &self.folder)?;
        }
        (self.arena, self.index) = (Vec::new(), Vec::new());
        while self.runs.first_to_merge(self.budget) < self.runs.len() {
            self.runs = std::mem::take(&mut self.runs).merged(self.budget, &self.folder)?;
        }
        self.merging = Some(Merging::new(std::mem::take(&mut self.runs), self.budget)?);
        Ok(())
    }

    pub(super) fn advance(&mut self) -> Result<bool> {
        let found = match &mut self.merging {
            Some(merging) => merging.advance()?,
            None => {
                if self.next.is_multiple_of(CHECK_SIGNALS) {
                    signals::check()?;
                }
                let at = self.index.get(self.next).map(|&(_, at)| at);
                self.next += 1;
                at.and_then(|at| RunHeader::read(&self.arena[at..]))
            }
        };
        let Some(head) = found else { return Ok(false) };
        self.head = head;
        let Self { merging, arena, index, next, record, .. } = self;
        let line = match merging {
            Some(merging) => merging.line(),
            None => in_arena(arena, index, *next, head.len),
        };
        // It has been read before.
        record::parse(line, record)?;
        Ok(true)
    }

    pub(super) fn entry(&self) -> SourceRecord<'_> {
        let line = match &self.merging {
            Some(merging) => merging.line(),
            None => in_arena(&self.arena, &self.index, self.next, self.head.len),
        };
        SourceRecord {
            line,
            record: &self.record,
            file: 0,
            group: self.head.group,
            clock_time: self.head.flags & CLOCK_TIME != 0,
            surrogate_ids: self.head.flags & SURROGATE_IDS != 0,
        }
    }

    pub(super) fn block_size(&self) -> u64 {
        self.reader.block_size()
    }

    pub(super) fn kept_apart(&self) -> u32 {
        self.scopes.kept_apart()
    }

    pub(super) fn skipped(&self) -> Result<Option<String>> {
        self.reader.skipped()
    }
}

/// Room for so many items, or for as many as the system grants. What is not used is never touched.
fn reserved<T>(mut items: usize) -> Vec<T> {
    let mut vector = Vec::new();
    while vector.try_reserve_exact(items).is_err() {
        items /= 2;
    }
    vector
}

/// The line of the record before `next`.
fn in_arena<'a>(arena: &'a [u8], index: &[(Moment, usize)], next: usize, len: u64) -> &'a [u8] {
    let start = index[next - 1].1 + HEAD;
    &arena[start..start + len as usize]
}

/// Sorts what is in memory and writes it as a run.
fn spill(
    arena: &mut Vec<u8>,
    index: &mut Vec<(Moment, usize)>,
    runs: &mut Runs,
    folder: &PathBuf,
) -> Result<()> {
    signals::check()?;
    // The place decides between equal times, so the order is stable.
    index.sort_unstable();
    runs.append(folder, |out| {
        let mut longest = 0;
        for &(_, at) in &*index {
            let len = HEAD + RunHeader::read(&arena[at..]).map_or(0, |head| head.len as usize);
            out.write_all(&arena[at..at + len])?;
            longest = longest.max(len);
        }
        Ok(longest)
    })?;
    arena.clear();
    index.clear();
    Ok(())
}

/// Sorted runs, one after the other in one temporary file.
#[derive(Default)]
struct Runs {
    file: Option<Rc<File>>,
    runs: Vec<SortedRun>,
}

#[derive(Clone)]
struct SortedRun {
    range: Range<u64>,
    /// Bytes of its longest record.
    longest: usize,
}

impl Runs {
    fn len(&self) -> usize {
        self.runs.len()
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many from the first on can be merged at once: each needs room for its longest record.
    fn first_to_merge(&self, budget: usize) -> usize {
        let needed = self.runs.iter().scan(0, |sum: &mut usize, run| {
            *sum = sum.saturating_add(run.longest.max(RUN_BUFFER));
            Some(*sum)
        });
        needed.take_while(|&bytes| bytes <= budget).count().max(2).min(self.len())
    }

    /// Writes one more run; `write` gives the bytes of its longest record.
    fn append(
        &mut self,
        folder: &PathBuf,
        write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<usize>,
    ) -> Result<()> {
        let failed = |e| Error::io(format!("temporary file in {}", folder.display()), e);
        let file = match &self.file {
            Some(file) => Rc::clone(file),
            None => Rc::new(tempfile::tempfile_in(folder).map_err(failed)?),
        };
        let mut out = BufWriter::with_capacity(64 << 10, &*file);
        let written = write(&mut out).and_then(|longest| out.flush().map(|()| longest));
        drop(out);
        let longest = written.map_err(failed)?;
        // Everything is written at the end of the file.
        let end = file.metadata().map_err(failed)?.len();
        let start = self.runs.last().map_or(0, |run| run.range.end);
        self.runs.push(SortedRun { range: start..end, longest });
        self.file = Some(file);
        Ok(())
    }

    /// The same records in fewer runs, in a new file.
    fn merged(self, budget: usize, folder: &PathBuf) -> Result<Self> {
        let mut merged = Self::default();
        let mut rest = self;
        while !rest.is_empty() {
            let later = rest.runs.split_off(rest.first_to_merge(budget));
            let part = Self { file: rest.file.clone(), runs: std::mem::replace(&mut rest.runs, later) };
            let mut merging = Merging::new(part, budget)?;
            let (mut ended, mut longest) = (Ok(()), 0);
            let mut bytes = Vec::with_capacity(HEAD);
            merged.append(folder, |out| {
                loop {
                    match merging.advance() {
                        Ok(Some(head)) => {
                            bytes.clear();
                            head.write(&mut bytes);
                            out.write_all(&bytes)?;
                            out.write_all(merging.line())?;
                            longest = longest.max(HEAD + merging.line().len());
                        }
                        Ok(None) => return Ok(longest),
                        Err(error) => {
                            ended = Err(error);
                            return Ok(longest);
                        }
                    }
                }
            })?;
            ended?;
        }
        Ok(merged)
    }
}

/// Runs that are being merged.
struct Merging {
    readers: Vec<RunReader>,
    /// The time of the next record of each run but the current one.
    waiting: BinaryHeap<Reverse<(Moment, usize)>>,
    current: Option<usize>,
}

impl Merging {
    fn new(runs: Runs, budget: usize) -> Result<Self> {
        let long: usize = runs.runs.iter().map(|run| run.longest).sum();
        let size = (budget.saturating_sub(long) / runs.len().max(1)).clamp(RUN_BUFFER, 1 << 20);
        let mut readers = Vec::new();
        if let Some(file) = &runs.file {
            let reader = |run: &SortedRun| RunReader::new(Rc::clone(file), run.range.clone(), size);
            readers = runs.runs.iter().map(reader).collect();
        }
        let mut merging = Self { readers, waiting: BinaryHeap::new(), current: None };
        for index in 0..merging.readers.len() {
            merging.read(index)?;
        }
        Ok(merging)
    }

    fn read(&mut self, index: usize) -> Result<()> {
        if let Some(head) = self.readers[index].advance()? {
            self.waiting.push(Reverse((Moment::new(head.time), index)));
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<RunHeader>> {
        if let Some(index) = self.current.take() {
            self.read(index)?;
        }
        self.current = self.waiting.pop().map(|Reverse((_, index))| index);
        Ok(self.current.and_then(|index| self.readers[index].head))
    }

    fn line(&self) -> &[u8] {
        self.current.map_or(&[], |index| self.readers[index].line())
    }
}

/// Reads one run.
struct RunReader {
    file: Rc<File>,
    /// What has not been read yet.
    left: Range<u64>,
    buffer: Vec<u8>,
    /// Unread bytes of the buffer begin here.
    at: usize,
    head: Option<RunHeader>,
    line: Range<usize>,
}

impl RunReader {
    fn new(file: Rc<File>, left: Range<u64>, size: usize) -> Self {
        Self { file, left, buffer: Vec::with_capacity(size), at: 0, head: None, line: 0..0 }
    }

    fn line(&self) -> &[u8] {
        &self.buffer[self.line.clone()]
    }

    /// Goes on to the next record.
    fn advance(&mut self) -> Result<Option<RunHeader>> {
        self.need(HEAD)?;
        self.head = RunHeader::read(&self.buffer[self.at..]);
        if let Some(head) = self.head {
            let len = head.len as usize;
            self.need(HEAD + len)?;
            self.line = self.at + HEAD..self.at + HEAD + len;
            self.at = self.line.end;
        }
        Ok(self.head)
    }

    /// Makes sure that so many unread bytes are in the buffer, if there are so many.
    fn need(&mut self, bytes: usize) -> Result<()> {
        let unread = self.buffer.len() - self.at;
        if unread >= bytes || self.left.is_empty() {
            return Ok(());
        }
        signals::check()?;
        self.buffer.copy_within(self.at.., 0);
        self.at = 0;
        let room = bytes.max(self.buffer.capacity()) - unread;
        let more = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX).min(room);
        self.buffer.resize(unread + more, 0);
        let read = self.file.read_exact_at(&mut self.buffer[unread..], self.left.start);
        read.map_err(|e| Error::io("temporary file", e))?;
        self.left.start += more as u64;
        Ok(())
    }
}
