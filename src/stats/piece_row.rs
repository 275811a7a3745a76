//! A request in a piece of a trace: a row of JSON, written and read.
//!
//! `[input_length, output_length, time, new, positions]`. `time` is the timestamp less that of the last
//! row with one (0 at first), if both are whole numbers of milliseconds and it is not earlier; else
//! the timestamp itself, in brackets. `new` are the ids that the request
//! introduces into its piece: mostly just how many, if they count up from the last one that the piece
//! introduced (from 0 at first), else a list of ids and of runs `[start, length]` of ids. `positions`
//! of these among all of the request is left out where they stand at the end; for a request without
//! ids the row ends after the time. What is unknown is `null`.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Invalid, InvalidKind};
use crate::record::scan::Scanner;
use crate::record::{MAX_LENGTH, MAX_TIME};

/// Runs of ids that a row keeps room for while it waits to be filled again.
const USUAL_RUNS: usize = 1024;

/// What a row builds on of those before it in its piece.
#[derive(Clone, Copy, Default)]
pub(super) struct Before {
    /// The id after the last one introduced.
    next_id: u64,
    /// The last timestamp.
    time: f64,
}

impl Before {
    /// Goes on behind a row.
    #[inline]
    pub(super) fn pass(&mut self, row: &PieceRow) {
        self.next_id = row.new.last().map_or(self.next_id, |run| run.end());
        self.time = row.timestamp.unwrap_or(self.time);
    }
}

/// Whole numbers of milliseconds below this are exact, and so are their differences.
const EXACT: f64 = 1e15;

/// What a row says of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PieceRow {
    pub(super) input_length: u64,
    pub(super) output_length: Option<u64>,
    pub(super) timestamp: Option<f64>,
    /// Number of all ids; `None` for a request without a list of ids.
    pub(super) n: Option<u32>,
    /// Those that had not occurred in the piece, in order, as runs of consecutive ids.
    pub(super) new: Vec<IdRun>,
    /// Where these stand, unless it is at the end.
    pub(super) positions: Option<Vec<u32>>,
    /// Number of the new ones.
    news: u32,
}

/// Consecutive ids: the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRun(pub(super) u64, pub(super) u32);

impl IdRun {
    /// The id after the last, 0 past the end of 64 bits.
    pub(super) fn end(self) -> u64 {
        self.0.wrapping_add(self.1.into())
    }
}

impl PieceRow {
    /// Number of ids that are new in the piece.
    pub(super) fn news(&self) -> u32 {
        self.news
    }

    /// Where the new block of that index stands among the `n`.
    pub(super) fn position(&self, index: u32, n: u32) -> u32 {
        match &self.positions {
            Some(positions) => positions.get(index as usize).copied().unwrap_or(n),
            None => n - self.news + index,
        }
    }

