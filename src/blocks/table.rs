//! Compact hash tables of distinct blocks. Hashes are keyed by a random number of the process, so nobody
//! can choose keys that collide; no result depends on the order of a table.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Shards of a table.
const SHARDS: usize = 16;

/// The shard of each value of eight bits of the hash.
///
/// Shard i gets a share proportional to 2^(i/16), so that the shards double one after the other: bytes
/// per key stay about the same at any size, and only a small part is copied at a time.
const SHARD_OF: [u8; 256] = {
    // 256 x (2^(i/16) - 1), rounded, for i = 1 .. 16: where each shard ends.
    let ends = [11, 23, 36, 48, 62, 76, 91, 106, 122, 139, 156, 175, 194, 213, 234, 256];
    let mut shard_of = [0; 256];
    let (mut value, mut shard) = (0, 0);
    while value < 256 {
        if value == ends[shard] {
            shard += 1;
        }
        shard_of[value] = shard as u8;
        value += 1;
    }
    shard_of
};

/// The shard of a key with this hash, from bits that determine neither the place within the shard nor
/// the tag beside it.
#[inline]
fn shard_of(hash: u64) -> usize {
    usize::from(SHARD_OF[(hash >> 44) as usize & 0xff])
}

/// A set of keys, each with the index of its first appearance.
///
/// Keys stand in one vector in that order; the hash tables hold only 32-bit indices into it. With a
/// 12-byte key that makes about 20 bytes per key, at any size.
#[derive(Default)]
pub struct KeyTable<K> {
    keys: Vec<K>,
    shards: Box<[HashTable<u32>; SHARDS]>,
    hasher: RandomState,
}

impl<K: Copy + Eq + Hash> KeyTable<K> {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys by index.
    pub fn keys(&self) -> &[K] {
        &self.keys
    }

    /// Index of `key`, if it is known.
    #[inline]
    pub fn get(&self, key: K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.shards[shard_of(hash)].find(hash, |&slot| self.keys[slot as usize] == key).copied()
    }

    /// Bytes in use once one more key has been added: shards grow by doubling, and for a moment the
    /// old one stands beside the new one.
    pub fn bytes_with_one_more(&self) -> usize {
        let size = HashTable::allocation_size;
        let full = self.shards.iter().filter(|shard| shard.len() == shard.capacity());
        let growth = 2 * full.map(size).max().unwrap_or(0);
        (self.keys.len() + 1) * size_of::<K>() + self.shards.iter().map(size).sum::<usize>() + growth
    }

    /// Makes room for so many keys in all.
    pub fn reserve(&mut self, keys: usize) {
        self.keys.reserve(keys.saturating_sub(self.keys.len()));
        for (shard, table) in self.shards.iter_mut().enumerate() {
            let share = SHARD_OF.iter().filter(|&&of| usize::from(of) == shard).count();
            let rehash = |&slot: &u32| self.hasher.hash_one(self.keys[slot as usize]);
            table.reserve((keys / SHARD_OF.len() * share).saturating_sub(table.len()), rehash);
        }
    }

    /// Adds a key that is not known yet. At most `u32::MAX` keys fit; the caller counts them.
    pub fn insert_new(&mut self, key: K) {
        let hash = self.hasher.hash_one(key);
        let index = self.keys.len() as u32;
        self.keys.push(key);
        let rehash = |&slot: &u32| self.hasher.hash_one(self.keys[slot as usize]);
        self.shards[shard_of(hash)].insert_unique(hash, index, rehash);
    }
}

/// Block numbers by id, in about 20 bytes per id.
#[derive(Clone, Default)]
pub(super) struct IdTable {
    /// An id in two halves, and its number.
    shards: [HashTable<[u32; 3]>; SHARDS],
    hasher: RandomState,
    len: usize,
}

/// An id and its hash.
#[derive(Clone, Copy)]
pub(super) struct Hashed {
    id: u64,
    hash: u64,
}

impl Hashed {
    /// The id.
    pub(super) fn id(self) -> u64 {
        self.id
    }

    fn shard(self) -> usize {
        shard_of(self.hash)
    }

    fn is(self, entry: &[u32; 3]) -> bool {
        id_of(entry) == self.id
    }
}

fn id_of(entry: &[u32; 3]) -> u64 {
    u64::from(entry[1]) << 32 | u64::from(entry[0])
}

impl IdTable {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id with its hash.
    #[inline]
    pub(super) fn hash(&self, id: u64) -> Hashed {
        Hashed { id, hash: self.hasher.hash_one(id) }
    }

    /// Number of an id.
    #[inline]
    pub(super) fn get(&self, id: Hashed) -> Option<u32> {
        self.shards[id.shard()].find(id.hash, |entry| id.is(entry)).map(|entry| entry[2])
    }

    /// Number of an id, which is `number` if it is new.
    pub(super) fn get_or_insert(&mut self, id: Hashed, number: u32) -> u32 {
        let rehash = |entry: &[u32; 3]| self.hasher.hash_one(id_of(entry));
        let entry = self.shards[id.shard()].entry(id.hash, |entry| id.is(entry), rehash);
        let before = self.len;
        let found = entry.or_insert_with(|| {
            self.len += 1;
            [id.id as u32, (id.id >> 32) as u32, number]
        });
        debug_assert!(self.len == before || found.get()[2] == number);
        found.get()[2]
    }

    /// All ids with their numbers, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.shards.iter().flatten().map(|entry| (id_of(entry), entry[2]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promise of 24 bytes per block, and what `--max-memory` is compared with.
    #[test]
    fn a_key_takes_little_memory_at_any_size() {
        let mut table = KeyTable::default();
        let mut largest: f64 = 0.0;
        for number in 0..400_000u32 {
            if number > 20_000 {
                largest = largest.max(table.bytes_with_one_more() as f64 / f64::from(number + 1));
            }
            table.insert_new([number, number.wrapping_mul(0x9e37_79b9), 7]);
        }
        assert!((18.0..24.0).contains(&largest), "{largest}");
        assert!((0..400_000).all(|n| table.get([n, n.wrapping_mul(0x9e37_79b9), 7]) == Some(n)));
        assert_eq!(table.get([1, 2, 3]), None);
    }

    #[test]
    fn every_id_keeps_its_number() {
        let mut table = IdTable::default();
        let id = |number: u32| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..100_000 {
            let hashed = table.hash(id(number));
            assert_eq!(table.get(hashed), None);
            assert_eq!(table.get_or_insert(hashed, number), number);
            assert_eq!(table.get_or_insert(hashed, 7), number);
        }
        assert_eq!(table.len(), 100_000);
        assert!((0..100_000).all(|number| table.get(table.hash(id(number))) == Some(number)));
        assert!(table.iter().all(|(found, number)| found == id(number)));
        let sizes: Vec<usize> = table.shards.iter().map(HashTable::len).collect();
        // The last shard is not quite twice the first.
        assert!(sizes[15] > sizes[0] && sizes[15] < 3 * sizes[0], "{sizes:?}");
    }
}
