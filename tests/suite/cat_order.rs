//! `trace-cat` with several files and in the order of time.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{binary, command, line, real, run, run_in, scratch, shell, write};
use fastrand::Rng;

/// A dense trace whose times rise by at least one.
fn trace(rng: &mut Rng, records: u64) -> Vec<String> {
    let mut next = 1;
    let record = |i: u64| {
        let new = rng.u64(1..6);
        let ids: Vec<u64> = [0].into_iter().chain(next..next + new).collect();
        next += new;
        line(i * 3 + rng.u64(..3), ids.len() as u64 * 512 - rng.u64(..512), rng.u64(..900), &ids)
    };
    (0..records).map(record).collect()
}

fn empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn merging_random_cuts_gives_back_the_trace_also_compressed() {
    let mut rng = Rng::with_seed(1);
    let folder = scratch();
    let whole = trace(&mut rng, 3000);
    let mut cuts = vec![String::new(); 8];
    for record in &whole {
        cuts[rng.usize(..8)].push_str(record);
    }
    let names: Vec<String> = (0..8).map(|i| format!("cut{i}")).collect();
    for (i, cut) in cuts.iter().enumerate() {
        write(folder.path(), &names[i], cut);
        let kind = ["gzip", "zstd"][i % 2];
        shell(folder.path(), &format!("trace-cat -z {kind} {0} > {0}.z", names[i])).ok();
        assert_ne!(std::fs::read(folder.path().join(format!("{}.z", names[i]))).unwrap()[..1], *b"{");
    }
    for ending in ["", ".z"] {
        let files: Vec<String> = names.iter().map(|name| format!("{name}{ending}")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        for extra in [&[][..], &["--renumber"]] {
            let args = [&["--merge", "--ids-scope=shared"], extra, &files[..]].concat();
            assert_eq!(run_in(folder.path(), "trace-cat", &args, "").ok(), whole.concat());
        }
    }
    // Ids of the pieces in the order of merging, then sorted after being joined out of order.
    let files: Vec<&str> = names.iter().map(String::as_str).collect();
    let joined =
        run_in(folder.path(), "trace-cat", &[&["--ids-scope=shared", "--renumber"], &files[..]].concat(), "");
    assert_eq!(run("trace-cat", &["--sort", "--renumber"], joined.ok()).ok(), whole.concat());
}

#[test]
fn merging_keeps_separately_numbered_files_apart_and_equal_times_in_order() {
    let folder = scratch();
    write(folder.path(), "a", [line(1, 1024, 1, &[0, 1]), line(5, 1024, 1, &[0, 2])].concat());
    write(
        folder.path(),
        "b",
        [line(1, 512, 2, &[0]), line(2, 1024, 2, &[0, 1]), line(5, 512, 2, &[0])].concat(),
    );
    let expected = [
        line(1, 1024, 1, &[0, 1]),
        line(1, 512, 2, &[2]),
        line(2, 1024, 2, &[2, 3]),
        line(5, 1024, 1, &[0, 4]),
        line(5, 512, 2, &[2]),
    ];
    let ran = run_in(folder.path(), "trace-cat", &["--merge", "a", "b"], "");
    assert!(ran.stderr.contains("1 of 1 later files"), "{}", ran.stderr);
    assert_eq!(ran.ok(), expected.concat());
    assert_eq!(run_in(folder.path(), "trace-cat", &["-q", "--sort", "a", "b"], "").ok(), expected.concat());
}

#[test]
fn files_to_merge_must_be_sorted_and_have_times() {
    let folder = scratch();
    write(folder.path(), "a", [line(1, 5, 1, &[0]), line(9, 5, 1, &[0])].concat());
    write(folder.path(), "b", [line(3, 5, 1, &[0]), line(2, 5, 1, &[0])].concat());
    let ran = run_in(folder.path(), "trace-cat", &["--merge", "--ids-scope=shared", "a", "b"], "");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("trace-cat: b:2: a timestamp before"), "{}", ran.stderr);
    assert_eq!(
        ran.stdout,
        [line(1, 5, 1, &[0]), line(3, 5, 1, &[0])].concat(),
        "the records before it are good"
    );
    for option in ["--merge", "--sort"] {
        let ran =
            run("trace-cat", &[option], "{\"timestamp\": 1, \"input_length\": 1}\n\n{\"input_length\": 1}\n");
        assert_eq!(ran.status, Some(1));
        assert_eq!(
            ran.stderr,
            format!("trace-cat: -:3: missing field \"timestamp\", which {option} needs\n")
        );
    }
    write(
        folder.path(),
        "c",
        "{\"timestamp\": 1, \"input_length\": 5, \"hash_ids\": [0], \"block_size\": 16}\n",
    );
    let ran = run_in(folder.path(), "trace-cat", &["--merge", "a", "c"], "");
    assert!(ran.status == Some(1) && ran.stderr.contains("block size 16 differs"), "{}", ran.stderr);
}

