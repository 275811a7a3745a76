//! A trace analysed in pieces: the state of each piece, and their merger.
//!
//! A trace is cut into consecutive pieces whose ids have the same meaning. What a piece can say by
//! itself is which blocks of a request occurred in the piece before; of the others it cannot know
//! whether an earlier piece had them. So a request is written down as its lengths and counts with
//! only the blocks that it introduces into its piece. The merger repeats the analysis over these rows,
//! in the order of the pieces, and so comes to exactly the figures of one run. At its end a piece
//! names the blocks that occurred again in it.
//!
//! A piece is a sequence of JSON lines:
//!
//! * `{"kvtrace_partial":3,"block_size":512,"piece":[3,100]}`, `piece` only if the user numbered them
//! * a row per request, see [`piece_row`](super::piece_row)
//! * `{"requests":12031,"repeated":[14,2,...],"restarted":[0,2,...]}`: alternately how many of the new
//!   blocks to pass over and how many occurred again, in the order in which they were introduced; and
//!   how many to pass over and how often the next one started a request that did not introduce it,
//!   where 2 is twice or more; and `recorded`, the sums of what the server recorded, if it did.

use serde::{Deserialize, Serialize};

use crate::blocks::NumberRun;
use crate::error::{Error, Invalid, InvalidKind};
use crate::io::{Input, Status};
use crate::record::scan::Scanner;
use crate::record::{MAX_BLOCK_SIZE, Record};
use crate::stats::infinite::InfiniteCache;
use crate::stats::piece_row::{Before, IdRun, PieceRow};
use crate::stats::recorded::RecordedSums;
use crate::stats::repeats::{Repeats, Restarts};
use crate::stats::{Analysis, AnalysisOptions};

/// Version of the format.
const VERSION: u32 = 3;

/// Place of a piece in its trace: number from 1, and number of pieces.
pub type Piece = (u32, u32);

/// First line of a piece.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kvtrace_partial: u32,
    block_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    piece: Option<Piece>,
}

/// Last line of a piece.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    requests: u64,
    repeated: Vec<u32>,
    restarted: Vec<u32>,
    #[serde(default, skip_serializing_if = "RecordedSums::is_empty")]
    recorded: RecordedSums,
}

impl Trailer {
    /// The usual text, without a library: what it accepts, the parser reads to the same.
    fn scan(line: &[u8]) -> Option<Self> {
        let scanner = &mut Scanner::new(line);
        let start = scanner.passes_text(b"{\"requests\":");
        let requests = scanner.integer()?;
        let mut list = |name: &[u8]| {
            let named = scanner.passes_text(name);
            let mut numbers = Vec::new();
            while !scanner.passes(b']') {
                if !numbers.is_empty() {
                    scanner.pass(b',')?;
                }
                numbers.push(u32::try_from(scanner.integer()?).ok()?);
            }
            named.then_some(numbers)
        };
        let (repeated, restarted) = (list(b",\"repeated\":[")?, list(b",\"restarted\":[")?);
        scanner.pass(b'}')?;
        (start && scanner.at_end()).then_some(Self {
            requests,
            repeated,
            restarted,
            recorded: RecordedSums::default(),
        })
    }
}

/// Writes the state of one piece. Memory: one bit per distinct block, what [`InfiniteCache`] takes, and
/// some 16 bytes for each block that started a request before.
pub struct PartialWriter {
    budget: Option<usize>,
    block_size: u64,
    cache: InfiniteCache,
    repeats: Repeats,
    requests: u64,
    before: Before,
    row: PieceRow,
    recorded: RecordedSums,
}

impl PartialWriter {
    /// Begins a piece: appends its first line. `budget` is how many bytes its blocks may take.
    pub fn new(block_size: u64, piece: Option<Piece>, budget: Option<usize>, out: &mut Vec<u8>) -> Self {
        write_line(&Header { kvtrace_partial: VERSION, block_size, piece }, out);
        Self {
            budget,
            block_size,
            cache: InfiniteCache::default(),
            repeats: Repeats::default(),
            requests: 0,
            before: Before::default(),
            row: PieceRow::default(),
            recorded: RecordedSums::default(),
        }
    }

