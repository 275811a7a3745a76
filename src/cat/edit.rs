//! Values of a line replaced, every other byte as it was.

use std::ops::Range;

/// The changes of one line, whose memory is used again for the next.
#[derive(Default)]
pub(super) struct LineEdits {
    /// What is replaced, and where the new text stands in `text`.
    edits: Vec<(Range<usize>, Range<usize>)>,
    text: Vec<u8>,
}

impl LineEdits {
    /// Replaces what stands at `place` by what `write` appends; nothing stands at an empty place. Places do
    /// not overlap.
    pub(super) fn replace(&mut self, place: &Range<usize>, write: impl FnOnce(&mut Vec<u8>)) {
        if !place.is_empty() {
            let start = self.text.len();
            write(&mut self.text);
            self.edits.push((place.clone(), start..self.text.len()));
        }
    }

    /// Appends `line` with its changes and a newline, and forgets them.
    pub(super) fn apply(&mut self, line: &[u8], out: &mut Vec<u8>) {
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
pub(super) fn separator(list: &[u8]) -> &'static [u8] {
    let compact = !list.windows(2).any(|pair| pair == b", ");
    if compact { b"," } else { b", " }
}
