//! Drawing a session: a request, and what follows each of its requests.

use fastrand::Rng;

use super::draws::{ChanceDraw, NumberDraw};
use super::model::{Clock, Parts, PrefixEnd, Quantity};
use super::random::shuffle;
use super::state::{FEATURES, Kind, State, Step, log, signed_exp, signed_log, turn_class};
use crate::synth::core::Core;

/// Requests of a session, at most: a model from elsewhere might never end one.
const MOST_REQUESTS: f32 = 16_384.0;

/// How many times as many requests longer sessions have, at most.
const LONGER: f32 = 20.0;

/// Blocks of a prompt, at most.
const MOST_BLOCKS: u64 = 1 << 28;

/// A request of a drawn session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) state: State,
    /// The request of the session that it follows; its own number for the first.
    pub(super) before: u32,
}

/// A drawn session.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawn {
    pub(super) nodes: Vec<Node>,
    /// Number of its prefix.
    pub(super) prefix: usize,
}

/// All of one kind of request.
struct KindDraw {
    kind: Kind,
    chance: ChanceDraw,
    factor: f32,
    by_turn: Vec<f32>,
    more: f32,
    delay: NumberDraw,
    tokens: Option<NumberDraw>,
    output: NumberDraw,
    depth: Option<NumberDraw>,
}

/// Draws sessions.
pub(super) struct Spawner {
    block_size: u64,
    clock: Clock,
    /// Seconds of a pass.
    pass: f64,
    starts: [NumberDraw; 2],
    kinds: Vec<KindDraw>,
    repeat: Option<KindDraw>,
    prefixes: PrefixDraw,
    /// How much longer (above 0) or shorter (below) conversations are made.
    turns: f32,
    most_requests: usize,
}

/// What draws are given: the features of the request before, and what has been drawn of the next one.
type Seen = [f32; FEATURES + 5];

impl Spawner {
    /// Draws of a model whose parts are not missing. A pass over the trace takes `pass` seconds.
    pub(super) fn new(
        core: &Core,
        ends: &[PrefixEnd],
        parts: &Parts,
        block_size: u64,
        pass: f64,
    ) -> Option<Self> {
        let number = |what, of| parts.number(what, of).map(NumberDraw::new);
        let of_kind = |kind: Kind| {
            let chance = parts.chances.iter().find(|chance| chance.of == kind)?;
            Some(KindDraw {
                kind,
                chance: ChanceDraw::new(&chance.given),
                factor: chance.factor,
                by_turn: chance.by_turn.clone(),
                more: chance.more,
                delay: number(Quantity::Delay, kind)?,
                tokens: if kind == Kind::Repeat { None } else { Some(number(Quantity::Tokens, kind)?) },
                output: number(Quantity::Output, kind)?,
                depth: if kind == Kind::Fork { Some(number(Quantity::Depth, kind)?) } else { None },
            })
        };
        Some(Self {
            block_size,
            clock: parts.clock.clone(),
            pass,
            starts: [number(Quantity::Tokens, Kind::Start)?, number(Quantity::Output, Kind::Start)?],
            kinds: [Kind::Fork, Kind::Document, Kind::Next].into_iter().filter_map(of_kind).collect(),
            repeat: of_kind(Kind::Repeat),
            prefixes: PrefixDraw::new(core, ends),
            turns: 0.0,
            most_requests: MOST_REQUESTS as usize,
        })
    }

    /// Makes conversations longer or shorter: 1 never ends them, -1 ends them at once.
    pub(super) fn with_turns(mut self, turns: f64) -> Self {
        self.turns = turns as f32;
        let most = 2.0 * self.clock.most_requests * (1.0 + LONGER * self.turns.max(0.0));
        self.most_requests = most.clamp(16.0, MOST_REQUESTS) as usize;
        self
    }

    /// The place in the trace that a moment stands for, from 0 to 1. Only the first pass begins as the trace
    /// did, when nothing was open.
    fn phase(&self, time: f64) -> f32 {
        let place = time / self.pass;
        if place < 1.0 { place as f32 } else { (0.15 + 0.85 * place.fract()) as f32 }
    }

    /// The rank of a prefix by how many sessions have it.
    pub(super) fn rank(&self, prefix: usize) -> usize {
        self.prefixes.ranks[prefix]
    }

