//! The text exposition format of Prometheus, for `node_exporter`'s textfile collector.
//!
//! Labels are such that they mean the same every day: sizes that the user names, shares, ranks. What
//! follows from the trace, such as the size of the working set, is a value.

use crate::error::printable;
use crate::report::cells::{self, Number};
use crate::report::fleets;
use crate::stats::{GroupReport, OTHERS, Report, SeparateCaches, WindowReport};

/// Labels of this file's own: a field of that name gets another one.
const LABELS: [&str; 11] =
    ["stat", "pair", "kind", "cache", "share", "figure", "bound", "rank", "id", "replicas", "route"];

/// A label and its value.
type Label<'a> = (&'a str, &'a str);

/// Appends every figure as a gauge whose name begins with `kvtrace_`.
pub(super) fn write(report: &Report, out: &mut Vec<u8>) {
    let mut families = Families::default();
    families.report(report, None);
    families.write(out);
}

/// Appends the figures of the whole trace, and with a label those of each group by the value of `field`.
pub(super) fn write_groups(report: &Report, field: &str, groups: &[GroupReport], out: &mut Vec<u8>) {
    let label = label_of(field);
    let mut families = Families::default();
    families.report(report, None);
    for (value, report) in groups {
        let value = value.as_deref().map_or_else(|| OTHERS.to_owned(), printable);
        families.report(report, Some((&label, &value)));
    }
    let separate = SeparateCaches::of(groups);
    families.optional("separate_cached_tokens", Some(Number::Count(separate.cached_tokens.value)), None);
    families.optional("separate_token_hit_rate", separate.token_hit_rate.value.map(Number::Real), None);
    for (kind, cache, hits, _) in cells::served(&separate.report()) {
        let labels = [("kind", kind), ("cache", stable(kind, &cache))];
        if let Some(rate) = hits.rate() {
            families.add("separate_cache_token_hit_rate", &labels, None, &format!("{rate:?}"));
        }
    }
    families.write(out);
}

/// Appends the figures of a window, and of the stream up to its end.
pub(super) fn write_window(report: &WindowReport, out: &mut Vec<u8>) {
    let (window, running) = (&report.window, &report.running);
    let mut families = Families::default();
    let count = |n: u64| Some(Number::Count(n.into()));
    let figures = [
        ("window_start_timestamp_ms", window.start_ms.map(Number::Real)),
        ("window_requests", count(window.requests)),
        ("window_late", count(window.late)),
        ("window_input_tokens", Some(Number::Count(window.input_tokens))),
        ("window_output_tokens", Some(Number::Count(window.output_tokens))),
        ("window_cached_tokens", Some(Number::Count(window.cached_tokens))),
        ("window_new_blocks", count(window.new_blocks)),
        ("window_token_hit_rate", window.token_hit_rate.map(Number::Real)),
        ("requests", count(running.requests)),
        ("unique_blocks", count(running.unique_blocks)),
        ("token_hit_rate", running.token_hit_rate.map(Number::Real)),
    ];
    for (name, value) in figures {
        families.optional(name, value, None);
    }
    let lengths =
        [("window_input_length", &window.input_length), ("window_output_length", &window.output_length)];
    for (name, summary) in lengths {
        for (statistic, value) in summary.iter().flat_map(crate::stats::Summary::statistics) {
            families.add(name, &[("stat", &statistic)], None, &format!("{value:?}"));
        }
    }
    for (kind, cache, hits, _) in running.capacity.iter().flatten().map(cells::served_row) {
        families.hit_rate(kind, stable(kind, &cache), hits.rate(), None);
    }
    families.bound(running.bound.as_ref(), None);
    families.write(out);
}

