//! What servers report about a request: tokens of the prompt, those found in the cache, those of the output.

use super::fields::{unquoted, whole};
use super::path::value_at;
use super::scope::Scope;
use crate::error::Invalid;
use crate::record::json::{RawObject, whole_tokens};
use crate::record::raw::Found;

/// Where the report is, in the record.
const REPORTS: [&str; 8] = [
    "usage",
    "usageMetadata",
    "usage_metadata",
    "metadata.usage_object",
    "message.usage",
    "output.outputBodyJson.usage",
    "meta_info",
    OF_TRACES,
];
/// The report of a call in the traces of Datadog and Braintrust, whose tokens of the prompt are all of it.
const OF_TRACES: &str = "metrics";
/// Where it is in the response of a server.
const REPORTS_IN_RESPONSE: [&str; 5] = ["usage", "usageMetadata", "usage_metadata", "meta_info", "meta"];

/// Names of the output's tokens in a report.
const OUTPUT: [&str; 10] = [
    "completion_tokens",
    "output_tokens",
    "outputTokens",
    "completionTokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "num_decode_tokens",
    "output_toks",
    "eval_count",
    "tokens.output_tokens",
];
/// Tokens of the output that those names of Gemini leave out.
const THOUGHTS: [&str; 2] = ["thoughtsTokenCount", "thoughts_token_count"];
/// Those that xAI leaves out: only its total has them.
const REASONING: [&str; 2] =
    ["completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"];
/// All tokens of prompt and output. (Bedrock's `totalTokens` has not always those of the cache, which `inputTokens`
/// never has.)
const TOTAL: [&str; 1] = ["total_tokens"];
/// Tokens of the output beside the prompt, where the record itself is the report.
const FLAT_OUTPUT: [&str; 13] = [
    "completion_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
    "output.outputTokenCount",
    "num_decode_tokens",
    "output_toks",
    "tokens_out",
    "tokens.completion",
    "completionTokens",
    "outputUsage",
    "eval_count",
];

const INPUT: [&str; 8] = [
    "prompt_tokens",
    "input_tokens",
    "inputTokens",
    "promptTokens",
    "promptTokenCount",
    "prompt_token_count",
    "prompt_eval_count",
    "tokens.input_tokens",
];
const FLAT_INPUT: [&str; 12] = [
    "prompt_tokens",
    "input_tokens",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
    "input.inputTokenCount",
    "num_prefill_tokens",
    "input_toks",
    "promptTokens",
    "inputUsage",
    "prompt_eval_count",
];
/// Tokens of the prompt that the names of Gemini leave out: what its own tools gave it.
const BESIDE_PROMPT: [&str; 2] = ["toolUsePromptTokenCount", "tool_use_prompt_token_count"];
/// Tokens of the prompt that Anthropic and Bedrock do not count as input, since the cache was read or written.
const BESIDE_INPUT: [&str; 4] = [
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
];
/// The same in the invocation logs of Bedrock.
const BESIDE_COUNT: [&str; 2] = ["input.cacheReadInputTokenCount", "input.cacheWriteInputTokenCount"];

const CACHED: [&str; 15] = [
    "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens",
    "cache_read_input_tokens",
    "cachedContentTokenCount",
    "cached_content_token_count",
    "cached_tokens",
    "num_cached_tokens",
    "cached_input_tokens",
    "cachedInputTokens",
    "cacheReadInputTokens",
    "prompt_cache_hit_tokens",
    "inputTokenDetails.cacheReadTokens",
    "input_token_details.cache_read",
    "prompt_cached_tokens",
    "prompt_cache_read_tokens",
];
const FLAT_CACHED: [&str; 11] = [
    "cached_tokens",
    "num_cached_tokens",
    "cache_read_input_tokens",
    "cached_input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_tokens",
    "ai.usage.cachedInputTokens",
    "input.cacheReadInputTokenCount",
    "tokens.cached",
    "prompt_cache_read_tokens",
];

