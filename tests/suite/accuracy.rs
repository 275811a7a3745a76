//! Bounds are never shown as exact: where memory was short, a figure that says nothing of it is that of a run
//! without a limit, in every format; and one that says that it is a bound is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::support::{scratch, write};
use fastrand::Rng;
use kvtrace::report::{Canvas, Format, Style};
use kvtrace::stats::{
    self, Capacity, GroupReport, HitRule, Mode, Price, Render, Report, RequestReport, RequestUse, Task, Ttl,
    WindowReport, WindowSize,
};
use serde_json::Value;

const BLOCK: u64 = 16;

/// Sessions that grow, come back after others and share beginnings; some requests say what a server found.
fn trace(rng: &mut Rng) -> String {
    let sessions = rng.usize(2..60);
    let mut paths: Vec<Vec<u64>> = vec![Vec::new(); sessions];
    let (mut text, mut time, mut next) = (String::new(), 0, 100);
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
        time += rng.u64(0..4000);
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
    ]
}

fn in_each(out: &mut Vec<u8>, some: &[&str], write: impl Fn(&Style, &mut Vec<u8>)) {
    for (name, style) in styles().iter().filter(|(name, _)| some.contains(name)) {
        out.extend_from_slice(format!("\u{1}{name}\n").as_bytes());
        write(style, out);
    }
}

const ALL: [&str; 7] = ["json", "table", "exact", "markdown", "csv", "prometheus", "html"];

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

/// A figure, by where it stands, and what is said of it: a mark, or nothing.
type Figures = BTreeMap<String, (String, Option<&'static str>)>;

fn mark_of(text: &str) -> Option<&'static str> {
    let marks = [
        (">= ", "at_least"),
        ("≥ ", "at_least"),
        ("(>=)", "at_least"),
        ("at least", "at_least"),
        ("lower bounds", "at_least"),
        ("<= ", "at_most"),
        ("≤ ", "at_most"),
        ("(<=)", "at_most"),
        ("at most", "at_most"),
        ("upper bounds", "at_most"),
        ("about ", "neither"),
    ];
    marks.into_iter().find(|(mark, _)| text.contains(mark)).map(|(_, what)| what)
}

/// Figures of JSON: the objects named `bound` name those beside them, a text of that name tells of its row.
fn of_json(
    value: &Value,
    place: &str,
    name: &str,
    bounds: &[(String, String)],
    row: Option<&'static str>,
    out: &mut Figures,
) {
    match value {
        Value::Object(fields) => {
            let (mut bounds, mut name, mut row) = (bounds.to_vec(), name.to_owned(), row);
            if let Some(Value::Object(lists)) = fields.get("bound") {
                (bounds, name) = (Vec::new(), String::new());
                for (kind, names) in lists {
                    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
                    bounds.extend(names.map(|name| (name.to_owned(), kind.clone())));
                }
            }
            if let Some(Value::Array(names)) = fields.get("at_least").filter(|_| fields.contains_key("hits"))
            {
                bounds.extend(
                    names
                        .iter()
                        .map(|name| (format!("hits.{}", name.as_str().unwrap()), "at_least".to_owned())),
                );
            }
            if fields.get("bound").is_some_and(Value::is_string) {
                row = Some("row");
            }
            for (key, value) in fields.iter().filter(|(key, _)| *key != "bound" && *key != "at_least") {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                of_json(value, &format!("{place}.{key}"), &name, &bounds, row, out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                of_json(item, &format!("{place}[{index}]"), name, bounds, row, out);
            }
        }
        other => {
            let mark = row.or_else(|| json_mark(name, bounds));
            out.insert(place.to_owned(), (other.to_string(), mark));
        }
    }
}

/// What the lists say of a figure: the longest name that fits counts. A name fits what it is, what is in it, and
/// what has its last part further inside.
fn json_mark(name: &str, bounds: &[(String, String)]) -> Option<&'static str> {
    let fits = |of: &str| {
        let inside = of.rsplit_once('.').is_some_and(|(first, last)| {
            name.starts_with(&format!("{first}.")) && name.ends_with(&format!(".{last}"))
        });
        name == of || name.starts_with(&format!("{of}.")) || inside
    };
    let found = bounds.iter().filter(|(of, _)| fits(of)).max_by_key(|(of, _)| of.len())?;
    Some(match &*found.1 {
        "at_least" => "at_least",
        "at_most" => "at_most",
        _ => "neither",
    })
}

