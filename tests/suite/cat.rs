//! `trace-cat` through the real binary.

use crate::support::{line, real, run, run_in, scratch, write};
use serde_json::Value;

const UNKNOWN: &str = "{ \"session_id\":\"a\\u00e4\" ,\"timestamp\":1.50,\"input_length\":600,\"hash_ids\":[7 , 9],\"x\":{\"y\":[1,2.0e3]} }\n";

#[test]
fn records_pass_byte_for_byte() {
    let trace = format!("{UNKNOWN}{}", line(3, 512, 1, &[7]));
    assert_eq!(run("trace-cat", &[], &trace).ok(), trace);
    let messy = format!("\u{feff}{}\r\n\n{}", UNKNOWN.trim_end(), line(3, 512, 1, &[7]).trim_end());
    assert_eq!(run("trace-cat", &[], messy).ok(), trace);
}

#[test]
fn renumbering_changes_the_ids_and_nothing_else() {
    let trace = format!("{UNKNOWN}{}", line(3, 1024, 1, &[7, 8]));
    let expected = format!("{}{}", UNKNOWN.replace("[7 , 9]", "[0, 1]"), line(3, 1024, 1, &[0, 2]));
    assert_eq!(run("trace-cat", &["--renumber"], trace).ok(), expected);
    let compact = "{\"input_length\":1024,\"hash_ids\":[18446744073709551615,5]}\n";
    let expected = "{\"input_length\":1024,\"hash_ids\":[0,1]}\n";
    assert_eq!(run("trace-cat", &["--renumber"], compact).ok(), expected);
}

#[test]
fn ids_of_separately_numbered_files_are_kept_apart() {
    let folder = scratch();
    let one = format!("{}{}", line(0, 1024, 1, &[0, 1]), line(1, 1024, 1, &[0, 2]));
    let piece = format!("{}{}", line(2, 1024, 1, &[0, 3]), line(3, 1536, 1, &[0, 2, 4]));
    write(folder.path(), "one", &one);
    write(folder.path(), "two", &one);
    write(folder.path(), "piece", &piece);

    let ran = run_in(folder.path(), "trace-cat", &["one", "two"], "");
    assert!(ran.stderr.contains("1 of 1 later files"), "{}", ran.stderr);
    let apart = format!("{one}{}{}", line(0, 1024, 1, &[3, 4]), line(1, 1024, 1, &[3, 5]));
    assert_eq!(ran.ok(), apart);
    assert_eq!(run_in(folder.path(), "trace-cat", &["one", "-"], &one).ok(), apart, "a pipe");

    let ran = run_in(folder.path(), "trace-cat", &["one", "piece"], "");
    assert!(ran.stderr.contains("equal ids taken as equal blocks"), "{}", ran.stderr);
    assert_eq!(ran.ok(), format!("{one}{piece}"));

    let shared = run_in(folder.path(), "trace-cat", &["--ids-scope=shared", "one", "two"], "");
    assert!(!shared.stderr.contains("later file"), "{}", shared.stderr);
    assert_eq!(shared.ok(), format!("{one}{one}"));

    let file = run_in(folder.path(), "trace-cat", &["--ids-scope=file", "one", "piece"], "").ok();
    let renumbered = format!("{}{}", line(2, 1024, 1, &[3, 4]), line(3, 1536, 1, &[3, 5, 6]));
    assert_eq!(file, format!("{one}{renumbered}"));

    let three = run_in(folder.path(), "trace-cat", &["-q", "one", "two", "piece"], "").ok();
    let piece = format!("{}{}", line(2, 1024, 1, &[3, 6]), line(3, 1536, 1, &[3, 5, 7]));
    assert_eq!(three, format!("{apart}{piece}"), "a piece continues the file before it");
}

#[test]
fn separately_numbered_sparse_files_never_meet() {
    let folder = scratch();
    let sparse = line(0, 1024, 1, &[77, 5]);
    write(folder.path(), "sparse", format!("{sparse}{sparse}"));
    write(folder.path(), "dense", line(0, 1024, 1, &[0, 1]));
    let joined = run_in(folder.path(), "trace-cat", &["-q", "sparse", "dense"], "").ok();
    let first = line(0, 1024, 1, &[0, 1]);
    assert_eq!(joined, format!("{first}{first}{}", line(0, 1024, 1, &[2, 3])));
}

