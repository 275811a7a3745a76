//! Several FILEs as one trace: what goes on from one to the next, and what must not.

use std::path::Path;

use crate::formats::SAMPLES;
use crate::support::{Ran, run, run_in, scratch, shell, write};
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

/// A call in the log of a gateway.
fn usage(session: &str, created: u64, prompt: u64, cached: u64) -> String {
    format!(
        "{}\n",
        json!({"created": 1_753_340_000 + created, "session_id": session, "usage":
            {"prompt_tokens": prompt, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": cached}}})
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

#[test]
fn a_log_may_be_cut_into_files_anywhere() {
    let folder = scratch();
    let folder = folder.path();
    for format in [
        "aiperf",
        "tracelab",
        "tracelab-replay",
        "claude-code",
        "copilot",
        "otel",
        "langfuse",
        "litellm",
        "bedrock",
        "usage",
        "llmservingsim",
    ] {
        let (_, sample, _) = SAMPLES.iter().find(|(name, ..)| *name == format).unwrap();
        let lines: Vec<_> = sample.lines().collect();
        let header = usize::from(format == "tracelab-replay");
        write(folder, "all", sample);
        for cut in header + 1..lines.len() {
            // The first lines of an answer of Claude Code do not say how long it is.
            if format == "claude-code" && !(5..=6).contains(&cut) {
                continue;
            }
            write(folder, "1", lines[..cut].join("\n"));
            write(folder, "2", [&lines[..header], &lines[cut..]].concat().join("\n"));
            for args in
                ["--ids-scope=shared", "--ids-scope=shared -j 3", "--ids-scope=shared --anonymize --salt k"]
            {
                let read = |files: &str| cat(folder, &format!("-q -f {format} {args} {files}")).ok();
                assert_eq!(read("1 2"), read("all"), "{format} {args} {cut}");
            }
            let read = |files: &str| {
                shell(folder, &format!("trace-stats -q --format json --from-format {format} {files}")).ok()
            };
            // A second header is a line more, and lines are counted.
            assert!(header > 0 || read("1 2") == read("all"), "{format} {cut}");
        }
    }
}

#[test]
fn sessions_go_on_in_the_next_file_of_a_log() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "1", usage("x", 0, 640, 0));
    write(folder, "2", usage("x", 60, 704, 640));
    write(folder, "3", usage("y", 61, 640, 0) + &usage("x", 70, 704, 704));
    for args in ["1 2", "-j 2 1 2", "--sort 1 2", "--ids-scope=shared 1 2", "--anonymize --salt k 1 2"] {
        assert_eq!(figures(folder, args), json!([2, 1344, 640]), "{args}");
    }
    assert_eq!(figures(folder, "1 2 3"), json!([4, 2688, 1344]));
    let ran = cat(folder, "1 2 3");
    assert!(ran.stderr.contains("no later file numbers its blocks by itself"), "{}", ran.stderr);
    let ran = run_in(folder, "trace-stats", &["1", "2", "3"], "");
    assert!(!ran.stderr.contains("0, 1, 2"), "{}", ran.stderr);
    // Not where files are to be apart.
    assert_eq!(figures(folder, "--ids-scope=file 1 2"), json!([2, 1344, 0]));
    assert_eq!(figures(folder, "--merge 1 2"), json!([2, 1344, 0]));
    assert!(cat(folder, "--merge 1 2").stderr.contains("sessions end with their files"));
    assert!(!cat(folder, "--merge 1").stderr.contains("sessions end"));
    // A file of another format ends them, and has blocks of its own.
    write(
        folder,
        "trace",
        "{\"timestamp\": 1, \"input_length\": 1280, \"hash_ids\": [0, 1, 2], \"block_size\": 512}\n",
    );
    assert_eq!(figures(folder, "-b 64 1 2"), json!([2, 1344, 640]));
    write(
        folder,
        "trace",
        "{\"timestamp\": 1, \"input_length\": 128, \"hash_ids\": [0, 1], \"block_size\": 64}\n",
    );
    assert_eq!(figures(folder, "1 trace 2"), json!([3, 1472, 0]));
    assert_eq!(figures(folder, "trace 1 2"), json!([3, 1472, 640]));
    assert_eq!(figures(folder, "trace trace 1 trace 2 3"), json!([7, 3072, 704]));
}

#[test]
fn a_call_that_a_resumed_transcript_repeats_counts_once() {
    let folder = scratch();
    let folder = folder.path();
    let first = claude("S1", "a", "10:00:00", 1020, 0) + &claude("S1", "b", "10:00:09", 124, 1024);
    write(folder, "1", &first);
    // The last answer is longer by now.
    let longer = first.replace("\"output_tokens\":9", "\"output_tokens\":90");
    write(folder, "2", longer + &claude("S1", "c", "10:00:20", 10, 1100));
    assert_eq!(figures(folder, "1 2"), json!([3, 3290, 2112]));
    assert_eq!(rows(&cat(folder, "-q 1 2").ok()).len(), 3);
    assert_eq!(figures(folder, "--ids-scope=file 1 2")[0], json!(5));
}

#[test]
fn a_rollout_is_a_session_by_itself_unless_it_names_one() {
    let folder = scratch();
    let folder = folder.path();
    let call = |total: u64, input: u64, cached: u64| {
        let info = json!({"total_token_usage": {"input_tokens": total},
            "last_token_usage": {"input_tokens": input, "cached_input_tokens": cached, "output_tokens": 1}});
        let payload = json!({"type": "token_count", "info": info});
        format!("{}\n", json!({"timestamp": "2026-01-09T10:00:00Z", "type": "event_msg", "payload": payload}))
    };
    let named =
        "{\"timestamp\":\"2026-01-09T10:00:00Z\",\"type\":\"session_meta\",\"payload\":{\"id\":\"s\"}}\n";
    write(folder, "1", call(640, 640, 0));
    write(folder, "2", call(640, 640, 640));
    assert_eq!(figures(folder, "1 2"), json!([2, 1280, 0]));
    write(folder, "1", named.to_owned() + &call(640, 640, 0));
    write(folder, "2", named.to_owned() + &call(640, 640, 640));
    assert_eq!(figures(folder, "1 2"), json!([2, 1280, 640]));
}

/// A row of a session, in blocks of 16 tokens.
fn row(session: &str, time: &str, input: u64, ids: &[u64]) -> String {
    let tail = json!({"input_length": input, "output_length": 0, "hash_ids": ids});
    format!("{{\"session_id\": \"{session}\", {time}, {}\n", &tail.to_string()[1..])
}

#[test]
fn what_a_whole_prompt_keeps_is_that_of_its_sessions_file() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "1", row("s", "\"timestamp\": 0", 32, &[0, 1]));
    write(folder, "2", row("s", "\"timestamp\": 2", 16, &[0]));
    let later = row("t", "\"timestamp\": 1", 32, &[0, 1]) + &row("s", "\"timestamp\": 2", 16, &[2]);
    write(folder, "3", later + &row("t", "\"timestamp\": 3", 16, &[2]));
    let cumulative = |files: &str| figures(folder, &format!("-b 16 --turns cumulative {files}"));
    for order in ["", "--merge ", "--sort "] {
        assert_eq!(cumulative(&format!("{order}1 2")), json!([2, 80, 32]), "{order}");
        assert_eq!(cumulative(&format!("{order}1 3")), json!([4, 160, 64]), "{order}");
        // Each file has the blocks 0 and 1, which are not the same.
        assert_eq!(cumulative(&format!("--ids-scope=shared {order}1 3")), json!([4, 160, 96]), "{order}");
    }
    assert_eq!(cumulative("--anonymize --salt k 1 3"), json!([4, 160, 64]));
    // The same of rows that are known to hold only what is new, by the user or by themselves.
    assert_eq!(figures(folder, "-b 16 -f aiperf 1 3"), json!([4, 160, 64]));
    assert_eq!(figures(folder, "-b 16 -f aiperf --anonymize --salt k 1 3"), json!([4, 160, 64]));
    let first = row("s", "\"timestamp\": 0", 32, &[0, 1]) + &row("s", "\"delay\": 2", 16, &[2]);
    write(folder, "1", first);
    let later = row("t", "\"timestamp\": 1", 32, &[0, 1]) + &row("s", "\"delay\": 2", 64, &[2, 3, 4, 5]);
    write(folder, "2", later + &row("t", "\"delay\": 3", 16, &[6]));
    assert_eq!(figures(folder, "-b 16 1 2"), json!([5, 32 + 48 + 32 + 112 + 48, 32 + 48 + 32]));
    // A file goes on only with what may be a trace of its kind.
    write(folder, "2", "{\"timestamp\": 9, \"input_length\": 16, \"hash_ids\": [0]}\n");
    assert_eq!(figures(folder, "-b 16 --ids-scope=shared 1 2"), json!([3, 96, 32 + 16]));
}

#[test]
fn the_ids_of_an_answer_tell_how_a_file_numbers_its_blocks() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "1", "{\"timestamp\":0,\"input_length\":40,\"hash_ids\":[0,1,2]}\n");
    let answer = "{\"timestamp\":1,\"input_length\":5,\"output_length\":28,\"hash_ids\":[],\"output_hash_ids\":[0,1]}\n";
    write(folder, "2", answer.to_owned() + "{\"timestamp\":2,\"input_length\":40,\"hash_ids\":[0,1,2]}\n");
    for order in ["", "--merge ", "--sort "] {
        let found = rows(&cat(folder, &format!("-q -b 16 {order}1 2")).ok());
        assert_eq!(found[1]["output_hash_ids"], json!([3, 4]), "{order}");
        assert_eq!(found[2]["hash_ids"], json!([3, 4, 5]), "{order}");
    }
}

