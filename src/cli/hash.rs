//! Options of `trace-hash`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::choice::{Choice, NamedValues};
use super::common::{Common, CommonOptions, HasCommon};
use super::explain::{BreakFormat, Explain, ExplainArgs};
use super::memory::default_max_memory;
use super::spec::{Group, Opt, Rule, Spec, opt};
use super::tokenizer::TokenizerOption;
use super::value::Value;
use crate::blocks::{Encoding, ExtraKeys, Partial, Scheme, StateHeader, VLLM_SEED, VllmDigest};
use crate::error::Result;
use crate::hash::{DEFAULT_REUSE, HashOptions, IdForm, IdSource, Outcome, Task, WriteOptions};
use crate::io::InputOptions;
use crate::record::line::OWN_NAMES;
use crate::record::prompt::{PromptOptions, Turns};
use crate::record::time::{TimeForm, Unit};
use crate::record::{DEFAULT_BLOCK_SIZE, MAX_LENGTH};
use crate::report::numbers::grouped;
use crate::tokens::template::{ContentFormat, Template};

/// What the user has typed.
#[derive(Default)]
pub struct Options {
    common: Common,
    prompts: PromptOptions,
    tokenizer: TokenizerOption,
    special_tokens: bool,
    template: Option<PathBuf>,
    content_format: Option<ContentFormat>,
    block_size: Option<usize>,
    partial: Option<Partial>,
    ids: IdKind,
    hash_bits: Option<HashBits>,
    ids_as: IdsAs,
    salt: Option<String>,
    hash_seed: Option<String>,
    extra_keys: Option<ExtraKeys>,
    state: Option<PathBuf>,
    output_length: Option<u64>,
    turns: Option<Turns>,
    times: Option<TimeForm>,
    /// What else is said about the lines to write.
    write: WriteOptions,
    emit_block_size: bool,
    reuse: Option<usize>,
    jobs: Option<usize>,
    explain: ExplainArgs,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// Which ids the blocks get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum IdKind {
    /// Numbers in the order of first appearance.
    #[default]
    Dense,
    /// The chained hash.
    Hash,
    /// vLLM's own.
    Vllm(Encoding, VllmDigest),
    /// Dynamo's own.
    Dynamo,
}

impl Choice for IdKind {
    const NAMES: NamedValues<Self> = &[
        ("dense", Self::Dense),
        ("hash", Self::Hash),
        ("vllm", Self::Vllm(Encoding::Pickle, VllmDigest::Sha256)),
        ("vllm-cbor", Self::Vllm(Encoding::Cbor, VllmDigest::Sha256)),
        ("vllm-xxhash", Self::Vllm(Encoding::Pickle, VllmDigest::Xxh3)),
        ("vllm-xxhash-cbor", Self::Vllm(Encoding::Cbor, VllmDigest::Xxh3)),
        ("dynamo", Self::Dynamo),
    ];
}

/// How ids that are hashes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum IdsAs {
    #[default]
    Number,
    Text,
}

impl Choice for IdsAs {
    const NAMES: NamedValues<Self> = &[("number", Self::Number), ("string", Self::Text)];
}

/// Bits of an id that is a hash.
#[derive(Clone, Copy)]
struct HashBits(u32);

impl Choice for HashBits {
    const NAMES: NamedValues<Self> = &[("53", Self(53)), ("64", Self(64))];
}

impl Choice for Partial {
    const NAMES: NamedValues<Self> = &[("keep", Self::Keep), ("drop", Self::Drop)];
}

impl Choice for Turns {
    const NAMES: NamedValues<Self> = &[("auto", Self::Auto), ("each", Self::Each), ("last", Self::Last)];
}

impl Choice for ContentFormat {
    const NAMES: NamedValues<Self> =
        &[("auto", Self::Auto), ("string", Self::String), ("parts", Self::Parts)];
}

impl Choice for ExtraKeys {
    const NAMES: NamedValues<Self> = &[("tagged", Self::Tagged), ("bare", Self::Bare)];
}

