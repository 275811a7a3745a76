//! Replicas behind routers, against a model that is slow and obviously right.

use crate::compute::{WINDOW, window_flops};
use crate::support::fleet::{self, Sent};
use crate::support::{line, run, scratch, write};
use proptest::prelude::*;
use serde_json::{Value, json};

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
    let tokens: u64 = requests[from..].iter().map(|r| r.input).sum();
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
    let tokens: u64 = requests[from..].iter().zip(measured).map(|(r, s)| r.input - s.1).sum();
    prop_assert_eq!(&row["infinite_hit_tokens"], &json!(tokens));
    let mut seconds = std::collections::HashMap::<(usize, u64), u64>::new();
    for (time, (to, work)) in fleet::times(requests).iter().zip(sent).skip(from) {
        *seconds.entry((*to, (time / 1000.0) as u64)).or_default() += work;
    }
    let has_times = requests.iter().any(|r| r.time.is_some());
    let peak = |of: &dyn Fn(usize) -> bool| {
        let peak = seconds.iter().filter(|((replica, _), _)| of(*replica)).map(|(_, work)| *work).max();
        json!(has_times.then_some(peak.unwrap_or(0)))
    };
    prop_assert_eq!(&row["peak_second_tokens"], &peak(&|replica| replica == busiest));
    prop_assert_eq!(&row["highest_peak_second_tokens"], &peak(&|_| true));
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

/// Times to live with capacities, of one cache and of replicas.
fn expiring(requests: &[Sent]) -> Result<(), TestCaseError> {
    let trace = trace(requests);
    if !requests.iter().any(|r| r.time.is_some()) {
        return Ok(());
    }
    let ttls = ["--ttl=0s,20s,100s,1000d,fixed:20s,fixed:60s,fixed:1000d", "-c1,2,4,9,30"];
    let one = vec![(0, 0); requests.len()];
    for found in [stats(&ttls, &trace), stats(&[&ttls[..], &["--curve"]].concat(), &trace)] {
        for row in found["ttl"].as_array().unwrap() {
            let ttl = (row["ttl_ms"].as_f64().unwrap(), row["fixed"] == true);
            let size = row["capacity_blocks"].as_u64().map(|size| size as usize);
            let hits = fleet::hits_by_request(requests, &one, 1, size, ttl, BLOCK);
            let expected: u64 = hits.into_iter().sum();
            prop_assert_eq!(&row["hit_tokens"], &json!(expected), "{}", row);
        }
        let rows = found["ttl"].as_array().unwrap();
        prop_assert!(rows.len() >= 7 * 6);
        // Without an end, a time to live makes no difference.
        for row in found["capacity"].as_array().unwrap() {
            let size = if row["policy"] == "infinite" { &Value::Null } else { &row["capacity_blocks"] };
            for fixed in [Value::Null, json!(true)] {
                let same = |r: &&Value| {
                    r["ttl_ms"] == 86_400_000_000_u64 && r["capacity_blocks"] == *size && r["fixed"] == fixed
                };
                if let Some(endless) = rows.iter().find(same) {
                    prop_assert_eq!(&endless["hit_tokens"], &row["hit_tokens"]);
                }
            }
        }
    }
    let fleets = ["--ttl=0s,20s,1000d", "-c1,2,4,9,30", "--replicas=1,3", "--route=cache,session"];
    let found = stats(&fleets, &trace);
    for row in found["fleet"].as_array().unwrap() {
        let n = row["replicas"].as_u64().unwrap() as usize;
        let sent = fleet::route(requests, n, row["route"].as_str().unwrap(), BLOCK);
        prop_assert_eq!(row["ttl"].as_array().unwrap().len(), 18);
        for row in row["ttl"].as_array().unwrap() {
            let ttl = (row["ttl_ms"].as_f64().unwrap(), false);
            let size = row["capacity_blocks"].as_u64().map(|size| size as usize);
            let hits = fleet::hits_by_request(requests, &sent, n, size, ttl, BLOCK);
            let expected: u64 = hits.into_iter().sum();
            prop_assert_eq!(&row["hit_tokens"], &json!(expected), "{} {}", n, row);
        }
    }
    Ok(())
}

/// A rule of hits: its options, and the tokens that so many blocks serve to a prompt of a length.
type Rule = (&'static [&'static str], fn(u64, u64) -> u64);

const RULES: [Rule; 5] = [
    (&["--min-hit=6", "--hit-step=5"], |blocks, length| from_six_by_five((blocks * BLOCK).min(length))),
    (&["--min-hit=6", "--hit-step=5", "--hits=engine"], |blocks, length| {
        from_six_by_five((blocks * BLOCK).min(length.saturating_sub(1) / BLOCK * BLOCK))
    }),
    (&["--hit-unit=8"], |blocks, length| (blocks * BLOCK).min(length.saturating_sub(1)) / 8 * 8),
    // Looked for up to the end of the prompt, and the last unit is computed.
    (&["--hit-unit=8", "--drop-last-unit"], |blocks, length| {
        ((blocks * BLOCK).min(length) / 8).saturating_sub(1) * 8
    }),
    (&["--drop-last-unit"], |blocks, length| {
        blocks.min(length.saturating_sub(1) / BLOCK).saturating_sub(1) * BLOCK
    }),
];

