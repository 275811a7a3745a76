//! `trace-synth`: valid traces from any model, fidelity to a real trace, knobs, model files, prompts.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Ran, command, line, real, run, run_in, scratch, shell, write};
use kvtrace::error::Invalid;
use kvtrace::record::{LengthRange, Record};
use kvtrace::synth::{
    Generator, Knobs, Learner, Model, ModelKind, ModelOptions, ModelReader, SyntheticRequest,
};
use proptest::prelude::*;
use serde_json::Value;

const KINDS: [ModelKind; 3] = [ModelKind::Sessions, ModelKind::Replay, ModelKind::Tree];
/// The models that make what they have learnt, request by request.
const NAMES: [&str; 2] = ["replay", "tree"];

/// A request as the tests see it.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    time: Option<f64>,
    input: u64,
    output: Option<u64>,
    ids: Option<Vec<u64>>,
}

fn parse(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        Line {
            time: value["timestamp"].as_f64(),
            input: value["input_length"].as_u64().unwrap(),
            output: value["output_length"].as_u64(),
            ids: value["hash_ids"].as_array().map(|ids| ids.iter().map(|id| id.as_u64().unwrap()).collect()),
        }
    };
    text.lines().map(line).collect()
}

/// What a valid, dense trace is, as plainly as it can be said.
fn assert_valid(lines: &[Line], block_size: u64) {
    let mut seen: HashMap<u64, (Option<u64>, u64)> = HashMap::new();
    for line in lines {
        let ids = line.ids.as_ref().unwrap();
        assert_eq!(ids.len() as u64, line.input.div_ceil(block_size), "{line:?}");
        let mut parent = None;
        for (i, &id) in ids.iter().enumerate() {
            let tokens = (line.input - i as u64 * block_size).min(block_size);
            let known = seen.entry(id).or_insert((parent, tokens));
            assert_eq!(*known, (parent, tokens), "block {id} of {line:?}");
            parent = Some(id);
        }
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }
    assert!(lines.windows(2).all(|pair| pair[0].time <= pair[1].time));
}

fn learn(trace: &[(f64, Vec<u64>, u64, Option<u64>)], block_size: u64, kind: ModelKind) -> Model {
    let mut learner = Learner::default();
    for (timestamp, ids, input_length, output_length) in trace {
        let record = Record {
            timestamp: Some(*timestamp),
            input_length: *input_length,
            output_length: *output_length,
            has_ids: true,
            hash_ids: ids.clone(),
            ..Record::default()
        };
        learner.add(&record, block_size).unwrap();
    }
    let mut options = ModelOptions::from(kind);
    options.min_count = 1;
    Model::new(options, &learner.finish().unwrap()).unwrap()
}

fn generate(model: Model, knobs: &Knobs, seed: u64, count: usize) -> Result<Vec<Line>, Invalid> {
    let mut generator = Generator::new(model, knobs.clone(), seed, Some(count as u64))?;
    let mut request = SyntheticRequest::default();
    let one = |_| {
        generator.next(&mut request)?;
        Ok(Line {
            time: request.timestamp,
            input: request.input_length,
            output: request.output_length,
            ids: Some(request.ids().collect()),
        })
    };
    (0..count).map(one).collect()
}

fn save(model: &Model) -> String {
    let mut text = Vec::new();
    let append = |line: &[u8]| {
        text.extend_from_slice(line);
        Ok::<(), ()>(())
    };
    model.save(append).unwrap();
    String::from_utf8(text).unwrap()
}

fn load(text: &str) -> Result<Model, Invalid> {
    let mut reader = ModelReader::default();
    text.lines().try_for_each(|line| reader.line(line.as_bytes()))?;
    reader.finish()
}

