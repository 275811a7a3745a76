//! Events of the KV cache of vLLM, `SGLang` and Dynamo, as lines of JSON.
//!
//! Source: vLLM 0.25 to 0.33, `distributed/kv_events.py`, and `SGLang` 0.5.23: a batch is
//! `[time, [events], rank]`, and an event a map with its `type`. `BlockStored` names new blocks
//! (`block_hashes`, after `parent_block_hash`, `block_size` tokens each), `BlockRemoved` those that are gone.
//! Dynamo's router has an event per line, `{"timestamp", "event": {"worker_id", "event": {"data"}}}`, whose data
//! are `stored` (`blocks`, each with its `block_hash`, after `parent_hash`), `removed` or `cleared`; its
//! timestamps are milliseconds, and it does not tell the block size. Hashes are integers or strings.
//!
//! As a trace, blocks stored are a request whose prompt or answer went on that far. So requests that the
//! cache served whole do not appear, and lengths are those of whole blocks.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::base::{DecodeLine, DecodedLines, FileFacts, id_of, named_ids};
use crate::error::Invalid;
use crate::record::json::{RawObject, expected, json_reason, text_of};
use crate::record::line::TraceLine;
use crate::record::raw::Json;
use crate::record::time::{Millis, Unit};
use crate::record::trace_record::MAX_NEW_BLOCKS;

/// A change of what a cache holds.
pub(crate) enum Event {
    /// Blocks have entered it.
    Stored(Stored),
    /// Blocks have left it.
    Removed(Vec<u64>),
    /// All have.
    Cleared,
}

/// Blocks that have entered a cache, each after the one before it.
pub(crate) struct Stored {
    parent: Option<u64>,
    pub(crate) blocks: Vec<u64>,
    block_size: Option<u64>,
    session: Option<String>,
}

/// The events of a line.
pub(crate) struct EventBatch {
    /// When they were sent.
    pub(crate) time: Millis,
    /// The server that they are of: the worker, and its rank.
    pub(crate) server: (Option<String>, Option<String>),
    /// Those of the cache itself.
    pub(crate) events: Vec<Event>,
    /// How many there are of slower tiers, and of groups of layers after the first.
    pub(crate) elsewhere: u64,
}

impl EventBatch {
    /// The events of a line.
    ///
    /// # Errors
    /// When it is none of the two forms.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Invalid> {
        if line.trim_ascii_start().starts_with(b"{") {
            return Self::of_dynamo(&RawObject::parse(line)?);
        }
        let batch = Json::parse(text_of(line)?).map_err(|e| Invalid::malformed(json_reason(&e)))?;
        let batch = batch.items().unwrap_or_default();
        let [time, list, ..] = batch[..] else {
            return Err(Invalid::malformed("expected a batch of events: [time, [events], rank]"));
        };
        let wrong = || expected("time", "a number of seconds", time.get());
        let time = Millis::parse(time.get(), Unit::Seconds).ok_or_else(wrong)?;
        let list = list.items().ok_or_else(|| Invalid::value("expected a list of events"))?;
        let rank = batch.get(2).map(|rank| rank.get()).filter(|rank| *rank != "null");
        let (mut events, mut elsewhere) = (Vec::new(), 0);
        for event in list {
            let event = RawObject::of("events", event)?;
            let is_first_group = event.text("group_idx").is_none_or(|group| group == "0");
            if !is_first_group || event.text("medium").is_some_and(|medium| medium != "GPU") {
                elsewhere += 1;
            } else {
                events.extend(of_engine(&event)?);
            }
        }
        Ok(Self { time, server: (None, rank.map(str::to_owned)), events, elsewhere })
    }

    fn of_dynamo(line: &RawObject) -> Result<Self, Invalid> {
        let time =
            line.time("timestamp", Unit::Milliseconds)?.ok_or_else(|| Invalid::missing("timestamp"))?;
        let (router, event) = dynamo_event(line).ok_or_else(|| Invalid::missing("event"))?;
        let mut batch = Self {
            time,
            server: (router.text("worker_id"), event.text("dp_rank")),
            events: Vec::new(),
            elsewhere: 0,
        };
        if router.text("storage_tier").is_some_and(|tier| tier != "device") {
            batch.elsewhere = 1;
            return Ok(batch);
        }
        let Some(data) = event.get("data").and_then(RawObject::of_value) else {
            batch.events.extend(event.text("data").filter(|kind| kind == "cleared").map(|_| Event::Cleared));
            return Ok(batch);
        };
        if let Some(stored) = data.get("stored").map(|stored| RawObject::of("stored", stored)).transpose()? {
            let hash = |block: Json<'_>| {
                let block = RawObject::of("blocks", block)?;
                let hash = block.get("block_hash").ok_or_else(|| Invalid::missing("block_hash"))?;
                id_of("block_hash", hash)
            };
            batch.events.push(Event::Stored(Stored {
                parent: optional_id(&stored, "parent_hash")?,
                blocks: stored.list("blocks")?.into_iter().map(hash).collect::<Result<_, _>>()?,
                block_size: None,
                session: None,
            }));
        } else if let Some(removed) = data.get("removed") {
            batch
                .events
                .push(Event::Removed(named_ids(&RawObject::of("removed", removed)?, "block_hashes")?));
        }
        Ok(batch)
    }
}

