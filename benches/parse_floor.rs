//! The parse floor: a bare loop of `serde_json`'s typed parse over the lines of a file, the least that
//! a program without a scanner of its own must do.
//!
//! `cargo bench --bench parse_floor -- TRACE.jsonl`

#![allow(missing_docs)]

use std::io::{BufRead, BufReader};

use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    #[allow(dead_code)]
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    hash_ids: Vec<u64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let Some(path) = path else {
        eprintln!("usage: parse_floor TRACE.jsonl");
        return Ok(());
    };
    let mut reader = BufReader::with_capacity(256 << 10, std::fs::File::open(path)?);
    let (mut line, mut rows, mut sum) = (Vec::new(), 0_u64, 0_u64);
    while reader.read_until(b'\n', &mut line)? > 0 {
        let row: Row = serde_json::from_slice(&line)?;
        rows += 1;
        sum += row.input_length + row.output_length + row.hash_ids.len() as u64;
        line.clear();
    }
    println!("{rows} rows, {sum}");
    Ok(())
}