/// Traces that may break any rule: ids under several parents, twice in a request, with two token
/// counts. Few ids, so that prefixes are shared.
fn traces() -> impl Strategy<Value = Vec<(f64, Vec<u64>, u64, Option<u64>)>> {
    let path = prop_oneof![
        // Prefixes of a few chains, with tails of their own.
        4 => (0..4_u64, 0..6_u64, 0..4_u64, 0..1000_u64).prop_map(|(chain, shared, own, name)| {
            let shared = (0..shared).map(move |i| chain * 10 + i);
            shared.chain((0..own).map(move |i| 1000 + name * 10 + i)).collect()
        }),
        1 => prop::collection::vec(0..12_u64, 0..6),
    ];
    let request = (0..50_u32, path, 1..=4_u64, prop::option::weighted(0.9, 0..300_u64));
    prop::collection::vec(request, 1..40).prop_map(|requests| {
        let mut now = 0.0;
        let request = |(gap, ids, tail, output): (u32, Vec<u64>, u64, Option<u64>)| {
            now += f64::from(gap.saturating_sub(20)) * 0.5;
            let length = if ids.is_empty() { 0 } else { (ids.len() as u64 - 1) * 4 + tail };
            (now, ids, length, output)
        };
        requests.into_iter().map(request).collect()
    })
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let factor = || prop_oneof![3 => Just(1.0), 1 => 0.05..4.0_f64];
    let limits = || (prop::option::weighted(0.2, 0..12_u64), prop::option::weighted(0.2, 4..40_u64));
    let hit_rate = prop::option::weighted(0.3, 0.0..1.0_f64);
    (factor(), factor(), factor(), factor(), 1..4_u32, limits(), limits(), hit_rate).prop_map(
        |(prefix_len, prompt_len, output_len, speedup, prefix_root, input, output, hit_rate)| {
            let mut knobs = Knobs::default();
            (knobs.speedup, knobs.hit_rate) = (speedup, hit_rate);
            (knobs.prefix_len, knobs.prefix_root) = (prefix_len, prefix_root);
            (knobs.prompt_len, knobs.output_len) = (prompt_len, output_len);
            knobs.input = LengthRange { min: input.0, max: input.1 };
            knobs.output = LengthRange { min: output.0.filter(|_| output.1.is_none()), max: output.1 };
            knobs
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn every_model_with_every_knob_gives_valid_traces(trace in traces(), knobs in knobs(), seed in 0..3_u64) {
        for kind in KINDS {
            let model = learn(&trace, 4, kind);
            let reread = load(&save(&model)).unwrap();
            prop_assert_eq!(&reread, &model);
            let count = 3 * trace.len() + 5;
            let mut knobs = knobs.clone();
            knobs.hit_rate = knobs.hit_rate.filter(|_| kind == ModelKind::Sessions && seed == 0);
            match generate(model, &knobs, seed, count) {
                Ok(lines) => {
                    assert_valid(&lines, 4);
                    for line in &lines {
                        prop_assert!(knobs.input.min.is_none_or(|min| line.input >= min));
                        prop_assert!(knobs.input.max.is_none_or(|max| line.input <= max));
                        prop_assert!(line.output.is_none_or(|n| knobs.output.max.is_none_or(|max| n <= max)));
                    }
                    if let Some(target) = knobs.hit_rate {
                        prop_assert!((hit_rate(&lines, 4) - target).abs() <= 0.01);
                    }
                    prop_assert_eq!(Ok(lines), generate(reread, &knobs, seed, count));
                }
                Err(Invalid { message, .. }) => {
                    let known = ["no input length", "is out of reach", "with so few requests"];
                    prop_assert!(known.iter().any(|text| message.contains(text)), "{}", message);
                }
            }
        }
    }

    #[test]
    fn one_pass_of_sessions_is_every_request_once(trace in traces(), seed in 0..3_u64) {
        let lines = generate(learn(&trace, 4, ModelKind::Replay), &Knobs::default(), seed, 2 * trace.len()).unwrap();
        let expected = |input: &u64| input.div_ceil(4);
        let expected: Vec<u64> = trace.iter().map(|(_, _, input, _)| expected(input)).collect();
        for pass in lines.chunks(trace.len()) {
            let blocks: Vec<u64> = pass.iter().map(|line| line.input.div_ceil(4)).collect();
            // Where the original's order would last too long a request may get a block more.
            prop_assert!(missing(&expected, &blocks) <= trace.len() / 15, "{:?} {:?}", expected, blocks);
        }
    }

    #[test]
    fn a_damaged_model_is_refused_or_gives_valid_traces(
        trace in traces(), place in any::<prop::sample::Index>(), digit in 0..10_u8, kind in 0..3_usize,
    ) {
        let mut text = save(&learn(&trace, 4, KINDS[kind])).into_bytes();
        let digits: Vec<usize> = (0..text.len()).filter(|&i| text[i].is_ascii_digit()).collect();
        text[digits[place.index(digits.len())]] = b'0' + digit;
        let text = String::from_utf8(text).unwrap();
        if let Ok(model) = load(&text) {
            let size = model.block_size();
            if let Ok(lines) = generate(model, &Knobs::default(), 1, 60) {
                assert_valid(&lines, size);
            }
        }
    }
}

/// How many of the values `a` are not among the values `b`, counted as often as they occur.
fn missing(a: &[u64], b: &[u64]) -> usize {
    let mut rest = b.to_vec();
    let found = |value: &&u64| match rest.iter().position(|other| other == *value) {
        Some(place) => {
            rest.swap_remove(place);
            false
        }
        None => true,
    };
    a.iter().filter(found).count()
}

/// Token hit rate of an infinite cache.
fn hit_rate(lines: &[Line], block_size: u64) -> f64 {
    let mut seen = HashSet::new();
    let (mut cached, mut tokens) = (0, 0);
    for line in lines {
        let ids = line.ids.as_ref().unwrap();
        let known = ids.iter().take_while(|id| seen.contains(*id)).count() as u64;
        cached += (known * block_size).min(line.input);
        tokens += line.input;
        seen.extend(ids.iter().copied());
    }
    if tokens == 0 { 0.0 } else { cached as f64 / tokens as f64 }
}

/// A trace of chats behind two system prompts, made by a rule.
fn chats(conversations: u64) -> String {
    let (mut lines, mut next) = (Vec::new(), 10);
    for c in 0..conversations {
        let mut ids: Vec<u64> = if c % 3 == 0 { vec![0, 1] } else { vec![0, 2, 3] };
        for turn in 0..=c % 5 {
            let added = 1 + (c + turn) % 3;
            ids.extend(next..next + added);
            next += added + 1;
            let time = c * 1000 + turn * 7500;
            let mut request = ids.clone();
            request.push(next - 1);
            let tail = 1 + (c * 37 + turn * 11) % 511;
            lines.push((time, request.len() as u64 * 512 - 512 + tail, 10 + (c * 13) % 400, request));
        }
    }
    lines.sort_by_key(|line| line.0);
    lines.iter().map(|(time, input, output, ids)| line(*time, *input, *output, ids)).collect()
}

fn stats(trace: &str) -> Value {
    serde_json::from_str(&run("trace-stats", &["--format=json"], trace).ok()).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let trace = chats(200);
    let folder = scratch();
    for name in NAMES {
        let model = format!("--model={name}");
        let one = run("trace-synth", &[&model, "--seed=7"], &trace).ok();
        assert_eq!(one, run("trace-synth", &[&model, "--seed", "7"], &trace).ok());
        assert_ne!(one, run("trace-synth", &[&model, "--seed=8"], &trace).ok());
        assert_eq!(one.lines().count(), trace.lines().count());
        let file = folder.path().join(name);
        let file = file.to_str().unwrap();
        let saved = run("trace-synth", &[&model, "-n0", "--save-model", file], &trace);
        assert_eq!(saved.ok(), "");
        assert_eq!(one, run("trace-synth", &["--model-file", file, "--seed=7"], "").ok());
        let longer = run("trace-synth", &["--model-file", file, "--seed=7", "-n", "2k"], "").ok();
        assert!(longer.starts_with(&one) && longer.lines().count() == 2000);
        assert_eq!(run("trace-cat", &["--check"], longer).status, Some(0));
    }
}

#[test]
fn saving_a_model_that_gives_the_trace_away_is_said_to() {
    let folder = scratch();
    let file = write(folder.path(), "model", "");
    for (name, expected) in [("replay", "is the trace itself"), ("tree", "holds every length")] {
        let ran = run("trace-synth", &["--model", name, "-n0", "--save-model", &file], chats(50));
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        let model = std::fs::read_to_string(&file).unwrap();
        assert!(model.lines().all(|line| serde_json::from_str::<Value>(line).unwrap().is_object()));
    }
}

#[test]
fn models_of_the_first_version_are_refused_with_the_reason() {
    let folder = scratch();
    for kind in ["sessions", "tree"] {
        let header =
            format!("{{\"kvtrace_model\":\"{kind}\",\"version\":1,\"block_size\":512,\"requests\":1}}\n");
        write(folder.path(), "model", header);
        let ran = run_in(folder.path(), "trace-synth", &["--model-file=model"], "");
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("model:1: a model of version 1"), "{}", ran.stderr);
        assert!(ran.stderr.contains("the trace can be rebuilt"), "{}", ran.stderr);
    }
}

#[test]
fn prompts_hash_to_the_trace_itself() {
    let trace = chats(60);
    for name in NAMES {
        for (form, tokenizer) in [
            (&["--prompts"][..], "o200k_base"),
            (&["--prompts=text", "--tokenizer=bytes"], "bytes"),
            (&["--prompts=tokens"], "o200k_base"),
            (&["--prompts=tokens", "--vocab-size=200"], "o200k_base"),
        ] {
            let args = ["--model", name, "-n100", "--seed=3"];
            let expected = run("trace-synth", &args, &trace).ok();
            let prompts = run("trace-synth", &[&args, form].concat(), &trace).ok();
            assert!(prompts.lines().all(|line| line.contains("\"max_tokens\": ")));
            let hashed = run("trace-hash", &["--tokenizer", tokenizer], &prompts).ok();
            assert!(hashed == expected, "{name} {form:?}");
        }
    }
    let folder = scratch();
    write(folder.path(), "trace", &trace);
    let round = shell(
        folder.path(),
        "trace-synth -n 100 --prompts trace | trace-hash | trace-stats --format json > a
         trace-synth -n 100 trace | trace-stats --format json | cmp - a",
    );
    assert_eq!(round.status, Some(0), "{}", round.stderr);
}

#[test]
fn without_a_model_the_prompts_are_those_of_the_trace() {
    let trace = run("trace-cat", &["--renumber"], chats(60)).ok();
    for form in ["text", "tokens"] {
        let prompts = run("trace-synth", &["--model=none", &format!("--prompts={form}")], &trace).ok();
        assert_eq!(run("trace-hash", &[], &prompts).ok(), trace);
    }
    assert_eq!(run("trace-synth", &["--model=none"], &trace).ok(), trace);
    let ran = run("trace-synth", &["--model=none", "--osl-multiplier=2"], &trace);
    assert!(ran.stderr.contains("the model none changes nothing but the pace"), "{}", ran.stderr);
    let ran = run("trace-synth", &["--model=none", "-n1k"], &trace);
    assert!(ran.status == Some(1) && ran.stderr.contains("the model none no more"), "{}", ran.stderr);
}

#[test]
fn without_a_model_time_begins_when_that_of_the_trace_does() {
    let now = 1_764_000_000_123.25;
    for times in [[5.0, 17.5, 17.5, 27.0], [-5.0, -0.25, 0.0, 9.0], [now, now + 0.25, now + 12.0, now + 4e6]]
    {
        let row = |(id, time): (usize, &f64)| {
            format!(
                "{{\"timestamp\": {time}, \"input_length\": 9, \"output_length\": 1, \"hash_ids\": [{id}]}}\n"
            )
        };
        let trace: String = times.iter().enumerate().map(row).collect();
        let synth = |option: &str| run("trace-synth", &["-q", "--model=none", option], &trace).ok();
        assert_eq!(synth("--seed=1"), trace);
        for form in ["--prompts=text", "--prompts=tokens"] {
            assert_eq!(run("trace-hash", &["-q"], synth(form)).ok(), trace);
        }
        let fast = run("trace-cat", &["-q", "--speedup-ratio=2"], &trace).ok();
        assert_eq!(synth("--speedup-ratio=2"), fast);
        // Durations and rates are those from the first request on.
        let early = times.iter().filter(|&&time| time < times[0] + 13.0).count();
        assert_eq!(synth("--duration=13ms").lines().count(), early);
        assert_eq!(synth("--rate=1").lines().next(), trace.lines().next());
    }
}

#[test]
fn too_small_a_vocabulary_is_said_to_be_so() {
    let ran = run("trace-synth", &["--prompts=tokens", "--vocab-size=1"], chats(10));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("a vocabulary of 1 is too small"), "{}", ran.stderr);
}

