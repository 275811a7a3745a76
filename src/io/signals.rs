//! SIGINT, SIGTERM and SIGHUP as a request to stop at the next record boundary.
//!
//! A filter usually waits in `read`, and an interrupted `read` is restarted, so a flag alone would
//! be seen only with the next input. Waiting therefore watches a second descriptor that becomes
//! readable with the signal. A filter that waits in `write` instead (its reader is stuck) does not
//! look at all: a watcher thread ends the process one second later.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result, is_guarded};

struct State {
    received: Arc<AtomicUsize>,
    acknowledged: AtomicBool,
    /// Readable once a signal has come; never read from.
    wake: UnixStream,
    wake_write: UnixStream,
    /// Whether reading is to end because the results cannot be written.
    stopped: AtomicBool,
}

static STATE: OnceLock<State> = OnceLock::new();
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Installs the handlers. Without this call signals keep their default action.
///
/// When memory cannot be allocated, for example under a tight limit, the runtime prints a message and aborts.
/// That is an ordinary failure, so the process then ends with exit status 1. A panic remains a crash.
///
/// # Errors
/// When the system refuses a socket pair, a handler or a thread.
pub(crate) fn install() -> std::io::Result<()> {
    let (wake, wake_write) = UnixStream::pair()?;
    let (mut watch, watch_write) = UnixStream::pair()?;
    let received = Arc::new(AtomicUsize::new(0));
    let hangup = Some(SIGHUP).filter(|&signal| !is_ignored(signal));
    for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
        // The flag is registered first, so it is already set when a pipe wakes someone.
        signal_hook::flag::register_usize(signal, Arc::clone(&received), signal as usize)?;
        signal_hook::low_level::pipe::register(signal, wake_write.try_clone()?)?;
        signal_hook::low_level::pipe::register(signal, watch_write.try_clone()?)?;
    }
    let no_panic = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(SIGABRT, 1, Arc::clone(&no_panic))?;
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if is_guarded() {
            return;
        }
        no_panic.store(false, Ordering::SeqCst);
        say(panic);
        // Other threads would wait for the one that is gone.
        std::process::abort();
    }));
    let (acknowledged, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
    let state = State { received, acknowledged, wake, wake_write, stopped };
    if STATE.set(state).is_err() {
        return Ok(());
    }
    // A thread that begins late may find no memory left for its stacks, and the process would abort without a word.
    let (here, is_here) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name("signals".into()).stack_size(64 << 10).spawn(move || {
        here.send(()).ok();
        let mut byte = [0];
        if watch.read_exact(&mut byte).is_err() {
            return;
        }
        watch.set_read_timeout(Some(Duration::from_secs(1))).ok();
        // A second signal, or a second without an answer, ends the process here.
        let again = watch.read_exact(&mut byte).is_ok();
        let acknowledged = STATE.get().is_some_and(|s| s.acknowledged.load(Ordering::SeqCst));
        if !again && acknowledged {
            watch.set_read_timeout(None).ok();
            watch.read_exact(&mut byte).ok();
        }
        abandon();
    })?;
    is_here.recv().ok();
    Ok(())
}

/// Whether whoever started the process wants it to go on after a signal, as `nohup` does. Where the system does
/// not say, it is taken to be so.
fn is_ignored(signal: i32) -> bool {
    let ignored = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    ignored().is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Removes temporary files and ends the process with the signal's status.
fn abandon() -> ! {
    let files = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    for file in files.iter() {
        std::fs::remove_file(file).ok();
    }
    std::process::exit(128 + received().unwrap_or(SIGTERM))
}

/// Registers a temporary file that must not outlive the process.
pub(super) fn register_temporary(path: &Path) {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

/// Forgets a temporary file that has been renamed or removed.
pub(super) fn forget_temporary(path: &Path) {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).retain(|p| p != path);
}

fn received() -> Option<i32> {
    let signal = STATE.get()?.received.load(Ordering::SeqCst);
    i32::try_from(signal).ok().filter(|&s| s != 0)
}

/// Ends reading, even a read that is waiting, because the results can no longer be written.
pub(crate) fn stop_reading() {
    let Some(state) = STATE.get() else { return };
    state.stopped.store(true, Ordering::SeqCst);
    (&state.wake_write).write_all(&[0]).ok();
}

/// Removes temporary files and ends the process at once, for a signal that was not handled in time.
pub(crate) fn give_up() -> ! {
    abandon()
}

/// Fails with [`Error::Signal`] once a signal has come, and with [`Error::ClosedPipe`] once reading
/// has been stopped.
///
/// # Errors
/// Only those.
pub(crate) fn check() -> Result<()> {
    check_elsewhere().inspect_err(|error| {
        if matches!(error, Error::Signal(_)) {
            acknowledge();
        }
    })
}

/// The same as [`check`] for a thread that cannot end the run itself: the thread that receives its error calls
/// [`acknowledge`]. Until then the run may be stuck in a write.
pub(super) fn check_elsewhere() -> Result<()> {
    if STATE.get().is_some_and(|state| state.stopped.load(Ordering::SeqCst)) {
        return Err(Error::ClosedPipe);
    }
    received().map_or(Ok(()), |signal| Err(Error::Signal(signal)))
}

/// Tells the watcher that the run is about to end, so that it has time to write its last results.
pub(super) fn acknowledge() {
    if let Some(state) = STATE.get() {
        state.acknowledged.store(true, Ordering::SeqCst);
    }
}

/// Waits until `fd` can be read or a signal has come; a signal is an error, as in [`check_elsewhere`].
pub(super) fn wait_readable(fd: BorrowedFd<'_>) -> Result<()> {
    let Some(state) = STATE.get() else { return Ok(()) };
    loop {
        check_elsewhere()?;
        let mut fds = [
            PollFd::from_borrowed_fd(fd, PollFlags::IN),
            PollFd::from_borrowed_fd(state.wake.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            // If the descriptor cannot be polled, reading it directly is all that is left.
            Err(_) => return Ok(()),
        }
        if !fds[0].revents().is_empty() {
            return check_elsewhere();
        }
    }
}

/// Waits until `deadline`; a signal is an error.
pub(super) fn wait_until(deadline: Instant) -> Result<()> {
    loop {
        check()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let Some(state) = STATE.get() else {
            std::thread::sleep(left);
            continue;
        };
        let mut fds = [PollFd::from_borrowed_fd(state.wake.as_fd(), PollFlags::IN)];
        let timeout = Timespec {
            // Longer waits than 292 billion years are split.
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        if !matches!(poll(&mut fds, Some(&timeout)), Ok(_) | Err(rustix::io::Errno::INTR)) {
            // If polling fails, sleep instead.
            std::thread::sleep(left);
        }
    }
}
