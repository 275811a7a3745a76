//! The blocks of a cache as vLLM keeps them.
//!
//! A block holds the content of a name, or none while it is partial, and is in use or free. Free blocks
//! are taken in the order in which they became free, but for those without a name, which are taken
//! before all others, the last one first; what a taken block held is gone. The same content may be in
//! several blocks; the oldest is found.

use crate::blocks::BlockNumber;

/// The number of a block of the pool.
pub(super) type Slot = u32;

/// No block, or no name.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Block {
    /// What it holds.
    name: BlockNumber,
    /// Requests that use it.
    users: u32,
    /// Its neighbours among the free blocks that hold something.
    before: Slot,
    after: Slot,
    /// Its neighbours in the ring of blocks that hold the same.
    older: Slot,
    newer: Slot,
}

/// A pool of blocks. Memory: 24 bytes per block that was ever used, and 4 per name.
pub(super) struct Pool {
    blocks: Vec<Block>,
    /// The oldest block that holds each name.
    oldest_of: Vec<Slot>,
    /// Blocks that were never used.
    unused: u32,
    /// Free blocks that hold nothing; the last one is taken first.
    empty: Vec<Slot>,
    /// Free blocks that hold something: the first and the last one, and how many there are.
    first: Slot,
    last: Slot,
    holding: u32,
}

impl Pool {
    /// A pool of `capacity` blocks, none of which was used.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            blocks: Vec::new(),
            oldest_of: Vec::new(),
            // One number stands for no block.
            unused: u32::try_from(capacity).unwrap_or(u32::MAX).min(NONE - 1),
            empty: Vec::new(),
            first: NONE,
            last: NONE,
            holding: 0,
        }
    }

    /// How many blocks are free.
    pub(super) fn free(&self) -> u64 {
        self.empty.len() as u64 + u64::from(self.unused) + u64::from(self.holding)
    }

    /// Appends the blocks that hold the longest prefix of `names`.
    #[inline]
    pub(super) fn find(&self, names: &[BlockNumber], found: &mut Vec<Slot>) {
        let slots = names.iter().map(|&name| self.oldest_of.get(name as usize).copied().unwrap_or(NONE));
        found.extend(slots.take_while(|&slot| slot != NONE));
    }

    /// How many of these blocks are free.
    pub(super) fn count_free(&self, slots: &[Slot]) -> u64 {
        slots.iter().filter(|&&slot| self.blocks[slot as usize].users == 0).count() as u64
    }

    /// One more request uses these blocks, which hold something.
    #[inline]
    pub(super) fn share(&mut self, slots: &[Slot]) {
        for &slot in slots {
            if self.blocks[slot as usize].users == 0 {
                self.unlink(slot);
            }
            self.blocks[slot as usize].users += 1;
        }
    }

    /// Appends `count` free blocks, which hold nothing from now on. There must be as many.
    #[inline]
    pub(super) fn take(&mut self, count: u64, taken: &mut Vec<Slot>) {
        for _ in 0..count {
            let slot = match self.empty.pop() {
                Some(slot) => slot,
                None if self.unused > 0 => {
                    self.unused -= 1;
                    self.blocks.push(Block {
                        name: NONE,
                        users: 0,
                        before: NONE,
                        after: NONE,
                        older: 0,
                        newer: 0,
                    });
                    self.blocks.len() as Slot - 1
                }
                None => {
                    let slot = self.first;
                    self.unlink(slot);
                    self.forget(slot);
                    slot
                }
            };
            self.blocks[slot as usize].users = 1;
            taken.push(slot);
        }
    }

    /// A block holds `name` from now on.
    #[inline]
    pub(super) fn fill(&mut self, slot: Slot, name: BlockNumber) {
        let wanted = name as usize + 1;
        if self.oldest_of.len() < wanted {
            let more = wanted - self.oldest_of.len();
            crate::blocks::reserve(&mut self.oldest_of, more);
            self.oldest_of.resize(wanted, NONE);
        }
        self.blocks[slot as usize].name = name;
        let oldest = self.oldest_of[name as usize];
        if oldest == NONE {
            self.oldest_of[name as usize] = slot;
            (self.blocks[slot as usize].older, self.blocks[slot as usize].newer) = (slot, slot);
            return;
        }
        // The newest is before the oldest in the ring.
        let newest = self.blocks[oldest as usize].older;
        (self.blocks[slot as usize].older, self.blocks[slot as usize].newer) = (newest, oldest);
        self.blocks[newest as usize].newer = slot;
        self.blocks[oldest as usize].older = slot;
    }

    /// A request that used these blocks, in the order of its path, ends. Blocks become free from last to
    /// first, so children leave before their parents.
    #[inline]
    pub(super) fn release(&mut self, slots: &[Slot]) {
        let empty = self.empty.len();
        for &slot in slots.iter().rev() {
            let block = &mut self.blocks[slot as usize];
            block.users -= 1;
            if block.users > 0 {
                continue;
            }
            if block.name == NONE {
                self.empty.push(slot);
            } else {
                self.link(slot);
            }
        }
        // Those that hold nothing keep their order.
        self.empty[empty..].reverse();
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Block>() * self.blocks.len() + size_of::<Slot>() * (self.oldest_of.len() + self.empty.len())
    }

    /// A block is the last of the free ones that hold something.
    #[inline]
    fn link(&mut self, slot: Slot) {
        let before = self.last;
        (self.blocks[slot as usize].before, self.blocks[slot as usize].after) = (before, NONE);
        match self.blocks.get_mut(before as usize) {
            Some(block) => block.after = slot,
            None => self.first = slot,
        }
        self.last = slot;
        self.holding += 1;
    }

    #[inline]
    fn unlink(&mut self, slot: Slot) {
        let Block { before, after, .. } = self.blocks[slot as usize];
        match self.blocks.get_mut(before as usize) {
            Some(block) => block.after = after,
            None => self.first = after,
        }
        match self.blocks.get_mut(after as usize) {
            Some(block) => block.before = before,
            None => self.last = before,
        }
        self.holding -= 1;
    }

    /// What a block holds is gone.
    #[inline]
    fn forget(&mut self, slot: Slot) {
        let Block { name, older, newer, .. } = self.blocks[slot as usize];
        self.blocks[slot as usize].name = NONE;
        if newer == slot {
            self.oldest_of[name as usize] = NONE;
            return;
        }
        self.blocks[older as usize].newer = newer;
        self.blocks[newer as usize].older = older;
        if self.oldest_of[name as usize] == slot {
            self.oldest_of[name as usize] = newer;
        }
    }
}
