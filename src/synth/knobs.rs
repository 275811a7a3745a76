//! What the user may change of what was learnt.

use crate::error::Invalid;

/// Largest factor for lengths: enough for any use, while a line still fits into memory.
pub const MAX_FACTOR: f64 = 1000.0;

/// Changes to a model; the default changes nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Knobs {
    /// Time passes this much faster.
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
    /// Token hit rate of an infinite cache that the sharing is changed to reach; for sessions only.
    pub hit_rate: Option<f64>,
    /// Input lengths that are wanted.
    pub input: Limits,
    /// Output lengths outside of these are moved to the nearest one within.
    pub output: Limits,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            speedup: 1.0,
            rate: None,
            prefix_len: 1.0,
            prefix_root: 1,
            prompt_len: 1.0,
            output_len: 1.0,
            hit_rate: None,
            input: Limits::default(),
            output: Limits::default(),
        }
    }
}

impl Knobs {
    /// The output length in place of one of the original.
    pub(super) fn output(&self, length: u64) -> u64 {
        // As in datagen, fractions of a token are cut off.
        let scaled = if self.output_len == 1.0 { length } else { (length as f64 * self.output_len) as u64 };
        scaled.max(self.output.min.unwrap_or(0)).min(self.output.max.unwrap_or(u64::MAX))
    }
}

/// A range of lengths in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The smallest, if there is one.
    pub min: Option<u64>,
    /// The largest, if there is one.
    pub max: Option<u64>,
}

impl Limits {
    /// Whether there is any length within.
    pub fn is_possible(&self) -> bool {
        self.min.is_none_or(|min| self.max.is_none_or(|max| min <= max))
    }

    pub(super) fn contain(&self, length: u64) -> bool {
        self.min.is_none_or(|min| length >= min) && self.max.is_none_or(|max| length <= max)
    }

    /// The error after so many tries without such a length.
    pub(super) fn unreachable(&self, tries: u32) -> Invalid {
        let min = self.min.map_or_else(String::new, |min| format!(" of at least {min}"));
        let max = self.max.map_or_else(String::new, |max| format!(" of at most {max}"));
        Invalid::conflict(format!("no input length{min}{max} among {tries} requests in a row"))
    }
}