/// The event of vLLM or `SGLang`, if it changes what is held.
fn of_engine(event: &RawObject) -> Result<Option<Event>, Invalid> {
    Ok(match event.text("type").as_deref() {
        Some("BlockStored") => Some(Event::Stored(Stored {
            parent: optional_id(event, "parent_block_hash")?,
            blocks: named_ids(event, "block_hashes")?,
            block_size: event.block_size("block_size")?,
            session: event.text("session_id"),
        })),
        Some("BlockRemoved") => Some(Event::Removed(named_ids(event, "block_hashes")?)),
        Some("AllBlocksCleared") => Some(Event::Cleared),
        _ => None,
    })
}

fn optional_id(object: &RawObject, name: &str) -> Result<Option<u64>, Invalid> {
    object.get(name).map(|hash| id_of(name, hash)).transpose()
}

/// What Dynamo's router says, and the event in it.
fn dynamo_event<'a>(line: &RawObject<'a>) -> Option<(RawObject<'a>, RawObject<'a>)> {
    let router = RawObject::of_value(line.get("event")?)?;
    let event = RawObject::of_value(router.get("event")?)?;
    Some((router, event))
}

/// Whether a line is an event of Dynamo.
pub(super) fn is_dynamo(line: &RawObject) -> bool {
    dynamo_event(line).is_some_and(|(router, event)| router.has("worker_id") && event.has("data"))
}

/// Whether a line is a batch of events.
pub(super) fn is_batch(line: &[u8]) -> bool {
    line.starts_with(b"[") && text_of(line).is_ok_and(|text| text.contains("\"block_hashes\""))
}

pub(super) fn decoder(file: &FileFacts) -> DecodeLine {
    let given = file.block_size;
    // The block before each block that is not the first of its prompt.
    let mut parents: HashMap<u64, u64, RandomState> = HashMap::default();
    Box::new(move |line, out| {
        let batch = EventBatch::parse(line)?;
        for event in batch.events {
            let Event::Stored(event) = event else { continue };
            let block_size = event
                .block_size
                .or(given)
                .ok_or_else(|| Invalid::value("events without a block size: say it with `block_size`"))?;
            request(event, block_size, batch.time, &mut parents, out)?;
        }
        Ok(())
    })
}

/// Writes the request that has stored blocks.
fn request(
    event: Stored,
    block_size: u64,
    time: Millis,
    parents: &mut HashMap<u64, u64, RandomState>,
    out: &mut DecodedLines,
) -> Result<(), Invalid> {
    let Stored { parent, blocks, session, .. } = event;
    let mut ids: Vec<u64> = parent.into_iter().collect();
    while let Some(before) = ids.last().and_then(|id| parents.get(id)) {
        if ids.len() as u64 > MAX_NEW_BLOCKS {
            return Err(Invalid::value("block_hashes: a block is its own parent"));
        }
        ids.push(*before);
    }
    ids.reverse();
    let mut before = parent;
    for &id in &blocks {
        match before {
            Some(before) => parents.insert(id, before),
            None => parents.remove(&id),
        };
        before = Some(id);
    }
    ids.extend(blocks);
    let request = TraceLine {
        time: Some(time),
        input_length: ids.len() as u64 * block_size,
        ids: Some(ids.into()),
        block_size: Some(block_size),
        session: session.as_deref(),
        ..TraceLine::default()
    };
    out.push(&request, false);
    Ok(())
}
