//! The radix cache of `SGLang`, with requests that are served one after the other.
//!
//! Pages are in nodes of a tree, each a run of pages that no request has told apart. A whole leaf leaves
//! at a time, the one that was used least recently, however long it is. An answer that parts from another
//! one within a node uses what is left of that node at the moment when it adds its own pages, and the engine
//! takes times in this order: of leaves used together the one made first leaves. To compute a request, it
//! makes room for one page more than the request needs. The pages of the prompt enter the tree before the
//! answer is generated, and those of the answer when it ends.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::RandomState;

use crate::blocks::BlockNumber;
use crate::stats::cache::served::Server;
use crate::stats::engine::EngineRequest;

/// The number of a node.
type NodeIndex = u32;

const ROOT: NodeIndex = 0;

/// Last use, age and number of a leaf.
type Leaf = (u64, u64, NodeIndex);

/// A run of pages in the tree.
struct Node {
    parent: NodeIndex,
    pages: Vec<BlockNumber>,
    children: u32,
    /// Requests that use it or one below it.
    users: u32,
    /// When it was used last, and when it was made.
    used: u64,
    made: u64,
}

/// The tree. Memory: 4 bytes per page, some 80 per node.
struct Tree {
    nodes: Vec<Node>,
    vacant: Vec<NodeIndex>,
    /// The child of a node that begins with a page.
    child_of: HashMap<(NodeIndex, BlockNumber), NodeIndex, RandomState>,
    /// Leaves by what leaves first; an entry may be out of date.
    leaves: BinaryHeap<Reverse<Leaf>>,
    pages: usize,
    now: u64,
    made: u64,
}

impl Tree {
    fn new() -> Self {
        let root = Node { parent: ROOT, pages: Vec::new(), children: 0, users: 1, used: 0, made: 0 };
        Self {
            nodes: vec![root],
            vacant: Vec::new(),
            child_of: HashMap::default(),
            leaves: BinaryHeap::new(),
            pages: 0,
            now: 0,
            made: 0,
        }
    }

    fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    /// Follows `pages` as far as they are in the tree, and uses what they pass: the last node, and how many
    /// pages were found. A node of which only the first pages are met is split.
    fn walk(&mut self, pages: &[BlockNumber]) -> (NodeIndex, usize) {
        let (mut at, mut found) = (ROOT, 0);
        while let Some(page) = pages.get(found)
            && let Some(&child) = self.child_of.get(&(at, *page))
        {
            let run = &self.node(child).pages;
            let common = run.iter().zip(&pages[found..]).take_while(|(a, b)| a == b).count();
            let whole = common == run.len();
            at = if whole { child } else { self.split(child, common) };
            self.touch(at);
            found += common;
            if !whole {
                // The rest of the node was met on the way.
                break;
            }
        }
        (at, found)
    }

    fn touch(&mut self, index: NodeIndex) {
        let now = self.now;
        self.node_mut(index).used = now;
        self.note_leaf(index);
    }

    /// A node that is a leaf may leave, in the order of its last use.
    fn note_leaf(&mut self, index: NodeIndex) {
        let node = self.node(index);
        if node.children == 0 && index != ROOT {
            let entry = (node.used, node.made, index);
            self.leaves.push(Reverse(entry));
        }
        if self.leaves.len() > 2 * self.nodes.len() + 1024 {
            let nodes = &self.nodes;
            self.leaves.retain(|Reverse(entry)| is_leaf(nodes, *entry));
        }
    }

    /// Puts the first `count` pages of a node into a new one above it.
    fn split(&mut self, index: NodeIndex, count: usize) -> NodeIndex {
        let now = self.now;
        let node = self.node_mut(index);
        node.used = now;
        let rest = node.pages.split_off(count);
        let pages = std::mem::replace(&mut node.pages, rest);
        let (parent, users) = (node.parent, node.users);
        let (first, next) = (pages[0], node.pages[0]);
        let upper = self.add(Node { parent, pages, children: 1, users, used: now, made: 0 });
        self.node_mut(index).parent = upper;
        self.child_of.insert((parent, first), upper);
        self.child_of.insert((upper, next), index);
        self.note_leaf(index);
        upper
    }

    fn add(&mut self, node: Node) -> NodeIndex {
        self.made += 1;
        let node = Node { made: self.made, ..node };
        if let Some(vacant) = self.vacant.pop() {
            self.nodes[vacant as usize] = node;
            return vacant;
        }
        self.nodes.push(node);
        self.nodes.len() as NodeIndex - 1
    }

    /// Adds what is missing of `pages`: their last node, and how many were there.
    fn insert(&mut self, pages: &[BlockNumber]) -> (NodeIndex, usize) {
        let (parent, found) = self.walk(pages);
        let Some(&first) = pages.get(found) else { return (parent, found) };
        let rest = pages[found..].to_vec();
        self.pages += rest.len();
        let leaf = self.add(Node { parent, pages: rest, children: 0, users: 0, used: self.now, made: 0 });
        self.node_mut(parent).children += 1;
        self.child_of.insert((parent, first), leaf);
        self.note_leaf(leaf);
        (leaf, found)
    }

