//! Logs of agents, engines and gateways: what their records say beyond the samples of their formats.

use crate::support::run;
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
    let transcript = claude("a", [1020, 0, 1])
        + &claude("b", [700, 0, 1])
        + &claude("a", [1020, 0, 120])
        + &claude("c", [10, 704, 1])
        + &claude("b", [700, 0, 70])
        + &claude("c", [10, 704, 9])
        // Where a session is resumed, its past is there again.
        + &claude("a", [1020, 0, 120]);
    let found = cat(&transcript);
    assert_eq!(column(&found, "output_length"), [120, 70, 9]);
    assert_eq!(column(&found, "input_length"), [1024, 704, 718]);
    // In two files, calls of the first do not wait for the second.
    let folder = crate::support::scratch();
    let first = crate::support::write(folder.path(), "a.jsonl", &transcript);
    let second = crate::support::write(folder.path(), "b.jsonl", transcript.replace("\"s\"", "\"t\""));
    let both = rows(&run("trace-cat", &["-q", &first, &second], "").ok());
    assert_eq!(column(&both, "output_length"), [120, 70, 9, 120, 70, 9]);
    assert_eq!(column(&both, "session_id"), ["s", "s", "s", "t", "t", "t"]);
    // More calls than are held come in the order of their first lines all the same.
    let many: String = (0..200).map(|i| claude(&format!("m{i}"), [i, 0, i])).collect();
    let lengths: Vec<u64> = (0..200).collect();
    assert_eq!(column(&cat(&many), "output_length"), lengths);
}
