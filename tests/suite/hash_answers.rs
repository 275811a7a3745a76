//! `trace-hash --outputs`: the blocks that become full as an answer is generated.

use std::collections::HashMap;
use std::path::Path;

use crate::support::{run, scratch, shell, write};
use serde_json::{Value, json};

fn model() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/model").to_str().unwrap().to_owned()
}

fn hash(args: &[&str], input: &str) -> Vec<Value> {
    let out = run("trace-hash", args, input).ok();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lengths and ids of a request whose prompt and answer are these bytes, as plainly as they can be written:
/// a block is known by all bytes up to its end.
fn line(
    known: &mut HashMap<Vec<u8>, usize>,
    prompt: &str,
    answer: &str,
    (size, drops): (usize, bool),
) -> (usize, usize, Vec<usize>, Vec<usize>) {
    let mut id = |bytes: &[u8]| {
        let next = known.len();
        *known.entry(bytes.to_vec()).or_insert(next)
    };
    let whole = format!("{prompt}{answer}").into_bytes();
    let blocks = if drops { prompt.len() / size } else { prompt.len().div_ceil(size) };
    let ids = (0..blocks).map(|i| id(&whole[..((i + 1) * size).min(prompt.len())])).collect();
    // The stop token is the one that is not computed.
    let computed = prompt.len() + answer.len();
    let answers = (prompt.len() / size..computed / size).map(|i| id(&whole[..(i + 1) * size])).collect();
    (prompt.len(), answer.len() + 1, ids, answers)
}

/// A chat in the default template: the prompt of each answer, and the answer.
fn requests(turns: &[(&str, String)]) -> Vec<(String, String)> {
    let (mut text, mut requests) = (String::new(), Vec::new());
    for (role, said) in turns {
        if *role == "assistant" {
            requests.push((format!("{text}<|im_start|>assistant\n"), said.clone()));
        }
        text += &format!("<|im_start|>{role}\n{said}<|im_end|>\n");
    }
    requests
}

#[test]
fn answers_are_the_blocks_of_a_naive_model() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut chats = Vec::new();
    for _ in 0..60 {
        let mut said =
            |most: usize| "ab c\n".repeat(random.usize(..most)) + ["", "x", " y "][random.usize(..3)];
        let mut turns = vec![("user", format!("{}?", said(40)))];
        for _ in 0..3 {
            turns.push(("assistant", said(60)));
            turns.push(("user", format!("{}!", said(9))));
        }
        turns.pop();
        chats.push(turns);
    }
    let input: String = chats
        .iter()
        .map(|turns| {
            let message = |(role, text): &(&str, String)| json!({"role": role, "content": text});
            format!("{}\n", json!({"messages": turns.iter().map(message).collect::<Vec<_>>()}))
        })
        .collect();
    for (size, partial) in
        [(1, "keep"), (5, "keep"), (16, "keep"), (16, "drop"), (200, "keep"), (1000, "drop")]
    {
        let mut known = HashMap::new();
        let all = chats.iter().flat_map(|turns| requests(turns));
        let expected: Vec<_> = all
            .map(|(prompt, answer)| line(&mut known, &prompt, &answer, (size, partial == "drop")))
            .collect();
        for reuse in ["64Mi", "0"] {
            let size = size.to_string();
            let args = ["--tokenizer", "bytes", "--turns", "each", "--outputs", "--reuse", reuse];
            let found = hash(&[&args[..], &["-b", &size, "--partial", partial]].concat(), &input);
            assert_eq!(found.len(), expected.len());
            for (found, (input, output, ids, answer)) in found.iter().zip(&expected) {
                let lengths = (&found["input_length"], &found["output_length"]);
                assert_eq!(lengths, (&json!(input), &json!(output)), "{size} {partial} {reuse}");
                assert_eq!(found["hash_ids"], json!(ids), "{size} {partial} {reuse}");
                assert_eq!(found["output_hash_ids"], json!(answer), "{size} {partial} {reuse}");
            }
        }
    }
}

#[test]
fn prompts_are_the_same_lines_as_without_answers() {
    let prompts = include_str!("../../examples/prompts.jsonl");
    let model = model();
    for ids in ["hash", "dynamo", "vllm", "vllm-cbor"] {
        let args = ["--tokenizer", &model, "-b", "16", "--ids", ids];
        let (plain, answers) = (hash(&args, prompts), hash(&[&args[..], &["--outputs"]].concat(), prompts));
        assert!(
            answers.iter().any(|line| line["output_hash_ids"].as_array().is_some_and(|ids| ids.len() > 5))
        );
        for (mut plain, mut answers) in plain.into_iter().zip(answers) {
            for line in [&mut plain, &mut answers] {
                line.as_object_mut().unwrap().retain(|name, _| !name.starts_with("output_"));
            }
            assert_eq!(plain, answers);
        }
    }
    let folder = scratch();
    let state = write(folder.path(), "state", "");
    std::fs::remove_file(&state).unwrap();
    let args = ["--tokenizer", &model, "-b", "16", "--outputs"];
    let dense = run("trace-hash", &args, prompts).ok();
    for more in [&["-j", "4"][..], &["-j", "3", "--reuse", "0"], &["--state", &state], &["--state", &state]] {
        assert_eq!(run("trace-hash", &[&args[..], more].concat(), prompts).ok(), dense, "{more:?}");
    }
    let check = run("trace-cat", &["--check", "-b", "16"], &dense).ok();
    assert!(check.contains("\"dense\":true") || check.contains("\"dense\": true"), "{check}");
}

