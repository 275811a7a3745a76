//! Wrong results that were found by trying: a test for each kind.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{command, line, run, run_in, scratch, shell, write};
use proptest::prelude::*;
use serde_json::{Value, json};

fn parse(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Files whose records may have ids or not, in any order of time: the same blocks are the same, and all
    /// others different, however the files are put together.
    #[test]
    fn files_keep_their_ids_apart_in_every_order(
        files in proptest::collection::vec(
            proptest::collection::vec((0_u64..50, proptest::option::of(0_u64..3)), 1..5), 2..4),
        auto in any::<bool>(),
    ) {
        let folder = scratch();
        let mut names = Vec::new();
        let mut tagged = 0;
        for (i, rows) in files.iter().enumerate() {
            let mut rows = rows.clone();
            rows.sort_by_key(|(time, _)| *time);
            let text: String = rows
                .iter()
                .map(|(time, id)| {
                    // The tag tells which file and which id a line had.
                    let ids = id.map_or_else(String::new, |id| format!(", \"hash_ids\": [{id}], \"tag\": \"{i}:{id}\""));
                    tagged += 1;
                    format!("{{\"timestamp\": {time}, \"input_length\": 1{ids}}}\n")
                })
                .collect();
            names.push(write(folder.path(), &i.to_string(), text));
        }
        let scope = if auto { "--ids-scope=auto" } else { "--ids-scope=file" };
        let read = |order: &[&str]| {
            let mut args = [&["-q", "--block-size=1", scope][..], order].concat();
            args.extend(names.iter().map(String::as_str));
            let mut ids: BTreeMap<String, u64> = BTreeMap::new();
            for row in parse(&run("trace-cat", &args, "").ok()) {
                if let Some(tag) = row["tag"].as_str() {
                    let id = row["hash_ids"][0].as_u64().unwrap();
                    assert_eq!(*ids.entry(tag.to_owned()).or_insert(id), id, "one block, one id");
                }
            }
            // Which tags have the same id.
            let mut classes: HashMap<u64, Vec<String>> = HashMap::new();
            ids.into_iter().for_each(|(tag, id)| classes.entry(id).or_default().push(tag));
            let mut classes: Vec<_> = classes.into_values().collect();
            classes.sort();
            classes
        };
        let plain = read(&[]);
        prop_assert_eq!(&read(&["--merge"]), &plain);
        prop_assert_eq!(&read(&["--sort"]), &plain);
        if !auto {
            prop_assert!(plain.iter().all(|class| class.len() == 1));
        }
    }
}

#[test]
fn a_list_that_is_given_as_null_is_filled_in_place() {
    let rows = [
        json!({"session_id": "a", "input_length": 2, "output_length": 1, "hash_ids": [7, 8]}),
        json!({"session_id": "a", "input_length": 1, "output_length": 1, "hash_ids": null, "x": 1}),
        json!({"session_id": "a", "input_length": 1, "output_length": 1, "x": 1}),
        json!({"session_id": "b", "input_length": 1, "output_length": 1, "hash_ids": null}),
    ];
    let trace: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let written = run("trace-cat", &["--block-size=1", "--turns=cumulative"], trace).ok();
    run("trace-cat", &["--block-size=1", "--check"], &written).ok();
    let ids = |row: &Value| row["hash_ids"].as_array().map(Vec::len);
    assert_eq!(
        parse(&written).iter().map(ids).collect::<Vec<_>>(),
        [Some(2), Some(4), Some(6), None],
        "{written}"
    );
}

#[test]
fn values_are_grouped_as_jq_compares_them() {
    let values = [
        "1",
        "1.0",
        "1e0",
        "\"1\"",
        "\"1.0\"",
        "\"(none)\"",
        "\"(other)\"",
        "null",
        "true",
        "\"true\"",
        "\"null\"",
        "[1, 2]",
        "[1.0,2]",
        "{\"a\": 1, \"b\": 2}",
        "{\"b\":2,\"a\":1.0}",
        "\"text\"",
        "0.5",
        "5e-1",
        "-0",
        "0",
    ];
    let absent = "{\"input_length\": 1}\n".to_owned();
    let trace: String = values
        .iter()
        .map(|value| format!("{{\"input_length\": 1, \"m\": {value}}}\n"))
        .chain([absent])
        .collect();
    let report = run("trace-stats", &["--by", "m", "-f", "json"], &trace).ok();
    let report: Value = serde_json::from_str(&report).unwrap();
    let mut found: Vec<(String, u64)> = Vec::new();
    for group in report["groups"].as_array().unwrap() {
        found.push((group["value"].to_string(), group["requests"].as_u64().unwrap()));
    }
    let expected = [
        ("1", 3),
        ("\"1\"", 1),
        ("\"1.0\"", 1),
        ("\"(none)\"", 1),
        ("\"(other)\"", 1),
        ("null", 2),
        ("true", 1),
        ("\"true\"", 1),
        ("\"null\"", 1),
        ("[1,2]", 2),
        ("{\"a\":1,\"b\":2}", 2),
        ("\"text\"", 1),
        ("0.5", 2),
        ("0", 2),
    ];
    let expected: Vec<_> = expected.iter().map(|(value, n)| ((*value).to_owned(), *n)).collect();
    assert_eq!(found, expected);
    let table = run("trace-stats", &["--by", "m", "-f", "table"], &trace).ok();
    for title in ["\n1 ", "\n\"1\" ", "\n(none) ", "\n\"(none)\" ", "\ntext "] {
        assert_eq!(table.matches(title).count(), 1, "{title}");
    }
}

