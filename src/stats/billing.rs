//! The cost of requests with each cache that is reported.

use crate::error::Invalid;
use crate::stats::Report;
use crate::stats::cache::{CapacityRow, Hits};
use crate::stats::hit_count::HitUnit;
use crate::stats::price::{Basis, Cost, Price, PriceFigures};
use crate::stats::seen::Seen;
use crate::stats::statistic::{Known, Statistic};

/// What all requests are billed for. It comes after the other statistics, whose rows it prices.
pub(super) struct Billing {
    price: Price,
    unit: HitUnit,
    /// Measured requests with ids.
    measured: Basis,
    /// What a cache without limit serves to them; `None` as long as that is not known.
    infinite_hits: Option<u128>,
    /// Requests whose server recorded its hits, by its own count of tokens.
    recorded: Basis,
    /// What they found, as far as it is part of their prompts.
    recorded_hits: u128,
    /// Those of them that are measured and have ids.
    compared: Basis,
}

impl Billing {
    /// No request yet.
    pub(super) fn new(price: Price, unit: HitUnit) -> Self {
        let none = Basis::default();
        Self {
            price,
            unit,
            measured: none,
            infinite_hits: None,
            recorded: none,
            recorded_hits: 0,
            compared: none,
        }
    }

    fn row(&self, hits: Hits, refused_output: u128) -> Cost {
        self.price.cost(self.measured.of(hits.tokens, refused_output), hits.hit_tokens)
    }
}

impl Statistic for Billing {
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        let is_compared = seen.is_measured && seen.blocks.is_some();
        if is_compared {
            self.measured.add(seen.input_length, seen.output_length, self.unit);
            if let Some(cached) = &seen.cached {
                *self.infinite_hits.get_or_insert(0) += u128::from(cached.tokens);
            }
        }
        if let Some(recorded) = seen.recorded {
            self.recorded.add_recorded(recorded, seen.output_length, self.unit);
            self.recorded_hits += u128::from(recorded.cached.min(recorded.input));
            if is_compared {
                self.compared.add(recorded.input, seen.output_length, self.unit);
            }
        }
        Ok(())
    }

    fn report(&self, _: &Known, report: &mut Report) {
        let cost_without_cache = self.price.without_cache(self.measured);
        let bill = |row: &mut CapacityRow| row.cost = Some(self.row(row.hits, row.refused_output_tokens));
        if let Some(caches) = &mut report.caches {
            caches.capacity.iter_mut().chain(&mut caches.curve).chain([&mut caches.infinite]).for_each(bill);
        }
        let infinite = self.infinite_hits.map(|hits| self.price.cost(self.measured, hits));
        let infinite = infinite.or_else(|| report.caches.as_ref()?.infinite.cost);
        report.price = Some(PriceFigures { price: self.price, cost_without_cache, infinite });
        let targets = report.targets.value.iter_mut().chain(&mut report.enough.value);
        targets.for_each(|target| bill(&mut target.row));
        report.ttls.value.iter_mut().for_each(|ttl| ttl.cost = Some(self.row(ttl.hits, 0)));
        if let Some(recorded) = &mut report.recorded {
            recorded.cost = Some(self.price.cost(self.recorded, self.recorded_hits));
            for cache in &mut recorded.caches {
                cache.cost = Some(self.price.cost(self.compared, cache.hit_tokens));
            }
        }
    }
}
