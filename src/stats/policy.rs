//! Caches that evict by another rule than recency, simulated at chosen capacities as requests come.
//!
//! They know blocks by id, so they go on exactly where the analysis forgets old blocks, and take
//! memory for the blocks that they hold, not for all there are.
//!
//! * FIFO: a request's absent blocks enter from first to last; the oldest entry leaves.
//! * LFU: a request uses its blocks from last to first; the block leaves that was used least often
//!   since it entered, of several the one used least recently.
//!
//! Neither keeps a parent longer than its children. The hit of a request is its longest cached prefix
//! all the same: blocks behind a missing one are of no use.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use foldhash::fast::RandomState;

/// Which block leaves a full cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The one used least recently.
    Lru,
    /// The one that entered first.
    Fifo,
    /// The one used least often since it entered.
    Lfu,
    /// The one used again last, if at all: the best that any policy can do.
    Opt,
}

impl Policy {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Fifo => "fifo",
            Self::Lfu => "lfu",
            Self::Opt => "opt",
        }
    }
}

/// A cache of one policy and capacity.
#[derive(Clone)]
pub(super) struct Simulation {
    pub(super) policy: Policy,
    pub(super) capacity: u64,
    /// Prompt tokens served to measured requests.
    pub(super) hit_tokens: u128,
    held: Held,
}

#[derive(Clone)]
enum Held {
    Fifo(Fifo),
    Lfu(Lfu),
}

impl Simulation {
    /// An empty cache; `None` for a policy that is not simulated this way.
    pub(super) fn new(policy: Policy, capacity: u64) -> Option<Self> {
        let held = match policy {
            Policy::Fifo => Held::Fifo(Fifo::default()),
            Policy::Lfu => Held::Lfu(Lfu::default()),
            Policy::Lru | Policy::Opt => return None,
        };
        Some(Self { policy, capacity, hit_tokens: 0, held })
    }

    /// Uses the blocks of a request; returns the length of the longest prefix that was held.
    pub(super) fn access(&mut self, ids: &[u64]) -> usize {
        let capacity = usize::try_from(self.capacity).unwrap_or(usize::MAX);
        match &mut self.held {
            Held::Fifo(fifo) => fifo.access(ids, capacity),
            Held::Lfu(lfu) => lfu.access(ids, capacity),
        }
    }

    /// Blocks that it holds.
    fn len(&self) -> usize {
        match &self.held {
            Held::Fifo(fifo) => fifo.queue.len(),
            Held::Lfu(lfu) => lfu.uses.len(),
        }
    }

    /// Bytes in use, at most.
    pub(super) fn bytes(&self) -> usize {
        match &self.held {
            // An id and a byte of control in a table that is at least 7/16 full, and the id in the queue.
            Held::Fifo(fifo) => 32 * fifo.queue.len(),
            Held::Lfu(lfu) => 80 * lfu.uses.len(),
        }
    }
}

/// Caches of one policy whose capacities are the powers of two, as far as they differ.
///
/// As long as nothing has left a cache, it is the same as any larger one. So only the last cache may
/// still grow, and where it is about to lose a block, a copy of it begins the next one: together they
/// hold at most three times the distinct blocks.
pub(super) struct Ladder {
    caches: Vec<Simulation>,
}

impl Ladder {
    /// One empty cache; `None` for a policy that is not simulated this way.
    pub(super) fn new(policy: Policy) -> Option<Self> {
        Some(Self { caches: vec![Simulation::new(policy, 1)?] })
    }

    /// The policy of its caches.
    pub(super) fn policy(&self) -> Option<Policy> {
        self.caches.first().map(|cache| cache.policy)
    }

    /// Uses the blocks of a request; `served` gets each cache and the length of the longest prefix that
    /// it held.
    pub(super) fn access(&mut self, ids: &[u64], mut served: impl FnMut(&mut Simulation, usize)) {
        while let Some(last) = self.caches.last()
            && (last.capacity as usize) < last.len() + ids.len()
        {
            let mut next = last.clone();
            next.capacity *= 2;
            self.caches.push(next);
        }
        for cache in &mut self.caches {
            let hit = cache.access(ids);
            served(cache, hit);
        }
    }

    /// Capacities up to `working_set`, all of the distinct blocks, and the tokens that these serve.
    pub(super) fn points(&self, working_set: u64) -> impl Iterator<Item = (u64, u128)> {
        let last = self.caches.last().map(|last| (working_set, last.hit_tokens));
        let smaller = self.caches.iter().filter(move |cache| cache.capacity < working_set);
        smaller.map(|cache| (cache.capacity, cache.hit_tokens)).chain(last.filter(|_| working_set > 0))
    }

    /// Bytes in use, at most.
    pub(super) fn bytes(&self) -> usize {
        self.caches.iter().map(Simulation::bytes).sum()
    }
}

#[derive(Clone, Default)]
struct Fifo {
    held: HashSet<u64, RandomState>,
    queue: VecDeque<u64>,
}

impl Fifo {
    fn access(&mut self, ids: &[u64], capacity: usize) -> usize {
        let hit = ids.iter().take_while(|id| self.held.contains(id)).count();
        for &id in &ids[hit..] {
            if !self.held.insert(id) {
                continue;
            }
            self.queue.push_back(id);
            if self.queue.len() > capacity
                && let Some(oldest) = self.queue.pop_front()
            {
                self.held.remove(&oldest);
            }
        }
        hit
    }
}

/// How often a block was used since it entered, and when last. Ordered by what leaves first.
type Use = (u32, u64);

#[derive(Clone, Default)]
struct Lfu {
    uses: HashMap<u64, Use, RandomState>,
    /// One entry per held block, which may be older than the block's last use.
    order: BinaryHeap<Reverse<(Use, u64)>>,
    /// Uses so far.
    clock: u64,
}

impl Lfu {
    fn access(&mut self, ids: &[u64], capacity: usize) -> usize {
        let hit = ids.iter().take_while(|id| self.uses.contains_key(id)).count();
        if capacity == 0 {
            return hit;
        }
        for &id in ids.iter().rev() {
            self.clock += 1;
            if let Some((count, last)) = self.uses.get_mut(&id) {
                *count = count.saturating_add(1);
                *last = self.clock;
                continue;
            }
            if self.uses.len() >= capacity {
                self.evict();
            }
            self.uses.insert(id, (1, self.clock));
            self.order.push(Reverse(((1, self.clock), id)));
        }
        hit
    }

    /// An entry's key only grows, so the least entry that is up to date is the least of all.
    fn evict(&mut self) {
        while let Some(Reverse((noted, id))) = self.order.pop() {
            match self.uses.get(&id) {
                Some(&now) if now == noted => {
                    self.uses.remove(&id);
                    return;
                }
                Some(&now) => self.order.push(Reverse((now, id))),
                None => {}
            }
        }
    }
}
