//! Options of `trace-synth`.

use std::path::PathBuf;
use std::sync::Arc;

use super::choice::{Choice, NamedValues};
use super::common::{Common, CommonOptions, HasCommon};
use super::memory::default_max_memory;
use super::spec::{Group, Opt, Rule, Spec, opt};
use super::tokenizer::TokenizerOption;
use super::value::Value;
use crate::error::{Error, Invalid, Result};
use crate::record::formats::Format;
use crate::synth::{End, Knobs, MAX_FACTOR, ModelKind, ModelOptions, Schedule, Source, Task, Vocabulary};
use crate::tokens::template::Template;
use crate::tokens::{Encoder, Frame, Words};

/// What the user has typed.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one per flag of the command line")]
pub struct Options {
    common: Common,
    model: Option<ModelKind>,
    from_format: Option<Format>,
    block_size: Option<u64>,
    requests: Option<u64>,
    forever: bool,
    duration: Option<u64>,
    seed: u64,
    knobs: Knobs,
    report: bool,
    annotate: bool,
    prompts: Option<PromptForm>,
    tokenizer: TokenizerOption,
    vocabulary_size: Option<u32>,
    jobs: Option<usize>,
    schedule: Option<Schedule>,
    pace: bool,
    max_memory: Option<u64>,
    min_count: Option<u64>,
    save_model: Option<PathBuf>,
    model_file: Option<PathBuf>,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// The form of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PromptForm {
    Text,
    Chat,
    Tokens,
}

impl Choice for PromptForm {
    const NAMES: NamedValues<Self> = &[("text", Self::Text), ("chat", Self::Chat), ("tokens", Self::Tokens)];
}

impl Choice for Schedule {
    const NAMES: NamedValues<Self> = &[("open", Self::Open), ("closed", Self::Closed)];
}

impl Choice for ModelKind {
    const NAMES: NamedValues<Self> =
        &[("sessions", Self::Sessions), ("replay", Self::Replay), ("tree", Self::Tree), ("none", Self::None)];
}

/// The smallest part of the users.
const MIN_USERS: f64 = 0.001;

/// Vocabulary size where the user names none: ids that every current model knows.
const DEFAULT_VOCABULARY_SIZE: u32 = 32_000;

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-synth",
    text: include_str!("text/trace-synth.txt"),
    options: OPTIONS,
    common: CommonOptions::<Options>::TABLE,
    rules: RULES,
};

const OPTIONS: &[Group<Options>] =
    &[("How much", LENGTH), ("Model", MODEL), ("Changes", CHANGES), ("Output", OUTPUT)];

const LENGTH: &[Opt<Options>] = &[
    opt("num-requests").daily().short('n').value(|o, v| v.count().map(|n| o.requests = Some(n))),
    opt("duration").daily().value(|o, v| v.duration_ms().map(|time| o.duration = Some(time))),
    opt("forever").flag(|o| o.forever = true),
    opt("seed").daily().value(|o, v| v.count().map(|seed| o.seed = seed)),
];

const MODEL: &[Opt<Options>] = &[
    opt("model").choice::<_, ModelKind>(|o, v| v.pick().map(|kind| o.model = Some(kind))),
    opt("min-count").value(|o, v| v.positive().map(|count| o.min_count = Some(count))),
    opt("save-model").daily().file(|o, v| v.own_file().map(|path| o.save_model = Some(path))),
    opt("model-file").daily().file(|o, v| v.file().map(|path| o.model_file = Some(path))),
    opt("from-format")
        .short('f')
        .list::<_, Option<Format>>(|o, v| v.pick().map(|format| o.from_format = format)),
    opt("block-size").short('b').value(|o, v| v.block_size().map(|size| o.block_size = Some(size))),
    opt("max-memory").value(|o, v| v.memory().map(|bytes| o.max_memory = Some(bytes))),
];

