//! `trace-synth --model sessions`: new sessions that are like those of a trace, and what its model gives away.

use std::collections::{HashMap, HashSet};

use crate::support::{line, real, run, run_in, scratch, write};
use serde_json::Value;

const BLOCK: u64 = 16;

/// A number that looks random, of a chain of such.
fn mix(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// Chats behind a system prompt of eight blocks: each turn contains the prompt and the answer before it.
fn chats(sessions: u64) -> String {
    let mut seed = 7;
    let (mut lines, mut next) = (Vec::new(), 8);
    for session in 0..sessions {
        let mut ids: Vec<u64> = (0..8).collect();
        let mut length = 8 * BLOCK + 5 + mix(&mut seed) % 400;
        let mut time = session * 2000 + mix(&mut seed) % 1500;
        loop {
            ids.truncate((length / BLOCK) as usize);
            while (ids.len() as u64) < length / BLOCK {
                ids.push(next);
                next += 1;
            }
            let mut request = ids.clone();
            if !length.is_multiple_of(BLOCK) {
                request.push(next);
                next += 1;
            }
            let output = 10 + mix(&mut seed) % 300;
            lines.push((time, length, output, request));
            if mix(&mut seed).is_multiple_of(3) {
                break;
            }
            // The shared blocks of the next turn are the full ones.
            time += 3000 + output * 20 + mix(&mut seed) % 40_000;
            length += output + 5 + mix(&mut seed) % 120;
        }
    }
    lines.sort_by_key(|line| line.0);
    lines.iter().map(|(time, input, output, ids)| line(*time, *input, *output, ids)).collect()
}

#[derive(Clone, Debug)]
struct Request {
    time: f64,
    input: u64,
    output: u64,
    ids: Vec<u64>,
    /// The request that it follows: the last user of its deepest known block beyond the system prompt.
    before: Option<usize>,
    known: usize,
}

fn requests(text: &str) -> Vec<Request> {
    let mut last: HashMap<u64, usize> = HashMap::new();
    let mut all: Vec<Request> = Vec::new();
    let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids_of = |value: &Value| -> Vec<u64> {
        value["hash_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
    };
    // All begin with the same system prompt.
    let first = ids_of(&values[0]);
    let common = |value| ids_of(value).iter().zip(&first).take_while(|(a, b)| a == b).count();
    let core = values.iter().map(common).min().unwrap();
    for (i, value) in values.iter().enumerate() {
        let ids = ids_of(value);
        let known = ids.iter().take_while(|id| last.contains_key(id)).count();
        let before = (known > core).then(|| last[&ids[known - 1]]);
        ids.iter().for_each(|id| {
            last.insert(*id, i);
        });
        all.push(Request {
            time: value["timestamp"].as_f64().unwrap_or(0.0),
            input: value["input_length"].as_u64().unwrap(),
            output: value["output_length"].as_u64().unwrap(),
            ids,
            before,
            known,
        });
    }
    all
}

fn synth(args: &[&str], trace: &str) -> String {
    run("trace-synth", &[&["-q", "-b16"], args].concat(), trace).ok()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Seconds between a turn and the one before it.
fn think_time(requests: &[Request]) -> f64 {
    mean(requests.iter().filter_map(|r| r.before.map(|before| r.time - requests[before].time))) / 1000.0
}

fn followed(requests: &[Request]) -> f64 {
    requests.iter().filter(|request| request.before.is_some()).count() as f64 / requests.len() as f64
}

#[test]
fn sessions_are_new_and_alike() {
    let trace = chats(600);
    let original = requests(&trace);
    for seed in ["1", "2"] {
        let out = synth(&["--seed", seed], &trace);
        let new = requests(&out);
        assert_eq!(new.len(), original.len());
        let ratio = |of: &dyn Fn(&[Request]) -> f64| of(&new) / of(&original);
        let input = ratio(&|r| mean(r.iter().map(|r| r.input as f64)));
        let output = ratio(&|r| mean(r.iter().map(|r| r.output as f64)));
        for (what, ratio) in [
            ("input", input),
            ("output", output),
            ("think", ratio(&think_time)),
            ("followed", ratio(&followed)),
        ] {
            assert!((0.94..1.06).contains(&ratio), "{what}: {ratio}");
        }
        let pairs: HashSet<(u64, u64)> = original.iter().map(|r| (r.input, r.output)).collect();
        let copied = new.iter().filter(|r| pairs.contains(&(r.input, r.output))).count();
        // So many inputs and outputs as there are meet by chance now and then.
        assert!(copied * 20 < new.len(), "{copied} pairs of {}", new.len());
        assert_eq!(out, synth(&["--seed", seed], &trace));
    }
}

#[test]
fn the_saved_model_draws_the_same_and_tells_of_many_sessions_only() {
    let trace = chats(300);
    let folder = scratch();
    let file = write(folder.path(), "model", "");
    let direct = synth(&["--seed=4", "--save-model", &file], &trace);
    assert_eq!(direct, run("trace-synth", &["-q", "--model-file", &file, "--seed=4"], "").ok());
    let model = std::fs::read_to_string(&file).unwrap();
    let known: HashSet<&str> = ["core", "end", "clock", "rate", "sums", "number", "chance"].into();
    let mut groups = 0;
    for line in model.lines().skip(1) {
        let part: Value = serde_json::from_str(line).unwrap();
        let (name, value) = part.as_object().unwrap().iter().next().unwrap();
        assert!(known.contains(&**name), "{name}");
        match &**name {
            "end" => {
                let sessions = value["sessions"].as_u64().unwrap();
                assert!(sessions == 0 || sessions >= 5, "{sessions}");
            }
            "rate" => {
                for piece in value["pieces"].as_array().unwrap() {
                    let arrivals = piece[1].as_u64().unwrap();
                    assert!(arrivals == 0 || arrivals >= 5, "{piece}");
                }
            }
            "number" => {
                // A leaf is of forty requests at least, so none of its groups is of fewer than five.
                let requests = trace.lines().count() as f64;
                let all = &value["given"]["all"];
                let shares = all["shares"].as_array().unwrap();
                groups += shares.len();
                assert!(shares.len() as f64 <= requests / 5.0, "{} groups", shares.len());
                for leaf in value["given"]["leaves"].as_array().unwrap() {
                    assert!(leaf["means"].as_array().unwrap().len() <= 40);
                }
            }
            _ => {}
        }
    }
    assert!(groups > 20);
    assert!(!model.contains("hash_ids") && !model.contains("timestamp"));
}

#[test]
fn a_value_of_few_sessions_is_not_in_the_model() {
    // One session has lengths and outputs that nobody else has.
    let secret = line(1_000_000, 7_654_321, 6543, &[]);
    let mut trace = chats(300);
    let ids: Vec<u64> = (9_000_000..9_000_000 + 7_654_321_u64.div_ceil(4096)).collect();
    trace += &secret.replace("[]", &format!("{ids:?}"));
    let folder = scratch();
    let file = write(folder.path(), "model", "");
    // Blocks of 4,096 tokens: nothing else fills one.
    let plain: String = trace
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let blocks = value["input_length"].as_u64().unwrap().div_ceil(4096);
            let ids = value["hash_ids"].as_array().unwrap().iter().take(blocks as usize);
            let ids: Vec<u64> = ids.map(|id| id.as_u64().unwrap()).collect();
            crate::support::line(
                value["timestamp"].as_u64().unwrap(),
                value["input_length"].as_u64().unwrap(),
                value["output_length"].as_u64().unwrap(),
                &ids,
            )
        })
        .collect();
    run("trace-synth", &["-q", "-b4096", "-n0", "--save-model", &file], &plain).ok();
    let model = std::fs::read_to_string(&file).unwrap();
    // As they stand, and as the logarithms that are kept.
    let log = |value: f64| format!("{:.3}", value.ln_1p());
    for told in ["7654321".to_owned(), "6543,".to_owned(), log(7_654_321.0), log(6543.0)] {
        assert!(!model.contains(&told), "{told}");
    }
    let ran = run("trace-synth", &["-q", "-b16", "--min-count=100000"], chats(20));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("fewer than --min-count (100000) nothing is learnt"), "{}", ran.stderr);
}

