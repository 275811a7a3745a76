//! Bounds are never shown as exact: where memory was short, a figure that says nothing of it is that of a run
//! without a limit, in every format; and one that says that it is a bound is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::support::figures::{figures, number};
use crate::support::{scratch, write};
use fastrand::Rng;
use kvtrace::report::{Canvas, Format, Style};
use kvtrace::stats::{
    self, Capacity, GroupReport, HitRule, HitUnit, Mode, Price, Render, Report, RequestReport, RequestUse,
    ServerHits, Task, Ttl, WindowReport, WindowSize,
};

const BLOCK: u64 = 16;

/// Sessions that grow, come back after others and share beginnings; some requests say what a server found.
fn trace(rng: &mut Rng) -> String {
    let sessions = rng.usize(2..60);
    let mut paths: Vec<Vec<u64>> = vec![Vec::new(); sessions];
    let (mut text, mut time, mut next) = (String::new(), 0, 100);
    // Minutes, or hours.
    let step = if rng.u8(..) < 60 { 120_000 } else { 4000 };
    for _ in 0..rng.usize(60..260) {
        let session = rng.usize(..sessions);
        let path = &mut paths[session];
        if path.is_empty() || rng.u8(..) < 30 {
            *path = (0..rng.u64(0..3)).collect();
        }
        for _ in 0..rng.u64(0..6) {
            path.push(next);
            next += 1;
        }
        time += rng.u64(0..step);
        let cut = if path.is_empty() { 0 } else { rng.u64(..BLOCK) };
        let length = path.len() as u64 * BLOCK - cut;
        // A partial block is one of its own.
        let mut ids = path.clone();
        if cut > 0
            && let Some(last) = ids.last_mut()
        {
            *last = *last * 100 + 1_000_000 + cut;
        }
        let mut fields = format!("\"timestamp\": {time}, \"input_length\": {length}");
        fields += &format!(", \"output_length\": {}, \"user\": {}", rng.u64(..40), session % 3);
        if rng.bool() {
            fields += &format!(", \"session_id\": {session}");
        }
        if rng.u8(..) < 100 {
            fields += &format!(", \"cached_tokens\": {}", rng.u64(0..=length));
        }
        text += &format!("{{{fields}, \"hash_ids\": {ids:?}}}\n");
    }
    text
}

/// All formats at once, each behind a line with its name.
struct Everything;

fn styles() -> Vec<(&'static str, Style)> {
    let style = |format: Format| {
        let mut style = Style::from(format);
        style.width = Some(100);
        style
    };
    let mut exact = style(Format::Table);
    exact.exact = true;
    let mut plot = style(Format::Table);
    plot.plot = Some(Canvas { columns: 80, unicode: false });
    vec![
        ("json", style(Format::Json)),
        ("table", plot),
        ("exact", exact),
        ("markdown", style(Format::Markdown)),
        ("csv", style(Format::Csv)),
        ("prometheus", style(Format::Prometheus)),
        ("html", style(Format::Html)),
        ("svg", style(Format::Svg)),
    ]
}

fn in_each(out: &mut Vec<u8>, some: &[&str], write: impl Fn(&Style, &mut Vec<u8>)) {
    for (name, style) in styles().iter().filter(|(name, _)| some.contains(name)) {
        out.extend_from_slice(format!("\u{1}{name}\n").as_bytes());
        write(style, out);
    }
}

const ALL: [&str; 8] = ["json", "table", "exact", "markdown", "csv", "prometheus", "html", "svg"];

impl Render for Everything {
    fn report(&self, report: &Report, out: &mut Vec<u8>) {
        in_each(out, &ALL, |style, out| style.report(report, out));
    }

    fn groups(&self, report: &Report, field: &str, groups: &[GroupReport], out: &mut Vec<u8>) {
        let some = ["json", "table", "exact", "markdown", "prometheus", "html"];
        in_each(out, &some, |style, out| style.groups(report, field, groups, out));
    }

    fn request(&self, report: &RequestReport, out: &mut Vec<u8>) {
        in_each(out, &["json"], |style, out| style.request(report, out));
    }

    fn window(&self, report: &WindowReport, out: &mut Vec<u8>) {
        in_each(out, &["json", "prometheus"], |style, out| style.window(report, out));
        if report.window.window > 0 {
            // The header of a table stands before the first window only.
            let mut first = report.clone();
            first.window.window = 0;
            in_each(out, &["csv"], |style, out| style.window(&first, out));
        }
    }
}

/// What a run writes, by format, in order; `None` where memory does not do.
fn written(task: Task, folder: &std::path::Path) -> Option<Vec<(String, String)>> {
    let path = folder.join("out");
    let mut task = task;
    task.output = Some(path.clone());
    stats::run(task, &Everything, &mut ()).ok()?;
    let text = std::fs::read_to_string(path).unwrap();
    let parts = text.split('\u{1}').skip(1);
    Some(
        parts
            .map(|part| part.split_once('\n').unwrap())
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect(),
    )
}

/// What tells of forgetting, and is told only with a limit.
fn is_about_memory(place: &str) -> bool {
    ["forgotten", "exact_capacity", "Forgotten", "Still exact", "settled"]
        .iter()
        .any(|word| place.contains(word))
}

