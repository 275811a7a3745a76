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
}

impl Groups {
    /// No group yet. Each one is analysed as `options` say.
    pub fn new(block_size: u64, options: AnalysisOptions) -> Self {
        Self { block_size, options, index: HashMap::default(), groups: Vec::new(), other: None }
    }

    /// Takes the next request, whose field has that value.
    ///
    /// # Errors
    /// As [`Analysis::add`].
    pub fn add(&mut self, value: &str, record: &Record) -> Result<(), String> {
        let new = || Analysis::new(self.block_size, self.options.clone());
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
        analysis.add(record)
    }

    /// The groups in the order of first appearance; the rest comes last, without a value.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &Analysis)> {
        let groups = self.groups.iter().map(|(value, analysis)| (Some(&**value), analysis));
        groups.chain(self.other.iter().map(|analysis| (None, analysis)))
    }
}
