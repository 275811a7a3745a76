//! Compact hash tables of distinct blocks. Hashes are keyed by a random number of the process, so nobody
//! can choose keys that collide; no result depends on the order of a table.

use std::hash::{BuildHasher, Hash};
use std::hint::black_box;
use std::mem::take;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::grow::reserve;

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
///
/// Ids stand in one list in the order of their numbers, so that those of a prompt whose beginning is known are
/// found by comparing it with that list. Only the first of them is looked up, and what is new.
#[derive(Clone, Default)]
pub(super) struct IdTable {
    names: Names,
    shards: [Places; SHARDS],
    hasher: RandomState,
    /// The place in the list behind the id that was found or added last.
    next: usize,
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

    fn tag(self) -> u32 {
        self.hash as u32 | 1
    }
}

/// Ids by number.
#[derive(Clone, Default)]
pub(super) struct Names {
    /// In the order of their numbers.
    ids: Vec<u64>,
    /// Where numbers are not those that follow: the place in the list, and the number there.
    jumps: Vec<(u32, u32)>,
}

impl Names {
    fn push(&mut self, id: u64, number: u32) {
        let place = self.ids.len() as u32;
        if self.jumps.last().is_none_or(|&(from, first)| first + (place - from) != number) {
            self.jumps.push((place, number));
        }
        reserve(&mut self.ids, 1);
        self.ids.push(id);
    }

    /// The number of the id at a place.
    #[inline]
    fn number(&self, place: u32) -> u32 {
        let of = |&(from, first): &(u32, u32)| (from <= place).then(|| first + (place - from));
        // There are few jumps, and mostly none behind the place.
        self.jumps.last().and_then(of).unwrap_or_else(|| {
            let after = self.jumps.partition_point(|&(from, _)| from <= place);
            self.jumps.get(after.wrapping_sub(1)).and_then(of).unwrap_or(0)
        })
    }

    /// The id with this number, if it is among these.
    pub(super) fn id(&self, number: u32) -> Option<u64> {
        let after = self.jumps.partition_point(|&(_, first)| first <= number);
        let &(from, first) = self.jumps.get(after.checked_sub(1)?)?;
        let place = from as usize + (number - first) as usize;
        let end = self.jumps.get(after).map_or(self.ids.len(), |&(end, _)| end as usize);
        self.ids[..end].get(place).copied()
    }
}

/// Where ids stand in the list, by their tags: a hash table with linear probing.
///
/// Home is further on the smaller the tag is, and so are all slots in use. So a search ends at the first smaller
/// tag, and a table grows in the order of memory.
#[derive(Clone, Default)]
struct Places {
    /// A tag in the upper half, which is never 0, and the place in the lower one; 0 where there is none.
    slots: Vec<u64>,
    len: usize,
}

/// Slots behind the last home.
const SPARE: usize = 64;

/// Slots of a line of the processor's caches.
const LINE: usize = 8;

impl Places {
    /// Where a tag is looked for first.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(!tag) * self.homes() as u64) >> 32) as usize
    }

    #[inline]
    fn homes(&self) -> usize {
        self.slots.len().saturating_sub(SPARE)
    }

    /// The place of an id with this tag, if `is_it` says so of one, or the slot that it ought to have.
    #[inline]
    fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let home = self.home(tag);
        let mut at = home;
        for &slot in &self.slots[home..] {
            let found = (slot >> 32) as u32;
            if found <= tag {
                if found < tag {
                    break;
                }
                if is_it(slot as u32) {
                    return Ok(slot as u32);
                }
            }
            at += 1;
        }
        Err(at)
    }

    /// Adds a place at the slot that [`Places::find`] gave.
    fn insert(&mut self, mut at: usize, tag: u32, place: u32) {
        loop {
            let gap = self.slots[at..].iter().position(|slot| *slot == 0);
            let has_room = self.len < self.homes() / 5 * 4;
            if let Some(gap) = gap.filter(|_| has_room) {
                self.slots.copy_within(at..at + gap, at + 1);
                self.slots[at] = u64::from(tag) << 32 | u64::from(place);
                self.len += 1;
                return;
            }
            self.grow();
            at = self.find(tag, |_| false).err().unwrap_or(0);
        }
    }

    /// Makes it half as large again, where it is: memory that is new to the process takes time.
    fn grow(&mut self) {
        let before = self.slots.len();
        self.slots.resize((before / 2 * 3).max(2 * SPARE), 0);
        // First all go to the end, from where each one goes home.
        let mut end = self.slots.len();
        for from in (0..before).rev() {
            let slot = take(&mut self.slots[from]);
            if slot != 0 {
                end -= 1;
                self.slots[end] = slot;
            }
        }
        let mut next = 0;
        for from in end..self.slots.len() {
            let slot = take(&mut self.slots[from]);
            next = self.home((slot >> 32) as u32).max(next);
            self.slots[next] = slot;
            next += 1;
        }
    }
}

