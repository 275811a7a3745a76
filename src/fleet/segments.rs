//! The LRU stack of one replica, as numbers of blocks by the request that used them last.
//!
//! A segment is what remains to a request of the blocks that it used: they are neighbours in the stack. The
//! distance of a segment is the sum of all newer ones, from a tree of sums of sixteen. The tree has only sums of
//! sixteen that are there, so a new segment mostly adds nothing to it, and a sum goes up only until it reaches
//! the newest sixteen: what was used a short time ago is found in few steps.

use crate::blocks::reserve;

/// Sums of so many numbers make one of the level above, as a power of two.
const FAN_OUT_BITS: u32 = 4;
const FAN_OUT: usize = 1 << FAN_OUT_BITS;

/// Numbers of blocks by segment, oldest first.
#[derive(Default)]
pub(super) struct Segments {
    /// The numbers, the sums of each full sixteen, those of each full sixteen of these, and so on.
    levels: Vec<Level>,
    /// When each segment was used, if that is of interest.
    times: Option<Vec<f64>>,
    /// How many segments have no blocks left.
    empty: usize,
}

/// The sums of one level.
#[derive(Default)]
struct Level {
    sums: Vec<u32>,
    /// The sum of those that are no full sixteen yet.
    newest: u32,
}

impl Segments {
    /// None yet. `has_times` says whether the time of each one is kept.
    pub(super) fn new(has_times: bool) -> Self {
        Self { times: has_times.then(Vec::new), ..Self::default() }
    }

    /// Segments of one block each, used at these times.
    pub(super) fn ones(count: usize, times: Option<Vec<f64>>) -> Self {
        let mut segments = Self::default();
        (0..count).for_each(|_| segments.append(1));
        segments.times = times;
        segments
    }

    /// How many there are, empty ones included.
    pub(super) fn len(&self) -> usize {
        self.levels.first().map_or(0, |level| level.sums.len())
    }

    /// How many of them are empty.
    pub(super) fn empty(&self) -> usize {
        self.empty
    }

    /// The number of blocks of each.
    pub(super) fn counts(&self) -> &[u32] {
        self.levels.first().map_or(&[], |level| level.sums.as_slice())
    }

    /// When a segment was used.
    pub(super) fn time(&self, segment: u32) -> f64 {
        self.times.as_ref().map_or(0.0, |times| times[segment as usize])
    }

    /// Whether the times are kept.
    pub(super) fn has_times(&self) -> bool {
        self.times.is_some()
    }

    /// Appends the newest segment.
    pub(super) fn push(&mut self, blocks: u32, time: f64) {
        self.append(blocks);
        if let Some(times) = &mut self.times {
            reserve(times, 1);
            times.push(time);
        }
    }

    fn append(&mut self, blocks: u32) {
        let mut sum = blocks;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Level::default());
            }
            let Level { sums, newest } = &mut self.levels[level];
            reserve(sums, 1);
            sums.push(sum);
            *newest += sum;
            if !sums.len().is_multiple_of(FAN_OUT) {
                return;
            }
            sum = std::mem::take(newest);
        }
    }

    /// Takes blocks from a segment.
    #[inline]
    pub(super) fn subtract(&mut self, segment: u32, blocks: u32) {
        let mut index = segment as usize;
        for Level { sums, newest } in &mut self.levels {
            sums[index] -= blocks;
            if index >> FAN_OUT_BITS == sums.len() >> FAN_OUT_BITS {
                *newest -= blocks;
                break;
            }
            index >>= FAN_OUT_BITS;
        }
        self.empty += usize::from(self.counts()[segment as usize] == 0);
    }

    /// All blocks.
    pub(super) fn total(&self) -> u32 {
        self.levels.iter().map(|level| level.newest).sum()
    }

    /// The blocks of all newer segments.
    #[inline]
    pub(super) fn after(&self, segment: u32) -> u32 {
        let mut index = segment as usize;
        let mut sum = 0;
        for Level { sums, newest } in &self.levels {
            let end = (index | (FAN_OUT - 1)) + 1;
            sum += sums[index + 1..end.min(sums.len())].iter().sum::<u32>();
            if end > sums.len() {
                break;
            }
            sum += newest;
            index >>= FAN_OUT_BITS;
        }
        sum
    }

    /// Drops the empty segments. Gives the new number of each of the others, at its old one.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let counts = self.levels.first_mut().map(|level| std::mem::take(&mut level.sums)).unwrap_or_default();
        let times = self.times.take();
        let mut kept = Self::new(times.is_some());
        let mut numbers = Vec::with_capacity(counts.len());
        for (old, &count) in counts.iter().enumerate() {
            numbers.push(kept.len() as u32);
            if count > 0 {
                kept.push(count, times.as_ref().map_or(0.0, |times| times[old]));
            }
        }
        *self = kept;
        numbers
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        // All levels above the first hold a fifteenth of it.
        5 * self.len() + self.times.as_ref().map_or(0, |times| 8 * times.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_are_those_of_a_list(steps in prop::collection::vec((1..9_u32, any::<u16>()), 1..900)) {
            let (mut list, mut segments) = (Vec::new(), Segments::new(true));
            for (blocks, place) in steps {
                segments.push(blocks, list.len() as f64);
                list.push((blocks, list.len()));
                let at = usize::from(place) % list.len();
                let after: u32 = list[at + 1..].iter().map(|(blocks, _)| blocks).sum();
                prop_assert_eq!(segments.after(at as u32), after);
                prop_assert_eq!(segments.total(), list.iter().map(|(blocks, _)| blocks).sum::<u32>());
                let less = list[at].0.min(u32::from(place % 4));
                if less > 0 {
                    segments.subtract(at as u32, less);
                    list[at].0 -= less;
                }
                if place % 97 == 0 {
                    let numbers = segments.compact();
                    let kept: Vec<_> = list.iter().copied().filter(|(blocks, _)| *blocks > 0).collect();
                    for (old, (blocks, time)) in list.iter().enumerate().filter(|(_, (blocks, _))| *blocks > 0) {
                        prop_assert_eq!(kept[numbers[old] as usize], (*blocks, *time));
                        prop_assert_eq!(segments.time(numbers[old]), *time as f64);
                    }
                    list = kept;
                    prop_assert_eq!(segments.len(), list.len());
                }
            }
        }
    }
}
