//! Byte-pair merging: from the bytes of one word to its tokens.
//!
//! The rules are those of the BPE model in Hugging Face's `tokenizers`: start with one token per
//! byte (or character) and merge the neighbours whose merge stands first in the list, the leftmost of
//! equals first, until no merge is left. Words repeat, so each thread keeps the tokens of words it has
//! seen in a small table ([`WordCache`]); only words that miss there are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::characters::Characters;

/// Stands for the absence of a token or a merge.
const NONE: u32 = u32::MAX;

/// Longer words are merged with a heap, which from about here on is quicker than searching for the
/// first merge each time.
const SHORT: usize = 64;

/// Two neighbouring tokens and their merge.
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

/// Tokens by their bytes.
#[derive(Default)]
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    /// Where the bytes of a token stand, how many there are, and its id.
    table: HashTable<[u32; 3]>,
    hasher: FixedState,
}

impl Vocabulary {
    pub(super) fn with_capacity(tokens: usize) -> Self {
        let table = HashTable::with_capacity(tokens);
        Self { bytes: Vec::with_capacity(tokens * 8), table, hasher: FixedState::default() }
    }

    /// Adds a token that is not in it yet.
    pub(super) fn insert(&mut self, token: &[u8], id: u32) {
        let piece = [self.bytes.len() as u32, token.len() as u32, id];
        self.bytes.extend_from_slice(token);
        let (bytes, hasher) = (&*self.bytes, &self.hasher);
        let rehash = |piece: &[u32; 3]| hasher.hash_one(slice(bytes, *piece));
        self.table.insert_unique(hasher.hash_one(token), piece, rehash);
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(token);
        self.table.find(hash, |&piece| slice(&self.bytes, piece) == token).map(|piece| piece[2])
    }
}

fn slice(bytes: &[u8], [start, len, _]: [u32; 3]) -> &[u8] {
    &bytes[start as usize..][..len as usize]
}

/// The tokens that a word begins as.
pub(super) enum Alphabet {
    /// One for each byte.
    Bytes(Box<[u32; 256]>),
    /// One for each character.
    Characters(Box<Characters>),
}

/// Merges words into tokens.
pub(super) struct Bpe {
    pairs: HashTable<Pair>,
    alphabet: Alphabet,
    /// The merges of two bytes, by both: half of all look-ups, in the space of a few pages.
    byte_pairs: Vec<Merge>,
    /// Tokens that a word becomes as a whole, whatever the merges would make of it.
    whole_words: Option<Vocabulary>,
}

impl Bpe {
    /// `merges` gives, in order of rank, the two tokens to merge and the result; a pair that occurs
    /// twice keeps its last place.
    pub(super) fn new(alphabet: Alphabet, merges: impl ExactSizeIterator<Item = [u32; 3]>) -> Self {
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
        let mut bpe = Self { pairs, alphabet, byte_pairs: Vec::new(), whole_words: None };
        if let Alphabet::Bytes(ids) = &bpe.alphabet {
            bpe.byte_pairs = (0..1 << 16).map(|i: usize| bpe.merge(ids[i >> 8], ids[i & 255])).collect();
        }
        bpe
    }

    /// Sets the tokens that a word becomes as a whole.
    pub(super) fn take_whole(&mut self, words: Option<Vocabulary>) {
        self.whole_words = words;
    }

    #[inline]
    fn merge(&self, left: u32, right: u32) -> Merge {
        let key = pair_key(left, right);
        self.pairs.find(hash_pair(key), |p| p.key == key).map_or(NO_MERGE, |p| p.merge)
    }

