//! When each block was used last, for forgetting the ones used least recently where no LRU cache is
//! studied: 4 bytes per distinct block, and only once memory runs short.
//!
//! Forgetting takes place when memory is short, so it does with few bits per block beyond that.

use crate::blocks::{BlockNumber, NumberRun, reserve};
use crate::stats::bitmap::Bitmap;

/// Times of last use, counted in requests since the count began.
pub(super) struct Recency {
    /// 0 for blocks not used since then: all older than any that was.
    last: Vec<u32>,
    clock: u32,
}

/// What is left after old blocks (or requests) have been forgotten. Those that stay are numbered 0, 1,
/// 2, ... in their old order.
pub(super) struct Kept {
    stays: Bitmap,
    /// For each 64 old numbers, how many before them stay; and at last, how many in all.
    before: Vec<u32>,
}

impl Kept {
    /// Keeps these of `all`.
    pub(super) fn of(numbers: impl Iterator<Item = u32>, all: usize) -> Self {
        let mut stays = Bitmap::default();
        stays.grow(all as u32);
        numbers.for_each(|number| stays.set(number));
        let before = stays.running_counts();
        Self { stays, before }
    }

    /// Keeps the `keep` blocks with the latest `last` use, the first of those with the same one: along a
    /// path numbers rise, so a parent stays if one of its children does. Uses before `first` do not
    /// count.
    pub(super) fn most_recent(last: &[u32], first: u32, keep: usize) -> Self {
        let used_after = |time: u32| last.iter().filter(|&&last| last > time).count();
        // The earliest use after which there are no more than can stay, by bisection: sorting would
        // take as much memory again as the uses.
        let (mut low, mut high) = (first, u32::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            if used_after(middle) <= keep { high = middle } else { low = middle + 1 }
        }
        let mut room = keep - used_after(low);
        let stays = |&(_, &last): &(u32, &u32)| {
            let fits = last == low && room > 0;
            room -= usize::from(fits);
            last > low || fits
        };
        Self::of((0..).zip(last).filter(stays).map(|(block, _)| block), last.len())
    }

    /// The old numbers of all that stays, rising.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.stays.ones()
    }

    /// How many numbers below `number` stay.
    pub(super) fn rank(&self, number: u32) -> u32 {
        match self.before.get(number as usize / 64) {
            Some(before) => before + self.stays.count(number - number % 64, number % 64),
            None => self.len(),
        }
    }

    /// How many stay.
    pub(super) fn len(&self) -> u32 {
        self.before.last().copied().unwrap_or(0)
    }

    /// The new number, if it stays.
    pub(super) fn new_number(&self, number: u32) -> Option<u32> {
        self.stays.get(number).then(|| self.rank(number))
    }

    /// Leaves in a list by number only what stays.
    pub(super) fn compact<T: Copy>(&self, list: &mut Vec<T>) {
        for (new, old) in self.numbers().enumerate() {
            list[new] = list[old as usize];
        }
        list.truncate(self.len() as usize);
    }
}

impl Recency {
    /// Bytes for so many blocks.
    pub(super) fn bytes_for(blocks: BlockNumber) -> usize {
        size_of::<u32>() * blocks as usize
    }

    /// Begins to count when there are `blocks` blocks.
    pub(super) fn new(blocks: BlockNumber) -> Self {
        Self { last: vec![0; blocks as usize], clock: 0 }
    }

    /// Notes that a request uses `blocks`; there are `all` by now.
    pub(super) fn touch(&mut self, blocks: &[NumberRun], all: BlockNumber) {
        if self.clock == u32::MAX {
            // Coarser, but in the same order.
            self.last.iter_mut().for_each(|last| *last = last.div_ceil(2));
            self.clock /= 2;
        }
        self.clock += 1;
        let more = (all as usize).saturating_sub(self.last.len());
        reserve(&mut self.last, more);
        self.last.resize(self.last.len() + more, 0);
        for run in blocks {
            self.last[run.start as usize..run.end() as usize].fill(self.clock);
        }
    }

    /// Keeps the `keep` most recent blocks, fewer if fewer have been used since the count began.
    pub(super) fn retain(&mut self, keep: usize) -> Kept {
        let kept = Kept::most_recent(&self.last, 1, keep);
        kept.compact(&mut self.last);
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_stays_is_the_head_of_a_sorted_list(
            last in prop::collection::vec(0..9_u32, 0..200), first in 0..3_u32, keep in 0..220_usize
        ) {
            let mut order: Vec<u32> =
                (0..last.len() as u32).filter(|&block| last[block as usize] >= first).collect();
            order.sort_by_key(|&block| (Reverse(last[block as usize]), block));
            order.truncate(keep);
            order.sort_unstable();

            let kept = Kept::most_recent(&last, first, keep);
            prop_assert_eq!(kept.numbers().collect::<Vec<_>>(), &order[..]);
            prop_assert_eq!(kept.len() as usize, order.len());
            for number in 0..last.len() as u32 + 70 {
                prop_assert_eq!(kept.new_number(number), order.binary_search(&number).ok().map(|n| n as u32));
                prop_assert_eq!(kept.rank(number), order.partition_point(|&other| other < number) as u32);
            }
            let mut list = last.clone();
            kept.compact(&mut list);
            prop_assert_eq!(list, order.iter().map(|&block| last[block as usize]).collect::<Vec<_>>());
        }
    }
}