#[test]
fn an_empty_list_of_ids_survives_a_table() {
    let trace =
        "{\"input_length\":0,\"hash_ids\":[]}\n{\"input_length\":0}\n{\"input_length\":1,\"hash_ids\":[3]}\n";
    let table = run("trace-cat", &["--to-format=csv"], trace).ok();
    let back = run("trace-cat", &[], table).ok();
    let lists: Vec<Value> = parse(&back).iter().map(|row| row["hash_ids"].clone()).collect();
    assert_eq!(lists, [json!([]), Value::Null, json!([3])]);
}

#[test]
fn quoted_fields_of_a_table_may_go_over_lines() {
    let folder = scratch();
    let names = "timestamp,input_length,output_length,hash_ids,note\n";
    let table = format!("{names}0,3,1,0,\"a\r\nb, \"\"c\"\"\nd\"\n1,3,1,0,e\n");
    let rows = parse(&run("trace-cat", &[], &table).ok());
    assert_eq!((rows[0]["note"].as_str(), rows[1]["note"].as_str()), (Some("a\nb, \"c\"\nd"), Some("e")));
    // A field that never ends is an error, and the next file is read all the same.
    let cut = write(folder.path(), "cut.csv", format!("{names}0,3,1,0,x\n1,3,1,0,\"a\nb\n"));
    let good = write(folder.path(), "good.csv", &table);
    let ran = run("trace-cat", &[&cut], "");
    assert_eq!((ran.status, ran.stdout.lines().count()), (Some(1), 1));
    assert!(ran.stderr.contains("a quoted field without its end"), "{}", ran.stderr);
    let ran = run("trace-cat", &["--skip-invalid", &cut, &good], "");
    assert!(ran.stderr.contains("skipped 1 invalid record"), "{}", ran.stderr);
    assert_eq!(ran.ok().lines().count(), 3);
    let endless = format!("{names}0,3,1,0,\"{}", "a\n".repeat(1 << 20));
    assert_eq!(run("trace-cat", &[], endless).status, Some(1));
}

/// The figures that are neither exact nor marked as bounds.
#[test]
fn figures_of_prefixes_and_windows_are_marked_once_blocks_are_forgotten() {
    // Many sessions that come back after all others.
    let round = |round: u64| {
        (0..60_000).map(move |s| {
            line(round * 60_000 + s, 16, 1, &(0..16).map(|i| s * 16 + i).map(scatter).collect::<Vec<_>>())
        })
    };
    let trace: String = round(0).chain(round(1)).collect();
    let args = ["-b", "1", "--max-memory", "48Mi"];
    let report = run("trace-stats", &[&args[..], &["--top", "3", "-f", "json"]].concat(), &trace).ok();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["bound"]["forgotten_blocks"].as_u64().unwrap() > 0);
    assert!(report["bound"]["neither"].as_array().unwrap().contains(&json!("top")));
    let report = [&args[..], &["--top", "3", "--target", "50%"]].concat();
    let table = run("trace-stats", &report, &trace).ok();
    let target = table.lines().find(|row| row.starts_with("50 %")).unwrap();
    assert_eq!(target.matches("about ").count(), 4, "{target}");
    let windows =
        run("trace-stats", &[&args[..], &["--window", "60000req", "-f", "csv", "-c", "5M"]].concat(), &trace)
            .ok();
    let rows: Vec<Vec<&str>> = windows.lines().map(|row| row.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|title| *title == name).unwrap();
    let (least, most) = (column("at_least"), column("at_most"));
    assert_eq!(
        rows[2][least],
        "cached_tokens hit_rate token_hit_rate running_token_hit_rate running_lru_5000000"
    );
    assert_eq!(rows[2][most], "new_blocks running_unique_blocks");
    let exact = run("trace-stats", &["-b", "1", "--window", "60000req", "-f", "csv"], &trace).ok();
    assert!(exact.lines().skip(1).all(|row| row.ends_with(",,")), "{exact}");
    let json = run("trace-stats", &[&args[..], &["--window", "60000req"]].concat(), &trace).ok();
    assert_eq!(parse(&json)[1]["bound"]["at_most"], json!(["new_blocks"]));
    // A daily report may stand beside the file of a stream.
    let folder = scratch();
    let gauges = [&args[..], &["--window", "60000req", "-f", "prometheus", "-o", "k.prom"]].concat();
    run_in(folder.path(), "trace-stats", &gauges, &trace).ok();
    let gauges = std::fs::read_to_string(folder.path().join("k.prom")).unwrap();
    assert!(gauges.contains("kvtrace_stream_bound{") && !gauges.contains("kvtrace_bound{"), "{gauges}");
}

/// An id that does not rise, so that each takes memory.
fn scatter(id: u64) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[test]
fn a_mooncake_file_has_the_names_of_the_format() {
    let folder = scratch();
    let trace = "{\"created_time\": 5, \"input_tokens\":3,\"output_tokens\" : 7, \"hash_ids\": [0], \"note\": \"input_tokens\", \"x\": {\"input_tokens\": 9}}\n";
    let expected = "{\"timestamp\": 5, \"input_length\":3,\"output_length\" : 7, \"hash_ids\": [0], \"note\": \"input_tokens\", \"x\": {\"input_tokens\": 9}}\n";
    assert_eq!(run("trace-cat", &[], trace).ok(), expected);
    assert_eq!(run("trace-cat", &["--sort"], trace).ok(), expected);
    assert_eq!(run("trace-cat", &["--tail=1"], trace).ok(), expected);
    let moved = run("trace-cat", &["--rebase"], trace).ok();
    assert_eq!(moved, expected.replace('5', "0"));
    let file = write(folder.path(), "t", expected);
    assert_eq!(run("trace-cat", &[&file], "").ok(), expected);
}

