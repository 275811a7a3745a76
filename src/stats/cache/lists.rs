//! Blocks in order: the queues of which most policies are made.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Blocks in `N` lists, each block in at most one of them, with a value of its own. Every operation takes
/// constant time.
#[derive(Clone)]
pub(super) struct Lists<V, const N: usize> {
    places: HashMap<u64, u32, RandomState>,
    /// The first `N` are the ends of the lists: each list is a ring that begins and ends at its own.
    nodes: Vec<Node<V>>,
    /// Nodes that are in no list.
    free: Vec<u32>,
    lengths: [usize; N],
}

#[derive(Clone, Copy)]
struct Node<V> {
    id: u64,
    newer: u32,
    older: u32,
    list: u32,
    value: V,
}

impl<V: Copy + Default, const N: usize> Default for Lists<V, N> {
    fn default() -> Self {
        let end = |list| Node { id: 0, newer: list, older: list, list, value: V::default() };
        Self {
            places: HashMap::default(),
            nodes: (0..N as u32).map(end).collect(),
            free: Vec::new(),
            lengths: [0; N],
        }
    }
}

impl<V: Copy + Default, const N: usize> Lists<V, N> {
    /// How many blocks a list has.
    pub(super) fn len(&self, list: usize) -> usize {
        self.lengths[list]
    }

    /// The list that a block is in.
    pub(super) fn list_of(&self, id: u64) -> Option<usize> {
        self.places.get(&id).map(|&at| self.nodes[at as usize].list as usize)
    }

    /// The value of a block.
    pub(super) fn value(&mut self, id: u64) -> Option<&mut V> {
        self.places.get(&id).map(|&at| &mut self.nodes[at as usize].value)
    }

    /// The block that has been in a list for longest.
    pub(super) fn oldest(&self, list: usize) -> Option<u64> {
        self.id(self.nodes[list].newer)
    }

    /// The block of the same list that came after this one.
    pub(super) fn newer(&self, id: u64) -> Option<u64> {
        self.places.get(&id).and_then(|&at| self.id(self.nodes[at as usize].newer))
    }

    /// Makes a block that is in no list the newest of one.
    pub(super) fn push(&mut self, list: usize, id: u64, value: V) {
        let node = Node { id, newer: 0, older: 0, list: 0, value };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.places.insert(id, at);
        self.link(list, at);
    }

    /// Makes a block the newest of a list, whichever it was in; it keeps its value.
    pub(super) fn renew(&mut self, list: usize, id: u64) {
        if let Some(&at) = self.places.get(&id) {
            self.unlink(at);
            self.link(list, at);
        }
    }

    /// Takes a block out of its list.
    pub(super) fn remove(&mut self, id: u64) {
        if let Some(at) = self.places.remove(&id) {
            self.unlink(at);
            self.free.push(at);
        }
    }

    /// Takes the oldest block out of a list.
    pub(super) fn pop(&mut self, list: usize) -> Option<u64> {
        let oldest = self.oldest(list)?;
        self.remove(oldest);
        Some(oldest)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        // Tables are at most 7/8 full, and have a byte of control beside each entry.
        let entry = size_of::<(u64, u32)>() + 1;
        self.places.capacity() * 8 / 7 * entry
            + self.nodes.capacity() * size_of::<Node<V>>()
            + self.free.capacity() * size_of::<u32>()
    }

    /// The block of a node that is not the end of a list.
    fn id(&self, at: u32) -> Option<u64> {
        (at as usize >= N).then(|| self.nodes[at as usize].id)
    }

    fn link(&mut self, list: usize, at: u32) {
        let newest = self.nodes[list].older;
        let node = &mut self.nodes[at as usize];
        (node.list, node.older, node.newer) = (list as u32, newest, list as u32);
        self.nodes[newest as usize].newer = at;
        self.nodes[list].older = at;
        self.lengths[list] += 1;
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, list, .. } = self.nodes[at as usize];
        self.nodes[newer as usize].older = older;
        self.nodes[older as usize].newer = newer;
        self.lengths[list as usize] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::Lists;

    #[test]
    fn blocks_leave_in_the_order_in_which_they_came() {
        let mut lists = Lists::<u8, 2>::default();
        for (list, id) in [(0, 7), (0, 3), (1, 9), (0, 5)] {
            lists.push(list, id, id as u8);
        }
        lists.renew(0, 7);
        lists.renew(1, 3);
        assert_eq!((lists.len(0), lists.len(1), lists.list_of(3), lists.list_of(4)), (2, 2, Some(1), None));
        assert_eq!((lists.newer(5), lists.newer(7), lists.value(7).copied()), (Some(7), None, Some(7)));
        lists.remove(9);
        assert_eq!([lists.pop(0), lists.pop(0), lists.pop(0)], [Some(5), Some(7), None]);
        lists.push(1, 9, 0);
        assert_eq!([lists.pop(1), lists.pop(1), lists.pop(1)], [Some(3), Some(9), None]);
    }
}
