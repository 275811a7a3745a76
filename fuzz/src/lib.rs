//! What must hold for any bytes: one function per parser of something from outside.
//!
//! Each takes the bytes of a test case and panics if a promise is broken. That is always that
//! nothing panics; where there is a second way to the same result, both are compared. The fuzzer
//! calls them (`fuzz_targets/`), and so do the normal tests, with the cases that are kept
//! (`tests/suite/corpus.rs`).

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use kvtrace::blocks::{BlockKey, KeyTable, StateHeader};
use kvtrace::cat::{Action, Order, Plan};
use kvtrace::error::{Error, Invalid};
use kvtrace::io::{Input, InputOptions};
use kvtrace::record::formats::{Format, Target, TargetWriter};
use kvtrace::record::kv_size::KvSize;
use kvtrace::record::line::TraceLine;
use kvtrace::record::prompt::{Chat, Content, OutputLength, PromptOptions, PromptRecord, Turns};
use kvtrace::record::time::{Millis, TimeForm, Unit};
use kvtrace::record::{MAX_TIME, Record, TraceReader, general, scan};
use kvtrace::stats::{Analysis, AnalysisOptions, Merger, PartialWriter, ServerHits, Ttl};
use kvtrace::synth::{Generator, Knobs, Model, ModelReader, RequestWriter, SyntheticRequest};
use kvtrace::tokens::template::{SeenMessages, TODAY, Template};
use kvtrace::tokens::{Encoder, Tokenizer, chat};
use kvtrace::{cli, report};
use serde_json::Value;
use serde_json::value::RawValue;

/// What is called with the bytes of a case.
pub type Check = fn(&[u8]);

/// All of them by name.
pub const TARGETS: [(&str, Check); 17] = [
    ("line", line),
    ("prompt", prompt),
    ("formats", formats),
    ("csv", csv),
    ("state", state),
    ("model", model),
    ("partial", partial),
    ("tokenizer", tokenizer),
    ("template", template),
    ("options", options),
    ("input", input),
    ("config", config),
    ("document", document),
    ("path", path),
    ("events", events),
    ("scrape", scrape),
    ("pattern", pattern),
];

/// The first byte, which chooses what is done, and the rest.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(&first, rest)| (first, rest))
}

/// What stands before the first NUL, and what stands after it.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let middle = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    (&data[..middle], data.get(middle + 1..).unwrap_or_default())
}

/// The error as the user sees it: one line that drives no terminal and has an end.
fn check_message(error: &Error) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(!text.is_empty() && text.chars().count() < 3000, "{} {text:.200?}", text.len());
}

fn check_reason(reason: &str) {
    assert!(!reason.is_empty());
    check_message(&Error::Data { file: "-".into(), line: 1, message: reason.into() });
}

/// A line of a trace: the fast path reads what the general path reads, and that what a JSON library
/// reads.
pub fn line(data: &[u8]) {
    let (mut fast, mut slow) = (Record::default(), Record::default());
    let by_scan = scan::scan(data, &mut fast);
    let general = general::parse(data, &mut slow);
    if by_scan {
        assert_eq!(general, Ok(()));
        assert_eq!(fast, slow);
    }
    if let Err(invalid) = general {
        return check_reason(&invalid.message);
    }
    let text = std::str::from_utf8(data).unwrap();
    let at = |span: &std::ops::Range<usize>| &text[span.clone()];
    if slow.has_ids {
        assert_eq!(serde_json::from_str::<Vec<u64>>(at(&slow.ids_span)).unwrap(), slow.hash_ids);
    }
    assert_eq!(at(&slow.time_span).parse().ok(), slow.timestamp);
    assert_eq!(at(&slow.block_size_span).parse().ok(), slow.block_size);
    // Deep nesting and immense numbers in fields of no concern are no matter to us.
    let Ok(object) = serde_json::from_str::<serde_json::Map<String, Value>>(text) else { return };
    let get = |names: [&str; 2]| names.iter().find_map(|n| object.get(*n)).filter(|v| !v.is_null());
    let length = |v: &Value| v.as_u64().unwrap_or_else(|| v.as_f64().unwrap() as u64);
    assert_eq!(slow.input_length, length(get(["input_length", "input_tokens"]).unwrap()));
    assert_eq!(slow.output_length, get(["output_length", "output_tokens"]).map(length));
    assert_eq!(slow.timestamp, get(["timestamp", "created_time"]).map(|v| v.as_f64().unwrap()));
    for (name, value) in &object {
        let field = general::field(data, name);
        match value {
            Value::Null => assert_eq!(field, None),
            Value::String(text) => assert_eq!(field.as_ref(), Some(text)),
            _ => {
                let span = general::field_span(data, name).unwrap();
                assert_eq!(&serde_json::from_str::<Value>(at(&span)).unwrap(), value);
                assert_eq!(field.as_deref(), Some(at(&span)));
            }
        }
    }
}

