//! Faults of `trace-synth` that trials have found.

use crate::support::{chats, line, run, run_in, scratch, write};
use serde_json::Value;

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn synth(args: &[&str], trace: &str) -> String {
    run("trace-synth", &[&["-q"], args].concat(), trace).ok()
}

fn stats(args: &[&str], trace: &str) -> Value {
    let args = [&["-q", "-f", "json"], args].concat();
    serde_json::from_str(&run("trace-stats", &args, trace).ok()).unwrap()
}

#[test]
fn a_trace_of_lengths_alone_becomes_prompts_as_it_is() {
    let trace = "{\"timestamp\": 0, \"input_length\": 8, \"output_length\": 3}\n{\"timestamp\": 1, \"input_length\": 700}\n";
    for model in ["none", "replay"] {
        let prompts = rows(&synth(&["--model", model, "--prompts=tokens", "-n2"], trace));
        let mut lengths: Vec<usize> =
            prompts.iter().map(|row| row["prompt_token_ids"].as_array().unwrap().len()).collect();
        if model == "none" {
            assert_eq!(lengths, [8, 700]);
        }
        lengths.retain(|length| ![8, 700].contains(length));
        assert!(lengths.is_empty(), "{model}: {lengths:?}");
    }
    let written = rows(&synth(&["--model", "none"], trace));
    assert!(written.iter().all(|row| row.get("hash_ids").is_none()), "{written:?}");
}

#[test]
fn what_is_asked_for_is_met_by_what_comes_before_an_end_in_time() {
    let trace = chats(3000, 4);
    for model in ["sessions", "none", "replay", "tree"] {
        let rated = synth(&["--model", model, "--rate", "5", "--duration", "100s"], &trace);
        let count = rated.lines().count();
        assert!((485..=515).contains(&count), "{model}: {count}");
    }
    for wanted in ["0.3", "0.5"] {
        let out = synth(&["--target-hit-rate", wanted, "--duration", "120s"], &trace);
        let rate = stats(&[], &out)["token_hit_rate"].as_f64().unwrap();
        assert!((rate - wanted.parse::<f64>().unwrap()).abs() < 0.02, "{wanted}: {rate}");
    }
}

#[test]
fn turns_of_one_moment_stay_in_order() {
    // Pairs of turns that all come at once, and pairs on ticks.
    for tick in [0, 3000] {
        let pair = |i: u64| {
            let time = i / 4 * tick;
            line(time, 512, 9, &[2 * i]) + &line(time, 1024, 9, &[2 * i, 2 * i + 1])
        };
        let trace: String = (0..40).map(pair).collect();
        let out = rows(&synth(&["--schedule", "open", "--annotate"], &trace));
        let mut turns = std::collections::HashMap::new();
        for row in &out {
            let turn = turns.entry(row["session_id"].as_str().unwrap().to_owned()).or_insert(0);
            *turn += 1;
            assert_eq!(row["turn"], *turn, "{row}");
            assert_eq!(row["context_len"], if *turn == 1 { 0 } else { 512 }, "{row}");
            assert_eq!(row["input_length"], 512 * *turn, "{row}");
        }
    }
}

