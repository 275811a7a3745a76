//! Trace records: the lines of a trace in any format, read, checked and written.
//!
//! [`TraceReader`] joins an input, the decoders of its [`formats`] and the block size. Lines of the
//! Mooncake format are read where they lie: [`scan`] is the fast path for the common shape of a line, and
//! whatever it does not understand goes to [`general`], which decides what is valid and says what is wrong.
//! [`mod@line`] writes lines.

mod apart;
mod block_size;
mod decoded;
pub(crate) mod edit;
pub mod formats;
pub mod general;
pub(crate) mod json;
pub mod kv_size;
pub mod line;
pub mod prompt;
pub(crate) mod raw;
mod reader;
pub(crate) mod recent;
mod remarks;
pub mod scan;
mod scanned;
mod sessions;
mod surrogate;
pub mod time;
mod trace_record;
pub mod turns;

use crate::error::Invalid;
pub(crate) use apart::{Numbered, NumberedApart, NumberedFiles, Predecessors};
pub use block_size::BlockSize;
pub use reader::TraceReader;
pub(crate) use sessions::{Sessions, affinity};
pub(crate) use trace_record::first_bits;
pub use trace_record::{
    DEFAULT_BLOCK_SIZE, LengthRange, MAX_BLOCK_SIZE, MAX_LENGTH, MAX_NEW_BLOCKS, MAX_TIME, Record,
    RecordedUse,
};

/// Reads one line of the Mooncake format into `record`.
///
/// # Errors
/// What is wrong with the line, without its place.
pub fn parse(line: &[u8], record: &mut Record) -> Result<(), Invalid> {
    general::parse_any(line, record)
}
