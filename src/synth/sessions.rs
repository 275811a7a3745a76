//! The model `sessions`: whole conversations of the original, drawn anew.
//!
//! A finite cache cares about *when* a prefix comes back, and that is decided within conversations:
//! a turn continues the turn before it, after a while, by so many tokens. So what is drawn here is a
//! *session*, a tree of requests of the original with the places where they continue one another, the
//! lengths of their new parts, and how many requests arrive between them. Every drawing of a session
//! gets fresh blocks. Blocks that are continued again and again, by requests that have nothing else
//! in common (system prompts, tools, documents), form the core, which stays the same.
//!
//! Sessions come in the order of the original but for a local shuffle (see [`LocalShuffle`]), and so
//! do the times between arrivals, in blocks. That keeps slow changes over the day, and the hit rate
//! of a cache that fills; what is next to each other is new each time. Places count in requests, not
//! in milliseconds: then traces without times are modelled the same way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::core::{Core, CoreMap, RunIndex};
use super::draw::{MOST_SCALED, scaled_blocks};
use super::knobs::Limits;
use super::learn::{Forest, NO_OUTPUT, ROOT};
use super::request::{Ids, Request, Span, push};
use super::shuffle::{LocalShuffle, UNIT};
use super::siblings::Siblings;
use super::window;

/// Consecutive gaps between arrivals that stay together.
const GAP_BLOCK: usize = 50;

/// A block is core if so many requests hang on it, and their first and last are so far apart, as a
/// share of the trace. On real traces most blocks that are used again are so only for a while, even
/// when they are used often: those belong to a session. Of the blocks that pass both bounds in the
/// first half of a trace nearly all are used again in the second.
const CORE_USES: usize = 3;
const CORE_SPAN: f64 = 0.1;

/// Most requests in a row that come in the original's order and unchanged.
const LONGEST_RUN: u32 = 15;

/// How many places a block of gaps may move.
const GAP_WINDOW: f64 = 2.0;

/// A request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Requests of the trace from the session's previous turn to this one; 0 for the first.
    pub(super) wait: u32,
    /// The turn that it continues, counted within the session; 0 for the first.
    pub(super) parent: u32,
    /// Blocks below the core that it has in common with its parent.
    pub(super) shared: u32,
    /// Blocks that it adds.
    pub(super) new: u32,
    /// Tokens in its last block.
    pub(super) tail: u32,
    /// Tokens generated, or [`NO_OUTPUT`].
    pub(super) output: u32,
}

/// A tree of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// Requests of the trace from the start of the session before to the start of this one.
    pub(super) wait: u32,
    /// The core run that its first request continues.
    pub(super) run: RunIndex,
    /// Index of its first turn; its last is before the first of the next session.
    pub(super) first: u32,
}

/// The model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SessionsModel {
    pub(super) core: Core,
    pub(super) sessions: Vec<Session>,
    pub(super) turns: Vec<Turn>,
    /// Milliseconds between consecutive requests, one fewer than requests; none without times.
    pub(super) gaps: Vec<f64>,
    /// How many places a session may move.
    pub(super) window: f64,
}

/// A session while its requests are gathered.
struct Gathered {
    turns: u32,
    /// Place of its last request.
    last: u32,
    /// Depth of the core that it continues.
    depth: u32,
}

impl SessionsModel {
    /// The model of a trace.
    pub(super) fn new(forest: &Forest) -> Self {
        let shared = core_blocks(forest);
        let map = CoreMap::new(forest, &shared);
        let mut model = Self { gaps: forest.gaps.get(1..).unwrap_or(&[]).to_vec(), ..Self::default() };
        let (places, gathered) = model.gather(forest, &shared, &map);
        model.fill(forest, &shared, &places, gathered);
        model.core = map.core;
        model.window = window::find(&model, forest);
        model
    }

    /// Finds the sessions; returns the session of each request and its number within it.
    fn gather(&mut self, forest: &Forest, shared: &[u32], map: &CoreMap) -> (Vec<(u32, u32)>, Vec<Gathered>) {
        let mut places: Vec<(u32, u32)> = Vec::with_capacity(forest.rows.len());
        let mut gathered: Vec<Gathered> = Vec::new();
        let mut last_start = 0;
        for ((row, &own), i) in forest.rows.iter().zip(shared).zip(0..) {
            let owner = (row.hang != ROOT).then(|| forest.owner(row.hang));
            // Who hangs on the blocks of a session belongs to it, who hangs on the core does not.
            let inside = owner.filter(|&owner| row.hang - forest.rows[owner].first_new >= shared[owner]);
            if let Some(owner) = inside {
                let session = places[owner].0;
                let turns = &mut gathered[session as usize].turns;
                places.push((session, *turns));
                *turns += 1;
            } else {
                let run = map.run_at(if own > 0 { row.first_new + own - 1 } else { row.hang });
                places.push((self.sessions.len() as u32, 0));
                self.sessions.push(Session { wait: i - last_start, run, first: 0 });
                gathered.push(Gathered { turns: 1, last: i, depth: map.depth(run) });
                last_start = i;
            }
        }
        (places, gathered)
    }

