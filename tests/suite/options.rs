//! Options that contradict each other or would be without effect, and what a filter says of those
//! that its input has no use for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::{line, run, run_in, scratch, shell, write};
use kvtrace::cli::{self, Spec};

/// Command lines that must be refused as such, and a part of the message.
const REFUSED: &[(&str, &str)] = &[
    ("trace-stats --warmup 100", "--warmup is for the caches of"),
    ("trace-stats --warmup 0.5", "--warmup is for the caches of"),
    ("trace-stats --window 10req -f table", "--window writes JSON lines"),
    ("trace-stats --window 10req -f markdown", "--window writes JSON lines"),
    ("trace-stats --partial -f csv", "--partial writes no report"),
    ("trace-stats --partial -p 50", "--partial writes no report"),
    ("trace-stats --partial --hits engine", "--partial writes no report"),
    ("trace-stats --merge -b 16", "--merge has the block size of the pieces"),
    ("trace-stats --merge --skip-invalid", "--merge would be wrong without a line"),
    ("trace-stats -c 1GiB --kv-bytes-per-token 9 --model-config CONFIG", "give one of the two"),
    ("trace-stats -f json --kv-bytes-per-token 9", "size the caches of"),
    ("trace-stats -f csv --model-config CONFIG", "size the caches of"),
    ("trace-stats --exact -f csv", "has all digits anyway"),
    ("trace-stats --every 9req -f prometheus", "name the file with --output"),
    ("trace-stats --window 9req -f prometheus", "name the file with --output"),
    ("trace-stats --block-sizes 1024 -f svg", "--block-sizes goes with a report"),
    (
        "trace-stats --policy lru,opt",
        "give their sizes with --capacity (such as 1k,10k,100k, or 418ktok), or --curve",
    ),
    ("trace-stats --provenance", "--provenance ends a report with --format json"),
    ("trace-stats --provenance -f json --window 9req", "--provenance ends a report with --format json"),
    ("trace-cat --columns timestamp", "names no column; expected FIELD=COLUMN"),
    ("trace-cat --columns a=b -f azure", "--columns is for tables"),
    ("trace-stats -c 9 --kv-dtype fp8", "name the model's config.json"),
    ("trace-stats -c tok", "is not a count"),
    ("trace-stats -c 1.5tok", "is not a whole number"),
    ("trace-stats -o x.xz", "trace-stats ... | xz > x.xz"),
    ("trace-hash -o x.parquet", "COPY (FROM 'x.jsonl') TO 'x.parquet'"),
    ("trace-stats --window 10req -o x.html", "--window writes JSON lines"),
    ("trace-stats --every 10req -o x.svg.gz", "do not go with --every"),
    ("trace-cat -z zstd -o x.gz", "contradicts the end of the name"),
    ("trace-cat --pace -o x.gz", "give one of the two"),
    ("trace-stats analyze --input-file a.jsonl", "here it is: trace-stats a.jsonl"),
    ("trace-hash synthesize --input-file=a --output-file b", "here it is: trace-synth -o b a"),
    ("trace-stats -c 9 --prompt-length 8k", "name the model's config.json"),
    ("trace-stats -c 9 --model-config CONFIG --prompt-length 0", "--prompt-length"),
    ("trace-stats --target 0%", "no cache at all"),
    ("trace-stats --target 101%", "is not a share"),
    ("trace-hash --seed 1", "--seed is for the draw of --rate"),
    ("trace-hash --salt x", "dense ids have none"),
    ("trace-hash --text --field a", "--text lines have no fields"),
    ("trace-hash --text --turns last", "--text lines are no chats"),
    ("trace-hash --add-special-tokens", "needs a tokenizer file"),
    ("trace-hash --add-special-tokens --tokenizer bytes", "needs a tokenizer file"),
    ("trace-stats --window 9req --ttl 5m", "--target and --ttl go with a report"),
    ("trace-stats --window 9req --target 50%", "--target and --ttl go with a report"),
    ("trace-hash --text --keep a", "--text lines have no fields"),
    ("trace-hash --text --output-field a", "--text lines have no fields"),
    ("trace-hash --output-length 5 --output-field a", "--output-field asks all"),
    ("trace-stats --plot ascii", "--plot takes its value after a =: --plot=ascii"),
    ("trace-synth --prompts tokens", "--prompts takes its value after a =: --prompts=tokens"),
    ("trace-hash --rate 1e-300", "is not between 1e-9 and 1e9"),
    ("trace-hash --state -", "expected the name of a file"),
    ("trace-cat --min-isl 5 --max-isl 4", "--min-isl is above --max-isl"),
    ("trace-cat --min-osl 5 --max-osl 4", "--min-osl is above --max-osl"),
    ("trace-cat --from 10s --to 9s", "--from is not before --to"),
    ("trace-cat --from 10s --to 10s", "--from is not before --to"),
    ("trace-cat --temp-dir /tmp", "--temp-dir is for"),
    ("trace-cat --speedup-ratio 1e-30", "is not between 1e-9 and 1e9"),
    ("trace-cat --sample 101%", "is not a share"),
    ("trace-cat --merge --sort", "give one of the two"),
    ("trace-cat --check --renumber", "--check only validates"),
    ("trace-synth --speedup-ratio 1e-30", "is not between 1e-9 and 1e9"),
    ("trace-synth --rate 1e-300", "is not between 1e-9 and 1e9"),
    ("trace-synth --target-hit-rate 101%", "is not a share"),
    ("trace-synth --max-memory 1Mi", "expected 48Mi or more"),
    ("trace-synth --max-memory 1Gi --model-file m", "--model-file does without"),
    ("trace-synth --save-model -", "expected the name of a file"),
];

