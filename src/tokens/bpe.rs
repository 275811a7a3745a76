//! Byte-pair merging: from the bytes of one word to its tokens.
//!
//! The rules are those of the BPE model in Hugging Face's `tokenizers`: start with one token per
//! byte and merge the neighbours whose merge stands first in the list, the leftmost of equals first,
//! until no merge is left. Words repeat, so each thread keeps the tokens of words it has seen in a
//! small table ([`Words`]); only what misses there is merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// No token, no merge.
const NONE: u32 = u32::MAX;

/// Words of more bytes are merged with a heap: quicker, from about here on, than to look for the
/// first merge anew each time.
const SHORT: usize = 64;

/// A token of the vocabulary: where its bytes stand, and its id.
#[derive(Clone, Copy)]
struct Piece {
    start: u32,
    len: u32,
    id: u32,
}

/// Two neighbours and what becomes of them.
#[derive(Clone, Copy)]
struct Pair {
    key: u64,
    merge: Merge,
}

#[derive(Clone, Copy)]
struct Merge {
    rank: u32,
    id: u32,
}

const NO_MERGE: Merge = Merge { rank: NONE, id: NONE };

/// The tokens of a vocabulary by their bytes.
#[derive(Default)]
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    table: HashTable<Piece>,
    hasher: FixedState,
}

impl Vocabulary {
    pub(super) fn with_capacity(tokens: usize) -> Self {
        let table = HashTable::with_capacity(tokens);
        Self { bytes: Vec::with_capacity(tokens * 8), table, hasher: FixedState::default() }
    }

    fn slice(&self, piece: Piece) -> &[u8] {
        &self.bytes[piece.start as usize..][..piece.len as usize]
    }

    /// Adds a token; of two with the same bytes the last one counts.
    pub(super) fn insert(&mut self, token: &[u8], id: u32) {
        let hash = self.hasher.hash_one(token);
        let Self { bytes, table, .. } = self;
        let of = |piece: &Piece| &bytes[piece.start as usize..][..piece.len as usize];
        if let Some(known) = table.find_mut(hash, |piece| of(piece) == token) {
            known.id = id;
            return;
        }
        let piece = Piece { start: bytes.len() as u32, len: token.len() as u32, id };
        bytes.extend_from_slice(token);
        let (bytes, hasher) = (&*bytes, &self.hasher);
        let rehash = |p: &Piece| hasher.hash_one(&bytes[p.start as usize..][..p.len as usize]);
        table.insert_unique(hash, piece, rehash);
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(token);
        self.table.find(hash, |&piece| self.slice(piece) == token).map(|piece| piece.id)
    }

    /// The token of each byte; `None` if one has none.
    pub(super) fn byte_ids(&self) -> Option<[u32; 256]> {
        let mut ids = [NONE; 256];
        for (byte, id) in (0..=u8::MAX).zip(&mut ids) {
            *id = self.get(&[byte])?;
        }
        Some(ids)
    }
}

/// Merges words into tokens.
pub(super) struct Bpe {
    pairs: HashTable<Pair>,
    byte_ids: [u32; 256],
    /// The merges of two bytes, by both: half of all that is looked up, in the space of a few pages.
    byte_pairs: Vec<Merge>,
    /// Tokens that are taken as they are where they are a word, whatever the merges would make of it.
    whole_words: Option<Vocabulary>,
}

impl Bpe {
    /// `merges` gives, in order of rank, the two tokens to merge and the result; a pair that occurs
    /// twice keeps its last place.
    pub(super) fn new(
        byte_ids: &[u32; 256],
        merges: impl ExactSizeIterator<Item = [u32; 3]>,
        whole_words: Option<Vocabulary>,
    ) -> Self {
        let mut pairs: HashTable<Pair> = HashTable::with_capacity(merges.len());
        for (rank, [left, right, id]) in (0..).zip(merges) {
            let key = pair_key(left, right);
            let pair = Pair { key, merge: Merge { rank, id } };
            match pairs.find_mut(hash_pair(key), |p| p.key == key) {
                Some(known) => *known = pair,
                None => {
                    pairs.insert_unique(hash_pair(key), pair, |p| hash_pair(p.key));
                }
            }
        }
        let mut bpe = Self { pairs, byte_ids: *byte_ids, byte_pairs: Vec::new(), whole_words };
        bpe.byte_pairs =
            (0..1 << 16).map(|i: usize| bpe.merge(byte_ids[i >> 8], byte_ids[i & 255])).collect();
        bpe
    }

