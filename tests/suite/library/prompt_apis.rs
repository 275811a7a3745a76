//! What each API's requests are in the shape of `OpenAI`'s chat completions API.

use kvtrace::record::prompt::{
    Chat, Content, Keys, OutputLength, PromptOptions, PromptReader, PromptRecord, Turns,
};
use serde_json::{Value, json};

use super::{chat, messages, options, read};

fn tools(chat: &Chat) -> Value {
    chat.tools.as_ref().map_or(Value::Null, |tools| serde_json::from_str(&tools.json).unwrap())
}

fn call(id: &str, name: &str, arguments: Value) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object"}}})
}

/// The same conversation as each API has it.
#[test]
fn a_conversation_with_a_tool_is_the_same_in_every_api() {
    let schema = json!({"type": "object"});
    let expected = json!([
        {"role": "system", "content": [text("s")]},
        {"role": "user", "content": [text("weather?")]},
        {"role": "assistant", "content": [text("let me see")], "reasoning_content": "hm",
         "tool_calls": [call("c", "look", json!({"at": "Oslo"}))]},
        {"role": "tool", "content": "rain", "tool_call_id": "c"},
    ]);
    let anthropic = json!({"system": [text("s")], "tools": [{"name": "look", "description": "d",
        "input_schema": schema, "cache_control": {"type": "ephemeral"}}], "messages": [
        {"role": "user", "content": [text("weather?")]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "x"},
            text("let me see"), {"type": "tool_use", "id": "c", "name": "look", "input": {"at": "Oslo"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "rain"}]}]});
    let bedrock = json!({"modelId": "m", "input": {"inputBodyJson": {"system": [{"text": "s"}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "look", "description": "d", "inputSchema": {"json": schema}}}]},
        "messages": [{"role": "user", "content": [{"text": "weather?"}]},
            {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "hm"}}},
                {"text": "let me see"}, {"toolUse": {"toolUseId": "c", "name": "look", "input": {"at": "Oslo"}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "rain"}]}}]}]}}});
    let gemini = json!({"systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [{"name": "look", "description": "d", "parameters": schema}]}],
        "contents": [{"role": "user", "parts": [{"text": "weather?"}]},
            {"role": "model", "parts": [{"text": "hm", "thought": true}, {"text": "let me see"},
                {"functionCall": {"id": "c", "name": "look", "args": {"at": "Oslo"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c", "response": "rain"}}]}]});
    let responses = json!({"instructions": [{"type": "input_text", "text": "s"}],
        "tools": [{"type": "function", "name": "look", "description": "d", "parameters": schema}],
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "status": "completed", "content":
                [{"type": "output_text", "text": "let me see", "annotations": []}]},
            {"type": "function_call", "call_id": "c", "name": "look", "arguments": {"at": "Oslo"}},
            {"type": "function_call_output", "call_id": "c", "output": "rain"}]});
    let otel = json!({"attributes": {
        "gen_ai.system_instructions": json!([{"type": "text", "content": "s"}]).to_string(),
        "gen_ai.tool.definitions": json!([{"type": "function", "name": "look", "description": "d",
            "parameters": schema}]).to_string(),
        "gen_ai.input.messages": json!([
            {"role": "user", "parts": [{"type": "text", "content": "weather?"}]},
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "let me see"},
                {"type": "tool_call", "id": "c", "name": "look", "arguments": {"at": "Oslo"}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "rain"}]}]).to_string()}});
    let vercel = json!({"system": [text("s")], "tools": {"look": {"description": "d", "inputSchema": schema}},
        "messages": [{"role": "user", "content": [text("weather?")]},
            {"role": "assistant", "content": [{"type": "reasoning", "text": "hm"}, text("let me see"),
                {"type": "tool-call", "toolCallId": "c", "toolName": "look", "input": {"at": "Oslo"}}]},
            {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c",
                "output": {"type": "text", "value": "rain"}}]}]});
    let interface = json!({"system": [text("s")], "tools": {"look": {"description": "d", "inputSchema": schema}},
        "messages": [{"id": "1", "role": "user", "parts": [text("weather?")]},
            {"id": "2", "role": "assistant", "parts": [{"type": "step-start"}, {"type": "reasoning", "text": "hm"},
                text("let me see"), {"type": "tool-look", "toolCallId": "c", "state": "output-available",
                    "input": {"at": "Oslo"}, "output": "rain"}]}]});
    let invoked = json!({"state": "result", "toolCallId": "c", "toolName": "look", "args": {"at": "Oslo"},
        "result": "rain"});
    let interface_4 = json!({"system": [text("s")], "tools": {"look": {"description": "d", "parameters": schema}},
        "messages": [{"id": "1", "role": "user", "content": "weather?", "parts": [text("weather?")]},
            {"id": "2", "role": "assistant", "content": "let me see", "parts": [{"type": "step-start"},
                {"type": "reasoning", "reasoning": "hm", "details": []}, text("let me see"),
                {"type": "source", "source": {"sourceType": "url", "url": "u"}},
                {"type": "tool-invocation", "toolInvocation": invoked}]}]});
    for (name, record) in [
        ("AI SDK's interface, version 4", interface_4),
        ("Anthropic", anthropic),
        ("Bedrock", bedrock),
        ("Gemini", gemini),
        ("Responses", responses),
        ("OpenTelemetry", otel),
        ("AI SDK", vercel),
        ("AI SDK's interface", interface),
    ] {
        let chat = chat(&record);
        let mut found = messages(&chat);
        // Lists of one text, and names that some APIs repeat, are the same to a model.
        for message in found.as_array_mut().unwrap() {
            let message = message.as_object_mut().unwrap();
            message.remove("name");
            message.remove("id");
            if message["role"] == "tool" && message["content"].is_array() {
                message["content"] = message["content"][0]["text"].clone();
            }
        }
        assert_eq!(found, expected, "{name}");
        assert_eq!(tools(&chat), json!([function("look")]), "{name}");
    }
}