/// Long sessions of ten blocks more at each turn, and others of one request.
fn few_long_sessions(long: u64, short: u64) -> String {
    let (mut lines, mut next) = (Vec::new(), 0);
    let mut fresh = |count: u64| {
        next += count;
        (next - count..next).collect::<Vec<u64>>()
    };
    for session in 0..long {
        let mut ids = Vec::new();
        for turn in 0..10 {
            ids.extend(fresh(10));
            lines.push((session * 3000 + turn * 9000, ids.clone()));
        }
    }
    (0..short).for_each(|session| lines.push((session * 4000, fresh(20 + session))));
    lines.sort_by_key(|line| line.0);
    lines.iter().map(|(time, ids)| line(*time, ids.len() as u64 * BLOCK, 40, ids)).collect()
}

/// Sessions of which each has its own pace, from seconds to half an hour, so that the slow ones go on alone.
fn paced_sessions(sessions: u64) -> String {
    let mut seed = 5;
    let (mut lines, mut next) = (Vec::new(), 0);
    for session in 0..sessions {
        let mut ids: Vec<u64> = Vec::new();
        let pace = 4000 << (session % 6 * 2);
        let mut time = mix(&mut seed) % 20_000;
        for _ in 0..10 + mix(&mut seed) % 14 {
            let more = 4 + mix(&mut seed) % 12;
            ids.extend(next..next + more);
            next += more;
            lines.push((time, ids.clone()));
            time += pace / 2 + mix(&mut seed) % pace;
        }
    }
    lines.sort_by_key(|line| line.0);
    lines.iter().map(|(time, ids)| line(*time, ids.len() as u64 * BLOCK, 40, ids)).collect()
}

