//! Numbers at their limits: ids beyond what a double holds, sums beyond 64 bits, and the exact figures
//! at the lengths where the ways of counting change.

use std::fmt::Write as _;

use crate::support::naive;
use crate::support::{line, run, scratch, write};
use kvtrace::record::{MAX_LENGTH, Record};
use kvtrace::report;
use kvtrace::stats::{Analysis, AnalysisOptions, EXACT_BELOW};
use serde_json::Value;

/// Ids that a double, or a signed number, would change.
const IDS: [u64; 8] = [
    (1 << 53) - 1,
    (1 << 53) + 1,
    (1 << 60) + 1,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// The lists of ids in an output, of JSON or of our table.
fn ids_of(output: &str) -> Vec<u64> {
    let numbers =
        |text: &str| text.split([',', ' ']).filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
    let lists = output.lines().flat_map(|line| match line.split_once("\"hash_ids\": [") {
        Some((_, rest)) => numbers(rest.split(']').next().unwrap()),
        None => line
            .rsplit(',')
            .next()
            .filter(|ids| ids.starts_with(|c: char| c.is_ascii_digit()))
            .map_or(Vec::new(), numbers),
    });
    lists.collect()
}

#[test]
fn ids_of_64_bits_come_through_every_conversion() {
    let trace = line(0, 8 * 512, 1, &IDS) + &line(5, 2 * 512, 1, &IDS[..2]);
    let expected: Vec<u64> = IDS.iter().chain(&IDS[..2]).copied().collect();
    for target in ["mooncake", "aiperf", "bailian", "kvcache-simulator", "csv"] {
        let output = run("trace-cat", &["--to-format", target, "--block-size", "512"], &trace).ok();
        assert_eq!(ids_of(&output), expected, "{target}: {output}");
    }
    // What is longer than 32 bits is no id of vLLM's or guidellm's; it must not be cut to one.
    let output = run("trace-cat", &["--to-format", "vllm", "--block-size", "512"], &trace).ok();
    assert_eq!(ids_of(&output), expected);
    let refused = run("trace-cat", &["--to-format", "guidellm"], &trace);
    assert!(refused.status == Some(0), "{}", refused.stderr);
    assert_eq!(ids_of(&refused.stdout), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    for args in [&["--sort"][..], &["--merge"], &["--rebase"], &["--tail", "2"], &["--speedup-ratio", "2"]] {
        assert_eq!(ids_of(&run("trace-cat", args, &trace).ok()), expected, "{args:?}");
    }
    let table = run("trace-cat", &["--to-format", "csv"], &trace).ok();
    assert_eq!(ids_of(&run("trace-cat", &[], table).ok()), expected);
    // Every second id names a block of twice the size.
    let coarse = run("trace-cat", &["--reblock", "1024"], &trace).ok();
    let every_second = [IDS[1], IDS[3], IDS[5], IDS[7], IDS[1]];
    assert_eq!(ids_of(&coarse), every_second);
}

#[test]
fn ids_of_64_bits_are_read_from_every_format() {
    for (format, row) in [
        ("mooncake", "{\"input_length\": 16, \"hash_ids\": [ID]}"),
        (
            "dynamo",
            "{\"event_type\": \"request_end\", \"event_time_unix_ms\": 1, \"request\": {\"replay\": {\"trace_block_size\": 16, \"input_length\": 16, \"input_sequence_hashes\": [ID]}}}",
        ),
        ("tair", "{\"keys\": [ID], \"input_len\": 16, \"timestamp_ns\": 1}"),
        ("csv", "timestamp,input_length,output_length,hash_ids\n0,16,1,ID"),
        ("vllm", "{\"timestamp\": 0, \"input_length\": 16, \"hash_ids\": [ID]}"),
    ] {
        for id in IDS {
            let input = row.replace("ID", &id.to_string()) + "\n";
            let output = run("trace-cat", &["--from-format", format, "--block-size", "16"], input).ok();
            assert_eq!(ids_of(&output), [id], "{format} {output}");
        }
    }
    // As signed numbers too, and as names of which two are never taken for one.
    let signed = run(
        "trace-cat",
        &["--from-format", "tair", "-b16"],
        "{\"keys\": [-1], \"input_len\": 16, \"timestamp_ns\": 1}\n",
    );
    assert_eq!(ids_of(&signed.ok()), [u64::MAX]);
    let names: String = IDS
        .map(|id| format!("{{\"input_length\": 16, \"block_size\": 16, \"hash_ids\": [\"{id:#x}\"]}}\n"))
        .concat();
    let minted = ids_of(&run("trace-cat", &["--renumber"], names).ok());
    assert_eq!(minted, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn neighbours_beyond_a_double_are_different_blocks() {
    // As doubles both would be 2^53, and all of the last three 2^64.
    let ids = [1 << 53, (1 << 53) + 1, u64::MAX - 2, u64::MAX - 1, u64::MAX];
    let trace: String = ids.iter().chain(&ids).map(|&id| line(0, 512, 1, &[id])).collect();
    let report: Value =
        serde_json::from_str(&run("trace-stats", &["--format", "json", "--top", "9"], &trace).ok()).unwrap();
    assert_eq!((&report["unique_blocks"], &report["prefix_groups"]), (&5.into(), &5.into()));
    let named = report["top"].as_array().unwrap();
    let mut named: Vec<u64> = named.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ids);
    // Through pieces.
    let folder = scratch();
    let piece = run("trace-stats", &["--partial"], &trace).ok();
    let file = write(folder.path(), "piece", piece);
    let merged = run("trace-stats", &["--merge", "--format", "json", &file], "").ok();
    assert_eq!(serde_json::from_str::<Value>(&merged).unwrap()["unique_blocks"], 5);
}

fn json(analysis: &Analysis) -> Value {
    let mut out = Vec::new();
    report::write(&report::Format::Json.into(), &analysis.report(&[50.0]), &mut out);
    // The figures as they are written, not as a double.
    serde_json::from_slice(&out).unwrap()
}

/// 17 million requests of the greatest length: their sum is beyond 64 bits, that of the squares needs 105.
#[test]
fn sums_beyond_64_bits_are_exact() {
    const REQUESTS: u64 = (1 << 24) + 1;
    let mut analysis = Analysis::new(512, AnalysisOptions::default());
    let mut record =
        Record { input_length: MAX_LENGTH, output_length: Some(MAX_LENGTH), ..Record::default() };
    for _ in 0..REQUESTS - 1 {
        analysis.add(&record).unwrap();
    }
    record.output_length = Some(1);
    analysis.add(&record).unwrap();
    let figures = analysis.report(&[50.0]);
    assert_eq!(figures.input_tokens, u128::from(MAX_LENGTH) * u128::from(REQUESTS));
    assert_eq!(figures.output_tokens, u128::from(MAX_LENGTH) * u128::from(REQUESTS - 1) + 1);
    let mut out = Vec::new();
    report::write(&report::Format::Json.into(), &figures, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\"input_tokens\": 18446745173221179392,"), "{text}");
    assert!(text.contains("\"output_tokens\": 18446744073709551617,"), "{text}");
    let input = figures.input_length.value.unwrap();
    assert_eq!((input.mean, input.std), (MAX_LENGTH as f64, 0.0));
}

/// The figures of lengths against the definitions, digit for digit where those are exact in a double.
#[track_caller]
fn compare(lengths: &[u64], what: &str) {
    let percentiles = [0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 100.0];
    let mut analysis = Analysis::new(1 << 24, AnalysisOptions::default());
    for &length in lengths {
        let record = Record { input_length: length, output_length: Some(length / 3), ..Record::default() };
        analysis.add(&record).unwrap();
    }
    let report = analysis.report(&percentiles);
    let values: [(_, Vec<f64>); 2] = [
        (report.input_length.value.unwrap(), lengths.iter().map(|&l| l as f64).collect()),
        (report.output_length.value.unwrap(), lengths.iter().map(|&l| (l / 3) as f64).collect()),
    ];
    for (summary, values) in values {
        assert_eq!(summary.mean, naive::mean(&values), "{what}");
        assert_eq!(summary.min, values.iter().copied().fold(f64::MAX, f64::min), "{what}");
        assert_eq!(summary.max, values.iter().copied().fold(0.0, f64::max), "{what}");
        let deviation = naive::deviation(&values);
        assert!((summary.std - deviation).abs() <= 1e-9 * deviation, "{what}: {} {deviation}", summary.std);
        for (&p, &found) in percentiles.iter().zip(&summary.percentiles) {
            let exact = naive::percentile(&values, p);
            // Exact as long as all that is asked for is below the limit; beyond it five digits.
            let below = exact < EXACT_BELOW as f64;
            let tolerance = if below && summary.max < EXACT_BELOW as f64 { 0.0 } else { 1e-5 * summary.max };
            assert!((found - exact).abs() <= tolerance, "{what} p{p}: {found} {exact}");
        }
    }
}

#[test]
fn figures_of_lengths_are_exact_below_the_limit_and_close_beyond() {
    let limit = EXACT_BELOW;
    assert_eq!(limit, 262_144);
    for length in [0, 1, 2, 511, 512, limit - 1, limit, limit + 1, 1 << 24, MAX_LENGTH] {
        compare(&[length], "one request");
        compare(&[length, length], "two equal requests");
        compare(&[length, length + 3 - length % 3 - 3 * u64::from(length == MAX_LENGTH)], "two requests");
        compare(&[0, length], "nothing and something");
        compare(&vec![length; 1000], "all equal");
    }
    compare(&(0..10_000).collect::<Vec<u64>>(), "all distinct");
    compare(&(0..10_000).rev().collect::<Vec<u64>>(), "all distinct, falling");
    compare(&(limit - 5000..limit).collect::<Vec<u64>>(), "all distinct up to the limit");
    compare(&(limit - 5000..limit + 5000).collect::<Vec<u64>>(), "all distinct across the limit");
    compare(&(limit..limit + 5000).collect::<Vec<u64>>(), "all distinct from the limit on");
    let mut rng = fastrand::Rng::with_seed(2);
    compare(&(0..5001).map(|_| rng.u64(..limit)).collect::<Vec<u64>>(), "random below");
    compare(&(0..5001).map(|_| rng.u64(..4 * limit)).collect::<Vec<u64>>(), "random across");
}

/// All figures of traces at the limits, from the program, against the definitions.
#[test]
fn whole_reports_are_exact_at_the_limits() {
    const BLOCK: u64 = 512;
    let request = |blocks: std::ops::Range<u64>, cut: u64, output: u64| naive::Request {
        input: (blocks.end - blocks.start) * BLOCK - cut,
        output,
        ids: blocks.collect(),
    };
    let scattered = |r: &naive::Request| naive::Request {
        ids: r.ids.iter().map(|id| !id.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect(),
        ..r.clone()
    };
    let traces: Vec<(&str, Vec<naive::Request>)> = vec![
        ("one request", vec![request(0..3, 5, 7)]),
        ("two requests that share nothing", vec![request(0..3, 5, 7), request(3..4, 0, 0)]),
        ("two equal requests", vec![request(0..3, 5, 7), request(0..3, 5, 7)]),
        ("all equal", (0..500).map(|_| request(0..9, 1, 3)).collect()),
        ("all distinct", (0..500).map(|i| request(i * 4..i * 4 + 4, 2, i)).collect()),
        ("each the beginning of the next", (1..120).map(|i| request(0..i, 0, i)).collect()),
        ("at 262,144 tokens", (0..6).map(|i| request(0..512 + i / 2, i % 3, 262_140 + i)).collect()),
    ];
    for (what, dense) in traces {
        for (kind, trace) in [("dense", dense.clone()), ("sparse", dense.iter().map(scattered).collect())] {
            let mut text = String::new();
            trace.iter().for_each(|r| write!(text, "{}", line(0, r.input, r.output, &r.ids)).unwrap());
            let args = ["--format", "json", "--percentiles", "10,50,90"];
            let report: Value = serde_json::from_str(&run("trace-stats", &args, text).ok()).unwrap();
            let expected = naive::analyse(&trace, BLOCK);
            for (name, value) in &expected.totals {
                assert_eq!(report[name].as_f64(), Some(*value), "{what} {kind} {name}");
            }
            for (name, values) in &expected.values {
                let at = |column: &str| report[name][column].as_f64().unwrap();
                let near = |found: f64, exact: f64| (found - exact).abs() <= 1e-12 * exact.abs();
                assert!(near(at("mean"), naive::mean(values)), "{what} {kind} {name}");
                assert!(
                    (at("std") - naive::deviation(values)).abs() < 1e-6 * at("max").max(1.0),
                    "{what} {kind} {name}"
                );
                for (column, p) in [("p10", 10.0), ("median", 50.0), ("p90", 90.0)] {
                    let (found, exact) = (at(column), naive::percentile(values, p));
                    let tolerance = if at("max") < 262_144.0 { 1e-12 } else { 1e-5 };
                    assert!(
                        (found - exact).abs() <= tolerance * at("max").max(1.0),
                        "{what} {kind} {name} {column} {found} {exact}"
                    );
                }
            }
        }
    }
    assert_eq!(json(&Analysis::new(BLOCK, AnalysisOptions::default()))["requests"], 0);
}
