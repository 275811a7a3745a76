//! Inputs that failed in trials, each with its command, where the folder of real traces has them: what comes
//! out is what is right. A case of the folder that is not listed here fails.

use std::path::Path;

use crate::support::{real, run, scratch, shell};

/// A case by the beginning of its name, and texts that are in what it prints; with none, it prints nothing.
struct Case {
    name: &'static str,
    says: &'static [&'static str],
    /// What the command lacks since there is an option for it.
    options: &'static [(&'static str, &'static str)],
}

const fn case(name: &'static str, says: &'static [&'static str]) -> Case {
    Case { name, says, options: &[] }
}

const CASES: [Case; 63] = [
    case("traces/01-", &["\n0\n900500\n904500\n950000\n"]),
    case("traces/02-", &["[8144,0.5658153241650294]\n[8144,0.5658153241650294]\n"]),
    case("traces/03-", &["\"hash_ids\": [0]", "\"hash_ids\": [1]", "has neither content nor tool calls"]),
    case(
        "traces/04-",
        &["4, 5]}\n", "[0, 6, 7, 8, 9]", "[10, 11]", "[12, 13, 14, 15, 16]", "[12, 13, 17, 18, 19, 20]"],
    ),
    case("traces/05-", &["\"input_length\": 97"]),
    case("traces/06-", &["49, \"hash_ids\": [0]", "40, \"hash_ids\": [1]", "87, \"hash_ids\": [2]"]),
    case("traces/07-", &["\"output_length\": 17"]),
    case("traces/09-", &["\"input_length\": 28, \"output_length\": 8"]),
    case("traces/10-", &["\"delay\": 12219.3"]),
    case("traces/11-", &["\"input_length\": 23", "make it a trace with trace-hash first"]),
    case("traces/12-", &["{\"input_length\": 3772, \"output_length\": 54,"]),
    case(
        "traces/14-",
        &[
            "trace-stats: 01-weka-subagent-time.jsonl: read as weka",
            "trace-synth: 01-weka-subagent-time.jsonl: read as weka",
            "a record of a trace (weka), not a prompt: read it with trace-stats, trace-synth or trace-cat",
            "trace-stats: 07-tair-output-len.jsonl:1: 2 hash_ids for input_length 32, expected 1 of block size 512 (see --block-size), read as tair",
            "a record of a trace (tair), not a prompt",
        ],
    ),
    case("traces/15-", &["a record of a trace (litellm), not a prompt", "\"messages\" is an empty list"]),
    case(
        "traces/17-",
        &["{\"timestamp\": 0, \"input_length\": 900, \"output_length\": 81, \"session_id\": \"sess-"],
    ),
    case(
        "traces/19-",
        &["\"input_length\": 135, \"output_length\": 50", "\"input_length\": 270, \"output_length\": 75"],
    ),
    case("traces/20-", &["{\"timestamp\": 46.926808, \"input_length\": 10, \"output_length\": 70,"]),
    case(
        "traces/22-",
        &[
            "\"input_length\": 2318",
            "\"input_length\": 2866",
            "\"cached_tokens\": 2518",
            "\"input_length\": 3809",
        ],
    ),
    case("traces/23-", &["\"input_length\": 28, \"output_length\": 12"]),
    case("prompts/01-", &[]),
    case("prompts/02-", &[]),
    case("prompts/03-", &[]),
    case("prompts/04-", &[]),
    case("prompts/07-", &["3\n"]),
    case("prompts/08-", &["1 chat is in the default template"]),
    case("prompts/09-", &[]),
    case("prompts/10-", &[]),
    case("prompts/13-", &[]),
    Case {
        name: "prompts/15-",
        says: &["are identical\n"],
        options: &[("paste -d' '", "diff -s"), ("--prompts", "--tokenizer $MODEL --prompts")],
    },
    Case { name: "prompts/16-", says: &[], options: &[("trace-synth -q", "trace-synth -q --model none")] },
    Case {
        name: "prompts/17-",
        says: &["12\n"],
        options: &[("--hits engine", "--hits engine --outputs infer")],
    },
    case("prompts/18-", &["\"input_length\": 31", "\"input_length\": 27"]),
    case("prompts/21-", &["87, \"hash_ids\": [0]", "23, \"hash_ids\": [1]"]),
    case("prompts/23-", &["\n88\n42\n"]),
    case("prompts/24-", &["\n33\n3\n3\n"]),
    case("prompts/25-", &["times look like seconds since 1970"]),
    case("prompts/28-", &["0\n"]),
    case("prompts/30-", &[]),
    case("prompts/31-", &["\"input_length\": 8"]),
    case("prompts/33-", &["[55093839011158]\n[55093839011158]\n"]),
    case("prompts/34-", &["\"conversations\" is an empty list"]),
    case("prompts/35-", &["conv_L_cache may change the KV cache in a way that is not known"]),
    case("prompts/36-", &["made whole prompts\nToken hit rate:  0.58626\nToken hit rate:  0.58626\n"]),
    case("prompts/37-", &["8\n"]),
    case("prompts/40-", &[]),
    case("prompts/46-", &[]),
    case("prompts/48-", &[]),
    case("prompts/49-", &[]),
    case("prompts/50-", &[]),
    case("prompts/51-", &["\"input_length\": 90"]),
    case("prompts/53-", &["23\n{\"input_length\": 23,"]),
    case("prompts/55-", &["327\n"]),
    case("prompts/58-", &["20\n20\n"]),
    case("trial/01-", &["\"input_length\": 6"]),
    case("trial/03-", &["{\"timestamp\":-5,\"input_length\":1}\n{\"timestamp\":-5,\"input_length\":1}\n"]),
    case("trial/04-", &["[1,2]\n[\"1\",1]\n[\"(none)\",1]\n[null,1]\n"]),
    case("trial/06-", &["{\"timestamp\":2,\"input_length\":2, \"block_size\": 2,\"hash_ids\":[1]}"]),
    case("trial/07-", &["\"input_length\": 1,"]),
    case("trial/08-", &["16, \"hash_ids\": [0]}\n", "15, \"hash_ids\": [0]}\n"]),
    case("trial/09-", &["\"input_length\": 1,"]),
    case("trial/15-", &["## By m, each value as a trace of its own\n"]),
    case("trial/18-", &["292, \"", "234, \"", "\"output_length\": 71", "\"output_length\": 91"]),
    case("trial/19-", &["rc 0\n"]),
    case(
        "trial/22-",
        &["--keep: block_size is written in any case", "--keep: output_tokens is written in any case"],
    ),
];

/// Those whose input takes long to make; smaller ones of their kind are in `trials` and `memory`.
const LARGE: [&str; 2] = ["trial/17-", "trial/24-"];

/// The commands of a folder, by its name and theirs.
fn commands(folder: &Path, within: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder.join(within)).unwrap().map(|entry| entry.unwrap().file_name());
    let names =
        names.map(|name| name.into_string().unwrap()).filter(|name| name.strip_suffix(".cmd").is_some());
    names.map(|name| format!("{within}/{name}")).collect()
}