    /// Draws a session that begins at a moment, without the requests after `horizon`.
    pub(super) fn draw(&mut self, time: f64, horizon: f64, rng: &mut Rng, drawn: &mut Drawn) {
        drawn.nodes.clear();
        drawn.prefix = self.prefixes.draw(rng);
        let start = self.start(time, drawn.prefix, rng);
        drawn.nodes.push(Node { state: start, before: 0 });
        self.go_on(0, horizon, rng, drawn);
    }

    /// Draws anew what follows the requests of a session from this number on.
    pub(super) fn go_on(&mut self, mut at: usize, horizon: f64, rng: &mut Rng, drawn: &mut Drawn) {
        // The first request has its own number before it.
        let kept = 1 + drawn.nodes[1..].partition_point(|node| (node.before as usize) < at);
        drawn.nodes.truncate(kept);
        while at < drawn.nodes.len() && drawn.nodes.len() < self.most_requests {
            self.follow(at as u32, horizon, rng, &mut drawn.nodes);
            at += 1;
        }
    }

    fn start(&mut self, time: f64, prefix: usize, rng: &mut Rng) -> State {
        let core = self.prefixes.depths[prefix];
        let phase = self.phase(time);
        let [tokens, output] = &mut self.starts;
        let behind = u64::from(core) * self.block_size;
        let missing = self.block_size - u64::from(self.prefixes.tails[prefix]).min(self.block_size);
        let input = if missing > 0 {
            behind - missing
        } else {
            let new = signed_exp(tokens.draw(&[core as f32, phase], rng));
            (behind + new.max(0) as u64).min(MOST_BLOCKS * self.block_size)
        };
        let output = drawn_output(output.draw(&[core as f32, phase, log(input)], rng));
        State::start(input, output, core, self.block_size, time)
    }

    /// Appends the requests that follow one.
    fn follow(&mut self, at: u32, horizon: f64, rng: &mut Rng, nodes: &mut Vec<Node>) {
        let before = nodes[at as usize].state;
        if before.is_whole_prefix(self.block_size) {
            return;
        }
        let mut seen: Seen = [0.0; FEATURES + 5];
        seen[..FEATURES].copy_from_slice(&before.features(self.phase(before.time)));
        // Behind the features stands whether there are branches.
        for kind in 0..self.kinds.len() {
            let draw = &mut self.kinds[kind];
            let factor = draw.factor * draw.by_turn.get(turn_class(before.turn)).unwrap_or(&1.0);
            let turns = if draw.kind == Kind::Next { self.turns } else { 0.0 };
            let change = |chance: f32| {
                let chance = chance * factor;
                if turns > 0.0 { chance + (1.0 - chance).max(0.0) * turns } else { chance * (1.0 + turns) }
            };
            let mut count = u32::from(draw.chance.happens(&seen, change, rng));
            count += u32::from(count > 0 && rng.f32() < draw.more);
            if draw.kind == Kind::Document && before.base <= before.core {
                count = 0;
            }
            if draw.kind != Kind::Next && count > 0 {
                seen[FEATURES] = 1.0;
            }
            for _ in 0..count {
                let goes_on = self.kinds[kind].kind == Kind::Next;
                let repeats = goes_on
                    && self.repeat.as_mut().is_some_and(|draw| {
                        let factor = draw.factor;
                        draw.chance.happens(&seen, |chance| chance * factor, rng)
                    });
                if let Some(state) = self.child(&before, seen, kind, repeats, horizon, rng) {
                    nodes.push(Node { state, before: at });
                }
            }
        }
    }

