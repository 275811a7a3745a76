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
//! * `{"kvtrace_partial":1,"block_size":512,"piece":[3,100]}`, `piece` only if the user numbered them
//! * per request `[input_length, output_length, timestamp, n, first_id, new, positions]`: `n` ids in
//!   all, the first of them, and `new` ones as numbers or as runs `[start, length]`. `positions` of the
//!   new ones among all is left out where they stand at the end; for a request without ids the row
//!   ends after the timestamp. What is unknown is `null`.
//! * `{"requests":12031,"repeated":[14,2,...]}`: alternately how many of the new blocks to pass over and
//!   how many occurred again, in the order in which they were introduced.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::blocks::{BlockNumber, NumberRun, Numbering};
use crate::record::scan::Scanner;
use crate::record::{MAX_BLOCK_SIZE, MAX_LENGTH, Record};
use crate::stats::bitmap::Bitmap;
use crate::stats::{Analysis, AnalysisOptions};

/// Version of the format.
const VERSION: u32 = 1;

/// What is said when the merger's memory runs out.
const TOO_LARGE: &str = "the pieces need more than --max-memory";

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
}

/// A request of a piece.
#[derive(Default)]
pub(super) struct Row {
    pub(super) input_length: u64,
    pub(super) output_length: Option<u64>,
    pub(super) timestamp: Option<f64>,
    /// Number of all ids; `None` for a request without a list of ids.
    pub(super) n: Option<u32>,
    /// The first of them.
    pub(super) first: Option<u64>,
    /// Those that had not occurred in the piece, in order, as runs of consecutive ids.
    pub(super) new: Vec<IdRun>,
    /// Number of these.
    news: u32,
    /// Where these stand, unless it is at the end.
    positions: Option<Vec<u32>>,
}

impl Row {
    /// Where the new block of that index stands among the `n`.
    pub(super) fn position(&self, index: u32, n: u32) -> u32 {
        match &self.positions {
            Some(positions) => positions.get(index as usize).copied().unwrap_or(n),
            None => n - self.news + index,
        }
    }
}

impl Row {
    /// Appends the row as a line.
    fn write(&self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let mut number = |n: u64, out: &mut Vec<u8>| out.extend_from_slice(digits.format(n).as_bytes());
        out.push(b'[');
        number(self.input_length, out);
        out.push(b',');
        match self.output_length {
            Some(length) => number(length, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        match self.timestamp {
            // Whole numbers without ".0": shorter, and read back the same.
            Some(t) if t.fract() == 0.0 && (0.0..1e15).contains(&t) => number(t as u64, out),
            // Writing a number into memory cannot fail.
            Some(t) => serde_json::to_writer(&mut *out, &t).unwrap_or_default(),
            None => out.extend_from_slice(b"null"),
        }
        if let Some(n) = self.n {
            out.push(b',');
            number(n.into(), out);
            out.push(b',');
            match self.first {
                Some(id) => number(id, out),
                None => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b",[");
            for (index, &IdRun(start, len)) in self.new.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                if len == 1 {
                    number(start, out);
                } else {
                    out.push(b'[');
                    number(start, out);
                    out.push(b',');
                    number(len.into(), out);
                    out.push(b']');
                }
            }
            out.push(b']');
            if let Some(positions) = &self.positions {
                out.push(b',');
                // Writing numbers into memory cannot fail.
                serde_json::to_writer(&mut *out, positions).unwrap_or_default();
            }
        }
        out.extend_from_slice(b"]\n");
    }
}

/// Consecutive ids: the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRun(pub(super) u64, pub(super) u32);

impl<'de> Deserialize<'de> for IdRun {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = IdRun;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an id or a run [start, length] of ids")
            }

