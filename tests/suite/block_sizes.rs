//! The same trace in coarser blocks: equal to a trace that trace-cat has cut anew.

use crate::support::{run, scratch, write};
use serde_json::Value;

/// Chats that fork anywhere, in blocks of four tokens; some prompts list full blocks only.
fn chats() -> String {
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut trace, mut next) = (String::new(), 0);
    let mut chats: Vec<Vec<u64>> = vec![Vec::new()];
    for time in 0..400 {
        let mut ids = chats[rng.usize(..chats.len())].clone();
        ids.truncate(rng.usize(..30));
        let new = rng.u64(1..9);
        ids.extend(next..next + new);
        next += new;
        let length = 4 * ids.len() as u64 - rng.u64(..4);
        let full = (length / 4) as usize;
        let listed = if rng.bool() { &ids[..full] } else { &ids[..] };
        let answer = if rng.bool() { format!(", \"output_hash_ids\": [{next}]") } else { String::new() };
        next += 1;
        trace.push_str(&format!(
            "{{\"timestamp\": {time}, \"input_length\": {length}, \"output_length\": 5, \"block_size\": 4, \
             \"hash_ids\": {listed:?}{answer}}}\n"
        ));
        chats.push(ids);
    }
    trace
}

fn json(args: &[&str], trace: &str) -> Value {
    serde_json::from_str(&run("trace-stats", args, trace).ok()).unwrap()
}

#[test]
fn coarser_blocks_are_those_of_a_trace_cut_anew() {
    let trace = chats();
    for more in [
        &["--policy", "lru,arc,opt"][..],
        &["--hits", "engine"],
        &["--policy", "vllm,lru"],
        &["--hit-unit", "48", "--misses", "--ttl", "9ms"],
        &["--hit-unit", "96", "--drop-last-unit", "--curve"],
        &["--drop-last-unit", "--ttl", "9ms"],
        &["--min-hit", "30", "--hit-step", "7", "--policy", "lru,fifo", "--price", "input=3,cached=1"],
        &["--min-hit", "48", "--hits", "engine", "--ttl", "fixed:9ms"],
    ] {
        let args = [&["-q", "-f", "json", "-c", "60tok,200tok,1000tok", "--target", "90%"], more].concat();
        let report = json(&[&args[..], &["--block-sizes", "8,12,48"]].concat(), &trace);
        let groups = report["groups"].as_array().unwrap();
        let sizes: Vec<_> = groups.iter().map(|group| group["value"].as_u64().unwrap()).collect();
        assert_eq!(sizes, [4, 8, 12, 48]);
        for (group, size) in groups.iter().zip(sizes) {
            let cut = run("trace-cat", &["-q", "--reblock", &size.to_string()], &trace).ok();
            let mut alone = json(&args, &cut);
            // Prompts of fewer tokens than a block have none left that is full.
            alone["value"] = size.into();
            assert_eq!(group, &alone, "{size} {more:?}");
        }
        let own = json(&args, &trace);
        assert_eq!(own["capacity"], report["capacity"]);
    }
}

#[test]
fn block_sizes_are_in_every_format_or_refused() {
    let (trace, folder) = (chats(), scratch());
    let args = ["-c", "200tok", "--block-sizes", "8,48"];
    let written = |format: &str| run("trace-stats", &[&args[..], &["-f", format]].concat(), &trace);
    let table = written("table").ok();
    assert!(table.contains("By block_size") && table.contains("lru 200 tok"), "{table}");
    assert!(written("markdown").ok().contains("\n| 48 |"));
    assert!(written("prometheus").ok().contains("block_size=\"48\""));
    assert!(written("html").ok().contains("Capacities are in blocks of the smallest size."));
    for (more, reason) in [
        (&["-f", "csv"][..], "--block-sizes goes with"),
        (&["-c", "20"], "in tokens"),
        (&["--by", "x"], "--by"),
        (&["--window", "9req"], "--window"),
        (&["--hit-unit", "16"], "--hit-unit: units of 16 tokens are not made of blocks of 48"),
    ] {
        let ran = run("trace-stats", &[&args[..], more].concat(), &trace);
        assert_eq!(ran.status, Some(2), "{more:?}");
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    }
    let file = write(folder.path(), "trace.jsonl", &trace);
    let ran = run("trace-stats", &["--block-sizes", "6", &file], "");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("--block-sizes 6 is no multiple of the block size 4"), "{}", ran.stderr);
}
