//! Sessions whose rows hold the whole prompt, and sessions whose rows hold only what is new.
//!
//! With P the prompt and O the output of a session's turns, row k is cumulative with
//! `P[k] = P[k-1] + O[k-1] + new[k]`, and incremental with `new[k]`. Summing incremental rows as if
//! they were whole prompts, or the other way round, counts tokens twice or not at all.
//!
//! Blocks: a whole prompt begins with the full blocks of the prompt before it. The rest (the end of that
//! prompt, its answer, what is new) is cut into blocks at other positions than in an incremental row, so
//! it gets new ids; which blocks two sessions share beyond their first prompts cannot be known. In the
//! other direction a row keeps the ids of its last blocks, as many as its length needs; where its last block
//! is shorter or longer than that of the whole prompt, that one gets a new id.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::error::Invalid;
use crate::record::sessions::Session;
use crate::record::surrogate::surrogate_child;
use crate::record::time::Millis;
use crate::record::trace_record::MAX_NEW_BLOCKS;

/// What the rows of a session are to contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turns {
    /// The whole prompt; the rows that are read contain only what is new.
    Cumulative,
    /// Only what is new; the rows that are read contain the whole prompt.
    Incremental,
}

/// Gives ids that equal no other: beyond any numbering, and exact in a double. Where ids are hashes of 53 bits,
/// the chance that one of 10^6 equals one of 10^6 given is one in 10,000.
#[derive(Clone, Default)]
pub(crate) struct FreshIds {
    given: u64,
    /// Whether they are hashes of what they are for.
    named: bool,
}

impl FreshIds {
    /// Numbers of files that no file has: for new blocks of all files together.
    pub(crate) const ALL_FILES: [usize; 2] = [4094, 4095];

    /// For one of several files, whose new blocks are not those of the others.
    pub(crate) fn of_file(index: usize) -> Self {
        Self { given: (index as u64) << 40, named: false }
    }

    /// The same, where ids are hashes of what they are for, so that those of other runs differ.
    pub(crate) fn named(self, named: bool) -> Self {
        Self { named, ..self }
    }

    /// An id for a block of what has this hash.
    pub(crate) fn fresh(&mut self, of: u64) -> u64 {
        self.given += 1;
        if self.named { surrogate_child(of, self.given) } else { (1 << 52) | self.given }
    }
}

/// What is known of a session.
#[derive(Clone, Default)]
struct SessionState {
    /// Tokens of the last prompt and its answer together.
    tokens: u64,
    /// Ids of the full blocks of the last prompt, and which numbering they have.
    full: Vec<u64>,
    numbering: usize,
    has_ids: bool,
    /// How often a prompt did not continue the session.
    restarts: u32,
    /// When its last row came: by its timestamp, or else by the delays since there was one.
    time: Option<Millis>,
}

/// A row that is to be converted.
#[derive(Default)]
pub(crate) struct SessionTurn {
    pub(crate) session: Session,
    /// Which numbering its ids have.
    pub(crate) numbering: usize,
    pub(crate) input_length: u64,
    pub(crate) output_length: u64,
    pub(crate) block_size: u64,
    pub(crate) time: Option<Millis>,
    pub(crate) delay: Option<Millis>,
}

/// What a row has become.
pub(crate) struct ConvertedTurn {
    pub(crate) input_length: u64,
    /// Which numbering its ids have: that of its session's first prompt, from which it keeps some.
    pub(crate) numbering: usize,
    /// How often its session has begun anew.
    pub(crate) restarts: u32,
    /// When the session begins anew with this row, which has a delay alone: at the earliest, as answers take time.
    pub(crate) begins: Option<Millis>,
}

/// Converts the rows of sessions, in order.
#[derive(Clone)]
pub(crate) struct TurnConverter {
    turns: Turns,
    sessions: HashMap<Session, SessionState, RandomState>,
    bytes: usize,
    max_bytes: usize,
    fresh: FreshIds,
    restarts: u64,
}

impl TurnConverter {
    /// A converter that has seen no session. What it remembers may take `max_bytes`.
    pub(crate) fn new(turns: Turns, max_bytes: usize) -> Self {
        Self {
            turns,
            sessions: HashMap::default(),
            bytes: 0,
            max_bytes,
            fresh: FreshIds::default(),
            restarts: 0,
        }
    }

    /// The same, where new blocks get these ids.
    pub(crate) fn with_fresh(mut self, fresh: FreshIds) -> Self {
        self.fresh = fresh;
        self
    }

