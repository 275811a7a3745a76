//! `trace-hash` on the requests of every API: nothing that the model sees is lost, lengths and times are those
//! of the log, and every line written is one valid record.

use std::path::Path;

use crate::support::{Ran, run, scratch, write};
use proptest::prelude::*;
use serde_json::{Value, json};

fn hash(args: &[&str], records: &[Value]) -> Ran {
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    run("trace-hash", args, input)
}

fn lines(ran: Ran) -> Vec<Value> {
    ran.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids of each request, with blocks so long that each prompt is one.
fn ids(args: &[&str], records: &[Value]) -> Vec<Value> {
    let args = [args, &["-b", "100000", "--tokenizer", "bytes"]].concat();
    lines(hash(&args, records)).into_iter().map(|line| line["hash_ids"].clone()).collect()
}

fn lengths(args: &[&str], records: &[Value], name: &str) -> Vec<Value> {
    lines(hash(args, records)).into_iter().map(|line| line[name].clone()).collect()
}

fn all_differ(records: &[Value]) {
    let mut found = ids(&[], records);
    let all = found.len();
    assert_eq!(all, records.len());
    found.sort_by_key(ToString::to_string);
    found.dedup();
    assert_eq!(found.len(), all, "{records:?}");
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

#[test]
fn a_list_of_messages_is_named_before_a_conversation_that_is_only_a_name() {
    let record = "{\"ctx\": {\"conversation\": \"c0\"}, \"call\": {\"kwargs\": {\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}}}\n";
    let ran = run("trace-hash", &[], record);
    assert!(
        ran.stderr.contains("in \"call.kwargs.messages\": use --field call.kwargs.messages"),
        "{}",
        ran.stderr
    );
    let ran = run("trace-hash", &[], "{\"ctx\": {\"prompt\": \"a b\"}}\n");
    assert!(ran.stderr.contains("use --field ctx.prompt"), "{}", ran.stderr);
}

#[test]
fn an_answer_is_not_advised_as_the_prompt() {
    let text = |text: &str| json!({"text": text});
    let ran =
        run("trace-hash", &[], "{\"out\": {\"text\": \"answer\"}, \"obj\": {\"text\": \"question\"}}\n");
    assert!(ran.stderr.contains("use --field obj.text"), "{}", ran.stderr);
    let ran = hash(&[], &[json!({"response": text("answer"), "id": 1})]);
    assert!(ran.stderr.contains("no prompt in the record: looked for"), "{}", ran.stderr);
}

#[test]
fn documents_that_are_left_out_are_told() {
    let ask = |documents: Value| json!({"messages": [user("q")], "documents": documents});
    let records =
        [ask(json!([{"title": "t", "text": "words"}])), ask(json!([])), json!({"messages": [user("q")]})];
    let ran = hash(&[], &records);
    assert!(ran.stderr.contains("1 chat has documents beside its messages"), "{}", ran.stderr);
    let folder = scratch();
    let template = write(folder.path(), "t.jinja", "{{ documents | tojson }}{{ messages[0].content }}");
    let ran = hash(&["--chat-template", &template], &records);
    assert!(!ran.stderr.contains("documents"), "{}", ran.stderr);
}

#[test]
fn calls_that_have_failed_are_told() {
    let call = |more: &str| format!("{{\"prompt\": \"a\", \"completion_tokens\": 1, \"time\": 1{more}}}\n");
    let good = [
        "",
        ", \"status\": 200",
        ", \"status\": \"completed\"",
        ", \"error\": null",
        ", \"error\": \"\"",
        ", \"status_code\": \"200\"",
        ", \"response\": {\"error\": null}",
    ];
    let bad = [
        ", \"status\": 429",
        ", \"status_code\": \"500\"",
        ", \"status\": \"failure\"",
        ", \"error\": {\"code\": 1}",
        ", \"error\": \"timeout\"",
        ", \"response\": {\"error\": {\"message\": \"overloaded\"}}",
        ", \"response\": {\"status_code\": 503}",
        ", \"resp\": {\"status\": 500}",
    ];
    for (more, count) in good.iter().map(|more| (more, 0)).chain(bad.iter().map(|more| (more, 1))) {
        let ran = run("trace-hash", &["-b", "1"], call(more));
        assert_eq!(ran.stderr.matches("1 call has failed").count(), count, "{more}: {}", ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 1);
    }
    let all: String = bad.iter().map(|more| call(more)).collect();
    let ran = run("trace-hash", &["-b", "1"], all);
    assert!(ran.stderr.contains("8 calls have failed and count as requests"), "{}", ran.stderr);
}

#[test]
fn parts_make_different_prompts() {
    let asks =
        |text: &str| json!({"messages": [{"role": "user", "parts": [{"type": "text", "content": text}]}]});
    all_differ(&[asks("What is the capital of France?"), asks("Write a long poem, in twelve verses.")]);
    let ran = hash(&[], &[json!({"messages": [{"role": "user"}]})]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("-:1: message 1 of \"messages\" has neither content nor tool calls"));
}

#[test]
fn tools_and_calls_are_part_of_the_prompt() {
    let tool = |name: &str| json!([{"type": "function", "function": {"name": name}}]);
    let called = |arguments: &str| {
        json!({"messages": [user("w?"), {"role": "assistant", "content": null, "tool_calls": [{"id": "c",
            "type": "function", "function": {"name": "get_weather", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c", "content": "sunny"}]})
    };
    let result = |text: &str| {
        let mut record = called("{}");
        record["messages"][2]["content"] = json!(text);
        record
    };
    let thought = |text: &str| {
        let mut record = called("{}");
        record["messages"][1]["reasoning_content"] = json!(text);
        record
    };
    all_differ(&[
        json!({"messages": [user("hi")], "tools": tool("get_weather")}),
        json!({"messages": [user("hi")], "tools": tool("delete_all_files")}),
        json!({"messages": [user("hi")], "functions": [{"name": "old"}]}),
        json!({"messages": [user("hi")]}),
        json!({"messages": [{"role": "user", "name": "bob", "content": "hi"}]}),
        called("{\"location\": \"Paris\"}"),
        called("{\"location\": \"Vladivostok, the largest port of the Russian Far East\"}"),
        result("rain"),
        thought("let me think"),
        thought("no idea"),
    ]);
    // JSON in a string is the JSON.
    let tools = tool("f");
    let as_text = json!({"messages": [user("hi")], "tools": tools.to_string()});
    let both = ids(&[], &[json!({"messages": [user("hi")], "tools": tools}), as_text]);
    assert_eq!(both[0], both[1]);
}

#[test]
fn anthropics_requests_are_prompts() {
    let asks = |at: &str, result: &str, thinking: &str| {
        json!({"system": "Be brief.", "messages": [user("hi"), {"role": "assistant", "content": [
            {"type": "thinking", "thinking": thinking, "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "ls", "input": {"path": at}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": result}]}]})
    };
    all_differ(&[
        asks(".", "a b", "hm"),
        asks("/", "a b", "hm"),
        asks(".", "c", "hm"),
        asks(".", "a b", "so"),
    ]);
}

#[test]
fn requests_of_the_responses_api_are_prompts() {
    let items = |result: &str| {
        json!({"model": "m", "instructions": "You are helpful", "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": result}]})
    };
    all_differ(&[
        json!({"model": "m", "instructions": "You are a very helpful assistant.", "input": "hi"}),
        json!({"model": "m", "instructions": "Something completely different.", "input": "hi"}),
        items("42"),
        items("43"),
    ]);
}

#[test]
fn how_a_log_spaces_its_json_changes_nothing() {
    let tool = |text: &str| {
        format!("{{\"tools\": [{text}], \"messages\": [{{\"role\": \"user\", \"content\": \"hi\"}}]}}\n")
    };
    let tight = r#"{"type":"function","function":{"name":"é","parameters":{"n":1e-5}}}"#;
    let loose = r#"{ "type": "function",  "function": {"name" : "\u00e9", "parameters": {"n": 0.00001} } }"#;
    let ids = |text: &str| run("trace-hash", &["-b", "1", "--ids", "hash"], tool(text)).ok();
    assert_eq!(ids(tight), ids(loose));
    let call = |arguments: Value| {
        let call = json!({"type": "function", "function": {"name": "f", "arguments": arguments}});
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "b"}]})
    };
    let ids = |arguments: Value| hash(&["-b", "1", "--ids", "hash"], &[call(arguments)]).ok();
    assert_eq!(ids(json!("{\"at\":\"Oslo\"}")), ids(json!({"at": "Oslo"})));
}

#[test]
fn other_tokens_than_the_servers_counted_are_said() {
    let record = |tokens: u64| json!({"prompt": "one two three four", "usage": {"prompt_tokens": tokens}});
    let said = |records: &[Value]| hash(&[], records).stderr;
    assert_eq!(said(&[record(4), record(4)]), "");
    let stderr = said(&[record(1), record(2)]);
    assert!(
        stderr.contains("the servers counted 3 prompt tokens and 8 were hashed, 167 % more:"),
        "{stderr}"
    );
    let stderr = said(&[record(16), json!({"prompt": "not counted by the server"})]);
    assert!(stderr.contains("counted 16 prompt tokens and 4 were hashed, 75 % fewer:"), "{stderr}");
}

#[test]
fn a_key_with_dots_is_reached() {
    let record = json!({"start_time": "2026-02-25T10:00:00.5", "attributes": {"gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 14, "gen_ai.usage.output_tokens": 8,
        "gen_ai.input.messages": "[{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]"}});
    let found = lines(hash(&[], std::slice::from_ref(&record)));
    assert_eq!(found[0]["output_length"], 8);
    assert_eq!(found[0]["recorded_input_length"], 14);
    assert_eq!(found[0]["timestamp"], 1_772_013_600_500_u64);
    for path in ["attributes.gen_ai.input.messages", "/attributes/gen_ai.input.messages"] {
        assert_eq!(lines(hash(&["--field", path], std::slice::from_ref(&record))), found, "{path}");
    }
    let attribute = |name: &str, value: Value| json!({"key": name, "value": value});
    let exported = json!({"startTimeUnixNano": "1772013600500000000", "attributes": [
        attribute("gen_ai.request.model", json!({"stringValue": "m"})),
        attribute("gen_ai.usage.input_tokens", json!({"intValue": "14"})),
        attribute("gen_ai.usage.output_tokens", json!({"intValue": "8"})),
        attribute("gen_ai.input.messages", json!({"stringValue": record["attributes"]["gen_ai.input.messages"]}))]});
    assert_eq!(lines(hash(&[], &[exported])), found);
    let log = json!({"a.b": [{"prompt": "x"}], "u": {"n.o": [5]}, "t": [{"at": 7}]});
    let args = [
        "--field",
        "a.b.0.prompt",
        "--output-field",
        "u.n.o.0",
        "--timestamp-field",
        "/t/0/at",
        "--keep",
        "u.n.o",
    ];
    let found = hash(&args, &[log]).ok();
    assert!(found.starts_with("{\"timestamp\": 7, \"input_length\": 1, \"output_length\": 5, "), "{found}");
    assert!(found.ends_with(", \"u.n.o\": [5]}\n"), "{found}");
}

#[test]
fn an_empty_chat_is_a_bad_record() {
    let spend = json!({"prompt_tokens": 10, "completion_tokens": 20, "messages": [], "response": {}});
    let chat = json!({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]});
    for empty in [spend, json!({"id": "a", "conversations": []})] {
        let ran = hash(&["--skip-invalid"], &[empty, chat.clone()]);
        assert!(ran.stderr.contains("skipped 1 invalid record (first: -:1: "), "{}", ran.stderr);
        assert!(ran.stderr.contains("is an empty list"), "{}", ran.stderr);
        assert_eq!(lines(ran).len(), 1);
    }
}

#[test]
fn a_record_of_bedrock_is_a_prompt() {
    let record = json!({"schemaType": "ModelInvocationLog", "timestamp": "2026-04-17T14:21:50Z", "modelId": "m",
        "input": {"inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "What is it?"}]}],
            "inferenceConfig": {"maxTokens": 4096}}, "inputTokenCount": 15},
        "output": {"outputBodyJson": {"output": {"message": {"role": "assistant", "content": [{"text": "It."}]}}},
            "outputTokenCount": 12}});
    let found = &lines(hash(&[], &[record]))[0];
    assert_eq!([&found["output_length"], &found["recorded_input_length"]], [12, 15]);
    assert_eq!(found["timestamp"], 1_776_435_710_000_u64);
}

#[test]
fn an_instruction_is_part_of_the_prompt() {
    let poem = json!({"instruction": "Write a poem about the sea.", "input": "", "output": "..."});
    let found = lengths(&["--tokenizer", "bytes"], &[poem], "input_length");
    let asked = lengths(
        &["--tokenizer", "bytes"],
        &[json!({"messages": [user("Write a poem about the sea.")]})],
        "input_length",
    );
    assert_eq!(found, asked);
}

#[test]
fn a_call_of_a_tool_has_a_length() {
    let chat = json!({"messages": [user("hi"), {"role": "assistant", "content": "", "tool_calls": [{"type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}}]},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "ok", "reasoning_content": "Let me think about this at length."}]});
    let found = lengths(&["--turns", "each", "--tokenizer", "bytes"], &[chat], "output_length");
    let call = "\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 2}}\n</tool_call>";
    let thought = "<think>\nLet me think about this at length.\n</think>\n\nok";
    assert_eq!(found, [call.len(), thought.len()]);
}

#[test]
fn output_lengths_are_those_of_the_log() {
    let used = json!({"prompt_tokens": 10, "completion_tokens": 33});
    let records = [
        json!({"prompt": "hi", "usage": used, "max_tokens": 4096}),
        json!({"messages": [user("hi")], "max_tokens": 4096,
            "response": {"choices": [{"message": {"content": "a b c"}}], "usage": {"completion_tokens": 3}}}),
        json!({"prompt": "hi", "choices": [{"text": "a b c"}], "usage": {"completion_tokens": 3}}),
        json!({"prompt": "hi", "choices": [{"text": "a b c"}]}),
        json!({"prompt": "hi", "max_tokens": 4096}),
        json!({"prompt": "hi"}),
    ];
    let ran = hash(&[], &records);
    assert!(ran.stderr.contains("1 request has no output length"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 request does not say how long its output was"), "{}", ran.stderr);
    let found: Vec<Value> = lines(ran).into_iter().map(|line| line["output_length"].clone()).collect();
    assert_eq!(json!(found), json!([33, 3, 3, 3, 4096, null]));
    assert_eq!(lengths(&["--output-length", "7"], &records, "output_length")[5], 7);
}

#[test]
fn what_no_record_has_is_left_out() {
    let ran = hash(&[], &[json!({"prompt": "hi"})]);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("{\"input_length\": 1, \"hash_ids\": [0]}\n", ""));
    let half = [json!({"prompt": "hi", "timestamp": 3, "output_length": 1}), json!({"prompt": "hi"})];
    let ran = hash(&[], &half);
    assert!(ran.stderr.contains("1 request has no time"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 request has no output length"), "{}", ran.stderr);
}

#[test]
fn what_the_server_counted_is_carried_along() {
    let usage = json!({"prompt_tokens": 900, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 512}});
    let found = hash(&[], &[json!({"prompt": "hi", "usage": usage})]).ok();
    let expected = "{\"input_length\": 1, \"output_length\": 3, \"hash_ids\": [0], \"cached_tokens\": 512, \
                    \"recorded_input_length\": 900}\n";
    assert_eq!(found, expected);
    // A length that is the same is not said twice.
    let found = hash(&[], &[json!({"prompt": "hi", "usage": {"prompt_tokens": 1}})]).ok();
    assert!(!found.contains("recorded"), "{found}");
}

#[test]
fn other_keys_share_no_block() {
    let keyed = [
        json!({"prompt": "a b c d e f g h", "cache_salt": "tenant-1", "model": "base"}),
        json!({"prompt": "a b c d e f g h", "cache_salt": "tenant-2", "model": "base"}),
        json!({"prompt": "a b c d e f g h", "model": "base"}),
        json!({"prompt": "a b c d e f g h", "model": "base", "lora_name": "l"}),
        json!({"prompt": "a b c d e f g h", "model": "lora-7"}),
        json!({"prompt": "a b c d e f g h"}),
        json!({"prompt": "a b c d e f g h", "extra_key": "user-3"}),
    ];
    let distinct = |args: &[&str]| {
        let mut found = lengths(args, &keyed, "hash_ids");
        found.sort_by_key(ToString::to_string);
        found.dedup();
        found.len()
    };
    assert_eq!((distinct(&["-b", "4"]), distinct(&["-b", "4", "--ignore-keys"])), (7, 1));
    assert_eq!(distinct(&["-b", "4", "--ids", "hash"]), 7);
    // vLLM serves one model: its name is no key, the adapter's is.
    assert_eq!(distinct(&["-b", "4", "--ids", "vllm"]), 5);
    let vllm = |more: &[&str]| {
        let tokens = json!({"prompt_token_ids": (100..116).collect::<Vec<u32>>(), "cache_salt": "abc"});
        let args = [&["-b", "16", "--ids", "vllm", "--ids-as", "string"], more].concat();
        lines(hash(&args, &[tokens]))[0]["hash_ids"][0].clone()
    };
    assert_eq!(vllm(&[]), "439e3ffb5ebef43ed1dcc851f909ac2d915079f9c91fb048e23efa4d00d571d3");
    assert_eq!(
        vllm(&["--extra-keys", "bare"]),
        "45ca85a58aabfadb19df3c9f305081e4c5e8a9311d19e21ac73b019b713ad2eb"
    );
}

#[test]
fn a_message_to_go_on_with_is_part_of_the_prompt() {
    let folder = scratch();
    let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if not loop.last %}</s>{% endif %}\
                    {% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    let path = write(folder.path(), "t.jinja", template);
    let record = json!({"messages": [user("hi"), {"role": "assistant", "content": "Sure, "}],
        "continue_final_message": true, "add_generation_prompt": false});
    let found = ids(&["--chat-template", &path, "--ids", "hash"], std::slice::from_ref(&record));
    let text = json!({"prompt": "<user>hi</s><assistant>Sure, "});
    assert_eq!(found, ids(&["--ids", "hash"], &[text]));
    // Without a template too.
    let found = ids(&["--ids", "hash"], std::slice::from_ref(&record));
    let text = json!({"prompt": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nSure, "});
    assert_eq!(found, ids(&["--ids", "hash"], std::slice::from_ref(&text)));
    assert_eq!(found, ids(&["--ids", "hash", "--reuse", "0"], &[record]));
}

#[test]
fn a_message_that_calls_itself_a_prefix_is_gone_on_with() {
    let chat = |mark: Value, more: Value| {
        let mut last = json!({"role": "assistant", "content": "Sure, "});
        last.as_object_mut().unwrap().extend(mark.as_object().unwrap().clone());
        let mut record = json!({"messages": [user("hi"), last]});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ids(&["--ids", "hash"], &[record])
    };
    let none = json!({});
    let continued =
        chat(none.clone(), json!({"continue_final_message": true, "add_generation_prompt": false}));
    let answered = chat(none.clone(), none.clone());
    assert_ne!(continued, answered);
    for name in ["prefix", "partial"] {
        assert_eq!(chat(json!({name: true}), none.clone()), continued, "{name}");
        for other in [json!(false), json!(null), json!("true"), json!({"prefix": true})] {
            assert_eq!(chat(json!({name: other}), none.clone()), answered, "{name}");
        }
    }
    // What the request says itself counts, and so does the role.
    let closed = json!({"continue_final_message": false});
    assert_eq!(chat(json!({"prefix": true}), closed.clone()), chat(none.clone(), closed));
    assert_eq!(
        chat(json!({"prefix": true, "role": "user"}), none.clone()),
        chat(json!({"role": "user"}), none)
    );
}

#[test]
fn a_request_may_be_a_text_in_a_field() {
    let inner = json!({"messages": [user("hi")]});
    let records =
        [inner.clone(), json!({"request_json": inner.to_string()}), json!({"body": inner.to_string()})];
    let found = ids(&["--ids", "hash"], &records);
    assert_eq!((&found[0], &found[0]), (&found[1], &found[2]));
    assert_eq!(ids(&["--ids", "hash", "--field", "request_json"], &records[1..2])[0], found[0]);
}

#[test]
fn the_way_in_which_chats_are_taken_is_said_once() {
    let answer = json!({"role": "assistant", "content": "because"});
    let whole = json!({"messages": [user("why?"), answer, user("why?"), answer]});
    let mut sent = whole.clone();
    sent["model"] = json!("m");
    let open = json!({"messages": [user("why?")]});
    let ran = hash(&[], &[open.clone(), sent.clone(), whole.clone(), sent.clone()]);
    assert!(
        ran.stderr.contains("3 chats with answers in them are taken as one request each"),
        "{}",
        ran.stderr
    );
    let otherwise = "1 chat looks otherwise than the first one, which decides for all (--turns)";
    assert!(ran.stderr.contains(otherwise), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 request has no output length"), "{}", ran.stderr);
    assert_eq!((ran.stderr.lines().count(), lines(ran).len()), (3, 4));
    let ran = hash(&[], &[whole.clone(), sent.clone(), open, sent.clone()]);
    assert!(ran.stderr.contains("3 whole chats are taken as a request per answer"), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 chats look otherwise than the first one"), "{}", ran.stderr);
    assert_eq!(lines(ran).len(), 7);
    for (turns, requests) in [("each", 4), ("last", 2)] {
        let ran = hash(&["--turns", turns], &[sent.clone(), whole.clone()]);
        assert_eq!((&*ran.stderr, ran.stdout.lines().count()), ("", requests));
    }
}

/// Batches of lines go to several workers, of which the quickest may not have the first chat.
#[test]
fn the_first_chat_of_the_input_decides_on_any_number_of_threads() {
    let answer = json!({"role": "assistant", "content": "because ".repeat(10_000)});
    let whole = json!({"messages": [user("why?"), answer, user("why?"), answer]});
    let mut sent = whole.clone();
    sent["model"] = json!("m");
    let plain = json!({"prompt": "why? ".repeat(20_000)});
    for (first, other, requests) in [(&whole, &sent, 2), (&sent, &whole, 1)] {
        let mut records = vec![plain.clone(); 20];
        records.push(first.clone());
        records.extend(vec![other.clone(); 20]);
        for jobs in ["1", "2", "5"] {
            let ran = hash(&["-b", "512", "-j", jobs], &records);
            assert!(ran.stderr.contains("20 chats look otherwise than the first one"), "{}", ran.stderr);
            assert_eq!(lines(ran).len(), 20 + 21 * requests);
        }
    }
}

#[test]
fn images_have_stand_ins_and_are_counted() {
    let sees = |data: &str| {
        let image = json!({"type": "image_url", "image_url": {"url": data}});
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}, image]}]})
    };
    all_differ(&[sees("data:1"), sees("data:2")]);
    let ran = hash(&[], &[sees("data:1"), sees("data:1")]);
    assert!(ran.stderr.contains("2 parts of messages, such as images"), "{}", ran.stderr);
    let same = lines(ran);
    assert_eq!(same[0], same[1]);
    let ran = hash(&[], &[json!({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]})]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("part 1 of message 1 of \"messages\" is of the unknown type \"hologram\""));
    let ran = hash(&[], &[json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})]);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn marks_of_what_to_cache_are_no_part_of_the_prompt() {
    let asks = |mark: Value| {
        let text = json!({"type": "text", "text": "what?", "cache_control": mark});
        let image =
            json!({"type": "image", "source": {"type": "base64", "data": "AA=="}, "cache_control": mark});
        let tool = json!({"name": "look", "input_schema": {"type": "object"}, "cache_control": mark});
        let system = json!([{"type": "text", "text": "You help.", "cache_control": mark}]);
        json!({"system": system, "tools": [tool], "messages": [{"role": "user", "content": [text, image]}]})
    };
    let same = lines(hash(&[], &[asks(json!({"type": "ephemeral"})), asks(Value::Null)]));
    assert_eq!(same[0], same[1]);
}

#[test]
fn a_field_that_is_written_already_is_not_kept_as_well() {
    for name in ["block_size", "output_tokens", "input_tokens", "created_time", "timestamp", "cached_tokens"]
    {
        let ran = run("trace-hash", &["--keep", name], "");
        assert_eq!(ran.status, Some(2), "{name}");
        assert!(ran.stderr.contains("is written in any case"), "{}", ran.stderr);
    }
    let twice = hash(&["--keep", "a,a", "--keep", "a"], &[json!({"prompt": "x", "a": 1})]).ok();
    assert_eq!(twice.matches("\"a\"").count(), 1);
}

#[test]
fn half_a_character_does_no_harm() {
    let line = r#"{"messages": [{"role": "user", "content": "a\ud83d b"}], "tools": [{"type": "function", "function": {"name": "\udc00"}}]}"#;
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/model");
    for args in [&[][..], &["--tokenizer", model.to_str().unwrap()]] {
        assert_eq!(run("trace-hash", args, line).ok().lines().count(), 1, "{args:?}");
    }
}

/// Texts that would do harm if they were copied.
fn texts() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "\"",
        "\\",
        "\n",
        "\r",
        "{",
        "}",
        ",",
        ":",
        "0",
        "1e5",
        "-",
        ".",
        "2026-11-24T12:00:00Z",
        "\u{2028}",
        "\t",
        "\"input_length\": 5",
        "}\n{\"input_length\": 5",
        "null",
        "NaN",
        "é",
        " ",
        "+",
        "0x1",
        "1,2",
        "\u{0}",
    ]);
    prop::collection::vec(parts, 0..5).prop_map(|parts| parts.concat())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        texts().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!(true)),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            (texts(), inner).prop_map(|(name, value)| json!({name: value})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever the input holds, each line written is one record that trace-cat finds valid.
    #[test]
    fn every_line_written_is_one_valid_record(
        records in prop::collection::vec((values(), values(), values(), texts()), 1..40),
        unit in prop::sample::select(vec!["s", "ms", "rfc3339"]),
        kind in prop::sample::select(vec!["dense", "hash"]),
        rebase in any::<bool>(),
    ) {
        let of = |(time, kept, name, text): &(Value, Value, Value, String)| {
            json!({"prompt": "b", "created": time, "k\"ept\n": kept, "cache_salt": name, "model": text,
                "timestamp": time, "usage": {"completion_tokens": kept, "cached_tokens": time}})
        };
        // Blanks between values may be any that JSON knows but line ends.
        let spaced = |record: Value| {
            let field = |(name, value): (&String, &Value)| format!("{}\r:\t{value}", json!(name));
            let fields: Vec<String> = record.as_object().unwrap().iter().map(field).collect();
            format!("{{{}\t}}\n", fields.join("\r,"))
        };
        // A date is a time in any unit.
        let date = json!("2026-11-24T12:00:00Z");
        let good = json!({"prompt": "b", "created": date, "timestamp": date});
        let input: String = records.iter().map(of).chain([good]).map(spaced).collect();
        let mut args = vec!["-q", "--skip-invalid", "--keep", "k\"ept\n,model", "--ids", kind];
        for field in ["created", "timestamp"] {
            args.truncate(6);
            args.extend(["--timestamp-field", field, "--timestamp-unit", unit]);
            args.extend(rebase.then_some("--rebase"));
            let output = run("trace-hash", &args, input.clone()).ok();
            prop_assert!(output.lines().count() <= records.len() + 1);
            prop_assert!(!output.contains('\r'));
            for line in output.lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                prop_assert_eq!(&record["input_length"], &json!(1));
                prop_assert!(record["timestamp"].is_number(), "{}", line);
            }
            let checked = run("trace-cat", &["--check"], output.clone());
            prop_assert!(checked.stdout.contains("\"valid\": true"), "{}\n{}", checked.stdout, output);
        }
    }
}

#[test]
fn a_time_cannot_add_a_line() {
    let record = json!({"prompt": "b", "created": "0}\n{\"input_length\": 5"});
    let ran = hash(&["--timestamp-field", "created"], &[record]);
    assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
    assert!(ran.stderr.contains("is not a plausible time in numbers"), "{}", ran.stderr);
}

#[test]
fn an_answer_without_a_message_before_it_is_no_request() {
    let says = |from: &str| json!({"from": from, "value": from});
    let ran = hash(&[], &[json!({"conversations": [says("gpt"), says("human"), says("gpt")]})]);
    assert!(ran.stderr.contains("1 answer begins its chat"), "{}", ran.stderr);
    assert_eq!(lines(ran).len(), 1);
    let ran = hash(&[], &[json!({"conversations": [says("gpt")]})]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains(":1: the chat begins with its answer"), "{}", ran.stderr);
}

#[test]
fn a_path_may_begin_with_any_character() {
    for path in ["é", "é.a", "\u{1f600}/b", "/é", "a.é"] {
        let ran = hash(&["--field", path], &[json!({"a": {"x": 1}})]);
        assert_eq!(ran.status, Some(1), "{path}: {}", ran.stderr);
        assert!(ran.stderr.contains("-:1: "), "{path}: {}", ran.stderr);
    }
}

#[test]
fn a_time_that_is_not_read_is_shown_with_its_place() {
    let said = |args: &[&str], records: &[Value]| {
        let text: String = records.iter().map(|record| format!("{record}\n")).collect();
        run("trace-hash", args, text).stderr
    };
    let log = json!({"prompt": "a", "ts": "23/Nov/2026:10:00:00 +0000"});
    let mail = json!({"prompt": "a", "@timestamp": "Mon, 23 Nov 2026 10:00:01 GMT"});
    let times: Vec<_> = lines(hash(&["--rebase"], &[log.clone(), mail]));
    assert_eq!((&times[0]["timestamp"], &times[1]["timestamp"]), (&json!(0), &json!(1000)));
    let unread = said(
        &[],
        &[log.clone(), json!({"prompt": "a", "ts": "ten"}), json!({"prompt": "a", "ts": "eleven"})],
    );
    assert!(unread.contains("-:2: no time is read from \"ts\": \"ten\" (see --timestamp-field"), "{unread}");
    assert!(!unread.contains("eleven"), "{unread}");
    let relative = said(&[], &[json!({"prompt": "a", "ts": 12.5})]);
    assert!(relative.contains("-:1: no time is read from \"ts\": 12.5 (see"), "{relative}");
    let elsewhere = said(&[], &[json!({"prompt": "a", "logged": "2026-11-23 10:00:00,123"})]);
    assert!(
        elsewhere.contains("no time is read, though \"logged\": \"2026-11-23 10:00:00,123\" may be one"),
        "{elsewhere}"
    );
    for (args, record) in [
        (&["--rate=1"][..], json!({"prompt": "a", "ts": "ten"})),
        (&[], json!({"prompt": "a", "ts": null})),
        (&[], json!({"prompt": "a", "ts": "ten", "created": 1_764_000_000})),
        (&["--timestamp-field=n"], json!({"prompt": "a", "ts": "ten", "n": 5})),
    ] {
        assert!(!said(args, &[record]).contains("no time"), "{args:?}");
    }
}

#[test]
fn a_table_is_named_as_one() {
    for header in ["id,input,output", "time;model;prompt.text", "\"a\",\"b\""] {
        let ran = run("trace-hash", &[], format!("{header}\n1,2,3\n"));
        assert_eq!(ran.status, Some(1));
        assert!(
            ran.stderr.contains("found names of columns; write the rows of a table as JSON"),
            "{}",
            ran.stderr
        );
    }
    let ran = run("trace-hash", &[], "hello world, and more\n");
    assert!(ran.stderr.contains("--text"), "{}", ran.stderr);
}