    /// Puts the requests of each session together.
    fn fill(&mut self, forest: &Forest, shared: &[u32], places: &[(u32, u32)], mut gathered: Vec<Gathered>) {
        let mut first = 0;
        for (session, gathered) in self.sessions.iter_mut().zip(&gathered) {
            session.first = first;
            first += gathered.turns;
        }
        let nothing = Turn { wait: 0, parent: 0, shared: 0, new: 0, tail: 0, output: NO_OUTPUT };
        self.turns = vec![nothing; forest.rows.len()];
        for ((row, &(session, turn)), i) in forest.rows.iter().zip(places).zip(0..) {
            let gathered = &mut gathered[session as usize];
            let is_first = turn == 0;
            self.turns[(self.sessions[session as usize].first + turn) as usize] = Turn {
                wait: i - gathered.last,
                parent: if is_first { 0 } else { places[forest.owner(row.hang)].1 },
                shared: if is_first { 0 } else { row.known - gathered.depth },
                new: row.new - shared[i as usize],
                tail: row.tail,
                output: row.output,
            };
            gathered.last = i;
        }
    }

    /// The turns of a session.
    pub(super) fn turns_of(&self, session: usize) -> &[Turn] {
        let first = self.sessions[session].first as usize;
        let end = self.sessions.get(session + 1).map_or(self.turns.len(), |next| next.first as usize);
        &self.turns[first..end]
    }

    /// Scales the core by one factor and the blocks of the sessions by another.
    pub(super) fn scale(&mut self, prefix: f64, prompt: f64, block_size: u64) {
        for run in &mut self.core.runs {
            run.len = scaled_blocks(run.len, prefix);
        }
        if prompt == 1.0 {
            return;
        }
        for session in 0..self.sessions.len() {
            let first = self.sessions[session].first as usize;
            let count = self.turns_of(session).len();
            scale_turns(&mut self.turns[first..first + count], prompt, block_size);
        }
    }
}

/// Scales the chains of blocks of a session: what each turn adds, and how much of that a later turn
/// has in common with it.
fn scale_turns(turns: &mut [Turn], factor: f64, block_size: u64) {
    let old: Vec<Turn> = turns.to_vec();
    for (i, turn) in old.iter().enumerate() {
        let mut new = scaled_blocks(turn.new, factor);
        let mut shared = 0;
        if i > 0 {
            let (parent, scaled) = (&old[turn.parent as usize], &turns[turn.parent as usize]);
            let common = turn.shared - parent.shared;
            shared = scaled.shared
                + if common == parent.new {
                    scaled.new
                } else {
                    // The last block of the parent may be partial, and then it ends there.
                    let most = scaled.new - u32::from(u64::from(scaled.tail) < block_size);
                    scaled_blocks(common, factor).min(most)
                };
            // Scaled down to nothing: such a turn keeps a block.
            if shared == 0 && new == 0 {
                new = 1;
            }
        }
        turns[i].shared = shared.min(MOST_SCALED);
        turns[i].new = new;
    }
}

/// Of the new blocks of each request, how many are core.
fn core_blocks(forest: &Forest) -> Vec<u32> {
    let mut hangs: Vec<(u32, u32)> = forest
        .rows
        .iter()
        .zip(0..)
        .filter(|(row, _)| row.hang != ROOT)
        .map(|(row, i)| (row.hang, i))
        .collect();
    hangs.sort_unstable();
    let mut shared = vec![0; forest.rows.len()];
    let span = CORE_SPAN * forest.rows.len() as f64;
    for group in hangs.chunk_by(|a, b| a.0 == b.0) {
        let (first, last) = (group[0], group[group.len() - 1]);
        if group.len() >= CORE_USES && f64::from(last.1 - first.1) >= span {
            let owner = forest.owner(first.0);
            shared[owner] = shared[owner].max(first.0 - forest.rows[owner].first_new + 1);
        }
    }
    // What core blocks hang on is core: owners stand before those that hang on them.
    for i in (0..forest.rows.len()).rev() {
        let hang = forest.rows[i].hang;
        if shared[i] > 0 && hang != ROOT {
            let owner = forest.owner(hang);
            shared[owner] = shared[owner].max(hang - forest.rows[owner].first_new + 1);
        }
    }
    shared
}

/// A drawn session that has turns to come.
#[derive(Default)]
struct Open {
    session: u32,
    copy: u32,
    /// Index of the next turn, and its place in the original.
    next: u32,
    original: u32,
    /// First id that each past turn has added.
    first_ids: Vec<u64>,
    /// Turn whose content each turn has; empty if each has its own.
    sources: Vec<u32>,
}

/// Place of the next turn in parts of a place, order of entry, slot in the list of open sessions.
type Waiting = Reverse<(i64, u64, u32)>;

