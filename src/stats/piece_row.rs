//! A request in a piece of a trace: a row of JSON, written and read.
//!
//! `[input_length, output_length, time, new, used, positions, is_full, recorded, written]`. `time` is the timestamp less that of the last
//! row with one (0 at first), if both are whole numbers of milliseconds and it is not earlier; else
//! the timestamp itself, in brackets. `new` are the ids that the request
//! introduces into its piece: mostly just how many, if they count up from the last one that the piece
//! introduced (from 0 at first), else a list of ids and of runs `[start, length]` of ids. `used` says where
//! the other blocks were in the stack of the piece: for each run of consecutive distances the first of
//! these, how many requests with ids ago they were used last (0 for a block that stands in the request again,
//! whose first place that is), and how many they are; the last of these
//! numbers follows from the length of the prompt and is left out, as is `used` where all blocks are new.
//! `positions` of the new ones among all of the request is left out where they stand at the end. `is_full` is
//! `true` where the ids leave out a last partial block. `recorded` is what a server said: the tokens of the
//! prompt, those in its cache, and the line in the piece; `written` how many it wrote there. For a request without ids `new` is left out. What is
//! left out or unknown is `null`, and none of these ends a row.

use std::borrow::Cow;

use serde::de::Error;
use serde::{Deserialize, Serialize};

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

/// Elements that each row has.
const TIMED: usize = 3;

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
    /// Where the others were in the stack of the piece.
    pub(super) used: Vec<UsedRun>,
    /// Where the new ones stand, unless it is at the end.
    pub(super) positions: Option<Vec<u32>>,
    /// Number of the new ones.
    news: u32,
    /// Whether the ids leave out a last partial block.
    pub(super) is_full: bool,
    /// What a server said: the tokens of the prompt, and those in its cache; and the line of the record.
    pub(super) recorded: Option<(u64, u64, u64)>,
    /// How many tokens it wrote to its cache.
    pub(super) written: Option<u64>,
}

/// Consecutive blocks that the piece has had before, with consecutive stack distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsedRun {
    pub(super) len: u32,
    /// Distinct blocks of the piece that it has used since it used the first of them.
    pub(super) distance: u32,
    /// How many requests with ids ago they were used last: 1 for the one before. 0 for a block that this request
    /// introduces and that stands in it again; then the distance is its first place.
    pub(super) back: u32,
}