impl Choice for TimeForm {
    const NAMES: NamedValues<Self> = &[
        ("s", Self::Number(Unit::Seconds)),
        ("ms", Self::Number(Unit::Milliseconds)),
        ("us", Self::Number(Unit::Microseconds)),
        ("ns", Self::Number(Unit::Nanoseconds)),
        ("rfc3339", Self::Date),
    ];
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-hash",
    text: include_str!("text/trace-hash.txt"),
    options: OPTIONS,
    common: CommonOptions::<Options>::TABLE,
    rules: RULES,
};

const OPTIONS: &[Group<Options>] = &[
    ("Prompts", PROMPTS),
    ("Blocks and ids", BLOCKS),
    ("Times and lengths", TIMES),
    ("Why prompts miss", EXPLAIN),
    ("Output", OUTPUT),
    ("Speed and memory", SPEED),
];

const PROMPTS: &[Opt<Options>] = &[
    opt("field").daily().value(|o, v| v.string().map(|field| o.prompts.field = Some(field))),
    opt("text").daily().flag(|o| o.prompts.text = true),
    opt("turns").daily().choice::<_, Turns>(|o, v| v.pick().map(|turns| o.turns = Some(turns))),
    opt("tokenizer").daily().file(|o, v| v.file().map(|path| o.tokenizer.name = Some(path))),
    opt("add-special-tokens").flag(|o| o.special_tokens = true),
    opt("chat-template").daily().file(|o, v| v.file().map(|path| o.template = Some(path))),
    opt("content-format").choice::<_, ContentFormat>(|o, v| v.pick().map(|it| o.content_format = Some(it))),
];

const BLOCKS: &[Opt<Options>] = &[
    // At most 2^24.
    opt("block-size")
        .daily()
        .short('b')
        .value(|o, v| v.block_size().map(|size| o.block_size = Some(size as usize))),
    opt("partial").choice::<_, Partial>(|o, v| v.pick().map(|partial| o.partial = Some(partial))),
    opt("ids").daily().choice::<_, IdKind>(|o, v| v.pick().map(|ids| o.ids = ids)),
    opt("hash-bits").choice::<_, HashBits>(|o, v| v.pick().map(|bits| o.hash_bits = Some(bits))),
    opt("ids-as").choice::<_, IdsAs>(|o, v| v.pick().map(|form| o.ids_as = form)),
    opt("salt").value(|o, v| v.salt().map(|salt| o.salt = Some(salt))),
    opt("hash-seed").value(|o, v| v.string().map(|seed| o.hash_seed = Some(seed))),
    opt("extra-keys").choice::<_, ExtraKeys>(|o, v| v.pick().map(|keys| o.extra_keys = Some(keys))),
    opt("ignore-keys").flag(|o| o.prompts.ignore_keys = true),
    opt("state").daily().file(|o, v| v.own_file().map(|path| o.state = Some(path))),
];

const TIMES: &[Opt<Options>] = &[
    opt("timestamp-field")
        .daily()
        .value(|o, v| v.string().map(|field| o.prompts.timestamp_field = Some(field))),
    opt("timestamp-unit").choice::<_, TimeForm>(|o, v| v.pick().map(|form| o.times = Some(form))),
    opt("rebase").flag(|o| o.write.rebase = true),
    opt("rate").value(|o, v| v.pace().map(|rate| o.write.rate = Some(rate))),
    opt("seed").value(|o, v| v.count().map(|seed| o.write.seed = Some(seed))),
    opt("output-field").value(|o, v| v.string().map(|field| o.prompts.output_field = Some(field))),
    opt("outputs").daily().flag(|o| o.prompts.answers = true),
    opt("output-length").value(|o, v| output_length(v).map(|length| o.output_length = Some(length))),
];

const EXPLAIN: &[Opt<Options>] = &[
    opt("explain").daily().maybe::<_, Explain>(|o, v| v.pick_or_first().map(|it| o.explain.kind = Some(it))),
    opt("top").value(|o, v| v.positive().map(|most| o.explain.top = Some(most as usize))),
    opt("excerpt").value(|o, v| v.count().map(|most| o.explain.excerpt = Some(most.min(1000) as usize))),
    opt("format").choice::<_, BreakFormat>(|o, v| v.pick().map(|format| o.explain.format = Some(format))),
];

