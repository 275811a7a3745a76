//! `trace-hash --explain`: planted faults are found where they are, and cost what a slow search says.

use std::collections::HashMap;

use crate::support::planted::{FAULTS, Fault, Line, SHAPES, Shape, log};
use crate::support::{run, scratch, write};
use fastrand::Rng;
use kvtrace::record::prompt::{Content, PromptOptions, PromptRecord};
use kvtrace::tokens::chat::{self, Turn};
use kvtrace::tokens::template::{SeenMessages, TODAY, Template};
use serde_json::{Value, json};

/// Tools as JSON in the system's turn, as Qwen has it; texts are trimmed.
const IN_SYSTEM: &str = "{%- if tools %}<|im_start|>system\n{{ messages[0].content }}\n# Tools\n\
    {%- for tool in tools %}\n{{ tool | tojson }}{% endfor %}<|im_end|>\n{% endif %}\
    {%- for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n\
    {%- endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}";

/// Tools first, and other marks, in the manner of Llama and Mistral.
const TOOLS_FIRST: &str = "<s>{%- if tools %}[TOOLS]{{ tools | tojson }}[/TOOLS]{% endif %}\
    {%- for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]\
    {%- else %}{{ m.content }}</s>{% endif %}{% endfor %}";

/// The texts of prompts, as the library renders them.
fn rendered(lines: &[Line], template: Option<&str>) -> Vec<String> {
    let template = template.map(|text| Template::parse("test", text.to_owned()).unwrap());
    let render = |line: &Line| {
        let record = PromptRecord::parse(line.json.as_bytes(), &PromptOptions::default()).unwrap();
        let Content::Chat(found) = record.content else { panic!("no chat: {}", line.json) };
        let mut out = String::new();
        let Some(template) = &template else {
            let tools = found.tools.iter().map(Turn::of_tools);
            let turns = tools.chain(found.messages.iter().map(|m| Turn::of_message(m).unwrap()));
            chat::render(&turns.collect::<Vec<_>>(), &mut out);
            return out;
        };
        let conversation = template.conversation(&found, &mut SeenMessages::new(0)).unwrap();
        template.render(&conversation, found.messages.len(), TODAY, &mut out).unwrap();
        out
    };
    lines.iter().map(render).collect()
}

/// Bytes of the shortest run that counts, with the tokenizer `bytes`.
const LEAST: usize = 128;

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The sequences of `LEAST` bytes of texts, as numbers that are equal for equal ones.
struct Windows {
    of: Vec<Vec<u32>>,
    /// The search in which each was marked last.
    marked: Vec<usize>,
    searches: usize,
}

impl Windows {
    fn new(texts: &[String]) -> Self {
        let mut numbers: HashMap<&[u8], u32> = HashMap::new();
        let mut number = |window| {
            let next = numbers.len() as u32;
            *numbers.entry(window).or_insert(next)
        };
        let of = texts.iter().map(|text| text.as_bytes().windows(LEAST).map(&mut number).collect()).collect();
        Self { of, marked: vec![0; numbers.len()], searches: 0 }
    }

    /// Marks the bytes of the later text behind byte `from` in a sequence of at least `LEAST` bytes that the earlier
    /// one has behind that byte as well.
    fn mark(&mut self, earlier: usize, later: usize, from: usize, had: &mut [bool]) {
        self.searches += 1;
        for &window in self.of[earlier].get(from..).unwrap_or_default() {
            self.marked[window as usize] = self.searches;
        }
        let mut done = 0;
        for (at, &window) in self.of[later].iter().enumerate().skip(from) {
            if self.marked[window as usize] == self.searches {
                had[done.max(at)..at + LEAST].fill(true);
                done = at + LEAST;
            }
        }
    }
}

/// Model, salt and adapter.
fn keys(line: &Line) -> [Value; 3] {
    let record: Value = serde_json::from_str(&line.json).unwrap();
    ["model", "cache_salt", "lora_name"].map(|name| record[name].clone())
}