#[test]
fn what_failed_in_trials_is_right_now() {
    let Some(folder) = real("cases") else { return };
    let found: Vec<String> =
        ["traces", "prompts", "trial"].iter().flat_map(|within| commands(&folder, within)).collect();
    let large = |name: &&String| LARGE.iter().any(|large| name.starts_with(large));
    let new: Vec<&String> = found
        .iter()
        .filter(|name| !large(name) && !CASES.iter().any(|case| name.starts_with(case.name)))
        .collect();
    assert!(new.is_empty(), "not listed here: {new:?}");
    for Case { name, says, options } in &CASES {
        let path = folder.join(found.iter().find(|path| path.starts_with(name)).unwrap());
        let place = scratch();
        for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
            let file = entry.unwrap().path();
            std::fs::copy(&file, place.path().join(file.file_name().unwrap())).unwrap();
        }
        let mut command = std::fs::read_to_string(path).unwrap();
        for (bare, better) in *options {
            assert!(command.contains(bare), "{name}");
            command = command.replacen(bare, better, 1);
        }
        // Commands are read as they are typed: one that fails does not keep the next one from running.
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model");
        let ran =
            shell(place.path(), &format!("set +e; set +o pipefail; MODEL={model}\nexec 2>&1\n{command}"));
        let printed = format!("\n{}", ran.stdout);
        for text in *says {
            assert!(printed.contains(text), "{name}: {text:?} is not in {}", ran.stdout);
        }
        assert!(!says.is_empty() || ran.stdout.is_empty(), "{name}: {}", ran.stdout);
        assert!(!ran.stdout.contains("panicked"), "{name}: {}", ran.stdout);
    }
}

#[test]
fn templates_that_failed_in_trials_are_rendered() {
    let Some(folder) = real("cases/trial") else { return };
    let chat = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "tool_calls": []},
        {"role": "user", "content": "b"}], "tools": [{"b": 1, "a": 2}]}"#;
    let hashed = |args: &[&str], record: &str| {
        let common = ["-q", "--tokenizer=bytes", "-b4", "--ids=hash", "--turns=last"];
        run("trace-hash", &[&common, args].concat(), record.replace('\n', " ")).ok()
    };
    for (file, prompt) in [
        ("11-break.jinja", "a"),
        ("12-none-content.jinja", "{'type': 'text', 'text': 'a'}{'type': 'text', 'text': 'b'}"),
        ("13-tojson.jinja", r#"[{"b":1,"a":2}] [{"a": 2, "b": 1}] 1e-07"#),
    ] {
        let template = folder.join(file).display().to_string();
        let expected = hashed(&[], &serde_json::json!({"prompt_token_ids": prompt.as_bytes()}).to_string());
        assert_eq!(hashed(&["--chat-template", &template], chat), expected, "{file}");
    }
}
