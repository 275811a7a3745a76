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
//! Where ids turn out to be no forest (a block is not at its place among those that remain to its last
//! user), none of this holds. Then the stack is rebuilt with one place per block, in the order that it
//! has by then, and goes on exactly, at a logarithm per block.
//!
//! # A trace in pieces
//!
//! A block that a piece has used before has its distance inside the piece. Of the others, the first uses of
//! the piece, the distance is the number of blocks that the piece has used so far and of those above it in the
//! stack that the pieces before have left, less those that the piece has used (Niu, Dinan, Lu, Sadayappan:
//! PARDA: a fast parallel reuse distance algorithm, IPDPS 2012). So the first uses of each request are taken as
//! if they were all of it, and at the end of the piece its blocks get into the order that it left them in. Only
//! their own order is wrong until then, and nothing asks for it.

use crate::blocks::{BlockNumber, NumberRun, reserve};
use crate::error::Invalid;
use crate::stats::fenwick::Fenwick;
use crate::stats::piece_end::PieceEnd;
use crate::stats::piece_row::{PieceRow, UsedRun};
use crate::stats::recency::Kept;

/// Consecutive blocks of a path that have consecutive stack distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stats) struct StackRun {
    /// Number of blocks.
    pub(in crate::stats) len: u32,
    /// Distance of the first one; each further one is one more.
    pub(in crate::stats) distance: u32,
    /// The request that used them last, numbered from 0 in the order of [`LruStack::touch`].
    pub(in crate::stats) request: u32,
}

impl StackRun {
    /// Leaves the first `blocks` of all blocks in `runs`.
    pub(in crate::stats) fn limit(runs: &mut Vec<Self>, mut blocks: u32) {
        runs.retain_mut(|run| {
            run.len = run.len.min(blocks);
            blocks -= run.len;
            run.len > 0
        });
    }

    /// Each of its blocks by itself.
    fn singles(self) -> impl Iterator<Item = Self> {
        (0..self.len).map(move |place| Self { len: 1, distance: self.distance + place, ..self })
    }
}

/// Stack distances of the requests of a trace. 8 bytes per distinct block and per request.
#[derive(Default)]
pub(in crate::stats) struct LruStack {
    /// How many blocks are before each block on every path that contains it.
    depth: Vec<u32>,
    /// The request that used each block last.
    last: Vec<u32>,
    /// Blocks that remain to each request.
    remaining: Fenwick,
    /// How many blocks are before the first of these on its path.
    next: Vec<u32>,
    /// One place per block, once ids have proved to be no forest.
    places: Option<Places>,
    requests: u32,
    /// The first request of the piece that is being taken.
    piece: u32,
    /// Blocks that the piece has introduced so far.
    piece_blocks: u32,
    /// Runs of first uses in it, reused.
    first_uses: Vec<StackRun>,
}

/// All blocks of these runs.
fn in_order(runs: &[NumberRun]) -> impl Iterator<Item = BlockNumber> {
    runs.iter().flat_map(|run| run.blocks())
}

/// Stands where a block has been; no block has this number.
const NONE: BlockNumber = BlockNumber::MAX;

impl LruStack {
    /// Finds the distances of those of the `blocks` of a request that are known, and then uses all of them.
    /// Blocks from `first_new` on are new, in order; each run is new or known as a whole. `runs` is replaced.
    ///
    /// Distances rise from run to run if ids are a forest; if not, runs are single blocks. A new block that stands
    /// in the request again has itself for its last user, and its first place for a distance.
    pub(in crate::stats) fn touch(
        &mut self,
        blocks: &[NumberRun],
        first_new: BlockNumber,
        runs: &mut Vec<StackRun>,
    ) {
        self.touch_at(blocks, first_new, 0, runs);
    }

