//! Learning: one pass over a trace to what a model needs of it.
//!
//! The ids of a valid trace are a forest: each block has one parent. A request then is a path down
//! blocks that are known, and a tail of new blocks. So a request is kept as the block it *hangs*
//! on, its deepest known one, and the number of blocks that it adds; blocks are numbered in the
//! order of first appearance, which makes the added ones a range. Per distinct block only its
//! parent is kept, to tell where a request leaves the known paths.
//!
//! Traces break the rules at times. What is learnt is a valid forest all the same: a request leaves
//! the known paths at the first block that would stand under a second parent, or that would have
//! another number of tokens than before, and its blocks from there on count as new.

use super::request::{Request, Span};
use crate::blocks::{BlockNumber, Numbering};
use crate::record::Record;
use crate::record::time::TimeOrder;

/// Marks, beside the number of a block's parent, that the block is partial.
const PARTIAL: u32 = 1 << 31;

/// Stands for no block: the place above all first blocks. Blocks and requests are fewer.
pub(super) const ROOT: u32 = PARTIAL - 1;

/// The output length of a request that states none.
pub(super) const NO_OUTPUT: u32 = u32::MAX;

/// One request of the forest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its deepest known block, or [`ROOT`].
    pub(super) hang: u32,
    /// Depth of that block: how many blocks it shares with earlier requests.
    pub(super) known: u32,
    /// Blocks that it adds.
    pub(super) new: u32,
    /// Number of the first block that it adds.
    pub(super) first_new: u32,
    /// Tokens in its last block; 0 if it has no block.
    pub(super) tail: u32,
    /// Tokens generated, or [`NO_OUTPUT`].
    pub(super) output: u32,
}

impl Row {
    /// Prompt tokens.
    pub(super) fn length(&self, block_size: u64) -> u64 {
        let blocks = u64::from(self.known) + u64::from(self.new);
        blocks.saturating_sub(1) * block_size + u64::from(self.tail)
    }
}

/// Takes the requests of a trace one by one.
///
/// Memory: 8 bytes per distinct block and 32 per request, and the 18 to 23 bytes per block of
/// [`Numbering`] where ids are not dense.
#[derive(Default)]
pub struct Learner {
    numbering: Numbering,
    /// Number in the forest of each id, by the number of the id.
    block_of: Vec<u32>,
    /// Parent of each block, with [`PARTIAL`].
    parents: Vec<u32>,
    forest: Forest,
    last_time: Option<f64>,
    has_time: bool,
    order: TimeOrder,
    numbers: Vec<BlockNumber>,
}

/// What has been learnt of a trace.
#[derive(Default)]
pub struct Forest {
    /// Tokens per block.
    pub(super) block_size: u64,
    /// Whether the records state the block size.
    pub(super) states_block_size: bool,
    /// The requests in their order.
    pub(super) rows: Vec<Row>,
    /// Milliseconds between each request and the one before it, 0 for the first.
    pub(super) gaps: Vec<f64>,
    /// Requests without a list of ids.
    pub(super) without_ids: u64,
}

impl Learner {
    /// Number of requests learnt so far.
    pub fn requests(&self) -> u64 {
        self.forest.rows.len() as u64
    }

    /// How many of them have no list of ids: they are taken for prompts that share nothing.
    pub fn without_ids(&self) -> u64 {
        self.forest.without_ids
    }

    /// Whether they came in the order of their times.
    pub fn order(&self) -> &TimeOrder {
        &self.order
    }

    /// Bytes at the most until a model has been made of what is learnt so far, tables that grow
    /// included; and of the comparison with as long an output, if that is wanted.
    pub fn bytes(&self, compare: bool) -> u64 {
        let requests = self.requests();
        let blocks = self.parents.len() as u64;
        // Vectors double, and the table of ids for a moment stands beside the one that replaces it.
        let learning = 64 * requests + 16 * blocks + 2 * self.numbering.bytes() as u64;
        let comparison = if compare { 110 * requests + 60 * blocks } else { 0 };
        learning.max(172 * requests) + comparison
    }

    /// Takes the next request, which must have ceil(length / `block_size`) ids if it has ids.
    ///
    /// # Errors
    /// When it is too long to be learnt, or there are too many distinct blocks or requests.
    pub fn add(&mut self, record: &Record, block_size: u64) -> Result<(), String> {
        let blocks = u32::try_from(record.input_length.div_ceil(block_size)).ok();
        let blocks = blocks.filter(|&blocks| blocks < ROOT).ok_or("too many blocks to learn")?;
        if self.forest.rows.len() as u32 >= ROOT {
            return Err("too many requests to learn".into());
        }
        let tail = record.input_length - u64::from(blocks.saturating_sub(1)) * block_size;
        let output = match record.output_length {
            None => NO_OUTPUT,
            Some(length) => u32::try_from(length)
                .ok()
                .filter(|&length| length < NO_OUTPUT)
                .ok_or("output_length is too long to learn")?,
        };
        let mut row = Row { hang: ROOT, known: 0, new: blocks, first_new: 0, tail: tail as u32, output };
        row.first_new = self.parents.len() as u32;
        match record.ids() {
            Some(ids) => self.walk(ids, block_size, &mut row)?,
            None => self.forest.without_ids += 1,
        }
        self.forest.block_size = block_size;
        self.forest.states_block_size |= record.block_size.is_some();
        self.forest.rows.push(row);
        self.add_time(record.timestamp);
        Ok(())
    }