    /// Appends the row of the next request.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered or fit into the budget.
    pub fn add(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.requests += 1;
        self.row.n = None;
        self.row.is_full = false;
        self.row.new.clear();
        self.row.positions = None;
        if let Some(ids) = record.ids() {
            self.row.n = Some(ids.len() as u32);
            self.row.is_full = (ids.len() as u64) < record.input_length.div_ceil(self.block_size);
            self.path(ids)?;
        }
        let bytes = self.cache.numbering().bytes() + self.repeats.bytes();
        if self.budget.is_some_and(|budget| bytes > budget) {
            return Err(Invalid::over_limit(
                "the piece has more blocks than fit into `max_memory`: cut it into smaller ones",
            ));
        }
        self.row.input_length = record.input_length;
        self.row.output_length = record.output_length;
        self.row.timestamp = record.timestamp;
        self.row.write(&self.before, out);
        self.before.pass(&self.row);
        if let Some((input_length, cached_tokens)) = record.recorded() {
            self.recorded.count(input_length, cached_tokens);
        }
        Ok(())
    }

    fn path(&mut self, ids: &[u64]) -> Result<(), Invalid> {
        let row = &mut self.row;
        let lookup = self.cache.request(ids)?;
        self.repeats.add(&lookup);
        // The new blocks mostly stand together at the end.
        let (mut at, mut any_new, mut at_end) = (0, false, true);
        for (run, is_new) in lookup.runs_by_age() {
            if is_new {
                let id = ids[at];
                match row.new.last_mut() {
                    Some(last) if last.0.checked_add(last.1.into()) == Some(id) => last.1 += run.len,
                    _ => row.new.push(IdRun(id, run.len)),
                }
                any_new = true;
            } else {
                at_end &= !any_new;
            }
            at += run.len as usize;
        }
        if !at_end {
            let mut at = 0;
            let mut positions = Vec::new();
            for (run, is_new) in lookup.runs_by_age() {
                positions.extend((at..at + run.len).filter(|_| is_new));
                at += run.len;
            }
            row.positions = Some(positions);
        }
        Ok(())
    }

    /// Ends the piece: appends its last line.
    pub fn finish(&self, out: &mut Vec<u8>) {
        let mut repeated = Vec::new();
        let bits = self.repeats.repeated();
        let (mut start, end) = (0, self.cache.numbering().len());
        while start < end {
            let skip = (start..end).take_while(|&block| !bits.get(block)).count() as u32;
            let len = (start + skip..end).take_while(|&block| bits.get(block)).count() as u32;
            if len > 0 {
                repeated.extend([skip, len]);
            }
            start += skip + len;
        }
        let mut restarts: Vec<_> = self.repeats.all_restarts().collect();
        restarts.sort_unstable_by_key(|&(block, _)| block);
        let mut restarted = Vec::new();
        let mut next = 0;
        for (block, times) in restarts {
            restarted.extend([block - next, if times == Restarts::Once { 1 } else { 2 }]);
            next = block + 1;
        }
        let recorded = self.recorded;
        write_line(&Trailer { requests: self.requests, repeated, restarted, recorded }, out);
    }
}

fn write_line(line: &impl Serialize, out: &mut Vec<u8>) {
    // Writing plain data into memory cannot fail.
    serde_json::to_writer(&mut *out, line).ok();
    out.push(b'\n');
}

/// Merges pieces, in order, into the analysis of the whole trace.
pub struct Merger {
    options: AnalysisOptions,
    analysis: Option<Analysis>,
    block_size: u64,
    /// The piece whose rows are being taken.
    open: Option<OpenPiece>,
    previous: Option<Piece>,
    pieces: u32,
    /// Timestamp of the first request of the last piece that has one.
    started: Option<f64>,
    /// The current row.
    row: PieceRow,
}