fn from_six_by_five(tokens: u64) -> u64 {
    if tokens < 6 { 0 } else { 6 + (tokens - 6) / 5 * 5 }
}

/// Hits in units: at every capacity and time to live, what is found is rounded by the rule, and work is the rest.
fn units(requests: &[Sent], (rule, served): Rule, from: usize) -> Result<(), TestCaseError> {
    let (warmup, has_times) = (from.to_string(), requests.iter().any(|r| r.time.is_some()));
    let fleets = ["--replicas=1,3", "--route=cache,session,prefix=2", "-c1,2,4,9,30", "--target=60%"];
    let ttl: &[&str] = if has_times { &["--ttl=20s"] } else { &[] };
    let args = [&fleets[..], rule, ttl, &["--warmup", &warmup]].concat();
    let trace = trace(requests);
    // Engines keep full blocks.
    let mut kept = requests.to_vec();
    if rule.iter().any(|option| !option.starts_with("--min-hit") && !option.starts_with("--hit-step")) {
        kept.iter_mut().for_each(|r| r.ids.truncate((r.input / BLOCK) as usize));
    }
    for found in [stats(&args, &trace), stats(&[&args[..], &["--curve"]].concat(), &trace)] {
        for row in found["fleet"].as_array().unwrap() {
            let n = row["replicas"].as_u64().unwrap() as usize;
            let sent = fleet::route(requests, n, row["route"].as_str().unwrap(), BLOCK);
            let tokens = |sent: &[(usize, u64)], n, size, ttl| -> Vec<u64> {
                let found = fleet::found_by_request(&kept, sent, n, size, (ttl, false));
                found.into_iter().zip(requests).map(|(blocks, r)| served(blocks, r.input)).collect()
            };
            let sum = |size, ttl| tokens(&sent, n, size, ttl)[from..].iter().sum::<u64>();
            let one = vec![(0, 0); requests.len()];
            prop_assert_eq!(&row["infinite_hit_tokens"], &json!(sum(None, f64::INFINITY)));
            for cache in row["capacity"].as_array().unwrap() {
                let size = cache["capacity_blocks"].as_u64().unwrap() as usize;
                prop_assert_eq!(
                    &cache["hit_tokens"],
                    &json!(sum(Some(size), f64::INFINITY)),
                    "{:?} {}",
                    rule,
                    row
                );
                let shared: u64 = tokens(&one, 1, Some(size * n), f64::INFINITY)[from..].iter().sum();
                prop_assert_eq!(&cache["shared_hit_tokens"], &json!(shared));
            }
            for of_ttl in row["ttl"].as_array().into_iter().flatten() {
                let size = of_ttl["capacity_blocks"].as_u64().map(|size| size as usize);
                prop_assert_eq!(&of_ttl["hit_tokens"], &json!(sum(size, 20_000.0)), "{:?} {}", rule, row);
            }
            let target = &row["target"][0];
            let size = target["capacity_blocks"].as_u64().unwrap() as usize;
            let wanted = 0.6 * sum(None, f64::INFINITY) as f64;
            prop_assert_eq!(&target["hit_tokens"], &json!(sum(Some(size), f64::INFINITY)));
            prop_assert!(sum(Some(size), f64::INFINITY) as f64 >= wanted);
            prop_assert!(size == 0 || (sum(Some(size - 1), f64::INFINITY) as f64) < wanted);
            let mut work = vec![0; n];
            let rests =
                requests.iter().zip(tokens(&sent, n, None, f64::INFINITY)).map(|(r, hit)| r.input - hit);
            rests.zip(&sent).skip(from).for_each(|(rest, (to, _))| work[*to] += rest);
            prop_assert_eq!(&row["work_max_tokens"], &json!(work.iter().max()));
        }
    }
    Ok(())
}

