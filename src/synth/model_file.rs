//! Models as files: JSON lines, one part of the model per line, after a line that names the format.
//!
//! A model from outside may hold anything, so reading checks everything that drawing relies on: drawing
//! from any model that was read gives a valid trace.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::core::{CoreRun, RunIndex, TOP, none_is_max};
use super::draw::Observed;
use super::kind::ModelKind;
use super::model::{Body, Model, ModelHeader, VERSION};
use super::replay::{ReplayModel, Session, SessionTurn};
use super::request::NO_OUTPUT;
use super::sessions::{self, Part, PrefixEnd, SessionsModel};
use super::tree::{Stop, TreeModel};
use crate::error::Invalid;
use crate::record::{MAX_BLOCK_SIZE, MAX_LENGTH};

/// Items of a list on one line.
const ITEMS: usize = 1000;

/// A file with more requests than this is damaged.
const MOST: u64 = 1 << 28;

/// Any line but the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModelLine<'a> {
    /// A run of the core; the first line is run 0.
    Core(CoreRun),
    /// Where sessions leave the core.
    End(PrefixEnd),
    /// What else the model `sessions` holds.
    Clock(Cow<'a, sessions::Clock>),
    Rate(Cow<'a, sessions::Rate>),
    Sums(Cow<'a, sessions::Sums>),
    Number(Cow<'a, sessions::Number>),
    Chance(Cow<'a, sessions::Chance>),
    /// Where requests stop in the core.
    Stop(Stop),
    /// A session.
    Session(SessionLine<'a>),
    /// Milliseconds between consecutive requests, in order.
    Gaps(Cow<'a, [f64]>),
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
struct SessionLine<'a> {
    wait: u32,
    #[serde(default = "none_is_max::none", with = "none_is_max")]
    core: RunIndex,
    requests: Cow<'a, [SessionTurn]>,
}

impl Model {
    /// Writes the model as lines, each given to `each` with its newline.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn save<E>(&self, each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut lines = LineWriter { line: Vec::new(), each };
        lines.write(&self.header)?;
        for run in &self.body.core().runs {
            lines.write(&ModelLine::Core(*run))?;
        }
        match &self.body {
            Body::Sessions(model) => {
                model.ends.iter().try_for_each(|end| lines.write(&ModelLine::End(*end)))?;
                let parts = &model.parts;
                lines.write(&ModelLine::Clock(Cow::Borrowed(&parts.clock)))?;
                lines.write(&ModelLine::Rate(Cow::Borrowed(&parts.rate)))?;
                lines.write(&ModelLine::Sums(Cow::Borrowed(&parts.sums)))?;
                let mut numbers = parts.numbers.iter();
                numbers.try_for_each(|part| lines.write(&ModelLine::Number(Cow::Borrowed(part))))?;
                let mut chances = parts.chances.iter();
                chances.try_for_each(|part| lines.write(&ModelLine::Chance(Cow::Borrowed(part))))
            }
            Body::Trace(_) => Ok(()),
            Body::Replay(model) => {
                for (i, session) in model.sessions.iter().enumerate() {
                    let requests = Cow::from(model.turns_of(i));
                    let line = SessionLine { wait: session.wait, core: session.run, requests };
                    lines.write(&ModelLine::Session(line))?;
                }
                model.gaps.chunks(ITEMS).try_for_each(|gaps| lines.write(&ModelLine::Gaps(gaps.into())))
            }
            Body::Tree(model) => {
                model.stops.iter().try_for_each(|stop| lines.write(&ModelLine::Stop(*stop)))?;
                lines.counts(&model.own, ModelLine::Own)?;
                lines.counts(&model.tails, ModelLine::Tails)?;
                lines.counts(&model.outputs, |part| {
                    let known = |output: u32| (output != NO_OUTPUT).then_some(output);
                    ModelLine::Outputs(part.into_iter().map(|(output, n)| (known(output), n)).collect())
                })?;
                lines.counts(&model.batches, ModelLine::Batches)?;
                lines.counts(&model.gaps, ModelLine::Waits)
            }
        }
    }
}

struct LineWriter<F> {
    line: Vec<u8>,
    each: F,
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> LineWriter<F> {
    fn write(&mut self, value: &impl Serialize) -> Result<(), E> {
        self.line.clear();
        // Plain data written into memory cannot fail.
        serde_json::to_writer(&mut self.line, value).ok();
        self.line.push(b'\n');
        (self.each)(&self.line)
    }

    /// Writes values and how often each occurred.
    fn counts<T: Copy + PartialOrd>(
        &mut self,
        values: &Observed<T>,
        line: impl Fn(Vec<(T, u64)>) -> ModelLine<'static>,
    ) -> Result<(), E> {
        values.counts().chunks(ITEMS).try_for_each(|part| self.write(&line(part.to_vec())))
    }
}

/// Reads a model line by line.
#[derive(Default)]
pub struct ModelReader {
    /// What has been read; its parts still have to be checked against one another.
    model: Option<Model>,
    /// Requests read of a tree.
    stopped: u64,
}

impl ModelReader {
    /// Takes the next line.
    ///
    /// # Errors
    /// What is wrong with it, without its place.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Invalid> {
        let Some(model) = &mut self.model else {
            refuse_old(line)?;
            let header: ModelHeader = serde_json::from_slice(line).map_err(|error| {
                Invalid::malformed(format!("no model of trace-synth: {}", reason(&error)))
            })?;
            self.model = Some(empty_model(header)?);
            return Ok(());
        };
        let (size, most) = (model.header.block_size, model.header.requests);
        let line = serde_json::from_slice(line).map_err(|error| Invalid::malformed(reason(&error)))?;
        match (line, &mut model.body) {
            (ModelLine::Core(run), Body::Sessions(model)) => {
                check(model.ends.is_empty(), "a core run after its uses")?;
                add_run(&mut model.core.runs, run, size)
            }
            (ModelLine::End(end), Body::Sessions(model)) => {
                tail_of(&model.core.runs, end.run, size)?;
                check(end.sessions <= MOST, "too many sessions")?;
                model.ends.push(end);
                Ok(())
            }
            (line, Body::Sessions(model)) => take_part(model, line),
            (ModelLine::Core(run), Body::Replay(model)) => {
                check(model.sessions.is_empty(), "a core run after its uses")?;
                add_run(&mut model.core.runs, run, size)
            }
            (ModelLine::Core(run), Body::Tree(model)) => {
                check(model.stops.is_empty(), "a core run after its uses")?;
                add_run(&mut model.core.runs, run, size)
            }
            (ModelLine::Session(line), Body::Replay(model)) => add_session(model, &line, size),
            (ModelLine::Gaps(gaps), Body::Replay(model)) => {
                gaps.iter().try_for_each(|&gap| check_time(gap))?;
                model.gaps.extend_from_slice(&gaps);
                Ok(())
            }
            (ModelLine::Stop(stop), Body::Tree(model)) => {
                let tail = tail_of(&model.core.runs, stop.run, size)?;
                check(tail == size || stop.leaves == 0, "a partial block that goes on")?;
                check(stop.ends.checked_add(stop.leaves).is_some_and(|n| n > 0), "no requests")?;
                self.stopped += u64::from(stop.ends) + u64::from(stop.leaves);
                model.stops.push(stop);
                check(self.stopped <= MOST, "too many requests")
            }
            (ModelLine::Own(part), Body::Tree(model)) => {
                expand(&mut model.own, &part, most, |len| check(len >= 1, "no blocks"))
            }
            (ModelLine::Tails(part), Body::Tree(model)) => {
                expand(&mut model.tails, &part, most, |tail| check_tail(tail, size))
            }
            (ModelLine::Outputs(part), Body::Tree(model)) => {
                let part: Vec<(u32, u64)> =
                    part.into_iter().map(|(output, count)| (output.unwrap_or(NO_OUTPUT), count)).collect();
                expand(&mut model.outputs, &part, most, |_| Ok(()))
            }
            (ModelLine::Batches(part), Body::Tree(model)) => {
                expand(&mut model.batches, &part, most, |batch| check(batch >= 1, "an empty batch"))
            }
            (ModelLine::Waits(part), Body::Tree(model)) => expand(&mut model.gaps, &part, most, check_time),
            _ => Err(other_kind()),
        }
    }

    /// The model, once all lines have been read.
    ///
    /// # Errors
    /// When parts are missing.
    pub fn finish(self) -> Result<Model, Invalid> {
        let mut model = self.model.ok_or_else(|| Invalid::malformed("an empty file is no model"))?;
        let has_times = model.header.has_times;
        let found = match &model.body {
            Body::Sessions(_) | Body::Trace(_) => model.header.requests,
            Body::Replay(model) => model.turns.len() as u64,
            Body::Tree(_) => self.stopped,
        };
        if found != model.header.requests {
            let message = format!("the model is not complete: {found} of {} requests", model.header.requests);
            return Err(Invalid::malformed(message));
        }
        match &mut model.body {
            Body::Trace(_) => {}
            Body::Sessions(model) => {
                check(model.ends.iter().any(|end| end.sessions > 0), "no sessions")?;
                check(model.parts.missing().is_none(), model.parts.missing().unwrap_or_default())?;
            }
            Body::Replay(model) => {
                check(!has_times || model.gaps.len() as u64 + 1 == found, "the number of gaps is wrong")?;
                let starts: u64 = model.sessions.iter().map(|session| u64::from(session.wait)).sum();
                check(starts < MOST, "sessions wait too long")?;
            }
            Body::Tree(model) => {
                let leaves = model.stops.iter().any(|stop| stop.leaves > 0);
                check(!leaves || !(model.own.is_empty() || model.tails.is_empty()), "lengths are missing")?;
                check(!model.outputs.is_empty(), "output lengths are missing")?;
                check(!has_times || !model.batches.is_empty(), "batches are missing")?;
                model.sort();
            }
        }
        Ok(model)
    }
}

/// Refuses a header of version 1, whatever else it says.
fn refuse_old(line: &[u8]) -> Result<(), Invalid> {
    #[derive(Deserialize)]
    struct AnyHeader {
        #[serde(rename = "kvtrace_model")]
        _kind: serde::de::IgnoredAny,
        version: u32,
    }
    match serde_json::from_slice::<AnyHeader>(line) {
        Ok(AnyHeader { version: 1, .. }) => Err(Invalid::malformed(
            "a model of version 1 of the format, from which the trace can be rebuilt (all requests, the pauses between \
             them, what they share): treat it like the trace, and learn a new model",
        )),
        _ => Ok(()),
    }
}

/// The model that a header announces, without its parts.
fn empty_model(header: ModelHeader) -> Result<Model, Invalid> {
    if header.version != VERSION {
        let cure = if header.version < VERSION { ": learn a new model" } else { "" };
        let message =
            format!("version {} of the model format; this program reads {VERSION}{cure}", header.version);
        return Err(Invalid::malformed(message));
    }
    check((1..=MAX_BLOCK_SIZE).contains(&header.block_size), "block_size is no number of tokens")?;
    check((1..=MOST).contains(&header.requests), "requests is no plausible number")?;
    check(header.window.is_none_or(|window| window.is_finite() && window >= 0.0), "window is no number")?;
    let window = header.window.unwrap_or(0.0);
    let body = match header.kind {
        ModelKind::None => return Err(Invalid::value("the model none is never saved")),
        ModelKind::Sessions => Body::Sessions(Box::default()),
        ModelKind::Replay => Body::Replay(ReplayModel { window, ..ReplayModel::default() }),
        ModelKind::Tree => Body::Tree(TreeModel::default()),
    };
    Ok(Model { header, body })
}

/// Takes a line of the model `sessions` that is not about its core.
fn take_part(model: &mut SessionsModel, line: ModelLine<'_>) -> Result<(), Invalid> {
    let part = match line {
        ModelLine::Clock(part) => Part::Clock(part.into_owned()),
        ModelLine::Rate(part) => Part::Rate(part.into_owned()),
        ModelLine::Sums(part) => Part::Sums(part.into_owned()),
        ModelLine::Number(part) => Part::Number(part.into_owned()),
        ModelLine::Chance(part) => Part::Chance(part.into_owned()),
        _ => return Err(other_kind()),
    };
    model.parts.take(part).map_err(Invalid::value)
}

fn other_kind() -> Invalid {
    Invalid::conflict("a line of the other kind of model")
}

fn add_run(runs: &mut Vec<CoreRun>, run: CoreRun, size: u64) -> Result<(), Invalid> {
    check(run.len >= 1 && u64::from(run.len) < MOST, "no plausible number of blocks")?;
    check_tail(run.tail, size)?;
    if run.parent != TOP {
        let parent = runs.get(run.parent as usize).ok_or_else(no_parent)?;
        check(u64::from(parent.tail) == size, "a partial block that goes on")?;
    }
    runs.push(run);
    Ok(())
}

/// The tokens of the last block of a core run, a full block's above all runs.
fn tail_of(runs: &[CoreRun], run: RunIndex, size: u64) -> Result<u64, Invalid> {
    if run == TOP {
        return Ok(size);
    }
    let run = runs.get(run as usize).ok_or_else(|| Invalid::value(format!("there is no core run {run}")))?;
    Ok(u64::from(run.tail))
}

fn add_session(model: &mut ReplayModel, line: &SessionLine<'_>, size: u64) -> Result<(), Invalid> {
    let SessionLine { wait, core, ref requests } = *line;
    let core_tail = tail_of(&model.core.runs, core, size)?;
    let first = model.turns.len();
    check((first + requests.len()) as u64 <= MOST && !requests.is_empty(), "no requests")?;
    model.sessions.push(Session { wait, run: core, first: first as u32 });
    for (turn, index) in requests.iter().zip(0..) {
        check_turn(turn, &model.turns[first..], core == TOP, core_tail, size)
            .map_err(|e| Invalid::new(e.kind, format!("request {index}: {e}")))?;
        model.turns.push(*turn);
    }
    Ok(())
}

fn check(fine: bool, what: &str) -> Result<(), Invalid> {
    if fine { Ok(()) } else { Err(Invalid::value(what)) }
}

fn no_parent() -> Invalid {
    Invalid::value("a parent that stands not before it")
}

fn check_tail(tail: u32, size: u64) -> Result<(), Invalid> {
    check(tail >= 1 && u64::from(tail) <= size, "no number of tokens in a block")
}

fn check_time(time: f64) -> Result<(), Invalid> {
    check(time.is_finite() && time >= 0.0 && time < MAX_LENGTH as f64, "no time between requests")
}

/// Checks a request against those of its session before it. `at_top`: the session has no core.
fn check_turn(
    turn: &SessionTurn,
    before: &[SessionTurn],
    at_top: bool,
    core_tail: u64,
    size: u64,
) -> Result<(), Invalid> {
    check(u64::from(turn.new) < MOST, "too many blocks")?;
    let mut end = core_tail;
    if before.is_empty() {
        check(turn.shared == 0 && turn.parent == 0 && turn.wait == 0, "the first continues nothing")?;
        if at_top && turn.new == 0 {
            return check(turn.tail == 0, "tokens without a block");
        }
    } else {
        let parent = before.get(turn.parent as usize).ok_or_else(no_parent)?;
        let most = u64::from(parent.shared) + u64::from(parent.new);
        let shared = u64::from(turn.shared);
        let known = turn.shared > parent.shared && shared <= most && shared < MOST;
        check(known, "shares what its parent has not")?;
        end = if shared == most { u64::from(parent.tail) } else { size };
    }
    if turn.new == 0 {
        return check(u64::from(turn.tail) == end, "a block with two numbers of tokens");
    }
    check(end == size, "a partial block that goes on")?;
    check_tail(turn.tail, size)
}

/// Appends each value as often as it occurred.
fn expand<T: Copy + PartialOrd>(
    values: &mut Observed<T>,
    part: &[(T, u64)],
    most: u64,
    check: impl Fn(T) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    for &(value, count) in part {
        check(value)?;
        if count.saturating_add(values.len() as u64) > most {
            return Err(Invalid::value("more values than requests"));
        }
        values.extend(value, count as usize);
    }
    Ok(())
}

/// The parser's reason, with the column.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{what} at column {}", error.column())
}
