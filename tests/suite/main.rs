//! The integration tests: one program, since linking the library once costs less than forty times, and
//! since all tests then share the processor to the end. `cargo test --test suite docs` runs one module.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod accuracy;
mod bad_input;
mod block_sizes;
mod browser;
mod cat;
mod cat_answers;
mod cat_formats;
mod cat_model;
mod cat_order;
mod cat_slice;
mod charts;
mod compute;
mod corpus;
mod docs;
mod engines;
mod explain;
mod faults;
mod fleet;
mod formats;
mod hash;
mod hash_answers;
mod hit_units;
mod hostile;
mod images;
mod kills;
mod layers;
mod library;
mod memory;
mod misses;
mod numbers;
mod options;
mod pieces;
mod pipes;
mod prometheus;
mod prompts;
mod properties;
mod python;
mod recipes;
mod recorded;
mod reuse;
mod round_trips;
mod scanner;
mod stats;
mod stats_model;
mod support;
mod synth;
mod synth_sessions;
mod templates;
mod tokenizer_files;
mod tokenizer_prompts;
mod tokenizers;
mod trials;
mod units;
