//! The scripts for every day and every week, on a log of chats as a server writes it.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{Ran, scratch, write};

/// A day of chats that grow turn by turn, each request with all turns before it, and what the server said.
fn log(day: u32) -> String {
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
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/daily");
    let programs = support::binary("trace-stats").parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(scripts.join(name));
    command.arg(day).current_dir(folder).env("PATH", path).env("KVTRACE_CONF", "./daily.conf");
    Ran::of(&command.output().unwrap())
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
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/daily/daily.conf");
    let own = std::fs::read_to_string(example).unwrap() + "logs=logs home=home textfiles=prom\n";
    write(path, "daily.conf", own);
    write(path, "logs/2026-11-23.jsonl", log(23));
    let zipped = Command::new("gzip").arg("-k").arg(path.join("logs/2026-11-23.jsonl")).status();
    write(path, "logs/2026-11-24.jsonl", log(23) + &log(24) + "{\"messages\": []}\n");
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
