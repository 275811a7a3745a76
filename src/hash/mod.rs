//! Prompts to trace lines.
//!
//! Lines go in batches to worker threads, which do what takes time and depends on one line alone:
//! parsing, rendering, tokens, chained hashes (`worker`). One thread writes the results in the
//! order of the lines and does what depends on that order: dense numbers, arrival times (`write`).
//! One thing a worker cannot know by itself is how the first chat of the input looks (`decision`).
//! The same bytes come out for any number of workers (`pipeline`). In place of trace lines the thread that writes
//! may say why prompts are not like earlier ones (`explain`).

mod counts;
mod decision;
mod explain;
mod hashed;
mod options;
mod output;
mod pipeline;
mod prefixes;
mod prompt;
mod run;
mod worker;
mod write;

pub use counts::Counts;
pub use explain::{Break, BreakReport, Difference, ExplainOptions, Explained, Shown};
pub use options::{DEFAULT_REUSE, HashOptions};
pub use run::{IdSource, Outcome, Task, run};
pub use write::{IdForm, Ids, TraceWriter, WriteOptions};