/// Command lines that must not be refused.
const ACCEPTED: &[&str] = &[
    "trace-stats --warmup 0",
    "trace-stats --warmup 1 -c 10",
    "trace-stats --window 10req",
    "trace-stats --window 10req -f json",
    "trace-stats --window 10req -f csv",
    "trace-stats --curve --kv-bytes-per-token 9",
    "trace-stats --kv-bytes-per-token 9",
    "trace-stats --exact",
    "trace-stats --target 100%",
    "trace-hash --rate 2 --seed 1",
    "trace-hash --ids hash --salt x",
    "trace-hash --text --max-memory 1Gi",
    "trace-cat --min-isl 5 --max-isl 5",
    "trace-cat --from 10s --to 11s",
    "trace-cat --sample 50%",
    "trace-cat --sort --temp-dir /tmp",
    "trace-cat --speedup-ratio 1e-9",
];

#[test]
fn what_contradicts_or_has_no_effect_is_a_usage_error() {
    let folder = scratch();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config.json");
    for (command, message) in REFUSED {
        let (name, args) = command.split_once(' ').unwrap();
        let args: Vec<&str> = args.split(' ').map(|arg| if arg == "CONFIG" { config } else { arg }).collect();
        let ran = run_in(folder.path(), name, &args, "");
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("{name} --help")), "{command}: {}", ran.stderr);
    }
    for command in ACCEPTED {
        let (name, args) = command.split_once(' ').unwrap();
        let ran = run_in(folder.path(), name, &args.split(' ').collect::<Vec<_>>(), "");
        assert_eq!(ran.status, Some(0), "{command}: {}", ran.stderr);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a refused run has left a file");
}

