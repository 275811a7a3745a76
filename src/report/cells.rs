//! The tables of a report as cells of text, header first, whatever draws them.

pub(super) use crate::report::digits::{Cells, Digits, Number, Total, limit, mark};
use crate::report::misses;
use crate::report::numbers::{bytes, rounded};
use crate::report::price;
use crate::report::recorded;
use crate::stats::{
    Accuracy, Bound, CapacityRow, Cost, Figure, HitCheck, Hits, LoadFigures, PrefillWork, PrefixRow, Report,
    Summary, TtlRow, percentile_name,
};

/// The figures that are one number; those without a value are left out.
pub(super) fn totals(report: &Report) -> Vec<Total> {
    let figure = |name, value: Option<Number>, accuracy| Some(Total { name, value: value?, accuracy });
    let exact = |name, value| figure(name, value, Accuracy::Exact);
    let count = |n: u64| Some(Number::Count(n.into()));
    let real = |x: Option<f64>| x.map(Number::Real);
    let blocks = |name, f: &Figure<u64>| figure(name, count(f.value), f.accuracy);
    let rate = |name, f: &Figure<Option<f64>>| figure(name, real(f.value), f.accuracy);
    let (unit, unit_accuracy) = (report.hit_unit.value, report.hit_unit.accuracy);
    let (arrivals, bound, recorded) =
        (report.arrivals.as_ref(), report.bound.as_ref(), report.recorded.as_ref());
    let cached = &report.cached_tokens;
    let list = [
        exact("requests", count(report.requests)),
        exact("requests_without_ids", count(report.requests_without_ids)),
        exact("skipped_records", Some(report.skipped_records).filter(|&n| n > 0).and_then(count)),
        exact("block_size", count(report.block_size)),
        exact("blocks", count(report.blocks)),
        blocks("unique_blocks", &report.unique_blocks),
        blocks("shared_blocks", &report.shared_blocks),
        blocks("prefix_groups", &report.prefix_groups),
        exact("input_tokens", Some(Number::Count(report.input_tokens))),
        exact("output_tokens", Some(Number::Count(report.output_tokens))),
        figure("cached_tokens", Some(Number::Count(cached.value)), cached.accuracy),
        rate("token_hit_rate", &report.token_hit_rate),
        rate("block_hit_rate", &report.block_hit_rate),
        exact("hit_unit_min_tokens", unit.and_then(|unit| count(unit.min_tokens))),
        exact("hit_unit_tokens", unit.and_then(|unit| count(unit.tokens))),
        figure("shared_tokens", unit.map(|unit| Number::Count(unit.shared_tokens)), unit_accuracy),
        figure("below_unit_share", real(unit.and_then(|unit| unit.below_share)), unit_accuracy),
        exact("recorded_requests", recorded.and_then(|r| count(r.requests))),
        exact("recorded_cached_tokens", recorded.map(|r| Number::Count(r.cached_tokens))),
        exact("recorded_write_requests", recorded.and_then(|r| count(r.write_requests?))),
        exact("recorded_write_tokens", recorded.and_then(|r| Some(Number::Count(r.write_tokens?)))),
        exact("recorded_token_hit_rate", real(recorded.and_then(|r| r.token_hit_rate))),
        exact("inferred_answers", report.inferred_answers.and_then(count)),
        exact("duration_s", real(arrivals.map(|a| a.duration_s))),
        exact("mean_rate", real(arrivals.and_then(|a| a.mean_rate))),
        exact("peak_rate", arrivals.map(|a| Number::Count(a.peak_rate.into()))),
        exact("peak_step_rate", real(arrivals.and_then(|a| a.peak_step_rate))),
        exact("interarrival_mean_ms", real(arrivals.and_then(|a| a.interarrival_mean_ms))),
        exact("interarrival_cv", real(arrivals.and_then(|a| a.interarrival_cv))),
        exact("dispersion_10s", real(arrivals.and_then(|a| a.dispersion_10s))),
        exact("late", arrivals.map(|a| Number::Count(a.late.into()))),
        exact("forgotten_blocks", bound.and_then(|bound| count(bound.forgotten_blocks))),
        exact("exact_capacity_blocks", bound.and_then(|bound| count(bound.exact_capacity_blocks?))),
        exact("sampled_blocks", report.estimate.and_then(|e| count(e.sampled_blocks))),
        exact("unique_blocks_standard_error", real(report.unique_blocks.accuracy.standard_error())),
        exact("shared_blocks_standard_error", real(report.shared_blocks.accuracy.standard_error())),
        exact("prefix_groups_standard_error", real(report.prefix_groups.accuracy.standard_error())),
        exact("cached_tokens_standard_error", real(cached.accuracy.standard_error())),
        exact("token_hit_rate_standard_error", real(report.token_hit_rate.accuracy.standard_error())),
        exact("block_hit_rate_standard_error", real(report.block_hit_rate.accuracy.standard_error())),
    ];
    list.into_iter().flatten().chain(price::totals(report)).collect()
}

