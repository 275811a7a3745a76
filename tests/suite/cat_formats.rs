//! `trace-cat` between formats: each conversion field by field, and back where the format allows it.
//!
//! The samples are made by hand after the descriptions of the formats.

use std::process::{Command, Stdio};

use crate::support::{Ran, line, real, run, run_in, scratch, shell, write};
use serde_json::{Value, json};

fn cat(args: &[&str], input: &str) -> String {
    run("trace-cat", args, input).ok()
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What auto-detection makes of `input`; the named format must give the same.
fn converted(format: &str, args: &[&str], input: &str) -> Vec<Value> {
    let found = cat(args, input);
    let named = [&["--from-format", format], args].concat();
    assert_eq!(cat(&named, input), found, "{format} is not found out");
    let check = run("trace-cat", &[&["--check"], args].concat(), &found);
    assert_eq!(check.status, Some(0), "{}", check.stdout);
    values(&found)
}

const BAILIAN: &str = concat!(
    r#"{"chat_id": 55, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 33, "output_length": 9, "type": "text", "turn": 1, "hash_ids": [0, 1, 2]}"#,
    "\n",
    r#"{"chat_id": 159, "parent_chat_id": 55, "timestamp": 70, "input_length": 48, "output_length": 132, "type": "text", "turn": 2, "hash_ids": [0, 1, 3], "x": [1,{"y":2.50}]}"#,
    "\n",
);

#[test]
fn cached_tokens_are_read_under_the_names_of_tracers() {
    let datadog = json!({"start_ns": 1_704_067_200_123_456_789_u64, "metrics": {"input_tokens": 500, "output_tokens": 2,
        "total_tokens": 502, "cache_read_input_tokens": 400}});
    let span = json!({"trace_id": "t", "span_id": "s", "start_time": "2024-01-01T00:00:00Z", "attributes": {
        "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 500, "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read_input_tokens": 400, "gen_ai.usage.cache_creation_input_tokens": 7}});
    for (format, record, written) in [("usage", datadog, Value::Null), ("otel", span, json!(7))] {
        let lines = values(&cat(&["-f", format], &format!("{record}\n")));
        let found = ["input_length", "output_length", "cached_tokens", "cache_write_tokens"]
            .map(|name| lines[0][name].clone());
        assert_eq!(found, [json!(500), json!(2), json!(400), written], "{format}");
    }
}

#[test]
fn bailian_has_seconds_and_small_blocks() {
    let rows = converted("bailian", &[], BAILIAN);
    assert_eq!(
        rows[0],
        json!({"timestamp": 61114, "input_length": 33, "output_length": 9, "hash_ids": [0, 1, 2],
            "block_size": 16, "chat_id": 55, "parent_chat_id": -1, "type": "text", "turn": 1})
    );
    assert_eq!(rows[1]["hash_ids"], json!([0, 1, 3]));
    assert!(cat(&[], BAILIAN).contains("\"x\": [1,{\"y\":2.50}]"), "an unknown field has changed");
    assert_eq!(cat(&["--to-format", "bailian"], BAILIAN), BAILIAN);
}

#[test]
fn a_bailian_block_is_known_by_its_id_and_those_before_it() {
    let row = |chat: u32, ids: &str| {
        format!(
            "{{\"chat_id\": {chat}, \"parent_chat_id\": -1, \"timestamp\": 0, \"input_length\": 32, \"output_length\": 1, \"hash_ids\": {ids}}}\n"
        )
    };
    let rows = values(&cat(&[], &format!("{}{}{}", row(1, "[7, 8]"), row(2, "[9, 8]"), row(3, "[7, 8]"))));
    let ids: Vec<_> = rows.iter().map(|row| row["hash_ids"].clone()).collect();
    assert_eq!(ids, [json!([0, 1]), json!([2, 3]), json!([0, 1])]);
}

#[test]
fn the_block_size_of_bailian_may_be_in_the_file_name() {
    let folder = scratch();
    let row = |ids: &str| {
        format!(
            "{{\"chat_id\": 1, \"parent_chat_id\": -1, \"timestamp\": 0, \"input_length\": 65, \"output_length\": 1, \"hash_ids\": {ids}}}\n"
        )
    };
    write(folder.path(), "qwen_traceA_blksz_64.jsonl", row("[4, 5]"));
    let text = run_in(folder.path(), "trace-cat", &["qwen_traceA_blksz_64.jsonl"], "").ok();
    assert_eq!(values(&text)[0]["block_size"], 64);
    assert_eq!(values(&cat(&["-b", "64"], &row("[4, 5]")))[0]["block_size"], 64);
    assert_eq!(run("trace-cat", &[], row("[4, 5]")).status, Some(1));
}

#[test]
fn a_request_trace_of_dynamo_has_sequence_hashes_and_a_clock() {
    let input = concat!(
        r#"{"schema":"dynamo.request.trace.v1","event_type":"request_end","event_time_unix_ms":1753340000123,"request":{"request_id":"r1","model":"m","input_tokens":128,"output_tokens":5,"request_received_ms":1753340000000,"total_time_ms":123.0,"replay":{"trace_block_size":64,"input_length":128,"input_sequence_hashes":[14643705804678351452,4945711292740353085]}}}"#,
        "\n",
        r#"{"schema":"dynamo.request.trace.v1","event_type":"tool_end","event_time_unix_ms":1753340000124,"tool":{}}"#,
        "\n",
        r#"{"event":{"schema":"dynamo.request.trace.v1","event_type":"request_end","event_time_unix_ms":1753340002000,"agent_context":{"session_id":"s"},"request":{"request_id":"r2","output_tokens":7,"input_tokens":10}}}"#,
        "\n",
    );
    assert_eq!(
        converted("dynamo", &[], input),
        [
            json!({"timestamp": 0, "input_length": 128, "output_length": 5, "block_size": 64,
                "hash_ids": [14_643_705_804_678_351_452_u64, 4_945_711_292_740_353_085_u64],
                "request_id": "r1", "model": "m", "total_time_ms": 123.0}),
            json!({"timestamp": 2000, "input_length": 10, "output_length": 7, "request_id": "r2",
                "session_id": "s"}),
        ]
    );
}

#[test]
fn ids_of_agentic_mooncake_are_local_to_a_play() {
    let input = concat!(
        r#"{"schema":"dynamo.agentic_mooncake","version":2,"block_size":64,"hash_id_scope":"local","source":{"format":"x","digest":"y"}}"#,
        "\n",
        r#"{"request_id":"r1","play_id":"a","session_id":"s1","model":"m","input_length":100,"output_length":1,"hash_ids":[7,8],"not_before_ms":10.5}"#,
        "\n",
        r#"{"request_id":"r2","play_id":"b","session_id":"s2","model":"m","input_tokens":100,"output_tokens":1,"hash_ids":[7,8],"not_before_ms":11.0,"dependencies":[{"request_id":"r1","trigger":"dispatch","delay_ms":3.0,"relation":"spawn"}]}"#,
        "\n",
        r#"{"request_id":"r3","play_id":"a","session_id":"s1","model":"m","input_length":100,"output_length":1,"hash_ids":[7,9],"not_before_ms":12}"#,
        "\n",
    );
    let rows = converted("agentic", &[], input);
    assert_eq!(
        rows[0],
        json!({"timestamp": 10.5, "input_length": 100, "output_length": 1, "hash_ids": [0, 1],
            "block_size": 64, "request_id": "r1", "play_id": "a", "session_id": "s1", "model": "m"})
    );
    assert_eq!(rows[1]["hash_ids"], json!([2, 3]));
    assert_eq!((&rows[1]["input_length"], &rows[1]["output_length"]), (&json!(100), &json!(1)));
    assert_eq!(rows[1]["dependencies"][0]["relation"], "spawn");
    assert_eq!(rows[2]["hash_ids"], json!([0, 4]));
    let piece = input.split_once('\n').unwrap().1;
    let rows = values(&cat(&["-b", "64"], piece));
    assert_eq!(rows[1]["hash_ids"], json!([2, 3]), "a piece without the header");
}

#[test]
fn conversations_of_weka_never_share_ids() {
    let conversation = |id: &str| {
        format!(
            concat!(
                r#"{{"id":"{}","models":["m"],"block_size":64,"hash_id_scope":"local","tool_tokens":12974,"requests":["#,
                r#"{{"t":0.0,"type":"n","model":"m","in":128,"out":169,"hash_ids":[1,2],"think_time":0.5}},"#,
                r#"{{"t":1.25,"type":"subagent","agent_id":"agent_001","requests":[{{"t":1.5,"type":"s","model":"m","in":70,"out":2,"hash_ids":[1]}}]}},"#,
                r#"{{"t":2,"type":"n","model":"m","in":130,"out":3,"hash_ids":[1,2]}}]}}"#,
                "\n"
            ),
            id
        )
    };
    let rows = converted("weka", &[], &format!("{}{}", conversation("c1"), conversation("c1")));
    assert_eq!(
        rows[0],
        json!({"timestamp": 0, "input_length": 128, "output_length": 169, "hash_ids": [0, 1], "block_size": 64,
            "type": "n", "model": "m", "think_time": 0.5, "session_id": "c1"})
    );
    assert_eq!(
        rows[1],
        json!({"timestamp": 1500, "input_length": 70, "output_length": 2, "hash_ids": [0], "block_size": 64,
            "type": "s", "model": "m", "session_id": "c1:agent_001", "parent_session_id": "c1", "agent_id": "agent_001"})
    );
    let ids: Vec<_> = rows.iter().map(|row| row["hash_ids"].clone()).collect();
    assert_eq!(ids[2..], [json!([0, 1]), json!([2, 3]), json!([2]), json!([2, 3])]);
}

#[test]
fn rounds_of_tracelab_keep_the_blocks_of_their_prefix() {
    let round = |session: &str, n: u32, prefix: u64, total: u64, time: &str| {
        format!(
            concat!(
                r#"{{"session_id":"{}","round_index":{},"input_tokens_total":{},"prefix_tokens":{},"newly_append_tokens":{},"output_tokens":4,"#,
                r#""timing_events":[{{"event_type":"user_message","timestamp":"2026-01-01T00:00:{}Z"}},{{"event_type":"text","timestamp":"2026-01-01T00:01:00Z"}}]}}"#,
                "\n"
            ),
            session,
            n,
            total,
            prefix,
            total - prefix,
            time
        )
    };
    let input = [
        round("a", 0, 0, 130, "01.5"),
        round("b", 0, 64, 64, "02"),
        round("a", 1, 128, 192, "03"),
        round("a", 2, 64, 70, "04"),
    ];
    let rows = converted("tracelab", &[], &input.concat());
    assert_eq!(
        rows[0],
        json!({"timestamp": 0, "input_length": 130, "output_length": 4, "hash_ids": [0, 1], "block_size": 64,
            "session_id": "a", "cached_tokens": 0, "round_index": 0, "prefix_tokens": 0, "newly_append_tokens": 130})
    );
    let ids: Vec<_> = rows.iter().map(|row| row["hash_ids"].clone()).collect();
    assert_eq!(ids[1..], [json!([2]), json!([0, 1, 3]), json!([0])]);
    let times: Vec<_> = rows.iter().map(|row| row["timestamp"].clone()).collect();
    assert_eq!(times, [json!(0), json!(500), json!(1500), json!(2500)]);
}

#[test]
fn the_lookup_log_of_lmcache_has_hexadecimal_hashes() {
    let input = concat!(
        r#"{"timestamp":1711929600.123,"request_id":"req-001","model_name":"DeepSeek-V3","chunk_size":256,"seq_len":520,"chunk_hashes":["0xabcd1234","0x1"]}"#,
        "\n",
        r#"{"timestamp":1711929600.1234,"request_id":"req-002","model_name":"DeepSeek-V3","chunk_size":256,"seq_len":512,"chunk_hashes":["0xabcd1234","0123456789abcdef0123456789abcdef"]}"#,
        "\n",
    );
    assert_eq!(
        converted("lmcache", &[], input),
        [
            json!({"timestamp": 0, "input_length": 520, "hash_ids": [0, 1], "block_size": 256,
                "request_id": "req-001", "model_name": "DeepSeek-V3"}),
            json!({"timestamp": 0.4, "input_length": 512, "hash_ids": [0, 2], "block_size": 256,
                "request_id": "req-002", "model_name": "DeepSeek-V3"}),
        ]
    );
}

#[test]
fn reads_of_tair_are_requests_and_writes_are_not() {
    let input = concat!(
        r#"{"type":"get","instance_id":"i","timestamp_ns":1711929600123456789,"keys":[-1,5],"input_len":1024,"trace_id":"t"}"#,
        "\n",
        r#"{"type":"write_cache","instance_id":"i","timestamp_ns":1711929600123456790,"keys":[-1,5],"input_len":1024}"#,
        "\n",
        r#"{"type":"get","instance_id":"i","timestamp_us":1711929600123457,"keys":[-1],"tokens":[],"input_len":600}"#,
        "\n",
    );
    let rows = converted("tair", &["-b", "512"], input);
    assert_eq!(
        rows[0],
        json!({"timestamp": 0, "input_length": 1024, "hash_ids": [u64::MAX, 5], "type": "get", "instance_id": "i",
            "trace_id": "t"})
    );
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[1]["timestamp"], &rows[1]["input_length"]), (&json!(0.000_211), &json!(600)));
    assert_eq!(rows[1]["hash_ids"], json!([u64::MAX]));
}

#[test]
fn ids_of_the_simulator_may_be_strings() {
    let input = concat!(
        r#"{"timestamp": 1.50, "input_length": 32, "block_size": 16, "hash_ids": ["x", "7"], "block_tokens": [16, 16]}"#,
        "\n",
        r#"{"timestamp": 2, "input_length": 32, "output_length": 3, "block_size": 16, "hash_ids": ["x", 7]}"#,
        "\n",
    );
    assert_eq!(
        converted("kvcache-simulator", &[], input),
        [
            json!({"timestamp": 1.5, "input_length": 32, "hash_ids": [0, 1], "block_size": 16, "block_tokens": [16, 16]}),
            json!({"timestamp": 2, "input_length": 32, "output_length": 3, "hash_ids": [0, 1], "block_size": 16}),
        ]
    );
}

#[test]
fn tables_of_lengths_have_no_ids() {
    let burstgpt = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45.5,\"GPT-4, \"\"x\"\"\",1087,0,1087,API log\n";
    assert_eq!(
        converted("burstgpt", &[], burstgpt),
        [
            json!({"timestamp": 5000, "input_length": 472, "output_length": 18, "Model": "ChatGPT",
                "Total tokens": 490, "Log Type": "Conversation log"}),
            json!({"timestamp": 45500, "input_length": 1087, "output_length": 0, "Model": "GPT-4, \"x\"",
                "Total tokens": 1087, "Log Type": "API log"}),
        ]
    );
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-17 00:00:00+00:00,1,2\r\n";
    assert_eq!(
        converted("azure", &[], azure),
        [
            json!({"timestamp": 0, "input_length": 374, "output_length": 44}),
            json!({"timestamp": 4314.579, "input_length": 396, "output_length": 109}),
            json!({"timestamp": 20_653_319.41, "input_length": 1, "output_length": 2}),
        ]
    );
    let vidur = "arrived_at,num_prefill_tokens,num_decode_tokens\n0.125,100,20.0\n";
    assert_eq!(
        converted("vidur", &[], vidur),
        [json!({"timestamp": 125, "input_length": 100, "output_length": 20})]
    );
}

#[test]
fn the_table_that_is_written_is_read_back() {
    let trace = format!("{}{}", line(3, 1024, 7, &[0, 1]), "{\"input_length\": 9}\n");
    let table = cat(&["--to-format", "csv"], &trace);
    assert_eq!(table, "timestamp,input_length,output_length,hash_ids\n3,1024,7,0 1\n,9,,\n");
    assert_eq!(cat(&[], &table), trace);
    assert_eq!(cat(&["--to-format", "csv"], ""), "timestamp,input_length,output_length,hash_ids\n");
}

#[test]
fn other_programs_get_their_names_and_units() {
    let trace = "{\"timestamp\": 1500, \"input_length\": 600, \"output_length\": 7, \"hash_ids\": [5, 9], \"x\": 1}\n";
    for (target, expected) in [
        ("aiperf", json!({"timestamp": 1500, "input_length": 600, "output_length": 7, "hash_ids": [5, 9]})),
        ("guidellm", json!({"timestamp": 1.5, "input_length": 600, "output_length": 7, "hash_ids": [0, 1]})),
        ("vllm", json!({"timestamp": 1.5, "input_length": 600, "output_length": 7, "hash_ids": [5, 9]})),
        (
            "kvcache-simulator",
            json!({"timestamp": 1500, "input_length": 600, "output_length": 7, "hash_ids": [5, 9], "block_size": 512}),
        ),
        (
            "bailian",
            json!({"chat_id": 0, "parent_chat_id": -1, "timestamp": 1.5, "input_length": 600,
                "output_length": 7, "type": "text", "turn": 1, "hash_ids": [5, 9], "x": 1}),
        ),
    ] {
        assert_eq!(values(&cat(&["--to-format", target], trace)), [expected], "{target}");
    }
    let lengths = "{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 7}\n";
    for target in ["kvcache-simulator", "guidellm", "vllm"] {
        let ran = run("trace-cat", &["--to-format", target], lengths);
        assert_eq!(ran.status, Some(1));
        assert!(
            ran.stderr.starts_with("trace-cat: -:1: missing field \"hash_ids\", which"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn what_is_written_for_other_programs_is_read_back() {
    let trace = format!(
        "{}{}",
        "{\"timestamp\": 0.25, \"input_length\": 600, \"output_length\": 7, \"hash_ids\": [0, 1]}\n",
        line(1500, 1000, 3, &[0, 2])
    );
    for format in ["aiperf", "guidellm", "vllm", "csv"] {
        let written = cat(&["--to-format", format], &trace);
        assert_eq!(cat(&["--from-format", format], &written), trace, "{format}");
    }
    let written = cat(&["--to-format", "kvcache-simulator"], &trace);
    assert_eq!(written.replace(", \"block_size\": 512", ""), trace);
    assert_eq!(cat(&["--from-format", "kvcache-simulator"], &written), written);
    let written = cat(&["--to-format", "bailian", "-b", "512"], &trace);
    let back = cat(&["--from-format", "bailian", "-b", "512", "--to-format", "csv"], &written);
    assert_eq!(back, cat(&["--to-format", "csv"], &trace));
}

#[test]
fn sessions_become_chains_of_chats() {
    let row = |session: &str, time: u64| {
        format!(
            "{{\"timestamp\": {time}, \"input_length\": 5, \"output_length\": 1, \"session_id\": \"{session}\"}}\n"
        )
    };
    let rows =
        values(&cat(&["--to-format=bailian"], &format!("{}{}{}", row("a", 1), row("b", 2), row("a", 3))));
    let chains: Vec<_> =
        rows.iter().map(|r| (r["chat_id"].clone(), r["parent_chat_id"].clone(), r["turn"].clone())).collect();
    assert_eq!(
        chains,
        [(json!(0), json!(-1), json!(1)), (json!(1), json!(-1), json!(1)), (json!(2), json!(0), json!(2))]
    );
}

#[test]
fn a_prompt_is_refused_with_a_pointer_to_trace_hash() {
    for prompt in
        ["{\"prompt\": \"a\"}", "{\"messages\": []}", "{\"text_input\": \"a\", \"output_length\": 3}"]
    {
        let ran = run("trace-cat", &[], prompt);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("-:1: a prompt") && ran.stderr.contains("trace-hash"), "{}", ran.stderr);
    }
}

#[test]
fn bad_rows_of_other_formats_are_named_and_skipped() {
    let table = "arrived_at,num_prefill_tokens,num_decode_tokens\n1,x,2\n2,5,3\n3,5\n\"4,5,6\n";
    let ran = run("trace-cat", &[], table);
    assert_eq!(ran.status, Some(1));
    assert_eq!(
        ran.stderr,
        "trace-cat: -:2: num_prefill_tokens: expected a whole number of tokens, found x\n"
    );
    let ran = run("trace-cat", &["--skip-invalid"], table);
    assert_eq!(ran.stdout, "{\"timestamp\": 2000, \"input_length\": 5, \"output_length\": 3}\n");
    assert!(ran.stderr.contains("skipped 3 invalid records"), "{}", ran.stderr);
    for (input, message) in [
        ("{\"requests\": 5, \"hash_id_scope\": \"local\", \"block_size\": 64}", "requests: expected a list"),
        ("{\"requests\": [], \"hash_id_scope\": \"planet\", \"block_size\": 64}", "expected \"local\""),
        ("{\"schema\": \"dynamo.agentic_mooncake\", \"version\": 1}", "expected version 2"),
        ("{\"chunk_hashes\": [[]], \"seq_len\": 256}", "expected ids as numbers or strings"),
        ("{\"keys\": [1], \"timestamp_ns\": 5}", "input_len"),
        (
            "{\"event\": {\"event_type\": \"request_end\", \"event_time_unix_ms\": 1}}",
            "request_end without a request",
        ),
        (
            "{\"chat_id\": 1, \"parent_chat_id\": 1, \"input_length\": 99999999999999}",
            "not a plausible number",
        ),
        (
            "{\"prefix_tokens\": 1, \"input_tokens_total\": 1, \"session_id\": 1, \"timing_events\": [{\"timestamp\": \"x\"}]}",
            "timing_events",
        ),
    ] {
        let ran = run("trace-cat", &[], input);
        assert_eq!(ran.status, Some(1), "{input}");
        assert!(ran.stderr.starts_with("trace-cat: -:1: ") && ran.stderr.contains(message), "{}", ran.stderr);
    }
}

#[test]
fn files_of_different_formats_join_and_their_ids_stay_apart() {
    let folder = scratch();
    let small = "{\"timestamp\": 7, \"input_length\": 32, \"output_length\": 1, \"hash_ids\": [0, 1], \"block_size\": 16}\n";
    write(folder.path(), "a", small);
    write(folder.path(), "b", BAILIAN);
    let rows = values(&run_in(folder.path(), "trace-cat", &["-q", "a", "b"], "").ok());
    let ids: Vec<_> = rows.iter().map(|row| row["hash_ids"].clone()).collect();
    assert_eq!(ids, [json!([0, 1]), json!([2, 3, 4]), json!([2, 3, 5])]);
    let piped = run_in(folder.path(), "trace-cat", &["-q", "a", "-"], BAILIAN).ok();
    assert_eq!(values(&piped), rows);
    let late = run_in(folder.path(), "trace-cat", &["--ids-scope=shared", "a", "-"], BAILIAN);
    assert_eq!(late.status, Some(1));
    assert!(late.stderr.contains("give --renumber"), "{}", late.stderr);
}

/// Sessions as aiperf has them: rows of what is new, with ids of their own blocks.
fn incremental() -> String {
    let row = |session: &str, time: u64, input: u64, output: u64, ids: &str| {
        format!(
            "{{\"timestamp\": {time}, \"input_length\": {input}, \"output_length\": {output}, \"hash_ids\": {ids}, \"session_id\": \"{session}\", \"block_size\": 10}}\n"
        )
    };
    [
        row("a", 0, 25, 5, "[0, 1, 2]"),
        row("b", 1, 25, 9, "[0, 1, 3]"),
        row("a", 2, 12, 8, "[4, 5]"),
        "{\"timestamp\": 3, \"input_length\": 20, \"output_length\": 1, \"hash_ids\": [0, 1], \"block_size\": 10}\n".into(),
        row("b", 4, 30, 1, "[6, 7, 8]"),
        row("a", 5, 10, 1, "[9]"),
    ]
    .concat()
}

#[test]
fn turns_are_converted_both_ways_and_nothing_is_counted_twice() {
    let whole = cat(&["--turns=cumulative"], &incremental());
    let rows = values(&whole);
    let lengths: Vec<u64> = rows.iter().map(|row| row["input_length"].as_u64().unwrap()).collect();
    // a: 25, 25+5+12, 42+8+10. b: 25, 25+9+30.
    assert_eq!(lengths, [25, 25, 42, 20, 64, 60]);
    assert_eq!(cat(&["--from-format=aiperf"], &incremental()), whole, "aiperf's rows are incremental");
    assert_eq!(cat(&["--from-format=aiperf", "--turns=incremental"], &incremental()), incremental());
    let ids: Vec<Vec<u64>> =
        rows.iter().map(|row| serde_json::from_value(row["hash_ids"].clone()).unwrap()).collect();
    assert_eq!((&ids[2][..2], &ids[4][..2]), (&ids[0][..2], &ids[1][..2]), "full blocks stay");
    assert_eq!(ids[5][..4], ids[2][..4]);
    assert_eq!(run("trace-cat", &["--check"], &whole).status, Some(0));

    // Back again: what is new adds up to the last prompts.
    let rows = values(&cat(&["--turns=incremental"], &whole));
    let lengths: Vec<u64> = rows.iter().map(|row| row["input_length"].as_u64().unwrap()).collect();
    let new: Vec<u64> =
        values(&incremental()).iter().map(|row| row["input_length"].as_u64().unwrap()).collect();
    assert_eq!(lengths, new);
    // The infinite cache serves of session a what its prompts repeat in whole blocks, no more.
    let report: Value =
        serde_json::from_str(&run("trace-stats", &["-f", "json", "-b", "10"], &whole).ok()).unwrap();
    assert_eq!(report["cached_tokens"], 20 + 20 + 20 + 20 + 40);
}

#[test]
fn whole_prompts_go_to_aiperf_as_what_is_new_or_without_their_session() {
    let rows = values(&cat(&["--turns=incremental", "--to-format=aiperf"], BAILIAN));
    assert_eq!(rows[0]["session_id"], rows[1]["session_id"]);
    // 48 tokens after 33 + 9.
    assert_eq!((&rows[1]["input_length"], &rows[1]["hash_ids"]), (&json!(6), &json!([3])));
    let whole = values(&cat(&["--to-format=aiperf"], BAILIAN));
    assert_eq!((&whole[1]["input_length"], whole[1].get("session_id")), (&json!(48), None));
}

#[test]
fn a_prompt_that_does_not_continue_begins_another_session() {
    let row = |input: u64| {
        format!("{{\"session_id\": \"a\", \"input_length\": {input}, \"output_length\": 10, \"x\": 1}}\n")
    };
    let ran = run("trace-cat", &["--turns=incremental"], row(30) + &row(35) + &row(50));
    assert!(ran.stderr.contains("1 prompts do not continue"), "{}", ran.stderr);
    let restarted = |input: u64| row(input).replace("\"a\"", "\"a.2\"");
    assert_eq!(ran.stdout, row(30) + &restarted(35) + &restarted(5));
}

#[test]
fn for_aiperf_a_session_begins_at_a_time_and_an_id_has_as_many_tokens_wherever_it_stands() {
    let row = |time: &str, input: u64, ids: &str| {
        format!(
            "{{{time}, \"session_id\": \"a\", \"input_length\": {input}, \"output_length\": 10, \
             \"block_size\": 10, \"hash_ids\": {ids}}}\n"
        )
    };
    let trace = [
        row("\"timestamp\": 1000", 20, "[0, 1]"),
        row("\"delay\": 500", 40, "[0, 1, 2, 3]"),
        row("\"delay\": 200", 45, "[0, 1, 2, 3, 4]"),
        row("\"delay\": 100", 60, "[0, 1, 2, 3, 5, 6]"),
    ]
    .concat();
    let rows = values(&cat(&["--turns=incremental", "--to-format=aiperf", "--speedup-ratio=2"], &trace));
    let times: Vec<_> =
        rows.iter().map(|row| (row["session_id"].as_str(), &row["timestamp"], &row["delay"])).collect();
    let none = &Value::Null;
    assert_eq!(
        times,
        [
            (Some("a"), &json!(500), none),
            (Some("a"), none, &json!(250)),
            // 45 tokens do not follow 40 and an answer of 10.
            (Some("a.2"), &json!(850), none),
            (Some("a.2"), none, &json!(50)),
        ]
    );
    let mut sizes = std::collections::HashMap::new();
    for row in &rows {
        let length = row["input_length"].as_u64().unwrap();
        for (n, id) in (0..).zip(row["hash_ids"].as_array().unwrap()) {
            let size = 10.min(length - 10 * n);
            assert_eq!(*sizes.entry(id.as_u64()).or_insert(size), size, "{id} in {rows:?}");
        }
    }
}

/// A Python of the user's with these packages, in a virtual environment that `KVTRACE_PYTHON` names.
fn python(script: &str, folder: &std::path::Path) -> Option<Ran> {
    let Ok(python) = std::env::var("KVTRACE_PYTHON") else {
        eprintln!("skipped: KVTRACE_PYTHON names no Python with the peers");
        return None;
    };
    let output = Command::new(python).args(["-c", script]).current_dir(folder).stdin(Stdio::null()).output();
    Some(Ran::of(&output.unwrap()))
}

#[test]
fn the_simulator_of_kvcache_ai_reads_what_is_written_for_it() {
    let folder = scratch();
    let Some(path) = real("traces/conversation_trace.jsonl") else { return };
    let trace = std::fs::read_to_string(path).unwrap();
    write(folder.path(), "sim.jsonl", cat(&["--to-format=kvcache-simulator", "--head=500"], &trace));
    let script = "from kvcache_sim.trace import parse_trace_lines as p; t = p(open('sim.jsonl')); \
                  print(t.request_count, t.block_size, t.total_input_tokens, t.unique_raw_blocks)";
    let Some(ran) = python(script, folder.path()) else { return };
    let ours = values(&cat(&["--head=500"], &trace));
    let tokens: u64 = ours.iter().map(|row| row["input_length"].as_u64().unwrap()).sum();
    let blocks: std::collections::HashSet<u64> = ours
        .iter()
        .flat_map(|row| row["hash_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()))
        .collect();
    assert_eq!(ran.ok().trim(), format!("500 512 {tokens} {}", blocks.len()));
}

#[test]
fn aiperf_reads_what_is_written_for_it() {
    let folder = scratch();
    let Some(path) = real("traces/conversation_trace.jsonl") else { return };
    let trace = std::fs::read_to_string(path).unwrap();
    for target in ["aiperf", "bailian"] {
        write(folder.path(), target, cat(&["--to-format", target, "--head=500"], &trace));
    }
    let script = "from aiperf.dataset.loader.models import BailianTrace as B, MooncakeTrace as M\n\
                  print(sum(M.model_validate_json(line).input_length for line in open('aiperf')), \
                  sum(B.model_validate_json(line).timestamp for line in open('bailian')))";
    let Some(ran) = python(script, folder.path()) else { return };
    let rows = values(&cat(&["--head=500"], &trace));
    let sum = |name: &str| rows.iter().map(|row| row[name].as_u64().unwrap()).sum::<u64>();
    let seconds = sum("timestamp") as f64 / 1000.0;
    let (tokens, found) =
        ran.ok().trim().split_once(' ').map(|(a, b)| (a.to_owned(), b.parse::<f64>().unwrap())).unwrap();
    assert_eq!(tokens, sum("input_length").to_string());
    assert!((found - seconds).abs() < 1e-3, "{found} {seconds}");
}

#[test]
fn formats_work_in_pipes_with_compression() {
    let folder = scratch();
    write(folder.path(), "b.jsonl", BAILIAN);
    let command = "trace-cat --compress gzip b.jsonl | trace-cat -z zstd | trace-cat --to-format bailian";
    assert_eq!(shell(folder.path(), command).ok(), BAILIAN);
}

#[test]
fn semicolons_and_tabs_separate_columns_where_the_first_line_has_them() {
    let table = "timestamp,input_length,output_length,hash_ids,note\n0,900,5,0 1,\"a, b\"\n7,700,3,0 2,x\n";
    let expected = run("trace-cat", &[], table).ok();
    assert_eq!(expected.lines().count(), 2);
    for separator in [';', '\t'] {
        let other =
            table.replace("a, b", "\u{0}").replace(',', &separator.to_string()).replace('\u{0}', "a, b");
        assert_eq!(run("trace-cat", &[], other).ok(), expected, "{separator}");
    }
    let columns = ["--columns=timestamp=Zeit,input_length=Länge"];
    let ran = run("trace-cat", &columns, "Zeit;Länge;Mandant\n2026-11-02T01:44:35Z;9;acme\n");
    assert!(ran.ok().contains("\"Mandant\": \"acme\""));
    let other =
        run("trace-cat", &["--columns=timestamp=Zeit,input_length=n"], "Zeit;n\n02.11.2026 01:44;9\n");
    assert!(other.stderr.contains("timestamp: expected a number, or a date such as"), "{}", other.stderr);
}

#[test]
fn columns_of_a_table_may_have_names_of_their_own() {
    let table = "when,prompt tokens,out,tenant\n2026-11-23T10:00:00Z,500,7,a\n2026-11-23T10:00:01Z,600,,b\n";
    let columns = "--columns=timestamp=when,input_length=prompt tokens,output_length=out";
    let text = run("trace-cat", &[columns], table).ok();
    assert_eq!(
        text,
        "{\"timestamp\": 0, \"input_length\": 500, \"output_length\": 7, \"tenant\": \"a\"}\n\
         {\"timestamp\": 1000, \"input_length\": 600, \"tenant\": \"b\"}\n"
    );
    // Ids, without times; a column that is kept under another name.
    let table = "n,blocks,chat\n600,4 5,x\n512,4,y\n";
    let columns = [
        "--columns=input_length=n,hash_ids=blocks",
        "--columns",
        "session_id=chat",
        "--sample=1",
        "--sample-by=session",
    ];
    let text = run("trace-cat", &columns, table).ok();
    assert_eq!(
        text.lines().next(),
        Some("{\"input_length\": 600, \"hash_ids\": [4, 5], \"session_id\": \"x\"}")
    );
    for (args, table, message) in [
        (&["--columns=input_length=m"][..], table, "no column \"m\" (from --columns), but n, blocks, chat"),
        (
            &["--columns=timestamp=n"],
            table,
            "among them \"input_length\", found timestamp, blocks, chat: --columns",
        ),
        (&["-f", "csv"], table, "among them \"timestamp\", found n, blocks, chat: --columns of trace-cat"),
        (&[], table, "of a table with names of its own, --columns of trace-cat"),
    ] {
        let ran = run("trace-cat", args, table);
        assert!(ran.status == Some(1) && ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
    }
    let stats = run("trace-stats", &[], table);
    assert!(stats.stderr.contains("--columns of trace-cat"), "{}", stats.stderr);
    assert!(!run("trace-stats", &[], "hello, world!\n").stderr.contains("--columns"));
}

#[test]
fn labels_of_a_log_are_named_or_kept() {
    let log = |tenant: &str| {
        format!(
            "{{\"ts\": \"2026-11-23T10:00:00Z\", \"tenant\": {tenant:?}, \"region\": \"eu\", \"note\": \"{}\", \
             \"meta\": {{\"team\": \"red\"}}, \"model\": \"m\", \"usage\": {{\"prompt_tokens\": 7, \"completion_tokens\": 1}}}}\n",
            "long ".repeat(20)
        )
    };
    let text = log("a") + &log("b") + &log("a");
    let ran = run("trace-cat", &[], &text);
    assert!(
        ran.stderr.contains("fields of the log that are left out: region, tenant (see trace-cat --keep)\n"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stdout.contains("tenant"));
    let kept = run("trace-cat", &["--keep=tenant,meta.team", "--keep=region"], &text);
    assert!(kept.stdout.starts_with("{\"timestamp\": 0, \"input_length\": 7, \"output_length\": 1, \"model\": \"m\", \"tenant\": \"a\", \"meta.team\": \"red\", \"region\": \"eu\"}\n"), "{}", kept.stdout);
    assert!(!kept.stderr.contains("left out"), "{}", kept.stderr);
    let by = run("trace-stats", &["--by=tenant", "-f", "csv"], &text);
    assert!(by.stdout.contains("\na,total,,requests,2\n"), "{by:?}");
    assert!(by.stderr.contains("left out: region (see"), "{}", by.stderr);
    let by = run("trace-stats", &["--by=meta.team", "-f", "csv"], &text);
    assert!(by.stdout.contains("\nred,total,,requests,3\n"), "{by:?}");
}