/// Figures of a table in text: by table, row and column.
fn of_table(text: &str, out: &mut Figures) {
    let mut header: Vec<String> = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut is_first = true;
    let text = text
        .split("\nToken Hit Rate by cache")
        .next()
        .unwrap()
        .split("\nInput Length: requests")
        .next()
        .unwrap();
    // Sentences go on in lines that are indented, before the first empty one.
    let (sentences, rest) = text.split_once("\n\n").unwrap_or(("", text));
    let has_sentences = !sentences.starts_with("Requests:") && !sentences.starts_with('|');
    let joined = if has_sentences { sentences.replace("\n  ", " ") + "\n\n" + rest } else { text.to_owned() };
    for line in joined.lines() {
        if line.starts_with("+-") || line.starts_with("|--") || line.starts_with("---") {
            continue;
        }
        if line.is_empty() {
            (is_first, header) = (true, Vec::new());
            continue;
        }
        let cells: Vec<String> = if line.contains('|') {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        } else if let Some((name, value)) = line.split_once(':').filter(|(name, value)| {
            header.is_empty() && name.len() < 20 && value.starts_with("  ")
                || value.starts_with(' ') && name.len() == 16
        }) {
            vec![name.to_owned(), value.trim().to_owned()]
        } else if line.contains("  ") {
            let indented = line.starts_with("  ");
            let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned);
            indented.then(String::new).into_iter().chain(cells).collect()
        } else {
            vec![line.to_owned()]
        };
        if cells.len() == 1 {
            let section = line.split(|c: char| c.is_ascii_digit()).next().unwrap_or(line);
            out.insert(format!("sentence {section}"), (line.to_owned(), mark_of(line)));
            continue;
        }
        let is_list = !line.contains('|') && line.split_once(':').is_some_and(|(name, _)| name == cells[0]);
        if is_list {
            out.insert(format!("list {}", cells[0]), (cells[1].clone(), mark_of(&cells[1])));
            continue;
        }
        if is_first {
            (header, is_first) = (cells, false);
            continue;
        }
        let key = cells[0].replace(" (>=)", "").replace(" (<=)", "");
        let row = format!("{} {key}", header[0]);
        let all = mark_of(&cells[0]);
        // Which prefixes are the first is known by what is marked in the same row.
        let all = all.or_else(|| {
            if header[0] == "Last Id" { cells.iter().find_map(|cell| mark_of(cell)) } else { None }
        });
        for (column, cell) in cells.iter().enumerate().skip(1) {
            let mark = mark_of(cell).or(all);
            let name = header.get(column).map_or("", String::as_str);
            let same = header[..column.min(header.len())].iter().filter(|other| *other == name).count();
            let place = format!("{row} {name} {same}");
            let count = seen.entry(place.clone()).or_default();
            *count += 1;
            out.insert(format!("{place} #{count}"), (cell.clone(), mark));
        }
    }
}

