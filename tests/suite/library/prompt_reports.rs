//! Tokens that servers report, by the names and in the sense of each.

use kvtrace::record::prompt::{Generated, OutputLength, PromptRecord};
use serde_json::{Value, json};

use super::{options, read};

/// Tokens of the prompt, those that were cached and that were written, and those of the output.
fn reported(report: &Value) -> [Option<u64>; 4] {
    let mut record = report.clone();
    record["messages"] = json!([{"role": "user", "content": "hi"}]);
    let found = read(&record);
    let output = match found.output {
        OutputLength::Known(tokens) => Some(tokens),
        _ => None,
    };
    [found.recorded_input_length, found.cached_tokens, found.cache_write_tokens, output]
}

#[test]
fn cached_tokens_are_counted_once() {
    let all = [Some(500), Some(400), None, Some(2)];
    let translated =
        json!({"input_tokens": 500, "output_tokens": 2, "total_tokens": 502, "cache_read_input_tokens": 400});
    let without_total = json!({"input_tokens": 500, "output_tokens": 2, "cache_read_input_tokens": 400});
    assert_eq!(reported(&json!({"metrics": translated})), all);
    assert_eq!(reported(&json!({"metrics": without_total})), all);
    assert_eq!(reported(&json!({"usage": translated})), all);
    assert_eq!(reported(&translated), all);
    // Anthropic's own reports have no total, and one that has the cached tokens says so.
    assert_eq!(reported(&json!({"usage": without_total})), [Some(900), Some(400), None, Some(2)]);
    let converse =
        json!({"inputTokens": 3, "outputTokens": 5, "totalTokens": 408, "cacheReadInputTokens": 400});
    assert_eq!(reported(&json!({"usage": converse})), [Some(403), Some(400), None, Some(5)]);
    let converse =
        json!({"inputTokens": 500, "outputTokens": 5, "totalTokens": 505, "cacheReadInputTokens": 400});
    assert_eq!(reported(&json!({"usage": converse})), [Some(900), Some(400), None, Some(5)]);
    let less =
        json!({"input_tokens": 3, "output_tokens": 5, "total_tokens": 8, "cache_read_input_tokens": 400});
    assert_eq!(reported(&json!({"usage": less})), [Some(403), Some(400), None, Some(5)]);
    assert_eq!(reported(&json!({"metrics": less})), [Some(403), Some(400), None, Some(5)]);
}

#[test]
fn cached_tokens_are_found_under_all_names() {
    let expected = [Some(500), Some(400), Some(7), Some(2)];
    for report in [
        json!({"gen_ai.usage.input_tokens": 500, "gen_ai.usage.output_tokens": 2,
            "gen_ai.usage.cache_read_input_tokens": 400, "gen_ai.usage.cache_creation_input_tokens": 7}),
        json!({"usage_metadata": {"input_tokens": 500, "output_tokens": 2, "total_tokens": 502,
            "input_token_details": {"cache_read": 400, "cache_creation": 7}}}),
        json!({"metrics": {"prompt_tokens": 500, "completion_tokens": 2, "tokens": 502,
            "prompt_cached_tokens": 400, "prompt_cache_creation_tokens": 7}}),
        json!({"prompt_tokens": 500, "completion_tokens": 2, "prompt_cache_read_tokens": 400,
            "prompt_cache_write_tokens": 7}),
    ] {
        assert_eq!(reported(&report), expected, "{report}");
    }
}

#[test]
fn outputs_are_as_long_as_servers_say() {
    let reasoning = |total: u64| {
        json!({"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 10}}})
    };
    for (report, expected) in [
        // xAI counts reasoning beside the completion, OpenAI in it.
        (reasoning(25), [Some(10), None, None, Some(15)]),
        (reasoning(15), [Some(10), None, None, Some(5)]),
        (json!({"prompt_eval_count": 26, "eval_count": 259}), [Some(26), None, None, Some(259)]),
        (
            json!({"response": {"message": {"role": "assistant", "content": "a"}, "prompt_eval_count": 26, "eval_count": 259}}),
            [Some(26), None, None, Some(259)],
        ),
        (
            json!({"response": {"usage": {"billed_units": {"input_tokens": 1, "output_tokens": 2},
                "tokens": {"input_tokens": 26, "output_tokens": 259}}}}),
            [Some(26), None, None, Some(259)],
        ),
        (
            json!({"usage": {"prompt_tokens": "12", "completion_tokens": "3",
                "prompt_tokens_details": {"cached_tokens": "4"}}}),
            [Some(12), Some(4), None, Some(3)],
        ),
        (json!({"usage": {"prompt_tokens": "12a", "completion_tokens": ""}}), [None; 4]),
    ] {
        assert_eq!(reported(&report), expected, "{report}");
    }
}

#[test]
fn a_number_in_quotes_is_a_length_where_lengths_are() {
    let output = |path: &str, record: Value| {
        let options = options(|options| options.output_field = Some(path.to_owned()));
        PromptRecord::parse(record.to_string().as_bytes(), &options).unwrap().output
    };
    let tokens = json!({"prompt": "a", "stats": {"output_tokens": "12"}});
    assert_eq!(output("stats.output_tokens", tokens), OutputLength::Known(12));
    let answer = json!({"prompt": "What is 6 times 7?", "answer": "42"});
    assert_eq!(output("answer", answer), OutputLength::Text("42".to_owned()));
    let record = json!({"prompt": "a", "output_tokens": "many"});
    let options = options(|options| options.output_field = Some("output_tokens".to_owned()));
    let found = PromptRecord::parse(record.to_string().as_bytes(), &options).unwrap();
    assert_eq!(found.output, OutputLength::Text("many".to_owned()));
}

#[test]
fn all_choices_are_the_output() {
    let said = |record: &Value| -> Vec<Value> {
        let OutputLength::Answer(messages) = read(record).output else { panic!("{record}") };
        messages.iter().map(|message| serde_json::from_str(&message.json).unwrap()).collect()
    };
    let message = |text: &str| json!({"role": "assistant", "content": text});
    let expected = [message("a"), message("b c")];
    let chat = json!({"messages": [{"role": "user", "content": "hi"}],
        "response": {"choices": [{"message": message("a")}, {"message": message("")}, {"message": message("b c")}]}});
    let text = json!({"prompt": "hi", "choices": [{"text": "a"}, {"text": "b c"}]});
    assert_eq!((said(&chat), said(&text)), (expected.to_vec(), expected.to_vec()));
    let candidate = |text: &str| json!({"content": {"role": "model", "parts": [{"text": text}]}});
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "response": {"candidates": [candidate("a"), candidate("b c")]}});
    assert_eq!(said(&gemini).len(), 2);
    assert_eq!(
        read(&json!({"prompt": "hi", "choices": [{"text": "a"}]})).output,
        OutputLength::Text("a".into())
    );
    // Of several answers the next turn can find any, so none is the answer.
    let options = options(|options| options.answers = true);
    let found = PromptRecord::parse(chat.to_string().as_bytes(), &options).unwrap().answer.unwrap();
    assert!(matches!(found.generated, Generated::Messages(messages) if messages.len() == 2));
}
