//! Pieces that are merged twice, as far as their requests tell it.

use std::collections::HashMap;

use crate::blocks::NumberRun;
use crate::stats::piece_row::PieceRow;

/// A hash of what a piece consists of: the lengths and times of its requests in their order, and the blocks that it
/// introduced, by their numbers in the whole trace.
#[derive(Clone, Copy, Default)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    /// Takes the next request.
    pub(super) fn add(&mut self, row: &PieceRow) {
        self.mix(row.input_length);
        // Absent and zero differ.
        self.mix(row.output_length.map_or(0, |length| length + 1));
        self.mix(row.timestamp.map_or(1, f64::to_bits));
        self.mix(row.n.map_or(0, |blocks| u64::from(blocks) + 1));
    }

    fn end(mut self, numbers: &[NumberRun]) -> u64 {
        for run in numbers {
            self.mix(u64::from(run.start) << 32 | u64::from(run.len));
        }
        self.0
    }
}

/// The pieces so far. Memory: some 16 bytes for each.
#[derive(Default)]
pub(super) struct Copies {
    pieces: HashMap<u64, u32>,
    /// How many pieces are as one before them, and the first of these with the one before.
    count: u32,
    first: Option<(u32, u32)>,
}

impl Copies {
    /// Takes the piece with this number, from 1.
    pub(super) fn add(&mut self, piece: u32, fingerprint: Fingerprint, numbers: &[NumberRun]) {
        let before = *self.pieces.entry(fingerprint.end(numbers)).or_insert(piece);
        if before != piece {
            self.count += 1;
            self.first.get_or_insert((piece, before));
        }
    }

    /// What the user should know in the end.
    pub(super) fn note(&self) -> Option<String> {
        let (piece, before) = self.first?;
        let more = if self.count > 1 {
            format!(", and {} more are as others", self.count - 1)
        } else {
            String::new()
        };
        Some(format!(
            "piece {piece} in the order of merging has the same requests with the same blocks as piece {before}{more}: \
             if it is a copy, its requests are counted twice (`piece` I/N numbers pieces, and none is taken twice)"
        ))
    }
}
