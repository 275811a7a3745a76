//! Other formats of traces, read into lines of the Mooncake format, and written.
//!
//! A decoder per file turns a line into requests, and each request is written as a Mooncake line, which
//! every later stage understands: so a conversion is read by the same reader as any trace, and its errors
//! are the same. What a format has beside the known fields follows them as it stood. `registry` lists the
//! formats; `base` has what the decoders share.

mod agentic;
mod bailian;
mod base;
mod csv;
mod dynamo;
mod lmcache;
mod registry;
mod seconds;
mod simulator;
mod tair;
mod target;
mod tracelab;
mod weka;

pub(super) use base::{DecodeLine, DecodedLines, FileFacts, counts_from_zero};
pub use registry::Format;
pub(super) use registry::FormatSpec;
pub use target::{Target, TargetWriter};
