//! Conversations of coding agents as published by `SemiAnalysis` and Weka (cc-traces).
//!
//! Source: the loader of aiperf 0.13, `weka_trace_models.py`, written after the kv-cache-tester's
//! documentation. One conversation per line: `id`, `block_size`, `hash_id_scope` (`local`: ids of two
//! lines never mean the same), and `requests` with `t` (seconds since the conversation's start), `in`
//! and `out` (tokens) and `hash_ids` of the full blocks. A `subagent` holds requests of its own, which
//! share the ids. Every conversation starts at time 0: sort the result to have them side by side. The
//! other fields of a request stay, with the conversation's `id` as `session_id`.

use super::base::{DecodeObject, DecodedLines, FileFacts, PartialBlocks, surrogate_id};
use crate::error::Invalid;
use crate::record::json::RawObject;
use crate::record::line::TraceLine;
use crate::record::raw::Json;
use crate::record::time::Unit;

/// Fields of a request that become fields of the record.
const USED: [&str; 4] = ["t", "in", "out", "hash_ids"];

struct WekaDecoder {
    file: u64,
    conversations: u64,
    partial: PartialBlocks,
}

pub(super) fn decoder(file: &FileFacts) -> DecodeObject {
    let partial = PartialBlocks::new(file);
    let mut decoder = WekaDecoder { file: file.index as u64, conversations: 0, partial };
    Box::new(move |object, out| decoder.conversation(object, out))
}

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("requests") && object.has("block_size")
}

impl WekaDecoder {
    fn conversation(&mut self, object: &RawObject, out: &mut DecodedLines) -> Result<(), Invalid> {
        self.conversations += 1;
        let size = object.block_size("block_size")?.ok_or_else(|| Invalid::missing("block_size"))?;
        if let Some(scope) = object.text("hash_id_scope").filter(|scope| scope != "local") {
            return Err(Invalid::value(format!("hash_id_scope: expected \"local\", found \"{scope}\"")));
        }
        let id = object.get("id").map_or("null", Json::get);
        self.requests(object, &Conversation { id, agent: None, block_size: size }, out)
    }
    fn requests(
        &mut self,
        list: &RawObject,
        of: &Conversation,
        out: &mut DecodedLines,
    ) -> Result<(), Invalid> {
        for raw in list.list("requests")? {
            let request = RawObject::of("requests", raw)?;
            if request.text("type").as_deref() == Some("subagent") {
                let agent = request.get("agent_id").map(Json::get);
                self.requests(&request, &Conversation { agent, ..*of }, out)?;
            } else {
                self.request(&request, of, out)?;
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        request: &RawObject,
        of: &Conversation,
        out: &mut DecodedLines,
    ) -> Result<(), Invalid> {
        let input_length = request.length("in")?;
        let mut ids: Option<Vec<u64>> = None;
        if request.has("hash_ids") {
            let scope = [self.file.to_le_bytes(), self.conversations.to_le_bytes()];
            let surrogate =
                |id: &u64| surrogate_id(&[b"conversation", &scope[0], &scope[1], &id.to_le_bytes()]);
            let list = ids.insert(request.ids("hash_ids")?.iter().map(surrogate).collect());
            self.partial.complete(list, input_length, of.block_size);
        }
        let mut rest = request.rest(&USED);
        rest.push(("session_id", of.id));
        rest.extend(of.agent.map(|agent| ("agent_id", agent)));
        let line = TraceLine {
            time: request.time("t", Unit::Seconds)?,
            input_length,
            output_length: request.optional_length("out")?,
            ids: ids.map(Into::into),
            block_size: Some(of.block_size),
            rest,
            ..TraceLine::default()
        };
        out.push(&line, true);
        Ok(())
    }
}

/// What all requests of a line have in common.
#[derive(Clone, Copy)]
struct Conversation<'a> {
    id: &'a str,
    agent: Option<&'a str>,
    block_size: u64,
}