    /// Appends the tokens of the bytes `word` of `text`.
    #[inline]
    pub(super) fn encode_word(
        &self,
        text: &[u8],
        word: Range<usize>,
        cache: &mut WordCache,
        out: &mut Vec<u32>,
    ) {
        let Some(key) = WordCache::key(text, &word) else {
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

    /// A short word that is not in the cache. Words of many tokens are kept with the long ones.
    #[inline(never)]
    fn encode_new(&self, word: &[u8], key: u128, cache: &mut WordCache, out: &mut Vec<u32>) {
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
    fn encode_long(&self, word: &[u8], cache: &mut WordCache, out: &mut Vec<u32>) {
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
        let Scratch { ids, merges, heap } = scratch;
        ids.clear();
        merges.clear();
        match &self.alphabet {
            Alphabet::Bytes(byte_ids) => ids.extend(word.iter().map(|&byte| byte_ids[usize::from(byte)])),
            Alphabet::Characters(characters) => characters.ids(word, ids),
        }
        if ids.len() > SHORT {
            return self.merge_long(ids, heap, out);
        }
        if self.byte_pairs.is_empty() {
            merges.extend(ids.windows(2).map(|pair| self.merge(pair[0], pair[1])));
        } else {
            let pair = |pair: &[u8]| self.byte_pairs[usize::from(pair[0]) << 8 | usize::from(pair[1])];
            merges.extend(word.windows(2).map(pair));
        }
        self.merge_short(ids, merges);
        out.extend_from_slice(ids);
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

    /// Merges a word of any length with a heap of possible merges; those that have become impossible are
    /// skipped when they come up. Tokens stay where they begin in `ids`; a heap that has grown is rid of
    /// impossible merges, so that all takes 14 bytes for each byte of the word.
    fn merge_long(&self, ids: &mut [u32], heap: &mut Heap, out: &mut Vec<u32>) {
        let mut tokens = Tokens(ids);
        let mut start = std::mem::take(heap).into_vec();
        let n = tokens.0.len();
        start.clear();
        start.reserve_exact(n + n / 4);
        let limit = start.capacity();
        start.extend((0..n).filter_map(|at| self.possible(&tokens, at)));
        *heap = start.into();
        while let Some(Reverse(next)) = heap.pop() {
            let at = next as u32 as usize;
            let Some((after, merge)) = self.merge_at(&tokens, at) else { continue };
            if u64::from(merge.rank) != next >> 32 {
                continue;
            }
            let before = tokens.before(at);
            tokens.join(at, after, merge.id);
            if heap.len() + 2 > limit {
                let mut entries = std::mem::take(heap).into_vec();
                entries.retain(|&entry| self.possible(&tokens, entry.0 as u32 as usize) == Some(entry));
                *heap = entries.into();
            }
            heap.extend(self.possible(&tokens, at));
            heap.extend(before.and_then(|before| self.possible(&tokens, before)));
        }
        let mut at = 0;
        while at < n {
            out.push(tokens.0[at]);
            at = tokens.after(at);
        }
    }

    /// The place of the token after the one at `at`, and the merge of both.
    fn merge_at(&self, tokens: &Tokens<'_>, at: usize) -> Option<(usize, Merge)> {
        let after = tokens.after(at);
        let (&left, &right) = (tokens.0.get(at)?, tokens.0.get(after)?);
        if left & INNER != 0 {
            return None;
        }
        let merge = self.merge(left, right);
        (merge.rank != NONE).then_some((after, merge))
    }

    /// The same as an entry of the heap.
    fn possible(&self, tokens: &Tokens<'_>, at: usize) -> Option<Reverse<u64>> {
        let (_, merge) = self.merge_at(tokens, at)?;
        Some(Reverse(u64::from(merge.rank) << 32 | at as u64))
    }
}

/// Marks places inside a token. Ids are smaller.
pub(super) const INNER: u32 = 1 << 31;

/// Neighbouring tokens, each with as many places as it is long: its id is in the first; the second and
/// the last have its length, and all but the first are marked.
struct Tokens<'a>(&'a mut [u32]);

impl Tokens<'_> {
    /// The place after the token at `at`.
    fn after(&self, at: usize) -> usize {
        match self.0.get(at + 1) {
            Some(&second) if second & INNER != 0 => at + (second & !INNER) as usize,
            _ => at + 1,
        }
    }

    /// The token before the one at `at`.
    fn before(&self, at: usize) -> Option<usize> {
        let last = *self.0.get(at.checked_sub(1)?)?;
        Some(if last & INNER == 0 { at - 1 } else { at - (last & !INNER) as usize })
    }

    /// Makes the tokens at `at` and `after` one.
    fn join(&mut self, at: usize, after: usize, id: u32) {
        let end = self.after(after);
        let length = INNER | (end - at) as u32;
        self.0[after] = INNER;
        self.0[at] = id;
        self.0[at + 1] = length;
        self.0[end - 1] = length;
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

/// Possible merges: rank and place.
type Heap = BinaryHeap<Reverse<u64>>;

/// Memory for merging, reused.
#[derive(Default)]
struct Scratch {
    ids: Vec<u32>,
    merges: Vec<Merge>,
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
pub(super) struct WordCache {
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

impl Default for WordCache {
    fn default() -> Self {
        let sets = vec![Set([Entry { key: 0, tokens: [NONE; 4] }; 2]); 1 << SETS];
        let long = vec![Long::default(); LONG_PLACES];
        Self { sets, long, hasher: FixedState::default(), scratch: Scratch::default() }
    }
}

impl WordCache {
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