#[test]
fn traces_without_times_ids_or_outputs_stay_without() {
    let trace = "{\"input_length\": 700}\n{\"input_length\": 90}\n{\"input_length\": 2000}\n";
    for name in NAMES {
        let out = run("trace-synth", &["--model", name, "-n", "9"], trace).ok();
        let lines = parse(&out);
        assert_eq!(lines.len(), 9);
        assert!(lines.iter().all(|l| l.time.is_none() && l.ids.is_none() && l.output.is_none()));
        assert!(lines.iter().all(|l| l.input > 0));
        let ran = run("trace-synth", &["--model", name, "--duration=1h"], trace);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("no times; give it arrivals with --rate"), "{}", ran.stderr);
        let timed = parse(&run("trace-synth", &["--model", name, "--duration=1h", "--rate=2"], trace).ok());
        assert!((6800..7600).contains(&timed.len()), "{}", timed.len());
    }
    let ran = run("trace-synth", &["--target-hit-rate=0.5", "--min-count=1"], trace);
    assert!(ran.stderr.contains("without hash_ids there is no hit rate"), "{}", ran.stderr);
    let report = run("trace-synth", &["--report", "--model=replay"], trace).stderr;
    assert!(report.contains(&format!("{:28}{:14.4}", "ks context", 0.0)), "{report}");
    let mixed = format!("{}{trace}", line(0, 600, 1, &[0, 1]));
    let ran = run("trace-synth", &["--min-count=1"], mixed);
    assert!(ran.stderr.contains("3 of 4 requests have no hash_ids"), "{}", ran.stderr);
    assert_valid(&parse(&ran.ok()), 512);
}