#[test]
fn figures_of_a_run_do_not_pass_for_a_trace() {
    let result = "{\"input_tokens\": 5, \"output_tokens\": 3, \"ttft\": 0.1}\n";
    let windows = run("trace-stats", &["--window=1req"], line(0, 5, 5, &[0])).ok();
    for text in [result, &windows] {
        for name in ["trace-stats", "trace-cat", "trace-synth"] {
            let ran = run(name, &[], text);
            assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{name}: {text}");
            assert!(ran.stderr.contains("-:1: "), "{}", ran.stderr);
        }
    }
    for record in ["\"hash_ids\": [0]", "\"timestamp\": 1", "\"created_time\": 1"] {
        run("trace-stats", &[], format!("{{\"input_tokens\": 5, {record}}}\n")).ok();
    }
}

#[test]
fn requests_that_are_not_written_take_no_ids() {
    // Sessions that grow, long and short ones mixed.
    let mut trace = String::new();
    let mut next = 1;
    let mut sessions: Vec<Vec<u64>> = vec![vec![0]; 20];
    for i in 0..400_u64 {
        let session = &mut sessions[(i * 7 % 20) as usize];
        for _ in 0..=(i % 3) {
            session.push(next);
            next += 1;
        }
        if session.len() > 30 {
            *session = vec![0];
        }
        trace += &line(i * 100, 10 * session.len() as u64, 5, session);
    }
    for model in ["sessions", "tree"] {
        for limits in [&["--min-isl=150"][..], &["--max-isl=100"], &["--min-isl=100", "--max-isl=200"], &[]] {
            let args = [&["-b=10", "-n=300", "--model", model][..], limits].concat();
            let synthetic = run("trace-synth", &args, &trace).ok();
            let mut known = 0;
            for row in parse(&synthetic) {
                for id in row["hash_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()) {
                    assert!(id <= known, "{model} {limits:?}: {id} after {known}");
                    known = known.max(id + 1);
                }
            }
            run("trace-cat", &["-b=10", "--check"], &synthetic).ok();
        }
    }
}

#[test]
fn zeros_behind_gzip_data_are_padding() {
    let (a, b) = (line(0, 1, 1, &[0]), line(1, 1, 1, &[0]));
    for zeros in [1, 512, 1 << 20] {
        let padded = [gzip(a.as_bytes()), gzip(b.as_bytes()), vec![0; zeros]].concat();
        assert_eq!(run("trace-cat", &[], &padded).ok(), format!("{a}{b}"));
    }
    for behind in [&b"x"[..], b"\0\0x", &[&[0; 3][..], &gzip(b.as_bytes())].concat()] {
        let ran = run("trace-cat", &[], [&gzip(a.as_bytes()), behind].concat());
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), a.as_str()), "{}", ran.stderr);
    }
}

#[test]
fn a_check_goes_on_after_a_line_that_is_too_long() {
    let long = format!("{{\"input_length\": 1, \"x\": \"{}\"}}\n", "a".repeat(200));
    let trace =
        format!("{}{long}{}{long}{{\n{}", line(0, 1, 1, &[0]), line(5, 1, 1, &[0]), line(1, 1, 1, &[0]));
    let ran = run("trace-cat", &["--check", "--max-line=150"], trace);
    assert_eq!(ran.status, Some(1));
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(summary["records"], 3);
    assert_eq!(
        (&summary["errors"]["malformed"]["count"], &summary["errors"]["malformed"]["line"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(summary["notes"]["time_backwards"]["line"], 6);
    assert!(summary["errors"]["malformed"]["message"].as_str().unwrap().contains("--max-line"));
}

#[test]
fn more_files_may_be_merged_than_may_be_open() {
    let folder = scratch();
    for i in 0..150 {
        write(folder.path(), &format!("{i:03}"), line(i, 1, 1, &[0]) + &line(1000 - i, 1, 1, &[1]));
    }
    let few = shell(folder.path(), "ulimit -n 64; trace-cat -q --merge ???").ok();
    assert_eq!(few, shell(folder.path(), "trace-cat -q --merge ???").ok());
    assert_eq!(few.lines().count(), 300);
    // A soft limit alone is raised.
    assert_eq!(few, shell(folder.path(), "ulimit -Sn 64; trace-cat -q --merge ???").ok());
    write(folder.path(), "070", line(7, 1, 1, &[0]) + &line(3, 1, 1, &[1]));
    let ran = shell(folder.path(), "ulimit -n 64; trace-cat -q --merge ???");
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("070:2: a timestamp before that of the record before"), "{}", ran.stderr);
    shell(folder.path(), "ulimit -n 64; trace-cat -q ??? | trace-stats").ok();
}

#[test]
fn closed_streams_are_errors() {
    let folder = scratch();
    write(folder.path(), "t", line(0, 1, 1, &[0]));
    write(folder.path(), "p", "{\"prompt\": \"x\"}\n");
    for filter in [
        "trace-cat t",
        "trace-stats t",
        "trace-synth --min-count 1 t",
        "trace-hash --tokenizer bytes p",
        "trace-cat --check t",
    ] {
        let ran = shell(folder.path(), &format!("{filter} >&-"));
        assert_eq!(ran.status, Some(1), "{filter}");
        assert!(ran.stderr.contains("standard output: Bad file descriptor"), "{filter}: {}", ran.stderr);
        shell(folder.path(), &format!("{filter} > /dev/null")).ok();
        shell(folder.path(), &format!("{filter} -o made >&-")).ok();
        shell(folder.path(), &format!("{filter} -o made 2>&-")).ok();
    }
    let ran = shell(folder.path(), "trace-cat <&-");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("Bad file descriptor"), "{}", ran.stderr);
}

#[test]
fn a_hangup_leaves_no_file_unless_it_is_ignored() {
    // Children inherit what is ignored: bit 0 of the set is SIGHUP.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0").trim();
    if u64::from_str_radix(ignored, 16).unwrap() & 1 == 1 {
        return println!("skipped: the tests themselves run with SIGHUP ignored, as under nohup");
    }
    let folder = scratch();
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let wait = |condition: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !condition() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(condition());
    };
    let out = folder.path().join("out");
    let mut child = command("trace-cat").arg("-o").arg(&out).stdin(Stdio::piped()).spawn().unwrap();
    wait(&|| names() == 1);
    let hangup = |id: u32| Command::new("kill").args(["-HUP", &id.to_string()]).status().unwrap();
    hangup(child.id());
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal(), names()), (Some(129), None, 0));
    // As under nohup.
    let filter = command("trace-cat").get_program().to_owned();
    let mut child = Command::new("bash")
        .args(["-c", "trap '' HUP; exec \"$0\" -o \"$1\""])
        .args([&filter, out.as_os_str()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait(&|| names() == 1);
    hangup(child.id());
    child.stdin.take().unwrap().write_all(line(0, 1, 1, &[0]).as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), line(0, 1, 1, &[0]));
}

