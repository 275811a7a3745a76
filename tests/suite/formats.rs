//! Every format of traces through every filter: the same requests, whoever reads them.
//!
//! The samples are made by hand after the descriptions of the formats.

use crate::support::{Ran, real, run, run_in, scratch, shell, write};
use serde_json::{Value, json};

/// A format by its name, and a sample of it with the block size to be given, if any.
pub(crate) const SAMPLES: &[(&str, &str, Option<&str>)] = &[
    ("mooncake", include_str!("../samples/mooncake.jsonl"), None),
    ("aiperf", include_str!("../samples/aiperf.jsonl"), None),
    ("bailian", include_str!("../samples/bailian.jsonl"), None),
    ("dynamo", include_str!("../samples/dynamo.jsonl"), None),
    ("agentic", include_str!("../samples/agentic.jsonl"), None),
    ("weka", include_str!("../samples/weka.jsonl"), None),
    ("tracelab", include_str!("../samples/tracelab.jsonl"), None),
    ("tracelab-replay", include_str!("../samples/tracelab-replay.csv"), None),
    ("claude-code", include_str!("../samples/claude-code.jsonl"), None),
    ("codex", include_str!("../samples/codex.jsonl"), None),
    ("copilot", include_str!("../samples/copilot.jsonl"), None),
    ("otel", include_str!("../samples/otel.jsonl"), None),
    ("langfuse", include_str!("../samples/langfuse.jsonl"), None),
    ("litellm", include_str!("../samples/litellm.jsonl"), None),
    ("bedrock", include_str!("../samples/bedrock.jsonl"), None),
    ("usage", include_str!("../samples/usage.jsonl"), None),
    ("aiperf-export", include_str!("../samples/aiperf-export.jsonl"), None),
    ("aiperf-export", include_str!("../samples/aiperf-export-raw.jsonl"), None),
    ("bench", include_str!("../samples/bench.json"), None),
    ("kv-events", include_str!("../samples/kv-events.jsonl"), None),
    ("vllm-log", include_str!("../samples/vllm-log.txt"), None),
    ("sglang-log", include_str!("../samples/sglang-log.txt"), None),
    ("llmservingsim", include_str!("../samples/llmservingsim.jsonl"), None),
    ("aibrix", include_str!("../samples/aibrix.jsonl"), None),
    ("lmcache", include_str!("../samples/lmcache.jsonl"), None),
    ("tair", include_str!("../samples/tair.jsonl"), Some("512")),
    ("kvcache-simulator", include_str!("../samples/kvcache-simulator.jsonl"), None),
    ("burstgpt", include_str!("../samples/burstgpt.csv"), None),
    ("azure", include_str!("../samples/azure.csv"), None),
    ("vidur", include_str!("../samples/vidur.csv"), None),
    ("csv", include_str!("../samples/csv.csv"), None),
    ("dates", include_str!("../samples/dates.jsonl"), None),
    ("guidellm", include_str!("../samples/guidellm.jsonl"), None),
    ("vllm", include_str!("../samples/vllm.jsonl"), None),
];

/// Formats that a first record does not tell.
pub(crate) const NAMED: [&str; 2] = ["guidellm", "vllm"];

