//! What Prometheus says of each metric.

/// The words, by the name of the metric before units are those of Prometheus.
pub(super) fn help(name: &str) -> &'static str {
    match name {
        "requests" => "Requests read.",
        "requests_without_ids" => "Requests without block ids, which count in lengths only.",
        "skipped_records" => "Bad records that were skipped: they are in no figure.",
        "block_size" => "Tokens per block.",
        "blocks" => "Blocks of all prompts, repeated ones included.",
        "unique_blocks" => "Distinct blocks: what a cache without limit holds in the end.",
        "shared_blocks" => "Distinct blocks that occur more than once.",
        "prefix_groups" => "First blocks with which two or more requests begin.",
        "input_tokens" => "Prompt tokens of all requests.",
        "output_tokens" => "Generated tokens of all requests.",
        "cached_tokens" => "Prompt tokens that a cache without limit serves.",
        "token_hit_rate" => "Share of the prompt tokens that a cache without limit serves.",
        "block_hit_rate" => "Share of the blocks that a cache without limit serves.",
        "hit_unit_min_tokens" => "The least hit, in tokens.",
        "hit_unit_tokens" => "Tokens of a unit in which hits are counted.",
        "shared_tokens" => "Prompt tokens that a cache without limit holds, in whole units or not.",
        "below_unit_share" => {
            "Share of these that is not served: below the least hit, no whole unit, or the last one."
        }
        "duration_s" => "Time from the first request to the last.",
        "mean_rate" => "Requests per second on average.",
        "peak_rate" => "Most requests in one second.",
        "peak_step_rate" => {
            "Most requests per second of a step of the trace's time, where steps are longer than a second."
        }
        "interarrival_mean_ms" => "Mean time between two requests.",
        "interarrival_cv" => "Standard deviation over mean of the times between requests.",
        "dispersion_10s" => "Variance over mean of the requests per ten seconds, 1 for a Poisson process.",
        "late" => "Records with an earlier time than one before them.",
        "last_record_timestamp_ms" => "Time of the last record, on the clock of the trace.",
        "forgotten_blocks" => "Blocks forgotten at the limit of memory: figures are bounds.",
        "exact_capacity_blocks" => {
            "Largest LRU cache whose figures are exact although blocks were forgotten."
        }
        "sampled_blocks" => "Blocks in the sample from which hits are estimated.",
        "unique_blocks_standard_error" => "Standard error of the estimated number of distinct blocks.",
        "shared_blocks_standard_error" => "Standard error of the estimated number of shared blocks.",
        "prefix_groups_standard_error" => "Standard error of the estimated number of prefix groups.",
        "cached_tokens_standard_error" => "Standard error of the estimated cached tokens.",
        "token_hit_rate_standard_error" => "Standard error of the estimated token hit rate.",
        "block_hit_rate_standard_error" => "Standard error of the estimated block hit rate.",
        "input_length" => "Prompt tokens of a request: mean, deviation, extremes and percentiles.",
        "context_length" => "Tokens of a request in blocks that occur more than once in the trace.",
        "unique_prompt_length" => "Tokens of a request that no other request has.",
        "output_length" => "Generated tokens of a request.",
        "hit_rate" => "Share of the blocks of a request that a cache without limit holds when it arrives.",
        "cached_length" => "Prompt tokens of a request that a cache without limit holds when it arrives.",
        "correlation" => "Pearson correlation of two lengths over the requests.",
        "cache_token_hit_rate" => "Share of the prompt tokens that a cache serves.",
        "cache_capacity_tokens" => "Size of a cache in tokens.",
        "cache_capacity_bytes" | "running_cache_capacity_bytes" => "Size of a cache in bytes.",
        "cache_below_opt" => {
            "Share of the prompt tokens that the cache which serves most blocks serves more than this one."
        }
        "cache_prefill_flops" | "running_cache_prefill_flops" => {
            "Arithmetic of the prefill that a cache leaves, by the model."
        }
        "cache_prefill_saving_compute" | "running_cache_prefill_saving_compute" => {
            "How many times the arithmetic of the prefill without a cache is that."
        }
        "target_blocks" => "Size in blocks of the smallest LRU cache that gives this share of all hits.",
        "target_bytes" | "tier_promoted_bytes" | "tier_demoted_bytes" | "tier_written_bytes" => {
            "The same in bytes."
        }
        "tier_size_blocks" => "Blocks that a tier of each replica holds.",
        "tier_hit_tokens" => "Prompt tokens found in a tier and not in a faster one.",
        "tier_token_hit_rate" => "Their share of all prompt tokens.",
        "tier_promoted_blocks" => "Blocks found in a tier and moved up.",
        "tier_demoted_blocks" => "Blocks that leave a tier for the next.",
        "tier_written_blocks" => "Blocks written into a tier.",
        "tier_curve_all_hit_tokens" => "Prompt tokens found in any tier or pool where a tier has this size.",
        "tier_curve_all_token_hit_rate" => "The same as a share of all prompt tokens.",
        name if name.starts_with("tier_curve_") => help(&name.replacen("_curve", "", 1)),
        name if name.starts_with("tier_") && name.ends_with("_mean_per_second") => {
            "The same per second, over the trace."
        }
        name if name.starts_with("tier_") && name.ends_with("_replica_peak_per_second") => {
            "The most of one replica in one second."
        }
        name if name.starts_with("tier_") && name.ends_with("_peak_per_second") => "The most in one second.",
        "bound" => "Figures that are bounds, since blocks have been forgotten.",
        "stream_bound" => {
            "Figures of a window or of the stream that are bounds, since blocks have been forgotten."
        }
        "running_skipped_records" => "Bad records of the stream that were skipped: they are in no figure.",
        _ => help_of_caches(name),
    }
}

