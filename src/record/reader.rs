//! The one reader: records out of files of any format, with the block size they agree on.

use std::ops::Range;

use crate::error::{Invalid, InvalidKind, Result};
use crate::io::{Input, Status};
use crate::record::formats::{DecodeLine, DecodedLines, FileFacts, Format, FormatSpec, counts_from_zero};
use crate::record::general;
use crate::record::scan::{scan, scan_line};
use crate::record::sessions::Sessions;
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
                format!("block_size {stated} differs from {settled}, that of the records before")
            }
            _ => return Ok(stated),
        };
        Err(Invalid::new(InvalidKind::BlockSizeMismatch, message))
    }

    /// Checks that a record has as many ids as its lengths demand.
    #[inline]
    fn check(&mut self, record: &Record) -> Result<(), Invalid> {
        let size = self.agree(record.block_size)?;
        let expected = record.input_length.div_ceil(size);
        let Some(ids) = record.ids().filter(|ids| ids.len() as u64 != expected) else {
            check_output_ids(record, size)?;
            self.settled = Some(size);
            return Ok(());
        };
        let (found, length) = (ids.len(), record.input_length);
        let message = format!(
            "{found} hash_ids for input_length {length}, expected {expected} of block size {size} (see `block_size`)"
        );
        Err(Invalid::new(InvalidKind::LengthMismatch, message))
    }
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

/// The records of an input whose files may be in different formats.
///
/// Lines of the Mooncake format are read where they lie; those of other formats become Mooncake lines first.
/// [`TraceReader::advance`] reuses the memory of one record; where each record may have its own there is an
/// iterator, [`TraceReader::records`].
pub struct TraceReader {
    input: Input,
    choice: Option<Format>,
    /// Index of the first file of `input` among all operands.
    first_file: usize,
    /// The operand that the decoder is for.
    file: Option<usize>,
    format: &'static FormatSpec,
    decoder: Option<DecodeLine>,
    decoded: DecodedLines,
    /// Where the current record stands in `decoded`, if it does, and whether its file numbers from zero.
    place: Option<(Range<usize>, bool)>,
    record: Record,
    block_size: BlockSize,
    valid: u64,
    /// Whether the scanner has read the line before: then the next is read without looking for its end first.
    scanned: bool,
    /// What tells the sessions of records, if that is asked for.
    sessions: Option<Sessions>,
}

impl TraceReader {
    /// Reads records from `input`. Without a `format` each file's first line decides. `block_size` is what
    /// the user says, if anything.
    pub fn new(input: Input, format: Option<Format>, block_size: Option<u64>) -> Self {
        Self {
            input,
            choice: format,
            first_file: 0,
            file: None,
            format: Format::Mooncake.spec(),
            decoder: None,
            decoded: DecodedLines::default(),
            place: None,
            record: Record::default(),
            block_size: BlockSize::new(block_size),
            valid: 0,
            scanned: false,
            sessions: None,
        }
    }

    /// The same for an input whose first file is operand `index`.
    #[must_use]
    pub fn starting_at(mut self, index: usize) -> Self {
        self.first_file = index;
        self
    }

    /// The same, where records are to have the number of their session. Where sessions are known by chains of
    /// chats alone, these may take `max_bytes`.
    #[must_use]
    pub fn with_sessions(mut self, max_bytes: usize) -> Self {
        self.sessions = Some(Sessions::new(max_bytes));
        self
    }

    /// Goes on to the next valid record; false after the last. `idle` as for [`Input::advance`].
    ///
    /// # Errors
    /// A bad record (unless those are skipped), and those of [`Input::advance`].
    #[inline]
    pub fn advance(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        while let Some(record) = self.step(&mut idle)? {
            match record {
                Ok(()) => return Ok(true),
                Err(invalid) => self.input.reject(invalid.message)?,
            }
        }
        Ok(false)
    }

