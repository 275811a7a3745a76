//! Figures written down, one format per file.

mod axis;
mod cells;
mod csv;
mod curve;
mod html;
mod json;
mod markdown;
mod plot;
mod prometheus;
mod svg;
mod table;

pub use plot::Canvas;

use crate::error::printable;
use crate::stats::{GroupReport, Render, Report, WindowReport};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// A page with charts.
    Html,
    /// Hit rate against capacity as a picture.
    Svg,
}

/// How reports are written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Style {
    /// The format.
    pub format: Format,
    /// Where to draw charts below a table, if at all.
    pub plot: Option<Canvas>,
    /// What the input is called, for a title.
    pub input: String,
}

impl From<Format> for Style {
    fn from(format: Format) -> Self {
        Self { format, ..Self::default() }
    }
}

impl Render for Style {
    fn report(&self, report: &Report, out: &mut Vec<u8>) {
        write(self, report, out);
    }

    /// One object in JSON, one page as HTML, one report after the other as a table or in Markdown.
    fn groups(&self, report: &Report, field: &str, groups: &[GroupReport], out: &mut Vec<u8>) {
        match self.format {
            Format::Json => return json::write_groups(report, field, groups, out),
            Format::Html => return html::write(report, &self.input, Some((field, groups)), out),
            _ => write(self, report, out),
        }
        for (value, group) in groups {
            let value = value.as_deref().map_or("(other)".into(), printable);
            let title = match self.format {
                Format::Markdown => format!("## {} = {}", markdown::text(field), markdown::text(&value)),
                _ => format!("{field} = {value}"),
            };
            out.extend_from_slice(format!("\n{title}\n\n").as_bytes());
            write(self, group, out);
        }
    }

    /// A row in CSV, else a line of JSON.
    fn window(&self, report: &WindowReport, out: &mut Vec<u8>) {
        match self.format {
            Format::Csv => csv::write_window(report, out),
            _ => json::write_window(report, out),
        }
    }
}

impl Format {
    /// The percentiles that a report in this format has unless asked otherwise.
    pub fn default_percentiles(self) -> &'static [f64] {
        match self {
            Self::Table | Self::Markdown => &[25.0, 50.0, 75.0],
            Self::Json | Self::Csv | Self::Prometheus | Self::Html | Self::Svg => {
                &[25.0, 50.0, 75.0, 90.0, 95.0, 99.0]
            }
        }
    }
}

/// Appends `report` to `out`, newline included.
pub fn write(style: &Style, report: &Report, out: &mut Vec<u8>) {
    match style.format {
        Format::Table => {
            table::write(report, out);
            if let Some(canvas) = style.plot {
                plot::write(report, canvas, out);
            }
        }
        Format::Json => json::write(report, out),
        Format::Csv => csv::write(report, out),
        Format::Markdown => markdown::write(report, out),
        Format::Prometheus => prometheus::write(report, out),
        Format::Html => html::write(report, &style.input, None, out),
        Format::Svg => svg::write(report, &style.input, out),
    }
}
