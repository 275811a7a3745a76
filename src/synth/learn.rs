//! Learning: one pass over a trace to the [`Forest`] of its blocks.
//!
//! Per distinct block only its parent is kept, to tell where a request leaves the known paths.
//!
//! Some traces break the rules. What is learnt is a valid forest all the same: a request leaves the
//! known paths at the first block that would stand under a second parent, or that would have another
//! number of tokens than before, and its blocks from there on count as new.

use super::forest::{Forest, LearntRequest, ROOT};
use super::kind::ModelKind;
use super::request::NO_OUTPUT;
use crate::blocks::{BlockNumber, Numbering};
use crate::error::Invalid;
use crate::record::Record;
use crate::record::time::TimeOrder;

/// Marks, beside the number of a block's parent, that the block is partial.
const PARTIAL: u32 = 1 << 31;

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
    with_answers: u64,
}

impl Learner {
    /// Number of requests learnt so far.
    pub fn requests(&self) -> u64 {
        self.forest.requests.len() as u64
    }

    /// How many of them have no list of ids: they are taken for prompts that share nothing.
    pub fn without_ids(&self) -> u64 {
        self.forest.without_ids
    }

    /// How many of them have the ids of their answers, which are not learnt.
    pub fn with_answers(&self) -> u64 {
        self.with_answers
    }

    /// Whether they came in the order of their times.
    pub fn order(&self) -> &TimeOrder {
        &self.order
    }

    /// Most bytes in use until a model has been made of what is learnt so far, growing tables included,
    /// and with `compare` those for comparing this trace with an output as long.
    pub fn bytes(&self, kind: ModelKind, compare: bool) -> u64 {
        let requests = self.requests();
        let blocks = self.parents.len() as u64;
        // Vectors grow by doubling, and a table of ids that grows stands beside its successor for a moment.
        let learning = 64 * requests + 16 * blocks + 2 * self.numbering.bytes() as u64;
        let comparison = if compare { 110 * requests + 60 * blocks } else { 0 };
        let modelling = match kind {
            ModelKind::Sessions => 300 * requests + 6 * blocks,
            ModelKind::Replay | ModelKind::Tree | ModelKind::None => 172 * requests,
        };
        learning.max(modelling) + comparison
    }

    /// Takes the next request, which must have one id per block if it has ids, or one per full block: then the
    /// rest of the prompt counts as its own.
    ///
    /// # Errors
    /// When it is too long to be learnt, or there are too many distinct blocks or requests.
    pub fn add(&mut self, record: &Record, block_size: u64) -> Result<(), Invalid> {
        let blocks = u32::try_from(record.input_length.div_ceil(block_size)).ok();
        let blocks = blocks
            .filter(|&blocks| blocks < ROOT)
            .ok_or_else(|| Invalid::over_limit("too many blocks to learn"))?;
        if self.forest.requests.len() as u32 >= ROOT {
            return Err(Invalid::over_limit("too many requests to learn"));
        }
        let tail = record.input_length - u64::from(blocks.saturating_sub(1)) * block_size;
        let output = match record.output_length {
            None => NO_OUTPUT,
            Some(length) => u32::try_from(length)
                .ok()
                .filter(|&length| length < NO_OUTPUT)
                .ok_or_else(|| Invalid::over_limit("output_length is too long to learn"))?,
        };
        let first_new = self.parents.len() as u32;
        let mut request =
            LearntRequest { parent: ROOT, known: 0, new: blocks, first_new, tail: tail as u32, output };
        self.with_answers += u64::from(record.has_output_ids);
        match record.ids() {
            Some(ids) => self.walk(ids, block_size, &mut request)?,
            None => self.forest.without_ids += 1,
        }
        self.forest.block_size = block_size;
        self.forest.states_block_size |= record.block_size.is_some();
        self.forest.requests.push(request);
        self.add_time(record.timestamp);
        Ok(())
    }

