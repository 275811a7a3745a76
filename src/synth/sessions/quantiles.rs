//! A distribution that tells nothing about fewer than so many sessions.
//!
//! Values in rising order are cut into groups of at least `min_count` sessions. Kept are, of each group, its
//! mean and its share. A value that many requests of many sessions have stays what it is, an *atom*. Between
//! means the quantile function is linear; the first and the last group have exponential ends, as long as
//! their means say.

use serde::{Deserialize, Serialize};

/// An observed value with what it counts for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighted {
    pub(super) value: f32,
    pub(super) weight: f32,
    pub(super) session: u32,
}

/// The distribution as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Groups {
    /// Mean of each group, rising.
    pub(super) means: Vec<f32>,
    /// Share of the values up to the end of each group, rising to 1.
    pub(super) shares: Vec<f32>,
    /// Which groups are a single value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) atoms: Vec<u32>,
}

/// Five digits: no more than a mean of a few values is worth.
pub(super) fn rounded(value: f64) -> f32 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(4 - value.abs().log10().floor() as i32);
    ((value * scale).round() / scale) as f32
}

/// Groups while they are gathered.
struct Gathering {
    min_count: usize,
    groups: Vec<(f64, f64, bool)>,
    sum: f64,
    weight: f64,
    count: usize,
    sessions: Vec<u32>,
    /// Weight that waits for a group that may be kept.
    waiting: f64,
}

impl Gathering {
    fn add(&mut self, value: &Weighted) {
        self.sum += f64::from(value.value) * f64::from(value.weight);
        self.weight += f64::from(value.weight);
        self.count += 1;
        if self.sessions.len() < self.min_count && !self.sessions.contains(&value.session) {
            self.sessions.push(value.session);
        }
    }

    fn is_large_enough(&self) -> bool {
        self.sessions.len() >= self.min_count
    }

    /// Ends the group. If it is too small, its neighbour gets its weight, and its values are forgotten.
    fn close(&mut self) {
        if self.count > 0 {
            if self.is_large_enough() {
                let weight = self.weight + std::mem::take(&mut self.waiting);
                self.groups.push((self.sum / self.weight, weight, false));
            } else if let Some(last) = self.groups.last_mut() {
                last.1 += self.weight;
            } else {
                self.waiting += self.weight;
            }
        }
        (self.sum, self.weight, self.count) = (0.0, 0.0, 0);
        self.sessions.clear();
    }

    fn push_atom(&mut self, value: f32, weight: f64) {
        self.close();
        let weight = weight + std::mem::take(&mut self.waiting);
        self.groups.push((f64::from(value), weight, true));
    }
}

/// How many of the values belong to different sessions, counted up to `most`.
pub(super) fn sessions_up_to(most: usize, sessions: impl Iterator<Item = u32>) -> usize {
    let mut seen: Vec<u32> = Vec::with_capacity(most);
    for session in sessions {
        if !seen.contains(&session) {
            seen.push(session);
            if seen.len() >= most {
                break;
            }
        }
    }
    seen.len()
}

