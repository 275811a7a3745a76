//! Other formats of traces, read into lines of the Mooncake format, and written.
//!
//! A decoder per file turns a line into requests, and each request is written as a Mooncake line, which
//! every later stage understands: so a conversion is read by the same reader as any trace, and its errors
//! are the same. What a format has beside the known fields follows them as it stood. `registry` lists the
//! formats; `base` has what the decoders share.

mod agentic;
mod aibrix;
mod aiperf;
mod aiperf_export;
mod bailian;
mod base;
mod bench;
mod calls;
mod claude;
mod codex;
mod copilot;
mod csv;
mod dates;
mod dynamo;
mod kv_events;
mod langfuse;
mod llmservingsim;
mod lmcache;
mod otel;
mod prefixes;
mod registry;
mod seconds;
mod sglang_log;
mod simulator;
mod tair;
mod target;
mod tokens;
mod tracelab;
mod usage;
mod vllm_log;
mod weka;

pub(super) use aiperf::{Increments, Rows};
pub(super) use base::{DecodeLine, DecodedLines, FileFacts, Place, counts_from_zero};
pub(super) use csv::is_header;
pub(crate) use kv_events::{Event, EventBatch};
pub use registry::Format;
pub(super) use registry::FormatSpec;
pub use target::{Target, TargetWriter};