#[test]
fn a_file_without_an_end_is_refused_where_a_whole_one_is_needed() {
    let folder = scratch();
    write(folder.path(), "p", "{\"prompt\": \"x\"}\n");
    let ran = run_in(folder.path(), "trace-hash", &["--tokenizer", "bytes", "--state", "/dev/zero", "p"], "");
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("/dev/zero: not a regular file, which --state needs"), "{}", ran.stderr);
    for args in [&["--tokenizer", "/dev/zero"][..], &["--tokenizer", "bytes", "--chat-template", "/dev/zero"]]
    {
        let ran = run_in(folder.path(), "trace-hash", &[args, &["p"]].concat(), "");
        assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    }
}

#[test]
fn what_a_prediction_for_an_engine_rests_on_is_said() {
    let trace = format!("{}{}", line(0, 1024, 3, &[1, 2]), line(5, 1536, 3, &[1, 2, 3]));
    let said = |options: &[&str], trace: &str| {
        run("trace-stats", &[&["--policy", "vllm", "-c", "100"], options].concat(), trace).stderr
    };
    let together = ["--concurrency", "2", "--sessions"];
    let warned = said(&together, &trace);
    assert!(warned.contains("blocks of 512 tokens: vLLM's have 16"), "{warned}");
    assert!(warned.contains("2 of 2 requests do not name their session"), "{warned}");
    // Nothing of it is said where it does not hold.
    let small = format!("{{\"block_size\": 16, \"session_id\": 1, {}", &line(0, 32, 3, &[1, 2])[1..]);
    assert_eq!(said(&together, &small), "");
    assert!(!said(&[], &trace).contains("session"));
}

#[test]
fn what_would_be_misread_is_said() {
    let record = |i: u64, ids: &[u64]| line(i / 4 * 3000, 700, 2, ids);
    let trace: String = (0..40).map(|i| record(i, &[i % 3, i + 10])).collect();
    let said = |options: &[&str]| run("trace-stats", options, &trace).stderr;
    assert!(said(&[]).contains("times come in steps of 3.000 s"));
    assert!(
        !run("trace-stats", &[], (0..40).map(|i| line(i * 3000, 9, 1, &[i])).collect::<String>())
            .stderr
            .contains("steps")
    );
    let routed = said(&["--replicas", "2", "--route", "session"]);
    assert!(
        routed.contains("40 of 40 requests do not name their session (see --session-field): --route session"),
        "{routed}"
    );
    assert!(!said(&["--replicas", "2", "--route", "prefix=1"]).contains("name their session"));
    let engines = "hits of all caches are counted as engines do";
    assert!(said(&["--policy", "lru,vllm", "-c", "9"]).contains(engines));
    assert!(!said(&["--policy", "vllm", "-c", "9"]).contains(engines));
    assert!(!said(&["--policy", "lru", "-c", "9"]).contains(engines));
}

#[test]
fn the_output_length_of_tair_is_read() {
    let row = json!({"type": "dialog_turn", "instance_id": "i", "trace_id": "t", "timestamp_us": 5, "keys": [7, 8],
        "input_len": 30, "output_len": 9});
    let rows = parse(&run("trace-cat", &["--from-format=tair", "-b", "16"], format!("{row}\n")).ok());
    assert_eq!((&rows[0]["output_length"], &rows[0]["hash_ids"]), (&json!(9), &json!([7, 8])));
}

#[test]
fn a_request_of_llmservingsim_is_a_prompt_with_its_time_and_output() {
    let row =
        json!({"input_toks": 3, "output_toks": 8, "arrival_time_ns": 2_500_000, "input_tok_ids": [4, 5, 6]});
    let rows = parse(&run("trace-hash", &["-b", "2"], format!("{row}\n")).ok());
    assert_eq!(rows[0]["timestamp"], json!(2.5));
    assert_eq!((&rows[0]["input_length"], &rows[0]["output_length"]), (&json!(3), &json!(8)));
}

