//! Options and manual of `trace-hash`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec, Value};
use crate::blocks::{Encoding, MAX_PICKLED, Partial, Scheme, StateHeader, VLLM_SEED};
use crate::error::{Error, Result};
use crate::hash::{DEFAULT_OUTPUT_LENGTH, HashOptions, IdForm, WriteOptions};
use crate::record::prompt::{PromptOptions, Turns};
use crate::record::time::{TimeForm, Unit};
use crate::record::{DEFAULT_BLOCK_SIZE, MAX_LENGTH};
use crate::tokens::Tokenizer;
use crate::tokens::template::Template;

/// Values of the options.
#[derive(Default)]
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// Where the prompts are in a line.
    pub prompts: PromptOptions,
    /// Name or file of the tokenizer.
    pub tokenizer: Option<Value>,
    /// Whether to put the tokenizer's special tokens around texts.
    pub special_tokens: bool,
    /// The chat template's file.
    pub template: Option<PathBuf>,
    /// Tokens per block.
    pub block_size: Option<usize>,
    /// What happens to the tokens after the last full block.
    pub partial: Option<Partial>,
    /// Which ids the blocks get.
    pub ids: IdKind,
    /// Bits of an id that is a hash.
    pub hash_bits: Option<u32>,
    /// Whether ids that are hashes are written as texts.
    pub hex: bool,
    /// What keys the hashes.
    pub salt: Option<String>,
    /// What the engine's chains begin with.
    pub hash_seed: Option<String>,
    /// The file of the numbers given by earlier runs.
    pub state: Option<PathBuf>,
    /// Output length where the record has none.
    pub output_length: Option<u64>,
    /// Which requests a chat stands for, if that is said.
    pub turns: Option<Turns>,
    /// How times are given, if that is said.
    pub times: Option<TimeForm>,
    /// How times are written, and the rest of a line.
    pub write: WriteOptions,
    /// Whether each line says the block size.
    pub emit_block_size: bool,
    /// Bytes of text and tokens to remember.
    pub reuse: Option<usize>,
    /// Worker threads.
    pub jobs: Option<usize>,
}

/// Which ids the blocks get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdKind {
    /// Numbers in the order of first appearance.
    #[default]
    Dense,
    /// The chained hash.
    Hash,
    /// vLLM's own.
    Vllm(Encoding),
    /// Dynamo's own.
    Dynamo,
}

/// Bytes of text and tokens that are remembered, unless the user says otherwise.
const REUSE: usize = 64 << 20;

impl Options {
    /// What the input makes one doubt: the options left to their defaults may not be what is meant.
    pub fn doubts(&self, unanswered: u64, likely_unit: Option<Unit>) -> Vec<String> {
        let mut doubts = Vec::new();
        if unanswered > 0 && self.turns.is_none() {
            let plural = if unanswered == 1 { "" } else { "s" };
            doubts.push(format!(
                "each answer of a chat is a request, so the last question of {unanswered} chat{plural} is \
                 left out; for a log of requests use --turns last"
            ));
        }
        let unit = likely_unit.filter(|_| self.times.is_none()).and_then(|unit| match unit {
            Unit::Seconds => Some(("seconds", "s")),
            Unit::Milliseconds => None,
            Unit::Microseconds => Some(("microseconds", "us")),
            Unit::Nanoseconds => Some(("nanoseconds", "ns")),
        });
        if let Some((words, name)) = unit {
            doubts.push(format!(
                "times look like {words} since 1970, but count as milliseconds: use --timestamp-unit {name}"
            ));
        }
        doubts
    }

