//! Traces of the simulator Vidur: a CSV of lengths.
//!
//! Source: github.com/microsoft/vidur, its trace request generators. Columns `arrived_at` (seconds),
//! `num_prefill_tokens`, `num_decode_tokens`. There are no block ids.

use super::csv::TableColumns;
use crate::record::time::{TimeForm, Unit};

pub(super) const COLUMNS: TableColumns = TableColumns {
    time: "arrived_at",
    clock: TimeForm::Number(Unit::Seconds),
    input: "num_prefill_tokens",
    output: "num_decode_tokens",
    ids: None,
};
