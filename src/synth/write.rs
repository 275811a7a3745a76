//! Synthetic requests as trace lines.

use super::request::Request;

/// How requests are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether lines have a list of ids.
    pub has_ids: bool,
    /// Tokens per block, where lines state it.
    pub block_size: Option<u64>,
    /// Whether lines have the reference's `context_len` and `unique_user_prompt_len`.
    pub annotate: bool,
}

/// Writes requests as trace lines.
pub struct RequestWriter {
    options: WriteOptions,
}

impl RequestWriter {
    /// A writer of lines.
    pub fn new(options: WriteOptions) -> Self {
        Self { options }
    }

    /// Appends the line of a request.
    pub fn write(&self, request: &Request, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        let mut field = |out: &mut Vec<u8>, name: &str, value: u64| {
            out.push(if out.last() == Some(&b'{') { b' ' } else { b',' });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(number.format(value).as_bytes());
        };
        out.push(b'{');
        if let Some(timestamp) = request.timestamp {
            out.extend_from_slice(b"\"timestamp\": ");
            write_time(timestamp, out);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"\"input_length\": ");
        out.extend_from_slice(itoa::Buffer::new().format(request.input_length).as_bytes());
        if let Some(output) = request.output_length {
            field(out, " \"output_length\": ", output);
        }
        if let Some(size) = self.options.block_size {
            field(out, " \"block_size\": ", size);
        }
        if self.options.annotate {
            field(out, " \"context_len\": ", request.context_length);
            field(out, " \"unique_user_prompt_len\": ", request.input_length - request.context_length);
        }
        if self.options.has_ids {
            out.extend_from_slice(b", \"hash_ids\": [");
            write_ids(request, out);
            out.push(b']');
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Appends a time in milliseconds, to the microsecond, without needless zeros.
pub(super) fn write_time(milliseconds: f64, out: &mut Vec<u8>) {
    // Times beyond this have no microseconds in a double; the cast saturates.
    let micros = (milliseconds * 1000.0).round() as u64;
    out.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
    let mut rest = micros % 1000;
    if rest > 0 {
        out.push(b'.');
        for unit in [100, 10, 1] {
            if rest > 0 {
                out.push(b'0' + (rest / unit) as u8);
                rest %= unit;
            }
        }
    }
}

fn write_ids(request: &Request, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    let start = out.len();
    for id in request.ids() {
        if out.len() > start {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(number.format(id).as_bytes());
    }
}
