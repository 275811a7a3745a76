//! Which records are kept: by time, by lengths, by chance, the first or the last ones.

use crate::cat::entry::{SourceRecord, no_timestamp};
use crate::error::Invalid;
use crate::record::time::{Millis, PRESENT};
use crate::record::{LengthRange, Sessions, first_bits};

/// What records must be like to be kept.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Selection {
    /// Not before this time.
    pub from: Option<Moment>,
    /// Before this time.
    pub to: Option<Moment>,
    /// Shortest and longest prompt.
    pub input: LengthRange,
    /// Shortest and longest output.
    pub output: LengthRange,
    /// A share by chance.
    pub sample: Option<Sample>,
    /// At most so many.
    pub head: Option<u64>,
    /// Only the last so many.
    pub tail: Option<u64>,
}

impl Selection {
    /// Whether all records are kept.
    pub fn is_all(&self) -> bool {
        !self.needs_time()
            && self.input == LengthRange::default()
            && self.output == LengthRange::default()
            && self.sample.is_none()
            && self.head.is_none()
            && self.tail.is_none()
    }

    /// Whether a record without a timestamp cannot be judged.
    pub fn needs_time(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

/// A time with which those of records are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// So long after the beginning of the trace: after time 0, or after the first record where times count from 1970.
    Since(Millis),
    /// A date: milliseconds since 1970.
    Date(Millis),
}

impl Moment {
    /// Whether this is known to be no earlier than `other`.
    pub fn is_from(self, other: Self) -> bool {
        match (self, other) {
            (Self::Since(this), Self::Since(other)) | (Self::Date(this), Self::Date(other)) => this >= other,
            _ => false,
        }
    }
}

/// A share of the records.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// The share, from 0 to 1.
    pub share: f64,
    /// What is kept or left out together.
    pub by: SampleBy,
    /// Another seed, another choice.
    pub seed: u64,
    /// How many blocks a prefix has.
    pub prefix_blocks: usize,
}

impl Sample {
    /// This share of the records, each drawn by itself.
    pub fn new(share: f64) -> Self {
        Self { share, by: SampleBy::default(), seed: 0, prefix_blocks: 1 }
    }
}

/// What a sample keeps or leaves out together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SampleBy {
    /// Each record by itself.
    #[default]
    Request,
    /// All records of a session.
    Session,
    /// All records that begin with the same blocks.
    Prefix,
}

/// Judges one record after the other.
pub(super) struct Selector {
    selection: Selection,
    random: fastrand::Rng,
    hasher: blake3::Hasher,
    /// Records with neither session nor blocks, which were drawn one by one.
    unsampled: u64,
    /// The time of the first record, where times count from 1970.
    beginning: Option<Millis>,
}

impl Selector {
    /// Nothing has been judged yet.
    pub(super) fn new(selection: Selection) -> Self {
        let seed = selection.sample.as_ref().map_or(0, |sample| sample.seed);
        let mut hasher = blake3::Hasher::new_derive_key("kvtrace 2026-11-25 sample");
        hasher.update(&seed.to_le_bytes());
        Self { selection, random: fastrand::Rng::with_seed(seed), hasher, unsampled: 0, beginning: None }
    }

    /// How many records could not be sampled with others, for want of a session or of blocks.
    pub(super) fn unsampled(&self) -> u64 {
        self.unsampled
    }

    /// Whether records are compared with a date.
    pub(super) fn needs_date(&self) -> bool {
        let Selection { from, to, .. } = &self.selection;
        [from, to].into_iter().any(|moment| matches!(moment, Some(Moment::Date(_))))
    }

    /// Whether a record is kept, as far as the number of records does not decide. `time` is when it comes in the
    /// trace, and its date, if that is known.
    ///
    /// # Errors
    /// When it has no timestamp or no date and one is needed, or sessions take too much memory.
    pub(super) fn keeps(
        &mut self,
        entry: &SourceRecord,
        (time, date): (Option<Millis>, Option<Millis>),
        sessions: &mut Sessions,
    ) -> Result<bool, Invalid> {
        // Drawn in any case: a later record of the session is one of it whether or not this one fits.
        let drawn = self.drawn(entry, sessions)?;
        let Selection { from, to, input, output, .. } = &self.selection;
        if self.selection.needs_time() {
            let time = time.ok_or_else(|| no_timestamp("`from` and `to` need"))?;
            let is_absolute = PRESENT.contains(&time.as_f64());
            let since = if is_absolute { time - *self.beginning.get_or_insert(time) } else { time };
            let is_before = |moment: Moment| match moment {
                Moment::Since(moment) => Ok(since < moment),
                Moment::Date(moment) => date.map(|date| date < moment).ok_or_else(no_date),
            };
            if from.map_or(Ok(false), is_before)? || !to.map_or(Ok(true), is_before)? {
                return Ok(false);
            }
        }
        let fits =
            input.contains(entry.record.input_length) && output.may_contain(entry.record.output_length);
        Ok(drawn && fits)
    }

    fn drawn(&mut self, entry: &SourceRecord, sessions: &mut Sessions) -> Result<bool, Invalid> {
        let Some(Sample { share, by, prefix_blocks, .. }) = self.selection.sample else {
            return Ok(true);
        };
        let mut hasher = self.hasher.clone();
        let known = match by {
            SampleBy::Request => false,
            SampleBy::Session => {
                let session = sessions.key(entry.line)?;
                hasher.update(&session.unwrap_or(0).to_le_bytes());
                session.is_some()
            }
            SampleBy::Prefix => {
                // The id of a block stands for those before it too.
                let ids = &entry.record.hash_ids;
                let last = ids.iter().take(prefix_blocks).next_back();
                hasher.update(&last.unwrap_or(&0).to_le_bytes());
                hasher.update(&entry.group.to_le_bytes());
                last.is_some()
            }
        };
        if !known {
            self.unsampled += u64::from(by != SampleBy::Request);
            return Ok(self.random.f64() < share);
        }
        // 53 bits: the same double on every machine.
        let fraction = (first_bits(hasher.finalize().as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
        Ok(fraction < share)
    }
}

/// What is wrong with a record that is compared with a date and has none.
fn no_date() -> Invalid {
    Invalid::conflict(
        "times here are counted from the beginning of the trace, not since 1970: give `from` and `to` a time such \
         as 90s or 1h30m in place of a date (or say with `timestamp_unit` what times count)",
    )
}
