//! The fates of prompt tokens against their definitions, token by token, and against figures of others.

use std::collections::HashMap;

use crate::support::naive::{self, Request};
use crate::support::{real, run, run_in, scratch, write};
use kvtrace::record::Record;
use kvtrace::stats::{Analysis, AnalysisOptions, Fates, HitRule, KnownTokens, LastUse, MissRow, Ttl};
use proptest::prelude::*;
use serde_json::Value;

const BLOCK: u64 = 60;

/// A request with its time and the session that it names.
type Timed = (Request, Option<f64>, Option<u64>);

/// The fates in a cache, token by token.
#[derive(Default)]
struct Expected {
    fates: Fates,
    same: KnownTokens,
    other: KnownTokens,
    /// Seconds times 1000 and distances of evicted and of expired tokens.
    evicted: Vec<(u64, u64)>,
    expired: Vec<(u64, u64)>,
    /// By the stretch of depth.
    depth: Vec<Fates>,
}

/// A block that was used: its place in the order of use, when, and by which request.
#[derive(Clone, Copy)]
struct Use {
    time: f64,
    request: usize,
}

/// What all requests before left behind.
#[derive(Default)]
struct Past {
    /// Most recent first.
    order: Vec<u64>,
    uses: HashMap<u64, Use>,
    /// Every id of a prompt.
    ids: std::collections::HashSet<u64>,
    sessions: Vec<u64>,
    full: Vec<u64>,
}

impl Past {
    /// The session of a request: as named, or that of the last user of its last known block if it begins with all
    /// full blocks of that one.
    fn session(&self, named: Option<u64>, path: &[u64], fresh: u64) -> u64 {
        let known = path.iter().take_while(|id| self.uses.contains_key(id)).count();
        let parent = known.checked_sub(1).map(|last| self.uses[&path[last]].request);
        let continues = |parent: &usize| self.full[*parent] >= 1 && self.full[*parent] <= known as u64;
        let inherited = parent.filter(continues).map(|parent| self.sessions[parent]);
        named.map(|name| name + 1_000_000).or(inherited).unwrap_or(fresh)
    }

    fn distance(&self, id: u64) -> u64 {
        self.order.iter().position(|&other| other == id).unwrap() as u64
    }

    fn add(&mut self, request: &Request, path: &[u64], now: f64, session: u64) {
        for &id in path.iter().rev() {
            self.order.retain(|&other| other != id);
            self.order.insert(0, id);
        }
        let request_number = self.sessions.len();
        self.uses.extend(path.iter().map(|&id| (id, Use { time: now, request: request_number })));
        self.ids.extend(&request.ids);
        self.sessions.push(session);
        self.full.push(request.input / BLOCK);
    }
}

/// The fates in one cache by the definition.
fn expected(requests: &[Timed], cache: (Option<u64>, Option<u64>), warmup: usize, engine: bool) -> Expected {
    let plain: Vec<Request> = requests.iter().map(|(request, ..)| request.clone()).collect();
    let paths = if engine { naive::computed(&plain, BLOCK) } else { Vec::new() };
    let (mut past, mut found) = (Past::default(), Expected::default());
    let mut now = 0.0;
    for (index, (request, time, named)) in requests.iter().enumerate() {
        let path = paths.get(index).unwrap_or(&request.ids);
        now = time.map_or(now, |time| if index == 0 { time } else { time.max(now) });
        let session = past.session(*named, path, index as u64);
        if index >= warmup {
            found.add(request, path, &past, (now, session), cache, engine);
        }
        past.add(request, path, now, session);
    }
    found
}

