//! `BurstGPT`, a CSV of lengths.
//!
//! Source: github.com/HPMLL/BurstGPT. Columns `Timestamp` (seconds since the start), `Model`,
//! `Request tokens`, `Response tokens`, `Total tokens`, `Log Type`. A failed request has 0 response
//! tokens; it stays, as its prompt was sent. There are no block ids.

use super::csv::TableColumns;
use crate::record::time::{TimeForm, Unit};

pub(super) const COLUMNS: TableColumns = TableColumns {
    time: "Timestamp",
    clock: TimeForm::Number(Unit::Seconds),
    input: "Request tokens",
    output: "Response tokens",
    ids: None,
};
