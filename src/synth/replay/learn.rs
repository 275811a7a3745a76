//! From the forest of a trace to its sessions.

use super::model::{ReplayModel, Session, SessionTurn};
use super::window;
use crate::synth::core::CoreMap;
use crate::synth::forest::{Forest, ROOT};
use crate::synth::request::NO_OUTPUT;

/// A block is core if so many requests branch off at it, and the first and the last of them are so far
/// apart, as a share of the trace. On real traces most blocks that are used again are used only for a
/// while, however often: those belong to a session. Of the blocks that pass both bounds in the first half
/// of a trace nearly all are used again in the second.
const CORE_USES: usize = 3;
const CORE_SPAN: f64 = 0.1;

/// A session while its requests are gathered.
struct Gathered {
    turns: u32,
    /// Place of its last request.
    last: u32,
    /// Depth of the core that it continues.
    depth: u32,
}

impl ReplayModel {
    /// The model of a trace.
    pub(in crate::synth) fn new(forest: &Forest) -> Self {
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
        let mut places: Vec<(u32, u32)> = Vec::with_capacity(forest.requests.len());
        let mut gathered: Vec<Gathered> = Vec::new();
        let mut last_start = 0;
        for ((request, &own), i) in forest.requests.iter().zip(shared).zip(0..) {
            let owner = (request.parent != ROOT).then(|| forest.owner(request.parent));
            // Whoever continues blocks of a session belongs to it; whoever continues the core does not.
            let inside =
                owner.filter(|&owner| request.parent - forest.requests[owner].first_new >= shared[owner]);
            if let Some(owner) = inside {
                let session = places[owner].0;
                let turns = &mut gathered[session as usize].turns;
                places.push((session, *turns));
                *turns += 1;
            } else {
                let run = map.run_at(request.block_after(own));
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
        let nothing = SessionTurn { wait: 0, parent: 0, shared: 0, new: 0, tail: 0, output: NO_OUTPUT };
        self.turns = vec![nothing; forest.requests.len()];
        for ((request, &(session, turn)), i) in forest.requests.iter().zip(places).zip(0..) {
            let gathered = &mut gathered[session as usize];
            let is_first = turn == 0;
            self.turns[(self.sessions[session as usize].first + turn) as usize] = SessionTurn {
                wait: i - gathered.last,
                parent: if is_first { 0 } else { places[forest.owner(request.parent)].1 },
                shared: if is_first { 0 } else { request.known - gathered.depth },
                new: request.new - shared[i as usize],
                tail: request.tail,
                output: request.output,
            };
            gathered.last = i;
        }
    }
}

/// Of the new blocks of each request, how many are core.
fn core_blocks(forest: &Forest) -> Vec<u32> {
    let requests = || forest.requests.iter().zip(0..);
    let mut uses: Vec<(u32, u32)> = requests().map(|(request, i)| (request.parent, i)).collect();
    uses.retain(|&(parent, _)| parent != ROOT);
    uses.sort_unstable();
    let mut shared = vec![0; forest.requests.len()];
    let span = CORE_SPAN * forest.requests.len() as f64;
    for group in uses.chunk_by(|a, b| a.0 == b.0) {
        let (first, last) = (group[0], group[group.len() - 1]);
        if group.len() >= CORE_USES && f64::from(last.1 - first.1) >= span {
            forest.share(first.0, &mut shared);
        }
    }
    // The parents of core blocks are core; whoever added a parent stands before its children.
    for i in (0..forest.requests.len()).rev() {
        if shared[i] > 0 {
            forest.share(forest.requests[i].parent, &mut shared);
        }
    }
    shared
}
