//! Line framing: newline-terminated lines out of a byte source, in one reused buffer.
//!
//! A JSON document that is a list, or that goes over several lines, is cut into its records instead.

use std::ops::Range;

use memchr::memchr;

use crate::error::Result;
use crate::io::ahead::{Chunk, Preview};
use crate::io::document::{BYTE_ORDER_MARK, Beginning, Document};
use crate::io::source::{READ_SIZE, Source};

/// What [`Lines::next_range`] found.
pub(super) enum Framed {
    /// A line without its terminator, as a range of [`Lines::buffer`].
    Line(Range<usize>),
    /// A record of a document, and the line in which it begins, from 1.
    Record(Range<usize>, u64),
    /// A line longer than the limit; it has been skipped.
    TooLong,
    /// No complete line is left in the buffer: call [`Lines::fill`].
    Empty,
    /// The end of the input.
    End,
    /// A list of records has no end; the line behind its last record.
    CutOff(u64),
}

/// Cuts a source into lines. The buffer grows with the longest line, up to `max_line`.
#[derive(Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Unread bytes are `buffer[start..end]`; `start..scanned` is known to hold no newline.
    start: usize,
    scanned: usize,
    end: usize,
    max_line: usize,
    discarding: bool,
    at_end: bool,
    first: bool,
    framing: Framing,
    /// How much has been read.
    filled: usize,
    /// What is known of the bytes behind `chunk_start`, if they were read ahead.
    chunk: Option<Chunk>,
    chunk_start: usize,
}

/// What an input is cut into.
#[derive(Default)]
enum Framing {
    /// Lines.
    #[default]
    Lines,
    /// Lines, unless it begins as a document.
    LinesOrRecords,
    /// The records of a document.
    Records(Document),
}

impl Lines {
    /// Lines, or the records of an input that begins as a document if `documents` allows it.
    pub(super) fn new(max_line: usize, documents: bool) -> Self {
        let framing = if documents { Framing::LinesOrRecords } else { Framing::Lines };
        Self { buffer: vec![0; READ_SIZE], max_line, framing, first: true, ..Self::default() }
    }

    /// Forgets the input that has ended, keeps the buffer.
    pub(super) fn restart(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let documents = !matches!(self.framing, Framing::Lines);
        let framing = if documents { Framing::LinesOrRecords } else { Framing::Lines };
        *self = Self { buffer, max_line: self.max_line, framing, first: true, ..Self::default() };
    }

    pub(super) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Whether a line that has not ended yet is longer than the limit.
    pub(super) fn is_too_long(&self) -> bool {
        self.discarding
    }

    /// The next complete line that is already in the buffer.
    pub(super) fn next_range(&mut self) -> Framed {
        if self.first && matches!(self.framing, Framing::LinesOrRecords) {
            match Beginning::of(&self.buffer[self.start..self.end]) {
                Beginning::Document(document) => {
                    self.framing = Framing::Records(document);
                    self.scanned = self.start;
                    if self.buffer[self.start..self.end].starts_with(BYTE_ORDER_MARK) {
                        self.scanned += BYTE_ORDER_MARK.len();
                    }
                }
                Beginning::Unknown if !self.at_end => return Framed::Empty,
                Beginning::Unknown | Beginning::Lines => {}
            }
        }
        if matches!(self.framing, Framing::Records(_)) {
            return self.next_record();
        }
        if let Some(offset) = memchr(b'\n', &self.buffer[self.scanned..self.end]) {
            let stop = self.scanned + offset;
            return self.take(stop, stop + 1);
        }
        self.scanned = self.end;
        // A byte-order mark and a final "\r" do not count, so a few bytes more are allowed here; a line
        // that turns out too long without them is found when it ends.
        if self.discarding || self.end - self.start > self.max_line.saturating_add(5) {
            self.discarding = true;
            self.start = self.end;
        }
        if !self.at_end {
            return Framed::Empty;
        }
        if self.start < self.end || self.discarding {
            return self.take(self.end, self.end);
        }
        Framed::End
    }

