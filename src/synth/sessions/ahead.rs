//! Sessions drawn ahead, in a thread of their own.
//!
//! They are drawn with random numbers of their own and in batches that do not depend on when they are asked for,
//! so a thread changes nothing but the time that it takes.

use std::sync::mpsc::{self, Receiver};
use std::thread;

use fastrand::Rng;

use super::engine::Engine;
use super::scale::{Scale, Turn};

/// Requests of a batch that is drawn ahead, at least: then sending it costs nothing.
pub(super) const ENOUGH: usize = 1 << 12;

/// Sessions, one after the other.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    /// The moment, in seconds, before which all has been drawn.
    pub(super) end: f64,
    turns: Vec<Turn>,
    /// Of each session the number of its prefix, and the end of its turns.
    sessions: Vec<(usize, usize)>,
}

impl Batch {
    /// The prefixes and the turns of the sessions.
    pub(super) fn sessions(&self) -> impl Iterator<Item = (usize, &[Turn])> {
        let mut start = 0;
        self.sessions.iter().map(move |&(prefix, end)| {
            let turns = &self.turns[start..end];
            start = end;
            (prefix, turns)
        })
    }
}

/// Draws batches.
pub(super) struct Drawer {
    pub(super) engine: Engine,
    pub(super) rng: Rng,
    pub(super) scale: Scale,
    /// Blocks of each prefix, and as changed.
    pub(super) depths: Vec<(u64, u64)>,
    /// Requests of a batch, at least.
    pub(super) least: usize,
}

impl Drawer {
    fn draw(&mut self) -> Batch {
        let Self { engine, rng, scale, depths, least } = self;
        let mut batch = Batch::default();
        loop {
            let Batch { turns, sessions, .. } = &mut batch;
            batch.end = engine.next_piece(rng, &mut |drawn| {
                let (depth, changed) = depths[drawn.prefix];
                scale.apply(&drawn.nodes, depth, changed, turns);
                sessions.push((drawn.prefix, turns.len()));
            });
            if batch.turns.len() >= *least {
                return batch;
            }
        }
    }
}

/// Where batches come from.
pub(super) enum Batches {
    Here(Box<Drawer>),
    Ahead(Receiver<Batch>),
}

impl Batches {
    /// Batches that are drawn when they are asked for.
    pub(super) fn here(drawer: Drawer) -> Self {
        Self::Here(Box::new(drawer))
    }

    /// Batches of which the next one is drawn while the last one is used, if there can be a thread for that.
    pub(super) fn ahead(drawer: Drawer) -> Self {
        let (give, take) = mpsc::channel::<Box<Drawer>>();
        let (send, batches) = mpsc::sync_channel(0);
        // It ends when nobody receives any more.
        let draw = move || {
            if let Ok(mut drawer) = take.recv() {
                while send.send(drawer.draw()).is_ok() {}
            }
        };
        let drawer = Box::new(drawer);
        match thread::Builder::new().name("sessions".into()).spawn(draw) {
            Ok(_) => give.send(drawer).map_or_else(|unsent| Self::Here(unsent.0), |()| Self::Ahead(batches)),
            Err(_) => Self::Here(drawer),
        }
    }

    /// The next batch; none if its thread has failed.
    pub(super) fn next(&mut self) -> Option<Batch> {
        match self {
            Self::Here(drawer) => Some(drawer.draw()),
            Self::Ahead(batches) => batches.recv().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bend::Bend;
    use super::super::engine::Plan;
    use super::super::learn::learn;
    use super::super::open::OpenSessions;
    use super::*;
    use crate::record::Record;
    use crate::synth::knobs::Knobs;
    use crate::synth::learn::Learner;

    /// Of a trace of conversations of three turns each.
    fn drawer() -> Drawer {
        let mut learner = Learner::default();
        for n in 0..300 {
            let (conversation, turn) = (n % 100, n / 100);
            let first = 4 * conversation;
            let hash_ids: Vec<u64> = (first..first + 2 + turn).collect();
            let record = Record {
                timestamp: Some(500.0 * n as f64),
                input_length: 16 * hash_ids.len() as u64,
                has_ids: true,
                hash_ids,
                ..Record::default()
            };
            learner.add(&record, 16).unwrap();
        }
        let (model, _) = learn(&learner.finish().unwrap(), 5).unwrap();
        let scale = Scale { knobs: Knobs::default(), block_size: 16, per_output_token: 0.0 };
        let depths = OpenSessions::new(&model, &scale, Bend::default()).depths();
        let plan = Plan { one_pass: false, ..Plan::default() };
        let rng = Rng::with_seed(7);
        Drawer { engine: Engine::new(model, 16, plan).unwrap(), rng, scale, depths, least: 100 }
    }

    #[test]
    fn a_thread_draws_what_is_drawn_without() {
        let (mut here, mut ahead) = (Batches::here(drawer()), Batches::ahead(drawer()));
        assert!(matches!(ahead, Batches::Ahead(_)));
        for _ in 0..10 {
            let batch = here.next().unwrap();
            assert!(batch.turns.len() >= 100 && batch.turns.iter().any(|turn| turn.continues));
            assert_eq!(ahead.next().unwrap(), batch);
        }
    }
}
