//! From the forest of a trace to distributions.

use fastrand::Rng;

use super::arrivals::{CELLS_PER_REQUEST, Rate};
use super::balance::{Counted, SUMS, Sums};
use super::draws::{Chances, Conditional};
use super::left_out;
use super::links::{Linked, Links, NONE, growth, link};
use super::model::{Chance, Clock, Number, Parts, PrefixEnd, Quantity, SessionsModel};
use super::pass::{Tally, tally};
use super::quantiles::{Groups, Weighted, rounded, sessions_up_to};
use super::reuse::{Course, Reuse, Use};
use super::rows::{Given, SEVERAL, Table, bit, followers, thinned};
use super::spawn::growth_value;
use super::state::{FEATURES, Kind, PHASE, State, TURNS, turn_class};
use super::tree::{Growth, Rows};
use crate::error::Invalid;
use crate::synth::forest::Forest;
use crate::synth::request::NO_OUTPUT;

/// Rows of a leaf, at least, of distributions and of chances; leaves of a tree and groups of a leaf, at most.
const LEAF_ROWS: usize = 40;
const CHANCE_ROWS: usize = 60;
const LEAVES: usize = 96;
const KNOTS: usize = 40;

/// What followed too late to be in the trace is made up for by what came as late as this, up to this factor.
const MOST_CENSORED: f32 = 2.0;

/// Trial runs that find the factors of the chances, and the seed of the first.
const TRIALS: u64 = 6;
const TRIAL_SEED: u64 = 100;
/// Of no more requests a share says little.
const FEW_REQUESTS: f64 = 30.0;

/// The model of a trace, of which nothing tells about fewer than `min_count` sessions; and remarks on what is
/// missing in it for that reason.
///
/// # Errors
/// When there are fewer sessions than that.
pub(in crate::synth) fn learn(
    forest: &Forest,
    min_count: usize,
) -> Result<(SessionsModel, Vec<String>), Invalid> {
    let links = link(forest, min_count);
    let sessions = links.sessions();
    if sessions < min_count {
        return Err(Invalid::value(format!(
            "the trace has {sessions} sessions, and of fewer than `min_count` ({min_count}) nothing is learnt: give a \
             longer trace, or a smaller `min_count`"
        )));
    }
    let learner = Learner::new(forest, &links, min_count);
    let ends = links.prefixes.ends.iter().map(|&(run, sessions)| PrefixEnd { run, sessions }).collect();
    let mut model = SessionsModel { core: links.prefixes.core.clone(), ends, parts: learner.parts() };
    find_factors(&mut model, &links, min_count, forest.block_size);
    let remarks = left_out::remarks(&model, &links, forest, min_count);
    Ok((model, remarks))
}

/// What is learnt from.
struct Learner<'a> {
    forest: &'a Forest,
    links: &'a Links,
    min_count: usize,
    clock: Clock,
    /// Numbers of the requests that are learnt from: of each kind, of all that continue a conversation, and of all.
    of_kind: [Vec<u32>; Kind::ALL.len()],
    continuing: Vec<u32>,
    all: Vec<u32>,
    /// For each request a bit for each kind that follows it, and above these one for each that does so more than once.
    followers: Vec<u8>,
    /// Delays, rising, of which the trace is long enough to show all.
    delays: Vec<f64>,
}

/// Less than this share is not made up for.
const LEAST_SHOWN: f32 = 0.05;

/// The delays of requests in the first half of the trace, as far as they are shorter than the second, rising.
fn early_delays(requests: &[Linked]) -> Vec<f64> {
    let half = requests.last().map_or(0.0, |last| last.state.time) / 2.0;
    let early = |request: &&Linked| {
        request.before != NONE
            && requests[request.before as usize].state.time <= half
            && request.delay <= half
    };
    let mut delays: Vec<f64> = requests.iter().filter(early).map(|request| request.delay).collect();
    delays.sort_unstable_by(f64::total_cmp);
    delays
}

