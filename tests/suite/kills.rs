//! Signals at random moments: a file is the old one or the new one, nothing is left behind, and the
//! next run goes on as if nothing had been. `KVTRACE_KILLS=N` runs N times as many.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, command, line, run, run_in, scratch, write};
use fastrand::Rng;

/// How many signals of each kind a filter gets.
fn rounds() -> u32 {
    let times = std::env::var("KVTRACE_KILLS").ok().and_then(|times| times.parse().ok());
    4 * times.unwrap_or(1)
}

const SIGNALS: [(&str, i32); 4] = [("-HUP", 1), ("-INT", 2), ("-TERM", 15), ("-KILL", 9)];

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A filter that makes one file, which exists already.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    /// The file that the run replaces.
    made: &'static str,
    /// Whether a signal ends the input, so that a file of what has been read is made.
    reports: bool,
}

const CASES: [Case; 18] = [
    Case { name: "trace-cat", args: &["-o", "made", "../trace"], made: "made", reports: false },
    Case { name: "trace-cat", args: &["-z=zstd", "-o", "made", "../trace"], made: "made", reports: false },
    Case {
        name: "trace-cat",
        args: &["--sort", "--max-memory=1Mi", "--temp-dir=.", "-o", "made", "../trace"],
        made: "made",
        reports: false,
    },
    Case { name: "trace-stats", args: &["-o", "made", "../trace"], made: "made", reports: true },
    Case { name: "trace-synth", args: &["-o", "made", "../trace"], made: "made", reports: false },
    Case {
        name: "trace-synth",
        args: &["-n0", "--save-model=made", "../trace"],
        made: "made",
        reports: false,
    },
    Case { name: "trace-hash", args: &["-o", "made", "../prompts"], made: "made", reports: false },
    Case {
        name: "trace-stats",
        args: &["--partial", "-o", "made", "../trace"],
        made: "made",
        reports: false,
    },
    Case {
        name: "trace-stats",
        args: &["--merge", "--partial", "-o", "made", "../first", "../second"],
        made: "made",
        reports: false,
    },
    Case {
        name: "trace-stats",
        args: &["--merge", "-c", "100", "-o", "made", "../first", "../second"],
        made: "made",
        reports: false,
    },
    Case {
        name: "trace-stats",
        args: &["--merge", "-c", "100", "-o", "made", "../both", "../third"],
        made: "made",
        reports: false,
    },
    Case { name: "trace-stats", args: &["-j3", "-o", "made", "../trace"], made: "made", reports: true },
    Case {
        name: "trace-stats",
        args: &["-j3", "--partial", "-o", "made", "../trace"],
        made: "made",
        reports: false,
    },
    Case { name: "trace-hash", args: &["-j3", "-o", "made", "../prompts"], made: "made", reports: false },
    Case {
        name: "trace-hash",
        args: &["-j3", "--state", "../ids", "-o", "made", "../prompts"],
        made: "made",
        reports: false,
    },
    Case {
        name: "trace-cat",
        args: &["-j3", "-f", "vidur", "-o", "made", "../table"],
        made: "made",
        reports: false,
    },
    Case {
        name: "trace-cat",
        args: &["-j3", "-t", "csv", "-z=gzip", "-o", "made", "../trace"],
        made: "made",
        reports: false,
    },
    Case {
        name: "trace-synth",
        args: &["-j3", "-n", "3000", "--prompts", "-o", "made", "../trace"],
        made: "made",
        reports: false,
    },
];