#[test]
fn a_dash_as_output_is_standard_output() {
    let folder = scratch();
    let trace: String = (0..5).map(|i| line(i, 512, 1, &[i])).collect();
    for name in ["trace-cat", "trace-stats", "trace-synth"] {
        let plain = run_in(folder.path(), name, &[], &trace).ok();
        assert_eq!(run_in(folder.path(), name, &["-o", "-"], &trace).ok(), plain);
        assert_eq!(run_in(folder.path(), name, &["-o", "x", "--output=-"], &trace).ok(), plain);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // A file of that name is reached by another path to it.
    run_in(folder.path(), "trace-cat", &["-o", "./-"], &trace).ok();
    assert_eq!(std::fs::read_to_string(folder.path().join("-")).unwrap(), trace);
}

#[test]
fn lists_of_an_option_given_again_add_up() {
    let trace: String = (0..40).map(|i| line(i * 60_000, 1024, 1, &[i % 3, i + 9])).collect();
    for (together, apart) in [
        ("-p 10,20", "-p 10 -p 20"),
        ("-c 1,2k,8", "-c 1,2k --capacity 8"),
        ("-c 4 --policy fifo,lru", "-c 4 --policy fifo --policy=lru"),
        ("--target 50%,90%", "--target 50% --target 90%"),
        ("--ttl 1m,5m", "--ttl 1m --ttl 5m"),
    ] {
        let report = |args: &str| {
            let args: Vec<&str> = ["-f", "json"].into_iter().chain(args.split(' ')).collect();
            run("trace-stats", &args, &trace).ok()
        };
        assert_eq!(report(together), report(apart));
    }
    let prompt = "{\"prompt\": \"x\", \"a\": 1, \"b\": 2}\n";
    let kept = run("trace-hash", &["--keep", "a", "--keep", "b"], prompt).ok();
    assert!(kept.contains("\"a\": 1") && kept.contains("\"b\": 2"), "{kept}");
}

#[test]
fn capacities_in_tokens_are_whole_blocks_of_them() {
    let trace: String = (0..40).map(|i| line(i, 1024, 1, &[i % 3, i + 9])).collect();
    let rows = |capacity: &str| run("trace-stats", &["-f", "csv", "-c", capacity], &trace).ok();
    assert_eq!(rows("1536tok"), rows("3"));
    assert_eq!(rows("2ktokens,5119tok"), rows("3,9"));
    let ran = run("trace-stats", &["-c", "511tok"], &trace);
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
    assert!(ran.stderr.contains("--capacity: 511 tokens are no block, which has 512"), "{}", ran.stderr);
    let ran = run("trace-stats", &["-c", "123,392tok"], &trace);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("write 123392tok for one size, 392tok,123 for two"), "{}", ran.stderr);
    assert_eq!(rows("512tok,123"), rows("1,123"));
    let ran = run("trace-stats", &["-c", "418,000tok"], &trace);
    assert!(ran.stderr.contains("commas separate sizes"), "{}", ran.stderr);
    // Sizes and types of a token.
    let in_bytes = |args: &[&str]| {
        let report = run("trace-stats", &[&["-f", "json", "-c", "1536tok"], args].concat(), &trace).ok();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        report["capacity"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["capacity_bytes"].clone())
            .collect::<Vec<_>>()
    };
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config.json");
    let half = in_bytes(&["--model-config", config, "--kv-dtype", "fp8"]);
    assert_eq!(half, in_bytes(&["--kv-bytes-per-token", "64KiB"]));
    assert_eq!(in_bytes(&["--model-config", config]), in_bytes(&["--kv-bytes-per-token", "131072"]));
}

#[test]
fn the_name_of_the_output_says_how_it_is_written() {
    let folder = scratch();
    let trace = line(0, 1024, 1, &[0, 1]).repeat(3);
    let written = |args: &[&str]| {
        run_in(folder.path(), "trace-stats", args, &trace).ok();
        std::fs::read(folder.path().join(args.last().unwrap())).unwrap()
    };
    for (name, format) in [
        ("r.html", "html"),
        ("r.json", "json"),
        ("r.csv", "csv"),
        ("r.md", "markdown"),
        ("r.prom", "prometheus"),
        ("r.svg", "svg"),
        ("r.txt", "table"),
    ] {
        let explicit = run("trace-stats", &["-f", format], &trace).ok();
        let named = String::from_utf8(written(&["-o", name])).unwrap();
        // A page says how it was made.
        let command = format!("trace-stats -f {format}");
        assert_eq!(named.replace(&format!("trace-stats -o {name}"), &command), explicit, "{name}");
    }
    assert!(written(&["-f", "csv", "-o", "x.json"]).starts_with(b"section,"), "the option goes first");
    run_in(folder.path(), "trace-cat", &["-o", "t.csv"], &trace).ok();
    let rows = run("trace-cat", &["--to-format", "csv"], &trace).ok();
    assert_eq!(std::fs::read_to_string(folder.path().join("t.csv")).unwrap(), rows);
    // What is compressed reads back as it is, by name and by option alike.
    assert!(written(&["-o", "r.json.gz"]).starts_with(&[0x1f, 0x8b]));
    for (name, magic) in [("t.jsonl.gz", [0x1f, 0x8b]), ("t.jsonl.zst", [0x28, 0xb5])] {
        run_in(folder.path(), "trace-cat", &["-o", name], &trace).ok();
        assert!(std::fs::read(folder.path().join(name)).unwrap().starts_with(&magic), "{name}");
        assert_eq!(run_in(folder.path(), "trace-cat", &[name], "").ok(), trace);
    }
}

