//! Inputs made to do harm: to memory, to time, to the terminal, to files beside the output.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Ran, command, line, run, run_in, scratch, write};
use kvtrace::record::Record;
use kvtrace::stats::{Analysis, AnalysisOptions};

/// A run that ended by itself, well or with a message.
#[track_caller]
fn ended(ran: &Ran) {
    let refused = ran.status == Some(1) && !ran.stderr.is_empty();
    assert!(ran.status == Some(0) || refused, "{:?} {:.300}", ran.status, ran.stderr);
    assert!(ran.stderr.len() < 10_000, "{:.300}", ran.stderr);
}

// Time and memory.

#[test]
fn nesting_a_million_deep_is_read_past_or_refused() {
    let folder = scratch();
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let objects = "{\"a\":".repeat(1_000_000) + "1" + &"}".repeat(1_000_000);
    for value in [&deep, &objects] {
        let trace = format!("{{\"input_length\": 1, \"hash_ids\": [0], \"x\": {value}}}\n");
        assert!(run("trace-stats", &["--format", "json"], &trace).ok().contains("\"requests\": 1"));
        assert!(run("trace-cat", &["--rebase", "--renumber"], &trace).ok().contains(value.as_str()));
        ended(&run("trace-stats", &["--by", "x"], &trace));
        for field in ["hash_ids", "timestamp", "input_length", "session_id"] {
            let trace = format!("{{\"input_length\": 1, \"{field}\": {value}}}\n");
            ended(&run("trace-stats", &[], &trace));
            ended(&run("trace-cat", &["--turns", "cumulative"], &trace));
        }
        for (field, format) in [
            ("requests", "weka"),
            ("request", "dynamo"),
            ("chunk_hashes", "lmcache"),
            ("keys", "tair"),
            ("hash_ids", "kvcache-simulator"),
            ("session_id", "tracelab"),
        ] {
            let row = format!("{{\"block_size\": 1, \"event_time_unix_ms\": 1, \"{field}\": {value}}}\n");
            ended(&run("trace-cat", &["--from-format", format], &row));
        }
        let kept = format!("{{\"prompt\": \"a\", \"x\": {value}}}\n");
        assert!(run("trace-hash", &["--keep", "x"], &kept).ok().contains(value.as_str()));
        for prompt in [
            format!("{{\"prompt\": {value}}}\n"),
            format!("{{\"messages\": [{{\"role\": \"user\", \"content\": {value}}}]}}\n"),
            format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"\", \"x\": {value}}}]}}\n"),
        ] {
            ended(&run("trace-hash", &[], &prompt));
            let template = write(folder.path(), "t.jinja", "{{ messages | tojson }}");
            ended(&run("trace-hash", &["--chat-template", &template], &prompt));
        }
        for file in
            [value.clone(), format!("{{\"model\": {value}}}"), format!("{{\"model\": {{\"vocab\": {value}")]
        {
            let file = write(folder.path(), "deep.json", file);
            ended(&run("trace-hash", &["--tokenizer", &file], "{\"prompt\": \"\"}\n"));
            ended(&run("trace-hash", &["--chat-template", &file], "{\"messages\": []}\n"));
            ended(&run("trace-synth", &["--model-file", &file], ""));
            ended(&run("trace-stats", &["--merge"], std::fs::read(&file).unwrap()));
            let ran = run("trace-stats", &["--capacity", "1GiB", "--model-config", &file], &trace);
            assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        }
    }
}

