//! The files behind the recipes: the daily and weekly scripts, what starts them, and a filter at the end
//! of a log that grows. (`tests/suite/docs.rs` runs the commands that the documents show.)

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Ran, scratch, shell, write};
use serde_json::{Value, json};

fn daily() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/daily")
}

fn prompts() -> String {
    std::fs::read_to_string(daily().join("../prompts.jsonl")).unwrap()
}

/// A folder with the logs of three days, and what the scripts are told by the environment.
fn home() -> (tempfile::TempDir, String) {
    let folder = scratch();
    for name in ["logs", "prom"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let prompts = prompts();
    let lines: Vec<&str> = prompts.lines().collect();
    for (day, part) in (23..).zip(lines.chunks(lines.len().div_ceil(3))) {
        write(folder.path(), &format!("logs/2026-11-{day}.jsonl"), part.join("\n") + "\n");
    }
    let settings = "export KVTRACE_LOGS=logs KVTRACE_HOME=home KVTRACE_TEXTFILES=prom KVTRACE_SIZES=10,20";
    let path = format!("PATH={}:$PATH", daily().display());
    (folder, format!("{settings} {path}; "))
}

#[test]
fn daily_runs_number_like_one_run_over_all_days() {
    let (folder, settings) = home();
    let days = "for day in 2026-11-23 2026-11-24 2026-11-25; do kvtrace-daily $day; done; ";
    shell(folder.path(), &format!("{settings}{days}")).ok();
    let joined = shell(folder.path(), "cat home/traces/*").ok();
    assert_eq!(joined, shell(folder.path(), "cat logs/* | trace-hash").ok());
    let report =
        shell(folder.path(), "trace-stats -c 10,20 --title 2026-11-25 -f json home/traces/2026-11-25.jsonl")
            .ok();
    assert_eq!(shell(folder.path(), "cat home/reports/2026-11-25.json").ok(), report);

    // Again, in another order: the same files.
    let again = "for day in 2026-11-25 2026-11-23 2026-11-24; do kvtrace-daily $day; done; ";
    shell(folder.path(), &format!("{settings}{again}")).ok();
    assert_eq!(shell(folder.path(), "cat home/traces/*").ok(), joined);

    let week = shell(
        folder.path(),
        &format!("{settings}kvtrace-weekly 2026-11-25; cat home/reports/week-2026-11-25.md"),
    );
    let direct = "trace-stats --curve --target 50%,90%,99% --top 10 -f markdown home/traces/*";
    assert_eq!(week.ok(), shell(folder.path(), direct).ok());
}

#[test]
fn a_day_without_a_log_fails_and_leaves_the_figures_as_they_were() {
    let (folder, settings) = home();
    shell(folder.path(), &format!("{settings}kvtrace-daily 2026-11-23")).ok();
    let before = shell(folder.path(), "cat prom/kvtrace.prom").ok();
    write(folder.path(), "logs/2026-11-26.jsonl", "{\"prompt\": \"a\"}\nno JSON\n");
    for day in ["2026-11-26", "2026-11-27"] {
        let ran = shell(folder.path(), &format!("{settings}kvtrace-daily {day}"));
        assert_eq!(ran.status, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(day), "{ran:?}");
    }
    assert_eq!(shell(folder.path(), "cat prom/kvtrace.prom; ls home/traces prom").ok(), {
        before + "home/traces:\n2026-11-23.jsonl\n\nprom:\nkvtrace.prom\nkvtrace_log.prom\n"
    });
    // A day without requests is one that went wrong, and an earlier day does not replace a later one.
    write(folder.path(), "logs/2026-11-28.jsonl", "");
    let ran = shell(folder.path(), &format!("{settings}kvtrace-daily 2026-11-28"));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("no requests in logs/2026-11-28.jsonl"), "{ran:?}");
    let later = |day: &str| {
        shell(folder.path(), &format!("{settings}kvtrace-daily {day}; cat prom/kvtrace.prom")).ok()
    };
    let latest = later("2026-11-24");
    write(folder.path(), "logs/2026-11-22.jsonl", "{\"prompt\": \"a\"}\n");
    assert_eq!(later("2026-11-22"), latest);
    // What is skipped on the way to the trace is told to Prometheus, too.
    let log = |name: &str| std::fs::read_to_string(folder.path().join("prom").join(name)).unwrap();
    assert_eq!(log("kvtrace_log.prom"), "kvtrace_log_skipped_records 0\n");
    write(folder.path(), "logs/2026-11-29.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\nno JSON\n");
    write(folder.path(), "skips", "hash_options=--skip-invalid\n");
    let ran = shell(
        folder.path(),
        &format!("{settings}KVTRACE_CONF=./skips; export KVTRACE_CONF; kvtrace-daily 2026-11-29"),
    );
    assert!(ran.status == Some(0) && ran.stderr.contains("skipped 2 invalid records"), "{ran:?}");
    assert_eq!(log("kvtrace_log.prom"), "kvtrace_log_skipped_records 2\n");
    let none = shell(folder.path(), &format!("{settings}kvtrace-weekly 2025-01-01"));
    assert_eq!(none.status, Some(1));
    assert!(none.stderr.contains("no traces of the week to 2025-01-01"), "{none:?}");
}

