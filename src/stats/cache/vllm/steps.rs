//! Requests that are in the engine together: the steps of vLLM's scheduler.
//!
//! In a step, each running request gets what is left of the budget of tokens, up to all that it has to
//! compute: a chunk of its prompt, or one token of its answer. Blocks for these are taken at once. Where
//! there are too few, the request that was admitted last is put back to the front of the queue, and gives
//! its blocks up. If nobody was put back, waiting requests are admitted in order, as long as the whole
//! prompt of the first one fits into the free blocks; nobody overtakes. A full block can be found from the
//! moment when its tokens are scheduled, and what nobody uses any more goes back to the pool at the end of
//! the step.
//!
//! The asynchronous scheduler plans a step before the one before has ended.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::stats::cache::load::{Load, LoadFigures, Service};
use crate::stats::cache::vllm::pool::{Pool, Slot};
use crate::stats::cache::vllm::source::{Request, Source};
use crate::stats::hit_count::{HitCount, Tally};

/// A request in the engine.
struct Job {
    request: Rc<Request>,
    /// Tokens that are known: the prompt, and the answer so far.
    known: u64,
    /// Tokens of the answer so far.
    made: u64,
    /// Tokens that are computed, or scheduled.
    computed: u64,
    /// Its blocks, and how many of them can be found.
    slots: Vec<Slot>,
    filled: usize,
    has_ended: bool,
    was_preempted: bool,
    /// Tokens of the answer that are being sampled in steps that have not ended.
    unseen: u64,
    /// Tokens scheduled in steps that have not ended.
    in_flight: u64,
    /// Of these, those that were scheduled before it was put back.
    stale: u64,
}

/// What a step computes for a request.
struct Share {
    job: usize,
    tokens: u64,
    /// Whether a token of the answer is sampled.
    samples: bool,
}

/// A step whose end has not been noted.
struct Step {
    shares: Vec<Share>,
    end: i128,
}

/// What has been counted of measured requests.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) all: Tally,
    pub(super) hits: Tally,
    load: LoadFigures,
    running: u64,
}

/// An engine that serves several requests at a time.
pub(super) struct Steps {
    count: HitCount,
    load: Load,
    /// Nanoseconds per token and per step.
    clock: (i128, i128),
    pool: Pool,
    source: Source,
    jobs: Vec<Job>,
    vacant: Vec<usize>,
    running: Vec<usize>,
    waiting: VecDeque<usize>,
    flight: VecDeque<Step>,
    spare: Vec<Vec<Share>>,
    now: i128,
    /// When the last planned step ends.
    busy: i128,
    counts: Counts,
    /// Requests that have been admitted for the first time, and their hits in tokens; if wanted.
    pub(super) admitted: Option<Vec<(u64, u64)>>,
}

impl Steps {
    /// An engine with so many blocks. `has_hits` tells whether the hits of each request are wanted.
    pub(super) fn new(capacity: u64, count: HitCount, load: Load, has_hits: bool) -> Self {
        let loop_of = load.service.is_none().then_some(load.concurrency);
        Self {
            count,
            load,
            clock: load.service.map_or((0, 0), Service::clock),
            pool: Pool::new(capacity),
            source: Source::new(loop_of),
            jobs: Vec::new(),
            vacant: Vec::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            flight: VecDeque::new(),
            spare: Vec::new(),
            now: 0,
            busy: 0,
            counts: Counts::default(),
            admitted: has_hits.then(Vec::new),
        }
    }

    /// Takes the next request of the trace, which fits into the cache, and goes on as far as the one after
    /// it makes no difference.
    pub(super) fn push(&mut self, request: Rc<Request>) {
        self.source.read(request);
        self.run();
    }

    /// There are no more requests: goes on to the end.
    pub(super) fn finish(&mut self) {
        self.source.end();
        self.run();
    }

    /// What has been counted so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// What happened so far, besides hits.
    pub(super) fn figures(&self) -> LoadFigures {
        let Counts { load, running, .. } = self.counts;
        let simulated_s = self.load.service.map(|_| self.now as f64 / 1e9);
        LoadFigures { mean_running: running as f64 / load.steps.max(1) as f64, simulated_s, ..load }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.pool.bytes() + self.source.bytes() + size_of::<Job>() * self.jobs.len()
    }