#[test]
fn files_are_shifted_behind_times_below_zero_too() {
    let folder = scratch();
    for (name, times) in [("a", [-9, -4]), ("b", [3, 5])] {
        let rows = times.map(|time| format!("{{\"timestamp\": {time}, \"input_length\": 1}}\n"));
        write(folder.path(), name, rows.concat());
    }
    let rows = parse(&run_in(folder.path(), "trace-cat", &["-q", "--shift", "a", "b"], "").ok());
    assert_eq!(
        rows.iter().map(|row| row["timestamp"].as_i64().unwrap()).collect::<Vec<_>>(),
        [-9, -4, -4, -2]
    );
}

#[test]
fn fields_that_stay_in_an_anonymous_trace_are_named() {
    let private = format!("{{\"tenant\": \"acme\", \"no\\u0074e\": 1, {}", &line(0, 600, 1, &[7, 8])[1..]);
    let anonymous = |trace: &str| run("trace-cat", &["--anonymize", "--salt", "x"], trace);
    let ran = anonymous(&private);
    assert!(ran.stderr.contains("other fields stay as they are: note, tenant;"), "{}", ran.stderr);
    assert!(ran.ok().contains("acme"));
    assert_eq!(anonymous(&line(0, 600, 1, &[7, 8])).stderr, "");
    assert_eq!(run("trace-cat", &["--renumber"], &private).stderr, "");
}

#[test]
fn times_since_1970_meet_those_of_a_clock() {
    let folder = scratch();
    let path = folder.path();
    let at = |minutes: u64| 1_795_476_000_000 + minutes * 60_000;
    write(path, "m", format!("{}{}", line(at(0), 9, 1, &[0]), line(at(20), 9, 1, &[1])));
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-23 22:50:00,9,1\n2026-11-23 23:00:00,9,1\n";
    write(path, "a", azure);
    let minutes = |command: &str| -> Vec<i64> {
        let ran = shell(path, command);
        let times = ran.ok();
        let times = times.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        times.map(|record| (record["timestamp"].as_f64().unwrap() / 60_000.0) as i64).collect()
    };
    let epoch = (at(0) / 60_000) as i64;
    let since = shell(path, "date -u -d '2026-11-23 22:50:00' +%s").ok().trim().parse::<i64>().unwrap() / 60;
    let mut all = [epoch, epoch + 20, since, since + 10];
    all.sort_unstable();
    let from_zero: Vec<i64> = all.iter().map(|minute| minute - all[0]).collect();
    for command in
        ["trace-cat -q -s m a", "trace-cat -q -s a m", "trace-cat -q -m m a", "trace-cat -q -s --rebase m a"]
    {
        assert_eq!(minutes(command), from_zero, "{command}");
    }
}

fn json_of(args: &[&str], input: &str) -> Value {
    let ran = run("trace-stats", &[&["-q", "-b", "4", "-f", "json"], args].concat(), input);
    serde_json::from_str(&ran.ok()).unwrap()
}

#[test]
fn what_is_recorded_of_one_request_is_not_taken_off_the_bill_of_another() {
    let price = ["--min-hit", "16", "--price", "input=3,cached=0.3,write=3.75"];
    let cost = |input: &str| json_of(&price, input)["recorded"]["cost"].as_f64().unwrap();
    let found = r#"{"input_length": 10, "hash_ids": [0, 1, 2], "cached_tokens": 10}"#.to_owned() + "\n";
    let written =
        r#"{"input_length": 20, "hash_ids": [3, 4, 5, 6, 7], "cached_tokens": 0}"#.to_owned() + "\n";
    let [one, other, both] = [found.clone(), written.clone(), found + &written].map(|input| cost(&input));
    assert!((one - 3e-6).abs() < 1e-12 && (other - 75e-6).abs() < 1e-12, "{one} {other}");
    assert!((both - one - other).abs() < 1e-12, "{both}");
    // More cannot be found of a prompt than there is of it.
    let more = r#"{"input_length": 10, "hash_ids": [0, 1, 2], "cached_tokens": 14}"#;
    assert!((cost(more) - 3e-6).abs() < 1e-12);
}

#[test]
fn requests_that_an_engine_refuses_are_not_billed() {
    let refused =
        r#"{"input_length": 40, "output_length": 100, "hash_ids": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"#;
    let input = r#"{"input_length": 4, "output_length": 1, "hash_ids": [0]}"#.to_owned() + "\n" + refused;
    for policy in ["vllm", "sglang"] {
        let price = ["-c", "5", "--policy", policy, "--price", "input=1,cached=1,output=10"];
        let row = &json_of(&price, &input)["capacity"][0];
        assert_eq!(row["refused_requests"], 1, "{policy}");
        assert!((row["cost"].as_f64().unwrap() - 14e-6).abs() < 1e-12, "{policy}: {row}");
    }
}

#[test]
fn a_request_without_ids_before_ids_are_no_forest_does_no_harm() {
    let input = "{\"input_length\": 4, \"hash_ids\": [0]}\n{\"input_length\": 5}\n\
                 {\"input_length\": 8, \"hash_ids\": [1, 1]}\n{\"input_length\": 4, \"hash_ids\": [0]}\n";
    for mode in [&["--replicas", "1,2"][..], &["--tiers", "a=5"], &["--replicas", "2", "--hits", "engine"]] {
        let report = json_of(mode, input);
        assert_eq!(report["requests"], 4, "{mode:?}");
    }
    let fleets = json_of(&["--replicas", "1", "-c", "9"], input);
    assert_eq!(fleets["fleet"][0]["capacity"][0]["hit_tokens"], 4, "{fleets}");
}

