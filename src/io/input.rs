//! The input files of a filter as one sequence of lines, each with its file and line number.

use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Result};
use crate::io::ahead::{NewPreview, Preview};
use crate::io::lines::{Framed, Lines};
use crate::io::source::Source;

/// How lines are read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InputOptions {
    /// Longest line, or record of a document, in bytes; a longer one is a bad record.
    pub max_line: usize,
    /// Skip and count bad records instead of ending at the first.
    pub skip_invalid: bool,
    /// Whether a JSON document that is a list, or goes over several lines, is cut into its records.
    pub documents: bool,
}

impl Default for InputOptions {
    /// The default of the filters: bad records are errors, and lines may have up to 64 MiB.
    fn default() -> Self {
        Self { max_line: 64 << 20, skip_invalid: false, documents: true }
    }
}

/// How far the input has been read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Bytes read from the system, before decompression.
    pub bytes: u64,
    /// Lines read, over all files.
    pub lines: u64,
}

/// Lines of several files in order.
pub struct Input {
    files: Vec<PathBuf>,
    /// Index of the file after the one that is open.
    next_file: usize,
    source: Option<Source>,
    /// Name of the current file as the user wrote it.
    name: String,
    lines: Lines,
    line: Range<usize>,
    options: InputOptions,
    consumed: Arc<AtomicU64>,
    line_in_file: u64,
    total_lines: u64,
    skipped: u64,
    /// The first record that was skipped: its line number over all files, and what is wrong with it.
    first_skipped: Option<(u64, Error)>,
}

/// How many input files may be open at the same time. The process may open as many files as the system lets
/// it, a few of which it needs for other things.
pub(crate) fn files_at_once() -> usize {
    const OTHERS: u64 = 32;
    // A process may raise its own limit up to a hard one.
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(allowed.saturating_sub(OTHERS)).unwrap_or(usize::MAX).max(1)
}

/// Whether standard output writes to this file: it would then grow as fast as it is read.
fn is_output(file: &Metadata) -> bool {
    let output = std::fs::metadata("/dev/stdout").ok().filter(Metadata::is_file);
    file.is_file() && output.is_some_and(|out| (out.dev(), out.ino()) == (file.dev(), file.ino()))
}

impl Input {
    /// Lines of `files` in order; no file means standard input, and so does `-`.
    ///
    /// # Errors
    /// When a file does not exist. This is known before the first byte is read, not hours later.
    pub fn new(files: impl IntoIterator<Item: AsRef<Path>>, options: InputOptions) -> Result<Self> {
        let mut files: Vec<PathBuf> = files.into_iter().map(|file| file.as_ref().to_owned()).collect();
        if files.is_empty() {
            files.push(PathBuf::from("-"));
        }
        for file in files.iter().filter(|f| f.as_os_str() != "-") {
            let known = std::fs::metadata(file).map_err(|e| Error::io(file.display().to_string(), e))?;
            if is_output(&known) {
                let name = file.display();
                return Err(Error::Failed(format!("{name}: input file is output file")));
            }
        }
        Ok(Self {
            files,
            next_file: 0,
            source: None,
            name: String::new(),
            lines: Lines::new(options.max_line, options.documents),
            line: 0..0,
            options,
            consumed: Arc::default(),
            line_in_file: 0,
            total_lines: 0,
            skipped: 0,
            first_skipped: None,
        })
    }

    /// Reads lines from `bytes`, compressed or not, as if from a file called `-`.
    ///
    /// # Errors
    /// When compressed bytes cannot be read at all.
    pub fn in_memory(bytes: Vec<u8>, options: InputOptions) -> Result<Self> {
        let mut input = Self::new(["-"], options)?;
        let source = Source::in_memory(bytes)?;
        input.name.clone_from(&source.name);
        input.source = Some(source);
        input.next_file = 1;
        Ok(input)
    }

