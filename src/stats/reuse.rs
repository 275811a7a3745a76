//! Where the hits of a cache without limit come from: how long ago each block had been used, whether few
//! blocks make most of the hits, and whose requests had brought them.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::blocks::{NumberRun, reserve};
use crate::error::Invalid;
use crate::stats::accuracy::{Accuracy, Figure};
use crate::stats::labels::is_full;
use crate::stats::origins::{AgeRow, ConcentrationRow, ReuseFigures, SharedByFigures, SharerRow};
use crate::stats::seen::{Cached, Seen};
use crate::stats::statistic::{Bytes, Forgetting, Known, Statistic};
use crate::stats::{Bound, Report};

/// Ages by which hits are sorted, in seconds.
const AGES: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0];

/// Shares of the distinct blocks of which is told how many of the hits they make.
const SHARES: [f64; 3] = [0.001, 0.01, 0.1];

/// The largest number of values for which a matrix is told.
const MATRIX: usize = 20;

/// Running sums. 12 bytes for each distinct block, and one more where hits are told by a field.
pub(super) struct Reuse {
    block_size: u64,
    /// By block: the time of its last use, in milliseconds.
    used: Vec<f64>,
    /// By block: how often it was a hit.
    hits: Vec<u32>,
    /// Tokens by the place of the age among [`AGES`], the last one for all longer times.
    by_age: [u128; AGES.len() + 1],
    answer_tokens: u128,
    has_times: bool,
    writers: Option<Writers>,
}

/// Who brings blocks and who uses them.
struct Writers {
    field: String,
    index: HashMap<String, u8, RandomState>,
    /// By their numbers.
    values: Vec<SharerRow>,
    /// Whether answers filled blocks.
    has_answers: bool,
    /// The number that stands for all values without one.
    others: Option<u8>,
    /// That of the next request.
    current: u8,
    /// By block: the number of the value that brought it.
    of_block: Vec<u8>,
    /// Tokens by the value that hits and the one that had brought the block.
    tokens: HashMap<(u8, u8), u128, RandomState>,
}

impl Writers {
    fn new(field: &str) -> Self {
        Self {
            field: field.to_owned(),
            index: HashMap::default(),
            values: Vec::new(),
            has_answers: false,
            others: None,
            current: 0,
            of_block: Vec::new(),
            tokens: HashMap::default(),
        }
    }

    fn begin(&mut self, value: &str) {
        let known = self.index.get(value).copied();
        let has_row = known.is_some() || !is_full(value, &self.index);
        self.current = known.or(self.others.filter(|_| !has_row)).unwrap_or_else(|| {
            let number = self.values.len() as u8;
            let row = SharerRow { value: has_row.then(|| value.to_owned()), ..SharerRow::default() };
            self.values.push(row);
            if has_row {
                self.index.insert(value.to_owned(), number);
            } else {
                self.others = Some(number);
            }
            number
        });
    }

    fn hit(&mut self, writer: u8, tokens: u64) {
        *self.tokens.entry((self.current, writer)).or_default() += u128::from(tokens);
        let current = self.current;
        if let Some(row) = self.current() {
            let of = if writer == current { &mut row.own_tokens } else { &mut row.others_tokens };
            *of += u128::from(tokens);
        }
    }

    /// The row of the next request's value.
    fn current(&mut self) -> Option<&mut SharerRow> {
        self.values.get_mut(usize::from(self.current))
    }

    fn figures(&self) -> SharedByFigures {
        let count = self.values.len() as u8;
        let row = |reader| {
            (0..count).map(|writer| self.tokens.get(&(reader, writer)).copied().unwrap_or(0)).collect()
        };
        let has_matrix = self.values.len() <= MATRIX;
        let matrix = if has_matrix { (0..count).map(row).collect() } else { Vec::new() };
        let (field, values) = (self.field.clone(), self.values.clone());
        SharedByFigures { field, values, has_answers: self.has_answers, matrix }
    }
}

impl Reuse {
    /// Nothing has been used yet. `shared_by` names the field that says who brings blocks.
    pub(super) fn new(block_size: u64, shared_by: Option<&str>) -> Self {
        Self {
            block_size,
            used: Vec::new(),
            hits: Vec::new(),
            by_age: [0; AGES.len() + 1],
            answer_tokens: 0,
            has_times: false,
            writers: shared_by.map(Writers::new),
        }
    }

