//! Conditional distributions, and drawing from them evenly.
//!
//! Independent draws would make the sums of a trace wander from seed to seed: the hit rate alone by two to
//! four points. So the uniform numbers of each leaf are dealt from shuffled decks: sixteen draws in a row hit
//! every sixteenth of a distribution once.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::quantiles::{Groups, Quantiles, Weighted, rounded};
use super::tree::{Growth, Rows, Tree, grow};

/// Cards of a deck.
const CARDS: usize = 16;

/// Groups of all values, at most; those of a leaf are fewer.
const KNOTS_OF_ALL: usize = 500;

/// The numbers of a leaf: the first ones are still to be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deck {
    cards: [u8; CARDS],
    left: u8,
}

impl Default for Deck {
    fn default() -> Self {
        Self { cards: std::array::from_fn(|i| i as u8), left: CARDS as u8 }
    }
}

impl Deck {
    /// A number from 0 to 1.
    #[inline]
    pub(super) fn draw(&mut self, rng: &mut Rng) -> f32 {
        if self.left == 0 {
            self.left = CARDS as u8;
        }
        let drawn = rng.usize(..usize::from(self.left));
        self.left -= 1;
        self.cards.swap(drawn, usize::from(self.left));
        (f32::from(self.cards[usize::from(self.left)]) + rng.f32()) / CARDS as f32
    }
}

/// A number given a state, as it is kept: the distribution of all, and in each leaf that of ranks among all.
/// Between ranks nothing is empty, so the few groups of a leaf blur no gap between numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conditional {
    all: Groups,
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
        let groups = |of: &mut dyn Iterator<Item = u32>, values: &[f32], knots: usize| {
            let weighted = |row: u32| Weighted {
                value: values[row as usize],
                weight: rows.weights[row as usize],
                session: rows.sessions[row as usize],
            };
            Groups::of(&mut of.map(weighted).collect::<Vec<_>>(), growth.min_count, knots)
        };
        let mut all = groups(&mut (0..rows.values.len() as u32), rows.values, KNOTS_OF_ALL)?;
        let ranks = ranks(rows.values, rows.weights);
        let (tree, members) = grow(rows, &ranks, growth);
        let leaf = |of: &Vec<u32>| groups(&mut of.iter().copied(), &ranks, knots);
        let mut leaves: Vec<Groups> = members.iter().map(leaf).collect::<Option<_>>()?;
        calibrate(&mut all, &mut leaves, &members);
        Some(Self { all, tree, leaves })
    }

    /// Whether it can be drawn from, given so many features.
    pub(super) fn is_valid(&self, features: usize) -> bool {
        let is_rank = |leaf: &Groups| leaf.means.iter().all(|mean| (0.0..=1.0).contains(mean));
        self.all.is_valid()
            && self.tree.is_valid(self.leaves.len(), features)
            && self.leaves.iter().all(|leaf| leaf.is_valid() && is_rank(leaf))
    }
}

impl Chances {
    /// Learns how often; `None` if that is of too few sessions.
    pub(super) fn learn(rows: &Rows<'_>, growth: Growth) -> Option<Self> {
        let enough = super::quantiles::sessions_up_to(growth.min_count, rows.sessions.iter().copied());
        if enough < growth.min_count {
            return None;
        }
        let (tree, members) = grow(rows, rows.values, growth);
        let mean = |rows_of: &Vec<u32>| {
            let sum = |of: &dyn Fn(usize) -> f32| {
                rows_of.iter().map(|&row| f64::from(of(row as usize))).sum::<f64>()
            };
            let weight = sum(&|row| rows.weights[row]);
            // None is certain, or sessions would never end.
            let most = 1.0 - 1.0 / (rows_of.len() as f64 + 1.0);
            rounded((sum(&|row| rows.weights[row] * rows.values[row]) / weight.max(1e-9)).min(most))
        };
        Some(Self { tree, leaves: members.iter().map(mean).collect() })
    }