    /// Follows the known blocks of a request, then adds the rest.
    fn walk(&mut self, ids: &[u64], block_size: u64, request: &mut LearntRequest) -> Result<(), Invalid> {
        let mut numbers = std::mem::take(&mut self.numbers);
        self.numbering.number(ids, &mut numbers)?;
        self.block_of.resize(self.numbering.len() as usize, ROOT);
        let mut block = ROOT;
        let mut known = 0;
        for (i, &number) in numbers.iter().enumerate() {
            let next = self.block_of[number as usize];
            let Some(&parent) = self.parents.get(next as usize) else { break };
            let is_last = i + 1 == (request.known + request.new) as usize;
            let tokens = if is_last { request.tail } else { block_size as u32 };
            let size = if parent & PARTIAL == 0 { block_size as u32 } else { self.tokens_of(next) };
            if parent & !PARTIAL != block || tokens != size {
                break;
            }
            block = next;
            known += 1;
        }
        if (1..block_size).contains(&u64::from(request.tail)) {
            let is_listed = ids.len() == (request.known + request.new) as usize;
            *if is_listed { &mut self.forest.partial_listed } else { &mut self.forest.partial_unlisted } += 1;
        }
        // A partial block that has no id is new.
        let new = ((request.known + request.new) as usize).max(ids.len()) - known;
        if self.parents.len() + new >= ROOT as usize {
            return Err(Invalid::over_limit("too many distinct blocks to learn"));
        }
        (request.parent, request.known, request.new) = (block, known as u32, new as u32);
        for position in known..known + new {
            let next = self.parents.len() as u32;
            self.parents.push(block);
            // An id that already stands elsewhere keeps its first place.
            if let Some(&number) = numbers.get(position)
                && self.block_of[number as usize] == ROOT
            {
                self.block_of[number as usize] = next;
            }
            block = next;
        }
        if new > 0 && u64::from(request.tail) < block_size {
            self.parents[block as usize] |= PARTIAL;
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Tokens of a partial block: it is the last one of the request that added it.
    fn tokens_of(&self, block: u32) -> u32 {
        self.forest.requests[self.forest.owner(block)].tail
    }

    /// Time never runs backwards here: a late request arrives together with its predecessor.
    fn add_time(&mut self, timestamp: Option<f64>) {
        let before = self.last_time;
        self.order.count(timestamp);
        self.last_time = timestamp.map(|now| before.map_or(now, |before| now.max(before))).or(before);
        if let (None, Some(now)) = (before, self.last_time) {
            self.forest.start = now;
        }
        self.has_time |= timestamp.is_some();
        let gap = match (before, self.last_time) {
            (Some(before), Some(now)) => now - before,
            _ => 0.0,
        };
        // The difference of two decimal fractions is rarely one: 0.3 - 0.1 is not 0.2.
        let exact = (gap * 1e6).round() / 1e6;
        self.forest.gaps.push(if exact.is_finite() { exact } else { gap.min(f64::MAX) });
    }

    /// All that has been learnt.
    ///
    /// # Errors
    /// When there was no request, or there are too many blocks.
    pub fn finish(self) -> Result<Forest, Invalid> {
        let mut forest = self.forest;
        if forest.requests.is_empty() {
            return Err(Invalid::malformed("no requests to learn from"));
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

#[cfg(test)]
mod tests {
    use super::super::request::SyntheticRequest;
    use super::*;

    fn learn(requests: &[(&[u64], u64)]) -> Forest {
        let mut learner = Learner::default();
        for &(ids, input_length) in requests {
            let record = Record { input_length, has_ids: true, hash_ids: ids.to_vec(), ..Record::default() };
            learner.add(&record, 4).unwrap();
        }
        learner.finish().unwrap()
    }

    fn branches(forest: &Forest) -> Vec<(u32, u32, u32)> {
        forest.requests.iter().map(|request| (request.parent, request.known, request.new)).collect()
    }

    #[test]
    fn a_request_branches_off_at_its_deepest_known_block() {
        let forest = learn(&[(&[0, 1, 2], 12), (&[0, 1, 3], 11), (&[4], 4), (&[0, 1, 3], 11), (&[0, 5], 8)]);
        assert_eq!(branches(&forest), [(ROOT, 0, 3), (1, 2, 1), (ROOT, 0, 1), (3, 3, 0), (0, 1, 1)]);
        assert_eq!((0..6).map(|block| forest.owner(block)).collect::<Vec<_>>(), [0, 0, 0, 1, 2, 4]);
    }

    #[test]
    fn a_block_under_a_second_parent_counts_as_new() {
        let forest = learn(&[(&[0, 1], 8), (&[2, 1], 8), (&[2, 1], 8), (&[1, 0], 8)]);
        assert_eq!(branches(&forest), [(ROOT, 0, 2), (ROOT, 0, 2), (2, 1, 1), (ROOT, 0, 2)]);
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
        assert_eq!(branches(&forest), expected);
    }

    #[test]
    fn a_repeated_id_is_new_the_second_time() {
        let forest = learn(&[(&[0, 0, 1], 12), (&[0, 0, 1], 12)]);
        assert_eq!(branches(&forest), [(ROOT, 0, 3), (0, 1, 2)]);
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
        let path = |request: &SyntheticRequest| {
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