    fn run(&mut self) {
        loop {
            let in_engine = self.running.len() + self.waiting.len();
            if let Some(request) = self.source.enter(self.now, in_engine as u64) {
                let job = self.add(request);
                self.waiting.push_back(job);
                continue;
            }
            if self.source.is_starved() {
                return;
            }
            if self.running.is_empty() && self.waiting.is_empty() {
                let Some(arrival) = self.source.next_arrival() else { return };
                self.now = self.now.max(arrival);
                continue;
            }
            self.plan();
            if self.flight.len() > usize::from(self.load.async_scheduling) {
                self.complete();
            }
        }
    }

    fn add(&mut self, request: Rc<Request>) -> usize {
        let job = Job {
            known: request.prompt,
            request,
            made: 0,
            computed: 0,
            slots: Vec::new(),
            filled: 0,
            has_ended: false,
            was_preempted: false,
            unseen: 0,
            in_flight: 0,
            stale: 0,
        };
        if let Some(vacant) = self.vacant.pop() {
            self.jobs[vacant] = job;
            return vacant;
        }
        self.jobs.push(job);
        self.jobs.len() - 1
    }

    /// Schedules the next step.
    fn plan(&mut self) {
        let mut budget = self.load.step_tokens;
        let mut shares = self.spare.pop().unwrap_or_default();
        if !self.plan_running(&mut shares, &mut budget) {
            self.admit(&mut shares, &mut budget);
        }
        for share in &mut shares {
            let job = &mut self.jobs[share.job];
            job.computed += share.tokens;
            job.in_flight += share.tokens;
            share.samples = job.computed >= job.known + job.unseen;
            job.unseen += u64::from(share.samples);
        }
        if !shares.is_empty() || !self.load.async_scheduling {
            let (token, step) = self.clock;
            self.busy = self.busy.max(self.now) + step + token * i128::from(self.load.step_tokens - budget);
            self.counts.load.steps += 1;
            self.counts.running += self.running.len() as u64;
        }
        self.flight.push_back(Step { shares, end: self.busy });
    }

    /// Gives running requests their shares; whether one was put back.
    fn plan_running(&mut self, shares: &mut Vec<Share>, budget: &mut u64) -> bool {
        let mut preempted = false;
        let mut place = 0;
        while place < self.running.len() && *budget > 0 {
            let index = self.running[place];
            let job = &self.jobs[index];
            let tokens = (job.known + job.unseen - job.computed).min(*budget);
            let whole = job.request.prompt + job.request.answer;
            // Its last token may be on its way.
            let is_last = job.unseen > 0 && job.computed + 2 - job.unseen >= whole;
            if tokens == 0 || is_last {
                place += 1;
                continue;
            }
            let end = job.computed + tokens;
            while self.missing(index, end) > self.pool.free() {
                preempted = true;
                if self.preempt_last() == Some(index) {
                    return true;
                }
            }
            self.grow(index, end);
            shares.push(Share { job: index, tokens, samples: false });
            *budget -= tokens;
            place += 1;
        }
        preempted
    }

    /// Blocks that a request needs to get to `end`, besides those that it has.
    #[inline]
    fn missing(&self, index: usize, end: u64) -> u64 {
        let has = self.jobs[index].slots.len() as u64;
        if end <= has * self.count.block_size { 0 } else { end.div_ceil(self.count.block_size) - has }
    }

    /// Puts back the request that was admitted last.
    fn preempt_last(&mut self) -> Option<usize> {
        let last = self.running.pop()?;
        let job = &mut self.jobs[last];
        self.pool.release(&job.slots);
        job.slots.clear();
        (job.computed, job.filled, job.unseen) = (0, 0, 0);
        job.was_preempted = true;
        job.stale = job.in_flight;
        self.waiting.push_front(last);
        Some(last)
    }

    /// Takes blocks up to `end`. Those can be found whose tokens are known.
    #[inline]
    fn grow(&mut self, index: usize, end: u64) {
        let missing = self.missing(index, end);
        let job = &mut self.jobs[index];
        self.pool.take(missing, &mut job.slots);
        fill(&mut self.pool, job, end.min(job.known), self.count.block_size);
    }