    /// A request uses a node and all above it, or uses them no longer.
    fn hold(&mut self, mut index: NodeIndex, change: i32) {
        while index != ROOT {
            let node = self.node_mut(index);
            node.users = node.users.saturating_add_signed(change);
            index = node.parent;
        }
    }

    /// Lets the leaf go that was used least recently, of those that nobody uses; how many pages it had.
    fn evict(&mut self) -> usize {
        let mut in_use = Vec::new();
        let mut evicted = 0;
        while let Some(Reverse(entry)) = self.leaves.pop() {
            let (_, _, index) = entry;
            if !is_leaf(&self.nodes, entry) {
                continue;
            }
            if self.node(index).users > 0 {
                in_use.push(Reverse(entry));
                continue;
            }
            evicted = self.remove(index);
            break;
        }
        self.leaves.extend(in_use);
        evicted
    }

    fn remove(&mut self, index: NodeIndex) -> usize {
        let parent = self.node(index).parent;
        let pages = std::mem::take(&mut self.node_mut(index).pages);
        self.child_of.remove(&(parent, pages[0]));
        self.vacant.push(index);
        self.pages -= pages.len();
        self.node_mut(parent).children -= 1;
        self.note_leaf(parent);
        pages.len()
    }
}

/// Whether a node is the leaf that it was when this entry was made.
fn is_leaf(nodes: &[Node], (used, made, index): Leaf) -> bool {
    let node = &nodes[index as usize];
    node.children == 0 && (node.used, node.made) == (used, made) && !node.pages.is_empty()
}

/// `SGLang` serving one request at a time.
pub(super) struct Sglang {
    capacity: u64,
    page: u64,
    tree: Tree,
    /// Pages that neither the tree nor a request has. What a request cannot get is owed.
    available: i64,
}

impl Sglang {
    /// Evicts until so many pages are available, as far as that is possible.
    fn make_room(&mut self, pages: i64) {
        while self.available < pages {
            let evicted = self.tree.evict();
            if evicted == 0 {
                break;
            }
            self.available += evicted as i64;
        }
    }

    /// Puts the full pages of the prompt into the tree, and generates the answer: the node that is held from
    /// now on. `own` are the pages of the request that are not in the tree, `hit` those that are.
    fn generate(
        &mut self,
        request: &EngineRequest,
        at: NodeIndex,
        own: &mut i64,
        hit: &mut usize,
    ) -> NodeIndex {
        let full = (request.prompt / self.page) as usize;
        self.tree.now += 1;
        let (node, found) = self.tree.insert(&request.names[..full]);
        self.tree.hold(at, -1);
        self.tree.hold(node, 1);
        self.available += found as i64 - *hit as i64;
        *own -= full as i64 - *hit as i64;
        *hit = full;
        // A page is taken whenever the one before is full. Before each token there must be one to spare.
        self.make_room(1);
        let (prompt, end) = (request.prompt, request.tokens());
        for start in (prompt.next_multiple_of(self.page)..end).step_by(self.page as usize) {
            self.available -= 1;
            *own += 1;
            if start + 1 < end {
                self.make_room(1);
            }
        }
        node
    }
}

impl Server for Sglang {
    fn new(capacity: u64, block_size: u64) -> Self {
        let available = i64::try_from(capacity).unwrap_or(i64::MAX);
        Self { capacity, page: block_size, tree: Tree::new(), available }
    }

    fn fits(&self, request: &EngineRequest) -> bool {
        (request.tokens() + self.page).div_ceil(self.page) <= self.capacity
    }

    fn serve(&mut self, request: &EngineRequest) -> u64 {
        let page = self.page;
        let full = (request.prompt / page) as usize;
        self.tree.now += 1;
        let (mut node, served) = self.tree.walk(request.names_to_find(page));
        self.tree.hold(node, 1);
        let mut hit = served;
        let mut own = request.prompt.div_ceil(page) as i64 - hit as i64;
        self.make_room(own + i64::from(page > 1));
        self.available -= own;
        if request.answer > 1 {
            node = self.generate(request, node, &mut own, &mut hit);
        }
        self.tree.now += 1;
        let (_, found) = self.tree.insert(request.names);
        if 0 < full && full < request.names.len() {
            self.tree.walk(&request.names[..full]);
        }
        // What the tree had already, and what has no full page, is free again.
        let all = request.names.len() as i64;
        self.available += (found as i64 - hit as i64).max(0) + own - (all - hit as i64);
        self.tree.hold(node, -1);
        served as u64
    }

    fn bytes(&self) -> usize {
        let tree = &self.tree;
        let node = size_of::<Node>() + 2 * size_of::<((NodeIndex, BlockNumber), NodeIndex)>();
        size_of::<BlockNumber>() * tree.pages
            + node * tree.nodes.len()
            + size_of::<Leaf>() * tree.leaves.len()
    }
}
