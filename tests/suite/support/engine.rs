//! Engines as plainly as they can be written: lists that are searched from end to end.

use std::collections::{BTreeMap, VecDeque};

/// A request of an engine: its session, prompt and answer in tokens, arrival in ns, the ids of the full
/// blocks of both but the last token.
#[derive(Clone, Debug)]
pub struct Served {
    pub session: Option<u64>,
    pub prompt: u64,
    pub answer: u64,
    pub arrival: i64,
    pub ids: Vec<u64>,
}

/// How it is loaded: requests at a time, tokens per step, ns per token and per step in an open loop.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub at_a_time: usize,
    pub step_tokens: u64,
    pub clock: Option<(i64, i64)>,
    pub sessions: bool,
}

/// The blocks of a cache: what each holds, when it was filled, and how many use it; and the free ones in
/// the order in which they are taken.
struct Blocks {
    holds: Vec<Option<(u64, u64)>>,
    users: Vec<usize>,
    free: VecDeque<usize>,
    clock: u64,
}

impl Blocks {
    fn find(&self, ids: &[u64]) -> Vec<usize> {
        let oldest = |id: &u64| {
            let held = self.holds.iter().enumerate().filter_map(|(at, held)| Some((held.as_ref()?, at)));
            held.filter(|((other, _), _)| other == id).min_by_key(|((_, time), _)| *time).map(|(_, at)| at)
        };
        ids.iter().map_while(oldest).collect()
    }

    fn share(&mut self, blocks: &[usize]) {
        for &block in blocks {
            self.free.retain(|&other| other != block);
            self.users[block] += 1;
        }
    }

    fn take(&mut self) -> usize {
        let block = self.free.pop_front().unwrap();
        (self.holds[block], self.users[block]) = (None, 1);
        block
    }

    fn fill(&mut self, block: usize, id: u64) {
        self.clock += 1;
        self.holds[block] = Some((id, self.clock));
    }

    /// Children before parents; what holds nothing goes to the front.
    fn release(&mut self, blocks: &[usize]) {
        let mut empty = Vec::new();
        for &block in blocks.iter().rev() {
            self.users[block] -= 1;
            match (self.users[block], self.holds[block]) {
                (0, Some(_)) => self.free.push_back(block),
                (0, None) => empty.push(block),
                _ => {}
            }
        }
        empty.into_iter().rev().for_each(|block| self.free.push_front(block));
    }
}

#[derive(Default)]
struct State {
    known: u64,
    computed: u64,
    filled: usize,
    blocks: Vec<usize>,
    was_admitted: bool,
}

/// An engine that ends a step before it plans the next.
struct Engine<'a> {
    requests: &'a [Served],
    size: u64,
    load: Load,
    pool: Blocks,
    states: Vec<State>,
    to_come: VecDeque<usize>,
    running: Vec<usize>,
    waiting: VecDeque<usize>,
    /// Turns that wait, by the sessions that are in the engine; and turns that may enter now.
    held: BTreeMap<u64, VecDeque<usize>>,
    late: VecDeque<usize>,
    hits: Vec<Option<u64>>,
    again: u64,
    now: i64,
}

/// The hits of each request in tokens, `None` where it does not fit, and how often a request was preempted
/// and admitted again.
pub fn serve(requests: &[Served], size: u64, capacity: usize, load: Load) -> (Vec<Option<u64>>, u64) {
    let fits = |r: &Served| (r.prompt + r.answer - 1).div_ceil(size) <= capacity as u64;
    let mut engine = Engine {
        requests,
        size,
        load,
        pool: Blocks {
            holds: vec![None; capacity],
            users: vec![0; capacity],
            free: (0..capacity).collect(),
            clock: 0,
        },
        states: requests.iter().map(|r| State { known: r.prompt, ..State::default() }).collect(),
        to_come: (0..requests.len()).filter(|&k| fits(&requests[k])).collect(),
        running: Vec::new(),
        waiting: VecDeque::new(),
        held: BTreeMap::new(),
        late: VecDeque::new(),
        hits: vec![None; requests.len()],
        again: 0,
        now: 0,
    };
    while engine.step() {}
    (engine.hits, engine.again)
}