#[test]
fn caches_find_in_few_sessions_what_they_find_in_the_trace() {
    let trace = paced_sessions(24);
    let found = |trace: &str| -> Vec<f64> {
        let args = ["-q", "-b16", "--format=json", "-c150,300,600,1200,2400"];
        let report: Value = serde_json::from_str(&run("trace-stats", &args, trace).ok()).unwrap();
        let rows = report["capacity"].as_array().unwrap().iter();
        rows.map(|row| row["token_hit_rate"].as_f64().unwrap()).collect()
    };
    let folder = scratch();
    let file = write(folder.path(), "model", "");
    run("trace-synth", &["-q", "-b16", "-n0", "--save-model", &file], &trace).ok();
    let model = std::fs::read_to_string(&file).unwrap();
    // The same model as if it did not know.
    let plain: String = model
        .lines()
        .map(|line| {
            let mut part: Value = serde_json::from_str(line).unwrap();
            if let Some(sums) = part.get_mut("sums").and_then(Value::as_object_mut) {
                assert!(sums.remove("reuse").is_some());
            }
            format!("{part}\n")
        })
        .collect();
    let plain = write(folder.path(), "plain", &plain);
    let wanted = found(&trace);
    let off = |model: &str| {
        let worst = |seed: &str| {
            let rates = found(&run("trace-synth", &["-q", "--seed", seed, "--model-file", model], "").ok());
            rates.iter().zip(&wanted).map(|(rate, wanted)| (rate - wanted).abs()).fold(0.0, f64::max)
        };
        mean(["1", "2", "3", "4"].into_iter().map(worst))
    };
    let (known, unknown) = (off(&file), off(&plain));
    assert!(known < 0.08 && known < 0.5 * unknown, "{known} of {unknown}");
}