/// The names of the figures that are bounds, or not even that, after the word for it: as in JSON, and those that
/// say it beside them there. `name` is what a cache is called.
pub(super) fn bounds(report: &Report, name: fn(&CapacityRow) -> String) -> Vec<(&'static str, String)> {
    let named = report.bound.iter().flat_map(Bound::figures);
    let named = named.flat_map(|(bound, names)| names.iter().map(move |name| (bound, (*name).to_owned())));
    let rows = report.caches.iter().flat_map(|caches| &caches.capacity);
    let rows = rows.flat_map(|row| {
        let name = format!("capacity.{}", name(row));
        let cost = row.cost.map(|_| format!("{name}.cost"));
        let work = row.work.map(|_| format!("{name}.prefill_flops"));
        let less = cost.into_iter().chain(work).map(|name| (row.accuracy.reversed().bound(), name));
        less.chain([(row.accuracy.bound(), name)]).collect::<Vec<_>>()
    });
    let checks =
        report.checks.iter().map(|check| (check.accuracy.bound(), format!("checked_hits.{}", check.cache)));
    named.chain(rows.chain(checks).filter_map(|(bound, name)| Some((bound?, name)))).collect()
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

/// What a statistic of a distribution is worth besides what the whole row says: bounds of values are none of their
/// spread.
pub(super) fn statistic_accuracy(name: &str, all: Accuracy) -> Accuracy {
    if name == "std" { all.loosely() } else { Accuracy::Exact }
}

/// The reference's table: five rows.
pub(super) fn lengths(report: &Report, digits: Digits) -> Cells {
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
        row.extend(statistics.map(|(name, value)| {
            format!("{}{}", mark(statistic_accuracy(&name, summary.accuracy)), digits.real(value))
        }));
        row.resize(columns, "-".into());
        cells.push(row);
    }
    cells
}

