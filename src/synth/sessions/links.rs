//! Which request of a trace follows which, and how.
//!
//! Every request that shares more than the core follows the last request that used its deepest known block.
//! The core are blocks that are shared by sessions which have nothing else in common: those of at least
//! `min_count` sessions, and of half a per cent of all, that are used over most of the trace. A partial block is
//! among them where it ends a prompt that is sent again and again, such as that of a health check: no session
//! goes on from it.

use std::collections::HashSet;
use std::ops::Range;

use foldhash::fast::RandomState;

use super::prefixes::Prefixes;
use super::quantiles::sessions_up_to;
use super::state::{Delays, Kind, State, Step, less};
use crate::synth::forest::{Forest, LearntRequest, ROOT};
use crate::synth::request::{NO_OUTPUT, tokens};

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
    /// Whether its output is known.
    pub(super) has_output: bool,
}

/// A trace as sessions.
pub(super) struct Links {
    pub(super) requests: Vec<Linked>,
    pub(super) prefixes: Prefixes,
    pub(super) delays: Delays,
    /// How many requests there are of each kind.
    pub(super) kinds: [usize; Kind::ALL.len()],
    /// How many more there were, in sessions that have far more than all but a few.
    pub(super) beyond: usize,
}

impl Links {
    /// How many sessions there are.
    pub(super) fn sessions(&self) -> usize {
        self.kinds[Kind::Start as usize]
    }

    /// How many requests of a kind there are; next turns are all that continue a conversation.
    pub(super) fn followers(&self, kind: Kind) -> usize {
        let repeated = if kind == Kind::Next { self.kinds[Kind::Repeat as usize] } else { 0 };
        self.kinds[kind as usize] + repeated
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
    /// Last user of the deepest known block, and the request that added that block.
    user: u32,
    owner: u32,
}

/// The blocks of a request, deepest first: ranges of them, each with the request that added it.
fn path<'a>(
    forest: &'a Forest,
    found: &'a [Found],
    request: usize,
) -> impl Iterator<Item = (usize, Range<u32>)> + 'a {
    let own = &forest.requests[request];
    let first = forest.has_ids().then(|| (request, own.first_new..own.first_new + own.new));
    std::iter::successors(first, |&(of, _)| {
        let parent = forest.requests[of].parent;
        let owner = found[of].owner as usize;
        (parent != ROOT).then(|| (owner, forest.requests[owner].first_new..parent + 1))
    })
}

/// How many blocks have a number.
fn blocks(forest: &Forest) -> usize {
    forest.requests.last().map_or(0, |last| last.first_new as usize + last.new as usize)
}

/// Links the requests of a trace.
pub(super) fn link(forest: &Forest, min_count: usize) -> Links {
    let found = last_users(forest);
    let chains = chains(forest, &found);
    let is_core = core_blocks(forest, &found, &chains, min_count);
    let roots = |is_core: &dyn Fn(u32) -> bool| -> Vec<Option<u32>> {
        let core_of = core_depths(forest, &found, is_core);
        let root = |(found, core): (&Found, (u32, u32))| {
            (found.known <= core.0 || found.user == NONE).then_some(core.1)
        };
        found.iter().zip(core_of).map(root).collect()
    };
    // Blocks below prefixes of too few sessions are no core, which makes requests that share them follow one
    // another.
    let starts = roots(&|block| is_core.contains(&block));
    let first = Prefixes::new(forest, starts.iter().flatten().copied(), min_count);
    let starts = roots(&|block| first.contains(block));
    let prefixes = Prefixes::new(forest, starts.iter().flatten().copied(), min_count);
    let delays = delays(forest, &found, &starts, min_count);
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
                Linked { state, before: NONE, session: i as u32, prefix, ..Linked::default() }
            }
            None => follow(found_here, &found, &requests, &delays, forest.block_size),
        };
        let has_output = forest.requests[i].output != NO_OUTPUT;
        requests.push(Linked { has_output, ..linked });
    }
    let all = requests.len();
    let mut requests = cut_off(requests, min_count);
    let beyond = all - requests.len();
    pool_rare(&mut requests, min_count);
    let mut kinds = [0; Kind::ALL.len()];
    requests.iter().for_each(|request| kinds[request.state.kind as usize] += 1);
    Links { requests, prefixes, delays, kinds, beyond }
}