#[test]
fn what_too_few_sessions_have_is_left_out_and_named() {
    let trace = few_long_sessions(4, 13);
    let ran = run("trace-synth", &["-b16", "--report"], &trace);
    let said = ran.stderr.clone();
    ran.ok();
    let left_out = "left out, as fewer than 5 sessions have such: 36 next turns (53 requests in all)";
    let rate = "the token hit rate of what is drawn is 0.00, and that of the trace 0.";
    for remark in [left_out, rate, "a smaller --min-count"] {
        // As a remark, and below the table.
        assert_eq!(said.matches(remark).count(), 2, "{said}");
    }
    for (args, trace) in [
        (&["-b16"][..], &few_long_sessions(5, 13)),
        (&["-b16", "--min-count=4"], &trace),
        (&["-b16", "--model=replay"], &trace),
        (&["-b16", "-q"], &trace),
    ] {
        let said = run("trace-synth", args, trace).stderr;
        assert!(!said.contains("left out") && !said.contains("token hit rate"), "{args:?}: {said}");
    }
}

/// Chats, and among them a prompt of two and a half blocks that is sent again and again.
fn chats_and_a_prompt(times: impl Iterator<Item = u64>) -> String {
    let repeated =
        times.map(|time| line(time, 40, 3, &[1_000_000, 1_000_001, 1_000_002])).collect::<String>();
    run("trace-cat", &["-q", "-b16", "--sort"], chats(600) + &repeated).ok()
}

/// The lines with the repeated prompt, if it has so many tokens, and the others.
fn apart(trace: &str, tokens: u64) -> [String; 2] {
    let input = format!("\"input_length\": {tokens}, ");
    let is_repeated = |line: &&str| line.contains(&input) && line.contains("\"output_length\": 3,");
    let (repeated, others): (Vec<_>, Vec<_>) = trace.split_inclusive('\n').partition(is_repeated);
    [repeated.concat(), others.concat()]
}

#[test]
fn a_prompt_that_is_always_sent_is_a_prefix_that_many_sessions_are() {
    let trace = chats_and_a_prompt((0..1200).map(|second| second * 1000));
    let folder = scratch();
    let file = write(folder.path(), "model", "");
    let new = synth(&["--seed=3", "--save-model", &file], &trace);
    assert_eq!(new, run("trace-synth", &["-q", "--model-file", &file, "--seed=3"], "").ok());
    let ([_, others], [repeated, new_others]) = (apart(&trace, 40), apart(&new, 40));
    let count = repeated.lines().count() as f64;
    assert!((0.85..1.15).contains(&(count / 1200.0)), "{count}");
    let ids: HashSet<Vec<u64>> = requests(&repeated).into_iter().map(|request| request.ids).collect();
    assert_eq!(ids.len(), 1, "the same prompt each time");
    let (original, new) = (requests(&others), requests(&new_others));
    let input = |of: &[Request]| mean(of.iter().map(|r| r.input as f64));
    for (what, ratio) in [
        ("input", input(&new) / input(&original)),
        ("followed", followed(&new) / followed(&original)),
        ("think", think_time(&new) / think_time(&original)),
    ] {
        assert!((0.9..1.1).contains(&ratio), "{what}: {ratio}");
    }
    // Three blocks of it become six, and what is missing in the last one stays.
    for args in
        [&["--prefix-len-multiplier=2"][..], &["--prefix-len-multiplier=2", "--prompt-len-multiplier=3"]]
    {
        let longer = synth(args, &trace);
        assert!(apart(&longer, 88)[0].lines().count() > 1000, "{args:?}");
        let checked = run("trace-cat", &["-q", "-b16", "--check"], &longer).ok();
        assert!(checked.contains("\"valid\": true"), "{checked}");
    }
    let prompts = synth(&["--seed=3", "-n900", "--prompts"], &trace);
    let hashed = run("trace-hash", &["-q", "-b16"], &prompts).ok();
    assert_eq!(
        apart(&hashed, 40)[0].lines().count(),
        apart(&synth(&["--seed=3", "-n900"], &trace), 40)[0].lines().count()
    );
}

