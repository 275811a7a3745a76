//! Trace records: one line of the Mooncake format, read and checked.
//!
//! [`scan`] is the fast path for the usual shape of a line; whatever it does not understand goes to
//! [`general`], which decides what is valid and says what is wrong. [`TraceReader`] joins both with
//! the input and the block size.

pub mod formats;
pub mod general;
pub mod model;
pub mod prompt;
mod reader;
pub mod scan;
pub mod time;

use std::ops::Range;

use crate::error::Invalid;
pub use reader::{BlockSize, TraceReader};

/// Block size of the Mooncake traces, in tokens.
pub const DEFAULT_BLOCK_SIZE: u64 = 512;

/// Largest length that is taken for a number of tokens. It keeps every sum of squares in 128 bits.
pub const MAX_LENGTH: u64 = 1 << 40;

/// Timestamps are at most so many milliseconds from zero: no clock counts further, in whatever unit, and
/// no difference or sum of squares of such times is beyond a double.
pub const MAX_TIME: f64 = 1e24;

/// Largest number of tokens per block.
pub const MAX_BLOCK_SIZE: u64 = 1 << 24;

/// Most blocks that are made up for one prompt: a length that is a slip of the pen must not fill memory.
pub const MAX_NEW_BLOCKS: u64 = 1 << 20;

/// One request of a trace. The vector of ids is reused from line to line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Number of its line in the input, from 1, over all files; 0 if it did not come from an input.
    pub line: u64,
    /// Arrival in milliseconds.
    pub timestamp: Option<f64>,
    /// Prompt length in tokens.
    pub input_length: u64,
    /// Generated length in tokens.
    pub output_length: Option<u64>,
    /// Tokens per block, where the line states it.
    pub block_size: Option<u64>,
    /// Whether the line has a list of ids at all.
    pub has_ids: bool,
    /// One id per prefix block, first block first.
    pub hash_ids: Vec<u64>,
    /// Where in the line the list of ids stands, brackets included.
    pub ids_span: Range<usize>,
    /// Where the value of the timestamp stands; empty if there is none.
    pub time_span: Range<usize>,
    /// Where the value of the input length stands.
    pub input_span: Range<usize>,
    /// Where the value of the block size stands; empty if there is none.
    pub block_size_span: Range<usize>,
}

impl Record {
    /// Empties the record for the next line, keeps its memory.
    fn clear(&mut self) {
        self.hash_ids.clear();
        self.timestamp = None;
        self.input_length = 0;
        self.output_length = None;
        self.block_size = None;
        self.has_ids = false;
        self.ids_span = 0..0;
        self.time_span = 0..0;
        self.input_span = 0..0;
        self.block_size_span = 0..0;
    }

    /// The ids, unless the line has none (a trace of lengths only).
    pub fn ids(&self) -> Option<&[u64]> {
        self.has_ids.then_some(&self.hash_ids)
    }
}

/// The line as text.
fn text_of(line: &[u8]) -> Result<&str, Invalid> {
    let invalid = |e: std::str::Utf8Error| format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1);
    std::str::from_utf8(line).map_err(|e| Invalid::malformed(invalid(e)))
}

/// The parser's reason with the column; the reader knows the line by its own number.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    let kind = if error.is_data() { "" } else { "not valid JSON: " };
    let place = if error.column() == 0 { String::new() } else { format!(" at column {}", error.column()) };
    format!("{kind}{reason}{place}")
}

/// Reads one line into `record`.
///
/// # Errors
/// What is wrong with the line, without its place.
pub fn parse(line: &[u8], record: &mut Record) -> Result<(), Invalid> {
    if scan::scan(line, record) { Ok(()) } else { general::parse(line, record) }
}
