//! Files that number their blocks each by themselves, as those do that were hashed one by one.
//!
//! In a file whose blocks are numbered in the order of first appearance every new id is the next number. A piece
//! that was cut from a longer trace soon has an id beyond: its new blocks are numbered after those of the pieces
//! before it. Where the records have been sorted since, the blocks themselves tell: a block comes after the same
//! one wherever it stands, so that an id which comes after another one in each of two files is not one block.

use hashbrown::HashMap;

use crate::record::TraceReader;

/// So many new ids of a file are looked at.
const ENOUGH: u64 = 1000;

/// With fewer, a file says nothing: a piece may begin with prompts that were in the first piece too.
const LEAST: u64 = 16;

/// Requests of a file whose blocks are compared, and blocks of all files.
const LOOKED: u32 = 200;
const MOST: usize = 1 << 16;

/// Which block comes before each, as far as the first requests of a file tell.
#[derive(Clone, Default)]
pub(crate) struct Predecessors {
    of: HashMap<u64, Option<u64>, foldhash::fast::FixedState>,
    /// Whether a block comes after different ones, so that ids are no prefixes and tell nothing.
    several: bool,
    requests: u32,
}

/// A block that comes after different ones in two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    block: u64,
    before: [Option<u64>; 2],
}

impl Predecessors {
    /// Whether no more requests are looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.requests == LOOKED || self.of.len() >= MOST || self.several
    }

    /// Takes the ids of a prompt.
    pub(crate) fn add(&mut self, ids: &[u64]) {
        let before = std::iter::once(None).chain(ids.iter().copied().map(Some));
        self.add_pairs(ids.iter().copied().zip(before));
    }

    /// Takes blocks of one prompt, each with the one that it comes after, if it is not the first.
    pub(crate) fn add_pairs(&mut self, pairs: impl Iterator<Item = (u64, Option<u64>)>) {
        if self.is_full() {
            return;
        }
        self.requests += 1;
        for (block, before) in pairs.take(MOST) {
            self.several |= *self.of.entry(block).or_insert(before) != before;
        }
    }

    /// Goes on to the next file, and says where that differs from those before.
    pub(crate) fn next_file(&mut self, file: Self) -> Option<Contradiction> {
        if self.several || file.several {
            self.several = true;
            return None;
        }
        let differs = |(&block, &here): (&u64, &Option<u64>)| {
            let there = *self.of.get(&block)?;
            (here != there).then_some(Contradiction { block, before: [there, here] })
        };
        let found = file.of.iter().filter_map(differs).min_by_key(|found| found.block);
        if found.is_none() && self.of.len() < MOST {
            self.of.extend(file.of);
        }
        found
    }
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [there, here] = self
            .before
            .map(|before| before.map_or("begins prompts".into(), |id| format!("comes after {id}")));
        write!(f, "block {} {there} in one and {here} in another", self.block)
    }
}

/// What is known of how a file, or a piece, numbers its blocks.
#[derive(Clone, Default)]
pub(crate) struct Numbered {
    pub(crate) from_zero: FromZero,
    pub(crate) predecessors: Predecessors,
}

/// What is known of several.
#[derive(Default)]
pub(crate) struct NumberedFiles {
    ended: u64,
    /// Whether the first numbers its blocks from zero, and how many others do.
    first: bool,
    others: u64,
    before: Predecessors,
    contradiction: Option<Contradiction>,
}

impl NumberedFiles {
    /// Takes the next one; whether it numbers its blocks from zero, and the first one does.
    pub(crate) fn add(&mut self, file: Numbered) -> bool {
        let is_so = file.from_zero.is_so();
        if self.ended == 0 {
            self.first = is_so;
        } else {
            self.others += u64::from(is_so);
        }
        self.ended += 1;
        let found = self.before.next_file(file.predecessors);
        self.contradiction = self.contradiction.or(found);
        is_so && self.first
    }

    /// What to say of them; `names` are those that number their blocks from zero, given how many after the first do,
    /// and all of them.
    pub(crate) fn note(&self, names: impl FnOnce(u64) -> String, all: &str) -> Option<String> {
        const EQUAL: &str = "equal numbers count as equal blocks, which they are not if the files were hashed one by one; \
             hash them together, or each with trace-hash `ids`=hash, or keep their blocks apart (trace-cat FILE... \
             `ids_scope`=file)";
        if self.first && self.others > 0 {
            return Some(format!("{} each number their blocks 0, 1, 2, ...: {EQUAL}", names(self.others)));
        }
        self.contradiction.map(|found| format!("{all} number their blocks by themselves ({found}): {EQUAL}"))
    }
}

/// Watches the files of a reader.
pub(crate) struct NumberedApart {
    file: usize,
    /// Whether there is more than one.
    several: bool,
    here: Numbered,
    files: NumberedFiles,
    /// Names of the file, and of the first two that number their blocks from zero.
    name: String,
    named: Vec<String>,
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

impl NumberedApart {
    /// Watches so many files.
    pub(crate) fn new(files: usize) -> Self {
        Self {
            file: 0,
            several: files > 1,
            here: Numbered::default(),
            files: NumberedFiles::default(),
            name: String::new(),
            named: Vec::new(),
        }
    }

    /// Takes the current record of a reader.
    #[inline]
    pub(crate) fn look(&mut self, reader: &TraceReader) {
        if self.several
            && (reader.numbering() != self.file
                || matches!(self.here.from_zero, FromZero::Watched(_))
                || !self.here.predecessors.is_full())
        {
            self.watch(reader);
        }
    }

    #[inline(never)]
    fn watch(&mut self, reader: &TraceReader) {
        let file = reader.numbering();
        // Of a session that goes on from an earlier file.
        if file < self.file {
            return;
        }
        if file > self.file {
            self.end_file();
            self.file = file;
        }
        if let FromZero::Watched(0) = self.here.from_zero {
            reader.input().place().0.clone_into(&mut self.name);
        }
        let record = reader.record();
        self.here.from_zero.add(record.hash_ids.iter().chain(&record.output_hash_ids).copied());
        self.here.predecessors.add(&record.hash_ids);
    }

    fn end_file(&mut self) {
        if self.files.add(std::mem::take(&mut self.here)) && self.named.len() < 2 {
            self.named.push(std::mem::take(&mut self.name));
        }
    }

    /// What to say after the last record.
    pub(crate) fn note(mut self) -> Option<String> {
        self.end_file();
        let names = |others| {
            let more = match others - 1 {
                0 => String::new(),
                1 => " and another file".into(),
                more => format!(" and {more} other files"),
            };
            self.named.join(", ") + &more
        };
        self.files.note(names, "the files")
    }
}
