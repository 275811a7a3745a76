//! A request with what every statistic needs to know of it, found out once.

use crate::blocks::BlockNumber;
use crate::error::Invalid;
use crate::record::{Record, RecordedUse};
use crate::stats::engine::{Answers, EngineBlocks, EngineRequest};
use crate::stats::hit_count::{HitCount, HitRule};
use crate::stats::infinite::{InfiniteCache, Lookup};
use crate::stats::piece_row::PieceRow;

/// A request as every statistic sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// Its number, from 0.
    pub(super) index: u64,
    /// Line of its record; 0 if there is none.
    pub(super) line: u64,
    /// Its session, where that was asked for.
    pub(super) session: Option<u64>,
    /// Its priority, 0 if none is known.
    pub(super) priority: f64,
    /// What a router may keep in one place, where that was asked for.
    pub(super) affinity: Option<u64>,
    /// Prompt tokens.
    pub(super) input_length: u64,
    /// Generated tokens.
    pub(super) output_length: Option<u64>,
    /// What the server recorded of its cache.
    pub(super) recorded: Option<RecordedUse>,
    /// Arrival as it is recorded, in milliseconds.
    pub(super) timestamp: Option<f64>,
    /// Trace time: the largest timestamp so far, 0 before the first.
    pub(super) now: f64,
    /// Whether the warm-up is over.
    pub(super) is_measured: bool,
    /// How many blocks it has; `None` for a request without a list of ids.
    pub(super) blocks: Option<u32>,
    /// What a piece of the trace says of it, in a merger of pieces. Then its blocks are those that it introduces
    /// into its piece.
    pub(super) row: Option<&'a PieceRow>,
    /// The ids of its blocks; none in a merger of pieces.
    pub(super) ids: &'a [u64],
    /// What the infinite cache has of it, unless it has no ids or only a sample of the blocks is kept.
    pub(super) cached: Option<Cached<'a>>,
    /// What an engine computes for it, if a statistic asked for that and it has ids.
    pub(super) engine: Option<EngineRequest<'a>>,
}

/// The part of a request that an infinite cache serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cached<'a> {
    /// Where its blocks are.
    pub(super) lookup: Lookup<'a>,
    /// Blocks that count as hits.
    pub(super) blocks: u32,
    /// The tokens in them.
    pub(super) tokens: u64,
    /// Tokens in all blocks that were there, whether they make a unit or not.
    pub(super) shared: u64,
}

impl Cached<'_> {
    /// The numbers alone.
    pub(super) fn served(&self) -> Served {
        Served { blocks: self.blocks, tokens: self.tokens, new_blocks: self.lookup.new_blocks() }
    }
}

/// What an infinite cache serves of a request; nothing if the request has no ids, or only a sample of the
/// blocks is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Blocks that count as hits: the first ones of its prompt.
    pub blocks: u32,
    /// The tokens in them.
    pub tokens: u64,
    /// Blocks that no earlier request had.
    pub new_blocks: u32,
}

/// What makes [`Seen`] of records.
pub(super) struct Intake {
    pub(super) count: HitCount,
    warmup: u64,
    /// Whether the infinite cache is left out: only a sample of the blocks is kept.
    is_sampled: bool,
    pub(super) cache: InfiniteCache,
    /// Names of blocks as engines compute them, from when on they make a difference.
    pub(super) engine: Option<EngineBlocks>,
    answers: Answers,
    requests: u64,
    now: Option<f64>,
}

impl Intake {
    /// Nothing has been seen yet. `answers` says what engines know of them.
    pub(super) fn new(count: HitCount, warmup: u64, answers: Answers) -> Self {
        Self {
            count,
            warmup,
            is_sampled: false,
            cache: InfiniteCache::default(),
            engine: None,
            answers,
            requests: 0,
            now: None,
        }
    }

    /// The same for a sample of the blocks.
    pub(super) fn sampled(self) -> Self {
        Self { is_sampled: true, ..self }
    }

