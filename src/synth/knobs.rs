//! What the user may change of what was learnt.

use crate::error::Invalid;
use crate::record::LengthRange;

/// Largest factor for lengths: enough for any use, while a line still fits into memory.
pub const MAX_FACTOR: f64 = 1000.0;

/// Changes to a model; the default changes nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Knobs {
    /// Times as many sessions, each at its own pace; for the model `sessions` only.
    pub users: f64,
    /// So many sessions at a time, the next when one ends; for the model `sessions` only.
    pub lanes: Option<u32>,
    /// Time passes this much faster, think times included.
    pub speedup: f64,
    /// Mean arrivals per second to which time is rescaled.
    pub rate: Option<f64>,
    /// Factor for the lengths of the runs of the core, in blocks.
    pub prefix_len: f64,
    /// How many disjoint copies of the core there are.
    pub prefix_root: u32,
    /// Factor for the lengths of all other chains of blocks.
    pub prompt_len: f64,
    /// Factor for the output lengths.
    pub output_len: f64,
    /// Token hit rate of an infinite cache that the sharing is changed to reach; for the model `sessions` only.
    pub hit_rate: Option<f64>,
    /// Input lengths that are wanted.
    pub input: LengthRange,
    /// Output lengths outside of these are moved to the nearest one within.
    pub output: LengthRange,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            users: 1.0,
            lanes: None,
            speedup: 1.0,
            rate: None,
            prefix_len: 1.0,
            prefix_root: 1,
            prompt_len: 1.0,
            output_len: 1.0,
            hit_rate: None,
            input: LengthRange::default(),
            output: LengthRange::default(),
        }
    }
}

impl Knobs {
    /// Fails if it asks for what only the model `sessions` can do.
    pub(super) fn refuse_for_sessions_only(&self) -> Result<(), Invalid> {
        let asked = [
            (self.users != 1.0, "have another number of `users`"),
            (self.lanes.is_some(), "be drawn in `lanes`"),
            (self.hit_rate.is_some(), "be given another hit rate"),
        ];
        match asked.iter().find(|(asked, _)| *asked) {
            Some((_, what)) => Err(Invalid::value(format!("only the model sessions can {what}"))),
            None => Ok(()),
        }
    }

    /// Fails if it changes anything but the pace.
    pub(super) fn refuse_changes(&self) -> Result<(), Invalid> {
        let unchanged = Self { speedup: self.speedup, rate: self.rate, ..Self::default() };
        if *self == unchanged {
            Ok(())
        } else {
            Err(Invalid::value("the model none changes nothing but the pace"))
        }
    }

    /// The output length in place of one of the original.
    pub(super) fn output(&self, length: u64) -> u64 {
        // As in datagen, fractions of a token are cut off.
        let scaled = if self.output_len == 1.0 { length } else { (length as f64 * self.output_len) as u64 };
        scaled.max(self.output.min.unwrap_or(0)).min(self.output.max.unwrap_or(u64::MAX))
    }
}

/// The error after so many tries without a length that is wanted.
pub(super) fn unreachable(wanted: LengthRange, tries: u32) -> Invalid {
    let min = wanted.min.map_or_else(String::new, |min| format!(" of at least {min}"));
    let max = wanted.max.map_or_else(String::new, |max| format!(" of at most {max}"));
    Invalid::conflict(format!("no input length{min}{max} among {tries} requests in a row"))
}
