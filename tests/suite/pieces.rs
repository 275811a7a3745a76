//! Pieces of a trace: however it is cut, and in whatever tree its pieces are merged, the figures are those of one
//! run.

use kvtrace::record::Record;
use kvtrace::stats::{Analysis, AnalysisOptions, HitRule, HitUnit, Merger, PartialWriter, Ttl};
use proptest::prelude::*;
use std::path::Path;

use crate::stats::{golden, scattered, small_trace};
use crate::support::{Ran, line, run, run_in, scratch, shell, write as write_file};

const BLOCK: u64 = 4;
const PERCENTILES: [f64; 4] = [0.0, 50.0, 99.0, 100.0];

/// What a request is made of.
#[derive(Clone, Debug)]
struct Drawn {
    /// Steps down a forest, or ids.
    path: Vec<u8>,
    cut: u64,
    time: Option<i64>,
    has_ids: bool,
    recorded: Option<u64>,
    output: Option<u64>,
}

fn drawn(choices: u8, len: usize) -> impl Strategy<Value = Drawn> {
    let path = prop::collection::vec(0..choices, 0..len);
    let rest = (0..6_u64, prop::option::weighted(0.9, -3..20_i64), prop::bool::weighted(0.95));
    (path, rest, prop::option::weighted(0.2, 0..40_u64), prop::option::of(0..9_u64)).prop_map(
        |(path, (cut, time, has_ids), recorded, output)| Drawn { path, cut, time, has_ids, recorded, output },
    )
}

/// The records of requests whose lists of ids are these.
fn records(drawn: &[Drawn], ids: impl Fn(usize, &Drawn) -> Vec<u64>) -> Vec<Record> {
    let mut now = 0;
    let record = |(index, request): (usize, &Drawn)| {
        let hash_ids = if request.has_ids { ids(index, request) } else { Vec::new() };
        // With a cut of 4 or 5 tokens too many, a last partial block has no id.
        let length = hash_ids.len() as u64 * BLOCK;
        let length = if request.cut < BLOCK || hash_ids.is_empty() {
            length.saturating_sub(request.cut)
        } else {
            length + request.cut - 3
        };
        now += request.time.unwrap_or(0);
        Record {
            line: index as u64 + 1,
            timestamp: request.time.map(|_| now as f64),
            input_length: length,
            output_length: request.output,
            cached_tokens: request.recorded.map(|cached| cached.min(length)),
            has_ids: request.has_ids,
            hash_ids,
            ..Record::default()
        }
    };
    drawn.iter().enumerate().map(record).collect()
}

