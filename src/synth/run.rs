//! What `trace-synth` does, from its inputs to its output.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fidelity::Figures;
use super::{
    Generator, Knobs, Learner, Model, ModelKind, ModelOptions, ModelReader, RequestWriter, Schedule,
    SyntheticRequest, Vocabulary,
};
use crate::error::{Error, Invalid, InvalidKind, Result};
use crate::io::{Input, InputOptions, Observer, Output, Pacer, signals};
use crate::record::formats::Format;
use crate::record::{LengthRange, NumberedApart, TraceReader};

/// Everything that a run needs to know.
#[non_exhaustive]
pub struct Task {
    /// What the model is made of.
    pub source: Source,
    /// How the trace or the saved model is read.
    pub input: InputOptions,
    /// The format of the trace; if absent, the first line of each file tells.
    pub format: Option<Format>,
    /// Tokens per block; if absent, what the trace states.
    pub block_size: Option<u64>,
    /// A file to which the model is saved as well.
    pub save_model: Option<PathBuf>,
    /// Threads that write prompts and compress the output, at least one. The output does not depend on it.
    pub jobs: usize,
    /// Where the output goes; standard output if absent.
    pub output: Option<PathBuf>,
    /// When the output ends.
    pub end: End,
    /// Seed of the random generator.
    pub seed: u64,
    /// Changes to what was learnt.
    pub knobs: Knobs,
    /// The vocabulary of prompts, if prompts are written instead of trace lines.
    pub prompts: Option<Vocabulary>,
    /// Whether lines say which conversation they belong to, and how it is timed.
    pub schedule: Option<Schedule>,
    /// Whether the reference's two lengths are added to each line.
    pub annotate: bool,
    /// Whether each line is written at its time.
    pub pace: bool,
}

impl Task {
    /// Writes a trace like `source`, of as many requests, to standard output.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            input: InputOptions::default(),
            format: None,
            block_size: None,
            save_model: None,
            jobs: 1,
            output: None,
            end: End::default(),
            seed: 0,
            knobs: Knobs::default(),
            prompts: None,
            schedule: None,
            annotate: false,
            pace: false,
        }
    }
}

/// What a model is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// A trace to learn from.
    Trace {
        /// The inputs in order; none is standard input.
        files: Vec<PathBuf>,
        /// How the trace is modelled.
        model: ModelOptions,
        /// The most bytes of memory that learning may take.
        max_memory: u64,
        /// Whether the output is compared with the trace.
        compare: bool,
    },
    /// A saved model.
    Saved {
        /// Its file.
        file: PathBuf,
        /// The kind that it must have.
        model: Option<ModelKind>,
    },
}

/// When the output ends: at whichever of these comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// After this many requests; without this and `time`, after as many as the model was learnt from.
    pub requests: Option<u64>,
    /// Before the first request at this time, in milliseconds.
    pub time: Option<u64>,
    /// Never, unless something else stops it.
    pub never: bool,
}

/// Learns or loads the model of `task`, and writes requests drawn from it. Returns a comparison of the two
/// traces as text if the task asks for one.
///
/// # Errors
/// Those of reading and writing, a signal, a lack of memory, and what the model cannot do.
pub fn run(task: Task, observer: &mut dyn Observer) -> Result<Option<String>> {
    let mut remarks = Vec::new();
    let (model, original) = match &task.source {
        Source::Saved { file, model } => (load(&task, file, *model)?, None),
        Source::Trace { files, model, max_memory, compare } => {
            let learner = learn(&task, files, model.kind, *max_memory, *compare, observer)?;
            let forest = learner.finish()?;
            let figures = compare.then(|| Figures::of_learnt(&forest)).transpose()?;
            let (model, missing) = Model::learn(*model, &forest)?;
            missing.iter().for_each(|remark| observer.note(remark));
            remarks = missing;
            (model, figures)
        }
    };
    let needs_time = task.end.time.is_some() || task.pace;
    if needs_time && !model.has_time() && task.knobs.rate.is_none() {
        return Err(Error::Failed("the trace has no times; give it arrivals with `rate`".into()));
    }
    if task.save_model.is_some() && model.kind() == ModelKind::None {
        return Err(Error::Failed("the model none is the trace: there is nothing to save".into()));
    }
    if let Some(path) = &task.save_model {
        model.disclosure().into_iter().for_each(|what| observer.note(what));
        save(&model, path)?;
    }
    let mut output = Output::named(task.output.as_deref(), task.jobs)?;
    let mut synthetic = original.as_ref().map(|_| model.figures());
    if let Err(error) = generate(task, model, &mut output, synthetic.as_mut(), observer) {
        output.abandon();
        return Err(error);
    }
    output.finish()?;
    let table = original.zip(synthetic).map(|(original, synthetic)| original.compare(&synthetic));
    Ok(table
        .map(|table| remarks.iter().fold(table, |table, remark| table + &observer.wording(remark) + "\n")))
}

