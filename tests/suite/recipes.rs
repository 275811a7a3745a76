//! The files behind the recipes: the daily and weekly scripts, what starts them, and a filter at the end
//! of a log that grows. (`tests/suite/docs.rs` runs the commands that the documents show.)

use std::collections::BTreeMap;
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

/// The prompts of the tests are of three days, so more of a week is missing than the script allows.
const FEW_DAYS: &str = "echo weekly_missing=6 > few; export KVTRACE_CONF=few; ";

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
        &format!("{settings}{FEW_DAYS}kvtrace-weekly 2026-11-25; cat home/reports/week-2026-11-25.md"),
    );
    let title = "Week to 2026-11-25: 2026-11-23 2026-11-24 2026-11-25; missing: 2026-11-19 2026-11-20 \
        2026-11-21 2026-11-22";
    assert!(week.stderr.contains(title), "{}", week.stderr);
    let direct = format!(
        "trace-stats -c 10,20 --curve --target 50%,90%,99% --top 10 --title '{title}' -f markdown home/traces/*"
    );
    assert_eq!(week.ok(), shell(folder.path(), &direct).ok());
}

#[test]
fn a_day_without_a_trace_fails_and_leaves_the_figures_as_they_were() {
    let (folder, settings) = home();
    shell(folder.path(), &format!("{settings}kvtrace-daily 2026-11-23")).ok();
    let before = shell(folder.path(), "cat prom/*").ok();
    write(folder.path(), "logs/2026-11-26.jsonl", "no JSON\n");
    write(folder.path(), "logs/2026-11-28.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\n");
    write(folder.path(), "strict", "hash_options=\n");
    for (day, conf, said) in [
        ("2026-11-26", "", "no valid record"),
        ("2026-11-27", "", "no log of the day: logs/2026-11-27.jsonl"),
        ("2026-11-28", "KVTRACE_CONF=strict ", "2026-11-28.jsonl:2: not valid JSON"),
        ("2026-11-28", "KVTRACE_CONF=strict ", "--skip-invalid in hash_options (./strict)"),
    ] {
        let ran = shell(folder.path(), &format!("{settings}{conf}kvtrace-daily {day}"));
        assert_eq!(ran.status, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    assert!(shell(folder.path(), "cat prom/*").ok() == before);
    let files = shell(folder.path(), "ls home home/traces prom").ok();
    let traces = "home:\nids.bin\nids.size\nreports\ntraces\n\nhome/traces:\n2026-11-23.jsonl\n\n";
    assert_eq!(files, format!("{traces}prom:\nkvtrace.prom\nkvtrace_log.prom\n"));
    let nonsense = shell(folder.path(), &format!("{settings}kvtrace-daily never"));
    assert!(nonsense.status == Some(1) && nonsense.stderr.contains("never"), "{nonsense:?}");
}

/// The figures about the log and the run, by name.
fn of_the_log(folder: &Path) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(folder.join("prom/kvtrace_log.prom")).unwrap();
    let rows = text.lines().filter(|row| !row.starts_with('#'));
    rows.map(|row| row.split_once(' ').unwrap())
        .map(|(name, is)| (name.into(), is.parse().unwrap()))
        .collect()
}

#[test]
fn what_a_log_lacks_is_counted_with_the_time_of_the_run() {
    let (folder, settings) = home();
    let daily = |day: &str| shell(folder.path(), &format!("{settings}kvtrace-daily {day}"));
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let began = now();
    daily("2026-11-23").ok();
    let first = of_the_log(folder.path());
    let success = "kvtrace_daily_last_success_timestamp_seconds";
    assert!((began.floor()..=now()).contains(&first[success]), "{began} {first:?}");
    assert_eq!(first["kvtrace_log_skipped_records"], 0.0);
    if shell(folder.path(), "command -v promtool").status == Some(0) {
        let checked = shell(folder.path(), "promtool check metrics < prom/kvtrace_log.prom");
        assert_eq!((checked.status, &*checked.stderr), (Some(0), ""));
    }
    // Half a line at the end does not cost the day its figures.
    write(folder.path(), "logs/2026-11-26.jsonl", "{\"prompt\": \"a\"}\nno JSON\n{\"prompt\": \"b");
    let ran = daily("2026-11-26");
    assert!(ran.stderr.contains("skipped 2 invalid records"), "{ran:?}");
    ran.ok();
    let of_three = of_the_log(folder.path());
    assert_eq!(of_three["kvtrace_log_skipped_records"], 2.0);
    assert_eq!(of_three["kvtrace_log_requests"], 1.0);
    // With -q there would be nothing to count.
    write(folder.path(), "quiet", "hash_options='--skip-invalid -q'\n");
    let ran = shell(folder.path(), &format!("{settings}KVTRACE_CONF=quiet kvtrace-daily 2026-11-26"));
    assert!(ran.status == Some(1) && ran.stderr.contains("with -q nothing tells"), "{ran:?}");
    // An empty log is a day without requests: no failure, and the figures are those of the day before.
    let figures = shell(folder.path(), "cat prom/kvtrace.prom").ok();
    write(folder.path(), "logs/2026-11-27.jsonl", "");
    let ran = daily("2026-11-27");
    assert!(ran.stderr.contains("no requests in logs/2026-11-27.jsonl"), "{ran:?}");
    ran.ok();
    assert_eq!(shell(folder.path(), "cat prom/kvtrace.prom").ok(), figures);
    let empty = of_the_log(folder.path());
    assert_eq!((empty["kvtrace_log_requests"], empty["kvtrace_log_skipped_records"]), (0.0, 0.0));
    assert!(empty[success] >= of_three[success]);
}

#[test]
fn prometheus_gets_the_latest_day_that_has_been() {
    let (folder, settings) = home();
    let requests = |day: &str| {
        let ran = shell(folder.path(), &format!("{settings}kvtrace-daily {day}"));
        (of_the_log(folder.path())["kvtrace_log_requests"], ran.stderr.clone(), ran.ok()).0
    };
    let said = |day: &str| shell(folder.path(), &format!("{settings}kvtrace-daily {day}")).stderr;
    write(folder.path(), "logs/2024-11-22.jsonl", "{\"prompt\": \"a\"}\n");
    std::fs::copy(folder.path().join("logs/2026-11-24.jsonl"), folder.path().join("logs/2024-11-24.jsonl"))
        .unwrap();
    write(folder.path(), "logs/2999-01-01.jsonl", "{\"prompt\": \"a\"}\n".repeat(2));
    let latest = requests("2024-11-24");
    assert_eq!(requests("2024-11-22"), latest);
    assert!(said("2024-11-22").contains("keeps the figures of a later day, 2024-11-24"));
    // A clock that was wrong for a night.
    assert_eq!(requests("2999-01-01"), 2.0);
    assert_eq!(requests("2024-11-24"), latest);
    assert!(said("2024-11-24").contains("their dates are in the future: 2999-01-01"));
}

#[test]
fn what_was_said_the_day_before_is_not_mailed_again() {
    let (folder, settings) = home();
    let daily = |day: &str| {
        let ran = shell(folder.path(), &format!("{settings}kvtrace-daily {day}"));
        let said = ran.stderr.clone();
        ran.ok();
        said
    };
    for (day, bad) in [(23, 1), (24, 2), (25, 300)] {
        let log = "{\"prompt\": \"a\", \"timestamp\": 0}\n".to_owned() + &"bad\n".repeat(bad);
        write(folder.path(), &format!("logs/2026-11-{day}.jsonl"), log);
    }
    assert!(daily("2026-11-23").contains("skipped 1 invalid record ("));
    write(folder.path(), "logs/2026-11-24.jsonl", "{\"prompt\": \"a\", \"timestamp\": 0}\nbad\n");
    assert_eq!(daily("2026-11-24"), "");
    // Of another order of magnitude, it is new.
    assert!(daily("2026-11-25").contains("skipped 300 invalid records"));
    let notes = std::fs::read_to_string(folder.path().join("home/reports/2026-11-24.notes")).unwrap();
    assert!(notes.contains("skipped 1 invalid record ("), "{notes}");
}

#[test]
fn of_two_logs_of_a_day_the_larger_is_taken_and_named() {
    let (folder, settings) = home();
    if shell(folder.path(), "command -v gzip").status != Some(0) {
        eprintln!("skipped: gzip is not here");
        return;
    }
    // Some late lines beside the log that has been rotated.
    let late = "{\"prompt\": \"a\"}\n";
    shell(folder.path(), "gzip logs/2026-11-23.jsonl").ok();
    write(folder.path(), "logs/2026-11-23.jsonl", late);
    let ran = shell(folder.path(), &format!("{settings}kvtrace-daily 2026-11-23"));
    assert!(ran.stderr.contains("2 logs"), "{ran:?}");
    assert!(ran.stderr.contains("only the largest file is read, logs/2026-11-23.jsonl.gz\n"), "{ran:?}");
    ran.ok();
    assert!(of_the_log(folder.path())["kvtrace_log_requests"] > 10.0);
}

#[test]
fn settings_that_are_not_there_are_an_error() {
    let (folder, settings) = home();
    for name in ["kvtrace-daily 2026-11-23", "kvtrace-weekly 2026-11-23", "kvtrace-live"] {
        let ran = shell(folder.path(), &format!("{settings}KVTRACE_CONF=none.conf {name}"));
        assert!(ran.status != Some(0) && ran.stderr.contains("./none.conf"), "{name}: {ran:?}");
    }
}

#[test]
fn numbers_do_not_begin_anew_beside_the_traces_of_other_days() {
    let (folder, settings) = home();
    let daily = |day: &str| shell(folder.path(), &format!("{settings}kvtrace-daily {day}"));
    daily("2026-11-23").ok();
    shell(folder.path(), "cp home/ids.bin older").ok();
    daily("2026-11-24").ok();
    let remedy = "mkdir home/old && mv home/traces home/ids.* home/old";
    for lost in ["rm home/ids.bin", "cp older home/ids.bin"] {
        shell(folder.path(), lost).ok();
        let ran = daily("2026-11-25");
        assert!(ran.status == Some(1) && ran.stderr.contains(remedy), "{lost}: {ran:?}");
    }
    shell(folder.path(), remedy).ok();
    daily("2026-11-25").ok();
}

#[test]
fn a_strict_mask_and_no_folder_for_temporary_files_are_enough() {
    let (folder, settings) = home();
    let strict = format!("{settings}umask 077; export TMPDIR=/nonexistent; kvtrace-daily 2026-11-23; ");
    shell(folder.path(), &strict).ok();
    // Traces are for their owner, figures for node_exporter.
    let modes = shell(folder.path(), "stat -c %a home/traces/* prom/*").ok();
    assert_eq!(modes, "600\n644\n644\n");
}

#[test]
fn a_week_names_the_days_that_it_has_and_fails_with_too_few() {
    let (folder, settings) = home();
    write(folder.path(), "logs/2026-11-26.jsonl", "");
    let days = "for day in 2026-11-23 2026-11-24 2026-11-26; do kvtrace-daily $day; done; ";
    shell(folder.path(), &format!("{settings}{days}")).ok();
    let weekly = |conf: &str, end: &str| {
        write(folder.path(), "conf", conf);
        shell(folder.path(), &format!("{settings}KVTRACE_CONF=conf kvtrace-weekly {end}"))
    };
    let ran = weekly("", "2026-11-26");
    let title = "Week to 2026-11-26: 2026-11-23 2026-11-24; without requests: 2026-11-26; missing: 2026-11-20 \
        2026-11-21 2026-11-22 2026-11-25";
    assert!(ran.status == Some(1) && ran.stderr.contains("more than 2 days are missing"), "{ran:?}");
    assert!(ran.stderr.contains(title), "{ran:?}");
    weekly("weekly_missing=4", "2026-11-26").ok();
    let report = std::fs::read_to_string(folder.path().join("home/reports/week-2026-11-26.md")).unwrap();
    assert!(report.starts_with(&format!("# {title}\n")), "{report}");
    // The day before is not done yet.
    let ran = weekly("weekly_missing=7", "2026-11-25");
    assert!(ran.status == Some(1) && ran.stderr.contains("no trace of 2026-11-25"), "{ran:?}");
    let none = weekly("", "2025-01-01");
    assert_eq!(none.status, Some(1));
    assert!(none.stderr.contains("no traces of the week to 2025-01-01"), "{none:?}");
}

#[test]
fn other_shells_and_their_tools_run_the_scripts() {
    let scripts = "kvtrace-daily kvtrace-weekly kvtrace-live";
    if shell(&daily(), "command -v shellcheck").status == Some(0) {
        shell(&daily(), &format!("shellcheck -S warning -e SC1090 {scripts}")).ok();
    }
    for sh in ["dash", "busybox sh", "bash --posix", "yash"] {
        let (folder, settings) = home();
        let program = sh.split(' ').next().unwrap();
        if shell(folder.path(), &format!("command -v {program}")).status != Some(0) {
            eprintln!("skipped: {program} is not here");
            continue;
        }
        // BusyBox brings its own date, awk, ls and so on.
        let tools = if program == "busybox" {
            "mkdir bin; busybox --install -s \"$PWD/bin\"; export PATH=\"$PWD/bin:$PATH\"; "
        } else {
            ""
        };
        let run = |name: &str| format!("{sh} {}/{name}; ", daily().display());
        let two = run("kvtrace-daily 2026-11-23") + &run("kvtrace-daily 2026-11-24");
        let all = two + &run("kvtrace-weekly 2026-11-24") + &run("kvtrace-daily 2026-11-23");
        shell(folder.path(), &format!("{settings}{FEW_DAYS}{tools}{all}")).ok();
        let files = shell(folder.path(), "ls home/reports/*.json home/reports/*.md prom").ok();
        assert_eq!(files.lines().count(), 7, "{sh}: {files}");
    }
}

#[test]
fn a_stream_is_followed_and_written_for_prometheus() {
    let folder = scratch();
    let path = folder.path();
    std::fs::create_dir(path.join("prom")).unwrap();
    let conf = "live_log=current.jsonl textfiles=prom live_options='--window 1s -c 10 \
        --label model=m -o prom/kvtrace-live-m.prom' hash_options='-b 16'\n";
    write(path, "conf", conf);
    let line = |second: u64| json!({"prompt": "Hello", "timestamp": second * 1000}).to_string() + "\n";
    let mut log = std::fs::File::create(path.join("current.jsonl")).unwrap();
    log.write_all((line(0) + &line(1)).as_bytes()).unwrap();
    let script = daily().join("kvtrace-live");
    // A group of its own, as systemd stops all of a unit.
    let run = format!("set -m; KVTRACE_CONF=conf {} & echo $!; set +m; wait", script.display());
    let bin = crate::support::binary("trace-stats");
    let programs = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut child = Command::new("bash")
        .args(["-c", &run])
        .current_dir(path)
        .env("PATH", programs)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut group = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut group).unwrap();
    let window = |start: u64| {
        let said = format!("kvtrace_window_start_timestamp_seconds{{model=\"m\"}} {start}.0\n");
        (0..300).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            std::fs::read_to_string(path.join("prom/kvtrace-live-m.prom"))
                .is_ok_and(|text| text.contains(&said))
        })
    };
    let first = window(0);
    log.write_all((line(2) + &line(3)).as_bytes()).unwrap();
    let next = window(2);
    let stop = format!("kill -- -{0}; while kill -0 -- -{0} 2> /dev/null; do sleep 0.1; done", group.trim());
    shell(path, &stop).ok();
    child.wait().unwrap();
    assert!(first && next);
}

