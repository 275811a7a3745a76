//! Costs on the page.

use maud::{Markup, html};

use super::parts::{mark, plain, rate};
use crate::stats::{Accuracy, Cost, Report};

/// The headers of the columns of costs in a table of caches.
pub(super) const COLUMNS: [&str; 3] = ["Cost", "Saving", "Saving rate"];

/// The cells beneath [`COLUMNS`], for hits that are worth so much; none without prices.
pub(super) fn cells(cost: Option<Cost>, accuracy: Accuracy) -> Markup {
    let (above, below) = (mark(accuracy), mark(accuracy.reversed()));
    html! {
        @if let Some(cost) = cost {
            td { (below) (plain(cost.cost)) }
            td { (above) (plain(cost.saving)) }
            td { (above) (rate(cost.saving_rate)) }
        }
    }
}

/// The tile with what everything costs, if prices are given.
pub(super) fn tile(report: &Report) -> Markup {
    let Some(figures) = &report.price else { return Markup::default() };
    let recorded = report.recorded.as_ref().and_then(|recorded| recorded.cost);
    let accuracy = report.cached_tokens.accuracy;
    html! {
        div data-tile="cost" {
            dt { "Cost, with a cache without limit" }
            dd {
                @if let Some(cost) = figures.infinite {
                    (mark(accuracy.reversed())) (plain(cost.cost))
                    small { (plain(figures.cost_without_cache)) " without a cache, saving " (mark(accuracy)) (rate(cost.saving_rate)) }
                } @else {
                    (plain(figures.cost_without_cache))
                    small { "without a cache" }
                }
                @if let Some(cost) = recorded {
                    small {
                        (plain(cost.cost)) " as the server recorded its hits, saving " (rate(cost.saving_rate))
                        " of " (plain(cost.cost + cost.saving))
                        @if report.recorded.as_ref().is_some_and(|recorded| recorded.assumes_writes(&figures.price)) {
                            ", if it wrote to its cache all that it did not find there"
                        }
                    }
                }
            }
        }
    }
}