    /// The same where `before` blocks are before these on the path.
    fn touch_at(
        &mut self,
        blocks: &[NumberRun],
        first_new: BlockNumber,
        before: u32,
        runs: &mut Vec<StackRun>,
    ) {
        let total = first_new;
        self.last.resize(self.last.len().max(total as usize), 0);
        if self.places.is_none() {
            self.depth.resize(self.last.len(), 0);
            if !self.find_runs(blocks, first_new, before, runs) {
                self.give_places();
            }
        }
        match &mut self.places {
            None => {
                for run in &mut *runs {
                    // Everything of later requests is more recent; of this one, nothing that is left.
                    run.distance = total - self.remaining.sum_through(run.request);
                    self.remaining.subtract(run.request, run.len);
                    self.next[run.request as usize] += run.len;
                }
                self.remaining.push(blocks.iter().map(|run| run.len).sum());
                reserve(&mut self.next, 1);
                self.next.push(before);
            }
            Some(places) => {
                runs.clear();
                // Where each of the new ones stands.
                let mut new = Vec::new();
                for (place, block) in (0..).zip(in_order(blocks)) {
                    if block as usize == first_new as usize + new.len() {
                        new.push(place);
                    } else if block < first_new {
                        let (distance, request) = (places.distance(block), self.last[block as usize]);
                        runs.push(StackRun { len: 1, distance, request });
                    } else {
                        let distance = new.get((block - first_new) as usize).copied().unwrap_or(0);
                        runs.push(StackRun { len: 1, distance, request: self.requests });
                    }
                }
                blocks.iter().rev().flat_map(|run| run.blocks().rev()).for_each(|block| places.touch(block));
            }
        }
        for run in blocks {
            let end = run.end() as usize;
            if end > self.last.len() {
                reserve(&mut self.last, run.len as usize);
                self.last.resize(end, 0);
            }
            self.last[run.start as usize..end].fill(self.requests);
        }
        self.requests += 1;
    }

    /// Finds the runs of known blocks, without their distances, and notes the depths of new ones. False if they
    /// are not the first ones that remain to their users, most recent users first, with rising numbers: then ids
    /// are no forest.
    fn find_runs(
        &mut self,
        blocks: &[NumberRun],
        first_new: BlockNumber,
        before: u32,
        runs: &mut Vec<StackRun>,
    ) -> bool {
        runs.clear();
        let (mut at, mut least) = (before, 0);
        let known = blocks.iter().take_while(|run| run.start < first_new).count();
        for &run in &blocks[..known] {
            if run.start < least || run.end() > first_new {
                return false;
            }
            least = run.end();
            let mut rest = run;
            while rest.len > 0 {
                let (start, end) = (rest.start as usize, rest.end() as usize);
                let request = self.last[start];
                let same = self.last[start..end].iter().take_while(|&&last| last == request).count() as u32;
                let mut depths = self.depth[start..].iter().zip(at..at + same);
                if !depths.all(|(depth, at)| *depth == at) {
                    return false;
                }
                match runs.last_mut() {
                    Some(run) if run.request == request => run.len += same,
                    Some(run) if run.request < request => return false,
                    _ if self.next[request as usize] != at => return false,
                    _ => runs.push(StackRun { len: same, distance: 0, request }),
                }
                at += same;
                rest = NumberRun { start: rest.start + same, len: rest.len - same };
            }
        }
        let mut next = first_new;
        for new in &blocks[known..] {
            if new.start != next {
                return false;
            }
            next = new.end();
        }
        let new = next - first_new;
        reserve(&mut self.depth, new as usize);
        self.depth.extend(at..at + new);
        true
    }

    /// Goes on with one place per block.
    fn give_places(&mut self) {
        if self.places.is_none() {
            self.places = Some(Places::of(&self.last, &self.depth));
            // Nothing asks for these from now on.
            (self.depth, self.next, self.remaining) = (Vec::new(), Vec::new(), Fenwick::default());
        }
    }

    /// How many blocks it holds.
    pub(in crate::stats) fn blocks(&self) -> u64 {
        self.last.len() as u64
    }

    /// How many requests it has taken.
    pub(in crate::stats) fn requests(&self) -> u32 {
        self.requests
    }

    /// Whether no further request can be numbered.
    pub(in crate::stats) fn is_full(&self) -> bool {
        self.requests == u32::MAX
    }

    /// Begins a piece of the trace: what is there by now is that of the pieces before.
    pub(in crate::stats) fn begin_piece(&mut self) {
        (self.piece, self.piece_blocks) = (self.requests, 0);
    }