/// What is left to compute in each fleet, and how it is spread.
fn compute(requests: &[Sent], from: usize) -> Result<(), TestCaseError> {
    let folder = scratch();
    let config = write(folder.path(), "config.json", WINDOW);
    let has_times = requests.iter().any(|r| r.time.is_some());
    let warmup = from.to_string();
    let args = ["--replicas=1,3", "--route=round-robin,session,prefix=2,cache", "-c1,3,8,30", "--target=50%"];
    let model = ["--model-config", &config, "--prompt-length=40", "--warmup", &warmup];
    let ttl: &[&str] = if has_times { &["--ttl=20s"] } else { &[] };
    let found = stats(&[&args[..], &model, ttl].concat(), &trace(requests));
    let curve = stats(&[&args[..], &model, ttl, &["--curve"]].concat(), &trace(requests));
    let flops = |row: &Value, name: &str| row[name].to_string().parse::<u128>().unwrap();
    for row in found["fleet"].as_array().unwrap().iter().chain(curve["fleet"].as_array().unwrap()) {
        let n = row["replicas"].as_u64().unwrap() as usize;
        let sent = fleet::route(requests, n, row["route"].as_str().unwrap(), BLOCK);
        // What each request leaves, and what it takes without a cache.
        let left = |sent: &[(usize, u64)], n, size, ttl| -> Vec<(u128, u128)> {
            let hits = fleet::hits_by_request(requests, sent, n, size, (ttl, false), BLOCK);
            let whole = requests.iter().map(|r| window_flops(r.input));
            whole.zip(hits).map(|(whole, hit)| (whole - window_flops(hit), whole)).collect()
        };
        let expected = |left: Vec<(u128, u128)>| {
            let (rest, all) =
                left.into_iter().skip(from).fold((0, 0), |(a, b), (rest, all)| (a + rest, b + all));
            (rest, if rest > 0 { json!(all as f64 / rest as f64) } else { Value::Null })
        };
        let infinite = left(&sent, n, None, f64::INFINITY);
        let (rest, saving) = expected(infinite.clone());
        prop_assert_eq!(flops(row, "infinite_prefill_flops"), rest);
        prop_assert_eq!(&row["infinite_prefill_saving_compute"], &saving);
        let target = &row["target"][0];
        for of_size in row["capacity"].as_array().unwrap().iter().chain([target]) {
            let size = of_size["capacity_blocks"].as_u64().unwrap() as usize;
            let (rest, saving) = expected(left(&sent, n, Some(size), f64::INFINITY));
            prop_assert_eq!(flops(of_size, "prefill_flops"), rest, "{} {}", row["route"], of_size);
            prop_assert_eq!(&of_size["prefill_saving_compute"], &saving);
            let one = vec![(0, 0); requests.len()];
            let (_, saving) = expected(left(&one, 1, Some(size * n), f64::INFINITY));
            prop_assert_eq!(&of_size["shared_prefill_saving_compute"], &saving);
        }
        for of_ttl in row["ttl"].as_array().into_iter().flatten() {
            let size = of_ttl["capacity_blocks"].as_u64().map(|size| size as usize);
            let (rest, saving) = expected(left(&sent, n, size, 20_000.0));
            prop_assert_eq!(flops(of_ttl, "prefill_flops"), rest, "{} {}", row["route"], of_ttl);
            prop_assert_eq!(&of_ttl["prefill_saving_compute"], &saving);
        }
        let work = |x: usize| -> u128 {
            let of_x = sent.iter().zip(&infinite).skip(from).filter(|((to, _), _)| *to == x);
            of_x.map(|(_, (rest, _))| rest).sum()
        };
        let busiest = (0..n).max_by_key(|&x| (work(x), std::cmp::Reverse(x))).unwrap();
        let all: u128 = (0..n).map(work).sum();
        let imbalance = if all == 0 { 0.0 } else { (work(busiest) * n as u128) as f64 / all as f64 };
        prop_assert_eq!(flops(row, "work_max_flops"), work(busiest));
        prop_assert_eq!(&row["work_imbalance_compute"], &json!(imbalance));
        let mut seconds = std::collections::HashMap::<(usize, u64), u128>::new();
        for ((time, (to, _)), (rest, _)) in fleet::times(requests).iter().zip(&sent).zip(&infinite).skip(from)
        {
            *seconds.entry((*to, (time / 1000.0) as u64)).or_default() += rest;
        }
        let peak = |of: &dyn Fn(usize) -> bool| {
            let peak = seconds.iter().filter(|((replica, _), _)| of(*replica)).map(|(_, work)| *work).max();
            json!(has_times.then_some(peak.unwrap_or(0)))
        };
        prop_assert_eq!(&row["peak_second_flops"], &peak(&|replica| replica == busiest));
        prop_assert_eq!(&row["highest_peak_second_flops"], &peak(&|_| true));
    }
    Ok(())
}

