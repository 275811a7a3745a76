//! The documentation says what is true: every example of the README and of the manual pages runs,
//! outputs shown are real, and the checked-in manual pages are those of the option tables.
//!
//! `KVTRACE_BLESS=1 cargo test --test suite docs::` rewrites outputs and pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::{run, scratch, shell};
use kvtrace::cli::{self, Manual};

const PROGRAMS: [&str; 4] = ["trace-hash", "trace-stats", "trace-synth", "trace-cat"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bless() -> bool {
    std::env::var_os("KVTRACE_BLESS").is_some()
}

/// Compares `found` with the file, or writes it.
fn assert_file(path: &Path, found: &str) {
    if bless() {
        std::fs::write(path, found).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == found,
        "{} is stale: run KVTRACE_BLESS=1 cargo test --test suite docs::",
        path.display()
    );
}

/// A folder in which the examples can write, with the example files in it.
fn workplace() -> (tempfile::TempDir, PathBuf) {
    let folder = scratch();
    std::os::unix::fs::symlink(root().join("examples"), folder.path().join("examples")).unwrap();
    std::fs::copy(root().join("examples/prompts.jsonl"), folder.path().join("prompts.jsonl")).unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

/// Programs beside ours that examples may use, where they are installed.
const TOOLS: [&str; 7] = ["jq", "gzip", "zstd", "duckdb", "parallel", "systemd-analyze", "python3"];

/// The public trace on which some documents show figures.
const REAL_TRACE: &str = "conversation_trace.jsonl";

/// Whether what an example uses beside our programs is here; says what is not. With `KVTRACE_NEED_ALL`
/// nothing may be missing.
fn can_run(command: &str) -> bool {
    let word = |c: char| !(c.is_alphanumeric() || c == '-');
    let missing = TOOLS.into_iter().find(|tool| {
        command.split(word).any(|word| word == *tool)
            && shell(root(), &format!("command -v {tool}")).status != Some(0)
    });
    if let Some(tool) = missing {
        assert!(std::env::var_os("KVTRACE_NEED_ALL").is_none(), "{tool} is not here");
        eprintln!("skipped for want of {tool}: {command}");
    }
    missing.is_none() && (!command.contains(REAL_TRACE) || real_trace().is_some())
}

/// The files that a command writes.
fn written(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let files = words.windows(2).filter(|two| matches!(two[0], ">" | "-o"));
    files.map(|two| two[1].trim_end_matches(';').to_owned()).collect()
}

fn real_trace() -> Option<PathBuf> {
    crate::support::real(&format!("traces/{REAL_TRACE}"))
}

#[test]
fn manual_pages_are_those_of_the_option_tables() {
    for name in PROGRAMS {
        let page = run(name, &["--man"], "").ok();
        assert_file(&root().join(format!("man/{name}.1")), &page);
    }
}

#[test]
fn manual_pages_pass_the_linter() {
    if shell(root(), "command -v mandoc").status != Some(0) {
        eprintln!("skipped: mandoc is not here");
        return;
    }
    for name in PROGRAMS {
        let ran = shell(root(), &format!("mandoc -T lint -W warning man/{name}.1"));
        assert_eq!((ran.status, &*ran.stdout), (Some(0), ""), "{name}");
    }
}

fn run_examples(name: &str, manual: &Manual) {
    let mut examples = 0;
    for (_, command) in manual.examples() {
        examples += 1;
        if can_run(&command) {
            let (_folder, path) = workplace();
            let ran = shell(&path, &command);
            assert_eq!(ran.status, Some(0), "{name}: {command}\n{}", ran.stderr);
            let wrote = !ran.stdout.is_empty() || std::fs::read_dir(&path).unwrap().count() > 2;
            assert!(wrote, "{name}: {command} wrote nothing");
        }
    }
    assert!(examples >= 3, "{name} has too few examples");
}

#[test]
fn every_example_of_the_manual_pages_runs() {
    run_examples("trace-hash", &Manual::of(&cli::hash::SPEC));
    run_examples("trace-stats", &Manual::of(&cli::stats::SPEC));
    run_examples("trace-synth", &Manual::of(&cli::synth::SPEC));
    run_examples("trace-cat", &Manual::of(&cli::cat::SPEC));
}

/// Runs every `console` block of a document: commands after `$ `, each followed by its whole output.
/// The commands of one document share a folder.
fn run_document(name: &str) {
    let path = root().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let (_folder, workplace) = workplace();
    if let Some(trace) = real_trace().filter(|_| text.contains(REAL_TRACE)) {
        std::os::unix::fs::symlink(trace.canonicalize().unwrap(), workplace.join(REAL_TRACE)).unwrap();
    }
    let mut out = String::new();
    let (mut in_block, mut commands, mut ran_last) = (false, 0, false);
    // What skipped commands have not written.
    let mut absent: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = line == "```console";
            ran_last = false;
        }
        if let Some(command) = line.strip_prefix("$ ").filter(|_| in_block) {
            commands += 1;
            let of = absent.iter().find(|file| command.contains(*file));
            if let Some(file) = of {
                eprintln!("skipped for want of {file}: {command}");
            }
            ran_last = of.is_none() && can_run(command);
            if !ran_last {
                absent.extend(written(command));
            }
            out.push_str(&format!("{line}\n"));
            if ran_last {
                let ran = shell(&workplace, command);
                assert_eq!(ran.status, Some(0), "{command}\n{}", ran.stderr);
                out.push_str(&ran.stdout);
            }
        } else if !(in_block && ran_last) {
            out.push_str(&format!("{line}\n"));
        }
    }
    assert!(commands >= 3, "{name} has too few examples");
    assert_file(&path, &out);
}

