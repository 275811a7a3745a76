//! What the decoders of all formats share.
//!
//! Ids that are no numbers, or that mean something else in every conversation, are replaced by 64-bit
//! hashes (surrogate ids), which later become dense numbers. Formats that hash only full blocks leave out
//! a last partial block; it gets an id of its own, which no other request has.

use std::ops::Range;

use crate::error::Invalid;
use crate::record::json::{RawObject, id_bits};
use crate::record::line::TraceLine;
use crate::record::raw::Json;
use crate::record::time::Unit;
use crate::record::trace_record::first_bits;

/// What a decoder may need to know of its file.
pub(in crate::record) struct FileFacts {
    /// Its name as the user wrote it.
    pub(in crate::record) name: String,
    /// Its index among the operands.
    pub(in crate::record) index: usize,
    /// Tokens per block, if the user says.
    pub(in crate::record) block_size: Option<u64>,
}

/// Decodes one file of a format: adds the requests that a line holds, none for a header or another kind of
/// event.
pub(in crate::record) type DecodeLine =
    Box<dyn FnMut(&[u8], &mut DecodedLines) -> Result<(), Invalid> + Send>;

/// The same for a format whose lines are JSON objects.
pub(super) type DecodeObject = Box<dyn FnMut(&RawObject, &mut DecodedLines) -> Result<(), Invalid> + Send>;

/// The requests of one line of a file, as Mooncake lines.
#[derive(Default)]
pub(in crate::record) struct DecodedLines {
    text: Vec<u8>,
    /// Where each line ends, and whether the file numbers its blocks from zero.
    ends: Vec<(usize, bool)>,
    next: usize,
}

impl DecodedLines {
    pub(in crate::record) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.next = 0;
    }

    /// Adds a request. `from_zero` tells whether the file numbers its blocks 0, 1, 2, ...
    pub(super) fn push(&mut self, request: &TraceLine, from_zero: bool) {
        request.write(Unit::Milliseconds, &mut self.text);
        // Lines are handed on as an input hands them on: without their newline.
        self.text.pop();
        self.ends.push((self.text.len(), from_zero));
    }

    /// Adds a request whose ids are those of the file.
    pub(super) fn push_numbered(&mut self, request: &TraceLine) {
        self.push(request, request.ids.as_deref().is_some_and(counts_from_zero));
    }

    /// The place of the next line, and whether it numbers its blocks from zero.
    pub(in crate::record) fn take(&mut self) -> Option<(Range<usize>, bool)> {
        let &(end, from_zero) = self.ends.get(self.next)?;
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before].0);
        self.next += 1;
        Some((start..end, from_zero))
    }

    /// The line at a place.
    pub(in crate::record) fn line(&self, place: Range<usize>) -> &[u8] {
        &self.text[place]
    }
}

/// The request of an object with the field names of the Mooncake format, and with the ids that `read` finds
/// in a field.
pub(super) fn mooncake_fields<'a, 'b>(
    object: &'a RawObject<'b>,
    unit: Unit,
    read: impl Fn(&RawObject<'b>, &str) -> Result<Vec<u64>, Invalid>,
) -> Result<TraceLine<'a>, Invalid> {
    let ids = |name: &str| object.get(name).map(|_| read(object, name).map(Into::into)).transpose();
    Ok(TraceLine {
        time: object.time("timestamp", unit)?,
        input_length: object.length("input_length")?,
        output_length: object.optional_length("output_length")?,
        block_size: object.block_size("block_size")?,
        ids: ids("hash_ids")?,
        output_ids: ids("output_hash_ids")?,
        rest: object.rest(&[]),
        ..TraceLine::default()
    })
}

/// Whether the blocks of a request are numbered 0, 1, 2, ...
pub(in crate::record) fn counts_from_zero(ids: &[u64]) -> bool {
    !ids.is_empty() && ids.iter().copied().eq(0..ids.len() as u64)
}

/// A list of ids that are numbers or strings.
pub(super) fn named_ids(object: &RawObject, name: &str) -> Result<Vec<u64>, Invalid> {
    object.list(name)?.into_iter().map(|id| id_of(name, id)).collect()
}

/// The id of a block that a number or a string names; a string that is a number is that number.
fn id_of(name: &str, value: Json<'_>) -> Result<u64, Invalid> {
    let raw = value.get();
    let wrong = || Invalid::value(format!("{name}: expected ids as numbers or strings, found {raw}"));
    if !raw.starts_with('"') {
        return id_bits(raw).ok_or_else(wrong);
    }
    let text: String = serde_json::from_str(raw).map_err(|_| wrong())?;
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    Ok(number.unwrap_or_else(|| surrogate_id(&[b"id", text.as_bytes()])))
}

/// A 64-bit id for what `parts` name together: equal for equal parts. Among 10^8 names two get the
/// same id with a chance of 3 in 10,000.
pub(super) fn surrogate_id(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    first_bits(hasher.finalize().as_bytes())
}

/// The surrogate id of an `id` that follows a `parent`, which is a surrogate id itself; faster.
pub(super) fn surrogate_child(parent: u64, id: u64) -> u64 {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&parent.to_le_bytes());
    name[8..].copy_from_slice(&id.to_le_bytes());
    first_bits(blake3::hash(&name).as_bytes())
}

/// Gives partial blocks that a format leaves out ids that occur nowhere else.
pub(super) struct PartialBlocks {
    file: u64,
    given: u64,
}

impl PartialBlocks {
    pub(super) fn new(file: &FileFacts) -> Self {
        Self { file: file.index as u64, given: 0 }
    }

    pub(super) fn fresh(&mut self) -> u64 {
        self.given += 1;
        surrogate_id(&[b"tail", &self.file.to_le_bytes(), &self.given.to_le_bytes()])
    }

    /// Completes the ids of the full blocks of a prompt.
    pub(super) fn complete(&mut self, ids: &mut Vec<u64>, input_length: u64, block_size: u64) {
        let full = input_length / block_size;
        if ids.len() as u64 == full && !input_length.is_multiple_of(block_size) {
            ids.push(self.fresh());
        }
    }
}