/// The same of what else is known of caches.
fn help_of_caches(name: &str) -> &'static str {
    match name {
        "cache_standard_error" => {
            "Standard error of the estimated share of the prompt tokens that a cache serves."
        }
        "cache_refused_requests" | "running_cache_refused_requests" => {
            "Requests that do not fit into the cache of an engine; they are in no other figure of it."
        }
        "cache_preempted_requests" => "How often a request was put back for want of room and started again.",
        "cache_preempted_tokens" => "Tokens of requests that were put back, prompt and answer so far.",
        "cache_preempted_hit_tokens" => "Of these, the tokens that were still there.",
        "cache_sequential_hit_tokens" => {
            "Prompt tokens that the cache serves where the same requests come one after the other."
        }
        "cache_steps" => "Steps of the engine.",
        "cache_mean_running" => "Requests that run, averaged over the steps of the engine.",
        "cache_simulated_s" => "Time until the end of the last step of the engine.",
        _ => help_of_parts(name),
    }
}

/// The same of windows and prefixes.
fn help_of_parts(name: &str) -> &'static str {
    match name {
        "window_start_timestamp_ms" => "Time at which the latest window begins, on the clock of the trace.",
        "window_requests" => "Requests in the latest window.",
        "window_late" => "Records of the latest window with a time before it.",
        "window_input_tokens" => "Prompt tokens in the latest window.",
        "window_output_tokens" => "Generated tokens in the latest window.",
        "window_cached_tokens" => "Prompt tokens of the latest window that a cache without limit serves.",
        "window_new_blocks" => "Blocks that occur for the first time in the latest window.",
        "window_token_hit_rate" => {
            "Share of the prompt tokens of the latest window that a cache without limit serves."
        }
        "window_input_length" => "Prompt tokens of a request in the latest window.",
        "window_output_length" => "Generated tokens of a request in the latest window.",
        "running_requests" => "Requests of the stream so far.",
        "running_unique_blocks" => "Distinct blocks of the stream so far.",
        "running_token_hit_rate" => {
            "Share of the prompt tokens of the stream so far that a cache without limit serves."
        }
        "running_cache_token_hit_rate" => {
            "Share of the prompt tokens of the stream so far that a cache serves."
        }
        "prefix_id" => "Which block ends a shared prefix, by the rank of what the prefix saves.",
        "prefix_blocks" => "Length of a shared prefix in blocks.",
        "prefix_tokens" => "Length of a shared prefix in tokens.",
        "prefix_requests" => "Requests that begin with a shared prefix.",
        "prefix_saved_tokens" => "Prompt tokens that caching a shared prefix saves.",
        "prefix_first_line" => "Line of the first request with a shared prefix.",
        "prefix_last_line" => "Line of the last request with a shared prefix.",
        "prefix_longest_pause_ms" => "Longest time between two requests with a shared prefix.",
        _ => help_of_hits(name),
    }
}

