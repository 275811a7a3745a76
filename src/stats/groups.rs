//! The same analysis for each value of a field.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::record::Record;
use crate::stats::{Analysis, AnalysisOptions};

/// Values that have an analysis of their own; the requests of all others are analysed together.
pub const MAX_GROUPS: usize = 100;

/// The requests of a trace by the value of a field, each group as a trace of its own.
pub struct Groups {
    block_size: u64,
    options: AnalysisOptions,
    index: HashMap<String, usize, RandomState>,
    /// In the order of first appearance.
    groups: Vec<(String, Analysis)>,
    other: Option<Analysis>,
    budget: Option<usize>,
    /// Bytes that all groups use.
    bytes: usize,
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
            short: false,
        }
    }

    /// Takes the next request, whose field has that value.
    ///
    /// # Errors
    /// As [`Analysis::add`].
    pub fn add(&mut self, value: &str, record: &Record) -> Result<(), String> {
        let new = || {
            let mut analysis = Analysis::new(self.block_size, self.options.clone());
            if self.short {
                analysis.note_recency();
            }
            analysis
        };
        let analysis = match self.index.get(value) {
            Some(&index) => &mut self.groups[index].1,
            None if self.groups.len() == MAX_GROUPS => self.other.get_or_insert_with(new),
            None => {
                self.index.insert(value.to_owned(), self.groups.len());
                let analysis = new();
                self.groups.push((value.to_owned(), analysis));
                let last = self.groups.len() - 1;
                &mut self.groups[last].1
            }
        };
        let before = analysis.bytes_with_recency();
        analysis.add(record)?;
        self.bytes = self.bytes + analysis.bytes_with_recency() - before;
        self.budget.map_or(Ok(()), |budget| self.stay_below(budget))
    }

    /// At the budget, the largest group forgets.
    fn stay_below(&mut self, budget: usize) -> Result<(), String> {
        if self.bytes <= budget / 2 {
            return Ok(());
        }
        if !self.short {
            self.short = true;
            self.all_mut().for_each(Analysis::note_recency);
            self.bytes = self.all_mut().map(|analysis| analysis.bytes_with_recency()).sum();
        }
        if self.bytes > budget
            && let Some(largest) = self.all_mut().max_by_key(|analysis| analysis.bytes_with_recency())
        {
            // The other groups have their share; half of the largest one's is more than is over.
            largest.forget(largest.bytes_with_recency())?;
            self.bytes = self.all_mut().map(|analysis| analysis.bytes_with_recency()).sum();
        }
        Ok(())
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
