//! Dense numbers for the block ids of a trace.
//!
//! Everything that is counted per block is kept by *block number*: 0, 1, 2, ... in the order of
//! first appearance. Traces are mostly numbered that way already, so the translation is kept as
//! runs of consecutive ids: one run for a dense trace, one more per gap in the numbering of a piece
//! of a trace. Ids that fit no run (content hashes, a stray id) go into a table of some 20 bytes per
//! id. Each id finds its place by itself, so a trace may change its style at any line and
//! nothing has to be moved.

use crate::blocks::table::{Gap, Hashed, IdTable, Names};
use crate::error::Invalid;

/// Number of a distinct block, from 0 in the order of first appearance.
pub type BlockNumber = u32;

/// Consecutive numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberRun {
    /// The first of them.
    pub start: BlockNumber,
    /// How many there are.
    pub len: u32,
}

impl NumberRun {
    /// The number after the last.
    pub fn end(self) -> BlockNumber {
        self.start + self.len
    }

    /// All of them.
    pub fn blocks(self) -> std::ops::Range<BlockNumber> {
        self.start..self.end()
    }

    /// Takes at most `count` of them off the front.
    #[must_use]
    pub fn take(&mut self, count: u32) -> Self {
        let part = Self { start: self.start, len: count.min(self.len) };
        *self = Self { start: part.end(), len: self.len - part.len };
        part
    }
}

/// Consecutive ids that have consecutive numbers.
#[derive(Clone)]
struct IdRange {
    id: u64,
    number: BlockNumber,
    len: u32,
}

impl IdRange {
    #[inline]
    fn find(&self, id: u64) -> Option<BlockNumber> {
        let offset = id.wrapping_sub(self.id);
        (offset < u64::from(self.len)).then(|| self.number + offset as u32)
    }

    /// The id after the last; `None` past the end of 64 bits.
    fn end(&self) -> Option<u64> {
        self.id.checked_add(u64::from(self.len))
    }
}

/// The numbers of all ids seen so far.
#[derive(Clone, Default)]
pub struct Numbering {
    /// Sorted by id, which rises with the number.
    runs: Vec<IdRange>,
    /// The run of the last id that was found: its neighbours mostly follow.
    recent: usize,
    strays: IdTable,
    largest_stray: u64,
    len: BlockNumber,
    /// Ids of the current request, reused.
    hashed: Vec<Hashed>,
    /// Those of runs of ids, and their numbers, reused.
    ids: Vec<u64>,
    numbers: Vec<BlockNumber>,
}

/// How many ids count up by one from the first, that included.
#[inline]
fn ascending(ids: &[u64]) -> usize {
    let Some(&first) = ids.first() else { return 0 };
    let mut n = 0;
    // Four at a time without a branch between them.
    for four in ids.as_chunks::<4>().0 {
        let next = first.wrapping_add(n as u64);
        let differ = (0..4).fold(0, |differ, k| differ | (four[k] ^ next.wrapping_add(k as u64)));
        if differ != 0 {
            break;
        }
        n += 4;
    }
    let rest = ids[n..].iter().zip(n as u64..);
    n + rest.take_while(|&(&id, k)| id == first.wrapping_add(k)).count()
}

/// Appends a run; `next` is the number that a new block would have got. What is known goes on the last
/// run where it follows that one; what is new stays apart from what is known.
#[inline]
fn append(runs: &mut Vec<NumberRun>, run: NumberRun, next: BlockNumber) {
    match runs.last_mut() {
        Some(last) if last.end() == run.start && run.start < next => last.len += run.len,
        _ => runs.push(run),
    }
}

/// The id of the block with this number.
fn id_of(number: BlockNumber, strays: &Names, runs: &[IdRange]) -> u64 {
    strays.id(number).unwrap_or_else(|| {
        // Numbers rise from run to run, as ids do.
        let run = runs.partition_point(|run| run.number <= number).saturating_sub(1);
        runs.get(run).map_or(0, |run| run.id + u64::from(number - run.number))
    })
}

/// Runs that are always allowed; beyond that a run must stand for eight blocks on average, else the
/// table is smaller and quicker.
const FREE_RUNS: usize = 1024;

/// Ids of runs that are numbered at a time.
const MANY: usize = 4096;

/// Ids of a request that are looked up at a time: the memory where they may be stays near that long.
const TOGETHER: usize = 64;

impl Numbering {
    /// Number of distinct blocks seen so far.
    pub fn len(&self) -> BlockNumber {
        self.len
    }

    /// Whether no block has been seen.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every id so far was its own number: the trace is densely numbered.
    pub fn is_dense(&self) -> bool {
        self.strays.is_empty() && self.runs.len() <= 1 && self.runs.iter().all(|run| run.id == 0)
    }

