//! The caches of serving engines: against the figures that were counted by the engines themselves, and
//! against models that are slow and obviously right.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;

use crate::support::engine::{Load, Served, serve};
use crate::support::radix::{serve_lmcache, serve_sglang};
use crate::support::{line, real, run, scratch, write};
use kvtrace::io::{Input, InputOptions};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Trace lines with blocks of `size` tokens out of lines with the tokens of prompts and answers.
fn trace_of_tokens(path: &Path, size: usize, requests: usize) -> String {
    let mut numbers: HashMap<(usize, Vec<u64>), usize> = HashMap::new();
    let mut ids = |tokens: &[u64]| {
        let mut parent = 0;
        let blocks = tokens.chunks(size).map(|block| {
            let next = numbers.len() + 1;
            parent = *numbers.entry((parent, block.to_vec())).or_insert(next);
            parent
        });
        blocks.collect::<Vec<_>>()
    };
    let mut input = Input::new([path], InputOptions::default()).unwrap();
    let mut trace = String::new();
    for _ in 0..requests {
        if !input.advance(|_| Ok(())).unwrap() {
            break;
        }
        let request: Value = serde_json::from_slice(input.line()).unwrap();
        let tokens =
            |name: &str| request[name].as_array().map(|list| list.iter().map(|t| t.as_u64().unwrap()));
        let mut all: Vec<u64> = tokens("prompt_token_ids").unwrap().collect();
        let prompt = all.len();
        let prompt_ids = ids(&all);
        let answer = tokens("output_token_ids").map(Iterator::collect::<Vec<_>>);
        let length =
            answer.as_ref().map_or(request["output_length"].as_u64().unwrap_or(1) as usize, Vec::len).max(1);
        let mut line = json!({"timestamp": request["timestamp"].as_f64().unwrap_or(0.0), "input_length": prompt,
            "output_length": length, "hash_ids": prompt_ids, "block_size": size});
        if let Some(answer) = answer {
            all.extend(answer);
            all.truncate((prompt + length - 1) / size * size);
            line["output_hash_ids"] = json!(ids(&all)[prompt / size..]);
        }
        if let Some(session) = request.get("session") {
            line["session_id"] = json!(session.to_string());
        }
        writeln!(trace, "{line}").unwrap();
    }
    trace
}

/// The first 2,000 requests of the conversation trace, with lengths and blocks a sixteenth as long.
fn short_conversations(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut trace = String::new();
    for line in text.lines().take(2000) {
        let mut request: Value = serde_json::from_str(line).unwrap();
        for name in ["input_length", "output_length"] {
            request[name] = json!(request[name].as_u64().unwrap().div_ceil(16));
        }
        request["block_size"] = json!(32);
        writeln!(trace, "{request}").unwrap();
    }
    trace
}

/// The traces of the golden figures that are here.
fn trace(name: &str, size: u64) -> Option<String> {
    let data = |file: &str| real(&format!("oracle/engine/data/{file}"));
    let conversations = || real("traces/conversation_trace.jsonl");
    let size = size as usize;
    Some(match name {
        "p.tok" => trace_of_tokens(&data("p.tok.gz")?, size, usize::MAX),
        "c250.tok" | "c250t.tok" => trace_of_tokens(&data("c250t.tok.gz")?, size, usize::MAX),
        "conv2k32.jsonl" => short_conversations(&conversations()?),
        "conversation_trace.jsonl" => std::fs::read_to_string(conversations()?).unwrap(),
        _ => return None,
    })
}

/// The golden figures of a file; `None` where it is not here.
fn golden(name: &str) -> Option<Value> {
    Some(serde_json::from_slice(&std::fs::read(real(&format!("golden/{name}"))?).unwrap()).unwrap())
}

/// Rows of `policy` at these capacities.
fn rows(trace: &str, policy: &str, capacities: &[u64], options: &[&str]) -> Vec<Value> {
    let list = capacities.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let args = ["-q", "-f", "json", "--policy", policy, "-c", &list];
    let report: Value =
        serde_json::from_str(&run("trace-stats", &[&args, options].concat(), trace).ok()).unwrap();
    let rows = report["capacity"].as_array().unwrap().iter();
    let of =
        |capacity: &u64| rows.clone().find(|r| r["capacity_blocks"] == *capacity && r["policy"] == policy);
    capacities.iter().map(|capacity| of(capacity).unwrap().clone()).collect()
}

fn outputs(figure: &Value) -> &'static str {
    if figure["output"] == "one" { "--outputs=none" } else { "--outputs=recorded" }
}