    /// The next record of a document.
    fn next_record(&mut self) -> Framed {
        self.first = false;
        let Framing::Records(document) = &mut self.framing else { return Framed::End };
        if !document.is_inside() {
            let begins = document.begin(&self.buffer[..self.end], self.scanned);
            self.scanned = begins.unwrap_or(self.end);
            self.start = self.scanned;
        }
        let ends = document.end(&mut self.buffer[..self.end], self.scanned);
        self.scanned = ends.unwrap_or(self.end);
        if self.discarding || self.scanned - self.start > self.max_line {
            self.discarding = true;
            self.start = self.scanned;
        }
        // The last record may be cut off, which its reader says.
        if ends.is_none() && !(self.at_end && document.is_inside()) {
            return match self.at_end {
                true if document.ends_early() => Framed::CutOff(document.line()),
                true => Framed::End,
                false => Framed::Empty,
            };
        }
        document.abandon();
        let range = self.start..self.scanned;
        self.start = self.scanned;
        let line = document.record_line();
        if std::mem::take(&mut self.discarding) { Framed::TooLong } else { Framed::Record(range, line) }
    }

    /// Ends the line at `stop` and goes on at `next`.
    fn take(&mut self, stop: usize, next: usize) -> Framed {
        let mut line = self.start..stop;
        (self.start, self.scanned) = (next, next);
        if std::mem::take(&mut self.discarding) {
            self.first = false;
            return Framed::TooLong;
        }
        self.first = false;
        // Files that were joined have one in the middle too.
        if self.buffer[line.clone()].starts_with(BYTE_ORDER_MARK) {
            line.start += BYTE_ORDER_MARK.len();
        }
        if self.buffer[line.clone()].ends_with(b"\r") {
            line.end -= 1;
        }
        if line.len() > self.max_line { Framed::TooLong } else { Framed::Line(line) }
    }

    /// What has been read and not yet been cut into lines; empty while a line needs more care than that.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        if self.first || self.discarding || matches!(self.framing, Framing::Records(_)) {
            &[]
        } else {
            &self.buffer[self.start..self.end]
        }
    }

    /// Ends the line after `len` unread bytes, if that is not too long. The newline behind it must be there.
    #[inline]
    pub(super) fn accept(&mut self, len: usize) -> Option<Range<usize>> {
        let line = self.start..self.start + len;
        if len > self.max_line || line.end >= self.end {
            return None;
        }
        (self.start, self.scanned) = (line.end + 1, line.end + 1);
        Some(line)
    }

    /// Whether these are lines, and so much has been read that there may be many more.
    pub(super) fn is_long(&self) -> bool {
        self.filled >= READ_SIZE && !matches!(self.framing, Framing::Records(_))
    }

    /// What has been found out of the unread bytes before, and where they begin within what was looked at.
    #[inline]
    pub(super) fn preview(&mut self) -> Option<(&mut dyn Preview, usize)> {
        if self.chunk.is_none() || self.unread().is_empty() {
            return None;
        }
        let chunk = self.chunk.as_mut()?;
        Some((&mut *chunk.preview, self.start.wrapping_sub(self.chunk_start)))
    }

    /// One read from `source` behind what is left in the buffer.
    pub(super) fn fill(&mut self, source: &mut Source) -> Result<()> {
        if source.is_ahead() {
            return self.fill_ahead(source);
        }
        self.make_room(READ_SIZE / 2);
        let n = source.read(&mut self.buffer[self.end..])?;
        self.end += n;
        self.filled += n;
        self.at_end = n == 0;
        Ok(())
    }

    /// The same where threads read.
    fn fill_ahead(&mut self, source: &mut Source) -> Result<()> {
        self.chunk = source.next_chunk(self.chunk.take())?;
        self.at_end = self.chunk.is_none();
        let Some(mut chunk) = self.chunk.take() else { return Ok(()) };
        if self.start == self.end {
            std::mem::swap(&mut self.buffer, &mut chunk.bytes);
            (self.start, self.scanned, self.end) = (0, 0, chunk.end);
            self.chunk_start = 0;
        } else {
            self.make_room(chunk.end);
            self.chunk_start = self.end;
            self.end += chunk.end;
            self.buffer[self.chunk_start..self.end].copy_from_slice(&chunk.bytes[..chunk.end]);
        }
        self.chunk = Some(chunk);
        Ok(())
    }

    /// Makes room for `size` bytes behind what is left.
    fn make_room(&mut self, size: usize) {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
        } else if self.start > 0 && self.buffer.len() - self.end < size {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < size {
            self.buffer.resize((self.buffer.len() * 2).max(self.end + size), 0);
        }
    }
}