#[derive(Default)]
struct OpenPiece {
    /// What its next row builds on.
    before: Before,
    requests: u64,
    /// Numbers in the whole trace of the blocks that the piece introduced, as runs.
    numbers: Vec<NumberRun>,
    timed: bool,
}

impl Merger {
    /// A merger of no piece yet.
    pub fn new(options: AnalysisOptions) -> Self {
        Self {
            options,
            analysis: None,
            block_size: 0,
            open: None,
            previous: None,
            pieces: 0,
            started: None,
            row: PieceRow::default(),
        }
    }

    /// Goes on to the next line of an input of pieces, which follow each other in the order of the trace,
    /// and takes it; false after the last.
    ///
    /// # Errors
    /// Those of [`Input::advance`] and of [`Merger::line`].
    pub fn advance(
        &mut self,
        input: &mut Input,
        idle: impl FnMut(Status) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let taken = match &self.open {
            // A row mostly follows a row: it is read without looking for its end first.
            Some(piece)
                if input.advance_by(|text| self.row.read_first(text, &piece.before, self.block_size)) =>
            {
                self.take_row()
            }
            _ if input.advance(idle)? => self.line(input.line()),
            _ => return Ok(false),
        };
        taken.map_err(|message| input.error(message))?;
        Ok(true)
    }

