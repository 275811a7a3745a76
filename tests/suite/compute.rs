//! Savings in compute: against the definition, request by request, and against measured times.

use std::path::Path;

use crate::support::{real, run, scratch, write};
use serde_json::Value;

/// Llama 3.1 8B.
const LLAMA: &str = r#"{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "torch_dtype": "bfloat16"}"#;

/// Two layers, one of which sees 20 tokens.
pub(crate) const WINDOW: &str = r#"{"model_type": "gemma2", "head_dim": 8, "hidden_size": 16, "intermediate_size": 32,
    "num_attention_heads": 2, "num_hidden_layers": 2, "num_key_value_heads": 1, "sliding_window": 20}"#;

/// FLOPs of the first tokens of a prompt, token by token.
pub(crate) fn window_flops(tokens: u64) -> u128 {
    let parameters = 16 * 2 * 16 + 16 * 16 + 3 * 16 * 32;
    let token = |at: u64| 2 * 2 * parameters + 4 * 2 * 8 * ((at + 1) + (at + 1).min(20));
    (0..tokens).map(|at| u128::from(token(at))).sum()
}

/// Chats of some turns, whose prompts end in partial blocks of four tokens.
fn chats() -> String {
    let mut rng = fastrand::Rng::with_seed(8);
    let (mut trace, mut next) = (String::new(), 1);
    let mut chats: Vec<Vec<u64>> = vec![vec![0]; 6];
    for time in 0..300 {
        let chat = rng.usize(..chats.len());
        let ids = &mut chats[chat];
        if ids.len() > 14 {
            ids.truncate(1);
        }
        let new = rng.u64(1..4);
        ids.extend(next..next + new);
        next += new;
        let length = 4 * ids.len() as u64 - rng.u64(..4);
        trace.push_str(&format!(
            "{{\"chat\": {chat}, \"timestamp\": {time}, \"input_length\": {length}, \"output_length\": 3, \"hash_ids\": {ids:?}}}\n"
        ));
    }
    trace
}

fn json(args: &[&str], trace: &str) -> Value {
    serde_json::from_str(&run("trace-stats", args, trace).ok()).unwrap()
}

fn flops_of(row: &Value) -> u128 {
    row["prefill_flops"].to_string().parse().unwrap()
}

#[test]
fn every_cache_saves_what_its_hits_in_each_request_take_to_compute() {
    let folder = scratch();
    let config = write(folder.path(), "config.json", WINDOW);
    let trace = chats();
    let model =
        ["-b", "4", "-c", "10,25,60", "--model-config", &config, "--prompt-length", "40", "--warmup", "20"];
    let of_blocks = "lru,fifo,arc,wtinylfu,priority";
    for args in [
        &["--policy", of_blocks][..],
        &["--policy", of_blocks, "--min-hit", "10", "--hit-step", "6"],
        &["--hit-unit", "8", "--drop-last-unit"],
        &["--policy", "lru,vllm,sglang,lmcache"],
    ] {
        let args = [&model[..], args].concat();
        let report = json(&[&args[..], &["-f", "json"]].concat(), &trace);
        let lines = run("trace-stats", &[&args[..], &["--per-request"]].concat(), &trace).ok();
        let lines: Vec<Value> =
            lines.lines().skip(20).map(|line| serde_json::from_str(line).unwrap()).collect();
        for row in report["capacity"].as_array().unwrap() {
            let name = match row["policy"].as_str().unwrap() {
                "infinite" => "infinite".to_owned(),
                policy => format!("{policy}:{}", row["capacity_blocks"]),
            };
            let (mut all, mut rest) = (0, 0);
            for line in lines.iter().filter(|line| !line["hits"][&name].is_null()) {
                let whole = window_flops(line["tokens"].as_u64().unwrap());
                all += whole;
                rest += whole - window_flops(line["hits"][&name].as_u64().unwrap());
            }
            assert_eq!(flops_of(row), rest, "{name}");
            let saving = row["prefill_saving_compute"].as_f64().unwrap();
            assert!((saving - all as f64 / rest as f64).abs() < 1e-9, "{name}");
        }
    }
}

