//! `trace-cat` that takes parts of a trace, changes ids, blocks and times, checks, paces, compresses.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{command, line, real, run, run_in, scratch, shell, write};
use fastrand::Rng;
use serde_json::Value;

fn cat(args: &[&str], input: &str) -> String {
    run("trace-cat", args, input).ok()
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(row: &Value) -> Vec<u64> {
    serde_json::from_value(row["hash_ids"].clone()).unwrap()
}

/// A trace with sessions, some lengths without outputs, several first blocks.
fn trace(records: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(9);
    let record = |i: u64| {
        let first = rng.u64(..20) * 1000;
        let ids: Vec<u64> = (first..=first + rng.u64(..9)).collect();
        let output = if rng.u8(..10) == 0 {
            String::new()
        } else {
            format!(", \"output_length\": {}", rng.u64(..100))
        };
        format!(
            "{{\"timestamp\": {}, \"input_length\": {}{output}, \"hash_ids\": {ids:?}, \"session_id\": \"s{}\"}}\n",
            i * 10,
            ids.len() as u64 * 512 - rng.u64(..512),
            rng.u8(..50)
        )
    };
    (0..records).map(record).collect()
}

type Keep<'a> = &'a dyn Fn(&Value) -> bool;

#[test]
fn slices_are_those_of_a_filter_written_out() {
    let all = trace(2000);
    let kept = |keep: &dyn Fn(&Value) -> bool| -> String {
        all.iter().filter(|line| keep(&serde_json::from_str(line).unwrap())).map(String::as_str).collect()
    };
    let number = |row: &Value, name: &str| row[name].as_u64();
    let text = all.concat();
    let cases: [(&[&str], Keep); 6] = [
        (&["--from", "5s"], &|r| number(r, "timestamp").unwrap() >= 5000),
        (&["--to=5000ms"], &|r| number(r, "timestamp").unwrap() < 5000),
        (&["--from=1s500ms", "--to", "15s"], &|r| (1500..15_000).contains(&number(r, "timestamp").unwrap())),
        (&["--min-isl=1k", "--max-isl=2000"], &|r| {
            (1000..=2000).contains(&number(r, "input_length").unwrap())
        }),
        (&["--min-osl=10"], &|r| number(r, "output_length").is_some_and(|n| n >= 10)),
        (&["--max-osl=50", "--from=1s"], &|r| {
            number(r, "output_length").is_some_and(|n| n <= 50) && number(r, "timestamp").unwrap() >= 1000
        }),
    ];
    for (args, keep) in cases {
        let expected = kept(keep);
        assert!(!expected.is_empty() && expected.len() < text.len());
        assert_eq!(cat(args, &text), expected, "{args:?}");
    }
    assert_eq!(cat(&["--head=30"], &text), all[..30].concat());
    assert_eq!(cat(&["--tail=30"], &text), all[1970..].concat());
    assert_eq!(cat(&["-n30", "--tail=10"], &text), all[20..30].concat());
    assert_eq!(cat(&["--tail=9999"], &text), text);
    assert_eq!((cat(&["--head=0"], &text), cat(&["--tail=0"], &text)), (String::new(), String::new()));
    let filtered = cat(&["--min-osl=10"], &text);
    assert_eq!(
        cat(&["--min-osl=10", "--head=5"], &text),
        filtered.lines().take(5).map(|l| format!("{l}\n")).collect::<String>()
    );
}

#[test]
fn the_head_ends_before_what_comes_after_it() {
    let input = format!("{}{}nonsense\n", line(1, 5, 1, &[0]), line(2, 5, 1, &[0]));
    assert_eq!(cat(&["--head=2"], &input), [line(1, 5, 1, &[0]), line(2, 5, 1, &[0])].concat());
}

#[test]
fn a_slice_by_time_needs_times() {
    let ran = run("trace-cat", &["--from=1s"], "{\"input_length\": 1}\n");
    assert_eq!(ran.status, Some(1));
    assert_eq!(ran.stderr, "trace-cat: -:1: missing field \"timestamp\", which --from and --to need\n");
}

#[test]
fn times_are_changed_exactly_and_only_they() {
    let row = |time: &str| format!("{{ \"x\":\"\\u00e4\",\"timestamp\":{time} ,\"input_length\":1}}\n");
    let rows = |times: [&str; 3]| times.map(row).concat();
    let input = rows(["0.1", "0.3", "1e3"]);
    assert_eq!(cat(&["--rebase"], &input), rows(["0", "0.2", "999.9"]));
    assert_eq!(cat(&["--speedup-ratio=0.1"], &input), rows(["1", "3", "10000"]));
    assert_eq!(cat(&["--rebase", "--speedup-ratio", "3"], &input), rows(["0", "0.066666667", "333.3"]));
    assert_eq!(cat(&["--from", "1ms", "--rebase"], &input), row("0"));
    assert_eq!(cat(&["--tail=2", "--rebase"], &input), row("0") + &row("999.7"));
    let far = run("trace-cat", &["--rebase"], row("1e300"));
    assert!(far.status == Some(1) && far.stderr.contains("not a plausible number"), "{}", far.stderr);
}

#[test]
fn a_sample_keeps_whole_groups_and_the_same_on_every_run() {
    let all = trace(5000);
    let text = all.concat();
    for (by, key) in [("session", "session_id"), ("prefix", "hash_ids")] {
        let of = |row: &Value| {
            if key == "hash_ids" { row[key][0].to_string() } else { row[key].to_string() }
        };
        let args = ["--sample=0.5", "--sample-by", by, "--seed=7"];
        let sample = cat(&args, &text);
        assert_eq!(cat(&args, &text), sample);
        assert_ne!(cat(&["--sample=0.5", "--sample-by", by, "--seed=8"], &text), sample);
        let kept: HashSet<String> = values(&sample).iter().map(of).collect();
        let expected: String = all
            .iter()
            .filter(|line| kept.contains(&of(&serde_json::from_str(line).unwrap())))
            .map(String::as_str)
            .collect();
        assert_eq!(sample, expected, "{by}: groups are torn apart");
        assert!(kept.len() > 3 && sample.len() < text.len());
        // A piece of the trace keeps the same ones.
        let piece = cat(&args, &all[3000..].concat());
        let expected: String =
            all[3000..].iter().filter(|line| sample.contains(*line)).map(String::as_str).collect();
        assert_eq!(piece, expected);
    }
    let share = cat(&["--sample=0.1"], &text).lines().count();
    assert!((400..600).contains(&share), "{share}");
    assert_eq!((cat(&["--sample=1"], &text), cat(&["--sample=0"], &text)), (text.clone(), String::new()));
}

/// Fixed for all time: the choice must be the same on every machine and in every version.
#[test]
fn a_sample_is_the_one_it_always_was() {
    let rows: String = (0..40).map(|i| line(i, 512, 1, &[i * 1000])).collect();
    let kept = |args: &[&str]| {
        let rows = values(&cat(args, &rows));
        rows.iter().map(|row| row["timestamp"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let by_prefix = kept(&["--sample=0.25", "--sample-by=prefix", "--seed=3"]);
    // Computed with the blake3 package of Python.
    assert_eq!(by_prefix, [4, 7, 13, 16, 19, 20, 21, 22, 25, 28, 31, 35, 38]);
}

#[test]
fn longer_prefixes_divide_what_one_block_does_not() {
    let rows: Vec<String> = (0..400).map(|i| line(i, 1024, 1, &[0, 1 + i % 40])).collect();
    let text = rows.concat();
    let one = cat(&["--sample=0.5", "--sample-by=prefix"], &text);
    assert!(one.is_empty() || one == text);
    let two = values(&cat(&["--sample=0.5", "--sample-by=prefix", "--prefix-blocks=2"], &text));
    let mut counts: HashMap<u64, u32> = HashMap::new();
    two.iter().for_each(|row| *counts.entry(ids(row)[1]).or_default() += 1);
    assert!((10..30).contains(&counts.len()) && counts.values().all(|&n| n == 10), "{counts:?}");
}

#[test]
fn records_without_a_group_are_sampled_one_by_one_and_counted() {
    let rows: String = (0..1000).map(|i| format!("{{\"timestamp\": {i}, \"input_length\": 1}}\n")).collect();
    let ran = run("trace-cat", &["--sample=0.5", "--sample-by=session"], rows);
    assert!(ran.stderr.contains("1000 records have nothing to be sampled by"), "{}", ran.stderr);
    assert!((400..600).contains(&ran.stdout.lines().count()));
}

#[test]
fn the_real_trace_is_sampled_with_whole_requests() {
    let Some(path) = real("traces/conversation_trace.jsonl") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let lines: HashSet<&str> = text.lines().collect();
    for args in [&["--sample-by=prefix", "--prefix-blocks=2"][..], &["--sample-by=session"], &[]] {
        let sample = cat(&[&["-q", "--sample=0.1"], args].concat(), &text);
        let n = sample.lines().count();
        assert!((1000..1500).contains(&n), "{n}");
        assert!(sample.lines().all(|line| lines.contains(line)), "a request has changed");
    }
}

#[test]
fn coarser_blocks_are_those_of_hashing_at_that_size() {
    let folder = scratch();
    let mut rng = Rng::with_seed(6);
    let prompts: String = (0..200)
        .map(|_| {
            let shared = "the same words over and over ".repeat(rng.usize(..120));
            format!("{{\"prompt\": \"{shared} {}\"}}\n", "other words ".repeat(rng.usize(..200)))
        })
        .collect();
    write(folder.path(), "prompts", prompts);
    for size in [512, 64] {
        let coarse = shell(folder.path(), &format!("trace-hash -b {size} --emit-block-size prompts")).ok();
        let command = format!("trace-hash -b 16 prompts | trace-cat -b 16 --reblock {size} --renumber");
        assert_eq!(shell(folder.path(), &command).ok(), coarse);
        let dropped = shell(
            folder.path(),
            &format!(
                "trace-hash -b 16 --partial drop prompts | trace-cat -b 16 --reblock {size} | trace-cat -b {size} --check"
            ),
        );
        assert_eq!(dropped.status, Some(0), "{}", dropped.stdout);
    }
    let stated = "{\"input_length\": 40, \"block_size\": 16, \"hash_ids\": [3,1,2]}\n";
    assert_eq!(
        cat(&["--reblock=32"], stated),
        "{\"input_length\": 40, \"block_size\": 32, \"hash_ids\": [1,2]}\n"
    );
    let ran = run("trace-cat", &["--reblock=40"], stated);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("--reblock 40 is no multiple of the block size 16"), "{}", ran.stderr);
}

#[test]
fn anonymous_ids_keep_the_structure_and_nothing_else() {
    let text = trace(500).concat();
    let args = ["--anonymize", "--salt", "secret"];
    let hidden = cat(&args, &text);
    assert_eq!(cat(&args, &text), hidden);
    assert_ne!(cat(&["--anonymize", "--salt", "other"], &text), hidden);
    let (before, after) = (values(&text), values(&hidden));
    let mut names: HashMap<u64, u64> = HashMap::new();
    for (old, new) in before.iter().zip(&after) {
        for (old, new) in ids(old).into_iter().zip(ids(new)) {
            assert!(new < 1 << 53);
            assert_eq!(*names.entry(old).or_insert(new), new);
        }
    }
    assert_eq!(names.values().collect::<HashSet<_>>().len(), names.len());
    assert_eq!(cat(&["--renumber"], &hidden), cat(&["--renumber"], &text));
    // Python's blake3: keyed with derive_key(context, "secret"), over id 5 and group 0.
    let one = values(&cat(&args, &line(0, 512, 1, &[5])));
    assert_eq!(ids(&one[0]), [8_084_075_948_996_684]);
    // A piece by itself has the same ids.
    let piece: String = text.lines().skip(300).map(|line| format!("{line}\n")).collect();
    assert!(hidden.ends_with(&cat(&args, &piece)));
}

#[test]
fn a_check_with_little_memory_says_what_it_compared() {
    let all: String =
        (0..60_000).map(|i| line(i, 5120, 1, &(i * 10..i * 10 + 10).collect::<Vec<_>>())).collect();
    let broken = all.clone() + &line(1, 1024, 1, &[7, 7]) + "{}\n";
    let ran = run("trace-cat", &["--check", "--max-memory=6Mi"], &broken);
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    let compared = summary["compared_records"].as_u64().unwrap();
    assert!((1000..60_000).contains(&compared), "{summary}");
    assert_eq!(summary["unique_blocks"], compared * 10);
    assert_eq!(summary["records"], 60_001);
    assert_eq!(summary["errors"]["repeated_in_request"]["line"], 60_001);
    assert_eq!(summary["errors"]["missing_field"]["line"], 60_002);
    assert_eq!(ran.status, Some(1));
    let full: Value = serde_json::from_str(&run("trace-cat", &["--check"], &all).ok()).unwrap();
    assert_eq!((&full["unique_blocks"], full.get("compared_records")), (&600_000.into(), None));
}

#[test]
fn what_grows_beyond_its_memory_ends_with_an_error() {
    let sparse: String = (0..3000_u64).map(|i| line(i, 512, 1, &[i * 7919 % 100_003])).collect();
    let chats: String = (0..3000)
        .map(|i| format!("{{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"chat_id\": {i}, \"parent_chat_id\": -1}}\n"))
        .collect();
    for (args, input, what) in [
        (&["--renumber"][..], &sparse, "ids to be renumbered"),
        (&["--tail=2000"], &sparse, "records for --tail"),
        (&["--sample=1", "--sample-by=session"], &chats, "chats"),
        (&["--turns=incremental"], &chats, "sessions"),
    ] {
        let ran = run("trace-cat", &[args, &["--max-memory=100k"]].concat(), input);
        assert_eq!(ran.status, Some(1), "{what}");
        assert!(ran.stderr.contains(what) && ran.stderr.contains("--max-memory"), "{}", ran.stderr);
        cat(args, input);
    }
}

#[test]
fn a_check_validates_other_formats() {
    let table = "arrived_at,num_prefill_tokens,num_decode_tokens\n1,5,2\n0.5,x,3\n0.5,5,3\n";
    let ran = run("trace-cat", &["--check"], table);
    let summary: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.status, &summary["records"]), (Some(1), &2.into()));
    assert_eq!(summary["errors"]["bad_value"]["line"], 3);
    assert_eq!(summary["notes"]["time_backwards"]["line"], 4);
}

#[test]
fn paced_lines_come_at_their_times() {
    let rows: String = (0..6).map(|i| line(1000 + i * 400, 5, 1, &[0])).collect();
    let folder = scratch();
    let path = write(folder.path(), "t", rows);
    let mut child = command("trace-cat")
        .args(["--pace", "--speedup-ratio=2", &path])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    let start = Instant::now();
    for i in 1..6_u64 {
        text.clear();
        stdout.read_line(&mut text).unwrap();
        let late = start.elapsed().as_secs_f64() - (i * 200) as f64 / 1000.0;
        // Early by what the first line took to arrive; late by what a busy machine needs. Without pauses
        // the last line would be 1 s early, without the speed-up 1 s late.
        assert!((-0.5..0.9).contains(&late), "line {i} is {late} s late");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_ends_a_pause() {
    let rows = line(0, 5, 1, &[0]) + &line(3_600_000, 5, 1, &[0]);
    let folder = scratch();
    let path = write(folder.path(), "t", rows);
    let mut child = command("trace-cat").args(["--pace", &path]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(start.elapsed() < Duration::from_secs(10));
    text.clear();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(text, "", "a line came before its time");
}

#[test]
fn compressed_output_is_the_same_however_it_is_fed() {
    let folder = scratch();
    let text = trace(5000).concat();
    write(folder.path(), "t", &text);
    for (kind, tool) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let command = format!(
            "trace-cat -z {kind} t > one; cat t | trace-cat -z {kind} > two; \
             (head -c 1000 t; sleep 0.1; tail -c +1001 t) | trace-cat -z {kind} -o three; cmp one two; cmp two three"
        );
        shell(folder.path(), &command).ok();
        assert_eq!(run_in(folder.path(), "trace-cat", &["one"], "").ok(), text);
        if shell(folder.path(), &format!("command -v {tool}")).status == Some(0) {
            assert_eq!(shell(folder.path(), &format!("{tool} -dc < one")).ok(), text);
        }
        let bad = format!(
            "(head -n 20 t; echo nonsense) | trace-cat -z {kind} > bad || trace-cat bad | cmp - <(head -n 20 t)"
        );
        shell(folder.path(), &bad).ok();
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for args in [
        &["--merge", "--sort"][..],
        &["--shift", "--merge"],
        &["--shift", "--sort"],
        &["--renumber", "--anonymize", "--salt=x"],
        &["--anonymize"],
        &["--salt=x"],
        &["--anonymize", "--salt=x", "--to-format=guidellm"],
        &["--seed=1"],
        &["--sample-by=prefix"],
        &["--sample=0.5", "--prefix-blocks=2"],
        &["--pace", "--compress=gzip"],
        &["--check", "--renumber"],
        &["--check", "--head=5"],
        &["--check", "--to-format=csv"],
        &["--sample=1.5"],
        &["--speedup-ratio=0"],
        &["--from-format=x"],
        &["--to-format=mooncake,csv"],
        &["--from=1x"],
    ] {
        let ran = run("trace-cat", args, "");
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let folder = scratch();
    let text = trace(20_000).concat();
    write(folder.path(), "t", &text);
    for option in ["", "-z gzip", "-z zstd", "--sort", "-t csv", "--tail 10000"] {
        if std::path::Path::new("/dev/full").exists() {
            let ran = shell(folder.path(), &format!("trace-cat {option} t > /dev/full"));
            assert_eq!(ran.status, Some(1), "{option}");
            assert_eq!(ran.stderr, "trace-cat: standard output: No space left on device\n", "{option}");
        }
        let ran = shell(folder.path(), &format!("trace-cat {option} t | head -c 100"));
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{option}");
    }
}

#[test]
fn half_converted_output_stays_out_of_a_file() {
    let folder = scratch();
    let out = write(folder.path(), "out", "old");
    let table = "arrived_at,num_prefill_tokens,num_decode_tokens\n1,5,2\n2,x,3\n";
    for extra in [&["--sort"][..], &["-z", "gzip"], &["-t", "csv"], &["--tail=5"]] {
        let args = [&["-o", &out], extra].concat();
        let ran = run("trace-cat", &args, table);
        assert_eq!(ran.status, Some(1));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

/// Whatever stands in a line, the program ends with a message or a record, never with a panic.
#[test]
fn damaged_lines_of_every_format_are_errors_at_most() {
    let samples = [
        r#"{"chat_id": 55, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 33, "output_length": 9, "hash_ids": [0, 1, 2]}"#,
        r#"{"event_type":"request_end","event_time_unix_ms":123,"request":{"input_tokens":128,"output_tokens":5,"request_received_ms":17,"replay":{"trace_block_size":64,"input_length":128,"input_sequence_hashes":[14,49]}}}"#,
        r#"{"play_id":"a","input_length":100,"output_length":1,"hash_ids":[7,8],"not_before_ms":10.5,"schema":"dynamo.agentic_mooncake","version":2,"block_size":64}"#,
        r#"{"id":"c","block_size":64,"hash_id_scope":"local","requests":[{"t":0.0,"in":128,"out":9,"hash_ids":[1,2]},{"type":"subagent","requests":[{"t":1.5,"in":70,"out":2,"hash_ids":[1]}]}]}"#,
        r#"{"session_id":"a","input_tokens_total":130,"prefix_tokens":64,"output_tokens":4,"timing_events":[{"event_type":"user_message","timestamp":"2026-01-01T00:00:01Z"}]}"#,
        r#"{"timestamp":1711929600.123,"chunk_size":256,"seq_len":520,"chunk_hashes":["0xabcd1234","0x1"]}"#,
        r#"{"type":"get","instance_id":"i","timestamp_ns":1711929600123456789,"keys":[-1,5],"input_len":1024}"#,
        r#"{"timestamp": 1.50, "input_length": 32, "block_size": 16, "hash_ids": ["x", "7"]}"#,
        "TIMESTAMP,ContextTokens,GeneratedTokens",
        "2023-11-16 18:15:46.6805900+00:00,374,44",
    ];
    let mut rng = Rng::with_seed(77);
    let mut input = Vec::new();
    for _ in 0..20_000 {
        let mut line = samples[rng.usize(..samples.len())].as_bytes().to_vec();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..line.len());
            match rng.u8(..4) {
                0 => line[at] = b"{}[],:\"\\0129.-+eE \x00\xff"[rng.usize(..20)],
                1 => line.insert(at, b"0129-.,\""[rng.usize(..8)]),
                2 => line.truncate(at.max(1)),
                _ => drop(line.remove(at)),
            }
            if line.is_empty() {
                line.push(b'x');
            }
        }
        line.retain(|&byte| byte != b'\n');
        input.extend_from_slice(&line);
        input.push(b'\n');
    }
    let formats = [
        "auto",
        "bailian",
        "dynamo",
        "agentic",
        "weka",
        "tracelab",
        "lmcache",
        "tair",
        "kvcache-simulator",
        "azure",
    ];
    for format in formats {
        for extra in [&[][..], &["--turns=cumulative", "--rebase"], &["--check"]] {
            let ran =
                run("trace-cat", &[&["--from-format", format, "--skip-invalid"], extra].concat(), &input);
            assert!(matches!(ran.status, Some(0 | 1)), "{format} {extra:?}: {ran:?}");
            assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        }
    }
}

#[test]
fn a_slice_may_be_given_by_dates() {
    let log = |time: &str| {
        format!(
            "{{\"ts\": {time:?}, \"model\": \"m\", \"usage\": {{\"prompt_tokens\": 7, \"completion_tokens\": 1}}}}\n"
        )
    };
    let times =
        ["2026-11-22T23:59:59Z", "23/Nov/2026:00:00:00 +0000", "2026-11-23 10:30:00,250", "2026-11-24"];
    let text: String = times[..3].iter().map(|time| log(time)).collect();
    let of = |args: &[&str], text: &str| -> Vec<u64> {
        values(&cat(args, text)).iter().map(|row| row["timestamp"].as_u64().unwrap()).collect()
    };
    let (first, second, third) = (0, 1000, 1000 + (10 * 3600 + 30 * 60) * 1000 + 250);
    assert_eq!(of(&[], &text), [first, second, third]);
    assert_eq!(of(&["--from=2026-11-23"], &text), [second, third]);
    assert_eq!(of(&["--to", "2026-11-23"], &text), [first]);
    assert_eq!(of(&["--from=2026-11-23T10:00Z", "--to=2026-11-23 12:00+01:00"], &text), [third]);
    assert_eq!(of(&["--from=1s", "--to=2026-11-23T10:00Z"], &text), [second]);
    // Sorted, and as numbers since 1970.
    let since: String =
        [1_763_855_999_000_u64, 1_763_856_000_000].map(|time| line(time, 5, 1, &[0])).concat();
    assert_eq!(of(&["--from=2025-11-23"], &since), [1_763_856_000_000]);
    // Spans begin with the first record where times count from 1970.
    assert_eq!(of(&["--from=1s"], &since), [1_763_856_000_000]);
    assert_eq!(of(&["--to=1s"], &since), [1_763_855_999_000]);
    assert_eq!(of(&["--from=1s", "--to=2s", "--shift"], &since), [1_763_856_000_000]);
    assert_eq!(of(&["--sort", "--from=2026-11-23"], &text), [second, third]);
    let seconds = since.replace("000, \"input", ", \"input");
    assert_eq!(of(&["--timestamp-unit=s", "--from=2025-11-23", "--rebase"], &seconds), [0]);

    let relative = run("trace-cat", &["--from=2026-11-23"], line(5000, 5, 1, &[0]));
    assert_eq!((relative.status, relative.stdout.as_str()), (Some(1), ""));
    assert!(relative.stderr.contains("counted from the beginning of the trace, not since 1970: give --from"));
    for (args, message) in [
        (["--from=yesterday", "-n1"], "or a date such as 2026-11-23"),
        (["--from=2026-11-23", "--to=2026-11-22"], "--from is not before --to"),
    ] {
        let ran = run("trace-cat", &args, "");
        assert!(ran.status == Some(2) && ran.stderr.contains(message), "{ran:?}");
    }
}

#[test]
fn a_time_that_cannot_be_read_is_shown() {
    let log = |time: &str| format!("{{\"ts\": {time}, \"usage\": {{\"prompt_tokens\": 7}}}}\n");
    let text = log("\"2026-11-23T10:00:00Z\"") + &log("\"at ten\"") + &log("\"at eleven\"");
    let ran = run("trace-cat", &[], &text);
    let shown = "-:2: no time is read from \"ts\": \"at ten\"";
    assert!(ran.stderr.contains(shown) && !ran.stderr.contains("eleven"), "{}", ran.stderr);
    assert!(!ran.stdout.lines().nth(1).unwrap().contains("timestamp"));
    let ran = run("trace-cat", &[], log("null") + &log("\"2026-11-23T10:00:00Z\""));
    assert!(!ran.stderr.contains("no time"), "{}", ran.stderr);
}

#[test]
fn a_table_may_have_dates() {
    let table =
        "timestamp,input_length,hash_ids\n23/Nov/2026:10:00:01 +0000,5,0\n\"2026-11-23 10:00:00,5\",6,0\n";
    let times = |args: &[&str], text: &str| -> Vec<u64> {
        values(&cat(args, text)).iter().map(|row| row["timestamp"].as_u64().unwrap()).collect()
    };
    assert_eq!(times(&["--sort"], table), [0, 500]);
    assert_eq!(times(&["--sort", "--from=2026-11-23T10:00:01Z"], table), [500]);
    let mixed = run("trace-cat", &[], table.to_owned() + "17,5,0\n");
    assert!(
        mixed.status == Some(1) && mixed.stderr.contains("expected a date and time, found 17"),
        "{mixed:?}"
    );
    let mixed = run("trace-cat", &[], "timestamp,input_length\n17,5\n2026-11-23T10:00:01Z,5\n");
    assert!(mixed.stderr.contains("expected a number, found 2026"), "{mixed:?}");
    let unit = run("trace-cat", &["--timestamp-unit=s"], table);
    assert!(unit.stderr.contains("the format says what its times count"), "{unit:?}");
    let report = run("trace-stats", &["-f", "json"], table.replace(":01 ", ":00 "));
    assert!(report.stdout.contains("\"duration_s\": 0.5,"), "{report:?}");
}

#[test]
fn fields_without_a_place_in_a_format_are_named() {
    let trace = "{\"timestamp\": 1, \"input_length\": 5, \"output_length\": 1, \"hash_ids\": [0], \"session_id\": \"s\", \"x\": null}\n";
    let said = |args: &[&str], text: &str| run("trace-cat", args, text).stderr;
    let csv = said(&["-t", "csv"], trace);
    assert!(csv.contains("left out, since csv has no place for it: session_id\n"), "{csv}");
    let sized = said(&["-t", "csv", "-b", "16"], trace);
    assert!(sized.contains("for it: block_size, session_id\n"), "{sized}");
    let named = said(&["-t", "kvcache-simulator", "-b", "16"], trace);
    assert!(named.contains("for it: session_id\n"), "{named}");
    for target in ["mooncake", "bailian"] {
        assert!(!said(&["-t", target, "-b16"], trace).contains("left out"));
    }
    assert!(!said(&["-t", "csv"], &line(0, 5, 1, &[0])).contains("left out"));
}
