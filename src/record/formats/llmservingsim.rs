//! Workloads of the simulator `LLMServingSim`.
//!
//! Source: its docs/workloads/jsonl-format.md. A request per line: `input_toks`, `output_toks`,
//! `arrival_time_ns`, and `input_tok_ids` where prompts share prefixes, from which blocks follow (16 tokens
//! unless the user says otherwise). An agent has `sub_requests` instead, one after the other, each sent
//! `tool_duration_ns` after the answer before it: they become a session with delays.

use super::base::{DecodeObject, DecodedLines, FileFacts};
use super::tokens::TokenBlocks;
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::line::TraceLine;
use crate::record::time::{Millis, Unit};

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("arrival_time_ns") && (object.has("input_toks") || object.has("sub_requests"))
}

/// Where a request stands.
#[derive(Default)]
struct Place<'a> {
    time: Option<Millis>,
    delay: Option<Millis>,
    session: Option<&'a str>,
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let mut blocks = TokenBlocks::new(file);
    let (first_file, mut sessions) = (file.index, 0);
    Box::new(move |object, out| {
        let time = object.time("arrival_time_ns", Unit::Nanoseconds)?;
        if !object.has("sub_requests") {
            return request(object, &Place { time, ..Place::default() }, &mut blocks, out);
        }
        sessions += 1;
        let unnamed = || match first_file {
            0 => format!("session {sessions}"),
            file => format!("session {}.{sessions}", file + 1),
        };
        let session = object.text("session_id").unwrap_or_else(unnamed);
        let mut place = Place { time, delay: None, session: Some(&session) };
        for value in object.list("sub_requests")? {
            let inner = RawObject::of("sub_requests", value)?;
            request(&inner, &place, &mut blocks, out)?;
            place.time = None;
            place.delay = inner.time("tool_duration_ns", Unit::Nanoseconds)?.or(Some(Millis::default()));
        }
        Ok(())
    })
}

fn request(
    object: &RawObject,
    place: &Place,
    blocks: &mut TokenBlocks,
    out: &mut DecodedLines,
) -> Result<(), Invalid> {
    let tokens = object.get("input_tok_ids").map(|_| object.ids("input_tok_ids")).transpose()?;
    let counted = tokens.as_ref().map(|tokens| tokens.len() as u64);
    let stated = object.optional_length("input_toks")?;
    let request = TraceLine {
        time: place.time,
        delay: place.delay,
        session: place.session,
        input_length: counted.or(stated).ok_or_else(|| Invalid::missing("input_toks"))?,
        output_length: object.optional_length("output_toks")?,
        block_size: tokens.as_ref().map(|_| blocks.block_size),
        ids: tokens.map(|tokens| blocks.ids(&tokens).into()),
        ..TraceLine::default()
    };
    out.push(&request, false);
    Ok(())
}
