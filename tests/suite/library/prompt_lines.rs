//! Lines of prompts in every shape, and what is wrong with others.

use kvtrace::error::InvalidKind;
use kvtrace::record::prompt::{
    Content, Message, OutputLength, PromptOptions, PromptReader, PromptRecord, Turns,
};

use super::options;

fn parse(line: &str) -> PromptRecord {
    parse_with(line, &PromptOptions::default())
}

fn parse_with(line: &str, options: &PromptOptions) -> PromptRecord {
    PromptRecord::parse(line.as_bytes(), options).unwrap()
}

fn error(line: &str) -> String {
    PromptRecord::parse(line.as_bytes(), &PromptOptions::default()).unwrap_err().message
}

fn field(path: &str) -> PromptOptions {
    options(|options| options.field = Some(path.to_owned()))
}

fn texts(texts: &[&str]) -> Content {
    Content::Texts(texts.iter().map(|&text| text.to_owned()).collect())
}

fn tokens(lists: &[&[u32]]) -> Content {
    Content::Tokens(lists.iter().map(|list| list.to_vec()).collect())
}

/// The roles and texts of a chat, and its requests.
fn said(record: PromptRecord) -> (Vec<(String, String)>, Vec<usize>) {
    let Content::Chat(chat) = record.content else { panic!("no chat: {record:?}") };
    let text = |message: &Message| {
        let json: serde_json::Value = serde_json::from_str(&message.json).unwrap();
        assert_eq!(json["role"], *message.role);
        let parts = json["content"].as_array().into_iter().flatten();
        let parts: String = parts.map(|part| part["text"].as_str().unwrap()).collect();
        (message.role.to_string(), json["content"].as_str().map_or(parts, str::to_owned))
    };
    (chat.messages.iter().map(text).collect(), chat.requests)
}

fn chat(turns: &[(&str, &str)], requests: &[usize]) -> (Vec<(String, String)>, Vec<usize>) {
    let turns = turns.iter().map(|&(role, text)| (role.to_owned(), text.to_owned()));
    (turns.collect(), requests.to_vec())
}

#[test]
fn token_ids_are_found_under_their_three_names() {
    for name in ["prompt_token_ids", "token_ids", "input_ids"] {
        let line = format!("{{\"prompt\": \"no\", \"{name}\": [0, 17, 4294967295]}}");
        assert_eq!(parse(&line).content, tokens(&[&[0, 17, 4_294_967_295]]));
    }
}

