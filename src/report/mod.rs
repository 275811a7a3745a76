//! Figures written down, one format per file.

mod cells;
mod csv;
mod json;
mod markdown;
mod prometheus;
mod table;

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
