//! The same analysis for each value of a field.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::error::Invalid;
use crate::record::Record;
use crate::stats::labels::is_full;
use crate::stats::memory::State;
use crate::stats::{Analysis, AnalysisOptions, Report};

/// The report on the requests with one value of a field, by its [`label`](super::label); without one, on those that have no
/// group.
pub type GroupReport = (Option<String>, Report);

/// The requests of a trace by the value of a field, each group as a trace of its own.
pub struct Groups {
    block_size: u64,
    options: AnalysisOptions,
    index: HashMap<String, usize, RandomState>,
    /// In the order of first appearance.
    groups: Vec<(String, Analysis)>,
    other: Option<Analysis>,
    budget: Option<usize>,
    /// Bytes that all groups use for blocks and requests.
    bytes: usize,
    /// Bytes of values, distributions and curves, of which nothing can be forgotten.
    fixed: usize,
    /// Whether memory has run short.
    short: bool,
}

impl Groups {
    /// No group yet. Each one is analysed as `options` say; the budget is that of all together.
    pub fn new(block_size: u64, mut options: AnalysisOptions) -> Self {
        let budget = options.budget.take();
        Self {
            block_size,
            options,
            index: HashMap::default(),
            groups: Vec::new(),
            other: None,
            budget,
            bytes: 0,
            fixed: 0,
            short: false,
        }
    }

    /// The groups of a trace, whose requests have all been analysed.
    pub(super) fn of(block_size: u64, groups: Vec<(String, Analysis)>) -> Self {
        Self { groups, ..Self::new(block_size, AnalysisOptions::default()) }
    }

    /// Begins the group of a value before its first request, which may have blocks of another size.
    pub(super) fn begin(&mut self, value: &str, block_size: u64, options: AnalysisOptions) {
        self.index.insert(value.to_owned(), self.groups.len());
        self.fixed += value_bytes(value);
        let analysis = Analysis::of_group(block_size, options, self.budget);
        self.groups.push((value.to_owned(), analysis));
    }

    /// Takes the next request, whose field has that value.
    ///
    /// # Errors
    /// As [`Analysis::add`].
    pub fn add(&mut self, value: &str, record: &Record) -> Result<(), Invalid> {
        let new = || {
            let mut analysis = Analysis::of_group(self.block_size, self.options.clone(), self.budget);
            if self.short {
                analysis.state.note_recency();
            }
            analysis
        };
        let analysis = match self.index.get(value) {
            Some(&index) => &mut self.groups[index].1,
            None if is_full(value, &self.index) || self.is_crowded() => self.other.get_or_insert_with(new),
            None => {
                self.index.insert(value.to_owned(), self.groups.len());
                self.fixed += value_bytes(value);
                let analysis = new();
                self.groups.push((value.to_owned(), analysis));
                let last = self.groups.len() - 1;
                &mut self.groups[last].1
            }
        };
        let size = |state: &State| (state.bytes_with_recency().growing(), state.fixed_bytes());
        let before = size(&analysis.state);
        analysis.add(record)?;
        let after = size(&analysis.state);
        self.bytes = self.bytes + after.0 - before.0;
        self.fixed = self.fixed + after.1 - before.1;
        self.budget.map_or(Ok(()), |budget| self.stay_below(budget))
    }

    /// At the budget, the largest group forgets.
    fn stay_below(&mut self, budget: usize) -> Result<(), Invalid> {
        // Tables of blocks may double; these do not.
        if self.fixed > 2 * budget {
            return Err(Invalid::over_limit("the figures of `by` take more than `max_memory`"));
        }
        let budget = budget - self.fixed.min(budget / 2);
        if self.bytes <= budget / 2 {
            return Ok(());
        }
        if !self.short {
            self.short = true;
            self.all_mut().for_each(|analysis| analysis.state.note_recency());
            self.count_bytes();
        }
        let simulated = self.all_mut().map(|analysis| analysis.state.bytes().simulated).sum();
        let forgettable = |analysis: &Analysis| {
            let bytes = analysis.state.bytes_with_recency();
            bytes.blocks + bytes.log
        };
        if self.bytes > budget
            && let Some(largest) = self.all_mut().max_by_key(|analysis| forgettable(analysis))
        {
            largest.state.can_forget(budget, simulated)?;
            // The other groups have their share; a quarter of the largest one's is more than is over.
            largest.state.forget(forgettable(largest));
            self.count_bytes();
        }
        Ok(())
    }

    /// There are no more requests.
    pub fn finish(&mut self) {
        self.all_mut().for_each(Analysis::finish);
    }

    fn count_bytes(&mut self) {
        self.bytes = self.all_mut().map(|analysis| analysis.state.bytes_with_recency().growing()).sum();
        let values: usize = self.groups.iter().map(|(value, _)| value_bytes(value)).sum();
        self.fixed = values + self.all_mut().map(|analysis| analysis.state.fixed_bytes()).sum::<usize>();
    }

    /// Whether what cannot be forgotten takes as much as the budget for all else: then no more groups are made.
    fn is_crowded(&self) -> bool {
        !self.groups.is_empty() && self.budget.is_some_and(|budget| self.fixed > budget)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Analysis> {
        self.groups.iter_mut().map(|(_, analysis)| analysis).chain(&mut self.other)
    }

    /// The groups in the order of first appearance; the rest comes last, without a value.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &Analysis)> {
        let groups = self.groups.iter().map(|(value, analysis)| (Some(&**value), analysis));
        groups.chain(self.other.iter().map(|analysis| (None, analysis)))
    }
}

/// A value is kept in two places.
fn value_bytes(value: &str) -> usize {
    2 * value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_that_take_the_memory_make_new_values_others_and_then_an_error() {
        let budget = Some(100_000);
        let mut groups = Groups::new(1, AnalysisOptions { budget, ..AnalysisOptions::default() });
        let mut add = |value: &str, length: u64| {
            let record = Record { input_length: 50 * length, ..Record::default() };
            groups.add(value, &record).map(|()| groups.iter().map(|(value, _)| value.is_some()).collect())
        };
        assert_eq!(add("a", 1), Ok(vec![true]));
        assert_eq!(add("b", 1), Ok(vec![true, true]));
        // 40 bytes for each different length.
        for length in 0..3000 {
            assert_eq!(add("a", length), Ok(vec![true, true]));
        }
        assert_eq!(add("c", 1), Ok(vec![true, true, false]));
        assert_eq!(add("b", 2), Ok(vec![true, true, false]));
        let error = (0..3000).find_map(|length| add("d", length).err()).unwrap();
        assert_eq!(error.message, "the figures of `by` take more than `max_memory`");
    }
}