const OUTPUT: &[Opt<Options>] = &[
    opt("keep").daily().value(|o, v| v.add_to(&mut o.prompts.keep, kept_field)),
    opt("emit-block-size").flag(|o| o.emit_block_size = true),
];

const SPEED: &[Opt<Options>] = &[
    opt("jobs").short('j').value(|o, v| v.threads().map(|jobs| o.jobs = Some(jobs))),
    opt("reuse")
        .value(|o, v| v.size().map(|size| o.reuse = Some(usize::try_from(size).unwrap_or(usize::MAX)))),
    opt("max-memory").value(|o, v| v.bytes().map(|size| o.write.max_memory = Some(size))),
];

const RULES: &[Rule<Options>] = &[
    (
        |o| o.explain.kind == Some(Explain::Rows) && o.explain.top.is_some(),
        "--top sums up what --explain=rows lists: give one of them",
    ),
    (
        |o| o.explain.format.is_some() && o.explain.shown() != Some(Explain::Top),
        "--format is for --explain=top",
    ),
    (|o| o.explain.excerpt.is_some() && o.explain.shown().is_none(), "--excerpt is for --explain and --top"),
    (
        |o| {
            o.explain.shown().is_some()
                && (o.hashes() || o.state.is_some() || o.salt.is_some() || o.prompts.answers)
        },
        "--explain and --top write no ids: they go neither with --ids, --state and --salt nor with --outputs",
    ),
    (
        |o| o.explain.shown().is_some() && (o.names_times() || o.write.rebase || o.write.rate.is_some()),
        "--explain and --top write no times: they do not go with --timestamp-field, --timestamp-unit, --rebase or --rate",
    ),
    (
        |o| o.explain.shown() == Some(Explain::Top) && !o.prompts.keep.is_empty(),
        "--keep adds fields to the lines of --explain, which --top sums up",
    ),
    (
        |o| !o.hashes() && (o.hash_bits.is_some() || o.ids_as == IdsAs::Text),
        "--hash-bits and --ids-as need --ids hash, vllm, its variants or dynamo",
    ),
    (
        |o| o.hashes() && o.state.is_some(),
        "--state keeps numbers; it does not go with --ids other than dense",
    ),
    (|o| o.hash_seed.is_some() && !o.is_vllm(), "--hash-seed needs --ids vllm or a variant of it"),
    (
        |o| matches!(o.ids, IdKind::Vllm(_, VllmDigest::Xxh3)) && o.hash_seed.is_none(),
        "vLLM begins xxhash with random bytes in each process unless PYTHONHASHSEED is set: give its value as --hash-seed",
    ),
    (|o| o.extra_keys.is_some() && !o.is_vllm(), "--extra-keys needs --ids vllm or a variant of it"),
    (
        |o| o.is_vllm() && o.partial == Some(Partial::Keep),
        "--ids vllm has no hash for a partial block (--partial keep)",
    ),
    (
        |o| o.is_of_engine() && o.block_size.is_none(),
        "--ids of an engine need --block-size, that of the engine (vLLM's default is 16)",
    ),
    (
        |o| o.write.rate.is_some() && (o.write.rebase || o.names_times()),
        "--rate draws all times; it does not go with --rebase or --timestamp-field",
    ),
    (
        |o| o.prompts.text && o.names_times(),
        "--text lines have no field for --timestamp-field or --timestamp-unit",
    ),
    (
        |o| {
            let PromptOptions { text, field, output_field, keep, .. } = &o.prompts;
            *text && (field.is_some() || output_field.is_some() || !keep.is_empty())
        },
        "--text lines have no fields for --field, --output-field or --keep",
    ),
    (|o| o.prompts.text && o.prompts.answers, "--text lines have no answers for --outputs"),
    (
        |o| o.prompts.output_field.is_some() && o.output_length.is_some(),
        "--output-length is for records that do not say it, and --output-field asks all",
    ),
    (
        |o| {
            let template = o.template.is_some() || o.content_format.is_some();
            o.prompts.text && (template || o.turns == Some(Turns::Last))
        },
        "--text lines are no chats: --text goes neither with --chat-template nor with --turns",
    ),
    (
        |o| o.special_tokens && o.tokenizer.is_embedded(),
        "--add-special-tokens needs a tokenizer file, which names them (--tokenizer FILE)",
    ),
    (|o| o.write.seed.is_some() && o.write.rate.is_none(), "--seed is for the draw of --rate"),
    (
        |o| o.salt.is_some() && !o.hashes() && o.state.is_none(),
        "--salt keys hashes, and dense ids have none: give --ids hash, or --state, whose file has them",
    ),
];

