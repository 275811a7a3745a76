//! `trace-hash` and the chat templates of models: where they are found, what they are given, what is said
//! where there is none. What templates do with it is tested in `library/chat_templates.rs`.

use std::path::{Path, PathBuf};

use crate::support::{Ran, run, scratch, write};
use serde_json::{Value, json};

/// A folder with the small model of `examples`, and these files beside its tokenizer.
fn model(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = scratch();
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/model/tokenizer.json");
    std::fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

fn hashed(args: &[&str], input: &str) -> Ran {
    run("trace-hash", &[args, &["-b", "1", "--ids", "hash", "--turns", "last"]].concat(), input)
}

fn ids(args: &[&str], input: &str) -> Value {
    let line = hashed(args, input).ok();
    serde_json::from_str::<Value>(line.lines().next().unwrap()).unwrap()["hash_ids"].clone()
}

/// What is made of a chat is the prompt with this text.
fn assert_text(args: &[&str], chat: &Value, text: &str) {
    assert_eq!(
        ids(args, &chat.to_string()),
        ids(args, &json!({"prompt": text}).to_string()),
        "{args:?} {text}"
    );
}

fn hi() -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}]})
}

#[test]
fn the_special_tokens_are_those_of_the_tokenizer_whatever_the_template() {
    let config =
        r#"{"bos_token": {"content": "<|begin|>"}, "chat_template": "own {{ messages[0].content }}"}"#;
    let folder = model(&[("tokenizer_config.json", config)]);
    let other = scratch();
    let template = write(other.path(), "t.jinja", "{{ bos_token }}{{ messages[0].content }}");
    for tokenizer in [path(&folder), path(folder.path().join("tokenizer.json"))] {
        assert_text(&["--tokenizer", &tokenizer], &hi(), "own hi");
        assert_text(&["--tokenizer", &tokenizer, "--chat-template", &template], &hi(), "<|begin|>hi");
    }
    assert_text(&["--tokenizer", "bytes", "--chat-template", &template], &hi(), "hi");
}

#[test]
fn a_model_without_a_template_is_told_of() {
    let folder = model(&[("tokenizer_config.json", "{}")]);
    let note = "trace-hash: 1 chat is in the default template: the tokenizer's folder has no template of the model \
                (--chat-template)\n";
    for tokenizer in [path(&folder), path(folder.path().join("tokenizer.json"))] {
        assert_eq!(hashed(&["--tokenizer", &tokenizer], &hi().to_string()).stderr, note);
        assert_eq!(hashed(&["--tokenizer", &tokenizer], "{\"prompt\": \"hi\"}").stderr, "");
        assert_eq!(hashed(&["--tokenizer", &tokenizer, "-q"], &hi().to_string()).stderr, "");
    }
    assert_eq!(hashed(&["--tokenizer", "bytes"], &hi().to_string()).stderr, "");
}

#[test]
fn requests_with_tools_take_the_template_for_tools() {
    let files = [
        ("chat_template.jinja", "A{{ messages[0].content }}"),
        ("additional_chat_templates/tool_use.jinja", "B{{ messages[0].content }}"),
    ];
    let folder = model(&files);
    let mut chat = hi();
    assert_text(&["--tokenizer", &path(&folder)], &chat, "Ahi");
    chat["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    assert_text(&["--tokenizer", &path(&folder)], &chat, "Bhi");
    chat["tools"] = json!(chat["tools"].to_string());
    assert_text(&["--tokenizer", &path(&folder)], &chat, "Bhi");
}

/// A Jinja file, and what it makes of chats.
struct Jinja {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Jinja {
    fn new(template: &str) -> Self {
        let folder = scratch();
        let file = write(folder.path(), "t.jinja", template).into();
        Self { _folder: folder, file }
    }

    fn makes(&self, args: &[&str], chat: &Value, text: &str) {
        let template = path(&self.file);
        assert_text(&[args, &["--tokenizer", "bytes", "--chat-template", &template]].concat(), chat, text);
    }
}

#[test]
fn content_is_given_in_the_format_that_was_asked_for() {
    let parts = json!([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]);
    let chat = json!({"messages": [{"role": "user", "content": parts}]});
    let walks = Jinja::new(
        "{% for m in messages %}{% if m.content is string %}S{{ m.content }}{% else %}{% for p in m.content %}<{{ p.text | trim }}>{% endfor %}{% endif %}{% endfor %}",
    );
    walks.makes(&[], &chat, "<a><b>");
    walks.makes(&["--content-format", "auto"], &chat, "<a><b>");
    walks.makes(&["--content-format", "string"], &chat, "Sa \nb");
    let takes = Jinja::new("{{ messages[0].content }}");
    takes.makes(&[], &chat, "a \nb");
    takes.makes(
        &["--content-format", "parts"],
        &chat,
        "[{'type': 'text', 'text': 'a '}, {'type': 'text', 'text': 'b'}]",
    );
}

#[test]
fn templates_are_told_the_time_of_the_record() {
    let jinja = Jinja::new("{{ strftime_now('%Y-%m-%d %H:%M') }}");
    for (time, expected) in [
        (json!(null), "2024-07-26 12:00"),
        (json!(12.5), "2024-07-26 12:00"),
        (json!(1_790_000_000), "2026-09-21 14:13"),
        (json!(1_790_000_000_000_u64), "2026-09-21 14:13"),
        (json!("2026-11-27T23:30:00+01:00"), "2026-11-27 22:30"),
    ] {
        let mut chat = hi();
        chat["timestamp"] = time;
        jinja.makes(&[], &chat, expected);
    }
}

#[test]
fn a_message_may_be_continued() {
    let jinja = Jinja::new(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if not loop.last %}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    );
    let mut chat =
        json!({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Sure, "}]});
    jinja.makes(&[], &chat, "<user>hi<assistant>");
    chat["continue_final_message"] = json!(true);
    chat["add_generation_prompt"] = json!(false);
    jinja.makes(&[], &chat, "<user>hi</s><assistant>Sure, ");
}

#[test]
fn what_a_template_raises_is_what_is_wrong_with_the_record() {
    let jinja = Jinja::new(
        "{% if tools %}{{ raise_exception('no tools, please') }}{% endif %}{% for t in tools %}{% endfor %}",
    );
    let args = ["--chat-template", &path(&jinja.file)];
    let mut chat = hi();
    let ran = hashed(&args, &chat.to_string());
    assert_eq!(ran.stderr, "trace-hash: -:1: chat template line 1: 'NoneType' object is not iterable\n");
    chat["tools"] = json!([{"type": "function"}]);
    let ran = hashed(&args, &chat.to_string());
    assert_eq!(
        (ran.status, &*ran.stderr),
        (Some(1), "trace-hash: -:1: chat template line 1: no tools, please\n")
    );
}
