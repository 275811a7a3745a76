//! Hits in units of several blocks, as engines find prefixes of models whose layers differ.

use std::collections::HashMap;
use std::fmt::Write;

use crate::support::{line, run};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A request: which one's prompt and answer it begins with, how many tokens of them, tokens of its own, the
/// answer.
type Shape = (Option<usize>, usize, u64, u64);

/// Those of `scripts/check-models`.
const SHAPES: [Shape; 14] = [
    (None, 0, 9000, 400),
    (Some(0), 9400, 300, 2),
    (Some(0), 5000, 3000, 1),
    (Some(0), 5000, 3000, 1),
    (Some(0), 9000, 0, 1),
    (Some(0), 4224, 0, 1),
    (Some(0), 4224, 1, 1),
    (Some(0), 100, 20, 1),
    (Some(1), 9700, 40, 3),
    (Some(2), 8000, 0, 1),
    (None, 0, 48, 1),
    (Some(10), 48, 0, 1),
    (Some(10), 48, 17, 1),
    (Some(12), 64, 1, 1),
];

/// The requests as trace lines with blocks of 16 tokens.
fn trace(shapes: &[Shape]) -> String {
    let (mut trace, mut made, mut fresh) = (String::new(), Vec::<Vec<u64>>::new(), 0..);
    let mut numbers: HashMap<Vec<u64>, usize> = HashMap::new();
    for &(parent, shared, own, answer) in shapes {
        let mut tokens = parent.map_or_else(Vec::new, |parent| made[parent][..shared].to_vec());
        tokens.extend(fresh.by_ref().take(own as usize));
        let prompt = tokens.len();
        tokens.extend(fresh.by_ref().take(answer as usize));
        let mut id = |block: usize| {
            let next = numbers.len();
            *numbers.entry(tokens[..16 * (block + 1)].to_vec()).or_insert(next)
        };
        let ids: Vec<usize> = (0..prompt / 16).map(&mut id).collect();
        let answers: Vec<usize> = (prompt / 16..(tokens.len() - 1) / 16).map(&mut id).collect();
        let record = json!({"timestamp": 0, "input_length": prompt, "output_length": answer, "hash_ids": ids,
            "output_hash_ids": answers, "block_size": 16});
        writeln!(trace, "{record}").unwrap();
        made.push(tokens);
    }
    trace
}

/// What each request finds in the caches, by their names.
fn per_request(trace: &str, options: &[&str], cache: &str) -> Vec<u64> {
    let args = ["-q", "--hits=engine", "--per-request"];
    let out = run("trace-stats", &[&args, options].concat(), trace).ok();
    let rows = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["hits"][cache].as_u64().unwrap()).collect()
}

