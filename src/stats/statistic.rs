//! What a statistic is: something that takes every request, knows its memory, forgets old blocks where
//! it must, and reports.

use crate::blocks::{BlockNumber, Numbering};
use crate::error::Invalid;
use crate::stats::distribution::Distribution;
use crate::stats::recency::Kept;
use crate::stats::seen::Seen;
use crate::stats::summary::{Bin, Summary};
use crate::stats::{Bound, Report};

/// One of the independent parts of an analysis. To add one, write its file, name it in the list of
/// [`statistics`](super::statistics), and give its figures a place in [`Report`].
pub(super) trait Statistic {
    /// Takes the next request.
    ///
    /// # Errors
    /// When there is more than can be counted.
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid>;

    /// Memory in use, as far as it grows. It is asked for after every request.
    #[inline]
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    /// Bytes of distributions, which forgetting does not reduce and which count for groups alone.
    fn distribution_bytes(&self) -> usize {
        0
    }

    /// Makes do with the blocks that are kept.
    fn forget(&mut self, _: &Forgetting) {}

    /// Says what its figures are worth once requests have been settled or blocks forgotten, whether it is
    /// asked for or not.
    fn mark(_: &Bound, _: &mut Report) {}

    /// Fills in the figures so far.
    fn report(&self, known: &Known, report: &mut Report);
}

impl<S: Statistic> Statistic for Option<S> {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        self.as_mut().map_or(Ok(()), |statistic| statistic.add(seen))
    }

    #[inline]
    fn bytes(&self) -> Bytes {
        self.as_ref().map_or_else(Bytes::default, Statistic::bytes)
    }

    fn distribution_bytes(&self) -> usize {
        self.as_ref().map_or(0, Statistic::distribution_bytes)
    }

    fn forget(&mut self, forgetting: &Forgetting) {
        if let Some(statistic) = self {
            statistic.forget(forgetting);
        }
    }

    fn mark(bound: &Bound, report: &mut Report) {
        S::mark(bound, report);
    }

    fn report(&self, known: &Known, report: &mut Report) {
        if let Some(statistic) = self {
            statistic.report(known, report);
        }
    }
}

/// Bytes in use, by what can be done about them.
#[derive(Clone, Copy, Default)]
pub(super) struct Bytes {
    /// For blocks and requests; half of them are free again when half of the blocks are forgotten.
    pub(super) blocks: usize,
    /// For requests that are yet to be settled, which is done whenever memory runs short.
    pub(super) log: usize,
    /// Of simulated caches, which know blocks by themselves.
    pub(super) simulated: usize,
    /// Of the curve of LRU hits, which forgetting does not reduce.
    pub(super) curve: usize,
}

impl Bytes {
    /// All that counts for an analysis by itself.
    pub(super) fn total(self) -> usize {
        self.growing() + self.curve
    }

    /// What grows with the trace.
    pub(super) fn growing(self) -> usize {
        self.blocks + self.log + self.simulated
    }
}

impl std::ops::AddAssign for Bytes {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.log += other.log;
        self.simulated += other.simulated;
        self.curve += other.curve;
    }
}

/// That memory has run short.
pub(super) struct Forgetting<'a> {
    /// The blocks that are kept, if any are not or their requests are numbered anew.
    pub(super) kept: Option<&'a Kept>,
    /// How many blocks there are from now on.
    pub(super) blocks: BlockNumber,
    /// The blocks before.
    pub(super) numbering: &'a Numbering,
}

/// What statistics may ask when they report.
pub(super) struct Known<'a> {
    /// The percentiles of distributions, in percent.
    pub(super) percentiles: &'a [f64],
    /// Whether there are to be charts.
    pub(super) has_charts: bool,
    /// Distinct blocks, where none has been forgotten.
    pub(super) unique_blocks: u64,
    /// The blocks that are known by number.
    pub(super) numbering: &'a Numbering,
    /// What is left of exactness.
    pub(super) bound: Option<&'a Bound>,
}

impl Known<'_> {
    /// A summary with what a chart needs of it, if there are to be charts.
    pub(super) fn charted(
        &self,
        summary: Option<Summary>,
        bins: impl FnOnce() -> Vec<Bin>,
    ) -> Option<Summary> {
        summary.map(|summary| if self.has_charts { Summary { bins: bins(), ..summary } } else { summary })
    }

    /// The summary of lengths.
    pub(super) fn summary(&self, lengths: &Distribution) -> Option<Summary> {
        self.charted(lengths.summary(self.percentiles), || lengths.bins())
    }
}
