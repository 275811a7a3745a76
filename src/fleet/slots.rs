//! Who holds what: for each node of the tree and each fleet, the replicas that have had it, and where it is in
//! the stack of each.

use crate::blocks::reserve;

/// The replicas of one fleet that have had a node. Mostly there is one.
#[derive(Clone, Copy)]
struct Slot {
    /// That replica; or, with the bit [`MANY`], the last of several that used it.
    last: u32,
    /// Its segment there; or the place of the list of all segments.
    at: u32,
}

/// Several replicas have had it.
const MANY: u32 = 1 << 31;

/// No replica has had it.
const NOBODY: Slot = Slot { last: u32::MAX, at: 0 };

/// Stands for the segment where a replica has none.
const NONE: u32 = u32::MAX;

/// Lists of a segment for each replica, of the nodes that several have had.
struct Lists {
    replicas: usize,
    segments: Vec<u32>,
}

impl Lists {
    fn place(&self, list: u32, replica: u32) -> usize {
        list as usize * self.replicas + replica as usize
    }

    /// Appends an empty list.
    fn push(&mut self) -> u32 {
        let list = self.segments.len() / self.replicas;
        reserve(&mut self.segments, self.replicas);
        self.segments.resize(self.segments.len() + self.replicas, NONE);
        list as u32
    }

    /// Appends a list of others of the same fleet.
    fn push_from(&mut self, others: &Self, of: u32) -> u32 {
        let (list, from) = (self.push(), others.place(of, 0));
        let to = self.place(list, 0);
        self.segments[to..].copy_from_slice(&others.segments[from..from + others.replicas]);
        list
    }

    /// Appends a copy of a list.
    fn push_copy(&mut self, of: u32) -> u32 {
        let (list, start) = (self.push(), self.place(of, 0));
        let to = self.place(list, 0);
        self.segments.copy_within(start..start + self.replicas, to);
        list
    }
}

/// The slots of all nodes. 8 bytes for each node and fleet, and 4 for each replica of a fleet of which several
/// have had the node.
pub(super) struct Slots {
    /// By node, then by fleet.
    slots: Vec<Slot>,
    /// By fleet.
    lists: Vec<Lists>,
}

impl Slots {
    /// No node yet, of fleets with these numbers of replicas.
    pub(super) fn new(replicas: impl Iterator<Item = u32>) -> Self {
        let lists = replicas.map(|replicas| Lists { replicas: replicas as usize, segments: Vec::new() });
        Self { slots: Vec::new(), lists: lists.collect() }
    }

    /// Appends nodes that nobody has had.
    pub(super) fn push(&mut self, nodes: usize) {
        let more = nodes * self.lists.len();
        reserve(&mut self.slots, more);
        self.slots.resize(self.slots.len() + more, NOBODY);
    }

    /// Appends a node that is held as another one.
    pub(super) fn push_copy(&mut self, of: u32) {
        let first = of as usize * self.lists.len();
        reserve(&mut self.slots, self.lists.len());
        for (fleet, lists) in self.lists.iter_mut().enumerate() {
            let slot = self.slots[first + fleet];
            let at = if slot.is_many() { lists.push_copy(slot.at) } else { slot.at };
            self.slots.push(Slot { at, ..slot });
        }
    }

    /// The same for other nodes: `parts` has for each of `count` nodes the one that it was a part of.
    pub(super) fn spread(self, count: usize, parts: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut spread = Self::new(self.lists.iter().map(|lists| lists.replicas as u32));
        spread.slots.reserve_exact(count * self.lists.len());
        spread.push(count);
        let fleets = self.lists.len();
        for (part, of) in parts {
            for (fleet, lists) in spread.lists.iter_mut().enumerate() {
                let slot = self.slots[of as usize * fleets + fleet];
                let at = if slot.is_many() { lists.push_from(&self.lists[fleet], slot.at) } else { slot.at };
                spread.slots[part as usize * fleets + fleet] = Slot { at, ..slot };
            }
        }
        spread
    }

    #[inline]
    fn slot(&self, node: u32, fleet: usize) -> Slot {
        self.slots[node as usize * self.lists.len() + fleet]
    }

    /// The segment of a node in the stack of a replica, if that has ever had it.
    #[inline]
    pub(super) fn segment(&self, node: u32, fleet: usize, replica: u32) -> Option<u32> {
        let slot = self.slot(node, fleet);
        if slot.is_many() {
            let lists = &self.lists[fleet];
            let segment = lists.segments[lists.place(slot.at, replica)];
            return (segment != NONE).then_some(segment);
        }
        (slot.last == replica).then_some(slot.at)
    }

    /// The replica that used a node last.
    #[inline]
    pub(super) fn last(&self, node: u32, fleet: usize) -> u32 {
        self.slot(node, fleet).last & !MANY
    }

    /// A replica uses a node, whose segment there is this one from now on.
    #[inline]
    pub(super) fn set(&mut self, node: u32, fleet: usize, replica: u32, segment: u32) {
        let slot = &mut self.slots[node as usize * self.lists.len() + fleet];
        let lists = &mut self.lists[fleet];
        if slot.last == replica || slot.is_nobody() {
            *slot = Slot { last: replica, at: segment };
            return;
        }
        if !slot.is_many() {
            let list = lists.push();
            let place = lists.place(list, slot.last);
            lists.segments[place] = slot.at;
            slot.at = list;
        }
        slot.last = replica | MANY;
        let place = lists.place(slot.at, replica);
        lists.segments[place] = segment;
    }

    /// Gives every segment of a fleet's replicas another number. Later nodes come first.
    pub(super) fn renumber(&mut self, fleet: usize, mut number: impl FnMut(u32, u32) -> u32) {
        let fleets = self.lists.len();
        let lists = &mut self.lists[fleet];
        for slot in self.slots.iter_mut().skip(fleet).step_by(fleets).rev() {
            if slot.is_many() {
                let start = lists.place(slot.at, 0);
                for (replica, segment) in (0..).zip(&mut lists.segments[start..start + lists.replicas]) {
                    if *segment != NONE {
                        *segment = number(replica, *segment);
                    }
                }
            } else if !slot.is_nobody() {
                slot.at = number(slot.last, slot.at);
            }
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let lists: usize = self.lists.iter().map(|lists| 4 * lists.segments.len()).sum();
        size_of::<Slot>() * self.slots.len() + lists
    }
}

impl Slot {
    fn is_nobody(self) -> bool {
        self.last == NOBODY.last
    }

    fn is_many(self) -> bool {
        self.last & MANY != 0 && !self.is_nobody()
    }
}
