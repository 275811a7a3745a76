//! Which of the standard streams were open when the process began.
//!
//! Before `main`, the runtime opens `/dev/null` in place of those that were not, and all that is written would
//! be lost without a word.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, fcntl_getfd};

static NO_INPUT: AtomicBool = AtomicBool::new(false);
static NO_OUTPUT: AtomicBool = AtomicBool::new(false);

/// Looks at the streams. Only of use before the runtime does.
pub(crate) fn look() {
    let is_closed = |stream: BorrowedFd| fcntl_getfd(stream) == Err(Errno::BADF);
    NO_INPUT.store(is_closed(rustix::stdio::stdin()), Ordering::Relaxed);
    NO_OUTPUT.store(is_closed(rustix::stdio::stdout()), Ordering::Relaxed);
}

/// The system's error if standard input was closed from the beginning.
pub(super) fn check_input() -> io::Result<()> {
    fail_if(&NO_INPUT)
}

/// The same for standard output.
pub(super) fn check_output() -> io::Result<()> {
    fail_if(&NO_OUTPUT)
}

fn fail_if(closed: &AtomicBool) -> io::Result<()> {
    if closed.load(Ordering::Relaxed) { Err(Errno::BADF.into()) } else { Ok(()) }
}