impl Options {
    fn hashes(&self) -> bool {
        self.ids != IdKind::Dense
    }

    /// Whether the ids are those of an engine.
    fn is_of_engine(&self) -> bool {
        self.is_vllm() || self.ids == IdKind::Dynamo
    }

    fn is_vllm(&self) -> bool {
        matches!(self.ids, IdKind::Vllm(..))
    }

    /// Whether something is said about where times are in a record.
    fn names_times(&self) -> bool {
        self.prompts.timestamp_field.is_some() || self.times.is_some()
    }

    /// Tokens per block.
    fn block_size(&self) -> usize {
        self.block_size.unwrap_or(DEFAULT_BLOCK_SIZE as usize)
    }

    /// What the run will do. Reads the files of tokenizer and template.
    ///
    /// # Errors
    /// When a file cannot be used, or is to be written twice.
    pub fn task(&self) -> Result<Task> {
        let output = &self.common.output;
        self.common.refuse_as_output("--state", self.state.as_deref())?;
        let hash = self.hash_options()?;
        let decoder = || self.tokenizer.decoder(&hash.tokenizer);
        let explain = self.explain.options(decoder, self.write_options().max_memory)?;
        let ids = match (self.ids, &self.state) {
            (IdKind::Dense, None) => IdSource::Numbers,
            (IdKind::Dense, Some(path)) => IdSource::State(path.clone(), state_header(&hash)),
            _ => IdSource::Hashes(self.id_form()),
        };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Task {
            files: self.common.files.clone(),
            input: InputOptions { documents: !self.prompts.text, ..self.common.input() },
            output: output.clone(),
            hash,
            ids,
            write: self.write_options(),
            workers: self.jobs.unwrap_or_else(cores),
            explain,
        })
    }

    /// What makes one doubt whether the options left to their defaults suit the input.
    pub fn warnings(&self, outcome: &Outcome) -> Vec<String> {
        let mut warnings = remarks(outcome, self.turns.is_none(), self.explain.shown().is_none());
        if self.is_of_engine() && self.explain.shown().is_none() && outcome.counts.stand_ins > 0 {
            warnings.push(
                "what stands for images is no token of the engine: the ids from there on are not its own; give it \
                 its prompt_token_ids with mm_features"
                    .to_owned(),
            );
        }
        if let Some((words, name)) = outcome.likely_unit.filter(|_| self.times.is_none()).map(Unit::names) {
            warnings.push(format!(
                "times look like {words} since 1970, but count as milliseconds: use --timestamp-unit {name}"
            ));
        }
        let unread = outcome.unread_time.as_ref().filter(|_| self.write.rate.is_none());
        warnings.extend(unread.map(|what| format!("{what} (see --timestamp-field and --timestamp-unit)")));
        warnings
    }

    /// How prompts become blocks. Reads the files of tokenizer and template.
    fn hash_options(&self) -> Result<HashOptions> {
        let partial = self.partial.unwrap_or(if self.is_of_engine() { Partial::Drop } else { Partial::Keep });
        let (tokenizer, folder) = self.tokenizer.load(self.special_tokens)?;
        let template = match (&self.template, folder) {
            (Some(path), folder) => Some(Template::load(path, folder.as_deref())?),
            (None, Some(folder)) => Template::in_folder(&folder)?,
            (None, None) => None,
        };
        let format = self.content_format.unwrap_or_default();
        let template = template.map(|template| template.with_content_format(format));
        let mut prompts = self.prompts.clone();
        prompts.turns = self.turns.unwrap_or_default();
        let mut named = HashSet::new();
        prompts.keep.retain(|name| named.insert(name.clone()));
        if self.times.is_some() && prompts.timestamp_field.is_none() {
            prompts.timestamp_field = Some("timestamp".to_owned());
        }
        Ok(HashOptions {
            prompts,
            tokenizer: Arc::new(tokenizer),
            special_tokens: self.special_tokens,
            template: template.map(Arc::new),
            block_size: self.block_size(),
            partial,
            scheme: self.scheme(),
            output_length: self.output_length,
            reuse: self.reuse.unwrap_or(DEFAULT_REUSE),
        })
    }

    /// How blocks are hashed.
    fn scheme(&self) -> Scheme {
        let salt = self.salt.clone();
        match self.ids {
            IdKind::Dense | IdKind::Hash => Scheme::Kvtrace { salt },
            IdKind::Vllm(encoding, digest) => {
                let seed = self.hash_seed.clone().unwrap_or_else(|| VLLM_SEED.to_owned());
                Scheme::Vllm { encoding, digest, seed, salt, extra_keys: self.extra_keys.unwrap_or_default() }
            }
            IdKind::Dynamo => Scheme::Dynamo { salt },
        }
    }

    /// How hashes are written as ids.
    fn id_form(&self) -> IdForm {
        if self.ids_as == IdsAs::Text {
            return IdForm::Hex;
        }
        let HashBits(bits) =
            self.hash_bits.unwrap_or(HashBits(if self.ids == IdKind::Hash { 53 } else { 64 }));
        IdForm::Number(bits)
    }

    /// How trace lines are written.
    fn write_options(&self) -> WriteOptions {
        let default = || default_max_memory().and_then(|bytes| usize::try_from(bytes).ok());
        WriteOptions {
            times: self.times.unwrap_or_default(),
            block_size: Some(self.block_size())
                .filter(|&size| self.emit_block_size || size as u64 != DEFAULT_BLOCK_SIZE),
            max_memory: self.write.max_memory.or_else(default),
            ..self.write.clone()
        }
    }
}

