//! Several FILEs as one trace: what goes on from one to the next, and what must not.

use std::path::Path;

use crate::support::{Ran, run_in, scratch, shell, write};
use serde_json::{Value, json};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Requests, tokens and cached tokens of what `trace-cat` writes with these arguments.
fn figures(folder: &Path, args: &str) -> Value {
    let found = shell(folder, &format!("trace-cat -q {args} | trace-stats -q --format json")).ok();
    let found: Value = serde_json::from_str(&found).unwrap();
    ["requests", "input_tokens", "cached_tokens"].map(|name| found[name].clone()).into()
}

fn cat(folder: &Path, args: &str) -> Ran {
    run_in(folder, "trace-cat", &args.split(' ').collect::<Vec<_>>(), "")
}

/// A call in a transcript of Claude Code.
fn claude(session: &str, id: &str, time: &str, written: u64, read: u64) -> String {
    format!(
        "{}\n",
        json!({"type": "assistant", "sessionId": session, "timestamp": format!("2026-01-09T{time}Z"), "message":
            {"id": id, "model": "c", "usage": {"input_tokens": 4, "cache_creation_input_tokens": written,
                "cache_read_input_tokens": read, "output_tokens": 9}}})
    )
}

#[test]
fn the_last_call_of_a_transcript_is_one_of_its_file() {
    let folder = scratch();
    let folder = folder.path();
    let transcript = |session, [a, b]: [&str; 2], hour: &str| {
        claude(session, a, &format!("{hour}:00:00"), 1020, 0)
            + &claude(session, b, &format!("{hour}:00:09"), 124, 1024)
    };
    write(folder, "1", transcript("S1", ["a", "b"], "10"));
    write(folder, "2", transcript("S2", ["c", "d"], "11"));
    write(folder, "title", "{\"type\":\"custom-title\",\"customTitle\":\"x\",\"sessionId\":\"S3\"}\n");
    for args in ["1 2", "--merge 1 2", "--sort 1 2", "--ids-scope=file 1 2", "-j 2 1 2"] {
        assert_eq!(figures(folder, args), json!([4, 4352, 2048]), "{args}");
    }
    let times: Vec<_> =
        rows(&cat(folder, "-q --shift 1 2").ok()).iter().map(|row| row["timestamp"].clone()).collect();
    assert_eq!(times, [0, 9000, 9000, 18000]);
    assert_eq!(figures(folder, "-f claude-code 1 title"), json!([2, 2176, 1024]));
    assert_eq!(figures(folder, "-f claude-code title 1 title 2 title"), json!([4, 4352, 2048]));
}

#[test]
fn a_record_that_its_file_cuts_off_is_one_of_that_file() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "1.csv", "timestamp,input_length,note\n0,1,a\n1,2,\"b\n");
    write(folder, "2.csv", "timestamp,input_length,note\n2,3,c\n");
    let ran = cat(folder, "-q 1.csv 2.csv");
    assert!(ran.stderr.contains("1.csv:3:"), "{}", ran.stderr);
    let ran = cat(folder, "-q --skip-invalid 1.csv 2.csv");
    assert_eq!(rows(&ran.ok()).len(), 2);
}
