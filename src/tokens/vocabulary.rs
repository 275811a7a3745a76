//! The vocabulary and the merges of a tokenizer file.
//!
//! Both lists make up nearly all of the file: a million texts, which take a general JSON reader a tenth
//! of a second or more. Here two threads read them at once, and nothing is unescaped or copied: tokens
//! are compared as they are spelled in the file, by 64-bit hashes. (A vocabulary in which two hashes are
//! equal is refused.) All else in the file is left to serde. Anything unexpected gives `None`, and the
//! file is left to the general engine.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use memchr::memmem;

use super::bpe::INNER;

/// A token's text as it is spelled, without the quotes, and its id.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) spelling: &'a [u8],
    pub(super) id: u32,
}

/// Where a token is found: the hash of its spelling, its place in the list, its id.
#[derive(Clone, Copy)]
struct Known {
    hash: u64,
    place: u32,
    id: u32,
}

/// The vocabulary.
pub(super) struct Vocab<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    table: HashTable<Known>,
    hasher: FixedState,
}

impl Token<'_> {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        text_of(self.spelling)
    }
}

/// The text of a JSON string, given as it is spelled between its quotes.
pub(super) fn text_of(spelling: &[u8]) -> Option<Cow<'_, str>> {
    if !spelling.contains(&b'\\') {
        return std::str::from_utf8(spelling).ok().map(Cow::Borrowed);
    }
    let quoted = [b"\"", spelling, b"\""].concat();
    serde_json::from_slice(&quoted).ok().map(Cow::Owned)
}

impl<'a> Vocab<'a> {
    /// Reads the object that begins at `start`; gives its end too.
    fn read(file: &'a [u8], start: usize) -> Option<(Self, usize)> {
        let mut vocab = Self {
            tokens: Vec::with_capacity(1 << 17),
            table: HashTable::with_capacity(1 << 17),
            hasher: FixedState::default(),
        };
        let mut reader = Reader { file, at: start };
        reader.pass(b'{')?;
        loop {
            let spelling = &file[reader.string()?];
            reader.pass(b':')?;
            let id = reader.number()?;
            let hash = vocab.hasher.hash_one(spelling);
            if id >= INNER || vocab.table.find(hash, |known| known.hash == hash).is_some() {
                return None;
            }
            let known = Known { hash, place: vocab.tokens.len() as u32, id };
            vocab.table.insert_unique(hash, known, |known| known.hash);
            vocab.tokens.push(Token { spelling, id });
            if reader.next()? != b',' {
                break;
            }
        }
        reader.at -= 1;
        reader.pass(b'}')?;
        Some((vocab, reader.at))
    }

    fn find(&self, spelling: &[u8]) -> Option<Known> {
        let hash = self.hasher.hash_one(spelling);
        self.table.find(hash, |known| known.hash == hash).copied()
    }

    /// The id of the token with this text, as serde would spell it.
    pub(super) fn id_of(&self, text: &str) -> Option<u32> {
        let spelling = serde_json::to_string(text).ok()?;
        self.find(spelling.get(1..spelling.len() - 1)?.as_bytes()).map(|known| known.id)
    }

    /// The tokens of each merge: left side, right side, and both joined.
    fn resolve(&self, file: &[u8], merges: &[Merge]) -> Option<Vec<[u32; 3]>> {
        let mut joined = Vec::new();
        let mut place = 0;
        let mut resolve = |merge: &Merge| {
            let [left, right] = merge.sides(file);
            let ids = [self.find(left)?.id, self.find(right)?.id];
            // Most merges stand in the order of the tokens that they make.
            let is = |token: &&Token<'_>| {
                let (len, text) = (left.len(), token.spelling);
                text.len() == len + right.len() && text[..len] == *left && text[len..] == *right
            };
            let near = (place..place + 2).find(|&near| self.tokens.get(near).as_ref().is_some_and(is));
            let id = match near {
                Some(near) => {
                    place = near;
                    self.tokens[near].id
                }
                None => {
                    joined.clear();
                    joined.extend_from_slice(left);
                    joined.extend_from_slice(right);
                    let known = self.find(&joined)?;
                    place = known.place as usize;
                    known.id
                }
            };
            Some([ids[0], ids[1], id])
        };
        merges.iter().map(&mut resolve).collect()
    }
}

/// A merge: where its sides stand in the file.
#[derive(Clone)]
pub(super) struct Merge {
    left: Range<u32>,
    right: Range<u32>,
}

