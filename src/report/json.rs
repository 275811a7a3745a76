//! The JSON report: one object, whose names are part of the interface.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::error::printable_json;
use crate::report::{Group, cells};
use crate::stats::{
    ArrivalFigures, Bound, CapacityRow, Correlations, HitRule, Hits, PrefixRow, Report, SampleFigures,
    Summary, TargetRow, TtlRow, WindowReport,
};

/// Appends the report as an indented object.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    let object = Object::of(report);
    // Writing plain numbers into memory cannot fail.
    serde_json::to_writer_pretty(&mut *out, &object).ok();
    out.push(b'\n');
}

/// Appends the report on all requests with those on the groups by `field` inside.
pub(super) fn write_groups(report: &Report, field: &str, groups: &[Group], out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Grouped<'a> {
        #[serde(flatten)]
        all: Object,
        by: &'a str,
        groups: Vec<One<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        /// `null`: all values that have no group of their own.
        value: Option<&'a str>,
        #[serde(flatten)]
        report: Object,
    }
    let groups =
        groups.iter().map(|(value, report)| One { value: value.as_deref(), report: Object::of(report) });
    let grouped = Grouped { all: Object::of(report), by: field, groups: groups.collect() };
    // Writing plain numbers into memory cannot fail.
    let json = serde_json::to_string_pretty(&grouped).unwrap_or_default();
    out.extend_from_slice(printable_json(&json).as_bytes());
    out.push(b'\n');
}

/// Appends what a stream says of a window, on one line.
pub(super) fn write_window(report: &WindowReport, out: &mut Vec<u8>) {
    let w = &report.window;
    let line = WindowLine {
        window: w.window,
        start_ms: w.start_ms,
        requests: w.requests,
        late: w.late,
        input_tokens: w.input_tokens,
        output_tokens: w.output_tokens,
        cached_tokens: w.cached_tokens,
        new_blocks: w.new_blocks,
        hit_rate: w.hit_rate,
        token_hit_rate: w.token_hit_rate,
        input_length: named(&report.percentiles, w.input_length.as_ref()),
        output_length: named(&report.percentiles, w.output_length.as_ref()),
        running: Running {
            requests: report.requests,
            unique_blocks: report.unique_blocks,
            token_hit_rate: report.token_hit_rate,
            capacity: report
                .caches
                .as_ref()
                .map(|c| c.capacity.iter().map(|row| Capacity::of(row, report.bound)).collect()),
            bound: report.bound.map(Limits::of),
        },
    };
    // Writing plain numbers into memory cannot fail.
    serde_json::to_writer(&mut *out, &line).ok();
    out.push(b'\n');
}

#[derive(Serialize)]
struct WindowLine {
    window: u64,
    start_ms: Option<f64>,
    requests: u64,
    late: u64,
    input_tokens: u128,
    output_tokens: u128,
    cached_tokens: u128,
    new_blocks: u64,
    hit_rate: Option<f64>,
    token_hit_rate: Option<f64>,
    input_length: Option<Named>,
    output_length: Option<Named>,
    running: Running,
}

/// Figures since the beginning of the stream.
#[derive(Serialize)]
struct Running {
    requests: u64,
    unique_blocks: u64,
    token_hit_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<Vec<Capacity>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<Limits>,
}

#[derive(Serialize)]
struct Object {
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
    input_length: Option<Named>,
    context_length: Option<Named>,
    unique_prompt_length: Option<Named>,
    output_length: Option<Named>,
    hit_rate: Option<Named>,
    cached_length: Option<Named>,
    correlation: Correlation,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<Vec<Capacity>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target: Vec<Target>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ttl: Vec<Ttl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<Vec<Prefix>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_error_tokens: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<Sampled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<Limits>,
}

