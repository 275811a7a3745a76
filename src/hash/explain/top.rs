//! Places summed up, in bounded memory.
//!
//! The counters are those of Metwally's space-saving algorithm (2005), weighted by lost tokens: a new place takes
//! over the counter with the fewest tokens when all are in use, and its tokens with it. So no counter is too low,
//! and none is too high by more than the smallest one was.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::figures::{Break, BreakReport, Explained};
use super::kind::{Difference, is_of_system};

/// Places that are counted.
const COUNTERS: usize = 4096;

/// What requests that part alike have in common.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Pattern {
    place: String,
    role: Option<String>,
    in_template: bool,
    difference: Difference,
}

struct Counter {
    requests: u64,
    lost_tokens: u64,
    example: Explained,
}

/// Where the requests so far part from earlier ones.
#[derive(Default)]
pub(super) struct Top {
    report: BreakReport,
    counters: HashMap<Pattern, Counter>,
}

impl Top {
    pub(super) fn add(&mut self, row: &Explained) {
        let report = &mut self.report;
        report.requests += 1;
        report.prompt_tokens += row.prompt_tokens;
        report.shared_tokens += row.shared_tokens;
        report.lost_tokens += row.lost_tokens;
        report.block_lost_tokens += row.block_lost_tokens;
        report.forgotten_requests += u64::from(row.forgotten);
        if row.lost_tokens == 0 {
            return;
        }
        let pattern = Pattern {
            place: generalised(row.place.as_deref().unwrap_or_default()),
            role: row.role.clone(),
            in_template: row.in_template,
            difference: row.difference,
        };
        if let Some(counter) = self.counters.get_mut(&pattern) {
            counter.requests += 1;
            counter.lost_tokens += row.lost_tokens;
            if row.lost_tokens > counter.example.lost_tokens {
                counter.example = row.clone();
            }
            return;
        }
        let mut counter = Counter { requests: 1, lost_tokens: row.lost_tokens, example: row.clone() };
        if self.counters.len() >= COUNTERS
            && let Some(least) = self.counters.iter().min_by_key(|(pattern, c)| (c.lost_tokens, *pattern))
        {
            let pattern = least.0.clone();
            if let Some(least) = self.counters.remove(&pattern) {
                counter.requests += least.requests;
                counter.lost_tokens += least.lost_tokens;
                self.report.error = self.report.error.max(least.lost_tokens);
            }
        }
        self.counters.insert(pattern, counter);
    }

    /// The sums, with the `most` most expensive places.
    pub(super) fn report(self, most: usize) -> BreakReport {
        let Self { mut report, counters } = self;
        let mut places: Vec<(Pattern, Counter)> = counters.into_iter().collect();
        places.sort_by(|(a_pattern, a), (b_pattern, b)| {
            b.lost_tokens.cmp(&a.lost_tokens).then_with(|| a_pattern.cmp(b_pattern))
        });
        for (pattern, counter) in places {
            match report.breaks.iter_mut().find(|row| comes_and_goes(row, &pattern, &counter.example)) {
                Some(row) => {
                    row.also = Some(pattern.difference);
                    row.requests += counter.requests;
                    row.lost_tokens += counter.lost_tokens;
                }
                None => report.breaks.push(Break {
                    place: pattern.place,
                    role: pattern.role,
                    in_template: pattern.in_template,
                    difference: pattern.difference,
                    also: None,
                    requests: counter.requests,
                    lost_tokens: counter.lost_tokens,
                    share: 0.0,
                    example: counter.example,
                }),
            }
        }
        // Those before are in order, and the sort is stable.
        report.breaks.sort_by_key(|row| Reverse(row.lost_tokens));
        report.breaks.truncate(most);
        let all = report.prompt_tokens.max(1) as f64;
        report.breaks.iter_mut().for_each(|row| row.share = row.lost_tokens as f64 / all);
        let shown: u64 = report.breaks.iter().map(|row| row.lost_tokens).sum();
        report.other_lost_tokens = report.lost_tokens.saturating_sub(shown);
        report.new_tokens = report.prompt_tokens - report.shared_tokens - report.lost_tokens;
        report
    }
}

/// Whether one of both is what is inserted at a place, and the other one what is removed there, at the same
/// character. In a history they have different causes.
fn comes_and_goes(row: &Break, pattern: &Pattern, example: &Explained) -> bool {
    let role = row.role.as_deref();
    let opposite = [Difference::Insertion, Difference::Removal];
    row.difference != pattern.difference
        && opposite.contains(&row.difference)
        && opposite.contains(&pattern.difference)
        && (&row.place, &row.role, row.in_template) == (&pattern.place, &pattern.role, pattern.in_template)
        && (&row.example.place, row.example.character) == (&example.place, example.character)
        && (role == Some("tools") || is_of_system(role))
}

/// A pointer with a star for each place in a list.
fn generalised(pointer: &str) -> String {
    let step = |step: &str| {
        if !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()) {
            "*".to_owned()
        } else {
            step.to_owned()
        }
    };
    pointer.split('/').map(step).collect::<Vec<_>>().join("/")
}
