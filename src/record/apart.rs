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
    state: FromZero,
    /// The name of the first file, if that is numbered so, and those of the later ones: how many, and the first.
    first: Option<String>,
    later: u64,
    one: String,
    name: String,
}

/// What is known of how a file numbers its blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FromZero {
    /// Its new ids have been 0, 1, 2, ... below this number.
    Watched(u64),
    /// Whether it numbers them so.
    Known(bool),
}

impl Default for FromZero {
    fn default() -> Self {
        Self::Watched(0)
    }
}

impl FromZero {
    /// Takes the next ids of the file, be they new or not.
    #[inline]
    pub(crate) fn add(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            let Self::Watched(next) = *self else { return };
            *self = match id.cmp(&next) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal if next + 1 == ENOUGH => Self::Known(true),
                std::cmp::Ordering::Equal => Self::Watched(next + 1),
                std::cmp::Ordering::Greater => Self::Known(false),
            };
        }
    }

    /// Whether it numbers its blocks so, after its last id.
    pub(crate) fn is_so(self) -> bool {
        match self {
            Self::Watched(next) => next >= LEAST,
            Self::Known(known) => known,
        }
    }
}

/// What to say of files that number their blocks so, with their names.
pub(crate) fn note(files: &str) -> String {
    format!(
        "{files} each number their blocks 0, 1, 2, ...: equal numbers count as equal blocks, which they are not if the \
         files were hashed one by one; hash them together, or each with trace-hash `ids`=hash, or keep their blocks \
         apart (trace-cat FILE... `ids_scope`=file)"
    )
}

impl NumberedApart {
    /// Takes the current record of a reader.
    #[inline]
    pub(crate) fn look(&mut self, reader: &TraceReader) {
        if reader.file_index() != self.file || matches!(self.state, FromZero::Watched(_)) {
            self.watch(reader);
        }
    }

    #[inline(never)]
    fn watch(&mut self, reader: &TraceReader) {
        if reader.file_index() != self.file {
            self.end_file();
            self.file = reader.file_index();
            // Nothing else matters where the first file is otherwise.
            self.state = if self.first.is_some() { FromZero::default() } else { FromZero::Known(false) };
        }
        if let FromZero::Watched(0) = self.state {
            reader.input().place().0.clone_into(&mut self.name);
        }
        let record = reader.record();
        self.state.add(record.hash_ids.iter().chain(&record.output_hash_ids).copied());
    }

    fn end_file(&mut self) {
        if !self.state.is_so() {
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
        Some(note(&format!("{first}, {one}{others}")))
    }
}
