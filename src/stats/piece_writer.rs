//! The state of a piece of a trace, made of its records or of the pieces of which it consists.

use serde::Serialize;

use crate::blocks::{BlockNumber, NumberRun};
use crate::error::Invalid;
use crate::record::{DEFAULT_BLOCK_SIZE, Record};
use crate::stats::cache::{LruStack, StackRun};
use crate::stats::infinite::{InfiniteCache, Lookup};
use crate::stats::piece_end::{Again, PieceEnd};
use crate::stats::piece_header::{Header, Piece};
use crate::stats::piece_row::{Before, IdRun, PieceRow, UsedRun};
use crate::stats::repeats::Repeats;

/// Writes the state of one piece. Memory: what [`InfiniteCache`] takes, 8 bytes and a bit per distinct block, 12
/// bytes per request, and some 16 for each block that started a request before.
pub struct PartialWriter {
    budget: Option<usize>,
    block_size: u64,
    cache: InfiniteCache,
    repeats: Repeats,
    stack: LruStack,
    /// Blocks before those that each request with ids introduced.
    starts: Vec<BlockNumber>,
    requests: u64,
    lines: u64,
    before: Before,
    row: PieceRow,
    /// Where the blocks of the current request were in the stack.
    runs: Vec<StackRun>,
}

impl PartialWriter {
    /// Begins a piece: appends its first line. `budget` is how many bytes its blocks may take.
    pub fn new(block_size: u64, piece: Option<Piece>, budget: Option<usize>, out: &mut Vec<u8>) -> Self {
        Self::begin(&Header::new(Some(block_size), piece), budget, out)
    }

    pub(super) fn begin(header: &Header, budget: Option<usize>, out: &mut Vec<u8>) -> Self {
        write_line(header, out);
        Self {
            budget,
            // Without one there are no requests either.
            block_size: header.block_size.unwrap_or(DEFAULT_BLOCK_SIZE),
            cache: InfiniteCache::default(),
            repeats: Repeats::default(),
            stack: LruStack::default(),
            starts: Vec::new(),
            requests: 0,
            lines: 0,
            before: Before::default(),
            row: PieceRow::default(),
            runs: Vec::new(),
        }
    }

    /// Appends the row of the next request.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered or fit into the budget.
    pub fn add(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.begin_row();
        if let Some(ids) = record.ids() {
            self.row.n = Some(ids.len() as u32);
            self.row.is_full = (ids.len() as u64) < record.input_length.div_ceil(self.block_size);
            self.path(ids)?;
        }
        if self.budget.is_some_and(|budget| self.bytes() > budget) {
            return Err(Invalid::over_limit(
                "the piece has more blocks than fit into `max_memory`: cut it into smaller ones",
            ));
        }
        self.row.input_length = record.input_length;
        self.row.output_length = record.output_length;
        self.row.timestamp = record.timestamp;
        self.row.recorded = record.recorded().map(|of| (of.input, of.cached, record.line));
        self.row.written = record.recorded().and_then(|of| of.written);
        self.lines = record.line;
        self.end_row(out);
        Ok(())
    }

    fn begin_row(&mut self) {
        self.requests += 1;
        self.row.n = None;
        self.row.is_full = false;
        self.row.new.clear();
        self.row.used.clear();
        self.row.positions = None;
    }

    fn end_row(&mut self, out: &mut Vec<u8>) {
        self.row.write(&self.before, out);
        self.before.pass(&self.row);
    }

    fn path(&mut self, ids: &[u64]) -> Result<(), Invalid> {
        let lookup = self.cache.request(ids)?;
        self.repeats.add(&lookup);
        self.starts.push(lookup.first_new);
        self.stack.touch(lookup.runs, lookup.first_new, &mut self.runs);
        let mut at = 0;
        let first_id = |len: u32| {
            at += len as usize;
            ids[at - len as usize]
        };
        introduce(&mut self.row, &lookup, first_id, |index| index);
        self.row.used.extend(used(&self.runs, self.stack.requests()));
        Ok(())
    }

    /// Appends the row of a request of a piece of this piece: all its blocks but those in `row.new` have occurred
    /// in the other piece before. Gives the numbers of these.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, and when the row contradicts those before it.
    pub(super) fn add_row(&mut self, row: &PieceRow, out: &mut Vec<u8>) -> Result<&[NumberRun], Invalid> {
        self.begin_row();
        if let Some(n) = row.n {
            (self.row.n, self.row.is_full) = (row.n, row.is_full);
            let ids = row.new.iter().map(|run| (run.0, run.1));
            let lookup = self.cache.request_of_piece(n, ids, |index| row.position(index, n))?;
            self.repeats.add(&lookup);
            self.starts.push(lookup.first_new);
            self.stack.touch_row(row, lookup.runs, lookup.first_new, &mut self.runs)?;
            let mut ids = row.new.iter().copied();
            let mut rest = IdRun(0, 0);
            let first_id = |len: u32| {
                while rest.1 == 0 {
                    let Some(next) = ids.next() else { break };
                    rest = next;
                }
                let id = rest.0;
                let mut len = len;
                while len > rest.1 {
                    len -= rest.1;
                    let Some(next) = ids.next() else { break };
                    rest = next;
                }
                rest = IdRun(rest.0.wrapping_add(len.into()), rest.1.saturating_sub(len));
                id
            };
            introduce(&mut self.row, &lookup, first_id, |index| row.position(index, n));
            self.row.used.extend(used(&self.runs, self.stack.requests()));
        }
        self.row.input_length = row.input_length;
        self.row.output_length = row.output_length;
        self.row.timestamp = row.timestamp;
        self.row.recorded = row.recorded;
        self.row.written = row.written;
        self.end_row(out);
        Ok(if row.n.is_some() { self.cache.last_runs() } else { &[] })
    }

