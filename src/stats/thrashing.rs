//! The finding that a cache is too small for the requests that are served together.

use std::fmt;

use crate::stats::cache::CapacityRow;
use crate::stats::figures::Report;

/// A cache whose requests evict each other's blocks before they are asked for again.
#[derive(Clone, Copy, Debug)]
pub struct Thrashing<'a> {
    row: &'a CapacityRow,
    /// The smallest larger cache in the report that does not thrash.
    enough: Option<&'a CapacityRow>,
}

impl<'a> Thrashing<'a> {
    /// All of them in a report.
    pub fn all(report: &'a Report) -> impl Iterator<Item = Self> {
        let rows = || report.caches.iter().flat_map(|caches| &caches.capacity);
        rows().filter(|row| row.is_thrashing()).map(move |row| {
            let larger = |other: &&CapacityRow| other.capacity_blocks > row.capacity_blocks;
            let enough = rows().filter(larger).find(|other| other.load.is_some() && !other.is_thrashing());
            Self { row, enough }
        })
    }
}

/// A sentence with its figures.
impl fmt::Display for Thrashing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u128, all: u128| 100.0 * part as f64 / all.max(1) as f64;
        let rate = |row: &CapacityRow| percent(row.hits.hit_tokens, row.hits.tokens);
        let Self { row, enough } = self;
        let Some(load) = row.load else { return Ok(()) };
        let alone = percent(load.sequential_hit_tokens, row.hits.tokens);
        write!(
            f,
            "a cache of {} blocks thrashes: with {:.1} requests at a time on average it serves {:.1} % of the \
             prompt tokens, with one after the other {alone:.1} %",
            row.capacity_blocks,
            load.mean_running,
            rate(row),
        )?;
        let Some(larger) = enough else { return Ok(()) };
        let more = larger.capacity_blocks - row.capacity_blocks;
        write!(f, "; {more} more blocks")?;
        if let (Some(large), Some(small)) = (larger.capacity_bytes, row.capacity_bytes) {
            write!(f, " ({:.1} GiB)", (large - small) as f64 / f64::from(1 << 30))?;
        }
        write!(f, " serve {:.1} %", rate(larger))
    }
}