#[test]
fn requests_in_turn_hit_what_they_hit_in_the_engines() {
    let Some(golden) = golden("engine.json") else { return };
    let mut compared = 0;
    for figure in golden["figures"].as_array().unwrap() {
        let text = |name: &str| figure[name].as_str().unwrap_or_default();
        if figure["concurrency"].as_u64().unwrap_or(1) != 1 {
            continue;
        }
        let case = text("case");
        let is_sglang = text("engine").starts_with("sglang");
        let size = if is_sglang { figure["page"].as_u64() } else { figure["block_size"].as_u64() }.unwrap();
        let name = match () {
            () if case.contains("conversation trace, all") => "conversation_trace.jsonl",
            () if case.contains("conv2k32") || case.contains("first 2000") => "conv2k32.jsonl",
            () if case.contains("prompts") => "p.tok",
            // The others need data that nobody may hand on.
            () => continue,
        };
        let Some(mut trace) = trace(name, size) else { return };
        if let Some(n) = case.split("first ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()) {
            trace = trace.lines().take(n).fold(String::new(), |all, line| all + line + "\n");
        }
        let (policy, capacity) = match figure["tokens"].as_u64() {
            Some(tokens) if is_sglang => ("sglang", tokens / size),
            _ => ("vllm", figure["usable_blocks"].as_u64().unwrap()),
        };
        let row = &rows(&trace, policy, &[capacity], &[outputs(figure)])[0];
        assert_eq!((&row["hit_tokens"], &row["tokens"]), (&figure["hits"], &figure["queries"]), "{figure}");
        if !figure["refused"].is_null() {
            assert_eq!(row["refused_requests"], figure["refused"], "{figure}");
        }
        compared += 1;
    }
    println!("{compared} figures");
    assert!(compared > 40, "{compared}");
}

/// The options of a golden figure of requests in flight together.
fn load_options(figure: &Value) -> Vec<String> {
    let mut options = vec![outputs(figure).to_owned(), format!("--concurrency={}", figure["K"])];
    let open = figure["open"].as_str();
    if let Some((prefill, decode)) = open.and_then(|open| open.split_once(',')) {
        options.push(format!("--service=prefill={prefill},decode={decode}"));
    }
    if figure["K"] == 1 && open.is_none() {
        return options;
    }
    options.push(format!("--step-tokens={}", figure["budget"]));
    options.extend((figure["async"] == true).then(|| "--async-scheduling".to_owned()));
    options.extend((figure["sessions"] == true).then(|| "--sessions".to_owned()));
    options
}

#[test]
fn requests_together_hit_what_they_hit_in_the_engine() {
    let Some(golden) = golden("engine.concurrent.json") else { return };
    // One run for all capacities.
    let mut runs: BTreeMap<(String, u64, String, Vec<String>), Vec<&Value>> = BTreeMap::new();
    for figure in golden["figures"].as_array().unwrap() {
        let (name, size) = (figure["trace"].as_str().unwrap(), figure["block_size"].as_u64().unwrap());
        let key = (name.to_owned(), size, figure["speed"].to_string(), load_options(figure));
        runs.entry(key).or_default().push(figure);
    }
    let mut compared = 0;
    for ((name, size, speed, options), mut figures) in runs {
        let Some(mut trace) = trace(&name, size) else { return };
        let speed: f64 = speed.parse().unwrap();
        if speed.to_bits() != 1_f64.to_bits() {
            let faster = |line: &str| {
                let mut request: Value = serde_json::from_str(line).unwrap();
                request["timestamp"] = json!(request["timestamp"].as_f64().unwrap() / speed);
                format!("{request}\n")
            };
            trace = trace.lines().map(faster).collect();
        }
        figures.sort_by_key(|figure| figure["usable_blocks"].as_u64());
        figures.dedup_by_key(|figure| figure["usable_blocks"].as_u64());
        let capacities: Vec<u64> = figures.iter().map(|f| f["usable_blocks"].as_u64().unwrap()).collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        for (row, figure) in rows(&trace, "vllm", &capacities, &options).iter().zip(figures) {
            for (ours, theirs) in [
                ("hit_tokens", "hits"),
                ("tokens", "queries"),
                ("refused_requests", "refused"),
                ("preempted_requests", "preempted_requests"),
                ("preempted_tokens", "preempted_queries"),
                ("preempted_hit_tokens", "preempted_hits"),
                ("steps", "steps"),
            ] {
                // Requests in turn are served without steps.
                if !row[ours].is_null() {
                    assert_eq!(row[ours], figure[theirs], "{ours} of {figure}");
                }
            }
            for (ours, theirs, digits) in
                [("mean_running", "mean_running", 2), ("simulated_s", "sim_seconds", 3)]
            {
                if let (Some(ours), Some(theirs)) = (row[ours].as_f64(), figure[theirs].as_f64()) {
                    assert!(
                        (ours - theirs).abs() < 0.51 * 10_f64.powi(-digits),
                        "{ours} and {theirs}: {figure}"
                    );
                }
            }
            compared += 1;
        }
    }
    println!("{compared} figures");
    assert!(compared > 150, "{compared}");
}