    /// Ends a piece of this piece, whose blocks have these numbers; there are `lines` by then.
    ///
    /// # Errors
    /// When the end contradicts the rows.
    pub(super) fn end_piece(
        &mut self,
        numbers: &[NumberRun],
        end: &PieceEnd,
        lines: u64,
    ) -> Result<(), Invalid> {
        self.lines = lines;
        end.note_repeats(numbers, &mut self.repeats)?;
        self.stack.end_piece(numbers, end)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let stack = self.stack.block_bytes() + self.stack.request_bytes();
        self.cache.numbering().bytes()
            + self.repeats.bytes()
            + stack
            + size_of::<BlockNumber>() * self.starts.len()
    }

    /// Ends the piece: appends its last line.
    pub fn finish(&self, out: &mut Vec<u8>) {
        self.finish_with(None, None, out);
    }

    /// The same where it consists of several pieces, the last of which has this number, or so many groups follow.
    pub(super) fn finish_with(&self, last: Option<u32>, groups: Option<u32>, out: &mut Vec<u8>) {
        let mut restarts: Vec<_> = self.repeats.all_restarts().collect();
        restarts.sort_unstable_by_key(|&(block, _)| block);
        let mut next = 0;
        let restarted = restarts.into_iter().map(|(block, often)| {
            let skip = block - std::mem::replace(&mut next, block + 1);
            (skip, often)
        });
        let mut order: Vec<NumberRun> = Vec::new();
        for block in self.stack.order().into_iter().flatten() {
            match order.last_mut() {
                Some(last) if last.end() == block => last.len += 1,
                _ => order.push(NumberRun { start: block, len: 1 }),
            }
        }
        let end = PieceEnd {
            requests: self.requests,
            repeated: self.repeated(),
            restarted: restarted.collect(),
            order,
            lines: (self.lines > 0 && self.lines != self.requests).then_some(self.lines),
            through: last,
            groups,
        };
        end.write(out);
    }

    /// The blocks that occurred again, and the requests that used them last.
    fn repeated(&self) -> Vec<Again> {
        let bits = self.repeats.repeated();
        let mut repeated: Vec<Again> = Vec::new();
        let (mut request, mut end) = (0, 0);
        for block in bits.ones() {
            // The request that introduced it is the last one that began at it or before.
            while self.starts.get(request + 1).is_some_and(|&start| start <= block) {
                request += 1;
            }
            let later = self.stack.last_users()[block as usize] - request as u32;
            match repeated.last_mut() {
                Some(last) if end == block && last.later == later => last.len += 1,
                _ => repeated.push(Again { skip: block - end, len: 1, later }),
            }
            end = block + 1;
        }
        repeated
    }
}

/// Writes the blocks of a request that are new by `lookup` into `row`. `first_id` says with which id the next so
/// many blocks looked up begin, and `position` where the one of each index stands.
fn introduce(
    row: &mut PieceRow,
    lookup: &Lookup,
    mut first_id: impl FnMut(u32) -> u64,
    position: impl Fn(u32) -> u32,
) {
    let news = lookup.new_blocks();
    let (mut at, mut is_first) = (0, true);
    for (run, is_new) in lookup.runs_by_age() {
        let id = first_id(run.len);
        if is_new {
            match row.new.last_mut() {
                Some(last) if last.0.checked_add(last.1.into()) == Some(id) => last.1 += run.len,
                _ => row.new.push(IdRun(id, run.len)),
            }
            // The new blocks mostly stand together at the end.
            if is_first && row.n != Some(position(at) + news) {
                row.positions = Some(Vec::with_capacity(news as usize));
            }
            is_first = false;
            if let Some(positions) = &mut row.positions {
                positions.extend((at..at + run.len).map(&position));
            }
        }
        at += run.len;
    }
}

/// Where known blocks were in the stack, as a row says it, when there are so many requests with this one.
fn used(runs: &[StackRun], requests: u32) -> impl Iterator<Item = UsedRun> + '_ {
    runs.iter().map(move |run| UsedRun {
        len: run.len,
        distance: run.distance,
        back: requests - 1 - run.request,
    })
}

fn write_line(line: &impl Serialize, out: &mut Vec<u8>) {
    // Writing plain data into memory cannot fail.
    serde_json::to_writer(&mut *out, line).ok();
    out.push(b'\n');
}
