//! Drawing the requests of sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::model::{ReplayModel, Session, SessionTurn};
use super::siblings::Siblings;
use crate::error::Invalid;
use crate::record::LengthRange;
use crate::synth::core::BlockIds;
use crate::synth::knobs::unreachable;
use crate::synth::request::{NO_OUTPUT, Span, SyntheticRequest};
use crate::synth::shown::Shown;
use crate::synth::shuffle::{LocalShuffle, UNIT};

/// So many consecutive gaps between arrivals stay together as a group.
const GAP_BLOCK: usize = 50;

/// Most requests in a row that come in the original's order and unchanged.
const LONGEST_RUN: u32 = 15;

/// How many places a group of gaps may move.
const GAP_WINDOW: f64 = 2.0;

/// A drawn session that has turns to come.
#[derive(Default)]
struct Open {
    session: u32,
    copy: u32,
    /// Index of the next turn, and its place in the original.
    next: u32,
    original: u32,
    /// The blocks that each past turn has added.
    shown: Shown,
    /// Number of the turn whose content each turn has; empty if each has its own.
    sources: Vec<u32>,
}

/// Place of the next turn in parts of a place, order of entry, slot in the list of open sessions.
type Waiting = Reverse<(i64, u64, u32)>;

/// Draws requests of the model.
///
/// Memory: that of the open sessions, 16 bytes for each of their turns.
pub(in crate::synth) struct ReplayGenerator {
    model: ReplayModel,
    block_size: u64,
    depths: Vec<u64>,
    /// Place in the original where each session starts.
    originals: Vec<u32>,
    ids: BlockIds,
    starts: LocalShuffle,
    /// Sessions started so far, and the next one with its place.
    started: usize,
    next_start: Option<(u32, i64)>,
    waiting: BinaryHeap<Waiting>,
    entries: u64,
    open: Vec<Open>,
    free: Vec<u32>,
    gaps: GapShuffle,
    siblings: Siblings,
    /// Place in the original of the last request, and how many came in the original's order.
    last_original: u32,
    in_order: u32,
    /// Turns, each with how many blocks of its own the current request has.
    reversed: Vec<(u32, u32)>,
}

impl ReplayGenerator {
    pub(in crate::synth) fn new(model: ReplayModel, block_size: u64, copies: u32) -> Self {
        let mut original = 0;
        let place = |session: &Session| {
            original += session.wait;
            original
        };
        Self {
            block_size,
            depths: model.core.depths(),
            originals: model.sessions.iter().map(place).collect(),
            ids: BlockIds::new(&model.core, copies),
            starts: LocalShuffle::new(model.sessions.len() as u32, model.window),
            started: 0,
            next_start: None,
            waiting: BinaryHeap::new(),
            entries: 0,
            open: Vec::new(),
            free: Vec::new(),
            gaps: GapShuffle::new(&model.gaps, model.window),
            siblings: Siblings::of(&model),
            last_original: 0,
            in_order: 0,
            reversed: Vec::new(),
            model,
        }
    }

    /// Milliseconds from the request before to the next one.
    pub(in crate::synth) fn draw_gap(&mut self, rng: &mut Rng) -> f64 {
        self.gaps.draw(&self.model.gaps, rng)
    }

    /// Draws requests, without their arrival, until the length of one is within the limits.
    pub(in crate::synth) fn draw(
        &mut self,
        rng: &mut Rng,
        limits: LengthRange,
        request: &mut SyntheticRequest,
    ) -> Result<(), Invalid> {
        // If two passes have none, in whatever order, there is none.
        for _ in 0..=2 * self.model.turns.len() {
            self.step(rng, limits, request);
            if limits.contains(request.input_length) {
                return Ok(());
            }
        }
        Err(unreachable(limits, 2 * self.model.turns.len() as u32))
    }

    /// The next request, without blocks if its length is not within the limits.
    fn step(&mut self, rng: &mut Rng, limits: LengthRange, request: &mut SyntheticRequest) {
        let Self { starts, model, .. } = self;
        let (session, start) = *self
            .next_start
            .get_or_insert_with(|| starts.draw(rng, |session| model.sessions[session as usize].wait));
        // A pass begins when the one before it is complete: each holds every request once.
        let between = self.started.is_multiple_of(self.model.sessions.len());
        if self.waiting.peek().is_none_or(|&Reverse((place, ..))| !between && place > start) {
            self.next_start = None;
            self.start(session, start, rng);
        }
        let Some(Reverse((place, _, slot))) = self.waiting.pop() else { return };
        self.emit(slot, rng, limits, request);
        let open = &mut self.open[slot as usize];
        open.next += 1;
        match self.model.turns_of(open.session as usize).get(open.next as usize) {
            Some(next) => {
                open.original += next.wait;
                self.wait(place + i64::from(next.wait) * UNIT, slot);
            }
            None => self.free.push(slot),
        }
    }

    fn wait(&mut self, place: i64, slot: u32) {
        self.waiting.push(Reverse((place, self.entries, slot)));
        self.entries += 1;
    }

