//! Gauges for Prometheus: well formed, with labels that last, in a file that is replaced; and the dashboard
//! and the alerts that read them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::{line, run, run_in, scratch, shell, write};
use serde_json::Value;

/// Chats with times, a field, and what the server recorded.
fn trace(requests: u64) -> String {
    let record = |i: u64| {
        let ids = if i.is_multiple_of(3) { vec![0, i + 10] } else { vec![i % 3, i % 3 + 3, i + 10] };
        let length = ids.len() as u64 * 512;
        let more = format!(
            "\"type\": \"{}\", \"cached_tokens\": {}, ",
            ["chat", "a \\\"b\\\\c"][(i % 2) as usize],
            i % 7
        );
        line(i * 1000, length, 5, &ids).replacen('{', &format!("{{{more}"), 1)
    };
    (0..requests).map(record).collect()
}

/// Samples by name and labels, in the order in which they stand.
#[track_caller]
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for row in text.lines().filter(|row| !row.starts_with('#')) {
        let (series, value) = row.rsplit_once(' ').unwrap();
        assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{row} twice");
    }
    samples
}

fn gauges(args: &[&str], trace: &str) -> String {
    run("trace-stats", &[&["-f", "prometheus"], args].concat(), trace).ok()
}

const ALL: [&str; 8] = ["-c", "2,5", "--target", "50%,90%", "--ttl", "5s", "--top", "2"];

#[test]
fn every_gauge_is_explained_in_words_and_stands_together() {
    let sized = [&ALL[..], &["--kv-bytes-per-token", "1k", "--by", "type"]].concat();
    for text in [gauges(&sized, &trace(50)), gauges(&["--approx", "100", "-c", "9"], &trace(500))] {
        let mut names = BTreeSet::new();
        let mut open = String::new();
        for row in text.lines() {
            if let Some(help) = row.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(words.len() > 10 && words.ends_with('.'), "{row}");
                assert!(names.insert(name.to_owned()), "{name} twice");
                name.clone_into(&mut open);
            } else if !row.starts_with('#') {
                assert_eq!(row.split(['{', ' ']).next().unwrap(), open, "{row}");
            }
        }
        assert!(names.len() > 25);
        let folder = scratch();
        write(folder.path(), "k.prom", &text);
        if shell(folder.path(), "command -v promtool").status == Some(0) {
            let checked = shell(folder.path(), "promtool check metrics < k.prom");
            // Its opinions on names are not errors of the format.
            assert!([Some(0), Some(3)].contains(&checked.status), "{}", checked.stderr);
        }
    }
}

#[test]
fn labels_are_the_same_on_another_day() {
    let series = |requests| -> BTreeSet<String> {
        samples(&gauges(&ALL, &trace(requests)))
            .into_keys()
            .filter(|name| !name.contains("prefix_id"))
            .collect()
    };
    assert_eq!(series(50), series(90));
    let text = gauges(&ALL, &trace(50));
    for part in
        ["cache=\"infinite\"}", "kind=\"target\",cache=\"0.9\"}", "kind=\"capacity\",cache=\"lru:5\"}"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let found = samples(&text);
    assert_eq!(found["kvtrace_last_record_timestamp_seconds"], 49.0);
    assert_eq!(found["kvtrace_recorded_requests"], 50.0);
    assert!(found["kvtrace_target_blocks{share=\"0.9\"}"] >= found["kvtrace_target_blocks{share=\"0.5\"}"]);
}

#[test]
fn groups_are_labels() {
    let found = samples(&gauges(&["--by", "type"], &trace(51)));
    assert_eq!(found["kvtrace_requests"], 51.0);
    assert_eq!(found["kvtrace_requests{type=\"chat\"}"], 26.0);
    assert_eq!(found["kvtrace_requests{type=\"a \\\"b\\\\c\"}"], 25.0);
    let json: Value =
        serde_json::from_str(&run("trace-stats", &["--by", "type", "-f", "json"], trace(51)).ok()).unwrap();
    let mean = json["groups"][0]["input_length"]["mean"].as_f64().unwrap();
    assert_eq!(found["kvtrace_input_length{stat=\"mean\",type=\"chat\"}"], mean);
}

#[test]
fn a_window_and_a_report_replace_the_one_before() {
    let folder = scratch();
    let path = folder.path();
    write(path, "trace.jsonl", trace(50));
    let read = || samples(&std::fs::read_to_string(path.join("k.prom")).unwrap());
    let args = ["-f", "prometheus", "-o", "k.prom", "--window", "20s", "-c", "5", "trace.jsonl"];
    run_in(path, "trace-stats", &args, "").ok();
    let found = read();
    assert_eq!(found["kvtrace_window_start_timestamp_seconds"], 40.0);
    assert_eq!((found["kvtrace_window_requests"], found["kvtrace_running_requests"]), (10.0, 50.0));
    assert!(found.contains_key("kvtrace_running_cache_token_hit_rate{kind=\"capacity\",cache=\"lru:5\"}"));
    for every in ["7req", "25req"] {
        run_in(path, "trace-stats", &["--every", every, "-o", "k.prom", "trace.jsonl"], "").ok();
        assert_eq!(read()["kvtrace_requests"], 50.0);
    }
    // While the stream goes on, the file has the windows that are over.
    let cut = trace(41);
    std::fs::remove_file(path.join("k.prom")).unwrap();
    let fed = format!("(cat cut; sleep 1; cp k.prom seen) | trace-stats {}", args[..6].join(" "));
    write(path, "cut", cut);
    shell(path, &fed).ok();
    let seen = samples(&std::fs::read_to_string(path.join("seen")).unwrap());
    assert_eq!(
        (seen["kvtrace_window_start_timestamp_seconds"], seen["kvtrace_running_requests"]),
        (20.0, 40.0)
    );
    assert_eq!(read()["kvtrace_running_requests"], 41.0);
    let names: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with(".kvtrace")), "{names:?}");
}