/// What a file's first lines promise is not what its first good line holds.
#[test]
fn ids_that_should_have_been_kept_apart_are_an_error() {
    let folder = scratch();
    let good = line(0, 1024, 1, &[0, 1]);
    write(folder.path(), "one", &good);
    write(folder.path(), "two", format!("{}{good}", line(0, 9999, 1, &[5, 6])));
    let ran = run_in(folder.path(), "trace-cat", &["--skip-invalid", "one", "two"], "");
    assert_eq!((ran.status, &*ran.stdout), (Some(1), &*good));
    assert!(ran.stderr.starts_with("trace-cat: two:2: ids that are numbered from zero"), "{}", ran.stderr);
    let told = run_in(folder.path(), "trace-cat", &["-q", "--skip-invalid", "--renumber", "one", "two"], "");
    assert_eq!(told.ok(), format!("{good}{}", line(0, 1024, 1, &[2, 3])));
}

fn check(trace: &str) -> (Option<i32>, Value) {
    let ran = run("trace-cat", &["--check"], trace);
    (ran.status, serde_json::from_str(&ran.stdout).unwrap())
}

#[test]
fn a_check_of_a_valid_trace_has_no_findings() {
    let (status, summary) = check(&format!("{}{}", line(0, 1024, 1, &[0, 1]), line(1, 1000, 1, &[0, 2])));
    assert_eq!(status, Some(0));
    assert_eq!(summary["records"], 2);
    assert_eq!((&summary["valid"], &summary["dense"]), (&true.into(), &true.into()));
    assert_eq!(summary["errors"].as_object().unwrap().len(), 0);
    assert_eq!(summary["notes"].as_object().unwrap().len(), 0);
}

#[test]
fn a_check_counts_every_kind_of_problem_and_names_its_first_line() {
    let lines = [
        line(5, 1024, 1, &[0, 1]),
        "nonsense\n".into(),
        "{}\n".into(),
        "{\"input_length\": -1}\n".into(),
        line(6, 1024, 1, &[0]),
        "{\"input_length\": 16, \"hash_ids\": [0], \"block_size\": 16}\n".into(),
        line(6, 1024, 1, &[1, 0]),
        line(6, 1000, 1, &[0, 1]),
        line(6, 1536, 1, &[0, 1, 0]),
        line(4, 1024, 1, &[0, 99]),
        "{\"input_length\": 5}\n".into(),
        "more nonsense\n".into(),
    ];
    let (status, summary) = check(&lines.concat());
    assert_eq!(status, Some(1));
    assert_eq!(summary["valid"], false);
    assert_eq!(summary["records"], 6);
    let expected = [
        ("errors", "malformed", 2, 2),
        ("errors", "missing_field", 1, 3),
        ("errors", "bad_value", 1, 4),
        ("errors", "length_mismatch", 1, 5),
        ("errors", "block_size_mismatch", 1, 6),
        ("errors", "two_parents", 3, 7),
        ("errors", "two_token_counts", 1, 8),
        ("errors", "repeated_in_request", 1, 9),
        ("notes", "time_backwards", 1, 10),
        ("notes", "not_dense", 1, 10),
        ("notes", "no_timestamp", 1, 11),
        ("notes", "no_output_length", 1, 11),
        ("notes", "no_hash_ids", 1, 11),
    ];
    for (group, name, count, first) in expected {
        let finding = &summary[group][name];
        assert_eq!(
            (&finding["count"], &finding["line"]),
            (&count.into(), &first.into()),
            "{name}: {summary}"
        );
        assert_eq!(finding["file"], "-");
    }
    let found = |group: &str| summary[group].as_object().unwrap().len();
    assert_eq!(found("errors") + found("notes"), expected.len());
}

#[test]
fn the_real_trace_is_valid_and_passes_unchanged() {
    let Some(path) = real("traces/conversation_trace.jsonl") else { return };
    let trace = std::fs::read_to_string(path).unwrap();
    let (status, summary) = check(&trace);
    assert_eq!((status, &summary["dense"]), (Some(0), &true.into()), "{summary}");
    assert_eq!(run("trace-cat", &["--renumber"], &trace).ok(), trace);
}
