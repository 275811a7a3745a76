//! `BurstGPT`, a CSV of lengths.
//!
//! Source: github.com/HPMLL/BurstGPT. Columns `Timestamp` (seconds since the start), `Model`,
//! `Request tokens`, `Response tokens`, `Total tokens`, `Log Type`. A failed request has 0 response
//! tokens; it stays, as its prompt was sent. There are no block ids.

use super::csv::{Clock, Columns};
use crate::record::time::Unit;

pub(super) const COLUMNS: Columns = Columns {
    time: "Timestamp",
    clock: Clock::Number(Unit::Seconds),
    input: "Request tokens",
    output: "Response tokens",
    ids: None,
};