impl Merge {
    pub(super) fn sides<'a>(&self, file: &'a [u8]) -> [&'a [u8]; 2] {
        let slice = |range: &Range<u32>| &file[range.start as usize..range.end as usize];
        [slice(&self.left), slice(&self.right)]
    }
}

/// Reads the array that begins at `start`; gives its end too.
fn read_merges(file: &[u8], start: usize) -> Option<(Vec<Merge>, usize)> {
    let mut merges = Vec::with_capacity((file.len() - start) / 24);
    let mut reader = Reader { file, at: start };
    let range = |range: Range<usize>| range.start as u32..range.end as u32;
    reader.pass(b'[')?;
    loop {
        let merge = if reader.next()? == b'[' {
            let left = reader.string()?;
            reader.pass(b',')?;
            let right = reader.string()?;
            reader.pass(b']')?;
            Merge { left: range(left), right: range(right) }
        } else {
            reader.at -= 1;
            let both = reader.string()?;
            let mut spaces = memchr::memchr_iter(b' ', &file[both.clone()]);
            let middle = both.start + spaces.next()?;
            if spaces.next().is_some() {
                return None;
            }
            Merge { left: range(both.start..middle), right: range(middle + 1..both.end) }
        };
        merges.push(merge);
        if reader.next()? != b',' {
            break;
        }
    }
    reader.at -= 1;
    reader.pass(b']')?;
    Some((merges, reader.at))
}

/// The two lists, and the rest of a file.
pub(super) struct Lists<'a> {
    pub(super) vocab: Vocab<'a>,
    pub(super) merges: Vec<Merge>,
    /// The tokens of each merge: left, right, and both together.
    pub(super) resolved: Vec<[u32; 3]>,
    /// The file with `null` in place of both lists.
    pub(super) rest: Vec<u8>,
}

impl<'a> Lists<'a> {
    /// Reads `file`, and does `beside` while another thread reads half of it.
    pub(super) fn read<T: Send>(file: &'a [u8], beside: impl Fn() -> T + Sync) -> (Option<Self>, T) {
        let places = value_after(file, 0, b"\"vocab\"", b'{')
            .and_then(|vocab| Some((vocab, value_after(file, vocab, b"\"merges\"", b'[')?)))
            .filter(|_| u32::try_from(file.len()).is_ok());
        let Some((vocab_start, merges_start)) = places else { return (None, beside()) };
        let (vocab, (merges, beside)) =
            both(|| Vocab::read(file, vocab_start), || (read_merges(file, merges_start), beside()));
        let lists = || {
            let ((vocab, vocab_end), (merges, merges_end)) = (vocab?, merges?);
            let (first, second) = merges.split_at(merges.len() / 2);
            let (resolved, more) = both(|| vocab.resolve(file, first), || vocab.resolve(file, second));
            let mut resolved = resolved?;
            resolved.extend(more?);
            let between = file.get(vocab_end..merges_start)?;
            let rest = [&file[..vocab_start], between, &file[merges_end..]].join(&b"null"[..]);
            Some(Self { vocab, merges, resolved, rest })
        };
        (lists(), beside)
    }
}

/// Runs both at once, or one after the other if the system refuses a thread.
pub(super) fn both<A, B: Send>(first: impl FnOnce() -> A, second: impl Fn() -> B + Sync) -> (A, B) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, &second);
        let first = first();
        let second = match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(second)) => second,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => second(),
        };
        (first, second)
    })
}

/// Where the value after `key` begins, if it begins with `first`.
fn value_after(file: &[u8], from: usize, key: &[u8], first: u8) -> Option<usize> {
    memmem::find_iter(&file[from..], key).find_map(|found| {
        let mut reader = Reader { file, at: from + found + key.len() };
        reader.pass(b':')?;
        (reader.next()? == first).then_some(reader.at - 1)
    })
}

/// Reads JSON token by token, skipping white space.
struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            while self.file.get(self.at..).and_then(|rest| rest.first_chunk()) == Some(b"        ") {
                self.at += 8;
            }
            let byte = *self.file.get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
        }
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Where the text of a string stands, between its quotes.
    #[inline]
    fn string(&mut self) -> Option<Range<usize>> {
        self.pass(b'"')?;
        let start = self.at;
        loop {
            match *self.file.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(start..self.at - 1)
    }

    /// A whole number.
    #[inline]
    fn number(&mut self) -> Option<u32> {
        let mut number = u32::from(self.next()?.wrapping_sub(b'0'));
        if number > 9 {
            return None;
        }
        while let Some(digit) = self.file.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            number = number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))?;
            self.at += 1;
        }
        Some(number)
    }
}