#[test]
fn every_example_of_the_readme_shows_its_real_output() {
    run_document("README.md");
}

#[test]
fn every_recipe_shows_its_real_output() {
    run_document("docs/recipes.md");
}

#[test]
fn every_example_of_the_other_documents_shows_its_real_output() {
    let names = [
        "cache-size",
        "cluster",
        "comparison",
        "concepts",
        "load",
        "misses",
        "peers",
        "price",
        "replicas",
        "servers",
        "sharing",
    ];
    for name in names {
        run_document(&format!("docs/{name}.md"));
    }
}

#[test]
fn the_two_commands_of_the_readme_are_those_of_the_checks() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let checks = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    // This runs both as README has them; a release build is too long for every change.
    let install = std::fs::read_to_string(root().join("scripts/check-install")).unwrap();
    assert!(install.contains("README.md | grep '^cargo ' | head -n 2"));
    let commands: Vec<&str> = readme
        .split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .filter(|line| line.starts_with("cargo "))
        .collect();
    let [build, test] = commands[..] else { panic!("{commands:?}") };
    assert!(checks.lines().any(|line| line == test), ".ci/run does not run: {test}");
    let pipe = build.split_once("bash -c ").map(|(_, pipe)| pipe).unwrap();
    assert!(checks.contains(pipe), ".ci/run does not run: {pipe}");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut dependencies = BTreeSet::new();
    for section in
        manifest.split("\n[").filter(|section| section.split(']').next().unwrap().ends_with("dependencies"))
    {
        let lines = section.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#'));
        dependencies.extend(lines.map(|line| line.split(" = ").next().unwrap().to_owned()));
    }
    let table = std::fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let reasons: BTreeMap<String, usize> =
        rows.map(|(name, reason)| (name.to_owned(), reason.len())).collect();
    assert!(dependencies.len() > 20);
    assert_eq!(reasons.keys().cloned().collect::<BTreeSet<_>>(), dependencies);
    assert!(reasons.values().all(|&length| length > 10), "{reasons:?}");
}

#[test]
fn help_names_every_option_and_the_completions_are_scripts() {
    for name in PROGRAMS {
        let help = run(name, &["--help"], "").ok();
        for option in
            ["--help", "--version", "--output", "--quiet", "--progress", "--max-line", "--skip-invalid"]
        {
            assert!(help.contains(option), "{name} {option}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        assert_eq!(
            run(name, &["--version"], "").ok(),
            format!("{name} (kvtrace) {}\n", env!("CARGO_PKG_VERSION"))
        );
        for shell_name in ["bash", "zsh", "fish"] {
            let script = run(name, &["--completions", shell_name], "").ok();
            assert!(script.contains(name) && script.contains("skip-invalid"), "{name} {shell_name}");
            let path = scratch();
            crate::support::write(path.path(), "script", &script);
            if shell(path.path(), &format!("command -v {shell_name}")).status == Some(0) {
                assert_eq!(shell(path.path(), &format!("{shell_name} -n script")).status, Some(0));
            }
        }
    }
}
