//! What is said about where prompts part from earlier ones.

use serde::Serialize;

use super::kind::Difference;

/// Why a request does not find more of its prompt in a cache of everything before.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explained {
    /// The file, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of the record in its file, from 1.
    pub line: u64,
    /// Which request of its record this is, from 1, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens with which an earlier prompt of the same model, salt and adapter begins as well: the most of any.
    pub shared_tokens: u64,
    /// What differs from the earlier prompt that is compared.
    pub difference: Difference,
    /// The file of that prompt, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier_file: Option<String>,
    /// The line of that prompt's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier_line: Option<u64>,
    /// The first token that differs, from 0, and the block that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// The block of that token, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// Where the two part, in the record of this line: the field, or what the place is in, as a JSON Pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Characters of that field before the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub character: Option<u64>,
    /// Who says what stands there: the role of the message, or `tools`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The place is in what the template puts around the fields.
    #[serde(skip_serializing_if = "is_false")]
    pub in_template: bool,
    /// The tokenizer changes texts, so that the character is that of the nearest equal text.
    #[serde(skip_serializing_if = "is_false")]
    pub approximate: bool,
    /// The text around the place, in this prompt and in the earlier one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// The text around the place in the earlier prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier_excerpt: Option<String>,
    /// Tokens behind the shared ones that earlier prompts have as well, behind the place where each parts from this
    /// one; `earlier_line` is the one that has most of them.
    pub lost_tokens: u64,
    /// Shared tokens that do not fill a block.
    pub block_lost_tokens: u64,
    /// An earlier prompt that shared more is forgotten: the place is that of another, and `lost_tokens` may be
    /// too low.
    #[serde(skip_serializing_if = "is_false")]
    pub forgotten: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The places where the prompts of an input part from earlier ones, and what that costs.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct BreakReport {
    /// Requests.
    pub requests: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Those with which an earlier prompt begins as well.
    pub shared_tokens: u64,
    /// Those behind the place where a prompt parts from earlier ones that have them as well.
    pub lost_tokens: u64,
    /// Shared ones that do not fill a block.
    pub block_lost_tokens: u64,
    /// All others: they were found in none of the earlier prompts that were looked at.
    pub new_tokens: u64,
    /// Requests for which an earlier prompt that shared more was forgotten.
    pub forgotten_requests: u64,
    /// By how much the lost tokens of a row may be too high at most. 0 unless there are more places than are
    /// counted.
    pub error: u64,
    /// The places, the most expensive first.
    pub breaks: Vec<Break>,
    /// Lost tokens of the places that are not among them.
    pub other_lost_tokens: u64,
}

/// A kind of place where prompts part, and what it costs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Break {
    /// The field as a JSON Pointer, with a star for each place in a list.
    pub place: String,
    /// Who says what stands there: the role of the message, or `tools`.
    pub role: Option<String>,
    /// Whether it is in what the template puts around the fields.
    pub in_template: bool,
    /// What differs.
    pub difference: Difference,
    /// The other one of an insertion and a removal at the same place: something comes and goes. What is counted is
    /// that of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<Difference>,
    /// Requests that part there.
    pub requests: u64,
    /// Their lost tokens.
    pub lost_tokens: u64,
    /// The share that these are of all prompt tokens.
    pub share: f64,
    /// The request that lost most.
    pub example: Explained,
}
