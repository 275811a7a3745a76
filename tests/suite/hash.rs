//! `trace-hash`: ids of every kind, numbers kept from run to run, threads, times, templates.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Ran, command, run, run_in, scratch, shell, write};
use serde_json::Value;

const PROMPTS: &str = include_str!("../../examples/prompts.jsonl");

fn model() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/model").to_str().unwrap().to_owned()
}

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(line: &Value) -> Vec<u64> {
    line["hash_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// Prompts that share prefixes, chats among them; some megabytes, so that there are many batches.
fn log(lines: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let systems: Vec<String> =
        (0..8).map(|i| format!("system prompt {i}, long and dull. ").repeat(40)).collect();
    let mut out = String::new();
    for i in 0..lines {
        let system = &systems[random.usize(..8)];
        let words: String = (0..random.usize(1..200)).map(|_| format!("w{} ", random.u16(..5000))).collect();
        let line = match random.u8(..4) {
            0 => serde_json::json!({"messages": [{"role": "system", "content": system},
                {"role": "user", "content": words}, {"role": "assistant", "content": "yes, yes"},
                {"role": "user", "content": "and?"}, {"role": "assistant", "content": words}], "id": i}),
            1 => serde_json::json!({"prompt": [words, system], "id": i}),
            _ => serde_json::json!({"prompt": format!("{system}{words}"), "timestamp": i, "id": i}),
        };
        out.push_str(&format!("{line}\n"));
    }
    out
}

#[test]
fn any_number_of_threads_writes_the_same_bytes() {
    let input = log(3000, 1);
    for args in [&["-b", "16", "--keep", "id"][..], &["-b", "16", "--tokenizer", &model(), "--rate", "5"]] {
        let one = run("trace-hash", &[args, &["-j", "1"]].concat(), &input).ok();
        assert!(one.lines().count() > 3000);
        for more in [&["-j", "8"][..], &["-j", "2", "--reuse", "0"], &["-j", "3", "--reuse", "100k"]] {
            assert!(run("trace-hash", &[args, more].concat(), &input).ok() == one, "{args:?} {more:?}");
        }
    }
}

#[test]
fn a_bad_line_ends_the_run_while_more_is_read() {
    let folder = scratch();
    let text = "{\"prompt\": \"some words of a prompt\"}\n".repeat(10_000);
    write(folder.path(), "p.jsonl", text.clone() + "{\"prompt\": 7}\n" + &text.repeat(4));
    for round in 0..40 {
        let ran = shell(folder.path(), "timeout 60 trace-hash -j 1 --tokenizer bytes < p.jsonl > out");
        assert_eq!(ran.status, Some(1), "round {round}: {}", ran.stderr);
    }
}

#[test]
fn a_bad_line_keeps_its_place_among_threads() {
    let mut input: Vec<String> = log(3000, 2).lines().map(str::to_owned).collect();
    let good = input.join("\n") + "\n";
    for at in [2900, 1500] {
        input[at] = "{\"prompt\": 7}".to_owned();
    }
    let bad = input.join("\n") + "\n";
    let whole = run("trace-hash", &["-j", "8"], &good).ok();
    let ran = run("trace-hash", &["-j", "8"], &bad);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("trace-hash: -:1501: "), "{}", ran.stderr);
    assert!(whole.starts_with(&ran.stdout) && ran.stdout.lines().count() >= 1500);
    assert_eq!(ran.stdout, run("trace-hash", &["-j", "1"], &bad).stdout);

    let ran = run("trace-hash", &["-j", "8", "--skip-invalid"], &bad);
    assert!(ran.stderr.contains("skipped 2 invalid records (first: -:1501: "), "{}", ran.stderr);
    assert_eq!(ran.ok(), run("trace-hash", &["-j", "1", "--skip-invalid"], &bad).ok());
}

#[test]
fn bad_lines_of_later_files_are_named_by_file() {
    let folder = scratch();
    write(folder.path(), "a", "{\"prompt\": \"x\"}\n");
    write(folder.path(), "b", "\n{\"prompt\": \"x\"}\nnonsense\n");
    let ran = run_in(folder.path(), "trace-hash", &["a", "b"], "");
    assert_eq!(ran.stdout.lines().count(), 2);
    assert!(ran.stderr.starts_with("trace-hash: b:3: "), "{}", ran.stderr);
}

#[test]
fn parts_hashed_apart_are_one_trace() {
    let folder = scratch();
    let input: Vec<String> = log(2000, 3).lines().map(|line| format!("{line}\n")).collect();
    let whole = run("trace-hash", &["-b", "32"], input.concat()).ok();
    let parts: String = input
        .chunks(250)
        .map(|part| run("trace-hash", &["-b", "32", "--ids", "hash"], part.concat()).ok())
        .collect();
    let stats = |name: &str, trace: &str| {
        let path = write(folder.path(), name, trace);
        run("trace-stats", &["-b", "32", "--format", "json", &path], "").ok()
    };
    assert_eq!(stats("whole", &whole), stats("parts", &parts));
    for (dense, hashed) in lines(&whole).iter().zip(lines(&parts)) {
        assert_eq!(dense["input_length"], hashed["input_length"]);
        assert!(ids(&hashed).iter().all(|&id| id < 1 << 53));
    }
}

#[test]
fn hashes_are_keyed_shortened_and_written_as_asked() {
    let hash =
        |args: &[&str]| run("trace-hash", &[&["--ids", "hash", "-b", "4"], args].concat(), PROMPTS).ok();
    let all = |output: &str| lines(output).iter().flat_map(ids).collect::<Vec<u64>>();
    let (short, long) = (all(&hash(&[])), all(&hash(&["--hash-bits", "64"])));
    assert!(long.iter().any(|&id| id >= 1 << 53));
    assert!(short.iter().zip(&long).all(|(short, long)| *short == long & ((1 << 53) - 1)));
    let salted = all(&hash(&["--salt", "secret"]));
    assert!(short.iter().zip(&salted).all(|(a, b)| a != b) && salted == all(&hash(&["--salt=secret"])));
    let hex = lines(&hash(&["--ids-as", "string"]));
    let first = hex[0]["hash_ids"][0].as_str().unwrap();
    assert_eq!(u64::from_str_radix(first, 16).unwrap(), long[0]);
}

/// Tokens of every size of number.
const TOKENS: &str = "[5,300,70000,3000000000,23,24,255,256,65535,65536,2147483647,2147483648]";

/// The values are those of Python's pickle, cbor2 and hashlib; see the module `blocks`.
#[test]
fn engines_hashes_are_their_own() {
    let long = "ü".repeat(200);
    let input = format!("{{\"prompt_token_ids\": {TOKENS}}}\n");
    let found = |args: &[&str]| {
        let ids = ids(&lines(&run("trace-hash", args, &input).ok())[0]);
        (ids[0], *ids.last().unwrap())
    };
    for (size, salt, pickle, cbor) in [
        (
            "2",
            None,
            (3_364_497_180_225_621_994, 9_086_042_967_461_401_820),
            (1_147_926_317_637_940_850, 8_759_887_085_898_254_762),
        ),
        (
            "2",
            Some("pepper"),
            (884_679_807_711_113_199, 9_686_486_936_528_584_474),
            (3_621_045_121_255_941_762, 14_214_819_955_248_452_694),
        ),
        (
            "3",
            None,
            (9_759_298_902_603_268_901, 1_386_633_840_998_700_270),
            (10_612_930_557_909_911_495, 5_161_829_206_333_965_191),
        ),
        (
            "4",
            Some(&*long),
            (7_817_428_538_359_682_464, 14_185_991_695_078_676_264),
            (8_624_636_239_080_698_349, 7_270_780_993_598_801_875),
        ),
    ] {
        for (kind, expected) in [("vllm", pickle), ("vllm-cbor", cbor)] {
            let mut args = vec!["-b", size, "--ids", kind];
            args.extend(salt.iter().flat_map(|salt| ["--salt", salt, "--extra-keys", "bare"]));
            assert_eq!(found(&args), expected, "{args:?}");
        }
    }
    let seeded = found(&["-b", "2", "--ids", "vllm", "--hash-seed", "vllm-none-hash"]);
    assert_eq!(seeded, (3_364_497_180_225_621_994, 9_086_042_967_461_401_820));
    let digest = run("trace-hash", &["-b", "2", "--ids", "vllm", "--ids-as", "string"], &input).ok();
    let digest = lines(&digest)[0]["hash_ids"][0].as_str().unwrap().to_owned();
    assert_eq!(digest.len(), 64);
    assert_eq!(u64::from_str_radix(&digest[48..], 16).unwrap(), 3_364_497_180_225_621_994);

    let input = "{\"prompt_token_ids\": [1,2,3,4,5,6,7,8,9,10,11,12,13]}\n";
    let dynamo = run("trace-hash", &["-b", "4", "--ids", "dynamo"], input).ok();
    let expected = [14_643_705_804_678_351_452, 4_945_711_292_740_353_085, 12_583_592_247_330_656_132];
    assert_eq!(ids(&lines(&dynamo)[0]), expected);
    assert_eq!(lines(&dynamo)[0]["input_length"], 13);
    let with_tail = run("trace-hash", &["-b", "4", "--ids", "dynamo", "--partial", "keep"], input).ok();
    assert_eq!(ids(&lines(&with_tail)[0])[..3], expected);
    assert_eq!(lines(&with_tail)[0]["input_length"], 13);
}

/// What vLLM 0.33's own functions hash, with `PYTHONHASHSEED=7`: a pickle of so much has several frames.
#[test]
fn blocks_of_any_size_are_hashed_as_vllm_does() {
    let tokens: Vec<u32> = (0..30_000).map(|i| (i * 7919 + 13) % 152_064).collect();
    let plain = serde_json::json!({"token_ids": tokens});
    let salted = serde_json::json!({"token_ids": tokens, "cache_salt": "x".repeat(70_000)});
    let args = ["-b", "30000", "--ids", "vllm", "--ids-as", "string", "--hash-seed", "7"];
    let found = lines(&run("trace-hash", &args, format!("{plain}\n{salted}\n")).ok());
    assert_eq!(found[0]["hash_ids"][0], "fabe7db88e2364d32f6fa9c2d4a20ff29fa5f0b9042423969158b4e81104d15d");
    assert_eq!(found[1]["hash_ids"][0], "674a64b9e6b9604a72f8d8d08b70476a977f663b61f295976ce5a274e38b303c");
}

#[test]
fn thirty_days_number_like_one_run() {
    let folder = scratch();
    let input: Vec<String> = log(600, 4).lines().map(|line| format!("{line}\n")).collect();
    let args = ["-b", "16", "--state", "ids.bin"];
    let days: String =
        input.chunks(20).map(|day| run_in(folder.path(), "trace-hash", &args, day.concat()).ok()).collect();
    assert!(days == run("trace-hash", &["-b", "16"], input.concat()).ok());
    let blocks = lines(&days).iter().flat_map(ids).max().unwrap() + 1;
    let size = std::fs::metadata(folder.path().join("ids.bin")).unwrap().len();
    assert!(size < blocks * 12 + 1000, "{size} bytes for {blocks} blocks");
}

#[test]
fn a_state_of_something_else_is_refused() {
    let folder = scratch();
    let hash = |args: &[&str]| {
        run_in(folder.path(), "trace-hash", &[&["--state", "ids"], args].concat(), "{\"prompt\": \"x\"}\n")
    };
    hash(&["-b", "16"]).ok();
    let refused = |args: &[&str], words: &str| {
        let ran = hash(args);
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""), "{args:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    };
    refused(&["-b", "32"], "ids: its numbers were given with block size 16, this run has 32");
    refused(&["-b", "16", "--tokenizer", "bytes"], "with tokenizer o200k_base, this run has bytes");
    refused(&["-b", "16", "--salt", "x"], "given without a salt (--salt)");
    refused(&["-b", "16", "--chat-template", &model()], "chat template");
    refused(
        &["-b", "16", "--ignore-keys"],
        "with the keys of records used, such as model and LoRA (--ignore-keys)",
    );
    let path = folder.path().join("ids");
    let good = std::fs::read(&path).unwrap();
    let later = String::from_utf8_lossy(&good).replacen("version 2", "version 3", 1);
    std::fs::write(&path, later).unwrap();
    refused(&["-b", "16"], "this is \"kvtrace block numbers, version 3\"");
    std::fs::write(&path, &good[..good.len() - 1]).unwrap();
    refused(&["-b", "16"], "damaged");
    std::fs::write(&path, "something else").unwrap();
    refused(&["-b", "16"], "not a file of block numbers");
}

#[test]
fn numbers_that_were_written_are_saved_whatever_ends_the_run() {
    let folder = scratch();
    let args = ["--tokenizer", "bytes", "-b", "1", "--state", "ids"];
    let ran = run_in(folder.path(), "trace-hash", &args, "{\"prompt\": \"ab\"}\nbad\n");
    assert_eq!(ran.status, Some(1));
    assert_eq!(ids(&lines(&ran.stdout)[0]), [0, 1]);
    let next =
        run_in(folder.path(), "trace-hash", &args, "{\"prompt\": \"xab\"}\n{\"prompt\": \"abc\"}\n").ok();
    assert_eq!(ids(&lines(&next)[0]), [2, 3, 4]);
    assert_eq!(ids(&lines(&next)[1]), [0, 1, 5]);

    // A run that waits for more is ended by a signal; meanwhile no other run gets the file.
    let mut child = command("trace-hash")
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"{\"prompt\": \"new\"}\n").unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(ids(&lines(&line)[0]), [6, 7, 8]);
    let busy = run_in(folder.path(), "trace-hash", &args, "");
    assert_eq!((busy.status, &*busy.stderr), (Some(1), "trace-hash: ids: in use by another run\n"));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let next = run_in(folder.path(), "trace-hash", &args, "{\"prompt\": \"newer\"}\n").ok();
    assert_eq!(ids(&lines(&next)[0]), [6, 7, 8, 9, 10]);
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_state() {
    let folder = scratch();
    let path = folder.path().join("ids");
    let args = ["--tokenizer", "bytes", "-b", "1", "--state", "ids", "big"];
    let mut random = fastrand::Rng::with_seed(3);
    // Many distinct blocks, so that saving takes a while.
    let big: String = (0..40)
        .map(|_| format!("{{\"prompt\": \"{:064}{}\"}}\n", random.u64(..), "x".repeat(20_000)))
        .collect();
    write(folder.path(), "big", &big);
    let started = Instant::now();
    run_in(folder.path(), "trace-hash", &args, "").ok();
    let whole = started.elapsed();
    let states = [std::fs::read(&path).unwrap()];
    for _ in 0..25 {
        let mut child = command("trace-hash")
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole.mul_f64(random.f64()));
        child.kill().unwrap();
        child.wait().unwrap();
        // The numbering is complete already: whoever saves it saves the same.
        assert!(states.contains(&std::fs::read(&path).unwrap()));
    }
}

