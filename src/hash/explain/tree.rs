//! The prompts that were read, as a tree of their tokens: what several begin with stands once. The prompts that
//! were not continued for longest are forgotten.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// The node of the empty prompt.
const ROOT: u32 = 0;

/// No node.
const NONE: u32 = u32::MAX;

/// A node that has been forgotten.
const FORGOTTEN: u32 = u32::MAX - 1;

/// Keys that are told apart at a node; of more, those whose prompts are oldest are forgotten.
const MOST_KEYS: usize = 64;

/// The last prompt of a key that goes through a node or ends at it.
#[derive(Clone, Copy)]
struct Passer {
    key: u32,
    prompt: u64,
    line: u64,
    /// The node that it goes on to.
    next: u32,
}

/// Tokens that follow those of the parent, for all prompts that go through.
struct Node {
    tokens: Box<[u32]>,
    /// Tokens before these.
    start: usize,
    parent: u32,
    children: u32,
    passers: Vec<Passer>,
    /// The last prompt of any key.
    used: u64,
    /// Where the messages end of the last prompt that ends here; its rest invites to answer.
    content_end: usize,
    generation: u32,
}

impl Node {
    fn end(&self) -> usize {
        self.start + self.tokens.len()
    }

    fn passer(&self, key: u32) -> Option<&Passer> {
        self.passers.iter().find(|passer| passer.key == key)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 32 + 4 * self.tokens.len() + size_of::<Passer>() * self.passers.capacity()
    }
}

/// A place in the tree that outlives changes.
#[derive(Clone, Copy)]
pub(super) struct Anchor {
    node: u32,
    generation: u32,
}

/// How far a prompt is known.
pub(super) struct Walk {
    /// The nodes that it goes through, from the root on, and the one that it leaves on the way, if there is one.
    path: Vec<u32>,
    /// Tokens that any prompt has as well, and those that one of the same key has.
    pub(super) depth: usize,
    pub(super) own: usize,
    /// The node where prompts of the same key end to be equal.
    own_node: u32,
}

/// An earlier prompt beside the one that is looked at.
pub(super) struct Earlier {
    /// Its number: later ones have higher numbers.
    pub(super) prompt: u64,
    pub(super) line: u64,
    /// Tokens with which both begin.
    pub(super) shared: usize,
    /// The tokens behind those.
    pub(super) rest: Vec<u32>,
    /// Where its messages end, unless the end is forgotten.
    pub(super) content_end: Option<usize>,
}

/// The tree.
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// The child of a node that begins with a token.
    children: HashMap<(u32, u32), u32, RandomState>,
    /// Nodes that had no children, by their last use.
    leaves: BinaryHeap<Reverse<(u64, u32, u32)>>,
    prompts: u64,
    bytes: usize,
    limit: usize,
}