/// Draws requests of the model.
///
/// Memory: that of the open sessions, 8 bytes for each of their turns.
pub(super) struct SessionsGenerator {
    model: SessionsModel,
    block_size: u64,
    depths: Vec<u64>,
    /// Place in the original where each session starts.
    originals: Vec<u32>,
    ids: Ids,
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
    reversed: Vec<Span>,
}

impl SessionsGenerator {
    pub(super) fn new(model: SessionsModel, block_size: u64, copies: u32) -> Self {
        let mut original = 0;
        let place = |session: &Session| {
            original += session.wait;
            original
        };
        Self {
            block_size,
            depths: model.core.depths(),
            originals: model.sessions.iter().map(place).collect(),
            ids: Ids::new(&model.core, copies),
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
    pub(super) fn draw_gap(&mut self, rng: &mut Rng) -> f64 {
        self.gaps.draw(&self.model.gaps, rng)
    }

    /// Draws requests, without their arrival, until the length of one is within the limits.
    pub(super) fn draw(
        &mut self,
        rng: &mut Rng,
        limits: &Limits,
        request: &mut Request,
    ) -> Result<(), String> {
        // Two passes without one, whatever the order, and there is none.
        for _ in 0..=2 * self.model.turns.len() {
            self.step(rng, request);
            if limits.contain(request.input_length) {
                return Ok(());
            }
        }
        Err(limits.unreachable(2 * self.model.turns.len() as u32))
    }

    /// The next request.
    fn step(&mut self, rng: &mut Rng, request: &mut Request) {
        let Self { starts, model, .. } = self;
        let (session, start) = *self
            .next_start
            .get_or_insert_with(|| starts.draw(rng, |session| model.sessions[session as usize].wait));
        // A pass begins when the one before it is through: each holds every request once.
        let between = self.started.is_multiple_of(self.model.sessions.len());
        if self.waiting.peek().is_none_or(|&Reverse((place, ..))| !between && place > start) {
            self.next_start = None;
            self.start(session, start, rng);
        }
        let Some(Reverse((place, _, slot))) = self.waiting.pop() else { return };
        self.emit(slot, rng, request);
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
        open.first_ids.clear();
        let turns = self.model.turns_of(session as usize).len();
        open.sources.clear();
        if turns > 1 {
            self.siblings.draw(session, turns, rng, &mut open.sources);
        }
        self.started += 1;
        self.wait(place, slot);
    }

    /// Writes the next turn of an open session into `request`.
    fn emit(&mut self, slot: u32, rng: &mut Rng, request: &mut Request) {
        let open = &mut self.open[slot as usize];
        let turns = self.model.turns_of(open.session as usize);
        let run = self.model.sessions[open.session as usize].run;
        let source = open.sources.get(open.next as usize).copied().unwrap_or(open.next);
        let own = turns[open.next as usize];
        // A sibling's content hangs on the same block.
        let Turn { new, tail, output, .. } = turns[source as usize];
        let mut turn = Turn { new, tail, output, ..own };
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
        let blocks = old + u64::from(turn.new);
        request.clear();
        request.input_length = blocks.saturating_sub(1) * self.block_size + u64::from(turn.tail);
        request.context_length = (old * self.block_size).min(request.input_length);
        request.output_length = (turn.output != NO_OUTPUT).then_some(u64::from(turn.output));
        self.ids.core_path(&self.model.core, run, open.copy, &mut request.spans);
        // Up the parents, each of which has added a part of what is shared.
        let (mut left, mut at) = (turn.shared, turn.parent);
        while left > 0 {
            let parent = turns[at as usize];
            if left > parent.shared {
                let start = open.first_ids[at as usize];
                self.reversed.push(Span { start, len: left - parent.shared });
                left = parent.shared;
            }
            at = parent.parent;
        }
        for span in self.reversed.drain(..).rev() {
            push(&mut request.spans, span);
        }
        let start = self.ids.fresh(turn.new);
        open.first_ids.push(start);
        push(&mut request.spans, Span { start, len: turn.new });
    }
}

/// Makes a request differ from its original, after too many that came in the original's order: it
/// gets the last block's tokens and the output length of other requests. Where neither can change it
/// gets a block more. `turn` is number `index` of its session's `turns`. Returns whether it differs.
fn vary(turn: &mut Turn, index: u32, turns: &[Turn], all: &[Turn], block_size: u64, rng: &mut Rng) -> bool {
    let original = *turn;
    let output = |other: &Turn| ![NO_OUTPUT, original.output].contains(&other.output);
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

/// Another request that has what is wanted, if one is found soon.
fn donor(all: &[Turn], rng: &mut Rng, wanted: impl Fn(&Turn) -> bool) -> Option<Turn> {
    const TRIES: usize = 10;
    (0..TRIES).map(|_| all[rng.usize(..all.len())]).find(|turn| wanted(turn))
}

/// The times between arrivals, in blocks that are shuffled locally.
struct GapShuffle {
    /// Where blocks begin, and the end of the last.
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
