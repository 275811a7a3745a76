//! Values of a line replaced, every other byte as it was.

use std::ops::Range;

use crate::record::line::{HASH_IDS, write_ids};
use crate::record::trace_record::Record;

/// The changes of one line, whose memory is used again for the next.
#[derive(Default)]
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

    /// Gives the prompt of a line, which is `record`, another length and other ids, if it has any.
    pub(crate) fn prompt(&mut self, line: &[u8], record: &Record, length: u64, ids: Option<&[u64]>) {
        if let Some(ids) = ids.filter(|ids| record.has_ids && *ids != record.hash_ids) {
            let separator = separator(&line[record.ids_span.clone()]);
            self.replace(&record.ids_span, |text| write_ids(ids, separator, text));
        }
        let added = ids.filter(|_| !record.has_ids);
        if length != record.input_length || added.is_some() {
            self.replace(&record.input_span, |text| {
                text.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                if let Some(ids) = added {
                    text.extend_from_slice(HASH_IDS.separated().as_bytes());
                    write_ids(ids, b", ", text);
                }
            });
        }
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