    /// Memory for what is known of sessions.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many rows did not continue their session.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Changes the `ids` of a row.
    ///
    /// # Errors
    /// When the sessions do not fit into memory, or a prompt is longer than is plausible.
    pub(crate) fn convert(
        &mut self,
        turn: &SessionTurn,
        ids: &mut Vec<u64>,
        has_ids: &mut bool,
    ) -> Result<ConvertedTurn, Invalid> {
        let known = self.sessions.len();
        let state = self.sessions.entry(turn.session).or_default();
        let before = state.full.capacity();
        state.time = turn.time.or_else(|| Some(state.time? + turn.delay?));
        let (mut begins, mut numbering) = (None, turn.numbering);
        let input_length = match self.turns {
            Turns::Incremental => {
                let continues = turn.input_length > state.tokens;
                if state.tokens > 0 && !continues {
                    state.restarts += 1;
                    self.restarts += 1;
                    begins = state.time.filter(|_| turn.time.is_none());
                }
                let new = if continues { turn.input_length - state.tokens } else { turn.input_length };
                let last_tokens = |length: u64, blocks: usize| {
                    length
                        .saturating_sub(turn.block_size * blocks.saturating_sub(1) as u64)
                        .min(turn.block_size)
                };
                let before = last_tokens(turn.input_length, ids.len());
                let kept = new.div_ceil(turn.block_size) as usize;
                ids.drain(..ids.len().saturating_sub(kept));
                // An id has as many tokens wherever it stands.
                let after = last_tokens(new, ids.len());
                if let Some(last) = ids.last_mut().filter(|_| before != after) {
                    *last = self.fresh.fresh(turn.session);
                }
                state.tokens = turn.input_length + turn.output_length;
                new
            }
            Turns::Cumulative => {
                let whole = state.tokens + turn.input_length;
                if whole.div_ceil(turn.block_size) > MAX_NEW_BLOCKS {
                    let message = format!("a session with a prompt of {whole} tokens is not plausible");
                    return Err(Invalid::value(message));
                }
                let first = state.tokens == 0;
                state.has_ids |= *has_ids;
                // Before a session's first tokens, the ids are those of the row, if it has any.
                if state.has_ids && !(first && *has_ids) {
                    ids.clear();
                    ids.extend_from_slice(&state.full);
                    numbering = state.numbering;
                    while (ids.len() as u64) < whole.div_ceil(turn.block_size) {
                        ids.push(self.fresh.fresh(turn.session));
                    }
                }
                *has_ids = state.has_ids;
                state.numbering = numbering;
                state.full.clear();
                state.full.extend(ids.iter().take((whole / turn.block_size) as usize));
                state.tokens = whole + turn.output_length;
                whole
            }
        };
        let (restarts, after) = (state.restarts, state.full.capacity());
        self.bytes += (self.sessions.len() - known) * 2 * size_of::<(Session, SessionState)>();
        self.bytes = self.bytes + 8 * after - 8 * before;
        if self.bytes > self.max_bytes {
            return Err(Invalid::over_limit("the sessions take more memory than `max_memory` allows"));
        }
        Ok(ConvertedTurn { input_length, numbering, restarts, begins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length and ids of each (input, output, ids), blocks of 10 tokens, one session.
    fn convert(turns: Turns, rows: &[(u64, u64, Vec<u64>)]) -> Vec<(u64, Vec<u64>)> {
        let mut converter = TurnConverter::new(turns, 1 << 20);
        let mut one = |(input, output, ids): &(u64, u64, Vec<u64>)| {
            let (input_length, output_length) = (*input, *output);
            let turn = SessionTurn {
                session: 1,
                input_length,
                output_length,
                block_size: 10,
                ..SessionTurn::default()
            };
            let (mut ids, mut has_ids) = (ids.clone(), true);
            let length = converter.convert(&turn, &mut ids, &mut has_ids).unwrap().input_length;
            assert_eq!(ids.len() as u64, length.div_ceil(10));
            (length, ids)
        };
        rows.iter().map(&mut one).collect()
    }

    #[test]
    fn incremental_rows_add_up_to_the_last_prompt() {
        let rows = [(25, 5, vec![0, 1, 2]), (42, 8, vec![0, 1, 3, 4, 5]), (60, 1, vec![0, 1, 3, 4, 6, 7])];
        let new = convert(Turns::Incremental, &rows);
        assert_eq!(new, [(25, vec![0, 1, 2]), (12, vec![4, 5]), (10, vec![7])]);
        let tokens: u64 = new.iter().map(|(length, _)| length).sum::<u64>() + 5 + 8;
        assert_eq!(tokens, 60);
        let back: Vec<_> = new.iter().zip(&rows).map(|(n, r)| (n.0, r.1, n.1.clone())).collect();
        let whole = convert(Turns::Cumulative, &back);
        assert_eq!(whole.iter().map(|(length, _)| *length).collect::<Vec<_>>(), [25, 42, 60]);
        for (pair, full) in whole.windows(2).zip([2, 4]) {
            assert_eq!(pair[0].1[..full], pair[1].1[..full], "full blocks stay");
            assert!(pair[1].1[full..].iter().all(|id| !pair[0].1.contains(id)), "the rest is new");
        }
    }

    #[test]
    fn a_prompt_that_does_not_continue_begins_anew() {
        let new = convert(
            Turns::Incremental,
            &[(25, 5, vec![0, 1, 2]), (30, 5, vec![0, 1, 9]), (40, 1, vec![0, 1, 9, 8])],
        );
        assert_eq!(new[..2], [(25, vec![0, 1, 2]), (30, vec![0, 1, 9])]);
        // The last block of the whole prompt is full.
        assert!(new[2].0 == 5 && new[2].1 != [8], "{new:?}");
    }
}
