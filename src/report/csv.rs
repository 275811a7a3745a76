//! Comma-separated values: one figure per row, under the names of the JSON report.

use crate::report::cells::{self, Number};
use crate::stats::{Hits, Report};

/// Appends a header and the rows `section,item,figure,value`.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    let mut row = |section: &str, item: &str, figure: &str, value: Number| {
        out.extend_from_slice(format!("{section},{item},{figure},{value}\n").as_bytes());
    };
    row("section", "item", "figure", Number::Text("value"));
    for (name, value) in cells::totals(report) {
        row("total", "", name, value);
    }
    for (name, summary) in cells::summaries(report) {
        for (statistic, value) in summary.map_or(Vec::new(), |s| cells::statistics(report, s)) {
            row("distribution", name, &statistic, Number::Real(value));
        }
    }
    for (name, value) in cells::correlations(report) {
        row("correlation", "", name, Number::Real(value));
    }
    for (section, item, hits) in cells::served(report) {
        let Hits { hit_tokens, tokens } = hits;
        row(section, &item, "hit_tokens", Number::Count(hit_tokens));
        row(section, &item, "tokens", Number::Count(tokens));
        if let Some(rate) = hits.rate() {
            row(section, &item, "token_hit_rate", Number::Real(rate));
        }
        if let Some(saving) = hits.prefill_saving() {
            row(section, &item, "prefill_saving", Number::Real(saving));
        }
    }
}