#[test]
fn a_signal_at_any_moment_leaves_the_old_file_or_the_new_one_and_nothing_else() {
    let folder = scratch();
    let lines = |from: u64, to: u64| (from..to).map(|i| line(i, 1024, 7, &[0, i + 1])).collect::<String>();
    let halves = [lines(0, 8000), lines(8000, 16_000)];
    write(folder.path(), "trace", halves.concat());
    let prompts: String = (0..6000).map(|i| format!("{{\"prompt\": \"the same words {i}\"}}\n")).collect();
    write(folder.path(), "prompts", prompts);
    let rows: String = (0..30_000).map(|i| format!("{i}.5,70,3\n")).collect();
    write(folder.path(), "table", format!("arrived_at,num_prefill_tokens,num_decode_tokens\n{rows}"));
    let third = lines(16_000, 21_000);
    for (part, name) in halves.iter().chain([&third]).zip(["first", "second", "third"]) {
        run_in(folder.path(), "trace-stats", &["--partial", "-o", name], part).ok();
    }
    let both = ["--merge", "--partial", "-o", "both", "first", "second"];
    run_in(folder.path(), "trace-stats", &both, "").ok();
    let mut rng = Rng::new();
    let (mut kills, mut old_files, mut leftovers) = (0, 0, 0);
    for (number, case) in CASES.iter().enumerate() {
        let Case { name, args, made, reports } = *case;
        let place = folder.path().join(number.to_string());
        std::fs::create_dir(&place).unwrap();
        let path = place.join(made);
        let start = Instant::now();
        run_in(&place, name, args, "").ok();
        let time = start.elapsed();
        let new = std::fs::read(&path).unwrap();
        for round in 0..rounds() {
            for (signal, number) in SIGNALS {
                std::fs::write(&path, "old").unwrap();
                let mut child = command(name)
                    .args(args)
                    .current_dir(&place)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap();
                std::thread::sleep(time.mul_f64(rng.f64() * 1.1));
                if child.try_wait().unwrap().is_none() {
                    let pid = child.id().to_string();
                    Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status().unwrap();
                }
                let output = child.wait_with_output().unwrap();
                let stderr = String::from_utf8_lossy(&output.stderr);
                let what = format!("{name} {args:?} {signal} in round {round}: {stderr}");
                // A signal that comes before the handlers are there ends a process as it always does.
                let killed = output.status.signal() == Some(number);
                let ended = output.status.code().is_some_and(|code| code == 0 || code == 128 + number);
                assert!(killed || ended, "{what}: {:?}", output.status);
                let nothing_yet = reports && stderr.ends_with("no requests in the input\n");
                assert!(stderr.is_empty() || nothing_yet, "{what}");
                let now = std::fs::read(&path).unwrap();
                // The report of what had been read.
                let is_report =
                    [&b"Reusable:"[..], b"Nothing", b"Requests:"].iter().any(|&start| now.starts_with(start));
                if !(reports && is_report && now.ends_with(b"\n")) {
                    assert!(now == new || now == b"old", "{what}: neither the old file nor the new one");
                }
                assert!(
                    output.status.code() != Some(0) || now == new,
                    "{what}: success without the new file"
                );
                kills += u32::from(output.status.code() != Some(0));
                old_files += u32::from(now == b"old");
                let present = names(&place);
                if signal == "-KILL" {
                    assert!(present.len() <= 2, "{what}: {present:?}");
                    leftovers += u32::from(present.len() == 2);
                    if round % 4 == 0 {
                        run_in(&place, name, args, "").ok();
                        assert_eq!(names(&place), [made], "{what}: left over after the next run");
                        assert_eq!(std::fs::read(&path).unwrap(), new, "{what}");
                    }
                } else {
                    // Of those killed before, if no run since has come as far as to make a file.
                    assert!(present.len() <= 2, "{what}: {present:?}");
                }
            }
        }
        run_in(&place, name, args, "").ok();
        assert_eq!(names(&place), [made], "{name} {args:?}: left over");
    }
    let places = (0..CASES.len()).map(|number| number.to_string());
    let mut all: Vec<String> = places.collect();
    all.extend(["both", "first", "ids", "prompts", "second", "table", "third", "trace"].map(str::to_owned));
    all.sort();
    assert_eq!(names(folder.path()), all, "left over beside the inputs and the state");
    println!("{kills} runs ended by a signal, {old_files} left the old file, {leftovers} a temporary one");
    assert!(kills > rounds() && leftovers > 0, "{kills} kills, {leftovers} left over: too few to mean much");
}

#[test]
fn a_signal_that_is_answered_leaves_no_temporary_file() {
    let folder = scratch();
    let trace: String = (0..30_000).map(|i| line(i, 1024, 7, &[0, i + 1])).collect();
    write(folder.path(), "trace", trace);
    let mut rng = Rng::new();
    for round in 0..2 * rounds() {
        let mut child =
            command("trace-cat").args(["-o", "made", "trace"]).current_dir(folder.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(rng.u64(3000..40_000)));
        let pid = child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status().unwrap();
        let status = child.wait().unwrap();
        if status.code().is_some() {
            let left: Vec<_> = names(folder.path()).into_iter().filter(|name| name.contains("tmp")).collect();
            assert_eq!(left, [""; 0], "round {round}");
        }
    }
}

