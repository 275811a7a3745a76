//! What servers recorded beside what is possible, and what it costs, against their definitions.

use std::collections::HashSet;
use std::fmt::Write;

use crate::support::{run, run_in, scratch, write};
use kvtrace::record::Record;
use kvtrace::stats::{Analysis, AnalysisOptions, Comparison, HitUnit, Price, Report, Ttl};
use proptest::prelude::*;
use serde_json::Value;

const BLOCK: u64 = 20;

/// A request: tokens, ids, generated tokens, what the server counted and found, if it says so.
#[derive(Clone, Debug)]
struct Logged {
    input: u64,
    ids: Vec<u64>,
    output: u64,
    recorded: Option<(u64, u64)>,
    time: f64,
}

fn logged() -> impl Strategy<Value = Vec<Logged>> {
    let one = (
        prop::collection::vec(0..3u64, 1..8),
        0..BLOCK,
        0..50u64,
        prop::option::of((0..30u64, 0..200u64)),
        0..3_000_000u64,
    );
    prop::collection::vec(one, 1..40).prop_map(|list| {
        let mut time = 0.0;
        let one = |(path, cut, output, recorded, wait): (Vec<u64>, u64, u64, Option<(u64, u64)>, u64)| {
            let input = path.len() as u64 * BLOCK - cut;
            let ids: Vec<u64> = (1..=path.len())
                .map(|end| {
                    let id = path[..end].iter().fold(1, |id, step| id * 4 + step);
                    id * 100 + if end == path.len() { cut } else { 0 }
                })
                .collect();
            time += wait as f64;
            let recorded = recorded.map(|(more, found)| (input + more, found.min(input + more)));
            Logged { input, ids, output, recorded, time }
        };
        list.into_iter().map(one).collect()
    })
}

fn report(requests: &[Logged], set: impl FnOnce(&mut AnalysisOptions)) -> Report {
    let mut options = AnalysisOptions::default();
    set(&mut options);
    let mut analysis = Analysis::new(BLOCK, options);
    for (request, line) in requests.iter().zip(1..) {
        let record = Record {
            line,
            timestamp: Some(request.time),
            input_length: request.input,
            output_length: Some(request.output),
            recorded_input_length: request.recorded.map(|(counted, _)| counted),
            cached_tokens: request.recorded.map(|(_, found)| found),
            has_ids: true,
            hash_ids: request.ids.clone(),
            ..Record::default()
        };
        analysis.add(&record).unwrap();
    }
    analysis.report(&[])
}

/// Tokens that a cache of so many blocks serves to each request, least recently used, from a list.
fn hits(requests: &[Logged], capacity: usize, ttl: f64, served: impl Fn(u64) -> u64) -> Vec<u64> {
    let mut cache: Vec<(u64, f64)> = Vec::new();
    let one = |request: &Logged| {
        let is_there = |id: &&u64| cache.iter().any(|(of, last)| of == *id && request.time - last <= ttl);
        let blocks = request.ids.iter().take_while(is_there).count() as u64;
        for &id in request.ids.iter().rev() {
            cache.retain(|(of, _)| *of != id);
            cache.insert(0, (id, request.time));
        }
        cache.truncate(capacity);
        served((blocks * BLOCK).min(request.input))
    };
    requests.iter().map(one).collect()
}