#[test]
fn a_report_counts_the_blocks_that_are_listed() {
    let trace: String = (0..300).map(|i| line(i * 100, 700, 9, &[i * i % 50])).collect();
    let ran = run("trace-synth", &["--model", "none", "--report"], &trace);
    let original = |name: &str| -> f64 {
        let row = ran.stderr.lines().find(|line| line.starts_with(name)).unwrap();
        row[name.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    let expected = stats(&["-c", "500"], &trace);
    let close = |a: f64, b: &Value| (a - b.as_f64().unwrap()).abs() < 1e-4;
    assert!(close(original("token_hit_rate"), &expected["token_hit_rate"]), "{}", ran.stderr);
    assert!(close(original("lru 500 "), &expected["capacity"][0]["token_hit_rate"]), "{}", ran.stderr);
    assert!(close(original("ks hit "), &expected["hit_rate"]["mean"]), "{}", ran.stderr);
    let reused = original("ks reuse_s");
    assert!(reused >= 0.0 && !ran.stderr.contains("-0.0000"), "{}", ran.stderr);
}

#[test]
fn requests_without_an_output_are_as_many_and_the_others_as_long() {
    let trace: String = (0..400)
        .map(|i| {
            let line = line(i * 500, 600 + i, 100, &[2 * i, 2 * i + 1]);
            if i % 2 == 0 { line } else { line.replace("\"output_length\": 100, ", "") }
        })
        .collect();
    for model in ["sessions", "replay", "tree", "none"] {
        let out = synth(&["--model", model], &trace);
        assert_eq!(stats(&[], &out)["output_length"]["mean"], 100.0, "{model}");
        let with = out.matches("output_length").count();
        assert!((150..250).contains(&with), "{model}: {with}");
    }
    let folder = scratch();
    let file = write(folder.path(), "model", "");
    let direct = synth(&["--seed=3", "--save-model", &file], &trace);
    assert_eq!(
        direct,
        run_in(folder.path(), "trace-synth", &["-q", "--seed=3", "--model-file", "model"], "").ok()
    );
    // Of few sessions that have none nothing is told.
    let hardly: String = (0..400)
        .map(|i| {
            let line = line(i * 500, 600 + i, 100, &[2 * i, 2 * i + 1]);
            if i % 100 == 7 { line.replace("\"output_length\": 100, ", "") } else { line }
        })
        .collect();
    assert_eq!(synth(&[], &hardly).matches("output_length").count(), 400);
}

#[test]
fn a_pace_tells_of_many_sessions() {
    // Two hundred sessions wait 50 ms for a token and more, and one with many turns 7.654.
    let mut lines = Vec::new();
    let mut next = 0;
    let mut session = |start: u64, turns: u64, pace: f64| {
        let mut time = start as f64;
        for turn in 1..=turns {
            let ids: Vec<u64> = (next..next + turn).collect();
            lines.push((
                time,
                line(0, turn * 512, 1000, &ids)
                    .replace("\"timestamp\": 0", &format!("\"timestamp\": {time}")),
            ));
            time += 1000.0 * pace;
        }
        next += turns;
    };
    (0..200).for_each(|i| session(i * 700, 3, 50.0 + i as f64 / 7.0));
    session(5000, 12, 7.654);
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let trace: String = lines.into_iter().map(|line| line.1).collect();
    let folder = scratch();
    let pace = |count: &str| -> f64 {
        let file = write(folder.path(), "model", "");
        synth(&["-n0", "--min-count", count, "--save-model", &file], &trace);
        let model = std::fs::read_to_string(&file).unwrap();
        let at = model.find("\"per_output_token\":").unwrap() + 19;
        model[at..].split([',', '}']).next().unwrap().parse().unwrap()
    };
    assert!(pace("50") > 0.045, "{}", pace("50"));
    assert!(pace("5") > 0.04, "{}", pace("5"));
}

#[test]
fn a_trace_without_times_has_no_delays_either() {
    let turns: String =
        (0..60).map(|i| line(0, 512, 9, &[2 * i]) + &line(0, 1024, 9, &[2 * i, 2 * i + 1])).collect();
    let timeless = turns.replace("\"timestamp\": 0, ", "");
    let closed = synth(&["--schedule", "closed"], &timeless);
    assert!(!closed.contains("delay") && !closed.contains("timestamp"), "{closed}");
    let rated = rows(&synth(&["--schedule", "closed", "--rate", "100"], &timeless));
    let delays: Vec<f64> = rated.iter().filter_map(|row| row["delay"].as_f64()).collect();
    assert!(!delays.is_empty() && delays.iter().all(|&delay| delay < 100.0), "{delays:?}");
    // Where all come at once, a rate spreads them.
    for model in ["sessions", "replay", "tree", "none"] {
        let spread = rows(&synth(&["--model", model, "--rate", "5"], &turns));
        let last = spread.last().unwrap()["timestamp"].as_f64().unwrap();
        assert!((12_000.0..48_000.0).contains(&last), "{model}: {last}");
    }
}

#[test]
fn an_empty_prompt_says_nothing_of_partial_blocks() {
    let trace = line(0, 0, 1, &[]) + &line(1, 700, 1, &[0]) + &line(2, 700, 1, &[0]);
    let report = stats(&[], &synth(&["--model", "none"], &trace));
    assert_eq!((&report["unique_blocks"], &report["blocks"]), (&1.into(), &2.into()), "{report}");
}
