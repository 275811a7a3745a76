//! What two prompts have in common behind the place where they part, wherever it stands.
//!
//! A *run* is a sequence of tokens that both have, of a least length ([`LEAST`]). A token of the later prompt counts as
//! had by the earlier one too if it is in such a run. Finding all runs takes the product of the lengths; here the
//! earlier tokens are looked up by the hash of a window at every [`WINDOW`]th place, which each run of `LEAST`
//! tokens contains. What is found is a run, so the count is never too high; it is too low by less than `LEAST`
//! tokens for each place where runs overlap in the later prompt, and where a window comes more than [`MOST`] times.

use std::iter::Zip;
use std::ops::Range;
use std::slice::Iter;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::tree::common_prefix;

/// Tokens of the shortest run that counts; shorter ones are phrases, and the marks that a template puts between
/// messages. Where tokens are bytes it is four times as many.
pub(super) const LEAST: usize = 32;

/// Tokens of a window that is looked up.
const WINDOW: usize = 16;

/// How often an equal window is looked at.
const MOST: usize = 8;

/// One window in 2 to the power of this is remembered for finding prompts: those whose hash begins with as many
/// zeros. (Its end is what tables look at.)
const SAMPLED: u32 = 5;

/// A sequence of tokens that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it begins in the earlier and in the later prompt.
    pub(super) earlier: usize,
    pub(super) later: usize,
    pub(super) length: usize,
}

/// The runs of two lists of tokens, in the order of the later one.
#[derive(Default)]
pub(super) struct Common {
    pub(super) runs: Vec<Run>,
    /// Tokens of the later list in them; at most the length of the earlier one.
    pub(super) tokens: usize,
}

impl Common {
    /// The tokens of the later list from `from` on that are in runs, as ranges that do not overlap.
    pub(super) fn ranges(&self, from: usize) -> impl Iterator<Item = Range<usize>> {
        let mut done = from;
        self.runs.iter().map(move |run| {
            let start = run.later.max(done);
            done = done.max(run.later + run.length);
            start..done
        })
    }
}

/// The base of the rolling hash.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of a window that moves on.
struct Rolling<'t> {
    at: usize,
    sum: u64,
    /// What the token that leaves the window is multiplied by.
    leaving: u64,
    /// The tokens that leave and enter.
    next: Zip<Iter<'t, u32>, Iter<'t, u32>>,
}

impl<'t> Rolling<'t> {
    /// The window of `length` tokens at `at`, if there are as many.
    fn new(tokens: &'t [u32], at: usize, length: usize) -> Option<Self> {
        let (window, behind) = tokens.get(at..)?.split_at_checked(length)?;
        let add = |sum: u64, &token: &u32| sum.wrapping_mul(BASE).wrapping_add(u64::from(token) + 1);
        let leaving = BASE.wrapping_pow(length as u32);
        let next = tokens[at..].iter().zip(behind);
        Some(Self { at, sum: window.iter().fold(0, add), leaving, next })
    }

    fn hash(&self) -> u64 {
        let mixed = (self.sum ^ (self.sum >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 32)
    }

    /// Moves on by one token.
    fn step(&mut self) -> Option<()> {
        let (&old, &new) = self.next.next()?;
        let gone = (u64::from(old) + 1).wrapping_mul(self.leaving);
        self.sum = self.sum.wrapping_mul(BASE).wrapping_sub(gone).wrapping_add(u64::from(new) + 1);
        self.at += 1;
        Some(())
    }
}

/// Some windows of `least` tokens from token `from` on, the same ones wherever they stand: where each begins, and
/// its hash.
pub(super) fn sample(tokens: &[u32], from: usize, least: usize) -> Vec<(usize, u64)> {
    let mut sample = Vec::new();
    let Some(mut window) = Rolling::new(tokens, from, least) else { return sample };
    loop {
        let hash = window.hash();
        if hash.leading_zeros() >= SAMPLED {
            sample.push((window.at, hash));
        }
        if window.step().is_none() {
            return sample;
        }
    }
}

/// Finds the runs of at least `least` tokens, which is `LEAST` or more.
pub(super) fn common(earlier: &[u32], later: &[u32], least: usize) -> Common {
    let mut found = Common::default();
    if earlier.len() < least || later.len() < least {
        return found;
    }
    let places = Places::of(earlier);
    let (mut at, mut done) = (0, 0);
    while let Some(mut window) = Rolling::new(later, at, WINDOW) {
        let run = loop {
            if let Some(run) = places.longest(earlier, later, &window).filter(|run| run.length >= least) {
                break run;
            }
            if window.step().is_none() {
                return found;
            }
        };
        let end = run.later + run.length;
        found.tokens = (found.tokens + end - done.max(run.later).min(end)).min(earlier.len());
        found.runs.push(run);
        done = end;
        // What overlaps with this run may go on.
        at = (end + 1 - WINDOW).max(window.at + 1);
    }
    found
}

/// The windows of a list, by their hashes.
struct Places {
    first: HashMap<u64, u32, FixedState>,
    /// For each place the one before it with an equal window.
    before: Vec<u32>,
}

impl Places {
    fn of(tokens: &[u32]) -> Self {
        let count = tokens.len() / WINDOW;
        let mut places = Self {
            first: HashMap::with_capacity_and_hasher(count, FixedState::default()),
            before: Vec::new(),
        };
        for at in 0..count {
            let Some(window) = Rolling::new(tokens, at * WINDOW, WINDOW) else { break };
            let before = places.first.insert(window.hash(), at as u32);
            places.before.push(before.unwrap_or(u32::MAX));
        }
        places
    }

