//! Validates a trace: counts everything that can be wrong with it, and remembers where each was found first.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::blocks::{BlockNumber, Numbering};
use crate::error::{Invalid, InvalidKind, printable_json};
use crate::record::Record;

/// Kinds of findings. Those before `TimeBackwards` make a trace invalid; the others are worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Finding {
    Malformed,
    MissingField,
    BadValue,
    LengthMismatch,
    BlockSizeMismatch,
    TwoParents,
    TwoTokenCounts,
    RepeatedInRequest,
    TimeBackwards,
    NotDense,
    NoTimestamp,
    NoOutputLength,
    NoHashIds,
}

impl Finding {
    fn is_error(self) -> bool {
        self < Self::TimeBackwards
    }

    fn of(kind: InvalidKind) -> Self {
        match kind {
            InvalidKind::Malformed => Self::Malformed,
            InvalidKind::MissingField => Self::MissingField,
            // The reader reports neither of the last two.
            InvalidKind::BadValue | InvalidKind::OverLimit | InvalidKind::Conflict => Self::BadValue,
            InvalidKind::LengthMismatch => Self::LengthMismatch,
            InvalidKind::BlockSizeMismatch => Self::BlockSizeMismatch,
        }
    }
}

/// How often something was found, and where for the first time.
#[derive(Serialize)]
struct Count {
    count: u64,
    file: String,
    line: u64,
    message: String,
}

/// Checks a trace record by record. It needs 8 bytes per distinct block, and about 21 more if ids are not
/// dense. When its memory is used up, blocks are no longer compared with those of other records.
#[derive(Default)]
pub(super) struct Checker {
    records: u64,
    /// The most bytes that the tables may take.
    budget: usize,
    /// How many records had been read when the tables were full.
    compared_records: Option<u64>,
    numbering: Numbering,
    parents: Vec<BlockNumber>,
    tokens: Vec<u32>,
    previous_time: Option<f64>,
    findings: BTreeMap<Finding, Count>,
    numbers: Vec<BlockNumber>,
    sorted: Vec<u64>,
}

/// Memory that the process needs besides the tables.
const FIXED: usize = 4 << 20;

/// Marks a block without a parent; no block has this number.
const ROOT: BlockNumber = BlockNumber::MAX;

/// The result of a check, as written in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    valid: bool,
    records: u64,
    block_size: u64,
    unique_blocks: u64,
    dense: bool,
    /// Present if memory ran out: figures about blocks then cover only this many records.
    #[serde(skip_serializing_if = "Option::is_none")]
    compared_records: Option<u64>,
    errors: BTreeMap<Finding, &'a Count>,
    notes: BTreeMap<Finding, &'a Count>,
}

impl Checker {
    /// A check of an empty trace. The process may take about `max_memory` bytes.
    pub(super) fn new(max_memory: usize) -> Self {
        Self {
            // While a table grows, its old and its new version exist side by side.
            budget: max_memory.saturating_sub(FIXED) / 3,
            ..Self::default()
        }
    }

    /// Counts a line that is not a valid record.
    pub(super) fn invalid(
        &mut self,
        kind: InvalidKind,
        place: (&str, u64),
        message: impl FnOnce() -> String,
    ) {
        self.found(Finding::of(kind), place, message);
    }

    /// Takes the next valid record.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered.
    pub(super) fn record(
        &mut self,
        record: &Record,
        block_size: u64,
        place: (&str, u64),
    ) -> Result<(), Invalid> {
        self.records += 1;
        match (record.timestamp, self.previous_time) {
            (None, _) => self.found(Finding::NoTimestamp, place, || "no timestamp".into()),
            (Some(now), Some(before)) if now < before => {
                self.found(Finding::TimeBackwards, place, || format!("timestamp {now} after {before}"));
            }
            (Some(_), _) => {}
        }
        self.previous_time = record.timestamp.or(self.previous_time);
        if record.output_length.is_none() {
            self.found(Finding::NoOutputLength, place, || "no output_length".into());
        }
        match record.ids() {
            Some(ids) => {
                self.blocks(ids, record.input_length, block_size, place)?;
                self.answer(ids, record, block_size, place)
            }
            None => {
                self.found(Finding::NoHashIds, place, || "no hash_ids".into());
                Ok(())
            }
        }
    }

