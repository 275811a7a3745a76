//! One synthetic request, and the numbering of its blocks.

use super::core::{Core, RunIndex};

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first id.
    pub start: u64,
    /// How many.
    pub len: u32,
}

impl Span {
    /// The ids themselves.
    pub(super) fn ids(&self) -> std::ops::Range<u64> {
        self.start..self.start + u64::from(self.len)
    }
}

/// A synthetic request. The vector of spans is reused from one to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Arrival in milliseconds, if the model knows about time.
    pub timestamp: Option<f64>,
    /// Prompt length in tokens.
    pub input_length: u64,
    /// Generated length in tokens, if the model knows it.
    pub output_length: Option<u64>,
    /// Tokens of its prefix that it shares with earlier requests, or may: the core, and what it
    /// continues.
    pub context_length: u64,
    /// Its blocks, first block first.
    pub spans: Vec<Span>,
}

impl Request {
    /// Empties the request for the next one, keeps its memory.
    pub(super) fn clear(&mut self) {
        let spans = std::mem::take(&mut self.spans);
        *self = Self { spans, ..Self::default() };
        self.spans.clear();
    }

    /// Number of its blocks.
    pub fn blocks(&self) -> u64 {
        self.spans.iter().map(|span| u64::from(span.len)).sum()
    }

    /// Its ids, first block first.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.spans.iter().flat_map(Span::ids)
    }
}

/// Gives ids in the order of first appearance, so that a synthetic trace is dense.
///
/// Memory: 8 bytes per run of the core and copy.
pub(super) struct Ids {
    next: u64,
    /// First id of each run of each copy, plus one; 0 while it has none.
    core: Vec<u64>,
    runs: usize,
    copies: u32,
    path: Vec<RunIndex>,
}

impl Ids {
    /// Ids for `copies` disjoint copies of `core`.
    pub(super) fn new(core: &Core, copies: u32) -> Self {
        let runs = core.runs.len();
        Self { next: 0, core: vec![0; runs * copies as usize], runs, copies, path: Vec::new() }
    }

    /// One of the copies.
    pub(super) fn draw_copy(&self, rng: &mut fastrand::Rng) -> u32 {
        if self.copies > 1 { rng.u32(..self.copies) } else { 0 }
    }

    /// Appends the blocks from the top of a copy of the core to the end of `run`; returns how many.
    pub(super) fn core_path(&mut self, core: &Core, run: RunIndex, copy: u32, spans: &mut Vec<Span>) -> u64 {
        self.path.clear();
        let mut at = run;
        while let Some(run) = core.runs.get(at as usize) {
            self.path.push(at);
            at = run.parent;
        }
        let mut blocks = 0;
        for &index in self.path.iter().rev() {
            let len = core.runs[index as usize].len;
            let first = &mut self.core[copy as usize * self.runs + index as usize];
            if *first == 0 {
                *first = self.next + 1;
                self.next += u64::from(len);
            }
            blocks += u64::from(len);
            push(spans, Span { start: *first - 1, len });
        }
        blocks
    }

    /// The first of `len` ids that never occurred.
    pub(super) fn fresh(&mut self, len: u32) -> u64 {
        let start = self.next;
        self.next += u64::from(len);
        start
    }
}

/// Appends a span, joined with the one before it where the ids go on.
pub(super) fn push(spans: &mut Vec<Span>, span: Span) {
    if span.len == 0 {
        return;
    }
    match spans.last_mut() {
        Some(last)
            if last.start + u64::from(last.len) == span.start && last.len.checked_add(span.len).is_some() =>
        {
            last.len += span.len;
        }
        _ => spans.push(span),
    }
}
