//! The JSON report: figures write themselves, under names that are part of the interface.

use serde::Serialize;

use crate::error::printable_json;
use crate::stats::{GroupReport, Report, RequestReport, WindowReport};

/// Appends the report as an indented object.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    // Writing plain numbers into memory cannot fail.
    serde_json::to_writer_pretty(&mut *out, report).ok();
    out.push(b'\n');
}

/// Appends the report on all requests with those on the groups by `field` inside.
pub(super) fn write_groups(report: &Report, field: &str, groups: &[GroupReport], out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Grouped<'a> {
        #[serde(flatten)]
        all: &'a Report,
        by: &'a str,
        groups: Vec<OneGroup<'a>>,
    }
    #[derive(Serialize)]
    struct OneGroup<'a> {
        /// `null`: all values that have no group of their own.
        value: Option<&'a str>,
        #[serde(flatten)]
        report: &'a Report,
    }
    let groups = groups.iter().map(|(value, report)| OneGroup { value: value.as_deref(), report });
    let grouped = Grouped { all: report, by: field, groups: groups.collect() };
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
