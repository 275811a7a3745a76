//! A local shuffle of an endless repetition: each element once per pass, near its own place.
//!
//! Drawing with replacement would lose two things: every element would come a random number of
//! times, which alone doubles the variance of all figures, and the slow changes over the course of
//! a trace would be gone. Here element `i` of pass `p` goes to a random place within a window around
//! its own, and the elements come in the order of these places.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

/// The parts into which a place is divided.
pub(super) const UNIT: i64 = 1 << 16;

/// The shuffle's state. Memory: 16 bytes for each element within the window.
pub(super) struct LocalShuffle {
    count: u32,
    /// How far an element may move, in parts of a place.
    reach: i64,
    /// The next element to be given a place, and its own place in its pass.
    next: u32,
    place: i64,
    waiting: BinaryHeap<Reverse<(i64, u32)>>,
}

impl LocalShuffle {
    /// A shuffle of `count` elements, at least one, each moved by at most `window` places.
    pub(super) fn new(count: u32, window: f64) -> Self {
        let reach = (window.clamp(0.0, f64::from(u32::MAX)) * UNIT as f64) as i64;
        Self { count, reach, next: 0, place: 0, waiting: BinaryHeap::new() }
    }

    /// The next element and the place it was given, in parts of a place since the pass began; the first
    /// ones may be negative. `wait` tells how many places each element is from the one before it.
    pub(super) fn draw(&mut self, rng: &mut Rng, wait: impl Fn(u32) -> u32) -> (u32, i64) {
        loop {
            // A pass begins when the one before it is complete.
            let through = self.next == self.count;
            if through && self.waiting.is_empty() {
                (self.next, self.place) = (0, 0);
                continue;
            }
            let own = if through { 0 } else { self.place + i64::from(wait(self.next)) * UNIT };
            if let Some(&Reverse((place, element))) = self.waiting.peek()
                // Nothing that has no place yet can come before this one.
                && (through || place < own - self.reach)
            {
                self.waiting.pop();
                return (element, place);
            }
            self.place = own;
            let moved = if self.reach == 0 { 0 } else { rng.i64(-self.reach..=self.reach) };
            self.waiting.push(Reverse((own + moved, self.next)));
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_comes_once_per_pass_and_near_its_place() {
        let mut rng = Rng::with_seed(1);
        let mut shuffle = LocalShuffle::new(1000, 30.0);
        let drawn: Vec<u32> = (0..2000).map(|_| shuffle.draw(&mut rng, |_| 1).0).collect();
        for pass in drawn.chunks(1000) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        }
        let moved = drawn.iter().zip(0..).map(|(&element, i)| (i64::from(element) - i % 1000).abs());
        assert!(moved.clone().all(|moved| moved <= 60));
        assert!(moved.filter(|&moved| moved > 10).count() > 1000);
    }

    #[test]
    fn without_a_window_the_order_stays() {
        let mut rng = Rng::with_seed(1);
        let mut shuffle = LocalShuffle::new(3, 0.0);
        assert_eq!(
            (0..7).map(|_| shuffle.draw(&mut rng, |_| 1).0).collect::<Vec<_>>(),
            [0, 1, 2, 0, 1, 2, 0]
        );
    }
}