/// A line of prompts: what was read says the same when it is written in the plainest shape, and
/// kept fields are JSON on one line.
pub fn prompt(data: &[u8]) {
    let (flags, line) = choice(data);
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let mut options = PromptOptions::default();
    options.field = flag(0).then(|| "a.b".to_owned());
    options.text = flag(1) && flag(2) && flag(3);
    options.turns = if flag(4) { Turns::Last } else { Turns::Each };
    options.keep = vec!["model".to_owned(), "x".to_owned()];
    options.ignore_keys = flag(5);
    options.timestamp_field = flag(6).then(|| "t".to_owned());
    options.output_field = flag(7).then(|| "o".to_owned());
    let record = match PromptRecord::parse(line, &options) {
        Ok(record) => record,
        Err(reason) => return check_reason(&reason.message),
    };
    let text = std::str::from_utf8(line).unwrap();
    if options.text {
        assert_eq!(record.content, Content::Texts(vec![text.to_owned()]));
        return;
    }
    for (_, value) in &record.kept {
        assert!(!value.contains(|c: char| c.is_ascii_control()));
        serde_json::from_str::<&RawValue>(value).unwrap();
    }
    let content = match &record.content {
        Content::Texts(texts) => serde_json::json!({ "prompt": texts }),
        Content::Tokens(lists) => serde_json::json!({ "prompt_token_ids": lists }),
        Content::Chat(chat) => {
            assert!(chat.requests.is_sorted_by(|a, b| a < b) && !chat.requests.is_empty());
            assert!(chat.requests.iter().all(|&request| request <= chat.messages.len()));
            let raw = |json: &str| serde_json::from_str::<Box<RawValue>>(json).unwrap();
            let messages: Vec<_> = chat.messages.iter().map(|message| raw(&message.json)).collect();
            let fields = chat.fields.iter().map(|(name, json)| (name.clone(), raw(json)));
            let mut object: HashMap<String, _> = fields.collect();
            object.insert("messages".into(), serde_json::value::to_raw_value(&messages).unwrap());
            object.extend(chat.tools.iter().map(|tools| ("tools".to_owned(), raw(&tools.json))));
            object.extend(chat.arguments.iter().map(|json| ("chat_template_kwargs".to_owned(), raw(json))));
            return check_chat(chat, &serde_json::to_string(&object).unwrap(), options.turns);
        }
        other => panic!("a kind of prompt that is not checked: {other:?}"),
    };
    let mut object = content.as_object().unwrap().clone();
    match &record.output {
        OutputLength::Known(length) => object.insert("output_length".into(), (*length).into()),
        OutputLength::Text(text) => object.insert("output".into(), text.clone().into()),
        OutputLength::Limit(length) => object.insert("max_tokens".into(), (*length).into()),
        _ => None,
    };
    let mut plain = PromptOptions::default();
    plain.turns = options.turns;
    let again = PromptRecord::parse(Value::from(object).to_string().as_bytes(), &plain).unwrap();
    assert_eq!(again.content, record.content);
    // An answer of several parts stands in a chat, whose shape is checked there.
    if !matches!(record.output, OutputLength::Answer(_)) {
        assert_eq!(again.output, record.output);
    }
}

/// What a chat was made into is read as it stands.
fn check_chat(chat: &Chat, line: &str, turns: Turns) {
    let mut options = PromptOptions::default();
    options.turns = turns;
    let again = PromptRecord::parse(line.as_bytes(), &options).unwrap();
    let Content::Chat(again) = again.content else { panic!("{line}") };
    assert_eq!(again.messages, chat.messages);
}

fn lines_of(bytes: &[u8], max_line: usize) -> Option<Input> {
    let mut options = InputOptions::default();
    (options.max_line, options.skip_invalid) = (max_line, true);
    Input::in_memory(bytes.to_vec(), options).map_err(|error| check_message(&error)).ok()
}

/// What a table of ours can hold of a record: the time, the lengths, and the ids.
type Cells = (Option<Millis>, u64, Option<u64>, Vec<u64>);

fn cells(reader: &TraceReader) -> Cells {
    let record = reader.record();
    let line = std::str::from_utf8(reader.line()).unwrap();
    let time = Millis::parse(&line[record.time_span.clone()], Unit::Milliseconds);
    (time, record.input_length, record.output_length, record.hash_ids.clone())
}

