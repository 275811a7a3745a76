//! `SGLang`'s own log of requests, in which each one has its tokens.
//!
//! Source: `SGLang` 0.5.23, `--log-requests --log-requests-level 3 --log-requests-format json`: among other
//! lines an object for each `request.received` and `request.finished`, joined by `rid`. The latter has
//! `obj.input_ids` and `out.meta_info` with `completion_tokens` and `cached_tokens`; `obj.extra_key` (which holds
//! the salt too) and `obj.lora_path` keep requests from sharing blocks. A request that never finishes is left
//! out, and counted. Blocks have 16 tokens unless the user says otherwise.

use std::collections::HashMap;

use super::base::{DecodeLine, FileFacts};
use super::tokens::TokenBlocks;
use crate::error::Invalid;
use crate::record::json::{RawObject, text_of};
use crate::record::line::TraceLine;
use crate::record::prompt::keys_of;
use crate::record::time::Millis;

/// Whether a line is of such a log: an event, or a message with its time in brackets.
pub(super) fn is_log(line: &[u8]) -> bool {
    let is_message = |text: &str| {
        let time = text.strip_prefix('[').and_then(|rest| rest.get(..19));
        time.is_some_and(|time| Millis::parse_date(time).is_some())
    };
    text_of(line).is_ok_and(is_message)
}

/// Whether an object is an event of such a log.
pub(super) fn is_event(object: &RawObject) -> bool {
    object.has("rid") && object.text("event").is_some_and(|event| event.starts_with("request."))
}

pub(super) fn decoder(file: &FileFacts) -> DecodeLine {
    let mut blocks = TokenBlocks::new(file);
    let mut received: HashMap<String, Option<Millis>> = HashMap::new();
    Box::new(move |line, out| {
        if !line.starts_with(b"{") {
            return Ok(());
        }
        let event = RawObject::parse(line)?;
        let (Some(rid), Some(kind)) = (event.text("rid"), event.text("event")) else { return Ok(()) };
        let time = event.date("timestamp")?;
        if kind == "request.received" {
            if received.insert(rid, time).is_none() {
                out.pass_over();
            }
            return Ok(());
        }
        if kind != "request.finished" {
            return Ok(());
        }
        let before = received.remove(&rid);
        if before.is_some() {
            out.take_in();
        }
        let inner = |name: &str| RawObject::of(name, event.get(name).ok_or_else(|| Invalid::missing(name))?);
        let (object, result) = (inner("obj")?, inner("out")?);
        let figures = result.get("meta_info").map(|info| RawObject::of("meta_info", info)).transpose()?;
        let figure = |name: &str| figures.as_ref().map_or(Ok(None), |figures| figures.optional_length(name));
        let tokens = object.ids("input_ids")?;
        let request = TraceLine {
            time: before.flatten().or(time),
            input_length: tokens.len() as u64,
            output_length: figure("completion_tokens")?,
            ids: Some(blocks.keyed_ids(&tokens, &keys_of(&object)).into()),
            block_size: Some(blocks.block_size),
            cached_tokens: figure("cached_tokens")?,
            ..TraceLine::default()
        };
        out.push(&request, false);
        Ok(())
    })
}