    fn start(&mut self, session: u32, place: i64, rng: &mut Rng) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.open.push(Open::default());
            self.open.len() as u32 - 1
        });
        let open = &mut self.open[slot as usize];
        (open.session, open.copy) = (session, self.ids.draw_copy(rng));
        (open.next, open.original) = (0, self.originals[session as usize]);
        open.shown.clear();
        let turns = self.model.turns_of(session as usize).len();
        open.sources.clear();
        if turns > 1 {
            self.siblings.draw(session, turns, rng, &mut open.sources);
        }
        self.started += 1;
        self.wait(place, slot);
    }

    /// Writes the next turn of an open session into `request`. If its length is not within the limits, it
    /// gets no blocks, so that no ids are spent on it.
    fn emit(&mut self, slot: u32, rng: &mut Rng, limits: LengthRange, request: &mut SyntheticRequest) {
        let open = &mut self.open[slot as usize];
        let turns = self.model.turns_of(open.session as usize);
        let run = self.model.sessions[open.session as usize].run;
        let source = open.sources.get(open.next as usize).copied().unwrap_or(open.next);
        let own = turns[open.next as usize];
        // A sibling's content continues the same block.
        let SessionTurn { new, tail, output, .. } = turns[source as usize];
        let mut turn = SessionTurn { new, tail, output, ..own };
        let follows = source == open.next && open.original == self.last_original.wrapping_add(1);
        self.last_original = open.original;
        self.in_order = if follows { self.in_order + 1 } else { 1 };
        if self.in_order > LONGEST_RUN
            && vary(&mut turn, open.next, turns, &self.model.turns, self.block_size, rng)
        {
            self.in_order = 0;
        }
        let depth = self.depths.get(run as usize).copied().unwrap_or(0);
        let old = depth + u64::from(turn.shared);
        request.start(old, turn.new, turn.tail, turn.output, self.block_size);
        if !limits.contains(request.input_length) {
            return open.shown.add(Span { start: 0, len: 0 });
        }
        self.ids.core_path(&self.model.core, run, open.copy, request);
        // Up the parents, each of which has added a part of what is shared.
        let (mut left, mut at) = (turn.shared, turn.parent);
        while left > 0 {
            let parent = turns[at as usize];
            if left > parent.shared {
                self.reversed.push((at, left - parent.shared));
                left = parent.shared;
            }
            at = parent.parent;
        }
        for (turn, len) in self.reversed.drain(..).rev() {
            open.shown.append(turn, len, &mut self.ids, request);
        }
        let start = self.ids.fresh(turn.new, request);
        open.shown.add(Span { start, len: turn.new });
    }
}

/// Makes a request differ from its original, after too many that came in the original's order: it gets
/// the output length and the number of tokens in the last block of other requests. If neither can change,
/// it gets one more block. `turn` is number `index` of its session's `turns`. Returns whether it differs.
fn vary(
    turn: &mut SessionTurn,
    index: u32,
    turns: &[SessionTurn],
    all: &[SessionTurn],
    block_size: u64,
    rng: &mut Rng,
) -> bool {
    let original = *turn;
    let output = |other: &SessionTurn| ![NO_OUTPUT, original.output].contains(&other.output);
    if turn.output != NO_OUTPUT
        && let Some(other) = donor(all, rng, output)
    {
        turn.output = other.output;
    }
    // The last block must keep its tokens if a later turn has it too.
    let mut later = turns.iter().skip(index as usize + 1).filter(|later| later.parent == index);
    let repeated = turn.new == 0 || later.any(|later| later.shared == turn.shared + turn.new);
    let partial = |tail: u32| tail > 0 && u64::from(tail) < block_size;
    if !repeated
        && partial(turn.tail)
        && let Some(other) = donor(all, rng, |other| partial(other.tail) && other.tail != original.tail)
    {
        turn.tail = other.tail;
    }
    if *turn == original && (!repeated || u64::from(turn.tail) == block_size) {
        turn.new += 1;
    }
    *turn != original
}

/// A random request for which `wanted` holds, if a few tries find one.
fn donor(all: &[SessionTurn], rng: &mut Rng, wanted: impl Fn(&SessionTurn) -> bool) -> Option<SessionTurn> {
    const TRIES: usize = 10;
    (0..TRIES).map(|_| all[rng.usize(..all.len())]).find(|turn| wanted(turn))
}

/// The times between arrivals, in groups that are shuffled locally.
struct GapShuffle {
    /// Where groups begin, and the end of the last.
    bounds: Vec<usize>,
    order: LocalShuffle,
    next: usize,
    end: usize,
}

impl GapShuffle {
    fn new(gaps: &[f64], window: f64) -> Self {
        let block = ((window / GAP_WINDOW) as usize).clamp(1, GAP_BLOCK);
        let mut bounds = vec![0];
        for (i, &gap) in gaps.iter().enumerate() {
            // Requests that arrive together stay together, if they are not too many.
            let len = i - bounds[bounds.len() - 1];
            if len >= block && (gap > 0.0 || len >= 4 * GAP_BLOCK) {
                bounds.push(i);
            }
        }
        bounds.push(gaps.len());
        let order = LocalShuffle::new(bounds.len() as u32 - 1, GAP_WINDOW);
        Self { bounds, order, next: 0, end: 0 }
    }

    fn draw(&mut self, gaps: &[f64], rng: &mut Rng) -> f64 {
        if self.next >= self.end {
            let block = self.order.draw(rng, |_| 1).0 as usize;
            (self.next, self.end) = (self.bounds[block], self.bounds[block + 1]);
        }
        self.next += 1;
        gaps.get(self.next - 1).copied().unwrap_or(0.0)
    }
}