#[test]
fn sorting_is_stable_like_a_sort_in_memory() {
    let mut rng = Rng::with_seed(2);
    let folder = scratch();
    let records: Vec<(u64, String)> = (0..20_000)
        .map(|i| {
            let time = rng.u64(..500);
            (time, format!("{{\"timestamp\": {time}, \"input_length\": 1, \"n\": {i}}}\n"))
        })
        .collect();
    let mut expected = records.clone();
    expected.sort_by_key(|(time, _)| *time);
    let text = |records: &[(u64, String)]| records.iter().map(|(_, line)| line.as_str()).collect::<String>();
    for memory in ["1", "256Mi"] {
        let args = ["--sort", "--max-memory", memory, "--temp-dir", folder.path().to_str().unwrap()];
        assert_eq!(run("trace-cat", &args, text(&records)).ok(), text(&expected), "{memory}");
    }
    assert!(empty(folder.path()));
}

/// More data than memory, in more runs than there are buffers, with lines longer than a buffer.
#[test]
fn sorting_stays_within_its_memory() {
    let mut rng = Rng::with_seed(3);
    let folder = scratch();
    std::fs::create_dir(folder.path().join("temp")).unwrap();
    let padding = "x".repeat(9000);
    let mut times: Vec<u32> = (0..8000).collect();
    let record = |time: &u32| {
        let padding = if time % 1000 == 7 { padding.repeat(30) } else { padding.clone() };
        format!("{{\"timestamp\": {time}, \"input_length\": 1, \"x\": \"{padding}\"}}\n")
    };
    let sorted: String = times.iter().map(record).collect();
    rng.shuffle(&mut times);
    write(folder.path(), "in", times.iter().map(record).collect::<String>());
    assert!(sorted.len() > 70_000_000);
    let limited = "ulimit -v 60000; trace-cat --sort --max-memory 6Mi --temp-dir temp in > out";
    shell(folder.path(), limited).ok();
    assert!(std::fs::read_to_string(folder.path().join("out")).unwrap() == sorted);
    assert!(empty(&folder.path().join("temp")));
}

#[test]
fn long_lines_are_sorted_within_its_memory_too() {
    let folder = scratch();
    std::fs::create_dir(folder.path().join("temp")).unwrap();
    let ids = (0..90_000).map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
    let line = |time: u32| {
        format!("{{\"timestamp\": {time}, \"input_length\": {}, \"hash_ids\": [{ids}]}}\n", 90_000 * 512)
    };
    write(folder.path(), "in", (0..120).rev().map(line).collect::<String>());
    shell(folder.path(), "ulimit -v 60000; trace-cat --sort --max-memory 6Mi --temp-dir temp in > out").ok();
    let out = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert!(out.lines().eq((0..120).map(line).collect::<String>().lines()));
    assert!(empty(&folder.path().join("temp")));
}

