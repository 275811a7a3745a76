//! Replicas, routes and tiers, as the options of `trace-stats` and `trace-cat` say.

use super::choice::{Choice, NamedValues};
use super::value::Value;
use crate::fleet::{Fleet, Route};
use crate::stats::{Capacity, TierMode};

/// More replicas than that are a typo.
const MAX_REPLICAS: u64 = 10_000;

/// Replicas behind routers, as typed.
#[derive(Default)]
pub(super) struct FleetOptions {
    pub(super) replicas: Vec<u32>,
    pub(super) routes: Vec<Route>,
}

impl FleetOptions {
    /// Every number of replicas behind every route.
    pub(super) fn fleets(&self) -> Vec<Fleet> {
        let routes = if self.routes.is_empty() { &[Route::default()][..] } else { &self.routes };
        let with_routes = |&replicas| routes.iter().map(move |&route| Fleet { replicas, route });
        self.replicas.iter().flat_map(with_routes).collect()
    }
}

/// The tiers of caches, as typed.
#[derive(Default)]
pub(super) struct TierOptions {
    pub(super) sizes: Vec<Vec<(String, Option<Capacity>)>>,
    pub(super) shared: Option<Capacity>,
    pub(super) mode: Option<TierMode>,
}

impl TierOptions {
    /// All sizes that are named.
    pub(super) fn sizes(&self) -> impl Iterator<Item = &Capacity> {
        self.sizes.iter().flatten().filter_map(|(_, size)| size.as_ref()).chain(&self.shared)
    }
}

impl Choice for TierMode {
    const NAMES: NamedValues<Self> = &[("exclusive", Self::Exclusive), ("inclusive", Self::Inclusive)];
}

/// A number of replicas.
pub(super) fn replicas(value: &Value) -> Result<u32, String> {
    let replicas = value.positive()?;
    let too_many = || format!("{replicas} replicas are too many; expected at most {MAX_REPLICAS}");
    u32::try_from(replicas).ok().filter(|_| replicas <= MAX_REPLICAS).ok_or_else(too_many)
}

/// `round-robin`, `session`, `prefix=2`, `cache`.
pub(super) fn route(value: &Value) -> Result<Route, String> {
    match value.text()? {
        "round-robin" => Ok(Route::RoundRobin),
        "session" => Ok(Route::Session),
        "cache" => Ok(Route::Cache),
        "prefix" => Ok(Route::Prefix(1)),
        text => {
            let blocks =
                text.strip_prefix("prefix=").map(|blocks| Value::new(blocks).positive()).transpose()?;
            let route = blocks.and_then(|blocks| u32::try_from(blocks).ok()).map(Route::Prefix);
            route.ok_or_else(|| {
                format!(
                    "'{text}' is not one of round-robin, session, prefix=N (a number of blocks) and cache"
                )
            })
        }
    }
}