impl<'a> Learner<'a> {
    fn new(forest: &'a Forest, links: &'a Links, min_count: usize) -> Self {
        let requests = &links.requests;
        let end = requests.last().map_or(0.0, |last| last.state.time);
        let count = requests.len() as f64;
        let span = if end > 0.0 { end * (1.0 + 1.0 / count) } else { 1.0 };
        let whole = |gap: &f64| gap.fract() == 0.0;
        let clock = Clock {
            min_count: min_count as u64,
            span,
            whole_milliseconds: forest.gaps.iter().all(whole),
            delays: links.delays,
            after_tick: None,
            whole_growth: whole_growth(requests),
            longest: most(requests, min_count, |longest, request| longest.max(request.state.input)),
            most_requests: most(requests, min_count, |count, _| count + 1),
            repulsion: if links.delays.tick > 0.0 { repulsion(requests) } else { 0.0 },
            has_outputs: forest.requests.iter().any(|request| request.output != NO_OUTPUT),
            with_output: with_output(requests, min_count),
        };
        let numbers = |of: &dyn Fn(Kind) -> bool| {
            let is_of = |(request, _): &(&Linked, u32)| of(request.state.kind);
            thinned(requests.iter().zip(0..).filter(is_of).map(|(_, number)| number))
        };
        Self {
            forest,
            links,
            min_count,
            clock,
            of_kind: Kind::ALL.map(|kind| numbers(&|of| of == kind)),
            continuing: numbers(&Kind::continues),
            all: thinned(0..requests.len() as u32),
            followers: followers(requests),
            delays: early_delays(requests),
        }
    }

    fn parts(mut self) -> Parts {
        let rate = self.rate();
        self.clock.after_tick = self.after_tick();
        let sums = self.sums();
        let mut numbers = self.start_numbers();
        let states = self.states();
        let shown: Vec<f32> = self.all.iter().map(|&number| self.shown(self.request(number))).collect();
        let mut chances = Vec::new();
        for kind in &Kind::ALL[1..] {
            // Without one of them the kind cannot be drawn.
            if let Some((chance, of_kind)) = self.chance(*kind, &states, &shown).zip(self.numbers(*kind)) {
                chances.push(chance);
                numbers.extend(of_kind);
            }
        }
        Parts { clock: self.clock, rate, sums, numbers, chances }
    }

    fn growth(&self, min_rows: usize) -> Growth {
        Growth { min_rows, min_count: self.min_count, max_leaves: LEAVES }
    }

    fn request(&self, number: u32) -> &Linked {
        &self.links.requests[number as usize]
    }

    fn features(&self, request: u32) -> [f32; FEATURES] {
        let state = &self.request(request).state;
        state.features((state.time / self.clock.span) as f32)
    }

    /// Requests of a kind that are learnt from.
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Linked> {
        self.of_kind[kind as usize].iter().map(|&number| self.request(number))
    }

    /// What a request counts for among those that follow others as late: there are more than the trace has before it.
    fn weight(&self, request: &Linked) -> f32 {
        let requests = &self.links.requests;
        let end = requests[requests.len() - 1].state.time;
        let could = requests.partition_point(|other| end - other.state.time >= request.delay);
        (requests.len() as f32 / could.max(1) as f32).min(MOST_CENSORED)
    }

    /// The share of what follows a request that the trace is long enough to show.
    fn shown(&self, request: &Linked) -> f32 {
        let end = self.links.requests.last().map_or(0.0, |last| last.state.time);
        let ended = self.delays.partition_point(|&delay| delay <= end - request.state.time);
        let delays = self.delays.len();
        if delays == 0 { 1.0 } else { (ended as f32 / delays as f32).max(LEAST_SHOWN) }
    }

    /// Whether a request is left for another branch.
    fn is_left(&self, request: u32) -> f32 {
        let branches = bit(Kind::Document) | bit(Kind::Fork);
        f32::from(u8::from(self.followers[request as usize] & branches != 0))
    }

    fn number(&self, what: Quantity, of: Kind, rows: &Rows<'_>) -> Option<Number> {
        debug_assert_eq!(rows.columns.len(), super::model::width(what, of), "{what:?} of {of:?}");
        let given = Conditional::learn(rows, self.growth(LEAF_ROWS), KNOTS)?;
        Some(Number { what, of, given })
    }

