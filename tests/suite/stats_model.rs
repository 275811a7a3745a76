//! `trace-stats` against the definitions, on random traces of every kind of numbering.

use crate::support::naive::{self, Request};
use crate::support::policies;
use kvtrace::record::Record;
use kvtrace::stats::{Analysis, AnalysisOptions, CapacityRow, HitRule, Policy, Report, Summary, Ttl};
use proptest::prelude::*;

const BLOCK: u64 = 4;

/// How the blocks of a random forest are named.
#[derive(Clone, Copy, Debug)]
enum Ids {
    /// 0, 1, 2, ... in the order of first appearance.
    Dense,
    /// In that order with gaps.
    Gaps,
    /// Scattered over 64 bits.
    Random,
    /// Dense at first, scattered later.
    Late,
    /// Dense with every seventh block scattered.
    Mixed,
}

fn name(ids: Ids, number: u64) -> u64 {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0;
    match ids {
        Ids::Dense => number,
        Ids::Gaps => number + number / 3 * 5,
        Ids::Late if number < 40 => number,
        Ids::Mixed if !number.is_multiple_of(7) => number,
        Ids::Random | Ids::Late | Ids::Mixed => scattered,
    }
}

/// Requests that walk a random forest: each choice below 3 takes that child of the current block.
fn forest(paths: &[(Vec<u8>, u64, u64)], ids: Ids) -> Vec<Request> {
    let mut numbers = std::collections::HashMap::new();
    let mut requests = Vec::new();
    for (path, cut, output) in paths {
        let mut request = Request { input: 0, output: *output, ids: Vec::new() };
        for end in 1..=path.len() {
            // A partial last block is another block than the full one.
            let partial = if end == path.len() { *cut } else { 0 };
            let next = numbers.len() as u64;
            let number = *numbers.entry((path[..end].to_vec(), partial)).or_insert(next);
            request.ids.push(name(ids, number));
            request.input += BLOCK - partial;
        }
        requests.push(request);
    }
    requests
}

/// Requests of arbitrary ids: equal ids may follow different ones, or stand twice in a request.
fn no_forest(lists: &[(Vec<u8>, u64, u64)], ids: Ids) -> Vec<Request> {
    let request = |(list, cut, output): &(Vec<u8>, u64, u64)| Request {
        input: (list.len() as u64 * BLOCK).saturating_sub(*cut),
        output: *output,
        ids: list.iter().map(|&i| name(ids, u64::from(i) * 17)).collect(),
    };
    lists.iter().map(request).collect()
}

fn report(requests: &[Request]) -> Report {
    report_with(requests, &[], AnalysisOptions::default())
}

/// The default analysis, but for what `set` changes.
fn analysis(set: impl FnOnce(&mut AnalysisOptions)) -> AnalysisOptions {
    let mut options = AnalysisOptions::default();
    set(&mut options);
    options
}

/// The report of requests at the given times.
fn report_with(requests: &[Request], times: &[f64], options: AnalysisOptions) -> Report {
    let mut analysis = Analysis::new(BLOCK, options);
    for (index, r) in requests.iter().enumerate() {
        let priority = Some(policies::priority(index));
        let record = Record { line: index as u64 + 1, priority, ..record(r, times.get(index).copied()) };
        analysis.add(&record).unwrap();
    }
    analysis.report(&PERCENTILES)
}

const PERCENTILES: [f64; 6] = [0.0, 25.0, 50.0, 75.0, 99.0, 100.0];

fn record(r: &Request, timestamp: Option<f64>) -> Record {
    Record {
        timestamp,
        input_length: r.input,
        output_length: Some(r.output),
        has_ids: true,
        hash_ids: r.ids.clone(),
        ..Record::default()
    }
}