#[test]
fn temporary_files_are_gone_however_sorting_ends() {
    let mut rng = Rng::with_seed(4);
    let folder = scratch();
    let temp = folder.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    let args = ["--sort", "--max-memory", "1", "--temp-dir", temp.to_str().unwrap()];
    let many: String = trace(&mut rng, 40_000).concat();

    let failed = run("trace-cat", &args, many.clone() + "nonsense\n");
    assert_eq!((failed.status, failed.stdout.as_str()), (Some(1), ""));
    assert!(empty(&temp));

    for (name, code) in [("-TERM", 143), ("-INT", 130)] {
        let mut child =
            command("trace-cat").args(args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(many.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).map(|fds| {
            fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).any(|to| to.starts_with(&temp))
        });
        assert!(open.unwrap_or(true), "no temporary file is in use: the test is too small");
        Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(empty(&temp));
        drop(stdin);
    }
    let missing = run("trace-cat", &["--sort", "--temp-dir", "/nonexistent"], "");
    assert!(missing.status == Some(1) && missing.stderr.contains("/nonexistent"), "{}", missing.stderr);
}

#[test]
fn shifted_files_follow_each_other_exactly() {
    let folder = scratch();
    let times = |name: &str, times: &[&str]| {
        let record = |time: &&str| format!("{{\"timestamp\": {time}, \"input_length\": 1}}\n");
        write(folder.path(), name, times.iter().map(record).collect::<String>());
    };
    times("a", &["0.1", "0.3", "0.2"]);
    times("b", &["1000", "1000.5"]);
    times("c", &["5"]);
    let text = run_in(folder.path(), "trace-cat", &["-q", "--shift", "a", "b", "c"], "").ok();
    let found: Vec<&str> = text.lines().map(|line| line.split([' ', ',']).nth(1).unwrap()).collect();
    assert_eq!(found, ["0.1", "0.3", "0.2", "0.3", "0.8", "0.8"]);
}

#[test]
fn the_real_trace_survives_shuffling_and_cutting() {
    let Some(path) = real("traces/conversation_trace.jsonl") else { return };
    // Its times have ties, whose order nothing could give back: make them different.
    let trace = std::fs::read_to_string(path).unwrap();
    let whole: Vec<String> = trace
        .lines()
        .enumerate()
        .map(|(i, line)| format!("{{\"timestamp\": {}{}\n", i * 7, &line[line.find(", \"input").unwrap()..]))
        .collect();
    let mut shuffled = whole.clone();
    Rng::with_seed(5).shuffle(&mut shuffled);
    let folder = scratch();
    write(folder.path(), "shuffled", run("trace-cat", &["--renumber"], shuffled.concat()).ok());
    let command = "trace-cat --sort --max-memory 6Mi shuffled | trace-cat --renumber";
    assert!(shell(folder.path(), command).ok() == whole.concat());
    assert!(binary("trace-cat").exists());
}

#[test]
fn records_that_are_not_in_the_order_of_their_times_are_noted() {
    let folder = scratch();
    let part: String = (0..50).map(|i| line(i * 100, 512, 1, &[i])).collect();
    write(folder.path(), "a", &part);
    for (command, note) in [
        ("trace-cat a", ""),
        ("trace-cat a a", "49 of 100 records are earlier"),
        ("trace-cat --renumber a a", "49 of 100 records are earlier"),
        ("trace-cat --merge a a", ""),
        ("trace-cat --sort a a", ""),
        ("trace-cat --shift a a", ""),
        ("cat a a | trace-synth --min-count 1 -n 1", "49 of 100 records are earlier"),
        ("trace-synth --min-count 1 -n 1 a", ""),
        ("cat a a | trace-stats", "49 of 100 records are earlier"),
    ] {
        let ran = shell(folder.path(), &format!("{command} > out"));
        assert_eq!((ran.status, ran.stderr.contains("earlier")), (Some(0), !note.is_empty()), "{command}");
        assert!(ran.stderr.contains(note), "{command}: {}", ran.stderr);
    }
}
