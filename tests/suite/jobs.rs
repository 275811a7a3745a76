//! `-j N` of every filter is the same as `-j 1`, only sooner.

use std::io::{BufRead, BufReader, Write};

use fastrand::Rng;

use crate::formats::{NAMED, SAMPLES};
use crate::support::{chats, command, line, piped, run, run_in, scratch, shell, write, zstd};

/// Some megabytes of chats, in which every line may have another shape that means the same.
fn odd(requests: u64, seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut text = String::new();
    for line in chats(requests, seed).lines() {
        match rng.u32(0..400) {
            0 => text += "\n",
            1 => text += &format!("{line}\r"),
            2 => text += &line.replace("{\"timestamp\"", "{\"na\\u006de\": \"x\", \"timestamp\""),
            3 => {
                let long = "x".repeat(rng.usize(0..600_000));
                text += &line.replace('{', &format!("{{\"text\": \"{long}\", "));
            }
            4 => text += &line.replace('{', "{\"user\": \"a\\nb\", "),
            5 => text += &line.replace("\"output_length\": ", "\"output_length\": \t"),
            _ => text += line,
        }
        text += if rng.u32(0..400) == 0 { " \n" } else { "\n" };
    }
    text.pop();
    text
}

#[test]
fn more_threads_write_the_same_in_every_format_and_mode() {
    let folder = scratch();
    write(folder.path(), "chats.jsonl", odd(12_000, 1));
    write(folder.path(), "more.jsonl", odd(4000, 2));
    write(folder.path(), "chats.jsonl.zst", zstd(odd(8000, 3).as_bytes()));
    write(folder.path(), "none.jsonl", "");
    let modes: [&[&str]; 14] = [
        &["-f", "json"],
        &["-f", "table", "--curve"],
        &["-f", "csv", "-c", "1000", "--ttl", "60s"],
        &["-f", "prometheus"],
        &["-f", "html"],
        &["-f", "json", "--window", "1000req"],
        &["-f", "json", "--every", "5000req"],
        &["--by", "user", "-f", "json"],
        &["--per-request", "-c", "500"],
        &["--partial"],
        &["--top", "5", "-f", "json"],
        &["--max-memory", "64Mi", "-f", "json", "--curve"],
        &["--warmup", "0.1", "-c", "3000", "-f", "json"],
        &["--policy", "fifo", "-c", "3000", "-f", "json"],
    ];
    for mode in modes {
        for files in [&["chats.jsonl", "more.jsonl"][..], &["chats.jsonl.zst", "none.jsonl"]] {
            let args = |jobs: &'static str| [mode, files, &["-j", jobs, "--skip-invalid"]].concat();
            let one = run_in(folder.path(), "trace-stats", &args("1"), "");
            assert_eq!(one.status, Some(0), "{}", one.stderr);
            // The page says how it was made.
            let clean = |text: &str| text.replace("-j 2", "-j 1").replace("-j 5", "-j 1");
            for jobs in ["2", "5"] {
                let more = run_in(folder.path(), "trace-stats", &args(jobs), "");
                assert_eq!(clean(&more.stdout), one.stdout, "{mode:?} -j {jobs}");
                assert_eq!(more.stderr, one.stderr, "{mode:?} -j {jobs}");
            }
        }
    }
}

#[test]
fn more_threads_convert_order_and_compress_the_same() {
    let folder = scratch();
    write(folder.path(), "chats.jsonl", odd(12_000, 7));
    write(folder.path(), "more.jsonl.zst", zstd(odd(4000, 8).as_bytes()));
    write(folder.path(), "table.csv", "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,7,3\n");
    let modes: [&[&str]; 9] = [
        &["-z", "gzip"],
        &["-z", "zstd"],
        &["--renumber", "--head", "11000"],
        &["--sort", "--max-memory", "8Mi", "-z", "gzip"],
        &["--sort"],
        &["--merge"],
        &["-t", "csv", "-z", "zstd"],
        &["--tail", "300", "--rebase"],
        &["--check"],
    ];
    for mode in modes {
        let written = |jobs| {
            let files = ["chats.jsonl", "more.jsonl.zst", "table.csv"];
            let args = [mode, &files, &["--skip-invalid", "-j", jobs, "-o", "out"]].concat();
            let ran = run_in(folder.path(), "trace-cat", &args, "");
            (std::fs::read(folder.path().join("out")).ok(), ran.status, ran.stderr)
        };
        let one = written("1");
        assert!(one.0.as_ref().is_some_and(|bytes| !bytes.is_empty()), "{mode:?}: {}", one.2);
        assert!(one == written("2") && one == written("5"), "{mode:?}");
    }
}