/// With little memory, figures must be the bounds that they are said to be, and small caches exact.
fn bounded(requests: &[Request], budget: usize) -> Result<(), TestCaseError> {
    let exact = naive::analyse(requests, BLOCK);
    let capacities: Vec<u64> = (0..=requests.len() as u64 * 2).collect();
    let options = analysis(|o| {
        o.caches.capacities = capacities;
        o.caches.ttls = vec![Ttl::Sliding(1000)];
        o.budget = Some(budget);
    });
    let found = report_with(requests, &[], options);
    let bound = found.bound.clone().unwrap_or_default();
    for row in &found.caches.unwrap().capacity {
        let expected = u128::from(naive::lru(requests, row.capacity_blocks as usize, BLOCK, 0, false));
        if bound.exact_capacity_blocks.is_none_or(|exact| row.capacity_blocks <= exact) {
            prop_assert_eq!(row.hits.hit_tokens, expected, "{:?} {:?}", row, bound);
        } else {
            prop_assert!(row.hits.hit_tokens <= expected, "{:?} {:?}", row, bound);
        }
    }
    let mean = |name: &str| naive::mean(&exact.values[name]);
    let ours = |summary: &Option<Summary>| summary.as_ref().unwrap().mean;
    prop_assert_eq!(ours(&found.input_length.value), mean("input_length"));
    prop_assert!(ours(&found.context_length.value) <= mean("context_length") + 1e-9);
    prop_assert!(ours(&found.unique_prompt_length.value) >= mean("unique_prompt_length") - 1e-9);
    prop_assert!(found.cached_tokens.value as f64 <= exact.totals["cached_tokens"]);
    prop_assert!(found.unique_blocks.value as f64 >= exact.totals["unique_blocks"]);
    if found.bound.is_none() {
        same(&report(requests), &exact)?;
    } else if bound.forgotten_blocks == 0 {
        prop_assert_eq!(found.cached_tokens.value as f64, exact.totals["cached_tokens"]);
        prop_assert_eq!(found.unique_blocks.value as f64, exact.totals["unique_blocks"]);
        prop_assert_eq!(found.shared_blocks.value as f64, exact.totals["shared_blocks"]);
        prop_assert_eq!(found.prefix_groups.value as f64, exact.totals["prefix_groups"]);
    }
    Ok(())
}

/// Compares the hits at every capacity, and of expiring caches, with naive simulations.
fn same_caches(requests: &[Request], warmup: usize, hit_rule: HitRule) -> Result<(), TestCaseError> {
    let distinct: std::collections::HashSet<u64> = requests.iter().flat_map(|r| r.ids.clone()).collect();
    let capacities: Vec<u64> = (0..distinct.len() as u64 + 3).collect();
    let mut rng = fastrand::Rng::with_seed(requests.len() as u64);
    let times: Vec<f64> =
        requests.iter().scan(0, |t, _| Some((*t as f64, *t += rng.i64(-3..20)).0)).collect();
    let ttls = vec![0, 5, 30, 100];
    let engine = hit_rule == HitRule::Engine;
    let options = analysis(|o| {
        o.caches.capacities.clone_from(&capacities);
        o.caches.targets = vec![0.5, 0.9, 1.0];
        o.caches.ttls = ttls.iter().map(|&ttl| Ttl::Sliding(ttl)).collect();
        o.caches.warmup = warmup as u64;
        o.hit_rule = hit_rule;
    });
    let report = report_with(requests, &times, options);
    let figures = report.caches.unwrap();
    let naive = |capacity| u128::from(naive::lru(requests, capacity, BLOCK, warmup, engine));
    let rows = figures.capacity.iter().filter(|row| row.policy == "lru");
    for (row, &capacity) in rows.zip(&capacities) {
        prop_assert_eq!(row.capacity_blocks, capacity);
        prop_assert_eq!(row.hits.hit_tokens, naive(capacity as usize), "capacity {}", capacity);
    }
    let infinite = figures.capacity.last().unwrap();
    prop_assert_eq!((infinite.policy, infinite.hits.hit_tokens), ("infinite", naive(usize::MAX)));
    for target in report.targets.value {
        let (capacity, hits) = (target.row.capacity_blocks as usize, target.row.hits.hit_tokens);
        let wanted = target.share * infinite.hits.hit_tokens as f64;
        prop_assert_eq!(hits, naive(capacity));
        prop_assert!(hits as f64 >= wanted);
        prop_assert!(capacity == 0 || (naive(capacity - 1) as f64) < wanted);
    }
    if warmup == 0 && !engine {
        let mut rows = report.ttls.value.iter();
        for ttl in ttls {
            let expected = naive::expiring(requests, &times, ttl as f64, BLOCK);
            let row = rows.next().unwrap();
            prop_assert_eq!((row.ttl_ms, row.capacity_blocks), (ttl, None));
            prop_assert_eq!(row.hits.hit_tokens, u128::from(expected), "ttl {}", ttl);
            for &capacity in &capacities {
                let row = rows.next().unwrap();
                prop_assert_eq!((row.ttl_ms, row.capacity_blocks), (ttl, Some(capacity)));
                prop_assert!(row.hits.hit_tokens <= u128::from(expected).min(naive(capacity as usize)));
            }
        }
    }
    Ok(())
}

