//! Our reading of tokenizer files against the crate `tokenizers`, which reads the same files in its
//! own way: on adversarial texts, and on texts cut and joined anew.
//!
//! The small model of `examples` is always compared. Real ones are where `KVTRACE_TOKENIZERS` says
//! (`scripts/check-tokenizers` fetches many into `target/tokenizers/files`); `KVTRACE_PROMPTS` sets the number of prompts for each.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use kvtrace::tokens::{Encoder, GrowingPrompt, Tokenizer};

/// The small model whose tokens are merged bytes.
fn bytes_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/model")
}

/// A folder with a small model whose tokens are merged characters, made as Gemma's is.
fn characters_model() -> &'static Path {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let mut vocab: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
        vocab.extend(
            ["\n", "\n\n", "\t", "\"", "\\", "é", "中", "文", ">", "▁", "x", "0", "<"].map(str::to_owned),
        );
        vocab.extend(('a'..='w').map(String::from));
        let mut merges = Vec::new();
        for merge in [
            "▁ t", "h e", "▁t he", "a a", "aa aa", "▁ ▁", "> ▁", "中 文", "u s", "us e", "▁ use", "e r",
            "i n", "r e", "t h", "▁t h", "▁th e", "a n", "an d", "▁ and", "é a", "\" \\", "< 0", "<0 x",
        ] {
            let (left, right) = merge.split_once(' ').unwrap();
            merges.push([left.to_owned(), right.to_owned()]);
            let joined = left.to_owned() + right;
            if !vocab.contains(&joined) {
                vocab.push(joined);
            }
        }
        let added = ["<start>", "\n\n", "▁▁▁"].map(|content| {
            let id = vocab.iter().position(|token| token == content).unwrap_or_else(|| {
                vocab.push(content.to_owned());
                vocab.len() - 1
            });
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": id > 300})
        });
        let text = |value: &str| serde_json::to_string(value).unwrap();
        let tokens: Vec<String> =
            vocab.iter().enumerate().map(|(id, t)| format!("{}: {id}", text(t))).collect();
        // The lists stand in the order of real files.
        let model = format!(
            r#"{{"type": "BPE", "dropout": null, "unk_token": "<0x00>", "fuse_unk": true, "byte_fallback": true,
            "ignore_merges": false, "vocab": {{ {} }}, "merges": {}}}"#,
            tokens.join(", "),
            serde_json::json!(merges)
        );
        let file = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": {},
            "normalizer": {{"type": "Replace", "pattern": {{"String": " "}}, "content": "▁"}},
            "pre_tokenizer": {{"type": "Split", "pattern": {{"String": " "}},
                "behavior": "MergedWithPrevious", "invert": false}},
            "post_processor": null, "decoder": null, "model": {model}}}"#,
            serde_json::json!(added)
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), file).unwrap();
        folder
    });
    FOLDER.path()
}

/// The folders of the models to compare.
fn models() -> Vec<PathBuf> {
    let mut models = vec![bytes_model(), characters_model().to_owned()];
    match std::env::var_os("KVTRACE_TOKENIZERS") {
        Some(folder) => {
            let entries = std::fs::read_dir(&folder).unwrap();
            models.extend(
                entries.map(|entry| entry.unwrap().path()).filter(|p| p.join("tokenizer.json").is_file()),
            );
        }
        None => eprintln!(
            "skipped: real tokenizer files, for want of KVTRACE_TOKENIZERS (see scripts/check-tokenizers)"
        ),
    }
    models
}

fn prompts() -> usize {
    std::env::var("KVTRACE_PROMPTS").map_or(3000, |n| n.parse().unwrap())
}

/// The library's own reading of a file.
struct Oracle(tokenizers::Tokenizer);

impl Oracle {
    fn load(model: &Path) -> Self {
        Self(tokenizers::Tokenizer::from_file(model.join("tokenizer.json")).unwrap())
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.0.encode_fast(text, false).unwrap().get_ids().to_vec()
    }
}