    /// Says which value the next request has.
    pub(super) fn begin(&mut self, value: &str) {
        if let Some(writers) = &mut self.writers {
            writers.begin(value);
        }
    }

    /// Counts the hits of a request block by block: each one has its tokens, the last one what is left.
    fn count(&mut self, cached: &Cached, now: f64) {
        let mut rest = cached.tokens;
        let known = cached.lookup.prefix(cached.blocks).filter(|run| run.start < cached.lookup.first_new);
        for block in known.flat_map(NumberRun::blocks) {
            let tokens = rest.min(self.block_size);
            if tokens == 0 {
                break;
            }
            rest -= tokens;
            let block = block as usize;
            let age = (now - self.used[block]) / 1000.0;
            self.by_age[AGES.partition_point(|&limit| limit < age)] += u128::from(tokens);
            self.hits[block] = self.hits[block].saturating_add(1);
            if let Some(writers) = &mut self.writers {
                writers.hit(writers.of_block[block], tokens);
            }
        }
        self.answer_tokens += u128::from(rest);
        if let Some(row) = self.writers.as_mut().and_then(Writers::current) {
            row.answer_tokens += u128::from(rest);
        }
    }

    fn concentration(&self) -> Vec<ConcentrationRow> {
        let mut hits = self.hits.clone();
        hits.sort_unstable_by(|a, b| b.cmp(a));
        let sum = |hits: &[u32]| hits.iter().map(|&n| u64::from(n)).sum::<u64>();
        let all = sum(&hits);
        let row = |block_share: f64| {
            let blocks = ((block_share * hits.len() as f64).ceil() as usize).max(1).min(hits.len());
            let hit_share = (all > 0).then(|| sum(&hits[..blocks]) as f64 / all as f64);
            ConcentrationRow { block_share, blocks: blocks as u64, hit_share }
        };
        SHARES.into_iter().map(row).collect()
    }
}

impl Statistic for Reuse {
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        self.has_times |= seen.timestamp.is_some();
        let Some(cached) = &seen.cached else { return Ok(()) };
        self.count(cached, seen.now);
        let more = (cached.lookup.end as usize).saturating_sub(self.used.len());
        reserve(&mut self.used, more);
        reserve(&mut self.hits, more);
        self.used.resize(self.used.len() + more, seen.now);
        self.hits.resize(self.hits.len() + more, 0);
        for run in cached.lookup.runs {
            self.used[run.start as usize..run.end() as usize].fill(seen.now);
        }
        if let Some(writers) = &mut self.writers {
            reserve(&mut writers.of_block, more);
            writers.of_block.resize(writers.of_block.len() + more, writers.current);
            writers.has_answers |=
                seen.engine.is_some_and(|engine| engine.names.len() as u64 > engine.prompt / self.block_size);
            if let Some(row) = writers.current() {
                row.requests += 1;
                row.tokens += u128::from(seen.input_length);
            }
        }
        Ok(())
    }

    fn bytes(&self) -> Bytes {
        let writers = self.writers.as_ref().map_or(0, |writers| writers.of_block.len());
        Bytes { blocks: 12 * self.used.len() + writers, ..Bytes::default() }
    }

    fn forget(&mut self, forgetting: &Forgetting) {
        let Some(kept) = forgetting.kept else { return };
        kept.compact(&mut self.used);
        kept.compact(&mut self.hits);
        if let Some(writers) = &mut self.writers {
            kept.compact(&mut writers.of_block);
        }
    }

    fn mark(bound: &Bound, report: &mut Report) {
        if bound.has_forgotten() {
            report.reuse.accuracy = Accuracy::AtLeast;
            // A block that comes again after it was forgotten has another writer.
            report.shared_by.accuracy = Accuracy::Neither;
        }
    }

    fn report(&self, known: &Known, report: &mut Report) {
        let limits = AGES.into_iter().map(Some).chain([None]);
        let rows = limits.zip(self.by_age).map(|(within_s, tokens)| AgeRow { within_s, tokens });
        let is_whole = !known.bound.is_some_and(Bound::has_forgotten);
        let figures = ReuseFigures {
            by_age: if self.has_times { rows.collect() } else { Vec::new() },
            answer_tokens: self.answer_tokens,
            concentration: if is_whole { self.concentration() } else { Vec::new() },
        };
        report.reuse = Figure { value: Some(figures), ..report.reuse };
        let shared_by = self.writers.as_ref().map(Writers::figures);
        report.shared_by = Figure { value: shared_by, accuracy: report.shared_by.accuracy };
    }
}
