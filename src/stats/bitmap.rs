//! A growing set of block numbers, one bit each.

/// Bits that are all zero at first; reading past the end gives zero.
#[derive(Default)]
pub(super) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// Makes room for the bits below `len`.
    #[inline]
    pub(super) fn grow(&mut self, len: u32) {
        let words = (len as usize).div_ceil(64);
        if words > self.words.len() {
            self.words.resize(words, 0);
        }
    }

    /// Sets a bit below the length given to [`Bitmap::grow`].
    #[inline]
    pub(super) fn set(&mut self, bit: u32) {
        self.words[bit as usize / 64] |= 1 << (bit % 64);
    }

    /// Sets the bits `start..start + len`, all below the length given to [`Bitmap::grow`].
    #[inline]
    pub(super) fn set_run(&mut self, start: u32, len: u32) {
        match len {
            0 => {}
            1 => self.set(start),
            _ => self.set_many(start, len),
        }
    }

    fn set_many(&mut self, start: u32, len: u32) {
        let end = start as usize + len as usize;
        let (first, last) = (start as usize / 64, (end - 1) / 64);
        let (from, to) = (u64::MAX << (start % 64), u64::MAX >> (63 - (end - 1) % 64));
        if first == last {
            self.words[first] |= from & to;
            return;
        }
        self.words[first] |= from;
        self.words[first + 1..last].fill(u64::MAX);
        self.words[last] |= to;
    }

    /// Whether the bit is set.
    pub(super) fn get(&self, bit: u32) -> bool {
        self.words.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Number of set bits in `start..start + len`.
    pub(super) fn count(&self, start: u32, len: u32) -> u32 {
        if len == 0 {
            return 0;
        }
        let end = start as usize + len as usize;
        let (first, last) = (start as usize / 64, (end - 1) / 64);
        let mut ones = 0;
        for (index, word) in self.words.iter().skip(first).take(last + 1 - first).enumerate() {
            let mut word = *word;
            if index == 0 {
                word &= u64::MAX << (start % 64);
            }
            if first + index == last {
                word &= u64::MAX >> (63 - (end - 1) % 64);
            }
            ones += word.count_ones();
        }
        ones
    }

    /// The bits of the given rising numbers, as bits 0, 1, 2, ...
    pub(super) fn select(&self, bits: impl Iterator<Item = u32>) -> Self {
        let mut selected = Self::default();
        for (new, bit) in (0..).zip(bits) {
            selected.grow(new + 1);
            if self.get(bit) {
                selected.set(new);
            }
        }
        selected
    }

    /// The numbers of the set bits, rising.
    pub(super) fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip((0_u32..).step_by(64)).flat_map(|(&word, first)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| first + rest.trailing_zeros());
                rest &= rest.wrapping_sub(1);
                bit
            })
        })
    }

    /// For each 64 bits, how many are set before them; and at last, how many in all.
    pub(super) fn running_counts(&self) -> Vec<u32> {
        let mut counts = Vec::with_capacity(self.words.len() + 1);
        counts.push(0);
        counts.extend(self.words.iter().scan(0, |sum, word| {
            *sum += word.count_ones();
            Some(*sum)
        }));
        counts
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        8 * self.words.len()
    }

    /// Number of all set bits.
    pub(super) fn count_all(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_agree_with_a_list_of_booleans(
            bits in prop::collection::vec(any::<bool>(), 1..300), a in 0..300usize, b in 0..300usize
        ) {
            let mut map = Bitmap::default();
            map.grow(bits.len() as u32);
            for (i, _) in bits.iter().enumerate().filter(|(_, set)| **set) {
                map.set(i as u32);
            }
            let (a, b) = (a.min(b).min(bits.len()), a.max(b).min(bits.len()));
            let expected = bits[a..b].iter().filter(|set| **set).count() as u32;
            prop_assert_eq!(map.count(a as u32, (b - a) as u32), expected);
            prop_assert_eq!(map.count_all(), bits.iter().filter(|set| **set).count() as u64);
            map.set_run(a as u32, (b - a) as u32);
            let ones: Vec<u32> = map.ones().collect();
            prop_assert!(ones.iter().all(|&bit| map.get(bit)) && ones.is_sorted());
            prop_assert_eq!(ones.len() as u64, map.count_all());
            for (i, set) in bits.iter().enumerate() {
                prop_assert_eq!(map.get(i as u32), *set || (a..b).contains(&i));
            }
        }
    }
}