    /// Lengths of requests that begin sessions.
    fn start_numbers(&self) -> Vec<Number> {
        let number =
            |what, columns: &[usize], of: &dyn Fn(&Linked) -> bool, value: &dyn Fn(&State) -> f32| {
                let (mut table, mut values) = (Table::new(3), Vec::new());
                for request in self.of_kind(Kind::Start).filter(|request| of(request)) {
                    let state = &request.state;
                    let phase = (state.time / self.clock.span) as f32;
                    table.push(&[state.core as f32, phase, state.logs.input], &[], request.session);
                    values.push(value(state));
                }
                let weights = vec![1.0; values.len()];
                self.number(what, Kind::Start, &table.given().rows(columns, &values, &weights))
            };
        // A prompt that is all prefix has no tokens of its own, unless there are no others.
        let has_own = |request: &Linked| !request.state.is_whole_prefix(self.forest.block_size);
        let new = |state: &State| state.logs.new;
        let tokens = number(Quantity::Tokens, &[0, 1], &has_own, &new)
            .or_else(|| number(Quantity::Tokens, &[0, 1], &|_| true, &new));
        let outputs = number(Quantity::Output, &[0, 1, 2], &|_| true, &|state| state.logs.output);
        tokens.into_iter().chain(outputs).collect()
    }

    /// The states of all requests, and whether they are left for a branch.
    fn states(&self) -> Given {
        let mut table = Table::new(FEATURES + 1);
        for &number in &self.all {
            table.push(&self.features(number), &[self.is_left(number)], self.request(number).session);
        }
        table.given()
    }

    /// Whether a request of a kind follows, given the states of all.
    fn chance(&self, kind: Kind, states: &Given, shown: &[f32]) -> Option<Chance> {
        let requests = &self.links.requests;
        let of_kind = if kind == Kind::Next { &self.continuing } else { &self.of_kind[kind as usize] };
        let sessions = of_kind.iter().map(|&number| self.request(number).session);
        if sessions_up_to(self.min_count, sessions) < self.min_count {
            return None;
        }
        let columns: Vec<usize> = (0..super::model::chance_width(kind)).collect();
        let growth = self.growth(CHANCE_ROWS);
        let given = if kind == Kind::Repeat {
            let (mut table, mut repeats) = (Table::new(FEATURES), Vec::new());
            for request in self.continuing.iter().map(|&number| self.request(number)) {
                table.push(&self.features(request.before), &[], request.session);
                repeats.push(f32::from(u8::from(request.state.kind == Kind::Repeat)));
            }
            let weights = vec![1.0; repeats.len()];
            Chances::learn(&table.given().rows(&columns, &repeats, &weights), growth)?
        } else {
            // Of those at the end of the trace only a part shows.
            let has = |(&number, shown): (&u32, &f32)| {
                f32::from(u8::from(self.followers[number as usize] & bit(kind) != 0)) / shown
            };
            let has: Vec<f32> = self.all.iter().zip(shown).map(has).collect();
            Chances::learn(&states.rows(&columns, &has, shown), growth)?
        };
        let with = |bits: u8| {
            requests.iter().zip(&self.followers).filter(move |(_, has)| **has & bits != 0).map(|(of, _)| of)
        };
        let several = with(bit(kind) << SEVERAL).map(|request| request.session);
        let tells = sessions_up_to(self.min_count, several) >= self.min_count;
        let (followed, all) = (with(bit(kind)).count(), self.links.followers(kind));
        let more = if tells { rounded((all - followed) as f64 / followed as f64) } else { 0.0 };
        Some(Chance { of: kind, factor: 1.0, by_turn: Vec::new(), more, given })
    }