/// What is said about the records at the end.
fn remarks(outcome: &Outcome, turns_left_open: bool, of_trace_lines: bool) -> Vec<String> {
    let counts = &outcome.counts;
    // What all requests lack is no surprise.
    let of_trace = |count: u64| if of_trace_lines && count < outcome.requests { count } else { 0 };
    let remarks = [
        (
            counts.taken_as_requests,
            "chat with answers in it is taken as one request, as it was sent (--turns last)",
            "chats with answers in them are taken as one request each, as they were sent (--turns last)",
        ),
        (
            counts.taken_as_chats,
            "whole chat is taken as a request per answer (--turns each)",
            "whole chats are taken as a request per answer (--turns each)",
        ),
        (
            counts.look_otherwise,
            "chat looks otherwise than the first one, which decides for all (--turns)",
            "chats look otherwise than the first one, which decides for all (--turns)",
        ),
        (
            if turns_left_open { counts.unanswered } else { 0 },
            "whole chat ends with a question, which is left out; for a log of requests use --turns last",
            "whole chats end with a question, which is left out; for a log of requests use --turns last",
        ),
        (
            counts.unasked,
            "answer begins its chat: there is no prompt before it, and it is left out",
            "answers begin their chats: there is no prompt before them, and they are left out",
        ),
        (
            counts.stand_ins,
            "part of a message, such as an image, has a short text in its place: its tokens are not known",
            "parts of messages, such as images, have a short text in their place: their tokens are not known",
        ),
        (
            counts.without_features,
            "request has images that are not in its ids: they are where its token ids are given, except with --ids dynamo",
            "requests have images that are not in their ids: they are where token ids are given, except with --ids dynamo",
        ),
        (
            counts.without_template,
            "chat is in the default template: the tokenizer's folder has no template of the model (--chat-template)",
            "chats are in the default template: the tokenizer's folder has no template of the model (--chat-template)",
        ),
        (
            counts.without_documents,
            "chat has documents beside its messages, which the default template leaves out (--chat-template)",
            "chats have documents beside their messages, which the default template leaves out (--chat-template)",
        ),
        (
            counts.continued,
            "request goes on from what only the server has (previous_response_id, cachedContent, a stored prompt): its \
             prompt is not complete",
            "requests go on from what only the server has (previous_response_id, cachedContent, a stored prompt): \
             their prompts are not complete",
        ),
        (
            counts.failed,
            "call has failed and counts as a request: where it was sent again, or never reached the model, leave it out \
             (jq)",
            "calls have failed and count as requests: where they were sent again, or never reached the model, leave them \
             out (jq)",
        ),
        (of_trace(counts.without_time), "request has no time", "requests have no time"),
        (of_trace(counts.without_output), "request has no output length", "requests have no output length"),
        (
            counts.unlike_answers,
            "answer has no output_hash_ids: its server counted other tokens than its text has, so it was cut by \
             another tokenizer (--tokenizer), or the text is not all of it",
            "answers have no output_hash_ids: their servers counted other tokens than their text has, so they \
             were cut by another tokenizer (--tokenizer), or the text is not all of them",
        ),
        (
            counts.without_answer,
            "request has no output_hash_ids: its answer is not known",
            "requests have no output_hash_ids: their answers are not known",
        ),
        (
            if of_trace_lines { counts.limits } else { 0 },
            "request does not say how long its output was: the most allowed is taken",
            "requests do not say how long their output was: the most allowed is taken",
        ),
    ];
    let said = remarks.into_iter().filter(|(count, ..)| *count > 0);
    said.map(|(count, one, several)| format!("{count} {}", if count == 1 { one } else { several }))
        .chain(other_tokens(outcome))
        .collect()
}

