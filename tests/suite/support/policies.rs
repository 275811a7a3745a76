//! Eviction policies as plain lists, oldest block first: slow and obviously right.

use super::naive::{Request, counted};

/// A cache of a policy.
pub trait Cache {
    /// Whether it holds a block.
    fn holds(&self, id: u64) -> bool;

    /// Uses a block, for a request of that priority.
    fn touch(&mut self, id: u64, priority: f64);
}

/// An empty cache of so many blocks, at least one.
pub type New = fn(usize) -> Box<dyn Cache>;

/// Every policy that takes a request's blocks from last to first.
pub const ALL: [(&str, New); 8] = [
    ("arc", |capacity| Box::new(Arc { capacity, ..Arc::default() })),
    ("clock", |capacity| Box::new(Clock { capacity, ..Clock::default() })),
    ("gdsf", |capacity| Box::new(Gdsf { capacity, ..Gdsf::default() })),
    ("s3fifo", |capacity| Box::new(S3Fifo { capacity, ..S3Fifo::default() })),
    ("sieve", |capacity| Box::new(Sieve { capacity, ..Sieve::default() })),
    ("slru", |capacity| Box::new(Slru { capacity, ..Slru::default() })),
    ("wtinylfu", |capacity| Box::new(WTinyLfu::new(capacity))),
    ("priority", |capacity| Box::new(Priority { capacity, ..Priority::default() })),
];

/// Hit tokens of a cache. Requests have the priorities 0, 1 and 2 by turns.
pub fn hits(requests: &[Request], capacity: usize, block_size: u64, warmup: usize, new: New) -> u64 {
    if capacity == 0 {
        return 0;
    }
    let mut cache = new(capacity);
    let mut tokens = 0;
    for (index, r) in requests.iter().enumerate() {
        let hit = r.ids.iter().take_while(|id| cache.holds(**id)).count() as u64;
        if index >= warmup {
            tokens += counted(hit, r.input, block_size, false);
        }
        r.ids.iter().rev().for_each(|id| cache.touch(*id, priority(index)));
    }
    tokens
}

/// The priority of a request.
pub fn priority(index: usize) -> f64 {
    (index % 3) as f64
}

/// Takes a block out of a list; whether it was there.
fn take(list: &mut Vec<u64>, id: u64) -> bool {
    let before = list.len();
    list.retain(|held| *held != id);
    list.len() < before
}

#[derive(Default)]
struct Arc {
    capacity: usize,
    t1: Vec<u64>,
    t2: Vec<u64>,
    b1: Vec<u64>,
    b2: Vec<u64>,
    p: f64,
}

impl Arc {
    fn replace(&mut self, is_in_b2: bool) {
        let t1 = self.t1.len() as f64;
        if t1 >= 1.0 && (t1 > self.p || (is_in_b2 && t1 == self.p)) {
            self.b1.push(self.t1.remove(0));
        } else {
            self.b2.push(self.t2.remove(0));
        }
    }
}

impl Cache for Arc {
    fn holds(&self, id: u64) -> bool {
        self.t1.contains(&id) || self.t2.contains(&id)
    }

    fn touch(&mut self, id: u64, _: f64) {
        let c = self.capacity;
        let (b1, b2) = (self.b1.len() as f64, self.b2.len() as f64);
        if take(&mut self.t1, id) || take(&mut self.t2, id) {
            // Case I.
            self.t2.push(id);
        } else if self.b1.contains(&id) {
            // Case II.
            self.p = f64::min(c as f64, self.p + if b1 >= b2 { 1.0 } else { b2 / b1 });
            self.replace(false);
            take(&mut self.b1, id);
            self.t2.push(id);
        } else if self.b2.contains(&id) {
            // Case III.
            self.p = f64::max(0.0, self.p - if b2 >= b1 { 1.0 } else { b1 / b2 });
            self.replace(true);
            take(&mut self.b2, id);
            self.t2.push(id);
        } else {
            // Case IV.
            let (l1, all) = (
                self.t1.len() + self.b1.len(),
                self.t1.len() + self.t2.len() + self.b1.len() + self.b2.len(),
            );
            if l1 == c && self.t1.len() < c {
                self.b1.remove(0);
                self.replace(false);
            } else if l1 == c {
                self.t1.remove(0);
            } else if all >= c {
                if all == 2 * c {
                    self.b2.remove(0);
                }
                self.replace(false);
            }
            self.t1.push(id);
        }
    }
}

