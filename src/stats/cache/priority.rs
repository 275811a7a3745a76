//! Retention that requests ask for: of the blocks of least priority, the one used least recently leaves.
//!
//! A block has the highest priority of the requests that have used it since it entered, as in `SGLang`'s radix
//! cache with its policy `priority`. So a block is worth no less than those behind it, and the cache stays
//! closed under prefixes.

use std::cmp::Ordering;

use crate::stats::cache::policy::Eviction;
use crate::stats::cache::ranked::Ranked;
use crate::stats::seen::Seen;

/// A finite priority.
#[derive(Clone, Copy)]
struct Level(f64);

impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Level {}

/// A cache by priority.
#[derive(Clone, Default)]
pub(super) struct Priority(Ranked<Level>);

impl Eviction for Priority {
    fn access(&mut self, seen: &Seen, capacity: usize) -> usize {
        let hit = seen.ids.iter().take_while(|&&id| self.0.holds(id)).count();
        if capacity == 0 {
            return hit;
        }
        // The sum makes one zero of two.
        let level = Level(seen.priority + 0.0);
        for &id in seen.ids.iter().rev() {
            if self.0.renew(id, |held| held.max(level)) {
                continue;
            }
            if self.0.len() >= capacity {
                self.0.evict();
            }
            self.0.insert(id, level);
        }
        hit
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