#[test]
fn requests_find_what_vllm_finds_for_them() {
    let trace = trace(&SHAPES);
    // vLLM 0.32, its scheduler and cache manager, with the layers of these models (scripts/check-models).
    let rows: [(&str, &[&str], [u64; 14]); 11] = [
        ("Llama 3.1 8B", &[], [0, 9392, 4992, 4992, 8992, 4208, 4224, 96, 9696, 7984, 0, 32, 48, 64]),
        (
            "Llama 3.1 8B, with drafts",
            &["--drop-last-unit"],
            [0, 9376, 4976, 4976, 8976, 4192, 4208, 80, 9680, 7968, 0, 16, 32, 48],
        ),
        (
            "gpt-oss 20B",
            &["--hit-unit=16"],
            [0, 9392, 4992, 4992, 8992, 4208, 4224, 96, 9696, 7984, 0, 32, 48, 64],
        ),
        (
            "gpt-oss 20B, with drafts",
            &["--hit-unit=16", "--drop-last-unit"],
            [0, 9376, 4976, 4976, 8976, 4208, 4208, 80, 9680, 7984, 0, 32, 32, 48],
        ),
        (
            "Gemma 4 26B",
            &["--hit-unit=32"],
            [0, 9376, 4992, 4992, 8992, 4192, 4224, 96, 9696, 7968, 0, 32, 32, 64],
        ),
        (
            "Qwen3-Next",
            &["--hit-unit=544"],
            [0, 9248, 4896, 4896, 8704, 3808, 3808, 0, 9248, 7616, 0, 0, 0, 0],
        ),
        (
            "Qwen 3.5 35B",
            &["--hit-unit=1056"],
            [0, 8448, 4224, 4224, 8448, 3168, 4224, 0, 9504, 7392, 0, 0, 0, 0],
        ),
        (
            "Qwen 3.5 35B, with drafts",
            &["--hit-unit=1056", "--drop-last-unit"],
            [0, 7392, 3168, 3168, 7392, 3168, 3168, 0, 8448, 6336, 0, 0, 0, 0],
        ),
        (
            "Nemotron 3 Nano",
            &["--hit-unit=2096"],
            [0, 8384, 4192, 4192, 8384, 4192, 4192, 0, 8384, 6288, 0, 0, 0, 0],
        ),
        (
            "Nemotron 3 Nano, with drafts",
            &["--hit-unit=2096", "--drop-last-unit"],
            [0, 6288, 2096, 2096, 6288, 2096, 2096, 0, 6288, 4192, 0, 0, 0, 0],
        ),
        (
            "Llama 4 Scout",
            &["--hit-unit=16"],
            [0, 9392, 4992, 4992, 8992, 4208, 4224, 96, 9696, 7984, 0, 32, 48, 64],
        ),
    ];
    for (model, options, expected) in rows {
        assert_eq!(per_request(&trace, options, "infinite"), expected, "{model}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// A unit is there where its last block is, so the hits are those in blocks, rounded down.
    #[test]
    fn caches_serve_whole_units(
        shapes in prop::collection::vec((0..8_usize, 0..200_usize, 1..90_u64, 1..40_u64), 1..25),
        capacity in 1..60_u64, blocks in 1..6_u64, drops in any::<bool>(),
    ) {
        let mut lengths: Vec<u64> = Vec::new();
        let shapes: Vec<Shape> = shapes.into_iter().enumerate().map(|(at, (back, shared, own, answer))| {
            let parent = at.checked_sub(back + 1);
            let shared = parent.map_or(0, |parent| shared.min(lengths[parent] as usize));
            lengths.push(shared as u64 + own + answer);
            (parent, shared, own, answer)
        }).collect();
        let trace = trace(&shapes);
        let unit = 16 * blocks;
        let (size, hit_unit) = (capacity.to_string(), format!("--hit-unit={unit}"));
        let options: Vec<&str> = [&*hit_unit].into_iter().chain(drops.then_some("--drop-last-unit")).collect();
        for (cache, limits) in [(format!("lru:{capacity}"), vec!["-c", &size]), ("infinite".into(), vec![])] {
            let plain = per_request(&trace, &limits, &cache);
            let found = per_request(&trace, &[&limits[..], &options].concat(), &cache);
            for (at, (&found, &plain)) in found.iter().zip(&plain).enumerate() {
                let (_, shared, own, _) = shapes[at];
                let rounded = plain / unit * unit;
                if drops {
                    // One token more may be looked for, if the prompt ends with a unit.
                    let ends = (shared as u64 + own).is_multiple_of(unit) && found + unit == shared as u64 + own;
                    prop_assert!(found == rounded.saturating_sub(unit) || ends, "{} {} {}", at, found, plain);
                } else {
                    prop_assert_eq!(found, rounded, "{}", at);
                }
            }
            let args = [&["-q", "--hits=engine", "-f", "json", "--misses", "-c", &size], &options[..]].concat();
            let report: Value = serde_json::from_str(&run("trace-stats", &args, &trace).ok()).unwrap();
            let policy = cache.split(':').next().unwrap();
            let row = report["capacity"].as_array().unwrap().iter().find(|row| row["policy"] == policy).unwrap();
            prop_assert_eq!(row["hit_tokens"].as_u64().unwrap(), found.iter().sum::<u64>(), "{}", cache);
            // The same by the fates of tokens, of which nothing else changes what is cold.
            let held = if policy == "infinite" { Value::Null } else { capacity.into() };
            let fates = report["misses"].as_array().unwrap().iter().find(|row| row["capacity_blocks"] == held);
            prop_assert_eq!(&fates.unwrap()["hit"], &row["hit_tokens"], "{}", cache);
            let in_blocks = run("trace-stats", &args[..7], &trace).ok();
            let in_blocks: Value = serde_json::from_str(&in_blocks).unwrap();
            prop_assert_eq!(&fates.unwrap()["cold"], &in_blocks["misses"][0]["cold"]);
            if policy == "infinite" && !drops && blocks > 1 {
                let of = &report["hit_unit"];
                prop_assert_eq!(of["shared_tokens"].as_u64().unwrap(), plain.iter().sum::<u64>());
                prop_assert_eq!(&of["tokens"], unit);
            }
        }
    }
}

#[test]
fn steps_of_whole_blocks_are_units() {
    let trace = trace(&SHAPES);
    let all = ["-q", "--hits=engine", "-f", "json", "-c20,300", "--curve", "--ttl=5m", "--misses"];
    let report = |options: &[&str]| run("trace-stats", &[&all[..], options].concat(), &trace).ok();
    assert_eq!(report(&["--hit-step=1056"]), report(&["--hit-unit=1056"]));
    assert_ne!(report(&["--hit-step=1056"]), report(&[]));
    // A unit is the least hit, so it may be said to be so.
    let hits = |options: &[&str]| per_request(&trace, options, "infinite");
    assert_eq!(hits(&["--min-hit=2096", "--hit-step=2096"]), hits(&["--hit-unit=2096"]));
}

/// Qwen 3.5 35B: states in three of four layers, as large as the keys and values of 1,056 tokens.
const QWEN: &str = r#"{"model_type": "qwen3_5_moe_text", "dtype": "bfloat16", "full_attention_interval": 4,
    "head_dim": 256, "hidden_size": 2048, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_value_head_dim": 128,
    "mamba_ssm_dtype": "float32", "num_attention_heads": 16, "num_hidden_layers": 40, "num_key_value_heads": 2}"#;

#[test]
fn a_model_gives_its_unit_and_every_format_says_so() {
    let folder = crate::support::scratch();
    let config = crate::support::write(folder.path(), "config.json", QWEN);
    let trace = trace(&SHAPES);
    let ran = run("trace-stats", &["--hits=engine", "--model-config", &config], &trace);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("multiples of 1056 tokens"), "{}", ran.stderr);
    for said in ["Hit unit:        1,056 tokens", "Below one unit:  9.3 % of what is shared", "49,632"] {
        assert!(ran.stdout.contains(said), "{said}\n{}", ran.stdout);
    }
    let args = ["-q", "--hits=engine", "--model-config", &config];
    for (format, said) in [
        ("json", "\"hit_unit\": {"),
        ("json", "\"shared_tokens\": 54720"),
        ("csv", "hit_unit_tokens,1056"),
        ("markdown", "| hit_unit_tokens | 1056 |"),
        ("prometheus", "kvtrace_hit_unit_tokens 1056"),
        ("html", "Prefixes are found in multiples of 1,056 tokens."),
    ] {
        let out = run("trace-stats", &[&args[..], &["-f", format]].concat(), &trace).ok();
        assert!(out.contains(said), "{format} {said}\n{out}");
    }
    // Blocks, if that is said; and by the reference's rule as ever.
    let blocks = per_request(&trace, &["--model-config", &config, "--hit-unit=16"], "infinite");
    assert_eq!(blocks, per_request(&trace, &[], "infinite"));
    let reference =
        run("trace-stats", &["-q", "--model-config", &config, "--prompt-length=9", "-c9"], &trace);
    assert!(!reference.ok().contains("Hit unit"));
}