/// The tables of finite caches that were asked for.
pub(super) fn caches(report: &Report, digits: Digits) -> Vec<Cells> {
    let Some(caches) = &report.caches else { return Vec::new() };
    // Targets are those of LRU caches alone, whose first columns are two.
    let has_opt = caches.capacity.iter().any(|row| row.below_opt.is_some());
    let below_opt = |first: &[&str]| has_opt && first.len() == 1;
    let has_work = caches.infinite.work.is_some();
    let with_bytes = caches.capacity.iter().any(|row| row.capacity_bytes.is_some());
    let header = |first: &[&str]| {
        let bytes = with_bytes.then_some(if digits == Digits::All { "GiB" } else { "Size" });
        let rest = ["Hit Tokens", "Token Hit Rate", "Prefill Saving"];
        let work = work_columns(has_work, digits);
        let rest = rest.iter().chain(work).copied();
        let error = report.estimate.is_some().then_some("Standard Error");
        let cost = report.price.iter().flat_map(|_| price::COLUMNS);
        let names = first.iter().copied().chain(["Blocks"]).chain(bytes).chain(rest).chain(cost);
        let names = names.chain(below_opt(first).then_some("Below Opt")).chain(error);
        names.map(str::to_owned).collect()
    };
    let row = |first: Vec<String>, row: &CapacityRow, size: Accuracy| {
        let has_opt = has_opt && first.len() == 1;
        let mut cells = first;
        cells.push(format!("{}{}", mark(size), digits.count(row.capacity_blocks)));
        cells.extend(row.capacity_bytes.map(|size| match digits {
            Digits::All => format!("{:.2}", size as f64 / f64::from(1 << 30)),
            Digits::Few => bytes(size),
        }));
        let worst = if size == Accuracy::Neither { size } else { row.accuracy };
        cells.extend(hit_cells(row.hits, worst, digits));
        cells.extend(row.work.iter().flat_map(|work| prefill_work(work, worst, digits)));
        cells.extend(price::cells(row.cost, worst, digits));
        let below = || row.below_opt.map_or_else(|| "-".into(), |below| digits.real(below));
        cells.extend(has_opt.then(below));
        let error = || row.accuracy.standard_error().map_or_else(|| "-".into(), |error| digits.real(error));
        cells.extend(report.estimate.is_some().then(error));
        cells
    };
    let mut tables = Vec::new();
    if !caches.capacity.is_empty() {
        let mut capacity = vec![header(&["Policy"])];
        capacity.extend(caches.capacity.iter().map(|r| {
            // The one without limit is as large as there are blocks.
            let size = if r.policy == "infinite" { report.unique_blocks.accuracy } else { Accuracy::Exact };
            row(vec![r.policy.to_owned()], r, size)
        }));
        tables.push(capacity);
    }
    if !report.targets.value.is_empty() {
        let mut targets = vec![header(&["Target", "Policy"])];
        targets.extend(report.targets.value.iter().map(|target| {
            let name = vec![format!("{} %", target.share * 100.0), target.row.policy.to_owned()];
            row(name, &target.row, report.targets.accuracy)
        }));
        tables.push(targets);
    }
    tables.extend(ttls(report, digits));
    tables.extend(recorded::tables(report, digits));
    tables.extend(misses::tables(report, digits));
    tables.extend(engines(report, digits));
    tables.extend(checks(report, digits));
    tables.extend(servers(report, digits));
    tables
}

/// The table of caches whose blocks expire, if asked for.
fn ttls(report: &Report, digits: Digits) -> Option<Cells> {
    let rows = &report.ttls.value;
    rows.first()?;
    let has_sizes = rows.iter().any(|row| row.capacity_blocks.is_some());
    let header = ["Time to Live"].into_iter().chain(has_sizes.then_some("Blocks"));
    let header = header.chain(["Hit Tokens", "Token Hit Rate", "Prefill Saving"]);
    let has_work = rows.iter().any(|row| row.work.is_some());
    let header = header.chain(work_columns(has_work, digits).iter().copied());
    let header = header.chain(report.price.iter().flat_map(|_| price::COLUMNS));
    let mut cells = vec![header.map(str::to_owned).collect::<Vec<_>>()];
    cells.extend(rows.iter().map(|row| {
        let mut cells = vec![row.ttl().to_string()];
        let blocks = row.capacity_blocks.map_or_else(|| "no limit".into(), |blocks| digits.count(blocks));
        cells.extend(has_sizes.then_some(blocks));
        let accuracy = report.ttls.accuracy;
        cells.extend(hit_cells(row.hits, accuracy, digits));
        cells.extend(row.work.iter().flat_map(|work| prefill_work(work, accuracy, digits)));
        cells.extend(price::cells(row.cost, accuracy, digits));
        cells
    }));
    Some(cells)
}

/// The table of what else happened in the caches of engines, if there are any.
fn engines(report: &Report, digits: Digits) -> Option<Cells> {
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
        let mut cells = vec![row.policy.to_owned(), digits.count(row.capacity_blocks), digits.count(refused)];
        if let Some(load) = row.load {
            cells.extend([digits.count(load.preempted_requests), digits.count(load.preempted_hit_tokens)]);
            let alone = Hits { hit_tokens: load.sequential_hit_tokens, ..row.hits };
            cells.extend([hit_cells(alone, row.accuracy, digits)[1].clone(), digits.real(load.mean_running)]);
        } else {
            cells.resize(if is_loaded { 7 } else { 3 }, "-".into());
        }
        cells
    }));
    Some(cells)
}