/// Blocks, and whether they have been used.
#[derive(Default)]
struct Clock {
    capacity: usize,
    queue: Vec<(u64, bool)>,
}

impl Cache for Clock {
    fn holds(&self, id: u64) -> bool {
        self.queue.iter().any(|(held, _)| *held == id)
    }

    fn touch(&mut self, id: u64, _: f64) {
        if let Some((_, is_used)) = self.queue.iter_mut().find(|(held, _)| *held == id) {
            *is_used = true;
            return;
        }
        while self.queue.len() == self.capacity {
            let (oldest, is_used) = self.queue.remove(0);
            if is_used {
                self.queue.push((oldest, false));
            }
        }
        self.queue.push((id, false));
    }
}

/// Blocks, and whether they have been used; the place of the hand.
#[derive(Default)]
struct Sieve {
    capacity: usize,
    queue: Vec<(u64, bool)>,
    hand: usize,
}

impl Cache for Sieve {
    fn holds(&self, id: u64) -> bool {
        self.queue.iter().any(|(held, _)| *held == id)
    }

    fn touch(&mut self, id: u64, _: f64) {
        if let Some((_, is_used)) = self.queue.iter_mut().find(|(held, _)| *held == id) {
            *is_used = true;
            return;
        }
        while self.queue.len() == self.capacity {
            let at = self.hand % self.capacity;
            if self.queue[at].1 {
                self.queue[at].1 = false;
                self.hand = at + 1;
            } else {
                self.queue.remove(at);
                // Where the newest one left, the hand begins anew.
                self.hand = if at == self.queue.len() { 0 } else { at };
            }
        }
        self.queue.push((id, false));
    }
}

/// Blocks with rank, uses, and time of the last use.
#[derive(Default)]
struct Gdsf {
    capacity: usize,
    held: Vec<(u64, u64, u64, u64)>,
    age: u64,
    clock: u64,
}

impl Cache for Gdsf {
    fn holds(&self, id: u64) -> bool {
        self.held.iter().any(|entry| entry.0 == id)
    }

    fn touch(&mut self, id: u64, _: f64) {
        self.clock += 1;
        if let Some(entry) = self.held.iter_mut().find(|entry| entry.0 == id) {
            *entry = (id, self.age + entry.2 + 1, entry.2 + 1, self.clock);
            return;
        }
        if self.held.len() == self.capacity {
            let least = self.held.iter().copied().min_by_key(|entry| (entry.1, entry.3)).unwrap();
            self.age = least.1;
            self.held.retain(|entry| *entry != least);
        }
        self.held.push((id, self.age + 1, 1, self.clock));
    }
}

/// Blocks with priority and time of the last use.
#[derive(Default)]
struct Priority {
    capacity: usize,
    held: Vec<(u64, f64, u64)>,
    clock: u64,
}

impl Cache for Priority {
    fn holds(&self, id: u64) -> bool {
        self.held.iter().any(|entry| entry.0 == id)
    }

    fn touch(&mut self, id: u64, priority: f64) {
        self.clock += 1;
        if let Some(entry) = self.held.iter_mut().find(|entry| entry.0 == id) {
            *entry = (id, entry.1.max(priority), self.clock);
            return;
        }
        if self.held.len() == self.capacity {
            let order = |a: &(u64, f64, u64), b: &(u64, f64, u64)| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2));
            let least = self.held.iter().copied().min_by(order).unwrap();
            self.held.retain(|entry| entry.0 != least.0);
        }
        self.held.push((id, priority, self.clock));
    }
}

/// Blocks with their uses.
#[derive(Default)]
struct S3Fifo {
    capacity: usize,
    small: Vec<(u64, u32)>,
    main: Vec<(u64, u32)>,
    ghost: Vec<u64>,
}

impl S3Fifo {
    fn evict_small(&mut self, least: usize) {
        while !self.small.is_empty() {
            let (oldest, uses) = self.small.remove(0);
            if uses > 1 {
                self.main.push((oldest, 0));
                continue;
            }
            self.ghost.push(oldest);
            if self.ghost.len() > self.capacity - least {
                self.ghost.remove(0);
            }
            return;
        }
    }

    fn evict_main(&mut self) {
        while !self.main.is_empty() {
            let (oldest, uses) = self.main.remove(0);
            if uses == 0 {
                return;
            }
            self.main.push((oldest, uses - 1));
        }
    }
}

