//! The blocks that an engine computes and can find again, under names that count up.
//!
//! Of a prompt of L tokens and an answer of O, stop token included, an engine computes all tokens but the
//! last, which is sampled and never computed, and it can find again what fills a block: floor((L + O - 1) / B)
//! blocks. Those of the prompt have ids. Those of the answer have ids where the trace knows them; if not,
//! they still take room in a cache. So every block has a name, a number from 0 in the order of first
//! appearance, and a block without an id has one of its own.

use crate::blocks::{BlockNumber, NumberRun, Numbering};
use crate::error::Invalid;
use crate::record::{MAX_NEW_BLOCKS, Record};
use crate::stats::engine::followers::{Answer, Followers};
use crate::stats::recency::Kept;

/// What is known of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answers {
    /// Their lengths, and the ids of their blocks where records have them.
    #[default]
    Recorded,
    /// The same, and what can be inferred from prompts that continue a request.
    Inferred,
    /// Nothing: every answer is taken for one token, which is never computed.
    Ignored,
}

/// What the engine computes for a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::stats) struct EngineRequest<'a> {
    /// The names of its full blocks, those of the prompt first.
    pub(in crate::stats) names: &'a [BlockNumber],
    /// Names from this one on are new.
    pub(in crate::stats) first_new: BlockNumber,
    /// Length of its longest prefix of blocks that were computed before.
    pub(in crate::stats) known: u32,
    /// Prompt tokens.
    pub(in crate::stats) prompt: u64,
    /// Tokens of the answer, at least one.
    pub(in crate::stats) answer: u64,
    /// The session that it continues or begins, as far as prompts tell; if asked for.
    pub(in crate::stats) session: Option<u64>,
}

impl EngineRequest<'_> {
    /// The names of those blocks of the prompt that it may find: at least one token is computed.
    pub(in crate::stats) fn names_to_find(&self, block_size: u64) -> &[BlockNumber] {
        let limit = (self.prompt.saturating_sub(1) / block_size) as usize;
        &self.names[..limit.min(self.names.len())]
    }

    /// Appends the names as runs, each new or known as a whole.
    pub(in crate::stats) fn append_runs(&self, runs: &mut Vec<NumberRun>) {
        let mut next = self.first_new;
        for &name in self.names {
            let is_new = name == next;
            next += u32::from(is_new);
            match runs.last_mut() {
                Some(last) if last.end() == name && (last.start >= self.first_new) == is_new => last.len += 1,
                _ => runs.push(NumberRun { start: name, len: 1 }),
            }
        }
    }

    /// All tokens that are computed.
    pub(in crate::stats) fn tokens(&self) -> u64 {
        self.prompt + self.answer - 1
    }
}

/// Names the blocks of one request after the other. Memory: 4 bytes per block, besides that of
/// [`Numbering`] for those that have ids.
pub(in crate::stats) struct EngineBlocks {
    block_size: u64,
    answers: Answers,
    /// Whether blocks without ids are named.
    has_room: bool,
    numbering: Numbering,
    /// The name of each block that has a number.
    name_of: Vec<BlockNumber>,
    next: BlockNumber,
    followers: Option<Followers>,
    /// The number for a session not seen before, if sessions are looked for.
    next_session: Option<u64>,
    numbers: Vec<BlockNumber>,
    names: Vec<BlockNumber>,
}

/// A block that has occurred and has no name yet.
const UNNAMED: BlockNumber = BlockNumber::MAX;

impl EngineBlocks {
    /// Nothing has been seen yet. Blocks without ids are named where caches have limits, so that they take
    /// room.
    pub(in crate::stats) fn new(block_size: u64, answers: Answers, has_room: bool) -> Self {
        Self {
            block_size,
            answers,
            has_room,
            numbering: Numbering::default(),
            name_of: Vec::new(),
            next: 0,
            followers: (answers == Answers::Inferred).then(Followers::default),
            next_session: None,
            numbers: Vec::new(),
            names: Vec::new(),
        }
    }

    /// The same where all blocks so far have these numbers, and none was part of an answer.
    pub(in crate::stats) fn after(numbering: Numbering, block_size: u64, answers: Answers) -> Self {
        let next = numbering.len();
        let name_of = (0..next).collect();
        Self { numbering, name_of, next, ..Self::new(block_size, answers, false) }
    }

    /// The same, with the sessions of requests that continue each other.
    pub(in crate::stats) fn with_sessions(mut self) -> Self {
        self.followers.get_or_insert_default();
        self.next_session = Some(0);
        self
    }

