//! A table of things that are known by a block each.

use crate::blocks::{BlockNumber, reserve};

/// Stands for no entry.
const NONE: u32 = u32::MAX;

/// So many consecutive blocks share a list of entries, as a power of two. There are few of these among them.
const BUCKET_BITS: u32 = 4;

/// Entries by their block, numbered from 0 as they come.
///
/// Blocks are numbered too, and what comes mostly belongs to the newest ones, so a list for every few blocks has less
/// to wait for than a table of hashes, and is smaller: 8 bytes for each entry and a quarter of one for each block.
#[derive(Default)]
pub(super) struct ByBlock {
    entries: Vec<Entry>,
    /// The newest entry of each bucket of blocks.
    buckets: Vec<u32>,
}

struct Entry {
    block: BlockNumber,
    /// The one before in the same bucket.
    next: u32,
}

impl ByBlock {
    /// The entry of a block, if there is one.
    #[inline]
    pub(super) fn find(&self, block: BlockNumber) -> Option<u32> {
        let mut number = *self.buckets.get((block >> BUCKET_BITS) as usize)?;
        loop {
            let entry = self.entries.get(number as usize)?;
            if entry.block == block {
                return Some(number);
            }
            number = entry.next;
        }
    }

    /// Appends the entry of a block that has none.
    pub(super) fn push(&mut self, block: BlockNumber) {
        let bucket = (block >> BUCKET_BITS) as usize;
        if bucket >= self.buckets.len() {
            let more = bucket + 1 - self.buckets.len();
            reserve(&mut self.buckets, more);
            self.buckets.resize(bucket + 1, NONE);
        }
        let next = std::mem::replace(&mut self.buckets[bucket], self.entries.len() as u32);
        reserve(&mut self.entries, 1);
        self.entries.push(Entry { block, next });
    }

    /// The block of an entry.
    #[inline]
    pub(super) fn block(&self, entry: u32) -> BlockNumber {
        self.entries[entry as usize].block
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Entry>() * self.entries.len() + size_of::<u32>() * self.buckets.len()
    }
}