/// The comparison of one request after the other, by the definition.
fn compared(requests: &[Logged], warmup: usize) -> Comparison {
    let mut sum = Comparison::default();
    let mut ever: HashSet<u64> = HashSet::new();
    for (index, request) in requests.iter().enumerate() {
        let blocks = request.ids.iter().take_while(|id| ever.contains(id)).count() as u64;
        let possible = (blocks * BLOCK).min(request.input);
        let engine = (blocks.min((request.input - 1) / BLOCK)) * BLOCK;
        ever.extend(&request.ids);
        let Some((counted, found)) = request.recorded.filter(|_| index >= warmup) else { continue };
        sum.requests += 1;
        sum.input_tokens += u128::from(counted);
        sum.found_tokens += u128::from(found);
        sum.possible_tokens += u128::from(possible);
        // Token by token: those that are possible and not found are lost by rule where an engine leaves them.
        for token in found..possible {
            if token < engine { sum.evicted_tokens += 1 } else { sum.rules_tokens += 1 }
        }
        sum.above_possible_tokens += u128::from(found.saturating_sub(possible));
        sum.below_possible_tokens += u128::from(possible.saturating_sub(found));
        sum.above_possible_requests += u64::from(found > possible);
        sum.below_possible_requests += u64::from(found < possible);
        let next_block = if blocks < request.ids.len() as u64 { BLOCK - 1 } else { 0 };
        sum.beyond_block_requests += u64::from(found > (possible + next_block).min(request.input));
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn recorded_hits_are_compared_as_defined(requests in logged(), warmup in 0..4usize) {
        let report = report(&requests, |options| {
            options.caches.capacities = vec![3, 10];
            options.caches.ttls = vec![Ttl::Sliding(1_000_000)];
            options.caches.warmup = warmup as u64;
        });
        let expected = compared(&requests, warmup);
        prop_assert_eq!(report.recorded.is_some(), requests.iter().any(|r| r.recorded.is_some()));
        let Some(recorded) = report.recorded else { return Ok(()) };
        prop_assert_eq!(recorded.compared.unwrap_or_default(), expected);
        // Found is possible less what is lost, and what is above.
        let found = expected.possible_tokens - expected.evicted_tokens - expected.rules_tokens;
        prop_assert_eq!(found + expected.above_possible_tokens, expected.found_tokens);
        if recorded.compared.is_none() {
            return Ok(());
        }
        let sum = |capacity, ttl| -> u128 {
            let hits = hits(&requests, capacity, ttl, |tokens| tokens);
            let compared = requests.iter().zip(hits).skip(warmup).filter(|(request, _)| request.recorded.is_some());
            compared.map(|(_, hits)| u128::from(hits)).sum()
        };
        let far = f64::INFINITY;
        let expected = [
            ("lru:3".to_owned(), sum(3, far)),
            ("lru:10".to_owned(), sum(10, far)),
            ("ttl:1000000ms".to_owned(), sum(usize::MAX, 1e6)),
            ("infinite".to_owned(), sum(usize::MAX, far)),
        ];
        let caches: Vec<_> = recorded.caches.iter().map(|c| (c.cache.clone(), c.hit_tokens)).collect();
        prop_assert_eq!(caches, expected.to_vec());
        // By hour they add up, and each one begins when it says.
        let mut all = Comparison::default();
        for hour in &recorded.hours {
            all += hour.compared;
            prop_assert_eq!((hour.start_ms % 3_600_000.0, hour.length_s), (0.0, 3600.0));
            let within = |time: f64| (hour.start_ms..hour.start_ms + 3_600_000.0).contains(&time);
            let requests = requests.iter().skip(warmup);
            let requests = requests.filter(|request| request.recorded.is_some() && within(request.time));
            prop_assert_eq!(hour.compared.requests, requests.count() as u64);
        }
        prop_assert_eq!(Some(all), recorded.compared);
    }

    #[test]
    fn hits_in_steps_and_their_cost_are_those_of_the_definition(
        requests in logged(), warmup in 0..4usize, min in 0..70u64, step in 1..50u64
    ) {
        let unit = HitUnit::new(min, step);
        let served = |tokens: u64| if tokens < min { 0 } else { min + (tokens - min) / step * step };
        let mut price = Price::default();
        (price.input, price.cached, price.write, price.output) = (3.0, 0.3, 3.75, 15.0);
        let report = report(&requests, |options| {
            options.hit_unit = unit;
            options.price = Some(price);
            options.caches.capacities = vec![0, 1, 3, 10];
            options.caches.ttls = vec![Ttl::Sliding(1_000_000)];
            options.caches.warmup = warmup as u64;
            options.caches.targets = vec![0.5];
            options.caches.misses = true;
        });
        let measured = &requests[warmup.min(requests.len())..];
        // Every token of every request has a price.
        let bill = |hits: &[u64]| -> f64 {
            let one = |(request, &hit): (&Logged, &u64)| {
                let written = served(request.input) - hit;
                let plain = request.input - hit - written;
                hit as f64 * 0.3 + written as f64 * 3.75 + plain as f64 * 3.0 + request.output as f64 * 15.0
            };
            measured.iter().zip(hits).map(one).sum::<f64>() / 1e6
        };
        let without = measured.iter().map(|r| r.input as f64 * 3.0 + r.output as f64 * 15.0).sum::<f64>() / 1e6;
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let figures = report.price.unwrap();
        prop_assert!(near(figures.cost_without_cache, without));
        let check = |hit_tokens: u128, cost: kvtrace::stats::Cost, capacity, ttl| {
            let hits = &hits(&requests, capacity, ttl, served)[warmup.min(requests.len())..];
            prop_assert_eq!(hit_tokens, hits.iter().map(|&hit| u128::from(hit)).sum::<u128>());
            prop_assert!(near(cost.cost, bill(hits)), "{} {}", cost.cost, bill(hits));
            prop_assert!(near(cost.saving, without - bill(hits)));
            Ok(())
        };
        for row in &report.caches.as_ref().unwrap().capacity {
            let capacity = if row.policy == "infinite" { usize::MAX } else { row.capacity_blocks as usize };
            check(row.hits.hit_tokens, row.cost.unwrap(), capacity, f64::INFINITY)?;
        }
        let ttl = &report.ttls.value[0];
        check(ttl.hits.hit_tokens, ttl.cost.unwrap(), usize::MAX, 1e6)?;
        let target = &report.targets.value[0].row;
        check(target.hits.hit_tokens, target.cost.unwrap(), target.capacity_blocks as usize, f64::INFINITY)?;
        for row in &report.misses.value.unwrap().rows {
            let capacity = row.capacity_blocks.map_or(usize::MAX, |blocks| blocks as usize);
            let hits = hits(&requests, capacity, row.ttl_ms.map_or(f64::INFINITY, |ttl| ttl as f64), served);
            let hits: u128 = hits.iter().skip(warmup).map(|&hit| u128::from(hit)).sum();
            prop_assert_eq!(row.fates.hit, hits, "{}", row.name());
            let parts: u128 = row.fates.parts().iter().map(|(_, tokens)| tokens).sum();
            prop_assert_eq!(parts, row.fates.tokens);
        }
        if let Some(recorded) = &report.recorded {
            let (mut all, mut cost) = (0.0, 0.0);
            for (request, (counted, found)) in requests.iter().filter_map(|r| Some((r, r.recorded?))) {
                let written = served(counted).max(found) - found;
                cost += found as f64 * 0.3 + written as f64 * 3.75 + request.output as f64 * 15.0;
                cost += (counted - found).saturating_sub(written) as f64 * 3.0;
                all += counted as f64 * 3.0 + request.output as f64 * 15.0;
            }
            // Where a server found more than steps allow, sums over all requests may even out.
            let found_fits = requests.iter().filter_map(|r| r.recorded).all(|(counted, found)| found <= served(counted));
            if found_fits {
                let found = recorded.cost.unwrap();
                prop_assert!(near(found.cost, cost / 1e6) && near(found.saving, (all - cost) / 1e6));
            }
        }
    }
}

/// Three requests of the same prompt, one of a longer one that the server knew, one of a short one.
const TRACE: &str = "\
{\"timestamp\": 0, \"input_length\": 1300, \"output_length\": 10, \"hash_ids\": [1, 2, 3], \"cached_tokens\": 0, \"user\": 1}
{\"timestamp\": 1000, \"input_length\": 1300, \"output_length\": 10, \"hash_ids\": [1, 2, 3], \"cached_tokens\": 1024, \"user\": 1}
{\"timestamp\": 3601000, \"input_length\": 1300, \"output_length\": 10, \"hash_ids\": [1, 2, 3], \"cached_tokens\": 0, \"user\": 2}
{\"timestamp\": 3602000, \"input_length\": 1536, \"output_length\": 10, \"hash_ids\": [1, 4, 5], \"cached_tokens\": 1100, \"user\": 2}
";

const PRICE: &str = "input=3,cached=0.3,write=3.75,output=15";

#[test]
fn every_format_says_what_was_found_possible_and_paid() {
    let folder = scratch();
    let trace = write(folder.path(), "trace.jsonl", TRACE);
    let of = |format: &str| {
        let args = ["-c", "4", "--ttl", "5m", "--price", PRICE, "-f", format, &trace];
        run_in(folder.path(), "trace-stats", &args, "").ok()
    };
    for (format, texts) in [
        (
            "table",
            &[
                "Of the prompt tokens: found 0.391, possible 0.572, gone or elsewhere 0.188, block rules 0.102, above possible 0.108.",
                "In 1 of 4 requests (25.0 %) the server found more",
                "Cost: ",
                "From, by 1 h",
                "by lru:4",
                "Saving Rate",
            ][..],
        ),
        (
            "csv",
            &[
                "recorded,,possible_tokens,3112\n",
                "recorded,lru:4,cost,",
                "recorded_hour,3600000.0,found_tokens,1100\n",
                "ttl,300000ms,cost,",
                "total,,cost_without_cache,",
            ],
        ),
        (
            "markdown",
            &["| above possible | 588 |", "| Cost | Saving | Saving Rate |", "| cost_without_cache |"],
        ),
        (
            "prometheus",
            &[
                "kvtrace_recorded_possible_tokens 3112\n",
                "kvtrace_cache_cost{kind=\"capacity\",cache=\"lru:4\"}",
                "kvtrace_recorded_cost ",
            ],
        ),
        (
            "html",
            &[
                "Recorded by the server, and possible",
                "data-tile=\"cost\"",
                "Saving rate",
                "found 0.391, possible 0.572",
            ],
        ),
        (
            "json",
            &[
                "\"possible_tokens\": 3112",
                "\"above_possible_requests\": 1",
                "\"first_beyond_line\": 4",
                "\"cost_without_cache\"",
                "\"saving_rate\"",
            ],
        ),
    ] {
        let found = of(format);
        for text in texts {
            assert!(
                found.replace("\n  ", " ").contains(text) || found.contains(text),
                "{format}: {text}\n{found}"
            );
        }
    }
    let by = run("trace-stats", &["--price", PRICE, "-c", "4", "--by", "user"], TRACE).ok();
    assert!(by.contains("By user, cost with caches"), "{by}");
}

#[test]
fn a_cost_is_that_of_its_parts() {
    let args = ["-c", "4", "--price", PRICE, "-f", "json"];
    let report: Value = serde_json::from_str(&run("trace-stats", &args, TRACE).ok()).unwrap();
    // 5,436 prompt tokens, 40 generated ones; 1300 + 1300 + 512 from the cache of four blocks.
    let hit = 3112.0;
    let cost = (hit * 0.3 + (5436.0 - hit) * 3.75 + 40.0 * 15.0) / 1e6;
    let row = &report["capacity"][0];
    assert_eq!((row["hit_tokens"].as_f64(), row["cost"].as_f64()), (Some(hit), Some(cost)));
    assert_eq!(report["price"]["cost_without_cache"], (5436.0 * 3.0 + 40.0 * 15.0) / 1e6);
    let recorded = (2124.0 * 0.3 + (5436.0 - 2124.0) * 3.75 + 40.0 * 15.0) / 1e6;
    assert_eq!(report["recorded"]["cost"], recorded);
}

/// A provider that is told what to cache bills less as written than all that it did not find.
#[test]
fn what_was_written_is_billed_as_the_log_says() {
    let line = |n: u32, usage: &str| {
        format!(
            "{{\"timestamp\": {n}, \"messages\": [{{\"role\": \"user\", \"content\": \"{n} {}\"}}], \"usage\": {usage}}}\n",
            "word ".repeat(40)
        )
    };
    let anthropic = "{\"input_tokens\": 700, \"cache_read_input_tokens\": 200, \"cache_creation_input_tokens\": 100, \"output_tokens\": 10}";
    let details = "{\"prompt_tokens\": 1000, \"prompt_tokens_details\": {\"cached_tokens\": 200, \"cache_write_tokens\": 100}, \"completion_tokens\": 10}";
    let silent = "{\"prompt_tokens\": 1000, \"prompt_tokens_details\": {\"cached_tokens\": 200}, \"completion_tokens\": 10}";
    let report = |usages: &[&str], more: &[&str]| {
        let log: String = (0..).zip(usages).map(|(n, usage)| line(n, usage)).collect();
        let trace = run("trace-hash", &["-q", "-b", "16"], &log).ok();
        let args = [&["-q", "-b", "16", "--price", PRICE], more].concat();
        (run("trace-stats", &args, &trace).ok(), trace)
    };
    let json =
        |usages: &[&str]| -> Value { serde_json::from_str(&report(usages, &["-f", "json"]).0).unwrap() };
    let known = (200.0 * 0.3 + 100.0 * 3.75 + 700.0 * 3.0 + 10.0 * 15.0) / 1e6;
    let assumed = (200.0 * 0.3 + 800.0 * 3.75 + 10.0 * 15.0) / 1e6;
    for usage in [anthropic, details] {
        let recorded = &json(&[usage])["recorded"];
        assert_eq!(recorded["cost"].as_f64(), Some(known));
        assert_eq!((&recorded["write_requests"], &recorded["write_tokens"]), (&1.into(), &100.into()));
    }
    let both = &json(&[anthropic, silent])["recorded"];
    assert!((both["cost"].as_f64().unwrap() - known - assumed).abs() < 1e-12, "{both}");
    assert!(json(&[silent])["recorded"]["write_tokens"].is_null());

    // Where it is assumed, the report says so; and what the same requests cost without a cache.
    let (text, trace) = report(&[anthropic, silent, "{}"], &[]);
    let text = text.replace("\n  ", " ");
    assert!(
        text.contains("of these 2 requests), if it wrote to its cache all that it did not find there"),
        "{text}"
    );
    let (text, _) = report(&[anthropic], &[]);
    assert!(!text.contains("if it wrote"), "{text}");

    // Pieces carry it.
    let folder = scratch();
    let piece = write(folder.path(), "piece", run("trace-stats", &["-q", "-b16", "--partial"], &trace).ok());
    let merged = run("trace-stats", &["-q", "--merge", "--price", PRICE, "-f", "json", &piece], "").ok();
    let merged: Value = serde_json::from_str(&merged).unwrap();
    assert_eq!(&merged["recorded"]["cost"], &both["cost"]);
}

#[test]
fn a_server_that_finds_part_of_a_block_is_not_said_to_have_other_ids() {
    let trace = "{\"input_length\": 1024, \"hash_ids\": [1, 2], \"cached_tokens\": 0}\n\
                 {\"input_length\": 1024, \"hash_ids\": [1, 3], \"cached_tokens\": 640}\n";
    let table = run("trace-stats", &[], trace).ok().replace("\n  ", " ");
    assert!(table.contains("its blocks are smaller than those of the trace"), "{table}");
    assert!(!table.contains("tokenizer"), "{table}");
}

#[test]
fn prices_are_read_or_refused_by_name() {
    for (price, text) in [
        ("3", "is not a list of prices"),
        ("input=3", "lacks the price of cached tokens"),
        ("cached=3", "lacks the price of input"),
        ("input=3,cached=0.3,writes=1", "has a price of 'writes'"),
        ("input=3,cached=-1", "has a price that is not between 0 and 1e9"),
        ("input=3,cached=0.3,cached=0.2", "has two prices of 'cached'"),
        ("input=3,cached=4", "has cached tokens that cost more than others"),
        ("input=3,cached=x", "is not a finite number"),
    ] {
        let ran = run("trace-stats", &["--price", price], TRACE);
        assert_eq!(ran.status, Some(2), "{price}");
        assert!(ran.stderr.contains(text), "{price}: {}", ran.stderr);
    }
    for args in [
        &["--price", "input=3,cached=1", "--window", "2req"][..],
        &["--price", "input=3,cached=1", "--partial"],
        &["--min-hit", "1024", "--policy", "vllm", "-c", "4"],
        &["--hit-step", "128", "--top", "3"],
        &["--hit-step", "128", "--tiers", "a=9"],
    ] {
        assert_eq!(run("trace-stats", args, TRACE).status, Some(2), "{args:?}");
    }
}

#[test]
fn hours_beyond_a_thousand_are_joined() {
    let mut trace = String::new();
    for hour in 0..1500_u64 {
        let time = hour * 3_600_000;
        writeln!(
            trace,
            "{{\"timestamp\": {time}, \"input_length\": 512, \"hash_ids\": [1], \"cached_tokens\": 0}}"
        )
        .unwrap();
    }
    let report: Value = serde_json::from_str(&run("trace-stats", &["-f", "json"], &trace).ok()).unwrap();
    let hours = report["recorded"]["hours"].as_array().unwrap();
    assert_eq!((hours.len(), hours[0]["length_s"].as_f64()), (750, Some(7200.0)));
    let table = run("trace-stats", &[], &trace).ok();
    assert!(table.contains("From, by 64 h"), "{table}");
}