impl Object {
    fn of(report: &Report) -> Self {
        let column = |summary: &Option<Summary>| named(&report.percentiles, summary.as_ref());
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
            estimate: report.estimate.map(|estimate| Sampled::of(&estimate, report)),
            bound: report.bound.map(Limits::of),
            capacity: caches.map(|c| c.capacity.iter().map(|row| Capacity::of(row, report.bound)).collect()),
            target: caches.map_or(Vec::new(), |c| {
                c.targets.iter().map(|target| Target::of(target, report.bound)).collect()
            }),
            ttl: caches.map_or(Vec::new(), |c| c.ttls.iter().map(Ttl::of).collect()),
            top: report.prefixes.as_ref().map(|p| p.rows.iter().map(Prefix::of).collect()),
            top_error_tokens: report.prefixes.as_ref().map(|p| p.error_tokens),
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

/// Which figures are bounds because blocks have been forgotten.
#[derive(Serialize)]
struct Limits {
    forgotten_blocks: u64,
    exact_capacity_blocks: Option<u64>,
    settled_requests: u64,
    at_least: Vec<&'static str>,
    at_most: Vec<&'static str>,
    neither: Vec<&'static str>,
}

impl Limits {
    fn of(bound: Bound) -> Self {
        let [(_, at_least), (_, at_most), (_, neither)] = cells::bounds(bound);
        Self {
            forgotten_blocks: bound.forgotten_blocks,
            exact_capacity_blocks: bound.exact_capacity_blocks,
            settled_requests: bound.settled_requests,
            at_least,
            at_most,
            neither,
        }
    }
}

/// What the estimated figures are worth: the standard error of each.
#[derive(Serialize)]
struct Sampled {
    sampled_blocks: u64,
    first_block_share: f64,
    other_block_share: f64,
    standard_errors: StandardErrors,
}

#[derive(Serialize)]
struct StandardErrors {
    unique_blocks: f64,
    shared_blocks: f64,
    prefix_groups: f64,
    cached_tokens: f64,
    token_hit_rate: Option<f64>,
    block_hit_rate: Option<f64>,
}

impl Sampled {
    fn of(estimate: &SampleFigures, report: &Report) -> Self {
        let [token_hit_rate, block_hit_rate] = cells::rate_errors(report);
        Self {
            sampled_blocks: estimate.sampled_blocks,
            first_block_share: estimate.first_block_share,
            other_block_share: estimate.other_block_share,
            standard_errors: StandardErrors {
                unique_blocks: estimate.unique_blocks.error,
                shared_blocks: estimate.shared_blocks.error,
                prefix_groups: estimate.prefix_groups.error,
                cached_tokens: estimate.cached_tokens.error,
                token_hit_rate,
                block_hit_rate,
            },
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
    /// Of the hit rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<&'static str>,
}

impl Capacity {
    fn of(row: &CapacityRow, bound: Option<Bound>) -> Self {
        Self {
            standard_error: row.rate_error(),
            bound: Bound::of_row(bound, row).then_some("at_least"),
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
    fn of(target: &TargetRow, bound: Option<Bound>) -> Self {
        Self { share: target.share, capacity: Capacity::of(&target.row, bound) }
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

#[derive(Serialize)]
struct Prefix {
    id: u64,
    blocks: u64,
    tokens: u64,
    requests: u64,
    saved_tokens: u128,
    first_line: u64,
    last_line: u64,
    longest_pause_ms: f64,
}

impl Prefix {
    fn of(row: &PrefixRow) -> Self {
        Self {
            id: row.id,
            blocks: row.blocks,
            tokens: row.tokens,
            requests: row.requests,
            saved_tokens: row.saved_tokens,
            first_line: row.first_line,
            last_line: row.last_line,
            longest_pause_ms: row.longest_pause_ms,
        }
    }
}

/// One quantity: mean, std, min, the percentiles asked for, max.
struct Named(Vec<(String, f64)>);

fn named(percentiles: &[f64], summary: Option<&Summary>) -> Option<Named> {
    summary.map(|summary| Named(cells::named(percentiles, summary)))
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
