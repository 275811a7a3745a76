//! Which request of a trace follows which, and how.
//!
//! Every request that shares more than the core follows the last request that used its deepest known block.
//! The core are full blocks that are shared by sessions which have nothing else in common: those of at least
//! `min_count` sessions, and of half a per cent of all, that are used over most of the trace.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::prefixes::Prefixes;
use super::quantiles::sessions_up_to;
use super::state::{Delays, Kind, State, Step, less};
use crate::synth::forest::{Forest, ROOT};
use crate::synth::request::{NO_OUTPUT, Span, tokens};

/// A core block is used by this share of the sessions, at least.
const CORE_SHARE: f64 = 0.005;

/// The trace is cut into so many parts, and a core block is used in at least so many of them.
const PARTS: usize = 16;
const CORE_PARTS: u32 = 6;

/// Stands for no request.
pub(super) const NONE: u32 = u32::MAX;

/// A request, and where it belongs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Linked {
    pub(super) state: State,
    /// The request that it follows, or [`NONE`].
    pub(super) before: u32,
    /// The request that began the session: all that follow one another, branches included.
    pub(super) session: u32,
    /// Number of the prefix of its session.
    pub(super) prefix: u32,
    /// Seconds since the request before it in the session.
    pub(super) delay: f64,
}

/// A trace as sessions.
pub(super) struct Links {
    pub(super) requests: Vec<Linked>,
    pub(super) prefixes: Prefixes,
    pub(super) delays: Delays,
}

impl Links {
    /// How many sessions there are.
    pub(super) fn sessions(&self) -> usize {
        self.requests.iter().filter(|request| request.before == NONE).count()
    }
}

/// What the blocks say of each request.
struct Found {
    /// Seconds since the first request.
    time: f64,
    input: u64,
    output: u64,
    blocks: u32,
    known: u32,
    /// Last user of the deepest known block.
    user: u32,
}

/// Links the requests of a trace.
pub(super) fn link(forest: &Forest, min_count: usize) -> Links {
    let found = last_users(forest);
    let chains = chains(forest, &found);
    let is_core = core_blocks(forest, &found, &chains, min_count);
    let roots = |is_core: &dyn Fn(u32) -> bool| -> Vec<Option<u32>> {
        let core_of = core_depths(forest, is_core);
        let root = |(found, core): (&Found, (u32, u32))| {
            (found.known <= core.0 || found.user == NONE).then_some(core.1)
        };
        found.iter().zip(core_of).map(root).collect()
    };
    // Blocks below prefixes of too few sessions are no core, which makes requests that share them follow one
    // another.
    let starts = roots(&|block| is_core[block as usize]);
    let first = Prefixes::new(forest, starts.iter().flatten().copied(), min_count);
    let starts = roots(&|block| first.contains(block));
    let prefixes = Prefixes::new(forest, starts.iter().flatten().copied(), min_count);
    let delays = delays(forest, &found, &starts);
    let mut requests: Vec<Linked> = Vec::with_capacity(found.len());
    for (i, (found_here, start)) in found.iter().zip(&starts).enumerate() {
        let linked = match start {
            Some(end) => {
                let prefix = prefixes.of_block(forest, *end);
                let core = prefixes.depth(prefix);
                let state = State::start(
                    found_here.input,
                    found_here.output,
                    core,
                    forest.block_size,
                    found_here.time,
                );
                Linked { state, before: NONE, session: i as u32, prefix, delay: 0.0 }
            }
            None => follow(found_here, &found, &requests, &delays, forest.block_size),
        };
        requests.push(linked);
    }
    pool_rare(&mut requests, min_count);
    Links { requests, prefixes, delays }
}

/// Counts a kind of which too few sessions tell as the kind that it is a special case of.
fn pool_rare(requests: &mut [Linked], min_count: usize) {
    for (special, general) in [(Kind::Document, Kind::Fork), (Kind::Repeat, Kind::Next)] {
        let is_rare = |kind: Kind| {
            let sessions = requests.iter().filter(|request| request.state.kind == kind);
            sessions_up_to(min_count, sessions.map(|request| request.session)) < min_count
        };
        if is_rare(special) || (special == Kind::Repeat && is_rare(general)) {
            for request in requests.iter_mut().filter(|request| request.state.kind == special) {
                request.state.kind = general;
            }
        }
    }
}