    /// Appends the row as a line.
    pub(super) fn write(&self, before: &Before, out: &mut Vec<u8>) {
        out.push(b'[');
        write_number(self.input_length, out);
        out.push(b',');
        match self.output_length {
            Some(length) => write_number(length, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        match self.timestamp {
            Some(t) if is_whole(t) && is_whole(before.time) && t >= before.time => {
                write_number((t - before.time) as u64, out);
            }
            // Writing a number into memory cannot fail.
            Some(t) => serde_json::to_writer(&mut *out, &[t]).unwrap_or_default(),
            None => out.extend_from_slice(b"null"),
        }
        if self.n.is_some() {
            out.push(b',');
            match self.new[..] {
                [] => out.push(b'0'),
                [IdRun(start, len)] if start == before.next_id => write_number(len.into(), out),
                _ => write_runs(&self.new, out),
            }
            if let Some(positions) = &self.positions {
                out.push(b',');
                // Writing numbers into memory cannot fail.
                serde_json::to_writer(&mut *out, positions).unwrap_or_default();
            }
        }
        out.extend_from_slice(b"]\n");
    }

    /// Reads a line into the row.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub(super) fn read(&mut self, line: &[u8], before: &Before, block_size: u64) -> Result<(), Invalid> {
        self.new.shrink_to(USUAL_RUNS);
        let has_ids = match self.scan(line, before) {
            Some((len, has_ids)) if len == line.len() => has_ids,
            _ => self
                .parse(line, before)
                .map_err(|e| Invalid::malformed(format!("not a row of a piece: {e}")))?,
        };
        self.check(has_ids, block_size)
    }

    /// Reads the first line of `text` into the row, and gives its length without the newline behind it;
    /// `None` if the line must be found and [`PieceRow::read`].
    pub(super) fn read_first(&mut self, text: &[u8], before: &Before, block_size: u64) -> Option<usize> {
        let (len, has_ids) = self.scan(text, before)?;
        (text.get(len) == Some(&b'\n') && self.check(has_ids, block_size).is_ok()).then_some(len)
    }

    /// Checks what has been read, and completes it.
    fn check(&mut self, has_ids: bool, block_size: u64) -> Result<(), Invalid> {
        if self.input_length.max(self.output_length.unwrap_or(0)) > MAX_LENGTH {
            return Err(Invalid::value("a length is not a plausible number of tokens"));
        }
        if self.timestamp.is_some_and(|t| t.abs() > MAX_TIME) {
            return Err(Invalid::value("the timestamp is not a plausible number of milliseconds"));
        }
        self.n = None;
        if !has_ids {
            return Ok(());
        }
        let n = self.input_length.div_ceil(block_size);
        let news: u64 = self.new.iter().map(|run| u64::from(run.1)).sum();
        let rising =
            |p: &Vec<u32>| p.is_sorted_by(|a, b| a < b) && p.last().is_none_or(|&last| u64::from(last) < n);
        let placed = self.positions.as_ref().is_none_or(|p| p.len() as u64 == news && rising(p));
        let (Ok(n), true, true) = (u32::try_from(n), news <= n, placed) else {
            return Err(Invalid::new(InvalidKind::LengthMismatch, "the row's blocks do not fit its length"));
        };
        (self.n, self.news) = (Some(n), news as u32);
        let whole = |&IdRun(start, len): &IdRun| len > 0 && start.checked_add(u64::from(len) - 1).is_some();
        if self.new.iter().all(whole) {
            Ok(())
        } else {
            Err(Invalid::value("a run of ids is empty or passes 64 bits"))
        }
    }

    /// The usual row at the start of a text, without a library: what it accepts, the parser reads to the
    /// same. Gives its length, and whether the request has ids.
    #[inline]
    fn scan(&mut self, text: &[u8], before: &Before) -> Option<(usize, bool)> {
        self.new.clear();
        self.positions = None;
        let scanner = &mut Scanner::new(text);
        scanner.pass(b'[')?;
        self.input_length = scanner.length()?;
        scanner.pass(b',')?;
        self.output_length = if scanner.passes_text(b"null") { None } else { Some(scanner.length()?) };
        scanner.pass(b',')?;
        self.timestamp = if scanner.passes_text(b"null") {
            None
        } else if scanner.passes(b'[') {
            let timestamp = scanner.timestamp()?;
            scanner.pass(b']')?;
            Some(timestamp)
        } else {
            Some(before.time + scanner.integer()? as f64)
        };
        let has_ids = scanner.passes(b',');
        if has_ids {
            if scanner.passes(b'[') {
                self.scan_runs(scanner)?;
            } else {
                self.count(u32::try_from(scanner.integer()?).ok()?, before);
            }
        }
        scanner.pass(b']')?;
        Some((scanner.position(), has_ids))
    }

    fn scan_runs(&mut self, scanner: &mut Scanner) -> Option<()> {
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
        Some(())
    }

    /// Any row.
    fn parse(&mut self, line: &[u8], before: &Before) -> serde_json::Result<bool> {
        let Wire(input_length, output_length, time, new, positions) = serde_json::from_slice(line)?;
        (self.input_length, self.output_length) = (input_length, output_length);
        self.timestamp = time.map(|time| match time {
            Time::Since(time) => before.time + time as f64,
            Time::At([time]) => time,
        });
        self.positions = positions;
        self.new.clear();
        let has_ids = new.is_some();
        match new {
            Some(New::Count(count)) => self.count(count, before),
            Some(New::Runs(runs)) => self.new = runs,
            None => {}
        }
        Ok(has_ids)
    }

    fn count(&mut self, count: u32, before: &Before) {
        if count > 0 {
            self.new.push(IdRun(before.next_id, count));
        }
    }
}

fn is_whole(time: f64) -> bool {
    time.fract() == 0.0 && (0.0..EXACT).contains(&time)
}

fn write_number(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn write_runs(runs: &[IdRun], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, &IdRun(start, len)) in runs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if len == 1 {
            write_number(start, out);
        } else {
            out.push(b'[');
            write_number(start, out);
            out.push(b',');
            write_number(len.into(), out);
            out.push(b']');
        }
    }
    out.push(b']');
}