    /// Admits waiting requests in order.
    fn admit(&mut self, shares: &mut Vec<Share>, budget: &mut u64) {
        let mut passed = Vec::new();
        while *budget > 0
            && (self.running.len() as u64) < self.load.concurrency
            && let Some(&index) = self.waiting.front()
        {
            let job = &mut self.jobs[index];
            if job.stale > 0 {
                // It is still part of a step that has not ended.
                passed.extend(self.waiting.pop_front());
                continue;
            }
            let limit = (job.known.saturating_sub(1) / self.count.block_size) as usize;
            let names = &job.request.names;
            self.pool.find(&names[..limit.min(names.len())], &mut job.slots);
            let hit = job.slots.len() as u64;
            let hit_tokens = hit * self.count.block_size;
            let idle = self.pool.count_free(&job.slots);
            let tokens = (job.known - hit_tokens).min(*budget);
            // All of its prompt must fit, though only a chunk of it may be computed now.
            if job.known.div_ceil(self.count.block_size) - hit + idle > self.pool.free() {
                job.slots.clear();
                break;
            }
            self.waiting.pop_front();
            self.running.push(index);
            self.pool.share(&job.slots);
            (job.filled, job.computed) = (hit as usize, hit_tokens);
            self.count_hit(index, hit_tokens);
            self.grow(index, hit_tokens + tokens);
            shares.push(Share { job: index, tokens, samples: false });
            *budget -= tokens;
        }
        passed.into_iter().rev().for_each(|index| self.waiting.push_front(index));
    }

    fn count_hit(&mut self, index: usize, hit_tokens: u64) {
        let job = &self.jobs[index];
        if let Some(admitted) = self.admitted.as_mut().filter(|_| !job.was_preempted) {
            admitted.push((job.request.index, hit_tokens));
        }
        if !job.request.is_measured {
            return;
        }
        let counts = &mut self.counts;
        if job.was_preempted {
            counts.load.preempted_requests += 1;
            counts.load.preempted_tokens += u128::from(job.known);
            counts.load.preempted_hit_tokens += u128::from(hit_tokens);
        } else {
            counts.all.add(job.known, self.count);
            counts.hits.add(hit_tokens, self.count);
        }
    }

    /// Notes the end of the oldest step.
    fn complete(&mut self) {
        let Some(Step { mut shares, end }) = self.flight.pop_front() else { return };
        self.now = self.now.max(end);
        let mut ended = false;
        for share in shares.drain(..) {
            let job = &mut self.jobs[share.job];
            job.in_flight -= share.tokens;
            if job.has_ended {
                if job.in_flight == 0 {
                    self.vacant.push(share.job);
                }
                continue;
            }
            let is_stale = job.stale > 0;
            job.stale = job.stale.saturating_sub(share.tokens);
            if !share.samples {
                continue;
            }
            job.known += 1;
            job.made += 1;
            if !is_stale {
                job.unseen -= 1;
                let known = job.computed - job.unseen;
                fill(&mut self.pool, job, known, self.count.block_size);
            }
            if job.made == job.request.answer {
                self.pool.release(&job.slots);
                job.has_ended = true;
                ended = true;
                self.source.leave(&job.request);
            }
        }
        self.spare.push(shares);
        if ended {
            self.leave();
        }
    }

    /// Requests that have ended leave the engine.
    fn leave(&mut self) {
        let Self { jobs, vacant, running, waiting, .. } = self;
        let mut stays = |index: &usize| {
            let job = &jobs[*index];
            if job.has_ended && job.in_flight == 0 {
                vacant.push(*index);
            }
            !job.has_ended
        };
        running.retain(&mut stays);
        waiting.retain(&mut stays);
    }
}

/// The full blocks up to `end` can be found.
#[inline]
fn fill(pool: &mut Pool, job: &mut Job, end: u64, block_size: u64) {
    while (job.filled as u64 + 1) * block_size <= end {
        pool.fill(job.slots[job.filled], job.request.names[job.filled]);
        job.filled += 1;
    }
}
