//! Which of the tokens that a cache holds count as hits.

use serde::Serialize;

use crate::error::Invalid;
use crate::record::kv_size::PrefillCost;

/// Which blocks of a request count as hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HitRule {
    /// Every cached block, as in the reference.
    #[default]
    Reference,
    /// As serving engines count: full blocks only, and at least one token is always computed.
    Engine,
}

/// How much of a prefix that is there is served: whole steps, from a minimum on. By default, all of it.
///
/// Hosted caches have minima and steps. Engines find whole blocks, or where the layers of a model are of
/// several kinds, units of several blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HitUnit {
    /// The least hit, in tokens.
    pub min: u64,
    /// Tokens by which hits grow beyond it. If absent, what the rule of hits says: full blocks, or token by
    /// token.
    pub step: Option<u64>,
    /// Whether the last step that is found is computed again, as where an engine drafts tokens with layers
    /// that need what the model computes (EAGLE, MTP). Then there is no minimum.
    pub is_last_dropped: bool,
    /// Whether a step is what layers of several kinds have in common, each with blocks of its own. Then it is
    /// made of whole blocks, and where the last one is dropped, it is looked for up to the end of the prompt.
    pub has_groups: bool,
}

impl HitUnit {
    /// Hits of at least `min` tokens, and whole steps of `step` more. A step of 0 is taken for 1.
    pub fn new(min: u64, step: u64) -> Self {
        Self { min, step: Some(step.max(1)), ..Self::default() }
    }

    /// The most that a cache can hold of so many tokens.
    pub(super) fn cacheable(self, tokens: u64) -> u64 {
        let (min, step) = (self.min, self.step.unwrap_or(1));
        tokens.checked_sub(min).map_or(0, |beyond| min + beyond / step * step)
    }

    /// Refuses what has no meaning.
    ///
    /// # Errors
    /// When `block_size` does not divide a unit of layers of several kinds, or the last step is to be dropped
    /// where there is a minimum or where hits are not those of engines.
    pub(super) fn check(self, block_size: u64, rule: HitRule) -> Result<(), Invalid> {
        if let Some(tokens) = self.step.filter(|step| self.has_groups && !step.is_multiple_of(block_size)) {
            return Err(Invalid::value(format!(
                "`hit_unit`: units of {tokens} tokens are not made of blocks of {block_size}: hash the prompts in \
                 the engine's own blocks, or set another unit"
            )));
        }
        if self.is_last_dropped && (self.min > 0 || rule == HitRule::Reference) {
            return Err(Invalid::value(
                "`drop_last_unit` is for the units of engines: it needs `hits` engine, and no `min_hit`",
            ));
        }
        Ok(())
    }

    /// The same where the block size and the rule are known; `None` where hits are counted in blocks as ever.
    fn beside(self, block_size: u64, rule: HitRule) -> Option<Unit> {
        let block = if rule == HitRule::Engine { block_size } else { 1 };
        let unit = Unit {
            min: self.min,
            step: self.step.unwrap_or(block).max(1),
            is_last_dropped: self.is_last_dropped,
            is_to_the_end: self.is_last_dropped && self.has_groups,
        };
        (unit.min > 0 || unit.step != block || unit.is_last_dropped).then_some(unit)
    }
}

/// In what hits are counted, if not in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// The least hit, in tokens.
    pub(super) min: u64,
    /// Tokens by which it grows.
    pub(super) step: u64,
    pub(super) is_last_dropped: bool,
    /// Whether the last token of a prompt may be in what is found, since the last step is computed anyway.
    is_to_the_end: bool,
}

impl Unit {
    /// Whether hits end where blocks do.
    pub(super) fn is_of_blocks(self, block_size: u64) -> bool {
        self.min.is_multiple_of(block_size) && self.step.is_multiple_of(block_size)
    }

    /// What is served of so many tokens that are there.
    fn served(self, tokens: u64) -> u64 {
        let Some(beyond) = tokens.checked_sub(self.min) else { return 0 };
        self.min + (beyond / self.step).saturating_sub(u64::from(self.is_last_dropped)) * self.step
    }
}

/// How hits are counted in tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct HitCount {
    /// Tokens per block.
    pub(super) block_size: u64,
    pub(super) rule: HitRule,
    /// In what hits are counted, if not in blocks.
    pub(super) unit: Option<Unit>,
    /// The arithmetic of the model, if one is known.
    pub(super) prefill: Option<PrefillCost>,
}

/// Tokens at the beginnings of prompts, and the FLOPs that computing them takes: none where no model is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) tokens: u128,
    pub(super) flops: u128,
}