#[test]
fn every_request_hits_what_it_hits_in_the_engine() {
    let Some(golden) = golden("engine.concurrent.json") else { return };
    let Some(trace) = trace("p.tok", 16) else { return };
    for (name, hits) in golden["per_request_hits_p.tok"].as_object().unwrap() {
        let parts: Vec<&str> = name.split('.').collect();
        let ["p", output @ ("given" | "one"), concurrency, capacity] = parts[..] else { continue };
        let outputs = if output == "one" { "--outputs=none" } else { "--outputs=recorded" };
        let mut options = vec!["-q", "--per-request", "--policy=vllm", "-c", capacity, outputs];
        options.extend(["--concurrency", concurrency]);
        if concurrency != "1" {
            options.extend(["--step-tokens", "8192"]);
        }
        let out = run("trace-stats", &options, &trace).ok();
        let hit = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["hits"][format!("vllm:{capacity}")].clone()
        };
        assert_eq!(&out.lines().map(hit).collect::<Value>(), hits, "{name}");
    }
}

#[test]
fn the_smallest_inputs_that_tell_rules_apart_give_the_engines_figures() {
    let Some(golden) = golden("engine.concurrent.json") else { return };
    let mut compared = 0;
    for case in golden["minimal"].as_array().unwrap() {
        let theirs = case["options"].as_str().unwrap();
        // These are options of the engine that trace-stats does not have.
        if theirs.contains("watermark") || theirs.contains("no-reserve") {
            continue;
        }
        let mut options: Vec<String> = vec![outputs(case).to_owned()];
        let words: Vec<&str> = theirs.split(' ').collect();
        let value = |name: &str| Some(words[words.iter().position(|word| *word == name)? + 1]);
        options.push(format!("--concurrency={}", value("--concurrency").unwrap()));
        if value("--concurrency") != Some("1") {
            options.push(format!("--step-tokens={}", value("--budget").unwrap_or("8192")));
        }
        if let Some((prefill, decode)) = value("--open").and_then(|open| open.split_once(',')) {
            options.push(format!("--service=prefill={prefill},decode={decode}"));
        }
        options.extend(words.contains(&"--sessions").then(|| "--sessions".to_owned()));
        options.extend(words.contains(&"--async-sched").then(|| "--async-scheduling".to_owned()));
        let Some(path) = real(&format!("oracle/engine/{}", case["trace"].as_str().unwrap())) else { return };
        let text = std::fs::read_to_string(&path).unwrap();
        let trace =
            if text.contains("prompt_token_ids") { trace_of_tokens(&path, 4, usize::MAX) } else { text };
        let capacity = case["usable_blocks"].as_u64().unwrap();
        let args: Vec<&str> = options.iter().map(String::as_str).chain(["-b", "4"]).collect();
        let row = &rows(&trace, "vllm", &[capacity], &args)[0];
        assert_eq!((&row["hit_tokens"], &row["tokens"]), (&case["hits"], &case["queries"]), "{case}");
        compared += 1;
    }
    assert!(compared > 15, "{compared}");
}

/// A request of a random trace: who asks, what is new, how long the answer is, whether it is known, whether
/// the next turn quotes it, and the time since the last request.
type Turn = (u64, u64, u64, bool, bool, i64);