    /// The longest run around a window of the later list.
    fn longest(&self, earlier: &[u32], later: &[u32], window: &Rolling<'_>) -> Option<Run> {
        let mut place = *self.first.get(&window.hash())?;
        let mut longest: Option<Run> = None;
        for _ in 0..MOST {
            let (a, b) = (place as usize * WINDOW, window.at);
            let ahead = common_prefix(&earlier[a..], &later[b..]);
            if ahead >= WINDOW {
                let back = earlier[..a]
                    .iter()
                    .rev()
                    .zip(later[..b].iter().rev())
                    .take_while(|(a, b)| a == b)
                    .count();
                let run = Run { earlier: a - back, later: b - back, length: back + ahead };
                if longest.is_none_or(|known| run.later + run.length > known.later + known.length) {
                    longest = Some(run);
                }
            }
            place = self.before[place as usize];
            if place == u32::MAX {
                break;
            }
        }
        longest
    }
}

/// How many bytes both begin with, up to the beginning of a character.
pub(super) fn common_bytes(a: &[u8], b: &[u8]) -> usize {
    let mut common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let is_inner = |bytes: &[u8], at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    while common > 0 && (is_inner(a, common) || is_inner(b, common)) {
        common -= 1;
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of `later` that are in a run, by looking at all pairs of places.
    fn naive(earlier: &[u32], later: &[u32]) -> usize {
        let mut covered = vec![false; later.len()];
        for i in 0..earlier.len() {
            for j in 0..later.len() {
                let length = earlier[i..].iter().zip(&later[j..]).take_while(|(a, b)| a == b).count();
                if length >= LEAST {
                    covered[j..j + length].fill(true);
                }
            }
        }
        covered.iter().filter(|covered| **covered).count().min(earlier.len())
    }

    #[test]
    fn the_tokens_in_common_are_those_of_the_definition_within_its_bounds() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut exact = 0;
        for round in 0..300 {
            let alphabet = if round % 3 == 0 { 4 } else { 5000 };
            let mut piece = |most: usize| -> Vec<u32> {
                (0..random.usize(0..most)).map(|_| random.u32(..alphabet)).collect()
            };
            let pieces: Vec<Vec<u32>> = (0..6).map(|_| piece(120)).collect();
            let news: Vec<Vec<u32>> = (0..6).map(|_| piece(30)).collect();
            let earlier = pieces.concat();
            let mut later = Vec::new();
            for new in &news {
                later.extend_from_slice(new);
                later.extend_from_slice(&pieces[random.usize(..6)]);
            }
            let (expected, found) = (naive(&earlier, &later), common(&earlier, &later, LEAST));
            let bound = LEAST * (found.runs.len() + 1);
            assert!(found.tokens <= expected && expected <= found.tokens + bound, "{round}");
            exact += usize::from(found.tokens == expected);
            for run in &found.runs {
                let range = |at: usize| at..at + run.length;
                assert_eq!(earlier[range(run.earlier)], later[range(run.later)]);
            }
        }
        assert!(exact > 250, "{exact}");
    }

    #[test]
    fn every_run_of_enough_tokens_between_new_ones_is_found() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..500 {
            let earlier: Vec<u32> = (0..400).map(|i| i + 10).collect();
            let start = random.usize(..300);
            let length = random.usize(LEAST..100);
            let mut later: Vec<u32> = (0..random.u32(..90)).map(|i| i + 100_000).collect();
            let at = later.len();
            later.extend_from_slice(&earlier[start..start + length]);
            later.extend(200_000..200_000 + random.u32(..90));
            let found = common(&earlier, &later, LEAST);
            assert_eq!(found.runs, [Run { earlier: start, later: at, length }]);
            assert_eq!(found.tokens, length);
        }
    }

    #[test]
    fn the_sample_of_a_text_is_that_of_its_parts() {
        let tokens: Vec<u32> = (0..5000_u32).map(|i| i.wrapping_mul(2_654_435_761) >> 12).collect();
        let whole = sample(&tokens, 0, LEAST);
        assert!((100..220).contains(&whole.len()));
        let rest = sample(&tokens, 1000, LEAST);
        assert!(rest.iter().all(|window| whole.contains(window)));
    }
}