/// Reads the trace.
fn learn(
    task: &Task,
    files: &[PathBuf],
    kind: ModelKind,
    max_memory: u64,
    compare: bool,
    observer: &mut dyn Observer,
) -> Result<Learner> {
    let input = Input::new(files, task.input.clone())?;
    observer.begin(input.total_size());
    let mut reader = TraceReader::new(input, task.format, task.block_size).with_times_from_zero();
    let (mut learner, mut apart) = (Learner::default(), NumberedApart::new(files.len()));
    // 16 MiB are for the program and its buffers.
    let most = max_memory.saturating_sub(16 << 20);
    while reader.advance(|status| {
        observer.progress(status);
        Ok(())
    })? {
        apart.look(&reader);
        learner.add(reader.record(), reader.block_size()).map_err(|message| reader.input().error(message))?;
        if learner.bytes(kind, compare) > most {
            return Err(Error::Failed(format!(
                "learning more than {} requests would take more than `max_memory` ({max_memory} bytes); a part of the \
                 trace takes less (trace-cat `tail`, `sample`)",
                learner.requests()
            )));
        }
    }
    observer.end();
    let skipped = reader.skipped()?;
    let remarks = reader.remarks();
    remarks.iter().chain(&skipped).chain(&apart.note()).for_each(|message| observer.note(message));
    let (without, all) = (learner.without_ids(), learner.requests());
    if without > 0 && without < all {
        observer.note(&format!(
            "{without} of {all} requests have no hash_ids: taken for prompts that share nothing"
        ));
    }
    if learner.with_answers() > 0 {
        let with = learner.with_answers();
        observer.note(&format!("the output_hash_ids of {with} of {all} requests are not learnt"));
    }
    if let Some(late) = learner.order().note() {
        observer.note(&format!("{late}: taken to arrive with it (see trace-cat `sort`)"));
    }
    if let Some(message) = learner.order().unit_note() {
        observer.note(&message);
    }
    Ok(learner)
}

/// Loads a saved model.
fn load(task: &Task, path: &Path, kind: Option<ModelKind>) -> Result<Model> {
    let options = InputOptions { skip_invalid: false, ..task.input.clone() };
    let mut input = Input::new(&[path.to_owned()], options)?;
    let mut reader = ModelReader::default();
    while input.advance(|_| Ok(()))? {
        reader.line(input.line()).map_err(|message| input.error(message))?;
    }
    let failed = |message: String| Error::Failed(format!("{}: {message}", path.display()));
    let model = reader.finish().map_err(|invalid| failed(invalid.message))?;
    if kind.is_some_and(|kind| kind != model.kind()) {
        return Err(failed("not the model that `model` asks for".into()));
    }
    match task.block_size {
        Some(size) if size != model.block_size() => {
            Err(failed(format!("block size {} contradicts `block_size` {size}", model.block_size())))
        }
        _ => Ok(model),
    }
}

fn save(model: &Model, path: &Path) -> Result<()> {
    let mut output = Output::create(Some(path))?;
    model.save(|line| {
        output.buffer().extend_from_slice(line);
        output.end_record()
    })?;
    output.finish()
}

/// Names the options that help when no request can be drawn.
fn advise(error: Invalid) -> Error {
    let advice = match error.kind {
        InvalidKind::Conflict => ": widen `min_isl` and `max_isl`",
        InvalidKind::OverLimit => "; see `max_isl`",
        _ => "",
    };
    Error::Failed(error.message + advice)
}

/// Requests from which on a rate is one to judge by, and the logarithm of a factor that is still alike.
const ENOUGH: u64 = 100;
const ALIKE: f64 = 0.1;

fn per_second(gap_ms: f64) -> String {
    let rate = 1000.0 / gap_ms;
    if rate < 1.0 { format!("{rate:.3}") } else { format!("{rate:.1}") }
}

/// The mean time between requests in milliseconds that the trace has, as the knobs change it; none where they give
/// another one, or few requests are left out.
fn pace_of_trace(model: &Model, knobs: &Knobs) -> Option<f64> {
    let is_own = knobs.rate.is_some() || knobs.lanes.is_some() || knobs.input != LengthRange::default();
    let gap = model.mean_gap().filter(|_| !is_own && model.kind() == ModelKind::Sessions)?;
    Some(gap / knobs.users / knobs.speedup)
}

/// The mean input length that the trace has, unless the knobs change it.
fn mean_input_of_trace(model: &Model, knobs: &Knobs) -> Option<f64> {
    let lengths =
        Knobs { rate: None, speedup: 1.0, users: 1.0, lanes: None, hit_rate: None, ..knobs.clone() };
    model.mean_input().filter(|_| lengths == Knobs::default())
}

/// What has been drawn.
#[derive(Default)]
struct Drawn {
    requests: u64,
    tokens: u128,
    /// Times of the first request and of the last.
    times: Option<(f64, f64)>,
}

impl Drawn {
    fn add(&mut self, request: &SyntheticRequest) {
        let arrival = request.timestamp.unwrap_or(0.0);
        self.requests += 1;
        self.tokens += u128::from(request.input_length);
        self.times.get_or_insert((arrival, arrival)).1 = arrival;
    }

