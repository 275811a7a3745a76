//! The prefixes of a trace as a tree whose nodes are runs of blocks, cut where requests part.
//!
//! Blocks are known by number, in the order of first appearance. So the new blocks of a request are one run,
//! and a request falls into a few nodes: it cuts one of them at most, and adds one at most. That ids are a
//! forest is seen on the way: a known block that does not go on in the same node must start one, and follow
//! the block that this node follows.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::blocks::{BlockNumber, NumberRun, reserve};
use crate::fleet::slots::Slots;

/// Blocks that always follow each other.
#[derive(Clone, Copy)]
struct Node {
    start: BlockNumber,
    len: u32,
    /// The block before the first one.
    parent: BlockNumber,
}

/// Stands for the block before a first one.
const ROOT: BlockNumber = BlockNumber::MAX;

/// The nodes of a forest.
#[derive(Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The node that starts with each block.
    by_start: HashMap<BlockNumber, u32, RandomState>,
}

/// Where a request is in a node of which it has some blocks.
#[derive(Clone, Copy)]
struct Place {
    node: u32,
    /// How many blocks it has.
    used: u32,
}

impl Tree {
    /// Appends to `path` the nodes of a request, which they make up, and notes new ones in `slots`. False if its
    /// blocks are no path of a forest.
    pub(super) fn path(
        &mut self,
        runs: &[NumberRun],
        first_new: BlockNumber,
        slots: &mut Slots,
        path: &mut Vec<u32>,
    ) -> bool {
        let (mut parent, mut open) = (ROOT, None::<Place>);
        let mut next = first_new;
        for &run in runs {
            let mut run = run;
            if run.start == next {
                next = run.end();
                continue;
            }
            if next > first_new {
                // A known block behind a new one.
                return false;
            }
            while run.len > 0 {
                let place = match open.take() {
                    Some(place) if self.nodes[place.node as usize].start + place.used == run.start => place,
                    Some(place) => {
                        self.split(place, slots);
                        continue;
                    }
                    None => match self.by_start.get(&run.start) {
                        Some(&node) if self.nodes[node as usize].parent == parent => {
                            path.push(node);
                            Place { node, used: 0 }
                        }
                        _ => return false,
                    },
                };
                let len = self.nodes[place.node as usize].len;
                let part = run.take(len - place.used);
                parent = part.end() - 1;
                open = Some(Place { used: place.used + part.len, ..place }).filter(|place| place.used < len);
            }
        }
        if let Some(place) = open {
            self.split(place, slots);
        }
        if next > first_new {
            path.push(self.push(Node { start: first_new, len: next - first_new, parent }));
            slots.push(1);
        }
        true
    }

    /// Cuts a node in two.
    #[inline]
    fn split(&mut self, place: Place, slots: &mut Slots) {
        let node = &mut self.nodes[place.node as usize];
        let start = node.start + place.used;
        let rest = Node { start, len: node.len - place.used, parent: start - 1 };
        node.len = place.used;
        self.push(rest);
        slots.push_copy(place.node);
    }

    fn push(&mut self, node: Node) -> u32 {
        let number = self.nodes.len() as u32;
        reserve(&mut self.nodes, 1);
        self.nodes.push(node);
        self.by_start.insert(node.start, number);
        number
    }

    /// How many blocks a node has.
    #[inline]
    pub(super) fn len(&self, node: u32) -> u32 {
        self.nodes[node as usize].len
    }

    /// Every block with its node.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (BlockNumber, u32)> + '_ {
        let of = |(number, node): (u32, &Node)| {
            (node.start..node.start + node.len).map(move |block| (block, number))
        };
        (0..).zip(&self.nodes).flat_map(of)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        // The table takes 9 for each place, of which up to half are free.
        size_of::<Node>() * self.nodes.len() + 9 * self.by_start.capacity() * 8 / 7
    }
}
