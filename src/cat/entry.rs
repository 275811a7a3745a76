//! A record on its way through `trace-cat`, and its place in time.

use crate::cat::ids::Group;
use crate::error::{Invalid, InvalidKind, Result};
use crate::record::{Record, TraceReader};

/// A record with its line and what is known of its file.
pub(super) struct SourceRecord<'a> {
    /// The line, in the Mooncake format.
    pub(super) line: &'a [u8],
    /// What stands in it.
    pub(super) record: &'a Record,
    /// Which operand it is from.
    pub(super) file: usize,
    /// Which files share their ids with this one.
    pub(super) group: Group,
    /// Whether its time is that of a clock.
    pub(super) clock_time: bool,
    /// Whether its format says what times count.
    pub(super) fixed_unit: bool,
    /// Whether its ids stand for others and are to be renumbered.
    pub(super) surrogate_ids: bool,
}

impl<'a> SourceRecord<'a> {
    /// Whether known fields have names other than those that are written.
    #[inline]
    pub(super) fn has_synonyms(&self) -> bool {
        self.record.has_synonyms
    }

    /// The current record of a reader.
    #[inline]
    pub(super) fn of(reader: &'a TraceReader, group: Group) -> Self {
        Self {
            line: reader.line(),
            record: reader.record(),
            file: reader.file_index(),
            group,
            clock_time: reader.has_clock_times(),
            fixed_unit: reader.has_fixed_unit(),
            surrogate_ids: reader.has_surrogate_ids(),
        }
    }
}

/// A time that can be compared with every other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment(f64);

impl Moment {
    pub(super) fn new(milliseconds: f64) -> Self {
        // Zero has two signs, which are the same time.
        Self(milliseconds + 0.0)
    }

    /// The time of a reader's record, which `setting` needs.
    pub(super) fn of(reader: &TraceReader, setting: &str) -> Result<Self> {
        let missing = || reader.input().error(no_timestamp(&format!("`{setting}` needs")));
        reader.record().timestamp.map(Self::new).ok_or_else(missing)
    }
}

/// What is wrong with a record that has no time; `needed` says by what it is needed.
pub(super) fn no_timestamp(needed: &str) -> Invalid {
    Invalid::new(InvalidKind::MissingField, format!("missing field \"timestamp\", which {needed}"))
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
