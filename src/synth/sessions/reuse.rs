//! What caches find that few sessions share.
//!
//! What a cache of a finite size finds depends on what other sessions do between a request and the next one that
//! goes on from it. Where a trace has few sessions it is chance which of them overlap, and how long the last ones
//! go on alone: even its own sessions, drawn again with their own times, have other hit rates. So the hit rates are
//! kept, and sessions are exchanged until they are met.
//!
//! They are estimates: of each session that is active between two requests, the longest prompt counts, without the
//! core. The trace and what is drawn are measured in the same way, so it matters little.

use serde::{Deserialize, Serialize};

use super::quantiles::{rounded, sessions_up_to};
use super::state::{Kind, State};

/// Sizes of caches; ages, of which the last is half the trace, the one before a quarter, and so on; classes of the
/// number of requests between.
const SIZES: usize = 12;
const AGES: usize = 16;
const BETWEEN: usize = 8;

/// Sessions, and pairs of a request and a session, at most, of a trace that is measured: each exchange looks at all.
const MOST_SESSIONS: usize = 150;
const MOST_PAIRS: usize = 1 << 20;

/// A share that is off by so much counts as much as a sum that is off by its standard deviation.
const TOLERANCE: f64 = 0.0015;

/// A request of a session, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Use {
    /// Seconds; those of the request that it goes on from.
    time: f64,
    before: f64,
    /// Blocks of its prompt; those that it shares with the request before; those of the core.
    blocks: u32,
    shared: u32,
    core: u32,
}

impl Use {
    /// Of a request that goes on from another, or from itself if it begins a session.
    pub(super) fn new(state: &State, before: &State, block_size: u64) -> Self {
        Self {
            time: state.time,
            before: before.time,
            blocks: state.input.div_ceil(block_size) as u32,
            shared: if state.kind == Kind::Start { 0 } else { state.shared },
            core: state.core,
        }
    }

    fn age(&self) -> f64 {
        self.time - self.before
    }
}

/// The requests of a session in the order of their times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Course(Vec<Use>);

impl Course {
    /// Of requests in any order.
    pub(super) fn new(uses: impl Iterator<Item = Use>) -> Self {
        let mut uses: Vec<Use> = uses.collect();
        uses.sort_by(|a, b| a.time.total_cmp(&b.time));
        Self(uses)
    }

    /// Whether both are active at some time.
    fn overlaps(&self, other: &Self) -> bool {
        let ends = |course: &Self| Some((course.0.first()?.time, course.0.last()?.time));
        ends(self).zip(ends(other)).is_some_and(|(here, there)| here.0 <= there.1 && there.0 <= here.1)
    }

    /// What this session does between two moments.
    fn between(&self, after: f64, until: f64) -> Between {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return Between::default() };
        if last.time <= after || first.time >= until {
            return Between::default();
        }
        let from = self.0.partition_point(|used| used.time <= after);
        let uses = self.0[from..].iter().take_while(|used| used.time < until);
        uses.fold(Between::default(), |sum, used| Between {
            blocks: sum.blocks.max(used.blocks.saturating_sub(used.core)),
            requests: sum.requests + 1,
        })
    }
}

/// What other sessions do between a request and the one that it goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Between {
    blocks: u32,
    requests: u32,
}

impl Between {
    fn and(self, more: Self) -> Self {
        Self { blocks: self.blocks + more.blocks, requests: self.requests + more.requests }
    }

    fn without(self, less: Self) -> Self {
        Self { blocks: self.blocks - less.blocks, requests: self.requests - less.requests }
    }

    /// Blocks of a prompt that a cache of a size finds.
    fn found(self, size: u32, used: &Use) -> u32 {
        size.saturating_sub(self.blocks).min(used.shared)
    }

    /// None, one, two to three, four to seven, ...
    fn class(self) -> usize {
        (self.requests.saturating_add(1).ilog2() as usize).min(BETWEEN - 1)
    }
}

/// What is kept: nothing that only fewer sessions than `min_count` tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reuse {
    /// Sizes of caches in blocks, rising, and the share of all prompt blocks that each finds.
    found: Vec<(u32, f32)>,
    /// Ages in seconds, rising, and the share of all prompt blocks that requests share which come that soon.
    within: Vec<(f32, f32)>,
    /// Share of the requests that go on after none, one, two to three, four to seven, ... of other sessions; none
    /// where few sessions have such.
    between: Vec<Option<f32>>,
}

