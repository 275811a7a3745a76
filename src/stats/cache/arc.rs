//! Adaptive replacement (Megiddo and Modha: ARC, a self-tuning, low overhead replacement cache, FAST 2003,
//! figure 4): one list of blocks used once lately and one of blocks used more often, and behind each the ids
//! of those that have left it. A block that comes back after it has left a list was let go too soon, so that
//! list gets more room.

use crate::stats::cache::lists::Lists;
use crate::stats::cache::policy::BlockPolicy;

/// T1 of the paper: held, used once.
const RECENT: usize = 0;
/// T2: held, used more often.
const FREQUENT: usize = 1;
/// B1: ids that have left the first.
const LEFT_RECENT: usize = 2;
/// B2: ids that have left the second.
const LEFT_FREQUENT: usize = 3;

/// An ARC cache. It remembers as many ids as it holds blocks.
#[derive(Clone, Default)]
pub(super) struct Arc {
    lists: Lists<(), 4>,
    /// How many blocks used once it aims at, p in the paper.
    target: f64,
}

impl Arc {
    /// Lets a block go and remembers its id. `was_frequent` tells that it makes room for one that has left
    /// the list of frequent ones.
    fn replace(&mut self, was_frequent: bool) {
        let recent = self.lists.len(RECENT) as f64;
        let from_recent = recent > 0.0 && (recent > self.target || was_frequent && recent >= self.target);
        let (list, left) = if from_recent { (RECENT, LEFT_RECENT) } else { (FREQUENT, LEFT_FREQUENT) };
        if let Some(oldest) = self.lists.oldest(list) {
            self.lists.renew(left, oldest);
        }
    }

    /// A block comes back that had left a list.
    fn come_back(&mut self, id: u64, left: usize, capacity: usize) {
        let [recent, frequent] = [LEFT_RECENT, LEFT_FREQUENT].map(|list| self.lists.len(list) as f64);
        self.target = if left == LEFT_RECENT {
            (self.target + (frequent / recent).max(1.0)).min(capacity as f64)
        } else {
            (self.target - (recent / frequent).max(1.0)).max(0.0)
        };
        self.replace(left == LEFT_FREQUENT);
        self.lists.renew(FREQUENT, id);
    }

    /// A block comes that is not remembered.
    fn enter(&mut self, id: u64, capacity: usize) {
        let [recent, frequent, left_recent, left_frequent] =
            [RECENT, FREQUENT, LEFT_RECENT, LEFT_FREQUENT].map(|list| self.lists.len(list));
        if recent + left_recent >= capacity {
            if recent < capacity {
                self.lists.pop(LEFT_RECENT);
                self.replace(false);
            } else {
                self.lists.pop(RECENT);
            }
        } else if recent + left_recent + frequent + left_frequent >= capacity {
            if recent + left_recent + frequent + left_frequent >= 2 * capacity {
                self.lists.pop(LEFT_FREQUENT);
            }
            self.replace(false);
        }
        self.lists.push(RECENT, id, ());
    }
}

impl BlockPolicy for Arc {
    fn holds(&self, id: u64) -> bool {
        matches!(self.lists.list_of(id), Some(RECENT | FREQUENT))
    }

    fn touch(&mut self, id: u64, capacity: usize) {
        match self.lists.list_of(id) {
            Some(RECENT | FREQUENT) => self.lists.renew(FREQUENT, id),
            Some(left) => self.come_back(id, left, capacity),
            None => self.enter(id, capacity),
        }
    }

    fn len(&self) -> usize {
        self.lists.len(RECENT) + self.lists.len(FREQUENT)
    }

    fn bytes(&self) -> usize {
        self.lists.bytes()
    }
}
