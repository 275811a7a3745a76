//! Lines to valid records, with the block size they agree on.

use crate::error::{Invalid, InvalidKind, Result};
use crate::io::{Input, Status};
use crate::record::scan::{scan, scan_line};
use crate::record::{DEFAULT_BLOCK_SIZE, Record, general};

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

    /// Tokens per block.
    pub fn get(self) -> u64 {
        self.settled.or(self.given).unwrap_or(DEFAULT_BLOCK_SIZE)
    }

    /// The size that holds for a record that states `stated`, if the two agree.
    fn agree(self, stated: Option<u64>) -> Result<u64, String> {
        let Some(stated) = stated else { return Ok(self.get()) };
        match (self.given, self.settled) {
            (Some(given), _) if given != stated => {
                Err(format!("block_size {stated} contradicts --block-size {given}"))
            }
            (_, Some(settled)) if settled != stated => {
                Err(format!("block_size {stated} differs from {settled}, that of the records before"))
            }
            _ => Ok(stated),
        }
    }
}

/// The records of an input, one at a time.
pub struct TraceReader {
    lines: Parser,
    record: Record,
}

/// Lines of an input, parsed into a given record.
struct Parser {
    input: Input,
    block_size: BlockSize,
    valid: u64,
    /// Whether the last line was a usual one: then the next is read without looking for its end first.
    usual: bool,
}

impl Parser {
    /// Goes on to the next valid record; false after the last.
    #[inline]
    fn advance(&mut self, record: &mut Record, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        loop {
            let mut parsed = Ok(());
            if !(self.usual && self.input.advance_by(|text| scan_line(text, record))) {
                if !self.input.advance(&mut idle)? {
                    return Ok(false);
                }
                self.usual = scan(self.input.line(), record);
                if !self.usual {
                    parsed = general::parse(self.input.line(), record);
                }
            }
            record.line = self.input.lines_read();
            match parsed.and_then(|()| check(record, &mut self.block_size)) {
                Ok(()) => {
                    self.valid += 1;
                    return Ok(true);
                }
                Err(invalid) => self.input.reject(invalid.message)?,
            }
        }
    }
}

impl TraceReader {
    /// Reads records from `input`.
    pub fn new(input: Input, block_size: BlockSize) -> Self {
        Self { lines: Parser { input, block_size, valid: 0, usual: false }, record: Record::default() }
    }

    /// Goes on to the next valid record; false after the last.
    ///
    /// # Errors
    /// A bad record (unless those are skipped), and those of [`Input::advance`].
    pub fn advance(&mut self, idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        self.lines.advance(&mut self.record, idle)
    }

    /// The record that [`TraceReader::advance`] has reached.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The line of the current record.
    pub fn line(&self) -> &[u8] {
        self.lines.input.line()
    }

    /// The lines beneath the records.
    pub fn input(&self) -> &Input {
        &self.lines.input
    }

    /// The block size: final once a record has been read.
    pub fn block_size(&self) -> u64 {
        self.lines.block_size.get()
    }

    /// Number of valid records so far.
    pub fn valid(&self) -> u64 {
        self.lines.valid
    }

    /// What to say at the end about skipped records.
    ///
    /// # Errors
    /// When records were skipped and none was good.
    pub fn skipped(&self) -> Result<Option<String>> {
        self.lines.input.skipped(self.lines.valid)
    }
}

/// Checks that a record has as many ids as its length demands.
pub(super) fn check(record: &Record, block_size: &mut BlockSize) -> Result<(), Invalid> {
    let agreed = block_size.agree(record.block_size);
    let size = agreed.map_err(|m| Invalid::new(InvalidKind::BlockSizeMismatch, m))?;
    let expected = record.input_length.div_ceil(size);
    let Some(ids) = record.ids().filter(|ids| ids.len() as u64 != expected) else {
        block_size.settled = Some(size);
        return Ok(());
    };
    let (found, length) = (ids.len(), record.input_length);
    let message = format!(
        "{found} hash_ids for input_length {length}, expected {expected} of block size {size} (see --block-size)"
    );
    Err(Invalid::new(InvalidKind::LengthMismatch, message))
}