    #[inline]
    fn merge(&self, left: u32, right: u32) -> Merge {
        let key = pair_key(left, right);
        self.pairs.find(hash_pair(key), |p| p.key == key).map_or(NO_MERGE, |p| p.merge)
    }

    /// Appends the tokens of the bytes `word` of `text`.
    #[inline]
    pub(super) fn encode_word(&self, text: &[u8], word: Range<usize>, cache: &mut Words, out: &mut Vec<u32>) {
        let Some(key) = Words::key(text, &word) else {
            return self.encode_long(&text[word], cache, out);
        };
        let set = cache.set(key);
        if set.0[0].key != key {
            set.0.swap(0, 1);
            if set.0[0].key != key {
                return self.encode_new(&text[word], key, cache, out);
            }
        }
        let tokens = set.0[0].tokens;
        out.push(tokens[0]);
        if tokens[1] != NONE {
            out.extend(tokens[1..].iter().take_while(|&&token| token != NONE));
        }
    }

    /// A short word that is not in its place. Those of many tokens are kept with the long ones.
    #[inline(never)]
    fn encode_new(&self, word: &[u8], key: u128, cache: &mut Words, out: &mut Vec<u32>) {
        let before = out.len();
        self.encode_long(word, cache, out);
        let found = &out[before..];
        if found.len() <= 4 {
            let mut tokens = [NONE; 4];
            tokens[..found.len()].copy_from_slice(found);
            cache.set(key).0[0] = Entry { key, tokens };
        }
    }

    #[inline(never)]
    fn encode_long(&self, word: &[u8], cache: &mut Words, out: &mut Vec<u32>) {
        if word.len() > LONGEST {
            return self.merge_word(word, &mut cache.scratch, out);
        }
        let place = cache.hasher.hash_one(word) as usize % LONG_PLACES;
        let long = &mut cache.long[place];
        if *long.word == *word {
            out.extend_from_slice(&long.tokens);
            return;
        }
        let before = out.len();
        self.merge_word(word, &mut cache.scratch, out);
        if word.len() > 15 || out.len() - before > 4 {
            cache.long[place] = Long { word: word.into(), tokens: out[before..].into() };
        }
    }

    #[inline(never)]
    fn merge_word(&self, word: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        if let Some(id) = self.whole_words.as_ref().and_then(|tokens| tokens.get(word)) {
            out.push(id);
            return;
        }
        scratch.ids.clear();
        scratch.ids.extend(word.iter().map(|&byte| self.byte_ids[usize::from(byte)]));
        if word.len() <= SHORT {
            let pair = |pair: &[u8]| self.byte_pairs[usize::from(pair[0]) << 8 | usize::from(pair[1])];
            scratch.merges.clear();
            scratch.merges.extend(word.windows(2).map(pair));
            self.merge_short(&mut scratch.ids, &mut scratch.merges);
            out.extend_from_slice(&scratch.ids);
        } else {
            self.merge_long(scratch, out);
        }
    }

    /// `merges` are those of the neighbours in `ids`.
    fn merge_short(&self, ids: &mut Vec<u32>, merges: &mut Vec<Merge>) {
        while let Some((at, merge)) = merges.iter().copied().enumerate().min_by_key(|(_, m)| m.rank) {
            if merge.rank == NONE {
                return;
            }
            ids[at] = merge.id;
            ids.remove(at + 1);
            merges.remove(at);
            if at > 0 {
                merges[at - 1] = self.merge(ids[at - 1], ids[at]);
            }
            if at < merges.len() {
                merges[at] = self.merge(ids[at], ids[at + 1]);
            }
        }
    }

