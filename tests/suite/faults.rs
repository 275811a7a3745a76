//! Disks that are full, pipes that close, reads and writes that fail or come in pieces, clocks that
//! jump: at every byte where outputs are small enough.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, binary, command, line, piped, run, run_in, scratch, write};

/// A filter with an option or two, and an input of which each line gives a line.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    input: Vec<String>,
}

fn cases() -> Vec<Case> {
    let trace = || (0..3).map(|i| line(i, 1024, 7, &[0, i + 1])).collect::<Vec<_>>();
    let prompts = (0..3).map(|i| format!("{{\"prompt\": \"the same words {i}\"}}\n")).collect();
    vec![
        Case { name: "trace-cat", args: &["--rebase"], input: trace() },
        Case { name: "trace-hash", args: &["-j1"], input: prompts },
        Case { name: "trace-stats", args: &["--window=1req", "-f=csv"], input: trace() },
        // Each line is written by itself, as soon as its time has come.
        Case {
            name: "trace-synth",
            args: &["-q", "--pace", "--speedup-ratio=10", "--min-count=1"],
            input: trace(),
        },
    ]
}

#[test]
fn a_pipe_that_closes_after_any_byte_ends_every_filter_quietly() {
    for Case { name, args, input } in cases() {
        let whole = run(name, args, input.concat()).ok();
        for taken in 0..=whole.len() {
            let mut child = piped(command(name).args(args));
            let mut stdin = child.stdin.take().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            // A window is written with the first record after it, and a trace is learnt as a whole.
            let early = match name {
                "trace-cat" | "trace-hash" => whole[..taken].lines().count(),
                _ => input.len(),
            };
            stdin.write_all(input[..early].concat().as_bytes()).unwrap();
            let last = if name == "trace-stats" {
                taken > whole.trim_end().rfind('\n').unwrap()
            } else {
                early == 3
            };
            let mut stdin = Some(stdin).filter(|_| !last);
            let mut part = vec![0; taken];
            stdout.read_exact(&mut part).unwrap();
            assert_eq!(part, whole.as_bytes()[..taken], "{name}");
            drop(stdout);
            if let Some(stdin) = &mut stdin {
                // The filter may have found out by now.
                stdin.write_all(input[early..].concat().as_bytes()).ok();
            }
            drop(stdin);
            let ran = Ran::of(&child.wait_with_output().unwrap());
            assert_eq!((ran.status, &*ran.stderr), (Some(0), ""), "{name} after {taken} bytes");
        }
    }
}

/// A library that makes system calls fail, built on the spot; says why and returns `None` where that
/// cannot be.
fn faulty(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("faulty.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/support/faulty.c");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]).output();
    if !built.is_ok_and(|built| built.status.success()) {
        eprintln!("skipped: no C compiler here");
        return None;
    }
    let trace = write(folder, "probe", line(0, 1, 1, &[0]));
    let ran =
        with(&library, "trace-cat", &[&trace], "", &[("FAULT_FILE", &trace), ("FAULT_READ_AFTER", "0")]);
    if ran.status == Some(0) {
        eprintln!("skipped: libraries cannot be preloaded here");
        return None;
    }
    Some(library)
}