/// Reads all records; every one must be a record of a plain trace too.
fn read_all(
    bytes: &[u8],
    longest: usize,
    format: Option<Format>,
    block_size: Option<u64>,
) -> (Vec<Cells>, u64) {
    let Some(input) = lines_of(bytes, longest) else { return (Vec::new(), 0) };
    let mut reader = TraceReader::new(input, format, block_size);
    let mut all = Vec::new();
    loop {
        match reader.step(|_| Ok(())) {
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(invalid))) => {
                check_reason(&invalid.message);
                continue;
            }
            Ok(None) => break,
            Err(error) => {
                check_message(&error);
                break;
            }
        }
        let mut record = Record::default();
        general::parse(reader.line(), &mut record).unwrap();
        record.line = reader.record().line;
        assert_eq!(&record, reader.record());
        assert!(record.timestamp.is_none_or(|time| time.abs() <= MAX_TIME));
        if let Some(ids) = record.ids() {
            let (found, size) = (ids.len() as u64, reader.block_size());
            assert!(found == record.input_length.div_ceil(size) || found == record.input_length / size);
        }
        all.push(cells(&reader));
    }
    (all, reader.block_size())
}

/// A trace in any format: its records come back from the table that is made of them.
pub fn formats(data: &[u8]) {
    let (first, data) = choice(data);
    let (second, bytes) = choice(data);
    // Half of the bytes and more leave it to the first line.
    let format = Format::ALL.get(usize::from(first)).map(|&(_, format)| format);
    let block_size = [None, Some(16), Some(512), Some(1 << 24)][usize::from(second) % 4];
    let (rows, block_size) = read_all(bytes, 1 << 20, format, block_size);
    let mut writer = TargetWriter::new(Target::Csv);
    let mut table = Vec::new();
    writer.start(&mut table);
    for (time, input_length, output_length, ids) in &rows {
        let mut row = TraceLine::default();
        row.time = *time;
        row.input_length = *input_length;
        row.output_length = *output_length;
        // Rows do not tell an empty list from none.
        row.ids = (!ids.is_empty()).then(|| ids.into());
        row.block_size = Some(block_size);
        writer.write(&row, b"{}", &mut table).unwrap();
    }
    if !rows.is_empty() {
        // A short line may stand for many ids, which the table writes one by one.
        let (again, _) = read_all(&table, table.len().max(1 << 20), Some(Format::Csv), Some(block_size));
        assert_eq!(again, rows);
    }
}

/// A table: what a naive writer puts into further columns is what stands in the record. And times in
/// every form: what was read is written and read back.
pub fn csv(data: &[u8]) {
    let (flags, data) = choice(data);
    let text = String::from_utf8_lossy(data).replace(['\n', '\r'], " ");
    let cells: Vec<&str> = text.split('\0').collect();
    for cell in &cells {
        times(cell);
    }
    let columns = usize::from(flags & 3) + 1;
    let quote = |cell: &str| {
        let plain = flags & 4 == 0 && !cell.contains(['"', ',']);
        if plain { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    };
    let (names, rows) = cells.split_at(columns.min(cells.len()));
    let known = ["timestamp", "input_length", "output_length", "hash_ids", "output_hash_ids"];
    let taken = ["created_time", "input_tokens", "output_tokens", "block_size"];
    let distinct: HashSet<&&str> = names.iter().collect();
    if distinct.len() < names.len() || names.iter().any(|name| known.contains(name) || taken.contains(name)) {
        return;
    }
    let join = |first: &str, cells: &[&str]| {
        let rest: String = cells.iter().map(|cell| format!(",{}", quote(cell))).collect();
        format!("{first}{rest}\n")
    };
    let mut table = join("timestamp,input_length,output_length,hash_ids", names);
    for row in rows.chunks_exact(names.len().max(1)) {
        table += &join("1.5,3,2,7", row);
    }
    let input = lines_of(table.as_bytes(), 1 << 20).unwrap();
    let mut reader = TraceReader::new(input, None, None);
    for row in rows.chunks_exact(names.len().max(1)) {
        assert!(reader.advance(|_| Ok(())).unwrap());
        assert_eq!(reader.record().hash_ids, [7]);
        let object: serde_json::Map<String, Value> = serde_json::from_slice(reader.line()).unwrap();
        for (name, cell) in names.iter().zip(row) {
            match &object[*name] {
                Value::String(text) => assert_eq!(text, cell),
                number => assert_eq!(number, &serde_json::from_str::<Value>(cell).unwrap()),
            }
        }
    }
    assert!(!reader.advance(|_| Ok(())).unwrap());
    assert_eq!(reader.skipped().unwrap(), None);
}

fn times(text: &str) {
    let units = [Unit::Seconds, Unit::Milliseconds, Unit::Microseconds, Unit::Nanoseconds];
    for form in units.map(TimeForm::Number).into_iter().chain([TimeForm::Date]) {
        let Ok(time) = form.parse(text) else { continue };
        for unit in [Unit::Seconds, Unit::Milliseconds] {
            let mut written = Vec::new();
            time.write(unit, &mut written);
            assert_eq!(Millis::parse(std::str::from_utf8(&written).unwrap(), unit), Some(time));
        }
        assert_eq!(time + time - time, time);
        let _ = (time.divided_by(1.5), time.divided_by(1e-300), time.divided_by(1e300));
    }
}

/// A saved numbering: what was written is read back, anything else is refused or a numbering without
/// a key that stands twice.
pub fn state(data: &[u8]) {
    let (flags, data) = choice(data);
    let mut header = StateHeader::default();
    header.block_size = 16;
    header.tokenizer = "bytes".into();
    let written = |table: &KeyTable<BlockKey>| {
        let mut bytes = Vec::new();
        let Ok::<(), std::convert::Infallible>(()) = header.write(table, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        });
        bytes
    };
    match header.read(data) {
        Ok(table) => assert_eq!(written(&table), data),
        Err(invalid) => check_reason(&invalid.message),
    }
    // The same bytes as keys, which a random checksum would keep from ever being looked at.
    let mut table = KeyTable::default();
    for key in data.chunks_exact(12).take(10_000) {
        let word = |at: usize| u32::from_le_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]]);
        let key = [word(0), word(4), word(8)];
        if table.get(key).is_none() {
            table.insert_new(key);
        }
    }
    let mut bytes = written(&table);
    let again = header.read(&bytes).unwrap();
    assert_eq!(again.keys(), table.keys());
    assert!(table.keys().iter().all(|&key| again.get(key) == table.get(key)));
    let at = usize::from(flags) * bytes.len() / 256;
    bytes[at] ^= 1 << (flags % 8);
    assert!(header.read(&bytes).is_err());
}

