//! The text exposition format of Prometheus, for `node_exporter`'s textfile collector.
//!
//! Labels are such that they mean the same every day: sizes that the user names, shares, ranks. What
//! follows from the trace, such as the size of the working set, is a value.

use crate::error::printable;
use crate::report::cells::{self, Number, Served};
use crate::report::prometheus_help::help;
use crate::report::{fleets, misses, price, recorded, reuse, tiers};
use crate::stats::{Bound, CapacityRow, GroupReport, OTHERS, Report, SeparateCaches, WindowReport};

/// Labels of this file's own: a field of that name gets another one.
const LABELS: [&str; 17] = [
    "within", "stat", "pair", "kind", "cache", "share", "figure", "bound", "rank", "id", "fate", "depth",
    "replicas", "route", "list", "tier", "size",
];

/// A label and its value.
type Label<'a> = (&'a str, &'a str);

/// Labels that the user gives to all samples.
type Labels<'a> = &'a [(String, String)];

/// Appends every figure as a gauge whose name begins with `kvtrace_`.
pub(super) fn write(report: &Report, labels: Labels, out: &mut Vec<u8>) {
    let mut families = Families::new(labels);
    families.report(report, None);
    families.write(out);
}

/// Appends the figures of the whole trace, and with a label those of each group by the value of `field`.
pub(super) fn write_groups(
    report: &Report,
    field: &str,
    groups: &[GroupReport],
    labels: Labels,
    out: &mut Vec<u8>,
) {
    let label = label_of(field);
    let mut families = Families::new(labels);
    families.report(report, None);
    for (value, report) in groups {
        let value = value.as_deref().map_or_else(|| OTHERS.to_owned(), printable);
        // An empty label is none, and so the whole.
        let value = if value.is_empty() { "\"\"".to_owned() } else { value };
        families.report(report, Some((&label, &value)));
    }
    if let Some(separate) = SeparateCaches::of(groups) {
        families.separate(&separate);
    }
    families.write(out);
}

/// Appends the figures of a window, and of the stream up to its end: under names of their own, so that one
/// machine can have the files of a stream and of a daily run.
pub(super) fn write_window(report: &WindowReport, labels: Labels, out: &mut Vec<u8>) {
    let (window, running) = (&report.window, &report.running);
    let mut families = Families::new(labels);
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
        ("running_requests", count(running.requests)),
        ("running_skipped_records", count(running.skipped_records)),
        ("running_unique_blocks", count(running.unique_blocks)),
        ("running_token_hit_rate", running.token_hit_rate.map(Number::Real)),
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
    for cache in running.capacity.iter().flatten().map(cells::served_row) {
        families.cache("running_cache", &cache, None);
    }
    for (bound, figure) in window_bounds(report) {
        families.add("stream_bound", &[("figure", &figure), ("bound", bound)], None, "1");
    }
    families.write(out);
}

/// What a window's figures are worth, those of the stream up to its end by their names in a report.
fn window_bounds(report: &WindowReport) -> Vec<(&'static str, String)> {
    let window = report.bound.iter().flat_map(|bound| {
        let at_least = bound.at_least.iter().map(|name| ("at_least", format!("window_{name}")));
        at_least.chain(bound.at_most.iter().map(|name| ("at_most", format!("window_{name}"))))
    });
    let running = report.running.bound.iter().flat_map(Bound::figures);
    let running =
        running.flat_map(|(bound, names)| names.iter().map(move |name| (bound, (*name).to_owned())));
    let caches = report.running.capacity.iter().flatten();
    let caches =
        caches.filter_map(|row| Some((row.accuracy.bound()?, format!("running_cache.{}", stable_name(row)))));
    window.chain(running).chain(caches).collect()
}

/// Metrics in the order of their first sample; the samples of one stand together.
struct Families<'a> {
    labels: Labels<'a>,
    list: Vec<(String, &'static str, String)>,
}

impl<'a> Families<'a> {
    fn new(labels: Labels<'a>) -> Self {
        Self { labels, list: Vec::new() }
    }