/// Shared and lost tokens of each request by the definition: of all earlier prompts with the same keys, the most
/// that any shares at the beginning, and what is behind that in any of them, behind the place where it parts; or
/// what one with other keys shares more.
fn oracle(lines: &[Line], texts: &[String]) -> Vec<(usize, usize)> {
    let keys: Vec<[Value; 3]> = lines.iter().map(keys).collect();
    let mut windows = Windows::new(texts);
    let mut of = |at: usize| {
        let text = texts[at].as_bytes();
        let (mut most_shared, mut of_others, mut had) = (0, 0, vec![false; text.len()]);
        for before in 0..at {
            let same = shared(texts[before].as_bytes(), text);
            if keys[before] == keys[at] {
                most_shared = most_shared.max(same);
                windows.mark(before, at, same, &mut had);
            } else {
                of_others = of_others.max(same);
            }
        }
        let lost = had[most_shared..].iter().filter(|had| **had).count();
        (most_shared, lost.max(of_others.saturating_sub(most_shared)))
    };
    (0..lines.len()).map(&mut of).collect()
}

fn explain(lines: &[Line], template: Option<&str>) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{}\n", line.json)).collect();
    let folder = scratch();
    let mut args = vec!["--explain", "--tokenizer", "bytes", "-b", "64"];
    let path = template.map(|text| write(folder.path(), "t.jinja", text));
    args.extend(path.iter().flat_map(|path| ["--chat-template", path]));
    let out = run("trace-hash", &args, input).ok();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a template shows the model what the fault changes.
fn is_shown(fault: Fault, template: Option<&str>) -> bool {
    !(template.is_some() && fault == Fault::BillingHeader)
}

fn check(shape: Shape, fault: Fault, part: f64, template: Option<&str>, seed: u64) {
    let lines = log(shape, fault, part, 45, seed);
    let texts = rendered(&lines, template);
    let rows = explain(&lines, template);
    assert_eq!(rows.len(), lines.len());
    let name = format!("{shape:?} {fault:?} {part} {}", template.is_some());
    let mut planted = 0;
    for (at, ((line, row), (shared, lost))) in lines.iter().zip(&rows).zip(oracle(&lines, &texts)).enumerate()
    {
        let context = format!("{name}, line {}: {row:#}", at + 1);
        assert_eq!(row["prompt_tokens"], texts[at].len(), "{context}");
        assert_eq!(row["shared_tokens"], shared, "{context}");
        let found = row["lost_tokens"].as_u64().unwrap() as usize;
        // What is said is a lower bound: the prompts that are compared are found by samples.
        assert!(found <= lost && lost * 9 / 10 < found + 2 * LEAST, "lost {lost}: {context}");
        if !line.planted || !is_shown(fault, template) {
            assert!(is_shown(fault, template) || found == 0, "{context}");
            continue;
        }
        // The second time in a session, the other order of tools is no longer new.
        if lost < 4 * LEAST {
            continue;
        }
        planted += 1;
        assert_eq!(row["difference"], fault.difference(), "{context}");
        let place = row["place"].as_str().unwrap_or("none");
        assert!(place.starts_with(fault.place(shape)), "{context}");
    }
    assert!(planted > 0 || part < 0.05 || !is_shown(fault, template), "{name}");
}

#[test]
fn planted_faults_are_found_in_requests_to_openai() {
    FAULTS.into_iter().for_each(|fault| check(Shape::OpenAi, fault, 0.3, None, 1));
}

#[test]
fn planted_faults_are_found_in_requests_to_anthropic() {
    FAULTS.into_iter().for_each(|fault| check(Shape::Anthropic, fault, 0.3, None, 2));
}

#[test]
fn planted_faults_are_found_in_requests_to_the_responses_api() {
    FAULTS.into_iter().for_each(|fault| check(Shape::Responses, fault, 0.3, None, 3));
}

#[test]
fn planted_faults_are_found_through_templates() {
    let templates = [IN_SYSTEM, TOOLS_FIRST].into_iter().cycle();
    let shapes = SHAPES.into_iter().cycle();
    for ((fault, shape), template) in FAULTS.into_iter().zip(shapes).zip(templates) {
        check(shape, fault, 0.4, Some(template), 4);
    }
}