/// Rows `section,item,figure,value`, and those that name bounds; or a window with its columns.
fn of_csv(text: &str, out: &mut Figures) {
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    if rows[0][0] == "window" {
        let list = |name: &str| {
            let at = rows[0].iter().position(|title| *title == name).unwrap();
            rows[1][at].split(' ').map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let (least, most) = (list("at_least"), list("at_most"));
        for (name, value) in rows[0].iter().zip(&rows[1]).filter(|(name, _)| !name.starts_with("at_")) {
            let mark = if least.contains(*name) {
                Some("at_least")
            } else if most.contains(*name) {
                Some("at_most")
            } else {
                None
            };
            out.insert((*name).to_owned(), ((*value).to_owned(), mark));
        }
        return;
    }
    let bounds: Vec<(String, String)> = rows
        .iter()
        .filter(|row| row[0] == "bound")
        .map(|row| (row[1].to_owned(), row[2].to_owned()))
        .collect();
    for row in rows.iter().filter(|row| row[0] != "bound") {
        let name = match row[0] {
            "total" | "correlation" => row[2].to_owned(),
            "distribution" => format!("{}.{}", row[1], row[2]),
            "capacity" => format!("capacity.{}.{}", row[1], row[2]),
            "misses_depth" => format!("misses.{}", row[2]),
            "recorded_hour" => format!("recorded.{}", row[2]),
            "recorded" if !row[1].is_empty() => format!("recorded.caches.{}", row[2]),
            "most_used" => format!("reuse.{}", row[2]),
            section => format!("{section}.{}", row[2]),
        };
        let mark = if row[0] == "correlation" {
            json_mark("correlation", &bounds)
        } else {
            json_mark(&named(&name), &bounds)
        };
        out.insert(row[..3].join(","), (row[3].to_owned(), mark));
    }
}

/// A figure by its name in JSON, of one that has another in CSV.
fn named(name: &str) -> String {
    let prefixes = [
        ("misses.evicted_", "misses.evicted_last_use"),
        ("misses.expired_", "misses.expired_last_use"),
        ("misses.same_session_", "misses.same_session"),
        ("misses.other_sessions_", "misses.other_sessions"),
    ];
    if let Some((_, full)) = prefixes.into_iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return full.to_owned();
    }
    match name {
        "shared_tokens" | "below_unit_share" => "hit_unit".to_owned(),
        "cost_infinite" => "price.cost".to_owned(),
        "saving_infinite" => "price.saving".to_owned(),
        name => name.to_owned(),
    }
}

/// Samples, and those that name bounds.
fn of_prometheus(text: &str, out: &mut Figures) {
    let samples =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    let samples: Vec<(&str, &str)> = samples.collect();
    let label = |sample: &str, key: &str| {
        let at = sample.find(&format!("{key}=\""))? + key.len() + 2;
        Some(sample[at..].split('"').next().unwrap().to_owned())
    };
    let group = |sample: &str| {
        let of = sample.rsplit_once("user=\"").map(|(_, rest)| rest.split('"').next().unwrap().to_owned());
        // One label is that of the value.
        of.filter(|_| !sample.contains("shared_by") || sample.matches("user=").count() > 1)
    };
    for (sample, value) in &samples {
        let name = sample.strip_prefix("kvtrace_").unwrap();
        let name = name.split('{').next().unwrap();
        if name == "bound" {
            continue;
        }
        let bounds: Vec<(String, String)> = samples
            .iter()
            .filter(|(of, _)| of.starts_with("kvtrace_bound") && group(of) == group(sample))
            .map(|(of, _)| (label(of, "figure").unwrap(), label(of, "bound").unwrap()))
            .collect();
        let kind = label(sample, "kind").unwrap_or_default();
        let cache = label(sample, "cache").unwrap_or_default();
        let full = if let Some(stat) = label(sample, "stat") {
            format!("{}.{stat}", name.trim_end_matches("_tokens").trim_end_matches("_ratio"))
        } else if let Some(rest) = name.strip_prefix("running_cache_") {
            format!("running_cache.{cache}.{rest}")
        } else if let Some(rest) = name.strip_prefix("separate_cache_") {
            let of = if kind == "capacity" { format!("capacity.{cache}") } else { kind };
            format!("separate.{of}.{rest}")
        } else if let Some(rest) = name.strip_prefix("separate_") {
            format!("separate.{rest}")
        } else if let Some(rest) = name.strip_prefix("running_") {
            rest.to_owned()
        } else if let Some(rest) = name.strip_prefix("cache_") {
            let of = if kind == "capacity" { format!("capacity.{cache}") } else { kind };
            format!("{of}.{rest}")
        } else if let Some(fate) = label(sample, "fate") {
            format!("misses.{fate}")
        } else if let Some(rest) = name.strip_prefix("miss_") {
            format!("misses.{rest}")
        } else if let Some(rest) = name.strip_prefix("recorded_cache_").filter(|_| !cache.is_empty()) {
            format!("recorded.caches.{rest}")
        } else if let Some(rest) = name.strip_prefix("recorded_") {
            format!("recorded.{rest}")
        } else if let Some(rest) = name.strip_prefix("target_") {
            format!("target.{rest}")
        } else if let Some(rest) = name.strip_prefix("prefix_").filter(|rest| !rest.starts_with("groups")) {
            format!("top.{rest}")
        } else if let Some(rest) = name.strip_prefix("shared_by_") {
            format!("shared_by.{rest}")
        } else if name.starts_with("reuse_") || name.starts_with("most_used_") {
            format!("reuse.{name}")
        } else {
            named(name)
        };
        let is_marked = |of: &str| json_mark(of, &bounds);
        let mark = is_marked(&named(&full)).or_else(|| is_marked(name));
        out.insert((*sample).to_owned(), ((*value).to_owned(), mark));
    }
}

