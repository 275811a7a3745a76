//! One run at a time: a lock beside a file that a run reads and later replaces.
//!
//! The file itself cannot be locked, since it is replaced. So a file beside it is, and it is removed
//! with the lock. Whoever opened it before it was removed would hold a lock that nobody else sees; so
//! after locking, the name must still lead to the locked file.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::signals;

/// A lock that is held until this is dropped.
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// The lock beside `path`.
    ///
    /// # Errors
    /// When another run holds it, or the folder cannot be written.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let failure = |e| Error::io(lock.display().to_string(), e);
        loop {
            let file = File::options().create(true).append(true).open(&lock).map_err(failure)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Failed(format!("{}: in use by another run", path.display())));
                }
                Err(TryLockError::Error(e)) => return Err(failure(e)),
            }
            let held = file.metadata().map_err(failure)?;
            if std::fs::metadata(&lock).is_ok_and(|m| (m.dev(), m.ino()) == (held.dev(), held.ino())) {
                signals::register_temporary(&lock);
                return Ok(Self { path: lock, file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held: the next run creates a new one.
        std::fs::remove_file(&self.path).ok();
        signals::forget_temporary(&self.path);
        self.file.unlock().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        for _ in 0..3 {
            let lock = Lock::beside(&path).unwrap();
            let error = Lock::beside(&path).err().unwrap().to_string();
            assert!(error.ends_with("ids: in use by another run"), "{error}");
            drop(lock);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn no_two_threads_hold_it_at_once() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let (holders, held) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Ok(_lock) = Lock::beside(&path) else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        held.fetch_add(1, Ordering::SeqCst);
                        holders.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(held.load(Ordering::SeqCst) > 0);
    }
}
