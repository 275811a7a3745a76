//! What makes sessions share more or less than those of the trace.

use crate::synth::knobs::Knobs;

/// Beginnings are this much longer at most, beside their own length.
const LONGER: f64 = 3.0;

/// Even at most, a conversation ends at some time.
const MOST_TURNS: f64 = 0.98;

/// How much more (above 0, to 1) or less (below, to -1) is shared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bend(f64);

impl Bend {
    /// `share` is from -1 to 1.
    pub(super) fn new(share: f64) -> Self {
        Self(share)
    }

    /// How much longer conversations are, as part of their chance to end.
    pub(super) fn turns(self) -> f64 {
        self.0 * if self.0 > 0.0 { MOST_TURNS } else { 1.0 }
    }

    /// Factor for the length of shared beginnings.
    pub(super) fn prefixes(self) -> f64 {
        1.0 + LONGER * self.0.max(0.0)
    }

    /// Share of the sessions that share no beginning.
    pub(super) fn private(self) -> f64 {
        (-self.0).max(0.0)
    }
}

/// How a model is to be drawn from.
#[derive(Clone, Copy)]
pub(in crate::synth) struct Drawing<'a> {
    pub(in crate::synth) knobs: &'a Knobs,
    pub(in crate::synth) block_size: u64,
    /// Requests that will be drawn, if known.
    pub(in crate::synth) count: Option<u64>,
    /// Requests that the model was learnt from.
    pub(in crate::synth) requests: u64,
}
