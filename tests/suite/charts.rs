//! Pages, pictures and plots of `trace-stats`: complete, well formed, self-contained, and with the
//! figures of the JSON report.

use crate::support::{chats, line, run, run_in, scratch, write};
use serde_json::Value;

/// Chats that grow turn by turn, with times and a field.
fn trace(requests: u64) -> String {
    chats(requests, 7)
}

/// The same with a field that has one of three values.
fn with_field(trace: &str, values: [&str; 3]) -> String {
    let add = |(index, line): (usize, &str)| {
        format!("{}, \"kind\": {}}}\n", &line[..line.len() - 1], serde_json::json!(values[index % 3]))
    };
    trace.lines().enumerate().map(add).collect()
}

/// Names that need no end tag in HTML.
const VOID: [&str; 2] = ["meta", "link"];

/// Checks that tags nest and that attributes and text are escaped; returns the names of the elements.
#[track_caller]
fn assert_well_formed(text: &str) -> Vec<String> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let mut rest = text.strip_prefix("<!DOCTYPE html>").unwrap_or(text);
    while let Some(start) = rest.find('<') {
        assert!(
            !rest[..start].contains('>')
                || open.last().is_some_and(|name| name == "style" || name == "script"),
            "{}",
            &rest[..start]
        );
        let end = start + tag_end(&rest[start..]);
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closes {name}");
            continue;
        }
        let name = tag.split_whitespace().next().unwrap().to_owned();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
        if !VOID.contains(&&*name) {
            open.push(name.clone());
        }
        seen.push(name);
    }
    assert_eq!((open, rest.trim()), (Vec::new(), ""));
    seen
}

/// Where a tag ends: the first > outside of quotes.
fn tag_end(tag: &str) -> usize {
    let mut quoted = false;
    tag.char_indices()
        .find(|&(_, c)| {
            quoted ^= c == '"';
            c == '>' && !quoted
        })
        .unwrap()
        .0
}

/// Nothing is fetched: no address but the names of XML.
#[track_caller]
fn assert_self_contained(text: &str) {
    let rest = text.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "//", "<script ", "<img", "<iframe", "@import", "url(", "src=", "onload"]
    {
        assert!(!rest.contains(word), "{word}");
    }
}

