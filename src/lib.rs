//! Streaming analysis of the request traces of LLM serving.
//!
//! The modules follow the path of the data; each one uses only those above it:
//!
//! * [`error`]: what can go wrong, and the exit code it means
//! * [`io`]: bytes in (files, pipes, gzip, zstd, lines) and bytes out (atomic files, closed pipes)
//! * [`record`]: trace records and prompts
//! * [`tokens`]: tokenizers and chat rendering
//! * [`blocks`]: cutting into blocks, chained hashes, dense numbering
//! * [`hash`], [`stats`], [`cat`]: what the filters do with them
//! * [`synth`]: traces learnt and written anew
//! * [`report`]: figures written as a table or JSON
//! * [`cli`]: options, help, manual pages, progress

pub mod blocks;
pub mod cat;
pub mod cli;
pub mod error;
pub mod hash;
pub mod io;
pub mod record;
pub mod report;
pub mod stats;
pub mod synth;
pub mod tokens;
