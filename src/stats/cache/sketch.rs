//! About how often a block was used lately, in eight bytes for each block that a cache holds.
//!
//! A count-min sketch (Cormode and Muthukrishnan, Journal of Algorithms 55(1), 2005) of counters of four bits:
//! each block has four of them, shared with others, and its estimate is the least; only those that are least
//! are raised (minimal increment). After ten uses for each block of room, all counters are halved, so what
//! was frequent long ago is not for ever (the reset of `TinyLFU`).

/// Counters in a word, one in each four bits.
const IN_WORD: u64 = 16;

/// The largest number that a counter holds.
const MOST: u64 = 15;

/// All but the highest bit of each counter.
const HALVES: u64 = 0x7777_7777_7777_7777;

/// Uses between two halvings, for each block of room.
const PERIOD: u64 = 10;

/// Counters of uses.
#[derive(Clone, Default)]
pub(super) struct Sketch {
    /// A power of two of them, at least as many as blocks are held; none before the first use.
    words: Vec<u64>,
    /// Uses since the beginning, halved with the counters.
    uses: u64,
}

/// Where a counter is: which word, and how far its bits are shifted there.
type Place = (usize, u64);

impl Sketch {
    /// Notes a use, in a cache that holds `held` blocks of `capacity`.
    pub(super) fn note(&mut self, id: u64, held: usize, capacity: usize) {
        while self.words.len() < held {
            self.grow();
        }
        let least = self.uses(id);
        if least < MOST {
            for (word, shift) in self.places(id) {
                if self.words[word] >> shift & MOST == least {
                    self.words[word] += 1 << shift;
                }
            }
        }
        self.uses += 1;
        if self.uses >= PERIOD.saturating_mul(capacity as u64) {
            self.uses /= 2;
            self.words.iter_mut().for_each(|word| *word = *word >> 1 & HALVES);
        }
    }

    /// About how often a block was used, rather too often than too rarely, and at most 15.
    pub(super) fn uses(&self, id: u64) -> u64 {
        if self.words.is_empty() {
            return 0;
        }
        self.places(id).map(|(word, shift)| self.words[word] >> shift & MOST).into_iter().min().unwrap_or(0)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        size_of::<u64>() * self.words.capacity()
    }

    /// Twice as many words: a counter goes on in both places that may be its own from now on.
    fn grow(&mut self) {
        if self.words.is_empty() {
            self.words.push(0);
        } else {
            self.words.extend_from_within(..);
        }
    }

    fn places(&self, id: u64) -> [Place; 4] {
        let mask = self.words.len() as u64 - 1;
        [1, 2, 3, 4].map(|row| {
            let hash = mixed(id ^ mixed(row));
            (((hash / IN_WORD) & mask) as usize, hash % IN_WORD * 4)
        })
    }
}

/// A number of which every bit depends on every bit of `n` (the finalizer of Steele, Lea and Flood: Fast
/// splittable pseudorandom number generators, OOPSLA 2014). The same on every run.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_counted_up_to_fifteen_and_halved_in_time() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.uses(7), 0);
        // Growing keeps what has been counted.
        for held in 1..=20 {
            sketch.note(7, held, 1000);
        }
        sketch.note(8, 20, 1000);
        assert_eq!((sketch.uses(7), sketch.uses(8), sketch.words.len()), (15, 1, 32));
        for other in 100..100 + 10_000 - 21 {
            sketch.note(other, 1000, 1000);
        }
        assert_eq!(sketch.uses, 5000);
        assert!((7..15).contains(&sketch.uses(7)), "{}", sketch.uses(7));
    }

    #[test]
    fn estimates_are_seldom_off() {
        let mut sketch = Sketch::default();
        (0..3000).for_each(|n| sketch.note(n % 1000, 1000, 1000));
        let wrong = (0..1000).filter(|&id| sketch.uses(id) != 3).count();
        assert!(wrong < 5, "{wrong}");
    }
}