#[test]
fn times_are_converted_rebased_and_drawn() {
    let times = |args: &[&str], input: &str| -> Vec<String> {
        let output = run("trace-hash", args, input).ok();
        output.lines().map(|line| line[14..line.find(", ").unwrap()].to_owned()).collect()
    };
    let seconds = "{\"prompt\": \"\", \"timestamp\": 1711929600.5}\n{\"prompt\": \"\", \"timestamp\": 1711929601.123456}\n";
    assert_eq!(times(&["--timestamp-unit", "s"], seconds), ["1711929600500", "1711929601123.456"]);
    assert_eq!(times(&["--timestamp-unit", "s", "--rebase"], seconds), ["0", "623.456"]);
    assert_eq!(times(&[], seconds), ["1711929600.5", "1711929601.123456"]);
    let dates = "{\"prompt\": \"\", \"at\": {\"t\": \"2026-11-24T12:00:00Z\"}}\n{\"prompt\": \"\", \"at\": {\"t\": \"2026-11-24T13:00:00.25+01:00\"}}\n";
    let args = ["--timestamp-field", "at.t", "--timestamp-unit", "rfc3339"];
    assert_eq!(times(&args, dates), ["1795521600000", "1795521600250"]);
    assert_eq!(times(&[&args[..], &["--rebase"]].concat(), dates), ["0", "250"]);
    let text = "{\"prompt\": \"\", \"ts\": \"12.5\"}\n";
    assert_eq!(times(&["--timestamp-field", "ts"], text), ["12.5"]);

    let ran =
        run("trace-hash", &["--timestamp-unit", "rfc3339"], "{\"prompt\": \"\", \"timestamp\": \"noon\"}\n");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("trace-hash: -:1: \"noon\" is not a time such as"), "{}", ran.stderr);
    let ran = run("trace-hash", &["--timestamp-field", "ts"], "{\"prompt\": \"\"}\n");
    assert!(ran.stderr.contains("-:1: no field \"ts\" (from --timestamp-field)"), "{}", ran.stderr);
    let mixed = "{\"prompt\": \"\", \"timestamp\": 1}\n{\"prompt\": \"\", \"timestamp\": \"x\"}\n{\"prompt\": \"\", \"timestamp\": 3}\n";
    assert_eq!(times(&["--timestamp-unit", "s", "--skip-invalid", "-q"], mixed), ["1000", "3000"]);

    let many = "{\"prompt\": \"\"}\n".repeat(20_000);
    let drawn = times(&["--rate", "50", "--seed", "3"], &many);
    assert_eq!(drawn, times(&["--rate", "50", "--seed", "3", "-j", "1"], &many));
    assert!(drawn != times(&["--rate", "50", "--seed", "4"], &many));
    let numbers: Vec<f64> = drawn.iter().map(|time| time.parse().unwrap()).collect();
    let gaps: Vec<f64> = numbers.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!(numbers[0] == 0.0 && (mean - 20.0).abs() < 1.0, "{mean}");
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
}