/// Where an id that is not in a table would be.
pub(super) struct Gap(usize);

impl IdTable {
    pub(super) fn len(&self) -> usize {
        self.names.ids.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.ids.is_empty()
    }

    /// Bytes in use, a little more or less while the places grow.
    pub(super) fn bytes(&self) -> usize {
        21 * self.len() + size_of::<(u32, u32)>() * self.names.jumps.len()
    }

    /// The ids by number.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The ids by number, without what finds them.
    pub(super) fn into_names(self) -> Names {
        self.names
    }

    /// The id with its hash.
    #[inline]
    pub(super) fn hash(&self, id: u64) -> Hashed {
        Hashed { id, hash: self.hasher.hash_one(id) }
    }

    /// Reads where these ids may be. No read waits for another one here, and those that find an id, or the gap
    /// where it would be, mostly do not wait for memory afterwards.
    #[inline]
    pub(super) fn prepare(&self, ids: &[Hashed]) {
        let near = |id: &Hashed| {
            let places = &self.shards[id.shard()];
            let home = places.home(id.tag());
            // As much of memory as is read at once, and as much again.
            [home, home + LINE].map(|at| places.slots.get(at).copied().unwrap_or(0))
        };
        let read = ids.iter().map(near).fold(0, |all, [first, second]| all ^ first ^ second);
        black_box(read);
    }

    /// Number of an id.
    #[inline]
    pub(super) fn find(&mut self, id: Hashed) -> Result<u32, Gap> {
        let ids = &self.names.ids;
        let place = if ids.get(self.next) == Some(&id.id) {
            self.next as u32
        } else {
            let found = self.shards[id.shard()].find(id.tag(), |place| ids[place as usize] == id.id);
            found.map_err(Gap)?
        };
        self.next = place as usize + 1;
        Ok(self.names.number(place))
    }

    /// Adds an id that [`IdTable::find`] has just not found, with a number above all others.
    pub(super) fn insert(&mut self, id: Hashed, Gap(at): Gap, number: u32) {
        self.shards[id.shard()].insert(at, id.tag(), self.len() as u32);
        self.names.push(id.id, number);
        self.next = self.len();
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
        // Some numbers are those of blocks that are elsewhere.
        let numbers = || (0..100_000).filter(|number| number % 1000 > 3);
        for number in numbers() {
            let hashed = table.hash(id(number));
            let gap = table.find(hashed).err().unwrap();
            table.insert(hashed, gap, number);
            assert_eq!(table.find(hashed).ok(), Some(number));
        }
        assert_eq!(table.len(), numbers().count());
        for number in numbers().rev().chain(numbers()) {
            assert_eq!(table.find(table.hash(id(number))).ok(), Some(number));
            assert_eq!(table.names().id(number), Some(id(number)));
        }
        assert!((0..4).all(|number| table.names().id(number).is_none()));
        assert_eq!((table.names().id(5000), table.names().id(100_000)), (None, None));
        assert!((0..4).all(|number| table.find(table.hash(id(number))).is_err()));
        let bytes: usize = table.shards.iter().map(|shard| 8 * shard.slots.len()).sum();
        assert!(bytes + 8 * table.len() < 22 * table.len(), "{bytes}");
    }
}
