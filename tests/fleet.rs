//! Replicas behind routers, against a model that is slow and obviously right.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::fleet::{self, Sent};
use support::run;

const BLOCK: u64 = 4;

/// Paths of a random forest, or lists of any ids, which may repeat.
fn ids() -> impl Strategy<Value = Vec<u64>> {
    let path = prop::collection::vec(0..3_u64, 0..9).prop_map(|path| {
        (1..=path.len()).map(|end| path[..end].iter().fold(1, |id, step| id * 4 + step)).collect()
    });
    let any = prop::collection::vec(0..40_u64, 0..7);
    prop_oneof![20 => path, 1 => any]
}

/// A forest alone, so that its own way is taken to the end.
fn forest_ids() -> impl Strategy<Value = Vec<u64>> {
    // Few choices near the root and many behind: long shared prefixes that part.
    let path = prop::collection::vec(prop_oneof![6 => Just(0_u64), 1 => 1..4_u64], 0..12);
    path.prop_map(|path| {
        (1..=path.len()).map(|end| path[..end].iter().fold(1, |id, step| id * 5 + step)).collect()
    })
}

fn requests(ids: impl Strategy<Value = Vec<u64>>) -> impl Strategy<Value = Vec<Sent>> {
    let time = prop_oneof![1 => Just(None), 6 => (0..9_u32).prop_map(|t| Some(f64::from(t) * 15_000.0))];
    let session = prop_oneof![
        Just(None),
        (0..3_u8).prop_map(|s| Some(s.to_string())),
        (0..3_u8).prop_map(|s| Some(format!("\"{s}\"")))
    ];
    let request = (ids, time, session, 0..BLOCK, prop::bool::weighted(0.1)).prop_map(
        |(ids, time, session, cut, is_partial)| match ids.len() as u64 {
            // A prompt of a part of a block, whose list is empty.
            0 => Sent { time, session, input: if is_partial { cut } else { 0 }, ids },
            blocks => Sent { time, session, input: blocks * BLOCK - cut, ids },
        },
    );
    // Times fall now and then: late records.
    prop::collection::vec(request, 0..40)
}

fn trace(requests: &[Sent]) -> String {
    let line = |(index, request): (usize, &Sent)| {
        let mut line = json!({"input_length": request.input, "output_length": 1, "hash_ids": request.ids});
        if let Some(time) = request.time {
            line["timestamp"] = json!(time);
        }
        if let Some(session) = &request.session {
            let names = ["session_id", "conversation_id", "chat_id"];
            line[names[index % 3]] = serde_json::from_str(session).unwrap();
        }
        format!("{line}\n")
    };
    requests.iter().enumerate().map(line).collect()
}

fn stats(args: &[&str], trace: &str) -> Value {
    let args: Vec<&str> = ["-q", "-f", "json", "-b", "4"].iter().chain(args).copied().collect();
    serde_json::from_str(&run("trace-stats", &args, trace).ok()).unwrap()
}

const ROUTES: [&str; 5] = ["round-robin", "session", "prefix=1", "prefix=3", "cache"];

/// Every figure of every fleet is that of the model.
fn compare(requests: &[Sent], from: usize) -> Result<(), TestCaseError> {
    let capacities = [1, 2, 3, 5, 8, 13, 30];
    let replicas = [1, 2, 3, 50];
    let warmup = from.to_string();
    let args = [
        "--replicas=1,2,3,50",
        "--route=round-robin,session,prefix,prefix=3,cache",
        "-c1,2,3,5,8,13,30",
        "--warmup",
        &warmup,
    ];
    let trace = trace(requests);
    let listed = stats(&args, &trace);
    let curve = stats(&[&args[..], &["--curve", "--target=50%,100%"]].concat(), &trace);
    let tokens: u64 = requests[from..].iter().filter(|r| !r.ids.is_empty()).map(|r| r.input).sum();
    let mut rows = listed["fleet"].as_array().unwrap().iter().zip(curve["fleet"].as_array().unwrap());
    for n in replicas {
        for route in ROUTES {
            let (row, curve_row) = rows.next().unwrap();
            prop_assert_eq!((&row["replicas"], &row["route"]), (&json!(n), &json!(route)));
            let sent = fleet::route(requests, n, route, BLOCK);
            prop_assert_eq!(&row["tokens"], &json!(tokens));
            for row in [row, curve_row] {
                balance(row, requests, &sent, n, from)?;
                for &size in &capacities {
                    let expected = fleet::fleet_hits(requests, &sent, n, size, from, BLOCK);
                    let of_size = row["capacity"].as_array().unwrap().iter();
                    let found = of_size.clone().find(|row| row["capacity_blocks"] == size).unwrap();
                    prop_assert_eq!(&found["hit_tokens"], &json!(expected), "{} {} {}", n, route, size);
                    prop_assert_eq!(&found["total_blocks"], &json!(size * n));
                    let shared =
                        fleet::fleet_hits(requests, &vec![(0, 0); requests.len()], 1, size * n, from, BLOCK);
                    prop_assert_eq!(&found["shared_hit_tokens"], &json!(shared));
                }
            }
            for target in curve_row["target"].as_array().unwrap() {
                let wanted =
                    target["share"].as_f64().unwrap() * curve_row["infinite_hit_tokens"].as_f64().unwrap();
                let size = target["capacity_blocks"].as_u64().unwrap() as usize;
                let hits = |size| fleet::fleet_hits(requests, &sent, n, size, from, BLOCK);
                prop_assert!(hits(size) as f64 >= wanted && (size == 0 || (hits(size - 1) as f64) < wanted));
                prop_assert_eq!(&target["hit_tokens"], &json!(hits(size)));
            }
        }
    }
    Ok(())
}