#[test]
fn a_hundred_thousand_fields_take_no_more_than_linear_time() {
    let mut fields = String::new();
    (0..100_000).for_each(|i| write!(fields, "\"f{}\": {i}, ", i % 50_000).unwrap());
    let begun = Instant::now();
    let trace = format!("{{{fields}\"input_length\": 1, \"hash_ids\": [0]}}\n");
    for args in [&["--rebase"][..], &["--from-format", "guidellm"], &["--to-format", "bailian"], &["--check"]]
    {
        ended(&run("trace-cat", args, &trace));
    }
    let prompt = format!("{{{fields}\"prompt\": \"a\"}}\n");
    run("trace-hash", &["--keep", "f1,f2,f3"], prompt).ok();
    let names: String = (0..100_000).map(|i| format!(",f{}", i % 7)).collect();
    let columns = names.matches(',').count();
    let table = format!("timestamp,input_length{names}\n0,1{}\n", ",x".repeat(columns));
    run("trace-cat", &[], table).ok();
    assert!(begun.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_line_of_64_mebibytes_is_taken_and_one_byte_more_is_not() {
    const LIMIT: usize = 64 << 20;
    let head = "{\"input_length\": 1, \"hash_ids\": [0], \"x\": \"";
    let text = |length: usize| format!("{head}{}\"}}\n", "x".repeat(length - head.len() - 2));
    let most = text(LIMIT);
    assert_eq!(run("trace-cat", &[], &most).ok(), most);
    assert!(run("trace-stats", &[], &most).ok().contains("Requests:        1"));
    for filter in ["trace-cat", "trace-stats", "trace-hash", "trace-synth"] {
        let ran = run(filter, &[], text(LIMIT + 1));
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains(":1: line longer than 67108864 bytes"), "{:.300}", ran.stderr);
    }
    // One list of ids: as many as there can be, each an old one.
    let ids = 20_000_000;
    let list = format!("{{\"input_length\": {ids}, \"hash_ids\": [0{}]}}\n", ",0".repeat(ids - 1));
    let report = run("trace-stats", &["--block-size", "1", "--format", "json"], list).ok();
    assert!(report.contains("\"blocks\": 20000000") && report.contains("\"unique_blocks\": 1,"), "{report}");
}

#[test]
fn a_message_that_quotes_the_input_has_an_end() {
    let long = "x".repeat(1 << 20);
    for (filter, args, input) in [
        (
            "trace-cat",
            &["--from-format", "tair"][..],
            format!("{{\"keys\": [\"{long}\"], \"input_len\": 1}}\n"),
        ),
        ("trace-cat", &[], format!("timestamp,input_length\n0,{long}\n")),
        ("trace-hash", &[], format!("{{\"prompt\": {{\"{long}\": 1}}}}\n")),
        (
            "trace-hash",
            &[],
            format!("{{\"messages\": [{{\"role\": \"u\", \"content\": [{{\"type\": \"{long}\"}}]}}]}}\n"),
        ),
        ("trace-stats", &[], format!("{{\"input_length\": \"{long}\"}}\n")),
        ("trace-stats", &["--skip-invalid"], format!("{{\"input_length\": \"{long}\"}}\n")),
        ("trace-stats", &["--merge"], format!("{{\"{long}\": 1}}\n")),
    ] {
        let ran = run(filter, args, input);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.len() < 2200, "{filter} {args:?}: {} {:.300}", ran.stderr.len(), ran.stderr);
    }
}

/// Ids of an attacker who knows the hash function, but not the key of this run: such that with no
/// key at all they would all fall into one place of any table of up to 2^16 places.
fn colliding(count: usize) -> Vec<u64> {
    let keyless = foldhash::fast::FixedState::default();
    (1_u64 << 40..).filter(|id| keyless.hash_one(id).trailing_zeros() >= 16).take(count).collect()
}

fn analysis_of(ids: &[u64]) -> (Duration, String) {
    let mut best = Duration::MAX;
    let mut report = String::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let mut options = AnalysisOptions::default();
        options.top = 3;
        let mut analysis = Analysis::new(1, options);
        for _ in 0..2 {
            for ids in ids.chunks(50) {
                let record = Record {
                    input_length: ids.len() as u64,
                    has_ids: true,
                    hash_ids: ids.to_vec(),
                    ..Record::default()
                };
                analysis.add(&record).unwrap();
            }
        }
        best = best.min(begun.elapsed());
        let mut out = Vec::new();
        kvtrace::report::write(&kvtrace::report::Format::Json.into(), &analysis.report(&[50.0]), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(report.is_empty() || report == text);
        report = text;
    }
    (best, report)
}