impl Tree {
    /// Keeps up to about `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let root = Node {
            tokens: Box::default(),
            start: 0,
            parent: NONE,
            children: 0,
            passers: Vec::new(),
            used: 0,
            content_end: 0,
            generation: 0,
        };
        Self {
            nodes: vec![root],
            free: Vec::new(),
            children: HashMap::default(),
            leaves: BinaryHeap::new(),
            prompts: 0,
            bytes: 0,
            limit,
        }
    }

    fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    fn node_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    /// Follows a prompt of `key` as far as it is known.
    pub(super) fn walk(&self, tokens: &[u32], key: u32) -> Walk {
        let (mut path, mut depth) = (vec![ROOT], 0);
        while let Some(&next) = tokens.get(depth)
            && let Some(&child) = self.children.get(&(path[path.len() - 1], next))
        {
            let edge = &self.node(child).tokens;
            let common = common_prefix(edge, &tokens[depth..]);
            depth += common;
            path.push(child);
            if common < edge.len() {
                break;
            }
        }
        let own_node = path.iter().rev().find(|&&node| self.node(node).passer(key).is_some());
        let own_node = own_node.copied().unwrap_or(ROOT);
        Walk { own: depth.min(self.node(own_node).end()), depth, path, own_node }
    }

    /// The last prompt of `key` that begins with as many tokens as any of that key.
    pub(super) fn best(&self, walk: &Walk, key: u32) -> Option<Earlier> {
        self.last_through(walk.own_node, key, walk.own)
    }

    /// The last prompt of any key that begins with as many tokens as any.
    pub(super) fn best_of_all(&self, walk: &Walk) -> Option<(u32, Earlier)> {
        let node = *walk.path.last()?;
        let last = self.node(node).passers.iter().max_by_key(|passer| passer.prompt)?;
        Some((last.key, self.last_through(node, last.key, walk.depth)?))
    }

    /// The number of the last prompt of `key` through a place; later ones have higher numbers.
    pub(super) fn last(&self, anchor: Anchor, key: u32) -> Option<u64> {
        let node =
            self.nodes.get(anchor.node as usize).filter(|node| node.generation == anchor.generation)?;
        node.passer(key).map(|passer| passer.prompt)
    }

    /// The last prompt of `key` through a place, with what follows what it shares with the prompt of `walk`.
    pub(super) fn through(&self, anchor: Anchor, walk: &Walk, key: u32) -> Option<Earlier> {
        let node =
            self.nodes.get(anchor.node as usize).filter(|node| node.generation == anchor.generation)?;
        node.passer(key)?;
        let mut meeting = anchor.node;
        while !walk.path.contains(&meeting) {
            meeting = self.node(meeting).parent;
        }
        self.last_through(anchor.node, key, walk.depth.min(self.node(meeting).end()))
    }

    /// The last prompt of `key` through `node`, from token `from` on, which is at most the end of the node.
    fn last_through(&self, node: u32, key: u32, from: usize) -> Option<Earlier> {
        let &Passer { line, prompt, .. } = self.node(node).passer(key)?;
        let mut up = vec![node];
        while self.node(up[up.len() - 1]).start > from {
            up.push(self.node(up[up.len() - 1]).parent);
        }
        let mut rest = Vec::new();
        let mut append = |node: &Node| {
            rest.extend_from_slice(&node.tokens[from.saturating_sub(node.start).min(node.tokens.len())..]);
        };
        up.iter().rev().for_each(|&node| append(self.node(node)));
        let mut node = self.node(node);
        loop {
            let next = node.passer(key).filter(|passer| passer.prompt == prompt).map(|passer| passer.next);
            let content_end = match next {
                Some(NONE) => Some(node.content_end),
                Some(next) if next != FORGOTTEN => {
                    node = self.node(next);
                    append(node);
                    continue;
                }
                _ => None,
            };
            return Some(Earlier { prompt, line, shared: from, rest, content_end });
        }
    }

    /// Adds the prompt of `walk`, whose messages end at token `content_end`; returns where its new tokens are.
    pub(super) fn add(
        &mut self,
        tokens: &[u32],
        walk: Walk,
        key: u32,
        line: u64,
        content_end: usize,
    ) -> Anchor {
        self.prompts += 1;
        let Walk { mut path, depth, .. } = walk;
        let last = path[path.len() - 1];
        if depth < self.node(last).end() {
            path.pop();
            path.push(self.split(last, depth));
        }
        if depth < tokens.len() {
            let parent = path[path.len() - 1];
            path.push(self.insert(Node {
                tokens: tokens[depth..].into(),
                start: depth,
                parent,
                children: 0,
                passers: Vec::new(),
                used: self.prompts,
                content_end,
                generation: 0,
            }));
        }
        let prompt = self.prompts;
        for (at, &node) in path.iter().enumerate() {
            let next = path.get(at + 1).copied().unwrap_or(NONE);
            self.pass(node, Passer { key, prompt, line, next });
        }
        let end = path[path.len() - 1];
        self.node_mut(end).content_end = content_end;
        let anchor = Anchor { node: end, generation: self.node(end).generation };
        self.forget();
        anchor
    }

    fn pass(&mut self, node: u32, passer: Passer) {
        let node = &mut self.nodes[node as usize];
        node.used = passer.prompt;
        let before = node.passers.capacity();
        let is_full = node.passers.len() >= MOST_KEYS;
        let known = node.passers.iter().position(|known| known.key == passer.key);
        let oldest = || (0..node.passers.len()).min_by_key(|&at| node.passers[at].prompt);
        match known.or_else(|| oldest().filter(|_| is_full)) {
            Some(at) => node.passers[at] = passer,
            None => node.passers.push(passer),
        }
        self.bytes += (node.passers.capacity() - before) * size_of::<Passer>();
    }

    /// Cuts the tokens of a node in two; the node keeps those from `depth` on, and a new one has the others.
    fn split(&mut self, lower: u32, depth: usize) -> u32 {
        let node = self.node(lower);
        let (first, start, parent, used) = (node.tokens[0], node.start, node.parent, node.used);
        let (head, tail): (Box<[u32]>, Box<[u32]>) =
            (node.tokens[..depth - start].into(), node.tokens[depth - start..].into());
        let passers = node.passers.iter().map(|passer| Passer { next: lower, ..*passer }).collect();
        let second = tail[0];
        self.bytes -= 4 * head.len();
        let upper =
            Node { tokens: head, start, parent, children: 1, passers, used, content_end: 0, generation: 0 };
        let upper = self.place(upper);
        let node = self.node_mut(lower);
        (node.tokens, node.start, node.parent) = (tail, depth, upper);
        self.children.insert((upper, second), lower);
        self.children.insert((parent, first), upper);
        for passer in &mut self.node_mut(parent).passers {
            if passer.next == lower {
                passer.next = upper;
            }
        }
        upper
    }

    /// Adds a node without children.
    fn insert(&mut self, node: Node) -> u32 {
        let (parent, first, used) = (node.parent, node.tokens[0], node.used);
        let place = self.place(node);
        self.children.insert((parent, first), place);
        self.node_mut(parent).children += 1;
        self.leaves.push(Reverse((used, place, self.node(place).generation)));
        place
    }

    fn place(&mut self, mut node: Node) -> u32 {
        self.bytes += node.bytes();
        if let Some(place) = self.free.pop() {
            node.generation = self.node(place).generation;
            self.nodes[place as usize] = node;
            return place;
        }
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    /// Forgets the ends of prompts that were used longest ago, until the memory is enough.
    fn forget(&mut self) {
        while self.bytes > self.limit
            && let Some(Reverse((used, place, generation))) = self.leaves.pop()
        {
            let node = self.node(place);
            if node.generation != generation || node.children > 0 {
                continue;
            }
            if node.used != used {
                self.leaves.push(Reverse((node.used, place, generation)));
                continue;
            }
            let (parent, first) = (node.parent, node.tokens[0]);
            self.bytes -= node.bytes();
            let node = self.node_mut(place);
            (node.tokens, node.passers) = (Box::default(), Vec::new());
            node.generation += 1;
            self.free.push(place);
            self.children.remove(&(parent, first));
            let parent_node = self.node_mut(parent);
            parent_node.children -= 1;
            for passer in &mut parent_node.passers {
                if passer.next == place {
                    passer.next = FORGOTTEN;
                }
            }
            if parent_node.children == 0 && parent != ROOT {
                let again = Reverse((parent_node.used, parent, parent_node.generation));
                self.leaves.push(again);
            }
        }
    }
}

