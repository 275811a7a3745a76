//! The blocks of calls that keep some of those of the call before them in their session (see `prefixes`).

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

use crate::record::surrogate::surrogate_child;

/// The full blocks of a call, whose ids depend on the calls before.
#[derive(Clone, Copy)]
pub(super) struct CallBlocks {
    /// A hash of the session's name.
    pub(super) session: u64,
    /// How many are those of the session's last call.
    pub(super) cached: u32,
    pub(super) all: u32,
}

/// Gives calls their blocks, in the order of the file and of those that go on with its sessions.
#[derive(Default)]
pub(super) struct SessionBlocks {
    /// The operand with which the numbering has begun.
    pub(super) file: usize,
    next: u64,
    /// Whether ids are hashes of the session and of numbers within it.
    named: bool,
    sessions: HashMap<u64, Blocks, RandomState>,
    ids: Vec<u64>,
}

/// What is known of a session.
#[derive(Default)]
struct Blocks {
    /// Numbers of the full blocks of its last call. Those that a call adds follow each other.
    runs: Vec<Range<u64>>,
    /// The next number, where every session has its own.
    next: u64,
}

impl SessionBlocks {
    /// For an operand whose sessions are new, and whose new blocks are numbered from `next` on, or `named`.
    pub(super) fn of(file: usize, next: u64, named: bool) -> Self {
        Self { file, next, named, ..Self::default() }
    }

    /// The ids of the next call.
    pub(super) fn ids(&mut self, call: CallBlocks) -> &[u64] {
        let Blocks { runs, next } = self.sessions.entry(call.session).or_default();
        let next = if self.named { next } else { &mut self.next };
        let mut left = u64::from(call.cached);
        runs.retain_mut(|run| {
            run.end = run.end.min(run.start + left);
            left -= run.end - run.start;
            !run.is_empty()
        });
        let kept = u64::from(call.cached) - left;
        let new = *next..*next + u64::from(call.all).saturating_sub(kept);
        *next = new.end;
        match runs.last_mut() {
            Some(last) if last.end == new.start => last.end = new.end,
            _ if new.is_empty() => {}
            _ => runs.push(new),
        }
        self.ids.clear();
        let numbers = runs.iter().cloned().flatten();
        if self.named {
            self.ids.extend(numbers.map(|number| surrogate_child(call.session, number)));
        } else {
            self.ids.extend(numbers);
        }
        &self.ids
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_call_keeps_what_was_cached_of_the_one_before_it(
            calls in prop::collection::vec((0..3_u64, 0..9_u32, 0..9_u32), 0..30),
        ) {
            let mut blocks = SessionBlocks::default();
            let (mut next, mut naive) = (0, HashMap::<u64, Vec<u64>>::new());
            for (session, cached, more) in calls {
                let all = cached + more;
                let expected = naive.entry(session).or_default();
                expected.truncate(cached as usize);
                while expected.len() < all as usize {
                    expected.push(next);
                    next += 1;
                }
                prop_assert_eq!(blocks.ids(CallBlocks { session, cached, all }), &expected[..]);
            }
        }
    }
}