impl Cache for S3Fifo {
    fn holds(&self, id: u64) -> bool {
        self.small.iter().chain(&self.main).any(|(held, _)| *held == id)
    }

    fn touch(&mut self, id: u64, _: f64) {
        if let Some((_, uses)) = self.small.iter_mut().chain(&mut self.main).find(|(held, _)| *held == id) {
            *uses = 3.min(*uses + 1);
            return;
        }
        let is_known = take(&mut self.ghost, id);
        let least = 1.max(self.capacity / 10);
        while self.small.len() + self.main.len() >= self.capacity {
            if self.small.len() >= least { self.evict_small(least) } else { self.evict_main() }
        }
        if is_known { self.main.push((id, 0)) } else { self.small.push((id, 0)) }
    }
}

#[derive(Default)]
struct Slru {
    capacity: usize,
    probation: Vec<u64>,
    protected: Vec<u64>,
}

impl Slru {
    /// The block that leaves next.
    fn victim(&self) -> Option<u64> {
        self.probation.first().or(self.protected.first()).copied()
    }

    fn remove(&mut self, id: u64) {
        take(&mut self.probation, id);
        take(&mut self.protected, id);
    }
}

impl Cache for Slru {
    fn holds(&self, id: u64) -> bool {
        self.probation.contains(&id) || self.protected.contains(&id)
    }

    fn touch(&mut self, id: u64, _: f64) {
        if self.holds(id) {
            self.remove(id);
            self.protected.push(id);
            if self.protected.len() > self.capacity * 4 / 5 {
                self.probation.push(self.protected.remove(0));
            }
            return;
        }
        if self.probation.len() + self.protected.len() == self.capacity {
            self.victim().into_iter().for_each(|victim| self.remove(victim));
        }
        self.probation.push(id);
    }
}

/// Counters are kept one by one; where they are, and when they are halved, is part of the definition.
#[derive(Default)]
struct WTinyLfu {
    capacity: usize,
    window: Vec<u64>,
    main: Slru,
    counters: Vec<u8>,
    uses: usize,
}

impl WTinyLfu {
    fn new(capacity: usize) -> Self {
        let main = Slru { capacity: capacity - 1.max(capacity / 100), ..Slru::default() };
        Self { capacity, main, ..Self::default() }
    }

    fn places(&self, id: u64) -> [usize; 4] {
        let mix = |n: u64| {
            let mut n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
            n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            n ^ (n >> 31)
        };
        [1, 2, 3, 4].map(|row| (mix(id ^ mix(row)) % self.counters.len() as u64) as usize)
    }

    fn estimate(&self, id: u64) -> u8 {
        self.places(id).map(|place| self.counters[place]).into_iter().min().unwrap()
    }

    fn count(&mut self, id: u64) {
        // Sixteen counters, at least, for each block that is held and this one.
        let held = self.window.len() + self.main.probation.len() + self.main.protected.len();
        while self.counters.len() < 16 * (held + 1) {
            let twice = [&self.counters[..], &self.counters[..]].concat();
            self.counters = if twice.is_empty() { vec![0; 16] } else { twice };
        }
        let (least, mut places) = (self.estimate(id), self.places(id).to_vec());
        places.sort_unstable();
        places.dedup();
        for place in places {
            if self.counters[place] == least && least < 15 {
                self.counters[place] += 1;
            }
        }
        self.uses += 1;
        if self.uses == 10 * self.capacity {
            self.uses /= 2;
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
        }
    }
}

impl Cache for WTinyLfu {
    fn holds(&self, id: u64) -> bool {
        self.window.contains(&id) || self.main.holds(id)
    }

    fn touch(&mut self, id: u64, priority: f64) {
        self.count(id);
        if self.main.holds(id) {
            self.main.touch(id, priority);
            return;
        }
        take(&mut self.window, id);
        self.window.push(id);
        if self.window.len() <= 1.max(self.capacity / 100) {
            return;
        }
        let candidate = self.window.remove(0);
        if self.main.probation.len() + self.main.protected.len() < self.main.capacity {
            self.main.probation.push(candidate);
        } else if let Some(victim) = self.main.victim()
            && self.estimate(candidate) > self.estimate(victim)
        {
            self.main.remove(victim);
            self.main.probation.push(candidate);
        }
    }
}
