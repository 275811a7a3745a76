//! Who is told how a run goes.

use crate::io::Status;

/// Is told how far a run has come, and what is worth knowing about its input. `()` ignores it all.
pub trait Observer {
    /// Reading begins. `_total` is the size of the input in bytes, if it is known.
    fn begin(&mut self, _total: Option<u64>) {}

    /// Called before every read from the system, which may have to wait.
    fn progress(&mut self, _status: Status) {}

    /// Reading has ended.
    fn end(&mut self) {}

    /// `message`, which names settings in backticks, as this program says it.
    fn wording(&self, message: &str) -> String {
        message.to_owned()
    }

    /// Something is worth knowing, and no error.
    fn note(&mut self, _message: &str) {}
}

impl Observer for () {}
