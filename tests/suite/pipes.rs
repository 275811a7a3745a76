//! The filters as members of a pipe: closed pipes, slow pipes, signals, several of them in a row.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, command, line, piped, run, scratch, shell, write};

fn trace(requests: u64) -> String {
    (0..requests).map(|i| line(i, 1024, 7, &[0, i + 1])).collect()
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = scratch();
    let path = write(folder.path(), "t.jsonl", trace(50_000));
    for take in [0_usize, 1, 4096, 100_000] {
        let mut child =
            command("trace-cat").arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut vec![0; take]).unwrap();
        drop(stdout);
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert_eq!((ran.status, &*ran.stderr), (Some(0), ""), "after {take} bytes");
    }
    let ran = shell(
        folder.path(),
        "trace-stats t.jsonl | true; trace-stats --help | true; trace-hash --man | true",
    );
    assert_eq!((ran.status, &*ran.stderr), (Some(0), ""));
}

/// The bytes of `text` as a member of a gzip file.
fn zipped(text: &str) -> Vec<u8> {
    let mut gzip = command("trace-cat");
    let mut child = piped(gzip.args(["-q", "--compress", "gzip"]));
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn({
        let text = text.to_owned();
        move || stdin.write_all(text.as_bytes()).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// A filter that is fed line by line.
fn fed(name: &str) -> (Child, std::process::ChildStdin, BufReader<std::process::ChildStdout>) {
    fed_with(name, &[])
}

fn fed_with(
    name: &str,
    args: &[&str],
) -> (Child, std::process::ChildStdin, BufReader<std::process::ChildStdout>) {
    let mut child = piped(command(name).args(args));
    let stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdin, stdout)
}

#[test]
fn a_line_comes_out_before_the_next_one_goes_in() {
    for (name, record) in
        [("trace-cat", line(1, 512, 1, &[0])), ("trace-hash", "{\"prompt\": \"a b\"}\n".into())]
    {
        let (child, mut stdin, mut stdout) = fed(name);
        for _ in 0..3 {
            stdin.write_all(record.as_bytes()).unwrap();
            let mut out = String::new();
            stdout.read_line(&mut out).unwrap();
            assert!(out.contains("\"input_length\": ") && out.ends_with('\n'), "{out}");
        }
        drop(stdin);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    }
}

fn signal(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn a_signal_ends_a_waiting_filter_and_statistics_are_still_written() {
    let zipped = zipped(&trace(10));
    for (name, code, input) in
        [("INT", 130, trace(10).into_bytes()), ("TERM", 143, trace(10).into_bytes()), ("INT", 130, zipped)]
    {
        let (child, mut stdin, mut stdout) = fed("trace-stats");
        stdin.write_all(&input).unwrap();
        // The filter is certain to wait once it has had time to read the ten lines.
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, &format!("-{name}"));
        let mut report = String::new();
        stdout.read_to_string(&mut report).unwrap();
        assert!(report.contains("\nRequests:        10\n"), "{report}");
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code));
        drop(stdin);
    }
}