/// The requests as trace lines and as the models want them; blocks of `size` tokens.
fn chats(turns: &[Turn], size: usize) -> (String, Vec<Served>) {
    let (mut trace, mut requests) = (String::new(), Vec::new());
    let mut chats: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut numbers: HashMap<Vec<u64>, u64> = HashMap::new();
    let (mut fresh, mut now) = (1 << 40, 0);
    for &(chat, new, answer, is_known, is_quoted, gap) in turns {
        now += gap;
        let tokens = chats.entry(chat).or_insert_with(|| vec![chat % 2; 5]);
        let unlike = requests.len() as u64 % 3;
        tokens.extend((0..new).map(|token| 10 + token * unlike));
        let prompt = tokens.len();
        let mut all = tokens.clone();
        all.extend((0..answer).map(|token| 100 + token));
        if is_quoted {
            tokens.clone_from(&all);
        }
        let mut id = |end: usize| {
            let next = numbers.len() as u64;
            *numbers.entry(all[..end].to_vec()).or_insert(next)
        };
        let prompt_ids: Vec<u64> =
            (0..prompt).step_by(size).map(|start| id((start + size).min(prompt))).collect();
        let full = (prompt + answer as usize - 1) / size;
        let answer_ids: Vec<u64> = (prompt / size..full).map(|block| id(size * (block + 1))).collect();
        let mut ids = prompt_ids[..prompt / size].to_vec();
        let known = if is_known {
            answer_ids.clone()
        } else {
            answer_ids
                .iter()
                .map(|_| {
                    fresh += 1;
                    fresh
                })
                .collect()
        };
        ids.extend(known);
        let answers = if is_known { format!(", \"output_hash_ids\": {answer_ids:?}") } else { String::new() };
        let mut text = line(now as u64, prompt as u64, answer, &prompt_ids);
        text.truncate(text.len() - 2);
        writeln!(trace, "{text}{answers}, \"block_size\": {size}, \"session_id\": {chat}}}").unwrap();
        let (prompt, arrival) = (prompt as u64, now * 1_000_000);
        requests.push(Served { session: Some(chat), prompt, answer, arrival, ids });
    }
    (trace, requests)
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (0..6_u64, 0..9_u64, 1..12_u64, any::<bool>(), any::<bool>(), 0..40_i64);
    prop::collection::vec(turn, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn vllm_serves_what_a_plain_model_serves(
        turns in turns(),
        capacities in prop::collection::btree_set(3..40_u64, 1..4),
        at_a_time in 1..6_usize,
        step_tokens in prop::sample::select(vec![4, 8, 64]),
        is_open in any::<bool>(),
        sessions in any::<bool>(),
    ) {
        let (trace, requests) = chats(&turns, 4);
        let capacities: Vec<u64> = capacities.into_iter().collect();
        // A step takes 2 ms and 1 ms per token.
        let clock = is_open.then_some((1_000_000, 2_000_000));
        let load = Load { at_a_time, step_tokens, clock, sessions };
        let mut options = vec![format!("--concurrency={at_a_time}")];
        options.extend(is_open.then(|| format!("--service=prefill=1000,decode={}", 1000.0 / 3.0)));
        if is_open || at_a_time > 1 {
            options.push(format!("--step-tokens={step_tokens}"));
            options.extend(sessions.then(|| "--sessions".to_owned()));
        }
        let args: Vec<&str> = options.iter().map(String::as_str).collect();
        let list = capacities.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let fixed = ["-q", "--per-request", "--policy=vllm", "-c", &list];
        let out = run("trace-stats", &[&fixed, &args[..]].concat(), &trace).ok();
        let found: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let report = rows(&trace, "vllm", &capacities, &args);
        for (capacity, row) in capacities.iter().zip(report) {
            let (hits, again) = serve(&requests, 4, *capacity as usize, load);
            let ours: Vec<Option<u64>> =
                found.iter().map(|row| row["hits"][format!("vllm:{capacity}")].as_u64()).collect();
            prop_assert_eq!(&ours, &hits, "capacity {}", capacity);
            prop_assert_eq!(row["hit_tokens"].as_u64().unwrap(), hits.iter().flatten().sum::<u64>());
            prop_assert_eq!(row["refused_requests"].as_u64().unwrap() as usize, hits.iter().filter(|h| h.is_none()).count());
            prop_assert_eq!(row["preempted_requests"].as_u64().unwrap_or(0), again);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn sglang_and_lmcache_serve_what_plain_models_serve(
        turns in turns(),
        size in prop::sample::select(vec![1, 2, 4]),
        capacities in prop::collection::btree_set(3..60_u64, 1..5),
    ) {
        let (trace, requests) = chats(&turns, size);
        let list = capacities.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let args = ["-q", "--per-request", "--policy=sglang,lmcache", "-c", &list];
        let out = run("trace-stats", &args, &trace).ok();
        let found: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let hits = |cache: &str| -> Vec<Option<u64>> {
            found.iter().map(|row| row["hits"][cache].as_u64()).collect()
        };
        for capacity in capacities {
            let (size, blocks) = (size as u64, capacity as usize);
            let sglang = serve_sglang(&requests, size, blocks);
            prop_assert_eq!(hits(&format!("sglang:{capacity}")), sglang, "sglang, {} pages", capacity);
            let lmcache = serve_lmcache(&requests, size, blocks);
            prop_assert_eq!(hits(&format!("lmcache:{capacity}")), lmcache, "lmcache, {} chunks", capacity);
        }
    }
}

#[test]
fn of_two_leaves_used_together_the_older_one_leaves() {
    // Two answers that part after their first page: what is left of the one and what is new of the other
    // are used at once, and the next request needs the room of one page.
    let answered =
        |ids: &str| line(0, 2, 5, &[0]).replace("[0]", &format!("[0], \"output_hash_ids\": {ids}"));
    let before = answered("[1, 2]") + &answered("[1, 3]") + &line(0, 4, 1, &[4, 6]);
    for (asked, tokens) in [(2, 4), (3, 6)] {
        let trace = before.clone() + &line(0, 7, 1, &[0, 1, asked, 5]);
        assert_eq!(rows(&trace, "sglang", &[6], &["-b2"])[0]["hit_tokens"], tokens, "block {asked}");
    }
}

#[test]
fn an_answer_is_found_by_the_turn_that_quotes_it() {
    // Eight tokens and an answer of nine: 16 tokens are computed, four blocks of four.
    let first = line(0, 8, 9, &[0, 1]);
    let next = line(1, 18, 1, &[0, 1, 2, 3, 4]);
    let known = first.replace("[0, 1]", "[0, 1], \"output_hash_ids\": [2, 3]");
    let cached = |trace: &str, options: &[&str]| -> Value {
        let args = [&["-q", "-b", "4", "-f", "json"], options].concat();
        serde_json::from_str(&run("trace-stats", &args, trace).ok()).unwrap()
    };
    let (known, unknown) = (known + &next, first + &next);
    assert_eq!(cached(&known, &[])["cached_tokens"], 8, "the reference knows prompts alone");
    assert_eq!(cached(&known, &["--hits=engine"])["cached_tokens"], 16);
    assert_eq!(cached(&known, &["--hits=engine", "--outputs=none"])["cached_tokens"], 8);
    assert_eq!(cached(&unknown, &["--hits=engine"])["cached_tokens"], 8);
    let inferred = cached(&unknown, &["--hits=engine", "--outputs=infer"]);
    assert_eq!((&inferred["cached_tokens"], &inferred["inferred_answers"]), (&json!(16), &json!(1)));
    for policy in ["lru", "vllm", "sglang"] {
        let args = ["--hits=engine", "--outputs=infer", "--policy", policy, "-c", "6"];
        let row = &cached(&unknown, &args)["capacity"][0];
        assert_eq!(row["hit_tokens"], 16, "{policy}");
    }
    // An edited history is no next turn.
    let edited = unknown.replace("[0, 1, 2, 3, 4]", "[0, 9, 2, 3, 4]");
    assert_eq!(cached(&edited, &["--hits=engine", "--outputs=infer"])["inferred_answers"], 0);
}

#[test]
fn partial_blocks_take_no_room_in_the_caches_of_engines() {
    let trace =
        line(0, 8, 1, &[0, 1]) + &line(1, 1, 1, &[2]) + &line(2, 1, 1, &[3]) + &line(3, 9, 1, &[0, 1, 4]);
    for policy in ["lru", "vllm"] {
        let args = ["-b", "4", "--hits", "engine"];
        assert_eq!(rows(&trace, policy, &[3], &args)[0]["hit_tokens"], 8, "{policy}");
    }
}

#[test]
fn what_does_not_fit_is_counted_apart_and_said() {
    let trace =
        line(0, 40, 1, &(0..10).collect::<Vec<_>>()) + &line(1, 8, 1, &[0, 1]) + &line(2, 8, 1, &[0, 1]);
    let ran = run("trace-stats", &["-b4", "--policy=vllm,sglang", "-c5"], &trace);
    let said =
        "1 of 3 requests need more than 5 blocks: refused by --policy vllm, and in none of its figures";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(ran.stderr.contains("refused by --policy sglang"), "{}", ran.stderr);
    let lines = run("trace-stats", &["-qb4", "--policy=vllm,lru", "-c5", "--per-request"], &trace).ok();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = json!({"line": 1, "tokens": 40, "hits": {"vllm:5": null, "lru:5": 0, "infinite": 0}});
    assert_eq!(rows[0], first);
    assert_eq!(rows[2]["hits"], json!({"vllm:5": 4, "lru:5": 4, "infinite": 4}));
}

#[test]
fn a_cache_that_thrashes_is_said_to() {
    // Eight chats of two turns, one chat after the other, in room for one of them.
    let ids = |chat: u64| (0..13).map(|block| 100 * chat + block).collect::<Vec<_>>();
    let turn = |chat: u64| line(0, 50, 5, &ids(chat)).replace('}', &format!(", \"session_id\": {chat}}}"));
    let trace: String = (0..16).map(|n| turn(n / 2)).collect();
    let ran =
        run("trace-stats", &["-b4", "--policy=vllm", "-c15,200", "--concurrency=8", "--sessions"], &trace);
    let said = "a cache of 15 blocks thrashes: with 1.0 requests at a time on average it serves 0.0 % of the prompt \
                tokens, with one after the other 48.0 %; 185 more blocks serve 48.0 %";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
    let calm = run("trace-stats", &["-b4", "--policy=vllm", "-c15"], &trace);
    assert!(!calm.stderr.contains("thrashes"), "{}", calm.stderr);
}

#[test]
fn lines_of_requests_stand_in_the_order_of_the_trace() {
    let folder = scratch();
    let trace = write(
        folder.path(),
        "t",
        (0..50).map(|n| line(n, 8, 1 + n % 7, &[n % 3, 50 + n])).collect::<String>(),
    );
    let args = [
        "-q",
        "-b4",
        "--per-request",
        "--policy=lru,fifo,lfu,vllm,sglang,lmcache",
        "-c",
        "6,12",
        "--concurrency=4",
    ];
    let out = run("trace-stats", &[&args[..], &[&trace]].concat(), "").ok();
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows.iter().map(|row| row["line"].as_u64().unwrap()).collect::<Vec<_>>(),
        (1..=50).collect::<Vec<_>>()
    );
    let report = [
        "-q",
        "-b4",
        "-f",
        "json",
        "--policy=lru,fifo,lfu,vllm,sglang,lmcache",
        "-c",
        "6,12",
        "--concurrency=4",
    ];
    let report: Value =
        serde_json::from_str(&run("trace-stats", &[&report[..], &[&trace]].concat(), "").ok()).unwrap();
    for row in report["capacity"].as_array().unwrap() {
        let name = match row["policy"].as_str().unwrap() {
            "infinite" => "infinite".to_owned(),
            policy => format!("{policy}:{}", row["capacity_blocks"]),
        };
        let sum: u64 = rows.iter().filter_map(|line| line["hits"][&name].as_u64()).sum();
        assert_eq!(row["hit_tokens"], sum, "{name}");
    }
}

#[test]
fn what_a_server_recorded_is_compared_with_what_is_predicted() {
    let lines: Vec<String> = (0..30).map(|n| line(n, 9, 1 + n % 7, &[n % 3, 50 + n % 5, 90 + n])).collect();
    let args = ["-q", "-b4", "--policy=vllm", "-c", "6"];
    let hits = run("trace-stats", &[&args[..], &["--per-request"]].concat(), lines.concat()).ok();
    let recorded = |(line, hits): (&String, &str)| {
        let hits: Value = serde_json::from_str(hits).unwrap();
        line.replace('}', &format!(", \"cached_tokens\": {}}}", hits["hits"]["vllm:6"]))
    };
    let trace: String = lines.iter().zip(hits.lines()).map(recorded).collect();
    let checks = |trace: &str| -> Value {
        let args = [&args[..], &["--check-hits", "-f", "json"]].concat();
        let report: Value = serde_json::from_str(&run("trace-stats", &args, trace).ok()).unwrap();
        report["checked_hits"].clone()
    };
    let found = checks(&trace);
    let sum: u64 = hits
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["hits"]["vllm:6"].as_u64().unwrap())
        .sum();
    assert!(sum > 0);
    assert_eq!(
        found[0],
        json!({"cache": "vllm:6", "requests": 30, "counted_tokens": sum, "predicted_tokens": sum,
            "differing_requests": 0, "first_line": null})
    );
    let other = trace.replacen("\"cached_tokens\": 0", "\"cached_tokens\": 4", 1);
    assert_eq!(
        (&checks(&other)[0]["differing_requests"], &checks(&other)[0]["first_line"]),
        (&json!(1), &json!(1))
    );
    let none = run("trace-stats", &["-b4", "--check-hits"], lines.concat());
    assert!(
        none.stderr.contains("no record has \"cached_tokens\" to be compared by --check-hits"),
        "{}",
        none.stderr
    );
    let table = run("trace-stats", &[&args[..], &["--check-hits"]].concat(), &trace).ok();
    assert!(table.contains("Differing Requests"), "{table}");
}

#[test]
fn the_counters_of_a_server_stand_beside_the_prediction() {
    let folder = scratch();
    let trace: String = (0..6).map(|n| line(n, 9, 1, &[n % 2, 5, 90 + n])).collect();
    let metrics = "vllm:prefix_cache_queries_total{engine=\"0\"} 54.0\nvllm:prefix_cache_hits_total{engine=\"0\"} 30.0\n";
    let file = write(folder.path(), "metrics.txt", metrics);
    let args = ["-q", "-b4", "--policy=vllm", "-c9", "--check-against", &file];
    let table = run("trace-stats", &args, &trace).ok();
    let row = table.lines().find(|line| line.contains("vllm:9")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["vllm", "30", "54", "0.555556", "vllm:9", "32", "54", "0.592593", "+2"]);
    let quiet = run("trace-stats", &args[1..], &trace);
    assert!(!quiet.stderr.contains("the same requests"), "{}", quiet.stderr);
    let fewer = run("trace-stats", &args[1..], trace.lines().take(5).collect::<Vec<_>>().join("\n"));
    let said =
        "vllm counts hits of 54 prompt tokens, and vllm:9 is asked for 45: these are not the same requests";
    assert!(fewer.stderr.contains(said), "{}", fewer.stderr);
    let json: Value =
        serde_json::from_str(&run("trace-stats", &[&args[..], &["-f", "json"]].concat(), &trace).ok())
            .unwrap();
    assert_eq!(json["servers"][0]["hit_tokens"], 30);
    let none = write(folder.path(), "none.txt", "up 1\n");
    let ran = run("trace-stats", &["-c9", "--check-against", &none], &trace);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("no counter of a prefix cache"), "{}", ran.stderr);
    let more = write(folder.path(), "more.txt", metrics.replace("30.0", "55.0"));
    let ran = run("trace-stats", &["-c9", "--check-against", &more], &trace);
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.contains("55 tokens, and vllm:prefix_cache_queries: 54, which is less"),
        "{}",
        ran.stderr
    );
}