impl Tally {
    /// Adds the first tokens of one more prompt.
    #[inline]
    pub(super) fn add(&mut self, tokens: u64, count: HitCount) {
        self.tokens += u128::from(tokens);
        self.flops += count.flops(tokens);
    }
}

impl HitCount {
    /// Hits by this rule, in blocks of so many tokens or in what is beside them.
    pub(super) fn new(block_size: u64, rule: HitRule, unit: HitUnit) -> Self {
        Self { block_size, rule, unit: unit.beside(block_size, rule), prefill: None }
    }

    /// The same where hits count in compute too, if a model is known.
    pub(super) fn with_prefill(self, prefill: Option<PrefillCost>) -> Self {
        Self { prefill, ..self }
    }

    /// FLOPs of the first so many tokens of a prompt, 0 where no model is known.
    #[inline]
    pub(super) fn flops(self, tokens: u64) -> u128 {
        self.prefill.map_or(0, |cost| cost.flops(tokens))
    }

    /// How many of the blocks of a request of `length` tokens may count.
    pub(super) fn limit(self, length: u64) -> u64 {
        match self.rule {
            HitRule::Reference => u64::MAX,
            HitRule::Engine => length.saturating_sub(1) / self.block_size,
        }
    }

    /// Tokens that a hit of `blocks` blocks serves to a request of `length` tokens.
    ///
    /// Engines compute at least one token, which goes without saying where the last unit is dropped (vLLM 0.32
    /// and 0.33, `find_longest_cache_hit` of the coordinators of one and of several groups).
    #[inline]
    pub(super) fn tokens(self, blocks: u64, length: u64) -> u64 {
        let there = |limit: u64| blocks.min(limit).saturating_mul(self.block_size).min(length);
        match self.unit {
            None => there(self.limit(length)),
            Some(unit) if unit.is_to_the_end => unit.served(there(length / self.block_size)),
            Some(unit) => unit.served(there(self.limit(length))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_rounded_down_and_the_last_one_may_be_dropped() {
        let tokens = |step: Option<u64>, is_last_dropped, blocks, length| {
            let unit = HitUnit { min: 0, step, is_last_dropped, has_groups: step.is_some() };
            HitCount::new(16, HitRule::Engine, unit).tokens(blocks, length)
        };
        for (blocks, length, plain, unit, dropped, unit_dropped) in [
            (0, 100, 0, 0, 0, 0),
            (3, 100, 48, 48, 32, 0),
            (5, 100, 80, 48, 64, 0),
            (6, 100, 96, 96, 80, 48),
            // The whole prompt is there: its last token is computed all the same.
            (6, 96, 80, 48, 64, 48),
            (12, 192, 176, 144, 160, 144),
            (12, 193, 192, 192, 176, 144),
        ] {
            assert_eq!(tokens(None, false, blocks, length), plain, "{blocks} {length}");
            assert_eq!(tokens(Some(48), false, blocks, length), unit, "{blocks} {length}");
            assert_eq!(tokens(None, true, blocks, length), dropped, "{blocks} {length}");
            assert_eq!(tokens(Some(48), true, blocks, length), unit_dropped, "{blocks} {length}");
        }
        let unit = HitUnit { min: 0, step: Some(48), is_last_dropped: true, has_groups: true };
        assert!(unit.check(16, HitRule::Engine).is_ok());
        assert!(unit.check(32, HitRule::Engine).is_err() && unit.check(16, HitRule::Reference).is_err());
        assert!(HitUnit { min: 16, ..unit }.check(16, HitRule::Engine).is_err());
    }

    #[test]
    fn steps_begin_at_the_minimum() {
        let (hosted, limit) = (HitUnit::new(40, 10), |rule| HitCount::new(16, rule, HitUnit::new(40, 10)));
        for (blocks, length, reference, engine) in
            [(2, 70, 0, 0), (3, 70, 40, 40), (4, 70, 60, 60), (5, 70, 70, 60), (4, 64, 60, 40), (5, 39, 0, 0)]
        {
            assert_eq!(limit(HitRule::Reference).tokens(blocks, length), reference, "{blocks} {length}");
            assert_eq!(limit(HitRule::Engine).tokens(blocks, length), engine, "{blocks} {length}");
        }
        assert_eq!([39, 40, 49, 50].map(|tokens| hosted.cacheable(tokens)), [0, 40, 40, 50]);
        // What changes nothing is no unit.
        assert_eq!(HitCount::new(16, HitRule::Engine, HitUnit::new(0, 16)).unit, None);
        assert_eq!(HitCount::new(16, HitRule::Reference, HitUnit::new(0, 1)).unit, None);
    }
}