const CHANGES: &[Opt<Options>] = &[
    opt("users").daily().value(|o, v| users(v).map(|x| o.knobs.users = x)),
    opt("lanes").value(|o, v| lanes(v).map(|n| o.knobs.lanes = Some(n))),
    opt("speedup-ratio").daily().value(|o, v| v.pace().map(|ratio| o.knobs.speedup = ratio)),
    opt("rate").daily().value(|o, v| v.pace().map(|rate| o.knobs.rate = Some(rate))),
    opt("target-hit-rate").daily().value(|o, v| v.share().map(|rate| o.knobs.hit_rate = Some(rate))),
    opt("prefix-len-multiplier").value(|o, v| factor(v).map(|x| o.knobs.prefix_len = x)),
    opt("prefix-root-multiplier").value(|o, v| copies(v).map(|n| o.knobs.prefix_root = n)),
    opt("prompt-len-multiplier").value(|o, v| factor(v).map(|x| o.knobs.prompt_len = x)),
    opt("osl-multiplier").value(|o, v| factor(v).map(|x| o.knobs.output_len = x)),
    opt("min-isl").value(|o, v| v.count().map(|n| o.knobs.input.min = Some(n))),
    opt("max-isl").value(|o, v| v.count().map(|n| o.knobs.input.max = Some(n))),
    opt("min-osl").value(|o, v| v.count().map(|n| o.knobs.output.min = Some(n))),
    opt("max-osl").value(|o, v| v.count().map(|n| o.knobs.output.max = Some(n))),
];

const OUTPUT: &[Opt<Options>] = &[
    opt("report").daily().flag(|o| o.report = true),
    opt("schedule").choice::<_, Schedule>(|o, v| v.pick().map(|schedule| o.schedule = Some(schedule))),
    opt("prompts")
        .daily()
        .maybe::<_, PromptForm>(|o, v| v.pick_or_first().map(|form| o.prompts = Some(form))),
    opt("tokenizer").file(|o, v| v.file().map(|path| o.tokenizer.name = Some(path))),
    opt("vocab-size").value(|o, v| vocabulary_size(v).map(|size| o.vocabulary_size = Some(size))),
    opt("annotate").flag(|o| o.annotate = true),
    opt("pace").flag(|o| o.pace = true),
    opt("jobs").short('j').value(|o, v| v.threads().map(|jobs| o.jobs = Some(jobs))),
];

const RULES: &[Rule<Options>] = &[
    (
        |o| o.knobs.rate.is_some() && o.knobs.speedup != 1.0,
        "--rate and --speedup-ratio both set the pace: give one",
    ),
    (
        |o| o.model_file.is_some() && !o.common.files.is_empty(),
        "--model-file needs no trace: give either it or FILEs",
    ),
    (
        |o| o.from_format.is_some() && o.model_file.is_some(),
        "--from-format is for a trace, which --model-file does without",
    ),
    (|o| o.forever && o.requests.is_some(), "--forever and --num-requests contradict each other"),
    (|o| o.forever && o.duration.is_some(), "--forever and --duration contradict each other"),
    (|o| !o.knobs.input.is_possible(), "--min-isl is above --max-isl"),
    (|o| !o.knobs.output.is_possible(), "--min-osl is above --max-osl"),
    (
        |o| o.report && o.model_file.is_some(),
        "--report compares with the trace, which --model-file does without",
    ),
    (|o| o.knobs.hit_rate.is_some() && o.not_sessions(), "--target-hit-rate needs --model sessions"),
    (|o| o.knobs.users != 1.0 && o.not_sessions(), "--users needs --model sessions"),
    (|o| o.knobs.lanes.is_some() && o.not_sessions(), "--lanes needs --model sessions"),
    (|o| o.schedule.is_some() && o.not_sessions(), "--schedule needs --model sessions"),
    (|o| o.min_count.is_some() && o.not_sessions(), "--min-count is for --model sessions"),
    (
        |o| o.min_count.is_some() && o.model_file.is_some(),
        "--min-count is for learning, which --model-file does without",
    ),
    (
        |o| o.knobs.lanes.is_some() && o.knobs.users != 1.0,
        "--lanes says how many sessions there are at a time, and --users how many more begin: give one",
    ),
    (
        |o| o.max_memory.is_some() && o.model_file.is_some(),
        "--max-memory is for learning, which --model-file does without",
    ),
    (|o| o.report && o.forever, "--report comes at the end, and --forever has none"),
    (
        |o| o.tokenizer.name.is_some() && matches!(o.prompts, None | Some(PromptForm::Tokens)),
        "--tokenizer is for --prompts=text or chat",
    ),
    (
        |o| o.vocabulary_size.is_some() && o.prompts != Some(PromptForm::Tokens),
        "--vocab-size is for --prompts=tokens",
    ),
];

impl Options {
    /// Whether another model than sessions is asked for.
    fn not_sessions(&self) -> bool {
        self.model.is_some_and(|model| model != ModelKind::Sessions)
    }

