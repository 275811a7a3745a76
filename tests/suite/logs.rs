//! Logs of agents, engines and gateways: what their records say beyond the samples of their formats.

use crate::support::{run, zstd};
use serde_json::{Value, json};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of a log, whose format is to be found out, and what is said of it.
#[track_caller]
fn read(log: &str, args: &[&str]) -> (Vec<Value>, String) {
    let ran = run("trace-cat", args, log);
    let said = ran.stderr.clone();
    (rows(&ran.ok()), said)
}

#[track_caller]
fn cat(log: &str) -> Vec<Value> {
    read(log, &[]).0
}

fn column(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

/// A line of a transcript of Claude Code: the id of the call, new tokens, cached tokens, tokens of the answer.
fn claude(id: &str, [new, cached, output]: [u64; 3]) -> String {
    let usage = json!({
        "input_tokens": 4, "cache_creation_input_tokens": new, "cache_read_input_tokens": cached,
        "output_tokens": output,
    });
    let message = json!({"id": id, "model": "c", "usage": usage});
    let line = json!({
        "type": "assistant", "sessionId": "s", "timestamp": "2026-01-09T10:00:00Z", "message": message,
    });
    format!("{line}\n")
}

#[test]
fn transcripts_may_begin_with_any_note_about_the_session() {
    let calls = claude("a", [1020, 0, 9]) + &claude("b", [124, 1024, 9]);
    let expected = run("trace-cat", &["-q"], &calls).ok();
    assert_eq!(column(&rows(&expected), "input_length"), [1024, 1152]);
    for note in [
        r#"{"type":"custom-title","customTitle":"x","sessionId":"s"}"#,
        r#"{"type":"ai-title","aiTitle":"x","sessionId":"s"}"#,
        r#"{"type":"permission-mode","permissionMode":"default","sessionId":"s"}"#,
        r#"{"type":"mode","mode":"normal","sessionId":"s"}"#,
        r#"{"type":"last-prompt","lastPrompt":"x","leafUuid":"u","sessionId":"s"}"#,
        r#"{"type":"agent-name","agentName":"x","sessionId":"s"}"#,
        r#"{"type":"atis-latch","atis":"","sessionId":"s"}"#,
        r#"{"type":"cost-state","sessionId":"s","totalCostUSD":1,"modelUsage":{"c":{"inputTokens":100}}}"#,
        r#"{"type":"bridge-session","sessionId":"s","bridgeSessionId":"b"}"#,
        r#"{"type":"queue-operation","operation":"enqueue","sessionId":"s","content":"x"}"#,
        r#"{"type":"a-kind-of-next-year","sessionId":"s","value":1}"#,
        r#"{"type":"summary","summary":"x","leafUuid":"u"}"#,
        r#"{"type":"file-history-snapshot","messageId":"m","snapshot":{},"isSnapshotUpdate":false}"#,
        r#"{"type":"attribution-snapshot","messageId":"m","surface":"cli","fileStates":{}}"#,
    ] {
        let transcript = format!("{note}\n{calls}");
        let ran = run("trace-cat", &[], &transcript);
        assert!(ran.stderr.contains("read as claude-code"), "{note}: {}", ran.stderr);
        assert_eq!(ran.ok(), expected, "{note}");
        let stats = run("trace-stats", &["-f", "json"], &transcript).ok();
        let stats: Value = serde_json::from_str(&stats).unwrap();
        assert_eq!(stats["requests"], 2, "{note}");
        let hashed = run("trace-hash", &[], &transcript);
        assert!(hashed.stderr.contains("a record of a trace (claude-code)"), "{note}: {}", hashed.stderr);
    }
}

#[test]
fn requests_and_observations_of_sessions_are_no_transcripts() {
    let prompt = r#"{"type":"chat","sessionId":"s","messages":[{"role":"user","content":"a"}]}"#;
    let ran = run("trace-cat", &[], prompt);
    assert!(ran.status == Some(1) && ran.stderr.contains("trace-hash"), "{}", ran.stderr);
    assert_eq!(run("trace-hash", &["-q"], prompt).ok().lines().count(), 1);
    let of_langfuse = r#"{"type":"generation","sessionId":"s","traceId":"t","startTime":"2026-01-09T10:00:00Z","usage":{"input":5}}"#;
    assert!(read(of_langfuse, &[]).1.contains("read as langfuse"));
    let of_usage = r#"{"type":"chat","sessionId":"s","usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
    assert!(read(of_usage, &[]).1.contains("read as usage"));
    let trace = r#"{"type":"chat","sessionId":"s","input_length":5}"#;
    assert_eq!(read(trace, &[]), (rows(trace), String::new()));
}

#[test]
fn calls_of_agents_at_the_same_time_keep_their_answers() {
    let transcript = |file: &str| {
        let of = |name: &str| format!("{file}{name}");
        claude(&of("a"), [1020, 0, 1])
        + &claude(&of("b"), [700, 0, 1])
        + &claude(&of("a"), [1020, 0, 120])
        + &claude(&of("c"), [10, 704, 1])
        + &claude(&of("b"), [700, 0, 70])
        + &claude(&of("c"), [10, 704, 9])
        // Where a session is resumed, its past is there again.
        + &claude(&of("a"), [1020, 0, 120])
    };
    let found = cat(&transcript("1"));
    assert_eq!(column(&found, "output_length"), [120, 70, 9]);
    assert_eq!(column(&found, "input_length"), [1024, 704, 718]);
    // In two files, calls of the first do not wait for the second.
    let folder = crate::support::scratch();
    let first = crate::support::write(folder.path(), "a.jsonl", transcript("1"));
    let second = crate::support::write(folder.path(), "b.jsonl", transcript("2").replace("\"s\"", "\"t\""));
    let both = rows(&run("trace-cat", &["-q", &first, &second], "").ok());
    assert_eq!(column(&both, "output_length"), [120, 70, 9, 120, 70, 9]);
    assert_eq!(column(&both, "session_id"), ["s", "s", "s", "t", "t", "t"]);
    // Of a session that goes on in another file, what is copied there has been counted.
    let again = crate::support::write(folder.path(), "c.jsonl", transcript("1") + &claude("9", [5, 0, 6]));
    let both = rows(&run("trace-cat", &["-q", &first, &again], "").ok());
    assert_eq!(column(&both, "output_length"), [120, 70, 9, 6]);
    // More calls than are held come in the order of their first lines all the same.
    let many: String = (0..200).map(|i| claude(&format!("m{i}"), [i, 0, i])).collect();
    let lengths: Vec<u64> = (0..200).collect();
    assert_eq!(column(&cat(&many), "output_length"), lengths);
}

#[test]
fn sums_of_codex_are_the_same_in_any_order() {
    let line = |total: &str, last: &str| {
        format!(
            r#"{{"timestamp":"2026-01-09T10:00:02Z","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{{total}}},"last_token_usage":{{{last}}}}}}}}}"#
        ) + "\n"
    };
    let last = r#""input_tokens":900,"output_tokens":20"#;
    let log = line(r#""input_tokens":900,"output_tokens":20"#, last)
        + &line(r#""output_tokens":20, "input_tokens":900"#, last)
        + &line(r#""input_tokens":1800,"output_tokens":40"#, last);
    assert_eq!(column(&cat(&log), "input_length"), [900, 900]);
}

/// The ids of the two requests of a log, in blocks of four tokens.
#[track_caller]
fn pair(log: &str) -> [Value; 2] {
    let ids = column(&read(log, &["-b", "4", "--renumber"]).0, "hash_ids");
    ids.try_into().unwrap()
}

#[test]
fn adapters_and_salts_keep_requests_of_engines_apart() {
    let (same, apart) = ([json!([0, 1]), json!([0, 1])], [json!([0, 1]), json!([2, 3])]);
    let adapter = |name: Option<&str>| match name {
        None => "None".to_owned(),
        Some(name) => format!("LoRARequest(lora_name='{name}', lora_int_id=1, lora_path='/x')"),
    };
    let tokens = "prompt_token_ids: [1, 2, 3, 4, 5, 6, 7, 8], prompt_embeds shape: None";
    let old = |name| {
        format!(
            "INFO 01-01 00:00:01 [logger.py:43] Received request c-1: prompt: \"lora_name='z'\", params: \
             SamplingParams(n=1), {tokens}, lora_request: {}.\n",
            adapter(name)
        )
    };
    // Since 0.11 the adapter stands in the next line, between which there may be those of other processes.
    let new = |names: [_; 2]| {
        let details = |id: u32| {
            format!("DEBUG 01-01 00:00:01 [logger.py:43] Request c-{id} details: prompt: 'a', {tokens}.\n")
        };
        let received = |id: u32, name| {
            let name = adapter(name);
            format!(
                "INFO 01-01 00:00:01 [logger.py:43] Received request c-{id}: params: SamplingParams(n=1), lora_request: {name}.\n"
            )
        };
        let [first, second] = names;
        [
            details(1) + &received(1, first) + &details(2) + &received(2, second),
            details(1) + &details(2) + &received(2, second) + &received(1, first),
        ]
    };
    let line = |id: &str, keys: &str| {
        format!(
            r#"{{"timestamp":"2026-01-01T00:00:01","event":"request.finished","rid":"{id}","obj":{{"input_ids":[1,2,3,4,5,6,7,8]{keys}}},"out":{{"meta_info":{{}}}}}}"#
        ) + "\n"
    };
    for (first, second) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some("b"))] {
        let in_sglang = |name: Option<&str>, field: &str| {
            name.map_or_else(String::new, |name| format!(r#","{field}":"{name}""#))
        };
        let of_sglang =
            |one, other, field| line("1", &in_sglang(one, field)) + &line("2", &in_sglang(other, field));
        for log in new([first, second]) {
            assert_eq!(pair(&log), apart, "{log}");
        }
        for log in [
            old(first) + &old(second),
            of_sglang(first, second, "lora_path"),
            of_sglang(first, second, "extra_key"),
        ] {
            assert_eq!(pair(&log), apart, "{log}");
        }
        for log in [
            old(first) + &old(first),
            of_sglang(first, first, "lora_path"),
            of_sglang(second, second, "extra_key"),
        ] {
            assert_eq!(pair(&log), same, "{log}");
        }
        for log in new([first, first]) {
            assert_eq!(pair(&log), same, "{log}");
        }
    }
    // A request whose second line is missing is there all the same.
    let cut = new([None, None])[0].lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(pair(&cut), same);
}

#[test]
fn lookups_of_other_models_are_of_other_blocks() {
    let line = |model: &str| {
        format!(
            "{{\"timestamp\":1753340000.5,\"model_name\":\"{model}\",\"chunk_size\":4,\"seq_len\":8,\"chunk_hashes\":[\"0x1\",\"0xa\"]}}\n"
        )
    };
    let ids = |log: String| column(&read(&log, &["--renumber"]).0, "hash_ids");
    assert_eq!(ids(line("a") + &line("b")), [json!([0, 1]), json!([2, 3])]);
    assert_eq!(ids(line("a") + &line("a")), [json!([0, 1]), json!([0, 1])]);
}

#[test]
fn requests_of_sglang_that_never_finish_are_counted() {
    let event = |kind: &str, rid: &str| {
        format!(
            r#"{{"timestamp":"2026-01-01T00:00:01","event":"request.{kind}","rid":"{rid}","obj":{{"input_ids":[1]}},"out":{{}}}}"#
        ) + "\n"
    };
    let log =
        event("received", "a") + &event("received", "b") + &event("finished", "a") + &event("received", "c");
    let (found, said) = read(&log, &[]);
    assert!(found.len() == 1 && said.contains("2 calls were left out"), "{said}");
    let (_, said) = read(&(event("received", "a") + &event("finished", "a") + &event("finished", "b")), &[]);
    assert!(!said.contains("left out"), "{said}");
}

#[test]
fn exports_of_langfuse_have_the_names_of_any_api() {
    for (usage, input, cached) in [
        (r#""usageDetails":{"prompt_tokens":70,"completion_tokens":5,"total_tokens":75}"#, 70, None),
        (
            r#""usageDetails":{"prompt_tokens":70,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":64}}"#,
            70,
            Some(64),
        ),
        (r#""usageDetails":{"input":6,"input_cached_tokens":64,"output":5}"#, 70, Some(64)),
        (r#""usage":{"promptTokens":70,"completionTokens":5}"#, 70, None),
        (r#""usage":{"prompt_tokens":70,"completion_tokens":5}"#, 70, None),
        (r#""usage":{"input":70,"output":5,"unit":"TOKENS"}"#, 70, None),
        (r#""promptTokens":70,"completionTokens":5"#, 70, None),
        (r#""inputUsage":70,"outputUsage":5,"totalUsage":75"#, 70, None),
    ] {
        let line =
            format!(r#"{{"type":"GENERATION","traceId":"t","startTime":"2026-01-09T10:00:00Z",{usage}}}"#);
        let (found, said) = read(&line, &[]);
        assert!(!said.contains("left out:"), "{usage}: {said}");
        let fields = ["input_length", "output_length", "cached_tokens"].map(|name| found[0][name].clone());
        assert_eq!(fields, [json!(input), json!(5), json!(cached)], "{usage}");
    }
}

#[test]
fn bedrock_may_have_the_tokens_in_the_response_alone() {
    let line = r#"{"schemaType":"ModelInvocationLog","timestamp":"2026-01-09T10:00:00Z","input":{},"output":{"outputBodyJson":{"usage":{"input_tokens":6,"cache_read_input_tokens":64,"output_tokens":5}}}}"#;
    let found = cat(line);
    let fields = ["input_length", "output_length", "cached_tokens"].map(|name| found[0][name].clone());
    assert_eq!(fields, [json!(70), json!(5), json!(64)]);
}

#[test]
fn what_tools_gave_gemini_is_part_of_the_prompt() {
    let line = r#"{"created":1753340000,"usageMetadata":{"promptTokenCount":60,"toolUsePromptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":75}}"#;
    let found = cat(line);
    assert_eq!((&found[0]["input_length"], &found[0]["output_length"]), (&json!(70), &json!(5)));
}

#[test]
fn a_prompt_shorter_than_what_of_it_was_cached_is_an_error() {
    let otel = r#"{"traceId":"t","spanId":"s","startTimeUnixNano":"1","attributes":{"gen_ai.operation.name":"chat","gen_ai.usage.input_tokens":6,"gen_ai.usage.cache_read.input_tokens":64}}"#;
    let usage =
        r#"{"created":1753340000,"usage":{"prompt_tokens":6,"prompt_tokens_details":{"cached_tokens":64}}}"#;
    for log in [otel, usage] {
        let ran = run("trace-cat", &[], log);
        assert_eq!(ran.status, Some(1), "{}", ran.stdout);
        assert!(ran.stderr.contains("-:1: 64 cached tokens in a prompt of 6"), "{}", ran.stderr);
    }
    // These names leave cached tokens out.
    let anthropic = r#"{"created":1753340000,"usage":{"input_tokens":6,"cache_read_input_tokens":64}}"#;
    assert_eq!(cat(anthropic)[0]["input_length"], 70);
}

#[test]
fn a_time_of_a_clock_is_the_same_however_it_is_read() {
    let trace: String = (0..4000)
        .map(|i| {
            let session = i % 1200;
            let length = 8 + session * 7 % 13;
            format!(
                "{{\"timestamp\": {}, \"input_length\": {length}, \"session_id\": \"{session}\"}}\n",
                1_753_340_000_000_u64 + i * 100
            )
        })
        .collect();
    let sent = |args: &[&str]| {
        let args = [&["-q", "--replicas", "7", "--route", "session"], args].concat();
        run("trace-cat", &args, &trace).ok()
    };
    assert_eq!(sent(&["--from", "0s"]), sent(&[]));
    let folder = crate::support::scratch();
    for i in 0..50 {
        // An event at the time of a record comes before it.
        let event = format!(
            "[1753340000.{i:03},[{{\"type\":\"BlockStored\",\"block_hashes\":[1],\"block_size\":4}}],0]\n"
        );
        let events = crate::support::write(folder.path(), "events.jsonl", event);
        let record = format!(
            "{{\"timestamp\":1753340000{i:03},\"input_length\":8,\"hash_ids\":[1,2],\"block_size\":4}}"
        );
        let found = rows(&run("trace-cat", &["-q", "--kv-events", &events], &record).ok());
        assert_eq!(found[0]["cached_tokens"], 4, "{record}");
    }
}

#[test]
fn a_turn_without_tokens_leaves_the_next_its_blocks() {
    let trace = "{\"session_id\":\"c\",\"input_length\":0,\"hash_ids\":[]}\n{\"session_id\":\"c\",\"input_length\":4}\n";
    let whole = run("trace-cat", &["-q", "-b", "4", "--turns", "cumulative"], trace).ok();
    assert_eq!(rows(&whole)[1]["hash_ids"].as_array().unwrap().len(), 1, "{whole}");
    assert_eq!(run("trace-cat", &["--check", "-b", "4"], &whole).status, Some(0));
}

#[test]
fn joined_files_may_have_marks_and_frames_to_skip() {
    let trace = "{\"input_length\":4}\n{\"input_length\":5}\n";
    let marked = format!("\u{feff}{trace}\u{feff}{trace}");
    for args in [&[][..], &["-j", "2"]] {
        assert_eq!(run("trace-cat", args, &marked).ok(), run("trace-cat", args, trace.repeat(2)).ok());
    }
    let usage = "{\"created\":1753340000,\"usage\":{\"prompt_tokens\":6}}\n";
    assert_eq!(cat(&format!("{usage}\u{feff}{usage}")).len(), 2);
    for kind in 0x50..=0x5f_u8 {
        let mut packed = vec![kind, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
        packed.extend(zstd(trace.as_bytes()));
        assert_eq!(run("trace-cat", &[], &packed).ok(), run("trace-cat", &[], trace).ok(), "{kind:x}");
    }
}