fn block_size(size: Option<&'static str>) -> Vec<&'static str> {
    size.map(|size| vec!["-b", size]).unwrap_or_default()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn cat(input: &str) -> Vec<Value> {
    rows(&run("trace-cat", &["-q"], input).ok())
}

#[test]
fn every_filter_reads_every_format_alike() {
    for &(format, sample, size) in SAMPLES {
        let named = ["--from-format", format];
        let with = |more: &[&'static str]| [more, &block_size(size)].concat();
        let ways = if NAMED.contains(&format) { vec![named.to_vec()] } else { vec![named.to_vec(), vec![]] };
        let trace = run("trace-cat", &[&named[..], &with(&["-q"])].concat(), sample).ok();
        assert!(trace.lines().count() > 1, "{format}: {trace}");
        let check = run("trace-cat", &with(&["--check"]), &trace);
        assert_eq!(check.status, Some(0), "{format}: {}", check.stdout);
        let stats = with(&["--format", "json", "--capacity", "2,100", "--top", "3"]);
        let figures = run("trace-stats", &stats, &trace).ok();
        let synth = with(&["-q", "-n", "20", "--seed", "3", "--min-count=1"]);
        let synthetic = run("trace-synth", &synth, &trace).ok();
        for way in ways {
            let found = run("trace-stats", &[&way[..], &stats].concat(), sample);
            assert_eq!(
                without_ids(&found.stdout),
                without_ids(&figures),
                "{format} {way:?}: {}",
                found.stderr
            );
            let synthesised = run("trace-synth", &[&way[..], &synth].concat(), sample).ok();
            assert_eq!(synthesised, synthetic, "{format} {way:?}");
            let converted = run("trace-cat", &[&way[..], &with(&["--renumber"])].concat(), sample);
            let expected = run("trace-cat", &with(&["-q", "--renumber"]), &trace).ok();
            assert_eq!(converted.stdout, expected, "{format} {way:?}");
            let is_said = converted.stderr.contains(&format!("read as {format}"));
            assert_eq!(is_said, way.is_empty() && format != "mooncake", "{format}: {}", converted.stderr);
        }
    }
}

/// A report without the ids of blocks and the lines of requests, which conversion may change.
fn without_ids(report: &str) -> Value {
    let mut report: Value = serde_json::from_str(report).unwrap();
    for row in report["top"].as_array_mut().into_iter().flatten() {
        row.as_object_mut().unwrap().retain(|name, _| !["id", "line"].iter().any(|part| name.contains(part)));
    }
    if let Some(recorded) = report["recorded"].as_object_mut() {
        recorded.remove("first_beyond_line");
    }
    report
}

#[test]
fn nothing_of_what_was_said_is_kept() {
    for &(format, sample, size) in SAMPLES {
        let args = [&["-q", "--from-format", format][..], &block_size(size)].concat();
        assert!(!run("trace-cat", &args, sample).ok().contains("secret"), "{format}");
    }
}

#[test]
fn a_record_of_another_format_is_an_error_with_its_line() {
    let sample = |name: &str| SAMPLES.iter().find(|(format, ..)| *format == name).unwrap().1;
    for (first, other) in [
        ("mooncake", "bailian"),
        ("mooncake", "weka"),
        ("mooncake", "agentic"),
        ("bailian", "mooncake"),
        ("weka", "mooncake"),
        ("lmcache", "mooncake"),
        ("claude-code", "weka"),
        ("dynamo", "lmcache"),
    ] {
        let lines = sample(first).lines().count();
        let other_line = sample(other).lines().last().unwrap();
        let mixed = format!("{}{other_line}\n", sample(first));
        for filter in ["trace-cat", "trace-stats", "trace-synth"] {
            let ran = run(filter, &[], &mixed);
            let place = format!("{filter}: -:{}: ", lines + 1);
            assert_eq!(ran.status, Some(1), "{first} {other}");
            assert!(
                ran.stderr.contains(&place) && ran.stderr.contains(other),
                "{first} {other}: {}",
                ran.stderr
            );
            assert_eq!(ran.stderr.matches("in a file that begins with").count(), 1, "{}", ran.stderr);
        }
    }
}

#[test]
fn a_first_line_that_is_nothing_leaves_the_format_to_the_next() {
    for name in ["weka", "bailian", "claude-code", "azure", "mooncake"] {
        let (_, sample, _) = SAMPLES.iter().find(|(format, ..)| *format == name).unwrap();
        let expected = run("trace-cat", &["-q"], sample).ok();
        let damaged = format!("{{\"timest\nnoise\n{sample}");
        assert_eq!(run("trace-cat", &["-q", "--skip-invalid"], &damaged).ok(), expected, "{name}");
        let ran = run("trace-cat", &[], &damaged);
        assert!(ran.status == Some(1) && ran.stderr.starts_with("trace-cat: -:1: "), "{}", ran.stderr);
    }
}

#[test]
fn a_file_for_another_filter_names_it() {
    let prompt = "{\"prompt\": \"a\"}";
    for filter in ["trace-cat", "trace-stats", "trace-synth"] {
        let ran = run(filter, &[], prompt);
        assert!(ran.status == Some(1) && ran.stderr.contains("trace-hash"), "{}", ran.stderr);
    }
    for (format, sample, _) in SAMPLES {
        let ran = run("trace-hash", &["-q"], sample);
        if ran.status == Some(1) {
            let says = ["trace-stats", "(see --text)", "--text"].iter().any(|text| ran.stderr.contains(text));
            assert!(says, "{format}: {}", ran.stderr);
        }
    }
    let ran = run("trace-hash", &[], SAMPLES[5].1);
    assert!(ran.stderr.contains("a record of a trace (weka)"), "{}", ran.stderr);
}

#[test]
fn conversations_of_weka_have_absolute_times_and_agents_have_sessions() {
    let sample = include_str!("../samples/weka.jsonl");
    let found = cat(sample);
    let column = |name: &str| found.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("timestamp")[..4], [json!(0), json!(900_500), json!(904_250), json!(950_000)]);
    assert_eq!(
        column("session_id")[..4],
        [json!("c1"), json!("c1:agent_001"), json!("c1:agent_001"), json!("c1")]
    );
    assert_eq!(column("parent_session_id")[1], json!("c1"));
    let ids = column("hash_ids");
    assert_eq!(ids[..4], [json!([0, 1]), json!([0]), json!([0, 2]), json!([0, 1, 3])]);
    assert_eq!(ids[4..], [json!([4, 5]), json!([4]), json!([4, 6]), json!([4, 5, 7])]);
    // A library reads what the fast way leaves out.
    let unusual = sample.replace("\"n\"", "\"\\u006e\"");
    let spaced = sample.replace(':', " : ").replace(',', " ,\t");
    for other in [unusual, spaced] {
        assert_eq!(cat(&other), found);
    }
    let global = sample.replace("local", "global");
    assert_eq!(cat(&global)[4]["hash_ids"], json!([1, 2]));
    let ran = run("trace-cat", &[], sample.replace("local", "planet"));
    assert!(ran.stderr.contains("expected \"local\" or \"global\""), "{}", ran.stderr);
}

#[test]
fn real_agents_have_the_figures_of_a_naive_reading() {
    let (Some(trace), Some(golden)) = (real("traces/agentic.jsonl.zst"), real("golden/agentic.json")) else {
        return;
    };
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let folder = scratch();
    std::os::unix::fs::symlink(&trace, folder.path().join("agentic.jsonl.zst")).unwrap();
    let command =
        "trace-cat -q --sort agentic.jsonl.zst | trace-stats -q -f json --capacity 2000,20000,100000";
    let report: Value = serde_json::from_str(&shell(folder.path(), command).ok()).unwrap();
    for name in [
        "requests",
        "block_size",
        "blocks",
        "unique_blocks",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
    ] {
        assert_eq!(report[name], golden[name], "{name}");
    }
    for (found, expected) in
        report["capacity"].as_array().unwrap().iter().zip(golden["lru"].as_array().unwrap())
    {
        assert_eq!(found["hit_tokens"], expected["hit_tokens"]);
    }
    let direct = "trace-stats -q -f json agentic.jsonl.zst";
    let report: Value = serde_json::from_str(&shell(folder.path(), direct).ok()).unwrap();
    assert_eq!(report["cached_tokens"], golden["cached_tokens"]);
}

#[test]
fn increments_are_found_out_and_become_whole_prompts() {
    let sample = include_str!("../samples/aiperf.jsonl");
    let ran = run("trace-cat", &[], sample);
    assert!(ran.stderr.contains("hold only what is new"), "{}", ran.stderr);
    let found = rows(&ran.ok());
    let lengths: Vec<_> = found.iter().map(|row| row["input_length"].as_u64().unwrap()).collect();
    assert_eq!(lengths, [2048, 2048 + 100 + 600, 512, 2748 + 100 + 500]);
    assert_eq!(found[1]["delay"], json!(12219.3));
    assert_eq!(found[1].get("timestamp"), None);
    let ids: Vec<Vec<u64>> =
        found.iter().map(|row| serde_json::from_value(row["hash_ids"].clone()).unwrap()).collect();
    assert_eq!(ids[1][..4], ids[0]);
    assert_eq!(ids[3][..5], ids[1][..5]);
    // Rows of whole prompts stay as they are, and so do rows with times.
    for whole in [
        sample.replace("[4,5]", "[0,5]").replace("[6]", "[0]"),
        sample.replace("\"delay\"", "\"timestamp\""),
        sample.replace("\"session_id\"", "\"other\""),
    ] {
        assert_eq!(run("trace-cat", &["-q"], &whole).ok(), whole);
    }
    // What could be either has been written already.
    let late = sample.replacen("600", "1200", 1).replacen("[4,5]", "[4,5,7]", 1);
    let late = late + "{\"session_id\": \"t\", \"delay\": 1, \"input_length\": 5, \"hash_ids\": [9]}\n";
    let late = late.replacen("1200", "2100", 1).replacen("[4,5,7]", "[4,5,7,8,9]", 1);
    let ran = run("trace-cat", &["-q"], &late);
    assert!(ran.status == Some(1) && ran.stderr.contains("give --from-format aiperf"), "{}", ran.stderr);
}

#[test]
fn rows_that_may_hold_only_what_is_new_are_told() {
    let row = |start: &str, length: u64, ids: &str| {
        format!("{{\"session_id\": \"s\", {start}, \"input_length\": {length}, \"hash_ids\": {ids}}}\n")
    };
    let grows = row("\"timestamp\": 0", 600, "[0, 1]") + &row("\"delay\": 1", 700, "[2, 3]");
    let ran = run("trace-cat", &[], &grows);
    assert!(ran.stderr.contains("give --from-format aiperf"), "{}", ran.stderr);
    assert_eq!(ran.ok(), grows);
    // A row of less than a block may be in the first block of the whole prompt that follows.
    let short = row("\"timestamp\": 0", 300, "[0]") + &row("\"delay\": 1", 700, "[2, 3]");
    assert_eq!(run("trace-cat", &[], &short).stderr, "");
    let goes_on = row("\"timestamp\": 0", 600, "[0, 1]") + &row("\"delay\": 1", 700, "[0, 2]");
    assert_eq!(run("trace-cat", &[], &goes_on).stderr, "");
}

#[test]
fn delays_survive_and_follow_the_pace() {
    let sample = include_str!("../samples/aiperf.jsonl");
    let args = ["-f", "aiperf", "--turns", "incremental", "-t", "aiperf"];
    let found = rows(&run("trace-cat", &args, sample).ok());
    let expected = rows(sample);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        for name in ["session_id", "input_length", "output_length", "hash_ids"] {
            assert_eq!(found[name], expected[name], "{name}");
        }
        for name in ["delay", "timestamp"] {
            assert_eq!(found[name].as_f64(), expected[name].as_f64(), "{name}");
        }
    }
    let half = run("trace-cat", &["-q", "-f", "mooncake", "--speedup-ratio", "2"], sample).ok();
    assert_eq!(rows(&half)[1]["delay"], json!(6109.65));
    let fast = rows(&run("trace-cat", &[&args[..], &["--speedup-ratio", "2"]].concat(), sample).ok());
    assert_eq!((&fast[1]["delay"], &fast[2]["timestamp"]), (&json!(6109.65), &json!(2)));
}

#[test]
fn recorded_calls_share_what_the_server_had_in_its_cache() {
    let found = cat(include_str!("../samples/claude-code.jsonl"));
    let column = |name: &str| found.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("input_length"), [json!(510), json!(585), json!(300), json!(603)]);
    assert_eq!(column("cached_tokens"), [json!(0), json!(500), json!(0), json!(580)]);
    assert_eq!(column("session_id"), [json!("a"), json!("a"), json!("a:x"), json!("a")]);
    assert_eq!(column("parent_session_id")[2], json!("a"));
    assert_eq!(column("timestamp"), [json!(0), json!(2000), json!(2500), json!(8000)]);
    // 500 cached tokens are seven blocks of 64, and 580 are nine.
    assert_eq!(column("hash_ids")[1], json!([0, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(column("hash_ids")[0], json!([0, 1, 2, 3, 4, 5, 6]));
    assert_eq!(column("hash_ids")[3], json!([0, 1, 2, 3, 4, 5, 6, 7, 8]));
    let found = cat(include_str!("../samples/codex.jsonl"));
    assert_eq!(
        found
            .iter()
            .map(|row| (row["input_length"].clone(), row["cached_tokens"].clone()))
            .collect::<Vec<_>>(),
        [(json!(900), json!(128)), (json!(1100), json!(896))]
    );
    assert_eq!((&found[1]["session_id"], &found[1]["model"]), (&json!("sess"), &json!("gpt-5")));
    let found = cat(include_str!("../samples/copilot.jsonl"));
    assert_eq!(found.len(), 4);
    assert_eq!(found[3].get("hash_ids"), None, "an unknown prefix is not an empty one");
    let found = cat(include_str!("../samples/otel.jsonl"));
    let lengths: Vec<_> = found.iter().map(|row| row["input_length"].clone()).collect();
    assert_eq!(lengths, [json!(600), json!(700), json!(14)]);
    assert_eq!(found[1]["hash_ids"].as_array().unwrap()[..8], found[0]["hash_ids"].as_array().unwrap()[..8]);
    let found = cat(include_str!("../samples/langfuse.jsonl"));
    assert_eq!(
        found.iter().map(|row| row["input_length"].clone()).collect::<Vec<_>>(),
        [json!(612), json!(626), json!(70)]
    );
    let found = cat(include_str!("../samples/bedrock.jsonl"));
    assert_eq!(found[1]["input_length"], json!(15 + 1024 + 3));
    let found = cat(include_str!("../samples/usage.jsonl"));
    assert_eq!(
        found.iter().map(|row| row["input_length"].clone()).collect::<Vec<_>>(),
        [json!(310), json!(400), json!(413)]
    );
}

#[test]
fn calls_without_the_length_of_their_prompt_are_counted() {
    let copilot = r#"{"session_id": "s", "turns": [{"llm_calls": [
        {"timestamp": "2026-05-01T00:00:00Z", "tokens": {"prompt": 9}}, {"tokens": {"prompt": null}}, {"tokens": null}]}]}"#
        .replace('\n', "");
    let langfuse = r#"{"id": "1", "traceId": "t", "type": "GENERATION", "startTime": "2026-05-01T00:00:00Z""#;
    let langfuse = format!(
        "{langfuse}, \"usage\": {{\"input\": 5}}}}\n{langfuse}}}\n{}",
        langfuse.replace("GENERATION", "SPAN") + "}"
    );
    let span = r#"{"traceId": "t", "name": "chat", "startTimeUnixNano": "1", "attributes": {"gen_ai.operation.name": "chat""#;
    let otel = format!(
        "{span}, \"gen_ai.usage.input_tokens\": 3}}}}\n{span}}}}}\n{}}}}}",
        span.replace("\"chat\"", "\"invoke_agent\"")
    );
    for (log, left_out) in [(copilot, "2 calls were"), (langfuse, "1 call was"), (otel, "1 call was")] {
        // More than what is read in one go.
        let many = format!("{log}\n{}", "\n".repeat(1000)).repeat(300);
        for (log, left_out) in [
            (log, left_out),
            (many, if left_out.starts_with('2') { "600 calls were" } else { "300 calls were" }),
        ] {
            for jobs in ["1", "3"] {
                let ran = run("trace-cat", &["-j", jobs], &log);
                assert_eq!(ran.status, Some(0), "{}", ran.stderr);
                let said = format!("{left_out} left out: the log does not say how long the prompt is");
                assert!(ran.stderr.contains(&said), "{log:.300}: {}", ran.stderr);
            }
        }
    }
}