    /// Whether it can be drawn from, given so many features.
    pub(super) fn is_valid(&self, features: usize) -> bool {
        self.tree.is_valid(self.leaves.len(), features)
            && self.leaves.iter().all(|chance| chance.is_finite() && *chance >= 0.0)
    }
}

/// Makes what is drawn from all leaves together have the distribution of all values: leaves do not reach as far
/// as the ranks that they were made of, since the ends of their groups are means.
fn calibrate(all: &mut Groups, leaves: &mut [Groups], members: &[Vec<u32>]) {
    let mut drawn: Vec<f32> = Vec::new();
    for (leaf, rows) in leaves.iter().zip(members) {
        let quantiles = Quantiles::of_ranks(leaf);
        let count = rows.len() as f32;
        drawn.extend((0..rows.len()).map(|i| quantiles.value((i as f32 + 0.5) / count)));
    }
    drawn.sort_unstable_by(f32::total_cmp);
    let (low, high) = (drawn[0], drawn[drawn.len() - 1]);
    if high <= low {
        return;
    }
    let stretched = |rank: f32| ((rank - low) / (high - low)).clamp(0.0, 1.0);
    for mean in leaves.iter_mut().flat_map(|leaf| &mut leaf.means) {
        *mean = rounded(f64::from(stretched(*mean)));
    }
    let last = all.shares.len() - 1;
    for share in &mut all.shares[..last] {
        // Between the two drawn ranks next to it, since atoms may have many equal ones.
        let at = (*share * drawn.len() as f32) as usize;
        let next = drawn[at.min(drawn.len() - 1)];
        let before = drawn[at.saturating_sub(1).min(drawn.len() - 1)];
        *share = rounded(f64::from(stretched(f32::midpoint(before, next))));
    }
}

/// The share of the weight that lies below each value; equal values have the same.
fn ranks(values: &[f32], weights: &[f32]) -> Vec<f32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for equal in order.chunk_by(|&a, &b| values[a as usize] == values[b as usize]) {
        let weight: f64 = equal.iter().map(|&i| f64::from(weights[i as usize])).sum();
        equal.iter().for_each(|&i| ranks[i as usize] = ((before + weight / 2.0) / total) as f32);
        before += weight;
    }
    ranks
}

/// Draws numbers given states.
pub(super) struct NumberDraw {
    all: Quantiles,
    tree: Tree,
    leaves: Vec<(Quantiles, Deck)>,
}

impl NumberDraw {
    pub(super) fn new(kept: &Conditional) -> Self {
        let leaf = |groups: &Groups| (Quantiles::of_ranks(groups), Deck::default());
        Self {
            all: Quantiles::new(&kept.all),
            tree: kept.tree.clone(),
            leaves: kept.leaves.iter().map(leaf).collect(),
        }
    }

    pub(super) fn draw(&mut self, features: &[f32], rng: &mut Rng) -> f32 {
        let (quantiles, deck) = &mut self.leaves[self.tree.leaf(features)];
        self.all.value(quantiles.value(deck.draw(rng)))
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

    /// `bend` changes the chance.
    pub(super) fn happens(&mut self, features: &[f32], bend: impl Fn(f32) -> f32, rng: &mut Rng) -> bool {
        let (chance, deck) = &mut self.leaves[self.tree.leaf(features)];
        deck.draw(rng) < bend(*chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_draws_hit_every_sixteenth() {
        let (mut deck, mut rng) = (Deck::default(), Rng::with_seed(3));
        let mut orders = Vec::new();
        for _ in 0..50 {
            let drawn: Vec<u32> = (0..CARDS).map(|_| (deck.draw(&mut rng) * CARDS as f32) as u32).collect();
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..CARDS as u32).collect::<Vec<_>>());
            orders.push(drawn);
        }
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(orders.len(), 50);
    }
}