/// With a table that the attack hits, each look-up would pass all ids before it: 30,000 times as long.
#[test]
fn ids_chosen_to_collide_take_no_longer_than_others() {
    const COUNT: usize = 30_000;
    let random: Vec<u64> = std::iter::repeat_with({
        let mut rng = fastrand::Rng::with_seed(1);
        move || rng.u64(1 << 40..)
    })
    .take(COUNT)
    .collect();
    let (usual, _) = analysis_of(&random);
    let multiples =
        |shift: u32| (0..COUNT as u64).map(|i| (i * 7 + 1).rotate_left(shift)).collect::<Vec<u64>>();
    let attacks = [
        ("no key", colliding(COUNT)),
        ("equal modulo 2^48", multiples(48)),
        ("equal modulo 2^32", multiples(32)),
        ("equal modulo 2^16", multiples(16)),
        ("all bits but some", (0..COUNT as u64).map(|i| !(i * 1_000_003)).collect()),
    ];
    for (name, ids) in attacks {
        let (time, report) = analysis_of(&ids);
        assert!(report.contains("\"unique_blocks\": 30000,"), "{name}: {report}");
        assert!(time < 20 * usual + Duration::from_millis(500), "{name}: {time:?}, usually {usual:?}");
    }
}

#[test]
fn tables_keyed_anew_in_each_run_do_not_show_in_the_output() {
    let mut rng = fastrand::Rng::with_seed(3);
    let roots: Vec<u64> = (0..40).map(|_| rng.u64(..)).collect();
    let mut trace = String::new();
    for i in 0..600 {
        let root = roots[rng.usize(..40)];
        let deeper = (1..rng.u64(1..6)).map(|depth| root.wrapping_add(depth << 8 | rng.u64(..3)));
        let ids: Vec<u64> = std::iter::once(root).chain(deeper).collect();
        let session = rng.u8(..90);
        let row = line(i * 50, ids.len() as u64 * 512, rng.u64(..300), &ids);
        trace += &row.replace("\"input", &format!("\"session_id\": \"s{session}\", \"input"));
    }
    for (filter, args) in [
        ("trace-stats", &["--format", "json", "--top", "20", "--curve", "--by", "session_id"][..]),
        ("trace-stats", &["--approx", "100", "--capacity", "10,50"]),
        ("trace-stats", &["--policy", "lru,fifo,lfu,opt", "--capacity", "10", "--max-memory", "48Mi"]),
        ("trace-stats", &["--partial"]),
        ("trace-cat", &["--renumber"]),
        ("trace-cat", &["--check"]),
        ("trace-cat", &["--sample", "0.3", "--sample-by", "session"]),
        ("trace-cat", &["--turns", "incremental", "--to-format", "bailian"]),
        ("trace-synth", &["-n", "300"]),
        ("trace-synth", &["-n", "300", "--model", "tree", "--prompts=tokens"]),
    ] {
        let first = run(filter, args, &trace);
        assert!(first.status == Some(0) || first.status == Some(1), "{filter} {args:?} {}", first.stderr);
        for _ in 0..3 {
            let again = run(filter, args, &trace);
            assert_eq!(again.stdout, first.stdout, "{filter} {args:?}");
            assert_eq!(again.stderr, first.stderr, "{filter} {args:?}");
        }
    }
}

