//! Traces written for other programs, in their names and units.
//!
//! Sources: aiperf 0.13 (`dataset/loader/models.py`: milliseconds, rows of one `session_id` hold only
//! what is new), guidellm 0.8 (`trace_mooncake.py`: seconds, ids of 32 bits), vLLM (`vllm bench serve
//! --dataset-name timed_trace`: seconds, every prompt is made of its ids), kvcache-simulator 0.1
//! (`trace.py`: a block size in each row).

use super::bailian::BailianWriter;
use super::csv;
use crate::error::{Invalid, InvalidKind};
use crate::record::line::TraceLine;
use crate::record::time::Unit;

/// A format to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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

    /// Whether the last block must have an id even if it is partial.
    pub fn needs_all_blocks(self) -> bool {
        matches!(self, Self::Aiperf | Self::Bailian | Self::Guidellm | Self::Vllm)
    }

    /// Whether the session is written: aiperf takes rows of one session for `increments`.
    pub fn holds_session(self, increments: bool) -> bool {
        self == Self::Bailian || (self == Self::Aiperf && increments)
    }

    /// Whether a request may come some time after the answer before it.
    pub fn holds_delays(self) -> bool {
        self == Self::Aiperf
    }

    /// Fields beside those of a request that have a place; `None` if all have one.
    pub(crate) fn further_fields(self, increments: bool) -> Option<&'static [&'static str]> {
        match self {
            Self::Mooncake | Self::Bailian => None,
            Self::Aiperf if increments => Some(&["session_id", "delay", "delay_ms"]),
            Self::KvcacheSimulator => Some(&["block_size"]),
            Self::Aiperf | Self::Guidellm | Self::Vllm | Self::Csv => Some(&[]),
        }
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
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

/// Writes one record after the other in a format other than our own.
pub struct TargetWriter {
    target: Target,
    bailian: BailianWriter,
    started: bool,
    /// Whether the table has a column for the ids of answers.
    has_output_column: bool,
}

impl TargetWriter {
    /// Nothing has been written yet.
    pub fn new(target: Target) -> Self {
        Self { target, bailian: BailianWriter::default(), started: false, has_output_column: false }
    }

    /// What comes before the first record, also where there is none.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        if !self.started && self.target == Target::Csv {
            csv::write_names(self.has_output_column, out);
        }
        self.started = true;
    }

    /// Whether there is a place for the ids of answers, once a request has been written.
    pub fn has_output_ids(&self) -> bool {
        match self.target {
            Target::Mooncake | Target::Bailian | Target::KvcacheSimulator => true,
            Target::Csv => self.has_output_column,
            Target::Aiperf | Target::Guidellm | Target::Vllm => false,
        }
    }

    /// Appends a request with all that is known of it; `original` is its Mooncake line, for the formats
    /// that keep what else stands in it.
    ///
    /// # Errors
    /// When the format needs a field that the request does not have.
    pub fn write(&mut self, request: &TraceLine, original: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        self.has_output_column |= !self.started && request.output_ids.is_some();
        self.start(out);
        match self.target {
            Target::Bailian => self.bailian.write(request, original, out),
            Target::Csv => {
                csv::write(request, self.has_output_column, out);
                Ok(())
            }
            _ => self.json(request, out),
        }
    }

    fn json(&self, request: &TraceLine, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let target = self.target;
        let absent = [
            ("timestamp", request.time.is_none()),
            ("output_length", request.output_length.is_none()),
            ("hash_ids", request.ids.is_none()),
        ];
        if let Some((field, _)) = absent.into_iter().find(|(field, absent)| *absent && target.needs(field)) {
            let message = format!("missing field \"{field}\", which {} needs", target.name());
            return Err(Invalid::new(InvalidKind::MissingField, message));
        }
        let line = TraceLine {
            ids: request.ids.as_deref().map(Into::into),
            output_ids: request.output_ids.as_deref().filter(|_| self.has_output_ids()).map(Into::into),
            block_size: request.block_size.filter(|_| target == Target::KvcacheSimulator),
            session: request.session.filter(|_| target == Target::Aiperf),
            // Without its session there is no request before it.
            delay: request.delay.filter(|_| request.session.is_some()),
            rest: Vec::new(),
            ..*request
        };
        let seconds = matches!(target, Target::Guidellm | Target::Vllm);
        line.write(if seconds { Unit::Seconds } else { Unit::Milliseconds }, out);
        Ok(())
    }
}