/// Events at 1, 2, 3 and 4 s as vLLM and `SGLang` send them, and as Dynamo's router writes them.
const EVENTS: [&str; 2] = [
    r#"[1.0,[{"type":"BlockStored","block_hashes":[10,11],"parent_block_hash":null,"token_ids":[],"block_size":4},
{"type":"BlockStored","block_hashes":[10],"parent_block_hash":null,"token_ids":[],"block_size":4,"group_idx":0},
{"type":"BlockStored","block_hashes":[13],"parent_block_hash":12,"token_ids":[],"block_size":4,"medium":"CPU"}]]
[2.0,[{"type":"BlockStored","block_hashes":[12],"parent_block_hash":11,"token_ids":[],"block_size":4}]]
[3.0,[{"type":"BlockRemoved","block_hashes":[12,10]},{"type":"BlockRemoved","block_hashes":[77],"medium":"GPU"}]]
[4.0,[{"type":"AllBlocksCleared"}]]
"#,
    r#"{"timestamp":1000,"event":{"worker_id":7,"event":{"event_id":0,"data":{"stored":{"parent_hash":null,"blocks":[{"block_hash":10,"tokens_hash":1},{"block_hash":11,"tokens_hash":2}]}}}}}
{"timestamp":1000,"event":{"worker_id":7,"event":{"event_id":1,"data":{"stored":{"parent_hash":null,"blocks":[{"block_hash":10,"tokens_hash":1}]}}}}}
{"timestamp":1000,"event":{"worker_id":7,"storage_tier":"disk","event":{"event_id":2,"data":{"stored":{"parent_hash":12,"blocks":[{"block_hash":13,"tokens_hash":1}]}}}}}
{"timestamp":2000,"event":{"worker_id":7,"event":{"event_id":3,"data":{"stored":{"parent_hash":11,"blocks":[{"block_hash":12,"tokens_hash":3}]}}}}}
{"timestamp":3000,"event":{"worker_id":7,"event":{"event_id":4,"data":{"removed":{"block_hashes":[12,10,77]}}}}}
{"timestamp":4000,"event":{"worker_id":7,"event":{"event_id":5,"data":"cleared"}}}
"#,
];

