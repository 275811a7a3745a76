//! Keys numbered in the order of their first appearance, in little memory.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// A set of keys, each with the index of its first appearance.
///
/// Keys stand in one vector in that order; the hash table holds only 32-bit indices into it. With
/// an 8-byte key that is 13.7 to 19.4 bytes per key, where a table of pairs takes 15 to 30. The
/// hash is keyed by a random number of the process: chosen keys cannot be made to collide, and no
/// result depends on the table's order.
#[derive(Default)]
pub struct KeyTable<K> {
    keys: Vec<K>,
    slots: HashTable<u32>,
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
        self.slots.find(hash, |&slot| self.keys[slot as usize] == key).copied()
    }

    /// Bytes in use once one more key has been added: tables grow by doubling, and for a moment the
    /// old one stands beside the new one.
    pub fn bytes_with_one_more(&self) -> usize {
        let slots = self.slots.allocation_size();
        let grows = self.slots.len() == self.slots.capacity();
        (self.keys.len() + 1) * size_of::<K>() + if grows { 3 * slots } else { slots }
    }

    /// Makes room for so many keys in all.
    pub fn reserve(&mut self, keys: usize) {
        self.keys.reserve(keys.saturating_sub(self.keys.len()));
        let rehash = |&slot: &u32| self.hasher.hash_one(self.keys[slot as usize]);
        self.slots.reserve(keys.saturating_sub(self.slots.len()), rehash);
    }

    /// Adds a key that is not known yet. At most `u32::MAX` keys fit; the caller counts them.
    pub fn insert_new(&mut self, key: K) {
        let hash = self.hasher.hash_one(key);
        let index = self.keys.len() as u32;
        self.keys.push(key);
        let rehash = |&slot: &u32| self.hasher.hash_one(self.keys[slot as usize]);
        self.slots.insert_unique(hash, index, rehash);
    }
}