/// Runs a filter with faults.
fn with(library: &Path, name: &str, args: &[&str], input: &str, faults: &[(&str, &str)]) -> Ran {
    let mut child = command(name)
        .args(args)
        .env("LD_PRELOAD", library)
        .envs(faults.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    Ran::of(&child.wait_with_output().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_disk_that_is_full_after_any_byte_is_an_error() {
    let folder = scratch();
    let Some(library) = faulty(folder.path()) else { return };
    for Case { name, args, input } in cases() {
        let input = input.concat();
        let whole = run(name, args, &input).ok();
        for room in 0..whole.len() {
            let ran = with(&library, name, args, &input, &[("FAULT_WRITE_AFTER", &room.to_string())]);
            let expected = format!("{name}: standard output: No space left on device\n");
            assert_eq!((ran.status, ran.stderr), (Some(1), expected), "{name} after {room} bytes");
            assert_eq!(ran.stdout, whole[..room], "{name}");
        }
    }
}

#[test]
fn a_file_stays_as_it_was_when_its_new_content_cannot_be_written() {
    let folder = scratch();
    let Some(library) = faulty(folder.path()) else { return };
    let place = folder.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let out = write(&place, "out", "old");
    let (state, model) = (write(&place, "state", ""), write(&place, "model", "old model"));
    std::fs::remove_file(&state).unwrap();
    run("trace-hash", &["--state", &state], "{\"prompt\": \"a\"}\n").ok();
    let old_state = std::fs::read(&state).unwrap();
    let present = names(&place);
    let trace: String = (0..200).map(|i| line(i, 1024, 7, &[0, i + 1])).collect();
    let prompts: String = (0..200).map(|i| format!("{{\"prompt\": \"the words {i}\"}}\n")).collect();
    let piece = run("trace-stats", &["--partial"], &trace).ok();
    for (name, args, input) in [
        ("trace-cat", &["-o", &out][..], &trace),
        ("trace-cat", &["-o", &out, "-z", "gzip"], &trace),
        ("trace-cat", &["-o", &out, "-z", "zstd", "--sort"], &trace),
        ("trace-stats", &["-o", &out], &trace),
        ("trace-stats", &["--partial", "-o", &out], &trace),
        ("trace-stats", &["--window=20req", "-f=prometheus", "-o", &out], &trace),
        ("trace-stats", &["--merge", "-c", "10", "-o", &out], &piece),
        ("trace-stats", &["--merge", "--partial", "-o", &out], &piece),
        ("trace-synth", &["--min-count=1", "-o", &out], &trace),
        ("trace-synth", &["--min-count=1", "-n0", "--save-model", &model], &trace),
        ("trace-hash", &["-o", &out], &prompts),
        ("trace-hash", &["-j3", "-o", &out], &prompts),
        ("trace-stats", &["-j3", "-o", &out], &trace),
        ("trace-hash", &["-o", "/dev/null", "--state", &state], &prompts),
    ] {
        for fault in [("FAULT_WRITE_AFTER", "0"), ("FAULT_WRITE_AFTER", "300"), ("FAULT_SYNC", "1")] {
            let ran = with(&library, name, args, input, &[fault]);
            let to_null = args.contains(&"/dev/null") && fault == ("FAULT_WRITE_AFTER", "0");
            let message =
                if fault.0 == "FAULT_SYNC" { "Input/output error" } else { "No space left on device" };
            assert_eq!(ran.status, Some(1), "{name} {args:?} {fault:?}");
            assert!(ran.stderr.ends_with(&format!("{message}\n")), "{name} {args:?}: {}", ran.stderr);
            assert_eq!(std::fs::read_to_string(&out).unwrap(), "old", "{name} {args:?} {fault:?}");
            assert_eq!(std::fs::read_to_string(&model).unwrap(), "old model", "{name} {args:?} {fault:?}");
            assert!(to_null || std::fs::read(&state).unwrap() == old_state, "{name} {args:?} {fault:?}");
            assert_eq!(names(&place), present, "{name} {args:?} {fault:?}");
        }
        with(&library, name, args, input, &[]).ok();
        // And it is replaced where all goes well.
        std::fs::write(&out, "old").unwrap();
        std::fs::write(&model, "old model").unwrap();
        std::fs::write(&state, &old_state).unwrap();
        assert_eq!(names(&place), present, "{name} {args:?}");
    }
}

#[test]
fn a_full_file_system_is_an_error() {
    let folder = scratch();
    let trace: String = (0..30_000).map(|i| line(i, 1024, 7, &[0, i + 1])).collect();
    let trace = write(folder.path(), "t", trace);
    let prompts: String = (0..9000).map(|i| format!("{{\"prompt\": \"{i} words\"}}\n")).collect();
    let prompts = write(folder.path(), "p", prompts);
    let small = folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let bin = binary("trace-cat").parent().unwrap().display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=64k none {small} || exit 99
         cd {small}; echo old > out; PATH={bin}:$PATH
         fails() {{ \"$@\" 2> ../err; test $? = 1 || {{ echo \"$@: status\"; exit 1; }}
             grep -q 'No space left on device' ../err || {{ cat ../err; exit 1; }}
             test \"$(cat out)\" = old || {{ echo \"$@: the old file\"; exit 1; }}
             test \"$(ls -A)\" = out || {{ ls -A; exit 1; }} }}
         fails trace-cat -o out {trace}
         fails trace-synth --min-count 1 -o out {trace}
         fails trace-synth --model replay -n 0 --save-model model {trace}
         fails trace-stats -o out -w 10req {trace}
         fails trace-hash -o out {prompts}
         fails trace-hash -b 1 -o /dev/null --state state {prompts}
         fails trace-cat -o /dev/null --sort --temp-dir . --max-memory 1k {trace}
         trace-stats -o out {trace} || exit 1
         trace-cat --head 100 -z zstd -o zst {trace} || exit 1",
        small = small.display()
    );
    let ran = Command::new("unshare").args(["-rm", "bash", "-c", &script]).output();
    let Ok(output) = ran else { return eprintln!("skipped: no unshare(1) here") };
    let ran = Ran::of(&output);
    if ran.status == Some(99) || ran.stderr.starts_with("unshare:") {
        return eprintln!("skipped: nothing can be mounted here: {}", ran.stderr);
    }
    assert_eq!((ran.status, &*ran.stdout), (Some(0), ""), "{}", ran.stderr);
}

#[test]
fn a_read_that_fails_ends_the_run_with_its_file_and_whole_lines() {
    let folder = scratch();
    let Some(library) = faulty(folder.path()) else { return };
    let text: String = (0..40).map(|i| line(i, 1024, 7, &[0, i + 1])).collect();
    let trace = write(folder.path(), "t", &text);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = write(folder.path(), "t.gz", encoder.finish().unwrap());
    let packed_zstd = write(folder.path(), "t.zst", crate::support::zstd(text.as_bytes()));
    let out = write(folder.path(), "out", "old");
    for file in [&trace, &packed, &packed_zstd] {
        let size = std::fs::metadata(file).unwrap().len() as usize;
        for at in (0..size).step_by(size / 23) {
            let at = at.to_string();
            let faults = [("FAULT_FILE", &**file), ("FAULT_READ_AFTER", &*at)];
            let ran = with(&library, "trace-cat", &[file], "", &faults);
            let expected = format!("trace-cat: {file}: Input/output error\n");
            assert_eq!((ran.status, ran.stderr), (Some(1), expected), "after {at} bytes");
            assert!(text.starts_with(&ran.stdout), "after {at} bytes");
            assert!(ran.stdout.is_empty() || ran.stdout.ends_with('\n'), "after {at} bytes");
        }
        for (name, args) in [
            ("trace-stats", &["-o", &*out, file][..]),
            ("trace-synth", &["--min-count=1", "-o", &out, file]),
            ("trace-hash", &["--text", "-o", &out, file]),
            ("trace-cat", &["--sort", "-o", &out, file]),
            ("trace-cat", &["--merge", "-o", &out, file]),
            ("trace-cat", &["--check", "-o", &out, file]),
            ("trace-stats", &["--partial", "-o", &out, file]),
            ("trace-stats", &["--warmup=0.5", "-c=9", "-o", &out, file]),
        ] {
            let faults = [("FAULT_FILE", &**file), ("FAULT_READ_AFTER", "99")];
            let ran = with(&library, name, args, "", &faults);
            assert_eq!(ran.status, Some(1), "{name} {args:?}");
            assert_eq!(ran.stderr, format!("{name}: {file}: Input/output error\n"), "{args:?}");
            assert_eq!(
                (&*ran.stdout, &*std::fs::read_to_string(&out).unwrap()),
                ("", "old"),
                "{name} {args:?}"
            );
        }
    }
    // Without any library: a file of the system that cannot be read from its start.
    let ran = run("trace-cat", &["/proc/self/mem"], "");
    assert_eq!((ran.status, &*ran.stderr), (Some(1), "trace-cat: /proc/self/mem: Input/output error\n"));
}

#[test]
fn reads_and_writes_in_pieces_and_interrupted_change_nothing() {
    let folder = scratch();
    let Some(library) = faulty(folder.path()) else { return };
    let faults = [("FAULT_SHORT", "1"), ("FAULT_INTERRUPT", "1")];
    for Case { name, args, input } in cases() {
        let input = input.concat();
        let expected = run(name, args, &input).ok();
        assert_eq!(with(&library, name, args, &input, &faults).ok(), expected, "{name}");
    }
    let text: String = (0..40).map(|i| line(i, 1024, 7, &[0, i + 1])).collect();
    let packed = write(folder.path(), "t.zst", crate::support::zstd(text.as_bytes()));
    let out = folder.path().join("out").display().to_string();
    with(&library, "trace-cat", &["-z=gzip", "-o", &out, &packed], "", &faults).ok();
    assert_eq!(with(&library, "trace-cat", &[&out], "", &faults).ok(), text);
    assert_eq!(with(&library, "trace-cat", &["--sort", "--max-memory=1", &out], "", &faults).ok(), text);
}

#[test]
fn the_pace_is_kept_when_the_time_of_day_jumps() {
    let folder = scratch();
    let Some(library) = faulty(folder.path()) else { return };
    let trace: String = (0..6).map(|i| line(i * 100, 512, 1, &[i])).collect();
    for name in ["trace-cat", "trace-synth"] {
        let start = Instant::now();
        let paced = with(&library, name, &["--pace"], &trace, &[("FAULT_CLOCK", "1")]).ok();
        let expected = run(name, &[], &trace).ok();
        let last: serde_json::Value = serde_json::from_str(expected.lines().last().unwrap()).unwrap();
        let due = Duration::from_secs_f64(last["timestamp"].as_f64().unwrap() / 1000.0);
        assert!(due > Duration::ZERO && start.elapsed() >= due, "{name} was early");
        assert!(start.elapsed() < Duration::from_secs(20), "{name} was late");
        assert_eq!(paced, expected);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_gives_a_result_or_an_error() {
    let folder = scratch();
    let text: String = (0..30_000).map(|i| line(i, 1024, 7, &[0, i + 1])).collect();
    let path = write(folder.path(), "t", &text);
    let mut ends = [0; 2];
    for round in 0..24_u64 {
        std::fs::write(&path, &text).unwrap();
        let args = ["", "--sort", "--merge"][round as usize % 3];
        let args: Vec<&str> = [args, &path].into_iter().filter(|arg| !arg.is_empty()).collect();
        let child =
            command("trace-cat").args(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let changing = std::fs::File::options().append(true).open(&path).unwrap();
        std::thread::sleep(Duration::from_micros(300 * round));
        if round % 2 == 0 {
            // Cut in the middle of a line, and grown again by zeros.
            changing.set_len(text.len() as u64 / 2 + 7).unwrap();
            changing.set_len(text.len() as u64 / 2 + 7 + round % 4 * 100).unwrap();
        } else {
            (&changing).write_all(line(30_000, 1024, 7, &[0, 30_001]).as_bytes()).unwrap();
        }
        let ran = Ran::of(&child.wait_with_output().unwrap());
        match ran.status {
            Some(0) => {
                let longer = text.clone() + &line(30_000, 1024, 7, &[0, 30_001]);
                assert!(longer.starts_with(&ran.stdout), "round {round}");
                ends[0] += 1;
            }
            _ => {
                assert_eq!(ran.status, Some(1), "round {round}: {}", ran.stderr);
                assert!(ran.stderr.starts_with(&format!("trace-cat: {path}:")), "{}", ran.stderr);
                assert!(text.starts_with(&ran.stdout), "round {round}");
                ends[1] += 1;
            }
        }
    }
    assert_eq!(ends[0] + ends[1], 24);
    // Counted, then shorter: the share is one of what was counted.
    let ran = run_in(folder.path(), "trace-stats", &["--warmup=0.5", "-c=10", "t", "t"], "");
    assert!(ran.status.is_some_and(|status| status < 2), "{}", ran.stderr);
}
