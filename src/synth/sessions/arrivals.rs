//! When sessions begin: the trace's rate over time, with bursts at every scale.
//!
//! The trace is cut into pieces, of which the numbers of arrivals are kept. Within a piece arrivals are a
//! cascade: each interval's arrivals go to its two halves in shares that vary more than by chance, or less,
//! as those of the trace did at that scale. One number per scale says how much: the correlation of two
//! arrivals of an interval in which half they fall.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::quantiles::{rounded, sessions_up_to};
use super::random::{beta, binomial, normal};

/// Pieces of a trace, at most.
const PIECES: usize = 64;

/// Bounds of pieces are multiples of this part of a trace.
const GRID: u64 = 1024;

/// Cells per arrival where time has no ticks.
pub(super) const CELLS_PER_REQUEST: f64 = 16.0;

/// Arrivals are few where they are this part as frequent as before.
const QUIET: f64 = 0.1;

/// Cells of a trace, at most.
const MOST_CELLS: u64 = 1 << 40;

/// The rate of arrivals, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::synth) struct Rate {
    /// Seconds of a cell, the shortest interval.
    pub(super) cell: f64,
    /// Length in cells, and number of arrivals of each piece.
    pub(super) pieces: Vec<(u64, u64)>,
    /// Correlation of arrivals at each scale: halves of pieces, quarters, ...
    pub(super) bursts: Vec<f32>,
    /// Whether the arrivals are those of all requests, so that sessions fill in what their later requests
    /// leave; else they are those of sessions.
    pub(super) of_all_requests: bool,
}

impl Rate {
    /// The rate of arrivals in `cells` cells of so many seconds; each arrival has its cell, rising, and its
    /// session. Pieces with arrivals of fewer than `min_count` sessions are joined to their neighbours.
    pub(super) fn learn(
        cell: f64,
        cells: u64,
        arrivals: &[(u64, u32)],
        min_count: usize,
        of_all: bool,
    ) -> Self {
        let before = |cell: u64| arrivals.partition_point(|arrival| arrival.0 < cell);
        let bounds = bounds(cells, arrivals, min_count);
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let (mut start, mut first) = (0, 0);
        for end in bounds {
            let next = before(end);
            let sessions = sessions_up_to(min_count, arrivals[first..next].iter().map(|a| a.1));
            if end > start && sessions >= min_count {
                pieces.push((end - start, (next - first) as u64));
                (start, first) = (end, next);
            }
        }
        if start < cells {
            let rest = (cells - start, (arrivals.len() - first) as u64);
            let sessions = sessions_up_to(min_count, arrivals[first..].iter().map(|arrival| arrival.1));
            let density = |piece: (u64, u64)| piece.1 as f64 / piece.0 as f64;
            match pieces.last_mut() {
                // They belong to the last piece, which does not become longer if what follows is quiet: a burst
                // would be spread over all of it.
                Some(last) if sessions < min_count => {
                    let is_quiet = density(rest) < QUIET * density(*last);
                    last.1 += rest.1;
                    if is_quiet {
                        pieces.push((rest.0, 0));
                    } else {
                        last.0 += rest.0;
                    }
                }
                _ => pieces.push(rest),
            }
        }
        let mut fit = Fit::default();
        let mut at = 0;
        for &(len, _) in &pieces {
            fit.add(&arrivals[before(at)..before(at + len)], at, at + len, 0);
            at += len;
        }
        Self { cell, pieces, bursts: fit.correlations(), of_all_requests: of_all }
    }

    /// Whether it is one that can be drawn from.
    pub(super) fn is_valid(&self) -> bool {
        let cells: u64 = self.pieces.iter().map(|piece| piece.0.min(MOST_CELLS)).sum();
        let arrivals: u64 = self.pieces.iter().map(|piece| piece.1.min(MOST_CELLS)).sum();
        self.cell.is_finite()
            && self.cell > 0.0
            && self.cell < 1e9
            && (1..=MOST_CELLS).contains(&cells)
            && (1..=1 << 31).contains(&arrivals)
            && self.pieces.iter().all(|piece| piece.0 > 0)
            && self.pieces.len() <= 1 << 16
            && self.bursts.iter().all(|burst| burst.is_finite() && (-1.0..1.0).contains(burst))
    }
}