fn name(number: u64, scattered: bool) -> u64 {
    if scattered { number.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { number }
}

/// Paths from the roots of a forest, whose blocks are numbered in the order of first appearance.
fn forest(drawn: &[Drawn], scattered: bool) -> Vec<Record> {
    let numbers = std::cell::RefCell::new(std::collections::HashMap::new());
    records(drawn, |_, request| {
        let n = request.path.len();
        let id = |end: usize| {
            // A partial last block is another block than the full one.
            let partial = if end == n && request.cut < BLOCK { request.cut } else { 0 };
            let mut numbers = numbers.borrow_mut();
            let next = numbers.len() as u64;
            name(*numbers.entry((request.path[..end].to_vec(), partial)).or_insert(next), scattered)
        };
        (1..=n).map(id).collect()
    })
}

/// Any ids, from the request of that number on; before it, those of a forest.
fn no_forest(drawn: &[Drawn], from: usize, scattered: bool) -> Vec<Record> {
    let mut records = forest(drawn, scattered);
    for (record, request) in records.iter_mut().zip(drawn).skip(from).filter(|(record, _)| record.has_ids) {
        record.hash_ids = request.path.iter().map(|&step| name(step.into(), scattered)).collect();
    }
    records
}

/// A path of which one block has been taken out or doubled is enough to be no forest.
fn almost_forest(drawn: &[Drawn], odd: usize, place: usize, scattered: bool) -> Vec<Record> {
    let mut records = forest(drawn, scattered);
    let Some(record) = records.iter_mut().skip(odd).find(|record| record.hash_ids.len() > 1) else {
        return records;
    };
    let place = place % (record.hash_ids.len() - 1);
    record.hash_ids[place] = record.hash_ids[place + 1];
    records
}

fn write(records: &[Record], place: Option<(u32, u32)>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = PartialWriter::new(BLOCK, place, None, &mut out);
    for record in records {
        // Each piece has lines of its own.
        let line = record.line + 1 - records[0].line;
        writer.add(&Record { line, ..record.clone() }, &mut out).unwrap();
    }
    writer.finish(&mut out);
    out
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// One piece of two.
fn join(earlier: &[u8], later: &[u8]) -> Result<Vec<u8>, TestCaseError> {
    let mut merger = Merger::into_piece(None);
    for line in lines(earlier).chain(lines(later)) {
        merger.line(line).map_err(|e| TestCaseError::fail(e.to_string()))?;
    }
    merger.finish_piece().map_err(|e| TestCaseError::fail(e.to_string()))
}

/// How a trace is cut and merged.
#[derive(Clone, Debug)]
struct Tree {
    cuts: Vec<usize>,
    joins: Vec<usize>,
}

fn tree() -> impl Strategy<Value = Tree> {
    let cuts = prop::collection::vec(any::<usize>(), 0..20);
    (cuts, prop::collection::vec(any::<usize>(), 0..20)).prop_map(|(cuts, joins)| Tree { cuts, joins })
}

/// The pieces that are left after some have been joined.
fn pieces(records: &[Record], tree: &Tree, are_numbered: bool) -> Result<Vec<Vec<u8>>, TestCaseError> {
    let mut ends: Vec<usize> = tree.cuts.iter().map(|cut| cut % (records.len() + 1)).collect();
    ends.extend([0, records.len()]);
    ends.sort_unstable();
    let all = ends.len() as u32 - 1;
    let piece = |(pair, index): (&[usize], u32)| {
        write(&records[pair[0]..pair[1]], are_numbered.then_some((index, all)))
    };
    let mut pieces: Vec<_> = ends.windows(2).zip(1..).map(piece).collect();
    for at in &tree.joins {
        if pieces.len() > 1 {
            let at = at % (pieces.len() - 1);
            let later = pieces.remove(at + 1);
            pieces[at] = join(&pieces[at], &later)?;
        }
    }
    Ok(pieces)
}

fn options(blocks: u64, rule: HitRule, warmup: u64, unit: Option<HitUnit>) -> AnalysisOptions {
    let mut options = AnalysisOptions::default();
    options.hit_rule = rule;
    options.hit_unit = unit.unwrap_or_default();
    options.pictures = true;
    if rule == HitRule::Reference {
        let caches = &mut options.caches;
        caches.capacities = (0..=blocks + 2).collect();
        caches.curve = true;
        caches.picture = true;
        caches.targets = vec![0.3, 0.9, 1.0];
        caches.enough = Some(0.9);
        caches.ttls = [0, 5, 30, 100].map(Ttl::Sliding).to_vec();
        caches.warmup = warmup;
    }
    options
}

/// The same as one run, figure by figure.
fn same(records: &[Record], tree: &Tree, options: &AnalysisOptions) -> Result<(), TestCaseError> {
    let mut whole = Analysis::new(BLOCK, options.clone());
    for record in records {
        whole.add(record).unwrap();
    }
    let mut merger = Merger::new(options.clone()).unwrap();
    for piece in pieces(records, tree, true)? {
        for line in lines(&piece) {
            merger.line(line).map_err(|e| TestCaseError::fail(e.to_string()))?;
        }
    }
    let found = merger.finish().unwrap().report(&PERCENTILES);
    prop_assert_eq!(format!("{:?}", found), format!("{:?}", whole.report(&PERCENTILES)));
    Ok(())
}

/// In all ways in which hits are counted.
fn same_in_all_ways(records: &[Record], tree: &Tree, warmup: u64) -> Result<(), TestCaseError> {
    let blocks = records.iter().map(|record| record.hash_ids.len() as u64).sum();
    same(records, tree, &options(blocks, HitRule::Reference, warmup, None))?;
    same(records, tree, &options(blocks, HitRule::Reference, warmup, Some(HitUnit::new(5, 3))))?;
    same(records, tree, &options(blocks, HitRule::Engine, 0, None))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, max_shrink_iters: 1000, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_a_forest_merge_into_one_run(
        drawn in prop::collection::vec(drawn(3, 9), 0..40), scattered in any::<bool>(), tree in tree(), warmup in 0..9_u64,
    ) {
        same_in_all_ways(&forest(&drawn, scattered), &tree, warmup)?;
    }

    #[test]
    fn pieces_of_no_forest_merge_into_one_run(
        drawn in prop::collection::vec(drawn(12, 9), 0..40), from in 0..40_usize, scattered in any::<bool>(),
        tree in tree(), warmup in 0..9_u64,
    ) {
        same_in_all_ways(&no_forest(&drawn, from, scattered), &tree, warmup)?;
    }

    #[test]
    fn pieces_of_almost_a_forest_merge_into_one_run(
        drawn in prop::collection::vec(drawn(2, 7), 0..40), odd in 0..40_usize, place in any::<usize>(),
        scattered in any::<bool>(), tree in tree(), warmup in 0..9_u64,
    ) {
        same_in_all_ways(&almost_forest(&drawn, odd, place, scattered), &tree, warmup)?;
    }

    #[test]
    fn a_piece_of_pieces_is_the_piece_of_all_records(
        drawn in prop::collection::vec(drawn(3, 9), 1..40), scattered in any::<bool>(), mut tree in tree(),
    ) {
        let records = forest(&drawn.iter().cloned().map(|request| Drawn { time: Some(1), ..request }).collect::<Vec<_>>(), scattered);
        tree.joins.extend([0; 20]);
        let joined = pieces(&records, &tree, false)?.concat();
        let whole = write(&records, None);
        prop_assert_eq!(String::from_utf8_lossy(&joined), String::from_utf8_lossy(&whole));
    }
}

/// The states of consecutive pieces of a trace.
fn pieces_of(trace: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = trace.lines().collect();
    let size = lines.len().div_ceil(count);
    let cut: Vec<String> = lines.chunks(size).map(|chunk| chunk.join("\n")).collect();
    let n = cut.len();
    let state = |(i, piece): (usize, &String)| {
        run("trace-stats", &["--partial", "--piece", &format!("{}/{n}", i + 1)], piece).ok()
    };
    cut.iter().enumerate().map(state).collect()
}

fn merge(states: &[&str]) -> Ran {
    run("trace-stats", &["--merge", "-f", "json"], states.concat())
}

#[test]
fn pieces_merge_into_the_bytes_of_one_run() {
    let largest = line(0, 1024, 1, &[u64::MAX, u64::MAX - 1]).repeat(3);
    let mut traces = vec![small_trace(), scattered(&small_trace()), largest];
    traces.extend(golden().map(|(trace, _)| trace));
    for trace in traces {
        let whole = run("trace-stats", &["-f", "json"], &trace).ok();
        for count in [1, 2, 7, 100] {
            let states = pieces_of(&trace, count);
            let states: Vec<&str> = states.iter().map(String::as_str).collect();
            assert_eq!(merge(&states).ok(), whole, "{count} pieces");
        }
    }
}

#[test]
fn a_range_of_numbered_pieces_has_a_report_of_its_own() {
    let folder = scratch();
    let trace = small_trace();
    let files: Vec<String> = pieces_of(&trace, 5)
        .into_iter()
        .zip(1..)
        .map(|(text, i): (_, u32)| write_file(folder.path(), &format!("{i}.part"), text))
        .collect();
    let merged = |range: &str, files: &[&String]| {
        let files = files.iter().map(|file| file.as_str());
        run("trace-stats", &["--merge", "-f", "json", range].into_iter().chain(files).collect::<Vec<_>>(), "")
    };
    let [_, b, c, d, e] = &files[..] else { panic!() };
    let of_three = merged("--piece=2-4/5", &[b, c, d]);
    let unnumbered: Vec<String> = [b, c, d]
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let (head, rest) = text.split_once('\n').unwrap();
            format!("{}}}\n{rest}", &head[..head.find(",\"piece\"").unwrap()])
        })
        .collect();
    let unnumbered: Vec<&str> = unnumbered.iter().map(String::as_str).collect();
    assert_eq!(of_three.ok(), merge(&unnumbered).ok());
    for (range, files, message) in [
        ("--piece=2-4/5", &[b, c][..], "the last piece is 3 of 5"),
        ("--piece=2-4/5", &[c, d], "piece 3 of 5 where piece 2 was expected"),
        ("--piece=2-4/5", &[b, c, d, e], "piece 5 of 5 is not among those that are wanted"),
        ("--piece=2-4/6", &[b, c, d], "piece 2 of 5 is not among those that are wanted"),
        ("--piece=2-3/5", &[b, d], "piece 4 of 5 "),
        (
            "-p50",
            &[b, c, d, e],
            "piece 2 of 5 where piece 1 was expected (--piece names the pieces that are wanted)",
        ),
    ] {
        let ran = merged(range, files);
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""), "{message}");
        assert!(ran.stderr.contains(message), "{}: {message}", ran.stderr);
    }
    let empty = write_file(folder.path(), "0.part", "");
    let ran = merged("-p50", &[&empty, b]);
    assert!(
        ran.status == Some(1) && ran.stderr.contains("0.part: an empty file is no piece"),
        "{}",
        ran.stderr
    );
    for wrong in [&["--piece=2-4/5"][..], &["--partial", "--piece=2-4/5"], &["--merge", "--piece=4-2/5"]] {
        assert_eq!(run("trace-stats", wrong, "").status, Some(2), "{wrong:?}");
    }
}

