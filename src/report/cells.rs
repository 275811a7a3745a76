//! The tables of a report as cells of text, header first, whatever draws them.

use crate::stats::{Accuracy, CapacityRow, Figure, Hits, PrefixRow, Report, Summary, percentile_name};

/// A table: the first row is the header.
pub(super) type Cells = Vec<Vec<String>>;

/// A figure by its name in JSON.
pub(super) enum Number {
    /// Counted, exact.
    Count(u128),
    /// Computed.
    Real(f64),
    /// A word in place of a number, for a header.
    Text(&'static str),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Real(x) => write!(f, "{x:?}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The figures that are one number, by their names in JSON; those without a value are left out.
pub(super) fn totals(report: &Report) -> Vec<(&'static str, Number)> {
    let count = |n: u64| Some(Number::Count(n.into()));
    let real = |x: Option<f64>| x.map(Number::Real);
    let (arrivals, bound) = (report.arrivals.as_ref(), report.bound.as_ref());
    let list = [
        ("requests", count(report.requests)),
        ("requests_without_ids", count(report.requests_without_ids)),
        ("block_size", count(report.block_size)),
        ("blocks", count(report.blocks)),
        ("unique_blocks", count(report.unique_blocks.value)),
        ("shared_blocks", count(report.shared_blocks.value)),
        ("prefix_groups", count(report.prefix_groups.value)),
        ("input_tokens", Some(Number::Count(report.input_tokens))),
        ("output_tokens", Some(Number::Count(report.output_tokens))),
        ("cached_tokens", Some(Number::Count(report.cached_tokens.value))),
        ("token_hit_rate", real(report.token_hit_rate.value)),
        ("block_hit_rate", real(report.block_hit_rate.value)),
        ("inferred_answers", report.inferred_answers.and_then(count)),
        ("duration_s", real(arrivals.map(|a| a.duration_s))),
        ("mean_rate", real(arrivals.and_then(|a| a.mean_rate))),
        ("peak_rate", arrivals.map(|a| Number::Count(a.peak_rate.into()))),
        ("interarrival_mean_ms", real(arrivals.and_then(|a| a.interarrival_mean_ms))),
        ("interarrival_cv", real(arrivals.and_then(|a| a.interarrival_cv))),
        ("dispersion_10s", real(arrivals.and_then(|a| a.dispersion_10s))),
        ("late", arrivals.map(|a| Number::Count(a.late.into()))),
        ("forgotten_blocks", bound.and_then(|bound| count(bound.forgotten_blocks))),
        ("exact_capacity_blocks", bound.and_then(|bound| count(bound.exact_capacity_blocks?))),
        ("sampled_blocks", report.estimate.and_then(|e| count(e.sampled_blocks))),
        ("token_hit_rate_standard_error", real(report.token_hit_rate.accuracy.standard_error())),
        ("block_hit_rate_standard_error", real(report.block_hit_rate.accuracy.standard_error())),
    ];
    list.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A quantity that has a distribution: its name in JSON, and its summary.
pub(super) type Distributed<'a> = (&'static str, &'a Figure<Option<Summary>>);

/// All of them.
pub(super) fn summaries(report: &Report) -> [Distributed<'_>; 6] {
    [
        ("input_length", &report.input_length),
        ("context_length", &report.context_length),
        ("unique_prompt_length", &report.unique_prompt_length),
        ("output_length", &report.output_length),
        ("hit_rate", &report.hit_rate),
        ("cached_length", &report.cached_length),
    ]
}

/// What is said of a figure that is a lower or an upper bound.
pub(super) fn limit(accuracy: Accuracy, at_least: &'static str, at_most: &'static str) -> &'static str {
    match accuracy {
        Accuracy::AtLeast => at_least,
        Accuracy::AtMost => at_most,
        _ => "",
    }
}

/// The pairs of lengths whose correlation has a value, by their names in JSON.
pub(super) fn correlations(report: &Report) -> Vec<(&'static str, f64)> {
    let c = &report.correlations.value;
    let list = [
        ("context_unique", c.context_unique),
        ("context_output", c.context_output),
        ("unique_output", c.unique_output),
        ("input_output", c.input_output),
        ("input_context", c.input_context),
        ("input_unique", c.input_unique),
    ];
    list.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The reference's table: five rows.
pub(super) fn lengths(report: &Report) -> Cells {
    let mut header = vec![String::new(), "Mean".into(), "Std Dev".into(), "Min".into()];
    header.extend(report.percentiles.iter().map(|&p| {
        let mut name = percentile_name(p);
        name[..1].make_ascii_uppercase();
        name
    }));
    header.push("Max".into());
    let names =
        ["Input Length", "Context Length", "Unique Prompt Length", "Output Length", "Theoretical Hit Rates"];
    let columns = header.len();
    let mut cells = vec![header];
    // The reference has no row of cached lengths.
    for (name, (_, summary)) in names.into_iter().zip(summaries(report)) {
        let mut row = vec![format!("{name}{}", limit(summary.accuracy, " (>=)", " (<=)"))];
        let statistics = summary.value.iter().flat_map(Summary::statistics);
        row.extend(statistics.map(|(_, value)| format!("{value:?}")));
        row.resize(columns, "-".into());
        cells.push(row);
    }
    cells
}

/// The tables of finite caches that were asked for.
pub(super) fn caches(report: &Report) -> Vec<Cells> {
    let Some(caches) = &report.caches else { return Vec::new() };
    let with_bytes = caches.capacity.iter().any(|row| row.capacity_bytes.is_some());
    let header = |first: &[&str]| {
        let bytes = with_bytes.then_some("GiB");
        let rest = ["Hit Tokens", "Token Hit Rate", "Prefill Saving"];
        let error = report.estimate.is_some().then_some("Standard Error");
        let names = first.iter().copied().chain(["Blocks"]).chain(bytes).chain(rest).chain(error);
        names.map(str::to_owned).collect()
    };
    let row = |first: Vec<String>, row: &CapacityRow| {
        let mut cells = first;
        cells.push(row.capacity_blocks.to_string());
        cells.extend(row.capacity_bytes.map(|bytes| format!("{:.2}", bytes as f64 / f64::from(1 << 30))));
        cells.extend(hits(row.hits, row.accuracy));
        cells.extend(row.accuracy.standard_error().map(|error| format!("{error:.6}")));
        cells
    };
    let mut tables = Vec::new();
    if !caches.capacity.is_empty() {
        let mut capacity = vec![header(&["Policy"])];
        capacity.extend(caches.capacity.iter().map(|r| row(vec![r.policy.to_owned()], r)));
        tables.push(capacity);
    }
    if !report.targets.value.is_empty() {
        let mut targets = vec![header(&["Target", "Policy"])];
        targets.extend(report.targets.value.iter().map(|target| {
            row(vec![format!("{} %", target.share * 100.0), target.row.policy.to_owned()], &target.row)
        }));
        tables.push(targets);
    }
    if !report.ttls.value.is_empty() {
        let header = ["Time to Live", "Hit Tokens", "Token Hit Rate", "Prefill Saving"];
        let mut ttls = vec![header.map(str::to_owned).to_vec()];
        ttls.extend(report.ttls.value.iter().map(|ttl| {
            let mut cells = vec![format!("{} s", ttl.ttl_ms as f64 / 1000.0)];
            cells.extend(hits(ttl.hits, report.ttls.accuracy));
            cells
        }));
        tables.push(ttls);
    }
    tables.extend(engines(report));
    tables.extend(checks(report));
    tables.extend(servers(report));
    tables
}

/// The table of what else happened in the caches of engines, if there are any.
fn engines(report: &Report) -> Option<Cells> {
    let rows = report.caches.iter().flat_map(|caches| &caches.capacity);
    let rows: Vec<_> = rows.filter(|row| row.refused_requests.is_some()).collect();
    let is_loaded = rows.first()?.load.is_some();
    let mut header = vec!["Policy", "Blocks", "Refused"];
    if is_loaded {
        header.extend(["Preempted", "Preempted Hit Tokens", "One by One", "Mean Running"]);
    }
    let mut cells = vec![header.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    cells.extend(rows.into_iter().map(|row| {
        let refused = row.refused_requests.unwrap_or(0);
        let mut cells = vec![row.policy.to_owned(), row.capacity_blocks.to_string(), refused.to_string()];
        if let Some(load) = row.load {
            cells.extend([load.preempted_requests.to_string(), load.preempted_hit_tokens.to_string()]);
            let alone = Hits { hit_tokens: load.sequential_hit_tokens, ..row.hits };
            cells.extend([hits(alone, row.accuracy)[1].clone(), format!("{:.2}", load.mean_running)]);
        } else {
            cells.resize(if is_loaded { 7 } else { 3 }, "-".into());
        }
        cells
    }));
    Some(cells)
}

/// The table of what servers recorded beside what is predicted, if asked for.
fn checks(report: &Report) -> Option<Cells> {
    let header = ["Cache", "Requests", "Counted", "Predicted", "Differing Requests", "First Line"];
    report.checks.first()?;
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(report.checks.iter().map(|check| {
        vec![
            check.cache.clone(),
            check.requests.to_string(),
            check.counted_tokens.to_string(),
            check.predicted_tokens.to_string(),
            check.differing_requests.to_string(),
            check.first_line.map_or_else(|| "-".into(), |line| line.to_string()),
        ]
    }));
    Some(cells)
}

/// The table of what servers counted beside what is predicted for each cache, if that is given.
fn servers(report: &Report) -> Option<Cells> {
    report.servers.first()?;
    let header = [
        "Server",
        "Counted",
        "Of Tokens",
        "Counted Rate",
        "Cache",
        "Predicted",
        "Difference",
        "Predicted Rate",
    ];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    let rate = |hits: Hits| hits.rate().map_or_else(|| "-".into(), |rate| format!("{rate:.6}"));
    for server in &report.servers {
        for row in report.caches.iter().flat_map(|caches| &caches.capacity) {
            let difference = row.hits.hit_tokens as i128 - server.hits.hit_tokens as i128;
            cells.push(vec![
                server.server.to_owned(),
                server.hits.hit_tokens.to_string(),
                server.hits.tokens.to_string(),
                rate(server.hits),
                format!("{}:{}", row.policy, row.capacity_blocks),
                row.hits.hit_tokens.to_string(),
                format!("{difference:+}"),
                rate(row.hits),
            ]);
        }
    }
    Some(cells)
}

/// The table of shared prefixes, if asked for.
pub(super) fn prefixes(report: &Report) -> Option<Cells> {
    let figures = report.prefixes.as_ref()?;
    let header = [
        "Last Id",
        "Blocks",
        "Tokens",
        "Requests",
        "Saved Tokens",
        "First Line",
        "Last Line",
        "Longest Pause",
    ];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(figures.rows.iter().map(|row| {
        vec![
            row.id.to_string(),
            row.blocks.to_string(),
            row.tokens.to_string(),
            row.requests.to_string(),
            row.saved_tokens.to_string(),
            row.first_line.to_string(),
            row.last_line.to_string(),
            format!("{} s", row.longest_pause_ms / 1000.0),
        ]
    }));
    Some(cells)
}

/// The figures of each shared prefix by their names in JSON, after its id.
pub(super) fn prefix_rows(report: &Report) -> Vec<(u64, [(&'static str, Number); 7])> {
    let rows = report.prefixes.iter().flat_map(|prefixes| &prefixes.rows);
    let count = |n: u64| Number::Count(n.into());
    let figures = |row: &PrefixRow| {
        [
            ("blocks", count(row.blocks)),
            ("tokens", count(row.tokens)),
            ("requests", count(row.requests)),
            ("saved_tokens", Number::Count(row.saved_tokens)),
            ("first_line", count(row.first_line)),
            ("last_line", count(row.last_line)),
            ("longest_pause_ms", Number::Real(row.longest_pause_ms)),
        ]
    };
    rows.map(|row| (row.id, figures(row))).collect()
}

/// A finite cache: its kind, its name (`lru:1000`), what it served, and the standard error of the hit
/// rate if that is an estimate.
pub(super) type Served = (&'static str, String, Hits, Option<f64>);

/// Every finite cache.
pub(super) fn served(report: &Report) -> Vec<Served> {
    let Some(caches) = &report.caches else { return Vec::new() };
    let name = |row: &CapacityRow| format!("{}:{}", row.policy, row.capacity_blocks);
    let error = |row: &CapacityRow| row.accuracy.standard_error();
    let capacity = caches.capacity.iter().map(|row| ("capacity", name(row), row.hits, error(row)));
    let targets = report.targets.value.iter();
    let targets =
        targets.map(|t| ("target", format!("{}={}", t.share, name(&t.row)), t.row.hits, error(&t.row)));
    let ttls = report.ttls.value.iter().map(|t| ("ttl", format!("{}ms", t.ttl_ms), t.hits, None));
    capacity.chain(targets).chain(ttls).collect()
}

/// Hit tokens, rate and saving; marked where they are lower bounds.
fn hits(hits: Hits, accuracy: Accuracy) -> [String; 3] {
    let mark = limit(accuracy, ">= ", "<= ");
    let number = |x: Option<f64>, digits| x.map_or_else(|| "-".into(), |x| format!("{mark}{x:.digits$}"));
    [format!("{mark}{}", hits.hit_tokens), number(hits.rate(), 6), number(hits.prefill_saving(), 3)]
}
