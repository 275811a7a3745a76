//! The JSON report: one object, whose names are part of the interface.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::report::percentile_name;
use crate::stats::{ArrivalFigures, Report, Summary};

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
}

impl<'a> Object<'a> {
    fn of(report: &'a Report) -> Self {
        let column = |summary: &'a Option<Summary>| {
            summary.as_ref().map(|summary| Column { summary, percentiles: &report.percentiles })
        };
        Self {
            requests: report.requests,
            requests_without_ids: report.requests_without_ids,
            block_size: report.block_size,
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
            late: figures.late,
        }
    }
}

/// One quantity: mean, std, min, the percentiles asked for, max.
struct Column<'a> {
    summary: &'a Summary,
    percentiles: &'a [f64],
}

impl Serialize for Column<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4 + self.percentiles.len()))?;
        map.serialize_entry("mean", &self.summary.mean)?;
        map.serialize_entry("std", &self.summary.std)?;
        map.serialize_entry("min", &self.summary.min)?;
        for (&p, value) in self.percentiles.iter().zip(&self.summary.percentiles) {
            map.serialize_entry(&percentile_name(p), value)?;
        }
        map.serialize_entry("max", &self.summary.max)?;
        map.end()
    }
}
