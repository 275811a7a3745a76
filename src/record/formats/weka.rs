//! Conversations of coding agents as published by `SemiAnalysis` and Weka (cc-traces).
//!
//! Source: the kv-cache-tester's `TRACE_FORMAT.md` and `trace_replay_tester.py`; the loader of aiperf 0.13,
//! `weka_trace.py`. One conversation per line: `id`, `block_size`, `hash_id_scope` (`local`: ids of two
//! lines never mean the same; `global`: they do), and `requests` with `t` (seconds since the conversation's
//! start), `in` and `out` (tokens) and `hash_ids` of the full blocks. A `subagent` holds requests of its own,
//! which share the ids; it is a session of its own, whose parent is the one around it. Its requests count
//! their `t` from its own where they are earlier than that, else from the conversation's start. Every
//! conversation starts at time 0: sort the result to have them side by side. The other fields of a
//! request stay.
//!
//! Conversations are long, so they are read in one pass without a library where they are of the usual shape.

use std::cell::Cell;

use super::base::{DecodeLine, DecodedLines, FileFacts, LocalIds, Written, counts_from_zero};
use crate::error::Invalid;
use crate::record::json::{RawObject, expected};
use crate::record::line::{self, TraceLine};
use crate::record::raw::Json;
use crate::record::scan::{DEPTH, Scanner};
use crate::record::surrogate::{surrogate_child, surrogate_id};
use crate::record::time::{Millis, Unit};

/// Where numbers begin that no numbering of blocks reaches; they are exact in a double.
const BEYOND: u64 = 1 << 52;

pub(super) fn decoder(file: &FileFacts) -> DecodeLine {
    let ids = LocalIds::new(file);
    let mut decoder = WekaDecoder {
        ids,
        named_ids: file.named_ids,
        file: file.index as u64,
        conversations: 0,
        list: Vec::new(),
    };
    Box::new(move |line, out| decoder.line(line, out))
}

pub(super) fn is_first(object: &RawObject) -> bool {
    object.has("requests") && object.has("block_size")
}

#[derive(Clone)]
struct WekaDecoder {
    ids: LocalIds,
    /// Whether ids are hashes of the conversation and of its own ids.
    named_ids: bool,
    /// Its index, and how many conversations there have been: two may have the same id, or none.
    file: u64,
    conversations: u64,
    /// Ids of a request, reused.
    list: Vec<u64>,
}

/// What is known of the requests of a list.
#[derive(Clone)]
struct Conversation<'a> {
    /// JSON of the conversation's id.
    id: &'a str,
    block_size: u64,
    /// Whether ids are those of the file.
    is_global: bool,
    agent: Option<Agent<'a>>,
    /// Agents without an id so far.
    unnamed: u32,
}

/// A sub-agent whose requests are read.
#[derive(Clone)]
struct Agent<'a> {
    id: Option<&'a str>,
    /// Its session and that around it, as JSON.
    session: String,
    parent: String,
    start: Option<Millis>,
    /// Whether its times count from there, once one has been read.
    from_start: Cell<Option<bool>>,
}

/// A request as it stood.
#[derive(Default)]
struct Request<'a> {
    time: Option<&'a str>,
    input_length: Option<u64>,
    output_length: Option<u64>,
    has_ids: bool,
    rest: Vec<(&'a str, &'a str)>,
}

impl WekaDecoder {
    fn line(&mut self, line: &[u8], out: &mut DecodedLines) -> Result<(), Invalid> {
        self.ids.begin(false);
        self.conversations += 1;
        if self.scan(line, out).is_some() {
            return Ok(());
        }
        out.clear();
        self.ids.begin(true);
        self.conversation(&RawObject::parse(line)?, out)
    }