    /// The same with what an engine computes for each request. `has_room` says whether its cache has limits,
    /// `has_sessions` whether the sessions of requests make a difference.
    pub(super) fn with_engine(self, has_room: bool, has_sessions: bool) -> Self {
        let engine = EngineBlocks::new(self.count.block_size, self.answers, has_room);
        Self { engine: Some(if has_sessions { engine.with_sessions() } else { engine }), ..self }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered.
    #[inline(always)]
    pub(super) fn record<'a>(&'a mut self, record: &'a Record) -> Result<Seen<'a>, Invalid> {
        let seen = self.begin(record.input_length, record.output_length, record.timestamp);
        let (session, affinity) = (record.session, record.affinity);
        let seen = Seen { line: record.line, session, affinity, recorded: record.recorded(), ..seen };
        let seen = Seen { priority: record.priority.unwrap_or(0.0), ..seen };
        let Some(ids) = record.ids() else { return Ok(seen) };
        let mut cached = None;
        if record.has_output_ids && self.engine.is_none() {
            self.note_answers(record);
        }
        let engine = self.engine.as_mut().map(|engine| engine.request(record)).transpose()?;
        if !self.is_sampled {
            let lookup = self.cache.request(ids)?;
            cached = Some(of(lookup, self.count, record.input_length, engine.as_ref()));
        }
        let blocks = Some(ids.len() as u32);
        Ok(Seen { blocks, ids, cached, engine, ..seen })
    }

    /// Takes the next request of a piece of the trace.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, and when the row contradicts those
    /// before it.
    pub(super) fn row<'a>(&'a mut self, row: &'a PieceRow) -> Result<Seen<'a>, Invalid> {
        let seen = self.begin(row.input_length, row.output_length, row.timestamp);
        let (line, recorded) = match row.recorded {
            Some((input, cached, line)) => (line, Some(RecordedUse { input, cached, written: row.written })),
            None => (0, None),
        };
        let seen = Seen { line, recorded, row: Some(row), ..seen };
        let Some(blocks) = row.n else { return Ok(seen) };
        let ids = row.new.iter().map(|run| (run.0, run.1));
        let lookup = self.cache.request_of_piece(blocks, ids, |index| row.position(index, blocks))?;
        let cached = Some(of(lookup, self.count, row.input_length, None));
        Ok(Seen { blocks: Some(blocks), cached, ..seen })
    }

    /// From the first answer on whose blocks are known, engines find what others do not.
    #[cold]
    fn note_answers(&mut self, record: &Record) {
        let makes_a_difference = self.count.rule == HitRule::Engine
            && self.answers != Answers::Ignored
            && !self.is_sampled
            && !record.output_hash_ids.is_empty();
        if makes_a_difference {
            let numbering = self.cache.numbering().clone();
            self.engine = Some(EngineBlocks::after(numbering, self.count.block_size, self.answers));
        }
    }

    #[inline(always)]
    fn begin<'a>(
        &mut self,
        input_length: u64,
        output_length: Option<u64>,
        timestamp: Option<f64>,
    ) -> Seen<'a> {
        self.requests += 1;
        if let Some(timestamp) = timestamp {
            self.now = Some(self.now.map_or(timestamp, |now| now.max(timestamp)));
        }
        Seen {
            index: self.requests - 1,
            line: 0,
            session: None,
            priority: 0.0,
            affinity: None,
            input_length,
            output_length,
            recorded: None,
            timestamp,
            now: self.now.unwrap_or(0.0),
            is_measured: self.requests > self.warmup,
            blocks: None,
            row: None,
            ids: &[],
            cached: None,
            engine: None,
        }
    }

    /// Whether any request had a timestamp.
    pub(super) fn has_times(&self) -> bool {
        self.now.is_some()
    }

    /// Distinct blocks that are known.
    pub(super) fn len(&self) -> BlockNumber {
        self.cache.numbering().len()
    }
}

fn of<'a>(lookup: Lookup<'a>, count: HitCount, length: u64, engine: Option<&EngineRequest>) -> Cached<'a> {
    let known = match engine {
        Some(engine) if count.rule == HitRule::Engine => engine.known,
        _ => lookup.known,
    };
    let blocks = u32::try_from(count.limit(length)).map_or(known, |limit| known.min(limit));
    let shared = (u64::from(blocks) * count.block_size).min(length);
    if count.unit.is_none() {
        return Cached { lookup, blocks, tokens: shared, shared };
    }
    let tokens = count.tokens(known.into(), length);
    Cached { lookup, blocks: tokens.div_ceil(count.block_size) as u32, tokens, shared }
}