#[test]
fn tables_are_drawn_whatever_there_is_in_them() {
    let ran = run(
        "trace-stats",
        &["-q", "-b", "4", "--approx", "100", "-c", "3"],
        "{\"input_length\": 0, \"hash_ids\": []}",
    );
    assert!(ran.ok().contains("Standard Error"));
    // All digits are those of JSON.
    let input: String =
        (0..7).map(|i| format!("{{\"input_length\": 12, \"hash_ids\": [0, 1, {i}]}}\n")).collect();
    let rate = json_of(&["-c", "2"], &input)["capacity"][0]["token_hit_rate"].as_f64().unwrap();
    for format in [&["--exact"][..], &["-f", "markdown"]] {
        let ran = run("trace-stats", &[&["-q", "-b", "4", "-c", "2"], format].concat(), &input);
        assert!(ran.ok().contains(&format!("{rate:?}")), "{format:?}: {rate:?}");
    }
}

#[test]
fn hits_are_checked_after_the_warm_up() {
    let input = "{\"input_length\": 4, \"hash_ids\": [1], \"cached_tokens\": 4}\n\
                 {\"input_length\": 4, \"hash_ids\": [2], \"cached_tokens\": 3}\n";
    let check = &json_of(&["--check-hits", "--warmup", "1", "-c", "5"], input)["checked_hits"][0];
    assert_eq!(
        (&check["requests"], &check["counted_tokens"], &check["first_line"]),
        (&1.into(), &3.into(), &2.into())
    );
}

#[test]
fn times_of_a_clock_and_times_from_zero_have_no_common_order() {
    let folder = scratch();
    write(folder.path(), "clock", "{\"timestamp\": \"2024-01-01T00:00:10Z\", \"input_length\": 5}\n");
    write(folder.path(), "zero", "{\"timestamp\": 0, \"input_length\": 8}\n");
    let since_1970 = "{\"timestamp\": 1704067209000, \"input_length\": 8}\n";
    write(folder.path(), "since", since_1970);
    for order in ["--sort", "--merge"] {
        let ran = run_in(folder.path(), "trace-cat", &[order, "clock", "zero"], "");
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""), "{order}");
        assert!(ran.stderr.contains("no common order (see --rebase"), "{}", ran.stderr);
        let met = run_in(folder.path(), "trace-cat", &["-q", order, "clock", "since"], "").ok();
        assert_eq!(met.lines().next(), Some(since_1970.trim_end()));
    }
}

#[test]
fn the_times_of_a_sub_agent_go_on_as_they_begin() {
    let agent = |times: [f64; 3]| {
        let request = |t: f64| format!("{{\"t\": {t}, \"in\": 64, \"out\": 1, \"hash_ids\": [1]}}");
        let requests = times.map(request).join(", ");
        let agent = format!(
            "{{\"t\": 5.0, \"type\": \"subagent\", \"agent_id\": \"A\", \"requests\": [{requests}]}}"
        );
        let line = format!(
            "{{\"id\": \"c\", \"block_size\": 64, \"hash_id_scope\": \"local\", \"requests\": [{agent}]}}"
        );
        let text = run("trace-cat", &["-q", "-f", "weka"], &line).ok();
        let time = |line: &str| serde_json::from_str::<Value>(line).unwrap()["timestamp"].as_u64().unwrap();
        text.lines().map(time).collect::<Vec<_>>()
    };
    assert_eq!(agent([0.0, 4.9, 5.1]), [5000, 9900, 10_100]);
    assert_eq!(agent([5.0, 5.5, 9.0]), [5000, 5500, 9000]);
}

#[test]
fn input_that_is_cut_off_or_means_something_else_is_an_error() {
    let list = "[\n{\"input_length\": 6},\n{\"input_length\": 7},\n";
    for (program, args) in [("trace-cat", &["--check"][..]), ("trace-stats", &[]), ("trace-cat", &["-q"])] {
        let ran = run(program, args, list);
        assert_eq!(ran.status, Some(1), "{program}");
        let told = ran.stdout + &ran.stderr;
        assert!(told.contains("the list of records has no end"), "{told}");
        assert_eq!(run(program, args, &(list.to_owned() + "]")).status, Some(0), "{program}");
    }
    let zone = "{\"timestamp\": \"2024-03-10T10:00:00[America/New_York]\", \"input_length\": 5}\n";
    assert_eq!(run("trace-cat", &[], zone).status, Some(1));
}

#[test]
fn a_rate_is_that_of_what_is_written_for_every_model() {
    let trace = crate::support::chats(1500, 5);
    for model in ["sessions", "replay", "tree", "none"] {
        for count in ["200", "1400"] {
            let args = ["-q", "--model", model, "--rate", "5", "-n", count];
            let text = run("trace-synth", &args, &trace).ok();
            let time =
                |line: &str| serde_json::from_str::<Value>(line).unwrap()["timestamp"].as_f64().unwrap();
            let times: Vec<f64> = text.lines().map(time).collect();
            let rate = 1000.0 * (times.len() - 1) as f64 / (times[times.len() - 1] - times[0]);
            assert!((rate - 5.0).abs() < 0.02, "{model} -n {count}: {rate}");
        }
    }
}

#[test]
fn a_chat_without_a_token_is_as_short_as_a_chat_can_be() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model");
    let trace = "{\"input_length\": 0, \"output_length\": 3, \"hash_ids\": []}\n";
    let ran = run("trace-synth", &["--model", "none", "--prompts=chat", "--tokenizer", model], trace);
    assert!(ran.stderr.contains("1 prompts would be shorter"), "{}", ran.stderr);
    assert_eq!(ran.ok().lines().count(), 1);
}

