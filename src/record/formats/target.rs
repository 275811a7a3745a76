//! Traces written for other programs, in their names and units.
//!
//! Sources: aiperf 0.13 (`dataset/loader/models.py`: milliseconds, rows of one `session_id` hold only
//! what is new), guidellm 0.8 (`trace_mooncake.py`: seconds, ids of 32 bits), vLLM (`vllm bench serve
//! --dataset-name timed_trace`: seconds, every prompt is made of its ids), kvcache-simulator 0.1
//! (`trace.py`: a block size in each row).

use super::{bailian, csv, write_ids};
use crate::error::{Invalid, InvalidKind};
use crate::record::time::{Millis, Unit};

/// A format to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Our own, with all fields that were read.
    #[default]
    Mooncake,
    /// For aiperf.
    Aiperf,
    /// As Alibaba's Bailian traces.
    Bailian,
    /// For kvcache-simulator.
    KvcacheSimulator,
    /// For guidellm.
    Guidellm,
    /// For vLLM's `timed_trace`.
    Vllm,
    /// A table.
    Csv,
}

impl Target {
    /// All formats with their names on the command line.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("mooncake", Self::Mooncake),
        ("aiperf", Self::Aiperf),
        ("bailian", Self::Bailian),
        ("kvcache-simulator", Self::KvcacheSimulator),
        ("guidellm", Self::Guidellm),
        ("vllm", Self::Vllm),
        ("csv", Self::Csv),
    ];

    /// Whether ids must be dense to fit.
    pub fn needs_dense(self) -> bool {
        self == Self::Guidellm
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, target)| *target == self).map_or("", |(name, _)| name)
    }

    /// Whether the program cannot do without a field.
    fn needs(self, field: &str) -> bool {
        match field {
            "hash_ids" => matches!(self, Self::KvcacheSimulator | Self::Guidellm | Self::Vllm),
            _ => matches!(self, Self::Guidellm | Self::Vllm),
        }
    }
}

/// One record to be written.
pub struct TargetRow<'a> {
    /// Its time.
    pub time: Option<Millis>,
    /// Prompt length in tokens.
    pub input_length: u64,
    /// Generated length in tokens.
    pub output_length: Option<u64>,
    /// One id per block.
    pub ids: Option<&'a [u64]>,
    /// Tokens per block.
    pub block_size: u64,
    /// The session, where rows of one session belong together.
    pub session: Option<&'a str>,
    /// The Mooncake line, for what else stands in it.
    pub line: &'a [u8],
}

/// Writes one record after the other in a format other than our own.
pub struct TargetWriter {
    target: Target,
    bailian: bailian::Writer,
    started: bool,
}

impl TargetWriter {
    /// Nothing has been written yet.
    pub fn new(target: Target) -> Self {
        Self { target, bailian: bailian::Writer::default(), started: false }
    }

    /// What comes before the first record, also where there is none.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        if !self.started && self.target == Target::Csv {
            out.extend_from_slice(csv::NAMES);
        }
        self.started = true;
    }

    /// Appends a record.
    ///
    /// # Errors
    /// When the format needs a field that the record does not have.
    pub fn write(&mut self, row: &TargetRow, out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.start(out);
        match self.target {
            Target::Bailian => self.bailian.write(row, out),
            Target::Csv => {
                csv::write(row, out);
                Ok(())
            }
            _ => self.json(row, out),
        }
    }

    fn json(&self, row: &TargetRow, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let target = self.target;
        let absent = [
            ("timestamp", row.time.is_none()),
            ("output_length", row.output_length.is_none()),
            ("hash_ids", row.ids.is_none()),
        ];
        if let Some((field, _)) = absent.into_iter().find(|(field, absent)| *absent && target.needs(field)) {
            let message = format!("missing field \"{field}\", which {} needs", target.name());
            return Err(Invalid::new(InvalidKind::MissingField, message));
        }
        let seconds = matches!(target, Target::Guidellm | Target::Vllm);
        let mut number = itoa::Buffer::new();
        out.push(b'{');
        if let Some(time) = row.time {
            out.extend_from_slice(b"\"timestamp\": ");
            time.write(if seconds { Unit::Seconds } else { Unit::Milliseconds }, out);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"\"input_length\": ");
        out.extend_from_slice(number.format(row.input_length).as_bytes());
        if let Some(length) = row.output_length {
            out.extend_from_slice(b", \"output_length\": ");
            out.extend_from_slice(number.format(length).as_bytes());
        }
        if let Some(ids) = row.ids {
            out.extend_from_slice(b", \"hash_ids\": ");
            write_ids(ids, b", ", out);
        }
        if target == Target::KvcacheSimulator {
            out.extend_from_slice(b", \"block_size\": ");
            out.extend_from_slice(number.format(row.block_size).as_bytes());
        }
        if let Some(session) = row.session.filter(|_| target == Target::Aiperf) {
            out.extend_from_slice(b", \"session_id\": ");
            // A string written into memory cannot fail.
            serde_json::to_writer(&mut *out, session).ok();
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}
