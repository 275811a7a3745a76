//! What becomes of the prompt tokens of each request in LRU caches of some capacities and times to live.
//!
//! A cache serves a prefix, so the fates of a prompt's tokens follow each other in its order: what the cache
//! serves, what it would have served with more room, with more time, by other rules, and what nobody has had
//! before. Each border is the hit of some cache, so the fates add up to the prompt whatever the ids are.
//!
//! Where both room and time have run out, time wins: a token is evicted only if a larger cache with the same
//! time to live would have served it. Hence what expires does not depend on the capacity.

use crate::stats::cache::fates::{
    DepthRow, Fates, KnownTokens, LastUse, MissFigures, MissRow, SessionSources,
};
use crate::stats::cache::options::CacheOptions;
use crate::stats::cache::stack::{Retained, StackRun};
use crate::stats::hit_count::HitCount;
use crate::stats::seen::{Cached, Seen};
use crate::stats::statistic::Bytes;
use hdrhistogram::Histogram;

/// Tokens of the first stretch of prompts; each further one ends at twice the depth.
const FIRST_STRETCH: u64 = 256;

/// Consecutive known blocks of a request that were last used by the same earlier one.
struct KnownRun {
    /// How many blocks of the prompt are before them.
    start: u64,
    len: u64,
    /// The least capacity that holds the first of them is one more; each further one takes one more block.
    distance: u64,
    /// When they were used last, in milliseconds of trace time.
    time: f64,
    is_same_session: bool,
}

/// Where the fates of the tokens of a prompt end.
#[derive(Clone, Copy)]
struct Borders {
    hit: u64,
    evicted: u64,
    expired: u64,
    rules: u64,
    length: u64,
}

impl Borders {
    /// The fates of the tokens from `from` to `to`.
    fn fates(self, from: u64, to: u64) -> Fates {
        let part = |a: u64, b: u64| u128::from(b.min(to).saturating_sub(a.max(from)));
        Fates {
            hit: part(0, self.hit),
            evicted: part(self.hit, self.evicted),
            expired: part(self.evicted, self.expired),
            rules: part(self.expired, self.rules),
            cold: part(self.rules, self.length),
            elsewhere: 0,
            tokens: part(0, self.length),
        }
    }
}

/// How long ago tokens had been used.
struct LastUses {
    milliseconds: Histogram<u64>,
    blocks: Histogram<u64>,
}

impl LastUses {
    /// `None` never comes: three digits are within the library's limits.
    fn new() -> Option<Self> {
        Some(Self { milliseconds: Histogram::new(3).ok()?, blocks: Histogram::new(3).ok()? })
    }

    /// Counts the tokens from `from` to `to` as far as they are in `run`, at trace time `now`.
    fn add(&mut self, run: &KnownRun, block_size: u64, (from, to): (u64, u64), now: f64) {
        let (first, last) = (from.max(run.start * block_size), to.min((run.start + run.len) * block_size));
        if first >= last {
            return;
        }
        // The histograms grow with their values, so none is out of range.
        self.milliseconds.record_n((now - run.time) as u64, last - first).ok();
        for block in first / block_size..last.div_ceil(block_size) {
            let tokens = last.min((block + 1) * block_size) - first.max(block * block_size);
            self.blocks.record_n(run.distance + block - run.start, tokens).ok();
        }
    }

    /// In seconds only if the trace has times.
    fn figures(&self, has_times: bool) -> Option<LastUse> {
        let seconds =
            |share: f64| has_times.then(|| self.milliseconds.value_at_quantile(share) as f64 / 1000.0);
        (!self.blocks.is_empty()).then(|| LastUse {
            median_s: seconds(0.5),
            p90_s: seconds(0.9),
            median_blocks: self.blocks.value_at_quantile(0.5),
            p90_blocks: self.blocks.value_at_quantile(0.9),
        })
    }

    fn bytes(&self) -> usize {
        size_of::<u64>() * (self.milliseconds.distinct_values() + self.blocks.distinct_values())
    }
}

/// What became of tokens in one cache so far.
struct OneCache {
    capacity: Option<u64>,
    ttl: Option<u64>,
    same_session: KnownTokens,
    other_sessions: KnownTokens,
    evicted: Option<LastUses>,
    expired: Option<LastUses>,
    depth: Vec<Fates>,
}

