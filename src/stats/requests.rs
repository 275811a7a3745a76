//! The hits of each request in each cache, in the order of the trace.
//!
//! Where requests are served together, some are known later than others. So a row waits until it is
//! complete and all rows before it are.

use std::collections::VecDeque;

use serde::{Serialize, Serializer};

use crate::stats::seen::Seen;

/// What every cache served to one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RequestReport {
    /// Line of its record, over all files.
    pub line: u64,
    /// Prompt tokens.
    pub tokens: u64,
    /// Prompt tokens that the server found in its cache, where the record says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Prompt tokens from each cache by its name (`lru:1000`); `None` of a request that does not fit into
    /// it, or has no ids.
    #[serde(serialize_with = "as_object")]
    pub hits: Vec<(String, Option<u64>)>,
    /// The caches whose hits are lower bounds, since blocks have been forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub at_least: Vec<String>,
    /// Whether it is of no warm-up.
    #[serde(skip)]
    pub(super) is_measured: bool,
}

fn as_object<S: Serializer>(hits: &[(String, Option<u64>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(hits.iter().map(|(name, tokens)| (name, tokens)))
}

/// Hits of a request in a cache, when they are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestHits {
    /// The number of the request, from 0.
    pub(super) request: u64,
    /// Blocks of the cache.
    pub(super) capacity: u64,
    /// Tokens; none of a request that does not fit.
    pub(super) tokens: Option<u64>,
}

/// Hits of one request as far as they are known.
struct Row {
    line: u64,
    tokens: u64,
    cached_tokens: Option<u64>,
    is_measured: bool,
    hits: Vec<Option<u64>>,
    known: Vec<bool>,
    missing: usize,
}

/// The rows that have not been handed over.
pub(super) struct Requests {
    columns: Vec<String>,
    rows: VecDeque<Row>,
    /// The number of the first of them.
    first: u64,
}

impl Requests {
    /// No rows yet; with a column per cache.
    pub(super) fn new(columns: Vec<String>) -> Self {
        Self { columns, rows: VecDeque::new(), first: 0 }
    }

    /// Begins the row of the next request.
    pub(super) fn begin(&mut self, seen: &Seen) {
        let columns = self.columns.len();
        self.rows.push_back(Row {
            line: seen.line,
            tokens: seen.input_length,
            cached_tokens: seen.recorded.map(|of| of.cached),
            is_measured: seen.is_measured,
            hits: vec![None; columns],
            known: vec![false; columns],
            missing: columns,
        });
    }

    /// Notes hits in the cache of a column.
    pub(super) fn note(&mut self, column: usize, hits: RequestHits) {
        let place = hits.request.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some(row) = place.and_then(|place| self.rows.get_mut(place)) else { return };
        row.missing -= usize::from(!std::mem::replace(&mut row.known[column], true));
        row.hits[column] = hits.tokens;
    }

    /// The next row, if it is complete.
    pub(super) fn take(&mut self) -> Option<RequestReport> {
        self.rows.front().filter(|row| row.missing == 0)?;
        let row = self.rows.pop_front()?;
        self.first += 1;
        let hits = self.columns.iter().cloned().zip(row.hits).collect();
        let at_least = Vec::new();
        Some(RequestReport {
            line: row.line,
            tokens: row.tokens,
            cached_tokens: row.cached_tokens,
            hits,
            at_least,
            is_measured: row.is_measured,
        })
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        (size_of::<Row>() + 17 * self.columns.len()) * self.rows.len()
    }
}
