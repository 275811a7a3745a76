//! Hits that a server recorded, beside those that are predicted for each cache.

use serde::Serialize;

use crate::stats::accuracy::Accuracy;
use crate::stats::requests::RequestReport;

/// What a server counted and what one cache would have served, over the requests that have both.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HitCheck {
    /// The name of the cache (`vllm:400`).
    pub cache: String,
    /// Requests compared.
    pub requests: u64,
    /// Their tokens that the server found in its cache.
    pub counted_tokens: u128,
    /// Those predicted.
    pub predicted_tokens: u128,
    /// Requests whose figures differ.
    pub differing_requests: u64,
    /// The line of the first of them.
    pub first_line: Option<u64>,
    /// What those predicted are worth; where they are a bound, how often they differ is none.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// A check for each cache.
#[derive(Default)]
pub(super) struct HitChecks {
    rows: Vec<HitCheck>,
}

impl HitChecks {
    /// Takes the hits of the next request.
    pub(super) fn add(&mut self, request: &RequestReport) {
        if self.rows.is_empty() {
            let row = |(cache, _): &(String, _)| HitCheck { cache: cache.clone(), ..HitCheck::default() };
            self.rows = request.hits.iter().map(row).collect();
        }
        let Some(counted) = request.cached_tokens.filter(|_| request.is_measured) else { return };
        for (row, (_, predicted)) in self.rows.iter_mut().zip(&request.hits) {
            let Some(predicted) = *predicted else { continue };
            row.requests += 1;
            row.counted_tokens += u128::from(counted);
            row.predicted_tokens += u128::from(predicted);
            if counted != predicted {
                row.differing_requests += 1;
                row.first_line.get_or_insert(request.line);
            }
        }
    }

    /// The checks so far.
    pub(super) fn rows(&self) -> &[HitCheck] {
        &self.rows
    }
}