/// A session that has so many times as many requests as `min_count` sessions have, and so many at all, is cut off
/// there: nothing would be learnt of the rest but that it goes on, and that of all sessions.
const FAR_LONGER: u32 = 4;
const MANY: u32 = 64;

/// The requests without those that are far beyond where all but a few sessions end.
fn cut_off(requests: Vec<Linked>, min_count: usize) -> Vec<Linked> {
    // Every session has the number of a request.
    let mut counts = vec![0_u32; requests.len()];
    requests.iter().for_each(|request| counts[request.session as usize] += 1);
    let mut longest = counts.clone();
    longest.sort_unstable_by(|a, b| b.cmp(a));
    let most = longest
        .get(min_count.max(1) - 1)
        .map_or(u32::MAX, |count| count.saturating_mul(FAR_LONGER).max(MANY));
    if longest.first().is_none_or(|&longest| longest <= most) {
        return requests;
    }
    counts.fill(0);
    let mut numbers = vec![NONE; requests.len()];
    let mut kept: Vec<Linked> = Vec::with_capacity(requests.len());
    for (request, number) in requests.into_iter().zip(0..) {
        let count = &mut counts[request.session as usize];
        *count += 1;
        if *count <= most {
            numbers[number] = kept.len() as u32;
            let before = numbers.get(request.before as usize).copied().unwrap_or(NONE);
            kept.push(Linked { before, session: numbers[request.session as usize], ..request });
        }
    }
    kept
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
        has_output: false,
    }
}

/// What each request shares, and with whom.
fn last_users(forest: &Forest) -> Vec<Found> {
    let mut users = vec![NONE; blocks(forest)];
    let mut time = 0.0;
    // Where it is not known, it is taken to be that of the request before.
    let is_known = |request: &&LearntRequest| request.output != NO_OUTPUT;
    let mut output = forest.requests.iter().find(is_known).map_or(0, |request| u64::from(request.output));
    let mut found: Vec<Found> = Vec::with_capacity(forest.requests.len());
    for (i, request) in forest.requests.iter().enumerate() {
        time += forest.gaps.get(i).map_or(if i > 0 { 1.0 } else { 0.0 }, |gap| gap / 1000.0);
        let count = request.known + request.new;
        let user = if request.parent == ROOT { NONE } else { users[request.parent as usize] };
        // It is on the path of the user, and nearer than a search among all requests.
        let mut owner = user;
        while owner != NONE && forest.requests[owner as usize].first_new > request.parent {
            owner = found[owner as usize].owner;
        }
        if is_known(&request) {
            output = u64::from(request.output);
        }
        found.push(Found {
            time,
            input: tokens(u64::from(count), request.tail, forest.block_size),
            output,
            blocks: count,
            known: request.known,
            user,
            owner,
        });
        for (_, blocks) in path(forest, &found, i) {
            users[blocks.start as usize..blocks.end as usize].fill(i as u32);
        }
    }
    found
}

/// More requests than these that leave the same block are not turns of one conversation.
const SAME_BLOCK: u8 = 3;