    /// The ids of the blocks of the given numbers; those with no block get 0.
    pub fn ids(&self, numbers: &[BlockNumber]) -> Vec<u64> {
        numbers.iter().map(|&number| id_of(number, self.strays.names(), &self.runs)).collect()
    }

    /// Forgets all blocks but those of the given rising numbers, which become 0, 1, 2, ...
    pub fn retain(&mut self, kept: impl Iterator<Item = BlockNumber>) {
        let Self { strays, runs, .. } = std::mem::take(self);
        // Memory may be short.
        let names = strays.into_names();
        let mut ids = kept.map(|number| id_of(number, &names, &runs));
        let mut numbers = Vec::new();
        loop {
            let some: Vec<u64> = ids.by_ref().take(MANY).collect();
            // Fewer blocks than before can always be numbered.
            if some.is_empty() || self.number(&some, &mut numbers).is_err() {
                break;
            }
        }
    }

    /// Bytes in use, a little more or less with strays while their table grows.
    pub fn bytes(&self) -> usize {
        16 * self.runs.len() + self.strays.bytes()
    }

    /// Writes the numbers of `ids` into `numbers` (replacing its content); unknown ids get the next
    /// free numbers in order.
    ///
    /// # Errors
    /// When there would be more than 4,294,967,295 distinct blocks.
    pub fn number(&mut self, ids: &[u64], numbers: &mut Vec<BlockNumber>) -> Result<(), Invalid> {
        numbers.clear();
        numbers.reserve(ids.len());
        if self.is_mostly_strays() {
            return self.number_strays(ids, numbers);
        }
        let mut at = 0;
        while at < ids.len() {
            let run = self.next_run(&ids[at..])?;
            at += run.len as usize;
            numbers.extend(run.blocks());
        }
        Ok(())
    }

    /// Appends the numbers of `ids` to `runs`, in order: the same as [`Numbering::number`], at a cost by
    /// run where ids count up. Each run that it appends is new or known as a whole.
    ///
    /// # Errors
    /// As for [`Numbering::number`].
    #[inline(always)]
    pub fn number_as_runs(&mut self, ids: &[u64], runs: &mut Vec<NumberRun>) -> Result<(), Invalid> {
        if self.is_mostly_strays() {
            return self.number_strays_as_runs(ids, runs);
        }
        let mut at = 0;
        while at < ids.len() {
            let before = self.len;
            let run = self.next_run(&ids[at..])?;
            at += run.len as usize;
            append(runs, run, before);
        }
        Ok(())
    }

    fn number_strays_as_runs(&mut self, ids: &[u64], runs: &mut Vec<NumberRun>) -> Result<(), Invalid> {
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        let mut before = self.len;
        let numbered = self.number_strays(ids, &mut numbers);
        for &start in &numbers {
            append(runs, NumberRun { start, len: 1 }, before);
            before = before.max(start + 1);
        }
        self.numbers = numbers;
        numbered
    }

    /// Numbers the first id and those that count up from it, as far as they are all new or all known.
    #[inline(always)]
    fn next_run(&mut self, ids: &[u64]) -> Result<NumberRun, Invalid> {
        let Some(&id) = ids.first() else { return Ok(NumberRun::default()) };
        if let Some(known) = self.known_run(id) {
            return Ok(NumberRun { len: ascending(ids).min(known.len as usize) as u32, ..known });
        }
        if let Some(room) = self.room_for(id) {
            let new = NumberRun { start: self.len, len: ascending(ids).min(room as usize) as u32 };
            self.runs[self.recent].len += new.len;
            self.len = new.end();
            return Ok(new);
        }
        Ok(NumberRun { start: self.find_or_add(id)?, len: 1 })
    }

    /// The same for ids that are given as the first of consecutive ones and how many.
    ///
    /// # Errors
    /// As for [`Numbering::number`], and when the ids pass 64 bits.
    pub fn number_id_runs(
        &mut self,
        of: impl Iterator<Item = (u64, u32)>,
        runs: &mut Vec<NumberRun>,
    ) -> Result<(), Invalid> {
        let mut ids = std::mem::take(&mut self.ids);
        for (id, len) in of {
            let Some(last) = id.checked_add(u64::from(len).saturating_sub(1)) else {
                return Err(Invalid::value("a run of ids passes 64 bits"));
            };
            let end = last.saturating_add(u64::from(len > 0));
            let before = self.len;
            if ids.is_empty() && self.extend_run(id, end) {
                // A dense trace: ids are their own numbers.
                let (start, end) = (id as u32, end as u32);
                let middle = before.clamp(start, end);
                let parts = [(start, middle), (middle, end)].into_iter().filter(|(start, end)| start < end);
                parts.for_each(|(start, end)| append(runs, NumberRun { start, len: end - start }, before));
                continue;
            }
            for offset in 0..u64::from(len) {
                ids.push(id + offset);
                if ids.len() == MANY {
                    self.number_as_runs(&ids, runs)?;
                    ids.clear();
                }
            }
        }
        if !ids.is_empty() {
            self.number_as_runs(&ids, runs)?;
            ids.clear();
        }
        self.ids = ids;
        Ok(())
    }