/// The table of what servers recorded beside what is predicted, if asked for.
fn checks(report: &Report, digits: Digits) -> Option<Cells> {
    let header = ["Cache", "Requests", "Counted", "Predicted", "Differing Requests", "First Line"];
    let about = |check: &HitCheck| mark(check.accuracy.loosely());
    report.checks.first()?;
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(report.checks.iter().map(|check| {
        vec![
            check.cache.clone(),
            digits.count(check.requests),
            digits.count(check.counted_tokens),
            format!("{}{}", mark(check.accuracy), digits.count(check.predicted_tokens)),
            format!("{}{}", about(check), digits.count(check.differing_requests)),
            check
                .first_line
                .map_or_else(|| "-".into(), |line| format!("{}{}", about(check), digits.count(line))),
        ]
    }));
    Some(cells)
}

/// The table of what servers counted beside what is predicted for each cache, if that is given.
fn servers(report: &Report, digits: Digits) -> Option<Cells> {
    report.servers.first()?;
    let header = ["Server", "Counted", "Of", "Rate", "Cache", "Predicted", "Of", "Rate", "Difference"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    let rate =
        |hits: Hits, mark: &str| hits.rate().map_or_else(|| "-".into(), |rate| format!("{mark}{rate:.6}"));
    for server in &report.servers {
        for row in report.caches.iter().flat_map(|caches| &caches.capacity) {
            let mark = mark(row.accuracy);
            let difference = row.hits.hit_tokens as i128 - server.hits.hit_tokens as i128;
            let sign = if difference < 0 { '-' } else { '+' };
            cells.push(vec![
                server.server.to_owned(),
                digits.count(server.hits.hit_tokens),
                digits.count(server.hits.tokens),
                rate(server.hits, ""),
                row.name(),
                format!("{mark}{}", digits.count(row.hits.hit_tokens)),
                digits.count(row.hits.tokens),
                rate(row.hits, mark),
                format!("{mark}{sign}{}", digits.count(difference.unsigned_abs())),
            ]);
        }
    }
    Some(cells)
}

/// The table of shared prefixes, if asked for.
pub(super) fn prefixes(report: &Report, digits: Digits) -> Option<Cells> {
    let figures = report.prefixes.value.as_ref()?;
    let mark = mark(report.prefixes.accuracy);
    let count = |value: u64| format!("{mark}{}", digits.count(value));
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
            digits.count(row.blocks),
            digits.count(row.tokens),
            count(row.requests),
            format!("{mark}{}", digits.count(row.saved_tokens)),
            count(row.first_line),
            count(row.last_line),
            match digits {
                Digits::All => format!("{mark}{} s", row.longest_pause_ms / 1000.0),
                Digits::Few => format!("{mark}{} s", rounded(row.longest_pause_ms / 1000.0)),
            },
        ]
    }));
    Some(cells)
}