fn saved(model: &Model) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok::<(), std::convert::Infallible>(()) = model.save(|line| {
        bytes.extend_from_slice(line);
        Ok(())
    });
    bytes
}

pub fn read_model(bytes: &[u8]) -> Result<Model, Invalid> {
    let mut reader = ModelReader::default();
    for line in bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        reader.line(line)?;
    }
    reader.finish()
}

/// A model of a trace: it is written and read back the same, and what is drawn from it is a trace.
pub fn model(data: &[u8]) {
    let model = match read_model(data) {
        Ok(model) => model,
        Err(invalid) => return check_reason(&invalid.message),
    };
    assert!(read_model(&saved(&model)).unwrap() == model);
    let block_size = model.block_size();
    let mut options = model.write_options();
    options.annotate = true;
    let mut writer = RequestWriter::new(options);
    let mut generator = Generator::new(model, Knobs::default(), 1, Some(20)).unwrap();
    let (mut request, mut line, mut record) = (SyntheticRequest::default(), Vec::new(), Record::default());
    for _ in 0..20 {
        if let Err(invalid) = generator.next(&mut request) {
            return check_reason(&invalid.message);
        }
        assert_eq!(request.blocks(), request.input_length.div_ceil(block_size));
        if request.blocks() > 10_000 {
            continue;
        }
        line.clear();
        writer.write(&request, &mut line).unwrap();
        general::parse(line.trim_ascii_end(), &mut record).unwrap();
        assert_eq!(record.input_length, request.input_length);
        assert_eq!(record.output_length, request.output_length);
        // Written to the microsecond.
        let close = |a: f64, b: f64| (a - b).abs() <= 0.0005 + b * f64::EPSILON;
        assert!(match (record.timestamp, request.timestamp) {
            (Some(written), Some(drawn)) => close(written, drawn),
            (written, drawn) => written == drawn,
        });
        if record.has_ids {
            assert!(request.ids().eq(record.hash_ids.iter().copied()));
        }
    }
}

fn json(analysis: &Analysis) -> Vec<u8> {
    let mut out = Vec::new();
    report::write(&report::Format::Json.into(), &analysis.report(&[50.0, 99.0]), &mut out);
    out
}

/// The state of pieces of a trace: whatever is merged can be reported on, and merging the pieces of
/// a trace gives what the whole trace gives.
pub fn partial(data: &[u8]) {
    let (flags, data) = choice(data);
    if flags & 1 == 1 {
        return pieces(data, flags & 2 == 2);
    }
    let mut options = AnalysisOptions::default();
    options.budget = Some(1 << 24);
    let mut merger = Merger::new(options).unwrap();
    for line in data.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        if let Err(reason) = merger.line(line) {
            return check_reason(&reason.message);
        }
    }
    match merger.finish() {
        Ok(analysis) => {
            serde_json::from_slice::<Value>(&json(&analysis)).unwrap();
        }
        Err(reason) => check_reason(&reason.message),
    }
}

