//! Options and manual of `trace-hash`.

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec};
use crate::blocks::Partial;
use crate::hash::{DEFAULT_OUTPUT_LENGTH, HashOptions};
use crate::record::prompt::{PromptOptions, Turns};
use crate::record::{DEFAULT_BLOCK_SIZE, MAX_LENGTH};
use crate::tokens::Tokenizer;

/// Values of the options.
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// How prompts become trace lines.
    pub hash: HashOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            common: Common::default(),
            hash: HashOptions {
                prompts: PromptOptions::default(),
                tokenizer: Tokenizer::O200kBase,
                block_size: DEFAULT_BLOCK_SIZE as usize,
                partial: Partial::Keep,
                output_length: DEFAULT_OUTPUT_LENGTH,
            },
        }
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
                options.hash.block_size = value.block_size()? as usize;
                Ok(())
            },
        },
        Opt {
            long: "partial",
            short: None,
            arg: Arg::Choice(&["keep", "drop"]),
            help: "what to do with the last, incomplete block (default keep)",
            doc: "Whether the tokens after the last full block are a block of their own. With drop they \
                  are left out, also from input_length, since serving engines reuse full blocks only.",
            set: |options, value| {
                options.hash.partial = value.pick(&[("keep", Partial::Keep), ("drop", Partial::Drop)])?;
                Ok(())
            },
        },
        Opt {
            long: "tokenizer",
            short: None,
            arg: Arg::Choice(&["o200k_base", "bytes"]),
            help: "how text is cut into tokens (default o200k_base)",
            doc: "o200k_base is the byte-pair vocabulary of OpenAI's models since GPT-4o, embedded in the \
                  program; special tokens in the text are read as ordinary text. bytes takes every byte \
                  of the UTF-8 text as a token.",
            set: |options, value| {
                options.hash.tokenizer = Tokenizer::named(value.text()?)?;
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
                options.hash.prompts.field = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "text",
            short: None,
            arg: Arg::None,
            help: "each line is a prompt as it stands, not JSON",
            doc: "Take each line as a prompt, as it stands.",
            set: |options, _| {
                options.hash.prompts.text = true;
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
                options.hash.prompts.turns = value.pick(&[("each", Turns::Each), ("last", Turns::Last)])?;
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
                options.hash.output_length = length;
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
                    options.hash.prompts.keep.push(name);
                }
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
                    "A chat is rendered as ChatML before it is cut into tokens: for each turn \
                     <|im_start|>ROLE, a line end, the text, <|im_end|>, a line end; and at the end of a \
                     prompt <|im_start|>assistant and a line end. The markers are ordinary text to the \
                     tokenizer.\n\n\
                     timestamp is copied (milliseconds), 0 if absent. The output length of a chat's request \
                     is that of the turn which answers it; else it is output_length or output_tokens; the \
                     number of tokens of completion, response or output; max_tokens or \
                     max_completion_tokens; or --output-length.\n\n\
                     An empty prompt has the input length 0 and no ids.",
                ),
            ],
        },
        Section {
            title: "HASHES",
            body: &[Block::Text(
                "Ids are given by the chained hash of a block: BLAKE3 over the hash of the block before \
                 it and its tokens. 96 bits of it tell blocks apart. Among a million blocks the odds that \
                 two different ones pass for equal are 6 in 10^18, among 10^9 blocks 6 in 10^12.",
            )],
        },
        Section {
            title: "MEMORY",
            body: &[Block::Text(
                "About 60 MiB for the vocabulary once it is used, and 18 to 23 bytes for each distinct \
                 block. At most 4,294,967,295 distinct blocks can be told apart.",
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
                    command: "printf 'one prompt\\nanother prompt\\n' | trace-hash --text -b 16 --partial drop",
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
