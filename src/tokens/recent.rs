//! Values that are kept for as long as they are asked for.

use hashbrown::HashTable;

/// Values by a number, under a limit of memory: those that were not asked for longest are forgotten.
///
/// There are two generations. What is asked for moves to the younger one; once that fills half of the
/// memory, it becomes the older one, and what was in the older one is dropped as a whole.
pub struct Recent<V> {
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
    pub fn new(limit: usize) -> Self {
        Self { young: HashTable::new(), old: HashTable::new(), young_bytes: 0, limit }
    }

    /// The value of a key.
    pub fn get(&mut self, key: u64) -> Option<&V> {
        if let Ok(entry) = self.old.find_entry(hash(key), |entry| entry.key == key) {
            let (entry, _) = entry.remove();
            self.keep(entry);
        }
        self.young.find(hash(key), |entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Keeps a value that takes so many bytes, in place of any other of the key.
    pub fn insert(&mut self, key: u64, value: V, bytes: usize) {
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
