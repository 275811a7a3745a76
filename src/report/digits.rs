//! Numbers in the cells of tables, and what marks those that are not exact.

use crate::report::numbers::{grouped, percent, rounded};
use crate::stats::Accuracy;

/// A table: the first row is the header.
pub(super) type Cells = Vec<Vec<String>>;

/// How the numbers in cells are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// All of them, as in JSON.
    All,
    /// Rounded, with commas between thousands.
    Few,
}

impl Digits {
    /// A whole number.
    pub(super) fn count(self, value: impl Into<u128>) -> String {
        let value = value.into();
        if self == Self::All { value.to_string() } else { grouped(value) }
    }

    /// Any other number.
    pub(super) fn real(self, value: f64) -> String {
        if self == Self::All { format!("{value:?}") } else { rounded(value) }
    }
}

/// A figure by its name in JSON.
pub(super) enum Number {
    /// Counted, exact.
    Count(u128),
    /// Computed.
    Real(f64),
}

/// A figure that is one number.
pub(super) struct Total {
    /// Its name in JSON.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) value: Number,
    /// What it is worth.
    pub(super) accuracy: Accuracy,
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Real(x) => write!(f, "{x:?}"),
        }
    }
}

/// What is said of a figure that is a lower or an upper bound.
pub(super) fn limit(accuracy: Accuracy, at_least: &'static str, at_most: &'static str) -> &'static str {
    match accuracy {
        Accuracy::AtLeast => at_least,
        Accuracy::AtMost => at_most,
        _ => "",
    }
}

/// What precedes a number that is not exact.
pub(super) fn mark(accuracy: Accuracy) -> &'static str {
    match accuracy {
        Accuracy::Neither => "about ",
        _ => limit(accuracy, ">= ", "<= "),
    }
}

/// A number of tokens, or their share of all where few digits are enough.
pub(super) fn tokens_or_share(part: u128, all: u128, accuracy: Accuracy, digits: Digits) -> String {
    match digits {
        Digits::All => format!("{}{part}", mark(accuracy)),
        Digits::Few => share_of(part, all, accuracy, digits),
    }
}

/// The share that a number of tokens is of all.
pub(super) fn share_of(part: u128, all: u128, accuracy: Accuracy, digits: Digits) -> String {
    if all == 0 {
        return "-".into();
    }
    let share = part as f64 / all as f64;
    let share = if digits == Digits::All { format!("{share:?}") } else { percent(share) };
    format!("{}{share}", mark(accuracy))
}
