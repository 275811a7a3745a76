//! Files that were numbered one by one, and pieces of one trace, which look alike at first.

use crate::support::{chats, line, run, scratch, write};

const SAID: &str = "each number their blocks 0, 1, 2, ...";

/// What a filter says of these files.
fn said(name: &str, args: &[&str], files: &[&str]) -> String {
    let folder = scratch();
    let paths: Vec<_> =
        files.iter().enumerate().map(|(i, text)| write(folder.path(), &format!("{i}.jsonl"), text)).collect();
    let args: Vec<&str> = args.iter().copied().chain(paths.iter().map(String::as_str)).collect();
    let ran = run(name, &args, "");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn files_that_were_hashed_one_by_one_are_told() {
    let (one, other, third) = (chats(400, 1), chats(300, 2), chats(30, 3));
    for (name, args) in
        [("trace-stats", &[][..]), ("trace-stats", &["--partial"]), ("trace-synth", &["--num-requests=3"])]
    {
        let ran = said(name, args, &[&one, &other, &third]);
        assert!(ran.contains(SAID) && ran.contains("1.jsonl and another file each"), "{name}: {ran}");
        assert!(ran.contains("trace-hash --ids=hash") && ran.contains("--ids-scope=file"), "{ran}");
    }
    // Answers are numbered with the prompts.
    let answers = |first: u64| -> String {
        (0..20)
            .map(|i| {
                line(i, 512, 513, &[2 * i + first])
                    .replace("}\n", &format!(", \"output_hash_ids\": [{}]}}\n", 2 * i + 1 + first))
            })
            .collect()
    };
    assert!(said("trace-stats", &[], &[&answers(0), &answers(0)]).contains(SAID));
    assert!(!said("trace-stats", &[], &[&answers(0), &answers(40)]).contains(SAID));
}

/// The requests of a trace in another order, as after a sort: each five of them backwards.
fn reordered(trace: &str) -> String {
    let lines: Vec<_> = trace.split_inclusive('\n').collect();
    lines.chunks(5).flat_map(|five| five.iter().rev()).copied().collect()
}

#[test]
fn files_that_were_sorted_after_they_were_hashed_one_by_one_are_told() {
    const SAID: &str = "number their blocks by themselves (block ";
    let (one, other) = (reordered(&chats(400, 1)), reordered(&chats(300, 2)));
    for (name, args) in
        [("trace-stats", &[][..]), ("trace-stats", &["--partial"]), ("trace-synth", &["--num-requests=3"])]
    {
        assert!(said(name, args, &[&one, &other]).contains(SAID), "{name}");
        assert!(!said(name, args, &[&one, &one]).contains(SAID), "{name}");
    }
    let folder = scratch();
    let file = |name: &str, text: &str| write(folder.path(), name, text);
    let (a, b) = (file("a", &one), file("b", &other));
    let piece = |name: &str, trace: &str| file(name, &run("trace-stats", &["--partial"], trace).ok());
    let merged = run("trace-stats", &["--merge", &piece("c", &one), &piece("d", &other)], "");
    assert!(merged.stderr.contains("the pieces number their blocks by themselves"), "{}", merged.stderr);
    // And kept apart where they are joined.
    for args in [&[][..], &["--merge"], &["--sort"]] {
        let joined = run("trace-cat", &[args, &[&a, &b]].concat(), "");
        let kept = run("trace-cat", &[args, &["--ids-scope=file", &a, &b]].concat(), "");
        if joined.status == Some(1) {
            assert!(args == ["--merge"] && joined.stderr.contains("sort"), "{}", joined.stderr);
            continue;
        }
        assert!(
            joined.stderr.contains("1 of 1 later files number their blocks by themselves"),
            "{}",
            joined.stderr
        );
        assert_eq!(joined.stdout, kept.stdout);
    }
    // Ids that are no prefixes at all tell nothing.
    let mixed: String = (0..60).map(|i| line(i, 1024, 1, &[i % 7 + 5, i % 5 + 5])).collect();
    assert!(!said("trace-stats", &[], &[&one, &mixed]).contains(SAID));
}

#[test]
fn pieces_of_one_trace_are_no_such_files() {
    for seed in 0..10 {
        let trace = chats(300, seed);
        let lines: Vec<_> = trace.split_inclusive('\n').collect();
        for cut in [1, 20, 150, 290] {
            let (one, other) = (lines[..cut].concat(), lines[cut..].concat());
            for (one, other) in [(&one, &other), (&reordered(&one), &reordered(&other))] {
                let ran = said("trace-stats", &[], &[one, other]);
                assert!(!ran.contains("number their blocks"), "seed {seed}, cut at {cut}: {ran}");
            }
        }
    }
    let few = chats(3, 1);
    assert!(few.lines().count() == 3 && !said("trace-stats", &[], &[&chats(300, 1), &few]).contains(SAID));
    // Hashes, and a file alone.
    let hashed = |seed| run("trace-cat", &["--anonymize", "--salt=s"], chats(100, seed)).ok();
    assert!(!said("trace-stats", &[], &[&hashed(1), &hashed(2)]).contains(SAID));
    assert!(!said("trace-stats", &[], &[&chats(300, 1)]).contains(SAID));
    assert!(!said("trace-stats", &[], &[&hashed(1), &chats(100, 2), &chats(100, 3)]).contains(SAID));
}