    /// Every figure of a report, with the label of its group if it is of one.
    fn report(&mut self, report: &Report, group: Option<Label>) {
        for total in cells::totals(report) {
            self.optional(total.name, Some(total.value), group);
        }
        // An alert needs a value on the days on which all is well too.
        if report.bound.is_none() {
            self.optional("forgotten_blocks", Some(Number::Count(0)), group);
        }
        if report.skipped_records == 0 && group.is_none() {
            self.optional("skipped_records", Some(Number::Count(0)), group);
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
        for cache in cells::served(report) {
            self.cache("cache", &cache, group);
        }
        for target in &report.targets.value {
            let share = target.share.to_string();
            let blocks = target.row.capacity_blocks.to_string();
            self.add("target_blocks", &[("share", &share)], group, &blocks);
            if let Some(bytes) = target.row.capacity_bytes {
                self.add("target_bytes", &[("share", &share)], group, &bytes.to_string());
            }
        }
        self.recorded(report, group);
        self.misses(report, group);
        self.reuse(report, group);
        self.fleets(report, group);
        self.tiers(report, group);
        for (bound, figure) in cells::bounds(report, stable_name) {
            self.bound(bound, &figure, group);
        }
        for (rank, (id, figures)) in cells::prefix_rows(report).into_iter().enumerate() {
            let (rank, id) = ((rank + 1).to_string(), id.to_string());
            self.add("prefix_id", &[("rank", &rank), ("id", &id)], group, "1");
            for (name, value) in figures {
                let (name, value) = (format!("prefix_{name}"), value);
                self.number(&name, &[("rank", &rank)], &value, group);
            }
        }
    }

    /// What a cache serves, and what else is said of it.
    fn cache(&mut self, of: &str, cache: &Served, group: Option<Label>) {
        let labels = [("kind", cache.kind), ("cache", stable(cache.kind, &cache.name))];
        let rate = cache.hits.rate().map(Number::Real);
        let rate = rate.as_ref().map(|rate| ("token_hit_rate", rate));
        let more = cache.figures.iter().map(|(name, value)| (*name, value));
        for (name, value) in rate.into_iter().chain(more) {
            self.number(&format!("{of}_{name}"), &labels, value, group);
        }
    }

    /// What caches of the groups serve together.
    fn separate(&mut self, separate: &SeparateCaches) {
        for (bound, names) in &separate.bound {
            names.iter().for_each(|name| self.bound(bound, &format!("separate.{name}"), None));
        }
        for (bound, name) in cells::bounds(&separate.report(), stable_name) {
            self.bound(bound, &format!("separate.{name}"), None);
        }
        self.optional("separate_cached_tokens", Some(Number::Count(separate.cached_tokens.value)), None);
        self.optional("separate_token_hit_rate", separate.token_hit_rate.value.map(Number::Real), None);
        for cache in cells::served(&separate.report()) {
            let labels = [("kind", cache.kind), ("cache", stable(cache.kind, &cache.name))];
            if let Some(rate) = cache.hits.rate() {
                self.add("separate_cache_token_hit_rate", &labels, None, &format!("{rate:?}"));
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

    fn tiers(&mut self, report: &Report, group: Option<Label>) {
        for figure in tiers::figures(report) {
            let (replicas, list) = (figure.replicas.to_string(), figure.list.to_string());
            let (route, size) = (figure.route.to_string(), figure.size.map(|blocks| blocks.to_string()));
            let labels =
                [("replicas", &*replicas), ("route", &*route), ("list", &*list), ("tier", figure.tier)];
            let labels: Vec<Label> =
                labels.into_iter().chain(size.iter().map(|size| ("size", &**size))).collect();
            // A rate is no time: its name does not end with the unit of one.
            let kind = if size.is_some() { "tier_curve" } else { "tier" };
            let name = format!("{kind}_{}", figure.name.replace("_per_s", "_per_second"));
            self.number(&name, &labels, &figure.value, group);
        }
    }

    /// What the server found beside what was possible. Hours are left out: samples have times of their own.
    fn recorded(&mut self, report: &Report, group: Option<Label>) {
        let Some(recorded) = &report.recorded else { return };
        for (name, value) in recorded.compared.iter().flat_map(recorded::numbers) {
            self.number(&format!("recorded_{name}"), &[], &value, group);
        }
        for cache in &recorded.caches {
            let labels = [("cache", &*cache.cache)];
            self.number("recorded_cache_hit_tokens", &labels, &Number::Count(cache.hit_tokens), group);
            for (name, value) in cache.cost.into_iter().flat_map(price::numbers) {
                self.number(&format!("recorded_cache_{name}"), &labels, &value, group);
            }
        }
    }

    /// What became of tokens: in all, by depth, and when and by whom they had been used last.
    fn misses(&mut self, report: &Report, group: Option<Label>) {
        for (cache, depth, figures) in misses::numbers(report) {
            for (name, value) in figures {
                let fates = ["hit", "cold", "evicted", "expired", "rules", "elsewhere", "tokens"];
                let is_fate = fates.contains(&name);
                let name = if name == "tokens" { "all" } else { name };
                if !depth.is_empty() {
                    let labels = [("cache", &*cache), ("depth", &*depth), ("fate", name)];
                    self.number("miss_depth_tokens", &labels, &value, group);
                } else if is_fate {
                    self.number("miss_tokens", &[("cache", &*cache), ("fate", name)], &value, group);
                } else {
                    self.number(&format!("miss_{name}"), &[("cache", &*cache)], &value, group);
                }
            }
        }
    }

    /// Where hits come from. A value of the field that tells hits apart is a label with the field's name.
    fn reuse(&mut self, report: &Report, group: Option<Label>) {
        let field = report.shared_by.value.as_ref().map(|figures| label_of(&figures.field));
        for figure in reuse::figures(report) {
            let key = if figure.of == "value" { field.as_deref().unwrap_or(figure.of) } else { figure.of };
            let name = format!("{}_{}", figure.section, figure.name);
            self.number(&name, &[(key, &figure.item)], &figure.value, group);
        }
    }

    fn bound(&mut self, bound: &str, figure: &str, group: Option<Label>) {
        self.add("bound", &[("figure", figure), ("bound", bound)], group, "1");
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
        let given = self.labels.iter().map(|(name, value)| (&**name, &**value));
        let labels = given.chain(labels.iter().copied()).chain(group);
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

/// The name of a cache as it stands in labels.
fn stable_name(row: &CapacityRow) -> String {
    stable("capacity", &cells::cache_name(row)).to_owned()
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
pub fn label_of(field: &str) -> String {
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