/// Compares the curves of simulated policies, which are climbed by doubling, with naive caches.
fn same_curves(requests: &[Request], warmup: usize) -> Result<(), TestCaseError> {
    let options = analysis(|o| {
        o.caches.policies = POLICIES.to_vec();
        o.caches.picture = true;
        o.caches.warmup = warmup as u64;
    });
    let figures = report_with(requests, &[], options).caches.unwrap();
    prop_assert!(figures.capacity.is_empty());
    let distinct = figures.infinite.capacity_blocks;
    for policy in POLICIES.iter().map(|policy| policy.name()).filter(|name| !["lru", "opt"].contains(name)) {
        let rows: Vec<_> = figures.curve.iter().filter(|row| row.policy == policy).collect();
        let capacities: Vec<u64> = rows.iter().map(|row| row.capacity_blocks).collect();
        let powers = (0..).map(|power| 1 << power).take_while(|&power| power < distinct);
        let expected: Vec<u64> = powers.chain((distinct > 0).then_some(distinct)).collect();
        let has_curve = !["slru", "wtinylfu"].contains(&policy);
        prop_assert_eq!(capacities, if has_curve { expected } else { Vec::new() });
        for row in rows {
            let expected = simulated(policy, requests, row.capacity_blocks as usize, warmup);
            prop_assert_eq!(row.hits.hit_tokens as u64, expected, "{:?}", row);
        }
    }
    Ok(())
}

/// All that are no engines.
const POLICIES: [Policy; 12] = [
    Policy::Lru,
    Policy::Fifo,
    Policy::Lfu,
    Policy::Opt,
    Policy::Arc,
    Policy::Clock,
    Policy::Gdsf,
    Policy::S3Fifo,
    Policy::Sieve,
    Policy::Slru,
    Policy::WTinyLfu,
    Policy::Priority,
];

/// Hit tokens of a naive cache.
fn simulated(policy: &str, requests: &[Request], capacity: usize, warmup: usize) -> u64 {
    match policy {
        "lru" => naive::lru(requests, capacity, BLOCK, warmup, false),
        "fifo" => naive::fifo(requests, capacity, BLOCK, warmup),
        "lfu" => naive::lfu(requests, capacity, BLOCK, warmup),
        name => {
            let (_, new) = policies::ALL.into_iter().find(|(known, _)| *known == name).unwrap();
            policies::hits(requests, capacity, BLOCK, warmup, new)
        }
    }
}

