//! The prefix cache of vLLM, to the token.
//!
//! Full blocks of prompt and answer stay in the cache when a request ends, and its partial block is the
//! first to be used again. Blocks of running requests cannot leave. Equal blocks are not merged.

mod pool;
mod sequential;
mod source;
mod steps;

pub(super) use sequential::Sequential;

use std::collections::BTreeMap;
use std::rc::Rc;

use source::{Request, Session};
use steps::Steps;

use crate::error::Invalid;
use crate::stats::cache::load::{Load, LoadFigures};
use crate::stats::cache::policy::{Point, Refused, Study};
use crate::stats::cache::served::Server;
use crate::stats::hit_count::HitCount;
use crate::stats::requests::RequestHits;
use crate::stats::seen::Seen;
use crate::stats::statistic::Bytes;

/// An engine with one capacity.
struct OneEngine {
    capacity: u64,
    steps: Steps,
    /// The same one request after the other, to compare with.
    alone: Sequential,
    alone_hit_tokens: u128,
    /// Measured requests that do not fit.
    refused: Refused,
}

/// Engines that serve several requests together, at chosen capacities.
pub(super) struct Together {
    count: HitCount,
    load: Load,
    engines: Vec<OneEngine>,
    /// Requests that do not fit, if their hits are wanted.
    refused: Option<Vec<RequestHits>>,
}

impl Together {
    /// Engines with empty caches of these capacities. `has_hits` tells whether the hits of each request are
    /// wanted.
    pub(super) fn new(capacities: &[u64], count: HitCount, load: Load, has_hits: bool) -> Self {
        let engine = |&capacity: &u64| {
            let steps = Steps::new(capacity, count, load, has_hits);
            let alone = Sequential::new(capacity, count.block_size);
            OneEngine { capacity, steps, alone, alone_hit_tokens: 0, refused: Refused::default() }
        };
        let engines = capacities.iter().map(engine).collect();
        Self { count, load, engines, refused: has_hits.then(Vec::new) }
    }
}

/// The session of a request: as its record says, or else as its prompt tells.
fn session(seen: &Seen) -> Option<Session> {
    let told = || seen.engine.and_then(|request| request.session).map(|session| (false, session));
    seen.session.map(|session| (true, session)).or_else(told)
}

impl Study for Together {
    fn access(&mut self, seen: &Seen) -> Result<(), Invalid> {
        let Some(served) = &seen.engine else { return Ok(()) };
        let blocks = served.tokens().div_ceil(self.count.block_size);
        let request = Rc::new(Request {
            index: seen.index,
            is_measured: seen.is_measured,
            prompt: served.prompt,
            answer: served.answer,
            names: served.names.to_vec(),
            arrival: (seen.timestamp.unwrap_or(seen.now) * 1e6) as i128,
            session: session(seen).filter(|_| self.load.sessions),
        });
        for engine in &mut self.engines {
            if blocks <= engine.capacity {
                let alone = engine.alone.serve(served) * self.count.block_size;
                engine.alone_hit_tokens += if seen.is_measured { u128::from(alone) } else { 0 };
                engine.steps.push(Rc::clone(&request));
                continue;
            }
            engine.refused.add(seen);
            if let Some(refused) = &mut self.refused {
                let capacity = engine.capacity;
                refused.push(RequestHits { request: seen.index, capacity, tokens: None });
            }
        }
        Ok(())
    }

    fn bytes(&self) -> Bytes {
        let simulated = self.engines.iter().map(|engine| engine.steps.bytes() + engine.alone.bytes()).sum();
        Bytes { simulated, ..Bytes::default() }
    }

    fn needs_all_blocks(&self) -> bool {
        true
    }

    fn finish(&mut self) {
        self.engines.iter_mut().for_each(|engine| engine.steps.finish());
    }

    fn take_hits(&mut self, out: &mut Vec<RequestHits>) {
        out.extend(self.refused.iter_mut().flat_map(|refused| refused.drain(..)));
        for engine in &mut self.engines {
            let capacity = engine.capacity;
            let admitted = engine.steps.admitted.iter_mut().flat_map(|admitted| admitted.drain(..));
            let hits = |(request, tokens)| RequestHits { request, capacity, tokens: Some(tokens) };
            out.extend(admitted.map(hits));
        }
    }

    fn points(&self, _: &[u64], _: u64) -> BTreeMap<u64, Point> {
        let point = |engine: &OneEngine| {
            let counts = engine.steps.counts();
            Point {
                hits: counts.hits,
                all: Some(counts.all),
                refused: Some(engine.refused),
                load: Some(LoadFigures {
                    sequential_hit_tokens: engine.alone_hit_tokens,
                    ..engine.steps.figures()
                }),
            }
        };
        self.engines.iter().map(|engine| (engine.capacity, point(engine))).collect()
    }
}
