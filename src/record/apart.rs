//! Files that each number their blocks from zero, as those do that were hashed one by one.
//!
//! In a file whose blocks are numbered in the order of first appearance every new id is the next number. A piece
//! that was cut from a longer trace soon has an id beyond: its new blocks are numbered after those of the pieces
//! before it.

use crate::record::TraceReader;

/// So many new ids of a file are looked at.
const ENOUGH: u64 = 1000;

/// With fewer, a file says nothing: a piece may begin with prompts that were in the first piece too.
const LEAST: u64 = 16;

/// Watches the files of a reader.
#[derive(Default)]
pub(crate) struct NumberedApart {
    file: usize,
    state: State,
    /// The name of the first file, if that is numbered so, and those of the later ones: how many, and the first.
    first: Option<String>,
    later: u64,
    one: String,
    name: String,
}

/// What is known of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its new ids have been 0, 1, 2, ... below this number.
    Watched(u64),
    /// Whether it is numbered so.
    Known(bool),
}

impl Default for State {
    fn default() -> Self {
        Self::Watched(0)
    }
}

impl NumberedApart {
    /// Takes the current record of a reader.
    #[inline]
    pub(crate) fn look(&mut self, reader: &TraceReader) {
        if reader.file_index() != self.file || matches!(self.state, State::Watched(_)) {
            self.watch(reader);
        }
    }

    #[inline(never)]
    fn watch(&mut self, reader: &TraceReader) {
        if reader.file_index() != self.file {
            self.end_file();
            self.file = reader.file_index();
            // Nothing else matters where the first file is otherwise.
            self.state = if self.first.is_some() { State::default() } else { State::Known(false) };
        }
        if let State::Watched(0) = self.state {
            reader.input().place().0.clone_into(&mut self.name);
        }
        let record = reader.record();
        for id in record.hash_ids.iter().chain(&record.output_hash_ids) {
            let State::Watched(next) = self.state else { return };
            self.state = match id.cmp(&next) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal if next + 1 == ENOUGH => State::Known(true),
                std::cmp::Ordering::Equal => State::Watched(next + 1),
                std::cmp::Ordering::Greater => State::Known(false),
            };
        }
    }

    fn end_file(&mut self) {
        let is_numbered = match self.state {
            State::Watched(next) => next >= LEAST,
            State::Known(known) => known,
        };
        if !is_numbered {
            return;
        }
        if self.file == 0 {
            self.first = Some(std::mem::take(&mut self.name));
        } else {
            self.later += 1;
            if self.later == 1 {
                self.one = std::mem::take(&mut self.name);
            }
        }
    }

    /// What to say after the last record.
    pub(crate) fn note(mut self) -> Option<String> {
        self.end_file();
        let (first, one) = (self.first.filter(|_| self.later > 0)?, self.one);
        let others =
            if self.later > 1 { format!(" and {} more files", self.later - 1) } else { String::new() };
        Some(format!(
            "{first}, {one}{others} each number their blocks 0, 1, 2, ...: equal numbers count as equal blocks, which they \
             are not if the files were hashed one by one; hash them together, or each with trace-hash `ids`=hash, or \
             keep their blocks apart (trace-cat FILE... `ids_scope`=file)"
        ))
    }
}
