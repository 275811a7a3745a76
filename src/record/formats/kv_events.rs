//! Events of the KV cache of vLLM and `SGLang`, as lines of JSON.
//!
//! Source: vLLM 0.25 to 0.33, `distributed/kv_events.py`, and `SGLang` 0.5.23: a batch is
//! `[time, [events], rank]`, and an event a map with its `type`. `BlockStored` names new blocks
//! (`block_hashes`, after `parent_block_hash`, `block_size` tokens each): a request whose prompt or answer
//! went on that far. So requests that the cache served whole do not appear, and lengths are those of
//! whole blocks. Hashes are integers or strings. All other events are passed over.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::base::{DecodeLine, DecodedLines, FileFacts, id_of, named_ids};
use crate::error::Invalid;
use crate::record::json::{RawObject, expected, json_reason, text_of};
use crate::record::line::TraceLine;
use crate::record::raw::Json;
use crate::record::time::{Millis, Unit};
use crate::record::trace_record::MAX_NEW_BLOCKS;

/// Whether a line is a batch of events.
pub(super) fn is_batch(line: &[u8]) -> bool {
    line.starts_with(b"[") && text_of(line).is_ok_and(|text| text.contains("\"block_hashes\""))
}

pub(super) fn decoder(_: &FileFacts) -> DecodeLine {
    // The block before each block that is not the first of its prompt.
    let mut parents: HashMap<u64, u64, RandomState> = HashMap::default();
    Box::new(move |line, out| {
        let batch = Json::parse(text_of(line)?).map_err(|e| Invalid::malformed(json_reason(&e)))?;
        let batch = batch.items().unwrap_or_default();
        let [time, events, ..] = batch[..] else {
            return Err(Invalid::malformed("expected a batch of events: [time, [events], rank]"));
        };
        let wrong = || expected("time", "a number of seconds", time.get());
        let time = Millis::parse(time.get(), Unit::Seconds).ok_or_else(wrong)?;
        let events = events.items().ok_or_else(|| Invalid::value("expected a list of events"))?;
        events.into_iter().try_for_each(|event| {
            let event = RawObject::of("events", event)?;
            if event.text("type").is_some_and(|kind| kind == "BlockStored") {
                stored(&event, time, &mut parents, out)?;
            }
            Ok(())
        })
    })
}

fn stored(
    event: &RawObject,
    time: Millis,
    parents: &mut HashMap<u64, u64, RandomState>,
    out: &mut DecodedLines,
) -> Result<(), Invalid> {
    let block_size = event.block_size("block_size")?.ok_or_else(|| Invalid::missing("block_size"))?;
    let new = named_ids(event, "block_hashes")?;
    let parent = event.get("parent_block_hash").map(|hash| id_of("parent_block_hash", hash)).transpose()?;
    let mut ids: Vec<u64> = parent.into_iter().collect();
    while let Some(before) = ids.last().and_then(|id| parents.get(id)) {
        if ids.len() as u64 > MAX_NEW_BLOCKS {
            return Err(Invalid::value("block_hashes: a block is its own parent"));
        }
        ids.push(*before);
    }
    ids.reverse();
    let mut before = parent;
    for &id in &new {
        match before {
            Some(before) => parents.insert(id, before),
            None => parents.remove(&id),
        };
        before = Some(id);
    }
    ids.extend(new);
    let session = event.text("session_id");
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
