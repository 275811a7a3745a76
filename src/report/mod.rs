//! Figures written down, one format per file.

mod answer;
mod axis;
#[cfg(feature = "hash")]
pub mod breaks;
mod cells;
mod csv;
mod curve;
mod curve_chart;
mod digits;
mod fleets;
mod groups;
mod html;
mod json;
mod markdown;
mod misses;
pub(crate) mod numbers;
mod plot;
mod price;
mod prometheus;
mod prometheus_help;
mod recorded;
mod reuse;
mod svg;
mod table;
mod tiers;

pub use answer::ENOUGH;
pub use plot::Canvas;
pub use prometheus::label_of as prometheus_label_of;

use cells::Digits;

use crate::stats::{GroupReport, Render, Report, RequestReport, WindowReport};

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
    /// Whether a table has every digit, as the other formats have.
    pub exact: bool,
    /// Columns that a table may take, if that is fewer than it takes at most.
    pub width: Option<usize>,
    /// Where to draw charts below a table, if at all.
    pub plot: Option<Canvas>,
    /// What the input is called, for a title.
    pub input: String,
    /// The command line, for the end of a page.
    pub command: String,
    /// Labels of all samples for Prometheus.
    pub labels: Vec<(String, String)>,
    /// Whether a report in JSON ends with the version and the command line, too.
    pub provenance: bool,
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

    /// One object in JSON, one page as HTML, else a report with a row for each group below it.
    fn groups(&self, report: &Report, field: &str, groups: &[GroupReport], out: &mut Vec<u8>) {
        match self.format {
            Format::Json => json::write_groups(report, (field, groups), self.provenance(), out),
            Format::Html => html::write(report, &self.origin(), Some((field, groups)), out),
            Format::Csv => csv::write_groups(report, groups, out),
            Format::Prometheus => prometheus::write_groups(report, field, groups, &self.labels, out),
            Format::Markdown => {
                markdown::write(report, out);
                markdown::write_groups(report, field, groups, out);
            }
            _ => {
                write(self, report, out);
                table::write_groups(report, field, groups, self.look(), out);
            }
        }
    }

    /// A line of JSON.
    fn request(&self, report: &RequestReport, out: &mut Vec<u8>) {
        json::write_request(report, out);
    }

    /// A row in CSV, gauges for Prometheus, else a line of JSON.
    fn window(&self, report: &WindowReport, out: &mut Vec<u8>) {
        match self.format {
            Format::Csv => csv::write_window(report, out),
            Format::Prometheus => prometheus::write_window(report, &self.labels, out),
            _ => json::write_window(report, out),
        }
    }
}

impl Style {
    fn origin(&self) -> html::Origin<'_> {
        html::Origin { input: &self.input, command: &self.command }
    }

    /// What a report in JSON says of itself, if it does.
    fn provenance(&self) -> Option<json::Provenance<'_>> {
        self.provenance.then_some(json::Provenance::new(&self.command))
    }

    fn look(&self) -> table::Look {
        let digits = if self.exact { Digits::All } else { Digits::Few };
        table::Look::new(digits, self.width)
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
            table::write(report, style.look(), out);
            if let Some(canvas) = style.plot {
                plot::write(report, canvas, out);
            }
        }
        Format::Json => json::write(report, style.provenance(), out),
        Format::Csv => csv::write(report, out),
        Format::Markdown => markdown::write(report, out),
        Format::Prometheus => prometheus::write(report, &style.labels, out),
        Format::Html => html::write(report, &style.origin(), None, out),
        Format::Svg => curve_chart::write(report, report.title.as_deref().unwrap_or(&style.input), out),
    }
}
