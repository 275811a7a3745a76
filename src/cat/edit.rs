//! Values of a line replaced, every other byte as it was.

use std::ops::Range;

/// Appends `line` with the text at each place replaced. Places do not overlap; empty ones are none.
pub(super) fn splice(line: &[u8], edits: &mut [(Range<usize>, &[u8])], out: &mut Vec<u8>) {
    edits.sort_unstable_by_key(|(place, _)| place.start);
    let mut at = 0;
    for (place, text) in edits.iter().filter(|(place, _)| !place.is_empty()) {
        out.extend_from_slice(&line[at..place.start]);
        out.extend_from_slice(text);
        at = place.end;
    }
    out.extend_from_slice(&line[at..]);
    out.push(b'\n');
}

/// How the ids of a list are separated.
pub(super) fn separator(list: &[u8]) -> &'static [u8] {
    let compact = !list.windows(2).any(|pair| pair == b", ");
    if compact { b"," } else { b", " }
}
