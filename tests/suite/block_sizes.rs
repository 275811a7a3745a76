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
            let mut group = group.clone();
            for name in ["capacity", "target"] {
                for row in group[name].as_array_mut().unwrap() {
                    let row = row.as_object_mut().unwrap();
                    let blocks = row["capacity_blocks"].as_u64().unwrap();
                    assert_eq!(row.remove("capacity_tokens"), Some((blocks * size).into()));
                }
            }
            // Prompts of fewer tokens than a block have none left that is full.
            alone["value"] = size.into();
            assert_eq!(group, alone, "{size} {more:?}");
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
    assert!(written("csv").ok().contains("\n48,capacity,lru:4,capacity_tokens,192\n"));
    assert!(written("markdown").ok().contains("\n| 48 |"));
    assert!(written("prometheus").ok().contains("block_size=\"48\""));
    assert!(written("html").ok().contains(">In tokens<"));
    assert!(written("html").ok().contains("Capacities are in blocks of the smallest size."));
    for (more, reason) in [
        (&["-f", "svg"][..], "--block-sizes goes with"),
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

#[test]
fn a_table_of_groups_lists_caches_that_were_named() {
    let args = ["--block-sizes=8", "--curve", "-c", "200tok"];
    let table = run("trace-stats", &args, chats()).ok();
    let groups = table.split("By block_size").skip(1).collect::<String>();
    assert!(groups.contains("In Tokens") && groups.contains("lru 200 tok"), "{groups}");
    assert_eq!(groups.matches("lru ").count(), 1, "{groups}");
    let alone = run("trace-stats", &["--block-sizes=8", "--curve"], chats()).ok();
    assert!(!alone.contains("token hit rates of caches"), "{alone}");
}

#[test]
fn groups_are_in_csv_behind_their_names() {
    let trace: String = chats()
        .lines()
        .enumerate()
        .map(|(i, line)| {
            let group = ["\"a, b\"", "7", "\"7\"", "null"][i % 4];
            format!("{}, \"g\": {group}}}\n", line.strip_suffix('}').unwrap())
        })
        .collect();
    let csv = run("trace-stats", &["--by=g", "-f", "csv", "-c", "9"], &trace).ok();
    let plain = run("trace-stats", &["-f", "csv", "-c", "9"], &trace).ok();
    assert_eq!(csv.lines().next(), Some("group,section,item,figure,value"));
    let of = |group: &str| -> Vec<&str> { csv.lines().filter_map(|line| line.strip_prefix(group)).collect() };
    assert_eq!(of("(all),"), plain.lines().skip(1).collect::<Vec<_>>());
    for group in ["\"a, b\",", "7,", "\"\"\"7\"\"\",", "(none),"] {
        assert!(of(group).contains(&"total,,requests,100"), "{group}: {csv}");
        assert!(of(group).iter().any(|row| row.starts_with("capacity,lru:9,hit_tokens,")));
    }
    assert!(of("\"(all, separate caches)\",").iter().any(|row| row.starts_with("capacity,lru:9,")), "{csv}");
    assert!(csv.lines().all(|line| !line.is_empty()));
}

#[test]
fn a_report_in_json_may_end_with_what_made_it() {
    let (trace, folder) = (chats(), scratch());
    let file = write(folder.path(), "a b.jsonl", &trace);
    let plain = run("trace-stats", &["-f", "json", &file], "").ok();
    let signed = run("trace-stats", &["-f", "json", "--provenance", &file], "").ok();
    let mut report: Value = serde_json::from_str(&signed).unwrap();
    let made_by = report.as_object_mut().unwrap().remove("kvtrace").unwrap();
    assert_eq!(made_by["version"], env!("CARGO_PKG_VERSION"));
    let command = made_by["command"].as_str().unwrap();
    assert!(
        command.starts_with("trace-stats -f json --provenance ") && command.contains("a b.jsonl"),
        "{command}"
    );
    assert_eq!(report, serde_json::from_str::<Value>(&plain).unwrap());
    let begin = plain.strip_suffix("\n}\n").unwrap();
    assert!(signed.starts_with(begin), "the report itself is the same byte for byte");
    let groups = run("trace-stats", &["-f", "json", "--provenance", "--block-sizes=8", &file], "").ok();
    let groups: Value = serde_json::from_str(&groups).unwrap();
    assert!(groups["kvtrace"]["command"].is_string() && groups["groups"][0]["kvtrace"].is_null());
}

#[test]
fn a_wrong_block_size_is_told_what_it_may_be() {
    let trace = "{\"input_length\": 6758, \"hash_ids\": [0,1,2,3,4,5,6,7,8,9,10,11,12,13]}\n";
    let ran = run("trace-stats", &["-b", "1024"], trace);
    assert!(
        ran.stderr.contains(
            "expected 7 of block size 1024 (see --block-size): its blocks seem to have 512 tokens; --reblock"
        ),
        "{ran:?}"
    );
    let other = run("trace-stats", &["-b", "512"], "{\"input_length\": 100, \"hash_ids\": [0,1,2,3]}\n");
    assert!(other.stderr.contains("seem to have 25 to 33 tokens"), "{other:?}");
    let none = run("trace-stats", &["-b", "512"], "{\"input_length\": 3, \"hash_ids\": [0,1,2,3,4]}\n");
    assert!(none.status == Some(1) && !none.stderr.contains("seem to"), "{none:?}");
}
