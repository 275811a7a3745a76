//! The prefixes of a trace as a tree whose nodes are runs of blocks, cut where requests part.
//!
//! Blocks are known by number, in the order of first appearance. So the new blocks of a request are one run,
//! and a request falls into a few nodes: it cuts one of them at most, and adds one at most. That ids are a
//! forest is seen on the way: a known block that does not go on in the same node must start one, and follow
//! the block that this node follows.

use crate::blocks::{BlockNumber, NumberRun, reserve};
use crate::fleet::by_block::ByBlock;
use crate::fleet::slots::Slots;

/// Blocks that always follow each other.
#[derive(Clone, Copy)]
struct Node {
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
    /// The first block of each.
    starts: ByBlock,
}

/// A node on the path of a request.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) node: u32,
    /// How many blocks it has.
    pub(super) len: u32,
}

/// Where a request is in a node of which it has some blocks.
#[derive(Clone, Copy)]
struct Place {
    node: u32,
    /// How many blocks it has.
    used: u32,
    /// The block of the node behind these.
    next: BlockNumber,
}

impl Tree {
    /// Appends to `path` the nodes of a request, which they make up, and notes new ones in `slots`. False if its
    /// blocks are no path of a forest.
    pub(super) fn path(
        &mut self,
        runs: &[NumberRun],
        first_new: BlockNumber,
        slots: &mut Slots,
        path: &mut Vec<Step>,
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
                    Some(place) if place.next == run.start => place,
                    Some(place) => {
                        self.split(place, slots, path);
                        continue;
                    }
                    None => match self.starts.find(run.start) {
                        Some(node) if self.nodes[node as usize].parent == parent => {
                            path.push(Step { node, len: self.nodes[node as usize].len });
                            Place { node, used: 0, next: run.start }
                        }
                        _ => return false,
                    },
                };
                let len = self.nodes[place.node as usize].len;
                let part = run.take(len - place.used);
                parent = part.end() - 1;
                let after = Place { used: place.used + part.len, next: part.end(), ..place };
                open = Some(after).filter(|after| after.used < len);
            }
        }
        if let Some(place) = open {
            self.split(place, slots, path);
        }
        if next > first_new {
            let len = next - first_new;
            path.push(Step { node: self.push(first_new, Node { len, parent }), len });
            slots.push(1);
        }
        true
    }

    /// Cuts the last node of a path in two, of which the path keeps the first.
    #[inline]
    fn split(&mut self, place: Place, slots: &mut Slots, path: &mut [Step]) {
        let node = &mut self.nodes[place.node as usize];
        let rest = Node { len: node.len - place.used, parent: place.next - 1 };
        node.len = place.used;
        path.last_mut().into_iter().for_each(|step| step.len = place.used);
        self.push(place.next, rest);
        slots.push_copy(place.node);
    }

    fn push(&mut self, start: BlockNumber, node: Node) -> u32 {
        let number = self.nodes.len() as u32;
        reserve(&mut self.nodes, 1);
        self.nodes.push(node);
        self.starts.push(start);
        number
    }

    /// Every block with its node.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (BlockNumber, u32)> + '_ {
        let of = move |(number, node): (u32, &Node)| {
            let start = self.starts.block(number);
            (start..start + node.len).map(move |block| (block, number))
        };
        (0..).zip(&self.nodes).flat_map(of)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Node>() * self.nodes.len() + self.starts.bytes()
    }
}