/// What is said of each metric, by its name before units are those of Prometheus.
fn help(name: &str) -> &'static str {
    match name {
        "requests" => "Requests read.",
        "requests_without_ids" => "Requests without block ids, which count in lengths only.",
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
        "hit_unit_tokens" => "Tokens in whose multiples the engine finds prefixes.",
        "shared_tokens" => "Prompt tokens in blocks that a cache without limit holds, in whole units or not.",
        "below_unit_share" => "Share of these that is not served, since it is no whole unit or the last one.",
        "recorded_requests" => "Requests of which the server recorded what its cache served.",
        "recorded_cached_tokens" => "Prompt tokens that the server found in its cache, as recorded.",
        "recorded_token_hit_rate" => "Share of the prompt tokens that the server found in its cache.",
        "duration_s" => "Time from the first request to the last.",
        "mean_rate" => "Requests per second on average.",
        "peak_rate" => "Most requests in one second.",
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
        "separate_cached_tokens" => "Prompt tokens that caches without limit serve, one for each group.",
        "separate_token_hit_rate" => "Their share of the prompt tokens.",
        "separate_cache_token_hit_rate" => {
            "Share of the prompt tokens that caches of a size serve, one for each group."
        }
        "target_blocks" => "Size in blocks of the smallest LRU cache that gives this share of all hits.",
        "target_bytes" => "The same in bytes.",
        "fleet_infinite_hit_tokens" => "Prompt tokens that replicas with caches without limit serve.",
        "fleet_infinite_token_hit_rate" => {
            "Share of the prompt tokens that replicas with caches without limit serve."
        }
        "fleet_requests_max" => "Most requests that one replica gets.",
        "fleet_request_imbalance" => "Requests of the busiest replica over the mean.",
        "fleet_work_max_tokens" => "Prompt tokens that the busiest replica computes.",
        "fleet_work_imbalance" => "The same over the mean of all replicas.",
        "fleet_peak_second_tokens" => "The most of them that come in one second.",
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
        "bound" => "Figures that are bounds, since blocks have been forgotten.",
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
        "prefix_id" => "Which block ends a shared prefix, by the rank of what the prefix saves.",
        "prefix_blocks" => "Length of a shared prefix in blocks.",
        "prefix_tokens" => "Length of a shared prefix in tokens.",
        "prefix_requests" => "Requests that begin with a shared prefix.",
        "prefix_saved_tokens" => "Prompt tokens that caching a shared prefix saves.",
        "prefix_first_line" => "Line of the first request with a shared prefix.",
        "prefix_last_line" => "Line of the last request with a shared prefix.",
        "prefix_longest_pause_ms" => "Longest time between two requests with a shared prefix.",
        _ => "",
    }
}

/// Metrics in the order of their first sample; the samples of one stand together.
#[derive(Default)]
struct Families {
    list: Vec<(String, &'static str, String)>,
}

impl Families {
    /// Every figure of a report, with the label of its group if it is of one.
    fn report(&mut self, report: &Report, group: Option<Label>) {
        for (name, value) in cells::totals(report) {
            self.optional(name, Some(value), group);
        }
        if report.bound.is_none() {
            // An alert needs a value on the days on which all is well too.
            self.optional("forgotten_blocks", Some(Number::Count(0)), group);
        }
        let last = report.arrivals.as_ref().map(|arrivals| Number::Real(arrivals.last_ms));
        self.optional("last_record_timestamp_ms", last, group);
        for (name, summary) in cells::summaries(report) {
            for (statistic, value) in summary.value.iter().flat_map(crate::stats::Summary::statistics) {
                self.add(name, &[("stat", &statistic)], group, &format!("{value:?}"));
            }
        }
        for (pair, value) in cells::correlations(report) {
            self.add("correlation", &[("pair", pair)], group, &format!("{value:?}"));
        }
        for (kind, cache, hits, _) in cells::served(report) {
            self.hit_rate(kind, stable(kind, &cache), hits.rate(), group);
        }
        for target in &report.targets.value {
            let share = target.share.to_string();
            let blocks = target.row.capacity_blocks.to_string();
            self.add("target_blocks", &[("share", &share)], group, &blocks);
            if let Some(bytes) = target.row.capacity_bytes {
                self.add("target_bytes", &[("share", &share)], group, &bytes.to_string());
            }
        }
        self.fleets(report, group);
        self.bound(report.bound.as_ref(), group);
        for (rank, (id, figures)) in cells::prefix_rows(report).into_iter().enumerate() {
            let (rank, id) = ((rank + 1).to_string(), id.to_string());
            self.add("prefix_id", &[("rank", &rank), ("id", &id)], group, "1");
            for (name, value) in figures {
                let (name, value) = (format!("prefix_{name}"), value);
                self.number(&name, &[("rank", &rank)], &value, group);
            }
        }
    }