#[test]
fn inputs_that_are_elsewhere_are_named_with_what_fetches_them() {
    for (name, part) in [
        ("s3://bucket/t.jsonl", "aws s3 cp s3://bucket/t.jsonl - | trace-stats"),
        ("Qwen/Qwen3-8B", "hf download --repo-type dataset Qwen/Qwen3-8B"),
        ("missing.jsonl", "missing.jsonl: No such file or directory"),
    ] {
        let ran = run("trace-stats", &[name], "");
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let ran = run("trace-stats", &["-c", "1GiB", "--model-config", "no/such-model"], "");
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("hf download no/such-model config.json"), "{}", ran.stderr);
}

#[test]
fn a_terminal_is_told_that_its_input_is_awaited() {
    let folder = scratch();
    let typed = |filter: &str| format!("printf '\\004' | script -qec '{filter}' /dev/null");
    if shell(folder.path(), "command -v script").status != Some(0) {
        return eprintln!("skipped: script is not installed");
    }
    let path = env!("CARGO_BIN_EXE_trace-stats");
    assert!(shell(folder.path(), &typed(path)).stdout.contains("waiting for standard input"));
    assert!(!shell(folder.path(), &typed(&format!("{path} -q"))).stdout.contains("waiting"));
    assert!(!shell(folder.path(), &typed(&format!("{path} /dev/null"))).stdout.contains("waiting"));
    assert!(!run("trace-stats", &[], "").stderr.contains("waiting"));
}

#[test]
fn percentages_are_shares() {
    let trace: String = (0..1000).map(|i| line(i, 1024, 1, &[0, i + 1])).collect();
    let half = run("trace-cat", &["--sample", "0.5"], &trace).ok();
    assert!((400..600).contains(&half.lines().count()));
    assert_eq!(run("trace-cat", &["--sample", "50%"], &trace).ok(), half);
    let rate = |share: &str| run("trace-synth", &["--target-hit-rate", share], &trace).ok();
    assert_eq!(rate("30%"), rate("0.3"));
}

#[test]
fn a_field_that_no_record_has_is_a_warning() {
    let trace = "{\"input_length\": 1, \"type\": null, \"kind\": \"(none)\"}\n";
    let ran = run("trace-stats", &["--by", "type"], trace);
    assert!(ran.stderr.contains("no record has the field \"type\" of --by (trace-hash and trace-cat take fields of logs along with --keep)\n"), "{}", ran.stderr);
    ran.ok();
    let ran = run("trace-stats", &["--by", "kind"], trace);
    assert!(!ran.stderr.contains("--by"), "{}", ran.stderr);
    let ran = run("trace-stats", &["-q", "--by", "type"], trace);
    assert_eq!((ran.status, &*ran.stderr), (Some(0), ""));
}

#[test]
fn spans_of_time_need_times() {
    let timeless = "{\"input_length\": 512, \"hash_ids\": [0]}\n".repeat(3);
    for option in [["--window", "60s"], ["--ttl", "5m"]] {
        let ran = run("trace-stats", &option, &timeless);
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""), "{option:?}");
        assert!(ran.stderr.contains("no record has a timestamp"), "{}", ran.stderr);
        // One is enough, and no input is no mistake.
        run("trace-stats", &option, timeless.clone() + &line(5, 512, 1, &[0])).ok();
        run("trace-stats", &option, "").ok();
    }
    let windows = run("trace-stats", &["--window", "2req"], &timeless).ok();
    assert_eq!(windows.lines().count(), 2);
    assert!(windows.contains("\"start_ms\":null"), "{windows}");
}