#[test]
fn a_log_of_requests_is_told_from_chats() {
    let question = r#"{"role": "user", "content": "why?"}"#;
    let answer = r#"{"role": "assistant", "content": "because"}"#;
    let log =
        format!("{{\"messages\": [{question}]}}\n{{\"messages\": [{question}, {answer}, {question}]}}\n");
    let ran = run("trace-hash", &[], &log);
    assert_eq!(lines(&ran.stdout).len(), 2);
    assert!(ran.stderr.contains("1 chat with answers in it is taken as one request"), "{}", ran.stderr);
    let told = run("trace-hash", &["--turns", "last"], &log);
    assert_eq!((told.stdout, &*told.stderr), (ran.stdout, ""));
    let said = r#"{"from": "human", "value": "why?"}, {"from": "gpt", "value": "so"}"#;
    let cut = format!("{{\"conversations\": [{said}, {said}, {{\"from\": \"human\", \"value\": \"?\"}}]}}\n");
    let ran = run("trace-hash", &[], &cut);
    assert_eq!(lines(&ran.stdout).len(), 2);
    assert!(ran.stderr.contains("1 whole chat ends with a question, which is left out"), "{}", ran.stderr);
    assert!(ran.stderr.contains("use --turns last"), "{}", ran.stderr);
    let chat = format!("{{\"messages\": [{question}, {answer}]}}\n");
    for (args, input) in
        [(&["--turns", "last"][..], &log), (&["--turns", "each"], &log), (&["-q"], &log), (&[], &chat)]
    {
        let args = [args, &["--output-length", "1"]].concat();
        assert_eq!(run("trace-hash", &args, input).stderr, "", "{args:?}");
    }
}

