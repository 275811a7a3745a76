//! Where hits come from: against a naive model, against times to live, and in every format.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{line, real, run};

/// A request of a tenant: its path in a forest, what is missing of its last block, and the time since the one
/// before in seconds.
type Step = (Vec<u64>, u64, u64, u64);

fn trace(steps: &[Step]) -> String {
    let id = |path: &[u64]| path.iter().fold(1, |id, step| id * 4 + step);
    let mut now = 0;
    let record = |(path, missing, wait, tenant): &Step| {
        now += wait * 1000;
        let ids: Vec<u64> = (1..=path.len()).map(|end| id(&path[..end])).collect();
        let length = (512 * ids.len() as u64).saturating_sub(*missing);
        let record = line(now, length, 1, &ids);
        format!("{{\"tenant\": \"t{tenant}\", {}", &record[1..])
    };
    steps.iter().map(record).collect()
}

fn report(options: &[&str], trace: &str) -> Value {
    serde_json::from_str(&run("trace-stats", &[&["-f", "json"], options].concat(), trace).ok()).unwrap()
}

/// Tokens by age, and tokens by tenant and the tenant that had brought the block.
fn naive(steps: &[Step]) -> (Vec<u64>, HashMap<(u64, u64), u64>) {
    let limits = [1, 10, 60, 300, 900, 3600, 21600, 86400];
    let (mut by_age, mut by_writer) = (vec![0; 9], HashMap::new());
    let mut blocks: HashMap<Vec<u64>, (u64, u64)> = HashMap::new();
    let mut now = 0;
    for (path, missing, wait, tenant) in steps {
        now += wait;
        let ends: Vec<_> = (1..=path.len()).map(|end| path[..end].to_vec()).collect();
        for (place, end) in ends.iter().enumerate().take_while(|(_, end)| blocks.contains_key(*end)) {
            let (used, writer) = blocks[end];
            let tokens = if place + 1 == path.len() { 512 - missing } else { 512 };
            let age = limits.iter().position(|&limit| now - used <= limit).unwrap_or(8);
            by_age[age] += tokens;
            *by_writer.entry((*tenant, writer)).or_default() += tokens;
        }
        for end in ends {
            blocks.entry(end).or_insert((now, *tenant)).0 = now;
        }
    }
    (by_age, by_writer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn ages_and_writers_are_those_of_a_naive_model(
        steps in prop::collection::vec(
            (
                prop::collection::vec(0..3_u64, 1..6),
                0..512_u64,
                prop_oneof![0..3_u64, 0..400_u64, 0..100_000_u64],
                0..4_u64,
            ),
            1..80,
        ),
    ) {
        let trace = trace(&steps);
        let found = report(&["--shared-by", "tenant", "--ttl", "10s,5m,1h"], &trace);
        let (by_age, by_writer) = naive(&steps);
        let ages: Vec<u64> =
            found["reuse"]["by_age"].as_array().unwrap().iter().map(|row| row["tokens"].as_u64().unwrap()).collect();
        prop_assert_eq!(&ages, &by_age);
        prop_assert_eq!(ages.iter().sum::<u64>(), found["cached_tokens"].as_u64().unwrap());
        // A second way: caches whose blocks expire.
        for (row, places) in found["ttl"].as_array().unwrap().iter().zip([2, 4, 6]) {
            prop_assert_eq!(row["hit_tokens"].as_u64().unwrap(), ages[..places].iter().sum::<u64>());
        }
        let values = found["shared_by"]["values"].as_array().unwrap();
        let tenant = |row: &Value| row["value"].as_str().unwrap()[1..].parse::<u64>().unwrap();
        for (row, matrix) in values.iter().zip(found["shared_by"]["matrix"].as_array().unwrap()) {
            let of = tenant(row);
            let mut others = 0;
            for (writer, tokens) in values.iter().zip(matrix.as_array().unwrap()) {
                let expected = by_writer.get(&(of, tenant(writer))).copied().unwrap_or(0);
                prop_assert_eq!(tokens.as_u64().unwrap(), expected);
                others += if tenant(writer) == of { 0 } else { expected };
            }
            prop_assert_eq!(row["others_tokens"].as_u64().unwrap(), others);
            let own = by_writer.get(&(of, of)).copied().unwrap_or(0);
            prop_assert_eq!(row["own_tokens"].as_u64().unwrap(), own);
            let requests = steps.iter().filter(|step| step.3 == of).count();
            prop_assert_eq!(row["requests"].as_u64().unwrap(), requests as u64);
        }
        // Sharing never takes from a tenant what it has alone.
        let alone = report(&["--by", "tenant"], &trace);
        for (row, group) in values.iter().zip(alone["groups"].as_array().unwrap()) {
            let hits = row["own_tokens"].as_u64().unwrap() + row["others_tokens"].as_u64().unwrap();
            prop_assert!(group["cached_tokens"].as_u64().unwrap() <= hits);
        }
    }
}

#[test]
fn the_blocks_with_most_hits_are_told_from_the_others() {
    // Of 1,000 blocks one is used by all requests.
    let steps: Vec<Step> = (0..999).map(|i| (vec![0, i], 0, 1, 0)).collect();
    let mut lines: Vec<String> = trace(&steps).lines().map(str::to_owned).collect();
    lines.iter_mut().enumerate().for_each(|(i, line)| {
        let start = line.find('[').unwrap();
        line.replace_range(start.., &format!("[0, {}]}}", i + 1));
    });
    let found = report(&["--reuse"], &lines.join("\n"));
    assert_eq!(
        found["reuse"]["concentration"][0],
        json!({"block_share": 0.001, "blocks": 1, "hit_share": 1.0})
    );
    assert_eq!(found["reuse"]["concentration"][2]["blocks"], 100);
    assert!(found.get("shared_by").is_none());
}

#[test]
fn many_values_are_one_and_say_so() {
    let steps: Vec<Step> = (0..250).map(|i| (vec![i % 2], 0, 1, i % 125)).collect();
    let found = report(&["--shared-by", "tenant"], &trace(&steps));
    let values = found["shared_by"]["values"].as_array().unwrap();
    assert_eq!((values.len(), &values[100]["value"]), (101, &Value::Null));
    assert_eq!(values[100]["requests"], 50);
    assert!(found["shared_by"].get("matrix").is_none());
    let table = run("trace-stats", &["--shared-by", "tenant"], trace(&steps)).ok();
    assert!(table.contains("(other)"), "{table}");
    let ran = run("trace-stats", &["--shared-by", "team"], trace(&steps));
    assert!(ran.stderr.contains("no record has the field \"team\" of --shared-by"), "{}", ran.stderr);
}

#[test]
fn every_format_has_them_and_marks_what_is_forgotten() {
    let steps: Vec<Step> = (0..40).map(|i| (vec![i % 3, i % 5], 3, 7, i % 2)).collect();
    let shown = |format: &str| {
        let trace = trace(&steps).replace("t1", "a|b,\\\"c\\\"<i>");
        run("trace-stats", &["--shared-by", "tenant", "-f", format], trace).ok()
    };
    for (format, parts) in [
        ("table", &["Used Before Within", "Most Used Blocks", "a|b,\"c\"<i>  ", "Of t0"][..]),
        ("markdown", &["| Used Before Within |", "| a\\|b,\"c\"\\<i\\> |"]),
        (
            "csv",
            &["reuse,60,tokens,", "most_used,0.01,blocks,1", "shared_by,\"a|b,\"\"c\"\"<i>\",own_tokens,"],
        ),
        ("html", &["Where hits come from", "a|b,\"c\"&lt;i&gt;", "Who uses whose blocks"]),
        (
            "prometheus",
            &[
                "kvtrace_reuse_tokens{within=\"60\"} ",
                "kvtrace_shared_by_own_tokens{tenant=\"a|b,\\\"c\\\"<i>\"} ",
            ],
        ),
    ] {
        let text = shown(format);
        for part in parts {
            assert!(
                text.contains(part) || text.contains(&part.replace('"', "&quot;")),
                "{format} {part}: {text}"
            );
        }
    }

    // Scattered ids take most memory.
    let record = |i: u64| {
        let id = (i + 1000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{{\"tenant\": {}, {}", i % 2, &line(i * 1000, 1000, 1, &[i % 900, id])[1..])
    };
    let lines: String = (0..300_000).map(record).collect();
    let limit = ["--shared-by", "tenant", "--max-memory", "48Mi"];
    let (all, limited) = (report(&limit[..2], &lines), report(&limit, &lines));
    assert!(limited["bound"]["at_least"].as_array().unwrap().contains(&json!("reuse")), "{limited}");
    assert!(limited["bound"]["neither"].as_array().unwrap().contains(&json!("shared_by")), "{limited}");
    assert_eq!(limited["reuse"]["concentration"], json!([]));
    let rows = |report: &Value| report["reuse"]["by_age"].as_array().unwrap().clone();
    for (whole, part) in rows(&all).iter().zip(rows(&limited)) {
        assert!(part["tokens"].as_u64() <= whole["tokens"].as_u64());
    }
    let table = run("trace-stats", &limit, &lines).ok();
    assert!(table.contains(">= ") && !table.contains("Most Used Blocks"), "{table}");
}

#[test]
fn the_real_trace_adds_up() {
    let Some(path) = real("traces/conversation_trace.jsonl") else { return };
    let trace = std::fs::read_to_string(path).unwrap();
    let found = report(&["--reuse", "--ttl", "1s,10s,1m,5m,15m,1h"], &trace);
    let ages = found["reuse"]["by_age"].as_array().unwrap();
    let mut sum = 0;
    for (age, ttl) in ages.iter().zip(found["ttl"].as_array().unwrap()) {
        sum += age["tokens"].as_u64().unwrap();
        assert_eq!(Some(sum), ttl["hit_tokens"].as_u64());
    }
    assert_eq!(Some(sum), found["cached_tokens"].as_u64());
}
