//! Streaming analysis of the request traces of LLM serving.
//!
//! The modules follow the path of the data, from the first bytes read to the program; each one uses only
//! those before it:
//!
//! * [`error`]: what can go wrong, and the exit code
//! * [`io`]: bytes in (files, pipes, gzip, zstd, lines) and bytes out (atomic files, closed pipes)
//! * [`record`]: trace records, prompts, other formats
//! * [`tokens`], [`blocks`]: tokenizers and chat templates; cutting into blocks, chained hashes, numbering
//! * [`fleet`]: replicas behind a router
//! * [`hash`], [`stats`], [`cat`]: what the filters do
//! * [`synth`]: the same for `trace-synth`, which uses [`stats`]
//! * [`report`]: figures as tables, JSON, charts
//! * [`cli`]: options, help, manual pages, progress
//!
//! What a filter does as a whole is one call: [`hash::run`], [`stats::run`], [`cat::run`],
//! [`synth::run`], each with a `Task` that says everything about it. The programs only turn their options
//! into it. What is to be done is said in structs that may get further fields with any version: make one with
//! its `default()` or `new()`, and set the fields that matter.
//!
//! ```
//! use kvtrace::report::{Format, Style};
//! use kvtrace::stats::{self, Capacity, Task};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = |name: &str| folder.path().join(name);
//! # std::fs::write(path("trace.jsonl"), "{\"input_length\": 7, \"hash_ids\": [0]}\n")?;
//! let mut task = Task::new(vec![path("trace.jsonl")]);
//! task.capacities = vec![Capacity::Blocks(1000)];
//! task.output = Some(path("report.json"));
//! stats::run(task, &Style::from(Format::Json), &mut ())?;
//! # assert!(std::fs::read_to_string(path("report.json"))?.contains("\"requests\": 1,"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What follows is each of the filters in a few lines.
//!
//! # Analyse
//!
//! Records may come from anywhere; [`record::parse`] turns a line into one, and reuses its memory.
//!
//! ```
//! use kvtrace::record::{self, Record};
//! use kvtrace::stats::{Analysis, AnalysisOptions};
//!
//! let trace = r#"{"timestamp": 0, "input_length": 1500, "output_length": 20, "hash_ids": [0, 1, 2]}
//! {"timestamp": 800, "input_length": 1400, "output_length": 35, "hash_ids": [0, 1, 3]}"#;
//! let mut options = AnalysisOptions::default();
//! options.caches.capacities = vec![2];
//! let mut analysis = Analysis::new(512, options);
//! let mut record = Record::default();
//! for line in trace.lines() {
//!     record::parse(line.as_bytes(), &mut record)?;
//!     analysis.add(&record)?;
//! }
//! let report = analysis.report(&[50.0, 99.0]);
//! assert_eq!((report.requests, report.unique_blocks.value, report.cached_tokens.value), (2, 4, 1024));
//! # Ok::<(), kvtrace::error::Invalid>(())
//! ```
//!
//! # Read files
//!
//! [`record::TraceReader`] reads files as the filters do: gzip and zstd by themselves, in any of the
//! [`record::formats`], strict, with the place of whatever is wrong.
//!
//! ```
//! use kvtrace::io::{Input, InputOptions};
//! use kvtrace::record::TraceReader;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("trace.jsonl");
//! # std::fs::write(&path, "{\"input_length\": 7, \"hash_ids\": [0]}\n")?;
//! let input = Input::new([&path], InputOptions::default())?;
//! let mut reader = TraceReader::new(input, None, None);
//! let mut tokens = 0;
//! while reader.advance(|_status| Ok(()))? {
//!     tokens += reader.record().input_length;
//! }
//! assert_eq!(tokens, 7);
//!
//! // The same with an iterator, whose records have memory of their own.
//! let input = Input::new([path], InputOptions::default())?;
//! let records: Vec<_> = TraceReader::new(input, None, None).records().collect::<Result<_, _>>()?;
//! assert_eq!(records[0].hash_ids, [0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Hash prompts
//!
//! ```
//! use kvtrace::blocks::{BlockChain, BlockKey, KeyTable, Partial, Scheme};
//! use kvtrace::error::Invalid;
//! use kvtrace::tokens::{Encoder, Tokenizer};
//!
//! let tokenizer = Tokenizer::named("o200k_base").ok_or(Invalid::value("no such tokenizer"))?;
//! let mut encoder = Encoder::new(tokenizer.into(), 0);
//! let mut chain = BlockChain::new(4, Partial::Keep, Scheme::Kvtrace { salt: None });
//! let mut seen = KeyTable::default();
//! let mut number = |key: BlockKey| {
//!     seen.get(key).unwrap_or_else(|| {
//!         seen.insert_new(key);
//!         seen.len() as u32 - 1
//!     })
//! };
//! let mut ids = |text: &str| -> Result<Vec<u32>, Invalid> {
//!     let mut tokens = Vec::new();
//!     encoder.encode(text, &mut tokens)?;
//!     Ok(chain.hashes(&tokens, 0).iter().map(|hash| number(hash.key())).collect())
//! };
//! assert_eq!(ids("You are a helpful assistant. What is a cache?")?, [0, 1, 2]);
//! assert_eq!(ids("You are a helpful assistant. What is a block?")?, [0, 1, 3]);
//! # Ok::<(), Invalid>(())
//! ```
//!
//! # Synthesise
//!
//! ```
//! use kvtrace::record::{self, Record};
//! use kvtrace::synth::{Generator, Knobs, Learner, Model, ModelKind, SyntheticRequest};
//!
//! let mut learner = Learner::default();
//! let mut record = Record::default();
//! for n in 0..100 {
//!     let line = format!(r#"{{"timestamp": {}, "input_length": 900, "hash_ids": [0, {}]}}"#, n * 250, n + 1);
//!     record::parse(line.as_bytes(), &mut record)?;
//!     learner.add(&record, 512)?;
//! }
//! let model = Model::new(ModelKind::default(), &learner.finish()?)?;
//! let mut generator = Generator::new(model, Knobs::default(), 7, Some(1000))?;
//! let mut request = SyntheticRequest::default();
//! for _ in 0..1000 {
//!     generator.next(&mut request)?;
//!     assert_eq!((request.input_length, request.ids().next()), (900, Some(0)));
//! }
//! # Ok::<(), kvtrace::error::Invalid>(())
//! ```
//!
//! # Features
//!
//! All are on by default. With `default-features = false` there are [`error`], [`io`], [`record`],
//! [`blocks`], [`fleet`], [`stats`] and [`cat`], and a third of the crates to build; `hash` adds [`tokens`], [`hash`]
//! and [`synth`], `report` adds [`report`], `programs` adds [`cli`] and the four programs. `zstd-c`, off by
//! default, reads Zstandard by the C library, nearly twice as fast as without.
//!
//! # What a version promises
//!
//! Versions follow [Semantic Versioning](https://semver.org). Public, from 1.0 on, are: the options of
//! the filters and their meaning; exit codes; the names, units and meaning of the fields that they write,
//! in trace lines, JSON, CSV, Prometheus, saved models, states and partial states, of which newer
//! versions read those of older ones; the ids that `--ids hash`, `vllm` and `dynamo` give to equal
//! tokens; and the items of this library. New options, new fields and new variants of enums may come with
//! a minor version, so a reader should ignore fields that it does not know. Not promised: the texts of
//! messages and help, the layout of tables for people, the bytes that a seed yields in `trace-synth`, and
//! [`cli`], which is there for the four programs. Before 1.0, what breaks a user raises the second number
//! and stands in the changelog. The oldest Rust version that compiles it may rise with a minor version.

// Without the programs, what they alone use within the library has no user.
#![cfg_attr(not(feature = "programs"), allow(dead_code, unused_imports))]

pub mod blocks;
pub mod cat;
#[cfg(feature = "programs")]
pub mod cli;
pub mod error;
pub mod fleet;
#[cfg(feature = "hash")]
pub mod hash;
pub mod io;
pub mod record;
#[cfg(feature = "report")]
pub mod report;
pub mod stats;
#[cfg(feature = "hash")]
pub mod synth;
#[cfg(feature = "hash")]
pub mod tokens;
