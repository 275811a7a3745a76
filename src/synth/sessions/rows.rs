//! What trees and distributions are learnt from: some of the requests, and a table of their features.

use fastrand::Rng;

use super::links::{Linked, NONE};
use super::state::Kind;
use super::tree::{Bins, Rows};

/// Requests that a distribution or a tree is learnt from, at most; of more it is one of every two, or three, and so
/// on. There are not more leaves and groups than so many can tell.
const MOST_ROWS: usize = 1 << 16;

/// The seed with which they are chosen.
const SEED: u64 = 100;

/// The bit of a kind of followers.
pub(super) fn bit(kind: Kind) -> u8 {
    1 << (kind as u8 - 1)
}

/// By how much the bits of those that follow more than once are above the others.
pub(super) const SEVERAL: usize = Kind::ALL.len() - 1;

/// What follows each request, a bit for each kind; a repeated prompt counts as a next turn too.
pub(super) fn followers(requests: &[Linked]) -> Vec<u8> {
    let mut followers = vec![0; requests.len()];
    for request in requests.iter().filter(|request| request.before != NONE) {
        let kind = request.state.kind;
        let bits = bit(kind) | if kind.continues() { bit(Kind::Next) } else { 0 };
        let of = &mut followers[request.before as usize];
        *of |= bits | (*of & bits) << SEVERAL;
    }
    followers
}

/// At most so many requests as are learnt from, by chance, so that no rhythm of the trace is hit.
pub(super) fn thinned(requests: impl Iterator<Item = u32>) -> Vec<u32> {
    let requests: Vec<u32> = requests.collect();
    let mut rng = Rng::with_seed(SEED);
    let together = requests.len().div_ceil(MOST_ROWS).max(1);
    if together == 1 {
        requests
    } else {
        requests.chunks(together).map(|of| of[rng.usize(..of.len())]).collect()
    }
}

/// Rows of all that trees may be given.
pub(super) struct Table {
    width: usize,
    features: Vec<f32>,
    sessions: Vec<u32>,
}

impl Table {
    pub(super) fn new(width: usize) -> Self {
        Self { width, features: Vec::new(), sessions: Vec::new() }
    }

    pub(super) fn push(&mut self, features: &[f32], more: &[f32], session: u32) {
        self.features.extend_from_slice(features);
        self.features.extend_from_slice(more);
        self.sessions.push(session);
    }

    pub(super) fn given(self) -> Given {
        Given { bins: Bins::new(&self.features, self.width), sessions: self.sessions }
    }
}

/// The same, cut into bins: once, for all trees.
pub(super) struct Given {
    bins: Bins,
    sessions: Vec<u32>,
}

impl Given {
    /// Rows with some of the columns.
    pub(super) fn rows<'a>(
        &'a self,
        columns: &'a [usize],
        values: &'a [f32],
        weights: &'a [f32],
    ) -> Rows<'a> {
        Rows { bins: &self.bins, columns, values, weights, sessions: &self.sessions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_requests_one_of_each_group_is_learnt_from() {
        let few: Vec<u32> = (0..MOST_ROWS as u32).collect();
        assert_eq!(thinned(few.iter().copied()), few);
        let many = 5 * MOST_ROWS as u32 / 2;
        let some = thinned(0..many);
        assert_eq!(some.len(), (many as usize).div_ceil(3));
        assert!(some.iter().zip(0..).all(|(&request, group)| request / 3 == group));
        // Each place of a group is taken about as often.
        let firsts = some.iter().filter(|&&request| request % 3 == 0).count() as f64;
        assert!((0.3..0.37).contains(&(firsts / some.len() as f64)), "{firsts}");
    }
}
