//! `trace-hash`: prompts of token ids with images in them.

use serde_json::{Value, json};

use crate::support::{run, scratch, write};

/// Requests in blocks of 4 tokens, each with the last hash that vLLM 0.33's own functions give it (`expected`), with
/// `PYTHONHASHSEED=7`; `bare` is that of `sha256` over keys in the form of its KV events, which was that of the
/// hashes as well before 0.31. Written by `scripts/check-ids --sample`.
const SAMPLE: &str = include_str!("../samples/vllm-images.jsonl");

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids of each line.
fn ids(args: &[&str], input: &str) -> Vec<Value> {
    lines(&run("trace-hash", args, input).ok()).into_iter().map(|mut line| line["hash_ids"].take()).collect()
}

/// What is said where a chat has images.
const NOT_ITS_OWN: &str = "the ids from there on are not its own";

/// A prompt of twelve tokens with one image of six, and what is in `more`.
fn with_image(identifier: &str, offset: i64, more: &Value) -> String {
    let mut line = json!({
        "prompt_token_ids": [1, 2, 9, 9, 9, 9, 9, 9, 9, 9, 3, 4],
        "mm_features": [{"identifier": identifier, "mm_position": {"offset": offset, "length": 6}}],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        line[name] = value.clone();
    }
    format!("{line}\n")
}

#[test]
fn every_algorithm_of_vllm_hashes_images_as_it_does() {
    for (kind, more) in [
        ("vllm", &[][..]),
        ("vllm-cbor", &[]),
        ("vllm-xxhash", &[]),
        ("vllm-xxhash-cbor", &[]),
        ("bare", &["--extra-keys", "bare"]),
    ] {
        let ids_of = if kind == "bare" { "vllm" } else { kind };
        let args = [&["-b", "4", "--ids", ids_of, "--ids-as", "string", "--hash-seed", "7"], more].concat();
        let found = ids(&args, SAMPLE);
        assert_eq!(found.len(), 8);
        for (ids, request) in found.iter().zip(lines(SAMPLE)) {
            assert_eq!(ids.as_array().unwrap().last(), Some(&request["expected"][kind]), "{kind}: {request}");
        }
    }
}

#[test]
fn images_are_found_however_vllm_writes_them() {
    let tokens = [1, 2, 9, 9, 9, 5, 9, 9, 3];
    let place = |offset: u64, length: u64| json!({"offset": offset, "length": length});
    let of_render = json!({
        "mm_hashes": {"video": ["v"], "image": ["i"]},
        "mm_placeholders": {"image": [place(6, 2)], "video": [place(2, 3)]},
        "kwargs_data": null,
    });
    let mut in_record = of_render.clone();
    in_record["prompt_token_ids"] = json!(tokens);
    let records = [
        json!({"prompt_token_ids": tokens, "mm_features": [
            {"data": null, "modality": "video", "identifier": "v", "mm_position": place(2, 3), "mm_hash": "other"},
            {"data": null, "modality": "image", "identifier": "i", "mm_position": place(6, 2), "mm_hash": null}]}),
        json!({"prompt_token_ids": tokens, "mm_features": [
            {"mm_hash": "i", "offset": 6, "length": 2}, {"identifier": "v", "offset": 2, "length": 3}]}),
        json!({"token_ids": tokens, "features": of_render}),
        json!({"id": 1, "request": {"token_ids": [tokens], "features": of_render}}),
        in_record,
    ];
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    for kind in ["vllm", "hash"] {
        let found = ids(&["-b", "2", "--ids", kind], &input);
        assert!(found.iter().all(|ids| *ids == found[0]), "{kind}: {found:?}");
        let plain = ids(&["-b", "2", "--ids", kind], &format!("{}\n", json!({"token_ids": tokens})));
        assert_eq!(plain[0][0], found[0][0], "{kind}: the image begins in the second block");
        assert_ne!(plain[0][1], found[0][1], "{kind}");
    }
    let none = json!({"token_ids": tokens, "mm_features": [], "mm_hashes": null});
    let plain = json!({"token_ids": tokens, "features": null});
    assert_eq!(
        ids(&["-b", "2"], &format!("{none}\n{plain}\n")),
        [json!([0, 1, 2, 3, 4]), json!([0, 1, 2, 3, 4])]
    );
}

#[test]
fn requests_share_blocks_up_to_another_image() {
    let none = json!({});
    let input = [
        with_image("cat", 4, &none),
        with_image("dog", 4, &none),
        with_image("cat", 4, &json!({"cache_salt": null})),
        with_image("cat", 3, &none),
        with_image("cat", 2, &none),
    ]
    .concat();
    // The block behind an image is another one, too, since its chain is.
    let expected = [[0, 1, 2], [0, 3, 4], [0, 1, 2], [5, 6, 7], [8, 9, 10]].map(|ids| json!(ids));
    assert_eq!(ids(&["-b", "4"], &input), expected);
    let shared = ids(&["-b", "4", "--ignore-keys"], &input);
    assert!(shared.iter().all(|ids| *ids == json!([0, 1, 2])), "{shared:?}");
    // Long blocks are remembered, and so must not be those with images.
    let long = |identifier: &str| {
        let line = json!({"token_ids": vec![9; 512], "mm_features": [{"identifier": identifier, "offset": 130, "length": 9}]});
        format!("{line}\n")
    };
    let input = [long("a"), long("a"), long("b"), long("b"), long("a")].concat();
    let (a, b) = (json!([0, 1, 2, 3]), json!([0, 4, 5, 6]));
    assert_eq!(ids(&["-b", "128", "-j", "1"], &input), [&a, &a, &b, &b, &a].map(Clone::clone));
}

#[test]
fn an_answer_goes_on_from_the_image_in_its_first_block() {
    let image = json!([{"identifier": "cat", "offset": 1, "length": 4}]);
    let asked = json!({"prompt_token_ids": [1, 9, 9, 9, 9, 2], "output_token_ids": [3, 4, 5, 6, 7], "mm_features": image});
    let all = json!({"prompt_token_ids": [1, 9, 9, 9, 9, 2, 3, 4, 5, 6, 7], "mm_features": image});
    let args = ["-b", "4", "--ids", "vllm", "--ids-as", "string"];
    let asked = run("trace-hash", &[&args[..], &["--outputs"]].concat(), format!("{asked}\n")).ok();
    let all = ids(&args, &format!("{all}\n"));
    assert_eq!(lines(&asked)[0]["output_hash_ids"], json!([all[0][1]]));
}

#[test]
fn what_cannot_be_the_places_of_images_is_refused_with_its_line() {
    let tokens = [1, 2, 9, 9, 9, 9, 9, 9];
    let image = |offset: Value, length: Value| json!({"identifier": "a", "mm_position": {"offset": offset, "length": length}});
    let features = |features: Value| json!({"prompt_token_ids": tokens, "mm_features": features});
    let render = |hashes: Value, places: Value| json!({"token_ids": tokens, "features": {"mm_hashes": hashes, "mm_placeholders": places}});
    let at = |offset: u64| json!({"offset": offset, "length": 3});
    let two = json!({"prompt_token_ids": [tokens, tokens], "mm_features": [image(json!(2), json!(3))]});
    for (record, words) in [
        (
            features(json!([image(json!(-1), json!(3))])),
            "the offset of item 1 of \"mm_features\" must be a whole number, found -1",
        ),
        (features(json!([image(json!(1.5), json!(3))])), "must be a whole number, found 1.5"),
        (features(json!([image(json!("2"), json!(3))])), "must be a whole number, found a string"),
        (
            features(json!([image(json!(2), json!(0))])),
            "the length of item 1 of \"mm_features\" must be a whole number above 0, found 0",
        ),
        (features(json!([image(json!(2), json!(null))])), "item 1 of \"mm_features\" has no length"),
        (
            features(json!([image(json!(4), json!(5))])),
            "the 5 tokens from 4 on of image \"a\" end behind the 8 tokens of the prompt",
        ),
        (features(json!([image(json!(1_u64 << 39), json!(1_u64 << 39))])), "end behind the 8 tokens"),
        (
            features(json!([image(json!(5), json!(3)), image(json!(2), json!(4))])),
            "the 4 tokens from 2 on of image \"a\" overlap the 3 tokens from 5 on of image \"a\"",
        ),
        (features(json!([{"mm_position": at(2)}])), "item 1 of \"mm_features\" has no identifier"),
        (
            features(json!([{"identifier": 7, "offset": 2, "length": 3}])),
            "\"identifier\" of item 1 of \"mm_features\" must be a string",
        ),
        (features(json!([7])), "item 1 of \"mm_features\" must be an object, found 7"),
        (features(json!("x")), "\"mm_features\" must be a list, found a string"),
        (
            render(json!({"image": ["a"]}), json!({"image": []})),
            "\"image\" of \"mm_placeholders\" has 0 items, and of \"mm_hashes\" 1",
        ),
        (
            render(json!({}), json!({"image": [at(2)]})),
            "\"mm_hashes\" has no \"image\", as \"mm_placeholders\" has",
        ),
        (render(json!({"image": ["a"]}), json!({"image": [at(6)]})), "end behind the 8 tokens of the prompt"),
        (
            render(json!({"image": ["a"]}), Value::Null),
            "\"mm_hashes\" and \"mm_placeholders\" need each other",
        ),
        (render(json!({"image": 1}), json!({"image": [at(2)]})), "must be a list"),
        (two, "images belong to one prompt, and there are 2"),
    ] {
        let input = format!("{{\"prompt\": \"good\"}}\n{record}\n");
        let ran = run("trace-hash", &["-b", "4"], &input);
        assert_eq!(ran.status, Some(1), "{record}");
        assert!(ran.stderr.contains("line 2") || ran.stderr.contains(":2:"), "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{record}: {}", ran.stderr);
        assert_eq!(run("trace-hash", &["-b", "4", "--ignore-keys"], &input).status, Some(0), "{record}");
    }
}

#[test]
fn images_that_are_not_in_the_ids_are_said() {
    let chat = "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": \
                {\"url\": \"data:image/png;base64,AAAA\"}}]}]}\n";
    let notes = |args: &[&str], input: &str| {
        let ran = run("trace-hash", &[&["-b", "4"], args].concat(), input);
        assert_eq!(ran.status, Some(0));
        ran.stderr
    };
    for kind in ["vllm", "vllm-cbor", "dynamo"] {
        assert_eq!(notes(&["--ids", kind], &chat.repeat(3)).matches(NOT_ITS_OWN).count(), 1);
    }
    assert!(!notes(&[], chat).contains(NOT_ITS_OWN));
    let tokens = with_image("cat", 4, &json!({}));
    assert_eq!(notes(&["--ids", "vllm"], &tokens), "");
    assert_eq!(notes(&[], &tokens), "");
    assert!(notes(&["--ids", "dynamo"], &tokens).contains("1 request has images that are not in its ids"));
    let text = "{\"prompt\": \"what is it?\", \"mm_features\": [{\"identifier\": \"cat\", \"offset\": 1, \"length\": 400}]}\n";
    assert!(notes(&[], &text.repeat(2)).contains("2 requests have images that are not in their ids"));
    assert_eq!(notes(&["--ignore-keys"], text), "");
}

#[test]
fn another_image_is_why_a_prompt_misses() {
    let folder = scratch();
    let none = json!({});
    let input =
        [with_image("cat", 4, &none), with_image("dog", 4, &none), with_image("cat", 4, &none)].concat();
    let path = write(folder.path(), "prompts.jsonl", input);
    let rows = lines(&run("trace-hash", &["-b", "4", "--explain", &path], "").ok());
    let found: Vec<_> =
        rows.iter().map(|row| (&row["shared_tokens"], &row["difference"], &row["place"])).collect();
    let place = json!("/prompt_token_ids");
    assert_eq!(found[1], (&json!(4), &json!("part"), &place));
    assert_eq!((found[2].0, found[2].1), (&json!(12), &json!("repeat")));
}
