//! What the cache of an engine held when a request arrived, by the events that the engine sent.
//!
//! Blocks that were stored and removed are replayed up to the time of each record, and what it could find
//! of its prompt by then is written into its line as `cached_tokens`, whole blocks and not the last token, as
//! engines do. A block may be there several times, since vLLM does not merge equal ones.

use std::collections::HashMap;
use std::path::Path;

use foldhash::fast::RandomState;

use crate::error::{Invalid, Result};
use crate::io::{Input, InputOptions};
use crate::record::formats::{Event, EventBatch};
use crate::record::line::CACHED_TOKENS;
use crate::record::{Record, general};

/// The contents of a cache at the time of one record after the other.
pub(super) struct Contents {
    input: Input,
    /// Events that have been read and are later than the last record.
    next: Option<EventBatch>,
    server: Option<(Option<String>, Option<String>)>,
    /// How often each block is there.
    held: HashMap<u64, u32, RandomState>,
    most_held: usize,
    counts: Counts,
}

/// What has happened so far.
#[derive(Default)]
struct Counts {
    stored: u64,
    removed: u64,
    /// Removed without having been stored.
    unknown: u64,
    elsewhere: u64,
    batches: u64,
    records: u64,
    /// Records before the first event.
    early: u64,
    cached_tokens: u128,
}

impl Contents {
    /// Nothing is held, and the events of a file are to come.
    ///
    /// # Errors
    /// When the file does not exist.
    pub(super) fn new(file: &Path) -> Result<Self> {
        let input = Input::new([file], InputOptions::default())?;
        Ok(Self {
            input,
            next: None,
            server: None,
            held: HashMap::default(),
            most_held: 0,
            counts: Counts::default(),
        })
    }

    /// Replays the events up to the time of `record` and writes into its line, at the end of `out` from `start`
    /// on, what was there of its prompt. A record without ids or without a time stays as it is.
    ///
    /// # Errors
    /// When events cannot be read.
    pub(super) fn look_up(
        &mut self,
        record: &Record,
        (block_size, time): (u64, Option<f64>),
        start: usize,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Invalid> {
        let Some(now) = time.filter(|_| record.has_ids) else { return Ok(()) };
        self.replay(now).map_err(|error| Invalid::conflict(error.to_string()))?;
        let limit = (record.input_length.saturating_sub(1) / block_size) as usize;
        let ids = record.hash_ids.iter().take(limit);
        let found = ids.take_while(|id| self.held.contains_key(id)).count() as u64 * block_size;
        self.counts.records += 1;
        self.counts.early += u64::from(self.counts.batches == 0);
        self.counts.cached_tokens += u128::from(found);
        general::set_number(CACHED_TOKENS, found, start, out);
        Ok(())
    }

    fn replay(&mut self, now: f64) -> Result<()> {
        loop {
            if self.next.is_none() && self.input.advance(|_| Ok(()))? {
                let batch = EventBatch::parse(self.input.line());
                self.next = Some(batch.map_err(|invalid| self.input.error(invalid.message))?);
            }
            let Some(batch) = self.next.take_if(|batch| batch.time.as_f64() <= now) else { return Ok(()) };
            self.apply(batch)?;
        }
    }

    fn apply(&mut self, batch: EventBatch) -> Result<()> {
        let server = self.server.get_or_insert_with(|| batch.server.clone());
        if *server != batch.server {
            let message = "events of several workers or ranks: a trace is of one, so select its events";
            return Err(self.input.error(message));
        }
        self.counts.batches += 1;
        self.counts.elsewhere += batch.elsewhere;
        for event in batch.events {
            match event {
                Event::Stored(stored) => {
                    self.counts.stored += stored.blocks.len() as u64;
                    stored.blocks.iter().for_each(|&block| *self.held.entry(block).or_default() += 1);
                }
                Event::Removed(blocks) => blocks.into_iter().for_each(|block| self.remove(block)),
                Event::Cleared => self.held.clear(),
            }
            self.most_held = self.most_held.max(self.held.len());
        }
        Ok(())
    }

    fn remove(&mut self, block: u64) {
        self.counts.removed += 1;
        match self.held.get_mut(&block) {
            Some(1) => drop(self.held.remove(&block)),
            Some(times) => *times -= 1,
            None => self.counts.unknown += 1,
        }
    }

    /// What the user should know in the end.
    pub(super) fn notes(&self) -> Vec<String> {
        let Counts { stored, removed, unknown, elsewhere, batches, records, early, cached_tokens } =
            self.counts;
        let mut notes = vec![format!(
            "events until the last request: {stored} blocks stored, {removed} removed, {} held at the end, {} at \
             most; {cached_tokens} tokens found by {records} requests",
            self.held.len(),
            self.most_held,
        )];
        if batches == 0 || early == records {
            notes.push("no event is before a request: are times those of the same clock?".into());
        } else if early > 0 {
            notes.push(format!("{early} of {records} requests are before the first event"));
        }
        if batches > 0 && cached_tokens == 0 {
            notes.push("no request finds a block: are ids those of the engine (`ids` of trace-hash)?".into());
        }
        if unknown > 0 {
            notes.push(format!("{unknown} blocks were removed that were never stored: events are missing"));
        }
        if elsewhere > 0 {
            notes.push(format!("{elsewhere} events of slower tiers or further groups of layers passed over"));
        }
        notes
    }
}
