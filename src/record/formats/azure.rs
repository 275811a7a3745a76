//! Azure's traces of LLM inference, 2023 and 2024: a CSV of lengths.
//!
//! Source: github.com/Azure/AzurePublicDataset. Columns `TIMESTAMP` (date and time of day with seven
//! decimals, in 2024 with a zone), `ContextTokens`, `GeneratedTokens`. There are no block ids.

use super::csv::{Clock, Columns};

pub(super) const COLUMNS: Columns = Columns {
    time: "TIMESTAMP",
    clock: Clock::Date,
    input: "ContextTokens",
    output: "GeneratedTokens",
    ids: None,
};
