//! Sums over the beginnings of a list whose numbers change (Fenwick: A new data structure for cumulative
//! frequency tables, Software: Practice and Experience 24(3), 1994).

use crate::blocks::reserve;

/// Sums over a growing list of numbers.
#[derive(Default)]
pub(super) struct Fenwick {
    /// Entry i (from 1) is the sum of the `lowest_bit(i)` numbers that end with the i-th.
    tree: Vec<u32>,
}

impl Fenwick {
    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    /// Appends a number.
    pub(super) fn push(&mut self, value: u32) {
        let index = self.tree.len() + 1;
        let mut sum = value;
        let mut step = 1;
        while step < lowest_bit(index) {
            sum += self.tree[index - step - 1];
            step *= 2;
        }
        reserve(&mut self.tree, 1);
        self.tree.push(sum);
    }

    /// Leaves only the first `len` numbers.
    pub(super) fn truncate(&mut self, len: usize) {
        self.tree.truncate(len);
    }

    /// Makes the number at `index` (from 0) smaller.
    pub(super) fn subtract(&mut self, index: u32, value: u32) {
        let mut index = index as usize + 1;
        while let Some(sum) = self.tree.get_mut(index - 1) {
            *sum -= value;
            index += lowest_bit(index);
        }
    }

    /// Sum of the numbers up to and with `index` (from 0).
    pub(super) fn sum_through(&self, index: u32) -> u32 {
        let mut index = index as usize + 1;
        let mut sum = 0;
        while index > 0 {
            sum += self.tree[index - 1];
            index &= index - 1;
        }
        sum
    }
}

fn lowest_bit(index: usize) -> usize {
    index & index.wrapping_neg()
}