/// Sums over requests.
#[derive(Clone, Debug, Default)]
struct Totals {
    blocks: f64,
    requests: f64,
    found: Vec<f64>,
    within: Vec<f64>,
    between: [f64; BETWEEN],
}

impl Totals {
    fn new(reuse: &Reuse) -> Self {
        Self { found: vec![0.0; reuse.found.len()], within: vec![0.0; reuse.within.len()], ..Self::default() }
    }

    /// Adds a request, or takes it away if `sign` is -1.
    fn add(&mut self, reuse: &Reuse, used: &Use, between: Between, sign: f64) {
        self.blocks += sign * f64::from(used.blocks);
        self.requests += sign;
        for (sum, age) in self.within.iter_mut().zip(&reuse.within) {
            if used.age() <= f64::from(age.0) {
                *sum += sign * f64::from(used.shared);
            }
        }
        self.add_between(reuse, used, between, sign);
    }

    /// Adds what depends on other sessions.
    fn add_between(&mut self, reuse: &Reuse, used: &Use, between: Between, sign: f64) {
        if used.shared > 0 {
            for (sum, size) in self.found.iter_mut().zip(&reuse.found) {
                *sum += sign * f64::from(between.found(size.0, used));
            }
            self.between[between.class()] += sign;
        }
    }

    /// Squared distance from what is wanted.
    fn distance(&self, reuse: &Reuse) -> f64 {
        let off =
            |sum: f64, all: f64, wanted: f32| ((sum / all.max(1.0) - f64::from(wanted)) / TOLERANCE).powi(2);
        let found = self.found.iter().zip(&reuse.found).map(|(&sum, size)| off(sum, self.blocks, size.1));
        let within = self.within.iter().zip(&reuse.within).map(|(&sum, age)| off(sum, self.blocks, age.1));
        let between = self.between.iter().zip(&reuse.between);
        let between =
            between.filter_map(|(&sum, wanted)| wanted.map(|wanted| off(sum, self.requests, wanted)));
        found.chain(within).chain(between).sum()
    }
}

/// The sessions of a pass, and what comes between their requests.
pub(super) struct Together {
    reuse: Reuse,
    courses: Vec<Course>,
    between: Vec<Vec<Between>>,
    totals: Totals,
    /// The session that was taken away, and those that might take its place.
    old: Course,
    candidates: Vec<Course>,
}

impl Together {
    pub(super) fn new(reuse: Reuse, courses: Vec<Course>) -> Self {
        let mut together = Self {
            totals: Totals::new(&reuse),
            between: vec![Vec::new(); courses.len()],
            courses: vec![Course::default(); courses.len()],
            reuse,
            old: Course::default(),
            candidates: Vec::new(),
        };
        courses.into_iter().enumerate().for_each(|(number, course)| together.insert(number, course));
        together
    }

    /// Takes a session away, until [`Together::put`]; returns the distance from what is kept, as it was.
    pub(super) fn without(&mut self, number: usize, candidates: impl Iterator<Item = Course>) -> f64 {
        self.candidates.clear();
        if self.reuse.is_empty() {
            return 0.0;
        }
        self.candidates.extend(candidates);
        let before = self.totals.distance(&self.reuse);
        self.old = self.remove(number);
        before
    }

    /// The distance with one of the candidates in the empty place.
    pub(super) fn with(&self, candidate: usize) -> f64 {
        self.candidates.get(candidate).map_or(0.0, |candidate| self.distance_with(candidate))
    }

    /// Puts one of the candidates in the empty place, or what was there before.
    pub(super) fn put(&mut self, number: usize, candidate: Option<usize>) {
        if !self.reuse.is_empty() {
            let old = std::mem::take(&mut self.old);
            let new = candidate.map(|candidate| std::mem::take(&mut self.candidates[candidate]));
            self.insert(number, new.unwrap_or(old));
        }
    }