/// Where pieces may end: after as long a time as others, or as many arrivals, on a grid; and before and after a
/// cell in which many sessions begin.
fn bounds(cells: u64, arrivals: &[(u64, u32)], min_count: usize) -> Vec<u64> {
    let step = cells.div_ceil(GRID);
    let usual = (arrivals.len() / PIECES).max(1);
    let mut bounds = Vec::new();
    let (mut last, mut first) = (0, 0);
    for end in (1..=GRID).map(|part| (part * step).min(cells)) {
        let next = arrivals.partition_point(|arrival| arrival.0 < end);
        if (end - last) * PIECES as u64 >= cells || next - first >= usual {
            bounds.push(end);
            (last, first) = (end, next);
        }
    }
    for together in arrivals.chunk_by(|a, b| a.0 == b.0) {
        let many = together.len() >= 2 * min_count && together.len() > usual;
        if many && sessions_up_to(min_count, together.iter().map(|arrival| arrival.1)) >= min_count {
            bounds.extend([together[0].0, together[0].0 + 1]);
        }
    }
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

/// Squared deviations of the halves from chance, by scale, and what they would be if all arrivals kept
/// together.
#[derive(Default)]
struct Fit {
    excess: Vec<(f64, f64)>,
}

impl Fit {
    /// Adds an interval and its parts, given the arrivals in it.
    fn add(&mut self, arrivals: &[(u64, u32)], start: u64, end: u64, level: usize) {
        if end - start < 2 || arrivals.len() < 2 {
            return;
        }
        let middle = u64::midpoint(start, end);
        let (before, after) = arrivals.split_at(arrivals.partition_point(|arrival| arrival.0 < middle));
        let n = arrivals.len() as f64;
        let left = before.len() as f64;
        let p = (middle - start) as f64 / (end - start) as f64;
        if self.excess.len() <= level {
            self.excess.push((0.0, 0.0));
        }
        let by_chance = n * p * (1.0 - p);
        self.excess[level].0 += (left - n * p).powi(2) - by_chance;
        self.excess[level].1 += (n - 1.0) * by_chance;
        self.add(before, start, middle, level + 1);
        self.add(after, middle, end, level + 1);
    }

    fn correlations(&self) -> Vec<f32> {
        let correlation = |&(excess, most): &(f64, f64)| (excess / most.max(1.0)).clamp(-0.5, 0.95);
        self.excess.iter().map(|level| rounded(correlation(level))).collect()
    }
}

/// Draws arrivals, pass by pass over the trace, piece by piece.
pub(super) struct Arrivals {
    rate: Rate,
    /// Cells of each piece's end.
    ends: Vec<u64>,
    /// Arrivals of each piece, on average.
    expected: Vec<f64>,
    /// Scales that the pieces are shorter by than those of the trace.
    shift: usize,
    users: f64,
    pass: u64,
    piece: usize,
    /// Part of an arrival that is still to come.
    carry: f64,
    cells: Vec<u64>,
}

impl Arrivals {
    /// Arrivals of `users` times as many sessions; a pass lasts a `share` of the trace.
    pub(super) fn new(rate: &Rate, users: f64, share: f64) -> Self {
        let mut end = 0;
        let cells: Vec<u64> = rate
            .pieces
            .iter()
            .map(|piece| {
                end += piece.0;
                ((end as f64 * share).round() as u64).max(1)
            })
            .collect();
        let counts = smoothed(&rate.pieces, users);
        let expected = counts.iter().map(|count| count * users * share).collect();
        Self {
            rate: rate.clone(),
            ends: cells,
            expected,
            shift: (1.0 / share).log2().round().max(0.0) as usize,
            users: users.max(1.0),
            pass: 0,
            piece: 0,
            carry: -1.0,
            cells: Vec::new(),
        }
    }

    /// Seconds of a pass.
    pub(super) fn pass_seconds(&self) -> f64 {
        self.ends.last().map_or(0.0, |&cells| cells as f64 * self.rate.cell)
    }

    /// How many pieces there are before the one that a moment lies in.
    pub(super) fn pieces_before(&self, time: f64) -> u64 {
        let pass = self.ends.last().copied().unwrap_or(1);
        let cell = (time / self.rate.cell + 1e-9) as u64;
        let piece = self.ends.partition_point(|&end| end <= cell % pass);
        cell / pass * self.ends.len() as u64 + piece as u64
    }

    /// Pieces drawn so far.
    pub(super) fn pieces(&self) -> u64 {
        self.pass * self.ends.len() as u64 + self.piece as u64
    }

    /// Whether the next piece begins a pass.
    pub(super) fn at_start_of_pass(&self) -> bool {
        self.piece == 0
    }

    /// Appends the arrivals of the next piece in seconds, rising; returns where it ends.
    pub(super) fn next_piece(&mut self, rng: &mut Rng, times: &mut Vec<f64>, has_ticks: bool) -> f64 {
        if self.carry < 0.0 {
            self.carry = rng.f64();
        }
        let base = self.pass * self.ends.last().copied().unwrap_or(0);
        let start = if self.piece == 0 { 0 } else { self.ends[self.piece - 1] };
        let end = self.ends[self.piece];
        self.carry += self.expected[self.piece];
        // A piece without a cell leaves its arrivals to the next one.
        if end > start {
            let count = self.carry.floor();
            self.carry -= count;
            self.split(rng, start, end, count as u64, self.shift);
        }
        let cell = self.rate.cell;
        for at in self.cells.drain(..) {
            let within = if has_ticks || end == start + 1 { 0.0 } else { rng.f64() };
            times.push(((base + at) as f64 + within) * cell);
        }
        if !has_ticks {
            times.sort_unstable_by(f64::total_cmp);
        }
        self.piece += 1;
        if self.piece == self.ends.len() {
            (self.piece, self.pass) = (0, self.pass + 1);
        }
        (base + end) as f64 * cell
    }

    /// Distributes arrivals over the cells of an interval.
    fn split(&mut self, rng: &mut Rng, start: u64, end: u64, count: u64, level: usize) {
        if count == 0 {
            return;
        }
        if end - start == 1 {
            self.cells.extend(std::iter::repeat_n(start, count as usize));
            return;
        }
        let middle = u64::midpoint(start, end);
        let p = (middle - start) as f64 / (end - start) as f64;
        // More users are as many independent ones: their bursts do not coincide.
        let burst = self.rate.bursts.get(level).map_or(0.0, |&burst| f64::from(burst)) / self.users;
        let left = if count == 1 || burst == 0.0 {
            binomial(rng, count, p)
        } else if burst > 0.0 {
            let both = (1.0 - burst) / burst;
            let share = beta(rng, both * p, both * (1.0 - p));
            binomial(rng, count, share)
        } else {
            let n = count as f64;
            let variance = (n * p * (1.0 - p) * (1.0 + (n - 1.0) * burst)).max(0.0);
            (n * p + variance.sqrt() * normal(rng) + rng.f64()).floor().clamp(0.0, n) as u64
        };
        self.split(rng, start, middle, left, level + 1);
        self.split(rng, middle, end, count - left, level + 1);
    }
}

/// Arrivals of each piece per user. What is chance in them becomes less with more users, as it would if they
/// came independently of each other.
fn smoothed(pieces: &[(u64, u64)], users: f64) -> Vec<f64> {
    /// Neighbours on each side that tell what is expected of a piece.
    const NEIGHBOURS: usize = 2;
    let keep = if users > 1.0 { 1.0 / users.sqrt() } else { 1.0 };
    let around = |i: usize| {
        let window = &pieces[i.saturating_sub(NEIGHBOURS)..(i + NEIGHBOURS + 1).min(pieces.len())];
        let (cells, count) = window.iter().fold((0, 0), |sum, piece| (sum.0 + piece.0, sum.1 + piece.1));
        count as f64 / cells as f64 * pieces[i].0 as f64
    };
    let of = |(i, piece): (usize, &(u64, u64))| {
        let expected = around(i);
        expected + (piece.1 as f64 - expected) * keep
    };
    pieces.iter().enumerate().map(of).collect()
}