impl OneCache {
    fn new(capacity: Option<u64>, ttl: Option<u64>) -> Self {
        Self {
            capacity,
            ttl,
            same_session: KnownTokens::default(),
            other_sessions: KnownTokens::default(),
            evicted: LastUses::new(),
            expired: LastUses::new(),
            depth: Vec::new(),
        }
    }

    /// How many of the known blocks are there; where only the time to live counts, with any capacity.
    fn held(&self, runs: &[KnownRun], now: f64, has_room: bool) -> u64 {
        let capacity = self.capacity.filter(|_| !has_room).unwrap_or(u64::MAX);
        let mut blocks = 0;
        for run in runs {
            let is_alive = self.ttl.is_none_or(|ttl| now - run.time <= ttl as f64);
            let fit = if is_alive { capacity.saturating_sub(run.distance).min(run.len) } else { 0 };
            blocks += fit;
            if fit < run.len {
                break;
            }
        }
        blocks
    }

    /// Takes a request whose prompt ends its fates at these places.
    fn add(&mut self, borders: Borders, runs: &[KnownRun], block_size: u64, now: f64) {
        let mut from = 0;
        for stretch in 0.. {
            let to = end_of_stretch(stretch);
            if stretch == self.depth.len() {
                self.depth.push(Fates::default());
            }
            self.depth[stretch] += borders.fates(from, to);
            if to >= borders.length {
                break;
            }
            from = to;
        }
        for run in runs {
            let known = borders.fates(run.start * block_size, (run.start + run.len) * block_size);
            let sum = if run.is_same_session { &mut self.same_session } else { &mut self.other_sessions };
            sum.hit += known.hit;
            sum.evicted += known.evicted;
            sum.expired += known.expired;
            let gone = [
                (&mut self.evicted, (borders.hit, borders.evicted)),
                (&mut self.expired, (borders.evicted, borders.expired)),
            ];
            for (uses, part) in gone {
                uses.iter_mut().for_each(|uses| uses.add(run, block_size, part, now));
            }
        }
    }

    fn row(&self, bytes: Option<u128>, has_times: bool) -> MissRow {
        let mut fates = Fates::default();
        self.depth.iter().for_each(|&part| fates += part);
        let depth = self.depth.iter().enumerate().map(|(stretch, &fates)| DepthRow {
            from_tokens: stretch.checked_sub(1).map_or(0, end_of_stretch),
            to_tokens: end_of_stretch(stretch),
            fates,
        });
        let last_use = |uses: &Option<LastUses>| uses.as_ref().and_then(|uses| uses.figures(has_times));
        MissRow {
            capacity_blocks: self.capacity,
            capacity_bytes: bytes,
            ttl_ms: self.ttl,
            fates,
            evicted_last_use: last_use(&self.evicted),
            expired_last_use: last_use(&self.expired),
            same_session: self.same_session,
            other_sessions: self.other_sessions,
            depth: depth.collect(),
        }
    }

    fn bytes(&self) -> usize {
        self.evicted.iter().chain(&self.expired).map(LastUses::bytes).sum()
    }
}

/// The depth in tokens at which a stretch of prompts ends.
fn end_of_stretch(stretch: usize) -> u64 {
    u32::try_from(stretch)
        .ok()
        .and_then(|n| FIRST_STRETCH.checked_shl(n))
        .filter(|&end| end > 0)
        .unwrap_or(u64::MAX)
}

/// What is kept of a request: 24 bytes.
#[derive(Clone, Copy)]
struct PastRequest {
    /// Trace time.
    time: f64,
    session: u64,
    /// Full blocks of the prompt.
    full_blocks: u64,
}

/// The fates of all tokens.
pub(super) struct Misses {
    count: HitCount,
    caches: Vec<OneCache>,
    /// By their numbers in the LRU stack.
    requests: Vec<PastRequest>,
    sessions: SessionSources,
    runs: Vec<KnownRun>,
    has_times: bool,
}

