//! Temporary files that replace their destination in the end, or are removed.
//!
//! A process that is killed cannot remove its file. Therefore the name of the file follows from the
//! destination, so the next run with the same destination finds it. The process that owns the file holds a
//! lock on it, which ends with the process: a file that is not locked was left behind, and is removed.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tempfile::{NamedTempFile, TempPath};
use xxhash_rust::xxh3::xxh3_64;

/// How many runs may write to one destination at the same time.
const MOST: u32 = 1000;

/// A new file beside `target`, whose folder exists.
pub(super) fn beside(target: &Path) -> io::Result<NamedTempFile> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default();
    let key = xxh3_64(name.as_encoded_bytes());
    let mut number = 0;
    while number < MOST {
        let path = folder.join(format!(".kvtrace-{key:016x}-{number}.tmp"));
        match File::options().read(true).write(true).create_new(true).open(&path) {
            // Another run that finds it before it is locked takes it for one that was left behind.
            Ok(file) => match file.try_lock() {
                Ok(()) if !leads_to(&path, &file)? => {}
                Err(TryLockError::WouldBlock) => {}
                // Without support for locks nothing can be known, so nothing is removed.
                Ok(()) | Err(TryLockError::Error(_)) => {
                    return Ok(NamedTempFile::from_parts(file, TempPath::try_from_path(path)?));
                }
            },
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                number += u32::from(!was_left_behind(&path)?);
            }
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("too many temporary files beside it (.kvtrace-*.tmp)"))
}

/// Whether `path` is still the name of the open file.
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let held = file.metadata()?;
    Ok(path.symlink_metadata().is_ok_and(|m| (m.dev(), m.ino()) == (held.dev(), held.ino())))
}

/// Removes the file unless a process holds it. True if the name may be free now.
fn was_left_behind(path: &Path) -> io::Result<bool> {
    // A link or a pipe of that name was not made by this program.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = match File::options().read(true).custom_flags(flags as i32).open(path) {
        Ok(file) => file,
        Err(e) => return Ok(e.kind() == io::ErrorKind::NotFound),
    };
    if !file.metadata()?.is_file() || file.try_lock().is_err() {
        return Ok(false);
    }
    // Only the holder of the lock renames or removes the file, so nobody else can have taken its name here.
    // In a shared folder a file of another user may not be removable.
    Ok(!leads_to(path, &file)? || std::fs::remove_file(path).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_of_the_living_stay_and_those_of_the_dead_go() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let first = beside(&target).unwrap();
        let second = beside(&target).unwrap();
        assert_ne!(first.path(), second.path());
        assert_eq!(names(folder.path()).len(), 2);
        // As after a kill: the lock is gone and the file is not.
        let (file, path) = first.into_parts();
        let left = path.keep().unwrap();
        std::fs::write(&left, "half a line").unwrap();
        drop(file);
        let third = beside(&target).unwrap();
        assert_eq!(third.path(), left);
        assert_eq!(third.as_file().metadata().unwrap().len(), 0);
        assert_eq!(names(folder.path()).len(), 2);
        drop((second, third));
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn what_only_has_such_a_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let name = beside(&target).unwrap().path().to_owned();
        let other = folder.path().join("precious");
        std::fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &name).unwrap();
        let file = beside(&target).unwrap();
        assert_ne!(file.path(), name);
        drop(file);
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
        assert!(name.is_symlink());
    }

    #[test]
    fn no_two_threads_get_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let file = beside(&target).unwrap();
                        assert!(leads_to(file.path(), file.as_file()).unwrap());
                        file.persist(&target).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(folder.path()), ["out"]);
    }
}
