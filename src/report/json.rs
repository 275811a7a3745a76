//! The JSON report: one object, whose names are part of the interface.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::report::cells;
use crate::stats::{
    ArrivalFigures, CapacityRow, Correlations, HitRule, Hits, Report, Summary, TargetRow, TtlRow,
};

/// Appends the report as an indented object.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    let object = Object::of(report);
    // Writing plain numbers into memory cannot fail.
    serde_json::to_writer_pretty(&mut *out, &object).ok();
    out.push(b'\n');
}

#[derive(Serialize)]
struct Object<'a> {
    requests: u64,
    requests_without_ids: u64,
    block_size: u64,
    hits: &'static str,
    blocks: u64,
    unique_blocks: u64,
    shared_blocks: u64,
    prefix_groups: u64,
    input_tokens: u128,
    output_tokens: u128,
    cached_tokens: u128,
    token_hit_rate: Option<f64>,
    block_hit_rate: Option<f64>,
    arrivals: Option<Arrivals>,
    input_length: Option<Column<'a>>,
    context_length: Option<Column<'a>>,
    unique_prompt_length: Option<Column<'a>>,
    output_length: Option<Column<'a>>,
    hit_rate: Option<Column<'a>>,
    cached_length: Option<Column<'a>>,
    correlation: Correlation,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<Vec<Capacity>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target: Vec<Target>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ttl: Vec<Ttl>,
}

impl<'a> Object<'a> {
    fn of(report: &'a Report) -> Self {
        let column =
            |summary: &'a Option<Summary>| summary.as_ref().map(|summary| Column { summary, report });
        let caches = report.caches.as_ref();
        Self {
            requests: report.requests,
            requests_without_ids: report.requests_without_ids,
            block_size: report.block_size,
            hits: match report.hit_rule {
                HitRule::Reference => "reference",
                HitRule::Engine => "engine",
            },
            blocks: report.blocks,
            unique_blocks: report.unique_blocks,
            shared_blocks: report.shared_blocks,
            prefix_groups: report.prefix_groups,
            input_tokens: report.input_tokens,
            output_tokens: report.output_tokens,
            cached_tokens: report.cached_tokens,
            token_hit_rate: report.token_hit_rate,
            block_hit_rate: report.block_hit_rate,
            arrivals: report.arrivals.as_ref().map(Arrivals::of),
            input_length: column(&report.input_length),
            context_length: column(&report.context_length),
            unique_prompt_length: column(&report.unique_prompt_length),
            output_length: column(&report.output_length),
            hit_rate: column(&report.hit_rate),
            cached_length: column(&report.cached_length),
            correlation: Correlation::of(&report.correlations),
            capacity: caches.map(|c| c.capacity.iter().map(Capacity::of).collect()),
            target: caches.map_or(Vec::new(), |c| c.targets.iter().map(Target::of).collect()),
            ttl: caches.map_or(Vec::new(), |c| c.ttls.iter().map(Ttl::of).collect()),
        }
    }
}

#[derive(Serialize)]
struct Arrivals {
    requests: u64,
    duration_s: f64,
    mean_rate: Option<f64>,
    peak_rate: u64,
    interarrival_mean_ms: Option<f64>,
    interarrival_cv: Option<f64>,
    dispersion_10s: Option<f64>,
    late: u64,
}

impl Arrivals {
    fn of(figures: &ArrivalFigures) -> Self {
        Self {
            requests: figures.requests,
            duration_s: figures.duration_s,
            mean_rate: figures.mean_rate,
            peak_rate: figures.peak_rate,
            interarrival_mean_ms: figures.interarrival_mean_ms,
            interarrival_cv: figures.interarrival_cv,
            dispersion_10s: figures.dispersion_10s,
            late: figures.late,
        }
    }
}

#[derive(Serialize)]
struct Correlation {
    context_unique: Option<f64>,
    context_output: Option<f64>,
    unique_output: Option<f64>,
    input_output: Option<f64>,
    input_context: Option<f64>,
    input_unique: Option<f64>,
}

impl Correlation {
    fn of(c: &Correlations) -> Self {
        Self {
            context_unique: c.context_unique,
            context_output: c.context_output,
            unique_output: c.unique_output,
            input_output: c.input_output,
            input_context: c.input_context,
            input_unique: c.input_unique,
        }
    }
}

/// Hits of a finite cache, as part of a row.
#[derive(Serialize)]
struct Served {
    hit_tokens: u128,
    tokens: u128,
    token_hit_rate: Option<f64>,
    prefill_saving: Option<f64>,
}

impl Served {
    fn of(hits: Hits) -> Self {
        Self {
            hit_tokens: hits.hit_tokens,
            tokens: hits.tokens,
            token_hit_rate: hits.rate(),
            prefill_saving: hits.prefill_saving(),
        }
    }
}

#[derive(Serialize)]
struct Capacity {
    policy: &'static str,
    capacity_blocks: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_bytes: Option<u128>,
    #[serde(flatten)]
    served: Served,
}

impl Capacity {
    fn of(row: &CapacityRow) -> Self {
        Self {
            policy: row.policy,
            capacity_blocks: row.capacity_blocks,
            capacity_bytes: row.capacity_bytes,
            served: Served::of(row.hits),
        }
    }
}

#[derive(Serialize)]
struct Target {
    share: f64,
    #[serde(flatten)]
    capacity: Capacity,
}

impl Target {
    fn of(target: &TargetRow) -> Self {
        Self { share: target.share, capacity: Capacity::of(&target.row) }
    }
}

#[derive(Serialize)]
struct Ttl {
    ttl_ms: u64,
    #[serde(flatten)]
    served: Served,
}

impl Ttl {
    fn of(ttl: &TtlRow) -> Self {
        Self { ttl_ms: ttl.ttl_ms, served: Served::of(ttl.hits) }
    }
}

/// One quantity: mean, std, min, the percentiles asked for, max.
struct Column<'a> {
    summary: &'a Summary,
    report: &'a Report,
}

impl Serialize for Column<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let statistics = cells::statistics(self.report, self.summary);
        let mut map = serializer.serialize_map(Some(statistics.len()))?;
        for (name, value) in &statistics {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