    /// What is drawn of a request that follows.
    fn numbers(&self, kind: Kind) -> Option<Vec<Number>> {
        // Behind the features: branches, delay, of forks what is shared and what is not, what is drawn, input, nothing.
        let forks = if kind == Kind::Fork { 2 } else { 0 };
        let mut table = Table::new(FEATURES + 5 + forks);
        let (mut delays, mut depths, mut tokens, mut outputs) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut weights = Vec::new();
        let (requests, block_size) = (&self.links.requests, self.forest.block_size);
        for request in self.of_kind(kind) {
            let (state, before) = (&request.state, &requests[request.before as usize].state);
            let full = (before.input / block_size) as f32;
            let drawn = match kind {
                Kind::Next => growth_value(growth(requests, request), before.output, self.clock.whole_growth),
                Kind::Repeat => 0.0,
                _ => state.logs.new,
            };
            let mut more = [self.is_left(request.before), state.log_delay, 0.0, 0.0, 0.0, 0.0, 0.0];
            let shared = state.shared as f32;
            more[2..4].copy_from_slice(&[shared, full - shared]);
            more[2 + forks..4 + forks].copy_from_slice(&[drawn, state.logs.input]);
            table.push(&self.features(request.before), &more[..5 + forks], request.session);
            weights.push(self.weight(request));
            delays.push(state.log_delay);
            // Of other kinds it means nothing.
            depths.push(((shared - before.core as f32 + 0.5) / (full - shared + 0.5).max(0.5)).ln());
            tokens.push(drawn);
            outputs.push(state.logs.output);
        }
        let given = table.given();
        let (delay, drawn) = (FEATURES + 1, FEATURES + 2 + forks);
        let few_sessions = Reuse::is_small(requests.len(), self.links.sessions());
        let number = |what, more: std::ops::Range<usize>, values: &[f32]| {
            let mut columns: Vec<usize> = (0..FEATURES).chain(more).collect();
            if what == Quantity::Delay && !few_sessions {
                // What the end of the trace cuts off is made up for by weights. Where the place in the trace were
                // known, that would be done once more where nothing is cut off. Few sessions are told apart by it.
                columns[PHASE] = drawn + 2;
            }
            self.number(what, kind, &given.rows(&columns, values, &weights))
        };
        let mut numbers = vec![
            number(Quantity::Delay, FEATURES..delay, &delays)?,
            number(Quantity::Output, delay..drawn + 2, &outputs)?,
        ];
        if kind != Kind::Repeat {
            numbers.push(number(Quantity::Tokens, delay..drawn, &tokens)?);
        }
        if kind == Kind::Fork {
            numbers.push(number(Quantity::Depth, delay..delay + 1, &depths)?);
        }
        Some(numbers)
    }

    /// The rate of arrivals.
    fn rate(&self) -> Rate {
        let requests = &self.links.requests;
        let tick = self.links.delays.tick;
        let (cell, cells) = if tick > 0.0 {
            (tick, (self.clock.span / tick).round() as u64 + 1)
        } else {
            let cells = (requests.len() as f64 * CELLS_PER_REQUEST) as u64;
            (self.clock.span / cells as f64, cells)
        };
        let of_all = self.make_room();
        let arrivals: Vec<(u64, u32)> = requests
            .iter()
            .filter(|request| of_all || request.before == NONE)
            .map(|request| {
                let at = (request.state.time + tick / 2.0) / cell + 1e-9;
                ((at as u64).min(cells - 1), request.session)
            })
            .collect();
        Rate::learn(cell, cells, &arrivals, self.min_count, of_all)
    }

    /// Whether sessions begin where fewer requests follow others, as if all had to share a given rate.
    fn make_room(&self) -> bool {
        let correlation = |parts: usize| {
            let mut counts = [vec![0.0; parts], vec![0.0; parts]];
            for request in &self.links.requests {
                let part = (request.state.time / self.clock.span * parts as f64) as usize;
                counts[usize::from(request.before == NONE)][part.min(parts - 1)] += 1.0;
            }
            let [a, b] = counts;
            let mean = |values: &[f64]| values.iter().sum::<f64>() / parts as f64;
            let (mean_a, mean_b) = (mean(&a), mean(&b));
            let product = |x: &[f64], y: &[f64], mx: f64, my: f64| -> f64 {
                x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
            };
            let spread = product(&a, &a, mean_a, mean_a) * product(&b, &b, mean_b, mean_b);
            if spread > 0.0 { product(&a, &b, mean_a, mean_b) / spread.sqrt() } else { 0.0 }
        };
        [65, 13].into_iter().all(|parts| correlation(parts) < -0.1)
    }

    /// By how much requests come after their tick.
    fn after_tick(&self) -> Option<Groups> {
        let tick = self.links.delays.tick;
        let off = |request: &Linked| Weighted {
            value: (request.state.time - (request.state.time / tick).round() * tick) as f32,
            weight: 1.0,
            session: request.session,
        };
        if tick == 0.0 {
            return None;
        }
        let requests = self.all.iter().map(|&number| self.request(number));
        Groups::of(&mut requests.map(off).collect::<Vec<_>>(), self.min_count, 13)
    }