/// A trace made of `data`: three bytes say what a request is like, further ones are its ids. The top
/// bit of the first begins a new piece.
fn pieces(data: &[u8], finite: bool) {
    const SIZE: u64 = 8;
    let mut analysed = AnalysisOptions::default();
    if finite {
        analysed.caches.capacities = vec![1, 3, 9];
        analysed.caches.targets = vec![0.5];
        analysed.caches.ttls = vec![Ttl::Sliding(40)];
    }
    let mut whole = Analysis::new(SIZE, analysed.clone());
    let mut merger = Merger::new(analysed).unwrap();
    let mut writer: Option<PartialWriter> = None;
    let mut text = Vec::new();
    let mut rest = data;
    let mut time = 0.0;
    while let [kind, length, output, more @ ..] = rest {
        let ids = usize::from(kind & 15).min(more.len());
        let sparse = kind & 32 != 0;
        let id = |&byte: &u8| if sparse { u64::from(byte) << 56 | 0xffff } else { u64::from(byte) };
        let partial = u64::from(length % 8);
        time += f64::from(*output) / 2.0;
        let record = Record {
            timestamp: (length & 128 == 0).then_some(time),
            input_length: (ids as u64 * SIZE).saturating_sub(partial),
            output_length: (*output > 3).then_some(u64::from(*output)),
            has_ids: kind & 64 == 0,
            hash_ids: if kind & 64 == 0 { more[..ids].iter().map(id).collect() } else { Vec::new() },
            ..Record::default()
        };
        whole.add(&record).unwrap();
        if kind & 128 != 0
            && let Some(writer) = writer.take()
        {
            writer.finish(&mut text);
        }
        let piece = writer.get_or_insert_with(|| PartialWriter::new(SIZE, None, None, &mut text));
        piece.add(&record, &mut text).unwrap();
        rest = &more[ids..];
    }
    let Some(writer) = writer else { return };
    writer.finish(&mut text);
    for line in text.trim_ascii_end().split(|&b| b == b'\n') {
        merger.line(line).unwrap();
    }
    let merged = merger.finish().unwrap();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(shown(&json(&merged)), shown(&json(&whole)));
}

/// A tokenizer file and a text: our engine finds the tokens that the library finds.
pub fn tokenizer(data: &[u8]) {
    let (flags, data) = choice(data);
    let (file, text) = halves(data);
    let file = if flags & 1 == 1 { made_tokenizer(flags, file) } else { file.to_vec() };
    let text = String::from_utf8_lossy(text);
    let ours = match Tokenizer::from_json("f", file.clone(), flags & 2 != 0) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return check_message(&error),
    };
    let mut encoder = Encoder::new(Arc::new(ours), 0);
    let mut tokens = Vec::new();
    if let Err(reason) = encoder.encode(&text, &mut tokens) {
        return check_reason(&reason.message);
    }
    assert_eq!(encoder.count(&text).unwrap(), tokens.len());
    let Ok(mut library) = tokenizers::Tokenizer::from_bytes(file) else { return };
    library.with_padding(None).with_truncation(None).unwrap();
    if let Ok(expected) = library.encode_fast(&*text, false) {
        assert_eq!(tokens, expected.get_ids());
    }
}