/// More distinct blocks than the smallest memory holds.
fn endless() -> String {
    let ids = |i: u64| (i * 24..(i + 1) * 24).collect::<Vec<_>>();
    (0..60_000).map(|i| line(i, 24 * 512, 1, &ids(i))).collect()
}

/// The metrics of ours that a query names.
fn queried(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("kvtrace_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/grafana");
    let all = gauges(&[&ALL[..], &["--kv-bytes-per-token", "1k"]].concat(), &trace(50));
    let bounds = |mode: &[&str]| {
        let folder = scratch();
        let args = ["-f=prometheus", "-o=k.prom", "--max-memory=48Mi", "-c=1000"];
        run_in(folder.path(), "trace-stats", &[&args, mode].concat(), endless()).ok();
        std::fs::read_to_string(folder.path().join("k.prom")).unwrap()
    };
    let (windows, daily_bounds) = (bounds(&["--window=20s"]), bounds(&[]));
    // What the daily script writes itself stands in it as it is written.
    let daily = std::fs::read_to_string(examples.join("../daily/kvtrace-daily")).unwrap();
    let known: BTreeSet<String> = [&*all, &*windows, &*daily_bounds, &*daily]
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|row| row.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(examples.join("dashboard.json")).unwrap()).unwrap();
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(
            panel["title"].as_str().is_some_and(|title| !title.is_empty()) && panel["gridPos"].is_object()
        );
        for target in panel["targets"].as_array().into_iter().flatten() {
            let names = queried(target["expr"].as_str().unwrap());
            assert!(!names.is_empty(), "{target}");
            asked.extend(names);
            for label in target["legendFormat"].as_str().unwrap().split("{{").skip(1) {
                let label = label.split("}}").next().unwrap();
                let given = ["instance", "model"].contains(&label) || all.contains(&format!("{label}=\""));
                assert!(given, "{label}: {target}");
            }
        }
    }
    let rules = std::fs::read_to_string(examples.join("alerts.yml")).unwrap();
    asked.extend(queried(&rules));
    assert!(asked.len() > 8, "{asked:?}");
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    if shell(&examples, "command -v promtool").status == Some(0) {
        shell(&examples, "promtool check rules alerts.yml && promtool test rules alerts-test.yml").ok();
    }
}

#[test]
fn a_signal_leaves_the_figures_of_the_whole() {
    let folder = scratch();
    let path = folder.path();
    run_in(path, "trace-stats", &["-f", "prometheus", "-o", "k.prom"], trace(50)).ok();
    let before = std::fs::read(path.join("k.prom")).unwrap();
    write(path, "part", trace(20));
    for mode in ["", "--window 5s", "--every 7req"] {
        let fed = format!(
            "(cat part; sleep 3) | (trace-stats {mode} -f prometheus -o new.prom & cp k.prom new.prom; sleep 1; \
             cp new.prom seen.prom; kill -TERM $!; wait $!)"
        );
        let ran = shell(path, &fed);
        assert_eq!(ran.status, Some(143), "{mode}: {}", ran.stderr);
        let (seen, after) = (path.join("seen.prom"), path.join("new.prom"));
        assert_eq!(std::fs::read(seen).unwrap(), std::fs::read(after).unwrap(), "{mode}");
        if mode.is_empty() {
            assert_eq!(std::fs::read(path.join("new.prom")).unwrap(), before);
        }
    }
}

#[test]
fn labels_of_the_user_are_on_every_sample() {
    let args = ["-c", "5", "--by", "type", "--label", "cluster=a,model=m b"];
    let plain = samples(&gauges(&args[..4], &trace(51)));
    let labelled = samples(&gauges(&args, &trace(51)));
    let given = "cluster=\"a\",model=\"m b\"";
    let expected: BTreeMap<String, f64> = plain
        .into_iter()
        .map(|(name, value)| match name.split_once('{') {
            Some((name, labels)) => (format!("{name}{{{given},{labels}"), value),
            None => (format!("{name}{{{given}}}"), value),
        })
        .collect();
    assert_eq!(labelled, expected);
    for (wrong, message) in [
        (&["--label", "stat=x"][..], "'stat' is not the name of a label"),
        (&["--label", "9a=x"], "'9a' is not the name of a label"),
        (&["--label", "a"], "expected NAME=VALUE"),
        (&["--label", "a="], "the label a has no value"),
        (&["--label", "a=1", "--label", "a=2"], "each label once"),
        (&["--label", "type=x", "--by", "type"], "each label once"),
    ] {
        let ran = run("trace-stats", &[&["-f", "prometheus"], wrong].concat(), trace(5));
        assert_eq!(ran.status, Some(2), "{wrong:?}");
        assert!(ran.stderr.contains(message), "{wrong:?}: {}", ran.stderr);
    }
    assert_eq!(run("trace-stats", &["--label", "a=1"], trace(5)).status, Some(2));
}