/// The first request of the conversation that each one continues. A next turn too small for a block of its own
/// looks like another user of a long system prompt; but turns seldom leave the same block again and again.
fn chains(forest: &Forest, found: &[Found]) -> Vec<u32> {
    let mut left = vec![0_u8; blocks(forest)];
    let mut chains: Vec<u32> = Vec::with_capacity(found.len());
    for (i, here) in found.iter().enumerate() {
        let continued = found.get(here.user as usize).is_some_and(|user| {
            here.known >= 2 && here.known + 1 >= user.blocks && here.blocks >= user.blocks
        });
        let mut goes_on = false;
        if let Some(before) = left.get_mut(forest.requests[i].parent as usize) {
            *before = before.saturating_add(1);
            goes_on = continued && *before <= SAME_BLOCK;
        }
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

/// Who uses a block.
#[derive(Clone, Copy)]
struct Users {
    /// The last conversation, and how many there are.
    last: u32,
    count: u32,
    /// Parts of the trace, a bit each.
    parts: u16,
}

/// Which blocks may be core.
fn core_blocks(
    forest: &Forest,
    found: &[Found],
    chains: &[u32],
    min_count: usize,
) -> HashSet<u32, RandomState> {
    let conversations = chains.iter().enumerate().filter(|&(i, &chain)| i as u32 == chain).count();
    let enough = (CORE_SHARE * conversations as f64).max(min_count as f64);
    // Blocks are counted one by one only where enough requests use the first that a request added.
    let mut requests = vec![0_u32; found.len()];
    (0..found.len()).flat_map(|i| path(forest, found, i)).for_each(|(of, _)| requests[of] += 1);
    let may_be = |of: usize| f64::from(requests[of]) >= enough;
    let mut starts = vec![0; found.len()];
    let mut blocks = 0;
    for (i, own) in forest.requests.iter().enumerate() {
        starts[i] = blocks;
        blocks += if may_be(i) { own.new as usize } else { 0 };
    }
    let mut users = vec![Users { last: NONE, count: 0, parts: 0 }; blocks];
    // Conversation by conversation, so that each counts once.
    let mut order: Vec<(u32, u32)> = chains.iter().copied().zip(0..).collect();
    order.retain(|&(_, i)| path(forest, found, i as usize).any(|(of, _)| may_be(of)));
    order.sort_unstable();
    let parts_of = parts_of(found);
    for (chain, i) in order {
        let part = 1 << parts_of[i as usize];
        for (of, blocks) in path(forest, found, i as usize).filter(|&(of, _)| may_be(of)) {
            for user in &mut users[starts[of]..starts[of] + blocks.len()] {
                user.count += u32::from(user.last != chain);
                user.last = chain;
                user.parts |= part;
            }
        }
    }
    let is_core = |users: &Users| f64::from(users.count) >= enough && users.parts.count_ones() >= CORE_PARTS;
    let mut core = HashSet::default();
    for (i, own) in forest.requests.iter().enumerate().filter(|&(i, _)| may_be(i)) {
        let counted = (own.first_new..own.first_new + own.new).zip(&users[starts[i]..]);
        core.extend(counted.filter(|(_, users)| is_core(users)).map(|(block, _)| block));
    }
    core
}

/// How many blocks of core each request begins with, and the last of them.
fn core_depths(forest: &Forest, found: &[Found], is_core: &dyn Fn(u32) -> bool) -> Vec<(u32, u32)> {
    if !forest.has_ids() {
        return vec![(0, ROOT); forest.requests.len()];
    }
    let mut depths: Vec<(u32, u32)> = Vec::with_capacity(forest.requests.len());
    for (request, found) in forest.requests.iter().zip(found) {
        // As far as the request that added what is known, which comes before.
        let above = if request.parent == ROOT { (0, ROOT) } else { depths[found.owner as usize] };
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
fn delays(forest: &Forest, found: &[Found], starts: &[Option<u32>], min_count: usize) -> Delays {
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
    // What the fastest turn of each session waited per token of the output that it contains, in the fastest sessions.
    let mut sessions: Vec<u32> = Vec::with_capacity(found.len());
    let mut paces = vec![f64::INFINITY; found.len()];
    for (i, (here, start)) in found.iter().zip(starts).enumerate() {
        if start.is_some() {
            sessions.push(i as u32);
            continue;
        }
        let (before, session) = (&found[here.user as usize], sessions[here.user as usize]);
        sessions.push(session);
        if here.known + 1 >= before.blocks && before.output >= 20 {
            let fastest = &mut paces[session as usize];
            *fastest = fastest.min(delay(here) / before.output as f64);
        }
    }
    paces.retain(|pace| pace.is_finite());
    if paces.len() > ENOUGH.max(min_count) {
        paces.sort_unstable_by(f64::total_cmp);
        let fastest = &paces[..(paces.len() / 100).max(10).max(min_count)];
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
