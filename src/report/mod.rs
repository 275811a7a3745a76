//! Figures written down, one format per file.

mod cells;
mod csv;
mod json;
mod markdown;
mod prometheus;
mod table;

use crate::error::printable;
use crate::stats::{Report, WindowReport};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The reference's table under a list of totals.
    #[default]
    Table,
    /// One JSON object.
    Json,
    /// One figure per row.
    Csv,
    /// Tables in Markdown.
    Markdown,
    /// Gauges for Prometheus.
    Prometheus,
}

impl Format {
    /// The percentiles that a report in this format has unless asked otherwise.
    pub fn default_percentiles(self) -> &'static [f64] {
        match self {
            Self::Table | Self::Markdown => &[25.0, 50.0, 75.0],
            Self::Json | Self::Csv | Self::Prometheus => &[25.0, 50.0, 75.0, 90.0, 95.0, 99.0],
        }
    }
}

/// Appends `report` to `out`, newline included.
pub fn write(format: Format, report: &Report, out: &mut Vec<u8>) {
    match format {
        Format::Table => table::write(report, out),
        Format::Json => json::write(report, out),
        Format::Csv => csv::write(report, out),
        Format::Markdown => markdown::write(report, out),
        Format::Prometheus => prometheus::write(report, out),
    }
}

/// A report on the requests with one value of a field; without a value, on those that have no group.
pub type Group = (Option<String>, Report);

/// Appends the report on all requests and those on the groups by `field`: one object in JSON, one
/// report after the other as a table or in Markdown.
pub fn write_groups(format: Format, report: &Report, field: &str, groups: &[Group], out: &mut Vec<u8>) {
    if format == Format::Json {
        return json::write_groups(report, field, groups, out);
    }
    write(format, report, out);
    for (value, group) in groups {
        let value = value.as_deref().map_or("(other)".into(), printable);
        let mark = if format == Format::Markdown { "## " } else { "" };
        out.extend_from_slice(format!("\n{mark}{field} = {value}\n\n").as_bytes());
        write(format, group, out);
    }
}

/// Appends what a stream says of a window: a row in CSV, else a line of JSON.
pub fn write_window(format: Format, report: &WindowReport, out: &mut Vec<u8>) {
    match format {
        Format::Csv => csv::write_window(report, out),
        _ => json::write_window(report, out),
    }
}

/// `p25` for 25, `median` for 50, `p99.9` for 99.9.
fn percentile_name(p: f64) -> String {
    if (p - 50.0).abs() < f64::EPSILON { "median".into() } else { format!("p{p}") }
}