    /// Total size of the files as stored, in bytes, if all are regular files.
    pub fn total_size(&self) -> Option<u64> {
        let sizes = self.files.iter().map(|file| {
            let regular = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file);
            regular.map(|m| m.len())
        });
        sizes.sum()
    }

    /// Goes on to the next line that is not blank; false after the last.
    ///
    /// `idle` runs before every read from the system, which may wait: the place to flush output
    /// and to show progress.
    ///
    /// # Errors
    /// Read errors, a line over the limit (unless skipped), a signal, and whatever `idle` returns.
    pub fn advance(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        while !self.advance_in_file(&mut idle)? {
            if !self.open_next()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same within the file that is open; false after its last line, whose place stays the current one until
    /// [`Input::open_next`].
    ///
    /// # Errors
    /// Those of [`Input::advance`].
    pub(crate) fn advance_in_file(&mut self, mut idle: impl FnMut(Status) -> Result<()>) -> Result<bool> {
        loop {
            let Some(source) = &mut self.source else { return Ok(false) };
            match self.lines.next_range() {
                Framed::Line(range) => {
                    self.line_in_file += 1;
                    self.total_lines += 1;
                    self.line = range;
                    if !self.line().iter().all(u8::is_ascii_whitespace) {
                        return Ok(true);
                    }
                }
                Framed::Record(range, line) => {
                    self.line_in_file = line;
                    self.total_lines += 1;
                    self.line = range;
                    return Ok(true);
                }
                Framed::CutOff(line) => {
                    self.line_in_file = line;
                    self.total_lines += 1;
                    self.reject("the list of records has no end: the file is cut off")?;
                }
                Framed::TooLong => {
                    self.line_in_file += 1;
                    self.total_lines += 1;
                    self.reject(self.too_long())?;
                }
                // The line may never end, so the rest of it is only read if it is to be skipped.
                Framed::Empty if self.lines.is_too_long() && !self.options.skip_invalid => {
                    self.line_in_file += 1;
                    self.total_lines += 1;
                    self.reject(self.too_long())?;
                }
                Framed::Empty => {
                    idle(Status { bytes: self.consumed.load(Ordering::Relaxed), lines: self.total_lines })?;
                    self.lines.fill(source)?;
                }
                Framed::End => {
                    self.source = None;
                    self.line = 0..0;
                }
            }
        }
    }

    /// Goes on to the next line if `scan` finds its end. `scan` gets the bytes that have been read from
    /// there on, perhaps none, and returns the length of the line without its newline. If it returns `None`,
    /// nothing changes and [`Input::advance`] must be called.
    ///
    /// This saves a parser that looks at every byte anyway the search for the newline.
    #[inline]
    pub fn advance_by(&mut self, scan: impl FnOnce(&[u8]) -> Option<usize>) -> bool {
        let Some(line) = scan(self.lines.unread()).and_then(|len| self.lines.accept(len)) else {
            return false;
        };
        self.line_in_file += 1;
        self.total_lines += 1;
        self.line = line;
        true
    }

    /// The same over a line of `len` bytes of which nothing else is known: a carriage return at its end does not count.
    pub(crate) fn advance_over(&mut self, len: usize) -> bool {
        let is_over = self.advance_by(|_| Some(len));
        if is_over && self.line().ends_with(b"\r") {
            self.line.end -= 1;
        }
        is_over
    }

    /// From the next read on, so many more threads read the file that is open and look at what they read, unless
    /// it may be over soon.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn read_ahead(&mut self, threads: usize, new: impl FnOnce() -> NewPreview) -> Result<()> {
        let source = self.source.as_mut().filter(|_| self.lines.is_long());
        source.map_or(Ok(()), |source| source.read_ahead(threads, new))
    }

    /// What has been found out about the bytes that [`Input::advance_by`] would give, and where they begin
    /// within what was looked at.
    #[inline]
    pub(crate) fn preview(&mut self) -> Option<(&mut dyn Preview, usize)> {
        self.lines.preview()
    }

    fn too_long(&self) -> String {
        format!("line longer than {} bytes (see `max_line`)", self.options.max_line)
    }

    /// The line that [`Input::advance`] has reached: its bytes without terminator, byte-order mark
    /// and carriage return.
    pub fn line(&self) -> &[u8] {
        &self.lines.buffer()[self.line.clone()]
    }

    /// Lines read so far, over all files.
    pub fn lines_read(&self) -> u64 {
        self.total_lines
    }

    /// Index of the file that the line is from.
    pub fn file_index(&self) -> usize {
        self.next_file.saturating_sub(1)
    }

    /// Goes on to the next file; false after the last.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open_next(&mut self) -> Result<bool> {
        let Some(path) = self.files.get(self.next_file) else { return Ok(false) };
        let source = Source::open(path, &self.consumed)?;
        self.name.clone_from(&source.name);
        self.source = Some(source);
        self.lines.restart();
        self.next_file += 1;
        self.line_in_file = 0;
        Ok(true)
    }

    /// Where the current line is: file name and line number from 1.
    pub fn place(&self) -> (&str, u64) {
        (&self.name, self.line_in_file)
    }

    /// An error with `message` and the place of the current line.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::Data { file: self.name.clone(), line: self.line_in_file, message: message.into() }
    }

    /// Treats the current line as a bad record: an error, or skipped and counted if the options say so.
    ///
    /// # Errors
    /// [`Error::Data`] unless bad records are skipped.
    pub fn reject(&mut self, message: impl Into<String>) -> Result<()> {
        let error = self.error(message);
        if !self.options.skip_invalid {
            return Err(error);
        }
        self.count_skipped(1, Some((self.total_lines, error)));
        Ok(())
    }

    /// Counts bad records that were found elsewhere, in lines read before. `first` is the first of
    /// them and its line over all files.
    pub fn count_skipped(&mut self, records: u64, first: Option<(u64, Error)>) {
        self.skipped += records;
        let earliest = self.first_skipped.take().into_iter().chain(first).min_by_key(|(line, _)| *line);
        self.first_skipped = earliest;
    }

    /// Whether bad records are skipped.
    pub fn skips_invalid(&self) -> bool {
        self.options.skip_invalid
    }

    /// How many records have been skipped, and the first of them.
    pub(crate) fn skipped_so_far(&self) -> (u64, Option<&Error>) {
        (self.skipped, self.first_skipped.as_ref().map(|(_, error)| error))
    }

    /// A message about skipped records for the end of the run, given how many were valid.
    ///
    /// # Errors
    /// When records were skipped and none was valid.
    pub fn skipped(&self, valid: u64) -> Result<Option<String>> {
        let Some((_, first)) = &self.first_skipped else { return Ok(None) };
        let n = self.skipped;
        if valid == 0 {
            return Err(Error::Failed(format!("no valid record among {n} (first: {first})")));
        }
        let records = if n == 1 { "record" } else { "records" };
        Ok(Some(format!("skipped {n} invalid {records} (first: {first})")))
    }
}
