//! `trace-stats` through real pipes: the expected figures, in every form that the input may take.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::support::{Ran, chats, command, line, real, run, run_in, scratch, shell, write, zstd};
use serde_json::Value;

const TRACE: &str = "traces/conversation_trace.jsonl";

/// Every figure of `golden` is in `ours`: counts and percentiles equal, means and deviations to 1e-12.
fn assert_golden(golden: &Value, ours: &Value, path: &str) {
    let Value::Object(fields) = golden else {
        let (expected, found) = (golden.as_f64().unwrap(), ours.as_f64().unwrap());
        let inexact = path.ends_with("/mean") || path.ends_with("/std");
        let tolerance = if inexact { expected.abs() * 1e-12 } else { 0.0 };
        assert!((expected - found).abs() <= tolerance, "{path}: {found}, expected {expected}");
        return;
    };
    for (name, value) in fields {
        assert_golden(value, &ours[name], &format!("{path}/{name}"));
    }
}

pub(crate) fn golden() -> Option<(String, Value)> {
    let trace = std::fs::read_to_string(real(TRACE)?).unwrap();
    let golden = std::fs::read_to_string(real("golden/conversation.json")?).unwrap();
    Some((trace, serde_json::from_str(&golden).unwrap()))
}

fn json(ran: Ran) -> Value {
    serde_json::from_str(&ran.ok()).unwrap()
}

#[test]
fn the_real_trace_gives_every_expected_figure() {
    let Some((trace, golden)) = golden() else { return };
    assert_golden(&golden, &json(run("trace-stats", &["--format", "json"], trace)), "");
}