    /// Takes the ids from `id` up to `end` if they are their own numbers in a dense trace.
    #[inline]
    fn extend_run(&mut self, id: u64, end: u64) -> bool {
        let [run] = &mut self.runs[..] else { return false };
        let dense = run.id == 0 && run.len == self.len && id <= self.len.into();
        if dense && end < BlockNumber::MAX.into() {
            run.len = run.len.max(end as u32);
            self.len = run.len;
            return true;
        }
        false
    }

    /// Whether looking ids up in the table comes first.
    fn is_mostly_strays(&self) -> bool {
        self.strays.len() > self.len as usize / 2
    }

    /// The numbers from that of `id` to the end of its run of ids, if it is in the recent run or the last
    /// one: the usual case.
    #[inline]
    fn known_run(&mut self, id: u64) -> Option<NumberRun> {
        let find = |run: &IdRange| {
            let start = run.find(id)?;
            Some(NumberRun { start, len: run.len - (start - run.number) })
        };
        self.runs.get(self.recent).and_then(find).or_else(|| {
            let found = self.runs.last().and_then(find)?;
            self.recent = self.runs.len() - 1;
            Some(found)
        })
    }

    /// How many ids from `id` on the last run can take, if that is the next one after it; then it is the
    /// recent run.
    #[inline]
    fn room_for(&mut self, id: u64) -> Option<u32> {
        let run = self.runs.last()?;
        let follows = run.end() == Some(id)
            && run.number + run.len == self.len
            && (self.strays.is_empty() || id > self.largest_stray);
        let room = u64::from(BlockNumber::MAX - self.len).min(u64::MAX - id) as u32;
        (follows && room > 0).then(|| {
            self.recent = self.runs.len() - 1;
            room
        })
    }

    /// Numbers ids most of which are in the table.
    fn number_strays(&mut self, ids: &[u64], numbers: &mut Vec<BlockNumber>) -> Result<(), Invalid> {
        let mut hashed = std::mem::take(&mut self.hashed);
        for ids in ids.chunks(TOGETHER) {
            hashed.clear();
            hashed.extend(ids.iter().map(|&id| self.strays.hash(id)));
            self.strays.prepare(&hashed);
            for &id in &hashed {
                numbers.push(match self.strays.find(id) {
                    Ok(number) => number,
                    Err(gap) => self.find_in_runs(id.id()).map_or_else(|| self.add(id, gap), Ok)?,
                });
            }
        }
        self.hashed = hashed;
        Ok(())
    }

    fn find_in_runs(&mut self, id: u64) -> Option<BlockNumber> {
        let index = self.runs.partition_point(|run| run.id <= id).checked_sub(1)?;
        let number = self.runs[index].find(id)?;
        self.recent = index;
        Some(number)
    }

    #[cold]
    #[inline(never)]
    fn find_or_add(&mut self, id: u64) -> Result<BlockNumber, Invalid> {
        if let Some(number) = self.find_in_runs(id) {
            return Ok(number);
        }
        let hashed = self.strays.hash(id);
        self.strays.find(hashed).or_else(|gap| self.add(hashed, gap))
    }