#[test]
fn planted_faults_are_found_in_few_requests_and_in_all() {
    for (seed, share) in [(6, 0.01), (7, 0.1), (8, 1.0)] {
        for fault in [Fault::ClockFirst, Fault::Uuid, Fault::ToolMore, Fault::Truncated, Fault::Retrieval] {
            check(Shape::OpenAi, fault, share, None, seed);
        }
    }
}

#[test]
fn nothing_is_invented_where_nothing_is_planted() {
    for (seed, shape) in [(11, Shape::OpenAi), (12, Shape::Anthropic), (13, Shape::Responses)] {
        for template in [None, Some(IN_SYSTEM), Some(TOOLS_FIRST)] {
            let lines = log(shape, Fault::Image, 0.0, 80, seed);
            for row in explain(&lines, template) {
                assert_eq!(row["lost_tokens"], 0, "{row:#}");
                assert!(
                    ["new", "text", "part", "end"].contains(&row["difference"].as_str().unwrap()),
                    "{row:#}"
                );
            }
            let input: String = lines.iter().map(|line| format!("{}\n", line.json)).collect();
            let report = run("trace-hash", &["--explain=top", "--format", "json"], input).ok();
            let report: Value = serde_json::from_str(&report).unwrap();
            assert_eq!((&report["breaks"], &report["lost_tokens"]), (&Value::Array(Vec::new()), &0.into()));
        }
    }
}