#[test]
fn the_lines_of_the_crontab_run() {
    let (folder, settings) = home();
    let crontab = std::fs::read_to_string(daily().join("crontab")).unwrap();
    let mut commands = 0;
    for line in crontab.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(!line.contains('%'), "a percent sign is a line end to cron: {line}");
        // Cron knows no day by name: yesterday's log has to be there.
        let command = words[5..].join(" ");
        let yesterday = "cp logs/2026-11-23.jsonl logs/$(date -d yesterday +%F).jsonl; ";
        shell(folder.path(), &format!("{settings}{yesterday}sh -c '{command}'")).ok();
        commands += 1;
    }
    assert_eq!(commands, 2);
    assert_eq!(shell(folder.path(), "ls home/reports | wc -l").ok().trim(), "2");
}

#[test]
fn systemd_accepts_the_units() {
    if shell(Path::new("."), "command -v systemd-analyze").status != Some(0) {
        eprintln!("skipped: systemd-analyze is not here");
        return;
    }
    let folder = scratch();
    let mut units = Vec::new();
    for name in ["kvtrace-daily", "kvtrace-weekly"] {
        for kind in ["service", "timer"] {
            let unit = std::fs::read_to_string(daily().join(format!("{name}.{kind}"))).unwrap();
            // Verification wants to see the program.
            let unit = unit.replace("/usr/local/bin", daily().to_str().unwrap());
            units.push(write(folder.path(), &format!("{name}.{kind}"), unit));
        }
    }
    let ran = shell(folder.path(), &format!("systemd-analyze verify {}", units.join(" ")));
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_filter_behind_tail_reports_on_each_window_as_it_ends() {
    let folder = scratch();
    let log = folder.path().join("trace.jsonl");
    let mut file = std::fs::File::create(&log).unwrap();
    let stats = crate::support::binary("trace-stats");
    // tail follows the log for as long as this process lives.
    let mut writer = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = format!("tail -n +1 -s 0.1 -f --pid={} trace.jsonl | \"$0\" --window 1s", writer.id());
    let mut child = Command::new("bash")
        .args(["-c", &pipe, stats.to_str().unwrap()])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line).map_err(drop)).ok()
    });
    for second in 0..3_u64 {
        let requests: String = (0..4)
            .map(|n| crate::support::line(second * 1000 + n * 100, 512, 1, &[second * 4 + n]))
            .collect();
        file.write_all(requests.as_bytes()).unwrap();
        if second > 0 {
            let window = lines.recv_timeout(Duration::from_secs(10)).expect("no line while the log grows");
            let start = format!("{{\"window\":{0},\"start_ms\":{0}", second - 1);
            assert!(window.starts_with(&start) && window.contains("\"requests\":4,"), "{window}");
        }
    }
    drop(writer.stdin.take());
    writer.wait().unwrap();
    assert!(child.wait().unwrap().success());
    let last = lines.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(last.starts_with("{\"window\":2,"), "{last}");
}