#[test]
fn numbers_survive_kills_of_the_runs_that_give_them() {
    let folder = scratch();
    let prompts: Vec<String> = (0..400)
        .map(|i| format!("{{\"prompt\": \"words {} {}\"}}\n", i % 50, "and so on ".repeat(i % 7)))
        .collect();
    let mut rng = Rng::new();
    // What each prompt has been numbered in output that somebody may have read.
    let mut known = std::collections::HashMap::new();
    let mut numbers = 0;
    for round in 0..6 * rounds() {
        let state = folder.path().join("ids");
        let part: Vec<&String> = (0..60).map(|_| &prompts[rng.usize(..prompts.len())]).collect();
        write(folder.path(), "part", part.iter().map(|line| line.as_str()).collect::<String>());
        // Nobody has read from a file that does not appear, and anybody from standard output.
        let to_file = round % 2 == 1;
        let made = folder.path().join("made");
        std::fs::remove_file(&made).ok();
        let out = std::fs::File::create(folder.path().join("out")).unwrap();
        let mut child = command("trace-hash")
            .args(["-b2", "-j3", "--state", "ids", "part"])
            .args(if to_file { &["-o", "made"][..] } else { &[] })
            .current_dir(folder.path())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(rng.u64(..30_000)));
        let (signal, number) = SIGNALS[rng.usize(..SIGNALS.len())];
        let pid = child.id().to_string();
        Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status().unwrap();
        let status = child.wait().unwrap();
        let ended = status.code().is_some_and(|code| code == 0 || code == 128 + number);
        assert!(ended || status.signal() == Some(number), "round {round}: {status:?}");
        let whole = std::fs::read_to_string(&made).ok();
        let is_lost = to_file || number == 9 && status.code().is_none();
        let is_read = whole.is_some() || !is_lost;
        assert!(whole.iter().all(|out| out.lines().count() == part.len()), "round {round}: half a file");
        let out = whole.unwrap_or_else(|| std::fs::read_to_string(folder.path().join("out")).unwrap());
        if !is_read {
            // Its lines have gone nowhere; their numbers may be given again.
            assert!(!state.exists() || !std::fs::read(&state).unwrap().is_empty());
            continue;
        }
        for (prompt, line) in part.iter().zip(out.lines()) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let before = known.entry((*prompt).clone()).or_insert_with(|| line["hash_ids"].clone());
            assert_eq!(*before, line["hash_ids"], "round {round}: another number for {prompt}");
            numbers += 1;
        }
        let left: Vec<_> = names(folder.path()).into_iter().filter(|name| name.contains(".lock")).collect();
        assert!(status.code().is_none() || left.is_empty(), "round {round}: {left:?}");
    }
    // Different prompts have different numbers at their ends.
    let last: Vec<_> = known.values().map(|ids| ids.as_array().unwrap().last().unwrap().as_u64()).collect();
    let distinct: std::collections::HashSet<_> = last.iter().collect();
    assert_eq!(distinct.len(), last.len());
    assert!(numbers > 100, "{numbers}");
}

#[test]
fn of_two_runs_on_one_state_one_waits_for_another_day() {
    let folder = scratch();
    let prompts: String = (0..300).map(|i| format!("{{\"prompt\": \"word {i} of many\"}}\n")).collect();
    write(folder.path(), "prompts", &prompts);
    let expected = run("trace-hash", &["-b1"], &prompts).ok();
    let (mut done, mut refused) = (0, 0);
    for _ in 0..5 {
        let children: Vec<_> = (0..6)
            .map(|_| {
                command("trace-hash")
                    .args(["-b1", "--state", "ids", "prompts"])
                    .current_dir(folder.path())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in children {
            let ran = Ran::of(&child.wait_with_output().unwrap());
            if ran.status == Some(0) {
                assert_eq!(ran.stdout, expected);
                done += 1;
            } else {
                let expected = "trace-hash: ids: in use by another run\n";
                assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(1), "", expected));
                refused += 1;
            }
        }
    }
    assert!(done >= 5, "{done} done, {refused} refused");
    assert_eq!(names(folder.path()), ["ids", "prompts"]);
}

#[test]
fn runs_that_write_one_file_at_once_leave_one_of_theirs() {
    let folder = scratch();
    let traces: Vec<String> = (0..4).map(|k| (0..3000).map(|i| line(i, 512, k, &[i])).collect()).collect();
    for (k, trace) in traces.iter().enumerate() {
        write(folder.path(), &format!("t{k}"), trace);
    }
    for _ in 0..5 {
        let children: Vec<_> = (0..4)
            .map(|k| {
                let args = ["-o", "out", &format!("t{k}")];
                command("trace-cat").args(args).current_dir(folder.path()).spawn().unwrap()
            })
            .collect();
        for mut child in children {
            assert_eq!(child.wait().unwrap().code(), Some(0));
        }
        let out = std::fs::read_to_string(folder.path().join("out")).unwrap();
        assert!(traces.contains(&out), "a mix");
        assert_eq!(names(folder.path()), ["out", "t0", "t1", "t2", "t3"]);
    }
}
