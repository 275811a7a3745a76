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

/// The hits of each request in tokens, `None` where it does not fit, and how often a request was preempted
/// and admitted again; by the steps of a scheduler that ends a step before it plans the next.
pub fn serve(requests: &[Served], size: u64, capacity: usize, load: Load) -> (Vec<Option<u64>>, u64) {
    let mut pool = Blocks {
        holds: vec![None; capacity],
        users: vec![0; capacity],
        free: (0..capacity).collect(),
        clock: 0,
    };
    let mut states: Vec<State> =
        requests.iter().map(|r| State { known: r.prompt, ..State::default() }).collect();
    let fits = |r: &Served| (r.prompt + r.answer - 1).div_ceil(size) <= capacity as u64;
    let mut to_come: VecDeque<usize> = (0..requests.len()).filter(|&k| fits(&requests[k])).collect();
    let (mut running, mut waiting): (Vec<usize>, VecDeque<usize>) = (Vec::new(), VecDeque::new());
    // Turns of a session that is in the engine, and turns that may enter now.
    let mut held: BTreeMap<u64, VecDeque<usize>> = BTreeMap::new();
    let mut late: VecDeque<usize> = VecDeque::new();
    let (mut hits, mut again, mut now) = (vec![None; requests.len()], 0, 0);
    let session = |k: usize| requests[k].session.filter(|_| load.sessions);
    loop {
        // Who enters.
        loop {
            while let Some(&next) = to_come.front()
                && (load.clock.is_none() || requests[next].arrival <= now)
                && let Some(held) = session(next).and_then(|s| held.get_mut(&s))
            {
                held.push_back(next);
                to_come.pop_front();
            }
            if load.clock.is_none() && running.len() + waiting.len() >= load.at_a_time {
                break;
            }
            let arrived = |next: &usize| load.clock.is_none() || requests[*next].arrival <= now;
            let Some(next) = late.pop_front().or_else(|| to_come.pop_front_if(|next| arrived(next))) else {
                break;
            };
            if let Some(session) = session(next) {
                held.entry(session).or_default();
            }
            waiting.push_back(next);
        }
        if running.is_empty() && waiting.is_empty() {
            let Some(&next) = to_come.front() else { break };
            now = now.max(requests[next].arrival);
            continue;
        }
        let mut budget = load.step_tokens;
        let mut step: Vec<(usize, u64)> = Vec::new();
        let mut preempted = false;
        let mut place = 0;
        while place < running.len() && budget > 0 {
            let k = running[place];
            let tokens = (states[k].known - states[k].computed).min(budget);
            let blocks = (states[k].computed + tokens).div_ceil(size) as usize;
            while running.contains(&k) && blocks.saturating_sub(states[k].blocks.len()) > pool.free.len() {
                let last = running.pop().unwrap();
                pool.release(&std::mem::take(&mut states[last].blocks));
                (states[last].computed, states[last].filled) = (0, 0);
                waiting.push_front(last);
                preempted = true;
            }
            if !running.contains(&k) {
                break;
            }
            step.push((k, tokens));
            compute(&mut pool, &mut states[k], &requests[k], size, tokens);
            budget -= tokens;
            place += 1;
        }
        while !preempted && budget > 0 && running.len() < load.at_a_time && !waiting.is_empty() {
            let k = waiting[0];
            let limit = (states[k].known.saturating_sub(1) / size) as usize;
            let found = pool.find(&requests[k].ids[..limit.min(requests[k].ids.len())]);
            let idle = found.iter().filter(|&&block| pool.users[block] == 0).count();
            if states[k].known.div_ceil(size) as usize - found.len() + idle > pool.free.len() {
                break;
            }
            waiting.pop_front();
            running.push(k);
            pool.share(&found);
            let hit = found.len() as u64 * size;
            if states[k].was_admitted {
                again += 1
            } else {
                hits[k] = Some(hit)
            }
            let tokens = (states[k].known - hit).min(budget);
            let state = &mut states[k];
            (state.computed, state.filled, state.blocks, state.was_admitted) =
                (hit, found.len(), found, true);
            step.push((k, tokens));
            compute(&mut pool, &mut states[k], &requests[k], size, tokens);
            budget -= tokens;
        }
        let (per_token, per_step) = load.clock.unwrap_or_default();
        now += per_step + per_token * (load.step_tokens - budget) as i64;
        for (k, _) in step {
            let state = &mut states[k];
            if state.computed < state.known {
                continue;
            }
            state.known += 1;
            fill(&mut pool, state, &requests[k], size);
            if state.known == requests[k].prompt + requests[k].answer {
                pool.release(&std::mem::take(&mut state.blocks));
                running.retain(|&other| other != k);
                if let Some(session) = session(k) {
                    match held.get_mut(&session).and_then(VecDeque::pop_front) {
                        Some(next) => late.push_back(next),
                        None => drop(held.remove(&session)),
                    }
                }
            }
        }
    }
    (hits, again)
}

fn compute(pool: &mut Blocks, state: &mut State, request: &Served, size: u64, tokens: u64) {
    state.computed += tokens;
    while (state.blocks.len() as u64) < state.computed.div_ceil(size) {
        state.blocks.push(pool.take());
    }
    fill(pool, state, request, size);
}

/// The full blocks can be found of which all tokens are known.
fn fill(pool: &mut Blocks, state: &mut State, request: &Served, size: u64) {
    while (state.filled as u64 + 1) * size <= state.computed.min(state.known) {
        pool.fill(state.blocks[state.filled], request.ids[state.filled]);
        state.filled += 1;
    }
}