#[test]
fn pieces_that_do_not_fit_are_refused() {
    let states = pieces_of(&small_trace(), 3);
    let [a, b, c] = &states[..] else { panic!() };
    let other = run("trace-stats", &["--partial", "-b", "16", "--piece", "2/3"], "").ok();
    let unnumbered = run("trace-stats", &["--partial"], "").ok();
    let cut = &b[..=b[..b.len() - 2].rfind('\n').unwrap()];
    let lost = cut.lines().skip(2).fold(format!("{}\n", cut.lines().next().unwrap()), |s, l| s + l + "\n");
    let lost = lost + b.lines().last().unwrap() + "\n";
    for (wrong, message) in [
        (&[&**b, c][..], "piece 2 of 3 where piece 1 was expected"),
        (&[a, c], "piece 3 of 3 after piece 1 of 3"),
        (&[a, b], "the last piece is 2 of 3"),
        (&[a, b, b], "piece 2 of 3 after piece 2 of 3"),
        (&[a, &other, c], "block size 16 differs from 512"),
        (&[a, &unnumbered], "numbered and unnumbered pieces"),
        (&[a, b, &c[..c.find("\n[").unwrap() + 9]], "not a row of a piece"),
        (&[a, cut, c], "expected the last line of a piece"),
        (&[a, &lost, c], "according to its last line"),
        (&[a, b, &c[..c.rfind("{\"requests").unwrap()]], "the last piece is cut off"),
        (&[&small_trace()], "expected the first line of a piece"),
        (&["{\"kvtrace_partial\":1,\"block_size\":512}\n"], "version 1 of a piece"),
        (&[a, b, c, "junk\n"], "expected the first line of a piece"),
    ] {
        let ran = merge(wrong);
        assert_eq!((ran.status, &*ran.stdout), (Some(1), ""), "{message}");
        assert!(ran.stderr.contains(message), "{}: {message}", ran.stderr);
    }
    let (early, late) = (line(0, 512, 1, &[0]), line(9, 512, 1, &[0]));
    let state = |trace: &str| run("trace-stats", &["--partial"], trace).ok();
    let ran = merge(&[&state(&late), &state(&early)]);
    assert!(ran.stderr.contains("pieces must be merged in order"), "{}", ran.stderr);
}

