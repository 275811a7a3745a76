//! A record on its way through `trace-cat`, and its place in time.

use crate::cat::ids::Group;
use crate::error::{Invalid, InvalidKind, Result};
use crate::record::time::PRESENT;
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

/// Whether the records that are put in order have times of a clock, or times that count from zero.
#[derive(Default)]
pub(super) struct Clocks {
    /// A file with times of a clock, and one with others.
    files: [Option<String>; 2],
}

impl Clocks {
    /// Takes the current record of a reader, which has a time.
    ///
    /// # Errors
    /// When there are both kinds, which have no common order.
    pub(super) fn add(&mut self, reader: &TraceReader) -> Result<()> {
        let is_of_a_clock = reader.has_clock_times();
        let since_1970 = || reader.record().timestamp.is_some_and(|time| PRESENT.contains(&time));
        if self.files[usize::from(!is_of_a_clock)].is_some() || !is_of_a_clock && since_1970() {
            return Ok(());
        }
        let (name, _) = reader.input().place();
        self.files[usize::from(!is_of_a_clock)] = Some(name.to_owned());
        let [Some(clock), Some(zero)] = &self.files else { return Ok(()) };
        Err(reader.input().error(format!(
            "the times of {clock} are those of a clock and those of {zero} count from zero: they have no common order \
             (see `rebase`, for each file by itself, or `shift`)"
        )))
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