/// A byte-level tokenizer with a vocabulary of all bytes, with merges and added tokens that `data`
/// chooses.
fn made_tokenizer(flags: u8, data: &[u8]) -> Vec<u8> {
    let visible = |byte: u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=0x20 => char::from_u32(0x100 + u32::from(byte)).unwrap(),
        0x7f..=0xa0 => char::from_u32(0x121 + u32::from(byte) - 0x7f).unwrap(),
        0xad => '\u{143}',
    };
    let mut words: Vec<String> = (0..=255).map(|byte| visible(byte).to_string()).collect();
    let (mut merges, mut added) = (Vec::new(), Vec::new());
    let known = |words: &[String], text: &String| words.contains(text);
    for pair in data.chunks_exact(2).take(40) {
        // A pair of earlier words; the newest are chosen by the numbers from 255 down.
        let word = |n: u8| match usize::from(255 - n) {
            back if n >= 200 && back < words.len() - 256 => &words[words.len() - 1 - back],
            _ => &words[usize::from(n)],
        };
        let (left, right) = (word(pair[0]).clone(), word(pair[1]).clone());
        let joined = format!("{left}{right}");
        if pair[0] == 0 {
            let content = format!("<{}>", char::from(pair[1]));
            if !known(&words, &content) {
                let id = words.len();
                words.push(content.clone());
                added.push(serde_json::json!({"id": id, "content": content, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": pair[1] & 1 == 1, "special": true}));
            }
        } else if joined.len() < 40 {
            if !known(&words, &joined) {
                words.push(joined);
            }
            let merge = serde_json::json!([left, right]);
            if !merges.contains(&merge) {
                merges.push(merge);
            }
        }
    }
    let vocab: serde_json::Map<String, Value> = words.into_iter().zip((0..).map(Value::from)).collect();
    let normalizer = if flags & 4 == 0 { Value::Null } else { serde_json::json!({"type": "NFC"}) };
    let byte_level = |regex: bool| serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let split = |pattern: &str| {
        serde_json::json!({"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Isolated",
            "pattern": {"Regex": pattern}, "invert": false}, byte_level(false)]})
    };
    let pre_tokenizer = match flags >> 3 & 3 {
        0 => byte_level(true),
        1 => split(CL100K),
        2 => split(&CL100K.replace(r"\p{N}{1,3}", r"\p{N}")),
        _ => split(O200K),
    };
    let model = serde_json::json!({"type": "BPE", "dropout": null, "unk_token": null,
        "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
        "byte_fallback": false, "ignore_merges": flags & 32 != 0, "vocab": vocab, "merges": merges});
    serde_json::json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": null,
        "decoder": byte_level(true), "model": model})
    .to_string()
    .into_bytes()
}

const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The default template, in Jinja.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\\n' }}";

/// A chat template and a chat: rendering ends, twice the same; and the default template in Jinja gives
/// what is written without Jinja.
pub fn template(data: &[u8]) {
    let (source, line) = halves(data);
    let default = br#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}],"tools":[{"name":"f"}]}"#;
    let line = if line.is_empty() { default } else { line };
    let options = PromptOptions::default();
    let Ok(PromptRecord { content: Content::Chat(chat), .. }) = PromptRecord::parse(line, &options) else {
        return;
    };
    let reference = Template::parse("t", CHATML.to_owned()).unwrap();
    let conversation = match reference.conversation(&chat, &mut SeenMessages::new(0)) {
        Ok(conversation) => conversation,
        Err(reason) => return check_reason(&reason.message),
    };
    for &end in &chat.requests {
        let (mut jinja, mut plain) = (String::new(), String::new());
        let plain_texts = chat.messages.iter().all(|message| {
            let message: Value = serde_json::from_str(&message.json).unwrap();
            let fields = message.as_object().unwrap();
            let own = message["role"] != "developer" && message["role"] != "system";
            own && message["content"].is_string()
                && fields.keys().all(|name| name == "role" || name == "content")
        });
        let rendered = reference.render(&conversation, end, TODAY, &mut jinja);
        if plain_texts && chat.invites() && rendered.is_ok() {
            let turns: Vec<_> =
                chat.messages[..end].iter().map(|m| chat::Turn::of_message(m).unwrap()).collect();
            chat::render(&turns, &mut plain);
            assert_eq!(jinja, plain);
        }
    }
    let template = match Template::parse("t", String::from_utf8_lossy(source).into_owned()) {
        Ok(template) => template,
        Err(error) => return check_message(&error),
    };
    let conversation = match template.conversation(&chat, &mut SeenMessages::new(0)) {
        Ok(conversation) => conversation,
        Err(reason) => return check_reason(&reason.message),
    };
    for &end in chat.requests.iter().take(3) {
        let render = || {
            let mut out = String::new();
            template.render(&conversation, end, TODAY, &mut out).map(|()| out)
        };
        let first = render();
        if let Err(reason) = &first {
            check_reason(&reason.message);
        }
        assert_eq!(first, render());
    }
}

/// A command line of one of the four filters, arguments separated by NUL.
pub fn options(data: &[u8]) {
    fn parse<O: Default + cli::HasCommon>(spec: &cli::Spec<O>, arguments: Vec<OsString>) -> Option<O> {
        let most = arguments.len();
        match cli::parse(spec, arguments) {
            Ok(mut options) => {
                assert!(options.common().files.len() <= most);
                Some(options)
            }
            Err(error) => {
                assert_eq!(error.exit_code(), 2);
                check_message(&error);
                None
            }
        }
    }
    let (tool, data) = choice(data);
    let arguments = data.split(|&b| b == 0).map(|bytes| OsString::from_vec(bytes.to_vec())).collect();
    match tool % 4 {
        0 => drop(parse(&cli::hash::SPEC, arguments)),
        1 => drop(parse(&cli::stats::SPEC, arguments)),
        2 => drop(parse(&cli::synth::SPEC, arguments)),
        _ => drop(parse(&cli::cat::SPEC, arguments).map(|options| options.task())),
    }
}

