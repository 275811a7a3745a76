//! Values that are kept for as long as they are asked for, and what was made of texts that come again.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Values by a number, under a limit of memory: those that were not asked for longest are forgotten.
///
/// There are two generations. What is asked for moves to the younger one; once that fills half of the
/// memory, it becomes the older one, and what was in the older one is dropped as a whole.
pub(crate) struct Recent<V> {
    young: HashTable<Entry<V>>,
    old: HashTable<Entry<V>>,
    young_bytes: usize,
    limit: usize,
}

struct Entry<V> {
    key: u64,
    bytes: usize,
    value: V,
}

impl<V> Recent<V> {
    /// Keeps up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { young: HashTable::new(), old: HashTable::new(), young_bytes: 0, limit }
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: u64) -> Option<&V> {
        if let Ok(entry) = self.old.find_entry(hash(key), |entry| entry.key == key) {
            let (entry, _) = entry.remove();
            self.keep(entry);
        }
        self.young.find(hash(key), |entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The same without asking for it.
    fn peek(&self, key: u64) -> Option<&V> {
        let tables = [&self.young, &self.old];
        let mut found = tables.iter().filter_map(|table| table.find(hash(key), |entry| entry.key == key));
        found.next().map(|entry| &entry.value)
    }

    fn peek_mut(&mut self, key: u64) -> Option<&mut V> {
        let tables = [&mut self.young, &mut self.old];
        let mut found =
            tables.into_iter().filter_map(|table| table.find_mut(hash(key), |entry| entry.key == key));
        found.next().map(|entry| &mut entry.value)
    }

    /// Keeps a value that takes so many bytes, in place of any other of the key.
    pub(crate) fn insert(&mut self, key: u64, value: V, bytes: usize) {
        for table in [&mut self.young, &mut self.old] {
            if let Ok(entry) = table.find_entry(hash(key), |entry| entry.key == key) {
                entry.remove();
            }
        }
        self.keep(Entry { key, bytes, value });
    }

    fn keep(&mut self, entry: Entry<V>) {
        if self.young_bytes + entry.bytes > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += entry.bytes;
        self.young.insert_unique(hash(entry.key), entry, |entry| hash(entry.key));
    }
}

/// What was made of texts, for those that come again: the first time only a mark of a text is kept, the second
/// time the text and what was made of it. A hit compares the text, so it is exact.
pub(crate) struct Repeated<V> {
    hasher: RandomState,
    marks: Vec<u32>,
    kept: Recent<(Arc<str>, V)>,
}

impl<V> Repeated<V> {
    /// Keeps up to `limit` bytes, and so many marks, a power of two; nothing without a limit.
    pub(crate) fn new(limit: usize, marks: usize) -> Self {
        let marks = if limit > 0 { vec![0; marks] } else { Vec::new() };
        Self { hasher: RandomState::default(), marks, kept: Recent::new(limit) }
    }

    /// What was made of `text`; or else, if it has come before and so is worth being kept, its hash.
    pub(crate) fn look(&mut self, text: &str) -> Result<&V, Option<u64>> {
        if self.marks.is_empty() {
            return Err(None);
        }
        self.look_by(self.hash(text), text)
    }

    /// The hash of `text`.
    pub(crate) fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The text with this hash that is kept, and what was made of it.
    pub(crate) fn known(&self, hash: u64) -> Option<(&Arc<str>, &V)> {
        self.kept.peek(hash).map(|(text, value)| (text, value))
    }

    /// What was made of the text with this hash that is kept.
    pub(crate) fn known_mut(&mut self, hash: u64) -> Option<&mut V> {
        self.kept.peek_mut(hash).map(|(_, value)| value)
    }

    /// As [`Repeated::look`] of `text`, which has this hash.
    pub(crate) fn look_by(&mut self, hash: u64, text: &str) -> Result<&V, Option<u64>> {
        if self.marks.is_empty() {
            return Err(None);
        }
        let place = hash as usize & (self.marks.len() - 1);
        let mark = (hash >> 32) as u32 | 1;
        // Marks are small, so most new texts are recognised without touching the tables.
        if std::mem::replace(&mut self.marks[place], mark) != mark {
            return Err(None);
        }
        match self.kept.get(hash) {
            Some((known, value)) if **known == *text => Ok(value),
            _ => Err(Some(hash)),
        }
    }

    /// Keeps what was made of the text with this hash; both take so many bytes.
    pub(crate) fn insert(&mut self, hash: u64, text: Arc<str>, value: V, bytes: usize) {
        self.kept.insert(hash, (text, value), bytes);
    }
}

/// Spreads numbers that follow each other.
fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let mut recent = Recent::new(100);
        for key in 0..1000 {
            recent.insert(key, key + 1, 10);
            assert_eq!(recent.get(0), Some(&1));
            assert!(recent.young.len() + recent.old.len() <= 11);
        }
        assert_eq!(recent.get(999), Some(&1000));
        assert_eq!(recent.get(500), None);
        recent.insert(999, 7, 10);
        assert_eq!(recent.get(999), Some(&7));
        recent.insert(1, 1, 1000);
        assert_eq!(recent.get(1), Some(&1));
    }
}
