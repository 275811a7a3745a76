//! Several fleets that get the same requests, in one pass.

use crate::blocks::{BlockNumber, NumberRun};
use crate::fleet::homes::{Homes, Key};
use crate::fleet::router::{Fleet, Question, Route, Router};
use crate::fleet::segments::Segments;
use crate::fleet::slots::Slots;
use crate::fleet::tree::{Step, Tree};

/// A request on its way to a replica.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The numbers of its blocks, in the order of their first appearance; each run is new or known as a whole.
    pub runs: &'a [NumberRun],
    /// Numbers from this one on are new.
    pub first_new: BlockNumber,
    /// Prompt tokens.
    pub tokens: u64,
    /// Trace time in milliseconds, never falling.
    pub now: f64,
    /// What its session is known by, if it has one.
    pub session: Option<u64>,
}

impl Arrival<'_> {
    /// What it is kept together with others by, if there is such a thing behind a route.
    fn key(&self, route: Route) -> Option<Key> {
        match route {
            Route::Session => self.session.map(Key::Session),
            Route::Prefix(blocks) => self.block(blocks - 1).map(Key::Block),
            Route::RoundRobin | Route::Cache => None,
        }
    }

    /// The block at a place, the last one where there are fewer.
    fn block(&self, place: u32) -> Option<BlockNumber> {
        let mut before = 0;
        let at = self.runs.iter().find_map(|run| {
            let at = (place - before < run.len).then(|| run.start + (place - before));
            before += run.len;
            at
        });
        at.or(self.runs.last().map(|run| run.end() - 1))
    }
}

/// What a fleet did with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The replica that got it.
    pub replica: u32,
    /// How many of its first blocks that replica has ever had.
    pub known: u32,
}

/// Known blocks of a request with consecutive distances in the stack of its replica.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// How many.
    pub len: u32,
    /// How many other blocks the replica has used since it used the first one; each further one has one more.
    pub distance: u32,
    /// When it used them last, if that is of interest.
    pub used: f64,
}

impl Run {
    /// So many blocks at this distance, used at that time.
    pub fn new(len: u32, distance: u32, used: f64) -> Self {
        Self { len, distance, used }
    }
}

/// Blocks of a request that its replica uses, from the last one to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// How many.
    pub len: u32,
    /// How many blocks were above each of them in the stack when it was used; of new ones, how many blocks the stack
    /// had at the first, and each further one finds one more.
    pub depth: u32,
    /// Whether the replica has never had them.
    pub is_new: bool,
}

/// What fleets remember beside which blocks each replica has ever had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detail {
    /// The stack of each replica.
    pub stacks: bool,
    /// With the time at which each block was used last.
    pub times: bool,
    /// What happens in the stack while the blocks of a request are used one by one.
    pub uses: bool,
}

/// Fleets of replicas behind routers, all of which get the same requests.
///
/// Each replica has a cache without limit, and, if asked for, its LRU stack. Memory: 8 bytes for each fleet and
/// run of blocks that requests never part, 4 to 5 for each fleet and request some of whose blocks nobody used
/// since, 4 for each session or prefix that stays somewhere, and for all together 17 for each session, 8 for each
/// prefix and 16 for each of the runs.
pub struct Fleets {
    block_size: u64,
    routers: Vec<Router>,
    homes: Vec<Homes>,
    /// Of each fleet, which of these are its own and its number in them, if it has any.
    home_of: Vec<Option<(usize, usize)>>,
    shape: Shape,
    slots: Slots,
    /// The stacks of the replicas of each fleet, if there are any.
    stacks: Vec<Vec<Segments>>,
    choices: Vec<Choice>,
    runs: Vec<Vec<Run>>,
    /// None if they are not asked for.
    uses: Vec<Vec<Use>>,
    /// The nodes of the current request.
    path: Vec<Step>,
    /// How many blocks these have.
    path_blocks: u32,
    blocks: BlockNumber,
    /// Bytes in use as of the last count, and how many requests and nodes ago that was.
    bytes: (usize, usize),
}

/// So many requests and nodes may go by until bytes are counted again.
const UNCOUNTED: usize = 256;

/// What nodes are.
enum Shape {
    /// Runs of blocks in a tree.
    Forest(Tree),
    /// Single blocks, by their number: a block has followed two different ones.
    Blocks,
}

