//! Writing records at the times in their timestamps.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::io::signals;

/// Waits for the moment of each record.
///
/// The first record sets the clock; every later one waits for its own time on that clock, not for a
/// while after the one before, so that delays do not add up.
#[derive(Default)]
pub(crate) struct Pacer {
    /// When the first record was written, and its timestamp.
    start: Option<(Instant, f64)>,
}

impl Pacer {
    /// Waits until `timestamp_ms` has come; returns at once if it has passed.
    ///
    /// # Errors
    /// [`Error::Signal`](crate::error::Error::Signal) when one comes first.
    pub(crate) fn wait(&mut self, timestamp_ms: f64) -> Result<()> {
        let (start, first) = *self.start.get_or_insert_with(|| (Instant::now(), timestamp_ms));
        let seconds = (timestamp_ms - first) / 1000.0;
        // A time before the first one counts as the first; one that no clock can reach, as the far future.
        let after = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        match start.checked_add(after) {
            Some(moment) => signals::wait_until(moment),
            None => signals::wait_until(start + Duration::from_secs(1 << 40)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_end_at_their_moments_and_do_not_add_up() {
        let mut pacer = Pacer::default();
        let start = Instant::now();
        for timestamp in [500.0, 510.0, 505.0, 400.0, 600.0] {
            pacer.wait(timestamp).unwrap();
            let due = Duration::from_secs_f64((timestamp - 500.0_f64).max(0.0) / 1000.0);
            assert!(start.elapsed() >= due, "{timestamp} came early");
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
