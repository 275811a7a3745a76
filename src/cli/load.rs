//! How requests come to a simulated engine, as the options of `trace-stats` say.

use super::value::Value;
use crate::stats::{Load, Service};

/// The most requests that run at a time in an open loop: vLLM's `max_num_seqs` unless it is told otherwise.
const OPEN_LOOP_CONCURRENCY: u64 = 256;

/// How requests come to engines, as typed.
#[derive(Default)]
pub(super) struct LoadOptions {
    pub(super) concurrency: Option<u64>,
    pub(super) step_tokens: Option<u64>,
    pub(super) service: Option<Service>,
    pub(super) sessions: bool,
    pub(super) async_scheduling: bool,
}

impl LoadOptions {
    /// Whether anything is said.
    pub(super) fn is_given(&self) -> bool {
        self.concurrency.is_some() || self.service.is_some() || self.has_details()
    }

    fn has_details(&self) -> bool {
        self.step_tokens.is_some() || self.sessions || self.async_scheduling
    }

    /// Whether it is not said that requests are served together, which the rest is about.
    pub(super) fn is_pointless(&self) -> bool {
        self.has_details() && self.concurrency.is_none() && self.service.is_none()
    }

    /// The same with what holds where nothing is said. In an open loop the number that run is limited as
    /// vLLM does by default.
    pub(super) fn load(&self) -> Load {
        let mut load = Load::default();
        let most = if self.service.is_some() { OPEN_LOOP_CONCURRENCY } else { load.concurrency };
        load.concurrency = self.concurrency.unwrap_or(most);
        load.step_tokens = self.step_tokens.unwrap_or(load.step_tokens);
        load.service = self.service;
        load.sessions = self.sessions;
        load.async_scheduling = self.async_scheduling;
        load
    }
}

/// `prefill=10000,decode=50`: tokens per second.
pub(super) fn service(value: &Value) -> Result<Service, String> {
    let text = value.text()?;
    let wrong = || format!("'{text}' is not a speed; expected such as prefill=10000,decode=50");
    let rate = |name: &str| {
        let mut parts = text.split(',').filter_map(|part| part.split_once('='));
        let (_, rate) = parts.find(|(of, _)| *of == name).ok_or_else(wrong)?;
        let rate = Value::new(rate).number()?;
        // Slower than a token in a day, or faster than one in a nanosecond, is a typo.
        (1e-5..=1e9).contains(&rate).then_some(rate).ok_or_else(wrong)
    };
    if text.split(',').count() != 2 {
        return Err(wrong());
    }
    Ok(Service { prefill: rate("prefill")?, decode: rate("decode")? })
}