/// Consecutive ids: the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "IdOrRun", into = "IdOrRun")]
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

    /// The ids that are new in the piece, in order.
    pub(super) fn new_ids(&self) -> impl Iterator<Item = u64> {
        self.new.iter().flat_map(|run| (0..u64::from(run.1)).map(|i| run.0.wrapping_add(i)))
    }

    /// Those whose block before is known: each with that, if it is not the first of the prompt.
    pub(super) fn successors(&self) -> impl Iterator<Item = (u64, Option<u64>)> {
        let begins = self.n == Some(self.news);
        let before = std::iter::once(None).chain(self.new_ids().map(Some));
        let pairs = self.new_ids().zip(before).skip(usize::from(!begins));
        pairs.take(if self.positions.is_none() { usize::MAX } else { 0 })
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
        let time = self.timestamp.map(|t| {
            let is_later = is_whole(t) && is_whole(before.time) && t >= before.time;
            if is_later { Time::Since((t - before.time) as u64) } else { Time::At([t]) }
        });
        let new = self.n.map(|_| match self.new[..] {
            [] => New::Count(0),
            [IdRun(start, len)] if start == before.next_id => New::Count(len),
            _ => New::Runs(Cow::Borrowed(&self.new)),
        });
        let mut used: Vec<u32> = self.used.iter().flat_map(|run| [run.distance, run.back, run.len]).collect();
        used.pop();
        let row = [
            Some(Element::Number(self.input_length)),
            self.output_length.map(Element::Number),
            time.map(Element::Time),
            new.map(Element::New),
            (!used.is_empty()).then_some(Element::List(&used)),
            self.positions.as_deref().map(Element::List),
            self.is_full.then_some(Element::Flag(true)),
            self.recorded.map(Element::Recorded),
            self.written.map(Element::Number),
        ];
        let len = row.iter().rposition(Option::is_some).map_or(0, |last| last + 1).max(TIMED);
        // Writing plain data into memory cannot fail.
        serde_json::to_writer(&mut *out, &row[..len]).ok();
        out.push(b'\n');
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
        let n = if self.is_full {
            self.input_length / block_size
        } else {
            self.input_length.div_ceil(block_size)
        };
        let news: u64 = self.new.iter().map(|run| u64::from(run.1)).sum();
        let rising =
            |p: &Vec<u32>| p.is_sorted_by(|a, b| a < b) && p.last().is_none_or(|&last| u64::from(last) < n);
        let placed = self.positions.as_ref().is_none_or(|p| p.len() as u64 == news && rising(p));
        let (Ok(n), true, true) = (u32::try_from(n), news <= n, placed) else {
            return Err(Invalid::new(InvalidKind::LengthMismatch, "the row's blocks do not fit its length"));
        };
        (self.n, self.news) = (Some(n), news as u32);
        if self
            .positions
            .as_ref()
            .is_some_and(|p| p.first().is_none_or(|&first| u64::from(first) + news == u64::from(n)))
        {
            self.positions = None;
        }
        let whole = |&IdRun(start, len): &IdRun| len > 0 && start.checked_add(u64::from(len) - 1).is_some();
        if !self.new.iter().all(whole) {
            return Err(Invalid::value("a run of ids is empty or passes 64 bits"));
        }
        if !self.complete_used(u64::from(n) - news) {
            let message = "the row's used blocks do not fit its length";
            return Err(Invalid::new(InvalidKind::LengthMismatch, message));
        }
        Ok(())
    }

    /// Finds out how many blocks the last run of used ones has, where they are `blocks` in all. False if they are not.
    fn complete_used(&mut self, blocks: u64) -> bool {
        let Some((last, others)) = self.used.split_last_mut() else { return blocks == 0 };
        let others_have: u64 = others.iter().map(|run| u64::from(run.len)).sum();
        let len = blocks.checked_sub(others_have).and_then(|len| u32::try_from(len).ok()).unwrap_or(0);
        last.len = len;
        len > 0 && others.iter().all(|run| run.len > 0)
    }

    /// The usual row at the start of a text, without a library: what it accepts, the parser reads to the
    /// same. Gives its length, and whether the request has ids.
    #[inline]
    fn scan(&mut self, text: &[u8], before: &Before) -> Option<(usize, bool)> {
        self.new.clear();
        self.used.clear();
        self.positions = None;
        self.is_full = false;
        self.recorded = None;
        self.written = None;
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
            if scanner.passes_text(b",[") {
                self.scan_used(scanner)?;
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

    fn scan_used(&mut self, scanner: &mut Scanner) -> Option<()> {
        loop {
            let distance = u32::try_from(scanner.integer()?).ok()?;
            scanner.pass(b',')?;
            let back = u32::try_from(scanner.integer()?).ok()?;
            if scanner.passes(b']') {
                self.used.push(UsedRun { len: 0, distance, back });
                return Some(());
            }
            scanner.pass(b',')?;
            let len = u32::try_from(scanner.integer()?).ok()?;
            self.used.push(UsedRun { len, distance, back });
            scanner.pass(b',')?;
        }
    }

    /// Any row.
    fn parse(&mut self, line: &[u8], before: &Before) -> serde_json::Result<bool> {
        let Wire(input_length, output_length, time, new, used, positions, is_full, recorded, written) =
            serde_json::from_slice(line)?;
        (self.input_length, self.output_length) = (input_length, output_length);
        self.timestamp = time.map(|time| match time {
            Time::Since(time) => before.time + time as f64,
            Time::At([time]) => time,
        });
        let used = used.unwrap_or_default();
        if !used.is_empty() && used.len() % 3 != 2 {
            return Err(serde_json::Error::custom(
                "expected a distance, requests ago, and a number of blocks for each run",
            ));
        }
        let run = |of: &[u32]| UsedRun { distance: of[0], back: of[1], len: of.get(2).copied().unwrap_or(0) };
        self.used = used.chunks(3).map(run).collect();
        self.positions = positions;
        self.is_full = is_full.unwrap_or_default();
        self.recorded = recorded;
        self.written = written;
        self.new.clear();
        let has_ids = new.is_some();
        match new {
            Some(New::Count(count)) => self.count(count, before),
            Some(New::Runs(runs)) => self.new = runs.into_owned(),
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

/// An element of a row, to be written.
#[derive(Serialize)]
#[serde(untagged)]
enum Element<'a> {
    Number(u64),
    Time(Time),
    New(New<'a>),
    List(&'a [u32]),
    Flag(bool),
    Recorded((u64, u64, u64)),
}

/// The elements of a row, read.
#[derive(Deserialize)]
struct Wire(
    u64,
    Option<u64>,
    Option<Time>,
    #[serde(default)] Option<New<'static>>,
    #[serde(default)] Option<Vec<u32>>,
    #[serde(default)] Option<Vec<u32>>,
    #[serde(default)] Option<bool>,
    #[serde(default)] Option<(u64, u64, u64)>,
    #[serde(default)] Option<u64>,
);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected whole milliseconds since the row before, or a timestamp in brackets")]
enum Time {
    Since(u64),
    At([f64; 1]),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of new ids, or a list of ids and runs [start, length]")]
enum New<'a> {
    Count(u32),
    Runs(Cow<'a, [IdRun]>),
}

/// A run of one id is written as that id.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum IdOrRun {
    Id(u64),
    Run(u64, u32),
}

impl From<IdOrRun> for IdRun {
    fn from(read: IdOrRun) -> Self {
        match read {
            IdOrRun::Id(id) => Self(id, 1),
            IdOrRun::Run(start, len) => Self(start, len),
        }
    }
}

impl From<IdRun> for IdOrRun {
    fn from(IdRun(start, len): IdRun) -> Self {
        if len == 1 { Self::Id(start) } else { Self::Run(start, len) }
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
        let places = prop::collection::vec((any::<u32>(), 1..9_u32, any::<bool>()), 6);
        (lengths, time(), prop::option::of(ids), places).prop_map(
            |((input, output_length), timestamp, ids, places)| {
                let n = ids.as_ref().map(|ids| ids.len() as u32);
                let new = (0..).zip(ids.iter().flatten()).filter(|(_, id)| id.1);
                let (positions, new): (Vec<u32>, Vec<IdRun>) =
                    new.map(|(at, id)| (at, IdRun(id.0, 1))).unzip();
                let news = new.len() as u32;
                let at_end = (0..news).all(|i| positions[i as usize] == n.unwrap_or(0) - news + i);
                let positions = (!at_end).then_some(positions);
                let input_length = n.map_or(input, u64::from);
                let mut used: Vec<UsedRun> = Vec::new();
                for (distance, back, apart) in places.into_iter().take((n.unwrap_or(0) - news) as usize) {
                    match used.last_mut().filter(|_| !apart) {
                        Some(last) => last.len += 1,
                        None => used.push(UsedRun { len: 1, distance, back }),
                    }
                }
                PieceRow {
                    input_length,
                    output_length,
                    timestamp,
                    n,
                    new,
                    used,
                    positions,
                    news,
                    is_full: false,
                    recorded: None,
                    written: None,
                }
            },
        )
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
