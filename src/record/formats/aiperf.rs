//! Sessions whose rows hold only what is new, as in aiperf's Mooncake traces.
//!
//! Source: aiperf 0.13, `dataset/loader/mooncake_trace.py` and its documentation: rows of one `session_id`
//! are its turns, and each one holds what is new since the one before; Dynamo's `mooncake-delta` is the same.
//! Every row becomes a whole prompt (see `turns`); all else stays as it stood.
//!
//! The first row of such a file says nothing, but a later one of a session does: with a `delay` in place of
//! a time it follows the answer to the row before, so a whole prompt would begin with that row. If it is
//! shorter and begins with another block, it holds only what is new.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::base::{DecodeLine, DecodedLines, FileFacts, counts_from_zero};
use crate::error::Invalid;
use crate::record::block_size::BlockSize;
use crate::record::edit::LineEdits;
use crate::record::general;
use crate::record::json::RawObject;
use crate::record::sessions::{Session, Sessions};
use crate::record::trace_record::Record;
use crate::record::turns::{ConvertedTurn, FreshIds, SessionTurn, TurnConverter, Turns};

/// Sessions that are watched before their rows are taken for whole prompts, and memory for them.
const WATCHED: usize = 1 << 16;
const WATCHED_BYTES: usize = 32 << 20;

/// What the rows of sessions hold.
pub(in crate::record) enum Rows {
    /// Not known yet.
    Unclear,
    /// Whole prompts.
    Whole,
    /// Only what is new.
    Increments,
}

/// Reads rows that hold only what is new, or finds out whether they do.
#[derive(Clone)]
pub(in crate::record) struct Increments {
    sessions: Sessions,
    turns: TurnConverter,
    block_size: BlockSize,
    /// Length and first block of each session's last row, while that is of interest.
    last: HashMap<Session, (u64, Option<u64>), RandomState>,
    /// Whether a row has been handed on that could be either.
    is_late: bool,
    /// Whether one of these follows at least a whole block and begins with another one.
    is_doubtful: bool,
    edits: LineEdits,
    record: Record,
}

pub(super) fn decoder(file: &FileFacts) -> DecodeLine {
    Box::new(Increments::new(file)).decoder()
}

impl Increments {
    fn new(file: &FileFacts) -> Self {
        let fresh = FreshIds::of_file(file.index).named(file.named_ids);
        let turns = TurnConverter::new(Turns::Cumulative, file.session_memory).with_fresh(fresh);
        Self {
            sessions: Sessions::new(file.session_memory),
            turns,
            block_size: BlockSize::new(file.block_size),
            last: HashMap::default(),
            is_late: false,
            is_doubtful: false,
            edits: LineEdits::default(),
            record: Record::default(),
        }
    }

    /// Begins to watch a file, if its first line belongs to a session.
    pub(in crate::record) fn watch(first: &[u8], file: &FileFacts) -> Option<Box<Self>> {
        Self::has_session(first).then(|| Box::new(Self::new(file)))
    }

    /// Whether a line belongs to a session.
    pub(in crate::record) fn has_session(line: &[u8]) -> bool {
        RawObject::parse(line).is_ok_and(|object| object.has("session_id"))
    }

    /// Whether the next file may go on with these sessions: no row has been taken for a whole prompt that may be none.
    pub(in crate::record) fn may_go_on(&self) -> bool {
        !self.is_late
    }

    /// Looks at a row, which is a valid `record`.
    pub(in crate::record) fn look(
        &mut self,
        line: &[u8],
        record: &Record,
        block_size: u64,
        file: usize,
    ) -> Result<Rows, Invalid> {
        let Some(session) = self.sessions.key(line)? else { return Ok(Rows::Unclear) };
        let first = record.ids().and_then(|ids| ids.first().copied());
        let Some((length, first_before)) = self.last.insert(session, (record.input_length, first)) else {
            let is_known = self.convert(session, record, block_size, file).is_ok();
            let goes_on = is_known && self.last.len() < WATCHED && self.turns.bytes() < WATCHED_BYTES;
            return Ok(if goes_on { Rows::Unclear } else { Rows::Whole });
        };
        let object = RawObject::parse(line)?;
        let follows = record.timestamp.is_none() && (object.has("delay") || object.has("delay_ms"));
        let continues = first.is_some() && first == first_before;
        if !follows || continues {
            return Ok(Rows::Whole);
        }
        if record.input_length >= length {
            self.is_late = true;
            self.is_doubtful |= first.is_some() && first_before.is_some() && length >= block_size;
            return Ok(Rows::Unclear);
        }
        if self.is_late {
            return Err(Invalid::conflict(
                "a row that can only hold what is new in its session, after rows that were taken for whole \
                 prompts: give `from_format` aiperf (or mooncake)",
            ));
        }
        Ok(Rows::Increments)
    }

    /// Whether a row was taken for a whole prompt although it does not begin as the one before it.
    pub(in crate::record) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Goes on as a decoder.
    pub(in crate::record) fn decoder(mut self: Box<Self>) -> DecodeLine {
        self.last = HashMap::default();
        Box::new(move |line, out| self.row(line, out))
    }

    fn row(&mut self, line: &[u8], out: &mut DecodedLines) -> Result<(), Invalid> {
        let mut record = std::mem::take(&mut self.record);
        let added = general::parse_any(line, &mut record).and_then(|()| self.add(line, &record, out));
        self.record = record;
        added
    }

    fn add(&mut self, line: &[u8], record: &Record, out: &mut DecodedLines) -> Result<(), Invalid> {
        self.block_size.check(record)?;
        let from_zero = counts_from_zero(&record.hash_ids, &record.output_hash_ids);
        let mut numbering = out.file();
        if let Some(session) = self.sessions.key(line)? {
            let (turn, ids) = self.convert(session, record, self.block_size.get(), numbering)?;
            self.edits.prompt(line, record, turn.input_length, ids.as_deref(), None);
            numbering = turn.numbering;
        }
        out.push_line(from_zero, numbering, |text| self.edits.apply(line, text));
        Ok(())
    }

    /// The whole prompt, and its ids.
    fn convert(
        &mut self,
        session: Session,
        record: &Record,
        block_size: u64,
        numbering: usize,
    ) -> Result<(ConvertedTurn, Option<Vec<u64>>), Invalid> {
        let (mut ids, mut has_ids) = (record.hash_ids.clone(), record.has_ids);
        let turn = SessionTurn {
            session,
            numbering,
            input_length: record.input_length,
            output_length: record.output_length.unwrap_or(0),
            block_size,
            ..SessionTurn::default()
        };
        let turn = self.turns.convert(&turn, &mut ids, &mut has_ids)?;
        Ok((turn, has_ids.then_some(ids)))
    }
}