#[test]
fn a_signal_keeps_the_lines_before_it_and_the_old_file() {
    let folder = scratch();
    let old = write(folder.path(), "out", "old");
    let (child, mut stdin, mut stdout) = fed("trace-cat");
    stdin.write_all(trace(3).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-TERM");
    let mut out = String::new();
    stdout.read_to_string(&mut out).unwrap();
    assert_eq!(out, trace(3));
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));

    let mut child = command("trace-cat").args(["-o", &old]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(trace(3).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn a_signal_ends_a_filter_whose_reader_is_stuck() {
    let folder = scratch();
    let path = write(folder.path(), "t.jsonl", trace(50_000));
    let zipped_path = write(folder.path(), "t.jsonl.gz", zipped(&trace(50_000)));
    for (name, args, path) in [
        ("trace-cat", &[][..], &path),
        ("trace-stats", &["--window", "1req"], &path),
        ("trace-stats", &["--window", "1req"], &zipped_path),
    ] {
        let mut child = command(name).args(args).arg(path).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        signal(&child, "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(143), "{args:?}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_signal_ends_a_filter_that_decompresses_ahead_of_a_stuck_writer() {
    let (mut child, mut stdin, _stdout) = fed_with("trace-stats", &["--window", "1req"]);
    // More windows than the pipe holds, fewer lines than are read ahead; then the reader waits for more.
    stdin.write_all(&zipped(&trace(400))).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_window_comes_out_when_it_is_over_also_of_compressed_input() {
    let (child, mut stdin, mut stdout) = fed_with("trace-stats", &["--window", "1req"]);
    for number in 0..3 {
        // A window is over with the record after it.
        stdin.write_all(&zipped(&line(number, 512, 1, &[0]))).unwrap();
        if number > 0 {
            let mut out = String::new();
            stdout.read_line(&mut out).unwrap();
            assert!(out.starts_with(&format!("{{\"window\":{}", number - 1)), "{out}");
        }
    }
    drop(stdin);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn the_pipe_of_three_filters_works() {
    let folder = scratch();
    let prompts: String =
        (0..40).map(|i| format!("{{\"prompt\": \"the same words {} \"}}\n", i % 8)).collect();
    write(folder.path(), "prompts.jsonl", &prompts);
    let piped = shell(
        folder.path(),
        "cat prompts.jsonl | trace-hash -b 2 | trace-cat -b 2 | trace-stats -b 2 --format json",
    )
    .ok();
    let stepwise = run("trace-hash", &["-b", "2"], &prompts).ok();
    assert_eq!(run("trace-stats", &["-b", "2", "-f", "json"], stepwise).ok(), piped);
    assert!(piped.contains("\"requests\": 40"));
}

#[test]
fn the_output_is_the_same_on_every_run() {
    let input = trace(2000);
    let first = run("trace-stats", &["-f", "json"], &input).ok();
    for _ in 0..3 {
        assert_eq!(run("trace-stats", &["-f", "json"], &input).ok(), first);
    }
}

#[test]
fn the_pipes_of_all_four_filters_work() {
    let folder = scratch();
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/prompts.jsonl"),
        folder.path().join("prompts.jsonl"),
    )
    .unwrap();
    let run = |line: &str| shell(folder.path(), line).ok();
    run("head -n 20 prompts.jsonl | trace-hash > a.jsonl; tail -n 21 prompts.jsonl | trace-hash > b.jsonl");
    // Chats have several requests at one time: order is kept by sorting.
    run("trace-cat --sort a.jsonl -o a; trace-cat --sort b.jsonl | trace-cat --compress zstd -o b.zst");
    let synthetic =
        "trace-cat -q --ids-scope file a b.zst --merge | trace-synth --model replay -n 10000 --seed 1";
    let stats = run(&format!("{synthetic} | trace-stats --format json"));
    let figures: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(figures["requests"], 10_000);
    assert!(figures["token_hit_rate"].as_f64().unwrap() > 0.5, "{stats}");
    assert_eq!(run(&format!("{synthetic} | trace-cat --check | head -n 2")), "{\n  \"valid\": true,\n");

    // A daily job: the numbering goes on where it stopped.
    run("split -n l/3 prompts.jsonl day.
         for day in day.*; do trace-hash --state ids.bin < $day >> all.jsonl; done");
    assert_eq!(run("cat all.jsonl"), run("trace-hash prompts.jsonl"));

    // Prompts made from a trace hash to that trace.
    let generated = "trace-synth -n 300 --seed 2 a.jsonl";
    let stats = |pipe: &str| run(&format!("{pipe} | trace-stats --format json"));
    let prompts = format!("{generated} --prompts | trace-hash");
    assert_eq!(stats(&prompts), stats(generated));
}

#[test]
fn a_file_is_not_read_while_it_is_appended_to() {
    let folder = scratch();
    std::fs::write(folder.path().join("t"), line(0, 512, 1, &[0])).unwrap();
    let ran = shell(folder.path(), "trace-cat t >> t");
    assert_eq!((ran.status, &*ran.stderr), (Some(1), "trace-cat: t: input file is output file\n"));
    assert_eq!(std::fs::read_to_string(folder.path().join("t")).unwrap(), line(0, 512, 1, &[0]));
}

#[test]
fn one_file_is_not_written_twice() {
    let folder = scratch();
    std::fs::write(folder.path().join("t"), line(0, 512, 1, &[0]).repeat(9)).unwrap();
    std::fs::write(folder.path().join("p"), "{\"prompt\": \"a\"}\n").unwrap();
    for run in
        ["trace-hash --state s -o s p", "trace-hash --state ./s -o s p", "trace-synth --save-model m -o m t"]
    {
        let ran = shell(folder.path(), run);
        assert_eq!(ran.status, Some(2), "{run}: {}", ran.stderr);
        assert!(ran.stderr.contains("are the same file"), "{}", ran.stderr);
    }
    // Numbers of lines that were thrown away are given again.
    let ran = shell(folder.path(), "(cat p; echo bad) | trace-hash --state s -o out");
    assert_eq!(ran.status, Some(1));
    let next = shell(folder.path(), "echo '{\"prompt\": \"b\"}' | trace-hash --state s").ok();
    assert!(next.contains("\"hash_ids\": [0]"), "{next}");
}
