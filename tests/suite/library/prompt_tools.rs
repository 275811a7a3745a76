//! What tools answer: all of it that is text, and stand-ins for what is none.

use kvtrace::record::prompt::{Content, OutputLength};
use serde_json::{Value, json};

use super::{chat, messages, read};

/// What the last message but one of three says: the text, and how many parts have stand-ins.
fn answered(answer: Value) -> (String, u64) {
    let record = json!({"input": [{"role": "user", "content": "q"}, answer, {"role": "user", "content": "w"}], "tools": []});
    said(&record, 1)
}

/// What message `at` says.
fn said(record: &Value, at: usize) -> (String, u64) {
    let found = read(record);
    let Content::Chat(chat) = &found.content else { panic!("{record}") };
    (chat.messages[at].json.to_string(), found.remarks.stand_ins)
}

const PDF: &str =
    "JVBERi0xLjcKJYGBgYEKCjUgMCBvYmoKPDwKL0ZpbHRlciAvRmxhdGVEZWNvZGUKL0xlbmd0aCAxMDQKPj4Kc3RyZWFt";

/// The thing that holds `data`, as APIs have it in what a tool answers.
fn holding(data: &str) -> Vec<Value> {
    let url = format!("data:image/png;base64,{data}");
    let user = |part: Value| json!({"role": "user", "content": [part]});
    vec![
        json!({"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": url}}),
        json!({"type": "function_call_output", "call_id": "c", "output": {"shots": [url], "n": 1}}),
        json!({"type": "image_generation_call", "id": "i", "status": "completed", "result": data, "revised_prompt": "a cat"}),
        json!({"role": "assistant", "content": [{"type": "web_fetch_tool_result", "tool_use_id": "s", "content":
            {"type": "web_fetch_result", "url": "u", "content": {"type": "document", "title": "t",
                "source": {"type": "base64", "media_type": "application/pdf", "data": data}}}}]}),
        user(json!({"guardContent": {"image": {"format": "png", "source": {"bytes": data}}}})),
        user(json!({"functionResponse": {"name": "f", "response": {"r": 1}, "parts": [
            {"inlineData": {"mimeType": "image/png", "data": data}}]}})),
        user(json!({"type": "tool_result", "tool_use_id": "t", "content":
            {"type": "resource", "resource": {"uri": "u", "mimeType": "image/png", "blob": data}}})),
    ]
}

#[test]
fn what_is_base64_has_a_stand_in_wherever_it_is() {
    let other = PDF.replace('x', "y");
    for ((one, same), other) in holding(PDF).into_iter().zip(holding(PDF)).zip(holding(&other)) {
        let (text, stand_ins) = answered(one.clone());
        assert_eq!(stand_ins, 1, "{one}");
        assert!(!text.contains(&PDF[..20]), "{text}");
        assert_eq!(answered(same).0, text);
        assert!(answered(other).0 != text, "{text}");
    }
    assert!(answered(holding(PDF)[2].clone()).0.contains("a cat"));
    // What only looks like it is text.
    for text in ["data:text/plain,hello", "data: none", "QUJD"] {
        let output =
            json!({"type": "function_call_output", "call_id": "c", "output": {"data": text, "bytes": text}});
        assert_eq!(answered(output.clone()).1, 0, "{text}");
        assert!(answered(output).0.contains(text), "{text}");
    }
}

