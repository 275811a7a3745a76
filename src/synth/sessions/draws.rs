//! Conditional distributions, and drawing from them evenly.
//!
//! Independent draws would make the sums of a trace wander from seed to seed: the hit rate alone by two to
//! four points. So the uniform numbers of each leaf are dealt from shuffled decks: sixteen draws in a row hit
//! every sixteenth of a distribution once.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::quantiles::{Groups, Quantiles, Weighted, rounded};
use super::random::shuffle;
use super::tree::{Growth, Rows, Tree, grow};

/// Cards of a deck.
const CARDS: usize = 16;

/// The numbers of a leaf that are still to be drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deck {
    cards: [u8; CARDS],
    left: u8,
}

impl Deck {
    /// A number from 0 to 1.
    pub(super) fn draw(&mut self, rng: &mut Rng) -> f32 {
        if self.left == 0 {
            self.cards = std::array::from_fn(|i| i as u8);
            shuffle(rng, &mut self.cards);
            self.left = CARDS as u8;
        }
        self.left -= 1;
        (f32::from(self.cards[usize::from(self.left)]) + rng.f32()) / CARDS as f32
    }
}

/// A number given a state, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conditional {
    tree: Tree,
    leaves: Vec<Groups>,
}

/// The chance of something given a state, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chances {
    tree: Tree,
    leaves: Vec<f32>,
}

impl Conditional {
    /// Learns the values of rows; `None` if they are of too few sessions.
    pub(super) fn learn(rows: &Rows<'_>, growth: Growth, knots: usize) -> Option<Self> {
        if rows.values.is_empty() {
            return None;
        }
        let (tree, members) = grow(rows, growth);
        let groups = |rows_of: &Vec<u32>| {
            let weighted = |&row: &u32| Weighted {
                value: rows.values[row as usize],
                weight: rows.weights[row as usize],
                session: rows.sessions[row as usize],
            };
            Groups::of(&mut rows_of.iter().map(weighted).collect::<Vec<_>>(), growth.min_count, knots)
        };
        Some(Self { tree, leaves: members.iter().map(groups).collect::<Option<_>>()? })
    }

    /// Whether it can be drawn from, given so many features.
    pub(super) fn is_valid(&self, features: usize) -> bool {
        self.tree.is_valid(self.leaves.len(), features) && self.leaves.iter().all(Groups::is_valid)
    }
}

impl Chances {
    /// Learns how often; `None` if that is of too few sessions.
    pub(super) fn learn(rows: &Rows<'_>, growth: Growth) -> Option<Self> {
        let enough = super::quantiles::sessions_up_to(growth.min_count, rows.sessions.iter().copied());
        if enough < growth.min_count {
            return None;
        }
        let (tree, members) = grow(rows, growth);
        let mean = |rows_of: &Vec<u32>| {
            let sum: f64 = rows_of.iter().map(|&row| f64::from(rows.values[row as usize])).sum();
            rounded(sum / rows_of.len() as f64)
        };
        Some(Self { tree, leaves: members.iter().map(mean).collect() })
    }

    /// Whether it can be drawn from, given so many features.
    pub(super) fn is_valid(&self, features: usize) -> bool {
        self.tree.is_valid(self.leaves.len(), features)
            && self.leaves.iter().all(|chance| chance.is_finite() && *chance >= 0.0)
    }
}

/// Draws numbers given states.
pub(super) struct NumberDraw {
    tree: Tree,
    leaves: Vec<(Quantiles, Deck)>,
}

impl NumberDraw {
    pub(super) fn new(kept: &Conditional) -> Self {
        let leaf = |groups: &Groups| (Quantiles::new(groups), Deck::default());
        Self { tree: kept.tree.clone(), leaves: kept.leaves.iter().map(leaf).collect() }
    }

    pub(super) fn draw(&mut self, features: &[f32], rng: &mut Rng) -> f32 {
        let (quantiles, deck) = &mut self.leaves[self.tree.leaf(features)];
        quantiles.value(deck.draw(rng))
    }
}

/// Draws whether something happens given states.
pub(super) struct ChanceDraw {
    tree: Tree,
    leaves: Vec<(f32, Deck)>,
}

impl ChanceDraw {
    pub(super) fn new(kept: &Chances) -> Self {
        let leaf = |&chance: &f32| (chance, Deck::default());
        Self { tree: kept.tree.clone(), leaves: kept.leaves.iter().map(leaf).collect() }
    }

    /// `change` changes the chance.
    pub(super) fn happens(
        &mut self,
        features: &[f32],
        change: impl Fn(f32) -> f32,
        rng: &mut Rng,
    ) -> bool {
        let (chance, deck) = &mut self.leaves[self.tree.leaf(features)];
        deck.draw(rng) < change(*chance)
    }
}
