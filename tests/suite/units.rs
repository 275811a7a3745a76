//! What a number counts: options that need a unit, and times that are likely to count something else than
//! milliseconds.

use crate::support::{line, run, run_in, scratch, write};
use proptest::prelude::*;

#[test]
fn a_bare_number_is_refused_where_it_could_mean_several_things() {
    for (name, args, hint) in [
        ("trace-stats", &["--ttl", "300"][..], "--ttl: '300' has no unit; expected such as 300s or 300ms"),
        ("trace-stats", &["--ttl", "5m,300"], "'300' has no unit"),
        ("trace-stats", &["--window", "60"], "'60' has no unit; expected such as 60s of trace time or 60req"),
        ("trace-stats", &["-w1k"], "1kreq"),
        ("trace-stats", &["--every", "60"], "'60' has no unit; expected 60req"),
        ("trace-cat", &["--from", "10"], "'10' has no unit; expected such as 10s or 10ms"),
        ("trace-cat", &["--to", "1.5"], "'1.5' has no unit"),
        ("trace-synth", &["--duration", "3600"], "'3600' has no unit"),
    ] {
        let ran = run(name, args, "");
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{args:?}: {}", ran.stderr);
    }
    let trace: String = (0..9).map(|i| line(i * 1000, 1, 1, &[i])).collect();
    assert_eq!(run("trace-stats", &["--window", "4req"], &trace).ok().lines().count(), 3);
    assert_eq!(
        run("trace-stats", &["--every", "5req", "-f", "json"], &trace)
            .ok()
            .matches("\"requests\": 9")
            .count(),
        2
    );
    assert_eq!(run("trace-cat", &["--from", "0", "--to", "3s"], &trace).ok().lines().count(), 3);
}

/// Lines at these times.
fn at(times: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let line = |time| format!("{{\"timestamp\": {time}, \"input_length\": 1, \"hash_ids\": [0]}}\n");
    times.into_iter().map(line).collect()
}

/// Lines at these times, each of a session of its own.
fn apart(times: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let line = |(i, time)| format!("{{\"timestamp\": {time}, \"input_length\": 1, \"hash_ids\": [{i}]}}\n");
    times.into_iter().enumerate().map(line).collect()
}