fn added_tokens(model: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(model.join("tokenizer.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tokens = file["added_tokens"].as_array().unwrap();
    tokens.iter().map(|token| token["content"].as_str().unwrap().to_owned()).collect()
}

const PARTS: &[&str] = &[
    "'s",
    "'S",
    "'re",
    "'LL",
    "'ſ",
    "don't",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{200b}",
    "\u{200d}",
    "\u{feff}",
    "123",
    "1234567",
    "٣٤٥",
    "½",
    "²",
    "Ⅷ",
    "abc",
    "ABC",
    "camelCase",
    "HTTPServer",
    "ǅ",
    "ʰ",
    "é",
    "e\u{301}",
    "a\u{323}\u{307}",
    "\u{1100}\u{1161}\u{11a8}",
    "각",
    "中文字",
    "日本語",
    "カタカナ",
    "ー",
    "゠",
    "・",
    "한국어",
    "हिन्दी",
    "ไทย",
    "العربية",
    "😀",
    "👩‍👩‍👧‍👦",
    "//",
    "/",
    "!!!",
    "...",
    "—",
    "«",
    "$",
    "<|",
    "|>",
    "<",
    "\u{338}",
    "_",
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{1c}",
    "\u{fffd}",
    "\u{e000}",
    "\u{10ffff}",
    "𐐷",
    "𝒳",
    "ß",
    "İ",
    "Å",
    "ﬁ",
    "\u{344}",
    "\u{958}",
    "豈",
    "。\n",
    " the user",
    "and",
    ". ",
    "\n中",
    "word ",
];

/// Texts that look for trouble.
struct Texts {
    random: fastrand::Rng,
    added: Vec<String>,
}

impl Texts {
    fn next(&mut self) -> String {
        let Self { random, added } = self;
        let mut out = String::new();
        for _ in 0..[1, 2, 3, 5, 10, 30, 100, 400][random.usize(..8)] {
            match random.u8(..20) {
                0..10 => out.push_str(PARTS[random.usize(..PARTS.len())]),
                10 => out.extend(char::from_u32(random.u32(..0x3000))),
                11 => out.extend(char::from_u32(random.u32(..0x34000))),
                12..14 => out.extend(std::iter::repeat_n(random.u8(..128) as char, random.usize(1..4))),
                14 if !added.is_empty() => out.push_str(&added[random.usize(..added.len())]),
                15 => out.push_str(&" ".repeat(random.usize(1..40))),
                16 => out.push_str(&"\n".repeat(random.usize(1..10))),
                17 => out.push_str(&PARTS[random.usize(..PARTS.len())].repeat(random.usize(1..100))),
                _ => out.extend((0..random.usize(1..20)).map(|_| random.lowercase())),
            }
        }
        out
    }
}

#[test]
fn tokens_are_those_of_the_library() {
    for model in models() {
        let oracle = Oracle::load(&model);
        let mut texts = Texts { random: fastrand::Rng::with_seed(1), added: added_tokens(&model) };
        let tokenizer = Arc::new(Tokenizer::load(&model, false).unwrap());
        let mut encoder = Encoder::new(tokenizer, 1 << 20);
        let mut compare = |text: &str| {
            let mut found = Vec::new();
            encoder.encode(text, &mut found).unwrap();
            assert!(found == oracle.encode(text), "{}: {text:?}", model.display());
        };
        compare("");
        for _ in 0..prompts() {
            compare(&texts.next());
        }
        for c in ["a", "1", " ", "\n", "\t", ".", "中", "é", "😀", "\u{301}", "ab", "a ", "\r\n", "'s", "\0"]
        {
            for n in [63, 64, 65, 129, 20_000] {
                compare(&c.repeat(n));
            }
        }
        // Words without a break are merged in another way than short ones.
        for letters in ["acgt", "abcdefghijklmnopqrstuvwxyz", "aab", "the", "中文字日本", "!-.", "éaüb"]
        {
            let letters: Vec<char> = letters.chars().collect();
            for length in [65, 200, 1000, 30_000] {
                compare(
                    &(0..length).map(|_| letters[texts.random.usize(..letters.len())]).collect::<String>(),
                );
            }
        }
    }
}

#[test]
fn what_is_remembered_changes_no_token() {
    for model in models() {
        let mut texts = Texts { random: fastrand::Rng::with_seed(2), added: added_tokens(&model) };
        let tokenizer = Arc::new(Tokenizer::load(&model, false).unwrap());
        let mut plain = Encoder::new(tokenizer.clone(), 0);
        let mut remembering = Encoder::new(tokenizer, 300_000);
        let mut growing = GrowingPrompt::default();
        let stock: Vec<String> = (0..30).map(|_| (0..8).map(|_| texts.next()).collect()).collect();
        let mut last = String::new();
        for _ in 0..prompts() / 2 {
            // A prompt that begins like another one and goes on otherwise, from any place on.
            let mut text = if texts.random.bool() { last } else { stock[texts.random.usize(..30)].clone() };
            let end = texts.random.usize(..=text.len());
            text.truncate((0..=end).rev().find(|&end| text.is_char_boundary(end)).unwrap());
            text += &stock[texts.random.usize(..30)];
            text.truncate(
                (0..=text.len().min(50_000)).rev().find(|&end| text.is_char_boundary(end)).unwrap(),
            );
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            plain.encode(&text, &mut expected).unwrap();
            remembering.encode(&text, &mut found).unwrap();
            growing.advance(&text, &mut remembering).unwrap();
            assert!(found == expected, "{}: {text:?}", model.display());
            assert!(growing.tokens() == expected, "{}: {text:?}", model.display());
            last = text;
        }
    }
}

/// Else the comparisons above would be of the library with itself.
#[test]
fn both_small_models_are_run_by_the_program_itself() {
    for model in [&bytes_model(), characters_model()] {
        assert!(Tokenizer::load(model, false).unwrap().turns_apart());
    }
}

/// The ids are the output of tokenizers 0.23.3 for Python on the file in `examples`.
#[test]
fn the_small_model_has_the_tokens_of_the_python_library() {
    let tokenizer = Arc::new(Tokenizer::load(&bytes_model(), true).unwrap());
    let mut encoder = Encoder::new(tokenizer.clone(), 0);
    let mut encode = |text: &str| {
        let mut tokens = Vec::new();
        encoder.encode(text, &mut tokens).unwrap();
        tokens
    };
    let vectors: &[(&str, &[u32])] = &[
        ("the user and the others", &[303, 101, 279, 264, 258, 260, 303, 301, 115]),
        (
            "<|im_start|>user\nit's  in\n\nüber 1234<|im_end|>",
            &[
                309, 117, 115, 301, 10, 105, 116, 39, 115, 32, 266, 10, 10, 195, 188, 98, 301, 32, 49, 50,
                51, 52, 310,
            ],
        ),
        // A long s after an apostrophe is a contraction.
        ("the'ſon 'Sſ", &[303, 101, 39, 197, 191, 302, 32, 39, 83, 197, 191]),
        ("<|im_start|<|begin|>", &[60, 124, 105, 109, 95, 115, 116, 97, 114, 116, 124, 308]),
    ];
    for (text, expected) in vectors {
        assert_eq!(encode(text), *expected, "{text:?}");
    }
    assert_eq!(tokenizer.around("x").unwrap(), (vec![308], vec![]));
}