#[test]
fn the_lines_of_the_crontab_run() {
    let (folder, settings) = home();
    let crontab = std::fs::read_to_string(daily().join("crontab")).unwrap();
    let mut days = Vec::new();
    for line in crontab.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(!line.contains('%'), "a percent sign is a line end to cron: {line}");
        // Cron knows no day by name: yesterday's log has to be there.
        let command = words[5..].join(" ");
        let yesterday = "cp logs/2026-11-23.jsonl logs/$(date -d yesterday +%F).jsonl; ";
        shell(folder.path(), &format!("{settings}{FEW_DAYS}{yesterday}sh -c '{command}'")).ok();
        days.push(words[4].to_owned());
    }
    // Each day of the week once; on Monday the week comes after the day.
    assert_eq!(days, ["0,2-6", "1"]);
    assert_eq!(shell(folder.path(), "ls home/reports/*.json home/reports/*.md | wc -l").ok().trim(), "2");
}

#[test]
fn systemd_accepts_the_units() {
    if shell(Path::new("."), "command -v systemd-analyze").status != Some(0) {
        eprintln!("skipped: systemd-analyze is not here");
        return;
    }
    let folder = scratch();
    let mut units = Vec::new();
    for name in shell(&daily(), "ls *.service *.timer").ok().lines() {
        let unit = std::fs::read_to_string(daily().join(name)).unwrap();
        // Verification wants to see the program.
        let unit = unit.replace("/usr/local/bin", daily().to_str().unwrap());
        units.push(write(folder.path(), name, unit));
    }
    assert_eq!(units.len(), 5);
    let ran = shell(folder.path(), &format!("systemd-analyze verify {}", units.join(" ")));
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    // A week is reported on after its last day, and a stream that ends begins anew.
    let unit = |name: &str| std::fs::read_to_string(daily().join(name)).unwrap();
    assert!(unit("kvtrace-weekly.service").contains("\nAfter=kvtrace-daily.service\n"));
    assert!(unit("kvtrace-live.service").contains("\nRestart=always\n"));
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
    // The bad line at the end is said, and the day has its figures.
    let ran = script(path, "kvtrace-daily", "2026-11-24");
    assert!(ran.stderr.contains("trace-hash: skipped 1 invalid record"), "{}", ran.stderr);
    ran.ok();
    assert!(read("prom/kvtrace.prom").contains("kvtrace_requests 48\n"));
    write(path, "daily.conf", read("daily.conf") + "weekly_missing=5\n");
    script(path, "kvtrace-weekly", "2026-11-24").ok();
    assert!(read("home/reports/week-2026-11-24.md").contains("| requests | 72 |"));
}
