//! The fast scanner against the general path, and that one against a JSON value, on the same
//! millions of lines: well-formed, unusual and mutated.

use std::ops::Range;

use fastrand::Rng;
use kvtrace::record::{Record, general, scan};
use serde_json::Value;
use simd_json::prelude::*;

const LINES: u32 = 2_000_000;

fn number(rng: &mut Rng) -> String {
    match rng.u8(..120) {
        0 => "0".into(),
        1 => rng.u64(..).to_string(),
        2 => u64::MAX.to_string(),
        3 => "18446744073709551616".into(),
        4 => format!("{}.{}", rng.u32(..), rng.u32(..1000)),
        5 => format!("-{}", rng.u16(..)),
        6 => format!("{}e{}", rng.u8(..), rng.u8(..12)),
        7 => format!("0{}", rng.u16(..)),
        8 => format!("{}.0", rng.u16(..)),
        9 => "99999999".into(),
        10 => "100000000".into(),
        11 => rng.u64(..1 << 41).to_string(),
        12 => format!("{}.{:015}", rng.u16(..), rng.u64(..1_000_000_000_000_000)),
        _ => (rng.u64(..) >> rng.u8(20..64)).to_string(),
    }
}

fn value(rng: &mut Rng) -> String {
    match rng.u8(..16) {
        0 => "null".into(),
        1 => "true".into(),
        2 => "\"text\"".into(),
        3 => "\"esc\\u0041\\n\"".into(),
        4 => "\"\u{e4}\u{1f600}\"".into(),
        5 => "{\"a\": [1, {\"b\": null}]}".into(),
        6 => "[[]]".into(),
        7..10 => ids(rng),
        _ => number(rng),
    }
}

fn ids(rng: &mut Rng) -> String {
    let n = rng.usize(..6);
    let separator = ["", "", "", " ", " ", " ", " ", "  ", "\t", "\n"][usize::from(rng.u8(..) / 26)];
    let comma = if rng.u8(..8) == 0 { format!(" ,{separator}") } else { format!(",{separator}") };
    let list: Vec<String> = (0..n)
        .map(|_| if rng.u8(..150) == 0 { value(rng) } else { (rng.u64(..) >> rng.u8(..64)).to_string() })
        .collect();
    format!("[{}]", list.join(&comma))
}

fn line(rng: &mut Rng) -> Vec<u8> {
    const KEYS: [&str; 16] = [
        "timestamp",
        "created_time",
        "input_length",
        "input_tokens",
        "output_length",
        "output_tokens",
        "hash_ids",
        "output_hash_ids",
        "cached_tokens",
        "block_size",
        "session_id",
        "type",
        "input_lengthx",
        "hash_id",
        "",
        "in\\u0070ut_length",
    ];
    let space =
        |rng: &mut Rng| ["", " ", " ", " ", " ", " ", " ", " ", " ", "\t"][usize::from(rng.u8(..) / 26)];
    let mut fields = vec![
        format!("\"timestamp\":{}{}", space(rng), number(rng)),
        format!("\"input_length\":{}{}", space(rng), number(rng)),
        format!("\"output_length\":{}{}", space(rng), number(rng)),
        format!("\"hash_ids\":{}{}", space(rng), ids(rng)),
    ];
    if rng.u8(..4) == 0 {
        fields.push(format!("\"output_hash_ids\":{}{}", space(rng), ids(rng)));
    }
    for _ in 0..rng.usize(..5) / 2 {
        let field = format!("\"{}\"{}:{}", KEYS[rng.usize(..KEYS.len())], space(rng), value(rng));
        fields.insert(rng.usize(..=fields.len()), field);
    }
    if rng.u8(..4) == 0 {
        fields.remove(rng.usize(..fields.len()));
    }
    if rng.u8(..4) == 0 {
        rng.shuffle(&mut fields);
    }
    let line = format!("{{{}}}{}", fields.join(&format!(",{}", space(rng))), space(rng));
    let mut line = line.into_bytes();
    if rng.u8(..3) == 0 {
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..line.len());
            let byte = if rng.bool() { b"{}[],:\"\\0129.-+eE \x00\xff"[rng.usize(..20)] } else { rng.u8(..) };
            match rng.u8(..3) {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ => drop(line.remove(at)),
            }
            if line.is_empty() {
                break;
            }
        }
    }
    line
}

