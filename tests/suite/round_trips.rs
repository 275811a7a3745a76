//! What is written in a format is read back as it was: random records with every field that the format holds.

use crate::support::run;
use fastrand::Rng;
use serde_json::{Map, Value, json};

const TRACES: u64 = 40;

/// A trace of one block size whose ids are a forest, numbered in the order of first appearance.
fn trace(rng: &mut Rng, is_complete: bool, lists_tails: bool) -> (u64, Vec<Value>) {
    let size = *rng.choice(&[16, 64, 512]).unwrap();
    let mut paths: Vec<Vec<u64>> = vec![Vec::new()];
    let (mut next, mut time) = (0, 0);
    let mut rows = Vec::new();
    for n in 0..rng.u64(1..12) {
        let mut ids = rng.choice(&paths).unwrap().clone();
        ids.truncate(rng.usize(..=ids.len()));
        let new = rng.u64(0..4);
        ids.extend(next..next + new);
        next += new;
        paths.push(ids.clone());
        // A partial block is one's own.
        let tail = rng.u64(..size);
        let length = ids.len() as u64 * size + tail;
        if tail > 0 && lists_tails {
            ids.push(next);
            next += 1;
        }
        let mut row = Map::new();
        time += rng.u64(..100_000);
        if is_complete || rng.bool() {
            let decimals = [0.0, 0.5, 0.125][rng.usize(..3)];
            row.insert("timestamp".into(), json!(time as f64 + decimals));
        }
        row.insert("input_length".into(), json!(length));
        if is_complete || rng.bool() {
            row.insert("output_length".into(), json!(rng.u64(..5000)));
        }
        if is_complete || rng.bool() {
            row.insert("hash_ids".into(), json!(ids));
        } else {
            // Ids that are not written leave no gap.
            next -= new + u64::from(tail > 0 && lists_tails);
            paths.pop();
        }
        row.insert("block_size".into(), json!(size));
        row.insert("session_id".into(), json!(format!("s \"{}\" \u{e4}", n % 3)));
        row.insert("delay".into(), json!(rng.u64(..9000) as f64 / 4.0));
        row.insert("x".into(), json!([1, {"y": 2.50, "z": "a\nb"}, null]));
        row.insert("priority".into(), json!(-1));
        rows.push(Value::Object(row));
    }
    (size, rows)
}

fn text(rows: &[Value]) -> String {
    rows.iter().map(|row| row.to_string() + "\n").collect()
}

fn read(args: &[&str], input: &str) -> Vec<Value> {
    let text = run("trace-cat", &[&["-q"], args].concat(), input).ok();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows with these fields alone.
fn only(rows: &[Value], names: &[&str]) -> Vec<Value> {
    let keep = |row: &Value| {
        let fields = row.as_object().unwrap().iter().filter(|(name, _)| names.contains(&name.as_str()));
        Value::Object(fields.map(|(name, value)| (name.clone(), number(value))).collect())
    };
    rows.iter().map(keep).collect()
}

/// 5.0 is 5.
fn number(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) => json!(number),
        None => value.clone(),
    }
}

const HELD: [&str; 4] = ["timestamp", "input_length", "output_length", "hash_ids"];

#[test]
fn lines_of_our_own_stay_as_they_are() {
    let mut rng = Rng::with_seed(1);
    for tails in [true, false] {
        for _ in 0..TRACES / 2 {
            let (_, rows) = trace(&mut rng, false, tails);
            let written = text(&rows);
            // Some of them look like sessions in increments.
            assert_eq!(run("trace-cat", &["-f", "mooncake"], &written).stdout, written);
            assert_eq!(only(&read(&["-f", "mooncake", "--renumber"], &written), &HELD), only(&rows, &HELD));
        }
    }
}

#[test]
fn formats_that_need_every_field_keep_it() {
    let mut rng = Rng::with_seed(2);
    for format in ["kvcache-simulator", "guidellm", "vllm", "aiperf"] {
        for _ in 0..TRACES {
            let (size, rows) = trace(&mut rng, true, true);
            let size = size.to_string();
            let written = run("trace-cat", &["-q", "-t", format], text(&rows)).ok();
            let back =
                read(&["-f", if format == "aiperf" { "mooncake" } else { format }, "-b", &size], &written);
            assert_eq!(only(&back, &HELD), only(&rows, &HELD), "{format}");
        }
    }
}

#[test]
fn tables_keep_what_has_a_column() {
    let mut rng = Rng::with_seed(3);
    for _ in 0..TRACES {
        let (size, rows) = trace(&mut rng, false, true);
        // An empty list is a cell without a value.
        let rows: Vec<Value> = rows
            .into_iter()
            .filter(|row| row["hash_ids"].as_array().is_none_or(|ids| !ids.is_empty()))
            .collect();
        let written = run("trace-cat", &["-q", "-f", "mooncake", "-t", "csv"], text(&rows)).ok();
        let back = read(&["-f", "csv", "-b", &size.to_string()], &written);
        assert_eq!(only(&back, &HELD), only(&rows, &HELD));
    }
}

#[test]
fn bailian_keeps_all_fields() {
    let mut rng = Rng::with_seed(4);
    for _ in 0..TRACES {
        let (size, rows) = trace(&mut rng, true, true);
        let size = size.to_string();
        let written = run("trace-cat", &["-q", "-t", "bailian"], text(&rows)).ok();
        let back = read(&["-b", &size], &written);
        let names = [&HELD[..], &["block_size", "session_id", "delay", "x", "priority"]].concat();
        assert_eq!(only(&back, &names), only(&rows, &names), "{written}");
    }
}

#[test]
fn increments_keep_lengths_times_and_delays() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..TRACES {
        let (size, rows) = trace(&mut rng, true, true);
        // Later rows of a session come after the answer to the one before.
        let mut seen = std::collections::HashSet::new();
        let mut rows: Vec<Value> = rows.into_iter().filter(|row| row["input_length"] != 0).collect();
        for row in &mut rows {
            let row = row.as_object_mut().unwrap();
            let is_first = seen.insert(row["session_id"].clone());
            row.remove(if is_first { "delay" } else { "timestamp" });
        }
        let size = size.to_string();
        let names = ["session_id", "timestamp", "delay", "input_length", "output_length"];
        let plain = ["-f", "aiperf", "--turns", "incremental", "-t", "aiperf", "-b", &size];
        let same = run("trace-cat", &[&["-q"], &plain[..]].concat(), text(&rows)).ok();
        let same: Vec<Value> = same.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            only(&same, &[&names[..], &["hash_ids"]].concat()),
            only(&rows, &[&names[..], &["hash_ids"]].concat())
        );
        let whole = run("trace-cat", &["-q", "-f", "aiperf", "-b", &size], text(&rows)).ok();
        assert_eq!(run("trace-cat", &["--check"], &whole).status, Some(0), "{whole}");
        let back = read(&["--turns", "incremental", "-t", "aiperf"], &whole);
        assert_eq!(only(&back, &names), only(&rows, &names));
        let lengths = |size: u64| size.div_ceil(rows[0]["block_size"].as_u64().unwrap());
        for row in &back {
            let ids = row["hash_ids"].as_array().unwrap().len() as u64;
            assert_eq!(ids, lengths(row["input_length"].as_u64().unwrap()));
        }
    }
}
