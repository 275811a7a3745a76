//! Azure's traces of LLM inference, 2023 and 2024: a CSV of lengths.
//!
//! Source: github.com/Azure/AzurePublicDataset. Columns `TIMESTAMP` (date and time of day with seven
//! decimals, in 2024 with a zone), `ContextTokens`, `GeneratedTokens`. There are no block ids.

use super::csv::TableColumns;
use crate::record::time::TimeForm;

pub(super) const COLUMNS: TableColumns = TableColumns {
    time: "TIMESTAMP",
    clock: TimeForm::Date,
    input: "ContextTokens",
    output: "GeneratedTokens",
    ids: None,
};
