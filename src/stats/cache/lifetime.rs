//! How long blocks live.

use std::fmt;

/// How long a block lives, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// From its last use.
    Sliding(u64),
    /// From its write.
    Fixed(u64),
}

impl Ttl {
    /// The time in milliseconds.
    pub fn ms(self) -> u64 {
        match self {
            Self::Sliding(ms) | Self::Fixed(ms) => ms,
        }
    }

    /// Whether it counts from the write.
    pub fn is_fixed(self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

/// In seconds, as a table has it.
impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_fixed() { " fixed" } else { "" };
        write!(f, "{} s{kind}", self.ms() as f64 / 1000.0)
    }
}
