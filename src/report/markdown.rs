//! Tables for a pull request or a wiki page.

use crate::error::printable;
use crate::report::cells::{self, Cells, Digits};
use crate::report::{fleets, groups, reuse, tiers};
use crate::stats::{GroupReport, Report};

/// Appends the totals and every table of the report.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    if let Some(title) = &report.title {
        out.extend_from_slice(format!("# {}\n\n", text(&printable(title))).as_bytes());
    }
    let mut totals = vec![vec!["Figure".to_owned(), "Value".to_owned()]];
    totals.extend(
        cells::totals(report).iter().map(|total| {
            vec![total.name.to_owned(), format!("{}{}", cells::mark(total.accuracy), total.value)]
        }),
    );
    draw(&totals, out);
    out.push(b'\n');
    draw(&cells::lengths(report, Digits::All), out);
    let caches = cells::caches(report, Digits::All).into_iter();
    let tiers = tiers::tables(report, Digits::All).into_iter().map(|(_, table)| table);
    let caches = caches.chain(reuse::tables(report, Digits::All, |value| text(&printable(value))));
    let caches = caches.chain(fleets::tables(report, Digits::All)).chain(tiers);
    for table in caches.chain(cells::prefixes(report, Digits::All)) {
        out.push(b'\n');
        draw(&table, out);
    }
}

/// Appends what is to be said of the groups by the value of `field`, a row for each.
pub(super) fn write_groups(all: &Report, field: &str, groups: &[GroupReport], out: &mut Vec<u8>) {
    for (title, table) in groups::tables(field, all, groups, Digits::All, |value| text(&printable(value))) {
        out.extend_from_slice(format!("\n## {}\n\n", text(&printable(&title))).as_bytes());
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

/// `text` such that Markdown shows it as it is: no tags, links, emphasis or ends of cells in it.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_a_trace_says_is_no_markup() {
        for (plain, escaped) in [
            ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
            ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
            ("*b* a|b &lt; `x`", r"\*b\* a\|b \&lt; \`x\`"),
            (r"a\nb", r"a\\nb"),
            ("gpt-5", "gpt-5"),
        ] {
            assert_eq!(text(plain), escaped);
        }
    }
}