/// The lines of a sample over and over, or for an odd file with some among them of which there is more to say.
fn repeated(sample: &str, is_odd: bool, rng: &mut Rng) -> String {
    let lines: Vec<&str> = sample.lines().collect();
    let is_table = !lines[0].starts_with('{') && lines[0].contains(',');
    let head = usize::from(is_table || lines[0].contains("\"schema\""));
    let mut text: String = lines[..head].iter().map(|line| format!("{line}\n")).collect();
    for n in 0.. {
        let line = lines[head + n % (lines.len() - head)];
        // Sessions do not grow without end.
        let session = format!("\"session_id\": \"{}-", n / 100);
        let line = line.replace("\"session_id\":\"", &session).replace("\"session_id\": \"", &session);
        text += &match if is_odd { rng.u32(0..400) } else { 400 } {
            0 => " \n".to_owned(),
            1 => line.chars().take(rng.usize(0..line.len())).collect(),
            2 => SAMPLES[rng.usize(0..SAMPLES.len())].1.lines().next().unwrap().to_owned(),
            3 => format!("{line}\r"),
            4 => line.replacen('{', &format!("{{\"zone{}\": \"label\", ", rng.u32(0..12)), 1),
            5 => line.replace("time", "tyme"),
            6 => line.replacen(',', "\n,", 1),
            // A field in quotes that goes over lines, and one that does not end.
            7 if is_table => format!("\"{line}").replacen(',', "\n\",", 1),
            8 if is_table => format!("\"{line}"),
            9 => line.replace('{', &format!("{{\"text\": \"{}\", ", "x".repeat(rng.usize(0..300_000)))),
            _ => line,
        };
        text += "\n";
        if text.len() > 900_000 {
            break;
        }
    }
    text
}

#[test]
fn more_threads_read_every_format_the_same() {
    let folder = scratch();
    let mut rng = Rng::with_seed(9);
    let (mut names, mut failed) = (Vec::new(), 0);
    for (i, (format, sample, block_size)) in SAMPLES.iter().enumerate() {
        let odd = format!("{i}.{format}");
        write(folder.path(), &odd, repeated(sample, true, &mut rng));
        write(folder.path(), "good", repeated(sample, false, &mut rng));
        let chosen: &[&str] = if NAMED.contains(format) { &["--from-format", format] } else { &[] };
        let size = block_size.map(|size| ["-b", size]);
        for (program, args) in [
            ("trace-cat", &["good"][..]),
            ("trace-cat", &[&odd]),
            ("trace-cat", &["--skip-invalid", "--max-line", "150k", &odd]),
            ("trace-cat", &["--check", &odd]),
            ("trace-stats", &["-f", "json", "--skip-invalid", &odd]),
        ] {
            let jobs = |jobs| {
                let args =
                    [args, chosen, size.as_ref().map_or(&[][..], |size| &size[..]), &["-j", jobs]].concat();
                let ran = run_in(folder.path(), program, &args, "");
                (ran.status, ran.stderr, ran.stdout)
            };
            let one = jobs("1");
            assert!(one == jobs("3"), "{format}: {program} {args:?}");
            failed += u32::from(one.0 != Some(0));
        }
        names.push(odd);
    }
    assert!(failed > 20);
    rng.shuffle(&mut names);
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = |jobs| {
        run_in(folder.path(), "trace-cat", &[&["--skip-invalid", "-j", jobs], &files[..]].concat(), "")
    };
    let (one, more) = (all("1"), all("3"));
    assert_eq!((one.status, one.stderr), (Some(0), more.stderr));
    assert!(one.stdout == more.stdout);
}