/// What the scheduler and the block pool of vLLM 0.32 counted for these prompts and answers.
#[test]
fn hits_are_those_of_an_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (blocks, hits) in [(5000, 158_752), (800, 141_552), (500, 116_464), (400, 105_008), (300, 77_024)] {
        let hash = "trace-hash --tokenizer examples/model -b 16 --outputs examples/prompts.jsonl";
        let line = format!("{hash} | trace-stats --policy vllm -c {blocks} -f json");
        let report: Value = serde_json::from_str(&shell(folder, &line).ok()).unwrap();
        assert_eq!(report["capacity"][0]["hit_tokens"], json!(hits), "{blocks} blocks");
    }
}

/// Output length and number of the answer's blocks of two tokens, after a prompt of three; `null` where there
/// are no ids.
fn of_record(more: &Value) -> (Value, Value) {
    let mut record = more.clone();
    record["prompt"] = json!("abc");
    let found = hash(&["--tokenizer", "bytes", "-b", "2", "--outputs"], &record.to_string());
    let ids = found[0]["output_hash_ids"].as_array().map(Vec::len);
    (found[0]["output_length"].clone(), json!(ids))
}

#[test]
fn stop_tokens_count_where_records_say_so() {
    let choice =
        |reason: Value| json!({"response": {"choices": [{"text": "12345", "finish_reason": reason}]}});
    let cases = [
        (json!({"completion": "12345"}), 5, 2),
        (choice(json!("stop")), 6, 3),
        (choice(json!("length")), 5, 2),
        (choice(json!(null)), 5, 2),
        (json!({"choices": [{"text": "12345", "finish_reason": "stop", "stop_reason": "6"}]}), 5, 2),
        (json!({"completion": "12345", "stop_reason": "end_turn"}), 6, 3),
        (json!({"completion": "12345", "output_length": 6}), 6, 3),
        (
            json!({"response": {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "12345"}]}], "status": "completed"}}),
            6,
            3,
        ),
        (
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "12345"}]}, "finishReason": "STOP"}]}),
            6,
            3,
        ),
        (json!({"output_token_ids": [49, 50, 51, 52, 53, 7]}), 6, 3),
        (json!({"outputs": [{"text": "no matter", "token_ids": [1, 2, 3], "finish_reason": "stop"}]}), 3, 1),
        (json!({"output_ids": [1, 2, 3], "meta_info": {"completion_tokens": 3}}), 3, 1),
        (json!({"completion": ""}), 0, 0),
    ];
    for (record, output, blocks) in cases {
        assert_eq!(of_record(&record), (json!(output), json!(blocks)), "{record}");
    }
}

#[test]
fn answers_that_are_unknown_or_contradicted_are_left_out_and_said() {
    assert_eq!(of_record(&json!({"max_tokens": 9})), (json!(9), json!(null)));
    assert_eq!(of_record(&json!({"completion": "12345", "output_length": 7})), (json!(7), json!(null)));
    let records = "{\"prompt\": \"a\", \"completion\": \"b\", \"output_length\": 9}\n{\"prompt\": [\"a\", \"b\"], \"completion\": \"b\"}\n";
    let ran = run("trace-hash", &["--outputs"], records);
    assert!(ran.stderr.contains("1 answer has no output_hash_ids: its server counted"), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 requests have no output_hash_ids"), "{}", ran.stderr);
    assert!(!ran.ok().contains("output_hash_ids"));
    assert_eq!(run("trace-hash", &["--outputs", "--text"], "a\n").status, Some(2));
}

/// A template that trims what the past has said, drops its reasoning, and writes calls.
const TEMPLATE: &str = "{% for m in messages %}<{{ m.role }}>\n{% if m.reasoning_content and loop.last %}({{ m.reasoning_content }}){% endif %}{{ m.content | trim }}{% for c in m.tool_calls or [] %}!{{ c.function.name }}{% endfor %}<end>\n{% endfor %}{% if add_generation_prompt %}<assistant>\n{% endif %}";

#[test]
fn a_template_shows_what_was_generated() {
    let folder = scratch();
    let template = write(folder.path(), "chat.jinja", TEMPLATE);
    let user = |text: &str| json!({"role": "user", "content": text});
    let args =
        ["--tokenizer", "bytes", "-b", "1", "--chat-template", &template, "--outputs", "--turns", "each"];
    let found = |answers: [Value; 2]| {
        let [one, two] = answers;
        let chat = json!({"messages": [user("q"), one, user("r"), two]});
        let lines = hash(&args, &chat.to_string());
        // How many blocks of the first answer the second prompt has: all tokens but the stop token are blocks.
        let ids = |line: &Value, name: &str| line[name].as_array().unwrap().clone();
        let (first, next) = (ids(&lines[0], "output_hash_ids"), ids(&lines[1], "hash_ids"));
        (lines[0]["output_length"].clone(), first.iter().filter(|id| next.contains(id)).count())
    };
    let said = |content: Value| json!({"role": "assistant", "content": content});
    assert_eq!(found([said(json!(" yes \n")), said(json!("no"))]), (json!(4), 3));
    let call = json!({"role": "assistant", "content": "I", "tool_calls": [{"type": "function", "function": {"name": "ask", "arguments": "{}"}}]});
    assert_eq!(found([call, said(json!("no"))]), (json!(6), 5));
    // The engine has generated the reasoning, and the next prompt does not quote it.
    let thought = json!({"role": "assistant", "content": "yes", "reasoning_content": "hm"});
    assert_eq!(found([thought, said(json!("no"))]), (json!(8), 0));
    // What was recorded stands as it was recorded.
    let record = json!({"messages": [user("q")], "response": {"choices": [{"message": {"role": "assistant", "content": " yes"}, "finish_reason": "stop"}]}});
    assert_eq!(hash(&args, &record.to_string())[0]["output_length"], json!(5));
}
