//! Sums over all requests.

use crate::error::Invalid;
use crate::stats::accuracy::Accuracy;
use crate::stats::figures::HitUnitFigures;
use crate::stats::hit_count::Unit;
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};
use crate::stats::{Bound, Report};

/// Requests, blocks, tokens, and what an infinite cache serves of them.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    requests_without_ids: u64,
    blocks: u64,
    hit_blocks: u64,
    tokens_with_ids: u128,
    cached_tokens: u128,
    /// In what hits are counted, if not in blocks, and the tokens of all blocks that were there.
    unit: Option<Unit>,
    shared_tokens: u128,
}

impl Totals {
    /// Nothing has been seen yet; hits are counted in this unit, or in blocks.
    pub(super) fn new(unit: Option<Unit>) -> Self {
        Self { unit, ..Self::default() }
    }

    /// Share of the tokens of requests with ids that an infinite cache serves.
    pub(super) fn token_hit_rate(&self) -> Option<f64> {
        ratio(self.cached_tokens as f64, self.tokens_with_ids as f64)
    }
}

/// A share; `None` of nothing.
pub(super) fn ratio(part: f64, all: f64) -> Option<f64> {
    (all > 0.0).then(|| part / all)
}

impl Statistic for Totals {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        self.requests += 1;
        match seen.blocks {
            Some(blocks) => {
                self.blocks += u64::from(blocks);
                self.tokens_with_ids += u128::from(seen.input_length);
            }
            None => self.requests_without_ids += 1,
        }
        if let Some(cached) = &seen.cached {
            self.hit_blocks += u64::from(cached.blocks);
            self.cached_tokens += u128::from(cached.tokens);
            self.shared_tokens += u128::from(cached.shared);
        }
        Ok(())
    }

    fn mark(bound: &Bound, report: &mut Report) {
        if bound.has_forgotten() {
            report.unique_blocks.accuracy = Accuracy::AtMost;
            report.cached_tokens.accuracy = Accuracy::AtLeast;
            report.token_hit_rate.accuracy = Accuracy::AtLeast;
            report.block_hit_rate.accuracy = Accuracy::AtLeast;
            report.hit_unit.accuracy = Accuracy::Neither;
        }
    }

    fn report(&self, known: &Known, report: &mut Report) {
        report.requests = self.requests;
        report.requests_without_ids = self.requests_without_ids;
        report.blocks = self.blocks;
        report.tokens_with_ids = self.tokens_with_ids;
        report.unique_blocks.value = known.unique_blocks;
        report.cached_tokens.value = self.cached_tokens;
        report.token_hit_rate.value = self.token_hit_rate();
        report.hit_unit.value = self.unit.map(|unit| HitUnitFigures {
            min_tokens: unit.min,
            tokens: unit.step,
            is_last_dropped: unit.is_last_dropped,
            shared_tokens: self.shared_tokens,
            below_share: ratio((self.shared_tokens - self.cached_tokens) as f64, self.shared_tokens as f64),
        });
        report.block_hit_rate.value = ratio(self.hit_blocks as f64, self.blocks as f64);
    }
}
