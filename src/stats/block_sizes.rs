//! The same trace in coarser blocks, in the one pass.

use crate::blocks::BlockJoin;
use crate::error::Invalid;
use crate::record::Record;
use crate::stats::groups::Groups;
use crate::stats::statistics::AnalysisOptions;

/// What the values of the groups are of.
pub(super) const FIELD: &str = "block_size";

/// A group for each block size: the trace as it would be if its prompts had been cut into such blocks.
pub(super) struct BlockSizes {
    sizes: Vec<(String, BlockJoin)>,
    groups: Groups,
    /// A request in coarser blocks. Its memory is used again.
    record: Record,
}

impl BlockSizes {
    /// No request yet of a trace with blocks of `block_size` tokens. The trace itself comes first. `options` says
    /// what is analysed at each size; the budget is that of all together.
    ///
    /// # Errors
    /// When a size is no multiple of the block size.
    pub(super) fn new(
        block_size: u64,
        sizes: &[u64],
        options: impl Fn(u64) -> AnalysisOptions,
    ) -> Result<Self, Invalid> {
        let mut groups = Groups::new(block_size, options(block_size));
        let coarser = sizes.iter().copied().filter(|&size| size != block_size);
        let join = |size: u64| {
            let join = BlockJoin::new(block_size, size, "block_sizes")?;
            groups.begin(&size.to_string(), size, options(size));
            Ok((size.to_string(), join))
        };
        let sizes = std::iter::once(block_size).chain(coarser).map(join).collect::<Result<_, Invalid>>()?;
        Ok(Self { sizes, groups, record: Record::default() })
    }

    /// Takes the next request.
    ///
    /// # Errors
    /// As [`Groups::add`].
    pub(super) fn add(&mut self, record: &Record) -> Result<(), Invalid> {
        for (name, join) in &self.sizes {
            self.record.clone_from(record);
            join.join(record.input_length, &mut self.record.hash_ids, &mut self.record.output_hash_ids);
            self.groups.add(name, &self.record)?;
        }
        Ok(())
    }

    /// The groups, in the order of the sizes.
    pub(super) fn into_groups(self) -> Groups {
        self.groups
    }
}
