//! A cache that never evicts: which blocks of a request have occurred before.

use crate::blocks::{BlockNumber, NumberRun, Numbering};
use crate::error::Invalid;

/// The infinite prefix cache that every statistic refers to. Memory: that of [`Numbering`].
#[derive(Default)]
pub struct InfiniteCache {
    numbering: Numbering,
    runs: Vec<NumberRun>,
}

/// What an infinite cache finds of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup<'a> {
    /// The numbers of its blocks, first block first; each run is new or known as a whole. Of a request
    /// in a piece of a trace only those blocks that are new to the piece.
    pub runs: &'a [NumberRun],
    /// Blocks from this number on are new.
    pub first_new: BlockNumber,
    /// The number after that of the last new block.
    pub end: BlockNumber,
    /// Length of its longest prefix of known blocks.
    pub known: u32,
    /// Number of its first block, if that is among the runs.
    pub first: Option<BlockNumber>,
}

impl<'a> Lookup<'a> {
    /// How many blocks are new.
    pub fn new_blocks(&self) -> u32 {
        self.end - self.first_new
    }

    /// Whether the first block is new.
    pub fn starts_new(&self) -> bool {
        self.first == Some(self.first_new)
    }

    /// The runs of its first `blocks` blocks.
    pub(super) fn prefix(&self, mut blocks: u32) -> impl Iterator<Item = NumberRun> + use<'a> {
        let runs = self.runs.iter().map(move |&run| {
            let len = run.len.min(blocks);
            blocks -= len;
            NumberRun { len, ..run }
        });
        runs.take_while(|run| run.len > 0)
    }

    /// The runs, and whether each one is new.
    #[inline(always)]
    pub fn runs_by_age(&self) -> impl Iterator<Item = (NumberRun, bool)> + use<'a> {
        let mut next = self.first_new;
        self.runs.iter().map(move |&run| {
            let is_new = run.start == next;
            next += if is_new { run.len } else { 0 };
            (run, is_new)
        })
    }
}

impl InfiniteCache {
    /// Looks up the blocks of a request, and holds them from now on.
    ///
    /// # Errors
    /// When there are more distinct blocks than can be numbered.
    #[inline(always)]
    pub fn request(&mut self, ids: &[u64]) -> Result<Lookup<'_>, Invalid> {
        let first_new = self.numbering.len();
        self.runs.clear();
        self.numbering.number_as_runs(ids, &mut self.runs)?;
        let known = self.runs.iter().take_while(|run| run.start < first_new).map(|run| run.len).sum();
        Ok(Lookup { known, ..self.lookup(first_new) })
    }

    /// Looks up a request of `blocks` blocks in a piece of a trace, of which those that are new to the
    /// piece are known as runs of ids; `position` says where the one of each index stands.
    ///
    /// # Errors
    /// As for [`InfiniteCache::request`], and when ids pass 64 bits.
    pub(super) fn request_of_piece(
        &mut self,
        blocks: u32,
        ids: impl Iterator<Item = (u64, u32)>,
        position: impl Fn(u32) -> u32,
    ) -> Result<Lookup<'_>, Invalid> {
        let first_new = self.numbering.len();
        self.runs.clear();
        self.numbering.number_id_runs(ids, &mut self.runs)?;
        // What is old in the piece is old in the trace, so the known prefix ends with the first block that
        // is new in both.
        let (mut index, mut known) = (0, blocks);
        for run in &self.runs {
            if run.start >= first_new {
                known = known.min(position(index));
            }
            index += run.len;
        }
        let lookup = self.lookup(first_new);
        Ok(Lookup { known, first: lookup.first.filter(|_| position(0) == 0), ..lookup })
    }

    #[inline(always)]
    fn lookup(&self, first_new: BlockNumber) -> Lookup<'_> {
        let first = self.runs.first().map(|run| run.start);
        Lookup { runs: &self.runs, first_new, end: self.numbering.len(), known: 0, first }
    }

    /// The runs of the last request.
    pub(super) fn last_runs(&self) -> &[NumberRun] {
        &self.runs
    }

    /// The numbers of its blocks.
    pub fn numbering(&self) -> &Numbering {
        &self.numbering
    }

    /// Forgets all blocks but those of the given rising numbers, which become 0, 1, 2, ...
    pub(super) fn retain(&mut self, kept: impl Iterator<Item = BlockNumber>) {
        self.numbering.retain(kept);
    }
}
