//! S3-FIFO (Yang et al.: FIFO queues are all you need for cache eviction, SOSP 2023, algorithm 1): blocks enter
//! a small queue, a tenth of the cache. One that is used twice there moves on to the main queue, which spares
//! blocks as a clock does; any other leaves, and only its id is remembered: if it comes back while it is, it
//! enters the main queue.

use crate::stats::cache::lists::Lists;
use crate::stats::cache::policy::BlockPolicy;

const SMALL: usize = 0;
const MAIN: usize = 1;
/// Ids that have left the small queue.
const LEFT: usize = 2;

/// Uses are counted up to this.
const MOST_USES: u8 = 3;

/// An S3-FIFO cache: blocks, and how often they have been used. It remembers nine ids for ten blocks.
#[derive(Clone, Default)]
pub(super) struct S3Fifo(Lists<u8, 3>);

impl S3Fifo {
    fn evict(&mut self, capacity: usize) {
        let small = small(capacity);
        if self.0.len(SMALL) >= small {
            self.evict_small(capacity - small);
        } else {
            self.evict_main();
        }
    }

    /// Moves blocks on to the main queue until one leaves, or none is left.
    fn evict_small(&mut self, remembered: usize) {
        while let Some(oldest) = self.0.oldest(SMALL) {
            let Some(uses) = self.0.value(oldest) else { return };
            if std::mem::take(uses) > 1 {
                self.0.renew(MAIN, oldest);
                continue;
            }
            self.0.renew(LEFT, oldest);
            if self.0.len(LEFT) > remembered {
                self.0.pop(LEFT);
            }
            return;
        }
    }

    fn evict_main(&mut self) {
        while let Some(oldest) = self.0.oldest(MAIN) {
            match self.0.value(oldest) {
                Some(uses) if *uses > 0 => *uses -= 1,
                _ => return self.0.remove(oldest),
            }
            self.0.renew(MAIN, oldest);
        }
    }
}

/// Blocks of the small queue.
fn small(capacity: usize) -> usize {
    (capacity / 10).max(1)
}

impl BlockPolicy for S3Fifo {
    fn holds(&self, id: u64) -> bool {
        matches!(self.0.list_of(id), Some(SMALL | MAIN))
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        let found = self.0.list_of(id);
        if let Some(SMALL | MAIN) = found {
            self.0.value(id).into_iter().for_each(|uses| *uses = (*uses + 1).min(MOST_USES));
            return;
        }
        // Before its id may be forgotten for another one.
        self.0.remove(id);
        while self.len() >= capacity {
            self.evict(capacity);
        }
        self.0.push(if found.is_some() { MAIN } else { SMALL }, id, 0);
    }

    fn len(&self) -> usize {
        self.0.len(SMALL) + self.0.len(MAIN)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
