//! Requests of a session that could stand in each other's places.
//!
//! Twenty questions about one document, or the items of a batch job, continue the same block and
//! nothing continues them. Their order within the session is accidental, so it is drawn anew: each
//! gets the blocks, lengths and output of one of its neighbours among them.

use std::collections::HashMap;

use fastrand::Rng;
use foldhash::fast::RandomState;

use super::model::{ReplayModel, SessionTurn};

/// Fewer than this may be retries of one request, whose order means something.
const LEAST: usize = 4;

/// How far a request may move among its siblings.
const REACH: u32 = 8;

/// Groups of siblings, by session; sessions without any are left out.
#[derive(Default)]
pub(super) struct Siblings {
    groups: HashMap<u32, Vec<Vec<u32>>, RandomState>,
}

impl Siblings {
    pub(super) fn of(model: &ReplayModel) -> Self {
        let mut siblings = Self::default();
        for session in 0..model.sessions.len() {
            let groups = groups(model.turns_of(session));
            if !groups.is_empty() {
                siblings.groups.insert(session as u32, groups);
            }
        }
        siblings
    }

    /// Draws which turn's content each turn of a session gets, into an empty list; it stays empty if
    /// each keeps its own.
    pub(super) fn draw(&self, session: u32, turns: usize, rng: &mut Rng, sources: &mut Vec<u32>) {
        let Some(groups) = self.groups.get(&session) else { return };
        sources.extend(0..turns as u32);
        for group in groups {
            let mut keyed: Vec<(u32, u32)> =
                group.iter().zip(0..).map(|(&turn, i)| (i + rng.u32(..REACH), turn)).collect();
            keyed.sort_by_key(|&(key, _)| key);
            for (&place, (_, turn)) in group.iter().zip(keyed) {
                sources[place as usize] = turn;
            }
        }
    }
}

/// Turns that continue the same block and that none continues, four or more together.
fn groups(turns: &[SessionTurn]) -> Vec<Vec<u32>> {
    if turns.len() <= LEAST {
        return Vec::new();
    }
    let mut continued = vec![false; turns.len()];
    for later in &turns[1..] {
        let parent = later.parent as usize;
        continued[parent] |= later.shared > turns[parent].shared;
    }
    let mut leaves: Vec<u32> =
        (1..turns.len() as u32).filter(|&i| !continued[i as usize] && turns[i as usize].new > 0).collect();
    let place = |i: u32| (turns[i as usize].parent, turns[i as usize].shared);
    leaves.sort_by_key(|&i| (place(i), i));
    let groups = leaves.chunk_by(|&a, &b| place(a) == place(b));
    groups.filter(|group| group.len() >= LEAST).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_continue_the_same_block_and_are_not_continued() {
        let turn = |parent, shared, new| SessionTurn { wait: 1, parent, shared, new, tail: 4, output: 1 };
        let turns = [
            turn(0, 0, 3),
            turn(0, 2, 1),
            turn(0, 2, 2),
            turn(0, 3, 2),
            turn(2, 3, 1),
            turn(0, 2, 0),
            turn(0, 2, 5),
            turn(0, 3, 1),
            turn(0, 2, 1),
            turn(0, 2, 9),
        ];
        assert_eq!(groups(&turns), [vec![1, 6, 8, 9]]);
    }
}