#[test]
fn what_an_engine_held_is_known_from_its_events() {
    let folder = scratch();
    // Four blocks that are asked for at different times, the last time without the last block.
    let mut trace: String = (0..5).map(|n| line(500 + 1000 * n, 17, 1, &[10, 11, 12, 13, 14 + n])).collect();
    trace += &line(2500, 12, 1, &[10, 11, 12]);
    trace = trace.replace('}', ", \"block_size\": 4}");
    for events in EVENTS {
        let file = write(folder.path(), "events.jsonl", events.replace("},\n{", "},{"));
        let mut lines: Vec<&str> = trace.lines().collect();
        lines.sort_by_key(|line| serde_json::from_str::<Value>(line).unwrap()["timestamp"].as_u64());
        let sorted = lines.join("\n") + "\n";
        let ran = run("trace-cat", &["--kv-events", &file], &sorted);
        let found = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let tokens: Vec<Value> = found.map(|row| row["cached_tokens"].clone()).collect();
        // The fourth of them asks for all blocks, and never finds its last token.
        assert_eq!(json!(tokens), json!([0, 8, 12, 8, 8, 0]), "{}", ran.stderr);
        for said in [
            "4 blocks stored, 3 removed, 0 held at the end, 3 at most; 36 tokens found by 6 requests",
            "1 of 6 requests are before the first event",
            "1 blocks were removed that were never stored: events are missing",
            "1 events of slower tiers or further groups of layers passed over",
        ] {
            assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        }
        // The prediction is checked as against any other record of a server, and what stands there is replaced.
        let again = run("trace-cat", &["-q", "--kv-events", &file], &ran.stdout).ok();
        assert_eq!(again, ran.stdout);
        let report =
            run("trace-stats", &["-q", "-f", "json", "--policy=vllm", "-c9", "--check-hits"], &again).ok();
        let check = &serde_json::from_str::<Value>(&report).unwrap()["checked_hits"][0];
        assert_eq!((&check["requests"], &check["counted_tokens"]), (&json!(6), &json!(36)));
        assert_eq!(check["differing_requests"], 4, "{check}");
        // As a trace, the events are the requests that stored something.
        let stored = run("trace-cat", &["-q", "-b4", &file], "").ok();
        let last: Value = serde_json::from_str(stored.lines().last().unwrap()).unwrap();
        assert_eq!((&last["hash_ids"], &last["timestamp"]), (&json!([10, 11, 12]), &json!(1000)), "{stored}");
    }
}