/// The values of the cells of the table after `mark`, row by row; the first is the name of the row.
fn values(page: &str, mark: &str) -> Vec<Vec<String>> {
    let at = page.find(mark).unwrap_or_else(|| panic!("no {mark}"));
    let body = page[at..].split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    let row = |row: &str| {
        let name = row.split("<th scope=\"row\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let cells =
            row.split("<data value=\"").skip(1).map(|cell| cell.split('"').next().unwrap().to_owned());
        [name].into_iter().chain(cells).collect()
    };
    body.split("<tr").skip(1).map(row).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

fn stats(args: &[&str], input: &str) -> String {
    run("trace-stats", args, input).ok()
}

fn json(args: &[&str], input: &str) -> Value {
    serde_json::from_str(&stats(&[args, &["-f", "json"]].concat(), input)).unwrap()
}

pub(crate) const CHARTS: [&str; 9] = [
    "capacity",
    "input_length",
    "output_length",
    "context_length",
    "unique_prompt_length",
    "cached_length",
    "hit_rate",
    "arrivals",
    "hits",
];

fn charts(page: &str) -> Vec<&str> {
    page.split("<figure data-chart=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

const POLICIES: [&str; 4] = ["--policy", "lru,fifo,lfu,opt", "--kv-bytes-per-token", "131072"];

#[test]
fn the_page_is_well_formed_self_contained_and_complete() {
    let trace = trace(400);
    let args =
        [&["-f", "html", "-c", "10,100", "--target", "90%", "--ttl", "5s", "--top", "3"], &POLICIES[..]]
            .concat();
    let page = stats(&args, &trace);
    let elements = assert_well_formed(&page);
    assert_self_contained(&page);
    assert_eq!(charts(&page), CHARTS);
    for heading in
        ["Statistics", "Shared prefixes that save most", "Hit rate against cache capacity", "Distributions"]
    {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    // Every chart has its data as a table, and a name for those who do not see it.
    assert_eq!(count("figure"), count("details") - 1);
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), count("svg"));
    assert!(page.contains("width=device-width") && page.contains("prefers-color-scheme:dark"));
    assert_eq!(page.matches("<script>").count(), 1, "one that the page can do without");
    assert!(page.contains("trace-stats -f html -c 10,100 --target "), "the command is at the end");
    assert_eq!(stats(&args, &trace), page, "the same again");
}

#[test]
fn figures_of_the_page_are_those_of_the_json_report() {
    let trace = trace(400);
    let page = stats(&[&["-f", "html"], &POLICIES[..]].concat(), &trace);
    let json = json(&[&["--curve"], &POLICIES[..]].concat(), &trace);
    let statistics = ["mean", "std", "min", "p25", "median", "p75", "p90", "p95", "p99", "max"];
    for name in [
        "input_length",
        "context_length",
        "unique_prompt_length",
        "output_length",
        "hit_rate",
        "cached_length",
    ] {
        let row =
            page.split(&format!("<tr data-figure=\"{name}\"")).nth(1).unwrap().split("</tr>").next().unwrap();
        let cells: Vec<f64> =
            row.split("value=\"").skip(1).map(|cell| number(cell.split('"').next().unwrap())).collect();
        let expected: Vec<f64> = statistics.iter().map(|s| json[name][s].as_f64().unwrap()).collect();
        assert_eq!(cells, expected, "{name}");
    }
    let totals = values(&page, "Totals");
    assert!(totals.len() > 15);
    for row in totals {
        let expected = json.get(&row[0]).or_else(|| json["arrivals"].get(&row[0])).unwrap();
        assert_eq!(number(&row[1]), expected.as_f64().unwrap(), "{}", row[0]);
    }
    let capacity = json["capacity"].as_array().unwrap();
    let curve = values(&page, "data-chart=\"capacity\"");
    assert_eq!(curve.len(), capacity.len());
    for (row, expected) in curve.iter().zip(capacity) {
        assert_eq!(row[0], expected["policy"].as_str().unwrap());
        for (cell, name) in
            row[1..].iter().zip(["capacity_blocks", "capacity_bytes", "hit_tokens", "token_hit_rate"])
        {
            assert_eq!(number(cell), expected[name].as_f64().unwrap(), "{row:?} {name}");
        }
    }
}

#[test]
fn counts_in_the_charts_add_up_to_the_trace() {
    let trace = trace(400);
    let page = stats(&["-f", "html"], &trace);
    let json = json(&[], &trace);
    let sum = |chart: &str, column: usize| -> f64 {
        values(&page, &format!("data-chart=\"{chart}\"")).iter().map(|row| number(&row[column])).sum()
    };
    for chart in CHARTS.iter().filter(|chart| !["capacity", "hits"].contains(chart)) {
        assert_eq!(sum(chart, 1), 400.0, "{chart}");
    }
    assert_eq!(sum("hits", 1), json["input_tokens"].as_f64().unwrap());
    assert_eq!(sum("hits", 2), json["cached_tokens"].as_f64().unwrap());
    let last = values(&page, "data-chart=\"hits\"").pop().unwrap();
    assert_eq!(number(last.last().unwrap()), json["token_hit_rate"].as_f64().unwrap());
    // 100 seconds are 200 buckets of half a second, with two requests each: too few, so two are one.
    assert_eq!(values(&page, "data-chart=\"arrivals\"").len(), 100);
}

#[test]
fn names_and_values_from_outside_are_text() {
    let evil = "<script>alert(\"1\")</script>&amp;";
    let folder = scratch();
    let name = "a<b>&\"c'.jsonl";
    write(folder.path(), name, with_field(&trace(30), [evil, "\u{1b}[31m", "plain"]));
    let page = run_in(folder.path(), "trace-stats", &["-f", "html", "--by", "kind", name], "").ok();
    assert_well_formed(&page);
    assert_self_contained(&page);
    assert!(page.contains("a&lt;b&gt;&amp;&quot;c'.jsonl"), "{}", &page[..400]);
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;"));
    assert!(!page.contains('\u{1b}'));
    let picture = run_in(folder.path(), "trace-stats", &["-f", "svg", name], "").ok();
    assert_well_formed(&picture);
    assert!(picture.contains("a&lt;b&gt;&amp;"));
}

#[test]
fn groups_have_a_table_and_a_chart_together() {
    let trace = with_field(&trace(300), ["chat", "tool", "code"]);
    let page = stats(&["-f", "html", "--by", "kind"], &trace);
    assert_well_formed(&page);
    assert_eq!(charts(&page), [&CHARTS[..1], &["groups"], &CHARTS[1..]].concat());
    let json = json(&["--by", "kind"], &trace);
    let groups = values(&page, "<h2>By kind</h2>");
    for (row, group) in groups.iter().zip(json["groups"].as_array().unwrap()) {
        assert_eq!(row[0], group["value"].as_str().unwrap());
        for (cell, name) in row[1..3].iter().zip(["requests", "input_tokens"]) {
            assert_eq!(number(cell), group[name].as_f64().unwrap());
        }
        assert_eq!(number(&row[5]), group["token_hit_rate"].as_f64().unwrap());
    }
    let together: Vec<_> = groups[3..].iter().map(|row| &*row[0]).collect();
    assert_eq!(together, ["(all, separate caches)", "(all, one cache)"]);
}

#[test]
fn the_picture_is_one_well_formed_curve() {
    let trace = trace(200);
    let args = [&["-f", "svg"], &POLICIES[..]].concat();
    let picture = stats(&args, &trace);
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox="));
    let elements = assert_well_formed(&picture);
    assert_self_contained(&picture);
    assert_eq!(elements.iter().filter(|name| *name == "svg").count(), 1);
    for part in
        ["<title>", "<desc>lru serves", "bytes of KV cache", "infinite cache: ", "prefers-color-scheme:dark"]
    {
        assert!(picture.contains(part), "{part}");
    }
    for policy in ["lru", "fifo", "lfu", "opt"] {
        assert!(picture.contains(&format!("<path class=\"line {policy}\" d=\"M")), "{policy}");
    }
    assert_eq!(stats(&args, &trace), picture, "the same again");
}

#[test]
fn estimates_and_bounds_are_marked() {
    let trace = trace(3000);
    let page = stats(&["-f", "html", "--approx", "1000"], &trace);
    assert_well_formed(&page);
    assert_eq!(charts(&page), ["capacity", "input_length", "output_length", "arrivals"]);
    for part in
        ["estimates from a sample of", "lru, estimate ± standard error", "class=\"band\"", "Standard error"]
    {
        assert!(page.contains(part), "{part}");
    }
    let exact = stats(&["-f", "html"], &trace);
    assert!(!exact.contains("≥") && !exact.contains("estimate"));
    // Ids that are no numbers in a row, more than the least limit has room for.
    let mut large = String::new();
    for i in 0..30_000_u64 {
        let ids: Vec<u64> = (0..20).map(|k| (i * 20 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        large.push_str(&line(i, 20 * 512, 1, &ids));
    }
    let page = stats(&["-f", "html", "--max-memory", "48Mi"], &large);
    assert_well_formed(&page);
    for part in
        ["Memory ran short", "≥ ", "class=\"line lru least\"", "Context length (lower bounds)", ", at least"]
    {
        assert!(page.contains(part), "{part}");
    }
    let plot = stats(&["--plot=unicode", "--max-memory", "48Mi"], &large);
    assert!(plot.contains("≥ ") && plot.contains("Context Length (lower bounds)"));
}

#[test]
fn merged_pieces_have_all_charts() {
    let trace = trace(300);
    let half = trace[..trace.len() / 2].rfind('\n').unwrap() + 1;
    let pieces = [&trace[..half], &trace[half..]].map(|piece| stats(&["--partial"], piece)).concat();
    let page = stats(&["--merge", "-f", "html"], &pieces);
    assert_well_formed(&page);
    assert_eq!(charts(&page), CHARTS);
    let whole = stats(&["-f", "html"], &trace);
    assert_eq!(page.replace("-f html --merge", "-f html").replace("--merge -f html", "-f html"), whole);
    assert_eq!(stats(&["--merge", "--plot"], &pieces), stats(&["--plot"], &trace));
    // Caches of engines are not in pieces.
    let engine = stats(&["--merge", "-f", "html", "--hits", "engine"], &pieces);
    assert_eq!(charts(&engine), CHARTS[1..]);
}

#[test]
fn little_or_odd_input_is_drawn_too() {
    let no_ids = "{\"input_length\": 10, \"output_length\": 1}\n";
    let empty_prompt = "{\"timestamp\": 5, \"input_length\": 0, \"output_length\": 0, \"hash_ids\": []}\n";
    let one = line(0, 512, 3, &[0]);
    let far = format!("{one}{}", line(1 << 60, 7, 1 << 40, &[9]));
    for input in ["", no_ids, empty_prompt, &one, &format!("{one}{one}"), &far] {
        let page = stats(&["-f", "html"], input);
        assert_well_formed(&page);
        assert!(!page.contains("NaN") && !page.replace("infinite", "").contains("inf"), "{input}");
        let picture = stats(&["-f", "svg"], input);
        assert_well_formed(&picture);
        let numbers = picture.replace("infinite", "");
        assert!(!numbers.contains("NaN") && !numbers.contains("inf"), "{input}");
        let plot = stats(&["--plot=ascii"], input);
        assert!(plot.contains("Requests:") && plot.is_ascii());
    }
}

#[test]
fn the_plot_stands_below_the_table_and_keeps_to_its_width() {
    let trace = trace(400);
    let table = stats(&["--kv-bytes-per-token", "1k"], &trace);
    let plot = stats(&["--plot=unicode", "--policy", "lru,fifo,opt", "--kv-bytes-per-token", "1k"], &trace);
    let drawn = plot.strip_prefix(&table).unwrap();
    for part in [
        "Token Hit Rate by cache capacity",
        "█ lru   ○ fifo   ◆ opt",
        "infinite cache",
        " MiB",
        "Cached Length",
    ] {
        assert!(drawn.contains(part), "{part}");
    }
    assert!(drawn.lines().all(|line| line.chars().count() <= 80));
    for columns in ["40", "60", "200"] {
        let folder = scratch();
        let path = write(folder.path(), "trace.jsonl", &trace);
        let shown = |args: &[&str]| {
            let mut command = crate::support::command("trace-stats");
            let output = command.args(args).arg(&path).env("COLUMNS", columns).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let (table, text) = (shown(&[]), shown(&["--plot=ascii"]));
        let drawn = text.strip_prefix(&table).unwrap();
        // Totals are lines of at most 64.
        let room = columns.parse::<usize>().unwrap().clamp(64, 100);
        assert!(table.lines().all(|line| line.chars().count() <= room), "{table}");
        let widest = drawn.lines().map(str::len).max().unwrap();
        let columns: usize = columns.parse().unwrap();
        assert!(drawn.is_ascii() && widest <= columns && widest > columns - 12, "{widest} {columns}");
    }
    // With capacities asked for, these alone are in the table.
    let asked = stats(&["--capacity", "10,100"], &trace);
    assert!(stats(&["--plot", "--capacity", "10,100"], &trace).starts_with(&asked));
}

#[test]
fn the_locale_chooses_the_characters() {
    let folder = scratch();
    let path = write(folder.path(), "trace.jsonl", trace(50));
    for (locale, ascii) in [("C", true), ("de_DE.ISO-8859-1", true), ("en_US.UTF-8", false), ("", false)] {
        let mut command = crate::support::command("trace-stats");
        command.args(["--plot", &path]).env("LC_ALL", locale);
        let output = command.env_remove("LC_CTYPE").env_remove("LANG").output().unwrap();
        assert_eq!(output.stdout.is_ascii(), ascii, "{locale}");
    }
}

#[test]
fn charts_that_make_no_sense_are_refused() {
    for (args, reason) in [
        (&["-f", "html", "--window", "10req"][..], "--window"),
        (&["--plot", "--window", "10s"], "--window"),
        (&["-f", "html", "--partial"], "--partial"),
        (&["-f", "svg", "--every", "5req"], "--every"),
        (&["-f", "svg", "--merge", "--hits", "engine"], "--merge"),
        (&["-f", "svg", "--by", "kind"], "--by"),
        (&["-f", "json", "--plot"], "--plot"),
        (&["-f", "html", "--plot"], "--plot"),
        (&["--plot=blocks"], "blocks"),
        (&["-f", "html", "--approx", "1000", "--policy", "opt"], "--approx"),
    ] {
        let ran = run("trace-stats", args, trace(10));
        assert_eq!(ran.status, Some(2), "{args:?}");
        assert!(ran.stderr.contains(reason), "{args:?}: {}", ran.stderr);
    }
}