impl Fleets {
    /// Fleets that have had no request, of blocks of `block_size` tokens.
    pub fn new(fleets: &[Fleet], block_size: u64, detail: Detail) -> Self {
        let stacks =
            |fleet: &Fleet| (0..fleet.replicas).map(|_| Segments::new(detail.times)).collect::<Vec<_>>();
        let routers: Vec<Router> = fleets.iter().map(|&fleet| Router::new(fleet)).collect();
        let mut homes: Vec<Homes> = Vec::new();
        let mut home_of = |(fleet, router): (&Fleet, &Router)| {
            if !router.has_homes() {
                return None;
            }
            let at = homes.iter().position(|homes| homes.route() == fleet.route).unwrap_or_else(|| {
                homes.push(Homes::new(fleet.route));
                homes.len() - 1
            });
            Some((at, homes[at].add_fleet()))
        };
        Self {
            block_size,
            home_of: fleets.iter().zip(&routers).map(&mut home_of).collect(),
            homes,
            routers,
            shape: Shape::Forest(Tree::default()),
            slots: Slots::new(fleets.iter().map(|fleet| fleet.replicas)),
            stacks: if detail.stacks { fleets.iter().map(stacks).collect() } else { Vec::new() },
            choices: vec![Choice::default(); fleets.len()],
            runs: vec![Vec::new(); fleets.len()],
            uses: if detail.uses { vec![Vec::new(); fleets.len()] } else { Vec::new() },
            path: Vec::new(),
            path_blocks: 0,
            blocks: 0,
            bytes: (0, 0),
        }
    }

    /// Sends the next request where each fleet's router says.
    pub fn send(&mut self, arrival: &Arrival) {
        let known = self.take(arrival.runs, arrival.first_new);
        self.homes.iter_mut().for_each(|homes| homes.take(arrival.key(homes.route())));
        for fleet in 0..self.routers.len() {
            let (slots, path) = (&self.slots, &self.path);
            let last_user = || {
                let (node, blocks) = known?;
                let covered = 2 * u128::from(blocks) * u128::from(self.block_size);
                (covered >= arrival.tokens.into()).then(|| slots.last(path[node].node, fleet))
            };
            let home = self.home_of[fleet].and_then(|(homes, number)| self.homes[homes].of(number));
            let question = Question { now: arrival.now, home, last_user: &last_user };
            self.choices[fleet].replica = self.routers[fleet].choose(question);
        }
        self.use_path(arrival.now);
        for fleet in 0..self.routers.len() {
            let work = self.work(self.choices[fleet], arrival.tokens);
            self.routers[fleet].sent(arrival.now, self.choices[fleet].replica, work);
        }
    }

    /// Takes a request whose replicas are known.
    pub fn follow(&mut self, runs: &[NumberRun], first_new: BlockNumber, now: f64, choices: &[Choice]) {
        self.take(runs, first_new);
        self.choices.copy_from_slice(choices);
        self.use_path(now);
    }

    /// Where the request went, in each fleet.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The prompt tokens that a replica had to compute with a cache without limit.
    pub fn work(&self, choice: Choice, tokens: u64) -> u64 {
        tokens - u64::from(choice.known).saturating_mul(self.block_size).min(tokens)
    }

    /// Where the blocks of the request that its replica knows were in its stack, in the order of the prompt.
    /// Distances rise from run to run if ids are a forest.
    pub fn runs(&self, fleet: usize) -> &[Run] {
        &self.runs[fleet]
    }

    /// What happened in the stack of its replica while the blocks of the request were used, from the last one to the
    /// first; nothing if that is not asked for.
    pub fn uses(&self, fleet: usize) -> &[Use] {
        self.uses.get(fleet).map_or(&[], Vec::as_slice)
    }

    /// Bytes in use, as of a short time ago.
    pub fn bytes(&self) -> usize {
        self.bytes.0
    }

    fn count_bytes(&self) -> usize {
        let tree = match &self.shape {
            Shape::Forest(tree) => tree.bytes(),
            Shape::Blocks => 0,
        };
        let routers: usize = self.routers.iter().map(Router::bytes).sum();
        let stacks: usize = self.stacks.iter().flatten().map(Segments::bytes).sum();
        let homes: usize = self.homes.iter().map(Homes::bytes).sum();
        tree + self.slots.bytes() + routers + homes + stacks
    }

