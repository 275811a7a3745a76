//! Parses each line of standard input as Dynamo's `MooncakeRow` and writes what it has understood.

use std::io::{BufRead, Write};

use dynamo_data_gen::MooncakeRow;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for (line, text) in (1..).zip(std::io::stdin().lock().lines()) {
        let row: MooncakeRow = serde_json::from_str(&text?).map_err(|error| format!("line {line}: {error}"))?;
        let understood = (row.timestamp, row.input_length, row.output_length, row.hash_ids);
        writeln!(out, "{}", serde_json::to_string(&understood)?)?;
    }
    Ok(())
}