/// The same of recorded hits and of costs.
fn help_of_hits(name: &str) -> &'static str {
    match name {
        "recorded_requests" => "Requests of which the server recorded what its cache served.",
        "recorded_cached_tokens" => "Prompt tokens that the server found in its cache, as recorded.",
        "recorded_token_hit_rate" => "Share of the prompt tokens that the server found in its cache.",
        "recorded_compared_requests" => "Requests with recorded hits and ids.",
        "recorded_compared_tokens" => "Their prompt tokens, as the server counted them.",
        "recorded_found_tokens" => "Those that the server found in its cache.",
        "recorded_possible_tokens" => "Those that a cache without limit has by the ids of the trace.",
        "recorded_evicted_tokens" => "Not found though full blocks of them had been there.",
        "recorded_rules_tokens" => "Not found since they are in partial blocks, or the last token.",
        "recorded_above_possible_requests" => "Requests of which the server found more than is possible.",
        "recorded_above_possible_tokens" => "Tokens found beyond what is possible.",
        "recorded_beyond_block_requests" => {
            "Requests of which more was found than a part of the next block explains."
        }
        "recorded_below_possible_requests" => "Requests of which the server found less than is possible.",
        "recorded_below_possible_tokens" => "Possible tokens that the server did not find.",
        "recorded_cache_hit_tokens" => {
            "Tokens that a cache would have served to the requests with recorded hits."
        }
        "cache_cost" => "Cost of the requests with a cache.",
        "cache_saving" | "saving_infinite" => "What they cost more without one.",
        "cache_saving_rate" => "The saving over the cost without a cache.",
        "recorded_cost" => "Cost of the requests with recorded hits.",
        "recorded_saving" => "What they cost more without a cache.",
        "recorded_cache_cost" => "Cost of the requests with recorded hits, with a cache.",
        "recorded_cache_saving" => "What they cost more without one, by the server's count of tokens.",
        "recorded_cache_saving_rate" => "That saving over the cost without a cache.",
        "price_input" => "Price of a million prompt tokens.",
        "price_cached" => "Price of a million prompt tokens from a cache.",
        "price_write" => "Price of a million prompt tokens that are written to a cache.",
        "price_output" => "Price of a million generated tokens.",
        "cost_without_cache" => "Cost of the requests without a cache.",
        "cost_infinite" => "Cost of the requests with a cache without limit.",
        _ => help_of_misses(name),
    }
}