    /// Any conversation.
    fn conversation(&mut self, object: &RawObject, out: &mut DecodedLines) -> Result<(), Invalid> {
        let block_size = object.block_size("block_size")?.ok_or_else(|| Invalid::missing("block_size"))?;
        let scope = object.text("hash_id_scope").unwrap_or_else(|| "local".into());
        let Some(is_global) = is_global(&scope) else {
            let message = format!("hash_id_scope: expected \"local\" or \"global\", found \"{scope}\"");
            return Err(Invalid::value(message));
        };
        let id = object.get("id").map_or("null", Json::get);
        let mut conversation = Conversation { id, block_size, is_global, agent: None, unnamed: 0 };
        self.requests(object, &mut conversation, out)
    }

    fn requests(
        &mut self,
        list: &RawObject,
        of: &mut Conversation,
        out: &mut DecodedLines,
    ) -> Result<(), Invalid> {
        for raw in list.list("requests")? {
            let object = RawObject::of("requests", raw)?;
            let time = object.get("t").map(Json::get);
            if object.text("type").as_deref() == Some("subagent") {
                let agent = object.get("agent_id").map(Json::get);
                let mut inner = of.enter(agent, of.time(time)?);
                self.requests(&object, &mut inner, out)?;
                continue;
            }
            self.list.clear();
            let has_ids = object.has("hash_ids");
            if has_ids {
                self.list.extend(object.ids("hash_ids")?);
            }
            let request = Request {
                time,
                input_length: Some(object.length("in")?),
                output_length: object.optional_length("out")?,
                has_ids,
                rest: object.rest(&["t", "in", "out", "hash_ids"]),
            };
            self.push(request, of, out)?;
        }
        Ok(())
    }

    /// A conversation of the usual shape; `None` where it has another.
    fn scan(&mut self, line: &[u8], out: &mut DecodedLines) -> Option<()> {
        let scanner = &mut Scanner::new(line);
        let mut of = Conversation { id: "null", block_size: 0, is_global: false, agent: None, unnamed: 0 };
        let mut has_requests = false;
        scanner.members(|scanner, key| {
            match key {
                // What the requests need comes before them.
                _ if has_requests && matches!(key, "id" | "block_size" | "hash_id_scope" | "requests") => {
                    return None;
                }
                "id" => of.id = scanner.value(0)?,
                "block_size" => of.block_size = scanner.length()?,
                "hash_id_scope" => of.is_global = is_global(scanner.value(0)?.trim_matches('"'))?,
                "requests" if of.block_size > 0 => {
                    has_requests = true;
                    self.scan_requests(scanner, &mut of, out)?;
                }
                _ => drop(scanner.value(DEPTH)?),
            }
            Some(())
        })?;
        (has_requests && scanner.at_end()).then_some(())
    }

