//! The LRU stack of prefix blocks: how far back each block was used last.
//!
//! The stack distance of a block is the number of distinct blocks used since its last use. An LRU
//! cache of C blocks holds it exactly when that number is below C, so one pass over the trace gives
//! the hits of every capacity at once (Mattson, Gecsei, Slutz, Traiger: Evaluation techniques for
//! storage hierarchies, IBM Systems Journal 9(2), 1970).
//!
//! A request uses its blocks from last to first. So after it, a parent is always more recent than
//! its children: plain LRU evicts a block only after all its descendants, which is the same as
//! evicting leaves only, and the cached part of a path is always a prefix of it. Distances rise
//! along a path, and a request's hit at capacity C is the number of its blocks with a distance below
//! C.
//!
//! Blocks that were last used by the same request are neighbours in the stack, in the order of their
//! path. As ids form a forest, a later request that uses some of them uses the first ones: what
//! remains of a request's blocks is a run at the end of its path. Therefore the stack is kept by
//! request: the last user of each block, and a Fenwick tree (Fenwick, Software: Practice and
//! Experience 24(3), 1994) over the numbers of blocks that remain to each request. A path falls into
//! few such runs, and only a run costs a search in the tree.
//!
//! Where ids turn out to be no forest (a block follows two different ones), none of this holds. Then
//! the stack is rebuilt with one place per block, in the order that it has by then, and goes on
//! exactly, at a logarithm per block.

use crate::blocks::{BlockNumber, reserve};
use crate::stats::fenwick::Fenwick;
use crate::stats::recency::Kept;

/// Consecutive blocks of a path that have consecutive stack distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StackRun {
    /// Number of blocks.
    pub(super) len: u32,
    /// Distance of the first one; each further one is one more.
    pub(super) distance: u32,
    /// The request that used them last, numbered from 0 in the order of [`LruStack::touch`].
    pub(super) request: u32,
}

/// Stack distances of the requests of a trace. 8 bytes per distinct block and 4 per request.
#[derive(Default)]
pub(super) struct LruStack {
    /// The block before each block on every path that contains it.
    parent: Vec<BlockNumber>,
    /// The request that used each block last.
    last: Vec<u32>,
    /// Blocks that remain to each request.
    remaining: Fenwick,
    /// One place per block, once ids have proved to be no forest.
    places: Option<Places>,
    requests: u32,
}

/// Stands for the parent of a first block; no block has this number.
const ROOT: BlockNumber = BlockNumber::MAX;

impl LruStack {
    /// Finds the distances of the first `hit` blocks of a request, all of them known, and then uses
    /// all its `blocks`. Blocks from `first_new` on are new, in order. `runs` is replaced.
    ///
    /// Distances rise from run to run if ids are a forest; if not, runs are single blocks.
    pub(super) fn touch(
        &mut self,
        blocks: &[BlockNumber],
        first_new: BlockNumber,
        hit: usize,
        runs: &mut Vec<StackRun>,
    ) {
        runs.clear();
        let total = first_new;
        self.last.resize(self.last.len().max(total as usize), 0);
        reserve(&mut self.last, blocks.len());
        if self.places.is_none() && !self.is_path(blocks, first_new) {
            // Nothing asks for parents from now on.
            self.parent = Vec::new();
            self.places = Some(Places::of(&self.last));
        }
        match &mut self.places {
            None => {
                let mut start = 0;
                while start < hit {
                    let request = self.last[blocks[start] as usize];
                    let same = |&&block: &&BlockNumber| self.last[block as usize] == request;
                    let len = blocks[start..hit].iter().take_while(same).count() as u32;
                    // Everything of later requests is more recent; of this one, nothing that is left.
                    let distance = total - self.remaining.sum_through(request);
                    runs.push(StackRun { len, distance, request });
                    self.remaining.subtract(request, len);
                    start += len as usize;
                }
                self.remaining.push(blocks.len() as u32);
            }
            Some(places) => {
                runs.extend(blocks[..hit].iter().map(|&block| StackRun {
                    len: 1,
                    distance: places.distance(block),
                    request: self.last[block as usize],
                }));
                blocks.iter().rev().for_each(|&block| places.touch(block));
            }
        }
        for &block in blocks {
            if block as usize >= self.last.len() {
                self.last.push(0);
            }
            self.last[block as usize] = self.requests;
        }
        self.requests += 1;
    }