#[test]
fn the_programs_of_others_give_the_same_rounds() {
    let Some(program) = real("cases/traces/claude-code-to-tracelab.jq") else { return };
    let folder = scratch();
    write(folder.path(), "claude.jsonl", include_str!("../samples/claude-code.jsonl"));
    write(folder.path(), "codex.jsonl", include_str!("../samples/codex.jsonl"));
    std::fs::copy(&program, folder.path().join("claude.jq")).unwrap();
    std::fs::copy(program.with_file_name("codex-to-tracelab.jq"), folder.path().join("codex.jq")).unwrap();
    if shell(folder.path(), "jq --version").status != Some(0) {
        eprintln!("skipped: jq is not here");
        return;
    }
    // The first of them counts a message again that comes back later.
    let lengths = |command: &str| -> Vec<(Value, Value)> {
        let text = shell(folder.path(), command).ok();
        rows(&text).iter().map(|row| (row["input_length"].clone(), row["cached_tokens"].clone())).collect()
    };
    let theirs = lengths("jq -nc -f claude.jq claude.jsonl | awk 'NR != 4' | trace-cat -q");
    assert_eq!(lengths("trace-cat -q claude.jsonl"), theirs);
    assert_eq!(lengths("trace-cat -q codex.jsonl"), lengths("jq -nc -f codex.jq codex.jsonl | trace-cat -q"));
}