#[test]
fn more_threads_write_the_same_prompts() {
    let folder = scratch();
    write(folder.path(), "chats.jsonl", chats(400, 9));
    // The last one is the 51st of a single token.
    let short: String = (0..51).map(|i| line(9_000_000, 1, 7, &[1_000_000 + i])).collect();
    write(folder.path(), "ends.jsonl", chats(400, 10) + &short);
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model");
    let modes: [(&[&str], i32); 6] = [
        (&["--prompts", "-n", "500", "chats.jsonl", "-o", "out"], 0),
        (&["--prompts=tokens", "--users", "0.5", "chats.jsonl", "-o", "out.gz"], 0),
        (&["--prompts=chat", "--tokenizer", tokenizer, "-n", "150", "chats.jsonl", "-o", "out.zst"], 0),
        (&["-n", "9000", "--schedule", "closed", "chats.jsonl", "-o", "out.gz"], 0),
        (&["--prompts", "--model", "none", "chats.jsonl"], 0),
        (&["--prompts=tokens", "--vocab-size", "50", "--model", "none", "ends.jsonl"], 1),
    ];
    for (mode, status) in modes {
        let written = |jobs| {
            let ran = run_in(folder.path(), "trace-synth", &[mode, &["-j", jobs]].concat(), "");
            let files = ["out", "out.gz", "out.zst"].map(|name| std::fs::read(folder.path().join(name)).ok());
            (files, ran.status, ran.stdout, ran.stderr)
        };
        let one = written("1");
        assert_eq!(one.1, Some(status), "{mode:?}: {}", one.3);
        assert!(one == written("2") && one == written("5"), "{mode:?}");
        if mode[1] == "--vocab-size" {
            assert_eq!(one.2.lines().count(), 450);
            assert!(one.3.contains("a vocabulary of 50 is too small"), "{}", one.3);
        }
    }
    let hashed = |jobs| {
        let args = ["-j", jobs, "-o", "hashed.gz", "out"];
        assert_eq!(run_in(folder.path(), "trace-hash", &args, "").status, Some(0));
        std::fs::read(folder.path().join("hashed.gz")).unwrap()
    };
    assert!(hashed("1") == hashed("3"));
}

#[test]
fn a_bad_line_has_its_number_with_more_threads_too() {
    let folder = scratch();
    let good = odd(9000, 4);
    let lines: Vec<&str> = good.lines().collect();
    let mut rng = Rng::with_seed(5);
    for bad in [
        "{\"input_length\": -1}",
        "{",
        "[]",
        "{\"input_length\": 512, \"hash_ids\": [0], \"block_size\": 16}",
    ] {
        let at = rng.usize(lines.len() / 2..lines.len());
        let mut lines = lines.clone();
        lines.insert(at, bad);
        write(folder.path(), "t.jsonl", lines.join("\n"));
        for skip in [&[][..], &["--skip-invalid"]] {
            let [one, two, six] = ["1", "2", "6"].map(|jobs| {
                run_in(
                    folder.path(),
                    "trace-stats",
                    &[&["-f", "json", "-j", jobs, "t.jsonl"], skip].concat(),
                    "",
                )
            });
            assert_eq!(one.status, Some(i32::from(skip.is_empty())));
            assert!(one.stderr.contains(&format!("t.jsonl:{}: ", at + 1)), "{}", one.stderr);
            for more in [two, six] {
                assert_eq!((more.status, &more.stdout, &more.stderr), (one.status, &one.stdout, &one.stderr));
            }
        }
    }
}

#[test]
fn a_pipe_that_pauses_is_read_to_its_last_whole_line() {
    let mut child = piped(command("trace-stats").args(["-j", "2", "--per-request", "-c", "10"]));
    let mut stdin = child.stdin.take().unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines();
    for round in 0..3 {
        let text: String = (0..10_000).map(|i| line(round, 1024, 7, &[0, round * 10_000 + i + 1])).collect();
        let writing = std::thread::spawn(move || {
            stdin.write_all(text.as_bytes()).unwrap();
            // Not even the beginning of another line makes it wait.
            stdin.write_all(b"{\"input").unwrap();
            stdin
        });
        for _ in 0..10_000 {
            rows.next().unwrap().unwrap();
        }
        stdin = writing.join().unwrap();
        stdin.write_all(b"_length\": 1}\n").unwrap();
        rows.next().unwrap().unwrap();
    }
    drop(stdin);
    assert!(rows.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_pipe_ends_quietly_with_more_threads_too() {
    let folder = scratch();
    write(folder.path(), "t.jsonl", odd(9000, 6));
    let text = "trace-stats -j 3 --per-request -c 10 --skip-invalid t.jsonl | head -n 1 > /dev/null";
    let ran = shell(folder.path(), &format!("set +o pipefail; {text}; echo ${{PIPESTATUS[0]}}"));
    assert_eq!((ran.stdout.trim(), &*ran.stderr), ("0", ""));
}

#[test]
fn threads_are_counted_and_go_with_no_pieces() {
    assert_eq!(run("trace-cat", &["-j", "0"], "").status, Some(2));
    for (args, message) in [
        (&["-j", "0"][..], "not allowed"),
        (&["-j", "100000"], "too many"),
        (&["-j", "2", "--merge"], "--merge reads pieces with one thread"),
    ] {
        let ran = run("trace-stats", args, "");
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}