#[test]
fn a_message_of_openai_stays_as_it_stood() {
    for message in [
        r#"{"content": "a", "role": "user", "name": "bob"}"#,
        r#"{"role": "assistant", "content": null, "reasoning": "r", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1e-05}"}}], "refusal": null}"#,
        r#"{"role": "system", "content": [{"type": "text", "text": "x"}, {"text": "y", "type": "text"}]}"#,
        r#"{"role": "tool", "tool_call_id": "1", "content": "8"}"#,
        r#"{"role": "developer", "content": "d"}"#,
    ] {
        let line = format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"q\"}}, {message}]}}");
        let record = PromptRecord::parse(line.as_bytes(), &PromptOptions::default()).unwrap();
        let Content::Chat(chat) = record.content else { panic!() };
        assert_eq!(&*chat.messages[1].json, message);
    }
}

#[test]
fn what_is_no_text_has_a_stand_in_that_differs_where_it_does() {
    let with = |part: Value| json!({"messages": [{"role": "user", "content": [text("see"), part]}]});
    let kinds = [
        ("image_url", json!({"url": "http://a/1.png"}), json!({"url": "http://a/2.png"})),
        ("input_audio", json!({"data": "AA"}), json!({"data": "AB"})),
        ("image", json!("a"), json!("b")),
        ("file", json!({"file_id": "1"}), json!({"file_id": "2"})),
        ("video_url", json!({"url": "1"}), json!({"url": "2"})),
        ("document", json!({"source": {"type": "base64", "data": "1"}}), json!({"source": {"data": "2"}})),
    ];
    for (kind, one, other) in kinds {
        let part = |value: &Value| with(json!({"type": kind, kind: value}));
        let (a, b) = (read(&part(&one)), read(&part(&other)));
        assert_eq!((a.remarks.stand_ins, b.remarks.stand_ins), (1, 1), "{kind}");
        assert_eq!(a.content, read(&part(&one)).content, "{kind}");
        assert!(a.content != b.content, "{kind}");
    }
    // The text of a document that the request has is text.
    let document = json!({"type": "document", "title": "T", "source": {"type": "text", "data": "words"}});
    let record = read(&with(document));
    assert_eq!(record.remarks.stand_ins, 0);
    let Content::Chat(chat) = record.content else { panic!() };
    assert_eq!(messages(&chat)[0]["content"], json!([text("see"), text("T"), text("words")]));
}