    /// The mean time between requests in milliseconds, if there are enough to judge by.
    fn gap(&self) -> Option<f64> {
        let (first, last) = self.times.filter(|_| self.requests >= ENOUGH)?;
        Some((last - first) / (self.requests - 1) as f64)
    }
}

/// How many requests come in so many milliseconds, where what is asked for has to be met by these: a rate, a hit rate.
fn before(model: &Model, knobs: &Knobs, seed: u64, time: u64) -> Result<Option<u64>> {
    const MOST_DRAWN: u64 = 200_000;
    const TRIALS: u32 = 6;
    if let Some(rate) = knobs.rate {
        return Ok(Some(((rate * time as f64 / 1000.0).round() as u64).max(1)));
    }
    if knobs.hit_rate.is_none() {
        return Ok(None);
    }
    let mut request = SyntheticRequest::default();
    let mut known = None;
    for trial in 0..TRIALS {
        let hit_rate = knobs.hit_rate.filter(|_| trial > 0);
        let knobs = Knobs { hit_rate, ..knobs.clone() };
        let mut generator = Generator::new(model.clone(), knobs, seed, known).map_err(advise)?;
        let (end, mut count) = (generator.now() + time as f64, 0);
        while count < MOST_DRAWN {
            signals::check()?;
            generator.next(&mut request).map_err(advise)?;
            if request.timestamp.is_none_or(|arrival| arrival >= end) {
                break;
            }
            count += 1;
        }
        // Of so many the rate is that of any number.
        if count == MOST_DRAWN {
            return Ok(None);
        }
        let drawn = Some(count.max(1));
        if drawn == known {
            break;
        }
        known = drawn;
    }
    Ok(known)
}

fn generate(
    task: Task,
    model: Model,
    output: &mut Output,
    mut figures: Option<&mut Figures>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let End { requests, time, never } = task.end;
    let unlimited = never || time.is_some();
    let once = (model.requests() as f64 * task.knobs.users).round() as u64;
    let default = if unlimited { u64::MAX } else { once };
    let count = requests.unwrap_or(default);
    let mut write = model.write_options();
    write.annotate = task.annotate;
    write.schedule = task.schedule;
    write.prompts = task.prompts.map(Arc::new);
    // A line that is written at its time cannot wait for others.
    let mut writer = RequestWriter::with_jobs(write, if task.pace { 1 } else { task.jobs })?;
    if task.schedule.is_some() && model.kind() != ModelKind::Sessions {
        return Err(Error::Failed("only the model sessions knows which requests make a session".into()));
    }
    if count == 0 {
        return Ok(());
    }
    let known = match time {
        Some(time) => before(&model, &task.knobs, task.seed, time)?.map(|drawn| drawn.min(count)),
        None => Some(count).filter(|_| !unlimited),
    };
    let wanted = pace_of_trace(&model, &task.knobs);
    let wanted_input = mean_input_of_trace(&model, &task.knobs);
    let mut generator = Generator::new(model, task.knobs, task.seed, known).map_err(advise)?;
    let end = time.map_or(f64::INFINITY, |time| generator.now() + time as f64);
    let mut pacer = task.pace.then(Pacer::default);
    let mut request = SyntheticRequest::default();
    let mut drawn = Drawn::default();
    let mut draw = || -> Result<()> {
        for _ in 0..count {
            signals::check()?;
            generator.next(&mut request).map_err(advise)?;
            let arrival = request.timestamp.unwrap_or(0.0);
            if arrival >= end {
                break;
            }
            if let Some(figures) = &mut figures {
                figures.add(&request)?;
            }
            if let Some(pacer) = &mut pacer {
                output.flush()?;
                pacer.wait(arrival)?;
            }
            writer.write(&request, output.buffer())?;
            output.end_record()?;
            drawn.add(&request);
        }
        Ok(())
    };
    let ended = draw();
    // What is still being written comes before whatever went wrong.
    writer.finish(output.buffer()).and(ended)?;
    if let Some((wanted, drawn)) =
        wanted.zip(drawn.gap()).filter(|(wanted, drawn)| (drawn / wanted).ln().abs() > ALIKE)
    {
        observer.note(&format!(
            "requests come at {} per second on average, and {} would be those of the trace: where few sessions go on for \
             long, none of them is learnt, and what is drawn ends sooner (`rate` sets it)",
            per_second(drawn),
            per_second(wanted),
        ));
    }
    let mean = drawn.tokens as f64 / drawn.requests.max(1) as f64;
    if let Some(wanted) =
        wanted_input.filter(|wanted| drawn.requests > 0 && (mean / wanted).ln().abs() > ALIKE)
    {
        observer.note(&format!(
            "prompts have {mean:.0} tokens on average, and {wanted:.0} in the trace: few requests, few long sessions or \
             another hit rate make them others"
        ));
    }
    writer.remarks().iter().for_each(|remark| observer.note(remark));
    Ok(())
}
