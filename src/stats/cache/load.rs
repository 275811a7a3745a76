//! How requests come to an engine, and what is said of an engine under load.

use serde::Serialize;

/// How an engine is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Load {
    /// The most requests that run at a time.
    pub concurrency: u64,
    /// The most tokens that are computed in a step.
    pub step_tokens: u64,
    /// How fast the engine is, if requests arrive at their times; else one enters when another ends.
    pub service: Option<Service>,
    /// Whether a turn waits for the end of the one before it in its session.
    pub sessions: bool,
    /// Whether the next step is scheduled while one is computed.
    pub async_scheduling: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self { concurrency: 1, step_tokens: 2048, service: None, sessions: false, async_scheduling: false }
    }
}

impl Load {
    /// Whether requests are served strictly one after the other, so that steps make no difference.
    pub fn is_sequential(&self) -> bool {
        self.concurrency == 1 && self.service.is_none()
    }
}

/// How fast an engine is, in tokens per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// Of a prompt alone.
    pub prefill: f64,
    /// Of one answer alone.
    pub decode: f64,
}

impl Service {
    /// Nanoseconds per token, and per step beside its tokens.
    pub(in crate::stats) fn clock(self) -> (i128, i128) {
        let nanoseconds = |rate: f64| (1e9 / rate).round_ties_even() as i128;
        let token = nanoseconds(self.prefill);
        (token, nanoseconds(self.decode) - token)
    }
}

/// What happened in an engine under load, besides hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LoadFigures {
    /// How often a request was put back for want of room and started again.
    pub preempted_requests: u64,
    /// Their tokens at that time: prompt and answer so far.
    pub preempted_tokens: u128,
    /// Of these, what was still there. The engine's own counters leave both out.
    pub preempted_hit_tokens: u128,
    /// Prompt tokens that the cache serves where the same requests come one after the other.
    pub sequential_hit_tokens: u128,
    /// Steps of the engine.
    pub steps: u64,
    /// Requests that run, averaged over the steps.
    pub mean_running: f64,
    /// Time until the end of the last step, in seconds, if requests arrive at their times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated_s: Option<f64>,
}