/// Tokens of the prompt that were written to the cache.
const WRITTEN: [&str; 11] = [
    "cache_creation_input_tokens",
    "prompt_tokens_details.cache_write_tokens",
    "prompt_tokens_details.cache_creation_tokens",
    "input_tokens_details.cache_write_tokens",
    "cache_write_tokens",
    "cacheWriteInputTokens",
    "cachedInputWriteTokens",
    "inputTokenDetails.cacheWriteTokens",
    "input_token_details.cache_creation",
    "prompt_cache_creation_tokens",
    "prompt_cache_write_tokens",
];
const FLAT_WRITTEN: [&str; 7] = [
    "cache_write_tokens",
    "cache_creation_input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
    "input.cacheWriteInputTokenCount",
    "prompt_cache_write_tokens",
];

/// The figures of a report.
#[derive(Default)]
pub(crate) struct Usage {
    pub(crate) input: Option<u64>,
    pub(crate) cached: Option<u64>,
    pub(crate) written: Option<u64>,
    pub(crate) output: Option<u64>,
}

/// What the record says about tokens; `response` is that of the server in it.
pub(super) fn usage(scope: &Scope<'_>, response: Option<&RawObject<'_>>) -> Usage {
    in_reports(scope, response).or(in_details(scope)).or(flat(scope))
}

/// The same of a record that may be a report itself.
pub(super) fn of_record(scope: &Scope<'_>, response: Option<&RawObject<'_>>) -> Usage {
    in_reports(scope, response).or(of_report(scope.object)).or(flat(scope))
}

fn flat(scope: &Scope<'_>) -> Usage {
    let flat = |names: &[&str]| scope.find(&mut |object| number(object, names).map(|(_, number)| number));
    let input = |object: &RawObject<'_>| {
        let (name, tokens) = number(object, &FLAT_INPUT)?;
        let beside = match name {
            "input_tokens" => {
                beside_input(object, tokens, number(object, &FLAT_OUTPUT).or(number(object, &OUTPUT)))
            }
            "input.inputTokenCount" => sum(object, &BESIDE_COUNT),
            _ => 0,
        };
        Some(tokens.saturating_add(beside))
    };
    Usage {
        input: scope.find(&mut |object| input(object)),
        cached: flat(&FLAT_CACHED),
        written: flat(&FLAT_WRITTEN),
        output: flat(&FLAT_OUTPUT),
    }
}

/// What reports say, in the record or in the response of the server, and that itself.
fn in_reports(scope: &Scope<'_>, response: Option<&RawObject<'_>>) -> Usage {
    let mut usage = Usage::default();
    let beside = REPORTS.iter().filter_map(|path| scope.at(&[path]));
    let inside =
        |path: &&'static str| Some((*path, Found::part(response.and_then(|response| response.get(path))?)));
    for (path, report) in beside.chain(REPORTS_IN_RESPONSE.iter().filter_map(inside)) {
        let Some(report) = RawObject::in_value(report.json()) else { continue };
        let mut found = of_report(&report);
        if path == OF_TRACES {
            let all = number(&report, &INPUT).map(|(_, tokens)| tokens);
            found.input = all.filter(|_| all >= found.cached).or(found.input);
        }
        usage = usage.or(found);
    }
    usage.or(response.map(of_report).unwrap_or_default())
}

fn in_details(scope: &Scope<'_>) -> Usage {
    let object = |found: Option<(&str, Found<'_>)>, read: &dyn Fn(&RawObject<'_>) -> Option<Usage>| {
        found.and_then(|(_, details)| RawObject::in_value(details.json()).and_then(|details| read(&details)))
    };
    let details = scope.at(&["usageDetails", "usage_details"]);
    let details = object(details, &|details| langfuse_details(details).ok().flatten());
    // Older ones have only these.
    let older = |usage: &RawObject<'_>| {
        let tokens = |name| number(usage, &[name]).map(|(_, tokens)| tokens);
        Some(Usage { input: tokens("input"), output: tokens("output"), ..Usage::default() })
    };
    details.or_else(|| object(scope.at(&["usage"]), &older)).unwrap_or_default()
}

