//! Records that have been read before their turn.

use std::any::Any;
use std::mem;
use std::ops::Range;

use memchr::memchr;

use crate::io::{NewPreview, Preview};
use crate::record::scan::scan_line_behind;
use crate::record::trace_record::Record;

/// What the scanner makes of the lines of a text. It depends on nothing else, so it may be found out anywhere.
#[derive(Default)]
pub(super) struct Scanned {
    /// Lines of the text, and behind them those of longer texts before, to be used again.
    lines: Vec<Line>,
    /// How many lines are of the text.
    len: usize,
    /// The ids of all lines, and those of their answers.
    ids: Vec<u64>,
    output_ids: Vec<u64>,
    /// The first line that has not been taken.
    next: usize,
}

/// A line of the text.
#[derive(Default)]
struct Line {
    /// Where it begins.
    start: usize,
    length: usize,
    /// Where its ids are.
    ids: Range<usize>,
    output_ids: Range<usize>,
    /// Everything else.
    record: Record,
}

/// Bytes of records after which no more lines of a text are looked at. Where lines have ids or some text, all of
/// their records take less.
const MOST: usize = 1 << 20;

impl Preview for Scanned {
    fn look(&mut self, text: &[u8]) {
        (self.len, self.next) = (0, 0);
        self.ids.clear();
        self.output_ids.clear();
        let mut at = 0;
        while at < text.len() && self.bytes() < MOST {
            let length = self.scan(text, at);
            // A line for the general path is passed over.
            let Some(length) = length.or_else(|| memchr(b'\n', &text[at..])) else { return };
            at += length + 1;
        }
    }
}

impl Scanned {
    /// Makes previews that have seen nothing.
    pub(super) fn previews() -> NewPreview {
        Box::new(|| Box::new(Self::default()))
    }

    fn bytes(&self) -> usize {
        self.len * size_of::<Line>() + (self.ids.len() + self.output_ids.len()) * size_of::<u64>()
    }

    /// Scans the line at `start`, and gives its length.
    #[inline]
    fn scan(&mut self, text: &[u8], start: usize) -> Option<usize> {
        if self.len == self.lines.len() {
            self.lines.push(Line::default());
        }
        let line = &mut self.lines[self.len];
        let (ids, output_ids) = (self.ids.len(), self.output_ids.len());
        swap_ids(&mut line.record, &mut self.ids, &mut self.output_ids);
        let length = scan_line_behind(&text[start..], &mut line.record);
        swap_ids(&mut line.record, &mut self.ids, &mut self.output_ids);
        let Some(length) = length else {
            self.ids.truncate(ids);
            self.output_ids.truncate(output_ids);
            return None;
        };
        (line.start, line.length) = (start, length);
        (line.ids, line.output_ids) = (ids..self.ids.len(), output_ids..self.output_ids.len());
        self.len += 1;
        Some(length)
    }

    /// Gives the record of the line at `start` and the length of the line.
    #[inline]
    pub(super) fn take(&mut self, start: usize, record: &mut Record) -> Option<usize> {
        let lines = &mut self.lines[..self.len];
        while lines.get(self.next)?.start < start {
            self.next += 1;
        }
        let line = lines.get_mut(self.next).filter(|line| line.start == start)?;
        self.next += 1;
        mem::swap(record, &mut line.record);
        // The lists of the record before are used again.
        mem::swap(&mut record.hash_ids, &mut line.record.hash_ids);
        mem::swap(&mut record.output_hash_ids, &mut line.record.output_hash_ids);
        record.hash_ids.clear();
        record.hash_ids.extend_from_slice(&self.ids[line.ids.clone()]);
        record.output_hash_ids.clear();
        record.output_hash_ids.extend_from_slice(&self.output_ids[line.output_ids.clone()]);
        Some(line.length)
    }

    /// The one that a reader asked for.
    #[inline]
    pub(super) fn of(preview: &mut dyn Preview) -> Option<&mut Self> {
        let preview: &mut dyn Any = preview;
        preview.downcast_mut()
    }
}

fn swap_ids(record: &mut Record, ids: &mut Vec<u64>, output_ids: &mut Vec<u64>) {
    mem::swap(&mut record.hash_ids, ids);
    mem::swap(&mut record.output_hash_ids, output_ids);
}