    /// What caches find that the sessions share, if they are few.
    fn reuse(&self) -> Reuse {
        let requests = &self.links.requests;
        let sessions = self.links.sessions();
        if !Reuse::is_small(requests.len(), sessions) {
            return Reuse::default();
        }
        let used = |&number: &u32| {
            let request = &requests[number as usize];
            let before = requests.get(request.before as usize).unwrap_or(request);
            Use::new(&request.state, &before.state, self.forest.block_size)
        };
        let order = by_session(requests);
        let courses = each_session(&order, requests).map(|session| Course::new(session.iter().map(used)));
        Reuse::learn(courses.collect(), self.min_count)
    }

    /// The sums that are kept to.
    fn sums(&self) -> Sums {
        let requests = &self.links.requests;
        let bounds = |groups: usize, kinds: &[Kind], value: &dyn Fn(&Linked) -> f32| {
            let mut values: Vec<Weighted> = self
                .all
                .iter()
                .map(|&number| self.request(number))
                .filter(|request| kinds.contains(&request.state.kind))
                .map(|request| Weighted { value: value(request), weight: 1.0, session: request.session })
                .collect();
            let parts = Groups::of(&mut values, self.min_count, 4 * groups).unwrap_or_default();
            let bound = |part: usize| {
                let share = part as f32 / groups as f32;
                let at = parts.shares.partition_point(|&upto| upto < share);
                let pair = parts.means.get(at).zip(parts.means.get(at + 1))?;
                Some(rounded(f64::from(f32::midpoint(*pair.0, *pair.1))))
            };
            let mut bounds: Vec<f32> = (1..groups).filter_map(bound).collect();
            bounds.dedup();
            bounds
        };
        let mut sums = Sums {
            bounds: [
                bounds(12, &Kind::ALL, &|request| request.state.logs.input),
                bounds(8, &Kind::ALL, &|request| request.state.logs.output),
                bounds(12, &Kind::ALL[1..], &|request| request.state.log_delay),
                bounds(8, &[Kind::Next], &|request| request.state.logs.growth_less_output),
                bounds(20, &Kind::ALL, &|request| (request.state.time / self.clock.span) as f32),
            ],
            per_session: Vec::new(),
            reuse: self.reuse(),
        };
        let mut totals = vec![0.0_f64; SUMS];
        // Which sessions each sum is of, up to as many as matter.
        let mut of: Vec<Vec<u32>> = vec![Vec::new(); SUMS];
        let ranks = ranks(&self.links.prefixes.ends);
        let mut one = Counted::default();
        for session in each_session(&by_session(requests), requests) {
            one.clear();
            for (before, &request) in session.iter().enumerate() {
                let request = &requests[request as usize];
                let place = request.state.time / self.clock.span;
                sums.add(&request.state, self.forest.block_size, before, place, &mut one);
            }
            let Some(&first) = session.first() else { continue };
            Sums::add_prefix(ranks[requests[first as usize].prefix as usize], session.len(), &mut one);
            for (i, value) in one.iter() {
                totals[i] += value;
                if of[i].len() < self.min_count {
                    of[i].push(first);
                }
            }
        }
        let sessions = self.links.sessions() as f64;
        let kept = |(total, of): (&f64, &Vec<u32>)| {
            if of.len() < self.min_count { 0.0 } else { rounded(total / sessions) }
        };
        sums.per_session = totals.iter().zip(&of).map(kept).collect();
        sums
    }
}

/// All requests, session by session, in order.
fn by_session(requests: &[Linked]) -> Vec<u32> {
    let mut order: Vec<(u32, u32)> = requests.iter().map(|request| request.session).zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, request)| request).collect()
}

/// The parts of such a list that are a session each.
fn each_session<'a>(order: &'a [u32], requests: &'a [Linked]) -> impl Iterator<Item = &'a [u32]> {
    order.chunk_by(|&a, &b| requests[a as usize].session == requests[b as usize].session)
}