/// A request that follows another.
fn follow(here: &Found, found: &[Found], requests: &[Linked], delays: &Delays, block_size: u64) -> Linked {
    let before = &requests[here.user as usize];
    let user = &found[here.user as usize];
    let kind = if here.known >= user.blocks && !user.input.is_multiple_of(block_size) {
        Kind::Repeat
    } else if here.known + 1 >= user.blocks && here.blocks >= user.blocks {
        Kind::Next
    } else if here.known == before.state.base && here.known > before.state.core {
        Kind::Document
    } else {
        Kind::Fork
    };
    let delay = here.time - user.time;
    let step = Step {
        kind,
        input: here.input,
        output: here.output,
        shared: here.known,
        log_delay: delays.log(delay, user.output),
        time: here.time,
    };
    Linked {
        state: before.state.next(step, block_size),
        before: here.user,
        session: before.session,
        prefix: before.prefix,
        delay,
    }
}

/// What each request shares, and with whom.
fn last_users(forest: &Forest) -> Vec<Found> {
    let blocks = forest.requests.last().map_or(0, |last| last.first_new as usize + last.new as usize);
    let mut users = vec![NONE; blocks];
    let mut spans: Vec<Span> = Vec::new();
    let mut time = 0.0;
    let mut found = Vec::with_capacity(forest.requests.len());
    for (i, request) in forest.requests.iter().enumerate() {
        time += forest.gaps.get(i).map_or(if i > 0 { 1.0 } else { 0.0 }, |gap| gap / 1000.0);
        let count = request.known + request.new;
        let user = if request.parent == ROOT { NONE } else { users[request.parent as usize] };
        forest.path(request, &mut spans);
        for span in &spans {
            users[span.start as usize..span.start as usize + span.len as usize].fill(i as u32);
        }
        found.push(Found {
            time,
            input: tokens(u64::from(count), request.tail, forest.block_size),
            output: if request.output == NO_OUTPUT { 0 } else { u64::from(request.output) },
            blocks: count,
            known: request.known,
            user,
        });
    }
    found
}

/// More requests than these that leave the same block are not turns of one conversation.
const SAME_BLOCK: u32 = 3;

/// The first request of the conversation that each one continues. A next turn too small for a block of its own
/// looks like another user of a long system prompt; but turns seldom leave the same block again and again.
fn chains(forest: &Forest, found: &[Found]) -> Vec<u32> {
    let mut left: HashMap<u32, u32, RandomState> = HashMap::default();
    let mut chains: Vec<u32> = Vec::with_capacity(found.len());
    for (i, here) in found.iter().enumerate() {
        let continued = found.get(here.user as usize).is_some_and(|user| {
            here.known >= 2 && here.known + 1 >= user.blocks && here.blocks >= user.blocks
        });
        let before = left.entry(forest.requests[i].parent).or_default();
        *before += 1;
        let goes_on = continued && *before <= SAME_BLOCK;
        chains.push(if goes_on { chains[here.user as usize] } else { i as u32 });
    }
    chains
}

/// The part of the trace that each request is in: parts are as long as each other, or, where most of them have hardly a
/// request, as large.
fn parts_of(found: &[Found]) -> Vec<u8> {
    let span = found.last().map_or(0.0, |last| last.time) + 1e-9;
    let of_time = |found: &Found| ((PARTS as f64 * found.time / span) as usize).min(PARTS - 1) as u8;
    let parts: Vec<u8> = found.iter().map(of_time).collect();
    let mut counts = [0; PARTS];
    parts.iter().for_each(|&part| counts[usize::from(part)] += 1);
    if counts.iter().filter(|&&count| 100 * count >= found.len()).count() >= CORE_PARTS as usize {
        return parts;
    }
    (0..found.len()).map(|i| (PARTS * i / found.len()) as u8).collect()
}

/// Which blocks may be core.
fn core_blocks(forest: &Forest, found: &[Found], chains: &[u32], min_count: usize) -> Vec<bool> {
    if !forest.has_ids() {
        return Vec::new();
    }
    let blocks = forest.requests.last().map_or(0, |last| last.first_new as usize + last.new as usize);
    let (mut last, mut users, mut parts) = (vec![NONE; blocks], vec![0_u32; blocks], vec![0_u16; blocks]);
    // Conversation by conversation, so that each counts once.
    let mut order: Vec<u32> = (0..found.len() as u32).collect();
    order.sort_by_key(|&i| chains[i as usize]);
    let mut spans = Vec::new();
    let parts_of = parts_of(found);
    for i in order {
        let (i, chain) = (i as usize, chains[i as usize]);
        let part = 1 << parts_of[i];
        forest.path(&forest.requests[i], &mut spans);
        for block in spans.iter().flat_map(Span::ids) {
            let block = block as usize;
            users[block] += u32::from(last[block] != chain);
            last[block] = chain;
            parts[block] |= part;
        }
    }
    let conversations = chains.iter().enumerate().filter(|&(i, &chain)| i as u32 == chain).count();
    let enough = (CORE_SHARE * conversations as f64).max(min_count as f64);
    let mut core: Vec<bool> = users
        .iter()
        .zip(parts)
        .map(|(&users, parts)| f64::from(users) >= enough && parts.count_ones() >= CORE_PARTS)
        .collect();
    // A partial block cannot be continued.
    for request in &forest.requests {
        if request.new > 0 && u64::from(request.tail) < forest.block_size {
            core[(request.first_new + request.new - 1) as usize] = false;
        }
    }
    core
}