impl Misses {
    /// No request yet; caches of each capacity and time to live of `options`, and without a limit of either.
    pub(super) fn new(options: &CacheOptions, count: HitCount) -> Self {
        let capacities = options.capacities.iter().map(|&capacity| Some(capacity)).chain([None]);
        // Fates follow from the last use, so blocks that live from their write are not among them.
        let sliding = || options.ttls.iter().filter(|ttl| !ttl.is_fixed());
        let ttls = || [None].into_iter().chain(sliding().map(|ttl| Some(ttl.ms())));
        Self {
            count,
            caches: capacities.flat_map(|c| ttls().map(move |ttl| OneCache::new(c, ttl))).collect(),
            requests: Vec::new(),
            sessions: SessionSources::default(),
            runs: Vec::new(),
            has_times: false,
        }
    }

    /// Takes the next request, whose known prefix falls into `runs` of the stack.
    pub(super) fn access(&mut self, seen: &Seen, cached: &Cached, runs: &[StackRun]) {
        self.has_times |= seen.timestamp.is_some();
        let session = self.session(seen, runs);
        // Trace time never is less than zero, as for times to live.
        let now = seen.now.max(0.0);
        if seen.is_measured {
            self.know(runs, session);
            let borders = self.rules_border(seen, cached);
            let block_size = self.count.block_size;
            for cache in &mut self.caches {
                let hit =
                    |has_room| self.count.tokens(cache.held(&self.runs, now, has_room), seen.input_length);
                let borders = Borders { hit: hit(false), evicted: hit(true), ..borders };
                cache.add(borders, &self.runs, block_size, now);
            }
        }
        let full_blocks = seen.input_length / self.count.block_size;
        self.requests.push(PastRequest { time: now, session, full_blocks });
    }

    /// The borders that are the same in all caches: what an infinite one serves, and what it knows.
    fn rules_border(&self, seen: &Seen, cached: &Cached) -> Borders {
        let length = seen.input_length;
        let named = seen.engine.as_ref().map_or(0, |engine| engine.known);
        let known = cached.lookup.known.max(named);
        // Behind the last id of a list of full blocks there are tokens that no block holds.
        let is_all = seen.blocks.is_some_and(|blocks| known >= blocks);
        let possible = if is_all { length } else { (u64::from(known) * self.count.block_size).min(length) };
        Borders { hit: 0, evicted: 0, expired: cached.tokens, rules: possible.max(cached.tokens), length }
    }

    /// Notes what is known of the blocks of a request that belongs to `session`.
    fn know(&mut self, runs: &[StackRun], session: u64) {
        self.runs.clear();
        let (mut start, mut distance) = (0, 0);
        for run in runs {
            let last = &self.requests[run.request as usize];
            // A block behind one that is gone is of no use, so it needs as much room as that one.
            distance = run.distance.max(distance);
            self.runs.push(KnownRun {
                start,
                len: u64::from(run.len),
                distance: u64::from(distance),
                time: last.time,
                is_same_session: last.session == session,
            });
            start += u64::from(run.len);
            distance += run.len.saturating_sub(1);
        }
    }

    /// The session that a request names, or else that of its parent in the tree of prefixes: of the one that used
    /// its last known block last, if it begins with all full blocks of that one.
    fn session(&mut self, seen: &Seen, runs: &[StackRun]) -> u64 {
        // Names are hashes; numbers that are given here have no bit in common with them.
        const NAMED: u64 = 1 << 63;
        if let Some(session) = seen.session {
            self.sessions.named_requests += 1;
            return session | NAMED;
        }
        let known: u64 = runs.iter().map(|run| u64::from(run.len)).sum();
        let parent = runs.last().map(|run| self.requests[run.request as usize]);
        match parent.filter(|parent| (1..=known).contains(&parent.full_blocks)) {
            Some(parent) => {
                self.sessions.continued_requests += 1;
                parent.session
            }
            None => {
                self.sessions.new_requests += 1;
                self.sessions.new_requests
            }
        }
    }

    /// Goes on with the requests that are kept.
    pub(super) fn retain(&mut self, retained: &Retained) {
        retained.requests.compact(&mut self.requests);
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes {
            blocks: size_of::<PastRequest>() * self.requests.len(),
            curve: self.caches.iter().map(OneCache::bytes).sum(),
            ..Bytes::default()
        }
    }

    /// The figures so far.
    pub(super) fn figures(&self, options: &CacheOptions) -> MissFigures {
        let bytes = |capacity: Option<u64>| options.bytes(capacity?, self.count.block_size);
        let rows = self.caches.iter().map(|cache| cache.row(bytes(cache.capacity), self.has_times)).collect();
        MissFigures { rows, sessions: self.sessions }
    }
}
