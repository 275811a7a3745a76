//! Traces joined into one: which ids mean the same block, and the lines with their new ids.

mod check;

pub use check::Checker;

use std::path::{Path, PathBuf};

use crate::blocks::{BlockNumber, Numbering};
use crate::error::Result;
use crate::io::{Input, InputOptions};
use crate::record::{self, Record};

/// Whether equal ids in different files are the same block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdsScope {
    /// Apart if a later file numbers its blocks from zero, else shared.
    #[default]
    Auto,
    /// Every file has ids of its own.
    File,
    /// Equal ids are equal blocks.
    Shared,
}

impl IdsScope {
    /// Names of the scopes on the command line.
    pub const NAMES: &'static [&'static str] = &["auto", "file", "shared"];

    /// The scope of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "file" => Some(Self::File),
            "shared" => Some(Self::Shared),
            _ => None,
        }
    }
}

/// Writes lines whose ids are distinct over all files, as far as asked.
pub struct Joiner {
    scope: IdsScope,
    renumber: bool,
    file: usize,
    numbering: Numbering,
    /// Blocks of the numberings that are closed.
    offset: u64,
    kept_apart: usize,
    numbers: Vec<BlockNumber>,
}

impl Joiner {
    /// `renumber` makes the ids dense even where they could stay as they are.
    pub fn new(scope: IdsScope, renumber: bool) -> Self {
        Self {
            scope,
            renumber,
            file: 0,
            numbering: Numbering::default(),
            offset: 0,
            kept_apart: 0,
            numbers: Vec::new(),
        }
    }

    /// Looks at the first record of each file after the first, where it can be read twice, to know
    /// before the first line is written whether ids must be changed.
    ///
    /// # Errors
    /// When a file cannot be opened or read.
    pub fn look_ahead(&mut self, files: &[PathBuf], options: &InputOptions) -> Result<()> {
        for file in files.iter().skip(1) {
            self.renumber |= match self.scope {
                IdsScope::Shared => false,
                IdsScope::File => true,
                IdsScope::Auto => starts_from_zero(file, options)?,
            };
        }
        Ok(())
    }

    /// How many files after the first had ids of their own.
    pub fn kept_apart(&self) -> usize {
        self.kept_apart
    }

    /// Whether ids are being changed.
    pub fn renumbers(&self) -> bool {
        self.renumber
    }

    /// Appends `line`, which holds `record` of operand `file`, with its ids replaced as needed and
    /// every other byte as it was.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered.
    pub fn write(
        &mut self,
        file: usize,
        line: &[u8],
        record: &Record,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let ids = record.ids().filter(|_| self.renumber);
        if let Some(ids) = ids {
            if file != self.file {
                self.start_file(file, ids);
            }
            self.numbering.number(ids, &mut self.numbers)?;
            if self.offset > 0 || !self.numbers.iter().map(|&n| u64::from(n)).eq(ids.iter().copied()) {
                self.write_renumbered(line, record, out);
                return Ok(());
            }
        }
        out.extend_from_slice(line);
        out.push(b'\n');
        Ok(())
    }

    /// Decides by the first record with ids whether `file` has a numbering of its own.
    fn start_file(&mut self, file: usize, ids: &[u64]) {
        self.file = file;
        let apart = match self.scope {
            IdsScope::Shared => false,
            IdsScope::File => true,
            IdsScope::Auto => is_from_zero(ids),
        };
        if apart {
            self.kept_apart += 1;
            self.offset += u64::from(self.numbering.len());
            self.numbering = Numbering::default();
        }
    }

    /// The line with new ids, separated as the old ones were.
    fn write_renumbered(&self, line: &[u8], record: &Record, out: &mut Vec<u8>) {
        let span = record.ids_span.clone();
        let compact = !line[span.clone()].windows(2).any(|pair| pair == b", ");
        let separator: &[u8] = if compact { b"," } else { b", " };
        let mut format = itoa::Buffer::new();
        out.extend_from_slice(&line[..span.start]);
        out.push(b'[');
        for (i, &number) in self.numbers.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(separator);
            }
            out.extend_from_slice(format.format(self.offset + u64::from(number)).as_bytes());
        }
        out.push(b']');
        out.extend_from_slice(&line[span.end..]);
        out.push(b'\n');
    }
}

/// Whether the first record of `file` numbers its blocks from zero. A pipe cannot be looked into
/// and counts as if it did: renumbering is right in any case.
fn starts_from_zero(file: &Path, options: &InputOptions) -> Result<bool> {
    let regular = file.as_os_str() != "-" && std::fs::metadata(file).is_ok_and(|m| m.is_file());
    if !regular {
        return Ok(true);
    }
    let mut input = Input::new(&[file.to_owned()], InputOptions { skip_invalid: true, ..options.clone() })?;
    let mut record = Record::default();
    while input.advance(|_| Ok(()))? {
        if record::parse(input.line(), &mut record).is_ok()
            && let Some(ids) = record.ids().filter(|ids| !ids.is_empty())
        {
            return Ok(is_from_zero(ids));
        }
    }
    Ok(false)
}

fn is_from_zero(ids: &[u64]) -> bool {
    !ids.is_empty() && ids.iter().copied().eq(0..ids.len() as u64)
}