#[test]
fn spans_logs_and_results_are_read_by_their_own_names() {
    let found = cat(include_str!("../samples/bench.json"));
    let pairs: Vec<_> =
        found.iter().map(|row| (row["timestamp"].clone(), row["input_length"].clone())).collect();
    assert_eq!(pairs, [(json!(0), json!(20)), (json!(1250), json!(10)), (json!(1750), json!(30))]);
    let found = cat(include_str!("../samples/kv-events.jsonl"));
    assert_eq!(found[2]["hash_ids"], json!([11, 12, 13, 255]));
    assert_eq!((&found[1]["input_length"], &found[1]["timestamp"]), (&json!(12), &json!(1000)));
    let found = cat(include_str!("../samples/vllm-log.txt"));
    let ids: Vec<_> = found.iter().map(|row| row["hash_ids"].clone()).collect();
    assert_eq!(ids, [json!([0, 1]), json!([0, 1]), json!([2])]);
    let lengths: Vec<_> = found.iter().map(|row| row["input_length"].clone()).collect();
    assert_eq!(lengths, [json!(40), json!(33), json!(16)]);
    let found = cat(include_str!("../samples/sglang-log.txt"));
    assert_eq!((&found[1]["timestamp"], &found[1]["cached_tokens"]), (&json!(250), &json!(32)));
    assert_eq!((&found[1]["hash_ids"], &found[1]["output_length"]), (&json!([0, 1]), &json!(5)));
    let found = cat(include_str!("../samples/llmservingsim.jsonl"));
    assert_eq!((&found[2]["delay"], found[2].get("timestamp")), (&json!(2.5), None));
    assert_eq!((&found[2]["session_id"], &found[2]["hash_ids"]), (&json!("agent"), &json!([0, 1])));
    let found = cat(include_str!("../samples/tracelab-replay.csv"));
    let lengths: Vec<_> = found.iter().map(|row| row["input_length"].clone()).collect();
    assert_eq!(lengths, [json!(2318), json!(100), json!(2866), json!(3809)]);
    assert_eq!((&found[3]["delay"], &found[0]["timestamp"]), (&json!(154.5), &json!(117)));
    let found = cat(include_str!("../samples/burstgpt.csv"));
    assert_eq!(found[1]["session_id"], json!("a"));
    let found = cat(include_str!("../samples/vidur.csv"));
    assert_eq!((&found[0]["input_length"], found[0].get("timestamp")), (&json!(3772), None));
}