    /// Refuses options that contradict each other, or have no effect together.
    ///
    /// # Errors
    /// Which ones do.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |message: &str| Err(message.to_owned());
        let hashes = self.ids != IdKind::Dense;
        let vllm = matches!(self.ids, IdKind::Vllm(_));
        if !hashes && (self.hash_bits.is_some() || self.hex) {
            return wrong("--hash-bits and --ids-as need --ids hash, vllm, vllm-cbor or dynamo");
        }
        if hashes && self.state.is_some() {
            return wrong("--state keeps numbers; it does not go with --ids other than dense");
        }
        if self.hash_seed.is_some() && !vllm {
            return wrong("--hash-seed needs --ids vllm or vllm-cbor");
        }
        if vllm && self.partial == Some(Partial::Keep) {
            return wrong("--ids vllm has no hash for a partial block (--partial keep)");
        }
        if self.ids == IdKind::Vllm(Encoding::Pickle) && self.block_size() > MAX_PICKLED {
            return Err(format!("--ids vllm takes blocks of at most {MAX_PICKLED} tokens"));
        }
        if (vllm || self.ids == IdKind::Dynamo) && self.block_size.is_none() {
            return wrong("--ids of an engine need --block-size, that of the engine (vLLM's default is 16)");
        }
        if self.write.rate.is_some() && (self.write.rebase || self.prompts.timestamp_field.is_some()) {
            return wrong("--rate draws all times; it does not go with --rebase or --timestamp-field");
        }
        if self.prompts.text && self.prompts.timestamp_field.is_some() {
            return wrong("--text lines have no field for --timestamp-field or --timestamp-unit");
        }
        let fields = self.prompts.field.is_some() || self.prompts.output_field.is_some();
        if self.prompts.text && (fields || !self.prompts.keep.is_empty()) {
            return wrong("--text lines have no fields for --field, --output-field or --keep");
        }
        if self.prompts.output_field.is_some() && self.output_length.is_some() {
            return wrong("--output-length is for records that do not say it, and --output-field asks all");
        }
        if self.prompts.text && (self.template.is_some() || self.turns == Some(Turns::Last)) {
            return wrong(
                "--text lines are no chats: --text goes neither with --chat-template nor with --turns",
            );
        }
        let named =
            self.tokenizer.as_ref().is_none_or(|t| t.text().is_ok_and(|t| Tokenizer::named(t).is_some()));
        if self.special_tokens && named {
            return wrong("--add-special-tokens needs a tokenizer file, which names them (--tokenizer FILE)");
        }
        if self.write.seed.is_some() && self.write.rate.is_none() {
            return wrong("--seed is for the draw of --rate");
        }
        if self.salt.is_some() && !hashes && self.state.is_none() {
            return wrong(
                "--salt keys hashes, and dense ids have none: give --ids hash, or --state, whose file has them",
            );
        }
        Ok(())
    }

    /// How blocks are hashed.
    pub fn scheme(&self) -> Scheme {
        let salt = self.salt.clone();
        match self.ids {
            IdKind::Dense | IdKind::Hash => Scheme::Kvtrace { salt },
            IdKind::Vllm(encoding) => {
                let seed = self.hash_seed.clone().unwrap_or_else(|| VLLM_SEED.to_owned());
                Scheme::Vllm { encoding, seed, salt }
            }
            IdKind::Dynamo => Scheme::Dynamo { salt },
        }
    }

    /// Tokens per block.
    pub fn block_size(&self) -> usize {
        self.block_size.unwrap_or(DEFAULT_BLOCK_SIZE as usize)
    }

    /// How prompts become blocks. Reads the files of tokenizer and template.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn hash_options(&self) -> Result<HashOptions> {
        let scheme = self.scheme();
        let engine = matches!(self.ids, IdKind::Vllm(_) | IdKind::Dynamo);
        let partial = self.partial.unwrap_or(if engine { Partial::Drop } else { Partial::Keep });
        let (tokenizer, folder) = self.tokenizer()?;
        let template = match (&self.template, folder) {
            (Some(path), _) => Some(Template::load(path)?),
            (None, Some(folder)) => Template::in_folder(&folder)?,
            (None, None) => None,
        };
        let mut prompts = self.prompts.clone();
        prompts.turns = self.turns.unwrap_or_default();
        prompts.raw_chats = template.is_some();
        Ok(HashOptions {
            prompts,
            tokenizer: Arc::new(tokenizer),
            special_tokens: self.special_tokens,
            template: template.map(Arc::new),
            block_size: self.block_size(),
            partial,
            scheme,
            output_length: self.output_length.unwrap_or(DEFAULT_OUTPUT_LENGTH),
            reuse: self.reuse.unwrap_or(REUSE),
        })
    }

    /// The tokenizer, and the folder that it was found in if one was named.
    fn tokenizer(&self) -> Result<(Tokenizer, Option<PathBuf>)> {
        let Some(value) = &self.tokenizer else { return Ok((Tokenizer::default(), None)) };
        if let Some(tokenizer) = value.text().ok().and_then(Tokenizer::named) {
            return Ok((tokenizer, None));
        }
        let path = value.path();
        let is_name = path.components().count() == 1 && path.extension().is_none();
        if is_name && !path.exists() {
            return Err(Error::Usage(format!(
                "--tokenizer: '{}' is neither o200k_base or bytes nor a file or folder here",
                path.display()
            )));
        }
        let tokenizer = Tokenizer::load(&path, self.special_tokens)?;
        Ok((tokenizer, path.is_dir().then_some(path)))
    }

    /// What the numbers in a state file belong to.
    pub fn state_header(&self, options: &HashOptions) -> StateHeader {
        StateHeader {
            block_size: options.block_size,
            tokenizer: options.tokenizer.identity().to_owned(),
            template: options.template.as_ref().map_or_else(String::new, |t| t.identity().to_owned()),
            salt: options.scheme.salt_mark(),
        }
    }

    /// How hashes are written as ids.
    pub fn id_form(&self) -> IdForm {
        if self.hex {
            return IdForm::Hex;
        }
        IdForm::Number(self.hash_bits.unwrap_or(if self.ids == IdKind::Hash { 53 } else { 64 }))
    }

    /// How trace lines are written.
    pub fn write_options(&self) -> WriteOptions {
        let block_size = self.emit_block_size.then(|| self.block_size());
        let default = || super::default_max_memory().and_then(|bytes| usize::try_from(bytes).ok());
        WriteOptions {
            times: self.times.unwrap_or_default(),
            block_size,
            max_memory: self.write.max_memory.or_else(default),
            ..self.write.clone()
        }
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or_else(cores)
    }
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-hash",
    about: "turn prompts into a request trace with prefix-block ids",
    description: &[Block::Text(
        "Reads prompts, one JSON object per line, cuts them into tokens and the tokens into blocks, and \
         writes one trace line per request: timestamp, input_length, output_length, and hash_ids with \
         one id per block. Two blocks get the same id exactly when all tokens up to the end of the \
         block are equal; ids are numbered 0, 1, 2, ... in the order of first appearance. The prompts \
         themselves are not written.",
    )],
    options: &[
        Opt {
            long: "block-size",
            short: Some('b'),
            arg: Arg::Value("N"),
            help: "tokens per block (default 512)",
            doc: "Cut prompts into blocks of N tokens. The default is 512, as in the Mooncake traces; \
                  serving engines use 16 to 128. Give later filters the same number.",
            set: |options, value| {
                // At most 2^24.
                options.block_size = Some(value.block_size()? as usize);
                Ok(())
            },
        },
        Opt {
            long: "partial",
            short: None,
            arg: Arg::Choice(&["keep", "drop"]),
            help: "what to do with the last, incomplete block (default keep)",
            doc: "Whether the tokens after the last full block are a block of their own. With drop they \
                  are left out, also from input_length, since serving engines reuse full blocks only. \
                  The default is keep, and drop with --ids vllm and dynamo.",
            set: |options, value| {
                options.partial = Some(value.pick(&[("keep", Partial::Keep), ("drop", Partial::Drop)])?);
                Ok(())
            },
        },
        Opt {
            long: "tokenizer",
            short: None,
            arg: Arg::File("NAME|FILE"),
            help: "how text is cut into tokens (default o200k_base)",
            doc: "o200k_base is the byte-pair vocabulary of OpenAI's models since GPT-4o, embedded in the \
                  program; special tokens in the text are read as ordinary text. bytes takes every byte \
                  of the UTF-8 text as a token.\n\n\
                  FILE is a tokenizer.json of Hugging Face, or a model's folder with one; from a folder \
                  the chat template is taken too. The ids are those of the tokenizers library, see \
                  TOKENIZERS.",
            set: |options, value| {
                options.tokenizer = Some(value.clone());
                Ok(())
            },
        },
        Opt {
            long: "add-special-tokens",
            short: None,
            arg: Arg::None,
            help: "put the tokenizer's special tokens around texts",
            doc: "Put the special tokens around a text that the tokenizer file asks for, such as one that \
                  begins every text. Completion endpoints do so. Chats have theirs from the template.",
            set: |options, _| {
                options.special_tokens = true;
                Ok(())
            },
        },
        Opt {
            long: "chat-template",
            short: None,
            arg: Arg::File("FILE"),
            help: "Jinja template that makes texts of chats",
            doc: "Render chats by this template: a Jinja file such as chat_template.jinja, a \
                  tokenizer_config.json, or a folder with either. \
                  A template is a program: one that takes more than 2^28 steps for a prompt is ended with an \
                  error, but what it may take of memory is not limited, so take templates from people you \
                  trust. See CHATS.",
            set: |options, value| {
                options.template = Some(value.path());
                Ok(())
            },
        },
        Opt {
            long: "field",
            short: None,
            arg: Arg::Value("NAME"),
            help: "the field that holds the prompt, as a dotted path",
            doc: "Take the prompt from this field, such as prompt or request.body.messages: a string, a \
                  list of strings (several requests), token ids, or a list of messages. By default the \
                  field is found by its name, see INPUT.",
            set: |options, value| {
                options.prompts.field = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "text",
            short: None,
            arg: Arg::None,
            help: "each line is a prompt as it stands, not JSON",
            doc: "Take each line as a prompt, as it stands but for a carriage return at its end. Blank lines are \
                  no prompts.",
            set: |options, _| {
                options.prompts.text = true;
                Ok(())
            },
        },
        Opt {
            long: "turns",
            short: None,
            arg: Arg::Choice(&["each", "last"]),
            help: "requests of a chat: one per answer, or one in all (default each)",
            doc: "With each, a chat is one request per assistant turn: the prompt is everything before \
                  the turn, and the output length is the number of tokens of the turn. With last, it is \
                  one request: everything before the last turn if that is the assistant's, else \
                  everything. A chat without an assistant turn is one request in both cases.",
            set: |options, value| {
                options.turns = Some(value.pick(&[("each", Turns::Each), ("last", Turns::Last)])?);
                Ok(())
            },
        },
        Opt {
            long: "ids",
            short: None,
            arg: Arg::Choice(&["dense", "hash", "vllm", "vllm-cbor", "dynamo"]),
            help: "which ids blocks get (default dense)",
            doc: "dense numbers blocks 0, 1, 2, ... in the order of first appearance. hash writes the \
                  block's chained hash: no memory is needed, and parts of a log that are hashed on \
                  different machines agree. vllm, vllm-cbor and dynamo are the hashes of those engines, \
                  for full blocks. See IDS.",
            set: |options, value| {
                options.ids = value.pick(&[
                    ("dense", IdKind::Dense),
                    ("hash", IdKind::Hash),
                    ("vllm", IdKind::Vllm(Encoding::Pickle)),
                    ("vllm-cbor", IdKind::Vllm(Encoding::Cbor)),
                    ("dynamo", IdKind::Dynamo),
                ])?;
                Ok(())
            },
        },
        Opt {
            long: "hash-bits",
            short: None,
            arg: Arg::Choice(&["53", "64"]),
            help: "bits of an id that is a hash (default 53)",
            doc: "Keep so many bits of a hash. jq, JavaScript and whatever else has doubles for numbers \
                  keep 53 exactly, the default of --ids hash; 64 are the default of the engines' hashes.",
            set: |options, value| {
                options.hash_bits = Some(value.pick(&[("53", 53), ("64", 64)])?);
                Ok(())
            },
        },
        Opt {
            long: "ids-as",
            short: None,
            arg: Arg::Choice(&["number", "string"]),
            help: "how ids that are hashes are written (default number)",
            doc: "With string, hashes are written as hexadecimal digits in quotes: 16 of them, or the \
                  whole digest of 64 with --ids vllm. trace-stats wants numbers.",
            set: |options, value| {
                options.hex = value.pick(&[("number", false), ("string", true)])?;
                Ok(())
            },
        },
        Opt {
            long: "salt",
            short: None,
            arg: Arg::Value("TEXT"),
            help: "key the hashes with a secret text",
            doc: "Key the chained hash with TEXT. Whoever does not know it cannot find out whether a \
                  guessed prompt is in a published trace, with --ids hash; equal blocks still have equal \
                  ids. With --ids vllm and dynamo it is the salt of the requests. Dense ids tell nothing of the \
                  prompts; with them it keys the hashes in the file of --state.",
            set: |options, value| {
                if value.text()?.is_empty() {
                    return Err("an empty text is no salt".to_owned());
                }
                options.salt = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "hash-seed",
            short: None,
            arg: Arg::Value("TEXT"),
            help: "the engine's PYTHONHASHSEED, with --ids vllm",
            doc: "What vLLM's chains begin with: the value of PYTHONHASHSEED in the engine's environment. \
                  By default that of an engine without it, vllm-none-hash.",
            set: |options, value| {
                options.hash_seed = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "state",
            short: None,
            arg: Arg::File("FILE"),
            help: "go on with the numbers in FILE, and save them there",
            doc: "Load the numbers that earlier runs gave to blocks, and save them with the new ones at \
                  the end, so that daily runs number alike. FILE is made if it does not exist, and \
                  replaced as a whole; it holds 12 bytes per block, and no text. It is also saved when a \
                  bad record or a signal ends the run, since the lines written so far use its numbers. A \
                  file that was made with another block size, tokenizer, template or salt is refused; \
                  FILE.lock keeps two runs from using it at once, and is removed at the end.",
            set: |options, value| {
                options.state = Some(value.own_file()?);
                Ok(())
            },
        },
        Opt {
            long: "timestamp-field",
            short: None,
            arg: Arg::Value("NAME"),
            help: "the field that holds the arrival time, as a dotted path",
            doc: "Take the arrival time from this field instead of timestamp: a number, or a string. A \
                  record without it is bad.",
            set: |options, value| {
                options.prompts.timestamp_field = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "timestamp-unit",
            short: None,
            arg: Arg::Choice(&["s", "ms", "us", "ns", "rfc3339"]),
            help: "the unit of arrival times (default ms)",
            doc: "Convert arrival times of this unit to milliseconds, exactly to the nanosecond. rfc3339 \
                  is a text such as 2026-11-24T12:00:00.5Z.",
            set: |options, value| {
                options.times = Some(value.pick(&[
                    ("s", TimeForm::Number(Unit::Seconds)),
                    ("ms", TimeForm::Number(Unit::Milliseconds)),
                    ("us", TimeForm::Number(Unit::Microseconds)),
                    ("ns", TimeForm::Number(Unit::Nanoseconds)),
                    ("rfc3339", TimeForm::Date),
                ])?);
                if options.prompts.timestamp_field.is_none() {
                    options.prompts.timestamp_field = Some("timestamp".to_owned());
                }
                Ok(())
            },
        },
        Opt {
            long: "rebase",
            short: None,
            arg: Arg::None,
            help: "count times from the first request",
            doc: "Subtract the first request's arrival time from all.",
            set: |options, _| {
                options.write.rebase = true;
                Ok(())
            },
        },
        Opt {
            long: "rate",
            short: None,
            arg: Arg::Value("R"),
            help: "draw arrival times at R requests per second",
            doc: "Ignore the records' times and draw arrivals of a Poisson process of R requests per \
                  second, beginning at 0, to the microsecond.",
            set: |options, value| {
                options.write.rate = Some(value.pace()?);
                Ok(())
            },
        },
        Opt {
            long: "seed",
            short: None,
            arg: Arg::Value("N"),
            help: "seed of the draw of --rate (default 0)",
            doc: "Draw with this seed: equal seeds give equal times. The default is 0.",
            set: |options, value| {
                options.write.seed = Some(value.count()?);
                Ok(())
            },
        },
        Opt {
            long: "output-field",
            short: None,
            arg: Arg::Value("NAME"),
            help: "the field that holds the output or its length, as a dotted path",
            doc: "Take the output length from this field instead of those below INPUT: a number of \
                  tokens, or the text of the output. A record without it is bad.",
            set: |options, value| {
                options.prompts.output_field = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "output-length",
            short: None,
            arg: Arg::Value("N"),
            help: "output length where the record has none (default 500)",
            doc: "The output length of a request whose record says nothing about it. The default is 500.",
            set: |options, value| {
                let length = value.count()?;
                if length > MAX_LENGTH {
                    return Err(format!("{length} is not a plausible number of tokens"));
                }
                options.output_length = Some(length);
                Ok(())
            },
        },
        Opt {
            long: "keep",
            short: None,
            arg: Arg::List("FIELDS", &[]),
            help: "fields to copy into the trace, separated by commas",
            doc: "Copy these fields of the record unchanged into each of its trace lines. All other \
                  fields are dropped, because prompts are private.",
            set: |options, value| {
                for name in value.list(|item| item.text().map(str::to_owned))? {
                    if matches!(&*name, "timestamp" | "input_length" | "output_length" | "hash_ids") {
                        return Err(format!("{name} is written in any case"));
                    }
                    options.prompts.keep.push(name);
                }
                Ok(())
            },
        },
        Opt {
            long: "emit-block-size",
            short: None,
            arg: Arg::None,
            help: "write the block size into each line",
            doc: "Add a field block_size to each line; some tools need it, and later filters then need \
                  not be told.",
            set: |options, _| {
                options.emit_block_size = true;
                Ok(())
            },
        },
        Opt {
            long: "jobs",
            short: Some('j'),
            arg: Arg::Value("N"),
            help: "worker threads (default: one per core)",
            doc: "Work with N threads, and one each to read and to write. The output does not depend on \
                  it.",
            set: |options, value| {
                options.jobs = Some(value.threads()?);
                Ok(())
            },
        },
        Opt {
            long: "reuse",
            short: None,
            arg: Arg::Value("SIZE"),
            help: "memory for text seen before (default 64Mi)",
            doc: "Remember up to SIZE bytes of text, its tokens and their blocks, over all threads, so that \
                  text which comes again is not tokenised and hashed again; 0 switches that off. The output \
                  does not depend on it.",
            set: |options, value| {
                options.reuse = Some(usize::try_from(value.size()?).unwrap_or(usize::MAX));
                Ok(())
            },
        },
        Opt {
            long: "max-memory",
            short: None,
            arg: Arg::Value("SIZE"),
            help: "most memory for the numbers of dense ids",
            doc: "End the run with an error before the numbers of dense ids take more than SIZE bytes. \
                  The default is half of the memory of the machine, of the control group or of the process \
                  (ulimit -v), whichever is least. See MEMORY.",
            set: |options, value| {
                let size = value.positive_size()?;
                options.write.max_memory = Some(usize::try_from(size).unwrap_or(usize::MAX));
                Ok(())
            },
        },
    ],
    common: CommonOptions::<Options>::TABLE,
    sections: &[
        Section {
            title: "INPUT",
            body: &[
                Block::Text("The prompt is in the first of these fields that the record has:"),
                Block::Item("prompt_token_ids, token_ids, input_ids", "Token ids, taken as they are."),
                Block::Item(
                    "prompt",
                    "A string; token ids; or a list of strings or of lists of ids, which is several \
                     requests.",
                ),
                Block::Item("text_input, text, input", "A string, or as prompt."),
                Block::Item(
                    "messages",
                    "A chat: role and content. Content is a string or a list of text parts; other \
                     parts, such as images, are refused. A system string beside it is the first turn.",
                ),
                Block::Item("body", "An OpenAI batch line: one of the above is looked for inside it."),
                Block::Item(
                    "conversations",
                    "A ShareGPT chat: from and value. human and user are the user; gpt, chatgpt, bing \
                     and bard the assistant.",
                ),
                Block::Text(
                    "timestamp is copied (milliseconds), 0 if absent. The output length of a chat's request \
                     is that of the turn which answers it; else it is output_length or output_tokens; the \
                     number of tokens of completion, response or output; max_tokens or \
                     max_completion_tokens; or --output-length.\n\n\
                     An empty prompt has the input length 0 and no ids.",
                ),
            ],
        },
        Section {
            title: "TOKENIZERS",
            body: &[Block::Text(
                "The ids of o200k_base are those of encode_ordinary in Python's tiktoken 0.14, for any \
                 text. The vocabulary is part of the program.\n\n\
                 A tokenizer file: byte-level BPE with the split pattern of GPT-2, cl100k_base, \
                 o200k_base, Llama 3, Qwen 2 and 3, DeepSeek V3, Mistral or Kimi, plain or in normal \
                 form C, or BPE of characters as Gemma has it, is read and run by the program itself; any \
                 other tokenizer.json by the crate tokenizers, 1.0.0-rc.3. Ids are those of Python's tokenizers 0.23.3 \
                 (Tokenizer.from_file, add_special_tokens=False), except beside characters that Unicode \
                 assigned in version 17, which the newer tables know. Added tokens are found in the \
                 text, as the library does. Truncation and padding in the file are ignored.\n\n\
                 Prompts that are lists of token ids are taken as they are; ids beyond the vocabulary \
                 too, because the trace does not hold them.",
            )],
        },
        Section {
            title: "CHATS",
            body: &[Block::Text(
                "Without a template a chat is rendered as ChatML: for each turn <|im_start|>ROLE, a line \
                 end, the text, <|im_end|>, a line end; and at the end of a prompt \
                 <|im_start|>assistant and a line end. To the embedded tokenizers the markers are \
                 ordinary text.\n\n\
                 A template is rendered as apply_chat_template of Python's transformers does it, with \
                 add_generation_prompt. It sees the messages as they stand, tools, \
                 chat_template_kwargs (an object whose fields become variables), and the special tokens \
                 of the tokenizer_config.json in its folder. A list of text parts as content is joined \
                 into one text; a part of another kind, such as an image, makes the record bad. There is \
                 no clock: strftime_now tells July 26, 2024. An error in the template ends the run with \
                 the template's line; what the template itself refuses, such as an unknown role, is a \
                 bad record.",
            )],
        },
        Section {
            title: "IDS",
            body: &[
                Block::Text(
                    "Blocks are told apart by chained hashes: the hash of a block covers its tokens and \
                     the hash of the block before it, so it stands for everything up to the block's end.",
                ),
                Block::Item(
                    "dense",
                    "Numbers by 96 bits of the hash below. Among a million blocks the odds that two \
                     different ones pass for equal are 6 in 10^18, among 10^9 blocks 6 in 10^12.",
                ),
                Block::Item(
                    "hash",
                    "Keyed BLAKE3 of the block's tokens as 32-bit little-endian numbers; the key is the \
                     hash of the block before it, and for the first block what BLAKE3's key derivation \
                     gives for the salt (an empty text without --salt) under the context \"kvtrace \
                     2026-11-25 prefix block chain\". The id is the first 8 bytes as a little-endian \
                     number, of which the lowest 53 or 64 bits are kept. Odds that any two of n \
                     different blocks have the same id: with 53 bits 6 in 10^5 for n = 10^6, 43 % for \
                     10^8, and about 5,500 such pairs for 10^10; with 64 bits 3 in 10^8, 3 in 10^4, and \
                     93 % (2.7 pairs).",
                ),
                Block::Item(
                    "vllm",
                    "vLLM V1 with its default --prefix-caching-hash-algo sha256: SHA-256 of the pickle \
                     (protocol 5) of (hash before, tokens, extra), where extra is None, or for the first \
                     block of a salted request a tuple of the salt. The first block's hash before is \
                     SHA-256 of the pickled --hash-seed. The id is the last 8 bytes of the digest as a \
                     big-endian number, as in vLLM's KV events. LoRA and image keys are not covered. \
                     Give the engine's block size, 16 by default.",
                ),
                Block::Item("vllm-cbor", "The same for sha256_cbor: canonical CBOR in place of pickle."),
                Block::Item(
                    "dynamo",
                    "Dynamo's sequence hashes: a block's own hash is XXH3 (64 bits, seed 1337) of its \
                     tokens as 32-bit little-endian numbers; the first block's id is that, each \
                     later one's XXH3 with the same seed of the id before it and its own hash. --salt adds \
                     XXH3 (seed 1) of the salt to the seed for tokens. With \
                     --partial keep the tokens left over are hashed as a block, as its data generator \
                     does.",
                ),
            ],
        },
        Section {
            title: "MEMORY",
            body: &[Block::Text(
                "About 6 MiB for the embedded vocabulary once it is used, or some 20 MiB for a tokenizer \
                 file of 128,000 tokens that the program reads itself (twice as much while it does), and much more for one that it \
                 does not; up to 10 MiB per thread and what --reuse allows; and a few batches of lines, \
                 of 256 KiB or one line each, and with it about six times the size of a long prompt, or 25 times \
                 where it is one word without a break. Dense ids take about 20 bytes for each distinct \
                 block, all others nothing. At most 4,294,967,295 distinct blocks can be \
                 numbered. At --max-memory, or that number, the run ends with an error.",
            )],
        },
        Section {
            title: "EXAMPLES",
            body: &[
                Block::Example {
                    what: "How much of these prompts is reusable?",
                    command: "trace-hash prompts.jsonl | trace-stats",
                },
                Block::Example {
                    what: "Lines of plain text, in blocks as a serving engine cuts them",
                    command: "printf 'one prompt\\nanother prompt\\n' | trace-hash --text -b 2 --partial drop",
                },
                Block::Example {
                    what: "Tokens and chats as a model has them, from its folder",
                    command: "trace-hash --tokenizer examples/model prompts.jsonl > trace.jsonl",
                },
                Block::Example {
                    what: "Chats in a template of one's own",
                    command: "echo '{% for m in messages %}{{ m.role }}: {{ m.content }}{{ \"\\n\" }}{% endfor %}' > chat.jinja && trace-hash --chat-template chat.jinja prompts.jsonl",
                },
                Block::Example {
                    what: "Two halves of a log, hashed apart, and analysed as one",
                    command: "trace-hash --ids hash prompts.jsonl > a.jsonl && trace-hash --ids hash prompts.jsonl > b.jsonl && cat a.jsonl b.jsonl | trace-stats",
                },
                Block::Example {
                    what: "A trace to publish: ids that nobody can match against guessed prompts",
                    command: "trace-hash --ids hash --salt \"$(head -c 32 /dev/urandom | base64)\" prompts.jsonl",
                },
                Block::Example {
                    what: "The block hashes of vLLM and of Dynamo",
                    command: "trace-hash --ids vllm -b 16 --ids-as string prompts.jsonl && trace-hash --ids dynamo -b 64 --emit-block-size prompts.jsonl",
                },
                Block::Example {
                    what: "Every night, the day's prompts with the numbers of all days before",
                    command: "trace-hash --state ids.bin < prompts.jsonl >> all.jsonl",
                },
                Block::Example {
                    what: "Times in seconds, counted from the first; or drawn at ten requests per second",
                    command: "trace-hash --timestamp-unit ms --rebase prompts.jsonl && trace-hash --rate 10 --seed 7 prompts.jsonl",
                },
                Block::Example {
                    what: "On four threads, with at most a gigabyte for numbers and none for text seen before",
                    command: "trace-hash -j 4 --max-memory 1Gi --reuse 0 prompts.jsonl",
                },
                Block::Example {
                    what: "Keep the session and look at the requests with jq",
                    command: "trace-hash --keep session_id prompts.jsonl | jq -c '[.session_id, .input_length]'",
                },
            ],
        },
        Section { title: "SEE ALSO", body: &[Block::Text("trace-stats(1), trace-cat(1), jq(1)")] },
    ],
};
