//! `trace-cat` carries the ids of answers, in one numbering with those of prompts.

use crate::support::{run, scratch, write};
use serde_json::{Value, json};

/// Blocks of four tokens: a prompt of 6 tokens with an answer of 7, and the turn that quotes it.
const CHAT: &str = concat!(
    r#"{"timestamp": 0, "input_length": 6, "output_length": 7, "hash_ids": [10, 11], "output_hash_ids": [12, 13], "block_size": 4}"#,
    "\n",
    r#"{"timestamp": 9, "input_length": 14, "output_length": 1, "hash_ids": [10,12,13,14], "output_hash_ids": [], "block_size": 4, "session_id": "a"}"#,
    "\n",
);

fn cat(args: &[&str], input: &str) -> Vec<Value> {
    let out = run("trace-cat", args, input).ok();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(rows: &[Value]) -> Vec<(Value, Value)> {
    rows.iter().map(|row| (row["hash_ids"].clone(), row["output_hash_ids"].clone())).collect()
}

#[test]
fn answers_share_the_numbering_of_prompts() {
    let expected = [(json!([0, 1]), json!([2, 3])), (json!([0, 2, 3, 4]), json!([]))];
    assert_eq!(ids(&cat(&["--renumber"], CHAT)), expected);
    let check = run("trace-cat", &["--check"], run("trace-cat", &["--renumber"], CHAT).ok());
    let summary: Value = serde_json::from_str(&check.ok()).unwrap();
    assert_eq!((&summary["dense"], &summary["unique_blocks"]), (&json!(true), &json!(5)));
    assert_eq!(run("trace-cat", &["--head", "2"], CHAT).ok(), CHAT, "what does not change is copied");
}

#[test]
fn anonymous_answers_are_still_those_that_are_quoted() {
    let rows = cat(&["--anonymize", "--salt", "s"], CHAT);
    assert_eq!(rows[0]["output_hash_ids"][0], rows[1]["hash_ids"][1]);
    assert_eq!(rows[0]["output_hash_ids"][1], rows[1]["hash_ids"][2]);
    assert_ne!(rows[0]["output_hash_ids"][0], json!(12));
}

#[test]
fn larger_blocks_take_the_end_of_the_prompt_in() {
    // 12 tokens are computed: one block of eight, which begins in the prompt and ends in the answer.
    let rows = cat(&["--reblock", "8"], CHAT);
    assert_eq!(ids(&rows), [(json!([11]), json!([12])), (json!([12, 14]), json!([]))]);
    assert_eq!(rows[0]["block_size"], json!(8));
    assert_eq!(ids(&cat(&["--reblock", "16"], CHAT))[0], (json!([11]), json!([])));
}

#[test]
fn files_that_are_kept_apart_keep_their_answers_apart() {
    let folder = scratch();
    let dense = run("trace-cat", &["--renumber"], CHAT).ok();
    let (a, b) = (write(folder.path(), "a", &dense), write(folder.path(), "b", &dense));
    for order in [&["--merge"][..], &["--sort"], &[]] {
        let rows = cat(&[order, &[&a, &b]].concat(), "");
        let mut all: Vec<u64> = ids(&rows)
            .iter()
            .flat_map(|(prompt, answer)| [prompt.as_array().unwrap(), answer.as_array().unwrap()])
            .flatten()
            .map(|id| id.as_u64().unwrap())
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, (0..10).collect::<Vec<_>>(), "{order:?}");
    }
}

#[test]
fn formats_that_have_a_place_for_answers_keep_them() {
    let chat = CHAT.replace(", \"session_id\": \"a\"", "");
    for format in ["csv", "kvcache-simulator", "bailian"] {
        let there = run("trace-cat", &["--to-format", format], &chat);
        assert!(!there.stderr.contains("output_hash_ids"), "{}", there.stderr);
        let back = cat(&["--from-format", format, "-b", "4", "--renumber"], &there.ok());
        // An empty cell of a table says as much as an empty list: no block becomes full.
        let known = |rows: &[Value]| {
            let rows = ids(rows).into_iter();
            rows.map(|(prompt, answer)| (prompt, if answer.is_null() { json!([]) } else { answer }))
                .collect::<Vec<_>>()
        };
        assert_eq!(known(&back), known(&cat(&["--renumber"], &chat)), "{format}");
    }
    let lost = run("trace-cat", &["--to-format", "aiperf"], &chat);
    assert!(lost.stderr.contains("the output_hash_ids of 2 records are left out"), "{}", lost.stderr);
    assert!(!lost.ok().contains("output_hash_ids"));
    let table = run("trace-cat", &["--to-format", "csv"], chat.replacen("output_hash_ids", "x", 1));
    assert!(table.stderr.contains("the output_hash_ids of 1 records are left out"), "{}", table.stderr);
}

#[test]
fn turns_that_are_cut_anew_lose_their_answers() {
    let session = CHAT.replace("\"block_size\": 4}", "\"block_size\": 4, \"session_id\": \"a\"}");
    let out = run("trace-cat", &["--turns", "incremental"], &session);
    assert!(out.stderr.contains("the output_hash_ids of 1 records are left out"), "{}", out.stderr);
    let rows: Vec<Value> = out.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids(&rows)[0], (json!([10, 11]), json!([12, 13])));
    assert_eq!(rows[1]["output_hash_ids"], Value::Null);
}

#[test]
fn an_answer_of_the_wrong_length_is_an_error() {
    for (from, to, message) in [
        (
            "[12, 13]",
            "[12]",
            "1 output_hash_ids for input_length 6 and output_length 7, expected 2 of block size 4",
        ),
        ("\"output_length\": 7, ", "", "missing field \"output_length\", which \"output_hash_ids\" needs"),
        ("[12, 13]", "7", "output_hash_ids: expected a list of ids, found 7"),
        ("[12, 13]", "[12, -1]", "output_hash_ids: expected unsigned 64-bit integers, found -1"),
    ] {
        let ran = run("trace-cat", &["--renumber"], CHAT.replacen(from, to, 1));
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}
