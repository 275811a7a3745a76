//! W-TinyLFU (Einziger, Friedman and Manes: `TinyLFU`, a highly efficient cache admission policy, ACM Transactions
//! on Storage 13(4), 2017): blocks enter a window, an LRU cache of a hundredth of the room. One that leaves the
//! window enters the main cache, a segmented LRU, only if it has been used more often lately than the block that
//! would leave there. How often is estimated, for blocks that are not held too.

use crate::stats::cache::lists::Lists;
use crate::stats::cache::policy::BlockPolicy;
use crate::stats::cache::sketch::Sketch;
use crate::stats::cache::slru::Slru;

/// A W-TinyLFU cache.
#[derive(Clone, Default)]
pub(super) struct WTinyLfu {
    window: Lists<(), 1>,
    main: Slru,
    sketch: Sketch,
}

impl WTinyLfu {
    /// A block that has left the window, and a main cache of `capacity` blocks.
    fn admit(&mut self, id: u64, capacity: usize) {
        if self.main.len() < capacity {
            return self.main.insert(id);
        }
        if let Some(victim) = self.main.victim()
            && self.sketch.uses(id) > self.sketch.uses(victim)
        {
            self.main.remove(victim);
            self.main.insert(id);
        }
    }
}

impl BlockPolicy for WTinyLfu {
    fn holds(&self, id: u64) -> bool {
        self.window.list_of(id).is_some() || self.main.holds(id)
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        let window = (capacity / 100).max(1);
        let main = capacity - window;
        self.sketch.note(id, self.len() + 1, capacity);
        if self.main.holds(id) {
            return self.main.renew(id, main);
        }
        if self.window.list_of(id).is_some() {
            return self.window.renew(0, id);
        }
        self.window.push(0, id, ());
        if self.window.len(0) > window
            && let Some(oldest) = self.window.pop(0)
        {
            self.admit(oldest, main);
        }
    }

    fn len(&self) -> usize {
        self.window.len(0) + self.main.len()
    }

    fn bytes(&self) -> usize {
        self.window.bytes() + self.main.bytes() + self.sketch.bytes()
    }
}
