//! The report in a real browser: charts have marks, text is large enough and nowhere cut off, nothing
//! overlaps or sticks out, at the widths of a phone, a tablet and a desk, in light and dark.
//!
//! Runs where `KVTRACE_BROWSER` names a Chromium or one is on the PATH. `KVTRACE_SCREENSHOTS=FOLDER`
//! keeps pictures of the page to look at.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::charts::CHARTS;
use crate::support::{real, run, scratch, shell, write};
use serde_json::Value;

const WIDTHS: [u32; 3] = [390, 800, 1280];

fn browser() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KVTRACE_BROWSER") {
        return Some(path.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        names.iter().find(|name| shell(Path::new("."), &format!("command -v {name}")).status == Some(0));
    if found.is_none() {
        eprintln!("skipped: no browser is here (KVTRACE_BROWSER)");
    }
    found.map(PathBuf::from)
}

/// Opens a page; returns what is printed, and what is said.
fn open(browser: &Path, folder: &Path, page: &str, args: &[&str]) -> (String, String) {
    let profile = scratch();
    // A browser that hangs must not hold up the tests.
    let output = Command::new("timeout")
        .args(["-k", "5", "120"])
        .arg(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=20000",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .arg(format!("file://{}/{page}", folder.display()))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// What the page looks like in frames of each width; `errors`: whether the browser should complain.
fn measured(browser: &Path, report: &str, scheme: &str, errors: bool) -> Vec<Value> {
    let folder = scratch();
    let script =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/measure.js"));
    let with_script = report.replace("</body>", &format!("<script>{}</script></body>", script.unwrap()));
    write(folder.path(), "report.html", with_script);
    let frames: String =
        WIDTHS.iter().map(|w| format!("<iframe src=report.html width={w} height=900></iframe>")).collect();
    let harness = format!(
        "<!DOCTYPE html><pre></pre><script>const all = [];\
         addEventListener('message', (event) => {{ all.push(event.data);\
         document.querySelector('pre').textContent = JSON.stringify(all); }});</script>{frames}"
    );
    write(folder.path(), "frames.html", harness);
    let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
    let (dom, said) = open(browser, folder.path(), "frames.html", &["--dump-dom", &scheme]);
    assert_eq!(said.contains(":CONSOLE"), errors, "{said}");
    let json = dom.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap_or_default();
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let mut pages: Vec<Value> = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {dom} {said}"));
    pages.sort_by_key(|page| page["width"].as_u64());
    assert_eq!(pages.len(), WIDTHS.len(), "{dom}");
    pages
}

#[test]
fn the_measure_sees_what_is_wrong() {
    let Some(browser) = browser() else { return };
    let report = run("trace-stats", &["-f", "html"], crate::support::line(0, 600, 5, &[0, 1]).repeat(9)).ok();
    let bad = report
        .replace("svg text{font:12px", "svg text{font:7px")
        .replace("fill:#57606a}", "fill:#eee}")
        .replace("</header>", "<div style=\"width:3000px\">wide</div><script>throw 'oh'</script></header>")
        .replace(
            "</svg>",
            "<text x=\"30\" y=\"60\">one</text><text x=\"32\" y=\"62\">two</text>\
                            <text x=\"9999\" y=\"9\">out</text></svg>",
        );
    for page in measured(&browser, &bad, "1", true) {
        let svg = &page["charts"][0]["svgs"][0];
        assert!(page["overflow"].as_f64().unwrap() > 1000.0 && page["scripts"] == 2);
        assert!(svg["font"].as_f64().unwrap() < 11.0 && svg["contrast"].as_f64().unwrap() < 2.0, "{svg}");
        assert_eq!(svg["clipped"], serde_json::json!(["out"]));
        assert!(svg["overlapping"].as_array().unwrap().contains(&"one | two".into()), "{svg}");
    }
}

fn assert_chart(chart: &Value, width: u32) {
    let name = &chart["name"];
    assert_eq!(chart["tables"], 1, "{name}");
    let svgs = chart["svgs"].as_array().unwrap();
    assert_eq!(svgs.len(), 1, "{name} at {width}");
    let svg = &svgs[0];
    let at = format!("{name} at {width}: {svg}");
    assert!(svg["role"] == "img" && !svg["label"].as_str().unwrap().is_empty(), "{at}");
    assert!(svg["marks"].as_u64().unwrap() >= 1 && svg["outside"] == 0, "{at}");
    assert!(svg["font"].as_f64().unwrap() >= 11.9, "{at}");
    assert!(svg["contrast"].as_f64().unwrap() >= 4.5, "{at}");
    assert_eq!(svg["clipped"], serde_json::json!([]), "{at}");
    assert_eq!(svg["overlapping"], serde_json::json!([]), "{at}");
}

fn assert_looks_right(report: &str, charts: &[&str]) {
    let Some(browser) = browser() else { return };
    let (mut light, mut dark) = (String::new(), String::new());
    for (scheme, background) in [("1", &mut light), ("0", &mut dark)] {
        for (page, width) in measured(&browser, report, scheme, false).iter().zip(WIDTHS) {
            assert_eq!(page["width"], width);
            assert_eq!(page["overflow"], 0, "sticks out at {width}");
            assert_eq!((&page["scripts"], &page["errors"]), (&1.into(), &serde_json::json!([])));
            assert_eq!(page["resources"], serde_json::json!([]));
            assert!(page["contrast"].as_f64().unwrap() >= 4.5, "{}", page["contrast"]);
            assert!(page["font"].as_f64().unwrap() >= 12.0, "{}", page["font"]);
            let shown = page["charts"].as_array().unwrap();
            let names: Vec<&str> = shown.iter().map(|chart| chart["name"].as_str().unwrap()).collect();
            assert_eq!(names, charts);
            shown.iter().for_each(|chart| assert_chart(chart, width));
            page["background"].as_str().unwrap().clone_into(background);
        }
    }
    assert!(light != dark, "{light} is the background in light and dark");
}

/// Keeps pictures of the page, if asked to.
fn screenshots(report: &str, name: &str) {
    let (Some(folder), Some(browser)) = (std::env::var_os("KVTRACE_SCREENSHOTS"), browser()) else { return };
    let folder = PathBuf::from(folder).canonicalize().unwrap();
    write(&folder, &format!("{name}.html"), report);
    for (scheme, number) in [("light", "1"), ("dark", "0")] {
        for (width, height) in [(390, 5200), (1280, 2600)] {
            // A window is no narrower than 500, so the page is in a frame.
            let frame = format!(
                "<!DOCTYPE html><body style=margin:0><iframe src={name}.html width={width} height={height} \
                 style=border:0></iframe>"
            );
            let page = format!("{name}-frame.html");
            write(&folder, &page, frame);
            let args = [
                format!("--screenshot={}/{name}-{scheme}-{width}.png", folder.display()),
                format!("--window-size={width},{height}"),
                format!("--blink-settings=preferredColorScheme={number}"),
            ];
            open(&browser, &folder, &page, &args.each_ref().map(String::as_str));
        }
    }
}

#[test]
fn the_report_of_the_real_trace_looks_right() {
    let Some(trace) = real("traces/conversation_trace.jsonl") else { return };
    let args = [
        "-f",
        "html",
        "--policy",
        "lru,fifo,opt",
        "--kv-bytes-per-token",
        "131072",
        "--capacity",
        "1k,10k,100k",
        trace.to_str().unwrap(),
    ];
    let report = run("trace-stats", &args, "").ok();
    screenshots(&report, "conversation");
    assert_looks_right(&report, &CHARTS);
}

#[test]
fn the_report_of_a_small_trace_looks_right() {
    let prompts =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prompts.jsonl")).unwrap();
    let trace = run("trace-hash", &["-b", "16"], prompts).ok();
    let report = run("trace-stats", &["-b", "16", "-f", "html"], &trace).ok();
    screenshots(&report, "small");
    assert_looks_right(&report, &CHARTS);
}

#[test]
fn an_estimate_looks_right() {
    let prompts =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prompts.jsonl")).unwrap();
    let trace = run("trace-hash", &["-b", "16"], prompts).ok();
    let report = run("trace-stats", &["-b", "16", "-f", "html", "--approx", "300"], &trace).ok();
    screenshots(&report, "estimate");
    assert_looks_right(&report, &["capacity", "input_length", "output_length", "arrivals"]);
}