#[test]
fn parts_beside_a_function_response_are_in_the_prompt() {
    let with = |parts: Value| {
        said(
            &json!({"contents": [{"role": "user", "parts": [{"functionResponse":
            {"id": "1", "name": "f", "response": {"output": {"k": [1, 2]}}, "parts": parts}}]}]}),
            0,
        )
    };
    let image =
        |data: &str| json!([{"inlineData": {"mimeType": "image/png", "data": data}}, {"text": "seen"}]);
    let file = |uri: &str| json!([{"fileData": {"mimeType": "image/png", "fileUri": uri}}]);
    let (text, stand_ins) = with(image("AAA"));
    assert_eq!(stand_ins, 1);
    assert!(text.contains(r#"{\"output\": {\"k\": [1, 2]}}"#) && text.contains("seen"), "{text}");
    assert_eq!(with(image("AAA")).0, text);
    assert!(with(image("AAB")).0 != text);
    assert!(with(file("gs://a")).0 != with(file("gs://b")).0);
    assert!(with(json!([])).0 != text);
}

#[test]
fn json_with_a_type_of_its_own_is_no_part() {
    for kind in ["source", "text", "function", "image", "json", "tool-x"] {
        let json = json!({"type": kind, "name": "n", "text": "words", "body": "more words"});
        let gemini = json!({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": json}}]}]});
        let anthropic =
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": json}]}]});
        let listed =
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [json]}]}]});
        for record in [gemini, anthropic, listed] {
            let (text, stand_ins) = said(&record, 0);
            assert_eq!(stand_ins, 0, "{record}");
            for word in ["words", "more words", kind] {
                assert!(text.contains(word), "{word}: {text}");
            }
        }
    }
    // A list of functions is what a search for tools finds.
    let found = json!([{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]);
    let (text, _) = answered(json!({"type": "function_call_output", "call_id": "c", "output": found}));
    assert!(text.contains("\\\"g\\\"") && !text.contains("arguments"), "{text}");
    // Parts as APIs have them are parts.
    for part in [
        json!({"type": "text", "text": "words", "annotations": null, "_meta": {}}),
        json!({"type": "text", "text": "words", "citations": [], "cache_control": {"type": "ephemeral"}}),
        json!({"type": "input_text", "text": "words"}),
        json!({"text": "words"}),
    ] {
        let record =
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [part]}]}]});
        assert_eq!(
            messages(&chat(&record))[0]["content"],
            json!([{"type": "text", "text": "words"}]),
            "{part}"
        );
    }
    for part in [
        json!({"type": "image", "data": "AAAA", "mimeType": "image/png"}),
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}),
        json!({"type": "input_image", "image_url": "https://a/b.png", "detail": "low"}),
        json!({"type": "document", "title": "t", "source": {"type": "base64", "data": "AAAA"}}),
        json!({"image": {"format": "png", "source": {"bytes": "AAAA"}}}),
    ] {
        let record =
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [part]}]}]});
        let (text, stand_ins) = said(&record, 0);
        assert!(stand_ins == 1 && !text.contains("AAAA") && !text.contains("b.png"), "{text}");
    }
}

#[test]
fn a_document_of_cohere_is_text() {
    let answer = |data: Value| {
        let part = json!({"type": "document", "document": {"id": "1", "data": data}});
        said(&json!({"messages": [{"role": "tool", "tool_call_id": "c", "content": [part]}]}), 0)
    };
    let (text, stand_ins) = answer(json!("rain in Oslo"));
    assert!(stand_ins == 0 && text.contains("rain in Oslo"), "{text}");
    let (text, stand_ins) = answer(json!({"title": "rain in Oslo"}));
    assert!(stand_ins == 0 && text.contains("rain in Oslo"), "{text}");
    let file = json!({"type": "document", "data": "AAAA", "mimeType": "application/pdf"});
    assert_eq!(said(&json!({"messages": [{"role": "user", "content": [file]}]}), 0).1, 1);
}

#[test]
fn images_in_documents_are_counted() {
    let content = json!([{"type": "text", "text": "words"}, {"type": "image", "source": {"type": "base64", "data": "AAAA"}}]);
    let document =
        json!({"type": "document", "title": "t", "source": {"type": "content", "content": content}});
    let (text, stand_ins) = said(&json!({"messages": [{"role": "user", "content": [document]}]}), 0);
    assert!(stand_ins == 1 && text.contains("words") && !text.contains("AAAA"), "{text}");
}