/// Tiers of replicas and of one cache, with a pool and without.
fn tiers(requests: &[Sent], inclusive: bool) -> Result<(), TestCaseError> {
    let trace = trace(requests);
    let mode = if inclusive { "inclusive" } else { "exclusive" };
    let lists: [&[usize]; 2] = [&[2, 3, 9], &[5]];
    let args = ["--tiers=hbm=2,dram=3,ssd=9", "--tiers=hbm=5", "--shared=7", "--tier-mode", mode];
    let fleets = ["--replicas=1,3", "--route=round-robin,cache,session"];
    let found = stats(&[&args[..], &fleets].concat(), &trace);
    let rows = found["tiers"].as_array().unwrap();
    prop_assert_eq!(rows.len(), 12);
    for (row, sizes) in rows.iter().zip(lists.into_iter().cycle()) {
        let n = row["replicas"].as_u64().unwrap() as usize;
        let sent = fleet::route(requests, n, row["route"].as_str().unwrap(), BLOCK);
        let expected = fleet::tiers(requests, &sent, n, (sizes, inclusive), 7, BLOCK);
        let tiers = row["tiers"].as_array().unwrap();
        prop_assert_eq!(tiers.len(), expected.len());
        for (place, (tier, expected)) in tiers.iter().zip(expected).enumerate() {
            prop_assert_eq!(&tier["hit_tokens"], &json!(expected.hit_tokens), "{} {}", row["route"], tier);
            let is_pool = place == sizes.len();
            let flows = [
                ("promoted", &expected.promoted, place > 0),
                ("demoted", &expected.left, !inclusive && !is_pool),
                ("written", &expected.written, inclusive || is_pool),
            ];
            for (name, moves, is_there) in flows {
                prop_assert_eq!(tier[name].is_object(), is_there);
                if is_there {
                    let (all, peak, of_one) = fleet::flow(moves);
                    prop_assert_eq!(&tier[name]["blocks"], &json!(all), "{} {}", name, tier);
                    let has_times = requests.iter().any(|r| r.time.is_some());
                    prop_assert_eq!(&tier[name]["peak_per_s"], &json!(has_times.then_some(peak)));
                    prop_assert_eq!(&tier[name]["replica_peak_per_s"], &json!(has_times.then_some(of_one)));
                }
            }
        }
    }
    tier_curves(requests, inclusive)?;
    // The tiers of one cache without any replicas are those of one replica, and two are the curve.
    let alone = stats(&[&args[..], &["-c5,14,2"]].concat(), &trace);
    prop_assert_eq!(&alone["tiers"][0]["tiers"], &rows[0]["tiers"]);
    if !inclusive {
        let hits = |tier: usize| alone["tiers"][0]["tiers"][tier]["hit_tokens"].as_u64().unwrap();
        let curve = |place: usize| alone["capacity"][place]["hit_tokens"].as_u64().unwrap();
        prop_assert_eq!(
            (hits(0), hits(0) + hits(1), hits(0) + hits(1) + hits(2)),
            (curve(0), curve(1), curve(2))
        );
    }
    Ok(())
}

/// One tier of every size, among others and alone, above a pool and without one.
fn tier_curves(requests: &[Sent], inclusive: bool) -> Result<(), TestCaseError> {
    let trace = trace(requests);
    let mode = if inclusive { "inclusive" } else { "exclusive" };
    let lists = ["a=2,b=curve,c=4", "a=curve,b=3", "a=3,b=1,c=curve", "a=curve"];
    let sizes: [fn(usize) -> Vec<usize>; 4] =
        [|size| vec![2, size, 4], |size| vec![size, 3], |size| vec![3, 1, size], |size| vec![size]];
    let places = [1, 0, 2, 0];
    let args = lists.iter().flat_map(|list| ["--tiers", list]).chain(["--tier-mode", mode]);
    let args: Vec<&str> = args.chain(["--replicas=1,3", "--route=cache,session"]).collect();
    for pool in [0, 7] {
        let shared: &[&str] = if pool == 0 { &[] } else { &["--shared=7"] };
        let found = stats(&[&args[..], shared].concat(), &trace);
        let rows = found["tier_curves"].as_array().unwrap();
        prop_assert_eq!(rows.len(), 16);
        for (row, list) in rows.iter().zip((0..4).cycle()) {
            let n = row["replicas"].as_u64().unwrap() as usize;
            let sent = fleet::route(requests, n, row["route"].as_str().unwrap(), BLOCK);
            // The model is slow: some of the sizes, beginning with another one in each row.
            let points = row["sizes"].as_array().unwrap().iter();
            for point in points.skip(n + list).step_by(5) {
                let sizes = sizes[list](point["size_blocks"].as_u64().unwrap() as usize);
                let expected = fleet::tiers(requests, &sent, n, (&sizes, inclusive), pool, BLOCK);
                let tier = &expected[places[list]];
                prop_assert_eq!(
                    &point["hit_tokens"],
                    &json!(tier.hit_tokens),
                    "{} {} {}",
                    lists[list],
                    pool,
                    point
                );
                let all: u64 = expected.iter().map(|tier| tier.hit_tokens).sum();
                prop_assert_eq!(&point["all_hit_tokens"], &json!(all), "{} {} {}", lists[list], pool, point);
                let (down, moves) =
                    if inclusive { ("written", &tier.written) } else { ("demoted", &tier.left) };
                prop_assert_eq!(
                    &point[down]["blocks"],
                    &json!(fleet::flow(moves).0),
                    "{} {}",
                    lists[list],
                    point
                );
                prop_assert_eq!(point["promoted"].is_object(), places[list] > 0);
                if places[list] > 0 {
                    let blocks = fleet::flow(&tier.promoted).0;
                    prop_assert_eq!(
                        &point["promoted"]["blocks"],
                        &json!(blocks),
                        "{} {}",
                        lists[list],
                        point
                    );
                }
            }
        }
    }
    Ok(())
}