/// Names every block by a random number, as content hashes do.
pub(crate) fn scattered(trace: &str) -> String {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut names = std::collections::HashMap::new();
    let mut out = String::new();
    for text in trace.lines() {
        let mut record: Value = serde_json::from_str(text).unwrap();
        for id in record["hash_ids"].as_array_mut().unwrap() {
            *id = (*names.entry(id.as_u64().unwrap()).or_insert_with(|| rng.u64(..))).into();
        }
        out.push_str(&record.to_string());
        out.push('\n');
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The report must not depend on how the same trace arrives.
fn assert_same_in_every_form(trace: &str, folder: &Path) {
    let args = ["--format", "json"];
    let expected = run("trace-stats", &args, trace).ok();

    let scattered = scattered(trace);
    assert_eq!(run("trace-stats", &args, &scattered).ok(), expected, "random ids");

    let half = trace[..trace.len() / 2].rfind('\n').unwrap() + 1;
    let third = trace[..half / 2].rfind('\n').unwrap() + 1;
    let mut members = gzip(&trace.as_bytes()[..half]);
    members.extend(gzip(&trace.as_bytes()[half..]));
    assert_eq!(run("trace-stats", &args, &members).ok(), expected, "gzip of two members");

    let mut frames = zstd(&trace.as_bytes()[..half]);
    frames.extend(zstd(&trace.as_bytes()[half..]));
    assert_eq!(run("trace-stats", &args, &frames).ok(), expected, "zstd of two frames");

    let crlf = format!("\u{feff}{}", trace.replace('\n', "\r\n\r\n  \r\n"));
    assert_eq!(run("trace-stats", &args, crlf).ok(), expected, "CRLF, blank lines, byte-order mark");
    assert_eq!(run("trace-stats", &args, trace.trim_end()).ok(), expected, "no last newline");

    let pieces = [
        write(folder, "1.jsonl", &trace[..third]),
        write(folder, "2.jsonl.gz", gzip(&trace.as_bytes()[third..half])),
        write(folder, "3.jsonl", &trace[half..]),
    ];
    let mut all = args.to_vec();
    all.extend(pieces.iter().map(String::as_str));
    assert_eq!(run("trace-stats", &all, "").ok(), expected, "three files");
    all[3] = "-";
    assert_eq!(run("trace-stats", &all, &trace[third..half]).ok(), expected, "a pipe between files");

    let spaced = trace.replace(": ", " :\t").replace(", ", " , ");
    assert_eq!(run("trace-stats", &args, spaced).ok(), expected, "other white space");
}

pub(crate) fn small_trace() -> String {
    chats(400, 5)
}

#[test]
fn the_report_does_not_depend_on_how_the_trace_arrives() {
    assert_same_in_every_form(&small_trace(), scratch().path());
}

#[test]
fn the_report_of_the_real_trace_does_not_depend_on_how_it_arrives() {
    let Some((trace, _)) = golden() else { return };
    assert_same_in_every_form(&trace, scratch().path());
}

#[test]
fn one_byte_writes_through_a_pipe_change_nothing() {
    let trace = small_trace();
    let trace = &trace[..trace.find('\n').unwrap() * 40];
    let trace = &trace[..=trace.rfind('\n').unwrap()];
    let expected = run("trace-stats", &[], trace).ok();
    let mut child = command("trace-stats").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for byte in trace.as_bytes() {
        stdin.write_all(&[*byte]).unwrap();
    }
    drop(stdin);
    assert_eq!(Ran::of(&child.wait_with_output().unwrap()).ok(), expected);
}

#[test]
fn the_table_has_the_reference_rows_and_columns_in_order() {
    let table = run("trace-stats", &["--exact"], small_trace()).ok();
    let cells: Vec<Vec<&str>> = table
        .lines()
        .filter(|l| l.starts_with('|'))
        .map(|l| l.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(cells[0], ["", "Mean", "Std Dev", "Min", "P25", "Median", "P75", "Max"]);
    let rows: Vec<&str> = cells[1..].iter().map(|row| row[0]).collect();
    let expected =
        ["Input Length", "Context Length", "Unique Prompt Length", "Output Length", "Theoretical Hit Rates"];
    assert_eq!(rows, expected);
    assert!(cells.iter().all(|row| row.len() == 8));
}

#[test]
fn percentiles_are_named_and_ordered_as_asked() {
    let ours = json(run("trace-stats", &["-f", "json", "-p", "99.9,50,1"], small_trace()));
    let names: Vec<&String> = ours["input_length"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["max", "mean", "median", "min", "p1", "p99.9", "std"]);
    let text = run("trace-stats", &["-f", "json", "-p", "99.9,50,1"], small_trace()).ok();
    let (first, second) = (text.find("p99.9").unwrap(), text.find("median").unwrap());
    assert!(first < second);
}

#[test]
fn a_trace_of_lengths_only_has_lengths_only() {
    let trace = "{\"input_length\": 10, \"output_length\": 3}\n{\"input_length\": 20}\n";
    let ran = run("trace-stats", &["-f", "json"], trace);
    assert!(ran.stderr.contains("2 of 2 requests are missing field \"hash_ids\""), "{}", ran.stderr);
    let ours = json(ran);
    assert_eq!(ours["input_tokens"], 30);
    assert_eq!(ours["output_length"]["mean"], 3.0);
    assert_eq!(ours["requests_without_ids"], 2);
    assert!(ours["hit_rate"].is_null() && ours["token_hit_rate"].is_null());
}

#[test]
fn the_block_size_comes_from_the_trace_and_must_agree() {
    let stated = "{\"input_length\": 20, \"hash_ids\": [1, 2], \"block_size\": 16}\n";
    assert_eq!(json(run("trace-stats", &["-f", "json"], stated))["block_size"], 16);
    let ran = run("trace-stats", &["-b", "32"], stated);
    assert_eq!(
        (ran.status, &*ran.stderr),
        (Some(1), "trace-stats: -:1: block_size 16 contradicts --block-size 32\n")
    );
    let mixed = format!("{stated}{}", stated.replace("16", "32"));
    let ran = run("trace-stats", &[], mixed);
    assert!(ran.stderr.contains("-:2: block_size 32 differs from 16"), "{}", ran.stderr);
}

#[test]
fn a_file_written_in_place_of_another_is_complete_or_absent() {
    let folder = scratch();
    let out = write(folder.path(), "out.txt", "old");
    let ran = run("trace-stats", &["-o", &out], "{\"input_length\": 1}\nbad\n");
    assert_eq!(ran.status, Some(1));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
    run("trace-stats", &["-o", &out], "{\"input_length\": 1}\n").ok();
    assert!(std::fs::read_to_string(&out).unwrap().contains("\nRequests:"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn finite_caches_serve_what_the_peer_says() {
    let (Some(trace), Some(expected)) = (real(TRACE), real("golden/conversation.capacity.json")) else {
        return;
    };
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(expected).unwrap()).unwrap();
    let points = expected["points"].as_array().unwrap();
    let list: Vec<String> = points.iter().map(|point| point["capacity_blocks"].to_string()).collect();
    let list = list.join(",");
    let args = ["-f", "json", "--warmup", "0.5", "--capacity", &list, "--policy", "lru,fifo,opt"];
    let ours = json(run("trace-stats", &[&args[..], &[trace.to_str().unwrap()]].concat(), ""));
    let rows = ours["capacity"].as_array().unwrap();
    assert_eq!(rows.len(), 3 * points.len() + 1);
    for (index, point) in points.iter().enumerate() {
        let [lru, fifo, opt] = [0, 1, 2].map(|policy| &rows[policy * points.len() + index]);
        assert_eq!((&lru["policy"], &lru["hit_tokens"]), (&"lru".into(), &point["lru_hit_tokens"]), "{lru}");
        assert_eq!(
            (&fifo["policy"], &fifo["hit_tokens"]),
            (&"fifo".into(), &point["fifo_hit_tokens"]),
            "{fifo}"
        );
        let theirs = point["optimal_hit_tokens"].as_u64();
        assert!(opt["policy"] == "opt" && opt["hit_tokens"].as_u64() >= theirs, "{opt} {theirs:?}");
        assert_eq!(lru["tokens"], expected["measured_tokens"]);
    }
    assert_eq!(rows.last().unwrap()["hit_tokens"], expected["infinite_hit_tokens"]);
}

#[test]
fn policies_that_cannot_be_computed_are_refused() {
    for (args, reason) in [
        (&["--policy", "fifo"][..], "--capacity"),
        (&["--policy", "opt"], "give their sizes with --capacity"),
        (&["--policy", "opt", "-c", "5", "--window", "9req"], "--window"),
        (&["--policy", "lru,best", "-c", "5"], "best"),
        (&["--policy", "lfu", "-c", "5", "--partial"], "--partial"),
        (&["--policy", "slru", "--curve"], "slru, wtinylfu"),
        (&["--policy", "priority=", "-c", "5"], "names no field"),
        (&["--policy", "priority=a", "--policy", "lru,priority=b", "-c", "5"], "priority=a and priority=b"),
    ] {
        let ran = run("trace-stats", args, small_trace());
        assert_eq!(ran.status, Some(2), "{args:?}");
        assert!(ran.stderr.contains(reason), "{args:?}: {}", ran.stderr);
    }
    let ids = |i: u64| (i * 24..(i + 1) * 24).collect::<Vec<_>>();
    let endless: String = (0..60_000).map(|i| line(i, 24 * 512, 1, &ids(i))).collect();
    for (policy, capacity, reason) in [("opt", "10", "--policy opt"), ("lfu", "1M", "--policy hold")] {
        let ran = run("trace-stats", &["--policy", policy, "-c", capacity, "--max-memory", "48Mi"], &endless);
        assert_eq!(ran.status, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    }
    // A small one goes on exactly when blocks are forgotten.
    let args = ["--policy", "lfu", "-c", "100", "-f", "json"];
    let limited = json(run("trace-stats", &[&args[..], &["--max-memory", "48Mi"]].concat(), &endless));
    assert!(limited["bound"]["forgotten_blocks"].as_u64().unwrap() > 0);
    assert_eq!(limited["capacity"][0], json(run("trace-stats", &args, &endless))["capacity"][0]);
}

#[test]
fn priorities_are_those_of_the_field() {
    // The first request is used least recently, and worth most.
    let requests = [(0, "2.5"), (1, "1"), (2, "null"), (0, "1")];
    let trace: String = requests
        .iter()
        .map(|(id, level)| format!("{{\"input_length\": 512, \"hash_ids\": [{id}], \"level\": {level}}}\n"))
        .collect();
    let args = ["-f", "json", "-c", "2", "--policy"];
    let hits = |policy: &str| {
        let ran = run("trace-stats", &[&args[..], &[policy]].concat(), &trace);
        (ran.stderr.clone(), json(ran)["capacity"][0]["hit_tokens"].as_u64().unwrap())
    };
    assert_eq!(hits("lru").1, 0);
    let (warning, tokens) = hits("priority=level");
    assert_eq!(tokens, 512);
    assert!(warning.contains("1 of 4 requests are missing field \"level\""), "{warning}");
    let ran =
        run("trace-stats", &[&args[..], &["priority=level"]].concat(), trace.replace("2.5", "\"high\""));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("-:1: level: expected a number, found \"high\""), "{}", ran.stderr);
}

#[test]
fn every_format_has_the_distance_to_the_best_cache() {
    let args = |format| ["-f", format, "-c", "10,20", "--policy", "lru,opt"];
    let written = |format| run("trace-stats", &args(format), small_trace()).ok();
    let report: Value = serde_json::from_str(&written("json")).unwrap();
    let rows = report["capacity"].as_array().unwrap();
    let rate = |policy: &str| {
        let row = rows.iter().find(|row| row["policy"] == policy && row["capacity_blocks"] == 20).unwrap();
        (row["token_hit_rate"].as_f64().unwrap(), row["below_opt"].as_f64().unwrap())
    };
    let ((lru, below), (opt, zero)) = (rate("lru"), rate("opt"));
    assert_eq!((opt - lru, 0.0), (below, zero));
    assert!(rows.last().unwrap().get("below_opt").is_none());
    assert!(written("csv").contains(&format!("capacity,lru:20,below_opt,{below:?}\n")));
    let gauge = format!("kvtrace_cache_below_opt{{kind=\"capacity\",cache=\"lru:20\"}} {below:?}\n");
    assert!(written("prometheus").contains(&gauge));
    assert!(written("markdown").contains(&format!("| {below:?} |")));
    assert!(written("html").contains("Below opt"));
    let table = written("table");
    assert!(
        table.contains("Below Opt") && table.contains("Opt:             serves the most blocks"),
        "{table}"
    );
}

#[test]
fn the_curve_rises_from_one_block_to_the_working_set() {
    let ours = json(run("trace-stats", &["-f", "json", "--curve", "--target", "50%,1.0"], small_trace()));
    let rows = ours["capacity"].as_array().unwrap();
    let lru: Vec<&Value> = rows.iter().filter(|row| row["policy"] == "lru").collect();
    assert!((40..=62).contains(&lru.len()), "{}", lru.len());
    assert_eq!(lru[0]["capacity_blocks"], 1);
    assert_eq!(lru.last().unwrap()["capacity_blocks"], ours["unique_blocks"]);
    assert_eq!(lru.last().unwrap()["hit_tokens"], ours["cached_tokens"]);
    assert!(lru.windows(2).all(|two| two[0]["hit_tokens"].as_u64() <= two[1]["hit_tokens"].as_u64()));
    assert_eq!(ours["target"][1]["hit_tokens"], ours["cached_tokens"]);
}

#[test]
fn capacities_may_be_given_in_bytes() {
    let args = ["-f", "json", "-c", "1MiB,100", "--kv-bytes-per-token", "4"];
    let rows = json(run("trace-stats", &args, small_trace()))["capacity"].clone();
    assert_eq!((&rows[0]["capacity_blocks"], &rows[0]["capacity_bytes"]), (&100.into(), &204_800.into()));
    assert_eq!((&rows[1]["capacity_blocks"], &rows[1]["capacity_bytes"]), (&512.into(), &1_048_576.into()));
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config.json");
    let args = ["-f", "json", "-c", "128MiB", "--model-config", config];
    let rows = json(run("trace-stats", &args, small_trace()))["capacity"].clone();
    // 2 x 32 layers x 8 heads x 128 numbers x 2 bytes = 128 KiB per token.
    assert_eq!(rows[0]["capacity_blocks"], 2);
    let ran = run("trace-stats", &["--model-config", "/nonexistent/config.json"], "");
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("/nonexistent/config.json"), "{}", ran.stderr);
    let ran = run("trace-stats", &["-c", "1MiB"], small_trace());
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("--kv-bytes-per-token"), "{}", ran.stderr);
}

#[test]
fn a_model_whose_layers_forget_has_a_size_for_prompts_of_a_length() {
    let folder = scratch();
    let config = r#"{"model_type": "gpt_oss", "head_dim": 64, "hidden_size": 2880, "num_attention_heads": 64,
        "num_hidden_layers": 24, "num_key_value_heads": 8, "sliding_window": 128}"#;
    let config = write(folder.path(), "config.json", config);
    let args = ["-b", "16", "-c", "1GiB", "--model-config", &config, "-f", "json"];
    let ran = run("trace-stats", &args, small_trace());
    assert_eq!(ran.status, Some(2));
    for part in ["12 of its 24 layers keep only the last 128 tokens", "--prompt-length"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let trace = "{\"input_length\": 16, \"hash_ids\": [0]}\n";
    let ran = run("trace-stats", &[&args[..], &["--prompt-length", "8192"]].concat(), trace);
    // vLLM reserves 204,472,320 bytes for such a prompt.
    assert!(ran.stderr.contains("24960 bytes per token in prompts of 8192"), "{}", ran.stderr);
    assert_eq!(json(ran)["capacity"][0]["capacity_blocks"], (1 << 30) / (24_960 * 16));
    let args =
        ["-c", "9GiB", "--model-config", &write(folder.path(), "other.json", r#"{"model_type": "new"}"#)];
    let ran = run("trace-stats", &args, "");
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.contains("model_type new") && ran.stderr.contains("--kv-bytes-per-token"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_share_as_warm_up_needs_a_file() {
    let ran = run("trace-stats", &["-c", "10", "--warmup", "0.5"], small_trace());
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("give it as FILE"), "{}", ran.stderr);
    let folder = scratch();
    let file = write(folder.path(), "t.jsonl", small_trace());
    let by_share = run("trace-stats", &["-c", "10", "--warmup", "0.5", &file], "").ok();
    assert_eq!(run("trace-stats", &["-c", "10", "--warmup", "200"], small_trace()).ok(), by_share);
}

#[test]
fn every_format_has_the_figures_of_the_json_report() {
    let args = ["-c", "5,50", "--ttl", "1m", "--target", "90%"];
    let with = |format| run("trace-stats", &[&args[..], &["-f", format]].concat(), small_trace()).ok();
    let ours: Value = serde_json::from_str(&with("json")).unwrap();
    let rate = format!("{:?}", ours["token_hit_rate"].as_f64().unwrap());
    let lru = format!("{:?}", ours["capacity"][1]["token_hit_rate"].as_f64().unwrap());
    let median = format!("{:?}", ours["input_length"]["median"].as_f64().unwrap());

    let csv = with("csv");
    assert!(csv.lines().all(|row| row.split(',').count() == 4), "{csv}");
    assert!(csv.contains(&format!("total,,token_hit_rate,{rate}\n")), "{csv}");
    assert!(csv.contains(&format!("distribution,input_length,median,{median}\n")), "{csv}");
    assert!(csv.contains(&format!("capacity,lru:50,token_hit_rate,{lru}\n")), "{csv}");
    for row in csv.lines().filter(|row| row.starts_with("total,")) {
        let (name, value) = row["total,,".len()..].split_once(',').unwrap();
        let in_json = if ours[name].is_null() { &ours["arrivals"][name] } else { &ours[name] };
        assert_eq!(in_json.as_f64(), value.parse().ok(), "{row}");
    }

    let markdown = with("markdown");
    assert!(markdown.contains(&format!("| token_hit_rate | {rate} |")), "{markdown}");
    assert!(markdown.contains("| Input Length |") && markdown.contains("| lru | 50 |"), "{markdown}");

    let prometheus = with("prometheus");
    assert!(prometheus.contains(&format!("\nkvtrace_token_hit_rate {rate}\n")), "{prometheus}");
    assert!(prometheus.contains(&format!("kvtrace_input_length{{stat=\"median\"}} {median}\n")));
    assert!(prometheus.contains(&format!("{{kind=\"capacity\",cache=\"lru:50\"}} {lru}\n")), "{prometheus}");
    // Base units, by their whole names.
    let arrivals = &ours["arrivals"];
    let mean = arrivals["interarrival_mean_ms"].as_f64().unwrap() / 1000.0;
    let duration = &arrivals["duration_s"];
    assert!(prometheus.contains(&format!("\nkvtrace_duration_seconds {duration}\n")), "{prometheus}");
    assert!(prometheus.contains(&format!("\nkvtrace_interarrival_mean_seconds {mean:?}\n")), "{prometheus}");
    let mut families = std::collections::HashSet::new();
    for row in prometheus.lines() {
        match row.strip_prefix("# TYPE ") {
            Some(family) => assert!(families.insert(family.split(' ').next().unwrap()), "{row} twice"),
            None if row.starts_with('#') => {}
            None => assert!(families.contains(row.split(['{', ' ']).next().unwrap()), "{row} has no type"),
        }
    }
}

#[test]
fn a_compressed_trace_is_read_as_a_plain_one() {
    let folder = scratch();
    let (first, second) = {
        let trace = small_trace();
        let all: Vec<&str> = trace.lines().collect();
        let (a, b) = all.split_at(all.len() / 3);
        (a.join("\n") + "\n", b.join("\n") + "\n")
    };
    let bad = second.replacen('\n', "\n{\"input_length\": 1}\n\n{]\n", 300);
    write(folder.path(), "a", &first);
    write(folder.path(), "b", &second);
    write(folder.path(), "bad", &bad);
    write(folder.path(), "mixed", first.clone() + "{\"input_length\": 5, \"hash_ids\": [1, 2]}\n" + &second);
    write(folder.path(), "blocks_of_16", line(0, 16, 1, &[0]).replace('}', ", \"block_size\": 16}"));
    write(folder.path(), "empty", "");
    let more = "trace-stats --partial a > pa; trace-stats --partial b > pb; gzip -k a b bad mixed blocks_of_16 empty pa pb";
    shell(folder.path(), more).ok();
    for args in [
        "-f json a b",
        "-f json --curve --top 5 a b",
        "-w 7req b a",
        "--every 100req -f json a b",
        "--skip-invalid -f json bad a bad",
        "bad",
        "a b mixed",
        "a blocks_of_16",
        "-f json blocks_of_16",
        "-f json -b 16 empty",
        "--skip-invalid empty",
        "-w 60s --max-memory 48Mi a b",
        "a missing",
        "--partial a b",
        "--partial bad",
        "--merge -f json pa pb",
        "--merge pa a",
        "--merge pb pa",
        "--merge pa pb pb",
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let plain = run_in(folder.path(), "trace-stats", &args, "");
        let zipped = |arg: &&str| {
            let name = format!("{arg}.gz");
            if folder.path().join(&name).exists() { name } else { (*arg).to_owned() }
        };
        let zipped: Vec<String> = args.iter().map(zipped).collect();
        let zipped: Vec<&str> = zipped.iter().map(String::as_str).collect();
        assert!(zipped != args);
        let unzipped = run_in(folder.path(), "trace-stats", &zipped, "");
        assert_eq!(
            (plain.status, plain.stderr, plain.stdout),
            (unzipped.status, unzipped.stderr.replace(".gz", ""), unzipped.stdout),
            "{args:?}"
        );
    }
}

fn lines(ran: Ran) -> Vec<Value> {
    ran.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn windows_add_up_to_the_whole_trace() {
    let whole = json(run("trace-stats", &["-f", "json", "-c", "50"], small_trace()));
    for size in ["1req", "7req", "150req", "1kreq", "1s", "30s", "1h"] {
        let windows = lines(run("trace-stats", &["-w", size, "-c", "50"], small_trace()));
        for name in ["requests", "input_tokens", "output_tokens", "cached_tokens"] {
            let sum: u64 = windows.iter().map(|w| w[name].as_u64().unwrap()).sum();
            assert_eq!(whole[name], sum, "{name} in windows of {size}");
        }
        let blocks: u64 = windows.iter().map(|w| w["new_blocks"].as_u64().unwrap()).sum();
        assert_eq!(whole["unique_blocks"], blocks);
        let running = &windows.last().unwrap()["running"];
        assert_eq!(running["token_hit_rate"], whole["token_hit_rate"]);
        assert_eq!(running["capacity"], whole["capacity"]);
        let numbers: Vec<u64> = windows.iter().map(|w| w["window"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..windows.len() as u64));
    }
}

#[test]
fn a_window_holds_its_own_requests_and_late_ones_count_in_the_open_one() {
    let times = [500, 900, 1000, 400, 1999, 5000, 7000, 6500];
    let trace: String = times.iter().map(|&t| line(t, 512, 3, &[0])).collect();
    let windows = lines(run("trace-stats", &["--window", "1s"], &trace));
    let found: Vec<_> = windows
        .iter()
        .map(|w| (w["start_ms"].as_f64(), w["requests"].as_u64(), w["late"].as_u64()))
        .collect();
    let expected = [(0.0, 2, 0), (1000.0, 3, 1), (5000.0, 1, 0), (7000.0, 2, 1)];
    assert_eq!(found, expected.map(|(start, n, late)| (Some(start), Some(n), Some(late))));
    assert_eq!(windows[0]["hit_rate"], 0.5);
    assert_eq!(windows[1]["output_length"]["median"], 3.0);

    let csv = run("trace-stats", &["--window", "3req", "-f", "csv"], &trace).ok();
    let rows: Vec<Vec<&str>> = csv.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    assert_eq!((rows[0][2], rows[1][2], rows[3][2]), ("requests", "3", "2"));
}

#[test]
fn what_would_go_unnoticed_is_refused() {
    for (args, message) in [
        (&["--by", "a", "--by", "b"][..], "--by is given twice"),
        (&["--price", "input=3,cached=1", "--price", "input=2,cached=1"], "--price is given twice"),
        (
            &["--per-request", "--ttl", "5m"],
            "--per-request writes the hits of each request in the caches of --capacity",
        ),
        (&["--per-request", "--curve"], "it goes without --curve"),
    ] {
        let ran = run("trace-stats", args, small_trace());
        assert_eq!(ran.status, Some(2), "{args:?}");
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn what_figures_stand_for_is_said_where_it_may_be_misread() {
    let times = (0..50).map(|i| if i == 20 { 90 * 86_400_000 } else { i * 1000 });
    let wrong: String = times.map(|t| line(t, 1024, 3, &[0, 1 + t])).collect();
    let says = |args: &[&str], trace: &str| run("trace-stats", args, trace).stderr;
    let said = says(&[], &wrong);
    assert!(said.contains("the record on line 21 is dated 90 days after those around it"), "{said}");
    assert!(!said.contains("earlier than one before them") && !said.contains("times may be"), "{said}");
    let json = run("trace-stats", &["-f", "json"], &wrong).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["arrivals"]["wrong_clock"]["line"], 21);
    let right = wrong
        .lines()
        .filter(|row| !row.contains("7776000000"))
        .fold(String::new(), |all, row| all + row + "\n");
    assert!(!says(&[], &right).contains("dated"), "{}", says(&[], &right));
    for (args, part) in [
        (&["-c", "9"][..], "those of caches without limit: with smaller ones more is computed"),
        (&["-c", "9", "--misses"], "those in one cache of each size for all requests"),
        (&["--route", "prefix"], "`route` prefix tells none of them apart"),
    ] {
        let said = says(&[&["--replicas", "2"], args].concat(), &right);
        assert!(said.replace("--route", "`route`").contains(part), "{args:?}: {said}");
    }
    assert!(!says(&["--replicas", "2", "--route", "prefix=2"], &right).contains("tells none"));
    let slow = ["--policy", "vllm", "-c", "99", "--service", "prefill=100,decode=50"];
    let long: String = (0..90).map(|t| line(t * 1000, 1024, 3, &[0, 1 + t])).collect();
    assert!(says(&slow, &long).contains("it does not keep up"), "{}", says(&slow, &long));
    let fast = ["--policy", "vllm", "-c", "99", "--service", "prefill=10000,decode=5000"];
    assert!(!says(&fast, &long).contains("keep up"));
    let priced =
        |args: &[&str]| says(&[&["--price", "input=3,cached=0.3,write=3.75"], args].concat(), &right);
    assert!(priced(&["--ttl", "5m,1h"]).contains("a run of its own"), "{}", priced(&["--ttl", "5m,1h"]));
    assert!(!priced(&["--ttl", "5m"]).contains("a run of its own"));
    let swapped = "\
        {\"timestamp\": 9000, \"input_length\": 1024, \"hash_ids\": [1, 2], \"cached_tokens\": 1024}\n\
        {\"timestamp\": 0, \"input_length\": 1024, \"hash_ids\": [1, 2], \"cached_tokens\": 0}\n";
    assert!(run("trace-stats", &[], swapped).ok().contains("a record is not in the order of times"));
    let ran = run("trace-stats", &["--kv-cache-dtype", "fp8"], "");
    assert!(
        ran.stderr.contains("unknown option --kv-cache-dtype; did you mean --kv-dtype?"),
        "{}",
        ran.stderr
    );
}

#[test]
fn one_wrong_clock_does_not_end_the_windows() {
    // A request that is dated days ahead; the others go on at ten a second.
    let right = (0..80).map(|i| i * 100);
    let times: Vec<u64> = right.clone().take(25).chain([400_000_000]).chain(right.skip(25)).collect();
    let trace: String = times.iter().map(|&t| line(t, 512, 3, &[0])).collect();
    let windows = lines(run("trace-stats", &["--window", "1s"], &trace));
    let found: Vec<_> = windows
        .iter()
        .map(|w| {
            (w["start_ms"].as_f64().unwrap(), w["requests"].as_u64().unwrap(), w["late"].as_u64().unwrap())
        })
        .collect();
    // The tenth of those that are late is the first of the next window.
    let mut expected = vec![(0.0, 10, 0), (1000.0, 10, 0), (2000.0, 5, 0), (400_000_000.0, 10, 9)];
    expected.extend([(3000.0, 6, 0), (4000.0, 10, 0), (5000.0, 10, 0), (6000.0, 10, 0), (7000.0, 10, 0)]);
    assert_eq!(found, expected);
}

#[test]
fn a_window_is_written_while_the_stream_goes_on() {
    let mut child = command("trace-stats")
        .args(["--window", "2req"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    for number in 0..3 {
        let records = if number == 0 { 3 } else { 2 };
        stdin.write_all(line(number, 512, 1, &[0]).repeat(records).as_bytes()).unwrap();
        let mut out = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut out).unwrap();
        assert!(out.starts_with(&format!("{{\"window\":{number},")), "{out}");
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn running_totals_are_the_reports_of_the_beginnings() {
    let trace = small_trace();
    let whole: Vec<&str> = trace.lines().collect();
    let mut expected = String::new();
    for end in [150, 300, 400] {
        expected += &run("trace-stats", &[], whole[..end].join("\n")).ok();
    }
    assert_eq!(run("trace-stats", &["--every", "150req"], &trace).ok(), expected);
    let twice = run("trace-stats", &["--every", "200req"], &trace).ok();
    assert_eq!(twice.matches("Requests:").count(), 2, "the end is not reported twice");
}

#[test]
fn endless_fresh_blocks_stay_below_the_memory_limit() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut scattered = String::new();
    for i in 0..30_000 {
        scattered += &line(i, 24 * 512, 1, &std::array::from_fn::<u64, 24, _>(|_| rng.u64(..)));
    }
    let dense: String =
        (0..120_000).map(|i| line(i, 24 * 512, 1, &(i * 24..(i + 1) * 24).collect::<Vec<_>>())).collect();
    let folder = scratch();
    for (name, trace) in [("scattered", scattered), ("dense", dense)] {
        write(folder.path(), name, trace);
        let run = format!("ulimit -v 65536; trace-stats --max-memory 64Mi -c 1000,1M -f json {name}");
        let ours = json(shell(folder.path(), &run));
        assert!(ours["bound"]["forgotten_blocks"].as_u64().unwrap() > 0, "{name}");
        let exact = ours["bound"]["exact_capacity_blocks"].as_u64().unwrap();
        assert!((50_000..1_000_000).contains(&exact), "{name}: {exact}");
        assert!(ours["bound"]["at_most"].as_array().unwrap().contains(&"unique_blocks".into()));
        let table = shell(folder.path(), &format!("trace-stats --max-memory 64Mi -c 1000,1M {name}")).ok();
        assert!(
            table.contains("Token hit rate:  >= 0\n") && table.contains("Unique blocks:   <= "),
            "{table}"
        );
        let rows: Vec<&str> = table.lines().filter(|row| row.starts_with("lru ")).collect();
        assert!(!rows[0].contains(">=") && rows[1].contains(">= 0"), "{table}");
    }
}

#[test]
fn a_process_stays_below_its_memory_limit() {
    let folder = scratch();
    // New blocks behind some shared ones: a forest, until a request in the middle that fits into none.
    for (name, odd) in [("forest", 3500), ("other", 1000)] {
        let mut trace = String::new();
        for i in 0..3500_u64 {
            if i == odd {
                trace += &line(i, 1024, 1, &[5, 3]);
            }
            let shared = if i == 0 { 0 } else { 10 };
            let ids: Vec<u64> = (0..shared).chain(i * 2000..(i + 1) * 2000).collect();
            trace += &line(i, ids.len() as u64 * 512, 1, &ids);
        }
        write(folder.path(), name, trace.replace('{', "{\"type\": \"a\", "));
    }
    // Many groups, each with lengths of every size.
    let groups: String = (0..600)
        .map(|i| {
            let n = if i % 2 == 0 { 600 } else { 1 << (i / 100 * 2) };
            line(i, n * 512, 1, &(0..n).collect::<Vec<_>>())
                .replace('{', &format!("{{\"type\": {}, ", i % 100))
        })
        .collect();
    write(folder.path(), "groups", groups);
    // Not only what is used but all of the address space.
    let within = |options: &str| {
        shell(folder.path(), &format!("ulimit -v 65536; trace-stats --max-memory 64Mi {options}")).ok()
    };
    for name in ["forest", "other"] {
        for options in
            ["-f json", "-w 100req", "-f json --by type", "-f json --top 5", "-f json --curve --ttl 1m"]
        {
            let text = within(&format!("{options} {name}"));
            let last = if options.starts_with("-w") { text.lines().last().unwrap() } else { &text };
            let ours: Value = serde_json::from_str(last).unwrap();
            let bound = ours.pointer("/running/bound").or(ours.get("bound")).unwrap();
            assert!(bound["forgotten_blocks"].as_u64().unwrap() > 1_000_000, "{name} {options}: {ours}");
        }
    }
    let ours: Value = serde_json::from_str(&within("-f json --by type groups")).unwrap();
    assert_eq!(ours["groups"].as_array().unwrap().len(), 100);
}

#[test]
fn a_memory_limit_that_is_not_reached_changes_nothing() {
    let args = ["-f", "json", "-c", "50"];
    let limited = run("trace-stats", &[&args[..], &["--max-memory", "64Mi"]].concat(), small_trace()).ok();
    assert_eq!(limited, run("trace-stats", &args, small_trace()).ok());
    let ran = run("trace-stats", &["--max-memory", "1Mi"], "");
    assert_eq!(ran.status, Some(2));
}

#[test]
fn groups_are_the_reports_on_their_own_records() {
    let mut rng = fastrand::Rng::with_seed(9);
    let kinds =
        ["\"type\": \"text\", ", "\"type\": \"im\u{e4}ge\", ", "\"type\": 7, ", "\"type\": null, ", ""];
    let mut parts = vec![String::new(); kinds.len()];
    let mut trace = String::new();
    for record in small_trace().lines() {
        let kind = rng.usize(..kinds.len());
        let record = format!("{{{}{}\n", kinds[kind], &record[1..]);
        trace += &record;
        parts[kind.min(3)] += &record;
    }
    let args = ["-f", "json", "-c", "9", "--target", "0.5"];
    let whole = json(run("trace-stats", &[&args[..], &["--by", "type"]].concat(), &trace));
    let mut expected = json(run("trace-stats", &args, &trace));
    for (name, value) in expected.as_object_mut().unwrap() {
        assert_eq!(whole[&**name], *value);
    }
    let groups = whole["groups"].as_array().unwrap();
    assert_eq!((groups.len(), &whole["by"]), (4, &"type".into()));
    let values: [Value; 4] = ["text".into(), "im\u{e4}ge".into(), 7.into(), Value::Null];
    for (value, part) in values.iter().zip(&parts) {
        let group = groups.iter().find(|group| group["value"] == *value).unwrap();
        for (name, value) in json(run("trace-stats", &args, part)).as_object().unwrap() {
            assert_eq!(group[&**name], *value, "{name}");
        }
    }
    // In the table, a row for each.
    let table =
        run("trace-stats", &["--by", "type", "-c", "9", "--target", "50%", "--ttl", "5s"], &trace).ok();
    assert_eq!(table.matches("Requests:").count(), 1, "{table}");
    let (_, rows) = table.split_once("\nBy type, each value").unwrap();
    let of = |value: &str| rows.lines().find(|row| row.starts_with(value)).unwrap().split_whitespace().nth(1);
    for (value, part) in ["text", "im\u{e4}ge", "7", "(none)"].iter().zip(&parts) {
        assert_eq!(of(value), Some(&*part.lines().count().to_string()), "{table}");
    }
    assert!(rows.contains("token hit rates of caches:\n") && rows.contains("  lru 9  "), "{table}");
    let (_, targets) = table.split_once("By type, blocks for a share of all hits:\n").unwrap();
    let text = targets.lines().find(|row| row.starts_with("text")).unwrap();
    let group = groups.iter().find(|group| group["value"] == "text").unwrap();
    let blocks = group["target"][0]["capacity_blocks"].to_string();
    assert_eq!(text.split_whitespace().nth(1).unwrap().replace(',', ""), blocks, "{table}");
}

#[test]
fn groups_are_by_a_field_or_by_a_path_to_one() {
    let record = |i: u64, more: &str| {
        line(i * 1000, 1024, 1, &[i % 2, i + 9]).replacen('{', &format!("{{{more}, "), 1)
    };
    let nested: String =
        (0..9).map(|i| record(i, &format!("\"labels\": {{\"tenant\": \"t{}\"}}", i % 3))).collect();
    let flat: String = (0..9).map(|i| record(i, &format!("\"labels.tenant\": \"t{}\"", i % 3))).collect();
    let by = |field: &str, trace: &str| {
        let ran = run("trace-stats", &["-f", "csv", "--by", field], trace);
        assert!(!ran.stderr.contains("no record has the field"), "{}", ran.stderr);
        ran.ok()
    };
    let expected = by("labels.tenant", &flat);
    assert!(expected.contains("t2"), "{expected}");
    assert_eq!(by("labels.tenant", &nested), expected);
    assert_eq!(by("/labels/tenant", &nested), expected);
}

#[test]
fn values_beyond_the_limit_are_one_group() {
    let trace: String =
        (0..300).map(|i| line(i, 512, 1, &[0]).replace('{', &format!("{{\"s\": {}, ", i % 150))).collect();
    let whole = json(run("trace-stats", &["-f", "json", "--by", "s"], trace));
    let groups = whole["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 101);
    assert_eq!((groups[100].get("value"), &groups[100]["other"]), (None, &true.into()));
    assert_eq!((&groups[0]["requests"], &groups[100]["requests"]), (&2.into(), &100.into()));
}

#[test]
fn the_shared_prefixes_that_save_most_are_named() {
    // Three requests share two blocks, two of them a third; two others share one.
    let trace = [
        line(0, 1500, 1, &[0, 1, 2]),
        line(1000, 600, 1, &[3, 4]),
        line(2000, 1200, 1, &[0, 1, 5]),
        "\n".to_owned(),
        line(9000, 1500, 1, &[0, 1, 2]),
        line(9500, 512, 1, &[3]),
    ]
    .concat();
    let ours = json(run("trace-stats", &["-f", "json", "--top", "9"], &trace));
    let of = |name: &str| -> Vec<u64> {
        ours["top"].as_array().unwrap().iter().map(|row| row[name].as_f64().unwrap() as u64).collect()
    };
    assert_eq!(of("id"), [1, 3, 2]);
    assert_eq!(of("blocks"), [2, 1, 3]);
    assert_eq!(of("tokens"), [1024, 512, 1500]);
    assert_eq!(of("requests"), [3, 2, 2]);
    assert_eq!(of("saved_tokens"), [2048, 512, 476]);
    assert_eq!(of("saved_tokens").iter().sum::<u64>(), ours["cached_tokens"].as_u64().unwrap());
    assert_eq!((of("first_line"), of("last_line")), (vec![1, 2, 1], vec![5, 6, 5]));
    assert_eq!(of("longest_pause_ms"), [7000, 8500, 9000]);
    assert_eq!(ours["top_error_tokens"], 0);
    let table = run("trace-stats", &["--top", "1", "--exact"], &trace).ok();
    assert!(table.contains("|    1    |   2    |  1024  |    3     |     2048     |"), "{table}");
    let csv = run("trace-stats", &["--top", "1", "-f", "csv"], &trace).ok();
    assert!(csv.contains("\ntop,1,saved_tokens,2048\n") && !csv.contains("top,3"), "{csv}");
    let gauges = run("trace-stats", &["--top", "1", "-f", "prometheus"], &trace).ok();
    for sample in
        ["id{rank=\"1\",id=\"1\"} 1\n", "requests{rank=\"1\"} 3\n", "longest_pause_seconds{rank=\"1\"} 7.0\n"]
    {
        assert!(gauges.contains(&format!("\nkvtrace_prefix_{sample}")), "{gauges}");
    }
}

#[test]
fn shared_prefixes_outlive_their_blocks() {
    let fresh = |i: u64| (i * 24 + 10..(i + 1) * 24 + 10).collect::<Vec<_>>();
    let mut trace = line(0, 1024, 1, &[0, 1]).repeat(3);
    trace += &(0..150_000).map(|i| line(i, 24 * 512, 1, &fresh(i))).collect::<String>();
    trace += &line(150_000, 512, 1, &fresh(150_000)[..1]).repeat(2);
    let args = ["-f", "json", "--top", "5"];
    let limited = json(run("trace-stats", &[&args[..], &["--max-memory", "48Mi"]].concat(), &trace));
    assert!(limited["bound"]["forgotten_blocks"].as_u64().unwrap() > 0);
    assert_eq!(limited["top"], json(run("trace-stats", &args, &trace))["top"]);
}

#[test]
fn estimates_are_marked_as_such() {
    let args = ["--approx", "100", "-c", "20"];
    let ours = json(run("trace-stats", &[&args[..], &["-f", "json"]].concat(), small_trace()));
    assert!(ours["estimate"]["standard_errors"]["token_hit_rate"].as_f64().unwrap() > 0.0);
    assert!(ours["estimate"]["sampled_blocks"].as_u64().unwrap() <= 100);
    assert!(ours["capacity"][0]["standard_error"].as_f64().unwrap() > 0.0);
    assert!(ours["hit_rate"].is_null() && ours["input_length"]["mean"].is_f64());
    let table = run("trace-stats", &args, small_trace()).ok();
    assert!(table.contains(" +- ") && table.contains("Standard Error"), "{table}");
    let csv = run("trace-stats", &[&args[..], &["-f", "csv"]].concat(), small_trace()).ok();
    assert!(csv.contains("\ncapacity,lru:20,standard_error,"), "{csv}");
    for (other, value) in [("--window", "5req"), ("--ttl", "5m"), ("--top", "3"), ("--policy", "fifo")] {
        let ran = run("trace-stats", &[&args[..], &[other, value]].concat(), small_trace());
        assert_eq!(ran.status, Some(2), "{other}");
    }
    assert_eq!(run("trace-stats", &["--approx", "5"], "").status, Some(2));
}

#[test]
fn groups_share_the_memory_limit() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut trace = String::new();
    for i in 0..40_000 {
        let record = line(i, 24 * 512, 1, &std::array::from_fn::<u64, 24, _>(|_| rng.u64(..)));
        // One group takes nearly all of the memory, a small one is complete.
        let kind = if i % 1000 == 0 { "small" } else { "large" };
        trace += &record.replacen('{', &format!("{{\"type\": \"{kind}\", "), 1);
    }
    let folder = scratch();
    write(folder.path(), "trace", trace);
    let run = "ulimit -v 65536; trace-stats --by type --max-memory 64Mi -f json trace";
    let ours = json(shell(folder.path(), run));
    assert!(ours["bound"]["forgotten_blocks"].as_u64().unwrap() > 0);
    let groups = ours["groups"].as_array().unwrap();
    let group = |value: &str| groups.iter().find(|group| group["value"] == value).unwrap();
    assert!(group("large")["bound"]["forgotten_blocks"].as_u64().unwrap() > 0);
    assert!(group("small")["bound"].is_null(), "{}", group("small"));
    assert_eq!((&group("small")["requests"], &group("small")["unique_blocks"]), (&40.into(), &960.into()));
}

#[test]
fn what_a_prefix_saves_is_counted_by_the_same_rule_as_hits() {
    let trace = [line(0, 512, 1, &[1]).repeat(3), line(1, 1500, 1, &[1, 2, 3]).repeat(2)].concat();
    for rule in ["reference", "engine"] {
        let ours = json(run("trace-stats", &["-f", "json", "--top", "9", "--hits", rule], &trace));
        let saved: u64 =
            ours["top"].as_array().unwrap().iter().map(|row| row["saved_tokens"].as_u64().unwrap()).sum();
        assert_eq!(saved, ours["cached_tokens"].as_u64().unwrap(), "{rule}");
    }
}

#[test]
fn repeated_values_of_a_list_are_one() {
    let args =
        ["-p", "50,50.0", "--policy", "lru,lru", "-c", "5,5", "--ttl", "5m,300s", "--target", "90%,0.9"];
    let gauges = run("trace-stats", &[&args[..], &["-f", "prometheus"]].concat(), small_trace()).ok();
    let series: Vec<&str> =
        gauges.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit_once(' ').unwrap().0).collect();
    let distinct: std::collections::HashSet<&&str> = series.iter().collect();
    assert_eq!(series.len(), distinct.len(), "{gauges}");
}

#[test]
fn sizes_that_are_slips_of_the_pen_are_refused() {
    let kv = ["--kv-bytes-per-token", "131072"];
    for (capacity, reason) in [("64G", "64GB"), ("1MiB", "no block of 512 tokens")] {
        let ran = run("trace-stats", &[&kv[..], &["-c", capacity]].concat(), small_trace());
        assert_eq!(ran.status, Some(2), "{capacity}");
        assert!(ran.stderr.contains(reason), "{capacity}: {}", ran.stderr);
    }
}

#[test]
fn a_trace_out_of_order_is_remarked() {
    let trace: String = (0..20).map(|i| line((i * 7919) % 100, 512, 1, &[0])).collect();
    let ran = run("trace-stats", &[], &trace);
    assert!(ran.stderr.contains("trace-cat --sort"), "{}", ran.stderr);
    assert_eq!(run("trace-stats", &[], small_trace()).stderr, "");
}

#[test]
fn bounds_are_marked_in_every_format() {
    let ids = |i: u64| (i * 24..(i + 1) * 24).collect::<Vec<_>>();
    let endless: String = (0..60_000).map(|i| line(i, 24 * 512, 1, &ids(i))).collect();
    let report =
        |format| run("trace-stats", &["--max-memory", "48Mi", "--curve", "-f", format], &endless).ok();
    assert!(report("csv").contains("\nbound,token_hit_rate,at_least,1\n"));
    assert!(report("prometheus").contains("kvtrace_bound{figure=\"unique_blocks\",bound=\"at_most\"} 1\n"));
    assert!(report("table").contains("Shared blocks:   about "));
}

#[test]
fn what_the_server_recorded_is_summed_and_said() {
    let record = |i: u64, more: &str| line(i, 1024, 1, &[i % 2, 9]).replacen('{', &format!("{{{more}"), 1);
    let trace: String = [
        record(0, "\"cached_tokens\": 0, "),
        record(1, "\"cached_tokens\": 500, \"recorded_input_length\": 1000, "),
        record(2, ""),
        record(3, "\"cached_tokens\": 524, \"recorded_input_length\": null, "),
    ]
    .concat();
    let whole = json(run("trace-stats", &["-f", "json"], &trace));
    let expected = serde_json::json!({"requests": 3, "input_tokens": 3048, "cached_tokens": 1024,
        "token_hit_rate": 1024.0 / 3048.0});
    for (name, sum) in expected.as_object().unwrap() {
        assert_eq!(whole["recorded"][name], *sum, "{name}");
    }
    let table = run("trace-stats", &[], &trace).ok();
    let said = "Recorded: the server had 33.6 % of the prompt tokens in its cache, 1,024 of 3,048 by its own count in the 3 of 4 requests that say so.\n";
    assert!(table.replace("\n  ", " ").contains(said), "{table}");
    // The general path and the fast one agree, and what is no number of tokens is an error.
    let spaced = trace.replace("\"cached_tokens\": ", "\"cached\\u005ftokens\" :\t");
    assert_eq!(json(run("trace-stats", &["-f", "json"], spaced)), whole);
    let ran = run("trace-stats", &[], record(0, "\"cached_tokens\": \"many\", "));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("-:1: cached_tokens: expected"), "{}", ran.stderr);
    assert!(json(run("trace-stats", &["-f", "json"], small_trace())).get("recorded").is_none());
}

#[test]
fn the_answer_stands_above_the_table_and_is_that_of_the_figures() {
    let table = run("trace-stats", &["--kv-bytes-per-token", "1KiB"], small_trace()).ok();
    let ours = json(run(
        "trace-stats",
        &["-f", "json", "--target", "90%", "--kv-bytes-per-token", "1024"],
        small_trace(),
    ));
    let grouped = |value: &serde_json::Value| {
        let digits = value.as_u64().unwrap().to_string();
        let parts = digits.as_bytes().rchunks(3).rev().map(|part| String::from_utf8(part.to_vec()).unwrap());
        parts.collect::<Vec<_>>().join(",")
    };
    let rate = ours["token_hit_rate"].as_f64().unwrap() * 100.0;
    let first = format!(
        "Reusable: {rate:.1} % of the prompt tokens ({}), by a cache without limit.",
        grouped(&ours["cached_tokens"])
    );
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some(&*first));
    let second = lines.next().unwrap();
    let blocks = grouped(&ours["target"][0]["capacity_blocks"]);
    assert!(second.starts_with(&format!("Large enough: an LRU cache of {blocks} block")), "{second}");
    assert!(second.ends_with("MiB), which gives 90 % of that."), "{second}");
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    // However many columns are asked for.
    let wide = run("trace-stats", &["-p", "1,5,10,20,30,40,50,60,70,80,90,95,99,99.9"], small_trace()).ok();
    assert!(
        wide.lines().all(|line| line.chars().count() <= 100) && wide.matches("Input Length").count() > 1,
        "{wide}"
    );
    // With every digit it is the table of the reference, and machines get no sentences.
    let exact = run("trace-stats", &["--exact"], small_trace()).ok();
    let mean = ours["input_length"]["mean"].to_string();
    assert!(exact.contains(&mean) && !table.contains(&mean), "{exact}");
    for format in ["json", "csv", "markdown", "prometheus"] {
        assert!(!run("trace-stats", &["-f", format], small_trace()).ok().contains("Reusable"));
    }
}

#[test]
fn what_a_newcomer_would_misread_is_said() {
    let record = |time: u32, ids: &str| {
        format!(
            "{{\"timestamp\": {time}, \"input_length\": 300, \"hash_ids\": [{ids}], \"cached_tokens\": 100}}\n"
        )
    };
    let trace = [record(0, "1"), record(9000, "2")].concat();
    let ran = run("trace-stats", &["--ttl", "5s,9s,1h"], &trace);
    assert!(ran.stderr.contains("--ttl 9 s, 3600 s: the trace spans 9 s"), "{}", ran.stderr);
    let table = ran.ok().replace("\n  ", " ");
    assert!(
        table.contains("whole blocks of 512 tokens, and the server did find some: smaller blocks"),
        "{table}"
    );
    let silent = trace.replace(", \"cached_tokens\": 100", "");
    let table = run("trace-stats", &[], &silent).ok().replace("\n  ", " ");
    assert!(table.contains("and a prompt has 300 on average"), "{table}");
    let table =
        run("trace-stats", &["-b", "100"], silent.replace("[1]", "[1, 3, 4]").replace("[2]", "[2, 5, 6]"))
            .ok();
    assert!(table.contains("Nothing is reusable: no request begins"), "{table}");
}

#[test]
fn the_peak_rate_of_times_in_long_steps_is_that_of_a_step() {
    let trace: String = (0..66_u64).map(|i| line(i / 6 * 3000, 512, 1, &[i % 12])).collect();
    let json: serde_json::Value =
        serde_json::from_str(&run("trace-stats", &["-f", "json"], &trace).ok()).unwrap();
    assert_eq!(
        (&json["arrivals"]["peak_rate"], &json["arrivals"]["peak_step_rate"]),
        (&6.into(), &2.0.into())
    );
    let table = run("trace-stats", &[], &trace);
    assert!(table.stdout.contains("2.200/s mean, 2.000/s peak"), "{}", table.stdout);
    assert!(
        table.stderr.contains("steps of 3.000 s: the peak rate is that of a step over its length"),
        "{}",
        table.stderr
    );
    for (format, shown) in [
        ("csv", "total,,peak_step_rate,2.0\n"),
        ("prometheus", "kvtrace_peak_step_rate 2.0\n"),
        ("markdown", "peak_step_rate | 2.0"),
        ("html", " / <data value=\"2.0\">2<"),
    ] {
        let report = run("trace-stats", &["-f", format], &trace).ok();
        assert!(report.contains(shown), "{format}: {report}");
    }
    // What moves between tiers and comes to replicas, too.
    let args = ["-f", "json", "--replicas=1", "--tiers", "cpu=2,disk=4"];
    let report = |trace: &str| -> serde_json::Value {
        serde_json::from_str(&run("trace-stats", &args, trace).ok()).unwrap()
    };
    let (slow, fast) = (report(&trace), report(&trace.replace("000, \"input", ", \"input")));
    let peak = |report: &serde_json::Value| report["fleet"][0]["peak_second_tokens"].as_u64().unwrap();
    assert!(peak(&slow) > 0 && peak(&slow) < peak(&fast), "{slow}");
    let even = run("trace-stats", &["-f", "json"], trace.replace("000, \"input", "0, \"input")).ok();
    assert!(!even.contains("peak_step_rate"), "{even}");
}
