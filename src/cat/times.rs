//! Timestamps that are moved: files one after the other, to a start at zero, faster.

use crate::cat::entry::SourceRecord;
use crate::error::Invalid;
use crate::record::time::{Millis, PRESENT, Unit};

/// How timestamps change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TimeChange {
    /// What timestamps count, where the format leaves that open; what is written are milliseconds.
    pub unit: Unit,
    /// Each file starts where the one before it ended.
    pub shift: bool,
    /// The first record that is written is at zero.
    pub rebase: bool,
    /// Times are divided by this.
    pub speedup: f64,
}

impl Default for TimeChange {
    fn default() -> Self {
        Self { unit: Unit::Milliseconds, shift: false, rebase: false, speedup: 1.0 }
    }
}

impl TimeChange {
    /// Whether the time of this record is counted from that of the first one: it is that of a clock, or the user
    /// says what it counts.
    pub(super) fn starts_at_zero(&self, entry: &SourceRecord) -> bool {
        entry.clock_time || self.unit != Unit::Milliseconds
    }

    /// The timestamp of a record, digit by digit.
    ///
    /// # Errors
    /// When it is too far from zero to be changed, or its format knows better what it counts.
    pub(super) fn recorded(&self, entry: &SourceRecord) -> Result<Option<Millis>, Invalid> {
        let Some(value) = entry.record.timestamp else { return Ok(None) };
        if self.unit != Unit::Milliseconds && entry.fixed_unit {
            return Err(Invalid::conflict("the format says what its times count: give no `timestamp_unit`"));
        }
        let text = std::str::from_utf8(&entry.line[entry.record.time_span.clone()]).unwrap_or_default();
        let time = Millis::parse(text, self.unit);
        time.map(Some)
            .ok_or_else(|| Invalid::value(format!("timestamp: {value} is too far away to be changed")))
    }

    /// Whether all times stay as they are (but those of a clock).
    pub fn is_none(&self) -> bool {
        self.unit == Unit::Milliseconds && !self.shift && !self.rebase && self.speedup == 1.0
    }
}

/// Changes the times of one record after the other.
pub(super) struct Retimer {
    change: TimeChange,
    /// The first time of a clock: the trace's zero.
    origin: Option<Millis>,
    /// Whether times since 1970 have been written as they are: then those of a clock are too, so that they meet.
    since_1970: bool,
    /// How many records are before that.
    early: u64,
    file: Option<usize>,
    /// What is added to the times of the file.
    offset: Millis,
    /// The latest time so far, of which there is none before the first record.
    end: Option<Millis>,
    /// The first time that was written.
    first: Option<Millis>,
}

impl Retimer {
    /// Nothing has been read yet.
    pub(super) fn new(change: TimeChange, origin: Option<Millis>) -> Self {
        let zero = Millis::default();
        Self { change, origin, since_1970: false, early: 0, file: None, offset: zero, end: None, first: None }
    }

    /// Whether times count from that of a clock, so that others since 1970 do too.
    pub(super) fn has_origin(&self) -> bool {
        self.origin.is_some()
    }

    /// The time of a record within the whole trace; `before` is the one that was written last.
    ///
    /// # Errors
    /// When the timestamp is too far from zero to be changed.
    pub(super) fn place(
        &mut self,
        entry: &SourceRecord,
        before: Option<f64>,
    ) -> Result<Option<Millis>, Invalid> {
        let Some(mut time) = self.change.recorded(entry)? else { return Ok(None) };
        let is_present = |time: f64| PRESENT.contains(&time);
        let is_of_a_clock = self.change.starts_at_zero(entry);
        let is_since_1970 = !is_of_a_clock && is_present(time.as_f64());
        self.since_1970 |= self.origin.is_none() && (is_since_1970 || before.is_some_and(is_present));
        if !self.since_1970 && (is_of_a_clock || is_since_1970) {
            time = time - *self.origin.get_or_insert(time);
            // With a shift, only the differences within a file matter.
            if time < Millis::default() && !self.change.shift {
                self.early += 1;
                time = Millis::default();
            }
        }
        if self.change.shift {
            if self.file != Some(entry.file) {
                self.offset = self.end.map_or_else(Millis::default, |end| end - time);
                self.file = Some(entry.file);
            }
            time = time + self.offset;
            self.end = self.end.max(Some(time));
        }
        Ok(Some(time))
    }

    /// When a record was made, if its time counts from 1970.
    ///
    /// # Errors
    /// As for [`Retimer::place`].
    pub(super) fn date(&self, entry: &SourceRecord) -> Result<Option<Millis>, Invalid> {
        Ok(self.change.recorded(entry)?.filter(|time| PRESENT.contains(&time.as_f64())))
    }

    /// What the user should know in the end.
    pub(super) fn note(&self) -> Option<String> {
        let n = self.early;
        (n > 0).then(|| {
            format!("{n} records are earlier than those at the beginning: put at time 0 (see `sort`)")
        })
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

    /// Whether spans of time are written otherwise than they are read.
    pub(super) fn changes_delays(&self) -> bool {
        self.change.speedup != 1.0 || self.change.unit != Unit::Milliseconds
    }

    /// What the times of records count.
    pub(super) fn unit(&self) -> Unit {
        self.change.unit
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