/// `trace-cat` sends each record where the model does, and its replicas as groups are the fleet.
fn sent(requests: &[Sent], n: usize, route: &str) -> Result<(), TestCaseError> {
    let trace = trace(requests);
    let count = n.to_string();
    let lines = run("trace-cat", &["-q", "-b4", "--replicas", &count, "--route", route], &trace).ok();
    let found: Vec<u64> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["replica"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> =
        fleet::route(requests, n, route, BLOCK).iter().map(|(to, _)| *to as u64).collect();
    prop_assert_eq!(found, expected);
    // Where it was already is replaced, and the same is said again.
    let again = run("trace-cat", &["-q", "--replicas", &count, "--route", route], &lines).ok();
    prop_assert_eq!(&again, &lines);
    let folder = scratch();
    let config = write(folder.path(), "config.json", WINDOW);
    let caches = ["-c1,3,7", "--ttl=20s", "--model-config", &config, "--prompt-length=40"];
    let by = stats(&[&["--by=replica"], &caches[..]].concat(), &lines);
    let fleet = stats(&[&["--replicas", &count, "--route", route], &caches[..]].concat(), &lines);
    let (separate, row) = (&by["separate"], &fleet["fleet"][0]);
    let names = ["capacity_blocks", "hit_tokens", "prefill_flops"];
    prop_assert_eq!(&separate["cached_tokens"], &row["infinite_hit_tokens"]);
    for (separate, of_fleet) in
        separate["capacity"].as_array().unwrap().iter().zip(row["capacity"].as_array().unwrap())
    {
        for name in names {
            prop_assert_eq!(&separate[name], &of_fleet[name]);
        }
    }
    for (separate, of_fleet) in separate["ttl"].as_array().unwrap().iter().zip(row["ttl"].as_array().unwrap())
    {
        for name in names {
            prop_assert_eq!(&separate[name], &of_fleet[name]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn caches_that_expire_are_those_of_the_model_at_every_size(
        requests in prop_oneof![requests(ids()), requests(forest_ids())]
    ) {
        expiring(&requests)?;
    }

    #[test]
    fn hits_in_units_are_those_of_the_model(
        requests in prop_oneof![requests(ids()), requests(forest_ids())],
        rule in prop::sample::select(RULES.to_vec()),
        share in 0.0..0.5_f64,
    ) {
        units(&requests, rule, (requests.len() as f64 * share) as usize)?;
    }

    #[test]
    fn compute_of_every_fleet_is_that_of_the_model(
        requests in prop_oneof![requests(ids()), requests(forest_ids())],
        share in 0.0..0.5_f64,
    ) {
        compute(&requests, (requests.len() as f64 * share) as usize)?;
    }

    #[test]
    fn tiers_are_those_of_the_model(
        requests in prop_oneof![requests(ids()), requests(forest_ids())],
        inclusive in any::<bool>(),
    ) {
        tiers(&requests, inclusive)?;
    }

    #[test]
    fn records_go_where_the_model_sends_them_and_are_the_fleet_as_groups(
        mut requests in prop_oneof![requests(ids()), requests(forest_ids())],
        n in prop_oneof![1..5_usize, Just(60)],
        route in prop::sample::select(ROUTES.to_vec()),
    ) {
        // A group has no times of others, so all have one here.
        let times = fleet::times(&requests);
        requests.iter_mut().zip(times).for_each(|(request, time)| request.time = Some(time));
        if !requests.is_empty() {
            sent(&requests, n, route)?;
        }
    }

    #[test]
    fn engines_are_sent_the_same_and_keep_full_blocks(requests in prop_oneof![requests(ids()), requests(forest_ids())]) {
        let args = ["--hits=engine", "-c1,2,4,9,30", "--replicas=1,3", "--route=cache,session,prefix=2"];
        let found = stats(&args, &trace(&requests));
        for row in found["fleet"].as_array().unwrap() {
            let n = row["replicas"].as_u64().unwrap() as usize;
            let sent = fleet::route(&requests, n, row["route"].as_str().unwrap(), BLOCK);
            for cache in row["capacity"].as_array().unwrap() {
                let size = cache["capacity_blocks"].as_u64().unwrap() as usize;
                let mut caches = vec![fleet::Lru::new(size); n];
                let mut tokens = 0;
                for (request, (to, _)) in requests.iter().zip(&sent) {
                    // The last token is always computed, and an answer of one token fills no block.
                    let full = &request.ids[..(request.input / BLOCK) as usize];
                    tokens += caches[*to].hit(full).min(request.input.saturating_sub(1) / BLOCK) * BLOCK;
                    caches[*to].use_all(full);
                }
                prop_assert_eq!(&cache["hit_tokens"], &json!(tokens), "{} {}", row["route"], size);
            }
        }
    }

    #[test]
    fn one_replica_is_the_plain_curve(requests in requests(ids())) {
        let found = stats(&["--curve", "--replicas=1", "--hits=engine", "--outputs=none"], &trace(&requests));
        for args in [&["--hits=reference"][..], &["--hits=engine"], &["--hits=engine", "--warmup=3"]] {
            let found = stats(&[&["--curve", "--target=90%", "--replicas=1"], args].concat(), &trace(&requests));
            let (plain, row) = (found["capacity"].as_array().unwrap(), &found["fleet"][0]);
            prop_assert_eq!(&plain.last().unwrap()["hit_tokens"], &row["infinite_hit_tokens"]);
            prop_assert_eq!(&found["target"][0]["capacity_blocks"], &row["target"][0]["capacity_blocks"]);
            for (plain, one) in plain.iter().zip(row["capacity"].as_array().unwrap()) {
                prop_assert_eq!(&plain["capacity_blocks"], &one["capacity_blocks"]);
                prop_assert_eq!(&plain["hit_tokens"], &one["hit_tokens"]);
                prop_assert_eq!(&plain["hit_tokens"], &one["shared_hit_tokens"]);
            }
        }
        prop_assert!(found["fleet"].is_array());
    }
}

/// A real trace, and the figures that it should have.
fn golden() -> Option<(String, Value)> {
    let trace = crate::support::real("traces/conversation_trace.jsonl")?;
    let golden = crate::support::real("golden/conversation.fleet.json")?;
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

#[test]
fn the_times_to_live_of_a_real_trace_have_their_known_figures() {
    let Some((trace, golden)) = golden() else { return };
    let args = ["-q", "-f", "json", "-c1000,5000,20000", "--ttl=10s,1m,5m,1h", &trace];
    let found: Value = serde_json::from_str(&run("trace-stats", &args, "").ok()).unwrap();
    let rows = golden["ttl"].as_array().unwrap();
    assert!(rows.len() >= 9);
    for row in rows {
        let same = |found: &&Value| {
            found["ttl_ms"] == row["ttl_ms"] && found["capacity_blocks"] == row["capacity_blocks"]
        };
        let found = found["ttl"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!(found["hit_tokens"], row["hit_tokens"], "{row}");
    }
}

#[test]
fn the_tiers_of_a_real_trace_have_their_known_figures() {
    let Some((trace, golden)) = golden() else { return };
    let args = ["-q", "-f", "json", "--replicas=1,2,4,8,16", "--route=round-robin,prefix=1,prefix=2,cache"];
    let args = [&args[..], &["--tiers=hbm=2000,dram=8000", "--shared=40000", &trace]].concat();
    let found: Value = serde_json::from_str(&run("trace-stats", &args, "").ok()).unwrap();
    let rows = golden["tiers"].as_array().unwrap();
    assert!(rows.len() >= 8);
    for row in rows {
        let same = |found: &&Value| found["replicas"] == row["replicas"] && found["route"] == row["route"];
        let found =
            found["tiers"].as_array().unwrap().iter().find(same).unwrap()["tiers"].as_array().unwrap();
        let hits: Vec<_> = found.iter().map(|tier| tier["hit_tokens"].clone()).collect();
        assert_eq!(json!(hits), row["hit_tokens"], "{row}");
        let demoted: Vec<_> = found[..2].iter().map(|tier| tier["demoted"]["blocks"].clone()).collect();
        assert_eq!(json!(demoted), row["blocks_demoted"], "{row}");
    }
}

/// A chat of two sessions, as one would read it.
const CHAT: &str = r#"{"timestamp": 0, "input_length": 8, "output_length": 1, "hash_ids": [0, 1], "session_id": "a"}
{"timestamp": 100, "input_length": 8, "output_length": 1, "hash_ids": [0, 2], "session_id": "b"}
{"timestamp": 2000, "input_length": 12, "output_length": 1, "hash_ids": [0, 1, 3], "session_id": "a"}
{"timestamp": 2100, "input_length": 12, "output_length": 1, "hash_ids": [0, 2, 4], "session_id": "b"}
"#;

#[test]
fn every_format_has_the_fleets() {
    let args = ["-q", "-b4", "--replicas=1,2", "--route=session", "-c1,3", "--target=100%", "--ttl=1s"];
    let write = |more: &[&str]| run("trace-stats", &[&args[..], more].concat(), CHAT).ok();
    let table = write(&[]);
    for line in [
        "Replicas   Hit Tokens  Token Hit Rate  Requests / Mean  Work / Mean  Peak Second  Highest Peak",
        "2 session          16             0.4                1            1            8             8",
        "2 session            3              6          16             0.4        0.5",
        "2 session   100 %            2              4          16             0.4        0.5",
        "2 session           1 s     no limit           0               0",
    ] {
        assert!(table.contains(line), "{line}\n{table}");
    }
    let csv = write(&["-f", "csv"]);
    for line in [
        "fleet,2:session,work_imbalance,1.0",
        "fleet_capacity,2:session:3,hit_tokens,16",
        "fleet_target,2:session:1,capacity_blocks,2",
        "fleet_ttl,2:session:1000ms:3,hit_tokens,0",
    ] {
        assert!(csv.contains(line), "{line}\n{csv}");
    }
    let prometheus = write(&["-f", "prometheus"]);
    for line in [
        r#"kvtrace_fleet_requests_max{replicas="2",route="session"} 2"#,
        r#"kvtrace_fleet_capacity_token_hit_rate{replicas="2",route="session",cache="3"} 0.4"#,
        r#"kvtrace_fleet_target_capacity_blocks{replicas="2",route="session",share="1"} 2"#,
        r#"kvtrace_fleet_ttl_hit_tokens{replicas="2",route="session",cache="1000ms"} 0"#,
    ] {
        assert!(prometheus.contains(line), "{line}\n{prometheus}");
    }
    assert!(!prometheus.contains("# HELP kvtrace_fleet_capacity_hit_tokens \n"), "{prometheus}");
    assert!(write(&["-f", "markdown"]).contains("| 2 session | 16 | 0.4 | 1.0 | 1.0 | 8 | 8 |"));
    let page = write(&["-f", "html"]);
    assert!(page.contains("data-fleet=\"2 session\"") && page.contains("data-chart=\"fleets\""));
    assert!(page.contains("path class=\"line g2\"") && !page.contains("path class=\"line g3\""));
    let plot = write(&["--plot=ascii"]);
    assert!(plot.contains("Token Hit Rate by cache capacity of each replica\n"), "{plot}");
    assert!(plot.contains("# 1 replica   o 2 session   -- infinite cache"), "{plot}");
    let json: Value = serde_json::from_str(&write(&["-f", "json", "--kv-bytes-per-token=2"])).unwrap();
    assert_eq!(json["fleet"][1]["capacity"][1]["total_bytes"], 48);
}

#[test]
fn every_format_has_the_tiers() {
    let args = [
        "-q",
        "-b4",
        "--replicas=2",
        "--route=session",
        "--tiers=hbm=1,dram=2",
        "--shared=4",
        "--kv-bytes-per-token=256Ki",
    ];
    let write = |more: &[&str]| run("trace-stats", &[&args[..], more].concat(), CHAT).ok();
    let table = write(&[]);
    for line in [
        "Replicas     Tier  Blocks Each   Size  Hit Tokens  Token Hit Rate",
        "2 session     hbm            1  1 MiB           8             0.2",
        "2 session  shared            4  4 MiB           4             0.1",
        "2 session     hbm   demoted       8  8 MiB   3.81 MiB     6 MiB            3 MiB\n",
    ] {
        assert!(table.contains(line), "{line}\n{table}");
    }
    assert!(write(&["-f", "csv"]).contains("tier,2:session:1:dram,hit_tokens,8\n"));
    let prometheus = write(&["-f", "prometheus"]);
    for line in [
        r#"kvtrace_tier_hit_tokens{replicas="2",route="session",list="1",tier="dram"} 8"#,
        "kvtrace_tier_demoted_blocks_replica_peak_per_second{",
    ] {
        assert!(prometheus.contains(line), "{line}\n{prometheus}");
    }
    assert!(
        prometheus.lines().all(|line| !line.starts_with("# HELP") || line.split(' ').count() > 4),
        "{prometheus}"
    );
    assert!(write(&["-f", "markdown"]).contains("| 2 session | dram | 2 |"));
    assert!(write(&["-f", "html"]).contains("<h2>Tiers</h2>"));
    // Of every size, what the list above has is among the rows.
    let args =
        [&args[..4], &["--tiers=hbm=1,dram=curve", "--shared=4", "--kv-bytes-per-token=256Ki"]].concat();
    let write = |more: &[&str]| run("trace-stats", &[&args[..], more].concat(), CHAT).ok();
    let table = write(&[]);
    for line in [
        "Replicas   Tier  Blocks   Size  Hit Tokens  Token Hit Rate  All Tiers   Up / s  Down / s",
        "2 session  dram       2  2 MiB           8             0.2        0.5",
    ] {
        assert!(table.contains(line), "{line}\n{table}");
    }
    assert!(write(&["-f", "csv"]).contains("tier_curve,2:session:1:dram:2,all_hit_tokens,20\n"));
    let prometheus = write(&["-f", "prometheus"]);
    let labels = r#"{replicas="2",route="session",list="1",tier="dram",size="2"}"#;
    assert!(prometheus.contains(&format!("kvtrace_tier_curve_hit_tokens{labels} 8\n")), "{prometheus}");
    assert!(
        prometheus.lines().all(|line| !line.starts_with("# HELP") || line.split(' ').count() > 4),
        "{prometheus}"
    );
    assert!(write(&["-f", "markdown"]).contains("| 2 session | dram | 2 |"));
    let page = write(&["-f", "html"]);
    assert!(
        page.contains("data-chart=\"tiers\"") && page.contains("2 session, 2 blocks (2 MiB): 50.0 %"),
        "{page}"
    );
    let plot = write(&["--plot=ascii"]);
    assert!(plot.contains("Token Hit Rate of all tiers by the size of dram\n"), "{plot}");
    assert!(plot.contains("# 2 session   -- infinite cache"), "{plot}");
    let lists = ["--tiers=hbm=1,dram=curve", "--tiers=hbm=3,dram=curve", "--tiers=all=curve"];
    let lists = |count: usize| {
        run("trace-stats", &[&args[..4], &lists[..count], &["--plot=ascii"]].concat(), CHAT).ok()
    };
    assert!(lists(2).contains("by the size of dram\n"), "{}", lists(2));
    assert!(lists(2).contains("# 2 session, hbm=1,dram   o 2 session, hbm=3,dram"), "{}", lists(2));
    assert!(lists(3).contains("by the size of one\n"), "{}", lists(3));
}

#[test]
fn groups_of_replicas_have_a_row_for_all_of_them() {
    let lines = run("trace-cat", &["-q", "-b4", "--replicas=2", "--route=session"], CHAT).ok();
    assert!(lines.lines().next().unwrap().ends_with(r#""replica": 0}"#), "{lines}");
    let table = run("trace-stats", &["-q", "--by=replica", "-c3"], &lines).ok();
    for start in [
        "0                              2",
        "(all, separate caches)         4",
        "(all, one cache)               4",
    ] {
        assert!(table.lines().any(|line| line.starts_with(start)), "{start}\n{table}");
    }
}

#[test]
fn what_does_not_go_with_replicas_is_said() {
    let refuse = |args: &[&str], message: &str| {
        let ran = run("trace-stats", &[&["-q", "-b4"], args].concat(), CHAT);
        assert!(ran.status == Some(2) && ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
    };
    refuse(&["--route=cache"], "say how many with --replicas");
    refuse(&["--replicas=0"], "expected a number above zero");
    refuse(&["--replicas=10001"], "too many");
    refuse(&["--replicas=2", "--route=prefix=0"], "above zero");
    refuse(&["--replicas=2", "--route=sticky"], "is not one of round-robin, session");
    refuse(&["--replicas=2", "--policy=fifo", "-c3"], "they go with --policy lru alone");
    refuse(&["--replicas=2", "--ttl=fixed:5m"], "is for one cache");
    refuse(&["--shared=9"], "name their sizes");
    refuse(&["--tiers=9"], "its name and its size");
    refuse(&["--tiers=a=9,a=8"], "two tiers are called a");
    refuse(&["--tiers=a=curve,b=curve"], "one tier of a list may be a curve");
    refuse(&["--tiers=a=1GiB"], "need --kv-bytes-per-token");
    refuse(&["--tiers=a=2B", "--kv-bytes-per-token=1"], "--tiers: 2 bytes hold no block");
    refuse(&["--replicas=2", "--window=10req"], "--window");
    refuse(&["--replicas=2", "--approx=1000"], "--approx");
    refuse(&["--replicas=2", "--per-request", "-c3"], "--per-request");
    let ran = run("trace-cat", &["-q", "--replicas=2", "--to-format=vllm"], CHAT);
    assert!(ran.status == Some(2) && ran.stderr.contains("it goes without --to-format"), "{}", ran.stderr);
}

#[test]
fn too_many_blocks_for_the_memory_end_the_run() {
    let line = |i: u64| {
        let ids: Vec<u64> = (0..40).map(|k| (i * 40 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        format!(
            "{}\n",
            json!({"timestamp": i, "input_length": 160, "block_size": 4, "output_length": 1, "hash_ids": ids})
        )
    };
    let trace: String = (0..30_000).map(line).collect();
    let ran = run("trace-stats", &["--replicas=2,8", "--route=cache,prefix", "--max-memory=48Mi"], &trace);
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.stderr.contains("--replicas needs all of the trace, which is more than --max-memory"),
        "{}",
        ran.stderr
    );
    let ran = run("trace-cat", &["--replicas=8", "--route=cache", "--max-memory=1Mi"], &trace);
    assert!(
        ran.status == Some(1) && ran.stderr.contains("the blocks that --replicas have take more memory"),
        "{}",
        ran.stderr
    );
}

#[test]
fn sessions_of_a_route_may_have_another_name() {
    let record = |i: u64, field: &str| {
        line(i * 1000, 1024, 1, &[i % 5, i + 9]).replacen('{', &format!("{{\"{field}\": \"s{}\", ", i % 5), 1)
    };
    let trace = |field: &str| (0..60).map(|i| record(i, field)).collect::<String>();
    let args = ["-f", "json", "--replicas", "3", "--route", "session"];
    let expected = run("trace-stats", &args, trace("session_id")).ok();
    let ran = run("trace-stats", &args, trace("sess"));
    assert!(
        ran.stderr.contains("60 of 60 requests do not name their session (see --session-field)"),
        "{ran:?}"
    );
    assert_ne!(ran.ok(), expected);
    let named = [&args[..], &["--session-field", "sess"]].concat();
    assert_eq!(run("trace-stats", &named, trace("sess")).ok(), expected);
    let ran = run("trace-stats", &["--session-field", "sess"], trace("sess"));
    assert_eq!(ran.status, Some(2));
}