/// The record by way of a JSON value, for lines that the general path accepts; `None` where a number
/// in an unknown field is too large for a value.
fn by_value(line: &[u8]) -> Option<Record> {
    let object = match serde_json::from_slice::<serde_json::Map<String, Value>>(line) {
        Err(e) if e.to_string().starts_with("number out of range") => return None,
        result => result.unwrap(),
    };
    let get = |names: [&str; 2]| names.iter().find_map(|n| object.get(*n)).filter(|v| !v.is_null());
    let length = |v: &Value| v.as_u64().unwrap_or_else(|| v.as_f64().unwrap() as u64);
    let list = |v: &Value| v.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    let ids = get(["hash_ids", "hash_ids"]);
    let output_ids = get(["output_hash_ids", "output_hash_ids"]);
    Some(Record {
        line: 0,
        timestamp: get(["timestamp", "created_time"]).map(|v| v.as_f64().unwrap()),
        input_length: length(get(["input_length", "input_tokens"]).unwrap()),
        output_length: get(["output_length", "output_tokens"]).map(length),
        block_size: object.get("block_size").and_then(Value::as_u64),
        cached_tokens: get(["cached_tokens", "cached_tokens"]).map(length),
        has_ids: ids.is_some(),
        hash_ids: ids.map_or(Vec::new(), list),
        has_output_ids: output_ids.is_some(),
        output_hash_ids: output_ids.map_or(Vec::new(), list),
        has_synonyms: ["input_tokens", "output_tokens", "created_time"]
            .iter()
            .any(|n| object.contains_key(*n)),
        ..Record::default()
    })
}

/// The ids of a line as another parser, simd-json, reads them; `None` where it refuses the line.
fn ids_by_another_parser(line: &[u8]) -> Option<Vec<u64>> {
    let value = simd_json::to_owned_value(&mut line.to_vec()).ok()?;
    value.get("hash_ids")?.as_array()?.iter().map(ValueAsScalar::as_u64).collect()
}

#[test]
fn the_fast_path_reads_what_the_general_path_reads() {
    let mut rng = Rng::with_seed(20_261_124);
    let (mut fast, mut slow) = (Record::default(), Record::default());
    let (mut scanned, mut accepted, mut compared, mut with_other) = (0, 0, 0, 0);
    for _ in 0..LINES {
        let line = line(&mut rng);
        let by_scan = scan::scan(&line, &mut fast);
        let general = general::parse(&line, &mut slow);
        let shown = || String::from_utf8_lossy(&line).into_owned();
        if by_scan {
            scanned += 1;
            assert_eq!(general, Ok(()), "{}", shown());
            assert_eq!(fast, slow, "{}", shown());
        }
        if general.is_ok() {
            accepted += 1;
            if slow.has_ids {
                let span = slow.ids_span.clone();
                let ids: Vec<u64> = serde_json::from_slice(&line[span]).unwrap();
                assert_eq!(ids, slow.hash_ids, "{}", shown());
                if let Some(ids) = ids_by_another_parser(&line) {
                    with_other += 1;
                    assert_eq!(ids, slow.hash_ids, "{}", shown());
                }
            }
            let at = |span: &Range<usize>| String::from_utf8_lossy(&line[span.clone()]).into_owned();
            let stated = (slow.timestamp, slow.block_size);
            let found = (at(&slow.time_span).parse().ok(), at(&slow.block_size_span).parse().ok());
            assert_eq!(found, stated, "{}", shown());
            let length = at(&slow.input_span).parse::<f64>().unwrap();
            assert_eq!(length, slow.input_length as f64, "{}", shown());
            let output_ids: Vec<u64> = serde_json::from_str(&at(&slow.output_ids_span)).unwrap_or_default();
            assert_eq!(slow.output_hash_ids, output_ids, "{}", shown());
            (slow.ids_span, slow.time_span, slow.input_span) = (0..0, 0..0, 0..0);
            (slow.block_size_span, slow.output_ids_span) = (0..0, 0..0);
            if let Some(expected) = by_value(&line) {
                compared += 1;
                assert_eq!(slow, expected, "{}", shown());
            }
        }
    }
    println!("{LINES} lines: {accepted} valid, {scanned} of them by the fast path");
    assert!(with_other > accepted / 2, "{with_other} {accepted}");
    assert!(compared > accepted / 10 * 9, "{compared} {accepted}");
    assert!(scanned > LINES / 10 && accepted > scanned + LINES / 50, "{scanned} {accepted}");
}