/// The elements of a row.
#[derive(Deserialize)]
struct Wire(
    u64,
    Option<u64>,
    Option<Time>,
    #[serde(default)] Option<New>,
    #[serde(default)] Option<Vec<u32>>,
);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected whole milliseconds since the row before, or a timestamp in brackets")]
enum Time {
    Since(u64),
    At([f64; 1]),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of new ids, or a list of ids and runs [start, length]")]
enum New {
    Count(u32),
    Runs(Vec<IdRun>),
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            1 => Just(None),
            4 => (0..5000_u64).prop_map(|t| Some(t as f64)),
            2 => (0..5000_u64).prop_map(|t| Some(t as f64 / 4.0)),
            1 => (-9..9_i64).prop_map(|t| Some(t as f64)),
            1 => prop::sample::select(vec![1e15 - 1.0, 1e15, 1e15 + 2.0, MAX_TIME, -MAX_TIME]).prop_map(Some),
        ]
    }

    /// A row with blocks of one token each.
    fn row() -> impl Strategy<Value = PieceRow> {
        let ids = prop::collection::vec((prop_oneof![0..9_u64, any::<u64>()], any::<bool>()), 0..6);
        let lengths = (0..9_u64, prop::option::of(0..9_u64));
        (lengths, time(), prop::option::of(ids)).prop_map(|((input, output_length), timestamp, ids)| {
            let n = ids.as_ref().map(|ids| ids.len() as u32);
            let new = (0..).zip(ids.iter().flatten()).filter(|(_, id)| id.1);
            let (positions, new): (Vec<u32>, Vec<IdRun>) = new.map(|(at, id)| (at, IdRun(id.0, 1))).unzip();
            let news = new.len() as u32;
            let at_end = (0..news).all(|i| positions[i as usize] == n.unwrap_or(0) - news + i);
            let positions = (!at_end).then_some(positions);
            let input_length = n.map_or(input, u64::from);
            PieceRow { input_length, output_length, timestamp, n, new, positions, news }
        })
    }

    proptest! {
        #[test]
        fn rows_are_read_as_they_were_written(rows in prop::collection::vec(row(), 0..20)) {
            let mut before = Before::default();
            for row in rows {
                let mut line = Vec::new();
                row.write(&before, &mut line);
                let mut read = PieceRow::default();
                read.read(line.trim_ascii_end(), &before, 1).unwrap();
                prop_assert_eq!(&read, &row);
                // In the usual way where that goes, and in that of the library.
                let usual = row.positions.is_none() && row.timestamp.is_none_or(|t| (0.0..1e9).contains(&t));
                let mut read = PieceRow::default();
                match read.read_first(&[&line[..], b"[1]\n"].concat(), &before, 1) {
                    Some(len) => prop_assert_eq!((len + 1, &read), (line.len(), &row)),
                    None => prop_assert!(!usual),
                }
                let mut read = PieceRow::default();
                let has_ids = read.parse(line.trim_ascii_end(), &before).unwrap();
                read.check(has_ids, 1).unwrap();
                prop_assert_eq!(&read, &row);
                before.pass(&row);
            }
        }
    }
}
