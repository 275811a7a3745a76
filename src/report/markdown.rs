//! Tables for a pull request or a wiki page.

use crate::report::cells::{self, Cells};
use crate::stats::Report;

/// Appends the totals and every table of the report.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    let mut totals = vec![vec!["Figure".to_owned(), "Value".to_owned()]];
    totals.extend(
        cells::totals(report).iter().map(|(name, value)| vec![(*name).to_owned(), value.to_string()]),
    );
    draw(&totals, out);
    out.push(b'\n');
    draw(&cells::lengths(report), out);
    for table in cells::caches(report).into_iter().chain(cells::prefixes(report)) {
        out.push(b'\n');
        draw(&table, out);
    }
}

fn draw(cells: &Cells, out: &mut Vec<u8>) {
    for (index, row) in cells.iter().enumerate() {
        out.extend_from_slice(format!("| {} |\n", row.join(" | ")).as_bytes());
        if index == 0 {
            let rule: Vec<&str> =
                (0..row.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
            out.extend_from_slice(format!("|{}|\n", rule.join("|")).as_bytes());
        }
    }
}