    fn fleets(&mut self, report: &Report, group: Option<Label>) {
        for figure in fleets::figures(report) {
            let replicas = figure.fleet.replicas.to_string();
            let route = figure.fleet.route.to_string();
            let mut labels = vec![("replicas", &*replicas), ("route", &*route)];
            let key = if figure.section == "fleet_target" { "share" } else { "cache" };
            labels.extend(figure.cache.as_deref().map(|cache| (key, cache)));
            self.number(&format!("{}_{}", figure.section, figure.name), &labels, &figure.value, group);
        }
    }

    fn hit_rate(&mut self, kind: &str, cache: &str, rate: Option<f64>, group: Option<Label>) {
        if let Some(rate) = rate {
            let labels = [("kind", kind), ("cache", cache)];
            self.add("cache_token_hit_rate", &labels, group, &format!("{rate:?}"));
        }
    }

    fn bound(&mut self, bound: Option<&crate::stats::Bound>, group: Option<Label>) {
        for (bound, figures) in bound.iter().flat_map(|bound| bound.figures()) {
            for figure in figures {
                self.add("bound", &[("figure", figure), ("bound", bound)], group, "1");
            }
        }
    }

    fn optional(&mut self, name: &str, value: Option<Number>, group: Option<Label>) {
        if let Some(value) = value {
            self.number(name, &[], &value, group);
        }
    }

    /// A figure in the base unit that Prometheus asks for: times are in seconds.
    fn number(&mut self, name: &str, labels: &[Label], value: &Number, group: Option<Label>) {
        let milliseconds = match (name.ends_with("_ms"), value) {
            (true, Number::Count(count)) => Some(*count as f64),
            (true, Number::Real(real)) => Some(*real),
            _ => None,
        };
        let value = milliseconds.map_or_else(|| value.to_string(), |ms| format!("{:?}", ms / 1000.0));
        self.add(name, labels, group, &value);
    }

    /// Adds a sample to the family of `name`, after the others.
    fn add(&mut self, name: &str, labels: &[Label], group: Option<Label>, value: &str) {
        let gauge = gauge(name);
        let place = self.list.iter().position(|(known, ..)| *known == gauge).unwrap_or_else(|| {
            self.list.push((gauge.clone(), help(name), String::new()));
            self.list.len() - 1
        });
        let labels = labels.iter().copied().chain(group);
        let labels: Vec<String> =
            labels.map(|(key, label)| format!("{key}=\"{}\"", escaped(label))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.list[place].2.push_str(&format!("kvtrace_{gauge}{labels} {value}\n"));
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (name, help, samples) in &self.list {
            let head = format!("# HELP kvtrace_{name} {help}\n# TYPE kvtrace_{name} gauge\n");
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(samples.as_bytes());
        }
    }
}

/// The part of a cache's name that means the same every day: how large the working set is, or the cache that
/// reaches a target, is a value and no label.
fn stable<'a>(kind: &str, cache: &'a str) -> &'a str {
    match cache.split_once(['=', ':']) {
        Some((name, _)) if kind == "target" || name == "infinite" => name,
        _ => cache,
    }
}

/// The name of a metric with the unit of its values.
fn gauge(name: &str) -> String {
    let stem = name.strip_suffix("_ms").or_else(|| name.strip_suffix("_s"));
    stem.map_or_else(|| name.to_owned(), |stem| format!("{stem}_seconds"))
}

/// The name of a field as a label.
fn label_of(field: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = field.chars().map(word).collect();
    let is_taken = LABELS.contains(&&*name) || name.starts_with("__");
    if is_taken || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return format!("by_{}", name.trim_start_matches('_'));
    }
    name
}

/// The value of a label as the format quotes it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names_that_prometheus_takes() {
        for (field, label) in [
            ("type", "type"),
            ("session-id", "session_id"),
            ("a.b", "a_b"),
            ("stat", "by_stat"),
            ("1st", "by_1st"),
            ("__name__", "by_name__"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(label_of(field), label);
        }
        assert_eq!(escaped("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