/// Figures depend on which ids are equal, not on their numbers: a trace that turns against the dense
/// numbering at its end is compared with one that never was dense.
#[test]
fn a_dense_trace_that_turns_sparse_late_keeps_its_figures() {
    type Attack = fn(u64) -> u64;
    let attacks: [(&str, Attack); 7] = [
        ("from the top down", |i| u64::MAX - i),
        ("around 32 bits", |i| (1 << 32) - 60 + i),
        ("every second one left out", |i| 20_000 + 2 * i),
        ("ever larger steps", |i| 20_000 + i * i * i * 1_000_003),
        ("the last of the 64 bits first", |i| u64::MAX.rotate_left(1) - i * 2),
        ("down towards the dense ones", |i| 60_000 - i),
        ("one step too far", |i| 16_001 + i),
    ];
    for (what, attack) in attacks {
        let mut rng = fastrand::Rng::with_seed(9);
        let (mut dense, mut sparse) = (String::new(), String::new());
        let mut paths: Vec<Vec<u64>> = Vec::new();
        let mut next = 0;
        for row in 0..2200_u64 {
            let late = row >= 2000;
            let mut path: Vec<u64> = match paths.len() {
                0 => Vec::new(),
                n => {
                    let path = &paths[rng.usize(..n)];
                    path[..rng.usize(..=path.len().min(12))].to_vec()
                }
            };
            for _ in 0..if late { rng.usize(..3) } else { 8 } {
                // Blocks by number: late ones from a million on.
                path.push(if late { 1_000_000 + rng.u64(..400) } else { next });
                next += u64::from(!late);
            }
            let named =
                |name: &dyn Fn(u64) -> u64| path.iter().map(|&block| name(block)).collect::<Vec<u64>>();
            let length = path.len() as u64 * 512;
            dense +=
                &line(row, length, 5, &named(&|b| if b < 1_000_000 { b } else { attack(b - 1_000_000) }));
            sparse += &line(row, length, 5, &named(&|b| b.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            paths.push(path);
        }
        assert_eq!(next, 16_000);
        let args = ["--format", "json", "--capacity", "10,1k,10k"];
        let of = |trace: &String| run("trace-stats", &args, trace).ok();
        assert_eq!(of(&dense), of(&sparse), "{what}");
        let renumbered = |trace: &String| run("trace-cat", &["--renumber"], trace).ok();
        assert_eq!(renumbered(&dense), renumbered(&sparse), "{what}");
    }
}

// Numbers.

#[test]
fn infinities_and_what_is_no_number_are_refused_wherever_a_number_stands() {
    let texts =
        ["NaN", "nan", "Infinity", "-Infinity", "inf", "1e999", "-1e999", "0x10", "1_000", "+1", ".5", "1."];
    for text in texts {
        for field in ["timestamp", "input_length", "output_length", "block_size"] {
            for shown in [text.to_owned(), format!("\"{text}\"")] {
                let good = if field == "input_length" { "" } else { "\"input_length\": 1, " };
                let ran = run("trace-stats", &[], format!("{{{good}\"{field}\": {shown}}}\n"));
                assert_eq!(ran.status, Some(1), "{field} {shown}: {}", ran.stdout);
                assert!(ran.stderr.contains(":1: "), "{}", ran.stderr);
            }
        }
        let ran = run("trace-stats", &[], format!("{{\"input_length\": 1, \"hash_ids\": [{text}]}}\n"));
        assert_eq!(ran.status, Some(1), "{text}");
        let ran = run("trace-cat", &[], format!("timestamp,input_length\n{text},1\n"));
        // A number of a table may begin or end with its point no more than one of JSON.
        assert_eq!(ran.status, Some(i32::from(text != "1.")), "{text}: {} {}", ran.stdout, ran.stderr);
        let ran = run("trace-cat", &[], format!("timestamp,input_length\n0,{text}\n"));
        assert_eq!(
            ran.status,
            Some(i32::from(!matches!(text, "+1" | "1."))),
            "{text}: {} {}",
            ran.stdout,
            ran.stderr
        );
        for args in [
            ["trace-stats", "--percentiles"],
            ["trace-stats", "--warmup"],
            ["trace-hash", "--rate"],
            ["trace-synth", "--speedup-ratio"],
            ["trace-synth", "--osl-multiplier"],
            ["trace-cat", "--sample"],
        ] {
            if !["+1", ".5", "1."].contains(&text) {
                assert_eq!(run(args[0], &[args[1], text], "").status, Some(2), "{args:?} {text}");
            }
        }
    }
}

#[test]
fn times_at_the_edges_of_64_bits_give_finite_figures() {
    let edges = [
        "-1e24",
        "-9223372036854775808",
        "-9223372036854775809",
        "-1",
        "0",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e24",
    ];
    let trace: String = edges
        .iter()
        .map(|time| {
            format!(
                "{{\"timestamp\": {time}, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [0]}}\n"
            )
        })
        .collect();
    for format in ["table", "json", "csv", "markdown", "prometheus"] {
        for args in [&[][..], &["--window", "1ms"], &["--ttl", "60s,1d"], &["--top", "3"]] {
            if args.contains(&"--window") && !matches!(format, "json" | "csv") {
                continue;
            }
            let all: Vec<&str> = ["--format", format].iter().chain(args).copied().collect();
            let report = run("trace-stats", &all, &trace).ok();
            let words = report.split(|c: char| !c.is_ascii_alphabetic());
            assert!(!words.into_iter().any(|w| ["inf", "NaN", "Infinity"].contains(&w)), "{report}");
            assert!(format != "json" || !report.contains("\"duration_s\": null"), "{report}");
        }
    }
    for args in [
        &["--rebase"][..],
        &["--sort"],
        &["--speedup-ratio", "1e-9"],
        &["--speedup-ratio", "1e9"],
        &["--from", "1ms"],
        &["--to", "18446744073709551615ms"],
        &["--to-format", "vllm"],
        &["--to-format", "csv"],
        &["--to-format", "bailian"],
        &["--check"],
    ] {
        ended(&run("trace-cat", args, &trace));
    }
    assert_eq!(
        run("trace-cat", &["--to-format", "csv"], &trace).ok().matches("\n-9223372036854775809,").count(),
        1
    );
    for args in [&[][..], &["--model", "tree"], &["--rate", "1e-3"], &["--speedup-ratio", "1e6"]] {
        ended(&run("trace-synth", args, &trace));
    }
    for (unit, time) in [("ns", "18446744073709551615"), ("s", "-9223372036854775808"), ("us", "1e24")] {
        let prompt = format!("{{\"prompt\": \"a\", \"t\": {time}}}\n{{\"prompt\": \"b\", \"t\": 0}}\n");
        ended(&run("trace-hash", &["--timestamp-field", "t", "--timestamp-unit", unit, "--rebase"], prompt));
    }
    for (filter, beyond) in [
        ("trace-stats", "{\"input_length\": 1, \"timestamp\": 1.1e24}\n"),
        ("trace-hash", "{\"prompt\": \"\", \"timestamp\": -1e308}\n"),
    ] {
        let ran = run(filter, &[], beyond);
        assert_eq!(ran.status, Some(1), "{}", ran.stdout);
        assert!(ran.stderr.contains("timestamp"), "{}", ran.stderr);
    }
}

// Names and the terminal.

/// Nothing that a terminal obeys, but for the line ends.
#[track_caller]
fn quiet(text: &str) {
    let obeyed = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{2028}".contains(c);
    assert!(!text.contains(obeyed), "{text:?}");
}

#[test]
fn escape_sequences_in_names_and_values_reach_no_terminal() {
    let folder = scratch();
    let evil = "\u{1b}[31m\u{9b}2J\u{7}\u{202e}\r";
    let json = r"\u001b[31m\u009b2J\u0007\u202e\r";
    let name = format!("a{evil}.jsonl");
    for bad in [
        format!("{{\"input_length\": \"{json}\"}}\n"),
        format!("{{\"{json}\": 1}}\n"),
        format!("{evil}\n"),
        format!("{{\"input_length\": 1, \"hash_ids\": [{json}]}}\n"),
        format!("{{\"messages\": [{{\"role\": \"u\", \"content\": [{{\"type\": \"{json}\"}}]}}]}}\n"),
        format!("{{\"request\": {{\"{json}\": \"{json}\"}}, \"event_time_unix_ms\": \"{json}\"}}\n"),
        format!("timestamp,input_length,{evil}\n{evil},{evil},x\n"),
        format!("kvtrace block numbers, version {evil}\n\n"),
    ] {
        let file = write(folder.path(), &name, bad);
        let other = format!("--{evil}");
        for args in [
            ["trace-stats", &file, "-q"],
            ["trace-cat", &file, "-q"],
            ["trace-hash", &file, "-q"],
            ["trace-synth", &file, "-q"],
            ["trace-stats", "--merge", &file],
            ["trace-cat", "--check", &file],
            ["trace-cat", "--skip-invalid", &file],
            ["trace-hash", "--state", &file],
            ["trace-hash", "--tokenizer", &file],
            ["trace-hash", "--chat-template", &file],
            ["trace-synth", "--model-file", &file],
            ["trace-stats", "--model-config", &file],
            ["trace-stats", &other, "-q"],
            ["trace-stats", "--format", evil],
            ["trace-cat", "--from", evil],
            ["trace-hash", "--field", evil],
            ["trace-hash", "--timestamp-field", evil],
            ["trace-cat", "-o", &format!("{evil}/x")],
            ["trace-stats", evil, "-q"],
        ] {
            let ran =
                run_in(folder.path(), args[0], &args[1..], "{\"prompt\": \"a\", \"input_length\": 1}\n");
            quiet(&ran.stderr);
            quiet(&ran.stdout);
        }
    }
    let trace = format!("{{\"input_length\": 1, \"model\": \"{json}\", \"hash_ids\": [0]}}\n");
    for format in ["table", "json", "markdown"] {
        quiet(
            &run("trace-stats", &["--by", "model", "--format", format], &trace).ok().replace("\\u202e", ""),
        );
    }
    quiet(&run("trace-stats", &["--by", evil], &trace).stderr);
}

#[test]
fn file_names_that_are_no_text_are_names_like_others() {
    let folder = scratch();
    let name = OsStr::from_bytes(b"a\xff\x80b.jsonl");
    let out = OsStr::from_bytes(b"\xfeout");
    std::fs::write(folder.path().join(name), line(0, 5, 1, &[0])).unwrap();
    let ran = |filter: &str, args: &[&OsStr]| {
        Ran::of(&command(filter).args(args).current_dir(folder.path()).output().unwrap())
    };
    let text = OsStr::new;
    ran("trace-cat", &[name, text("-o"), out]).ok();
    assert_eq!(std::fs::read(folder.path().join(out)).unwrap(), line(0, 5, 1, &[0]).into_bytes());
    ran("trace-stats", &[name, out]).ok();
    ran("trace-synth", &[name, text("--min-count=1"), text("--save-model"), out]).ok();
    ran("trace-synth", &[text("--model-file"), out]).ok();
    std::fs::write(folder.path().join(name), "{\"prompt\": \"a\"}\n").unwrap();
    let state = OsStr::from_bytes(b"state\xff");
    ran("trace-hash", &[name, text("--state"), state]).ok();
    assert!(folder.path().join(state).is_file());
    std::fs::write(folder.path().join(name), "bad\n").unwrap();
    let bad = ran("trace-stats", &[name]);
    assert_eq!(bad.status, Some(1));
    assert!(bad.stderr.starts_with("trace-stats: a\u{fffd}\u{fffd}b.jsonl:1: "), "{}", bad.stderr);
}

// Files beside the output.

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn is_link(path: impl AsRef<Path>) -> bool {
    std::fs::symlink_metadata(path).unwrap().is_symlink()
}

#[test]
fn an_output_that_is_a_link_is_followed_and_stays_one() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let trace = line(0, 5, 1, &[0]);
    std::fs::create_dir(at("there")).unwrap();
    write(&at("there"), "file", "old");
    std::fs::hard_link(at("there/file"), at("hard")).unwrap();
    // A link to a link to a file, and one to a link to nothing.
    symlink("there/file", at("one")).unwrap();
    symlink("one", at("two")).unwrap();
    symlink("../to-new", at("there/back")).unwrap();
    symlink("new", at("to-new")).unwrap();
    symlink("there/back", at("dangling")).unwrap();
    run_in(folder.path(), "trace-cat", &["-o", "two"], &trace).ok();
    assert_eq!(read(at("there/file")), trace);
    assert_eq!(read(at("hard")), "old");
    run_in(folder.path(), "trace-cat", &["-o", "dangling"], &trace).ok();
    assert_eq!(read(at("new")), trace);
    for link in ["one", "two", "dangling", "to-new", "there/back"] {
        assert!(is_link(at(link)), "{link}");
    }
    // No temporary file is left in any of the folders.
    let all = |folder: &Path| {
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert_eq!((all(folder.path()).len(), all(&at("there")).len()), (7, 2));
    symlink("loop", at("loop")).unwrap();
    symlink("there", at("folder")).unwrap();
    for refused in ["loop", "folder", "missing/x", "there/file/x", "", "there/"] {
        let ran = run_in(folder.path(), "trace-cat", &["-o", refused], &trace);
        assert_eq!(ran.status, Some(1), "{refused:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with(&format!("trace-cat: {refused}: ")), "{refused:?}: {}", ran.stderr);
    }
}

#[test]
fn two_dots_lead_where_the_system_says() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let trace = line(0, 5, 1, &[0]);
    std::fs::create_dir_all(at("a/b")).unwrap();
    symlink("a/b", at("link")).unwrap();
    // Behind a link, the parent is that of the folder it leads to.
    run_in(folder.path(), "trace-cat", &["-o", "link/../out"], &trace).ok();
    assert_eq!(read(at("a/out")), trace);
    run_in(&at("a/b"), "trace-cat", &["-o", "../../top"], &trace).ok();
    assert_eq!(read(at("top")), trace);
    let ran = run_in(folder.path(), "trace-cat", &["-o", "missing/../out"], &trace);
    assert_eq!(ran.status, Some(1));
    assert!(!at("out").exists());
}

#[test]
fn an_output_may_be_an_input_as_with_sort() {
    let folder = scratch();
    let trace = line(7, 5, 1, &[3]) + &line(9, 5, 1, &[4]);
    let file = write(folder.path(), "t", &trace);
    symlink("t", folder.path().join("l")).unwrap();
    run_in(folder.path(), "trace-cat", &["--rebase", "--renumber", "t", "-o", "l"], "").ok();
    assert_eq!(read(&file), line(0, 5, 1, &[0]) + &line(2, 5, 1, &[1]));
    // A run that fails leaves it as it was.
    write(folder.path(), "t", trace.clone() + "bad\n");
    assert_eq!(run_in(folder.path(), "trace-cat", &["t", "-o", "t"], "").status, Some(1));
    assert_eq!(read(&file), trace + "bad\n");
}

#[test]
fn a_short_row_that_names_all_blocks_is_held_to_the_memory_allowed() {
    let most = 1 << 29;
    let piece = format!(
        "{{\"kvtrace_partial\":4,\"block_size\":1}}\n[{most},null,null,{most}]\n\
         {{\"requests\":1,\"repeated\":[0,{most},0],\"restarted\":[]}}\n"
    );
    let refused = run("trace-stats", &["--merge", "--max-memory", "80Mi"], &piece);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("-:2: the pieces need more than --max-memory"), "{}", refused.stderr);
    let report = run("trace-stats", &["--merge", "-f", "json", "--max-memory", "400Mi"], &piece).ok();
    assert!(report.contains("\"shared_blocks\": 536870912,"), "{report}");
}

#[test]
fn a_template_without_end_is_ended() {
    let folder = scratch();
    let loops = "{% for i in range(100000) %}".repeat(3) + &"{% endfor %}".repeat(3);
    let recursion = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned();
    let indent = "{{ messages | tojson(indent=1000000000) }}".to_owned();
    let widths = [
        "{{ '%s %011111111111111111111111d' % ('a', 5) }}",
        "{{ '%-999999999s' | format('a') }}",
        "{{ '%.999999999f' % 1.5 }}",
        "{{ '{}{0:>999999999}'.format(1) }}",
        "{{ '{{{:099999999d}'.format(5) }}",
        "{% for i in range(100000) %}{{ '%1000000d' % i }}{% endfor %}",
    ];
    for template in [loops, recursion, indent].into_iter().chain(widths.map(str::to_owned)) {
        let file = write(folder.path(), "t.jinja", &template);
        let chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n";
        let ran = run("trace-hash", &["--chat-template", &file], chat);
        assert_eq!(ran.status, Some(1), "{template}");
        assert!(ran.stderr.contains(":1: chat template"), "{}", ran.stderr);
    }
}