/// How many tokens both begin with.
pub(super) fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    const STEP: usize = 32;
    let steps = a.chunks_exact(STEP).zip(b.chunks_exact(STEP)).take_while(|(a, b)| a == b).count();
    let done = steps * STEP;
    done + a[done..].iter().zip(&b[done..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prompts that begin like earlier ones, of three keys.
    fn prompts(count: usize) -> Vec<(u32, Vec<u32>)> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut prompts: Vec<(u32, Vec<u32>)> = Vec::new();
        for _ in 0..count {
            let mut tokens = match prompts.len() {
                0 => Vec::new(),
                n => prompts[random.usize(..n)].1.clone(),
            };
            tokens.truncate(random.usize(..=tokens.len()));
            tokens.extend((0..random.usize(1..40)).map(|_| random.u32(..3)));
            prompts.push((random.u32(..3), tokens));
        }
        prompts
    }

    #[test]
    fn the_best_earlier_prompt_is_the_one_that_a_search_finds() {
        let mut tree = Tree::new(usize::MAX);
        let all = prompts(600);
        for (at, (key, tokens)) in all.iter().enumerate() {
            let walk = tree.walk(tokens, *key);
            let earlier = || all[..at].iter().filter(|(other, _)| other == key);
            let shared = |other: &Vec<u32>| common_prefix(other, tokens);
            let most = earlier().map(|(_, other)| shared(other)).max();
            assert_eq!(walk.own, most.unwrap_or(0));
            assert_eq!(walk.depth, all[..at].iter().map(|(_, other)| shared(other)).max().unwrap_or(0));
            let best = tree.best(&walk, *key);
            assert_eq!(best.is_some(), most.is_some());
            if let Some(best) = best {
                let (other_key, other) = &all[best.line as usize];
                assert_eq!((other_key, shared(other), &other[best.shared..]), (key, walk.own, &*best.rest));
                assert_eq!(best.content_end, Some(other.len()));
                let later = &all[best.line as usize + 1..at];
                assert!(later.iter().all(|(k, other)| k != key || shared(other) < walk.own));
            }
            tree.add(tokens, walk, *key, at as u64, tokens.len());
        }
    }

    #[test]
    fn what_is_forgotten_bounds_the_memory() {
        let mut tree = Tree::new(20_000);
        for (at, (key, tokens)) in prompts(3000).iter().enumerate() {
            let walk = tree.walk(tokens, *key);
            tree.best(&walk, *key);
            tree.best_of_all(&walk);
            let anchor = tree.add(tokens, walk, *key, at as u64, tokens.len());
            assert!(tree.bytes <= 20_000);
            let walk = tree.walk(tokens, *key);
            assert_eq!(walk.own, tokens.len());
            assert!(tree.through(anchor, &walk, *key).is_some_and(|last| last.rest.is_empty()));
            let live: usize = (0..tree.nodes.len() as u32)
                .filter(|node| *node != ROOT && !tree.free.contains(node))
                .map(|node| tree.node(node).bytes())
                .sum();
            let root = tree.node(ROOT).passers.capacity() * size_of::<Passer>();
            assert_eq!(tree.bytes, live + root);
        }
    }
}