    /// The same for words of any length: a list of what is left, and a heap of possible merges, of
    /// which those that have become impossible are passed over.
    fn merge_long(&self, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let Scratch { ids, links, heap, .. } = scratch;
        let n = ids.len() as u32;
        links.clear();
        links.extend((0..n).map(|i| (i.wrapping_sub(1), if i + 1 < n { i + 1 } else { NONE })));
        heap.clear();
        for (at, pair) in (0..).zip(ids.windows(2)) {
            self.propose(heap, at, pair[0], pair[1]);
        }
        while let Some(Reverse((_, at, key, id))) = heap.pop() {
            let (before, next) = links[at as usize];
            if next == NONE || pair_key(ids[at as usize], ids[next as usize]) != key {
                continue;
            }
            let after = links[next as usize].1;
            ids[at as usize] = id;
            ids[next as usize] = NONE;
            links[at as usize].1 = after;
            if after != NONE {
                links[after as usize].0 = at;
                self.propose(heap, at, id, ids[after as usize]);
            }
            if before != NONE {
                self.propose(heap, before, ids[before as usize], id);
            }
        }
        out.extend(ids.iter().filter(|&&id| id != NONE));
    }

    fn propose(&self, heap: &mut Heap, at: u32, left: u32, right: u32) {
        let merge = self.merge(left, right);
        if merge.rank != NONE {
            heap.push(Reverse((merge.rank, at, pair_key(left, right), merge.id)));
        }
    }
}

fn pair_key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

fn hash_pair(key: u64) -> u64 {
    fold(key ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93)
}

/// Both halves of the product of two words.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Possible merges by rank, then by place: the pair, and what it becomes.
type Heap = BinaryHeap<Reverse<(u32, u32, u64, u32)>>;

/// Memory for merging, reused.
#[derive(Default)]
struct Scratch {
    ids: Vec<u32>,
    merges: Vec<Merge>,
    links: Vec<(u32, u32)>,
    heap: Heap,
}

/// A word of at most 15 bytes, its length in the highest byte, and its tokens.
#[derive(Clone, Copy)]
struct Entry {
    key: u128,
    tokens: [u32; 4],
}

/// Two words of the same hash, the one used last first; one line of a core's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set([Entry; 2]);

/// A longer word, or one of more tokens.
#[derive(Clone, Default)]
struct Long {
    word: Box<[u8]>,
    tokens: Box<[u32]>,
}

/// The tokens of words seen before: few places per hash, the word used least recently leaves.
pub(super) struct Words {
    sets: Vec<Set>,
    long: Vec<Long>,
    hasher: FixedState,
    scratch: Scratch,
}

/// Binary logarithm of the number of sets: 4 MiB. A quarter of it was slower.
const SETS: u32 = 16;

/// Places for longer words, and the longest that is kept: a few MiB at most.
const LONG_PLACES: usize = 1 << 14;
const LONGEST: usize = 128;

impl Default for Words {
    fn default() -> Self {
        let sets = vec![Set([Entry { key: 0, tokens: [NONE; 4] }; 2]); 1 << SETS];
        let long = vec![Long::default(); LONG_PLACES];
        Self { sets, long, hasher: FixedState::default(), scratch: Scratch::default() }
    }
}

impl Words {
    #[inline]
    fn key(text: &[u8], word: &Range<usize>) -> Option<u128> {
        let len = word.len();
        if len == 0 || len > 15 {
            return None;
        }
        let bytes = match text.get(word.start..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(bytes) => u128::from_le_bytes(*bytes) & (u128::MAX >> (128 - 8 * len)),
            None => {
                let mut bytes = [0; 16];
                bytes[..len].copy_from_slice(&text[word.clone()]);
                u128::from_le_bytes(bytes)
            }
        };
        Some(bytes | (len as u128) << 120)
    }

    #[inline]
    fn set(&mut self, key: u128) -> &mut Set {
        let hash = fold(key as u64 ^ 0x9e37_79b9_7f4a_7c15, (key >> 64) as u64 ^ 0xd6e8_feb8_6659_fd93);
        &mut self.sets[(hash >> (64 - SETS)) as usize]
    }
}
