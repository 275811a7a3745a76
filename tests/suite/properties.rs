//! Properties of the filters as a whole: models written to be obviously right, and changes to the
//! input that must change nothing in the output, or something that is known.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use crate::support::naive::{self, Request};
use crate::support::{run, run_in, scratch, zstd};
use proptest::prelude::*;
use serde_json::Value;

const BLOCK: u64 = 4;

/// One record of a trace.
#[derive(Clone, Debug)]
struct Row {
    time: Option<u64>,
    input: u64,
    output: Option<u64>,
    ids: Option<Vec<u64>>,
}

impl Row {
    fn text(&self) -> String {
        let time = self.time.map_or_else(String::new, |time| format!("\"timestamp\": {time}, "));
        let output = self.output.map_or_else(String::new, |output| format!(", \"output_length\": {output}"));
        let ids = self.ids.as_ref().map_or_else(String::new, |ids| format!(", \"hash_ids\": {ids:?}"));
        format!("{{{time}\"input_length\": {}{output}{ids}}}\n", self.input)
    }

    /// The same record in other words: names, order and form of its fields as the bits of `style` say.
    fn restyled(&self, style: u32) -> String {
        let on = |bit: u32| style >> bit & 1 == 1;
        let pick = |bit, a: &str, b: &str| if on(bit) { a.to_owned() } else { b.to_owned() };
        let space = [" ", "", "\t", "  "][style as usize >> 8 & 3];
        let point = if on(7) { ".0" } else { "" };
        // Alone, the other name is that of a figure.
        let is_record = self.time.is_some() || self.ids.is_some();
        let input = if is_record { pick(0, "input_tokens", "input_length") } else { "input_length".into() };
        let mut fields = vec![(input, format!("{}{point}", self.input))];
        fields
            .extend(self.output.map(|n| (pick(1, "output_tokens", "output_length"), format!("{n}{point}"))));
        fields.extend(self.time.map(|t| (pick(2, "created_time", "timestamp"), format!("{t}{point}"))));
        fields.extend(self.ids.as_ref().map(|ids| {
            let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
            ("hash_ids".into(), format!("[{space}{}{space}]", ids.join(&format!("{space},{space}"))))
        }));
        if on(3) {
            fields.push(("x\\u0020\u{e9}".into(), r#"{"hash_ids": [7, "}"], "n": null}"#.into()));
        }
        if self.output.is_none() && on(4) {
            fields.push(("output_length".into(), "null".into()));
        }
        let turn = style as usize >> 10 & 3;
        let len = fields.len();
        fields.rotate_left(turn % len);
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}")).collect();
        let end = ["\n", "\r\n", "\n\n", " \n"][style as usize >> 12 & 3];
        format!("{space}{{{space}{}{space}}}{end}", fields.join(&format!("{space},{space}")))
    }
}

/// A trace that mostly is a forest: a path of small choices, the tokens that its last block lacks, and
/// what else a record has.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let path = prop::collection::vec(0..3_u8, 0..7);
    let row = (
        path,
        0..BLOCK,
        prop::option::weighted(0.9, 0..50_u64),
        prop::option::weighted(0.9, 0..400_u64),
        0..12_u8,
    );
    prop::collection::vec(row, 1..40).prop_map(|rows| {
        let mut numbers = HashMap::new();
        rows.into_iter()
            .map(|(path, cut, output, time, odd)| {
                let cut = if path.is_empty() { 0 } else { cut };
                let mut ids = Vec::new();
                for end in 1..=path.len() {
                    let partial = if end == path.len() { cut } else { 0 };
                    let next = numbers.len() as u64;
                    ids.push(*numbers.entry((path[..end].to_vec(), partial)).or_insert(next));
                }
                // Now and then a block stands under another parent, or there are no ids at all.
                if odd == 0 && ids.len() > 1 {
                    ids.rotate_left(1);
                }
                let input = path.len() as u64 * BLOCK - cut;
                Row { time, input, output, ids: (odd != 1).then_some(ids) }
            })
            .collect()
    })
}

fn text(rows: &[Row]) -> String {
    rows.iter().map(Row::text).collect()
}

/// The trace with the size of its blocks in each line that has ids, as filters state it if it is not 512.
fn stating(trace: &str, size: u64) -> String {
    let stated = |line: &str| {
        let (before, rest) = line.split_once("\"input_length\": ").unwrap();
        let end = rest.find([',', '}']).unwrap();
        format!("{before}\"input_length\": {}, \"block_size\": {size}{}\n", &rest[..end], &rest[end..])
    };
    let has_ids = |line: &str| line.contains("\"hash_ids\"");
    trace.lines().map(|line| if has_ids(line) { stated(line) } else { format!("{line}\n") }).collect()
}

