//! Conversations of coding agents as published by `SemiAnalysis` and Weka (cc-traces).
//!
//! Source: the loader of aiperf 0.13, `weka_trace_models.py`, written after the kv-cache-tester's
//! documentation. One conversation per line: `id`, `block_size`, `hash_id_scope` (`local`: ids of two
//! lines never mean the same), and `requests` with `t` (seconds since the conversation's start), `in`
//! and `out` (tokens) and `hash_ids` of the full blocks. A `subagent` holds requests of its own, which
//! share the ids. Every conversation starts at time 0: sort the result to have them side by side. The
//! other fields of a request stay, with the conversation's `id` as `session_id`.

use super::object::Object;
use super::{Decode, FileFacts, Invalid, Row, Rows, Tails, invalid, mint};
use crate::record::time::Unit;

/// Fields of a request that become fields of the record.
const USED: [&str; 4] = ["t", "in", "out", "hash_ids"];

pub(super) struct Decoder {
    file: u64,
    conversations: u64,
    tails: Tails,
}

impl Decoder {
    pub(super) fn new(file: &FileFacts) -> Self {
        Self { file: file.index as u64, conversations: 0, tails: Tails::new(file) }
    }

    fn requests(&mut self, list: &Object, of: &Conversation, rows: &mut Rows) -> Result<(), Invalid> {
        for raw in list.list("requests")? {
            let request = Object::of("requests", raw)?;
            if request.text("type").as_deref() == Some("subagent") {
                let agent = request.get("agent_id").map(serde_json::value::RawValue::get);
                self.requests(&request, &Conversation { agent, ..*of }, rows)?;
            } else {
                self.request(&request, of, rows)?;
            }
        }
        Ok(())
    }

    fn request(&mut self, request: &Object, of: &Conversation, rows: &mut Rows) -> Result<(), Invalid> {
        let input_length = request.length("in")?;
        let mut ids = None;
        if request.get("hash_ids").is_some() {
            let scope = [self.file.to_le_bytes(), self.conversations.to_le_bytes()];
            let mint = |id: &u64| mint(&[b"conversation", &scope[0], &scope[1], &id.to_le_bytes()]);
            let list = ids.insert(request.ids("hash_ids")?.iter().map(mint).collect());
            self.tails.complete(list, input_length, of.block_size);
        }
        let mut rest = request.rest(&USED);
        rest.push(("session_id", of.id));
        rest.extend(of.agent.map(|agent| ("agent_id", agent)));
        rows.push(&Row {
            timestamp: request.time("t", Unit::Seconds)?,
            input_length,
            output_length: request.optional_length("out")?,
            ids,
            block_size: Some(of.block_size),
            from_zero: true,
            rest,
        });
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

impl Decode for Decoder {
    fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Invalid> {
        let object = Object::parse(line)?;
        self.conversations += 1;
        let size = object.block_size("block_size")?.ok_or_else(|| invalid("missing field \"block_size\""))?;
        if let Some(scope) = object.text("hash_id_scope").filter(|scope| scope != "local") {
            return Err(invalid(format!("hash_id_scope: expected \"local\", found \"{scope}\"")));
        }
        let id = object.get("id").map_or("null", serde_json::value::RawValue::get);
        self.requests(&object, &Conversation { id, agent: None, block_size: size }, rows)
    }
}
