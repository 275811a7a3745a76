//! Pieces of a trace with those of groups of its requests, by the value of a field.
//!
//! Each group is a trace of its own, so a piece has a piece of each group behind it. The first lines of these have
//! the label of the group, and the last line of the whole says how many there are.

use std::collections::HashMap;

use crate::error::{Error, Invalid};
use crate::io::{Input, Status};
use crate::record::Record;
use crate::stats::Analysis;
use crate::stats::labels::{MAX_GROUPS, is_full};
use crate::stats::piece_header::Header;
use crate::stats::piece_writer::PartialWriter;
use crate::stats::pieces::Merger;

/// Refuses one group more than there may be.
fn check_room(label: &str, groups: &HashMap<String, usize>) -> Result<(), Invalid> {
    if !is_full(label, groups) {
        return Ok(());
    }
    Err(Invalid::over_limit(format!(
        "`by`: more than {MAX_GROUPS} values, and pieces cannot join the others as one run does"
    )))
}

/// Writes the state of a piece and of its groups. Memory: that of [`PartialWriter`] twice, and the rows of the groups.
pub(super) struct GroupWriter {
    header: Header,
    budget: Option<usize>,
    whole: PartialWriter,
    /// In the order of first appearance, with what has been written.
    groups: Vec<(PartialWriter, Vec<u8>)>,
    index: HashMap<String, usize>,
    /// Bytes that the groups use.
    bytes: usize,
}

impl GroupWriter {
    /// Begins a piece: appends its first line. `budget` is how many bytes it may take.
    pub(super) fn new(header: Header, budget: Option<usize>, out: &mut Vec<u8>) -> Self {
        let whole = PartialWriter::begin(&header, budget, out);
        Self { header, budget, whole, groups: Vec::new(), index: HashMap::new(), bytes: 0 }
    }

    /// Appends the row of the next request, which is in the group of that label, if there are groups.
    ///
    /// # Errors
    /// Those of [`PartialWriter::add`], and when there are too many groups.
    pub(super) fn add(
        &mut self,
        label: Option<&str>,
        record: &Record,
        out: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        self.whole.add(record, out)?;
        let Some(label) = label else { return Ok(()) };
        let place = match self.index.get(label) {
            Some(&place) => place,
            None => {
                check_room(label, &self.index)?;
                let mut out = Vec::new();
                let writer = PartialWriter::begin(&self.header.of_group(label), None, &mut out);
                self.bytes += label.len() + out.len();
                self.index.insert(label.to_owned(), self.groups.len());
                self.groups.push((writer, out));
                self.groups.len() - 1
            }
        };
        let (writer, rows) = &mut self.groups[place];
        let before = writer.bytes() + rows.len();
        writer.add(record, rows)?;
        self.bytes = self.bytes + writer.bytes() + rows.len() - before;
        if self.budget.is_some_and(|budget| self.whole.bytes() + self.bytes > budget) {
            return Err(Invalid::over_limit(
                "the groups of the piece take more than `max_memory`: cut it into smaller ones",
            ));
        }
        Ok(())
    }

    /// Ends the piece: appends the rest of it.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        let groups = self.header.by.as_ref().map(|_| self.groups.len() as u32);
        self.whole.finish_with(None, groups, out);
        for (writer, rows) in &mut self.groups {
            writer.finish(rows);
            out.append(rows);
        }
    }
}

/// Merges pieces with their groups.
pub(super) struct GroupMerger<'a> {
    /// Makes a merger of no piece yet; of a group, if it is for one.
    new: Box<dyn Fn(bool) -> Merger<'a> + 'a>,
    whole: Merger<'a>,
    /// The field of the groups, if the pieces have some.
    by: Option<String>,
    /// Whether a piece has begun.
    has_begun: bool,
    /// In the order of first appearance.
    groups: Vec<(String, Merger<'a>)>,
    index: HashMap<String, usize>,
    /// The group whose piece is being taken.
    current: Option<usize>,
    /// Pieces of groups that are to follow.
    to_come: u32,
}

impl<'a> GroupMerger<'a> {
    /// No piece yet. `new` makes mergers.
    pub(super) fn new(new: impl Fn(bool) -> Merger<'a> + 'a) -> Self {
        Self {
            whole: new(false),
            new: Box::new(new),
            by: None,
            has_begun: false,
            groups: Vec::new(),
            index: HashMap::new(),
            current: None,
            to_come: 0,
        }
    }