    /// How many blocks it holds.
    pub(super) fn blocks(&self) -> u64 {
        self.last.len() as u64
    }

    /// Whether no further request can be numbered.
    pub(super) fn is_full(&self) -> bool {
        self.requests == u32::MAX
    }

    /// Keeps the `keep` most recent blocks and forgets the others. Caches of at most that many blocks
    /// go on exactly: what is forgotten was deeper in the stack than they reach.
    ///
    /// The blocks that stay are numbered anew, and so are the requests to which they remain, both in
    /// their old order.
    pub(super) fn retain(&mut self, keep: usize) -> Retained {
        let all = self.last.len();
        let blocks = match &self.places {
            Some(places) => Kept::of(places.most_recent_first().take(keep), all),
            None => Kept::most_recent(&self.last, 0, keep),
        };
        blocks.compact(&mut self.last);
        let requests = Kept::of(self.last.iter().copied(), self.requests as usize);
        for last in &mut self.last {
            *last = requests.rank(*last);
        }
        self.requests = requests.len();
        match &mut self.places {
            None => {
                blocks.compact(&mut self.parent);
                for parent in &mut self.parent {
                    // A parent is more recent than its children, so it is kept if they are.
                    *parent = blocks.new_number(*parent).unwrap_or(ROOT);
                }
                let mut remaining = vec![0; self.requests as usize];
                self.last.iter().for_each(|&last| remaining[last as usize] += 1);
                self.remaining = Fenwick::default();
                remaining.into_iter().for_each(|count| self.remaining.push(count));
            }
            Some(places) => places.retain(&blocks),
        }
        Retained { blocks, requests }
    }

    /// Bytes in use for blocks.
    pub(super) fn block_bytes(&self) -> usize {
        let places = self.places.as_ref().map_or(0, |p| p.place.len() + 2 * p.block.len());
        4 * (self.parent.len() + self.last.len() + places)
    }

    /// Bytes in use for requests.
    pub(super) fn request_bytes(&self) -> usize {
        4 * self.remaining.len()
    }

    /// Whether the blocks are a path of the forest seen so far; notes the parents of new blocks.
    fn is_path(&mut self, blocks: &[BlockNumber], first_new: BlockNumber) -> bool {
        reserve(&mut self.parent, blocks.len());
        let mut parent = ROOT;
        let mut next = first_new;
        for &block in blocks {
            if block == next {
                next += 1;
                self.parent.push(parent);
            } else if self.parent[block as usize] != parent {
                return false;
            }
            parent = block;
        }
        true
    }
}

/// What [`LruStack::retain`] has kept.
pub(super) struct Retained {
    /// The blocks that stay.
    pub(super) blocks: Kept,
    /// The requests to which some of them remain.
    pub(super) requests: Kept,
}

/// The stack with a place per block: places are given in the order of use and left behind.
struct Places {
    place: Vec<u32>,
    /// The block at each place, or [`ROOT`] where it has been left.
    block: Vec<BlockNumber>,
    occupied: Fenwick,
    alive: u32,
}

impl Places {
    /// The places of blocks that were last used by the given requests. Along a path, numbers rise.
    fn of(last: &[u32]) -> Self {
        let mut block: Vec<BlockNumber> = (0..last.len() as u32).collect();
        block.sort_unstable_by_key(|&block| (last[block as usize], std::cmp::Reverse(block)));
        let mut places = Self { place: vec![0; last.len()], block, occupied: Fenwick::default(), alive: 0 };
        places.compact();
        places
    }

