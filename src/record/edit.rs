//! Values of a line replaced, every other byte as it was.

use std::ops::Range;

use crate::record::line::{BLOCK_SIZE, HASH_IDS, write_ids};
use crate::record::trace_record::Record;

/// The changes of one line, whose memory is used again for the next.
#[derive(Clone, Default)]
pub(crate) struct LineEdits {
    /// What is replaced, and where the new text stands in `text`.
    edits: Vec<(Range<usize>, Range<usize>)>,
    text: Vec<u8>,
}

impl LineEdits {
    /// Replaces what stands at `place` by what `write` appends; nothing stands at an empty place. Places do
    /// not overlap.
    pub(crate) fn replace(&mut self, place: &Range<usize>, write: impl FnOnce(&mut Vec<u8>)) {
        if !place.is_empty() {
            let start = self.text.len();
            write(&mut self.text);
            self.edits.push((place.clone(), start..self.text.len()));
        }
    }

    /// Gives the prompt of a line, which is `record`, another length and other ids, if it has any, and a block size
    /// where the line states none.
    pub(crate) fn prompt(
        &mut self,
        line: &[u8],
        record: &Record,
        length: u64,
        ids: Option<&[u64]>,
        block_size: Option<u64>,
    ) {
        // A list that is null counts as absent, but stands there.
        let gets_ids = !record.has_ids;
        if let Some(ids) = ids.filter(|ids| gets_ids || *ids != record.hash_ids) {
            self.ids(line, &record.ids_span, ids);
        }
        let added = ids.filter(|_| gets_ids && record.ids_span.is_empty());
        if length == record.input_length && added.is_none() && block_size.is_none() {
            return;
        }
        self.replace(&record.input_span, |text| {
            let mut number = itoa::Buffer::new();
            text.extend_from_slice(number.format(length).as_bytes());
            if let Some(size) = block_size {
                text.extend_from_slice(BLOCK_SIZE.separated().as_bytes());
                text.extend_from_slice(number.format(size).as_bytes());
            }
            if let Some(ids) = added {
                text.extend_from_slice(HASH_IDS.separated().as_bytes());
                write_ids(ids, b", ", text);
            }
        });
    }

    /// Replaces the list of ids at `place`.
    pub(crate) fn ids(&mut self, line: &[u8], place: &Range<usize>, ids: &[u64]) {
        let separator = separator(&line[place.clone()]);
        self.replace(place, |text| write_ids(ids, separator, text));
    }

    /// Appends `line` with its changes and a newline, and forgets them.
    pub(crate) fn apply(&mut self, line: &[u8], out: &mut Vec<u8>) {
        self.edits.sort_unstable_by_key(|(place, _)| place.start);
        let mut at = 0;
        for (place, text) in self.edits.drain(..) {
            out.extend_from_slice(&line[at..place.start]);
            out.extend_from_slice(&self.text[text]);
            at = place.end;
        }
        out.extend_from_slice(&line[at..]);
        out.push(b'\n');
        self.text.clear();
    }
}

/// How the ids of a list are separated.
fn separator(list: &[u8]) -> &'static [u8] {
    let compact = !list.windows(2).any(|pair| pair == b", ");
    if compact { b"," } else { b", " }
}
