//! Timestamps that are moved: files one after the other, to a start at zero, faster.

use crate::cat::entry::SourceRecord;
use crate::error::Invalid;
use crate::record::time::{Millis, Unit};

/// How timestamps change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TimeChange {
    /// Each file starts where the one before it ended.
    pub shift: bool,
    /// The first record that is written is at zero.
    pub rebase: bool,
    /// Times are divided by this.
    pub speedup: f64,
}

impl Default for TimeChange {
    fn default() -> Self {
        Self { shift: false, rebase: false, speedup: 1.0 }
    }
}

impl TimeChange {
    /// Whether all times stay as they are (but those of a clock).
    pub fn is_none(&self) -> bool {
        !self.shift && !self.rebase && self.speedup == 1.0
    }
}

/// Changes the times of one record after the other.
pub(super) struct Retimer {
    change: TimeChange,
    /// The first time of a clock: the trace's zero.
    origin: Option<Millis>,
    file: Option<usize>,
    /// What is added to the times of the file.
    offset: Millis,
    /// The latest time so far.
    end: Millis,
    /// The first time that was written.
    first: Option<Millis>,
}

impl Retimer {
    /// Nothing has been read yet.
    pub(super) fn new(change: TimeChange) -> Self {
        let zero = Millis::default();
        Self { change, origin: None, file: None, offset: zero, end: zero, first: None }
    }

    /// The time of a record within the whole trace.
    ///
    /// # Errors
    /// When the timestamp is too far from zero to be changed.
    pub(super) fn place(&mut self, entry: &SourceRecord) -> Result<Option<Millis>, Invalid> {
        let Some(mut time) = recorded(entry)? else { return Ok(None) };
        if entry.clock_time {
            time = time - *self.origin.get_or_insert(time);
        }
        if self.change.shift {
            if self.file != Some(entry.file) {
                self.offset = if self.file.is_some() { self.end - time } else { Millis::default() };
                self.file = Some(entry.file);
            }
            time = time + self.offset;
            self.end = self.end.max(time);
        }
        Ok(Some(time))
    }

    /// The time that is written, of a record that is.
    ///
    /// # Errors
    /// When the result is too far from zero.
    pub(super) fn finish(&mut self, mut time: Millis) -> Result<Millis, Invalid> {
        if self.change.rebase {
            time = time - *self.first.get_or_insert(time);
        }
        self.span(time)
    }

    /// Whether spans of time become longer or shorter.
    pub(super) fn scales(&self) -> bool {
        self.change.speedup != 1.0
    }

    /// A span of time as it is written.
    ///
    /// # Errors
    /// When the result is too far from zero.
    pub(super) fn span(&self, time: Millis) -> Result<Millis, Invalid> {
        let ratio = self.change.speedup;
        if ratio == 1.0 {
            return Ok(time);
        }
        time.divided_by(ratio).ok_or_else(|| {
            Invalid::value(format!("timestamp: {} divided by {ratio} is too far away", time.as_f64()))
        })
    }
}

/// The timestamp of a record, digit by digit.
fn recorded(entry: &SourceRecord) -> Result<Option<Millis>, Invalid> {
    let Some(value) = entry.record.timestamp else { return Ok(None) };
    let text = std::str::from_utf8(&entry.line[entry.record.time_span.clone()]).unwrap_or_default();
    let time = Millis::parse(text, Unit::Milliseconds);
    time.map(Some).ok_or_else(|| Invalid::value(format!("timestamp: {value} is too far away to be changed")))
}
