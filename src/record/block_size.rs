//! The block size that the records of a trace agree on.

use crate::error::{Invalid, InvalidKind};
use crate::record::trace_record::{DEFAULT_BLOCK_SIZE, Record};

/// The block size of a trace: given by the user, stated by the records, or the default.
///
/// It is settled by the first record and must not change afterwards.
#[derive(Clone, Copy, Debug)]
pub struct BlockSize {
    given: Option<u64>,
    settled: Option<u64>,
}

impl BlockSize {
    /// `given` is what the user said, if anything.
    pub fn new(given: Option<u64>) -> Self {
        Self { given, settled: None }
    }

    /// What the user said.
    pub(crate) fn given(self) -> Option<u64> {
        self.given
    }

    /// Tokens per block.
    pub fn get(self) -> u64 {
        self.settled.or(self.given).unwrap_or(DEFAULT_BLOCK_SIZE)
    }

    /// The size that holds for a record that states `stated`, if the two agree.
    fn agree(self, stated: Option<u64>) -> Result<u64, Invalid> {
        let Some(stated) = stated else { return Ok(self.get()) };
        let message = match (self.given, self.settled) {
            (Some(given), _) if given != stated => {
                format!("block_size {stated} contradicts `block_size` {given}")
            }
            (_, Some(settled)) if settled != stated => {
                format!("block_size {stated} differs from {settled}, by which the records before were read")
            }
            _ => return Ok(stated),
        };
        Err(Invalid::new(InvalidKind::BlockSizeMismatch, message))
    }

    /// Checks that a record has as many ids as its length demands: one per block, or one per full block.
    #[inline]
    pub(crate) fn check(&mut self, record: &Record) -> Result<(), Invalid> {
        let size = self.agree(record.block_size)?;
        let expected = record.input_length.div_ceil(size);
        // Full blocks alone are one less, where the last one is partial.
        let is_full = |found: u64| found + 1 == expected && record.input_length < expected * size;
        let fits = |found: u64| found == expected || is_full(found);
        let Some(ids) = record.ids().filter(|ids| !fits(ids.len() as u64)) else {
            check_output_ids(record, size)?;
            self.settled = Some(size);
            return Ok(());
        };
        let (found, length) = (ids.len(), record.input_length);
        let hint = if self.given.is_some() { seeming(found as u64, length) } else { String::new() };
        let message = format!(
            "{found} hash_ids for input_length {length}, expected {expected} of block size {size} (see `block_size`){hint}"
        );
        Err(Invalid::new(InvalidKind::LengthMismatch, message))
    }
}

/// What to say of the size that blocks seem to have, if so many make up a prompt.
#[cold]
fn seeming(found: u64, length: u64) -> String {
    let least = length.div_ceil(found.max(1));
    // One block more would be needed with smaller ones.
    let most = length.saturating_sub(1).checked_div(found.saturating_sub(1)).unwrap_or(0);
    if found < 2 || least > most {
        return String::new();
    }
    let size = if (least..=most).contains(&DEFAULT_BLOCK_SIZE) {
        DEFAULT_BLOCK_SIZE.to_string()
    } else {
        format!("{least} to {most}")
    };
    format!(
        ": its blocks seem to have {size} tokens; `reblock` of trace-cat and `block_sizes` of trace-stats make larger ones"
    )
}

/// Checks that a record has as many ids of its answer as its lengths demand.
#[inline]
fn check_output_ids(record: &Record, size: u64) -> Result<(), Invalid> {
    let Some(ids) = record.output_ids() else { return Ok(()) };
    let Some(output) = record.output_length else {
        let message = "missing field \"output_length\", which \"output_hash_ids\" needs";
        return Err(Invalid::new(InvalidKind::MissingField, message));
    };
    let (found, expected) = (ids.len(), record.output_blocks(size));
    if found as u64 == expected {
        return Ok(());
    }
    let message = format!(
        "{found} output_hash_ids for input_length {} and output_length {output}, expected {expected} of block size {size}",
        record.input_length
    );
    Err(Invalid::new(InvalidKind::LengthMismatch, message))
}