/// The same of groups with caches of their own and of replicas.
fn help_of_fleets(name: &str) -> &'static str {
    match name {
        "separate_cached_tokens" => "Prompt tokens that caches without limit serve, one for each group.",
        "separate_token_hit_rate" => "Their share of the prompt tokens.",
        "separate_cache_token_hit_rate" => {
            "Share of the prompt tokens that caches of a size serve, one for each group."
        }
        "fleet_infinite_hit_tokens" => "Prompt tokens that replicas with caches without limit serve.",
        "fleet_infinite_token_hit_rate" => {
            "Share of the prompt tokens that replicas with caches without limit serve."
        }
        "fleet_requests_max" => "Most requests that one replica gets.",
        "fleet_request_imbalance" => "Requests of the busiest replica over the mean.",
        "fleet_work_max_tokens" => "Prompt tokens that the busiest replica computes.",
        "fleet_work_imbalance" => "The same over the mean of all replicas.",
        "fleet_peak_second_tokens" => "The most of them that come in one second.",
        "fleet_highest_peak_second_tokens" => {
            "The most tokens to compute that come to any replica in one second."
        }
        "fleet_infinite_prefill_flops" => "FLOPs that replicas with caches without limit leave to compute.",
        "fleet_infinite_prefill_saving_compute" => {
            "How many times the FLOPs of the prefill without a cache are that."
        }
        "fleet_work_max_flops" => "The most FLOPs of one replica with a cache without limit.",
        "fleet_work_imbalance_compute" => "Those FLOPs over the mean of all replicas.",
        "fleet_peak_second_flops" => "The most of those FLOPs in one second.",
        "fleet_highest_peak_second_flops" => "The most FLOPs that come to any replica in one second.",
        "fleet_capacity_prefill_flops" | "fleet_target_prefill_flops" | "fleet_ttl_prefill_flops" => {
            "FLOPs of the model for what these caches leave to compute."
        }
        "fleet_capacity_prefill_saving_compute"
        | "fleet_target_prefill_saving_compute"
        | "fleet_ttl_prefill_saving_compute" => {
            "How many times the FLOPs without these caches are those with them."
        }
        "fleet_capacity_shared_prefill_saving_compute" => {
            "The same for one cache of the size of all of them, shared by all."
        }
        "fleet_capacity_tokens" | "fleet_target_tokens" | "fleet_ttl_tokens" => {
            "Prompt tokens of requests with blocks."
        }
        "fleet_capacity_prefill_saving" | "fleet_target_prefill_saving" | "fleet_ttl_prefill_saving" => {
            "How many times the work without these caches is that with them."
        }
        "fleet_capacity_hit_tokens" => "Prompt tokens that replicas with caches of this size serve.",
        "fleet_capacity_token_hit_rate" => {
            "Share of the prompt tokens that replicas with caches of this size serve."
        }
        "fleet_capacity_shared_token_hit_rate" => {
            "Share that one cache of the size of all of them, shared by all, serves."
        }
        "fleet_target_capacity_blocks" => {
            "Size in blocks of the smallest caches that give this share of the hits of those without limit."
        }
        "fleet_target_hit_tokens" => "Prompt tokens that they serve.",
        "fleet_target_token_hit_rate" => "Share of the prompt tokens that they serve.",
        "fleet_ttl_hit_tokens" => "Prompt tokens that replicas with caches whose blocks expire serve.",
        "fleet_ttl_token_hit_rate" => "Share that replicas with caches whose blocks expire serve.",
        _ => "",
    }
}

/// The same of where hits come from.
fn help_of_reuse(name: &str) -> &'static str {
    match name {
        "reuse_tokens" => {
            "Prompt tokens that a cache without limit serves, by the time since their last use."
        }
        "most_used_blocks" => "This share of the distinct blocks, those with most hits.",
        "most_used_hit_share" => "Share of all hits that these blocks make.",
        "shared_by_requests" => "Requests with block ids and this value.",
        "shared_by_tokens" => "Their prompt tokens.",
        "shared_by_own_tokens" => "Tokens served from blocks that requests with this value had brought.",
        "shared_by_answer_tokens" => "Tokens served from answers that engines keep.",
        "shared_by_others_tokens" => "Tokens served from blocks that other requests had brought.",
        _ => help_of_fleets(name),
    }
}

/// The same of the fates of tokens.
fn help_of_misses(name: &str) -> &'static str {
    match name {
        "miss_tokens" => {
            "Prompt tokens by what became of them in a cache; the fate all stands for their sum."
        }
        "miss_depth_tokens" => "The same by depth in the prompt; the fate all stands for their sum.",
        "miss_same_session_hit" => "Prompt tokens from a cache that the same session had used last.",
        "miss_same_session_evicted" => "Evicted tokens that the same session had used last.",
        "miss_same_session_expired" => "Expired tokens that the same session had used last.",
        "miss_other_sessions_hit" => "Prompt tokens from a cache that another session had used last.",
        "miss_other_sessions_evicted" => "Evicted tokens that another session had used last.",
        "miss_other_sessions_expired" => "Expired tokens that another session had used last.",
        "miss_evicted_median_s" => "Time since the last use of evicted tokens, median.",
        "miss_evicted_p90_s" => "Time since the last use of evicted tokens, 90th percentile.",
        "miss_evicted_median_blocks" => "Distinct blocks used since the last use of evicted tokens, median.",
        "miss_evicted_p90_blocks" => {
            "Distinct blocks used since the last use of evicted tokens, 90th percentile."
        }
        "miss_expired_median_s" => "Time since the last use of expired tokens, median.",
        "miss_expired_p90_s" => "Time since the last use of expired tokens, 90th percentile.",
        "miss_expired_median_blocks" => "Distinct blocks used since the last use of expired tokens, median.",
        "miss_expired_p90_blocks" => {
            "Distinct blocks used since the last use of expired tokens, 90th percentile."
        }
        _ => help_of_reuse(name),
    }
}