/// Compares simulated policies with naive ones, and opt with what they reach.
fn same_policies(requests: &[Request], warmup: usize, forest: bool) -> Result<(), TestCaseError> {
    let capacities: Vec<u64> = (0..16).collect();
    let rows = of_policies(requests, &capacities, warmup);
    for capacity in 0..16_usize {
        let of = |policy: &str| {
            let row = rows.iter().find(|r| r.policy == policy && r.capacity_blocks == capacity as u64);
            row.unwrap().hits.hit_tokens as u64
        };
        for policy in POLICIES.iter().map(|policy| policy.name()).filter(|name| *name != "opt") {
            let expected = simulated(policy, requests, capacity, warmup);
            prop_assert_eq!(of(policy), expected, "{} at capacity {}", policy, capacity);
            prop_assert!(!forest || of(policy) <= of("opt"), "{} at capacity {}", policy, capacity);
        }
    }
    Ok(())
}

fn of_policies(requests: &[Request], capacities: &[u64], warmup: usize) -> Vec<CapacityRow> {
    let options = analysis(|o| {
        o.caches.policies = POLICIES.to_vec();
        o.caches.capacities = capacities.to_vec();
        o.caches.warmup = warmup as u64;
    });
    report_with(requests, &[], options).caches.unwrap().capacity
}

/// Compares shared prefixes with their definition.
fn same_prefixes(requests: &[Request]) -> Result<(), TestCaseError> {
    let mut rng = fastrand::Rng::with_seed(requests.len() as u64);
    let times: Vec<f64> =
        requests.iter().scan(0.0, |t, _| Some((*t, *t += f64::from(rng.u32(0..20))).0)).collect();
    let options = analysis(|o| o.top = 1000);
    let report = report_with(requests, &times, options);
    let figures = report.prefixes.value.unwrap();
    let mut ours: Vec<naive::SharedPrefix> = figures
        .rows
        .iter()
        .map(|r| {
            let saved = r.saved_tokens as u64;
            (r.id, r.blocks, r.tokens, r.requests, saved, r.first_line, r.last_line, r.longest_pause_ms)
        })
        .collect();
    prop_assert!(ours.is_sorted_by(|a, b| a.4 >= b.4));
    prop_assert_eq!(ours.iter().map(|row| u128::from(row.4)).sum::<u128>(), report.cached_tokens.value);
    ours.sort_by_key(|row| row.0);
    prop_assert_eq!(ours, naive::shared_prefixes(requests, &times, BLOCK));
    Ok(())
}

/// A sample that holds every block must give the exact figures.
fn same_from_whole_sample(requests: &[Request], warmup: usize) -> Result<(), TestCaseError> {
    let exact = analysis(|o| {
        o.caches.capacities = (0..60).collect();
        o.caches.targets = vec![0.5, 1.0];
        o.caches.warmup = warmup as u64;
    });
    let mut sampled = exact.clone();
    sampled.approx = Some(10_000);
    let (exact, sampled) = (report_with(requests, &[], exact), report_with(requests, &[], sampled));
    let totals = |r: &Report| {
        let blocks = [&r.unique_blocks, &r.shared_blocks, &r.prefix_groups].map(|figure| figure.value);
        (blocks, r.cached_tokens.value, r.blocks, r.input_tokens)
    };
    prop_assert_eq!(totals(&sampled), totals(&exact));
    let errors = sampled.estimate.unwrap().standard_errors;
    prop_assert_eq!((errors.cached_tokens, errors.unique_blocks), (Some(0.0), Some(0.0)));
    let (ours, theirs) = (sampled.caches.unwrap(), exact.caches.unwrap());
    for (ours, theirs) in ours.capacity.iter().zip(&theirs.capacity) {
        prop_assert_eq!((ours.capacity_blocks, ours.hits), (theirs.capacity_blocks, theirs.hits));
    }
    for (ours, theirs) in sampled.targets.value.iter().zip(&exact.targets.value) {
        let same = ours.row.hits.hit_tokens == theirs.row.hits.hit_tokens || theirs.row.capacity_blocks == 0;
        prop_assert!(same, "{:?} {:?}", ours, theirs);
    }
    Ok(())
}

