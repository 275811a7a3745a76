//! Clock, or second chance (Corbató: A paging experiment with the Multics system, 1968): blocks stand in a
//! queue in the order in which they entered; one that has been used since it was last looked at goes back to
//! the end of the queue in place of leaving.

use crate::stats::cache::lists::Lists;
use crate::stats::cache::policy::BlockPolicy;

/// A clock: blocks, and whether they have been used.
#[derive(Clone, Default)]
pub(super) struct Clock(Lists<bool, 1>);

impl Clock {
    fn evict(&mut self) {
        while let Some(oldest) = self.0.oldest(0) {
            match self.0.value(oldest) {
                Some(is_used) if *is_used => *is_used = false,
                _ => return self.0.remove(oldest),
            }
            self.0.renew(0, oldest);
        }
    }
}

impl BlockPolicy for Clock {
    fn holds(&self, id: u64) -> bool {
        self.0.list_of(id).is_some()
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        if let Some(is_used) = self.0.value(id) {
            *is_used = true;
            return;
        }
        if self.0.len(0) >= capacity {
            self.evict();
        }
        self.0.push(0, id, false);
    }

    fn len(&self) -> usize {
        self.0.len(0)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