    /// What the run will do.
    ///
    /// # Errors
    /// When a file is to be written twice.
    pub fn task(&self) -> Result<Task> {
        let Common { files, output, .. } = &self.common;
        self.common.refuse_as_output("--save-model", self.save_model.as_deref())?;
        let source = match &self.model_file {
            Some(file) => Source::Saved { file: file.clone(), model: self.model },
            None => Source::Trace {
                files: files.clone(),
                model: self.model_options(),
                max_memory: self.max_memory.or_else(default_max_memory).unwrap_or(u64::MAX),
                compare: self.report,
            },
        };
        Ok(Task {
            source,
            input: self.common.input(),
            format: self.from_format,
            block_size: self.block_size,
            save_model: self.save_model.clone(),
            jobs: self.jobs.unwrap_or(1),
            output: output.clone(),
            end: End { requests: self.requests, time: self.duration, never: self.forever },
            seed: self.seed,
            knobs: self.knobs.clone(),
            prompts: self.vocabulary()?,
            schedule: self.schedule,
            annotate: self.annotate,
            pace: self.pace,
        })
    }

    /// How the trace is modelled.
    fn model_options(&self) -> ModelOptions {
        let mut options = ModelOptions::from(self.model.unwrap_or_default());
        options.min_count = self.min_count.unwrap_or(options.min_count);
        options
    }

    /// What prompts are made of, if they are asked for. Reads the files of tokenizer and template.
    fn vocabulary(&self) -> Result<Option<Vocabulary>> {
        match self.prompts {
            None => Ok(None),
            Some(PromptForm::Tokens) => {
                Ok(Some(Vocabulary::Ids(self.vocabulary_size.unwrap_or(DEFAULT_VOCABULARY_SIZE))))
            }
            Some(PromptForm::Text) => self.words(false).map(Some),
            Some(PromptForm::Chat) => self.words(true).map(Some),
        }
    }

    /// The words of the tokenizer, for texts or for the messages of chats.
    fn words(&self, is_chat: bool) -> Result<Vocabulary> {
        let failed = |invalid: Invalid| Error::Failed(format!("--tokenizer: {}", invalid.message));
        let (tokenizer, folder) = self.tokenizer.load(false)?;
        if self.tokenizer.is_embedded() && !is_chat {
            return Words::of(tokenizer.identity()).map(Vocabulary::Words).map_err(failed);
        }
        let decoder = self.tokenizer.decoder(&tokenizer)?;
        let template = folder.as_deref().map(Template::in_folder).transpose()?.flatten();
        let frame =
            if is_chat { Frame::of_chat(template.as_ref()).map_err(failed)? } else { Frame::default() };
        let tokenizer = Arc::new(tokenizer);
        let mut encoder = Encoder::new(Arc::clone(&tokenizer), 0);
        let words = Words::find(&mut encoder, &decoder, &frame).map_err(failed)?;
        Ok(Vocabulary::Tried { words, tokenizer, is_chat })
    }
}

/// A factor for lengths, above zero.
fn factor(value: &Value) -> Result<f64, String> {
    let number = value.number()?;
    if number <= 0.0 {
        return Err(format!("'{}' is not above zero", value.text()?));
    }
    if number > MAX_FACTOR {
        return Err(format!("'{}' is more than {MAX_FACTOR}, the largest factor", value.text()?));
    }
    Ok(number)
}

/// Times as many users.
fn users(value: &Value) -> Result<f64, String> {
    let number = value.number()?;
    if !(MIN_USERS..=MAX_FACTOR).contains(&number) {
        return Err(format!("'{}' is not between {MIN_USERS} and {MAX_FACTOR}", value.text()?));
    }
    Ok(number)
}

/// How many sessions there are at a time.
fn lanes(value: &Value) -> Result<u32, String> {
    u32::try_from(value.positive()?).ok().filter(|&n| n <= 1 << 24).ok_or_else(|| "too many lanes".to_owned())
}

/// How many copies of the core there are.
fn copies(value: &Value) -> Result<u32, String> {
    u32::try_from(value.positive()?).map_err(|_| "too many copies".to_owned())
}

fn vocabulary_size(value: &Value) -> Result<u32, String> {
    u32::try_from(value.positive()?).map_err(|_| "more than token ids have bits".to_owned())
}
