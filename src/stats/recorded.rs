//! What the server itself said that its cache served, where records carry it.

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::stats::Report;
use crate::stats::figures::RecordedFigures;
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};
use crate::stats::totals::ratio;

/// Sums over the requests whose record says what the cache served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    requests: u64,
    input_tokens: u128,
    cached_tokens: u128,
}

impl Recorded {
    /// Whether no record said anything.
    pub(super) fn is_empty(&self) -> bool {
        self.requests == 0
    }

    /// Takes what the record of a request says: its prompt as the server counted it, and what of that was
    /// cached.
    pub(super) fn count(&mut self, input_length: u64, cached_tokens: u64) {
        self.requests += 1;
        self.input_tokens += u128::from(input_length);
        self.cached_tokens += u128::from(cached_tokens);
    }

    /// Takes the sums of a further piece of the trace.
    pub(super) fn merge(&mut self, piece: Self) {
        self.requests += piece.requests;
        self.input_tokens += piece.input_tokens;
        self.cached_tokens += piece.cached_tokens;
    }
}

impl Statistic for Recorded {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if let Some((input_length, cached_tokens)) = seen.recorded {
            self.count(input_length, cached_tokens);
        }
        Ok(())
    }

    fn report(&self, _: &Known, report: &mut Report) {
        let Self { requests, input_tokens, cached_tokens } = *self;
        report.recorded = (requests > 0).then(|| RecordedFigures {
            requests,
            input_tokens,
            cached_tokens,
            token_hit_rate: ratio(cached_tokens as f64, input_tokens as f64),
        });
    }
}