#[test]
fn very_small_traces_are_learnt_too() {
    for name in NAMES {
        let ran = run("trace-synth", &["--model", name], "\n");
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
        assert!(ran.stderr.contains("no requests to learn from"), "{}", ran.stderr);
        let one = line(5, 1000, 7, &[4, 9]);
        let out = parse(&run("trace-synth", &["--model", name, "-n3"], &one).ok());
        assert_eq!(out.len(), 3);
        assert!(out.iter().all(|l| l.input == 1000 && l.output == Some(7) && l.time == Some(0.0)));
        assert_valid(&out, 512);
        let empty = "{\"timestamp\": 0, \"input_length\": 0, \"hash_ids\": []}\n";
        assert_eq!(run("trace-synth", &["--model", name], empty).ok(), empty);
        let twice = format!("{one}{one}");
        assert_valid(&parse(&run("trace-synth", &["--model", name, "-n20"], twice).ok()), 512);
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    for (args, expected) in [
        (&["--prefix-len-multiplier=0"][..], "not above zero"),
        (&["--prompt-len-multiplier=-1"], "not above zero"),
        (&["--osl-multiplier=NaN"], "not a finite number"),
        (&["--speedup-ratio=inf"], "not a finite number"),
        (&["--prefix-len-multiplier=1e9"], "more than 1000"),
        (&["--prefix-root-multiplier=0"], "above zero"),
        (&["--prefix-root-multiplier=1.5"], "not a whole number"),
        (&["--rate=0"], "'0' is not between 1e-9 and 1e9"),
        (&["--rate=2", "--speedup-ratio=2"], "give one"),
        (&["--forever", "-n3"], "contradict"),
        (&["--min-isl=9", "--max-isl=8"], "--min-isl is above --max-isl"),
        (&["--min-osl=9", "--max-osl=8"], "--min-osl is above --max-osl"),
        (&["--prompts=words"], "not one of text, chat, tokens"),
        (&["--vocab-size=9"], "is for --prompts=tokens"),
        (&["--tokenizer=bytes"], "is for --prompts=text"),
        (&["--model-file=a", "b"], "give either it or FILEs"),
        (&["--model=other"], "not one of sessions, replay, tree, none"),
    ] {
        let ran = run("trace-synth", args, "");
        assert_eq!(ran.status, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn bad_models_are_refused_with_their_line() {
    let trace =
        [(0.0, vec![0, 1], 8, Some(1)), (1.0, vec![0, 2], 7, None), (2.0, vec![0, 1, 3], 10, Some(2))];
    let [sessions, good, tree] = KINDS.map(|kind| save(&learn(&trace, 4, kind)));
    assert!([&sessions, &good, &tree].into_iter().all(|model| load(model).is_ok()));
    let folder = scratch();
    for (text, expected) in [
        (String::new(), "an empty file is no model"),
        ("{}\n".into(), "model:1: no model of trace-synth: missing field"),
        (line(0, 512, 1, &[0]), "model:1: no model of trace-synth: unknown field"),
        (good.replace("\"version\":3", "\"version\":4"), "model:1: version 4 of the model format"),
        (good.replace("\"version\":3", "\"version\":2"), "this program reads 3: learn a new model"),
        (good.replace("\"block_size\":4", "\"block_size\":0"), "model:1: block_size"),
        (good.replace("\"requests\":3", "\"requests\":4"), "not complete: 3 of 4 requests"),
        (good.replace("\"shared\":2", "\"shared\":9"), "request 2: shares what its parent has not"),
        (
            good.replace("\"last_block_tokens\":3", "\"last_block_tokens\":5"),
            "no number of tokens in a block",
        ),
        (
            good.replace("\"parent\":0,\"shared\":2", "\"parent\":2,\"shared\":2"),
            "a parent that stands not before it",
        ),
        (good.replace("\"session\"", "\"season\""), "model:2: unknown variant `season`"),
        (good.replace("[1.0,1.0]", "[1.0,-1.0]"), "no time between requests"),
        (good.replace("[1.0,1.0]", "[1.0]"), "the number of gaps is wrong"),
        (good.replace("\"core\":null", "\"core\":3"), "there is no core run 3"),
        (good.clone() + "{\"stop\":{\"core\":null,\"ends\":1,\"leaves\":0}}\n", "of the other kind of model"),
        (good.clone() + "{\"outputs\":[[1,1]]}\n", "of the other kind of model"),
        (tree + "{\"outputs\":[[1,18446744073709551615]]}\n", "more values than requests"),
        (sessions.replace("\"span\":", "\"span\":-"), "no times"),
        (sessions.replace("{\"end\":", "{\"gaps\":"), "model:"),
        (sessions.lines().take(3).map(|line| format!("{line}\n")).collect(), "is missing"),
        (sessions.clone() + "{\"outputs\":[[1,1]]}\n", "of the other kind of model"),
    ] {
        assert_ne!(text, good, "{expected}");
        write(folder.path(), "model", &text);
        let ran = run_in(folder.path(), "trace-synth", &["--model-file=model"], "");
        assert_eq!(ran.status, Some(1), "{text}");
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    write(folder.path(), "model", &good);
    let ran = run_in(folder.path(), "trace-synth", &["--model-file=model", "-b8"], "");
    assert!(ran.stderr.contains("block size 4 contradicts --block-size 8"), "{}", ran.stderr);
    let ran = run_in(folder.path(), "trace-synth", &["--model-file=model", "--model=tree"], "");
    assert!(ran.stderr.contains("not the model that --model asks for"), "{}", ran.stderr);
}

/// Two requests that share three blocks and leave them, and one of a single block of its own.
const FORK: [(u64, u64, &[u64]); 3] =
    [(0, 2000, &[0, 1, 2, 3]), (600, 2040, &[0, 1, 2, 4]), (1000, 100, &[5])];

fn fork() -> String {
    FORK.iter().map(|&(time, input, ids)| line(time, input, 40 + time, ids)).collect()
}

#[test]
fn multipliers_scale_to_the_nearest_whole_number_of_blocks() {
    for (factor, prefix, own) in
        [("0.1", 1, 1), ("0.5", 2, 1), ("1.4", 4, 1), ("1.5", 4, 2), ("2.5", 8, 2), ("3", 9, 3)]
    {
        let blocks = |option: &str| {
            let out = run("trace-synth", &["--model=tree", "-n200", option, factor], fork()).ok();
            let lines = parse(&out);
            assert_valid(&lines, 512);
            lines.iter().map(|l| l.ids.as_ref().unwrap().len()).collect::<HashSet<_>>()
        };
        assert_eq!(blocks("--prefix-len-multiplier"), HashSet::from([prefix + 1, 1]), "{factor}");
        assert_eq!(blocks("--prompt-len-multiplier"), HashSet::from([3 + own, own]), "{factor}");
    }
}

#[test]
fn copies_of_the_core_share_no_block() {
    for name in NAMES {
        let trace = chats(300);
        let groups = |n: &str| {
            let args = ["--model", name, "-n2k", "--prefix-root-multiplier", n];
            let out = run("trace-synth", &args, &trace).ok();
            assert_valid(&parse(&out), 512);
            parse(&out).iter().map(|l| l.ids.as_ref().unwrap()[0]).collect::<HashSet<_>>().len()
        };
        assert_eq!((groups("1"), groups("5")), (1, 5), "{name}");
    }
}

#[test]
fn outputs_are_scaled_and_clipped_and_times_divided() {
    for name in NAMES {
        let trace = chats(300);
        let lines =
            |args: &[&str]| parse(&run("trace-synth", &[&["--model", name], args].concat(), &trace).ok());
        let plain = lines(&[]);
        for (args, expected) in [
            (&["--osl-multiplier=1.5"][..], &(|n: u64| n * 3 / 2) as &dyn Fn(u64) -> u64),
            (&["--min-osl=100"], &|n| n.max(100)),
            (&["--osl-multiplier=2", "--max-osl=300"], &|n| (2 * n).min(300)),
        ] {
            let changed = lines(args);
            for (old, new) in plain.iter().zip(&changed) {
                assert_eq!(new, &Line { output: old.output.map(expected), ..old.clone() }, "{name} {args:?}");
            }
        }
        let fast = lines(&["--speedup-ratio=3000"]);
        for (old, new) in plain.iter().zip(&fast) {
            assert!((old.time.unwrap() / 3000.0 - new.time.unwrap()).abs() <= 0.000_51, "{old:?} {new:?}");
        }
        let distinct =
            |lines: &[Line]| lines.iter().map(|l| l.time.unwrap().to_bits()).collect::<HashSet<_>>().len();
        assert_eq!(distinct(&plain), distinct(&fast), "{name}: fast arrivals collapse");
        let rated = lines(&["--rate=50", "-n20k"]);
        let rate = 19_999.0 / rated[19_999].time.unwrap() * 1000.0;
        assert!((rate / 50.0 - 1.0).abs() < 0.03, "{name} {rate}");
    }
}

#[test]
fn unwanted_lengths_are_drawn_again() {
    for name in NAMES {
        let trace = chats(300);
        let plain = run("trace-synth", &["--model", name], &trace).ok();
        let out = run("trace-synth", &["--model", name, "--min-isl=2000", "--max-isl=3k"], &trace).ok();
        let lines = parse(&out);
        assert_eq!(lines.len(), plain.lines().count());
        assert!(lines.iter().all(|l| (2000..=3000).contains(&l.input)));
        assert_valid(&lines, 512);
        // The arrivals are not thinned.
        let span = |lines: &[Line]| lines[lines.len() - 1].time.unwrap();
        let ratio = span(&lines) / span(&parse(&plain));
        assert!((0.8..1.25).contains(&ratio), "{name} {ratio}");
        let ran = run("trace-synth", &["--model", name, "--min-isl=1M"], &trace);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("no input length of at least 1000000 among"), "{}", ran.stderr);
    }
}

#[test]
fn annotations_add_up_to_the_input() {
    for name in NAMES {
        let out = run("trace-synth", &["--model", name, "--annotate"], chats(100)).ok();
        for line in out.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| value[name].as_u64().unwrap();
            assert_eq!(field("context_len") + field("unique_user_prompt_len"), field("input_length"));
        }
        assert!(out.contains("\"context_len\": 1536, "));
    }
}

#[test]
fn a_stated_block_size_is_stated_again() {
    let trace = "{\"input_length\": 20, \"block_size\": 16, \"hash_ids\": [0, 1]}\n";
    let out = run("trace-synth", &["-n2", "--min-count=1"], trace).ok();
    assert!(out.lines().all(|line| line.contains("\"block_size\": 16, ")), "{out}");
    assert_eq!(run("trace-synth", &["-b8"], trace).status, Some(1));
}

#[test]
fn durations_end_and_forever_does_not() {
    let trace = chats(100);
    for name in NAMES {
        let lines = parse(&run("trace-synth", &["--model", name, "--duration=10m"], &trace).ok());
        let last = lines[lines.len() - 1].time.unwrap();
        assert!(last < 600_000.0 && last > 500_000.0, "{last}");
        let lines = parse(&run("trace-synth", &["--model", name, "--duration=10m", "-n5"], &trace).ok());
        assert_eq!(lines.len(), 5);
    }
    let folder = scratch();
    write(folder.path(), "trace", &trace);
    let ran = shell(folder.path(), "set +o pipefail; trace-synth --forever trace | head -n 5000 | wc -l");
    assert_eq!((ran.stdout.trim(), &*ran.stderr), ("5000", ""));
}

#[test]
fn a_signal_ends_an_endless_run_at_a_record() {
    let folder = scratch();
    let file = write(folder.path(), "trace", chats(100));
    let mut child = command("trace-synth")
        .args(["--forever", "--pace", "--rate=200", &file])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let mut out = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(out.ends_with('\n'));
    // Two hundred lines a second, not all that a processor can write.
    assert!((3..400).contains(&out.lines().count()), "{}", out.lines().count());
}

/// Longest run of consecutive requests that is also one of the original, up to the names of blocks.
fn longest_replay(original: &[Line], synthetic: &[Line]) -> usize {
    let key = |l: &Line| (l.input, l.output);
    let mut places: HashMap<_, Vec<usize>> = HashMap::new();
    for (i, line) in original.iter().enumerate() {
        places.entry(key(line)).or_default().push(i);
    }
    let agree = |i: usize, j: usize| {
        let (mut there, mut back) = (HashMap::new(), HashMap::new());
        let same = |(a, b): &(&Line, &Line)| {
            let ids = |l: &Line| l.ids.clone().unwrap();
            key(a) == key(b)
                && ids(a)
                    .iter()
                    .zip(&ids(b))
                    .all(|(&x, &y)| *there.entry(x).or_insert(y) == y && *back.entry(y).or_insert(x) == x)
        };
        original[i..].iter().zip(&synthetic[j..]).take_while(same).count()
    };
    let starts = (0..synthetic.len()).flat_map(|j| {
        let there = places.get(&key(&synthetic[j])).map_or(&[][..], |places| places);
        there.iter().map(move |&i| (i, j))
    });
    starts.map(|(i, j)| agree(i, j)).max().unwrap_or(0)
}

#[test]
fn the_original_is_never_repeated_for_long() {
    // One user after another: whatever is drawn, turns follow turns.
    let mut serial = String::new();
    let mut next = 2;
    for session in 0..20_u64 {
        let mut ids = vec![0, 1];
        for turn in 0..40 {
            ids.push(next);
            next += 1;
            let time = session * 1_000_000 + turn * 20_000;
            let input = ids.len() as u64 * 512 - (session * 7 + turn * 3) % 500;
            let mut request = ids.clone();
            *request.last_mut().unwrap() = next;
            next += 1;
            serial += &line(time, input, 10 + (turn * 17 + session) % 300, &request);
        }
    }
    let mut traces = vec![serial, chats(300)];
    traces.extend(real("traces/conversation_trace.jsonl").map(|path| std::fs::read_to_string(path).unwrap()));
    for trace in traces {
        let out = parse(&run("trace-synth", &["--seed=1"], &trace).ok());
        let longest = longest_replay(&parse(&trace), &out);
        assert!(longest <= 16, "{longest} requests in a row");
    }
}

fn python(script: &Path, args: &[&str]) -> Option<String> {
    if shell(Path::new("."), "command -v python3").status != Some(0) {
        eprintln!("skipped: python3 is not here");
        return None;
    }
    let output = Command::new("python3").arg(script).args(args).output().unwrap();
    Some(Ran::of(&output).ok())
}

/// Distances of a synthetic trace as an independent program finds them.
fn distances(oracle: &Path, original: &str, synthetic: &str) -> Option<HashMap<String, [f64; 3]>> {
    let text = python(oracle, &[original, synthetic, "--json"])?;
    let value: HashMap<String, HashMap<String, f64>> = serde_json::from_str(&text).unwrap();
    let row = |row: HashMap<String, f64>| ["original", "synthetic", "distance"].map(|name| row[name]);
    Some(value.into_iter().map(|(name, values)| (name, row(values))).collect())
}

#[test]
fn replay_keeps_what_a_finite_cache_sees_of_a_real_trace() {
    let (Some(trace), Some(oracle)) = (real("traces/conversation_trace.jsonl"), real("oracle/fidelity.py"))
    else {
        return;
    };
    let trace = trace.to_str().unwrap();
    let folder = scratch();
    let mut sums: HashMap<String, f64> = HashMap::new();
    for seed in ["1", "2", "3"] {
        let synthetic = write(
            folder.path(),
            seed,
            run("trace-synth", &["--model=replay", "--seed", seed, trace], "").ok(),
        );
        let Some(rows) = distances(&oracle, trace, &synthetic) else { return };
        for (name, [original, _, distance]) in rows {
            let relative = if name.starts_with("dispersion") { distance / original } else { distance };
            *sums.entry(name).or_default() += relative / 3.0;
        }
    }
    for (name, distance) in sums {
        let bar = match &*name {
            "block size clashes" => 0.0,
            "ks reuse_s" => 0.012,
            "token_hit_rate" => 0.004,
            "unique_blocks_per_request" | "dispersion_10s" | "dispersion_60s" => 0.2,
            "continues" => 0.01,
            name if name.starts_with("ks ") => 0.006,
            name if name.starts_with("lru") => 0.005,
            name if name.starts_with("corr") => 0.01,
            name if name.starts_with("hit_quarter") => 0.03,
            other => panic!("{other}"),
        };
        assert!(distance <= bar, "{name}: {distance} is above {bar}");
    }
}

#[test]
fn tree_agrees_with_the_reference_algorithm() {
    let (Some(trace), Some(oracle), Some(fidelity)) =
        (real("traces/conversation_trace.jsonl"), real("oracle/synth_tree.py"), real("oracle/fidelity.py"))
    else {
        return;
    };
    let trace = trace.to_str().unwrap();
    let folder = scratch();
    let Some(reference) = python(&oracle, &[trace, "-n", "8000", "--seed", "5"]) else { return };
    let reference = write(folder.path(), "reference", reference);
    let ours = run("trace-synth", &["--model=tree", "-n8k", "--seed=5", trace], "").ok();
    let ours = write(folder.path(), "ours", ours);
    let Some(rows) = distances(&fidelity, &reference, &ours) else { return };
    // Two samples of 8,000 differ by this much at most by chance; at 100,000 requests the figures
    // are below 0.006.
    for name in ["input", "output", "context", "unique", "cached", "hit", "gap"] {
        let [_, _, distance] = rows[&format!("ks {name}")];
        assert!(distance <= 0.03, "{name}: {distance}");
    }
    assert_eq!(rows["block size clashes"][2], 0.0);
}

#[test]
fn the_whole_multiplier_doubles_what_it_says() {
    let trace = chats(300);
    let mean = |trace: &str, name: &str| stats(trace)[name]["mean"].as_f64().unwrap();
    let plain = run("trace-synth", &["--model=replay", "-n3k"], &trace).ok();
    let doubled = run(
        "trace-synth",
        &["--model=replay", "-n3k", "--prompt-len-multiplier=2", "--prefix-len-multiplier=2"],
        &trace,
    )
    .ok();
    let blocks = |trace: &str| stats(trace)["blocks"].as_f64().unwrap();
    let ratio = blocks(&doubled) / blocks(&plain);
    assert!((ratio - 2.0).abs() < 0.01, "{ratio}");
    assert!(mean(&doubled, "input_length") > 1.8 * mean(&plain, "input_length"));
    let hit = |trace: &str| stats(trace)["block_hit_rate"].as_f64().unwrap();
    assert!((hit(&doubled) - hit(&plain)).abs() < 0.02);
}

#[test]
fn the_hit_rate_is_what_is_asked_for_without_a_hub() {
    let trace = chats(400);
    let plain = stats(&run("trace-synth", &["--seed=2"], &trace).ok());
    for target in ["0", "0.3", "0.6", "0.8"] {
        let out = run("trace-synth", &["--seed=2", "--target-hit-rate", target], &trace).ok();
        let found = stats(&out);
        let rate = found["token_hit_rate"].as_f64().unwrap();
        assert!((rate - target.parse::<f64>().unwrap()).abs() <= 0.01, "{target}: {rate}");
        assert_valid(&parse(&out), 512);
        let ratio = found["arrivals"]["mean_rate"].as_f64().unwrap()
            / plain["arrivals"]["mean_rate"].as_f64().unwrap();
        assert!((0.8..1.25).contains(&ratio), "{target}: {ratio} times as many requests per second");
        // No block but those of the core is used by requests of more than one session.
        let mut users: HashMap<u64, u32> = HashMap::new();
        for line in parse(&out) {
            line.ids.unwrap().into_iter().for_each(|id| *users.entry(id).or_default() += 1);
        }
        let mut users: Vec<u32> = users.into_values().collect();
        users.sort_unstable_by(|a, b| b.cmp(a));
        assert!(users.len() < 40 || users[40] < 100, "{target}: {:?}", &users[..41]);
    }
    let ran = run("trace-synth", &["--target-hit-rate=1"], &trace);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("is out of reach: from 0.0"), "{}", ran.stderr);
    let ran = run("trace-synth", &["--target-hit-rate=0.5", "--model=tree"], &trace);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("needs --model sessions"), "{}", ran.stderr);
    assert_eq!(run("trace-synth", &["--target-hit-rate=30"], &trace).status, Some(2));
}

#[test]
fn the_report_says_what_an_independent_program_says() {
    let Some(oracle) = real("oracle/fidelity.py") else { return };
    let folder = scratch();
    let trace = write(folder.path(), "trace", chats(300));
    for (model, option) in NAMES.map(|name| (name, "-q")).into_iter().chain([("replay", "--max-isl=3000")]) {
        let name = model;
        let ran = run("trace-synth", &["--model", name, "--report", option, &trace], "");
        let report = ran.stderr.clone();
        let synthetic = write(folder.path(), name, ran.ok());
        let Some(rows) = distances(&oracle, &trace, &synthetic) else { return };
        let mut compared = 0;
        for line in report.lines().skip(1) {
            let (name, values) = line.split_at(28);
            // What the oracle does not have: that replay copies and tree does not, but by chance.
            if name.starts_with("copied") {
                let share: f64 = values.split_whitespace().nth(1).unwrap().parse().unwrap();
                // Without the longest requests of a session, what is left is no copy of all of it.
                let copies = model == "replay";
                let is_right = if copies { share > 0.5 || option != "-q" } else { share < 0.95 };
                assert!(is_right, "{model}: {line}");
                continue;
            }
            let values: Vec<f64> = values.split_whitespace().map(|value| value.parse().unwrap()).collect();
            for (value, expected) in values.iter().zip(rows[name.trim()]) {
                assert!((value - expected).abs() <= 0.000_051, "{line}, expected {expected}");
            }
            compared += 1;
        }
        assert!(compared >= 29, "{report}");
    }
}

#[test]
fn ten_times_as_many_requests_have_the_same_figures() {
    let Some(trace) = real("traces/conversation_trace.jsonl") else { return };
    let caches = |trace: &str, warmup: &str| -> Vec<f64> {
        let args = ["--format=json", "--capacity=1k,5k,20k,80k", warmup];
        let report: Value = serde_json::from_str(&run("trace-stats", &args, trace).ok()).unwrap();
        report["capacity"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["token_hit_rate"].as_f64().unwrap())
            .collect()
    };
    let once = std::fs::read_to_string(&trace).unwrap();
    let out = run("trace-synth", &["-n", "120310", trace.to_str().unwrap()], "").ok();
    // The trace begins with empty caches and no open conversation, which ten passes do once.
    for (one, ten) in caches(&once, "--warmup=4000").iter().zip(caches(&out, "--warmup=0")) {
        assert!((one - ten).abs() <= 0.02, "{one} {ten}");
    }
}
