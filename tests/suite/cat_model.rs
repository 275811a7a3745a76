//! `trace-cat` against a model of it that holds everything in memory, with random options and files.

use std::collections::HashMap;

use crate::support::{run_in, scratch, write};
use fastrand::Rng;

#[derive(Clone, Debug)]
struct Row {
    time: i64,
    input: u64,
    output: u64,
    ids: Vec<u64>,
    group: usize,
}

impl Row {
    fn text(&self) -> String {
        let Self { time, input, output, ids, .. } = self;
        format!(
            "{{\"timestamp\": {time}, \"input_length\": {input}, \"output_length\": {output}, \"hash_ids\": {ids:?}}}\n"
        )
    }
}

fn rows(rng: &mut Rng, file: usize) -> Vec<Row> {
    (0..rng.usize(..12))
        .map(|_| {
            let blocks = rng.u64(1..6);
            let ids: Vec<u64> = if rng.bool() {
                (0..blocks).collect()
            } else {
                (0..blocks).map(|_| rng.u64(..9) * if rng.u8(..9) == 0 { 1 << 60 } else { 1 }).collect()
            };
            let input = blocks * 512 - rng.u64(..512);
            Row { time: rng.i64(0..30), input, output: rng.u64(..9), ids, group: file }
        })
        .collect()
}

/// Options as they are given, and as the model understands them.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
struct Choice {
    args: Vec<String>,
    scope: usize,
    order: usize,
    renumber: bool,
    from: Option<i64>,
    to: Option<i64>,
    min_input: Option<u64>,
    max_output: Option<u64>,
    head: Option<usize>,
    tail: Option<usize>,
    coarse: bool,
    rebase: bool,
    shift: bool,
    faster: bool,
}

fn choice(rng: &mut Rng) -> Choice {
    let mut choice = Choice { scope: rng.usize(..3), order: rng.usize(..3), ..Choice::default() };
    let scope = ["auto", "file", "shared"][choice.scope];
    choice.args = vec!["-q".into(), format!("--ids-scope={scope}")];
    let mut args = Vec::new();
    let maybe = |rng: &mut Rng, range: std::ops::Range<u64>, name: &str, args: &mut Vec<String>| {
        let value = (rng.u8(..4) == 0).then(|| rng.u64(range));
        // Moments have a unit.
        let unit = if ["from", "to"].contains(&name) { "ms" } else { "" };
        args.extend(value.map(|value| format!("--{name}={value}{unit}")));
        value
    };
    choice.from = maybe(rng, 0..20, "from", &mut args).map(u64::cast_signed);
    let after = choice.from.map_or(0, |from| from.cast_unsigned() + 1);
    choice.to = maybe(rng, after..40, "to", &mut args).map(u64::cast_signed);
    choice.min_input = maybe(rng, 0..2000, "min-isl", &mut args);
    choice.max_output = maybe(rng, 0..9, "max-osl", &mut args);
    choice.head = maybe(rng, 0..20, "head", &mut args).map(|n| n as usize);
    choice.tail = maybe(rng, 0..20, "tail", &mut args).map(|n| n as usize);
    let mut flag = |rng: &mut Rng, name: &str| {
        let on = rng.u8(..3) == 0;
        args.extend(on.then(|| format!("--{name}")));
        on
    };
    choice.renumber = flag(rng, "renumber");
    choice.rebase = flag(rng, "rebase");
    choice.coarse = flag(rng, "reblock=1024");
    choice.faster = flag(rng, "speedup-ratio=0.5");
    choice.shift = choice.order == 0 && flag(rng, "shift");
    args.extend(
        ["", "--merge", "--sort"].get(choice.order).filter(|arg| !arg.is_empty()).map(|&arg| arg.into()),
    );
    if rng.bool() {
        args.push("--max-memory=1Mi".into());
    }
    choice.args.extend(args);
    choice
}

fn model(files: &[Vec<Row>], choice: &Choice) -> String {
    let mut all: Vec<Row> = Vec::new();
    let (mut group, mut end) = (0, 0);
    for (index, file) in files.iter().enumerate() {
        if let Some(first) = file.first().filter(|_| index > 0) {
            let from_zero = first.ids.iter().copied().eq(0..first.ids.len() as u64);
            group += usize::from([from_zero, true, false][choice.scope]);
        }
        let moved = file.first().map_or(0, |first| end - first.time);
        let moved = if choice.shift && !all.is_empty() { moved } else { 0 };
        for row in file {
            let time = row.time + moved;
            end = end.max(time);
            all.push(Row { time, group, ..row.clone() });
        }
    }
    if choice.order > 0 {
        all.sort_by_key(|row| row.time);
    }
    all.retain(|row| {
        choice.from.is_none_or(|from| row.time >= from)
            && choice.to.is_none_or(|to| row.time < to)
            && choice.min_input.is_none_or(|min| row.input >= min)
            && choice.max_output.is_none_or(|max| row.output <= max)
    });
    all.truncate(choice.head.unwrap_or(usize::MAX));
    all.drain(..all.len().saturating_sub(choice.tail.unwrap_or(usize::MAX)));
    let dense = choice.renumber || group > 0 || (choice.scope == 1 && files.len() > 1);
    let (mut numbers, first) = (HashMap::new(), all.first().map_or(0, |row| row.time));
    for row in &mut all {
        if choice.coarse {
            row.ids = row.ids.chunks(2).map(|pair| *pair.last().unwrap()).collect();
        }
        for id in row.ids.iter_mut().filter(|_| dense) {
            let next = numbers.len() as u64;
            *id = *numbers.entry((row.group, *id)).or_insert(next);
        }
        row.time -= if choice.rebase { first } else { 0 };
        row.time *= if choice.faster { 2 } else { 1 };
    }
    // Blocks of another size than 512 tokens are said to be so.
    let sized = |text: String| text.replace("\"output_length\"", "\"block_size\": 1024, \"output_length\"");
    all.iter().map(Row::text).map(|text| if choice.coarse { sized(text) } else { text }).collect()
}

#[test]
fn files_and_options_of_all_kinds_give_what_the_model_gives() {
    let mut rng = Rng::with_seed(20_261_125);
    let mut sizes = 0;
    for case in 0..400 {
        let folder = scratch();
        let choice = choice(&mut rng);
        let mut files: Vec<Vec<Row>> = (0..rng.usize(1..4)).map(|file| rows(&mut rng, file)).collect();
        if choice.order == 1 || choice.shift {
            files.iter_mut().for_each(|file| file.sort_by_key(|row| row.time));
        }
        let names: Vec<String> = (0..files.len()).map(|i| format!("f{i}")).collect();
        for (name, file) in names.iter().zip(&files) {
            write(folder.path(), name, file.iter().map(Row::text).collect::<String>());
        }
        let args: Vec<&str> = choice.args.iter().chain(&names).map(String::as_str).collect();
        let expected = model(&files, &choice);
        let ran = run_in(folder.path(), "trace-cat", &args, "");
        assert_eq!((ran.status, &ran.stdout), (Some(0), &expected), "case {case}: {args:?}: {}", ran.stderr);
        sizes += expected.len();
    }
    assert!(sizes > 50_000, "the cases are too small: {sizes}");
}
