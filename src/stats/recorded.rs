//! What the server itself said that its cache served, where records carry it, beside what the ids allow.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use crate::error::Invalid;
use crate::record::RecordedUse;
use crate::stats::hit_count::{HitCount, HitRule};
use crate::stats::recorded_figures::{Comparison, RecordedFigures, RecordedHour};
use crate::stats::seen::{Cached, Seen};
use crate::stats::statistic::{Known, Statistic};
use crate::stats::totals::ratio;
use crate::stats::{Bound, Report};

/// Stretches of trace time that are kept apart.
const MOST_HOURS: usize = 1024;

/// An hour, in milliseconds.
const HOUR: f64 = 3_600_000.0;

/// Sums over the requests whose record says what the cache served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RecordedSums {
    requests: u64,
    input_tokens: u128,
    cached_tokens: u128,
    write_requests: u64,
    write_tokens: u128,
}

impl RecordedSums {
    /// Takes what the record of a request says: its prompt as the server counted it, and what of that was
    /// cached.
    fn count(&mut self, recorded: RecordedUse) {
        self.requests += 1;
        self.input_tokens += u128::from(recorded.input);
        self.cached_tokens += u128::from(recorded.cached);
        if let Some(written) = recorded.written {
            self.write_requests += 1;
            self.write_tokens += u128::from(written);
        }
    }
}

/// The same with what the ids of each request say.
pub(super) struct Recorded {
    sums: RecordedSums,
    count: HitCount,
    compared: Comparison,
    first_beyond_line: Option<u64>,
    hours: Hours,
}

impl Recorded {
    /// No request yet.
    pub(super) fn new(count: HitCount) -> Self {
        Self {
            sums: RecordedSums::default(),
            count,
            compared: Comparison::default(),
            first_beyond_line: None,
            hours: Hours::default(),
        }
    }

    /// Compares what a server found with what could be found by the ids.
    #[inline(never)]
    fn compare(&mut self, seen: &Seen, cached: &Cached, recorded: RecordedUse) {
        let RecordedUse { input: input_length, cached: found, .. } = recorded;
        let length = seen.input_length;
        let known = cached.lookup.known.max(seen.engine.as_ref().map_or(0, |engine| engine.known));
        let tokens = |count: HitCount| count.tokens(u64::from(known), length);
        let possible = tokens(HitCount { rule: HitRule::Reference, unit: None, ..self.count });
        let by_rules = tokens(HitCount { rule: HitRule::Engine, ..self.count }).max(found.min(possible));
        let sum = |tokens: u64| u128::from(tokens);
        // A block of which the trace has the id as a whole may have begun in the cache.
        let is_beyond = found > length.min(possible.saturating_add(self.count.block_size - 1));
        let compared = Comparison {
            requests: 1,
            input_tokens: sum(input_length),
            found_tokens: sum(found),
            possible_tokens: sum(possible),
            evicted_tokens: sum(by_rules - found.min(possible)),
            rules_tokens: sum(possible - by_rules),
            above_possible_requests: u64::from(found > possible),
            above_possible_tokens: sum(found.saturating_sub(possible)),
            beyond_block_requests: u64::from(is_beyond),
            below_possible_requests: u64::from(found < possible),
            below_possible_tokens: sum(possible.saturating_sub(found)),
        };
        if is_beyond {
            self.first_beyond_line.get_or_insert(seen.line);
        }
        self.compared += compared;
        self.hours.add(seen, compared);
    }
}

impl Statistic for Recorded {
    #[inline(always)]
    fn add(&mut self, seen: &Seen) -> Result<(), Invalid> {
        if let Some(recorded) = seen.recorded {
            self.sums.count(recorded);
            if let Some(cached) = seen.cached.as_ref().filter(|_| seen.is_measured) {
                self.compare(seen, cached, recorded);
            }
        }
        Ok(())
    }

    fn mark(bound: &Bound, report: &mut Report) {
        if bound.has_forgotten() {
            report.possible = crate::stats::Accuracy::AtLeast;
        }
    }

    fn report(&self, _: &Known, report: &mut Report) {
        let RecordedSums { requests, input_tokens, cached_tokens, write_requests, write_tokens } = self.sums;
        report.recorded = (requests > 0).then(|| RecordedFigures {
            requests,
            input_tokens,
            cached_tokens,
            token_hit_rate: ratio(cached_tokens as f64, input_tokens as f64),
            write_requests: (write_requests > 0).then_some(write_requests),
            write_tokens: (write_requests > 0).then_some(write_tokens),
            cost: None,
            compared: (self.compared.requests > 0).then_some(self.compared),
            first_beyond_line: self.first_beyond_line,
            caches: Vec::new(),
            hours: self.hours.rows(),
        });
    }
}

/// Comparisons by hour of trace time. Where there are more than [`MOST_HOURS`] with requests, two at a time are
/// joined.
#[derive(Default)]
struct Hours {
    /// How often they have been joined.
    doublings: i32,
    /// By the number of hours, or of so many of them, before.
    rows: BTreeMap<i64, Comparison>,
    has_times: bool,
}

impl Hours {
    fn length_ms(&self) -> f64 {
        HOUR * 2_f64.powi(self.doublings)
    }

    fn add(&mut self, seen: &Seen, compared: Comparison) {
        self.has_times |= seen.timestamp.is_some();
        *self.rows.entry((seen.now / self.length_ms()).floor() as i64).or_default() += compared;
        while self.rows.len() > MOST_HOURS {
            self.doublings += 1;
            for (hour, compared) in std::mem::take(&mut self.rows) {
                *self.rows.entry(hour.div_euclid(2)).or_default() += compared;
            }
        }
    }

    /// The rows; none in a trace without times.
    fn rows(&self) -> Vec<RecordedHour> {
        let length = self.length_ms();
        let rows = self.rows.iter().filter(|_| self.has_times);
        rows.map(|(&hour, &compared)| RecordedHour {
            start_ms: hour as f64 * length,
            length_s: length / 1000.0,
            compared,
        })
        .collect()
    }
}

impl AddAssign for Comparison {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.input_tokens += other.input_tokens;
        self.found_tokens += other.found_tokens;
        self.possible_tokens += other.possible_tokens;
        self.evicted_tokens += other.evicted_tokens;
        self.rules_tokens += other.rules_tokens;
        self.above_possible_requests += other.above_possible_requests;
        self.above_possible_tokens += other.above_possible_tokens;
        self.beyond_block_requests += other.beyond_block_requests;
        self.below_possible_requests += other.below_possible_requests;
        self.below_possible_tokens += other.below_possible_tokens;
    }
}