#[test]
fn a_window_of_requests_says_where_it_begins() {
    let trace: String = [5, 7, 11, 6, 20].map(|time| line(time, 512, 1, &[0])).concat();
    let windows = run("trace-stats", &["--window", "2req"], trace).ok();
    let figures: Vec<serde_json::Value> =
        windows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| figures.iter().map(|w| w[name].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("start_ms"), [5.0, 11.0, 20.0]);
    assert_eq!(of("late"), [0.0, 1.0, 0.0]);
}

#[test]
fn times_beyond_all_reason_are_errors_and_never_saturate() {
    let trace = line(0, 1, 1, &[0]) + &line(10_u64.pow(16), 1, 1, &[0]);
    let ran = run("trace-cat", &["--speedup-ratio", "1e-9"], &trace);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("trace-cat: -:2: timestamp: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("too far away"), "{}", ran.stderr);
    let ran = run("trace-synth", &["--min-count=1", "--speedup-ratio", "1e-9"], &trace);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("285,000 years"), "{}", ran.stderr);
    let prompts = "{\"prompt\": \"x\"}\n".repeat(30_000);
    let ran = run("trace-hash", &["--rate", "1e-9"], prompts);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("285,000 years"), "{}", ran.stderr);
}

#[test]
fn a_state_leaves_no_lock_behind() {
    let folder = scratch();
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // An error before the run has begun, within it, and none.
    run_in(folder.path(), "trace-hash", &["--state", "ids", "-o", "absent/x"], "");
    assert_eq!(names(), [""; 0]);
    run_in(folder.path(), "trace-hash", &["--state", "ids"], "bad\n");
    assert_eq!(names(), ["ids"]);
    run_in(folder.path(), "trace-hash", &["--state", "ids"], "{\"prompt\": \"x\"}\n").ok();
    assert_eq!(names(), ["ids"]);
    let salted = run_in(folder.path(), "trace-hash", &["--state", "salted", "--salt", "x"], "").ok();
    assert_eq!(salted, "");
    let error = run_in(folder.path(), "trace-hash", &["--state", "salted"], "").stderr;
    assert!(error.contains("with another salt (--salt)"), "{error}");
    assert_eq!(names(), ["ids", "salted"]);
    write(folder.path(), "damaged", "no numbers");
    assert_eq!(run_in(folder.path(), "trace-hash", &["--state", "damaged"], "").status, Some(1));
    assert_eq!(names(), ["damaged", "ids", "salted"]);
}

/// The files of a folder and of those inside it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn names<O>(spec: &'static Spec<O>) -> impl Iterator<Item = String> {
    let options = spec.options.iter().chain(spec.common).flat_map(|(_, options)| *options);
    options.map(|option| option.long.replace('-', "_"))
}

/// The library has no command line: it names settings in backticks, which the programs write as options.
#[test]
fn the_library_names_settings_and_no_options() {
    let settings: BTreeSet<String> = names(&cli::cat::SPEC)
        .chain(names(&cli::hash::SPEC))
        .chain(names(&cli::stats::SPEC))
        .chain(names(&cli::synth::SPEC))
        .collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut named = 0;
    for file in files(&src) {
        if file.starts_with(src.join("cli")) || file.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (at, dashes) in line.match_indices("--") {
                let begins_word = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
                let is_option = line[at + dashes.len()..].starts_with(|c: char| c.is_ascii_lowercase());
                assert!(!(begins_word && is_option), "{}: {line}", file.display());
            }
            let is_name =
                |text: &&str| text.len() > 1 && text.chars().all(|c| c == '_' || c.is_ascii_lowercase());
            for name in line.split('`').skip(1).step_by(2).filter(is_name) {
                named += 1;
                assert!(settings.contains(name), "{}: no option is named {name}: {line}", file.display());
            }
        }
    }
    assert!(named > 40, "only {named} settings are named");
}
