//! Sums, and the most that comes in one second.

/// Something that is counted as time goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerSecond {
    /// All of it.
    pub(super) total: u128,
    /// The most in one second of trace time, from one whole second to the next.
    pub(super) peak: u128,
    /// The current second, and how much has come in it.
    second: (u64, u128),
}

/// The whole second of a time in milliseconds, which is not below zero.
pub(super) fn second_of(now: f64) -> u64 {
    (now / 1000.0).floor() as u64
}

impl PerSecond {
    /// Adds some in a second of trace time, which never falls.
    #[inline]
    pub(super) fn add(&mut self, amount: impl Into<u128>, second: u64) {
        let amount = amount.into();
        self.total += amount;
        let before = if self.second.0 == second { self.second.1 } else { 0 };
        self.second = (second, before + amount);
        self.peak = self.peak.max(self.second.1);
    }
}