#[test]
fn an_empty_value_of_a_group_is_not_the_whole() {
    let text = trace(51).replace("\"chat\"", "\"\"");
    let found = samples(&gauges(&["--by", "type"], &text));
    assert_eq!(found["kvtrace_requests"], 51.0);
    assert_eq!(found["kvtrace_requests{type=\"\\\"\\\"\"}"], 26.0);
}

#[test]
fn a_stream_has_its_own_skipped_records() {
    let folder = scratch();
    let bad = format!("{}no record\n{}", trace(20), trace(20));
    let args = ["-f", "prometheus", "-o", "k.prom", "--window", "10req", "--skip-invalid", "-q"];
    run_in(folder.path(), "trace-stats", &args, bad).ok();
    let found = samples(&std::fs::read_to_string(folder.path().join("k.prom")).unwrap());
    assert_eq!(found["kvtrace_running_skipped_records"], 1.0);
    let bad = format!("{}junk\n", trace(10));
    let json = run("trace-stats", &["--window=9req", "--skip-invalid", "-q"], bad).ok();
    assert!(json.lines().last().unwrap().contains("\"skipped_records\":1"), "{json}");
}

#[test]
fn a_pipe_that_brings_nothing_leaves_the_figures_as_they_were() {
    let folder = scratch();
    let args = ["-f", "prometheus", "-o", "k.prom"];
    run_in(folder.path(), "trace-stats", &args, trace(50)).ok();
    let before = std::fs::read(folder.path().join("k.prom")).unwrap();
    let ran = run_in(folder.path(), "trace-stats", &args, String::new());
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("no requests in the input, so k.prom stays as it is"), "{}", ran.stderr);
    assert_eq!(std::fs::read(folder.path().join("k.prom")).unwrap(), before);
}

#[test]
fn skipped_records_and_sizes_in_bytes_are_in_every_format() {
    let bad = format!("{}no record\n{{\"input_length\": 7\n", trace(20));
    let options = ["--skip-invalid", "-q", "-c", "2", "--kv-bytes-per-token", "1k"];
    let ran = |more: &[&str], trace: &str| run("trace-stats", &[&options, more].concat(), trace).ok();
    let found = samples(&ran(&["-f", "prometheus"], &bad));
    assert_eq!(found["kvtrace_skipped_records"], 2.0);
    assert_eq!(
        found["kvtrace_cache_capacity_bytes{kind=\"capacity\",cache=\"lru:2\"}"],
        2.0 * 512.0 * 1000.0
    );
    assert_eq!(samples(&gauges(&[], &trace(20)))["kvtrace_skipped_records"], 0.0);
    let json: Value = serde_json::from_str(&ran(&["-f", "json", "--by", "type"], &bad)).unwrap();
    assert_eq!((json["skipped_records"].as_u64(), json["requests"].as_u64()), (Some(2), Some(20)));
    for (format, said) in [
        ("table", "Skipped:         2 bad records, which are in no figure"),
        ("markdown", "| skipped_records | 2 |"),
        ("csv", "skipped_records,2"),
        ("html", "2 bad records were skipped: they are in no figure."),
    ] {
        let text = ran(&["-f", format], &bad);
        assert!(text.contains(said), "{format}: {text}");
        assert!(!ran(&["-f", format], &trace(20)).contains("kipped"), "{format}");
    }
}

#[test]
fn a_title_heads_what_has_a_head() {
    let ran = |format: &str| run("trace-stats", &["--title", "Tuesday <1>", "-f", format], trace(20));
    for (format, head) in [
        ("table", "Tuesday <1>\n\n"),
        ("markdown", "# Tuesday \\<1\\>\n\n"),
        ("json", "{\n  \"title\": \"Tuesday <1>\","),
    ] {
        let text = ran(format).ok();
        assert!(text.starts_with(head), "{format}: {text}");
    }
    for (format, part) in [("html", "<h1>Tuesday &lt;1&gt;</h1>"), ("svg", ": Tuesday &lt;1&gt;</title>")] {
        let text = ran(format).ok();
        assert!(text.contains(part), "{format}: {text}");
    }
    assert_eq!(ran("csv").status, Some(2));
    let times: Value = serde_json::from_str(&ran("json").ok()).unwrap();
    assert_eq!(times["arrivals"]["last_ms"], 19000.0);
}
