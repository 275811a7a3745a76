//! Readers of reports in every format: the figures that stand in them, and what is said of each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A figure, by where it stands, and what is said of it: a mark, or nothing.
pub type Figures = BTreeMap<String, (String, Option<&'static str>)>;

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
        if matches!(name, "bound" | "stream_bound") {
            continue;
        }
        let bounds: Vec<(String, String)> = samples
            .iter()
            .filter(|(of, _)| {
                (of.starts_with("kvtrace_bound") || of.starts_with("kvtrace_stream_bound"))
                    && group(of) == group(sample)
            })
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

/// Markup as text.
fn plain(markup: &str) -> String {
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
}

/// The text between two others, where they are.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let from = text.split_once(from).map_or("", |(_, rest)| rest);
    from.split(to).next().unwrap()
}

/// The cells of a page's tables and tiles, and what its charts say.
fn of_html(text: &str, out: &mut Figures) {
    let mut parts = text.split("<figure");
    let mut others = parts.next().unwrap().to_owned();
    for part in parts {
        let (figure, rest) = part.split_once("</figure>").unwrap();
        let name = between(figure, "data-chart=\"", "\"");
        let label = between(figure, "aria-label=\"", "\"");
        // A chart of bounds says so once, but for capacities, whose points have their own marks.
        let mark = match name {
            "arrivals" => None,
            "hits" => mark_of(label),
            name if name == "hit_rate" || name.ends_with("_length") => mark_of(label).map(|_| "row"),
            _ => None,
        };
        let own = if name == "arrivals" { None } else { mark_of(label).map(|_| "row") };
        out.insert(format!("figure {name} label"), (label.to_owned(), own));
        of_titles(&format!("figure {name}"), figure, mark, out);
        of_rows(&format!("figure {name} "), figure, mark, out);
        others += rest;
    }
    of_rows("", &others, None, out);
    for tile in others.split("<dt>").skip(1) {
        let (name, value) = tile.split_once("</dt>").unwrap();
        let value = value.split("</dd>").next().unwrap();
        for (place, part) in value.split("<small>").enumerate() {
            let part = plain(part);
            out.insert(format!("{} tile {place}", plain(name)), (part.clone(), mark_of(&part)));
        }
    }
}

/// What points, bars and columns of charts say to a pointer.
fn of_titles(place: &str, chart: &str, mark: Option<&'static str>, out: &mut Figures) {
    for title in chart.split("<title>").skip(1) {
        let title = plain(title.split("</title>").next().unwrap());
        if let Some((name, value)) = title.rsplit_once(": ") {
            out.insert(format!("{place} {name}"), (value.to_owned(), mark_of(value).or(mark)));
        }
    }
}

/// The rows of tables, of which all may have a mark.
fn of_rows(place: &str, text: &str, mark: Option<&'static str>, out: &mut Figures) {
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
        let row = format!("{place}{title} {key} {size}");
        let count = seen.entry(row.clone()).or_default();
        *count += 1;
        for (column, cell) in cells.iter().enumerate().skip(1) {
            let mark = mark_of(cell).or_else(|| mark_of(&cells[0])).or(mark);
            let mark = mark.or_else(|| {
                if title.starts_with("Last id") { cells.iter().find_map(|cell| mark_of(cell)) } else { None }
            });
            out.insert(format!("{row} #{count} {column}"), (cell.clone(), mark));
        }
    }
}

/// The picture of a curve: its points, its ceiling, and the sentence about it.
fn of_svg(text: &str, out: &mut Figures) {
    of_titles("", text.split_once("</style>").map_or("", |(_, drawn)| drawn), None, out);
    let sentence = plain(between(text, "<desc>", "</desc>"));
    let mark = mark_of(&sentence).map(|_| "row");
    out.insert("sentence".to_owned(), (sentence, mark));
    let ceiling = plain(between(text, "infinite cache: ", "<"));
    let mark = mark_of(&ceiling);
    out.insert("infinite cache".to_owned(), (ceiling, mark));
}

/// Charts of characters, each as a whole; of that of capacities also the rate of the infinite cache.
fn of_plot(text: &str, out: &mut Figures) {
    let starts = ["\nToken Hit Rate by cache", "\nInput Length: requests", "\nInput Length ("];
    let Some(start) = starts.iter().filter_map(|start| text.find(start)).min() else { return };
    for chart in text[start + 1..].split("\n\n") {
        let title = chart.lines().next().unwrap();
        let is_curve = title.starts_with("Token Hit Rate by cache");
        // Groups stand behind the charts.
        if !is_curve && !title.ends_with(": requests by tokens") {
            break;
        }
        let name = title.split([':', ',']).next().unwrap().split(" (").next().unwrap();
        let mark = mark_of(title).or_else(|| mark_of(chart).filter(|_| is_curve));
        out.insert(format!("chart {name}"), (chart.to_owned(), mark.map(|_| "row")));
        if is_curve {
            let infinite = between(chart, "infinite cache ", "\n").to_owned();
            let mark = mark_of(&infinite);
            out.insert("chart infinite".to_owned(), (infinite, mark));
        }
    }
}

/// The figures of a report in a format.
pub fn figures(format: &str, text: &str) -> Figures {
    let mut out = Figures::new();
    match format {
        "json" => of_json(&serde_json::from_str(text).unwrap(), "", "", &[], None, &mut out),
        "csv" => of_csv(text, &mut out),
        "prometheus" => of_prometheus(text, &mut out),
        "html" => of_html(text, &mut out),
        "svg" => of_svg(text, &mut out),
        _ => {
            of_table(text, &mut out);
            of_plot(text, &mut out);
        }
    }
    out
}

/// A number as a reader takes it, without its mark.
pub fn number(text: &str) -> Option<f64> {
    let marks = [">= ", "≥ ", "<= ", "≤ ", "at least ", "at most "];
    let text = marks.iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text);
    text.trim_end_matches(" %").replace(',', "").parse().ok()
}