    /// Takes the text of the next line of the pieces.
    ///
    /// # Errors
    /// What is wrong with the line or the order, without its place.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Invalid> {
        let Some(piece) = &self.open else { return self.begin(line) };
        if line.trim_ascii_start().first() == Some(&b'[') {
            self.row.read(line, &piece.before, self.block_size)?;
            return self.take_row();
        }
        let trailer = Trailer::scan(line).map_or_else(|| serde_json::from_slice(line), Ok);
        self.end(&trailer.map_err(|e| Invalid::malformed(format!("expected the last line of a piece: {e}")))?)
    }

    fn begin(&mut self, line: &[u8]) -> Result<(), Invalid> {
        let header: Header = serde_json::from_slice(line).map_err(|_| {
            Invalid::malformed("expected the first line of a piece, as trace-stats `partial` writes it")
        })?;
        if header.kvtrace_partial != VERSION {
            let found = header.kvtrace_partial;
            return Err(Invalid::conflict(format!("version {found} of a piece, expected {VERSION}")));
        }
        if !(1..=MAX_BLOCK_SIZE).contains(&header.block_size) {
            let found = header.block_size;
            return Err(Invalid::value(format!("block_size: expected a number of tokens, found {found}")));
        }
        match (header.piece, self.previous) {
            (Some((i, n)), _) if i == 0 || i > n => {
                return Err(Invalid::conflict(format!("there is no piece {i} of {n}")));
            }
            (Some((i, n)), None) if self.pieces == 0 && i != 1 => {
                return Err(Invalid::conflict(format!("piece {i} of {n} where piece 1 was expected")));
            }
            (Some((i, n)), Some((before, all))) if i != before + 1 || n != all => {
                return Err(Invalid::conflict(format!("piece {i} of {n} after piece {before} of {all}")));
            }
            (given, before) if self.pieces > 0 && given.is_some() != before.is_some() => {
                return Err(Invalid::conflict("numbered and unnumbered pieces cannot be merged"));
            }
            _ => {}
        }
        if self.analysis.is_some() && header.block_size != self.block_size {
            let (ours, theirs) = (self.block_size, header.block_size);
            return Err(Invalid::new(
                InvalidKind::BlockSizeMismatch,
                format!("block size {theirs} differs from {ours}, that of the pieces before"),
            ));
        }
        self.block_size = header.block_size;
        self.options.check_hit_unit(self.block_size)?;
        let new = || Analysis::new(self.block_size, self.options.clone());
        self.analysis.get_or_insert_with(new);
        self.previous = header.piece;
        self.pieces += 1;
        self.open = Some(OpenPiece::default());
        Ok(())
    }

    fn take_row(&mut self) -> Result<(), Invalid> {
        let (Some(piece), Some(analysis)) = (&mut self.open, &mut self.analysis) else { return Ok(()) };
        let row = &self.row;
        piece.before.pass(row);
        // Numbers say more about the order than times do.
        if !piece.timed
            && self.previous.is_none()
            && let Some(timestamp) = row.timestamp
        {
            piece.timed = true;
            if self.started.is_some_and(|before| timestamp < before) {
                return Err(Invalid::conflict(
                    "this piece begins before the one before it: pieces must be merged in order",
                ));
            }
            self.started = Some(timestamp);
        }
        piece.requests += 1;
        // A row of a few bytes may name more blocks than there is memory for a bit of each.
        let bytes = analysis.state.bytes().total() + 8 * piece.numbers.len() + row.news() as usize / 8;
        if self.options.budget.is_some_and(|budget| bytes > budget) {
            return Err(Invalid::over_limit("the pieces need more than `max_memory`"));
        }
        for &run in analysis.add_row(row)?.runs {
            match piece.numbers.last_mut() {
                Some(last) if last.end() == run.start => last.len += run.len,
                _ => piece.numbers.push(run),
            }
        }
        Ok(())
    }

    fn end(&mut self, trailer: &Trailer) -> Result<(), Invalid> {
        let (Some(piece), Some(analysis)) = (self.open.take(), &mut self.analysis) else { return Ok(()) };
        if trailer.requests != piece.requests {
            let (stated, found) = (trailer.requests, piece.requests);
            return Err(Invalid::conflict(format!(
                "the piece has {found} requests, and {stated} according to its last line"
            )));
        }
        if trailer.repeated.len() % 2 == 1 || trailer.restarted.len() % 2 == 1 {
            return Err(Invalid::malformed("repeated, restarted: expected pairs"));
        }
        analysis.recorded().merge(trailer.recorded);
        let more = || Invalid::conflict("repeated, restarted: more blocks than the piece has");
        let mut blocks = Blocks::of(&piece.numbers);
        for pair in trailer.repeated.chunks_exact(2) {
            blocks.take(pair[0], |_| {}).ok_or_else(more)?;
            blocks.take(pair[1], |run| analysis.repeats().repeat(run)).ok_or_else(more)?;
        }
        let mut blocks = Blocks::of(&piece.numbers);
        for pair in trailer.restarted.chunks_exact(2) {
            blocks.take(pair[0], |_| {}).ok_or_else(more)?;
            let times = if pair[1] == 1 { Restarts::Once } else { Restarts::More };
            blocks.take(1, |run| analysis.repeats().restart(run.start, times)).ok_or_else(more)?;
        }
        Ok(())
    }

    /// The analysis of the whole trace; that of an empty one if there was no piece.
    ///
    /// # Errors
    /// When a piece is cut off or missing.
    pub fn finish(self) -> Result<Analysis, Invalid> {
        if self.open.is_some() {
            return Err(Invalid::malformed("the last piece is cut off"));
        }
        match self.previous {
            Some((i, n)) if i < n => Err(Invalid::conflict(format!("the last piece is {i} of {n}"))),
            _ => {
                let empty = || Analysis::new(crate::record::DEFAULT_BLOCK_SIZE, self.options.clone());
                Ok(self.analysis.unwrap_or_else(empty))
            }
        }
    }
}

/// The blocks of a piece, taken from the front.
struct Blocks<'a> {
    rest: std::slice::Iter<'a, NumberRun>,
    run: NumberRun,
}

impl<'a> Blocks<'a> {
    fn of(runs: &'a [NumberRun]) -> Self {
        Self { rest: runs.iter(), run: NumberRun::default() }
    }

    /// Takes the next `count` as runs; `None` if there are fewer.
    fn take(&mut self, mut count: u32, mut each: impl FnMut(NumberRun)) -> Option<()> {
        while count > 0 {
            if self.run.len == 0 {
                self.run = *self.rest.next()?;
            }
            let part = self.run.take(count);
            count -= part.len;
            each(part);
        }
        Some(())
    }
}
