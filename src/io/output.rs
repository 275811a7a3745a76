//! Where results go: standard output, or a file that appears complete or not at all; compressed on request.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::io::compress::{Compressing, Compression};
use crate::io::{signals, standard, temporary};

/// Bytes gathered before a write.
const BUFFER_SIZE: usize = 64 << 10;

enum Sink {
    /// Standard output, or a FILE that cannot be replaced (a device, a named pipe).
    Direct(File),
    /// A temporary file beside its destination.
    Atomic(NamedTempFile, PathBuf),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not every encoder goes on after a write that was interrupted, so none sees one.
        loop {
            let written = match self {
                Self::Direct(file) => file.write(bytes),
                Self::Atomic(file, _) => file.write(bytes),
            };
            match written {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[allow(clippy::large_enum_variant, reason = "a program has one of them")]
enum Encoder {
    Plain(Sink),
    Compressed(Compressing<Sink>),
}

impl Encoder {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.write_all(bytes),
            Self::Compressed(encoder) => encoder.write_all(bytes),
        }
    }

    /// Writes the end of the compressed data.
    fn finish(self) -> io::Result<Sink> {
        match self {
            Self::Plain(sink) => Ok(sink),
            Self::Compressed(encoder) => encoder.finish(),
        }
    }
}

/// A buffered output of records. Only when [`Output::finish`] has succeeded is all of it written.
pub struct Output {
    name: String,
    buffer: Vec<u8>,
    encoder: Encoder,
    is_file: bool,
}

impl Output {
    /// The same as [`Output::create`], compressed if the name says so ([`Compression::of`]): by others than this
    /// thread if the run has more than one `jobs`.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub fn named(path: Option<&Path>, jobs: usize) -> Result<Self> {
        Self::create(path)?.compressed(path.and_then(Compression::of), jobs)
    }

    /// Standard output for `None`; else a temporary file beside `path` that replaces it at the end.
    ///
    /// A symbolic link is followed, so that the file it names is replaced and the link stays; the
    /// mode of an existing file is kept.
    ///
    /// # Errors
    /// When the folder does not exist or is not writable.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let (name, sink) = match path {
            None => {
                let stdout =
                    standard::check_output().and_then(|()| io::stdout().as_fd().try_clone_to_owned());
                let file = stdout.map_err(|e| Error::io("standard output", e))?;
                ("standard output".to_owned(), Sink::Direct(file.into()))
            }
            Some(path) => {
                let name = path.display().to_string();
                let sink = open_file(path).map_err(|e| Error::io(&name, e))?;
                (name, sink)
            }
        };
        let is_file = matches!(sink, Sink::Atomic(..));
        let buffer = Vec::with_capacity(BUFFER_SIZE + (4 << 10));
        Ok(Self { name, buffer, encoder: Encoder::Plain(sink), is_file })
    }

    /// The same output, compressed: by others than this thread if the run has more than one `jobs`. Records then come
    /// out in blocks, not as soon as they can: how the input arrives must not change the compressed bytes.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn compressed(mut self, compression: Option<Compression>, jobs: usize) -> Result<Self> {
        let Encoder::Plain(sink) = self.encoder else { return Ok(self) };
        self.encoder = match compression {
            None => Encoder::Plain(sink),
            Some(format) => {
                let encoder = Compressing::new(sink, format, jobs).map_err(|_| Error::no_thread())?;
                Encoder::Compressed(encoder)
            }
        };
        Ok(self)
    }

    /// The buffer to append a record to; follow with [`Output::end_record`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Marks the end of a record: writes if enough bytes have gathered.
    ///
    /// # Errors
    /// [`Error::ClosedPipe`] when nobody reads any more, else the system's error.
    pub fn end_record(&mut self) -> Result<()> {
        if self.buffer.len() >= BUFFER_SIZE { self.flush() } else { Ok(()) }
    }

    /// Writes what has gathered; compressed output only in whole blocks.
    ///
    /// # Errors
    /// As [`Output::end_record`].
    pub fn flush(&mut self) -> Result<()> {
        let ready = match self.encoder {
            Encoder::Plain(_) => self.buffer.len(),
            Encoder::Compressed(_) => self.buffer.len() / BUFFER_SIZE * BUFFER_SIZE,
        };
        self.write(ready)
    }

    /// Passes on the first bytes of the buffer.
    fn write(&mut self, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let result = self.encoder.write_all(&self.buffer[..bytes]);
        self.buffer.drain(..bytes);
        result.map_err(|e| self.failure(e))
    }

    /// Writes the rest; a file is synced and put in its place.
    ///
    /// # Errors
    /// As [`Output::end_record`]; after an error the old file is unchanged.
    pub fn finish(mut self) -> Result<()> {
        self.write(self.buffer.len())?;
        let (name, encoder) = (self.name, self.encoder);
        let Sink::Atomic(file, path) = encoder.finish().map_err(|e| failure(&name, e))? else {
            return Ok(());
        };
        let temporary = file.path().to_owned();
        let synced = file.as_file().sync_all();
        let result = synced.and_then(|()| file.persist(&path).map_err(io::Error::from));
        signals::forget_temporary(&temporary);
        result.map(drop).map_err(|e| Error::io(name, e))
    }

    /// Ends after an error in the input: the good records before it are still written to standard
    /// output, and a file is left unchanged.
    pub fn abandon(mut self) {
        if !self.is_file {
            // The error in the input is the one to report.
            self.write(self.buffer.len()).ok();
            self.encoder.finish().ok();
        }
    }

    fn failure(&self, error: io::Error) -> Error {
        failure(&self.name, error)
    }
}

fn failure(name: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::ClosedPipe,
        _ => Error::io(name, error),
    }
}

fn open_file(path: &Path) -> io::Result<Sink> {
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(e) if e.kind() == io::ErrorKind::NotFound => dangling_target(path),
        Err(e) => return Err(e),
    };
    let existing = match target.metadata() {
        Ok(m) if !m.is_file() => return File::options().write(true).open(target).map(Sink::Direct),
        Ok(m) => Some(m.permissions()),
        Err(_) => None,
    };
    let file = temporary::beside(&target)?;
    if let Some(permissions) = existing {
        file.as_file().set_permissions(permissions)?;
    }
    signals::register_temporary(file.path());
    Ok(Sink::Atomic(file, target))
}

/// The missing file to which a link leads, perhaps by way of further links: that one is created. The
/// system has already ruled out a circle of links.
fn dangling_target(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    while let Ok(link) = target.read_link() {
        target = target.parent().map_or_else(|| link.clone(), |folder| folder.join(&link));
    }
    target
}
