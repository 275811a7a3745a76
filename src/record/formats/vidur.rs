//! Traces of the simulator Vidur: a CSV of lengths.
//!
//! Source: github.com/microsoft/vidur, its trace request generators. Columns `arrived_at` (seconds),
//! `num_prefill_tokens`, `num_decode_tokens`. There are no block ids.

use super::csv::{Clock, Columns};
use crate::record::time::Unit;

pub(super) const COLUMNS: Columns = Columns {
    time: "arrived_at",
    clock: Clock::Number(Unit::Seconds),
    input: "num_prefill_tokens",
    output: "num_decode_tokens",
    ids: None,
};