            fn visit_u64<E>(self, id: u64) -> Result<IdRun, E> {
                Ok(IdRun(id, 1))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut run: A) -> Result<IdRun, A::Error> {
                let missing = || A::Error::custom("expected a run [start, length] of ids");
                let start: u64 = run.next_element()?.ok_or_else(missing)?;
                let len: u32 = run.next_element()?.ok_or_else(missing)?;
                Ok(IdRun(start, len))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Row;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a row of a piece")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Row, A::Error> {
                let short = || A::Error::custom("a row has too few elements");
                Ok(Row {
                    news: 0,
                    input_length: row.next_element()?.ok_or_else(short)?,
                    output_length: row.next_element()?.ok_or_else(short)?,
                    timestamp: row.next_element()?.ok_or_else(short)?,
                    n: row.next_element()?,
                    first: row.next_element()?.flatten(),
                    new: row.next_element()?.unwrap_or_default(),
                    positions: row.next_element()?,
                })
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

impl Row {
    /// The usual row, without a library: what it accepts, the parser reads to the same.
    fn scan(&mut self, line: &[u8]) -> Option<()> {
        let scanner = &mut Scanner::new(line);
        scanner.pass(b'[')?;
        self.input_length = scanner.length()?;
        scanner.pass(b',')?;
        self.output_length = if scanner.passes_null() { None } else { Some(scanner.length()?) };
        scanner.pass(b',')?;
        self.timestamp = if scanner.passes_null() { None } else { Some(scanner.timestamp()?) };
        scanner.pass(b',')?;
        self.n = Some(u32::try_from(scanner.integer()?).ok()?);
        scanner.pass(b',')?;
        self.first = if scanner.passes_null() { None } else { Some(scanner.integer()?) };
        scanner.pass(b',')?;
        scanner.pass(b'[')?;
        self.new.clear();
        self.positions = None;
        while !scanner.passes(b']') {
            if !self.new.is_empty() {
                scanner.pass(b',')?;
            }
            if scanner.passes(b'[') {
                let start = scanner.integer()?;
                scanner.pass(b',')?;
                self.new.push(IdRun(start, u32::try_from(scanner.integer()?).ok()?));
                scanner.pass(b']')?;
            } else {
                self.new.push(IdRun(scanner.integer()?, 1));
            }
        }
        scanner.pass(b']')?;
        scanner.at_end().then_some(())
    }

    /// Reads a line into the row.
    fn read(&mut self, line: &[u8], block_size: u64) -> Result<(), String> {
        if self.scan(line).is_none() {
            *self = serde_json::from_slice(line).map_err(|e| format!("not a row of a piece: {e}"))?;
        }
        if self.input_length.max(self.output_length.unwrap_or(0)) > MAX_LENGTH {
            return Err("a length is not a plausible number of tokens".into());
        }
        let Some(n) = self.n else { return Ok(()) };
        if u64::from(n) != self.input_length.div_ceil(block_size) {
            let length = self.input_length;
            return Err(format!("{n} blocks for input_length {length} of block size {block_size}"));
        }
        let news: u64 = self.new.iter().map(|run| u64::from(run.1)).sum();
        let rising = |p: &Vec<u32>| p.is_sorted_by(|a, b| a < b) && p.last().is_none_or(|&last| last < n);
        let placed = self.positions.as_ref().is_none_or(|p| p.len() as u64 == news && rising(p));
        if news > u64::from(n) || !placed || (n > 0) != self.first.is_some() {
            return Err("the row's blocks do not fit its length".into());
        }
        self.news = news as u32;
        let whole = |&IdRun(start, len): &IdRun| len > 0 && start.checked_add(u64::from(len) - 1).is_some();
        if self.new.iter().all(whole) {
            Ok(())
        } else {
            Err("a run of ids is empty or passes 64 bits".into())
        }
    }
}

/// Writes the state of one piece. Memory: one bit per distinct block, and what [`Numbering`] takes.
pub struct PartialWriter {
    budget: Option<usize>,
    numbering: Numbering,
    repeated: Bitmap,
    requests: u64,
    numbers: Vec<BlockNumber>,
    row: Row,
}

impl PartialWriter {
    /// Begins a piece: appends its first line. `budget` is how many bytes its blocks may take.
    pub fn new(block_size: u64, piece: Option<Piece>, budget: Option<usize>, out: &mut Vec<u8>) -> Self {
        write_line(&Header { kvtrace_partial: VERSION, block_size, piece }, out);
        Self {
            budget,
            numbering: Numbering::default(),
            repeated: Bitmap::default(),
            requests: 0,
            numbers: Vec::new(),
            row: Row::default(),
        }
    }

    /// Appends the row of the next request.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered or fit into the budget.
    pub fn add(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), String> {
        self.requests += 1;
        self.row.n = None;
        if let Some(ids) = record.ids() {
            self.path(ids)?;
        }
        if self.budget.is_some_and(|budget| self.numbering.bytes() + self.repeated.bytes() > budget) {
            return Err(
                "the piece has more blocks than fit into --max-memory: cut it into smaller ones".into()
            );
        }
        self.row.input_length = record.input_length;
        self.row.output_length = record.output_length;
        self.row.timestamp = record.timestamp;
        self.row.write(out);
        Ok(())
    }

    fn path(&mut self, ids: &[u64]) -> Result<(), String> {
        let first_new = self.numbering.len();
        self.numbering.number(ids, &mut self.numbers)?;
        self.repeated.grow(self.numbering.len());
        let row = &mut self.row;
        row.new.clear();
        let known = self.numbers.iter().take_while(|&&block| block < first_new).count();
        self.numbers[..known].iter().for_each(|&block| self.repeated.set(block));
        let mut next = first_new;
        for (&block, &id) in self.numbers.iter().zip(ids).skip(known) {
            if block != next {
                self.repeated.set(block);
                continue;
            }
            next += 1;
            match row.new.last_mut() {
                Some(run) if run.0.checked_add(run.1.into()) == Some(id) => run.1 += 1,
                _ => row.new.push(IdRun(id, 1)),
            }
        }
        let at_end = (next - first_new) as usize == ids.len() - known;
        row.positions = (!at_end).then(|| {
            let mut next = first_new;
            let mut positions = Vec::new();
            for (position, &block) in self.numbers.iter().enumerate() {
                if block == next {
                    next += 1;
                    positions.push(position as u32);
                }
            }
            positions
        });
        row.n = Some(ids.len() as u32);
        row.first = ids.first().copied();
        Ok(())
    }

    /// Ends the piece: appends its last line.
    pub fn finish(&self, out: &mut Vec<u8>) {
        let mut repeated = Vec::new();
        let (mut start, end) = (0, self.numbering.len());
        while start < end {
            let skip = (start..end).take_while(|&block| !self.repeated.get(block)).count() as u32;
            let len = (start + skip..end).take_while(|&block| self.repeated.get(block)).count() as u32;
            if len > 0 {
                repeated.extend([skip, len]);
            }
            start += skip + len;
        }
        write_line(&Trailer { requests: self.requests, repeated }, out);
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
    /// The piece whose rows are being read.
    open: Option<OpenPiece>,
    previous: Option<Piece>,
    pieces: u32,
    /// Timestamp of the first request of the last piece that has one.
    started: Option<f64>,
    row: Row,
}

#[derive(Default)]
struct OpenPiece {
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
            row: Row::default(),
        }
    }

    /// Takes the next line of the pieces, which follow each other in the order of the trace.
    ///
    /// # Errors
    /// What is wrong with the line or the order, without its place.
    pub fn line(&mut self, line: &[u8]) -> Result<(), String> {
        match (&mut self.open, line.trim_ascii_start().first()) {
            (None, _) => self.begin(line),
            (Some(_), Some(b'[')) => self.row(line),
            (Some(_), _) => self.end(line),
        }
    }

    fn begin(&mut self, line: &[u8]) -> Result<(), String> {
        let header: Header = serde_json::from_slice(line)
            .map_err(|_| "expected the first line of a piece, as trace-stats --partial writes it")?;
        if header.kvtrace_partial != VERSION {
            return Err(format!("version {} of a piece, expected {VERSION}", header.kvtrace_partial));
        }
        match (header.piece, self.previous) {
            (Some((i, n)), _) if i == 0 || i > n => return Err(format!("there is no piece {i} of {n}")),
            (Some((i, n)), None) if self.pieces == 0 && i != 1 => {
                return Err(format!("piece {i} of {n} where piece 1 was expected"));
            }
            (Some((i, n)), Some((before, all))) if i != before + 1 || n != all => {
                return Err(format!("piece {i} of {n} after piece {before} of {all}"));
            }
            (given, before) if self.pieces > 0 && given.is_some() != before.is_some() => {
                return Err("numbered and unnumbered pieces cannot be merged".into());
            }
            _ => {}
        }
        if !(1..=MAX_BLOCK_SIZE).contains(&header.block_size) {
            return Err(format!("block_size: expected a number of tokens, found {}", header.block_size));
        }
        if self.analysis.is_some() && header.block_size != self.block_size {
            let (ours, theirs) = (self.block_size, header.block_size);
            return Err(format!("block size {theirs} differs from {ours}, that of the pieces before"));
        }
        self.block_size = header.block_size;
        let new = || Analysis::new(self.block_size, self.options.clone());
        self.analysis.get_or_insert_with(new);
        self.previous = header.piece;
        self.pieces += 1;
        self.open = Some(OpenPiece::default());
        Ok(())
    }

    fn row(&mut self, line: &[u8]) -> Result<(), String> {
        let row = &mut self.row;
        row.read(line, self.block_size)?;
        let (Some(piece), Some(analysis)) = (&mut self.open, &mut self.analysis) else { return Ok(()) };
        // Numbers say more about the order than times do.
        if let Some(timestamp) = row.timestamp.filter(|_| !piece.timed && self.previous.is_none()) {
            piece.timed = true;
            if self.started.is_some_and(|before| timestamp < before) {
                return Err(
                    "this piece begins before the one before it: pieces must be merged in order".into()
                );
            }
            self.started = Some(timestamp);
        }
        piece.requests += 1;
        // A row of a few bytes may name more blocks than there is memory for a bit of each.
        let more_bytes = row.news as usize / 8;
        if self.options.budget.is_some_and(|budget| analysis.bytes() + more_bytes > budget) {
            return Err(TOO_LARGE.into());
        }
        analysis.add_row(row)?;
        if row.n.is_some() {
            for &run in analysis.last_runs() {
                match piece.numbers.last_mut() {
                    Some(last) if last.end() == run.start => last.len += run.len,
                    _ => piece.numbers.push(run),
                }
            }
        }
        let bytes = analysis.bytes() + 8 * piece.numbers.len();
        if self.options.budget.is_some_and(|budget| bytes > budget) {
            return Err(TOO_LARGE.into());
        }
        Ok(())
    }

    fn end(&mut self, line: &[u8]) -> Result<(), String> {
        let trailer: Trailer =
            serde_json::from_slice(line).map_err(|e| format!("expected the last line of a piece: {e}"))?;
        let (Some(piece), Some(analysis)) = (self.open.take(), &mut self.analysis) else { return Ok(()) };
        if trailer.requests != piece.requests {
            let (stated, found) = (trailer.requests, piece.requests);
            return Err(format!("the piece has {found} requests, and {stated} according to its last line"));
        }
        if trailer.repeated.len() % 2 == 1 {
            return Err("repeated: expected pairs".into());
        }
        let mut rest = piece.numbers.into_iter();
        let mut run = NumberRun::default();
        for (index, &(mut count)) in trailer.repeated.iter().enumerate() {
            // Alternately blocks to pass over and blocks that occurred again.
            while count > 0 {
                if run.len == 0 {
                    run = rest.next().ok_or("repeated: more blocks than the piece has")?;
                }
                let part = run.take(count);
                count -= part.len;
                if index % 2 == 1 {
                    analysis.repeat(part);
                }
            }
        }
        Ok(())
    }

    /// The analysis of the whole trace; that of an empty one if there was no piece.
    ///
    /// # Errors
    /// When a piece is cut off or missing.
    pub fn finish(self) -> Result<Analysis, String> {
        if self.open.is_some() {
            return Err("the last piece is cut off".into());
        }
        match self.previous {
            Some((i, n)) if i < n => Err(format!("the last piece is {i} of {n}")),
            _ => {
                let empty = || Analysis::new(crate::record::DEFAULT_BLOCK_SIZE, self.options.clone());
                Ok(self.analysis.unwrap_or_else(empty))
            }
        }
    }
}