impl Expected {
    fn add(
        &mut self,
        request: &Request,
        path: &[u64],
        past: &Past,
        (now, session): (f64, u64),
        (capacity, ttl): (Option<u64>, Option<u64>),
        engine: bool,
    ) {
        let input = request.input;
        let known = |id: &&u64| past.uses.contains_key(id);
        let alive = |id: &&u64| known(id) && ttl.is_none_or(|ttl| now - past.uses[id].time <= ttl as f64);
        let held = |id: &&u64| alive(id) && capacity.is_none_or(|capacity| past.distance(**id) < capacity);
        let tokens = |blocks: usize| naive::counted(blocks as u64, input, BLOCK, engine);
        let ends = [
            tokens(path.iter().take_while(held).count()),
            tokens(path.iter().take_while(alive).count()),
            tokens(path.iter().take_while(known).count()),
        ];
        let of_prompt = request.ids.iter().take_while(|id| past.ids.contains(id)).count();
        let possible = of_prompt.max(path.iter().take_while(known).count());
        let is_all = possible >= request.ids.len();
        let possible = if is_all { input } else { possible as u64 * BLOCK };
        for token in 0..input {
            let fate =
                ends.iter().position(|&end| token < end).unwrap_or(if token < possible { 3 } else { 4 });
            let stretch = (0..40).find(|stretch| token < 256 << stretch).unwrap();
            self.depth.resize(self.depth.len().max(stretch + 1), Fates::default());
            for fates in [&mut self.fates, &mut self.depth[stretch]] {
                let counts = [
                    &mut fates.hit,
                    &mut fates.evicted,
                    &mut fates.expired,
                    &mut fates.rules,
                    &mut fates.cold,
                ];
                *counts.into_iter().nth(fate).unwrap() += 1;
                fates.tokens += 1;
            }
            if fate > 2 {
                continue;
            }
            let place = (token / BLOCK) as usize;
            let last = past.uses[&path[place]];
            let is_same = past.sessions[last.request] == session;
            let known = if is_same { &mut self.same } else { &mut self.other };
            *[&mut known.hit, &mut known.evicted, &mut known.expired].into_iter().nth(fate).unwrap() += 1;
            let distance = path[..=place].iter().map(|&id| past.distance(id)).max().unwrap();
            let last = ((now - last.time) as u64, distance);
            match fate {
                1 => self.evicted.push(last),
                2 => self.expired.push(last),
                _ => {}
            }
        }
    }
}

/// The value below or at which that share of all is, exact for small ones.
fn quantile(mut values: Vec<u64>, share: f64) -> u64 {
    values.sort_unstable();
    values[((share * values.len() as f64).ceil() as usize).max(1) - 1]
}

fn same_last_use(found: Option<LastUse>, uses: &[(u64, u64)], has_times: bool) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.is_some(), !uses.is_empty());
    let Some(found) = found else { return Ok(()) };
    let times =
        |share| has_times.then(|| quantile(uses.iter().map(|u| u.0).collect(), share) as f64 / 1000.0);
    let blocks = |share| quantile(uses.iter().map(|u| u.1).collect(), share);
    prop_assert_eq!((found.median_s, found.p90_s), (times(0.5), times(0.9)));
    prop_assert_eq!((found.median_blocks, found.p90_blocks), (blocks(0.5), blocks(0.9)));
    Ok(())
}

fn rows(requests: &[Timed], set: impl FnOnce(&mut AnalysisOptions)) -> Vec<MissRow> {
    let mut options = AnalysisOptions::default();
    options.caches.misses = true;
    set(&mut options);
    let mut analysis = Analysis::new(BLOCK, options);
    for (request, timestamp, session) in requests {
        let record = Record {
            timestamp: *timestamp,
            input_length: request.input,
            output_length: Some(request.output),
            has_ids: true,
            hash_ids: request.ids.clone(),
            session: *session,
            ..Record::default()
        };
        analysis.add(&record).unwrap();
    }
    analysis.report(&[]).misses.value.unwrap().rows
}

/// Compares every cache with the definition.
fn same(requests: &[Timed], warmup: usize, engine: bool) -> Result<(), TestCaseError> {
    let has_times = requests.iter().any(|(_, time, _)| time.is_some());
    let found = rows(requests, |options| {
        options.hit_rule = if engine { HitRule::Engine } else { HitRule::Reference };
        options.caches.capacities = vec![0, 1, 4, 20];
        options.caches.ttls = [0, 30, 90].map(Ttl::Sliding).to_vec();
        options.caches.warmup = warmup as u64;
    });
    prop_assert_eq!(found.len(), 20);
    for row in found {
        let expected = expected(requests, (row.capacity_blocks, row.ttl_ms), warmup, engine);
        let parts: u128 = row.fates.parts().iter().map(|(_, tokens)| tokens).sum();
        prop_assert_eq!(parts, row.fates.tokens);
        prop_assert_eq!(row.fates, expected.fates, "{}", row.name());
        prop_assert_eq!((row.same_session, row.other_sessions), (expected.same, expected.other));
        let depth: Vec<Fates> = row.depth.iter().map(|depth| depth.fates).collect();
        let mut stretches = expected.depth.clone();
        stretches.resize(depth.len().max(stretches.len()), Fates::default());
        prop_assert_eq!(depth, stretches);
        same_last_use(row.evicted_last_use, &expected.evicted, has_times)?;
        same_last_use(row.expired_last_use, &expected.expired, has_times)?;
    }
    Ok(())
}

/// How a random list of choices becomes a request.
#[derive(Clone, Debug)]
struct Choices {
    path: Vec<u8>,
    /// Tokens that the last block lacks.
    cut: u64,
    output: u64,
    wait: Option<i8>,
    session: Option<u8>,
    /// Whether the id of a partial last block is left out.
    is_full_only: bool,
}