#[test]
fn prompts_without_anything_in_them_are_bad_records() {
    for (record, words) in [
        (json!({"messages": []}), "\"messages\" is an empty list"),
        (json!({"messages": [], "response": {}, "prompt_tokens": 10}), "is an empty list"),
        (json!({"conversations": []}), "\"conversations\" is an empty list"),
        (json!({"messages": [{"role": "user"}]}), "has neither content nor tool calls"),
        (
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "user"}]}),
            "message 2 of \"messages\" has",
        ),
        (json!({"messages": [{"role": "user", "content": null}]}), "holds no text, call or result"),
        (json!({"messages": [{"role": "user", "content": ""}]}), "holds no text, call or result"),
        (json!({"messages": [{"role": "user", "content": []}]}), "holds no text, call or result"),
        (json!({"contents": [{"role": "user", "parts": []}]}), "holds no text, call or result"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "new"}]}]}),
            "of the unknown type \"new\"",
        ),
        (json!({"input": [{"type": "new"}]}), "of the unknown type \"new\""),
    ] {
        let error =
            PromptRecord::parse(record.to_string().as_bytes(), &PromptOptions::default()).unwrap_err();
        assert!(error.message.contains(words), "{record}: {error}");
    }
    // The field that holds something is the right one.
    for empty in [json!(""), json!([]), json!({})] {
        let record =
            json!({"prompt": empty, "input_ids": [], "messages": [{"role": "user", "content": "hi"}]});
        assert_eq!(messages(&chat(&record))[0]["content"], "hi");
    }
}