#[test]
fn one_session_without_end_does_not_make_all_others_longer() {
    let trace = chats_and_a_prompt((0..2000).map(|i| 300_000 + i * 100));
    let ran = run("trace-synth", &["-b16"], &trace);
    assert!(
        ran.stderr.contains("left out, as fewer than 5 sessions are nearly as long: 1936 further requests"),
        "{}",
        ran.stderr
    );
    let (original, new) = (requests(&apart(&trace, 40)[1]), requests(&ran.ok()));
    let ratio = followed(&new) / followed(&original);
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    // Of one session, no more than it tells of may be learnt all the same.
    let said = run("trace-synth", &["-b16", "--min-count=1", "-n10"], &trace).stderr;
    assert!(!said.contains("left out"), "{said}");
}

#[test]
fn what_few_sessions_repeat_is_learnt_as_next_turns() {
    // Of six sessions three send their last prompt, which ends within a block, once more.
    let mut lines = String::new();
    for session in 0..6 {
        let ids: Vec<u64> = (session * 10..session * 10 + 4).collect();
        for turn in 1..=4 {
            let (time, repeats) = (session * 1000 + turn * 7000, turn == 4 && session < 3);
            let blocks = if repeats { 3 } else { turn as usize };
            lines += &line(time, blocks as u64 * BLOCK - if blocks == 3 { 5 } else { 0 }, 9, &ids[..blocks]);
        }
    }
    let trace = run("trace-cat", &["-q", "-b16", "--sort"], &lines).ok();
    let said = run("trace-synth", &["-b16"], &trace).stderr;
    assert!(!said.contains("repeated prompts"), "{said}");
}

#[test]
fn more_users_are_more_sessions_at_their_own_pace() {
    let trace = chats(500);
    let original = requests(&trace);
    for (users, factor) in [("2", 2.0), ("0.5", 0.5)] {
        let new = requests(&synth(&["--users", users, "--seed=3"], &trace));
        assert_eq!(new.len() as f64, (original.len() as f64 * factor).round());
        let think = think_time(&new) / think_time(&original);
        assert!((0.9..1.1).contains(&think), "{users}: think times {think}");
        let span = new[new.len() - 1].time / original[original.len() - 1].time;
        assert!((0.9..1.1).contains(&span), "{users}: span {span}");
        let core: HashSet<u64> = new.iter().map(|request| request.ids[0]).collect();
        assert_eq!(core.len(), 1, "the system prompt is shared");
    }
    let fast = requests(&synth(&["--speedup-ratio=2", "--seed=3"], &trace));
    let think = think_time(&fast) / think_time(&original);
    assert!((0.45..0.55).contains(&think), "{think}");
}

#[test]
fn longer_prompts_still_contain_the_prompt_before() {
    let trace = chats(400);
    for (option, factor) in
        [("--prompt-len-multiplier", "2"), ("--osl-multiplier", "3"), ("--prefix-len-multiplier", "3")]
    {
        let plain = requests(&synth(&["--seed=5"], &trace));
        let long = requests(&synth(&["--seed=5", option, factor], &trace));
        let contained = |requests: &[Request]| {
            let full = |r: &Request| r.before.is_some_and(|b| r.known as u64 >= requests[b].input / BLOCK);
            requests.iter().filter(|request| full(request)).count() as f64 / requests.len() as f64
        };
        let (before, after) = (contained(&plain), contained(&long));
        assert!(before > 0.3 && (before - after).abs() < 0.03, "{option}: {before} {after}");
        let think = think_time(&long) / think_time(&plain);
        // Longer answers take longer.
        let most = if option == "--osl-multiplier" { 1.6 } else { 1.1 };
        assert!((0.9..most).contains(&think), "{option}: think times {think}");
        let grown = mean(long.iter().map(|r| r.input as f64)) / mean(plain.iter().map(|r| r.input as f64));
        assert!(grown > 1.2, "{option}: prompts {grown} times as long");
    }
}