#[test]
fn every_filter_warns_of_times_that_are_likely_to_count_something_else() {
    let many = |factor: u64| apart((0..5000).map(|i| i * factor));
    for (trace, warning) in [
        (apart(["1764000000.5", "1764000001.25"]), "look like seconds since 1970"),
        (apart(["1764000000123456", "1764000000223456"]), "look like microseconds since 1970"),
        (apart(["1764000000123456789", "1764000000223456789"]), "look like nanoseconds since 1970"),
        (apart((0..5000).map(|i| f64::from(i) * 0.4)), "2501 requests per second: times may be seconds"),
        (many(100_000_000), "years: they may be microseconds or nanoseconds"),
    ] {
        for (name, args) in [
            ("trace-stats", &[][..]),
            ("trace-stats", &["--window=1000req"]),
            ("trace-cat", &[]),
            ("trace-synth", &["--min-count=1"]),
        ] {
            let ran = run(name, args, &trace);
            assert_eq!(ran.status, Some(0), "{}", ran.stderr);
            assert!(ran.stderr.contains(warning), "{name}: {warning}: {}", ran.stderr);
            assert!(ran.stderr.contains("see trace-cat --timestamp-unit"), "{}", ran.stderr);
        }
    }
    for trace in
        [many(1), many(1000), apart(["0", "1"]), apart(["1764000000000", "1764000000500"]), apart([""; 0])]
    {
        for (name, args) in
            [("trace-stats", &[][..]), ("trace-cat", &[]), ("trace-synth", &["--min-count=1"])]
        {
            let ran = run(name, args, &trace);
            assert!(!ran.stderr.contains("--timestamp-unit"), "{name}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_unit_converts_times_with_all_their_digits_and_from_zero() {
    let written = |unit: &str, trace: &str| {
        let ran = run("trace-cat", &["--timestamp-unit", unit], trace);
        assert!(!ran.stderr.contains("1970"), "{}", ran.stderr);
        ran.ok()
    };
    assert_eq!(written("s", &at(["1764000000.5", "1764000001.25"])), at(["0", "750"]));
    assert_eq!(written("us", &at(["1764000000123456", "1764000000123457"])), at(["0", "0.001"]));
    assert_eq!(written("ns", &at(["1764000000123456789", "1764000000123456790"])), at(["0", "0.000001"]));
    assert_eq!(written("ms", &at(["5", "6"])), at(["5", "6"]));
    let sorted = run("trace-cat", &["--timestamp-unit=s", "--sort"], at(["3", "1", "2"])).ok();
    assert_eq!(sorted, at(["0", "1000", "2000"]));
    // The window is one of the converted times.
    let from = run("trace-cat", &["--timestamp-unit=s", "--from=1500ms"], at(["7", "8", "9"])).ok();
    assert_eq!(from, at(["2000"]));
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,1,2\n";
    let ran = run("trace-cat", &["--timestamp-unit=s"], azure);
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.stderr.contains("the format says what its times count: give no --timestamp-unit"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_converted_trace_starts_at_zero_and_no_time_is_negative() {
    let log = |times: &[u64]| {
        let row = |time| format!("2023-11-16 18:15:{time:02}.0000000,1,2\n");
        "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned() + &times.iter().map(row).collect::<String>()
    };
    let folder = scratch();
    let (a, b) = (write(folder.path(), "a", log(&[7, 5, 9])), write(folder.path(), "b", log(&[3, 4])));
    let times = |args: &[&str], input: &str| {
        let ran = run("trace-cat", args, input);
        let rows = ran.stdout.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        let times = rows.map(|row| row["timestamp"].as_u64().unwrap()).collect::<Vec<_>>();
        (
            times,
            ran.stderr
                .contains("1 records are earlier than those at the beginning: put at time 0 (see --sort)"),
        )
    };
    assert_eq!(times(&[&a], ""), (vec![2000, 0, 4000], false));
    assert_eq!(times(&[&a, &b], ""), (vec![4000, 2000, 6000, 0, 1000], false));
    assert_eq!(times(&["--sort", &a, &b], ""), (vec![0, 1000, 2000, 4000, 6000], false));
    assert_eq!(times(&["--shift", &a, &b], ""), (vec![2000, 0, 4000, 4000, 5000], false));
    // Of a pipe, only what has been read is known.
    assert_eq!(times(&[], &log(&[7, 5, 9])), (vec![0, 0, 2000], true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Files one after the other: each begins where all before it end, whatever the signs of their times.
    #[test]
    fn shifted_files_follow_each_other(files in proptest::collection::vec(
        proptest::collection::vec(-100_i64..100, 1..4), 1..4)) {
        let folder = scratch();
        let names: Vec<String> = (0..files.len()).map(|i| i.to_string()).collect();
        let mut expected = Vec::new();
        let mut end = None;
        for (name, times) in names.iter().zip(&files) {
            write(folder.path(), name, at(times));
            let offset = end.map_or(0, |end: i64| end - times[0]);
            for time in times {
                expected.push(time + offset);
                end = Some(end.unwrap_or(time + offset).max(time + offset));
            }
        }
        let mut args = vec!["-q", "--shift", "--ids-scope=shared"];
        args.extend(names.iter().map(String::as_str));
        prop_assert_eq!(run_in(folder.path(), "trace-cat", &args, "").ok(), at(expected));
    }
}

#[test]
fn delays_follow_the_unit_of_times() {
    let trace = "{\"timestamp\": 5, \"input_length\": 1, \"hash_ids\": [0]}\n\
                 {\"timestamp\": 7, \"delay\": 1.5, \"input_length\": 1, \"hash_ids\": [1]}\n\
                 {\"timestamp\": 9, \"delay_ms\": 1.5, \"input_length\": 1, \"hash_ids\": [2]}\n";
    let converted = run("trace-cat", &["-q", "--timestamp-unit=s"], trace).ok();
    let expected = "{\"timestamp\": 0, \"input_length\": 1, \"hash_ids\": [0]}\n\
                    {\"timestamp\": 2000, \"delay\": 1500, \"input_length\": 1, \"hash_ids\": [1]}\n\
                    {\"timestamp\": 4000, \"delay_ms\": 1.5, \"input_length\": 1, \"hash_ids\": [2]}\n";
    assert_eq!(converted, expected);
}