/// Compares a run with little memory with one without a limit: how many figures are marked.
fn compare(format: &str, limited: &str, whole: &str) -> (usize, Vec<String>) {
    let (limited, whole) = (figures(format, limited), figures(format, whole));
    let (mut marked, mut wrong) = (0, Vec::new());
    for (place, (found, mark)) in &limited {
        marked += usize::from(mark.is_some());
        let expected = whole.get(place).map(|(value, _)| value);
        // A curve has other points.
        if expected.is_none() && (place.contains("|Blocks|") || place.ends_with(" blocks")) {
            continue;
        }
        if is_about_memory(place) || Some(found) == expected {
            continue;
        }
        let say = || format!("{format} {place}: {found} ({mark:?}), without a limit {expected:?}");
        let Some(mark) = mark else {
            wrong.push(say());
            continue;
        };
        let numbers = number(found).zip(expected.and_then(|value| number(value)));
        if let Some((found, expected)) = numbers {
            let slack = 1e-9 * expected.abs();
            let holds = match *mark {
                "at_least" => found <= expected + slack,
                "at_most" => found >= expected - slack,
                _ => true,
            };
            if !holds {
                wrong.push(say());
            }
        }
    }
    (marked, wrong)
}

/// Figures of charts that are compared too, by how their places begin.
const CHARTS: [&str; 8] = [
    "chart Token Hit Rate by cache capacity",
    "chart infinite",
    "chart Context Length",
    "figure capacity lru",
    "figure hits",
    "figure context_length",
    " lru, ",
    "infinite cache",
];

fn task(rng: &mut Rng, path: &str) -> Task {
    let mut task = Task::new(vec![path.into()]);
    task.block_size = Some(BLOCK);
    let caches = &mut task.analysis.caches;
    if rng.bool() {
        task.capacities = [1, 5, 20, 100, 400].map(Capacity::Blocks).to_vec();
    }
    if rng.bool() {
        caches.targets = vec![0.5, 0.9];
        caches.enough = Some(0.9);
    }
    if rng.bool() {
        caches.ttls = vec![Ttl::Sliding(20_000), Ttl::Sliding(200_000)];
    }
    caches.misses = rng.bool() && !task.capacities.is_empty();
    caches.picture = rng.bool();
    task.analysis.pictures = caches.picture;
    if rng.bool() {
        task.analysis.hit_rule = HitRule::Engine;
    }
    if rng.bool() && !task.capacities.is_empty() {
        let scrape = "vllm:prefix_cache_hits 5000\nvllm:prefix_cache_queries 40000\n";
        task.analysis.servers = ServerHits::of_scrape(scrape).unwrap();
    }
    if rng.bool() {
        let mut price = Price::default();
        (price.input, price.cached, price.write, price.output) = (3.0, 0.3, 3.75, 15.0);
        task.analysis.price = Some(price);
    }
    task.analysis.top = if rng.bool() { 5 } else { 0 };
    let unit = &mut task.analysis.hit_unit;
    match (rng.u8(..6), task.analysis.hit_rule) {
        (0 | 1, HitRule::Engine) => {
            (unit.step, unit.has_groups, unit.is_last_dropped) = (Some(3 * BLOCK), true, rng.bool());
        }
        // Prefixes to be listed are of whole blocks.
        (0, _) => {
            *unit = if task.analysis.top > 0 { HitUnit::new(3 * BLOCK, BLOCK) } else { HitUnit::new(40, 12) }
        }
        _ => {}
    }
    task.analysis.reuse = rng.bool();
    task.analysis.shared_by = rng.bool().then(|| "user".to_owned());
    task.mode = match rng.u8(..8) {
        0 | 1 => Mode::Report { every: None, by: Some("user".to_owned()) },
        2 => Mode::Windows(WindowSize::Requests(20)),
        3 => Mode::Requests,
        _ => Mode::Report { every: None, by: None },
    };
    match task.mode {
        Mode::Windows(size) => task.analysis.window = Some(size),
        Mode::Requests => {
            task.capacities = [1, 20, 400].map(Capacity::Blocks).to_vec();
            task.analysis.caches.requests = RequestUse { listed: true, ..RequestUse::default() };
        }
        _ if rng.u8(..) < 60 && !task.capacities.is_empty() => {
            task.analysis.caches.requests = RequestUse { checked: true, ..RequestUse::default() };
        }
        _ => {}
    }
    task
}

#[test]
fn what_is_not_marked_is_what_a_run_without_a_limit_says() {
    let folder = scratch();
    let (forgot, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let seeds = std::env::var("KVTRACE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    let mut charts: BTreeSet<&str> = BTreeSet::new();
    for seed in 0..seeds {
        let rng = &mut Rng::with_seed(seed);
        let path = write(folder.path(), "trace", trace(rng));
        let task = task(rng, &path);
        let whole = written(task.clone(), folder.path()).expect("enough memory");
        let mut limited = task.clone();
        limited.analysis.budget = Some(rng.usize(2_000..40_000));
        let Some(limited) = written(limited, folder.path()) else {
            refused.fetch_add(1, Relaxed);
            continue;
        };
        assert_eq!(limited.len(), whole.len());
        let mut marked = 0;
        for ((format, limited), (_, whole)) in limited.iter().zip(&whole) {
            let places = figures(format, limited);
            charts
                .extend(CHARTS.iter().filter(|chart| places.keys().any(|place| place.starts_with(**chart))));
            let (count, found) = compare(format, limited, whole);
            marked += count;
            for what in found {
                let kind = what.split(": ").next().unwrap().chars().filter(|c| !c.is_ascii_digit()).collect();
                wrong.entry(kind).or_insert(format!("seed {seed}: {what}"));
            }
        }
        forgot.fetch_add(usize::from(marked > 0), Relaxed);
    }
    let (forgot, refused) = (forgot.into_inner() as u64, refused.into_inner() as u64);
    assert!(wrong.is_empty(), "{} kinds: {:#?}", wrong.len(), wrong.values().collect::<Vec<_>>());
    assert_eq!(charts.len(), CHARTS.len(), "{charts:?}");
    assert!(forgot > seeds / 3 && refused < seeds / 3, "{forgot} {refused}");
}