    /// The number of an id that is new.
    fn add(&mut self, hashed: Hashed, gap: Gap) -> Result<BlockNumber, Invalid> {
        let (id, number) = (hashed.id(), self.len);
        if number == BlockNumber::MAX {
            return Err(Invalid::over_limit("more than 4294967295 distinct blocks"));
        }
        let above_runs = self.runs.last().is_none_or(|run| run.id < id);
        let extends = self.runs.last().is_some_and(|r| r.end() == Some(id) && r.number + r.len == number);
        if above_runs && (extends || self.runs.len() <= FREE_RUNS + number as usize / 8) {
            if !extends {
                self.runs.push(IdRange { id, number, len: 0 });
            }
            self.recent = self.runs.len() - 1;
            self.runs[self.recent].len += 1;
        } else {
            self.strays.insert(hashed, gap, number);
            self.largest_stray = self.largest_stray.max(id);
        }
        self.len += 1;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// The obvious way: a map from id to number.
    fn naive(requests: &[Vec<u64>]) -> Vec<Vec<u32>> {
        let mut seen = HashMap::new();
        let mut number = |id: u64| {
            let next = seen.len() as u32;
            *seen.entry(id).or_insert(next)
        };
        requests.iter().map(|ids| ids.iter().map(|&id| number(id)).collect()).collect()
    }

    fn ours(requests: &[Vec<u64>]) -> Vec<Vec<u32>> {
        let mut numbering = Numbering::default();
        let mut numbers = Vec::new();
        let one = |ids: &Vec<u64>| {
            numbering.number(ids, &mut numbers).unwrap();
            numbers.clone()
        };
        requests.iter().map(one).collect()
    }

    fn ids() -> impl Strategy<Value = Vec<Vec<u64>>> {
        let id = prop_oneof![4 => 0..40u64, 2 => 1000..1040u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
        let range = (0..60u64, 0..12u64).prop_map(|(a, n)| (a..a + n).collect::<Vec<_>>());
        prop::collection::vec(prop_oneof![prop::collection::vec(id, 0..12), range], 0..40)
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_a_map(requests in ids()) {
            prop_assert_eq!(ours(&requests), naive(&requests));
            let (mut numbering, mut by_run) = (Numbering::default(), Vec::new());
            for ids in &requests {
                let (mut next, mut runs) = (numbering.len(), Vec::new());
                numbering.number_as_runs(ids, &mut runs).unwrap();
                for run in &runs {
                    assert!(run.len > 0 && (run.start == next || run.end() <= next));
                    next = next.max(run.end());
                }
                by_run.push(runs.into_iter().flat_map(NumberRun::blocks).collect::<Vec<_>>());
            }
            prop_assert_eq!(by_run, naive(&requests));
        }

        #[test]
        fn runs_of_ids_get_the_numbers_of_their_ids(
            of in prop::collection::vec((prop_oneof![0..60u64, 1000..1040u64, any::<u32>().prop_map(u64::from)], 0..9u32), 0..40)
        ) {
            let (mut plain, mut by_run, mut runs) = (Numbering::default(), Numbering::default(), Vec::new());
            for (id, len) in of {
                let (mut numbers, ids) = (Vec::new(), (id..id + u64::from(len)).collect::<Vec<_>>());
                plain.number(&ids, &mut numbers).unwrap();
                runs.clear();
                by_run.number_id_runs([(id, len)].into_iter(), &mut runs).unwrap();
                prop_assert_eq!(runs.iter().flat_map(|run| run.blocks()).collect::<Vec<_>>(), numbers);
            }
        }
    }

    #[test]
    fn every_second_id_becomes_strays_after_the_free_runs_and_stays_exact() {
        let requests: Vec<Vec<u64>> = (0..6000).map(|i| vec![2 * i, 2 * (i / 2), 4001, 2 * i + 2]).collect();
        assert_eq!(ours(&requests), naive(&requests));
    }

    proptest! {
        #[test]
        fn what_is_retained_keeps_its_order_and_the_rest_is_new(requests in ids(), keep in any::<u64>()) {
            let mut numbering = Numbering::default();
            let (mut numbers, mut names) = (Vec::new(), HashMap::new());
            for ids in &requests {
                numbering.number(ids, &mut numbers).unwrap();
                names.extend(numbers.iter().copied().zip(ids.iter().copied()));
            }
            let kept: Vec<u32> = (0..numbering.len()).filter(|n| keep >> (n % 64) & 1 == 1).collect();
            let forgotten = (0..numbering.len()).find(|n| !kept.contains(n));
            numbering.retain(kept.iter().copied());
            let ids: Vec<u64> = kept.iter().map(|n| names[n]).collect();
            numbering.number(&ids, &mut numbers).unwrap();
            prop_assert_eq!(&numbers, &(0..kept.len() as u32).collect::<Vec<_>>());
            if let Some(forgotten) = forgotten {
                numbering.number(&[names[&forgotten]], &mut numbers).unwrap();
                prop_assert_eq!(&numbers, &[kept.len() as u32]);
            }
        }
    }

    #[test]
    fn a_dense_trace_needs_one_run() {
        let mut numbering = Numbering::default();
        let mut numbers = Vec::new();
        for ids in [&[0, 1, 2][..], &[0, 3, 4], &[0, 1, 5]] {
            numbering.number(ids, &mut numbers).unwrap();
            assert_eq!(ids.iter().map(|&i| i as u32).collect::<Vec<_>>(), numbers);
        }
        assert!(numbering.is_dense() && numbering.runs.len() == 1);
    }
}