/// What an input is read to: its lines, and how many were too long.
#[derive(Debug, PartialEq)]
struct Framed {
    lines: Vec<(u64, Vec<u8>)>,
    too_long: bool,
}

fn framed(bytes: &[u8], max_line: usize) -> Option<Framed> {
    let mut options = InputOptions::default();
    (options.max_line, options.skip_invalid, options.documents) = (max_line, true, false);
    let input = Input::in_memory(bytes.to_vec(), options).map_err(|error| check_message(&error));
    let mut input = input.ok()?;
    let mut lines = Vec::new();
    loop {
        match input.advance(|_| Ok(())) {
            Ok(true) => lines.push((input.place().1, input.line().to_vec())),
            Ok(false) => break,
            Err(error) => {
                check_message(&error);
                return None;
            }
        }
    }
    let too_long = input.skipped(1).unwrap().is_some();
    Some(Framed { lines, too_long })
}

/// Lines out of bytes, compressed or not: as a naive reader cuts them, and the same from all three.
pub fn input(data: &[u8]) {
    let (first, bytes) = choice(data);
    let max_line = if first < 128 { usize::from(first) + 1 } else { 1 << 20 };
    let Some(found) = framed(bytes, max_line) else { return };
    let is_skipped = matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if is_skipped || bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return;
    }
    let mut expected = Framed { lines: Vec::new(), too_long: false };
    let end = if bytes.ends_with(b"\n") { bytes.len() - 1 } else { bytes.len() };
    for (number, line) in (1..).zip(bytes[..end].split(|&b| b == b'\n')) {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > max_line {
            expected.too_long = true;
        } else if !line.iter().all(u8::is_ascii_whitespace) {
            expected.lines.push((number, line.to_vec()));
        }
    }
    assert_eq!(found, expected);
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let mut gzip = Vec::new();
    for part in [one, two] {
        let mut encoder = flate2::read::GzEncoder::new(part, flate2::Compression::fast());
        encoder.read_to_end(&mut gzip).unwrap();
    }
    let zstd = ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    for compressed in [gzip, zstd] {
        assert_eq!(framed(&compressed, max_line).unwrap(), expected);
    }
}

/// A model's `config.json`: the same figure whatever the order of its fields and its white space.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let sizes = |text: &str| -> Result<Vec<_>, Invalid> {
        let size = KvSize::of(text, None)?;
        Ok([None, Some(1), Some(5000)].map(|tokens| size.bytes_per_token(tokens).ok()).to_vec())
    };
    match sizes(&text) {
        Ok(bytes) => {
            assert!(!bytes.contains(&Some(0)));
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                assert_eq!(sizes(&value.to_string()).unwrap(), bytes);
            }
        }
        Err(reason) => check_reason(&reason.message),
    }
}

/// Objects as a list and as records over several lines are read as what they are; and whatever the bytes are, a
/// record is one line.
pub fn document(data: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut input = lines_of(bytes, 1 << 20)?;
        let mut lines = Vec::new();
        loop {
            match input.advance(|_| Ok(())) {
                Ok(true) => lines.push(input.line().to_vec()),
                Ok(false) => break,
                Err(error) => {
                    check_message(&error);
                    break;
                }
            }
        }
        for line in &lines {
            // Only a text with a line end in it, which JSON has not, keeps that.
            let is_json = serde_json::from_slice::<Value>(line).is_ok();
            assert!(!(is_json && line.contains(&b'\n')));
        }
        Some(lines)
    };
    read(data);
    type Object = serde_json::Map<String, Value>;
    let parsed = |line: &[u8]| serde_json::from_slice::<Object>(line).ok();
    let objects: Vec<Object> = data
        .split(|&byte| byte == b'\n')
        .filter_map(parsed)
        .filter(|object| !object.is_empty())
        .take(20)
        .collect();
    if objects.is_empty() {
        return;
    }
    let mut forms = vec![serde_json::to_vec(&objects).unwrap(), serde_json::to_vec_pretty(&objects).unwrap()];
    let pretty = |object: &Object| serde_json::to_string_pretty(object).unwrap() + "\n";
    forms.push(objects.iter().map(pretty).collect::<String>().into_bytes());
    for form in forms {
        let lines = read(&form).unwrap();
        let again: Vec<Object> = lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(again, objects);
    }
}