impl Groups {
    /// The distribution of values in any order, in about `knots` groups; `None` if they are of fewer than
    /// `min_count` sessions.
    pub(super) fn of(values: &mut [Weighted], min_count: usize, knots: usize) -> Option<Self> {
        if sessions_up_to(min_count, values.iter().map(|value| value.session)) < min_count {
            return None;
        }
        values.sort_unstable_by(|a, b| a.value.total_cmp(&b.value));
        let wanted = (values.len() / knots).max(min_count);
        let mut gathering = Gathering {
            min_count,
            groups: Vec::new(),
            sum: 0.0,
            weight: 0.0,
            count: 0,
            sessions: Vec::new(),
            waiting: 0.0,
        };
        for equal in values.chunk_by(|a, b| a.value == b.value) {
            let sessions = || sessions_up_to(min_count, equal.iter().map(|value| value.session));
            if equal.len() >= 2 * min_count && sessions() >= min_count {
                gathering.push_atom(equal[0].value, equal.iter().map(|value| f64::from(value.weight)).sum());
                continue;
            }
            for value in equal {
                gathering.add(value);
                if gathering.count >= wanted && gathering.is_large_enough() {
                    gathering.close();
                }
            }
        }
        gathering.close();
        if gathering.groups.is_empty() {
            // Atoms between groups that are too small: one group of all of them.
            values.iter().for_each(|value| gathering.add(value));
            gathering.waiting = 0.0;
            gathering.close();
        }
        let total: f64 = gathering.groups.iter().map(|group| group.1).sum();
        let mut groups = Self::default();
        let mut sum = 0.0;
        for (i, &(mean, weight, is_atom)) in gathering.groups.iter().enumerate() {
            sum += weight;
            groups.push_mean(mean, is_atom);
            groups.shares.push(rounded(sum / total).min(1.0));
            if is_atom {
                groups.atoms.push(i as u32);
            }
        }
        if let Some(last) = groups.shares.last_mut() {
            *last = 1.0;
        }
        Some(groups)
    }

    /// Adds the mean of a group. One that is rounded stays between the single values beside it, which are not.
    fn push_mean(&mut self, mean: f64, is_atom: bool) {
        let before = self.means.last().copied().unwrap_or(f32::MIN);
        if is_atom {
            let value = mean as f32;
            self.means.iter_mut().rev().take_while(|mean| **mean > value).for_each(|mean| *mean = value);
            self.means.push(value);
        } else {
            self.means.push(rounded(mean).max(before));
        }
    }

    /// Whether it is one that [`Groups::of`] can make.
    pub(super) fn is_valid(&self) -> bool {
        let rising = |values: &[f32]| values.windows(2).all(|pair| pair[0] <= pair[1]);
        !self.means.is_empty()
            && self.means.len() == self.shares.len()
            && self.means.iter().chain(&self.shares).all(|value| value.is_finite())
            && rising(&self.means)
            && rising(&self.shares)
            && self.shares[0] >= 0.0
            && self.shares.last() == Some(&1.0)
            && self.atoms.iter().all(|&atom| (atom as usize) < self.means.len())
    }
}

/// A distribution ready to draw from.
#[derive(Clone, Debug)]
pub(super) struct Quantiles {
    /// Points of the quantile function.
    points: Points,
    /// The first point beyond each of so many equal parts of all shares, a power of two.
    beyond: Vec<u16>,
    /// Share and mean excess of each end; an excess of 0 is no end.
    ends: [(f32, f32); 2],
}

/// So many mean excesses beyond the last group no value lies.
const LONGEST_END: f32 = 3.0;

/// Shares, rising, and their values.
type Points = Vec<(f32, f32)>;

/// No values beyond the first and the last point.
const NO_ENDS: [(f32, f32); 2] = [(0.0, 0.0), (1.0, 0.0)];

/// Parts of a distribution of which the first point beyond is known: so many per point, and at most.
const PARTS_PER_POINT: usize = 4;
const MOST_PARTS: usize = 1 << 12;

impl Quantiles {
    pub(super) fn new(groups: &Groups) -> Self {
        let (points, ends) = Self::points(groups);
        Self::through(points, ends)
    }

    /// The same for ranks from 0 to 1, whose ends are as long as what lies within.
    pub(super) fn of_ranks(groups: &Groups) -> Self {
        let (mut points, ends) = Self::points(groups);
        let last = groups.means.len() - 1;
        if last > 0 {
            let [(_, first), (_, end)] = ends;
            if first > 0.0 {
                points.insert(0, (0.0, (groups.means[0] - first).max(0.0)));
            }
            if end > 0.0 {
                points.push((1.0, (groups.means[last] + end).min(1.0)));
            }
        }
        Self::through(points, NO_ENDS)
    }