#[test]
fn longer_answers_make_the_prompts_longer_that_contain_them() {
    let trace = chats(400);
    let growth = |requests: &[Request]| {
        mean(requests.iter().filter_map(|r| r.before.map(|b| (r.input - requests[b].input) as f64)))
    };
    let plain = requests(&synth(&["--seed=5"], &trace));
    let long = requests(&synth(&["--seed=5", "--osl-multiplier=3"], &trace));
    let output = mean(plain.iter().filter_map(|r| r.before.map(|b| plain[b].output as f64)));
    let more = growth(&long) - growth(&plain);
    assert!((0.9..1.1).contains(&(more / (2.0 * output))), "{more} for twice {output}");
}

#[test]
fn requests_that_are_left_out_keep_the_clock_and_spend_no_ids() {
    let trace = chats(500);
    let plain = requests(&synth(&["--seed=6", "-n2k"], &trace));
    let some = requests(&synth(&["--seed=6", "-n1k", "--min-isl=600"], &trace));
    assert!(some.iter().all(|request| request.input >= 600));
    // Every id but those of the core is of a request that is there.
    let ids: HashSet<u64> = some.iter().flat_map(|request| request.ids.iter().copied()).collect();
    assert_eq!(ids.iter().max(), Some(&(ids.len() as u64 - 1)));
    // The same as leaving them out afterwards, but for the draws.
    let filtered: String = synth(&["--seed=6", "-n2k"], &trace)
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).unwrap()["input_length"].as_u64().unwrap() >= 600)
        .map(|line| format!("{line}\n"))
        .collect();
    let think = think_time(&some) / think_time(&requests(&filtered));
    assert!((0.9..1.1).contains(&think), "{think}");
    assert!(plain.len() == 2000 && some.len() == 1000);
    let ran = run("trace-synth", &["-q", "-b16", "--min-isl=1M"], &trace);
    assert!(ran.stderr.contains("no input length of at least 1000000"), "{}", ran.stderr);
}

#[test]
fn lines_name_their_session_and_closed_ones_wait_for_answers() {
    let trace = chats(200);
    let open = synth(&["--schedule=open", "--seed=2"], &trace);
    let closed = synth(&["--schedule=closed", "--seed=2"], &trace);
    let mut last: HashMap<String, (u64, f64)> = HashMap::new();
    let mut delays = 0;
    for (open, closed) in open.lines().zip(closed.lines()) {
        let [open, closed]: [Value; 2] = [open, closed].map(|line| serde_json::from_str(line).unwrap());
        let session = open["session_id"].as_str().unwrap().to_owned();
        let turn = open["turn"].as_u64().unwrap();
        assert_eq!((closed["session_id"].as_str(), closed["turn"].as_u64()), (Some(&*session), Some(turn)));
        let time = open["timestamp"].as_f64().unwrap();
        let before = last.insert(session, (turn, time));
        assert_eq!(turn, before.map_or(0, |before| before.0) + 1);
        assert_eq!(closed["timestamp"].is_number(), turn == 1);
        if let Some(before) = before {
            let delay = closed["delay"].as_f64().unwrap();
            assert!(delay >= 0.0 && delay <= time - before.1 + 0.01, "{delay}");
            delays += 1;
        }
    }
    assert!(delays > 100);
    let without = synth(&["--seed=2"], &trace);
    assert!(!without.contains("session_id") && without.lines().count() == open.lines().count());
}

#[test]
fn lanes_are_sessions_at_a_time() {
    let trace = chats(200);
    let out = synth(&["--lanes=3", "--schedule=open", "-n600"], &trace);
    let mut spans: HashMap<String, (f64, f64)> = HashMap::new();
    for line in out.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let time = value["timestamp"].as_f64().unwrap();
        let span = spans.entry(value["session_id"].as_str().unwrap().to_owned()).or_insert((time, time));
        span.1 = time;
    }
    for at in spans.values().map(|span| span.0) {
        let running = spans.values().filter(|span| span.0 <= at && at <= span.1).count();
        assert!(running <= 3, "{running} at {at}");
    }
}

