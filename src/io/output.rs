//! Where results go: standard output, or a file that appears complete or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::io::signals;

/// Bytes gathered before a write.
const BUFFER_SIZE: usize = 64 << 10;

enum Sink {
    /// Standard output, or a FILE that cannot be replaced (a device, a named pipe).
    Direct(File),
    /// A temporary file beside its destination.
    Atomic(NamedTempFile, PathBuf),
}

/// A buffered output of records. Nothing is certain until [`Output::finish`] has succeeded.
pub struct Output {
    name: String,
    buffer: Vec<u8>,
    sink: Sink,
}

impl Output {
    /// Standard output for `None`; else a temporary file beside `path` that replaces it at the end.
    ///
    /// A symbolic link is followed, so that the file it names is replaced and the link stays; the
    /// mode of an existing file is kept.
    ///
    /// # Errors
    /// When the folder does not exist or cannot be written.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let (name, sink) = match path {
            None => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                let file = stdout.map_err(|e| Error::io("standard output", e))?;
                ("standard output".to_owned(), Sink::Direct(file.into()))
            }
            Some(path) => {
                let name = path.display().to_string();
                let sink = open_file(path).map_err(|e| Error::io(&name, e))?;
                (name, sink)
            }
        };
        Ok(Self { name, buffer: Vec::with_capacity(BUFFER_SIZE + (4 << 10)), sink })
    }

    /// The buffer to append a record to; follow with [`Output::end_record`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Marks a record boundary: writes if enough has gathered.
    ///
    /// # Errors
    /// [`Error::ClosedPipe`] when nobody reads any more, else the system's error.
    pub fn end_record(&mut self) -> Result<()> {
        if self.buffer.len() >= BUFFER_SIZE { self.flush() } else { Ok(()) }
    }

    /// Writes what has gathered.
    ///
    /// # Errors
    /// As [`Output::end_record`].
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = match &mut self.sink {
            Sink::Direct(file) => file.write_all(&self.buffer),
            Sink::Atomic(file, _) => file.write_all(&self.buffer),
        };
        self.buffer.clear();
        result.map_err(|e| self.failure(e))
    }

    /// Writes the rest; a file is synced and put in its place.
    ///
    /// # Errors
    /// As [`Output::end_record`]; after an error the old file is as it was.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let Sink::Atomic(file, path) = self.sink else { return Ok(()) };
        let temporary = file.path().to_owned();
        let synced = file.as_file().sync_all();
        let result = synced.and_then(|()| file.persist(&path).map_err(io::Error::from));
        signals::forget_temporary(&temporary);
        result.map(drop).map_err(|e| Error::io(self.name, e))
    }

    /// Ends after an error in the input: the good records before it are still written to standard
    /// output, and a file is left as it was.
    pub fn abandon(mut self) {
        if let Sink::Direct(_) = self.sink {
            // The error in the input is the one to report.
            self.flush().ok();
        }
    }

    fn failure(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::ClosedPipe,
            _ => Error::io(&self.name, error),
        }
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
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".kvtrace-")
        .suffix(".tmp")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    if let Some(permissions) = existing {
        file.as_file().set_permissions(permissions)?;
    }
    signals::register_temporary(file.path());
    Ok(Sink::Atomic(file, target))
}

/// Where a name that does not exist yet leads: a link to a missing file creates that file.
fn dangling_target(path: &Path) -> PathBuf {
    match path.read_link() {
        Ok(link) => path.parent().map_or_else(|| link.clone(), |folder| folder.join(&link)),
        Err(_) => path.to_owned(),
    }
}