#[test]
fn anonymous_ids_of_two_runs_are_equal_only_where_the_blocks_may_be() {
    let folder = scratch();
    let folder = folder.path();
    let ids = |args: &str| -> Vec<u64> {
        let found = rows(&cat(folder, &format!("-q --anonymize --salt k {args}")).ok());
        found
            .iter()
            .flat_map(|row| row["hash_ids"].as_array().unwrap())
            .map(|id| id.as_u64().unwrap())
            .collect()
    };
    let share = |a: &str, b: &str| {
        let (a, b) = (ids(a), ids(b));
        a.iter().filter(|id| b.contains(id)).count()
    };
    let weka = |id: &str, scope: &str, ids: &[u64]| {
        let request = json!({"t": 0, "in": 16 * ids.len(), "out": 2, "hash_ids": ids});
        format!("{}\n", json!({"id": id, "block_size": 16, "hash_id_scope": scope, "requests": [request]}))
    };
    for (name, text) in [
        ("x", usage("x", 0, 130, 0)),
        ("y", usage("y", 0, 130, 0)),
        ("a", weka("a", "local", &[0, 1])),
        ("b", weka("b", "local", &[0, 1])),
        ("global", weka("b", "global", &[0, 1])),
        ("unnamed", weka("c", "local", &[0, 1]).replace("\"c\"", "null").repeat(2)),
        ("s", row("s", "\"timestamp\": 0", 32, &[8, 9]) + &row("s", "\"timestamp\": 2", 32, &[7, 6])),
        ("t", row("t", "\"timestamp\": 0", 32, &[4, 5]) + &row("t", "\"timestamp\": 2", 32, &[7, 6])),
    ] {
        write(folder, name, text);
    }
    for [a, b] in [["x", "y"], ["a", "b"], ["a", "global"], ["-b 16 -f aiperf s", "-b 16 -f aiperf t"]] {
        assert_eq!(share(a, b), 0, "{a} {b}");
        assert_eq!(share(a, a), ids(a).len());
    }
    assert_eq!(share("-b 16 --turns cumulative s", "-b 16 --turns cumulative t"), 0);
    assert_eq!(share("global", "global"), 2);
    let distinct: std::collections::BTreeSet<_> = ids("unnamed unnamed").into_iter().collect();
    assert_eq!(distinct.len(), 8);
    // A last block that its format must have.
    let lengths = [
        "{\"timestamp\":0,\"input_length\":20,\"output_length\":1,\"hash_ids\":[1]}\n",
        "{\"timestamp\":0,\"input_length\":20,\"output_length\":1,\"hash_ids\":[2]}\n",
    ];
    write(folder, "one", lengths[0]);
    write(folder, "two", lengths[1]);
    let to = "-b 16 --to-format kvcache-simulator";
    assert_eq!(share(&format!("{to} one"), &format!("{to} two")), 0);
}