#[test]
fn rows_that_contradict_themselves_are_refused() {
    let header = "{\"kvtrace_partial\":4,\"block_size\":512}\n";
    for (row, message) in [
        ("[512]", "not a row"),
        ("[512,1,0,2]", "do not fit"),
        ("[0,1,0,1]", "do not fit"),
        ("[512,1,0,[0,1]]", "do not fit"),
        ("[1024,1,0,[0,1],null,[1,0]]", "do not fit"),
        ("[1024,1,0,1]", "used blocks do not fit"),
        ("[512,1,0,1,[0,1]]", "used blocks do not fit"),
        ("[2048,1,0,1,[0,1,4,9,1]]", "used blocks do not fit"),
        ("[1024,1,0,1,[0,1,1]]", "expected a distance"),
        ("[1024,1,0,[0],[0,1],[2]]", "do not fit"),
        ("[1024,1,0,1,[0,1],[0,1]]", "do not fit"),
        ("[1024,1,0,[[0,5]]]", "do not fit"),
        ("[1024,1,0,[[18446744073709551615,2]]]", "passes 64 bits"),
        ("[-1,1,0]", "not a row"),
        ("[99999999999999999,1,0]", "not a plausible"),
        ("[512,1,[1e99],1]", "not a plausible"),
        ("[512,1,1.5,1]", "expected whole milliseconds since the row before, or a timestamp in brackets"),
        ("[512,1,0,[{}]]", "not a row"),
        ("[512,1,0,{}]", "expected a number of new ids, or a list"),
        ("[512,1,0,1,null,[0],7]", "not a row"),
        ("[512,1,0,[[0,0]]]", "empty"),
    ] {
        let ran = merge(&[header, row, "\n{\"requests\":1,\"repeated\":[],\"restarted\":[]}\n"]);
        assert_eq!(ran.status, Some(1), "{row}: {}", ran.stdout);
        assert!(ran.stderr.contains(message), "{row}: {}", ran.stderr);
    }
    for numbers in ["[0]", "[0,5]", "[5,1]", "[4294967295,4294967295]"] {
        let triples = numbers.replace(']', ",0]").replace("[0,0]", "[0]");
        for lists in [
            format!("\"repeated\":{triples},\"restarted\":[]"),
            format!("\"repeated\":[],\"restarted\":{}", numbers.replace("[0,5]", "[0,1,0,1]")),
        ] {
            let ran = merge(&[header, "[512,1,0,1]\n", &format!("{{\"requests\":1,{lists}}}\n")]);
            assert!(ran.stderr.contains("repeated"), "{lists}: {}", ran.stderr);
        }
    }
}