#[test]
fn caches_with_the_same_hits_have_the_same_compute() {
    let folder = scratch();
    let config = write(folder.path(), "config.json", WINDOW);
    let model = ["-b", "4", "-f", "json", "--model-config", &config, "--prompt-length", "40"];
    let args = ["-c", "10000", "--policy", "lru,opt,fifo", "--target", "100%", "--ttl", "1d"];
    let report = json(&[&model[..], &args].concat(), &chats());
    let rows = report["capacity"].as_array().unwrap();
    let expected = (flops_of(&rows[3]), &rows[3]["prefill_saving_compute"]);
    assert_eq!(rows[3]["policy"], "infinite");
    for row in rows[..3].iter().chain([&report["target"][0], &report["ttl"][0]]) {
        assert_eq!((flops_of(row), &row["prefill_saving_compute"]), expected, "{row}");
    }
}

#[test]
fn blocks_that_never_expire_have_the_compute_of_the_same_cache_without_times() {
    let folder = scratch();
    let config = write(folder.path(), "config.json", WINDOW);
    let model = ["-b", "4", "-f", "json", "--model-config", &config, "--prompt-length", "40"];
    let units = ["--hit-unit", "8", "--drop-last-unit"];
    for more in [&[][..], &["--curve"], &["--min-hit", "10", "--hit-step", "6"], &units] {
        let args = [&model[..], &["-c", "10,25,60", "--ttl", "1d,fixed:1d"], more].concat();
        let report = json(&args, &chats());
        let rows = report["capacity"].as_array().unwrap();
        let infinite = rows.last().unwrap();
        for ttl in report["ttl"].as_array().unwrap() {
            let same =
                rows.iter().find(|row| row["capacity_blocks"] == ttl["capacity_blocks"]).unwrap_or(infinite);
            assert_eq!((&ttl["hit_tokens"], flops_of(ttl)), (&same["hit_tokens"], flops_of(same)), "{ttl}");
        }
    }
}

#[test]
fn separate_caches_leave_what_they_leave_one_by_one() {
    let folder = scratch();
    let config = write(folder.path(), "config.json", WINDOW);
    let model = ["-b", "4", "-f", "json", "--model-config", &config, "--prompt-length", "40"];
    let report = json(&[&model[..], &["-c", "10,25", "--ttl", "1d", "--by", "chat"]].concat(), &chats());
    for place in 0..3 {
        let groups = report["groups"].as_array().unwrap();
        let sum: u128 = groups.iter().map(|group| flops_of(&group["capacity"][place])).sum();
        assert!(groups.len() == 6 && sum > 0);
        assert_eq!(flops_of(&report["separate"]["capacity"][place]), sum);
        let sum: u128 = groups.iter().map(|group| flops_of(&group["ttl"][place])).sum();
        assert_eq!(flops_of(&report["separate"]["ttl"][place]), sum);
    }
}