#[test]
fn ids_of_a_conversation_are_never_those_that_mean_the_same_everywhere() {
    let folder = scratch();
    let folder = folder.path();
    let weka = |scope: &str, ids: &[u64]| {
        let request = json!({"t": 0, "in": 64 * ids.len(), "out": 2, "hash_ids": ids});
        format!("{}\n", json!({"id": "a", "block_size": 64, "hash_id_scope": scope, "requests": [request]}))
    };
    write(folder, "local", weka("local", &[1, 2]));
    write(folder, "global", weka("global", &[1]));
    write(folder, "both", weka("local", &[1, 2]) + &weka("global", &[1]) + &weka("local", &[0, 1]));
    for args in ["local global", "global local", "--merge local global", "--sort local global"] {
        assert_eq!(figures(folder, args), json!([2, 192, 0]), "{args}");
    }
    assert_eq!(figures(folder, "--renumber both"), json!([3, 320, 0]));
    assert_eq!(figures(folder, "--sort --renumber both"), json!([3, 320, 0]));
    assert!(cat(folder, "both").stderr.contains("both:2: ids that are strings or have another scope"));
    write(folder, "other", weka("global", &[1]) + &weka("local", &[1, 2]));
    assert_eq!(figures(folder, "--renumber other"), json!([2, 192, 0]));
    assert_eq!(figures(folder, "other both"), json!([5, 512, 64]));
    assert_eq!(figures(folder, "--merge both other global"), json!([6, 576, 128]));
    assert_eq!(figures(folder, "both global"), json!([4, 384, 64]));
    assert_eq!(figures(folder, "global local both global"), json!([6, 576, 128]));
    let direct =
        run_in(folder, "trace-stats", &["-q", "--format", "json", "both", "global", "local"], "").ok();
    assert_eq!(serde_json::from_str::<Value>(&direct).unwrap()["cached_tokens"], json!(64));
    assert_eq!(rows(&cat(folder, "-q global").ok())[0]["hash_ids"], json!([1]));
    assert_eq!(rows(&cat(folder, "-q local").ok())[0]["hash_ids"], json!([0, 1]));
}

#[test]
fn sessions_without_a_name_are_not_those_of_another_file() {
    let folder = scratch();
    let folder = folder.path();
    let agent = "{\"arrival_time_ns\":1,\"sub_requests\":[{\"input_toks\":18,\"output_toks\":3}]}\n";
    write(folder, "1", agent);
    write(folder, "2", agent);
    for args in ["-q 1 2", "-q --merge 1 2", "-q --ids-scope=file 1 2", "-q --sort 1 2"] {
        let found = rows(&cat(folder, args).ok());
        assert_ne!(found[0]["session_id"], found[1]["session_id"], "{args}");
    }
    assert_eq!(rows(&run("trace-cat", &["-q"], agent).ok())[0]["session_id"], json!("session 1"));
}