#[test]
fn the_result_of_a_tool_may_be_empty() {
    for message in [
        json!({"role": "tool", "tool_call_id": "1", "content": ""}),
        json!({"role": "tool", "content": ""}),
        json!({"role": "tool", "tool_call_id": "1", "content": null}),
        json!({"role": "tool", "content": []}),
        json!({"role": "function", "name": "f", "content": ""}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": ""}]}),
        json!({"role": "user", "parts": [{"type": "tool_call_response", "id": "1"}]}),
    ] {
        let chat = chat(&json!({"messages": [message]}));
        assert_eq!(messages(&chat)[0]["role"], "tool", "{message}");
    }
}

/// The only text of the only message.
fn said(record: &str) -> Value {
    let record = PromptRecord::parse(record.as_bytes(), &PromptOptions::default()).unwrap();
    let Content::Chat(chat) = record.content else { panic!() };
    let content = &messages(&chat)[0]["content"];
    if content.is_array() { content[0]["text"].clone() } else { content.clone() }
}

#[test]
fn what_a_tool_answers_is_the_same_however_a_log_spaces_it_and_nothing_of_it_is_lost() {
    let gemini = |response: &str| {
        format!(
            "{{\"contents\": [{{\"role\": \"user\", \"parts\": [{{\"functionResponse\": {{\"name\": \"f\", \"response\": {response}}}}}]}}]}}"
        )
    };
    for form in [
        r#"{"city": "Orléans", "n": [1, 2.50]}"#,
        r#"{"city":"Orl\u00e9ans","n":[1,2.50]}"#,
        "{ \"city\" :\t\"Orl\u{e9}ans\",\"n\":[ 1 , 2.50]}",
    ] {
        assert_eq!(said(&gemini(form)), r#"{"city": "Orléans", "n": [1, 2.50]}"#);
    }
    let typed = r#"{"type": "celsius", "value": 21, "station": "Oslo"}"#;
    assert_eq!(said(&gemini(typed)), typed);
    let scored = r#"[{"text": "a", "score": 0.5}]"#;
    assert_eq!(said(&gemini(scored)), scored);
    // What has one field is a part, and the AI SDK of Vercel says what a value is.
    let result = |content: &str| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": [{{"type": "tool_result", "content": {content}}}]}}]}}"#
        )
    };
    assert_eq!(said(&result(r#"[{"text": "a"}]"#)), "a");
    assert_eq!(said(&result(r#"{"type": "json", "value": {"a":1}}"#)), r#"{"a": 1}"#);
    let converse = r#"{"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "1", "content": [{"json": {"a":1}}]}}]}]}"#;
    assert_eq!(said(converse), r#"{"a": 1}"#);
    let marked = |mark: &str| {
        let result = format!("{{\"type\":\"search_result\",\"title\":\"t\"{mark}}}");
        said(&format!("{{\"messages\": [{{\"role\": \"user\", \"content\": [{result}]}}]}}"))
    };
    assert_eq!(marked(""), marked(r#","cache_control":{"type":"ephemeral"}"#));
}

#[test]
fn images_beside_the_text_are_in_the_prompt_or_told() {
    let with = |image: &str| json!({"messages": [{"role": "user", "content": "Hi", "images": [image]}]});
    let (one, other) = (read(&with("AAAA")), read(&with("BBBB")));
    assert_eq!((one.remarks.stand_ins, other.remarks.stand_ins), (1, 1));
    assert!(one.content != other.content && one.content == read(&with("AAAA")).content);
    let none = json!({"messages": [{"role": "user", "content": "Hi", "images": []}]});
    assert_eq!(read(&none).remarks.stand_ins, 0);
    for record in [
        json!({"prompt": "<image>Hi", "multi_modal_data": {"image": "AAAA"}}),
        json!({"input_ids": [1, 2], "image_data": ["AAAA"]}),
        json!({"image": "a.jpg", "conversations": [{"from": "human", "value": "Hi"}]}),
    ] {
        assert_eq!(read(&record).remarks.unplaced, 1, "{record}");
    }
    assert_eq!(read(&json!({"prompt": "Hi", "images": []})).remarks.unplaced, 0);
}

#[test]
fn parts_that_are_equal_have_equal_stand_ins() {
    let reasoning = |more: Value| {
        let mut item = json!({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAA"});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&json!({"input": [{"role": "user", "content": "Hi"}, item], "instructions": "i"})).content
    };
    let plain = reasoning(json!({}));
    for more in [json!({"status": null}), json!({"content": null}), json!({"status": "completed"})] {
        assert_eq!(reasoning(more.clone()), plain, "{more}");
    }
    assert!(reasoning(json!({"encrypted_content": "gAAB"})) != plain);
    let image = |more: &str| {
        let part = format!("{{\"type\": \"input_image\", \"image_url\": \"u\"{more}}}");
        said(&format!("{{\"messages\": [{{\"role\": \"user\", \"content\": [{part}]}}]}}"))
    };
    assert_eq!(image(", \"detail\": null"), image(""));
}

#[test]
fn outputs_and_tokens_are_found_where_gateways_have_them() {
    let asked = r#"[{"role":"user","content":"Hi"}]"#;
    let told = r#"{"role":"assistant","content":"Yo"}"#;
    let langfuse = |more: Value| {
        let mut record = json!({"input": asked, "output": told});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&record)
    };
    for more in [
        json!({"usage_details": {"input": 9, "output": 333}}),
        json!({"usage": {"input": 9, "output": 333, "inputCost": 0.5}}),
        json!({"promptTokens": 9, "completionTokens": 333}),
    ] {
        let record = langfuse(more.clone());
        assert_eq!(record.output, OutputLength::Known(333), "{more}");
        assert_eq!(record.recorded_input_length, Some(9), "{more}");
    }
    assert!(matches!(langfuse(json!({})).output, OutputLength::Answer(_)));
    let text = json!({"messages": [{"role": "user", "content": "Hi"}], "completion": told});
    assert!(matches!(read(&text).output, OutputLength::Answer(_)));

    let bedrock = json!({
        "input": {
            "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
            "inputTokenCount": 4, "cacheReadInputTokenCount": 2000, "cacheWriteInputTokenCount": 100,
        },
        "output": {"outputTokenCount": 3},
    });
    let (flat, bedrock) = (
        json!({"prompt": "a", "input_tokens": 4, "cache_read_input_tokens": 2000, "output_length": 1}),
        read(&bedrock),
    );
    assert_eq!((bedrock.cached_tokens, bedrock.recorded_input_length), (Some(2000), Some(2104)));
    assert_eq!(read(&flat).recorded_input_length, Some(2004));

    let several =
        json!({"prompt": ["a", "b"], "choices": [{"index": 0, "text": "x"}, {"index": 1, "text": "y z"}]});
    assert_eq!(read(&several).output, OutputLength::Unknown);
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"Yo\"}}]}\n\ndata: [DONE]\n";
    assert_eq!(read(&json!({"prompt": "a", "response": stream})).output, OutputLength::Unknown);
    let response = json!({"usage": {"prompt_tokens": 7, "completion_tokens": 5}}).to_string();
    let bodies =
        json!({"request": {"body": json!({"prompt": "a"}).to_string()}, "response": {"body": response}});
    let bodies = read(&bodies);
    assert_eq!((bodies.output, bodies.recorded_input_length), (OutputLength::Known(5), Some(7)));
}

#[test]
fn marks_of_what_to_cache_are_no_tools_and_instructions_are_as_they_stand() {
    let tool = json!({"toolSpec": {"name": "f", "inputSchema": {"json": {}}}});
    let chat_of = |tools: Value| {
        chat(
            &json!({"messages": [{"role": "user", "content": [{"text": "a"}]}], "toolConfig": {"tools": tools}}),
        )
    };
    assert_eq!(chat_of(json!([tool, {"cachePoint": {"type": "default"}}])), chat_of(json!([tool])));
    for text in ["[\"a\",\"b\"]", "[]", "[1]"] {
        let chat = chat(&json!({"instructions": text, "input": "Hi"}));
        assert_eq!(messages(&chat)[0]["content"], text);
    }
    let ollama = chat(&json!({"model": "m", "system": "s", "prompt": "Hi"}));
    assert_eq!(messages(&ollama)[0]["content"], "s");
    assert_eq!(messages(&ollama)[1]["content"], "Hi");
}

#[test]
fn instructions_and_histories_are_part_of_the_prompt() {
    let alpaca = |input: &str| json!({"instruction": "Translate.", "input": input, "output": "bonjour"});
    assert_eq!(messages(&chat(&alpaca("hello")))[0]["content"], "Translate.\nhello");
    assert_eq!(messages(&chat(&alpaca("")))[0]["content"], "Translate.");
    assert_eq!(read(&alpaca("")).output, OutputLength::Text("bonjour".to_owned()));
    let dolly = json!({"instruction": "Name it.", "context": "A river.", "response": "Oslo"});
    assert_eq!(messages(&chat(&dolly))[0]["content"], "Name it.\nA river.");
    assert_eq!(read(&dolly).output, OutputLength::Text("Oslo".to_owned()));
    let long = json!({"instruction": "c", "history": [["a", "b"]], "system": "s"});
    let texts: Vec<Value> =
        messages(&chat(&long)).as_array().unwrap().iter().map(|m| json!([m["role"], m["content"]])).collect();
    assert_eq!(json!(texts), json!([["system", "s"], ["user", "a"], ["assistant", "b"], ["user", "c"]]));
    let responses = json!({"model": "m", "instructions": "Be brief.", "input": "hi"});
    assert_eq!(
        messages(&chat(&responses)),
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}])
    );
    assert!(read(&json!({"previous_response_id": "r", "input": "hi"})).remarks.continued);
}

#[test]
fn a_chat_may_be_the_json_in_a_string() {
    let request = json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "model": "m"});
    let record = json!({"request_json": request.to_string(), "body": null});
    let expected = json!([{"role": "user", "content": "hi"}]);
    assert_eq!(messages(&chat(&record)), expected);
    assert_eq!(read(&record).output, OutputLength::Limit(5));
    assert_eq!(messages(&chat(&json!({"messages": request["messages"].to_string()}))), expected);
    assert_eq!(messages(&chat(&json!({"body": request.to_string()}))), expected);
    assert_eq!(messages(&chat(&json!({"prompt": request.to_string()}))), expected);
    for (path, record) in [
        ("x", json!({"x": request.to_string()})),
        ("x.messages", json!({"x": request.to_string()})),
        ("/x/messages", json!({"x": request.to_string()})),
        ("a.b.c", json!({"a": {"b.c": request["messages"]}})),
        ("a.b.c", json!({"a.b": {"c": request["messages"].to_string()}})),
        ("a.1.m", json!({"a": [0, {"m": request["messages"]}]})),
        ("/a/1/m~1n~0", json!({"a": [0, {"m/n~": request["messages"]}]})),
    ] {
        let options = options(|options| options.field = Some(path.to_owned()));
        let found = PromptRecord::parse(record.to_string().as_bytes(), &options).unwrap();
        let Content::Chat(chat) = found.content else { panic!("{path} {record}") };
        assert_eq!(messages(&chat), expected, "{path}");
    }
    // A prompt that is JSON of another kind is what it is.
    let Content::Texts(texts) = read(&json!({"prompt": "{\"a\": [1]}"})).content else { panic!() };
    assert_eq!(texts, ["{\"a\": [1]}"]);
}

#[test]
fn tools_have_many_shapes() {
    let ask = json!([{"role": "user", "content": "hi"}]);
    let expected = json!([function("f")]);
    let flat = json!({"name": "f", "description": "d", "parameters": {"type": "object"}});
    for (name, value) in [
        ("tools", json!([function("f")])),
        ("tools", json!(json!([function("f")]).to_string())),
        ("functions", json!([flat])),
        ("tools", json!([json!(flat).to_string()])),
        ("tools", json!({"f": {"description": "d", "parameters": {"type": "object"}}})),
    ] {
        assert_eq!(tools(&chat(&json!({"messages": ask, name: value}))), expected, "{name} {value}");
    }
    assert_eq!(chat(&json!({"messages": ask, "tools": []})).tools, None);
    let legacy = json!({"messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "8"}]});
    let found = messages(&chat(&legacy));
    assert_eq!(found[1]["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{}"}));
    assert_eq!(found[2], json!({"role": "tool", "name": "f", "content": "8"}));
}

#[test]
fn variables_of_the_template_are_handed_on() {
    let record = json!({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Sure, "}],
        "continue_final_message": true, "add_generation_prompt": false,
        "chat_template_kwargs": {"enable_thinking": false}, "reasoning_effort": "low"});
    let chat = chat(&record);
    assert_eq!(chat.requests, [2]);
    assert!(chat.continues() && !chat.invites());
    assert_eq!(chat.arguments.as_deref(), Some("{\"enable_thinking\":false}"));
    let fields: Vec<&str> = chat.fields.iter().map(|(name, _)| &**name).collect();
    assert_eq!(fields, ["reasoning_effort", "continue_final_message", "add_generation_prompt"]);
}

#[test]
fn lengths_are_those_that_the_server_reports() {
    let message = json!([{"role": "user", "content": "hi"}]);
    for (report, expected) in [
        (
            json!({"usage": {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}}),
            (Some(10), Some(4), 3),
        ),
        (
            json!({"response": {"usage": {"input_tokens": 2, "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 1, "output_tokens": 3}}}),
            (Some(10), Some(7), 3),
        ),
        (
            json!({"response": {"usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 3}}}),
            (Some(10), Some(4), 3),
        ),
        (
            json!({"response": {"usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 4,
            "candidatesTokenCount": 1, "thoughtsTokenCount": 2}}}),
            (Some(10), Some(4), 3),
        ),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 3, "num_cached_tokens": 4}),
            (Some(10), Some(4), 3),
        ),
        (
            json!({"usageDetails": {"input": 6, "input_cached_tokens": 4, "output": 1, "output_reasoning": 2,
            "total": 13}}),
            (Some(10), Some(4), 3),
        ),
        (json!({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 3}), (Some(10), None, 3)),
        (
            json!({"response_json": "{\"usage\": {\"prompt_tokens\": 10, \"completion_tokens\": 3}}"}),
            (Some(10), None, 3),
        ),
    ] {
        let mut record = report.clone();
        record["messages"] = message.clone();
        record["max_tokens"] = json!(4096);
        let found = read(&record);
        let OutputLength::Known(output) = found.output else { panic!("{record}: {:?}", found.output) };
        assert_eq!((found.recorded_input_length, found.cached_tokens, output), expected, "{report}");
    }
    // What is reported of two prompts says nothing about each.
    let two = read(&json!({"prompt": ["a", "b"], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}));
    assert_eq!((two.recorded_input_length, two.output), (None, OutputLength::Unknown));
}

#[test]
fn the_answer_beside_a_prompt_is_its_output() {
    let said = json!([{"role": "assistant", "content": "a b"}]);
    let message = json!([{"role": "user", "content": "hi"}]);
    for answer in [
        json!({"choices": [{"message": said[0]}]}),
        json!({"response": {"choices": [{"message": said[0]}]}}),
        json!({"response": {"type": "message", "role": "assistant", "content": [text("a b")]}}),
        json!({"response": {"output": [{"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "a b"}]}]}}),
        json!({"response": {"candidates": [{"content": {"role": "model", "parts": [{"text": "a b"}]}}]}}),
        json!({"output": said[0]}),
        json!({"gen_ai.output.messages": "[{\"role\": \"assistant\", \"parts\": [{\"type\": \"text\", \"content\": \"a b\"}]}]"}),
    ] {
        let mut record = answer.clone();
        record["messages"] = message.clone();
        record["max_tokens"] = json!(4096);
        let OutputLength::Answer(found) = read(&record).output else { panic!("{record}") };
        let found: Value = serde_json::from_str(&found[0].json).unwrap();
        let content = found["content"].as_str().or(found["content"][0]["text"].as_str());
        assert_eq!(content, Some("a b"), "{answer}");
    }
    let record = json!({"prompt": "hi", "choices": [{"text": "a b c"}]});
    assert_eq!(read(&record).output, OutputLength::Text("a b c".to_owned()));
}

#[test]
fn times_are_known_by_name_and_form() {
    let time = |record: Value| {
        let record = read(&record).timestamp?;
        Some(record.form.unwrap_or_default().parse(&record.text).unwrap().as_f64())
    };
    let moment = 1_764_000_000_500.0;
    for value in [
        json!(1_764_000_000.5),
        json!(1_764_000_000_500_u64),
        json!(1_764_000_000_500_000_u64),
        json!("2025-11-24T16:00:00.500Z"),
        json!("1764000000500000000"),
    ] {
        for name in ["created", "created_at", "startTime", "start_time", "request_time", "ts"] {
            assert_eq!(time(json!({"prompt": "x", name: value})), Some(moment), "{name} {value}");
        }
    }
    assert_eq!(time(json!({"prompt": "x", "startTimeUnixNano": "1764000000500000000"})), Some(moment));
    assert_eq!(time(json!({"prompt": "x", "timestamp": "2025-11-24T16:00:00.500Z"})), Some(moment));
    assert_eq!(time(json!({"prompt": "x", "timestamp": 12.5})), Some(12.5));
    // How long a request took is no time of the day.
    assert_eq!(time(json!({"prompt": "x", "request_time": 0.25})), None);
    assert_eq!(time(json!({"prompt": "x"})), None);
}

#[test]
fn keys_are_those_of_the_request() {
    let record = json!({"prompt": "x", "model": "m", "cache_salt": "s", "lora_request": {"lora_name": "l",
        "lora_path": "/l"}});
    let Keys { cache_salt, model, lora, lora_path, .. } = read(&record).keys;
    assert_eq!([cache_salt, model, lora, lora_path], ["s", "m", "l", "/l"].map(|key| Some(key.to_owned())));
    // SGLang puts its own key behind the salt.
    let salt = |record: Value| read(&record).keys.cache_salt;
    assert_eq!(salt(json!({"prompt": "x", "extra_key": "e"})).as_deref(), Some("e"));
    assert_eq!(salt(json!({"prompt": "x", "extra_key": "e", "cache_salt": "s"})).as_deref(), Some("se"));
    assert_eq!(salt(json!({"prompt": "x", "extra_body": {"extra_key": "e"}})).as_deref(), Some("e"));
    let options = options(|options| options.ignore_keys = true);
    let ignored = PromptRecord::parse(record.to_string().as_bytes(), &options).unwrap();
    assert_eq!(ignored.keys, Keys::default());
    assert_eq!(read(&json!({"prompt": "x", "model": null})).keys, Keys::default());
}

#[test]
fn a_log_of_requests_is_told_from_whole_chats() {
    let (user, answer) =
        (json!({"role": "user", "content": "q"}), json!({"role": "assistant", "content": "a"}));
    let requests = |record: Value| chat(&record).requests;
    let whole = json!([user, answer, user, answer]);
    assert_eq!(requests(json!({"messages": whole})), [1, 3]);
    assert_eq!(requests(json!({"messages": whole, "id": 7})), [1, 3]);
    for field in ["model", "tools", "usage", "max_tokens"] {
        let value = if field == "tools" { json!([function("f")]) } else { json!(7) };
        assert_eq!(requests(json!({"messages": whole, field: value})), [3], "{field}");
    }
    assert_eq!(requests(json!({"messages": [user, answer, user]})), [3]);
    let shared = json!([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}, {"from": "human", "value": "r"}]);
    assert_eq!(requests(json!({"conversations": shared})), [1]);
    // With its answer beside it, an assistant's turn at the end was sent.
    let beside = json!({"messages": whole, "choices": [{"message": {"role": "assistant", "content": "b"}}]});
    assert_eq!(requests(beside), [4]);
    let each = options(|options| options.turns = Turns::Each);
    let record = json!({"messages": whole, "model": "m"}).to_string();
    let Content::Chat(chat) = PromptRecord::parse(record.as_bytes(), &each).unwrap().content else {
        panic!()
    };
    assert_eq!(chat.requests, [1, 3]);
    // The first of a reader's chats for which it makes a difference decides for those after it.
    let whole = json!({"messages": whole});
    let sent = json!({"messages": [user, answer, user, answer], "model": "m"});
    let same = json!({"messages": [user, answer], "model": "m"});
    for (records, expected) in [([&same, &whole, &sent], [1, 2, 2]), ([&same, &sent, &whole], [1, 1, 1])] {
        let reader = PromptReader::new(PromptOptions::default(), 0);
        let read = records.map(|record| reader.read(record.to_string().as_bytes()).unwrap());
        let remarks = read.each_ref().map(|record| record.remarks.looks_otherwise);
        assert_eq!(remarks, [false, false, true]);
        let requests = read.map(|record| match record.content {
            Content::Chat(chat) => chat.requests.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(requests, expected);
    }
}
