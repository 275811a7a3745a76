//! The replica that each record is sent to, written into its line.

use crate::blocks::{NumberRun, Numbering};
use crate::error::Invalid;
use crate::fleet::{Arrival, Detail, Fleet, Fleets, Route};
use crate::record::line::REPLICA;
use crate::record::{affinity, general};

/// Sends the records that are written to the replicas of a fleet. It knows what a server would: the ids, the
/// length, the time and the session as they stand in the line that is written.
pub(super) struct Dispatcher {
    fleet: Fleet,
    numbering: Numbering,
    runs: Vec<NumberRun>,
    /// Made with the first record, which settles the block size.
    fleets: Option<Fleets>,
    now: f64,
    max_memory: usize,
}

impl Dispatcher {
    /// Nothing has been sent yet. What is known of blocks and sessions may take `max_memory` bytes.
    pub(super) fn new(fleet: Fleet, max_memory: usize) -> Self {
        let (numbering, runs) = (Numbering::default(), Vec::new());
        Self { fleet, numbering, runs, fleets: None, now: 0.0, max_memory }
    }

    /// Sends the record whose line stands at the end of `out`, from `start` on, and writes into it where it went.
    ///
    /// # Errors
    /// When there are more blocks than can be numbered, or than fit into memory.
    pub(super) fn send(&mut self, record: &Sent, start: usize, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let line = out[start..].trim_ascii_end();
        self.now = self.now.max(record.time.unwrap_or(0.0));
        let first_new = self.numbering.len();
        self.runs.clear();
        self.numbering.number_as_runs(record.ids, &mut self.runs)?;
        let fleet = self.fleet;
        let new = || Fleets::new(&[fleet], record.block_size, Detail::default());
        let fleets = self.fleets.get_or_insert_with(new);
        fleets.send(&Arrival {
            runs: &self.runs,
            first_new,
            tokens: record.input_length,
            now: self.now,
            session: if fleet.route == Route::Session { affinity(line, None) } else { None },
        });
        if fleets.bytes() + self.numbering.bytes() > self.max_memory {
            return Err(Invalid::over_limit(
                "the blocks that `replicas` have take more memory than `max_memory` allows",
            ));
        }
        let replica = fleets.choices().first().map_or(0, |choice| choice.replica);
        general::set_number(REPLICA, u64::from(replica), start, out);
        Ok(())
    }
}

/// What is sent.
pub(super) struct Sent<'a> {
    pub(super) ids: &'a [u64],
    pub(super) input_length: u64,
    /// Milliseconds, as they are written.
    pub(super) time: Option<f64>,
    pub(super) block_size: u64,
}