#[test]
fn no_turn_comes_before_the_answer_that_it_contains() {
    let new = requests(&synth(&["--seed=8", "-n3k"], &chats(500)));
    for request in &new {
        if let Some(before) = request.before.map(|before| &new[before]) {
            // The trace has 20 ms per token and 3 s.
            let least = before.output as f64 * 20.0;
            assert!(request.time - before.time >= least, "{} {least}", request.time - before.time);
        }
    }
}

#[test]
fn traces_without_times_ids_or_outputs_stay_without() {
    let trace: String = (1..40).map(|i| format!("{{\"input_length\": {}}}\n", 100 + i * i % 900)).collect();
    let out = synth(&["-n50"], &trace);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 50);
    for line in &lines {
        assert!(line["input_length"].as_u64().unwrap() > 0);
        assert_eq!(line.as_object().unwrap().len(), 2, "{line}");
    }
    assert!(synth(&["-n50", "--rate=2"], &trace).contains("timestamp"));
    let mixed: String =
        (0..40)
            .map(|i| {
                if i % 3 == 0 {
                    line(i * 10, 20, 1, &[i, i + 1000])
                } else {
                    "{\"input_length\": 7}\n".into()
                }
            })
            .collect();
    let checked = run("trace-cat", &["-b16", "--check"], synth(&[], &mixed)).ok();
    assert!(checked.contains("\"valid\": true"), "{checked}");
}

#[test]
fn a_rate_is_that_of_what_is_written() {
    let trace = chats(60);
    let measured = |out: &str| {
        let times: Vec<f64> = requests(out).iter().map(|request| request.time).collect();
        (times.len() as f64 - 1.0) / (times[times.len() - 1] - times[0]) * 1000.0
    };
    for more in [&[][..], &["-n150"], &["-n900"], &["--min-isl=300"], &["--lanes=5"], &["--users=2"]] {
        let rate = measured(&synth(&[&["--rate=5"], more].concat(), &trace));
        assert!((4.9..5.1).contains(&rate), "{more:?}: {rate}");
    }
    // A session that alone goes on for long is not learnt, and what is drawn ends sooner.
    let alone =
        (0..40).map(|i| line(60_000 + i * 5_000_000, 32 + 16 * i, 5, &(900..902 + i).collect::<Vec<_>>()));
    let mut all: Vec<String> = trace.split_inclusive('\n').map(str::to_owned).chain(alone).collect();
    all.sort_by_key(|row| serde_json::from_str::<Value>(row).unwrap()["timestamp"].as_u64());
    let ran = run("trace-synth", &["-b16"], all.concat());
    assert!(ran.stderr.contains("would be those of the trace"), "{}", ran.stderr);
    let bent = run("trace-synth", &["-b16", "--target-hit-rate=0.2"], chats(300));
    assert!(bent.stderr.contains("tokens on average, and"), "{}", bent.stderr);
    let plain = run("trace-synth", &["-b16"], chats(300));
    assert!(!plain.stderr.contains("tokens on average"), "{}", plain.stderr);
    assert!(!plain.stderr.contains("would be those of the trace"), "{}", plain.stderr);
}

#[test]
fn requests_that_come_at_once_are_sessions_too() {
    let trace = chats(60);
    let at_once: String =
        requests(&trace).iter().map(|request| line(7, request.input, request.output, &request.ids)).collect();
    let out = synth(&[], &at_once);
    let mean = |text: &str| mean(requests(text).iter().map(|request| request.input as f64));
    let (drawn, wanted) = (mean(&out), mean(&at_once));
    assert!((drawn / wanted - 1.0).abs() < 0.2, "{drawn} for {wanted}");
}

#[test]
fn any_number_of_requests_can_be_had() {
    let trace = chats(30);
    for count in ["0", "1", "2", "7", "5000"] {
        assert_eq!(synth(&["-n", count], &trace).lines().count(), count.parse::<usize>().unwrap());
    }
}