#[test]
fn the_last_line_of_an_answer_says_how_long_it_is() {
    let said = |id: &str, second: u32, output: u64| {
        let usage = format!("{{\"input_tokens\": 10, \"output_tokens\": {output}}}");
        let message = format!("{{\"id\": \"{id}\", \"model\": \"c\", \"usage\": {usage}}}");
        format!(
            "{{\"type\": \"assistant\", \"sessionId\": \"S\", \"timestamp\": \"2026-01-01T00:00:0{second}Z\", \"uuid\": \"u\", \"message\": {message}}}\n"
        )
    };
    let other =
        "{\"type\": \"user\", \"sessionId\": \"S\", \"uuid\": \"v\", \"message\": {\"role\": \"user\"}}\n";
    let first = said("a", 1, 1) + other + &said("a", 2, 500) + &said("a", 3, 2);
    let text = first.clone() + &said("b", 4, 7) + &said("a", 5, 900) + &said("c", 6, 3) + &said("c", 7, 4);
    let folder = scratch();
    write(folder.path(), "one.jsonl", &text);
    write(folder.path(), "two.jsonl", said("d", 8, 5) + &said("d", 9, 6));
    for jobs in ["1", "3"] {
        let ran = run_in(folder.path(), "trace-cat", &["-q", "-j", jobs, "one.jsonl", "two.jsonl"], "");
        let rows = parse(&ran.ok());
        let outputs: Vec<u64> = rows.iter().map(|row| row["output_length"].as_u64().unwrap()).collect();
        assert_eq!(outputs, [900, 7, 4, 6]);
        assert_eq!(rows[1]["timestamp"], json!(3000));
    }
}

#[test]
fn estimates_are_of_all_tokens_and_refuse_what_they_cannot_have() {
    let full_blocks = "{\"input_length\": 10, \"hash_ids\": [1, 2]}\n".repeat(3);
    let args = ["-c", "5", "--price", "input=3,cached=0.3"];
    let exact = json_of(&args, &full_blocks);
    let estimated = json_of(&[&args[..], &["--approx", "100"]].concat(), &full_blocks);
    for (a, b) in exact["capacity"].as_array().unwrap().iter().zip(estimated["capacity"].as_array().unwrap())
    {
        for name in ["hit_tokens", "tokens", "token_hit_rate", "cost"] {
            assert_eq!(a[name], b[name], "{name}");
        }
    }
    let engine = run("trace-stats", &["-q", "-b", "4", "--approx", "100", "--hits", "engine"], &full_blocks);
    assert_eq!(engine.status, Some(2));
    assert!(engine.stderr.contains("take --hits reference, or leave out --approx"), "{}", engine.stderr);
    // Errors stand beside estimates in every format.
    for format in ["csv", "markdown", "prometheus"] {
        let args = ["-q", "-b", "4", "--approx", "100", "-c", "5", "-f", format];
        let report = run("trace-stats", &args, &full_blocks).ok();
        for name in ["unique_blocks", "shared_blocks", "prefix_groups", "cached_tokens", "token_hit_rate"] {
            assert!(report.contains(&format!("{name}_standard_error")), "{format} {name}: {report}");
        }
        let rows = if format == "prometheus" { "cache_standard_error" } else { "tandard" };
        assert!(report.contains(rows), "{format}: {report}");
    }
}

#[test]
fn prompts_shorter_than_a_block_count_in_fleets_and_tiers() {
    let input =
        "{\"input_length\": 4, \"hash_ids\": [1]}\n{\"input_length\": 3, \"hash_ids\": []}\n".repeat(2);
    let report = json_of(&["-c", "5", "--replicas", "1", "--tiers", "a=5"], &input);
    let one = &report["capacity"][0];
    let fleet = &report["fleet"][0];
    assert_eq!((&one["tokens"], &fleet["capacity"][0]["tokens"]), (&14.into(), &14.into()), "{fleet}");
    assert_eq!(fleet["capacity"][0]["token_hit_rate"], one["token_hit_rate"]);
    assert_eq!(fleet["infinite_token_hit_rate"], report["token_hit_rate"]);
}

#[test]
fn a_piece_of_several_is_among_those_that_are_wanted_as_a_whole_or_not_at_all() {
    let folder = scratch();
    for piece in 1..=4_u64 {
        let number = format!("{piece}/4");
        let rows: String = (0..10 * piece).map(|i| line(i, 4, 1, &[i])).collect();
        let args = ["-q", "-b", "4", "--partial", "--piece", &number, "-o", &format!("p{piece}")];
        run_in(folder.path(), "trace-stats", &args, &rows).ok();
    }
    let merge =
        |args: &[&str]| run_in(folder.path(), "trace-stats", &[&["-q", "--merge"], args].concat(), "");
    merge(&["--partial", "-o", "p23", "p2", "p3"]).ok();
    merge(&["--partial", "-o", "again", "p23"]).ok();
    for pieces in ["p23", "again"] {
        for args in [&["--piece", "1-2/4", "p1", pieces][..], &["--piece", "2/4", pieces]] {
            let ran = merge(args);
            assert_eq!(ran.status, Some(1), "{args:?}");
            assert!(ran.stderr.contains("has others up to 3, which is not among those"), "{}", ran.stderr);
        }
        assert!(merge(&["--piece", "1-3/4", "p1", pieces]).ok().contains("Requests:        60"));
        assert!(merge(&["p1", pieces, "p4"]).ok().contains("Requests:        100"));
        assert_eq!(merge(&["p1", pieces, "p3", "p4"]).status, Some(1));
    }
}