fn choices(most: u8) -> impl Strategy<Value = Vec<Choices>> {
    let one = (
        prop::collection::vec(0..most, 0..8),
        0..BLOCK,
        0..200u64,
        prop::option::weighted(0.9, -3..20i8),
        prop::option::weighted(0.3, 0..4u8),
        any::<bool>(),
    );
    let one = one.prop_map(|(path, cut, output, wait, session, is_full_only)| {
        let cut = if path.is_empty() { 0 } else { cut };
        Choices { path, cut, output, wait, session, is_full_only }
    });
    prop::collection::vec(one, 1..40)
}

/// Requests whose blocks have the ids that `ids` gives to a path and what its end lacks.
fn requests(choices: &[Choices], mut ids: impl FnMut(&[u8], u64) -> u64) -> Vec<Timed> {
    let mut clock = 100.0;
    let request = |choice: &Choices| {
        let input = choice.path.len() as u64 * BLOCK - choice.cut;
        let cut = |end| if end == choice.path.len() { choice.cut } else { 0 };
        let mut list: Vec<u64> =
            (1..=choice.path.len()).map(|end| ids(&choice.path[..end], cut(end))).collect();
        if choice.is_full_only && choice.cut > 0 {
            list.pop();
        }
        clock += f64::from(choice.wait.unwrap_or(0));
        let time = choice.wait.map(|_| clock);
        (Request { input, output: choice.output, ids: list }, time, choice.session.map(u64::from))
    };
    choices.iter().map(request).collect()
}