#[test]
fn estimates_are_as_far_off_as_their_standard_errors_say() {
    // Sessions that grow, on two system prompts, with interleaved turns.
    let mut rng = fastrand::Rng::with_seed(11);
    let mut sessions: Vec<Vec<u64>> = Vec::new();
    let mut next = 100;
    let mut requests = Vec::new();
    for _ in 0..3000 {
        if sessions.len() < 20 || rng.u32(0..5) == 0 {
            sessions.push(if rng.bool() { (0..20).collect() } else { (20..50).collect() });
        }
        let from = sessions.len().saturating_sub(60);
        let index = rng.usize(from..sessions.len());
        for _ in 0..rng.u32(1..6) {
            sessions[index].push(next);
            next += 1;
        }
        let ids = sessions[index].clone();
        requests.push(Request { input: ids.len() as u64 * BLOCK, output: 1, ids });
    }
    let options = analysis(|o| o.caches.capacities = vec![100, 500, 2000]);
    let rates = |report: &Report| -> Vec<(f64, f64)> {
        let rows = &report.caches.as_ref().unwrap().capacity;
        rows.iter()
            .map(|row| (row.hits.rate().unwrap(), row.accuracy.standard_error().unwrap_or(0.0)))
            .collect()
    };
    let exact = rates(&report_with(&requests, &[], options.clone()));
    let samples = 30;
    let mut scores = vec![0.0; exact.len()];
    for _ in 0..samples {
        let key = rng.u64(..);
        let mut named = requests.clone();
        for id in named.iter_mut().flat_map(|r| &mut r.ids) {
            *id = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key;
        }
        let mut options = options.clone();
        options.approx = Some(600);
        let found = rates(&report_with(&named, &[], options));
        for ((score, (rate, error)), (exact, _)) in scores.iter_mut().zip(found).zip(&exact) {
            assert!((rate - exact).abs() < 0.03, "{rate} {exact}");
            *score += ((rate - exact) / error).powi(2);
        }
    }
    for score in scores {
        let rms = (score / f64::from(samples)).sqrt();
        assert!((0.4..2.0).contains(&rms), "{rms}");
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs().max(1e-3)
}

fn same(report: &Report, figures: &naive::Figures) -> Result<(), TestCaseError> {
    let totals = [
        ("requests", report.requests as f64),
        ("blocks", report.blocks as f64),
        ("unique_blocks", report.unique_blocks.value as f64),
        ("shared_blocks", report.shared_blocks.value as f64),
        ("prefix_groups", report.prefix_groups.value as f64),
        ("input_tokens", report.input_tokens as f64),
        ("output_tokens", report.output_tokens as f64),
        ("cached_tokens", report.cached_tokens.value as f64),
        ("token_hit_rate", report.token_hit_rate.value.unwrap_or(f64::NAN)),
        ("block_hit_rate", report.block_hit_rate.value.unwrap_or(f64::NAN)),
    ];
    for (name, ours) in totals {
        let theirs = figures.totals[name];
        prop_assert!(ours == theirs || (ours.is_nan() && theirs.is_nan()), "{name}: {ours} {theirs}");
    }
    let columns: [(&str, &Option<Summary>); 6] = [
        ("input_length", &report.input_length.value),
        ("context_length", &report.context_length.value),
        ("unique_prompt_length", &report.unique_prompt_length.value),
        ("output_length", &report.output_length.value),
        ("hit_rate", &report.hit_rate.value),
        ("cached_length", &report.cached_length.value),
    ];
    for (name, summary) in columns {
        let Some(values) = figures.values.get(name) else {
            prop_assert!(summary.is_none(), "{name}");
            continue;
        };
        let summary = summary.as_ref().unwrap();
        prop_assert!(near(summary.mean, naive::mean(values)), "{name}: mean");
        prop_assert!(near(summary.std, naive::deviation(values)), "{name}: std");
        for (&p, &ours) in report.percentiles.iter().zip(&summary.percentiles) {
            prop_assert_eq!(ours, naive::percentile(values, p), "{}: p{}", name, p);
        }
        prop_assert_eq!(summary.min, naive::percentile(values, 0.0));
        prop_assert_eq!(summary.max, naive::percentile(values, 100.0));
    }
    Ok(())
}

fn paths(choices: u8) -> impl Strategy<Value = Vec<(Vec<u8>, u64, u64)>> {
    let path = (prop::collection::vec(0..choices, 0..10), 0..BLOCK, 0..9u64);
    prop::collection::vec(path, 1..60)
}

fn ids() -> impl Strategy<Value = Ids> {
    use Ids::{Dense, Gaps, Late, Mixed, Random};
    prop_oneof![Just(Dense), Just(Gaps), Just(Random), Just(Late), Just(Mixed)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_forest_gives_the_defined_figures(paths in paths(3), ids in ids()) {
        let requests = forest(&paths, ids);
        same(&report(&requests), &naive::analyse(&requests, BLOCK))?;
    }

    #[test]
    fn ids_that_are_no_forest_give_the_defined_figures(lists in paths(20), ids in ids()) {
        let requests = no_forest(&lists, ids);
        same(&report(&requests), &naive::analyse(&requests, BLOCK))?;
    }

    #[test]
    fn shared_prefixes_are_those_of_the_definition(paths in paths(3), ids in ids()) {
        same_prefixes(&forest(&paths, ids))?;
    }

    #[test]
    fn a_sample_of_all_blocks_is_exact(paths in paths(3), ids in ids(), warmup in 0..9usize) {
        same_from_whole_sample(&forest(&paths, ids), warmup)?;
    }

    #[test]
    fn with_little_memory_figures_are_the_bounds_they_are_said_to_be(
        paths in paths(3), ids in ids(), budget in 50..3000usize
    ) {
        bounded(&forest(&paths, ids), budget)?;
    }

    #[test]
    fn with_little_memory_and_no_forest_figures_are_bounds_too(
        lists in paths(40), ids in ids(), budget in 50..3000usize
    ) {
        bounded(&no_forest(&lists, ids), budget)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn policies_are_those_of_simulations_and_none_beats_opt(
        mut paths in paths(3), ids in ids(), warmup in 0..9usize
    ) {
        // Full blocks only: opt serves the most blocks, and a partial one is fewer tokens.
        paths.iter_mut().for_each(|path| path.1 = 0);
        same_policies(&forest(&paths, ids), warmup, true)?;
        same_curves(&forest(&paths, ids), warmup)?;
    }

    #[test]
    fn policies_of_ids_that_are_no_forest_are_those_of_simulations(
        lists in paths(20), ids in ids(), warmup in 0..9usize
    ) {
        same_policies(&no_forest(&lists, ids), warmup, false)?;
        same_curves(&no_forest(&lists, ids), warmup)?;
    }

    #[test]
    fn opt_serves_the_most_blocks_that_any_cache_could(
        paths in prop::collection::vec((prop::collection::vec(0..2u8, 0..4), Just(0), Just(1)), 1..8),
        warmup in 0..4usize,
    ) {
        let requests = forest(&paths, Ids::Dense);
        for row in of_policies(&requests, &[0, 1, 2, 3], warmup).iter().filter(|row| row.policy == "opt") {
            let best = naive::best(&requests, row.capacity_blocks as usize, warmup);
            prop_assert_eq!(row.hits.hit_tokens, u128::from(best * BLOCK), "{:?}", row);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lru_at_every_capacity_is_that_of_a_simulation(
        paths in paths(3), ids in ids(), warmup in 0..9usize, engine in any::<bool>()
    ) {
        let rule = if engine { HitRule::Engine } else { HitRule::Reference };
        same_caches(&forest(&paths, ids), warmup, rule)?;
    }

    #[test]
    fn lru_of_ids_that_are_no_forest_is_that_of_a_simulation(
        lists in paths(20), ids in ids(), warmup in 0..9usize, engine in any::<bool>()
    ) {
        let rule = if engine { HitRule::Engine } else { HitRule::Reference };
        same_caches(&no_forest(&lists, ids), warmup, rule)?;
    }
}
