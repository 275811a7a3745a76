//! Records out of files of any format.

use std::ops::Range;

use super::{Decode, FileFacts, Format, Rows, is_from_zero};
use crate::error::{Invalid, Result};
use crate::io::{Input, Status};
use crate::record::reader::check;
use crate::record::scan::{scan, scan_line};
use crate::record::{BlockSize, Record, general};

/// The records of an input whose files may be in different formats.
///
/// Lines of the Mooncake format are read where they lie; those of other formats become Mooncake
/// lines first.
pub struct FormatReader {
    input: Input,
    choice: Option<Format>,
    given_block_size: Option<u64>,
    /// Index of the first file of `input` among all operands.
    first_file: usize,
    /// The operand that the decoder is for.
    file: Option<usize>,
    format: Format,
    decoder: Option<Box<dyn Decode>>,
    rows: Rows,
    /// Where the current record stands in `rows`, if it does, and whether it numbers from zero.
    row: Option<(Range<usize>, bool)>,
    record: Record,
    block_size: BlockSize,
    valid: u64,
    /// Whether the last line was a usual one: then the next is read without looking for its end first.
    usual: bool,
}

impl FormatReader {
    /// Reads records from `input`. Without a `format` each file's first line decides.
    pub fn new(input: Input, format: Option<Format>, block_size: Option<u64>) -> Self {
        Self {
            input,
            choice: format,
            given_block_size: block_size,
            first_file: 0,
            file: None,
            format: Format::Mooncake,
            decoder: None,
            rows: Rows::default(),
            row: None,
            record: Record::default(),
            block_size: BlockSize::new(block_size),
            valid: 0,
            usual: false,
        }
    }

    /// The same for an input whose first file is operand `index`.
    #[must_use]
    pub fn starting_at(mut self, index: usize) -> Self {
        self.first_file = index;
        self
    }

    /// Goes on to the next valid record; false after the last.
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
        if self.usual && self.input.advance_by(|text| scan_line(text, record)) {
            return Ok(Some(self.check()));
        }
        loop {
            if self.decoder.is_some() && self.next_row() {
                return Ok(Some(self.read()));
            }
            if !self.input.advance(&mut idle)? {
                return Ok(None);
            }
            if self.file != Some(self.input.file_index()) {
                self.start_file();
            }
            let Some(decoder) = &mut self.decoder else { return Ok(Some(self.read())) };
            self.rows.clear();
            if let Err(invalid) = decoder.line(self.input.line(), &mut self.rows) {
                self.rows.clear();
                return Ok(Some(Err(invalid)));
            }
        }
    }

    fn next_row(&mut self) -> bool {
        self.row = self.rows.take();
        self.row.is_some()
    }

    /// Chooses the decoder by the first line of a file.
    #[cold]
    fn start_file(&mut self) {
        let index = self.input.file_index();
        self.file = Some(index);
        let index = self.first_file + index;
        self.format = self.choice.unwrap_or_else(|| Format::detect(self.input.line()));
        let (name, _) = self.input.place();
        let facts = FileFacts { name: name.to_owned(), index, block_size: self.given_block_size };
        self.decoder = self.format.decoder(&facts);
        self.rows.clear();
        self.row = None;
    }

    #[inline]
    fn read(&mut self) -> Result<(), Invalid> {
        let line = match &self.row {
            None => self.input.line(),
            Some((range, _)) => &self.rows.text[range.clone()],
        };
        self.usual = scan(line, &mut self.record);
        if !self.usual {
            general::parse(line, &mut self.record)?;
        }
        // Lines of other formats are not read where they lie.
        self.usual &= self.decoder.is_none();
        self.check()
    }

    #[inline]
    fn check(&mut self) -> Result<(), Invalid> {
        let checked = check(&self.record, &mut self.block_size);
        self.valid += u64::from(checked.is_ok());
        checked
    }

    /// The current record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The line of the current record, in the Mooncake format.
    #[inline]
    pub fn line(&self) -> &[u8] {
        match &self.row {
            None => self.input.line(),
            Some((range, _)) => &self.rows.text[range.clone()],
        }
    }

    /// Which operand the record is from, from 0.
    #[inline]
    pub fn file_index(&self) -> usize {
        self.first_file + self.input.file_index()
    }

    /// Whether the file numbers the blocks of the current record 0, 1, 2, ...
    pub fn is_from_zero(&self) -> bool {
        match &self.row {
            None => self.record.ids().is_some_and(is_from_zero),
            Some((_, from_zero)) => *from_zero,
        }
    }

    /// Whether the times of the current file are those of a clock, not of the trace.
    #[inline]
    pub fn is_absolute(&self) -> bool {
        self.format.is_absolute()
    }

    /// Whether the ids of the current file are hashes that stand for strings or for ids with a local
    /// scope, and are to be renumbered.
    #[inline]
    pub fn mints(&self) -> bool {
        self.format.mints()
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