#[test]
fn what_pieces_do_not_hold_is_refused_by_name() {
    for (args, reason) in [
        ("--partial --curve", "--partial writes no report"),
        ("--piece 1/2", "--piece goes with --partial"),
        ("--merge --partial --piece 1/2", "leave out --piece"),
        ("--merge -c 5 --policy fifo", "give --policy to a run over the whole trace"),
        ("--merge -c 5 --warmup 0.1", "give --warmup a number"),
        ("--merge -c 5 --hits engine", "give --hits engine to a run over the whole trace"),
        ("--merge --ttl fixed:5m", "give --ttl fixed: to a run over the whole trace"),
        ("--merge --replicas 2 -c 5", "route with trace-cat --route"),
        ("--merge --tiers hbm=5,dram=10", "route with trace-cat --route"),
        ("--merge --misses -c 5", "pieces hold no sessions"),
        ("--merge --partial --by tenant", "leave out --by"),
        ("--merge --top 5", "pieces hold only those blocks"),
        ("--merge --approx 1000", "pieces hold no sample"),
        ("--merge --every 5req", "at the end of each piece"),
        ("--merge --per-request", "in one run"),
    ] {
        let ran = run("trace-stats", &args.split(' ').collect::<Vec<_>>(), "");
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{args}: {}", ran.stderr);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&ran.stderr).contains(&words(reason)), "{args}: {}", ran.stderr);
    }
}

/// All that is said of the trace, in each way in which it is written.
const WAYS: &[&str] = &[
    "-f json -c 10,1000,20000 --curve --target 50%,0.9 --ttl 60s,600s --warmup 100",
    "-f json -c 1GB --kv-bytes-per-token 1024 --price input=3,cached=0.3 --min-hit 1024 --hit-step 128",
    "-c 1000",
    "--plot",
    "-f csv --curve --ttl 5m",
    "-f markdown --target 0.5",
    "-f prometheus -c 1000",
    "-f svg",
    "-w 100req -c 50,500",
    "-w 90s --curve -f csv",
    "--hits engine --hit-unit 1024 -f json",
    "-f json --hits engine",
];