/// The figures of each shared prefix by their names in JSON, after its id.
pub(super) fn prefix_rows(report: &Report) -> Vec<(u64, [(&'static str, Number); 7])> {
    let rows = report.prefixes.value.iter().flat_map(|prefixes| &prefixes.rows);
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

/// A finite cache.
pub(super) struct Served {
    /// Its kind: `capacity`, `target` or `ttl`.
    pub(super) kind: &'static str,
    /// Its name (`lru:1000`).
    pub(super) name: String,
    /// What it served.
    pub(super) hits: Hits,
    /// Further figures by their names in JSON.
    pub(super) figures: Vec<(&'static str, Number)>,
}

/// A cache of a policy and a capacity.
pub(super) fn served_row(row: &CapacityRow) -> Served {
    named("capacity", cache_name(row), row)
}

fn named(kind: &'static str, name: String, row: &CapacityRow) -> Served {
    let more = [("below_opt", row.below_opt), ("standard_error", row.accuracy.standard_error())];
    let bytes = row.capacity_bytes.map(|bytes| ("capacity_bytes", Number::Count(bytes)));
    let tokens = row.capacity_tokens.map(|tokens| ("capacity_tokens", Number::Count(tokens.into())));
    let mut figures: Vec<_> = tokens.into_iter().chain(bytes).collect();
    figures.extend(further_figures(row.work.as_ref(), row.cost));
    figures.extend(row.refused_requests.map(|requests| ("refused_requests", Number::Count(requests.into()))));
    figures.extend(row.load.iter().flat_map(load_figures));
    figures.extend(more.into_iter().filter_map(|(name, value)| Some((name, Number::Real(value?)))));
    Served { kind, name, hits: row.hits, figures }
}

/// What else happened in an engine under load.
fn load_figures(load: &LoadFigures) -> impl Iterator<Item = (&'static str, Number)> {
    let figures = [
        ("preempted_requests", Number::Count(load.preempted_requests.into())),
        ("preempted_tokens", Number::Count(load.preempted_tokens)),
        ("preempted_hit_tokens", Number::Count(load.preempted_hit_tokens)),
        ("sequential_hit_tokens", Number::Count(load.sequential_hit_tokens)),
        ("steps", Number::Count(load.steps.into())),
        ("mean_running", Number::Real(load.mean_running)),
    ];
    figures.into_iter().chain(load.simulated_s.map(|seconds| ("simulated_s", Number::Real(seconds))))
}

/// What is left to compute, where a model is known, and what requests cost, where prices are.
fn further_figures(work: Option<&PrefillWork>, cost: Option<Cost>) -> Vec<(&'static str, Number)> {
    prefill_figures(work).chain(cost.into_iter().flat_map(price::numbers)).collect()
}

/// What is left to compute, where a model is known.
pub(super) fn prefill_figures(work: Option<&PrefillWork>) -> impl Iterator<Item = (&'static str, Number)> {
    let saving = work.and_then(|work| work.prefill_saving_compute);
    let figures = [
        ("prefill_flops", work.map(|work| Number::Count(work.prefill_flops))),
        ("prefill_saving_compute", saving.map(Number::Real)),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// `lru:1000`.
pub(super) fn cache_name(row: &CapacityRow) -> String {
    format!("{}:{}", row.policy, row.capacity_blocks)
}

/// Every finite cache.
pub(super) fn served(report: &Report) -> Vec<Served> {
    let Some(caches) = &report.caches else { return Vec::new() };
    let capacity = caches.capacity.iter().map(served_row);
    let targets = report.targets.value.iter();
    let targets = targets.map(|t| named("target", format!("{}={}", t.share, cache_name(&t.row)), &t.row));
    let ttls = report.ttls.value.iter().map(|t| Served {
        kind: "ttl",
        name: ttl_name(t),
        hits: t.hits,
        figures: further_figures(t.work.as_ref(), t.cost),
    });
    capacity.chain(targets).chain(ttls).collect()
}

/// `60000ms`, `fixed:60000ms`, `60000ms:1000`.
fn ttl_name(row: &TtlRow) -> String {
    let fixed = if row.fixed { "fixed:" } else { "" };
    let capacity = row.capacity_blocks.map_or_else(String::new, |blocks| format!(":{blocks}"));
    format!("{fixed}{}ms{capacity}", row.ttl_ms)
}

/// The columns of what is left to compute. A table for people has room for one.
pub(super) fn work_columns(has_work: bool, digits: Digits) -> &'static [&'static str] {
    match digits {
        _ if !has_work => &[],
        Digits::All => &["In Compute", "Prefill FLOPs"],
        Digits::Few => &["In Compute"],
    }
}

/// The saving in compute, and if there is room what is left; marked where hits are lower bounds.
pub(super) fn prefill_work(work: &PrefillWork, accuracy: Accuracy, digits: Digits) -> Vec<String> {
    let saving = work.prefill_saving_compute;
    let saving = saving.map_or_else(|| "-".into(), |saving| digits.real(saving));
    let flops = format!("{}{}", mark(accuracy.reversed()), work.prefill_flops);
    let cells = [format!("{}{saving}", mark(accuracy)), flops];
    cells.into_iter().take(work_columns(true, digits).len()).collect()
}

/// Hit tokens, rate and saving; marked where they are lower bounds.
pub(super) fn hit_cells(hits: Hits, accuracy: Accuracy, digits: Digits) -> [String; 3] {
    let mark = mark(accuracy);
    let number = |x: Option<f64>| x.map_or_else(|| "-".into(), |x| format!("{mark}{}", digits.real(x)));
    let tokens = format!("{mark}{}", digits.count(hits.hit_tokens));
    [tokens, number(hits.rate()), number(hits.prefill_saving())]
}
