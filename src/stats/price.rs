//! What prompts cost where tokens from a cache have a price of their own.
//!
//! A prompt of L tokens, of which h come from the cache, is billed in three parts: h at the price of cached
//! tokens; the rest of what a cache can hold of it at the price of writing; and what is left, because of a
//! minimum or of steps, at the price of input. What is not written to a cache costs no more than input, so
//! where writing costs extra, a cache that finds nothing is dearer than none.

use serde::Serialize;

use crate::record::RecordedUse;
use crate::stats::hit_count::HitUnit;

/// Prices per million tokens, in whatever currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Price {
    /// Of prompt tokens that no cache has and none takes.
    pub input: f64,
    /// Of prompt tokens from the cache.
    pub cached: f64,
    /// Of prompt tokens that are written to the cache.
    pub write: f64,
    /// Of generated tokens.
    pub output: f64,
}

/// What requests cost with a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// All of it.
    pub cost: f64,
    /// What the same requests cost more without a cache; less than 0 if they cost less.
    pub saving: f64,
    /// The saving over the cost without a cache; `None` where that is nothing.
    pub saving_rate: Option<f64>,
}

impl Cost {
    /// The cost of both.
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        let (cost, saving) = (self.cost + other.cost, self.saving + other.saving);
        let without = cost + saving;
        Self { cost, saving, saving_rate: (without > 0.0).then(|| saving / without) }
    }
}

/// What prices are applied to, and what it costs without a cache.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PriceFigures {
    /// The prices.
    #[serde(flatten)]
    pub price: Price,
    /// What the measured requests with ids cost without a cache.
    pub cost_without_cache: f64,
    /// What they cost with a cache without limit, where its hits are known.
    #[serde(flatten)]
    pub infinite: Option<Cost>,
}

/// What is billed of requests, whatever a cache has of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Basis {
    /// Prompt tokens.
    tokens: u128,
    /// Those that a cache can hold.
    cacheable: u128,
    /// Generated tokens.
    output: u128,
}

impl Basis {
    /// Takes a request.
    pub(super) fn add(&mut self, tokens: u64, output: Option<u64>, unit: HitUnit) {
        self.tokens += u128::from(tokens);
        self.cacheable += u128::from(unit.cacheable(tokens));
        self.output += u128::from(output.unwrap_or(0));
    }

    /// Takes a request whose server said what it found in its cache, and perhaps what it wrote there.
    pub(super) fn add_recorded(&mut self, of: RecordedUse, output: Option<u64>, unit: HitUnit) {
        let cacheable = match of.written {
            Some(written) => of.input.min(of.cached.saturating_add(written)),
            // What it found, it can hold.
            None => unit.cacheable(of.input).max(of.input.min(of.cached)),
        };
        self.tokens += u128::from(of.input);
        self.cacheable += u128::from(cacheable);
        self.output += u128::from(output.unwrap_or(0));
    }

    /// The same for those of the requests that have so many prompt tokens: an engine may refuse some, which would
    /// have generated `refused_output` tokens.
    pub(super) fn of(self, tokens: u128, refused_output: u128) -> Self {
        let refused = self.tokens.saturating_sub(tokens);
        let output = self.output.saturating_sub(refused_output);
        Self { tokens, cacheable: self.cacheable.saturating_sub(refused), output }
    }
}

impl Price {
    /// What is billed without a cache.
    pub(super) fn without_cache(&self, basis: Basis) -> f64 {
        (basis.tokens as f64 * self.input + basis.output as f64 * self.output) / 1e6
    }

    /// What is billed with a cache that serves so many of the tokens.
    pub(super) fn cost(&self, basis: Basis, hit_tokens: u128) -> Cost {
        let written = basis.cacheable.max(hit_tokens) - hit_tokens;
        let plain = basis.tokens.saturating_sub(hit_tokens + written);
        let parts = [
            (hit_tokens, self.cached),
            (written, self.write),
            (plain, self.input),
            (basis.output, self.output),
        ];
        let cost = parts.iter().map(|&(tokens, price)| tokens as f64 * price).sum::<f64>() / 1e6;
        let without = self.without_cache(basis);
        let saving = without - cost;
        Cost { cost, saving, saving_rate: (without > 0.0).then(|| saving / without) }
    }
}