/// Reads `usageDetails` as Langfuse adds them up: all keys that contain "input" are tokens of the prompt, all
/// that contain "output" are tokens of the answer, so its own integrations leave cached tokens out of `input`.
/// Details by the names of an API that has no such key for the prompt are read as a report of that API.
///
/// # Errors
/// A value that is no number of tokens.
pub(crate) fn langfuse_details(details: &RawObject) -> Result<Option<Usage>, Invalid> {
    if !details.fields().any(|(name, _)| name.contains("input")) {
        return Ok(Some(of_report(details)).filter(|usage| usage.input.is_some()));
    }
    let mut usage = Usage::default();
    let add = |sum: &mut Option<u64>, n: u64| *sum = Some(sum.unwrap_or(0) + n);
    for (name, value) in details.fields().filter(|(_, value)| value.get() != "null") {
        let n = whole_tokens(name, value.get())?;
        if name.contains("input") {
            add(&mut usage.input, n);
        } else if name.contains("output") {
            add(&mut usage.output, n);
        }
        if name.contains("cache") && (name.contains("read") || name.contains("cached")) {
            add(&mut usage.cached, n);
        } else if name.contains("cache") && (name.contains("creation") || name.contains("write")) {
            add(&mut usage.written, n);
        }
    }
    Ok(usage.input.is_some().then_some(usage))
}

impl Usage {
    fn or(self, other: Self) -> Self {
        Self {
            input: self.input.or(other.input),
            cached: self.cached.or(other.cached),
            written: self.written.or(other.written),
            output: self.output.or(other.output),
        }
    }
}

fn of_report(report: &RawObject<'_>) -> Usage {
    let output = number(report, &OUTPUT);
    let input = number(report, &INPUT).map(|(name, tokens)| {
        let beside = match name {
            "input_tokens" | "inputTokens" => beside_input(report, tokens, output),
            "promptTokenCount" | "prompt_token_count" => sum(report, &BESIDE_PROMPT),
            _ => 0,
        };
        tokens.saturating_add(beside)
    });
    let output = output.map(|(name, tokens)| {
        let thoughts = if name.starts_with("candidates") {
            sum(report, &THOUGHTS)
        } else {
            // What is missing up to the total.
            let thoughts = number(report, &REASONING).map_or(0, |(_, thoughts)| thoughts);
            let all = input.unwrap_or(0).saturating_add(tokens).saturating_add(thoughts);
            if total(report) == Some(all) { thoughts } else { 0 }
        };
        tokens.saturating_add(thoughts)
    });
    let tokens = |names: &[&str]| number(report, names).map(|(_, tokens)| tokens);
    Usage { input, output, cached: tokens(&CACHED), written: tokens(&WRITTEN) }
}

/// Tokens of the prompt beside those of `input`: none where the total says that these are all, as in the reports of
/// those that translate Anthropic's.
fn beside_input(report: &RawObject<'_>, input: u64, output: Option<(&str, u64)>) -> u64 {
    let beside = sum(report, &BESIDE_INPUT);
    let all = output.map(|(_, output)| output.saturating_add(input));
    if beside <= input && all.is_some() && total(report) == all { 0 } else { beside }
}

fn total(report: &RawObject<'_>) -> Option<u64> {
    number(report, &TOTAL).map(|(_, total)| total)
}

/// All tokens at `paths` together.
fn sum(object: &RawObject<'_>, paths: &[&str]) -> u64 {
    paths.iter().filter_map(|path| number(object, &[path])).map(|(_, number)| number).sum()
}

/// The first of `paths` with a number of tokens, and the number.
fn number<'n>(object: &RawObject<'_>, paths: &[&'n str]) -> Option<(&'n str, u64)> {
    paths.iter().find_map(|&path| Some((path, whole(unquoted(value_at(object, path)?.json()))?)))
}