    /// Finds the nodes of a request. Gives the last one of its longest known prefix, as its place in the path, and
    /// how many blocks that has.
    fn take(&mut self, runs: &[NumberRun], first_new: BlockNumber) -> Option<(usize, u32)> {
        self.path.clear();
        let known = runs.iter().take_while(|run| run.start < first_new).map(|run| run.len).sum();
        let end = runs.iter().map(|run| run.end()).max().map_or(first_new, |end| end.max(first_new));
        let is_path = match &mut self.shape {
            Shape::Forest(tree) => tree.path(runs, first_new, &mut self.slots, &mut self.path),
            Shape::Blocks => false,
        };
        let nodes = if is_path {
            self.path.len() - usize::from(end > first_new)
        } else {
            self.fall_back();
            self.path.clear();
            let blocks = runs.iter().flat_map(|run| run.blocks());
            self.path.extend(blocks.map(|node| Step { node, len: 1 }));
            self.slots.push((end - first_new) as usize);
            known as usize
        };
        self.path_blocks = self.path.iter().map(|step| step.len).sum();
        // A request without ids does not know how many blocks there are.
        self.blocks = self.blocks.max(end);
        self.bytes.1 += 1 + self.path.len();
        if self.bytes.1 >= UNCOUNTED {
            self.bytes = (self.count_bytes(), 0);
        }
        Some((nodes.checked_sub(1)?, known))
    }

    /// From now on, every block is a node of its own.
    fn fall_back(&mut self) {
        let Shape::Forest(tree) = &self.shape else { return };
        let slots = std::mem::replace(&mut self.slots, Slots::new(std::iter::empty()));
        self.slots = slots.spread(self.blocks as usize, tree.blocks());
        self.shape = Shape::Blocks;
        for (fleet, stacks) in self.stacks.iter_mut().enumerate() {
            // The next free place of each segment, of each replica.
            let mut places: Vec<Vec<u32>> = Vec::with_capacity(stacks.len());
            let mut times: Vec<Option<Vec<f64>>> = Vec::with_capacity(stacks.len());
            for stack in &*stacks {
                let ends = stack.counts().iter().scan(0, |end, &count| {
                    *end += count;
                    Some(*end - count)
                });
                places.push(ends.collect());
                let of =
                    |(segment, &count): (u32, &u32)| std::iter::repeat_n(stack.time(segment), count as usize);
                times.push(stack.has_times().then(|| (0..).zip(stack.counts()).flat_map(of).collect()));
            }
            // Along a path, numbers rise, and the last block is the least recent one.
            self.slots.renumber(fleet, |replica, segment| {
                let place = &mut places[replica as usize][segment as usize];
                *place += 1;
                *place - 1
            });
            for (stack, times) in stacks.iter_mut().zip(times) {
                let blocks = stack.counts().iter().sum::<u32>();
                *stack = Segments::ones(blocks as usize, times);
            }
        }
    }

    /// The replica of each fleet uses the blocks of the request.
    fn use_path(&mut self, now: f64) {
        self.runs.iter_mut().for_each(Vec::clear);
        self.uses.iter_mut().for_each(Vec::clear);
        if self.stacks.is_empty() {
            (0..self.choices.len()).for_each(|fleet| self.note_nodes(fleet));
        } else if matches!(self.shape, Shape::Blocks) {
            (0..self.choices.len()).for_each(|fleet| self.use_blocks(fleet, now));
        } else {
            (0..self.choices.len()).for_each(|fleet| self.use_nodes(fleet, now));
        }
    }

    /// Without a stack.
    fn note_nodes(&mut self, fleet: usize) {
        let Choice { replica, known } = &mut self.choices[fleet];
        let had =
            self.path.iter().take_while(|step| self.slots.segment(step.node, fleet, *replica).is_some());
        *known = had.map(|step| step.len).sum();
        self.path.iter().for_each(|step| self.slots.set(step.node, fleet, *replica, 0));
    }