#[test]
fn every_format_has_the_compute_or_says_that_savings_are_in_tokens() {
    let folder = scratch();
    let config = write(folder.path(), "config.json", LLAMA);
    let written = |format: &str, model: &[&str]| {
        run("trace-stats", &[&["-b", "4", "-f", format, "-c", "25", "--ttl", "1m"], model].concat(), chats())
    };
    let model = ["--model-config", &config];
    let report: Value = serde_json::from_str(&written("json", &model).ok()).unwrap();
    let row = &report["capacity"][0];
    let (flops, saving) = (flops_of(row), row["prefill_saving_compute"].as_f64().unwrap());
    let csv = written("csv", &model).ok();
    assert!(csv.contains(&format!("capacity,lru:25,prefill_saving_compute,{saving:?}\n")), "{csv}");
    assert!(csv.contains(&format!("capacity,lru:25,prefill_flops,{flops}\n")), "{csv}");
    assert!(csv.contains("ttl,60000ms,prefill_saving_compute,"), "{csv}");
    let gauges = written("prometheus", &model).ok();
    let labels = "{kind=\"capacity\",cache=\"lru:25\"}";
    assert!(
        gauges.contains(&format!("kvtrace_cache_prefill_saving_compute{labels} {saving:?}\n")),
        "{gauges}"
    );
    assert!(written("markdown", &model).ok().contains(&format!("| {saving:?} | {flops} |")));
    assert!(written("html", &model).ok().contains("Saving in compute"));
    let table = written("table", &model).ok();
    assert!(
        table.contains("Prefill saving:  in tokens, and in compute") && table.contains("In Compute"),
        "{table}"
    );
    assert!(written("table", &[]).ok().contains("Prefill saving:  in tokens\n"));
    // A model whose memory is known and whose arithmetic is not.
    let other = write(folder.path(), "other.json", LLAMA.replace("intermediate_size", "other"));
    let ran = written("json", &["--model-config", &other]);
    assert!(ran.stderr.contains("savings are counted in tokens alone"), "{}", ran.stderr);
    assert!(ran.stderr.contains("intermediate_size"), "{}", ran.stderr);
    assert!(!ran.ok().contains("prefill_flops"));
}

#[test]
fn every_format_has_the_compute_of_replicas() {
    let folder = scratch();
    let config = write(folder.path(), "config.json", LLAMA);
    let args =
        ["-q", "-b", "4", "-c", "25", "--ttl", "1m", "--target", "50%", "--replicas", "3", "--model-config"];
    let written =
        |format: &str| run("trace-stats", &[&args[..], &[&*config, "-f", format]].concat(), chats()).ok();
    let report: Value = serde_json::from_str(&written("json")).unwrap();
    let fleet = &report["fleet"][0];
    let row = &fleet["capacity"][0];
    let text = |value: &Value| value.to_string();
    let csv = written("csv");
    for (item, of, name) in [
        ("fleet,3:round-robin", fleet, "infinite_prefill_saving_compute"),
        ("fleet,3:round-robin", fleet, "infinite_prefill_flops"),
        ("fleet,3:round-robin", fleet, "work_max_flops"),
        ("fleet,3:round-robin", fleet, "work_imbalance_compute"),
        ("fleet,3:round-robin", fleet, "peak_second_flops"),
        ("fleet_capacity,3:round-robin:25", row, "prefill_flops"),
        ("fleet_capacity,3:round-robin:25", row, "prefill_saving_compute"),
        ("fleet_capacity,3:round-robin:25", row, "shared_prefill_saving_compute"),
        ("fleet_target,3:round-robin:0.5", &fleet["target"][0], "prefill_flops"),
        ("fleet_ttl,3:round-robin:60000ms", &fleet["ttl"][0], "prefill_saving_compute"),
    ] {
        assert!(csv.contains(&format!("{item},{name},{}\n", text(&of[name]))), "{item} {name}\n{csv}");
    }
    let prometheus = written("prometheus");
    let labels = r#"{replicas="3",route="round-robin"}"#;
    let gauge = format!("kvtrace_fleet_work_max_flops{labels} {}\n", text(&fleet["work_max_flops"]));
    assert!(prometheus.contains(&gauge), "{prometheus}");
    let has_help = |line: &str| !line.starts_with("# HELP") || line.split(' ').count() > 4;
    assert!(prometheus.lines().all(has_help), "{prometheus}");
    let markdown = written("markdown");
    assert!(
        markdown
            .contains("| Replicas | In Compute | Prefill FLOPs | Most FLOPs | FLOPs / Mean | Peak Second |")
    );
    let cells = format!(" | {} |", text(&row["prefill_flops"]));
    assert!(markdown.contains(&cells), "{markdown}");
    let table = written("table");
    let busiest = format!("{:.3e}", fleet["work_max_flops"].as_f64().unwrap());
    assert!(table.contains("Token Hit Rate  In Compute") && table.contains(&busiest), "{table}");
    assert!(written("html").contains("FLOPs of the busiest"));
}

