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