#[test]
fn a_prompt_is_a_string_ids_strings_or_lists_of_ids() {
    assert_eq!(parse(r#"{"prompt": "a\n\u00e9"}"#).content, texts(&["a\n\u{e9}"]));
    assert_eq!(parse(r#"{"prompt": [ 1, 2 ]}"#).content, tokens(&[&[1, 2]]));
    assert_eq!(parse(r#"{"prompt": ["a", ""]}"#).content, texts(&["a", ""]));
    assert_eq!(parse(r#"{"prompt": [[1], [], [2, 3]]}"#).content, tokens(&[&[1], &[], &[2, 3]]));
}

#[test]
fn empty_prompts_are_requests_too() {
    assert_eq!(parse(r#"{"prompt": ""}"#).content, texts(&[""]));
    assert_eq!(parse(r#"{"prompt": []}"#).content, tokens(&[&[]]));
}

#[test]
fn a_text_is_found_under_its_names() {
    for name in ["prompt", "text_input", "text", "input"] {
        assert_eq!(parse(&format!("{{\"{name}\": \"x\"}}")).content, texts(&["x"]));
    }
}

#[test]
fn the_first_shape_wins_and_null_counts_as_absent() {
    let line = r#"{"messages": [], "text": "t", "prompt": null, "token_ids": null}"#;
    assert_eq!(parse(line).content, texts(&["t"]));
}

#[test]
fn the_last_of_two_equal_names_counts() {
    assert_eq!(parse(r#"{"prompt": "a", "\u0070rompt": "b"}"#).content, texts(&["b"]));
}

#[test]
fn a_chat_is_one_request_per_assistant_turn() {
    let line = r#"{"messages": [{"role": "system", "content": "s"},
        {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"},
        {"role": "tool", "content": "r"}, {"role": "assistant", "content": null},
        {"content": "v", "role": "user"}]}"#;
    let turns =
        [("system", "s"), ("user", "u"), ("assistant", "a"), ("tool", "r"), ("assistant", ""), ("user", "v")];
    let each = options(|options| options.turns = Turns::Each);
    assert_eq!(said(parse_with(line, &each)), chat(&turns, &[2, 4]));
    let last = options(|options| options.turns = Turns::Last);
    assert_eq!(said(parse_with(line, &last)), chat(&turns, &[6]));
}

#[test]
fn a_chat_without_assistant_turns_is_one_unanswered_request() {
    let record = parse(r#"{"messages": [{"role": "user", "content": "u"}], "max_tokens": 7}"#);
    assert_eq!(record.output, OutputLength::Limit(7));
    assert_eq!(said(record), chat(&[("user", "u")], &[1]));
}

#[test]
fn the_last_answer_is_the_output_of_the_whole_chat() {
    let last = options(|options| options.turns = Turns::Last);
    let line = r#"{"conversations": [{"from": "human", "value": "q"},
        {"from": "gpt", "value": "a"}, {"from": "human", "value": "r"},
        {"from": "gpt", "value": "b"}]}"#;
    let Content::Chat(chat) = parse_with(line, &last).content else { panic!() };
    assert_eq!(chat.requests, [3]);
    assert_eq!(&*chat.answer(3).unwrap().json, r#"{"role":"assistant","content":"b"}"#);
}

#[test]
fn roles_of_sharegpt_get_their_usual_names() {
    let line = r#"{"conversations": [{"from": "system", "value": "s"},
        {"from": "human", "value": "1"}, {"from": "gpt", "value": "2"},
        {"from": "user", "value": "3"}, {"from": "chatgpt", "value": "4"},
        {"from": "bing", "value": "5"}, {"from": "bard", "value": "6"},
        {"from": "assistant", "value": "7"}, {"from": "Critic", "value": "8"}]}"#;
    let turns = [
        ("system", "s"),
        ("user", "1"),
        ("assistant", "2"),
        ("user", "3"),
        ("assistant", "4"),
        ("assistant", "5"),
        ("assistant", "6"),
        ("assistant", "7"),
        ("Critic", "8"),
    ];
    assert_eq!(said(parse(line)), chat(&turns, &[2, 4, 5, 6, 7]));
}

#[test]
fn forks_of_sharegpt_name_the_list_and_the_fields_otherwise() {
    for name in ["conversations", "conversation", "items"] {
        let line = format!(r#"{{"{name}": [{{"role": "human", "content": "q"}}]}}"#);
        assert_eq!(said(parse(&line)), chat(&[("user", "q")], &[1]));
    }
}

#[test]
fn an_input_may_be_a_list_of_messages() {
    let line = r#"{"input": [{"type": "message", "role": "user", "content":
        [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}]}]}"#;
    assert_eq!(said(parse(line)), chat(&[("user", "ab")], &[1]));
}

#[test]
fn the_parts_of_a_message_are_joined() {
    let line = r#"{"messages": [{"role": "user", "content":
        [{"type": "text", "text": "a"}, "b", {"text": "c"}]}]}"#;
    assert_eq!(said(parse(line)), chat(&[("user", "abc")], &[1]));
}

#[test]
fn a_system_prompt_beside_the_messages_is_the_first_turn() {
    let line = r#"{"system": "s", "messages": [{"role": "user", "content": "u"}]}"#;
    assert_eq!(said(parse(line)), chat(&[("system", "s"), ("user", "u")], &[2]));
    let line = r#"{"body": {"system": [{"type": "text", "text": "s"}], "messages": []}}"#;
    assert_eq!(said(parse(line)), chat(&[("system", "s")], &[1]));
}

#[test]
fn a_call_of_a_tool_has_a_name() {
    let line = r#"{"messages": [{"role": "user", "content": "u"},
        {"role": "assistant", "tool_calls": [{"id": "1"}]}]}"#;
    let wrong = "item 1 of \"tool_calls\" of message 2 of \"messages\" is not a call of a tool with a name";
    assert_eq!(error(line), wrong);
}

#[test]
fn a_batch_line_has_its_prompt_in_the_body() {
    let line = r#"{"custom_id": "r1", "timestamp": 12.50, "body":
        {"prompt": "x", "max_tokens": 9, "timestamp": 3, "model": "m"}}"#;
    let keep = vec!["model".to_owned(), "custom_id".to_owned(), "none".to_owned()];
    let record = parse_with(line, &options(|options| options.keep = keep));
    assert_eq!(record.content, texts(&["x"]));
    assert_eq!(record.output, OutputLength::Limit(9));
    assert_eq!(record.timestamp.unwrap().text, "12.50");
    let kept = [("model", "\"m\""), ("custom_id", "\"r1\"")];
    assert_eq!(record.kept, kept.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let line = r#"{"body": {"conversations": [{"from": "human", "value": "q"}]}}"#;
    assert_eq!(said(parse(line)), chat(&[("user", "q")], &[1]));
}

#[test]
fn kept_fields_stay_byte_for_byte() {
    let line = r#"{"prompt": "", "a": { "n" : 1.0e+02, "s": "\u00e9" }, "b": null}"#;
    let keep = vec!["a".to_owned(), "b".to_owned()];
    let record = parse_with(line, &options(|options| options.keep = keep));
    assert_eq!(record.kept[0].1, r#"{ "n" : 1.0e+02, "s": "\u00e9" }"#);
    assert_eq!(record.kept[1].1, "null");
}

#[test]
fn a_named_field_is_taken_instead_of_the_known_ones() {
    let line = r#"{"prompt": "no", "a": {"b": {"c": "yes", "max_tokens": 3}, "ids": [1],
        "list": ["x", "y"], "chat": [{"role": "user", "content": "u"}]}}"#;
    let record = parse_with(line, &field("a.b.c"));
    assert_eq!(record.content, texts(&["yes"]));
    assert_eq!(record.output, OutputLength::Limit(3));
    assert_eq!(parse_with(line, &field("a.ids")).content, tokens(&[&[1]]));
    assert_eq!(parse_with(line, &field("a.list")).content, texts(&["x", "y"]));
    assert_eq!(said(parse_with(line, &field("a.chat"))), chat(&[("user", "u")], &[1]));
    assert_eq!(parse_with(line, &field("prompt")).content, texts(&["no"]));
}

#[test]
fn a_named_field_that_leads_nowhere_is_an_error() {
    let error =
        |line: &str, path: &str| PromptRecord::parse(line.as_bytes(), &field(path)).unwrap_err().message;
    assert_eq!(error(r#"{"a": {}}"#, "a.b.c"), "no field \"a.b\" (from `field`)");
    assert_eq!(error(r#"{"a": null}"#, "a"), "no field \"a\" (from `field`)");
    assert_eq!(error(r#"{"a": 3}"#, "a.b"), "\"a\" must be an object, found 3");
    assert!(error(r#"{"a": 3}"#, "a").starts_with("\"a\" must be a string, or a list"));
    for path in ["", ".", "a.", ".a", "a..b"] {
        assert!(error(r#"{"a": {}}"#, path).contains("(from `field`)"), "{path}");
    }
}

#[test]
fn a_prompt_further_inside_is_pointed_at() {
    let line = r#"{"a.b": {"text": "x"}, "n": [1], "envelope": {"model": "m", "messages": []}}"#;
    let found = "no prompt in the record itself, but in \"envelope.messages\": use `field` envelope.messages";
    assert_eq!(error(line), found);
    assert!(error(r#"{"obj": {"text": null, "input_ids": [1]}}"#).ends_with("`field` obj.input_ids"));
    assert!(error(r#"{"body": {"a": {"prompt": ""}}}"#).ends_with("`field` body.a.prompt"));
    let error = PromptRecord::parse(line.as_bytes(), &field("envelope")).unwrap_err().message;
    assert_eq!(error, "\"messages\" is an empty list");
    let error = PromptRecord::parse(br#"{"x": {"y": {"text": "t"}}}"#, &field("x")).unwrap_err().message;
    assert!(error.ends_with("found an object; use `field` x.y.text"), "{error}");
    let deep = "{\"a\": ".repeat(5) + "{\"prompt\": \"\"}" + &"}".repeat(5);
    assert!(PromptRecord::parse(deep.as_bytes(), &field("b")).is_err());
    assert!(self::error(&deep).starts_with("no prompt in the record: looked for"));
}

#[test]
fn the_output_may_have_a_field_of_its_own() {
    let path = Some("response.usage.completion_tokens".to_owned());
    let options = options(|options| options.output_field = path);
    let line = r#"{"prompt": "", "output_length": 1, "response": {"usage": {"completion_tokens": USED}}}"#;
    let read = |used: &str| PromptRecord::parse(line.replace("USED", used).as_bytes(), &options);
    assert_eq!(read("7").unwrap().output, OutputLength::Known(7));
    assert_eq!(read("\"seven\"").unwrap().output, OutputLength::Text("seven".to_owned()));
    let missing = "no field \"response.usage.completion_tokens\" (from `output_field`)";
    assert_eq!(read("null").unwrap_err().message, missing);
    assert!(read("-1").unwrap_err().message.contains("a whole number of tokens"));
}

#[test]
fn a_text_line_is_the_prompt_as_it_stands() {
    let options = options(|options| options.text = true);
    let record = parse_with(r#" {"prompt": "x"} "#, &options);
    assert_eq!(record.content, texts(&[r#" {"prompt": "x"} "#]));
    assert_eq!(record.output, OutputLength::Unknown);
    let error = PromptRecord::parse(b"ab\xff", &options).unwrap_err().message;
    assert_eq!(error, "invalid UTF-8 at byte 3");
}

#[test]
fn the_output_length_is_known_counted_or_limited_in_this_order() {
    let output = |fields: &str| parse(&format!("{{\"prompt\": \"\", {fields}}}")).output;
    let text = |text: &str| OutputLength::Text(text.to_owned());
    let all = r#""max_tokens": 4, "output": "o", "response": "r", "completion": "c""#;
    assert_eq!(output(&format!(r#"{all}, "output_length": 3"#)), OutputLength::Known(3));
    assert_eq!(output(&format!(r#"{all}, "output_tokens": 2.0"#)), OutputLength::Known(2));
    assert_eq!(output(all), text("c"));
    assert_eq!(output(r#""response": "r", "output": "o""#), text("r"));
    assert_eq!(output(r#""response": {}, "output": "o""#), text("o"));
    assert_eq!(output(r#""max_tokens": 4"#), OutputLength::Limit(4));
    assert_eq!(output(r#""max_completion_tokens": 5"#), OutputLength::Limit(5));
    assert_eq!(output(r#""max_tokens": null"#), OutputLength::Unknown);
}

#[test]
fn an_output_length_that_is_no_number_of_tokens_is_an_error() {
    for wrong in ["-1", "1.5", "1e300", "true", "1099511627777"] {
        assert_eq!(
            error(&format!(r#"{{"prompt": "", "output_length": {wrong}}}"#)),
            format!("\"output_length\" must be a whole number of tokens, at most 2^40, found {wrong}")
        );
    }
    assert!(error(r#"{"prompt": "", "max_tokens": "9"}"#).ends_with("found a string"));
}

#[test]
fn a_timestamp_keeps_its_digits() {
    let line = r#"{"prompt": "", "timestamp": -1712345678901234567.120}"#;
    assert_eq!(parse(line).timestamp.unwrap().text, "-1712345678901234567.120");
    assert_eq!(parse(r#"{"prompt": "", "timestamp": null}"#).timestamp, None);
    assert_eq!(
        error(r#"{"prompt": "", "timestamp": "noon"}"#),
        "\"timestamp\" must be a number, or a date such as 2026-11-24T12:00:00Z, found \"noon\""
    );
}

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_character() {
    let line = r#"{"prompt": "a\ud83d\ud83d\ude00\udc00\u00edz", "\u0061": 1}"#;
    assert_eq!(parse(line).content, texts(&["a\u{fffd}\u{1f600}\u{fffd}\u{ed}z"]));
}

#[test]
fn a_line_that_is_no_object_is_an_error_that_names_the_way_out() {
    for line in ["Hello", "\"quoted\"", "[1]", "12", "\u{301}"] {
        assert!(error(line).contains("`text`"), "{line}");
    }
    assert!(error("[{").contains("jq -c '.[]'"));
    assert!(error(r#"[{"prompt": "a"},"#).contains("jq -c '.[]'"));
    assert!(error("[2026-11-25 10:00:00] Prefill batch").contains("the line begins with '['"));
    assert_eq!(error("  "), "a JSON object is expected, found an empty line");
}

#[test]
fn a_program_can_tell_what_is_wrong_with_a_line() {
    for (line, kind) in [
        ("{", InvalidKind::Malformed),
        ("Hello", InvalidKind::Malformed),
        ("{}", InvalidKind::MissingField),
        (r#"{"prompt": true}"#, InvalidKind::BadValue),
    ] {
        let found = PromptRecord::parse(line.as_bytes(), &PromptOptions::default());
        assert_eq!(found.map_err(|invalid| invalid.kind), Err(kind), "{line}");
    }
}

#[test]
fn malformed_json_is_named_with_its_column() {
    assert_eq!(error(r#"{"prompt": "a" "b": 1}"#), "not valid JSON: expected `,` or `}` at column 16");
    assert_eq!(error(r#"{"prompt": "#), "not valid JSON: EOF while parsing a value at column 11");
    assert!(error(r#"{"prompt": ""} x"#).contains("trailing characters at column 16"));
    assert!(error("{\"prompt\": \"a\tb\"}").contains("control character"));
    let bytes = PromptRecord::parse(b"{\"a\": \"\xff\"}", &PromptOptions::default());
    assert_eq!(bytes.unwrap_err().message, "invalid UTF-8 at byte 8");
}

#[test]
fn a_record_without_a_prompt_names_the_fields_looked_for() {
    for line in [r#"{"question": "x"}"#, r#"{"body": {"question": "x"}}"#, "{}"] {
        let error = error(line);
        for name in ["input_ids", "prompt", "messages", "body", "conversations", "`field`"] {
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn fields_of_the_wrong_type_are_named_with_what_was_found() {
    let ids = "a token id, a whole number below 4294967296";
    let any = "a string, or a list of token ids, strings or messages";
    for (line, expected) in [
        (r#"{"input_ids": "x"}"#, r#""input_ids" must be a list of token ids, found a string"#),
        (r#"{"input_ids": [1, -2]}"#, &format!(r#"item 2 of "input_ids" must be {ids}, found -2"#)),
        (r#"{"prompt": [1.5]}"#, &format!(r#"item 1 of "prompt" must be {ids}, found 1.5"#)),
        (r#"{"prompt": [4294967296]}"#, &format!(r#"item 1 of "prompt" must be {ids}, found 4294967296"#)),
        (r#"{"prompt": [[1], 2]}"#, r#"an item of "prompt" must be a list of token ids, found 2"#),
        (r#"{"prompt": ["a", 2]}"#, r#"item 2 of "prompt" must be a string, found 2"#),
        (r#"{"prompt": {"a": 1}}"#, &format!(r#""prompt" must be {any}, found an object"#)),
        (r#"{"text": [true]}"#, &format!(r#"item 1 of "text" must be {any}, found true"#)),
        (r#"{"messages": "x"}"#, r#""messages" must be a list of messages, found a string"#),
        (
            r#"{"messages": [{"role": "user"}, 7]}"#,
            r#"item 2 of "messages" must be a message, an object, found 7"#,
        ),
        (r#"{"messages": [{"content": "x"}]}"#, r#"message 1 of "messages" has no "role" (or "from")"#),
        (
            r#"{"messages": [{"role": 1}]}"#,
            r#"the role of message 1 of "messages" must be a string, found 1"#,
        ),
        (
            r#"{"messages": [{"role": "user", "content": 1}]}"#,
            r#"the content of message 1 of "messages" must be a string or a list of parts, found 1"#,
        ),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}"#,
            r#"part 1 of message 1 of "messages" is of the unknown type "hologram", and what the model sees of it is not known"#,
        ),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#,
            r#"part 1 of message 1 of "messages" has no "text""#,
        ),
        (
            r#"{"messages": [{"role": "user", "content": [{"text": 3}]}]}"#,
            r#"the text of part 1 of message 1 of "messages" must be a string, found 3"#,
        ),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": 3}]}]}"#,
            r#"the type of part 1 of message 1 of "messages" must be a string, found 3"#,
        ),
        (
            r#"{"messages": [{"role": "user", "content": [3]}]}"#,
            r#"part 1 of message 1 of "messages" must be an object, found 3"#,
        ),
        (
            r#"{"system": 1, "messages": []}"#,
            r#"the content of "system" must be a string or a list of parts, found 1"#,
        ),
        (r#"{"body": []}"#, r#""body" must be an object, found a list"#),
    ] {
        assert_eq!(error(line), expected, "{line}");
    }
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(parse(&format!(r#"{{"x": {deep}, "prompt": "a"}}"#)).content, texts(&["a"]));
    assert!(error(&format!(r#"{{"prompt": {deep}}}"#)).contains("must be a token id"));
}

/// Requests that are sent again with more messages, and some of them broken: what is remembered changes nothing.
#[test]
fn what_was_sent_before_is_read_as_if_it_were_new() {
    let without_ids = |mut record: PromptRecord| {
        if let Content::Chat(chat) = &mut record.content {
            chat.messages.iter_mut().chain(&mut chat.tools).for_each(|message| message.id = None);
        }
        record
    };
    let said = |rng: &mut fastrand::Rng| {
        let text = ["a", "", "\\n\\\"", "]}", "é\\ud83d"][rng.usize(..5)].repeat(rng.usize(..20));
        match rng.usize(..5) {
            0 => format!(r#"{{"role": "tool", "tool_call_id": "{}", "content": "{text}"}}"#, rng.u8(..)),
            1 => format!(r#"{{"role": "assistant", "content": [{{"type": "text", "text": "{text}"}}]}}"#),
            2 => r#"{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f"}}]}"#
                .into(),
            _ => format!(r#"{{"role": "user", "content": "{text}"}}"#),
        }
    };
    let mut rng = fastrand::Rng::with_seed(5);
    let options = options(|options| options.turns = Turns::Last);
    let reader = PromptReader::new(options.clone(), 50_000);
    let mut chats: Vec<Vec<String>> = vec![vec![r#"{"role": "system", "content": "s"}"#.into()]; 3];
    let (mut good, mut known) = (0, 0);
    for _ in 0..3_000 {
        let chat = &mut chats[rng.usize(..3)];
        if chat.len() > 12 {
            chat.truncate(1);
        }
        chat.extend([said(&mut rng), said(&mut rng)]);
        let list = chat.join([",", ", ", " ,\n"][rng.usize(..3)]);
        let tools = [r#"[{"name": "f"}]"#, r#"[ {"name": "g"} ]"#, "[]"][rng.usize(..3)];
        let request = format!(r#"{{"model": "m", "messages": [{list}], "tools": {tools}, "n": [1, {{}}]}}"#);
        let mut line =
            if rng.bool() { request } else { format!(r#"{{"id": 1, "body": {request}}}"#) }.into_bytes();
        if rng.usize(..3) == 0 {
            let at = rng.usize(..line.len());
            match rng.usize(..4) {
                0 => drop(line.remove(at)),
                1 => line.insert(at, b"[]{},:\"\\0x \t\x01"[rng.usize(..13)]),
                2 => line.truncate(at),
                _ => line.extend_from_slice(&[b" ", b"}"][rng.usize(..2)][..]),
            }
        }
        let found = reader.read(&line);
        if let Ok(PromptRecord { content: Content::Chat(chat), .. }) = &found {
            known += usize::from(chat.messages.iter().filter(|message| message.id.is_some()).count() > 2);
        }
        good += usize::from(found.is_ok());
        let expected = PromptRecord::parse(&line, &options);
        assert_eq!(found.map(without_ids), expected, "{}", line.escape_ascii());
    }
    assert!(good > 2_000 && known > 1_000, "{good} {known}");
}