    /// A request that follows `before`, if it comes before the horizon.
    fn child(
        &mut self,
        before: &State,
        mut seen: Seen,
        kind: usize,
        repeats: bool,
        horizon: f64,
        rng: &mut Rng,
    ) -> Option<State> {
        let draw = match &mut self.repeat {
            Some(repeat) if repeats => repeat,
            _ => &mut self.kinds[kind],
        };
        let block_size = self.block_size;
        let log_delay = draw.delay.draw(&seen, rng);
        let time = before.time + self.clock.delays.seconds(log_delay, before.output);
        if time >= horizon {
            return None;
        }
        seen[FEATURES] = log_delay;
        let mut next = FEATURES + 1;
        let full = (before.input / block_size) as u32;
        let blocks = before.input.div_ceil(block_size) as u32;
        let core = before.core.min(full);
        let mut shared = match draw.kind {
            Kind::Repeat => blocks,
            Kind::Document => before.base.min(full),
            _ => full,
        };
        if let Some(depth) = &mut draw.depth {
            let odds = f64::from(depth.draw(&seen, rng)).clamp(-30.0, 30.0).exp();
            let (top, bottom) = (f64::from(core), f64::from(full));
            let place = ((odds * (bottom + 0.5) + top - 0.5) / (1.0 + odds)).round();
            shared = (place.max(top + 1.0)).min(bottom) as u32;
            seen[next..next + 2].copy_from_slice(&[shared as f32, full.saturating_sub(shared) as f32]);
            next += 2;
        }
        let (drawn, length) = match &mut draw.tokens {
            None => (0.0, before.input as i64),
            Some(tokens) => {
                let drawn = tokens.draw(&seen, rng);
                let tokens = signed_exp(drawn);
                let length = if draw.kind == Kind::Next {
                    let output = if self.clock.whole_growth { 0 } else { before.output as i64 };
                    let least = i64::from(blocks.saturating_sub(1)) * block_size as i64 + 1;
                    (before.input as i64 + output + tokens)
                        .max(least.max(i64::from(full) * block_size as i64))
                } else {
                    (i64::from(shared) * block_size as i64 + tokens)
                        .max(i64::from(shared) * block_size as i64)
                        .max(1)
                };
                (drawn, length)
            }
        };
        let length = (length.max(0) as u64).min(MOST_BLOCKS * block_size);
        if length as f32 > self.clock.longest {
            return None;
        }
        seen[next..next + 2].copy_from_slice(&[drawn, log(length)]);
        let output = drawn_output(draw.output.draw(&seen, rng));
        let shared = shared.min(length.div_ceil(block_size) as u32);
        let step = Step { kind: draw.kind, input: length, output, shared, log_delay, time };
        Some(before.next(step, block_size))
    }
}

/// Output tokens from their logarithm.
fn drawn_output(log: f32) -> u64 {
    signed_exp(log.max(0.0)) as u64
}

/// The number that is learnt of how a next turn's prompt grows.
pub(super) fn growth_value(growth: i64, output_before: u64, whole: bool) -> f32 {
    signed_log(growth - if whole { 0 } else { output_before as i64 })
}

/// Draws prefixes as often as sessions had them.
struct PrefixDraw {
    /// Sessions up to each prefix.
    upto: Vec<f64>,
    /// Blocks of each, and tokens of the last one.
    depths: Vec<u32>,
    tails: Vec<u32>,
    ranks: Vec<usize>,
    cards: Vec<u8>,
}

impl PrefixDraw {
    fn new(core: &Core, ends: &[PrefixEnd]) -> Self {
        let runs = core.depths();
        let mut sum = 0.0;
        let upto = ends.iter().map(|end| {
            sum += end.sessions as f64;
            sum
        });
        let upto = upto.collect();
        let depths = ends.iter().map(|end| runs.get(end.run as usize).copied().unwrap_or(0) as u32).collect();
        // Above all prefixes nothing is missing in the last block.
        let tails =
            ends.iter().map(|end| core.runs.get(end.run as usize).map_or(u32::MAX, |run| run.tail)).collect();
        let mut order: Vec<usize> = (0..ends.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(ends[i].sessions));
        let mut ranks = vec![0; ends.len()];
        order.into_iter().enumerate().for_each(|(rank, i)| ranks[i] = rank);
        Self { upto, depths, tails, ranks, cards: Vec::new() }
    }

    fn draw(&mut self, rng: &mut Rng) -> usize {
        if self.upto.len() < 2 {
            return 0;
        }
        if self.cards.is_empty() {
            self.cards.extend(0..=u8::MAX);
            shuffle(rng, &mut self.cards);
        }
        let card = f64::from(self.cards.pop().unwrap_or(0)) + rng.f64();
        let at = card / 256.0 * self.upto.last().copied().unwrap_or(0.0);
        self.upto.partition_point(|&sum| sum <= at).min(self.upto.len() - 1)
    }
}
