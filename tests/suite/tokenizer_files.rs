//! Tokenizer files of every kind, made for these tests, against the ids that Python's tokenizers 0.23.3
//! gives (`scripts/check-tokenizers --write-expected` writes them anew); and files that are refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Ran, binary, run};
use kvtrace::tokens::{Encoder, GrowingPrompt, Tokenizer};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizer_files")
}

fn file(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn load(file: &Value) -> Result<Encoder, String> {
    let tokenizer = Tokenizer::from_json("FILE", file.to_string().into_bytes(), false);
    tokenizer.map(|tokenizer| Encoder::new(Arc::new(tokenizer), 0)).map_err(|e| e.to_string())
}

fn encode(encoder: &mut Encoder, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    encoder.encode(text, &mut ids).unwrap();
    ids
}

#[derive(serde::Deserialize)]
struct Expected {
    texts: Vec<String>,
    ids: BTreeMap<String, Vec<Vec<u32>>>,
}

fn expected() -> Expected {
    serde_json::from_str(&std::fs::read_to_string(folder().join("expected.json")).unwrap()).unwrap()
}

/// The texts apart, all of them in one text, and cut into chunks that are remembered.
#[test]
fn every_kind_has_the_ids_of_the_python_library() {
    let Expected { texts, ids } = expected();
    assert!(ids.len() >= 20 && texts.len() > 15);
    let mut failed = Vec::new();
    for (kind, ids) in ids {
        let path = folder().join(format!("{kind}.json"));
        let tokenizer = Arc::new(Tokenizer::load(&path, false).unwrap());
        let mut plain = Encoder::new(tokenizer.clone(), 0);
        for (text, expected) in texts.iter().zip(&ids) {
            let found = encode(&mut plain, text);
            if found != *expected {
                failed.push(format!("{kind}: {text:?}\n  {found:?}\n  {expected:?}"));
            }
        }
        let (mut remembering, mut growing) = (Encoder::new(tokenizer, 1 << 20), GrowingPrompt::default());
        for times in [1, 1, 2, 3, 2] {
            let text = texts.join(" and the next ").repeat(times);
            let whole = encode(&mut plain, &text);
            assert!(encode(&mut remembering, &text) == whole, "{kind}");
            growing.advance(&text, &mut remembering).unwrap();
            assert!(growing.tokens() == whole, "{kind}");
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The kinds that are run by this program itself are still those that should be.
#[test]
fn the_usual_kinds_are_not_left_to_the_library() {
    for kind in ["qwen-marks", "gemma-1"] {
        let path = folder().join(format!("{kind}.json"));
        assert!(Tokenizer::load(&path, false).unwrap().turns_apart(), "{kind}");
    }
}

#[test]
fn special_tokens_stand_around_a_text() {
    let tokenizer = Tokenizer::load(&folder().join("roberta.json"), true).unwrap();
    assert_eq!(tokenizer.around("the").unwrap(), (vec![271], vec![272]));
}

/// What cannot be run is known when the file is read; the message names the file and the part.
#[test]
fn what_cannot_be_run_refuses_the_file() {
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let replace = |pattern: &str| json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": ""});
    let cases = [
        ("pre_tokenizer", split("(a"), "pre_tokenizer: "),
        ("pre_tokenizer", split("(?i:straße)"), "without regard to case"),
        ("pre_tokenizer", split("a**"), "repetition"),
        ("pre_tokenizer", split(r"\p{Nonsense}"), "Nonsense"),
        ("pre_tokenizer", split(r"(?<a>x)\g<a>"), r"\g"),
        ("pre_tokenizer", json!({"type": "Sequence", "pretokenizers": [{"type": "Novel"}]}), "Novel"),
        ("pre_tokenizer", json!({"type": "Sequence", "pretokenizers": [split("[")]}), "class"),
        ("pre_tokenizer", split(r"(?:\p{L}{1000}){1000}"), "pre_tokenizer: "),
        ("normalizer", replace("[b-a]"), "normalizer: "),
        ("normalizer", json!({"type": "Sequence", "normalizers": [{"type": "Novel"}]}), "Novel"),
        // A table that the library trusts.
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "the library"),
        ("post_processor", json!({"type": "Novel"}), "post_processor: "),
        ("model", json!({"type": "Novel", "vocab": {}}), "model: "),
        ("added_tokens", json!([{"content": 5}]), "added_tokens: "),
    ];
    for (part, value, says) in cases {
        let mut changed = file("bloom");
        changed[part] = value;
        let message = load(&changed).map(|_| ()).unwrap_err();
        assert!(message.starts_with("FILE: not a usable tokenizer file: "), "{message}");
        assert!(message.contains(says), "{message}");
    }
    let mut changed = file("bloom");
    changed["model"]["dropout"] = json!(0.1);
    assert!(load(&changed).map(|_| ()).unwrap_err().contains("model: dropout"));
}

/// Searches that would take longer than the sun shines end with an error of the text.
#[test]
fn a_pattern_from_a_stranger_ends_in_time() {
    for pattern in [r"(?:x+(?!z)x*)+y", r"(x+x+)+\1y", r"(?:x|x(?!z))+y"] {
        let mut changed = file("bloom");
        changed["pre_tokenizer"]["pretokenizers"][0]["pattern"] = json!({"Regex": pattern});
        let mut encoder = load(&changed).unwrap();
        assert_eq!(encode(&mut encoder, "ab").len(), 2);
        let start = Instant::now();
        let error = encoder.encode(&"x".repeat(3000), &mut Vec::new()).unwrap_err();
        assert!(error.message.contains("pattern"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{pattern}: {:?}", start.elapsed());
    }
}

/// The patterns that models have may meet any text.
#[test]
fn long_texts_of_few_matches_are_no_failure() {
    let long = ["x", " ", "(", "\u{301}"].map(|part| part.repeat(1_200_000 / part.len()));
    for kind in ["bloom", "deepseek-coder", "removed"] {
        let mut encoder = load(&file(kind)).unwrap();
        for text in &long {
            encoder.encode(text, &mut Vec::new()).unwrap_or_else(|e| panic!("{kind}: {e}"));
        }
    }
}

#[test]
fn limits_of_length_in_the_file_are_ignored() {
    let mut changed = file("bloom");
    let whole = encode(&mut load(&changed).unwrap(), "the user in the house");
    changed["truncation"] =
        json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    changed["padding"] = json!({"strategy": {"Fixed": 100}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "a"});
    assert_eq!(encode(&mut load(&changed).unwrap(), "the user in the house"), whole);
}

#[test]
fn a_model_in_the_local_cache_is_found_by_its_name() {
    let cache = tempfile::tempdir().unwrap();
    let model = cache.path().join("models--Owner--Model-1.5");
    let hash = |name: &str| {
        let mut command = std::process::Command::new(binary("trace-hash"));
        command.env("HF_HUB_CACHE", cache.path()).stdin(std::process::Stdio::null());
        Ran::of(&command.args(["--tokenizer", name]).output().unwrap())
    };
    let missing = hash("Owner/Model-1.5");
    assert_eq!(missing.status, Some(1));
    let fetch = "fetch it with: hf download Owner/Model-1.5 tokenizer.json tokenizer_config.json\n";
    assert!(missing.stderr.ends_with(fetch), "{}", missing.stderr);
    std::fs::create_dir_all(model.join("refs")).unwrap();
    std::fs::create_dir_all(model.join("snapshots/abc")).unwrap();
    std::fs::write(model.join("refs/main"), "abc").unwrap();
    std::fs::copy(folder().join("bloom.json"), model.join("snapshots/abc/tokenizer.json")).unwrap();
    hash("Owner/Model-1.5").ok();
}

/// Exit code 1 before any record is read, and nothing of a crash.
#[test]
fn a_refused_file_is_named_by_the_program() {
    let folder = tempfile::tempdir().unwrap();
    for (part, value) in [
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(?~a)"}, "behavior": "Isolated", "invert": false}),
        ),
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
    ] {
        let mut changed = file("bloom");
        changed[part] = value;
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, changed.to_string()).unwrap();
        let path = path.display().to_string();
        let ran = run("trace-hash", &["--skip-invalid", "--tokenizer", &path], "{\"prompt\": \"x\"}\n");
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
        assert!(
            ran.stderr.starts_with(&format!("trace-hash: {path}: not a usable tokenizer file: ")),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
}

/// A search that takes too long makes its record bad, and the next one is read.
#[test]
fn a_search_without_end_makes_its_record_bad() {
    let folder = tempfile::tempdir().unwrap();
    let mut changed = file("bloom");
    changed["pre_tokenizer"]["pretokenizers"][0]["pattern"] = json!({"Regex": "(?:x+(?!z)x*)+y"});
    std::fs::write(folder.path().join("tokenizer.json"), changed.to_string()).unwrap();
    let model = folder.path().display().to_string();
    let long = json!({"prompt": "x".repeat(1000)});
    let input = format!("{long}\n{}\n", json!({"prompt": "ab"}));
    let ran = run("trace-hash", &["--tokenizer", &model, "--skip-invalid"], input);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 1);
    assert!(ran.stderr.contains("-:1: "), "{}", ran.stderr);
}

/// A panic of the library is a bad record as any other: file and line are named, and output and state are whole.
#[test]
fn a_panic_of_the_library_makes_its_record_bad() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut changed = file("bloom");
    // A table whose only entry leads outside of it, which the library finds out with the first text.
    changed["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAP///38="});
    std::fs::write(path("tokenizer.json"), changed.to_string()).unwrap();
    let good = "{\"prompt\": \"\"}\n{\"prompt_token_ids\": [1, 2, 3]}\n";
    std::fs::write(path("in"), format!("{good}{{\"prompt\": \"ab\"}}\n{good}")).unwrap();
    let hash = |args: &[&str], input: &str| {
        let (model, state) = (path("tokenizer.json"), path("state"));
        let all = [&["-b", "2", "--tokenizer", &model, "--state", &state], args, &[input]].concat();
        run("trace-hash", &all, "")
    };
    for threads in ["1", "3"] {
        std::fs::remove_file(path("state")).ok();
        let ran = hash(&["-j", threads, "-o", &path("out")], &path("in"));
        assert_eq!(ran.status, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("in:3: the library that runs this tokenizer failed"), "{}", ran.stderr);
        assert!(!folder.path().join("out").exists());
        let skipped = hash(&["-j", threads, "-o", &path("out"), "--skip-invalid"], &path("in"));
        assert!(skipped.status == Some(0) && skipped.stderr.contains("skipped 1"), "{}", skipped.stderr);
        let lines = std::fs::read_to_string(path("out")).unwrap();
        assert_eq!(lines.lines().count(), 4);
        // The numbers go on where they ended.
        std::fs::write(path("more"), "{\"prompt_token_ids\": [1, 2, 3]}\n").unwrap();
        let more = hash(&[], &path("more")).ok();
        assert_eq!(lines.lines().nth(1), more.lines().next());
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 5, "tokenizer, input, output, state, more");
        std::fs::remove_file(path("out")).unwrap();
        std::fs::remove_file(path("more")).unwrap();
    }
}
