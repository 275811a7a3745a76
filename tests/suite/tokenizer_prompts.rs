//! `trace-synth --prompts --tokenizer`: text that a tokenizer cuts into exactly the wanted tokens, also in its
//! chat template, and that `trace-hash` turns into the trace again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{line, run};

const BLOCK: u64 = 64;

/// Conversations behind a shared beginning of two blocks, and prompts of all lengths.
fn trace() -> String {
    let (mut lines, mut next, mut time) = (String::new(), 2, 0);
    for session in 0..40_u64 {
        let mut ids = vec![0, 1];
        let mut length = 2 * BLOCK + session * 7 % 150;
        for turn in 0..=session % 4 {
            while (ids.len() as u64) < length.div_ceil(BLOCK) {
                ids.push(next);
                next += 1;
            }
            lines += &line(time, length, 5 + turn, &ids);
            // A partial block is not continued.
            ids.truncate((length / BLOCK) as usize);
            time += 900;
            length += 30 + session * turn * 13 % 200;
        }
    }
    lines
}

fn requests(text: &str) -> Vec<(u64, Vec<u64>)> {
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ids =
        |value: &Value| value["hash_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    values.map(|value| (value["input_length"].as_u64().unwrap(), ids(&value))).collect()
}

/// How many blocks of each request earlier ones have.
fn shared(requests: &[(u64, Vec<u64>)]) -> Vec<u64> {
    let mut seen = HashSet::new();
    let known = |(_, ids): &(u64, Vec<u64>)| {
        let known = ids.iter().take_while(|id| seen.contains(*id)).count() as u64;
        seen.extend(ids.iter().copied());
        known
    };
    requests.iter().map(known).collect()
}

/// The tokenizers made for the tests, and the model's folder of the examples, with its chat template.
fn tokenizers() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("tests/tokenizer_files")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("expected.json"));
    files.sort();
    assert!(files.len() >= 10);
    files.push(root.join("examples/model"));
    files.extend(["o200k_base", "bytes"].map(PathBuf::from));
    files
}

#[test]
fn prompts_of_any_tokenizer_hash_to_the_trace_again() {
    let trace = trace();
    for tokenizer in tokenizers() {
        let tokenizer = format!("--tokenizer={}", tokenizer.display());
        let synthetic = run("trace-synth", &["-q", "-b64", "--model=none"], &trace).ok();
        let prompts =
            run("trace-synth", &["-q", "-b64", "--model=none", "--prompts", &tokenizer], &trace).ok();
        let again = run("trace-hash", &["-q", "-b64", &tokenizer], &prompts).ok();
        assert_eq!(requests(&again), requests(&synthetic), "{tokenizer}");
    }
}

#[test]
fn messages_have_their_lengths_within_the_chat_template() {
    let trace = trace();
    let original = requests(&trace);
    for tokenizer in tokenizers() {
        let tokenizer = format!("--tokenizer={}", tokenizer.display());
        let args = ["-b64", "--model=none", "--prompts=chat", &tokenizer];
        let written = run("trace-synth", &args, &trace);
        // What the template puts around a text may be longer than the shortest prompts, which is said.
        let said = written.stderr.clone();
        let again = requests(&run("trace-hash", &["-q", "-b64", &tokenizer], written.ok()).ok());
        assert_eq!(again.len(), original.len());
        let wrong = again.iter().zip(&original).filter(|(again, original)| again.0 != original.0).count();
        assert_eq!(wrong, 0, "{tokenizer}: {said}");
        // The template's tokens at the end of a prompt take a block from what later ones share, and those at its
        // beginning give none here but where a token is a byte.
        let (found, expected) = (shared(&again), shared(&original));
        let least = found.iter().zip(&expected).all(|(found, expected)| found + 1 >= *expected);
        let sum = |shared: &[u64]| shared.iter().sum::<u64>();
        assert!(least && sum(&found) <= sum(&expected) + original.len() as u64, "{tokenizer}");
        assert!(said.contains("ends with tokens of the template"), "{tokenizer}: {said}");
    }
}

#[test]
fn what_is_shorter_than_the_template_is_said() {
    let said = run("trace-synth", &["-b64", "--model=none", "--prompts=chat"], line(0, 3, 1, &[0])).stderr;
    assert!(said.contains("1 prompts would be shorter than the"), "{said}");
}