    fn scan_requests<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        of: &mut Conversation<'a>,
        out: &mut DecodedLines,
    ) -> Option<()> {
        scanner.elements(|scanner| {
            let mut request = Request::default();
            let (mut kind, mut agent, mut is_read) = (None, None, false);
            self.list.clear();
            scanner.members(|scanner, key| {
                match key {
                    // An agent's requests need what stands before them.
                    _ if is_read && matches!(key, "t" | "type" | "agent_id" | "requests") => return None,
                    "t" if request.time.is_none() => request.time = Some(scanner.value(0)?),
                    "in" => request.input_length = Some(scanner.length()?),
                    "out" => request.output_length = Some(scanner.length()?),
                    "hash_ids" if !request.has_ids => {
                        request.has_ids = true;
                        scanner.id_list(&mut self.list)?;
                    }
                    "requests" if kind == Some("\"subagent\"") && !request.has_ids => {
                        is_read = true;
                        let mut inner = of.enter(agent, of.time(request.time).ok()?);
                        self.scan_requests(scanner, &mut inner, out)?;
                    }
                    "t" | "hash_ids" | "requests" => return None,
                    _ => {
                        let value = scanner.value(DEPTH)?;
                        match key {
                            "type" => kind = Some(value),
                            "agent_id" => agent = Some(value),
                            _ => {}
                        }
                        request.rest.push((key, value));
                    }
                }
                Some(())
            })?;
            let is_agent = kind == Some("\"subagent\"");
            if is_agent { is_read.then_some(()) } else { self.push(request, of, out).ok() }
        })
    }

    fn push(&mut self, request: Request, of: &Conversation, out: &mut DecodedLines) -> Result<(), Invalid> {
        let input_length = request.input_length.ok_or_else(|| Invalid::missing("in"))?;
        let ids = self.replace_ids(of, out);
        let mut rest = request.rest;
        match &of.agent {
            None => rest.push((line::SESSION_ID.name(), of.id)),
            Some(agent) => {
                rest.push((line::SESSION_ID.name(), &agent.session));
                rest.push((line::PARENT_SESSION_ID.name(), &agent.parent));
                rest.extend(agent.id.map(|id| ("agent_id", id)));
            }
        }
        let line = TraceLine {
            time: of.time(request.time)?,
            input_length,
            output_length: request.output_length,
            ids: request.has_ids.then(|| self.list[..].into()),
            block_size: Some(of.block_size),
            rest,
            ..TraceLine::default()
        };
        out.push_known(&line, ids);
        Ok(())
    }

    /// Replaces the ids of a request so that those of a conversation are those of no other one, and never ids that mean
    /// the same everywhere. What came first keeps small numbers.
    fn replace_ids(&mut self, of: &Conversation, out: &mut DecodedLines) -> Written {
        let list = &mut self.list;
        let is_local_first = out.is_local_first(of.is_global);
        let mut known = Written { is_local: !of.is_global, ..Written::default() };
        if self.named_ids && !of.is_global {
            let place = [self.file, self.conversations].map(u64::to_le_bytes);
            let name = surrogate_id(&[of.id.as_bytes(), &place.concat()]);
            list.iter_mut().for_each(|id| *id = surrogate_child(name, *id));
        } else if !of.is_global {
            self.ids.number(list);
            known.is_surrogate = !is_local_first;
            list.iter_mut().filter(|_| !is_local_first).for_each(|id| *id |= BEYOND);
        } else if is_local_first && !self.named_ids {
            known.is_surrogate = true;
            list.iter_mut().for_each(|id| *id = surrogate_child(BEYOND, *id));
        } else {
            known.from_zero = counts_from_zero(list, &[]);
        }
        known
    }
}

fn is_global(scope: &str) -> Option<bool> {
    match scope {
        "local" => Some(false),
        "global" => Some(true),
        _ => None,
    }
}

impl<'a> Conversation<'a> {
    /// A time within the conversation.
    fn time(&self, text: Option<&str>) -> Result<Option<Millis>, Invalid> {
        let Some(text) = text else { return Ok(None) };
        let time =
            Millis::parse(text, Unit::Seconds).ok_or_else(|| expected("t", "a number of seconds", text))?;
        // The first time of a sub-agent tells whether its times count from its start.
        let start = self.agent.as_ref().and_then(|agent| {
            let start = agent.start?;
            let counts_from_it = agent.from_start.get().unwrap_or(time < start);
            agent.from_start.set(Some(counts_from_it));
            counts_from_it.then_some(start)
        });
        Ok(Some(start.map_or(time, |start| start + time)))
    }

    /// The conversation inside of a sub-agent's requests.
    fn enter<'b>(&mut self, agent: Option<&'b str>, start: Option<Millis>) -> Conversation<'b>
    where
        'a: 'b,
    {
        let parent = self.agent.as_ref().map_or_else(|| self.id.to_owned(), |agent| agent.session.clone());
        let name = agent.map_or_else(
            || {
                self.unnamed += 1;
                format!("agent {}", self.unnamed)
            },
            |agent| agent.trim_matches('"').to_owned(),
        );
        let session = format!("\"{}:{name}\"", parent.trim_matches('"'));
        let agent = Some(Agent { id: agent, session, parent, start, from_start: Cell::default() });
        Conversation { agent, unnamed: 0, ..*self }
    }
}