    /// Goes on to the next record, valid or not; `None` after the last.
    ///
    /// # Errors
    /// Those of [`Input::advance`].
    #[inline]
    pub fn step(
        &mut self,
        mut idle: impl FnMut(Status) -> Result<()>,
    ) -> Result<Option<Result<(), Invalid>>> {
        let record = &mut self.record;
        if self.scanned && self.input.advance_by(|text| scan_line(text, record)) {
            return Ok(Some(self.check()));
        }
        loop {
            if self.decoder.is_some() {
                self.place = self.decoded.take();
                if self.place.is_some() {
                    return Ok(Some(self.parse()));
                }
            }
            if !self.input.advance(&mut idle)? {
                return Ok(None);
            }
            if self.file != Some(self.input.file_index()) {
                self.start_file();
            }
            let Some(decoder) = &mut self.decoder else { return Ok(Some(self.parse())) };
            self.decoded.clear();
            if let Err(invalid) = decoder(self.input.line(), &mut self.decoded) {
                self.decoded.clear();
                return Ok(Some(Err(invalid)));
            }
        }
    }

    /// Chooses the decoder by the first line of a file.
    #[cold]
    fn start_file(&mut self) {
        let index = self.input.file_index();
        self.file = Some(index);
        let format = self.choice.unwrap_or_else(|| Format::detect(self.input.line()));
        self.format = format.spec();
        let (name, _) = self.input.place();
        let index = self.first_file + index;
        let facts = FileFacts { name: name.to_owned(), index, block_size: self.block_size.given };
        self.decoder = self.format.decoder(&facts);
        self.decoded.clear();
        self.place = None;
    }

    #[inline]
    fn parse(&mut self) -> Result<(), Invalid> {
        let line = match &self.place {
            None => self.input.line(),
            Some((place, _)) => self.decoded.line(place.clone()),
        };
        self.scanned = scan(line, &mut self.record);
        if !self.scanned {
            general::parse(line, &mut self.record)?;
        }
        // Lines of other formats are not read where they lie.
        self.scanned &= self.decoder.is_none();
        self.check()
    }

    #[inline]
    fn check(&mut self) -> Result<(), Invalid> {
        self.record.line = self.input.lines_read();
        let mut checked = self.block_size.check(&self.record);
        if checked.is_ok() && self.sessions.is_some() {
            checked = self.find_session();
        }
        self.valid += u64::from(checked.is_ok());
        checked
    }

    #[cold]
    fn find_session(&mut self) -> Result<(), Invalid> {
        let line = match &self.place {
            None => self.input.line(),
            Some((place, _)) => self.decoded.line(place.clone()),
        };
        if let Some(sessions) = &mut self.sessions {
            self.record.session = sessions.key(line)?;
        }
        Ok(())
    }

    /// The valid records that are left, each with memory of its own. A bad record is an error, after which
    /// the records behind it may be asked for.
    pub fn records(&mut self) -> impl Iterator<Item = Result<Record>> {
        std::iter::from_fn(|| match self.advance(|_| Ok(())) {
            Ok(true) => Some(Ok(self.record.clone())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// The record that [`TraceReader::advance`] has reached.
    #[inline]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The line of the current record, in the Mooncake format.
    #[inline]
    pub fn line(&self) -> &[u8] {
        match &self.place {
            None => self.input.line(),
            Some((place, _)) => self.decoded.line(place.clone()),
        }
    }

    /// Which operand the record is from, from 0.
    #[inline]
    pub fn file_index(&self) -> usize {
        self.first_file + self.input.file_index()
    }

    /// Whether the file numbers the blocks of the current record 0, 1, 2, ...
    pub fn counts_from_zero(&self) -> bool {
        match &self.place {
            None => self.record.ids().is_some_and(counts_from_zero),
            Some((_, from_zero)) => *from_zero,
        }
    }

    /// Whether the times of the current file are those of a clock, not of the trace.
    #[inline]
    pub fn has_clock_times(&self) -> bool {
        self.format.clock_times
    }

    /// Whether the ids of the current file are hashes that stand for strings or for ids with a local
    /// scope, and are to be renumbered.
    #[inline]
    pub fn has_surrogate_ids(&self) -> bool {
        self.format.surrogate_ids
    }

    /// The lines beneath the records.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The block size: final once a record has been read.
    pub fn block_size(&self) -> u64 {
        self.block_size.get()
    }

    /// Number of valid records so far.
    pub fn valid(&self) -> u64 {
        self.valid
    }

    /// What to say at the end about skipped records.
    ///
    /// # Errors
    /// When records were skipped and none was good.
    pub fn skipped(&self) -> Result<Option<String>> {
        self.input.skipped(self.valid)
    }
}