#[test]
fn times_in_another_unit_are_doubted() {
    let log = "{\"prompt\": \"x\", \"created\": 1764000000}\n";
    let of =
        |more: &[&str]| run("trace-hash", &[&["--timestamp-field", "created"], more].concat(), log).stderr;
    for args in [&[][..], &["--rebase"]] {
        assert!(
            of(args).ends_with(
                "times look like seconds since 1970, but count as milliseconds: use --timestamp-unit s\n"
            ),
            "{}",
            of(args)
        );
    }
    for args in [&["--timestamp-unit", "s"][..], &["--timestamp-unit", "ms"], &["-q"]] {
        assert_eq!(of(args), "", "{args:?}");
    }
}

#[test]
fn the_block_size_can_be_written_into_the_trace() {
    let output = run("trace-hash", &["-b", "16", "--emit-block-size"], PROMPTS).ok();
    assert!(lines(&output).iter().all(|line| line["block_size"] == 16));
    let plain = run("trace-hash", &["-b", "16"], PROMPTS).ok();
    let told = run("trace-stats", &["-b", "16", "--format", "json"], &plain).ok();
    assert_eq!(run("trace-stats", &["--format", "json"], &output).ok(), told);
}

#[test]
fn the_limit_of_memory_names_the_way_out() {
    let input = log(300, 5);
    let ran = run("trace-hash", &["-b", "1", "--max-memory", "10k"], &input);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("--max-memory (10000 bytes); --ids hash needs no memory"), "{}", ran.stderr);
    assert!(ran.stdout.ends_with('\n') || ran.stdout.is_empty());
    run("trace-hash", &["-b", "1", "--max-memory", "10M"], &input).ok();
    run("trace-hash", &["-b", "1", "--ids", "hash", "--max-memory", "10k"], &input).ok();
}

