//! What is said of where hits come from.

use serde::Serialize;

/// Where the hits of a cache without limit come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReuseFigures {
    /// Prompt tokens that are served, by the time since their blocks were used last; empty without times. So far
    /// as parents are used with their children, the sum up to an age is what a cache serves whose blocks expire
    /// that long after their last use.
    pub by_age: Vec<AgeRow>,
    /// Tokens served from answers that engines keep: they are in no age.
    #[serde(skip_serializing_if = "is_no_token")]
    pub answer_tokens: u128,
    /// Whether few blocks make most of the hits; empty if blocks were forgotten.
    pub concentration: Vec<ConcentrationRow>,
}

/// Hits in blocks that had been used within a time, and not within the next smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AgeRow {
    /// At most so many seconds before; `None` for all longer times.
    pub within_s: Option<f64>,
    /// Prompt tokens.
    pub tokens: u128,
}

/// What the blocks with most hits make of all hits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConcentrationRow {
    /// Share of the distinct blocks.
    pub block_share: f64,
    /// So many blocks, at least one.
    pub blocks: u64,
    /// Their hits over all hits, in blocks; `None` without hits.
    pub hit_share: Option<f64>,
}

/// Hits of one shared cache by the value of a field, and by the value of the request that had brought the block.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SharedByFigures {
    /// The field.
    pub field: String,
    /// In the order of first appearance; all values beyond the first hundred are one, without a name.
    pub values: Vec<SharerRow>,
    /// Whether answers filled blocks that engines keep.
    #[serde(skip)]
    pub has_answers: bool,
    /// By value that hits, then by value that had brought the block, in tokens; empty for more than twenty values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matrix: Vec<Vec<u128>>,
}

/// What the requests with one value find.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SharerRow {
    /// The value; `None` for all that have no row.
    pub value: Option<String>,
    /// Requests with block ids.
    pub requests: u64,
    /// Their prompt tokens.
    pub tokens: u128,
    /// Tokens served from blocks that requests with this value had brought.
    pub own_tokens: u128,
    /// Tokens served from blocks that others had brought.
    pub others_tokens: u128,
    /// Tokens served from answers that engines keep, whoever's.
    #[serde(skip_serializing_if = "is_no_token")]
    pub answer_tokens: u128,
}

fn is_no_token(count: &u128) -> bool {
    *count == 0
}