#[test]
fn what_is_not_counted_in_units_is_refused_by_name() {
    let record = line(0, 40, 1, &[1, 2, 3]);
    for (options, said) in [
        (&["-b", "16", "--hit-unit=40"][..], "--hit-unit: units of 40 tokens are not made of blocks of 16"),
        (&["-b", "16", "--hit-unit=32", "--policy=vllm", "-c9"], "--policy vllm is for prefixes"),
        (&["-b", "16", "--drop-last-unit", "--policy=sglang", "-c9"], "--policy sglang is for prefixes"),
        (&["-b", "16", "--hit-unit=32", "--policy=opt", "-c9"], "--policy opt is for prefixes"),
        (&["-b", "16", "--hit-unit=32", "--approx=100"], "--approx estimates hits of blocks"),
        (&["-b", "16", "--hit-unit=32", "--tiers=hbm=4,dram=9"], "--tiers find prefixes block by block"),
        (&["-b", "16", "--min-hit=32", "--policy=opt", "-c9"], "leave out --min-hit and --hit-step"),
        (&["-b", "16", "--min-hit=40", "--top=3"], "--top lists prefixes of whole blocks"),
        (&["-b", "16", "--min-hit=32", "--drop-last-unit"], "of hosted caches"),
        (&["-b", "16", "--hit-step=32", "--hit-unit=32"], "of hosted caches"),
        (&["-b", "16", "--hit-unit=32", "--hits=reference"], "leave out --hits reference"),
        (&["-b", "16", "--hit-unit=32", "--partial"], "--partial writes no report"),
    ] {
        let ran = run("trace-stats", options, &record);
        assert_eq!(ran.status, Some(2), "{options:?} {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{options:?} {}", ran.stderr);
    }
    // Pieces are counted in units when they are merged.
    let piece = run("trace-stats", &["-b", "16", "--partial"], record.repeat(2)).ok();
    let merged = run("trace-stats", &["--merge", "--hit-unit=32", "-f", "json"], &piece).ok();
    assert_eq!(serde_json::from_str::<Value>(&merged).unwrap()["cached_tokens"], 32);
    assert_eq!(run("trace-stats", &["--merge", "--hit-unit=24"], &piece).status, Some(1));
}