#[test]
fn a_call_of_a_tool_of_the_server_is_what_the_model_sees_of_it() {
    let item = |text: &str| answered(serde_json::from_str(text).unwrap()).0;
    let search = item(r#"{"type": "web_search_call", "action": {"type": "search", "query": "rain"}}"#);
    assert!(
        search.contains(r#""name":"web_search","arguments":{"action": {"query": "rain", "type": "search"}}"#),
        "{search}"
    );
    // The id is that of the call alone.
    let of = |text: &str| item(text).replace("\"id\":\"w2\",", "").replace("\"id\":\"w1\",", "");
    for other in [
        r#"{"id": "w1", "type": "web_search_call", "status": "completed", "action": {"query": "rain", "type": "search"}}"#,
        r#"{"action": {"type": "search", "query": "rain"}, "status": "in_progress", "id": "w2", "type": "web_search_call", "error": null}"#,
    ] {
        assert_eq!(of(other), search, "{other}");
    }
    assert!(of(r#"{"type": "web_search_call", "action": {"type": "search", "query": "sun"}}"#) != search);
}

/// The roles of messages with what they say, call or answer.
fn outline(record: &Value) -> Vec<String> {
    let messages = messages(&chat(record));
    let line = |message: &Value| {
        let content = match &message["content"] {
            Value::Array(parts) => {
                parts.iter().map(|part| part["text"].as_str().unwrap()).collect::<Vec<_>>().join("+")
            }
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
        let calls: Vec<&str> = calls.iter().map(|call| call["function"]["name"].as_str().unwrap()).collect();
        format!("{} {content} {}", message["role"].as_str().unwrap(), calls.join("+"))
    };
    messages.as_array().unwrap().iter().map(line).collect()
}

#[test]
fn all_results_of_a_step_follow_all_its_calls() {
    let tool = |name: &str, more: Value| {
        let mut part = json!({"type": format!("tool-{name}"), "toolCallId": name, "state": "output-available", "input": {},
            "output": format!("of {name}")});
        part.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        part
    };
    let step = json!({"type": "step-start"});
    let text = |text: &str| json!({"type": "text", "text": text});
    let record = json!({"messages": [
        {"role": "user", "parts": [text("q")]},
        {"role": "assistant", "parts": [step, text("look"), tool("a", json!({})),
            tool("b", json!({"state": "output-error", "errorText": "bad", "output": null})),
            tool("c", json!({"state": "input-streaming"})), text("well"), step,
            tool("d", json!({"state": "output-denied", "output": null, "approval": {"reason": "no"}})),
            step, text("done")]},
        {"role": "user", "parts": [text("r")]}]});
    assert_eq!(
        outline(&record),
        [
            "user q ",
            "assistant look+well a+b",
            "tool of a ",
            "tool bad ",
            "assistant  d",
            "tool no ",
            "assistant done ",
            "user r "
        ]
    );
    // What is no text is sent as JSON.
    let record = json!({"messages": [{"role": "user", "parts": [text("q")]}, {"role": "assistant",
        "parts": [tool("a", json!({"output": [{"type": "text", "text": "x"}]}))]}, {"role": "user", "parts": [text("r")]}]});
    assert_eq!(outline(&record)[2], r#"tool [{"text": "x", "type": "text"}] "#);
}

#[test]
fn tools_of_the_older_interface_are_in_the_prompt() {
    let used = |name: &str, step: u64| json!({"state": "result", "step": step, "toolCallId": name, "toolName": name, "args": {}, "result": format!("of {name}")});
    let record = |last: bool| {
        let mut messages = vec![
            json!({"role": "user", "content": "q"}),
            json!({"role": "assistant", "content": "ans", "toolInvocations": [used("a", 0), used("b", 0), used("c", 1)]}),
        ];
        messages.extend((!last).then(|| json!({"role": "user", "content": "r"})));
        json!({"model": "m", "messages": messages})
    };
    let tools = ["user q ", "assistant  a+b", "tool of a ", "tool of b ", "assistant  c", "tool of c "];
    assert_eq!(outline(&record(false)), [&tools[..], &["assistant ans ", "user r "]].concat());
    let last = ["user q ", "assistant ans a+b", "tool of a ", "tool of b ", "assistant  c", "tool of c "];
    assert_eq!(outline(&record(true)), last);
    // With parts, text is what the model says next.
    let parts = json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "ans", "parts": [
        {"type": "tool-invocation", "toolInvocation": used("a", 0)}, {"type": "tool-invocation", "toolInvocation": used("b", 0)},
        {"type": "text", "text": "ans"}]}, {"role": "user", "content": "r"}]});
    assert_eq!(
        outline(&parts),
        ["user q ", "assistant  a+b", "tool of a ", "tool of b ", "assistant ans ", "user r "]
    );
}

#[test]
fn a_text_with_the_answer_in_it_is_no_prompt() {
    let alpaca = json!({"instruction": "Add.", "input": "1 and 2", "output": "3",
        "text": "Below is an instruction. Add. 1 and 2 ### Response: 3"});
    assert_eq!(outline(&alpaca), ["user Add.\n1 and 2 "]);
    assert_eq!(read(&alpaca).output, OutputLength::Text("3".into()));
    let ultrachat = json!({"prompt": "q", "prompt_id": "x", "messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}]});
    assert_eq!(outline(&ultrachat), ["user q ", "assistant a ", "user r ", "assistant b "]);
    assert_eq!(chat(&ultrachat).requests, [1, 3]);
    let other = json!({"prompt": "p", "messages": [{"role": "user", "content": "q"}]});
    assert_eq!(read(&other).content, Content::Texts(vec!["p".to_owned()]));
}

#[test]
fn settings_of_the_responses_api_are_no_prompts() {
    for (more, stored) in [
        (json!({"text": {"verbosity": "low"}}), false),
        (json!({"text": {"format": {"type": "text"}}}), false),
        (json!({"prompt": {"id": "pmpt_1", "variables": {"city": "Oslo"}}}), true),
    ] {
        for input in [json!("hi"), json!([{"role": "user", "content": "hi"}])] {
            let mut record = json!({"model": "m", "input": input});
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(outline(&record), ["user hi "], "{record}");
            assert_eq!(read(&record).remarks.continued, stored, "{record}");
        }
    }
    let none =
        kvtrace::record::prompt::PromptRecord::parse(br#"{"prompt": {"id": "x"}}"#, &super::options(|_| {}));
    assert!(none.unwrap_err().message.contains("\"prompt\" must be a string"));
}
