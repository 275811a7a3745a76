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
        assert!(ran.contains(SAID) && ran.contains("1.jsonl and 1 more files each"), "{name}: {ran}");
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

#[test]
fn pieces_of_one_trace_are_no_such_files() {
    for seed in 0..10 {
        let trace = chats(300, seed);
        let lines: Vec<_> = trace.split_inclusive('\n').collect();
        for cut in [1, 20, 150, 290] {
            let (one, other) = (lines[..cut].concat(), lines[cut..].concat());
            assert!(!said("trace-stats", &[], &[&one, &other]).contains(SAID), "seed {seed}, cut at {cut}");
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