#[test]
fn documents_are_read_as_streams_of_their_records() {
    let sample = include_str!("../samples/mooncake.jsonl");
    let lines: Vec<&str> = sample.lines().collect();
    let expected = run("trace-stats", &["-f", "json"], sample).ok();
    let pretty = |text: &str| text.replace(',', ",\n  ").replace("{\"", "{\n\"");
    for document in [
        format!("[{}]", lines.join(",")),
        format!(" [\n{}\n]\n", lines.join(",\n")),
        format!("\u{feff}[\r\n  {}\r\n]", lines.join(" ,\r\n\r\n")),
        pretty(sample),
        format!("[{}]", pretty(&lines.join(","))),
    ] {
        let ran = run("trace-stats", &["-f", "json"], &document);
        assert_eq!(ran.stdout, expected, "{document}{}", ran.stderr);
        let written = run("trace-cat", &[], &document).ok();
        assert_eq!(rows(&written), rows(sample));
        assert_eq!(run("trace-cat", &["--max-line", "200"], &document).stdout, written);
    }
    let bad = format!("[\n{},\n{{\"input_length\":\n-1}}]", lines[0]);
    let ran = run("trace-cat", &[], &bad);
    assert!(ran.stderr.starts_with("trace-cat: -:3: input_length"), "{}", ran.stderr);
    assert_eq!(run("trace-cat", &["-q", "--skip-invalid"], &bad).stdout.lines().count(), 1);
    let cut = format!("[{},{}", lines[0], &lines[1][..20]);
    let ran = run("trace-cat", &[], &cut);
    assert!(ran.status == Some(1) && ran.stderr.contains("EOF"), "{}", ran.stderr);
    let long = format!("[{},{{\"x\": \"{}\"}},{}]", lines[0], "y".repeat(900_000), lines[1]);
    let ran = run("trace-cat", &["--skip-invalid", "--max-line", "1000"], &long);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stderr);
    let prompts = "[\n {\"prompt\":\n \"a\"},\n {\"prompt\": \"b\"}\n]";
    assert_eq!(run("trace-hash", &["-q"], prompts).ok().lines().count(), 2);
    let text = run("trace-hash", &["-q", "--text"], prompts).ok();
    assert_eq!(text.lines().count(), 5, "lines of text are prompts of their own");
    let ran = run("trace-cat", &[], "{\"meta\": {}, \"data\": [{\"input_length\": 1}]}");
    assert!(ran.stderr.contains("jq -c '.data[]'"), "{}", ran.stderr);
}