/// What a row says of the work.
fn balance(
    row: &Value,
    requests: &[Sent],
    sent: &[(usize, u64)],
    n: usize,
    from: usize,
) -> Result<(), TestCaseError> {
    let measured = &sent[from..];
    let works: Vec<u64> = (0..n).map(|x| measured.iter().filter(|s| s.0 == x).map(|s| s.1).sum()).collect();
    let counts: Vec<usize> = (0..n).map(|x| measured.iter().filter(|s| s.0 == x).count()).collect();
    let busiest = (0..n).max_by_key(|&x| (works[x], std::cmp::Reverse(x))).unwrap();
    let (most, all): (u64, u64) = (works[busiest], works.iter().sum());
    let over_mean = |part: f64, all: f64| if all == 0.0 { 0.0 } else { part * n as f64 / all };
    prop_assert_eq!(&row["requests_max"], &json!(counts.iter().max().unwrap()));
    prop_assert_eq!(&row["work_max_tokens"], &json!(most));
    prop_assert_eq!(&row["work_imbalance"], &json!(over_mean(most as f64, all as f64)));
    let share = over_mean(counts[busiest] as f64, measured.len() as f64);
    prop_assert_eq!(&row["request_imbalance"], &json!(share));
    let tokens: u64 = requests[from..]
        .iter()
        .zip(measured)
        .filter(|(r, _)| !r.ids.is_empty())
        .map(|(r, s)| r.input - s.1)
        .sum();
    prop_assert_eq!(&row["infinite_hit_tokens"], &json!(tokens));
    let mut seconds = std::collections::HashMap::<u64, u64>::new();
    for (time, (to, work)) in fleet::times(requests).iter().zip(sent).skip(from) {
        if *to == busiest {
            *seconds.entry((time / 1000.0) as u64).or_default() += work;
        }
    }
    let has_times = requests.iter().any(|r| r.time.is_some());
    let peak = has_times.then(|| seconds.values().max().copied().unwrap_or(0));
    prop_assert_eq!(&row["peak_second_tokens"], &json!(peak));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_fleet_is_that_of_the_model(requests in requests(ids()), share in 0.0..0.5_f64) {
        compare(&requests, (requests.len() as f64 * share) as usize)?;
    }

    #[test]
    fn every_fleet_of_a_forest_is_that_of_the_model(requests in requests(forest_ids()), share in 0.0..0.5_f64) {
        compare(&requests, (requests.len() as f64 * share) as usize)?;
    }
}

/// A real trace, and the figures that it should have.
fn golden() -> Option<(String, Value)> {
    let trace = support::real("traces/conversation_trace.jsonl")?;
    let golden = support::real("golden/conversation.fleet.json")?;
    let golden = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    Some((trace.to_str().unwrap().to_owned(), golden))
}

#[test]
fn the_fleets_of_a_real_trace_have_their_known_figures() {
    let Some((trace, golden)) = golden() else { return };
    let args =
        ["-q", "-f", "json", "--replicas=1,2,4,8,16", "--route=round-robin,session,prefix=1,prefix=2,cache"];
    let args = [&args[..], &["-c1000,5000,20000", &trace]].concat();
    let found: Value = serde_json::from_str(&run("trace-stats", &args, "").ok()).unwrap();
    let rows = golden["fleet"].as_array().unwrap();
    assert!(rows.len() >= 8);
    for row in rows {
        let of_fleet =
            |found: &&Value| found["replicas"] == row["replicas"] && found["route"] == row["route"];
        let found = found["fleet"].as_array().unwrap().iter().find(of_fleet).unwrap();
        assert_eq!(found["tokens"], golden["tokens"]);
        for name in ["requests_max", "infinite_hit_tokens", "work_imbalance"] {
            assert_eq!(found[name], row[name], "{row}");
        }
        for (found, expected) in
            found["capacity"].as_array().unwrap().iter().zip(row["capacity"].as_array().unwrap())
        {
            assert_eq!(found["capacity_blocks"], expected["capacity_blocks"]);
            assert_eq!(found["hit_tokens"], expected["hit_tokens"], "{row}");
        }
    }
}