    /// What the sessions do between the requests of another one.
    fn between_uses<'a>(&'a self, course: &'a Course) -> impl Iterator<Item = (&'a Use, Between)> {
        let others: Vec<&Course> = self.courses.iter().filter(|other| other.overlaps(course)).collect();
        course.0.iter().map(move |used| {
            let all = others.iter().filter(|_| used.shared > 0);
            let sum =
                all.map(|other| other.between(used.before, used.time)).fold(Between::default(), Between::and);
            (used, sum)
        })
    }

    fn remove(&mut self, number: usize) -> Course {
        let course = std::mem::take(&mut self.courses[number]);
        let between = std::mem::take(&mut self.between[number]);
        let Self { reuse, courses, between: of_others, totals, .. } = self;
        for (used, between) in course.0.iter().zip(between) {
            totals.add(reuse, used, between, -1.0);
        }
        each_between(courses, of_others.iter_mut(), &course, |used, here, less| {
            totals.add_between(reuse, used, *here, -1.0);
            *here = here.without(less);
            totals.add_between(reuse, used, *here, 1.0);
        });
        course
    }

    fn insert(&mut self, number: usize, course: Course) {
        let own: Vec<Between> = self.between_uses(&course).map(|(_, between)| between).collect();
        let Self { reuse, courses, between, totals, .. } = self;
        for (used, &between) in course.0.iter().zip(&own) {
            totals.add(reuse, used, between, 1.0);
        }
        each_between(courses, between.iter_mut(), &course, |used, here, more| {
            totals.add_between(reuse, used, *here, -1.0);
            *here = here.and(more);
            totals.add_between(reuse, used, *here, 1.0);
        });
        (courses[number], between[number]) = (course, own);
    }

    /// The distance with another session.
    fn distance_with(&self, course: &Course) -> f64 {
        let Self { reuse, courses, between, totals, .. } = self;
        let mut totals = totals.clone();
        for (used, between) in self.between_uses(course) {
            totals.add(reuse, used, between, 1.0);
        }
        each_between(courses, between, course, |used, here, more| {
            totals.add_between(reuse, used, *here, -1.0);
            totals.add_between(reuse, used, here.and(more), 1.0);
        });
        totals.distance(reuse)
    }
}

/// Gives each request between which and the one before it a session does something, with what that is.
fn each_between<B>(
    courses: &[Course],
    between: impl IntoIterator<Item: IntoIterator<Item = B>>,
    course: &Course,
    mut each: impl FnMut(&Use, B, Between),
) {
    for (other, rows) in courses.iter().zip(between).filter(|(other, _)| other.overlaps(course)) {
        for (used, here) in other.0.iter().zip(rows).filter(|(used, _)| used.shared > 0) {
            let there = course.between(used.before, used.time);
            if there.requests > 0 {
                each(used, here, there);
            }
        }
    }
}

impl Reuse {
    /// Whether a pass of so many requests and sessions is small enough to be measured.
    pub(super) fn is_small(requests: usize, sessions: usize) -> bool {
        sessions <= MOST_SESSIONS && requests.saturating_mul(sessions) <= MOST_PAIRS
    }