/// Merges the files in every tree of two levels.
fn same_in_trees(folder: &Path, trace: &str, names: &[String]) {
    for way in WAYS {
        let stats =
            |files: &str, more: &str| shell(folder, &format!("cat {files} | trace-stats {way} {more}"));
        let whole = stats(trace, "");
        let all = names.join(" ");
        let merged = stats(&all, "--merge");
        assert_eq!((&merged.stdout, merged.status), (&whole.stdout, Some(0)), "{way}: {}", merged.stderr);
        for at in 1..names.len() {
            let (early, late) = names.split_at(at);
            let join = format!(
                "cat {} | trace-stats --merge --partial > early; \
                trace-stats --merge --partial {} -o late; cat early late | trace-stats {way} --merge",
                early.join(" "),
                late.join(" ")
            );
            let ran = shell(folder, &join);
            assert_eq!((&ran.stdout, ran.status), (&whole.stdout, Some(0)), "{way}: {at}: {}", ran.stderr);
        }
    }
}

#[test]
fn every_way_of_reporting_on_pieces_is_that_of_one_run() {
    let folder = scratch();
    let trace = scattered(&small_trace());
    write_file(folder.path(), "trace", &trace);
    let names: Vec<String> = pieces_of(&trace, 3)
        .iter()
        .enumerate()
        .map(|(i, state)| {
            let name = format!("{i}.part");
            write_file(folder.path(), &name, state);
            name
        })
        .collect();
    same_in_trees(folder.path(), "trace", &names);
}

#[test]
fn groups_of_pieces_are_those_of_one_run() {
    let folder = scratch();
    let mut trace = String::new();
    for (i, line) in small_trace().lines().enumerate() {
        let field = match i * i % 11 {
            0 | 5 => String::new(),
            n if i < 100 => format!(", \"tenant\": \"t{}\"", n % 4),
            n => format!(", \"tenant\": {n}.0"),
        };
        trace += &format!("{}{field}}}\n", line.strip_suffix('}').unwrap());
    }
    let cut: Vec<&str> = trace.lines().collect();
    let mut names = Vec::new();
    for (i, piece) in cut.chunks(cut.len() / 4 + 1).enumerate() {
        let place = format!("{}/4", i + 1);
        let state =
            run("trace-stats", &["--partial", "--by", "tenant", "--piece", &place], piece.join("\n")).ok();
        names.push(write_file(folder.path(), &format!("{i}.part"), state));
    }
    write_file(folder.path(), "trace", &trace);
    let names = names.join(" ");
    for way in [
        "-f json -c 50,500 --curve --ttl 60s --by tenant",
        "--by tenant",
        "-f prometheus --by tenant",
        "-f json",
    ] {
        let whole = shell(folder.path(), &format!("trace-stats -q {way} trace")).ok();
        let all = shell(folder.path(), &format!("trace-stats -q {way} --merge {names}")).ok();
        assert_eq!(all, whole, "{way}");
        let [a, b, c, d] = names.split(' ').collect::<Vec<_>>()[..] else { panic!() };
        let tree = format!(
            "trace-stats --merge --partial {b} {c} -o middle; trace-stats --merge --partial middle {d} -o late; \
             trace-stats -q {way} --merge {a} late"
        );
        assert_eq!(shell(folder.path(), &tree).ok(), whole, "{way}");
    }
    let first = names.split(' ').next().unwrap();
    for (line, reason) in [
        (format!("trace-stats --merge --by other {names}"), "the pieces have groups by \"tenant\""),
        (
            "trace-stats --partial trace | trace-stats --merge --by tenant".to_owned(),
            "the pieces have no groups",
        ),
        (format!("(cat {first}; trace-stats --partial trace) | trace-stats --merge"), "by different fields"),
        (format!("sed '/\"group\":\"t3\"/Q' {first} | trace-stats --merge"), "a group of a piece is missing"),
        (format!("sed '1,/^{{\"requests/d' {first} | trace-stats --merge"), "a group of no piece"),
    ] {
        let ran = shell(folder.path(), &line);
        assert_eq!(ran.status, Some(1), "{line}");
        assert!(ran.stderr.contains(reason), "{line}: {}", ran.stderr);
    }
    let many: String = (0..101).map(|i| format!("{{\"input_length\": 1, \"tenant\": {i}}}\n")).collect();
    let ran = run("trace-stats", &["--partial", "--by", "tenant"], many);
    assert!(ran.stderr.contains("--by: more than 100 values"), "{}", ran.stderr);
}

