//! Options and manual of `trace-synth`.

use std::path::PathBuf;

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec, Value};
use crate::synth::{Knobs, MAX_FACTOR, ModelKind, Vocabulary};
use crate::tokens::{self, Words};

/// Values of the options.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option by itself")]
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// How the trace is modelled, if the user says.
    pub model: Option<ModelKind>,
    /// Tokens per block, if the user says.
    pub block_size: Option<u64>,
    /// How many requests to write.
    pub requests: Option<u64>,
    /// Whether to go on without end.
    pub forever: bool,
    /// Milliseconds of the trace to write.
    pub duration: Option<u64>,
    /// Seed of all draws.
    pub seed: u64,
    /// Changes to what was learnt.
    pub knobs: Knobs,
    /// Whether the output is compared with the trace.
    pub report: bool,
    /// Whether the reference's two lengths are added.
    pub annotate: bool,
    /// What is written instead of trace lines, if anything.
    pub prompts: Option<PromptForm>,
    /// What cuts the prompts into tokens again.
    pub tokenizer: Option<String>,
    /// Token ids are below this.
    pub vocabulary_size: Option<u32>,
    /// Whether lines appear at their time.
    pub pace: bool,
    /// Bytes of memory for learning, if the user says.
    pub max_memory: Option<u64>,
    /// Where the model is saved.
    pub save_model: Option<PathBuf>,
    /// Where a saved model is read.
    pub model_file: Option<PathBuf>,
}

/// The form of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptForm {
    /// Text.
    Text,
    /// Token ids.
    Tokens,
}