/// New words, which are nowhere else.
fn words(random: &mut Rng, count: usize) -> String {
    let word = |random: &mut Rng| (0..random.usize(3..9)).map(|_| random.lowercase()).collect::<String>();
    (0..count).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

/// Conversations of six turns, of which each turn has the next one of some beginnings.
fn taking_turns(beginnings: &[Value], random: &mut Rng) -> Vec<Line> {
    let stable = words(random, 100);
    let mut lines = Vec::new();
    for _ in 0..6 {
        let mut messages = vec![json!({"role": "system", "content": ""})];
        for turn in 0..6 {
            let beginning = &beginnings[turn % beginnings.len()];
            let document = beginning["document"].as_str().unwrap_or_default();
            messages[0]["content"] = format!("Documents:\n{document}\n{stable}").into();
            messages.push(json!({"role": "user", "content": words(random, 30)}));
            let mut request = json!({"model": "small", "messages": messages, "tools": "@tools"}).to_string();
            // As it is written, for the order of the keys.
            request = request.replace("\"@tools\"", beginning["tools"].as_str().unwrap_or("[]"));
            lines.push(Line { json: request, planted: turn > 1 });
            messages.push(json!({"role": "assistant", "content": words(random, 40)}));
        }
    }
    lines
}

/// Checks that all is found that is lost where beginnings take turns, and what is said of it.
fn check_turns(name: &str, beginnings: &[Value], difference: &str, place: &str, random: &mut Rng) {
    let lines = taking_turns(beginnings, random);
    let texts = rendered(&lines, None);
    let (mut all, mut found) = (0, 0);
    for ((line, row), (shared, lost)) in lines.iter().zip(explain(&lines, None)).zip(oracle(&lines, &texts)) {
        assert_eq!(row["shared_tokens"], shared, "{name}: {row:#}");
        let row_lost = row["lost_tokens"].as_u64().unwrap() as usize;
        assert!(row_lost <= lost && lost < row_lost + 2 * LEAST, "{name}, lost {lost}: {row:#}");
        (all, found) = (all + lost, found + row_lost);
        if line.planted {
            assert!(lost > LEAST, "{name}, lost {lost}: {row:#}");
            assert_eq!(row["difference"], difference, "{name}: {row:#}");
            assert!(row["place"].as_str().unwrap().starts_with(place), "{name}: {row:#}");
        }
    }
    assert!(all > 5000 && found * 100 > all * 95, "{name}: {found} of {all}");
}

#[test]
fn what_the_last_turn_had_behind_another_beginning_is_lost() {
    let mut random = Rng::with_seed(31);
    for (count, length) in [(2, 20), (2, 100), (2, 400), (3, 400), (4, 150)] {
        let beginnings: Vec<Value> =
            (0..count).map(|_| json!({"document": words(&mut random, length)})).collect();
        let name = format!("{count} documents of {length} words");
        check_turns(&name, &beginnings, "text", "/messages/0/content", &mut random);
    }
}

#[test]
fn json_with_its_keys_in_another_order_is_not_other_json() {
    let mut random = Rng::with_seed(32);
    for length in [10, 60, 300] {
        let tools: Vec<[String; 3]> = (0..3)
            .map(|i| {
                let text = json!(words(&mut random, length));
                let schema = r#"{"type": "object", "properties": {"id": {"type": "string"}}}"#;
                [
                    format!(r#""name": "tool_{i}""#),
                    format!(r#""description": {text}"#),
                    format!(r#""parameters": {schema}"#),
                ]
            })
            .collect();
        let [given, sorted, reversed] = [[0, 1, 2], [1, 0, 2], [2, 1, 0]].map(|order| {
            let tool = |tool: &[String; 3]| {
                let fields = order.map(|field| tool[field].as_str()).join(", ");
                match order[0] {
                    0 => format!(r#"{{"type": "function", "function": {{{fields}}}}}"#),
                    _ => format!(r#"{{"function": {{{fields}}}, "type": "function"}}"#),
                }
            };
            json!({"tools": format!("[{}]", tools.iter().map(tool).collect::<Vec<_>>().join(", "))})
        });
        for other in [sorted, reversed] {
            let name = format!("keys with texts of {length} words");
            check_turns(&name, &[given.clone(), other], "order", "/tools", &mut random);
        }
    }
}

#[test]
fn parts_of_many_earlier_prompts_are_lost_too() {
    let mut random = Rng::with_seed(34);
    let stable = words(&mut random, 80);
    let documents: Vec<String> = (0..30).map(|_| words(&mut random, 100)).collect();
    let lines: Vec<Line> = (0..60)
        .map(|_| {
            let chosen: Vec<&str> = (0..10).map(|_| documents[random.usize(..30)].as_str()).collect();
            let system = format!("{stable}\n{}", chosen.join("\n"));
            let question = words(&mut random, 20);
            let messages =
                json!([{"role": "system", "content": system}, {"role": "user", "content": question}]);
            Line { json: json!({ "messages": messages }).to_string(), planted: false }
        })
        .collect();
    let (mut all, mut found) = (0, 0);
    for (row, (shared, lost)) in explain(&lines, None).iter().zip(oracle(&lines, &rendered(&lines, None))) {
        let row_lost = row["lost_tokens"].as_u64().unwrap() as usize;
        assert!(row["shared_tokens"] == shared && row_lost <= lost + LEAST, "lost {lost}: {row:#}");
        (all, found) = (all + lost, found + row_lost);
    }
    assert!(all > 100_000 && found * 10 > all * 8, "{found} of {all}");
}

/// The sums over requests to which a text is prefixed that a turn of a session has, or has not.
fn top_of(first: impl Fn(usize) -> String, random: &mut Rng) -> Value {
    let (stable, mut lines) = (words(random, 100), String::new());
    for session in 0..5 {
        let mut messages = vec![json!({"role": "system", "content": ""})];
        for turn in 0..6 {
            messages[0]["content"] = format!("Be kind. {}{stable}", first(6 * session + turn)).into();
            messages.push(json!({"role": "user", "content": words(random, 50)}));
            lines += &format!("{}\n", json!({"messages": messages}));
        }
    }
    let top = run("trace-hash", &["--explain=top", "--format", "json", "-b", "16"], lines).ok();
    serde_json::from_str(&top).unwrap()
}

#[test]
fn one_fault_is_one_cause() {
    let mut random = Rng::with_seed(33);
    let time = |at: usize| match at % 3 {
        0 => String::new(),
        _ => format!("Current time: 2026-11-23 {:02}:{:02}:07\n", 7 + at / 5, (at * 17) % 60),
    };
    let top = top_of(time, &mut random);
    let breaks = top["breaks"].as_array().unwrap();
    assert!(breaks.len() == 1 && breaks[0]["difference"] == "time", "{top:#}");
    assert_eq!(breaks[0]["lost_tokens"], top["lost_tokens"]);

    let host =
        |at: usize| if at.is_multiple_of(2) { "" } else { "You are an assistant on host B. " }.to_owned();
    let top = top_of(host, &mut random);
    let breaks = top["breaks"].as_array().unwrap();
    assert!(breaks.len() == 1 && breaks[0]["place"] == "/messages/*/content", "{top:#}");
    let mut both = [&breaks[0]["difference"], &breaks[0]["also"]].map(|value| value.as_str().unwrap());
    both.sort_unstable();
    assert_eq!(both, ["insertion", "removal"], "{top:#}");
    assert_eq!(breaks[0]["lost_tokens"], top["lost_tokens"]);
    assert!(breaks[0]["advice"].as_str().unwrap().starts_with("Send it always"), "{top:#}");
}

fn input(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}\n", line.json)).collect()
}

#[test]
fn the_sums_are_those_of_the_rows() {
    let lines = log(Shape::Anthropic, Fault::ClockFirst, 0.5, 120, 21);
    let rows = run("trace-hash", &["--explain"], input(&lines)).ok();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sum = |rows: &mut dyn Iterator<Item = &Value>, name: &str| -> u64 {
        rows.map(|row| row[name].as_u64().unwrap()).sum()
    };
    let top = run("trace-hash", &["--top", "1", "--format", "json"], input(&lines)).ok();
    let top: Value = serde_json::from_str(&top).unwrap();
    for name in ["prompt_tokens", "shared_tokens", "lost_tokens", "block_lost_tokens"] {
        assert_eq!(top[name], sum(&mut rows.iter(), name), "{name}");
    }
    let first = &top["breaks"][0];
    let place = ["/system/*/text", "system", "time"].map(Value::from);
    assert_eq!([&first["place"], &first["role"], &first["difference"]], [&place[0], &place[1], &place[2]]);
    let its = |row: &&Value| row["difference"] == "time" && row["lost_tokens"] != 0;
    assert_eq!(first["requests"], rows.iter().filter(its).count());
    assert_eq!(first["lost_tokens"], sum(&mut rows.iter().filter(its), "lost_tokens"));
    let others = top["lost_tokens"].as_u64().unwrap() - first["lost_tokens"].as_u64().unwrap();
    assert_eq!(top["other_lost_tokens"], others);
    assert!(first["advice"].as_str().unwrap().contains("round it to the day"));
    for format in ["table", "markdown"] {
        let text = run("trace-hash", &["--top", "3", "--format", format], input(&lines)).ok();
        assert!(text.contains("a time in /system/") || text.contains("| a time |"), "{text}");
    }
}

#[test]
fn any_number_of_threads_explains_alike_and_without_excerpts_no_text_is_written() {
    let lines = log(Shape::OpenAi, Fault::Uuid, 0.5, 150, 22);
    let one = run("trace-hash", &["--explain", "-j", "1", "--keep", "model"], input(&lines)).ok();
    assert!(one.contains("\"excerpt\"") && one.lines().all(|line| line.ends_with(",\"model\":\"small\"}")));
    let many =
        run("trace-hash", &["--explain", "-j", "4", "--reuse", "0", "--keep", "model"], input(&lines)).ok();
    assert!(one == many);
    let bare = run("trace-hash", &["--explain", "--excerpt", "0"], input(&lines)).ok();
    assert!(!bare.contains("excerpt"));
}

#[test]
fn what_is_forgotten_is_said() {
    let lines = log(Shape::OpenAi, Fault::ClockFirst, 0.0, 200, 23);
    let options = ["--explain", "--tokenizer", "bytes", "-b", "32", "--max-memory", "64k"];
    let rows = run("trace-hash", &options, input(&lines)).ok();
    let texts = rendered(&lines, None);
    let mut forgotten = 0;
    for (at, line) in rows.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        let found = row["shared_tokens"].as_u64().unwrap() as usize;
        let text = texts[at].as_bytes();
        let most = texts[..at].iter().map(|earlier| shared(earlier.as_bytes(), text)).max().unwrap_or(0);
        assert!(found <= most, "{row:#}");
        forgotten += usize::from(row["forgotten"] == true);
    }
    assert!(forgotten > 5, "{forgotten}");
    let top = run("trace-hash", &[&["--top", "3"], &options[1..]].concat(), input(&lines)).ok();
    assert!(top.contains("had an earlier prompt that was forgotten"), "{top}");
}

#[test]
fn prompts_that_are_texts_or_token_ids_have_places_too() {
    let words = |from: usize| (from..from + 60).map(|i| format!("word{i} ")).collect::<String>();
    let text = |time: &str| json!({"prompt": ["x", format!("At {time} {}", words(0))]});
    let ids = |first: u32| json!({"request": {"prompt_token_ids": (first..first + 9).chain(100..200).collect::<Vec<_>>()}});
    let input = format!("{}\n{}\n{}\n{}\n", text("12:00"), text("12:34"), ids(0), ids(50));
    let rows = run("trace-hash", &["--explain"], input).ok();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |row: &Value| {
        let fields = ["difference", "place", "character", "request"].map(|name| row[name].clone());
        Value::from(fields.to_vec())
    };
    assert_eq!(of(&rows[2]), json!(["repeat", null, null, 1]));
    assert_eq!(of(&rows[3]), json!(["time", "/prompt/1", 6, 2]));
    assert_eq!(of(&rows[5]), json!(["tokens", "/request/prompt_token_ids", null, null]));
    assert!(rows[5]["lost_tokens"] == 100 && rows[5].get("excerpt").is_none());
}

#[test]
fn blanks_at_the_ends_of_a_field_are_in_it() {
    let rest = words(&mut Rng::with_seed(41), 200);
    for (first, second, character) in [
        ("\nYou are helpful.", "\n\n\nYou are helpful.", 1),
        ("You are helpful.\n", "You are helpful.\n\n\n", 17),
        ("  You are helpful.", "You are helpful.", 0),
        ("You are helpful.", "You are helpful. ", 16),
    ] {
        let ask = |text: &str| json!({"messages": [{"role": "system", "content": text}, {"role": "user", "content": rest}]});
        let rows = run(
            "trace-hash",
            &["--explain", "--tokenizer", "bytes"],
            format!("{}\n{}\n", ask(first), ask(second)),
        );
        let row: Value = serde_json::from_str(rows.ok().lines().nth(1).unwrap()).unwrap();
        assert_eq!(row["place"], "/messages/0/content", "{row:#}");
        assert_eq!(
            (&row["character"], &row["difference"]),
            (&json!(character), &json!("white_space")),
            "{row:#}"
        );
        assert!(row["in_template"] != true, "{row:#}");
    }
}

#[test]
fn what_is_remembered_changes_no_explanation() {
    let rest = words(&mut Rng::with_seed(42), 80);
    let ask = |more: &[Value]| {
        let messages =
            [&[json!({"role": "system", "content": "S"})], more, &[json!({"role": "user", "content": rest})]];
        json!({"model": "m", "messages": messages.concat()})
    };
    let developer = json!({"role": "developer", "content": "D"});
    let input: String = (0..6).map(|i| format!("{}\n", ask(&vec![developer.clone(); i % 2]))).collect();
    let with = |reuse: &str| run("trace-hash", &["--explain", "--reuse", reuse], input.clone()).ok();
    assert_eq!(with("0"), with("1Mi"));
    assert!(with("0").contains("/messages/1/role"), "{}", with("0"));
}

#[test]
fn options_that_write_no_trace_refuse_those_of_traces() {
    for args in [
        &["--explain", "--ids", "hash"][..],
        &["--explain=rows", "--top", "3"],
        &["--explain", "--format", "json"],
        &["--excerpt", "10"],
        &["--top", "3", "--keep", "model"],
        &["--explain=top", "--rebase"],
    ] {
        let ran = run("trace-hash", args, "");
        assert_eq!(ran.status, Some(2), "{args:?}: {}", ran.stderr);
    }
    for ran in [run("trace-hash", &["--explain"], ""), run("trace-hash", &["--explain=top"], "")] {
        assert!(!ran.ok().contains("panicked"));
    }
}