    /// In a forest: nodes of one segment are one run.
    #[inline]
    fn use_nodes(&mut self, fleet: usize, now: f64) {
        let Choice { replica, known } = &mut self.choices[fleet];
        let stack = &mut self.stacks[fleet][*replica as usize];
        let newest = stack.len() as u32;
        *known = 0;
        let mut path = self.path.iter();
        let mut segment_of_next = || {
            let step = path.next()?;
            let segment = self.slots.segment(step.node, fleet, *replica);
            self.slots.set(step.node, fleet, *replica, newest);
            segment.map(|segment| (segment, step.len))
        };
        let mut next = segment_of_next();
        while let Some((of, mut len)) = next {
            next = segment_of_next();
            while let Some((_, more)) = next.filter(|(segment, _)| *segment == of) {
                len += more;
                next = segment_of_next();
            }
            // What this request has taken from newer segments is above it too.
            let distance = stack.after(of) + *known;
            self.runs[fleet].push(Run { len, distance, used: stack.time(of) });
            stack.subtract(of, len);
            *known += len;
        }
        path.for_each(|step| self.slots.set(step.node, fleet, *replica, newest));
        let replica = *replica;
        if let Some(uses) = self.uses.get_mut(fleet) {
            // Above a block are all others that are more recent, and all others of this request.
            let mut before = 0;
            let known = self.runs[fleet].iter().map(|run| {
                let depth = run.distance - before + self.path_blocks - 1;
                before += run.len;
                Use { len: run.len, depth, is_new: false }
            });
            uses.extend(known);
            if self.path_blocks > before {
                let (len, depth) = (self.path_blocks - before, stack.total() + before);
                uses.push(Use { len, depth, is_new: true });
            }
            uses.reverse();
        }
        if self.path_blocks > 0 {
            stack.push(self.path_blocks, now);
            self.compact(fleet, replica);
        }
    }

    /// Where every block is a node: each use is a segment.
    fn use_blocks(&mut self, fleet: usize, now: f64) {
        let Choice { replica, .. } = self.choices[fleet];
        let stack = &mut self.stacks[fleet][replica as usize];
        let runs = &mut self.runs[fleet];
        let (mut known, mut above, mut largest) = (0, None, None);
        for step in &self.path {
            let Some(segment) = self.slots.segment(step.node, fleet, replica) else { break };
            let (last, used) = (runs.last_mut(), stack.time(segment));
            // Most blocks are right below the one before, as they were used together.
            let distance = match &last {
                Some(run) if above == Some(segment + 1) => run.distance + run.len,
                _ => stack.after(segment),
            };
            match last {
                Some(run)
                    if run.used == used && run.distance + run.len == distance && largest < Some(distance) =>
                {
                    run.len += 1;
                }
                _ => runs.push(Run { len: 1, distance, used }),
            }
            (known, above, largest) = (known + 1, Some(segment), largest.max(Some(distance)));
        }
        for &Step { node: block, .. } in self.path.iter().rev() {
            let segment = self.slots.segment(block, fleet, replica);
            if let Some(uses) = self.uses.get_mut(fleet) {
                let depth = segment.map_or_else(|| stack.total(), |segment| stack.after(segment));
                uses.push(Use { len: 1, depth, is_new: segment.is_none() });
            }
            if let Some(segment) = segment {
                stack.subtract(segment, 1);
            }
            let newest = stack.len() as u32;
            stack.push(1, now);
            self.slots.set(block, fleet, replica, newest);
        }
        self.choices[fleet].known = known;
        self.compact(fleet, replica);
    }

    /// Drops the empty segments of a fleet once they are more than the others; asked for after a replica was used.
    #[inline]
    fn compact(&mut self, fleet: usize, replica: u32) {
        let stacks = &mut self.stacks[fleet];
        // There is no need to look at all of them if it is not true of this one.
        let used = &stacks[replica as usize];
        if 2 * used.empty() <= used.len() {
            return;
        }
        let all: usize = stacks.iter().map(Segments::len).sum();
        let empty: usize = stacks.iter().map(Segments::empty).sum();
        if 2 * empty > all + 2048 {
            let numbers: Vec<Vec<u32>> = stacks.iter_mut().map(Segments::compact).collect();
            self.slots.renumber(fleet, |replica, segment| numbers[replica as usize][segment as usize]);
        }
    }
}

/// A fleet of one replica needs no router.
impl Fleet {
    /// The same with the route that decides: of one replica none does.
    #[must_use]
    pub fn simplest(self) -> Self {
        if self.replicas == 1 { Self { route: Route::RoundRobin, ..self } } else { self }
    }
}