/// How many blocks of core each request begins with, and the last of them.
fn core_depths(forest: &Forest, is_core: &dyn Fn(u32) -> bool) -> Vec<(u32, u32)> {
    if !forest.has_ids() {
        return vec![(0, ROOT); forest.requests.len()];
    }
    let mut depths: Vec<(u32, u32)> = Vec::with_capacity(forest.requests.len());
    for request in &forest.requests {
        // As far as the request that added what is known, which comes before.
        let above = if request.parent == ROOT { (0, ROOT) } else { depths[forest.owner(request.parent)] };
        let known = if above.0 < request.known { above } else { (request.known, request.parent) };
        let new = request.first_new..request.first_new + request.new;
        let core = new.take_while(|&block| known.0 == request.known && is_core(block));
        depths.push(core.fold(known, |(depth, _), block| (depth + 1, block)));
    }
    depths
}

/// So many delays tell which unit they have.
const ENOUGH: usize = 50;

/// The clock of the trace.
fn delays(forest: &Forest, found: &[Found], starts: &[Option<u32>]) -> Delays {
    let mut delays = Delays { tick: tick(found), ..Delays::default() };
    let follows = || found.iter().zip(starts).filter(|(_, start)| start.is_none()).map(|(here, _)| here);
    let delay = |here: &Found| here.time - found[here.user as usize].time;
    if forest.gaps.is_empty() || follows().count() <= ENOUGH || delays.tick > 0.0 {
        return delays;
    }
    for unit in [1.0, 0.5, 0.1] {
        let is_multiple = |delay: f64| (delay / unit - (delay / unit).round()).abs() * unit < 0.0015;
        let multiples = follows().filter(|here| is_multiple(delay(here))).count();
        if multiples as f64 > 0.8 * follows().count() as f64 {
            delays.unit = unit;
            return delays;
        }
    }
    // What the fastest of the turns waited per token of the output that they contain.
    let mut paces: Vec<f64> = follows()
        .filter(|here| here.known + 1 >= found[here.user as usize].blocks)
        .filter(|here| found[here.user as usize].output >= 20)
        .map(|here| delay(here) / found[here.user as usize].output as f64)
        .collect();
    if paces.len() > ENOUGH {
        paces.sort_unstable_by(f64::total_cmp);
        let fastest = &paces[..(paces.len() / 100).max(10)];
        let pace = fastest.iter().sum::<f64>() / fastest.len() as f64;
        delays.per_output_token = f64::from(super::quantiles::rounded(pace.max(0.0)));
    }
    delays
}

/// Seconds between the ticks at which requests arrive, if they arrive at ticks.
fn tick(found: &[Found]) -> f64 {
    let mut gaps: Vec<f64> = found.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
    let together = gaps.iter().filter(|&&gap| gap < 0.02).count();
    if (together as f64) < 0.3 * gaps.len() as f64 {
        return 0.0;
    }
    gaps.retain(|&gap| gap > 0.0);
    if gaps.len() <= ENOUGH {
        return 0.0;
    }
    gaps.sort_unstable_by(f64::total_cmp);
    let guess = gaps[gaps.len() / 2];
    // The tick for which the times are nearest to its multiples.
    let (mut products, mut squares) = (0.0, 0.0);
    for here in found {
        let place = (here.time / guess).round();
        products += place * here.time;
        squares += place * place;
    }
    let tick = if squares > 0.0 { products / squares } else { guess };
    let off = |here: &&Found| ((here.time / tick).round() * tick - here.time).abs() < 0.02 * tick;
    let near = found.iter().filter(off).count();
    if tick > 0.05 && near as f64 > 0.97 * found.len() as f64 { (tick * 1e4).round() / 1e4 } else { 0.0 }
}

/// Growth of the prompt since the request before.
pub(super) fn growth(requests: &[Linked], request: &Linked) -> i64 {
    less(request.state.input, requests[request.before as usize].state.input)
}
