//! The end of a piece of a trace: what became of its blocks, written and read.
//!
//! `{"requests":12031,"repeated":[14,2,30,...],"restarted":[0,2,...],"order":[7,1,...]}`. `repeated` says of
//! the new blocks of the piece, in the order in which it introduced them, how many to pass over, how many then
//! occurred again, and how many requests with ids after the one that introduced them used them last. `restarted`
//! says how many to pass over and how often the next one started a request that did not introduce it, where 2 is
//! twice or more. `order` is there only where ids are no forest: runs of these blocks, the number of the first and
//! how many, from the one used last to the one used longest ago. Where it is not, those that were last used by
//! the same request follow each other in the order of their numbers.
//! `lines` are those of the piece, where they are not as many as requests, and `through` is the number of the last
//! piece in it, if it consists of several that are numbered. `groups` says how many pieces of groups follow.

use serde::{Deserialize, Serialize};

use crate::blocks::NumberRun;
use crate::error::Invalid;
use crate::record::scan::Scanner;
use crate::stats::repeats::{Repeats, Restarts};

/// New blocks of a piece that occurred again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// How many blocks are between these and the ones before.
    pub(super) skip: u32,
    pub(super) len: u32,
    /// How many requests with ids after the one that introduced them used them last.
    pub(super) later: u32,
}

/// What became of the blocks of a piece.
#[derive(Default)]
pub(super) struct PieceEnd {
    pub(super) requests: u64,
    pub(super) repeated: Vec<Again>,
    /// How many blocks are before each one that started requests later, and how often it did.
    pub(super) restarted: Vec<(u32, Restarts)>,
    /// All blocks in the order of their last use, unless ids are a forest.
    pub(super) order: Vec<NumberRun>,
    /// Lines that it was read from, if they are not as many as requests.
    pub(super) lines: Option<u64>,
    /// The number of the last piece in it, if there are several.
    pub(super) through: Option<u32>,
    /// Pieces of groups that follow, if it has groups.
    pub(super) groups: Option<u32>,
}

/// The line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    requests: u64,
    repeated: Vec<u32>,
    restarted: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    order: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    through: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<u32>,
}

impl Wire {
    /// The usual text, without a library: what it accepts, the parser reads to the same.
    fn scan(line: &[u8]) -> Option<Self> {
        let scanner = &mut Scanner::new(line);
        let start = scanner.passes_text(b"{\"requests\":");
        let requests = scanner.integer()?;
        let mut list = |name: &[u8]| {
            let named = scanner.passes_text(name);
            let mut numbers = Vec::new();
            while !scanner.passes(b']') {
                if !numbers.is_empty() {
                    scanner.pass(b',')?;
                }
                numbers.push(u32::try_from(scanner.integer()?).ok()?);
            }
            named.then_some(numbers)
        };
        let (repeated, restarted) = (list(b",\"repeated\":[")?, list(b",\"restarted\":[")?);
        scanner.pass(b'}')?;
        (start && scanner.at_end()).then_some(Self {
            requests,
            repeated,
            restarted,
            order: Vec::new(),
            lines: None,
            through: None,
            groups: None,
        })
    }
}

impl PieceEnd {
    /// Appends the line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let times = |times| if times == Restarts::Once { 1 } else { 2 };
        let wire = Wire {
            requests: self.requests,
            repeated: self.repeated.iter().flat_map(|again| [again.skip, again.len, again.later]).collect(),
            restarted: self.restarted.iter().flat_map(|&(skip, often)| [skip, times(often)]).collect(),
            order: self.order.iter().flat_map(|run| [run.start, run.len]).collect(),
            lines: self.lines,
            through: self.through,
            groups: self.groups,
        };
        // Writing plain data into memory cannot fail.
        serde_json::to_writer(&mut *out, &wire).ok();
        out.push(b'\n');
    }

    /// Reads the line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(line: &[u8]) -> Result<Self, Invalid> {
        let wire = Wire::scan(line).map_or_else(|| serde_json::from_slice(line), Ok);
        let wire = wire.map_err(|e| Invalid::malformed(format!("expected the last line of a piece: {e}")))?;
        let (repeated, no_triple) = wire.repeated.as_chunks();
        let (restarted, no_pair) = wire.restarted.as_chunks();
        let (order, no_run) = wire.order.as_chunks();
        if !(no_triple.is_empty() && no_pair.is_empty() && no_run.is_empty()) {
            return Err(Invalid::malformed("repeated: expected threes; restarted, order: expected pairs"));
        }
        let times = |times| if times == 1 { Restarts::Once } else { Restarts::More };
        let order: Vec<_> = order.iter().map(|&[start, len]| NumberRun { start, len }).collect();
        if order.iter().any(|run| run.start.checked_add(run.len).is_none()) {
            return Err(Invalid::value("order: a run of blocks passes 32 bits"));
        }
        Ok(Self {
            requests: wire.requests,
            repeated: repeated.iter().map(|&[skip, len, later]| Again { skip, len, later }).collect(),
            restarted: restarted.iter().map(|&[skip, often]| (skip, times(often))).collect(),
            order,
            lines: wire.lines,
            through: wire.through,
            groups: wire.groups,
        })
    }

    /// Calls `each` with all blocks of the piece, which have these numbers, as runs, and with how many requests
    /// after the one that introduced them used them last.
    ///
    /// # Errors
    /// When there are fewer blocks, and those of `each`.
    pub(super) fn each_run(
        &self,
        numbers: &[NumberRun],
        mut each: impl FnMut(NumberRun, u32) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let mut blocks = Blocks::of(numbers);
        for again in &self.repeated {
            blocks.take(again.skip, |run| each(run, 0))?;
            blocks.take(again.len, |run| each(run, again.later))?;
        }
        blocks.rest(|run| each(run, 0))
    }

    /// Notes in `repeats` which blocks occurred again, and which started requests later.
    ///
    /// # Errors
    /// When there are fewer blocks.
    pub(super) fn note_repeats(&self, numbers: &[NumberRun], repeats: &mut Repeats) -> Result<(), Invalid> {
        let mut blocks = Blocks::of(numbers);
        for again in &self.repeated {
            blocks.take(again.skip, |_| Ok(()))?;
            blocks.take(again.len, |run| {
                repeats.repeat(run);
                Ok(())
            })?;
        }
        let mut blocks = Blocks::of(numbers);
        for &(skip, often) in &self.restarted {
            blocks.take(skip, |_| Ok(()))?;
            blocks.take(1, |run| {
                repeats.restart(run.start, often);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The blocks of a piece, taken from the front.
struct Blocks<'a> {
    rest: std::slice::Iter<'a, NumberRun>,
    run: NumberRun,
}

impl<'a> Blocks<'a> {
    fn of(runs: &'a [NumberRun]) -> Self {
        Self { rest: runs.iter(), run: NumberRun::default() }
    }

    /// Takes the next `count` as runs.
    fn take(
        &mut self,
        mut count: u32,
        mut each: impl FnMut(NumberRun) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        while count > 0 {
            if self.run.len == 0 {
                let more = || Invalid::conflict("repeated, restarted: more blocks than the piece has");
                self.run = *self.rest.next().ok_or_else(more)?;
            }
            let part = self.run.take(count);
            count -= part.len;
            each(part)?;
        }
        Ok(())
    }

    /// Takes all that are left.
    fn rest(self, mut each: impl FnMut(NumberRun) -> Result<(), Invalid>) -> Result<(), Invalid> {
        std::iter::once(self.run).chain(self.rest.copied()).filter(|run| run.len > 0).try_for_each(&mut each)
    }
}