    /// The blocks of an answer follow the full ones of its prompt.
    fn answer(&mut self, ids: &[u64], record: &Record, size: u64, place: (&str, u64)) -> Result<(), Invalid> {
        let answer = &record.output_hash_ids;
        if answer.is_empty() {
            return Ok(());
        }
        let full = ids.len().min(usize::try_from(record.input_length / size).unwrap_or(usize::MAX));
        let path = [&ids[..full], answer].concat();
        self.blocks(&path, path.len() as u64 * size, size, place)
    }

    fn blocks(&mut self, ids: &[u64], length: u64, size: u64, place: (&str, u64)) -> Result<(), Invalid> {
        self.repeats(ids, place);
        if self.compared_records.is_some() {
            return Ok(());
        }
        if self.numbering.bytes() + 8 * (self.numbering.len() as usize + ids.len()) > self.budget {
            self.compared_records = Some(self.records - 1);
            return Ok(());
        }
        let was_dense = self.numbering.is_dense();
        let known = self.numbering.len();
        let mut numbers = std::mem::take(&mut self.numbers);
        self.numbering.number(ids, &mut numbers)?;
        if was_dense && !self.numbering.is_dense() {
            self.found(Finding::NotDense, place, || {
                "ids are not numbered 0, 1, 2, ... in the order of first appearance".into()
            });
        }
        self.parents.resize(self.numbering.len() as usize, ROOT);
        self.tokens.resize(self.numbering.len() as usize, 0);
        let mut parent = ROOT;
        let mut next = known;
        for (position, (&number, &id)) in numbers.iter().zip(ids).enumerate() {
            let left = length - position as u64 * size;
            // Blocks of more than 2^32 tokens count as equally long.
            let tokens = u32::try_from(left.min(size)).unwrap_or(u32::MAX);
            if number == next {
                next += 1;
                self.parents[number as usize] = parent;
                self.tokens[number as usize] = tokens;
            } else {
                self.compare(number, parent, tokens, id, place);
            }
            parent = number;
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Compares an occurrence of a block with its first one.
    fn compare(
        &mut self,
        number: BlockNumber,
        parent: BlockNumber,
        tokens: u32,
        id: u64,
        place: (&str, u64),
    ) {
        if self.parents[number as usize] != parent {
            self.found(Finding::TwoParents, place, || {
                format!("id {id} follows another block than where it first occurred")
            });
        }
        let before = self.tokens[number as usize];
        if before != tokens {
            self.found(Finding::TwoTokenCounts, place, || {
                format!("id {id} has {tokens} tokens, and {before} where it first occurred")
            });
        }
    }

    fn repeats(&mut self, ids: &[u64], place: (&str, u64)) {
        // In a trace with dense ids they rise along every prompt, so nothing repeats.
        if ids.is_sorted_by(|a, b| a < b) {
            return;
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(ids);
        self.sorted.sort_unstable();
        if self.sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            self.found(Finding::RepeatedInRequest, place, || "an id occurs twice in the request".into());
        }
    }

    fn found(&mut self, finding: Finding, (file, line): (&str, u64), message: impl FnOnce() -> String) {
        let new = || Count { count: 0, file: file.to_owned(), line, message: message() };
        self.findings.entry(finding).or_insert_with(new).count += 1;
    }

    /// Whether nothing was found that makes the trace invalid.
    pub(super) fn is_valid(&self) -> bool {
        !self.findings.keys().any(|finding| finding.is_error())
    }

    /// Appends the JSON summary, newline included.
    pub(super) fn write(&self, block_size: u64, out: &mut Vec<u8>) {
        let (errors, notes) = self
            .findings
            .iter()
            .map(|(&finding, count)| (finding, count))
            .partition(|(finding, _)| finding.is_error());
        let summary = Summary {
            valid: self.is_valid(),
            records: self.records,
            block_size,
            unique_blocks: u64::from(self.numbering.len()),
            dense: self.numbering.is_dense(),
            compared_records: self.compared_records,
            errors,
            notes,
        };
        // Writing plain data into memory cannot fail.
        let json = serde_json::to_string_pretty(&summary).unwrap_or_default();
        out.extend_from_slice(printable_json(&json).as_bytes());
        out.push(b'\n');
    }
}
