//! Which ids mean the same block, and the ids that are written.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use crate::blocks::{BlockNumber, Numbering};
use crate::error::{Invalid, Result};
use crate::io::{Input, InputOptions};
use crate::record::formats::Format;
use crate::record::{Predecessors, TraceReader, first_bits};

/// Whether equal ids in different files are the same block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdsScope {
    /// A later file whose blocks are numbered from zero has ids of its own; otherwise ids are shared.
    #[default]
    Auto,
    /// Every file has its own ids.
    File,
    /// Equal ids mean the same block in all files.
    Shared,
}

/// How files are read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The format of all files; if absent, the first line of each file tells.
    pub format: Option<Format>,
    /// Tokens per block; if absent, what the records state, or the default.
    pub block_size: Option<u64>,
    /// Whether equal ids in different files are the same block.
    pub scope: IdsScope,
    /// How lines are read.
    pub input: InputOptions,
    /// Fields of logs that are kept though they have no part in a record.
    pub keep: Vec<String>,
    /// Columns of tables that count as others: each with the name that counts, and the one in the table.
    pub columns: Vec<(String, String)>,
    /// The most bytes for sessions whose rows hold only what is new.
    pub session_memory: usize,
    /// Whether ids that the files do not have are hashes of what they name, so that those of other runs differ.
    pub named_ids: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            block_size: None,
            scope: IdsScope::default(),
            input: InputOptions::default(),
            keep: Vec::new(),
            columns: Vec::new(),
            session_memory: usize::MAX,
            named_ids: false,
        }
    }
}

impl ReadOptions {
    /// Reads records from `input`.
    pub(super) fn reader(&self, input: Input) -> TraceReader {
        TraceReader::new(input, self.format, self.block_size)
            .with_kept(self.keep.clone())
            .with_columns(self.columns.clone())
            .with_session_memory(self.session_memory)
            .with_files_apart(self.scope == IdsScope::File)
            .with_named_ids(self.named_ids)
    }
}

/// A number for the files that share their ids; it rises in the order of the files.
pub(super) type Group = u32;

/// Decides for each file, at its first record that has ids, whether the file numbers its blocks independently.
pub(super) struct Scopes {
    scope: IdsScope,
    /// Whether a block comes after another one in the file than in those before.
    contradicts: Vec<bool>,
    /// The operand whose numbering the current record has, and its group.
    file: usize,
    group: Group,
    /// The groups of all numberings so far, and the last of them.
    groups: BTreeMap<usize, Group>,
    last: Group,
}

impl Scopes {
    /// Starts before the first file.
    ///
    /// # Errors
    /// When a file cannot be opened or read: the first records of those that can be read twice are compared.
    pub(super) fn new(files: &[PathBuf], options: &ReadOptions) -> Result<Self> {
        let is_open = options.scope == IdsScope::Auto && files.len() > 1;
        let contradicts = if is_open { contradicting(files, options)? } else { Vec::new() };
        let groups = BTreeMap::from([(0, 0)]);
        Ok(Self { scope: options.scope, contradicts, file: 0, group: 0, groups, last: 0 })
    }

    /// Turns to the numbering of a file. If it is new, `from_zero` tells whether it numbers its blocks so.
    fn turn_to<E>(
        &mut self,
        file: usize,
        from_zero: impl FnOnce() -> std::result::Result<bool, E>,
    ) -> std::result::Result<(), E> {
        if !self.groups.contains_key(&file) {
            let begins = match self.scope {
                IdsScope::Shared => false,
                IdsScope::File => true,
                IdsScope::Auto => self.contradicts.get(file) == Some(&true) || from_zero()?,
            };
            self.last += u32::from(begins);
            self.groups.insert(file, self.last);
        }
        (self.file, self.group) = (file, self.groups[&file]);
        Ok(())
    }

    /// The group of the reader's current record. Files must come in order, but records may have the numbering of an
    /// earlier one.
    #[inline]
    pub(super) fn group(&mut self, reader: &TraceReader) -> Group {
        let file = reader.numbering();
        if file != self.file && has_ids(reader) {
            let Ok(()) = self.turn_to(file, || Ok::<_, Infallible>(reader.counts_from_zero()));
        }
        self.group
    }