/// What a template makes of a chat is the prompt that has the same text.
fn assert_rendered(args: &[&str], chat: &str, expected: &[&str]) {
    let args = [args, &["--tokenizer", "bytes", "-b", "1"]].concat();
    let found = run("trace-hash", &args, chat).ok();
    let prompts: String =
        expected.iter().map(|text| format!("{}\n", serde_json::json!({"prompt": text}))).collect();
    let expected = run("trace-hash", &args, prompts).ok();
    for (found, expected) in lines(&found).iter().zip(lines(&expected)) {
        assert_eq!(found["hash_ids"], expected["hash_ids"], "{chat}");
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn templates_see_messages_tools_and_tokens() {
    let folder = scratch();
    let template = "{{ bos_token }}{% if tools %}[{% for t in tools %}{{ t | tojson }}{% endfor %}]{% endif %}
{% for m in messages -%}
  {{ m.role }}={{ m['content'] | trim }}{% if m.tool_calls is defined %}!{{ m.tool_calls[0].function.arguments | tojson }}{% endif %};
{%- endfor %}
{%- if add_generation_prompt %}>{% endif %}{{ thinking }}{{ none }}{{ true }}";
    let path = write(folder.path(), "chat.jinja", template);
    write(folder.path(), "tokenizer_config.json", "{\"bos_token\": {\"content\": \"<s>\"}}");
    let args = ["--chat-template", &path];
    let chat = r#"{"messages": [{"role": "user", "content": " hi "}, {"role": "assistant", "content": "yo", "tool_calls": [{"function": {"name": "f", "arguments": {"b": 1, "a": ["é", "<"]}}}]}, {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}], "tools": [{"z": 1, "a": 2.5}], "chat_template_kwargs": {"thinking": "T"}}"#;
    let tools = "<s>[{\"z\": 1, \"a\": 2.5}]user=hi;";
    let each = [&args[..], &["--turns", "each"]].concat();
    assert_rendered(&each, chat, &[&format!("{tools}>TNoneTrue")]);
    let whole = format!("{tools}assistant=yo!{{\"b\": 1, \"a\": [\"é\", \"<\"]}};user=x\ny;>TNoneTrue");
    assert_rendered(&[&args[..], &["--turns", "last"]].concat(), chat, &[&whole]);
    let sharegpt = r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]}"#;
    assert_rendered(&args, sharegpt, &["<s>user=a;>NoneTrue", "<s>user=a;assistant=b;user=c;>NoneTrue"]);
}

