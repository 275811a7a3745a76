//! The cases of the fuzz targets, replayed without a fuzzer: those that are kept in `fuzz/seeds`, among
//! them every one that ever failed, and a few thousand mutations of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;

#[path = "../../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::pedantic)]
mod targets;

use targets::TARGETS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The cases of a target by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("seeds").join(target);
    names(&folder)
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(folder.join(&name)).unwrap()))
        .collect()
}

/// Runs a case; where it panics, the panic is behind a line that names the case.
fn run(target: fn(&[u8]), name: &str, bytes: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(bytes)) {
        eprintln!("{name}: {}", bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_target_has_a_binary_and_cases() {
    let all: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&root().join("seeds")), all);
    let binaries = names(&root().join("fuzz_targets"));
    assert_eq!(binaries, all.iter().map(|name| format!("{name}.rs")).collect());
    for name in &all {
        assert!(seeds(name).len() >= 4, "{name}");
    }
}

#[test]
fn the_kept_cases_break_no_promise() {
    let mut cases = 0;
    for (name, target) in TARGETS {
        for (case, bytes) in seeds(name) {
            run(target, &format!("{name}/{case}"), &bytes);
            cases += 1;
        }
    }
    assert!(cases > 90);
}

#[test]
fn the_kept_models_are_of_the_version_that_is_read() {
    for (case, bytes) in seeds("model") {
        if let Err(invalid) = targets::read_model(&bytes) {
            panic!("{case}: {}", invalid.message);
        }
    }
}

/// With `KVTRACE_FUZZ=TARGET` and `KVTRACE_FUZZ_SECONDS=N` others of one target, for so long.
#[test]
fn mutations_of_the_kept_cases_break_no_promise() {
    let only = std::env::var("KVTRACE_FUZZ").ok();
    let seconds: Option<u64> = std::env::var("KVTRACE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let mut rng = Rng::with_seed(if seconds.is_some() { fastrand::u64(..) } else { 8 });
    for (name, target) in
        TARGETS.into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
    {
        let seeds = seeds(name);
        let runs = match name {
            "tokenizer" => 30,
            // Each one makes a tokenizer, or files.
            "pattern" | "events" => 300,
            _ => 3000,
        };
        let (begun, mut done) = (Instant::now(), 0);
        let goes_on =
            |done| seconds.map_or(done < runs, |seconds| begun.elapsed() < Duration::from_secs(seconds));
        while goes_on(done) {
            done += 1;
            let mut bytes = seeds[rng.usize(..seeds.len())].1.clone();
            for _ in 0..rng.usize(1..5) {
                mutate(&mut bytes, &seeds[rng.usize(..seeds.len())].1, &mut rng);
            }
            run(target, name, &bytes);
        }
        println!("{name}: {done} runs in {} s", begun.elapsed().as_secs());
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    let end = rng.usize(at..=bytes.len());
    match rng.u8(..6) {
        0 if at < bytes.len() => bytes[at] = rng.u8(..),
        1 => bytes.insert(at, b"{}[],:\"\\0129.-+eE \x00\xff\n"[rng.usize(..21)]),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        4 => {
            let from = rng.usize(..=other.len());
            bytes.splice(at..end, other[from..].iter().copied());
        }
        _ => bytes.truncate(at.max(1)),
    }
}