#[test]
fn those_without_a_value_are_a_group_beside_a_hundred_values() {
    let value = |i| format!("{{\"input_length\": 4, \"hash_ids\": [{i}], \"t\": \"v{i}\"}}\n");
    let none = "{\"input_length\": 4, \"hash_ids\": [9]}\n";
    let hundred: String = (0..100).map(value).collect();
    for input in [hundred.clone() + none, none.to_owned() + &hundred] {
        let groups = json_of(&["--by", "t"], &input)["groups"].as_array().unwrap().clone();
        let values: Vec<&Value> = groups.iter().map(|group| &group["value"]).collect();
        assert_eq!(groups.len(), 101);
        assert!(values.contains(&&Value::Null) && values.contains(&&"v99".into()), "{values:?}");
        let shared = json_of(&["--shared-by", "t"], &input);
        let rows = shared["shared_by"]["values"].as_array().unwrap().clone();
        assert!(rows.len() == 101 && rows.iter().any(|row| row["value"] == "v99"), "{rows:?}");
        let folder = scratch();
        run_in(
            folder.path(),
            "trace-stats",
            &["-q", "-b", "4", "--partial", "--by", "t", "-o", "piece"],
            &input,
        )
        .ok();
        let merged =
            run_in(folder.path(), "trace-stats", &["-q", "--merge", "--by", "t", "-f", "json", "piece"], "");
        let merged: Value = serde_json::from_str(&merged.ok()).unwrap();
        assert_eq!(merged["groups"].as_array().unwrap().len(), 101);
        // One value more has no group of its own.
        let more = json_of(&["--by", "t"], &(input + &value(100)));
        assert_eq!(more["groups"].as_array().unwrap().len(), 102);
    }
}

#[test]
fn a_table_has_no_figures_of_separate_caches_that_nobody_has_summed() {
    let input = "{\"input_length\": 4, \"output_length\": 7, \"hash_ids\": [1], \"t\": \"a\"}\n".repeat(2);
    let table = run("trace-stats", &["-q", "-b", "4", "--by", "t", "-f", "csv", "-c", "2"], &input).ok();
    let separate: Vec<&str> = table.lines().filter(|line| line.contains("separate caches")).collect();
    assert!(separate.iter().any(|line| line.ends_with("total,,cached_tokens,4")), "{separate:?}");
    assert!(!separate.iter().any(|line| line.ends_with(",0")), "{separate:?}");
}

#[test]
fn hits_in_answers_have_a_row_of_their_own_in_every_table() {
    let input = "{\"input_length\": 8, \"output_length\": 5, \"hash_ids\": [1, 2], \"output_hash_ids\": [3], \"t\": \"x\", \"timestamp\": 0}\n\
                 {\"input_length\": 17, \"output_length\": 1, \"hash_ids\": [1, 2, 3, 4, 5], \"t\": \"y\", \"timestamp\": 5}\n";
    let args = ["--hits", "engine", "--shared-by", "t"];
    let report = json_of(&args, input);
    let y = &report["shared_by"]["values"][1];
    assert_eq!((&y["others_tokens"], &y["answer_tokens"]), (&8.into(), &4.into()), "{report}");
    for (format, row, answers) in [
        ("table", "in answers", "Hits in Answers"),
        ("markdown", "in answers", "Hits in Answers"),
        ("html", "in answers", "Hits in answers"),
        ("csv", "reuse,answers,tokens,4", "shared_by,y,answer_tokens,4"),
        (
            "prometheus",
            "kvtrace_reuse_tokens{within=\"answers\"} 4",
            "kvtrace_shared_by_answer_tokens{t=\"y\"} 4",
        ),
    ] {
        let text = run("trace-stats", &[&["-q", "-b", "4", "-f", format], &args[..]].concat(), input).ok();
        assert!(text.contains(row) && text.contains(answers), "{format}: {text}");
    }
}

#[test]
fn refused_requests_are_told_in_every_format() {
    let input = "{\"input_length\": 40, \"output_length\": 1, \"hash_ids\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}\n\
                 {\"input_length\": 4, \"output_length\": 1, \"hash_ids\": [1]}\n";
    let told = |format: &str, args: &[&str]| {
        let all = [&["-q", "-b", "4", "-c", "5", "--policy", "vllm", "-f", format], args].concat();
        run("trace-stats", &all, input).ok()
    };
    assert!(told("csv", &[]).contains("capacity,vllm:5,refused_requests,1\n"));
    assert!(
        told("prometheus", &[])
            .contains("kvtrace_cache_refused_requests{kind=\"capacity\",cache=\"vllm:5\"} 1\n")
    );
    let loaded = told("csv", &["--concurrency", "2"]);
    for name in ["preempted_requests", "sequential_hit_tokens", "steps", "mean_running"] {
        assert!(loaded.contains(&format!("capacity,vllm:5,{name},")), "{loaded}");
    }
}

#[test]
fn a_title_is_text_in_every_chart() {
    let input = "{\"input_length\": 4, \"hash_ids\": [1]}\n".repeat(3);
    for format in ["svg", "html"] {
        let args = ["-q", "-b", "4", "--curve", "-f", format, "--title", "a\u{1b}b"];
        assert!(!run("trace-stats", &args, &input).ok().contains('\u{1b}'), "{format}");
    }
}
