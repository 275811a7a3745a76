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
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::blocks::{BlockNumber, Numbering};
use crate::record::{MAX_BLOCK_SIZE, MAX_LENGTH, Record};
use crate::stats::bitmap::Bitmap;
use crate::stats::{Analysis, AnalysisOptions};

/// Version of the format.
const VERSION: u32 = 1;

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
    /// Absent for a request without ids.
    pub(super) path: Option<RowPath>,
}

/// The blocks of a request of a piece.
#[derive(Default)]
pub(super) struct RowPath {
    /// Number of all ids.
    pub(super) n: u32,
    /// The first of them.
    pub(super) first: Option<u64>,
    /// Those that had not occurred in the piece, in order.
    pub(super) new: Vec<u64>,
    /// Where these stand, unless it is at the end.
    positions: Option<Vec<u32>>,
}

impl RowPath {
    /// Where the new block of that index stands.
    pub(super) fn position(&self, index: usize) -> u32 {
        match &self.positions {
            Some(positions) => positions.get(index).copied().unwrap_or(self.n),
            None => self.n - self.new.len() as u32 + index as u32,
        }
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(None)?;
        row.serialize_element(&self.input_length)?;
        row.serialize_element(&self.output_length)?;
        match self.timestamp {
            // Whole numbers without ".0": shorter, and read back the same.
            Some(t) if t.fract() == 0.0 && t.abs() < 1e15 => row.serialize_element(&(t as i64))?,
            timestamp => row.serialize_element(&timestamp)?,
        }
        if let Some(path) = &self.path {
            row.serialize_element(&path.n)?;
            row.serialize_element(&path.first)?;
            row.serialize_element(&Ids(&path.new))?;
            if let Some(positions) = &path.positions {
                row.serialize_element(positions)?;
            }
        }
        row.end()
    }
}

/// Ids with consecutive ones as runs.
struct Ids<'a>(&'a [u64]);

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for run in self.0.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            match run {
                [id] => list.serialize_element(id)?,
                _ => list.serialize_element(&(run[0], run.len()))?,
            }
        }
        list.end()
    }
}

/// A number, or a run of numbers.
struct IdRun(u64, u32);

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

/// A row as it is read: fields that may be absent at the end.
struct RawRow {
    input_length: u64,
    output_length: Option<u64>,
    timestamp: Option<f64>,
    n: Option<u32>,
    first: Option<u64>,
    new: Vec<IdRun>,
    positions: Option<Vec<u32>>,
}

impl<'de> Deserialize<'de> for RawRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = RawRow;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a row of a piece")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<RawRow, A::Error> {
                let short = || A::Error::custom("a row has too few elements");
                Ok(RawRow {
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
    fn read(line: &[u8], block_size: u64) -> Result<Self, String> {
        let raw: RawRow = serde_json::from_slice(line).map_err(|e| format!("not a row of a piece: {e}"))?;
        if raw.input_length.max(raw.output_length.unwrap_or(0)) > MAX_LENGTH {
            return Err("a length is not a plausible number of tokens".into());
        }
        let Some(n) = raw.n else {
            let RawRow { input_length, output_length, timestamp, .. } = raw;
            return Ok(Self { input_length, output_length, timestamp, path: None });
        };
        if u64::from(n) != raw.input_length.div_ceil(block_size) {
            return Err(format!(
                "{n} blocks for input_length {} of block size {block_size}",
                raw.input_length
            ));
        }
        let news: u64 = raw.new.iter().map(|run| u64::from(run.1)).sum();
        let rising = |p: &Vec<u32>| p.is_sorted_by(|a, b| a < b) && p.last().is_none_or(|&last| last < n);
        let placed = raw.positions.as_ref().is_none_or(|p| p.len() as u64 == news && rising(p));
        if news > u64::from(n) || !placed || (n > 0) != raw.first.is_some() {
            return Err("the row's blocks do not fit its length".into());
        }
        let mut new = Vec::with_capacity(news as usize);
        for IdRun(start, len) in raw.new {
            if let Some(more) = len.checked_sub(1) {
                let last = start.checked_add(u64::from(more)).ok_or("a run of ids passes 64 bits")?;
                new.extend(start..=last);
            }
        }
        let path = RowPath { n, first: raw.first, new, positions: raw.positions };
        let RawRow { input_length, output_length, timestamp, .. } = raw;
        Ok(Self { input_length, output_length, timestamp, path: Some(path) })
    }
}

/// Writes the state of one piece. Memory: one bit per distinct block, and what [`Numbering`] takes.
pub struct PartialWriter {
    budget: Option<usize>,
    numbering: Numbering,
    repeated: Bitmap,
    requests: u64,
    numbers: Vec<BlockNumber>,
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
        }
    }

    /// Appends the row of the next request.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered or fit into the budget.
    pub fn add(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), String> {
        self.requests += 1;
        let path = record.ids().map(|ids| self.path(ids)).transpose()?;
        if self.budget.is_some_and(|budget| self.numbering.bytes() + self.repeated.bytes() > budget) {
            return Err(
                "the piece has more blocks than fit into --max-memory: cut it into smaller ones".into()
            );
        }
        let row = Row {
            input_length: record.input_length,
            output_length: record.output_length,
            timestamp: record.timestamp,
            path,
        };
        write_line(&row, out);
        Ok(())
    }

    fn path(&mut self, ids: &[u64]) -> Result<RowPath, String> {
        let mut next = self.numbering.len();
        self.numbering.number(ids, &mut self.numbers)?;
        self.repeated.grow(self.numbering.len());
        let mut path = RowPath { n: ids.len() as u32, first: ids.first().copied(), ..RowPath::default() };
        let mut positions = Vec::new();
        for (position, (&block, &id)) in self.numbers.iter().zip(ids).enumerate() {
            if block == next {
                next += 1;
                path.new.push(id);
                positions.push(position as u32);
            } else {
                self.repeated.set(block);
            }
        }
        let at_end = positions.first().is_none_or(|&first| path.n - first == positions.len() as u32);
        path.positions = (!at_end).then_some(positions);
        Ok(path)
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
}

#[derive(Default)]
struct OpenPiece {
    requests: u64,
    /// Numbers in the whole trace of the blocks that the piece introduced.
    numbers: Vec<BlockNumber>,
    timed: bool,
}

impl Merger {
    /// A merger of no piece yet.
    pub fn new(options: AnalysisOptions) -> Self {
        Self { options, analysis: None, block_size: 0, open: None, previous: None, pieces: 0, started: None }
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
        let row = Row::read(line, self.block_size)?;
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
        analysis.add_row(&row)?;
        if row.path.is_some() {
            piece.numbers.extend_from_slice(analysis.last_numbers());
        }
        let bytes = analysis.bytes() + 4 * piece.numbers.len();
        if self.options.budget.is_some_and(|budget| bytes > budget) {
            return Err("the pieces need more than --max-memory".into());
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
        let mut rest = &piece.numbers[..];
        for pair in trailer.repeated.chunks(2) {
            let &[skip, len] = pair else { return Err("repeated: expected pairs".into()) };
            let beyond = || "repeated: more blocks than the piece has".to_owned();
            rest = rest.get(skip as usize..).ok_or_else(beyond)?;
            let (repeated, after) = rest.split_at_checked(len as usize).ok_or_else(beyond)?;
            analysis.repeat(repeated);
            rest = after;
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
