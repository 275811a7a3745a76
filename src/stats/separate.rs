//! All groups with caches of their own, as one row beside the trace in one cache.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::accuracy::{Accuracy, Figure};
use crate::stats::cache::{CacheFigures, CapacityRow, TtlRow};
use crate::stats::figures::Report;
use crate::stats::groups::GroupReport;
use crate::stats::totals::ratio;

/// What the caches of all groups serve together.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct SeparateCaches {
    /// Requests of all groups.
    pub requests: u64,
    /// Prompt tokens of all groups.
    pub input_tokens: u128,
    /// Prompt tokens that caches without limit serve, one for each group.
    pub cached_tokens: Figure<u128>,
    /// Their share of the prompt tokens of requests with ids.
    pub token_hit_rate: Figure<Option<f64>>,
    /// Caches that every group has, each of that size; the last one is without limit, of the size of all together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacity: Vec<CapacityRow>,
    /// The same of caches whose blocks expire.
    #[serde(rename = "ttl", skip_serializing_if = "Vec::is_empty")]
    pub ttls: Vec<TtlRow>,
    /// The figures that are no exact ones, by their names in JSON, where blocks were forgotten.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bound: BTreeMap<&'static str, Vec<&'static str>>,
    /// What those of `ttl` are worth.
    #[serde(skip)]
    pub ttl_accuracy: Accuracy,
    /// Tokens per block in all groups.
    #[serde(skip)]
    pub block_size: u64,
}

impl SeparateCaches {
    /// Sums over groups; none if these are the same requests in blocks of different sizes.
    pub fn of(groups: &[GroupReport]) -> Option<Self> {
        let block_size = groups.first().map_or(0, |(_, report)| report.block_size);
        let are_separate = groups.iter().all(|(_, report)| report.block_size == block_size);
        are_separate.then(|| Self::sum(groups, block_size))
    }

    fn sum(groups: &[GroupReport], block_size: u64) -> Self {
        let reports = || groups.iter().map(|(_, report)| report);
        let worst = |of: fn(&Report) -> Accuracy| reports().map(of).fold(Accuracy::Exact, Accuracy::worse);
        let tokens: u128 = reports().map(|report| report.tokens_with_ids).sum();
        let cached: u128 = reports().map(|report| report.cached_tokens.value).sum();
        let rate = ratio(cached as f64, tokens as f64);
        let of_cached = worst(|report| report.cached_tokens.accuracy);
        let of_rate = worst(|report| report.token_hit_rate.accuracy);
        let of_ttls = worst(|report| report.ttls.accuracy);
        let mut bound: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, accuracy) in [
            ("cached_tokens", of_cached),
            ("token_hit_rate", of_rate),
            ("ttl", of_ttls),
            ("ttl.cost", of_ttls.reversed()),
            ("ttl.prefill_flops", of_ttls.reversed()),
        ] {
            bound.entry(accuracy.bound()).or_default().push(name);
        }
        let bound = bound.into_iter().filter_map(|(bound, names)| Some((bound?, names))).collect();
        Self {
            requests: reports().map(|report| report.requests).sum(),
            input_tokens: reports().map(|report| report.input_tokens).sum(),
            cached_tokens: Figure::new(cached, of_cached),
            token_hit_rate: Figure::new(rate, of_rate),
            capacity: sums(
                groups,
                |report| report.caches.as_ref().map_or(&[], |c| &c.capacity),
                same_cache,
                |all, row| {
                    all.hits = all.hits.plus(row.hits);
                    all.cost = all.cost.zip(row.cost).map(|(a, b)| a.plus(b));
                    all.capacity_blocks += if row.policy == "infinite" { row.capacity_blocks } else { 0 };
                    if row.policy == "infinite" {
                        all.capacity_bytes = all.capacity_bytes.zip(row.capacity_bytes).map(|(a, b)| a + b);
                    }
                    all.refused_requests = all.refused_requests.zip(row.refused_requests).map(|(a, b)| a + b);
                    all.load = None;
                    all.work = all.work.zip(row.work).map(|(a, b)| a.plus(b));
                    all.below_opt = None;
                    all.accuracy = all.accuracy.worse(row.accuracy);
                },
            ),
            ttls: sums(
                groups,
                |report| &report.ttls.value,
                same_ttl,
                |all, row| {
                    all.hits = all.hits.plus(row.hits);
                    all.work = all.work.zip(row.work).map(|(a, b)| a.plus(b));
                    all.cost = all.cost.zip(row.cost).map(|(a, b)| a.plus(b));
                },
            ),
            block_size,
            ttl_accuracy: of_ttls,
            bound,
        }
    }

    /// The same as a report that has no other figures.
    pub fn report(&self) -> Report {
        let infinite = self.capacity.last().copied();
        let caches = infinite.map(|infinite| CacheFigures {
            named: Vec::new(),
            capacity: self.capacity.clone(),
            curve: Vec::new(),
            infinite,
        });
        Report {
            requests: self.requests,
            block_size: self.block_size,
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            token_hit_rate: self.token_hit_rate,
            caches,
            ttls: Figure::new(self.ttls.clone(), self.ttl_accuracy),
            ..Report::default()
        }
    }
}

fn same_cache(a: &CapacityRow, b: &CapacityRow) -> bool {
    a.policy == b.policy && (a.policy == "infinite" || a.capacity_blocks == b.capacity_blocks)
}

fn same_ttl(a: &TtlRow, b: &TtlRow) -> bool {
    a.ttl() == b.ttl() && a.capacity_blocks == b.capacity_blocks
}

/// The sums of the rows that every group has, in the order of the first group.
fn sums<T: Copy>(
    groups: &[GroupReport],
    rows: impl Fn(&Report) -> &[T],
    is_same: impl Fn(&T, &T) -> bool,
    add: impl Fn(&mut T, &T),
) -> Vec<T> {
    let Some(((_, first), others)) = groups.split_first() else { return Vec::new() };
    let sum = |row: &T| {
        let mut all = *row;
        for (_, report) in others {
            add(&mut all, rows(report).iter().find(|other| is_same(row, other))?);
        }
        Some(all)
    };
    rows(first).iter().filter_map(sum).collect()
}