#[test]
fn a_models_folder_gives_tokenizer_and_template() {
    let chat = r#"{"messages": [{"role": "user", "content": "the user "}]}"#;
    let text = "<|begin|><|im_start|>user\nthe user<|im_end|>\n<|im_start|>assistant\n";
    let prompt = serde_json::json!({"prompt": text}).to_string();
    let args = ["--tokenizer", &model(), "-b", "1", "--ids", "hash"];
    let found = run("trace-hash", &args, chat).ok();
    assert_eq!(lines(&found)[0]["hash_ids"], lines(&run("trace-hash", &args, prompt).ok())[0]["hash_ids"]);
    // The markers are tokens of their own.
    let plain = run("trace-hash", &["--tokenizer", "bytes", "-b", "1"], chat).ok();
    assert!(lines(&found)[0]["input_length"].as_u64() < lines(&plain)[0]["input_length"].as_u64());
    let length = |args: &[&str]| {
        let model = model();
        let args = [&["--tokenizer", &*model], args].concat();
        lines(&run("trace-hash", &args, "{\"prompt\": \"the user\"}").ok())[0]["input_length"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(length(&["--add-special-tokens"]), length(&[]) + 1);
}

#[test]
fn templates_that_fail_say_where() {
    let folder = scratch();
    let bad = write(folder.path(), "bad.jinja", "ok\n{% for %}\n");
    let ran = run("trace-hash", &["--chat-template", &bad], "");
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.stderr.starts_with(&format!("trace-hash: {bad}:2: chat template: syntax error")),
        "{}",
        ran.stderr
    );

    let chat = "{\"prompt\": \"x\"}\n{\"messages\": [{\"role\": \"wizard\", \"content\": \"x\"}]}\n";
    let ran = run("trace-hash", &["--tokenizer", &model()], chat);
    assert_eq!((ran.status, ran.stdout.lines().count()), (Some(1), 1));
    assert!(ran.stderr.contains("-:2: chat template line 1: unknown role wizard"), "{}", ran.stderr);

    let wrong = write(folder.path(), "wrong.jinja", "\n\n{{ messages[0].content.nothing.at.all }}");
    let ran = run(
        "trace-hash",
        &["--chat-template", &wrong],
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n",
    );
    assert!(ran.stderr.contains("-:1: chat template line 3: "), "{}", ran.stderr);

    let empty = write(folder.path(), "tokenizer_config.json", "{}");
    let ran = run("trace-hash", &["--chat-template", &empty], "");
    assert!(ran.stderr.contains("no field \"chat_template\""), "{}", ran.stderr);
    let ran = run("trace-hash", &["--chat-template", folder.path().to_str().unwrap()], "");
    assert!(ran.stderr.contains("no chat template in this folder"), "{}", ran.stderr);
    let ran = run("trace-hash", &["--chat-template", "/nonexistent/x"], "");
    assert_eq!(ran.stderr, "trace-hash: /nonexistent/x: No such file or directory\n");
}

#[test]
fn tokenizer_files_that_cannot_be_used_are_named() {
    let folder = scratch();
    let good = std::fs::read_to_string(Path::new(&model()).join("tokenizer.json")).unwrap();
    let path = |name: &str, text: &str| write(folder.path(), name, text);
    for (file, words) in [
        (path("empty.json", ""), "not a usable tokenizer file"),
        (path("cut.json", &good[..good.len() / 2]), "not a usable tokenizer file: EOF"),
        (path("other.json", "{\"a\": 1}"), "not a usable tokenizer file"),
        (path("model.json", &good.replace("\"BPE\"", "\"XYZ\"")), "not a usable tokenizer file"),
        (path("merge.json", &good.replace("\"t h\"", "\"t zzz\"")), "not a usable tokenizer file"),
        ("/nonexistent/tokenizer.json".to_owned(), "No such file"),
    ] {
        let ran = run("trace-hash", &["--tokenizer", &file], "{\"prompt\": \"x\"}\n");
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""), "{file}: {}", ran.stderr);
        assert!(ran.stderr.starts_with(&format!("trace-hash: {file}: ")), "{file}: {}", ran.stderr);
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{file}: {}", ran.stderr);
    }
    let ran = run("trace-hash", &["--tokenizer", "gpt2"], "");
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("'gpt2' is neither o200k_base or bytes nor a file"), "{}", ran.stderr);
}

