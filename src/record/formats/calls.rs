//! The blocks of calls that keep some of those of the call before them in their session (see `prefixes`).

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// The full blocks of a call, whose ids depend on the calls before.
#[derive(Clone, Copy)]
pub(super) struct CallBlocks {
    /// A hash of the session's name.
    pub(super) session: u64,
    /// How many are those of the session's last call.
    pub(super) cached: u32,
    pub(super) all: u32,
}

/// Gives calls their blocks, in the order of the file.
#[derive(Default)]
pub(super) struct SessionBlocks {
    next: u64,
    /// Ids of the full blocks of each session's last call.
    sessions: HashMap<u64, Vec<u64>, RandomState>,
}

impl SessionBlocks {
    /// For one file, whose new blocks are numbered from `next` on.
    pub(super) fn starting_at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// The ids of the next call.
    pub(super) fn ids(&mut self, call: CallBlocks) -> &[u64] {
        let blocks = self.sessions.entry(call.session).or_default();
        blocks.truncate(call.cached as usize);
        let new = u64::from(call.all).saturating_sub(blocks.len() as u64);
        blocks.extend(self.next..self.next + new);
        self.next += new;
        blocks
    }
}