    /// Names the blocks of the next request, which has ids.
    ///
    /// # Errors
    /// When there are more blocks than can be named, or an answer is longer than is plausible.
    pub(in crate::stats) fn request(&mut self, record: &Record) -> Result<EngineRequest<'_>, Invalid> {
        let is_ignored = self.answers == Answers::Ignored;
        let prompt = record.input_length;
        let answer = if is_ignored { 1 } else { record.output_length.unwrap_or(1).max(1) };
        let full = prompt / self.block_size;
        // The reader has found as many ids as blocks, which are in memory.
        let ids = &record.hash_ids[..record.hash_ids.len().min(full as usize)];
        let more = (prompt + answer - 1) / self.block_size - full;
        let first_new = self.next;
        self.numbering.number(ids, &mut self.numbers)?;
        self.name_of.resize(self.numbering.len() as usize, UNNAMED);
        let followers = self.followers.as_mut();
        let continued = followers.and_then(|f| f.settle(record, &self.numbers, &mut self.name_of));
        let session = self.session(continued);
        self.names.clear();
        self.add_named()?;
        let mut unknown =
            Answer { prompt, answer, full, first: self.next, blocks: 0, session: session.unwrap_or(0) };
        match record.output_ids().filter(|_| !is_ignored) {
            Some(ids) => {
                self.numbering.number(ids, &mut self.numbers)?;
                self.name_of.resize(self.numbering.len() as usize, UNNAMED);
                self.add_named()?;
            }
            None if more > 0 && (self.has_room || self.answers == Answers::Inferred) => {
                unknown.first = self.add_anonymous(more)?;
                unknown.blocks = if self.answers == Answers::Inferred { more as u32 } else { 0 };
            }
            None => {}
        }
        if let Some(followers) = self.followers.as_mut().filter(|_| session.is_some() || unknown.blocks > 0) {
            followers.wait_for(record, unknown, &self.names);
        }
        let known = self.names.iter().take_while(|&&name| name < first_new).count() as u32;
        Ok(EngineRequest { names: &self.names, first_new, known, prompt, answer, session })
    }

    /// The session of a request that continues one of that session, if sessions are looked for.
    fn session(&mut self, continued: Option<u64>) -> Option<u64> {
        let next = self.next_session.as_mut()?;
        *next += u64::from(continued.is_none());
        Some(continued.unwrap_or(*next))
    }

    /// Appends the names of the blocks that have been numbered last.
    fn add_named(&mut self) -> Result<(), Invalid> {
        self.check(self.numbers.len() as u64)?;
        for &number in &self.numbers {
            let name = &mut self.name_of[number as usize];
            if *name == UNNAMED {
                *name = self.next;
                self.next += 1;
            }
            self.names.push(*name);
        }
        Ok(())
    }

    /// Appends names for blocks without ids; the first of them.
    fn add_anonymous(&mut self, blocks: u64) -> Result<BlockNumber, Invalid> {
        if blocks > MAX_NEW_BLOCKS {
            let message = format!("an answer that fills {blocks} blocks is not plausible");
            return Err(Invalid::value(message));
        }
        self.check(blocks)?;
        let first = self.next;
        self.next += blocks as u32;
        self.names.extend(first..self.next);
        Ok(first)
    }

    /// Whether there are names for so many more blocks.
    fn check(&self, more: u64) -> Result<(), Invalid> {
        if u64::from(self.next) + more >= u64::from(UNNAMED) {
            return Err(Invalid::over_limit("more than 4294967294 distinct blocks"));
        }
        Ok(())
    }

    /// How many requests have been found whose answers a later prompt quotes.
    pub(in crate::stats) fn inferred(&self) -> Option<u64> {
        self.followers.as_ref().filter(|_| self.answers == Answers::Inferred).map(Followers::settled)
    }

    /// How many names there are.
    pub(in crate::stats) fn len(&self) -> BlockNumber {
        self.next
    }

    /// Forgets all blocks but those that are kept, whose names become 0, 1, 2, ... in their old order.
    pub(in crate::stats) fn retain(&mut self, kept: &Kept) {
        let stays = |&number: &u32| kept.new_number(self.name_of[number as usize]).is_some();
        self.numbering.retain((0..self.numbering.len()).filter(stays));
        self.name_of = self.name_of.iter().filter_map(|&name| kept.new_number(name)).collect();
        self.next = kept.len();
        if let Some(followers) = &mut self.followers {
            followers.forget();
        }
    }

    /// Bytes in use.
    pub(in crate::stats) fn bytes(&self) -> usize {
        self.numbering.bytes()
            + size_of::<BlockNumber>() * self.name_of.len()
            + self.followers.as_ref().map_or(0, Followers::bytes)
    }
}