/// The cells of a page's tables and tiles.
fn of_html(text: &str, out: &mut Figures) {
    let plain = |markup: &str| {
        let mut text = String::new();
        let mut inside = false;
        for c in markup.chars() {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                c if !inside => text.push(c),
                _ => {}
            }
        }
        text.replace("&gt;", ">").replace("&lt;", "<")
    };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut title = String::new();
    for row in text.split("<tr").skip(1) {
        let row = row.split("</tr>").next().unwrap();
        let cells: Vec<String> = row
            .split("<th")
            .flat_map(|part| part.split("<td"))
            .skip(1)
            .map(|cell| plain(&format!("<{cell}")))
            .collect();
        if row.contains("scope=\"col\"") {
            title = cells.join("|");
            continue;
        }
        let key = cells[0].replace(", at least", "").replace(", at most", "");
        // Curves have other points.
        let size = if title.contains("|Blocks|") && !title.starts_with("Last id") {
            plain(&cells[1])
        } else {
            String::new()
        };
        let row = format!("{title} {key} {size}");
        let count = seen.entry(row.clone()).or_default();
        *count += 1;
        for (column, cell) in cells.iter().enumerate().skip(1) {
            let in_chart = title.ends_with("|Requests") || title == "Requests";
            let mark =
                mark_of(cell).or_else(|| mark_of(&cells[0])).or(if in_chart { Some("row") } else { None });
            let mark = mark.or_else(|| {
                if title.starts_with("Last id") { cells.iter().find_map(|cell| mark_of(cell)) } else { None }
            });
            out.insert(format!("{row} #{count} {column}"), (cell.clone(), mark));
        }
    }
    for tile in text.split("<dt>").skip(1) {
        let (name, value) = tile.split_once("</dt>").unwrap();
        let value = value.split("</dd>").next().unwrap();
        for (place, part) in value.split("<small>").enumerate() {
            let part = plain(part);
            out.insert(format!("{} tile {place}", plain(name)), (part.clone(), mark_of(&part)));
        }
    }
}

fn figures(format: &str, text: &str) -> Figures {
    let mut out = Figures::new();
    match format {
        "json" => of_json(&serde_json::from_str(text).unwrap(), "", "", &[], None, &mut out),
        "csv" => of_csv(text, &mut out),
        "prometheus" => of_prometheus(text, &mut out),
        "html" => of_html(text, &mut out),
        _ => of_table(text, &mut out),
    }
    out
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
        if expected.is_none() && format == "html" && place.contains("|Blocks|") {
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
        let numbers = found.parse::<f64>().ok().zip(expected.and_then(|value| value.parse::<f64>().ok()));
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
    if rng.bool() {
        let mut price = Price::default();
        (price.input, price.cached, price.write, price.output) = (3.0, 0.3, 3.75, 15.0);
        task.analysis.price = Some(price);
    }
    task.analysis.top = if rng.bool() { 5 } else { 0 };
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
    assert!(forgot > seeds / 3 && refused < seeds / 3, "{forgot} {refused}");
}