/// A day of chats that grow turn by turn, each request with all turns before it, and what the server said.
fn chats(day: u32) -> String {
    let mut out = String::new();
    for chat in 0..6 {
        let mut messages = vec![json!({"role": "system", "content": "You answer briefly. ".repeat(12)})];
        for turn in 0..4 {
            messages
                .push(json!({"role": "user", "content": format!("Question {turn} of chat {chat}, {day}?")}));
            let at = format!("2026-11-{day:02}T08:{chat:02}:{turn:02}Z");
            let usage = json!({"prompt_tokens": 60 + 20 * turn, "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 16 * turn}});
            out += &format!("{}\n", json!({"timestamp": at, "messages": messages, "usage": usage}));
            messages.push(json!({"role": "assistant", "content": "It is so. ".repeat(4)}));
        }
    }
    out
}

fn script(folder: &Path, name: &str, day: &str) -> Ran {
    shell(folder, &format!("KVTRACE_CONF=./daily.conf {}/{name} {day}", daily().display()))
}

#[test]
fn a_log_of_chats_becomes_traces_reports_and_gauges() {
    let folder = scratch();
    let path = folder.path();
    for name in ["logs", "prom"] {
        std::fs::create_dir(path.join(name)).unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    // The options of the example, in folders of our own.
    let own =
        std::fs::read_to_string(daily().join("daily.conf")).unwrap() + "logs=logs home=home textfiles=prom\n";
    write(path, "daily.conf", own);
    write(path, "logs/2026-11-23.jsonl", chats(23));
    let zipped = Command::new("gzip").arg("-k").arg(path.join("logs/2026-11-23.jsonl")).status();
    write(path, "logs/2026-11-24.jsonl", chats(23) + &chats(24) + "{\"messages\": []}\n");
    if zipped.is_ok_and(|status| status.success()) {
        std::fs::remove_file(path.join("logs/2026-11-23.jsonl")).unwrap();
    }
    script(path, "kvtrace-daily", "2026-11-23").ok();
    let report: Value = serde_json::from_str(&read("home/reports/2026-11-23.json")).unwrap();
    assert_eq!((&report["requests"], &report["block_size"]), (&24.into(), &16.into()));
    assert_eq!(report["recorded"]["cached_tokens"], 6 * (16 + 32 + 48));
    let gauges = read("prom/kvtrace.prom");
    for part in ["kvtrace_requests 24\n", "kvtrace_target_blocks{share=\"0.9\"} ", "cache=\"lru:10000\"} "] {
        assert!(gauges.contains(part), "{part}: {gauges}");
    }
    // What is wrong is said, and the figures of the day before stay.
    let ran = script(path, "kvtrace-daily", "2026-11-24");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("2026-11-24.jsonl:49: "), "{}", ran.stderr);
    assert_eq!(read("prom/kvtrace.prom"), gauges);
    write(path, "daily.conf", read("daily.conf") + "hash_options=\"$hash_options --skip-invalid\"\n");
    let ran = script(path, "kvtrace-daily", "2026-11-24");
    assert!(ran.stderr.contains("trace-hash: skipped 1 invalid record"), "{}", ran.stderr);
    ran.ok();
    assert!(read("prom/kvtrace.prom").contains("kvtrace_requests 48\n"));
    script(path, "kvtrace-weekly", "2026-11-24").ok();
    assert!(read("home/reports/week-2026-11-24.md").contains("| requests | 72 |"));
}
