//! Records that have been read before their turn.

use std::any::Any;
use std::mem;

use memchr::memchr;

use crate::io::Preview;
use crate::record::scan::scan_line;
use crate::record::trace_record::Record;

/// What the scanner makes of the lines of a text. It depends on nothing else, so it may be found out anywhere.
#[derive(Default)]
pub(super) struct Scanned {
    lines: Vec<Line>,
    /// The ids of all lines, those of an answer behind those of its prompt.
    ids: Vec<u64>,
    /// The first line that has not been taken.
    next: usize,
    /// The record that is being read.
    record: Record,
}

/// A line of the text.
struct Line {
    /// Where it begins.
    start: usize,
    length: usize,
    /// Where its ids begin.
    ids: usize,
    /// How many there are, and how many of its answer.
    counts: (usize, usize),
    /// Everything else.
    record: Record,
}

/// Bytes of records after which no more lines of a text are looked at. Where lines have ids or some text, all of
/// their records take less.
const MOST: usize = 1 << 20;

impl Preview for Scanned {
    fn look(&mut self, text: &[u8]) {
        self.lines.clear();
        self.ids.clear();
        self.next = 0;
        let mut at = 0;
        while at < text.len() && self.bytes() < MOST {
            let length = scan_line(&text[at..], &mut self.record);
            if let Some(length) = length {
                self.keep(at, length);
            }
            // A line for the general path is passed over.
            let Some(length) = length.or_else(|| memchr(b'\n', &text[at..])) else { return };
            at += length + 1;
        }
    }
}

impl Scanned {
    /// A preview that has seen nothing.
    pub(super) fn preview() -> Box<dyn Preview> {
        Box::new(Self::default())
    }

    fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>() + self.ids.len() * size_of::<u64>()
    }

    fn keep(&mut self, start: usize, length: usize) {
        let (hash_ids, output_hash_ids) = take_ids(&mut self.record);
        let (ids, counts) = (self.ids.len(), (hash_ids.len(), output_hash_ids.len()));
        self.ids.extend_from_slice(&hash_ids);
        self.ids.extend_from_slice(&output_hash_ids);
        self.lines.push(Line { start, length, ids, counts, record: mem::take(&mut self.record) });
        (self.record.hash_ids, self.record.output_hash_ids) = (hash_ids, output_hash_ids);
    }

    /// Gives the record of the line at `start` and the length of the line.
    #[inline]
    pub(super) fn take(&mut self, start: usize, record: &mut Record) -> Option<usize> {
        while self.lines.get(self.next)?.start < start {
            self.next += 1;
        }
        let line = self.lines.get_mut(self.next).filter(|line| line.start == start)?;
        self.next += 1;
        let (mut hash_ids, mut output_hash_ids) = take_ids(record);
        mem::swap(record, &mut line.record);
        let ids = &self.ids[line.ids..][..line.counts.0 + line.counts.1];
        hash_ids.clear();
        hash_ids.extend_from_slice(&ids[..line.counts.0]);
        output_hash_ids.clear();
        output_hash_ids.extend_from_slice(&ids[line.counts.0..]);
        (record.hash_ids, record.output_hash_ids) = (hash_ids, output_hash_ids);
        Some(line.length)
    }

    /// The one that a reader asked for.
    #[inline]
    pub(super) fn of(preview: &mut dyn Preview) -> Option<&mut Self> {
        let preview: &mut dyn Any = preview;
        preview.downcast_mut()
    }
}

fn take_ids(record: &mut Record) -> (Vec<u64>, Vec<u64>) {
    (mem::take(&mut record.hash_ids), mem::take(&mut record.output_hash_ids))
}