#[test]
fn a_tenth_is_a_sample_of_the_whole_and_ten_times_have_no_seam() {
    let Some(path) = real("traces/conversation_trace.jsonl") else { return };
    let path = path.to_str().unwrap();
    let stats = |args: &[&str]| -> Value {
        let out = run("trace-synth", &[&["-q", path], args].concat(), "").ok();
        serde_json::from_str(&run("trace-stats", &["-q", "--format=json", "--capacity=1k,10k"], out).ok())
            .unwrap()
    };
    let whole: Value = serde_json::from_str(
        &run("trace-stats", &["-q", "--format=json", "--capacity=1k,10k", path], "").ok(),
    )
    .unwrap();
    let number = |report: &Value, path: &str| report.pointer(path).unwrap().as_f64().unwrap();
    let tenth = stats(&["-n1203"]);
    for (name, bar) in
        [("/input_length/mean", 0.12), ("/output_length/mean", 0.06), ("/arrivals/mean_rate", 0.15)]
    {
        let ratio = number(&tenth, name) / number(&whole, name);
        assert!((ratio - 1.0).abs() < bar, "{name}: {ratio}");
    }
    let ten = stats(&["-n120310"]);
    for place in ["/capacity/0/token_hit_rate", "/capacity/1/token_hit_rate"] {
        assert!((number(&ten, place) - number(&whole, place)).abs() < 0.02, "{place}");
    }
    let growth = number(&ten, "/unique_blocks") / number(&whole, "/unique_blocks");
    assert!((9.0..10.5).contains(&growth), "{growth}");
}

#[test]
fn the_saved_models_of_real_traces_draw_the_same() {
    for name in ["traces/conversation_trace.jsonl", "traces/agentic.jsonl.zst"] {
        let Some(trace) = real(name) else { continue };
        let folder = scratch();
        let file = write(folder.path(), "model", "");
        let direct = ["-q", "--seed=2", "-n500", "--save-model", &file, trace.to_str().unwrap()];
        let direct = run("trace-synth", &direct, "").ok();
        assert_eq!(direct, run("trace-synth", &["-q", "--seed=2", "-n500", "--model-file", &file], "").ok());
    }
}

#[test]
fn a_real_trace_is_met_in_what_finite_caches_see() {
    let (Some(trace), Some(oracle)) = (real("traces/conversation_trace.jsonl"), real("oracle/fidelity.py"))
    else {
        return;
    };
    let folder = scratch();
    let synthetic = write(
        folder.path(),
        "synthetic",
        run("trace-synth", &["-q", "--seed=1", trace.to_str().unwrap()], "").ok(),
    );
    let output = std::process::Command::new("python3")
        .args([oracle.to_str().unwrap(), trace.to_str().unwrap(), &synthetic, "--json"])
        .output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: python3 is not here");
        return;
    };
    let rows: HashMap<String, HashMap<String, f64>> = serde_json::from_slice(&output.stdout).unwrap();
    for (name, row) in rows {
        let (original, distance) = (row["original"], row["distance"]);
        let (distance, bar) = match &*name {
            "block size clashes" => (distance, 0.0),
            name if name.starts_with("lru") || name == "token_hit_rate" => (distance, 0.015),
            // Which blocks a request has in common with any other is met less well.
            "ks context" | "ks unique" => (distance, 0.05),
            name if name.starts_with("ks ") => (distance, 0.03),
            name if name.starts_with("dispersion") || name.starts_with("unique") => {
                (distance / original, 0.2)
            }
            // Which sessions come in which part of the trace is left to chance.
            name if name.starts_with("hit_quarter") => (distance, 0.07),
            _ => (distance, 0.04),
        };
        assert!(distance <= bar, "{name}: {distance} is above {bar}");
    }
    let ran = run_in(folder.path(), "trace-cat", &["-q", "--check", "synthetic"], "");
    assert!(ran.stdout.contains("\"valid\": true"), "{}", ran.stdout);
}
