//! `trace-stats` against the definitions, on random traces of every kind of numbering.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use kvtrace::record::Record;
use kvtrace::stats::{Analysis, Report, Summary};
use proptest::prelude::*;
use support::naive::{self, Request};

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
    let mut analysis = Analysis::new(BLOCK);
    for r in requests {
        let record = Record {
            input_length: r.input,
            output_length: Some(r.output),
            has_ids: true,
            hash_ids: r.ids.clone(),
            ..Record::default()
        };
        analysis.add(&record).unwrap();
    }
    analysis.report(&[0.0, 25.0, 50.0, 75.0, 99.0, 100.0])
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs().max(1e-3)
}

fn same(report: &Report, figures: &naive::Figures) -> Result<(), TestCaseError> {
    let totals = [
        ("requests", report.requests as f64),
        ("blocks", report.blocks as f64),
        ("unique_blocks", report.unique_blocks as f64),
        ("shared_blocks", report.shared_blocks as f64),
        ("prefix_groups", report.prefix_groups as f64),
        ("input_tokens", report.input_tokens as f64),
        ("output_tokens", report.output_tokens as f64),
        ("cached_tokens", report.cached_tokens as f64),
        ("token_hit_rate", report.token_hit_rate.unwrap_or(f64::NAN)),
        ("block_hit_rate", report.block_hit_rate.unwrap_or(f64::NAN)),
    ];
    for (name, ours) in totals {
        let theirs = figures.totals[name];
        prop_assert!(ours == theirs || (ours.is_nan() && theirs.is_nan()), "{name}: {ours} {theirs}");
    }
    let columns: [(&str, &Option<Summary>); 6] = [
        ("input_length", &report.input_length),
        ("context_length", &report.context_length),
        ("unique_prompt_length", &report.unique_prompt_length),
        ("output_length", &report.output_length),
        ("hit_rate", &report.hit_rate),
        ("cached_length", &report.cached_length),
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
    #![proptest_config(ProptestConfig::with_cases(1000))]

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
}