/// Ids of a forest: one for each path and length of its last block.
fn forest() -> impl FnMut(&[u8], u64) -> u64 {
    let mut numbers = HashMap::new();
    move |path, cut| {
        let next = numbers.len() as u64;
        *numbers.entry((path.to_vec(), cut)).or_insert(next)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fates_in_a_forest_are_those_of_the_definition(
        choices in choices(2), warmup in 0..5usize, engine in any::<bool>()
    ) {
        same(&requests(&choices, forest()), warmup, engine)?;
    }

    #[test]
    fn fates_of_ids_that_are_no_forest_are_those_of_the_definition(
        choices in choices(20), warmup in 0..5usize, engine in any::<bool>()
    ) {
        same(&requests(&choices, |path, _| u64::from(path[path.len() - 1])), warmup, engine)?;
    }

    #[test]
    fn with_little_memory_fates_still_add_up_and_are_the_bounds_they_are_said_to_be(
        choices in choices(3), budget in 50..3000usize
    ) {
        let requests = requests(&choices, forest());
        let set = |options: &mut AnalysisOptions| {
            options.caches.capacities = vec![1, 4, 20];
            options.caches.ttls = vec![Ttl::Sliding(30)];
        };
        let exact = rows(&requests, set);
        let found = rows(&requests, |options| {
            set(options);
            options.budget = Some(budget);
        });
        for (found, exact) in found.iter().zip(exact) {
            let parts: u128 = found.fates.parts().iter().map(|(_, tokens)| tokens).sum();
            prop_assert_eq!((parts, found.fates.tokens), (exact.fates.tokens, exact.fates.tokens));
            prop_assert!(found.fates.hit <= exact.fates.hit);
            prop_assert!(found.fates.evicted <= exact.fates.evicted);
            prop_assert!(found.fates.expired <= exact.fates.expired);
            prop_assert!(found.fates.rules <= exact.fates.rules);
            prop_assert!(found.fates.cold >= exact.fates.cold);
        }
    }
}

/// A small trace in which each fate occurs.
const TRACE: &str = "\
{\"timestamp\": 0, \"input_length\": 1300, \"hash_ids\": [1, 2, 3], \"session_id\": \"a\", \"user\": 1}
{\"timestamp\": 1000, \"input_length\": 1024, \"hash_ids\": [1, 4], \"session_id\": \"b\", \"user\": 1}
{\"timestamp\": 2000, \"input_length\": 1300, \"hash_ids\": [1, 2, 3], \"session_id\": \"a\", \"user\": 2}
{\"timestamp\": 9000, \"input_length\": 1024, \"hash_ids\": [1, 4], \"session_id\": \"c\", \"user\": 1}
";

fn misses(args: &[&str]) -> Vec<Value> {
    let args = [&["--misses", "-f", "json", "-c", "2", "--ttl", "5s"], args].concat();
    let report: Value = serde_json::from_str(&run("trace-stats", &args, TRACE).ok()).unwrap();
    report["misses"].as_array().unwrap().clone()
}

#[test]
fn every_fate_is_told_in_json() {
    let found = misses(&[]);
    let fates = |row: &Value| {
        ["hit", "cold", "evicted", "expired", "rules", "tokens"].map(|name| row[name].as_u64().unwrap())
    };
    let name = |row: &Value| (row["capacity_blocks"].as_u64(), row["ttl_ms"].as_u64());
    let rows: Vec<_> = found.iter().map(|row| (name(row), fates(row))).collect();
    // The third request finds 1 behind two blocks, so 2 and 3 are gone; the fourth finds all but in five seconds.
    assert_eq!(
        rows,
        [
            ((Some(2), None), [1536, 1812, 1300, 0, 0, 4648]),
            ((Some(2), Some(5000)), [1024, 1812, 788, 1024, 0, 4648]),
            ((None, None), [2836, 1812, 0, 0, 0, 4648]),
            ((None, Some(5000)), [1812, 1812, 0, 1024, 0, 4648]),
        ]
    );
    assert_eq!(found[0]["evicted_last_use"]["median_s"], 2.0);
    let by_engine = misses(&["--hits", "engine"]);
    // Of the last two requests the rest of the partial block and the last block.
    assert_eq!((fates(&by_engine[2])[0], fates(&by_engine[2])[4]), (2048, 788));
}

#[test]
fn sessions_are_named_by_a_field_or_follow_from_prefixes() {
    let known = |args: &[&str]| {
        let row = misses(args)[2].clone();
        [row["same_session"]["hit"].as_u64(), row["other_sessions"]["hit"].as_u64()].map(Option::unwrap)
    };
    // The third request had used 2 and 3 itself; 1 had been used by another session.
    assert_eq!(known(&[]), [788, 2048]);
    assert_eq!(known(&["--session-field", "user"]), [512 + 1024 - 512, 1812]);
    assert_eq!(known(&["--session-field", "nobody"]).iter().sum::<u64>(), 2836);
}

#[test]
fn every_format_has_the_fates() {
    let folder = scratch();
    let trace = write(folder.path(), "trace.jsonl", TRACE);
    let of = |format: &str| {
        run_in(folder.path(), "trace-stats", &["--misses", "-c", "2", "-f", format, &trace], "").ok()
    };
    for (format, text) in [
        ("table", "Fate of Tokens"),
        ("csv", "misses,2,evicted,1300\n"),
        ("csv", "misses_depth,2:256-512,hit,"),
        ("markdown", "| Fate of Tokens | Hit | Evicted | Cold | Tokens |"),
        ("prometheus", "kvtrace_miss_tokens{cache=\"2\",fate=\"evicted\"} 1300\n"),
        ("html", "Why tokens were not served"),
    ] {
        let found = of(format);
        assert!(found.contains(text), "{format}: {found}");
    }
    let by = run("trace-stats", &["--misses", "-c", "2", "--by", "user"], TRACE).ok();
    assert!(by.contains("By user, shares of prompt tokens that are cold, or gone from a cache"), "{by}");
}

#[test]
fn what_does_not_go_with_fates_is_refused_by_name() {
    for args in [
        &["--misses", "--policy", "fifo", "-c", "2"][..],
        &["--misses", "--window", "2req"],
        &["--misses", "--per-request"],
        &["--misses", "--partial"],
        &["--misses", "--approx", "1000"],
        &["--misses", "--ttl", "fixed:5m"],
        &["--session-field", "user"],
    ] {
        let ran = run("trace-stats", args, TRACE);
        assert_eq!(ran.status, Some(2), "{args:?} {}", ran.stderr);
        let name = args[0];
        assert!(ran.stderr.contains(name), "{args:?} {}", ran.stderr);
    }
}

#[test]
fn hits_by_capacity_and_time_to_live_are_those_of_others() {
    let (Some(trace), Some(golden)) =
        (real("traces/conversation_trace.jsonl"), real("golden/conversation.fleet.json"))
    else {
        eprintln!("skipped: the real trace is not here");
        return;
    };
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let args = ["--misses", "-f", "json", "-c", "1000,5000,20000", "--ttl", "10s,60s,300s,3600s"];
    let args = [&args[..], &[trace.to_str().unwrap()]].concat();
    let report: Value = serde_json::from_str(&run("trace-stats", &args, "").ok()).unwrap();
    let rows = report["misses"].as_array().unwrap();
    for expected in golden["ttl"].as_array().unwrap() {
        let same =
            |row: &&Value| ["ttl_ms", "capacity_blocks"].iter().all(|name| row[name] == expected[name]);
        let row = rows.iter().find(same).unwrap();
        assert_eq!(row["hit"], expected["hit_tokens"], "{expected}");
        let sum: u64 = ["hit", "cold", "evicted", "expired", "rules", "elsewhere"]
            .iter()
            .map(|name| row[name].as_u64().unwrap())
            .sum();
        assert_eq!(Some(sum), golden["tokens"].as_u64());
    }
}