    fn most_recent_first(&self) -> impl Iterator<Item = BlockNumber> + '_ {
        self.block.iter().rev().copied().filter(|&block| block != ROOT)
    }

    /// Leaves only the places of blocks that are kept.
    fn retain(&mut self, kept: &Kept) {
        for block in &mut self.block {
            *block = kept.new_number(*block).unwrap_or(ROOT);
        }
        self.place.truncate(kept.len() as usize);
        self.compact();
    }

    fn append(&mut self, block: BlockNumber) {
        self.place[block as usize] = self.block.len() as u32;
        reserve(&mut self.block, 1);
        self.block.push(block);
        self.occupied.push(1);
        self.alive += 1;
    }

    fn distance(&self, block: BlockNumber) -> u32 {
        self.alive - self.occupied.sum_through(self.place[block as usize])
    }

    /// Makes a block the most recent one.
    fn touch(&mut self, block: BlockNumber) {
        if block as usize >= self.place.len() {
            let more = block as usize + 1 - self.place.len();
            reserve(&mut self.place, more);
            self.place.resize(block as usize + 1, ROOT);
        }
        let place = self.place[block as usize];
        if place != ROOT {
            self.occupied.subtract(place, 1);
            self.block[place as usize] = ROOT;
            self.alive -= 1;
        }
        if self.block.len() > 2 * self.alive as usize + 1024 {
            self.compact();
        }
        self.append(block);
    }

    /// Drops the places that have been left.
    fn compact(&mut self) {
        self.block.retain(|&block| block != ROOT);
        self.alive = self.block.len() as u32;
        self.occupied = Fenwick::default();
        for (place, &block) in (0..).zip(&self.block) {
            self.place[block as usize] = place;
            self.occupied.push(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The stack as a list, most recent first.
    #[derive(Default)]
    struct Naive {
        stack: Vec<u32>,
    }

    impl Naive {
        fn touch(&mut self, blocks: &[u32], hit: usize) -> Vec<u32> {
            let distance = |b: &u32| self.stack.iter().position(|s| s == b).unwrap() as u32;
            let distances = blocks[..hit].iter().map(distance).collect();
            for b in blocks.iter().rev() {
                self.stack.retain(|s| s != b);
                self.stack.insert(0, *b);
            }
            distances
        }
    }

    fn distances(runs: &[StackRun]) -> Vec<u32> {
        runs.iter().flat_map(|run| run.distance..run.distance + run.len).collect()
    }

    /// Feeds both with the requests, whose blocks are numbered on the way; returns the runs.
    fn compare(requests: &[Vec<u64>]) -> Result<usize, TestCaseError> {
        let (mut stack, mut naive) = (LruStack::default(), Naive::default());
        let (mut numbers, mut runs) = (std::collections::HashMap::new(), Vec::new());
        let mut count = 0;
        for ids in requests {
            let first_new = numbers.len() as u32;
            let blocks: Vec<u32> = ids
                .iter()
                .map(|&id| {
                    let next = numbers.len() as u32;
                    *numbers.entry(id).or_insert(next)
                })
                .collect();
            let hit = blocks.iter().take_while(|&&b| b < first_new).count();
            stack.touch(&blocks, first_new, hit, &mut runs);
            prop_assert_eq!(distances(&runs), naive.touch(&blocks, hit));
            count += runs.len();
        }
        Ok(count)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn distances_in_a_forest_are_those_of_a_list(
            paths in prop::collection::vec(prop::collection::vec(0..3u64, 0..9), 1..60)
        ) {
            let id = |path: &[u64]| path.iter().fold(1, |id, step| id * 4 + step);
            let requests: Vec<Vec<u64>> =
                paths.iter().map(|path| (1..=path.len()).map(|end| id(&path[..end])).collect()).collect();
            compare(&requests)?;
        }

        #[test]
        fn distances_of_any_ids_are_those_of_a_list(
            forest in prop::collection::vec(prop::collection::vec(0..2u64, 0..6), 0..20),
            then in prop::collection::vec(prop::collection::vec(0..40u64, 0..9), 1..40),
        ) {
            let id = |path: &[u64]| path.iter().fold(1, |id, step| id * 2 + step);
            let mut requests: Vec<Vec<u64>> =
                forest.iter().map(|path| (1..=path.len()).map(|end| id(&path[..end])).collect()).collect();
            requests.extend(then);
            compare(&requests)?;
        }
    }

    #[test]
    fn many_uses_of_few_blocks_compact_the_places() {
        let requests: Vec<Vec<u64>> = (0..4000).map(|i| vec![i % 7, (i + 1) % 5, i % 3]).collect();
        compare(&requests).unwrap();
    }

    #[test]
    fn a_path_falls_into_few_runs() {
        let requests: Vec<Vec<u64>> = (0..100).map(|i| (0..1000).chain([5000 + i]).collect()).collect();
        assert_eq!(compare(&requests).unwrap(), 99);
    }
}