    /// The group of all records of a file whose first record the reader has reached, if there is one. If
    /// that has no ids, `ahead` tells whether the file numbers its blocks from zero.
    ///
    /// # Errors
    /// Those of `ahead`.
    pub(super) fn group_ahead(
        &mut self,
        reader: &TraceReader,
        file: usize,
        ahead: impl FnOnce() -> Result<bool>,
    ) -> Result<Group> {
        if file != self.file && !has_ids(reader) {
            self.turn_to(file, ahead)?;
        }
        Ok(self.group(reader))
    }

    /// How many files after the first have ids of their own.
    pub(super) fn kept_apart(&self) -> u32 {
        self.last
    }

    /// Tells before the first line is written whether ids must be renumbered to keep files apart. It reads
    /// the first records of each file that can be read twice. A pipe cannot, so it is assumed to have ids
    /// of its own: renumbering is always correct.
    ///
    /// # Errors
    /// When a file cannot be opened or read.
    pub(super) fn must_renumber(&self, files: &[PathBuf], options: &ReadOptions) -> Result<bool> {
        if options.scope == IdsScope::File {
            return Ok(files.len() > 1);
        }
        if self.contradicts.contains(&true) {
            return Ok(true);
        }
        for (index, file) in files.iter().enumerate().filter(|_| files.len() > 1) {
            if needs_numbering(index == 0, file, options)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn has_ids(reader: &TraceReader) -> bool {
    let record = reader.record();
    [record.ids(), record.output_ids()].into_iter().flatten().any(|ids| !ids.is_empty())
}

/// Whether each file gives an id to another block than the files before that share its ids, as its first records
/// tell: sorted records may hide that a file numbers its blocks from zero.
fn contradicting(files: &[PathBuf], options: &ReadOptions) -> Result<Vec<bool>> {
    let mut group = Predecessors::default();
    let mut found = Vec::with_capacity(files.len());
    for file in files {
        let mut here = Predecessors::default();
        let mut from_zero = None;
        if is_regular(file) {
            judge(file, options, |reader, has_ids| {
                if has_ids && !reader.has_local_ids() {
                    from_zero.get_or_insert_with(|| reader.counts_from_zero());
                    here.add(&reader.record().hash_ids);
                }
                here.is_full().then_some(true)
            })?;
        }
        let contradicts = group.next_file(here.clone()).is_some();
        if contradicts || from_zero == Some(true) || !is_regular(file) {
            group = here;
        }
        found.push(contradicts);
    }
    Ok(found)
}

/// Whether a file numbers its blocks from zero, as its first record with ids tells. What cannot be read twice
/// is taken to do so.
///
/// # Errors
/// When it cannot be opened or read.
pub(super) fn counts_from_zero(file: &Path, options: &ReadOptions) -> Result<bool> {
    if !is_regular(file) {
        return Ok(true);
    }
    judge(file, options, |reader, has_ids| has_ids.then(|| reader.counts_from_zero()))
}

/// Whether this file, one of several, makes renumbering necessary. Of the first file only its kind of ids matters.
fn needs_numbering(first: bool, file: &Path, options: &ReadOptions) -> Result<bool> {
    if !is_regular(file) {
        return Ok(options.scope == IdsScope::Auto && !first);
    }
    judge(file, options, |reader, has_ids| {
        if reader.has_surrogate_ids() || reader.has_local_ids() {
            return Some(true);
        }
        if first || options.scope == IdsScope::Shared {
            return Some(false);
        }
        has_ids.then(|| reader.counts_from_zero())
    })
}

/// Whether a file can be read twice.
pub(super) fn is_regular(file: &Path) -> bool {
    file.as_os_str() != "-" && std::fs::metadata(file).is_ok_and(|m| m.is_file())
}

/// Reads a file until `judgement` knows, given whether the current record has ids; false if it never does.
fn judge(
    file: &Path,
    options: &ReadOptions,
    mut judgement: impl FnMut(&TraceReader, bool) -> Option<bool>,
) -> Result<bool> {
    let input = Input::new([file], InputOptions { skip_invalid: true, ..options.input.clone() })?;
    let mut reader = ReadOptions { block_size: None, ..options.clone() }.reader(input);
    while let Some(record) = reader.step(|_| Ok(()))? {
        // A record with the wrong number of ids for the block size still shows how ids are numbered.
        let readable = record.is_ok() || !reader.record().hash_ids.is_empty();
        if let Some(known) = judgement(&reader, readable && has_ids(&reader)) {
            return Ok(known);
        }
    }
    Ok(false)
}

/// How ids are changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdChange {
    /// They stay as they are.
    #[default]
    Keep,
    /// They become 0, 1, 2, ... in the order of first appearance.
    Dense,
    /// They become hashes keyed by a secret, of 53 bits so that JavaScript and jq read them exactly.
    Keyed(Box<[u8; 32]>),
}

impl IdChange {
    /// Hashes keyed by `salt`.
    pub fn keyed(salt: &str) -> Self {
        Self::Keyed(Box::new(blake3::derive_key("kvtrace 2026-11-25 anonymous block ids", salt.as_bytes())))
    }
}

/// Changes the ids of one record after the other.
pub(super) struct IdMap {
    change: IdChange,
    /// Whether records of different groups alternate.
    mixed: bool,
    /// The most bytes that the numberings may take.
    max_bytes: usize,
    group: Group,
    numberings: Vec<GroupNumbering>,
    /// How many blocks the groups before this one have, where groups come one after the other.
    offset: u64,
    /// The next dense id, where groups alternate.
    next: u32,
    numbers: Vec<BlockNumber>,
}

/// The blocks of one group.
#[derive(Default)]
struct GroupNumbering {
    numbering: Numbering,
    /// The dense id of each block, where groups alternate.
    dense: Vec<u32>,
}

impl IdMap {
    /// A map that has seen no ids. `mixed` says that records of different groups alternate; numberings may
    /// take `max_bytes`.
    pub(super) fn new(change: IdChange, mixed: bool, max_bytes: usize) -> Self {
        let (numberings, numbers) = (Vec::new(), Vec::new());
        Self { change, mixed, max_bytes, group: 0, numberings, offset: 0, next: 0, numbers }
    }

    /// Fails when the numberings take too much memory: while they grow, both the old and the new tables exist.
    fn check_memory(&self) -> Result<(), Invalid> {
        let bytes = |one: &GroupNumbering| one.numbering.bytes() + 4 * one.dense.len();
        if 2 * self.numberings.iter().map(bytes).sum::<usize>() > self.max_bytes {
            return Err(Invalid::over_limit(
                "the ids to be renumbered take more memory than `max_memory` allows",
            ));
        }
        Ok(())
    }

    /// How ids are changed.
    pub(super) fn change(&self) -> &IdChange {
        &self.change
    }

    /// From now on records of different groups may alternate.
    pub(super) fn mix(&mut self) {
        self.mixed = true;
    }

    /// Makes ids dense. No id may have been written before.
    pub(super) fn make_dense(&mut self) {
        self.change = IdChange::Dense;
    }

    /// Replaces the `ids` of a record of `group`.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered, or than fit into memory.
    pub(super) fn map(&mut self, group: Group, ids: &mut [u64]) -> Result<(), Invalid> {
        match &self.change {
            IdChange::Keep => {}
            IdChange::Dense if self.mixed && (group > 0 || self.group > 0 || self.numberings.len() > 1) => {
                self.number_mixed(group, ids)?;
            }
            IdChange::Dense => self.number(group, ids)?,
            IdChange::Keyed(key) => {
                for id in ids {
                    *id = keyed(key, group, *id);
                }
            }
        }
        Ok(())
    }

    fn number(&mut self, group: Group, ids: &mut [u64]) -> Result<(), Invalid> {
        if self.numberings.is_empty() {
            self.numberings.push(GroupNumbering::default());
        }
        let numbering = &mut self.numberings[0].numbering;
        if group != self.group {
            self.group = group;
            self.offset += u64::from(numbering.len());
            *numbering = Numbering::default();
        }
        numbering.number(ids, &mut self.numbers)?;
        for (id, &number) in ids.iter_mut().zip(&self.numbers) {
            *id = self.offset + u64::from(number);
        }
        self.check_memory()
    }

    fn number_mixed(&mut self, group: Group, ids: &mut [u64]) -> Result<(), Invalid> {
        let group = group as usize;
        if self.numberings.len() <= 1 {
            // Until now groups came one after the other, and only the last one is known: its block numbers follow those
            // before it.
            let mut last = self.numberings.pop().unwrap_or_default();
            let before = u32::try_from(self.offset).map_err(|_| too_many())?;
            self.next = before.checked_add(last.numbering.len()).ok_or_else(too_many)?;
            last.dense.extend(before..self.next);
            self.numberings.resize_with(self.group as usize, GroupNumbering::default);
            self.numberings.push(last);
        }
        if self.numberings.len() <= group {
            self.numberings.resize_with(group + 1, GroupNumbering::default);
        }
        let GroupNumbering { numbering, dense } = &mut self.numberings[group];
        numbering.number(ids, &mut self.numbers)?;
        for (id, &number) in ids.iter_mut().zip(&self.numbers) {
            if number as usize == dense.len() {
                dense.push(self.next);
                self.next = self.next.checked_add(1).ok_or_else(too_many)?;
            }
            *id = u64::from(dense[number as usize]);
        }
        self.check_memory()
    }
}

fn too_many() -> Invalid {
    Invalid::over_limit("more than 4294967295 distinct blocks")
}

fn keyed(key: &[u8; 32], group: Group, id: u64) -> u64 {
    let mut name = [0; 12];
    name[..8].copy_from_slice(&id.to_le_bytes());
    name[8..].copy_from_slice(&group.to_le_bytes());
    first_bits(blake3::keyed_hash(key, &name).as_bytes()) >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_groups_share_one_dense_numbering_and_never_an_id() {
        let mut map = IdMap::new(IdChange::Dense, true, 1 << 20);
        let mut ids = |group, ids: [u64; 2]| {
            let mut ids = ids;
            map.map(group, &mut ids).unwrap();
            ids
        };
        assert_eq!(ids(0, [0, 1]), [0, 1]);
        assert_eq!(ids(1, [0, 1]), [2, 3]);
        assert_eq!(ids(0, [0, 2]), [0, 4]);
        assert_eq!(ids(1, [1, 0]), [3, 2]);
    }

    #[test]
    fn groups_that_came_in_turn_may_be_mixed_from_then_on() {
        let mut map = IdMap::new(IdChange::Dense, false, 1 << 20);
        let ids = |map: &mut IdMap, group, ids: [u64; 2]| {
            let mut ids = ids;
            map.map(group, &mut ids).unwrap();
            ids
        };
        assert_eq!(ids(&mut map, 0, [0, 1]), [0, 1]);
        assert_eq!(ids(&mut map, 1, [0, 1]), [2, 3]);
        map.mix();
        assert_eq!(ids(&mut map, 2, [0, 1]), [4, 5]);
        assert_eq!(ids(&mut map, 1, [1, 2]), [3, 6]);
        assert_eq!(ids(&mut map, 2, [1, 2]), [5, 7]);
    }

    #[test]
    fn keyed_ids_depend_on_the_salt_and_fit_a_double() {
        let ids = |salt: &str, group| {
            let mut ids = [0, 1, u64::MAX];
            IdMap::new(IdChange::keyed(salt), false, 0).map(group, &mut ids).unwrap();
            ids
        };
        assert_eq!(ids("a", 0), ids("a", 0));
        assert_ne!(ids("a", 0), ids("b", 0));
        assert_ne!(ids("a", 0), ids("a", 1));
        assert!(ids("a", 0).iter().all(|&id| id < 1 << 53));
    }
}