    /// Follows the known blocks of a request, then adds the rest.
    fn walk(&mut self, ids: &[u64], block_size: u64, row: &mut Row) -> Result<(), String> {
        let mut numbers = std::mem::take(&mut self.numbers);
        self.numbering.number(ids, &mut numbers)?;
        self.block_of.resize(self.numbering.len() as usize, ROOT);
        let mut block = ROOT;
        let mut known = 0;
        for (i, &number) in numbers.iter().enumerate() {
            let next = self.block_of[number as usize];
            let Some(&parent) = self.parents.get(next as usize) else { break };
            let tokens = if i + 1 == ids.len() { row.tail } else { block_size as u32 };
            let size = if parent & PARTIAL == 0 { block_size as u32 } else { self.tokens_of(next) };
            if parent & !PARTIAL != block || tokens != size {
                break;
            }
            block = next;
            known += 1;
        }
        let new = ids.len() - known;
        if self.parents.len() + new >= ROOT as usize {
            return Err("too many distinct blocks to learn".into());
        }
        (row.hang, row.known, row.new) = (block, known as u32, new as u32);
        for &number in &numbers[known..] {
            let next = self.parents.len() as u32;
            self.parents.push(block);
            // An id that already stands elsewhere keeps its first place.
            let place = &mut self.block_of[number as usize];
            if *place == ROOT {
                *place = next;
            }
            block = next;
        }
        if new > 0 && u64::from(row.tail) < block_size {
            self.parents[block as usize] |= PARTIAL;
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Tokens of a partial block: it is the last one of the request that added it.
    fn tokens_of(&self, block: u32) -> u32 {
        self.forest.rows[self.forest.owner(block)].tail
    }

    /// Time never runs backwards here: a request that is recorded late arrives with its predecessor.
    fn add_time(&mut self, timestamp: Option<f64>) {
        let before = self.last_time;
        self.order.count(timestamp);
        self.last_time = timestamp.map(|now| before.map_or(now, |before| now.max(before))).or(before);
        self.has_time |= timestamp.is_some();
        let gap = match (before, self.last_time) {
            (Some(before), Some(now)) => now - before,
            _ => 0.0,
        };
        // Differences of decimal fractions are no decimal fractions: 0.3 - 0.1 is not 0.2.
        let exact = (gap * 1e6).round() / 1e6;
        self.forest.gaps.push(if exact.is_finite() { exact } else { gap.min(f64::MAX) });
    }

    /// All that has been learnt.
    ///
    /// # Errors
    /// When there was no request, or there are too many blocks.
    pub fn finish(self) -> Result<Forest, String> {
        let mut forest = self.forest;
        if forest.rows.is_empty() {
            return Err("no requests to learn from".into());
        }
        if !self.has_time {
            forest.gaps.clear();
        }
        if forest.has_ids() && forest.without_ids > 0 {
            forest.number_all()?;
        }
        Ok(forest)
    }
}

impl Forest {
    /// Gives `each` the requests that have been learnt, in their order.
    ///
    /// # Errors
    /// Those of `each`.
    pub(super) fn each(&self, mut each: impl FnMut(&Request) -> Result<(), String>) -> Result<(), String> {
        let mut request = Request::default();
        let mut now = 0.0;
        for (row, i) in self.rows.iter().zip(0..) {
            now += self.gaps.get(i).copied().unwrap_or(0.0);
            request.timestamp = (!self.gaps.is_empty()).then_some(now);
            request.input_length = row.length(self.block_size);
            request.output_length = (row.output != NO_OUTPUT).then_some(u64::from(row.output));
            self.path(row, &mut request.spans);
            each(&request)?;
        }
        Ok(())
    }

    /// Gives numbers of their own to the blocks of requests without ids too.
    fn number_all(&mut self) -> Result<(), String> {
        let mut before = Vec::with_capacity(self.rows.len());
        let mut sum = 0_u64;
        for (i, row) in self.rows.iter().enumerate() {
            before.push(sum as u32);
            sum += if self.is_unnumbered(i) { u64::from(row.new) } else { 0 };
        }
        let last = self.rows.last().map_or(0, |row| u64::from(row.first_new) + u64::from(row.new));
        if last + sum >= u64::from(ROOT) {
            return Err("too many distinct blocks to learn".into());
        }
        let hangs: Vec<u32> = self
            .rows
            .iter()
            .map(|row| match row.hang {
                ROOT => ROOT,
                hang => hang + before[self.owner(hang)],
            })
            .collect();
        for ((row, hang), before) in self.rows.iter_mut().zip(hangs).zip(before) {
            row.first_new += before;
            row.hang = hang;
        }
        Ok(())
    }

    /// Whether the blocks of a request have no numbers: the next request's begin where they do.
    fn is_unnumbered(&self, index: usize) -> bool {
        let row = &self.rows[index];
        row.new > 0 && self.rows.get(index + 1).is_some_and(|next| next.first_new == row.first_new)
    }

    /// Whether any request has a list of ids.
    pub(super) fn has_ids(&self) -> bool {
        self.without_ids < self.rows.len() as u64
    }

    /// Writes the blocks of a request into `spans`; none if no request has ids.
    pub(super) fn path(&self, row: &Row, spans: &mut Vec<Span>) {
        spans.clear();
        if !self.has_ids() {
            return;
        }
        if row.new > 0 {
            spans.push(Span { start: u64::from(row.first_new), len: row.new });
        }
        let mut hang = row.hang;
        while hang != ROOT {
            let owner = &self.rows[self.owner(hang)];
            spans.push(Span { start: u64::from(owner.first_new), len: hang + 1 - owner.first_new });
            hang = owner.hang;
        }
        spans.reverse();
    }

    /// Index of the request that added `block`.
    pub(super) fn owner(&self, block: u32) -> usize {
        // Requests that add nothing share their first number with the next that adds something.
        self.rows.partition_point(|row| row.first_new <= block) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(requests: &[(&[u64], u64)]) -> Forest {
        let mut learner = Learner::default();
        for &(ids, input_length) in requests {
            let record = Record { input_length, has_ids: true, hash_ids: ids.to_vec(), ..Record::default() };
            learner.add(&record, 4).unwrap();
        }
        learner.finish().unwrap()
    }

    fn hangs(forest: &Forest) -> Vec<(u32, u32, u32)> {
        forest.rows.iter().map(|row| (row.hang, row.known, row.new)).collect()
    }

    #[test]
    fn a_request_hangs_on_its_deepest_known_block() {
        let forest = learn(&[(&[0, 1, 2], 12), (&[0, 1, 3], 11), (&[4], 4), (&[0, 1, 3], 11), (&[0, 5], 8)]);
        assert_eq!(hangs(&forest), [(ROOT, 0, 3), (1, 2, 1), (ROOT, 0, 1), (3, 3, 0), (0, 1, 1)]);
        assert_eq!((0..6).map(|block| forest.owner(block)).collect::<Vec<_>>(), [0, 0, 0, 1, 2, 4]);
    }

    #[test]
    fn a_block_under_a_second_parent_counts_as_new() {
        let forest = learn(&[(&[0, 1], 8), (&[2, 1], 8), (&[2, 1], 8), (&[1, 0], 8)]);
        assert_eq!(hangs(&forest), [(ROOT, 0, 2), (ROOT, 0, 2), (2, 1, 1), (ROOT, 0, 2)]);
    }

    #[test]
    fn a_block_with_a_second_token_count_counts_as_new() {
        let forest = learn(&[
            (&[0, 1], 7),
            (&[0, 1], 6),
            (&[0, 1, 2], 12),
            (&[0, 1], 7),
            (&[0], 3),
            (&[9], 2),
            (&[9], 2),
        ]);
        let expected = [(ROOT, 0, 2), (0, 1, 1), (0, 1, 2), (1, 2, 0), (ROOT, 0, 1), (ROOT, 0, 1), (6, 1, 0)];
        assert_eq!(hangs(&forest), expected);
    }

    #[test]
    fn a_repeated_id_is_new_the_second_time() {
        let forest = learn(&[(&[0, 0, 1], 12), (&[0, 0, 1], 12)]);
        assert_eq!(hangs(&forest), [(ROOT, 0, 3), (0, 1, 2)]);
    }

    #[test]
    fn blocks_of_requests_without_ids_are_nobody_elses() {
        let mut learner = Learner::default();
        for (ids, input_length) in
            [(None, 9), (Some([0, 1]), 8), (None, 4), (None, 0), (Some([0, 2]), 8), (None, 5)]
        {
            let mut record = Record { input_length, has_ids: ids.is_some(), ..Record::default() };
            record.hash_ids.extend(ids.iter().flatten());
            learner.add(&record, 4).unwrap();
        }
        let mut paths = Vec::new();
        let path = |request: &Request| {
            paths.push(request.ids().collect::<Vec<_>>());
            Ok(())
        };
        learner.finish().unwrap().each(path).unwrap();
        assert_eq!(paths, [&[0, 1, 2][..], &[3, 4], &[5], &[], &[3, 6], &[7, 8]]);
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut learner = Learner::default();
        for timestamp in [Some(5.0), Some(5.3), Some(2.0), None, Some(5.4)] {
            learner.add(&Record { timestamp, ..Record::default() }, 4).unwrap();
        }
        assert_eq!(learner.finish().unwrap().gaps, [0.0, 0.3, 0.0, 0.0, 0.1]);
    }
}