/// A tokenizer of whole words is none that we read ourselves.
#[test]
fn other_kinds_of_tokenizers_are_left_to_the_library() {
    let folder = scratch();
    let file = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "decoder": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "the": 1, "user": 2}}
    });
    let path = write(folder.path(), "tokenizer.json", file.to_string());
    let args = ["--tokenizer", &path, "-b", "1", "--ids", "hash"];
    let tokens = |input: &str| lines(&run("trace-hash", &args, input).ok())[0]["hash_ids"].clone();
    assert_eq!(tokens("{\"prompt\": \"the user  the wizard\"}"), tokens("{\"input_ids\": [1, 2, 1, 0]}"));
    // The turns of a chat are not cut apart.
    let chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"the user\"}]}";
    assert_eq!(
        tokens(chat),
        tokens("{\"prompt\": \"<|im_start|>user\\nthe user<|im_end|>\\n<|im_start|>assistant\\n\"}")
    );
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (args, words) in [
        (&["--hash-bits", "64"][..], "--hash-bits and --ids-as need --ids"),
        (&["--ids-as", "string"], "--hash-bits and --ids-as need --ids"),
        (&["--ids", "hash", "--state", "x"], "--state"),
        (&["--ids", "hash", "--hash-seed", "0"], "--hash-seed needs"),
        (&["--salt="], "an empty text is no salt"),
        (&["--ids", "vllm", "--partial", "keep"], "--partial keep"),
        (&["--ids", "dynamo"], "--block-size"),
        (&["--rate", "1", "--rebase"], "--rate draws all times"),
        (&["--text", "--timestamp-unit", "s"], "--text lines have no field"),
        (&["--rate", "0"], "'0' is not between 1e-9 and 1e9"),
        (&["-j", "0"], "above zero"),
        (&["-j", "5000"], "too many"),
        (&["--ids", "hsah"], "did you mean hash?"),
    ] {
        let ran = run("trace-hash", args, "");
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn one_huge_prompt_is_a_prompt() {
    let words = "the user and others in other places, ".repeat(60 << 20 >> 5).into_bytes();
    let prompt = String::from_utf8(words[..60 << 20].to_vec()).unwrap();
    let line = format!("{{\"prompt\": \"{prompt}\"}}\n");
    let output = lines(&run("trace-hash", &["--tokenizer", "bytes"], &line).ok());
    assert_eq!(output[0]["input_length"], 60 << 20);
    assert_eq!(ids(&output[0]).len(), (60 << 20) / 512);
    let output = lines(&run("trace-hash", &["--tokenizer", &model()], &line).ok());
    assert!(output[0]["input_length"].as_u64().unwrap() > 10 << 20);
}

#[test]
fn a_reader_that_leaves_ends_a_run_that_waits() {
    let mut child = command("trace-hash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"{\"prompt\": \"x\"}\n").unwrap();
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    // The next line cannot be written, or one soon after it: a program that another test starts at this moment
    // has the pipe, too, until it is the program. The input stays open.
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60));
        stdin.write_all(b"{\"prompt\": \"x\"}\n").ok();
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!((ran.status, &*ran.stderr), (Some(0), ""));
    drop(stdin);
}

