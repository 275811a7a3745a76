//! The JSON report: figures write themselves, under names that are part of the interface.

use serde::Serialize;
use serde_json::Value;

use crate::error::printable_json;
use crate::stats::{GroupReport, Report, RequestReport, SeparateCaches, WindowReport, value_of};

/// What made a report.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Provenance<'a> {
    version: &'static str,
    command: &'a str,
}

impl<'a> Provenance<'a> {
    /// This version, called so.
    pub(super) fn new(command: &'a str) -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), command }
    }
}

/// Appends the report as an indented object.
pub(super) fn write(report: &Report, provenance: Option<Provenance>, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Signed<'a> {
        #[serde(flatten)]
        report: &'a Report,
        kvtrace: Provenance<'a>,
    }
    // Writing plain numbers into memory cannot fail.
    match provenance {
        Some(kvtrace) => serde_json::to_writer_pretty(&mut *out, &Signed { report, kvtrace }).ok(),
        None => serde_json::to_writer_pretty(&mut *out, report).ok(),
    };
    out.push(b'\n');
}

/// Appends the report on all requests with those on the groups by a field inside.
pub(super) fn write_groups(
    report: &Report,
    (field, groups): (&str, &[GroupReport]),
    kvtrace: Option<Provenance>,
    out: &mut Vec<u8>,
) {
    #[derive(Serialize)]
    struct Grouped<'a> {
        #[serde(flatten)]
        all: &'a Report,
        by: &'a str,
        groups: Vec<OneGroup<'a>>,
        /// All groups with a cache each.
        #[serde(skip_serializing_if = "Option::is_none")]
        separate: Option<SeparateCaches>,
        #[serde(skip_serializing_if = "Option::is_none")]
        kvtrace: Option<Provenance<'a>>,
    }
    #[derive(Serialize)]
    struct OneGroup<'a> {
        /// `null`: the requests that do not have the field.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
        /// Whether these are all values that have no group of their own.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        other: bool,
        #[serde(flatten)]
        report: &'a Report,
    }
    let separate = SeparateCaches::of(groups);
    let groups = groups.iter().map(|(label, report)| {
        let value = label.as_deref().map(value_of);
        OneGroup { other: value.is_none(), value, report }
    });
    let grouped = Grouped { all: report, by: field, groups: groups.collect(), separate, kvtrace };
    // Writing plain numbers into memory cannot fail.
    let json = serde_json::to_string_pretty(&grouped).unwrap_or_default();
    out.extend_from_slice(printable_json(&json).as_bytes());
    out.push(b'\n');
}

/// Appends the hits of a request, on one line.
pub(super) fn write_request(report: &RequestReport, out: &mut Vec<u8>) {
    // Writing plain numbers into memory cannot fail.
    serde_json::to_writer(&mut *out, report).ok();
    out.push(b'\n');
}

/// Appends what a stream says of a window, on one line.
pub(super) fn write_window(report: &WindowReport, out: &mut Vec<u8>) {
    // Writing plain numbers into memory cannot fail.
    serde_json::to_writer(&mut *out, report).ok();
    out.push(b'\n');
}
