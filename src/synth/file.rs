//! Models as files: JSON lines, one part of the model per line, after a line that names the format.
//!
//! A model from outside may hold anything, so reading checks everything that drawing relies on: then
//! drawing from any model that was read gives a valid trace.

use serde::{Deserialize, Serialize};

use super::core::{Core, Run, RunIndex, TOP};
use super::draw::Observed;
use super::learn::NO_OUTPUT;
use super::sessions::{Session, SessionsModel, Turn};
use super::tree::{Stop, TreeModel};
use super::{Body, Model, ModelKind};
use crate::record::{MAX_BLOCK_SIZE, MAX_LENGTH};

/// Version of the format that is written and read.
const VERSION: u32 = 1;

/// Items of a list on one line.
const ITEMS: usize = 1000;

/// More requests than this in a model are a damaged file.
const MOST: u64 = 1 << 28;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kvtrace_model: Name,
    version: u32,
    block_size: u64,
    states_block_size: bool,
    has_ids: bool,
    has_times: bool,
    requests: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<f64>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Name {
    Sessions,
    Tree,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A run of the core; the first line is run 0.
    Core(CoreLine),
    /// Where requests stop in the core.
    Stop(StopLine),
    /// A session.
    Session(SessionLine),
    /// Milliseconds between consecutive requests, in order.
    Gaps(Vec<f64>),
    /// Values and how often each occurred: lengths of own parts in blocks, tokens in last blocks,
    /// output lengths, sizes of batches, milliseconds between batches.
    Own(Vec<(u32, u64)>),
    Tails(Vec<(u32, u64)>),
    Outputs(Vec<(Option<u32>, u64)>),
    Batches(Vec<(u32, u64)>),
    Waits(Vec<(f64, u64)>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoreLine {
    parent: Option<RunIndex>,
    blocks: u32,
    last_block_tokens: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopLine {
    core: Option<RunIndex>,
    ends: u32,
    leaves: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionLine {
    wait: u32,
    core: Option<RunIndex>,
    requests: Vec<TurnLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnLine {
    wait: u32,
    parent: u32,
    shared: u32,
    new: u32,
    last_block_tokens: u32,
    output: Option<u32>,
}

fn run_of(core: Option<RunIndex>) -> RunIndex {
    core.unwrap_or(TOP)
}

fn core_of(run: RunIndex) -> Option<RunIndex> {
    (run != TOP).then_some(run)
}

fn output_of(output: u32) -> Option<u32> {
    (output != NO_OUTPUT).then_some(output)
}

impl Model {
    /// Writes the model as lines, each given to `each` with its newline.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn save<E>(&self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut line = Vec::new();
        let mut write = |value: &dyn erased::Json| {
            line.clear();
            value.write(&mut line);
            line.push(b'\n');
            each(&line)
        };
        write(&self.header())?;
        let core = match &self.body {
            Body::Sessions(model) => &model.core,
            Body::Tree(model) => &model.core,
        };
        for run in &core.runs {
            let parent = core_of(run.parent);
            write(&Line::Core(CoreLine { parent, blocks: run.len, last_block_tokens: run.tail }))?;
        }
        match &self.body {
            Body::Sessions(model) => {
                for (i, session) in model.sessions.iter().enumerate() {
                    write(&Line::Session(session_line(session, model.turns_of(i))))?;
                }
                for gaps in model.gaps.chunks(ITEMS) {
                    write(&Line::Gaps(gaps.to_vec()))?;
                }
            }
            Body::Tree(model) => {
                for stop in &model.stops {
                    let (core, ends, leaves) = (core_of(stop.run), stop.ends, stop.leaves);
                    write(&Line::Stop(StopLine { core, ends, leaves }))?;
                }
                for part in model.own.counts().chunks(ITEMS) {
                    write(&Line::Own(part.to_vec()))?;
                }
                for part in model.tails.counts().chunks(ITEMS) {
                    write(&Line::Tails(part.to_vec()))?;
                }
                for part in model.outputs.counts().chunks(ITEMS) {
                    let part = part.iter().map(|&(output, count)| (output_of(output), count));
                    write(&Line::Outputs(part.collect()))?;
                }
                for part in model.batches.counts().chunks(ITEMS) {
                    write(&Line::Batches(part.to_vec()))?;
                }
                for part in model.gaps.counts().chunks(ITEMS) {
                    write(&Line::Waits(part.to_vec()))?;
                }
            }
        }
        Ok(())
    }

    fn header(&self) -> Header {
        let (kvtrace_model, window) = match &self.body {
            Body::Sessions(model) => (Name::Sessions, Some(model.window)),
            Body::Tree(_) => (Name::Tree, None),
        };
        Header {
            kvtrace_model,
            version: VERSION,
            block_size: self.block_size,
            states_block_size: self.states_block_size,
            has_ids: self.has_ids,
            has_times: self.has_times,
            requests: self.requests,
            window,
        }
    }

    /// Which of the models it is.
    pub fn kind(&self) -> ModelKind {
        match self.body {
            Body::Sessions(_) => ModelKind::Sessions,
            Body::Tree(_) => ModelKind::Tree,
        }
    }
}

fn session_line(session: &Session, turns: &[Turn]) -> SessionLine {
    let turn = |turn: &Turn| TurnLine {
        wait: turn.wait,
        parent: turn.parent,
        shared: turn.shared,
        new: turn.new,
        last_block_tokens: turn.tail,
        output: output_of(turn.output),
    };
    SessionLine { wait: session.wait, core: core_of(session.run), requests: turns.iter().map(turn).collect() }
}

mod erased {
    //! Serialization behind a plain reference: one closure writes lines of both types.

    pub(super) trait Json {
        fn write(&self, out: &mut Vec<u8>);
    }

    impl<T: serde::Serialize> Json for T {
        fn write(&self, out: &mut Vec<u8>) {
            // Plain data written into memory cannot fail.
            serde_json::to_writer(out, self).ok();
        }
    }
}

/// Reads a model line by line.
#[derive(Default)]
pub struct ModelReader {
    header: Option<Header>,
    core: Core,
    stops: Vec<Stop>,
    sessions: Vec<Session>,
    turns: Vec<Turn>,
    gaps: Vec<f64>,
    own: Vec<u32>,
    tails: Vec<u32>,
    outputs: Vec<u32>,
    batches: Vec<u32>,
    waits: Vec<f64>,
    requests: u64,
}

impl ModelReader {
    /// Takes the next line.
    ///
    /// # Errors
    /// What is wrong with it, without its place.
    pub fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(header) = &self.header else {
            let header: Header = serde_json::from_slice(line)
                .map_err(|error| format!("no model of trace-synth: {}", reason(&error)))?;
            self.header = Some(check_header(header)?);
            return Ok(());
        };
        let (size, most) = (header.block_size, header.requests);
        let is_sessions = matches!(header.kvtrace_model, Name::Sessions);
        match serde_json::from_slice(line).map_err(|error| reason(&error))? {
            Line::Core(line) => self.add_run(&line, size),
            Line::Session(line) if is_sessions => self.add_session(&line, size),
            Line::Gaps(gaps) if is_sessions => {
                gaps.iter().try_for_each(|&gap| check_time(gap))?;
                self.gaps.extend(gaps);
                Ok(())
            }
            Line::Stop(line) if !is_sessions => self.add_stop(&line),
            Line::Own(part) => expand(&mut self.own, &part, most, |len| check(len >= 1, "no blocks")),
            Line::Tails(part) => expand(&mut self.tails, &part, most, |tail| check_tail(tail, size)),
            Line::Outputs(part) => {
                let part: Vec<(u32, u64)> =
                    part.into_iter().map(|(output, count)| (output.unwrap_or(NO_OUTPUT), count)).collect();
                expand(&mut self.outputs, &part, most, |_| Ok(()))
            }
            Line::Batches(part) => {
                expand(&mut self.batches, &part, most, |batch| check(batch >= 1, "an empty batch"))
            }
            Line::Waits(part) => expand(&mut self.waits, &part, most, check_time),
            _ => Err("a line of the other kind of model".into()),
        }
    }

    fn add_run(&mut self, line: &CoreLine, size: u64) -> Result<(), String> {
        let CoreLine { parent, blocks, last_block_tokens: tail } = *line;
        check(blocks >= 1 && u64::from(blocks) < MOST, "no plausible number of blocks")?;
        check_tail(tail, size)?;
        if let Some(parent) = parent {
            let parent = self.core.runs.get(parent as usize).ok_or("a parent that stands not before it")?;
            check(u64::from(parent.tail) == size, "a partial block that goes on")?;
        }
        check(self.sessions.is_empty() && self.stops.is_empty(), "a core run after its uses")?;
        self.core.runs.push(Run { parent: run_of(parent), len: blocks, tail });
        Ok(())
    }

    /// The tokens of the last block of the core down to `core`.
    fn tail_of(&self, core: Option<RunIndex>, size: u64) -> Result<u64, String> {
        let Some(run) = core else { return Ok(size) };
        let run = self.core.runs.get(run as usize).ok_or_else(|| format!("there is no core run {run}"))?;
        Ok(u64::from(run.tail))
    }

    fn add_stop(&mut self, line: &StopLine) -> Result<(), String> {
        let StopLine { core, ends, leaves } = *line;
        let full = self.tail_of(core, self.block_size())? == self.block_size();
        check(full || leaves == 0, "a partial block that goes on")?;
        check(ends.checked_add(leaves).is_some_and(|n| n > 0), "no requests")?;
        self.requests += u64::from(ends) + u64::from(leaves);
        self.stops.push(Stop { run: run_of(core), ends, leaves });
        check(self.requests <= MOST, "too many requests")
    }

    fn add_session(&mut self, line: &SessionLine, size: u64) -> Result<(), String> {
        let core_tail = self.tail_of(line.core, size)?;
        let first = self.turns.len();
        check((first + line.requests.len()) as u64 <= MOST && !line.requests.is_empty(), "no requests")?;
        self.sessions.push(Session { wait: line.wait, run: run_of(line.core), first: first as u32 });
        for (turn, index) in line.requests.iter().zip(0..) {
            let turn = Turn {
                wait: turn.wait,
                parent: turn.parent,
                shared: turn.shared,
                new: turn.new,
                tail: turn.last_block_tokens,
                output: turn.output.unwrap_or(NO_OUTPUT),
            };
            let before = &self.turns[first..];
            check_turn(&turn, before, line.core.is_none(), core_tail, size)
                .map_err(|what| format!("request {index}: {what}"))?;
            self.turns.push(turn);
        }
        Ok(())
    }

    fn block_size(&self) -> u64 {
        self.header.as_ref().map_or(1, |header| header.block_size)
    }

    /// The model, once all lines have been read.
    ///
    /// # Errors
    /// When parts are missing.
    pub fn finish(self) -> Result<Model, String> {
        let header = self.header.ok_or("an empty file is no model")?;
        let found = if self.turns.is_empty() { self.requests } else { self.turns.len() as u64 };
        if found != header.requests {
            return Err(format!("the model is not complete: {found} of {} requests", header.requests));
        }
        let has_times = header.has_times;
        let body = match header.kvtrace_model {
            Name::Sessions => {
                check(!has_times || self.gaps.len() as u64 + 1 == found, "the number of gaps is wrong")?;
                let starts: u64 = self.sessions.iter().map(|session| u64::from(session.wait)).sum();
                check(starts < MOST, "sessions wait too long")?;
                Body::Sessions(SessionsModel {
                    core: self.core,
                    sessions: self.sessions,
                    turns: self.turns,
                    gaps: self.gaps,
                    window: header.window.unwrap_or(0.0),
                })
            }
            Name::Tree => {
                let leaves = self.stops.iter().any(|stop| stop.leaves > 0);
                check(!leaves || !(self.own.is_empty() || self.tails.is_empty()), "lengths are missing")?;
                check(!self.outputs.is_empty(), "output lengths are missing")?;
                check(!has_times || !self.batches.is_empty(), "batches are missing")?;
                Body::Tree(TreeModel {
                    core: self.core,
                    stops: self.stops,
                    own: Observed::new(self.own),
                    tails: Observed::new(self.tails),
                    outputs: Observed::new(self.outputs),
                    batches: Observed::new(self.batches),
                    gaps: Observed::new(self.waits),
                })
            }
        };
        Ok(Model {
            block_size: header.block_size,
            states_block_size: header.states_block_size,
            has_ids: header.has_ids,
            has_times,
            requests: header.requests,
            body,
        })
    }
}

fn check(fine: bool, what: &str) -> Result<(), String> {
    if fine { Ok(()) } else { Err(what.to_owned()) }
}

fn check_header(header: Header) -> Result<Header, String> {
    if header.version != VERSION {
        return Err(format!("version {} of the model format; this program reads {VERSION}", header.version));
    }
    check((1..=MAX_BLOCK_SIZE).contains(&header.block_size), "block_size is no number of tokens")?;
    check((1..=MOST).contains(&header.requests), "requests is no plausible number")?;
    check(header.window.is_none_or(|window| window.is_finite() && window >= 0.0), "window is no number")?;
    Ok(header)
}

fn check_tail(tail: u32, size: u64) -> Result<(), String> {
    check(tail >= 1 && u64::from(tail) <= size, "no number of tokens in a block")
}

fn check_time(time: f64) -> Result<(), String> {
    check(time.is_finite() && time >= 0.0 && time < MAX_LENGTH as f64, "no time between requests")
}

/// Checks a request against those of its session before it. `at_top`: the session has no core.
fn check_turn(
    turn: &Turn,
    before: &[Turn],
    at_top: bool,
    core_tail: u64,
    size: u64,
) -> Result<(), &'static str> {
    let fine = |fine: bool, what| if fine { Ok(()) } else { Err(what) };
    fine(u64::from(turn.new) < MOST, "too many blocks")?;
    let mut end = core_tail;
    if before.is_empty() {
        fine(turn.shared == 0 && turn.parent == 0 && turn.wait == 0, "the first continues nothing")?;
        if at_top && turn.new == 0 {
            return fine(turn.tail == 0, "tokens without a block");
        }
    } else {
        let parent = before.get(turn.parent as usize).ok_or("a parent that stands not before it")?;
        let most = u64::from(parent.shared) + u64::from(parent.new);
        let shared = u64::from(turn.shared);
        fine(
            turn.shared > parent.shared && shared <= most && shared < MOST,
            "shares what its parent has not",
        )?;
        end = if shared == most { u64::from(parent.tail) } else { size };
    }
    if turn.new == 0 {
        return fine(u64::from(turn.tail) == end, "a block with two numbers of tokens");
    }
    fine(end == size, "a partial block that goes on")?;
    fine(turn.tail >= 1 && u64::from(turn.tail) <= size, "no number of tokens in a block")
}

/// Appends each value as often as it occurred.
fn expand<T: Copy>(
    values: &mut Vec<T>,
    part: &[(T, u64)],
    most: u64,
    check: impl Fn(T) -> Result<(), String>,
) -> Result<(), String> {
    for &(value, count) in part {
        check(value)?;
        if count.saturating_add(values.len() as u64) > most {
            return Err("more values than requests".into());
        }
        values.extend(std::iter::repeat_n(value, count as usize));
    }
    Ok(())
}

/// The parser's reason, with the column.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{what} at column {}", error.column())
}