    /// The same as [`LruStack::touch`] for a request of a piece. `blocks` are those that it uses first in the
    /// piece, in order; of the others `row` says where they were in the stack of the piece.
    ///
    /// # Errors
    /// When the row contradicts those before it.
    pub(in crate::stats) fn touch_row(
        &mut self,
        row: &PieceRow,
        blocks: &[NumberRun],
        first_new: BlockNumber,
        runs: &mut Vec<StackRun>,
    ) -> Result<(), Invalid> {
        self.check_row(row, blocks, first_new)?;
        let len: u32 = blocks.iter().map(|run| run.len).sum();
        let before = row.n.unwrap_or(0) - len;
        if row.positions.is_some() {
            self.give_places();
        }
        let request = self.requests;
        let mut first_uses = std::mem::take(&mut self.first_uses);
        self.touch_at(blocks, first_new, before, &mut first_uses);
        self.piece_blocks += len;
        let used = row.used.iter().map(|&UsedRun { len, distance, back }| StackRun {
            len,
            distance,
            request: request - back,
        });
        runs.clear();
        match &row.positions {
            None => runs.extend(used.chain(first_uses.drain(..))),
            Some(positions) => {
                let mut used = used.flat_map(StackRun::singles);
                let mut first_uses = first_uses.drain(..);
                let mut first = positions.iter().zip(in_order(blocks)).peekable();
                let mut known: Vec<(u32, StackRun)> = Vec::new();
                for place in 0..row.n.unwrap_or(0) {
                    match first.next_if(|(position, _)| **position == place) {
                        None => runs.extend(used.next().map(|run| {
                            let first = known.binary_search_by_key(&run.distance, |&(place, _)| place);
                            first.ok().filter(|_| run.request == request).map_or(run, |first| known[first].1)
                        })),
                        Some((_, block)) if block < first_new => {
                            known.extend(first_uses.next().map(|run| (place, run)));
                            runs.extend(known.last().map(|(_, run)| *run));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        self.first_uses = first_uses;
        let rise = |pair: &[StackRun]| pair[0].distance + pair[0].len <= pair[1].distance;
        if !runs.windows(2).all(rise) {
            let singles = runs.iter().copied().flat_map(StackRun::singles).collect();
            *runs = singles;
        }
        Ok(())
    }

    fn check_row(&self, row: &PieceRow, blocks: &[NumberRun], first_new: BlockNumber) -> Result<(), Invalid> {
        let requests = self.requests - self.piece;
        let mut next = first_new;
        for block in in_order(blocks) {
            let is_known = block < first_new && self.last[block as usize] < self.piece;
            if !is_known && block != next {
                return Err(Invalid::conflict("the row introduces a block that its piece has had before"));
            }
            next += u32::from(!is_known);
        }
        let is_there = |used: &UsedRun| {
            let end = u64::from(used.distance) + u64::from(used.len);
            let is_again = used.back == 0 && used.len == 1 && row.positions.is_some();
            is_again || end <= self.piece_blocks.into() && (1..=requests).contains(&used.back)
        };
        if row.used.iter().all(is_there) {
            Ok(())
        } else {
            Err(Invalid::conflict("the row uses more than its piece has had before"))
        }
    }

    /// Ends a piece, whose blocks have these numbers in the order in which it introduced them: they get the last
    /// users and the order that they had at its end.
    ///
    /// # Errors
    /// When the end contradicts the rows.
    pub(in crate::stats) fn end_piece(
        &mut self,
        numbers: &[NumberRun],
        end: &PieceEnd,
    ) -> Result<(), Invalid> {
        if !end.order.is_empty() {
            self.give_places();
        }
        let (piece, requests) = (self.piece, self.requests);
        // Of each request of the piece, how many blocks remain, and the depth of the first.
        let mut left = vec![(0_u32, u32::MAX); (requests - piece) as usize];
        end.each_run(numbers, |mut run, later| {
            while run.len > 0 {
                let blocks = run.start as usize..run.end() as usize;
                let introducer = self.last[run.start as usize];
                let same = self.last[blocks].iter().take_while(|&&last| last == introducer).count();
                let part = run.take(same as u32);
                let user = later.checked_add(introducer).filter(|&user| user < requests);
                let user = user.ok_or_else(|| Invalid::conflict("repeated: later than the piece ends"))?;
                self.last[part.start as usize..part.end() as usize].fill(user);
                if self.places.is_none() {
                    let (count, next) = &mut left[(user - piece) as usize];
                    *count += part.len;
                    *next = self.depth[part.start as usize].min(*next);
                }
            }
            Ok(())
        })?;
        match &mut self.places {
            None => {
                self.remaining.truncate(piece as usize);
                self.next.truncate(piece as usize);
                for (count, next) in left {
                    self.remaining.push(count);
                    self.next.push(next);
                }
            }
            Some(places) => {
                let mut blocks: Vec<BlockNumber> = numbers.iter().flat_map(|run| run.blocks()).collect();
                if end.order.is_empty() {
                    // Along a path, numbers within the piece rise.
                    blocks.reverse();
                    blocks.sort_by_key(|&block| self.last[block as usize]);
                } else {
                    let order = end.order.iter().rev().flat_map(|run| run.blocks().rev());
                    let named = order.map(|place| blocks.get(place as usize).copied());
                    blocks = named
                        .collect::<Option<_>>()
                        .filter(|named: &Vec<_>| named.len() == blocks.len())
                        .ok_or_else(|| Invalid::conflict("order: expected all blocks of the piece"))?;
                }
                blocks.into_iter().for_each(|block| places.touch(block));
            }
        }
        self.begin_piece();
        Ok(())
    }

    /// The request that used each block last.
    pub(in crate::stats) fn last_users(&self) -> &[u32] {
        &self.last
    }

    /// All blocks, the most recent first, unless those that were last used by the same request are in the order of
    /// their numbers.
    pub(in crate::stats) fn order(&self) -> Option<Vec<BlockNumber>> {
        if let Some(places) = &self.places {
            return Some(places.most_recent_first().collect());
        }
        let mut deepest = vec![None; self.requests as usize];
        let mut rises = |(&last, &depth): (&u32, &u32)| {
            deepest[last as usize].replace(depth).is_none_or(|before| before < depth)
        };
        if self.last.iter().zip(&self.depth).all(&mut rises) {
            return None;
        }
        let mut order = Places::of(&self.last, &self.depth).block;
        order.reverse();
        Some(order)
    }

    /// Keeps the `keep` most recent blocks and forgets the others. Caches of at most that many blocks
    /// go on exactly: what is forgotten was deeper in the stack than they reach.
    ///
    /// The blocks that stay are numbered anew, and so are the requests to which they remain, both in
    /// their old order.
    pub(in crate::stats) fn retain(&mut self, keep: usize) -> Retained {
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
                // What is kept of the blocks of a request is the first of them.
                blocks.compact(&mut self.depth);
                requests.compact(&mut self.next);
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
    pub(in crate::stats) fn block_bytes(&self) -> usize {
        let places = self.places.as_ref().map_or(0, |p| p.place.len() + 2 * p.block.len());
        4 * (self.depth.len() + self.last.len() + places)
    }

    /// Bytes in use for requests.
    pub(in crate::stats) fn request_bytes(&self) -> usize {
        4 * (self.remaining.len() + self.next.len())
    }
}

/// What [`LruStack::retain`] has kept.
pub(in crate::stats) struct Retained {
    /// The blocks that stay.
    pub(in crate::stats) blocks: Kept,
    /// The requests to which some of them remain.
    pub(in crate::stats) requests: Kept,
}

/// The stack with a place per block: places are given in the order of use and left behind.
struct Places {
    place: Vec<u32>,
    /// The block at each place, or [`NONE`] where it has been left.
    block: Vec<BlockNumber>,
    occupied: Fenwick,
    alive: u32,
}

impl Places {
    /// The places of blocks that were last used by the given requests, and are at these depths on their paths.
    fn of(last: &[u32], depth: &[u32]) -> Self {
        let mut block: Vec<BlockNumber> = (0..last.len() as u32).collect();
        block.sort_unstable_by_key(|&block| (last[block as usize], std::cmp::Reverse(depth[block as usize])));
        let mut places = Self { place: vec![0; last.len()], block, occupied: Fenwick::default(), alive: 0 };
        places.compact();
        places
    }

    fn most_recent_first(&self) -> impl Iterator<Item = BlockNumber> + '_ {
        self.block.iter().rev().copied().filter(|&block| block != NONE)
    }

    /// Leaves only the places of blocks that are kept.
    fn retain(&mut self, kept: &Kept) {
        for block in &mut self.block {
            *block = kept.new_number(*block).unwrap_or(NONE);
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
            self.place.resize(block as usize + 1, NONE);
        }
        let place = self.place[block as usize];
        if place != NONE {
            self.occupied.subtract(place, 1);
            self.block[place as usize] = NONE;
            self.alive -= 1;
        }
        if self.block.len() > 2 * self.alive as usize + 1024 {
            self.compact();
        }
        self.append(block);
    }

    /// Drops the places that have been left.
    fn compact(&mut self) {
        self.block.retain(|&block| block != NONE);
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
        fn touch(&mut self, blocks: &[u32]) -> Vec<u32> {
            // A new block that stands there again has its first place for a distance.
            let distance = |(at, b): (usize, &u32)| {
                let known = self.stack.iter().position(|s| s == b);
                Some(known.or_else(|| blocks[..at].iter().position(|s| s == b))? as u32)
            };
            let distances = blocks.iter().enumerate().filter_map(distance).collect();
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
            let (mut blocks, mut by_run, mut was_new) = (Vec::new(), Vec::<NumberRun>::new(), false);
            for &id in ids {
                let next = numbers.len() as u32;
                let block = *numbers.entry(id).or_insert(next);
                blocks.push(block);
                match by_run.last_mut() {
                    Some(run) if run.end() == block && was_new == (block == next) => run.len += 1,
                    _ => by_run.push(NumberRun { start: block, len: 1 }),
                }
                was_new = block == next;
            }
            stack.touch(&by_run, first_new, &mut runs);
            prop_assert_eq!(distances(&runs), naive.touch(&blocks));
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
