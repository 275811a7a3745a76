//! Numbers, tables and charts as they stand in the page.

use maud::{Markup, Render, html};

use crate::report::digits::limit;
use crate::report::numbers::{self, bytes, grouped, percent, rounded};
use crate::report::svg::{self, Size};
use crate::stats::Accuracy;

/// A figure as it is in JSON, and as people read it.
pub(super) fn figure(exact: &str, text: &str) -> Markup {
    html! { data value=(exact) { (text) } }
}

pub(super) fn real(value: f64, text: &str) -> Markup {
    figure(&format!("{value:?}"), text)
}

pub(super) fn count(value: impl Into<u128>) -> Markup {
    let value = value.into();
    figure(&value.to_string(), &grouped(value))
}

pub(super) fn rate(value: Option<f64>) -> Markup {
    value.map_or_else(|| html! { "–" }, |value| real(value, &percent(value)))
}

/// Any number, rounded.
pub(super) fn plain(value: f64) -> Markup {
    real(value, &rounded(value))
}

/// A number of floating point operations.
pub(super) fn flops(value: u128) -> Markup {
    figure(&value.to_string(), &numbers::flops(value))
}

/// A number of bytes.
pub(super) fn size(value: u128) -> Markup {
    figure(&value.to_string(), &bytes(value))
}

/// What precedes a number that is not exact.
pub(super) fn mark(accuracy: Accuracy) -> &'static str {
    match accuracy {
        Accuracy::Neither => "about ",
        _ => limit(accuracy, "≥ ", "≤ "),
    }
}

/// A table with names over its columns.
pub(super) fn table(names: &[impl Render], rows: &Markup) -> Markup {
    html! {
        table.sortable {
            thead { tr { @for name in names { th scope="col" { (name) } } } }
            tbody { (rows) }
        }
    }
}

/// What a chart shows, as a table that is folded.
pub(super) fn data(label: &str, table: &Markup) -> Markup {
    html! { details { summary { "Data as a table" } (scrolling(label, true, table)) } }
}

/// A table that scrolls by itself where it is too wide, by keyboard too.
pub(super) fn scrolling(label: &str, tall: bool, table: &Markup) -> Markup {
    html! {
        div class=(if tall { "scroll tall" } else { "scroll" }) role="group" tabindex="0" aria-label=(label) {
            (table)
        }
    }
}

/// A chart for wide windows and one for phones.
pub(super) fn both(label: &str, class: &str, wide: &Markup, narrow: &Markup, sizes: (Size, Size)) -> Markup {
    let class = |width: &str| format!("{width} {class}").trim_end().to_owned();
    html! {
        (svg::embedded(label, &class("wide"), sizes.0, wide))
        (svg::embedded(label, &class("narrow"), sizes.1, narrow))
    }
}
