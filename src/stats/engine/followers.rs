//! Answers that a trace does not list, inferred from the prompts that quote them.
//!
//! A request continues an earlier one if it begins with all its full blocks, differs where that prompt
//! ended, and is at least as long as that prompt and its answer together. Then its blocks up to the end of
//! the answer are those that the engine computed for the answer. This is known only when the follow-up
//! arrives, which is early enough: nobody could have asked for these blocks before.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::blocks::BlockNumber;
use crate::record::Record;

/// Requests with the same prompt that are looked at for a follow-up.
const PATIENCE: u8 = 50;

/// The answer to a request.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    /// Tokens of the prompt.
    pub(super) prompt: u64,
    /// Tokens of the answer.
    pub(super) answer: u64,
    /// Full blocks of the prompt.
    pub(super) full: u64,
    /// The name of its first block; those that follow count up.
    pub(super) first: BlockNumber,
    /// How many blocks without ids it fills.
    pub(super) blocks: u32,
    /// The session of the request.
    pub(super) session: u64,
}

/// An answer that no prompt has quoted yet.
struct Waiting {
    answer: Answer,
    /// The id of the prompt's last, partial block.
    partial: Option<u64>,
    /// How many more requests with this prompt are looked at.
    patience: u8,
}

/// Requests whose answers may still be quoted, by the name of the last full block of their prompts.
#[derive(Default)]
pub(super) struct Followers {
    waiting: HashMap<BlockNumber, Vec<Waiting>, RandomState>,
    count: usize,
    settled: u64,
}

impl Followers {
    /// Takes a request whose full blocks have these `numbers`: gives the blocks of the answers that it
    /// quotes the names that they have had since. The session of the longest prompt that it continues.
    pub(super) fn settle(
        &mut self,
        record: &Record,
        numbers: &[BlockNumber],
        name_of: &mut [BlockNumber],
    ) -> Option<u64> {
        let mut found = None;
        for (place, &number) in numbers.iter().enumerate() {
            // What is not named yet ends no earlier prompt.
            let name = name_of[number as usize];
            let Some(waiting) = self.waiting.get_mut(&name) else { continue };
            let next = record.hash_ids.get(place + 1).copied();
            let before = waiting.len();
            waiting.retain_mut(|one| {
                let Answer { prompt, answer, full, first, blocks, session } = one.answer;
                if full != place as u64 + 1 {
                    return true;
                }
                let goes_on = one.partial.is_none() || next != one.partial;
                if !goes_on || record.input_length < prompt + answer {
                    one.patience -= 1;
                    return one.patience > 0;
                }
                found = Some(session);
                self.settled += u64::from(blocks > 0);
                for (&number, name) in numbers[place + 1..].iter().zip(first..first + blocks) {
                    let known = &mut name_of[number as usize];
                    if *known == BlockNumber::MAX {
                        *known = name;
                    }
                }
                false
            });
            self.count -= before - waiting.len();
            if waiting.is_empty() {
                self.waiting.remove(&name);
            }
        }
        found
    }

    /// Notes the answer to a request whose blocks have these names.
    pub(super) fn wait_for(&mut self, record: &Record, answer: Answer, names: &[BlockNumber]) {
        let Some(&last) = (answer.full as usize).checked_sub(1).and_then(|last| names.get(last)) else {
            return;
        };
        let partial = record.hash_ids.get(answer.full as usize).copied();
        self.waiting.entry(last).or_default().push(Waiting { answer, partial, patience: PATIENCE });
        self.count += 1;
    }

    /// Waits no longer.
    pub(super) fn forget(&mut self) {
        self.waiting = HashMap::default();
        self.count = 0;
    }

    /// How many answers have been found.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// Bytes in use: entries of a table that may be twice as large, and lists of one or more.
    pub(super) fn bytes(&self) -> usize {
        2 * size_of::<(BlockNumber, Vec<Waiting>)>() * self.waiting.len()
            + 2 * size_of::<Waiting>() * self.count
    }
}