/// Another name for each id.
fn renamed(rows: &[Row], key: u64) -> Vec<Row> {
    let name = |id: &u64| match key % 3 {
        // Scattered, with gaps, backwards.
        0 => id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key,
        1 => id * 7 + id / 5 * 1000,
        _ => u64::MAX - id,
    };
    let mut rows = rows.to_vec();
    for row in &mut rows {
        row.ids = row.ids.as_ref().map(|ids| ids.iter().map(name).collect());
    }
    rows
}

const STATS: &[&str] =
    &["-b4", "-q", "-fjson", "--curve", "--capacity=3,17", "--policy=lru,fifo,lfu,opt", "--warmup=2"];

fn stats(input: impl AsRef<[u8]>) -> String {
    run("trace-stats", STATS, input).ok()
}

fn figures(input: &str) -> Value {
    serde_json::from_str(&run("trace-stats", &["-b4", "-q", "-fjson"], input).ok()).unwrap()
}

/// Writes `text` cut before the given lines into files, each compressed in another way.
fn split(folder: &Path, text: &str, cuts: &[usize]) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (lines.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(lines.len());
    let mut start = 0;
    let mut names = Vec::new();
    for (i, end) in cuts.into_iter().enumerate() {
        let part: String = lines[start..end].iter().map(|line| format!("{line}\n")).collect();
        start = end;
        let bytes = match i % 3 {
            0 => part.into_bytes(),
            // Two members, as of files that were joined.
            1 => [&part[..part.len() / 2], &part[part.len() / 2..]].map(gzip).concat(),
            _ => zstd(part.as_bytes()),
        };
        names.push(format!("part{i}"));
        std::fs::write(folder.join(&names[i]), bytes).unwrap();
    }
    names
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn names_words_files_and_compression_change_no_figure(
        rows in rows(), key in any::<u64>(), styles in prop::collection::vec(any::<u32>(), 40),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let plain = text(&rows);
        let expected = stats(&plain);
        prop_assert_eq!(&stats(text(&renamed(&rows, key))), &expected, "other ids");
        let restyled: String = rows.iter().zip(&styles).map(|(row, &style)| row.restyled(style)).collect();
        prop_assert_eq!(&stats(&restyled), &expected, "other words: {}", restyled);
        prop_assert_eq!(&stats(gzip(&restyled)), &expected, "compressed");
        prop_assert_eq!(&stats(format!("\u{feff}{}", plain.trim_end())), &expected, "mark and no end");
        let folder = scratch();
        let names = split(folder.path(), &plain, &cuts);
        let args: Vec<&str> = STATS.iter().copied().chain(names.iter().map(String::as_str)).collect();
        prop_assert_eq!(&run_in(folder.path(), "trace-stats", &args, "").ok(), &expected, "files");
        let joined = run_in(folder.path(), "trace-cat",
            &["-b4", "-q", "--ids-scope=shared"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>(), "").ok();
        prop_assert_eq!(&joined, &stating(&plain, BLOCK), "joined");
        // Pieces, and figures that can be merged.
        let whole = run("trace-stats", &["-b4", "-q", "-fjson"], &plain).ok();
        let mut pieces = String::new();
        for (i, name) in names.iter().enumerate() {
            let piece = format!("--piece={}/{}", i + 1, names.len());
            pieces += &run_in(folder.path(), "trace-stats", &["-b4", "--partial", &piece, name], "").ok();
        }
        prop_assert_eq!(&run("trace-stats", &["--merge", "-q", "-fjson"], &pieces).ok(), &whole, "merged");
    }

    #[test]
    fn twice_the_trace_is_known_the_second_time(rows in rows()) {
        let (once, twice) = (figures(&text(&rows)), figures(&text(&rows).repeat(2)));
        let number = |figures: &Value, name: &str| figures[name].as_u64().unwrap_or(0);
        for name in ["requests", "blocks", "input_tokens", "output_tokens"] {
            prop_assert_eq!(number(&twice, name), 2 * number(&once, name), "{}", name);
        }
        prop_assert_eq!(number(&twice, "unique_blocks"), number(&once, "unique_blocks"));
        prop_assert_eq!(number(&twice, "shared_blocks"), number(&once, "unique_blocks"));
        let with_ids: u64 = rows.iter().filter(|row| row.ids.is_some()).map(|row| row.input).sum();
        prop_assert_eq!(number(&twice, "cached_tokens"), number(&once, "cached_tokens") + with_ids);
        // All blocks are shared now, so nothing is unique.
        if let Some(unique) = twice["unique_prompt_length"].as_object() {
            prop_assert_eq!((&unique["min"], &unique["max"]), (&0.0.into(), &0.0.into()));
        }
    }

    #[test]
    fn the_order_of_requests_changes_no_figure_of_the_whole(rows in rows(), turn in any::<usize>()) {
        let mut other = rows.clone();
        other.rotate_left(turn % rows.len());
        other.reverse();
        let (a, b) = (figures(&text(&rows)), figures(&text(&other)));
        for name in ["requests", "blocks", "unique_blocks", "shared_blocks", "prefix_groups", "input_tokens",
            "output_tokens", "input_length", "output_length", "context_length", "unique_prompt_length"] {
            prop_assert!(!a[name].is_null() || name.ends_with("length"), "{} is no figure", name);
            let close = |x: &Value, y: &Value| match (x.as_f64(), y.as_f64()) {
                (Some(x), Some(y)) => (x - y).abs() <= 1e-9 * x.abs().max(1.0),
                _ => x == y,
            };
            match a[name].as_object() {
                Some(map) => for (key, value) in map {
                    prop_assert!(close(value, &b[name][key]), "{}.{}: {} {}", name, key, value, b[name][key]);
                },
                None => prop_assert_eq!(&a[name], &b[name], "{}", name),
            }
        }
    }

    #[test]
    fn renumbered_ids_do_not_depend_on_what_they_were(rows in rows(), key in any::<u64>()) {
        let renumber = |text: &str| run("trace-cat", &["-b4", "-q", "--renumber"], text).ok();
        let dense = renumber(&text(&rows));
        prop_assert_eq!(&renumber(&text(&renamed(&rows, key))), &dense);
        prop_assert_eq!(&renumber(&dense), &dense);
        let mut numbers = HashMap::new();
        let mut model = rows.clone();
        for id in model.iter_mut().filter_map(|row| row.ids.as_mut()).flatten() {
            let next = numbers.len() as u64;
            *id = *numbers.entry(*id).or_insert(next);
        }
        prop_assert_eq!(&dense, &stating(&text(&model), BLOCK));
        // Hashes are other names too.
        let hashed = run("trace-cat", &["-b4", "-q", "--anonymize", "--salt=s"], text(&rows)).ok();
        prop_assert_eq!(stats(hashed), stats(dense));
    }

    #[test]
    fn coarse_blocks_are_those_of_the_definition(rows in rows(), factor in 1..6_u64, again in 1..4_u64) {
        let reblock = |text: &str, from: u64, to: u64| {
            run("trace-cat", &["-q", &format!("-b{from}"), &format!("--reblock={to}")], text).ok()
        };
        let coarse = reblock(&text(&rows), BLOCK, BLOCK * factor);
        let mut model = rows.clone();
        for row in &mut model {
            let last = |chunk: &[u64]| *chunk.last().unwrap();
            row.ids = row.ids.as_ref().map(|ids| ids.chunks(factor as usize).map(last).collect());
        }
        prop_assert_eq!(&coarse, &stating(&text(&model), BLOCK * factor));
        let (step, both) = (BLOCK * factor, BLOCK * factor * again);
        prop_assert_eq!(reblock(&coarse, step, both), reblock(&text(&rows), BLOCK, both));
    }

    #[test]
    fn what_is_learnt_depends_neither_on_names_nor_on_words(
        rows in rows(), key in any::<u64>(), styles in prop::collection::vec(any::<u32>(), 40), tree in any::<bool>(),
    ) {
        let model: &[&str] = if tree { &["--model=tree"] } else { &["--model=sessions", "--min-count=1"] };
        let folder = scratch();
        let synth = |input: &str| {
            let args = [&["-b4", "-q", "-n60", "--seed=3", "--save-model=m"][..], model].concat();
            run_in(folder.path(), "trace-synth", &args, input).ok()
        };
        let expected = synth(&text(&rows));
        let saved = std::fs::read(folder.path().join("m")).unwrap();
        prop_assert_eq!(&synth(&text(&renamed(&rows, key))), &expected);
        let restyled: String = rows.iter().zip(&styles).map(|(row, &style)| row.restyled(style)).collect();
        prop_assert_eq!(&synth(&restyled), &expected);
        prop_assert_eq!(std::fs::read(folder.path().join("m")).unwrap(), saved);
        let loaded = run_in(folder.path(), "trace-synth", &["-n60", "--seed=3", "--model-file=m"], "").ok();
        prop_assert_eq!(&loaded, &expected);
        let checked = run("trace-cat", &["-b4", "--check"], &expected).ok();
        prop_assert!(checked.contains("\"valid\": true"), "{}", checked);
    }
}

/// The requests of prompts, by definition: a block is known by all tokens up to its end.
fn hashed(prompts: &[Vec<u32>], size: usize, keep: bool) -> Vec<Row> {
    let mut numbers = HashMap::new();
    let row = |prompt: &Vec<u32>| {
        let full = prompt.len() / size * size;
        let end = if keep { prompt.len() } else { full };
        let mut ids = Vec::new();
        for start in (0..end).step_by(size) {
            let next = numbers.len() as u64;
            ids.push(*numbers.entry(prompt[..(start + size).min(end)].to_vec()).or_insert(next));
        }
        Row { time: None, input: prompt.len() as u64, output: None, ids: Some(ids) }
    };
    prompts.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn prompts_hash_to_the_blocks_of_the_definition(
        // Few tokens, so that beginnings are shared, and empty prompts too.
        prompts in prop::collection::vec(prop::collection::vec(0..2_u32, 0..14), 1..30),
        size in 1..6_usize, keep in any::<bool>(), jobs in 1..4_usize, cut in any::<usize>(),
    ) {
        let lines: Vec<String> =
            prompts.iter().map(|prompt| format!("{{\"prompt_token_ids\": {prompt:?}}}\n")).collect();
        let (b, j) = (format!("-b{size}"), format!("-j{jobs}"));
        let partial = if keep { "--partial=keep" } else { "--partial=drop" };
        let args = [&*b, &*j, partial];
        let expected = stating(&text(&hashed(&prompts, size, keep)), size as u64);
        prop_assert_eq!(&run("trace-hash", &args, lines.concat()).ok(), &expected);
        // In two runs with a state, in two files, and with bytes of text as tokens.
        let folder = scratch();
        let (first, second) = lines.split_at(cut % (lines.len() + 1));
        let day = |lines: &[String]| {
            let args = [&args[..], &["--state=ids"]].concat();
            run_in(folder.path(), "trace-hash", &args, lines.concat()).ok()
        };
        prop_assert_eq!(day(first) + &day(second), expected.clone());
        let texts: String = prompts
            .iter()
            .map(|prompt| {
                // The same letter, plainly and escaped.
                let letter = |(i, t): (usize, &u32)| match (t, i % 3) {
                    (0, 0) => "\\u0061".to_owned(),
                    (t, _) => char::from(b'a' + *t as u8).to_string(),
                };
                format!("{{ \"x\": 1,\"prompt\" :\"{}\"}}\n", prompt.iter().enumerate().map(letter).collect::<String>())
            })
            .collect();
        let args = [&args[..], &["--tokenizer=bytes"]].concat();
        prop_assert_eq!(&run("trace-hash", &args, texts).ok(), &expected);
        // Hashes in place of numbers are other names for the same blocks.
        let args = [&*b, &*j, partial, "--ids=hash", "--salt=s"];
        let hashes = run("trace-hash", &args, lines.concat()).ok();
        let dense = run("trace-cat", &["-q", &*b, "--renumber"], hashes).ok();
        prop_assert_eq!(&dense, &expected);
    }

    #[test]
    fn the_whole_way_from_prompts_to_figures_is_that_of_the_definitions(
        prompts in prop::collection::vec(prop::collection::vec(0..2_u32, 0..14), 1..30), size in 1..5_usize,
    ) {
        let lines: String =
            prompts.iter().map(|prompt| format!("{{\"prompt_token_ids\": {prompt:?}}}\n")).collect();
        let b = format!("-b{size}");
        let trace = run("trace-hash", &[&b], lines).ok();
        let report: Value =
            serde_json::from_str(&run("trace-stats", &[&*b, "-fjson", "-c5"], trace).ok()).unwrap();
        let requests: Vec<Request> = hashed(&prompts, size, true)
            .into_iter()
            .map(|row| Request { input: row.input, output: 500, ids: row.ids.unwrap() })
            .collect();
        let lru = naive::lru(&requests, 5, size as u64, 0, false);
        prop_assert_eq!(report["capacity"][0]["hit_tokens"].as_u64(), Some(lru));
        let infinite = naive::lru(&requests, usize::MAX, size as u64, 0, false);
        prop_assert_eq!(report["cached_tokens"].as_u64(), Some(infinite));
    }
}
