//! Which of the tokens that a cache holds count as hits.

use serde::Serialize;

use crate::error::Invalid;

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

/// In what multiples an engine finds prefixes, where that is not its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HitUnit {
    /// Tokens of a unit, a multiple of the block size; a block if absent.
    pub tokens: Option<u64>,
    /// Whether the last unit that is found is computed again, as where the engine drafts tokens with layers
    /// that need what the model computes (EAGLE, MTP).
    pub is_last_dropped: bool,
    /// Whether the model has layers of several kinds, each with blocks of its own: where the last unit is
    /// dropped, it is then looked for up to the end of the prompt.
    pub has_groups: bool,
}

/// The same, when the block size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Tokens of a unit.
    pub(super) tokens: u64,
    pub(super) is_last_dropped: bool,
    has_groups: bool,
}

/// How hits are counted in tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct HitCount {
    /// Tokens per block.
    pub(super) block_size: u64,
    pub(super) rule: HitRule,
    /// In what hits are counted, if not in blocks.
    pub(super) unit: Option<Unit>,
}

impl HitUnit {
    /// Refuses units that are not made of whole blocks.
    ///
    /// # Errors
    /// When `block_size` does not divide the unit.
    pub(super) fn check(self, block_size: u64) -> Result<(), Invalid> {
        match self.tokens {
            Some(tokens) if !tokens.is_multiple_of(block_size) => Err(Invalid::value(format!(
                "`hit_unit`: units of {tokens} tokens are not made of blocks of {block_size}: hash the prompts in \
                 the engine's own blocks, or set another unit"
            ))),
            _ => Ok(()),
        }
    }

    /// The unit, unless it is the block.
    fn beside(self, block_size: u64) -> Option<Unit> {
        let tokens = self.tokens.unwrap_or(block_size).max(block_size);
        let Self { is_last_dropped, has_groups, .. } = self;
        (tokens > block_size || is_last_dropped).then_some(Unit { tokens, is_last_dropped, has_groups })
    }
}

impl HitCount {
    /// Hits in blocks of so many tokens; under the rule of engines in units of them.
    pub(super) fn new(block_size: u64, rule: HitRule, unit: HitUnit) -> Self {
        let is_engine = rule == HitRule::Engine;
        Self { block_size, rule, unit: unit.beside(block_size).filter(|_| is_engine) }
    }

    /// How many of the blocks of a request of `length` tokens may count.
    pub(super) fn limit(self, length: u64) -> u64 {
        match self.rule {
            HitRule::Reference => u64::MAX,
            HitRule::Engine => length.saturating_sub(1) / self.block_size,
        }
    }

    /// Tokens that a hit of `blocks` blocks serves to a request of `length` tokens.
    #[inline]
    pub(super) fn tokens(self, blocks: u64, length: u64) -> u64 {
        match self.unit {
            None => blocks.min(self.limit(length)).saturating_mul(self.block_size).min(length),
            Some(unit) => self.units(blocks, length).saturating_sub(unit.dropped()) * unit.tokens,
        }
    }

    /// The units of a request of `length` tokens that are found where its first `blocks` blocks are there.
    ///
    /// At least one token is computed, which goes without saying where the last unit is dropped (vLLM 0.32
    /// and 0.33, `find_longest_cache_hit` of the coordinators of one and of several groups).
    pub(super) fn units(self, blocks: u64, length: u64) -> u64 {
        let Some(unit) = self.unit else { return blocks };
        let is_to_the_end = unit.is_last_dropped && unit.has_groups;
        let limit = if is_to_the_end { length } else { length.saturating_sub(1) };
        blocks.saturating_mul(self.block_size).min(limit) / unit.tokens
    }
}

impl Unit {
    /// How many units that are found do not count.
    pub(super) fn dropped(self) -> u64 {
        u64::from(self.is_last_dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_rounded_down_and_the_last_one_may_be_dropped() {
        let tokens = |tokens: Option<u64>, is_last_dropped, blocks, length| {
            let unit = HitUnit { tokens, is_last_dropped, has_groups: tokens.is_some() };
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
        let unit = HitUnit { tokens: Some(48), is_last_dropped: true, has_groups: true };
        assert_eq!(HitCount::new(16, HitRule::Reference, unit).tokens(5, 70), 70);
        assert!(unit.check(16).is_ok() && unit.check(32).is_err());
    }
}