/// A path to a field of a record: a JSON Pointer leads where a JSON library finds it leads to, and any other path
/// to something or to an error.
pub fn path(data: &[u8]) {
    let (path, json) = halves(data);
    let path = String::from_utf8_lossy(path).into_owned();
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
    let record = serde_json::json!({"prompt": "x", "d": value});
    let mut options = PromptOptions::default();
    options.output_field = Some(if path.starts_with('/') { format!("/d{path}") } else { path.clone() });
    let line = record.to_string();
    let found = PromptRecord::parse(line.as_bytes(), &options);
    let expected = if path.starts_with('/') { value.pointer(&path).and_then(Value::as_u64) } else { None };
    match (found, expected.filter(|length| *length < 1 << 32)) {
        (Ok(record), Some(length)) => assert_eq!(record.output, OutputLength::Known(length), "{path} {line}"),
        (Err(reason), Some(_)) => panic!("{path} {line}: {}", reason.message),
        (Err(reason), None) => check_reason(&reason.message),
        (Ok(_), None) => {}
    }
    // The same path to a prompt.
    let mut options = PromptOptions::default();
    options.field = Some(path);
    if let Err(reason) = PromptRecord::parse(json, &options) {
        check_reason(&reason.message);
    }
}

/// Events of an engine's cache beside a trace: each line is written again, with what was held and otherwise as it
/// was, or the run ends with an error.
pub fn events(data: &[u8]) {
    let folder = std::env::temp_dir();
    let thread = format!("{:?}", std::thread::current().id());
    let name = |what: &str| folder.join(format!("kvtrace-{}-{thread}-{what}", std::process::id()));
    let (trace, events, out) = (name("trace"), name("events"), name("out"));
    let tokens: Vec<u32> = (0..40).collect();
    let row = |time: u64, length: usize| serde_json::json!({"timestamp": time, "input_length": length, "prompt_token_ids": tokens[..length]});
    let rows = [row(1_000_000, 13), row(1_001_000, 40), row(1_002_000, 8)];
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&trace, &text).unwrap();
    std::fs::write(&events, data).unwrap();
    let mut plan = Plan::default();
    plan.kv_events = Some(events.clone());
    let (order, pace, compress) = (Order::default(), false, None);
    let action = Action::Convert { order, plan: Box::new(plan), pace, compress };
    let mut task = kvtrace::cat::Task::new(vec![trace.clone()], action);
    task.output = Some(out.clone());
    match kvtrace::cat::run(task, &mut ()) {
        Ok(()) => {
            let written = std::fs::read_to_string(&out).unwrap();
            let written: Vec<Value> =
                written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(written.len(), rows.len());
            for (mut written, row) in written.into_iter().zip(rows) {
                let fields = written.as_object_mut().unwrap();
                fields.retain(|name, _| row.get(name).is_some());
                assert_eq!(written, row);
            }
        }
        Err(error) => check_message(&error),
    }
    for path in [trace, events, out] {
        std::fs::remove_file(path).ok();
    }
}

/// A scrape of a server: the order of its lines, comments and other metrics are no matter.
pub fn scrape(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let found = ServerHits::of_scrape(&text);
    let reversed: Vec<&str> = text.lines().rev().collect();
    let other = "# HELP x y\nvllm:other{a=\"}\"} 5\n".to_owned() + &reversed.join("\n");
    let again = ServerHits::of_scrape(&other);
    match &found {
        Ok(servers) => {
            assert!(servers.iter().all(|server| server.hits.hit_tokens <= server.hits.tokens));
            assert_eq!(again.unwrap(), *servers);
        }
        Err(reason) => {
            check_reason(reason);
            assert!(again.is_err());
        }
    }
}

/// A pattern that cuts texts, from a stranger: whatever it is, the cutting ends, and loses no byte of the text.
pub fn pattern(data: &[u8]) {
    let (pattern, text) = halves(data);
    let pattern = String::from_utf8_lossy(pattern);
    let text: String = String::from_utf8_lossy(text).chars().take(2000).collect();
    let mut file: Value = serde_json::from_slice(&made_tokenizer(8, b"")).unwrap();
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern.into();
    let ours = match Tokenizer::from_json("f", file.to_string().into_bytes(), false) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return check_message(&error),
    };
    let begun = std::time::Instant::now();
    let mut tokens = Vec::new();
    match Encoder::new(Arc::new(ours), 0).encode(&text, &mut tokens) {
        // Without merges a token is a byte, however the text is cut.
        Ok(()) => assert!(tokens.iter().map(|&token| token as u8).eq(text.bytes()), "{tokens:?}"),
        Err(reason) => check_reason(&reason.message),
    }
    assert!(begun.elapsed().as_secs() < 60);
}
