//! The same prompts in coarser blocks.

use crate::error::Invalid;

/// Joins the blocks of requests, of `from` tokens each, into blocks of `to` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockJoin {
    from: u64,
    to: u64,
}

impl BlockJoin {
    /// None yet.
    ///
    /// # Errors
    /// When the new size is no multiple of the old one. The message calls it the value of `setting`.
    pub fn new(from: u64, to: u64, setting: &str) -> Result<Self, Invalid> {
        if !to.is_multiple_of(from) {
            return Err(Invalid::conflict(format!(
                "`{setting}` {to} is no multiple of the block size {from}: blocks cannot be cut"
            )));
        }
        Ok(Self { from, to })
    }

    /// Joins the ids of a prompt of `input_length` tokens, and those of its answer.
    ///
    /// The id of a block is that of the last one that it contains, because an id stands for all tokens up to the
    /// end of its block.
    pub fn join(self, input_length: u64, ids: &mut Vec<u64>, output_ids: &mut Vec<u64>) {
        let is_full = (ids.len() as u64) < input_length.div_ceil(self.from);
        // A list in memory is shorter than the address space.
        let factor = usize::try_from(self.to / self.from).unwrap_or(usize::MAX);
        join_prompt(ids, factor);
        join_answer(output_ids, (input_length / self.from) as usize, factor);
        if is_full {
            // Nothing is known of the prompt's last tokens, so the last id is that of a full block.
            ids.truncate((input_length / self.to) as usize);
        }
    }
}

/// The last blocks become one even if they are fewer than `factor`.
fn join_prompt(ids: &mut Vec<u64>, factor: usize) {
    let groups = ids.len().div_ceil(factor);
    for group in 0..groups {
        ids[group] = ids[((group + 1) * factor).min(ids.len()) - 1];
    }
    ids.truncate(groups);
}

/// The blocks of an answer follow `full` blocks of the prompt: of those that are full of it, the first may contain
/// blocks of the prompt.
fn join_answer(ids: &mut Vec<u64>, full: usize, factor: usize) {
    let ends = (full / factor + 1)..=((full + ids.len()) / factor);
    *ids = ends.map(|end| ids[end * factor - 1 - full]).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fills_blocks_that_its_prompt_has_begun() {
        for (ids, full, factor, expected) in [
            (vec![7, 8, 9], 1, 2, vec![7, 9]),
            (vec![7, 8, 9], 2, 2, vec![8]),
            (vec![7, 8, 9], 5, 1, vec![7, 8, 9]),
            (vec![7, 8], 0, 4, vec![]),
            (vec![], 3, 4, vec![]),
        ] {
            let mut changed = ids;
            join_answer(&mut changed, full, factor);
            assert_eq!(changed, expected);
        }
    }

    #[test]
    fn a_group_of_blocks_has_the_id_of_its_last() {
        for (ids, factor, expected) in [
            (vec![1, 2, 3, 4, 5], 2, vec![2, 4, 5]),
            (vec![1, 2, 3, 4], 2, vec![2, 4]),
            (vec![1, 2, 3], 1, vec![1, 2, 3]),
            (vec![1, 2, 3], 32, vec![3]),
            (vec![], 4, vec![]),
        ] {
            let mut changed = ids;
            join_prompt(&mut changed, factor);
            assert_eq!(changed, expected);
        }
    }
}