impl Engine<'_> {
    fn session(&self, k: usize) -> Option<u64> {
        self.requests[k].session.filter(|_| self.load.sessions)
    }

    fn has_arrived(&self, k: usize) -> bool {
        self.load.clock.is_none() || self.requests[k].arrival <= self.now
    }

    /// Whether there is anything left to do.
    fn step(&mut self) -> bool {
        self.enter();
        if self.running.is_empty() && self.waiting.is_empty() {
            let Some(&next) = self.to_come.front() else { return false };
            self.now = self.now.max(self.requests[next].arrival);
            return true;
        }
        let mut budget = self.load.step_tokens;
        let (mut step, preempted) = self.plan_running(&mut budget);
        if !preempted {
            self.admit(&mut budget, &mut step);
        }
        let (per_token, per_step) = self.load.clock.unwrap_or_default();
        self.now += per_step + per_token * (self.load.step_tokens - budget) as i64;
        step.into_iter().for_each(|k| self.end(k));
        true
    }

    fn enter(&mut self) {
        loop {
            while let Some(&next) = self.to_come.front()
                && self.has_arrived(next)
                && let Some(held) = self.session(next).and_then(|session| self.held.get_mut(&session))
            {
                held.push_back(next);
                self.to_come.pop_front();
            }
            if self.load.clock.is_none() && self.running.len() + self.waiting.len() >= self.load.at_a_time {
                return;
            }
            let has_next = self.to_come.front().is_some_and(|&next| self.has_arrived(next));
            let next = match self.late.pop_front() {
                Some(late) => late,
                None if has_next => self.to_come.pop_front().unwrap(),
                None => return,
            };
            if let Some(session) = self.session(next) {
                self.held.entry(session).or_default();
            }
            self.waiting.push_back(next);
        }
    }

    /// The running requests that compute something, and whether one was preempted.
    fn plan_running(&mut self, budget: &mut u64) -> (Vec<usize>, bool) {
        let (mut step, mut preempted) = (Vec::new(), false);
        while step.len() < self.running.len() && *budget > 0 {
            let k = self.running[step.len()];
            let tokens = (self.states[k].known - self.states[k].computed).min(*budget);
            let blocks = (self.states[k].computed + tokens).div_ceil(self.size) as usize;
            while blocks.saturating_sub(self.states[k].blocks.len()) > self.pool.free.len() {
                preempted = true;
                let last = self.running.pop().unwrap();
                self.pool.release(&std::mem::take(&mut self.states[last].blocks));
                (self.states[last].computed, self.states[last].filled) = (0, 0);
                self.waiting.push_front(last);
                if last == k {
                    return (step, true);
                }
            }
            step.push(k);
            self.compute(k, tokens);
            *budget -= tokens;
        }
        (step, preempted)
    }

    fn admit(&mut self, budget: &mut u64, step: &mut Vec<usize>) {
        while *budget > 0 && self.running.len() < self.load.at_a_time && !self.waiting.is_empty() {
            let k = self.waiting[0];
            let state = &mut self.states[k];
            let limit = (state.known.saturating_sub(1) / self.size) as usize;
            let ids = &self.requests[k].ids;
            let found = self.pool.find(&ids[..limit.min(ids.len())]);
            let idle = found.iter().filter(|&&block| self.pool.users[block] == 0).count();
            if state.known.div_ceil(self.size) as usize - found.len() + idle > self.pool.free.len() {
                return;
            }
            self.waiting.pop_front();
            self.running.push(k);
            self.pool.share(&found);
            let hit = found.len() as u64 * self.size;
            self.again += u64::from(state.was_admitted);
            self.hits[k] = self.hits[k].or(Some(hit));
            (state.computed, state.filled, state.blocks, state.was_admitted) =
                (hit, found.len(), found, true);
            let tokens = (state.known - hit).min(*budget);
            step.push(k);
            self.compute(k, tokens);
            *budget -= tokens;
        }
    }

    fn compute(&mut self, k: usize, tokens: u64) {
        let state = &mut self.states[k];
        state.computed += tokens;
        while (state.blocks.len() as u64) < state.computed.div_ceil(self.size) {
            state.blocks.push(self.pool.take());
        }
        self.fill(k);
    }

    /// The full blocks can be found of which all tokens are known.
    fn fill(&mut self, k: usize) {
        let state = &mut self.states[k];
        while (state.filled as u64 + 1) * self.size <= state.computed.min(state.known) {
            self.pool.fill(state.blocks[state.filled], self.requests[k].ids[state.filled]);
            state.filled += 1;
        }
    }

    /// The end of a step for a request.
    fn end(&mut self, k: usize) {
        let state = &mut self.states[k];
        if state.computed < state.known {
            return;
        }
        state.known += 1;
        self.fill(k);
        let state = &mut self.states[k];
        if state.known < self.requests[k].prompt + self.requests[k].answer {
            return;
        }
        self.pool.release(&std::mem::take(&mut state.blocks));
        self.running.retain(|&other| other != k);
        let Some(session) = self.session(k) else { return };
        match self.held.get_mut(&session).and_then(VecDeque::pop_front) {
            Some(next) => self.late.push_back(next),
            None => drop(self.held.remove(&session)),
        }
    }
}
