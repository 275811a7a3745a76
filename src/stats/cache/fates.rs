//! What becomes of prompt tokens in a cache, as it is reported.

use std::ops::AddAssign;

use serde::Serialize;

/// Prompt tokens by what became of them. The fates add up to `tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fates {
    /// Served from the cache.
    pub hit: u128,
    /// Not there for the first time, or behind such tokens: no cache could have served them.
    pub cold: u128,
    /// Gone for want of room: a larger cache would have served them.
    pub evicted: u128,
    /// Gone because of their age: a cache with a longer time to live would have served them.
    pub expired: u128,
    /// Known, but of no use by the rules of hits: in a block that is not full, the last token, below a
    /// minimum or behind the last whole step.
    pub rules: u128,
    /// In the cache of another replica. With one cache there are none.
    pub elsewhere: u128,
    /// All of them.
    pub tokens: u128,
}

impl Fates {
    /// The fates by their names in JSON, in the order in which they are told.
    pub fn parts(&self) -> [(&'static str, u128); 6] {
        [
            ("hit", self.hit),
            ("cold", self.cold),
            ("evicted", self.evicted),
            ("expired", self.expired),
            ("rules", self.rules),
            ("elsewhere", self.elsewhere),
        ]
    }

    /// The share of one of its parts; `None` of nothing.
    pub fn share(&self, part: u128) -> Option<f64> {
        (self.tokens > 0).then(|| part as f64 / self.tokens as f64)
    }
}

impl AddAssign for Fates {
    fn add_assign(&mut self, other: Self) {
        self.hit += other.hit;
        self.cold += other.cold;
        self.evicted += other.evicted;
        self.expired += other.expired;
        self.rules += other.rules;
        self.elsewhere += other.elsewhere;
        self.tokens += other.tokens;
    }
}

/// What is known of prompt tokens that were used before, by who used them last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KnownTokens {
    /// Served from the cache.
    pub hit: u128,
    /// Gone for want of room.
    pub evicted: u128,
    /// Gone because of their age.
    pub expired: u128,
}

/// How long before they were asked for again tokens had been used last. Each token counts once; values have
/// three digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LastUse {
    /// Half of the tokens had been used at most so many seconds ago. `None` in a trace without times.
    pub median_s: Option<f64>,
    /// Nine in ten had.
    pub p90_s: Option<f64>,
    /// Half of the tokens had been used at most so many distinct blocks ago.
    pub median_blocks: u64,
    /// Nine in ten had.
    pub p90_blocks: u64,
}

/// The fates of the tokens in one stretch of the prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DepthRow {
    /// Tokens of the prompt before the stretch.
    pub from_tokens: u64,
    /// The same with those of the stretch.
    pub to_tokens: u64,
    /// What became of the tokens in it.
    #[serde(flatten)]
    pub fates: Fates,
}

/// The fates of the prompt tokens of measured requests in one LRU cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MissRow {
    /// Blocks that the cache holds; `None` without a limit.
    pub capacity_blocks: Option<u64>,
    /// The same in bytes, where the size of a token is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u128>,
    /// Time since its last use after which a block is gone, in milliseconds, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What became of the tokens.
    #[serde(flatten)]
    pub fates: Fates,
    /// How long ago evicted tokens had been used; `None` without any.
    pub evicted_last_use: Option<LastUse>,
    /// The same of expired ones.
    pub expired_last_use: Option<LastUse>,
    /// Of the known tokens, those that a request of the same session used last.
    pub same_session: KnownTokens,
    /// Those that another session used last.
    pub other_sessions: KnownTokens,
    /// The fates by depth in the prompt; stretches double in length.
    pub depth: Vec<DepthRow>,
}

impl MissRow {
    /// Its name: the blocks that it holds or `infinite`, and the time to live behind an `@`.
    pub fn name(&self) -> String {
        let size = self.capacity_blocks.map_or_else(|| "infinite".to_owned(), |blocks| blocks.to_string());
        self.ttl_ms.map_or_else(|| size.clone(), |ttl| format!("{size}@{ttl}ms"))
    }
}

/// Where the sessions of requests are known from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionSources {
    /// Requests whose records name their session.
    pub named_requests: u64,
    /// Requests that are taken for the next turn of an earlier one, since they begin with all of its full
    /// blocks.
    pub continued_requests: u64,
    /// Requests that are taken for the first ones of their sessions.
    pub new_requests: u64,
}

/// Why prompt tokens were not served.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MissFigures {
    /// One row for each capacity and time to live, those without a limit last.
    #[serde(rename = "misses")]
    pub rows: Vec<MissRow>,
    /// Where sessions are known from.
    #[serde(rename = "miss_sessions")]
    pub sessions: SessionSources,
}