#[test]
fn real_traces_have_their_curve_from_pieces() {
    let Some((trace, _)) = golden() else { return };
    let folder = scratch();
    write_file(folder.path(), "trace", &trace);
    let options = "-f json -c 1000,10000 --curve --target 0.9 --ttl 60s,1h";
    let whole = shell(folder.path(), &format!("trace-stats {options} trace")).ok();
    for count in [2, 20] {
        let ran = shell(
            folder.path(),
            &format!(
                "split -n l/{count} trace piece.; for piece in piece.*; do trace-stats -q --partial $piece > $piece.part; done; \
             ls piece.*.part | xargs -n 3 sh -c 'trace-stats --merge --partial \"$@\" -o $1.joined' join; \
             trace-stats {options} --merge piece.*.joined; rm piece.*"
            ),
        );
        assert_eq!(ran.ok(), whole, "{count} pieces");
    }
}

#[test]
fn a_row_that_uses_what_its_piece_does_not_have_is_refused() {
    let header = "{\"kvtrace_partial\":4,\"block_size\":512}\n";
    for (rows, end, message) in [
        ("[1024,1,0,1,[0,1]]\n", "", "more than its piece has had"),
        ("[512,1,0,1]\n[1024,1,0,1,[1,1]]\n", "", "more than its piece has had"),
        ("[512,1,0,1]\n[1024,1,0,1,[0,2]]\n", "", "more than its piece has had"),
        ("[512,1,0,1]\n[512,1,0,0,[0,0]]\n", "", "more than its piece has had"),
        ("[512,1,0,[7]]\n[512,1,0,[7]]\n", "", "has had before"),
        ("[1024,1,0,[7,7]]\n", "", "has had before"),
        ("[512,1,0,1]\n", "[0,1,1]", "later than the piece ends"),
        ("[512,1,0,1]\n", "[0,1,4294967295]", "later than the piece ends"),
        ("[512,1,0,1]\n", "[0,1,0],\"order\":[0,2]", "order: expected all"),
        ("[512,1,0,1]\n", "[0,1,0],\"order\":[1,1]", "order: expected all"),
        ("[512,1,0,1]\n", "[0,1,0],\"order\":[4294967295,2]", "passes 32 bits"),
    ] {
        let repeated = if end.is_empty() { "[]" } else { end };
        let requests = rows.lines().count();
        let end = format!(
            "{{\"requests\":{requests},\"repeated\":{},\"restarted\":[]{}}}\n",
            repeated.split(",\"order").next().unwrap(),
            repeated.find(",\"order").map_or("", |at| &repeated[at..])
        );
        for mode in [&["--merge", "--curve"][..], &["--merge", "--partial"]] {
            let ran = run("trace-stats", mode, format!("{header}{rows}{end}"));
            assert_eq!(ran.status, Some(1), "{rows}{end}: {}", ran.stdout);
            assert!(ran.stderr.contains(message), "{rows}{end}: {}", ran.stderr);
        }
    }
}

#[test]
fn an_empty_piece_stands_anywhere_whatever_the_block_size() {
    let folder = scratch();
    let path = folder.path();
    let half = |from: u64| {
        (from..from + 9).map(|i| line(i * 1000, 40, 2, &[i % 3, i + 10, i + 100])).collect::<String>()
    };
    for (name, trace) in [("a", half(0)), ("e", String::new()), ("b", half(9))] {
        write_file(path, name, trace);
        let size: &[&str] = if name == "e" { &[] } else { &["-b", "16"] };
        run_in(path, "trace-stats", &[size, &["--partial", "-o", &format!("{name}.p"), name]].concat(), "")
            .ok();
    }
    let whole = run_in(path, "trace-stats", &["-b", "16", "--curve", "-f", "json", "a", "b"], "").ok();
    for order in [["e.p", "a.p", "b.p"], ["a.p", "e.p", "b.p"], ["a.p", "b.p", "e.p"]] {
        let merged =
            run_in(path, "trace-stats", &[&["--merge", "--curve", "-f", "json"][..], &order].concat(), "");
        assert_eq!(merged.ok(), whole, "{order:?}");
        run_in(path, "trace-stats", &[&["--merge", "--partial", "-o", "t.p"][..], &order[..2]].concat(), "")
            .ok();
        let tree =
            run_in(path, "trace-stats", &["--merge", "--curve", "-f", "json", "t.p", order[2]], "").ok();
        assert_eq!(tree, whole, "{order:?}");
    }
    run_in(path, "trace-stats", &["--merge", "--partial", "-o", "t.p", "e.p", "e.p"], "").ok();
    let none = run_in(path, "trace-stats", &["--merge", "-f", "json", "t.p"], "");
    assert!(none.ok().contains("\"requests\": 0"));
}