/// Milliseconds for so many new tokens behind those that are cached.
struct Measured {
    cached: f64,
    new: f64,
    ms: f64,
}

/// The least squares of relative errors of ms = a new + b new (cached + new / 2).
fn fit(rows: &[Measured]) -> (f64, f64) {
    let [mut xx, mut xy, mut yy, mut x1, mut y1] = [0.0; 5];
    for row in rows {
        let (x, y) = (row.new / row.ms, row.new * (row.cached + row.new / 2.0) / row.ms);
        (xx, xy, yy, x1, y1) = (xx + x * x, xy + x * y, yy + y * y, x1 + x, y1 + y);
    }
    let determinant = xx * yy - xy * xy;
    ((x1 * yy - y1 * xy) / determinant, (y1 * xx - x1 * xy) / determinant)
}

/// Times of a layer of Llama 3.1 8B on an H100, by the kernel that lets tokens be cached. Fewer than 1,024 new
/// tokens do not fill the device, so their times are not those of arithmetic.
fn measured() -> Option<Vec<Measured>> {
    let text = std::fs::read_to_string(real("golden/prefill-h100.jsonl")?).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows = rows.filter(|row| row["kernel"] == "lower-right" && row["n"].as_u64().unwrap() >= 1024);
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    Some(
        rows.map(|r| Measured { cached: number(&r, "m"), new: number(&r, "n"), ms: number(&r, "ms") })
            .collect(),
    )
}

/// The savings of an infinite cache in tokens, in FLOPs and in time by a fit.
fn savings(trace: &Path, config: &str, (a, b): (f64, f64)) -> [f64; 3] {
    let trace = trace.to_str().unwrap();
    let report = json(&["-q", "-f", "json", "-c", "1", "--model-config", config, trace], "");
    let infinite = report["capacity"].as_array().unwrap().last().unwrap().clone();
    let (mut all, mut rest) = (0.0, 0.0);
    for line in run("trace-stats", &["-q", "--per-request", trace], "").ok().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(hit) = line["hits"]["infinite"].as_f64() else { continue };
        let time = |tokens: f64| a * tokens + b * tokens * tokens / 2.0;
        let whole = time(line["tokens"].as_f64().unwrap());
        all += whole;
        rest += whole - time(hit);
    }
    let figure = |name: &str| infinite[name].as_f64().unwrap();
    [figure("prefill_saving"), figure("prefill_saving_compute"), all / rest]
}

#[test]
fn compute_is_within_five_percent_of_measured_times_at_the_level_of_a_trace() {
    let Some(rows) = measured() else { return };
    let (a, b) = fit(&rows);
    let error =
        |row: &Measured| ((a * row.new + b * row.new * (row.cached + row.new / 2.0)) / row.ms - 1.0).abs();
    let mut errors: Vec<f64> = rows.iter().map(error).collect();
    errors.sort_by(f64::total_cmp);
    assert!(errors[errors.len() / 2] < 0.05, "{errors:?}");
    let folder = scratch();
    let config = write(folder.path(), "config.json", LLAMA);
    for (name, expected) in [
        ("traces/conversation_trace.jsonl", [1.60, 1.55, 1.52]),
        ("traces/agentic.jsonl.zst", [20.9, 15.9, 15.3]),
    ] {
        let Some(trace) = real(name) else { continue };
        let found = savings(&trace, &config, (a, b));
        println!("{name}: {found:?}");
        assert!((found[1] / found[2] - 1.0).abs() < 0.05, "{name}: {found:?}");
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 0.02, "{name}: {found} for {expected}");
        }
    }
}