    /// The points of the quantile function, and its ends.
    fn points(groups: &Groups) -> (Points, [(f32, f32); 2]) {
        let Groups { means, shares, atoms } = groups;
        let last = means.len() - 1;
        let is_atom = |group: usize| atoms.contains(&(group as u32));
        if last == 0 {
            return (vec![(0.0, means[0])], NO_ENDS);
        }
        let between = |a: usize| f32::midpoint(means[a], means[a + 1]);
        let first_excess = if is_atom(0) { 0.0 } else { between(0) - means[0] };
        let last_excess = if is_atom(last) { 0.0 } else { means[last] - between(last - 1) };
        let mut points = Vec::new();
        for group in 0..=last {
            let start = if group == 0 { 0.0 } else { shares[group - 1] };
            if is_atom(group) {
                points.extend([(start, means[group]), (shares[group], means[group])]);
            } else if group == 0 {
                points.push((shares[0], between(0)));
            } else if group == last {
                points.push((start, between(last - 1)));
            } else {
                points.push((f32::midpoint(start, shares[group]), means[group]));
            }
        }
        (points, [(shares[0], first_excess), (shares[last - 1], last_excess)])
    }

    fn through(points: Points, ends: [(f32, f32); 2]) -> Self {
        let parts = (PARTS_PER_POINT * points.len()).next_power_of_two().min(MOST_PARTS);
        let mut next = 0;
        let beyond = |part: usize| {
            while points.get(next).is_some_and(|point| point.0 <= part as f32 / parts as f32) {
                next += 1;
            }
            next.min(usize::from(u16::MAX)) as u16
        };
        let beyond = (0..parts).map(beyond).collect();
        Self { points, beyond, ends }
    }

    /// The value below which a share `u` of the distribution lies.
    pub(super) fn value(&self, u: f32) -> f32 {
        let [(below, first), (above, last)] = self.ends;
        let points = &self.points;
        if u < below && first > 0.0 {
            return points[0].1 - first * (-(u / below).max(1e-9).ln()).min(LONGEST_END);
        }
        if u > above && last > 0.0 {
            let rest = ((1.0 - u) / (1.0 - above)).max(1e-9);
            return points[points.len() - 1].1 + last * (-rest.ln()).min(LONGEST_END);
        }
        let part = (u * self.beyond.len() as f32) as usize;
        let mut next = usize::from(self.beyond[part.min(self.beyond.len() - 1)]);
        while points.get(next).is_some_and(|point| point.0 <= u) {
            next += 1;
        }
        if next == 0 {
            return points[0].1;
        }
        let (start, from) = points[next - 1];
        let Some(&(end, to)) = points.get(next) else { return from };
        if end > start { from + (to - from) * (u - start) / (end - start) } else { to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A value between two points that are looked for among all.
    fn searched(points: &[(f32, f32)], u: f32) -> f32 {
        let next = points.partition_point(|point| point.0 <= u);
        let Some(before) = next.checked_sub(1) else { return points[0].1 };
        let (start, from) = points[before];
        let Some(&(end, to)) = points.get(next) else { return from };
        from + (to - from) * (u - start) / (end - start)
    }

    proptest! {
        /// Values that are closer than the digits that are kept, many of them equal.
        #[test]
        fn what_is_made_is_valid(
            values in proptest::collection::vec((0_u32..60, 1_u32..4, 0_u32..20), 1..400),
            min_count in 1_usize..6,
            knots in 1_usize..80,
            base in 0.1_f32..5_000.0,
        ) {
            let mut values: Vec<Weighted> = values
                .iter()
                .map(|&(step, weight, session)| Weighted {
                    value: base * (1.0 + step as f32 * 4e-6),
                    weight: weight as f32,
                    session,
                })
                .collect();
            if let Some(groups) = Groups::of(&mut values, min_count, knots) {
                prop_assert!(groups.is_valid(), "{groups:?}");
                let quantiles = Quantiles::of_ranks(&groups);
                for u in (0..=1000).map(|part| part as f32 / 1000.0) {
                    prop_assert_eq!(quantiles.value(u), searched(&quantiles.points, u));
                }
            }
        }
    }
}