#[test]
fn what_has_no_block_counts_all_the_same() {
    let prompts = "{\"prompt_token_ids\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]}\n".repeat(2);
    let trace = run("trace-hash", &["-b", "16", "--partial", "drop"], &prompts).ok();
    for line in lines(&trace) {
        assert_eq!((&line["input_length"], ids(&line)), (&serde_json::json!(18), vec![0]));
    }
    // As vLLM counts it: 16 of 36 tokens.
    for args in [&["--hits=engine"][..], &["--policy=vllm", "-c9"], &[]] {
        let report = run("trace-stats", &[args, &["-f", "json"]].concat(), &trace).ok();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!((&report["cached_tokens"], &report["input_tokens"]), (&16.into(), &36.into()), "{args:?}");
    }
    // The other filters take it as it is.
    assert_eq!(run("trace-cat", &["--check"], &trace).status, Some(0));
    assert_eq!(run("trace-cat", &["--renumber"], &trace).ok(), trace);
    let pieces = run("trace-stats", &["--partial"], &trace).ok();
    let merged = run("trace-stats", &["--merge", "-f", "json"], &pieces).ok();
    assert_eq!(merged, run("trace-stats", &["-f", "json"], &trace).ok());
    let synthetic = run("trace-synth", &["-n", "20", "--seed", "1", "--min-count", "1"], &trace).ok();
    assert_eq!(run("trace-cat", &["--check"], &synthetic).status, Some(0));
}

/// What vLLM 0.33's own functions hash (`get_request_block_hasher` with `PYTHONHASHSEED=7`): the digest of the
/// second block, in each of its algorithms.
#[test]
fn every_algorithm_of_vllm_hashes_salts_and_adapters_as_it_does() {
    let tokens = "\"prompt_token_ids\": [1,2,3,70000,5,300,7,8,9]";
    let lora = "\"lora_request\": {\"lora_name\": \"ad\", \"lora_path\": \"/x\"}";
    let input = format!(
        "{{{tokens}}}\n{{{tokens}, \"cache_salt\": \"abc\"}}\n{{{tokens}, {lora}}}\n\
         {{{tokens}, \"cache_salt\": \"abc\", {lora}}}\n"
    );
    for (kind, expected) in [
        (
            "vllm",
            [
                "d23f3e9c8e7a58a7aad8437067d18e794af04c806014d0c0300fd68e1cf503b8",
                "72e719eb17ba44825fc4d4c5953bf86b00bcdd63c9a030118988f0aee6682eae",
                "9c7f181ac980a4ce0da0fe2f509618b312432cd0e38739f1dcc951de4e1769f0",
                "d7de4dea1665a7e6b7efb799bd4e1ef098b6f59ae05520c5846317fe53a1d039",
            ],
        ),
        (
            "vllm-cbor",
            [
                "94283b11443d32b1a41d86d44fa4979fe1e6b3cbdbd54cb138987a4b2237260e",
                "e31bd28248ffea948869fde2d45fd4b92202f69b78200580a31b8a7f92ddb5d8",
                "05efe2f674b98bfe96ec4434a000dad318a5c42b6c61c1866f51509ca6e8b087",
                "86ef6e1525ea0854e4baa25973658f1f6685b0f1c2872da8ad83764769092ac6",
            ],
        ),
        (
            "vllm-xxhash",
            [
                "cfbda7a613a9d1b21de8c2d051310fec",
                "9d9395f23822304074dad8b3166c7ee8",
                "02dbebad3373c6739f3f270f18fe9dff",
                "7811573e4b32dcee5ea6236a02978dd0",
            ],
        ),
        (
            "vllm-xxhash-cbor",
            [
                "f407c47a15a7f173f41c3261bd4f0d59",
                "da6e084d12bcf41e3c745cb0f8d2f26e",
                "d4733f7681aaa42e5120af464f6768a6",
                "939f18c6259c99a6cb263366113070a9",
            ],
        ),
    ] {
        let args = ["-b", "4", "--ids", kind, "--hash-seed", "7"];
        let digests = run("trace-hash", &[&args[..], &["--ids-as", "string"]].concat(), &input).ok();
        let numbers = run("trace-hash", &[&args[..], &["--hash-bits", "64"]].concat(), &input).ok();
        for ((digest, number), expected) in lines(&digests).iter().zip(lines(&numbers)).zip(expected) {
            assert_eq!(digest["hash_ids"][1], expected, "{kind}");
            let low = u64::from_str_radix(&expected[expected.len() - 16..], 16).unwrap();
            assert_eq!(ids(&number)[1], low, "{kind}");
        }
        let unseeded = run("trace-hash", &args[..4], &input);
        assert_eq!(unseeded.status, Some(if kind.contains("xxhash") { 2 } else { 0 }), "{}", unseeded.stderr);
    }
}
