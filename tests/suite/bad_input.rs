//! Bad input of every kind: the exit code, the message with file and line, and never a panic.

use std::process::Stdio;

use crate::support::{Ran, command, line, run, run_in, scratch, write, zstd};

/// A trace whose third line is `bad`, and what `trace-stats` and `trace-cat` must say of it.
const LINES: &[(&str, &str)] = &[
    (r#"{"input_length": 512, "hash_ids": [0"#, "EOF while parsing a list"),
    (r#"{"input_length": 512, "hash_ids": [0]"#, "EOF while parsing an object"),
    (r#"{"input_length": 512, "hash_ids": [0]}}"#, "trailing characters at column 39"),
    (r#"{"input_length": 512 "hash_ids": [0]}"#, "expected `,` or `}` at column 22"),
    (r#"{"input_length": 512, "hash_ids": [0,]}"#, "not valid JSON: expected value at column 38"),
    (r#"{"input_length": 512, "hash_ids": [0],}"#, "trailing comma"),
    (r"{'input_length': 512}", "key must be a string"),
    ("{", "EOF while parsing an object"),
    ("nonsense", "expected a JSON object, found nonsense"),
    ("nul", "expected a JSON object, found nul"),
    ("NaN", "expected a JSON object, found NaN"),
    ("[1, 2]", "expected a JSON object, found an array"),
    ("\"text\"", "expected a JSON object, found a string"),
    ("42", "expected a JSON object, found a number"),
    ("true", "expected a JSON object, found true"),
    ("null", "expected a JSON object, found null"),
    ("{}", "missing field \"input_length\""),
    (r#"{"messages": []}"#, "make it a trace with trace-hash first"),
    (r#"{"hash_ids": [0]}"#, "missing field \"input_length\""),
    (r#"{"input_length": null, "hash_ids": [0]}"#, "missing field \"input_length\""),
    (
        r#"{"input_length": "512", "hash_ids": [0]}"#,
        "input_length: expected a whole number of tokens, found \"512\"",
    ),
    (
        r#"{"input_length": -512, "hash_ids": [0]}"#,
        "input_length: expected a whole number of tokens, found -512",
    ),
    (
        r#"{"input_length": 511.5, "hash_ids": [0]}"#,
        "input_length: expected a whole number of tokens, found 511.5",
    ),
    (
        r#"{"input_length": [512], "hash_ids": [0]}"#,
        "input_length: expected a whole number of tokens, found [512]",
    ),
    (
        r#"{"input_length": 1e999, "hash_ids": [0]}"#,
        "input_length: expected a whole number of tokens, found 1e999",
    ),
    (r#"{"input_length": 18446744073709551615}"#, "is not a plausible number of tokens"),
    (r#"{"input_length": 0512, "hash_ids": [0]}"#, "invalid number"),
    (
        r#"{"input_length": 512, "output_length": true}"#,
        "output_length: expected a whole number of tokens, found true",
    ),
    (
        r#"{"input_length": 512, "output_length": -1}"#,
        "output_length: expected a whole number of tokens, found -1",
    ),
    (
        r#"{"input_length": 512, "output_length": 0.5}"#,
        "output_length: expected a whole number of tokens, found 0.5",
    ),
    (
        r#"{"input_length": 512, "timestamp": "12:00"}"#,
        "timestamp: expected a number of milliseconds, found \"12:00\"",
    ),
    (
        r#"{"input_length": 512, "timestamp": 1e999}"#,
        "timestamp: 1e999 is not a plausible number of milliseconds",
    ),
    (
        r#"{"input_length": 512, "timestamp": -1.01e24}"#,
        "timestamp: -1.01e24 is not a plausible number of milliseconds",
    ),
    (r#"{"input_length": 512, "hash_ids": [8,  , 9]}"#, "expected value"),
    (r#"{"input_length": 512, "hash_ids": [8,  ]}"#, "not valid JSON"),
    (r#"{"input_length": 512, "timestamp": NaN}"#, "expected value"),
    (r#"{"input_length": 512, "block_size": 0}"#, "block_size: expected a number of tokens, found 0"),
    (r#"{"input_length": 512, "hash_ids": 0}"#, "hash_ids: expected a list of ids, found 0"),
    (r#"{"input_length": 512, "hash_ids": {"0": 1}}"#, "hash_ids: expected a list of ids, found {\"0\": 1}"),
    (
        r#"{"input_length": 512, "hash_ids": ["a"]}"#,
        "hash_ids: expected unsigned 64-bit integers, found \"a\"",
    ),
    (r#"{"input_length": 512, "hash_ids": [-1]}"#, "hash_ids: expected unsigned 64-bit integers, found -1"),
    (r#"{"input_length": 512, "hash_ids": [0.5]}"#, "hash_ids: expected unsigned 64-bit integers, found 0.5"),
    (
        r#"{"input_length": 512, "hash_ids": [null]}"#,
        "hash_ids: expected unsigned 64-bit integers, found null",
    ),
    (
        r#"{"input_length": 512, "hash_ids": [18446744073709551616]}"#,
        "hash_ids: expected unsigned 64-bit integers, found 18446744073709551616",
    ),
    (r#"{"input_length": 512, "hash_ids": [[0]]}"#, "hash_ids: expected unsigned 64-bit integers, found [0]"),
    (
        r#"{"input_length": 512, "hash_ids": []}"#,
        "0 hash_ids for input_length 512, expected 1 of block size 512",
    ),
    (
        r#"{"input_length": 1025, "hash_ids": [0]}"#,
        "1 hash_ids for input_length 1025, expected 3 of block size 512",
    ),
    (
        r#"{"input_length": 512, "hash_ids": [0, 1]}"#,
        "2 hash_ids for input_length 512, expected 1 of block size 512",
    ),
    (r#"{"input_length": 512, "input_length": 512}"#, "duplicate field \"input_length\""),
    (r#"{"input_tokens": 512, "input_tokens": 512}"#, "duplicate field \"input_tokens\""),
    (
        r#"{"input_length": 512, "input_tokens": 512}"#,
        "\"input_length\" and \"input_tokens\" are the same field: give one of the two",
    ),
    (
        r#"{"created_time": 1, "input_length": 512, "timestamp": 1}"#,
        "\"created_time\" and \"timestamp\" are the same field: give one of the two",
    ),
    (r#"{"input_length": 512, "hash_ids": [0], "hash_ids": [0]}"#, "duplicate field \"hash_ids\""),
    ("{\"input_length\": 512, \"x\": \"a\u{0}b\"}", "control character"),
    ("{\"input_length\": 512, \u{0}}", "key must be a string"),
    (r#"{"input_length": 512, "x": "\q"}"#, "invalid escape"),
    ("\u{1b}[31m", "expected a JSON object, found \\u{1b}[31m"),
];

#[test]
fn a_bad_line_ends_the_run_with_its_place_and_reason() {
    for (bad, message) in LINES {
        let trace = format!("{}\n{bad}\n{}", line(0, 512, 1, &[0]), line(1, 512, 1, &[0]));
        for name in ["trace-stats", "trace-cat", "trace-synth"] {
            let ran = run(name, &[], &trace);
            assert_eq!(ran.status, Some(1), "{name} {bad}");
            let start = format!("{name}: -:3: ");
            assert!(ran.stderr.starts_with(&start), "{bad}: {}", ran.stderr);
            assert!(ran.stderr.contains(message), "{bad}: {}", ran.stderr);
            assert_eq!(ran.stderr.lines().count(), 1, "{bad}: {}", ran.stderr);
            assert!(!ran.stderr.contains('\u{1b}'), "{bad}: {}", ran.stderr);
        }
        let ran = run("trace-stats", &["--skip-invalid"], &trace);
        assert!(ran.stderr.contains("skipped 1 invalid record (first: -:3: "), "{bad}: {}", ran.stderr);
        assert!(ran.ok().contains("Requests:        2\n"), "{bad}");
        let kept = run("trace-cat", &["--skip-invalid", "-q"], &trace).ok();
        assert_eq!(kept.lines().count(), 2, "{bad}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    for name in ["trace-stats", "trace-cat", "trace-hash", "trace-synth"] {
        let ran = run(name, &[], b"{\"input_length\": 1, \"prompt\": \"\xff\"}\n");
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains(&format!("{name}: -:1: invalid UTF-8")), "{}", ran.stderr);
    }
}

#[test]
fn deep_nesting_in_an_unknown_field_is_read_past() {
    let deep = format!("{{\"input_length\": 1, \"x\": {}{}}}\n", "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert!(run("trace-stats", &[], &deep).ok().contains("Requests:        1\n"));
    assert_eq!(run("trace-cat", &[], &deep).ok(), deep);
    let ran = run("trace-stats", &[], &deep[..1 << 20]);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn nothing_at_all_is_no_error_but_a_note() {
    for empty in ["", "\n", "\n\r\n  \n", "\u{feff}"] {
        let ran = run("trace-stats", &[], empty);
        assert_eq!(ran.stderr, "trace-stats: no requests in the input\n");
        assert!(ran.ok().contains("Requests:        0\n"));
        for name in ["trace-cat", "trace-hash"] {
            let ran = run(name, &[], empty);
            assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""), "{empty:?}");
        }
    }
}

#[test]
fn missing_and_unreadable_inputs_are_named() {
    let folder = scratch();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    write(folder.path(), "good", line(0, 1, 1, &[0]));
    for name in ["trace-stats", "trace-cat", "trace-hash", "trace-synth"] {
        let ran = run_in(folder.path(), name, &["good", "absent"], "");
        let expected = format!("{name}: absent: No such file or directory\n");
        assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(1), "", &*expected));
        let ran = run_in(folder.path(), name, &["folder"], "");
        let expected = format!("{name}: folder: Is a directory\n");
        assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(1), "", &*expected));
    }
}

#[test]
fn a_file_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = scratch();
    let path = write(folder.path(), "secret", "{}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let ran = run_in(folder.path(), "trace-stats", &["secret"], "");
    assert_eq!((ran.status, &*ran.stderr), (Some(1), "trace-stats: secret: Permission denied\n"));
}

#[test]
fn damaged_compressed_data_are_an_error() {
    let folder = scratch();
    let trace = line(0, 1, 1, &[0]).repeat(1000);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, trace.as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = zstd(trace.as_bytes());
    for (name, bytes) in [("t.gz", gzip), ("t.zst", zstd)] {
        write(folder.path(), name, &bytes[..bytes.len() - 6]);
        let ran = run_in(folder.path(), "trace-stats", &[name, "--skip-invalid"], "");
        assert_eq!(ran.status, Some(1), "{name}");
        assert!(ran.stderr.starts_with(&format!("trace-stats: {name}: ")), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
        let mut wrong = bytes.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0xff;
        write(folder.path(), name, &wrong);
        let ran = run_in(folder.path(), "trace-stats", &[name], "");
        assert_eq!(ran.status, Some(1), "{name}: {}", ran.stdout);
    }
}

#[test]
fn a_long_line_is_a_bad_record_that_is_read_past() {
    let long = format!("{{\"input_length\": 1, \"x\": \"{}\"}}\n", "x".repeat(3 << 20));
    let trace = format!("{}{long}{}", line(0, 1, 1, &[0]), line(1, 1, 1, &[0]));
    let ran = run("trace-stats", &["--max-line", "2Mi"], &trace);
    let expected = "trace-stats: -:2: line longer than 2097152 bytes (see --max-line)\n";
    assert_eq!((ran.status, &*ran.stderr), (Some(1), expected));
    let ran = run("trace-stats", &["--max-line", "2Mi", "--skip-invalid"], &trace);
    assert!(ran.ok().contains("Requests:        2\n"));
    run("trace-stats", &[], &trace).ok();
    // Neither the mark at the start nor the line end counts, and the end of the input may be that of the line.
    let row = "{\"input_length\": 1}";
    for ends in ["", "\n", "\r\n", "\r"] {
        let marked = format!("\u{feff}{row}{ends}");
        run("trace-stats", &["--max-line", &row.len().to_string()], &marked).ok();
        assert_eq!(
            run("trace-stats", &["--max-line", &(row.len() - 1).to_string()], &marked).status,
            Some(1)
        );
    }
}

#[test]
fn only_bad_records_is_an_error_even_when_they_are_skipped() {
    for name in ["trace-stats", "trace-cat", "trace-hash", "trace-synth"] {
        let ran = run(name, &["--skip-invalid"], "bad\nworse\n");
        assert_eq!(ran.status, Some(1), "{name}");
        assert!(
            ran.stderr.starts_with(&format!("{name}: no valid record among 2 (first: -:1: ")),
            "{}",
            ran.stderr
        );
        // What was there before stays.
        let folder = scratch();
        let file = write(folder.path(), "kept", "as before");
        let mut modes = vec![&[][..]];
        if name == "trace-hash" {
            modes.push(&["--explain"]);
        }
        for mode in modes {
            let ran = run(name, &[mode, &["--skip-invalid", "-o", &file]].concat(), "bad\nworse\n");
            assert_eq!(ran.status, Some(1), "{name}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "as before", "{name} {mode:?}");
        }
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let trace: String = (0..5).map(|i| line(i, 1, 1, &[i])).collect();
    let prompt = "{\"prompt\": \"x\"}\n";
    for (name, input) in
        [("trace-stats", &*trace), ("trace-cat", &trace), ("trace-hash", prompt), ("trace-synth", &trace)]
    {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child =
            command(name).stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let ran = Ran::of(&child.wait_with_output().unwrap());
        let expected = format!("{name}: standard output: No space left on device\n");
        assert_eq!((ran.status, ran.stderr), (Some(1), expected));
        let ran = run(name, &["-o", "/dev/full"], input);
        let expected = format!("{name}: /dev/full: No space left on device\n");
        assert_eq!((ran.status, ran.stderr), (Some(1), expected));
    }
}

#[test]
fn an_output_that_cannot_be_created_is_named() {
    let ran = run("trace-stats", &["-o", "/nonexistent/x"], "");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("trace-stats: /nonexistent/x: "), "{}", ran.stderr);
}

#[test]
fn bad_prompts_are_refused_with_place_and_advice() {
    for (bad, message) in [
        ("plain words", "--text"),
        ("[1]", "--text"),
        ("{}", "--field"),
        (r#"{"prompt": 7}"#, "prompt"),
        (r#"{"prompt": [1, -2]}"#, "prompt"),
        (r#"{"prompt": [1, 4294967296]}"#, "prompt"),
        (r#"{"messages": "hi"}"#, "messages"),
        (r#"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#, "image_url"),
        (r#"{"prompt": "x", "output_length": -1}"#, "output_length"),
        (r#"{"prompt": "x", "output_length": 1.5}"#, "output_length"),
        (r#"{"prompt": "x", "timestamp": "soon"}"#, "timestamp"),
        (r#"{"prompt": "x"#, "EOF"),
    ] {
        let ran = run("trace-hash", &[], format!("{{\"prompt\": \"good\"}}\n{bad}\n"));
        assert_eq!(ran.status, Some(1), "{bad}");
        assert!(ran.stderr.starts_with("trace-hash: -:2: "), "{bad}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{bad}: {}", ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 1, "{bad}: the good line before it is kept");
    }
}

#[test]
fn usage_errors_exit_2_and_help() {
    for (args, message) in [
        (&["--block-sise", "5"][..], "--block-size"),
        (&["--format", "jsn"], "json"),
        (&["--block-size"], "--block-size"),
        (&["--block-size", "0"], "--block-size"),
        (&["--block-size", "x"], "--block-size"),
        (&["-p", "101"], "not between 0 and 100"),
        (&["-z"], "-z"),
        (&["--quiet=yes"], "--quiet"),
        (&["--max-line", "0"], "--max-line"),
    ] {
        let ran = run("trace-stats", args, "");
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{args:?}");
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("trace-stats --help"), "{args:?}: {}", ran.stderr);
    }
}