/// The share by which the tokens of servers and ours may differ without a word: templates of about the same
/// length differ by less.
const ALIKE: f64 = 0.05;

/// What is said where servers counted other tokens than were hashed.
fn other_tokens(outcome: &Outcome) -> Option<String> {
    let (recorded, hashed) = (outcome.counts.recorded_tokens, outcome.counts.hashed_tokens);
    let more = hashed as f64 / recorded as f64 - 1.0;
    (recorded > 0 && more.abs() > ALIKE).then(|| {
        let than = if more > 0.0 { "more" } else { "fewer" };
        format!(
            "the servers counted {} prompt tokens and {} were hashed, {:.0} % {than}: the figures are not those \
             of the servers until tokenizer, template and tools are theirs (--tokenizer, --chat-template)",
            grouped(recorded),
            grouped(hashed),
            more.abs() * 100.0,
        )
    })
}

/// What the numbers in a state file belong to.
fn state_header(options: &HashOptions) -> StateHeader {
    StateHeader {
        block_size: options.block_size,
        tokenizer: options.tokenizer.identity().to_owned(),
        template: options.template.as_ref().map_or_else(String::new, |t| t.identity().to_owned()),
        salt: options.scheme.salt_mark(),
        ignores_keys: options.prompts.ignore_keys,
    }
}

fn output_length(value: &Value) -> Result<u64, String> {
    let length = value.count()?;
    if length > MAX_LENGTH {
        return Err(format!("{length} is not a plausible number of tokens"));
    }
    Ok(length)
}

fn kept_field(value: &Value) -> Result<String, String> {
    let name = value.string()?;
    if OWN_NAMES.contains(&&*name)
        || matches!(&*name, "cached_tokens" | "cache_write_tokens" | "recorded_input_length")
    {
        return Err(format!("{name} is written in any case, or means what is written"));
    }
    Ok(name)
}