/// Vocabulary size where the user names none: ids that every current model knows.
pub const DEFAULT_VOCABULARY_SIZE: u32 = 32_000;

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
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

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-synth",
    about: "learn a request trace and write a synthetic one like it",
    description: &[Block::Text(
        "Reads a trace, learns a model of it in one pass, and writes a synthetic trace of any length \
         that is like it: lengths, arrivals, which prefixes are shared and when they come back. A saved \
         model generates without the trace. Options change one thing and leave the rest: the rate, the \
         length of prefixes, prompts and outputs, the number of tenants.\n\n\
         The synthetic trace has new ids, numbered 0, 1, 2, ... in the order of first appearance, and \
         is valid: one id per block, and a block has the same number of tokens wherever it occurs. The \
         same input, options and seed give the same bytes.",
    )],
    options: &[
        Opt {
            long: "num-requests",
            short: Some('n'),
            arg: Arg::Value("N"),
            help: "requests to write (default: as many as were read)",
            doc: "Write N requests. The default is as many as the model was learnt from, unless \
                  --duration or --forever says how far to go. With 0 nothing is written, which is of use \
                  with --save-model.",
            set: |options, value| {
                options.requests = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "duration",
            short: None,
            arg: Arg::Value("TIME"),
            help: "end before the first request that arrives after TIME",
            doc: "End before the first request whose timestamp is TIME or more after the start: 250ms, \
                  90s, 1h30m or 2d of trace time. With --num-requests too, whichever comes first.",
            set: |options, value| {
                options.duration = Some(value.duration_ms()?);
                Ok(())
            },
        },
        Opt {
            long: "forever",
            short: None,
            arg: Arg::None,
            help: "go on until the output is closed",
            doc: "Go on without end, until the reader of the output closes it or a signal comes.",
            set: |options, _| {
                options.forever = true;
                Ok(())
            },
        },
        Opt {
            long: "seed",
            short: None,
            arg: Arg::Value("N"),
            help: "seed of all draws (default 0)",
            doc: "Seed of the one generator that all draws come from. Another seed gives another trace of \
                  the same model. The default is 0.",
            set: |options, value| {
                options.seed = value.count()?;
                Ok(())
            },
        },
        Opt {
            long: "model",
            short: None,
            arg: Arg::Choice(&["sessions", "tree"]),
            help: "how the trace is modelled (default sessions)",
            doc: "What is learnt. The default, sessions, keeps what finite caches depend on: when \
                  prefixes come back, and what belongs together. tree is the algorithm of NVIDIA \
                  Dynamo's datagen. See MODELS.",
            set: |options, value| {
                options.model =
                    Some(value.pick(&[("sessions", ModelKind::Sessions), ("tree", ModelKind::Tree)])?);
                Ok(())
            },
        },
        Opt {
            long: "save-model",
            short: None,
            arg: Arg::File("FILE"),
            help: "save what was learnt in FILE",
            doc: "Save the model in FILE, as JSON lines that jq reads. It holds no ids and no points in \
                  time of the trace, but lengths of its requests and the times between them. FILE \
                  appears complete or not at all.",
            set: |options, value| {
                options.save_model = Some(value.own_file()?);
                Ok(())
            },
        },
        Opt {
            long: "model-file",
            short: None,
            arg: Arg::File("FILE"),
            help: "use the model saved in FILE instead of reading a trace",
            doc: "Use the model that --save-model has saved in FILE; no trace is read. The output is the \
                  same as from the trace itself.",
            set: |options, value| {
                options.model_file = Some(value.path());
                Ok(())
            },
        },
        Opt {
            long: "block-size",
            short: Some('b'),
            arg: Arg::Value("N"),
            help: "tokens per block (default 512, or as the trace states)",
            doc: "Tokens per block of the trace, and of what is written. The default is what the records \
                  state in block_size, else 512. A record that states another size is an error.",
            set: |options, value| {
                options.block_size = Some(value.block_size()?);
                Ok(())
            },
        },
        Opt {
            long: "speedup-ratio",
            short: None,
            arg: Arg::Value("X"),
            help: "let time pass X times as fast",
            doc: "Divide all times by X, from 1e-9 to 1e9. Timestamps are written to the microsecond.",
            set: |options, value| {
                options.knobs.speedup = value.pace()?;
                Ok(())
            },
        },
        Opt {
            long: "rate",
            short: None,
            arg: Arg::Value("R"),
            help: "rescale arrivals to R requests per second on average",
            doc: "Rescale time so that R requests arrive per second on average; bursts stay bursts. A \
                  trace without timestamps gets Poisson arrivals of this rate.",
            set: |options, value| {
                options.knobs.rate = Some(value.pace()?);
                Ok(())
            },
        },
        Opt {
            long: "prefix-len-multiplier",
            short: None,
            arg: Arg::Value("X"),
            help: "make shared prefixes X times as long",
            doc: "Multiply the length of each run of core blocks by X, to the nearest whole number of \
                  blocks and at least one. A run is a chain of blocks within which no request branches \
                  off or ends.",
            set: |options, value| {
                options.knobs.prefix_len = factor(value)?;
                Ok(())
            },
        },
        Opt {
            long: "prefix-root-multiplier",
            short: None,
            arg: Arg::Value("N"),
            help: "choose one of N disjoint copies of the shared prefixes",
            doc: "Keep N copies of the core that share no block, and let each request (with sessions: \
                  each session) choose one: N tenants instead of one.",
            set: |options, value| {
                options.knobs.prefix_root =
                    u32::try_from(value.positive()?).map_err(|_| "too many copies".to_owned())?;
                Ok(())
            },
        },
        Opt {
            long: "prompt-len-multiplier",
            short: None,
            arg: Arg::Value("X"),
            help: "make all other parts of prompts X times as long",
            doc: "Multiply the length of each chain of blocks outside the core by X, to the nearest whole \
                  number of blocks and at least one; the last, partial block keeps its tokens. With \
                  sessions this is done for what each turn adds, so that turns still continue one \
                  another.",
            set: |options, value| {
                options.knobs.prompt_len = factor(value)?;
                Ok(())
            },
        },
        Opt {
            long: "target-hit-rate",
            short: None,
            arg: Arg::Value("X"),
            help: "change how much is shared to a token hit rate of X",
            doc: "Change how much is shared until the token hit rate of an infinite cache is X, a share \
                  such as 0.6 or 60%, to within 0.01; lengths, outputs and arrivals stay. For a lower rate some \
                  turns continue nothing, and some sessions bring prefixes of their own in place of the \
                  core. For a higher one some requests continue another behind the same core, about as long after it \
                  as requests of the trace do. The rate is that of the requests that are written, of the first 200,000 if they \
                  are more. A rate that cannot be reached is an error that says which can. Only for the \
                  model sessions.",
            set: |options, value| {
                options.knobs.hit_rate = Some(value.share()?);
                Ok(())
            },
        },
        Opt {
            long: "osl-multiplier",
            short: None,
            arg: Arg::Value("X"),
            help: "make outputs X times as long",
            doc: "Multiply output lengths by X; fractions of a token are cut off.",
            set: |options, value| {
                options.knobs.output_len = factor(value)?;
                Ok(())
            },
        },
        Opt {
            long: "min-isl",
            short: None,
            arg: Arg::Value("N"),
            help: "leave out requests with fewer input tokens",
            doc: "Leave out requests with fewer than N input tokens, and draw others instead: the number \
                  of requests and their arrivals stay. With tree, 10,000 drawings in a row without a \
                  wanted length are an error; with sessions, two passes over all of them.",
            set: |options, value| {
                options.knobs.input.min = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "max-isl",
            short: None,
            arg: Arg::Value("N"),
            help: "leave out requests with more input tokens",
            doc: "Leave out requests with more than N input tokens, as with --min-isl.",
            set: |options, value| {
                options.knobs.input.max = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "min-osl",
            short: None,
            arg: Arg::Value("N"),
            help: "raise smaller output lengths to N tokens",
            doc: "",
            set: |options, value| {
                options.knobs.output.min = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "max-osl",
            short: None,
            arg: Arg::Value("N"),
            help: "cut larger output lengths to N tokens",
            doc: "",
            set: |options, value| {
                options.knobs.output.max = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "annotate",
            short: None,
            arg: Arg::None,
            help: "add context_len and unique_user_prompt_len to each line",
            doc: "Add two fields to each line: context_len, the tokens of the prefix that the request takes \
                  from the core and from earlier turns, and unique_user_prompt_len, the rest.",
            set: |options, _| {
                options.annotate = true;
                Ok(())
            },
        },
        Opt {
            long: "prompts",
            short: None,
            arg: Arg::Maybe(&["text", "tokens"]),
            help: "write prompts for a load generator instead of trace lines",
            doc: "Write prompts instead of trace lines: trace-hash with the same tokenizer and block size \
                  turns them into the very trace that would have been written without this option. \
                  With text, the default, a line has a prompt made of words that are one token each. \
                  With tokens it has prompt_token_ids. Beside it stand timestamp, output_length, and \
                  max_tokens with the same number.",
            set: |options, value| {
                let form = value.text()?;
                options.prompts = Some(if form == "tokens" { PromptForm::Tokens } else { PromptForm::Text });
                Ok(())
            },
        },
        Opt {
            long: "tokenizer",
            short: None,
            arg: Arg::Choice(&["o200k_base", "bytes"]),
            help: "tokenizer for the text of --prompts (default o200k_base)",
            doc: "The tokenizer that cuts the prompts into tokens again. The default is o200k_base.",
            set: |options, value| {
                options.tokenizer = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "vocab-size",
            short: None,
            arg: Arg::Value("N"),
            help: "token ids of --prompts=tokens are below N (default 32000)",
            doc: "Use token ids below N in prompt_token_ids. The default, 32000, suits all usual models.",
            set: |options, value| {
                options.vocabulary_size = Some(
                    u32::try_from(value.positive()?)
                        .map_err(|_| "more than token ids have bits".to_owned())?,
                );
                Ok(())
            },
        },
        Opt {
            long: "report",
            short: None,
            arg: Arg::None,
            help: "say on standard error how far the output is from the trace",
            doc: "At the end print a table on standard error: figures of the trace and of the output, \
                  and the distance of the two. Of a distribution (ks) the figures are means, and the \
                  distance is the largest gap between the two distribution functions, from 0 to 1. \
                  reuse_s is the time since the deepest cached block was last used, continues the \
                  share of requests that carry an earlier one on from its end, hit_quarter the token hit rate within a \
                  quarter of the requests, dispersion the variance over the mean of counts of arrivals (from the first request on), \
                  corr a rank correlation, and lru the token hit rate of a cache of so many blocks. Give no \
                  options that change the output, and as many requests as the trace has, to see how \
                  good the model is.",
            set: |options, _| {
                options.report = true;
                Ok(())
            },
        },
        Opt {
            long: "max-memory",
            short: None,
            arg: Arg::Value("SIZE"),
            help: "memory for learning (default half of the machine's)",
            doc: "End with an error before learning takes more than SIZE bytes of memory, at least 48Mi. A part \
                  of a trace takes less: see --tail and --sample-by of trace-cat(1). The default is half \
                  of the machine's memory, or of the limit of the control group or the process (ulimit -v) if \
                  that is smaller. See MEMORY.",
            set: |options, value| {
                options.max_memory = Some(value.memory()?);
                Ok(())
            },
        },
        Opt {
            long: "pace",
            short: None,
            arg: Arg::None,
            help: "write each line at the time of its timestamp",
            doc: "Wait before each line until its timestamp has come on a clock that starts with the \
                  first line. Delays do not add up.",
            set: |options, _| {
                options.pace = true;
                Ok(())
            },
        },
    ],
    common: CommonOptions::<Options>::TABLE,
    sections: &[
        Section {
            title: "MODELS",
            body: &[
                Block::Item(
                    "sessions",
                    "A session is a tree of requests in which each continues another: the turns of a \
                     conversation, the steps of an agent. What is learnt of it are the places where its \
                     requests branch off, the lengths of what they add, their outputs, and how many \
                     requests of the trace arrive between them. Every drawing of a session has fresh \
                     blocks. Blocks on which three or more requests hang, over a tenth of the trace or \
                     more, are the core, which stays the same: system prompts, tools, documents.\n\n\
                     A pass draws every session once, each near its own place: they are moved by a random \
                     number of places within a window. The times between arrivals are moved likewise, in \
                     blocks of up to 50. The window is the widest of eight, from 3 percent of the \
                     requests down to one place, with which the hit rates of caches and the times of reuse \
                     cannot be told from those of the trace; where every window shows, the widest that is \
                     nearly as good as the best. Within a session, four or more requests that continue one block \
                     and are not continued themselves exchange their places with neighbours among them. \
                     Where more than 15 requests in a row would come in the \
                     order of the trace, the next gets other lengths. So the figures of the trace hold \
                     within a pass, slow changes over its course included; more requests than the trace \
                     has are further passes, which begin as the trace began: sessions that its end cuts are \
                     not carried on, and only the core is cached already. So lengths, arrivals and \
                     the hit rates of finite caches stay as they are however many passes there are; the hit rate of \
                     an infinite cache rises by the first uses of the core, which happen once.",
                ),
                Block::Item(
                    "tree",
                    "The core are all blocks that occur more than once. A request walks down the core by \
                     the frequencies of the trace until it ends there, with the last block of one that ended \
                     there, or leaves it for blocks of its own. Their number, the tokens of the last block, \
                     the output length, the sizes of batches that arrive together and the times between them \
                     are all drawn independently. What a trace has beside these distributions is lost: \
                     which lengths go together, and when a prefix comes back. A finite cache then sees \
                     far too few hits.",
                ),
                Block::Text(
                    "A record without hash_ids is learnt as a prompt that shares nothing; if no record has them, \
                     none is written. The same holds for output_length and timestamp, except that a record \
                     without timestamp arrives with the one before it. Timestamps that run backwards are raised \
                     to the largest before. Of ids that break the rules of a trace (see trace-cat --check) a \
                     valid reading is learnt: blocks from the break on count as new.",
                ),
            ],
        },
        Section {
            title: "MODEL FILES",
            body: &[
                Block::Text(
                    "The first line has kvtrace_model, version and what holds for the whole; each further line \
                     one part. Numbers of core runs count their lines from 0. A model from elsewhere is checked.",
                ),
                Block::Item("core", "A run of blocks under a parent run, and the tokens of its last block."),
                Block::Item(
                    "session",
                    "Requests since the start of the session before (wait), the core run that it continues, \
                     and its requests: requests since the one before, the request that it continues, the blocks \
                     that it shares with it below the core, the blocks it adds, tokens of the last, output.",
                ),
                Block::Item("gaps", "Milliseconds between consecutive requests."),
                Block::Item(
                    "stop, own, tails, outputs, batches, waits",
                    "Of tree: how many requests end and leave at a core run; and values with how often they occurred.",
                ),
            ],
        },
        Section {
            title: "MEMORY",
            body: &[Block::Text(
                "Some 10 MiB in any case. Learning takes 8 bytes for each distinct block and 32 for each request, and 18 to 23 more \
                 for each block where ids are not dense; then the model takes up to 140 bytes for each \
                 request while it is made, when the former are free again, and 60 bytes in use. \
                 Generating takes 8 bytes for each request of the sessions that are open at one time, and 8 \
                 for each run of the core and copy, however long the output is. Prompts take about 50 bytes \
                 for each block of one or two tokens beside that, and --report 110 bytes for each request and \
                 30 for each distinct block of the trace and of the output.",
            )],
        },
        Section {
            title: "EXAMPLES",
            body: &[
                Block::Example {
                    what: "A trace ten times as long, and its statistics",
                    command: "trace-hash prompts.jsonl | trace-synth -n 530 | trace-stats",
                },
                Block::Example {
                    what: "Learn once, then draw twice the load with prefixes half as long again",
                    command: "trace-hash prompts.jsonl | trace-synth -n 0 --save-model prompts.model\n\
                              trace-synth --model-file prompts.model --speedup-ratio 2 --prefix-len-multiplier 1.5",
                },
                Block::Example {
                    what: "Learn the latest part of a trace, in little memory",
                    command: "trace-hash prompts.jsonl | trace-cat --tail 30 | trace-synth --max-memory 64Mi",
                },
                Block::Example {
                    what: "Prompts for a load generator, which hash to the same trace again",
                    command: "trace-hash prompts.jsonl | trace-synth --prompts | trace-hash | trace-cat --check",
                },
                Block::Example {
                    what: "One hour at five requests per second, of two traces mixed",
                    command: "trace-hash prompts.jsonl > a.jsonl\n\
                              trace-cat a.jsonl a.jsonl | trace-synth --rate 5 --duration 1h | trace-stats",
                },
                Block::Example {
                    what: "Do seeds differ, and how much?",
                    command: "trace-hash prompts.jsonl > a.jsonl\n\
                              for s in 1 2 3; do trace-synth --seed $s a.jsonl | trace-stats --format csv; done",
                },
                Block::Example {
                    what: "How many requests has a typical session?",
                    command: "trace-hash prompts.jsonl | trace-synth -n 0 --save-model prompts.model\n\
                              jq -s 'map(.session // empty | .requests | length) | add / length' prompts.model",
                },
            ],
        },
        Section {
            title: "SEE ALSO",
            body: &[Block::Text("trace-cat(1), trace-hash(1), trace-stats(1), jq(1)")],
        },
    ],
};

impl Options {
    /// Checks what options mean together.
    ///
    /// # Errors
    /// What contradicts what.
    pub fn check(&self) -> Result<(), String> {
        let conflict = |a: bool, b: bool, what: &str| if a && b { Err(what.to_owned()) } else { Ok(()) };
        let Knobs { rate, speedup, input, output, .. } = &self.knobs;
        conflict(rate.is_some(), *speedup != 1.0, "--rate and --speedup-ratio both set the pace: give one")?;
        conflict(
            self.model_file.is_some(),
            !self.common.files.is_empty(),
            "--model-file needs no trace: give either it or FILEs",
        )?;
        conflict(
            self.forever,
            self.requests.is_some(),
            "--forever and --num-requests contradict each other",
        )?;
        conflict(self.forever, self.duration.is_some(), "--forever and --duration contradict each other")?;
        conflict(true, !input.is_possible(), "--min-isl is above --max-isl")?;
        conflict(true, !output.is_possible(), "--min-osl is above --max-osl")?;
        conflict(
            self.report,
            self.model_file.is_some(),
            "--report compares with the trace, which --model-file does without",
        )?;
        conflict(
            self.knobs.hit_rate.is_some(),
            self.model == Some(ModelKind::Tree),
            "--target-hit-rate needs --model sessions",
        )?;
        conflict(
            self.max_memory.is_some(),
            self.model_file.is_some(),
            "--max-memory is for learning, which --model-file does without",
        )?;
        conflict(self.report, self.forever, "--report comes at the end, and --forever has none")?;
        let text = self.prompts == Some(PromptForm::Text);
        let tokens = self.prompts == Some(PromptForm::Tokens);
        conflict(self.tokenizer.is_some(), !text, "--tokenizer is for --prompts=text")?;
        conflict(self.vocabulary_size.is_some(), !tokens, "--vocab-size is for --prompts=tokens")
    }

    /// What prompts are made of, if they are asked for.
    ///
    /// # Errors
    /// When there is no such tokenizer.
    pub fn vocabulary(&self) -> Result<Option<Vocabulary>, String> {
        Ok(match self.prompts {
            None => None,
            Some(PromptForm::Tokens) => {
                Some(Vocabulary::Ids(self.vocabulary_size.unwrap_or(DEFAULT_VOCABULARY_SIZE)))
            }
            Some(PromptForm::Text) => {
                Some(Vocabulary::Words(Words::of(self.tokenizer.as_deref().unwrap_or(tokens::DEFAULT))?))
            }
        })
    }
}
