//! The beginning of a piece of a trace, written and read.

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::record::MAX_BLOCK_SIZE;

/// Version of the format.
const VERSION: u32 = 4;

/// Place of a piece in its trace: number from 1, and number of pieces.
pub type Piece = (u32, u32);

/// Which pieces of a numbered trace are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "three numbers")]
pub struct PieceRange {
    /// Number of the first, from 1.
    pub first: u32,
    /// Number of the last.
    pub last: u32,
    /// Number of all.
    pub of: u32,
}

/// First line of a piece.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    kvtrace_partial: u32,
    /// Tokens per block; a piece without requests may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) block_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) piece: Option<Piece>,
    /// The field by which it has groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    /// The label of the group, unless it is the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<String>,
}

impl Header {
    /// The line of a piece with that place in its trace, if it is known.
    pub(super) fn new(block_size: Option<u64>, piece: Option<Piece>) -> Self {
        Self { kvtrace_partial: VERSION, block_size, piece, by: None, group: None }
    }

    /// The same of a piece that has groups by a field.
    pub(super) fn with_groups(self, by: Option<&str>) -> Self {
        Self { by: by.map(str::to_owned), ..self }
    }

    /// The same of a piece at another place in its trace.
    pub(super) fn at(&self, piece: Option<Piece>) -> Self {
        Self { piece, ..self.clone() }
    }

    /// The line of the piece of a group.
    pub(super) fn of_group(&self, label: &str) -> Self {
        Self { group: Some(label.to_owned()), ..self.clone() }
    }

    /// Reads the line.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn read(line: &[u8]) -> Result<Self, Invalid> {
        let header: Self = serde_json::from_slice(line).map_err(|_| {
            Invalid::malformed("expected the first line of a piece, as trace-stats `partial` writes it")
        })?;
        if header.kvtrace_partial != VERSION {
            let found = header.kvtrace_partial;
            return Err(Invalid::conflict(format!(
                "version {found} of a piece, expected {VERSION}: write it again with `partial`"
            )));
        }
        if let Some(found) = header.block_size.filter(|size| !(1..=MAX_BLOCK_SIZE).contains(size)) {
            return Err(Invalid::value(format!("block_size: expected a number of tokens, found {found}")));
        }
        Ok(header)
    }
}