    fn current(&mut self) -> &mut Merger<'a> {
        match self.current {
            Some(place) => &mut self.groups[place].1,
            None => &mut self.whole,
        }
    }

    /// Goes on to the next line of an input of pieces and takes it; false after the last. `each` is called with each
    /// request's time before it is taken, but not for groups.
    ///
    /// # Errors
    /// Those of [`Merger::advance`].
    pub(super) fn advance(
        &mut self,
        input: &mut Input,
        idle: impl FnMut(Status) -> Result<(), Error>,
        each: impl FnOnce(&mut Analysis, Option<f64>),
    ) -> Result<bool, Error> {
        if self.current().is_open() {
            let is_whole = self.current.is_none();
            return self.current().advance_past(input, idle, |analysis, time| {
                if is_whole {
                    each(analysis, time);
                }
            });
        }
        if !input.advance(idle)? {
            return Ok(false);
        }
        let begun = Header::read(input.line()).and_then(|header| self.begin(header));
        begun.map_err(|message| input.error(message))?;
        Ok(true)
    }

    fn begin(&mut self, header: Header) -> Result<(), Invalid> {
        self.take_groups();
        if !std::mem::replace(&mut self.has_begun, true) {
            self.by.clone_from(&header.by);
        }
        if self.by != header.by {
            return Err(Invalid::conflict(
                "the pieces have groups by different fields, or only some have groups",
            ));
        }
        let Some(label) = header.group.as_deref() else {
            self.check_groups()?;
            self.current = None;
            self.whole.set_elsewhere(self.groups.iter().map(|(_, merger)| merger.bytes()).sum());
            return self.whole.begin(&header);
        };
        self.to_come = self.to_come.checked_sub(1).ok_or_else(|| Invalid::conflict("a group of no piece"))?;
        let place = match self.index.get(label) {
            Some(&place) => place,
            None => {
                check_room(label, &self.index)?;
                self.index.insert(label.to_owned(), self.groups.len());
                self.groups.push((label.to_owned(), (self.new)(true)));
                self.groups.len() - 1
            }
        };
        let others = (0..).zip(&self.groups).filter(|(other, _)| *other != place);
        let elsewhere = others.map(|(_, (_, merger))| merger.bytes()).sum::<usize>() + self.whole.bytes();
        let lines = self.whole.lines_before();
        self.current = Some(place);
        let merger = self.current();
        merger.set_elsewhere(elsewhere);
        merger.set_lines(lines);
        merger.begin(&header)
    }

    /// Looks how many groups are to follow the whole that has ended.
    fn take_groups(&mut self) {
        if self.current.is_none() {
            self.to_come += self.whole.take_groups();
        }
    }

    fn check_groups(&self) -> Result<(), Invalid> {
        if self.to_come == 0 { Ok(()) } else { Err(Invalid::malformed("a group of a piece is missing")) }
    }

    /// What there is of the piece that is written, which the caller takes.
    pub(super) fn written(&mut self) -> &mut Vec<u8> {
        self.whole.written()
    }

    /// The analysis of the whole trace, and those of the groups by the field asked for.
    ///
    /// # Errors
    /// When a piece is cut off or missing, or has other groups.
    pub(super) fn finish(mut self, by: Option<&str>) -> Result<(Analysis, Vec<(String, Analysis)>), Invalid> {
        self.take_groups();
        self.check_groups()?;
        if let Some(by) = by.filter(|by| self.has_begun && self.by.as_deref() != Some(by)) {
            let found = self.by.as_ref();
            let found =
                found.map_or_else(|| "no groups".to_owned(), |found| format!("groups by \"{found}\""));
            return Err(Invalid::conflict(format!(
                "the pieces have {found}: write them with `partial` and `by` \"{by}\""
            )));
        }
        let whole = self.whole.finish()?;
        let group = |(label, merger): (String, Merger<'a>)| Ok((label, merger.finish()?));
        Ok((whole, self.groups.into_iter().map(group).collect::<Result<_, Invalid>>()?))
    }

    /// What the user should know of the pieces that were read.
    pub(super) fn notes(&self) -> Vec<String> {
        self.whole.notes()
    }

    /// Ends the piece that is written, and gives the rest of it.
    ///
    /// # Errors
    /// When a piece is cut off.
    pub(super) fn finish_piece(mut self) -> Result<Vec<u8>, Invalid> {
        self.take_groups();
        self.check_groups()?;
        let groups = self.by.as_ref().map(|_| self.groups.len() as u32);
        let mut rest = self.whole.finish_piece_with(groups)?;
        for (_, merger) in self.groups {
            rest.append(&mut merger.finish_piece()?);
        }
        Ok(rest)
    }
}