#[test]
fn events_of_vllm_itself_give_the_hits_that_it_counted() {
    // Written by the scheduler's KVCacheManager of vLLM 0.33, with 6 blocks of 4 tokens.
    let hits = json!([0, 8, 12, 0, 8, 16, 0, 16]);
    let prompts = include_str!("../samples/vllm-events-prompts.jsonl");
    let folder = scratch();
    let events = write(folder.path(), "events.jsonl", include_str!("../samples/vllm-events.jsonl"));
    let trace = run("trace-hash", &["-q", "-b4", "--ids=vllm"], prompts).ok();
    let found = run("trace-cat", &["-q", "--kv-events", &events], &trace).ok();
    let rows = found.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(rows.map(|row| row["cached_tokens"].clone()).collect::<Value>(), hits);
    let args = ["-q", "-f", "json", "--policy=vllm", "-c6", "--outputs=none", "--check-hits"];
    let report: Value = serde_json::from_str(&run("trace-stats", &args, &found).ok()).unwrap();
    let check = &report["checked_hits"][0];
    assert_eq!((&check["requests"], &check["differing_requests"]), (&json!(8), &json!(0)), "{check}");
}

#[test]
fn events_that_do_not_fit_a_trace_are_said_to() {
    let folder = scratch();
    let trace = line(500, 8, 1, &[1, 2]).replace('}', ", \"block_size\": 4}");
    let file = |text: &str| write(folder.path(), "events.jsonl", text);
    let ran = |file: &str| run("trace-cat", &["--kv-events", file], &trace);
    let late = ran(&file(EVENTS[1]));
    assert!(late.stderr.contains("no event is before a request"), "{}", late.stderr);
    let other = ran(&file(&EVENTS[1].replace("1000", "100")));
    assert!(other.stderr.contains("no request finds a block"), "{}", other.stderr);
    let two = ran(&file(&EVENTS[1].replace("1000", "100").replacen("\"worker_id\":7", "\"worker_id\":8", 1)));
    assert!(two.stderr.contains("events.jsonl") && two.stderr.contains("several workers"), "{}", two.stderr);
    assert_eq!(two.status, Some(1));
    let bad = ran(&file("[1,2\n"));
    assert!(bad.stderr.contains("events.jsonl"), "{}", bad.stderr);
    assert_eq!(ran("no-such-file").status, Some(1));
    let csv = run("trace-cat", &["--kv-events", "x", "-t", "csv"], &trace);
    assert!(csv.stderr.contains("it goes with none of --to-format"), "{}", csv.stderr);
    let unsized_blocks = run("trace-cat", &[], EVENTS[1]);
    assert!(unsized_blocks.stderr.contains("events without a block size"), "{}", unsized_blocks.stderr);
}