#[test]
fn files_that_others_make_readable_say_how() {
    let folder = scratch();
    let magic: [(&[u8], &str); 6] = [
        (b"PAR1\x15\x04", "duckdb"),
        (b"ARROW1\0\0", "duckdb"),
        (b"\xfd7zXZ\0", "xz -dc x"),
        (b"BZh91AY", "bzip2 -dc x"),
        (b"PK\x03\x04", "unzip -p x"),
        (b"\x04\x22\x4d\x18", "lz4 -dc x"),
    ];
    for (bytes, how) in magic {
        write(folder.path(), "x", bytes);
        for filter in ["trace-cat", "trace-stats", "trace-synth", "trace-hash"] {
            let ran = run_in(folder.path(), filter, &["x"], "");
            assert!(ran.status == Some(1) && ran.stderr.contains(how), "{filter}: {}", ran.stderr);
        }
    }
}

#[test]
fn lists_of_full_blocks_have_true_figures() {
    let row = |ids: &str| format!("{{\"input_length\": 100, \"hash_ids\": {ids}, \"block_size\": 64}}\n");
    let trace = row("[0]") + &row("[0]") + &row("[0, 1]") + &row("[0, 1]");
    let report = |input: &str| -> Value {
        serde_json::from_str(&run("trace-stats", &["-q", "-f", "json"], input).ok()).unwrap()
    };
    let found = report(&trace);
    assert_eq!(found["cached_tokens"], json!(64 + 64 + 100));
    // What is not listed is not shared.
    assert_eq!(found["context_length"]["max"], json!(100.0));
    assert_eq!(found["context_length"]["min"], json!(64.0));
    let pieces = run("trace-stats", &["--partial"], &trace).ok();
    let merged: Value =
        serde_json::from_str(&run("trace-stats", &["--merge", "-f", "json"], pieces).ok()).unwrap();
    assert_eq!(merged["context_length"], found["context_length"]);
    assert_eq!(merged["cached_tokens"], found["cached_tokens"]);
    let Ran { status, stderr, .. } = run("trace-cat", &[], row("[]").replace("64", "32"));
    assert!(status == Some(1) && stderr.contains("expected 4 of block size 32"), "{stderr}");
    let reblocked = rows(&run("trace-cat", &["--reblock", "128"], row("[0]")).ok());
    assert_eq!(reblocked[0]["hash_ids"], json!([]));
    let whole = rows(
        &run(
            "trace-cat",
            &["-t", "vllm"],
            row("[0]").replace('{', "{\"timestamp\": 0, \"output_length\": 1, "),
        )
        .ok(),
    );
    assert_eq!(whole[0]["hash_ids"].as_array().unwrap().len(), 2);
}