/// The rank of each prefix by how many sessions have it.
fn ranks(ends: &[(u32, u64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ends.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(ends[i].1));
    let mut ranks = vec![0; ends.len()];
    order.into_iter().enumerate().for_each(|(rank, i)| ranks[i] = rank);
    ranks
}

/// Correlation of the outputs of requests that are one to three apart, with its sign changed.
fn repulsion(requests: &[Linked]) -> f32 {
    let outputs: Vec<f64> = requests.iter().map(|request| f64::from(request.state.logs.output)).collect();
    let mean = outputs.iter().sum::<f64>() / outputs.len() as f64;
    let product = |apart: usize| {
        let pairs = outputs.iter().zip(&outputs[apart.min(outputs.len())..]);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>()
    };
    let spread = product(0);
    if spread > 0.0 { rounded(-(1..=3).map(product).sum::<f64>() / 3.0 / spread).max(0.0) } else { 0.0 }
}

/// The share of the requests whose output is known; all of them, where hardly any session tells of others.
fn with_output(requests: &[Linked], min_count: usize) -> f32 {
    let without = || requests.iter().filter(|request| !request.has_output);
    if sessions_up_to(min_count, without().map(|request| request.session)) < min_count {
        return 1.0;
    }
    rounded(1.0 - without().count() as f64 / requests.len() as f64)
}

/// Mean over the `min_count` sessions that have most of something, of which `total` makes one number for each
/// session.
fn most(requests: &[Linked], min_count: usize, total: impl Fn(u64, &Linked) -> u64) -> f32 {
    // Every session has the number of a request.
    let mut most = vec![0; requests.len()];
    for request in requests {
        let so_far = &mut most[request.session as usize];
        *so_far = total(*so_far, request);
    }
    if min_count < most.len() {
        most.select_nth_unstable_by(min_count, |a, b| b.cmp(a));
        most.truncate(min_count);
    }
    rounded(most.iter().sum::<u64>() as f64 / most.len().max(1) as f64)
}

/// Whether growth is spread less than what exceeds the output before it.
fn whole_growth(requests: &[Linked]) -> bool {
    let next = || requests.iter().filter(|request| request.state.kind == Kind::Next);
    let spread = |whole: bool| -> f64 {
        let value = |request: &Linked| {
            let before = requests[request.before as usize].state.output;
            f64::from(growth_value(growth(requests, request), before, whole).abs())
        };
        next().map(value).sum()
    };
    next().next().is_some() && spread(true) < spread(false)
}

/// Finds the factors with which trial runs have the kinds of requests as often as the trace, and conversations of
/// each length go on as often: near the point where sessions never end, small errors of the chances add up.
fn find_factors(model: &mut SessionsModel, links: &Links, min_count: usize, block_size: u64) {
    let mut wanted = Tally::default();
    links.requests.iter().for_each(|request| wanted.add(&request.state));
    let tells = turns_told(&links.requests, min_count);
    let count = links.requests.len();
    let starts = wanted.share(|kind| kind == Kind::Start);
    for trial in 0..TRIALS {
        let mut rng = Rng::with_seed(TRIAL_SEED + trial);
        let found = tally(model, block_size, count, &mut rng);
        for chance in &mut model.parts.chances {
            let of = chance.of;
            let counts = |kind: Kind| kind == of || of == Kind::Next && kind.continues();
            let power = if of == Kind::Next { starts } else { 0.6 };
            let share = wanted.share(counts);
            if share * count as f64 > FEW_REQUESTS {
                change(&mut chance.factor, share, found.share(counts), power);
            }
            if of == Kind::Next {
                chance.by_turn.resize(TURNS, 1.0);
                for (class, factor) in
                    chance.by_turn.iter_mut().enumerate().filter(|(class, _)| tells[*class])
                {
                    // The steps become smaller, so that luck averages out.
                    let (wanted, found) = (wanted.continued(class), found.continued(class));
                    change(factor, wanted, found, 1.0 / (trial + 1) as f64);
                }
            }
        }
    }
}

/// Brings a factor nearer to the one with which what is wanted is found.
fn change(factor: &mut f32, wanted: f64, found: f64, power: f64) {
    let ratio = (found / wanted).max(0.2);
    *factor = rounded(f64::from(*factor) * (1.0 / ratio).clamp(0.7, 1.4).powf(power));
}

/// Of which classes of turns enough requests of enough sessions are continued to say how often that is.
fn turns_told(requests: &[Linked], min_count: usize) -> [bool; TURNS] {
    std::array::from_fn(|class| {
        let is_next =
            |request: &&Linked| request.state.kind.continues() && turn_class(request.state.turn - 1) == class;
        let next = || requests.iter().filter(is_next);
        next().count() as f64 > FEW_REQUESTS
            && sessions_up_to(min_count, next().map(|request| request.session)) >= min_count
    })
}