#[test]
fn a_piece_that_is_merged_twice_is_told() {
    const SAID: &str = "has the same requests with the same blocks as piece";
    let folder = scratch();
    let piece = |name: &str, trace: &str, args: &[&str]| {
        let text = run("trace-stats", &[&["--partial"], args].concat(), trace).ok();
        write_file(folder.path(), name, text)
    };
    let first: String = (0..9).map(|i| line(0, 600, i, &[0, 2 * i + 1])).collect();
    let (a, b) = (piece("a", &first, &[]), piece("b", &line(0, 600, 3, &[0, 50]), &[]));
    let merge = |args: &[&str], pieces: &[&String]| {
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.as_str()).collect();
        run("trace-stats", &[&["--merge"], args, &pieces[..]].concat(), "")
    };
    let twice = merge(&[], &[&a, &b, &a]);
    assert!(
        twice.status == Some(0)
            && twice.stderr.contains(&format!("piece 3 in the order of merging {SAID} 1:"))
    );
    let more = merge(&["--partial"], &[&a, &b, &b, &a]);
    assert!(
        more.stderr.contains(&format!("piece 3 in the order of merging {SAID} 2, and 1 more")),
        "{}",
        more.stderr
    );
    // The same lengths with other blocks, and no requests at all.
    let other = piece("c", &line(0, 600, 3, &[0, 51]), &[]);
    let empty = piece("d", "", &[]);
    for pieces in [&[&a, &b][..], &[&b, &other], &[&empty, &a, &empty, &empty]] {
        assert!(!merge(&[], pieces).stderr.contains(SAID));
    }
    let by = piece("e", &first.replace('}', ", \"m\": 1}"), &["--by=m"]);
    assert_eq!(merge(&["--by=m"], &[&by, &by]).stderr.matches(SAID).count(), 1);
    let numbered = piece("f", &first, &["--piece=1/2"]);
    assert_eq!(merge(&[], &[&numbered, &numbered]).status, Some(1));
}

#[test]
fn pieces_that_were_hashed_one_by_one_are_told() {
    const SAID: &str = "the first piece and another each number their blocks 0, 1, 2, ...";
    let folder = scratch();
    let requests = |seed: u64| -> Vec<String> {
        (0..30)
            .map(|i| {
                let new = 1 + i * 2;
                line(seed + i, 1536, 1, &[0, new, new + 1])
            })
            .collect()
    };
    let merged = |parts: &[String]| {
        let pieces: Vec<String> = (0..)
            .zip(parts)
            .map(|(i, part): (u32, _)| {
                let text = run("trace-stats", &["--partial"], part).ok();
                write_file(folder.path(), &i.to_string(), text)
            })
            .collect();
        let args: Vec<&str> = ["--merge"].into_iter().chain(pieces.iter().map(String::as_str)).collect();
        run("trace-stats", &args, "")
    };
    // Each from zero, and one trace that was cut.
    let apart = merged(&[
        requests(0).concat(),
        requests(100).concat().replace("\"output_length\": 1", "\"output_length\": 2"),
    ]);
    assert!(apart.stderr.contains(SAID), "{}", apart.stderr);
    let whole = requests(0);
    let cut = merged(&[whole[..15].concat(), whole[15..].concat()]);
    assert!(!cut.stderr.contains(SAID), "{}", cut.stderr);
}
