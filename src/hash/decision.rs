//! The way in which the chats of an input are taken where the user leaves it open.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::record::prompt::Turns;

/// One decision for the whole input, made by the first chat for which it makes a difference, whichever
/// worker is quicker.
#[derive(Default)]
pub(super) struct Decision {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    taken: Option<Turns>,
    /// All batches before this one are done.
    begun: u64,
    /// Batches after it that are done.
    done: BTreeSet<u64>,
}

impl Decision {
    /// How chats are taken, asked by one of a batch that looks like `looks`. Waits for the batches before,
    /// which never wait for this one.
    pub(super) fn taken(&self, batch: u64, looks: Turns) -> Turns {
        let mut state = self.state();
        while state.taken.is_none() && state.begun < batch {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.changed.notify_all();
        *state.taken.get_or_insert(looks)
    }

    /// A batch is done.
    pub(super) fn done(&self, batch: u64) {
        let mut state = self.state();
        state.done.insert(batch);
        let mut begun = state.begun;
        while state.done.remove(&begun) {
            begun += 1;
        }
        state.begun = begun;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