    /// What is kept of sessions; nothing that fewer than `min_count` tell.
    pub(super) fn learn(courses: Vec<Course>, min_count: usize) -> Self {
        let together = Together::new(Self::default(), courses);
        let mut all: Vec<(u32, Use, Between)> = Vec::new();
        for ((course, between), number) in together.courses.iter().zip(&together.between).zip(0..) {
            all.extend(course.0.iter().zip(between).map(|(&used, &between)| (number, used, between)));
        }
        let blocks: f64 = all.iter().map(|(_, used, _)| f64::from(used.blocks)).sum();
        let requests = all.len() as f64;
        let end = all.iter().map(|(_, used, _)| used.time).fold(0.0, f64::max);
        all.retain(|(_, used, _)| used.shared > 0);
        let tells = |matches: &dyn Fn(&Use, Between) -> bool| {
            let of =
                all.iter().filter(|(_, used, between)| matches(used, *between)).map(|&(number, ..)| number);
            sessions_up_to(min_count, of) >= min_count
        };
        let share = |value: &dyn Fn(&Use, Between) -> u32, of: f64| {
            let sum: f64 = all.iter().map(|(_, used, between)| f64::from(value(used, *between))).sum();
            rounded(sum / of.max(1.0))
        };
        let mut kept = Self::default();
        let smallest = (blocks / requests.max(1.0)).max(1.0);
        let most = all.iter().map(|(_, used, between)| between.blocks + used.shared).max().unwrap_or(0);
        let mut last = 0;
        for step in 0..SIZES {
            let part = step as f64 / (SIZES - 1) as f64;
            let size = (smallest * (f64::from(most) / smallest).max(1.0).powf(part)).round() as u32;
            // A size beyond what most sessions need tells of the others alone.
            let smaller = last.max(size / 2);
            let is_more =
                |used: &Use, between: Between| between.found(size, used) > between.found(smaller, used);
            if size > last && tells(&is_more) {
                kept.found.push((size, share(&|used, between| between.found(size, used), blocks)));
                last = size;
            }
        }
        if kept.found.is_empty() {
            return kept;
        }
        let mut last = -1.0;
        for age in (1..=AGES as i32).rev().map(|halves| rounded(end * 0.5_f64.powi(halves))) {
            let is_within = |used: &Use| used.age() <= f64::from(age);
            if age > last && tells(&|used, _| used.age() > f64::from(last) && is_within(used)) {
                let shared = |used: &Use, _| if is_within(used) { used.shared } else { 0 };
                kept.within.push((age, share(&shared, blocks)));
                last = age;
            }
        }
        let class = |class: usize| {
            let is_here = |_: &Use, between: Between| between.class() == class;
            let count = |used: &Use, between| u32::from(is_here(used, between));
            tells(&is_here).then(|| share(&count, requests))
        };
        kept.between.extend((0..BETWEEN).map(class));
        kept
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether it is one that [`Reuse::learn`] can make.
    pub(super) fn is_valid(&self) -> bool {
        let is_share = |share: f32| share.is_finite() && (0.0..=1.0).contains(&share);
        self.found.len() <= SIZES
            && self.within.len() <= AGES
            && self.between.len() <= BETWEEN
            && self.found.iter().all(|&(_, share)| is_share(share))
            && self.within.iter().all(|&(age, share)| age.is_finite() && is_share(share))
            && self.between.iter().flatten().all(|&share| is_share(share))
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn drawn(rng: &mut Rng) -> Course {
        let mut time = rng.f64() * 100.0;
        let uses = (0..rng.u32(1..20)).map(|turn| {
            let before = time;
            if turn > 0 {
                time += rng.f64() * 10.0;
            }
            Use {
                time,
                before,
                blocks: 3 + turn,
                shared: if turn == 0 { 0 } else { 2 + turn },
                core: rng.u32(..2),
            }
        });
        let uses: Vec<Use> = uses.collect();
        Course::new(uses.into_iter())
    }

    #[test]
    fn exchanged_sessions_have_the_sums_of_a_new_pass() {
        for seed in 0..20 {
            let mut rng = Rng::with_seed(seed);
            let mut courses: Vec<Course> = (0..12).map(|_| drawn(&mut rng)).collect();
            let reuse = Reuse::learn(courses.clone(), 2);
            assert!(reuse.is_valid() && reuse.found.len() > 5 && reuse.within.len() > 3, "{reuse:?}");
            let mut together = Together::new(reuse.clone(), courses.clone());
            assert!(together.totals.distance(&reuse) < 1e-3, "{}", together.totals.distance(&reuse));
            for _ in 0..30 {
                let at = rng.usize(..courses.len());
                let candidates = [drawn(&mut rng), drawn(&mut rng)];
                let before = together.without(at, candidates.iter().cloned());
                let after = [together.with(0), together.with(1)];
                let distance = |courses: &[Course]| {
                    Together::new(reuse.clone(), courses.to_vec()).totals.distance(&reuse)
                };
                assert!((before - distance(&courses)).abs() < 1e-6);
                let chosen = [None, Some(0), Some(1)][rng.usize(..3)];
                together.put(at, chosen);
                if let Some(chosen) = chosen {
                    courses[at] = candidates[chosen].clone();
                    assert!((after[chosen] - distance(&courses)).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn what_a_single_session_tells_is_not_kept() {
        // Twenty sessions at a time, and one that goes on alone, with longer prompts and after longer.
        let turn = |time: f64, wait: f64, blocks: u32| Use {
            time,
            before: time - wait,
            blocks,
            shared: blocks - 1,
            core: 0,
        };
        let short =
            |session: u32| (0..5).map(move |i| turn(f64::from(session) + 30.0 * f64::from(i), 30.0, 10));
        let mut courses: Vec<Course> = (0..20).map(|session| Course::new(short(session))).collect();
        courses.push(Course::new((1..3).map(|i| turn(1000.0 * f64::from(i), 1000.0, 2000))));
        let kept = Reuse::learn(courses, 5);
        assert!(!kept.found.is_empty() && !kept.within.is_empty());
        assert!(kept.found.iter().all(|&(size, _)| size < 1000), "{kept:?}");
        assert!(kept.within.iter().all(|&(age, _)| age < 1000.0), "{kept:?}");
        assert_eq!(kept.between[0], None, "{kept:?}");
    }
}
